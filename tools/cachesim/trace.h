/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulator without Valgrind: the same engine over a recorded trace.
 *
 * Two formats, told apart by the first line:
 *   kona-trace 1      what `kona track --trace` writes: dirty lines by window. Each is one store of
 *                     a line; reads are not in it.
 *   Lackey            ` L ADDRESS,SIZE`, ` S ...`, ` M ...`, `I  ...` as printed by Valgrind's
 *                     --tool=lackey --trace-mem=yes; lines that start with `==` are skipped.
 */
#ifndef KONA_CACHESIM_TRACE_H
#define KONA_CACHESIM_TRACE_H

#include "result.h"
#include "sweep.h"

/*
 * run->argument are those of the Valgrind tool; run->program is not used, run->result is written
 * where given. path "-": standard input. Returns 0 and *ret_result; -errno of opening; -EPROTO with
 * *ret_line the line that is not understood; -EINVAL for a cache that cannot be; -ENOMEM.
 */
KONA_MUST_CHECK int kona_trace_simulate(const char *path, const struct kona_sweep_run *run,
					struct kona_sim_result *ret_result, uint64_t *ret_line);

#endif
