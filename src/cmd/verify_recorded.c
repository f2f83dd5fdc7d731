/*
 * mailseal verify --recorded: the evaluation of a message once more, from its
 * record: the same client, envelope, time and DNS answers, and the
 * configuration as it is now.
 */
#include "cmd/verify_recorded.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cmd/cmd.h"
#include "milter/app.h"

#define ERRORS_MAX 65536
#define SHOWN_MAX  262144

struct again {
	struct arena *arena;
	struct journal_file *file;
	const char *record;
	const struct app *app;
	struct eval_env env;
	struct client_facts client;
	struct envelope_facts envelope;
	struct rule_recipients *recipients;
};

static struct slice get(const struct again *x, const char *path)
{
	return record_read(x->arena, x->file, x->record, path);
}

static int64_t number(const struct again *x, const char *path)
{
	return record_read_number(x->arena, x->file, x->record, path);
}

static bool is_true(const struct again *x, const char *path)
{
	return record_read_bool(x->arena, x->file, x->record, path);
}

static void read_facts(struct again *x)
{
	(void)ip_parse(get(x, "$.client.address"), &x->client.addr);
	x->client.local = is_true(x, "$.client.local");
	x->client.name = get(x, "$.client.name");
	x->client.name_confirmed = is_true(x, "$.client.confirmed");
	x->client.helo = get(x, "$.client.helo");
	x->client.listener = get(x, "$.client.listener");
	x->envelope.sender = get(x, "$.envelope.sender");
	x->envelope.login = get(x, "$.envelope.login");
	x->envelope.queue_id = get(x, "$.queue_id");
	x->envelope.nrcpts = (size_t)number(x, "$.envelope.recipients");
}

static void read_recipients(struct again *x)
{
	const char **to;
	size_t n = journal_json_array(x->file, x->arena, x->record,
				      "$.envelope.to", &to);

	x->recipients = rule_recipients_new(x->arena, &x->app->rules);
	for (size_t i = 0; i < n; i++)
		rule_recipients_add(&x->app->rules, x->recipients,
				    slice_of(to[i]));
	if (n < x->envelope.nrcpts)
		printf("%zu of %zu recipients are in the record: a rule that "
		       "asks for recipients may come out differently\n",
		       n, x->envelope.nrcpts);
}

static void decide(const struct again *x, const struct field_list *fields,
		   const struct results *r, struct verdict *v)
{
	const struct config *c = x->app->config;
	const struct policy_options o = {
		.disposition = (enum dmarc_disposition)c->dmarc.disposition,
		.quarantine = (enum dmarc_quarantine)c->dmarc.quarantine,
		.exempt = policy_exempt(&x->env, &x->client),
		.over_limit = policy_over_limit(fields),
		.coaching = c->coaching.dmarc,
	};
	const struct rule_facts f = {
		.direction = RULE_INBOUND,
		.client = &x->client,
		.envelope = &x->envelope,
		.recipients = x->recipients,
		.fields = fields,
		.authors = &r->authors,
		.results = r,
		.size = (size_t)number(x, "$.size"),
	};

	policy_decide(x->arena, &o, r, v);
	rules_run(x->arena, &x->app->rules, &f, &v->rules);
	policy_apply_rule(x->arena, &o, &r->authors, r, x->envelope.queue_id,
			  v);
}

/* For a terminal. */
static const char *shown(const struct again *x, struct slice text)
{
	struct strbuf b;

	strbuf_init(&b, x->arena, SHOWN_MAX);
	strbuf_add_escaped(&b, text, SHOWN_MAX / 4);
	return strbuf_cstr(&b);
}

/* True when the same stands in the record. */
static bool compare(const struct again *x, const char *what, const char *path,
		    struct slice now)
{
	struct slice then = get(x, path);

	if (slice_eq(then, now))
		return true;
	printf("%s was: %s\n%s is:  %s\n", what, shown(x, then), what,
	       shown(x, now));
	return false;
}

