/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Grants: what a tenant gets of the rack's memory.
 *
 * Memory for slabs that may stand here is made before the controller is asked: so a controller's
 * grant never goes to waste for want of a descriptor. What then stands elsewhere is cut off before
 * the tenant gets it.
 *
 * State: the tenant's. What can fail: descriptors, memory, the controller; each is a reply with
 * a status and a text.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memnode/reply.h"
#include "memnode/tenant.h"

static uint64_t slab_bytes_of(const struct kona_tenant *tenant)
{
	return kona_rack_client_slab_bytes(tenant->all->rack);
}

/* --- local slabs -------------------------------------------------------------------------------*/

/* Other nodes may copy it from here. */
static int lend(struct kona_tenant *tenant, const struct kona_tenant_slab *slab,
		uint64_t generation)
{
	struct kona_data_server *server = tenant->all->server;
	int rc;

	if (!server)
		return 0;
	pthread_mutex_lock(&server->lock);
	rc = kona_slab_lend(&server->slabs, (uint64_t)slab->id, generation, slab_bytes_of(tenant),
			    slab->descriptor, slab->at_bytes, tenant->all->store.mapped);
	pthread_mutex_unlock(&server->lock);
	return rc;
}

static void unlend(struct kona_tenant *tenant, const struct kona_tenant_slab *slab)
{
	struct kona_data_server *server = tenant->all->server;
	const struct kona_slab *lent;

	if (!server || !slab->local)
		return;
	pthread_mutex_lock(&server->lock);
	lent = kona_slab_find(&server->slabs, (uint64_t)slab->id);
	if (lent && !lent->memory)
		kona_slab_drop(&server->slabs, (uint64_t)slab->id);
	pthread_mutex_unlock(&server->lock);
}

void kona_tenant_unlend(struct kona_tenant *tenant)
{
	for (size_t i = 0; i < tenant->slab_count; i++)
		unlend(tenant, &tenant->slabs[i]);
}

struct kona_tenant_slab *kona_tenant_slab(struct kona_tenant *tenant, uint64_t id)
{
	for (size_t i = 0; i < tenant->slab_count; i++)
		if ((uint64_t)tenant->slabs[i].id == id)
			return &tenant->slabs[i];
	return NULL;
}

void kona_tenants_drop(struct kona_tenants *all, uint64_t id)
{
	struct kona_tenant *tenant;

	TAILQ_FOREACH (tenant, &all->list, link) {
		struct kona_tenant_slab *slab = kona_tenant_slab(tenant, id);

		if (!slab || !slab->local)
			continue;
		unlend(tenant, slab);
		slab->local = false;
		/* Refused only where the tenant has shrunk it already. */
		if (tenant->memory_count &&
		    fallocate(slab->descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)slab->at_bytes, (off_t)slab_bytes_of(tenant)))
			return;
	}
}

/* --- grants ------------------------------------------------------------------------------------*/

/* Reads the slabs of a grant; local ones stand in the order of the reply. */
static int read_slabs(struct kona_tenant *tenant, const json_t *reply,
		      struct kona_broker_slab *slabs, uint32_t *ret_local)
{
	const json_t *list = json_object_get(reply, "slabs");
	struct kona_tenants *all = tenant->all;
	struct kona_tenant_slab *into = tenant->slabs + tenant->slab_count;
	uint32_t local = 0;

	if (json_array_size(list) != tenant->pending_slabs)
		return -EPROTO;
	for (uint32_t i = 0; i < tenant->pending_slabs; i++) {
		uint64_t version;
		int rc = kona_peers_read_slab(&all->peers, json_array_get(list, i),
					      kona_rack_client_node(all->rack), true, &slabs[i],
					      &version);

		if (rc)
			return rc;
		into[i] = (struct kona_tenant_slab){
			.id = (int64_t)slabs[i].id,
			.local = slabs[i].local,
			.remote = slabs[i].replica_count > 0,
			.descriptor = tenant->pending.descriptor,
			.at_bytes = tenant->pending.base_bytes + local * slab_bytes_of(tenant),
		};
		local += slabs[i].local;
	}
	*ret_local = local;
	return 0;
}

/* Cuts off what stands elsewhere, and lends the rest. */
static int settle(struct kona_tenant *tenant, const struct kona_broker_slab *slabs, uint32_t local)
{
	uint64_t wanted_bytes = local * slab_bytes_of(tenant);
	const struct kona_tenant_slab *own = tenant->slabs + tenant->slab_count;
	int rc = 0;

	kona_memory_cut(&tenant->pending, wanted_bytes);
	for (uint32_t i = 0; i < tenant->pending_slabs && !rc; i++)
		if (slabs[i].local)
			rc = lend(tenant, &own[i], slabs[i].generation);
	return rc;
}

