/*
 * What mailseal needs of Sendmail, and the comparison with what is there.  The
 * filter line that is made here is the only place where its equates are
 * written; contrib/sendmail/mailseal.m4 is checked against it
 * (tests/mta/test_setup.py).
 */
#include "cmd/mta.h"

#include <string.h>
#include <sys/stat.h>

/* Sendmail's own, in seconds, where a filter line does not say. */
#define REPLY_DEFAULT 10
#define END_DEFAULT   300

#define REPLY_LEAST 30
#define END_LEAST   60

static uint64_t reply_time(const struct config *c)
{
	uint64_t t = (uint64_t)c->shutdown_timeout + 5;

	return t > REPLY_LEAST ? t : REPLY_LEAST;
}

static uint64_t end_time(const struct config *c)
{
	uint64_t t = (uint64_t)c->resolver.message_timeout + 5;

	return t > END_LEAST ? t : END_LEAST;
}

/* Our socket as Sendmail calls it, or NULL. */
static const char *our_address(struct arena *a, const struct config *c)
{
	const char *path = mta_socket_path(c->socket);

	if (path != NULL)
		return arena_printf(a, "local:%s", path);
	return slice_starts(slice_of(c->socket), "inet") ? c->socket : NULL;
}

const char *sendmail_filter_line(struct arena *a, const struct config *c)
{
	const char *address = our_address(a, c);
	unsigned reply = (unsigned)reply_time(c);

	if (address == NULL)
		return NULL;
	return arena_printf(a,
			    "INPUT_MAIL_FILTER(`mailseal', `S=%s, F=T, "
			    "T=C:%us;S:%us;R:%us;E:%us')dnl",
			    address, reply, reply, reply,
			    (unsigned)end_time(c));
}

static void add(struct mta_faults *ret, const char *where, const char *setting,
		const char *wrong, const char *cure)
{
	mta_fault_add(ret, &(struct mta_fault){.where = where,
					       .setting = setting,
					       .wrong = wrong,
					       .cure = cure});
}

/* The seconds of one letter in "C:10s;E:60s", or `otherwise`.  A number alone
 * is in seconds. */
static uint64_t time_of(const char *times, char letter, uint64_t otherwise)
{
	struct slice rest = slice_of(times), one;
	uint64_t n;
	char text[16];

	while (rest.p != NULL) {
		one = slice_trim(slice_cut(&rest, ';'));
		if (one.n < 3 || one.n >= sizeof(text) || one.p[0] != letter ||
		    one.p[1] != ':')
			continue;
		memcpy(text, one.p + 2, one.n - 2);
		text[one.n - 2] = '\0';
		if (mta_seconds(text, 's', &n))
			return n;
	}
	return otherwise;
}

static void compare_flags(struct arena *a, const struct config *c,
			  const struct sendmail_filter *f, const char *where,
			  struct mta_faults *ret)
{
	const char *wrong = NULL;

	if (strchr(f->flags, 'R') != NULL)
		wrong = "mail that comes while mailseald is down is refused "
			"for good";
	else if (strpbrk(f->flags, "T4") == NULL)
		wrong = mta_wrong_accept(c);
	if (wrong != NULL)
		add(ret, where,
		    arena_printf(a, "filter %s, F=%s", f->name, f->flags),
		    wrong, "set F=T");
}

static void compare_times(struct arena *a, const struct config *c,
			  const struct sendmail_filter *f, const char *where,
			  struct mta_faults *ret)
{
	uint64_t end = time_of(f->times, 'E', END_DEFAULT);
	uint64_t reply = time_of(f->times, 'R', REPLY_DEFAULT);

	if (end <= (uint64_t)c->resolver.message_timeout)
		add(ret, where,
		    arena_printf(a, "filter %s, T=E:%us", f->name,
				 (unsigned)end),
		    arena_printf(a,
				 "is not longer than resolver.message_timeout "
				 "= %d of %s: Sendmail gives up while "
				 "mailseald waits for the DNS",
				 (int)c->resolver.message_timeout, c->file),
		    arena_printf(a, "set T=...;E:%us", (unsigned)end_time(c)));
	if (reply <= (uint64_t)c->shutdown_timeout)
		add(ret, where,
		    arena_printf(a, "filter %s, T=R:%us", f->name,
				 (unsigned)reply),
		    arena_printf(a,
				 "is not longer than shutdown_timeout = %d of "
				 "%s: a restart of mailseald makes mail wait "
				 "for its next try",
				 (int)c->shutdown_timeout, c->file),
		    arena_printf(a, "set T=...;R:%us;...",
				 (unsigned)reply_time(c)));
}

