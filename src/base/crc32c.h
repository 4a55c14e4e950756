/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CRC32C (Castagnoli), as iSCSI, ext4 and NVMe use it: by the processor's instruction where there
 * is one.
 */
#ifndef KONA_BASE_CRC32C_H
#define KONA_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * The checksum of what `so_far` is the checksum of (0: of nothing), followed by size_bytes bytes at
 * data. Any thread.
 */
uint32_t kona_crc32c(uint32_t so_far, const void *data, size_t size_bytes);

#endif
