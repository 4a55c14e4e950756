/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model of a page's life on the fault path: src/runtime/pagetable.c, fault.c, evict.c, vacate.c and
 * discard.c. One page.
 *
 *   programs  store and load; where nothing is mapped they are stopped until they are woken
 *   handler   one message at a time; never waits for the owner of a busy page: leaves TOUCHED. It
 *             may claim the page ahead of any access, and maps it when that comes, or after a while
 *   evictor   INPLACE -> VACATING, moves the page out, compares, sends (FLUSHING), settles
 *   discard   sleeps while the page is busy (WAITED, futex), then claims it
 *
 * Locked instructions make each step on the entry atomic. What must hold: a load sees the last
 * store; a page that left has its last store in the memory node; nobody sleeps for ever.
 */
#define ABSENT   0
#define REMOTE   1
#define INPLACE  2
#define FETCHING 3
#define VACATING 4
#define FLUSHING 5
#define busy(s)  ((s) >= FETCHING)

#ifndef OPS
#define OPS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

byte state = REMOTE;
bit touched, waited; /* marks on a busy entry */
bit mapped, value;   /* at the page's own address */
bit baseline;
bit store, truth;
byte stopped;        /* threads: 1: the handler has not read of them */
byte sleeping;       /* in the futex */
bit lock;            /* the write-back lock */
bit flying, arrived; /* claimed ahead; what the memory node sent */

/* --- the entry ---------------------------------------------------------------------------------*/

inline wake()
{
	stopped = 0
}

/* One exchange: the marks that it takes away are those that it acts on. */
inline settle(as)
{
#ifdef M_SETTLE_IN_TWO
	was_touched = touched;
	was_waited = waited;
	d_step { state = as; touched = 0; waited = 0 }
#else
	d_step {
		was_touched = touched;
		was_waited = waited;
		state = as;
		touched = 0;
		waited = 0
	}
#endif
#ifndef M_NO_FUTEX_WAKE
	d_step {
		if
		:: was_waited -> sleeping = 0
		:: else
		fi
	}
#endif
#ifndef M_NO_WAKE
	d_step {
		if
		:: was_touched -> wake()
		:: else
		fi
	}
#endif
}

/* --- programs ----------------------------------------------------------------------------------*/

/* The kernel has a message for the handler, and tries the access again when it is woken. */
active proctype Writer()
{
	byte left = OPS;
	bit next = 1;

	do
	:: d_step { left > 0 && mapped -> value = next; truth = next; next = 1 - next; left-- }
	:: atomic { left > 0 && !mapped -> stopped = 1 }; stopped == 0
	:: left == 0 -> break
	od
}

active proctype Reader()
{
	byte left = OPS;

	do
	:: d_step { left > 0 && mapped -> assert(value == truth); left-- }
	:: atomic { left > 0 && !mapped -> stopped = 1 }; stopped == 0
	:: left == 0 -> break
	od
}

/* --- the handler -------------------------------------------------------------------------------*/

inline land()
{
	baseline = arrived;
	d_step {
		assert(!mapped);
		mapped = 1;
		value = arrived;
		arrived = 0;
		flying = 0;
		wake()
	}
	settle(INPLACE)
}

active proctype Handler()
{
	bit was_touched, was_waited, content;
	byte seen;

end:
	do
	:: d_step { stopped == 1 -> stopped = 2 };
look:
		seen = state;
		if
		:: seen == ABSENT || seen == REMOTE ->
#ifdef M_CLAIM_BLIND
			state = FETCHING;
#else
			if
			:: d_step { state == seen -> state = FETCHING }
			:: state != seen -> goto look
			fi;
#endif
			content = (seen == REMOTE -> store : 0);
			baseline = content;
#ifdef M_SETTLE_BEFORE_MAPPING
			settle(INPLACE);
			d_step { mapped = 1; value = content; wake() }
#else
			d_step { /* UFFDIO_COPY wakes who is stopped there */
				assert(!mapped);
				mapped = 1;
				value = content;
				wake()
			}
			settle(INPLACE)
#endif
		:: seen == INPLACE ->
			if
			:: d_step { state == INPLACE && mapped -> wake() } /* an old message */
			:: state != INPLACE -> goto look
			fi
		:: busy(seen) ->
#ifdef M_TOUCH_BLIND
			touched = 1
#else
			if
			:: flying -> land()
			:: d_step { !flying && busy(state) -> touched = 1 }
			:: !busy(state) -> goto look
			fi
#endif
		fi;
		d_step { content = 0; seen = 0; was_touched = 0; was_waited = 0 }
	:: d_step {
		!flying && state == REMOTE ->
#ifndef M_FLY_UNCLAIMED
		state = FETCHING;
#endif
		flying = 1
	   };
		arrived = store
#ifndef M_NEVER_LAND
	:: flying -> land(); d_step { was_touched = 0; was_waited = 0 }
#endif
	od
}

/* --- the evictor -------------------------------------------------------------------------------*/

active proctype Evictor()
{
	bit was_touched, was_waited, content, send;
	byte rounds = ROUNDS;

end:
	do
	:: atomic { rounds > 0 && !lock -> rounds--; lock = 1 };
		if
		:: d_step { state == INPLACE -> state = VACATING };
#ifdef M_FIND_BEFORE_MOVE
			d_step { content = value; send = (content != baseline) };
			d_step { mapped = 0; value = 0 }
#else
			d_step { assert(mapped); content = value; mapped = 0; value = 0 };
			send = (content != baseline);
#endif
			if
			:: send -> state = FLUSHING; store = content
			:: else
			fi;
			if
			:: touched || waited -> /* brought back, without the memory node */
				baseline = content;
				d_step { mapped = 1; value = content; wake() };
				settle(INPLACE)
			:: true ->
				d_step { assert(store == truth) };
				settle(REMOTE)
			fi
		:: state != INPLACE
		fi;
		d_step { content = 0; send = 0; was_touched = 0; was_waited = 0; lock = 0 }
	od
}

/* --- discard -----------------------------------------------------------------------------------*/

active proctype Discard()
{
	bit was_touched, was_waited;
	byte seen;

	atomic { !lock -> lock = 1 };
again:
	do
	:: d_step { busy(state) -> waited = 1; seen = state };
#ifdef M_FUTEX_BLIND
		sleeping = 1;
#else
		if /* the kernel compares: a change since makes it return at once */
		:: d_step { state == seen && waited -> sleeping = 1 }
		:: state != seen || !waited
		fi;
#endif
		sleeping == 0
	:: d_step { !busy(state) -> seen = state }; break
	od;
	if
	:: d_step { state == seen -> state = FETCHING }
	:: state != seen -> goto again
	fi;
	d_step { mapped = 0; value = 0; store = 0; truth = 0 };
	settle(ABSENT);
	lock = 0
}
