/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model of the guard protocol: include/kona/guard.h against the evictor and the fault path.
 *
 *   guards    publish a slot, look at the entry, mark, store; a miss fetches, recalls or waits
 *   raw       code without guards: touches the page's own address, may fault
 *   evictor   FRAME -> COOLING, barrier (of this page's eviction, or earlier, of another's),
 *             -> FLUSHING, scan, gather, write back, settle, free
 *   faults    the fault handler: a page lives in its frame or at its own address; whoever touches
 *             it brings it there
 *   protect   mprotect() to read-only, and back: from then on a guard that begins feels it. One that
 *             translated before goes on in the frame, out of the others' sight (PROTECTS)
 *   memory    x86-TSO: each guard thread's stores (slot, mark, data) pass through a FIFO buffer.
 *             Locked instructions empty the buffer of the thread; a membarrier and the kernel's TLB
 *             flush (moving or dropping a page) empty those of all threads
 *
 * A page is one line, a line is one bit. What must hold, everywhere:
 *   - a store or load through a frame meets the page that it is meant for
 *   - a load sees the last store (truth[]), wherever the page was in between
 *   - a page that is REMOTE has its last store in the memory node
 *   - a guard that began behind mprotect() is at the page's own address
 *   - no state without a way out, though each thread stops for ever with its slot set
 *
 * Configuration: GUARDS, RAWS (threads), PAGES, FRAMES, OPS (of each thread; 0: no end), ROUNDS (of
 * the evictor), NARROW (the program stores to one page, signal handlers load another), ONE (page is
 * used). M_...: mutations, each of which breaks one of the above (tests/model/run-models).
 */
#ifndef GUARDS
#define GUARDS 2
#endif
#ifndef RAWS
#define RAWS 0
#endif
#ifndef RAW_OPS
#define RAW_OPS OPS
#endif
#ifndef PAGES
#define PAGES 2
#endif
#ifndef FRAMES
#define FRAMES 2
#endif
#ifndef BUFFER
#define BUFFER 3
#endif

/* States of an entry. */
#define REMOTE   0
#define COOLING  1
#define FETCHING 2
#define VACATING 3
#define FLUSHING 4
#define INPLACE  5
#define FRAME    6
#define resident(s) ((s) >= INPLACE)
#define busy(s)     ((s) >= FETCHING && (s) <= FLUSHING)

#define NOBODY PAGES
#define home(p) (FRAMES + (p)) /* places: the frames, then the pages' own addresses */
#define PLACES (FRAMES + PAGES)

/* What a store buffer holds, in one byte. */
#define SLOT(p)       (p)
#define MARK(f)       (8 + (f))
#define SAVE(d,p)     (16 + (d) * (PAGES + 1) + (p))
#define DATA(at,p,v)  (32 + ((at) * PAGES + (p)) * 2 + (v))

byte state[PAGES];
byte frame[PAGES];    /* local states: the page's frame */
bit touched[PAGES];   /* busy: a thread is stopped on the page, the owner wakes it */
byte owner[FRAMES];   /* the frame's page, or NOBODY: free */
bit present[PLACES];  /* something is mapped there */
bit value[PLACES];
byte faulted[PLACES]; /* threads are stopped there: 1; and the handler has their message: 2 */
bit dirty[FRAMES];
bit based[FRAMES];    /* there is a baseline: the page was in place */
bit baseline[FRAMES];
bit store[PAGES];     /* the memory node */
bit stale[PAGES];     /* the page began as zeros: what the memory node has is of an earlier life */
bit lock;             /* the write-back lock: evictor, discard, mprotect; the handler tries */
bit truth[PAGES];     /* ghost: what the program stored last */
byte slot[GUARDS];
bit fenced[PAGES];    /* COOLING: there was a barrier since it cooled */
byte wanting;         /* threads that wait for a frame */
#ifdef ROUNDS
byte rounds = ROUNDS;
#endif
#if PROTECTS
bit shield;           /* of all pages */
bit readonly[PAGES];
bit gate;
bit missing[GUARDS];
#define KEPT          (FRAME - shield * (FRAME - COOLING)) /* a framed page, sight or not */
#define refused(at, p) ((at) >= FRAMES && readonly[p])
#else
#define KEPT          FRAME
#define refused(at, p) false
#endif
#if SIGNALS
byte level;           /* 0: the program runs; 1, 2: signal handlers on the same thread */
byte depth;           /* how many saved areas are in use */
byte saved[2];        /* as the evictor sees them */
byte my_saved[2];     /* as the thread sees them */
byte my_slot = NOBODY;
bit in_miss;          /* signals are put off */
bit abandoned;        /* a handler jumped out (siglongjmp) */
#endif
chan buffer[GUARDS] = [BUFFER] of { byte };

