/*
 * SPF record syntax, RFC 7208 sections 4.5, 4.6.1, 5, 6 and 12.
 *
 * This is the strict reader that stands in front of libspf2: that library
 * accepts records that the grammar refuses, loses terms past 511 bytes and
 * refuses /0, so it never sees published text.  Nothing here looks anything
 * up or expands a macro (macro.c); nothing is allocated, so a record of
 * 64 KiB costs no memory.
 */
#include "spf/record.h"

#include <arpa/inet.h>
#include <string.h>

#include "spf/macro.h"

#define IP_LITERAL_MAX 45 /* INET6_ADDRSTRLEN without the NUL */

bool spf_record_is(struct slice txt)
{
	/* 4.5: "v=spf1" ends with a space or the record: not "v=spf10" */
	return slice_starts_ci(txt, "v=spf1") &&
	       (txt.n == 6 || txt.p[6] == ' ');
}

/* An optional "/NN" in `s`, all of it. */
static bool read_bits(struct slice s, unsigned max, unsigned *ret)
{
	uint64_t n;

	if (s.n < 1 || s.n > 3)
		return false;
	/* 12: "0" or a digit 1-9 first: no leading zeros */
	if (s.p[0] == '0' && s.n > 1)
		return false;
	if (!slice_u64(s, max, &n))
		return false;
	*ret = (unsigned)n;
	return true;
}

/* Offset of the digits that end `s`. */
static size_t digits_at_end(struct slice s)
{
	size_t at = s.n;

	while (at > 0 && ascii_isdigit(s.p[at - 1]))
		at--;
	return at;
}

/* Takes [ ip4-cidr-length ] [ "/" ip6-cidr-length ] off the end (5.3).  A
 * "/" elsewhere is part of a macro-string. */
static bool take_cidr(struct slice *s, struct spf_term *t)
{
	size_t at = digits_at_end(*s);

	if (at < s->n && at >= 2 && s->p[at - 1] == '/' &&
	    s->p[at - 2] == '/') {
		if (!read_bits(slice_from(*s, at), 128, &t->bits6))
			return false;
		*s = slice_first(*s, at - 2);
		at = digits_at_end(*s);
	}
	if (at < s->n && at >= 1 && s->p[at - 1] == '/') {
		if (!read_bits(slice_from(*s, at), 32, &t->bits4))
			return false;
		*s = slice_first(*s, at - 1);
	}
	return true;
}

/* ":" domain-spec; optional when `may_be_absent`. */
static bool read_domain(struct slice arg, bool may_be_absent,
			struct spf_term *t)
{
	if (arg.n == 0)
		return may_be_absent;
	if (arg.p[0] != ':')
		return false;
	t->domain = slice_from(arg, 1);
	return spf_macro_domain_ok(t->domain);
}

static bool read_ip(struct slice arg, int family, unsigned max, unsigned *bits,
		    struct spf_term *t)
{
	char text[IP_LITERAL_MAX + 1];
	ptrdiff_t slash;

	if (arg.n < 1 || arg.p[0] != ':')
		return false;
	arg = slice_from(arg, 1);
	slash = slice_chr(arg, '/');
	if (slash >= 0) {
		if (!read_bits(slice_from(arg, (size_t)slash + 1), max, bits))
			return false;
		arg = slice_first(arg, (size_t)slash);
	}
	if (arg.n == 0 || arg.n > IP_LITERAL_MAX ||
	    memchr(arg.p, '\0', arg.n) != NULL)
		return false;
	memcpy(text, arg.p, arg.n);
	text[arg.n] = '\0';
	/* not ip_parse(): a mapped ip6 must stay IPv6, which no IPv4 client
	 * matches.  5.6: inet_pton() wants a full quad, no leading zeros */
	return inet_pton(family, text, t->addr) == 1;
}

static bool read_mechanism(struct slice name, struct slice arg,
			   struct spf_term *t)
{
	static const struct {
		const char *name;
		enum spf_kind kind;
	} names[] = {
		{"all", SPF_KIND_ALL}, {"include", SPF_KIND_INCLUDE},
		{"a", SPF_KIND_A},     {"mx", SPF_KIND_MX},
		{"ptr", SPF_KIND_PTR}, {"ip4", SPF_KIND_IP4},
		{"ip6", SPF_KIND_IP6}, {"exists", SPF_KIND_EXISTS},
	};
	size_t i = 0;

