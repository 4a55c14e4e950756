/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Null transport: a store of zeros that forgets. Shows what the runtime costs without a store, and
 * lets tests count what is sent. Stateless.
 */
#include <string.h>

#include "base/units.h"
#include "transport/transport.h"

static int null_read(struct kona_transport *transport, const struct kona_read *reads, size_t count,
		     uint64_t *system_calls)
{
	for (size_t i = 0; i < count; i++)
		memset(reads[i].buffer, 0, reads[i].size_bytes);
	return 0;
}

static int null_write_lines(struct kona_transport *transport, const struct kona_dirty_page *pages,
			    size_t count, uint64_t *wire_bytes, uint64_t *system_calls)
{
	for (size_t i = 0; i < count; i++)
		*wire_bytes += (uint64_t)__builtin_popcountll(pages[i].mask) * KONA_LINE_BYTES;
	return 0;
}

static int null_discard(struct kona_transport *transport, uint64_t offset_bytes,
			uint64_t size_bytes)
{
	return 0;
}

static void null_close(struct kona_transport *transport)
{
}

static const struct kona_transport_ops null_ops = {
	.name = "null",
	.read = null_read,
	.write_lines = null_write_lines,
	.discard = null_discard,
	.close = null_close,
};

void kona_transport_null_init(struct kona_transport *transport)
{
	*transport = (struct kona_transport){.ops = &null_ops};
}
