/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona-opt [--sim] GUARDS IN OUT: the rewriter, alone (cc/opt.h). With --sim see simulate.c. Reads
 * the bitcode IN, puts the guards of GUARDS in, writes OUT. The guards are left for the optimiser
 * to inline.
 *
 * Fails on files that cannot be read or written, with a line and exit status 1; a module that does
 * not hold LLVM's rules afterwards is an error of ours, and ends it the same way.
 */
#include <err.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/BitWriter.h>
#include <llvm-c/DebugInfo.h>
#include <llvm-c/IRReader.h>
#include <llvm-c/Linker.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cc/shape.h"

static const char *const guard_names[KONA_OPT_GUARDS] = {
	[KONA_OPT_ENTER] = "kona_cc_g_enter",
	[KONA_OPT_AWAKE] = "kona_cc_g_awake",
	[KONA_OPT_BIAS] = "kona_cc_g_bias",
	[KONA_OPT_TABLE] = "kona_cc_g_table",
	[KONA_OPT_DELTA] = "kona_cc_g_delta",
	[KONA_OPT_TRANSLATE] = "kona_cc_g_translate",
	[KONA_OPT_AGAIN] = "kona_cc_g_again",
	[KONA_OPT_WINDOW] = "kona_cc_g_window",
	[KONA_OPT_PIN] = "kona_cc_g_pin",
	[KONA_OPT_MARK] = "kona_cc_g_mark",
	[KONA_OPT_MARK_SPAN] = "kona_cc_g_mark_span",
	[KONA_OPT_LOAD_SPAN] = "kona_cc_g_load_span",
	[KONA_OPT_STORE_SPAN] = "kona_cc_g_store_span",
	[KONA_OPT_STORE_DONE] = "kona_cc_g_store_done",
	[KONA_OPT_WHOLE_SPAN] = "kona_cc_g_whole_span",
	[KONA_OPT_STEPS] = "kona_cc_g_steps",
	[KONA_OPT_MARK_STEPS] = "kona_cc_g_mark_steps",
};

LLVMValueRef kona_opt_call(struct kona_opt *opt, enum kona_opt_guard guard, LLVMValueRef *args,
			   unsigned count)
{
	LLVMValueRef function = opt->guards[guard];

	return LLVMBuildCall2(opt->builder, LLVMGlobalGetValueType(function), function, args, count,
			      "");
}

void kona_opt_build_before(struct kona_opt *opt, LLVMValueRef instruction)
{
	LLVMValueRef function = LLVMGetBasicBlockParent(LLVMGetInstructionParent(instruction));
	LLVMMetadataRef program = LLVMGetSubprogram(function);
	LLVMMetadataRef place = LLVMInstructionGetDebugLoc(instruction);

	LLVMPositionBuilderBefore(opt->builder, instruction);
	/* A call that is inlined into a function with debugging information must have a place. */
	if (program && !place)
		place = LLVMDIBuilderCreateDebugLocation(opt->context, 0, 0, program, NULL);
	LLVMSetCurrentDebugLocation2(opt->builder, program ? place : NULL);
}

/* Reads bitcode, or LLVM's assembly, which the guards are in. */
static LLVMModuleRef read_module(LLVMContextRef context, const char *path)
{
	LLVMMemoryBufferRef buffer;
	LLVMModuleRef module;
	char *message;

	if (LLVMCreateMemoryBufferWithContentsOfFile(path, &buffer, &message))
		errx(1, "kona-opt: %s: %s", path, message);
	if (LLVMParseIRInContext(context, buffer, &module, &message))
		errx(1, "kona-opt: %s: %s", path, message);
	return module;
}

/* The guards are compiled for any processor and any caller. */
static void strip(LLVMModuleRef guards)
{
	static const char *const attributes[] = {"target-cpu",
						 "target-features",
						 "tune-cpu",
						 "frame-pointer",
						 "min-legal-vector-width",
						 "no-trapping-math",
						 "stack-protector-buffer-size"};

	for (LLVMValueRef f = LLVMGetFirstFunction(guards); f; f = LLVMGetNextFunction(f))
		for (size_t i = 0; i < sizeof(attributes) / sizeof(*attributes); i++)
			LLVMRemoveStringAttributeAtIndex(f, LLVMAttributeFunctionIndex,
							 attributes[i],
							 (unsigned)strlen(attributes[i]));
}

