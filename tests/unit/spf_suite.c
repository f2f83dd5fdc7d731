/*
 * Runs SPF checks from standard input against a zone file: the helper of
 * tests/cases/run_spf_suite.py.
 *
 *     spf_suite ZONE-FILE < "ip TAB helo TAB mailfrom" lines
 *
 * prints "result TAB explanation" for each line: the MAIL FROM check, which
 * is the HELO identity when mailfrom is empty.
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

static void run(struct dns *d, struct slice line)
{
	struct arena *a = arena_new();
	struct dns_budget *b = dns_budget_new(d, 10000, 200);
	struct spf_query q = {.receiver = "receiver.example", .now = 1};
	struct spf_result r;

	if (!ip_parse(slice_cut(&line, '\t'), &q.client))
		exit(2);
	q.helo = slice_cut(&line, '\t');
	q.sender = sender_of(a, line);
	spf_prefetch(a, b, &q);
	spf_check_mailfrom(a, b, &q, &r);
	printf("%s\t%s\n", spf_status_name(r.status),
	       r.explanation != NULL ? r.explanation : "");
	if (getenv("SPF_SUITE_VERBOSE") != NULL)
		fprintf(stderr, "# %s: %s %s\n", r.domain, r.mechanism,
			r.reason);
	dns_budget_free(b);
	arena_free(a);
}

int main(int argc, char **argv)
{
	struct arena *a = arena_new();
	struct dns_options o = {.query_timeout_ms = 1000};
	const char *err = "usage: spf_suite ZONE-FILE";
	struct dns *d = NULL;
	char line[4096];

	o.zone_file = argc == 2 ? argv[1] : NULL;
	if (o.zone_file != NULL)
		d = dns_new(a, &o, &err);
	if (d == NULL) {
		fprintf(stderr, "%s\n", err);
		return 2;
	}
	while (fgets(line, sizeof(line), stdin) != NULL)
		run(d, (struct slice){line, strcspn(line, "\n")});
	dns_free(d);
	arena_free(a);
	return 0;
}
