/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona bench: what a miss costs, by guards, by faults and by Linux's own swap. See bench.h for the
 * walk. Each round runs every case once, in turn, so that a slow minute of the machine strikes all.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/bench.h"
#include "cli/command.h"
#include "cli/run.h"

enum {
	OPTION_NET = 256,
	OPTION_MEMD,
	OPTION_FABRIC,
	OPTION_WARM,
	OPTION_JSON,
	OPTION_SVG,
	MOST_THREADS = 4,
};

#define LEAST_BYTES (32 * KONA_MIB)

static int interrupted; /* Atomic, no edge: set only */

int kona_bench_interrupted(void)
{
	return kona_load_relaxed(&interrupted); /* relaxed: only the value matters */
}

static void on_signal(int number)
{
	kona_store_relaxed(&interrupted, number); /* relaxed: as above */
}

static const struct argp_option argp_options[] = {
	{"bytes", 'b', "SIZE", 0, "data that is accessed; half of it is local [128M]"},
	{"threads", 't', "LIST", 0, "numbers of threads, of 1 to 4 [1,2,4]"},
	{"rounds", 'n', "N", 0, "rounds; the medians count [5]"},
	{"time", 'd', "TIME", 0, "time that counts, of each case [1s]"},
	{"warm", OPTION_WARM, "TIME", 0, "time before it [1s]"},
	{"operation", 'x', "NAME", 0, "update, mix or read [update]"},
	{"order", 'o', "NAME", 0, "random or sequential [random]"},
	{"memd", OPTION_MEMD, "SOCKET", 0,
	 "Kona's cases use the kona-memd that serves this socket"},
	{"fabric", OPTION_FABRIC, "PROVIDER", 0,
	 "with --memd: they read other hosts' memory by RDMA: verbs, efa or tcp"},
	{"net", OPTION_NET, "NETWORK", 0,
	 "emulate a network for Kona's cases, as kona run does: rdma, tcp or numbers"},
	{"json", OPTION_JSON, "FILE", 0, "write all figures as JSON"},
	{"svg", OPTION_SVG, "FILE", 0, "draw them"},
	{0},
};

static void parse_threads(struct kona_bench *bench, const char *text, struct argp_state *state)
{
	bench->thread_counts = 0;
	for (;;) {
		unsigned long count =
			*text >= '1' && *text <= '9' ? (unsigned long)(*text - '0') : 0;

		if (!count || count > MOST_THREADS || (text[1] && text[1] != ',') ||
		    bench->thread_counts == KONA_BENCH_MOST_COUNTS)
			argp_error(state, "--threads: a list such as 1,2,4, of 1 to %d",
				   MOST_THREADS);
		bench->threads[bench->thread_counts++] = count;
		if (!text[1])
			return;
		text += 2;
	}
}

static const char *parse_name(const char *text, const char *const *names, struct argp_state *state)
{
	for (; *names; names++)
		if (!strcmp(text, *names))
			return *names;
	argp_error(state, "there is no %s", text);
	return NULL;
}

