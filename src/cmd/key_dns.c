/* mailseal key: the public half of a key as a record, here and in the DNS. */
#include "cmd/key.h"

#include <stdio.h>

#include "mail/base64.h"
#include "mail/keyrecord.h"

#define TXT_STRING_MAX 255 /* RFC 1035 3.3: bytes of a character-string */
#define TTL	       3600

const char *key_record_name(struct arena *a, const char *domain,
			    const char *selector)
{
	return arena_printf(a, "%s._domainkey.%s", selector, domain);
}

struct slice key_record_text(struct arena *a, const struct crypto_privkey *k)
{
	struct slice p;

	if (k == NULL)
		return SLICE("v=DKIM1; p=");
	p = base64_encode(a, crypto_privkey_public(a, k));
	return slice_of(arena_printf(
		a, "v=DKIM1; k=%s; p=%.*s",
		crypto_privkey_type(k) == CRYPTO_RSA ? "rsa" : "ed25519",
		(int)p.n, p.p));
}

static void print_strings(struct slice text)
{
	for (; text.n > 0; text = slice_from(text, TXT_STRING_MAX)) {
		struct slice part = slice_first(text, TXT_STRING_MAX);

		printf(" \"%.*s\"", (int)part.n, part.p);
	}
}

void key_record_print(const char *name, struct slice text, bool nsupdate)
{
	if (nsupdate)
		printf("update delete %s. TXT\nupdate add %s. %d TXT", name,
		       name, TTL);
	else
		printf("%s. %d IN TXT (", name, TTL);
	print_strings(text);
	puts(nsupdate ? "\nsend" : " )");
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

enum key_dns key_dns_compare(struct arena *a, struct dns_budget *b,
			     const char *name, const struct crypto_privkey *k,
			     const char **what)
{
	const struct dns_answer *r = dns_ask(b, name, DNS_TXT);
	struct keyrecord record = {.revoked = true};
	unsigned n;

	*what = r->reason;
	if (r->status == DNS_TEMPFAIL)
		return KEY_DNS_UNKNOWN;
	*what = "no record";
	if (r->status != DNS_FOUND || r->n == 0)
		return KEY_DNS_MISSING;
	n = records_of(a, r, &record);
	*what = n > 1 ? "several key records" : "the record is no key";
	if (n != 1)
		return KEY_DNS_DIFFERENT;
	*what = "revoked";
	if (record.revoked)
		return KEY_DNS_REVOKED;
	*what = "another key";
	if (!is_same(a, &record, k))
		return KEY_DNS_DIFFERENT;
	*what = "does not allow sha256 or email";
	if (!record.sha256_ok || !record.email_ok)
		return KEY_DNS_DIFFERENT;
	*what = record.testing ? "the same key, but t=y: verifiers are told to "
				 "ignore it"
			       : "the same key";
	return record.testing ? KEY_DNS_TESTING : KEY_DNS_SAME;
}
