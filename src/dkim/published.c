/* A key of ours beside its record in the DNS (RFC 6376 3.6.1, 6.1.2). */
#include "dkim/published.h"

#include <string.h>

#include "mail/domain.h"
#include "mail/keyrecord.h"

const char *dkim_published_name(struct arena *a, const char *domain,
				const char *selector)
{
	return arena_printf(a, "%s._domainkey.%s", selector, domain);
}

/* The one key record among the TXT records; 0 or 2 when it is not one. */
static unsigned records_of(struct arena *a, const struct dns_answer *r,
			   struct keyrecord *ret)
{
	struct keyrecord k;
	const char *why;
	unsigned n = 0;

	for (size_t i = 0; i < r->n && n < 2; i++) {
		if (!keyrecord_parse(a, r->rr[i].data, &k, &why))
			continue;
		*ret = k;
		n++;
	}
	return n;
}

static bool is_same(struct arena *a, const struct keyrecord *r,
		    const struct crypto_privkey *k)
{
	bool rsa = crypto_privkey_type(k) == CRYPTO_RSA;

	return r->type == (rsa ? KEYRECORD_RSA : KEYRECORD_ED25519) &&
	       slice_eq(r->key, crypto_privkey_public(a, k));
}

/* RFC 6376 3.6.1, t=s: the domain of i= must be that of d=. */
static bool is_too_strict(struct arena *a, const struct keyrecord *r,
			  const struct dkim_signing_key *key)
{
	struct slice identity = slice_of(key->identity);
	const char *domain;

	if (!r->strict_domain || identity.n == 0)
		return false;
	domain = domain_canon(
		a,
		slice_from(identity, (size_t)(slice_rchr(identity, '@') + 1)));
	return domain == NULL || strcmp(domain, key->domain) != 0;
}

enum dkim_published dkim_published_compare(struct arena *a,
					   struct dns_budget *b,
					   const struct dkim_signing_key *key,
					   const char **what)
{
	const char *name = dkim_published_name(a, key->domain, key->selector);
	const struct dns_answer *r = dns_ask(b, name, DNS_TXT);
	struct keyrecord record = {.revoked = true};
	unsigned n;

	*what = r->reason;
	if (r->status == DNS_TEMPFAIL)
		return DKIM_PUBLISHED_UNKNOWN;
	*what = "no record";
	if (r->status != DNS_FOUND || r->n == 0)
		return DKIM_PUBLISHED_MISSING;
	n = records_of(a, r, &record);
	*what = n > 1 ? "several key records" : "the record is no key";
	if (n != 1)
		return DKIM_PUBLISHED_DIFFERENT;
	*what = "revoked";
	if (record.revoked)
		return DKIM_PUBLISHED_REVOKED;
	*what = "another key";
	if (!is_same(a, &record, key->key))
		return DKIM_PUBLISHED_DIFFERENT;
	*what = "does not allow sha256 or email";
	if (!record.sha256_ok || !record.email_ok)
		return DKIM_PUBLISHED_DIFFERENT;
	*what = "t=s, but i= has another domain than d=";
	if (is_too_strict(a, &record, key))
		return DKIM_PUBLISHED_DIFFERENT;
	*what = record.testing ? "the same key, but t=y: verifiers are told to "
				 "ignore it"
			       : "the same key";
	return record.testing ? DKIM_PUBLISHED_TESTING : DKIM_PUBLISHED_SAME;
}
