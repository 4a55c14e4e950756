/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Start of libkona in a program: configuration, lease, space; before main(), since the program's
 * heap is to be remote from its first byte on. And the same again in a forked child that is to have
 * remote memory of its own (--follow), at its first allocation.
 *
 * State: the process's spaces. What can fail: everything that the environment gives; then the
 * program ends with one line before it starts (status 125, as kona run's own errors).
 */
#include "runtime/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/units.h"
#include "runtime/alloc.h"
#include "runtime/broker.h"
#include "runtime/config.h"
#include "runtime/fatal.h"
#include "runtime/fork.h"
#include "runtime/guard.h"
#include "runtime/hazard.h"
#include "runtime/heir.h"
#include "runtime/keeper.h"
#include "runtime/os.h"
#include "runtime/replicas.h"
#include "runtime/sleepers.h"
#include "runtime/space.h"
#include "transport/seal.h"

enum {
	STATUS_NOT_STARTED = 125,
	GROW_PAUSE_US = 100000,
};

#define GROW_DEADLINE_NS (UINT64_C(30) * 1000000000)

static const uint64_t vfmem_bytes = KONA_TIB;

/* What one space of this process needs; a forked child makes another. */
struct tenancy {
	struct kona_space space;
	struct kona_broker broker;
	struct kona_replicas replicas;
	struct kona_fabric fabric; /* in the program alone, not in a forked child */
	struct kona_transport *store;
	struct kona_transport net; /* over them, when a network is emulated */
	struct kona_seal seal;	   /* over that, when pages are sealed */
	struct kona_keeper keeper;
};

static struct kona_config config;     /* Immutable after start */
static enum kona_process_state state; /* Atomic, edge PR-1 */
static bool is_forked;		      /* we are a child. Changes only around fork */
static bool is_due;		      /* a child is to make its space. Only its one thread */
static struct tenancy *tenancy;	      /* Atomic, edge PR-1; NULL: new memory is local */
static struct kona_heir *heir;	      /* Atomic, no edge: changes only around fork */
static struct kona_stats_area *area;  /* Immutable after start */
static struct kona_stats own_stats;   /* when nobody asked for them */

KONA_NORETURN static void fail(const char *what, const char *why)
{
	kona_warn("%s: %s", what, why);
	_exit(STATUS_NOT_STARTED);
}

/* --- statistics --------------------------------------------------------------------------------*/

static void attach_stats(void)
{
	struct stat status;
	void *mapped;

	if (config.stats_descriptor < 0)
		return;
	if (fstat(config.stats_descriptor, &status) ||
	    status.st_size < (off_t)sizeof(struct kona_stats_area))
		fail("KONA_STATS_FD", "no statistics area behind this descriptor");
	mapped = kona_os_mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED,
			      config.stats_descriptor, 0);
	if (mapped == MAP_FAILED)
		fail("KONA_STATS_FD", strerror(errno));
	area = mapped;
	if (area->magic != KONA_STATS_MAGIC || area->version != KONA_STATS_VERSION)
		fail("KONA_STATS_FD", "a statistics area of another version");
	if (!config.follow)
		close(config.stats_descriptor);
}

/* The block of this process. */
static struct kona_stats *take_stats(void)
{
	struct kona_stats *stats = &own_stats;
	uint32_t index;

	if (!area)
		return stats;
	index = kona_add_relaxed(&area->used_blocks, 1); /* relaxed: only the number matters */
	stats = &area->blocks[index < KONA_STATS_BLOCKS ? index : KONA_STATS_BLOCKS - 1];
	stats->pid = (uint32_t)getpid();
	strncpy(stats->program, program_invocation_short_name, KONA_STATS_NAME_BYTES - 1);
	return stats;
}

/* --- the space ---------------------------------------------------------------------------------*/

/* Growth is serialised by the region lock. */
static int grow_once(struct tenancy *of, uint64_t first, uint64_t count, const char **ret_why)
{
	static struct kona_broker_granted granted;
	int descriptor, rc;

	granted.text[0] = '\0';
	rc = kona_broker_grant(&of->broker, (uint32_t)count, &granted, &descriptor);
	*ret_why = granted.text;
	if (rc == -EPIPE || rc == -ECONNRESET)
		kona_keeper_node_gone(&of->broker);
	if (rc)
		return rc;
	*ret_why = "no node of the grant can be reached";
	rc = kona_replicas_grant(&of->replicas, first, &granted, descriptor);
	return rc == -EIO ? -EHOSTUNREACH : rc;
}