void sendmail_compare_filter(struct arena *a, const struct config *c,
			     const struct sendmail_filter *f, const char *where,
			     struct mta_faults *ret)
{
	if (!sendmail_same_socket(c->socket, f->socket) &&
	    our_address(a, c) != NULL)
		add(ret, where,
		    arena_printf(a, "filter %s, S=%s", f->name, f->socket),
		    arena_printf(a, "is not the socket of %s, %s", c->file,
				 c->socket),
		    arena_printf(a, "set S=%s", our_address(a, c)));
	compare_flags(a, c, f, where, ret);
	compare_times(a, c, f, where, ret);
}

/* A name in a list that commas separate. */
static bool is_in(const char *list, const char *name)
{
	struct slice rest = slice_of(list);

	while (rest.p != NULL)
		if (slice_is(slice_trim(slice_cut(&rest, ',')), name))
			return true;
	return false;
}

static void compare_filters(const struct sendmail *s, const struct config *c,
			    struct mta_faults *ret)
{
	const char *list = sendmail_option(s, "InputMailFilters", 0);
	const char *line = sendmail_filter_line(s->arena, c);
	struct sendmail_filter f;

	if (line == NULL)
		return;
	for (size_t i = 0; sendmail_filter(s, i, &f); i++) {
		if (!sendmail_is_ours(c, &f))
			continue;
		sendmail_compare_filter(s->arena, c, &f, s->cf_path, ret);
		if (list == NULL || !is_in(list, f.name))
			add(ret, s->cf_path,
			    arena_printf(s->arena, "InputMailFilters=%s",
					 list != NULL ? list : ""),
			    arena_printf(s->arena, "filter %s is not used",
					 f.name),
			    "put it first in confINPUT_MAIL_FILTERS");
		return;
	}
	add(ret, s->cf_path, "InputMailFilters",
	    "mail is neither checked nor signed",
	    arena_printf(s->arena, "add %s to sendmail.mc", line));
}

/* "Name=submission, Port=587, M=Ea": the value of the key that begins with
 * this letter, which is all that Sendmail looks at, or NULL. */
static const char *daemon_value(struct arena *a, const char *daemon,
				char letter)
{
	struct slice rest = slice_of(daemon), one, key;

	while (rest.p != NULL) {
		one = slice_cut(&rest, ',');
		key = slice_trim(slice_cut(&one, '='));
		if (key.n > 0 && key.p[0] == letter)
			return slice_cstr(a, slice_trim(one));
	}
	return NULL;
}

/* A daemon that has a list of filters of its own, without us. */
static void compare_asks(const struct sendmail *s, const struct config *c,
			 const struct config_listener *l, const char *daemon,
			 struct mta_faults *ret)
{
	const char *list = daemon_value(s->arena, daemon, 'I');

	if (list == NULL || strstr(list, "mailseal") != NULL ||
	    l->direction == DIRECTION_NONE)
		return;
	add(ret, s->cf_path,
	    arena_printf(s->arena, "DaemonPortOptions of \"%s\", I=%s", l->name,
			 list),
	    "mail that this daemon takes is not handed to mailseald",
	    arena_printf(s->arena,
			 "put mailseal into that list, or take \"%s\" out of "
			 "listeners of %s",
			 l->name, c->file));
}

static void compare_listener(const struct sendmail *s, const struct config *c,
			     const struct config_listener *l,
			     struct mta_faults *ret)
{
	const char *daemon, *name;

	for (size_t i = 0;
	     (daemon = sendmail_option(s, "DaemonPortOptions", i)) != NULL;
	     i++) {
		name = daemon_value(s->arena, daemon, 'N');
		if (name == NULL || strcmp(name, l->name) != 0)
			continue;
		compare_asks(s, c, l, daemon, ret);
		return;
	}
	add(ret, s->cf_path,
	    arena_printf(s->arena, "listener \"%s\" of %s", l->name, c->file),
	    "no daemon has this name, so its direction is not used",
	    arena_printf(s->arena, "put Name=%s into its DAEMON_OPTIONS",
			 l->name));
}

