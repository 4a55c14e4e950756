/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocking calls over libcurl, each with a deadline well below that of a leader's lease. State: one
 * easy handle, and which server answered last.
 */
#include "rack/etcd.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MOST_SERVERS = 8,
	CALL_MS = 1000,
	MOST_REPLY_BYTES = 64 << 20,
};

struct kona_etcd {
	CURL *curl;
	struct curl_slist *headers;
	char *servers[MOST_SERVERS]; /* owned */
	size_t count, current;
	char why[CURL_ERROR_SIZE]; /* of curl, the last failure */
};

struct reply {
	char *bytes;
	size_t used_bytes, room_bytes;
};

static size_t collect(char *data, size_t size, size_t count, void *into)
{
	struct reply *reply = into;
	size_t more = size * count;

	if (reply->used_bytes + more > MOST_REPLY_BYTES)
		return 0;
	if (reply->used_bytes + more > reply->room_bytes) {
		size_t room = (reply->used_bytes + more) * 2;
		char *grown = realloc(reply->bytes, room);

		if (!grown)
			return 0;
		reply->bytes = grown;
		reply->room_bytes = room;
	}
	memcpy(reply->bytes + reply->used_bytes, data, more);
	reply->used_bytes += more;
	return more;
}

static bool is_address(const char *address, size_t length)
{
	size_t scheme = !strncmp(address, "https://", 8)  ? 8
			: !strncmp(address, "http://", 7) ? 7
							  : length;

	return length > scheme;
}

static int take_addresses(struct kona_etcd *etcd, const char *addresses)
{
	while (*addresses) {
		size_t length = strcspn(addresses, ",");

		if (etcd->count == MOST_SERVERS || !is_address(addresses, length))
			return -EINVAL;
		etcd->servers[etcd->count] = strndup(addresses, length);
		if (!etcd->servers[etcd->count++])
			return -ENOMEM;
		addresses += length + (addresses[length] == ',');
	}
	return etcd->count ? 0 : -EINVAL;
}

/* curl copies what it is given. */
static int use_pki(struct kona_etcd *etcd, const char *pki)
{
	static const struct {
		const char *name;
		CURLoption option;
	} files[] = {{"ca.pem", CURLOPT_CAINFO},
		     {"cert.pem", CURLOPT_SSLCERT},
		     {"key.pem", CURLOPT_SSLKEY}};
	char path[PATH_MAX];

	for (size_t i = 0; i < KONA_ARRAY_LEN(files); i++)
		if (snprintf(path, sizeof(path), "%s/%s", pki, files[i].name) >=
			    (int)sizeof(path) ||
		    curl_easy_setopt(etcd->curl, files[i].option, path))
			return -ENOMEM;
	return 0;
}

int kona_etcd_new(const char *addresses, const char *pki, struct kona_etcd **ret_etcd)
{
	struct kona_etcd *etcd = calloc(1, sizeof(*etcd));
	int rc;

	if (!etcd)
		return -ENOMEM;
	rc = take_addresses(etcd, addresses);
	if (!rc) {
		etcd->curl = curl_easy_init();
		/* The first header line ends libcurl's wait for "100 Continue". */
		etcd->headers = curl_slist_append(NULL, "Expect:");
		rc = etcd->curl && etcd->headers ? 0 : -ENOMEM;
	}
	if (!rc && pki)
		rc = use_pki(etcd, pki);
	if (rc)
		kona_etcd_free(etcd);
	else
		*ret_etcd = etcd;
	return rc;
}

void kona_etcd_free(struct kona_etcd *etcd)
{
	if (etcd->curl)
		curl_easy_cleanup(etcd->curl);
	curl_slist_free_all(etcd->headers);
	for (size_t i = 0; i < etcd->count; i++)
		free(etcd->servers[i]);
	free(etcd);
}