/* --- memory ------------------------------------------------------------------------------------*/

/* The oldest store of a buffer reaches memory. */
inline drain_one(who)
{
	buffer[who] ? drained;
	if
	:: drained < MARK(0) -> slot[who] = drained
	:: drained >= MARK(0) && drained < SAVE(0, 0) -> dirty[drained - MARK(0)] = 1
#if SIGNALS
	:: drained >= SAVE(0, 0) && drained < DATA(0, 0, 0) ->
		saved[(drained - SAVE(0, 0)) / (PAGES + 1)] = (drained - SAVE(0, 0)) % (PAGES + 1)
#endif
	:: drained >= DATA(0, 0, 0) ->
		drained = drained - DATA(0, 0, 0);
		assert(present[drained / (2 * PAGES)]);
		assert(drained / (2 * PAGES) >= FRAMES ||
		       owner[drained / (2 * PAGES)] == (drained / 2) % PAGES);
		value[drained / (2 * PAGES)] = drained % 2;
		truth[(drained / 2) % PAGES] = drained % 2
	fi;
	drained = 0
}

inline drain(who)
{
	do
	:: len(buffer[who]) > 0 -> drain_one(who)
	:: else -> break
	od;
	drained = 0
}

inline drain_all()
{
	drain(0);
#if GUARDS > 1
	drain(1);
#endif
}

active proctype Memory()
{
	byte drained;
end:
	do
	:: d_step { nempty(buffer[0]) -> drain_one(0) }
#if GUARDS > 1
	:: d_step { nempty(buffer[1]) -> drain_one(1) }
#endif
	od
}

/* --- the page table ----------------------------------------------------------------------------*/

/* A thread stopped at a frame's address is not woken by this: the handler keeps its message. */
inline wake(p)
{
	faulted[home(p)] = 0
}

/* By the owner of a busy page. */
inline settle(p, as)
{
	if
	:: touched[p] -> wake(p)
	:: else
	fi;
	touched[p] = 0;
	state[p] = as
}

#define begins(p) (stale[p] -> 0 : store[p])

inline take_frame(f)
{
	f = 0;
	do
	:: f < FRAMES && owner[f] != NOBODY -> f++
	:: else -> break
	od
}

#define none_free (owner[0] != NOBODY && (FRAMES < 2 || owner[FRAMES - 1] != NOBODY))

/* UFFDIO_MOVE: unmaps, flushes the TLBs, maps; wakes who waits there. */
inline move_page(from, to)
{
	drain_all();
	assert(present[from] && !present[to]);
	present[from] = 0;
	value[to] = value[from];
	value[from] = 0;
	present[to] = 1;
	faulted[to] = 0
}

/* --- guards ------------------------------------------------------------------------------------*/

/* A locked instruction: the thread's own buffer goes first. */
inline miss(who, p)
{
#if SIGNALS && !defined(M_SIGNAL_IN_MISS)
	in_miss = 1;
#endif
#if PROTECTS
	atomic { !gate -> drain(who); missing[who] = 1 };
	shielded = shield;
	if
	:: !shielded
	:: shielded && busy(state[p]) -> !busy(state[p]); goto missed
	:: shielded && resident(state[p]) -> goto missed
#ifdef M_RECALL_SHIELDED
	:: shielded && state[p] == COOLING
	:: shielded && state[p] == REMOTE -> missing[who] = 0; touch(p); goto missed
#else
	:: shielded && (state[p] == COOLING || state[p] == REMOTE) ->
		missing[who] = 0; touch(p); goto missed
#endif
	fi;
#endif
	if
	:: d_step { state[p] == COOLING -> drain(who); state[p] = FRAME }
	:: busy(state[p]) -> !busy(state[p])
	:: d_step { state[p] == REMOTE && !none_free ->
		drain(who);
		take_frame(fr);
		owner[fr] = p;
		frame[p] = fr;
		state[p] = FETCHING };
		fetch_into_frame(p)
	:: atomic { state[p] == REMOTE && none_free -> wanting++ };
		atomic { !none_free || state[p] != REMOTE -> wanting-- }
	:: resident(state[p])
	fi;
missed:
#if PROTECTS
	missing[who] = 0;
	shielded = 0;
#endif
#if SIGNALS
	in_miss = 0
#else
	skip
#endif
}

