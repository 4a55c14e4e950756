/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The certificates of a rack: an authority of its own, a certificate for each host and one for the
 * administrator; see wire/pki.h. Elliptic curve P-256, whose handshakes cost little.
 *
 * Files are written beside their final name and renamed, so that an interrupted run leaves whole
 * ones. Keys are for their owner's eyes only.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/rack-admin.h"
#include "wire/pki.h"
#include "wire/rack.h"

enum {
	CA_DAYS = 3650,
	SKEW_SECONDS = 300, /* that the clocks of two hosts may differ at once */
	DAY_SECONDS = 86400,
};

struct identity {
	gnutls_x509_crt_t cert;
	gnutls_x509_privkey_t key;
};

static int failed(const char *what, int rc)
{
	kona_error("%s: %s", what, gnutls_strerror(rc));
	return 1;
}

static void forget(struct identity *id)
{
	if (id->cert)
		gnutls_x509_crt_deinit(id->cert);
	if (id->key)
		gnutls_x509_privkey_deinit(id->key);
}

static int write_file(const char *folder, const char *name, const gnutls_datum_t *data, mode_t mode)
{
	char path[512], temporary[520];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	unlink(temporary);
	fd = open(temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
	if (fd < 0 || write(fd, data->data, data->size) != (ssize_t)data->size || fsync(fd) ||
	    close(fd) || rename(temporary, path)) {
		kona_error("%s: %s", path, strerror(errno));
		return 1;
	}
	return 0;
}

static int write_cert(const char *folder, const char *name, gnutls_x509_crt_t cert)
{
	gnutls_datum_t pem;
	int rc = gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &pem);

	if (rc)
		return failed(name, rc);
	rc = write_file(folder, name, &pem, 0644);
	gnutls_free(pem.data);
	return rc;
}

static int write_key(const char *folder, const char *name, gnutls_x509_privkey_t key)
{
	gnutls_datum_t pem;
	int rc = gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem);

	if (rc)
		return failed(name, rc);
	rc = write_file(folder, name, &pem, 0600);
	gnutls_memset(pem.data, 0, pem.size);
	gnutls_free(pem.data);
	return rc;
}

/* A key, and a certificate without its extensions and its signature. */
static int begin(struct identity *id, const char *name, const char *unit, long days)
{
	unsigned char serial[16];
	time_t now = time(NULL);
	int rc = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));

	serial[0] &= 0x7f;
	if (!rc)
		rc = gnutls_x509_privkey_init(&id->key);
	if (!rc)
		rc = gnutls_x509_privkey_generate(id->key, GNUTLS_PK_ECDSA,
						  GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
						  0);
	if (!rc)
		rc = gnutls_x509_crt_init(&id->cert);
	if (!rc)
		rc = gnutls_x509_crt_set_version(id->cert, 3);
	if (!rc)
		rc = gnutls_x509_crt_set_serial(id->cert, serial, sizeof(serial));
	if (!rc)
		rc = gnutls_x509_crt_set_activation_time(id->cert, now - SKEW_SECONDS);
	if (!rc)
		rc = gnutls_x509_crt_set_expiration_time(id->cert, now + days * DAY_SECONDS);
	if (!rc)
		rc = gnutls_x509_crt_set_dn_by_oid(id->cert, GNUTLS_OID_X520_COMMON_NAME, 0, name,
						   (unsigned int)strlen(name));
	if (!rc)
		rc = gnutls_x509_crt_set_dn_by_oid(id->cert,
						   GNUTLS_OID_X520_ORGANIZATIONAL_UNIT_NAME, 0,
						   unit, (unsigned int)strlen(unit));
	if (!rc)
		rc = gnutls_x509_crt_set_key(id->cert, id->key);
	return rc;
}

static int make_authority(const char *folder, struct identity *ca)
{
	int rc = begin(ca, "Kona rack", "authority", CA_DAYS);

	if (!rc)
		rc = gnutls_x509_crt_set_basic_constraints(ca->cert, 1, 0);
	if (!rc)
		rc = gnutls_x509_crt_set_key_usage(ca->cert, GNUTLS_KEY_KEY_CERT_SIGN);
	if (!rc)
		rc = gnutls_x509_crt_sign2(ca->cert, ca->cert, ca->key, GNUTLS_DIG_SHA256, 0);
	if (rc)
		return failed("cannot make the authority", rc);
	/* The key first: a certificate without it would be taken for a whole authority. */
	return write_key(folder, "ca-key.pem", ca->key) || write_cert(folder, "ca.pem", ca->cert);
}

static int load_authority(const char *folder, struct identity *ca)
{
	char *cert = NULL, *key = NULL;
	gnutls_datum_t data;
	int rc = kona_pki_read(folder, "ca.pem", &cert);

	if (!rc)
		rc = kona_pki_read(folder, "ca-key.pem", &key);
	if (rc) {
		kona_error("%s has a ca.pem, but ca-key.pem: %s: run this where the authority was "
			   "made, or name another --dir",
			   folder, strerror(-rc));
		free(cert);
		return 1;
	}
	data = (gnutls_datum_t){(unsigned char *)cert, (unsigned int)strlen(cert)};
	rc = gnutls_x509_crt_init(&ca->cert);
	if (!rc)
		rc = gnutls_x509_crt_import(ca->cert, &data, GNUTLS_X509_FMT_PEM);
	data = (gnutls_datum_t){(unsigned char *)key, (unsigned int)strlen(key)};
	if (!rc)
		rc = gnutls_x509_privkey_init(&ca->key);
	if (!rc)
		rc = gnutls_x509_privkey_import(ca->key, &data, GNUTLS_X509_FMT_PEM);
	gnutls_memset(key, 0, strlen(key));
	free(key);
	free(cert);
	return rc ? failed("the authority's files", rc) : 0;
}

