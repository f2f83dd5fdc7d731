/*
 * Body and header hashes over mail/canon.c and crypto/.
 */
#include "dkim/hash.h"

static void to_hash(void *arg, struct slice bytes)
{
	crypto_hash_add(arg, bytes);
}

void body_hash_init(struct body_hash *b, enum canon_mode mode, uint64_t limit)
{
	b->hash = crypto_hash_new();
	b->limit = limit;
	canon_body_init(&b->canon, mode, limit, to_hash, b->hash);
}

void body_hash_add(struct body_hash *b, struct slice bytes)
{
	canon_body_feed(&b->canon, bytes);
}

void body_hash_end(struct body_hash *b)
{
	canon_body_end(&b->canon);
	crypto_hash_end(b->hash, b->digest);
}

void body_hash_done(struct body_hash *b)
{
	crypto_hash_free(b->hash);
	b->hash = NULL;
}

bool header_hash(struct arena *a, enum canon_mode mode,
		 const struct field_list *fields, struct slice names,
		 size_t max_names, struct slice signature_raw,
		 unsigned char digest[SHA256_LEN])
{
	size_t *chosen = arena_array(a, max_names, sizeof(*chosen));
	size_t n = canon_select(fields, names, max_names, chosen);
	struct crypto_hash *h;

	if (n == SIZE_MAX)
		return false;
	h = crypto_hash_new();
	for (size_t i = 0; i < n; i++)
		if (chosen[i] != SIZE_MAX)
			canon_field(mode, fields->v[chosen[i]].raw, true,
				    to_hash, h);
	canon_field(mode, canon_without_b(a, signature_raw), false, to_hash, h);
	crypto_hash_end(h, digest);
	crypto_hash_free(h);
	return true;
}
