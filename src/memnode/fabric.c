/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Start and end of the node's endpoints. State: the endpoints'. Locks: the server's, held by the
 * caller, for the realms; beyond, the library's own. What can fail: libfabric is not installed, the
 * host has no such device, its limits.
 */
#include "memnode/fabric.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "base/daemon.h"

enum { LOOK_MS = 200 };

/* --- realms ------------------------------------------------------------------------------------*/

static void *run(void *with)
{
	struct kona_realm *realm = with;

	while (!kona_load_relaxed(&realm->stop)) /* relaxed: it need not be at once */
		realm->fabric->ops->wait(realm->ofi, LOOK_MS);
	return NULL;
}

/* Where there is no room for it, logs come by TCP. */
static void make_ring(struct kona_realm *realm)
{
	char *ring = mmap(NULL, KONA_DATA_RING_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ring == MAP_FAILED)
		return;
	if (realm->fabric->ops->expose(realm->ofi, ring, KONA_DATA_RING_BYTES, KONA_OFI_WRITABLE,
				       &realm->ring_region))
		munmap(ring, KONA_DATA_RING_BYTES);
	else
		realm->ring = ring;
}

static int open_realm(struct kona_node_fabric *fabric, struct kona_realm *realm)
{
	size_t bytes = sizeof(realm->address);
	int rc = fabric->ops->another(fabric->ofi, &realm->ofi);

	if (rc)
		return rc;
	rc = fabric->ops->name(realm->ofi, realm->address, &bytes);
	realm->address_bytes = (uint32_t)bytes;
	if (!rc)
		rc = kona_daemon_thread(&realm->thread, run, realm);
	if (rc)
		fabric->ops->close(realm->ofi);
	else
		make_ring(realm);
	return rc;
}

static struct kona_realm *find_realm(struct kona_node_fabric *fabric, const uint8_t *name)
{
	struct kona_realm *realm;

	LIST_FOREACH (realm, &fabric->realms, link)
		if (!memcmp(realm->name, name, sizeof(realm->name)))
			return realm;
	return NULL;
}

/* Frees those whose threads have ended; with `waits`, all of them. */
static void reap(struct kona_node_fabric *fabric, bool waits)
{
	struct kona_realm *realm = LIST_FIRST(&fabric->ending), *next;

	for (; realm; realm = next) {
		next = LIST_NEXT(realm, link);
		if (waits ? pthread_join(realm->thread, NULL)
			  : pthread_tryjoin_np(realm->thread, NULL))
			continue;
		fabric->ops->close(realm->ofi);
		if (realm->ring)
			munmap(realm->ring, KONA_DATA_RING_BYTES);
		LIST_REMOVE(realm, link);
		free(realm);
	}
}

int kona_realm_enter(struct kona_node_fabric *fabric, const uint8_t name[KONA_DATA_REALM_BYTES],
		     struct kona_realm **ret_realm)
{
	struct kona_realm *realm = find_realm(fabric, name);
	int rc;

	reap(fabric, false);
	if (!realm) {
		realm = calloc(1, sizeof(*realm));
		if (!realm)
			return -ENOMEM;
		realm->fabric = fabric;
		memcpy(realm->name, name, sizeof(realm->name));
		rc = open_realm(fabric, realm);
		if (rc) {
			free(realm);
			return rc;
		}
		LIST_INSERT_HEAD(&fabric->realms, realm, link);
	}
	realm->users++;
	*ret_realm = realm;
	return 0;
}

void kona_realm_leave(struct kona_realm *realm)
{
	if (--realm->users)
		return;
	realm->fabric->ops->hide(&realm->ring_region);
	kona_store_relaxed(&realm->stop, true); /* relaxed: as above */
	LIST_REMOVE(realm, link);
	LIST_INSERT_HEAD(&realm->fabric->ending, realm, link);
}

/* --- start and end -----------------------------------------------------------------------------*/

int kona_node_fabric_open(struct kona_node_fabric *fabric, const char *path, const char *provider,
			  const char *node, char *ret_why, size_t why_bytes)
{
	int rc;

	*fabric = (struct kona_node_fabric){.ops = NULL};
	snprintf(fabric->provider, sizeof(fabric->provider), "%s", provider);
	LIST_INIT(&fabric->realms);
	LIST_INIT(&fabric->ending);
	rc = kona_ofi_set_limits();
	if (!rc)
		rc = kona_ofi_load(path, &fabric->ops, ret_why, why_bytes);
	if (rc)
		return rc;
	rc = fabric->ops->probe(provider);
	if (rc) {
		snprintf(ret_why, why_bytes, "%s",
			 rc == -EINVAL ? "no such provider (there are verbs, efa and tcp)"
				       : "libfabric finds no device for it on this host");
		return rc;
	}
	rc = fabric->ops->open(fabric->provider, node, true, &fabric->ofi);
	if (rc)
		snprintf(ret_why, why_bytes, "no endpoint at %s: %s", node,
			 rc == -ENODEV ? "no device has this address" : strerror(-rc));
	return rc;
}

void kona_node_fabric_close(struct kona_node_fabric *fabric)
{
	reap(fabric, true);
	fabric->ops->close(fabric->ofi);
	fabric->ofi = NULL;
}
