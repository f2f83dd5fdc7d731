/*
 * Finds the numbers of a configuration text that libconfig damages.
 *
 * It damages integers silently: 5000000000 is read as 705032704.  So the text
 * is read a second time, for numbers alone: comments and strings are skipped,
 * and nothing else is understood.  Text in, places out; it opens no file.
 */
#include "config/loader.h"

#include <limits.h>
#include <string.h>

#define WORD_MAX_SHOWN 40

struct scan {
	struct arena *arena;
	struct config_damage **end; /* of the list */
	const char *file;
	struct slice rest;
	unsigned line;
};

static char scan_peek(const struct scan *s, size_t at)
{
	return at < s->rest.n ? s->rest.p[at] : '\0';
}

static void scan_skip(struct scan *s, size_t n)
{
	struct slice gone = slice_first(s->rest, n);

	for (size_t i = 0; i < gone.n; i++)
		s->line += gone.p[i] == '\n';
	s->rest = slice_from(s->rest, gone.n);
}

/* Bytes up to and with the end of a comment. */
static size_t comment_length(const struct scan *s)
{
	const char *end = scan_peek(s, 1) == '*' ? "*/" : "\n";
	size_t from = *end == '*' ? 2 : 1;
	const char *hit = s->rest.n > from
				  ? memmem(s->rest.p + from, s->rest.n - from,
					   end, strlen(end))
				  : NULL;

	return hit != NULL ? (size_t)(hit - s->rest.p) + strlen(end)
			   : s->rest.n;
}

static size_t string_length(const struct scan *s)
{
	size_t i = 1;

	while (i < s->rest.n && s->rest.p[i] != '"')
		i += s->rest.p[i] == '\\' ? 2 : 1;
	return i + 1;
}

/* Does it fit an int, or with the suffix L an int64_t?  Hexadecimal as well;
 * what is neither (a float) is not our concern. */
static bool number_fits(struct slice digits, bool negative)
{
	bool hex = slice_starts_ci(digits, "0x");
	bool wide = slice_ends_ci(digits, "L");
	uint64_t max = (wide ? (uint64_t)INT64_MAX : INT_MAX) + negative;
	uint64_t v = 0;

	for (size_t i = hex ? 2 : 0; i < digits.n; i++) {
		char c = ascii_lower(digits.p[i]);
		unsigned base = hex ? 16 : 10;
		unsigned d;

		if (c == 'l')
			break;
		if (ascii_isdigit(c))
			d = (unsigned)(c - '0');
		else if (hex && c >= 'a' && c <= 'f')
			d = (unsigned)(c - 'a') + 10;
		else
			return true;
		if (v > (max - d) / base)
			return false;
		v = v * base + d;
	}
	return true;
}

static void add_damage(struct scan *s, struct slice word)
{
	struct config_damage *d = arena_alloc(s->arena, sizeof(*d));

	d->file = s->file;
	d->line = s->line;
	d->word = slice_cstr(s->arena, slice_first(word, WORD_MAX_SHOWN));
	*s->end = d;
	s->end = &d->next;
}

static void scan_word(struct scan *s)
{
	struct slice word;
	size_t n = 1;
	bool negative = s->rest.p[0] == '-';
	bool sign = negative || s->rest.p[0] == '+';

	while (ascii_isalnum(scan_peek(s, n)) || scan_peek(s, n) == '.' ||
	       scan_peek(s, n) == '_' || scan_peek(s, n) == '-' ||
	       scan_peek(s, n) == '*')
		n++;
	word = slice_first(s->rest, n);
	if (ascii_isdigit(scan_peek(s, sign)) &&
	    !number_fits(slice_from(word, sign), negative))
		add_damage(s, word);
	scan_skip(s, n);
}

static void scan_numbers(struct scan *s)
{
	while (s->rest.n > 0) {
		char c = s->rest.p[0];

		if (c == '#' || (c == '/' && (scan_peek(s, 1) == '/' ||
					      scan_peek(s, 1) == '*')))
			scan_skip(s, comment_length(s));
		else if (c == '"')
			scan_skip(s, string_length(s));
		else if (ascii_isalnum(c) || c == '-' || c == '+' || c == '*')
			scan_word(s);
		else
			scan_skip(s, 1);
	}
}

void config_scan(struct arena *a, const char *file, struct slice text,
		 struct config_damage **list)
{
	struct scan s = {.arena = a, .file = file, .rest = text, .line = 1};

	s.end = list;
	while (*s.end != NULL)
		s.end = &(*s.end)->next;
	scan_numbers(&s);
}
