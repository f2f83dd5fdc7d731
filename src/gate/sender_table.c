/*
 * Reading the sender table: keys, values and groups become numbers, and their
 * relation is kept both ways round.  All or nothing.
 */
#include "gate/sender_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX    (256 * 1024 * 1024)
#define SCRATCH_MAX (1024 * 1024)

static void add_pair(struct sender_pairs *p, struct sender_pair pair)
{
	if (p->n == p->room) {
		p->room = p->room == 0 ? 256 : 2 * p->room;
		p->v = mem_realloc(p->v, p->room * sizeof(*p->v));
	}
	p->v[p->n++] = pair;
}

/* ---- values -------------------------------------------------------------- */

static bool add_login(struct sender_reader *r, struct sender_pairs *pairs,
		      uint32_t from, struct slice login)
{
	struct slice name = sender_login(r->t->strip_realm, login);
	uint32_t to;

	if (name.n == 0)
		return sender_complain(
			r, "login \"", login,
			"\" is empty without its realm; remove it");
	to = sender_names_add(&r->t->logins, &(struct sender_name){{name}});
	add_pair(pairs, (struct sender_pair){from, to, r->line});
	return true;
}

/* Logins between two commas; how many. */
static size_t add_logins(struct sender_reader *r, struct sender_pairs *pairs,
			 uint32_t from, struct slice s)
{
	size_t ret = 0, i = 0, begin;

	while (i < s.n) {
		for (begin = i; i < s.n && !sender_isspace(s.p[i]);)
			i++;
		if (i > begin) {
			add_login(r, pairs, from,
				  (struct slice){s.p + begin, i - begin});
			ret++;
		}
		while (i < s.n && sender_isspace(s.p[i]))
			i++;
	}
	return ret;
}

static void read_value(struct sender_reader *r, struct sender_pairs *pairs,
		       uint32_t from, struct slice value)
{
	struct slice rest = value;

	while (rest.p != NULL)
		if (add_logins(r, pairs, from, slice_cut(&rest, ',')) == 0) {
			sender_complain(r, "an empty login is in \"", value,
					"\"; remove the comma");
			return;
		}
}

/* ---- entries ------------------------------------------------------------- */

/* The first line of a key counts, as with postmap(1). */
static bool is_first(struct sender_reader *r, struct slice key, uint32_t number)
{
	size_t n = r->nlines;

	if (number < n && r->lines[number] != 0) {
		sender_warn(r, "duplicate entry \"", key,
			    "\": the first one counts; remove one");
		return false;
	}
	if (number >= n) {
		r->nlines = 2 * ((size_t)number + 128);
		r->lines = mem_realloc(r->lines, r->nlines * sizeof(*r->lines));
		memset(r->lines + n, 0, (r->nlines - n) * sizeof(*r->lines));
	}
	r->lines[number] = r->line;
	return true;
}

static void read_entry(struct sender_reader *r, struct slice line, bool groups)
{
	struct sender_pairs *pairs = groups ? &r->groups : &r->owners;
	struct slice key, value;
	struct sender_name name;
	uint32_t number;

	if (!sender_line_cut(line, &key, &value)) {
		sender_complain(r, "a double quote is not closed in \"", line,
				"\"; close it");
		return;
	}
	if (value.n == 0) {
		sender_complain(r, "key \"", key,
				"\" has no value; give the logins after it");
		return;
	}
	if (!(groups ? sender_group_name(r, key, &name)
		     : sender_key_name(r, key, &name)))
		return;
	number = sender_names_add(groups ? &r->t->logins : &r->t->keys, &name);
	if (is_first(r, key, number))
		read_value(r, pairs, number, value);
}

static void renew_scratch(struct sender_reader *r)
{
	if (arena_used(r->scratch) < SCRATCH_MAX)
		return;
	arena_free(r->scratch);
	r->scratch = arena_new();
}

static void read_text(struct sender_reader *r, struct sender_text text,
		      bool groups)
{
	struct sender_lines l = {
		.rest = text.text, .file = text.name, .errors = &r->errors};
	struct slice line;
	size_t n = 0;

	r->file = text.name;
	while (sender_lines_next(&l, &line)) {
		r->line = l.line;
		if (++n > SENDER_ENTRIES_MAX) {
			sender_complain(
				r,
				"more than 1000000 entries; give owners "
				"of domains or groups instead",
				SLICE(""), "");
			break;
		}
		read_entry(r, line, groups);
		renew_scratch(r);
	}
	sender_lines_free(&l);
}

/* To be called when only groups were read: r->lines tells which they are. */
static void check_nesting(struct sender_reader *r)
{
	for (size_t i = 0; i < r->groups.n; i++) {
		uint32_t member = r->groups.v[i].to;

		r->line = r->groups.v[i].line;
		if (member < r->nlines && r->lines[member] != 0)
			sender_complain(
				r, "member \"", r->t->logins.v[member],
				"\" is a group, and groups do not nest; give "
				"its logins instead");
	}
	free(r->lines);
	r->lines = NULL;
	r->nlines = 0;
}

