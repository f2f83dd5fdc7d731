/*
 * Keys by author domain.  Entries are sorted once; a binary search finds the
 * domain's run.  Loaded keys hang at their entry; those that were loaded on
 * demand are in a list in the order of last use, and the oldest goes when
 * there are too many.
 *
 * Not a file reader (keyfile.c, table.c) and not a policy.  `lock` guards what
 * hangs at the rows, the list and the counters; the entries themselves are
 * immutable after keyring_ready().  Files are read without the lock: two
 * threads may load the same key, and the second is dropped.
 */
#include "keys/keyring_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "keys/keyd.h"
#include "mail/domain.h"

#define RETRY_MS (60 * INT64_C(1000)) /* after a failed load */

struct keyring *keyring_new(size_t max_loaded)
{
	struct keyring *k = mem_alloc(sizeof(*k));

	pthread_mutex_init(&k->lock, NULL);
	k->arena = arena_new();
	k->max_loaded = max_loaded > 0 ? max_loaded : 1;
	return k;
}

struct arena *keyring_arena(struct keyring *k)
{
	return k->arena;
}

/* ---- what is loaded; all with the lock held ---- */

static void list_unlink(struct keyring *k, struct loaded *l)
{
	if (l->newer != NULL)
		l->newer->older = l->older;
	else
		k->newest = l->older;
	if (l->older != NULL)
		l->older->newer = l->newer;
	else
		k->oldest = l->newer;
	k->nlisted--;
}

static void list_push(struct keyring *k, struct loaded *l)
{
	l->newer = NULL;
	l->older = k->newest;
	if (k->newest != NULL)
		k->newest->newer = l;
	else
		k->oldest = l;
	k->newest = l;
	k->nlisted++;
}

static void loaded_drop(struct keyring *k, struct loaded *l)
{
	if (!l->pinned)
		list_unlink(k, l);
	if (l->key != NULL)
		k->counters.loaded--;
	l->row->loaded = NULL;
	crypto_privkey_free(l->key);
	free(l->error);
	free(l);
}

static void loaded_put(struct keyring *k, struct row *row, struct loaded *l)
{
	if (row->loaded != NULL)
		loaded_drop(k, row->loaded);
	l->row = row;
	row->loaded = l;
	if (l->key != NULL)
		k->counters.loaded++;
	if (l->pinned)
		return;
	list_push(k, l);
	while (k->nlisted > k->max_loaded)
		loaded_drop(k, k->oldest);
}

