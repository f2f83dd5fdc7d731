/*
 * Mail that arrives: evaluate, decide, stamp.
 */
#include "base/check.h"
#include "base/clock.h"
#include "milter/session_state.h"

void inbound_begin(struct session *s)
{
	s->evaluation = evaluation_new(s->msg, &s->app->env, &s->msg_client,
				       &s->envelope, &s->fields);
	sealing_begin(s);
}

static struct policy_options options_of(const struct session *s)
{
	const struct config *c = s->app->config;

	return (struct policy_options){
		.disposition = (enum dmarc_disposition)c->dmarc.disposition,
		.quarantine = (enum dmarc_quarantine)c->dmarc.quarantine,
		.exempt = policy_exempt(&s->app->env, &s->msg_client),
		.over_limit = policy_over_limit(&s->fields),
		.coaching = c->coaching.dmarc,
	};
}

static void stamp(struct session *s, int64_t now, const struct results *r,
		  const struct verdict *v, struct edits *ret)
{
	if (v->action == VERDICT_REJECT)
		stamp_outbound(s->msg, &s->own, NULL, 0, NULL, ret);
	else
		stamp_inbound(s->msg, &s->app->env, &s->own, &s->msg_client,
			      &s->envelope, r, v, ret);
	if (v->action == VERDICT_ACCEPT)
		sealing_stamp(s, now, r, v, ret);
}

/* What is asked of the MTA.  A message that it will not hold gets the field
 * in any case: it is not to look like others. */
static void ask(struct session *s, int64_t now, const struct results *r,
		const struct verdict *v, struct session_outcome *ret)
{
	struct verdict tagged = *v;

	ret->action = v->action;
	ret->reply = v->reply;
	/* no message is refused without a reply, or by policy of an unknown */
	CHECK(v->action == VERDICT_ACCEPT || v->action == VERDICT_DISCARD ||
	      v->reply.text != NULL);
	CHECK(r->dmarc.status != DMARC_STATUS_TEMPERROR ||
	      v->would_be <= DMARC_P_NONE);
	stamp(s, now, r, v, &ret->edits);
	if (!v->hold)
		return;
	ret->hold = v->mark;
	tagged.tag = true;
	stamp(s, now, r, &tagged, &ret->unheld);
}

/* What the connection must be of a peer that is named in tls.peers.  A login is
 * one also where a listener is for mail that arrives: the MTA relays for it. */
static void check_gate(struct session *s, const struct results *r,
		       const struct verdict *v)
{
	s->gate = session_gatekeeper(s);
	s->gate.facts.authors = &r->authors;
	if (s->login.name.n == 0) {
		if (!policy_skips(v, RULE_SKIP_TLS))
			gatekeeper_transport(&s->gate);
		return;
	}
	gatekeeper_submission(&s->gate, clock_unix());
	if (v->action == VERDICT_ACCEPT)
		gatekeeper_limits(&s->gate, clock_unix());
}

static void refuse(const struct session *s, struct verdict *v)
{
	v->action = s->gate.reply.code[0] == '4' ? VERDICT_TEMPFAIL
						 : VERDICT_REJECT;
	v->reply = s->gate.reply;
	v->hold = false;
	v->tag = false;
}

/* From outside: no client and no login of ours. */
static bool is_outside(const struct session *s)
{
	return s->envelope.login.n == 0 &&
	       policy_exempt(&s->app->env, &s->msg_client) == NULL;
}

static void tell_readers(struct session *s, const struct results *r,
			 struct verdict *v, struct awareness_marks *marks)
{
	if (s->app->awareness == NULL || !is_outside(s) ||
	    v->action == VERDICT_REJECT || policy_skips(v, RULE_SKIP_AWARENESS))
		return;
	awareness_decide(s->app->awareness, s->msg, &s->awareness, r, marks);
	v->marks = marks;
}

static struct log_fields *explain(struct session *s, const struct results *r,
				  const struct verdict *v)
{
	struct log_fields *f = session_log_begin(s);

	explain_inbound(f, &s->msg_client, &s->envelope, r, v);
	session_log_client(s, f, " direction=", "inbound", s->why);
	log_append(f, &s->gate.log);
	if (v->marks != NULL)
		log_append(f, &v->marks->log);
	sealing_log(s, f);
	session_log_end(s, f);
	return f;
}

void inbound_end(struct session *s, int64_t now, struct session_outcome *ret)
{
	struct policy_options o = options_of(s);
	struct awareness_marks *marks = arena_alloc(s->msg, sizeof(*marks));
	struct results *r = arena_alloc(s->msg, sizeof(*r));
	struct verdict *v = arena_alloc(s->msg, sizeof(*v));

	evaluation_end(s->evaluation, now, r);
	s->measured.dns_us = r->dns_us;
	s->measured.verify_us =
		clock_mono_us() - s->measured.began_us - r->dns_us;
	policy_decide(s->msg, &o, r, v);
	v->rules = session_rules(s, &r->authors, r);
	policy_apply_rule(s->msg, &o, &r->authors, r, s->envelope.queue_id, v);
	check_gate(s, r, v);
	if (s->gate.refused)
		refuse(s, v);
	tell_readers(s, r, v, marks);
	ask(s, now, r, v, ret);
	ret->log = explain(s, r, v);
	s->remembered = (struct remembered){
		&r->authors, r, v,
		stamp_authres(s->msg, s->app->env.authserv_id, r, v)};
	if (r->dmarc.difference != NULL)
		ret->warn = session_log_line(
			s, arena_printf(s->msg, "dmarc.discovery differs: %s",
					r->dmarc.difference));
	else if (r->second_opinion != NULL)
		ret->warn = session_log_line(
			s, arena_printf(s->msg, "libopendmarc differs: %s",
					r->second_opinion));
	else if (sealing_warning(s) != NULL)
		ret->warn = session_log_line(s, sealing_warning(s));
}

void inbound_unexamined(struct session *s, const char *reason,
			struct session_outcome *ret)
{
	struct results *r = arena_alloc(s->msg, sizeof(*r));
	struct verdict *v = arena_alloc(s->msg, sizeof(*v));

	v->action = VERDICT_ACCEPT;
	evaluation_unexamined(s->msg, reason, r);
	sealing_free(s);
	stamp(s, 0, r, v, &ret->edits);
	s->remembered = (struct remembered){
		&r->authors, r, v,
		stamp_authres(s->msg, s->app->env.authserv_id, r, v)};
}
