/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model of what a forked child reads while its parent overwrites it: src/runtime/heritage.h (edge
 * HE-1), lineage.c and trim.c. One page, which was in the parent's store at the fork.
 *
 *   parent   saves the old contents (on the shelf, or without one into the child), overwrites the
 *            store; may end between any two steps
 *   handler  the parent's, serves the child at first; ends with the parent
 *   heir     the child's own thread; it also drops pages that were not written (trim)
 *   program  of the child: loads and stores
 *
 * What must hold: the child sees the contents at the fork (OLD), or what it stored itself.
 * Configuration: SHELF (there is room on it).
 */
#define OLD 0
#define NEW 1
#define OWN 2

#define NOWHERE  0
#define IN_STORE 1
#define ON_SHELF 2

byte store = OLD, shelf = NEW; /* the shelf holds what somebody left there */
bit saved;
bit mapped, clean; /* in the child; clean: read-only, by the heir */
byte value;
byte truth = OLD;  /* ghost: the child's */
bit stopped;       /* the child's program, on the page */
bit gone;          /* the parent */

inline map(what, read_only)
{
	d_step {
		if
		:: !mapped -> mapped = 1; value = what; clean = read_only
		:: else /* EEXIST */
		fi;
		stopped = 0
	}
}

/* --- parent ------------------------------------------------------------------------------------*/

inline may_end()
{
	if
	:: goto dead
	:: true
	fi
}

proctype Parent()
{
	byte bytes;

	may_end();
#ifdef M_OVERWRITE_FIRST
	bytes = store;
	store = NEW;
#else
	bytes = store;
#endif
	may_end();
#if SHELF
#ifdef M_SAVED_BEFORE_SHELF
	saved = 1;
	shelf = bytes;
#else
	shelf = bytes;
	may_end();
	saved = 1;
#endif
#else
	saved = 1;
	may_end();
#ifdef M_OVERWRITE_BEFORE_HANDING
	store = NEW;
	may_end();
#endif
	map(bytes, 0);
#endif
	may_end();
	store = NEW;
	may_end();
dead:
	gone = 1
}

/* --- who serves the child ----------------------------------------------------------------------*/

inline locate(at)
{
	d_step {
		if
		:: !saved -> at = IN_STORE
#if SHELF
		:: saved -> at = ON_SHELF
#else
		:: saved && parent_gone -> at = IN_STORE
		:: saved && !parent_gone -> at = NOWHERE
#endif
		fi
	}
}

inline serve(read_only)
{
	locate(at);
	if
	:: at == NOWHERE -> stopped = 0 /* it faults again, until the parent has mapped it */
	:: else ->
		bytes = (at == IN_STORE -> store : shelf);
#ifdef M_NO_SECOND_LOOK
		now = at;
#else
		locate(now);
#endif
		if
		:: now == at -> map(bytes, read_only)
		:: else -> stopped = 0
		fi
	fi;
	d_step { at = 0; now = 0; bytes = 0 }
}

proctype Handler()
{
	byte at, now, bytes;
	bit parent_gone = 0;

end:
	do
	:: stopped -> serve(0)
	:: gone -> break
	od
}

proctype Heir()
{
	byte at, now, bytes;
	bit parent_gone;

end:
	do
	:: gone && !parent_gone -> parent_gone = 1
	:: stopped && mapped && clean -> d_step { clean = 0; stopped = 0 } /* its first store */
	:: stopped && !(mapped && clean) -> serve(1)
#ifdef M_TRIM_WRITTEN
	:: d_step { mapped -> bytes = value };
#else
	:: d_step { mapped && clean -> bytes = value }; /* trim */
#endif
		d_step { mapped = 0; value = 0; clean = 0 };
#if !SHELF && !defined(M_TRIM_BLIND)
		if
		:: !saved
		:: saved -> map(bytes, 0)
		fi;
#endif
		bytes = 0
	od
}

proctype Program()
{
	byte left = 3;

	do
	:: d_step { left > 0 && mapped -> assert(value == truth); left-- }
	:: d_step { left > 0 && mapped && !clean -> truth = OWN; value = OWN; left-- }
	:: atomic { left > 0 && (!mapped || clean) -> stopped = 1 }; !stopped
	:: left == 0 -> break
	od
}

init {
	atomic {
		run Parent();
		run Handler();
		run Heir();
		run Program()
	}
}
