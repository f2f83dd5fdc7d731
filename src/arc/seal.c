/*
 * Sealing (RFC 8617 5.1): one more set on top of a chain.
 *
 * The set says what we found, the ARC-Message-Signature covers the message as
 * it will go on, the ARC-Seal all sets up to this one; over a chain that fails
 * only its own (5.1.2), so that nobody is made to vouch for what is broken.
 * The fields that are signed are chosen elsewhere, as for DKIM.
 */
#include "arc/set.h"

#include <string.h>

#include "mail/base64.h"
#include "mail/folder.h"
#include "mail/lines.h"

#define FIELD_MAX 65536

struct arc_sealer {
	struct arena *arena;
	struct body_lines body;
	struct crypto_hash *hash;
};

static void add_to_hash(void *arg, struct slice bytes)
{
	crypto_hash_add(arg, bytes);
}

struct arc_sealer *arc_sealer_new(struct arena *a)
{
	struct arc_sealer *s = arena_alloc(a, sizeof(*s));

	s->arena = a;
	s->hash = crypto_hash_new();
	body_lines_init(&s->body, CANON_RELAXED, add_to_hash, s->hash);
	return s;
}

void arc_sealer_body(struct arc_sealer *s, struct slice bytes)
{
	body_lines_feed(&s->body, bytes);
}

void arc_sealer_free(struct arc_sealer *s)
{
	if (s == NULL)
		return;
	crypto_hash_free(s->hash);
	s->hash = NULL;
}

/* What all three of a set are made from. */
struct making {
	struct arc_sealer *s;
	const struct arc_seal_input *in;
	const struct arc_sealing_key *key;
	struct arc_chain chain;
	unsigned instance;
	struct folder results, signature, seal;
};

static struct slice raw_of(const struct folder *f)
{
	return strbuf_slice(&f->text);
}

static void add_relaxed(struct crypto_hash *h, struct slice raw, bool crlf)
{
	canon_field(CANON_RELAXED, raw, crlf, add_to_hash, h);
}

/* ---- may it be sealed? ---- */

static const char *objection(const struct making *m)
{
	const struct arc_result *found = m->in->found;

	/* RFC 8617 5.1: the chain has ended */
	if (found->ended)
		return "the newest seal says cv=fail";
	/* never cv=fail for what we could not look up (ARC-5) */
	if (found->temporary)
		return "a key of the chain could not be looked up";
	if (m->chain.n >= ARC_SETS_MAX)
		return "the chain has 50 sets";
	return NULL;
}

/* ---- the three fields ---- */

/* Written like a field that came: folds as CRLF. */
static void make_results(struct making *m)
{
	struct slice text = slice_trim(m->in->authres);

	folder_init(&m->results, m->s->arena, "ARC-Authentication-Results",
		    FIELD_MAX);
	strbuf_printf(&m->results.text, " i=%u; ", m->instance);
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\n')
			strbuf_addc(&m->results.text, '\r');
		strbuf_addc(&m->results.text, text.p[i]);
	}
}

static void put_head(const struct making *m, struct folder *f)
{
	const bool rsa = crypto_privkey_type(m->key->key) == CRYPTO_RSA;

	folder_number(f, "i=", m->instance);
	folder_word(f, "a=", slice_of(rsa ? "rsa-sha256" : "ed25519-sha256"),
		    ";");
}

static void put_key(const struct making *m, struct folder *f)
{
	folder_word(f, "d=", slice_of(m->key->domain), ";");
	folder_word(f, "s=", slice_of(m->key->selector), ";");
	if (m->in->now > 0)
		folder_number(f, "t=", m->in->now);
}

static bool sign(struct making *m, struct folder *f, struct crypto_hash *h)
{
	unsigned char digest[SHA256_LEN];
	struct slice sig;

	crypto_hash_end(h, digest);
	if (f->text.overflow ||
	    !crypto_sign(m->s->arena, m->key->key, digest, &sig))
		return false;
	folder_base64(f, base64_encode(m->s->arena, sig));
	return !f->text.overflow;
}