#if PROTECTS
/* A load at the page's own address, whatever is there. */
inline touch(p)
{
	do
	:: present[home(p)] -> break
	:: atomic { !present[home(p)] -> faulted[home(p)] = 1 }; !faulted[home(p)]
	od
}
#endif

inline fetch_into_frame(p)
{
	d_step {
		present[fr] = 1;
		value[fr] = begins(p);
#ifndef M_MARKS_CLEARED_LATE
		dirty[fr] = 0;
#endif
		based[fr] = 0;
		baseline[fr] = 0
	}
	d_step { settle(p, FRAME) }
#ifdef M_MARKS_CLEARED_LATE
	dirty[fr] = 0;
#endif
}

inline publish(who, p)
{
	atomic { nfull(buffer[who]) -> buffer[who] ! SLOT(p);
#if SIGNALS
		my_slot = p
#endif
	}
}

inline look(p)
{
	d_step { st = state[p]; fr = frame[p] }
}

inline mark(who)
{
	if
	:: at < FRAMES -> atomic { nfull(buffer[who]) -> buffer[who] ! MARK(at) }
	:: else /* the baseline tells */
	fi
}

#define belongs(at, p) ((at) >= FRAMES || owner[at] == (p))

/* The instruction is tried until it does not fault. */
inline store_data(who, p)
{
	do
	:: refused(at, p) -> break
	:: atomic { present[at] && !refused(at, p) && nfull(buffer[who]) ->
		assert(belongs(at, p));
		buffer[who] ! DATA(at, p, next);
		next = 1 - next;
		break }
	:: atomic { !present[at] && !refused(at, p) ->
		assert(belongs(at, p));
		faulted[at] = 1 };
		!faulted[at]
	od
}

inline load_data(who, p)
{
	do
	:: d_step { present[at] ->
		assert(belongs(at, p));
		/* Its own stores may be in the buffer still: they are not yet in truth[], either. */
		assert(value[at] == truth[p]) };
		break
	:: atomic { !present[at] -> assert(belongs(at, p)); faulted[at] = 1 }; !faulted[at]
	od
}

inline translate(who, p)
{
#if PROTECTS
	late = readonly[p];
#endif
#ifdef M_LOAD_FIRST
	look(p);
	publish(who, p);
#else
	publish(who, p);
	look(p);
#endif
	do
	:: resident(st) -> break
#ifdef M_MISS_ONCE
	:: else -> miss(who, p); look(p); break
#else
	:: else -> miss(who, p); look(p)
#endif
	od;
	atomic {
		if
		:: st == INPLACE -> at = home(p)
		:: else -> at = fr
		fi;
#if PROTECTS
		assert(!late || at == home(p) || !readonly[p]);
		late = 0;
#endif
		st = 0;
		fr = 0
	}
}

inline access(who, p)
{
	translate(who, p);
	if
	:: write ->
#ifdef M_MARK_AFTER
		store_data(who, p);
		mark(who)
#else
#ifndef M_NO_MARK
		mark(who);
#endif
		store_data(who, p)
#endif
	:: else -> load_data(who, p)
	fi
}

inline choose(p)
{
	if
	:: p = 0
#ifndef ONE
	:: p = 1
#endif
#if PAGES > 2
	:: p = 2
#endif
	fi
}

inline choose_access(p)
{
#ifdef NARROW
	p = 0;
	write = 1
#else
	choose(p);
	if
	:: write = 0
	:: write = 1
	fi
#endif
}

