/*
 * Authentication-Results (RFC 8601 2.2): reader, writer and the test for
 * forged fields.  The input is one field value.
 *
 * What parses and names us must count as a claim, and what we write must
 * parse, whatever the wire text in it.
 */
#include "fuzz.h"

#include "mail/authres.h"
#include "mail/domain.h"

#define ID "mx.example.org"

static void check_read(struct arena *a, struct slice value)
{
	const char *none = "other.example", *ids[1] = {none};
	struct authres r = {0};

	if (!authres_parse(a, value, &r))
		return;
	FUZZ_CHECK(r.n <= AUTHRES_MAX_RESINFO);
	for (size_t i = 0; i < r.n; i++) {
		FUZZ_CHECK(r.v[i].method.n > 0 && r.v[i].result.n > 0);
		for (size_t k = 0; k < r.v[i].nprops; k++)
			FUZZ_CHECK(r.v[i].props[k].ptype.n > 0 &&
				   r.v[i].props[k].name.n > 0);
	}
	ids[0] = domain_canon(a, r.id);
	if (ids[0] != NULL) /* AR-4 */
		FUZZ_CHECK(authres_claims(a, value, ids, 1));
	if (r.version != 1) /* RFC 8601 5 */
		FUZZ_CHECK(authres_claims(a, value, &none, 1));
}

static void check_written(struct arena *a, struct slice value)
{
	static const char *const ids[] = {ID};
	struct authres r = {0};
	struct authres_writer w;
	struct slice out;

	authres_begin(&w, a, ID);
	authres_method(&w, "spf", "pass", NULL, slice_cstr(a, value));
	authres_prop(&w, "smtp", "mailfrom", value);
	authres_method(&w, "dkim", "fail", "a reason of ours", NULL);
	authres_prop(&w, "header", "b", value);
	out = authres_end(&w);
	FUZZ_CHECK(authres_parse(a, out, &r));
	FUZZ_CHECK(slice_is(r.id, ID) && r.n == 2);
	FUZZ_CHECK(slice_is(r.v[0].result, "pass"));
	FUZZ_CHECK(slice_is(r.v[1].result, "fail"));
	FUZZ_CHECK(authres_claims(a, out, ids, 1));
	for (size_t i = 0; i < out.n; i++) {
		bool fold = out.p[i] == '\n' && i + 1 < out.n &&
			    out.p[i + 1] == '\t';

		FUZZ_CHECK(fold || out.p[i] == '\t' ||
			   (out.p[i] >= 0x20 && out.p[i] < 0x7f));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new();

	check_read(a, fuzz_input(data, size));
	check_written(a, fuzz_input(data, size));
	arena_free(a);
	return 0;
}
