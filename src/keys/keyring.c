/*
 * Private keys by domain, sorted for binary search: an installation may sign
 * for thousands of domains.
 *
 * Not a file reader (keyd.c) and not a policy (config/ says what is added).
 * Built by one thread; immutable and shared afterwards.
 */
#include "keys/keyring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mail/domain.h"

#define KEYS_PER_DOMAIN 8

struct entry {
	char *domain;
	size_t n;
	struct dkim_signing_key keys[KEYS_PER_DOMAIN];
};

struct keyring {
	size_t n;
	size_t cap;
	struct entry **v; /* sorted by domain */
};

struct keyring *keyring_new(void)
{
	struct keyring *k = mem_alloc(sizeof(*k));

	*k = (struct keyring){.n = 0};
	return k;
}

static void entry_free(struct entry *e)
{
	for (size_t i = 0; i < e->n; i++) {
		crypto_privkey_free(unconst(e->keys[i].key));
		free(unconst(e->keys[i].selector));
	}
	free(e->domain);
	free(e);
}

void keyring_free(struct keyring *k)
{
	if (k == NULL)
		return;
	for (size_t i = 0; i < k->n; i++)
		entry_free(k->v[i]);
	free(k->v);
	free(k);
}

/* Where `domain` stands or would stand. */
static size_t place_of(const struct keyring *k, const char *domain)
{
	size_t low = 0, high = k->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (strcmp(k->v[mid]->domain, domain) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct entry *entry_at(const struct keyring *k, size_t at,
			      const char *domain)
{
	if (at < k->n && strcmp(k->v[at]->domain, domain) == 0)
		return k->v[at];
	return NULL;
}

static struct entry *entry_insert(struct keyring *k, size_t at,
				  const char *domain)
{
	struct entry *e = mem_alloc(sizeof(*e));

	memset(e, 0, sizeof(*e));
	e->domain = mem_strdup(domain);
	if (k->n == k->cap) {
		k->cap = k->cap > 0 ? 2 * k->cap : 8;
		k->v = mem_realloc(k->v, k->cap * sizeof(struct entry *));
	}
	memmove(k->v + at + 1, k->v + at, (k->n - at) * sizeof(struct entry *));
	k->v[at] = e;
	k->n++;
	return e;
}

static int check_name(struct arena *a, const char *what, const char *name,
		      const char **err)
{
	const char *canon = domain_canon(a, slice_of(name));

	if (canon != NULL && strcmp(canon, name) == 0)
		return 0;
	if (canon != NULL)
		*err = arena_printf(a, "%s %s: cure: write it as %s", what,
				    name, canon);
	else
		*err = arena_printf(a, "%s \"%s\" is no domain name", what,
				    name);
	return -EINVAL;
}

static int check_room(struct arena *a, const struct entry *e,
		      const char *selector, const char **err)
{
	/* RFC 8463 6: two keys of one domain need two selectors. */
	for (size_t i = 0; i < e->n; i++) {
		if (strcmp(e->keys[i].selector, selector) == 0) {
			*err = arena_printf(a,
					    "%s: selector %s is there twice; "
					    "cure: one selector for each key",
					    e->domain, selector);
			return -EEXIST;
		}
	}
	if (e->n == KEYS_PER_DOMAIN) {
		*err = arena_printf(a, "%s: more than %d keys", e->domain,
				    KEYS_PER_DOMAIN);
		return -E2BIG;
	}
	return 0;
}

int keyring_add(struct keyring *k, struct arena *a, const char *domain,
		const char *selector, const char *file, uint32_t lifetime,
		const char **err)
{
	struct crypto_privkey *key = NULL;
	struct entry *e;
	size_t at;
	int status = check_name(a, "domain", domain, err);

	if (status == 0)
		status = check_name(a, "selector", selector, err);
	if (status != 0)
		return status;
	at = place_of(k, domain);
	e = entry_at(k, at, domain);
	if (e != NULL)
		status = check_room(a, e, selector, err);
	if (status == 0)
		status = keyd_load(a, file, &key, err);
	if (status != 0)
		return status;
	if (e == NULL)
		e = entry_insert(k, at, domain);
	e->keys[e->n++] = (struct dkim_signing_key){
		.domain = e->domain,
		.selector = mem_strdup(selector),
		.key = key,
		.lifetime = lifetime,
	};
	return 0;
}

size_t keyring_find(const struct keyring *k, const char *domain,
		    const struct dkim_signing_key **ret)
{
	const struct entry *e = entry_at(k, place_of(k, domain), domain);

	if (e == NULL)
		return 0;
	*ret = e->keys;
	return e->n;
}

size_t keyring_domains(const struct keyring *k)
{
	return k->n;
}
