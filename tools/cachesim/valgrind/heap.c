/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Misses and dirty lines by the place that allocated the memory.
 *
 * The program keeps its own allocator (replacing it would move its data, and with them its misses).
 * Walk: a block that starts where malloc, free and their kin do gets a call with the arguments; the
 * block that returns to the caller, known by the stack pointer, gets one with the result. A miss,
 * and each dirty line at the end of a window, looks up the block of memory it lies in.
 *
 * State: the live blocks by address; the sites, one per call stack; the allocation under way of
 * each thread. Memory grows with the number of live blocks. Nothing fails but memory, which ends
 * the run. What an allocator hands out without these functions, stacks and static data are one
 * site.
 */
#include "pub_tool_debuginfo.h"
#include "pub_tool_execontext.h"
#include "pub_tool_machine.h"
#include "pub_tool_mallocfree.h"
#include "pub_tool_threadstate.h"
#include "pub_tool_wordfm.h"
#include "pub_tool_xarray.h"

#include "libvex_guest_amd64.h"
#include "tool.h"

enum heap_call { CALL_MALLOC, CALL_CALLOC, CALL_REALLOC, CALL_ALIGNED, CALL_POSIX, CALL_FREE };

struct memory {
	SizeT bytes;
	Bool freed; /* within this window: its dirty lines are still to be counted */
	struct heap_site *site;
};

struct pending {
	Addr stack; /* pointer after the return; 0: nothing under way */
	enum heap_call call;
	Addr old;    /* of realloc: the memory to give up */
	Addr result; /* of posix_memalign: where the address goes */
	SizeT bytes;
	ExeContext *context;
};

static struct pending pending; /* of the running thread */
static struct pending *parked; /* of each thread */
static ThreadId running;
static WordFM *blocks; /* address -> struct memory */
static WordFM *sites;  /* ECU -> struct heap_site */
static ULong page_serial;

struct heap_site tool_heap_other = {.context = NULL};

static void *allocate(const HChar *cost_centre, SizeT bytes)
{
	return VG_(malloc)(cost_centre, bytes);
}

void tool_heap_start(void)
{
	blocks = VG_(newFM)(allocate, "kona-sim.blocks", VG_(free), NULL);
	sites = VG_(newFM)(allocate, "kona-sim.sites", VG_(free), NULL);
	/* What a thread had under way comes back with it. */
	parked = VG_(calloc)("kona-sim.parked", VG_N_THREADS, sizeof(*parked));
}

void tool_heap_switch(ThreadId thread)
{
	if (thread == running)
		return;
	parked[running] = pending;
	pending = parked[thread];
	running = thread;
}

static struct heap_site *site_of(ExeContext *context)
{
	UWord key = VG_(get_ECU_from_ExeContext)(context), value;
	struct heap_site *site;

	if (VG_(lookupFM)(sites, NULL, &value, key))
		return (struct heap_site *)value;
	site = VG_(calloc)("kona-sim.site", 1, sizeof(*site));
	site->context = context;
	VG_(addToFM)(sites, key, (UWord)site);
	return site;
}

static void drop(Addr address)
{
	UWord value;

	if (VG_(delFromFM)(blocks, NULL, &value, address))
		VG_(free)((void *)value);
}

static void forget(Addr address)
{
	UWord value;

	if (!tool_pattern)
		drop(address);
	else if (VG_(lookupFM)(blocks, NULL, &value, address))
		((struct memory *)value)->freed = True;
}

void tool_heap_end_window(void)
{
	XArray *dead = VG_(newXA)(VG_(malloc), "kona-sim.dead", VG_(free), sizeof(UWord));
	UWord address, value;

	VG_(initIterFM)(blocks);
	while (VG_(nextIterFM)(blocks, &address, &value))
		if (((struct memory *)value)->freed)
			VG_(addToXA)(dead, &address);
	VG_(doneIterFM)(blocks);
	for (Word i = 0; i < VG_(sizeXA)(dead); i++)
		drop(*(UWord *)VG_(indexXA)(dead, i));
	VG_(deleteXA)(dead);
}

static void remember(Addr address, SizeT bytes, ExeContext *context)
{
	struct memory *memory;

	drop(address);
	memory = VG_(malloc)("kona-sim.memory", sizeof(*memory));
	memory->bytes = bytes;
	memory->freed = False;
	memory->site = site_of(context);
	memory->site->allocations++;
	memory->site->bytes += bytes;
	VG_(addToFM)(blocks, address, (UWord)memory);
}

/* The arguments as registers hold them at the function's entry. */
static void heap_enter(HWord call, HWord first, HWord second, HWord third, HWord stack)
{
	if (call == CALL_FREE) {
		forget(first);
		return;
	}
	pending = (struct pending){.stack = stack + sizeof(Addr), .call = (enum heap_call)call};
	pending.context = VG_(record_ExeContext)(VG_(get_running_tid)(), 0);
	switch (pending.call) {
	case CALL_CALLOC:
		pending.bytes = first * second;
		break;
	case CALL_REALLOC:
		pending.old = first;
		pending.bytes = second;
		break;
	case CALL_ALIGNED:
		pending.bytes = second;
		break;
	case CALL_POSIX:
		pending.result = first;
		pending.bytes = third;
		break;
	default:
		pending.bytes = first;
	}
}

/* The function that was entered last is returning. */
static void heap_leave(HWord value)
{
	Addr address = value;

	pending.stack = 0;
	if (pending.call == CALL_POSIX)
		address = value ? 0 : *(Addr *)pending.result;
	if (!address)
		return;
	if (pending.call == CALL_REALLOC)
		forget(pending.old);
	remember(address, pending.bytes, pending.context);
}

