/* Builds what all sessions share. */
#include "milter/app.h"

#include <stdlib.h>

#include "base/log.h"

#define KEYCACHE_KEYS 10000

static void load_keys(struct app *app, const struct config *c,
		      struct strbuf *errors)
{
	struct arena *a = arena_new();

	for (size_t i = 0; i < c->outbound.ndomains; i++) {
		const struct config_domain *d = &c->outbound.domains[i];
		for (size_t j = 0; j < d->nkeys; j++) {
			const char *err = "cannot be used";
			if (keyring_add(
				    app->keyring, a, d->domain,
				    d->keys[j].selector, d->keys[j].file,
				    (uint32_t)c->outbound.signature_lifetime,
				    &err) == 0)
				continue;
			strbuf_printf(errors, "%s: %s\n", d->keys[j].source,
				      err);
		}
	}
	arena_free(a);
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
}

struct app *app_new(const struct config *c, struct strbuf *errors)
{
	struct app *app = mem_alloc(sizeof(*app));
	size_t before = errors->n;

	app->config = c;
	app->keyring = keyring_new();
	app->limits = (struct field_limits){
		.max_fields = (size_t)c->limits.header_fields,
		.max_field_bytes = (size_t)c->limits.field_size,
		.max_bytes = (size_t)c->limits.header_size,
	};
	fill_env(&app->env, c);
	load_keys(app, c, errors);
	if (errors->n > before) {
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
		log_warn("no DNS server answers; until one does, what is not "
			 "in the cache is a temporary error");
	else
		log_info("a DNS server answers again");
}

bool app_start(struct app *app, struct strbuf *errors)
{
	const struct config *c = app->config;
	struct dns_options o = {
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
		.on_outage = tell_outage,
	};
	const char *err = NULL;

	app->env.dns = dns_new(c->arena, &o, &err);
	if (app->env.dns == NULL)
		strbuf_printf(errors, "resolver: %s\n",
			      err != NULL ? err : "cannot start");
	return app->env.dns != NULL;
}

void app_free(struct app *app)
{
	if (app == NULL)
		return;
	if (app->env.dns != NULL)
		dns_free(app->env.dns);
	keyring_free(app->keyring);
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
