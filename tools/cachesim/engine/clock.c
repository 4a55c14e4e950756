/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local memory as the runtime manages it (src/runtime/evict.c, fetch.c), at many sizes at once.
 *
 * Victims are taken by a clock hand in address order, in batches, when free frames run low; a page
 * that came back within one turn is passed over once; a fault that continues one of 16 streams
 * brings in twice as many pages as the last one did, up to 64. This is no stack algorithm: what a
 * size holds says nothing about the others, so each is simulated by itself. A page's word has one
 * bit per size, so that a reference costs one load, and work only at the sizes that miss.
 *
 * All sizes larger than what has been touched so far behave alike: a size begins to be simulated
 * when it is about to fill, from what all of them hold then; and one that has become tiny against
 * the footprint is given up. So at most 58 sizes are at work at a time, each with its number modulo
 * 64 as its place.
 *
 * A dirty line is known when the last level writes it back. If its page has left by then, it is
 * counted as one of the lines that the page took along.
 *
 * State: the regions, also in address order; each size's hand, streams and counts. What can fail:
 * memory.
 */
#include "clock.h"

#include "internal.h"

enum {
	PLACES = KONA_SIM_CLOCK_SIZES, /* bits of a word */
	SIZES = 160,
	SIZES_PER_DOUBLING = 8,
	FIRST_FRAMES = 32,
	GIVEN_UP = 128, /* a size this many times smaller than what has been touched */
	PAGE_SHIFT = 12,
	REGION_PAGES = 1 << (KONA_SIM_REGION_SHIFT - PAGE_SHIFT),
	WORDS = REGION_PAGES / 64,
	/* The runtime's: KONA_EVICT_BATCH, KONA_FETCH_MOST_PAGES, KONA_FETCH_STREAMS. */
	BATCH_PAGES = 256,
	RUN_PAGES = 64,
	STREAMS = 16,
	LOW_FRAMES = 64,
};

/* One size's view of a region. */
struct part {
	uint64_t here[WORDS];
	/* Of a page that is here its dirty lines, else the turn in which it left. */
	uint64_t dirty[REGION_PAGES];
};

struct region {
	uint64_t number;
	uint64_t here[REGION_PAGES]; /* a bit per place: the page is local, */
	uint64_t hot[REGION_PAGES];  /* will be passed over, */
	uint64_t far[REGION_PAGES];  /* has left, so that it must be fetched, */
	uint64_t left[REGION_PAGES]; /* has left dirty */
	uint64_t touched[WORDS], written[WORDS];
	uint64_t dirty[REGION_PAGES]; /* lines, where nothing ever leaves */
	struct part *part[PLACES];
};

struct stream {
	uint64_t next_page, used_tick;
	uint32_t window_pages; /* 0: none yet */
};

struct size {
	uint64_t frames, used, low, high;
	uint64_t bit;
	uint32_t place;
	uint32_t hand_region, hand_page; /* hand_region: an index of order[] */
	uint64_t turn, tick;
	struct stream stream[STREAMS];
	struct kona_sim_clock_counts counts;
};

struct kona_clock {
	struct kona_sim *sim;
	struct sim_arena arena;
	struct region *region[KONA_SIM_REGIONS_MAX];
	struct region *order[KONA_SIM_REGIONS_MAX]; /* by address */
	uint32_t region_count;
	uint32_t first, end; /* sizes at work */
	uint64_t active;     /* the same as bits */
	uint64_t touched_pages;
	struct size size[SIZES];
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void begin_sizes(struct kona_clock *clock)
{
	/* 2^(k/8), in 1/1024. */
	static const uint32_t steps[SIZES_PER_DOUBLING] = {1024, 1117, 1218, 1328,
							   1448, 1579, 1722, 1878};

	for (uint32_t i = 0; i < SIZES; i++) {
		struct size *size = &clock->size[i];
		uint64_t frames = ((uint64_t)FIRST_FRAMES << i / SIZES_PER_DOUBLING) *
				  steps[i % SIZES_PER_DOUBLING] / 1024;

		size->frames = size->counts.frames = frames;
		size->place = i % PLACES;
		size->bit = UINT64_C(1) << size->place;
		size->low = frames / 64;
		if (size->low < least(LOW_FRAMES, frames / 8))
			size->low = least(LOW_FRAMES, frames / 8);
		size->high = 2 * size->low;
	}
}

int kona_clock_create(struct kona_sim *sim, struct kona_clock **ret_clock)
{
	struct kona_clock *clock = sim_alloc(&sim->arena, sizeof(*clock));

	if (!clock)
		return -SIM_ERR_NOMEM;
	clock->sim = sim;
	clock->arena.host = sim->host;
	begin_sizes(clock);
	*ret_clock = clock;
	return 0;
}

/* Finds the region, or puts a new one among the others. NULL: no memory. */
static struct region *find_region(struct kona_clock *clock, uint32_t index, uint64_t number)
{
	struct region *region = clock->region[index];
	uint32_t at;

