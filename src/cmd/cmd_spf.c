/*
 * mailseal spf: would mail of this domain from this address pass SPF, and
 * why?  The daemon's check, without a message.
 *
 * The exit status says whether the check could be made, not what it found: 0,
 * or sysexits(3).
 */
#include "cmd/cmd.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "cmd/resolver_options.h"
#include "cmd/spf_trace.h"
#include "mail/domain.h"

#define COMMAND	    "spf"
#define MAX_WAIT_MS 20000
#define MAX_QUERIES 150

struct arguments {
	const char *domain, *ip, *sender, *helo;
	bool trace;
	struct resolver_options resolver;
};

static const struct option long_options[] = {
	{"ip", required_argument, NULL, 'i'},
	{"sender", required_argument, NULL, 's'},
	{"helo", required_argument, NULL, 'h'},
	{"trace", no_argument, NULL, 't'},
	RESOLVER_LONG_OPTIONS,
	{0},
};

/* ":" first: a missing value is told from an unknown option. */
static int read_options(int argc, char **argv, struct arguments *o)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		if (c == 'i')
			o->ip = optarg;
		else if (c == 's')
			o->sender = optarg;
		else if (c == 'h')
			o->helo = optarg;
		else if (c == 't')
			o->trace = true;
		else if (c == ':')
			return cmd_refuse(COMMAND, "%s needs a value",
					  argv[optind - 1]);
		else if (!resolver_options_take(&o->resolver, c, optarg))
			return cmd_refuse(COMMAND,
					  "unknown option %s: see mailseal(1)",
					  argv[optind - 1]);
	}
	return 0;
}

static int parse(int argc, char **argv, struct arguments *o)
{
	int status;

	*o = (struct arguments){0};
	status = read_options(argc, argv, o);
	if (status != 0)
		return status;
	if (optind == argc)
		return cmd_refuse(COMMAND, "no domain: write mailseal spf "
					   "DOMAIN --ip ADDRESS");
	if (optind + 1 < argc)
		return cmd_refuse(COMMAND, "one domain at a time: leave %s out",
				  argv[optind + 1]);
	o->domain = argv[optind];
	if (o->ip == NULL)
		return cmd_refuse(COMMAND, "no client: give its address with "
					   "--ip");
	return 0;
}

/* The path of --sender, which is a local-part or an address at `domain`. */
static int read_sender(struct arena *a, const char *text, const char *domain,
		       struct addr_path *ret)
{
	if (text == NULL)
		text = "postmaster";
	if (strchr(text, '@') == NULL && strcmp(text, "<>") != 0)
		text = arena_printf(a, "%s@%s", text, domain);
	addr_path_parse(a, slice_of(text), ret);
	if (ret->malformed)
		return cmd_refuse(COMMAND,
				  "--sender is no address: write it like "
				  "bob@%s",
				  domain);
	if (ret->null) /* RFC 7208 2.4 */
		return cmd_refuse(COMMAND,
				  "--sender <> is checked as postmaster at the "
				  "HELO name: give that name as the domain");
	if (ret->domain == NULL || strcmp(ret->domain, domain) != 0)
		return cmd_refuse(COMMAND,
				  "--sender is not at %s: give its own domain "
				  "instead",
				  domain);
	return 0;
}

static int read_query(struct arena *a, const struct arguments *o,
		      struct spf_query *q)
{
	const char *domain = domain_canon(a, slice_of(o->domain));

	/* %{h} of a policy needs some name */
	*q = (struct spf_query){
		.helo = slice_of(o->helo != NULL ? o->helo : domain),
		.now = clock_unix()};
	if (domain == NULL)
		return cmd_refuse(COMMAND,
				  "%s is no domain: write it like example.com",
				  o->domain);
	if (!ip_parse(slice_of(o->ip), &q->client))
		return cmd_refuse(COMMAND,
				  "--ip %s is no address: write it like "
				  "192.0.2.1 or 2001:db8::1",
				  o->ip);
	return read_sender(a, o->sender, domain, &q->sender);
}

