/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `kona run` tells the runtime, by environment variables.
 *
 *   KONA_SOCKET    path of kona-memd's socket; without it the library does nothing
 *   KONA_LOCAL     bytes of local memory, metadata included
 *   KONA_REMOTE    most bytes of remote memory; 0: what the rack grants (default)
 *   KONA_DIRTY     lines (default) | twin | wp
 *   KONA_FOLLOW    1: programs that this one forks or executes use remote memory, too; 0 (default)
 *   KONA_NET       NS:BYTES_PER_SECOND: latency and bandwidth of a network that is emulated
 *   KONA_SEAL      1: memory nodes get pages encrypted and authenticated (transport/seal.h); or 0
 *   KONA_AWAKE     1: compiled code runs with guards from the start (sleepers.h), for tests; or 0
 *   KONA_FABRIC    PROVIDER:PATH of libkona-ofi.so: other hosts' memory is read by RDMA; optional
 *   KONA_STATS_FD  descriptor of a statistics area (stats.h); optional
 */
#ifndef KONA_RUNTIME_CONFIG_H
#define KONA_RUNTIME_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "runtime/dirty.h"
#include "transport/ofi.h"

struct kona_config {
	char socket[108]; /* "": Kona is not asked for */
	uint64_t local_bytes;
	uint64_t remote_bytes;
	enum kona_dirty_mode dirty_mode;
	bool follow;
	bool seal;
	bool awake;
	uint64_t net_latency_ns;
	uint64_t net_bytes_per_s;	  /* 0: no network is emulated */
	char fabric[KONA_OFI_NAME_BYTES]; /* ""; a provider */
	char fabric_path[256];
	int stats_descriptor; /* -1: none */
};

/*
 * Reads the environment. 0; -EINVAL with the reason, in words, in *ret_reason (a literal).
 */
KONA_MUST_CHECK int kona_config_read(struct kona_config *config, const char **ret_reason);

/* Takes the variables, and this library in LD_PRELOAD, out of the environment, so that programs
 * which this one executes run without Kona. Edits the environment in place. */
void kona_config_forget(void);

#endif
