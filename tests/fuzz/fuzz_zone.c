/*
 * Zone files (dns/zone.c).  The input is the text of one; a zone that is
 * taken is then asked for the first word of each of its lines.
 */
#include "fuzz.h"

#include "dns/dns.h"

#define QUESTIONS_MAX 100

static void ask(struct dns_budget *b, const char *name)
{
	static const enum dns_type types[] = {DNS_A, DNS_PTR, DNS_MX, DNS_TXT,
					      DNS_AAAA};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const struct dns_answer *r = dns_ask(b, name, types[i]);

		FUZZ_CHECK((r->status == DNS_TEMPFAIL) == (r->reason != NULL));
		FUZZ_CHECK(r->status == DNS_FOUND || r->n == 0);
		for (size_t k = 0; k < r->n; k++)
			FUZZ_CHECK(r->rr[k].data.p[r->rr[k].data.n] == '\0');
		/* the same question has the same answer */
		FUZZ_CHECK(dns_ask(b, name, types[i]) == r);
	}
}

static void ask_all(struct arena *a, struct dns *d, struct slice text)
{
	struct dns_budget *b = dns_budget_new(d, 5000, QUESTIONS_MAX * 10);
	unsigned n = 0;

	while (text.p != NULL && n++ < QUESTIONS_MAX) {
		struct slice line = fuzz_line(&text);
		const char *name = slice_cstr(a, slice_cut(&line, ' '));

		ask(b, name);
		ask(b, arena_printf(a, "x.%s", name));
	}
	dns_budget_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = fuzz_input(data, size);
	struct arena *a = arena_new();
	const char *err = NULL;
	struct dns *d = dns_new_zone_text(a, text, &err);

	FUZZ_CHECK((d == NULL) == (err != NULL));
	if (d != NULL)
		ask_all(a, d, text);
	else /* "zone:line: what" */
		FUZZ_CHECK(strncmp(err, "zone:", 5) == 0 &&
			   fuzz_printable(err));
	dns_free(d);
	arena_free(a);
	return 0;
}