	if (SIM_LIKELY(region))
		return region;
	region = sim_alloc(&clock->arena, sizeof(*region));
	if (!region)
		return NULL;
	region->number = number;
	for (uint32_t s = clock->first; s < clock->end; s++) {
		struct part *part = sim_alloc(&clock->arena, sizeof(*part));

		if (!part)
			return NULL;
		region->part[clock->size[s].place] = part;
	}
	for (at = clock->region_count; at && clock->order[at - 1]->number > number; at--)
		clock->order[at] = clock->order[at - 1];
	clock->order[at] = region;
	clock->region_count++;
	for (uint32_t s = clock->first; s < clock->end; s++) {
		struct size *size = &clock->size[s];

		/* A hand at the very start of a region has not passed what now lies before it. */
		size->hand_region +=
			size->hand_region > at || (size->hand_region == at && size->hand_page);
	}
	return clock->region[index] = region;
}

/* All that was ever touched is local; whoever had the place before is forgotten. */
static int begin_region(struct kona_clock *clock, struct region *region, const struct size *size)
{
	struct part *part = region->part[size->place];

	if (!part)
		part = sim_alloc(&clock->arena, sizeof(*part));
	if (!part)
		return -SIM_ERR_NOMEM;
	region->part[size->place] = part;
	for (uint32_t word = 0; word < WORDS; word++)
		part->here[word] = region->touched[word];
	for (uint32_t page = 0; page < REGION_PAGES; page++) {
		region->here[page] &= ~size->bit;
		if (region->touched[page / 64] >> page % 64 & 1)
			region->here[page] |= size->bit;
		region->hot[page] &= ~size->bit;
		region->far[page] &= ~size->bit;
		region->left[page] &= ~size->bit;
		part->dirty[page] = region->dirty[page];
	}
	return 0;
}

static int begin_size(struct kona_clock *clock, struct size *size)
{
	for (uint32_t i = 0; i < clock->region_count; i++) {
		int err = begin_region(clock, clock->order[i], size);

		if (err)
			return err;
	}
	size->used = clock->touched_pages;
	clock->active |= size->bit;
	clock->end++;
	return 0;
}

static void evict_page(struct region *region, struct size *size, uint32_t page)
{
	struct part *part = region->part[size->place];
	uint64_t lines = part->dirty[page];

	region->here[page] &= ~size->bit;
	part->here[page / 64] &= ~(UINT64_C(1) << page % 64);
	part->dirty[page] = size->turn;
	size->used--;
	if (region->written[page / 64] >> page % 64 & 1)
		region->far[page] |= size->bit;
	if (!lines)
		return;
	region->left[page] |= size->bit;
	size->counts.writebacks++;
	size->counts.writeback_lines += (uint64_t)__builtin_popcountll(lines);
}

/* The first page from `page` on that is here; REGION_PAGES: none. */
static uint32_t next_here(const struct part *part, uint32_t page)
{
	while (page < REGION_PAGES) {
		uint64_t word = part->here[page / 64] >> page % 64;

		if (word)
			return page + (uint32_t)__builtin_ctzll(word);
		page = (page / 64 + 1) * 64;
	}
	return REGION_PAGES;
}

/* Stops after two turns: the first may only have taken marks off. */
static void evict_batch(struct kona_clock *clock, struct size *size)
{
	uint64_t wanted = least(BATCH_PAGES, size->frames / 8);
	uint64_t last_turn = size->turn + 2;

	while (wanted && size->turn <= last_turn) {
		struct region *region = clock->order[size->hand_region];
		uint32_t page = next_here(region->part[size->place], size->hand_page);

		if (page == REGION_PAGES) {
			size->hand_page = 0;
			if (++size->hand_region == clock->region_count) {
				size->hand_region = 0;
				size->turn++;
			}
			continue;
		}
		size->hand_page = page + 1;
		if (region->hot[page] & size->bit) {
			region->hot[page] &= ~size->bit;
			continue;
		}
		evict_page(region, size, page);
		wanted--;
	}
}

/* The stream that a fault of this page continues, with its window doubled; or a new one. */
static struct stream *find_stream(struct size *size, uint64_t page)
{
	struct stream *oldest = &size->stream[0];

