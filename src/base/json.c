/* A writer: whoever calls it opens and closes objects and arrays. */
#include "base/json.h"

static bool is_plain(char c)
{
	return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

static void add_escaped(struct strbuf *b, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	const char pair[] = {'\\', (char)c};
	const char code[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

	if (c == '"' || c == '\\')
		strbuf_add(b, (struct slice){pair, sizeof(pair)});
	else
		strbuf_add(b, (struct slice){code, sizeof(code)});
}

void json_wire(struct strbuf *b, struct slice s)
{
	strbuf_addc(b, '"');
	while (s.n > 0) {
		size_t n = 0;

		while (n < s.n && is_plain(s.p[n]))
			n++;
		strbuf_add(b, slice_first(s, n));
		s = slice_from(s, n);
		if (s.n == 0)
			break;
		add_escaped(b, (unsigned char)s.p[0]);
		s = slice_from(s, 1);
	}
	strbuf_addc(b, '"');
}

void json_next(struct strbuf *b)
{
	if (b->n > 0 && b->p[b->n - 1] != '{' && b->p[b->n - 1] != '[')
		strbuf_adds(b, ", ");
}

void json_name(struct strbuf *b, const char *name)
{
	json_next(b);
	strbuf_addc(b, '"');
	strbuf_adds(b, name);
	strbuf_adds(b, "\": ");
}

void json_slice(struct strbuf *b, const char *name, struct slice value,
		bool present)
{
	json_name(b, name);
	if (present)
		json_wire(b, value);
	else
		strbuf_adds(b, "null");
}

void json_text(struct strbuf *b, const char *name, const char *value)
{
	json_slice(b, name, slice_of(value), value != NULL);
}

void json_number(struct strbuf *b, const char *name, int64_t value)
{
	json_name(b, name);
	strbuf_number(b, value);
}

void json_bool(struct strbuf *b, const char *name, bool value)
{
	json_name(b, name);
	strbuf_adds(b, value ? "true" : "false");
}
