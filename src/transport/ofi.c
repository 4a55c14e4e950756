/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libkona-ofi.so: one-sided reads and writes by libfabric. All that knows of libfabric is here.
 *
 * "verbs" (InfiniBand, RoCE) and "tcp" have connections only; libfabric's rxm makes datagrams of
 * them. With verbs the peer's processor has no part in a read once the connection stands; with tcp
 * its library answers, so that a serving endpoint wants somebody in wait() all the time.
 *
 * State: an endpoint's. Locks: libfabric's own, for a serving endpoint. What can fail: the network,
 * the device, its limits (locked memory).
 */
#include "transport/ofi.h"

#include <errno.h>
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define API FI_VERSION(1, 17)

struct kona_ofi {
	struct fi_info *info;
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_av *peers;
	struct fid_cq *ended;
	struct fid_ep *endpoint;
};

static const struct {
	const char *ours, *theirs;
} providers[] = {{"verbs", "verbs;ofi_rxm"}, {"efa", "efa"}, {"tcp", "tcp;ofi_rxm"}};

/* What we ask for: the modes are those that the code below handles. */
static struct fi_info *make_hints(const char *provider, bool serves)
{
	struct fi_info *hints = fi_allocinfo();
	const char *name = NULL;

	for (size_t i = 0; i < KONA_ARRAY_LEN(providers); i++)
		if (!strcmp(providers[i].ours, provider))
			name = providers[i].theirs;
	if (hints && name)
		hints->fabric_attr->prov_name = strdup(name);
	if (!hints || !hints->fabric_attr->prov_name) {
		if (hints)
			fi_freeinfo(hints);
		return NULL;
	}
	hints->caps = FI_RMA | FI_MSG;
	hints->ep_attr->type = FI_EP_RDM;
	hints->domain_attr->mr_mode =
		FI_MR_LOCAL | FI_MR_ALLOCATED | FI_MR_VIRT_ADDR | FI_MR_PROV_KEY;
	hints->domain_attr->threading = serves ? FI_THREAD_SAFE : FI_THREAD_DOMAIN;
	hints->domain_attr->control_progress = FI_PROGRESS_MANUAL;
	hints->domain_attr->data_progress = FI_PROGRESS_MANUAL;
	return hints;
}

static int find(const char *provider, const char *node, bool serves, struct fi_info **ret_info)
{
	struct fi_info *hints = make_hints(provider, serves);
	int rc;

	if (!hints)
		return -EINVAL;
	/* Other providers' addresses are no numbers that people write. */
	if (!strcmp(provider, "efa"))
		node = NULL;
	else
		hints->addr_format = node && strchr(node, ':') ? FI_SOCKADDR_IN6 : FI_SOCKADDR_IN;
	rc = fi_getinfo(API, node, NULL, node && serves ? FI_SOURCE : 0, hints, ret_info);
	fi_freeinfo(hints);
	return rc ? -ENODEV : 0;
}

static int probe(const char *provider)
{
	struct fi_info *info = NULL;
	int rc = find(provider, NULL, false, &info);

	if (!rc)
		fi_freeinfo(info);
	return rc;
}

static void close_fid(struct fid *fid)
{
	if (fid)
		fi_close(fid);
}

static void close_all(struct kona_ofi *ofi)
{
	close_fid(ofi->endpoint ? &ofi->endpoint->fid : NULL);
	close_fid(ofi->ended ? &ofi->ended->fid : NULL);
	close_fid(ofi->peers ? &ofi->peers->fid : NULL);
	close_fid(ofi->domain ? &ofi->domain->fid : NULL);
	close_fid(ofi->fabric ? &ofi->fabric->fid : NULL);
	if (ofi->info)
		fi_freeinfo(ofi->info);
	free(ofi);
}

static int open_endpoint(struct kona_ofi *ofi, bool serves)
{
	struct fi_cq_attr ended = {.format = FI_CQ_FORMAT_CONTEXT,
				   .wait_obj = serves ? FI_WAIT_UNSPEC : FI_WAIT_NONE};
	struct fi_av_attr peers = {.type = FI_AV_UNSPEC};
	int rc = fi_fabric(ofi->info->fabric_attr, &ofi->fabric, NULL);

	if (!rc)
		rc = fi_domain(ofi->fabric, ofi->info, &ofi->domain, NULL);
	if (!rc)
		rc = fi_av_open(ofi->domain, &peers, &ofi->peers, NULL);
	if (!rc)
		rc = fi_cq_open(ofi->domain, &ended, &ofi->ended, NULL);
	if (!rc)
		rc = fi_endpoint(ofi->domain, ofi->info, &ofi->endpoint, NULL);
	if (!rc)
		rc = fi_ep_bind(ofi->endpoint, &ofi->peers->fid, 0);
	if (!rc)
		rc = fi_ep_bind(ofi->endpoint, &ofi->ended->fid, FI_TRANSMIT | FI_RECV);
	if (!rc)
		rc = fi_enable(ofi->endpoint);
	return rc;
}

/* With this device, which is taken over. */
static int open_with(struct fi_info *info, bool serves, struct kona_ofi **ret_ofi)
{
	struct kona_ofi *ofi = calloc(1, sizeof(*ofi));
	int rc;

	if (!ofi) {
		fi_freeinfo(info);
		return -ENOMEM;
	}
	ofi->info = info;
	rc = open_endpoint(ofi, serves);
	if (rc) {
		close_all(ofi);
		return rc;
	}
	*ret_ofi = ofi;
	return 0;
}

