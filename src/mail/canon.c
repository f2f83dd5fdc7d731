/*
 * DKIM canonicalization (RFC 6376 3.4; errata 5839, 5252).
 *
 * This only makes bytes; hashing them and choosing the algorithm is the
 * caller's.  In a body only CRLF ends a line: a CR or LF that stands alone is
 * a byte like any other, so that what is hashed is what came.
 *
 * The body is a stream.  Held back between calls are only counts (blank lines,
 * one space, one CR), so the memory is constant whatever the body.  What
 * canonicalization leaves alone goes to the sink in long runs, from the
 * caller's own buffer.  Pure; a struct canon_body belongs to one thread.
 */
#include "mail/canon.h"

#include <string.h>

/* ---- header fields ---- */

static bool fold_or_wsp(char c)
{
	return ascii_iswsp(c) || c == '\r' || c == '\n';
}

static void relaxed_name(struct slice name, canon_sink *sink, void *arg)
{
	char buf[64];

	while (name.n > 0 && ascii_iswsp(name.p[name.n - 1]))
		name.n--;
	while (name.n > 0) {
		size_t n = name.n < sizeof(buf) ? name.n : sizeof(buf);
		for (size_t i = 0; i < n; i++)
			buf[i] = ascii_lower(name.p[i]);
		sink(arg, (struct slice){buf, n});
		name = slice_from(name, n);
	}
}

/* RFC 6376 3.4.2: unfold, one SP for each run of WSP, none at the ends. */
static void relaxed_value(struct slice value, canon_sink *sink, void *arg)
{
	value = slice_trim(value);
	while (value.n > 0) {
		size_t i = 0, run;
		while (i < value.n && !fold_or_wsp(value.p[i]))
			i++;
		sink(arg, slice_first(value, i));
		run = i;
		while (i < value.n && fold_or_wsp(value.p[i]))
			i++;
		if (i > run)
			sink(arg, SLICE(" "));
		value = slice_from(value, i);
	}
}

void canon_field(enum canon_mode mode, struct slice raw, bool crlf,
		 canon_sink *sink, void *arg)
{
	if (mode == CANON_SIMPLE) {
		sink(arg, raw);
	} else {
		struct slice value = raw;
		struct slice name = slice_cut(&value, ':');
		relaxed_name(name, sink, arg);
		sink(arg, SLICE(":"));
		if (value.p != NULL)
			relaxed_value(value, sink, arg);
	}
	if (crlf)
		sink(arg, SLICE("\r\n"));
}

/* RFC 6376 3.7: the value goes "including all surrounding whitespace". */
struct slice canon_without_b(struct arena *a, struct slice raw)
{
	char *out = arena_alloc(a, raw.n + 1), *at = out;
	struct slice rest = raw;
	size_t keep = slice_cut(&rest, ':').n;

	if (rest.p == NULL)
		return raw;
	keep++; /* the colon */
	memcpy(at, raw.p, keep);
	at += keep;
	while (rest.p != NULL) {
		struct slice tag = slice_cut(&rest, ';');
		ptrdiff_t eq = slice_chr(tag, '=');
		keep = tag.n;
		/* Tag names are case-sensitive (RFC 6376 3.2). */
		if (eq >= 0 &&
		    slice_is(slice_trim(slice_first(tag, (size_t)eq)), "b"))
			keep = (size_t)eq + 1;
		if (keep > 0)
			memcpy(at, tag.p, keep);
		at += keep;
		if (rest.p != NULL)
			*at++ = ';';
	}
	return (struct slice){out, (size_t)(at - out)};
}

/* How often `name` stands in the first `upto` bytes of an h= value. */
static size_t times_before(struct slice h, size_t upto, struct slice name)
{
	struct slice rest = slice_first(h, upto);
	size_t times = 0;

	while (rest.p != NULL && rest.n > 0)
		times += slice_eq_ci(slice_trim(slice_cut(&rest, ':')), name);
	return times;
}

/* The field called `name` that has `below` of the same name under it. */
static size_t nth_from_bottom(const struct field_list *l, struct slice name,
			      size_t below)
{
	for (size_t i = l->n; i-- > 0;)
		if (slice_eq_ci(l->v[i].name, name) && below-- == 0)
			return i;
	return SIZE_MAX;
}

static size_t count_names(struct slice h)
{
	size_t n = 1;

	for (size_t i = 0; i < h.n; i++)
		n += h.p[i] == ':';
	return n;
}

size_t canon_select(const struct field_list *l, struct slice h, size_t max,
		    size_t *ret)
{
	struct slice rest = h;
	size_t n = 0;

	if (slice_trim(h).n == 0)
		return 0;
	/* First, because the work grows with the square of it. */
	if (count_names(h) > max)
		return SIZE_MAX;
	while (rest.p != NULL) {
		size_t at = (size_t)(rest.p - h.p);
		struct slice name = slice_trim(slice_cut(&rest, ':'));
		ret[n++] = nth_from_bottom(l, name, times_before(h, at, name));
	}
	return n;
}

/* ---- body ---- */

void canon_body_init(struct canon_body *b, enum canon_mode mode, uint64_t limit,
		     canon_sink *sink, void *arg)
{
	*b = (struct canon_body){
		.mode = mode, .limit = limit, .sink = sink, .arg = arg};
}

