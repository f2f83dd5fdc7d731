/*
 * What every check of the gate gets and gives.  The MTA has authenticated a
 * client; the gate says what that client may do.  Values in, a value out: no
 * log, no clock, no DNS, no files.
 */
#ifndef MAILSEAL_GATE_GATE_H
#define MAILSEAL_GATE_GATE_H

#include "base/ip.h"
#include "base/log_fields.h"
#include "mail/addr.h"
#include "mail/field.h"
#include "mail/reply.h"

/* What is done about a fault. */
enum gate_mode {
	GATE_MONITOR, /* it is logged and counted */
	GATE_SIGN,    /* and the message is not signed */
	GATE_REJECT,
};

/* The connection as the MTA tells of it in macros; empty: not told. */
struct transport_facts {
	struct slice version; /* {tls_version}: "TLSv1.3"; empty: no TLS */
	struct slice cipher;  /* {cipher} */
	unsigned bits;	      /* {cipher_bits} */
	/* Of the client's certificate: {cert_subject}, {cert_issuer}.  Postfix
	 * gives none of an untrusted one; Sendmail gives them always, and in
	 * {verify} whether it trusts it. */
	struct slice cert_subject;
	struct slice cert_issuer;
	struct slice verify;
	bool tells_trust; /* this MTA gives {verify} */
};

struct gate_facts {
	struct slice login;	/* {auth_authen}; empty: none */
	struct slice mechanism; /* {auth_type} */
	struct transport_facts transport;
	struct ip client;
	bool local; /* submission by sendmail(1): no connection */
	struct slice mail; /* the path of MAIL FROM */
	size_t nrcpts;
	const struct addr_authors *authors;
	const struct field_list *fields;
};

/* What is wrong with a message. */
struct gate_fault {
	const char *log; /* printable ASCII: "From bob@example.com" */
	struct smtp_reply reply;
};

/* ---- claims.c ---- */
/* An address that a message says it is from. */
struct gate_claim {
	const char *field;  /* "MAIL FROM", "From" or "Sender" */
	struct slice local; /* unquoted */
	const char *domain; /* canonical; NULL: nothing to check */
	const char *reason; /* then: why, a constant */
};

struct gate_claims {
	size_t n;
	struct gate_claim *v;
};

/*
 * MAIL FROM, every mailbox of From, and of Sender if there is one (RFC 5322
 * 3.6.2), in this order.  The null path claims nothing.  What cannot be read
 * is a claim without a domain: nobody has a right to it.
 */
void gate_claims_of(struct arena *a, const struct gate_facts *f,
		    struct gate_claims *ret);
/* "From bob@example.com", "From <a=b@example.com>", or "From (reason)". */
const char *gate_claim_text(struct arena *a, const struct gate_claim *c);

#endif
