/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The node's end of one-sided reads (kona-memd --fabric): data-request -> slab -> fabric -> an RDMA
 * device, by way of libkona-ofi.so, which is loaded when it is asked for.
 *
 * A slab is registered by itself when its program, which has opened it by its capability, wants to
 * read it; for reading only; and is hidden again before its memory goes. Where the provider lets us
 * choose keys, they are random numbers of 64 bits; verbs chooses its own, of 32.
 */
#ifndef KONA_MEMNODE_FABRIC_H
#define KONA_MEMNODE_FABRIC_H

#include <pthread.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "transport/ofi.h"
#include "wire/data.h"

struct kona_node_fabric {
	const struct kona_ofi_ops *ops;
	struct kona_ofi *ofi;
	char provider[KONA_DATA_PROVIDER_BYTES];
	uint8_t address[KONA_DATA_ADDRESS_BYTES];
	uint32_t address_bytes;
	pthread_t thread; /* in which the library answers, where the device does not */
	bool stop;	  /* Atomic, no edge: looked at every now and then */
};

/*
 * Opens an endpoint at this address, in numbers; path: of libkona-ofi.so. 0; -errno, and what is
 * wrong, in words, in ret_why.
 */
KONA_MUST_CHECK int kona_node_fabric_open(struct kona_node_fabric *fabric, const char *path,
					  const char *provider, const char *node, char *ret_why,
					  size_t why_bytes);

/* With every region hidden. */
void kona_node_fabric_close(struct kona_node_fabric *fabric);

#endif
