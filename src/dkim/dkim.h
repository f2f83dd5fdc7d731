/*
 * DKIM (RFC 6376, 8301, 8463, 8616) in both directions, as streams: fields
 * at end of header, then body bytes, then results.
 *
 * libopendkim canonicalizes and hashes header fields (hash.c, the only file
 * that includes it); bodies, tags, keys, signatures and verdicts are ours.  No
 * function or type here may have a name that libopendkim exports (dkim_sign,
 * dkim_body ...).
 */
#ifndef MAILSEAL_DKIM_DKIM_H
#define MAILSEAL_DKIM_DKIM_H

#include "crypto/crypto.h"
#include "dns/dns.h"
#include "mail/field.h"

/* RFC 8601 2.7.1 */
enum dkim_status {
	DKIM_STATUS_PASS,
	DKIM_STATUS_FAIL,
	DKIM_STATUS_POLICY,
	DKIM_STATUS_NEUTRAL,
	DKIM_STATUS_TEMPERROR,
	DKIM_STATUS_PERMERROR,
};

/* One signature. */
struct dkim_result {
	enum dkim_status status;
	const char *reason;	/* constant; NULL for a plain pass */
	const char *domain;	/* d=, canonical; NULL when unusable */
	const char *selector;	/* s=, canonical; NULL when unusable */
	struct slice identity;	/* i= as signed, or empty */
	struct slice algorithm; /* a= */
	struct slice b;		/* b= without FWS */
	unsigned key_bits;	/* RSA modulus; 0 unknown or Ed25519 */
	bool testing;		/* key has t=y */
};

/* All signatures, topmost field first. */
struct dkim_results {
	size_t n;
	struct dkim_result *v;
	size_t more; /* signatures beyond max_fields that are not listed */
};

struct dkim_verify_options {
	unsigned max_signatures;	  /* evaluated; default 10 (DK-31) */
	unsigned max_listed;		  /* parsed and reported; default 50 */
	unsigned min_rsa_bits;		  /* default 1024 (RFC 8301 3.2) */
	unsigned max_rsa_bits;		  /* default 4096 */
	unsigned clock_skew;		  /* seconds, default 300 */
	struct crypto_keycache *keycache; /* not NULL */
};

struct dkim_verifier;

/*
 * Parses the DKIM-Signature fields, chooses those to evaluate (aligned with an
 * author domain first, then topmost), and opens the streams.  `fields`,
 * `authors` and `a` must live until dkim_verifier_free().
 */
struct dkim_verifier *dkim_verifier_new(struct arena *a,
					const struct dkim_verify_options *o,
					const struct field_list *fields,
					const char *const *authors,
					size_t nauthors);
/* Warms the cache with the keys of the chosen signatures. */
void dkim_verifier_prefetch(struct dkim_verifier *v, struct dns_budget *b);
/* False: no signature needs the body. */
bool dkim_verifier_wants_body(const struct dkim_verifier *v);
void dkim_verifier_body(struct dkim_verifier *v, struct slice bytes);
/* `now`: seconds since 1970. */
void dkim_verifier_end(struct dkim_verifier *v, struct dns_budget *b,
		       int64_t now, struct dkim_results *ret);
void dkim_verifier_free(struct dkim_verifier *v); /* NULL is allowed */

/* "pass", "fail" ... */
const char *dkim_status_name(enum dkim_status s);

/* ---- signing ---- */
/* A field name for h=. */
enum dkim_signing_mode {
	DKIM_SIGN_PRESENT, /* as often as present */
	/* once more than present, so that none can be added (RFC 6376 8.15);
	 * the first only when there is one: for fields that a mailing list or
	 * the MTA may still add */
	DKIM_OVERSIGN_PRESENT,
	DKIM_OVERSIGN,
};

struct dkim_signed_name {
	const char *name;
	enum dkim_signing_mode mode;
};

/* One signature to make. */
struct dkim_signing_key {
	const char *domain;   /* d=, canonical */
	const char *selector; /* s=, canonical */
	const struct crypto_privkey *key;
	uint32_t lifetime;    /* seconds for x=; 0: no x= */
	/* i= in plain text, checked with dkim_identity_ok(); or NULL */
	const char *identity;
	/* For h=, checked with dkim_signed_name_ok(); NULL: the default list.
	 * A list without From is refused where lists are checked, and no
	 * message can be signed by it (RFC 6376 5.4).  Of a name that is there
	 * twice the first counts. */
	const struct dkim_signed_name *names;
	size_t nnames;
};

/* May i= be this, with this d= (RFC 6376 3.5: "user@" and a domain equal to or
 * below d=, or only "@domain")?  The user is an RFC 5321 Local-part, in plain
 * text: the signer encodes what may not stand in i= (2.11). */
bool dkim_identity_ok(const char *identity, const char *domain);
/* May a field of this name be signed?  False and *reason (a constant that goes
 * on after the name): no field name, or a field that the MTA or others on the
 * way rewrite (5.4.1: Return-Path, Received, Bcc, Authentication-Results,
 * ARC-..., ...). */
bool dkim_signed_name_ok(const char *name, const char **reason);
/* The default list. */
const struct dkim_signed_name *dkim_default_names(size_t *n);

/* What the MTA does with the fields of a signed message on its way out. */
enum dkim_mta {
	DKIM_MTA_KEEPS,	   /* sends them as they are, as Postfix does */
	DKIM_MTA_SENDMAIL, /* writes lists of addresses anew (sendmail.h) */
	DKIM_MTA_UNKNOWN,  /* perhaps it does the same */
};

struct dkim_signer;

/*
 * Opens a signature by each key over `fields` (c=relaxed/relaxed).  The body
 * is hashed once for all.  To, Cc, Reply-To, Sender and Resent- fields with an
 * address without "@domain" are not signed: the MTA will add the domain.
 * Never NULL; all arguments must live until dkim_signer_end() has returned.
 */
struct dkim_signer *dkim_signer_new(struct arena *a,
				    const struct field_list *fields,
				    const struct dkim_signing_key *keys,
				    size_t nkeys, int64_t now);
/*
 * Tells the signer what the MTA will do; without it the MTA keeps the fields.
 * Behind Sendmail, lists of addresses are signed in the form that it will
 * send; where that cannot be told, or the MTA is unknown and Sendmail would
 * change the list, the field is not signed.  From is always signed.  Before
 * dkim_signer_end().
 */
void dkim_signer_mta(struct dkim_signer *s, enum dkim_mta mta);
/* Line ends as the MTA will send them: a bare CR or LF counts as CRLF
 * (RFC 6376 5.3). */
void dkim_signer_body(struct dkim_signer *s, struct slice bytes);
/* What the MTA may still change, and with it break the signature: a constant
 * for the log ("a body line is longer than 998 bytes"), or NULL; of several,
 * the worst.  After dkim_signer_end(). */
const char *dkim_signer_warning(const struct dkim_signer *s);
/*
 * One DKIM-Signature field value per key (leading space, folded with LF TAB),
 * in the order of the keys.  False and *reason when any failed.
 */
bool dkim_signer_end(struct dkim_signer *s, struct slice *ret_values,
		     const char **reason);
void dkim_signer_free(struct dkim_signer *s);

#endif