/*
 * Losing the controller does not stop a program; only growth waits, for a controller that is
 * paused or being restarted, and then fails.
 */
static int grow(void *context, uint64_t first, uint64_t count, bool patient)
{
	uint64_t deadline_ns = kona_now_ns() + GROW_DEADLINE_NS;
	const char *why;
	bool said = false;
	int rc;

	for (;;) {
		rc = grow_once(context, first, count, &why);
		if (rc != -EHOSTUNREACH || !patient || kona_now_ns() > deadline_ns)
			return rc;
		if (!said)
			kona_warn("waiting for remote memory: %s", why);
		said = true;
		usleep(GROW_PAUSE_US);
	}
}

static void tell_changed(void *with, uint64_t offset_bytes, const char *node, bool lost)
{
	static bool said; /* Atomic, no edge: elects the first */
	struct tenancy *of = with;
	const char *what = node ? "memory node" : "the network, or a memory node",
		   *name = node ? node : "";

	if (lost)
		kona_fatal("page %p did not come back as this program stored it: %s %s changed it, "
			   "and nobody else has it",
			   of->space.base + offset_bytes, what, name);
	kona_add_relaxed(&of->space.stats->changed_pages, 1); /* relaxed: a figure */
	if (!kona_exchange_acq_rel(&said, true))	      /* no edge: see above */
		kona_warn("page %p did not come back as this program stored it: %s %s changed it; "
			  "another replica was right",
			  of->space.base + offset_bytes, what, name);
}

static void seal_store(struct tenancy *made)
{
	const struct kona_seal_hooks hooks = {tell_changed, made};
	int rc = kona_seal_init(&made->seal, made->store, vfmem_bytes / KONA_PAGE_BYTES, &hooks);

	if (rc == -ENOTSUP)
		fail("KONA_SEAL", "this processor has no AES instructions");
	if (rc)
		fail("KONA_SEAL", strerror(-rc));
	made->store = &made->seal.transport;
}

static void open_lease(struct tenancy *made)
{
	char text[KONA_BROKER_TEXT_BYTES] = "";
	int rc = kona_broker_open(&made->broker, config.socket, config.remote_bytes, text);

	if (rc)
		fail(*text ? text : "no lease from the memory node", strerror(-rc));
	rc = kona_replicas_init(&made->replicas, &made->broker,
				vfmem_bytes / made->broker.slab_bytes);
	if (rc)
		fail("store", strerror(-rc));
	made->store = &made->replicas.pool.transport;
	if (config.net_bytes_per_s) {
		kona_transport_delay_init(&made->net, made->store, config.net_latency_ns,
					  config.net_bytes_per_s);
		made->store = &made->net;
	}
	if (config.seal)
		seal_store(made);
}

/* Where reading the store is cheap, it is its own baseline. */
static enum kona_dirty_mode dirty_mode(const struct tenancy *of)
{
	bool cheap = of->broker.on_host && !config.net_bytes_per_s && !config.seal;

	return config.dirty_mode == KONA_DIRTY_LINES && cheap ? KONA_DIRTY_STORE
							      : config.dirty_mode;
}

static void open_space(struct tenancy *made)
{
	struct kona_space_options options = {
		.size_bytes = vfmem_bytes,
		.slab_bytes = made->broker.slab_bytes,
		.local_bytes = config.local_bytes,
		.dirty_mode = dirty_mode(made),
		.store = made->store,
		.stats = take_stats(),
		.grower = {grow, made, KONA_BROKER_MOST_SLABS},
	};
	int rc = kona_space_init(&made->space, &options);

	switch (rc) {
	case 0:
		return;
	case -EINVAL:
		fail("KONA_LOCAL", "too little local memory to work with");
	case -ENOMEM:
		fail("cannot reserve 1 TiB of address space", "is ulimit -v set?");
	case -EPERM:
		fail("userfaultfd is not permitted",
		     "run as root, or set vm.unprivileged_userfaultfd=1");
	case -ENOSYS:
		fail("this kernel cannot move pages", "Linux 6.8 or later is needed");
	case -EMFILE:
		fail("no descriptors are left", "raise ulimit -n");
	default:
		fail("remote memory cannot be set up", strerror(-rc));
	}
}

static void run_fabric(void *fabric)
{
	/* What libfabric allocates must not be what it is to fetch. */
	kona_alloc_enter_local();
	kona_fabric_run(fabric);
}

