/* A writer: whoever calls it opens and closes objects and arrays. */
#include "base/json.h"

void json_string(struct strbuf *b, struct slice s)
{
	strbuf_addc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			strbuf_printf(b, "\\%c", c);
		else if (c >= 0x20 && c < 0x7f)
			strbuf_addc(b, (char)c);
		else
			strbuf_printf(b, "\\u%04x", c);
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
	strbuf_printf(b, "\"%s\": ", name);
}

void json_slice(struct strbuf *b, const char *name, struct slice value,
		bool present)
{
	json_name(b, name);
	if (present)
		json_string(b, value);
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
	strbuf_printf(b, "%lld", (long long)value);
}

void json_bool(struct strbuf *b, const char *name, bool value)
{
	json_name(b, name);
	strbuf_adds(b, value ? "true" : "false");
}
