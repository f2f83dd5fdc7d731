/* Two questions to the one that runs: "takeover", and "yield". */
#include "cmd/takeover.h"

#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/ask.h"

#define SILENCE_MS 10000
#define SHOWN_MAX  1000 /* bytes of an answer */

#define OWNERS 3

/* Whom we believe: root, ourselves, and who we are to become. */
static size_t owners(const struct config *c, uid_t ret[OWNERS])
{
	const struct passwd *pw =
		c->user[0] != '\0' ? getpwnam(c->user) : NULL;

	ret[0] = 0;
	ret[1] = geteuid();
	if (pw == NULL)
		return 2;
	ret[2] = pw->pw_uid;
	return 3;
}

static bool ask(const struct config *c, struct arena *a, const char *request,
		struct control_answer *ret, struct strbuf *errors)
{
	uid_t trusted[OWNERS];
	const struct control_question q = {
		.path = c->control.socket,
		.request = request,
		.silence_ms = SILENCE_MS,
		.owners = trusted,
		.nowners = owners(c, trusted),
	};
	const char *err;

	if (!control_ask(a, &q, ret, &err)) {
		strbuf_printf(errors,
			      "--takeover: %s; start without it when no "
			      "mailseald runs\n",
			      err);
		return false;
	}
	if (ret->status != 0) {
		strbuf_adds(errors, "--takeover: ");
		strbuf_add_escaped(errors, slice_trim(ret->text), SHOWN_MAX);
		strbuf_addc(errors, '\n');
	}
	return ret->status == 0;
}

/* What it listens on must be what the MTA will be told. */
static bool is_same_socket(const struct config *c,
			   const struct control_answer *answer,
			   struct strbuf *errors)
{
	struct slice rest = answer->text;
	struct slice theirs = slice_cut(&rest, '\n');

	if (slice_is(theirs, c->socket))
		return true;
	strbuf_adds(errors, "--takeover: the mailseald that runs listens on ");
	strbuf_add_escaped(errors, theirs, SHOWN_MAX);
	strbuf_printf(errors, ", not on %s; start without --takeover\n",
		      c->socket);
	return false;
}

static bool is_listening(int fd)
{
	int on = 0;
	socklen_t n = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &n) == 0 &&
	       on != 0;
}

int takeover_begin(const struct config *c, struct strbuf *errors)
{
	struct control_answer answer = {.fd = -1};
	struct arena *a;
	bool ok;

	if (c->control.socket[0] == '\0') {
		strbuf_adds(errors, "--takeover: needs control.socket\n");
		return -1;
	}
	a = arena_new();
	ok = ask(c, a, "takeover", &answer, errors) &&
	     is_same_socket(c, &answer, errors);
	if (ok && !is_listening(answer.fd)) {
		strbuf_adds(errors, "--takeover: no listening socket came\n");
		ok = false;
	}
	if (!ok && answer.fd >= 0)
		close(answer.fd);
	arena_free(a);
	return ok ? answer.fd : -1;
}

bool takeover_end(const struct config *c, struct strbuf *errors)
{
	struct control_answer answer = {.fd = -1};
	struct arena *a = arena_new();
	bool ok = ask(c, a, "yield", &answer, errors);

	if (answer.fd >= 0)
		close(answer.fd);
	arena_free(a);
	return ok;
}
