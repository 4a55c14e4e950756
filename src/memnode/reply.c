/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replies of the broker. Stateless.
 */
#include "memnode/reply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/unix.h"

static struct kona_broker_header make_header(enum kona_broker_type type)
{
	return (struct kona_broker_header){KONA_BROKER_MAGIC, KONA_BROKER_VERSION, (uint16_t)type};
}

int kona_reply_welcome(int connection, struct kona_broker_welcome *welcome, int news,
		       const char *text)
{
	welcome->header = make_header(KONA_BROKER_WELCOME);
	if (welcome->status) {
		snprintf(welcome->text, sizeof(welcome->text), "%s", text);
		news = -1;
	}
	return kona_unix_send(connection, welcome, sizeof(*welcome), news, MSG_DONTWAIT);
}

int kona_reply_told(int connection, const char *rack)
{
	struct kona_broker_told told = {.header = make_header(KONA_BROKER_TOLD)};

	snprintf(told.rack, sizeof(told.rack), "%s", rack);
	return kona_unix_send(connection, &told, sizeof(told), -1, MSG_DONTWAIT);
}

int kona_reply_held(int connection, int status)
{
	struct kona_broker_hold held = {.header = make_header(KONA_BROKER_HELD), .status = status};

	return kona_unix_send(connection, &held, sizeof(held), -1, MSG_DONTWAIT);
}

int kona_reply_granted(int connection, int status, const struct kona_broker_slab *slabs,
		       uint32_t count, const struct kona_memory *memory, const char *text)
{
	struct kona_broker_granted granted = {.header = make_header(KONA_BROKER_GRANTED),
					      .status = status};

	if (status) {
		snprintf(granted.text, sizeof(granted.text), "%s", text);
		return kona_unix_send(connection, &granted, sizeof(granted), -1, MSG_DONTWAIT);
	}
	granted.count = count;
	granted.base_bytes = memory ? memory->base_bytes : 0;
	for (uint32_t i = 0; i < count; i++)
		granted.slabs[i] = slabs[i];
	return kona_unix_send(connection, &granted, sizeof(granted),
			      memory ? memory->descriptor : -1, MSG_DONTWAIT);
}

int kona_reply_linked(int connection, int status, const char *node, int socket, const char *text)
{
	struct kona_broker_linked linked = {.header = make_header(KONA_BROKER_LINKED),
					    .status = status};

	snprintf(linked.node, sizeof(linked.node), "%s", node);
	if (status)
		snprintf(linked.text, sizeof(linked.text), "%s", text);
	return kona_unix_send(connection, &linked, sizeof(linked), socket, MSG_DONTWAIT);
}
