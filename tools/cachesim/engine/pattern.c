/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Access patterns: two 64-bit line masks per page touched in the window, in an open hash table; the
 * window's end turns them into counts and empties the table.
 *
 * State: the table, whose slots carry the number of the window they were used in, so that emptying
 * it touches nothing. It doubles when half full; memory grows with the largest window's pages.
 */
#include "pattern.h"

enum {
	FIRST_SLOTS = 1 << 12,
	MASKS_CHUNK = 1 << 10,
	MASKS_CHUNKS = 1 << 14,
	PAGE_SHIFT = 12,
	LINE_SHIFT = 6,
	RECENT = 512, /* pages that are found at once */
	REGION_PAGES_SHIFT = 9
};

struct page_slot {
	uint64_t page;
	uint64_t read, written; /* bit n: line n */
	uint64_t window;	/* + 1; any other value: free */
	uint64_t *bytes;	/* a mask for each line; NULL: no bytes noted */
};

struct kona_pattern_state {
	const struct kona_sim_host *host;
	struct page_slot *slots;
	uint64_t slot_count; /* power of two */
	uint64_t used;
	struct page_slot *recent[RECENT]; /* by page; none is NULL */
	uint64_t window;		  /* number of the open one, from 1 */
	uint64_t *regions;
	uint64_t region_slots;
	uint64_t **masks; /* chunks of masks for a page each, used from the start in each window */
	uint64_t masks_used;
	void (*show)(uint64_t page, uint64_t written, const uint64_t *bytes); /* or NULL */
	struct kona_pattern result;
};

static void forget_recent(struct kona_pattern_state *state)
{
	for (uint32_t i = 0; i < RECENT; i++)
		state->recent[i] = state->slots;
}

int kona_pattern_create(const struct kona_sim_host *host, struct kona_pattern_state **ret_state)
{
	struct kona_pattern_state *state = host->map(sizeof(*state));

	if (!state)
		return -12;
	state->host = host;
	state->slot_count = FIRST_SLOTS;
	state->slots = host->map(FIRST_SLOTS * sizeof(*state->slots));
	state->window = 1;
	if (!state->slots)
		return -12;
	forget_recent(state);
	*ret_state = state;
	return 0;
}

