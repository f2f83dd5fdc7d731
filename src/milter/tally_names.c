/*
 * An open hash table of pointers.  A place that is taken stays taken, so a
 * search needs no lock, and whoever loses the race for a place looks again.
 */
#include "milter/tally_names.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 4096 /* a power of two, and never nearly full */

struct counter {
	atomic_uint_fast64_t n;
	const char *name, *action, *mode;
	char text[];
};

struct tally_names {
	atomic_size_t n;
	atomic_uint_fast64_t other;
	_Atomic(struct counter *) places[PLACES];
};

struct tally_names *tally_names_new(void)
{
	return mem_alloc(sizeof(struct tally_names));
}

void tally_names_free(struct tally_names *t)
{
	for (size_t i = 0; i < PLACES; i++)
		free(atomic_load(&t->places[i]));
	free(t);
}

/* FNV-1a: nobody outside chooses these names. */
static uint32_t hash(uint32_t h, const char *s)
{
	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return (h ^ 0xff) * 16777619u;
}

static const char *copy(char **at, const char *s)
{
	size_t n = strlen(s) + 1;
	char *ret = memcpy(*at, s, n);

	*at += n;
	return ret;
}

static struct counter *counter_new(const char *name, const char *action,
				   const char *mode)
{
	struct counter *c = mem_alloc(sizeof(*c) + strlen(name) +
				      strlen(action) + strlen(mode) + 3);
	char *at = c->text;

	c->name = copy(&at, name);
	c->action = copy(&at, action);
	c->mode = copy(&at, mode);
	return c;
}

static bool is(const struct counter *c, const char *name, const char *action,
	       const char *mode)
{
	return strcmp(c->name, name) == 0 && strcmp(c->action, action) == 0 &&
	       strcmp(c->mode, mode) == 0;
}

/* Takes the empty place; false when there are enough, or another was faster. */
static bool settle(struct tally_names *t, size_t place, struct counter *c)
{
	struct counter *nobody = NULL;

	if (atomic_fetch_add(&t->n, 1) < TALLY_NAMES_MAX &&
	    atomic_compare_exchange_strong(&t->places[place], &nobody, c))
		return true;
	atomic_fetch_sub(&t->n, 1);
	free(c);
	return false;
}

/* NULL: there is no room for it. */
static struct counter *counter_of(struct tally_names *t, const char *name,
				  const char *action, const char *mode)
{
	size_t at = hash(hash(hash(2166136261u, name), action), mode);
	struct counter *c;

	for (;; at++) {
		size_t place = at % PLACES;

		c = atomic_load(&t->places[place]);
		if (c == NULL &&
		    !settle(t, place, counter_new(name, action, mode)) &&
		    atomic_load(&t->places[place]) == NULL)
			return NULL;
		c = atomic_load(&t->places[place]);
		if (is(c, name, action, mode))
			return c;
	}
}

void tally_names_add(struct tally_names *t, const char *name,
		     const char *action, const char *mode)
{
	struct counter *c = counter_of(t, name, action, mode);

	atomic_fetch_add(c != NULL ? &c->n : &t->other, 1);
}

void tally_names_each(const struct tally_names *t,
		      void (*tell)(void *arg, const struct tally_named *n),
		      void *arg)
{
	uint64_t other = atomic_load(&t->other);

	for (size_t i = 0; i < PLACES; i++) {
		const struct counter *c = atomic_load(&t->places[i]);

		if (c != NULL)
			tell(arg,
			     &(struct tally_named){c->name, c->action, c->mode,
						   atomic_load(&c->n)});
	}
	if (other > 0)
		tell(arg, &(struct tally_named){"(other)", "", "", other});
}
