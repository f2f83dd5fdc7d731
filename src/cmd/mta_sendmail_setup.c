/*
 * mailseal setup sendmail: prints the lines that sendmail.mc needs, or puts
 * them there and makes sendmail.cf of it with m4(1), with copies of both files
 * beside them.  Where m4 or Sendmail's macro library is not there, or does not
 * like it, sendmail.cf stays.  Never restarts Sendmail.
 *
 * Of sendmail.mc only calls of INPUT_MAIL_FILTER and MAILER at the beginning
 * of a line are understood, in the quotes `' of m4.
 */
#include "cmd/mta.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define SECONDS	 60
#define TEXT_MAX (1024 * 1024)

/* A stretch of sendmail.mc: from `at`, `n` bytes. */
struct place {
	size_t at, n;
};

/* The end of "NAME(`...', `...')" that begins at `from`, behind what of its
 * line is "dnl"; or 0 when it has none. */
static size_t call_end(struct slice text, size_t from)
{
	size_t quotes = 0, i = from;

	for (; i < text.n; i++) {
		if (text.p[i] == '`')
			quotes++;
		else if (text.p[i] == '\'' && quotes > 0)
			quotes--;
		else if (text.p[i] == ')' && quotes == 0)
			break;
	}
	if (i == text.n)
		return 0;
	i++;
	return slice_starts(slice_from(text, i), "dnl") ? i + 3 : i;
}

/* The next line from `from` on that begins with `name`, or text.n. */
static size_t next_call(struct slice text, size_t from, const char *name)
{
	while (from < text.n) {
		struct slice rest = slice_from(text, from);

		if (slice_starts(rest, name))
			return from;
		ptrdiff_t end = slice_chr(rest, '\n');
		from = end < 0 ? text.n : from + (size_t)end + 1;
	}
	return text.n;
}

/* The nth argument of a call without its quotes. */
static struct slice argument(struct slice call, size_t nth)
{
	struct slice part = {NULL, 0};
	ptrdiff_t open, close;

	for (size_t i = 0; i <= nth; i++) {
		open = slice_chr(call, '`');
		if (open < 0)
			return (struct slice){NULL, 0};
		call = slice_from(call, (size_t)open + 1);
		close = slice_chr(call, '\'');
		if (close < 0)
			return (struct slice){NULL, 0};
		part = slice_first(call, (size_t)close);
		call = slice_from(call, (size_t)close + 1);
	}
	return part;
}

/* Our filter in sendmail.mc. */
static bool find_ours(const struct sendmail *s, const struct config *c,
		      struct place *ret, struct sendmail_filter *f)
{
	struct slice text = slice_of(s->mc), call;
	size_t at = 0, end;

	while ((at = next_call(text, at, "INPUT_MAIL_FILTER(")) < text.n) {
		end = call_end(text, at);
		if (end == 0)
			return false;
		call = (struct slice){text.p + at, end - at};
		f->name = slice_cstr(s->arena, slice_trim(argument(call, 0)));
		sendmail_read_equates(s->arena, argument(call, 1), f);
		if (sendmail_is_ours(c, f)) {
			*ret = (struct place){at, end - at};
			return true;
		}
		at = end;
	}
	return false;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Before other filters, and before the mailers. */
static size_t place_for_ours(const struct sendmail *s)
{
	struct slice text = slice_of(s->mc);
	size_t at = next_call(text, 0, "INPUT_MAIL_FILTER(");

	at = least(at, next_call(text, 0, "MAILER("));
	return least(at, next_call(text, 0, "MAILER_DEFINITIONS"));
}

struct plan {
	const char *filter; /* a line to add or put in place, or NULL */
	bool replace;	    /* what stands at `place` */
	bool reject_nul;    /* add it */
	struct place place;
	const char *text; /* sendmail.mc as it becomes */
};

#define REJECT_NUL "define(`confREJECT_NUL', `true')dnl"

static void make_text(const struct sendmail *s, struct plan *p)
{
	struct strbuf b;

	strbuf_init(&b, s->arena, TEXT_MAX);
	strbuf_add(&b, slice_first(slice_of(s->mc), p->place.at));
	if (p->place.at > 0 && s->mc[p->place.at - 1] != '\n')
		strbuf_addc(&b, '\n');
	if (p->reject_nul)
		strbuf_adds(&b, REJECT_NUL "\n");
	if (p->filter != NULL)
		strbuf_adds(&b, p->filter);
	if (p->filter != NULL && !p->replace)
		strbuf_addc(&b, '\n');
	strbuf_adds(&b, s->mc + p->place.at + p->place.n);
	p->text = strbuf_cstr(&b);
}

static void make_plan(const struct sendmail *s, const struct config *c,
		      struct plan *p)
{
	struct mta_faults wrong = {.arena = s->arena};
	struct sendmail_filter f;

