/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registration, heartbeats and jobs, one call in flight.
 *
 * The state is small: registered or not, what is in flight, what waits. `pump` sends the next call
 * whenever nothing is in flight: a registration when one is needed, else a heartbeat that is due,
 * else the first waiting job. An answer that was lost makes the node register again before anything
 * else, which puts both sides right, and then the job is tried once more.
 *
 * Locks: none here; all of it runs in the loop. What can fail: the controller. Its first failure
 * and its return are logged, not the ones between.
 */
#include "memnode/rack-client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/units.h"
#include "memnode/worker.h"
#include "wire/rack.h"

enum {
	TICK_MS = 250,
	LEAST_CALL_MS = 100,
};

#define MS UINT64_C(1000000)

TAILQ_HEAD(jobs, kona_rack_job);

struct kona_rack_client {
	struct kona_worker worker;
	struct kona_rack_peer *peer; /* the worker's, after its end */
	struct event *answered, *tick;
	struct kona_rack_client_hooks hooks;
	struct jobs waiting;
	struct kona_rack_job *in_flight;	 /* one of the waiting, or the two below */
	struct kona_rack_job registration, beat; /* the client's own jobs */
	const char *address, *name;
	char instance[33];
	uint64_t capacity_bytes, slab_bytes, next_beat_ns;
	int64_t node, epoch, request;
	bool registered, tried, told_down, stopping;
};

uint64_t kona_rack_client_slab_bytes(const struct kona_rack_client *client)
{
	return client->slab_bytes;
}

const char *kona_rack_client_address(const struct kona_rack_client *client)
{
	return client->address;
}

int64_t kona_rack_client_request(const struct kona_rack_client *client)
{
	return client->request;
}

/* Milliseconds that a call for this job may take. */
static unsigned int time_left_ms(const struct kona_rack_job *job)
{
	uint64_t now_ns = kona_now_ns();
	uint64_t left_ms = job->deadline_ns > now_ns ? (job->deadline_ns - now_ns) / MS : 0;

	if (left_ms > KONA_RACK_CALL_MS)
		return KONA_RACK_CALL_MS;
	return left_ms < LEAST_CALL_MS ? LEAST_CALL_MS : (unsigned int)left_ms;
}

static void send_job(struct kona_rack_client *client, struct kona_rack_job *job)
{
	if (job->body) {
		json_object_set_new(job->body, "instance", json_string(client->instance));
		json_object_set_new(job->body, "node", json_integer(client->node));
		json_object_set_new(job->body, "request", json_integer(++client->request));
	}
	client->in_flight = job;
	kona_worker_call(&client->worker, job->method, job->path, job->body, time_left_ms(job));
}

static void send_registration(struct kona_rack_client *client)
{
	struct kona_rack_job *job = &client->registration;

	json_decref(job->body);
	job->body = json_pack("{s:s, s:I, s:o}", "name", client->name, "capacity_bytes",
			      (json_int_t)client->capacity_bytes, "leases",
			      client->hooks.leases(client->hooks.with));
	client->hooks.describe(client->hooks.with, job->body);
	job->deadline_ns = kona_now_ns() + KONA_RACK_CALL_MS * MS;
	client->next_beat_ns = kona_now_ns() + KONA_RACK_HEARTBEAT_MS * MS;
	send_job(client, job);
}

static void send_beat(struct kona_rack_client *client)
{
	struct kona_rack_job *job = &client->beat;

	snprintf(job->path, sizeof(job->path), "/v1/nodes/%" PRId64 "/heartbeat", client->node);
	json_decref(job->body);
	job->body = json_object();
	client->hooks.report(client->hooks.with, job->body);
	job->deadline_ns = kona_now_ns() + KONA_RACK_CALL_MS * MS;
	client->next_beat_ns = kona_now_ns() + KONA_RACK_HEARTBEAT_MS * MS;
	send_job(client, job);
}

static void finish(struct kona_rack_job *job, int rc, const json_t *reply, const char *text)
{
	json_decref(job->body);
	job->body = NULL;
	job->done(job, rc, reply, text);
}

static void fail_waiting(struct kona_rack_client *client, const char *text)
{
	struct jobs failed = TAILQ_HEAD_INITIALIZER(failed);
	struct kona_rack_job *job;

	/* What a failure brings forth waits for its own turn. */
	TAILQ_CONCAT(&failed, &client->waiting, link);
	while ((job = TAILQ_FIRST(&failed))) {
		TAILQ_REMOVE(&failed, job, link);
		finish(job, -EHOSTUNREACH, NULL, text);
	}
}

