/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is at the other end of a TLS connection.
 */
#ifndef KONA_RACK_TLS_H
#define KONA_RACK_TLS_H

#include <gnutls/gnutls.h>

#include "rack/api.h"
#include "wire/pki.h"

/*
 * Reads name and role from the peer's certificate. The HTTP server only asks for one and lets
 * everybody in: so it is verified here, once a connection. Returns 0; -EPERM, and why tells people,
 * who see it as an answer and not as a broken handshake.
 */
KONA_MUST_CHECK int kona_rack_identify(gnutls_session_t session,
				       struct kona_rack_caller *ret_caller,
				       char why[KONA_PKI_TEXT_BYTES]);

#endif
