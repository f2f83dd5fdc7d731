/*
 * arc/: the structure of chains (RFC 8617 4.2, 5.2), what a chain may cost, and
 * where the body of a message goes.  Whole chains of other sealers are in
 * tests/cases/run_arc_*.py.
 *
 * Chains are made here with mail/canon.c and crypto/ alone.
 */
#include "check.h"

#include "arc/set.h"
#include "dns/dns.h"
#include "eval/eval.h"
#include "mail/base64.h"

/* What verification calls, counted (see Makefile.am). */
static size_t body_feeds, hashed;

void __real_canon_body_feed(struct canon_body *b, struct slice bytes);
void __wrap_canon_body_feed(struct canon_body *b, struct slice bytes);
void __real_crypto_hash_add(struct crypto_hash *h, struct slice s);
void __wrap_crypto_hash_add(struct crypto_hash *h, struct slice s);

void __wrap_canon_body_feed(struct canon_body *b, struct slice bytes)
{
	body_feeds++;
	__real_canon_body_feed(b, bytes);
}

void __wrap_crypto_hash_add(struct crypto_hash *h, struct slice s)
{
	hashed += s.n;
	__real_crypto_hash_add(h, s);
}

/* ---- a sealer ---- */

#define PLAIN "From: a@author.example\r\nTo: b@list.example\r\nSubject: s\r\n"
#define BODY  "Hello\r\n"

struct world {
	struct arena *a;
	struct crypto_privkey *key;
	struct crypto_keycache *cache;
	struct dns *dns;
};

static void hash(void *arg, struct slice bytes)
{
	crypto_hash_add(arg, bytes);
}

static const char *b64(struct arena *a, const unsigned char d[SHA256_LEN])
{
	return slice_cstr(a, base64_encode(a, (struct slice){(const char *)d,
							     SHA256_LEN}));
}

static const char *body_hash(struct arena *a, enum canon_mode mode,
			     uint64_t length)
{
	struct crypto_hash *h = crypto_hash_new();
	unsigned char d[SHA256_LEN];
	struct canon_body b;

	canon_body_init(&b, mode, length, hash, h);
	canon_body_feed(&b, SLICE(BODY));
	canon_body_end(&b);
	crypto_hash_end(h, d);
	crypto_hash_free(h);
	return b64(a, d);
}

/* Signs `data`, raw fields, relaxed; the last one without CRLF. */
static const char *sign(struct world *w, const char *const *data, size_t n)
{
	struct crypto_hash *h = crypto_hash_new();
	unsigned char d[SHA256_LEN];
	struct slice sig;

	for (size_t i = 0; i < n; i++)
		canon_field(CANON_RELAXED, slice_of(data[i]), i + 1 < n, hash,
			    h);
	crypto_hash_end(h, d);
	crypto_hash_free(h);
	assert_true(crypto_sign(w->a, w->key, d, &sig));
	return slice_cstr(w->a, base64_encode(w->a, sig));
}

/* One set to make.  NULL: what is usual. */
struct spec {
	const char *selector; /* "s" */
	const char *canon;    /* "c=relaxed/relaxed;" */
	const char *more;     /* tags of the signature */
	const char *bh;	      /* the right one, relaxed */
	const char *from;     /* that it signed */
};

/* Fields of a chain, set by set: AAR, AMS, AS. */
struct chain {
	size_t n;
	const char *v[3 * ARC_SETS_MAX];
};

