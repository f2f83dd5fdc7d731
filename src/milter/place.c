/* Swaps configurations.  The mutex guards the pointer, never the building. */
#include "milter/place.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct app_place {
	pthread_mutex_t lock;
	struct app *current;
	struct reload_state state;
};

struct app_place *app_place_new(struct app *app)
{
	struct app_place *p = mem_alloc(sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	p->current = app;
	return p;
}

void app_place_free(struct app_place *p)
{
	if (p == NULL)
		return;
	app_unref(p->current);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

struct app *app_get(struct app_place *p)
{
	struct app *app;

	pthread_mutex_lock(&p->lock);
	app = app_ref(p->current);
	pthread_mutex_unlock(&p->lock);
	return app;
}

void reload_state_get(struct app_place *p, struct reload_state *ret)
{
	pthread_mutex_lock(&p->lock);
	*ret = p->state;
	pthread_mutex_unlock(&p->lock);
}

/* `next`: NULL when there is none. */
static void put(struct app_place *p, struct app *next)
{
	struct app *old = NULL;

	pthread_mutex_lock(&p->lock);
	if (next != NULL) {
		old = p->current;
		p->current = next;
		p->state.done++;
	} else {
		p->state.failed++;
	}
	p->state.ok = next != NULL;
	p->state.time = clock_unix();
	pthread_mutex_unlock(&p->lock);
	app_unref(old);
}

/* Of the configuration; those of the key table are read when needed. */
static bool is_unusable(struct keyring *ring, size_t i)
{
	struct keyring_standing k;

	keyring_standing_get(ring, i, NULL, &k);
	return k.known && !k.usable && !keyring_entry(ring, i)->from_table;
}

/* Is the key of that name there, and unusable, too?  *at: where its domain may
 * begin; it only grows, since both are in the order of domains. */
static bool was_unusable(struct keyring *ring, size_t *at,
			 const struct key_entry *e)
{
	size_t n = keyring_size(ring);

	while (*at < n &&
	       strcmp(keyring_entry(ring, *at)->domain, e->domain) < 0)
		++*at;
	for (size_t i = *at; i < n; i++) {
		const struct key_entry *o = keyring_entry(ring, i);

		if (strcmp(o->domain, e->domain) != 0)
			break;
		if (strcmp(o->selector, e->selector) == 0 &&
		    strcmp(o->signing_domain, e->signing_domain) == 0)
			return is_unusable(ring, i);
	}
	return false;
}

/* A key that signed until now must not be lost by a slip. */
static bool check_keys(const struct app *old, const struct app *next,
		       struct strbuf *errors, struct strbuf *warnings)
{
	const struct key_entry *first = NULL;
	size_t n = 0, at = 0;

	for (size_t i = 0; i < keyring_size(next->keyring); i++) {
		const struct key_entry *e = keyring_entry(next->keyring, i);

		if (!is_unusable(next->keyring, i) ||
		    was_unusable(old->keyring, &at, e))
			continue;
		first = first != NULL ? first : e;
		n++;
	}
	if (n == 0)
		return true;
	strbuf_adds(errors, strbuf_cstr(warnings));
	strbuf_printf(errors,
		      "%s: %zu key%s cannot be used that could, or %s not "
		      "there, before, as %s %s\n",
		      next->config->file, n, n == 1 ? "" : "s",
		      n == 1 ? "was" : "were", first->domain, first->selector);
	return false;
}

static void check_constant(const struct config *old, const struct config *next,
			   struct strbuf *warnings)
{
	const struct {
		const char *name, *old, *next;
	} texts[] = {
		{"socket", old->socket, next->socket},
		{"socket_mode", old->socket_mode, next->socket_mode},
		{"socket_group", old->socket_group, next->socket_group},
		{"user", old->user, next->user},
		{"metrics.listen", old->metrics.listen, next->metrics.listen},
		{"control.socket", old->control.socket, next->control.socket},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (strcmp(texts[i].old, texts[i].next) != 0)
			strbuf_printf(warnings,
				      "%s:0: %s is another, and takes effect "
				      "at a restart\n",
				      next->file, texts[i].name);
	if (old->sandbox != next->sandbox)
		strbuf_printf(warnings,
			      "%s:0: sandbox is another, and takes effect at a "
			      "restart\n",
			      next->file);
}

static bool is_allowed(const struct app_process *p, const struct config *c,
		       struct strbuf *errors)
{
	return p == NULL || p->allows == NULL || p->allows(c, errors);
}

static struct app *build(const struct app *old, struct strbuf *errors,
			 struct strbuf *warnings)
{
	struct config *c = config_load(old->config->file, errors);
	struct app *next = NULL;

	if (c != NULL)
		next = app_new(c, old->process, errors, warnings);
	if (next == NULL) {
		config_free(c);
		return NULL;
	}
	check_constant(old->config, c, warnings);
	if (is_allowed(old->process, c, errors) &&
	    check_keys(old, next, errors, warnings) &&
	    app_start(next, old, errors, warnings))
		return next;
	app_unref(next);
	return NULL;
}

bool reload(struct app_place *p, struct strbuf *errors, struct strbuf *warnings)
{
	struct app *old = app_get(p);
	struct app *next = build(old, errors, warnings);

	put(p, next);
	app_unref(old);
	return next != NULL;
}
