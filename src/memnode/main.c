/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona-memd: lends this host's memory, and is the broker of the programs on this host.
 *
 *   programs -- Unix socket --> broker -> tenant, grant, news -> store (memfds)
 *                                           `----> rack client --> worker --> kona-rackd
 *                                                      `-- orders --.
 *   programs, nodes elsewhere -- TCP --> data-server --> slab <-- copier
 *
 * The loop thread owns everything but slabs, which the data server and the copier, with a thread
 * each, share under a lock (data-server.h). Ends on SIGTERM or SIGINT, or, when
 * it is private, with its owner: at once when the owner died, after the last lease when it left.
 */
#include <errno.h>
#include <event2/event.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>

#include "base/daemon.h"
#include "base/log.h"
#include "base/units.h"
#include "memnode/broker.h"
#include "memnode/options.h"
#include "memnode/orders.h"
#include "wire/pki.h"
#include "wire/rack.h"

struct daemon {
	struct kona_options options;
	struct event_base *base;
	struct kona_unix_listener listener;
	struct kona_broker broker;
	struct kona_tenants tenants;
	struct kona_orders orders;
	struct kona_node_fabric fabric; /* with --fabric */
	struct kona_data_server server; /* with --data, as what follows */
	struct kona_copier copier;
	char endpoint[KONA_RACK_ENDPOINT_BYTES], secret[2 * KONA_RACK_SECRET_BYTES + 1];
	struct event *owner, *terminate, *interrupt, *copied;
	int owner_left_byte;
	bool leaving; /* the owner has left: end with the last tenant */
};

static uint64_t host_memory_bytes(void)
{
	struct sysinfo info;

	return sysinfo(&info) ? 0 : (uint64_t)info.totalram * info.mem_unit;
}

static json_t *report_leases(void *with)
{
	struct daemon *d = with;

	return kona_tenants_leases(&d->tenants);
}

static void report(void *with, json_t *body)
{
	struct daemon *d = with;

	kona_orders_report(&d->orders, body);
}

static void on_ordered(void *with, const json_t *reply)
{
	struct daemon *d = with;

	kona_orders_obey(&d->orders, reply);
}

/* --- the pool ----------------------------------------------------------------------------------*/

/* Returns false, and has said why, when it cannot be lent. */
static bool open_pool(struct daemon *d)
{
	struct kona_options *o = &d->options;
	struct kona_store *store = &d->tenants.store;
	const char *why = "";
	int rc = kona_store_open(store, o->pool, &why);

	if (rc) {
		kona_error("--pool %s: %s (%s)", o->pool, why, strerror(-rc));
		return false;
	}
	if (o->lend_bytes == UINT64_MAX)
		o->lend_bytes =
			kona_round_down(o->pool ? store->bytes : host_memory_bytes() / 2, KONA_MIB);
	if (o->lend_bytes > store->bytes) {
		kona_error("--pool %s: it holds %llu MiB, less than the %llu MiB of --lend",
			   o->pool, (unsigned long long)(store->bytes >> 20),
			   (unsigned long long)(o->lend_bytes >> 20));
		return false;
	}
	if (store->kind == KONA_STORE_FILE && o->data) {
		kona_error("--pool %s: a file's owner could shrink it while other hosts use it: "
			   "give a folder, or leave out --data",
			   o->pool);
		return false;
	}
	return true;
}

/* Slabs have a size once the controller has told it. */
static void check_pool(struct daemon *d)
{
	uint64_t slab_bytes = kona_rack_client_slab_bytes(d->tenants.rack);
	uint64_t rest_bytes = d->options.lend_bytes % slab_bytes;

	if (!d->options.pool || !d->options.lend_bytes)
		return;
	if (d->options.lend_bytes < slab_bytes)
		kona_error("--pool %s: no slab of %llu KiB fits into %llu KiB", d->options.pool,
			   (unsigned long long)(slab_bytes >> 10),
			   (unsigned long long)(d->options.lend_bytes >> 10));
	else if (rest_bytes)
		kona_error("warning: --pool %s: the last %llu KiB are no whole slab, and not lent",
			   d->options.pool, (unsigned long long)(rest_bytes >> 10));
}

/* --- the data endpoint -------------------------------------------------------------------------*/

static int make_secret(struct daemon *d, uint8_t *secret)
{
	if (getrandom(secret, KONA_RACK_SECRET_BYTES, 0) != KONA_RACK_SECRET_BYTES)
		return -EAGAIN;
	for (size_t i = 0; i < KONA_RACK_SECRET_BYTES; i++)
		snprintf(d->secret + 2 * i, 3, "%02x", secret[i]);
	return 0;
}

/* Others wait for it. */
static void on_copied(evutil_socket_t fd, short what, void *with)
{
	struct daemon *d = with;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) > 0)
		kona_rack_client_hurry(d->tenants.rack);
}

