/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading of libkona-ofi.so, and what libfabric is to be told before. Stateless. What can fail: it,
 * or libfabric, is not installed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "transport/ofi.h"

/* What providers install handlers for, though the process is not theirs. */
static const int handled[] = {SIGSEGV, SIGBUS, SIGTERM, SIGINT, SIGABRT, SIGFPE, SIGILL};

int kona_ofi_set_limits(void)
{
	/*
	 * Soft-RoCE has no room for queues for 256 peers. A cache of registrations would want a
	 * userfaultfd of its own. And buffers for messages, of which we send none, are 70 MB for
	 * each endpoint.
	 */
	static const struct {
		const char *name, *value;
	} limits[] = {
		{"FI_UNIVERSE_SIZE", "8"},
		{"FI_MR_CACHE_MONITOR", "disabled"},
		{"FI_OFI_RXM_BUFFER_SIZE", "256"},
		{"FI_OFI_RXM_MSG_RX_SIZE", "8"},
	};

	for (size_t i = 0; i < KONA_ARRAY_LEN(limits); i++)
		if (setenv(limits[i].name, limits[i].value, 0))
			return -errno;
	return 0;
}

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
