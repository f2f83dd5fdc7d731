/* Finds local-parts and logins, and hides them. */
#include "report/personal.h"

#include <string.h>

#include "crypto/crypto.h"

const char *personal_word(struct arena *a, const struct personal *p,
			  struct slice local)
{
	unsigned char out[SHA256_LEN];
	struct strbuf b;

	if (p->omit)
		return "-";
	crypto_hmac_sha256(slice_of(p->secret), slice_of(slice_lower(a, local)),
			   out);
	strbuf_init(&b, a, 64);
	strbuf_adds(&b, "sha256:");
	for (size_t i = 0; i < 8; i++)
		strbuf_printf(&b, "%02x", out[i]);
	return strbuf_cstr(&b);
}

struct slice personal_address(struct arena *a, const struct personal *p,
			      struct slice address)
{
	ptrdiff_t at = slice_rchr(address, '@');
	bool angle = slice_starts(address, "<");
	size_t end = at >= 0 ? (size_t)at : address.n;
	struct slice local;

	if (at < 0 && angle && slice_ends_ci(address, ">"))
		end--;
	local = slice_from(slice_first(address, end), angle);
	if (local.n == 0)
		return address;
	return slice_of(arena_printf(a, "%s%s%.*s", angle ? "<" : "",
				     personal_word(a, p, local),
				     (int)(address.n - end), address.p + end));
}

/* ---- local-parts in texts ---- */

static bool is_local(char c)
{
	return (unsigned char)c > ' ' && strchr("<>()[]:;,\"", c) == NULL;
}

/* Where the quoted string begins that `end` ends; a quote after a backslash is
 * part of it. */
static size_t quoted_start(struct slice s, size_t end)
{
	for (size_t i = end; i-- > 0;)
		if (s.p[i] == '"' && (i == 0 || s.p[i - 1] != '\\'))
			return i;
	return 0;
}

/* Where the local-part begins that ends before `at`: a quoted string or what
 * has no separator (RFC 5322 3.4.1).  A value of a property may stand before
 * it, as in "header.i=user". */
static size_t local_start(struct slice s, size_t at)
{
	size_t i = at;

	if (i > 0 && s.p[i - 1] == '"')
		return quoted_start(s, i - 1);
	while (i > 0 && is_local(s.p[i - 1]) && s.p[i - 1] != '@')
		i--;
	if (i > 0 && s.p[i - 1] == '<')
		return i;
	for (size_t k = i; k < at; k++)
		if (s.p[k] == '=')
			return k + 1;
	return i;
}

const char *personal_text(struct arena *a, const struct personal *p,
			  struct slice s)
{
	struct strbuf b;
	size_t done = 0;

	strbuf_init(&b, a, PERSONAL_TEXT_MAX);
	for (size_t i = 0; i < s.n; i++) {
		size_t from = s.p[i] == '@' ? local_start(s, i) : i;

		if (from < done) /* "a@b"@c: the part after a was left */
			from = done;
		if (from == i)
			continue;
		strbuf_add(&b, slice_first(slice_from(s, done), from - done));
		strbuf_adds(&b, personal_word(a, p,
					      slice_first(slice_from(s, from),
							  i - from)));
		done = i;
	}
	strbuf_add(&b, slice_from(s, done));
	return strbuf_cstr(&b);
}

static bool is_word_at(struct slice text, size_t at, struct slice word)
{
	struct slice rest = slice_from(text, at);

	return slice_eq_ci(slice_first(rest, word.n), word) &&
	       (at == 0 || !ascii_isalnum(text.p[at - 1])) &&
	       (rest.n == word.n || !ascii_isalnum(rest.p[word.n]));
}

struct slice personal_login_in(struct arena *a, const struct personal *p,
			       struct slice login, struct slice text)
{
	struct slice hidden;
	struct strbuf b;

	if (login.n == 0)
		return text;
	hidden = personal_address(a, p, login);
	strbuf_init(&b, a, PERSONAL_TEXT_MAX);
	for (size_t i = 0; i < text.n;) {
		if (!is_word_at(text, i, login)) {
			strbuf_addc(&b, text.p[i++]);
			continue;
		}
		strbuf_add(&b, hidden);
		i += login.n;
	}
	return strbuf_slice(&b);
}
