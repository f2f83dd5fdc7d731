/*
 * Signatures for tests, from any tag list, good or bad: made with mail/canon.c
 * and crypto/ alone, never with dkim/sign.c.  One world per test program.
 */
#ifndef MAILSEAL_TESTS_DKIM_FORGE_H
#define MAILSEAL_TESTS_DKIM_FORGE_H

#include "check.h"

#include "dkim/dkim.h"
#include "dkim/signature.h"
#include "mail/base64.h"
#include "mail/canon.h"

#define FORGE_NOW 1700000000

struct forge {
	struct arena *a;
	struct crypto_privkey *rsa, *ed;
	struct dns *dns;
	struct crypto_keycache *cache;
	struct dkim_verify_options options;
	const char *author;
	bool bytewise;	  /* the body comes byte by byte */
	unsigned queries; /* of the last forge_verify() */
};

/* A TXT record at `name` that has the public key after `tags`. */
static inline void forge_record(struct strbuf *zone, struct arena *a,
				const char *name, const char *tags,
				struct slice public)
{
	struct slice rest = base64_encode(a, public);

	strbuf_printf(zone, "%s TXT \"%s p=\"", name, tags);
	while (rest.n > 0) {
		struct slice part = slice_first(rest, 200);
		strbuf_printf(zone, " \"%.*s\"", (int)part.n, part.p);
		rest = slice_from(rest, part.n);
	}
	strbuf_addc(zone, '\n');
}

/* Keys and options, without DNS. */
static inline struct forge *forge_keys(void)
{
	struct forge *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->a = arena_new();
	w->rsa = crypto_privkey_generate(CRYPTO_RSA, 1024);
	w->ed = crypto_privkey_generate(CRYPTO_ED25519, 0);
	w->cache = crypto_keycache_new(16);
	w->options =
		(struct dkim_verify_options){10, 50, 1024, 4096, 300, w->cache};
	w->author = "d.example";
	return w;
}

static inline void forge_publish(struct forge *w, struct slice zone)
{
	const char *err = NULL;

	w->dns = dns_new_zone_text(w->a, zone, &err);
	if (w->dns == NULL)
		fail_msg("%s", err);
}

/* With rsa._domainkey.d.example, ed._domainkey.d.example, and `more`. */
static inline struct forge *forge_new(const char *more)
{
	struct forge *w = forge_keys();
	struct strbuf z;

	strbuf_init(&z, w->a, 100000);
	forge_record(&z, w->a, "rsa._domainkey.d.example", "v=DKIM1;",
		     crypto_privkey_public(w->a, w->rsa));
	forge_record(&z, w->a, "ed._domainkey.d.example", "k=ed25519;",
		     crypto_privkey_public(w->a, w->ed));
	strbuf_adds(&z, more);
	forge_publish(w, strbuf_slice(&z));
	return w;
}

static inline void forge_free(struct forge *w)
{
	dns_free(w->dns);
	crypto_keycache_free(w->cache);
	crypto_privkey_free(w->rsa);
	crypto_privkey_free(w->ed);
	arena_free(w->a);
	free(w);
}

static inline void forge_hash(void *arg, struct slice bytes)
{
	crypto_hash_add(arg, bytes);
}

static inline const char *forge_body_hash(struct forge *w, enum canon_mode mode,
					  uint64_t limit, struct slice body)
{
	struct crypto_hash *h = crypto_hash_new();
	unsigned char d[SHA256_LEN];
	struct canon_body b;

	canon_body_init(&b, mode, limit, forge_hash, h);
	canon_body_feed(&b, body);
	canon_body_end(&b);
	crypto_hash_end(h, d);
	crypto_hash_free(h);
	return slice_cstr(
		w->a,
		base64_encode(w->a, (struct slice){(char *)d, SHA256_LEN}));
}

/* Wide limits: those of dkim/ itself are what is tested. */
static inline void forge_parse(struct forge *w, struct slice message,
			       struct field_list *ret, struct slice *body)
{
	static const struct field_limits limits = {3000, 1 << 20, 8 << 20};

	*ret = (struct field_list){.n = 0};
	field_list_parse(w->a, ret, &limits, message, body);
}

