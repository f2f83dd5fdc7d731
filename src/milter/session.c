/*
 * Events collect, one place decides: session_end_of_message() runs evaluate
 * (or sign), decide and stamp from top to bottom.  Every decision is given
 * there; no earlier event needs a reply.
 */
#include "milter/session.h"

#include <stdlib.h>

#include "base/clock.h"
#include "dkim/dkim.h"

struct session {
	const struct app *app;
	struct arena *conn; /* replaced at each HELO */
	struct arena *msg;  /* NULL between messages */
	struct client_facts client;
	bool maybe_local;
	int forced; /* listener's direction or -1 */
	enum dkim_mta mta;

	/* the message */
	struct client_facts msg_client;
	struct envelope_facts envelope;
	struct field_list fields;
	struct own_fields own;
	bool trusted; /* the client's fields in our name stay */
	bool header_ended;
	enum mail_direction direction;
	const char *why; /* rule that decided the direction */
	struct evaluation *evaluation;
	struct dkim_signer *signer;
	struct addr_authors authors; /* outbound */
	struct key_choice keys;
	const char *unsigned_why; /* constant; NULL: will be signed */
	bool must_sign;
	bool sender_checked;
	struct submission_result sender; /* when it was checked */
	int64_t started_ms;
};

/* Client names, HELO and listener names longer than this are cut. */
#define NAME_MAX_BYTES 1024
/* RFC 5321 4.5.3.1.3 gives a path 256; SMTPUTF8 and quoting need more. */
#define PATH_MAX_BYTES 4096

struct session *session_new(const struct app *app)
{
	struct session *s = mem_alloc(sizeof(*s));

	s->app = app;
	s->conn = arena_new();
	s->forced = -1;
	s->mta = DKIM_MTA_UNKNOWN;
	return s;
}

static struct slice keep(struct arena *a, struct slice s, size_t max)
{
	return slice_dup(a, slice_first(s, max));
}

static void end_message(struct session *s)
{
	evaluation_free(s->evaluation);
	s->evaluation = NULL;
	if (s->signer != NULL)
		dkim_signer_free(s->signer);
	s->signer = NULL;
	keyring_release(&s->keys);
	arena_free(s->msg);
	s->msg = NULL;
	s->fields = (struct field_list){0};
	s->own = (struct own_fields){0};
	s->trusted = false;
	s->envelope = (struct envelope_facts){0};
	s->header_ended = false;
	s->unsigned_why = NULL;
	s->must_sign = false;
	s->sender_checked = false;
	s->keys = (struct key_choice){0};
}

void session_free(struct session *s)
{
	if (s == NULL)
		return;
	end_message(s);
	arena_free(s->conn);
	free(s);
}

void session_connect(struct session *s, struct ip addr, bool maybe_local,
		     struct slice name, struct slice listener)
{
	s->client.addr = addr;
	s->client.name_confirmed = false;
	s->client.name = keep(s->conn, name, NAME_MAX_BYTES);
	s->client.listener = keep(s->conn, listener, NAME_MAX_BYTES);
	s->maybe_local = maybe_local;
	s->forced = app_listener_direction(s->app, s->client.listener);
}

/*
 * Has the MTA found that the name leads back to the address (AR-9)?  Sendmail
 * says so in {client_resolve}, and gives a forged name as well; Postfix, which
 * calls itself so in the macro v ("Postfix 3.7.11", milter_macro_v), gives a
 * name only then.  Whoever cannot be told from another confirms nothing.
 */
static bool is_confirmed(struct slice name, struct slice resolve,
			 struct slice version)
{
	if (resolve.n > 0)
		return slice_is(resolve, "OK");
	return slice_starts(version, "Postfix ") && name.n > 0 &&
	       !slice_starts(name, "[") && !slice_is_ci(name, "unknown");
}

/* Sendmail's macro v is its version alone: "8.17.1.9". */
static enum dkim_mta mta_of(struct slice version)
{
	if (slice_starts(version, "Postfix "))
		return DKIM_MTA_KEEPS;
	return slice_starts(version, "8.") ? DKIM_MTA_SENDMAIL
					   : DKIM_MTA_UNKNOWN;
}

