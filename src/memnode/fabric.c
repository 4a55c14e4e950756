/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Start and end of the node's endpoint. State: the endpoint's. No locks: the library's own. What
 * can fail: libfabric is not installed, the host has no such device, its limits.
 */
#include "memnode/fabric.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"

enum { LOOK_MS = 200 };

static void *run(void *with)
{
	struct kona_node_fabric *fabric = with;

	while (!kona_load_relaxed(&fabric->stop)) /* relaxed: it need not be at once */
		fabric->ops->wait(fabric->ofi, LOOK_MS);
	return NULL;
}

static int load(struct kona_node_fabric *fabric, const char *path, char *ret_why, size_t why_bytes)
{
	/* libfabric's own limits: soft-RoCE has no room for queues for 256 peers. */
	setenv("FI_UNIVERSE_SIZE", "8", 0);
	setenv("FI_MR_CACHE_MONITOR", "disabled", 0);
	return kona_ofi_load(path, &fabric->ops, ret_why, why_bytes);
}

static void close_endpoint(struct kona_node_fabric *fabric)
{
	fabric->ops->close(fabric->ofi);
	fabric->ofi = NULL;
}

static int open_endpoint(struct kona_node_fabric *fabric, const char *node)
{
	size_t bytes = sizeof(fabric->address);
	int rc = fabric->ops->open(fabric->provider, node, true, &fabric->ofi);

	if (rc)
		return rc;
	rc = fabric->ops->name(fabric->ofi, fabric->address, &bytes);
	if (rc)
		close_endpoint(fabric);
	fabric->address_bytes = (uint32_t)bytes;
	return rc;
}

static int start_thread(struct kona_node_fabric *fabric)
{
	sigset_t all, old;
	int rc;

	/* Signals are the main loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = -pthread_create(&fabric->thread, NULL, run, fabric);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

int kona_node_fabric_open(struct kona_node_fabric *fabric, const char *path, const char *provider,
			  const char *node, char *ret_why, size_t why_bytes)
{
	int rc;

	*fabric = (struct kona_node_fabric){.ops = NULL};
	snprintf(fabric->provider, sizeof(fabric->provider), "%s", provider);
	rc = load(fabric, path, ret_why, why_bytes);
	if (rc)
		return rc;
	rc = fabric->ops->probe(provider);
	if (rc) {
		snprintf(ret_why, why_bytes, "%s",
			 rc == -EINVAL ? "no such provider (there are verbs, efa and tcp)"
				       : "libfabric finds no device for it on this host");
		return rc;
	}
	rc = open_endpoint(fabric, node);
	if (rc) {
		snprintf(ret_why, why_bytes, "no endpoint at %s: %s", node,
			 rc == -ENODEV ? "no device has this address" : strerror(-rc));
		return rc;
	}
	rc = start_thread(fabric);
	if (rc) {
		close_endpoint(fabric);
		snprintf(ret_why, why_bytes, "%s", strerror(-rc));
	}
	return rc;
}

void kona_node_fabric_close(struct kona_node_fabric *fabric)
{
	kona_store_relaxed(&fabric->stop, true); /* relaxed: as above */
	pthread_join(fabric->thread, NULL);
	close_endpoint(fabric);
}
