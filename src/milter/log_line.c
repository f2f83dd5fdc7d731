/*
 * The line of a message in the log: what stands in each, whichever way the
 * message goes, and what log.personal hides of persons in it.  Names of hosts,
 * domains and addresses of clients stay.
 */
#include "milter/session_state.h"

#include "base/clock.h"
#include "gate/transport.h"
#include "report/personal.h"

struct log_fields *session_log_begin(struct session *s)
{
	struct log_fields *f = arena_alloc(s->msg, sizeof(*f));

	log_fields_init(f, s->msg);
	if (s->envelope.queue_id.n > 0)
		log_wire(f, "", "queue_id", s->envelope.queue_id, LOG_ESCAPED,
			 64, ": ");
	else
		log_string(f, "", "queue_id", "NOQUEUE", ": ");
	return f;
}

void session_log_end(struct session *s, struct log_fields *f)
{
	log_number(f, " ms=", "ms", clock_mono_ms() - s->started_ms, "");
}

struct log_fields *session_log_line(struct session *s, const char *text)
{
	struct log_fields *f = session_log_begin(s);

	log_string(f, "", "text", text, "")->person = LOG_REASON;
	session_log_end(s, f);
	f->repeats = text;
	return f;
}

void session_log_client(const struct session *s, struct log_fields *f,
			const char *lead, const char *direction,
			const char *rule)
{
	log_string(f, lead, "direction", direction, "");
	log_string(f, "(", "direction_rule", rule, ")");
	if (s->login.name.n > 0) {
		log_wire(f, " login=", "login", s->login.name, LOG_WORD, 128,
			 "")
			->person = LOG_LOGIN;
		log_wire(f, " mechanism=", "mechanism", s->login.mechanism,
			 LOG_WORD, 64, "");
	}
	if (!s->msg_client.local)
		transport_log(f, &s->login.transport);
}

/* ---- log.personal ---- */

static struct slice reason(struct session *s, const struct personal *p,
			   struct slice text)
{
	/* a login with a realm is hidden as an address */
	return personal_login_in(s->msg, p, s->login.name,
				 slice_of(personal_text(s->msg, p, text)));
}

static struct slice hidden(struct session *s, const struct personal *p,
			   const struct log_field *x)
{
	switch (x->person) {
	case LOG_ADDRESS:
	case LOG_LOGIN:
		return personal_address(s->msg, p, x->text);
	case LOG_SUBJECT:
		return slice_of(personal_word(s->msg, p, x->text));
	case LOG_REASON:
		return reason(s, p, x->text);
	case LOG_NOBODY:
		break;
	}
	return slice_chr(x->text, '@') < 0
		       ? x->text
		       : slice_of(personal_text(s->msg, p, x->text));
}

static void hide(struct session *s, struct log_fields *f)
{
	const struct config *c = s->app->config;
	const struct personal p = {
		.omit = c->log.personal == LOG_PERSONAL_OMIT,
		.secret = c->secret,
	};

	if (f == NULL || c->log.personal == LOG_PERSONAL_KEEP)
		return;
	for (struct log_field *x = f->first; x != NULL; x = x->next) {
		if (x->type == LOG_STRING)
			x->text = hidden(s, &p, x);
		if (x == f->last)
			break;
	}
	if (f->repeats != NULL)
		f->repeats =
			slice_cstr(s->msg, reason(s, &p, slice_of(f->repeats)));
	f->rendered = NULL; /* the record may have asked for it */
}

/* The values are those that the text form does not have. */
void session_log_finish(struct session *s, const struct session_outcome *o)
{
	if (o->log != NULL) {
		log_string(o->log, NULL, "action",
			   verdict_action_name(o->action), "");
		log_number(o->log, NULL, "recipients",
			   (int64_t)s->envelope.nrcpts, "");
		log_number(o->log, NULL, "size", (int64_t)s->size, "");
	}
	hide(s, o->log);
	hide(s, o->warn);
}
