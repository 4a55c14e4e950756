/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instrumentation: what is added to each translated block.
 *
 * Walk: Valgrind hands over a superblock of its intermediate form -> each load and store gets, in
 * front of the next event, an inline test of the engine's filter and a call guarded by it -> counts
 * of instructions and references, known statically between two exits, are added before each exit.
 *
 * Most accesses hit the most recent line of their L1 set: they change nothing in the simulation,
 * and the test (shift, and, load, subtract, compare) takes them out. The counting rules are
 * Cachegrind's: a read and a write of the same operand by one instruction are one event, which
 * counts as a read; operands larger than a line count as one line.
 *
 * State: the pending event, kept back until it is known that no write to its operand follows;
 * sites, one per access in the code, kept for the whole run. Nothing fails but memory, which ends
 * the run.
 */
#include "pub_tool_machine.h"
#include "pub_tool_mallocfree.h"

#include "tool.h"

struct block {
	IRSB *out;
	UInt instructions, reads, writes, modifies; /* since the last exit */
	Addr pc;
	Addr fetched_line; /* the line of the instruction before, when in this block */
	struct site *pending;
	IRExpr *pending_address;
};

static IRExpr *constant(ULong value)
{
	return IRExpr_Const(IRConst_U64(value));
}

static IRExpr *assign(struct block *block, IRType type, IRExpr *expression)
{
	IRTemp temp = newIRTemp(block->out->tyenv, type);

	addStmtToIRSB(block->out, IRStmt_WrTmp(temp, expression));
	return IRExpr_RdTmp(temp);
}

static IRExpr *binary(struct block *block, IROp op, IRType type, IRExpr *a, IRExpr *b)
{
	return assign(block, type, IRExpr_Binop(op, a, b));
}

static ULong ticks_of_dram(void)
{
	struct kona_sim_counts counts;

	kona_sim_counts(tool_sim, &counts);
	return counts.dram[KONA_SIM_SIDE_READ] + counts.dram[KONA_SIM_SIDE_WRITE];
}

static VG_REGPARM(2) void touch(Addr address, struct site *site)
{
	kona_sim_access(tool_sim, address, site->bytes, (enum kona_sim_kind)site->kind);
}

static void note_misses(Addr address, struct site *site, ULong misses)
{
	Bool writes = site->kind == KONA_SIM_WRITE || site->kind == KONA_SIM_MODIFY;
	struct heap_site *heap;

	site->l1_misses++;
	site->dram_misses += misses;
	site->dram_writes += writes ? misses : 0;
	if (!tool_options.heap || !misses || site->kind == KONA_SIM_FETCH)
		return;
	heap = tool_heap_site(address);
	heap->dram_misses += misses;
	heap->dram_writes += writes ? misses : 0;
}

/* The same with patterns or attribution, which most runs do without. */
static VG_REGPARM(2) void touch_and_note(Addr address, struct site *site)
{
	Bool writes = site->kind == KONA_SIM_WRITE || site->kind == KONA_SIM_MODIFY;
	Bool attributes = tool_options.attribute || tool_options.heap;
	ULong before = attributes ? ticks_of_dram() : 0;

	if (tool_pattern && site->kind != KONA_SIM_FETCH)
		kona_pattern_note(tool_pattern, address, site->bytes, site->kind != KONA_SIM_WRITE,
				  writes);
	kona_sim_access(tool_sim, address, site->bytes, (enum kona_sim_kind)site->kind);
	if (attributes) {
		kona_sim_walk(tool_sim);
		note_misses(address, site, ticks_of_dram() - before);
	}
}

/* Every store, for its bytes; what the inline test would do comes after. */
static VG_REGPARM(2) void touch_bytes(Addr address, struct site *site)
{
	const struct kona_sim_filter *filter = kona_sim_filter(tool_sim);
	UInt line_shift = (UInt)__builtin_ctz(tool_config.line_bytes);
	ULong base = filter->write[address >> line_shift & filter->data_mask];

	kona_pattern_note_bytes(tool_pattern, address, site->bytes);
	if (address - base > tool_config.line_bytes - site->bytes)
		touch_and_note(address, site);
}

/* A conditional access: its count depends on the guard, so the helper keeps it. */
static VG_REGPARM(2) void touch_guarded(Addr address, struct site *site)
{
	if (site->kind == KONA_SIM_WRITE)
		tool_counters.writes++;
	else
		tool_counters.reads++;
	if (site->kind == KONA_SIM_WRITE && tool_options.bytes)
		touch_bytes(address, site);
	else
		touch_and_note(address, site);
}

