/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona-opt: puts guards in front of the accesses of a module. The walk: opt.c reads the module and
 * links the guards; local.c says which pointers need none; for each function, guard.c visits every
 * access (calls.c: those that are calls), and share.c translates its pointer, if it can by a
 * translation that is there already.
 *
 * One thread, one module; all state is in these two structs.
 */
#ifndef KONA_CC_OPT_H
#define KONA_CC_OPT_H

#include <llvm-c/Core.h>
#include <llvm-c/Target.h>

#include "cc/cfg.h"
#include "cc/guards.h"
#include "cc/map.h"

/* The functions of guards.c. */
enum kona_opt_guard {
	KONA_OPT_ENTER,
	KONA_OPT_AWAKE,
	KONA_OPT_BIAS,
	KONA_OPT_TABLE,
	KONA_OPT_DELTA,
	KONA_OPT_TRANSLATE,
	KONA_OPT_AGAIN,
	KONA_OPT_WINDOW,
	KONA_OPT_PIN,
	KONA_OPT_MARK,
	KONA_OPT_MARK_SPAN,
	KONA_OPT_LOAD_SPAN,
	KONA_OPT_STORE_SPAN,
	KONA_OPT_STORE_DONE,
	KONA_OPT_WHOLE_SPAN,
	KONA_OPT_STEPS,
	KONA_OPT_MARK_STEPS,
	KONA_OPT_GUARDS,
};

struct kona_opt {
	LLVMContextRef context;
	LLVMModuleRef module;
	LLVMTargetDataRef layout;
	LLVMBuilderRef builder;
	LLVMTypeRef byte_pointer, i64, i32;
	LLVMValueRef guards[KONA_OPT_GUARDS];
	struct kona_map local_arguments; /* arguments that are local at every call */
	unsigned invariant_load, tbaa;	 /* kinds of metadata */
};

/* A translation that later accesses may share. */
struct kona_opt_known {
	LLVMValueRef base;	     /* NULL: the slot is free */
	int64_t offset;		     /* the translated address is base + offset */
	LLVMValueRef address, local; /* that address; the same, translated */
	LLVMValueRef delta;
	uint64_t bytes;	 /* from there on, these are in the page */
	uint64_t marked; /* from there on, these are marked */
	unsigned used;	 /* when, for finding the oldest */
};

/* What kona_opt_translate() finds: the place of an access. */
struct kona_opt_place {
	LLVMValueRef local;
	LLVMValueRef delta;
	int marked; /* the access need not mark it */
	int entire; /* it is good for all bytes of the access, or is the bounce buffer */
	int pinned; /* it is good for all bytes, and no bounce buffer */
};

/* What is known at a point of the function: one entry for each shared slot. */
struct kona_opt_state {
	struct kona_opt_known slots[KONA_CC_SLOTS_SHARED];
	unsigned clock;
};

struct kona_opt_function {
	struct kona_opt *opt;
	LLVMValueRef function;
	LLVMValueRef bias;	      /* variable: of the view */
	LLVMValueRef table;	      /* the same; NULL: is loaded where it is needed */
	LLVMValueRef distance;	      /* variable: the second result of a guard */
	LLVMValueRef bounce[2];	      /* arrays of bytes: of loads, of stores */
	uint64_t bounce_bytes;	      /* room for the largest access of the function */
	struct kona_opt_state now;    /* at the instruction that is being visited */
	unsigned first_slot;	      /* of those that may be shared there */
	unsigned last_slot;	      /* the one behind them */
	struct kona_map reserved;     /* of a block: how many slots its loop owns, from the first */
	struct kona_map unshared;     /* of a block: how many slots belong to windows, the last */
	struct kona_map taken_behind; /* the same of the loops that are entered behind a block */
	struct kona_map window_of;    /* of an instruction: its window */
	struct kona_opt_window *windows; /* all. Owned */
	struct kona_map done;		 /* instructions that chunk.c has translated */
	struct kona_map seen_loops;	 /* their headers */
	LLVMBasicBlockRef begin;	 /* of the guarded code */
	LLVMValueRef sleeper;		 /* the function's record */
	struct kona_map ways_in;	 /* blocks by which a twin comes into it */
};

