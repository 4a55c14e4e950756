/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instrumentation: what is added to each translated block.
 *
 * Walk: Valgrind hands over a superblock of its intermediate form -> each load and store gets, in
 * front of the next event, an inline test of the engine's filter and a call guarded by it -> counts
 * of instructions and references, known statically between two exits, are added before each exit.
 *
 * Most accesses hit the most recent line of their L1 set: they change nothing in the simulation,
 * and the test (shift, and, load, subtract, compare) takes them out. Neighbouring accesses at fixed
 * distances from one register, which fit in a line, share a test: when their whole span lies in a
 * most recent line none of them changes anything, else the helper takes them one by one, in order.
 * The counting rules are Cachegrind's: a read and a write of the same operand by one instruction
 * are one event, which counts as a read; operands larger than a line count as one line.
 *
 * State: the pending event, kept back until it is known that no write to its operand follows;
 * sites, one per access in the code, kept for the whole run. Nothing fails but memory, which ends
 * the run.
 */
#include "pub_tool_machine.h"
#include "pub_tool_mallocfree.h"

#include "tool.h"

enum { GROUP_MAX = 8 };

/* An address as base + offset. IRTemp_INVALID: the offset is all. */
struct place {
	IRTemp base;
	Long offset;
};

struct block {
	IRSB *out;
	UInt instructions, reads, writes, modifies; /* since the last exit */
	Addr pc;
	Addr fetched_line;	   /* the line of the instruction before, when in this block */
	struct site *first, *last; /* of the pending group; NULL: none */
	UInt pending_count;
	IRExpr *last_address;
	struct place low; /* of the group */
	Long high;	  /* offset of its end */
	Bool writes_any;
	struct place *places; /* by temporary: what it is known to be */
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

/* The same with patterns or attribution, which most runs do without. */
static VG_REGPARM(2) void touch_and_note(Addr address, struct site *site)
{
	Bool writes = site->kind == KONA_SIM_WRITE || site->kind == KONA_SIM_MODIFY;
	ULong before = tool_options.attribute ? ticks_of_dram() : 0;

	if (tool_pattern && site->kind != KONA_SIM_FETCH)
		kona_pattern_note(tool_pattern, address, site->bytes, site->kind != KONA_SIM_WRITE,
				  writes);
	kona_sim_access(tool_sim, address, site->bytes, (enum kona_sim_kind)site->kind);
	if (tool_options.attribute) {
		ULong misses = ticks_of_dram() - before;

		site->l1_misses++;
		site->dram_misses += misses;
		site->dram_writes += writes ? misses : 0;
	}
}

/* A conditional access: its count depends on the guard, so the helper keeps it. */
static VG_REGPARM(2) void touch_guarded(Addr address, struct site *site)
{
	if (site->kind == KONA_SIM_WRITE)
		tool_counters.writes++;
	else
		tool_counters.reads++;
	touch_and_note(address, site);
}

static VG_REGPARM(2) void touch_group(Addr lowest, struct site *site)
{
	for (; site; site = site->group_next)
		touch(lowest + (Addr)site->offset, site);
}

static VG_REGPARM(2) void touch_group_and_note(Addr lowest, struct site *site)
{
	for (; site; site = site->group_next)
		touch_and_note(lowest + (Addr)site->offset, site);
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

/* The inline test: 1 when bytes at address do not lie within a most recent line. */
static IRExpr *add_test(struct block *block, IRExpr *address, ULong bytes, const uint64_t *table,
			ULong mask)
{
	UInt line_shift = (UInt)__builtin_ctz(tool_config.line_bytes);
	IRExpr *at, *entry, *past;

	at = binary(block, Iop_Shr64, Ity_I64, address,
		    IRExpr_Const(IRConst_U8((UChar)(line_shift - 3))));
	at = binary(block, Iop_And64, Ity_I64, at, constant(mask << 3));
	at = binary(block, Iop_Add64, Ity_I64, at, constant((ULong)(Addr)table));
	entry = assign(block, Ity_I64, IRExpr_Load(Iend_LE, Ity_I64, at));
	past = binary(block, Iop_Sub64, Ity_I64, address, entry);
	return binary(block, Iop_CmpLT64U, Ity_I1, constant(tool_config.line_bytes - bytes), past);
}

static void add_fetch(struct block *block, Addr pc, UInt bytes)
{
	struct kona_sim_filter *filter = kona_sim_filter(tool_sim);
	struct site *site = new_site(bytes, KONA_SIM_FETCH, pc);
	IRExpr *guard =
		add_test(block, constant(pc), site->bytes, filter->fetch, filter->fetch_mask);

	add_call(block, "touch", touch, constant(pc), site, guard);
}

static void count_site(struct block *block, const struct site *site)
{
	if (site->kind == KONA_SIM_WRITE)
		block->writes++;
	else
		block->reads++;
	block->modifies += site->kind == KONA_SIM_MODIFY;
}

static IRExpr *lowest_address(struct block *block)
{
	if (block->low.base == IRTemp_INVALID)
		return constant((ULong)block->low.offset);
	if (!block->low.offset)
		return IRExpr_RdTmp(block->low.base);
	return binary(block, Iop_Add64, Ity_I64, IRExpr_RdTmp(block->low.base),
		      constant((ULong)block->low.offset));
}

static void flush_pending(struct block *block)
{
	struct kona_sim_filter *filter = kona_sim_filter(tool_sim);
	const uint64_t *table = block->writes_any ? filter->write : filter->read;
	Bool notes = tool_pattern || tool_options.attribute;
	IRExpr *address, *guard;

	if (!block->first)
		return;
	for (struct site *site = block->first; site; site = site->group_next) {
		site->offset -= block->low.offset;
		count_site(block, site);
	}
	address = lowest_address(block);
	guard = add_test(block, address, (ULong)(block->high - block->low.offset), table,
			 filter->data_mask);
	if (block->first == block->last)
		add_call(block, notes ? "touch_and_note" : "touch", notes ? touch_and_note : touch,
			 address, block->first, guard);
	else
		add_call(block, notes ? "touch_group_and_note" : "touch_group",
			 notes ? touch_group_and_note : touch_group, address, block->first, guard);
	block->first = block->last = NULL;
	block->writes_any = False;
	block->pending_count = 0;
}

/* Follows additions of constants, which is what stack and structure accesses are made of. */
static struct place resolve(struct block *block, IRExpr *address)
{
	if (address->tag == Iex_Const)
		return (struct place){IRTemp_INVALID, (Long)address->Iex.Const.con->Ico.U64};
	return block->places[address->Iex.RdTmp.tmp];
}

static void note_sum(struct block *block, IRTemp temp, const IRExpr *e)
{
	Long sign = 0;

	if (e->tag == Iex_RdTmp) {
		block->places[temp] = block->places[e->Iex.RdTmp.tmp];
		return;
	}
	if (e->tag != Iex_Binop || e->Iex.Binop.arg1->tag != Iex_RdTmp ||
	    e->Iex.Binop.arg2->tag != Iex_Const)
		return;
	if (e->Iex.Binop.op == Iop_Add64)
		sign = 1;
	else if (e->Iex.Binop.op == Iop_Sub64)
		sign = -1;
	if (sign) {
		block->places[temp] = block->places[e->Iex.Binop.arg1->Iex.RdTmp.tmp];
		block->places[temp].offset +=
			sign * (Long)e->Iex.Binop.arg2->Iex.Const.con->Ico.U64;
	}
}

static void note_access(struct block *block, IRExpr *address, UInt bytes, enum kona_sim_kind kind)
{
	struct site *site = new_site(bytes, kind, block->pc);
	struct place place = resolve(block, address);
	Long low = place.offset, high = place.offset + site->bytes;

	if (block->first) {
		low = block->low.offset < low ? block->low.offset : low;
		high = block->high > high ? block->high : high;
		if (place.base != block->low.base || block->pending_count == GROUP_MAX ||
		    high - low > (Long)tool_config.line_bytes) {
			flush_pending(block);
			low = place.offset;
			high = place.offset + site->bytes;
		}
	}
	site->offset = place.offset;
	if (block->last)
		block->last->group_next = site;
	else
		block->first = site;
	block->last = site;
	block->last_address = address;
	block->pending_count++;
	block->writes_any |= kind != KONA_SIM_READ;
	block->low = (struct place){place.base, low};
	block->high = high;
}

static void note_read(struct block *block, IRExpr *address, UInt bytes)
{
	note_access(block, address, bytes, KONA_SIM_READ);
}

static void note_write(struct block *block, IRExpr *address, UInt bytes)
{
	struct site *last = block->last;

	if (last && last->kind == KONA_SIM_READ && last->pc == block->pc && last->bytes == bytes &&
	    eqIRAtom(block->last_address, address)) {
		last->kind = KONA_SIM_MODIFY;
		block->writes_any = True;
		return;
	}
	note_access(block, address, bytes, KONA_SIM_WRITE);
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

	block->pc = pc;
	block->instructions++;
	if (!tool_options.fetches || !bytes)
		return;
	flush_pending(block);
	if ((pc & line_mask) != block->fetched_line || (last & line_mask) != block->fetched_line)
		add_fetch(block, pc, bytes);
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
		note_sum(block, st->Ist.WrTmp.tmp, st->Ist.WrTmp.data);
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
	UInt temps = (UInt)in->tyenv->types_used;
	Int i = 0;

	block.places = VG_(malloc)("kona-sim.places", temps * sizeof(*block.places) + 1);
	for (UInt temp = 0; temp < temps; temp++)
		block.places[temp] = (struct place){temp, 0};
	/* What stands before the first instruction is the check for self-modified code. */
	while (i < in->stmts_used && in->stmts[i]->tag != Ist_IMark)
		addStmtToIRSB(block.out, in->stmts[i++]);
	for (; i < in->stmts_used; i++) {
		IRStmt *st = in->stmts[i];

		if (!st || st->tag == Ist_NoOp)
			continue;
		note_statement(&block, st, in->tyenv);
		addStmtToIRSB(block.out, st);
	}
	add_counts(&block);
	VG_(free)(block.places);
	return block.out;
}
