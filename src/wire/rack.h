/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rack protocol: kona-memd and the command line <-> kona-rackd. HTTP/1.1, JSON bodies,
 * `Content-Type: application/json`. Addresses are "http://HOST:PORT" or "unix:PATH".
 *
 *   POST   /v1/nodes                   {name, instance, capacity_bytes, leases: [...],
 *                                       domain, endpoint, secret, hosted}
 *                                   -> 200 {node, slab_bytes, epoch, heartbeat_ms, ended}
 *   POST   /v1/nodes/ID/heartbeat      {instance, dropped, copied, taken, lost}
 *                                   -> 200 {epoch, drop, replicate, sets}
 *   DELETE /v1/nodes/ID                {instance}             -> 200 {}
 *   POST   /v1/nodes/ID/drain|undrain  {}                     -> 200 {}
 *   POST   /v1/nodes/ID/quota          {bytes}                -> 200 {}
 *   POST   /v1/rebalance               {}                     -> 200 {moves}
 *   POST   /v1/leases                  {node, instance, program, pid, uid, limit_bytes, replicas}
 *                                   -> 201 {lease}
 *   POST   /v1/leases/ID/slabs         {count, have, request, remote}
 *                                   -> 201 {slabs: [{slab, generation, version, node, replicas}]}
 *   DELETE /v1/leases/ID                                      -> 200 {}
 *   GET    /v1/nodes                                          -> 200 {rack, nodes}
 *   GET    /v1/status                                         -> 200 {rack, nodes, leases}
 *   GET    /v1/slabs                                          -> 200 {slabs}, the first 100,000
 *   GET    /metrics, /v1/metrics                              -> Prometheus text
 *
 * Every failure is a JSON {error, code}: a text for people and an errno name for programs.
 *
 * A registration carries all live leases of the node, [{lease, program, pid, uid, limit_bytes,
 * remote: [ID, ...], slabs: [ID, ...]}]: `slabs` have their only copy in this node's own memory,
 * `remote` ones stand elsewhere, too. What the controller knew of that node before is replaced by
 * it. So a node registers again whenever it is unsure (an answer was lost, `epoch` changed: the
 * controller was restarted), and both agree afterwards. A lease with `remote` slabs that the
 * controller does not know (the node was silent for KONA_RACK_LEASE_MS, or the state was lost) is
 * `ended`: a list of leases whose programs have lost their memory. `hosted` are the slabs that the
 * node holds for programs of others; those that nobody misses come back as `drop`.
 *
 * `instance` is a random name that a memd takes at start. A node's name is refused to a second
 * instance while the first one is heard of. `have` is the last slab that reached the node (0:
 * none), `request` grows with every request of the lease: so an answer that was lost leaves no
 * slab behind, and a request that was overtaken does nothing.
 *
 * Memory over the network. A node that serves the data protocol (wire/data.h) registers its
 * `endpoint` ("HOST:PORT"), its failure `domain` and its `secret` (32 hex digits, new at every
 * start); without an endpoint it lends to programs of its own host only. From the secret the
 * controller makes the `capability` of each slab there: the first 16 bytes of HMAC-SHA256(secret,
 * slab | generation), both 8 bytes, least significant first; 32 hex digits. `replicas` is
 *   [{node, name, endpoint, capability, state}], state "full" or "copying"
 * of which the client writes all and reads full ones. One that stands on the node of the lease is
 * in shared memory if it was there at the grant. A request for slabs says `remote` when the program
 * can use memory on other nodes; else it gets one copy, on its own node, which is `node`.
 *
 * What a heartbeat carries. The controller repeats each order until it has heard that it is done,
 * the node each report until a heartbeat that carried it was answered; both forget what they know
 * already:
 *   drop       [SLAB]                              free it; answered by `dropped`
 *   replicate  [{slab, generation, from, capability}]  copy it from the node at endpoint `from`
 *              (capability: there); answered by `copied`. It starts when the client has announced
 *              itself, so that nothing that it writes can be missed
 *   sets       [{lease, slab, generation, version, replicas}]  for a program of this node's host:
 *              where the slab is now; answered by `taken`, once the program acts by it
 *   dropped, copied  [SLAB]
 *   taken      [{lease, slab, version}]
 *   lost       [{lease, node, slab}]  the program found this replica dead, and has gone on without
 *              it (slab 0: all of its slabs there); it comes back only by a later set, as "copying"
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
	KONA_RACK_LEASE_MS = 30000,   /* ... after which the leases of its programs end */
	KONA_RACK_MOST_ORDERS = 256,  /* of each kind in the answer to a heartbeat */
	KONA_RACK_MOST_REPLICAS = 3,
	KONA_RACK_SECRET_BYTES = 16,
	KONA_RACK_CAPABILITY_BYTES = 16,
	KONA_RACK_ENDPOINT_BYTES = 128, /* "HOST:PORT", with the NUL */
};

/* Identifiers and sizes stay below this, exact in every JSON reader. */
#define KONA_RACK_MOST_VALUE (INT64_C(1) << 53)

#define KONA_RACK_LEAST_SLAB_BYTES   (INT64_C(1) << 16)
#define KONA_RACK_MOST_SLAB_BYTES    (INT64_C(1) << 34)
#define KONA_RACK_DEFAULT_SLAB_BYTES (INT64_C(1) << 26)

#endif
