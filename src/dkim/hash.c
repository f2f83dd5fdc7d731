/*
 * Header hashes: the only file that includes libopendkim.
 *
 * libopendkim canonicalizes, selects and hashes the header fields of the plain
 * signatures; keys and verdicts are ours.  It is used as a function: one
 * handle for one header block, no body, no DNS, freed before the return.
 * Guards against what it does to hostile input:
 *  - only signatures that signature.c accepted and called plain are fed, and
 *    of the others of the message none;
 *  - one more field, with a name that no h= has, follows the real ones, and
 *    each allocation has 64 zero bytes more: with all fields used up it writes
 *    one element past its list;
 *  - it judges no time that a signature of our days can have (the clock drift
 *    is decades), it gets no key, and bad signatures keep their handles.
 *
 * mail/canon.c hashes the rest: U-labels (RFC 8616), which libopendkim
 * refuses; tags after which it loses b=; NULs in a field; and whatever it
 * declines for a reason of its own.  Bodies never come here: it loses
 * bytes of a body with bare LF (simple) or bare CR (relaxed), and it takes
 * three times as long.
 *
 * No state between calls; any thread.
 */
#include "dkim/hash.h"

#include <stdlib.h>
#include <string.h>

#include <opendkim/dkim.h>

#define PAD 64
/* Seconds.  It takes them from t= without looking: more than t= (here: before
 * the year 2001) would make it a time far in the future. */
#define DRIFT_S 1000000000

/* ---- by mail/canon.c ---- */

static void add_to_hash(void *arg, struct slice bytes)
{
	crypto_hash_add(arg, bytes);
}

/* RFC 6376 5.4: a signature is not among the fields that it signs. */
static struct field_list without_field(struct arena *a,
				       const struct field_list *l,
				       const struct field *f)
{
	struct field_list ret = {.n = 0};

	ret.v = arena_array(a, l->n + 1, sizeof(*ret.v));
	for (size_t i = 0; i < l->n; i++)
		if (&l->v[i] != f)
			ret.v[ret.n++] = l->v[i];
	return ret;
}

static void hash_ourselves(struct arena *a, const struct field_list *fields,
			   struct dkim_header_hash *v)
{
	struct field_list l = without_field(a, fields, v->field);
	struct crypto_hash *hash = crypto_hash_new();
	size_t at[DKIM_NAMES_MAX];
	size_t n = canon_select(&l, v->h, DKIM_NAMES_MAX, at);

	/* Not more than DKIM_NAMES_MAX: signature.c and sign.c see to it. */
	for (size_t i = 0; n != SIZE_MAX && i < n; i++)
		if (at[i] != SIZE_MAX) /* RFC 6376 5.4: the null string */
			canon_field(v->mode, l.v[at[i]].raw, true, add_to_hash,
				    hash);
	canon_field(v->mode, canon_without_b(a, v->field->raw), false,
		    add_to_hash, hash);
	crypto_hash_end(hash, v->digest);
	crypto_hash_free(hash);
}

/* ---- by libopendkim ---- */

/* One call's work; libopendkim keeps the pointer as user context. */
struct run {
	struct dkim_header_hash **v; /* in the order in which they are fed */
	size_t n;
};

static void *padded_alloc(void *closure, size_t n)
{
	(void)closure;
	return n > SIZE_MAX - PAD ? NULL : calloc(1, n + PAD);
}

static void padded_free(void *closure, void *p)
{
	(void)closure;
	free(p);
}

static DKIM_CBSTAT no_key(DKIM *dkim, DKIM_SIGINFO *sig, unsigned char *buf,
			  size_t n)
{
	(void)dkim;
	(void)sig;
	(void)buf;
	(void)n;
	return DKIM_CBSTAT_NOTFOUND;
}

static void take_hash(DKIM_SIGINFO *sig, struct dkim_header_hash *v)
{
	void *hh = NULL, *bh = NULL;
	size_t hn = 0, bn = 0;

	if (dkim_sig_geterror(sig) > DKIM_SIGERROR_OK ||
	    dkim_sig_gethashes(sig, &hh, &hn, &bh, &bn) != DKIM_STAT_OK ||
	    hh == NULL || hn != SHA256_LEN)
		return;
	memcpy(v->digest, hh, SHA256_LEN);
	v->by_library = true;
}