static void pump(struct kona_rack_client *client)
{
	struct kona_rack_job *job = TAILQ_FIRST(&client->waiting);
	bool due = kona_now_ns() >= client->next_beat_ns;

	if (client->in_flight || client->stopping)
		return;
	if (!client->registered) {
		if (due || job)
			send_registration(client);
	} else if (due) {
		send_beat(client);
	} else if (job) {
		TAILQ_REMOVE(&client->waiting, job, link);
		send_job(client, job);
	}
}

static int read_integer(const json_t *reply, const char *name, int64_t least, int64_t *ret_value)
{
	const json_t *field = json_object_get(reply, name);
	int64_t value = json_integer_value(field);

	if (!json_is_integer(field) || value < least || value >= KONA_RACK_MOST_VALUE)
		return -EPROTO;
	*ret_value = value;
	return 0;
}

/* Takes what a registration brought. */
static int take_registration(struct kona_rack_client *client, const json_t *reply, char *text,
			     size_t text_bytes)
{
	int64_t node, epoch, slab_bytes;

	if (read_integer(reply, "node", 1, &node) || read_integer(reply, "epoch", 0, &epoch) ||
	    read_integer(reply, "slab_bytes", KONA_RACK_LEAST_SLAB_BYTES, &slab_bytes) ||
	    slab_bytes > KONA_RACK_MOST_SLAB_BYTES || slab_bytes & (slab_bytes - 1)) {
		snprintf(text, text_bytes, "the rack controller's answer makes no sense");
		return -EPROTO;
	}
	if (client->slab_bytes && client->slab_bytes != (uint64_t)slab_bytes) {
		snprintf(text, text_bytes,
			 "the rack controller has changed its slabs from %" PRIu64 " to %" PRId64
			 " bytes: restart kona-memd",
			 client->slab_bytes, slab_bytes);
		return -EPROTO;
	}
	client->node = node;
	client->epoch = epoch;
	client->slab_bytes = (uint64_t)slab_bytes;
	return 0;
}

static void take_ended(struct kona_rack_client *client, const json_t *reply)
{
	const json_t *lease;
	size_t i;

	json_array_foreach (json_object_get(reply, "ended"), i, lease)
		client->hooks.ended(client->hooks.with, json_integer_value(lease));
}

static void registration_done(struct kona_rack_client *client, int rc, const json_t *reply,
			      const char *why)
{
	char text[KONA_RACK_TEXT_BYTES];

	snprintf(text, sizeof(text), "%s", why);
	if (!rc)
		rc = take_registration(client, reply, text, sizeof(text));
	client->registered = !rc;
	if (rc && !client->told_down)
		kona_error("not registered: %s", text);
	if (!rc && client->told_down)
		kona_info("registered at %s again", client->address);
	client->told_down = rc != 0;
	if (!rc)
		take_ended(client, reply);
	if (!client->tried) {
		client->tried = true;
		client->hooks.first_try(client->hooks.with, rc, text);
	}
	if (rc)
		fail_waiting(client, text);
}

static void beat_done(struct kona_rack_client *client, int rc, const json_t *reply,
		      const char *text)
{
	int64_t epoch = 0;
	bool known = !rc && !read_integer(reply, "epoch", 0, &epoch) && epoch == client->epoch;

	client->hooks.ordered(client->hooks.with, known ? reply : NULL);
	if (known)
		return;
	client->registered = false;
	/* Answered, but by one that does not know us as we are: no need to wait. */
	if (!rc || rc == -ENOENT)
		client->next_beat_ns = 0;
}

static void job_done(struct kona_rack_client *client, struct kona_rack_job *job, int rc,
		     const json_t *reply, const char *text)
{
	bool unsure = rc == -EHOSTUNREACH || rc == -ENOENT;

	if (unsure)
		client->registered = false;
	if (unsure && !job->retried && kona_now_ns() < job->deadline_ns) {
		job->retried = true;
		TAILQ_INSERT_HEAD(&client->waiting, job, link);
		return;
	}
	finish(job, rc, reply, text);
}

static void on_answer(evutil_socket_t fd, short what, void *with)
{
	struct kona_rack_client *client = with;
	struct kona_rack_job *job = client->in_flight;
	json_t *reply;

	if (!kona_worker_finished(&client->worker) || !job)
		return;
	client->in_flight = NULL;
	reply = client->worker.reply;
	if (job == &client->registration)
		registration_done(client, client->worker.rc, reply, client->worker.text);
	else if (job == &client->beat)
		beat_done(client, client->worker.rc, reply, client->worker.text);
	else
		job_done(client, job, client->worker.rc, reply, client->worker.text);
	json_decref(reply);
	pump(client);
}

