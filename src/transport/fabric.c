/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread that libfabric lives in, and the requests to it. While some are under way, and a
 * little longer, it polls; then it sleeps until the bell rings. A user spins for as long as a read
 * takes on a fast network, then sleeps, too.
 *
 * State: the requests. No locks. What can fail: all that a network can; a request that never ends
 * is lost, for the device may yet write to its memory.
 */
#include "transport/fabric.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <locale.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/units.h"

enum {
	SPIN_NS = 20000, /* of a user, before it sleeps */
	ALONE_NS = 5000, /* of the thread, before it lets others run: a network in software, say */
	LINGER_NS = 50000, /* of the thread */
	CALM_NS = 50000,   /* between a user's looks for a free request */
	READ_BYTES = KONA_FABRIC_REQUESTS * KONA_FABRIC_MOST_BYTES,
	MEMORY_BYTES = READ_BYTES + KONA_FABRIC_STAGING_BYTES,
};

/* Looks are rare, then, at reads that were left. */
#define SLEEP_NS UINT64_C(1000000000)

enum { STARTING, WORKS, CANNOT, ENDED };

static void futex_wait(uint32_t *word, uint32_t value, uint64_t most_ns)
{
	const struct timespec most = {(time_t)(most_ns / 1000000000), (long)(most_ns % 1000000000)};

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &most, NULL, 0);
}

static void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* --- the thread --------------------------------------------------------------------------------*/

static void end_request(struct kona_fabric_request *request, int status)
{
	uint32_t state = KONA_FABRIC_FLYING;

	request->status = status;
	/* FA-1: release; a user that has left does not look at it any more. */
	if (!kona_cas_acq_rel(&request->state, &state, KONA_FABRIC_DONE))
		kona_store_release(&request->state, KONA_FABRIC_FREE); /* FA-1 */
	futex_wake(&request->state);
}

static void add_peer(struct kona_fabric *fabric, struct kona_fabric_request *request)
{
	end_request(request, fabric->ops->peer(fabric->ofi, request->address, &request->peer));
}

static int begin(struct kona_fabric *fabric, struct kona_fabric_request *request,
		 const struct kona_fabric_piece *piece)
{
	int (*const move)(struct kona_ofi *, uint64_t, void *, size_t,
			  const struct kona_ofi_region *, uint64_t, uint64_t, void *) =
		request->writes ? fabric->ops->write : fabric->ops->read;

	return move(fabric->ofi, request->peer, piece->buffer, piece->size_bytes, &fabric->region,
		    piece->there, piece->key, request);
}

/* Begins what is left of it. */
static void post(struct kona_fabric *fabric, struct kona_fabric_request *request)
{
	while (request->posted < request->count && !request->status) {
		int rc = begin(fabric, request, &request->pieces[request->posted]);

		if (rc == -EAGAIN)
			break;
		if (rc)
			request->status = rc;
		else
			request->posted++;
	}
	/* Nothing of it is under way, nor ever will be. */
	if (request->status && request->posted == request->ended)
		end_request(request, request->status);
}

/* Looks at all requests. Returns how many are under way. */
static unsigned int take_requests(struct kona_fabric *fabric)
{
	unsigned int flying = 0;

	for (int i = 0; i < KONA_FABRIC_REQUESTS; i++) {
		struct kona_fabric_request *request = &fabric->requests[i];
		uint32_t state = kona_load_acquire(&request->state); /* FA-1 */

		if (state == KONA_FABRIC_FILLED &&
		    kona_cas_acq_rel(&request->state, &state, KONA_FABRIC_FLYING)) /* FA-1 */
			state = KONA_FABRIC_FLYING;
		if (state == KONA_FABRIC_LEFT && !request->status)
			request->status = -ETIMEDOUT; /* nothing more of it begins */
		if (state == KONA_FABRIC_FLYING && request->address_bytes)
			add_peer(fabric, request);
		else if (state == KONA_FABRIC_FLYING || state == KONA_FABRIC_LEFT)
			post(fabric, request);
		flying += state == KONA_FABRIC_FLYING;
	}
	return flying;
}

/* Returns whether something had ended. */
static bool take_ends(struct kona_fabric *fabric)
{
	struct kona_fabric_request *request;
	bool some = false;
	void *context;
	int status;

	while (fabric->ops->poll(fabric->ofi, &context, &status) == 1) {
		some = true;
		request = context;
		request->ended++;
		if (status && !request->status)
			request->status = status;
		if (request->ended == request->posted &&
		    (request->status || request->posted == request->count))
			end_request(request, request->status);
	}
	return some;
}