static void add_set(struct world *w, struct chain *c, const struct spec *s)
{
	size_t i = c->n / 3 + 1;
	const char *selector = s->selector != NULL ? s->selector : "s";
	const char *from = s->from != NULL ? s->from : "From: a@author.example";
	const char *signature, *seal, **v = &c->v[c->n];

	v[0] = arena_printf(w->a,
			    "ARC-Authentication-Results: i=%zu; x.example; "
			    "arc=none",
			    i);
	signature = arena_printf(
		w->a,
		"ARC-Message-Signature: i=%zu; a=ed25519-sha256; d=x.example; "
		"s=%s; %s %s h=from; bh=%s; b=",
		i, selector, s->canon != NULL ? s->canon : "c=relaxed/relaxed;",
		s->more != NULL ? s->more : "",
		s->bh != NULL ? s->bh
			      : body_hash(w->a, CANON_RELAXED, UINT64_MAX));
	v[1] = arena_printf(w->a, "%s%s", signature,
			    sign(w, (const char *const[]){from, signature}, 2));
	seal = arena_printf(w->a,
			    "ARC-Seal: i=%zu; a=ed25519-sha256; d=x.example; "
			    "s=%s; cv=%s; b=",
			    i, selector, i == 1 ? "none" : "pass");
	v[2] = seal;
	v[2] = arena_printf(w->a, "%s%s", seal, sign(w, c->v, c->n + 3));
	c->n += 3;
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *err = NULL, *key;
	struct strbuf z;

	assert_non_null(w);
	w->a = arena_new();
	w->key = crypto_privkey_generate(CRYPTO_ED25519, 0);
	w->cache = crypto_keycache_new(16);
	key = slice_cstr(
		w->a, base64_encode(w->a, crypto_privkey_public(w->a, w->key)));
	strbuf_init(&z, w->a, 1 << 20);
	strbuf_printf(&z, "s._domainkey.x.example TXT \"k=ed25519; p=%s\"\n",
		      key);
	for (int i = 0; i < ARC_SETS_MAX; i++)
		strbuf_printf(
			&z,
			"n%d._domainkey.x.example TXT \"k=ed25519; p=%s\"\n", i,
			key);
	strbuf_adds(&z, "helo.example TXT \"v=spf1 ip4:192.0.2.1 -all\"\n"
			"1.2.0.192.in-addr.arpa PTR helo.example\n"
			"helo.example A 192.0.2.1\n");
	w->dns = dns_new_zone_text(w->a, strbuf_slice(&z), &err);
	assert_non_null(w->dns);
	return w;
}

static void world_free(struct world *w)
{
	dns_free(w->dns);
	crypto_keycache_free(w->cache);
	crypto_privkey_free(w->key);
	arena_free(w->a);
	free(w);
}

static void fields_of(struct world *w, const struct chain *c,
		      struct field_list *ret)
{
	static const struct field_limits limits = {3000, 1 << 20, 8 << 20};
	struct slice body;
	struct strbuf b;

	strbuf_init(&b, w->a, 8 << 20);
	for (size_t i = c->n; i > 0; i--)
		strbuf_printf(&b, "%s\r\n", c->v[i - 1]);
	strbuf_adds(&b, PLAIN "\r\n");
	*ret = (struct field_list){0};
	field_list_parse(w->a, ret, &limits, strbuf_slice(&b), &body);
}

/* The body comes in `pieces` equal pieces of one CRLF line each. */
static void verify(struct world *w, const struct chain *c, const char *body,
		   size_t pieces, struct arc_result *ret)
{
	struct dns_budget *b = dns_budget_new(w->dns, 5000, 150);
	struct arc_options options = {1024, 4096, w->cache};
	struct field_list fields;
	struct arc_verifier *v;

	fields_of(w, c, &fields);
	body_feeds = 0;
	hashed = 0;
	v = arc_verifier_new(w->a, &options, &fields);
	for (size_t i = 0; i < pieces; i++)
		arc_verifier_body(v, slice_of(body));
	arc_verifier_end(v, b, ret);
	arc_verifier_free(v);
	dns_budget_free(b);
}

static void expect(struct world *w, const struct chain *c, const char *body,
		   const char *reason, unsigned oldest)
{
	struct arc_result r;

	verify(w, c, body, 1, &r);
	assert_string_equal(r.reason != NULL ? r.reason : "",
			    reason != NULL ? reason : "");
	assert_int_equal(r.status,
			 reason != NULL ? ARC_STATUS_FAIL : ARC_STATUS_PASS);
	assert_int_equal(r.oldest_pass, oldest);
}

/* ---- structure ---- */

static void read_chain(struct world *w, const char *fields,
		       struct arc_chain *ret)
{
	static const struct field_limits limits = {3000, 1 << 20, 8 << 20};
	struct field_list l = {0};
	struct slice body;

	field_list_parse(w->a, &l, &limits,
			 slice_of(arena_printf(w->a, "%s\r\n", fields)), &body);
	arc_chain_read(w->a, &l, ret);
}