static int add_address(gnutls_x509_crt_t cert, const char *address)
{
	unsigned char bytes[16];

	if (inet_pton(AF_INET, address, bytes) == 1)
		return gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_IPADDRESS, bytes, 4,
							    GNUTLS_FSAN_APPEND);
	if (inet_pton(AF_INET6, address, bytes) == 1)
		return gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_IPADDRESS, bytes, 16,
							    GNUTLS_FSAN_APPEND);
	return gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_DNSNAME, address,
						    (unsigned int)strlen(address),
						    GNUTLS_FSAN_APPEND);
}

/* Extensions and signature. addresses: with commas; changed. */
static int finish(struct identity *id, const struct identity *ca, const char *name, char *addresses)
{
	char *rest;
	int rc = gnutls_x509_crt_set_basic_constraints(id->cert, 0, -1);

	if (!rc)
		rc = gnutls_x509_crt_set_key_usage(id->cert, GNUTLS_KEY_DIGITAL_SIGNATURE);
	if (!rc)
		rc = gnutls_x509_crt_set_key_purpose_oid(id->cert, GNUTLS_KP_TLS_WWW_CLIENT, 0);
	if (addresses) {
		if (!rc)
			rc = gnutls_x509_crt_set_key_purpose_oid(id->cert, GNUTLS_KP_TLS_WWW_SERVER,
								 0);
		if (!rc)
			rc = add_address(id->cert, name);
		for (char *a = strtok_r(addresses, ",", &rest); a && !rc;
		     a = strtok_r(NULL, ",", &rest))
			rc = add_address(id->cert, a);
	}
	if (!rc)
		rc = gnutls_x509_crt_sign2(id->cert, ca->cert, ca->key, GNUTLS_DIG_SHA256, 0);
	return rc;
}

static int make_folder(const char *path)
{
	if (!mkdir(path, 0700) || errno == EEXIST)
		return 0;
	kona_error("%s: %s", path, strerror(errno));
	return 1;
}

static int make_host(const struct kona_rack_pki_wish *wish, const struct identity *ca,
		     const char *name, const char *unit, char *addresses)
{
	struct identity id = {NULL, NULL};
	char folder[512];
	int rc;

	if (snprintf(folder, sizeof(folder), "%s/%s", wish->folder, name) >= (int)sizeof(folder)) {
		kona_error("%s: the name is too long", wish->folder);
		return 1;
	}
	rc = begin(&id, name, unit, wish->days);
	if (!rc)
		rc = finish(&id, ca, name, addresses);
	if (rc)
		rc = failed(name, rc);
	else
		rc = make_folder(folder) || write_cert(folder, "ca.pem", ca->cert) ||
		     write_cert(folder, "cert.pem", id.cert) ||
		     write_key(folder, "key.pem", id.key);
	forget(&id);
	return rc;
}

/* The authority: the one in the folder, or a new one. */
static int take_authority(const char *folder, struct identity *ca)
{
	char path[512];

	snprintf(path, sizeof(path), "%.500s/ca.pem", folder);
	if (!access(path, F_OK))
		return load_authority(folder, ca);
	if (make_authority(folder, ca))
		return 1;
	printf("%s  a new authority; its key, %s/ca-key.pem, makes certificates: keep it safe\n",
	       path, folder);
	return 0;
}

static int check_host(const char *host)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t length = strcspn(host, "=");

	if (length && length < KONA_RACK_NAME_BYTES && strspn(host, allowed) == length &&
	    host[0] != '.' && strncmp(host, "admin", length + 1) != 0 &&
	    (!host[length] || host[length + 1]))
		return 0;
	kona_error("%s: want NAME or NAME=ADDRESS[,ADDRESS]; a name has 1 to %d letters, digits, "
		   "'.', '_' and '-', and is not \"admin\"",
		   host, KONA_RACK_NAME_BYTES - 1);
	return 2;
}

static int make_named(const struct kona_rack_pki_wish *wish, const struct identity *ca,
		      const char *host)
{
	char *copy = strdup(host), *equals;
	int rc;

	if (!copy) {
		kona_error("out of memory");
		return 1;
	}
	equals = strchr(copy, '=');
	if (equals)
		*equals = 0;
	rc = make_host(wish, ca, copy, KONA_PKI_NODE, equals ? equals + 1 : copy + strlen(copy));
	if (!rc)
		printf("%s/%s  copy it to " KONA_PKI_DEFAULT " of host %s\n", wish->folder, copy,
		       copy);
	free(copy);
	return rc;
}

int kona_rack_pki_make(const struct kona_rack_pki_wish *wish)
{
	struct identity ca = {NULL, NULL};
	char path[512];
	int rc = 0;

	for (char **host = wish->hosts; *host && !rc; host++)
		rc = check_host(*host);
	if (!rc)
		rc = make_folder(wish->folder) || take_authority(wish->folder, &ca);
	for (char **host = wish->hosts; *host && !rc; host++)
		rc = make_named(wish, &ca, *host);
	snprintf(path, sizeof(path), "%.480s/admin/cert.pem", wish->folder);
	if (!rc && access(path, F_OK)) {
		rc = make_host(wish, &ca, "admin", KONA_PKI_ADMIN, NULL);
		if (!rc)
			printf("%s/admin  for whoever runs kona rack: --pki, or $KONA_PKI\n",
			       wish->folder);
	}
	forget(&ca);
	return rc;
}
