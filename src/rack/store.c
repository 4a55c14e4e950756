/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which store an address names.
 */
#include "rack/store.h"

#include <string.h>

int kona_rack_store_open(const char *where, const char *self, struct kona_rack_store **ret_store,
			 char *why)
{
	return kona_rack_store_open_sqlite(where, ret_store, why);
}
