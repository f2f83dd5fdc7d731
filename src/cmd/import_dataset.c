/*
 * Data sets of opendkim.conf: a list in the setting itself, or a file with a
 * key and perhaps a value in each line.  Data bases are not asked.
 */
#include "cmd/import.h"

#include <string.h>

/* What opendkim asks elsewhere; ".db" at the end is a data base too. */
static const struct {
	const char *prefix;
	const char *why;
} elsewhere[] = {
	{"db:", "a Berkeley DB is not read; write its rows into a file "
		"(db_dump -p) and import that"},
	{"dsn:", "no SQL data base is asked; write its rows into a file and "
		 "import that"},
	{"ldap:", "no directory is asked; write its entries into a file and "
		  "import that"},
	{"ldaps:", "no directory is asked; write its entries into a file and "
		   "import that"},
	{"ldapi:", "no directory is asked; write its entries into a file and "
		   "import that"},
	{"lua:", "no Lua is run; write what it returns into a file and import "
		 "that"},
	{"memcache:", "no memcached is asked; write its entries into a file "
		      "and import that"},
	{"erlang:", "no Erlang is asked; write what it returns into a file "
		    "and import that"},
	{"mdb:", "no LMDB is read; write its rows into a file (mdb_dump -p) "
		 "and import that"},
};

static const char *why_elsewhere(struct slice s)
{
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(*elsewhere); i++)
		if (slice_starts_ci(s, elsewhere[i].prefix))
			return elsewhere[i].why;
	return slice_ends_ci(s, ".db") ? elsewhere[0].why : NULL;
}

/* ---- the items ---- */

struct reading {
	struct import *im;
	struct import_dataset *ret;
	size_t room;
};

static void add(struct reading *r, struct import_place at, struct slice key,
		struct slice value)
{
	struct import_dataset *d = r->ret;
	struct arena *a = r->im->arena;

	if (key.n == 0)
		return;
	if (d->n == IMPORT_ITEMS_MAX) {
		import_refuse(r->im, at,
			      "more than %d rows; give a smaller "
			      "file",
			      IMPORT_ITEMS_MAX);
		return;
	}
	if (!import_is_text(key) || !import_is_text(value)) {
		import_refuse(r->im, at,
			      "a control character; give a text file");
		return;
	}
	if (d->n == r->room) {
		struct import_item *old = d->v;

		r->room = r->room == 0 ? 16 : 2 * r->room;
		d->v = arena_array(a, r->room, sizeof(*d->v));
		if (d->n > 0)
			memcpy(d->v, old, d->n * sizeof(*d->v));
	}
	d->v[d->n++] = (struct import_item){at, slice_cstr(a, key),
					    slice_cstr(a, value)};
}

/* "a, b, x=y" */
static void read_list(struct reading *r, struct import_place at,
		      struct slice rest)
{
	while (rest.n > 0 && r->im->mistake.text == NULL) {
		struct slice value = slice_cut(&rest, ',');
		struct slice key = slice_cut(&value, '=');

		add(r, at, slice_trim(key), slice_trim(value));
	}
}

/* In a file of patterns white space at the beginning is the empty pattern. */
static void read_row(struct reading *r, struct import_place at,
		     struct slice line)
{
	struct slice s = slice_cut(&line, '#');
	size_t n = 0;

	if (!r->ret->patterns)
		s = slice_trim(s);
	while (n < s.n && !ascii_iswsp(s.p[n]) && s.p[n] != '\r')
		n++;
	if (n == 0 && slice_trim(s).n > 0)
		import_tell_row(r->im, at,
				"white space before a pattern, which opendkim "
				"takes for an empty one");
	add(r, at, slice_first(s, n), slice_trim(slice_from(s, n)));
}

static void read_rows(struct reading *r, const struct import_line *l,
		      struct slice name)
{
	struct import *im = r->im;
	struct import_place at = {0};
	struct slice rest = {0};
	const char *why = NULL;

	at.file = import_path(im, l->at, l->option->name,
			      slice_cstr(im->arena, name));
	if (at.file == NULL)
		return;
	if (!im->read(im->arg, im->arena, at.file, IMPORT_DATASET_MAX, &rest,
		      &why)) {
		im->mistake.unreadable = im->mistake.text == NULL;
		import_refuse(im, l->at, "%s: %s: %s", l->option->name,
			      import_shown(im, at.file), why);
	}
	while (rest.n > 0 && im->mistake.text == NULL) {
		at.line++;
		read_row(r, at, slice_cut(&rest, '\n'));
	}
}

bool import_dataset(struct import *im, const struct import_line *l,
		    struct import_dataset *ret, const char **why)
{
	struct slice s = slice_of(l->value);
	struct reading r = {.im = im, .ret = ret};

	*ret = (struct import_dataset){0};
	*why = why_elsewhere(s);
	if (*why != NULL)
		return false;
	ret->patterns = slice_starts_ci(s, "refile:");
	if (ret->patterns)
		read_rows(&r, l, slice_from(s, strlen("refile:")));
	else if (slice_starts_ci(s, "file:"))
		read_rows(&r, l, slice_from(s, strlen("file:")));
	else if (s.n > 0 && s.p[0] == '/')
		read_rows(&r, l, s);
	else if (slice_starts_ci(s, "csl:"))
		read_list(&r, l->at, slice_from(s, strlen("csl:")));
	else
		read_list(&r, l->at, s);
	return im->mistake.text == NULL;
}
