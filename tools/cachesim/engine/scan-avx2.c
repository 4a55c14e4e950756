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

SIM_L1_PROTOTYPE(sim_l1_avx2)
{
	return walk_l1(sim, core, events, count, below_l1);
}

SIM_BELOW_L1_PROTOTYPE(sim_below_l1_avx2)
{
	walk_below_l1(sim, core, events, count);
}
