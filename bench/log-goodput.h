/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card that is emulated: one-sided writes, posted one by one, that cross one link.
 *
 * A write takes the processor post_ns, and element_ns for each piece that the card gathers; then it
 * waits for the link, crosses it with the headers of its packets, and is known to be done a latency
 * later. Whoever waits spins, as one who polls a card. What the far end's processor does with the
 * bytes is done by us meanwhile and is part of that time, as in transport/delay.c.
 *
 * Posts are short beside a look at the clock, so they are added up and spent together:
 * card_begin(), card_post() for each write, card_posted(); then card_wait().
 */
#ifndef KONA_BENCH_LOG_GOODPUT_H
#define KONA_BENCH_LOG_GOODPUT_H

#include <stdint.h>

#include "base/units.h"

enum {
	CARD_PACKET_BYTES = 4096,
	CARD_HEADER_BYTES = 98, /* RoCE v2: preamble to gap 24, Ethernet 14, IP 20, UDP 8, BTH 12,
				   RETH 16, ICRC 4 */
};

struct card {
	uint64_t latency_ns, post_ns, element_ns;
	double bytes_per_ns;
	uint64_t post_until_ns; /* how far the posts have come */
	double free_ns;		/* the link is */
};

static inline void card_spin_until(uint64_t end_ns)
{
	while (kona_now_ns() < end_ns)
		__builtin_ia32_pause();
}

static inline void card_begin(struct card *card)
{
	card->post_until_ns = kona_now_ns();
}

/* Returns what crosses the link. */
static inline uint64_t card_post(struct card *card, uint64_t bytes, unsigned int elements)
{
	uint64_t packets = (bytes + CARD_PACKET_BYTES - 1) / CARD_PACKET_BYTES;

	card->post_until_ns += card->post_ns + elements * card->element_ns;
	bytes += packets * CARD_HEADER_BYTES;
	if (card->free_ns < (double)card->post_until_ns)
		card->free_ns = (double)card->post_until_ns;
	card->free_ns += (double)bytes / card->bytes_per_ns;
	return bytes;
}

/* All is posted: the processor is free again. */
static inline void card_posted(const struct card *card)
{
	card_spin_until(card->post_until_ns);
}

/* Until all that was posted is done. */
static inline void card_wait(const struct card *card)
{
	card_spin_until((uint64_t)card->free_ns + card->latency_ns);
}

#endif
