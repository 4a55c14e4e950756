/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A node's fabric over which nothing comes: rings hold what a test puts there.
 */
#ifndef KONA_TESTS_STILL_FABRIC_H
#define KONA_TESTS_STILL_FABRIC_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "memnode/fabric.h"

static int still_another(const struct kona_ofi *like, struct kona_ofi **ret_ofi)
{
	*ret_ofi = NULL;
	return 0;
}

static int still_name(struct kona_ofi *ofi, void *ret_address, size_t *bytes)
{
	memset(ret_address, 0, *bytes);
	return 0;
}

static int still_expose(struct kona_ofi *ofi, void *memory, size_t size_bytes,
			enum kona_ofi_access access, struct kona_ofi_region *ret_region)
{
	*ret_region = (struct kona_ofi_region){.handle = memory};
	return 0;
}

static void still_hide(struct kona_ofi_region *region)
{
	region->handle = NULL;
}

static void still_wait(struct kona_ofi *ofi, int most_ms)
{
	usleep(1000);
}

static void still_close(struct kona_ofi *ofi)
{
}

static const struct kona_ofi_ops still_ops = {
	.version = KONA_OFI_VERSION,
	.another = still_another,
	.name = still_name,
	.expose = still_expose,
	.hide = still_hide,
	.wait = still_wait,
	.close = still_close,
};

static inline void still_fabric_open(struct kona_node_fabric *fabric)
{
	*fabric = (struct kona_node_fabric){.ops = &still_ops, .provider = "still"};
	LIST_INIT(&fabric->realms);
	LIST_INIT(&fabric->ending);
}

#endif