static void emit(struct canon_body *b, struct slice s)
{
	uint64_t room = b->total < b->limit ? b->limit - b->total : 0;

	b->total += s.n;
	if (s.n > room)
		s.n = (size_t)room;
	if (s.n > 0)
		b->sink(b->arg, s);
}

/* The blank lines turn out not to be the last ones. */
static void emit_blank(struct canon_body *b)
{
	static const char lines[] = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"
				    "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";

	while (b->blank > 0) {
		uint64_t n = (sizeof(lines) - 1) / 2;
		if (n > b->blank)
			n = b->blank;
		emit(b, (struct slice){lines, (size_t)n * 2});
		b->blank -= n;
	}
}

static void emit_held(struct canon_body *b)
{
	emit_blank(b);
	if (b->line_wsp)
		emit(b, SLICE(" "));
	b->line_wsp = false;
}

/* What follows a CR that was held back: the LF, or it was a bare one.
 * Returns the bytes that were used. */
static size_t after_cr(struct canon_body *b, struct slice s)
{
	b->cr = false;
	if (s.n > 0 && s.p[0] == '\n') {
		/* RFC 6376 3.4.4: no white space at the end of a line. */
		b->line_wsp = false;
		b->blank++;
		return 1;
	}
	emit_held(b);
	emit(b, SLICE("\r"));
	return 0;
}

/* RFC 6376 3.4.3: all passes but the empty lines at the end, and those can
 * only be in the last bytes of a chunk. */
static void feed_simple(struct canon_body *b, struct slice s)
{
	uint64_t blank = 0;
	bool cr = s.p[s.n - 1] == '\r';

	if (cr)
		s.n--;
	while (s.n >= 2 && s.p[s.n - 2] == '\r' && s.p[s.n - 1] == '\n') {
		s.n -= 2;
		blank++;
	}
	if (s.n > 0) {
		emit_held(b);
		emit(b, s);
	}
	b->blank += blank;
	b->cr = cr;
}

static bool is_plain(char c)
{
	return c != ' ' && c != '\t' && c != '\r';
}

/* Sixteen bytes at a time: this is what a large message costs, besides the
 * hash.  Each lane of a comparison is all ones where it is true. */
typedef unsigned char lanes __attribute__((vector_size(16)));
typedef uint64_t halves __attribute__((vector_size(16)));

static lanes lanes_at(const char *p)
{
	lanes ret;

	memcpy(&ret, p, sizeof(ret));
	return ret;
}

/* Where not is_plain(). */
static lanes special(lanes v)
{
	return (lanes)((v == ' ') | (v == '\t') | (v == '\r'));
}

/* How many bytes, in whole blocks, have no place at which plain_run() would
 * stop: a special byte, unless it is a space or a CRLF before a plain one. */
static size_t plain_blocks(struct slice s)
{
	size_t i = 0;

	while (s.n - i >= sizeof(lanes) + 2) {
		lanes v = lanes_at(s.p + i);
		lanes next = lanes_at(s.p + i + 1);
		lanes after = special(lanes_at(s.p + i + 2));
		lanes stop =
			(lanes)(v == '\t') |
			((lanes)(v == ' ') & special(next)) |
			((lanes)(v == '\r') & ((lanes)(next != '\n') | after));
		halves any = (halves)stop;

		if ((any[0] | any[1]) != 0)
			break;
		i += sizeof(lanes);
	}
	return i;
}

/* Length of the longest start of `s` that the relaxed algorithm leaves as it
 * is: single spaces and line ends between plain bytes are part of it. */
static size_t plain_run(struct slice s)
{
	size_t i;

	if (!is_plain(s.p[0]))
		return 0;
	i = plain_blocks(s);
	for (;;) {
		while (i < s.n && is_plain(s.p[i]))
			i++;
		if (s.n - i < 2)
			return i;
		if (s.p[i] == ' ' && is_plain(s.p[i + 1]))
			i += 1;
		else if (s.n - i > 2 && s.p[i] == '\r' && s.p[i + 1] == '\n' &&
			 is_plain(s.p[i + 2]))
			i += 2;
		else
			return i;
	}
}

static void feed_relaxed(struct canon_body *b, struct slice s)
{
	while (s.n > 0) {
		size_t n;
		if (b->cr) {
			s = slice_from(s, after_cr(b, s));
			continue;
		}
		n = plain_run(s);
		if (n > 0) {
			emit_held(b);
			emit(b, slice_first(s, n));
		} else {
			n = 1;
			b->cr = s.p[0] == '\r';
			b->line_wsp |= !b->cr;
		}
		s = slice_from(s, n);
	}
}

void canon_body_feed(struct canon_body *b, struct slice bytes)
{
	if (b->cr && bytes.n > 0)
		bytes = slice_from(bytes, after_cr(b, bytes));
	if (bytes.n == 0)
		return;
	if (b->mode == CANON_SIMPLE)
		feed_simple(b, bytes);
	else
		feed_relaxed(b, bytes);
}

void canon_body_end(struct canon_body *b)
{
	if (b->cr)
		after_cr(b, (struct slice){"", 0});
	b->blank = 0;
	b->line_wsp = false;
	/* An empty body is CRLF in the simple algorithm (RFC 6376 3.4.3) and
	 * nothing in the relaxed one (3.4.4). */
	if (b->mode == CANON_SIMPLE || b->total > 0)
		emit(b, SLICE("\r\n"));
}
