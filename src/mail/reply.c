/* What may be said to an SMTP client, who chose part of it. */
#include "mail/reply.h"

#include <string.h>

#define LOCAL_SHOWN 64
#define SHOWN_MAX   120 /* bytes of an address or login */

bool reply_is_plain(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '%' ||
		    s.p[i] == '"' || s.p[i] == '\\')
			return false;
	return true;
}

/* Of a long one the end, which says whose it is. */
static const char *cut(struct arena *a, const char *text)
{
	size_t n = strlen(text);

	if (n <= SHOWN_MAX)
		return text;
	return arena_printf(a, "...%s", text + n - SHOWN_MAX + 3);
}

const char *reply_address(struct arena *a, struct slice local,
			  const char *domain)
{
	if (!reply_is_plain(local) || local.n > LOCAL_SHOWN)
		local = SLICE("...");
	return cut(a,
		   arena_printf(a, "%.*s@%s", (int)local.n, local.p, domain));
}

const char *reply_login(struct arena *a, struct slice login)
{
	if (!reply_is_plain(login) || login.n > SHOWN_MAX)
		return "this login";
	/* In the log, "signed=yes" by itself would be a field. */
	if (slice_chr(login, '=') >= 0)
		return arena_printf(a, "login <%.*s>", (int)login.n, login.p);
	return arena_printf(a, "login %.*s", (int)login.n, login.p);
}

const char *reply_text(struct arena *a, const char *what, const char *coaching)
{
	const char *text = coaching[0] == '\0'
				   ? what
				   : arena_printf(a, "%s. %s", what, coaching);

	return slice_cstr(a, slice_first(slice_of(text), SMTP_REPLY_MAX));
}

/* ---- templates ---- */

static const char *const field_names[] = {"{domain}", "{rule}", "{queue_id}"};

static bool is_line(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~' || s.p[i] == '%')
			return false;
	return s.n > 0 && s.n <= REPLY_LINE_MAX;
}

/* The field that `s` begins with, or -1. */
static int field_at(struct slice s)
{
	for (int i = 0; i < 3; i++)
		if (slice_starts(s, field_names[i]))
			return i;
	return -1;
}

bool reply_template_ok(const char *text)
{
	struct slice rest = slice_of(text);
	unsigned lines = 0;

	for (size_t i = 0; i < rest.n; i++)
		if (rest.p[i] == '{' && field_at(slice_from(rest, i)) < 0)
			return false;
	while (rest.p != NULL) {
		if (!is_line(slice_cut(&rest, '\n')))
			return false;
		lines++;
	}
	return lines <= REPLY_LINES_MAX;
}

static struct slice field_value(const struct reply_fields *f, int i)
{
	if (i == 0)
		return slice_of(f->domain != NULL ? f->domain : "unknown");
	if (i == 1)
		return slice_of(f->rule);
	return f->queue_id.n > 0 && reply_is_plain(f->queue_id)
		       ? f->queue_id
		       : SLICE("unknown");
}

static void fill_line(struct strbuf *b, struct slice line,
		      const struct reply_fields *f)
{
	while (line.n > 0) {
		int i = field_at(line);
		struct slice part =
			i < 0 ? slice_first(line, 1) : field_value(f, i);

		strbuf_add(b, slice_first(part, SHOWN_MAX));
		line = slice_from(line, i < 0 ? 1 : strlen(field_names[i]));
	}
}

const char *reply_fill(struct arena *a, const char *text,
		       const struct reply_fields *f)
{
	struct slice rest = slice_of(text);
	struct strbuf all;

	strbuf_init(&all, a, REPLY_LINES_MAX * (SMTP_REPLY_MAX + 1));
	while (rest.p != NULL) {
		struct strbuf b;

		strbuf_init(&b, a, 8192);
		fill_line(&b, slice_cut(&rest, '\n'), f);
		if (all.n > 0)
			strbuf_addc(&all, '\n');
		strbuf_add(&all, slice_first(strbuf_slice(&b), SMTP_REPLY_MAX));
	}
	return strbuf_cstr(&all);
}
