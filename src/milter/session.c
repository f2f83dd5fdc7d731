/*
 * Events collect, one place decides: session_end_of_message() runs evaluate
 * (or sign), decide and stamp from top to bottom.  Every decision is given
 * there; no earlier event needs a reply.
 */
#include "milter/session_state.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"

/* Client names, HELO and listener names longer than this are cut. */
#define NAME_MAX_BYTES 1024
/* RFC 5321 4.5.3.1.3 gives a path 256; SMTPUTF8 and quoting need more. */
#define PATH_MAX_BYTES 4096

struct session *session_new(struct app_place *place)
{
	struct session *s = mem_alloc(sizeof(*s));

	s->place = place;
	s->conn = arena_new();
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
	preflight_free(s);
	sealing_free(s);
	keyring_release(&s->keys);
	arena_free(s->msg);
	s->msg = NULL;
	app_unref(s->app);
	s->app = NULL;
	s->fields = (struct field_list){0};
	s->own = (struct own_fields){0};
	s->awareness = (struct awareness_facts){0};
	s->trusted = false;
	s->envelope = (struct envelope_facts){0};
	s->header_ended = false;
	s->failed = NULL;
	s->size = 0;
	s->nrcpts = 0;
	s->rcpts = NULL;
	s->unsigned_why = NULL;
	s->must_sign = false;
	s->remembered = (struct remembered){0};
	s->login = (struct session_login){0};
	s->gate = (struct gatekeeper){0};
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

/* HELO may be repeated without end: the old connection arena goes, and with it
 * a message that has not come to its end (RFC 5321 4.1.4), which borrows. */
void session_helo(struct session *s, struct slice helo)
{
	struct arena *fresh = arena_new();

	end_message(s);
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
	s->app = app_get(s->place);
	s->forced = app_listener_direction(s->app, s->client.listener);
	s->recipients = rule_recipients_new(s->msg, &s->app->rules);
	s->seal_recipients = rule_recipients_new(s->msg, &s->app->seals);
	s->msg_client = s->client;
	s->trusted = policy_trusted(&s->app->env, &s->msg_client);
	s->started_ms = clock_mono_ms();
}

/* Sendmail writes a whole distinguished name (RFC 4514). */
#define DN_MAX_BYTES 4096

static int hex_digit(char c)
{
	if (ascii_isdigit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What xtext stands for (RFC 3461 4): "+2B" is "+".  What is none stays. */
static struct slice xtext(struct arena *a, struct slice s)
{
	char *to = arena_alloc(a, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		bool coded = s.p[i] == '+' && s.n - i > 2;
		int high = coded ? hex_digit(s.p[i + 1]) : -1;
		int low = coded ? hex_digit(s.p[i + 2]) : -1;

		if (high >= 0 && low >= 0) {
			to[n++] = (char)(high << 4 | low);
			i += 2;
		} else {
			to[n++] = s.p[i];
		}
	}
	return (struct slice){to, n};
}

static void keep_login(struct session *s, const struct session_login *l)
{
	struct arena *a = s->msg;
	struct transport_facts *t = &s->login.transport;

	s->login = *l;
	s->login.name = keep(a, l->name, NAME_MAX_BYTES);
	if (s->mta == DKIM_MTA_SENDMAIL)
		s->login.name = xtext(a, s->login.name);
	s->login.mechanism = keep(a, l->mechanism, NAME_MAX_BYTES);
	t->version = keep(a, t->version, NAME_MAX_BYTES);
	t->cipher = keep(a, t->cipher, NAME_MAX_BYTES);
	t->cert_subject = keep(a, t->cert_subject, DN_MAX_BYTES);
	t->cert_issuer = keep(a, t->cert_issuer, DN_MAX_BYTES);
	t->verify = keep(a, t->verify, NAME_MAX_BYTES);
	/* Postfix alone tells of no certificate but those that it trusts. */
	t->tells_trust = s->mta != DKIM_MTA_KEEPS;
	s->envelope.login = s->login.name;
}

void session_mail(struct session *s, struct slice sender,
		  const struct session_login *login, struct slice queue_id)
{
	begin_message(s);
	s->envelope.sender = keep(s->msg, sender, PATH_MAX_BYTES);
	keep_login(s, login);
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

/* At the end of each event, since the next one may come in another thread.
 * After a fault of ours the message is no longer examined. */
static void look_for_faults(struct session *s)
{
	size_t most = (size_t)s->app->config->limits.message_memory;

	if (check_failed())
		s->failed = "internal error";
	else if (s->failed == NULL && arena_used(s->msg) > most)
		s->failed = "message needs too much memory";
}

void session_rcpt(struct session *s, struct slice rcpt)
{
	const struct awareness *w;

	need_message(s);
	w = s->app->awareness;
	s->envelope.nrcpts++;
	rule_recipients_add(&s->app->rules, s->recipients, rcpt);
	rule_recipients_add(&s->app->seals, s->seal_recipients, rcpt);
	session_remember_rcpt(s, rcpt);
	if (w != NULL && !s->awareness.untagged)
		s->awareness.untagged = awareness_is_untagged(
			w, slice_first(rcpt, PATH_MAX_BYTES));
	look_for_faults(s);
}

/* Those beyond the header limits too: a sender must not evade a tag by them. */
static void note_subject(struct session *s, struct slice name,
			 struct slice value)
{
	struct awareness_facts *f = &s->awareness;

	if (s->app->awareness != NULL && slice_is_ci(name, "Subject") &&
	    f->nsubjects < AWARENESS_SUBJECTS_MAX)
		f->subjects[f->nsubjects++] = slice_dup(s->msg, value);
}

void session_header(struct session *s, struct slice name, struct slice value)
{
	need_message(s);
	s->size += name.n + value.n + 3; /* ":" and CRLF */
	if (!s->trusted) /* whatever fails, what is forged goes */
		stamp_note(s->msg, &s->app->env, &s->own, name, value);
	if (s->failed != NULL)
		return;
	field_list_add(s->msg, &s->fields, &s->app->limits, name, value);
	note_subject(s, name, value);
	look_for_faults(s);
}

struct rule_outcome session_rules(struct session *s,
				  const struct addr_authors *authors,
				  const struct results *results)
{
	const struct rule_facts f = {
		.direction = results != NULL ? RULE_INBOUND : RULE_OUTBOUND,
		.client = &s->msg_client,
		.envelope = &s->envelope,
		.recipients = s->recipients,
		.fields = &s->fields,
		.authors = authors,
		.results = results,
		.size = s->size,
	};
	struct rule_outcome o;

	rules_run(s->msg, &s->app->rules, &f, &o);
	return o;
}

struct gatekeeper session_gatekeeper(struct session *s)
{
	return (struct gatekeeper){.app = s->app,
				   .arena = s->msg,
				   .log = {.arena = s->msg},
				   .facts = {
					   .login = s->login.name,
					   .mechanism = s->login.mechanism,
					   .transport = s->login.transport,
					   .client = s->msg_client.addr,
					   .local = s->msg_client.local,
					   .mail = s->envelope.sender,
					   .nrcpts = s->envelope.nrcpts,
					   .authors = &s->authors,
					   .fields = &s->fields,
				   }};
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
	if (s->failed != NULL)
		return;
	switch (s->direction) {
	case MAIL_INBOUND:
		inbound_begin(s);
		break;
	case MAIL_OUTBOUND:
		outbound_begin(s);
		break;
	case MAIL_IGNORED:
		break;
	}
	look_for_faults(s);
}

void session_body(struct session *s, struct slice bytes)
{
	session_end_of_header(s);
	s->size += bytes.n;
	if (s->failed != NULL)
		return;
	if (s->evaluation != NULL)
		evaluation_body(s->evaluation, bytes);
	else if (s->signer != NULL)
		dkim_signer_body(s->signer, bytes);
	preflight_body(s, bytes);
	sealing_body(s, bytes);
	look_for_faults(s);
}

static struct log_fields *explain_ignored(struct session *s)
{
	struct log_fields *f = session_log_begin(s);

	session_log_client(s, f, "direction=", "none", "listener");
	session_log_end(s, f);
	return f;
}

static void run(struct session *s, int64_t now, struct session_outcome *ret)
{
	switch (s->direction) {
	case MAIL_INBOUND:
		inbound_end(s, now, ret);
		break;
	case MAIL_OUTBOUND:
		outbound_end(s, now, ret);
		break;
	case MAIL_IGNORED:
		ret->log = explain_ignored(s);
		break;
	}
}

/* Of a message that we could not examine, what on_internal_error and
 * on_signing_error say; nothing that was found about it counts. */
static void give_up(struct session *s, struct session_outcome *ret)
{
	*ret = (struct session_outcome){0};
	s->remembered = (struct remembered){0};
	if (s->direction == MAIL_OUTBOUND)
		s->must_sign = keyring_domains(s->app->keyring) > 0;
	ret->action = session_on_error(s, &ret->reply);
	ret->warn = session_log_line(
		s, arena_printf(s->msg, "%s: %s", s->failed,
				ret->action == VERDICT_TEMPFAIL
					? "tempfailed"
					: "accepted, not examined"));
	if (ret->action == VERDICT_ACCEPT && s->direction == MAIL_INBOUND)
		inbound_unexamined(s, s->failed, ret);
	else if (ret->action == VERDICT_ACCEPT)
		stamp_outbound(s->msg, &s->own, NULL, 0, NULL, &ret->edits);
}

/* Of mail that is let through as it is nothing was to be found out. */
static void examine(struct session *s, int64_t now, struct session_outcome *ret)
{
	if (s->failed == NULL || s->direction == MAIL_IGNORED)
		run(s, now, ret);
	look_for_faults(s);
	if (s->failed != NULL && s->direction != MAIL_IGNORED)
		give_up(s, ret);
	session_remember(s, now, ret);
}

/* The store that this message is not to do without: its name in the log, or
 * NULL. */
static const char *missing_store(const struct session *s)
{
	const struct app *app = s->app;

	if (app->config->on_store_error != ON_ERROR_TEMPFAIL ||
	    s->direction == MAIL_IGNORED)
		return NULL;
	if (app->journal != NULL && !journal_is_working(app->journal))
		return "journal";
	if (app->meter != NULL && !meter_is_working(app->meter))
		return "limits";
	return NULL;
}

/* RFC 3463 3.4: a fault of the mail system. */
static void put_off(struct session *s, const char *store,
		    struct session_outcome *ret)
{
	ret->action = VERDICT_TEMPFAIL;
	ret->reply = (struct smtp_reply){
		"451", "4.3.0", "state cannot be kept, try again later"};
	ret->warn = session_log_line(
		s, arena_printf(s->msg, "%s cannot be written: tempfailed",
				store));
}

/* A message that is put off is not run, so no limit counts it. */
void session_end_of_message(struct session *s, struct slice queue_id,
			    int64_t now, struct session_outcome *ret)
{
	const char *store;

	*ret = (struct session_outcome){.action = VERDICT_ACCEPT};
	session_end_of_header(s);
	session_measure(s);
	if (queue_id.n > 0)
		s->envelope.queue_id = keep(s->msg, queue_id, NAME_MAX_BYTES);
	store = missing_store(s);
	if (store != NULL)
		put_off(s, store, ret);
	else
		examine(s, now, ret);
	session_count(s, ret);
	session_log_finish(s, ret);
	/* no fault of this message is another's */
	(void)check_failed();
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
