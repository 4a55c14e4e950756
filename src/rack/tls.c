/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verification of a client's certificate. Stateless.
 */
#include "rack/tls.h"

#include <errno.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

static int read_subject(gnutls_x509_crt_t cert, struct kona_rack_caller *ret_caller)
{
	struct kona_rack_caller caller = {0};
	char unit[16];
	size_t name_bytes = sizeof(caller.name), unit_bytes = sizeof(unit);

	if (gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, 0, caller.name,
					  &name_bytes) ||
	    gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_ORGANIZATIONAL_UNIT_NAME, 0, 0,
					  unit, &unit_bytes) ||
	    !caller.name[0])
		return -EPERM;
	if (!strcmp(unit, KONA_PKI_NODE))
		caller.role = KONA_RACK_NODE;
	else if (!strcmp(unit, KONA_PKI_ADMIN))
		caller.role = KONA_RACK_ADMIN;
	else
		return -EPERM;
	*ret_caller = caller;
	return 0;
}

int kona_rack_identify(gnutls_session_t session, struct kona_rack_caller *ret_caller,
		       char why[KONA_PKI_TEXT_BYTES])
{
	const gnutls_datum_t *chain;
	unsigned int status = 0, count = 0;
	gnutls_x509_crt_t cert;
	int rc;

	chain = gnutls_certificate_get_peers(session, &count);
	if (!chain || !count) {
		snprintf(why, KONA_PKI_TEXT_BYTES,
			 "the controller wants a certificate: make one with kona rack init, and "
			 "name its folder with --pki");
		return -EPERM;
	}
	rc = gnutls_certificate_verify_peers2(session, &status);
	if (rc || status) {
		kona_pki_explain(status, "your certificate", why);
		return -EPERM;
	}
	if (gnutls_x509_crt_init(&cert)) {
		snprintf(why, KONA_PKI_TEXT_BYTES, "the controller is out of memory");
		return -EPERM;
	}
	rc = gnutls_x509_crt_import(cert, &chain[0], GNUTLS_X509_FMT_DER) ||
	     read_subject(cert, ret_caller);
	gnutls_x509_crt_deinit(cert);
	if (!rc)
		return 0;
	snprintf(why, KONA_PKI_TEXT_BYTES,
		 "your certificate is neither a node's nor an administrator's: make one with kona "
		 "rack init");
	return -EPERM;
}
