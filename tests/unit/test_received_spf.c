/*
 * received_spf.c: Received-SPF (RFC 7208 9.1) as it should be, and whatever
 * the client says, well formed: each field goes through a strict reader of
 * the grammar, written here from the RFC and knowing nothing of the writer.
 */
#include "check.h"

#include <stdio.h>

#include "eval/eval.h"

#define PAIRS_MAX 16

/* ---- a strict reader ---- */

struct pair {
	char key[32];
	char value[1024]; /* unquoted */
};

struct received {
	char result[16];
	bool comment;
	size_t n;
	struct pair v[PAIRS_MAX];
};

/* The rest; `bad` once the grammar was left. */
struct reader {
	const char *p, *end;
	bool bad;
};

static bool at(const struct reader *r, char c)
{
	return r->p < r->end && *r->p == c;
}

static void need(struct reader *r, bool good)
{
	if (!good)
		r->bad = true;
}

static void eat(struct reader *r, char c)
{
	need(r, at(r, c));
	if (!r->bad)
		r->p++;
}

/* RFC 5322 3.2.2: FWS = ([*WSP CRLF] 1*WSP); a fold is LF here. */
static size_t fws(struct reader *r)
{
	const char *from = r->p;
	unsigned folds = 0;

	while (at(r, ' ') || at(r, '\t') || at(r, '\n')) {
		folds += *r->p == '\n';
		r->p++;
	}
	need(r, folds <= 1 && (r->p == from || r->p[-1] != '\n'));
	return (size_t)(r->p - from);
}

static bool vchar(const struct reader *r)
{
	return r->p<r->end && * r->p> ' ' && *r->p < 0x7f;
}

static void quoted_pair(struct reader *r)
{
	eat(r, '\\');
	need(r, vchar(r) || at(r, ' ') || at(r, '\t'));
	if (!r->bad)
		r->p++;
}

/* comment = "(" *([FWS] ccontent) [FWS] ")" */
static void comment(struct reader *r)
{
	eat(r, '(');
	while (!r->bad && !at(r, ')')) {
		if (fws(r) > 0)
			continue;
		if (at(r, '(')) {
			comment(r);
		} else if (at(r, '\\')) {
			quoted_pair(r);
		} else {
			need(r, vchar(r));
			r->p++;
		}
	}
	eat(r, ')');
}

static void put(struct reader *r, char *to, size_t size, char c)
{
	size_t n = strlen(to);

	need(r, n + 1 < size);
	if (!r->bad)
		to[n] = c;
}

/* RFC 5322 3.2.4: qcontent; FWS counts as it stands. */
static void quoted_string(struct reader *r, struct pair *to)
{
	eat(r, '"');
	while (!r->bad && !at(r, '"')) {
		if (at(r, '\\')) {
			quoted_pair(r);
			put(r, to->value, sizeof(to->value), r->p[-1]);
			continue;
		}
		need(r, vchar(r) || at(r, ' '));
		if (!r->bad)
			put(r, to->value, sizeof(to->value), *r->p++);
	}
	eat(r, '"');
}

static bool atext(const struct reader *r)
{
	return vchar(r) && strchr("()<>[]:;@\\,.\"", *r->p) == NULL;
}

/* RFC 5322 3.2.3: dot-atom-text = 1*atext *("." 1*atext) */
static void dot_atom(struct reader *r, struct pair *to)
{
	for (;;) {
		need(r, atext(r));
		while (!r->bad && atext(r))
			put(r, to->value, sizeof(to->value), *r->p++);
		if (r->bad || !at(r, '.'))
			return;
		put(r, to->value, sizeof(to->value), *r->p++);
	}
}

/* name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ), as every key is. */
static void key_value(struct reader *r, struct pair *to)
{
	need(r, r->p < r->end && ascii_isalpha(*r->p));
	while (!r->bad && r->p < r->end && (ascii_isalnum(*r->p) || at(r, '-')))
		put(r, to->key, sizeof(to->key), *r->p++);
	eat(r, '=');
	if (at(r, '"'))
		quoted_string(r, to);
	else
		dot_atom(r, to);
}

