/* dkim/sign: RFC 6376 5, DK-50 to DK-54; what we sign we verify. */
#include "check.h"

#include <stdio.h>
#include <time.h>

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

/* What came of signing. */
struct made {
	bool ok;
	struct slice v[2];
	const char *reason, *warning;
};

/* By both keys; the body in chunks of `chunk` bytes. */
static struct made sign_chunks(struct world *w, struct slice message,
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

static struct made sign(struct world *w, const char *message)
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
		"From: \xc3\xa4 <a@example.org>\r\nSubject:\r\n\r\n\xff\r\n",
		"From: a@example.org\r\nTo: x@y\r\nTo: y@z\r\n\r\nx\r\n",
		"DKIM-Signature: v=1; broken\r\nFrom: a@example.org\r\n\r\nx",
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(messages) / sizeof(char *); i++) {
		struct dkim_results r;
		struct made m;

		print_message("message %zu\n", i);
		m = sign(w, messages[i]);
		assert_true(m.ok);
		assert_null(m.warning);
		verify(w, slice_of(with_signatures(w, m.v, messages[i])), &r);
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
	struct made m = sign(w, plain);

	assert_true(m.ok);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const char *at = strstr(plain, changes[i].from);
		char *changed;
		struct dkim_results r;

		assert_non_null(at);
		changed = arena_printf(w->a, "%.*s%s%s", (int)(at - plain),
				       plain, changes[i].to,
				       at + strlen(changes[i].from));
		print_message("change to %s\n", changes[i].to);
		verify(w, slice_of(with_signatures(w, m.v, changed)), &r);
		assert_int_equal(r.v[0].status, DKIM_STATUS_FAIL);
		assert_int_equal(r.v[1].status, DKIM_STATUS_FAIL);
	}
}

/* DK-52, DK-54 */
static void test_form(void **state)
{
	struct world *w = *state;
	struct made m = sign(w, plain);

	assert_true(m.ok);
	for (size_t k = 0; k < 2; k++) {
		struct slice rest = m.v[k];
		char *text = slice_cstr(w->a, m.v[k]);
		size_t before = strlen("DKIM-Signature:");

		assert_true(slice_starts(m.v[k], " v=1; "));
		assert_true(slice_chr(m.v[k], '\r') < 0);
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
	assert_string_equal(tag(w, m.v[0], "x"), "1701209600");
	assert_null(tag(w, m.v[1], "x"));
	assert_string_equal(tag(w, m.v[0], "a"), "rsa-sha256");
	assert_string_equal(tag(w, m.v[1], "a"), "ed25519-sha256");
}

/* The same message by the same keys gives the same bytes, alone or together. */
static void test_same_output(void **state)
{
	struct world *w = *state;
	struct made one = sign(w, plain), two = sign(w, plain);
	struct slice body, alone;
	struct field_list l;
	const char *reason;

	parse(w, SLICE(plain), &l, &body);
	for (size_t k = 0; k < 2; k++) {
		struct dkim_signer *s =
			dkim_signer_new(w->a, &l, &w->keys[k], 1, NOW);

		dkim_signer_body(s, body);
		assert_true(dkim_signer_end(s, &alone, &reason));
		dkim_signer_free(s);
		assert_true(slice_eq(one.v[k], two.v[k]));
		assert_true(slice_eq(one.v[k], alone));
	}
}

static void test_refused(void **state)
{
	struct world *w = *state;
	struct strbuf many;
	struct made m;

	/* RFC 6376 5.4: From must be signed */
	m = sign(w, "To: x@example.org\r\n\r\nx");
	assert_false(m.ok);
	assert_string_equal(m.reason, "no From field to sign");
	strbuf_init(&many, w->a, 100000);
	strbuf_adds(&many, "From: a@example.org\r\n");
	for (int i = 0; i < 300; i++)
		strbuf_adds(&many, "Subject: x\r\n");
	m = sign(w, strbuf_cstr(&many));
	assert_false(m.ok);
	assert_string_equal(m.reason, "too many fields to sign");
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
	for (size_t i = 0; i < 16; i++) {
		const char *times =
			i < 8 ? "x=1701209600"
					  : "t=1700000000; x=1701209600";
		const char *c = i % 2 == 0 ? "relaxed" : "simple";
		struct field f = {.name = SLICE("DKIM-Signature")};
		struct dkim_header_hash v[2];

		f.raw = slice_of(arena_printf(
			w->a,
			"DKIM-Signature:  v=1; a=rsa-sha256; c=%s; d=a.b; s=s;"
			"\r\n\th=%s; bh=%s; b=AA\r\n\tAA ; %s",
			c, lists[i % 8 / 2],
			"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=", times));
		f.value = slice_from(f.raw, f.name.n + 1);
		v[0] = (struct dkim_header_hash){
			.field = &f,
			.h = slice_of(lists[i % 8 / 2]),
			.mode = i % 2 == 0 ? CANON_RELAXED : CANON_SIMPLE,
			.plain = true};
		v[1] = v[0];
		v[1].plain = false;
		print_message("%s %s %s\n", times, c, lists[i % 8 / 2]);
		dkim_hash_headers(w->a, &l, &v[0], 2);
		assert_true(v[0].by_library);
		assert_false(v[1].by_library);
		assert_memory_equal(v[0].digest, v[1].digest, SHA256_LEN);
	}
}

/* ---- which fields ---- */

static enum dkim_signing_mode default_mode(const char *name)
{
	size_t n;
	const struct dkim_signed_name *v = dkim_default_names(&n);

	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0)
			return v[i].mode;
	fail_msg("%s is not in the default list", name);
	return DKIM_SIGN_PRESENT;
}

