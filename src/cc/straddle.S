/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions of cc/guards.h: kona_cc_memcpy, _translate and _enrolled behind clang's
 * preserve_most convention, which saves every general register but %r11 (and %rax, when that is
 * what is returned), and no vector registers. In assembly, for not every compiler of this library
 * knows the convention.
 */
	.text
	.hidden	kona_cc_memcpy, kona_cc_translate, kona_cc_enrolled
	.globl	kona_cc_straddle_load, kona_cc_straddle_store, kona_cc_elsewhere, kona_cc_enrol
	.hidden	kona_cc_straddle_load, kona_cc_straddle_store, kona_cc_elsewhere, kona_cc_enrol
	.type	kona_cc_straddle_load, @function
	.type	kona_cc_straddle_store, @function
	.type	kona_cc_elsewhere, @function
	.type	kona_cc_enrol, @function

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

	.macro	behind function, returns
	.cfi_startproc
	save	%rcx
	save	%rdx
	save	%rsi
	save	%rdi
	save	%r8
	save	%r9
	save	%r10
	.if	\returns
	call	\function
	.else
	save	%rax
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	\function
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	restore	%rax
	.endif
	restore	%r10
	restore	%r9
	restore	%r8
	restore	%rdi
	restore	%rsi
	restore	%rdx
	restore	%rcx
	ret
	.cfi_endproc
	.endm

kona_cc_straddle_load:
kona_cc_straddle_store:
	behind	kona_cc_memcpy, returns=0
	.size	kona_cc_straddle_load, . - kona_cc_straddle_load
	.size	kona_cc_straddle_store, . - kona_cc_straddle_store
kona_cc_elsewhere:
	behind	kona_cc_translate, returns=1
	.size	kona_cc_elsewhere, . - kona_cc_elsewhere
kona_cc_enrol:
	behind	kona_cc_enrolled, returns=1
	.size	kona_cc_enrol, . - kona_cc_enrol
	.section .note.GNU-stack, "", @progbits
