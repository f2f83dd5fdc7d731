/*
 * Which keys sign for whom: each domain that the SigningTable names is looked
 * up in it as opendkim would, and what is found becomes an entry of ours.
 *
 * Ours are by domain, "example.com" or "*.example.com" (all below, signed with
 * d=example.com); so what depends on the user, or on a domain that nobody
 * names, is told and left out.
 */
#include "cmd/import_table.h"

#include <stdlib.h>
#include <string.h>

#include "dkim/dkim.h"
#include "keys/keyring.h"
#include "mail/domain.h"

#define MATCHES_MAX 256 /* rows that match one domain */

struct signing {
	struct import *im;
	struct import_keytable keys;
	struct import_signtable rows;
	bool multiple;
};

/* ---- entries ---- */

/* Is there a signature with that d= and s=, or too many, for this author? */
static bool has_entry(struct import *im, const struct import_entry *e)
{
	size_t n = 0;

	for (size_t i = im->nentries; i-- > 0; n++) {
		const struct import_entry *o = &im->entries[i];

		if (strcmp(o->author, e->author) != 0)
			break;
		if (strcmp(o->domain, e->domain) == 0 &&
		    strcmp(o->selector, e->selector) == 0)
			return true;
	}
	if (n >= KEYS_PER_DOMAIN)
		import_tell_row(im, e->at,
				"more than %d signatures for %s; remove some",
				KEYS_PER_DOMAIN, e->author);
	return n >= KEYS_PER_DOMAIN;
}

static void add_entry(struct import *im, const struct import_entry *e)
{
	struct import_entry *old = im->entries;

	if (has_entry(im, e))
		return;
	if (im->nentries == im->room) {
		im->room = im->room == 0 ? 16 : 2 * im->room;
		im->entries =
			arena_array(im->arena, im->room, sizeof(*im->entries));
		if (im->nentries > 0)
			memcpy(im->entries, old,
			       im->nentries * sizeof(*im->entries));
	}
	im->entries[im->nentries++] = *e;
}

/* Each "%" becomes `domain`; NULL: too long for a path. */
static const char *replaced(struct import *im, const char *text,
			    const char *domain)
{
	struct strbuf b;

	strbuf_init(&b, im->arena, IMPORT_PATH_MAX);
	for (; *text != '\0'; text++) {
		if (*text == '%')
			strbuf_adds(&b, domain);
		else
			strbuf_addc(&b, *text);
	}
	return b.overflow ? NULL : strbuf_cstr(&b);
}

/* i=, where it says more than d= and agrees with it. */
static const char *identity_of(struct import *im, const struct import_row *r,
			       const char *author, const char *domain)
{
	const char *v;

	if (r->identity == NULL)
		return NULL;
	v = replaced(im, r->identity, author);
	if (v == NULL || !dkim_identity_ok(v, domain) ||
	    (v[0] == '@' && strcmp(v + 1, domain) == 0))
		return NULL;
	return v;
}

/* ---- one domain ---- */

/* `below`: "*." and the domain. */
static void add_match(struct signing *s, const struct import_row *r,
		      const char *domain, bool below)
{
	struct import *im = s->im;
	const struct import_key *k = import_keytable_find(&s->keys, r->key);
	struct import_entry e = {.at = r->at};

	if (k == NULL) {
		import_tell_row(im, r->at,
				"the KeyTable has no usable key \"%s\", for "
				"which opendkim puts mail off",
				import_shown(im, r->key));
		return;
	}
	if (below &&
	    (strcmp(k->domain, "%") == 0 || strchr(k->file, '%') != NULL)) {
		import_tell_row(im, r->at,
				"key \"%s\" is for the domain of each author; "
				"name each domain below %s",
				import_shown(im, r->key), domain);
		return;
	}
	e.author = below ? arena_printf(im->arena, "*.%s", domain) : domain;
	e.domain = strcmp(k->domain, "%") == 0 ? domain : k->domain;
	e.selector = k->selector;
	e.file = replaced(im, k->file, domain);
	if (e.file == NULL) {
		import_tell_row(im, r->at, "the path of key \"%s\" is too long",
				import_shown(im, r->key));
		return;
	}
	e.identity = identity_of(im, r, below ? "%" : domain, e.domain);
	add_entry(im, &e);
}

static int by_order(const void *a, const void *b)
{
	const struct import_row *const *x = a, *const *y = b;

	return ((*x)->order > (*y)->order) - ((*x)->order < (*y)->order);
}

struct matches {
	const struct import_row *v[MATCHES_MAX];
	size_t n;
};

/* Of files and lists the first row of a name counts, of patterns each. */
static void collect(const struct signing *s, enum import_scope scope,
		    const char *target, struct matches *m)
{
	const struct import_row *r;
	size_t n = import_signtable_find(&s->rows, scope, target, &r);

	if ((!s->rows.patterns || !s->multiple) && n > 1)
		n = 1;
	for (size_t i = 0; i < n && m->n < MATCHES_MAX; i++)
		/* stands for the names that it was replaced by */
		if (strcmp(r[i].key, "%") != 0)
			m->v[m->n++] = &r[i];
}

