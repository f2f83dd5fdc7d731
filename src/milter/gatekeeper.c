/*
 * The order of the checks: the credential first, since nothing else matters of
 * one that is revoked; then the connection, the addresses, and the strength of
 * the login, so that nobody is told to log in better for what is not theirs.
 * All are made, so that the log has every fault; the first that refuses gives
 * the reply.
 */
#include "milter/gatekeeper.h"

#include "base/log.h"

/* `why`: NULL, or what is wrong. */
static void note(struct gatekeeper *g, const char *lead, const char *name,
		 const char *result, const char *why)
{
	log_object(&g->log, lead, name);
	log_string(&g->log, "", "result", result, "");
	if (why != NULL)
		log_string(&g->log, "(", "reason", why, ")")->person =
			LOG_REASON;
	log_end(&g->log, "");
}

void gatekeeper_log_refusal(struct log_fields *f, const struct smtp_reply *r)
{
	log_object(f, " refused=", "refused");
	log_string(f, "", "code", r->code, "");
	log_string(f, "/", "enhanced", r->enhanced, "");
	log_end(f, "");
}

/* `why`: a constant for the log of a message that is not signed. */
static void fault(struct gatekeeper *g, enum tally_gate what,
		  enum gate_mode mode, const struct gate_fault *f,
		  const char *why)
{
	tally_count_gate(g->app->tally, what, true);
	if (mode >= GATE_SIGN && g->unsigned_why == NULL)
		g->unsigned_why = why;
	if (mode < GATE_REJECT || g->refused)
		return;
	g->refused = true;
	g->reply = f->reply;
	gatekeeper_log_refusal(&g->log, &f->reply);
}

/* By hand: with an entry or without.  False: that, or it cannot be told. */
static bool check_revoked(struct gatekeeper *g, struct gate_fault *ret,
			  const char **result)
{
	const char *why = NULL;

	if (g->app->revocations == NULL || g->facts.login.n == 0)
		return true;
	switch (revocations_ask(g->app->revocations, g->arena, g->facts.login,
				&why)) {
	case REVOKED_NO:
		return true;
	case REVOKED_YES:
		revoked_refuse(g->arena, &g->facts,
			       g->app->config->coaching.credential, ret);
		*result = "refused";
		return false;
	case REVOKED_UNKNOWN:
		break;
	}
	log_warn("it cannot be told which logins are revoked: %s", why);
	revoked_unknown(g->arena, &g->facts, ret);
	*result = "unknown";
	return false;
}

static void check_credential(struct gatekeeper *g, int64_t now)
{
	const struct config *c = g->app->config;
	const char *result = "refused";
	struct gate_fault f;
	bool ok;

	if (g->app->tables->credentials != NULL)
		g->credential = credential_find(g->app->tables->credentials,
						g->facts.login);
	ok = check_revoked(g, &f, &result);
	if (ok && g->credential == NULL)
		return;
	if (ok && credential_check(g->arena, g->credential, &g->facts, now,
				   c->coaching.credential, &f)) {
		tally_count_gate(g->app->tally, TALLY_GATE_CREDENTIAL, false);
		note(g, " credential=", "credential", "ok", NULL);
		return;
	}
	note(g, " credential=", "credential", result, f.log);
	fault(g, TALLY_GATE_CREDENTIAL,
	      (enum gate_mode)c->submission.credential_check, &f,
	      "credential is refused");
}

static void check_transport(struct gatekeeper *g, const struct gate_claims *c)
{
	const struct config *conf = g->app->config;
	const struct transport_rules r = {
		.login_version = conf->tls.login_version,
		.login_bits = conf->tls.login_bits,
		.npeers = conf->tls.peers.n,
		.peers = conf->tls.peers.v,
	};
	struct gate_fault f;

	if (transport_check(g->arena, &r, &g->facts, c, conf->coaching.tls, &f))
		return;
	note(g, " tls-check=", "tls_check", "weak", f.log);
	fault(g, TALLY_GATE_TLS,
	      conf->tls.mode == TLS_MODE_REJECT ? GATE_REJECT : GATE_MONITOR,
	      &f, "connection is too weak");
}

