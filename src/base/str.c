/* Slices and bounded growable text. */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool slice_same_ci(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ascii_lower(a[i]) != ascii_lower(b[i]))
			return false;
	return true;
}

bool slice_starts(struct slice a, const char *prefix)
{
	return slice_is(slice_first(a, strlen(prefix)), prefix);
}

bool slice_starts_ci(struct slice a, const char *prefix)
{
	return slice_is_ci(slice_first(a, strlen(prefix)), prefix);
}

bool slice_ends_ci(struct slice a, const char *suffix)
{
	size_t n = strlen(suffix);
	return a.n >= n && slice_is_ci(slice_from(a, a.n - n), suffix);
}

struct slice slice_from(struct slice s, size_t from)
{
	if (from >= s.n)
		return (struct slice){"", 0};
	return (struct slice){s.p + from, s.n - from};
}

struct slice slice_first(struct slice s, size_t n)
{
	return (struct slice){s.p, s.n < n ? s.n : n};
}

ptrdiff_t slice_chr(struct slice s, char c)
{
	const char *p = s.n > 0 ? memchr(s.p, c, s.n) : NULL;
	return p != NULL ? p - s.p : -1;
}

ptrdiff_t slice_rchr(struct slice s, char c)
{
	const char *p = s.n > 0 ? memrchr(s.p, c, s.n) : NULL;
	return p != NULL ? p - s.p : -1;
}

struct slice slice_cut(struct slice *rest, char sep)
{
	struct slice head = *rest;
	ptrdiff_t at = slice_chr(*rest, sep);

	if (at < 0) {
		*rest = (struct slice){NULL, 0};
		return head;
	}
	head.n = (size_t)at;
	rest->p += at + 1;
	rest->n -= (size_t)at + 1;
	return head;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
	while (s.n > 0 && is_space(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool slice_u64(struct slice s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_isdigit(s.p[i]) ||
		    __builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return false;
	}
	if (v > max)
		return false;
	*ret = v;
	return true;
}

char *slice_cstr(struct arena *a, struct slice s)
{
	return arena_memdup(a, s.p, s.n);
}

struct slice slice_dup(struct arena *a, struct slice s)
{
	return (struct slice){arena_memdup(a, s.p, s.n), s.n};
}

char *slice_lower(struct arena *a, struct slice s)
{
	char *p = slice_cstr(a, s);

	for (size_t i = 0; i < s.n; i++)
		p[i] = ascii_lower(p[i]);
	return p;
}

void strbuf_init(struct strbuf *b, struct arena *a, size_t max)
{
	*b = (struct strbuf){.arena = a, .max = max};
}

/* Room for `n` more bytes and a NUL?  Sets overflow when not. */
static bool strbuf_room(struct strbuf *b, size_t n)
{
	size_t cap;
	char *p;

	if (b->overflow || n > b->max - b->n) {
		b->overflow = true;
		b->cap = 0; /* strbuf_add() comes here each time */
		return false;
	}
	if (b->n + n + 1 <= b->cap)
		return true;
	cap = b->cap > 0 ? b->cap * 2 : 128;
	if (cap < b->n + n + 1)
		cap = b->n + n + 1;
	if (cap > b->max)
		cap = b->max + 1;
	p = arena_alloc(b->arena, cap);
	if (b->n > 0)
		memcpy(p, b->p, b->n);
	b->p = p;
	b->cap = cap;
	return true;
}

void strbuf_add_more(struct strbuf *b, struct slice s)
{
	if (!strbuf_room(b, s.n))
		return;
	if (s.n > 0)
		memcpy(b->p + b->n, s.p, s.n);
	b->n += s.n;
	b->p[b->n] = '\0';
}

void strbuf_number(struct strbuf *b, int64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;

	do {
		digits[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (value < 0)
		digits[--at] = '-';
	strbuf_add(b, (struct slice){digits + at, sizeof(digits) - at});
}

/* Mostly the text fits in what is there, and is formatted once. */
void strbuf_printf(struct strbuf *b, const char *fmt, ...)
{
	size_t have = b->cap > b->n ? b->cap - b->n : 0;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(b->p != NULL ? b->p + b->n : NULL, have, fmt, ap);
	va_end(ap);
	if (n < 0 || !strbuf_room(b, (size_t)n)) {
		if (b->p != NULL)
			b->p[b->n] = '\0';
		return;
	}
	if ((size_t)n >= have) {
		va_start(ap, fmt);
		vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->n += (size_t)n;
}

struct slice strbuf_slice(const struct strbuf *b)
{
	return (struct slice){b->p != NULL ? b->p : "", b->n};
}

const char *strbuf_cstr(struct strbuf *b)
{
	return b->p != NULL ? b->p : "";
}

/* `also`: printable characters to be escaped besides. */
static void add_escaped(struct strbuf *b, struct slice s, size_t max,
			struct slice also)
{
	size_t n = s.n < max ? s.n : max;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c >= 0x20 && c < 0x7f && slice_chr(also, s.p[i]) < 0)
			strbuf_addc(b, (char)c);
		else
			strbuf_printf(b, "\\x%02x", c);
	}
	if (n < s.n)
		strbuf_adds(b, "...");
}

void strbuf_add_escaped(struct strbuf *b, struct slice s, size_t max)
{
	add_escaped(b, s, max, SLICE("\\"));
}

void strbuf_add_word(struct strbuf *b, struct slice s, size_t max)
{
	add_escaped(b, s, max, SLICE("\\\" "));
}

void strbuf_add_quoted(struct strbuf *b, struct slice s, size_t max)
{
	add_escaped(b, s, max, SLICE("\\\""));
}