	size->tick++;
	for (uint32_t i = 0; i < STREAMS; i++) {
		struct stream *stream = &size->stream[i];

		if (stream->window_pages && page - stream->next_page < RUN_PAGES) {
			stream->window_pages =
				(uint32_t)least(2 * (uint64_t)stream->window_pages, RUN_PAGES);
			stream->used_tick = size->tick;
			return stream;
		}
		if (stream->used_tick < oldest->used_tick)
			oldest = stream;
	}
	*oldest = (struct stream){.window_pages = 1, .used_tick = size->tick};
	return oldest;
}

static void bring_in(struct region *region, struct size *size, uint32_t page)
{
	struct part *part = region->part[size->place];

	if (region->far[page] & size->bit) {
		size->counts.fetches++;
		if (size->turn - part->dirty[page] <= 1)
			region->hot[page] |= size->bit;
	}
	region->here[page] |= size->bit;
	region->left[page] &= ~size->bit;
	part->here[page / 64] |= UINT64_C(1) << page % 64;
	part->dirty[page] = 0;
	size->used++;
}

/* A fault: the page comes, and as many of its like behind it as the stream says. */
static void fault(struct kona_clock *clock, struct region *region, struct size *size, uint32_t page)
{
	uint64_t number = region->number * REGION_PAGES + page;
	struct stream *stream = find_stream(size, number);
	uint64_t far = region->far[page] & size->bit;
	uint64_t most = least(stream->window_pages, REGION_PAGES - page);
	uint64_t count = 0;

	size->counts.faults += far != 0;
	while (count < most && size->used < size->frames) {
		uint32_t at = page + (uint32_t)count;

		if (region->here[at] & size->bit || (region->far[at] & size->bit) != far)
			break;
		bring_in(region, size, at);
		count++;
	}
	stream->next_page = number + count;
	if (size->frames - size->used >= size->low)
		return;
	while (size->frames - size->used < size->high)
		evict_batch(clock, size);
}

/* The size at work whose bit is the lowest of these. */
static struct size *size_of(struct kona_clock *clock, uint64_t bits)
{
	uint32_t place = (uint32_t)__builtin_ctzll(bits);

	return &clock->size[clock->first + (place - clock->first) % PLACES];
}

static int touch_first(struct kona_clock *clock, struct region *region, uint32_t page)
{
	int err = 0;

	region->touched[page / 64] |= UINT64_C(1) << page % 64;
	clock->touched_pages++;
	while (!err && clock->end < SIZES && clock->end - clock->first < PLACES &&
	       clock->touched_pages + clock->size[clock->end].high >=
		       clock->size[clock->end].frames)
		err = begin_size(clock, &clock->size[clock->end]);
	while (clock->first + 1 < clock->end &&
	       clock->touched_pages > GIVEN_UP * clock->size[clock->first].frames)
		clock->active &= ~clock->size[clock->first++].bit;
	return err;
}

int kona_clock_reference(struct kona_clock *clock, uint32_t index, uint64_t number,
			 uint32_t address_in_region, int writes)
{
	struct region *region = find_region(clock, index, number);
	uint32_t page = address_in_region >> PAGE_SHIFT;
	uint64_t missing;

	if (!region)
		return -SIM_ERR_NOMEM;
	missing = clock->active & ~region->here[page];
	for (; SIM_UNLIKELY(missing); missing &= missing - 1)
		fault(clock, region, size_of(clock, missing), page);
	if (SIM_UNLIKELY(writes))
		region->written[page / 64] |= UINT64_C(1) << page % 64;
	if (SIM_LIKELY(region->touched[page / 64] >> page % 64 & 1))
		return 0;
	return touch_first(clock, region, page);
}

int kona_clock_writeback(struct kona_clock *clock, uint32_t index, uint64_t number,
			 uint32_t address_in_region)
{
	struct region *region = find_region(clock, index, number);
	uint32_t page = address_in_region >> PAGE_SHIFT;
	uint64_t line, here, gone;

	if (!region)
		return -SIM_ERR_NOMEM;
	line = UINT64_C(1) << ((address_in_region >> clock->sim->line_shift) &
			       ((1u << (PAGE_SHIFT - clock->sim->line_shift)) - 1));
	here = clock->active & region->here[page];
	gone = clock->active & ~region->here[page];
	region->written[page / 64] |= UINT64_C(1) << page % 64;
	region->dirty[page] |= line;
	for (; here; here &= here - 1)
		region->part[__builtin_ctzll(here)]->dirty[page] |= line;
	region->far[page] |= gone;
	for (; gone; gone &= gone - 1) {
		struct size *size = size_of(clock, gone);

		size->counts.writeback_lines++;
		size->counts.writebacks += !(region->left[page] & size->bit);
		region->left[page] |= size->bit;
	}
	return 0;
}

uint32_t kona_clock_counts(const struct kona_clock *clock, struct kona_sim_clock_counts *counts)
{
	for (uint32_t s = clock->first; s < clock->end; s++)
		counts[s - clock->first] = clock->size[s].counts;
	return clock->end - clock->first;
}
