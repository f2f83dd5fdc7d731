/*
 * mailseal key list, check, publish, activate, retire: the life of the keys
 * that the configuration names.  States are kept beside the key files
 * (keys/state.c); mailseald only reads them.
 */
#include "cmd/key.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/progress.h"
#include "cmd/cmd.h"
#include "cmd/control_call.h"
#include "cmd/progress.h"
#include "milter/app.h"

#define ERRORS_MAX  65536
#define DNS_WAIT_MS 20000
#define DNS_QUERIES 10
#define RSA_ADVISED 2048 /* RFC 8301 3.2 */
#define STRING_MAX  255
#define NO_EXPIRY   (30 * 86400) /* a record stays, without x= */

/* A key of the configuration. */
struct subject {
	const struct key_entry *entry;
	const char *name; /* of its record */
	struct crypto_privkey *key;
	enum key_state state;
	int64_t since;
};

struct world {
	struct arena *arena;
	struct config *config;
	struct keyring *keyring;
};

static int complain(const char *what)
{
	fprintf(stderr, "mailseal key: %s\n", what);
	return EX_CONFIG;
}

static int world_open(struct world *w, struct arena *a,
		      const struct key_arguments *o)
{
	struct strbuf errors;

	*w = (struct world){.arena = a};
	strbuf_init(&errors, a, ERRORS_MAX);
	w->config = config_load(o->config, &errors);
	if (w->config != NULL)
		w->keyring = app_keyring_new(w->config, NULL, &errors);
	if (w->keyring != NULL)
		return 0;
	fputs(strbuf_cstr(&errors), stderr);
	return EX_CONFIG;
}

static void world_close(struct world *w)
{
	keyring_free(w->keyring);
	config_free(w->config);
}

/* Loads one; false and one line in *err. */
static bool subject_load(struct world *w, const struct key_entry *e,
			 struct subject *ret, const char **err)
{
	*ret = (struct subject){.entry = e};
	ret->name =
		dkim_published_name(w->arena, e->signing_domain, e->selector);
	return key_state_read(w->arena, e->file, &ret->state, &ret->since,
			      err) &&
	       key_file_load(w->arena, e->file, &ret->key, err) == 0;
}

/* Does --domain and --selector mean this one?  Either may be left out. */
static bool is_meant(const struct key_entry *e, const struct key_arguments *o)
{
	return (o->domain == NULL || strcmp(o->domain, e->domain) == 0 ||
		strcmp(o->domain, e->signing_domain) == 0) &&
	       (o->selector == NULL || strcmp(o->selector, e->selector) == 0);
}

/* The one key that --domain and --selector name; 0 or an exit status. */
static int subject_find(struct world *w, const struct key_arguments *o,
			struct subject *ret)
{
	const struct key_entry *found = NULL;
	const char *err = NULL;

	for (size_t i = 0; i < keyring_size(w->keyring); i++) {
		const struct key_entry *e = keyring_entry(w->keyring, i);

		if (is_meant(e, o) &&
		    (found == NULL || strcmp(found->file, e->file) != 0))
			found = e;
	}
	if (found == NULL)
		return complain(arena_printf(
			w->arena,
			"%s names no key of %s with selector %s; add it to "
			"outbound.domains or to the key table",
			o->config, o->domain, o->selector));
	if (subject_load(w, found, ret, &err))
		return 0;
	return complain(err);
}

static int subject_set(struct world *w, const struct subject *s,
		       enum key_state state)
{
	const char *err = NULL;

	if (key_state_write(w->arena, s->entry->file, state, clock_unix(),
			    &err))
		return 0;
	fprintf(stderr, "mailseal key: %s\n", err);
	return EX_CANTCREAT;
}

