/* eval/awareness.c and imitation.c, and the corpus of names that look alike. */
#include "check.h"

#include <stdio.h>

#include "eval/eval.h"
#include "mail/domain.h"

/* What tests/cases/lookalike.table gets: of so many imitations so many are not
 * told, of so many honest names so many are.  The manual says the same. */
#define IMITATIONS 334
#define MISSED	   32
#define HONEST	   372
#define ACCUSED	   22

static struct dmarc_psl *psl;

static int setup(void **state)
{
	const char *error;

	(void)state;
	psl = dmarc_psl_load("", &error);
	return psl != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	dmarc_psl_free(psl);
	return 0;
}

static struct awareness *make(const struct awareness_options *o)
{
	const char *error = NULL;
	struct awareness_options all = *o;
	struct awareness *w;

	all.psl = psl;
	if (all.subject_tag == NULL)
		all.subject_tag = "";
	w = awareness_new(&all, &error);
	if (w == NULL)
		fail_msg("%s", error);
	return w;
}

static struct string_list list(struct arena *a, const char *text)
{
	struct string_list l = {0, arena_array(a, 16, sizeof(*l.v))};
	struct slice rest = slice_of(text);

	while (rest.n > 0)
		l.v[l.n++] = slice_cstr(a, slice_cut(&rest, '|'));
	return l;
}

static const char *warning(struct arena *a, const struct awareness *w,
			   const char *from)
{
	struct slice value = check_heap(from, strlen(from));
	struct awareness_facts f = {0};
	struct awareness_marks m;
	struct results r = {0};

	addr_list_parse(a, value, &r.authors);
	if (r.authors.malformed)
		fail_msg("%s: %s", from, r.authors.reason);
	awareness_decide(w, a, &f, &r, &m);
	free(unconst(value.p));
	return m.warning;
}

/* ---- the corpus ---- */

struct corpus {
	struct arena *arena;
	struct awareness_options o;
	const char *lines[1024];
	size_t nlines;
	unsigned count[2], wrong[2]; /* honest, imitations */
};

static void read_line(struct corpus *c, struct slice line)
{
	struct slice rest = line, word = slice_cut(&rest, ' ');

	if (slice_is(word, "own"))
		c->o.domains.v[c->o.domains.n++] =
			domain_canon(c->arena, slice_trim(rest));
	else if (slice_is(word, "name"))
		c->o.names.v[c->o.names.n++] = slice_cstr(c->arena, rest);
	else if (line.n > 0 && line.p[0] != '#')
		c->lines[c->nlines++] = slice_cstr(c->arena, line);
	assert_true(c->nlines < 1024 && c->o.domains.n < 64 &&
		    c->o.names.n < 64);
}

static void read_corpus(struct corpus *c)
{
	const char *dir = getenv("MAILSEAL_SRCDIR");
	FILE *f = fopen(arena_printf(c->arena, "%s/tests/cases/lookalike.table",
				     dir != NULL ? dir : "."),
			"r");
	char line[1024];

	assert_non_null(f);
	c->o.lookalikes = true;
	c->o.domains.v = arena_array(c->arena, 64, sizeof(char *));
	c->o.names.v = arena_array(c->arena, 64, sizeof(char *));
	while (fgets(line, sizeof(line), f) != NULL)
		read_line(c, slice_dup(c->arena, slice_trim(slice_of(line))));
	fclose(f);
}

/* "imitation CLASS DOMAIN of OURS": the author, or the value after "From:". */
static const char *author_of(struct arena *a, const char *line)
{
	const char *from = strstr(line, " From: ");
	struct slice rest = slice_of(line);

	if (from != NULL)
		return from + 7;
	slice_cut(&rest, ' ');
	slice_cut(&rest, ' ');
	return arena_printf(a, "x@%s", slice_cstr(a, slice_cut(&rest, ' ')));
}