static struct site *new_site(UInt bytes, enum kona_sim_kind kind, Addr pc)
{
	struct site *site = VG_(perm_malloc)(sizeof(*site), vg_alignof(struct site));

	VG_(memset)(site, 0, sizeof(*site));
	if (bytes > tool_config.line_bytes)
		bytes = tool_config.line_bytes;
	site->bytes = bytes;
	site->kind = kind;
	site->pc = pc;
	site->next = tool_sites;
	tool_sites = site;
	return site;
}

static void add_call(struct block *block, const HChar *name, void *function, IRExpr *address,
		     struct site *site, IRExpr *guard)
{
	IRDirty *call = unsafeIRDirty_0_N(2, name, VG_(fnptr_to_fnentry)(function),
					  mkIRExprVec_2(address, mkIRExpr_HWord((HWord)site)));

	if (guard)
		call->guard = guard;
	addStmtToIRSB(block->out, IRStmt_Dirty(call));
}

/* The test and the guarded call. An entry holds a line's base address: one compare for both ends.
 */
static void add_access(struct block *block, IRExpr *address, struct site *site)
{
	struct kona_sim_filter *filter = kona_sim_filter(tool_sim);
	UInt line_shift = (UInt)__builtin_ctz(tool_config.line_bytes);
	const uint64_t *table = site->kind == KONA_SIM_READ    ? filter->read
				: site->kind == KONA_SIM_FETCH ? filter->fetch
							       : filter->write;
	ULong mask = site->kind == KONA_SIM_FETCH ? filter->fetch_mask : filter->data_mask;
	Bool notes = tool_pattern || tool_options.attribute || tool_options.heap;
	IRExpr *at, *entry, *past, *guard;

	if (tool_options.bytes && table == filter->write) {
		add_call(block, "touch_bytes", touch_bytes, address, site, NULL);
		return;
	}
	at = binary(block, Iop_Shr64, Ity_I64, address,
		    IRExpr_Const(IRConst_U8((UChar)(line_shift - 3))));
	at = binary(block, Iop_And64, Ity_I64, at, constant(mask << 3));
	at = binary(block, Iop_Add64, Ity_I64, at, constant((ULong)(Addr)table));
	entry = assign(block, Ity_I64, IRExpr_Load(Iend_LE, Ity_I64, at));
	past = binary(block, Iop_Sub64, Ity_I64, address, entry);
	guard = binary(block, Iop_CmpLT64U, Ity_I1, constant(tool_config.line_bytes - site->bytes),
		       past);
	add_call(block, notes ? "touch_and_note" : "touch", notes ? touch_and_note : touch, address,
		 site, guard);
}

static void flush_pending(struct block *block)
{
	if (!block->pending)
		return;
	add_access(block, block->pending_address, block->pending);
	if (block->pending->kind == KONA_SIM_WRITE)
		block->writes++;
	else
		block->reads++;
	block->modifies += block->pending->kind == KONA_SIM_MODIFY;
	block->pending = NULL;
}

static void note_read(struct block *block, IRExpr *address, UInt bytes)
{
	flush_pending(block);
	block->pending = new_site(bytes, KONA_SIM_READ, block->pc);
	block->pending_address = address;
}

static void note_write(struct block *block, IRExpr *address, UInt bytes)
{
	struct site *pending = block->pending;

	if (pending && pending->kind == KONA_SIM_READ && pending->pc == block->pc &&
	    pending->bytes == bytes && eqIRAtom(block->pending_address, address)) {
		pending->kind = KONA_SIM_MODIFY;
		return;
	}
	flush_pending(block);
	block->pending = new_site(bytes, KONA_SIM_WRITE, block->pc);
	block->pending_address = address;
}

static void note_guarded(struct block *block, IRExpr *address, UInt bytes, IRExpr *guard,
			 enum kona_sim_kind kind)
{
	flush_pending(block);
	add_call(block, "touch_guarded", touch_guarded, address, new_site(bytes, kind, block->pc),
		 guard);
}

/* Neighbouring instructions of one line are one fetch: the line stays the most recent of its set.
 */
static void note_instruction(struct block *block, Addr pc, UInt bytes)
{
	Addr line_mask = ~(Addr)(tool_config.line_bytes - 1);
	Addr last = pc + bytes - 1;

	flush_pending(block);
	block->pc = pc;
	block->instructions++;
	if (!tool_options.fetches || !bytes)
		return;
	if ((pc & line_mask) != block->fetched_line || (last & line_mask) != block->fetched_line)
		add_access(block, constant(pc), new_site(bytes, KONA_SIM_FETCH, pc));
	block->fetched_line = last & line_mask;
}

