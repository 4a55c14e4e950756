/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A blocking call over libcurl. State: one easy handle per peer, which keeps the connections alive,
 * and which of the controllers answered last: the next call begins with that one.
 * No locks: one thread at a time. An answer larger than the protocol allows ends the call.
 */
#include "wire/rack-call.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "wire/errno-names.h"
#include "wire/pki.h"
#include "wire/rack.h"

enum {
	MOST_CONTROLLERS = 8,
};

struct controller {
	char *address;	 /* as given, for messages */
	char *base;	 /* "http://HOST:PORT", no slash at the end */
	char *unix_path; /* or NULL */
};

struct kona_rack_peer {
	CURL *curl;
	struct curl_slist *headers;
	struct controller controllers[MOST_CONTROLLERS]; /* owned texts */
	size_t count, current;
	char *pki, *ca, *cert, *key; /* folder, and paths */
};

struct buffer {
	char *bytes;
	size_t used_bytes;
};

static size_t collect(char *data, size_t size, size_t count, void *into)
{
	struct buffer *buffer = into;
	size_t more = size * count;
	char *grown;

	if (buffer->used_bytes + more > KONA_RACK_BODY_BYTES)
		return 0;
	grown = realloc(buffer->bytes, buffer->used_bytes + more + 1);
	if (!grown)
		return 0;
	memcpy(grown + buffer->used_bytes, data, more);
	buffer->bytes = grown;
	buffer->used_bytes += more;
	return more;
}

static int split_address(struct controller *controller, const char *address, size_t length)
{
	bool plain = !strncasecmp(address, "http://", 7),
	     tls = !strncasecmp(address, "https://", 8);

	controller->address = strndup(address, length);
	if (!controller->address)
		return -ENOMEM;
	if (!strncmp(controller->address, "unix:/", 6)) {
		controller->unix_path = strdup(controller->address + 5);
		controller->base = strdup("http://rack");
		return controller->unix_path && controller->base ? 0 : -ENOMEM;
	}
	while (length && address[length - 1] == '/')
		length--;
	if ((!plain && !tls) || length <= 7u + tls || address[7 + tls] == '/')
		return -EINVAL;
	controller->base = strndup(address, length);
	return controller->base ? 0 : -ENOMEM;
}

static int split_addresses(struct kona_rack_peer *peer, const char *addresses)
{
	while (*addresses) {
		size_t length = strcspn(addresses, ",");
		int rc;

		if (peer->count == MOST_CONTROLLERS)
			return -EINVAL;
		rc = split_address(&peer->controllers[peer->count++], addresses, length);
		if (rc)
			return rc;
		addresses += length + (addresses[length] == ',');
	}
	return peer->count ? 0 : -EINVAL;
}

static int name_files(struct kona_rack_peer *peer, const char *pki)
{
	peer->pki = strdup(pki ? pki : kona_pki_folder());
	if (!peer->pki || asprintf(&peer->ca, "%s/ca.pem", peer->pki) < 0 ||
	    asprintf(&peer->cert, "%s/cert.pem", peer->pki) < 0 ||
	    asprintf(&peer->key, "%s/key.pem", peer->pki) < 0)
		return -ENOMEM;
	return 0;
}

int kona_rack_peer_new(const char *addresses, const char *pki, struct kona_rack_peer **ret_peer)
{
	struct kona_rack_peer *peer = calloc(1, sizeof(*peer));
	int rc = -ENOMEM;

	if (!peer)
		return -ENOMEM;
	rc = split_addresses(peer, addresses);
	if (!rc)
		rc = name_files(peer, pki);
	if (rc)
		goto out;
	rc = -ENOMEM;
	peer->headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!peer->headers)
		goto out;
	/* A request with a body would else wait a second for "100 Continue". */
	if (!curl_slist_append(peer->headers, "Expect:"))
		goto out;
	peer->curl = curl_easy_init();
	if (!peer->curl)
		goto out;
	*ret_peer = peer;
	return 0;
out:
	kona_rack_peer_free(peer);
	return rc;
}

void kona_rack_peer_free(struct kona_rack_peer *peer)
{
	if (!peer)
		return;
	if (peer->curl)
		curl_easy_cleanup(peer->curl);
	curl_slist_free_all(peer->headers);
	for (size_t i = 0; i < peer->count; i++) {
		free(peer->controllers[i].address);
		free(peer->controllers[i].base);
		free(peer->controllers[i].unix_path);
	}
	free(peer->pki);
	free(peer->ca);
	free(peer->cert);
	free(peer->key);
	free(peer);
}

/* Turns what came back into a reply or an error. */
static int read_answer(struct kona_rack_peer *peer, const struct controller *controller,
		       const struct buffer *answer, json_t **ret_reply, char *text)
{
	json_t *reply;
	const char *error, *code;
	long status = 0;
	int rc;

	curl_easy_getinfo(peer->curl, CURLINFO_RESPONSE_CODE, &status);
	reply = json_loadb(answer->bytes ? answer->bytes : "", answer->used_bytes, 0, NULL);
	if (!json_is_object(reply)) {
		json_decref(reply);
		snprintf(text, KONA_RACK_TEXT_BYTES,
			 "%s answers (HTTP %ld), but not as a rack controller does",
			 controller->address, status);
		return -EPROTO;
	}
	if (status / 100 == 2) {
		*ret_reply = reply;
		return 0;
	}
	error = json_string_value(json_object_get(reply, "error"));
	code = json_string_value(json_object_get(reply, "code"));
	snprintf(text, KONA_RACK_TEXT_BYTES, "%s", error ? error : "refused without a reason");
	rc = code ? kona_errno_value(code) : -EPROTO;
	json_decref(reply);
	return rc;
}

