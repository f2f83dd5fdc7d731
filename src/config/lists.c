/*
 * Reads the options that are lists of groups: listeners, and the domains to
 * sign for with their keys.  Key files must exist; they are not opened.
 */
#include "config/loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mail/domain.h"

static const char *source_of(struct loader *l, const struct config_node *s)
{
	return arena_printf(l->arena, "%s:%u", s->file, s->line);
}

/* Is `g` a group with all the members of `names` and no others? */
static bool check_members(struct loader *l, const struct config_node *g,
			  const struct config_option *o,
			  const char *const *names)
{
	size_t before = l->mistakes;

	if (g->type != CONFIG_NODE_GROUP) {
		config_complain_value(l, g, o);
		return false;
	}
	for (size_t i = 0; names[i] != NULL; i++)
		if (config_node_member(g, names[i]) == NULL)
			config_complain(l, g, "%s: \"%s\" is missing; give %s",
					o->name, names[i],
					config_option_wants(l->arena, o));
	for (size_t i = 0; i < g->n; i++) {
		const struct config_node *m = &g->v[i];
		size_t j = 0;

		while (names[j] != NULL && strcmp(names[j], m->name) != 0)
			j++;
		if (names[j] == NULL)
			config_complain(l, m, "%s: unknown key \"%s\"; give %s",
					o->name, config_shown(l, m->name),
					config_option_wants(l->arena, o));
	}
	return l->mistakes == before;
}

/* The text of a member, or NULL and a message when it is no string or empty. */
static const char *member_text(struct loader *l, const struct config_node *g,
			       const struct config_option *o, const char *name)
{
	const struct config_node *m = config_node_member(g, name);
	const char *v = m->text;

	if (v != NULL && v[0] != '\0')
		return arena_strdup(l->arena, v);
	config_complain(l, m,
			"%s: %s must be a string that is not empty; give %s",
			o->name, name, config_option_wants(l->arena, o));
	return NULL;
}

/* The same for a domain or selector, canonical. */
static const char *member_domain(struct loader *l, const struct config_node *g,
				 const struct config_option *o,
				 const char *name)
{
	const char *text = member_text(l, g, o, name);
	const char *v;

	if (text == NULL)
		return NULL;
	v = domain_canon(l->arena, slice_of(text));
	if (v == NULL)
		config_complain(
			l, config_node_member(g, name),
			"%s: %s \"%s\" is no domain name; give labels of "
			"letters, digits and \"-\" with dots between",
			o->name, name, config_shown(l, text));
	return v;
}

static void read_listener(struct loader *l, const struct config_node *g,
			  const struct config_option *o,
			  struct config_listener *ret)
{
	static const char *const members[] = {"name", "direction", NULL};
	/* In the order of enum direction. */
	static const char *const words[] = {"auto", "inbound", "outbound",
					    "none", NULL};
	const struct config_node *m;
	int i;

	if (!check_members(l, g, o, members))
		return;
	ret->name = member_text(l, g, o, "name");
	m = config_node_member(g, "direction");
	i = config_word_index(m, words);
	if (i < 0)
		config_complain(
			l, m,
			"%s: wrong direction; give \"auto\", \"inbound\", "
			"\"outbound\" or \"none\"",
			o->name);
	else
		ret->direction = (enum direction)i;
	for (const struct config_listener *p = l->c->listeners; p < ret; p++)
		if (ret->name != NULL && p->name != NULL &&
		    strcmp(p->name, ret->name) == 0)
			config_complain(
				l, g,
				"%s: \"%s\" stands here twice; remove one",
				o->name, config_shown(l, ret->name));
}

void config_read_listeners(struct loader *l, const struct config_node *s,
			   const struct config_option *o)
{
	struct config *c = l->c;

	if (s->type != CONFIG_NODE_LISTING) {
		config_complain_value(l, s, o);
		return;
	}
	c->nlisteners = s->n;
	c->listeners =
		arena_array(l->arena, c->nlisteners, sizeof(*c->listeners));
	for (size_t i = 0; i < c->nlisteners; i++)
		read_listener(l, &s->v[i], o, &c->listeners[i]);
}

