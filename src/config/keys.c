/*
 * Reads the keys of a domain to sign for.  Key files are not opened: one that
 * cannot be loaded stops nobody else (keys/keyring.h).
 */
#include "config/loader.h"

#include <string.h>

#define LIFETIME_MAX 31536000 /* as outbound.signature_lifetime */

static const char *const required[] = {"selector", "file", NULL};
static const char *const optional[] = {"domain",   "algorithm", "lifetime",
				       "identity", "headers",	"oversign",
				       NULL};

static void read_file(struct loader *l, const struct config_node *g,
		      const struct config_option *o, struct config_key *ret)
{
	ret->file = config_member_text(l, g, o, "file");
	if (ret->file != NULL && ret->file[0] != '/')
		config_complain(
			l, config_node_member(g, "file"),
			"%s: key file \"%s\" must be an absolute path; put "
			"its directory in front",
			o->name, config_shown(l, ret->file));
}

static void read_algorithm(struct loader *l, const struct config_node *m,
			   const struct config_option *o,
			   struct config_key *ret)
{
	/* In the order of enum key_algorithm. */
	static const char *const words[] = {"any", "rsa-sha256",
					    "ed25519-sha256", NULL};
	int i = config_word_index(m, words);

	if (i < 0)
		config_complain(l, m,
				"%s: algorithm must be \"rsa-sha256\", "
				"\"ed25519-sha256\" or \"any\"",
				o->name);
	else
		ret->algorithm = (enum key_algorithm)i;
}

static void read_lifetime(struct loader *l, const struct config_node *m,
			  const struct config_option *o, struct config_key *ret)
{
	if (m->type == CONFIG_NODE_INTEGER && !m->damaged && m->number >= 0 &&
	    m->number <= LIFETIME_MAX)
		ret->lifetime = m->number;
	else
		config_complain(l, m,
				"%s: lifetime must be a number of seconds "
				"from 0 to %d",
				o->name, LIFETIME_MAX);
}

static void read_identity(struct loader *l, const struct config_node *g,
			  const struct config_option *o, struct config_key *ret)
{
	ret->identity = config_member_text(l, g, o, "identity");
	if (ret->identity == NULL || ret->domain == NULL ||
	    dkim_identity_ok(ret->identity, ret->domain))
		return;
	config_complain(l, config_node_member(g, "identity"),
			"%s: identity \"%s\" must be \"user@\" or \"@\" and "
			"%s or a domain below it",
			o->name, config_shown(l, ret->identity), ret->domain);
}

/* ---- the header list ---- */

struct names {
	struct dkim_signed_name *v;
	size_t n;
	bool ok;
};

static struct dkim_signed_name *find(const struct names *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (slice_is_ci(slice_of(name), t->v[i].name))
			return &t->v[i];
	return NULL;
}

/* How the default list has it. */
static enum dkim_signing_mode default_mode(const char *name)
{
	size_t n;
	const struct dkim_signed_name *v = dkim_default_names(&n);

	for (size_t i = 0; i < n; i++)
		if (slice_is_ci(slice_of(name), v[i].name))
			return v[i].mode;
	return DKIM_SIGN_PRESENT;
}

static void add_name(struct loader *l, const struct config_node *m,
		     const struct config_option *o, bool over, struct names *t)
{
	const char *why = "it is no string in double quotes";
	struct dkim_signed_name *e;

	if (m->text == NULL || !dkim_signed_name_ok(m->text, &why)) {
		config_complain(l, m, "%s: \"%s\" cannot be signed: %s",
				o->name,
				m->text != NULL ? config_shown(l, m->text) : "",
				why);
		t->ok = false;
		return;
	}
	e = find(t, m->text);
	if (e == NULL) {
		e = &t->v[t->n++];
		e->name = arena_strdup(l->arena, m->text);
		e->mode = default_mode(m->text);
	}
	if (over)
		e->mode = DKIM_OVERSIGN;
}

