/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Validation of the data protocol's requests. Stateless; reads nothing but what it is given.
 */
#include "wire/data.h"
#include "wire/log.h"

static const char *check_length(uint16_t type, uint32_t body_bytes)
{
	switch (type) {
	case KONA_DATA_OPEN:
		return body_bytes == sizeof(struct kona_data_open) ? NULL : "wrong length";
	case KONA_DATA_READ:
		if (!body_bytes || body_bytes % sizeof(struct kona_data_piece) ||
		    body_bytes / sizeof(struct kona_data_piece) > KONA_DATA_MOST_PIECES)
			return "wrong number of pieces";
		return NULL;
	case KONA_DATA_LOG:
		return body_bytes >= sizeof(struct kona_log_header) &&
				       body_bytes <= KONA_DATA_MOST_BODY_BYTES &&
				       body_bytes % sizeof(uint64_t) == 0
			       ? NULL
			       : "wrong length";
	case KONA_DATA_DISCARD:
		return body_bytes == sizeof(struct kona_data_discard) ? NULL : "wrong length";
	case KONA_DATA_PUSHED:
		return body_bytes == sizeof(struct kona_data_pushed) ? NULL : "wrong length";
	case KONA_DATA_EXPOSE:
		return body_bytes == sizeof(struct kona_data_expose) ? NULL : "wrong length";
	default:
		return "no such request";
	}
}

const char *kona_data_check_header(const struct kona_data_header *header, bool trusted)
{
	if (header->magic != KONA_DATA_MAGIC)
		return "not the data protocol";
	if (header->version != KONA_DATA_VERSION)
		return "another version of the protocol";
	if (!trusted && header->type != KONA_DATA_OPEN)
		return "a request before a slab was opened";
	return check_length(header->type, header->body_bytes);
}

const char *kona_data_check_open(const struct kona_data_open *open)
{
	if (open->handle >= KONA_DATA_MOST_HANDLES)
		return "handle out of range";
	if (open->flags > KONA_DATA_JOIN)
		return "unknown flags";
	if (open->flags != KONA_DATA_JOIN && open->sequence)
		return "reserved field is not 0";
	if (open->slab_bytes < KONA_DATA_LEAST_SLAB_BYTES ||
	    open->slab_bytes > KONA_DATA_MOST_SLAB_BYTES ||
	    open->slab_bytes & (open->slab_bytes - 1))
		return "slab size out of range";
	return NULL;
}

const char *kona_data_check_read(const struct kona_data_piece *pieces, size_t count,
				 uint64_t *ret_total_bytes)
{
	uint64_t total = 0;

	for (size_t i = 0; i < count; i++) {
		if (!pieces[i].size_bytes)
			return "an empty piece";
		total += pieces[i].size_bytes;
	}
	if (total > KONA_DATA_MOST_READ_BYTES)
		return "too much in one read";
	*ret_total_bytes = total;
	return NULL;
}
