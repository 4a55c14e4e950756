/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeper: a thread that keeps the userfaultfd and the lease of a space open, out of the program's
 * reach, and watches the memory node.
 *
 * A program may close all descriptors that it finds, by a system call of its own. Then the lease
 * would end, and with the last userfaultfd missing pages would read as zeros. The keeper's table of
 * descriptors is not the program's: so a missing page still stops the thread that touches it, and
 * the fault handler, whose descriptors are gone, ends the program with a line.
 */
#ifndef KONA_RUNTIME_KEEPER_H
#define KONA_RUNTIME_KEEPER_H

#include "base/compiler.h"
#include "runtime/broker.h"
#include "runtime/fault.h"
#include "runtime/space.h"

struct kona_keeper {
	const struct kona_broker *broker; /* Immutable after start */
	struct kona_watch death;	  /* of the thread, seen by the fault handler */
};

/* After the space's own start. -ENOMEM, -EAGAIN, -EPERM (descriptor tables cannot be parted). */
KONA_MUST_CHECK int kona_keeper_start(struct kona_keeper *keeper, struct kona_space *space,
				      const struct kona_broker *broker);

/* The memory node's end of the lease's socket is gone: says so, and ends the program. Any thread.
 */
KONA_NORETURN void kona_keeper_node_gone(const struct kona_broker *broker);

#endif
