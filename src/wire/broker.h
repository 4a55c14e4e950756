/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The broker protocol: libkona inside a program <-> kona-memd on the same host.
 * A Unix SOCK_SEQPACKET connection; one message is one packet, fixed size, host byte order (both
 * ends share a kernel). The client sends one request at a time and waits for its reply. The lease
 * lives as long as the connection: a forked child that inherits the socket keeps its parent's lease
 * alive. The end of the stream tells the client that its memory node is gone.
 *
 *   client                              memd
 *   ASK ------------------------------> (kona run; at any time)
 *   <---------------------------- TOLD  the address of the rack that the daemon belongs to
 *   HELLO ----------------------------> opens a lease with the rack controller
 *   <------------------------- WELCOME  + the socket for news (below)
 *   HOLD  + a descriptor -------------> keeps it open until the lease ends (spare userfaultfd)
 *   <---------------------------- HELD
 *   GRANT ----------------------------> asks the controller for slabs
 *   <------------------------- GRANTED  + the memory of those that stand here, one memfd
 *   LINK, a node + a descriptor ------> connects to its data endpoint
 *   <-------------------------- LINKED  over that descriptor, + the connected socket (wire/data.h)
 *
 * The answer to a LINK comes over the end of a SEQPACKET socket pair that came with it: so many can
 * be under way, one that hangs delays no other, and a forked child may ask over the same socket.
 *
 * Slabs of a grant that stand on this host (`local`) stand in a memfd of their own, of exactly
 * their number * slab_bytes zeros, in the order of the reply. The daemon seals it with F_SEAL_GROW
 * | F_SEAL_SEAL before it sends it: so a tenant cannot enlarge what it was granted, nor keep the
 * daemon from truncating it to nothing when the lease ends, which frees the memory whoever still
 * maps it. (A tenant that shrinks its own grant hurts only itself.) No slab's bytes are ever handed
 * to a second tenant. Other replicas are reached over links, with the capability of each.
 *
 * A daemon that lends a pool (memnode/store.h) sends a descriptor of an unnamed file instead, or of
 * a device or file that has these slabs from base_bytes on. Its lock on them must stay.
 *
 * News, on a second SEQPACKET socket, whose ends speak when they have something to say:
 *
 *   SET <------------------------------ where a slab is now; repeated until TAKEN
 *   TAKEN, slab, version -------------> the client acts by it
 *   LOST, node, slab -----------------> this replica failed; slab 0: all on that node
 *
 * A reader checks magic, version, type and the packet's length before it looks at anything else; a
 * bad packet ends the connection (memd) or the request with -EPROTO (client).
 */
#ifndef KONA_WIRE_BROKER_H
#define KONA_WIRE_BROKER_H

#include <assert.h>
#include <stdint.h>

#define KONA_BROKER_MAGIC   UINT32_C(0x414e4f4b) /* "KONA" */
#define KONA_BROKER_VERSION 5

enum kona_broker_type {
	KONA_BROKER_HELLO = 1,
	KONA_BROKER_WELCOME = 2,
	KONA_BROKER_HOLD = 3,
	KONA_BROKER_HELD = 4,
	KONA_BROKER_GRANT = 5,
	KONA_BROKER_GRANTED = 6,
	KONA_BROKER_LINK = 7,
	KONA_BROKER_LINKED = 8,
	KONA_BROKER_SET = 9,
	KONA_BROKER_TAKEN = 10,
	KONA_BROKER_LOST = 11,
	KONA_BROKER_ASK = 12,
	KONA_BROKER_TOLD = 13,
};

enum {
	KONA_BROKER_NAME_BYTES = 64,
	KONA_BROKER_TEXT_BYTES = 160,
	KONA_BROKER_MOST_SLABS = 16,
	KONA_BROKER_MOST_REPLICAS = 4, /* three, and one that takes another's place */
	KONA_BROKER_CAPABILITY_BYTES = 16,
	KONA_BROKER_RACK_BYTES = 1016,
};

struct kona_broker_header {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
};

struct kona_broker_ask {
	struct kona_broker_header header;
	uint64_t reserved; /* 0 */
};

struct kona_broker_told {
	struct kona_broker_header header;
	char rack[KONA_BROKER_RACK_BYTES]; /* as kona-memd --rack has it; cut off at the end */
};

