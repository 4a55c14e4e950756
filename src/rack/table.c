/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open addressing with linear probing. A removal moves the rest of its run back, so there are no
 * tombstones and the memory is one pointer a slot.
 */
#include "rack/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int64_t id_of(const void *item)
{
	return *(const int64_t *)item;
}

static size_t home_of(const struct kona_table *table, int64_t id)
{
	/* Fibonacci hashing: numbers are taken in a row. */
	return (size_t)(((uint64_t)id * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (table->room - 1);
}

void *kona_table_find(const struct kona_table *table, int64_t id)
{
	if (!table->room)
		return NULL;
	for (size_t i = home_of(table, id); table->slots[i]; i = (i + 1) & (table->room - 1))
		if (id_of(table->slots[i]) == id)
			return table->slots[i];
	return NULL;
}

static void put(struct kona_table *table, void *item)
{
	size_t i = home_of(table, id_of(item));

	while (table->slots[i])
		i = (i + 1) & (table->room - 1);
	table->slots[i] = item;
}

static int grow(struct kona_table *table)
{
	struct kona_table larger = {.room = table->room ? table->room * 2 : 64,
				    .count = table->count};

	larger.slots = calloc(larger.room, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < table->room; i++)
		if (table->slots[i])
			put(&larger, table->slots[i]);
	free(table->slots);
	*table = larger;
	return 0;
}

int kona_table_add(struct kona_table *table, void *item)
{
	if (table->count * 4 >= table->room * 3 && grow(table))
		return -ENOMEM;
	put(table, item);
	table->count++;
	return 0;
}

void kona_table_remove(struct kona_table *table, int64_t id)
{
	size_t mask = table->room - 1, hole, i;

	if (!kona_table_find(table, id))
		return;
	hole = home_of(table, id);
	while (id_of(table->slots[hole]) != id)
		hole = (hole + 1) & mask;
	for (i = (hole + 1) & mask; table->slots[i]; i = (i + 1) & mask) {
		size_t home = home_of(table, id_of(table->slots[i]));

		/* Stays where it is if its home lies behind the hole. */
		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		table->slots[hole] = table->slots[i];
		hole = i;
	}
	table->slots[hole] = NULL;
	table->count--;
}

void *kona_table_next(const struct kona_table *table, size_t *cursor)
{
	while (*cursor < table->room)
		if (table->slots[(*cursor)++])
			return table->slots[*cursor - 1];
	return NULL;
}

void kona_table_free(struct kona_table *table)
{
	free(table->slots);
	memset(table, 0, sizeof(*table));
}

int kona_ids_add(struct kona_ids *list, int64_t id)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room + list->room / 2 : 4;
		int64_t *grown = reallocarray(list->ids, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		list->ids = grown;
		list->room = room;
	}
	list->ids[list->count++] = id;
	return 0;
}

bool kona_ids_has(const struct kona_ids *list, int64_t id)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->ids[i] == id)
			return true;
	return false;
}

void kona_ids_remove_at(struct kona_ids *list, size_t index)
{
	list->ids[index] = list->ids[--list->count];
}

bool kona_ids_remove(struct kona_ids *list, int64_t id)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->ids[i] == id) {
			kona_ids_remove_at(list, i);
			return true;
		}
	return false;
}

void kona_ids_free(struct kona_ids *list)
{
	free(list->ids);
	memset(list, 0, sizeof(*list));
}

static int compare(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

	return (a > b) - (a < b);
}

void kona_ids_sort(struct kona_ids *list)
{
	if (list->count)
		qsort(list->ids, list->count, sizeof(*list->ids), compare);
}

bool kona_ids_sorted_has(const struct kona_ids *list, int64_t id)
{
	return list->count && bsearch(&id, list->ids, list->count, sizeof(id), compare);
}

bool kona_ids_sorted_twice(const struct kona_ids *list)
{
	for (size_t i = 1; i < list->count; i++)
		if (list->ids[i] == list->ids[i - 1])
			return true;
	return false;
}
