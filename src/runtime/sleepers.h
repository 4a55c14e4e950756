/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which functions of compiled code run with guards. Each has two codes (kona/sleepers.h): with
 * guards, which pay at each access and little for a miss; and without, which pay nothing but for
 * a page fault. A function that keeps faulting on what is far is told to use the former from then
 * on; so guards are paid for where far memory is touched, and nowhere else.
 *
 *   fault --(thread)--> instruction --> function: one fault more; too many: awake
 *
 * Too many: by then they have cost as much as an eighth of local memory, fetched page by page, at
 * most some hundredths of a second. Functions that touch few pages learn to live with them: they
 * stay in place (recency.h). And what faults less than some thousand times a second is forgotten.
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

/* The thread is stopped at an access of what is far; so many pages come with it. Only the fault
 * handler calls. */
void kona_sleepers_blame(struct kona_space *space, pid_t thread, uint32_t pages);

/* In a forked child, whose guards see ordinary memory: all sleep. */
void kona_sleepers_forked(void);

#endif
