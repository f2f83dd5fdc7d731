/*
 * Address lists (RFC 5322 3.4 with the obsolete forms of 4.4, RFC 6854 groups,
 * RFC 6532 UTF-8) and envelope paths (RFC 5321 4.1.2).
 *
 * The parser never guesses: two readers that could see two different authors
 * in one value is what the published attacks live on, so everything that does
 * not parse as a whole is malformed, with a constant reason (HP-1 to HP-13).
 * Encoded-words (RFC 2047) are display text and never decoded here (HP-5).
 * Results live in the caller's arena or point into the value.  Pure.
 */
#include "mail/addr.h"

#include <string.h>

#include "base/ip.h"
#include "mail/domain.h"

#define COMMENT_DEPTH_MAX 20

struct cursor {
	struct arena *arena;
	struct slice s;
	size_t at;
	const char *reason; /* NULL: no error so far */
};

static bool fail(struct cursor *c, const char *reason)
{
	if (c->reason == NULL)
		c->reason = reason;
	return false;
}

static bool at_end(const struct cursor *c)
{
	return c->at >= c->s.n;
}

static char peek(const struct cursor *c)
{
	return at_end(c) ? '\0' : c->s.p[c->at];
}

static bool take(struct cursor *c, char want)
{
	if (at_end(c) || c->s.p[c->at] != want)
		return false;
	c->at++;
	return true;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* RFC 5322 3.2.3 and RFC 6532 3.2 */
static bool is_atext(char c)
{
	return (unsigned char)c >= 0x80 || ascii_isalnum(c) ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* After a "\\".  RFC 5322 4.1 would let it quote a line end: readers differ
 * on that, so it is malformed (HP-4). */
static bool take_escaped(struct cursor *c, char *ret)
{
	*ret = peek(c);
	if (at_end(c) || *ret == '\r' || *ret == '\n')
		return fail(c, "backslash without a character");
	c->at++;
	return true;
}

/* A comment; the "(" is next.  Comments nest. */
static bool skip_comment(struct cursor *c)
{
	unsigned depth = 0;

	while (!at_end(c)) {
		char ch = c->s.p[c->at++];

		if (ch == '\\') {
			if (!take_escaped(c, &ch))
				return false;
		} else if (ch == '(') {
			if (++depth > COMMENT_DEPTH_MAX)
				return fail(c, "comment nested too deeply");
		} else if (ch == ')' && --depth == 0) {
			return true;
		}
	}
	return fail(c, "comment without end");
}

static bool skip_cfws(struct cursor *c)
{
	while (!at_end(c)) {
		if (is_space(peek(c)))
			c->at++;
		else if (peek(c) != '(')
			return true;
		else if (!skip_comment(c))
			return false;
	}
	return true;
}

/* A quoted-string, unquoted into *b; the opening quote is next. */
static bool take_quoted(struct cursor *c, struct strbuf *b)
{
	c->at++;
	while (!at_end(c)) {
		char ch = c->s.p[c->at++];

		if (ch == '"')
			return true;
		if (ch == '\\' && !take_escaped(c, &ch))
			return false;
		/* Of a fold, the white space stays. */
		if (ch != '\r' && ch != '\n')
			strbuf_addc(b, ch);
	}
	return fail(c, "quoted string without end");
}

/* Words before "@", "<" or ":". */
struct words {
	struct strbuf text; /* unquoted, as a local-part */
	struct slice raw;   /* as written */
	unsigned count;	    /* atoms and quoted strings */
	bool joined;	    /* no two words without a dot between them */
	bool dotted_well;   /* dots stand only between words */
	bool dot_first, dot_last;
};

static bool take_word(struct cursor *c, struct words *w)
{
	w->joined = w->joined && (w->count == 0 || w->dot_last);
	w->dot_last = false;
	w->count++;
	if (peek(c) == '"')
		return take_quoted(c, &w->text);
	while (!at_end(c) && is_atext(peek(c)))
		strbuf_addc(&w->text, c->s.p[c->at++]);
	return true;
}

static void take_dot(struct cursor *c, struct words *w)
{
	w->dot_first = w->dot_first || w->count == 0;
	w->dotted_well = w->dotted_well && w->count > 0 && !w->dot_last;
	w->dot_last = true;
	strbuf_addc(&w->text, '.');
	c->at++;
}

static bool take_words(struct cursor *c, struct words *w)
{
	size_t from;

	*w = (struct words){
		.raw = {"", 0}, .joined = true, .dotted_well = true};
	strbuf_init(&w->text, c->arena, ADDR_MAX_VALUE);
	if (!skip_cfws(c))
		return false;
	from = c->at;
	while (!at_end(c)) {
		if (peek(c) == '.')
			take_dot(c, w);
		else if (peek(c) != '"' && !is_atext(peek(c)))
			break;
		else if (!take_word(c, w))
			return false;
		w->raw = (struct slice){c->s.p + from, c->at - from};
		if (!skip_cfws(c))
			return false;
	}
	return true;
}

/* dot-atom, quoted-string, or the obs-local-part of both (RFC 5322 4.4). */
static bool is_local_part(const struct words *w)
{
	return w->count > 0 && w->joined && w->dotted_well && !w->dot_last;
}

/* dot-atom, CFWS around it.  The obs-domain (RFC 5322 4.4) with CFWS around its
 * dots is malformed: a reader that stops at the first space or comment has
 * another domain (HP-8). */
static const char *take_domain(struct cursor *c)
{
	const char *domain;
	size_t from;

	if (!skip_cfws(c))
		return NULL;
	if (peek(c) == '[') {
		fail(c, "address literal instead of a domain");
		return NULL;
	}
	from = c->at;
	while (!at_end(c) && (peek(c) == '.' || is_atext(peek(c))))
		c->at++;
	domain = domain_canon(
		c->arena, slice_first(slice_from(c->s, from), c->at - from));
	if (domain == NULL)
		fail(c, "malformed domain");
	return skip_cfws(c) ? domain : NULL;
}

/* HP-5: readers that decode it would see another address. */
static bool has_encoded_word(struct slice s)
{
	for (size_t i = 0; i + 1 < s.n; i++)
		if (s.p[i] == '=' && s.p[i + 1] == '?')
			return true;
	return false;
}

/* "@domain" after the words of a local-part. */
static bool take_address(struct cursor *c, const struct words *w,
			 struct addr_mailbox *ret)
{
	if (!take(c, '@'))
		return fail(c, "address without domain");
	if (!is_local_part(w))
		return fail(c, "malformed local-part");
	if (has_encoded_word(strbuf_slice(&w->text)))
		return fail(c, "encoded-word instead of an address");
	ret->local = strbuf_slice(&w->text);
	ret->domain = take_domain(c);
	return ret->domain != NULL;
}

/* obs-route: "@a,@b:" is passed over (HP-2).  The "@" is next. */
static bool skip_route(struct cursor *c)
{
	while (take(c, '@')) {
		if (take_domain(c) == NULL)
			return false;
		if (take(c, ':'))
			return true;
		if (!take(c, ','))
			break;
		do {
			if (!skip_cfws(c))
				return false;
		} while (take(c, ','));
	}
	return fail(c, "malformed route");
}

static bool take_angle(struct cursor *c, struct slice display,
		       struct addr_mailbox *ret)
{
	struct words w;

	c->at++;
	if (!skip_cfws(c) || (peek(c) == '@' && !skip_route(c)) ||
	    !take_words(c, &w) || !take_address(c, &w, ret))
		return false;
	if (!take(c, '>'))
		return fail(c, "angle bracket without end");
	ret->display = display;
	return true;
}

static bool add_mailbox(struct cursor *c, struct addr_authors *l,
			const struct addr_mailbox *m)
{
	if (l->n == ADDR_MAX_MAILBOXES)
		return fail(c, "too many addresses");
	if (l->v == NULL) {
		l->v = arena_array(c->arena, ADDR_MAX_MAILBOXES, sizeof(*l->v));
		l->domains = arena_array(c->arena, ADDR_MAX_MAILBOXES,
					 sizeof(*l->domains));
	}
	l->v[l->n++] = *m;
	for (size_t i = 0; i < l->ndomains; i++)
		if (strcmp(l->domains[i], m->domain) == 0)
			return true;
	l->domains[l->ndomains++] = m->domain;
	return true;
}

/* One mailbox, or the beginning of a group (*group becomes true). */
static bool take_element(struct cursor *c, struct addr_authors *l, bool *group)
{
	struct addr_mailbox m = {.display = {"", 0}};
	struct words w;

	if (!take_words(c, &w))
		return false;
	/* A phrase begins with a word. */
	if (w.dot_first)
		return fail(c, "dot where a word must be");
	if (peek(c) == ':' && !*group && w.count > 0) {
		c->at++;
		*group = true;
		return true;
	}
	if (peek(c) == '<') {
		if (!take_angle(c, w.raw, &m))
			return false;
	} else if (peek(c) != '@') {
		return fail(c, "no address where one must be");
	} else if (!take_address(c, &w, &m)) {
		return false;
	}
	return add_mailbox(c, l, &m);
}

/* What may stand after an element: "," or the end of a group or the value. */
static bool take_separator(struct cursor *c, bool *group)
{
	if (!skip_cfws(c))
		return false;
	if (*group && take(c, ';')) {
		*group = false;
		if (!skip_cfws(c))
			return false;
	}
	if (at_end(c) || take(c, ','))
		return true;
	return fail(c, "text after an address");
}

/* One element and what separates it from the next.  "name:" is an element and
 * needs no separator. */
static bool take_step(struct cursor *c, struct addr_authors *l, bool *group)
{
	bool before = *group;

	if (*group && peek(c) == ';')
		return take_separator(c, group);
	if (!take_element(c, l, group))
		return false;
	return *group != before || take_separator(c, group);
}

static bool take_list(struct cursor *c, struct addr_authors *l)
{
	bool group = false, any = false;

	while (skip_cfws(c) && !at_end(c)) {
		if (take(c, ','))
			continue; /* obs-mbox-list: an empty element */
		any = true;
		if (!take_step(c, l, &group))
			return false;
	}
	if (c->reason != NULL)
		return false;
	if (group)
		return fail(c, "group without end");
	return any || fail(c, "empty address list");
}

/* The length of the UTF-8 sequence at s[0], or 0 when it is invalid. */
static size_t utf8_length(struct slice s, uint32_t *ret)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t v = c & (0xffu >> (n + 1));

	if (c < 0xc2 || c > 0xf4 || s.n < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | ((unsigned char)s.p[i] & 0x3f);
	}
	if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return 0;
	*ret = v;
	return n;
}

/* A control that is no tab, no part of a fold (HP-7). */
static bool is_stray_control(struct slice s, size_t i)
{
	unsigned char c = (unsigned char)s.p[i];

	if (c == '\r')
		return i + 1 == s.n || s.p[i + 1] != '\n';
	if (c == '\n')
		return i == 0 || s.p[i - 1] != '\r' || i + 1 == s.n ||
		       !ascii_iswsp(s.p[i + 1]);
	return c == 0x7f || (c < 0x20 && c != '\t');
}

/* W13: characters that reorder or break what is shown after them. */
static const char *character_reason(uint32_t v)
{
	if ((v >= 0x202a && v <= 0x202e) || (v >= 0x2066 && v <= 0x2069))
		return "text direction override";
	if ((v >= 0x80 && v < 0xa0) || v == 0x2028 || v == 0x2029)
		return "control character";
	return NULL;
}

/* HP-7, HP-9 */
static const char *bytes_reason(struct slice s)
{
	const char *reason = NULL;
	size_t n;

	for (size_t i = 0; i < s.n && reason == NULL; i += n) {
		uint32_t v;

		n = 1;
		if ((unsigned char)s.p[i] < 0x80) {
			if (is_stray_control(s, i))
				reason = "control character";
			continue;
		}
		n = utf8_length(slice_from(s, i), &v);
		reason = n == 0 ? "invalid UTF-8" : character_reason(v);
	}
	return reason;
}

void addr_list_parse(struct arena *a, struct slice value,
		     struct addr_authors *ret)
{
	struct cursor c = {a, value, 0, NULL};

	*ret = (struct addr_authors){0};
	c.reason = value.n > ADDR_MAX_VALUE ? "address list is too long"
					    : bytes_reason(value);
	if (c.reason == NULL && take_list(&c, ret))
		return;
	*ret = (struct addr_authors){.malformed = true, .reason = c.reason};
}

void addr_authors_of(struct arena *a, const struct field_list *fields,
		     struct addr_authors *ret)
{
	size_t n = field_count(fields, "From");
	const char *reason = field_trouble_text(fields->trouble);

	/* HP-1; RFC 9989 11.5 */
	if (reason == NULL && n == 0)
		reason = "no From field";
	if (reason == NULL && n > 1)
		reason = "several From fields";
	if (reason == NULL) {
		addr_list_parse(a, field_nth(fields, "From", 0)->value, ret);
		return;
	}
	*ret = (struct addr_authors){.malformed = true, .reason = reason};
}

/* ---- envelope ---- */

/* A path has no comments, no white space outside of quotes and no controls,
 * not even after a backslash (RFC 5321 4.1.2). */
static bool path_bytes_ok(struct slice s)
{
	bool quoted = false, escaped = false;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x20 || c == 0x7f)
			return false;
		if (escaped)
			escaped = false;
		else if (quoted && c == '\\')
			escaped = true;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == ' ' || c == '(' || c == ')'))
			return false;
	}
	return !quoted && bytes_reason(s) == NULL;
}

