/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libkona-ofi.so offers to kona-memd and libkona, neither of which is linked with libfabric.
 *
 *   memd:     load -> open(serves) -> another() for each program: name, expose() each of its slabs,
 *             wait() in a thread
 *   libkona:  load -> probe -> open -> peer, read, write, poll, all in a thread of its own
 *
 * Endpoints for datagrams that are reliable (FI_EP_RDM), and one-sided reads and writes. Functions
 * return 0 or -errno. Those of a serving endpoint may be called from several threads, others from
 * one.
 */
#ifndef KONA_TRANSPORT_OFI_H
#define KONA_TRANSPORT_OFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define KONA_OFI_LIBRARY "libkona-ofi.so"

enum {
	KONA_OFI_VERSION = 3,
	KONA_OFI_NAME_BYTES = 16,
	KONA_OFI_ADDRESS_BYTES = 64,
};

struct kona_ofi;

/* Memory that the network may reach. */
struct kona_ofi_region {
	void *handle;	    /* NULL: none */
	uint64_t base, key; /* where it begins for the peer, and what lets that in */
	void *local;	    /* lets our own reads and writes in */
};

enum kona_ofi_access {
	KONA_OFI_OURS, /* our own reads store here, our own writes take from here */
	KONA_OFI_READABLE,
	KONA_OFI_WRITABLE, /* by peers, both */
};

struct kona_ofi_ops {
	uint32_t version;
	/*
	 * Is there a device for this provider ("verbs", "efa" or "tcp")? -ENODEV: none; -EINVAL: no
	 * such provider.
	 */
	int (*probe)(const char *provider);
	/* node: the address to serve at, in numbers; NULL: any. -ENODEV: no device has it. */
	int (*open)(const char *provider, const char *node, bool serves, struct kona_ofi **ret_ofi);
	/*
	 * A serving endpoint as `like` is one, at another port, in a protection domain of its own:
	 * whoever talks to the one cannot use keys of the other.
	 */
	int (*another)(const struct kona_ofi *like, struct kona_ofi **ret_ofi);
	/* The endpoint's address, for peers. */
	int (*name)(struct kona_ofi *ofi, void *ret_address, size_t *bytes);
	int (*expose)(struct kona_ofi *ofi, void *memory, size_t size_bytes,
		      enum kona_ofi_access access, struct kona_ofi_region *ret_region);
	/* From now on peers' reads and writes of it fail. One that is not exposed is none. */
	void (*hide)(struct kona_ofi_region *region);
	/* Makes a peer known by its endpoint's address. */
	int (*peer)(struct kona_ofi *ofi, const void *address, uint64_t *ret_peer);
	/* Begins a read; with 0, `context` comes out of poll() later. -EAGAIN: poll first. */
	int (*read)(struct kona_ofi *ofi, uint64_t peer, void *to, size_t size_bytes,
		    const struct kona_ofi_region *local, uint64_t from, uint64_t key,
		    void *context);
	/* The same for a write, which ends when the peer could see it. */
	int (*write)(struct kona_ofi *ofi, uint64_t peer, void *from, size_t size_bytes,
		     const struct kona_ofi_region *local, uint64_t to, uint64_t key, void *context);
	/* Moves things on. 1: one of them has ended, with *ret_status 0 or -errno; 0: none has. */
	int (*poll)(struct kona_ofi *ofi, void **ret_context, int *ret_status);
	/* The same for a serving endpoint; sleeps, for so long at most. */
	void (*wait)(struct kona_ofi *ofi, int most_ms);
	void (*close)(struct kona_ofi *ofi);
};

/* The one symbol of the library. */
extern const struct kona_ofi_ops kona_ofi_ops;

/*
 * Sets libfabric's own limits in the environment, unless people have: what is loaded later heeds
 * them. -ENOMEM.
 */
KONA_MUST_CHECK int kona_ofi_set_limits(void);

/*
 * Loads the library, whose absence is -ENOENT, with what the loader says about it in ret_why. Puts
 * back the signal handlers that libfabric's providers install for themselves.
 */
KONA_MUST_CHECK int kona_ofi_load(const char *path, const struct kona_ofi_ops **ret_ops,
				  char *ret_why, size_t why_bytes);

#endif
