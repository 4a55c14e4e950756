/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dirty pages themselves, as text: a line that names window and process, then a line per page.
 */
#include <errno.h>
#include <inttypes.h>

#include "show.h"

int kona_trace_start(FILE *stream)
{
	return fputs("kona-trace 1\n", stream) == EOF || fflush(stream) ? -errno : 0;
}

int kona_trace_pages(FILE *stream, uint64_t window, const struct kona_target *target)
{
	const struct kona_dirty_list *list = &target->dirty;

	fprintf(stream, "window %" PRIu64 " pid %d pages %zu\n", window, target->pid, list->count);
	for (size_t i = 0; i < list->count; i++)
		fprintf(stream, "%" PRIx64 " %016" PRIx64 "\n", list->v[i].page * KONA_PAGE_BYTES,
			list->v[i].mask);
	return fflush(stream) || ferror(stream) ? -EIO : 0;
}
