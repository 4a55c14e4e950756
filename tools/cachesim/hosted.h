/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine in an ordinary process: set up by the same arguments as the Valgrind tool, read out as
 * the same result. Usage: start, then accesses, then finish, and free in any case.
 */
#ifndef KONA_CACHESIM_HOSTED_H
#define KONA_CACHESIM_HOSTED_H

#include "engine/engine.h"
#include "engine/pattern.h"
#include "result.h"

struct kona_hosted {
	struct kona_sim_config config;
	struct kona_sim *sim;
	struct kona_pattern_state *pattern; /* NULL: not asked for */
	bool fetches, bytes;
	uint64_t instructions, reads, writes, modifies;
	const char *end; /* of the program, for the result: "exit" if nobody says else */
	struct kona_hosted_map *maps; /* the engine's memory */
};

/* Zeroed memory, of the instance that was started last; NULL: there is none. Any thread. */
void *kona_hosted_map(size_t bytes);

/*
 * host: whose map() is kona_hosted_map(); NULL for one that does everything in its turn. Returns 0,
 * -EINVAL for arguments or caches that cannot be, or -ENOMEM.
 */
KONA_MUST_CHECK int kona_hosted_start(struct kona_hosted *hosted, const char *const *arguments,
				      size_t count, const struct kona_sim_host *host);

/* Counts as the Valgrind tool does: more bytes than a line are a line. */
void kona_hosted_access(struct kona_hosted *hosted, uint64_t address, uint32_t bytes,
			enum kona_sim_kind kind);

/* Ends a window of the patterns, at so many instructions, or references where those are unknown. */
void kona_hosted_end_window(struct kona_hosted *hosted, uint64_t now);

/* So many there were so far. */
uint64_t kona_hosted_now(const struct kona_hosted *hosted);

/*
 * Returns 0 and *ret_result, whose command is `name`, also kept as file `path` where that is not
 * NULL; -errno of writing, or -ENOMEM.
 */
KONA_MUST_CHECK int kona_hosted_finish(struct kona_hosted *hosted, const char *name,
				       const char *path, struct kona_sim_result *ret_result);

void kona_hosted_free(struct kona_hosted *hosted);

#endif
