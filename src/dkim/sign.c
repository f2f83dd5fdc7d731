/*
 * Signing: relaxed/relaxed, one body hash and one list of fields for all keys
 * (RFC 6376 5, RFC 8463 6).
 *
 * The list is DK-50; fields that may be there only once are named once more
 * than they occur (DK-51), so that none can be added.  List managers add
 * List-* and Sender: those are signed when present and not oversigned.  No l=
 * and no z= (DK-52).
 */
#include "dkim/dkim.h"

#include <string.h>

#include "dkim/hash.h"
#include "mail/base64.h"

#define FOLD_AT	   76	 /* RFC 5322 2.1.1: below 78 with the fold */
#define NAMES_MAX  1024	 /* instances in one h= */
#define FIELD_SIZE 65536 /* of a signature field */

struct dkim_signer {
	struct arena *arena;
	const struct field_list *fields;
	const struct dkim_signing_key *keys;
	size_t nkeys;
	int64_t now;
	struct body_hash body;
	struct slice names; /* h= */
	bool overflow;
};

/* DK-50, DK-51 */
static const struct {
	const char *name;
	bool oversign;
} sign_list[] = {
	{"From", true},
	{"To", true},
	{"Cc", true},
	{"Subject", true},
	{"Date", true},
	{"Reply-To", true},
	{"Message-ID", true},
	{"MIME-Version", true},
	{"Content-Type", true},
	{"Content-Transfer-Encoding", true},
	{"In-Reply-To", true},
	{"References", true},
	{"Sender", false},
	{"Content-Disposition", false},
	{"Content-ID", false},
	{"Content-Description", false},
	{"Resent-Date", false},
	{"Resent-From", false},
	{"Resent-Sender", false},
	{"Resent-To", false},
	{"Resent-Cc", false},
	{"Resent-Message-ID", false},
	{"List-Id", false},
	{"List-Help", false},
	{"List-Unsubscribe", false},
	{"List-Unsubscribe-Post", false}, /* RFC 8058 4 */
	{"List-Subscribe", false},
	{"List-Post", false},
	{"List-Owner", false},
	{"List-Archive", false},
	{"Feedback-ID", false},
	{"Autocrypt", false},
};

static void list_names(struct dkim_signer *s)
{
	struct strbuf b;
	size_t total = 0;

	strbuf_init(&b, s->arena, FIELD_SIZE);
	for (size_t i = 0; i < sizeof(sign_list) / sizeof(*sign_list); i++) {
		size_t n = field_count(s->fields, sign_list[i].name) +
			   sign_list[i].oversign;

		for (; n > 0 && total < NAMES_MAX; n--, total++) {
			if (b.n > 0)
				strbuf_addc(&b, ':');
			strbuf_adds(&b, sign_list[i].name);
		}
		s->overflow = s->overflow || n > 0;
	}
	s->overflow = s->overflow || b.overflow;
	s->names = strbuf_slice(&b);
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
	list_names(s);
	body_hash_init(&s->body, CANON_RELAXED, UINT64_MAX);
	return s;
}

void dkim_signer_body(struct dkim_signer *s, struct slice bytes)
{
	body_hash_add(&s->body, bytes);
}

/* A field value under construction. */
struct folder {
	struct strbuf out;
	size_t column;
};

static void fold(struct folder *f)
{
	strbuf_adds(&f->out, "\n\t");
	f->column = 8;
}

/* A piece that must stay whole. */
static void add_piece(struct folder *f, struct slice piece)
{
	if (f->column + piece.n > FOLD_AT)
		fold(f);
	else if (f->out.n > 0 && f->out.p[f->out.n - 1] == ';')
		strbuf_addc(&f->out, ' '), f->column++;
	strbuf_add(&f->out, piece);
	f->column += piece.n;
}

