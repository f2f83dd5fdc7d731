/*
 * DKIM signing (RFC 6376 5; RFC 8301, 8463): relaxed/relaxed, SHA-256.
 *
 * Which mail is signed, and with which keys, is decided elsewhere; here only
 * fields and body become DKIM-Signature values.  The body is hashed as it
 * comes: the MTA hands over CRLF line ends.  Never l= (it lets anybody append)
 * and never z=.
 *
 * A signer belongs to one thread and one message.
 */
#include "dkim/dkim.h"

#include <stdlib.h>
#include <string.h>

#include "dkim/hash.h"
#include "mail/base64.h"

#define LINE_MAX_COLUMNS 77
#define TAB_COLUMNS	 8
#define VALUE_MAX	 65536

/* RFC 6376 5.4.1, DK-50; `over`: listed once more than present, so that none
 * can be added (RFC 6376 8.15, DK-51).  Mailing lists add List- fields. */
static const struct {
	const char *name;
	bool over;
} signed_fields[] = {
	{"From", true},
	{"To", true},
	{"Cc", true},
	{"Subject", true},
	{"Date", true},
	{"Reply-To", true},
	{"Sender", true},
	{"Message-ID", true},
	{"In-Reply-To", true},
	{"References", true},
	{"MIME-Version", true},
	{"Content-Type", true},
	{"Content-Transfer-Encoding", true},
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
	{"List-Unsubscribe", true},
	{"List-Unsubscribe-Post", true},
	{"List-Subscribe", false},
	{"List-Post", false},
	{"List-Owner", false},
	{"List-Archive", false},
	{"Autocrypt", false},
	{"Feedback-ID", false},
};

struct dkim_signer {
	struct arena *arena;
	const struct field_list *fields;
	const struct dkim_signing_key *keys;
	size_t nkeys;
	int64_t now;
	struct canon_body body;
	struct crypto_hash *hash;
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
	canon_body_init(&s->body, CANON_RELAXED, UINT64_MAX, add_to_hash,
			s->hash);
	return s;
}

void dkim_signer_body(struct dkim_signer *s, struct slice bytes)
{
	canon_body_feed(&s->body, bytes);
}

/* ---- folded text ---- */

/* Field text whose lines end before column 78 where a word allows it. */
struct folder {
	struct strbuf text;
	size_t column;
};

static void fold(struct folder *f)
{
	strbuf_adds(&f->text, "\r\n\t");
	f->column = TAB_COLUMNS;
}

/* A word after a space or a fold. */
static void put_word(struct folder *f, const char *word)
{
	size_t n = strlen(word);

	if (f->column + 1 + n > LINE_MAX_COLUMNS) {
		fold(f);
	} else {
		strbuf_addc(&f->text, ' ');
		f->column++;
	}
	strbuf_adds(&f->text, word);
	f->column += n;
}

/* More of the same word, where a fold is allowed but no space is needed. */
static void put_part(struct folder *f, const char *part)
{
	size_t n = strlen(part);

	if (f->column + n > LINE_MAX_COLUMNS)
		fold(f);
	strbuf_adds(&f->text, part);
	f->column += n;
}

/* Base64 fills the lines. */
static void put_base64(struct folder *f, struct slice s)
{
	while (s.n > 0) {
		size_t room;
		if (f->column >= LINE_MAX_COLUMNS)
			fold(f);
		room = LINE_MAX_COLUMNS - f->column;
		strbuf_add(&f->text, slice_first(s, room));
		f->column += s.n < room ? s.n : room;
		s = slice_from(s, room);
	}
}

/* ---- the signature ---- */

/* The names for h=, with ":" between; false when there are too many. */
static bool list_names(const struct dkim_signer *s, struct strbuf *ret)
{
	size_t listed = 0;

	for (size_t i = 0; i < sizeof(signed_fields) / sizeof(signed_fields[0]);
	     i++) {
		const char *name = signed_fields[i].name;
		size_t n = field_count(s->fields, name);
		if (signed_fields[i].over)
			n++;
		if (n > DKIM_NAMES_MAX - listed)
			return false;
		for (; n > 0; n--, listed++) {
			if (listed > 0)
				strbuf_addc(ret, ':');
			strbuf_adds(ret, name);
		}
	}
	return true;
}

