/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A blocking call over libcurl. State: one easy handle per peer, which keeps the connection alive.
 * No locks: one thread at a time. An answer larger than the protocol allows ends the call.
 */
#include "wire/rack-call.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "wire/errno-names.h"
#include "wire/rack.h"

struct kona_rack_peer {
	CURL *curl;
	struct curl_slist *headers;
	char *base; /* "http://HOST:PORT", no slash at the end */
	char *unix_path;
	char *address; /* as given, for messages */
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

static int split_address(struct kona_rack_peer *peer, const char *address)
{
	size_t length = strlen(address);

	if (!strncmp(address, "unix:", 5) && address[5] == '/') {
		peer->unix_path = strdup(address + 5);
		peer->base = strdup("http://rack");
		return peer->unix_path && peer->base ? 0 : -ENOMEM;
	}
	if (strncasecmp(address, "http://", 7) != 0 || !address[7] || address[7] == '/')
		return -EINVAL;
	while (length && address[length - 1] == '/')
		length--;
	peer->base = strndup(address, length);
	return peer->base ? 0 : -ENOMEM;
}

int kona_rack_peer_new(const char *address, struct kona_rack_peer **ret_peer)
{
	struct kona_rack_peer *peer = calloc(1, sizeof(*peer));
	int rc = -ENOMEM;

	if (!peer)
		return -ENOMEM;
	rc = split_address(peer, address);
	if (rc)
		goto out;
	rc = -ENOMEM;
	peer->address = strdup(address);
	peer->headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!peer->address || !peer->headers)
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
	free(peer->base);
	free(peer->unix_path);
	free(peer->address);
	free(peer);
}

/* Turns what came back into a reply or an error. */
static int read_answer(struct kona_rack_peer *peer, const struct buffer *answer, json_t **ret_reply,
		       char *text)
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
			 "%s answers (HTTP %ld), but not as a rack controller does", peer->address,
			 status);
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

int kona_rack_call(struct kona_rack_peer *peer, const char *method, const char *path,
		   const json_t *body, unsigned int timeout_ms, json_t **ret_reply,
		   char text[KONA_RACK_TEXT_BYTES])
{
	char why[CURL_ERROR_SIZE] = "";
	struct buffer answer = {NULL, 0};
	char *url = NULL, *sent = NULL;
	CURLcode code;
	int rc = -ENOMEM;

	snprintf(text, KONA_RACK_TEXT_BYTES, "out of memory");
	sent = body ? json_dumps(body, JSON_COMPACT) : strdup("");
	if (!sent || asprintf(&url, "%s%s", peer->base, path) < 0) {
		url = NULL;
		goto out;
	}
	curl_easy_setopt(peer->curl, CURLOPT_URL, url);
	curl_easy_setopt(peer->curl, CURLOPT_UNIX_SOCKET_PATH, peer->unix_path);
	curl_easy_setopt(peer->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(peer->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(peer->curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(peer->curl, CURLOPT_HTTPHEADER, peer->headers);
	if (body) {
		curl_easy_setopt(peer->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(sent));
		curl_easy_setopt(peer->curl, CURLOPT_POSTFIELDS, sent);
	} else {
		curl_easy_setopt(peer->curl, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(peer->curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	curl_easy_setopt(peer->curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(peer->curl, CURLOPT_WRITEDATA, &answer);
	curl_easy_setopt(peer->curl, CURLOPT_ERRORBUFFER, why);
	code = curl_easy_perform(peer->curl);
	if (code == CURLE_OK) {
		rc = read_answer(peer, &answer, ret_reply, text);
	} else {
		snprintf(text, KONA_RACK_TEXT_BYTES, "rack controller %s: %s", peer->address,
			 why[0] ? why : curl_easy_strerror(code));
		rc = -EHOSTUNREACH;
	}
	curl_easy_setopt(peer->curl, CURLOPT_ERRORBUFFER, NULL);
out:
	free(answer.bytes);
	free(sent);
	free(url);
	return rc;
}
