/*
 * DKIM signing (RFC 6376 5; RFC 8301, 8463): relaxed/relaxed, SHA-256.
 *
 * Which mail is signed, and with which keys, is decided elsewhere; which of
 * its fields, in names.c.  Here fields and body become DKIM-Signature values.
 * The body is hashed once, and the headers of all signatures in one call.
 * Never l= (it lets anybody append) and never z=.
 *
 * The signature is over what the MTA will send, so line ends are made CRLF
 * before hashing, and what the MTA may still change is reported.
 *
 * A signer belongs to one thread and one message.
 */
#include "dkim/dkim.h"

#include <string.h>

#include "dkim/hash.h"
#include "dkim/names.h"
#include "dkim/sendmail.h"
#include "mail/base64.h"
#include "mail/folder.h"
#include "mail/lines.h"

#define VALUE_MAX 65536

struct dkim_signer {
	struct arena *arena;
	const struct field_list *fields;
	const struct dkim_signing_key *keys;
	size_t nkeys;
	int64_t now;
	struct body_lines body;
	struct crypto_hash *hash;
	enum dkim_mta mta;
	bool long_from;
	bool from_changes;
	const char *left_out; /* why a field is not signed */
};

static void add_to_hash(void *arg, struct slice bytes)
{
	crypto_hash_add(arg, bytes);
}

struct dkim_signer *dkim_signer_new(struct arena *a,
				    const struct field_list *fields,
				    const struct dkim_signing_key *keys,
				    size_t nkeys, int64_t now)
{
	struct dkim_signer *s = arena_alloc(a, sizeof(*s));

	s->arena = a;
	s->fields = fields;
	s->keys = keys;
	s->nkeys = nkeys;
	s->now = now;
	s->hash = crypto_hash_new();
	body_lines_init(&s->body, CANON_RELAXED, add_to_hash, s->hash);
	return s;
}

void dkim_signer_mta(struct dkim_signer *s, enum dkim_mta mta)
{
	s->mta = mta;
}

void dkim_signer_body(struct dkim_signer *s, struct slice bytes)
{
	body_lines_feed(&s->body, bytes);
}

/* ---- the signatures ---- */

/* One that is being made. */
struct draft {
	struct slice names; /* for h= */
	struct folder f;    /* the field up to and with "b=" */
	struct field field; /* the same and something for b= */
	struct dkim_signature parsed;
};

/* RFC 6376 3.5 */
static void put_unsigned(struct folder *f, const struct dkim_signer *s,
			 const struct dkim_signing_key *key, struct slice names,
			 struct slice bh)
{
	bool rsa = crypto_privkey_type(key->key) == CRYPTO_RSA;

	folder_init(f, s->arena, "DKIM-Signature", VALUE_MAX);
	folder_word(f, "v=", SLICE("1"), ";");
	folder_word(f, "a=", slice_of(rsa ? "rsa-sha256" : "ed25519-sha256"),
		    ";");
	folder_word(f, "c=", SLICE("relaxed/relaxed"), ";");
	folder_word(f, "d=", slice_of(key->domain), ";");
	folder_word(f, "s=", slice_of(key->selector), ";");
	if (key->identity != NULL)
		folder_word(f,
			    "i=", dkim_identity_text(s->arena, key->identity),
			    ";");
	if (s->now > 0)
		folder_number(f, "t=", s->now);
	if (s->now > 0 && key->lifetime > 0)
		folder_number(f, "x=", s->now + key->lifetime);
	folder_names(f, names);
	folder_word(f, "bh=", bh, ";");
	folder_break(f);
	folder_part(f, SLICE("b="), "");
}

/* The names for h= of key `i`, shared with an earlier key of the same list. */
static const char *choose_names(struct dkim_signer *s, struct draft *v,
				size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (s->keys[k].names == s->keys[i].names &&
		    s->keys[k].nnames == s->keys[i].nnames) {
			v[i].names = v[k].names;
			return NULL;
		}
	}
	return dkim_names_choose(s->arena, s->fields, s->mta, &s->keys[i],
				 &v[i].names, &s->left_out);
}

/* Up to and with "b=".  It is read like one that came in the mail: what a
 * verifier would refuse is not made. */
static const char *make_draft(const struct dkim_signer *s,
			      const struct dkim_signing_key *key,
			      struct slice bh, struct draft *v)
{
	struct slice raw;

