/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data protocol: a client (libkona, or a memory node that copies a slab) <-> kona-memd.
 *
 * A TCP stream of frames, little endian. Each is a header and body_bytes of body, of a request a
 * multiple of 8; requests carry a tag that grows by one. A client may send many requests before it
 * reads; replies come in their order.
 *
 *   client                              node
 *   OPEN, handle, slab, capability ---> checks the capability
 *   <--------------------------- OPENED
 *   READ, pieces ---------------------> one round trip for all of them
 *   <----------------------------- DATA  the pieces' bytes, in order
 *   LOG (wire/log.h) -----------------> checked, applied
 *   DISCARD, range -------------------> reads as zeros from now on
 *   <------------------------------ ACK  every LOG and DISCARD up to this tag is applied
 *   <--------------------------- FAILED  instead of OPENED, DATA or ACK: an errno (Linux) for that
 *                                       tag; the connection goes on. After -EPROTO it is closed
 *
 *   EXPOSE, handle, provider, realm --> registers the slab with its RDMA device
 *   <---------------------------- EXPOSED  where the client may read it by itself, and the key; and
 *                                       the same for the realm's ring, where it may write
 *   PUSHED, place and header ---------> as LOG, but the log stands in the ring of the slab's realm
 *
 * Such reads go past the server: they are let in by the key, until the slab is dropped, and see
 * what was acknowledged. The key is good at the realm's own endpoint alone. Refused: -EOPNOTSUPP,
 * the node has no such device; -EAGAIN, it is being copied; -EACCES, it is in another realm.
 *
 * The client may write to any place of the ring until it has sent the PUSHED of what stands there,
 * and again once that was answered. The node believes nothing that it finds there: what a PUSHED
 * does not say is copied before it is checked. Refused: -EOPNOTSUPP, the slab's realm has no ring;
 * -EBADMSG, the checksum is wrong: it may be that a part of the log has not arrived.
 *
 * A handle is the client's own small number for a slab on this connection. Requests may name only
 * slabs that were opened on the same connection, which is what the capability is for.
 *
 * LOG and DISCARD carry a sequence number, which grows by one for each slab: one that was applied
 * already is acknowledged and does nothing, a gap is refused (-ESTALE): so a log can be sent again
 * after an answer was lost, and a node never holds a slab with a hole in its history.
 *
 * OPEN with KONA_DATA_CREATE makes the slab, zeroed, unless its generation is there already. Only
 * the first OPEN after a grant carries it: so a slab that the node was told to drop does not come
 * back as zeros. OPEN with KONA_DATA_JOIN makes a replica anew: what the node had of the slab is
 * forgotten, the next log is `sequence` + 1, and the node may now copy the rest from another
 * replica. Lines that arrive by logs are newer than anything that is copied. Until all is copied,
 * it cannot be read (-EAGAIN): so a client can ask whether it is whole, which the node knows before
 * the controller.
 */
#ifndef KONA_WIRE_DATA_H
#define KONA_WIRE_DATA_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/units.h"
#include "wire/log.h"

#define KONA_DATA_MAGIC	  UINT32_C(0x5444414b) /* "KADT" */
#define KONA_DATA_VERSION 1

enum kona_data_type {
	KONA_DATA_OPEN = 1,
	KONA_DATA_OPENED = 2,
	KONA_DATA_READ = 3,
	KONA_DATA_DATA = 4,
	KONA_DATA_LOG = 5,
	KONA_DATA_DISCARD = 6,
	KONA_DATA_ACK = 7,
	KONA_DATA_FAILED = 8,
	KONA_DATA_EXPOSE = 9,
	KONA_DATA_EXPOSED = 10,
	KONA_DATA_PUSHED = 11,
};

enum {
	KONA_DATA_MOST_PIECES = 64,
	KONA_DATA_MOST_READ_BYTES = 1 << 20, /* of one READ */
	KONA_DATA_MOST_BODY_BYTES = (1 << 20) + (1 << 16),
	KONA_DATA_RING_BYTES = 2 * KONA_DATA_MOST_BODY_BYTES,
	KONA_DATA_MOST_HANDLES = 1 << 20,
	KONA_DATA_CAPABILITY_BYTES = 16,
	KONA_DATA_PROVIDER_BYTES = 16,
	KONA_DATA_ADDRESS_BYTES = 64,
	KONA_DATA_REALM_BYTES = 16,
};