static struct login_rules rules_of_login(const struct gatekeeper *g)
{
	const struct config *conf = g->app->config;

	return (struct login_rules){
		.ncertificates = conf->submission.certificates.n,
		.certificates = conf->submission.certificates.v,
		.ndemands = conf->submission.login_classes.n,
		.demands = conf->submission.login_classes.v,
		.senders = g->app->tables->senders,
		.strip_realm =
			conf->submission.login_realm == LOGIN_REALM_STRIP,
		.delimiter = conf->submission.recipient_delimiter,
	};
}

static void note_class(struct gatekeeper *g)
{
	const struct login_rules r = rules_of_login(g);

	if (g->facts.login.n > 0)
		login_classes_log(&g->log, login_classes(&r, &g->facts));
}

static void check_login(struct gatekeeper *g, const struct gate_claims *c)
{
	const struct config *conf = g->app->config;
	const struct login_rules r = rules_of_login(g);
	struct gate_fault f;

	if (login_check(g->arena, &r, &g->facts, c, conf->coaching.login, &f))
		return;
	note(g, " login-check=", "login_check", "weak", f.log);
	fault(g, TALLY_GATE_LOGIN, (enum gate_mode)conf->submission.login_check,
	      &f, "login is too weak for the address");
}

static void check_sender(struct gatekeeper *g, const struct gate_claims *c)
{
	const struct config *conf = g->app->config;
	const struct submission_rights r = {
		.senders = g->app->tables->senders,
		.credential = g->credential,
		.delimiter = conf->submission.recipient_delimiter,
	};
	struct gate_fault f;

	if (!submission_has_rights(&r))
		return;
	if (submission_check(g->arena, &r, &g->facts, c, conf->coaching.sender,
			     &f)) {
		tally_count_gate(g->app->tally, TALLY_GATE_SENDER, false);
		note(g, " sender=", "sender", "owned", NULL);
		return;
	}
	note(g, " sender=", "sender", "not-owned", f.log);
	fault(g, TALLY_GATE_SENDER,
	      (enum gate_mode)conf->submission.sender_check, &f,
	      "address is not owned by the login");
}

void gatekeeper_submission(struct gatekeeper *g, int64_t now)
{
	struct gate_claims c;

	gate_claims_of(g->arena, &g->facts, &c);
	check_credential(g, now);
	check_transport(g, &c);
	note_class(g);
	check_sender(g, &c);
	check_login(g, &c);
}

void gatekeeper_transport(struct gatekeeper *g)
{
	struct gate_claims c;

	if (g->app->config->tls.peers.n == 0)
		return;
	gate_claims_of(g->arena, &g->facts, &c);
	check_transport(g, &c);
}

void gatekeeper_limits(struct gatekeeper *g, int64_t now)
{
	const struct config *c = g->app->config;
	const struct credential *k = g->credential;
	struct gate_fault f;
	const char *what;
	int64_t limit, frees;

	if (k == NULL || g->refused || g->app->meter == NULL ||
	    !credential_has_limits(k))
		return;
	if (meter_take(g->app->meter,
		       slice_of(slice_lower(g->arena, slice_of(k->login))),
		       &k->limits, (int64_t)g->facts.nrcpts, now, &what, &limit,
		       &frees)) {
		tally_count_gate(g->app->tally, TALLY_GATE_LIMIT, false);
		return;
	}
	credential_over_limit(g->arena, k, what, limit, frees,
			      c->coaching.limit, &f);
	note(g, " limit=", "limit", "over", f.log);
	fault(g, TALLY_GATE_LIMIT,
	      (enum gate_mode)c->submission.credential_check, &f,
	      "login is over its limit");
}
