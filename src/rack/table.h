/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Things by their number, and lists of numbers. One thread.
 */
#ifndef KONA_RACK_TABLE_H
#define KONA_RACK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* Pointers to structs whose first member is their number, an int64_t > 0. Starts zeroed. */
struct kona_table {
	void **slots; /* owned; a power of two of them */
	size_t room, count;
};

void *kona_table_find(const struct kona_table *table, int64_t id);

/* The number must not be there yet. Returns 0 or -ENOMEM. */
KONA_MUST_CHECK int kona_table_add(struct kona_table *table, void *item);
void kona_table_remove(struct kona_table *table, int64_t id);

/* The next item from *cursor (0 at first) on; NULL at the end. No changes between two calls. */
void *kona_table_next(const struct kona_table *table, size_t *cursor);

void kona_table_free(struct kona_table *table);

/* Numbers in no order. Starts zeroed. */
struct kona_ids {
	int64_t *ids; /* owned */
	size_t count, room;
};

/* Returns 0 or -ENOMEM. */
KONA_MUST_CHECK int kona_ids_add(struct kona_ids *list, int64_t id);
bool kona_ids_has(const struct kona_ids *list, int64_t id);
bool kona_ids_remove(struct kona_ids *list, int64_t id);
void kona_ids_remove_at(struct kona_ids *list, size_t index);
void kona_ids_free(struct kona_ids *list);

/* For lists that stay as they are: sorts; looks up in the sorted; is a number there twice? */
void kona_ids_sort(struct kona_ids *list);
bool kona_ids_sorted_has(const struct kona_ids *list, int64_t id);
bool kona_ids_sorted_twice(const struct kona_ids *list);

#endif
