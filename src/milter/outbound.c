/*
 * Mail that leaves: the gate, then signatures.
 */
#include "base/check.h"
#include "base/clock.h"
#include "milter/session_state.h"

/* Did somebody hand it in who has to show a right?  What a network or the
 * host itself gives is trusted as a whole. */
static bool is_submission(const struct session *s)
{
	if (s->envelope.login.n > 0)
		return true;
	return !s->msg_client.local &&
	       !ip_nets_have(&s->app->config->networks.sign,
			     &s->msg_client.addr);
}

static void check_gate(struct session *s)
{
	s->gate = session_gatekeeper(s);
	if (is_submission(s))
		gatekeeper_submission(&s->gate, clock_unix());
	else
		gatekeeper_transport(&s->gate);
}

/* Chooses the keys and opens the signatures. */
static void prepare(struct session *s)
{
	const char *domain;

	if (s->gate.unsigned_why != NULL) {
		s->unsigned_why = s->gate.unsigned_why;
		return;
	}
	if (s->fields.trouble != FIELD_OK) {
		/* Its From cannot be trusted to be the only one. */
		s->must_sign = keyring_domains(s->app->keyring) > 0;
		s->unsigned_why = field_trouble_text(s->fields.trouble);
		return;
	}
	domain = policy_signing_domain(&s->authors, &s->unsigned_why);
	if (domain == NULL)
		return;
	keyring_choose(s->app->keyring, s->msg, domain, clock_mono_ms(),
		       &s->keys);
	s->must_sign = s->keys.must_sign;
	if (s->keys.n == 0) {
		s->unsigned_why = s->keys.why;
		return;
	}
	s->signer = dkim_signer_new(s->msg, &s->fields, s->keys.v, s->keys.n,
				    clock_unix());
	if (s->signer == NULL)
		s->unsigned_why = "signature could not be opened";
	else
		dkim_signer_mta(s->signer, s->mta);
}

void outbound_begin(struct session *s)
{
	addr_authors_of(s->msg, &s->fields, &s->authors);
	check_gate(s);
	prepare(s);
	preflight_begin(s);
}

/* Signs; false when it had to be signed and could not be. */
static bool sign(struct session *s, struct slice *values, size_t *n)
{
	const char *reason = NULL;
	int64_t begin_us;
	bool ok;

	*n = 0;
	if (s->signer == NULL)
		return !s->must_sign;
	begin_us = clock_mono_us();
	ok = dkim_signer_end(s->signer, values, &reason);
	s->measured.sign_us = clock_mono_us() - begin_us;
	if (!ok) {
		s->unsigned_why = reason != NULL ? reason : "signing failed";
		return false;
	}
	*n = s->keys.n;
	/* nobody gets a signature that the gate has refused */
	CHECK(s->gate.unsigned_why == NULL);
	return true;
}

static void log_signatures(struct session *s, struct log_fields *f,
			   size_t nsigned)
{
	log_list(f, " signed=", "signed");
	for (size_t i = 0; i < nsigned; i++) {
		log_object(f, i > 0 ? "," : "", NULL);
		log_string(f, "", "domain", s->keys.v[i].domain, "");
		log_string(f, "/", "selector", s->keys.v[i].selector, "");
		log_end(f, "");
	}
	if (nsigned == 0)
		log_mark(f, "no");
	log_end(f, "");
	if (nsigned == 0)
		log_string(f, " why=\"", "why",
			   s->unsigned_why != NULL ? s->unsigned_why : "",
			   "\"");
}

static struct log_fields *explain(struct session *s, size_t nsigned,
				  const struct verdict *v)
{
	struct log_fields *f = session_log_begin(s);

	explain_authors(f, &s->authors, "");
	explain_client(f, &s->msg_client.addr, s->msg_client.local);
	session_log_client(s, f, " direction=", "outbound", s->why);
	log_append(f, &s->gate.log);
	log_signatures(s, f, nsigned);
	log_append(f, &s->preflight_log);
	rules_log(f, &v->rules);
	session_log_end(s, f);
	return f;
}

