/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections of the data server: one thread, one epoll. After a request it looks for the next one
 * without sleeping for a little while, first at the connection that spoke last: a client that waits
 * for each page would pay two wake-ups for it otherwise. How long follows from whether it has been
 * worth it.
 *
 * State: the connections. Locks: the server's, while requests are served. What can fail: peers.
 * Half a request is given 10 s, a reply that nobody takes, too; so is, when there are very many, a
 * connection that has not opened a slab.
 */
#include "memnode/data-server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/atomic.h"
#include "base/daemon.h"
#include "base/log.h"
#include "base/spin.h"

enum {
	FIRST_ROOM = 4096,
	MOST_EVENTS = 64,
	MANY = 1024, /* connections, beyond which idle ones must go */
	SWEEP_MS = 1000,
	HOT_TRIES = 4, /* looks at the hot connection between two at all of them */
	MOST_HOT = 16, /* requests of the hot one in a row, then the others have their turn */
};

#define PATIENCE_NS	       UINT64_C(10000000000)
#define LEAST_BETWEEN_LINES_NS UINT64_C(1000000000)

static void tell(struct kona_data_server *server, const char *why)
{
	uint64_t now_ns = kona_now_ns();

	if (server->told_ns && now_ns - server->told_ns < LEAST_BETWEEN_LINES_NS) {
		server->untold++;
		return;
	}
	kona_error("data connection closed: %s%s", why,
		   server->untold ? " (and others before it)" : "");
	server->told_ns = now_ns;
	server->untold = 0;
}

static void end_connection(struct kona_data_connection *connection, const char *why)
{
	struct kona_data_server *server = connection->server;

	if (why)
		tell(server, why);
	if (server->hot == connection)
		server->hot = NULL;
	close(connection->socket);
	pthread_mutex_lock(&server->lock);
	for (uint32_t i = 0; i < connection->handle_room; i++)
		if (connection->handles[i])
			kona_slab_close(connection->handles[i]);
	pthread_mutex_unlock(&server->lock);
	LIST_REMOVE(connection, link);
	server->connection_count--;
	if (connection->in != connection->small)
		free(connection->in);
	if (connection->reply)
		free(connection->reply->copy);
	free(connection->reply);
	free(connection->handles);
	free(connection);
}

/* Makes room for the next request, whole. */
static int make_room(struct kona_data_connection *connection)
{
	size_t wanted = kona_data_wanted_bytes(connection);
	size_t have = connection->in_end - connection->in_first;
	size_t room = connection->in_room;
	char *grown;

	if (connection->trusted && wanted < FIRST_ROOM)
		wanted = FIRST_ROOM;
	if (!have)
		connection->in_first = connection->in_end = 0;
	if (wanted > room) {
		grown = malloc(wanted);
		if (!grown)
			return -ENOMEM;
		memcpy(grown, connection->in + connection->in_first, have);
		if (connection->in != connection->small)
			free(connection->in);
		connection->in = grown;
		connection->in_room = wanted;
	} else if (have && room - connection->in_first < wanted) {
		memmove(connection->in, connection->in + connection->in_first, have);
	} else {
		return 0;
	}
	connection->in_first = 0;
	connection->in_end = have;
	return 0;
}

static int set_events(struct kona_data_connection *connection, int operation)
{
	struct epoll_event event = {.events = connection->waits_to_send ? EPOLLOUT : EPOLLIN,
				    .data.ptr = connection};

	return epoll_ctl(connection->server->epoll, operation, connection->socket, &event) ? -errno
											   : 0;
}

/* Returns the bytes that came; 0: none now; -errno: it is over. */
static ssize_t receive(struct kona_data_connection *connection)
{
	ssize_t got = recv(connection->socket, connection->in + connection->in_end,
			   connection->in_room - connection->in_end, MSG_DONTWAIT);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!got)
		return -ECONNRESET;
	connection->in_end += (size_t)got;
	return got;
}

static int serve_received(struct kona_data_connection *connection, const char **ret_why)
{
	struct kona_data_server *server = connection->server;
	bool waited = connection->waits_to_send;
	int rc = 0;

	if (!connection->reply) {
		connection->reply = calloc(1, sizeof(*connection->reply));
		if (!connection->reply)
			return -ENOMEM;
	}
	pthread_mutex_lock(&server->lock);
	if (waited)
		rc = kona_data_send(connection);
	if (!rc)
		rc = kona_data_serve(connection, ret_why);
	pthread_mutex_unlock(&server->lock);
	if (rc)
		return rc;
	connection->since_ns = kona_now_ns();
	if (waited != connection->waits_to_send)
		return set_events(connection, EPOLL_CTL_MOD);
	return 0;
}

/* Whole requests that wait for others' turn must not wait for more bytes. */
static bool has_request(const struct kona_data_connection *connection)
{
	size_t have = connection->in_end - connection->in_first;

	return !connection->waits_to_send && have >= sizeof(struct kona_data_header) &&
	       have >= kona_data_wanted_bytes(connection);
}

/* Serves what has come. Returns whether something had; the connection may be gone. */
static bool look_at(struct kona_data_connection *connection)
{
	const char *why = NULL;
	ssize_t got = 1;
	int rc;

	if (!connection->waits_to_send) {
		rc = make_room(connection);
		got = rc ? rc : receive(connection);
	}
	if (!got)
		return false;
	do
		rc = got < 0 ? (int)got : serve_received(connection, &why);
	while (!rc && has_request(connection));
	if (rc) {
		end_connection(connection, rc == -EPROTO ? why : NULL);
		return true;
	}
	connection->server->hot = connection;
	return true;
}

