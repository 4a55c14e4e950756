/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Huge pages on demand, without the host's settings for them.
 */
#ifndef KONA_BASE_HUGE_H
#define KONA_BASE_HUGE_H

#include <sys/mman.h>

/* Linux 6.1; Debian 12's headers are older. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#endif
