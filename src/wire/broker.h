/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The broker protocol: libkona inside a program <-> kona-memd on the same host.
 *
 * A Unix SOCK_SEQPACKET connection; one message is one packet, fixed size, host byte order (both
 * ends share a kernel). The client sends one request at a time and waits for its reply; the daemon
 * never speaks unasked. The lease lives as long as the connection: a forked child that inherits the
 * socket keeps its parent's lease alive.
 *
 *   client                              memd
 *   HELLO ----------------------------> opens a lease with the rack controller
 *   <------------------------- WELCOME  + the lease's store (a memfd) by SCM_RIGHTS
 *   HOLD  + a descriptor -------------> keeps it open until the lease ends (spare userfaultfd)
 *   <---------------------------- HELD
 *   GRANT ----------------------------> asks the controller for slabs
 *   <------------------------- GRANTED  slabs, each with its place in the store
 *
 * The store belongs to one lease: its bytes start as zeros and are gone when the lease ends, so no
 * tenant ever sees another's data. Every reply carries status: 0, or -errno with a text for people.
 *
 * A reader checks magic, version, type and the packet's length before it looks at anything else; a
 * bad packet ends the connection (memd) or the request with -EPROTO (client).
 */
#ifndef KONA_WIRE_BROKER_H
#define KONA_WIRE_BROKER_H

#include <assert.h>
#include <stdint.h>

#define KONA_BROKER_MAGIC   UINT32_C(0x414e4f4b) /* "KONA" */
#define KONA_BROKER_VERSION 1

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

struct kona_broker_slab {
	uint64_t slab_id;      /* unique in the rack */
	uint64_t offset_bytes; /* in the lease's store; a multiple of slab_bytes */
};

/* All of the slabs that were asked for, or none (status -ENOSPC, -EDQUOT, -EHOSTUNREACH, ...). */
struct kona_broker_granted {
	struct kona_broker_header header;
	int32_t status;
	uint32_t count;
	struct kona_broker_slab slabs[KONA_BROKER_MOST_SLABS];
	char text[KONA_BROKER_TEXT_BYTES];
};

static_assert(sizeof(struct kona_broker_header) == 8, "wire layout");
static_assert(sizeof(struct kona_broker_hello) == 88, "wire layout");
static_assert(sizeof(struct kona_broker_welcome) == 256, "wire layout");
static_assert(sizeof(struct kona_broker_hold) == 16, "wire layout");
static_assert(sizeof(struct kona_broker_grant) == 16, "wire layout");
static_assert(sizeof(struct kona_broker_granted) == 432, "wire layout");

#endif
