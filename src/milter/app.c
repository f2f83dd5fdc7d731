/* Builds what all sessions share. */
#include "milter/app.h"

#include <stdatomic.h>
#include <stdlib.h>

#define KEYCACHE_KEYS 10000

static uint32_t lifetime_of(const struct config *c, const struct config_key *k)
{
	return (uint32_t)(k->lifetime >= 0 ? k->lifetime
					   : c->outbound.signature_lifetime);
}

/* All text is the configuration's. */
static void add_key(struct keyring *ring, const struct config *c,
		    const char *domain, const struct config_key *k)
{
	struct key_entry e = {
		.domain = domain,
		.signing_domain = k->domain,
		.selector = k->selector,
		.file = k->file,
		.source = k->source,
		.any_type = k->algorithm == KEY_ALGORITHM_ANY,
		.type = k->algorithm == KEY_ALGORITHM_ED25519 ? CRYPTO_ED25519
							      : CRYPTO_RSA,
		.lifetime = lifetime_of(c, k),
		.identity = k->identity,
		.names = k->names,
		.nnames = k->nnames,
	};

	keyring_add(ring, &e);
}

struct keyring *app_keyring_new(const struct config *c, struct keyd *keyd,
				struct strbuf *errors)
{
	struct keyring *ring = keyring_new((size_t)c->outbound.key_cache);
	bool ok = true;

	for (size_t i = 0; i < c->outbound.ndomains; i++) {
		const struct config_domain *d = &c->outbound.domains[i];
		for (size_t j = 0; j < d->nkeys; j++)
			add_key(ring, c, d->domain, &d->keys[j]);
	}
	if (c->outbound.key_table[0] != '\0')
		ok = keyring_add_table(ring, c->outbound.key_table,
				       (uint32_t)c->outbound.signature_lifetime,
				       errors);
	ok = keyring_ready(ring, errors) && ok;
	if (ok && (keyd == NULL || keyring_attach(ring, keyd, errors)))
		return ring;
	keyring_free(ring);
	return NULL;
}

/* Any one of several recipients will do: the others see one more field. */
static void load_seals(struct app *app)
{
	const struct config_rules *c = &app->config->arc.seal;
	struct arena *a = app->config->arena;
	struct rule *v = arena_array(a, c->n, sizeof(*v));
	const char **domains = arena_array(a, c->n, sizeof(*domains));

	for (size_t i = 0; i < c->n; i++) {
		v[i] = c->v[i];
		v[i].mode = RULE_ENFORCE;
		v[i].action = RULE_TAG;
		domains[i] = v[i].name;
	}
	app->seals = (struct rules){.n = c->n, .v = v, .secret = ""};
	app->rules.own_sealers = (struct string_list){c->n, domains};
}

static void check_seals(const struct app *app, struct strbuf *warnings)
{
	struct arena *a = arena_new();

	for (size_t i = 0; i < app->seals.n; i++) {
		const struct rule *r = &app->seals.v[i];
		struct key_choice keys;

		keyring_choose(app->keyring, a, r->name, 0, &keys);
		if (keys.n == 0)
			strbuf_printf(warnings,
				      "%s: arc.seal: mail is not sealed by %s: "
				      "%s; see outbound.domains\n",
				      r->source, r->name, keys.why);
		keyring_release(&keys);
	}
	arena_free(a);
}

/* A key that only cannot be loaded stops nobody: its domain's mail follows
 * on_signing_error. */
static bool load_keys(struct app *app, struct strbuf *errors,
		      struct strbuf *warnings)
{
	struct keyring_counters n;

	app->keyring = app_keyring_new(
		app->config, app->process != NULL ? app->process->keyd : NULL,
		errors);
	if (app->keyring == NULL)
		return false;
	keyring_pin(app->keyring, warnings, warnings);
	keyring_counters_get(app->keyring, &n);
	app->unusable_keys = (size_t)n.failures;
	check_seals(app, warnings);
	return true;
}

static bool load_tables(struct app *app, struct strbuf *errors,
			struct strbuf *warnings)
{
	app->tables = tables_load(app->config, errors, warnings);
	return app->tables != NULL;
}

/* Neither the walk alone nor a tag needs a list. */
static bool load_suffixes(struct app *app, struct strbuf *errors)
{
	const char *file = app->config->dmarc.public_suffix_file;
	const char *why = NULL;

	app->env.dmarc.discovery =
		(enum dmarc_discovery)app->config->dmarc.discovery;
	if (app->env.dmarc.discovery == DMARC_DISCOVERY_WALK &&
	    !app->config->awareness.lookalikes)
		return true;
	app->suffixes = dmarc_psl_load(file, &why);
	app->env.dmarc.psl = app->suffixes;
	if (app->suffixes == NULL)
		strbuf_printf(errors, "dmarc.public_suffix_file: %s%s%s\n",
			      file, file[0] != '\0' ? ": " : "", why);
	return app->suffixes != NULL;
}