static void check_line(struct corpus *c, const struct awareness *w,
		       const char *line)
{
	struct arena *a = arena_new();
	bool imitation = line[0] == 'i';
	const char *told = warning(a, w, author_of(a, line));

	c->count[imitation]++;
	if ((told != NULL) != imitation) {
		c->wrong[imitation]++;
		print_message("# %s: %s%s%s\n",
			      imitation ? "missed" : "accused", line,
			      told != NULL ? ": " : "",
			      told != NULL ? told : "");
	}
	arena_free(a);
}

static void test_corpus(void **state)
{
	struct corpus c = {.arena = arena_new()};
	struct awareness *w;

	(void)state;
	read_corpus(&c);
	w = make(&c.o);
	for (size_t i = 0; i < c.nlines; i++)
		check_line(&c, w, c.lines[i]);
	print_message("# imitations: %u, missed: %u; honest: %u, accused: %u\n",
		      c.count[1], c.wrong[1], c.count[0], c.wrong[0]);
	assert_int_equal(c.count[1], IMITATIONS);
	assert_int_equal(c.wrong[1], MISSED);
	assert_int_equal(c.count[0], HONEST);
	assert_int_equal(c.wrong[0], ACCUSED);
	awareness_free(w);
	arena_free(c.arena);
}

/* ---- the Subject ---- */

static const struct subject {
	const char *tag, *old, *want; /* NULL: stays */
} subjects[] = {
	{"[EXT]", " hello", " [EXT] hello"},
	{"[EXT]", "hello", " [EXT] hello"},
	{"[EXT]", "  hello", " [EXT]  hello"},
	{"[EXT]", "", " [EXT]"},
	{"[EXT]", " ", " [EXT]"},
	{"[EXT]", " \n \n", " [EXT]"},
	{"[EXT]", " a\n b", " [EXT] a\n b"},
	{"[EXT]", " a\r\n\tb", " [EXT] a\n\tb"},
	{"[EXT]", " a\r\n", " [EXT] a"},
	{"[EXT]", "\n a", " [EXT]\n a"},
	{"[EXT]", " \n a", " [EXT] \n a"},
	{"[EXT]", " gr\xc3\xbc\xdf", " [EXT] gr\xc3\xbc\xdf"},
	{"[EXT]", " a\rb", " [EXT] a\rb"},
	{"[EXT]", " a\nX-Evil: b", " [EXT] a\n X-Evil: b"},
	{"[EXT]", " a\n\nb", " [EXT] a\n \n b"},
	{"  [EXT]   now ", " a", " [EXT] now a"},
	/* there already */
	{"[EXT]", " [EXT] hello", NULL},
	{"[EXT]", " [ext] hello", NULL},
	{"[EXT]", " Re: [EXT] hello", NULL},
	{"[EXT]", " Re: [EXT]", NULL},
	{"[EXT now]", " Re: [EXT\n now] hello", NULL},
	{"[EXT]", " =?utf-8?q?Re:_[EXT]_gr=C3=BC=C3=9Fe?=", NULL},
	{"[EXT]", " =?utf-8?b?UmU6IFtFWFRdIGE=?=", NULL},
	{"[EXT]", " =?utf-8?q?[EX?=\n =?utf-8?q?T]?=", NULL},
	{"[EXT]", " =?utf-16?b?/v8AWwBFAFgAVABd?=", NULL},
	/* not where it is seen */
	{"[EXT]",
	 " 123456789 123456789 123456789 123456789 123456789 123456789 "
	 "[EXT]",
	 NULL}, /* begins with the 61st character */
	{"[EXT]",
	 " 123456789 123456789 123456789 123456789 123456789 123456789 "
	 "123456789 [EXT]",
	 " [EXT]\n 123456789 123456789 123456789 123456789 123456789 "
	 "123456789 123456789 [EXT]"},
	{"[EXT]", " EXT hello", " [EXT] EXT hello"},
	{"[EXT]", " [EX\xe2\x80\x8bT] a", " [EXT] [EX\xe2\x80\x8bT] a"},
	/* RFC 2047 2: 76 columns */
	{"[EXT]",
	 " =?utf-8?q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?=",
	 " [EXT]\n "
	 "=?utf-8?q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?="},
	{"[EXT]",
	 "=?utf-8?q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?"
	 "=",
	 " [EXT]\n "
	 "=?utf-8?q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?"
	 "="},
	{"[EXT]",
	 " =?utf-8?q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?=\n =?x?q?y?=",
	 " [EXT] =?utf-8?q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?=\n "
	 "=?x?q?y?="},
};