/* RFC 6376 5.4.1; DK-50, DK-51: each once, none that may not be signed. */
static void test_default_list(void **state)
{
	static const char *const present[] = {
		"List-Id",     "List-Post",   "List-Help", "List-Archive",
		"List-Owner",  "Resent-From", "Autocrypt", "Feedback-ID",
		"Resent-Date", "Content-ID",
	};
	static const char *const oversign_present[] = {
		"Sender", "Date", "Message-ID", "List-Unsubscribe",
		"List-Unsubscribe-Post"};
	static const char *const oversign[] = {
		"From",		"To",
		"Cc",		"Subject",
		"Reply-To",	"MIME-Version",
		"In-Reply-To",	"References",
		"Content-Type", "Content-Transfer-Encoding"};
	size_t n;
	const struct dkim_signed_name *v = dkim_default_names(&n);
	const char *reason;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		assert_true(dkim_signed_name_ok(v[i].name, &reason));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(v[i].name, v[k].name);
	}
	for (size_t i = 0; i < sizeof(present) / sizeof(char *); i++)
		assert_int_equal(default_mode(present[i]), DKIM_SIGN_PRESENT);
	for (size_t i = 0; i < sizeof(oversign) / sizeof(char *); i++)
		assert_int_equal(default_mode(oversign[i]), DKIM_OVERSIGN);
	for (size_t i = 0; i < sizeof(oversign_present) / sizeof(char *); i++)
		assert_int_equal(default_mode(oversign_present[i]),
				 DKIM_OVERSIGN_PRESENT);
}

/* RFC 6376 5.4.1, RFC 5322 3.6.8 */
static void test_name_ok(void **state)
{
	static const char *const good[] = {
		"From",	   "X-Campaign", "x_y",	      "Reply-To",
		"ARCHIVE", "a=b",	 "Received2", "Content-Language"};
	static const char *const bad[] = {
		"Return-Path",
		"received",
		"Comments",
		"KEYWORDS",
		"Bcc",
		"Resent-Bcc",
		"Content-Length",
		"Full-Name",
		"Authentication-Results",
		"Received-SPF",
		"ARC-Seal",
		"arc-message-signature",
		"DKIM-Signature",
		"",
		"a b",
		"a:b",
		"a;b",
		"\xc3\xa4",
		"a\r\nb",
		"a\x7f",
		"a\t",
	};
	const char *reason = NULL;
	char name[66];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(char *); i++) {
		assert_true(dkim_signed_name_ok(good[i], &reason));
		assert_null(reason);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(char *); i++) {
		print_message("%s\n", bad[i]);
		reason = NULL;
		assert_false(dkim_signed_name_ok(bad[i], &reason));
		assert_non_null(reason);
	}
	memset(name, 'x', 65);
	name[65] = '\0';
	assert_false(dkim_signed_name_ok(name, &reason));
	name[64] = '\0';
	assert_true(dkim_signed_name_ok(name, &reason));
}

