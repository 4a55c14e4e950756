/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replies of the broker. Stateless.
 */
#include "memnode/reply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "wire/broker.h"

static struct kona_broker_header make_header(enum kona_broker_type type)
{
	return (struct kona_broker_header){KONA_BROKER_MAGIC, KONA_BROKER_VERSION, (uint16_t)type};
}

static int send_packet(int connection, void *packet, size_t size_bytes, int descriptor)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec vector = {packet, size_bytes};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

	if (descriptor >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &descriptor, sizeof(int));
	}
	return sendmsg(connection, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int kona_reply_welcome(int connection, int status, int64_t lease, uint64_t slab_bytes,
		       const char *node, const char *text)
{
	struct kona_broker_welcome welcome = {.header = make_header(KONA_BROKER_WELCOME),
					      .status = status};

	snprintf(welcome.node, sizeof(welcome.node), "%s", node);
	if (status) {
		snprintf(welcome.text, sizeof(welcome.text), "%s", text);
	} else {
		welcome.lease_id = (uint64_t)lease;
		welcome.slab_bytes = slab_bytes;
	}
	return send_packet(connection, &welcome, sizeof(welcome), -1);
}

int kona_reply_held(int connection, int status)
{
	struct kona_broker_hold held = {.header = make_header(KONA_BROKER_HELD), .status = status};

	return send_packet(connection, &held, sizeof(held), -1);
}

int kona_reply_granted(int connection, int status, const int64_t *slabs, uint32_t count,
		       int descriptor, const char *text)
{
	struct kona_broker_granted granted = {.header = make_header(KONA_BROKER_GRANTED),
					      .status = status};

	if (status) {
		snprintf(granted.text, sizeof(granted.text), "%s", text);
		return send_packet(connection, &granted, sizeof(granted), -1);
	}
	granted.count = count;
	for (uint32_t i = 0; i < count; i++)
		granted.slab_ids[i] = (uint64_t)slabs[i];
	return send_packet(connection, &granted, sizeof(granted), descriptor);
}