static void test_subject(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(subjects) / sizeof(*subjects); i++) {
		const struct subject *s = &subjects[i];
		struct awareness_options o = {.subject_tag = s->tag};
		struct awareness *w = make(&o);
		struct arena *a = arena_new();
		struct slice old = check_heap(s->old, strlen(s->old));
		struct awareness_facts f = {.nsubjects = 1, .subjects = {old}};
		struct awareness_marks m;
		struct results r = {0};

		awareness_decide(w, a, &f, &r, &m);
		assert_int_equal(m.nsubjects, 1);
		assert_int_equal(m.tagged, s->want != NULL);
		if (s->want == NULL)
			assert_null(m.subjects[0]);
		else
			assert_string_equal(m.subjects[0], s->want);
		assert_string_equal(log_fields_text(&m.log),
				    s->want != NULL ? " awareness=tag"
						    : " awareness=none");
		free(unconst(old.p));
		arena_free(a);
		awareness_free(w);
	}
}

/* RFC 5322 3.6: there is one; readers differ when there are more. */
static void test_subjects(void **state)
{
	struct awareness_options o = {.subject_tag = "[EXT]"};
	struct awareness *w = make(&o);
	struct arena *a = arena_new();
	struct awareness_facts f = {
		.nsubjects = 3,
		.subjects = {SLICE(" a"), SLICE(" [EXT] b"), SLICE(" c")}};
	struct awareness_marks m;
	struct results r = {0};

	(void)state;
	awareness_decide(w, a, &f, &r, &m);
	assert_int_equal(m.nsubjects, 3);
	assert_string_equal(m.subjects[0], " [EXT] a");
	assert_null(m.subjects[1]);
	assert_string_equal(m.subjects[2], " [EXT] c");
	f.nsubjects = 0;
	awareness_decide(w, a, &f, &r, &m);
	assert_int_equal(m.nsubjects, 1);
	assert_string_equal(m.subjects[0], " [EXT]");
	arena_free(a);
	awareness_free(w);
}

/* ---- who gets what ---- */

static void test_untagged(void **state)
{
	static const struct {
		const char *rcpt;
		bool untagged;
	} rows[] = {
		{"<bob@example.com>", true},
		{"bob@example.com", true},
		{"<BOB@Example.COM.>", true},
		{"<\"bob\"@example.com>", true},
		{"<eve@example.com>", false},
		{"<any@list.example.org>", true},
		{"<any@example.org>", false},
		{"<bob@sub.list.example.org>", false},
		{"<bob>", false},
		{"<>", false},
		{"", false},
		{"<@example.com>", false},
		{"<bob@[192.0.2.1]>", false},
		{"<bob@example.com", false},
	};
	struct arena *a = arena_new();
	struct awareness_options o = {
		.subject_tag = "[EXT]",
		.external_header = true,
		.untagged = list(a, "zoe@example.com|bob@example.com|"
				    "@list.example.org|ann@example.com")};
	struct awareness *w = make(&o);
	struct awareness_facts f = {
		.untagged = true, .nsubjects = 1, .subjects = {SLICE(" a")}};
	struct awareness_marks m;
	struct results r = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (awareness_is_untagged(w, slice_of(rows[i].rcpt)) !=
		    rows[i].untagged)
			fail_msg("%s", rows[i].rcpt);
	/* the Subject stays, the field is added */
	awareness_decide(w, a, &f, &r, &m);
	assert_int_equal(m.nsubjects, 0);
	assert_true(m.external);
	assert_string_equal(log_fields_text(&m.log),
			    " awareness=untagged,header");
	awareness_free(w);
	o.untagged.n = 0;
	w = make(&o);
	assert_false(awareness_is_untagged(w, SLICE("<bob@example.com>")));
	awareness_free(w);
	arena_free(a);
}

