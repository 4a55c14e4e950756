/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Latency models: the paper's constants, a user's file, and the AMAT formula. No state of its own;
 * the arithmetic keeps the original's order of operations, so that results agree to the last digit.
 */
#include "model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct kona_model builtin[] = {
	{"kona", 2, 9, 26, 130, 0, 0},
	{"kona-main-memory", 2, 9, 26, 82, 0, 0},
	{"legoos", 2, 9, 26, 82, 10000, 10000},
	{"infiniswap", 2, 9, 26, 82, 40000, 40000},
	{"remote-regions", 2, 9, 26, 82, 10000, 10000},
};

static const struct {
	double bytes, ns;
} rdma_read[] = {
	{64, 2420},   {128, 2460},  {256, 2540},   {512, 2600},	  {1024, 2690},	 {2048, 2850},
	{4096, 3110}, {8192, 3570}, {16384, 4650}, {32768, 6260}, {65536, 9280},
};

static const double rdma_write_line_ns = 1320;

void kona_models_builtin(struct kona_models *models)
{
	models->count = KONA_ARRAY_LEN(builtin);
	memcpy(models->model, builtin, sizeof(builtin));
}

const struct kona_model *kona_models_find(const struct kona_models *models, const char *name)
{
	for (size_t i = 0; i < models->count; i++)
		if (!strcmp(models->model[i].name, name))
			return &models->model[i];
	return NULL;
}

static int set_latency(struct kona_model *model, const char *word)
{
	const struct {
		const char *key;
		double *value;
	} keys[] = {
		{"l1", &model->l1},	    {"l2", &model->l2},
		{"l3", &model->l3},	    {"cache", &model->cache},
		{"remote", &model->remote}, {"remote_write", &model->remote_write},
	};
	const char *equals = strchr(word, '=');
	char *end;
	double value;

	if (!equals)
		return -EINVAL;
	value = strtod(equals + 1, &end);
	if (end == equals + 1 || *end || !(value >= 0 && value < 1e12))
		return -EINVAL;
	for (size_t i = 0; i < KONA_ARRAY_LEN(keys); i++) {
		if (strlen(keys[i].key) == (size_t)(equals - word) &&
		    !strncmp(keys[i].key, word, (size_t)(equals - word))) {
			*keys[i].value = value;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_line(struct kona_models *models, char *line)
{
	struct kona_model model = builtin[0];
	struct kona_model *place;
	char *rest, *word;

	line[strcspn(line, "#\n")] = 0;
	word = strtok_r(line, " \t", &rest);
	if (!word)
		return 0;
	if (strlen(word) >= sizeof(model.name))
		return -EINVAL;
	strcpy(model.name, word);
	while ((word = strtok_r(NULL, " \t", &rest)))
		if (set_latency(&model, word))
			return -EINVAL;
	place = (struct kona_model *)kona_models_find(models, model.name);
	if (!place) {
		if (models->count == KONA_MODELS_MAX)
			return -EINVAL;
		place = &models->model[models->count++];
	}
	*place = model;
	return 0;
}

int kona_models_load(struct kona_models *models, const char *path, unsigned int *ret_line)
{
	FILE *file = fopen(path, "re");
	unsigned int number = 0;
	char line[512];
	int err = 0;

	if (!file)
		return -errno;
	while (!err && fgets(line, sizeof(line), file)) {
		number++;
		err = parse_line(models, line);
	}
	fclose(file);
	if (err)
		*ret_line = number;
	return err;
}

double kona_model_rdma_read_ns(double bytes)
{
	size_t last = KONA_ARRAY_LEN(rdma_read) - 1;
	size_t i = 1;

	while (i < last && rdma_read[i].bytes < bytes)
		i++;
	return rdma_read[i - 1].ns + (bytes - rdma_read[i - 1].bytes) *
					     (rdma_read[i].ns - rdma_read[i - 1].ns) /
					     (rdma_read[i].bytes - rdma_read[i - 1].bytes);
}

double kona_model_remote_ns(const struct kona_model *model, double block_bytes)
{
	return model->remote > 0 ? model->remote : kona_model_rdma_read_ns(block_bytes);
}

static double rate(uint64_t misses, uint64_t references)
{
	return references ? (double)misses / (double)references : 0;
}

static double amat_of_side(const struct kona_model *m, const struct kona_sim_result *result,
			   const struct kona_sim_dram *cache, int writes)
{
	uint64_t refs = writes ? result->data_writes : result->data_reads;
	double m1 = rate(result->l1.misses[writes], refs);
	double m2 = rate(result->l2.misses[writes], refs);
	double m3 = rate(result->l3.misses[writes], refs);
	double remote;

	if (cache)
		return m->l1 + m1 * m->l2 + m2 * m->l3 + m3 * m->cache +
		       rate(cache->misses[writes], refs) *
			       kona_model_remote_ns(m, (double)cache->block);
	remote = kona_model_remote_ns(m, (double)result->line);
	if (writes)
		remote = m->remote_write > 0 ? m->remote_write : rdma_write_line_ns;
	return m->l1 + m1 * m->l2 + m2 * m->l3 + m3 * remote;
}

double kona_model_amat(const struct kona_model *model, const struct kona_sim_result *result,
		       const struct kona_sim_dram *cache)
{
	double reads = amat_of_side(model, result, cache, 0);
	double writes = amat_of_side(model, result, cache, 1);
	double r;

	if (!result->data_writes)
		return reads;
	r = (double)result->data_reads / (double)result->data_writes;
	return (r * reads + writes) / (1 + r);
}
