/*
 * SPF macro syntax and expansion, RFC 7208 section 7, RFC 8616 section 4.
 *
 * Own code and not libspf2's, whose macro compiler writes past its buffer
 * (CVE-2023-42118) and whose %{dN} loses a character: that library never sees
 * a "%".  Every expansion has a hard maximum, so that nested redirects with
 * %{d}%{d}%{d} do not grow.  No look-ups, no clock, no logs.
 */
#include "spf/macro.h"

#include <string.h>

#define EXPANSION_MAX	 8192 /* bytes before left labels are dropped */
#define NAME_MAX_TEXT	 253
#define VALUE_MAX	 1024 /* bytes that one macro stands for */
#define MACROS_MAX	 128  /* in one text: bounds the work */
#define MACRO_DELIMITERS ".-+,/_="

struct macro {
	char letter; /* lower case; '%', ' ' or '-' for an escape */
	bool url;    /* upper case: URL-escaped */
	bool reverse;
	unsigned keep;	     /* rightmost parts; 0: all */
	unsigned delimiters; /* bits of delimiter_bit() */
};

/* 0: no delimiter.  A set, since a record may repeat one 60,000 times. */
static unsigned delimiter_bit(char c)
{
	const char *at = c == '\0' ? NULL : strchr(MACRO_DELIMITERS, c);

	return at == NULL ? 0 : 1U << (at - MACRO_DELIMITERS);
}

/* *DIGIT: any length, saturating; "0" is an error (7.1) */
static bool read_keep(struct slice s, size_t *at, unsigned *ret)
{
	size_t start = *at;
	unsigned n = 0;

	for (; *at < s.n && ascii_isdigit(s.p[*at]); (*at)++)
		if (n < 100000)
			n = n * 10 + (unsigned)(s.p[*at] - '0');
	*ret = n;
	return *at == start || n > 0;
}

/* "{" letter transformers *delimiter "}" from s.p[*at], the brace. */
static bool read_braced(struct slice s, size_t *at, bool exp, struct macro *m)
{
	size_t i = *at + 1;

	if (i >= s.n || s.p[i] == '\0')
		return false;
	m->letter = ascii_lower(s.p[i]);
	m->url = m->letter != s.p[i];
	i++;
	/* 7.2: c, r and t are for explanations only */
	if (strchr(exp ? "slodiphcrtv" : "slodiphv", m->letter) == NULL)
		return false;
	if (!read_keep(s, &i, &m->keep))
		return false;
	if (i < s.n && ascii_lower(s.p[i]) == 'r') {
		m->reverse = true;
		i++;
	}
	for (; i < s.n && delimiter_bit(s.p[i]) != 0; i++)
		m->delimiters |= delimiter_bit(s.p[i]);
	if (m->delimiters == 0) /* 7.1 */
		m->delimiters = delimiter_bit('.');
	if (i >= s.n || s.p[i] != '}')
		return false;
	*at = i + 1;
	return true;
}

/* Reads the macro at s.p[*at] == '%' and moves past it. */
static bool read_macro(struct slice s, size_t *at, bool exp, struct macro *m)
{
	*m = (struct macro){0};
	if (++*at >= s.n)
		return false;
	switch (s.p[*at]) {
	case '{':
		return read_braced(s, at, exp, m);
	case '%':
		m->letter = '%';
		break;
	case '_':
		m->letter = ' ';
		break;
	case '-':
		m->letter = '-';
		break;
	default:
		return false; /* 7.1: a lone "%" is a syntax error */
	}
	++*at;
	return true;
}

/* Checks a macro-string (`exp`: explain-string, with spaces); *last is where
 * its last macro ended. */
static bool string_ok(struct slice s, bool exp, size_t *last)
{
	struct macro m;

	*last = 0;
	for (size_t i = 0; i < s.n;) {
		if (s.p[i] == '%') {
			if (!read_macro(s, &i, exp, &m))
				return false;
			*last = i;
			continue;
		}
		if (s.p[i] < (exp ? 0x20 : 0x21) || s.p[i] > 0x7e)
			return false;
		i++;
	}
	return true;
}

