/*
 * Sendmail writes From, To, Cc and the other lists of addresses anew when it
 * delivers, after its filters have seen them: one comma and one space between
 * addresses, no space within one, quotes around a name with a dot.  What is
 * signed must be that form.
 *
 * The rules are what Sendmail 8.17 was seen to do (tests/mta has the proof).
 * They are told for the usual forms alone; the others (routes, groups with
 * members, addresses with "%" or "!", domains without a dot) depend on its
 * rule sets and on the DNS.  Not told either: what a site adds by
 * masquerading or a generics table.  Pure.
 */
#include "dkim/sendmail.h"

#include <string.h>

#include "dkim/names.h"

/* Sendmail cuts names of more than 256 bytes in ways of its own. */
#define ELEMENT_MAX_BYTES 200

static bool is_space(char c)
{
	return ascii_iswsp(c) || c == '\r' || c == '\n';
}

static struct slice trim(struct slice s)
{
	while (s.n > 0 && is_space(s.p[0]))
		s = slice_from(s, 1);
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* RFC 5322 3.2.3: atext */
static bool is_atext(char c)
{
	return ascii_isalnum(c) ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* ---- parts of an address ---- */

/* Comments of their own; one with a quote is read differently. */
static bool is_comment(struct slice s)
{
	return s.n > 1 && s.p[0] == '(' && slice_chr(s, '"') < 0 &&
	       dkim_skip_comment(s, 0) == s.n && s.p[s.n - 1] == ')';
}

static bool is_plain_local(struct slice s)
{
	if (s.n > 2 && s.p[0] == '"')
		return slice_chr(s, '\\') < 0 &&
		       dkim_skip_quoted(s, 0, '"') == s.n;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '%' || s.p[i] == '!' ||
		    !(is_atext(s.p[i]) || s.p[i] == '.'))
			return false;
	return s.n > 0;
}

static bool is_plain_domain(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_isalnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' &&
		    s.p[i] != '.')
			return false;
	return slice_chr(s, '.') > 0;
}

/* "local@domain", without white space and the dot at its end. */
static bool add_address(struct strbuf *b, struct slice s)
{
	ptrdiff_t at = slice_rchr(s, '@');
	struct slice local, domain;

	if (at < 0)
		return false;
	local = trim(slice_first(s, (size_t)at));
	domain = trim(slice_from(s, (size_t)at + 1));
	if (domain.n > 0 && domain.p[domain.n - 1] == '.')
		domain.n--;
	if (!is_plain_local(local) || !is_plain_domain(domain))
		return false;
	strbuf_add(b, local);
	strbuf_addc(b, '@');
	strbuf_add(b, domain);
	return true;
}

/* What stands before "<", with the white space at its end.  Of a name that
 * must be quoted and has quotes or comments already, nothing is told. */
static bool add_name(struct strbuf *b, struct slice s)
{
	bool quote = false, marked = false;
	struct slice name = trim(s);

	for (size_t i = 0; i < s.n;) {
		char c = s.p[i];

		if (c == '"' || c == '(') {
			marked = true;
			i = c == '"' ? dkim_skip_quoted(s, i, c)
				     : dkim_skip_comment(s, i);
			continue;
		}
		quote = quote || c == '.' || c == '\'';
		if (!is_space(c) && !is_atext(c) && c != '.' &&
		    (unsigned char)c < 128)
			return false;
		i++;
	}
	if (quote && marked)
		return false;
	strbuf_adds(b, quote ? "\"" : "");
	strbuf_add(b, name);
	strbuf_adds(b, quote ? "\"" : "");
	if (s.n > 0 && is_space(s.p[s.n - 1]))
		strbuf_addc(b, ' ');
	return true;
}

/* ---- one element of the list ---- */

/* The offset of the first `c` outside quotes and comments, or s.n; more than
 * that when one of those does not end. */
static size_t find(struct slice s, size_t i, char c)
{
	while (i < s.n && s.p[i] != c) {
		if (s.p[i] == '"')
			i = dkim_skip_quoted(s, i, '"');
		else if (s.p[i] == '(')
			i = dkim_skip_comment(s, i);
		else
			i++;
	}
	return i;
}