/* A slab is a power of two between these. */
#define KONA_DATA_LEAST_SLAB_BYTES (UINT64_C(1) << 16)
#define KONA_DATA_MOST_SLAB_BYTES  (UINT64_C(1) << 34)

struct kona_data_header {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t tag;
	uint32_t body_bytes;
};

enum {
	KONA_DATA_CREATE = 1,
	KONA_DATA_JOIN = 2,
};

struct kona_data_open {
	uint32_t handle; /* below KONA_DATA_MOST_HANDLES */
	uint32_t flags;	 /* 0, KONA_DATA_CREATE or KONA_DATA_JOIN */
	uint64_t slab;
	uint64_t generation;
	uint64_t slab_bytes;
	uint64_t sequence; /* KONA_DATA_JOIN: of the last log that was sent elsewhere; else 0 */
	uint8_t capability[KONA_DATA_CAPABILITY_BYTES];
};

/* READ's body is an array of these. */
struct kona_data_piece {
	uint32_t handle;
	uint32_t size_bytes; /* not 0 */
	uint64_t offset_bytes;
};

struct kona_data_discard {
	uint32_t handle;
	uint32_t reserved;     /* 0 */
	uint64_t offset_bytes; /* page-aligned, both */
	uint64_t size_bytes;   /* not 0 */
	uint64_t sequence;
};

struct kona_data_expose {
	uint32_t handle;
	uint32_t reserved;			 /* 0 */
	char provider[KONA_DATA_PROVIDER_BYTES]; /* NUL-terminated */
	uint8_t realm[KONA_DATA_REALM_BYTES];	 /* of this program, and random */
};

struct kona_data_exposed {
	uint64_t base, key;
	uint64_t ring_base, ring_key;
	uint32_t address_bytes;
	uint32_t ring_bytes; /* KONA_DATA_RING_BYTES; 0: the realm has no ring */
	uint8_t address[KONA_DATA_ADDRESS_BYTES]; /* of the realm's endpoint at the node */
};

/* A log that stands in the ring, header included. */
struct kona_data_pushed {
	uint32_t at_bytes; /* a multiple of 8 */
	uint32_t size_bytes;
	struct kona_log_header header; /* this one counts */
};

struct kona_data_failed {
	int32_t status; /* -errno */
	uint32_t reserved;
};

static_assert(sizeof(struct kona_data_header) == 16, "wire layout");
static_assert(offsetof(struct kona_data_header, body_bytes) == 12, "wire layout");
static_assert(sizeof(struct kona_data_open) == 56, "wire layout");
static_assert(offsetof(struct kona_data_open, capability) == 40, "wire layout");
static_assert(sizeof(struct kona_data_piece) == 16, "wire layout");
static_assert(sizeof(struct kona_data_discard) == 32, "wire layout");
static_assert(sizeof(struct kona_data_expose) == 40, "wire layout");
static_assert(sizeof(struct kona_data_exposed) == 104, "wire layout");
static_assert(sizeof(struct kona_data_pushed) == 40, "wire layout");
static_assert(sizeof(struct kona_data_failed) == 8, "wire layout");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "wire structs are used as they are");

/*
 * The three checks say what is wrong with a request, in words, or NULL. They look at nothing but
 * their arguments; whether a handle is open is the server's business.
 */

/* The header of a request. trusted: the connection has opened a slab; else only OPEN is taken. */
KONA_MUST_CHECK const char *kona_data_check_header(const struct kona_data_header *header,
						   bool trusted);

/* The body of an OPEN. */
KONA_MUST_CHECK const char *kona_data_check_open(const struct kona_data_open *open);

/* The pieces of a READ. *ret_total_bytes: what the reply carries. */
KONA_MUST_CHECK const char *kona_data_check_read(const struct kona_data_piece *pieces, size_t count,
						 uint64_t *ret_total_bytes);

/* Is this range inside a slab of slab_bytes? No overflow leads astray. */
static inline bool kona_data_in_slab(uint64_t offset_bytes, uint64_t size_bytes,
				     uint64_t slab_bytes)
{
	return offset_bytes < slab_bytes && size_bytes <= slab_bytes - offset_bytes;
}

#endif
