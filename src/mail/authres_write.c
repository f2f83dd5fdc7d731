/*
 * The Authentication-Results writer (RFC 8601 2.2): the only place that puts
 * wire text into a header field of ours (AR-11).
 *
 * Whatever a value holds, it cannot end its own place in the field: bytes that
 * no grammar of ours carries are dropped, the rest is a token, an address or a
 * quoted string.  Each piece goes in whole or not at all, so a field at its
 * size limit is still well formed.  Folds are LF TAB: the MTA makes them CRLF,
 * and a CR of ours would go out twice.  Pure.
 */
#include "mail/authres.h"

#include "mail/authres_syntax.h"

/* RFC 5322 2.1.1: 78, one of them for a ";" after the last word. */
#define LINE_COLUMNS 77
#define TAB_COLUMNS  8
/* What stands before the value on the first line. */
#define NAME_COLUMNS (sizeof("Authentication-Results: ") - 1)

static bool can_stand(char c)
{
	return c == ' ' || authres_graph(c);
}

/* The bytes that can be written, at most AUTHRES_MAX_VALUE of them. */
static struct slice clean(struct arena *a, struct slice s)
{
	struct strbuf b;
	size_t plain = 0;

	while (plain < s.n && can_stand(s.p[plain]))
		plain++;
	if (plain == s.n && s.n <= AUTHRES_MAX_VALUE)
		return s;
	strbuf_init(&b, a, AUTHRES_MAX_VALUE);
	for (size_t i = 0; i < s.n && b.n < AUTHRES_MAX_VALUE; i++)
		if (can_stand(s.p[i]))
			strbuf_addc(&b, s.p[i]);
	return strbuf_slice(&b);
}

static bool all(struct slice s, bool (*is)(char))
{
	for (size_t i = 0; i < s.n; i++)
		if (!is(s.p[i]))
			return false;
	return true;
}

static bool is_token(struct slice s)
{
	return s.n > 0 && all(s, authres_token_byte);
}

static void add_quoted(struct strbuf *b, struct slice s)
{
	strbuf_addc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			strbuf_addc(b, '\\');
		strbuf_addc(b, s.p[i]);
	}
	strbuf_addc(b, '"');
}

static void add_value(struct strbuf *b, struct slice s)
{
	if (is_token(s))
		strbuf_add(b, s);
	else
		add_quoted(b, s);
}

/* Would cleaning make another identity of this one?  What is cut off or taken
 * out of an address can leave somebody else's (AR-6). */
static bool misleading(struct slice raw, struct slice text)
{
	if (text.n == AUTHRES_MAX_VALUE && raw.n > text.n)
		return true;
	return text.n < raw.n && slice_chr(raw, '@') >= 0;
}

/* RFC 8601 2.2: [[local-part] "@"] domain-name stands without quotes around
 * it, and an address must not be a quoted value. */
static void add_pvalue(struct strbuf *b, struct slice s)
{
	ptrdiff_t at = slice_rchr(s, '@');
	struct slice local, domain;

	if (at < 0) {
		add_value(b, s);
		return;
	}
	local = slice_first(s, (size_t)at);
	domain = slice_from(s, (size_t)at + 1);
	if (!authres_dotted(domain) || !all(domain, authres_domain_byte)) {
		add_quoted(b, s);
		return;
	}
	if (local.n == 0 ||
	    (authres_dotted(local) && all(local, authres_atom_byte)))
		strbuf_add(b, local);
	else
		add_quoted(b, local);
	strbuf_addc(b, '@');
	strbuf_add(b, domain);
}

static size_t room(const struct authres_writer *w)
{
	return w->out.max - w->out.n;
}

/* Adds a word after a space, or on a new line where it does not fit. */
static void put_word(struct authres_writer *w, struct slice word)
{
	if (w->column + 1 + word.n <= LINE_COLUMNS) {
		strbuf_addc(&w->out, ' ');
		w->column++;
	} else {
		strbuf_adds(&w->out, "\n\t");
		w->column = TAB_COLUMNS;
	}
	strbuf_add(&w->out, word);
	w->column += word.n;
}

/* Upper bound of what `n` bytes become when each space is a fold. */
static size_t folded_size(size_t n)
{
	return n * 2 + 2;
}

/* A comment may be folded at its spaces. */
static void put_comment(struct authres_writer *w, const char *comment)
{
	struct slice text = clean(w->out.arena, slice_of(comment));
	struct strbuf b;
	struct slice rest;

	if (slice_trim(text).n == 0)
		return;
	strbuf_init(&b, w->out.arena, 2 * AUTHRES_MAX_VALUE + 2);
	strbuf_addc(&b, '(');
	for (size_t i = 0; i < text.n; i++) {
		if (strchr("()\\", text.p[i]) != NULL)
			strbuf_addc(&b, '\\');
		strbuf_addc(&b, text.p[i]);
	}
	strbuf_addc(&b, ')');
	if (folded_size(b.n) > room(w))
		return;
	rest = strbuf_slice(&b);
	while (rest.p != NULL) {
		struct slice word = slice_cut(&rest, ' ');
		/* An empty word would leave a line of white space. */
		if (word.n > 0)
			put_word(w, word);
	}
}

void authres_begin(struct authres_writer *w, struct arena *a, const char *id)
{
	*w = (struct authres_writer){0};
	strbuf_init(&w->out, a, AUTHRES_MAX_FIELD);
	add_value(&w->out, clean(a, slice_of(id)));
	w->column = NAME_COLUMNS + w->out.n;
}

void authres_method(struct authres_writer *w, const char *method,
		    const char *result, const char *reason, const char *comment)
{
	struct arena *a = w->out.arena;
	struct strbuf b;

	strbuf_init(&b, a, 4 * AUTHRES_MAX_VALUE);
	strbuf_adds(&b, ";\n\t");
	strbuf_adds(&b, method);
	strbuf_addc(&b, '=');
	strbuf_adds(&b, result);
	/* The properties that follow belong to this one. */
	w->skip = w->methods == AUTHRES_MAX_RESINFO || b.n > room(w) ||
		  b.overflow;
	if (w->skip)
		return;
	strbuf_add(&w->out, strbuf_slice(&b));
	w->column = TAB_COLUMNS + b.n - sizeof(";\n\t") + 1;
	w->methods++;
	if (reason != NULL) {
		strbuf_init(&b, a, 4 * AUTHRES_MAX_VALUE);
		strbuf_adds(&b, "reason=");
		add_value(&b, clean(a, slice_of(reason)));
		if (b.n + 2 <= room(w))
			put_word(w, strbuf_slice(&b));
	}
	if (comment != NULL)
		put_comment(w, comment);
}

void authres_prop(struct authres_writer *w, const char *ptype,
		  const char *property, struct slice value)
{
	struct arena *a = w->out.arena;
	struct slice text = clean(a, value);
	struct strbuf b;

	if (w->skip || text.n == 0 || misleading(value, text))
		return;
	strbuf_init(&b, a, 4 * AUTHRES_MAX_VALUE);
	strbuf_adds(&b, ptype);
	strbuf_addc(&b, '.');
	strbuf_adds(&b, property);
	strbuf_addc(&b, '=');
	add_pvalue(&b, text);
	if (!b.overflow && b.n + 2 <= room(w))
		put_word(w, strbuf_slice(&b));
}

struct slice authres_end(struct authres_writer *w)
{
	if (w->methods == 0)
		strbuf_adds(&w->out, "; none");
	return strbuf_slice(&w->out);
}