/* result FWS [comment FWS] [key-value-list], without the last ";" */
static bool read_field(struct slice s, struct received *ret)
{
	struct reader r = {s.p, s.p + s.n, false};

	*ret = (struct received){0};
	while (r.p < r.end && ascii_isalpha(*r.p))
		put(&r, ret->result, sizeof(ret->result), *r.p++);
	need(&r, fws(&r) > 0);
	ret->comment = at(&r, '(');
	if (ret->comment) {
		comment(&r);
		need(&r, fws(&r) > 0);
	}
	while (!r.bad) {
		need(&r, ret->n < PAIRS_MAX);
		if (!r.bad)
			key_value(&r, &ret->v[ret->n++]);
		if (r.p == r.end || r.bad)
			break;
		eat(&r, ';');
		need(&r, fws(&r) > 0);
	}
	return !r.bad;
}

/* RFC 5322 2.1.1; `name`: columns before the value */
static size_t longest_line(struct slice s, size_t name)
{
	size_t most = 0, column = name;

	for (size_t i = 0; i < s.n; i++) {
		column = s.p[i] == '\n' ? 0 : column + 1;
		if (s.p[i] == '\t')
			column = 8;
		most = column > most ? column : most;
	}
	return most;
}

static const char *value_of(const struct received *f, const char *key)
{
	const char *ret = NULL;

	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(f->v[i].key, key) != 0)
			continue;
		assert_null(ret); /* RFC 7208 9.1: a key stands once */
		ret = f->v[i].value;
	}
	return ret;
}

/* The reader itself can say no. */
static void test_reader(void **state)
{
	static const char *const bad[] = {
		"",
		"pass",
		"pass ",
		"pass (a",
		"pass (a) ",
		"pass (a)\n\t\n\thelo=a",
		"pass (a)\nhelo=a",
		"pass (a) helo=",
		"pass (a) helo=a.",
		"pass (a) helo=.a",
		"pass (a) helo=a@b",
		"pass (a) helo=a b=c",
		"pass (a) helo=a;b=c",
		"pass (a) helo=\"a",
		"pass (a) helo=\"a\"b\"",
		"pass (a) helo=\"a\tb\"",
		"pass (a) helo=\"\x80\"",
		"pass (a) helo=\"\\\x01\"",
		"pass (\x80) helo=a",
	};
	struct received f;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (read_field(slice_of(bad[i]), &f))
			fail_msg("was read: %s", bad[i]);
	assert_true(read_field(
		SLICE("pass (a \\( (b)\n\tc) helo=\"a\\\"  b\";\n\tx=y.z"),
		&f));
	assert_string_equal(value_of(&f, "helo"), "a\"  b");
	assert_string_equal(value_of(&f, "x"), "y.z");
}

/* ---- what is written ---- */

struct input {
	const char *client;
	struct slice sender, helo;
	struct spf_result spf;
};

static struct slice make(struct arena *a, const struct input *in)
{
	struct client_facts client = {.helo = in->helo};
	struct envelope_facts envelope = {.sender = in->sender};

	assert_true(ip_parse(slice_of(in->client), &client.addr));
	return stamp_received_spf(a, "mx.test", &client, &envelope, &in->spf);
}

#define MAILFROM .checked = true, .identity = SPF_IDENTITY_MAILFROM
#define HELO	 .checked = true, .identity = SPF_IDENTITY_HELO

