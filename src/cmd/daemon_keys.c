/* A key at a time, in the order of domains, as long as there is room. */
#include "cmd/daemon_keys.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "mail/domain.h"

#define KEY_ROOM   16384 /* bytes: more than any key takes */
#define ERROR_SHOW 1000

struct listing {
	struct arena *arena; /* of one key */
	const struct app *app;
	const char *domain;
	struct strbuf *text;
	size_t n, left_out;
};

static bool is_meant(const struct listing *l, const struct key_entry *e)
{
	return l->domain == NULL || strcmp(l->domain, e->domain) == 0 ||
	       strcmp(l->domain, e->signing_domain) == 0;
}

static const char *kind_of(const struct listing *l,
			   const struct keyring_standing *k)
{
	if (!k->loaded)
		return NULL;
	if (k->type == CRYPTO_ED25519)
		return "ed25519";
	return arena_printf(l->arena, "rsa-%u", k->bits);
}

/* Seconds since 1970; 0: not yet. */
static int64_t used_at(const struct keyring_standing *k)
{
	if (k->used_ms == 0)
		return 0;
	return clock_unix() - (clock_mono_ms() - k->used_ms) / 1000;
}

static const char *time_text(struct arena *a, int64_t t)
{
	time_t seconds = (time_t)t;
	char text[64];
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return "?";
	return arena_strdup(a, text);
}

static void write_standing(const struct listing *l,
			   const struct keyring_standing *k)
{
	const char *kind = kind_of(l, k);

	if (!k->known) {
		strbuf_adds(l->text, "not in memory");
		return;
	}
	if (!k->usable) {
		strbuf_adds(l->text, "UNUSABLE: ");
		strbuf_add_escaped(l->text, slice_of(k->error), ERROR_SHOW);
		return;
	}
	strbuf_printf(l->text, "%s%s%s", kind != NULL ? kind : "",
		      kind != NULL ? " " : "", key_state_name(k->state));
	if (k->since > 0)
		strbuf_printf(l->text, " since %s",
			      time_text(l->arena, k->since));
}

static void write_line(const struct listing *l, const struct key_entry *e,
		       const struct keyring_standing *k)
{
	strbuf_printf(l->text, "%s %s: ", e->domain, e->selector);
	write_standing(l, k);
	if (k->used_ms != 0)
		strbuf_printf(l->text, ", used %s",
			      time_text(l->arena, used_at(k)));
	strbuf_adds(l->text, ", ");
	strbuf_add_escaped(l->text, slice_of(e->file), KEY_ROOM / 8);
	strbuf_addc(l->text, '\n');
}

static void number_or_null(struct strbuf *b, const char *name, int64_t n)
{
	if (n > 0)
		json_number(b, name, n);
	else
		json_text(b, name, NULL);
}

static void write_json(const struct listing *l, const struct key_entry *e,
		       const struct keyring_standing *k)
{
	struct strbuf *b = l->text;

	json_next(b);
	strbuf_addc(b, '{');
	json_text(b, "domain", e->domain);
	json_text(b, "signing_domain", e->signing_domain);
	json_text(b, "selector", e->selector);
	json_text(b, "algorithm", kind_of(l, k));
	json_text(b, "state", k->known ? key_state_name(k->state) : NULL);
	number_or_null(b, "since", k->since);
	number_or_null(b, "used", used_at(k));
	json_name(b, "usable");
	strbuf_adds(b, !k->known ? "null" : k->usable ? "true" : "false");
	json_text(b, "error", k->error);
	json_text(b, "file", e->file);
	json_text(b, "source", e->source);
	strbuf_addc(b, '}');
}

static void write_keys(struct listing *l,
		       void (*write)(const struct listing *l,
				     const struct key_entry *e,
				     const struct keyring_standing *k))
{
	struct keyring *ring = l->app->keyring;

	for (size_t i = 0; i < keyring_size(ring); i++) {
		const struct key_entry *e = keyring_entry(ring, i);
		struct keyring_standing k;

		if (!is_meant(l, e))
			continue;
		l->n++;
		if (l->text->n + KEY_ROOM > l->text->max) {
			l->left_out++;
			continue;
		}
		l->arena = arena_new();
		keyring_standing_get(ring, i, l->arena, &k);
		write(l, e, &k);
		arena_free(l->arena);
	}
}

static void list_json(struct listing *l)
{
	strbuf_adds(l->text, "{\"keys\":[");
	write_keys(l, write_json);
	strbuf_adds(l->text, "]");
	json_number(l->text, "entries", (int64_t)l->n);
	json_number(l->text, "left_out", (int64_t)l->left_out);
	strbuf_adds(l->text, "}\n");
}

static void list_lines(struct listing *l)
{
	write_keys(l, write_line);
	if (l->n == 0)
		strbuf_adds(l->text, "no key\n");
	if (l->left_out > 0)
		strbuf_printf(l->text,
			      "(%zu more, for which an answer has no room; ask "
			      "for one domain)\n",
			      l->left_out);
}

int daemon_keys(struct app_place *place, const char *domain, bool json,
		struct strbuf *text)
{
	struct app *app = app_get(place);
	struct arena *a = arena_new();
	struct listing l = {.app = app, .text = text, .domain = domain};

	/* "*.example.com" is one as it is */
	if (domain != NULL && domain[0] != '*')
		l.domain = domain_canon(a, slice_of(domain));
	if (domain != NULL && l.domain == NULL)
		strbuf_adds(text, "that is no domain\n");
	else if (json)
		list_json(&l);
	else
		list_lines(&l);
	arena_free(a);
	app_unref(app);
	return domain != NULL && l.domain == NULL ? EX_USAGE : 0;
}
