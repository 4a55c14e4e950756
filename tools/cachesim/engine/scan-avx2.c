/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk of walk.h and the stack scan of scan.h, compiled for the avx2 code path.
 */
#include "scan.h"
#include "walk.h"

SIM_SCAN_PROTOTYPE(sim_scan_avx2)
{
	return scan_list(sim, stack, changes, count);
}

SIM_WALK_PROTOTYPE(sim_walk_avx2)
{
	walk(sim, events, count);
}
