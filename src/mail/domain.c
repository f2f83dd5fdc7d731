/*
 * Canonical domains: lower-case A-labels without trailing dot.  The only code
 * that includes libidn2, and only for names that are not ASCII.  Pure.
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

/* HP-8: U+2000-206F, U+00AD, U+3000 and U+FEFF, which UTS46 would map away,
 * so that two names that look alike became one. */
static bool has_invisible(struct slice s)
{
	for (size_t i = 0; i + 1 < s.n; i++) {
		const unsigned char *u = (const unsigned char *)s.p + i;
		bool third = i + 2 < s.n;

		if (u[0] == 0xc2 && u[1] == 0xad)
			return true;
		if (u[0] == 0xe2 &&
		    (u[1] == 0x80 || (u[1] == 0x81 && third && u[2] < 0xb0)))
			return true;
		if (third && u[0] == 0xe3 && u[1] == 0x80 && u[2] == 0x80)
			return true;
		if (third && u[0] == 0xef && u[1] == 0xbb && u[2] == 0xbf)
			return true;
	}
	return false;
}

/* RFC 8616 4: U-labels become A-labels.  NULL when they cannot. */
static const char *to_ascii(struct arena *a, struct slice s)
{
	const uint8_t *u = (const uint8_t *)slice_cstr(a, s);
	uint8_t *out = NULL;
	const char *ret = NULL;
	int flags = IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL;

	if (has_invisible(s))
		return NULL;
	if (idn2_lookup_u8(u, &out, flags) == IDN2_OK && out != NULL)
		ret = arena_strdup(a, (const char *)out);
	idn2_free(out);
	return ret;
}

const char *domain_canon(struct arena *a, struct slice s)
{
	const char *name;

	if (s.n > 0 && s.p[s.n - 1] == '.')
		s.n--;
	/* a U-label takes at most 4 bytes a character */
	if (s.n == 0 || s.n > 4 * (size_t)DOMAIN_MAX ||
	    memchr(s.p, '\0', s.n) != NULL)
		return NULL;
	name = is_ascii(s) ? slice_lower(a, s) : to_ascii(a, s);
	if (name == NULL || !name_ok(name))
		return NULL;
	return slice_lower(a, slice_of(name));
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
