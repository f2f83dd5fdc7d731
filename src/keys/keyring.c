/* Private keys by domain: a hash table, immutable once filled. */
#include "keys/keyring.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "mail/domain.h"

struct domain_keys {
	char *domain;
	struct dkim_signing_key *v;
	size_t n;
};

/* A balanced tree of domains (tsearch(3)). */
struct keyring {
	void *root;
	size_t domains;
};

struct keyring *keyring_new(void)
{
	return mem_alloc(sizeof(struct keyring));
}

static void free_node(void *p)
{
	struct domain_keys *d = p;

	for (size_t i = 0; i < d->n; i++) {
		crypto_privkey_free(unconst(d->v[i].key));
		free(unconst(d->v[i].selector));
	}
	free(d->v);
	free(d->domain);
	free(d);
}

void keyring_free(struct keyring *k)
{
	if (k == NULL)
		return;
	tdestroy(k->root, free_node);
	free(k);
}

static int compare(const void *a, const void *b)
{
	const struct domain_keys *x = a, *y = b;

	return strcmp(x->domain, y->domain);
}

static struct domain_keys *find(const struct keyring *k, const char *domain)
{
	struct domain_keys want = {.domain = unconst(domain)};
	struct domain_keys **at = tfind(&want, &k->root, compare);

	return at != NULL ? *at : NULL;
}

static struct domain_keys *find_or_add(struct keyring *k, const char *domain)
{
	struct domain_keys *d = find(k, domain);

	if (d != NULL)
		return d;
	d = mem_alloc(sizeof(*d));
	d->domain = mem_strdup(domain);
	if (tsearch(d, &k->root, compare) == NULL)
		abort();
	k->domains++;
	return d;
}

static void append(struct domain_keys *d, const char *selector,
		   const struct crypto_privkey *key, uint32_t lifetime)
{
	d->v = mem_realloc(d->v, (d->n + 1) * sizeof(*d->v));
	d->v[d->n++] = (struct dkim_signing_key){
		.domain = d->domain,
		.selector = mem_strdup(selector),
		.key = key,
		.lifetime = lifetime,
	};
}

static bool has_selector(const struct domain_keys *d, const char *selector)
{
	for (size_t i = 0; d != NULL && i < d->n; i++)
		if (strcmp(d->v[i].selector, selector) == 0)
			return true;
	return false;
}

int keyring_add(struct keyring *k, struct arena *a, const char *domain,
		const char *selector, const char *file, uint32_t lifetime,
		const char **err)
{
	const char *d = domain_canon(a, slice_of(domain));
	const char *s = domain_canon(a, slice_of(selector));
	struct crypto_privkey *key = NULL;
	int rc;

	if (d == NULL || s == NULL) {
		*err = arena_printf(a, "\"%s\" is no domain name",
				    d == NULL ? domain : selector);
		return -EINVAL;
	}
	/* RFC 8463 6: two keys of a domain need different selectors */
	if (has_selector(find(k, d), s)) {
		*err = arena_printf(a,
				    "selector \"%s\" of %s is there twice; "
				    "give each key a selector of its own",
				    s, d);
		return -EEXIST;
	}
	rc = keyd_load(a, file, &key, err);
	if (rc == 0)
		append(find_or_add(k, d), s, key, lifetime);
	return rc;
}

size_t keyring_find(const struct keyring *k, const char *domain,
		    const struct dkim_signing_key **ret)
{
	const struct domain_keys *d = find(k, domain);

	if (d == NULL)
		return 0;
	*ret = d->v;
	return d->n;
}

size_t keyring_domains(const struct keyring *k)
{
	return k->domains;
}
