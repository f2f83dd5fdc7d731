/*
 * Decodes RFC 2047.
 *
 * A filter that is stricter than the reader's program is passed by, so this
 * one takes what such programs take, but for no more than is shown: bytes,
 * words and conversions are bounded.
 */
#include "mail/words.h"

#include <string.h>

#include "mail/base64.h"

#define WORD_MAX 2048 /* bytes of an encoded text; RFC 2047 2 says 75 */

struct word {
	struct slice charset;
	char encoding; /* 'b' or 'q' */
	struct slice text;
};

struct decoder {
	const struct lookalike *l;
	struct arena *arena;
	struct strbuf out;
	struct slice charset; /* of what is pending */
	struct strbuf pending;
	unsigned conversions;
};

/* "=?charset*lang?B?text?=" at the beginning of `s` (RFC 2047 2, RFC 2231 5).
 * Returns its length, or 0. */
static size_t read_word(struct slice s, struct word *ret)
{
	struct slice rest = slice_from(s, 2), charset, encoding;

	if (!slice_starts(s, "=?"))
		return 0;
	charset = slice_cut(&rest, '?');
	if (rest.p == NULL || charset.n > LOOKALIKE_CHARSET_MAX)
		return 0;
	encoding = slice_cut(&rest, '?');
	if (rest.p == NULL || encoding.n != 1)
		return 0;
	ret->charset = slice_cut(&charset, '*');
	ret->encoding = ascii_lower(encoding.p[0]);
	for (size_t i = 0; i + 1 < rest.n && i < WORD_MAX; i++) {
		if (rest.p[i] != '?' || rest.p[i + 1] != '=')
			continue;
		ret->text = slice_first(rest, i);
		return ret->encoding == 'b' || ret->encoding == 'q'
			       ? (size_t)(rest.p + i + 2 - s.p)
			       : 0;
	}
	return 0;
}

static int hex(char c)
{
	char l = ascii_lower(c);

	return ascii_isdigit(c)	      ? c - '0'
	       : l >= 'a' && l <= 'f' ? l - 'a' + 10
				      : -1;
}

/* RFC 2047 4.2 */
static void add_q(struct strbuf *b, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		int high = -1, low = -1;
		if (s.p[i] == '=' && i + 2 < s.n) {
			high = hex(s.p[i + 1]);
			low = hex(s.p[i + 2]);
		}
		if (high >= 0 && low >= 0) {
			strbuf_addc(b, (char)(high << 4 | low));
			i += 2;
		} else {
			strbuf_addc(b, s.p[i] == '_' ? ' ' : s.p[i]);
		}
	}
}

/* RFC 2047 4.1; what is no base64 is passed over, padding may be missing. */
static void add_b(struct strbuf *b, struct slice s)
{
	struct strbuf clean;
	struct slice bytes;

	strbuf_init(&clean, b->arena, s.n + 4);
	for (size_t i = 0; i < s.n; i++)
		if (ascii_isalnum(s.p[i]) || s.p[i] == '+' || s.p[i] == '/')
			strbuf_addc(&clean, s.p[i]);
	if (clean.n % 4 == 1)
		clean.n--;
	while (clean.n % 4 != 0)
		strbuf_addc(&clean, '=');
	if (base64_decode(b->arena, strbuf_slice(&clean), &bytes))
		strbuf_add(b, bytes);
}

static bool is_utf8(struct slice charset)
{
	return slice_is_ci(charset, "utf-8") || slice_is_ci(charset, "utf8") ||
	       slice_is_ci(charset, "us-ascii");
}

/* A control is not shown, or as a space. */
static void add_text(struct strbuf *b, struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		strbuf_addc(b, (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f
				       ? ' '
				       : s.p[i]);
}

/* Words of one charset are one text: a character may be in two halves. */
static void flush(struct decoder *d)
{
	struct slice bytes = strbuf_slice(&d->pending), text = bytes;

	if (bytes.n == 0)
		return;
	if (!is_utf8(d->charset) && d->conversions++ < WORDS_CHARSETS_MAX &&
	    !lookalike_decode(d->l, d->arena, d->charset, bytes, &text))
		text = bytes;
	add_text(&d->out, text);
	strbuf_init(&d->pending, d->arena, LOOKALIKE_TEXT_MAX);
}

static void add_word(struct decoder *d, const struct word *w)
{
	if (!slice_eq_ci(w->charset, d->charset))
		flush(d);
	d->charset = w->charset;
	if (w->encoding == 'q')
		add_q(&d->pending, w->text);
	else
		add_b(&d->pending, w->text);
}

static void add_plain(struct decoder *d, struct slice s)
{
	flush(d);
	add_text(&d->out, s);
}

static bool is_space(char c)
{
	return ascii_iswsp(c) || c == '\r' || c == '\n';
}

/* Of a fold the white space stays. */
static void add_blank(struct decoder *d, struct slice blank)
{
	for (size_t i = 0; i < blank.n; i++)
		if (ascii_iswsp(blank.p[i]))
			add_plain(d, slice_first(slice_from(blank, i), 1));
}

/* The white space at the beginning of `s`. */
static size_t spaces(struct slice s)
{
	size_t n = 0;

	while (n < s.n && is_space(s.p[n]))
		n++;
	return n;
}

struct slice words_decode(const struct lookalike *l, struct arena *a,
			  struct slice value)
{
	struct decoder d = {.l = l, .arena = a, .charset = {"", 0}};
	struct slice s = slice_first(value, LOOKALIKE_TEXT_MAX);
	bool after_word = false;

	strbuf_init(&d.out, a, 4 * LOOKALIKE_TEXT_MAX);
	strbuf_init(&d.pending, a, LOOKALIKE_TEXT_MAX);
	while (s.n > 0) {
		struct slice blank = slice_first(s, spaces(s));
		struct word w;
		size_t n;

		s = slice_from(s, blank.n);
		n = read_word(s, &w);
		/* RFC 2047 6.2: white space between two is not shown */
		if (n == 0 || !after_word)
			add_blank(&d, blank);
		after_word = n > 0;
		if (n > 0)
			add_word(&d, &w);
		else
			add_plain(&d, slice_first(s, n = 1));
		s = slice_from(s, n);
	}
	flush(&d);
	return strbuf_slice(&d.out);
}

/* Without quotes and comments (RFC 5322 3.2.2, 3.2.4); `phrase` is well
 * formed. */
static struct slice unquote(struct arena *a, struct slice phrase)
{
	struct strbuf b;
	unsigned depth = 0;
	bool quoted = false;

	strbuf_init(&b, a, phrase.n + 1);
	for (size_t i = 0; i < phrase.n; i++) {
		char c = phrase.p[i];
		if (c == '\\' && (quoted || depth > 0) && i + 1 < phrase.n) {
			i++;
			if (depth == 0)
				strbuf_addc(&b, phrase.p[i]);
		} else if (c == '"' && depth == 0) {
			quoted = !quoted;
		} else if (c == '(' && !quoted) {
			depth++;
		} else if (c == ')' && depth > 0) {
			depth--;
		} else if (depth == 0) {
			strbuf_addc(&b, c);
		}
	}
	return strbuf_slice(&b);
}

struct slice words_display(const struct lookalike *l, struct arena *a,
			   struct slice phrase)
{
	return words_decode(
		l, a, unquote(a, slice_first(phrase, LOOKALIKE_TEXT_MAX)));
}