/* ---- one identity ---- */

struct identity {
	struct spf_result result;
	struct spf_trace trace;
	unsigned questions, waited_ms;
};

static void check(struct arena *a, struct dns_budget *b, struct spf_query *q,
		  enum spf_identity which, struct identity *ret)
{
	unsigned questions = dns_budget_queries(b);
	unsigned waited_ms = dns_budget_waited_ms(b);

	spf_trace_init(&ret->trace, a);
	if (q->trace != NULL)
		q->trace_arg = &ret->trace;
	if (which == SPF_IDENTITY_HELO)
		spf_check_helo(a, b, q, &ret->result);
	else
		spf_check_mailfrom(a, b, q, &ret->result);
	spf_trace_done(&ret->trace);
	ret->questions = dns_budget_queries(b) - questions;
	ret->waited_ms = dns_budget_waited_ms(b) - waited_ms;
}

/* What a record's author wrote: printable, but for a fault of ours. */
static void print_escaped(struct arena *a, const char *before, const char *text,
			  const char *after)
{
	struct strbuf b;

	strbuf_init(&b, a, 16384);
	strbuf_add_escaped(&b, slice_of(text), 4000);
	printf("%s%s%s", before, strbuf_cstr(&b), after);
}

/* "fail  (-all)" and "example.com explains: ..." */
static void print_result(struct arena *a, const struct spf_result *r)
{
	const char *explanation = spf_explanation(a, r);

	printf("%s", spf_status_name(r->status));
	if (r->mechanism != NULL)
		print_escaped(a, "  (", r->mechanism, ")");
	if (r->reason != NULL)
		printf("  %s", r->reason);
	putchar('\n');
	if (explanation != NULL)
		print_escaped(a, "", explanation, "\n");
}

static void print_trace(const struct identity *i)
{
	fputs(i->trace.text.n > 0 ? i->trace.text.p : "", stdout);
	if (i->trace.text.overflow)
		puts("... (cut here)");
	printf("terms %u/%d, voids %u/%d, questions %u, %u ms\n",
	       i->result.terms, SPF_TERMS_MAX, i->result.voids, SPF_VOIDS_MAX,
	       i->questions, i->waited_ms);
}

static void run(struct arena *a, const struct arguments *o, struct dns *dns,
		struct spf_query *q)
{
	struct dns_budget *b = dns_budget_new(dns, MAX_WAIT_MS, MAX_QUERIES);
	struct identity mailfrom, helo;

	if (o->trace)
		q->trace = spf_trace_event;
	spf_prefetch(a, b, q);
	check(a, b, q, SPF_IDENTITY_MAILFROM, &mailfrom);
	print_result(a, &mailfrom.result);
	if (o->helo != NULL) {
		check(a, b, q, SPF_IDENTITY_HELO, &helo);
		print_escaped(a, "HELO ", o->helo, ": ");
		print_result(a, &helo.result);
	}
	if (o->trace) {
		printf("\nMAIL FROM, domain %s:\n", q->sender.domain);
		print_trace(&mailfrom);
	}
	if (o->trace && o->helo != NULL) {
		print_escaped(a, "\nHELO, domain ", o->helo, ":\n");
		print_trace(&helo);
	}
	dns_budget_free(b);
}

static int spf(struct arena *a, const struct arguments *o)
{
	struct spf_query q;
	struct dns *dns;
	int status = read_query(a, o, &q);

	if (status != 0)
		return status;
	dns = resolver_open(a, COMMAND, &o->resolver, &status);
	if (dns == NULL)
		return status;
	run(a, o, dns, &q);
	dns_free(dns);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "mailseal spf: cannot write standard output\n");
		return EX_IOERR;
	}
	return 0;
}

int cmd_spf(int argc, char **argv)
{
	struct arguments o;
	struct arena *a;
	int status = parse(argc, argv, &o);

	if (status != 0)
		return status;
	a = arena_new();
	status = spf(a, &o);
	arena_free(a);
	return status;
}