	while (i < sizeof(names) / sizeof(names[0]) &&
	       !slice_is_ci(name, names[i].name))
		i++;
	if (i == sizeof(names) / sizeof(names[0]))
		return false;
	t->kind = names[i].kind;
	if (t->kind == SPF_KIND_ALL)
		return arg.n == 0;
	if (t->kind == SPF_KIND_IP4)
		return read_ip(arg, AF_INET, 32, &t->bits4, t);
	if (t->kind == SPF_KIND_IP6)
		return read_ip(arg, AF_INET6, 128, &t->bits6, t);
	if (t->kind == SPF_KIND_A || t->kind == SPF_KIND_MX)
		return take_cidr(&arg, t) && read_domain(arg, true, t);
	return read_domain(arg, t->kind == SPF_KIND_PTR, t);
}

/* 4.6.1: ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ) */
static bool is_modifier_name(struct slice s)
{
	if (s.n == 0 || !ascii_isalpha(s.p[0]))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!ascii_isalnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' &&
		    s.p[i] != '.')
			return false;
	return true;
}

static bool read_modifier(struct slice name, struct slice value,
			  struct spf_term *t)
{
	if (!is_modifier_name(name))
		return false;
	if (slice_is_ci(name, "redirect"))
		t->kind = SPF_KIND_REDIRECT;
	else if (slice_is_ci(name, "exp"))
		t->kind = SPF_KIND_EXP;
	else
		t->kind = SPF_KIND_UNKNOWN;
	/* 6: unknown modifiers are ignored, but their syntax counts */
	if (t->kind == SPF_KIND_UNKNOWN)
		return spf_macro_string_ok(value);
	t->domain = value;
	return spf_macro_domain_ok(value);
}

static bool take_qualifier(struct slice *s, enum spf_qualifier *ret)
{
	static const char chars[] = "+-~?"; /* as enum spf_qualifier */
	const char *c;

	*ret = SPF_QUALIFIER_PASS;
	if (s->n == 0 || s->p[0] == '\0')
		return false;
	c = strchr(chars, s->p[0]);
	if (c == NULL)
		return false;
	*ret = (enum spf_qualifier)(c - chars);
	*s = slice_from(*s, 1);
	return true;
}

static bool read_term(struct slice s, struct spf_term *t)
{
	size_t n = 0;
	bool qualified;

	*t = (struct spf_term){.text = s, .bits4 = 32, .bits6 = 128};
	qualified = take_qualifier(&s, &t->qualifier);
	while (n < s.n && s.p[n] != ':' && s.p[n] != '/' && s.p[n] != '=')
		n++;
	if (n < s.n && s.p[n] == '=') /* modifiers take no qualifier */
		return !qualified && read_modifier(slice_first(s, n),
						   slice_from(s, n + 1), t);
	return read_mechanism(slice_first(s, n), slice_from(s, n), t);
}

bool spf_record_next(struct slice *rest, struct spf_term *ret, bool *bad)
{
	size_t n = 0;

	*bad = false;
	while (rest->n > 0 && rest->p[0] == ' ')
		*rest = slice_from(*rest, 1);
	if (rest->n == 0)
		return false;
	while (n < rest->n && rest->p[n] != ' ')
		n++;
	*bad = !read_term(slice_first(*rest, n), ret);
	*rest = slice_from(*rest, n);
	return !*bad;
}

/* 6: each of redirect and exp at most once */
static bool set_once(struct slice *at, struct slice domain)
{
	if (at->n > 0)
		return false;
	*at = domain;
	return true;
}

/* False at the first fault; *fault is then the term that has it, empty for
 * a text that is no SPF record. */
static bool parse(struct slice txt, struct spf_record *r, struct slice *fault)
{
	struct spf_term t = {0};
	struct slice rest;
	bool bad;

	*r = (struct spf_record){0};
	*fault = (struct slice){"", 0};
	if (!spf_record_is(txt))
		return false;
	r->terms = rest = slice_from(txt, 6);
	while (spf_record_next(&rest, &t, &bad)) {
		*fault = t.text;
		if (t.kind == SPF_KIND_ALL)
			r->has_all = true;
		if (t.kind == SPF_KIND_REDIRECT &&
		    !set_once(&r->redirect, t.domain))
			return false;
		if (t.kind == SPF_KIND_EXP && !set_once(&r->exp, t.domain))
			return false;
	}
	if (bad)
		*fault = t.text;
	return !bad;
}

bool spf_record_parse(struct slice txt, struct spf_record *ret)
{
	struct spf_record r;
	struct slice fault;

	if (!parse(txt, &r, &fault))
		return false;
	*ret = r;
	return true;
}

struct slice spf_record_fault(struct slice txt)
{
	struct spf_record r;
	struct slice fault;

	return parse(txt, &r, &fault) ? (struct slice){"", 0} : fault;
}