static int serve_data(struct daemon *d, int listener)
{
	uint8_t secret[KONA_RACK_SECRET_BYTES];
	int rc = make_secret(d, secret);

	if (!rc)
		rc = kona_data_server_start(&d->server, listener, secret);
	if (rc) {
		close(listener);
		return rc;
	}
	rc = kona_copier_start(&d->copier, &d->server);
	if (rc) {
		kona_data_server_stop(&d->server);
		return rc;
	}
	if (d->options.pool) {
		pthread_mutex_lock(&d->server.lock);
		d->server.slabs.store = &d->tenants.store;
		pthread_mutex_unlock(&d->server.lock);
	}
	d->tenants.server = d->orders.server = &d->server;
	d->orders.copier = &d->copier;
	d->copied = event_new(d->base, d->copier.done, EV_READ | EV_PERSIST, on_copied, d);
	return d->copied && !event_add(d->copied, NULL) ? 0 : -ENOMEM;
}

/* It stands beside us. */
static void find_library(char *ret_path, size_t path_bytes)
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[length > 0 ? length : 0] = '\0';
	snprintf(ret_path, path_bytes, "%s/" KONA_OFI_LIBRARY, dirname(self));
}

/* Returns false, and has said why, when there is none. */
static bool open_fabric(struct daemon *d)
{
	const struct kona_options *o = &d->options;
	char path[PATH_MAX + 32], node[KONA_RACK_ENDPOINT_BYTES], why[256] = "";

	if (!o->fabric)
		return true;
	find_library(path, sizeof(path));
	snprintf(node, sizeof(node), "%.*s", (int)(strrchr(o->data, ':') - o->data), o->data);
	if (kona_node_fabric_open(&d->fabric, path, o->fabric, node, why, sizeof(why))) {
		kona_error("--fabric %s: %s", o->fabric, why);
		return false;
	}
	pthread_mutex_lock(&d->server.lock);
	d->server.slabs.fabric = &d->fabric;
	pthread_mutex_unlock(&d->server.lock);
	return true;
}

/* Returns false, and has said why, when it cannot. */
static bool start_data(struct daemon *d)
{
	const char *data = d->options.data;
	unsigned int port;
	int listener, rc;

	if (!data)
		return true;
	listener = kona_dial_listen(data, &port);
	if (listener < 0) {
		kona_error("--data %s: %s", data,
			   listener == -EINVAL ? "want ADDRESS:PORT, the address in numbers"
					       : kona_daemon_bad_address(listener));
		return false;
	}
	snprintf(d->endpoint, sizeof(d->endpoint), "%.*s:%u", (int)(strrchr(data, ':') - data),
		 data, port);
	rc = serve_data(d, listener);
	if (rc)
		kona_error("cannot serve data: %s", strerror(-rc));
	return !rc && open_fabric(d);
}

static void stop_data(struct daemon *d)
{
	if (!d->tenants.server)
		return;
	if (d->copied)
		event_free(d->copied);
	kona_copier_stop(&d->copier);
	kona_data_server_stop(&d->server);
	if (d->fabric.ofi)
		kona_node_fabric_close(&d->fabric);
	d->tenants.server = NULL;
}

static void describe(void *with, json_t *registration)
{
	struct daemon *d = with;

	if (d->options.domain[0])
		json_object_set_new(registration, "domain", json_string(d->options.domain));
	if (!d->options.data)
		return;
	json_object_set_new(registration, "endpoint", json_string(d->endpoint));
	json_object_set_new(registration, "secret", json_string(d->secret));
	json_object_set_new(registration, "hosted", kona_orders_hosted(&d->orders));
}

static void on_ended(void *with, int64_t lease)
{
	struct daemon *d = with;
	struct kona_tenant *t = kona_tenants_find(&d->tenants, lease);

	if (!t)
		return;
	kona_error(
		"the rack has ended the lease of %s (pid %d): this host was cut off for too long",
		t->program, (int)t->pid);
	kona_tenant_end(t);
}

/* Ready means: a program that connects now gets an answer that will not change by waiting. */
static void on_first_try(void *with, int rc, const char *text)
{
	struct daemon *d = with;

	if (!d->options.private_folder && !rc)
		kona_info("node %s lends %llu MiB, serves programs at %s", d->options.name,
			  (unsigned long long)(d->options.lend_bytes >> 20), d->options.socket);
	if (!rc)
		check_pool(d);
	kona_daemon_ready(d->options.ready_fd);
}

static void end_when_idle(struct daemon *d)
{
	if (d->leaving && TAILQ_EMPTY(&d->tenants.list))
		event_base_loopbreak(d->base);
}

static void on_gone(void *with)
{
	end_when_idle(with);
}