static void add_names(struct loader *l, const struct config_node *m,
		      const struct config_option *o, bool over, struct names *t)
{
	if (m->type != CONFIG_NODE_LISTING) {
		config_complain(l, m,
				"%s: %s must be a list of field names: "
				"[ \"From\", ... ]",
				o->name, m->name);
		t->ok = false;
		return;
	}
	for (size_t i = 0; i < m->n; i++)
		add_name(l, &m->v[i], o, over, t);
}

static void add_defaults(struct names *t)
{
	const struct dkim_signed_name *v = dkim_default_names(&t->n);

	memcpy(t->v, v, t->n * sizeof(*v));
}

/* `headers` replaces the default list; with `oversign` those names, and only
 * those, are listed once more than present. */
static void read_names(struct loader *l, const struct config_node *g,
		       const struct config_option *o, struct config_key *ret)
{
	const struct config_node *h = config_node_member(g, "headers");
	const struct config_node *over = config_node_member(g, "oversign");
	struct names t = {.ok = true};
	size_t max;

	if (h == NULL && over == NULL)
		return;
	(void)dkim_default_names(&max);
	max += (h != NULL ? h->n : 0) + (over != NULL ? over->n : 0);
	t.v = arena_array(l->arena, max, sizeof(*t.v));
	if (h != NULL)
		add_names(l, h, o, false, &t);
	else
		add_defaults(&t);
	for (size_t i = 0; over != NULL && i < t.n; i++)
		t.v[i].mode = DKIM_SIGN_PRESENT;
	if (over != NULL)
		add_names(l, over, o, true, &t);
	if (t.ok && find(&t, "From") == NULL) /* RFC 6376 5.4 */
		config_complain(l, h, "%s: headers must have \"From\"",
				o->name);
	ret->names = t.v;
	ret->nnames = t.n;
}

static void read_key(struct loader *l, const struct config_node *g,
		     const struct config_option *o, const char *signing_domain,
		     struct config_key *ret)
{
	const struct config_node *m;

	ret->source = config_source_of(l, g);
	ret->lifetime = -1;
	ret->domain = signing_domain;
	if (!config_check_members(l, g, o, required, optional))
		return;
	ret->selector = config_member_domain(l, g, o, "selector");
	read_file(l, g, o, ret);
	if (config_node_member(g, "domain") != NULL)
		ret->domain = config_member_domain(l, g, o, "domain");
	if ((m = config_node_member(g, "algorithm")) != NULL)
		read_algorithm(l, m, o, ret);
	if ((m = config_node_member(g, "lifetime")) != NULL)
		read_lifetime(l, m, o, ret);
	if (config_node_member(g, "identity") != NULL)
		read_identity(l, g, o, ret);
	read_names(l, g, o, ret);
}

/* Two keys need two names (RFC 8463 6). */
static void check_twice(struct loader *l, const struct config_node *g,
			const struct config_option *o,
			const struct config_key *v, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (v[i].selector != NULL && v[at].selector != NULL &&
		    v[i].domain != NULL && v[at].domain != NULL &&
		    strcmp(v[i].selector, v[at].selector) == 0 &&
		    strcmp(v[i].domain, v[at].domain) == 0)
			config_complain(l, g,
					"%s: selector %s stands here twice; "
					"remove one",
					o->name, v[at].selector);
}

void config_read_keys(struct loader *l, const struct config_node *s,
		      const struct config_option *o,
		      const char *signing_domain, struct config_domain *d)
{
	if (s->type != CONFIG_NODE_LISTING || s->n == 0) {
		config_complain(l, s, "%s: keys must name a key; give %s",
				o->name, config_option_wants(l->arena, o));
		return;
	}
	d->nkeys = s->n;
	d->keys = arena_array(l->arena, d->nkeys, sizeof(*d->keys));
	for (size_t i = 0; i < d->nkeys; i++) {
		read_key(l, &s->v[i], o, signing_domain, &d->keys[i]);
		check_twice(l, &s->v[i], o, d->keys, i);
	}
}