static inline const char *forge_b(struct forge *w, bool ed,
				  enum canon_mode mode, const char *h,
				  const char *fields, const char *raw)
{
	struct crypto_hash *hash = crypto_hash_new();
	unsigned char d[SHA256_LEN];
	struct field_list l;
	struct slice body, sig;
	size_t at[DKIM_NAMES_MAX], n;

	forge_parse(w, slice_of(fields), &l, &body);
	n = canon_select(&l, slice_of(h), DKIM_NAMES_MAX, at);
	for (size_t i = 0; n != SIZE_MAX && i < n; i++)
		if (at[i] != SIZE_MAX)
			canon_field(mode, l.v[at[i]].raw, true, forge_hash,
				    hash);
	canon_field(mode, slice_of(raw), false, forge_hash, hash);
	crypto_hash_end(hash, d);
	crypto_hash_free(hash);
	assert_true(crypto_sign(w->a, ed ? w->ed : w->rsa, d, &sig));
	return slice_cstr(w->a, base64_encode(w->a, sig));
}

/* A signature to make.  NULL and 0: what is usual. */
struct forge_spec {
	const char *name; /* "DKIM-Signature:" */
	const char *tags; /* all but h=, l=, bh= and b= */
	const char *h;	  /* "from:to:subject" */
	const char *l;	  /* no l= */
	const char *bh;	  /* the right one */
	const char *b;	  /* "b=" */
	bool ed;
	bool simple_header, simple_body;
};

#define FORGE_TAGS "v=1; a=rsa-sha256; c=relaxed/relaxed; d=d.example; s=rsa;"

/* The field with its CRLF. */
static inline const char *forge_signature(struct forge *w,
					  const struct forge_spec *s,
					  const char *fields, const char *body)
{
	enum canon_mode hm = s->simple_header ? CANON_SIMPLE : CANON_RELAXED;
	enum canon_mode bm = s->simple_body ? CANON_SIMPLE : CANON_RELAXED;
	const char *h = s->h != NULL ? s->h : "from:to:subject";
	uint64_t limit = UINT64_MAX;
	const char *bh, *raw;

	(void)slice_u64(slice_of(s->l), UINT64_MAX, &limit);
	bh = s->bh != NULL ? s->bh
			   : forge_body_hash(w, bm, limit, slice_of(body));
	raw = arena_printf(w->a, "%s %s%s%s%s h=%s; bh=%s; %s",
			   s->name != NULL ? s->name : "DKIM-Signature:",
			   s->tags != NULL ? s->tags : FORGE_TAGS,
			   s->l != NULL ? " l=" : "", s->l != NULL ? s->l : "",
			   s->l != NULL ? ";" : "", h, bh,
			   s->b != NULL ? s->b : "b=");
	return arena_printf(w->a, "%s%s\r\n", raw,
			    forge_b(w, s->ed, hm, h, fields, raw));
}

static inline void forge_verify(struct forge *w, struct slice message,
				struct dkim_results *ret)
{
	struct dns_budget *b = dns_budget_new(w->dns, 5000, 150);
	struct slice in = check_heap(message.p, message.n), body;
	struct field_list l;
	struct dkim_verifier *v;

	forge_parse(w, in, &l, &body);
	v = dkim_verifier_new(w->a, &w->options, &l, &w->author, 1);
	dkim_verifier_prefetch(v, b);
	for (size_t i = 0; w->bytewise && i < body.n; i++)
		dkim_verifier_body(v, (struct slice){body.p + i, 1});
	if (!w->bytewise)
		dkim_verifier_body(v, body);
	dkim_verifier_end(v, b, FORGE_NOW, ret);
	dkim_verifier_free(v);
	w->queries = dns_budget_queries(b);
	dns_budget_free(b);
	free(unconst(in.p));
}

/* The one result that the message must have. */
static inline void forge_expect(struct forge *w, const char *message,
				const char *status, const char *reason)
{
	struct dkim_results r;

	forge_verify(w, slice_of(message), &r);
	assert_int_equal(r.n, 1);
	assert_string_equal(r.v[0].reason != NULL ? r.v[0].reason : "",
			    reason != NULL ? reason : "");
	assert_string_equal(dkim_status_name(r.v[0].status), status);
}

#endif