static void test_drill(void **state)
{
	struct arena *a = arena_new();
	struct awareness_options o = {.subject_tag = "[EXT]",
				      .external_header = true,
				      .lookalikes = true,
				      .domains = list(a, "example.com"),
				      .drill_domains =
					      list(a, "other.test|drill.test")};
	struct awareness *w = make(&o);
	struct awareness_facts f = {.nsubjects = 1, .subjects = {SLICE(" a")}};
	struct dkim_result d[2] = {
		{.status = DKIM_STATUS_FAIL, .domain = "drill.test"},
		{.status = DKIM_STATUS_PASS, .domain = "sub.drill.test"}};
	struct results r = {.dkim = {.n = 2, .v = d}};
	struct awareness_marks m;

	(void)state;
	addr_list_parse(a, SLICE("x@examp1e.com"), &r.authors);
	awareness_decide(w, a, &f, &r, &m);
	assert_string_equal(log_fields_text(&m.log),
			    " awareness=tag,header,warning(lookalike "
			    "examp1e.com of "
			    "example.com)");
	assert_string_equal(m.warning, "lookalike examp1e.com of example.com");
	d[0].status = DKIM_STATUS_TEMPERROR;
	awareness_decide(w, a, &f, &r, &m);
	assert_true(m.external);
	d[0].status = DKIM_STATUS_PASS;
	awareness_decide(w, a, &f, &r, &m);
	assert_string_equal(log_fields_text(&m.log),
			    " awareness=drill(drill.test)");
	assert_false(m.external);
	assert_null(m.warning);
	assert_int_equal(m.nsubjects, 0);
	/* a signature that names no domain */
	d[0].domain = NULL;
	d[0].status = DKIM_STATUS_PERMERROR;
	awareness_decide(w, a, &f, &r, &m);
	assert_true(m.external);
	awareness_free(w);
	arena_free(a);
}

/* ---- what is said ---- */

static void test_warnings(void **state)
{
	static const char *const rows[][2] = {
		{"x@examp1e.com", "lookalike examp1e.com of example.com"},
		{"x@ex\u00e4mple.com",
		 "lookalike xn--exmple-cua.com of example.com"},
		{"x@mail.ex\u0430mple.com",
		 "lookalike mail.xn--exmple-4nf.com of example.com"},
		{"x@a.example.com.evil.test",
		 "lookalike a.example.com.evil.test of example.com"},
		{"\"ceo@example.com\" <x@evil.test>",
		 "address of example.com shown for one of evil.test"},
		{"Jane Doe <x@evil.test>",
		 "name Jane Doe on an address of evil.test"},
		{"\"\u0418\u0433\u043e\u0440\u044c\" <x@evil.test>",
		 "name \\xd0\\x98\\xd0\\xb3\\xd0\\xbe\\xd1\\x80\\xd1\\x8c on "
		 "an "
		 "address of evil.test"},
		/* of several authors each */
		{"a@other.test, x@examp1e.com",
		 "lookalike examp1e.com of example.com"},
		{"a@other.test, Jane Doe <x@evil.test>",
		 "name Jane Doe on an address of evil.test"},
		{"a@example.com, Jane Doe <x@evil.test>", NULL},
		{"a@example.com, \"b@example.com\" <x@evil.test>",
		 "address of example.com shown for one of evil.test"},
		{"a@example.com, b@examp1e.com",
		 "lookalike examp1e.com of example.com"},
		/* ours, and the same registrant's */
		{"Jane Doe <x@example.com>", NULL},
		{"Jane Doe <x@a.example.com>", NULL},
		{"Jane Doe <x@host.test>", NULL},
		{"Jane Doe <x@other.host.test>", NULL},
		{"x@h0st.test", "lookalike h0st.test of mail.host.test"},
		{"\"x@host.test\" <x@evil.test>", NULL},
		{"\"x@mail.host.test\" <x@evil.test>",
		 "address of mail.host.test shown for one of evil.test"},
		{"a: ;", NULL},
	};
	struct arena *a = arena_new();
	struct awareness_options o = {
		.lookalikes = true,
		.domains = list(a, "example.com|mail.host.test"),
		.names =
			list(a, "Jane Doe|\u0418\u0433\u043e\u0440\u044c|...")};
	struct awareness *w = make(&o);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *got = warning(a, w, rows[i][0]);
		if (rows[i][1] == NULL && got != NULL)
			fail_msg("%s: %s", rows[i][0], got);
		if (rows[i][1] != NULL && got == NULL)
			fail_msg("%s: not told", rows[i][0]);
		if (got != NULL)
			assert_string_equal(got, rows[i][1]);
	}
	awareness_free(w);
	arena_free(a);
}

