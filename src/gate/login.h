/*
 * How strong a login is: the classes of its SASL mechanism and of the client's
 * certificate, and the addresses, domains and groups that demand some of them.
 * A site that gives passwords one factor and its single sign-on two, enforces
 * two factors so.  Pure.
 */
#ifndef MAILSEAL_GATE_LOGIN_H
#define MAILSEAL_GATE_LOGIN_H

#include "gate/gate.h"
#include "gate/sender.h"

/* Bits of a set. */
enum login_class {
	LOGIN_PASSWORD =
		1 << 0,	      /* PLAIN, LOGIN, CRAM-MD5, DIGEST-MD5, SCRAM- */
	LOGIN_TOKEN = 1 << 1, /* XOAUTH2, OAUTHBEARER (RFC 7628) */
	LOGIN_KERBEROS = 1 << 2,    /* GSSAPI, GSS-SPNEGO, GS2- (RFC 5801) */
	LOGIN_CERTIFICATE = 1 << 3, /* listed; EXTERNAL alone is nothing */
	LOGIN_BOUND = 1 << 4,	    /* -PLUS: bound to the TLS channel (RFC
				     * 5802 6), besides the mechanism's class */
};

/* submission.certificates: what a client certificate stands for. */
struct login_certificate {
	const char *source;  /* "file:line" */
	const char *subject; /* as the MTA writes it in {cert_subject} */
	const char *issuer;
	const char *login; /* whose it is; NULL: of any login */
};

/* submission.login_classes: what an address must be sent with.  One of the
 * first three is not NULL. */
struct login_demand {
	const char *source;
	const char *address; /* "local@domain", the local-part in lower case */
	const char *domain;  /* canonical: each address at it */
	const char *group;   /* of submission.sender_groups: each member */
	int64_t classes;     /* one of them at least is needed */
};

struct login_rules {
	size_t ncertificates;
	const struct login_certificate *certificates;
	size_t ndemands;
	const struct login_demand *demands;
	const struct sender_table *senders; /* of the groups; or NULL */
	/* As in struct sender_options; `delimiter` not NULL.  A demand on an
	 * address is one on its extensions. */
	bool strip_realm;
	const char *delimiter;
};

/* The classes, 0 when none.  A certificate counts when the MTA trusts it, the
 * pair of subject and issuer is listed, and its login is this login or none. */
unsigned login_classes(const struct login_rules *r, const struct gate_facts *f);
/* " class=password+bound", " class=none". */
void login_classes_log(struct log_fields *f, unsigned classes);
/* False: *ret is the first demand that is not met, 550 5.7.9.  A claim that
 * cannot be read may be of any address: each demand on one is about it. */
bool login_check(struct arena *a, const struct login_rules *r,
		 const struct gate_facts *f, const struct gate_claims *c,
		 const char *coaching, struct gate_fault *ret);

#endif
