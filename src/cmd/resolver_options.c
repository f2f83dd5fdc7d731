/* The options that say who answers DNS questions. */
#include "cmd/resolver_options.h"

#include <stdio.h>
#include <sysexits.h>

#include "cmd/cmd.h"

#define QUERY_TIMEOUT_MS 6000
#define CACHE_BYTES	 (1 << 20)

bool resolver_options_take(struct resolver_options *o, int c, const char *arg)
{
	switch (c) {
	case RESOLVER_OPTION_ZONE:
		o->zone = arg;
		return true;
	case RESOLVER_OPTION_SERVER:
		if (o->nservers < RESOLVER_SERVERS_MAX)
			o->servers[o->nservers] = arg;
		o->nservers++;
		return true;
	case RESOLVER_OPTION_ANCHOR:
		o->trust_anchor = arg;
		return true;
	case RESOLVER_OPTION_RECURSION:
		o->recursion = true;
		return true;
	default:
		return false;
	}
}

/* What does not go together, or NULL. */
static const char *conflict(const struct resolver_options *o)
{
	if (o->nservers > RESOLVER_SERVERS_MAX)
		return "more than 8 --server: leave some out";
	if (o->zone != NULL &&
	    (o->nservers > 0 || o->recursion || o->trust_anchor != NULL))
		return "--zone answers alone: leave --server, --recursion and "
		       "--trust-anchor out";
	if (o->recursion && o->nservers > 0)
		return "--recursion asks no --server: leave one of them out";
	return NULL;
}

struct dns *resolver_open(struct arena *a, const char *command,
			  const struct resolver_options *o, int *status)
{
	struct dns_options dns = {
		.servers = o->servers,
		.nservers = o->nservers,
		.recursion = o->recursion,
		.trust_anchor_file = o->trust_anchor,
		.zone_file = o->zone,
		.query_timeout_ms = QUERY_TIMEOUT_MS,
		.cache_bytes = CACHE_BYTES,
	};
	const char *err = conflict(o);
	struct dns *d;

	if (err != NULL) {
		*status = cmd_refuse(command, "%s", err);
		return NULL;
	}
	d = dns_new(a, &dns, &err);
	if (d == NULL) {
		fprintf(stderr, "mailseal %s: %s\n", command, err);
		*status = EX_CONFIG;
	}
	return d;
}