/* Off: nothing is looked for. */
static void test_off(void **state)
{
	struct arena *a = arena_new();
	struct awareness_options o = {.external_header = true,
				      .domains = list(a, "example.com"),
				      .names = list(a, "Jane Doe")};
	struct awareness *w = make(&o);

	(void)state;
	assert_null(warning(a, w, "Jane Doe <x@examp1e.com>"));
	awareness_free(w);
	arena_free(a);
}

static void test_bounds(void **state)
{
	struct awareness_options o = {.subject_tag = "", .lookalikes = true};
	const char *error = NULL;

	(void)state;
	assert_null(awareness_new(&o, &error));
	assert_string_equal(error, "awareness.lookalikes needs "
				   "awareness.domains; give those that are "
				   "ours");
	o.domains.n = 1001;
	assert_null(awareness_new(&o, &error));
	assert_string_equal(error, "awareness.domains: give at most 1000");
	o.domains.n = 1;
	o.names.n = 10001;
	assert_null(awareness_new(&o, &error));
	assert_string_equal(error, "awareness.names: give at most 10000");
}

/* ---- hostile input ---- */

static const char *repeat(struct arena *a, const char *before, const char *text,
			  size_t n, const char *after)
{
	struct strbuf b;

	strbuf_init(&b, a, n + 1024);
	strbuf_adds(&b, before);
	while (b.n + strlen(text) < n)
		strbuf_adds(&b, text);
	strbuf_adds(&b, after);
	return strbuf_cstr(&b);
}

/* What a sender can make long or dear; only that it ends well, and that it
 * says nothing that is not printable ASCII. */
static void test_hostile(void **state)
{
	static const char *const texts[] = {
		"x",
		"\ufdfa",
		"a\u0308",
		"\u200b",
		"@",
		"@a",
		"@example.com",
		"=?utf-8?b?/v7+?= ",
		"=?koi8-r?q?=E9?= =?koi8-u?q?=E9?= ",
		"=?utf-8?q?=E2=80=AE?= ",
		"=?",
		"a ",
		"Jane Doe ",
	};
	static const size_t sizes[] = {300, 8000};
	struct arena *a = arena_new();
	struct string_list many = {1000, arena_array(a, 1000, sizeof(char *))};
	struct awareness_options o = {.lookalikes = true,
				      .subject_tag = "[EXT]",
				      .names = list(a, "Jane Doe")};
	struct awareness *w;

	(void)state;
	for (size_t i = 0; i < many.n; i++)
		many.v[i] = arena_printf(a, "example%zu.com", i);
	o.domains = many;
	w = make(&o);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		for (size_t j = 0; j < 2; j++) {
			const char *told =
				warning(a, w,
					repeat(a, "\"", texts[i], sizes[j],
					       "\" <x@evil.test>"));
			for (; told != NULL && *told != '\0'; told++)
				assert_in_range(*told, ' ', '~');
		}
	}
	/* the longest labels, and many authors */
	(void)warning(
		a, w,
		"x@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaa.xn--a.xn---.xn--zzzzzzzzzzzzzzzzzzzzzzzz.com");
	(void)warning(a, w, repeat(a, "", "a@b.test,", 500, "x@examp1e1.com"));
	awareness_free(w);
	arena_free(a);
}

