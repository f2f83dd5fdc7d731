/*
 * The syntax of postmap(1): logical lines, keys and values.
 *
 * It says nothing about what keys and values mean.  Where postmap warns and
 * leaves a line out (unclosed quotes, no line to continue), this is an error.
 */
#include "gate/sender_table.h"

#include <stdlib.h>
#include <string.h>

#define REPORT_MAX 20
#define SHOWN_MAX  100

void sender_report_add(struct sender_report *r, const char *file, unsigned line,
		       const char *before, struct slice shown,
		       const char *after)
{
	if (++r->n > REPORT_MAX)
		return;
	strbuf_adds(r->out, file);
	if (line > 0)
		strbuf_printf(r->out, ":%u", line);
	strbuf_printf(r->out, ": %s", before);
	strbuf_add_escaped(r->out, shown, SHOWN_MAX);
	strbuf_printf(r->out, "%s\n", after);
}

void sender_report_end(struct sender_report *r)
{
	if (r->n > REPORT_MAX)
		strbuf_printf(r->out, "and %zu more\n", r->n - REPORT_MAX);
}

/* Does the next line belong to the logical line before it? */
static bool continues(struct slice rest)
{
	return rest.n > 0 && (sender_isspace(*rest.p) || *rest.p == '#');
}

static bool is_comment(struct slice line)
{
	size_t n = 0;

	while (n < line.n && sender_isspace(line.p[n]))
		n++;
	return n == line.n || line.p[n] == '#';
}

static void complain(struct sender_lines *l, const char *what)
{
	sender_report_add(l->errors, l->file, l->read, what, SLICE(""), "");
}

/* Not empty: a line that counts. */
static struct slice next_line(struct sender_lines *l)
{
	struct slice line = slice_cut(&l->rest, '\n');

	l->read++;
	if (line.n > SENDER_LINE_MAX) {
		complain(l, "the line is longer than 64 KiB; continue it on "
			    "lines that begin with white space");
		return SLICE("");
	}
	if (slice_chr(line, '\0') >= 0) {
		complain(l, "a NUL is in the line; give the source file, not "
			    "what postmap(1) makes from it");
		return SLICE("");
	}
	return is_comment(line) ? SLICE("") : line;
}

static void join(struct sender_lines *l, struct slice s)
{
	if (l->room - l->n < s.n) {
		l->room = 2 * (l->n + s.n);
		l->joined = mem_realloc(l->joined, l->room);
	}
	memcpy(l->joined + l->n, s.p, s.n);
	l->n += s.n;
}

static struct slice extend(struct sender_lines *l, struct slice have,
			   struct slice more)
{
	if (l->n == 0)
		join(l, have);
	join(l, more);
	return (struct slice){l->joined, l->n};
}

bool sender_lines_next(struct sender_lines *l, struct slice *ret)
{
	struct slice have = SLICE(""), line;

	l->n = 0;
	while (l->rest.n > 0 && (have.n == 0 || continues(l->rest))) {
		line = next_line(l);
		if (line.n == 0)
			continue;
		if (have.n > 0) {
			have = extend(l, have, line);
		} else if (sender_isspace(*line.p)) {
			complain(l, "the line begins with white space, but "
				    "there is none before it to continue; "
				    "begin it with the key");
		} else {
			have = line;
			l->line = l->read;
		}
	}
	*ret = have;
	return have.n > 0;
}

void sender_lines_free(struct sender_lines *l)
{
	free(l->joined);
	l->joined = NULL;
}

static struct slice trim(struct slice s)
{
	while (s.n > 0 && sender_isspace(*s.p))
		s = slice_from(s, 1);
	while (s.n > 0 && sender_isspace(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool sender_line_cut(struct slice line, struct slice *key, struct slice *value)
{
	bool quoted = false;
	size_t n = 0;

	for (; n < line.n; n++) {
		if (line.p[n] == '\\' && n + 1 < line.n)
			n++;
		else if (line.p[n] == '"')
			quoted = !quoted;
		else if (sender_isspace(line.p[n]) && !quoted)
			break;
	}
	*key = slice_first(line, n);
	*value = trim(slice_from(line, n));
	return !quoted;
}
