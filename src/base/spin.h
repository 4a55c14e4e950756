/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether it is worth to look for a peer's next word for a while, instead of sleeping at once: a
 * wake-up costs 10 us and more.
 *
 * Who spins in vain leaves it out the next time, then twice, four times ... 128 times, and so
 * learns when that has changed. A rule that follows how long waits take could not: a sleep is
 * longer than the spin would have been. Who shares a CPU with the peer, or is far away from it,
 * loses one spin in 129 waits.
 */
#ifndef KONA_BASE_SPIN_H
#define KONA_BASE_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define KONA_SPIN_NS UINT64_C(64000)

enum { KONA_SPIN_MOST_PAUSES = 128 };

/* Of one waiter. Zeros: it spins. */
struct kona_spin {
	uint32_t pauses; /* waits that a failure leaves out */
	uint32_t left;	 /* of those */
};

/* Before a wait: should it spin? */
static inline bool kona_spin_try(struct kona_spin *spin)
{
	if (!spin->left)
		return true;
	spin->left--;
	return false;
}

/* After a wait that did: was it in vain? */
static inline void kona_spin_learn(struct kona_spin *spin, bool in_vain)
{
	if (!in_vain)
		spin->pauses = 0;
	else if (!spin->pauses)
		spin->pauses = 1;
	else if (spin->pauses < KONA_SPIN_MOST_PAUSES)
		spin->pauses *= 2;
	spin->left = spin->pauses;
}

#endif