static const char *time_text(struct arena *a, int64_t t)
{
	time_t seconds = (time_t)t;
	char buf[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return arena_strdup(a, buf);
}

/* ---- list ---- */

static const char *kind_of(struct arena *a, const struct crypto_privkey *k)
{
	if (crypto_privkey_type(k) == CRYPTO_ED25519)
		return "ed25519";
	return arena_printf(a, "rsa-%u", crypto_privkey_bits(k));
}

/* Calls `each` for every key that is meant; the worst status. */
static int for_each(struct world *w, const struct key_arguments *o,
		    int (*each)(struct world *w, struct dns *d,
				struct subject *s),
		    struct dns *d)
{
	int status = 0;
	size_t n = 0;

	for (size_t i = 0; i < keyring_size(w->keyring); i++) {
		const struct key_entry *e = keyring_entry(w->keyring, i);
		const char *err = NULL;
		struct subject s;

		progress_step("keys", i, keyring_size(w->keyring));
		if (!is_meant(e, o))
			continue;
		n++;
		if (subject_load(w, e, &s, &err)) {
			if (each(w, d, &s) != 0)
				status = 1;
		} else {
			printf("%s %s: unusable: %s\n", e->domain, e->selector,
			       err);
			status = 1;
		}
		crypto_privkey_free(s.key);
	}
	if (n == 0)
		printf("no key\n");
	return status;
}

static int list_one(struct world *w, struct dns *d, struct subject *s)
{
	(void)d;
	printf("%s %s: %s %s%s%s %s\n", s->entry->domain, s->entry->selector,
	       kind_of(w->arena, s->key), key_state_name(s->state),
	       s->since > 0 ? " since " : "",
	       s->since > 0 ? time_text(w->arena, s->since) : "",
	       s->entry->file);
	return 0;
}

int key_list(struct arena *a, const struct key_arguments *o)
{
	struct world w;
	int status = world_open(&w, a, o);

	if (status == 0)
		status = for_each(&w, o, list_one, NULL);
	world_close(&w);
	return status;
}

/* ---- check ---- */

/* Is what the DNS says right for a key in that state? */
static bool is_right(enum key_state state, enum dkim_published dns)
{
	switch (state) {
	case KEY_NEW:
		return dns == DKIM_PUBLISHED_MISSING ||
		       dns == DKIM_PUBLISHED_SAME;
	case KEY_PUBLISHED:
	case KEY_ACTIVE:
	case KEY_RETIRING:
		return dns == DKIM_PUBLISHED_SAME;
	case KEY_REVOKED:
		return dns == DKIM_PUBLISHED_REVOKED ||
		       dns == DKIM_PUBLISHED_MISSING;
	}
	return false;
}

static enum dkim_published compare(struct world *w, struct dns_budget *b,
				   const struct subject *s, const char **what)
{
	const struct dkim_signing_key key = {
		.domain = s->entry->signing_domain,
		.selector = s->entry->selector,
		.key = s->key,
		.identity = s->entry->identity,
	};

	return dkim_published_compare(w->arena, b, &key, what);
}

static int check_one(struct world *w, struct dns *d, struct subject *s)
{
	struct dns_budget *b = dns_budget_new(d, DNS_WAIT_MS, DNS_QUERIES);
	struct slice text = key_record_text(w->arena, s->key);
	const char *what;
	enum dkim_published dns = compare(w, b, s, &what);
	bool short_key = crypto_privkey_type(s->key) == CRYPTO_RSA &&
			 crypto_privkey_bits(s->key) < RSA_ADVISED;
	bool right = is_right(s->state, dns) && !short_key;

	printf("%s %s: %s: %s, in DNS %s", s->entry->domain, s->entry->selector,
	       right ? "ok" : "WRONG", key_state_name(s->state), what);
	if (short_key)
		printf("; RSA key of %u bits is too short, make one of %d",
		       crypto_privkey_bits(s->key), RSA_ADVISED);
	if (text.n > STRING_MAX)
		printf("; its record of %zu bytes needs %zu strings", text.n,
		       (text.n + STRING_MAX - 1) / STRING_MAX);
	printf("\n");
	dns_budget_free(b);
	return right ? 0 : 1;
}

static struct dns *resolver_new(struct world *w, const struct dns_options *o)
{
	const char *err = NULL;
	struct dns *d = dns_new(w->arena, o, &err);

	if (d == NULL)
		complain(err != NULL ? err : "cannot start the resolver");
	return d;
}

int key_check(struct arena *a, const struct key_arguments *o)
{
	struct progress_view view = {0};
	const struct progress show = {progress_show_text, &view};
	struct dns_options options;
	struct world w;
	struct dns *d;
	int status;

	if (isatty(STDOUT_FILENO) != 1) /* else the lines show it */
		progress_set(&show);
	status = world_open(&w, a, o);
	if (status == 0) {
		options = app_dns_options(w.config);
		d = resolver_new(&w, &options);
		status = d != NULL ? for_each(&w, o, check_one, d) : EX_CONFIG;
		dns_free(d);
	}
	progress_set(NULL);
	progress_end(&view);
	world_close(&w);
	return status;
}

/* ---- publish ---- */

int key_publish(struct arena *a, const struct key_arguments *o)
{
	bool nsupdate = strcmp(o->format, "nsupdate") == 0;
	struct subject s = {0};
	struct world w;
	int status = world_open(&w, a, o);

	if (status == 0)
		status = subject_find(&w, o, &s);
	if (status == 0 && s.state == KEY_NEW)
		status = subject_set(&w, &s, KEY_PUBLISHED);
	if (status == 0)
		key_record_print(s.name,
				 key_record_text(a, s.state == KEY_REVOKED
							    ? NULL
							    : s.key),
				 nsupdate);
	crypto_privkey_free(s.key);
	world_close(&w);
	return status;
}

/* ---- activate ---- */

/* Does this server publish the key? */
static bool is_seen(struct world *w, const struct subject *s,
		    const struct dns_options *o, const char *server)
{
	struct dns *d = resolver_new(w, o);
	struct dns_budget *b;
	const char *what;
	enum dkim_published dns;

	if (d == NULL)
		return false;
	b = dns_budget_new(d, DNS_WAIT_MS, DNS_QUERIES);
	dns = compare(w, b, s, &what);
	printf("%s: %s: %s\n", server, s->name, what);
	dns_budget_free(b);
	dns_free(d);
	return dns == DKIM_PUBLISHED_SAME;
}

/* Every configured server is asked by itself: mail may be verified by any. */
static bool is_published(struct world *w, const struct subject *s)
{
	struct dns_options o = app_dns_options(w->config);
	const char *const *servers = o.servers;
	size_t n = o.nservers;
	bool ok = true;

	if (n == 0)
		return is_seen(w, s, &o,
			       o.zone_file != NULL ? o.zone_file : "DNS");
	o.nservers = 1;
	for (size_t i = 0; i < n; i++) {
		o.servers = &servers[i];
		if (!is_seen(w, s, &o, servers[i]))
			ok = false;
	}
	return ok;
}

int key_activate(struct arena *a, const struct key_arguments *o)
{
	struct subject s = {0};
	struct world w;
	int status = world_open(&w, a, o);

	if (status == 0)
		status = subject_find(&w, o, &s);
	if (status == 0 && !is_published(&w, &s)) {
		fprintf(stderr,
			"mailseal key: not activated: every server must give "
			"the record of mailseal key publish; publish it, or "
			"wait until it is there\n");
		status = 1;
	}
	if (status == 0)
		status = subject_set(&w, &s, KEY_ACTIVE);
	if (status == 0) {
		printf("active: mailseald signs with it\n");
		control_reload(w.config->control.socket);
	}
	crypto_privkey_free(s.key);
	world_close(&w);
	return status;
}

/* ---- retire ---- */

static int64_t record_needed_until(const struct subject *s, int64_t retired)
{
	uint32_t x = s->entry->lifetime;

	return retired + (x > 0 ? (int64_t)x : NO_EXPIRY);
}

static int retire(struct world *w, const struct subject *s)
{
	int status = subject_set(w, s, KEY_RETIRING);

	if (status != 0)
		return status;
	printf("retiring: mailseald signs no more with it; the record of %s "
	       "must stay until %s\n",
	       s->name,
	       time_text(w->arena, record_needed_until(s, clock_unix())));
	control_reload(w->config->control.socket);
	return 0;
}

static int revoke_key(struct world *w, const struct subject *s, bool force)
{
	int64_t until = record_needed_until(s, s->since);
	bool early = s->state != KEY_RETIRING || clock_unix() < until;
	int status;

	if (early && !force) {
		fprintf(stderr,
			"mailseal key: not revoked: %s%s; --force revokes a "
			"key that was stolen\n",
			s->state == KEY_RETIRING
				? "mail signed with it may arrive until "
				: "retire it first",
			s->state == KEY_RETIRING ? time_text(w->arena, until)
						 : "");
		return 1;
	}
	status = subject_set(w, s, KEY_REVOKED);
	if (status == 0)
		key_record_print(s->name, key_record_text(w->arena, NULL),
				 false);
	if (status == 0 && s->state == KEY_ACTIVE)
		control_reload(w->config->control.socket);
	return status;
}

int key_retire(struct arena *a, const struct key_arguments *o)
{
	struct subject s = {0};
	struct world w;
	int status = world_open(&w, a, o);

	if (status == 0)
		status = subject_find(&w, o, &s);
	if (status == 0)
		status = o->revoked ? revoke_key(&w, &s, o->force)
				    : retire(&w, &s);
	crypto_privkey_free(s.key);
	world_close(&w);
	return status;
}