bool spf_macro_string_ok(struct slice s)
{
	size_t last;

	return string_ok(s, false, &last);
}

/* 7.1: not all digits, no "-" at either end */
static bool is_toplabel(struct slice s)
{
	bool other = false;

	if (s.n == 0 || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_isalnum(s.p[i]) && s.p[i] != '-')
			return false;
		if (!ascii_isdigit(s.p[i]))
			other = true;
	}
	return other;
}

bool spf_macro_domain_ok(struct slice s)
{
	ptrdiff_t dot;
	size_t last;

	if (s.n == 0 || !string_ok(s, false, &last))
		return false;
	if (last == s.n) /* domain-end may be a macro */
		return true;
	s = slice_from(s, last);
	if (s.p[s.n - 1] == '.')
		s.n--;
	dot = slice_rchr(s, '.');
	return dot >= 0 && is_toplabel(slice_from(s, (size_t)dot + 1));
}

/* ---- expansion ---- */

/* %{i}: dotted quad, or the nibbles of an IPv6 address */
static void add_client(struct strbuf *b, const struct ip *ip)
{
	static const char hex[] = "0123456789ABCDEF";
	char text[IP_TEXT_MAX];

	if (ip->family != IP_V6) {
		strbuf_adds(b, ip_format(ip, text));
		return;
	}
	for (size_t i = 0; i < 16; i++) {
		if (i > 0)
			strbuf_addc(b, '.');
		strbuf_addc(b, hex[ip->b[i] >> 4]);
		strbuf_addc(b, '.');
		strbuf_addc(b, hex[ip->b[i] & 15]);
	}
}

static void add_value(struct strbuf *b, const struct spf_macro_env *env,
		      char letter)
{
	char text[IP_TEXT_MAX];

	switch (letter) {
	case 's':
		strbuf_add(b, env->local);
		strbuf_addc(b, '@');
		strbuf_adds(b, env->sender);
		break;
	case 'l':
		strbuf_add(b, env->local);
		break;
	case 'o':
		strbuf_adds(b, env->sender);
		break;
	case 'd':
		strbuf_adds(b, env->domain);
		break;
	case 'i':
		add_client(b, &env->client);
		break;
	case 'p':
		strbuf_adds(b, env->validated(env->arg, env->domain));
		break;
	case 'v':
		strbuf_adds(b, env->client.family == IP_V6 ? "ip6" : "in-addr");
		break;
	case 'h':
		strbuf_add(b, env->helo);
		break;
	case 'c':
		strbuf_adds(b, ip_format(&env->client, text));
		break;
	case 'r': /* 7.3: "unknown" if not available */
		strbuf_adds(b,
			    env->receiver != NULL ? env->receiver : "unknown");
		break;
	case 't':
		strbuf_printf(b, "%lld", (long long)env->now);
		break;
	default:
		break;
	}
}

/* Where the parts of a value begin; part i ends one byte before the next one
 * begins.  Returns their number. */
static size_t split(const struct macro *m, struct slice value,
		    uint16_t starts[VALUE_MAX + 2])
{
	size_t n = 0;

	starts[n++] = 0;
	for (size_t i = 0; i < value.n; i++)
		if ((m->delimiters & delimiter_bit(value.p[i])) != 0)
			starts[n++] = (uint16_t)(i + 1);
	starts[n] = (uint16_t)(value.n + 1);
	return n;
}

/* 7.3: "unreserved" of RFC 3986 stays, the rest is %XX */
static void add_url(struct strbuf *b, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (ascii_isalnum(c) || c == '-' || c == '.' || c == '_' ||
		    c == '~')
			strbuf_addc(b, c);
		else
			strbuf_printf(b, "%%%02X", (unsigned char)c);
	}
}

/* `value`: at most VALUE_MAX bytes. */
static struct slice transform(struct arena *a, const struct macro *m,
			      struct slice value)
{
	uint16_t starts[VALUE_MAX + 2];
	struct strbuf b;
	size_t n = split(m, value, starts);
	size_t keep = m->keep > 0 && m->keep < n ? m->keep : n;

