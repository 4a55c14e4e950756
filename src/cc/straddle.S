/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona_cc_straddle_load and kona_cc_straddle_store (cc/guards.h): kona_cc_memcpy behind clang's
 * preserve_most convention, which saves every general register but %r11, and no vector registers.
 * In assembly, for not every compiler of this library knows the convention.
 */
	.text
	.hidden	kona_cc_memcpy
	.globl	kona_cc_straddle_load, kona_cc_straddle_store
	.hidden	kona_cc_straddle_load, kona_cc_straddle_store
	.type	kona_cc_straddle_load, @function
	.type	kona_cc_straddle_store, @function

	.macro	save register
	pushq	\register
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset \register, 0
	.endm
	.macro	restore register
	popq	\register
	.cfi_adjust_cfa_offset -8
	.cfi_restore \register
	.endm

kona_cc_straddle_load:
kona_cc_straddle_store:
	.cfi_startproc
	save	%rax
	save	%rcx
	save	%rdx
	save	%rsi
	save	%rdi
	save	%r8
	save	%r9
	save	%r10
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	kona_cc_memcpy
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	restore	%r10
	restore	%r9
	restore	%r8
	restore	%rdi
	restore	%rsi
	restore	%rdx
	restore	%rcx
	restore	%rax
	ret
	.cfi_endproc
	.size	kona_cc_straddle_load, . - kona_cc_straddle_load
	.size	kona_cc_straddle_store, . - kona_cc_straddle_store
	.section .note.GNU-stack, "", @progbits
