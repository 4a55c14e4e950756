/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Links: connections to other nodes that a tenant asks for (broker -> tenant -> links -> dial).
 * Each is made by itself, and answered over the descriptor that came with the request: a node that
 * hangs costs its own answer, and nobody else's.
 *
 * State: the tenant's dials. No locks: the loop's thread. What can fail: the other node, which the
 * answer tells; whoever does not wait for it any more does not hear of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "memnode/reply.h"
#include "memnode/tenant.h"

enum { MOST_DIALS = 256 }; /* of one tenant: a fork links to all nodes at once */

struct kona_tenant_dial {
	LIST_ENTRY(kona_tenant_dial) link;
	struct kona_tenant *tenant;
	struct kona_dial *dial;
	int64_t node;
	int answer; /* owned */
};

/* Nothing else may carry an answer: a file, say, would be written to. */
static bool can_answer(int fd)
{
	int domain = 0, type = 0;
	socklen_t length = sizeof(int);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) && domain == AF_UNIX &&
	       !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) && type == SOCK_SEQPACKET;
}

static void answer(int fd, int status, const char *node, int socket, const char *text)
{
	if (kona_reply_linked(fd, status, node, socket, text)) {
		/* It has given up. */
	}
	close(fd);
	if (socket >= 0)
		close(socket);
}

static void forget(struct kona_tenant_dial *dial)
{
	LIST_REMOVE(dial, link);
	dial->tenant->dial_count--;
	free(dial);
}

static void linked(void *with, int socket)
{
	struct kona_tenant_dial *dial = with;
	const struct kona_peer *peer = kona_peers_find(&dial->tenant->all->peers, dial->node);

	answer(dial->answer, socket < 0 ? socket : 0, peer->name, socket,
	       socket < 0 ? strerror(-socket) : "");
	forget(dial);
}

static int begin(struct kona_tenant *tenant, const struct kona_peer *peer, int fd)
{
	struct kona_tenant_dial *dial = calloc(1, sizeof(*dial));
	int rc;

	if (!dial)
		return -ENOMEM;
	rc = kona_dial_start(event_get_base(tenant->event), peer->endpoint, linked, dial,
			     &dial->dial);
	if (rc) {
		free(dial);
		return rc;
	}
	dial->tenant = tenant;
	dial->node = peer->node;
	dial->answer = fd;
	LIST_INSERT_HEAD(&tenant->dials, dial, link);
	tenant->dial_count++;
	return 0;
}

int kona_tenant_link(struct kona_tenant *tenant, uint64_t node, int fd)
{
	const struct kona_peer *peer = kona_peers_find(&tenant->all->peers, (int64_t)node);
	int rc;

	if ((tenant->state != KONA_TENANT_OPEN && tenant->state != KONA_TENANT_GRANTING) ||
	    !can_answer(fd)) {
		if (fd >= 0)
			close(fd);
		return -EPROTO;
	}
	if (!peer) {
		answer(fd, -ENOENT, "", -1, "no grant has named this node");
		return 0;
	}
	rc = tenant->dial_count < MOST_DIALS ? begin(tenant, peer, fd) : -EAGAIN;
	if (rc)
		answer(fd, rc, peer->name, -1, strerror(-rc));
	return 0;
}

void kona_tenant_unlink(struct kona_tenant *tenant)
{
	struct kona_tenant_dial *dial;

	while ((dial = LIST_FIRST(&tenant->dials))) {
		kona_dial_cancel(dial->dial);
		close(dial->answer);
		forget(dial);
	}
}
