/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP connections, made without blocking. Addresses are numeric: no resolver can hold us up.
 */
#include "memnode/dial.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/rack.h"

struct kona_dial {
	struct event *event;
	int socket;
	kona_dial_done *done;
	void *with;
};

static const struct timeval patience = {KONA_DIAL_MS / 1000, KONA_DIAL_MS % 1000 * 1000};

/* Splits "HOST:PORT", "[HOST]:PORT". */
static int resolve(const char *endpoint, int flags, struct addrinfo **ret_address)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | flags,
				       .ai_socktype = SOCK_STREAM};
	char host[KONA_RACK_ENDPOINT_BYTES], *name = host, *port;

	if (strlen(endpoint) >= sizeof(host))
		return -EINVAL;
	strcpy(host, endpoint);
	port = strrchr(host, ':');
	if (!port || port == host)
		return -EINVAL;
	*port++ = '\0';
	if (name[0] == '[' && name[strlen(name) - 1] == ']') {
		name[strlen(name) - 1] = '\0';
		name++;
	}
	return getaddrinfo(name, port, &hints, ret_address) ? -EINVAL : 0;
}

/* Returns the socket, which is connecting, or -errno. */
static int begin(const char *endpoint)
{
	struct addrinfo *address;
	int fd, rc = resolve(endpoint, 0, &address);

	if (rc)
		return rc;
	fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		rc = -errno;
	else if (connect(fd, address->ai_addr, address->ai_addrlen) && errno != EINPROGRESS)
		rc = -errno;
	freeaddrinfo(address);
	if (rc && fd >= 0)
		close(fd);
	return rc ? rc : fd;
}

static int result_of(int fd)
{
	int error = 0;
	socklen_t length = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) ? -errno : -error;
}

static void on_connected(evutil_socket_t fd, short what, void *with)
{
	struct kona_dial *dial = with;
	kona_dial_done *done = dial->done;
	void *done_with = dial->with;
	int rc = what & EV_TIMEOUT ? -ETIMEDOUT : result_of(fd);

	event_free(dial->event);
	free(dial);
	if (rc)
		close(fd);
	done(done_with, rc ? rc : fd);
}

int kona_dial_start(struct event_base *base, const char *endpoint, kona_dial_done *done, void *with,
		    struct kona_dial **ret_dial)
{
	struct kona_dial *dial;
	int fd = begin(endpoint);

	if (fd < 0)
		return fd;
	dial = calloc(1, sizeof(*dial));
	if (dial)
		dial->event = event_new(base, fd, EV_WRITE, on_connected, dial);
	if (!dial || !dial->event || event_add(dial->event, &patience)) {
		if (dial && dial->event)
			event_free(dial->event);
		free(dial);
		close(fd);
		return -ENOMEM;
	}
	dial->socket = fd;
	dial->done = done;
	dial->with = with;
	*ret_dial = dial;
	return 0;
}

void kona_dial_cancel(struct kona_dial *dial)
{
	event_free(dial->event);
	close(dial->socket);
	free(dial);
}

int kona_dial_wait(const char *endpoint)
{
	int rc, fd = begin(endpoint);
	struct pollfd polled = {.fd = fd, .events = POLLOUT};

	if (fd < 0)
		return fd;
	rc = poll(&polled, 1, KONA_DIAL_MS) > 0 ? result_of(fd) : -ETIMEDOUT;
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

int kona_dial_listen(const char *endpoint, unsigned int *ret_port)
{
	struct addrinfo *address;
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	char port[16];
	int one = 1, fd, rc = resolve(endpoint, AI_PASSIVE, &address);

	if (rc)
		return rc;
	fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, address->ai_addr, address->ai_addrlen) || listen(fd, 1024) ||
	    getsockname(fd, (struct sockaddr *)&bound, &length))
		rc = -errno;
	freeaddrinfo(address);
	if (!rc && getnameinfo((struct sockaddr *)&bound, length, NULL, 0, port, sizeof(port),
			       NI_NUMERICSERV))
		rc = -EINVAL;
	if (!rc) {
		*ret_port = (unsigned int)strtoul(port, NULL, 10);
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return rc;
}
