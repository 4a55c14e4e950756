/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Within libkona-sim: the end.
 */
#ifndef KONA_CACHESIM_LINKED_H
#define KONA_CACHESIM_LINKED_H

/*
 * Simulates what is left and writes the result file, which says how the program ended. Returns 1
 * the first time; later, in a child, or where nothing is simulated, it does nothing and returns 0.
 */
int kona_linked_finish(const char *end);

#endif
