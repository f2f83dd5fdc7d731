/* Builds what all sessions share. */
#include "milter/app.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

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

		keyring_choose(app->keyring, a, r->name, clock_mono_ms(),
			       &keys);
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
static bool load_keys(struct app *app, struct keyd *keyd, struct strbuf *errors,
		      struct strbuf *warnings)
{
	struct keyring_counters n;

	app->keyring = app_keyring_new(app->config, keyd, errors);
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
	struct tables *t = tables_load(app->config, errors, warnings);

	if (t != NULL)
		app->tables = tables_place_new(t);
	return t != NULL;
}

bool app_reload(struct app *app, struct strbuf *errors, struct strbuf *warnings)
{
	struct tables *t = tables_load(app->config, errors, warnings);

	if (t != NULL)
		tables_put(app->tables, t);
	return t != NULL;
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
		.keycache = crypto_keycache_new(KEYCACHE_KEYS),
	};
	e->arc = (struct arc_options){e->dkim.min_rsa_bits,
				      e->dkim.max_rsa_bits, e->dkim.keycache};
}

struct app *app_new(const struct config *c, struct tally *tally,
		    struct keyd *keyd, struct strbuf *errors,
		    struct strbuf *warnings)
{
	struct app *app = mem_alloc(sizeof(*app));

	app->config = c;
	app->tally = tally;
	app->limits = (struct field_limits){
		.max_fields = (size_t)c->limits.header_fields,
		.max_field_bytes = (size_t)c->limits.field_size,
		.max_bytes = (size_t)c->limits.header_size,
	};
	fill_env(&app->env, c);
	load_seals(app);
	if (!load_rules(app, errors, warnings) || !load_suffixes(app, errors) ||
	    !load_awareness(app, errors) ||
	    !load_tables(app, errors, warnings) ||
	    !load_keys(app, keyd, errors, warnings)) {
		app_free(app);
		return NULL;
	}
	return app;
}

/* Called by the resolver's thread. */
static void tell_outage(void *arg, bool outage)
{
	(void)arg;
	if (outage)
		log_limited(LOG_LEVEL_WARN, LOG_EVENT_DNS,
			    "no DNS server answers; until one does, what is "
			    "not in the cache is a temporary error");
	else
		log_limited(LOG_LEVEL_INFO, LOG_EVENT_DNS,
			    "a DNS server answers again");
}

struct dns_options app_dns_options(const struct config *c)
{
	return (struct dns_options){
		.servers = c->resolver.servers.v,
		.nservers = c->resolver.servers.n,
		.recursion = c->resolver.recursion != 0,
		.trust_anchor_file =
			c->resolver.dnssec ? c->resolver.trust_anchor : NULL,
		.max_waiting = (unsigned)c->resolver.max_waiting,
		.zone_file = c->resolver.zone_file[0] != '\0'
				     ? c->resolver.zone_file
				     : NULL,
		.query_timeout_ms = (unsigned)c->resolver.query_timeout,
		.cache_bytes = (size_t)c->resolver.cache_size,
	};
}

/* Who could read the tables as root, and cannot any more, will not see what
 * they say next: a credential that is revoked stays good. */
static void check_readable(const struct config *c, struct strbuf *warnings)
{
	const char *const files[] = {c->submission.sender_table,
				     c->submission.sender_groups,
				     c->submission.credentials};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (files[i][0] != '\0' && access(files[i], R_OK) != 0)
			strbuf_printf(warnings,
				      "%s: %s, so SIGHUP will not read it "
				      "again; give user \"%s\" the right to "
				      "read it\n",
				      files[i], strerror(errno), c->user);
}

static void start_meter(struct app *app, struct strbuf *warnings)
{
	const struct config *c = app->config;
	const char *warning = NULL;

	if (c->submission.credentials[0] == '\0')
		return;
	app->meter =
		meter_new(c->arena, c->state_directory, clock_unix, &warning);
	if (warning != NULL)
		strbuf_printf(warnings, "%s\n", warning);
}

static void start_journal(struct app *app, struct strbuf *warnings)
{
	const struct config *c = app->config;
	const struct journal_options o = {
		.folder = c->state_directory,
		.records = c->journal.records != 0,
		.max_bytes = c->journal.max_size,
		.record_days = c->journal.record_days,
		.shadow_days = c->journal.shadow_days,
	};
	const char *warning = NULL;

	if (c->state_directory[0] == '\0')
		return;
	app->journal = journal_new(c->arena, &o, &warning);
	if (warning != NULL)
		strbuf_printf(warnings, "%s\n", warning);
}

bool app_start(struct app *app, void (*on_wait)(void), struct strbuf *errors,
	       struct strbuf *warnings)
{
	const struct config *c = app->config;
	struct dns_options o = app_dns_options(c);
	const char *err = NULL;

	o.on_outage = tell_outage;
	o.on_wait = on_wait;
	app->env.dns = dns_new(c->arena, &o, &err);
	if (app->env.dns == NULL) {
		strbuf_printf(errors, "resolver: %s\n",
			      err != NULL ? err : "cannot start");
		return false;
	}
	check_readable(c, warnings);
	start_meter(app, warnings);
	start_journal(app, warnings);
	return true;
}

void app_free(struct app *app)
{
	if (app == NULL)
		return;
	if (app->env.dns != NULL)
		dns_free(app->env.dns);
	keyring_free(app->keyring);
	awareness_free(app->awareness);
	dmarc_psl_free(app->suffixes);
	tables_place_free(app->tables);
	meter_free(app->meter);
	journal_free(app->journal);
	crypto_keycache_free(app->env.dkim.keycache);
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
