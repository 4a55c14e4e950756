/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork(): what happens to VFMem around it.
 */
#ifndef KONA_RUNTIME_FORK_H
#define KONA_RUNTIME_FORK_H

#include "base/compiler.h"

/*
 * Registers the handlers that run with all of the allocator's locks held. Before jemalloc registers
 * its own, so before the first allocation. Then kona_fork_init_threads() after that. -ENOMEM.
 */
KONA_MUST_CHECK int kona_fork_init_locks(void);
KONA_MUST_CHECK int kona_fork_init_threads(void);

#endif
