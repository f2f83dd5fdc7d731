/*
 * log.personal: what the log tells of persons.  Names of hosts, domains and
 * addresses of clients stay.
 */
#include "milter/session_state.h"

#include "report/personal.h"

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

void session_log_hide(struct session *s, struct log_fields *f)
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
