/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP with libmicrohttpd. It calls `handle` once per request with nothing, then with each piece of
 * the body, then at its end. The answer is queued at that last call: queued at the first one, it
 * would cost the connection its keep-alive.
 *
 * State: one struct exchange per request under way. What can fail: memory; the connection is closed
 * then. A slow or silent client costs one connection of CONNECTIONS, for IDLE_SECONDS at most.
 */
#include "rack/serve.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/units.h"
#include "rack/api.h"
#include "rack/tls.h"
#include "wire/rack.h"

enum {
	CONNECTIONS = 16384,
	IDLE_SECONDS = 30,
};

TAILQ_HEAD(exchanges, exchange);

struct kona_rack_server {
	struct MHD_Daemon *daemon;
	struct kona_rack *rack;
	struct exchanges waiting; /* answered when the state is durable; their connections sleep */
	uint64_t told_ns;	  /* of the last line about the state */
	char *ca, *cert, *key;	  /* owned PEM texts; NULL without TLS */
};

/* A connection, and who is at its other end. */
struct peer {
	bool identified;
	struct kona_rack_caller caller;
};

struct exchange {
	char *body; /* owned */
	size_t body_bytes;
	bool too_large, done;
	struct kona_rack_answer given; /* when done */
	struct MHD_Connection *connection;
	TAILQ_ENTRY(exchange) link; /* while it waits */
};

static bool keep_body(struct exchange *exchange, const char *data, size_t data_bytes)
{
	char *grown;

	if (exchange->too_large || exchange->body_bytes + data_bytes > KONA_RACK_BODY_BYTES) {
		exchange->too_large = true;
		return true;
	}
	grown = realloc(exchange->body, exchange->body_bytes + data_bytes);
	if (!grown)
		return false;
	memcpy(grown + exchange->body_bytes, data, data_bytes);
	exchange->body = grown;
	exchange->body_bytes += data_bytes;
	return true;
}

/* A page in somebody's browser can send a form to this server, but not with this type. */
static bool is_json(struct MHD_Connection *connection)
{
	const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
						       MHD_HTTP_HEADER_CONTENT_TYPE);

	return type && !strncasecmp(type, "application/json", 16);
}

/* The body becomes the server's. */
static enum MHD_Result answer(struct MHD_Connection *connection, struct kona_rack_answer *given)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	if (!given->body)
		return MHD_NO;
	response = MHD_create_response_from_buffer(strlen(given->body), given->body,
						   MHD_RESPMEM_MUST_FREE);
	if (!response)
		return MHD_NO;
	given->body = NULL;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, given->content_type);
	if (given->allow)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, given->allow);
	result = MHD_queue_response(connection, given->status, response);
	MHD_destroy_response(response);
	return result;
}

/* One line when the state file begins to fail, not one per request. */
static void tell_state_errors(struct kona_rack_server *server, uint64_t before)
{
	struct kona_rack *rack = server->rack;

	if (rack->state_errors == before)
		return;
	if (!server->told_ns || rack->now_ns - server->told_ns > UINT64_C(10000000000)) {
		kona_error("%s", rack->why);
		server->told_ns = rack->now_ns;
	}
}

static void watch_connection(void *with, struct MHD_Connection *connection, void **state,
			     enum MHD_ConnectionNotificationCode what)
{
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		*state = calloc(1, sizeof(struct peer));
	else
		free(*state);
}

/* Returns 0, or -EPERM and why. */
static int identify(struct kona_rack_server *server, struct MHD_Connection *connection,
		    struct kona_rack_caller *ret_caller, char why[KONA_PKI_TEXT_BYTES])
{
	const union MHD_ConnectionInfo *info;
	struct peer *peer;

	*ret_caller = (struct kona_rack_caller){KONA_RACK_LOCAL, ""};
	if (!server->ca)
		return 0;
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	peer = info ? info->socket_context : NULL;
	if (peer && peer->identified) {
		*ret_caller = peer->caller;
		return 0;
	}
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	snprintf(why, KONA_PKI_TEXT_BYTES, "the controller is out of memory");
	if (!peer || !info || kona_rack_identify(info->tls_session, &peer->caller, why))
		return -EPERM;
	peer->identified = true;
	*ret_caller = peer->caller;
	return 0;
}

static void ask(struct kona_rack_server *server, struct exchange *exchange, const char *method,
		const char *path)
{
	struct kona_rack *rack = server->rack;
	char why[KONA_PKI_TEXT_BYTES];
	struct kona_rack_caller caller;
	uint64_t errors = rack->state_errors;

	rack->now_ns = kona_now_ns();
	if (identify(server, exchange->connection, &caller, why))
		kona_rack_answer_error(&exchange->given, -EPERM, why);
	else if (exchange->too_large)
		kona_rack_answer_error(&exchange->given, -EMSGSIZE, "the body is too large");
	else if (strcmp(method, "GET") != 0 && !is_json(exchange->connection))
		kona_rack_answer_error(&exchange->given, -EINVAL,
				       "Content-Type must be application/json");
	else
		kona_rack_api(rack, &caller, method, path, exchange->body ? exchange->body : "",
			      exchange->body_bytes, &exchange->given);
	exchange->done = true;
	tell_state_errors(server, errors);
}

