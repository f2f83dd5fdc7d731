/*
 * What readers are told (eval/awareness.c, imitation.c; mail/words.c,
 * lookalike.c).  The input: a line with the value of From, the rest is that of
 * Subject.
 */
#include "fuzz.h"

#include "eval/eval.h"

#define TAG "[EXT]"

static struct awareness *start(void)
{
	static const char *domains[] = {"example.com", "xn--mller-kva.test"};
	static const char *names[] = {"Jane Doe", "Siobh\u00e1n O'Brien"};
	const char *error;
	const struct awareness_options o = {
		.subject_tag = TAG,
		.lookalikes = true,
		.domains = {2, domains},
		.names = {2, names},
		.psl = dmarc_psl_load("", &error),
	};

	FUZZ_CHECK(o.psl != NULL);
	return awareness_new(&o, &error);
}

/* A line feed that is no fold becomes one, so white space does not count.
 * `crlf`: it may have folds as CRLF. */
static struct slice without_space(struct arena *a, struct slice s, bool crlf)
{
	struct strbuf b;

	strbuf_init(&b, a, s.n + 1);
	for (size_t i = 0; i < s.n; i++) {
		bool fold = crlf && s.p[i] == '\r' && i + 1 < s.n &&
			    s.p[i + 1] == '\n';

		if (!fold && !ascii_iswsp(s.p[i]) && s.p[i] != '\n')
			strbuf_addc(&b, s.p[i]);
	}
	return strbuf_slice(&b);
}

static void check_folds(const char *s)
{
	for (; *s != '\0'; s++)
		FUZZ_CHECK(*s != '\n' || ascii_iswsp(s[1]));
}

/* The old text is there, whole, after the tag; and a second time it stays. */
static void check_subject(const struct awareness *w, struct arena *a,
			  struct slice old, const char *tagged)
{
	struct awareness_facts f = {.nsubjects = 1,
				    .subjects = {slice_of(tagged)}};
	struct awareness_marks m;
	struct results r = {0};

	FUZZ_CHECK(strncmp(tagged, " " TAG, sizeof(TAG)) == 0);
	check_folds(tagged);
	if (slice_trim(old).n > 0)
		FUZZ_CHECK(slice_eq(
			without_space(a, slice_of(tagged + sizeof(TAG)), false),
			without_space(a, old, true)));
	awareness_decide(w, a, &f, &r, &m);
	FUZZ_CHECK(!m.tagged);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct awareness *w;
	struct arena *a = arena_new();
	struct slice rest = fuzz_input(data, size), from = fuzz_line(&rest);
	struct awareness_facts f = {.nsubjects = 1};
	struct awareness_marks m;
	struct results r = {0};

	if (w == NULL)
		w = start();
	FUZZ_CHECK(w != NULL);
	/* libmilter gives strings */
	f.subjects[0] = slice_of(slice_cstr(a, rest));
	addr_list_parse(a, from, &r.authors);
	awareness_decide(w, a, &f, &r, &m);
	FUZZ_CHECK(fuzz_printable(log_fields_text(&m.log)));
	FUZZ_CHECK(m.warning == NULL || fuzz_printable(m.warning));
	FUZZ_CHECK(m.tagged == (m.subjects[0] != NULL));
	if (m.tagged)
		check_subject(w, a, f.subjects[0], m.subjects[0]);
	(void)awareness_is_untagged(w, from);
	arena_free(a);
	return 0;
}