void session_resolved(struct session *s, struct slice resolve,
		      struct slice version)
{
	s->mta = mta_of(version);
	s->client.name_confirmed =
		is_confirmed(s->client.name, resolve, version);
}

/* HELO may be repeated without end: the old connection arena goes. */
void session_helo(struct session *s, struct slice helo)
{
	struct arena *fresh = arena_new();

	s->client.name = slice_dup(fresh, s->client.name);
	s->client.listener = slice_dup(fresh, s->client.listener);
	s->client.helo = keep(fresh, helo, NAME_MAX_BYTES);
	arena_free(s->conn);
	s->conn = fresh;
}

static void begin_message(struct session *s)
{
	end_message(s);
	s->msg = arena_new();
	s->msg_client = s->client;
	s->trusted = policy_trusted(&s->app->env, &s->msg_client);
	s->started_ms = clock_mono_ms();
}

void session_mail(struct session *s, struct slice sender, struct slice login,
		  struct slice queue_id)
{
	begin_message(s);
	s->envelope.sender = keep(s->msg, sender, PATH_MAX_BYTES);
	s->envelope.login = keep(s->msg, login, NAME_MAX_BYTES);
	s->envelope.queue_id = keep(s->msg, queue_id, NAME_MAX_BYTES);
	/* Postfix gives the path of sendmail(1) submission without <>; an
	 * SMTP client cannot. */
	if (s->maybe_local && !slice_starts(s->envelope.sender, "<")) {
		s->msg_client.addr.family = IP_NONE;
		s->msg_client.local = true;
		s->trusted = false;
	}
}

/* A stage that needs a message but came without MAIL: start one. */
static void need_message(struct session *s)
{
	if (s->msg == NULL)
		begin_message(s);
}

void session_rcpt(struct session *s)
{
	need_message(s);
	s->envelope.nrcpts++;
}

void session_header(struct session *s, struct slice name, struct slice value)
{
	need_message(s);
	field_list_add(s->msg, &s->fields, &s->app->limits, name, value);
	if (!s->trusted)
		stamp_note(s->msg, &s->app->env, &s->own, name, value);
}

/* Did somebody hand it in who has to show a right?  What a network or the
 * host itself gives is trusted as a whole. */
static bool is_submission(const struct session *s)
{
	const struct config_nets *sign = &s->app->config->networks.sign;

	if (s->envelope.login.n > 0)
		return true;
	for (size_t i = 0; i < sign->n; i++)
		if (ip_net_has(&sign->v[i], &s->msg_client.addr))
			return false;
	return !s->msg_client.local;
}

static struct submission_input submission_of(const struct session *s)
{
	return (struct submission_input){
		.senders = s->app->senders,
		.login = s->envelope.login,
		.mail = s->envelope.sender,
		.authors = &s->authors,
		.fields = &s->fields,
	};
}

/* False: it has no right to be signed. */
static bool check_sender(struct session *s)
{
	struct submission_input in = submission_of(s);

	if (s->app->senders == NULL || !is_submission(s))
		return true;
	s->sender_checked = true;
	submission_check(s->msg, &in, &s->sender);
	app_count_sender(s->app, s->sender.field == NULL);
	return s->sender.field == NULL ||
	       s->app->config->submission.sender_check == SUBMISSION_MONITOR;
}