	*p = (struct plan){.filter = sendmail_filter_line(s->arena, c)};
	p->replace = find_ours(s, c, &p->place, &f);
	if (p->replace)
		sendmail_compare_filter(s->arena, c, &f, s->mc_path, &wrong);
	else
		p->place.at = place_for_ours(s);
	if (p->replace && wrong.n == 0) {
		p->filter = NULL;
		p->place.n = 0;
	}
	p->reject_nul = sendmail_wants_reject_nul(s) &&
			strstr(s->mc, "confREJECT_NUL") == NULL;
	make_text(s, p);
}

/* The macro library, unless sendmail.mc includes it by itself. */
static const char *library(const struct sendmail *s)
{
	static const char *const places[] = {
		"/usr/share/sendmail/cf/m4/cf.m4",
		"/usr/share/sendmail-cf/m4/cf.m4",
		"/usr/lib/mail/m4/cf.m4",
	};

	if (strstr(s->mc, "m4/cf.m4") != NULL)
		return "";
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (access(places[i], R_OK) == 0)
			return places[i];
	return NULL;
}

static const char *m4_command(const struct sendmail *s)
{
	const char *lib = library(s);

	return arena_printf(s->arena, "m4 %s%s%s > %s",
			    lib != NULL ? lib : "cf.m4-OF-SENDMAIL",
			    lib != NULL && *lib == '\0' ? "" : " ",
			    mta_quoted(s->arena, s->mc_path),
			    mta_quoted(s->arena, s->cf_path));
}

/* sendmail.cf as it becomes, or NULL and the reason. */
static const char *run_m4(const struct sendmail *s, const char **err)
{
	const char *lib = library(s);
	const char *const alone[] = {"m4", s->mc_path, NULL};
	const char *const with[] = {"m4", lib, s->mc_path, NULL};
	struct mta_result r;
	const char *text;

	if (lib == NULL) {
		*err = "Sendmail's m4/cf.m4 is not there";
		return NULL;
	}
	mta_run(s->arena, *lib == '\0' ? alone : with, SECONDS, &r);
	text = slice_cstr(s->arena, r.out);
	if (r.problem != NULL || r.status != 0) {
		*err = mta_complaint(s->arena, &r);
		return NULL;
	}
	if (strstr(text, "\nXmailseal,") == NULL &&
	    strstr(text, "\nO InputMailFilters=") == NULL) {
		*err = "m4 makes no sendmail.cf with our filter";
		return NULL;
	}
	return text;
}

static int print_plan(const struct sendmail *s, const struct plan *p)
{
	if (p->replace && p->filter != NULL)
		printf("# in %s, instead of the filter that is there\n",
		       s->mc_path);
	else
		printf("# in %s, before other INPUT_MAIL_FILTER and MAILER "
		       "lines\n",
		       s->mc_path);
	if (p->reject_nul)
		puts(REJECT_NUL);
	if (p->filter != NULL)
		puts(p->filter);
	printf("# then, and restart Sendmail\n%s\n", m4_command(s));
	return 0;
}

static int print_m4(const struct sendmail *s)
{
	printf("# sendmail.mc is right, sendmail.cf is older\n%s\n",
	       m4_command(s));
	return 0;
}

/* Does sendmail.cf lack what sendmail.mc has?  `rest`: other faults. */
static bool is_old(const struct sendmail *s, const struct config *c,
		   const struct mta_faults *rest)
{
	struct mta_faults all = {.arena = s->arena};

	sendmail_compare(s, c, &all);
	return s->cf != NULL && all.n > rest->n;
}

/* sendmail.cf of the new sendmail.mc. */
static int make_cf(const struct sendmail *s)
{
	const char *err = NULL, *copy = NULL;
	const char *text = run_m4(s, &err);

	if (text != NULL && s->cf != NULL)
		copy = mta_file_backup(s->arena, s->cf_path, &err);
	if (text == NULL || copy == NULL ||
	    !mta_file_replace(s->arena, s->cf_path, text, &err)) {
		fprintf(stderr,
			"mailseal setup: sendmail.mc is done, sendmail.cf is "
			"not: %s; make it by \"%s\"\n",
			err != NULL ? err : s->cf_error, m4_command(s));
		return EX_UNAVAILABLE;
	}
	printf("# before: %s\n# now restart Sendmail\n", copy);
	return 0;
}

static int make_settings(const struct sendmail *s, const struct plan *p)
{
	const char *err = NULL;
	const char *copy = mta_file_backup(s->arena, s->mc_path, &err);

	if (copy == NULL ||
	    !mta_file_replace(s->arena, s->mc_path, p->text, &err)) {
		if (copy != NULL)
			(void)unlink(copy);
		return mta_fail(EX_CANTCREAT, "nothing was changed", err);
	}
	if (p->reject_nul)
		puts(REJECT_NUL);
	if (p->filter != NULL)
		puts(p->filter);
	printf("# before: %s\n", copy);
	fflush(stdout);
	return make_cf(s);
}

int sendmail_setup(struct arena *a, const struct config *c,
		   const char *directory, bool apply)
{
	struct mta_faults rest = {.arena = a};
	const char *err = NULL;
	struct sendmail *s = sendmail_read(a, directory, &err);
	struct plan p;
	int status, made = 0;

	if (s == NULL)
		return mta_fail(EX_UNAVAILABLE, "no Sendmail", err);
	if (s->mc == NULL)
		return mta_fail(EX_UNAVAILABLE, "no sendmail.mc", s->mc_error);
	if (sendmail_filter_line(a, c) == NULL)
		return mta_fail(EX_CONFIG, c->file,
				"socket = \"fd:N\" does not tell where we "
				"listen; give --socket, the ListenStream= of "
				"the socket unit");
	make_plan(s, c, &p);
	sendmail_compare_rest(s, c, &rest);
	printf("# Sendmail %s in %s\n", s->version, s->directory);
	fflush(stdout);
	status = mta_faults_complain(&rest) ? EX_CONFIG : 0;
	if (p.filter != NULL || p.reject_nul)
		made = apply ? make_settings(s, &p) : print_plan(s, &p);
	else if (is_old(s, c, &rest))
		made = apply ? make_cf(s) : print_m4(s);
	else
		printf("# nothing to do\n");
	return made != 0 ? made : status;
}
