/* A sorted array of domains, behind a lock. */
#include "milter/preflight_tally.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct preflight_tally {
	pthread_mutex_t lock;
	size_t n;
	struct preflight_count *v[PREFLIGHT_DOMAINS_MAX];
	struct preflight_count none, other;
};

struct preflight_tally *preflight_tally_new(void)
{
	struct preflight_tally *t = mem_alloc(sizeof(*t));

	pthread_mutex_init(&t->lock, NULL);
	t->none.domain = "(none)";
	t->other.domain = "(other)";
	return t;
}

void preflight_tally_free(struct preflight_tally *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n; i++) {
		free(unconst(t->v[i]->domain));
		free(t->v[i]);
	}
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* Where `domain` is, or would be. */
static size_t place_of(const struct preflight_tally *t, const char *domain)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(t->v[middle]->domain, domain) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct preflight_count *count_of(struct preflight_tally *t,
					const char *domain)
{
	size_t at;

	if (domain == NULL)
		return &t->none;
	at = place_of(t, domain);
	if (at < t->n && strcmp(t->v[at]->domain, domain) == 0)
		return t->v[at];
	if (t->n == PREFLIGHT_DOMAINS_MAX)
		return &t->other;
	memmove(&t->v[at + 1], &t->v[at], (t->n - at) * sizeof(*t->v));
	t->v[at] = mem_alloc(sizeof(*t->v[at]));
	t->v[at]->domain = mem_strdup(domain);
	t->n++;
	return t->v[at];
}

enum preflight_rule preflight_tally_add(struct preflight_tally *t,
					const char *domain,
					const struct preflight_report *r)
{
	enum preflight_rule first = PREFLIGHT_RULES;
	struct preflight_count *c;
	bool unknown = false;

	pthread_mutex_lock(&t->lock);
	c = count_of(t, domain);
	c->checked++;
	for (size_t i = 0; i < PREFLIGHT_RULES; i++) {
		unknown = unknown || r->v[i].status == PREFLIGHT_UNKNOWN;
		if (r->v[i].status != PREFLIGHT_BAD)
			continue;
		if (c->bad[i]++ == 0 && first == PREFLIGHT_RULES)
			first = (enum preflight_rule)i;
	}
	c->unknown += unknown;
	pthread_mutex_unlock(&t->lock);
	return first;
}

void preflight_tally_each(struct preflight_tally *t,
			  void (*tell)(void *arg,
				       const struct preflight_count *c),
			  void *arg)
{
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->n; i++)
		tell(arg, t->v[i]);
	if (t->none.checked > 0)
		tell(arg, &t->none);
	if (t->other.checked > 0)
		tell(arg, &t->other);
	pthread_mutex_unlock(&t->lock);
}