static Bool call_at(Addr pc, enum heap_call *call)
{
	static const struct {
		const HChar *name;
		enum heap_call call;
	} calls[] = {
		{"malloc", CALL_MALLOC},
		{"__libc_malloc", CALL_MALLOC},
		{"calloc", CALL_CALLOC},
		{"__libc_calloc", CALL_CALLOC},
		{"realloc", CALL_REALLOC},
		{"__libc_realloc", CALL_REALLOC},
		{"memalign", CALL_ALIGNED},
		{"__libc_memalign", CALL_ALIGNED},
		{"aligned_alloc", CALL_ALIGNED},
		{"posix_memalign", CALL_POSIX},
		{"free", CALL_FREE},
		{"__libc_free", CALL_FREE},
		{"cfree", CALL_FREE},
	};
	const HChar *name;

	if (!VG_(get_fnname_if_entry)(VG_(current_DiEpoch)(), pc, &name))
		return False;
	for (UInt i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (VG_STREQ(name, calls[i].name)) {
			*call = calls[i].call;
			return True;
		}
	}
	return False;
}

static IRExpr *get(IRSB *out, Int offset)
{
	IRTemp temp = newIRTemp(out->tyenv, Ity_I64);

	addStmtToIRSB(out, IRStmt_WrTmp(temp, IRExpr_Get(offset, Ity_I64)));
	return IRExpr_RdTmp(temp);
}

/* The call stack is walked from these. */
static void reads_frame(IRDirty *call)
{
	static const Int offsets[] = {offsetof(VexGuestAMD64State, guest_RIP),
				      offsetof(VexGuestAMD64State, guest_RSP),
				      offsetof(VexGuestAMD64State, guest_RBP)};

	call->nFxState = 3;
	for (Int i = 0; i < 3; i++) {
		VG_(memset)(&call->fxState[i], 0, sizeof(call->fxState[i]));
		call->fxState[i].fx = Ifx_Read;
		call->fxState[i].offset = (UShort)offsets[i];
		call->fxState[i].size = sizeof(ULong);
	}
}

void tool_heap_at_start(IRSB *out, Addr pc)
{
	enum heap_call call;
	IRExpr **arguments;
	IRDirty *dirty;

	if (!call_at(pc, &call))
		return;
	arguments = mkIRExprVec_5(mkIRExpr_HWord(call),
				  get(out, offsetof(VexGuestAMD64State, guest_RDI)),
				  get(out, offsetof(VexGuestAMD64State, guest_RSI)),
				  get(out, offsetof(VexGuestAMD64State, guest_RDX)),
				  get(out, offsetof(VexGuestAMD64State, guest_RSP)));
	dirty = unsafeIRDirty_0_N(0, "heap_enter", VG_(fnptr_to_fnentry)(heap_enter), arguments);
	reads_frame(dirty);
	addStmtToIRSB(out, IRStmt_Dirty(dirty));
}

void tool_heap_at_return(IRSB *out)
{
	IRTemp wanted = newIRTemp(out->tyenv, Ity_I64);
	IRTemp same = newIRTemp(out->tyenv, Ity_I1);
	IRExpr *stack = get(out, offsetof(VexGuestAMD64State, guest_RSP));
	IRDirty *dirty;

	addStmtToIRSB(out,
		      IRStmt_WrTmp(wanted, IRExpr_Load(Iend_LE, Ity_I64,
						       mkIRExpr_HWord((HWord)&pending.stack))));
	addStmtToIRSB(out,
		      IRStmt_WrTmp(same, IRExpr_Binop(Iop_CmpEQ64, stack, IRExpr_RdTmp(wanted))));
	dirty = unsafeIRDirty_0_N(0, "heap_leave", VG_(fnptr_to_fnentry)(heap_leave),
				  mkIRExprVec_1(get(out, offsetof(VexGuestAMD64State, guest_RAX))));
	dirty->guard = IRExpr_RdTmp(same);
	addStmtToIRSB(out, IRStmt_Dirty(dirty));
}

struct heap_site *tool_heap_site(Addr address)
{
	UWord start, value, end, unused;

	if (!VG_(lookupFM)(blocks, &start, &value, address)) {
		if (!VG_(findBoundsFM)(blocks, &start, &value, &end, &unused, 0, 0, ~(UWord)0, 0,
				       address))
			return &tool_heap_other;
	}
	if (!value || address - start >= ((struct memory *)value)->bytes)
		return &tool_heap_other;
	return ((struct memory *)value)->site;
}

/* A line belongs to the block that holds its first byte, or else to one that starts within it. */
static struct heap_site *site_of_line(Addr line)
{
	struct heap_site *site = tool_heap_site(line);

	return site == &tool_heap_other ? tool_heap_site(line + 63) : site;
}

void tool_heap_page(uint64_t page, uint64_t written, const uint64_t *bytes)
{
	page_serial++;
	for (; written; written &= written - 1) {
		UInt line = (UInt)__builtin_ctzll(written);
		struct heap_site *site = site_of_line(page * VKI_PAGE_SIZE + line * 64);

		site->lines_written++;
		site->bytes_written += bytes ? (ULong)__builtin_popcountll(bytes[line]) : 0;
		site->pages_dirty += site->last_page != page_serial;
		site->last_page = page_serial;
	}
}

void tool_heap_each(void (*visit)(const struct heap_site *site))
{
	UWord value;

	visit(&tool_heap_other);
	VG_(initIterFM)(sites);
	while (VG_(nextIterFM)(sites, NULL, &value))
		visit((const struct heap_site *)value);
	VG_(doneIterFM)(sites);
}