static void on_tick(evutil_socket_t fd, short what, void *with)
{
	struct kona_rack_client *client = with;
	uint64_t now_ns = kona_now_ns();
	struct kona_rack_job *job;

	/* Jobs wait in the order of their deadlines, but for one that is tried again. */
	while ((job = TAILQ_FIRST(&client->waiting)) && job->deadline_ns <= now_ns) {
		TAILQ_REMOVE(&client->waiting, job, link);
		finish(job, -EHOSTUNREACH, NULL, "the rack controller did not answer in time");
	}
	pump(client);
}

void kona_rack_client_submit(struct kona_rack_client *client, struct kona_rack_job *job)
{
	job->deadline_ns = kona_now_ns() + KONA_RACK_JOB_MS * MS;
	job->retried = false;
	if (client->stopping) {
		finish(job, -EHOSTUNREACH, NULL, "kona-memd ends");
		return;
	}
	TAILQ_INSERT_TAIL(&client->waiting, job, link);
	pump(client);
}

void kona_rack_client_hurry(struct kona_rack_client *client)
{
	client->next_beat_ns = 0;
	pump(client);
}

int64_t kona_rack_client_node(const struct kona_rack_client *client)
{
	return client->node;
}

void kona_rack_client_resync(struct kona_rack_client *client)
{
	client->registered = false;
}

/* A random name of this run. */
static int make_instance(char *text, size_t text_bytes)
{
	unsigned char random[16];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EAGAIN;
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(text + 2 * i, text_bytes - 2 * i, "%02x", random[i]);
	return 0;
}

static int make_events(struct kona_rack_client *client, struct event_base *base)
{
	static const struct timeval period = {0, TICK_MS * 1000};

	client->answered =
		event_new(base, client->worker.answered, EV_READ | EV_PERSIST, on_answer, client);
	client->tick = event_new(base, -1, EV_PERSIST, on_tick, client);
	if (!client->answered || !client->tick || event_add(client->answered, NULL) ||
	    event_add(client->tick, &period))
		return -ENOMEM;
	return 0;
}

static void free_client(struct kona_rack_client *client)
{
	if (client->answered)
		event_free(client->answered);
	if (client->tick)
		event_free(client->tick);
	json_decref(client->registration.body);
	json_decref(client->beat.body);
	free(client);
}

int kona_rack_client_start(struct event_base *base, const char *address, const char *pki,
			   const char *name, uint64_t capacity_bytes,
			   const struct kona_rack_client_hooks *hooks,
			   struct kona_rack_client **ret_client)
{
	struct kona_rack_client *client = calloc(1, sizeof(*client));
	struct kona_rack_peer *peer = NULL;
	int rc;

	if (!client)
		return -ENOMEM;
	TAILQ_INIT(&client->waiting);
	client->hooks = *hooks;
	client->address = address;
	client->name = name;
	client->capacity_bytes = capacity_bytes;
	client->registration.method = "POST";
	snprintf(client->registration.path, sizeof(client->registration.path), "/v1/nodes");
	client->beat.method = "POST";
	rc = make_instance(client->instance, sizeof(client->instance));
	if (!rc)
		rc = kona_rack_peer_new(address, pki, &peer);
	if (!rc)
		rc = kona_worker_start(&client->worker, peer);
	if (rc) {
		kona_rack_peer_free(peer);
		free_client(client);
		return rc;
	}
	rc = make_events(client, base);
	if (rc) {
		kona_rack_peer_free(kona_worker_stop(&client->worker));
		free_client(client);
		return rc;
	}
	pump(client);
	*ret_client = client;
	return 0;
}

void kona_rack_client_halt(struct kona_rack_client *client)
{
	struct kona_rack_job *job = client->in_flight;

	client->stopping = true;
	client->peer = kona_worker_stop(&client->worker);
	if (job)
		json_decref(client->worker.reply);
	if (job && job != &client->registration && job != &client->beat)
		finish(job, -EHOSTUNREACH, NULL, "kona-memd ends");
	fail_waiting(client, "kona-memd ends");
}

void kona_rack_client_leave(struct kona_rack_client *client)
{
	json_t *body = json_pack("{s:s}", "instance", client->instance);
	json_t *reply = NULL;
	char path[64], text[KONA_RACK_TEXT_BYTES];

	snprintf(path, sizeof(path), "/v1/nodes/%" PRId64, client->node);
	if (client->node && body &&
	    kona_rack_call(client->peer, "DELETE", path, body, KONA_RACK_CALL_MS, &reply, text))
		kona_error("could not leave the rack: %s", text);
	json_decref(reply);
	json_decref(body);
	kona_rack_peer_free(client->peer);
	free_client(client);
}
