/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona_pin(), kona_unpin(): code that knows nothing of far memory (here snprintf() and strlen())
 * works on a piece of it, which stays local meanwhile.
 *
 *   build/kona run --local=8M -- build/examples/api-pins
 */
#include <stdio.h>
#include <string.h>

#include <kona/kona.h>

enum { PIECES = 200000, PIECE_BYTES = 64 };

static int edit(char *piece, unsigned long number)
{
	struct kona_pin pin;
	int rc = kona_pin(piece, PIECE_BYTES, KONA_PIN_WRITE, &pin);

	if (rc)
		return rc;
	snprintf(pin.address, PIECE_BYTES, "piece %lu", number);
	kona_unpin(&pin);
	return 0;
}

int main(void)
{
	char *pieces = kona_alloc((size_t)PIECES * PIECE_BYTES);
	struct kona_pin pin;
	size_t length = 0;

	for (unsigned long i = 0; pieces && i < PIECES; i++)
		if (edit(pieces + i * PIECE_BYTES, i))
			return 1;
	for (unsigned long i = 0; pieces && i < PIECES; i++) {
		if (kona_pin(pieces + i * PIECE_BYTES, PIECE_BYTES, KONA_PIN_READ, &pin))
			return 1;
		length += strlen(pin.address);
		kona_unpin(&pin);
	}
	printf("%zu characters\n", length);
	kona_free(pieces);
	return length == 2288890 ? 0 : 1;
}