static void relate(struct sender_table *t, const struct sender_reader *r)
{
	struct sender_relation owners =
		sender_relate(r->owners.v, r->owners.n, t->keys.n);
	struct sender_relation groups =
		sender_relate(r->groups.v, r->groups.n, t->logins.n);

	t->keys_of = sender_invert(&owners, t->logins.n);
	t->owners_of = sender_invert(&t->keys_of, t->keys.n);
	t->groups_of = sender_invert(&groups, t->logins.n);
	sender_relation_free(&owners);
	sender_relation_free(&groups);
}

/* ---- tables -------------------------------------------------------------- */

static struct sender_table *table_new(const struct sender_options *o)
{
	struct sender_table *t = mem_alloc(sizeof(*t));

	t->arena = arena_new();
	t->strip_realm = o->strip_realm;
	t->delimiter = arena_strdup(t->arena,
				    o->delimiter != NULL ? o->delimiter : "");
	t->local_domains.arena = t->arena;
	t->keys.arena = t->arena;
	t->logins.arena = t->arena;
	for (size_t i = 0; i < o->nlocal_domains; i++)
		sender_names_add(
			&t->local_domains,
			&(struct sender_name){{slice_of(o->local_domains[i])}});
	return t;
}

void sender_table_free(struct sender_table *t)
{
	if (t == NULL)
		return;
	sender_names_free(&t->local_domains);
	sender_names_free(&t->keys);
	sender_names_free(&t->logins);
	sender_relation_free(&t->keys_of);
	sender_relation_free(&t->owners_of);
	sender_relation_free(&t->groups_of);
	arena_free(t->arena);
	free(t);
}

static struct sender_table *finish(struct sender_reader *r)
{
	struct sender_table *ret = r->t;

	relate(r->t, r);
	sender_report_end(&r->errors);
	sender_report_end(&r->warnings);
	if (r->errors.n > 0) {
		sender_table_free(r->t);
		ret = NULL;
	}
	free(r->owners.v);
	free(r->groups.v);
	free(r->lines);
	arena_free(r->scratch);
	return ret;
}

static struct sender_reader reader_of(const struct sender_options *o,
				      struct strbuf *errors,
				      struct strbuf *warnings)
{
	return (struct sender_reader){.t = table_new(o),
				      .errors = {errors, 0},
				      .warnings = {warnings, 0},
				      .scratch = arena_new()};
}

static void read_both(struct sender_reader *r, struct sender_text senders,
		      struct sender_text groups)
{
	read_text(r, groups, true);
	check_nesting(r);
	read_text(r, senders, false);
}

struct sender_table *sender_table_read(struct sender_text senders,
				       struct sender_text groups,
				       const struct sender_options *o,
				       struct strbuf *errors,
				       struct strbuf *warnings)
{
	struct sender_reader r = reader_of(o, errors, warnings);

	read_both(&r, senders, groups);
	return finish(&r);
}

static const char *objection(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "no regular file; give the path of a table's source";
	return st->st_size > FILE_MAX ? "larger than 256 MiB" : NULL;
}

static bool read_all(int fd, size_t size, char *buf, size_t *n)
{
	ssize_t got = 0;

	*n = 0;
	while (*n < size && (got = read(fd, buf + *n, size - *n)) > 0)
		*n += (size_t)got;
	return got >= 0;
}

/* The text of a file, to be freed; "" for no file. */
static char *load(struct sender_reader *r, const char *path, struct slice *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *why = NULL;
	struct stat st;
	char *buf = NULL;
	size_t n = 0;

	r->file = path;
	r->line = 0;
	if (fd < 0 || fstat(fd, &st) != 0)
		why = strerror(errno);
	else
		why = objection(&st);
	if (why == NULL) {
		buf = mem_alloc((size_t)st.st_size);
		if (!read_all(fd, (size_t)st.st_size, buf, &n))
			why = strerror(errno);
		if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
			sender_warn(r, "others may write it", SLICE(""),
				    "; cure: chmod go-w");
	}
	if (why != NULL)
		sender_complain(r, why, SLICE(""), "");
	if (fd >= 0)
		close(fd);
	*ret = (struct slice){buf, n};
	return buf;
}

struct sender_table *sender_table_load(const char *file, const char *groups,
				       const struct sender_options *o,
				       struct strbuf *errors,
				       struct strbuf *warnings)
{
	struct sender_reader r = reader_of(o, errors, warnings);
	struct sender_text s = {.name = file}, g = {.name = groups};
	char *text = load(&r, file, &s.text), *more = NULL;

	if (groups[0] != '\0')
		more = load(&r, groups, &g.text);
	read_both(&r, s, g);
	free(text);
	free(more);
	return finish(&r);
}