static struct page_slot *find_slot(struct page_slot *slots, uint64_t count, uint64_t page,
				   uint64_t window)
{
	uint64_t at = (page * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (count - 1);

	while (slots[at].window == window && slots[at].page != page)
		at = (at + 1) & (count - 1);
	return &slots[at];
}

/* The smaller table is left behind: all of them together are as large as the last. */
static int grow(struct kona_pattern_state *state)
{
	uint64_t count = state->slot_count * 2;
	struct page_slot *slots = state->host->map(count * sizeof(*slots));

	if (!slots)
		return -12;
	for (uint64_t i = 0; i < state->slot_count; i++)
		if (state->slots[i].window == state->window)
			*find_slot(slots, count, state->slots[i].page, state->window) =
				state->slots[i];
	state->slots = slots;
	state->slot_count = count;
	forget_recent(state);
	return 0;
}

/* The page's slot in this window, made if need be; NULL: no memory. */
static struct page_slot *slot_of(struct kona_pattern_state *state, uint64_t page)
{
	struct page_slot **recent = &state->recent[page % RECENT], *slot = *recent;

	if (slot->page == page && slot->window == state->window)
		return slot;
	slot = find_slot(state->slots, state->slot_count, page, state->window);
	if (slot->window != state->window) {
		if (state->used * 2 >= state->slot_count) {
			if (grow(state)) {
				state->result.lost_pages++;
				return NULL;
			}
			slot = find_slot(state->slots, state->slot_count, page, state->window);
		}
		*slot = (struct page_slot){.page = page, .window = state->window};
		state->used++;
	}
	*recent = slot;
	return slot;
}

static void note_line(struct kona_pattern_state *state, uint64_t line, int reads, int writes)
{
	struct page_slot *slot = slot_of(state, line >> (PAGE_SHIFT - LINE_SHIFT));
	uint64_t bit = UINT64_C(1) << (line % KONA_PATTERN_LINES);

	if (!slot)
		return;
	slot->read |= reads ? bit : 0;
	slot->written |= writes ? bit : 0;
}

/* Zeroed masks for the bytes of a page, until the window ends. */
static uint64_t *take_masks(struct kona_pattern_state *state)
{
	const size_t page_bytes = KONA_PATTERN_LINES * sizeof(uint64_t);
	uint64_t chunk = state->masks_used / MASKS_CHUNK;
	uint64_t *masks;

	if (!state->masks)
		state->masks = state->host->map(MASKS_CHUNKS * sizeof(*state->masks));
	if (!state->masks || chunk >= MASKS_CHUNKS)
		return NULL;
	if (!state->masks[chunk])
		state->masks[chunk] = state->host->map(MASKS_CHUNK * page_bytes);
	if (!state->masks[chunk])
		return NULL;
	masks = state->masks[chunk] + state->masks_used % MASKS_CHUNK * KONA_PATTERN_LINES;
	state->masks_used++;
	for (uint32_t i = 0; i < KONA_PATTERN_LINES; i++)
		masks[i] = 0;
	return masks;
}

void kona_pattern_note_bytes(struct kona_pattern_state *state, uint64_t address, uint32_t bytes)
{
	while (bytes) {
		uint32_t offset = address & 63;
		uint32_t count = bytes < 64 - offset ? bytes : 64 - offset;
		struct page_slot *slot = slot_of(state, address >> PAGE_SHIFT);

		if (slot && !slot->bytes)
			slot->bytes = take_masks(state);
		if (slot && slot->bytes)
			slot->bytes[address >> LINE_SHIFT & (KONA_PATTERN_LINES - 1)] |=
				~UINT64_C(0) >> (64 - count) << offset;
		else
			state->result.lost_pages += slot != NULL;
		address += count;
		bytes -= count;
	}
}

void kona_pattern_note(struct kona_pattern_state *state, uint64_t address, uint32_t bytes,
		       int reads, int writes)
{
	uint64_t last = (address + bytes - 1) >> LINE_SHIFT;

	for (uint64_t line = address >> LINE_SHIFT; line <= last; line++)
		note_line(state, line, reads, writes);
}

void kona_pattern_show_pages(struct kona_pattern_state *state,
			     void (*show)(uint64_t page, uint64_t written, const uint64_t *bytes))
{
	state->show = show;
}

/* Returns the number of runs of neighbouring lines in the mask. */
static uint64_t count_runs(uint64_t mask, uint64_t *histogram)
{
	uint64_t runs = 0;

	while (mask) {
		uint64_t shifted = mask >> __builtin_ctzll(mask);
		uint32_t length = ~shifted ? (uint32_t)__builtin_ctzll(~shifted) : 64;

		histogram[length]++;
		runs++;
		if (length == 64)
			break;
		mask = shifted >> length;
	}
	return runs;
}

static void add_page(struct kona_pattern_state *state, const struct page_slot *slot,
		     struct kona_pattern_window *window)
{
	struct kona_pattern *result = &state->result;
	uint32_t read = (uint32_t)__builtin_popcountll(slot->read);
	uint32_t written = (uint32_t)__builtin_popcountll(slot->written);

	result->read_per_page[read]++;
	result->written_per_page[written]++;
	count_runs(slot->read, result->read_run);
	window->runs_written += count_runs(slot->written, result->written_run);
	window->pages++;
	window->lines_read += read;
	window->lines_written += written;
	window->pages_dirty += written != 0;
	for (uint32_t i = 0; slot->bytes && i < KONA_PATTERN_LINES; i++)
		window->bytes_written += (uint64_t)__builtin_popcountll(slot->bytes[i]);
	if (state->show && slot->written)
		state->show(slot->page, slot->written, slot->bytes);
}

/* Distinct 2 MiB regions with a dirty page: the same hash again, a size up. */
static uint64_t count_regions(struct kona_pattern_state *state)
{
	uint64_t count = 0;

	if (state->region_slots < state->slot_count) {
		state->regions = state->host->map(state->slot_count * sizeof(*state->regions));
		state->region_slots = state->regions ? state->slot_count : 0;
		if (!state->regions)
			return 0;
	}
	for (uint64_t i = 0; i < state->region_slots; i++)
		state->regions[i] = 0;
	for (uint64_t i = 0; i < state->slot_count; i++) {
		uint64_t region, at;

		if (state->slots[i].window != state->window || !state->slots[i].written)
			continue;
		region = (state->slots[i].page >> REGION_PAGES_SHIFT) + 1;
		at = (region * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (state->region_slots - 1);
		while (state->regions[at] && state->regions[at] != region)
			at = (at + 1) & (state->region_slots - 1);
		count += !state->regions[at];
		state->regions[at] = region;
	}
	return count;
}

void kona_pattern_close(struct kona_pattern_state *state, uint64_t instructions)
{
	struct kona_pattern_window window = {.instructions = instructions};
	struct kona_pattern_window *total = &state->result.total;

	if (!state->used)
		return;
	for (uint64_t i = 0; i < state->slot_count; i++)
		if (state->slots[i].window == state->window)
			add_page(state, &state->slots[i], &window);
	window.regions_dirty = count_regions(state);
	if (state->result.windows < KONA_PATTERN_SERIES_MAX)
		state->result.series[state->result.windows] = window;
	state->result.windows++;
	total->instructions = instructions;
	total->pages += window.pages;
	total->pages_dirty += window.pages_dirty;
	total->regions_dirty += window.regions_dirty;
	total->lines_read += window.lines_read;
	total->lines_written += window.lines_written;
	total->runs_written += window.runs_written;
	total->bytes_written += window.bytes_written;
	state->window++;
	state->used = 0;
	state->masks_used = 0;
}

const struct kona_pattern *kona_pattern_result(const struct kona_pattern_state *state)
{
	return &state->result;
}
