/*
 * Names and words as they are read (mail/domain.c, words.c, lookalike.c): IDNA,
 * encoded-words, charsets, what looks alike.  The input is one text.
 */
#include "fuzz.h"

#include "mail/domain.h"
#include "mail/words.h"

/* Of a canonical domain. */
static void check_domain(struct arena *a, struct slice s)
{
	const char *d = domain_canon(a, s), *shown;
	unsigned n;

	if (d == NULL)
		return;
	n = domain_labels(d);
	FUZZ_CHECK(strlen(d) <= DOMAIN_MAX && d[0] != '\0' && n > 0);
	for (const char *p = d; *p != '\0'; p++)
		FUZZ_CHECK(ascii_isdigit(*p) || strchr("-_.", *p) != NULL ||
			   (*p >= 'a' && *p <= 'z'));
	FUZZ_CHECK(strcmp(domain_canon(a, slice_of(d)), d) == 0);
	FUZZ_CHECK(domain_suffix(d, n) == d && domain_is_under(d, d));
	FUZZ_CHECK(domain_is_under(d, domain_suffix(d, 1)));
	FUZZ_CHECK(domain_labels(domain_parent(d)) == n - 1);
	/* shown as it is spelt, and found again */
	shown = domain_unicode(a, d);
	FUZZ_CHECK(shown != NULL && shown[0] != '\0');
	shown = domain_canon(a, slice_of(shown));
	FUZZ_CHECK(shown != NULL && strcmp(shown, d) == 0);
}

static void check_words(const struct lookalike *l, struct arena *a,
			struct slice s)
{
	struct slice text = words_decode(l, a, s);
	const char *skeleton = lookalike_skeleton(l, a, text);

	FUZZ_CHECK(text.n <= 4 * LOOKALIKE_TEXT_MAX);
	for (size_t i = 0; i < text.n; i++)
		FUZZ_CHECK((unsigned char)text.p[i] >= 0x20 &&
			   text.p[i] != 0x7f);
	text = words_display(l, a, s);
	FUZZ_CHECK(text.n <= 4 * LOOKALIKE_TEXT_MAX);
	FUZZ_CHECK(lookalike_compare(skeleton, skeleton) == LOOKALIKE_FAR);
	FUZZ_CHECK(lookalike_length(skeleton) <= strlen(skeleton));
	FUZZ_CHECK(strlen(lookalike_bare(a, skeleton)) <= strlen(skeleton));
}

/* The first line names a charset of the rest. */
static void check_charset(const struct lookalike *l, struct arena *a,
			  struct slice s)
{
	struct slice charset = fuzz_line(&s), text = {NULL, 0};

	if (charset.n <= LOOKALIKE_CHARSET_MAX && s.n > 0 &&
	    s.n <= LOOKALIKE_TEXT_MAX &&
	    lookalike_decode(l, a, charset, s, &text))
		FUZZ_CHECK(text.p != NULL && text.n <= 4 * LOOKALIKE_TEXT_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct lookalike *l; /* kept: it costs more than a run */
	struct slice s = fuzz_input(data, size);
	struct arena *a = arena_new();
	const char *error = NULL;

	if (l == NULL)
		l = lookalike_new(&error);
	FUZZ_CHECK(l != NULL);
	check_domain(a, s);
	check_words(l, a, s);
	check_charset(l, a, s);
	arena_free(a);
	return 0;
}
