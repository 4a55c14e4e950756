/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KONA_TESTS_REGRESS_EARLY_HANDLER_H
#define KONA_TESTS_REGRESS_EARLY_HANDLER_H

/* The last signal that the library's handler caught. */
__attribute__((visibility("default"))) int early_caught(void);

#endif