/* Called when all is hashed, before keys would be asked for. */
static DKIM_CBSTAT take_hashes(DKIM *dkim, DKIM_SIGINFO **sigs, int nsigs)
{
	struct run *run = dkim_get_user_context(dkim);

	for (int i = 0; i < nsigs; i++) {
		if ((size_t)nsigs == run->n)
			take_hash(sigs[i], run->v[i]);
		dkim_sig_ignore(sigs[i]);
	}
	return DKIM_CBSTAT_CONTINUE;
}

static DKIM_LIB *library_open(void)
{
	DKIM_LIB *lib = dkim_init(padded_alloc, padded_free);
	u_int flags = DKIM_LIBFLAGS_DELAYSIGPROC | DKIM_LIBFLAGS_BADSIGHANDLES;
	uint64_t drift = DRIFT_S;

	if (lib == NULL)
		return NULL;
	if (dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags,
			 sizeof(flags)) != DKIM_STAT_OK ||
	    dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_CLOCKDRIFT, &drift,
			 sizeof(drift)) != DKIM_STAT_OK ||
	    dkim_set_key_lookup(lib, no_key) != DKIM_STAT_OK ||
	    dkim_set_final(lib, take_hashes) != DKIM_STAT_OK) {
		dkim_close(lib);
		return NULL;
	}
	return lib;
}

static bool feed(DKIM *dkim, struct slice raw)
{
	return raw.n > 0 &&
	       dkim_header(dkim, unconst(raw.p), raw.n) == DKIM_STAT_OK;
}

/* A field name that no h= of the run has in it. */
static struct slice pad_field(struct arena *a, const struct run *run)
{
	for (unsigned number = 0;; number++) {
		char *name = arena_printf(a, "x-pad-%u", number);
		size_t i = 0;
		while (i < run->n &&
		       dkim_signature_lists(run->v[i]->h, name) == 0)
			i++;
		if (i == run->n)
			return slice_of(arena_printf(a, "%s: x", name));
	}
}

static bool feed_all(DKIM *dkim, struct arena *a, const struct field_list *l,
		     const struct run *run)
{
	for (size_t i = 0; i < run->n; i++)
		if (!feed(dkim, run->v[i]->field->raw))
			return false;
	for (size_t i = 0; i < l->n; i++)
		if (!slice_is_ci(l->v[i].name, "DKIM-Signature") &&
		    !feed(dkim, l->v[i].raw))
			return false;
	return feed(dkim, pad_field(a, run));
}

static void hash_by_library(struct arena *a, const struct field_list *fields,
			    struct run *run)
{
	DKIM_LIB *lib = library_open();
	DKIM_STAT status;
	DKIM *dkim;

	if (lib == NULL)
		return;
	dkim = dkim_verify(lib, (const unsigned char *)"-", NULL, &status);
	if (dkim != NULL) {
		dkim_set_user_context(dkim, run);
		if (feed_all(dkim, a, fields, run) &&
		    dkim_eoh(dkim) == DKIM_STAT_OK)
			(void)dkim_eom(dkim, NULL);
		dkim_free(dkim);
	}
	dkim_close(lib);
}

/* It takes fields for C strings. */
static bool fields_plain(const struct field_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].raw.n == 0 ||
		    memchr(l->v[i].raw.p, '\0', l->v[i].raw.n) != NULL)
			return false;
	return true;
}

void dkim_hash_headers(struct arena *a, const struct field_list *fields,
		       struct dkim_header_hash *v, size_t n)
{
	struct run run = {.n = 0};
	bool plain = fields_plain(fields);

	run.v = arena_array(a, n + 1, sizeof(struct dkim_header_hash *));
	for (size_t i = 0; i < n; i++) {
		v[i].by_library = false;
		if (plain && v[i].plain)
			run.v[run.n++] = &v[i];
	}
	if (run.n > 0)
		hash_by_library(a, fields, &run);
	for (size_t i = 0; i < n; i++)
		if (!v[i].by_library)
			hash_ourselves(a, fields, &v[i]);
}
