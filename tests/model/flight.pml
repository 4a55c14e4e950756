/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model of flights: src/runtime/flight.c. One page, a table of two.
 *
 *   guards    two: begin a flight for the page and go on, or want it, and do not rest until it is
 *             there: mark the entry, land the flight, or sleep. In a miss they pass the gate
 *   raw code  touches the page at its own address; the handler marks its entry and lands its flight,
 *             and never waits
 *   evictor   takes the page out again, so that flights follow one another
 *   fork      closes the gate, lands all, and finds the page settled
 *
 * Locked instructions make each step on the entry and on a flight's state atomic. What must hold:
 * nobody sleeps for ever; a page is used only when its bytes have come; a flight is landed once.
 */
#define REMOTE   0
#define COOLING  1
#define FETCHING 2
#define FLUSHING 3
#define busy(s)  ((s) >= FETCHING)

#define FREE    0
#define FILLING 1
#define FLYING  2
#define LANDING 3

#define FLIGHTS 2
#define GUARDS  2
#ifndef ROUNDS
#define ROUNDS 2 /* of each guard */
#endif

byte state = REMOTE;
bit touched, waited; /* marks on a busy entry */
bit came;	     /* the page's bytes are in its frame */
bit flies;	     /* a flight was begun for it, and has not settled it */
bit stopped_new, stopped_read; /* raw code: the handler has not read of it; has */
bit asleep[GUARDS];  /* in the futex */

byte flight[FLIGHTS];
bit brings[FLIGHTS]; /* the page */

bit gate;
byte missing; /* guards in a miss */

inline settle(as)
{
	d_step {
		if
		:: touched -> stopped_new = 0; stopped_read = 0
		:: else
		fi;
		if
		:: waited -> asleep[0] = 0; asleep[1] = 0
		:: else
		fi;
		state = as;
		flies = 0;
		touched = 0;
		waited = 0
	}
}

/* `landed` is the caller's. */
inline land(i)
{
	if
#ifdef M_LAND_BLIND
	:: flight[i] == FLYING ->
		flight[i] = LANDING;
#else
	:: atomic { flight[i] == FLYING -> flight[i] = LANDING };
#endif
		assert(state == FETCHING && brings[i]);
#ifdef M_SETTLE_FIRST
		settle(COOLING);
		came = 1;
#else
		came = 1;
#ifdef M_FREE_FIRST
		atomic { brings[i] = 0; flight[i] = FREE };
		settle(COOLING);
#else
		settle(COOLING);
#endif
#endif
#ifndef M_FREE_FIRST
		atomic { brings[i] = 0; flight[i] = FREE };
#endif
		landed = 1
	:: flight[i] != FLYING
	fi
}

/* All flights that may bring the page. What is looked at may be of an earlier flight by the time
 * that it is landed. */
inline look_and_land()
{
	landed = 0;
	k = 0;
	do
	:: k < FLIGHTS ->
		if
		:: flight[k] == FLYING ->
			if
			:: brings[k] -> land(k)
			:: !brings[k]
			fi
		:: flight[k] != FLYING
		fi;
		k++
	:: k == FLIGHTS -> break
	od
}

/* --- guards ------------------------------------------------------------------------------------*/

inline begin_flight()
{
	if
	:: atomic { flight[0] == FREE -> flight[0] = FILLING; k = 0 }
	:: atomic { flight[1] == FREE -> flight[1] = FILLING; k = 1 }
	:: flight[0] != FREE && flight[1] != FREE -> goto over
	fi;
	if
	:: atomic { state == REMOTE -> state = FETCHING; came = 0; flies = 1 }
	:: state != REMOTE -> flight[k] = FREE; goto over
	fi;
	brings[k] = 1;
#ifdef M_LOOK_FIRST
	landed = touched || waited;
	flight[k] = FLYING;
	if
	:: landed -> land(k)
	:: !landed
	fi;
#else
	flight[k] = FLYING;
#ifndef M_NO_LOOK
	if
	:: touched || waited -> land(k)
	:: else
	fi
#endif
#endif
}

inline want_page(me)
{
	do
#ifdef M_LAND_BEFORE_MARK
	:: busy(state) ->
		look_and_land();
		if
		:: atomic { busy(state) -> waited = 1 }
		:: !busy(state)
		fi;
#else
	:: atomic { busy(state) -> waited = 1 };
		look_and_land();
#endif
#ifdef M_SLEEP_BLIND
		if
		:: !landed -> asleep[me] = 1; asleep[me] == 0
#else
		if /* the kernel compares */
		:: atomic { !landed && busy(state) && waited -> asleep[me] = 1 }; asleep[me] == 0
		:: !landed && !(busy(state) && waited)
#endif
		:: landed
		fi
	:: atomic { state == REMOTE -> state = FETCHING; came = 0 };
		came = 1;
		settle(COOLING)
	:: atomic { state == COOLING -> assert(came) }; break
	od
}

proctype Guard(byte me)
{
	byte rounds = ROUNDS, k;
	bit landed;

	do
	:: rounds > 0 ->
		rounds--;
		atomic { !gate -> missing++ };
		if
		:: begin_flight()
		:: want_page(me)
		fi;
over:
		skip;
		atomic { missing--; k = 0; landed = 0 }
	:: rounds == 0 -> break
	od
}

/* --- code without guards, and the handler ------------------------------------------------------*/

active proctype Raw()
{
	stopped_new = 1;
	!stopped_new && !stopped_read
}

active proctype Handler()
{
	byte k;
	bit landed;

end:
	do
	:: atomic { stopped_new -> stopped_new = 0; stopped_read = 1 };
look:
		if
		:: atomic { busy(state) -> touched = 1 };
#ifndef M_HANDLER_DOES_NOT_LAND
			look_and_land()
#endif
		:: atomic { state == COOLING -> assert(came); stopped_read = 0 }
		:: atomic { state == REMOTE -> state = FETCHING; came = 0 };
			came = 1;
			atomic { stopped_read = 0 };
			settle(COOLING)
		fi;
		atomic { k = 0; landed = 0 }
	od
}

/* --- the evictor, a fork -----------------------------------------------------------------------*/

active proctype Evictor()
{
	byte rounds = 2;

end:
	do
	:: atomic { rounds > 0 && state == COOLING -> state = FLUSHING; rounds-- };
		settle(REMOTE)
	od
}

active proctype Fork()
{
	byte k;
	bit landed;

#ifndef M_NO_GATE
	gate = 1;
	missing == 0;
#endif
	do
	:: k < FLIGHTS && flight[k] != FREE -> land(k)
	:: k < FLIGHTS && flight[k] == FREE -> k++
	:: k == FLIGHTS -> break
	od;
	assert(!flies);
	gate = 0
}

init {
	atomic {
		run Guard(0);
		run Guard(1)
	}
}
