/*
 * ARC (RFC 8617): the chain of sets that forwarders and lists leave, checked as
 * a stream like DKIM.  Nothing outside of this directory knows how; the result
 * is a value.  ARC says nothing about a message by itself: whoever sealed it
 * must be trusted by name.
 */
#ifndef MAILSEAL_ARC_ARC_H
#define MAILSEAL_ARC_ARC_H

#include "base/ip.h"
#include "crypto/crypto.h"
#include "dns/dns.h"
#include "mail/field.h"

#define ARC_SETS_MAX 50 /* RFC 8617 4.2.1 */

enum arc_status {
	ARC_STATUS_NONE, /* no set */
	ARC_STATUS_PASS,
	ARC_STATUS_FAIL,
};

/* One set of the chain. */
struct arc_set {
	const char *seal_domain;      /* d= of ARC-Seal, canonical */
	const char *seal_selector;    /* s= of it, canonical */
	const char *signature_domain; /* of ARC-Message-Signature */
	/* The value of ARC-Authentication-Results after "i=N;": an
	 * Authentication-Results value (RFC 8601 2.2). */
	struct slice results;
	/* RFC 6376 5.4 asks for it; a signature without it passes all the
	 * same, but speaks for no author. */
	bool signs_from;
};

struct arc_result {
	enum arc_status status;
	/* constant; NULL unless fail, or why a message without a set that we
	 * saw was not examined */
	const char *reason;
	/* A DNS answer was not to be had: RFC 8617 5.2.1 makes it a failure,
	 * but it says nothing about the chain. */
	bool temporary;
	bool ended; /* the newest seal says cv=fail */
	/* Of a chain that is complete and in order; v[0] is i=1. */
	size_t n;
	struct arc_set *v;
	/* RFC 8617 5.2 step 5: the lowest instance from which on every
	 * ARC-Message-Signature passes, 0: all; only with pass */
	unsigned oldest_pass;
};

struct arc_options {
	unsigned min_rsa_bits;
	unsigned max_rsa_bits;
	struct crypto_keycache *keycache; /* not NULL */
};

struct arc_verifier;

/* Reads the chain, and hashes what the header gives.  All arguments must live
 * until arc_verifier_free(). */
struct arc_verifier *arc_verifier_new(struct arena *a,
				      const struct arc_options *o,
				      const struct field_list *fields);
/* Warms the cache with the keys. */
void arc_verifier_prefetch(struct arc_verifier *v, struct dns_budget *b);
/* False: no signature needs the body. */
bool arc_verifier_wants_body(const struct arc_verifier *v);
void arc_verifier_body(struct arc_verifier *v, struct slice bytes);
/* RFC 8617 5.2, steps 1 to 7. */
void arc_verifier_end(struct arc_verifier *v, struct dns_budget *b,
		      struct arc_result *ret);
/* For a header block with `trouble`: sets in it fail. */
void arc_unreadable(const struct field_list *fields, struct arc_result *ret);
void arc_verifier_free(struct arc_verifier *v); /* NULL is allowed */

/* ---- trust.c ---- */
/* Did its sealer find dmarc=pass for mail of that author (canonical domain)? */
bool arc_set_says_dmarc_pass(struct arena *a, const struct arc_set *s,
			     const char *author);

/* smtp.remote-ip of its sealer's arc= (RFC 8617 6): from whom he had the
 * message.  False when it has none that is an address. */
bool arc_set_client(struct arena *a, const struct arc_set *s, struct ip *ret);
/* "arc=pass as[3].d=... as[3].s=... as[1].d=... as[1].s=... remote-ip[1]=..."
 * of a chain that passes: for the record of a local policy (RFC 8617 7.2.2), of
 * the newest set and of the first, and without what would make it longer than
 * `max` bytes. */
const char *arc_policy_comment(struct arena *a, const struct arc_result *r,
			       size_t max);

/* ---- seal.c ---- */
struct arc_sealing_key {
	const char *domain;   /* d=, canonical */
	const char *selector; /* s=, canonical */
	const struct crypto_privkey *key;
};

struct arc_seal_input {
	/* as they will go on, without the new set */
	const struct field_list *fields;
	struct slice names; /* to be signed, with ":" between (h=) */
	const struct arc_result *found; /* of the same message */
	/* The value of our own Authentication-Results, folds as LF. */
	struct slice authres;
	int64_t now; /* seconds since 1970 */
};

/* Values of the fields, with leading space and folds as LF. */
struct arc_new_set {
	unsigned instance;
	struct slice results, signature, seal;
};

struct arc_sealer;

struct arc_sealer *arc_sealer_new(struct arena *a);
void arc_sealer_body(struct arc_sealer *s, struct slice bytes);
/*
 * One more set (RFC 8617 5.1): cv= is what was found; over a chain that fails
 * the seal covers its own set alone.  False and *reason, a constant: the chain
 * has ended, is full, or was not to be judged for want of DNS; or the key does
 * not sign.  Once.
 */
bool arc_sealer_end(struct arc_sealer *s, const struct arc_seal_input *in,
		    const struct arc_sealing_key *key, struct arc_new_set *ret,
		    const char **reason);
void arc_sealer_free(struct arc_sealer *s); /* NULL is allowed */

/* "none", "pass", "fail" */
const char *arc_status_name(enum arc_status s);

#endif
