/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller's listening socket.
 */
#include "rack/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/daemon.h"

static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* Splits "HOST:PORT"; host has room for all of the text. */
static int split(const char *address, char *host, const char **ret_port)
{
	const char *colon = strrchr(address, ':');
	size_t length = colon ? (size_t)(colon - address) : 0;

	if (!length || !colon[1])
		return -EINVAL;
	memcpy(host, address, length);
	host[length] = 0;
	if (host[0] == '[' && host[length - 1] == ']') {
		memmove(host, host + 1, length - 2);
		host[length - 2] = 0;
	}
	*ret_port = colon + 1;
	return 0;
}

static int bind_and_listen(const struct addrinfo *found, int *ret_fd)
{
	int one = 1;
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	/* Else a restart would wait for the old connections' last minute. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!bind(fd, found->ai_addr, found->ai_addrlen) && !listen(fd, 1024)) {
		*ret_fd = fd;
		return 0;
	}
	rc = -errno;
	close(fd);
	return rc;
}

static void write_address(struct kona_rack_listener *listener, bool tls)
{
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	char host[INET6_ADDRSTRLEN], port[8];

	if (getsockname(listener->descriptor, (struct sockaddr *)&bound, &length) ||
	    getnameinfo((struct sockaddr *)&bound, length, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		return;
	snprintf(listener->address, sizeof(listener->address),
		 strchr(host, ':') ? "http%s://[%s]:%s" : "http%s://%s:%s", tls ? "s" : "", host,
		 port);
}

static int listen_tcp(const char *address, enum kona_rack_trust trust,
		      struct kona_rack_listener *listener, char *why, size_t why_bytes)
{
	static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *found;
	char host[256];
	const char *port;
	int rc;

	if (strlen(address) >= sizeof(host) || split(address, host, &port)) {
		snprintf(why, why_bytes, "want unix:PATH or HOST:PORT");
		return -EINVAL;
	}
	rc = getaddrinfo(host, port, &hints, &found);
	if (rc) {
		snprintf(why, why_bytes, "%s", gai_strerror(rc));
		return -EINVAL;
	}
	if (trust == KONA_RACK_TRUST_HOST && !is_loopback(found->ai_addr)) {
		snprintf(why, why_bytes,
			 "other hosts can reach this address: --pki FOLDER with certificates from "
			 "kona rack init, or --insecure if the network is yours alone");
		rc = -EPERM;
	} else {
		rc = bind_and_listen(found, &listener->descriptor);
		if (rc)
			snprintf(why, why_bytes, "%s", kona_daemon_bad_address(rc));
	}
	freeaddrinfo(found);
	if (!rc)
		write_address(listener, trust == KONA_RACK_TRUST_TLS);
	return rc;
}

int kona_rack_listen(const char *address, mode_t mode, enum kona_rack_trust trust,
		     struct kona_rack_listener *ret_listener, char *why, size_t why_bytes)
{
	int rc;

	memset(ret_listener, 0, sizeof(*ret_listener));
	if (strncmp(address, "unix:", 5) != 0)
		return listen_tcp(address, trust, ret_listener, why, why_bytes);
	rc = kona_unix_listen(address + 5, SOCK_STREAM, mode, &ret_listener->named);
	if (rc) {
		snprintf(why, why_bytes, "%s", kona_daemon_bad_path(rc));
		return rc;
	}
	ret_listener->is_unix = true;
	ret_listener->descriptor = ret_listener->named.descriptor;
	snprintf(ret_listener->address, sizeof(ret_listener->address), "%s", address);
	return 0;
}

void kona_rack_unlisten(struct kona_rack_listener *listener)
{
	if (!listener->is_unix)
		return;
	/* The HTTP server has closed its end already. */
	listener->named.descriptor = -1;
	kona_unix_unlisten(&listener->named);
}
