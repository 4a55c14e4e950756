/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The node's end of one-sided reads and writes (kona-memd --fabric): data-request -> slab -> fabric
 * -> an RDMA device, by way of libkona-ofi.so, which is loaded when it is asked for.
 *
 * A slab is registered by itself when its program, which has opened it by its capability, wants to
 * read it; for reading only; and is hidden again before its memory goes. Where the provider lets us
 * choose keys, they are random numbers of 64 bits; verbs chooses its own, of 32. So each program
 * gets a realm: an endpoint and a protection domain that its slabs' keys are of, and no others; it
 * names it by a random number. A key that was guessed is of no use at another program's endpoint.
 *
 * What programs write goes to their realm's ring, never to a slab: as logs, which the node checks
 * and applies (data-request.c).
 */
#ifndef KONA_MEMNODE_FABRIC_H
#define KONA_MEMNODE_FABRIC_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "base/compiler.h"
#include "transport/ofi.h"
#include "wire/data.h"

struct kona_node_fabric;

struct kona_realm {
	LIST_ENTRY(kona_realm) link;
	struct kona_node_fabric *fabric;
	uint8_t name[KONA_DATA_REALM_BYTES];
	struct kona_ofi *ofi;
	uint8_t address[KONA_DATA_ADDRESS_BYTES];
	uint32_t address_bytes;
	unsigned int users; /* slabs */
	char *ring;	    /* KONA_DATA_RING_BYTES that the program writes to; or NULL. Owned */
	struct kona_ofi_region ring_region;
	pthread_t thread; /* in which the library answers, where the device does not */
	bool stop;	  /* Atomic, no edge: looked at every now and then */
};

LIST_HEAD(kona_realm_list, kona_realm);

struct kona_node_fabric {
	const struct kona_ofi_ops *ops;
	struct kona_ofi *ofi; /* shows what is possible; realms are made after it */
	char provider[KONA_DATA_PROVIDER_BYTES];
	/* Guarded by the server's lock, as all realms are. Those that end still have a thread */
	struct kona_realm_list realms, ending;
};

/*
 * Opens an endpoint at this address, in numbers; path: of libkona-ofi.so. 0; -errno, and what is
 * wrong, in words, in ret_why.
 */
KONA_MUST_CHECK int kona_node_fabric_open(struct kona_node_fabric *fabric, const char *path,
					  const char *provider, const char *node, char *ret_why,
					  size_t why_bytes);

/* With every region hidden, and every realm left. */
void kona_node_fabric_close(struct kona_node_fabric *fabric);

/*
 * The realm of this name, with a user more; made for the first one. -ENOMEM, -EMFILE, ...: the
 * device's limits.
 */
KONA_MUST_CHECK int kona_realm_enter(struct kona_node_fabric *fabric,
				     const uint8_t name[KONA_DATA_REALM_BYTES],
				     struct kona_realm **ret_realm);

/* It ends with its last user, whose region is hidden. Does not wait for that. */
void kona_realm_leave(struct kona_realm *realm);

#endif