/* The nearest first, as opendkim looks into files; patterns in their order. */
static void sign_for(struct signing *s, const char *domain, bool below)
{
	struct matches m = {.n = 0};
	const char *up = below ? domain : domain_parent(domain);

	if (!below)
		collect(s, IMPORT_HOST, domain, &m);
	for (; up[0] != '\0'; up = domain_parent(up))
		collect(s, IMPORT_BELOW, up, &m);
	collect(s, IMPORT_ANY, "", &m);
	if (s->rows.patterns && m.n > 1)
		qsort(m.v, m.n, sizeof(*m.v), by_order);
	if (!s->multiple && m.n > 1)
		m.n = 1;
	for (size_t i = 0; i < m.n; i++)
		add_match(s, m.v[i], domain, below);
}

static void sign_for_target(struct signing *s, const struct import_row *r)
{
	if (r->scope == IMPORT_BELOW && domain_labels(r->target) < 2)
		import_tell_row(s->im, r->at,
				"nobody can sign for all below \"%s\"; name "
				"each domain",
				r->target);
	else
		sign_for(s, r->target, r->scope == IMPORT_BELOW);
}

static void sign_by_tables(struct signing *s)
{
	const struct import_row *v = s->rows.v;

	for (size_t i = 0; i < s->rows.n; i++)
		if (v[i].scope == IMPORT_ANY) {
			if (strcmp(v[i].key, "%") != 0)
				import_tell_row(s->im, v[i].at,
						"it is for all domains; name "
						"each domain");
		} else if (i == 0 || v[i - 1].scope != v[i].scope ||
			   strcmp(v[i - 1].target, v[i].target) != 0) {
			sign_for_target(s, &v[i]);
		}
}

/* ---- Domain, KeyFile, Selector ---- */

static void sign_domain(struct import *im, const struct import_item *i,
			struct import_entry e)
{
	const char *domain = domain_canon(im->arena, slice_of(i->key));

	if (domain == NULL || domain[0] == '\0') {
		import_tell_row(im, i->at,
				"\"%s\" is no domain; name each domain",
				import_shown(im, i->key));
		return;
	}
	e.at = i->at;
	e.domain = domain;
	e.author = domain;
	add_entry(im, &e);
	if (!import_is_true(&im->dkim, "SubDomains"))
		return;
	if (domain_labels(domain) < 2) {
		import_tell_row(im, i->at,
				"nobody can sign for all below \"%s\"; name "
				"each domain",
				domain);
		return;
	}
	e.author = arena_printf(im->arena, "*.%s", domain);
	add_entry(im, &e);
}

static void sign_by_one_key(struct import *im, const struct import_line *set)
{
	const struct import_line *file = import_find(&im->dkim, "KeyFile");
	const struct import_line *selector = import_find(&im->dkim, "Selector");
	struct import_entry e = {0};
	struct import_dataset d;
	const char *why;

	if (file == NULL || selector == NULL) {
		import_refuse(im, set->at,
			      "Domain needs KeyFile and Selector; "
			      "give both");
		return;
	}
	e.file = import_path(im, file->at, "KeyFile", file->value);
	e.selector = domain_canon(im->arena, slice_of(selector->value));
	if (e.selector == NULL || e.selector[0] == '\0')
		import_refuse(im, selector->at,
			      "Selector: \"%s\" is no name; give letters, "
			      "digits and \"-\"",
			      import_shown(im, selector->value));
	if (!import_dataset(im, set, &d, &why)) {
		if (why != NULL)
			import_tell_row(im, set->at, "Domain: %s", why);
		return;
	}
	for (size_t i = 0; i < d.n && im->mistake.text == NULL; i++)
		sign_domain(im, &d.v[i], e);
}

void import_keys(struct import *im)
{
	const struct import_line *mode = import_find(&im->dkim, "Mode");
	const struct import_line *keys = import_find(&im->dkim, "KeyTable");
	const struct import_line *rows = import_find(&im->dkim, "SigningTable");
	const struct import_line *domain = import_find(&im->dkim, "Domain");
	struct signing s = {.im = im};

	if (mode != NULL && strchr(mode->value, 's') == NULL)
		return;
	if (keys != NULL && rows != NULL) {
		s.multiple = import_is_true(&im->dkim, "MultipleSignatures");
		import_keytable_read(im, keys, &s.keys);
		import_signtable_read(im, rows, &s.keys, &s.rows);
		if (im->mistake.text == NULL)
			sign_by_tables(&s);
	} else if (keys == NULL && domain != NULL) {
		sign_by_one_key(im, domain);
	}
}
