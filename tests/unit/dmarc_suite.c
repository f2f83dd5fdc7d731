/*
 * Evaluates DMARC from standard input: the helper of run_dmarc_cases.py in
 * tests/cases.  Each line of input
 *
 *	ZONE-FILE  DISCOVERY  LIST-FILE  FROM  SPF  DKIM
 *
 * (with a TAB between them) is one message against a zone of its own.  FROM is
 * the value of that field; SPF, of MAIL FROM, is "STATUS:DOMAIN", or empty when
 * it was not checked; DKIM is as many of these as there are signatures, with
 * spaces between.  DISCOVERY is "walk", "psl" or "compare"; the last two read
 * LIST-FILE.  One line of output is
 *
 *	STATUS  REASON  AUTHOR  ORG  POLICY-DOMAIN  TAG  PUBLISHED  POLICY
 *	ALIGNED  BY  DUPLICATES  WALKS  QUERIES  DIFFERENCE  OPINION  NAMES
 *
 * with TABs too.  OPINION is empty when libopendmarc agrees; NAMES are those of
 * the walk from the first author domain.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dmarc/dmarc.h"
#include "mail/domain.h"

#define SIGNATURES_MAX 32

/* One line of input. */
struct message {
	struct arena *arena;
	struct dns *dns;
	struct dmarc_psl *psl;
	struct addr_authors authors;
	struct spf_result spf;
	struct dkim_result signatures[SIGNATURES_MAX];
	struct dkim_results dkim;
	struct dmarc_input in;
};

static bool fail(const char *what)
{
	fprintf(stderr, "dmarc_suite: %s\n", what);
	return false;
}

static bool read_spf(struct message *m, struct slice s)
{
	struct slice name = slice_cut(&s, ':');

	if (name.n == 0)
		return true;
	m->spf.checked = true;
	m->spf.identity = SPF_IDENTITY_MAILFROM;
	m->spf.domain = domain_canon(m->arena, s);
	for (unsigned i = SPF_STATUS_NONE; i <= SPF_STATUS_PERMERROR; i++) {
		m->spf.status = (enum spf_status)i;
		if (slice_is(name, spf_status_name(m->spf.status)))
			return true;
	}
	return fail("no SPF result");
}

static bool read_signature(struct message *m, struct slice s)
{
	struct dkim_result *d = &m->signatures[m->dkim.n];
	struct slice name = slice_cut(&s, ':');

	if (m->dkim.n == SIGNATURES_MAX)
		return fail("too many signatures");
	m->dkim.n++;
	d->domain = domain_canon(m->arena, s);
	for (unsigned i = DKIM_STATUS_PASS; i <= DKIM_STATUS_PERMERROR; i++) {
		d->status = (enum dkim_status)i;
		if (slice_is(name, dkim_status_name(d->status)))
			return true;
	}
	return fail("no DKIM result");
}

static bool read_discovery(struct message *m, struct slice name,
			   const char *list)
{
	const char *err = NULL;

	if (slice_is(name, "walk"))
		return true;
	m->in.options.discovery = slice_is(name, "psl")
					  ? DMARC_DISCOVERY_PSL
					  : DMARC_DISCOVERY_COMPARE;
	m->psl = dmarc_psl_load(list, &err);
	m->in.options.psl = m->psl;
	return m->psl != NULL || fail(err);
}

static bool read_message(struct message *m, struct slice line)
{
	struct arena *a = m->arena;
	struct dns_options o = {.query_timeout_ms = 1000};
	const char *err = NULL;
	struct slice discovery;

	o.zone_file = slice_cstr(a, slice_cut(&line, '\t'));
	m->dns = dns_new(a, &o, &err);
	if (m->dns == NULL)
		return fail(err);
	discovery = slice_cut(&line, '\t');
	if (!read_discovery(m, discovery,
			    slice_cstr(a, slice_cut(&line, '\t'))))
		return false;
	addr_list_parse(a, slice_cut(&line, '\t'), &m->authors);
	if (!read_spf(m, slice_cut(&line, '\t')))
		return false;
	while (line.n > 0)
		if (!read_signature(m, slice_cut(&line, ' ')))
			return false;
	m->dkim.v = m->signatures;
	m->in.authors = &m->authors;
	m->in.spf_mailfrom = &m->spf;
	m->in.dkim = &m->dkim;
	return true;
}

static const char *shown(const char *s)
{
	return s != NULL ? s : "";
}

static const char *aligned(const struct dmarc_result *r)
{
	if (r->spf_aligned)
		return r->dkim_aligned ? "spf+dkim" : "spf";
	return r->dkim_aligned ? "dkim" : "";
}

static void print_names(const struct addr_authors *authors)
{
	const char *names[DMARC_WALK_MAX];
	size_t n = authors->ndomains > 0
			   ? dmarc_walk_names(authors->domains[0], names)
			   : 0;

	for (size_t i = 0; i < n; i++)
		printf("%s%s", i > 0 ? " " : "", names[i]);
	putchar('\n');
}

static void evaluate(struct message *m)
{
	struct dns_budget *b = dns_budget_new(m->dns, 10000, 200);
	struct ip client = {0};
	const char *opinion = NULL;
	struct dmarc_result r;

	dmarc_prefetch(m->arena, b, &m->in.options, &m->authors);
	dmarc_evaluate(m->arena, b, &m->in, &r);
	ip_parse(SLICE("192.0.2.1"), &client);
	dmarc_second_opinion(m->arena, &client, &r, &opinion);
	printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t", dmarc_status_name(r.status),
	       shown(r.reason), shown(r.author_domain), shown(r.org_domain),
	       shown(r.policy_domain), shown(r.tag),
	       dmarc_policy_name(r.published), dmarc_policy_name(r.policy));
	printf("%s\t%s\t%s\t%u\t%u\t%s\t%s\t", aligned(&r),
	       r.dkim_by != NULL ? shown(r.dkim_by->domain) : "",
	       r.duplicates ? "yes" : "", r.walks, dns_budget_queries(b),
	       shown(r.difference), shown(opinion));
	print_names(&m->authors);
	dns_budget_free(b);
}

static bool run(struct slice line)
{
	struct message m = {.arena = arena_new()};
	bool ok = read_message(&m, line);

	if (ok)
		evaluate(&m);
	dmarc_psl_free(m.psl);
	if (m.dns != NULL)
		dns_free(m.dns);
	arena_free(m.arena);
	return ok;
}

int main(void)
{
	char line[16384];

	while (fgets(line, sizeof(line), stdin) != NULL)
		if (!run((struct slice){line, strcspn(line, "\n")}))
			return 2;
	return 0;
}
