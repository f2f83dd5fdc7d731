/*
 * SPF macros (RFC 7208 section 7).  The input is four lines, the address of
 * the client, HELO, the local-part and the domain of the sender, and then a
 * text that is expanded both as a domain-spec and as an explanation.
 */
#include "fuzz.h"

#include "mail/domain.h"
#include "spf/macro.h"

static const char *validated(void *arg, const char *domain)
{
	(void)arg;
	return domain;
}

static void check_domain(struct arena *a, const struct spf_macro_env *env,
			 struct slice spec)
{
	bool unmatched = false;
	const char *name = spf_macro_domain(a, env, spec, &unmatched);

	if (unmatched) /* RFC 8616 4 */
		FUZZ_CHECK(name == NULL);
	if (name != NULL) /* 7.3 */
		FUZZ_CHECK(name[0] != '\0' && strlen(name) <= DOMAIN_MAX);
	/* without a macro it is its own expansion */
	if (slice_chr(spec, '%') < 0 && spec.n <= DOMAIN_MAX)
		FUZZ_CHECK(name != NULL && slice_starts(spec, name));
}

static void check_explanation(struct arena *a, const struct spf_macro_env *env,
			      struct slice text)
{
	const char *s = spf_macro_explanation(a, env, text);

	if (s == NULL)
		return;
	/* 6.2, 11.5.2 */
	FUZZ_CHECK(s[0] != '\0' && strlen(s) <= SPF_EXPLANATION_MAX);
	FUZZ_CHECK(fuzz_printable(s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = fuzz_input(data, size);
	struct spf_macro_env env = {.now = 1000000000,
				    .receiver = "mx.example",
				    .validated = validated};
	struct arena *a = arena_new();

	if (!ip_parse(fuzz_line(&rest), &env.client))
		ip_parse(SLICE("2001:db8::1"), &env.client);
	env.helo = fuzz_line(&rest);
	env.local = fuzz_line(&rest);
	env.sender = domain_canon(a, fuzz_line(&rest));
	if (env.sender == NULL)
		env.sender = "strong-bad.email.example.com";
	env.domain = env.sender;
	if (rest.p == NULL)
		rest = (struct slice){"", 0};
	/* a valid domain-spec is a valid macro-string, and text too */
	if (spf_macro_domain_ok(rest)) {
		FUZZ_CHECK(spf_macro_string_ok(rest));
		check_domain(a, &env, rest);
	}
	check_explanation(a, &env, rest);
	arena_free(a);
	return 0;
}