/* One pointer of an instruction. */
struct kona_opt_access {
	LLVMValueRef instruction;
	unsigned operand; /* which of its operands is the pointer */
	uint64_t bytes;
	uint64_t align_bytes;
	int stores;
	int whole; /* cannot go through a bounce buffer */
};

enum {
	KONA_OPT_LINE_BYTES = 64,
	KONA_OPT_SMALL_COPY_BYTES = 64, /* memory intrinsics up to here are guarded in line */
	KONA_OPT_STREAMS = 6,		/* slots that a loop may own */
};

/* local.c: this pointer needs no guard: it is of the stack, of a global, ... */
int kona_opt_is_local(struct kona_opt *opt, LLVMValueRef pointer);

/* local.c: finds the arguments of internal functions that are local at every call. */
void kona_opt_find_local_arguments(struct kona_opt *opt);

/* guard.c: all accesses of a function. */
void kona_opt_guard_function(struct kona_opt *opt, LLVMValueRef function);

/* guard.c: one access. When it cannot share a translation that looked fit, it uses the slot `once`,
 * one of KONA_CC_SLOT_ONCE and _OTHER. */
void kona_opt_guard_access(struct kona_opt_function *f, const struct kona_opt_access *access,
			   unsigned once);

/* guard.c: fills in an access of an instruction that is no call. Returns 0 if it accesses nothing
 * far. */
int kona_opt_describe(struct kona_opt *opt, LLVMValueRef instruction,
		      struct kona_opt_access *ret_access);

/* guard.c: lets an access that stays in its page use its address, translated by `delta`. */
void kona_opt_replace_address(struct kona_opt_function *f, const struct kona_opt_access *access,
			      LLVMValueRef delta);

/* calls.c: a call, of an intrinsic or not. */
void kona_opt_guard_call(struct kona_opt_function *f, LLVMValueRef call);

/* calls.c: calls to the C library that move memory go to our versions. */
void kona_opt_rename_library(struct kona_opt *opt);

/* share.c: where the access finds its memory; `address` is its pointer, of bytes. Good for its
 * first byte, and for all when it cannot leave its line. */
struct kona_opt_place kona_opt_translate(struct kona_opt_function *f,
					 const struct kona_opt_access *access, LLVMValueRef address,
					 unsigned once);

/* share.c: what a pointer is made of by casts and constant offsets, and those offsets together. */
LLVMValueRef kona_opt_base(struct kona_opt *opt, LLVMValueRef pointer, int64_t *ret_offset);

/* share.c: the distance by which a byte pointer is translated, in the given slot. */
LLVMValueRef kona_opt_distance(struct kona_opt_function *f, LLVMValueRef address, unsigned slot);

/* By its type, the access is aligned such that it cannot leave its page, nor its line. The guards
 * ask the address (kona_opt_mask()). */
static inline int kona_opt_is_contained(const struct kona_opt_access *access)
{
	return access->bytes <= access->align_bytes && access->bytes <= KONA_OPT_LINE_BYTES;
}

/* Bits that are not set in the address of such an access, unless the program broke its promise. */
static inline int64_t kona_opt_mask(const struct kona_opt_access *access)
{
	uint64_t whole = 1;

	while (kona_opt_is_contained(access) && whole < access->bytes)
		whole *= 2;
	return (int64_t)whole - 1;
}

/* opt.c: links the functions of a file into the module, and finds them by their names. */
void kona_opt_link(struct kona_opt *opt, const char *path, const char *const *names, int count,
		   LLVMValueRef *ret_functions);

/* opt.c: this function may be rewritten: it runs when a program does, and has a frame. */
int kona_opt_is_wanted(struct kona_opt *opt, LLVMValueRef function);

/* simulate.c: the module's accesses call the simulator. path: sim-guards.c, as bitcode. */
void kona_opt_simulate(struct kona_opt *opt, const char *path);

/* opt.c: a call of a guard, at the builder's place. */
LLVMValueRef kona_opt_call(struct kona_opt *opt, enum kona_opt_guard guard, LLVMValueRef *args,
			   unsigned count);

/* opt.c: the builder's place is before `instruction`, and its source line, too. */
void kona_opt_build_before(struct kona_opt *opt, LLVMValueRef instruction);

static inline LLVMValueRef kona_opt_number(struct kona_opt *opt, int64_t number)
{
	return LLVMConstInt(opt->i64, (unsigned long long)number, 1);
}

#endif
