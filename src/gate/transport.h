/*
 * What the connection must be: TLS version, cipher bits, client certificate,
 * for logins, and for peers by domain or network.  Pure.
 */
#ifndef MAILSEAL_GATE_TRANSPORT_H
#define MAILSEAL_GATE_TRANSPORT_H

#include "gate/gate.h"

/* In order; what the MTA says that none of these is, is none of them. */
enum tls_version {
	TLS_NONE,
	TLS_SSL3,
	TLS_1_0,
	TLS_1_1,
	TLS_1_2,
	TLS_1_3,
};

/* tls.peers: what the connection of a peer must be. */
struct transport_peer {
	const char *source;
	const char *domain; /* canonical: MAIL FROM or an author is at it or
			     * below it; NULL: any */
	struct ip_nets networks; /* the client is in one; none: any */
	int64_t version;	 /* enum tls_version, at least */
	int64_t bits;		 /* of the cipher, at least; 0: any */
	int64_t certificate;	 /* boolean: one that the MTA trusts */
	const char *subject;	 /* of it; NULL: any */
	const char *issuer;
};

struct transport_rules {
	int64_t login_version; /* enum tls_version, for mail with a login */
	int64_t login_bits;
	size_t npeers;
	const struct transport_peer *peers;
};

/* "TLSv1.2" ...; TLS_NONE for anything else. */
enum tls_version tls_version_of(struct slice name);
const char *tls_version_name(enum tls_version v);
/* Is there a client certificate that the MTA trusts? */
bool transport_certified(const struct transport_facts *t);
/* " tls=TLSv1.3/TLS_AES_256_GCM_SHA384/256", and " cert="..." issuer="..."" of
 * a trusted one; " tls=none".  For the log. */
void transport_log(struct log_fields *f, const struct transport_facts *t);
/* False: what is demanded is not met: 530 5.7.0 without TLS (RFC 3207 4), else
 * 550 5.7.1.  Local submission is never asked. */
bool transport_check(struct arena *a, const struct transport_rules *r,
		     const struct gate_facts *f, const struct gate_claims *c,
		     const char *coaching, struct gate_fault *ret);

#endif
