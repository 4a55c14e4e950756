/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Atomics whose memory order stands in their name. Shared fields are plain integers; every access
 * to them goes through these. Callers label non-relaxed edges ("PT-1: release, pairs with ...") and
 * give the reason for relaxed ones.
 */
#ifndef KONA_BASE_ATOMIC_H
#define KONA_BASE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#define kona_load_relaxed(p)	    __atomic_load_n((p), __ATOMIC_RELAXED)
#define kona_load_acquire(p)	    __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define kona_store_relaxed(p, v)    __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define kona_store_release(p, v)    __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define kona_add_relaxed(p, v)	    __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define kona_sub_relaxed(p, v)	    __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)
#define kona_add_acq_rel(p, v)	    __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define kona_sub_acq_rel(p, v)	    __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define kona_and_acq_rel(p, v)	    __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)
#define kona_or_acq_rel(p, v)	    __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define kona_exchange_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)

/* On failure *expected receives the value seen, with acquire order. */
#define kona_cas_acq_rel(p, expected, desired)                                           \
	__atomic_compare_exchange_n((p), (expected), (desired), false, __ATOMIC_ACQ_REL, \
				    __ATOMIC_ACQUIRE)

#endif