/* RFC 8617 4.1.2: DKIM signatures are covered too, each of them. */
static struct slice names_of(const struct making *m)
{
	struct strbuf b;
	size_t n = field_count(m->in->fields, "DKIM-Signature");
	struct slice rest = m->in->names;
	size_t names = 0;

	for (; rest.p != NULL; names++)
		(void)slice_cut(&rest, ':');
	strbuf_init(&b, m->s->arena, FIELD_MAX);
	strbuf_add(&b, m->in->names);
	for (; n > 0 && names < ARC_NAMES_MAX; n--, names++)
		strbuf_adds(&b, ":DKIM-Signature");
	return strbuf_slice(&b);
}

static void add_selected(const struct making *m, struct slice names,
			 struct crypto_hash *h)
{
	size_t at[ARC_NAMES_MAX];
	size_t n = canon_select(m->in->fields, names, ARC_NAMES_MAX, at);

	for (size_t i = 0; n != SIZE_MAX && i < n; i++)
		if (at[i] != SIZE_MAX)
			add_relaxed(h, m->in->fields->v[at[i]].raw, true);
}

static struct slice body_hash(struct arc_sealer *s)
{
	unsigned char digest[SHA256_LEN];

	canon_body_end(&s->body.canon);
	crypto_hash_end(s->hash, digest);
	return base64_encode(s->arena,
			     (struct slice){(const char *)digest, SHA256_LEN});
}

static bool make_signature(struct making *m)
{
	struct crypto_hash *h = crypto_hash_new();
	struct folder *f = &m->signature;
	struct slice names = names_of(m);
	bool ok;

	folder_init(f, m->s->arena, "ARC-Message-Signature", FIELD_MAX);
	put_head(m, f);
	folder_word(f, "c=", SLICE("relaxed/relaxed"), ";");
	put_key(m, f);
	folder_names(f, names);
	folder_word(f, "bh=", body_hash(m->s), ";");
	folder_break(f);
	folder_part(f, SLICE("b="), "");
	add_selected(m, names, h);
	add_relaxed(h, raw_of(f), false);
	ok = sign(m, f, h);
	crypto_hash_free(h);
	return ok;
}

/* RFC 8617 5.1.1 and 5.1.2: set by set, and only the own one over a chain that
 * fails. */
static void add_chain(const struct making *m, struct crypto_hash *h)
{
	if (m->in->found->status == ARC_STATUS_PASS)
		for (size_t i = 0; i < m->chain.n; i++) {
			const struct arc_link *l = &m->chain.v[i];

			add_relaxed(h, l->results->raw, true);
			add_relaxed(h, l->signature.tags.field->raw, true);
			add_relaxed(h, l->seal.tags.field->raw, true);
		}
	add_relaxed(h, raw_of(&m->results), true);
	add_relaxed(h, raw_of(&m->signature), true);
}

static bool make_seal(struct making *m)
{
	struct crypto_hash *h = crypto_hash_new();
	struct folder *f = &m->seal;
	bool ok;

	folder_init(f, m->s->arena, "ARC-Seal", FIELD_MAX);
	put_head(m, f);
	folder_word(f, "cv=", slice_of(arc_status_name(m->in->found->status)),
		    ";");
	put_key(m, f);
	folder_break(f);
	folder_part(f, SLICE("b="), "");
	add_chain(m, h);
	add_relaxed(h, raw_of(f), false);
	ok = sign(m, f, h);
	crypto_hash_free(h);
	return ok;
}

static bool make(struct making *m)
{
	make_results(m);
	return !m->results.text.overflow && make_signature(m) && make_seal(m);
}

bool arc_sealer_end(struct arc_sealer *s, const struct arc_seal_input *in,
		    const struct arc_sealing_key *key, struct arc_new_set *ret,
		    const char **reason)
{
	struct making m = {.s = s, .in = in, .key = key};

	arc_chain_read(s->arena, in->fields, &m.chain);
	m.instance = (unsigned)m.chain.n + 1;
	*reason = objection(&m);
	if (*reason != NULL)
		return false;
	if (!make(&m)) {
		*reason = "the set could not be signed";
		return false;
	}
	*ret = (struct arc_new_set){m.instance, folder_value(&m.results),
				    folder_value(&m.signature),
				    folder_value(&m.seal)};
	return true;
}