static void on_owner(evutil_socket_t fd, short what, void *with)
{
	struct daemon *d = with;
	enum kona_daemon_owner owner = kona_daemon_owner_state(fd, &d->owner_left_byte);

	if (owner == KONA_OWNER_LIVES)
		return;
	event_del(d->owner);
	if (owner == KONA_OWNER_DIED) {
		event_base_loopbreak(d->base);
		return;
	}
	d->leaving = true;
	kona_broker_sweep(&d->broker);
	for (struct kona_tenant *t = TAILQ_FIRST(&d->tenants.list); t; t = TAILQ_NEXT(t, link))
		if (t->connection >= 0) {
			kona_daemon_hush();
			kona_daemon_say(d->options.ready_fd, "staying");
			break;
		}
	end_when_idle(d);
}

static void on_signal(evutil_socket_t signal, short what, void *with)
{
	struct daemon *d = with;

	event_base_loopbreak(d->base);
}

static int start_loop(struct daemon *d)
{
	d->base = event_base_new();
	if (!d->base || kona_tenants_init(&d->tenants, d->base) ||
	    kona_orders_init(&d->orders, &d->tenants))
		return -ENOMEM;
	d->tenants.orders = &d->orders;
	d->tenants.node_name = d->options.name;
	/* What a node lends to its own programs only, they must get from it. */
	d->tenants.networked = d->options.data || !d->options.lend_bytes;
	d->tenants.gone = on_gone;
	d->tenants.with = d;
	d->terminate = evsignal_new(d->base, SIGTERM, on_signal, d);
	d->interrupt = evsignal_new(d->base, SIGINT, on_signal, d);
	if (!d->terminate || !d->interrupt || event_add(d->terminate, NULL) ||
	    event_add(d->interrupt, NULL))
		return -ENOMEM;
	if (d->options.owner_fd < 0)
		return 0;
	d->owner = event_new(d->base, d->options.owner_fd, EV_READ | EV_PERSIST, on_owner, d);
	return d->owner && !event_add(d->owner, NULL) ? 0 : -ENOMEM;
}

static void stop_loop(struct daemon *d)
{
	struct event *events[] = {d->owner, d->terminate, d->interrupt, d->tenants.reclaim};

	for (size_t i = 0; i < KONA_ARRAY_LEN(events); i++)
		if (events[i])
			event_free(events[i]);
	kona_orders_free(&d->orders);
	kona_peers_free(&d->tenants.peers);
	if (d->base)
		event_base_free(d->base);
}

/* With the socket in place. */
static int serve(struct daemon *d)
{
	const struct kona_rack_client_hooks hooks = {.leases = report_leases,
						     .describe = describe,
						     .ended = on_ended,
						     .report = report,
						     .ordered = on_ordered,
						     .first_try = on_first_try,
						     .with = d};
	int rc = start_loop(d);

	if (!rc)
		rc = kona_broker_start(&d->broker, d->base, &d->tenants, d->listener.descriptor);
	if (rc)
		kona_error("cannot start: %s", strerror(-rc));
	if (rc || !start_data(d)) {
		if (!rc)
			kona_broker_stop(&d->broker);
		stop_data(d);
		stop_loop(d);
		return 1;
	}
	rc = kona_rack_client_start(d->base, d->options.rack, d->options.pki, d->options.name,
				    d->options.lend_bytes, &hooks, &d->tenants.rack);
	if (rc)
		kona_error("--rack %s: %s", d->options.rack,
			   rc == -EINVAL ? "want " KONA_RACK_ADDRESS_FORMS : strerror(-rc));
	else
		event_base_dispatch(d->base);
	kona_broker_stop(&d->broker);
	if (!rc) {
		kona_rack_client_halt(d->tenants.rack);
		kona_tenants_end_all(&d->tenants);
		kona_rack_client_leave(d->tenants.rack);
	}
	stop_data(d);
	stop_loop(d);
	return rc ? 1 : 0;
}

static void warn_of_lending(const struct kona_options *o)
{
	uint64_t host_bytes = host_memory_bytes();

	if (host_bytes && o->lend_bytes > host_bytes && !o->private_folder && !o->pool)
		kona_error("warning: lends %llu MiB, but the host has %llu MiB: programs that use "
			   "it all will meet the kernel's out-of-memory killer",
			   (unsigned long long)(o->lend_bytes >> 20),
			   (unsigned long long)(host_bytes >> 20));
}

int main(int argc, char **argv)
{
	static struct daemon d;
	int rc, status;

	kona_daemon_guard_standard_fds();
	kona_log_name("kona-memd");
	kona_options_parse(&d.options, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	/* Every tenant and every grant takes one. */
	kona_daemon_raise_descriptor_limit();
	if (!open_pool(&d))
		return 1;
	warn_of_lending(&d.options);
	rc = kona_unix_listen(d.options.socket, SOCK_SEQPACKET, d.options.mode, &d.listener);
	if (rc) {
		kona_error("cannot listen at %s: %s", d.options.socket,
			   rc == -EADDRINUSE ? "another kona-memd serves there"
					     : kona_daemon_bad_path(rc));
		return 1;
	}
	status = serve(&d);
	kona_unix_unlisten(&d.listener);
	kona_store_close(&d.tenants.store);
	if (d.options.private_folder)
		kona_daemon_remove_private(d.options.private_folder);
	return status;
}
