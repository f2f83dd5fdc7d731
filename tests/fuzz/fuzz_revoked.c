/*
 * The list of revoked logins (gate/revoked.h).  The input: a line with an "r"
 * when realms are removed, then the text of the file.
 */
#include "fuzz.h"

#include "gate/revoked.h"

#define TEXT_MAX (1 << 20)

static struct slice text_of(struct strbuf *b, struct arena *a)
{
	FUZZ_CHECK(!b->overflow);
	return slice_dup(a, strbuf_slice(b));
}

static struct revoked_list *read_ours(struct arena *a, struct slice text,
				      bool strip)
{
	const char *err = NULL;
	struct revoked_list *l =
		revoked_list_read(a, text, "revoked", strip, &err);

	FUZZ_CHECK(l != NULL && err == NULL);
	return l;
}

/* It is there, in any case of letters; without it, it is not; with it again,
 * it is. */
static void check_login(struct arena *a, const struct revoked_list *l,
			struct slice login, bool strip)
{
	struct revoked_list *without, *with;
	struct strbuf b;

	FUZZ_CHECK(login.n > 0 && login.n <= REVOKED_LOGIN_MAX);
	FUZZ_CHECK(revoked_objection(login, strip) == NULL);
	FUZZ_CHECK(revoked_list_has(l, login));
	FUZZ_CHECK(revoked_list_has(l, slice_of(slice_lower(a, login))));
	strbuf_init(&b, a, TEXT_MAX);
	revoked_list_without(l, login, &b);
	without = read_ours(a, text_of(&b, a), strip);
	FUZZ_CHECK(!revoked_list_has(without, login));
	FUZZ_CHECK(revoked_list_size(without) < revoked_list_size(l));
	strbuf_init(&b, a, TEXT_MAX);
	revoked_list_with(without, login, &b);
	with = read_ours(a, text_of(&b, a), strip);
	FUZZ_CHECK(revoked_list_has(with, login));
	FUZZ_CHECK(revoked_list_size(with) == revoked_list_size(without) + 1);
	revoked_list_free(without);
	revoked_list_free(with);
}

static void check_list(struct arena *a, const struct revoked_list *l,
		       bool strip)
{
	size_t n = revoked_list_size(l);

	FUZZ_CHECK(n <= REVOKED_MAX);
	FUZZ_CHECK(!revoked_list_has(l, SLICE("")));
	for (size_t i = 0; i < n && i < 20; i++)
		check_login(a, l, revoked_list_login(l, i), strip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = fuzz_input(data, size);
	bool strip = slice_is(fuzz_line(&text), "r");
	struct arena *a = arena_new();
	const char *err = NULL;
	struct revoked_list *l;

	l = revoked_list_read(a, text, "revoked", strip, &err);
	FUZZ_CHECK((l == NULL) == (err != NULL));
	if (l != NULL)
		check_list(a, l, strip);
	else
		FUZZ_CHECK(fuzz_printable(err) &&
			   strncmp(err, "revoked:", 8) == 0);
	revoked_list_free(l);
	arena_free(a);
	return 0;
}
