/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records of sleepers (kona/sleepers.h): one for each function that has a twin (cc/twin.h). It lies
 * in a section of its own, and goes with its function where the linker leaves that away.
 *
 * Who faults is found by the address of an instruction, so a sleeper is not inlined any more: the
 * optimiser did before us what was worth it.
 *
 * No state. Cannot fail, but for memory, which ends the program.
 */
#include <ctype.h>
#include <llvm-c/Comdat.h>
#include <string.h>

#include "base/compiler.h"
#include "cc/shape.h"
#include "cc/twin.h"

int kona_opt_can_sleep(LLVMValueRef function)
{
	return !kona_opt_has_attribute(function, "alwaysinline") &&
	       LLVMGetLinkage(function) != LLVMAvailableExternallyLinkage;
}

/* The function's name, in letters that every assembler takes. */
static void put_in_section(LLVMValueRef record, LLVMValueRef function)
{
	static const char before[] = ".data.kona_sleeper.";
	size_t length;
	const char *name = LLVMGetValueName2(function, &length);
	char *section = kona_opt_zeros(sizeof(before) + length, 1), *end;

	end = stpcpy(section, before);
	for (size_t i = 0; i < length; i++)
		*end++ = (char)(isalnum((unsigned char)name[i]) ? name[i] : '_');
	LLVMSetSection(record, section);
	free(section);
}

LLVMValueRef kona_opt_sleeper(struct kona_opt *opt, LLVMValueRef function)
{
	/* Its own name may stand for another's: the program's, or an entry of its linkage table. */
	LLVMValueRef code = LLVMAddAlias2(opt->module, LLVMGlobalGetValueType(function), 0,
					  function, "kona_code");
	LLVMValueRef members[] = {LLVMConstNull(opt->byte_pointer),
				  LLVMConstBitCast(code, opt->byte_pointer),
				  LLVMConstInt(opt->i32, (unsigned long long)-1, 1)};
	LLVMValueRef value =
		LLVMConstStructInContext(opt->context, members, KONA_ARRAY_LEN(members), 0);
	LLVMValueRef record = LLVMAddGlobal(opt->module, LLVMTypeOf(value), "kona_sleeper");
	unsigned noinline = LLVMGetEnumAttributeKindForName("noinline", 8);

	LLVMSetLinkage(code, LLVMPrivateLinkage);
	LLVMSetInitializer(record, value);
	LLVMSetLinkage(record, LLVMPrivateLinkage);
	put_in_section(record, function);
	if (LLVMGetComdat(function))
		LLVMSetComdat(record, LLVMGetComdat(function));
	LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex,
				LLVMCreateEnumAttribute(opt->context, noinline, 0));
	return LLVMConstBitCast(record, opt->byte_pointer);
}
