/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona_alloc(), kona_free(), kona_read(), kona_write(): records in far memory, of which one at a
 * time is in a local variable.
 *
 *   build/kona run --local=8M -- build/examples/api-blocks
 */
#include <stdio.h>

#include <kona/kona.h>

enum { RECORDS = 100000 };

struct record {
	unsigned long number;
	char name[120];
};

int main(void)
{
	struct record *records = kona_alloc(RECORDS * sizeof(*records));
	struct record record = {0};
	unsigned long sum = 0;

	if (!records) {
		perror("kona_alloc");
		return 1;
	}
	for (unsigned long i = 0; i < RECORDS; i++) {
		record.number = i;
		snprintf(record.name, sizeof(record.name), "record %lu", i);
		kona_write(&records[i], &record, sizeof(record));
	}
	for (unsigned long i = 0; i < RECORDS; i++) {
		kona_read(&record, &records[i], sizeof(record));
		sum += record.number;
	}
	printf("%s, sum %lu\n", record.name, sum);
	kona_free(records);
	return sum == (unsigned long)RECORDS * (RECORDS - 1) / 2 ? 0 : 1;
}