/* All after the first unquoted "@": another one is refused with it. */
static bool path_domain(struct cursor *c, struct addr_path *ret)
{
	struct slice rest = slice_from(c->s, c->at);
	struct ip ip;

	/* SPF-6: an address literal is well formed, and no domain */
	if (rest.n > 2 && rest.p[0] == '[' && rest.p[rest.n - 1] == ']')
		return ip_parse(slice_first(slice_from(rest, 1), rest.n - 2),
				&ip);
	ret->domain = domain_canon(c->arena, rest);
	return ret->domain != NULL;
}

/* Dots may stand anywhere in the local-part: such mailboxes exist, MTAs take
 * them, and the domain is the same for every reader. */
static bool parse_path(struct cursor *c, struct addr_path *ret)
{
	struct words w;

	if (c->s.n > ADDR_MAX_VALUE || !path_bytes_ok(c->s) ||
	    !take_words(c, &w) || w.count == 0 || !w.joined)
		return false;
	ret->local = strbuf_slice(&w.text);
	if (at_end(c))
		return true; /* <postmaster>: a local-part alone */
	return take(c, '@') && path_domain(c, ret);
}

void addr_path_parse(struct arena *a, struct slice path, struct addr_path *ret)
{
	struct slice s = slice_trim(path);
	struct cursor c;

	*ret = (struct addr_path){.local = {"", 0}};
	if (s.n >= 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
		s = (struct slice){s.p + 1, s.n - 2};
	if (s.n == 0) {
		ret->null = true;
		return;
	}
	c = (struct cursor){a, s, 0, NULL};
	if (!parse_path(&c, ret))
		*ret = (struct addr_path){.malformed = true, .local = {"", 0}};
}
