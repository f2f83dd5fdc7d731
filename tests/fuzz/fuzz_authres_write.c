/*
 * Authentication-Results from writer to reader (RFC 8601 2.2): what was
 * written re-parses to itself.  The input, cut at NUL: authserv-id, comment,
 * reason, and property values.
 */
#include "fuzz.h"

#include "mail/authres.h"
#include "mail/domain.h"

#define PROPS_MAX 12

static struct slice next(struct slice *rest)
{
	return rest->p == NULL ? SLICE("") : slice_cut(rest, '\0');
}

/* AR-11: printable ASCII, at most AUTHRES_MAX_VALUE bytes. */
static struct slice cleaned(struct arena *a, struct slice s)
{
	char *p = arena_alloc(a, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n && n < AUTHRES_MAX_VALUE; i++)
		if (s.p[i] >= 0x20 && s.p[i] < 0x7f)
			p[n++] = s.p[i];
	return (struct slice){p, n};
}

/* AR-6: not what cleaning would make another identity of. */
static bool is_written(struct slice raw, struct slice text)
{
	if (text.n == raw.n)
		return text.n > 0;
	return text.n > 0 && text.n < AUTHRES_MAX_VALUE &&
	       slice_chr(raw, '@') < 0;
}

/* The properties that were read are those written, in their order. */
static void check_props(struct arena *a, const struct authres_resinfo *r,
			const struct slice *v, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		struct slice text = cleaned(a, v[i]);

		if (!is_written(v[i], text))
			continue;
		FUZZ_CHECK(at < r->nprops);
		FUZZ_CHECK(slice_is(r->props[at].ptype, "smtp") &&
			   slice_is(r->props[at].name, "mailfrom"));
		FUZZ_CHECK(slice_eq(r->props[at].value, text));
		at++;
	}
	FUZZ_CHECK(at == r->nprops);
}

/* RFC 5322 2.1.1, and no line of white space alone (4.2). */
static void check_lines(struct slice out)
{
	while (out.p != NULL) {
		struct slice line = slice_cut(&out, '\n');

		FUZZ_CHECK(line.n > 0 && line.n <= 998);
		FUZZ_CHECK(slice_trim(line).n > 0);
		for (size_t i = 0; i < line.n; i++)
			FUZZ_CHECK((line.p[i] == '\t' && i == 0) ||
				   (line.p[i] >= 0x20 && line.p[i] < 0x7f));
	}
}

static void check(struct arena *a, struct slice input)
{
	const char *id = domain_canon(a, next(&input));
	const char *comment = slice_cstr(a, next(&input));
	const char *reason = slice_cstr(a, next(&input));
	struct slice v[PROPS_MAX], want, out;
	struct authres_writer w;
	struct authres r = {0};
	size_t n = 0;

	id = id != NULL ? id : "mx.example.org";
	authres_begin(&w, a, id);
	authres_method(&w, "spf", "fail", reason, comment);
	for (; n < PROPS_MAX && input.p != NULL; n++) {
		v[n] = next(&input);
		authres_prop(&w, "smtp", "mailfrom", v[n]);
	}
	authres_method(&w, "dkim", "none", NULL, comment);
	out = authres_end(&w);
	FUZZ_CHECK(authres_parse(a, out, &r));
	FUZZ_CHECK(slice_is(r.id, id) && r.version == 1 && r.n == 2);
	FUZZ_CHECK(slice_is(r.v[0].method, "spf") &&
		   slice_is(r.v[0].result, "fail"));
	FUZZ_CHECK(slice_is(r.v[1].method, "dkim") &&
		   slice_is(r.v[1].result, "none") && r.v[1].nprops == 0);
	want = cleaned(a, slice_of(reason));
	FUZZ_CHECK(slice_eq(r.v[0].reason, want));
	check_props(a, &r.v[0], v, n);
	check_lines(out);
	FUZZ_CHECK(authres_claims(a, out, &id, 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new();

	check(a, fuzz_input(data, size));
	arena_free(a);
	return 0;
}
