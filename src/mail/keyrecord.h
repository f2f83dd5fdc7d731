/*
 * DKIM key records (RFC 6376 3.6.1, RFC 8463 4.2).  Pure.
 */
#ifndef MAILSEAL_MAIL_KEYRECORD_H
#define MAILSEAL_MAIL_KEYRECORD_H

#include "base/str.h"

enum keyrecord_type {
	KEYRECORD_RSA,
	KEYRECORD_ED25519,
	KEYRECORD_OTHER, /* unknown k= */
};

struct keyrecord {
	enum keyrecord_type type;
	struct slice key;    /* decoded p=; empty means revoked */
	bool revoked;        /* p= empty */
	bool sha256_ok;      /* h= absent or has sha256 */
	bool email_ok;       /* s= absent, "*" or has email */
	bool testing;        /* t=y */
	bool strict_domain;  /* t=s: i= domain must equal d= */
};

/* False (and *reason, a constant) when this is no usable key record: v=
 * present but not first or not DKIM1, p= absent or not base64, syntax. */
bool keyrecord_parse(struct arena *a, struct slice txt, struct keyrecord *ret,
		     const char **reason);

#endif
