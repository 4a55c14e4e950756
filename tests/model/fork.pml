/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model of the moment of a fork: src/runtime/fork.c, lineage.c (edge LI-2), hazard.c (the gate,
 * edge GU-2). One page.
 *
 *   forker   closes the gate, takes the write-back lock, moves the page in place, announces the
 *            child, forks, waits until it is born, lets go
 *   kernel   copies what is mapped; until the fork event is read, nothing can be mapped (EAGAIN)
 *   handler  reads messages in batches: fork events first, then faults
 *   guard    misses (its mark of it passes through a store buffer), then stores in the frame
 *   raw      stores at the page's own address
 *   evictor  overwrites the store; saves the old contents first for a child that it knows
 *
 * What must hold: the child reads what the memory held at the fork. Nobody waits for ever, although
 * a miss may need the registry's lock (it evicts).
 */
#define REMOTE   0 /* the entry has FAR, also while it is FETCHING */
#define INPLACE  1
#define FRAME    2
#define FETCHING 3
#define VACATING 4
#define busy(s)  ((s) >= FETCHING)

byte state = REMOTE;
bit missing;          /* FAR: missing, with contents in the store */
bit store, truth;
bit mapped, value;    /* at the page's own address */
bit frame;            /* contents in the frame */
bit fault, touched;

byte gate;
bit in_miss, in_miss_buffered; /* as others see it; as its thread sees it */
bit registry;         /* lock */
bit write_back;       /* lock */

bit forked, event, born, announced;
bit child_mapped, child_value, child_far, child_saved, saved_value;
bit snapshot;         /* ghost */

/* --- the forking thread and its child ----------------------------------------------------------*/

proctype Forker()
{
	bit contents;

#ifndef M_NO_GATE
	gate++;
	atomic { !registry -> registry = 1 };
#ifndef M_NO_GATE_BARRIER
	in_miss = in_miss_buffered;
#endif
#ifdef M_WAIT_UNDER_LOCK
	!in_miss;
	registry = 0;
#else
	registry = 0;
	!in_miss;
#endif
#endif
	atomic { !write_back -> write_back = 1 };
	announced = 1;
#ifndef M_NOT_IN_PLACE
	do
	:: d_step { state == FRAME -> state = VACATING };
		d_step { mapped = 1; value = frame; fault = 0 };
		d_step { state = INPLACE; touched = 0 }
	:: !busy(state) && state != FRAME -> break
	od;
#endif
	atomic {
		child_mapped = mapped;
		child_value = value;
		snapshot = truth;
		forked = 1;
		event = 1
	};
	!event;
#ifndef M_NOT_AWAITED
	born;
#endif
	write_back = 0;
#ifndef M_NO_GATE
	gate--
#endif
}

/* What the child finds, at any time from its birth on. */
proctype Child()
{
	bit read;

	born;
	d_step {
		if
		:: child_mapped -> read = child_value
		:: !child_mapped && child_far && !child_saved -> read = store
		:: !child_mapped && child_far && child_saved -> read = saved_value
		:: else -> read = 0
		fi;
		assert(read == snapshot)
	}
}

/* --- the fault handler -------------------------------------------------------------------------*/

inline be_born()
{
	d_step {
		if
		:: got_event -> child_far = missing; born = 1
		:: else
		fi
	}
}

inline serve()
{
	if
	:: d_step { got_fault && state == REMOTE -> state = FETCHING };
		contents = store;
		if
		:: d_step { !event -> mapped = 1; value = contents };
			d_step { state = INPLACE; missing = 0; touched = 0 }
		:: d_step { event -> state = REMOTE; touched = 0; fault = 1 } /* EAGAIN: kept */
		fi
	:: d_step { got_fault && state == FRAME && !event -> state = VACATING };
		if
		:: d_step { !event -> mapped = 1; value = frame; state = INPLACE; touched = 0 }
		:: d_step { event -> state = FRAME; touched = 0; fault = 1 }
		fi
	:: d_step { got_fault && state == FRAME && event -> fault = 1 }
	:: d_step { got_fault && busy(state) -> fault = 1 } /* touched: comes again */
	:: got_fault && state == INPLACE
	:: !got_fault
	fi
}

proctype Handler()
{
	bit got_event, got_fault, contents;

end:
	do
	:: atomic { event || (fault && !busy(state)) ->
		got_event = event;
		got_fault = fault;
		event = 0;
		fault = 0 };
#ifdef M_FAULTS_FIRST
		serve();
		be_born();
#else
		be_born();
		serve();
#endif
		atomic { got_event = 0; got_fault = 0; contents = 0 }
	od
}

/* --- the program's other threads ---------------------------------------------------------------*/

proctype Guard()
{
	byte left = 2;
	bit next = 1;

	do
	:: d_step { left > 0 && state == FRAME -> frame = next; truth = next; next = 1 - next; left-- }
	:: left > 0 && state == REMOTE ->
		/* Store, then load, without a fence. */
		in_miss_buffered = 1;
		if
		:: gate > 0 -> d_step { in_miss_buffered = 0; in_miss = 0 }
		:: gate == 0 ->
			if /* no frame is free: it evicts */
			:: true -> atomic { !registry -> registry = 1 }; registry = 0
			:: true
			fi;
			if
			:: d_step { state == REMOTE -> in_miss = 1; state = FETCHING };
				frame = store;
				d_step { state = FRAME; missing = 0; touched = 0 }
			:: state != REMOTE
			fi;
			d_step { in_miss_buffered = 0; in_miss = 0 }
		fi
	:: left == 0 || state == INPLACE -> break
	od
}

/* The store buffer lets go at some time. */
proctype Memory()
{
end:
	do
	:: d_step { in_miss != in_miss_buffered -> in_miss = in_miss_buffered }
	od
}

proctype Raw()
{
	byte left = 2;
	bit next = 1;

	do
	:: d_step { left > 0 && mapped -> value = next; truth = next; next = 1 - next; left-- }
	:: atomic { left > 0 && !mapped && !fault -> fault = 1 }; !fault || mapped
	:: left == 0 -> break
	od
}

proctype Evictor()
{
	byte rounds = 2;
	bit contents;

end:
	do
	:: atomic { rounds > 0 && !write_back -> write_back = 1; rounds-- };
		if
		:: d_step { state == INPLACE -> state = VACATING };
			d_step { contents = value; mapped = 0; value = 0 }
			if
			:: d_step { born && child_far && !child_saved -> saved_value = store; child_saved = 1 }
			:: else
			fi;
			store = contents;
			d_step { assert(store == truth); state = REMOTE; missing = 1; touched = 0 }
		:: state != INPLACE
		fi;
		d_step { contents = 0; write_back = 0 }
	od
}

init {
	atomic {
		missing = 1;
		store = FIRST;
		truth = FIRST;
		run Forker();
		run Child();
		run Handler();
		run Memory();
#if GUARDS
		run Guard();
#endif
		run Raw();
		run Evictor()
	}
}
