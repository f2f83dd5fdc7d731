/*
 * What `mailseal spf --trace` and `mailseal dmarc` write to a terminal of what
 * the DNS says (cmd/).  The input: a line with a domain, then a zone.
 */
#include "fuzz.h"

#include "cmd/dmarc_view.h"
#include "cmd/spf_trace.h"
#include "dmarc/dmarc.h"
#include "mail/domain.h"
#include "spf/spf.h"

#define TEXT_MAX (4 << 20)
#define WAIT_MS	 5000

static void check_text(struct strbuf *b)
{
	for (const char *p = strbuf_cstr(b); *p != '\0'; p++)
		FUZZ_CHECK(*p == '\n' || (*p >= 0x20 && *p < 0x7f));
}

static void show_spf(struct arena *a, struct dns *dns, const char *domain)
{
	struct dns_budget *b = dns_budget_new(dns, WAIT_MS, 150);
	struct spf_query q = {.helo = slice_of(domain),
			      .receiver = "mx.test",
			      .now = 1795500000,
			      .trace = spf_trace_event};
	struct spf_trace t;
	struct spf_result r;

	FUZZ_CHECK(ip_parse(SLICE("192.0.2.10"), &q.client));
	addr_path_parse(a, slice_of(arena_printf(a, "a@%s", domain)),
			&q.sender);
	spf_trace_init(&t, a);
	q.trace_arg = &t;
	spf_check_mailfrom(a, b, &q, &r);
	spf_trace_done(&t);
	check_text(&t.text);
	dns_budget_free(b);
}

static void show_dmarc(struct arena *a, struct dns *dns, const char *domain,
		       const struct dmarc_psl *psl)
{
	struct dmarc_view v = {
		.arena = a,
		.budget = dns_budget_new(dns, WAIT_MS, 150),
		.domain = domain,
		.options = {DMARC_DISCOVERY_COMPARE, psl},
	};
	struct strbuf b;

	strbuf_init(&b, a, TEXT_MAX);
	dmarc_view_find(&v);
	dmarc_show(&v, &b);
	dmarc_hints(&v, &b);
	FUZZ_CHECK(v.nasked <= DMARC_VIEW_QUESTIONS && b.n > 0);
	check_text(&b);
	dns_budget_free(v.budget);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dmarc_psl *psl; /* kept: it costs more than a run */
	struct slice zone = fuzz_input(data, size), line = fuzz_line(&zone);
	struct arena *a = arena_new();
	const char *domain = domain_canon(a, line), *err = NULL;
	struct dns *dns = NULL;

	if (psl == NULL)
		psl = dmarc_psl_load("", &err);
	FUZZ_CHECK(psl != NULL);
	if (domain != NULL)
		dns = dns_new_zone_text(a, zone, &err);
	if (dns != NULL) {
		show_spf(a, dns, domain);
		show_dmarc(a, dns, domain, psl);
	}
	dns_free(dns);
	arena_free(a);
	return 0;
}
