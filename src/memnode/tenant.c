/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tenants: leases, held descriptors, and the return of it all. Grants: grant.c.
 *
 * Memory is given back step by step, so that the end of a large tenant
 * does not make the others wait. Only when all of it is back does the controller hear of the end.
 *
 * State: the list. No locks: the loop's thread. What can fail: descriptors, memory, the controller;
 * each is a reply with a status and a text.
 */
#include "memnode/tenant.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/units.h"
#include "memnode/news.h"
#include "memnode/reply.h"
#include "wire/rack.h"

enum {
	MOST_HOLDS = 256,
	STEP_BYTES = 32 << 20, /* given back between two looks at the other tenants */
};

/* A descriptor that cannot keep this very connection alive (a socket, a ring with sockets in it).
 */
static bool may_hold(int fd)
{
	static const char ring[] = "anon_inode:[io_uring]";
	char name[64], path[32];
	struct stat st;
	ssize_t length;

	if (fstat(fd, &st) || S_ISSOCK(st.st_mode))
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, name, sizeof(name) - 1);
	return length < 0 || strncmp(name, ring, sizeof(ring) - 1) != 0;
}

static int hold(struct kona_tenant *tenant, int fd)
{
	int *grown;

	if (fd < 0)
		return -EBADF;
	if (!may_hold(fd))
		return -EINVAL;
	if (tenant->hold_count == MOST_HOLDS)
		return -ENOSPC;
	grown = reallocarray(tenant->holds, tenant->hold_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	tenant->holds = grown;
	tenant->holds[tenant->hold_count++] = fd;
	return 0;
}

void kona_tenant_ask(struct kona_tenant *tenant, json_t *body, kona_rack_done *done)
{
	tenant->job.method = "POST";
	tenant->job.body = body;
	tenant->job.done = done;
	kona_rack_client_submit(tenant->all->rack, &tenant->job);
}

void kona_tenant_reclaim(struct kona_tenant *tenant)
{
	kona_tenant_unlend(tenant);
	for (size_t i = 0; i < tenant->hold_count; i++)
		close(tenant->holds[i]);
	tenant->hold_count = 0;
	tenant->state = KONA_TENANT_RECLAIMING;
	event_active(tenant->all->reclaim, EV_TIMEOUT, 0);
}

static int welcome(struct kona_tenant *tenant, int status, const char *text)
{
	struct kona_broker_welcome welcome = {.status = status};
	int theirs = -1, rc;

	if (!status) {
		welcome.status = kona_news_open(tenant, &theirs);
		text = "kona-memd has no descriptor left";
	}
	snprintf(welcome.node, sizeof(welcome.node), "%s", tenant->all->node_name);
	if (!welcome.status) {
		welcome.lease_id = (uint64_t)tenant->lease;
		welcome.slab_bytes = kona_rack_client_slab_bytes(tenant->all->rack);
		welcome.on_host = !tenant->all->networked;
	}
	rc = kona_reply_welcome(tenant->connection, &welcome, theirs, text);
	if (theirs >= 0)
		close(theirs);
	return rc;
}

/* The lease was asked for. */
static void open_done(struct kona_rack_job *job, int rc, const json_t *reply, const char *text)
{
	struct kona_tenant *tenant = kona_tenant_of(job);

	tenant->state = KONA_TENANT_NEW;
	if (!rc) {
		tenant->lease = json_integer_value(json_object_get(reply, "lease"));
		if (tenant->lease > 0) {
			tenant->state = KONA_TENANT_OPEN;
		} else {
			tenant->lease = 0;
			rc = -EPROTO;
			text = "the rack controller gave no lease";
		}
	}
	if (tenant->connection < 0)
		kona_tenant_reclaim(tenant);
	else if (welcome(tenant, rc, text))
		kona_tenant_end(tenant);
}

static int open_lease(struct kona_tenant *tenant, const struct kona_broker_hello *hello)
{
	uint64_t most = (uint64_t)KONA_RACK_MOST_VALUE - 1;
	json_t *body;

	if (tenant->state != KONA_TENANT_NEW)
		return -EPROTO;
	memcpy(tenant->program, hello->program, sizeof(tenant->program));
	/* The controller takes printable UTF-8 only. */
	for (char *c = tenant->program; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	tenant->limit_bytes = hello->remote_limit_bytes < most ? hello->remote_limit_bytes : most;
	body = json_pack("{s:i, s:I, s:s, s:I}", "pid", (int)tenant->pid, "uid",
			 (json_int_t)tenant->uid, "program", tenant->program, "limit_bytes",
			 (json_int_t)tenant->limit_bytes);
	if (!body)
		return welcome(tenant, -ENOMEM, "kona-memd is out of memory");
	tenant->state = KONA_TENANT_OPENING;
	snprintf(tenant->job.path, sizeof(tenant->job.path), "/v1/leases");
	kona_tenant_ask(tenant, body, open_done);
	return 0;
}

int kona_tenant_request(struct kona_tenant *tenant, const union kona_broker_request *request,
			int passed)
{
	int rc;

	if (request->header.type == KONA_BROKER_HOLD) {
		if (tenant->state != KONA_TENANT_OPEN) {
			rc = -EPROTO;
		} else {
			rc = hold(tenant, passed);
			if (!rc)
				passed = -1;
			rc = kona_reply_held(tenant->connection, rc);
		}
	} else if (request->header.type == KONA_BROKER_ASK) {
		rc = kona_reply_told(tenant->connection,
				     kona_rack_client_address(tenant->all->rack));
	} else if (request->header.type == KONA_BROKER_HELLO) {
		rc = open_lease(tenant, &request->hello);
	} else if (request->header.type == KONA_BROKER_LINK) {
		rc = kona_tenant_link(tenant, request->link.node, passed);
		passed = -1;
	} else {
		rc = kona_tenant_grant(tenant, request->grant.count);
	}
	if (passed >= 0)
		close(passed);
	return rc;
}

void kona_tenant_end(struct kona_tenant *tenant)
{
	if (tenant->connection < 0)
		return;
	if (tenant->event)
		event_free(tenant->event);
	tenant->event = NULL;
	close(tenant->connection);
	tenant->connection = -1;
	kona_news_close(tenant);
	kona_tenant_unlink(tenant);
	/* While the controller is asked, its answer goes on from here. */
	if (tenant->state != KONA_TENANT_OPENING && tenant->state != KONA_TENANT_GRANTING)
		kona_tenant_reclaim(tenant);
}

static void free_tenant(struct kona_tenant *tenant)
{
	struct kona_tenants *all = tenant->all;

	TAILQ_REMOVE(&all->list, tenant, link);
	free(tenant->memory);
	free(tenant->slabs);
	free(tenant->holds);
	free(tenant);
	if (all->gone)
		all->gone(all->with);
}

static void left(struct kona_rack_job *job, int rc, const json_t *reply, const char *text)
{
	struct kona_tenant *tenant = kona_tenant_of(job);

	/* A controller that did not hear of the end learns it from the next registration. */
	if (rc)
		kona_rack_client_resync(tenant->all->rack);
	free_tenant(tenant);
}

/* All memory of the tenant is back. */
static void leave(struct kona_tenant *tenant)
{
	tenant->state = KONA_TENANT_LEAVING;
	if (!tenant->lease) {
		free_tenant(tenant);
		return;
	}
	tenant->job.method = "DELETE";
	tenant->job.body = NULL;
	tenant->job.done = left;
	snprintf(tenant->job.path, sizeof(tenant->job.path), "/v1/leases/%" PRId64, tenant->lease);
	kona_rack_client_submit(tenant->all->rack, &tenant->job);
}

/* Gives one step of memory back. Returns false when nobody waits for it. */
static bool reclaim_step(struct kona_tenants *all)
{
	struct kona_tenant *tenant;

	TAILQ_FOREACH (tenant, &all->list, link)
		if (tenant->state == KONA_TENANT_RECLAIMING)
			break;
	if (!tenant)
		return false;
	if (!tenant->memory_count) {
		leave(tenant);
		return true;
	}
	if (kona_memory_shrink(&tenant->memory[tenant->memory_count - 1], STEP_BYTES))
		tenant->memory_count--;
	return true;
}

static void on_reclaim(evutil_socket_t fd, short what, void *with)
{
	static const struct timeval at_once = {0, 0};
	struct kona_tenants *all = with;

	if (reclaim_step(all))
		event_add(all->reclaim, &at_once);
}

int kona_tenants_init(struct kona_tenants *all, struct event_base *base)
{
	TAILQ_INIT(&all->list);
	all->reclaim = event_new(base, -1, 0, on_reclaim, all);
	return all->reclaim ? 0 : -ENOMEM;
}

void kona_tenants_end_all(struct kona_tenants *all)
{
	struct kona_tenant *tenant;

	TAILQ_FOREACH (tenant, &all->list, link)
		kona_tenant_end(tenant);
	while (reclaim_step(all))
		;
}

json_t *kona_tenants_leases(struct kona_tenants *all)
{
	json_t *list = json_array();
	struct kona_tenant *tenant;

	TAILQ_FOREACH (tenant, &all->list, link) {
		json_t *slabs, *remote;

		if (!tenant->lease || tenant->state == KONA_TENANT_LEAVING)
			continue;
		slabs = json_array();
		remote = json_array();
		for (size_t i = 0; i < tenant->slab_count; i++)
			json_array_append_new(tenant->slabs[i].remote ? remote : slabs,
					      json_integer(tenant->slabs[i].id));
		json_array_append_new(list,
				      json_pack("{s:I, s:I, s:i, s:I, s:s, s:I, s:o, s:o}", "lease",
						(json_int_t)tenant->lease, "request",
						(json_int_t)kona_rack_client_request(all->rack),
						"pid", (int)tenant->pid, "uid",
						(json_int_t)tenant->uid, "program", tenant->program,
						"limit_bytes", (json_int_t)tenant->limit_bytes,
						"slabs", slabs, "remote", remote));
	}
	return list;
}

struct kona_tenant *kona_tenants_find(struct kona_tenants *all, int64_t lease)
{
	struct kona_tenant *tenant;

	TAILQ_FOREACH (tenant, &all->list, link)
		if (lease > 0 && tenant->lease == lease && tenant->connection >= 0)
			return tenant;
	return NULL;
}

struct kona_tenant *kona_tenant_new(struct kona_tenants *all, int connection)
{
	struct kona_tenant *tenant = calloc(1, sizeof(*tenant));
	struct ucred peer = {0};
	socklen_t length = sizeof(peer);

	if (!tenant)
		return NULL;
	tenant->all = all;
	tenant->connection = connection;
	if (!getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length)) {
		tenant->pid = peer.pid;
		tenant->uid = peer.uid;
	}
	TAILQ_INSERT_TAIL(&all->list, tenant, link);
	return tenant;
}
