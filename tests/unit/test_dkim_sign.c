/* dkim/sign: RFC 6376 5, DK-50 to DK-54; what we sign we verify. */
#include "check.h"

#include <stdio.h>

#include "dkim/dkim.h"
#include "dkim/hash.h"
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

static void txt(struct strbuf *zone, struct arena *a, const char *name,
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

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct strbuf zone;
	const char *err = NULL;

	w->a = arena_new();
	w->rsa = crypto_privkey_generate(CRYPTO_RSA, 1024);
	w->ed = crypto_privkey_generate(CRYPTO_ED25519, 0);
	w->keys[0] = (struct dkim_signing_key){"example.org", "rsa", w->rsa,
					       1209600};
	w->keys[1] = (struct dkim_signing_key){"example.org", "ed", w->ed, 0};
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

static int teardown(void **state)
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
static void parse(struct world *w, struct slice message, struct field_list *l,
		  struct slice *body)
{
	*l = (struct field_list){.n = 0};
	field_list_parse(w->a, l, &limits, message, body);
}

static bool sign(struct world *w, const char *message, struct slice ret[2],
		 const char **reason)
{
	struct slice in = check_heap(message, strlen(message)), body;
	struct field_list l;
	struct dkim_signer *s;
	bool ok;

	parse(w, in, &l, &body);
	s = dkim_signer_new(w->a, &l, w->keys, 2, NOW);
	for (size_t i = 0; i < body.n; i++) /* split everywhere */
		dkim_signer_body(s, (struct slice){body.p + i, 1});
	ok = dkim_signer_end(s, ret, reason);
	dkim_signer_free(s);
	free(unconst(in.p));
	return ok;
}

static void verify(struct world *w, struct slice message,
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

static char *with_signatures(struct world *w, const struct slice v[2],
			     const char *message)
{
	return arena_printf(w->a,
			    "DKIM-Signature:%.*s\r\nDKIM-Signature:%.*s\r\n%s",
			    (int)v[0].n, v[0].p, (int)v[1].n, v[1].p, message);
}

static const char plain[] = "Received: from x by y\r\n"
			    "From: a@example.org\r\n"
			    "To: b@example.net,\r\n\tc@example.net\r\n"
			    "Subject:   a  folded\r\n \t subject  \r\n"
			    "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
			    "List-Id: <l.example.org>\r\n"
			    "\r\n"
			    "Hello  world \r\n\r\nbye\r\n\r\n\r\n";

static void test_round_trip(void **state)
{
	static const char *const messages[] = {
		plain,
		"From: a@example.org\r\n\r\n",
		"From: a@example.org\r\n\r\n\r\n\r\n",
		"From: a@example.org\r\n\r\nno line end",
		"From: a@example.org\r\n\r\nbare \n lf and \r cr\r\n",
		"From: \xc3\xa4 <a@example.org>\r\nSubject:\r\n\r\n\xff\r\n",
		"From: a@example.org\r\nTo: x\r\nTo: y\r\n\r\nx\r\n",
		"DKIM-Signature: v=1; broken\r\nFrom: a@example.org\r\n\r\nx",
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(messages) / sizeof(char *); i++) {
		struct dkim_results r;
		struct slice v[2];
		const char *reason;

		print_message("message %zu\n", i);
		assert_true(sign(w, messages[i], v, &reason));
		verify(w, slice_of(with_signatures(w, v, messages[i])), &r);
		assert_true(r.n >= 2);
		for (size_t k = 0; k < 2; k++) {
			assert_string_equal(
				r.v[k].reason != NULL ? r.v[k].reason : "", "");
			assert_int_equal(r.v[k].status, DKIM_STATUS_PASS);
			assert_string_equal(r.v[k].domain, "example.org");
		}
		assert_int_equal(r.v[0].key_bits, 1024);
		assert_int_equal(r.v[1].key_bits, 0);
	}
}

/* RFC 6376 8.15, DK-51: whatever is changed or added breaks both. */
static void test_changes(void **state)
{
	static const struct {
		const char *from, *to;
	} changes[] = {
		{"From: a", "From: z"},
		{"bye", "Bye"},
		{"Subject:", "Subject: x\r\nSubject:"},
		{"Date:", "Cc: x\r\nDate:"},
		{"Date:", "Reply-To: x\r\nDate:"},
		{"Date:", "Content-Type: text/html\r\nDate:"},
		{"Date:", "From: b@example.org\r\nDate:"},
		{"<l.", "<m."},
	};
	struct world *w = *state;
	struct slice v[2];
	const char *reason;

	assert_true(sign(w, plain, v, &reason));
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const char *at = strstr(plain, changes[i].from);
		char *changed;
		struct dkim_results r;

		assert_non_null(at);
		changed = arena_printf(w->a, "%.*s%s%s", (int)(at - plain),
				       plain, changes[i].to,
				       at + strlen(changes[i].from));
		print_message("change to %s\n", changes[i].to);
		verify(w, slice_of(with_signatures(w, v, changed)), &r);
		assert_int_equal(r.v[0].status, DKIM_STATUS_FAIL);
		assert_int_equal(r.v[1].status, DKIM_STATUS_FAIL);
	}
	/* List-Id and Received are not oversigned or not signed. */
	struct dkim_results r;
	verify(w,
	       slice_of(with_signatures(
		       w, v,
		       arena_printf(w->a, "Received: z\r\nList-Id: <0>\r\n%s",
				    plain))),
	       &r);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
	assert_int_equal(r.v[1].status, DKIM_STATUS_PASS);
}

/* DK-52, DK-54 */
static void test_form(void **state)
{
	struct world *w = *state;
	struct slice v[2];
	const char *reason;

	assert_true(sign(w, plain, v, &reason));
	for (size_t k = 0; k < 2; k++) {
		struct slice rest = v[k];
		char *text = slice_cstr(w->a, v[k]);
		size_t before = strlen("DKIM-Signature:");

		assert_true(slice_starts(v[k], " v=1; "));
		assert_true(slice_chr(v[k], '\r') < 0);
		while (rest.p != NULL) {
			struct slice line = slice_cut(&rest, '\n');
			assert_true(before + line.n < 78);
			assert_true(rest.p == NULL || rest.p[0] == '\t');
			before = 0;
		}
		assert_non_null(strstr(text, "t=1700000000;"));
		assert_null(strstr(text, " l="));
		assert_null(strstr(text, "\tl="));
		assert_null(strstr(text, " z="));
		assert_null(strstr(text, "Received"));
		assert_non_null(strstr(text, "h=From:From:To:To:Cc:"));
	}
	assert_non_null(strstr(slice_cstr(w->a, v[0]), "x=1701209600;"));
	assert_null(strstr(slice_cstr(w->a, v[1]), "x="));
	assert_non_null(strstr(slice_cstr(w->a, v[0]), "a=rsa-sha256;"));
	assert_non_null(strstr(slice_cstr(w->a, v[1]), "a=ed25519-sha256;"));
}

static void test_refused(void **state)
{
	struct world *w = *state;
	struct strbuf many;
	struct slice v[2];
	const char *reason = NULL;

	/* RFC 6376 5.4: From must be signed */
	assert_false(sign(w, "To: x\r\n\r\nx", v, &reason));
	assert_string_equal(reason, "no From field to sign");
	strbuf_init(&many, w->a, 100000);
	strbuf_adds(&many, "From: a@example.org\r\n");
	for (int i = 0; i < 300; i++)
		strbuf_adds(&many, "To: x\r\n");
	assert_false(sign(w, strbuf_cstr(&many), v, &reason));
	assert_string_equal(reason, "too many fields to sign");
}

/* libopendkim and mail/canon.c agree on what both hash. */
static void test_two_hashers(void **state)
{
	static const char message[] = "From: a@example.org\r\n"
				      "To :  x  \r\n"
				      "Subject: \r\n"
				      "SUBJECT:a\r\n \r\n\tb  c \t\r\n"
				      "X-8: \xff\xfe \xc3\xa4\r\n"
				      "Empty:\r\n"
				      "List-Id: 1\r\nList-Id: 2\r\n"
				      "\r\n";
	static const char *const lists[] = {
		"from",
		"from:from:from",
		"From : TO :\r\n\tsubject:Subject:subject:x-8:empty",
		"list-id:from:list-id:list-id:nothing",
	};
	struct world *w = *state;
	struct slice body;
	struct field_list l;

	parse(w, SLICE(message), &l, &body);
	for (size_t i = 0; i < 8; i++) {
		const char *c = i % 2 == 0 ? "relaxed" : "simple";
		struct field f = {.name = SLICE("DKIM-Signature")};
		struct dkim_header_hash v[2];

		f.raw = slice_of(arena_printf(
			w->a,
			"DKIM-Signature:  v=1; a=rsa-sha256; c=%s; d=a.b; s=s;"
			"\r\n\th=%s; bh=%s; b=AA\r\n\tAA ; x=1",
			c, lists[i / 2],
			"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="));
		f.value = slice_from(f.raw, f.name.n + 1);
		v[0] = (struct dkim_header_hash){
			.field = &f,
			.h = slice_of(lists[i / 2]),
			.mode = i % 2 == 0 ? CANON_RELAXED : CANON_SIMPLE,
			.plain = true};
		v[1] = v[0];
		v[1].plain = false;
		print_message("%s %s\n", c, lists[i / 2]);
		dkim_hash_headers(w->a, &l, &v[0], 2);
		assert_true(v[0].by_library);
		assert_false(v[1].by_library);
		assert_memory_equal(v[0].digest, v[1].digest, SHA256_LEN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_two_hashers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