/* What may break the signature on its way out. */
static void warn_broken(struct session *s, struct session_outcome *ret)
{
	const char *what = dkim_signer_warning(s->signer);

	if (what != NULL)
		ret->warn = session_log_line(s, what);
}

static void refuse(const struct session *s, struct session_outcome *ret)
{
	ret->reply = s->gate.reply;
	ret->action =
		ret->reply.code[0] == '4' ? VERDICT_TEMPFAIL : VERDICT_REJECT;
}

/* Counts a message that will be taken; true when it may still be signed. */
static bool within_limits(struct session *s)
{
	gatekeeper_limits(&s->gate, clock_unix());
	if (s->gate.unsigned_why == NULL)
		return true;
	s->unsigned_why = s->gate.unsigned_why;
	return false;
}

/* What a local rule does; false when the message is not taken. */
static bool apply_rule(struct session *s, struct verdict *v)
{
	const struct policy_options o = {
		.quarantine = (enum dmarc_quarantine)
				      s->app->config->dmarc.quarantine};

	*v = (struct verdict){.action = VERDICT_ACCEPT};
	v->rules = session_rules(s, &s->authors, NULL);
	policy_apply_rule(s->msg, &o, &s->authors, NULL, s->envelope.queue_id,
			  v);
	return v->action == VERDICT_ACCEPT;
}

static void stamp(struct session *s, const struct verdict *v,
		  const struct slice *values, size_t n, struct edits *ret)
{
	stamp_outbound(s->msg, &s->own, values, n, v, ret);
	if (s->preflight_field != NULL)
		stamp_preflight(s->msg, s->preflight_field, ret);
}

/* What a rule asks of the MTA.  A message that it will not hold gets the field
 * in any case. */
static void obey(struct session *s, const struct verdict *v,
		 const struct slice *values, size_t n,
		 struct session_outcome *ret)
{
	struct verdict tagged = *v;

	ret->action = v->action;
	ret->reply = v->reply;
	if (!v->hold)
		return;
	ret->hold = v->mark;
	tagged.tag = true;
	stamp(s, &tagged, values, n, &ret->unheld);
}

/* `good`: it is signed, or need not be. */
static void measure(struct session *s, bool good, size_t n)
{
	struct measured *m = &s->measured;

	m->nsigned = s->gate.refused ? 0 : n;
	m->signing = m->nsigned > 0 ? TALLY_SEALED : TALLY_UNSEALED;
	if (!good)
		m->signing = TALLY_FAILED;
}

static void finish(struct session *s, struct verdict *v,
		   struct session_outcome *ret)
{
	struct slice *values = arena_array(s->msg, s->keys.n, sizeof(*values));
	size_t n;
	bool taken = apply_rule(s, v);
	bool good = sign(s, values, &n);
	bool ok = good || s->app->config->on_signing_error == ON_ERROR_ACCEPT;

	if (taken)
		preflight_end(s, values, n);
	if (ok && taken && !within_limits(s))
		n = 0;
	if (!taken && n > 0) { /* whatever becomes of it, not in our name */
		s->unsigned_why = "not taken, by a local rule";
		n = 0;
	}
	measure(s, good, n);
	stamp(s, v, values, n, &ret->edits);
	ret->log = explain(s, s->gate.refused ? 0 : n, v);
	if (s->keys.error != NULL)
		ret->warn = session_log_line(s, s->keys.error);
	else if (n > 0)
		warn_broken(s, ret);
	if (ret->warn == NULL && s->preflight_warning != NULL)
		ret->warn = session_log_line(s, s->preflight_warning);
	if (s->gate.refused) {
		refuse(s, ret);
		return;
	}
	obey(s, v, values, n, ret);
	if (ok || !taken)
		return;
	ret->action = VERDICT_TEMPFAIL;
	ret->reply = (struct smtp_reply){
		"451", "4.7.1", "message could not be signed, try again later"};
	ret->edits.n = 0;
	ret->hold = NULL;
}

void outbound_end(struct session *s, int64_t now, struct session_outcome *ret)
{
	struct verdict *v = arena_alloc(s->msg, sizeof(*v));

	(void)now;
	finish(s, v, ret);
	s->remembered = (struct remembered){&s->authors, NULL, v, {0}};
}
