/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state in etcd, for several controllers of which one leads.
 *
 * Whoever makes the key kona/leader leads; the key hangs on a lease of LEASE_SECONDS that is
 * renewed every second, so it vanishes when its controller does. Every commit is a transaction on
 * the condition that the key is still the one that this controller made: one that was paused and
 * replaced changes nothing more, whatever it believes. Who takes over loads after its key was made,
 * hence sees every commit of the one before.
 *
 *   kona/leader      -> the leader's address
 *   kona/r/KIND/ID   -> a record; ID with 19 digits, so that they come in order
 *
 * What can fail: etcd. A commit without an answer may have been done: the caller loads again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "rack/etcd.h"
#include "rack/store.h"

enum {
	LEASE_SECONDS = 2,
	PAGE_RECORDS = 2000,
};

#define RENEW_NS UINT64_C(700000000)
/* Counted from before a renewal was asked for; less than the lease, for clocks that drift. */
#define LEADS_NS     UINT64_C(1800000000)
#define LEADER_KEY   "kona/leader"
#define RECORDS_FROM "kona/r/"
#define RECORDS_TO   "kona/r0" /* the first key that does not begin with kona/r/ */

struct etcd_store {
	struct kona_rack_store store;
	struct kona_etcd *etcd;
	char self[128];
	int64_t lease, revision; /* 0: none; of our leader's key: 0: we do not lead */
	uint64_t renewed_ns;
};

static struct etcd_store *of(struct kona_rack_store *store)
{
	return (struct etcd_store *)store;
}

static int call(struct etcd_store *s, const char *path, json_t *body, json_t **ret_reply)
{
	return kona_etcd_call(s->etcd, path, body, ret_reply, s->store.why, sizeof(s->store.why));
}

static int get_lease(struct etcd_store *s, uint64_t now_ns)
{
	json_t *reply;

	if (call(s, "/v3/lease/grant", json_pack("{s:o}", "TTL", kona_etcd_number(LEASE_SECONDS)),
		 &reply))
		return -EIO;
	s->lease = kona_etcd_number_of(reply, "ID");
	s->renewed_ns = now_ns;
	json_decref(reply);
	return s->lease ? 0 : -EIO;
}

/* A lease that has run out is forgotten, and with it the leadership. */
static int renew(struct etcd_store *s, uint64_t now_ns)
{
	json_t *reply;

	if (now_ns - s->renewed_ns < RENEW_NS)
		return 0;
	if (call(s, "/v3/lease/keepalive", json_pack("{s:o}", "ID", kona_etcd_number(s->lease)),
		 &reply))
		return -EIO;
	if (kona_etcd_number_of(json_object_get(reply, "result"), "TTL") > 0)
		s->renewed_ns = now_ns;
	else
		s->lease = s->revision = 0;
	json_decref(reply);
	if (s->lease)
		return 0;
	snprintf(s->store.why, sizeof(s->store.why),
		 "another controller leads, or soon will: this one was paused");
	return -EIO;
}

static json_t *leader_is(int64_t revision)
{
	return json_pack("{s:o, s:s, s:o}", "key", kona_etcd_text(LEADER_KEY), "target", "CREATE",
			 "create_revision", kona_etcd_number(revision));
}

/* Who leads, from the answer to a try that failed. */
static void read_leader(struct etcd_store *s, const json_t *reply)
{
	const json_t *first = json_array_get(json_object_get(reply, "responses"), 0);
	const json_t *kvs = json_object_get(json_object_get(first, "response_range"), "kvs");
	char *leader = kona_etcd_text_of(json_array_get(kvs, 0), "value");

	snprintf(s->store.why, sizeof(s->store.why), "the controller at %s leads",
		 leader ? leader : "?");
	free(leader);
}

static void try_to_lead(struct etcd_store *s)
{
	json_t *put =
		json_pack("{s:{s:o, s:o, s:o}}", "request_put", "key", kona_etcd_text(LEADER_KEY),
			  "value", kona_etcd_text(s->self), "lease", kona_etcd_number(s->lease));
	json_t *get = json_pack("{s:{s:o}}", "request_range", "key", kona_etcd_text(LEADER_KEY));
	json_t *reply;

	if (call(s, "/v3/kv/txn",
		 json_pack("{s:[o], s:[o], s:[o]}", "compare", leader_is(0), "success", put,
			   "failure", get),
		 &reply))
		return;
	if (json_is_true(json_object_get(reply, "succeeded")))
		s->revision = kona_etcd_number_of(json_object_get(reply, "header"), "revision");
	else
		read_leader(s, reply);
	json_decref(reply);
}

static int etcd_tick(struct kona_rack_store *store, uint64_t now_ns)
{
	struct etcd_store *s = of(store);

	if (s->lease ? renew(s, now_ns) : get_lease(s, now_ns)) {
		/* Leads on as long as nobody else can have begun to. */
		if (now_ns - s->renewed_ns >= LEADS_NS)
			s->lease = s->revision = 0;
		return s->revision != 0;
	}
	if (!s->revision)
		try_to_lead(s);
	return s->revision != 0;
}

static json_t *record_key(const struct kona_record *record)
{
	char key[64];

	snprintf(key, sizeof(key), RECORDS_FROM "%d/%019" PRId64, (int)record->kind, record->id);
	return kona_etcd_text(key);
}