static enum MHD_Result handle(void *with, struct MHD_Connection *connection, const char *path,
			      const char *method, const char *version, const char *data,
			      size_t *data_bytes, void **state)
{
	struct exchange *exchange = *state;
	struct kona_rack_server *server = with;

	if (!exchange) {
		*state = calloc(1, sizeof(*exchange));
		return *state ? MHD_YES : MHD_NO;
	}
	if (*data_bytes) {
		if (!keep_body(exchange, data, *data_bytes))
			return MHD_NO;
		*data_bytes = 0;
		return MHD_YES;
	}
	if (!exchange->done) {
		exchange->connection = connection;
		ask(server, exchange, method, path);
		/* Even what only reads may have read what is not durable yet. */
		if (server->rack->batch.count) {
			TAILQ_INSERT_TAIL(&server->waiting, exchange, link);
			MHD_suspend_connection(connection);
			return MHD_YES;
		}
	}
	return answer(connection, &exchange->given);
}

bool kona_rack_serve_flush(struct kona_rack_server *server)
{
	struct kona_rack *rack = server->rack;
	uint64_t errors = rack->state_errors;
	int rc = kona_rack_flush(rack);
	bool any = !TAILQ_EMPTY(&server->waiting);
	struct exchange *exchange;

	tell_state_errors(server, errors);
	while ((exchange = TAILQ_FIRST(&server->waiting))) {
		TAILQ_REMOVE(&server->waiting, exchange, link);
		if (rc) {
			free(exchange->given.body);
			kona_rack_answer_error(&exchange->given, rc, rack->why);
			rack->refused++;
		}
		MHD_resume_connection(exchange->connection);
	}
	return any;
}

static void forget(void *with, struct MHD_Connection *connection, void **state,
		   enum MHD_RequestTerminationCode why)
{
	struct exchange *exchange = *state;

	if (exchange) {
		free(exchange->body);
		free(exchange->given.body);
	}
	free(exchange);
	*state = NULL;
}

static void free_server(struct kona_rack_server *server)
{
	if (server->key)
		explicit_bzero(server->key, strlen(server->key));
	free(server->ca);
	free(server->cert);
	free(server->key);
	free(server);
}

static struct MHD_Daemon *start(struct kona_rack_server *server, int listener)
{
	const struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_KEY, 0, server->key},
		{MHD_OPTION_HTTPS_MEM_CERT, 0, server->cert},
		{MHD_OPTION_HTTPS_MEM_TRUST, 0, server->ca},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)"SECURE128:-VERS-ALL:+VERS-TLS1.3"},
		{MHD_OPTION_END, 0, NULL},
	};
	const struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};

	return MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (server->ca ? MHD_USE_TLS : 0), 0, NULL,
		NULL, handle, server, MHD_OPTION_LISTEN_SOCKET, listener,
		MHD_OPTION_NOTIFY_COMPLETED, forget, NULL, MHD_OPTION_NOTIFY_CONNECTION,
		watch_connection, NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)CONNECTIONS,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)IDLE_SECONDS, MHD_OPTION_ARRAY,
		server->ca ? tls : none, MHD_OPTION_END);
}

int kona_rack_serve_start(struct kona_rack *rack, int listener, const char *pki,
			  struct kona_rack_server **ret_server)
{
	struct kona_rack_server *server = calloc(1, sizeof(*server));
	int rc = 0;

	if (!server)
		return -ENOMEM;
	server->rack = rack;
	TAILQ_INIT(&server->waiting);
	rack->groups = true;
	if (pki)
		rc = kona_pki_read(pki, "ca.pem", &server->ca);
	if (pki && !rc)
		rc = kona_pki_read(pki, "cert.pem", &server->cert);
	if (pki && !rc)
		rc = kona_pki_read(pki, "key.pem", &server->key);
	if (!rc) {
		server->daemon = start(server, listener);
		rc = server->daemon ? 0 : -EIO;
	}
	if (rc)
		free_server(server);
	else
		*ret_server = server;
	return rc;
}

void kona_rack_serve_stop(struct kona_rack_server *server)
{
	kona_rack_serve_flush(server);
	MHD_stop_daemon(server->daemon);
	free_server(server);
}

int kona_rack_serve_fd(const struct kona_rack_server *server)
{
	return MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

int kona_rack_serve_run(struct kona_rack_server *server)
{
	MHD_UNSIGNED_LONG_LONG wait_ms = 0;

	if (MHD_run(server->daemon) != MHD_YES)
		return 100;
	if (MHD_get_timeout(server->daemon, &wait_ms) != MHD_YES || wait_ms > 1000)
		return 1000;
	return (int)wait_ms;
}
