/*
 * Reads opendkim.conf and opendmarc.conf as their programs do, and notes what
 * is told about them.  What a setting means is not known here.
 */
#include "cmd/import.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 100 /* bytes of a value in a message */
#define WHAT_MAX  1024

#define SUMMARY_MAX (16 * 1024 * 1024)

struct import *import_new(struct arena *a,
			  bool (*read)(void *arg, struct arena *a,
				       const char *path, size_t max,
				       struct slice *ret, const char **why),
			  void *arg)
{
	struct import *im = arena_alloc(a, sizeof(*im));

	im->arena = a;
	im->read = read;
	im->arg = arg;
	im->dkim.program = "opendkim";
	im->dkim.options = import_dkim_options;
	im->dkim.noptions = import_ndkim_options;
	im->dmarc.program = "opendmarc";
	im->dmarc.options = import_dmarc_options;
	im->dmarc.noptions = import_ndmarc_options;
	strbuf_init(&im->summary, a, SUMMARY_MAX);
	strbuf_init(&im->absent, a, SUMMARY_MAX);
	strbuf_init(&im->rules, a, IMPORT_TEXT_MAX);
	strbuf_init(&im->listeners, a, IMPORT_TEXT_MAX);
	return im;
}

/* ---- what is told ---- */

const char *import_shown(struct import *im, const char *text)
{
	struct strbuf b;

	strbuf_init(&b, im->arena, 8 * SHOWN_MAX);
	strbuf_add_escaped(&b, slice_of(text), SHOWN_MAX);
	return strbuf_cstr(&b);
}

void import_refuse(struct import *im, struct import_place at, const char *fmt,
		   ...)
{
	char what[WHAT_MAX];
	va_list ap;

	if (im->mistake.text != NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	im->mistake.text =
		arena_printf(im->arena, "%s:%u: %s", import_shown(im, at.file),
			     at.line, what);
}

void import_tell(struct import *im, const struct import_line *l,
		 enum import_fate fate, const char *fmt, ...)
{
	static const char *const fates[] = {"",
					    "not needed: ", "no counterpart: "};
	char what[WHAT_MAX];
	const char *line;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	line = arena_printf(
		im->arena, "%s:%u: %s %s: %s%s", import_shown(im, l->at.file),
		l->at.line, l->option->name,
		l->option->type == IMPORT_SECRET ? "..."
						 : import_shown(im, l->value),
		fates[fate], what);
	im->counts[fate]++;
	strbuf_printf(&im->summary, "%s\n", line);
	if (fate == IMPORT_ABSENT)
		strbuf_printf(&im->absent, "# %s\n", line);
}

void import_tell_row(struct import *im, struct import_place at, const char *fmt,
		     ...)
{
	char what[WHAT_MAX];
	const char *line;
	va_list ap;

	if (++im->rows > IMPORT_ROWS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	line = arena_printf(im->arena, "%s:%u: no counterpart: %s",
			    import_shown(im, at.file), at.line, what);
	strbuf_printf(&im->summary, "%s\n", line);
	strbuf_printf(&im->absent, "# %s\n", line);
}

/* ---- values ---- */

static bool read_boolean(const char *v, int *ret)
{
	if (v[0] != '\0' && strchr("tTyY1", v[0]) != NULL)
		*ret = 1;
	else if (v[0] != '\0' && strchr("fFnN0", v[0]) != NULL)
		*ret = 0;
	else
		return false;
	return true;
}

/* Octal after "0", hexadecimal after "0x". */
static bool read_integer(const char *v, int *ret)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(v, &end, 0);
	if (errno != 0 || *end != '\0' || end == v || n < INT_MIN ||
	    n > INT_MAX)
		return false;
	*ret = (int)n;
	return true;
}

static void read_number(struct import *im, struct import_line *l)
{
	const char *wants = NULL;

	if (l->option->type == IMPORT_BOOLEAN &&
	    !read_boolean(l->value, &l->number))
		wants = "true or false";
	else if (l->option->type == IMPORT_INTEGER &&
		 !read_integer(l->value, &l->number))
		wants = "a number";
	if (wants != NULL)
		import_refuse(im, l->at, "%s: \"%s\" will not do; give %s",
			      l->option->name, import_shown(im, l->value),
			      wants);
}

/* ---- lines ---- */

static const struct import_option *find_option(const struct import_source *s,
					       struct slice name)
{
	for (size_t i = 0; i < s->noptions; i++)
		if (slice_is_ci(name, s->options[i].name))
			return &s->options[i];
	return NULL;
}

/* A line without its comment.  A CR ends it too. */
static struct slice content_of(struct slice line)
{
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] == '#' || line.p[i] == '\r')
			return slice_trim(slice_first(line, i));
	return slice_trim(line);
}

bool import_is_text(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' && s.p[i] != '\t')
			return false;
	return true;
}

static struct import_line *add_line(struct import *im, struct import_source *s,
				    struct import_place at)
{
	struct import_line *old = s->v;

