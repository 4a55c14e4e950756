/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CRC32C: the SSE4.2 instruction, or a table. Stateless.
 */
#include "base/crc32c.h"

#include <string.h>

/* Half a byte at a time: 64 bytes of table, for processors that are rare. */
static const uint32_t table[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
	0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t by_table(uint32_t crc, const unsigned char *data, size_t size_bytes)
{
	for (; size_bytes; size_bytes--) {
		crc ^= *data++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const unsigned char *data, size_t size_bytes)
{
	uint64_t wide = crc;

	for (; size_bytes >= sizeof(uint64_t); size_bytes -= sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, data, sizeof(word));
		wide = __builtin_ia32_crc32di(wide, word);
		data += sizeof(word);
	}
	crc = (uint32_t)wide;
	while (size_bytes--)
		crc = __builtin_ia32_crc32qi(crc, *data++);
	return crc;
}
#endif

uint32_t kona_crc32c(uint32_t so_far, const void *data, size_t size_bytes)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~by_instruction(~so_far, data, size_bytes);
#endif
	return ~by_table(~so_far, data, size_bytes);
}
