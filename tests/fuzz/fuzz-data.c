/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as what a client sends to the data server, after it has opened a slab: answered, or the
 * end of the connection; never a byte outside of the slab. Checksums are put right where a log
 * stands, and the capability where an OPEN does. The same bytes stand in each ring.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/still-fabric.h"
#include "base/crc32c.h"
#include "fuzz.h"
#include "memnode/capability.h"
#include "memnode/data-server.h"

enum { SLAB_BYTES = KONA_DATA_LEAST_SLAB_BYTES };

static struct kona_data_server server; /* without its thread */
static struct kona_node_fabric fabric;
static struct kona_ofi_ops ops;
static const uint8_t *input;
static size_t input_bytes;

static int expose(struct kona_ofi *ofi, void *memory, size_t size_bytes,
		  enum kona_ofi_access access, struct kona_ofi_region *ret_region)
{
	if (access == KONA_OFI_WRITABLE && input_bytes)
		memcpy(memory, input, input_bytes);
	return still_expose(ofi, memory, size_bytes, access, ret_region);
}

/* Of a log in the ring, as far as it stands in the input. */
static void put_pushed_right(struct kona_data_pushed *pushed)
{
	size_t rest = (size_t)pushed->at_bytes + sizeof(pushed->header);

	if (pushed->size_bytes < sizeof(pushed->header) ||
	    (size_t)pushed->at_bytes + pushed->size_bytes > input_bytes)
		return;
	pushed->header.crc32c = 0;
	pushed->header.crc32c = kona_crc32c(0, &pushed->header, sizeof(pushed->header));
	pushed->header.crc32c = kona_crc32c(pushed->header.crc32c, input + rest,
					    pushed->size_bytes - sizeof(pushed->header));
}

bool fuzz_accepted;

/* Makes what a fuzzer cannot guess right, frame by frame. */
static void put_right(char *bytes, size_t size)
{
	while (size >= sizeof(struct kona_data_header)) {
		struct kona_data_header *header = (void *)bytes;
		char *body = (char *)(header + 1);
		size_t have = size - sizeof(*header);

		if (header->version == FUZZ_VERSION)
			header->version = KONA_DATA_VERSION;
		if (header->body_bytes > have || header->body_bytes % 8)
			return;
		if (header->type == KONA_DATA_LOG &&
		    header->body_bytes >= sizeof(struct kona_log_header)) {
			struct kona_log_header *log = (void *)body;

			log->crc32c = 0;
			log->crc32c = kona_crc32c(0, body, header->body_bytes);
		}
		if (header->type == KONA_DATA_PUSHED &&
		    header->body_bytes >= sizeof(struct kona_data_pushed))
			put_pushed_right((void *)body);
		if (header->type == KONA_DATA_OPEN &&
		    header->body_bytes >= sizeof(struct kona_data_open)) {
			struct kona_data_open *open = (void *)body;

			if (open->slab_bytes > SLAB_BYTES)
				open->slab_bytes = SLAB_BYTES;
			open->handle %= 1024;
			if (kona_capability_make(server.secret, open->slab, open->generation,
						 open->capability))
				abort();
		}
		bytes = body + header->body_bytes;
		size = have - header->body_bytes;
	}
}

static void drain(int peer)
{
	static char bytes[1 << 16];

	while (recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void serve_all(struct kona_data_connection *connection, int peer)
{
	const char *why;

	for (int i = 0; i < 1000; i++) {
		size_t before = connection->in_first;
		bool waited = connection->waits_to_send;

		if (waited && kona_data_send(connection))
			return;
		if (kona_data_serve(connection, &why))
			return;
		drain(peer);
		if (before == connection->in_first && !waited && !connection->waits_to_send)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kona_data_connection connection = {.server = &server, .trusted = true};
	struct kona_data_open open = {
		.flags = KONA_DATA_CREATE, .slab = 1, .generation = 1, .slab_bytes = SLAB_BYTES};
	int pair[2];

	if (size > 1 << 16 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair))
		return 0;
	kona_slabs_init(&server.slabs);
	still_fabric_open(&fabric);
	ops = still_ops;
	ops.expose = expose;
	fabric.ops = &ops;
	server.slabs.fabric = &fabric;
	input = data;
	input_bytes = size;
	connection.socket = pair[0];
	connection.reply = calloc(1, sizeof(*connection.reply));
	connection.handles = calloc(1, sizeof(struct kona_slab *));
	connection.handle_room = 1;
	connection.in = malloc(size + 8);
	connection.in_room = connection.in_end = size;
	if (size)
		memcpy(connection.in, data, size);
	put_right(connection.in, size);
	if (kona_slab_open(&server.slabs, &open, &connection.handles[0]))
		abort();
	serve_all(&connection, pair[1]);
	fuzz_accepted |= connection.in_first == connection.in_end && !connection.closing;
	for (uint32_t i = 0; i < connection.handle_room; i++)
		if (connection.handles[i])
			kona_slab_close(connection.handles[i]);
	kona_slabs_destroy(&server.slabs);
	kona_node_fabric_close(&fabric);
	free(connection.handles);
	free(connection.reply->copy);
	free(connection.reply);
	free(connection.in);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