	if (!m->reverse && keep == n && m->delimiters == delimiter_bit('.'))
		return value;
	strbuf_init(&b, a, EXPANSION_MAX);
	for (size_t i = n - keep; i < n; i++) {
		size_t k = m->reverse ? n - 1 - i : i;

		if (i > n - keep)
			strbuf_addc(&b, '.');
		strbuf_add(&b, (struct slice){value.p + starts[k],
					      starts[k + 1] - starts[k] - 1U});
	}
	return strbuf_slice(&b);
}

static void add_macro(struct arena *a, struct strbuf *b,
		      const struct spf_macro_env *env, const struct macro *m)
{
	struct strbuf raw;
	struct slice value;

	if (m->letter == '%' || m->letter == ' ') {
		strbuf_addc(b, m->letter);
		return;
	}
	if (m->letter == '-') {
		strbuf_adds(b, "%20");
		return;
	}
	strbuf_init(&raw, a, VALUE_MAX);
	add_value(&raw, env, m->letter);
	if (raw.overflow) {
		b->overflow = true;
		return;
	}
	value = transform(a, m, strbuf_slice(&raw));
	if (m->url)
		add_url(b, value);
	else
		strbuf_add(b, value);
}

static bool is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 0x7f)
			return false;
	return true;
}

/* False: the text cannot be expanded; *unmatched: because of RFC 8616. */
static bool expand(struct arena *a, struct strbuf *b,
		   const struct spf_macro_env *env, struct slice s, bool exp,
		   bool *unmatched)
{
	unsigned macros = 0;
	struct macro m;

	*unmatched = false;
	for (size_t i = 0; i < s.n && !b->overflow;) {
		if (s.p[i] != '%') {
			strbuf_addc(b, s.p[i++]);
			continue;
		}
		if (!read_macro(s, &i, exp, &m))
			return false;
		if (++macros > MACROS_MAX) {
			b->overflow = true;
			return true;
		}
		/* RFC 8616 4: such a term does not match */
		if ((m.letter == 's' || m.letter == 'l') &&
		    !is_ascii(env->local)) {
			*unmatched = true;
			return false;
		}
		add_macro(a, b, env, &m);
	}
	return true;
}

const char *spf_macro_domain(struct arena *a, const struct spf_macro_env *env,
			     struct slice spec, bool *unmatched)
{
	struct strbuf b;
	struct slice name;

	strbuf_init(&b, a, EXPANSION_MAX);
	if (!expand(a, &b, env, spec, false, unmatched) || b.overflow)
		return NULL;
	name = strbuf_slice(&b);
	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--; /* 7.3: the trailing dot is allowed */
	/* 7.3: left labels go until 253 are left */
	while (name.n > NAME_MAX_TEXT) {
		ptrdiff_t dot = slice_chr(name, '.');
		if (dot < 0)
			return NULL;
		name = slice_from(name, (size_t)dot + 1);
	}
	if (name.n == 0 || memchr(name.p, '\0', name.n) != NULL)
		return NULL;
	return slice_cstr(a, name);
}

const char *spf_macro_explanation(struct arena *a,
				  const struct spf_macro_env *env,
				  struct slice text)
{
	struct strbuf b;
	size_t last;
	bool unmatched;

	/* 6.2: US-ASCII; a syntax error means no explanation */
	if (text.n == 0 || !string_ok(text, true, &last))
		return NULL;
	strbuf_init(&b, a, EXPANSION_MAX);
	if (!expand(a, &b, env, text, true, &unmatched) || b.n == 0)
		return NULL;
	/* 11.5.2: what came from the wire (HELO, local-part) may hold
	 * anything */
	if (b.n > SPF_EXPLANATION_MAX) {
		b.n = SPF_EXPLANATION_MAX;
		b.p[b.n] = '\0';
	}
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] < 0x20 || b.p[i] > 0x7e)
			b.p[i] = '?';
	return b.p;
}
