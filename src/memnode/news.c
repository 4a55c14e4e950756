/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * News. State: a tenant's end of the socket pair. Neither end waits for the other: sets are
 * repeated by the controller, and a tenant that does not read its news hurts only itself.
 */
#include "memnode/news.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/unix.h"
#include "memnode/orders.h"

static void on_report(evutil_socket_t fd, short what, void *with)
{
	struct kona_tenant *tenant = with;
	struct kona_broker_report report;
	int passed = -1;
	const char *why;
	ssize_t got = kona_unix_receive(fd, &report, sizeof(report), MSG_DONTWAIT, &passed);

	if (got == -EAGAIN)
		return;
	if (passed >= 0)
		close(passed);
	if (got <= 0) {
		event_del(tenant->news_event);
		return;
	}
	if (kona_broker_check_report(&report, (size_t)got, &why) ||
	    report.slab >= (uint64_t)KONA_RACK_MOST_VALUE ||
	    report.value >= (uint64_t)KONA_RACK_MOST_VALUE) {
		kona_tenant_end(tenant);
		return;
	}
	if (!tenant->lease)
		return;
	if (report.header.type == KONA_BROKER_TAKEN)
		kona_orders_taken(tenant->all->orders, tenant->lease, report.slab, report.value);
	else
		kona_orders_lost(tenant->all->orders, tenant->lease, report.value, report.slab);
}

int kona_news_open(struct kona_tenant *tenant, int *ret_theirs)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	tenant->news_event = event_new(event_get_base(tenant->event), pair[0], EV_READ | EV_PERSIST,
				       on_report, tenant);
	if (!tenant->news_event || event_add(tenant->news_event, NULL)) {
		if (tenant->news_event)
			event_free(tenant->news_event);
		tenant->news_event = NULL;
		close(pair[0]);
		close(pair[1]);
		return -ENOMEM;
	}
	tenant->news = pair[0];
	*ret_theirs = pair[1];
	return 0;
}

void kona_news_close(struct kona_tenant *tenant)
{
	if (!tenant->news_event)
		return;
	event_free(tenant->news_event);
	tenant->news_event = NULL;
	close(tenant->news);
}

void kona_news_set(struct kona_tenant *tenant, const json_t *set)
{
	struct kona_broker_set news = {
		.header = {KONA_BROKER_MAGIC, KONA_BROKER_VERSION, KONA_BROKER_SET}};
	struct kona_tenants *all = tenant->all;
	const struct kona_tenant_slab *known;

	if (!tenant->news_event)
		return;
	known = kona_tenant_slab(tenant,
				 (uint64_t)json_integer_value(json_object_get(set, "slab")));
	if (!known || kona_peers_read_slab(&all->peers, set, kona_rack_client_node(all->rack),
					   known->local, &news.slab, &news.version))
		return;
	if (kona_unix_send(tenant->news, &news, sizeof(news), -1, MSG_DONTWAIT)) {
		/* Full: it comes again. */
	}
}
