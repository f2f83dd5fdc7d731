/*
 * Reads the options that are lists of groups: listeners, and the domains to
 * sign for; their keys are read by keys.c.
 */
#include "config/loader.h"

#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "mail/domain.h"

const char *config_source_of(struct loader *l, const struct config_node *s)
{
	return arena_printf(l->arena, "%s:%u", s->file, s->line);
}

static bool is_one_of(const char *const *names, const char *name)
{
	while (*names != NULL && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

bool config_check_members(struct loader *l, const struct config_node *g,
			  const struct config_option *o,
			  const char *const *names, const char *const *optional)
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

		if (!is_one_of(names, m->name) && !is_one_of(optional, m->name))
			config_complain(l, m, "%s: unknown key \"%s\"; give %s",
					o->name, config_shown(l, m->name),
					config_option_wants(l->arena, o));
	}
	return l->mistakes == before;
}

const char *config_member_text(struct loader *l, const struct config_node *g,
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

const char *config_member_domain(struct loader *l,
				 const struct config_node *g,
				 const struct config_option *o,
				 const char *name)
{
	const char *text = config_member_text(l, g, o, name);
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
	static const char *const none[] = {NULL};
	const struct config_node *m;
	int i;

	if (!config_check_members(l, g, o, members, none))
		return;
	ret->name = config_member_text(l, g, o, "name");
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

/* "example.com" or "*.example.com": every domain below it. */
static const char *read_author_domain(struct loader *l,
				      const struct config_node *g,
				      const struct config_option *o,
				      const char **below)
{
	const struct config_node *m = config_node_member(g, "domain");
	struct slice text = slice_of(m->text);
	const char *v;

	*below = NULL;
	if (!slice_starts(text, "*."))
		return config_member_domain(l, g, o, "domain");
	v = domain_canon(l->arena, slice_from(text, 2));
	if (v != NULL && domain_labels(v) > 1) {
		*below = v;
		return arena_printf(l->arena, "*.%s", v);
	}
	config_complain(l, m,
			"%s: domain \"%s\" is no domain name with two labels "
			"or more after \"*.\"",
			o->name, config_shown(l, m->text));
	return NULL;
}

static void read_domain(struct loader *l, const struct config_node *g,
			const struct config_option *o,
			struct config_domain *ret)
{
	static const char *const members[] = {"domain", "keys", NULL};
	static const char *const none[] = {NULL};
	const char *below;

	ret->source = config_source_of(l, g);
	if (!config_check_members(l, g, o, members, none))
		return;
	ret->domain = read_author_domain(l, g, o, &below);
	config_read_keys(l, config_node_member(g, "keys"), o,
			 below != NULL ? below : ret->domain, ret);
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
	for (size_t i = 0; i < c->outbound.ndomains; i++) {
		progress_step("domains", i, c->outbound.ndomains);
		read_domain(l, &s->v[i], o, &c->outbound.domains[i]);
	}
	check_twice(l, o);
}