#define AAR(i) "ARC-Authentication-Results: i=" i "; x\r\n"
#define AMS(i)                                                                 \
	"ARC-Message-Signature: i=" i "; a=rsa-sha256; d=x.example; s=s; "     \
	"h=from; b=AA==; "                                                     \
	"bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\r\n"
#define AS(i, cv)                                                              \
	"ARC-Seal: i=" i "; a=rsa-sha256; d=x.example; s=s; b=AA==; "          \
	"cv=" cv "\r\n"
#define SET(i, cv) AAR(i) AMS(i) AS(i, cv)

static void test_structure(void **state)
{
	static const struct {
		const char *fields, *reason;
		size_t n;
		bool ended;
	} cases[] = {
		{PLAIN, NULL, 0, false},
		{SET("1", "none"), NULL, 1, false},
		{SET("2", "pass") SET("1", "none"), NULL, 2, false},
		{SET("1", "none") SET("2", "pass"), NULL, 2, false},
		{AS("1", "none") AAR("1") AMS("1"), NULL, 1, false},
		{AMS("1") AS("1", "none"), "ARC set is incomplete", 1, false},
		{SET("2", "pass"), "ARC set is incomplete", 2, false},
		{SET("1", "none") SET("3", "pass"), "ARC set is incomplete", 3,
		 false},
		{SET("1", "none") AAR("1"),
		 "several ARC fields of one kind and instance", 1, false},
		{SET("1", "pass"), "cv= does not fit its place", 1, false},
		{SET("1", "none") SET("2", "none"),
		 "cv= does not fit its place", 2, false},
		{SET("1", "none") SET("2", "fail") SET("3", "pass"),
		 "cv= does not fit its place", 3, false},
		{SET("1", "none") SET("2", "fail"),
		 "the newest seal says cv=fail", 2, true},
		{AS("2", "fail"), "the newest seal says cv=fail", 2, true},
		{SET("0", "none"), "ARC field without a valid i=", 0, false},
		{SET("01", "none"), "ARC field without a valid i=", 0, false},
		{SET("x", "none"), "ARC field without a valid i=", 0, false},
		{SET("51", "pass"), "more than 50 ARC sets", 0, false},
		{SET("1", "none") SET("51", "pass"), "more than 50 ARC sets", 1,
		 false},
		{SET("1", "none") AAR("99999999999999999999999"),
		 "more than 50 ARC sets", 1, false},
		{SET("50", "pass"), "ARC set is incomplete", 50, false},
	};
	struct world *w = world_new();
	struct arc_chain c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		read_chain(w, cases[i].fields, &c);
		if (c.n != cases[i].n || c.ended != cases[i].ended)
			fail_msg("%zu: n=%zu ended=%d", i, c.n, c.ended);
		assert_string_equal(c.reason != NULL ? c.reason : "",
				    cases[i].reason != NULL ? cases[i].reason
							    : "");
	}
	world_free(w);
}

/* ---- what passes ---- */

static void test_oldest_pass(void **state)
{
	struct world *w = world_new();
	const char *other = body_hash(w->a, CANON_RELAXED, 3);

	(void)state;
	for (size_t broken = 0; broken < 5; broken++) {
		struct chain c = {0};

		for (size_t i = 1; i <= 4; i++)
			add_set(w, &c,
				&(struct spec){.bh = i == broken ? other
								 : NULL});
		/* RFC 8617 5.2 step 5: 1 fails, so from 2 on they pass */
		expect(w, &c, BODY,
		       broken == 4 ? "body hash did not verify" : NULL,
		       broken == 0 || broken == 4 ? 0 : (unsigned)broken + 1);
	}
	for (size_t broken = 1; broken < 3; broken++) {
		struct chain c = {0};

		for (size_t i = 1; i <= 3; i++)
			add_set(w, &c,
				&(struct spec){.from = i <= broken ? "From: x@y"
								   : NULL});
		expect(w, &c, BODY, NULL, (unsigned)broken + 1);
	}
	world_free(w);
}