static void put_names(struct folder *f, struct arena *a, struct slice names)
{
	bool first = true;

	while (names.p != NULL) {
		const char *name = slice_cstr(a, slice_cut(&names, ':'));
		const char *end = names.p != NULL ? ":" : ";";
		if (first)
			put_word(f, arena_printf(a, "h=%s%s", name, end));
		else
			put_part(f, arena_printf(a, "%s%s", name, end));
		first = false;
	}
}

/* RFC 6376 3.5: t= and x= */
static void put_times(struct folder *f, const struct dkim_signer *s,
		      const struct dkim_signing_key *key)
{
	if (s->now <= 0)
		return;
	put_word(f, arena_printf(s->arena, "t=%lld;", (long long)s->now));
	if (key->lifetime > 0)
		put_word(f, arena_printf(s->arena, "x=%lld;",
					 (long long)s->now + key->lifetime));
}

/* The whole field up to and with "b=". */
static void put_unsigned(struct folder *f, const struct dkim_signer *s,
			 const struct dkim_signing_key *key, struct slice names,
			 struct slice bh)
{
	struct arena *a = s->arena;
	bool rsa = crypto_privkey_type(key->key) == CRYPTO_RSA;

	strbuf_init(&f->text, a, VALUE_MAX);
	strbuf_adds(&f->text, "DKIM-Signature:");
	f->column = f->text.n;
	put_word(f, "v=1;");
	put_word(f, rsa ? "a=rsa-sha256;" : "a=ed25519-sha256;");
	put_word(f, "c=relaxed/relaxed;");
	put_word(f, arena_printf(a, "d=%s;", key->domain));
	put_word(f, arena_printf(a, "s=%s;", key->selector));
	put_times(f, s, key);
	put_names(f, a, names);
	put_word(f, arena_printf(a, "bh=%.*s;", (int)bh.n, bh.p));
	fold(f);
	put_part(f, "b=");
}

/* The value as the milter protocol wants it: folds as LF TAB. */
static struct slice value_of(struct arena *a, struct slice raw)
{
	char *out = arena_alloc(a, raw.n + 1);
	size_t n = 0;

	(void)slice_cut(&raw, ':');
	for (size_t i = 0; i < raw.n; i++)
		if (raw.p[i] != '\r')
			out[n++] = raw.p[i];
	return (struct slice){out, n};
}

static bool sign_one(const struct dkim_signer *s,
		     const struct dkim_signing_key *key, struct slice names,
		     struct slice bh, struct slice *ret)
{
	struct folder f;
	struct field field = {.name = SLICE("DKIM-Signature")};
	struct dkim_header_hash h = {
		.h = names, .mode = CANON_RELAXED, .plain = true};
	struct slice sig;

	put_unsigned(&f, s, key, names, bh);
	/* Hashing empties b=; libopendkim wants something there before. */
	field.raw = slice_of(
		arena_printf(s->arena, "%sAAAA", strbuf_cstr(&f.text)));
	field.value = slice_from(field.raw, field.name.n + 1);
	h.field = &field;
	dkim_hash_headers(s->arena, s->fields, &h, 1);
	if (!crypto_sign(s->arena, key->key, h.digest, &sig))
		return false;
	put_base64(&f, base64_encode(s->arena, sig));
	if (f.text.overflow)
		return false;
	*ret = value_of(s->arena, strbuf_slice(&f.text));
	return true;
}

bool dkim_signer_end(struct dkim_signer *s, struct slice *ret_values,
		     const char **reason)
{
	unsigned char digest[SHA256_LEN];
	struct slice bh;
	struct strbuf names;

	canon_body_end(&s->body);
	crypto_hash_end(s->hash, digest);
	bh = base64_encode(s->arena,
			   (struct slice){(const char *)digest, SHA256_LEN});
	strbuf_init(&names, s->arena, VALUE_MAX);
	*reason = NULL;
	if (s->fields->trouble != FIELD_OK)
		*reason = field_trouble_text(s->fields->trouble);
	else if (field_count(s->fields, "From") == 0) /* RFC 6376 5.4 */
		*reason = "no From field to sign";
	else if (!list_names(s, &names))
		*reason = "too many fields to sign";
	for (size_t i = 0; i < s->nkeys && *reason == NULL; i++)
		if (!sign_one(s, &s->keys[i], strbuf_slice(&names), bh,
			      &ret_values[i]))
			*reason = "signing failed";
	return *reason == NULL;
}

void dkim_signer_free(struct dkim_signer *s)
{
	if (s == NULL)
		return;
	crypto_hash_free(s->hash);
	s->hash = NULL;
}
