/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty lines: the first stage of the write-back walk (dirty -> evict -> transport). Fetch leaves
 * the baseline here. State: the key; baselines live in frame.h. No locks: a page has one owner.
 */
#include "runtime/dirty.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/units.h"

static_assert(sizeof(((struct kona_dirty *)0)->key) >= XXH3_SECRET_SIZE_MIN, "the hash's key");

int kona_dirty_init(struct kona_dirty *dirty, enum kona_dirty_mode mode)
{
	dirty->mode = mode;
	if (getrandom(dirty->key, sizeof(dirty->key), 0) != sizeof(dirty->key))
		return errno ? -errno : -EIO;
	return 0;
}

size_t kona_dirty_baseline_bytes(enum kona_dirty_mode mode)
{
	switch (mode) {
	case KONA_DIRTY_LINES:
		return KONA_PAGE_LINES * sizeof(uint64_t);
	case KONA_DIRTY_TWIN:
		return KONA_PAGE_BYTES;
	case KONA_DIRTY_WP:
	case KONA_DIRTY_STORE:
		break;
	}
	return 0;
}

static uint64_t hash_line(const struct kona_dirty *dirty, const char *line)
{
	return XXH3_64bits_withSecret(line, KONA_LINE_BYTES, dirty->key, sizeof(dirty->key));
}

void kona_dirty_baseline(const struct kona_dirty *dirty, struct kona_frames *frames, uint32_t frame,
			 const char *content)
{
	char *baseline = kona_frame_baseline(frames, frame);
	uint64_t *hashes = (uint64_t *)(void *)baseline;

	switch (dirty->mode) {
	case KONA_DIRTY_LINES:
		for (int i = 0; i < KONA_PAGE_LINES; i++)
			hashes[i] = hash_line(dirty, content + i * KONA_LINE_BYTES);
		break;
	case KONA_DIRTY_TWIN:
		memcpy(baseline, content, KONA_PAGE_BYTES);
		break;
	case KONA_DIRTY_WP:
		frames->marks[frame] &= (uint8_t)~KONA_FRAME_DIRTY;
		break;
	case KONA_DIRTY_STORE: /* holds it already */
		break;
	}
}

static uint64_t changed_lines(const char *before, const char *content)
{
	uint64_t mask = 0;

	for (int i = 0; i < KONA_PAGE_LINES; i++) {
		uint64_t old[KONA_LINE_BYTES / sizeof(uint64_t)], new[KONA_ARRAY_LEN(old)], any = 0;

		memcpy(old, before + i * KONA_LINE_BYTES, sizeof(old));
		memcpy(new, content + i * KONA_LINE_BYTES, sizeof(new));
		for (size_t k = 0; k < KONA_ARRAY_LEN(old); k++)
			any |= old[k] ^ new[k];
		mask |= (uint64_t) !!any << i;
	}
	return mask;
}

uint64_t kona_dirty_nonzero(const char *content)
{
	static const char zeros[KONA_PAGE_BYTES];

	return changed_lines(zeros, content);
}

static uint64_t changed_hashes(const struct kona_dirty *dirty, const uint64_t *hashes,
			       const char *content)
{
	uint64_t mask = 0;

	for (int i = 0; i < KONA_PAGE_LINES; i++)
		mask |= (uint64_t)(hashes[i] != hash_line(dirty, content + i * KONA_LINE_BYTES))
			<< i;
	return mask;
}

uint64_t kona_dirty_lines(const struct kona_dirty *dirty, const struct kona_frames *frames,
			  const struct kona_dirty_candidate *candidate)
{
	const char *baseline = kona_frame_baseline(frames, candidate->frame);

	if (dirty->mode == KONA_DIRTY_WP)
		return frames->marks[candidate->frame] & KONA_FRAME_DIRTY ? UINT64_MAX : 0;
	if (candidate->zero)
		return kona_dirty_nonzero(candidate->content);
	if (dirty->mode == KONA_DIRTY_STORE)
		return changed_lines(candidate->stored, candidate->content);
	if (dirty->mode == KONA_DIRTY_TWIN)
		return changed_lines(baseline, candidate->content);
	return changed_hashes(dirty, (const uint64_t *)(const void *)baseline, candidate->content);
}
