/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack scan of scan.h, compiled for the avx2 code path.
 */
#include "scan.h"

SIM_SCAN_PROTOTYPE(sim_scan_avx2)
{
	return scan_list(sim, stack, records, list, count, survivors);
}
