/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fake nodes and programs for rack-scale, and the kona-rackd that they call.
 */
#ifndef KONA_BENCH_RACK_WORLD_H
#define KONA_BENCH_RACK_WORLD_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "wire/rack-call.h"
#include "wire/rack.h"

enum {
	BEATERS = 4,	   /* threads that beat */
	DIE = 10,	   /* nodes that fall silent */
	DEPTH_OF_NODE = 2, /* its memory holds so many times its share */
	MOST_CALL_MS = 30000,
};

struct ids {
	int64_t *ids;
	size_t count, room;
};

struct node {
	pthread_mutex_t lock; /* guards all below */
	struct kona_rack_peer *peer;
	int64_t id;
	bool silent, registered;
	struct ids hosted, dropped, copied;
	json_t *taken; /* owned list */
};

struct lease {
	int64_t id, request, have;
	size_t node;
	struct ids slabs;
	size_t hurt; /* copies on the nodes that die */
};

struct world {
	const char *rackd, *folder;
	char address[160];
	size_t nodes, clients, slabs;
	struct node *node;
	struct lease *lease;
	pid_t pid;
	atomic_bool end;
};

extern struct world world;

/* Ends all with a line. */
KONA_NORETURN void die(const char *what, const char *why);

/* Starts kona-rackd and waits until it is ready. */
void start_rackd(void);
struct kona_rack_peer *new_peer(void);

/* Consumes the body. */
KONA_MUST_CHECK int call(struct kona_rack_peer *peer, const char *method, const char *path,
			 json_t *body, json_t **ret_reply, char *text);
int64_t number_of(const json_t *object, const char *name);

/* Registers the node; with its lock. */
KONA_MUST_CHECK int enroll(size_t n);

/* A thread, of BEATERS: its share of the nodes beats once a second, evenly, until world.end. */
void *beat_all(void *with);

void open_lease(struct kona_rack_peer *peer, struct lease *lease);

/* Returns 0 or what the controller says; ret_ns: how long it took. */
KONA_MUST_CHECK int grant(struct kona_rack_peer *peer, struct lease *lease, size_t count,
			  uint64_t *ret_ns);

#endif
