/*
 * Reads the KeyTable and the SigningTable of opendkim.  What a row means for a
 * domain is found out in import_keys.c.
 */
#include "cmd/import_table.h"

#include <stdlib.h>
#include <string.h>

#include "mail/domain.h"

#define NAMED_MAX 100

/* Files, and what needs a file (db:, lua:): the latter is told. */
static bool read_set(struct import *im, const struct import_line *l,
		     struct import_dataset *d)
{
	const char *why;

	if (import_dataset(im, l, d, &why))
		return true;
	if (why != NULL)
		import_tell_row(im, l->at, "%s: %s", l->option->name, why);
	return false;
}

/* ---- the KeyTable ---- */

static bool is_path(struct slice s)
{
	return slice_starts(s, "/") || slice_starts(s, "./") ||
	       slice_starts(s, "../");
}

static void read_key(struct import *im, const struct import_item *i,
		     struct import_keytable *t)
{
	struct slice rest = slice_of(i->value);
	struct slice domain = slice_cut(&rest, ':');
	struct slice selector = slice_cut(&rest, ':');
	struct import_key k = {.at = i->at, .order = t->n, .name = i->key};

	/* The key itself may stand here: it is not shown. */
	if (rest.n == 0) {
		import_tell_row(im, i->at,
				"key \"%s\": no \"domain:selector:file\"",
				import_shown(im, i->key));
		return;
	}
	if (strchr(i->key, '*') != NULL) {
		import_tell_row(im, i->at,
				"key \"%s\" is a pattern; give each key its "
				"name",
				import_shown(im, i->key));
		return;
	}
	if (!is_path(rest)) {
		import_tell_row(im, i->at,
				"key \"%s\" stands in the table itself; put it "
				"into a file of mode 0600",
				import_shown(im, i->key));
		return;
	}
	k.selector = domain_canon(im->arena, selector);
	k.domain =
		slice_is(domain, "%") ? "%" : domain_canon(im->arena, domain);
	k.file = import_path(im, i->at, "key", slice_cstr(im->arena, rest));
	if (k.selector == NULL || k.domain == NULL || k.domain[0] == '\0' ||
	    k.selector[0] == '\0')
		import_tell_row(im, i->at,
				"key \"%s\": domain or selector is no name",
				import_shown(im, i->key));
	else if (k.file != NULL)
		t->v[t->n++] = k;
}

static int by_name(const void *a, const void *b)
{
	const struct import_key *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order != 0 ? order : x->order < y->order ? -1 : 1;
}

void import_keytable_read(struct import *im, const struct import_line *l,
			  struct import_keytable *ret)
{
	struct import_dataset d;

	*ret = (struct import_keytable){0};
	if (!read_set(im, l, &d))
		return;
	ret->v = arena_array(im->arena, d.n, sizeof(*ret->v));
	for (size_t i = 0; i < d.n && im->mistake.text == NULL; i++)
		read_key(im, &d.v[i], ret);
	if (ret->n > 0)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_name);
}

/* The first of several rows of one name counts. */
const struct import_key *import_keytable_find(const struct import_keytable *t,
					      const char *name)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(t->v[mid].name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < t->n && strcmp(t->v[low].name, name) == 0 ? &t->v[low]
							       : NULL;
}

/* ---- the SigningTable ---- */

static void add_row(struct import *im, struct import_signtable *t,
		    const struct import_row *row)
{
	struct import_row *old = t->v;

	if (t->n == IMPORT_ITEMS_MAX) {
		import_refuse(im, row->at,
			      "more than %d rows; give a smaller "
			      "file",
			      IMPORT_ITEMS_MAX);
		return;
	}
	if (t->n == t->room) {
		t->room = t->room == 0 ? 16 : 2 * t->room;
		t->v = arena_array(im->arena, t->room, sizeof(*t->v));
		if (t->n > 0)
			memcpy(t->v, old, t->n * sizeof(*t->v));
	}
	t->v[t->n++] = *row;
}

static void add_scope(struct import *im, struct import_signtable *t,
		      struct import_row row, enum import_scope scope,
		      const char *target)
{
	row.scope = scope;
	row.target = target;
	add_row(im, t, &row);
}

static const char *name_of(struct import *im, struct slice s)
{
	const char *v = domain_canon(im->arena, s);

	return v != NULL && v[0] != '\0' ? v : NULL;
}

/* Of the other types: "example.com", ".example.com", "*". */
static bool add_plain(struct import *im, struct import_signtable *t,
		      const struct import_row *row, struct slice s)
{
	bool below = slice_starts(s, ".");
	const char *name = name_of(im, slice_from(s, below ? 1 : 0));

	if (slice_is(s, "*"))
		add_scope(im, t, *row, IMPORT_ANY, "");
	else if (name != NULL)
		add_scope(im, t, *row, below ? IMPORT_BELOW : IMPORT_HOST,
			  name);
	return slice_is(s, "*") || name != NULL;
}

