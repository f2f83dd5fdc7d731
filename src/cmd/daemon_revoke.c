/* Says what was done, and what is left to do for it to matter. */
#include "cmd/daemon_revoke.h"

#include <sysexits.h>

#include "report/personal.h"

static void say(struct strbuf *text, const char *before, const char *login,
		const char *after)
{
	strbuf_adds(text, before);
	strbuf_add_escaped(text, slice_of(login), REVOKED_LOGIN_MAX);
	strbuf_printf(text, "%s\n", after);
}

/* A mode in which mail of a login that is revoked still leaves. */
static void warn_mode(const struct config *c, struct strbuf *text)
{
	const char *mode, *what;

	switch ((enum gate_mode)c->submission.credential_check) {
	case GATE_REJECT:
		return;
	case GATE_SIGN:
		mode = "sign";
		what = "not signed";
		break;
	case GATE_MONITOR:
	default:
		mode = "monitor";
		what = "only logged";
		break;
	}
	strbuf_printf(text,
		      "warning: submission.credential_check is \"%s\", so mail "
		      "of a revoked login is %s; set it to \"reject\"\n",
		      mode, what);
}

/* What else revokes it. */
static void warn_entry(const struct app *app, const char *login,
		       struct strbuf *text)
{
	const struct credential *k = NULL;

	if (app->tables->credentials != NULL)
		k = credential_find(app->tables->credentials, slice_of(login));
	if (k != NULL && k->revoked)
		strbuf_printf(text,
			      "warning: %s has revoked = true for it; remove "
			      "that and reload\n",
			      k->source);
}

static int no_state(struct strbuf *text)
{
	strbuf_adds(text, "state_directory is empty, so there is no list of "
			  "revoked logins; set it\n");
	return EX_CONFIG;
}

static int change(const struct app *app, const char *login, bool undo,
		  struct strbuf *text)
{
	struct arena *a = arena_new();
	const char *why = NULL;
	int status = 0;

	switch (revocations_change(app->revocations, a, slice_of(login), undo,
				   &why)) {
	case REVOCATIONS_DONE:
		say(text, undo ? "not revoked any more: " : "revoked: ", login,
		    "");
		break;
	case REVOCATIONS_SAME:
		say(text,
		    undo ? "is not in the list: " : "was revoked before: ",
		    login, undo ? "; see mailseal revoke --list" : "");
		status = undo ? EX_DATAERR : 0;
		break;
	case REVOCATIONS_BAD:
		strbuf_printf(text, "%s\n", why);
		status = EX_DATAERR;
		break;
	case REVOCATIONS_FAILED:
		strbuf_printf(text, "%s\n", why);
		status = EX_IOERR;
		break;
	}
	arena_free(a);
	return status;
}

int daemon_revoke(struct app_place *place, const char *login, bool undo,
		  struct strbuf *text)
{
	struct app *app = app_get(place);
	int status = app->revocations != NULL ? change(app, login, undo, text)
					      : no_state(text);

	if (undo && status != EX_CONFIG)
		warn_entry(app, login, text);
	else if (!undo && status == 0)
		warn_mode(app->config, text);
	app_unref(app);
	return status;
}

int daemon_revoke_list(struct app_place *place, struct strbuf *text)
{
	struct app *app = app_get(place);
	struct arena *a = arena_new();
	const char *why;
	int status = 0;

	if (app->revocations == NULL) {
		status = no_state(text);
	} else if (!revocations_list(app->revocations, a, text, &why)) {
		strbuf_printf(text, "%s\n", why);
		status = EX_IOERR;
	}
	arena_free(a);
	app_unref(app);
	return status;
}

const char *daemon_revoke_shown(struct app_place *place, struct arena *a,
				const char *login)
{
	struct app *app = app_get(place);
	const struct config *c = app->config;
	const struct personal p = {
		.omit = c->log.personal == LOG_PERSONAL_OMIT,
		.secret = c->secret,
	};
	const char *ret = login;

	if (c->log.personal != LOG_PERSONAL_KEEP)
		ret = slice_cstr(a, personal_address(a, &p, slice_of(login)));
	app_unref(app);
	return ret;
}