	if (s->n == IMPORT_LINES_MAX) {
		import_refuse(im, at, "more than %d settings; give one file",
			      IMPORT_LINES_MAX);
		return NULL;
	}
	if (s->n == s->room) {
		s->room = s->room == 0 ? 64 : 2 * s->room;
		s->v = arena_array(im->arena, s->room, sizeof(*s->v));
		if (s->n > 0)
			memcpy(s->v, old, s->n * sizeof(*s->v));
	}
	s->v[s->n].at = at;
	return &s->v[s->n++];
}

/* "Name", white space, and the value up to the end. */
static struct import_line *read_line(struct import *im, struct import_source *s,
				     struct import_place at,
				     struct slice content)
{
	struct import_line *l;
	const struct import_option *o;
	size_t n = 0;

	while (n < content.n && !ascii_iswsp(content.p[n]))
		n++;
	o = find_option(s, slice_first(content, n));
	if (!import_is_text(content))
		import_refuse(im, at, "a control character; give a text file");
	else if (o == NULL)
		import_refuse(
			im, at, "%s has no option \"%s\"; remove the line",
			s->program,
			import_shown(im, slice_cstr(im->arena,
						    slice_first(content, n))));
	else if (n == content.n)
		import_refuse(im, at,
			      "%s has no value; give one, or remove "
			      "the line",
			      o->name);
	if (im->mistake.text != NULL)
		return NULL;
	l = add_line(im, s, at);
	if (l == NULL)
		return NULL;
	l->option = o;
	l->value = slice_cstr(im->arena, slice_trim(slice_from(content, n)));
	read_number(im, l);
	return l;
}

/* ---- files ---- */

struct reading {
	struct import *im;
	struct import_source *s;
	unsigned files;
};

static void read_file(struct reading *r, const char *path,
		      const struct import_line *from, unsigned depth);

static void read_include(struct reading *r, const struct import_line *l,
			 unsigned depth)
{
	if (l->value[0] != '/')
		import_refuse(
			r->im, l->at,
			"Include \"%s\" depends on the folder in which %s "
			"is started; give an absolute path",
			import_shown(r->im, l->value), r->s->program);
	else if (depth == IMPORT_DEPTH_MAX || r->files == IMPORT_FILES_MAX)
		import_refuse(
			r->im, l->at,
			"more than %d levels or %d files of Include; give "
			"fewer",
			IMPORT_DEPTH_MAX, IMPORT_FILES_MAX);
	else
		read_file(r, l->value, l, depth + 1);
}

static void read_lines(struct reading *r, const char *path, struct slice rest,
		       unsigned depth)
{
	struct import_place at = {path, 0};

	while (rest.n > 0 && r->im->mistake.text == NULL) {
		struct slice content = content_of(slice_cut(&rest, '\n'));
		const struct import_line *l;

		at.line++;
		if (content.n == 0)
			continue;
		l = read_line(r->im, r->s, at, content);
		if (l != NULL && l->option->type == IMPORT_INCLUDE)
			read_include(r, l, depth);
	}
}

/* `from`: the Include, or NULL. */
static void read_file(struct reading *r, const char *path,
		      const struct import_line *from, unsigned depth)
{
	struct import *im = r->im;
	struct slice text;
	const char *why = NULL;

	r->files++;
	if (im->read(im->arg, im->arena, path, IMPORT_CONFIG_MAX, &text,
		     &why)) {
		read_lines(r, path, text, depth);
		return;
	}
	im->mistake.unreadable = im->mistake.text == NULL;
	if (from != NULL)
		import_refuse(im, from->at, "Include \"%s\": %s",
			      import_shown(im, path), why);
	else if (im->mistake.text == NULL)
		im->mistake.text = arena_printf(im->arena, "%s: %s",
						import_shown(im, path), why);
}

/* The last of several settings of one name counts. */
static void mark_repeats(struct import_source *s)
{
	for (size_t i = s->n; i-- > 0;) {
		struct import_line *l = &s->v[i];
		const struct import_line *last =
			import_find(s, l->option->name);

		if (last != l && l->option->type != IMPORT_INCLUDE)
			l->by = last;
	}
}

bool import_read(struct import *im, struct import_source *s, const char *path)
{
	struct reading r = {.im = im, .s = s};

	read_file(&r, path, NULL, 0);
	if (im->mistake.text == NULL)
		mark_repeats(s);
	return im->mistake.text == NULL;
}

const struct import_line *import_find(const struct import_source *s,
				      const char *name)
{
	for (size_t i = s->n; i-- > 0;)
		if (strcmp(s->v[i].option->name, name) == 0)
			return &s->v[i];
	return NULL;
}

bool import_is_true(const struct import_source *s, const char *name)
{
	const struct import_line *l = import_find(s, name);

	return l != NULL && l->number != 0;
}

const char *import_path(struct import *im, struct import_place at,
			const char *what, const char *path)
{
	const struct import_line *base =
		import_find(im->source, "BaseDirectory");

	if (path[0] == '/')
		return path;
	if (base != NULL && base->value[0] == '/')
		return arena_printf(im->arena, "%s/%s", base->value, path);
	import_refuse(im, at,
		      "%s: \"%s\" depends on the folder in which %s is "
		      "started; give an absolute path",
		      what, import_shown(im, path), im->source->program);
	return NULL;
}
