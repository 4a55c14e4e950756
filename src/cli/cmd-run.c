/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona run: runs a program with its heap in remote memory. See run.h for the walk.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "base/daemon.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/run.h"
#include "transport/ofi.h"

enum {
	OPTION_RACK = 256,
	OPTION_MEMD,
	OPTION_POOL,
	OPTION_FABRIC,
	OPTION_DIRTY,
	OPTION_NET,
	OPTION_SEAL,
	OPTION_FOLLOW,
	OPTION_SUMMARY,
	OPTION_STATS,
};

#define LEAST_LOCAL_BYTES  (8 * KONA_MIB)
#define LEAST_REMOTE_BYTES (1 * KONA_MIB)

struct options {
	uint64_t local_bytes;
	struct kona_rack_wish wish;
	const char *dirty, *stats, *fabric;
	char net[KONA_NET_TEXT_BYTES]; /* "": none */
	bool follow, seal, summary;
	char **program;
};

static const struct argp_option argp_options[] = {
	{"local", 'l', "SIZE", 0,
	 "local memory for the heap, 8M at least [a quarter of the host's]"},
	{"remote", 'r', "SIZE", 0, "remote memory at most [what there is]"},
	{"rack", OPTION_RACK, "ADDRESS", 0,
	 "use this rack controller (http://HOST:PORT or unix:PATH), not a private one"},
	{"memd", OPTION_MEMD, "SOCKET", 0, "use the kona-memd that serves this socket"},
	{"pool", OPTION_POOL, "PATH", 0,
	 "take the remote memory from this folder, DAX device or file of this host"},
	{"fabric", OPTION_FABRIC, "PROVIDER", 0,
	 "read other hosts' memory by RDMA, over verbs, efa or tcp (libfabric)"},
	{"dirty", OPTION_DIRTY, "MODE", 0, "how written data is found: lines, wp or twin [lines]"},
	{"net", OPTION_NET, "NETWORK", 0,
	 "take as long as a network would: rdma (3us:100G), tcp (10us:10G) or "
	 "LATENCY:BITS_PER_SECOND"},
	{"seal", OPTION_SEAL, NULL, 0,
	 "encrypt and authenticate every page that leaves for a memory node"},
	{"follow", OPTION_FOLLOW, NULL, 0, "programs that it executes get remote memory, too"},
	{"summary", OPTION_SUMMARY, NULL, 0, "print what happened to standard error"},
	{"stats", OPTION_STATS, "FILE", 0, "write what happened as JSON"},
	{0},
};

static uint64_t parse_size(const char *option, const char *text, uint64_t least,
			   struct argp_state *state)
{
	uint64_t bytes = 0;
	char least_text[16];
	int rc = kona_size_parse(text, &bytes);

	if (rc)
		argp_error(state, "%s: %s: %s", option, rc == -ERANGE ? "too large" : "not a size",
			   text);
	if (bytes < least)
		argp_error(state, "%s: %s is too small, it takes at least %s", option, text,
			   kona_size_format(least, least_text, sizeof(least_text)));
	return bytes;
}

static const char *parse_dirty(const char *text, struct argp_state *state)
{
	static const char *const modes[] = {"lines", "wp", "twin"};

	for (size_t i = 0; i < KONA_ARRAY_LEN(modes); i++)
		if (!strcmp(text, modes[i]))
			return modes[i];
	argp_error(state, "--dirty: no such mode: %s (there are lines, wp and twin)", text);
	return NULL;
}