static bool load_awareness(struct app *app, struct strbuf *errors)
{
	const struct config *c = app->config;
	const struct awareness_options o = {
		.subject_tag = c->awareness.subject_tag,
		.external_header = c->awareness.external_header != 0,
		.lookalikes = c->awareness.lookalikes != 0,
		.domains = c->awareness.domains,
		.names = c->awareness.names,
		.drill_domains = c->awareness.drill_domains,
		.untagged = c->awareness.untagged,
		.psl = app->suffixes,
	};
	const char *why = NULL;

	if (o.subject_tag[0] == '\0' && !o.external_header && !o.lookalikes)
		return true;
	app->awareness = awareness_new(&o, &why);
	if (app->awareness == NULL)
		strbuf_printf(errors, "%s\n", why);
	return app->awareness != NULL;
}

static bool load_rules(struct app *app, struct strbuf *errors,
		       struct strbuf *warnings)
{
	const struct config *c = app->config;

	app->rules.n = c->rules.n;
	app->rules.v = c->rules.v;
	app->rules.secret = c->secret;
	return rules_check(&app->rules, errors, warnings);
}

static void fill_env(struct eval_env *e, const struct config *c)
{
	const char **ids =
		arena_array(c->arena, c->authserv_aliases.n + 1, sizeof(*ids));

	ids[0] = c->authserv_id;
	for (size_t i = 0; i < c->authserv_aliases.n; i++)
		ids[i + 1] = c->authserv_aliases.v[i];
	e->authserv_id = c->authserv_id;
	e->authserv_ids = ids;
	e->nauthserv_ids = c->authserv_aliases.n + 1;
	e->internal = c->networks.internal.v;
	e->ninternal = c->networks.internal.n;
	e->trusted = c->networks.trusted.v;
	e->ntrusted = c->networks.trusted.n;
	e->iprev = c->inbound.iprev != 0;
	e->received_spf = c->inbound.received_spf != 0;
	e->dns_wait_ms = (unsigned)c->resolver.message_timeout * 1000;
	e->dns_max_queries = (unsigned)c->resolver.max_queries;
	e->dkim = (struct dkim_verify_options){
		.max_signatures = (unsigned)c->dkim.max_signatures,
		.max_listed = 50,
		.min_rsa_bits = (unsigned)c->dkim.min_rsa_bits,
		.max_rsa_bits = (unsigned)c->dkim.max_rsa_bits,
		.clock_skew = (unsigned)c->dkim.clock_skew,
	};
	e->arc = (struct arc_options){.min_rsa_bits = e->dkim.min_rsa_bits,
				      .max_rsa_bits = e->dkim.max_rsa_bits};
}

static void free_keycache(void *cache)
{
	crypto_keycache_free(cache);
}

struct app *app_new(struct config *c, const struct app_process *process,
		    struct strbuf *errors, struct strbuf *warnings)
{
	struct app *app = mem_alloc(sizeof(*app));

	app->config = c;
	app->process = process;
	app->tally = process != NULL ? process->tally : NULL;
	atomic_init(&app->refs, 1);
	app->limits = (struct field_limits){
		.max_fields = (size_t)c->limits.header_fields,
		.max_field_bytes = (size_t)c->limits.field_size,
		.max_bytes = (size_t)c->limits.header_size,
	};
	fill_env(&app->env, c);
	app_set_keycache(app,
			 service_new(crypto_keycache_new(KEYCACHE_KEYS),
				     free_keycache, ""));
	load_seals(app);
	if (!load_rules(app, errors, warnings) || !load_suffixes(app, errors) ||
	    !load_awareness(app, errors) ||
	    !load_tables(app, errors, warnings) ||
	    !load_keys(app, errors, warnings)) {
		app->config = NULL;
		app_unref(app);
		return NULL;
	}
	return app;
}

void app_set_keycache(struct app *app, struct service *s)
{
	service_unref(app->services[APP_KEYCACHE]);
	app->services[APP_KEYCACHE] = s;
	app->env.dkim.keycache = service_get(s);
	app->env.arc.keycache = service_get(s);
}

void app_stop(struct app *app)
{
	meter_stop(app->meter);
	journal_stop(app->journal);
}

struct app *app_ref(struct app *app)
{
	atomic_fetch_add(&app->refs, 1);
	return app;
}

void app_unref(struct app *app)
{
	if (app == NULL || atomic_fetch_sub(&app->refs, 1) > 1)
		return;
	for (size_t i = APP_SERVICES; i-- > 0;)
		service_unref(app->services[i]);
	keyring_free(app->keyring);
	awareness_free(app->awareness);
	dmarc_psl_free(app->suffixes);
	tables_free(app->tables);
	config_free(unconst(app->config));
	free(app);
}

int app_listener_direction(const struct app *app, struct slice name)
{
	const struct config *c = app->config;

	for (size_t i = 0; i < c->nlisteners; i++) {
		if (!slice_is(name, c->listeners[i].name))
			continue;
		switch (c->listeners[i].direction) {
		case DIRECTION_AUTO:
			return -1;
		case DIRECTION_INBOUND:
			return MAIL_INBOUND;
		case DIRECTION_OUTBOUND:
			return MAIL_OUTBOUND;
		case DIRECTION_NONE:
			return MAIL_IGNORED;
		}
	}
	return -1;
}