/* Debian's 8.17.1.9-2+deb12u1 brought confREJECT_NUL and refuses a bare LF; a
 * macro library that does not know it belongs to a Sendmail that may not. */
static bool knows_reject_nul(const struct sendmail *s)
{
	return strstr(s->cf, "O RejectNUL=") != NULL;
}

bool sendmail_wants_reject_nul(const struct sendmail *s)
{
	const char *value;

	if (s->cf == NULL || !knows_reject_nul(s))
		return false;
	value = sendmail_option(s, "RejectNUL", 0);
	return value == NULL || ascii_lower(*value) != 't';
}

static void compare_version(const struct sendmail *s, struct mta_faults *ret)
{
	const char *setting = arena_printf(s->arena, "Sendmail %s", s->version);

	if (s->minor > 0 && s->minor < 14)
		add(ret, s->cf_path, setting,
		    "its milter protocol is too old: signatures with c=simple "
		    "fail, and macros are missing",
		    "update it to 8.14 or later");
	if (s->minor > 0 && s->minor < 18 && !knows_reject_nul(s))
		add(ret, s->cf_path, setting,
		    "a message may be smuggled in within another "
		    "(CVE-2023-51765)",
		    "update it to 8.18, or to one of the distribution that "
		    "has this mended");
}

static bool blames(const struct sendmail *s, const char *flag)
{
	const char *flags = sendmail_option(s, "DontBlameSendmail", 0);

	return flags == NULL || strcasestr(flags, flag) == NULL;
}

/* A directory that others can write to makes Sendmail refuse to start. */
static bool unsafe(const struct sendmail *s, const struct stat *st)
{
	if ((st->st_mode & S_IWOTH) != 0)
		return (st->st_mode & S_ISVTX) == 0 ||
		       blames(s, "TrustStickyBit");
	return (st->st_mode & S_IWGRP) != 0 &&
	       blames(s, "GroupWritableDirPathSafe");
}

static void compare_directories(const struct sendmail *s,
				const struct config *c, const char *path,
				struct mta_faults *ret)
{
	struct stat st;
	const char *dir;

	for (const char *at = strchr(path + 1, '/'); at != NULL;
	     at = strchr(at + 1, '/')) {
		dir = arena_memdup(s->arena, path, (size_t)(at - path));
		if (stat(dir, &st) != 0)
			return;
		if (!unsafe(s, &st))
			continue;
		add(ret, c->file,
		    arena_printf(s->arena, "socket = %s", c->socket),
		    arena_printf(s->arena,
				 "Sendmail does not start with a socket in %s, "
				 "which others can write to (mode %04o)",
				 dir, (unsigned)st.st_mode & 07777),
		    "chmod g-w,o-w it, or choose another place");
	}
}

static void compare_socket(const struct sendmail *s, const struct config *c,
			   struct mta_faults *ret)
{
	const char *path = mta_socket_path(c->socket);
	const char *user = sendmail_option(s, "RunAsUser", 0);
	struct mta_fault f = {.where = c->file};
	struct slice rest;

	if (path == NULL)
		return;
	compare_directories(s, c, path, ret);
	if (user == NULL || *user == '\0')
		return; /* root */
	rest = slice_of(user);
	user = slice_cstr(s->arena, slice_trim(slice_cut(&rest, ':')));
	if (mta_access_fault(s->arena, c, user, &f))
		mta_fault_add(ret, &f);
}

void sendmail_compare_rest(const struct sendmail *s, const struct config *c,
			   struct mta_faults *ret)
{
	if (s->cf == NULL) {
		add(ret, s->cf_path, "sendmail.cf", s->cf_error,
		    "make it from sendmail.mc");
		return;
	}
	for (size_t i = 0; i < c->nlisteners; i++)
		compare_listener(s, c, &c->listeners[i], ret);
	compare_version(s, ret);
	compare_socket(s, c, ret);
}

void sendmail_compare(const struct sendmail *s, const struct config *c,
		      struct mta_faults *ret)
{
	if (s->cf != NULL)
		compare_filters(s, c, ret);
	if (sendmail_wants_reject_nul(s))
		add(ret, s->cf_path, "RejectNUL=false",
		    "a NUL can make one message look like two (CVE-2023-51765)",
		    "add define(`confREJECT_NUL', `true')dnl to sendmail.mc");
	sendmail_compare_rest(s, c, ret);
}
