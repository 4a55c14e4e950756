/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk of walk.h and the stack scan of scan.h, compiled for the portable code path.
 */
#include "scan.h"
#include "walk.h"

SIM_SCAN_PROTOTYPE(sim_scan_portable)
{
	return scan_list(sim, stack, changes, count);
}

SIM_WALK_PROTOTYPE(sim_walk_portable)
{
	walk(sim, events, count);
}