static void take_connection(struct kona_data_server *server)
{
	struct kona_data_connection *connection;
	int one = 1, socket = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (socket < 0)
		return;
	connection = server->connection_count < KONA_DATA_MOST_CONNECTIONS
			     ? calloc(1, sizeof(*connection))
			     : NULL;
	if (!connection) {
		close(socket);
		tell(server, "there are too many");
		return;
	}
	if (setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))) {
		/* Slower, not wrong. */
	}
	connection->server = server;
	connection->socket = socket;
	connection->in = connection->small;
	connection->in_room = sizeof(connection->small);
	connection->since_ns = kona_now_ns();
	LIST_INSERT_HEAD(&server->connections, connection, link);
	server->connection_count++;
	if (set_events(connection, EPOLL_CTL_ADD))
		end_connection(connection, "no room to wait for it");
}

/* Ends those that have kept us waiting. */
static void sweep(struct kona_data_server *server)
{
	uint64_t now_ns = kona_now_ns();
	struct kona_data_connection *connection = LIST_FIRST(&server->connections), *next;

	for (; connection; connection = next) {
		bool half = connection->in_end > connection->in_first;

		next = LIST_NEXT(connection, link);
		if (now_ns - connection->since_ns < PATIENCE_NS)
			continue;
		if (connection->waits_to_send || half ||
		    (!connection->trusted && server->connection_count > MANY))
			end_connection(connection, half ? "half a request, and no more"
							: "a peer that does not go on");
	}
}

/* Looks at the connections that have something. Returns whether one did. */
static bool turn(struct kona_data_server *server, int timeout_ms)
{
	struct epoll_event events[MOST_EVENTS];
	int count = epoll_wait(server->epoll, events, MOST_EVENTS, timeout_ms);
	bool some = false;

	for (int i = 0; i < count; i++)
		if (events[i].data.ptr == &server->wake)
			some = true;
		else if (events[i].data.ptr == &server->listener)
			take_connection(server);
		else
			some |= look_at(events[i].data.ptr);
	return some;
}

/* Looks on without sleeping. Returns whether something came. */
static bool look_on(struct kona_data_server *server)
{
	uint64_t start_ns = kona_now_ns();

	do {
		for (int i = 0; i < HOT_TRIES && server->hot_streak < MOST_HOT; i++)
			if (server->hot && !server->hot->waits_to_send && look_at(server->hot)) {
				server->hot_streak++;
				return true;
			}
		server->hot_streak = 0;
		if (turn(server, 0))
			return true;
	} while (kona_now_ns() - start_ns < KONA_SPIN_NS);
	return false;
}

static void *run(void *with)
{
	struct kona_data_server *server = with;
	struct kona_spin spin = {0, 0};
	uint64_t swept_ns = 0;
	bool spins = false;

	/* relaxed: the wake that follows the store makes us look again */
	while (!kona_load_relaxed(&server->stop)) {
		if (spins) {
			spins = look_on(server);
			kona_spin_learn(&spin, !spins);
		} else {
			spins = turn(server, SWEEP_MS) && kona_spin_try(&spin);
		}
		/* Also when it never comes to rest. */
		if (kona_now_ns() - swept_ns > SWEEP_MS * UINT64_C(1000000)) {
			sweep(server);
			swept_ns = kona_now_ns();
		}
	}
	while (!LIST_EMPTY(&server->connections))
		end_connection(LIST_FIRST(&server->connections), NULL);
	return NULL;
}

static int open_epoll(struct kona_data_server *server)
{
	struct epoll_event listening = {.events = EPOLLIN, .data.ptr = &server->listener};
	struct epoll_event waking = {.events = EPOLLIN, .data.ptr = &server->wake};

	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->epoll < 0 || server->wake < 0 ||
	    epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &listening) ||
	    epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->wake, &waking))
		return -errno;
	return 0;
}

static void close_all(struct kona_data_server *server)
{
	int *descriptors[] = {&server->epoll, &server->wake, &server->listener};

	for (size_t i = 0; i < KONA_ARRAY_LEN(descriptors); i++)
		if (*descriptors[i] >= 0)
			close(*descriptors[i]);
	pthread_mutex_destroy(&server->lock);
}

int kona_data_server_start(struct kona_data_server *server, int listener,
			   const uint8_t secret[KONA_DATA_SECRET_BYTES])
{
	int rc;

	memset(server, 0, sizeof(*server));
	LIST_INIT(&server->connections);
	pthread_mutex_init(&server->lock, NULL);
	kona_slabs_init(&server->slabs);
	memcpy(server->secret, secret, sizeof(server->secret));
	server->listener = listener;
	server->epoll = server->wake = -1;
	rc = open_epoll(server);
	if (!rc)
		rc = kona_daemon_thread(&server->thread, run, server);
	if (rc) {
		server->listener = -1; /* the caller's still */
		close_all(server);
	}
	return rc;
}

void kona_data_server_stop(struct kona_data_server *server)
{
	uint64_t one = 1;

	kona_store_relaxed(&server->stop, true); /* relaxed: the wake below makes it look */
	if (write(server->wake, &one, sizeof(one)) < 0) {
		/* Cannot fail: it was never written before. */
	}
	pthread_join(server->thread, NULL);
	kona_slabs_destroy(&server->slabs);
	close_all(server);
}
