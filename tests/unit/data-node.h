/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A data server in this process, for tests.
 */
#ifndef KONA_TESTS_DATA_NODE_H
#define KONA_TESTS_DATA_NODE_H

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "memnode/capability.h"
#include "memnode/data-server.h"

struct data_node {
	struct kona_data_server server;
	struct kona_node_fabric fabric; /* when a test opens it */
	uint16_t port;
};

static const uint8_t data_node_secret[16] = "0123456789abcde";

static inline void data_node_start(struct data_node *node)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_return_code(bind(listener, (void *)&address, sizeof(address)), errno);
	assert_return_code(listen(listener, 1024), errno);
	assert_return_code(getsockname(listener, (void *)&address, &length), errno);
	node->port = ntohs(address.sin_port);
	assert_int_equal(kona_data_server_start(&node->server, listener, data_node_secret), 0);
}

static inline int data_node_dial(const struct data_node *node)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(node->port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_return_code(fd, errno);
	assert_return_code(connect(fd, (void *)&address, sizeof(address)), errno);
	return fd;
}

/* Generation 1 of a slab of that many bytes, with the node's capability. */
static inline struct kona_data_open data_node_open(uint64_t slab, uint32_t slab_bytes,
						   uint32_t handle, uint32_t flags)
{
	struct kona_data_open open = {.handle = handle,
				      .flags = flags,
				      .slab = slab,
				      .generation = 1,
				      .slab_bytes = slab_bytes};

	assert_int_equal(kona_capability_make(data_node_secret, slab, 1, open.capability), 0);
	return open;
}

#endif