/* libfabric does not survive a fork: a child's memory is read by links alone. */
static void open_fabric(struct tenancy *made)
{
	pid_t tid;
	int rc;

	if (!config.fabric[0])
		return;
	rc = kona_fabric_init(&made->fabric, config.fabric_path, config.fabric);
	if (rc)
		fail("--fabric", strerror(-rc));
	if (kona_os_thread("kona-fabric", run_fabric, &made->fabric, true, &tid))
		fail("--fabric", "its thread cannot start");
	if (kona_fabric_wait_ready(&made->fabric))
		fail("--fabric", made->fabric.why);
	kona_pool_use_fabric(
		&made->replicas.pool, &made->fabric,
		&(struct kona_pool_counters){&made->space.stats->one_sided_bytes,
					     &made->space.stats->one_sided_written_bytes});
}

/* The node and the keeper hold copies of the userfaultfd: as long as one is open, missing pages
 * stop a thread instead of reading as zeros, whatever happens to ours. */
static void leave_spares(struct tenancy *made)
{
	int rc = kona_broker_hold(&made->broker, made->space.uffd);

	if (rc)
		fail("memory node", strerror(-rc));
	rc = kona_keeper_start(&made->keeper, &made->space, &made->broker);
	if (rc)
		fail("the keeper's thread cannot start", strerror(-rc));
	rc = kona_replicas_start(&made->replicas);
	if (rc)
		fail("the thread for replicas cannot start", strerror(-rc));
}

static void make_space(void)
{
	struct tenancy *made = kona_os_alloc(sizeof(*made));

	if (!made)
		fail("libkona", strerror(ENOMEM));
	open_lease(made);
	open_space(made);
	if (!is_forked)
		open_fabric(made);
	leave_spares(made);
	kona_guard_attach(&made->space);
	kona_hazard_enter(&made->space);
	kona_store_release(&tenancy, made); /* PR-1 */
}

/* --- the interface -----------------------------------------------------------------------------*/

struct kona_space *kona_process_space(void)
{
	struct tenancy *now = kona_load_acquire(&tenancy); /* PR-1: pairs with make_space() */

	return now ? &now->space : NULL;
}

struct kona_heir *kona_process_heir(void)
{
	return kona_load_relaxed(&heir); /* relaxed: changes only around fork */
}

bool kona_process_inherited(const void *address)
{
	struct kona_heir *now = kona_process_heir();

	return now && kona_heir_contains(now, address);
}

enum kona_process_state kona_process_prepare(void)
{
	if (KONA_UNLIKELY(is_due)) {
		enum kona_route before = kona_alloc_enter_local();

		is_due = false;
		make_space();
		kona_alloc_leave(before);
	}
	return kona_load_acquire(&state); /* PR-1 */
}

void kona_process_prepare_fork(void)
{
	kona_replicas_prepare_fork(&tenancy->replicas);
}

void kona_process_after_fork(void)
{
	kona_replicas_after_fork(&tenancy->replicas);
}

/* The parent's lease lives on in the socket that the child inherited: it reads that store. */
void kona_process_become_child(struct kona_heir *new_heir)
{
	kona_os_close(tenancy->keeper.death.descriptor);
	kona_replicas_in_child(&tenancy->replicas);
	kona_store_relaxed(&heir, new_heir); /* relaxed: the only thread */
	kona_store_relaxed(&tenancy, NULL);  /* relaxed: the only thread */
	kona_guard_attach(NULL);
	kona_hazard_forked();
	kona_sleepers_forked();
	is_forked = true;
	is_due = config.follow;
}

void kona_process_disinherit(void)
{
	kona_store_relaxed(&heir, NULL); /* relaxed: changes only around fork */
}

/* Priority 101: before the constructors of the program and of its libraries. */
__attribute__((constructor(101))) static void start(void)
{
	enum kona_route before = kona_alloc_enter_local();
	const char *reason;

	kona_fatal_init();
	if (kona_config_read(&config, &reason))
		fail("configuration", reason);
	if (!config.socket[0]) {
		kona_store_release(&state, KONA_PROCESS_PLAIN); /* PR-1 */
		kona_alloc_leave(KONA_ROUTE_UNDECIDED);
		return;
	}
	free(malloc(1)); /* jemalloc registers its fork handlers now, between ours */
	if (kona_fork_init_threads())
		fail("libkona", strerror(ENOMEM));
	attach_stats();
	make_space();
	kona_sleepers_begin(config.awake);
	if (!config.follow)
		kona_config_forget();
	kona_store_release(&state, KONA_PROCESS_FAR); /* PR-1 */
	kona_alloc_leave(before);
}
