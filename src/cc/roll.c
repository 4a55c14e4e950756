/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The roll of sleepers (kona/sleepers.h) of the program or shared library that this is linked into.
 * Functions enrol in any thread, at any time, in signal handlers, too: no locks.
 */
#include "base/atomic.h"
#include "cc/functions.h"
#include "kona/sleepers.h"

static struct kona_roll roll;

__attribute__((constructor)) static void come(void)
{
	kona_cc_sleepers_come(&roll);
}

__attribute__((destructor)) static void go(void)
{
	kona_cc_sleepers_go(&roll);
}

static void enrol(struct kona_sleeper *sleeper)
{
	struct kona_sleeper *first = kona_load_acquire(&roll.first); /* SL-1 */

	do
		sleeper->next = first;
	while (!kona_cas_acq_rel(&roll.first, &first, sleeper)); /* SL-1: with the runtime's load */
}

int kona_cc_enrolled(void *record)
{
	struct kona_sleeper *sleeper = record;
	int seen = -1;

	if (!kona_cas_acq_rel(&sleeper->awake, &seen, 0)) /* no edge: elects one */
		return seen;
	enrol(sleeper);
	if (kona_load_relaxed(&roll.awake))		/* relaxed: kona/sleepers.h */
		kona_store_relaxed(&sleeper->awake, 1); /* relaxed: the same */
	return kona_load_relaxed(&sleeper->awake);	/* relaxed: the same */
}
