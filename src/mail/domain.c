/*
 * Canonical domains: lower-case A-labels without trailing dot (RFC 5890
 * 2.3.2.1, RFC 8616 4).
 *
 * This is the only code that includes libidn2, and only labels that are not
 * ASCII go there: ASCII labels are kept as they stand, "xn--" and "_" too
 * (domain_unicode() shows what A-labels stand for).  It does not judge whether
 * a name exists, or looks like another one (mail/lookalike.c,
 * eval/imitation.c). Results live in the caller's arena.  Pure.
 */
#include "mail/domain.h"

#include <stdlib.h>
#include <string.h>

#include <idn2.h>

/* Letters, digits, "-" and "_"; labels and name of legal length. */
static bool name_ok(const char *s)
{
	size_t label = 0, n = 0;

	for (; s[n] != '\0'; n++) {
		if (s[n] == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (!ascii_isalnum(s[n]) && s[n] != '-' && s[n] != '_')
			return false;
		if (++label > DOMAIN_LABEL_MAX)
			return false;
	}
	return n > 0 && n <= DOMAIN_MAX && label > 0;
}

static bool is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

/* Code points that nobody sees, or sees as a space, and that UTS46 would drop
 * or map: a name with one is not the name that it looks like (HP-8). */
static bool invisible(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0x0080, 0x00a0},   {0x00ad, 0x00ad},	{0x034f, 0x034f},
		{0x061c, 0x061c},   {0x115f, 0x1160},	{0x1680, 0x1680},
		{0x17b4, 0x17b5},   {0x180b, 0x180f},	{0x2000, 0x200f},
		{0x2028, 0x202f},   {0x205f, 0x206f},	{0x2800, 0x2800},
		{0x3000, 0x3000},   {0x3164, 0x3164},	{0xfe00, 0xfe0f},
		{0xfeff, 0xfeff},   {0xffa0, 0xffa0},	{0xfff0, 0xffff},
		{0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

/* `s` is taken for UTF-8; libidn2 refuses what is not. */
static bool has_invisible(struct slice s)
{
	uint32_t c = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];
		bool last = i + 1 == s.n || (s.p[i + 1] & 0xc0) != 0x80;
		if (b < 0x80)
			c = b;
		else if (b < 0xc0)
			c = c << 6 | (b & 0x3f);
		else
			c = b & (b < 0xe0 ? 0x1f : b < 0xf0 ? 0x0f : 0x07);
		if (last && invisible(c))
			return true;
	}
	return false;
}

/* RFC 8616 4: a U-label becomes an A-label.  False when it cannot. */
static bool add_label(struct strbuf *out, struct slice label)
{
	const int flags = IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL;
	const uint8_t *u;
	uint8_t *converted = NULL;
	bool ok;

	if (is_ascii(label)) {
		strbuf_add(out, label);
		return true;
	}
	if (has_invisible(label))
		return false;
	u = (const uint8_t *)slice_cstr(out->arena, label);
	ok = idn2_lookup_u8(u, &converted, flags) == IDN2_OK;
	if (ok)
		strbuf_adds(out, (const char *)converted);
	idn2_free(converted);
	return ok;
}

/* Label by label, so that libidn2 does not see the ASCII ones. */
static const char *to_ascii(struct arena *a, struct slice s)
{
	struct slice rest = s;
	struct strbuf out;

	strbuf_init(&out, a, DOMAIN_MAX);
	for (bool first = true; rest.p != NULL; first = false) {
		if (!first)
			strbuf_addc(&out, '.');
		if (!add_label(&out, slice_cut(&rest, '.')))
			return NULL;
	}
	return out.overflow ? NULL : strbuf_cstr(&out);
}

const char *domain_canon(struct arena *a, struct slice s)
{
	const char *name;

	if (s.n > 0 && s.p[s.n - 1] == '.')
		s.n--;
	/* UTF-8 has at most 4 bytes a character. */
	if (s.n == 0 || s.n > 4 * (size_t)DOMAIN_MAX ||
	    memchr(s.p, '\0', s.n) != NULL)
		return NULL;
	name = is_ascii(s) ? slice_cstr(a, s) : to_ascii(a, s);
	if (name == NULL || !name_ok(name))
		return NULL;
	return slice_lower(a, slice_of(name));
}

/* libidn2 decodes what nobody could have encoded, controls too: a U-label leads
 * back to its A-label (RFC 5891 5.4). */
static const char *u_label(struct arena *a, struct slice label)
{
	const char *same = slice_cstr(a, label), *back;
	char *text = NULL;
	const char *ret = same;

	if (!slice_starts(label, "xn--") ||
	    idn2_to_unicode_8z8z(same, &text, 0) != IDN2_OK)
		return same;
	back = domain_canon(a, slice_of(text));
	if (back != NULL && strcmp(back, same) == 0)
		ret = arena_strdup(a, text);
	idn2_free(text);
	return ret;
}

const char *domain_unicode(struct arena *a, const char *domain)
{
	struct slice rest = slice_of(domain);
	struct strbuf out;

	strbuf_init(&out, a, 4 * DOMAIN_MAX);
	for (bool first = true; rest.p != NULL; first = false) {
		if (!first)
			strbuf_addc(&out, '.');
		strbuf_adds(&out, u_label(a, slice_cut(&rest, '.')));
	}
	return strbuf_cstr(&out);
}

unsigned domain_labels(const char *domain)
{
	unsigned n = domain[0] != '\0';

	for (; *domain != '\0'; domain++)
		n += *domain == '.';
	return n;
}

const char *domain_suffix(const char *domain, unsigned n)
{
	unsigned have = domain_labels(domain);

	for (; have > n; have--)
		domain = domain_parent(domain);
	return domain;
}

const char *domain_parent(const char *domain)
{
	const char *dot = strchr(domain, '.');

	return dot != NULL ? dot + 1 : domain + strlen(domain);
}

bool domain_is_under(const char *sub, const char *domain)
{
	size_t n = strlen(sub), m = strlen(domain);

	if (n < m || strcmp(sub + n - m, domain) != 0)
		return false;
	return n == m || sub[n - m - 1] == '.';
}
