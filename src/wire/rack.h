/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rack protocol: kona-memd and the command line <-> kona-rackd. HTTP/1.1, JSON bodies,
 * `Content-Type: application/json`. Addresses are "http://HOST:PORT" or "unix:PATH".
 *
 *   POST   /v1/nodes                   {name, instance, capacity_bytes, leases: [...]}
 *                                   -> 200 {node, slab_bytes, epoch, heartbeat_ms}
 *   POST   /v1/nodes/ID/heartbeat      {instance}             -> 200 {epoch}
 *   DELETE /v1/nodes/ID                {instance}             -> 200 {}
 *   POST   /v1/leases                  {node, instance, program, pid, uid, limit_bytes}
 *                                   -> 201 {lease}
 *   POST   /v1/leases/ID/slabs         {count, have, request} -> 201 {slabs: [{slab, node}]}
 *   DELETE /v1/leases/ID                                      -> 200 {}
 *   GET    /v1/status                                         -> 200 {rack, nodes, leases}
 *   GET    /metrics, /v1/metrics                              -> Prometheus text
 *
 * Every failure is a JSON {error, code}: a text for people and an errno name for programs.
 *
 * A registration carries all live leases of the node, [{lease, program, pid, uid, limit_bytes,
 * slabs: [ID, ...]}]: what the controller knew of that node before is replaced by it. So a node
 * registers again whenever it is unsure (an answer was lost, `epoch` changed: the controller was
 * restarted), and both agree afterwards.
 *
 * `instance` is a random name that a memd takes at start. A node's name is refused to a second
 * instance while the first one is heard of. `have` is the last slab that reached the node (0:
 * none), `request` grows with every request of the lease: so an answer that was lost leaves no
 * slab behind, and a request that was overtaken does nothing.
 *
 * Identifiers are unique in the rack and never used again; a new state file starts at a random
 * point, so that they do not clash with those that nodes still hold from a lost one.
 */
#ifndef KONA_WIRE_RACK_H
#define KONA_WIRE_RACK_H

#include <stdint.h>

#define KONA_RACK_DEFAULT "unix:/run/kona/rackd.sock"
#define KONA_MEMD_DEFAULT "/run/kona/memd.sock"

enum {
	KONA_RACK_NAME_BYTES = 64,	/* names of nodes, programs and instances, with the NUL */
	KONA_RACK_BODY_BYTES = 4 << 20, /* largest request or reply that is read */
	KONA_RACK_MOST_SLABS = 64,	/* per grant */
	KONA_RACK_HEARTBEAT_MS = 1000,
	KONA_RACK_DEADLINE_MS = 4000, /* silence after which a node counts as down */
};

/* Identifiers and sizes stay below this, exact in every JSON reader. */
#define KONA_RACK_MOST_VALUE (INT64_C(1) << 53)

#define KONA_RACK_LEAST_SLAB_BYTES (INT64_C(1) << 16)
#define KONA_RACK_MOST_SLAB_BYTES  (INT64_C(1) << 34)

#endif
