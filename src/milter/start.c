/*
 * Starts the services of an app, or takes them over from the one before.
 *
 * The text of a service's options says whether another would be the same: all
 * that it was made from, with what stood in the files that it read.
 */
#include "milter/app.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define OPTIONS_MAX 65536

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

/* Who could read a file as root, and cannot any more, will not see what it
 * says next: a credential that is revoked stays good. */
static void check_readable(const struct config *c, struct strbuf *warnings)
{
	const char *const files[] = {
		c->file, c->outbound.key_table, c->submission.sender_table,
		c->submission.sender_groups, c->submission.credentials};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (files[i][0] != '\0' && access(files[i], R_OK) != 0)
			strbuf_printf(warnings,
				      "%s: %s, so a reload cannot read it "
				      "again; give user \"%s\" the right to "
				      "read it\n",
				      files[i], strerror(errno), c->user);
}

static void hash_file(struct crypto_hash *h, const char *path)
{
	char buf[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = -1;

	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		crypto_hash_add(h, (struct slice){buf, (size_t)n});
	if (fd >= 0)
		close(fd);
}

/* A file of the options: its name and what stands in it now. */
static void add_file(struct strbuf *b, const char *path)
{
	unsigned char digest[SHA256_LEN];
	struct crypto_hash *h = crypto_hash_new();

	hash_file(h, path);
	crypto_hash_end(h, digest);
	crypto_hash_free(h);
	strbuf_printf(b, " %s=", path);
	for (size_t i = 0; i < sizeof(digest); i++)
		strbuf_printf(b, "%02x", digest[i]);
}

static void describe_dns(struct strbuf *b, const struct dns_options *o)
{
	strbuf_printf(b, "%d %u %u %zu", o->recursion, o->max_waiting,
		      o->query_timeout_ms, o->cache_bytes);
	for (size_t i = 0; i < o->nservers; i++)
		strbuf_printf(b, " %s", o->servers[i]);
	if (o->nservers == 0 && !o->recursion)
		add_file(b, "/etc/resolv.conf");
	if (o->trust_anchor_file != NULL)
		add_file(b, o->trust_anchor_file);
	if (o->zone_file != NULL)
		add_file(b, o->zone_file);
}

static void free_dns(void *dns)
{
	dns_free(dns);
}

static void free_meter(void *meter)
{
	meter_free(meter);
}

static void free_journal(void *journal)
{
	journal_free(journal);
}

/* From the app before, or NULL. */
static struct service *inherit(const struct app *before, enum app_service which,
			       struct strbuf *options)
{
	if (before == NULL)
		return NULL;
	return service_keep(before->services[which], strbuf_cstr(options));
}

static struct service *start_dns(const struct config *c,
				 const struct app *before,
				 struct dns_waiters *waiters,
				 struct strbuf *errors)
{
	struct dns_options o = app_dns_options(c);
	const char *err = NULL;
	struct service *s;
	struct strbuf b;
	struct dns *dns;

	strbuf_init(&b, c->arena, OPTIONS_MAX);
	describe_dns(&b, &o);
	s = inherit(before, APP_DNS, &b);
	if (s != NULL)
		return s;
	o.on_outage = tell_outage;
	o.waiters = waiters;
	dns = dns_new(c->arena, &o, &err);
	if (dns != NULL)
		return service_new(dns, free_dns, strbuf_cstr(&b));
	strbuf_printf(errors, "resolver: %s\n",
		      err != NULL ? err : "cannot start");
	return NULL;
}

static struct service *start_meter(const struct config *c,
				   const struct app *before,
				   struct strbuf *warnings)
{
	const char *warning = NULL;
	struct service *s;
	struct meter *m;
	struct strbuf b;

	if (c->submission.credentials[0] == '\0')
		return NULL;
	strbuf_init(&b, c->arena, OPTIONS_MAX);
	strbuf_adds(&b, c->state_directory);
	s = inherit(before, APP_METER, &b);
	if (s != NULL)
		return s;
	m = meter_new(c->arena, c->state_directory, clock_unix, &warning);
	if (warning != NULL)
		strbuf_printf(warnings, "%s\n", warning);
	return service_new(m, free_meter, strbuf_cstr(&b));
}

static struct service *start_journal(const struct config *c,
				     const struct app *before,
				     struct strbuf *warnings)
{
	const struct journal_options o = {
		.folder = c->state_directory,
		.records = c->journal.records != 0,
		.max_bytes = c->journal.max_size,
		.record_days = c->journal.record_days,
		.shadow_days = c->journal.shadow_days,
	};
	const char *warning = NULL;
	struct service *s;
	struct journal *j;
	struct strbuf b;

	if (c->state_directory[0] == '\0')
		return NULL;
	strbuf_init(&b, c->arena, OPTIONS_MAX);
	strbuf_printf(&b, "%d %lld %lld %lld %s", o.records,
		      (long long)o.max_bytes, (long long)o.record_days,
		      (long long)o.shadow_days, o.folder);
	s = inherit(before, APP_JOURNAL, &b);
	if (s != NULL)
		return s;
	j = journal_new(c->arena, &o, &warning);
	if (warning != NULL)
		strbuf_printf(warnings, "%s\n", warning);
	return service_new(j, free_journal, strbuf_cstr(&b));
}

static void free_revocations(void *revocations)
{
	revocations_free(revocations);
}

static struct service *start_revocations(const struct config *c,
					 const struct app *before,
					 struct strbuf *warnings)
{
	bool strip = c->submission.login_realm == LOGIN_REALM_STRIP;
	struct revocations *r;
	const char *why;
	struct service *s;
	struct strbuf b;

	if (c->state_directory[0] == '\0')
		return NULL;
	strbuf_init(&b, c->arena, OPTIONS_MAX);
	strbuf_printf(&b, "%d %s", strip, c->state_directory);
	s = inherit(before, APP_REVOCATIONS, &b);
	if (s == NULL) {
		r = revocations_new(c->state_directory, strip);
		s = service_new(r, free_revocations, strbuf_cstr(&b));
	}
	if (!revocations_check(service_get(s), c->arena, &why))
		strbuf_printf(warnings,
			      "it cannot be told which logins are revoked: "
			      "%s\n",
			      why);
	return s;
}

bool app_start(struct app *app, const struct app *before, struct strbuf *errors,
	       struct strbuf *warnings)
{
	const struct config *c = app->config;
	struct service **s = app->services;

	s[APP_DNS] = start_dns(
		c, before, app->process != NULL ? app->process->waiters : NULL,
		errors);
	if (s[APP_DNS] == NULL)
		return false;
	if (before != NULL) /* a record's key does not depend on options */
		app_set_keycache(
			app, service_keep(before->services[APP_KEYCACHE], ""));
	check_readable(c, warnings);
	s[APP_METER] = start_meter(c, before, warnings);
	s[APP_JOURNAL] = start_journal(c, before, warnings);
	s[APP_REVOCATIONS] = start_revocations(c, before, warnings);
	app->env.dns = service_get(s[APP_DNS]);
	app->meter = service_get(s[APP_METER]);
	app->journal = service_get(s[APP_JOURNAL]);
	app->revocations = service_get(s[APP_REVOCATIONS]);
	return true;
}