static int open_endpoint(struct kona_fabric *fabric)
{
	int rc = fabric->ops->open(fabric->provider, NULL, false, &fabric->ofi);

	if (!rc)
		rc = fabric->ops->expose(fabric->ofi, fabric->memory, MEMORY_BYTES, KONA_OFI_OURS,
					 &fabric->region);
	if (!rc)
		return 0;
	snprintf(fabric->why, sizeof(fabric->why), "%s: no endpoint: %s%s", fabric->provider,
		 strerror(-rc), rc == -ENOMEM ? " (is ulimit -l too low?)" : "");
	if (fabric->ofi)
		fabric->ops->close(fabric->ofi);
	fabric->ofi = NULL;
	return rc;
}

/*
 * All at the start: later, the environment and the locale, which libc and libfabric look at, may
 * stand in the very memory that is to be fetched. So the thread also has a locale of its own.
 */
static int start(struct kona_fabric *fabric)
{
	int rc;

	uselocale(newlocale(LC_ALL_MASK, "C", NULL));
	rc = kona_ofi_load(fabric->path, &fabric->ops, fabric->why, sizeof(fabric->why));
	if (rc)
		return rc;
	rc = fabric->ops->probe(fabric->provider);
	if (!rc)
		return open_endpoint(fabric);
	snprintf(fabric->why, sizeof(fabric->why), "%s: %s", fabric->provider,
		 rc == -EINVAL ? "no such provider (there are verbs, efa and tcp)"
			       : "libfabric finds no device for it on this host");
	return rc;
}

static void tell_ready(struct kona_fabric *fabric, uint32_t how)
{
	kona_store_release(&fabric->ready, how); /* FA-3: release */
	futex_wake(&fabric->ready);
}

static void sleep_until_rung(struct kona_fabric *fabric, uint32_t bell)
{
	kona_exchange_acq_rel(&fabric->sleeps, 1); /* FA-4: release, pairs with ring() */
	futex_wait(&fabric->bell, bell, SLEEP_NS);
	kona_store_release(&fabric->sleeps, 0); /* FA-4 */
}

void kona_fabric_run(void *with)
{
	struct kona_fabric *fabric = with;
	unsigned int was_flying = 0;
	int rc = start(fabric);

	tell_ready(fabric, rc ? CANNOT : WORKS);
	while (!rc && !kona_load_relaxed(&fabric->stop)) { /* relaxed: rung after it was set */
		/* FA-2: acquire, pairs with the release in submit(): what is rung for is seen */
		uint32_t bell = kona_load_acquire(&fabric->bell);
		unsigned int flying = take_requests(fabric);
		bool some = take_ends(fabric);
		uint64_t now_ns = kona_now_ns();

		if (some || flying != was_flying)
			fabric->moved_ns = now_ns;
		was_flying = flying;
		if (!flying && now_ns - fabric->moved_ns > LINGER_NS)
			sleep_until_rung(fabric, bell);
		else if (now_ns - fabric->moved_ns > ALONE_NS)
			sched_yield();
	}
	if (fabric->ofi) {
		fabric->ops->hide(&fabric->region);
		fabric->ops->close(fabric->ofi);
	}
	tell_ready(fabric, rc ? CANNOT : ENDED);
}

/* --- users -------------------------------------------------------------------------------------*/

static struct kona_fabric_request *take_request(struct kona_fabric *fabric, uint64_t deadline_ns)
{
	uint32_t never = 0;

	do {
		for (int i = 0; i < KONA_FABRIC_REQUESTS; i++) {
			struct kona_fabric_request *request = &fabric->requests[i];
			uint32_t state = KONA_FABRIC_FREE;

			/* FA-1: acquire-release */
			if (kona_cas_acq_rel(&request->state, &state, KONA_FABRIC_TAKEN)) {
				request->status = 0;
				request->count = request->posted = request->ended = 0;
				request->address_bytes = 0;
				return request;
			}
		}
		futex_wait(&never, 0, CALM_NS);
	} while (kona_now_ns() < deadline_ns);
	return NULL;
}

/*
 * FA-2: release. Either we see that it sleeps, or it sees the bell before it does: both are
 * read-modify-writes, which this machine keeps in order with what follows.
 */
static void ring(struct kona_fabric *fabric)
{
	kona_add_acq_rel(&fabric->bell, 1);
	if (kona_load_acquire(&fabric->sleeps)) /* FA-4 */
		futex_wake(&fabric->bell);
}

static void submit(struct kona_fabric *fabric, struct kona_fabric_request *request)
{
	kona_store_release(&request->state, KONA_FABRIC_FILLED); /* FA-1: release */
	ring(fabric);
}

/*
 * Waits for its end. False: it was not in time; from then on the request is the thread's, which
 * frees it once the device is through with its memory.
 */
static bool wait_for(struct kona_fabric_request *request, uint64_t deadline_ns)
{
	uint64_t start_ns = kona_now_ns();

	for (;;) {
		uint32_t state = kona_load_acquire(&request->state); /* FA-1: acquire */
		uint64_t now_ns;

		if (state == KONA_FABRIC_DONE)
			return true;
		now_ns = kona_now_ns();
		if (now_ns >= deadline_ns) {
			/* FA-1: release */
			if (kona_cas_acq_rel(&request->state, &state, KONA_FABRIC_LEFT))
				return false;
		} else if (now_ns - start_ns > SPIN_NS) {
			futex_wait(&request->state, state, deadline_ns - now_ns);
		}
	}
}