static int commit_part(struct etcd_store *s, const struct kona_record *records, size_t count)
{
	json_t *operations = json_array(), *reply;
	bool succeeded;

	for (size_t i = 0; i < count; i++) {
		json_t *key = record_key(&records[i]);

		json_array_append_new(
			operations,
			records[i].value
				? json_pack("{s:{s:o, s:o}}", "request_put", "key", key, "value",
					    kona_etcd_text(records[i].value))
				: json_pack("{s:{s:o}}", "request_delete_range", "key", key));
	}
	if (json_array_size(operations) != count) {
		json_decref(operations);
		return -ENOMEM;
	}
	if (call(s, "/v3/kv/txn",
		 json_pack("{s:[o], s:o}", "compare", leader_is(s->revision), "success",
			   operations),
		 &reply))
		return -EIO;
	succeeded = json_is_true(json_object_get(reply, "succeeded"));
	json_decref(reply);
	if (succeeded)
		return 0;
	s->revision = 0;
	snprintf(s->store.why, sizeof(s->store.why), "another controller leads now");
	return -EAGAIN;
}

static int etcd_commit(struct kona_rack_store *store, const struct kona_record *records,
		       size_t count)
{
	int rc = 0;

	for (size_t done = 0; done < count && !rc; done += KONA_STORE_ATOMIC)
		rc = commit_part(of(store), records + done,
				 count - done < KONA_STORE_ATOMIC ? count - done
								  : KONA_STORE_ATOMIC);
	return rc;
}

static int take_one(const json_t *pair, kona_record_take *take, void *with)
{
	char *key = kona_etcd_text_of(pair, "key"), *value = kona_etcd_text_of(pair, "value");
	int kind, rc = -ENOMEM;
	int64_t id;

	if (key && value) {
		rc = -EINVAL;
		if (sscanf(key, RECORDS_FROM "%d/%" SCNd64, &kind, &id) == 2)
			rc = take(with, (enum kona_record_kind)kind, id, value);
	}
	free(key);
	free(value);
	return rc;
}

/* One page of records from *key on; afterwards *key is where the next one begins, NULL: the end. */
static int load_page(struct etcd_store *s, char **key, int64_t *revision, kona_record_take *take,
		     void *with)
{
	const json_t *pairs, *pair;
	json_t *reply;
	size_t i;
	int rc = call(s, "/v3/kv/range",
		      json_pack("{s:o, s:o, s:o, s:o}", "key", kona_etcd_text(*key), "range_end",
				kona_etcd_text(RECORDS_TO), "limit", kona_etcd_number(PAGE_RECORDS),
				"revision", kona_etcd_number(*revision)),
		      &reply);

	free(*key);
	*key = NULL;
	if (rc)
		return rc;
	*revision = kona_etcd_number_of(json_object_get(reply, "header"), "revision");
	pairs = json_object_get(reply, "kvs");
	json_array_foreach (pairs, i, pair)
		if (!rc)
			rc = take_one(pair, take, with);
	if (!rc && json_is_true(json_object_get(reply, "more"))) {
		char *last = kona_etcd_text_of(json_array_get(pairs, i - 1), "key");

		/* The next key after `last` in etcd's order. */
		if (!last || asprintf(key, "%s!", last) < 0) {
			*key = NULL;
			rc = -ENOMEM;
		}
		free(last);
	}
	json_decref(reply);
	return rc;
}

static int etcd_load(struct kona_rack_store *store, kona_record_take *take, void *with)
{
	struct etcd_store *s = of(store);
	char *key = strdup(RECORDS_FROM);
	int64_t revision = 0, first = 0;
	int rc = key ? 0 : -ENOMEM;

	while (key && !rc) {
		rc = load_page(s, &key, &revision, take, with);
		/* A million records take longer than the lease. */
		if (!rc)
			rc = renew(s, kona_now_ns());
		/* All pages at the revision of the first. */
		first = first ? first : revision;
		revision = first;
	}
	free(key);
	return rc;
}

static int etcd_probe(struct kona_rack_store *store)
{
	return commit_part(of(store), NULL, 0) ? -EIO : 0;
}

static void etcd_close(struct kona_rack_store *store)
{
	struct etcd_store *s = of(store);
	json_t *reply = NULL;

	/* Lets the next one lead at once. */
	if (s->lease && call(s, "/v3/lease/revoke",
			     json_pack("{s:o}", "ID", kona_etcd_number(s->lease)), &reply)) {
		/* Then it runs out. */
	}
	json_decref(reply);
	kona_etcd_free(s->etcd);
	free(s);
}

static const struct kona_rack_store_ops etcd_ops = {etcd_tick, etcd_load, etcd_commit, etcd_probe,
						    etcd_close};

int kona_rack_store_open_etcd(const char *addresses, const char *self, const char *pki,
			      struct kona_rack_store **ret_store, char *why)
{
	struct etcd_store *s = calloc(1, sizeof(*s));
	int rc = s ? kona_etcd_new(addresses, pki, &s->etcd) : -ENOMEM;

	if (rc) {
		snprintf(why, KONA_STORE_TEXT_BYTES, "etcd:%.100s: %s", addresses,
			 rc == -EINVAL ? "want etcd:https://HOST:PORT[,https://HOST:PORT...], or "
					 "http"
				       : strerror(-rc));
		free(s);
		return rc;
	}
	s->store.ops = &etcd_ops;
	snprintf(s->self, sizeof(s->self), "%s", self);
	if (get_lease(s, kona_now_ns())) {
		snprintf(why, KONA_STORE_TEXT_BYTES, "%.150s: is etcd running there%s?",
			 s->store.why,
			 pki ? ", and is ca.pem of --etcd-pki the authority of both sides" : "");
		etcd_close(&s->store);
		return -EIO;
	}
	*ret_store = &s->store;
	return 0;
}