#if SIGNALS
#define PROVIDED(l) provided (level == l)
#else
#define PROVIDED(l)
#endif

proctype Guard(byte who) PROVIDED(0)
{
	byte p, st, fr, at, drained;
	bit next = 1, write;
#if OPS
	byte left = OPS;
#endif
#if PROTECTS
	bit late, shielded;
#endif

again:
	{
		do
#if OPS
		:: atomic { left > 0 -> left--; choose_access(p) };
#else
		:: atomic { true -> choose_access(p) };
#endif
			access(who, p);
			atomic { at = 0; write = 0; p = 0 }
#if OPS
		:: else -> break
#endif
		od
	}
#if SIGNALS
	unless { atomic { abandoned -> abandoned = 0; st = 0; fr = 0; goto again } }
#endif
#if OPS
	;
	if
	:: d_step { drain(who); slot[who] = NOBODY } /* it ends */
	:: true /* it blocks for ever, its slot stays set */
	fi
#endif
}

/* --- signal handlers ---------------------------------------------------------------------------*/

#if SIGNALS
/* Interrupts the thread anywhere, but for its misses. */
proctype Kernel()
{
	byte left = SIGNALS;

end:
	do
	:: atomic { left > 0 && level < 2 && !in_miss && !abandoned -> level++; left-- }
	:: left == 0 -> break
	od
}

/* The runtime's wrapper around a handler that runs guarded code. */
inline handle(who, p)
{
	d_step { area = depth; depth++ };
	atomic { nfull(buffer[who]) ->
		my_saved[area] = my_slot;
		buffer[who] ! SAVE(area, my_slot) };
#ifdef NARROW
	p = 1;
#else
	choose_access(p);
#endif
	access(who, p);
#ifdef M_DEPTH_BEFORE_RESTORE
	depth--;
	publish(who, my_saved[area])
#else
#ifndef M_NO_RESTORE
	publish(who, my_saved[area]);
#endif
	depth--
#endif
}

proctype Handler1() provided (level == 1)
{
	byte p, st, fr, at, drained, area;
	bit next = 0, write;

end:
	do
	:: handle(0, p);
		atomic { p = 0; at = 0; write = 0; area = 0; level = 0 }
	:: atomic { true -> abandoned = 1; depth = 0; level = 0 }
	od
}

proctype Handler2() provided (level == 2)
{
	byte p, st, fr, at, drained, area;
	bit next = 1, write;

end:
	do
	:: handle(0, p);
		atomic { p = 0; at = 0; write = 0; area = 0; level = 1 }
	od
}
#endif

/* --- code without guards -----------------------------------------------------------------------*/

proctype Raw(byte p)
{
	bit next = 1;
#if RAW_OPS
	byte left = RAW_OPS;
#endif

	do
#if RAW_OPS
	:: left > 0 -> left--;
#else
	:: true ->
#endif
		do
		:: d_step { present[home(p)] -> assert(value[home(p)] == truth[p]) }; break
		:: d_step { present[home(p)] && !refused(home(p), p) ->
			truth[p] = next;
			value[home(p)] = next;
			next = 1 - next };
			break
		:: atomic { !present[home(p)] -> faulted[home(p)] = 1 }; !faulted[home(p)]
		od
#if RAW_OPS
	:: else -> break
#endif
	od
}

/* --- the evictor -------------------------------------------------------------------------------*/

/* Each thread passes a full barrier at some moment of the call. */
inline membarrier()
{
	d_step { drain(0) }
#if GUARDS > 1
	d_step { drain(1) }
#endif
}

inline scan(p)
{
	found = 0;
#if SIGNALS && defined(M_SAVED_FIRST)
	found = found || (saved[0] == p);
	found = found || (saved[1] == p);
#endif
	found = found || (slot[0] == p);
#if GUARDS > 1
	found = found || (slot[1] == p);
#endif
#if SIGNALS && !defined(M_SAVED_FIRST) && !defined(M_NO_SAVED)
	found = found || (saved[0] == p);
	found = found || (saved[1] == p);
#endif
	skip
}

inline gather(p, f)
{
	atomic {
		send = dirty[f] || (based[f] && content != baseline[f])
	}
}

