/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The entry that libFuzzer and replay.c call.
 */
#ifndef KONA_TESTS_FUZZ_H
#define KONA_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