static void grant_done(struct kona_rack_job *job, int rc, const json_t *reply, const char *text)
{
	struct kona_tenant *tenant = kona_tenant_of(job);
	struct kona_broker_slab slabs[KONA_BROKER_MOST_SLABS];
	uint32_t local = 0;

	tenant->state = KONA_TENANT_OPEN;
	if (!rc && read_slabs(tenant, reply, slabs, &local)) {
		rc = -EPROTO;
		text = "the rack controller's grant makes no sense";
	}
	if (!rc) {
		rc = settle(tenant, slabs, local);
		text = "kona-memd has no memory left";
	}
	if (!rc)
		tenant->slab_count += tenant->pending_slabs;
	if (!rc && local)
		tenant->memory[tenant->memory_count++] = tenant->pending;
	else if (tenant->pending.descriptor >= 0)
		kona_memory_drop(&tenant->pending);
	if (tenant->connection < 0)
		kona_tenant_reclaim(tenant);
	else if (kona_reply_granted(tenant->connection, rc, slabs, tenant->pending_slabs,
				    local ? &tenant->pending : NULL, text))
		kona_tenant_end(tenant);
}

/* Room for one more memory and count more slabs, and the memory itself. */
static int prepare(struct kona_tenant *tenant, uint32_t count)
{
	struct kona_memory *memory =
		reallocarray(tenant->memory, tenant->memory_count + 1, sizeof(*tenant->memory));
	struct kona_tenant_slab *slabs;

	if (!memory)
		return -ENOMEM;
	tenant->memory = memory;
	slabs = reallocarray(tenant->slabs, tenant->slab_count + count, sizeof(*slabs));
	if (!slabs)
		return -ENOMEM;
	tenant->slabs = slabs;
	return kona_memory_make(&tenant->all->store, slab_bytes_of(tenant), count,
				&tenant->pending);
}

/* Why prepare() failed. */
static int refuse(struct kona_tenant *tenant, int rc)
{
	const struct kona_store *store = &tenant->all->store;
	char text[KONA_BROKER_TEXT_BYTES];

	if (rc == -EMFILE || rc == -ENFILE)
		snprintf(text, sizeof(text), "kona-memd has no descriptor left");
	else if (rc == -ENOMEM || !store->path)
		snprintf(text, sizeof(text), "kona-memd has no memory left");
	else if (rc == -ENOSPC)
		snprintf(text, sizeof(text), "the pool %s has no room for these slabs",
			 store->path);
	else if (rc == -EINVAL)
		snprintf(text, sizeof(text),
			 "the pool %s wants slabs in multiples of %" PRIu64
			 " KiB (kona-rackd --slab)",
			 store->path, store->align_bytes >> 10);
	else if (rc == -EPERM)
		snprintf(text, sizeof(text),
			 "the pool %s cannot be divided between users: only "
			 "programs of its owner, uid %u, may use it",
			 store->path, store->owner);
	else
		snprintf(text, sizeof(text), "the pool %s: %s", store->path, strerror(-rc));
	return kona_reply_granted(tenant->connection, rc, NULL, 0, NULL, text);
}

int kona_tenant_grant(struct kona_tenant *tenant, uint32_t count)
{
	json_t *body = NULL;
	int64_t have;
	int rc;

	if (tenant->state != KONA_TENANT_OPEN)
		return -EPROTO;
	rc = kona_store_serves(&tenant->all->store, tenant->uid) ? prepare(tenant, count) : -EPERM;
	if (rc)
		return refuse(tenant, rc);
	have = tenant->slab_count ? tenant->slabs[tenant->slab_count - 1].id : 0;
	body = json_pack("{s:I, s:I, s:b}", "count", (json_int_t)count, "have", (json_int_t)have,
			 "remote", (int)tenant->all->networked);
	if (!body) {
		kona_memory_drop(&tenant->pending);
		return refuse(tenant, -ENOMEM);
	}
	tenant->pending_slabs = count;
	tenant->state = KONA_TENANT_GRANTING;
	snprintf(tenant->job.path, sizeof(tenant->job.path), "/v1/leases/%" PRId64 "/slabs",
		 tenant->lease);
	kona_tenant_ask(tenant, body, grant_done);
	return 0;
}