static const struct row {
	struct input in;
	const char *want; /* folds taken out */
} rows[] = {
	{{"192.0.2.1",
	  SLICE("<a@example.org>"),
	  SLICE("client.example"),
	  {MAILFROM, .status = SPF_STATUS_PASS, .domain = "example.org",
	   .mechanism = "ip4:192.0.2.0/24"}},
	 "pass (mx.test: domain of example.org designates 192.0.2.1 as "
	 "permitted sender) client-ip=192.0.2.1; "
	 "envelope-from=\"a@example.org\"; helo=client.example; "
	 "identity=mailfrom; receiver=mx.test; mechanism=\"ip4:192.0.2.0/24\""},
	{{"2001:db8::1",
	  SLICE("<>"),
	  SLICE("client.example"),
	  {HELO, .status = SPF_STATUS_FAIL, .domain = "client.example",
	   .mechanism = "-all"}},
	 "fail (mx.test: domain of client.example does not designate "
	 "2001:db8::1 as permitted sender) client-ip=\"2001:db8::1\"; "
	 "envelope-from=\"<>\"; helo=client.example; identity=helo; "
	 "receiver=mx.test; mechanism=-all"},
	{{"192.0.2.1",
	  SLICE("a@example.org"),
	  SLICE(""),
	  {MAILFROM, .status = SPF_STATUS_SOFTFAIL, .domain = "example.org",
	   .mechanism = "~all"}},
	 "softfail (mx.test: domain of transitioning example.org does not "
	 "designate 192.0.2.1 as permitted sender) client-ip=192.0.2.1; "
	 "envelope-from=\"a@example.org\"; identity=mailfrom; "
	 "receiver=mx.test; mechanism=~all"},
	{{"192.0.2.1",
	  SLICE("<a@example.org>"),
	  SLICE("[192.0.2.1]"),
	  {MAILFROM, .status = SPF_STATUS_NEUTRAL, .domain = "example.org",
	   .mechanism = "default"}},
	 "neutral (mx.test: 192.0.2.1 is neither permitted nor denied by "
	 "domain of example.org) client-ip=192.0.2.1; "
	 "envelope-from=\"a@example.org\"; helo=\"[192.0.2.1]\"; "
	 "identity=mailfrom; receiver=mx.test; mechanism=default"},
	{{"192.0.2.1",
	  SLICE("<a@example.org>"),
	  SLICE("x"),
	  {MAILFROM, .status = SPF_STATUS_NONE, .domain = "example.org",
	   .reason = "no SPF record"}},
	 "none (mx.test: domain of example.org does not designate permitted "
	 "sender hosts) client-ip=192.0.2.1; envelope-from=\"a@example.org\"; "
	 "helo=x; identity=mailfrom; receiver=mx.test"},
	{{"192.0.2.1",
	  SLICE("<a@example.org>"),
	  SLICE("x"),
	  {HELO, .status = SPF_STATUS_NONE,
	   .reason = "HELO is no multi-label domain"}},
	 "none (mx.test: HELO is no multi-label domain) client-ip=192.0.2.1; "
	 "envelope-from=\"a@example.org\"; helo=x; identity=helo; "
	 "receiver=mx.test"},
	{{"192.0.2.1",
	  SLICE("<a@example.org>"),
	  SLICE("x"),
	  {MAILFROM, .status = SPF_STATUS_TEMPERROR, .domain = "example.org",
	   .reason = "time-out"}},
	 "temperror (mx.test: error in processing during lookup of "
	 "example.org) client-ip=192.0.2.1; envelope-from=\"a@example.org\"; "
	 "helo=x; identity=mailfrom; receiver=mx.test; problem=time-out"},
	{{"192.0.2.1",
	  SLICE("<a@example.org>"),
	  SLICE("x"),
	  {MAILFROM, .status = SPF_STATUS_PERMERROR, .domain = "example.org",
	   .reason = "too many (10) terms", .mechanism = "exists:%{l}.a"}},
	 "permerror (mx.test: error in processing during lookup of "
	 "example.org) client-ip=192.0.2.1; envelope-from=\"a@example.org\"; "
	 "helo=x; identity=mailfrom; receiver=mx.test; "
	 "mechanism=\"exists:%{l}.a\"; problem=\"too many (10) terms\""},
	/* parentheses in a reason stay inside of the comment */
	{{"192.0.2.1",
	  SLICE("<a@example.org>"),
	  SLICE("x"),
	  {MAILFROM, .status = SPF_STATUS_NONE, .reason = "bad (\\) path"}},
	 "none (mx.test: bad \\(\\\\\\) path) client-ip=192.0.2.1; "
	 "envelope-from=\"a@example.org\"; helo=x; identity=mailfrom; "
	 "receiver=mx.test"},
};

static const char *unfolded(struct arena *a, struct slice s)
{
	struct strbuf b;

	strbuf_init(&b, a, 8192);
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '\n')
			strbuf_addc(&b, s.p[i] == '\t' ? ' ' : s.p[i]);
	return strbuf_cstr(&b);
}

/* RFC 7208 9.1, each result; ordinary lines stay within 78 columns. */
static void test_results(void **state)
{
	struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct slice s = make(a, &rows[i].in);
		struct received f;

		assert_string_equal(unfolded(a, s), rows[i].want);
		assert_true(read_field(s, &f));
		assert_true(longest_line(s, strlen("Received-SPF: ")) <= 78);
	}
	arena_free(a);
}

