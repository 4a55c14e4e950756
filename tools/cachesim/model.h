/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Latency models and the average memory access time (AMAT) they give to a run's miss counts.
 */
#ifndef KONA_CACHESIM_MODEL_H
#define KONA_CACHESIM_MODEL_H

#include "base/compiler.h"
#include "result.h"

enum { KONA_MODEL_NAME_BYTES = 32, KONA_MODELS_MAX = 32 };

/* Nanoseconds. */
struct kona_model {
	char name[KONA_MODEL_NAME_BYTES];
	double l1, l2, l3;
	double cache;	     /* a hit in the local DRAM cache */
	double remote;	     /* a miss in it; 0: an RDMA read of the block */
	double remote_write; /* a store without a local cache; 0: an RDMA write of the line */
};

struct kona_models {
	size_t count;
	struct kona_model model[KONA_MODELS_MAX];
};

/* The paper's systems with the paper's constants. */
void kona_models_builtin(struct kona_models *models);

/*
 * Adds the models of a text file: a line per model, `NAME KEY=NS ...`, with the keys l1, l2, l3,
 * cache, remote, remote_write; what is left out is as in `kona`. `#` starts a comment. A name that
 * exists is replaced. Returns 0, -errno of opening, or -EINVAL with *ret_line the offending line.
 */
KONA_MUST_CHECK int kona_models_load(struct kona_models *models, const char *path,
				     unsigned int *ret_line);

/* NULL: no such model. */
const struct kona_model *kona_models_find(const struct kona_models *models, const char *name);

/* One-sided RDMA read of the bytes: the paper's measurements, straight lines between them. */
double kona_model_rdma_read_ns(double bytes);

/* What a miss in a DRAM cache of this block size costs. */
double kona_model_remote_ns(const struct kona_model *model, double block_bytes);

/*
 * AMAT of the data side in ns, as the original KCacheSim computes it: per type t (read, write)
 *   A_t = L1 + m_L1*L2 + m_L2*L3 + m_L3*C + m_C*R, m = misses / references of that type,
 * weighted by reads and writes. cache NULL: no local cache, every L3 miss is remote.
 */
double kona_model_amat(const struct kona_model *model, const struct kona_sim_result *result,
		       const struct kona_sim_dram *cache);

#endif