static int open_ofi(const char *provider, const char *node, bool serves, struct kona_ofi **ret_ofi)
{
	struct fi_info *info;
	int rc = find(provider, node, serves, &info);

	return rc ? rc : open_with(info, serves, ret_ofi);
}

static int open_another(const struct kona_ofi *like, struct kona_ofi **ret_ofi)
{
	struct fi_info *info = fi_dupinfo(like->info);

	return info ? open_with(info, true, ret_ofi) : -ENOMEM;
}

static int name(struct kona_ofi *ofi, void *ret_address, size_t *bytes)
{
	return fi_getname(&ofi->endpoint->fid, ret_address, bytes);
}

/* --- memory ------------------------------------------------------------------------------------*/

/* Not to be guessed, where we may choose it. */
static uint64_t choose_key(const struct kona_ofi *ofi)
{
	size_t key_bytes = ofi->info->domain_attr->mr_key_size;
	uint64_t key = 0;

	if (getrandom(&key, key_bytes < sizeof(key) ? key_bytes : sizeof(key), 0) < 0)
		return 0;
	return key;
}

static int expose(struct kona_ofi *ofi, void *memory, size_t size_bytes,
		  enum kona_ofi_access access, struct kona_ofi_region *ret_region)
{
	/*
	 * FI_READ, which lets nobody in, makes the device ask for writable pages: else a page that
	 * was never written would be registered as the page of zeros that all share.
	 */
	static const uint64_t flags[] = {
		[KONA_OFI_OURS] = FI_READ | FI_WRITE,
		[KONA_OFI_READABLE] = FI_READ | FI_REMOTE_READ,
		[KONA_OFI_WRITABLE] = FI_READ | FI_REMOTE_WRITE,
	};
	struct fid_mr *region;
	int rc = fi_mr_reg(ofi->domain, memory, size_bytes, flags[access], 0, choose_key(ofi), 0,
			   &region, NULL);

	if (rc)
		return rc;
	ret_region->handle = region;
	ret_region->key = fi_mr_key(region);
	ret_region->base =
		ofi->info->domain_attr->mr_mode & FI_MR_VIRT_ADDR ? (uintptr_t)memory : 0;
	ret_region->local = fi_mr_desc(region);
	return 0;
}

static void hide(struct kona_ofi_region *region)
{
	struct fid_mr *handle = region->handle;

	if (handle)
		fi_close(&handle->fid);
	region->handle = NULL;
}

/* --- reads and writes --------------------------------------------------------------------------*/

static int peer(struct kona_ofi *ofi, const void *address, uint64_t *ret_peer)
{
	fi_addr_t added;

	if (fi_av_insert(ofi->peers, address, 1, &added, 0, NULL) != 1)
		return -EINVAL;
	*ret_peer = added;
	return 0;
}

static int begin_read(struct kona_ofi *ofi, uint64_t from_peer, void *to, size_t size_bytes,
		      const struct kona_ofi_region *local, uint64_t from, uint64_t key,
		      void *context)
{
	return (int)fi_read(ofi->endpoint, to, size_bytes, local->local, from_peer, from, key,
			    context);
}

/* A plain fi_write may end before the bytes are in the peer's memory. */
static int begin_write(struct kona_ofi *ofi, uint64_t to_peer, void *from, size_t size_bytes,
		       const struct kona_ofi_region *local, uint64_t to, uint64_t key,
		       void *context)
{
	const struct iovec here = {from, size_bytes};
	const struct fi_rma_iov there = {to, size_bytes, key};
	void *descriptor = local->local;
	const struct fi_msg_rma message = {.msg_iov = &here,
					   .desc = &descriptor,
					   .iov_count = 1,
					   .addr = to_peer,
					   .rma_iov = &there,
					   .rma_iov_count = 1,
					   .context = context};

	return (int)fi_writemsg(ofi->endpoint, &message, FI_COMPLETION | FI_DELIVERY_COMPLETE);
}

static int poll_ended(struct kona_ofi *ofi, void **ret_context, int *ret_status)
{
	struct fi_cq_err_entry failed = {0};
	struct fi_cq_entry entry;
	ssize_t got = fi_cq_read(ofi->ended, &entry, 1);

	if (got == 1) {
		*ret_context = entry.op_context;
		*ret_status = 0;
		return 1;
	}
	if (got != -FI_EAVAIL || fi_cq_readerr(ofi->ended, &failed, 0) != 1)
		return 0;
	*ret_context = failed.op_context;
	*ret_status = failed.err > 0 && failed.err < FI_ERRNO_OFFSET ? -failed.err : -EIO;
	return 1;
}

static void wait_for_peers(struct kona_ofi *ofi, int most_ms)
{
	struct fi_cq_err_entry failed = {0};
	struct fi_cq_entry entry;

	/* Nothing of ours ends here; what fails is a peer's. */
	if (fi_cq_sread(ofi->ended, &entry, 1, NULL, most_ms) == -FI_EAVAIL)
		fi_cq_readerr(ofi->ended, &failed, 0);
}

KONA_PUBLIC const struct kona_ofi_ops kona_ofi_ops = {
	.version = KONA_OFI_VERSION,
	.probe = probe,
	.open = open_ofi,
	.another = open_another,
	.name = name,
	.expose = expose,
	.hide = hide,
	.peer = peer,
	.read = begin_read,
	.write = begin_write,
	.poll = poll_ended,
	.wait = wait_for_peers,
	.close = close_all,
};
