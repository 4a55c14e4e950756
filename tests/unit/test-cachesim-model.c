/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Latency models: the original's formula to the last digit, the models' file, the sweep's tables.
 * It would catch a changed constant, order of operations, or a typo that a file gets away with.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model.h"
#include "sweep.h"

static const struct kona_sim_result result = {
	.data_reads = 294490319,
	.data_writes = 137959904,
	.line = 64,
	.l1 = {.misses = {2455468, 996971}},
	.l2 = {.misses = {1682647, 667442}},
	.l3 = {.misses = {866789, 423615}},
};
static const struct kona_sim_dram cache = {
	.size = 8 << 20, .block = 4096, .ways = 4, .misses = {40211, 20333}};

/* Expected values: the same formula in Python, printed with repr(). */
static void test_amat_of_original(void **state)
{
	struct kona_models models;

	kona_models_builtin(&models);
	assert_true(kona_model_amat(kona_models_find(&models, "kona"), &result, &cache) ==
		    3.036462929515011);
	assert_true(kona_model_amat(kona_models_find(&models, "legoos"), &result, &cache) ==
		    3.8578494131103733);
	assert_true(kona_model_amat(kona_models_find(&models, "infiniswap"), &result, &cache) ==
		    8.057916619457957);
	assert_true(kona_model_amat(kona_models_find(&models, "kona"), &result, NULL) ==
		    8.356744195736026);
}

static void test_rdma_read(void **state)
{
	assert_true(kona_model_rdma_read_ns(64) == 2420);
	assert_true(kona_model_rdma_read_ns(4096) == 3110);
	assert_true(kona_model_rdma_read_ns(65536) == 9280);
	assert_true(kona_model_rdma_read_ns(2 << 20) > kona_model_rdma_read_ns(1 << 20));
}

static int load(const char *text, struct kona_models *models, unsigned int *line)
{
	char path[] = "/tmp/test-models-XXXXXX";
	int fd = mkstemp(path);
	int err;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	kona_models_builtin(models);
	err = kona_models_load(models, path, line);
	unlink(path);
	return err;
}

static void test_models_file(void **state)
{
	struct kona_models models;
	unsigned int line = 0;

	assert_int_equal(load("# mine\nslow remote=20000 cache=90\n\nkona l1=1\n", &models, &line),
			 0);
	assert_int_equal(models.count, 6);
	assert_true(kona_models_find(&models, "slow")->remote == 20000);
	assert_true(kona_models_find(&models, "slow")->l2 == 9);
	assert_true(kona_models_find(&models, "kona")->l1 == 1);
	assert_int_equal(load("a remote=1\nb remte=5\n", &models, &line), -EINVAL);
	assert_int_equal(line, 2);
	assert_int_equal(load("a remote=fast\n", &models, &line), -EINVAL);
	assert_int_equal(load("a remote=-1\n", &models, &line), -EINVAL);
	assert_int_equal(kona_models_load(&models, "/nonexistent", &line), -ENOENT);
}

static void test_sweep(void **state)
{
	struct kona_sweep sweep = {{2, {1 << 20, 3 << 20}}, {1, {4096}}, {2, {1, 4}}};
	char *text = NULL;

	assert_int_equal(kona_sweep_stacks(&sweep, &text), 0);
	assert_string_equal(text, "4096:256,4096:64,4096:768,4096:192");
	free(text);
	sweep.blocks.value[0] = 3000;
	assert_int_equal(kona_sweep_stacks(&sweep, &text), -EINVAL);
	sweep.blocks.value[0] = 4096;
	sweep.ways.value[0] = 17;
	assert_int_equal(kona_sweep_stacks(&sweep, &text), -EINVAL);
	assert_int_equal(kona_sweep_list_parse("1K,,x", &sweep.ways), -EINVAL);
	assert_int_equal(kona_sweep_list_parse("", &sweep.ways), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_amat_of_original),
		cmocka_unit_test(test_rdma_read),
		cmocka_unit_test(test_models_file),
		cmocka_unit_test(test_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