static bool report(const struct again *x, const struct results *r,
		   const struct verdict *v)
{
	struct slice authres =
		stamp_authres(x->arena, x->env.authserv_id, r, v);
	struct log_fields f;
	bool same;

	printf("Authentication-Results: %.*s\n", (int)authres.n, authres.p);
	log_fields_init(&f, x->arena);
	explain_inbound(&f, &x->client, &x->envelope, r, v);
	puts(log_fields_text(&f));
	if (!slice_is(get(x, "$.config"), x->app->config->digest))
		puts("the configuration is not the one of the record");
	same = compare(x, "Authentication-Results", "$.results.authres",
		       authres);
	same &= compare(x, "results", "$.results",
			slice_of(journal_json(
				x->file, x->arena,
				explain_json(x->arena, r, authres), "$")));
	same &= compare(x, "disposition", "$.verdict.disposition",
			slice_of(dmarc_policy_name(v->disposition)));
	same &= compare(
		x, "rule", "$.verdict.rule",
		slice_of(v->rules.rule != NULL ? v->rules.rule->name : NULL));
	puts(same ? "the same as in the record"
		  : "not the same as in the record");
	return same;
}

static bool evaluate(struct again *x, struct slice message)
{
	struct field_list fields = {0};
	struct evaluation *e;
	struct results r;
	struct verdict v;
	struct slice body;
	bool same;

	field_list_parse(x->arena, &fields, &x->app->limits, message, &body);
	e = evaluation_new(x->arena, &x->env, &x->client, &x->envelope,
			   &fields);
	evaluation_body(e, body);
	evaluation_end(e, number(x, "$.time"), &r);
	decide(x, &fields, &r, &v);
	same = report(x, &r, &v);
	evaluation_free(e);
	return same;
}

static int run(struct again *x, struct slice message)
{
	struct dns_recorded *dns;
	size_t n;
	bool same;

	if (!slice_is(get(x, "$.direction"), "inbound")) {
		fputs("mailseal verify: this message was outgoing, and not "
		      "evaluated\n",
		      stderr);
		return EX_DATAERR;
	}
	if (is_true(x, "$.hashed") || is_true(x, "$.cut")) {
		fprintf(stderr,
			"mailseal verify: the record has %s; the evaluation "
			"cannot be made again\n",
			is_true(x, "$.cut") ? "no DNS answers: it would have "
					      "been too large"
					    : "digests in place of local-parts "
					      "(journal.hash_local_parts)");
		return EX_DATAERR;
	}
	read_facts(x);
	read_recipients(x);
	n = record_read_dns(x->arena, x->file, x->record, &dns);
	x->env = x->app->env;
	x->env.dns = dns_new_recorded(dns, n);
	same = evaluate(x, message);
	dns_free(x->env.dns);
	return same ? 0 : 1;
}

/* Takes the configuration. */
static int with_app(struct arena *a, struct config *c,
		    struct journal_file *f, const char *id,
		    struct slice message)
{
	struct again x = {.arena = a, .file = f};
	struct strbuf errors, warnings;
	struct app *app;
	int status = EX_CONFIG;

	x.record = journal_place_record(a, "verify", f, id, &status);
	if (x.record == NULL) {
		config_free(c);
		return status;
	}
	strbuf_init(&errors, a, ERRORS_MAX);
	strbuf_init(&warnings, a, ERRORS_MAX);
	app = app_new(c, NULL, &errors, &warnings);
	fputs(strbuf_cstr(&errors), stderr);
	if (app == NULL) {
		config_free(c);
		return EX_CONFIG;
	}
	x.app = app;
	status = run(&x, message);
	app_unref(app);
	return status;
}

int verify_recorded(struct arena *a, const struct journal_place *place,
		    const char *id, struct slice message)
{
	const char *file = place->config != NULL ? place->config
						 : MAILSEAL_SYSCONFDIR
				   "/mailseal.conf";
	struct journal_file *f;
	struct strbuf errors;
	struct config *c;
	int status = EX_CONFIG;

	strbuf_init(&errors, a, ERRORS_MAX);
	c = config_load(file, &errors);
	fputs(strbuf_cstr(&errors), stderr);
	if (c == NULL)
		return EX_CONFIG;
	f = journal_place_open(a, "verify", place, false, &status);
	if (f != NULL)
		status = with_app(a, c, f, id, message);
	else
		config_free(c);
	journal_close(f);
	return status;
}
