/*
 * Header fields as they came (RFC 5322 2.2), kept for hashing (RFC 6376 3.4)
 * and for finding by name, and the split of a whole message into fields and
 * body.
 *
 * This does not interpret values: addresses, tags and results have parsers of
 * their own.  Everything is copied into the caller's arena, at most max_bytes
 * of it.  Pure.
 */
#include "mail/field.h"

#include <string.h>

/* HP-7: a name is printable ASCII without space and colon. */
static bool name_byte(char c)
{
	return c > ' ' && c < 0x7f && c != ':';
}

static bool name_ok(struct slice name)
{
	if (name.n == 0)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!name_byte(name.p[i]))
			return false;
	return true;
}

/* Is the LF at `i` the end of a line that goes on in the next (a fold)? */
static bool is_fold(struct slice value, size_t i)
{
	return i + 1 < value.n && ascii_iswsp(value.p[i + 1]);
}

/* HP-7: a NUL ends the value for many readers, and a line end that does not
 * fold would begin another field.  Other controls are obsolete text (RFC 5322
 * 4.1, ISO-2022-JP has them), which hides nothing; who parses a value knows
 * what to do with them. */
static bool value_ok(struct slice value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if (c != '\0' && c != '\r' && c != '\n')
			continue;
		if (c == '\r' && i + 1 < value.n && value.p[i + 1] == '\n')
			continue;
		if (c == '\n' && is_fold(value, i))
			continue;
		return false;
	}
	return true;
}

static struct slice without_line_end(struct slice s)
{
	if (s.n > 0 && s.p[s.n - 1] == '\n') {
		s.n--;
		if (s.n > 0 && s.p[s.n - 1] == '\r')
			s.n--;
	}
	return s;
}

static bool lone_lf(struct slice s, size_t i)
{
	return s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r');
}

static size_t crlf_size(struct slice s)
{
	size_t n = s.n;

	for (size_t i = 0; i < s.n; i++)
		n += lone_lf(s, i);
	return n;
}

static char *crlf_copy(char *to, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (lone_lf(s, i))
			*to++ = '\r';
		*to++ = s.p[i];
	}
	return to;
}

static void set_trouble(struct field_list *l, enum field_trouble t)
{
	if (l->trouble == FIELD_OK)
		l->trouble = t;
}

static struct field *list_grow(struct arena *a, struct field_list *l)
{
	if (l->n == l->cap) {
		size_t cap = l->cap > 0 ? l->cap * 2 : 32;
		struct field *v = arena_array(a, cap, sizeof(*v));
		if (l->n > 0)
			memcpy(v, l->v, l->n * sizeof(*v));
		l->v = v;
		l->cap = cap;
	}
	return &l->v[l->n++];
}

/* `head` is all before the colon.  `size` is that of the raw field. */
static void list_store(struct arena *a, struct field_list *l, struct slice head,
		       size_t name_size, struct slice value, size_t size)
{
	char *raw = arena_alloc(a, size + 1), *at = raw;
	struct field *f = list_grow(a, l);

	if (head.n > 0)
		memcpy(at, head.p, head.n);
	at += head.n;
	*at++ = ':';
	f->name = (struct slice){raw, name_size};
	f->value.p = at;
	at = crlf_copy(at, value);
	f->value.n = (size_t)(at - f->value.p);
	f->raw = (struct slice){raw, size};
	l->bytes += size;
}

/* Like field_list_add(), but `head` may end in white space, which raw keeps:
 * the simple algorithm hashes it (RFC 6376 3.4.1). */
static void list_add(struct arena *a, struct field_list *l,
		     const struct field_limits *limits, struct slice head,
		     struct slice value)
{
	struct slice name = head;
	size_t size;

