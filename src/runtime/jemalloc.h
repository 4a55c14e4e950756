/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions of the renamed jemalloc (scripts/rename-jemalloc) that the runtime uses. Contracts:
 * jemalloc(3). Its own mmap, munmap, madvise and mprotect are those of os.h, so its metadata is
 * local; it reads no configuration but kona_je_malloc_conf.
 */
#ifndef KONA_RUNTIME_JEMALLOC_H
#define KONA_RUNTIME_JEMALLOC_H

#define JEMALLOC_NO_DEMANGLE
#include <jemalloc/jemalloc.h>

void *kona_je_malloc(size_t size);
void *kona_je_calloc(size_t count, size_t size);
void *kona_je_realloc(void *pointer, size_t size);
void kona_je_free(void *pointer);
int kona_je_posix_memalign(void **pointer, size_t alignment, size_t size);
void *kona_je_memalign(size_t alignment, size_t size);
size_t kona_je_malloc_usable_size(void *pointer);
void *kona_je_mallocx(size_t size, int flags);
void *kona_je_rallocx(void *pointer, size_t size, int flags);
size_t kona_je_xallocx(void *pointer, size_t size, size_t extra, int flags);
size_t kona_je_sallocx(const void *pointer, int flags);
void kona_je_dallocx(void *pointer, int flags);
size_t kona_je_nallocx(size_t size, int flags);
int kona_je_mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size);

/* The argument of "experimental.arenas_create_ext". */
struct kona_je_arena_config {
	extent_hooks_t *extent_hooks;
	bool metadata_use_hooks;
};

#endif