static const char *what_to_do(const struct controller *controller, CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_CONNECT:
		return ": does kona-rackd run there, and --listen at this address?";
	case CURLE_OPERATION_TIMEDOUT:
		return ": does its host run, and let this port through?";
	case CURLE_GOT_NOTHING:
		return strncmp(controller->address, "http:", 5)
			       ? ""
			       : ": a controller with --pki is called by https:// instead";
	default:
		return "";
	}
}

/* What a TLS failure means: most often, something that this host can check by itself. */
static void explain(struct kona_rack_peer *peer, const struct controller *controller, CURLcode code,
		    const char *why, char *text)
{
	char own[KONA_PKI_TEXT_BYTES];

	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		if (kona_pki_check(peer->pki, own))
			snprintf(text, KONA_RACK_TEXT_BYTES, "%s", own);
		else if (code == CURLE_SSL_CONNECT_ERROR)
			snprintf(text, KONA_RACK_TEXT_BYTES,
				 "rack controller %s: %s: a controller without --pki is called by "
				 "http:// instead",
				 controller->address, why);
		else
			snprintf(text, KONA_RACK_TEXT_BYTES,
				 "rack controller %s: its certificate is not one of %s, or not for "
				 "this name, or the clocks differ (%s): take the folders of all "
				 "hosts from one kona rack init",
				 controller->address, peer->ca, why);
		return;
	default:
		snprintf(text, KONA_RACK_TEXT_BYTES, "rack controller %s: %s%s",
			 controller->address, why, what_to_do(controller, code));
	}
}

static int call_one(struct kona_rack_peer *peer, const struct controller *controller,
		    const char *method, const char *path, const char *sent, long timeout_ms,
		    json_t **ret_reply, char *text)
{
	char why[CURL_ERROR_SIZE] = "";
	struct buffer answer = {NULL, 0};
	CURLcode code;
	char *url;
	int rc;

	if (asprintf(&url, "%s%s", controller->base, path) < 0)
		return -ENOMEM;
	curl_easy_setopt(peer->curl, CURLOPT_URL, url);
	curl_easy_setopt(peer->curl, CURLOPT_UNIX_SOCKET_PATH, controller->unix_path);
	curl_easy_setopt(peer->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(peer->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(peer->curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(peer->curl, CURLOPT_HTTPHEADER, peer->headers);
	curl_easy_setopt(peer->curl, CURLOPT_CAINFO, peer->ca);
	curl_easy_setopt(peer->curl, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(peer->curl, CURLOPT_SSLCERT, peer->cert);
	curl_easy_setopt(peer->curl, CURLOPT_SSLKEY, peer->key);
	if (sent) {
		curl_easy_setopt(peer->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(sent));
		curl_easy_setopt(peer->curl, CURLOPT_POSTFIELDS, sent);
	} else {
		curl_easy_setopt(peer->curl, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(peer->curl, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(peer->curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(peer->curl, CURLOPT_WRITEDATA, &answer);
	curl_easy_setopt(peer->curl, CURLOPT_ERRORBUFFER, why);
	code = curl_easy_perform(peer->curl);
	if (code == CURLE_OK) {
		rc = read_answer(peer, controller, &answer, ret_reply, text);
	} else {
		explain(peer, controller, code, why[0] ? why : curl_easy_strerror(code), text);
		rc = -EHOSTUNREACH;
	}
	curl_easy_setopt(peer->curl, CURLOPT_ERRORBUFFER, NULL);
	free(answer.bytes);
	free(url);
	return rc;
}

int kona_rack_call(struct kona_rack_peer *peer, const char *method, const char *path,
		   const json_t *body, unsigned int timeout_ms, json_t **ret_reply,
		   char text[KONA_RACK_TEXT_BYTES])
{
	char *sent = body ? json_dumps(body, JSON_COMPACT) : NULL;
	/* Of several controllers, a silent one must leave time for the next. */
	long each_ms = (long)(timeout_ms / peer->count);
	int rc = body && !sent ? -ENOMEM : -EHOSTUNREACH;

	snprintf(text, KONA_RACK_TEXT_BYTES, "out of memory");
	for (size_t i = 0; i < peer->count && (rc == -EHOSTUNREACH || rc == -EAGAIN); i++) {
		size_t now = (peer->current + i) % peer->count;

		rc = call_one(peer, &peer->controllers[now], method, path, sent,
			      each_ms ? each_ms : 1, ret_reply, text);
		if (rc != -EHOSTUNREACH && rc != -EAGAIN) {
			peer->current = now;
			break;
		}
	}
	free(sent);
	/* For the caller the two are one: nobody who could answer did. */
	return rc == -EAGAIN ? -EHOSTUNREACH : rc;
}
