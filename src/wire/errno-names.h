/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The errno names that the rack protocol uses in `code`.
 */
#ifndef KONA_WIRE_ERRNO_NAMES_H
#define KONA_WIRE_ERRNO_NAMES_H

/* "ENOSPC" for -ENOSPC; "EIO" for what the protocol has no name for. */
const char *kona_errno_name(int error);

/* -ENOSPC for "ENOSPC"; -EPROTO for what the protocol has no name for. */
int kona_errno_value(const char *name);

#endif
