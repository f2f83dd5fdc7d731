/* One question to mailseald, from a terminal or a script. */
#include "cmd/control_call.h"

#include <stdio.h>
#include <sysexits.h>

#include "cmd/progress.h"
#include "config/config.h"
#include "control/ask.h"

#define QUICK_MS 10000
#define LONG_MS	 600000

bool control_target_take(struct control_target *t, int c, const char *arg)
{
	if (c == 'c')
		t->config = arg;
	else if (c == CONTROL_OPTION_SOCKET)
		t->socket = arg;
	else
		return false;
	return true;
}

bool control_is_word(const char *s)
{
	const char *p = s;

	while ((unsigned char)*p > ' ' && *p != 0x7f)
		p++;
	return p > s && *p == '\0';
}

/* In `a`; NULL and a message. */
static const char *socket_of(struct arena *a, const char *command,
			     const char *file)
{
	const char *ret = NULL;
	struct strbuf errors;
	struct config *c;

	strbuf_init(&errors, a, 65536);
	c = config_load(file, &errors);
	fputs(strbuf_cstr(&errors), stderr);
	if (c == NULL) {
		fprintf(stderr,
			"mailseal %s: --socket tells where mailseald is "
			"without the configuration\n",
			command);
		return NULL;
	}
	if (c->control.socket[0] != '\0')
		ret = arena_strdup(a, c->control.socket);
	else
		fprintf(stderr,
			"mailseal %s: %s: control.socket is empty, so "
			"mailseald cannot be asked; set it\n",
			command, file);
	config_free(c);
	return ret;
}

static void show_progress(void *arg, struct slice text)
{
	progress_show(arg, text);
}

static int ask(struct arena *a, const char *command,
	       const struct control_question *q)
{
	struct control_answer answer;
	const char *err;

	if (!control_ask(a, q, &answer, &err)) {
		progress_end(q->arg);
		fprintf(stderr, "mailseal %s: no answer: %s\n", command, err);
		return EX_UNAVAILABLE;
	}
	progress_end(q->arg);
	fwrite(answer.text.p, 1, answer.text.n,
	       answer.status == 0 ? stdout : stderr);
	return answer.status;
}

int control_call(const char *command, const struct control_target *t,
		 const char *request, enum control_patience patience)
{
	const char *file = t->config != NULL ? t->config
					     : MAILSEAL_SYSCONFDIR
				   "/mailseal.conf";
	struct arena *a = arena_new();
	struct progress_view view = {0};
	struct control_question q = {
		.path = t->socket,
		.request = request,
		.silence_ms =
			patience == CONTROL_CALL_QUICK ? QUICK_MS : LONG_MS,
		.progress = show_progress,
		.arg = &view,
	};
	int status = EX_CONFIG;

	if (q.path == NULL)
		q.path = socket_of(a, command, file);
	if (q.path != NULL)
		status = ask(a, command, &q);
	arena_free(a);
	return status;
}

void control_reload(const char *path)
{
	struct arena *a = arena_new();
	const struct control_question q = {
		.path = path, .request = "reload", .silence_ms = LONG_MS};
	struct control_answer answer = {.status = EX_UNAVAILABLE};
	const char *why = "control.socket is empty";

	if (path[0] != '\0' && control_ask(a, &q, &answer, &why))
		why = slice_cstr(a, slice_trim(answer.text));
	if (answer.status == 0)
		fputs("mailseald was reloaded, and does so from now on\n",
		      stderr);
	else
		fprintf(stderr,
			"mailseald does so after mailseal reload, or its next "
			"start; it was not reloaded now: %s\n",
			why);
	arena_free(a);
}
