/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona-rackd: the rack controller. Options, the state file, the HTTP server, the end.
 *
 * One thread: it waits for a request, a signal, its owner's end, or the next tick of the repairs.
 * What can fail: the state file, the address; both at start, with one line and status 1.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

#include "base/daemon.h"
#include "base/log.h"
#include "base/units.h"
#include "rack/listen.h"
#include "rack/rack.h"
#include "rack/serve.h"
#include "wire/pki.h"
#include "wire/rack.h"

enum {
	OPTION_SLAB = 256,
	OPTION_MODE,
	OPTION_INSECURE,
	OPTION_REPLICAS,
	OPTION_PKI,
	OPTION_ETCD_PKI,
	OPTION_OWNER,
	OPTION_READY,
	OPTION_PRIVATE,
};

struct options {
	const char *listen, *state, *pki, *etcd_pki, *private_folder;
	int64_t slab_bytes; /* 0: the state file's, or the default */
	mode_t mode;
	bool insecure;
	int replicas;
	int owner_fd, ready_fd;
};

static const struct argp_option argp_options[] = {
	{"listen", 'l', "ADDRESS", 0, "unix:PATH or HOST:PORT [" KONA_RACK_DEFAULT "]"},
	{"state", 's', "FILE", 0,
	 "where the state is: a file [/var/lib/kona/rack.db], etcd:URL, or :memory:"},
	{"slab", OPTION_SLAB, "SIZE", 0, "bytes of a slab, for a new state file [64M]"},
	{"replicas", OPTION_REPLICAS, "1..3", 0,
	 "copies of a slab that can be on several nodes [2]"},
	{"socket-mode", OPTION_MODE, "OCTAL", 0, "rights of a Unix socket [0600]"},
	{"pki", OPTION_PKI, "FOLDER", 0,
	 "certificates from kona rack init: TLS, for their holders only"},
	{"etcd-pki", OPTION_ETCD_PKI, "FOLDER", 0,
	 "certificates for etcd:https://...: ca.pem, cert.pem, key.pem"},
	{"insecure", OPTION_INSECURE, NULL, 0, "listen beyond this host, without authentication"},
	{"owner-fd", OPTION_OWNER, "N", 0, "end when this pipe ends"},
	{"ready-fd", OPTION_READY, "N", 0, "write a line here when ready"},
	{"private", OPTION_PRIVATE, "FOLDER", 0, "remove this private rack's folder at the end"},
	{0},
};

static int64_t parse_slab(const char *text, struct argp_state *state)
{
	uint64_t bytes = 0;

	if (kona_size_parse(text, &bytes) || bytes & (bytes - 1) ||
	    bytes < (uint64_t)KONA_RACK_LEAST_SLAB_BYTES ||
	    bytes > (uint64_t)KONA_RACK_MOST_SLAB_BYTES)
		argp_error(state, "--slab wants a power of two from 64K to 16G, not %s", text);
	return (int64_t)bytes;
}

