/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * News between a tenant and the controller (wire/broker.h): where its slabs are now, and what it
 * found dead.
 */
#ifndef KONA_MEMNODE_NEWS_H
#define KONA_MEMNODE_NEWS_H

#include "memnode/tenant.h"

/*
 * Makes the socket pair; *ret_theirs is the tenant's end, the caller's to send and close. Returns
 * 0; -EMFILE, -ENOMEM.
 */
KONA_MUST_CHECK int kona_news_open(struct kona_tenant *tenant, int *ret_theirs);
void kona_news_close(struct kona_tenant *tenant);

/* Passes a set on, as the controller wrote it. One that makes no sense, or that there is no room
 * for now, will come again. */
void kona_news_set(struct kona_tenant *tenant, const json_t *set);

#endif
