/*
 * Runs SPF checks from standard input: the helper of run_spf_cases.py and
 * run_spf_suite.py in tests/cases.  Each line of input
 *
 *	ZONE-FILE  CHECK  CLIENT  HELO  SENDER
 *
 * (with a TAB between them) is one check, "mailfrom" or "helo", against a
 * zone of its own, and makes one line of output
 *
 *	RESULT  EXPLANATION  MECHANISM  REASON  DOMAIN  TERMS  VOIDS  QUERIES
 *
 * An empty SENDER is the null path.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mail/domain.h"
#include "spf/spf.h"

static struct addr_path sender_of(struct arena *a, struct slice s)
{
	struct addr_path p = {0};
	ptrdiff_t at = slice_rchr(s, '@');

	/* by hand: the suite has senders that SMTP would refuse, such as
	 * "@example.net" */
	if (s.n == 0) {
		p.null = true;
		return p;
	}
	if (at >= 0)
		p.local = slice_first(s, (size_t)at);
	p.domain = domain_canon(a, slice_from(s, (size_t)(at + 1)));
	return p;
}

static const char *shown(const char *s)
{
	return s != NULL ? s : "";
}

static void check(struct arena *a, struct dns *d, bool helo,
		  const struct spf_query *q)
{
	struct dns_budget *b = dns_budget_new(d, 10000, 200);
	struct spf_result r;

	spf_prefetch(a, b, q);
	if (helo)
		spf_check_helo(a, b, q, &r);
	else
		spf_check_mailfrom(a, b, q, &r);
	printf("%s\t%s\t%s\t%s\t%s\t%u\t%u\t%u\n", spf_status_name(r.status),
	       shown(r.explanation), shown(r.mechanism), shown(r.reason),
	       shown(r.domain), r.terms, r.voids, dns_budget_queries(b));
	dns_budget_free(b);
}

static bool run(struct slice line)
{
	struct arena *a = arena_new();
	struct dns_options o = {.query_timeout_ms = 1000};
	struct spf_query q = {.receiver = "receiver.example",
			      .now = 1234567890};
	const char *err = "not a client address";
	struct dns *d = NULL;
	bool helo;

	o.zone_file = slice_cstr(a, slice_cut(&line, '\t'));
	helo = slice_eq(slice_cut(&line, '\t'), SLICE("helo"));
	if (ip_parse(slice_cut(&line, '\t'), &q.client))
		d = dns_new(a, &o, &err);
	if (d == NULL) {
		fprintf(stderr, "spf_suite: %s\n", err);
		arena_free(a);
		return false;
	}
	q.helo = slice_cut(&line, '\t');
	q.sender = sender_of(a, line);
	check(a, d, helo, &q);
	dns_free(d);
	arena_free(a);
	return true;
}

int main(void)
{
	char line[4096];

	while (fgets(line, sizeof(line), stdin) != NULL)
		if (!run((struct slice){line, strcspn(line, "\n")}))
			return 2;
	return 0;
}
