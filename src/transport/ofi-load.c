/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading of libkona-ofi.so. Stateless. What can fail: it, or libfabric, is not installed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "transport/ofi.h"

/* What providers install handlers for, though the process is not theirs. */
static const int handled[] = {SIGSEGV, SIGBUS, SIGTERM, SIGINT, SIGABRT, SIGFPE, SIGILL};

int kona_ofi_load(const char *path, const struct kona_ofi_ops **ret_ops, char *ret_why,
		  size_t why_bytes)
{
	struct sigaction before[KONA_ARRAY_LEN(handled)];
	const struct kona_ofi_ops *ops = NULL;
	void *library;

	for (size_t i = 0; i < KONA_ARRAY_LEN(handled); i++)
		sigaction(handled[i], NULL, &before[i]);
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (library)
		ops = dlsym(library, "kona_ofi_ops");
	else
		snprintf(ret_why, why_bytes, "%s", dlerror());
	/* The providers start with the first question. */
	if (ops && ops->version == KONA_OFI_VERSION)
		ops->probe("tcp");
	for (size_t i = 0; i < KONA_ARRAY_LEN(handled); i++)
		sigaction(handled[i], &before[i], NULL);
	if (!library)
		return -ENOENT;
	if (!ops || ops->version != KONA_OFI_VERSION) {
		snprintf(ret_why, why_bytes, "%s is of another version", path);
		return -EPROTO;
	}
	*ret_ops = ops;
	return 0;
}