static void open_signer(struct session *s)
{
	const char *domain;

	addr_authors_of(s->msg, &s->fields, &s->authors);
	if (!check_sender(s)) {
		s->unsigned_why = "address is not owned by the login";
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

void session_end_of_header(struct session *s)
{
	struct direction_options o;

	need_message(s);
	if (s->header_ended)
		return;
	s->header_ended = true;
	o = (struct direction_options){
		.forced = s->forced,
		.sign = s->app->config->networks.sign.v,
		.nsign = s->app->config->networks.sign.n,
		.sign_reinjected = s->app->config->outbound.sign_reinjected,
	};
	s->direction = policy_direction(&o, &s->msg_client, &s->envelope,
					field_count(&s->fields, "Received") > 0,
					&s->why);
	switch (s->direction) {
	case MAIL_INBOUND:
		s->evaluation =
			evaluation_new(s->msg, &s->app->env, &s->msg_client,
				       &s->envelope, &s->fields);
		break;
	case MAIL_OUTBOUND:
		open_signer(s);
		break;
	case MAIL_IGNORED:
		break;
	}
}

void session_body(struct session *s, struct slice bytes)
{
	session_end_of_header(s);
	if (s->evaluation != NULL)
		evaluation_body(s->evaluation, bytes);
	else if (s->signer != NULL)
		dkim_signer_body(s->signer, bytes);
}

static const char *log_line(struct session *s, const char *text)
{
	struct strbuf b;

	strbuf_init(&b, s->msg, 16384);
	if (s->envelope.queue_id.n > 0)
		strbuf_add_escaped(&b, s->envelope.queue_id, 64);
	else
		strbuf_adds(&b, "NOQUEUE");
	strbuf_printf(&b, ": %s ms=%lld", text,
		      (long long)(clock_mono_ms() - s->started_ms));
	return strbuf_cstr(&b);
}

static struct policy_options options_of(const struct session *s)
{
	const struct config *c = s->app->config;

	return (struct policy_options){
		.disposition = (enum dmarc_disposition)c->dmarc.disposition,
		.quarantine = (enum dmarc_quarantine)c->dmarc.quarantine,
		.exempt = policy_exempt(&s->app->env, &s->msg_client),
		.over_limit = policy_over_limit(&s->fields),
	};
}

static void stamp(struct session *s, const struct results *r,
		  const struct verdict *v, struct edits *ret)
{
	if (v->action == VERDICT_REJECT)
		stamp_outbound(s->msg, &s->own, NULL, 0, ret);
	else
		stamp_inbound(s->msg, &s->app->env, &s->own, &s->msg_client,
			      &s->envelope, r, v, ret);
}

/* What is asked of the MTA.  A message that it will not hold gets the field
 * in any case: it is not to look like others. */
static void ask(struct session *s, const struct results *r,
		const struct verdict *v, struct session_outcome *ret)
{
	struct verdict tagged = *v;

	ret->action = v->action;
	ret->reply = v->reply;
	stamp(s, r, v, &ret->edits);
	if (!v->hold)
		return;
	ret->hold = v->mark;
	tagged.tag = true;
	stamp(s, r, &tagged, &ret->unheld);
}

static void finish_inbound(struct session *s, int64_t now,
			   struct session_outcome *ret)
{
	struct policy_options o = options_of(s);
	struct results r;
	struct verdict v;

	evaluation_end(s->evaluation, now, &r);
	policy_decide(s->msg, &o, &r, &v);
	ask(s, &r, &v, ret);
	app_count(s->app, r.dmarc.status, &v);
	ret->log =
		log_line(s, arena_printf(s->msg, "%s direction=inbound(%s)",
					 explain_inbound(s->msg, &s->msg_client,
							 &s->envelope, &r, &v),
					 s->why));
	if (r.dmarc.difference != NULL)
		ret->warn = log_line(
			s, arena_printf(s->msg, "dmarc.discovery differs: %s",
					r.dmarc.difference));
	else if (r.second_opinion != NULL)
		ret->warn = log_line(s, arena_printf(s->msg,
						     "libopendmarc differs: %s",
						     r.second_opinion));
}

/* Signs; false when it had to be signed and could not be. */
static bool sign(struct session *s, struct slice *values, size_t *n)
{
	const char *reason = NULL;

	*n = 0;
	if (s->signer == NULL)
		return !s->must_sign;
	if (!dkim_signer_end(s->signer, values, &reason)) {
		s->unsigned_why = reason != NULL ? reason : "signing failed";
		return false;
	}
	*n = s->keys.n;
	return true;
}

/* " sender=owned", " sender=not-owned(From bob@example.com)" */
static void add_sender(struct strbuf *b, const struct submission_result *r)
{
	if (r->field == NULL)
		strbuf_adds(b, " sender=owned");
	else
		strbuf_printf(b, " sender=not-owned(%s %s)", r->field,
			      r->address != NULL ? r->address : r->reason);
}

static const char *explain_outbound(struct session *s, size_t nsigned)
{
	struct strbuf b;
	char ip[IP_TEXT_MAX];

	strbuf_init(&b, s->msg, 8192);
	strbuf_adds(&b, "from=");
	for (size_t i = 0; i < s->authors.ndomains; i++)
		strbuf_printf(&b, "%s%s", i > 0 ? "," : "",
			      s->authors.domains[i]);
	strbuf_printf(&b, " client=%s direction=outbound(%s)",
		      s->msg_client.local ? "local"
					  : ip_format(&s->msg_client.addr, ip),
		      s->why);
	if (s->envelope.login.n > 0) {
		strbuf_adds(&b, " login=");
		strbuf_add_escaped(&b, s->envelope.login, 128);
	}
	if (s->sender_checked)
		add_sender(&b, &s->sender);
	strbuf_adds(&b, " signed=");
	for (size_t i = 0; i < nsigned; i++)
		strbuf_printf(&b, "%s%s/%s", i > 0 ? "," : "",
			      s->keys.v[i].domain, s->keys.v[i].selector);
	if (nsigned == 0)
		strbuf_printf(&b, "no why=\"%s\"",
			      s->unsigned_why != NULL ? s->unsigned_why : "");
	return strbuf_cstr(&b);
}

/* What may break the signature on its way out. */
static void warn_broken(struct session *s, struct session_outcome *ret)
{
	const char *what = dkim_signer_warning(s->signer);

	if (what != NULL)
		ret->warn = log_line(s, what);
}

/* True: the message is refused, since its login has no right to it. */
static bool refuse_sender(struct session *s, struct session_outcome *ret)
{
	const struct config *c = s->app->config;
	struct submission_input in = submission_of(s);

	if (!s->sender_checked || s->sender.field == NULL ||
	    c->submission.sender_check != SUBMISSION_REJECT)
		return false;
	ret->action = VERDICT_REJECT;
	ret->reply = (struct smtp_reply){
		"550", "5.7.1",
		submission_reply(s->msg, &in, &s->sender, c->submission.help,
				 POLICY_REPLY_MAX)};
	return true;
}

static void finish_outbound(struct session *s, struct session_outcome *ret)
{
	struct slice *values = arena_array(s->msg, s->keys.n, sizeof(*values));
	size_t n;
	bool ok = sign(s, values, &n);

	stamp_outbound(s->msg, &s->own, values, n, &ret->edits);
	ret->log = log_line(s, explain_outbound(s, n));
	if (s->keys.error != NULL)
		ret->warn = log_line(s, s->keys.error);
	else if (n > 0)
		warn_broken(s, ret);
	if (refuse_sender(s, ret))
		return;
	if (ok || s->app->config->on_signing_error == ON_ERROR_ACCEPT)
		return;
	ret->action = VERDICT_TEMPFAIL;
	ret->reply = (struct smtp_reply){
		"451", "4.7.1", "message could not be signed, try again later"};
	ret->edits.n = 0;
}

void session_end_of_message(struct session *s, struct slice queue_id,
			    int64_t now, struct session_outcome *ret)
{
	*ret = (struct session_outcome){.action = VERDICT_ACCEPT};
	session_end_of_header(s);
	if (queue_id.n > 0)
		s->envelope.queue_id = keep(s->msg, queue_id, NAME_MAX_BYTES);
	switch (s->direction) {
	case MAIL_INBOUND:
		finish_inbound(s, now, ret);
		break;
	case MAIL_OUTBOUND:
		finish_outbound(s, ret);
		break;
	case MAIL_IGNORED:
		ret->log = log_line(s, "direction=none(listener)");
		break;
	}
}

void session_abort(struct session *s)
{
	end_message(s);
}

enum verdict_action session_on_error(const struct session *s,
				     struct smtp_reply *reply)
{
	const struct config *c = s->app->config;
	int64_t choice = s->direction == MAIL_OUTBOUND && s->must_sign
				 ? c->on_signing_error
				 : c->on_internal_error;

	*reply = (struct smtp_reply){"451", "4.7.1",
				     "internal error, try again later"};
	return choice == ON_ERROR_TEMPFAIL ? VERDICT_TEMPFAIL : VERDICT_ACCEPT;
}
