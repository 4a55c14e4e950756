/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A few threads that share work with the one that has it. A target stands still while its memory is
 * read, and leaves its processors free: so they read, too.
 */
#ifndef KONA_TRACK_CREW_H
#define KONA_TRACK_CREW_H

#include <stdbool.h>

#include "base/compiler.h"

enum { KONA_CREW_MAX = 4 }; /* more do not help: memory is the limit */

struct kona_crew;

struct kona_job {
	/* worker: 0 for the thread that submits, then 1 and so on. */
	void (*work)(struct kona_job *job, unsigned int worker);
	struct kona_job *next; /* Guarded by the crew's lock. */
	bool done;	       /* Guarded by the crew's lock. */
};

/* As many as there are processors, with the caller. Returns 0 or -errno. */
KONA_MUST_CHECK int kona_crew_new(struct kona_crew **ret_crew);
void kona_crew_free(struct kona_crew *crew);

/* Both by one thread only, the crew's owner. */
/*
 * The calling thread goes before all that has no real-time priority, where that is permitted
 * (CAP_SYS_NICE), or as it did before: while somebody is stopped for it. A nice value would only
 * count within the tracker's own session. The crew's threads always go first.
 */
void kona_crew_hurry(bool hurry);

void kona_crew_submit(struct kona_crew *crew, struct kona_job *job);
/* Returns when the job is done; does waiting jobs meanwhile. */
void kona_crew_wait(struct kona_crew *crew, struct kona_job *job);

#endif