	while (name.n > 0 && ascii_iswsp(name.p[name.n - 1]))
		name.n--;
	value = without_line_end(value);
	size = head.n + 1 + crlf_size(value);
	if (!name_ok(name) || !value_ok(value))
		set_trouble(l, FIELD_BAD_BYTES);
	if (l->n >= limits->max_fields) {
		set_trouble(l, FIELD_TOO_MANY);
		return;
	}
	if (size > limits->max_field_bytes)
		set_trouble(l, FIELD_TOO_LONG);
	else if (l->bytes >= limits->max_bytes ||
		 size > limits->max_bytes - l->bytes)
		set_trouble(l, FIELD_TOO_LARGE);
	else {
		list_store(a, l, head, name.n, value, size);
		return;
	}
	/* The name alone, where that is within the limits. */
	size = name.n + 1;
	if (size <= limits->max_field_bytes && l->bytes < limits->max_bytes &&
	    size <= limits->max_bytes - l->bytes)
		list_store(a, l, name, name.n, (struct slice){"", 0}, size);
}

void field_list_add(struct arena *a, struct field_list *l,
		    const struct field_limits *limits, struct slice name,
		    struct slice value)
{
	while (name.n > 0 && ascii_iswsp(name.p[name.n - 1]))
		name.n--;
	list_add(a, l, limits, name, value);
}

const char *field_trouble_text(enum field_trouble t)
{
	switch (t) {
	case FIELD_TOO_MANY:
		return "too many header fields";
	case FIELD_TOO_LONG:
		return "header field too long";
	case FIELD_TOO_LARGE:
		return "header too large";
	case FIELD_BAD_BYTES:
		return "control characters in the header";
	case FIELD_OK:
		break;
	}
	return NULL;
}

size_t field_count(const struct field_list *l, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += slice_is_ci(l->v[i].name, name);
	return n;
}

const struct field *field_nth(const struct field_list *l, const char *name,
			      size_t i)
{
	for (size_t k = 0; k < l->n; k++)
		if (slice_is_ci(l->v[k].name, name) && i-- == 0)
			return &l->v[k];
	return NULL;
}

struct slice field_unfold(struct arena *a, struct slice value)
{
	char *out = arena_alloc(a, value.n + 1), *at = out;

	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '\r' && i + 1 < value.n &&
		    value.p[i + 1] == '\n')
			i++;
		else
			*at++ = value.p[i];
	}
	return slice_trim((struct slice){out, (size_t)(at - out)});
}

/* ---- a whole message ---- */

/* Offset of the colon when `line` begins a field, else -1.  HP-12a: anything
 * else ends the header. */
static ptrdiff_t header_colon(struct slice line)
{
	size_t i = 0;

	while (i < line.n && name_byte(line.p[i]))
		i++;
	if (i == 0)
		return -1;
	while (i < line.n && ascii_iswsp(line.p[i]))
		i++;
	return i < line.n && line.p[i] == ':' ? (ptrdiff_t)i : -1;
}

/* The first line of `s` with its line end. */
static struct slice first_line(struct slice s)
{
	ptrdiff_t lf = slice_chr(s, '\n');

	return lf < 0 ? s : slice_first(s, (size_t)lf + 1);
}

/* Length of the field that `s` begins with, all its folds included. */
static size_t field_size(struct slice s)
{
	size_t n = first_line(s).n;

	while (n < s.n && ascii_iswsp(s.p[n]))
		n += first_line(slice_from(s, n)).n;
	return n;
}

void field_list_parse(struct arena *a, struct field_list *l,
		      const struct field_limits *limits, struct slice message,
		      struct slice *ret_body)
{
	struct slice s = message, line = first_line(s);

	/* "From : x" is a field; "From x Thu Jan 1 00:00:00" is not. */
	if (slice_starts(line, "From ") && header_colon(line) < 0)
		s = slice_from(s, line.n);
	for (;;) {
		ptrdiff_t colon;
		size_t n;
		line = first_line(s);
		if (line.n > 0 && without_line_end(line).n == 0) {
			s = slice_from(s, line.n);
			break;
		}
		colon = header_colon(line);
		if (colon < 0)
			break;
		n = field_size(s);
		list_add(a, l, limits, slice_first(s, (size_t)colon),
			 slice_from(slice_first(s, n), (size_t)colon + 1));
		s = slice_from(s, n);
	}
	*ret_body = s;
}