struct kona_broker_hello {
	struct kona_broker_header header;
	uint64_t remote_limit_bytes; /* the client's own cap; 0: as much as the rack grants */
	uint32_t pid;		     /* for status displays; memd trusts SO_PEERCRED only */
	uint32_t reserved;	     /* 0 */
	char program[KONA_BROKER_NAME_BYTES]; /* NUL-terminated */
};

struct kona_broker_welcome {
	struct kona_broker_header header;
	int32_t status;
	uint32_t on_host; /* 1: all slabs will stand in shared memory of this host; else 0 */
	uint64_t lease_id;
	uint64_t slab_bytes; /* a power of two */
	char node[KONA_BROKER_NAME_BYTES];
	char text[KONA_BROKER_TEXT_BYTES];
};

/* HOLD and HELD; HELD's status is the answer. */
struct kona_broker_hold {
	struct kona_broker_header header;
	int32_t status;
	uint32_t reserved;
};

struct kona_broker_grant {
	struct kona_broker_header header;
	uint32_t count; /* 1..KONA_BROKER_MOST_SLABS */
	uint32_t reserved;
};

enum kona_broker_replica_state {
	KONA_BROKER_FULL = 1,
	KONA_BROKER_COPYING = 2,
};

/* A replica that is reached over the network. */
struct kona_broker_replica {
	uint64_t node;
	uint8_t capability[KONA_BROKER_CAPABILITY_BYTES];
	uint32_t state;
	uint32_t reserved; /* 0 */
};

struct kona_broker_slab {
	uint64_t id; /* unique in the rack */
	uint64_t generation;
	uint32_t local; /* 1: a replica stands in shared memory on this host; else 0 */
	uint32_t replica_count;
	struct kona_broker_replica replicas[KONA_BROKER_MOST_REPLICAS];
};

/*
 * All of the slabs that were asked for, and a descriptor when some are local; or none, and none
 * (status -ENOSPC, -EDQUOT, -EHOSTUNREACH, ...).
 */
struct kona_broker_granted {
	struct kona_broker_header header;
	int32_t status;
	uint32_t count;
	uint64_t base_bytes; /* where the first local slab begins behind the descriptor */
	struct kona_broker_slab slabs[KONA_BROKER_MOST_SLABS];
	char text[KONA_BROKER_TEXT_BYTES];
};

/* For a node that a grant or a SET has named. */
struct kona_broker_link {
	struct kona_broker_header header;
	uint64_t node;
};

struct kona_broker_linked {
	struct kona_broker_header header;
	int32_t status;
	uint32_t reserved;
	char node[KONA_BROKER_NAME_BYTES];
	char text[KONA_BROKER_TEXT_BYTES];
};

struct kona_broker_set {
	struct kona_broker_header header;
	uint64_t version; /* grows with every change of this slab */
	struct kona_broker_slab slab;
};

/* TAKEN: version; LOST: node. */
struct kona_broker_report {
	struct kona_broker_header header;
	uint64_t slab;
	uint64_t value;
};

static_assert(sizeof(struct kona_broker_header) == 8, "wire layout");
static_assert(sizeof(struct kona_broker_ask) == 16, "wire layout");
static_assert(sizeof(struct kona_broker_told) == 1024, "wire layout");
static_assert(sizeof(struct kona_broker_hello) == 88, "wire layout");
static_assert(sizeof(struct kona_broker_welcome) == 256, "wire layout");
static_assert(sizeof(struct kona_broker_hold) == 16, "wire layout");
static_assert(sizeof(struct kona_broker_grant) == 16, "wire layout");
static_assert(sizeof(struct kona_broker_replica) == 32, "wire layout");
static_assert(sizeof(struct kona_broker_slab) == 152, "wire layout");
static_assert(sizeof(struct kona_broker_granted) == 2616, "wire layout");
static_assert(sizeof(struct kona_broker_link) == 16, "wire layout");
static_assert(sizeof(struct kona_broker_linked) == 240, "wire layout");
static_assert(sizeof(struct kona_broker_set) == 168, "wire layout");
static_assert(sizeof(struct kona_broker_report) == 24, "wire layout");

#endif
