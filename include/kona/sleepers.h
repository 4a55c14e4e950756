/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleepers, as compiled code and the runtime see them. A function that has a twin (src/cc/twin.h)
 * runs it, without guards, until its word says that it is awake. Either code is right at any time:
 * what a twin touches in vain, the fault path brings. So the word is only about speed; the runtime
 * sets it when the function keeps faulting on what is far (src/runtime/sleepers.h).
 *
 * A function enrols when it runs for the first time. (Nobody refers to records but their functions:
 * a table of all, made by the linker, would keep functions that nobody calls.) Each program and
 * shared library has a roll of its own, which comes and goes with it.
 */
#ifndef KONA_SLEEPERS_H
#define KONA_SLEEPERS_H

#include "kona/guard.h"

/* A function's record, which kona-opt makes (src/cc/sleeper.c). */
struct kona_sleeper {
	struct kona_sleeper *next; /* in its roll. Immutable once it is there */
	const void *code;	   /* where the function begins */
	int awake;		   /* Atomic, no edge: see above. Negative: not enrolled so far */
};

struct kona_roll {
	struct kona_sleeper *first; /* the last that enrolled. Atomic, edge SL-1 */
	int awake;		    /* of those who enrol. Atomic, no edge */
};

/* The roll is there from now on; or is not any more. A thread of the program, when the library is
 * loaded and before it goes. */
KONA_GUARD_API void kona_cc_sleepers_come(struct kona_roll *roll);
KONA_GUARD_API void kona_cc_sleepers_go(struct kona_roll *roll);

#endif
