/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The certificates of a rack, as `kona rack init` makes them. A host has a folder with three files:
 *
 *   ca.pem    whom it trusts: the rack's own authority, and nobody else
 *   cert.pem  who it is: common name = the node's name, unit = "node" or "admin"
 *   key.pem   how it proves that
 *
 * For daemons and the command line: it needs GnuTLS, which libkona never links.
 */
#ifndef KONA_WIRE_PKI_H
#define KONA_WIRE_PKI_H

#include "base/compiler.h"

#define KONA_PKI_DEFAULT "/etc/kona/pki"
#define KONA_PKI_NODE	 "node"
#define KONA_PKI_ADMIN	 "admin"

enum {
	KONA_PKI_TEXT_BYTES = 400,
};

/* The folder that is used when none is named: $KONA_PKI, or the default. */
const char *kona_pki_folder(void);

/*
 * Can this host use its folder: is all there, does it belong together, is it the time? Returns 0;
 * -EINVAL, and why tells people what to do.
 */
KONA_MUST_CHECK int kona_pki_check(const char *folder, char why[KONA_PKI_TEXT_BYTES]);

/* Reads a file of the folder; malloc'd, ends with a NUL. Returns 0 or -errno. */
KONA_MUST_CHECK int kona_pki_read(const char *folder, const char *name, char **ret_text);

/*
 * What to tell people of a certificate that GnuTLS did not like: `status` is a set of its
 * GNUTLS_CERT_ flags, `whose` the subject of the sentence.
 */
void kona_pki_explain(unsigned int status, const char *whose, char why[KONA_PKI_TEXT_BYTES]);

#endif
