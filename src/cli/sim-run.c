/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run under the simulator, as the verbs see it: every failure is told here, once, and results so
 * far are read however the program ended. No state.
 */
#include "cli/sim-run.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"
#include "model.h"
#include "result.h"
#include "sweep.h"

/* Says how the program ended, when that is worth saying, and returns the exit status to pass on. */
static int tell_end(int status, const struct kona_sim_result *result)
{
	if (WIFSIGNALED(status)) {
		kona_error("the program ended by signal %d (%s): these are the results so far",
			   WTERMSIG(status), strsignal(WTERMSIG(status)));
		return 128 + WTERMSIG(status);
	}
	if (result->ended_by_exec)
		kona_error("the program replaced itself by exec: these are the results until then; "
			   "--follow goes on with the new one");
	return WEXITSTATUS(status);
}

static int run_into(struct kona_sweep_run *run, struct kona_sim_result *ret_result,
		    int *ret_exit_status)
{
	int status, err;

	unlink(run->result);
	err = kona_sweep_run(run, &status);
	if (err == -ENOENT)
		kona_error("the simulator (kona_sim-amd64-linux) is not installed beside kona");
	else if (err == -EOPNOTSUPP)
		kona_error("%s was built by kona-cc --sim: --attribute, --children, --fetches, "
			   "--follow, --l1i and --line need Valgrind, and a plain build",
			   run->program[0]);
	else if (err)
		kona_error("cannot run the simulator: %s", strerror(-err));
	if (err)
		return err;
	err = kona_sim_result_read(run->result, ret_result);
	if (err && WIFSIGNALED(status))
		kona_error("the simulator ended by signal %d and left no results",
			   WTERMSIG(status));
	else if (err)
		kona_error("no results: the program did not start");
	else
		*ret_exit_status = tell_end(status, ret_result);
	return err;
}

int kona_sim_run(struct kona_sweep_run *run, struct kona_sim_result *ret_result,
		 int *ret_exit_status)
{
	char temporary[] = "/tmp/kona-sim-XXXXXX";
	int fd, err;

	if (run->result)
		return run_into(run, ret_result, ret_exit_status);
	fd = mkstemp(temporary);
	if (fd < 0) {
		err = -errno;
		kona_error("cannot make a temporary file: %s", strerror(errno));
		return err;
	}
	close(fd);
	run->result = temporary;
	err = run_into(run, ret_result, ret_exit_status);
	run->result = NULL;
	unlink(temporary);
	return err;
}

int kona_sim_load(const char *path, struct kona_sim_result *ret_result)
{
	int err = kona_sim_result_read(path, ret_result);

	if (err)
		kona_error("%s: %s", path,
			   err == -EPROTO ? "not a result of kona sim" : strerror(-err));
	return err;
}

void kona_sim_option_models(struct kona_models *models, const char *path, struct argp_state *state)
{
	unsigned int line;
	int err = kona_models_load(models, path, &line);

	if (err == -EINVAL)
		argp_error(state,
			   "%s:%u: want NAME and KEY=NS with l1, l2, l3, cache, remote, "
			   "remote_write",
			   path, line);
	else if (err)
		argp_error(state, "%s: %s", path, strerror(-err));
}

bool kona_sim_is_stdout(const char *path)
{
	return path && !strcmp(path, "-");
}

FILE *kona_sim_output_open(const char *path, FILE *otherwise)
{
	FILE *stream = path ? fopen(path, "we") : otherwise;

	if (!stream)
		kona_error("cannot write %s: %s", path, strerror(errno));
	return stream;
}

int kona_sim_output_close(FILE *stream, const char *path)
{
	int lost = fflush(stream) || ferror(stream);

	if (path)
		lost |= fclose(stream) != 0;
	if (lost)
		kona_error("cannot write %s: %s", path ? path : "the table", strerror(errno));
	return lost;
}

int kona_sim_tell_lost(const char *path, int err)
{
	if (err)
		kona_error("cannot write %s: %s", path, strerror(-err));
	return err != 0;
}