/* Text that may be folded anywhere (base64) or after a ":" (h=). */
static void add_long(struct folder *f, struct slice text, char after)
{
	while (text.n > 0) {
		ptrdiff_t at = after != '\0' ? slice_chr(text, after) : -1;
		size_t n = at >= 0 ? (size_t)at + 1 : text.n;

		if (after == '\0') {
			if (f->column >= FOLD_AT)
				fold(f);
			n = text.n < FOLD_AT - f->column ? text.n
							 : FOLD_AT - f->column;
		} else if (f->column + n > FOLD_AT) {
			fold(f);
		}
		strbuf_add(&f->out, slice_first(text, n));
		f->column += n;
		text = slice_from(text, n);
	}
}

/* Everything up to and including "b=". */
static void begin_value(const struct dkim_signer *s,
			const struct dkim_signing_key *k, struct folder *f)
{
	struct arena *a = s->arena;
	bool rsa = crypto_privkey_type(k->key) == CRYPTO_RSA;
	struct slice bh = {(const char *)s->body.digest, SHA256_LEN};

	strbuf_init(&f->out, a, FIELD_SIZE);
	f->column = strlen("DKIM-Signature: ");
	strbuf_addc(&f->out, ' ');
	add_piece(f, SLICE("v=1;"));
	add_piece(f, slice_of(rsa ? "a=rsa-sha256;" : "a=ed25519-sha256;"));
	add_piece(f, SLICE("c=relaxed/relaxed;"));
	add_piece(f, slice_of(arena_printf(a, "d=%s;", k->domain)));
	add_piece(f, slice_of(arena_printf(a, "s=%s;", k->selector)));
	add_piece(f, slice_of(arena_printf(a, "t=%lld;", (long long)s->now)));
	if (k->lifetime > 0)
		add_piece(f, slice_of(arena_printf(a, "x=%lld;",
						   (long long)s->now +
							   k->lifetime)));
	add_piece(f, SLICE("h="));
	add_long(f, s->names, ':');
	strbuf_addc(&f->out, ';');
	f->column++;
	add_piece(f, SLICE("bh="));
	add_long(f, base64_encode(a, bh), '\0');
	strbuf_addc(&f->out, ';');
	f->column++;
	add_piece(f, SLICE("b="));
}

static struct slice with_crlf_folds(struct arena *a, struct slice value)
{
	struct strbuf b;

	strbuf_init(&b, a, 2 * (size_t)FIELD_SIZE);
	strbuf_adds(&b, "DKIM-Signature:");
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '\n')
			strbuf_addc(&b, '\r');
		strbuf_addc(&b, value.p[i]);
	}
	return strbuf_slice(&b);
}

static bool sign_one(const struct dkim_signer *s,
		     const struct dkim_signing_key *k, struct slice *ret)
{
	unsigned char digest[SHA256_LEN];
	struct folder f;
	struct slice sig;

	begin_value(s, k, &f);
	if (!header_hash(
		    s->arena, CANON_RELAXED, s->fields, s->names, NAMES_MAX,
		    with_crlf_folds(s->arena, strbuf_slice(&f.out)), digest) ||
	    !crypto_sign(s->arena, k->key, digest, &sig))
		return false;
	/* relaxed: folds inside b= do not count */
	add_long(&f, base64_encode(s->arena, sig), '\0');
	*ret = strbuf_slice(&f.out);
	return !f.out.overflow;
}

bool dkim_signer_end(struct dkim_signer *s, struct slice *ret_values,
		     const char **reason)
{
	body_hash_end(&s->body);
	if (s->overflow) {
		*reason = "too many fields to sign";
		return false;
	}
	for (size_t i = 0; i < s->nkeys; i++) {
		if (!sign_one(s, &s->keys[i], &ret_values[i])) {
			*reason = "signing failed";
			return false;
		}
	}
	return true;
}

void dkim_signer_free(struct dkim_signer *s)
{
	if (s != NULL)
		body_hash_done(&s->body);
}