	put_unsigned(&v->f, s, key, v->names, bh);
	/* Hashing empties b=; libopendkim wants something there before. */
	raw = slice_of(
		arena_printf(s->arena, "%sAAAA", strbuf_cstr(&v->f.text)));
	v->field.name = slice_first(raw, strlen("DKIM-Signature"));
	v->field.raw = raw;
	v->field.value = slice_from(raw, v->field.name.n + 1);
	dkim_signature_parse(s->arena, &v->field, &v->parsed);
	if (v->f.text.overflow)
		return "signature too long";
	return v->parsed.ok ? NULL : v->parsed.result.reason;
}

/* Hashes the header for all of them, and fills in b=. */
static bool finish(const struct dkim_signer *s, struct draft *v,
		   struct slice *ret_values)
{
	struct dkim_header_hash *h =
		arena_array(s->arena, s->nkeys + 1, sizeof(*h));
	struct slice sig;

	for (size_t i = 0; i < s->nkeys; i++)
		h[i] = (struct dkim_header_hash){.field = &v[i].field,
						 .h = v[i].parsed.h,
						 .mode = CANON_RELAXED,
						 .plain = v[i].parsed.plain};
	dkim_hash_headers(s->arena, s->fields, h, s->nkeys);
	for (size_t i = 0; i < s->nkeys; i++) {
		if (!crypto_sign(s->arena, s->keys[i].key, h[i].digest, &sig))
			return false;
		folder_base64(&v[i].f, base64_encode(s->arena, sig));
		if (v[i].f.text.overflow)
			return false;
	}
	for (size_t i = 0; i < s->nkeys; i++)
		ret_values[i] = folder_value(&v[i].f);
	return true;
}

/* ---- what the MTA may still change ---- */

/* The fields as the MTA will send them. */
static void normalize_fields(struct dkim_signer *s)
{
	struct field_list *sent = arena_alloc(s->arena, sizeof(*sent));
	const struct field *from;

	if (s->mta == DKIM_MTA_SENDMAIL) {
		dkim_sendmail_fields(s->arena, s->fields, sent);
		s->fields = sent;
	}
	from = field_nth(s->fields, "From", 0);
	s->long_from = dkim_has_long_line(from, s->mta);
	s->from_changes = s->mta != DKIM_MTA_KEEPS &&
			  !dkim_sendmail_keeps(s->arena, from->value);
}

const char *dkim_signer_warning(const struct dkim_signer *s)
{
	bool keeps = s->mta == DKIM_MTA_KEEPS;

	if (s->body.longest > dkim_line_max(s->mta))
		return keeps ? "a body line is longer than 998 bytes"
			     : "a body line is longer than 990 bytes";
	if (s->long_from)
		return keeps ? "a line of From is longer than 998 bytes"
			     : "a line of From is longer than 990 bytes";
	if (s->from_changes)
		return "the MTA may rewrite the From field and so break the "
		       "signature";
	return s->left_out;
}

/* ---- the end ---- */

static struct slice end_body(struct dkim_signer *s)
{
	unsigned char digest[SHA256_LEN];

	canon_body_end(&s->body.canon);
	crypto_hash_end(s->hash, digest);
	return base64_encode(s->arena,
			     (struct slice){(const char *)digest, SHA256_LEN});
}

bool dkim_signer_end(struct dkim_signer *s, struct slice *ret_values,
		     const char **reason)
{
	struct slice bh = end_body(s);
	struct draft *v = arena_array(s->arena, s->nkeys + 1, sizeof(*v));
	const char *why = NULL;

	if (s->fields->trouble != FIELD_OK)
		why = field_trouble_text(s->fields->trouble);
	else if (field_count(s->fields, "From") == 0) /* RFC 6376 5.4 */
		why = "no From field to sign";
	else
		normalize_fields(s);
	for (size_t i = 0; i < s->nkeys && why == NULL; i++) {
		why = choose_names(s, v, i);
		if (why == NULL)
			why = make_draft(s, &s->keys[i], bh, &v[i]);
	}
	if (why == NULL && !finish(s, v, ret_values))
		why = "signing failed";
	*reason = why;
	return why == NULL;
}

void dkim_signer_free(struct dkim_signer *s)
{
	if (s == NULL)
		return;
	crypto_hash_free(s->hash);
	s->hash = NULL;
}