inline write_back(p)
{
	if
	:: send -> store[p] = content; stale[p] = 0
	:: else
	fi
}

inline free_frame(f)
{
	owner[f] = NOBODY;
	present[f] = 0;
	value[f] = 0;
	dirty[f] = 0;
	based[f] = 0;
	baseline[f] = 0
}

/* The page is busy, and ours. */
inline evict(p)
{
#ifdef M_GATHER_BEFORE_BARRIER
	content = value[at];
	gather(p, f);
#endif
#ifndef M_NO_BARRIER
	if
	:: inplace || !fenced[p] || KEPT == COOLING -> membarrier()
	:: else
	fi;
#endif
#ifdef M_NO_SCAN
	found = 0;
#else
	scan(p);
#endif
#ifdef M_NO_SCAN_INPLACE
	if
	:: inplace -> found = 0
	:: else
	fi;
#endif
	if
	:: found -> d_step { settle(p, (inplace -> INPLACE : KEPT)) }
	:: else ->
#ifndef M_GATHER_BEFORE_BARRIER
		d_step { content = value[at] };
#endif
		if
		:: inplace -> d_step { /* into the staging area */
			drain_all();
			assert(present[at]);
			content = value[at];
			present[at] = 0;
			value[at] = 0 }
		:: else
		fi;
#ifndef M_GATHER_BEFORE_BARRIER
		gather(p, f);
#endif
#ifdef M_SETTLE_BEFORE_WRITE
		d_step { settle(p, REMOTE) };
		d_step { write_back(p); free_frame(f) }
#else
#ifdef M_FREE_BEFORE_WRITE
		d_step { owner[f] = NOBODY };
#endif
		d_step { write_back(p) };
		if
		:: d_step { /* somebody waits for it: it stays */
			if
			:: inplace -> present[f] = 1; value[f] = content
			:: else
			fi;
			dirty[f] = 0;
			based[f] = 0;
			baseline[f] = 0;
			settle(p, KEPT) }
		:: d_step {
			assert(begins(p) == truth[p]);
			free_frame(f);
			settle(p, REMOTE) }
		fi
#endif
	fi
}

#define handler_wants (none_free && (faulted[home(0)] == 1 || faulted[home(1)] == 1))

