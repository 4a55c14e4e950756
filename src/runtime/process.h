/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process-wide state of libkona: which space new memory comes from, and which was inherited.
 */
#ifndef KONA_RUNTIME_PROCESS_H
#define KONA_RUNTIME_PROCESS_H

#include <stdbool.h>

struct kona_heir;
struct kona_space;

enum kona_process_state {
	KONA_PROCESS_STARTING, /* before the constructor ran */
	KONA_PROCESS_PLAIN,    /* Kona is not asked for */
	KONA_PROCESS_FAR,
};

/* Called before each thread's first allocation, and before a mapping. In a forked child that is to
 * have remote memory of its own (--follow) the first call makes its space. */
enum kona_process_state kona_process_prepare(void);

/* Where new memory is placed; NULL: local memory. */
struct kona_space *kona_process_space(void);

/* True when the address lies in VFMem that this process inherited by fork. */
bool kona_process_inherited(const void *address);
struct kona_heir *kona_process_heir(void);

/* fork.c, with the region lock held: links for the child. */
void kona_process_prepare_fork(void);
void kona_process_after_fork(void);

/* fork.c: in the child, `heir` has taken over from the space that new memory came from. */
void kona_process_become_child(struct kona_heir *heir);

/* fork.c: nothing is inherited any more; all of it is ordinary memory. */
void kona_process_disinherit(void);

#endif