/* As DK-40: what follows the signed part could be anything. */
static void test_length(void **state)
{
	struct world *w = world_new();
	const char *part = body_hash(w->a, CANON_RELAXED, 3);
	struct chain whole = {0}, cut = {0}, beyond = {0}, old = {0};

	(void)state;
	add_set(w, &whole, &(struct spec){.more = "l=7;"});
	expect(w, &whole, BODY, NULL, 0);
	expect(w, &whole, BODY BODY, "l= does not cover the body", 0);
	add_set(w, &cut, &(struct spec){.more = "l=3;", .bh = part});
	expect(w, &cut, BODY, "l= does not cover the body", 0);
	add_set(w, &beyond, &(struct spec){.more = "l=8;"});
	expect(w, &beyond, BODY, "l= does not cover the body", 0);
	/* of an older signature it is told, not judged */
	add_set(w, &old, &(struct spec){.more = "l=3;", .bh = part});
	add_set(w, &old, &(struct spec){0});
	expect(w, &old, BODY, NULL, 2);
	world_free(w);
}

/* ---- costs ---- */

/* The sender chooses c= and l=; each way costs as much as the body is long. */
static void test_bodies(void **state)
{
	struct world *w = world_new();
	struct chain same = {0}, many = {0};
	struct arc_result r;

	(void)state;
	for (size_t i = 0; i < ARC_SETS_MAX; i++) {
		add_set(w, &same, &(struct spec){0});
		add_set(w, &many,
			&(struct spec){
				.canon = i % 2 > 0 ? "c=relaxed/relaxed;" : "",
				.more = i + 1 < ARC_SETS_MAX
						? arena_printf(w->a, "l=%zu;",
							       i + 8)
						: NULL});
	}
	verify(w, &same, BODY, 10, &r);
	assert_int_equal(body_feeds, 10);
	verify(w, &many, BODY, 10, &r);
	assert_int_equal(body_feeds, 10 * 4);
	/* the newest one has its place */
	expect(w, &many, BODY, NULL, ARC_SETS_MAX);
	world_free(w);
}

static size_t cost(struct world *w, size_t sets)
{
	struct chain c = {0};
	struct arc_result r;

	for (size_t i = 0; i < sets; i++)
		add_set(w, &c, &(struct spec){0});
	verify(w, &c, BODY, 1, &r);
	assert_int_equal(r.status, ARC_STATUS_PASS);
	return hashed;
}

/* One running hash: bytes hashed grow with the sets, not with their square. */
static void test_linear(void **state)
{
	struct world *w = world_new();
	size_t one = cost(w, 1), ten = cost(w, 10), all = cost(w, ARC_SETS_MAX);

	(void)state;
	assert_true(ten > 5 * one);
	assert_true(ten < 12 * one);
	assert_true(all < ARC_SETS_MAX * 12 / 10 * one);
	world_free(w);
}

/* A chain whose every key is another one takes nothing from those who ask
 * after it. */
static void test_keys(void **state)
{
	struct world *w = world_new();
	struct eval_env env = {.authserv_id = "mx.test",
			       .dns = w->dns,
			       .dns_wait_ms = 2000,
			       .dns_max_queries = 50,
			       .iprev = true,
			       .dkim = {10, 50, 1024, 4096, 300, w->cache},
			       .arc = {1024, 4096, w->cache}};
	struct client_facts client = {.helo = SLICE("helo.example")};
	struct envelope_facts envelope = {.sender = SLICE("<>")};
	struct chain c = {0};
	struct field_list fields;
	struct evaluation *e;
	struct results r;

	(void)state;
	assert_true(ip_parse(SLICE("192.0.2.1"), &client.addr));
	for (int i = 0; i < ARC_SETS_MAX; i++)
		add_set(w, &c,
			&(struct spec){.selector =
					       arena_printf(w->a, "n%d", i)});
	fields_of(w, &c, &fields);
	e = evaluation_new(w->a, &env, &client, &envelope, &fields);
	evaluation_body(e, SLICE(BODY));
	evaluation_end(e, 1, &r);
	evaluation_free(e);
	assert_int_equal(r.arc.status, ARC_STATUS_FAIL);
	assert_true(r.arc.temporary);
	assert_int_equal(r.spf_helo.status, SPF_STATUS_PASS);
	assert_int_equal(r.iprev.status, IPREV_STATUS_PASS);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structure),
		cmocka_unit_test(test_oldest_pass),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_linear),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
