/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests of the data protocol: checked, done, answered. Bytes that are read leave right from the
 * slab; lines of a log go from the receive buffer to the slab, and are copied no further.
 *
 * Acknowledgements wait until another reply leaves, or no whole request is left in the buffer.
 *
 * State: the connection's. Locks: the server's is held. What can fail: the peer (-EPROTO ends the
 * connection), a slab (a FAILED reply), memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "memnode/capability.h"
#include "memnode/data-server.h"

enum {
	MOST_REQUESTS = 64, /* in a row, then others have their turn */
};

static const struct kona_data_header *next_header(const struct kona_data_connection *connection)
{
	return (const void *)(connection->in + connection->in_first);
}

size_t kona_data_wanted_bytes(const struct kona_data_connection *connection)
{
	size_t have = connection->in_end - connection->in_first;

	if (have < sizeof(struct kona_data_header))
		return sizeof(struct kona_data_header);
	return sizeof(struct kona_data_header) + next_header(connection)->body_bytes;
}

/* --- replies -----------------------------------------------------------------------------------*/

static struct kona_data_header make_header(enum kona_data_type type, uint32_t tag, size_t bytes)
{
	return (struct kona_data_header){KONA_DATA_MAGIC, KONA_DATA_VERSION, (uint16_t)type, tag,
					 (uint32_t)bytes};
}

static void add(struct kona_data_reply *reply, const void *bytes, size_t size_bytes)
{
	struct iovec *last = reply->count ? &reply->vectors[reply->count - 1] : NULL;

	if (last && (char *)last->iov_base + last->iov_len == bytes)
		last->iov_len += size_bytes;
	else
		reply->vectors[reply->count++] = (struct iovec){(void *)bytes, size_bytes};
}

/* Begins a reply with what is to be acknowledged. */
static struct kona_data_reply *begin(struct kona_data_connection *connection)
{
	struct kona_data_reply *reply = connection->reply;

	reply->first = reply->count = 0;
	if (connection->ack_due) {
		reply->ack = make_header(KONA_DATA_ACK, connection->ack_tag, 0);
		add(reply, &reply->ack, sizeof(reply->ack));
		connection->ack_due = false;
	}
	return reply;
}

