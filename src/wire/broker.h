/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The broker protocol: libkona inside a program <-> kona-memd on the same host.
 *
 * A Unix SOCK_SEQPACKET connection; one message is one packet, fixed size, host byte order (both
 * ends share a kernel). The client sends one request at a time and waits for its reply; the daemon
 * never speaks unasked. The lease lives as long as the connection: a forked child that inherits the
 * socket keeps its parent's lease alive. The end of the stream tells the client that its memory
 * node is gone.
 *
 *   client                              memd
 *   HELLO ----------------------------> opens a lease with the rack controller
 *   <------------------------- WELCOME
 *   HOLD  + a descriptor -------------> keeps it open until the lease ends (spare userfaultfd)
 *   <---------------------------- HELD
 *   GRANT ----------------------------> asks the controller for slabs
 *   <------------------------- GRANTED  + their memory, one memfd, by SCM_RIGHTS
 *
 * Each grant is a memfd of its own, of exactly count * slab_bytes zeros, in which the slabs stand
 * in the order of the reply. The daemon seals it with F_SEAL_GROW | F_SEAL_SEAL before it sends it:
 * so a tenant cannot enlarge what it was granted, nor keep the daemon from truncating it to nothing
 * when the lease ends, which frees the memory whoever still maps it. (A tenant that shrinks its own
 * grant hurts only itself.) No slab's bytes are ever handed to a second tenant.
 *
 * A reader checks magic, version, type and the packet's length before it looks at anything else; a
 * bad packet ends the connection (memd) or the request with -EPROTO (client).
 */
#ifndef KONA_WIRE_BROKER_H
#define KONA_WIRE_BROKER_H

#include <assert.h>
#include <stdint.h>

#define KONA_BROKER_MAGIC   UINT32_C(0x414e4f4b) /* "KONA" */
#define KONA_BROKER_VERSION 2

enum kona_broker_type {
	KONA_BROKER_HELLO = 1,
	KONA_BROKER_WELCOME = 2,
	KONA_BROKER_HOLD = 3,
	KONA_BROKER_HELD = 4,
	KONA_BROKER_GRANT = 5,
	KONA_BROKER_GRANTED = 6,
};

enum {
	KONA_BROKER_NAME_BYTES = 64,
	KONA_BROKER_TEXT_BYTES = 160,
	KONA_BROKER_MOST_SLABS = 16,
};

struct kona_broker_header {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
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
	uint32_t reserved;
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

/*
 * All of the slabs that were asked for, and one descriptor; or none, and none (status -ENOSPC,
 * -EDQUOT, -EHOSTUNREACH, ...).
 */
struct kona_broker_granted {
	struct kona_broker_header header;
	int32_t status;
	uint32_t count;
	uint64_t slab_ids[KONA_BROKER_MOST_SLABS]; /* unique in the rack */
	char text[KONA_BROKER_TEXT_BYTES];
};

static_assert(sizeof(struct kona_broker_header) == 8, "wire layout");
static_assert(sizeof(struct kona_broker_hello) == 88, "wire layout");
static_assert(sizeof(struct kona_broker_welcome) == 256, "wire layout");
static_assert(sizeof(struct kona_broker_hold) == 16, "wire layout");
static_assert(sizeof(struct kona_broker_grant) == 16, "wire layout");
static_assert(sizeof(struct kona_broker_granted) == 304, "wire layout");

#endif