/* RFC 5322 3.2.3: what may stand without quotes. */
static void test_atoms(void **state)
{
	static const struct {
		const char *helo, *want;
	} atoms[] = {
		{"a", " helo=a;"},	     {"a.b-c_d", " helo=a.b-c_d;"},
		{"a..b", " helo=\"a..b\";"}, {".a", " helo=\".a\";"},
		{"a.", " helo=\"a.\";"},     {".", " helo=\".\";"},
		{"a b", " helo=\"a b\";"},   {"a\\", " helo=\"a\\\\\";"},
	};
	struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < sizeof(atoms) / sizeof(*atoms); i++) {
		struct input in = rows[0].in;
		struct received f;
		struct slice s;

		in.helo = slice_of(atoms[i].helo);
		s = make(a, &in);
		assert_true(read_field(s, &f));
		assert_string_equal(value_of(&f, "helo"), atoms[i].helo);
		assert_non_null(strstr(unfolded(a, s), atoms[i].want));
	}
	arena_free(a);
}

static uint32_t next_random(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

/* A third of it any bytes, else what a grammar could trip over, else what
 * could be a value. */
static struct slice random_bytes(uint32_t *x)
{
	static const char nasty[] = "\"\\;=() \t\r\n<>@.,[]:a\x7f\x80\0-";
	static const char plain[] = "ab.c-d@e f\"\\;=(x)";
	size_t n = next_random(x) % (next_random(x) % 8 == 0 ? 400 : 24);
	char *p = malloc(n + 1);
	uint32_t kind = next_random(x) % 3;

	for (size_t i = 0; i < n; i++) {
		uint32_t r = next_random(x) >> 8;

		if (kind == 0)
			p[i] = (char)r;
		else if (kind == 1)
			p[i] = nasty[r % (sizeof(nasty) - 1)];
		else
			p[i] = plain[r % (sizeof(plain) - 1)];
	}
	return (struct slice){p, n};
}

/* All that a quoted-string can carry, of a length that a line can. */
static bool can_be_shown(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return s.n > 0 && s.n <= 320;
}

/* Whole and unchanged, or not at all. */
static void check_value(const struct received *f, const char *key,
			struct slice given)
{
	const char *got = value_of(f, key);

	if (!can_be_shown(given))
		assert_null(got);
	else
		check_slice(given, got != NULL ? got : "(missing)");
}

/* RFC 7208 9.1 and 11.5.3: whatever bytes come, the field parses, its own
 * words stand where they should, and nothing is added to it. */
static void test_hostile(void **state)
{
	uint32_t x = 7208;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct arena *a = arena_new();
		struct slice helo = random_bytes(&x);
		struct slice from = random_bytes(&x);
		struct slice path = slice_of("<>");
		struct received f;
		struct slice s;

		if (from.n > 0)
			path = (struct slice){
				arena_printf(a, "<%*s>", (int)from.n, ""),
				from.n + 2};
		memcpy(unconst(path.p + (from.n > 0)), from.p, from.n);
		s = make(a,
			 &(struct input){"192.0.2.1",
					 path,
					 helo,
					 {MAILFROM, .status = SPF_STATUS_PASS,
					  .domain = "example.org",
					  .mechanism = "all"}});
		if (!read_field(s, &f))
			fail_msg("%.*s", (int)s.n, s.p);
		assert_true(longest_line(s, 14) < 998);
		assert_string_equal(f.result, "pass");
		assert_true(f.comment);
		assert_string_equal(f.v[0].key, "client-ip");
		assert_string_equal(value_of(&f, "client-ip"), "192.0.2.1");
		assert_string_equal(value_of(&f, "identity"), "mailfrom");
		assert_string_equal(value_of(&f, "receiver"), "mx.test");
		assert_string_equal(value_of(&f, "mechanism"), "all");
		assert_int_equal(
			f.n, 4 + (value_of(&f, "helo") != NULL) +
				     (value_of(&f, "envelope-from") != NULL));
		check_value(&f, "helo", helo);
		check_value(&f, "envelope-from",
			    from.n > 0 ? from : SLICE("<>"));
		free(unconst(helo.p));
		free(unconst(from.p));
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_atoms),
		cmocka_unit_test(test_hostile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