int kona_fabric_add_peer(struct kona_fabric *fabric, const void *address, uint32_t address_bytes,
			 uint64_t deadline_ns, uint64_t *ret_peer)
{
	struct kona_fabric_request *request = take_request(fabric, deadline_ns);
	int rc;

	if (!request)
		return -EBUSY;
	memcpy(request->address, address, sizeof(request->address));
	request->address_bytes = address_bytes;
	submit(fabric, request);
	if (!wait_for(request, deadline_ns))
		return -ETIMEDOUT;
	rc = request->status;
	if (!rc)
		*ret_peer = request->peer;
	kona_store_release(&request->state, KONA_FABRIC_FREE); /* FA-1: release */
	return rc;
}

/* As many pieces as one request takes. */
static size_t fill(struct kona_fabric_request *request, const struct kona_fabric_piece *pieces,
		   size_t count)
{
	uint32_t at_bytes = 0, taken = 0;

	while (taken < count && taken < KONA_FABRIC_MOST_PIECES &&
	       (request->writes || at_bytes + pieces[taken].size_bytes <= KONA_FABRIC_MOST_BYTES)) {
		request->pieces[taken] = pieces[taken];
		if (!request->writes)
			request->pieces[taken].buffer = request->memory + at_bytes;
		at_bytes += pieces[taken++].size_bytes;
	}
	request->count = taken;
	return taken;
}

static int move_all(struct kona_fabric *fabric, uint64_t peer, bool writes,
		    const struct kona_fabric_piece *pieces, size_t count, uint64_t deadline_ns)
{
	while (count) {
		struct kona_fabric_request *request = take_request(fabric, deadline_ns);
		size_t taken;
		int rc;

		if (!request)
			return -EBUSY;
		request->writes = writes;
		request->peer = peer;
		taken = fill(request, pieces, count);
		submit(fabric, request);
		if (!wait_for(request, deadline_ns))
			return -ETIMEDOUT;
		rc = request->status;
		for (size_t i = 0; i < taken && !rc && !writes; i++)
			memcpy(pieces[i].buffer, request->pieces[i].buffer, pieces[i].size_bytes);
		kona_store_release(&request->state, KONA_FABRIC_FREE); /* FA-1: release */
		if (rc)
			return rc;
		pieces += taken;
		count -= taken;
	}
	return 0;
}

int kona_fabric_read(struct kona_fabric *fabric, uint64_t peer,
		     const struct kona_fabric_piece *pieces, size_t count, uint64_t deadline_ns)
{
	return move_all(fabric, peer, false, pieces, count, deadline_ns);
}

int kona_fabric_write(struct kona_fabric *fabric, uint64_t peer,
		      const struct kona_fabric_piece *pieces, size_t count, uint64_t deadline_ns)
{
	return move_all(fabric, peer, true, pieces, count, deadline_ns);
}

/* --- start and end -----------------------------------------------------------------------------*/

int kona_fabric_init(struct kona_fabric *fabric, const char *path, const char *provider)
{
	memset(fabric, 0, sizeof(*fabric));
	snprintf(fabric->path, sizeof(fabric->path), "%s", path);
	snprintf(fabric->provider, sizeof(fabric->provider), "%s", provider);
	if (getrandom(fabric->realm, sizeof(fabric->realm), 0) != sizeof(fabric->realm))
		return -EIO;
	fabric->memory =
		mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fabric->memory == MAP_FAILED)
		return -ENOMEM;
	/* A child has no use for it, and must not make us copy pages that the device knows. */
	madvise(fabric->memory, MEMORY_BYTES, MADV_DONTFORK);
	for (int i = 0; i < KONA_FABRIC_REQUESTS; i++)
		fabric->requests[i].memory = fabric->memory + i * KONA_FABRIC_MOST_BYTES;
	fabric->staging = fabric->memory + READ_BYTES;
	return 0;
}

static uint32_t wait_while(struct kona_fabric *fabric, uint32_t how)
{
	uint32_t now;

	/* FA-3: acquire, pairs with the release in tell_ready() */
	while ((now = kona_load_acquire(&fabric->ready)) == how)
		futex_wait(&fabric->ready, how, SLEEP_NS);
	return now;
}

int kona_fabric_wait_ready(struct kona_fabric *fabric)
{
	return wait_while(fabric, STARTING) == WORKS ? 0 : -ENODEV;
}

void kona_fabric_stop(struct kona_fabric *fabric)
{
	kona_store_relaxed(&fabric->stop, true); /* relaxed: rung below */
	ring(fabric);
	wait_while(fabric, WORKS);
	munmap(fabric->memory, MEMORY_BYTES);
}
