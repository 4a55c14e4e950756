/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model of waking guards: src/runtime/hazard.c, edge GU-3. `known` is what a thread's record says
 * (hazard->size_bytes), `view` what its guards look at (guard->size_bytes); 0 is asleep.
 *
 *   thread  enters the registry; then signal handlers too deep within one another: hides VFMem from
 *           its guards, and shows it again when they are left
 *   waker   tells all records, issues a membarrier(2), then stores into all views
 *
 * x86: a thread's stores go through its store buffer, in order; loads do not wait for it. The lock of
 * the registry makes entering and the waker's walk exclude one another. What must hold: when both
 * are done, the guards see VFMem; and they never see it before somebody may be in a frame.
 */
#ifndef ROUNDS
#define ROUNDS 2
#endif

bit awake;	   /* under the lock */
bit entered;	   /* in the registry */
bit known, view;
bit lock;

/* The thread's store buffer: of the stores to its view. The second one waits for the first. */
bit buffered, buffer;

inline drain()
{
	d_step {
		if
		:: buffered -> view = buffer; buffered = 0
		:: else
		fi
	}
}

inline store_view(value)
{
	atomic {
		!buffered;
		buffer = value;
		buffered = 1
	}
}

inline reveal()
{
	do
	:: seen = known;
	   store_view(seen);
#ifdef M_ONE_LOOK
	   break
#else
	   if
	   :: known == seen -> break
	   :: else
	   fi
#endif
	od
}

active proctype memory()
{
end:	do
	:: atomic { buffered -> view = buffer; buffered = 0 }
	od
}

byte done;

active proctype thread()
{
	bit seen;
	byte round;

	atomic { !lock -> lock = 1 };
	entered = 1;
#ifndef M_ENTERS_OUTSIDE
	if
	:: awake -> known = 1; store_view(1); drain() /* the unlock is a locked instruction */
	:: else
	fi;
	lock = 0;
#else
	seen = awake;
	lock = 0;
	known = seen;
	store_view(seen);
#endif
	for (round : 1 .. ROUNDS) {
		store_view(0);
		reveal()
	}
	drain();
	done++
}

active proctype waker()
{
	atomic { !lock -> lock = 1 };
	assert(!view);
	awake = 1;
	if
	:: entered ->
#ifdef M_VIEW_FIRST
		view = 1;
		drain();
		known = 1
#else
		known = 1;
#ifndef M_NO_BARRIER
		drain();
#endif
		view = 1
#endif
	:: else
	fi;
	lock = 0;
	done++
}

active proctype judge()
{
	done == 2 -> assert(view)
}
