/*
 * The SPF record (RFC 7208 section 12, errata applied), checked whole before
 * anything is evaluated (4.6).  Pure; allocates nothing: a record is a view
 * of its text, and terms are read one at a time.
 */
#ifndef MAILSEAL_SPF_RECORD_H
#define MAILSEAL_SPF_RECORD_H

#include "base/ip.h"
#include "base/str.h"

enum spf_qualifier {
	SPF_QUALIFIER_PASS,
	SPF_QUALIFIER_FAIL,
	SPF_QUALIFIER_SOFTFAIL,
	SPF_QUALIFIER_NEUTRAL,
};

enum spf_kind {
	SPF_KIND_ALL,
	SPF_KIND_INCLUDE,
	SPF_KIND_A,
	SPF_KIND_MX,
	SPF_KIND_PTR,
	SPF_KIND_IP4,
	SPF_KIND_IP6,
	SPF_KIND_EXISTS,
	SPF_KIND_REDIRECT, /* from here on modifiers */
	SPF_KIND_EXP,
	SPF_KIND_UNKNOWN, /* a modifier to ignore */
};

struct spf_term {
	struct slice text; /* as published, qualifier included */
	enum spf_qualifier qualifier;
	enum spf_kind kind;
	struct slice domain; /* <domain-spec>, unexpanded; empty: none */
	unsigned bits4;	     /* a, mx, ip4: 0-32 */
	unsigned bits6;	     /* a, mx, ip6: 0-128 */
	uint8_t addr[16];    /* ip4: the first 4; ip6 */
};

struct spf_record {
	struct slice terms; /* what follows "v=spf1" */
	bool has_all;
	struct slice redirect; /* <domain-spec>; empty: none */
	struct slice exp;      /* <domain-spec>; empty: none */
};

/* Is this TXT text an SPF record at all (4.5)? */
bool spf_record_is(struct slice txt);
/* Checks every term.  False (permerror): a syntax error anywhere, or redirect
 * or exp twice. */
bool spf_record_parse(struct slice txt, struct spf_record *ret);
/* The term that makes spf_record_parse() refuse; empty without one. */
struct slice spf_record_fault(struct slice txt);
/* The next term of `*rest`, which starts as record.terms.  False at the end
 * or, with *bad set, at a syntax error. */
bool spf_record_next(struct slice *rest, struct spf_term *ret, bool *bad);

#endif
