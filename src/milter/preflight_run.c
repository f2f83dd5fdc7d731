/*
 * Preflight of one outbound message: the look-ups begin at end of header, so
 * that they run while the body comes, and are waited for at its end, all
 * together for one resolver.message_timeout at most.
 */
#include "base/clock.h"
#include "milter/session_state.h"

struct preflight_run {
	struct preflight_options options;
	struct dns_budget *budget; /* NULL: no rule asks */
	size_t column, longest;	   /* bytes of a line of the body */
	bool cr;		   /* the last of them is a CR */
};

static struct preflight_options options_of(const struct app *app)
{
	const struct config *c = app->config;
	const int64_t modes[PREFLIGHT_RULES] = {
		[PREFLIGHT_DKIM] = c->preflight.dkim,
		[PREFLIGHT_SPF] = c->preflight.spf,
		[PREFLIGHT_DMARC] = c->preflight.dmarc,
		[PREFLIGHT_FORMAT] = c->preflight.format,
		[PREFLIGHT_UNSUBSCRIBE] = c->preflight.unsubscribe,
		[PREFLIGHT_FEEDBACK_ID] = c->preflight.feedback_id,
	};
	struct preflight_options ret = {
		.egress = c->preflight.egress,
		.nbulk = c->preflight.bulk.n,
		.bulk = c->preflight.bulk.v,
		.strip_realm = c->submission.login_realm == LOGIN_REALM_STRIP,
		.helo = c->authserv_id,
		.dmarc = app->env.dmarc,
	};

	for (size_t i = 0; i < PREFLIGHT_RULES; i++)
		ret.mode[i] = (enum preflight_mode)modes[i];
	return ret;
}

/* As signed by the first `n` keys. */
static struct preflight_message
message_of(const struct session *s, const struct slice *signatures, size_t n)
{
	return (struct preflight_message){
		.facts = &s->gate.facts,
		.smtputf8 = s->login.smtputf8,
		/* Sendmail always completes the header; Postfix does so for
		 * sendmail(1), and for whom it is told to. */
		.completed = s->mta == DKIM_MTA_SENDMAIL || s->msg_client.local,
		.body_line = s->preflight != NULL ? s->preflight->longest : 0,
		.nkeys = n,
		.keys = s->keys.v,
		.signatures = signatures,
		.unsigned_why = s->unsigned_why,
		.foreign = s->keys.why != NULL && !s->keys.must_sign,
		.now = clock_unix(),
	};
}

void preflight_begin(struct session *s)
{
	const struct eval_env *env = &s->app->env;
	struct preflight_options o = options_of(s->app);
	struct preflight_message m;

	if (s->gate.refused || !preflight_wanted(&o))
		return;
	s->preflight = arena_alloc(s->msg, sizeof(*s->preflight));
	s->preflight->options = o;
	if (!preflight_asks(&o))
		return;
	s->preflight->budget = dns_budget_new(env->dns, env->dns_wait_ms,
					      env->dns_max_queries);
	m = message_of(s, NULL, s->keys.n);
	preflight_prefetch(s->msg, s->preflight->budget, &o, &m);
}

static void end_line(struct preflight_run *p)
{
	size_t n = p->column - p->cr;

	p->longest = n > p->longest ? n : p->longest;
	p->column = 0;
	p->cr = false;
}

void preflight_body(struct session *s, struct slice bytes)
{
	struct preflight_run *p = s->preflight;

	while (p != NULL && bytes.n > 0) {
		struct slice line = slice_cut(&bytes, '\n');

		if (line.n > 0)
			p->cr = line.p[line.n - 1] == '\r';
		p->column += line.n;
		if (bytes.p != NULL)
			end_line(p);
	}
}

static bool wants_field(const struct preflight_options *o)
{
	for (size_t i = 0; i < PREFLIGHT_RULES; i++)
		if (o->mode[i] == PREFLIGHT_HEADER)
			return true;
	return false;
}

static void count(struct session *s, const struct preflight_report *r)
{
	const struct addr_authors *l = &s->authors;
	const char *domain = l->ndomains > 0 ? l->domains[0] : NULL;
	enum preflight_rule first =
		preflight_tally_add(tally_preflight(s->app->tally), domain, r);

	if (first < PREFLIGHT_RULES)
		s->preflight_warning = arena_printf(
			s->msg, "preflight: the first message from %s with %s",
			domain != NULL ? domain : "no domain",
			preflight_text(s->msg, r, " "));
}

void preflight_end(struct session *s, const struct slice *signatures, size_t n)
{
	struct preflight_run *p = s->preflight;
	struct preflight_message m;
	struct preflight_report r;
	struct smtp_reply reply;

	if (p == NULL)
		return;
	end_line(p); /* one without LF */
	m = message_of(s, signatures, n);
	preflight_check(s->msg, p->budget, &p->options, &m, &r);
	if (p->budget != NULL)
		s->measured.dns_us = dns_budget_waited_us(p->budget);
	count(s, &r);
	log_fields_init(&s->preflight_log, s->msg);
	preflight_log(&s->preflight_log, &r);
	if (wants_field(&p->options))
		s->preflight_field = preflight_text(s->msg, &r, "\n\t");
	if (!preflight_refuses(s->msg, &p->options, &r,
			       s->app->config->coaching.preflight, &reply))
		return;
	s->gate.refused = true;
	s->gate.reply = reply;
	s->unsigned_why = "preflight refuses the message";
	gatekeeper_log_refusal(&s->preflight_log, &reply);
}

void preflight_free(struct session *s)
{
	if (s->preflight != NULL)
		dns_budget_free(s->preflight->budget);
	s->preflight = NULL;
	s->preflight_log = (struct log_fields){0};
	s->preflight_field = NULL;
	s->preflight_warning = NULL;
}