static void add_to(struct block *block, ULong *counter, ULong amount)
{
	IRExpr *address = mkIRExpr_HWord((HWord)counter);
	IRExpr *sum;

	if (!amount)
		return;
	sum = assign(block, Ity_I64, IRExpr_Load(Iend_LE, Ity_I64, address));
	sum = binary(block, Iop_Add64, Ity_I64, sum, constant(amount));
	addStmtToIRSB(block->out, IRStmt_Store(Iend_LE, address, sum));
}

static void add_counts(struct block *block)
{
	flush_pending(block);
	add_to(block, &tool_counters.instructions, block->instructions);
	add_to(block, &tool_counters.packed_refs, block->reads | (ULong)block->writes << 32);
	add_to(block, &tool_counters.modifies, block->modifies);
	block->instructions = block->reads = block->writes = block->modifies = 0;
}

static void note_dirty(struct block *block, const IRDirty *dirty)
{
	UInt bytes = (UInt)dirty->mSize;

	if (dirty->mFx == Ifx_None)
		return;
	if (bytes > tool_config.line_bytes)
		bytes = tool_config.line_bytes;
	if (dirty->mFx == Ifx_Read || dirty->mFx == Ifx_Modify)
		note_read(block, dirty->mAddr, bytes);
	if (dirty->mFx == Ifx_Write || dirty->mFx == Ifx_Modify)
		note_write(block, dirty->mAddr, bytes);
}

static void note_statement(struct block *block, const IRStmt *st, const IRTypeEnv *env)
{
	IRType loaded, widened;
	UInt bytes;

	switch (st->tag) {
	case Ist_IMark:
		note_instruction(block, st->Ist.IMark.addr + st->Ist.IMark.delta,
				 st->Ist.IMark.len);
		break;
	case Ist_WrTmp:
		if (st->Ist.WrTmp.data->tag == Iex_Load)
			note_read(block, st->Ist.WrTmp.data->Iex.Load.addr,
				  sizeofIRType(st->Ist.WrTmp.data->Iex.Load.ty));
		break;
	case Ist_Store:
		note_write(block, st->Ist.Store.addr,
			   sizeofIRType(typeOfIRExpr(env, st->Ist.Store.data)));
		break;
	case Ist_StoreG:
		note_guarded(block, st->Ist.StoreG.details->addr,
			     sizeofIRType(typeOfIRExpr(env, st->Ist.StoreG.details->data)),
			     st->Ist.StoreG.details->guard, KONA_SIM_WRITE);
		break;
	case Ist_LoadG:
		typeOfIRLoadGOp(st->Ist.LoadG.details->cvt, &widened, &loaded);
		note_guarded(block, st->Ist.LoadG.details->addr, sizeofIRType(loaded),
			     st->Ist.LoadG.details->guard, KONA_SIM_READ);
		break;
	case Ist_Dirty:
		note_dirty(block, st->Ist.Dirty.details);
		break;
	case Ist_CAS:
		bytes = sizeofIRType(typeOfIRExpr(env, st->Ist.CAS.details->dataLo));
		if (st->Ist.CAS.details->dataHi)
			bytes *= 2;
		note_read(block, st->Ist.CAS.details->addr, bytes);
		note_write(block, st->Ist.CAS.details->addr, bytes);
		break;
	case Ist_Exit:
		add_counts(block);
		break;
	default:
		break;
	}
}

IRSB *tool_instrument(VgCallbackClosure *closure, IRSB *in, const VexGuestLayout *layout,
		      const VexGuestExtents *extents, const VexArchInfo *host, IRType guest_word,
		      IRType host_word)
{
	struct block block = {.out = deepCopyIRSBExceptStmts(in)};
	Int i = 0;

	/* What stands before the first instruction is the check for self-modified code. */
	while (i < in->stmts_used && in->stmts[i]->tag != Ist_IMark)
		addStmtToIRSB(block.out, in->stmts[i++]);
	for (; i < in->stmts_used; i++) {
		IRStmt *st = in->stmts[i];

		if (!st || st->tag == Ist_NoOp)
			continue;
		note_statement(&block, st, in->tyenv);
		addStmtToIRSB(block.out, st);
		if (st->tag == Ist_IMark && tool_options.heap)
			tool_heap_at_start(block.out, (Addr)st->Ist.IMark.addr);
	}
	add_counts(&block);
	if (tool_options.heap && in->jumpkind == Ijk_Ret)
		tool_heap_at_return(block.out);
	return block.out;
}