static CURLcode post(struct kona_etcd *etcd, const char *url, const char *sent, struct reply *reply)
{
	curl_easy_setopt(etcd->curl, CURLOPT_URL, url);
	curl_easy_setopt(etcd->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(etcd->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(etcd->curl, CURLOPT_ERRORBUFFER, etcd->why);
	etcd->why[0] = 0;
	curl_easy_setopt(etcd->curl, CURLOPT_HTTPHEADER, etcd->headers);
	curl_easy_setopt(etcd->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(sent));
	curl_easy_setopt(etcd->curl, CURLOPT_POSTFIELDS, sent);
	curl_easy_setopt(etcd->curl, CURLOPT_TIMEOUT_MS, (long)CALL_MS);
	curl_easy_setopt(etcd->curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(etcd->curl, CURLOPT_WRITEDATA, reply);
	return curl_easy_perform(etcd->curl);
}

static int read_reply(struct kona_etcd *etcd, const struct reply *reply, json_t **ret_reply,
		      char *why, size_t why_bytes)
{
	json_t *object = json_loadb(reply->bytes ? reply->bytes : "", reply->used_bytes, 0, NULL);
	const char *error = json_string_value(json_object_get(object, "error"));
	long status = 0;

	curl_easy_getinfo(etcd->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status == 200 && json_is_object(object) && !error) {
		*ret_reply = object;
		return 0;
	}
	snprintf(why, why_bytes, "etcd at %.80s: %.120s (HTTP %ld)", etcd->servers[etcd->current],
		 error ? error : "no answer of etcd", status);
	json_decref(object);
	return -EIO;
}

int kona_etcd_call(struct kona_etcd *etcd, const char *path, json_t *body, json_t **ret_reply,
		   char *why, size_t why_bytes)
{
	char *sent = body ? json_dumps(body, JSON_COMPACT) : NULL;
	int rc = sent ? -EIO : -ENOMEM;

	json_decref(body);
	if (!sent)
		snprintf(why, why_bytes, "out of memory");
	for (size_t i = 0; i < etcd->count && sent; i++) {
		struct reply reply = {NULL, 0, 0};
		char url[256];
		CURLcode code;

		snprintf(url, sizeof(url), "%.200s%s", etcd->servers[etcd->current], path);
		code = post(etcd, url, sent, &reply);
		if (code == CURLE_OK)
			rc = read_reply(etcd, &reply, ret_reply, why, why_bytes);
		else
			snprintf(why, why_bytes, "etcd at %.80s: %.110s",
				 etcd->servers[etcd->current],
				 etcd->why[0] ? etcd->why : curl_easy_strerror(code));
		free(reply.bytes);
		if (code == CURLE_OK)
			break;
		etcd->current = (etcd->current + 1) % etcd->count;
	}
	free(sent);
	return rc;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

json_t *kona_etcd_text(const char *text)
{
	size_t length = strlen(text), used = 0;
	char *coded = malloc(length / 3 * 4 + 5);
	json_t *result;

	if (!coded)
		return NULL;
	for (size_t i = 0; i < length; i += 3) {
		uint32_t word = (uint32_t)(unsigned char)text[i] << 16;

		if (i + 1 < length)
			word |= (uint32_t)(unsigned char)text[i + 1] << 8;
		if (i + 2 < length)
			word |= (unsigned char)text[i + 2];
		coded[used++] = alphabet[word >> 18];
		coded[used++] = alphabet[word >> 12 & 63];
		coded[used++] = i + 1 < length ? alphabet[word >> 6 & 63] : '=';
		coded[used++] = i + 2 < length ? alphabet[word & 63] : '=';
	}
	coded[used] = 0;
	result = json_string(coded);
	free(coded);
	return result;
}

char *kona_etcd_text_of(const json_t *object, const char *name)
{
	const char *coded = json_string_value(json_object_get(object, name));
	size_t length = coded ? strcspn(coded, "=") : 0, used = 0;
	char *text = coded ? malloc(length / 4 * 3 + 4) : NULL;
	uint32_t word = 0;

	for (size_t i = 0; i < length && text; i++) {
		const char *place = strchr(alphabet, coded[i]);

		if (!place) {
			free(text);
			return NULL;
		}
		word = word << 6 | (uint32_t)(place - alphabet);
		if (i % 4)
			text[used++] = (char)(word >> (6 - i % 4 * 2));
	}
	if (text)
		text[used] = 0;
	return text;
}

json_t *kona_etcd_number(int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, value);
	return json_string(text);
}

int64_t kona_etcd_number_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? strtoll(text, NULL, 10) : 0;
}
