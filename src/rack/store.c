/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which store an address names.
 */
#include "rack/store.h"

#include <string.h>

int kona_rack_store_open(const char *where, const char *self, const char *pki,
			 struct kona_rack_store **ret_store, char *why)
{
	if (!strncmp(where, "etcd:", 5))
		return kona_rack_store_open_etcd(where + 5, self, pki, ret_store, why);
	return kona_rack_store_open_sqlite(where, ret_store, why);
}
