/*
 * The DMARC record (RFC 9989 4.7), read as 4.8 wants it: the version decides
 * whether this is a record at all, and after that nothing can make the rest of
 * it unusable.  Unknown tags, tags without "=" and bad values are passed
 * over; what they would have set keeps its default.
 *
 * The tags pct, rf and ri of RFC 7489 are historic (RFC 9989 9.3) and so are
 * unknown here.  mail/tagvalue.h is not used since one error there makes the
 * whole list invalid.  Pure; the slices of a record point into the text.
 */
#include "dmarc/dmarc.h"

/* RFC 9989 4.7: WSP may surround "=" and ";"; CR and LF may not. */
static struct slice trim_wsp(struct slice s)
{
	while (s.n > 0 && ascii_iswsp(s.p[0]))
		s = slice_from(s, 1);
	while (s.n > 0 && ascii_iswsp(s.p[s.n - 1]))
		s.n--;
	return s;
}

static bool is_scheme(struct slice s)
{
	if (s.n == 0 || !ascii_isalpha(s.p[0]))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!ascii_isalnum(s.p[i]) && s.p[i] != '+' && s.p[i] != '-' &&
		    s.p[i] != '.')
			return false;
	return true;
}

static bool is_hex(char c)
{
	char l = ascii_lower(c);

	return ascii_isdigit(c) || (l >= 'a' && l <= 'f');
}

/* A character of RFC 3986 that RFC 9989 4.7 lets stand unencoded: "!" and
 * "," are missing on purpose. */
static bool is_uri_char(char c)
{
	static const char marks[] = "-._~:/?#[]@$&'()*+;=";

	if (ascii_isalnum(c))
		return true;
	for (const char *m = marks; *m != '\0'; m++)
		if (c == *m)
			return true;
	return false;
}

/* The size suffix of RFC 7489 ("!10m") is obsolete: stripped and ignored. */
static struct slice strip_size(struct slice uri)
{
	ptrdiff_t at = slice_rchr(uri, '!');
	struct slice size;
	uint64_t value;

	if (at < 0)
		return uri;
	size = slice_from(uri, (size_t)at + 1);
	if (size.n > 0 && !ascii_isdigit(size.p[size.n - 1])) {
		char unit = ascii_lower(size.p[size.n - 1]);
		if (unit != 'k' && unit != 'm' && unit != 'g' && unit != 't')
			return uri;
		size.n--;
	}
	return slice_u64(size, UINT64_MAX, &value)
		       ? slice_first(uri, (size_t)at)
		       : uri;
}

static bool is_uri(struct slice uri)
{
	struct slice rest = strip_size(uri);
	struct slice scheme = slice_cut(&rest, ':');

	if (!is_scheme(scheme) || rest.n == 0)
		return false;
	for (size_t i = 0; i < rest.n; i++) {
		if (rest.p[i] == '%') {
			if (rest.n - i < 3 || !is_hex(rest.p[i + 1]) ||
			    !is_hex(rest.p[i + 2]))
				return false;
			i += 2;
		} else if (!is_uri_char(rest.p[i])) {
			return false;
		}
	}
	return true;
}

static bool has_uri(struct slice list)
{
	while (list.p != NULL)
		if (is_uri(trim_wsp(slice_cut(&list, ','))))
			return true;
	return false;
}

static void read_policy(struct slice value, enum dmarc_policy *ret, bool *bad)
{
	if (slice_is_ci(value, "none"))
		*ret = DMARC_P_NONE;
	else if (slice_is_ci(value, "quarantine"))
		*ret = DMARC_P_QUARANTINE;
	else if (slice_is_ci(value, "reject"))
		*ret = DMARC_P_REJECT;
	else
		*bad = true;
}

static void read_psd(struct slice value, enum dmarc_psd *ret)
{
	if (slice_is_ci(value, "y"))
		*ret = DMARC_PSD_Y;
	else if (slice_is_ci(value, "n"))
		*ret = DMARC_PSD_N;
}

enum tag {
	TAG_P,
	TAG_SP,
	TAG_NP,
	TAG_PSD,
	TAG_T,
	TAG_ADKIM,
	TAG_ASPF,
	TAG_RUA,
	TAG_RUF,
	TAG_FO,
	TAG_UNKNOWN,
};

static const char *const tag_names[TAG_UNKNOWN] = {
	[TAG_P] = "p",	     [TAG_SP] = "sp",	[TAG_NP] = "np",
	[TAG_PSD] = "psd",   [TAG_T] = "t",	[TAG_ADKIM] = "adkim",
	[TAG_ASPF] = "aspf", [TAG_RUA] = "rua", [TAG_RUF] = "ruf",
	[TAG_FO] = "fo",
};

/* Names are case-sensitive, as in RFC 6376 3.2, from which the syntax is. */
static enum tag tag_of(struct slice name)
{
	for (unsigned t = 0; t < TAG_UNKNOWN; t++)
		if (slice_is(name, tag_names[t]))
			return (enum tag)t;
	return TAG_UNKNOWN;
}

static void read_tag(enum tag tag, struct slice value, struct dmarc_record *r)
{
	switch (tag) {
	case TAG_P:
		read_policy(value, &r->p, &r->bad_policy);
		break;
	case TAG_SP:
		read_policy(value, &r->sp, &r->bad_policy);
		break;
	case TAG_NP:
		read_policy(value, &r->np, &r->bad_policy);
		break;
	case TAG_PSD:
		read_psd(value, &r->psd);
		break;
	case TAG_T:
		r->testing = slice_is_ci(value, "y");
		break;
	case TAG_ADKIM:
		r->adkim_strict = slice_is_ci(value, "s");
		break;
	case TAG_ASPF:
		r->aspf_strict = slice_is_ci(value, "s");
		break;
	case TAG_RUA:
		r->rua = value;
		r->has_rua = has_uri(value);
		break;
	case TAG_RUF:
		r->ruf = value;
		break;
	case TAG_FO:
		r->fo = value;
		break;
	case TAG_UNKNOWN:
		break;
	}
}

/* "v=DMARC1" at the very start, exactly (RFC 9989 4.7). */
static bool is_version(struct slice spec)
{
	struct slice value = spec;
	struct slice name = slice_cut(&value, '=');

	return spec.n > 0 && spec.p[0] == 'v' && value.p != NULL &&
	       slice_is(trim_wsp(name), "v") &&
	       slice_is(trim_wsp(value), "DMARC1");
}

bool dmarc_record_parse(struct slice txt, struct dmarc_record *ret)
{
	struct dmarc_record r = {0};
	struct slice rest = txt;
	unsigned seen = 0;

	if (!is_version(slice_cut(&rest, ';')))
		return false;
	while (rest.p != NULL) {
		struct slice value = slice_cut(&rest, ';');
		struct slice name = slice_cut(&value, '=');
		enum tag tag = tag_of(trim_wsp(name));
		/* RFC 9989 4.8: an error is ignored.  The first of several
		 * equal tags is the record's, the repetition is the error. */
		if (value.p == NULL || (seen & (1U << tag)) != 0)
			continue;
		seen |= 1U << tag;
		read_tag(tag, trim_wsp(value), &r);
	}
	*ret = r;
	return true;
}

const char *dmarc_policy_name(enum dmarc_policy p)
{
	switch (p) {
	case DMARC_P_QUARANTINE:
		return "quarantine";
	case DMARC_P_REJECT:
		return "reject";
	case DMARC_P_UNSET:
	case DMARC_P_NONE:
		break;
	}
	return "none";
}