proctype Evictor()
{
	byte p, f, at, drained;
	bit found, inplace, content, send;

end:
	do
#ifdef ROUNDS
	:: atomic { wanting > 0 || rounds > 0 || handler_wants -> rounds = (rounds > 0 -> rounds - 1 : 0);
#else
	:: atomic { true ->
#endif
		choose(p) }
		if
#ifdef M_OLD_BARRIER
		:: d_step { state[p] == FRAME -> state[p] = COOLING }
#else
		:: d_step { state[p] == FRAME -> state[p] = COOLING; fenced[p] = 0 }
#endif
#ifndef M_NO_BARRIER
		:: state[p] == COOLING && !fenced[p] -> membarrier(); fenced[p] = 1
#endif
		:: d_step { !lock && (state[p] == COOLING || state[p] == INPLACE) ->
			lock = 1;
			inplace = (state[p] == INPLACE);
			f = frame[p];
			at = (inplace -> home(p) : f);
			state[p] = (inplace -> VACATING : FLUSHING) }
			evict(p);
			d_step { lock = 0; fenced[p] = 0 }
		:: else
		fi;
		atomic { p = 0; f = 0; at = 0; found = 0; inplace = 0; content = 0; send = 0 }
	od
}

/* --- discard -----------------------------------------------------------------------------------*/

#if DISCARDS
/* The program frees a page; some slot may still name it. To it that is a store of zeros. */
proctype Discard(byte p)
{
	byte f, drained;
	bit found, inplace, has;

	atomic { !lock -> lock = 1 };
	d_step { !busy(state[p]) ->
		has = (state[p] != REMOTE);
		inplace = (state[p] == INPLACE);
		f = frame[p];
		state[p] = FETCHING };
#ifndef M_DISCARD_NO_BARRIER
	membarrier();
#endif
#ifdef M_DISCARD_NO_SCAN
	found = 0;
#else
	scan(p);
#endif
#ifdef M_DISCARD_NO_SCAN_INPLACE
	found = found && !inplace;
#endif
	if
	:: !has -> d_step { truth[p] = 0; stale[p] = 1; settle(p, REMOTE) }
	:: has && inplace -> d_step { /* MADV_DONTNEED */
		drain_all();
		present[home(p)] = 0;
		value[home(p)] = 0;
		truth[p] = 0 }
	:: has && !inplace && !found -> skip
	:: has && !inplace && found ->
		/* Its holder may be between mark and store: the marks stay. */
#ifdef M_DISCARD_CLEARS_MARKS
		dirty[f] = 0;
#endif
		d_step { value[f] = 0; truth[p] = 0 }
	fi;
	if
	:: !has
	:: has && found -> d_step {
		if
		:: inplace -> present[home(p)] = 1; based[f] = 1
		:: else
		fi;
#ifndef M_DISCARD_OLD_BASELINE
		baseline[f] = 0;
#endif
		stale[p] = 1;
		settle(p, (inplace -> INPLACE : FRAME)) }
	:: has && !found -> d_step {
		truth[p] = 0;
		stale[p] = 1;
		free_frame(f);
		settle(p, REMOTE) }
	fi;
	lock = 0
}
#endif

/* --- mprotect ----------------------------------------------------------------------------------*/

#if PROTECTS
proctype Protect(byte p)
{
	byte f, drained;

	shield = 1;
#ifndef M_NO_GRACE
	gate = 1;
	!missing[0];
#if GUARDS > 1
	!missing[1];
#endif
	gate = 0;
#endif
	atomic { !lock -> lock = 1 };
	do
	:: !busy(state[p]) && state[p] != FRAME && state[p] != COOLING -> break
	:: atomic { state[p] == FRAME || state[p] == COOLING -> state[p] = VACATING; f = frame[p] };
		d_step { baseline[f] = (based[f] -> baseline[f] : value[f]); based[f] = 1 };
		d_step { move_page(f, home(p)) };
		d_step { settle(p, INPLACE) }
	od;
	skip;
	d_step { drain_all(); readonly[p] = 1; lock = 0 };
	atomic { !lock -> readonly[p] = 0 }
}
#endif

/* --- the fault handler -------------------------------------------------------------------------*/

#if RAWS
#if PROTECTS
/* By a copy, where the kernel does not move it; under the lock, or later. */
inline bring(p, from, to, s)
{
	if
	:: d_step { !readonly[p] -> move_page(from, to) }
#ifdef M_COPY_UNLOCKED
	:: readonly[p] -> copy_page(from, to, s)
#else
	:: d_step { readonly[p] && !lock -> lock = 1 };
		copy_page(from, to, s);
		lock = 0
	:: d_step { readonly[p] && lock -> settle(p, (s == FRAME -> INPLACE : KEPT));
		faulted[to] = 1 };
		break
#endif
	fi
}

inline copy_page(from, to, s)
{
	if
	:: s == FRAME -> /* read, drop, fill */
		copied = value[from];
#ifndef M_FILL_FIRST
		d_step { drain_all(); present[from] = 0; value[from] = 0 };
#endif
		d_step { value[to] = copied; present[to] = 1; faulted[to] = 0 }
#ifdef M_FILL_FIRST
		d_step { drain_all(); present[from] = 0; value[from] = 0 };
#endif
	:: else -> /* move, copy */
#ifdef M_COPY_IN_USE
		copied = value[from];
		d_step { drain_all(); present[from] = 0; value[from] = 0 };
#else
		d_step { drain_all(); copied = value[from]; present[from] = 0; value[from] = 0 };
#endif
		d_step { value[to] = copied; present[to] = 1; faulted[to] = 0 }
	fi;
	copied = 0
}
#else
inline bring(p, from, to, s)
{
	d_step { move_page(from, to) }
}
#endif

/* One message. Nothing here waits for a slot. */
inline serve(at)
{
	if
	:: at < FRAMES -> p = owner[at]
	:: else -> p = at - FRAMES
	fi;
	if
	:: p == NOBODY -> d_step { faulted[at] = 0 }
	:: else ->
		do
#ifdef M_FRAME_FAULT_NOT_KEPT
		:: d_step { busy(state[p]) -> touched[p] = 1 }; break
#else
		:: d_step { busy(state[p]) && at >= FRAMES -> touched[p] = 1 }; break
		:: d_step { busy(state[p]) && at < FRAMES -> faulted[at] = 1 }; break
#endif
		:: d_step { state[p] == REMOTE && at < FRAMES -> faulted[at] = 0 }; break
		:: d_step { state[p] == REMOTE && at >= FRAMES && none_free -> faulted[at] = 1 };
			break /* kept for later */
		:: d_step { state[p] == REMOTE && at >= FRAMES && !none_free ->
			take_frame(f);
			owner[f] = p;
			frame[p] = f;
			state[p] = FETCHING };
			d_step {
				value[at] = begins(p);
				baseline[f] = begins(p);
				based[f] = 1;
				dirty[f] = 0;
				present[at] = 1;
				faulted[at] = 0
			};
			d_step { settle(p, INPLACE) };
			break
		:: atomic { (state[p] == FRAME || state[p] == COOLING) && at >= FRAMES ->
			state[p] = VACATING;
			f = frame[p] }
#ifdef M_WAIT_FOR_SLOTS
			slot[0] != p;
#endif
#ifdef M_HASH_AFTER
			d_step { move_page(f, at) }
			d_step { baseline[f] = value[at]; based[f] = 1 }
#else
#ifdef M_HASH_AGAIN
			d_step { baseline[f] = value[f]; based[f] = 1 }
#else
			d_step { baseline[f] = (based[f] -> baseline[f] : value[f]); based[f] = 1 }
#endif
			bring(p, f, at, INPLACE);
#endif
			d_step { settle(p, INPLACE) }
			break
#ifdef M_SHIELD_FIRST
		:: state[p] == INPLACE && at < FRAMES ->
			shielded = shield;
			atomic { state[p] == INPLACE -> state[p] = VACATING }
#else
		:: atomic { state[p] == INPLACE && at < FRAMES -> state[p] = VACATING }
#endif
			bring(p, home(p), at, FRAME);
#if PROTECTS
#ifndef M_SHIELD_FIRST
			shielded = shield;
#endif
#ifdef M_SHIELD_IN_SIGHT
			shielded = 0;
#endif
			d_step { settle(p, (shielded -> COOLING : FRAME)); shielded = 0 }
#else
			d_step { settle(p, FRAME) }
#endif
			break
		:: d_step { present[at] && !busy(state[p]) -> faulted[at] = 0 }; break
		od
	fi
}

/* Kept messages are tried again when there is hope. */
#define reachable(f) (owner[f] == NOBODY || !busy(state[owner[f]]))
#define servable(p) (state[p] != REMOTE || !none_free)

proctype Faults()
{
	byte p, f, at, drained;
#if PROTECTS
	bit shielded, copied;
#endif

end:
	do
	:: atomic { faulted[0] == 1 && reachable(0) -> at = 0; faulted[at] = 2 }; serve(at)
	:: atomic { faulted[1] == 1 && reachable(1) -> at = 1; faulted[at] = 2 }; serve(at)
	:: atomic { faulted[home(0)] == 1 && servable(0) -> at = home(0); faulted[at] = 2 }; serve(at)
	:: atomic { faulted[home(1)] == 1 && servable(1) -> at = home(1); faulted[at] = 2 }; serve(at)
	od
}
#endif

init {
	atomic {
		byte i = 0;
		do
		:: i < FRAMES -> owner[i] = NOBODY; i++
		:: else -> break
		od;
#ifdef FIRST /* what page 0 holds at the start */
		store[0] = FIRST;
		truth[0] = FIRST;
#endif
		slot[0] = NOBODY;
#if GUARDS > 1
		slot[1] = NOBODY;
#endif
		run Evictor();
#if RAWS
		run Faults();
		run Raw(0);
#endif
#if DISCARDS
		run Discard(0);
#endif
#if PROTECTS
		run Protect(0);
#endif
#if SIGNALS
		saved[0] = NOBODY;
		saved[1] = NOBODY;
		run Kernel();
		run Handler1();
		run Handler2();
#endif
		run Guard(0);
#if GUARDS > 1
		run Guard(1);
#endif
	}
}