void kona_opt_link(struct kona_opt *opt, const char *path, const char *const *names, int count,
		   LLVMValueRef *ret_functions)
{
	LLVMModuleRef guards = read_module(opt->context, path);

	strip(guards);
	/* The module decides about its triple and layout. */
	LLVMSetTarget(guards, LLVMGetTarget(opt->module));
	LLVMSetDataLayout(guards, LLVMGetDataLayoutStr(opt->module));
	if (LLVMLinkModules2(opt->module, guards))
		errx(1, "kona-opt: %s does not fit the module", path);
	for (int i = 0; i < count; i++) {
		ret_functions[i] = LLVMGetNamedFunction(opt->module, names[i]);
		if (!ret_functions[i])
			errx(1, "kona-opt: %s lacks %s", path, names[i]);
		LLVMSetLinkage(ret_functions[i], LLVMInternalLinkage);
	}
}

/* Runs before relocation is finished, and with it before any thread-local variable can be used. */
static int resolves_ifunc(struct kona_opt *opt, LLVMValueRef function)
{
	for (LLVMValueRef i = LLVMGetFirstGlobalIFunc(opt->module); i;
	     i = LLVMGetNextGlobalIFunc(i))
		if (LLVMGetGlobalIFuncResolver(i) == function)
			return 1;
	return 0;
}

static int is_guard(const struct kona_opt *opt, LLVMValueRef function)
{
	for (int i = 0; i < KONA_OPT_GUARDS; i++)
		if (opt->guards[i] == function)
			return 1;
	return 0;
}

int kona_opt_has_attribute(LLVMValueRef function, const char *name)
{
	unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));

	return LLVMGetEnumAttributeAtIndex(function, LLVMAttributeFunctionIndex, kind) != NULL;
}

int kona_opt_is_wanted(struct kona_opt *opt, LLVMValueRef function)
{
	return !LLVMIsDeclaration(function) && !kona_opt_has_attribute(function, "naked") &&
	       !resolves_ifunc(opt, function);
}

static void guard_all(struct kona_opt *opt, const char *guards)
{
	kona_opt_rename_library(opt);
	kona_opt_link(opt, guards, guard_names, KONA_OPT_GUARDS, opt->guards);
	for (LLVMValueRef f = LLVMGetFirstFunction(opt->module); f; f = LLVMGetNextFunction(f)) {
		if (!is_guard(opt, f) && kona_opt_is_wanted(opt, f))
			kona_opt_guard_function(opt, f);
	}
	for (int i = 0; i < KONA_OPT_GUARDS; i++)
		if (!LLVMGetFirstUse(opt->guards[i]))
			LLVMDeleteFunction(opt->guards[i]);
}

static unsigned metadata_kind(struct kona_opt *opt, const char *name)
{
	return LLVMGetMDKindIDInContext(opt->context, name, (unsigned)strlen(name));
}

int main(int argc, char **argv)
{
	struct kona_opt opt = {0};
	int simulates = argc > 1 && !strcmp(argv[1], "--sim");
	char *message = NULL;

	argv += simulates;
	if (argc - simulates != 4)
		errx(2, "usage: kona-opt [--sim] GUARDS IN OUT");
	opt.context = LLVMContextCreate();
	opt.module = read_module(opt.context, argv[2]);
	opt.layout = LLVMGetModuleDataLayout(opt.module);
	opt.builder = LLVMCreateBuilderInContext(opt.context);
	opt.byte_pointer = LLVMPointerType(LLVMInt8TypeInContext(opt.context), 0);
	opt.i64 = LLVMInt64TypeInContext(opt.context);
	opt.i32 = LLVMInt32TypeInContext(opt.context);
	opt.invariant_load = metadata_kind(&opt, "invariant.load");
	opt.tbaa = metadata_kind(&opt, "tbaa");
	kona_opt_find_local_arguments(&opt);
	if (simulates)
		kona_opt_simulate(&opt, argv[1]);
	else
		guard_all(&opt, argv[1]);
	if (LLVMVerifyModule(opt.module, LLVMReturnStatusAction, &message))
		errx(1, "kona-opt: %s: %s", argv[2], message);
	if (LLVMWriteBitcodeToFile(opt.module, argv[3]))
		errx(1, "kona-opt: %s cannot be written", argv[3]);
	LLVMDisposeMessage(message);
	kona_map_free(&opt.local_arguments);
	LLVMDisposeBuilder(opt.builder);
	LLVMDisposeModule(opt.module);
	LLVMContextDispose(opt.context);
	return 0;
}
