/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The entry that libFuzzer and replay.c call.
 *
 * Protocol versions. A seed carries FUZZ_VERSION where a version stands, and the target puts the
 * current one there: so no seed becomes stale with the next version. What a target does at its
 * best with its input it calls accepted; replay.c demands that of every seed whose name does not
 * begin with "bad-".
 */
#ifndef KONA_TESTS_FUZZ_H
#define KONA_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FUZZ_VERSION UINT16_C(0xffff)

extern bool fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
