/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Catches: a packet of another protocol, version, length or range that passes for a request.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/broker-check.h"

static union kona_broker_request make(enum kona_broker_type type)
{
	union kona_broker_request request;

	memset(&request, 0, sizeof(request));
	request.header.magic = KONA_BROKER_MAGIC;
	request.header.version = KONA_BROKER_VERSION;
	request.header.type = (uint16_t)type;
	if (type == KONA_BROKER_GRANT)
		request.grant.count = 1;
	return request;
}

static const struct {
	enum kona_broker_type type;
	size_t size_bytes;
} requests[] = {{KONA_BROKER_ASK, sizeof(struct kona_broker_ask)},
		{KONA_BROKER_HELLO, sizeof(struct kona_broker_hello)},
		{KONA_BROKER_HOLD, sizeof(struct kona_broker_hold)},
		{KONA_BROKER_GRANT, sizeof(struct kona_broker_grant)},
		{KONA_BROKER_LINK, sizeof(struct kona_broker_link)}};

static int check(const union kona_broker_request *request, size_t size_bytes)
{
	const char *why = NULL;
	int rc = kona_broker_check(request, size_bytes, &why);

	assert_true(rc ? why && why[0] : !why);
	return rc;
}

static void requests_pass_in_their_own_length_only(void **state)
{
	for (size_t i = 0; i < KONA_ARRAY_LEN(requests); i++) {
		union kona_broker_request request = make(requests[i].type);

		for (size_t size = 0; size <= sizeof(request) + 8; size++)
			assert_int_equal(check(&request, size),
					 size == requests[i].size_bytes ? 0 : -EPROTO);
	}
}

static void other_headers_are_refused(void **state)
{
	for (size_t i = 0; i < KONA_ARRAY_LEN(requests); i++) {
		union kona_broker_request request = make(requests[i].type);

		request.header.magic++;
		assert_int_equal(check(&request, requests[i].size_bytes), -EPROTO);
		request = make(requests[i].type);
		request.header.version++;
		assert_int_equal(check(&request, requests[i].size_bytes), -EPROTO);
		for (unsigned int type = 0; type <= UINT16_MAX; type++) {
			request = make(requests[i].type);
			request.header.type = (uint16_t)type;
			if (type != requests[i].type &&
			    check(&request, requests[i].size_bytes) == 0)
				/* These have one length; a HOLD of zeros is no GRANT. */
				assert_true(type == KONA_BROKER_HOLD || type == KONA_BROKER_LINK ||
					    type == KONA_BROKER_ASK);
		}
	}
}

static void fields_out_of_range_are_refused(void **state)
{
	union kona_broker_request request = make(KONA_BROKER_HELLO);

	memset(request.hello.program, 'x', sizeof(request.hello.program));
	assert_int_equal(check(&request, sizeof(request.hello)), -EPROTO);
	request = make(KONA_BROKER_HELLO);
	request.hello.reserved = 1;
	assert_int_equal(check(&request, sizeof(request.hello)), -EPROTO);
	request = make(KONA_BROKER_ASK);
	request.ask.reserved = 1;
	assert_int_equal(check(&request, sizeof(request.ask)), -EPROTO);
	request = make(KONA_BROKER_HOLD);
	request.hold.status = -1;
	assert_int_equal(check(&request, sizeof(request.hold)), -EPROTO);
	for (uint32_t count = 0; count < 40; count++) {
		request = make(KONA_BROKER_GRANT);
		request.grant.count = count;
		assert_int_equal(check(&request, sizeof(request.grant)),
				 count && count <= KONA_BROKER_MOST_SLABS ? 0 : -EPROTO);
	}
	request.grant.count = UINT32_MAX;
	assert_int_equal(check(&request, sizeof(request.grant)), -EPROTO);
	request = make(KONA_BROKER_GRANT);
	request.grant.reserved = 1;
	assert_int_equal(check(&request, sizeof(request.grant)), -EPROTO);
}

static void reports_are_checked(void **state)
{
	struct kona_broker_report report = {
		.header = {KONA_BROKER_MAGIC, KONA_BROKER_VERSION, KONA_BROKER_TAKEN}};
	const char *why = NULL;

	assert_int_equal(kona_broker_check_report(&report, sizeof(report), &why), 0);
	report.header.type = KONA_BROKER_LOST;
	assert_int_equal(kona_broker_check_report(&report, sizeof(report), &why), 0);
	assert_int_equal(kona_broker_check_report(&report, sizeof(report) - 1, &why), -EPROTO);
	report.header.type = KONA_BROKER_SET;
	assert_int_equal(kona_broker_check_report(&report, sizeof(report), &why), -EPROTO);
	assert_non_null(why);
}

/* For the sanitizers: reads nothing beyond the packet, which lies at the end of its memory. */
static void noise_is_survived(void **state)
{
	srandom(7);
	for (int round = 0; round < 20000; round++) {
		size_t size = (size_t)random() % (sizeof(union kona_broker_request) + 1);
		union kona_broker_request *request = calloc(1, sizeof(*request));

		assert_non_null(request);
		for (size_t i = 0; i < size; i++)
			((unsigned char *)request)[i] = (unsigned char)random();
		if (round & 1)
			*request = make((enum kona_broker_type)(random() % 8));
		(void)check(request, size);
		free(request);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_pass_in_their_own_length_only),
		cmocka_unit_test(other_headers_are_refused),
		cmocka_unit_test(fields_out_of_range_are_refused),
		cmocka_unit_test(reports_are_checked),
		cmocka_unit_test(noise_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