int kona_data_send(struct kona_data_connection *connection)
{
	struct kona_data_reply *reply = connection->reply;

	while (reply->first < reply->count) {
		struct msghdr message = {.msg_iov = reply->vectors + reply->first,
					 .msg_iovlen = reply->count - reply->first};
		ssize_t sent = sendmsg(connection->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		size_t bytes = sent > 0 ? (size_t)sent : 0;

		if (sent < 0 && errno == EINTR)
			continue;
		connection->waits_to_send = sent < 0 && errno == EAGAIN;
		if (sent < 0)
			return connection->waits_to_send ? 0 : -errno;
		while (reply->first < reply->count && bytes >= reply->vectors[reply->first].iov_len)
			bytes -= reply->vectors[reply->first++].iov_len;
		if (bytes) {
			struct iovec *vector = &reply->vectors[reply->first];

			vector->iov_base = (char *)vector->iov_base + bytes;
			vector->iov_len -= bytes;
		}
	}
	free(reply->copy);
	reply->copy = NULL;
	return connection->closing ? -EPROTO : 0;
}

static int answer_plain(struct kona_data_connection *connection, enum kona_data_type type,
			uint32_t tag)
{
	struct kona_data_reply *reply = begin(connection);

	reply->header = make_header(type, tag, 0);
	add(reply, &reply->header, sizeof(reply->header));
	return kona_data_send(connection);
}

static int answer_failed(struct kona_data_connection *connection, uint32_t tag, int status)
{
	struct kona_data_reply *reply = begin(connection);

	reply->header = make_header(KONA_DATA_FAILED, tag, sizeof(reply->failed));
	reply->failed = (struct kona_data_failed){.status = status};
	add(reply, &reply->header, sizeof(reply->header));
	add(reply, &reply->failed, sizeof(reply->failed));
	return kona_data_send(connection);
}

static int acknowledge(struct kona_data_connection *connection)
{
	if (!connection->ack_due)
		return 0;
	begin(connection);
	return kona_data_send(connection);
}

/* --- requests ----------------------------------------------------------------------------------*/

static struct kona_slab *find_slab(struct kona_data_connection *connection, uint32_t handle)
{
	return handle < connection->handle_room ? connection->handles[handle] : NULL;
}

static int make_room(struct kona_data_connection *connection, uint32_t handle)
{
	uint32_t room = connection->handle_room ? connection->handle_room : 64;
	struct kona_slab **handles;

	while (room <= handle)
		room *= 2;
	if (room == connection->handle_room)
		return 0;
	handles = reallocarray(connection->handles, room, sizeof(struct kona_slab *));
	if (!handles)
		return -ENOMEM;
	memset(handles + connection->handle_room, 0,
	       (room - connection->handle_room) * sizeof(struct kona_slab *));
	connection->handles = handles;
	connection->handle_room = room;
	return 0;
}

static int serve_open(struct kona_data_connection *connection, uint32_t tag,
		      const struct kona_data_open *open, const char **ret_why)
{
	struct kona_slab *slab;
	int rc;

	*ret_why = kona_data_check_open(open);
	if (*ret_why)
		return -EPROTO;
	if (!kona_capability_check(connection->server->secret, open)) {
		*ret_why = "a wrong capability";
		connection->closing = true;
		return answer_failed(connection, tag, -EACCES);
	}
	rc = make_room(connection, open->handle);
	if (!rc)
		rc = kona_slab_open(&connection->server->slabs, open, &slab);
	if (rc)
		return answer_failed(connection, tag, rc);
	if (connection->handles[open->handle])
		kona_slab_close(connection->handles[open->handle]);
	connection->handles[open->handle] = slab;
	connection->trusted = true;
	return answer_plain(connection, KONA_DATA_OPENED, tag);
}

/* Adds a piece of our own memory to the reply, page by page: absent pages are zeros. */
static void add_piece(struct kona_data_reply *reply, const struct kona_slab *slab,
		      uint64_t offset_bytes, uint64_t size_bytes)
{
	while (size_bytes) {
		uint64_t within = offset_bytes % KONA_PAGE_BYTES;
		uint64_t part = KONA_PAGE_BYTES - within;

		if (part > size_bytes)
			part = size_bytes;
		add(reply, kona_slab_page(slab, offset_bytes / KONA_PAGE_BYTES) + within, part);
		offset_bytes += part;
		size_bytes -= part;
	}
}

/* A tenant's slab is read through its descriptor, into a copy. */
static int add_tenant_piece(struct kona_data_reply *reply, const struct kona_slab *slab,
			    const struct kona_data_piece *piece, char *to)
{
	uint64_t at_bytes = slab->at_bytes + piece->offset_bytes;

	if (slab->device)
		memcpy(to, slab->device + at_bytes, piece->size_bytes);
	else if (pread(slab->descriptor, to, piece->size_bytes, (off_t)at_bytes) !=
		 (ssize_t)piece->size_bytes)
		return -EIO;
	add(reply, to, piece->size_bytes);
	return 0;
}

static int add_pieces(struct kona_data_connection *connection, const struct kona_data_piece *pieces,
		      size_t count, uint64_t total)
{
	struct kona_data_reply *reply = connection->reply;
	uint64_t copied = 0;

	for (size_t i = 0; i < count; i++) {
		const struct kona_slab *slab = find_slab(connection, pieces[i].handle);
		int rc;

		if (slab->memory) {
			add_piece(reply, slab, pieces[i].offset_bytes, pieces[i].size_bytes);
			continue;
		}
		if (!reply->copy)
			reply->copy = malloc(total);
		if (!reply->copy)
			return -ENOMEM;
		rc = add_tenant_piece(reply, slab, &pieces[i], reply->copy + copied);
		if (rc)
			return rc;
		copied += pieces[i].size_bytes;
	}
	return 0;
}

/* 0; -EPROTO: outside of the slab, or none; -ESTALE: one that was dropped. */
static int check_range(struct kona_data_connection *connection, uint32_t handle,
		       uint64_t offset_bytes, uint64_t size_bytes, const char **ret_why)
{
	const struct kona_slab *slab = find_slab(connection, handle);

	*ret_why = slab ? "a range outside of the slab" : "a slab that is not open";
	if (!slab || !kona_data_in_slab(offset_bytes, size_bytes, slab->bytes))
		return -EPROTO;
	return slab->dead ? -ESTALE : 0;
}

static int check_piece(struct kona_data_connection *connection, const struct kona_data_piece *piece,
		       const char **ret_why)
{
	int rc = check_range(connection, piece->handle, piece->offset_bytes, piece->size_bytes,
			     ret_why);

	if (rc)
		return rc;
	return find_slab(connection, piece->handle)->newer ? -EAGAIN : 0;
}

static int serve_read(struct kona_data_connection *connection, uint32_t tag,
		      const struct kona_data_piece *pieces, size_t count, const char **ret_why)
{
	struct kona_data_reply *reply;
	uint64_t total;
	bool acked;
	int rc = 0;

	*ret_why = kona_data_check_read(pieces, count, &total);
	if (*ret_why)
		return -EPROTO;
	for (size_t i = 0; i < count && !rc; i++)
		rc = check_piece(connection, &pieces[i], ret_why);
	if (rc)
		return rc == -EPROTO ? rc : answer_failed(connection, tag, rc);
	acked = connection->ack_due;
	reply = begin(connection);
	reply->header = make_header(KONA_DATA_DATA, tag, total);
	add(reply, &reply->header, sizeof(reply->header));
	rc = add_pieces(connection, pieces, count, total);
	if (!rc)
		return kona_data_send(connection);
	free(reply->copy);
	reply->copy = NULL;
	connection->ack_due = acked;
	return answer_failed(connection, tag, rc);
}

/* The slab's own program may read it past us from now on. */
static int serve_expose(struct kona_data_connection *connection, uint32_t tag,
			const struct kona_data_expose *expose, const char **ret_why)
{
	struct kona_slabs *slabs = &connection->server->slabs;
	struct kona_slab *slab = find_slab(connection, expose->handle);
	const struct kona_node_fabric *fabric = slabs->fabric;
	struct kona_data_reply *reply;
	int rc;

	*ret_why = slab ? "an EXPOSE that makes no sense" : "a slab that is not open";
	if (!slab || expose->reserved || expose->provider[KONA_DATA_PROVIDER_BYTES - 1])
		return -EPROTO;
	rc = -EOPNOTSUPP;
	if (fabric && !strcmp(fabric->provider, expose->provider))
		rc = kona_slab_expose(slabs, slab, expose->realm);
	if (rc)
		return answer_failed(connection, tag, rc);
	reply = begin(connection);
	reply->header = make_header(KONA_DATA_EXPOSED, tag, sizeof(reply->exposed));
	reply->exposed = (struct kona_data_exposed){
		.base = slab->region.base,
		.key = slab->region.key,
		.ring_base = slab->realm->ring_region.base,
		.ring_key = slab->realm->ring_region.key,
		.ring_bytes = slab->realm->ring ? KONA_DATA_RING_BYTES : 0,
		.address_bytes = slab->realm->address_bytes,
	};
	memcpy(reply->exposed.address, slab->realm->address, sizeof(slab->realm->address));
	add(reply, &reply->header, sizeof(reply->header));
	add(reply, &reply->exposed, sizeof(reply->exposed));
	return kona_data_send(connection);
}

static void applied(struct kona_data_connection *connection, uint32_t tag)
{
	connection->ack_tag = tag;
	connection->ack_due = true;
}

static int apply(struct kona_data_connection *connection, uint32_t tag, struct kona_slab *slab,
		 const struct kona_log *log)
{
	int rc = slab->dead ? -ESTALE : kona_slab_log(slab, log);

	if (rc)
		return answer_failed(connection, tag, rc);
	applied(connection, tag);
	return 0;
}

static int serve_log(struct kona_data_connection *connection, uint32_t tag, const void *body,
		     size_t size_bytes, const char **ret_why)
{
	const struct kona_log_header *header = body;
	struct kona_slab *slab = find_slab(connection, header->handle);
	struct kona_log log;
	int rc;

	*ret_why = "a log for a slab that is not open";
	if (!slab || slab->id != header->slab)
		return -EPROTO;
	rc = kona_log_check(body, size_bytes, slab->bytes / KONA_PAGE_BYTES, &log, ret_why);
	return rc ? -EPROTO : apply(connection, tag, slab, &log);
}

/* A log that its program has written into the ring of its realm, and may be overwriting. */
static int serve_pushed(struct kona_data_connection *connection, uint32_t tag,
			const struct kona_data_pushed *pushed, const char **ret_why)
{
	struct kona_slab *slab = find_slab(connection, pushed->header.handle);
	struct kona_log_places places;
	struct kona_log log;
	int rc;

	*ret_why = "a log for a slab that is not open";
	if (!slab || slab->id != pushed->header.slab)
		return -EPROTO;
	*ret_why = "a log outside of the ring";
	if (pushed->at_bytes % sizeof(uint64_t) ||
	    !kona_data_in_slab(pushed->at_bytes, pushed->size_bytes, KONA_DATA_RING_BYTES))
		return -EPROTO;
	if (!slab->realm || !slab->realm->ring)
		return answer_failed(connection, tag, -EOPNOTSUPP);
	rc = kona_log_check_shared(&pushed->header, slab->realm->ring + pushed->at_bytes,
				   pushed->size_bytes, slab->bytes / KONA_PAGE_BYTES, &places, &log,
				   ret_why);
	if (rc == -EBADMSG)
		return answer_failed(connection, tag, rc);
	return rc ? rc : apply(connection, tag, slab, &log);
}

static int serve_discard(struct kona_data_connection *connection, uint32_t tag,
			 const struct kona_data_discard *discard, const char **ret_why)
{
	int rc = check_range(connection, discard->handle, discard->offset_bytes,
			     discard->size_bytes, ret_why);

	if (discard->reserved || !discard->size_bytes || discard->offset_bytes % KONA_PAGE_BYTES ||
	    discard->size_bytes % KONA_PAGE_BYTES) {
		*ret_why = "a discard of parts of a page";
		return -EPROTO;
	}
	if (!rc)
		rc = kona_slab_discard(find_slab(connection, discard->handle), discard);
	if (rc == -EPROTO)
		return rc;
	if (rc)
		return answer_failed(connection, tag, rc);
	applied(connection, tag);
	return 0;
}

static int serve_one(struct kona_data_connection *connection, const char **ret_why)
{
	const struct kona_data_header *header = next_header(connection);
	const void *body = header + 1;

	switch (header->type) {
	case KONA_DATA_OPEN:
		return serve_open(connection, header->tag, body, ret_why);
	case KONA_DATA_READ:
		return serve_read(connection, header->tag, body,
				  header->body_bytes / sizeof(struct kona_data_piece), ret_why);
	case KONA_DATA_EXPOSE:
		return serve_expose(connection, header->tag, body, ret_why);
	case KONA_DATA_PUSHED:
		return serve_pushed(connection, header->tag, body, ret_why);
	case KONA_DATA_LOG:
		return serve_log(connection, header->tag, body, header->body_bytes, ret_why);
	default:
		return serve_discard(connection, header->tag, body, ret_why);
	}
}

/* A peer that does not behave is told so, if it listens, and let go. */
static int refuse(struct kona_data_connection *connection)
{
	connection->closing = true;
	return answer_failed(connection, next_header(connection)->tag, -EPROTO);
}

int kona_data_serve(struct kona_data_connection *connection, const char **ret_why)
{
	for (int i = 0; i < MOST_REQUESTS && !connection->waits_to_send; i++) {
		size_t have = connection->in_end - connection->in_first;
		size_t wanted = kona_data_wanted_bytes(connection);
		int rc;

		if (have >= sizeof(struct kona_data_header)) {
			*ret_why = kona_data_check_header(next_header(connection),
							  connection->trusted);
			if (*ret_why)
				return refuse(connection);
		}
		if (have < sizeof(struct kona_data_header) || have < wanted)
			break;
		rc = serve_one(connection, ret_why);
		if (rc)
			return rc == -EPROTO && !connection->closing ? refuse(connection) : rc;
		connection->in_first += wanted;
	}
	return connection->waits_to_send ? 0 : acknowledge(connection);
}