static void parse_time(const char *text, uint64_t *ret_ns, struct argp_state *state)
{
	if (kona_duration_parse(text, ret_ns))
		argp_error(state, "not a time: %s", text);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	static const char *const operations[] = {"update", "mix", "read", NULL};
	static const char *const orders[] = {"random", "sequential", NULL};
	struct kona_bench *bench = state->input;
	char net[KONA_NET_TEXT_BYTES], *end;

	switch (key) {
	case 'b':
		if (kona_size_parse(argument, &bench->data_bytes) ||
		    bench->data_bytes < LEAST_BYTES || bench->data_bytes > KONA_TIB / 16)
			argp_error(state, "--bytes: not a size of 32M and more: %s", argument);
		break;
	case 't':
		parse_threads(bench, argument, state);
		break;
	case 'n':
		bench->rounds = strtoul(argument, &end, 10);
		if (*end || !bench->rounds || bench->rounds > KONA_BENCH_MOST_ROUNDS)
			argp_error(state, "--rounds goes from 1 to %d", KONA_BENCH_MOST_ROUNDS);
		break;
	case 'd':
		parse_time(argument, &bench->run_ns, state);
		break;
	case OPTION_WARM:
		parse_time(argument, &bench->warm_ns, state);
		break;
	case 'x':
		bench->operation = parse_name(argument, operations, state);
		break;
	case 'o':
		bench->order = parse_name(argument, orders, state);
		break;
	case OPTION_NET:
		if (kona_net_parse(argument, net))
			argp_error(state, "--net: no such network: %s (rdma, tcp or, say, 5us:25G)",
				   argument);
		bench->net = argument;
		break;
	case OPTION_MEMD:
		bench->memd = argument;
		break;
	case OPTION_FABRIC:
		bench->fabric = argument;
		break;
	case OPTION_JSON:
		bench->json = argument;
		break;
	case OPTION_SVG:
		bench->svg = argument;
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument: %s", argument);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int find_programs(struct kona_bench *bench)
{
	ssize_t length = readlink("/proc/self/exe", bench->kona, sizeof(bench->kona) - 1);

	if (length <= 0 || kona_find_beside("kona-page-access", KONA_LIBEXECDIR, bench->program)) {
		kona_error("kona-page-access is neither beside kona nor in %s", KONA_LIBEXECDIR);
		return 1;
	}
	bench->kona[length] = '\0';
	return 0;
}

static int run_round(struct kona_bench *bench, unsigned long round)
{
	for (unsigned long t = 0; t < bench->thread_counts; t++)
		for (int which = 0; which < KONA_BENCH_CASES; which++) {
			int status;

			if (which == KONA_BENCH_SWAP && !bench->swaps)
				continue;
			status =
				kona_bench_run(bench, (enum kona_bench_case)which,
					       bench->threads[t], &bench->results[round][t][which]);
			if (status)
				return status;
		}
	return 0;
}

static int run_rounds(struct kona_bench *bench)
{
	for (unsigned long round = 0; round < bench->rounds; round++) {
		int status;

		fprintf(stderr, "round %lu of %lu\n", round + 1, bench->rounds);
		status = run_round(bench, round);
		if (status)
			return status;
	}
	return 0;
}

static void catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction action = {.sa_handler = on_signal};

	for (size_t i = 0; i < KONA_ARRAY_LEN(numbers); i++)
		sigaction(numbers[i], &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int kona_cmd_bench(int argc, char **argv)
{
	static const struct argp argp = {
		argp_options,
		parse_option,
		NULL,
		"Measure what an access costs while half of the data is remote: by guards, by page "
		"faults, by Linux's swap to zram.",
		NULL,
		NULL,
		NULL};
	static struct kona_bench bench = {.threads = {1, 2, 4},
					  .thread_counts = 3,
					  .rounds = 5,
					  .data_bytes = 128 * KONA_MIB,
					  .run_ns = 1000000000,
					  .warm_ns = 1000000000,
					  .operation = "update",
					  .order = "random"};
	int status;

	kona_log_name(argv[0]);
	argp_parse(&argp, argc, argv, 0, NULL, &bench);
	bench.data_bytes = kona_round_down(bench.data_bytes, KONA_MIB);
	bench.local_bytes = bench.data_bytes / 2;
	status = find_programs(&bench);
	if (!status)
		status = kona_host_check();
	if (status)
		return status;
	catch_signals();
	bench.swaps = !kona_bench_swap_begin(&bench.swap, bench.data_bytes, bench.local_bytes,
					     bench.why_no_swap);
	if (!bench.swaps)
		fprintf(stderr, "no swap to zram: %s\n", bench.why_no_swap);
	status = run_rounds(&bench);
	if (bench.swaps)
		kona_bench_swap_end(&bench.swap);
	return status ? status : kona_bench_report(&bench);
}