/* The names of h= of a message by the default list. */
static void test_h(void **state)
{
	static const struct {
		const char *fields, *h;
	} rows[] = {
		{"", "From:From:To:Cc:Subject:Reply-To:In-Reply-To:References:"
		     "MIME-Version:Content-Type:Content-Transfer-Encoding"},
		{"DATE: x\r\nSender: s@x\r\nMessage-Id: <y>\r\nTo: a@b\r\n"
		 "X-Foo: 1\r\nReceived: x\r\n",
		 "From:From:To:To:Cc:Subject:Date:Date:Reply-To:Sender:Sender:"
		 "Message-ID:Message-ID:In-Reply-To:References:MIME-Version:"
		 "Content-Type:Content-Transfer-Encoding"},
		{"List-Unsubscribe: <u>\r\nList-Unsubscribe-Post: p\r\n"
		 "Feedback-ID: f\r\nList-Id: 1\r\nList-Id: 2\r\n",
		 "From:From:To:Cc:Subject:Reply-To:In-Reply-To:References:"
		 "MIME-Version:Content-Type:Content-Transfer-Encoding:"
		 "List-Id:List-Id:List-Unsubscribe:List-Unsubscribe:"
		 "List-Unsubscribe-Post:List-Unsubscribe-Post:Feedback-ID"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct made m = sign(
			w, arena_printf(w->a, "From: a@example.org\r\n%s\r\nx",
					rows[i].fields));
		assert_true(m.ok);
		assert_string_equal(tag(w, m.v[0], "h"), rows[i].h);
		assert_string_equal(tag(w, m.v[1], "h"), rows[i].h);
	}
}

/* RFC 6376 8.15: what happens when `added` comes on top of the message. */
static void check_added(struct world *w, const char *message, const char *added,
			enum dkim_status want)
{
	struct made m = sign(w, message);
	struct dkim_results r;

	print_message("%s", added);
	assert_true(m.ok);
	verify(w,
	       slice_of(with_signatures(
		       w, m.v, arena_printf(w->a, "%s%s", added, message))),
	       &r);
	assert_int_equal(r.v[0].status, want);
	assert_int_equal(r.v[1].status, want);
}

static void test_added_fields(void **state)
{
	static const char bare[] = "From: a@example.org\r\n\r\nx\r\n";
	static const char *const fields[] = {
		"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n",
		"Message-ID: <x@y>\r\n",
		"Sender: l@example.net\r\n",
		"List-Unsubscribe: <x>\r\n",
		"List-Unsubscribe-Post: x\r\n",
	};
	static const char *const never[] = {
		"From: b@example.org\r\n",
		"To: x@y\r\n",
		"Cc: x@y\r\n",
		"Subject: x\r\n",
		"Reply-To: x@y\r\n",
		"References: <x>\r\n",
		"In-Reply-To: <x>\r\n",
		"MIME-Version: 1.0\r\n",
		"Content-Type: text/html\r\n",
		"Content-Transfer-Encoding: base64\r\n",
	};
	static const char *const always[] = {
		"List-Id: <l>\r\n",	"List-Post: <l>\r\n",
		"Received: x\r\n",	"Return-Path: <x@y>\r\n",
		"Feedback-ID: x\r\n",	"X-Spam: no\r\n",
		"Resent-From: x@y\r\n",
	};
	struct world *w = *state;

	/* The MTA or a mailing list adds an absent one; a second one, no. */
	for (size_t i = 0; i < sizeof(fields) / sizeof(char *); i++) {
		const char *with = arena_printf(w->a, "%s%s", fields[i], bare);
		check_added(w, bare, fields[i], DKIM_STATUS_PASS);
		check_added(w, with, fields[i], DKIM_STATUS_FAIL);
	}
	for (size_t i = 0; i < sizeof(never) / sizeof(char *); i++)
		check_added(w, bare, never[i], DKIM_STATUS_FAIL);
	for (size_t i = 0; i < sizeof(always) / sizeof(char *); i++) {
		const char *with = arena_printf(w->a, "%s%s", always[i], bare);
		check_added(w, bare, always[i], DKIM_STATUS_PASS);
		check_added(w, with, always[i], DKIM_STATUS_PASS);
	}
}

/* ---- lists and identities of one's own ---- */

#define LIST(v) .names = v, .nnames = sizeof(v) / sizeof((v)[0])

/* Signs with other keys than usual. */
static struct made sign_as(struct world *w, const char *message,
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

/* Two keys, each with its own list and lifetime. */
static void test_own_lists(void **state)
{
	static const struct dkim_signed_name one[] = {
		{"x-campaign", DKIM_OVERSIGN_PRESENT},
		{"X-Other", DKIM_OVERSIGN_PRESENT},
		{"from", DKIM_SIGN_PRESENT},
		{"FROM", DKIM_OVERSIGN},
		{"List-Id", DKIM_OVERSIGN},
	};
	static const struct dkim_signed_name odd[] = {{"From", DKIM_OVERSIGN},
						      {"X+=!", DKIM_OVERSIGN}};
	static const char message[] = "X-Campaign: 7\r\nX+=!: y\r\n"
				      "From: a@example.org\r\n\r\nx\r\n";
	const struct dkim_signing_key a = {LIST(one), .lifetime = 60};
	const struct dkim_signing_key b = {LIST(odd), .lifetime = 3600};
	struct world *w = *state;
	struct made m = sign_as(w, message, a, b);
	struct dkim_results r;

	assert_true(m.ok);
	assert_string_equal(tag(w, m.v[0], "h"),
			    "x-campaign:x-campaign:from:List-Id");
	assert_string_equal(tag(w, m.v[0], "x"), "1700000060");
	assert_string_equal(tag(w, m.v[1], "h"), "From:From:X+=!:X+=!");
	assert_string_equal(tag(w, m.v[1], "x"), "1700003600");
	verify(w, slice_of(with_signatures(w, m.v, message)), &r);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
	assert_int_equal(r.v[1].status, DKIM_STATUS_PASS);
	/* Only the first signs List-Id, only the second X+=!. */
	verify(w,
	       slice_of(with_signatures(
		       w, m.v,
		       arena_printf(w->a, "List-Id: 1\r\n%s", message))),
	       &r);
	assert_int_equal(r.v[0].status, DKIM_STATUS_FAIL);
	assert_int_equal(r.v[1].status, DKIM_STATUS_PASS);
	verify(w,
	       slice_of(with_signatures(
		       w, m.v, arena_printf(w->a, "X+=!: 1\r\n%s", message))),
	       &r);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
	assert_int_equal(r.v[1].status, DKIM_STATUS_FAIL);
}

/* RFC 6376 5.4: never without From. */
static void test_bad_lists(void **state)
{
	static const struct dkim_signed_name no_from[] = {
		{"To", DKIM_OVERSIGN}, {"X-From", DKIM_OVERSIGN}};
	static struct dkim_signed_name many[201];
	const struct dkim_signing_key usual = {.lifetime = 0};
	const struct dkim_signing_key without = {LIST(no_from)};
	const struct dkim_signing_key empty = {.names = no_from};
	struct dkim_signing_key full = {LIST(many)};
	struct world *w = *state;
	struct made m;

	m = sign_as(w, plain, usual, without);
	assert_false(m.ok);
	assert_string_equal(m.reason,
			    "From is not in the list of fields to sign");
	assert_null(m.v[0].p);
	assert_null(m.v[1].p);
	m = sign_as(w, plain, empty, usual);
	assert_string_equal(m.reason,
			    "From is not in the list of fields to sign");
	for (int i = 0; i < 201; i++)
		many[i] = (struct dkim_signed_name){
			i == 0 ? "From" : arena_printf(w->a, "X-%d", i),
			DKIM_OVERSIGN_PRESENT};
	assert_false(sign_as(w, plain, usual, full).ok);
	full.nnames = 200;
	assert_true(sign_as(w, plain, usual, full).ok);
}

/* RFC 6376 3.5 (i=), RFC 5321 4.1.2 (Local-part) */
static void test_identity_ok(void **state)
{
	static const char *const good[] = {
		"@example.org",
		"@news.example.org",
		"joe@example.org",
		"joe.b+tag=x@News.Example.org",
		"\"joe b;c\"@example.org",
		"\"a@b\"@example.org",
		"\"a\\\"b\"@example.org",
		"j\xc3\xb6@example.org",
		"\"\"@example.org",
		"@m\xc3\xbc.example.org",
		"1234567890123456789012345678901234567890"
		"123456789012345678901234@example.org",
	};
	static const char *const bad[] = {
		"",
		"joe",
		"example.org",
		"joe@",
		"@",
		"joe@example.com",
		"joe@xexample.org",
		"joe@org",
		"joe b@example.org",
		" joe@example.org",
		"joe@example.org ",
		"<joe@example.org>",
		"<joe>@example.org",
		".joe@example.org",
		"joe.@example.org",
		"jo..e@example.org",
		"jo;e@example.org",
		"jo,e@example.org",
		"a@b@example.org",
		"\"joe@example.org",
		"joe\"@example.org",
		"\"a\"b@example.org",
		"\"a\".b@example.org",
		"\"a\"\"b\"@example.org",
		"\"a\r\n b\"@example.org",
		"\"a\tb\"@example.org",
		"\"a\\\"@example.org",
		"j\xf6@example.org",
		"joe@exa mple.example.org",
		"joe@x;.example.org",
		"joe@[192.0.2.1]",
		"joe(c)@example.org",
		"1234567890123456789012345678901234567890"
		"1234567890123456789012345@example.org",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(char *); i++) {
		print_message("good %s\n", good[i]);
		assert_true(dkim_identity_ok(good[i], "example.org"));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(char *); i++) {
		print_message("bad %s\n", bad[i]);
		assert_false(dkim_identity_ok(bad[i], "example.org"));
	}
}

/* RFC 6376 2.11, 3.5 */
static void test_identity(void **state)
{
	static const struct {
		const char *identity, *i;
	} rows[] = {
		{"@example.org", "@example.org"},
		{"joe@News.example.org", "joe@news.example.org"},
		{"\"j;b = @\"@example.org",
		 "\"j=3Bb=20=3D=20=40\"@example.org"},
		{"j\xc3\xb6.a=b@example.org", "j=C3=B6.a=3Db@example.org"},
		{"!#$%&'*+-/?^_`{|}~@example.org",
		 "!#$%&'*+-/?^_`{|}~@example.org"},
		{"\"a\\\\\x7e:<>,\"@example.org", "\"a\\\\~:<>,\"@example.org"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct dkim_signing_key usual = {.lifetime = 0};
		const struct dkim_signing_key key = {.identity =
							     rows[i].identity};
		struct made m;
		struct dkim_results r;

		print_message("%s\n", rows[i].identity);
		assert_true(dkim_identity_ok(rows[i].identity, "example.org"));
		m = sign_as(w, plain, key, usual);
		assert_true(m.ok);
		assert_string_equal(tag(w, m.v[0], "i"), rows[i].i);
		assert_null(tag(w, m.v[1], "i"));
		verify(w, slice_of(with_signatures(w, m.v, plain)), &r);
		assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
		check_slice(r.v[0].identity, rows[i].i);
		assert_int_equal(r.v[1].status, DKIM_STATUS_PASS);
	}
}

/* ---- line ends and what the MTA will change ---- */

/* RFC 6376 5.3, said simply: CRLF, CR and LF end a line. */
static char *with_crlf(struct world *w, const char *s)
{
	struct strbuf b;

	strbuf_init(&b, w->a, 100000);
	for (; *s != '\0'; s++) {
		if (*s != '\r' && *s != '\n') {
			strbuf_addc(&b, *s);
			continue;
		}
		strbuf_adds(&b, "\r\n");
		if (s[0] == '\r' && s[1] == '\n')
			s++;
	}
	return arena_strdup(w->a, strbuf_cstr(&b));
}

/* `body` in three chunks, cut at `one` and `two`. */
static struct slice sign_body(struct world *w, const char *body, size_t one,
			      size_t two)
{
	struct slice in = check_heap(body, strlen(body)), none, ret;
	struct field_list l;
	struct dkim_signer *s;
	const char *reason;

	parse(w, SLICE("From: a@example.org\r\n\r\n"), &l, &none);
	s = dkim_signer_new(w->a, &l, &w->keys[1], 1, NOW);
	dkim_signer_body(s, slice_first(in, one));
	dkim_signer_body(s, slice_first(slice_from(in, one), two - one));
	dkim_signer_body(s, slice_from(in, two));
	assert_true(dkim_signer_end(s, &ret, &reason));
	assert_null(dkim_signer_warning(s));
	dkim_signer_free(s);
	free(unconst(in.p));
	return ret;
}

/* SM-2, SM-3, DK-53 */
static void test_line_ends(void **state)
{
	static const char *const bodies[] = {
		"a\nb\rc\r\nd",
		"\n",
		"\r",
		"\r\r\n",
		"\n\r",
		"\r\n\n\r\r",
		"a \r\n\t b\n\n\r x",
		"a\r\r\r\nb\n\n\n",
		"\n\na\r",
		"a\r\n\nb\r\n\r",
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(bodies) / sizeof(char *); i++) {
		const char *sent = with_crlf(w, bodies[i]);
		size_t n = strlen(bodies[i]);
		struct slice want = sign_body(w, sent, 0, 0);
		struct slice none = {"", 0};
		struct dkim_results r;

		print_message("body %zu\n", i);
		for (size_t one = 0; one <= n; one++)
			for (size_t two = one; two <= n; two++)
				assert_true(slice_eq(
					sign_body(w, bodies[i], one, two),
					want));
		verify(w,
		       slice_of(with_signatures(
			       w, (struct slice[2]){want, none},
			       arena_printf(w->a,
					    "From: a@example.org\r\n\r\n%s",
					    sent))),
		       &r);
		assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
	}
}

/* The work for a chunk is linear in its size. */
static void test_many_bare_cr(void **state)
{
	struct world *w = *state;
	size_t n = 1 << 19;
	char *body = arena_alloc(w->a, n + 1);
	clock_t start = clock();

	memset(body, '\r', n);
	(void)sign_body(w, body, 0, 0);
	assert_true(clock() - start < CLOCKS_PER_SEC);
}

static bool sign_field(struct world *w, struct slice value, struct slice *ret,
		       const char **reason)
{
	struct field_list l = {.n = 0};
	struct dkim_signer *s;
	bool ok;

	field_list_add(w->a, &l, &limits, SLICE("From"),
		       SLICE(" a@example.org"));
	field_list_add(w->a, &l, &limits, SLICE("Subject"), value);
	s = dkim_signer_new(w->a, &l, &w->keys[1], 1, NOW);
	ok = dkim_signer_end(s, ret, reason);
	dkim_signer_free(s);
	return ok;
}

/* DK-53: libmilter gives folds with LF; HP-7: other line ends are refused. */
static void test_field_line_ends(void **state)
{
	static const char *const bad[] = {" a\rb",  " a\nb",	" a\r\r\n b",
					  " a\r b", " a\n\n b", " a\r"};
	struct world *w = *state;
	struct slice crlf, lf, none;
	const char *reason = NULL;

	assert_true(sign_field(w, SLICE(" a\r\n\tb"), &crlf, &reason));
	assert_true(sign_field(w, SLICE(" a\n\tb"), &lf, &reason));
	assert_true(slice_eq(crlf, lf));
	for (size_t i = 0; i < sizeof(bad) / sizeof(char *); i++) {
		reason = NULL;
		assert_false(sign_field(w, slice_of(bad[i]), &none, &reason));
		assert_string_equal(reason, "control characters in the header");
	}
}

/* Is the first field of the message signed?  Then there is no warning. */
static bool first_is_signed(struct world *w, const char *name,
			    const char *value)
{
	struct made m = sign(w, arena_printf(w->a,
					     "%s: %s\r\nFrom: a@example.org\r\n"
					     "\r\nx",
					     name, value));
	struct slice h;
	bool found = false;

	assert_true(m.ok);
	h = slice_of(tag(w, m.v[0], "h"));
	assert_string_equal(tag(w, m.v[0], "h"), tag(w, m.v[1], "h"));
	while (h.p != NULL)
		found |= slice_is_ci(slice_cut(&h, ':'), name);
	if (found)
		assert_null(m.warning);
	else
		assert_string_equal(m.warning,
				    "an address without domain is not signed");
	return found;
}

static void test_unqualified(void **state)
{
	static const char *const complete[] = {
		"",
		"a@b",
		"A B <a@b>",
		"\"A, B\" <a@b>, (x, y) c@d",
		"undisclosed-recipients:;",
		"Group: a@b, c@d;, e@f",
		"A <@r,@s:a@b>",
		"a@[192.0.2.1], b@[IPv6:2001:db8::1]",
		"\"a b\"@c",
		"\"x\\\"y, z\" <a@b>",
		"(nested (a, b) \\) c) a@b",
		"a@b,, c@d,",
		"a @ b,\r\n c@d",
		"=?utf-8?q?=C3=A4?= <a@b>",
		"\xc3\xa4@b",
		"A <a@b> B",
	};
	static const char *const incomplete[] = {
		"a",	   "a@b, c",	     "a, b@c",
		"A B <a>", "A@B <a>",	     "<>",
		"a@",	   "a@b; c",	     "\"a@b\"",
		"(a@b) c", "Group: a, c@d;", "Group: a@b, c;",
		"<@r:a>",  "<a@b>, c <d>",   "a!b",
		"a%b",	   "a@b,\r\n\tc",    "\"a@b",
		"a (x@y",
	};
	static const char *const names[] = {
		"To",	     "CC",	    "Reply-To",
		"Sender",    "Resent-To",   "Resent-Sender",
		"Resent-Cc", "Resent-From",
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(complete) / sizeof(char *); i++) {
		print_message("complete: %s\n", complete[i]);
		assert_true(first_is_signed(w, "To", complete[i]));
	}
	for (size_t i = 0; i < sizeof(incomplete) / sizeof(char *); i++) {
		print_message("incomplete: %s\n", incomplete[i]);
		assert_false(first_is_signed(w, "To", incomplete[i]));
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(char *); i++) {
		print_message("%s\n", names[i]);
		assert_true(first_is_signed(w, names[i], "a@b"));
		assert_false(first_is_signed(w, names[i], "a"));
	}
	assert_true(first_is_signed(w, "Subject", "a"));
	assert_true(first_is_signed(w, "List-Id", "a"));
}

/* What Sendmail makes of an address after the milter, and of two fields of
 * which one is complete. */
static void test_qualified_later(void **state)
{
	static const char before[] = "From: a@example.org\r\nTo: joe\r\n"
				     "To: x@y\r\nCc: y@z\r\n\r\nx\r\n";
	static const char after[] = "From: a@example.org\r\nTo: joe@host\r\n"
				    "To: x@y\r\nCc: y@z\r\n\r\nx\r\n";
	static const struct dkim_signed_name own[] = {{"From", DKIM_OVERSIGN},
						      {"To", DKIM_OVERSIGN}};
	const struct dkim_signing_key usual = {.lifetime = 0};
	const struct dkim_signing_key key = {LIST(own)};
	struct world *w = *state;
	struct made m = sign_as(w, before, usual, key);
	struct dkim_results r;

	assert_true(m.ok);
	assert_string_equal(tag(w, m.v[1], "h"), "From:From");
	assert_non_null(strstr(tag(w, m.v[0], "h"), ":Cc:Cc:"));
	verify(w, slice_of(with_signatures(w, m.v, after)), &r);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
	assert_int_equal(r.v[1].status, DKIM_STATUS_PASS);
	/* From is always signed, whatever it holds. */
	m = sign(w, "From: joe\r\n\r\nx");
	assert_true(m.ok);
	assert_null(m.warning);
	assert_true(slice_starts(slice_of(tag(w, m.v[0], "h")), "From:From:"));
}

/* RFC 5322 2.1.1; `fields` and a body line of `n` bytes before `end`. */
static const char *warning_for(struct world *w, const char *fields, size_t n,
			       const char *end, size_t chunk)
{
	char *line = arena_alloc(w->a, n + 1);
	struct made m;

	memset(line, 'x', n);
	m = sign_chunks(w,
			slice_of(arena_printf(
				w->a, "From: a@example.org\r\n%s\r\nx\r\n%s%s",
				fields, line, end)),
			chunk);
	assert_true(m.ok);
	return m.warning;
}

static void test_long_lines(void **state)
{
	static const char *const ends[] = {"\r\nx\r\n", "\nx", "\rx", "\r\r\n",
					   ""};
	static const char body[] = "a body line is longer than 998 bytes";
	static const char field[] =
		"a line of a signed field is longer than 998 bytes";
	static const size_t chunks[] = {1, 998, 1000, 65535};
	struct world *w = *state;
	char *x = arena_alloc(w->a, 1000), *fields;

	for (size_t i = 0; i < sizeof(ends) / sizeof(char *); i++) {
		for (size_t k = 0; k < 4; k++) {
			assert_null(
				warning_for(w, "", 998, ends[i], chunks[k]));
			assert_string_equal(
				warning_for(w, "", 999, ends[i], chunks[k]),
				body);
		}
	}
	memset(x, 'x', 998 - strlen("Subject: "));
	fields = arena_printf(w->a, "Subject: %s\r\n %s\r\nReceived: %sxx\r\n",
			      x, x, x);
	assert_null(warning_for(w, fields, 1, "", 1));
	fields = arena_printf(w->a, "Subject: %sx\r\n b\r\n", x);
	assert_string_equal(warning_for(w, fields, 1, "", 1), field);
	fields = arena_printf(w->a, "Subject: b\r\n xxxxxxxxx%s\r\n", x);
	assert_string_equal(warning_for(w, fields, 1, "", 1), field);
	/* The worst of several. */
	assert_string_equal(warning_for(w, fields, 999, "", 1), body);
	fields = arena_printf(w->a, "To: x\r\n%s", fields);
	assert_string_equal(warning_for(w, fields, 1, "", 1), field);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_same_output),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_two_hashers),
		cmocka_unit_test(test_default_list),
		cmocka_unit_test(test_name_ok),
		cmocka_unit_test(test_h),
		cmocka_unit_test(test_added_fields),
		cmocka_unit_test(test_own_lists),
		cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_identity_ok),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_line_ends),
		cmocka_unit_test(test_many_bare_cr),
		cmocka_unit_test(test_field_line_ends),
		cmocka_unit_test(test_unqualified),
		cmocka_unit_test(test_qualified_later),
		cmocka_unit_test(test_long_lines),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