static int parse_replicas(const char *text, struct argp_state *state)
{
	if (text[0] < '1' || text[0] > '0' + KONA_RACK_MOST_REPLICAS || text[1])
		argp_error(state, "--replicas wants 1, 2 or 3, not %s", text);
	return text[0] - '0';
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'l':
		o->listen = argument;
		return 0;
	case 's':
		o->state = argument;
		return 0;
	case OPTION_SLAB:
		o->slab_bytes = parse_slab(argument, state);
		return 0;
	case OPTION_MODE:
		o->mode = kona_daemon_option_mode(argument, state);
		return 0;
	case OPTION_REPLICAS:
		o->replicas = parse_replicas(argument, state);
		return 0;
	case OPTION_PKI:
		o->pki = argument;
		return 0;
	case OPTION_ETCD_PKI:
		o->etcd_pki = argument;
		return 0;
	case OPTION_INSECURE:
		o->insecure = true;
		return 0;
	case OPTION_OWNER:
		o->owner_fd = kona_daemon_option_fd(argument, state);
		return 0;
	case OPTION_READY:
		o->ready_fd = kona_daemon_option_fd(argument, state);
		return 0;
	case OPTION_PRIVATE:
		o->private_folder = argument;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument: %s", argument);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Serves until SIGTERM, SIGINT, or the owner's end. Returns true for the latter. */
static bool loop(struct kona_rack *rack, struct kona_rack_server *server, int signals, int owner_fd)
{
	struct pollfd polled[3] = {{.fd = signals, .events = POLLIN},
				   {.fd = owner_fd, .events = POLLIN},
				   {.fd = kona_rack_serve_fd(server), .events = POLLIN}};
	uint64_t tick_ns = 0;
	int left = 0;

	for (;;) {
		int serve_ms = kona_rack_serve_run(server), tick_ms;

		rack->now_ns = kona_now_ns();
		if (rack->now_ns >= tick_ns)
			tick_ns = rack->now_ns + (uint64_t)kona_rack_tick(rack) * 1000000;
		if (kona_rack_serve_flush(server))
			serve_ms = 0;
		rack->now_ns = kona_now_ns();
		tick_ms =
			tick_ns > rack->now_ns ? (int)((tick_ns - rack->now_ns) / 1000000) + 1 : 0;
		if (poll(polled, 3, serve_ms < tick_ms ? serve_ms : tick_ms) < 0 && errno != EINTR)
			return false;
		if (polled[0].revents)
			return false;
		if (polled[1].revents &&
		    kona_daemon_owner_state(owner_fd, &left) != KONA_OWNER_LIVES)
			return true;
	}
}

static int serve(const struct options *o, struct kona_rack *rack, int signals, bool *ret_orphan)
{
	struct kona_rack_listener listener;
	struct kona_rack_server *server;
	bool tls = o->pki && strncmp(o->listen, "unix:", 5) != 0;
	char why[KONA_PKI_TEXT_BYTES];
	int rc;

	if (tls && kona_pki_check(o->pki, why)) {
		kona_error("%s", why);
		return 1;
	}
	rc = kona_rack_listen(o->listen, o->mode,
			      tls	    ? KONA_RACK_TRUST_TLS
			      : o->insecure ? KONA_RACK_TRUST_ALL
					    : KONA_RACK_TRUST_HOST,
			      &listener, why, sizeof(why));
	if (rc) {
		kona_error("cannot listen at %s: %s", o->listen, why);
		return 1;
	}
	rc = kona_rack_serve_start(rack, listener.descriptor, tls ? o->pki : NULL, &server);
	if (rc) {
		kona_error("cannot start the HTTP server: %s", strerror(-rc));
		close(listener.descriptor);
		kona_rack_unlisten(&listener);
		return 1;
	}
	if (!o->private_folder)
		kona_info("listening at %s, state in %s", listener.address, o->state);
	kona_daemon_ready(o->ready_fd);
	/* From now on, memd tells its programs what goes wrong. */
	if (o->private_folder)
		kona_daemon_hush();
	*ret_orphan = loop(rack, server, signals, o->owner_fd);
	kona_rack_serve_stop(server);
	kona_rack_unlisten(&listener);
	return 0;
}

/* Opens the store and, when this controller leads at once, loads it: so that what is wrong is told.
 */
static int open_state(const struct options *o, struct kona_rack *rack)
{
	char why[KONA_STORE_TEXT_BYTES], own[KONA_PKI_TEXT_BYTES];

	if (o->etcd_pki && kona_pki_check(o->etcd_pki, own)) {
		kona_error("%s", own);
		return 1;
	}
	kona_rack_init(rack, kona_now_ns(), 0);
	rack->wished_slab_bytes = o->slab_bytes;
	rack->replicas = o->replicas;
	if (kona_rack_store_open(o->state, o->listen, o->etcd_pki, &rack->store, why)) {
		kona_error("state file: %s", why);
		return 1;
	}
	kona_rack_lead(rack);
	if (rack->leads && kona_rack_begin(rack)) {
		kona_error("state file %s: %s", o->state, rack->why);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		argp_options, parse_option,
		NULL,	      "The rack controller: knows the memory nodes and grants their slabs.",
		NULL,	      NULL,
		NULL};
	struct options o = {.listen = KONA_RACK_DEFAULT,
			    .state = "/var/lib/kona/rack.db",
			    .mode = 0600,
			    .replicas = 2,
			    .owner_fd = -1,
			    .ready_fd = -1};
	struct kona_rack rack = {0};
	sigset_t set;
	int signals, status;
	bool orphan = false;

	kona_daemon_guard_standard_fds();
	kona_log_name("kona-rackd");
	argp_program_version = "kona-rackd " KONA_VERSION;
	argp_err_exit_status = 1;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* Every connection takes one. */
	kona_daemon_raise_descriptor_limit();
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals < 0) {
		kona_error("signalfd: %s", strerror(errno));
		return 1;
	}
	status = open_state(&o, &rack);
	if (!status)
		status = serve(&o, &rack, signals, &orphan);
	kona_rack_free(&rack);
	/* With its owner alive, the folder is still in use. */
	if (o.private_folder && orphan)
		kona_daemon_remove_private(o.private_folder);
	return status;
}
