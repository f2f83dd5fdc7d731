/*
 * mailseal dmarc: which policy applies to mail from this domain, and why?
 * The evaluation of the daemon, for a message that nothing vouches for.
 *
 * The exit status is 0 when there is a policy, 1 when there is none, or of
 * sysexits(3).
 */
#include "cmd/cmd.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cmd/answer_text.h"
#include "cmd/dmarc_view.h"
#include "cmd/resolver_options.h"
#include "mail/domain.h"

#define COMMAND	    "dmarc"
#define NO_POLICY   1 /* exit status */
#define MAX_WAIT_MS 20000
#define MAX_QUERIES DMARC_VIEW_QUESTIONS
#define OUT_MAX	    (1 << 20)
#define TEXT_MAX    4096

struct arguments {
	const char *domain, *discovery, *psl;
	bool trace;
	struct resolver_options resolver;
};

static const struct option long_options[] = {
	{"discovery", required_argument, NULL, 'd'},
	{"psl", required_argument, NULL, 'p'},
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
		if (c == 'd')
			o->discovery = optarg;
		else if (c == 'p')
			o->psl = optarg;
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
	if (optind == argc || argv[optind][0] == '\0')
		return cmd_refuse(COMMAND,
				  "no domain: write mailseal dmarc DOMAIN");
	if (optind + 1 < argc)
		return cmd_refuse(COMMAND, "one domain at a time: leave %s out",
				  argv[optind + 1]);
	o->domain = argv[optind];
	return 0;
}

/* ---- the arguments ---- */

static const char *escaped(struct arena *a, const char *text)
{
	struct strbuf b;

	strbuf_init(&b, a, 2048);
	strbuf_add_escaped(&b, slice_of(text), 400);
	return strbuf_cstr(&b);
}

static int read_domain(struct arena *a, const char *text, const char **ret)
{
	const char *at = strrchr(text, '@');
	const char *host =
		at != NULL ? domain_canon(a, slice_of(at + 1)) : NULL;
	struct ip ip;

	*ret = domain_canon(a, slice_of(text));
	if (host != NULL)
		return cmd_refuse(COMMAND,
				  "%s is an address: give its domain, %s",
				  escaped(a, text), host);
	if (ip_parse(slice_of(text), &ip))
		return cmd_refuse(COMMAND,
				  "%s is the address of a host: give the "
				  "domain of the From field",
				  text);
	if (*ret == NULL)
		return cmd_refuse(COMMAND,
				  "%s is no domain: write it like example.com",
				  escaped(a, text));
	if (slice_starts(slice_of(*ret), "_dmarc."))
		return cmd_refuse(COMMAND,
				  "%s is where the record stands: give the "
				  "domain, %s",
				  *ret, domain_parent(*ret));
	return 0;
}

static int read_discovery(const struct arguments *o, enum dmarc_discovery *ret)
{
	static const char *const names[] = {
		[DMARC_DISCOVERY_WALK] = "walk",
		[DMARC_DISCOVERY_PSL] = "psl",
		[DMARC_DISCOVERY_COMPARE] = "compare",
	};
	size_t i = DMARC_DISCOVERY_WALK;

	while (o->discovery != NULL && i < sizeof(names) / sizeof(*names) &&
	       strcmp(o->discovery, names[i]) != 0)
		i++;
	if (i == sizeof(names) / sizeof(*names))
		return cmd_refuse(COMMAND,
				  "--discovery is walk, psl or compare, not "
				  "%s",
				  o->discovery);
	*ret = (enum dmarc_discovery)i;
	if (o->psl != NULL && *ret == DMARC_DISCOVERY_WALK)
		return cmd_refuse(COMMAND, "the tree walk needs no --psl: add "
					   "--discovery psl or compare");
	return 0;
}

/* ---- the trace ---- */

static void trace(struct dmarc_view *v, struct strbuf *b)
{
	strbuf_adds(b, "\nQuestions, in order:\n");
	for (size_t i = 0; i < v->nasked; i++) {
		enum dns_type type = v->asked[i].type;
		const struct dns_answer *r =
			dns_ask(v->budget, v->asked[i].name, type);

		strbuf_printf(b, "%s %s: ", v->asked[i].name,
			      dns_type_name(type));
		answer_text(b, r, type);
		strbuf_addc(b, '\n');
		for (size_t j = 0; type == DNS_TXT && j < r->n; j++) {
			strbuf_adds(b, "  ");
			strbuf_add_escaped(b, r->rr[j].data, TEXT_MAX);
			strbuf_addc(b, '\n');
		}
	}
	strbuf_printf(b, "names %zu/%d, questions %u, %u ms\n", v->nnames,
		      v->result.by_psl ? 2 : DMARC_WALK_MAX,
		      dns_budget_queries(v->budget),
		      dns_budget_waited_ms(v->budget));
}

static int exit_status(const struct dmarc_result *r)
{
	if (r->status == DMARC_STATUS_TEMPERROR)
		return EX_TEMPFAIL;
	return r->policy_domain != NULL ? 0 : NO_POLICY;
}

static int run(struct arena *a, const struct arguments *o, struct dns *dns,
	       const char *domain, const struct dmarc_options *options)
{
	struct dmarc_view v = {
		.arena = a,
		.domain = domain,
		.options = *options,
		.budget = dns_budget_new(dns, MAX_WAIT_MS, MAX_QUERIES)};
	struct strbuf out;

	strbuf_init(&out, a, OUT_MAX);
	dmarc_view_find(&v);
	dmarc_show(&v, &out);
	dmarc_hints(&v, &out);
	if (o->trace)
		trace(&v, &out);
	dns_budget_free(v.budget);
	fputs(strbuf_cstr(&out), stdout);
	if (out.overflow)
		puts("... (cut here)");
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr,
			"mailseal dmarc: cannot write standard output\n");
		return EX_IOERR;
	}
	return exit_status(&v.result);
}

/* NULL in options->psl when the walk alone is run. */
static int load_list(const struct arguments *o, struct dmarc_options *options,
		     struct dmarc_psl **ret)
{
	const char *file = o->psl != NULL ? o->psl : "";
	const char *why = NULL;

	*ret = NULL;
	if (options->discovery == DMARC_DISCOVERY_WALK)
		return 0;
	options->psl = *ret = dmarc_psl_load(file, &why);
	if (*ret != NULL)
		return 0;
	fprintf(stderr, "mailseal dmarc: public suffix list: %s%s%s\n", file,
		file[0] != '\0' ? ": " : "", why);
	return EX_CONFIG;
}

static int dmarc(struct arena *a, const struct arguments *o)
{
	struct dmarc_options options = {0};
	struct dmarc_psl *list;
	const char *domain;
	struct dns *dns;
	int status = read_domain(a, o->domain, &domain);

	if (status == 0)
		status = read_discovery(o, &options.discovery);
	if (status == 0)
		status = load_list(o, &options, &list);
	if (status != 0)
		return status;
	dns = resolver_open(a, COMMAND, &o->resolver, &status);
	if (dns != NULL) {
		status = run(a, o, dns, domain, &options);
		dns_free(dns);
	}
	dmarc_psl_free(list);
	return status;
}

int cmd_dmarc(int argc, char **argv)
{
	struct arguments o;
	struct arena *a;
	int status = parse(argc, argv, &o);

	if (status != 0)
		return status;
	a = arena_new();
	status = dmarc(a, &o);
	arena_free(a);
	return status;
}
