/*
 * Slices of wire text, and a buffer that grows up to a hard maximum.
 *
 * A slice borrows its bytes: it is valid as long as what it points into.  It
 * has no NUL at its end and may have NULs inside.  All case mapping is ASCII
 * and independent of the locale.
 */
#ifndef MAILSEAL_BASE_STR_H
#define MAILSEAL_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"

struct slice {
	const char *p;
	size_t n;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

struct string_list {
	size_t n;
	const char **v;
};

/* The small ones are inline: their length is known where a literal is given,
 * and they are what a message costs most of. */

/* NULL gives the empty slice. */
static inline struct slice slice_of(const char *s)
{
	return s != NULL ? (struct slice){s, strlen(s)} : (struct slice){"", 0};
}
static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n &&
	       (a.n == 0 || (a.p[0] == b.p[0] && memcmp(a.p, b.p, a.n) == 0));
}
/* a == s, exactly */
static inline bool slice_is(struct slice a, const char *s)
{
	return slice_eq(a, slice_of(s));
}
bool slice_same_ci(const char *a, const char *b, size_t n);
static inline bool slice_eq_ci(struct slice a, struct slice b)
{
	return a.n == b.n && slice_same_ci(a.p, b.p, a.n);
}
/* ASCII case folded */
static inline bool slice_is_ci(struct slice a, const char *s)
{
	return slice_eq_ci(a, slice_of(s));
}
bool slice_starts(struct slice a, const char *prefix);
bool slice_starts_ci(struct slice a, const char *prefix);
bool slice_ends_ci(struct slice a, const char *suffix);
/* The bytes from `from` on; empty when `from` is past the end. */
struct slice slice_from(struct slice s, size_t from);
struct slice slice_first(struct slice s, size_t n); /* at most n bytes */
/* Offset of the first/last `c`, or -1. */
ptrdiff_t slice_chr(struct slice s, char c);
ptrdiff_t slice_rchr(struct slice s, char c);
/* Cuts `*rest` at the first `sep`: returns what stands before it and leaves
 * what stands after it.  Without `sep` returns all and leaves p == NULL. */
struct slice slice_cut(struct slice *rest, char sep);
/* Without space, tab, CR and LF at both ends. */
struct slice slice_trim(struct slice s);
/* A decimal number without sign; false if not all digits or > max. */
bool slice_u64(struct slice s, uint64_t max, uint64_t *ret);
/* A NUL-terminated copy (NULs inside stay: check first if that matters). */
char *slice_cstr(struct arena *a, struct slice s);
struct slice slice_dup(struct arena *a, struct slice s);
/* A lower-case copy. */
char *slice_lower(struct arena *a, struct slice s);

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}
static inline bool ascii_isdigit(char c)
{
	return c >= '0' && c <= '9';
}
static inline bool ascii_isalpha(char c)
{
	char l = ascii_lower(c);
	return l >= 'a' && l <= 'z';
}
static inline bool ascii_isalnum(char c)
{
	return ascii_isdigit(c) || ascii_isalpha(c);
}
static inline bool ascii_iswsp(char c)
{
	return c == ' ' || c == '\t';
}

/* Takes the const away for a library that does not write through the
 * pointer but was declared without const.  Only for library wrappers. */
static inline void *unconst(const void *p)
{
	return (void *)(uintptr_t)p;
}

/*
 * Growable text with a hard maximum, in an arena.  Past the maximum nothing
 * more is added and `overflow` stays set: check it once at the end.
 */
struct strbuf {
	struct arena *arena;
	char *p; /* always NUL-terminated once something was added */
	size_t n;
	size_t cap; /* of p, at most max + 1; 0 after an overflow */
	size_t max;
	bool overflow;
};

void strbuf_init(struct strbuf *b, struct arena *a, size_t max);
void strbuf_add_more(struct strbuf *b, struct slice s);
static inline void strbuf_add(struct strbuf *b, struct slice s)
{
	if (b->n + s.n < b->cap) {
		if (s.n > 0)
			memcpy(b->p + b->n, s.p, s.n);
		b->n += s.n;
		b->p[b->n] = '\0';
	} else {
		strbuf_add_more(b, s);
	}
}
static inline void strbuf_adds(struct strbuf *b, const char *s)
{
	strbuf_add(b, slice_of(s));
}
static inline void strbuf_addc(struct strbuf *b, char c)
{
	strbuf_add(b, (struct slice){&c, 1});
}
void strbuf_number(struct strbuf *b, int64_t value); /* decimal */
void strbuf_printf(struct strbuf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
struct slice strbuf_slice(const struct strbuf *b);
const char *strbuf_cstr(struct strbuf *b); /* "" when empty */

/* Adds wire text for a log line or a terminal: printable ASCII stays, the
 * rest and `\` become \xNN; at most `max` source bytes, then "...". */
void strbuf_add_escaped(struct strbuf *b, struct slice s, size_t max);
/* The same, and space and double quote become \xNN too: one word, that cannot
 * look like the next field of a log line, or end its quotes. */
void strbuf_add_word(struct strbuf *b, struct slice s, size_t max);
/* The same but for the space: for within quotes. */
void strbuf_add_quoted(struct strbuf *b, struct slice s, size_t max);

#endif