void keyring_free(struct keyring *k)
{
	if (k == NULL)
		return;
	for (size_t i = 0; i < k->n; i++)
		if (k->rows[i].loaded != NULL)
			loaded_drop(k, k->rows[i].loaded);
	if (k->generation != 0)
		keyd_drop(k->source, k->generation);
	free(k->rows);
	arena_free(k->arena);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/* ---- building ---- */

void keyring_add(struct keyring *k, const struct key_entry *e)
{
	if (k->n == k->cap) {
		k->cap = k->cap > 0 ? 2 * k->cap : 16;
		k->rows = mem_realloc(k->rows, k->cap * sizeof(*k->rows));
	}
	k->rows[k->n] = (struct row){.entry = *e, .order = k->n};
	k->n++;
}

static int by_domain(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int r = strcmp(x->entry.domain, y->entry.domain);

	if (r != 0)
		return r;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Entries of one domain: two need two names (RFC 8463 6).  `errors`: NULL when
 * nothing more is to be told. */
static bool check_run(const struct row *v, size_t n, struct strbuf *errors)
{
	const struct key_entry *last = &v[n - 1].entry;

	if (n > KEYS_PER_DOMAIN) {
		if (errors != NULL)
			strbuf_printf(errors, "%s: %s has more than %d keys\n",
				      last->source, last->domain,
				      KEYS_PER_DOMAIN);
		return false;
	}
	for (size_t i = 0; i + 1 < n; i++) {
		const struct key_entry *e = &v[i].entry;

		if (strcmp(e->selector, last->selector) != 0 ||
		    strcmp(e->signing_domain, last->signing_domain) != 0)
			continue;
		if (errors != NULL)
			strbuf_printf(errors,
				      "%s: %s with selector %s is there "
				      "twice, first in %s; remove one\n",
				      last->source, last->domain,
				      last->selector, e->source);
		return false;
	}
	return true;
}

bool keyring_ready(struct keyring *k, struct strbuf *errors)
{
	size_t start = 0, mistakes = 0;

	if (k->n > 0)
		qsort(k->rows, k->n, sizeof(*k->rows), by_domain);
	k->ndomains = 0;
	for (size_t i = 0; i < k->n; i++) {
		if (i == 0 || strcmp(k->rows[i].entry.domain,
				     k->rows[start].entry.domain) != 0) {
			start = i;
			k->ndomains++;
		}
		if (i > start &&
		    !check_run(&k->rows[start], i - start + 1,
			       mistakes < KEYS_MISTAKES_MAX ? errors : NULL))
			mistakes++;
	}
	if (mistakes > KEYS_MISTAKES_MAX)
		strbuf_printf(errors,
			      "%zu more mistakes in the tables of keys\n",
			      mistakes - KEYS_MISTAKES_MAX);
	return mistakes == 0;
}

static void digest_add(struct crypto_hash *h, const char *text)
{
	/* with its NUL, which ends it */
	crypto_hash_add(h, (struct slice){text, strlen(text) + 1});
}

void keyring_digest(const struct keyring *k, unsigned char ret[SHA256_LEN])
{
	struct crypto_hash *h = crypto_hash_new();

	for (size_t i = 0; i < k->n; i++) {
		const struct key_entry *e = &k->rows[i].entry;

		digest_add(h, e->domain);
		digest_add(h, e->signing_domain);
		digest_add(h, e->selector);
		digest_add(h, e->file);
	}
	crypto_hash_end(h, ret);
	crypto_hash_free(h);
}

/* A row is asked for by its number: both must count the same rows. */
bool keyring_attach(struct keyring *k, struct keyd *source,
		    struct strbuf *errors)
{
	unsigned char ours[SHA256_LEN], theirs[SHA256_LEN];

	k->source = source;
	if (!keyd_reload(k->source, &k->generation, theirs, errors))
		return false;
	keyring_digest(k, ours);
	if (memcmp(ours, theirs, SHA256_LEN) == 0)
		return true;
	strbuf_adds(errors, "outbound.domains or outbound.key_table changed "
			    "while they were read; read them again\n");
	return false;
}

size_t keyring_domains(const struct keyring *k)
{
	return k->ndomains;
}

size_t keyring_size(const struct keyring *k)
{
	return k->n;
}

const struct key_entry *keyring_entry(const struct keyring *k, size_t i)
{
	return &k->rows[i].entry;
}

/* ---- loading ---- */

static const char *type_objection(const struct key_entry *e,
				  const struct crypto_privkey *key)
{
	if (e->any_type || crypto_privkey_type(key) == e->type)
		return NULL;
	return e->type == CRYPTO_RSA
		       ? "is no RSA key, as its algorithm asks for"
		       : "is no Ed25519 key, as its algorithm asks for";
}

/* The parsed key of an active row; NULL and *what otherwise. */
static struct crypto_privkey *parse(struct arena *a, const struct key_entry *e,
				    const struct key_text *t, const char **what)
{
	struct crypto_privkey *key = key_text_parse(a, e->file, t, what);
	const char *why = key != NULL ? type_objection(e, key) : NULL;

	if (why == NULL)
		return key;
	*what = arena_printf(a, "%s: %s", e->file, why);
	crypto_privkey_free(key);
	return NULL;
}

/* NULL key and one line in *err on failure; l->state in any case. */
static struct loaded *load(struct keyring *k, struct arena *a,
			   const struct row *row, int64_t now_ms,
			   const char **err)
{
	struct loaded *l = mem_alloc(sizeof(*l));
	const struct key_entry *e = &row->entry;
	const char *what = NULL;
	struct key_text t;
	bool ok;

	key_text_init(&t);
	l->retry_ms = now_ms + RETRY_MS;
	if (k->source == NULL)
		ok = key_text_read(a, e->file, &t, &what);
	else
		ok = keyd_fetch(k->source, k->generation,
				(size_t)(row - k->rows), a, &t, &what);
	l->state = t.state;
	l->since = t.since;
	if (ok && t.state == KEY_ACTIVE)
		l->key = parse(a, e, &t, &what);
	key_text_done(&t);
	if (what != NULL)
		*err = arena_printf(a, "%s: %s", e->source, what);
	if (what != NULL)
		l->error = mem_strdup(what);
	return l;
}

static void count_load(struct keyring *k, const struct loaded *l)
{
	k->counters.loads++;
	if (l->key == NULL && l->state == KEY_ACTIVE)
		k->counters.failures++;
}

void keyring_pin(struct keyring *k, struct strbuf *errors,
		 struct strbuf *warnings)
{
	struct arena *a = arena_new();

	for (size_t i = 0; i < k->n; i++) {
		struct row *row = &k->rows[i];
		const char *err = NULL;
		struct loaded *l;

		progress_step("keys", i, k->n);
		if (row->entry.from_table)
			continue;
		l = load(k, a, row, 0, &err);
		/* One that is not active stays so until all is read again:
		 * by then we may be nobody who could read it. */
		l->pinned = l->key != NULL || l->state != KEY_ACTIVE;
		if (err != NULL)
			strbuf_printf(errors, "%s\n", err);
		if (l->key != NULL &&
		    crypto_privkey_type(l->key) == CRYPTO_RSA &&
		    crypto_privkey_bits(l->key) < 2048)
			strbuf_printf(warnings,
				      "%s: %s: RSA key of %u bits; make one of "
				      "2048 with mailseal key new (RFC 8301 "
				      "3.2)\n",
				      row->entry.source, row->entry.file,
				      crypto_privkey_bits(l->key));
		pthread_mutex_lock(&k->lock);
		count_load(k, l);
		loaded_put(k, row, l);
		pthread_mutex_unlock(&k->lock);
	}
	arena_free(a);
}

/* ---- choosing ---- */

static size_t place_of(const struct keyring *k, const char *domain)
{
	size_t low = 0, high = k->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (strcmp(k->rows[mid].entry.domain, domain) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The rows of exactly that domain; 0 when there are none. */
static size_t run_of(struct keyring *k, const char *domain, struct row **ret)
{
	size_t at = place_of(k, domain), n = 0;

	while (at + n < k->n && n < KEYS_PER_DOMAIN &&
	       strcmp(k->rows[at + n].entry.domain, domain) == 0)
		n++;
	*ret = &k->rows[at];
	return n;
}

static size_t find(struct keyring *k, struct arena *a, const char *domain,
		   struct row **ret)
{
	size_t n = run_of(k, domain, ret);

	while (n == 0 && domain_labels(domain) > 1) {
		domain = domain_parent(domain);
		n = run_of(k, arena_printf(a, "*.%s", domain), ret);
	}
	return n;
}

/* A reference to the key, or NULL; *err once per failure. */
static struct crypto_privkey *row_key(struct keyring *k, struct arena *a,
				      struct row *row, int64_t now_ms,
				      enum key_state *state, const char **err)
{
	struct crypto_privkey *key = NULL;
	struct loaded *l;

	pthread_mutex_lock(&k->lock);
	l = row->loaded;
	if (l != NULL && l->key == NULL && l->state == KEY_ACTIVE &&
	    l->retry_ms <= now_ms) {
		loaded_drop(k, l);
		l = NULL;
	}
	if (l == NULL) {
		pthread_mutex_unlock(&k->lock);
		l = load(k, a, row, now_ms, err);
		pthread_mutex_lock(&k->lock);
		count_load(k, l);
		loaded_put(k, row, l);
	} else if (!l->pinned) {
		list_unlink(k, l);
		list_push(k, l);
	}
	*state = l->state;
	if (l->key != NULL) {
		key = crypto_privkey_ref(l->key);
		row->used_ms = now_ms;
	}
	pthread_mutex_unlock(&k->lock);
	return key;
}

static void choice_add(struct key_choice *c, const struct key_entry *e,
		       struct crypto_privkey *key)
{
	c->v[c->n++] = (struct dkim_signing_key){
		.domain = e->signing_domain,
		.selector = e->selector,
		.key = key,
		.lifetime = e->lifetime,
		.identity = e->identity,
		.names = e->names,
		.nnames = e->nnames,
	};
}

void keyring_choose(struct keyring *k, struct arena *a, const char *domain,
		    int64_t now_ms, struct key_choice *ret)
{
	struct row *rows;
	size_t n = find(k, a, domain, &rows);

	*ret = (struct key_choice){.why = "no key for the author domain"};
	if (n == 0)
		return;
	ret->v = arena_array(a, n, sizeof(*ret->v));
	ret->why = "no key of the author domain is active";
	for (size_t i = 0; i < n; i++) {
		enum key_state state = KEY_NEW;
		struct crypto_privkey *key =
			row_key(k, a, &rows[i], now_ms, &state, &ret->error);

		if (state == KEY_ACTIVE)
			ret->must_sign = true;
		if (key != NULL)
			choice_add(ret, &rows[i].entry, key);
	}
	if (ret->must_sign)
		ret->why = "the key could not be loaded";
}

void keyring_release(struct key_choice *c)
{
	for (size_t i = 0; i < c->n; i++)
		crypto_privkey_free(unconst(c->v[i].key));
	c->n = 0;
}
