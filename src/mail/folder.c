/* Writes fields like DKIM-Signature; which words, the caller knows. */
#include "mail/folder.h"

#include <string.h>

#define LINE_MAX_COLUMNS 77
#define TAB_COLUMNS	 8

void folder_init(struct folder *f, struct arena *a, const char *name,
		 size_t max)
{
	strbuf_init(&f->text, a, max);
	strbuf_printf(&f->text, "%s:", name);
	f->column = f->text.n;
}

void folder_break(struct folder *f)
{
	strbuf_adds(&f->text, "\r\n\t");
	f->column = TAB_COLUMNS;
}

static void put(struct folder *f, const char *tag, struct slice value,
		const char *end)
{
	strbuf_adds(&f->text, tag);
	strbuf_add(&f->text, value);
	strbuf_adds(&f->text, end);
	f->column += strlen(tag) + value.n + strlen(end);
}

void folder_word(struct folder *f, const char *tag, struct slice value,
		 const char *end)
{
	if (f->column + 1 + strlen(tag) + value.n + strlen(end) >
	    LINE_MAX_COLUMNS) {
		folder_break(f);
	} else {
		strbuf_addc(&f->text, ' ');
		f->column++;
	}
	put(f, tag, value, end);
}

void folder_part(struct folder *f, struct slice value, const char *end)
{
	if (f->column + value.n + strlen(end) > LINE_MAX_COLUMNS)
		folder_break(f);
	put(f, "", value, end);
}

void folder_base64(struct folder *f, struct slice s)
{
	while (s.n > 0) {
		size_t room;

		if (f->column >= LINE_MAX_COLUMNS)
			folder_break(f);
		room = LINE_MAX_COLUMNS - f->column;
		strbuf_add(&f->text, slice_first(s, room));
		f->column += s.n < room ? s.n : room;
		s = slice_from(s, room);
	}
}

void folder_names(struct folder *f, struct slice names)
{
	bool first = true;

	while (names.p != NULL) {
		struct slice name = slice_cut(&names, ':');
		const char *end = names.p != NULL ? ":" : ";";

		if (first)
			folder_word(f, "h=", name, end);
		else
			folder_part(f, name, end);
		first = false;
	}
}

void folder_number(struct folder *f, const char *tag, int64_t n)
{
	folder_word(f, tag,
		    slice_of(arena_printf(f->text.arena, "%lld", (long long)n)),
		    ";");
}

struct slice folder_value(const struct folder *f)
{
	struct slice raw = strbuf_slice(&f->text);
	char *out = arena_alloc(f->text.arena, raw.n + 1);
	size_t n = 0;

	(void)slice_cut(&raw, ':');
	for (size_t i = 0; i < raw.n; i++)
		if (raw.p[i] != '\r')
			out[n++] = raw.p[i];
	return (struct slice){out, n};
}
