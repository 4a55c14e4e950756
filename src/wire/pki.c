/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks of certificates, with words for what an administrator can get wrong. Stateless.
 */
#include "wire/pki.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *kona_pki_folder(void)
{
	const char *folder = getenv("KONA_PKI");

	return folder && folder[0] ? folder : KONA_PKI_DEFAULT;
}

int kona_pki_read(const char *folder, const char *name, char **ret_text)
{
	gnutls_datum_t data;
	char path[512];
	char *text;
	int rc;

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	errno = 0;
	rc = gnutls_load_file(path, &data);
	if (rc)
		return errno ? -errno : -EIO;
	text = strndup((const char *)data.data, data.size);
	gnutls_free(data.data);
	if (!text)
		return -ENOMEM;
	*ret_text = text;
	return 0;
}

static void write_time(time_t when, char text[32])
{
	struct tm tm;

	strftime(text, 32, "%Y-%m-%d %H:%M UTC", gmtime_r(&when, &tm));
}

void kona_pki_explain(unsigned int status, const char *whose, char why[KONA_PKI_TEXT_BYTES])
{
	char now[32];

	write_time(time(NULL), now);
	if (status & GNUTLS_CERT_NOT_ACTIVATED)
		snprintf(why, KONA_PKI_TEXT_BYTES,
			 "%s is not valid yet by the clock here (%s): set the clocks of both hosts "
			 "(timedatectl set-ntp true)",
			 whose, now);
	else if (status & GNUTLS_CERT_EXPIRED)
		snprintf(why, KONA_PKI_TEXT_BYTES,
			 "%s has expired by the clock here (%s): set the clocks, or renew it (kona "
			 "rack init)",
			 whose, now);
	else if (status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNATURE_FAILURE))
		snprintf(
			why, KONA_PKI_TEXT_BYTES,
			"%s was made by another authority: take the folders of both hosts from one "
			"kona rack init",
			whose);
	else
		snprintf(why, KONA_PKI_TEXT_BYTES, "%s is not acceptable (%#x)", whose, status);
}

struct loaded {
	gnutls_x509_crt_t ca, cert;
	gnutls_x509_privkey_t key;
};

static int import(const char *folder, const char *name, struct loaded *l, char *why)
{
	gnutls_datum_t data;
	char *text;
	int rc = kona_pki_read(folder, name, &text);

	if (rc) {
		snprintf(why, KONA_PKI_TEXT_BYTES, "%s/%s: %s: %s", folder, name, strerror(-rc),
			 rc == -EACCES ? "give it to the user who runs this (chown)"
				       : "make it with kona rack init, and name its folder with "
					 "--pki");
		return -EINVAL;
	}
	data = (gnutls_datum_t){(unsigned char *)text, (unsigned int)strlen(text)};
	if (!strcmp(name, "key.pem"))
		rc = gnutls_x509_privkey_import(l->key, &data, GNUTLS_X509_FMT_PEM);
	else
		rc = gnutls_x509_crt_import(!strcmp(name, "ca.pem") ? l->ca : l->cert, &data,
					    GNUTLS_X509_FMT_PEM);
	gnutls_memset(text, 0, strlen(text));
	free(text);
	if (!rc)
		return 0;
	snprintf(why, KONA_PKI_TEXT_BYTES, "%s/%s: %s", folder, name, gnutls_strerror(rc));
	return -EINVAL;
}

static int check_times(const struct loaded *l, const char *folder, char *why)
{
	time_t now = time(NULL);
	time_t begin = gnutls_x509_crt_get_activation_time(l->cert);
	time_t end = gnutls_x509_crt_get_expiration_time(l->cert);
	char clock[32], limit[32];

	if (now >= begin && now <= end)
		return 0;
	write_time(now, clock);
	write_time(now < begin ? begin : end, limit);
	snprintf(why, KONA_PKI_TEXT_BYTES,
		 "%s/cert.pem is valid %s %s, but the clock of this host says %s: %s", folder,
		 now < begin ? "from" : "until", limit, clock,
		 now < begin ? "set the clock (timedatectl set-ntp true)"
			     : "set the clock, or renew the certificate (kona rack init)");
	return -EINVAL;
}

static int check_loaded(const struct loaded *l, const char *folder, char *why)
{
	unsigned char of_key[64], of_cert[64];
	size_t key_bytes = sizeof(of_key), cert_bytes = sizeof(of_cert);
	unsigned int status = 0;
	char whose[160];

	if (gnutls_x509_privkey_get_key_id(l->key, 0, of_key, &key_bytes) ||
	    gnutls_x509_crt_get_key_id(l->cert, 0, of_cert, &cert_bytes) ||
	    key_bytes != cert_bytes || memcmp(of_key, of_cert, key_bytes) != 0) {
		snprintf(
			why, KONA_PKI_TEXT_BYTES,
			"%s: key.pem is not the key of cert.pem: take both from one kona rack init",
			folder);
		return -EINVAL;
	}
	if (gnutls_x509_crt_list_verify(&l->cert, 1, &l->ca, 1, NULL, 0,
					GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status))
		status = GNUTLS_CERT_INVALID;
	if (!status)
		return check_times(l, folder, why);
	snprintf(whose, sizeof(whose), "%.140s/cert.pem", folder);
	kona_pki_explain(status, whose, why);
	return -EINVAL;
}

int kona_pki_check(const char *folder, char why[KONA_PKI_TEXT_BYTES])
{
	static const char *const names[] = {"ca.pem", "cert.pem", "key.pem"};
	struct loaded l = {0};
	int rc = 0;

	if (gnutls_x509_crt_init(&l.ca) || gnutls_x509_crt_init(&l.cert) ||
	    gnutls_x509_privkey_init(&l.key)) {
		snprintf(why, KONA_PKI_TEXT_BYTES, "out of memory");
		rc = -EINVAL;
	}
	for (size_t i = 0; i < KONA_ARRAY_LEN(names) && !rc; i++)
		rc = import(folder, names[i], &l, why);
	if (!rc)
		rc = check_loaded(&l, folder, why);
	if (l.ca)
		gnutls_x509_crt_deinit(l.ca);
	if (l.cert)
		gnutls_x509_crt_deinit(l.cert);
	if (l.key)
		gnutls_x509_privkey_deinit(l.key);
	return rc;
}
