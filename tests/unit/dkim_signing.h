/* Signing by two keys and verifying what came of it; for the tests of
 * dkim/sign.c and dkim/names.c. */
#ifndef MAILSEAL_TESTS_DKIM_SIGNING_H
#define MAILSEAL_TESTS_DKIM_SIGNING_H

#include "check.h"

#include <stdio.h>

#include "dkim/dkim.h"
#include "mail/base64.h"

#define NOW 1700000000

static const struct field_limits limits = {1000, 65536, 262144};

struct world {
	struct arena *a;
	struct crypto_privkey *rsa, *ed;
	struct dkim_signing_key keys[2];
	struct dns *dns;
	struct crypto_keycache *cache;
};

static inline void txt(struct strbuf *zone, struct arena *a, const char *name,
		       const char *kind, struct slice public)
{
	struct slice rest = base64_encode(a, public);

	strbuf_printf(zone, "%s TXT \"v=DKIM1; k=%s; p=\"", name, kind);
	while (rest.n > 0) {
		struct slice part = slice_first(rest, 200);
		strbuf_printf(zone, " \"%.*s\"", (int)part.n, part.p);
		rest = slice_from(rest, part.n);
	}
	strbuf_addc(zone, '\n');
}

static inline int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct strbuf zone;
	const char *err = NULL;

	w->a = arena_new();
	w->rsa = crypto_privkey_generate(CRYPTO_RSA, 1024);
	w->ed = crypto_privkey_generate(CRYPTO_ED25519, 0);
	w->keys[0] = (struct dkim_signing_key){.domain = "example.org",
					       .selector = "rsa",
					       .key = w->rsa,
					       .lifetime = 1209600};
	w->keys[1] = (struct dkim_signing_key){
		.domain = "example.org", .selector = "ed", .key = w->ed};
	strbuf_init(&zone, w->a, 100000);
	txt(&zone, w->a, "rsa._domainkey.example.org", "rsa",
	    crypto_privkey_public(w->a, w->rsa));
	txt(&zone, w->a, "ed._domainkey.example.org", "ed25519",
	    crypto_privkey_public(w->a, w->ed));
	w->dns = dns_new_zone_text(w->a, strbuf_slice(&zone), &err);
	assert_non_null(w->dns);
	w->cache = crypto_keycache_new(16);
	*state = w;
	return 0;
}

static inline int teardown(void **state)
{
	struct world *w = *state;

	dns_free(w->dns);
	crypto_keycache_free(w->cache);
	crypto_privkey_free(w->rsa);
	crypto_privkey_free(w->ed);
	arena_free(w->a);
	free(w);
	return 0;
}

/* Fields and body of a message on the heap. */
static inline void parse(struct world *w, struct slice message,
			 struct field_list *l, struct slice *body)
{
	*l = (struct field_list){.n = 0};
	field_list_parse(w->a, l, &limits, message, body);
}

/* What came of signing. */
struct made {
	bool ok;
	struct slice v[2];
	const char *reason, *warning;
};

/* By both keys; the body in chunks of `chunk` bytes. */
static inline struct made sign_chunks(struct world *w, struct slice message,
				      size_t chunk)
{
	struct slice in = check_heap(message.p, message.n), body;
	struct made ret = {.ok = false};
	struct field_list l;
	struct dkim_signer *s;

	parse(w, in, &l, &body);
	s = dkim_signer_new(w->a, &l, w->keys, 2, NOW);
	for (; body.n > 0; body = slice_from(body, chunk))
		dkim_signer_body(s, slice_first(body, chunk));
	ret.ok = dkim_signer_end(s, ret.v, &ret.reason);
	ret.warning = dkim_signer_warning(s);
	dkim_signer_free(s);
	free(unconst(in.p));
	return ret;
}

static inline struct made sign(struct world *w, const char *message)
{
	return sign_chunks(w, slice_of(message), 1);
}

/* The value of a tag without folds, or NULL. */
static const char *tag(struct world *w, struct slice value, const char *name)
{
	struct slice rest = value;

	while (rest.p != NULL) {
		struct slice v = slice_cut(&rest, ';');
		struct slice n = slice_trim(slice_cut(&v, '='));
		char *out = slice_cstr(w->a, v), *at = out;

		for (size_t i = 0; i < v.n; i++)
			if (v.p[i] != '\n' && v.p[i] != '\t' && v.p[i] != ' ')
				*at++ = v.p[i];
		*at = '\0';
		if (slice_is(n, name))
			return out;
	}
	return NULL;
}

static inline void verify(struct world *w, struct slice message,
			  struct dkim_results *ret)
{
	const struct dkim_verify_options o = {10,   50,	 1024,
					      4096, 300, w->cache};
	static const char *const authors[] = {"example.org"};
	struct dns_budget *b = dns_budget_new(w->dns, 5000, 20);
	struct slice body;
	struct field_list l;
	struct dkim_verifier *v;

	parse(w, message, &l, &body);
	v = dkim_verifier_new(w->a, &o, &l, authors, 1);
	dkim_verifier_body(v, body);
	dkim_verifier_end(v, b, NOW + 10, ret);
	dkim_verifier_free(v);
	dns_budget_free(b);
}

static inline char *with_signatures(struct world *w, const struct slice v[2],
				    const char *message)
{
	return arena_printf(w->a,
			    "DKIM-Signature:%.*s\r\nDKIM-Signature:%.*s\r\n%s",
			    (int)v[0].n, v[0].p, (int)v[1].n, v[1].p, message);
}

/* Fields with folds, spaces and empty lines. */
static const char plain[] = "Received: from x by y\r\n"
			    "From: a@example.org\r\n"
			    "To: b@example.net,\r\n\tc@example.net\r\n"
			    "Subject:   a  folded\r\n \t subject  \r\n"
			    "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
			    "List-Id: <l.example.org>\r\n"
			    "\r\n"
			    "Hello  world \r\n\r\nbye\r\n\r\n\r\n";

#define LIST(v) .names = v, .nnames = sizeof(v) / sizeof((v)[0])

/* Signs with other keys than usual. */
static inline struct made sign_as(struct world *w, const char *message,
				  struct dkim_signing_key first,
				  struct dkim_signing_key second)
{
	struct dkim_signing_key saved[2] = {w->keys[0], w->keys[1]};
	struct made ret;

	first.domain = second.domain = "example.org";
	first.selector = "rsa";
	first.key = w->rsa;
	second.selector = "ed";
	second.key = w->ed;
	w->keys[0] = first;
	w->keys[1] = second;
	ret = sign(w, message);
	memcpy(w->keys, saved, sizeof(saved));
	return ret;
}

#endif
