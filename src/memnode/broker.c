/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections and packets. A packet that is not in order ends its connection and gets one log line;
 * nobody else notices.
 *
 * When descriptors run out, a reserved one is spent to take the waiting client, tell it so, and
 * close it: else it would hang, and the loop would spin on the listener.
 *
 * State: the listener's events. No locks: the loop's thread.
 */
#include "memnode/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/units.h"
#include "memnode/reply.h"

enum {
	GRACE_MS = 20,
};

static const struct timeval hello_deadline = {10, 0};
static const struct timeval pause_time = {0, 100000};

#define LEAST_BETWEEN_LINES_NS UINT64_C(1000000000)

static void tell(struct kona_broker *broker, pid_t pid, const char *what)
{
	uint64_t now_ns = kona_now_ns();

	if (broker->told_ns && now_ns - broker->told_ns < LEAST_BETWEEN_LINES_NS) {
		broker->untold++;
		return;
	}
	if (broker->untold)
		kona_error("client %d: %s (and %u more of the kind)", (int)pid, what,
			   broker->untold);
	else
		kona_error("client %d: %s", (int)pid, what);
	broker->told_ns = now_ns;
	broker->untold = 0;
}

static void on_packet(evutil_socket_t fd, short what, void *with)
{
	struct kona_tenant *tenant = with;
	struct kona_broker *broker = tenant->all->broker;
	union kona_broker_request request;
	const char *why = "request out of turn";
	int passed = -1;
	ssize_t got;
	int rc;

	if (what & EV_TIMEOUT) {
		tell(broker, tenant->pid, "connected, but did not say hello: closed");
		kona_tenant_end(tenant);
		return;
	}
	got = kona_unix_receive(fd, &request, sizeof(request), MSG_DONTWAIT, &passed);
	if (got == -EAGAIN)
		return;
	if (got <= 0) {
		kona_tenant_end(tenant);
		return;
	}
	rc = kona_broker_check(&request, (size_t)got, &why);
	if (!rc)
		rc = kona_tenant_request(tenant, &request, passed);
	else if (passed >= 0)
		close(passed);
	if (!rc) {
		/* The deadline was for the first packet only, but a question is no HELLO. */
		if (request.header.type != KONA_BROKER_ASK)
			event_remove_timer(tenant->event);
		return;
	}
	if (rc == -EPROTO)
		tell(broker, tenant->pid, why);
	kona_tenant_end(tenant);
}

static void greet(struct kona_broker *broker, int connection)
{
	struct kona_tenant *tenant = kona_tenant_new(broker->tenants, connection);

	if (!tenant) {
		close(connection);
		return;
	}
	tenant->event =
		event_new(broker->base, connection, EV_READ | EV_PERSIST, on_packet, tenant);
	if (!tenant->event || event_add(tenant->event, &hello_deadline))
		kona_tenant_end(tenant);
}

/* A client sends its HELLO right away, and would see a broken pipe if we closed before. */
static void hear_hello(int connection)
{
	struct pollfd polled = {.fd = connection, .events = POLLIN};
	union kona_broker_request request;

	if (poll(&polled, 1, GRACE_MS) > 0 &&
	    recv(connection, &request, sizeof(request), MSG_DONTWAIT) < 0) {
		/* It is told all the same. */
	}
}

/* No descriptor is left: spends the reserved one on telling so. */
static void turn_away(struct kona_broker *broker)
{
	struct kona_broker_welcome welcome = {.status = -EMFILE};
	int connection;

	if (broker->reserve >= 0)
		close(broker->reserve);
	connection = accept4(broker->listener, NULL, NULL, SOCK_CLOEXEC);
	if (connection >= 0) {
		hear_hello(connection);
		snprintf(welcome.node, sizeof(welcome.node), "%s", broker->tenants->node_name);
		if (kona_reply_welcome(connection, &welcome, -1,
				       "kona-memd has no descriptor left")) {
			/* It sees the end of the connection. */
		}
		close(connection);
	}
	broker->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	tell(broker, 0, "no descriptor left to take it: raise the limit (LimitNOFILE=)");
	event_del(broker->listening);
	event_add(broker->pause, &pause_time);
}

static void on_pause_over(evutil_socket_t fd, short what, void *with)
{
	struct kona_broker *broker = with;

	event_add(broker->listening, NULL);
}

static void on_connection(evutil_socket_t fd, short what, void *with)
{
	struct kona_broker *broker = with;
	int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (connection >= 0)
		greet(broker, connection);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
		turn_away(broker);
}

int kona_broker_start(struct kona_broker *broker, struct event_base *base,
		      struct kona_tenants *tenants, int listener)
{
	memset(broker, 0, sizeof(*broker));
	tenants->broker = broker;
	broker->base = base;
	broker->tenants = tenants;
	broker->listener = listener;
	broker->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (broker->reserve < 0)
		return -errno;
	broker->listening = event_new(base, listener, EV_READ | EV_PERSIST, on_connection, broker);
	broker->pause = event_new(base, -1, 0, on_pause_over, broker);
	if (!broker->listening || !broker->pause || event_add(broker->listening, NULL)) {
		kona_broker_stop(broker);
		return -ENOMEM;
	}
	return 0;
}

void kona_broker_stop(struct kona_broker *broker)
{
	if (broker->listening)
		event_free(broker->listening);
	if (broker->pause)
		event_free(broker->pause);
	broker->listening = broker->pause = NULL;
	if (broker->reserve >= 0)
		close(broker->reserve);
	broker->reserve = -1;
}

void kona_broker_sweep(struct kona_broker *broker)
{
	struct kona_tenant *tenant;
	char byte;

	TAILQ_FOREACH (tenant, &broker->tenants->list, link)
		if (tenant->connection >= 0 &&
		    !recv(tenant->connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT))
			kona_tenant_end(tenant);
}
