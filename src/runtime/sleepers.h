/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which functions of compiled code run with guards. Each has two codes (kona/sleepers.h): with
 * guards, which pay at each access and little for a miss; and without, which pay nothing but for
 * a page fault. A function that keeps faulting on what is far is told to use the former from then
 * on; so guards are paid for where far memory is touched, and nowhere else.
 *
 *   fault --(thread)--> instruction --> function: one fault more; too many: awake
 *
 * Too many are as many as a quarter of local memory has pages: what the function uses would not fit
 * in there. (At most 2048: some hundredths of a second.) Functions that use fewer pages keep them:
 * those stay in place (recency.h), and until they do, each of their faults counts for a quarter.
 * What faults less than a thousand times a second is forgotten.
 */
#ifndef KONA_RUNTIME_SLEEPERS_H
#define KONA_RUNTIME_SLEEPERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kona/sleepers.h"

struct kona_space;

/* From now on those who come are entered in the roll. awake: they wake up at once. At start. */
void kona_sleepers_begin(bool awake);

/* There are some. Any thread. */
bool kona_sleepers_any(void);

/* Quarters of a fault: of what is far, or would have been there if it had stayed a little longer.
 * Many of the latter mean that it does not fit. */
enum { KONA_BLAME_FAR = 4, KONA_BLAME_SOON = 1 };

/* The thread is stopped at such an access. Only the fault handler calls. */
void kona_sleepers_blame(struct kona_space *space, pid_t thread, uint32_t weight);

/* In a forked child, whose guards see ordinary memory: all sleep. */
void kona_sleepers_forked(void);

#endif