/* Of refile: "*@example.com", "*@*.example.com", "*.example.com", "*". */
static bool add_pattern(struct import *im, struct import_signtable *t,
			const struct import_row *row, struct slice s)
{
	struct slice rest = slice_from(s, 1);
	const char *name;

	if (!slice_starts(s, "*"))
		return false;
	if (slice_starts(rest, "@") && !slice_starts(rest, "@*")) {
		name = name_of(im, slice_from(rest, 1));
		if (name != NULL)
			add_scope(im, t, *row, IMPORT_HOST, name);
		return name != NULL;
	}
	if (slice_starts(rest, "@*"))
		rest = slice_from(rest, 2);
	if (rest.n == 0) {
		add_scope(im, t, *row, IMPORT_ANY, "");
		return true;
	}
	name = name_of(im, slice_from(rest, slice_starts(rest, ".") ? 1 : 0));
	if (name == NULL)
		return false;
	add_scope(im, t, *row, IMPORT_BELOW, name);
	if (slice_starts(rest, "."))
		return true;
	add_scope(im, t, *row, IMPORT_HOST, name);
	import_tell_row(im, row->at,
			"\"*%s\" is also for other domains that end in these "
			"letters; %s and what is below it are signed for",
			name, name);
	return true;
}

/* A key of the name of the author's domain: each that there is. */
static void add_named(struct import *im, struct import_signtable *t,
		      const struct import_keytable *keys,
		      const struct import_row *row)
{
	for (size_t i = 0; i < keys->n; i++) {
		struct import_row r = *row;

		r.key = keys->v[i].name;
		r.scope = IMPORT_HOST;
		r.target = name_of(im, slice_of(r.key));
		if (r.target == NULL || strcmp(r.target, r.key) != 0 ||
		    (i > 0 && strcmp(keys->v[i - 1].name, r.key) == 0))
			continue;
		if (row->scope == IMPORT_ANY ||
		    (row->scope == IMPORT_BELOW &&
		     strcmp(r.target, row->target) != 0 &&
		     domain_is_under(r.target, row->target)))
			add_row(im, t, &r);
	}
}

/* Replaces "%" for the key's name by names. */
static void expand_names(struct import *im, struct import_signtable *t,
			 const struct import_keytable *keys, size_t from)
{
	size_t end = t->n;

	for (size_t i = from; i < end; i++) {
		struct import_row row = t->v[i];

		if (strcmp(row.key, "%") != 0)
			continue;
		if (row.scope == IMPORT_HOST)
			t->v[i].key = row.target;
		else if (t->named++ == NAMED_MAX)
			import_refuse(im, row.at,
				      "more than %d rows with \"%%\" for many "
				      "domains; name the domains",
				      NAMED_MAX);
		else
			add_named(im, t, keys, &row);
	}
}

static void read_row(struct import *im, const struct import_item *i,
		     const struct import_keytable *keys, size_t order,
		     struct import_signtable *t)
{
	struct slice rest = slice_of(i->value);
	struct slice pattern = slice_of(i->key);
	struct import_row row = {.at = i->at, .order = order};
	size_t from = t->n;
	bool good;

	row.key = slice_cstr(im->arena, slice_cut(&rest, ':'));
	if (rest.n > 0)
		row.identity = slice_cstr(im->arena, rest);
	if (row.key[0] == '\0') {
		import_tell_row(im, i->at, "\"%s\" names no key",
				import_shown(im, i->key));
		return;
	}
	good = t->patterns ? add_pattern(im, t, &row, pattern)
			   : add_plain(im, t, &row, pattern);
	if (good)
		expand_names(im, t, keys, from);
	else if (slice_chr(pattern, '@') > 0 && slice_chr(pattern, '*') != 0)
		import_tell_row(im, i->at,
				"\"%s\": keys are chosen by domain, not by "
				"user; name the domain",
				import_shown(im, i->key));
	else
		import_tell_row(im, i->at,
				"\"%s\" is %s; name each domain, or "
				"\"*@*.domain\" for those below it",
				import_shown(im, i->key),
				t->patterns ? "a pattern that is for no whole "
					      "domain"
					    : "no domain");
}

static int by_target(const void *a, const void *b)
{
	const struct import_row *x = a, *y = b;
	int order;

	if (x->scope != y->scope)
		return x->scope < y->scope ? -1 : 1;
	order = strcmp(x->target, y->target);
	if (order != 0)
		return order;
	return (x->order > y->order) - (x->order < y->order);
}

void import_signtable_read(struct import *im, const struct import_line *l,
			   const struct import_keytable *keys,
			   struct import_signtable *ret)
{
	struct import_dataset d;

	*ret = (struct import_signtable){0};
	if (!read_set(im, l, &d))
		return;
	ret->patterns = d.patterns;
	for (size_t i = 0; i < d.n && im->mistake.text == NULL; i++)
		read_row(im, &d.v[i], keys, i, ret);
	if (ret->n > 0)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_target);
}

static bool before(const struct import_row *r, enum import_scope scope,
		   const char *target)
{
	if (r->scope != scope)
		return r->scope < scope;
	return strcmp(r->target, target) < 0;
}

size_t import_signtable_find(const struct import_signtable *t,
			     enum import_scope scope, const char *target,
			     const struct import_row **ret)
{
	size_t low = 0, high = t->n, n = 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (before(&t->v[mid], scope, target))
			low = mid + 1;
		else
			high = mid;
	}
	while (low + n < t->n && t->v[low + n].scope == scope &&
	       strcmp(t->v[low + n].target, target) == 0)
		n++;
	*ret = t->v + low;
	return n;
}