static const char *parse_fabric(const char *text, struct argp_state *state)
{
	static const char *const providers[] = {"verbs", "efa", "tcp"};

	for (size_t i = 0; i < KONA_ARRAY_LEN(providers); i++)
		if (!strcmp(text, providers[i]))
			return providers[i];
	argp_error(state, "--fabric: no such provider: %s (there are verbs, efa and tcp)", text);
	return NULL;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'l':
		o->local_bytes = parse_size("--local", argument, LEAST_LOCAL_BYTES, state);
		break;
	case 'r':
		o->wish.remote_bytes = parse_size("--remote", argument, LEAST_REMOTE_BYTES, state);
		break;
	case OPTION_RACK:
		o->wish.rack = argument;
		break;
	case OPTION_MEMD:
		o->wish.memd = argument;
		break;
	case OPTION_POOL:
		o->wish.pool = argument;
		break;
	case OPTION_FABRIC:
		o->fabric = parse_fabric(argument, state);
		break;
	case OPTION_DIRTY:
		o->dirty = parse_dirty(argument, state);
		break;
	case OPTION_NET:
		if (kona_net_parse(argument, o->net))
			argp_error(state, "--net: no such network: %s (rdma, tcp or, say, 5us:25G)",
				   argument);
		break;
	case OPTION_SEAL:
		o->seal = true;
		break;
	case OPTION_FOLLOW:
		o->follow = true;
		break;
	case OPTION_SUMMARY:
		o->summary = true;
		break;
	case OPTION_STATS:
		o->stats = argument;
		break;
	case ARGP_KEY_ARGS:
		o->program = state->argv + state->next;
		break;
	case ARGP_KEY_END:
		if (!o->program)
			argp_error(state, "give a program to run");
		if (o->wish.rack && o->wish.memd)
			argp_error(state, "give --rack or --memd, not both");
		if (o->wish.pool && (o->wish.rack || o->wish.memd))
			argp_error(state, "--pool is for a private rack: give it to kona-memd");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int find_library(char *path)
{
	if (kona_find_beside("libkona.so", KONA_LIBDIR, path)) {
		kona_error("libkona.so is neither beside kona nor in %s", KONA_LIBDIR);
		return KONA_EXIT_OURS;
	}
	/* The dynamic linker splits LD_PRELOAD there, and knows no quoting. */
	if (strpbrk(path, ": ")) {
		kona_error("%s cannot be preloaded: its path holds a space or a colon", path);
		return KONA_EXIT_OURS;
	}
	return 0;
}

/* Makes the value of KONA_FABRIC. */
static int find_fabric(const char *provider, char *ret_value, size_t value_bytes)
{
	char path[PATH_MAX];

	if (kona_find_beside(KONA_OFI_LIBRARY, KONA_LIBEXECDIR, path)) {
		kona_error("--fabric: " KONA_OFI_LIBRARY " is neither beside kona nor in %s",
			   KONA_LIBEXECDIR);
		return KONA_EXIT_OURS;
	}
	snprintf(ret_value, value_bytes, "%s:%s", provider, path);
	return 0;
}

static int make_stats(int *ret_fd, struct kona_stats_area **ret_area)
{
	int fd = memfd_create("kona-stats", MFD_CLOEXEC);
	struct kona_stats_area *area = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, sizeof(*area)))
		area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (area == MAP_FAILED) {
		kona_error("no memory for statistics: %s", strerror(errno));
		return KONA_EXIT_OURS;
	}
	area->magic = KONA_STATS_MAGIC;
	area->version = KONA_STATS_VERSION;
	*ret_fd = fd;
	*ret_area = area;
	return 0;
}

static int report(const struct options *o, const struct kona_stats_area *area, int wait_status,
		  uint64_t elapsed_ns)
{
	if (o->summary)
		kona_summary_print(stderr, area, o->program[0], elapsed_ns);
	return o->stats ? kona_summary_write(o->stats, area, o->program, wait_status, elapsed_ns)
			: 0;
}

/* All is checked: starts the memory, then the program. */
static int run(const struct options *o, struct kona_launch *launch)
{
	struct kona_stats_area *area;
	struct kona_run_rack rack;
	uint64_t start_ns;
	int wait_status;
	int status = make_stats(&launch->stats_fd, &area);

	if (status)
		return status;
	status = kona_run_rack_start(&rack, &o->wish);
	if (status)
		return status;
	launch->socket = rack.socket;
	start_ns = kona_now_ns();
	status = kona_launch(launch, &rack, &wait_status);
	start_ns = kona_now_ns() - start_ns;
	rack.memd_told = !status && WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGBUS;
	kona_run_rack_release(&rack);
	if (!status)
		status = report(o, area, wait_status, start_ns);
	if (!status)
		kona_launch_end_like(wait_status);
	return status;
}

int kona_cmd_run(int argc, char **argv)
{
	static const struct argp argp = {
		argp_options,
		parse_option,
		"-- PROGRAM [ARGUMENTS]",
		"Run PROGRAM with its heap in remote memory, of which a part is cached locally.",
		NULL,
		NULL,
		NULL};
	struct options o = {.dirty = "lines"};
	struct kona_target target;
	struct kona_launch launch;
	char library[PATH_MAX], fabric[PATH_MAX + 32];
	int status;

	kona_daemon_guard_standard_fds();
	kona_log_name(argv[0]);
	argp_err_exit_status = KONA_EXIT_OURS;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &o);
	if (!o.local_bytes)
		o.local_bytes = kona_round_down(kona_host_memory_bytes() / 4, KONA_MIB);
	status = kona_target_find(o.program, &target);
	if (status)
		return status;
	launch = (struct kona_launch){.target = &target,
				      .library = library,
				      .dirty = o.dirty,
				      .net = o.net[0] ? o.net : NULL,
				      .local_bytes = o.local_bytes,
				      .remote_bytes = o.wish.remote_bytes,
				      .follow = o.follow,
				      .seal = o.seal};
	status = kona_host_check();
	if (!status)
		status = find_library(library);
	if (!status && o.fabric) {
		launch.fabric = fabric;
		status = find_fabric(o.fabric, fabric, sizeof(fabric));
	}
	if (!status && o.stats)
		status = kona_summary_try(o.stats);
	if (!status)
		status = run(&o, &launch);
	kona_target_free(&target);
	return status;
}