/* name <address> (comment) */
static bool add_angle(struct strbuf *b, struct slice s, size_t open)
{
	size_t close = find(s, open, '>');
	struct slice rest;

	if (close >= s.n || !add_name(b, slice_first(s, open)))
		return false;
	strbuf_addc(b, '<');
	if (!add_address(b, (struct slice){s.p + open + 1, close - open - 1}))
		return false;
	strbuf_addc(b, '>');
	rest = slice_from(s, close + 1);
	if (trim(rest).n > 0 && !is_comment(trim(rest)))
		return false;
	strbuf_add(b, rest);
	return true;
}

/* address, address (comment), (comment) address: a space between them */
static bool add_bare(struct strbuf *b, struct slice s)
{
	size_t open = find(s, 0, '('), end;
	struct slice comment;

	if (open >= s.n)
		return add_address(b, s);
	end = dkim_skip_comment(s, open);
	comment = slice_first(slice_from(s, open), end - open);
	if (!is_comment(comment) || (open > 0 && end < s.n))
		return false;
	if (open == 0) {
		strbuf_add(b, comment);
		strbuf_addc(b, ' ');
		return add_address(b, slice_from(s, end));
	}
	if (!add_address(b, slice_first(s, open)))
		return false;
	strbuf_addc(b, ' ');
	strbuf_add(b, comment);
	return true;
}

/* A group without members: "undisclosed-recipients:;" */
static bool add_group(struct strbuf *b, struct slice s)
{
	ptrdiff_t colon = slice_chr(s, ':');

	if (colon <= 0 || trim(slice_from(s, (size_t)colon + 1)).n != 1)
		return false;
	for (size_t i = 0; i < (size_t)colon; i++)
		if (!is_space(s.p[i]) && !is_atext(s.p[i]))
			return false;
	strbuf_add(b, s);
	return s.p[s.n - 1] == ';';
}

static bool add_element(struct strbuf *b, struct slice s)
{
	size_t open = find(s, 0, '<');

	if (s.n > ELEMENT_MAX_BYTES || open > s.n)
		return false;
	if (open < s.n)
		return add_angle(b, s, open);
	return s.p[s.n - 1] == ';' ? add_group(b, s) : add_bare(b, s);
}

/* ---- the list ---- */

bool dkim_sendmail_form(struct arena *a, struct slice value, struct slice *ret)
{
	struct strbuf b;
	size_t end;

	/* Each comma may become a fold, each name get quotes. */
	strbuf_init(&b, a, 4 * value.n + 16);
	for (size_t i = 0; i < value.n; i = end + 1) {
		struct slice s;

		end = find(value, i, ',');
		if (end > value.n)
			return false;
		s = trim((struct slice){value.p + i, end - i});
		if (s.n == 0)
			continue;
		strbuf_adds(&b, strbuf_slice(&b).n > 0 ? ",\r\n\t" : " ");
		if (!add_element(&b, s))
			return false;
	}
	if (b.overflow)
		return false;
	*ret = strbuf_slice(&b);
	return true;
}

/* Equal after relaxed canonicalization (RFC 6376 3.4.2). */
static bool same_relaxed(struct slice x, struct slice y)
{
	size_t i = 0, k = 0;

	x = trim(x);
	y = trim(y);
	while (i < x.n && k < y.n) {
		bool space = is_space(x.p[i]);

		if (space != is_space(y.p[k]) || (!space && x.p[i] != y.p[k]))
			return false;
		i++;
		k++;
		for (; space && is_space(x.p[i]); i++)
			;
		for (; space && is_space(y.p[k]); k++)
			;
	}
	return i == x.n && k == y.n;
}

bool dkim_sendmail_keeps(struct arena *a, struct slice value)
{
	struct slice form;

	return dkim_sendmail_form(a, value, &form) && same_relaxed(value, form);
}

void dkim_sendmail_fields(struct arena *a, const struct field_list *l,
			  struct field_list *ret)
{
	struct field_list out = *l;

	out.v = arena_array(a, l->n + 1, sizeof(*out.v));
	for (size_t i = 0; i < l->n; i++) {
		struct field *f = &out.v[i];
		struct slice form;
		struct strbuf b;

		*f = l->v[i];
		if (!dkim_has_addresses(f->name) ||
		    !dkim_sendmail_form(a, f->value, &form))
			continue;
		strbuf_init(&b, a, f->name.n + 1 + form.n);
		strbuf_add(&b, f->name);
		strbuf_addc(&b, ':');
		strbuf_add(&b, form);
		f->raw = strbuf_slice(&b);
		f->name = slice_first(f->raw, f->name.n);
		f->value = slice_from(f->raw, f->name.n + 1);
	}
	*ret = out;
}