static void check_key_file(struct loader *l, const struct config_node *s,
			   const struct config_option *o, const char *file)
{
	struct stat st;

	if (file[0] != '/')
		config_complain(
			l, s,
			"%s: key file \"%s\" must be an absolute path; put "
			"its directory in front",
			o->name, config_shown(l, file));
	else if (stat(file, &st) != 0)
		config_complain(
			l, s,
			"%s: key file %s: %s; make it with mailseal key new, "
			"or correct the path",
			o->name, config_shown(l, file), strerror(errno));
	else if (!S_ISREG(st.st_mode))
		config_complain(
			l, s,
			"%s: key file %s is no regular file; give the path "
			"of a private key",
			o->name, config_shown(l, file));
}

static void read_key(struct loader *l, const struct config_node *g,
		     const struct config_option *o, struct config_key *ret)
{
	static const char *const members[] = {"selector", "file", NULL};

	ret->source = source_of(l, g);
	if (!check_members(l, g, o, members))
		return;
	ret->selector = member_domain(l, g, o, "selector");
	ret->file = member_text(l, g, o, "file");
	if (ret->file != NULL)
		check_key_file(l, config_node_member(g, "file"), o, ret->file);
}

static void read_keys(struct loader *l, const struct config_node *s,
		      const struct config_option *o, struct config_domain *d)
{
	if (s->type != CONFIG_NODE_LISTING || s->n == 0) {
		config_complain(l, s, "%s: keys must name a key; give %s",
				o->name, config_option_wants(l->arena, o));
		return;
	}
	d->nkeys = s->n;
	d->keys = arena_array(l->arena, d->nkeys, sizeof(*d->keys));
	for (size_t i = 0; i < d->nkeys; i++) {
		const struct config_node *g = &s->v[i];
		struct config_key *k = &d->keys[i];

		read_key(l, g, o, k);
		for (size_t j = 0; j < i; j++)
			if (k->selector != NULL &&
			    d->keys[j].selector != NULL &&
			    strcmp(d->keys[j].selector, k->selector) == 0)
				config_complain(
					l, g,
					"%s: selector %s stands here twice; "
					"remove one",
					o->name, k->selector);
	}
}

static void read_domain(struct loader *l, const struct config_node *g,
			const struct config_option *o,
			struct config_domain *ret)
{
	static const char *const members[] = {"domain", "keys", NULL};

	ret->source = source_of(l, g);
	if (!check_members(l, g, o, members))
		return;
	ret->domain = member_domain(l, g, o, "domain");
	read_keys(l, config_node_member(g, "keys"), o, ret);
}

static int by_domain(const void *a, const void *b)
{
	const struct config_domain *x = a, *y = b;
	int order;

	if (x->domain == NULL || y->domain == NULL)
		return (x->domain != NULL) - (y->domain != NULL);
	order = strcmp(x->domain, y->domain);
	return order != 0 ? order : strcmp(x->source, y->source);
}

/* Sorted, so that a site with 100,000 domains does not wait. */
static void check_twice(struct loader *l, const struct config_option *o)
{
	size_t n = l->c->outbound.ndomains;
	struct config_domain *v = arena_array(l->arena, n, sizeof(*v));

	if (n > 0)
		memcpy(v, l->c->outbound.domains, n * sizeof(*v));
	qsort(v, n, sizeof(*v), by_domain);
	for (size_t i = 1; i < n; i++) {
		if (v[i - 1].domain == NULL ||
		    strcmp(v[i - 1].domain, v[i].domain) != 0)
			continue;
		strbuf_printf(l->errors,
			      "%s: %s: %s stands here twice; put all its keys "
			      "in one group\n",
			      v[i].source, o->name, v[i].domain);
		l->mistakes++;
	}
}

void config_read_domains(struct loader *l, const struct config_node *s,
			 const struct config_option *o)
{
	struct config *c = l->c;

	if (s->type != CONFIG_NODE_LISTING) {
		config_complain_value(l, s, o);
		return;
	}
	c->outbound.ndomains = s->n;
	c->outbound.domains = arena_array(l->arena, c->outbound.ndomains,
					  sizeof(*c->outbound.domains));
	for (size_t i = 0; i < c->outbound.ndomains; i++)
		read_domain(l, &s->v[i], o, &c->outbound.domains[i]);
	check_twice(l, o);
}