/* A Subject of a megabyte is cut where a line ends, and none is lost. */
static void test_long_subject(void **state)
{
	struct awareness_options o = {.subject_tag = "[EXT]"};
	struct awareness *w = make(&o);
	struct arena *a = arena_new();
	const char *text = repeat(a, " ", "0123456789\n ", 1000000, "");
	const char *line = repeat(a, " ", "\xc3", 1000000, "");
	struct awareness_facts f = {
		.nsubjects = 2, .subjects = {slice_of(text), slice_of(line)}};
	struct awareness_marks m;
	struct results r = {0};
	size_t n;

	(void)state;
	awareness_decide(w, a, &f, &r, &m);
	n = strlen(m.subjects[0]);
	assert_in_range(n, 32000, 32800);
	assert_string_equal(m.subjects[0] + n - 5, "56789");
	assert_in_range(strlen(m.subjects[1]), 32000, 32800);
	arena_free(a);
	awareness_free(w);
}

/* ---- what is done to the message ---- */

static void test_edits(void **state)
{
	static const char *const ids[] = {"mx.test"};
	static const struct eval_env env = {
		.authserv_id = "mx.test",
		.authserv_ids = ids,
		.nauthserv_ids = 1,
	};
	static const struct {
		enum edit_kind kind;
		size_t index;
		const char *name, *value;
	} want[] = {
		{EDIT_DELETE, 2, "X-Mailseal-External", NULL},
		{EDIT_DELETE, 1, "X-Mailseal-External", NULL},
		{EDIT_DELETE, 1, "X-Mailseal-Warning", NULL},
		{EDIT_CHANGE, 2, "Subject", " [EXT] b"},
		{EDIT_INSERT, 0, "X-Mailseal-External", " yes"},
		{EDIT_INSERT, 0, "X-Mailseal-Warning", " what"},
		{EDIT_INSERT, 0, "Authentication-Results", NULL},
	};
	struct arena *a = arena_new();
	struct own_fields own = {0};
	struct awareness_marks m = {.external = true,
				    .warning = "what",
				    .nsubjects = 2,
				    .subjects = {NULL, " [EXT] b"}};
	struct verdict v = {.marks = &m};
	struct client_facts client = {0};
	struct envelope_facts envelope = {0};
	struct results r = {0};
	struct edits e;

	(void)state;
	stamp_note(a, &env, &own, SLICE("X-Mailseal-External"), SLICE(" no"));
	stamp_note(a, &env, &own, SLICE("x-mailseal-WARNING"), SLICE(" none"));
	stamp_note(a, &env, &own, SLICE("X-Mailseal-External"), SLICE(""));
	stamp_note(a, &env, &own, SLICE("X-Mailseal-Externals"), SLICE(""));
	stamp_inbound(a, &env, &own, &client, &envelope, &r, &v, &e);
	assert_int_equal(e.n, 7);
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(e.v[i].kind, want[i].kind);
		assert_int_equal(e.v[i].index, want[i].index);
		assert_string_equal(e.v[i].name, want[i].name);
		if (want[i].value != NULL)
			assert_string_equal(e.v[i].value, want[i].value);
	}
	/* the removals alone */
	v.marks = NULL;
	stamp_inbound(a, &env, &own, &client, &envelope, &r, &v, &e);
	assert_int_equal(e.n, 4);
	stamp_outbound(a, &own, NULL, 0, NULL, &e);
	assert_int_equal(e.n, 3);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus),
		cmocka_unit_test(test_subject),
		cmocka_unit_test(test_subjects),
		cmocka_unit_test(test_untagged),
		cmocka_unit_test(test_drill),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_long_subject),
		cmocka_unit_test(test_edits),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
