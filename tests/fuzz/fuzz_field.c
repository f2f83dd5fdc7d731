/*
 * A whole message to header fields and body (RFC 5322 2.2).  The first byte
 * of the input chooses the limits, the rest is the message.
 */
#include "fuzz.h"

#include "mail/field.h"

static void check_field(struct arena *a, const struct field *f,
			const struct field_limits *limits)
{
	struct slice unfolded = field_unfold(a, f->value);

	FUZZ_CHECK(f->raw.n <= limits->max_field_bytes);
	FUZZ_CHECK(fuzz_inside(f->name, f->raw));
	FUZZ_CHECK(fuzz_inside(f->value, f->raw));
	FUZZ_CHECK(f->raw.n >= f->name.n + 1 + f->value.n);
	FUZZ_CHECK(f->value.p[-1] == ':');
	FUZZ_CHECK(f->value.p + f->value.n == f->raw.p + f->raw.n);
	FUZZ_CHECK(unfolded.n <= f->value.n);
	/* RFC 6376 3.4: every fold as CRLF */
	for (size_t i = 0; i < f->raw.n; i++)
		FUZZ_CHECK(f->raw.p[i] != '\n' ||
			   (i > 0 && f->raw.p[i - 1] == '\r'));
}

static void check_list(struct arena *a, const struct field_list *l,
		       const struct field_limits *limits)
{
	size_t bytes = 0;

	FUZZ_CHECK(l->n <= limits->max_fields);
	FUZZ_CHECK(l->bytes <= limits->max_bytes);
	for (size_t i = 0; i < l->n; i++) {
		const char *name = slice_cstr(a, l->v[i].name);
		size_t count = field_count(l, name);

		check_field(a, &l->v[i], limits);
		bytes += l->v[i].raw.n;
		if (strlen(name) != l->v[i].name.n) /* a NUL in it */
			continue;
		FUZZ_CHECK(count > 0);
		FUZZ_CHECK(field_nth(l, name, count - 1) != NULL);
		FUZZ_CHECK(field_nth(l, name, count) == NULL);
	}
	FUZZ_CHECK(bytes == l->bytes);
	FUZZ_CHECK((l->trouble == FIELD_OK) ==
		   (field_trouble_text(l->trouble) == NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct field_limits limits = {100, 1 << 20, 1 << 20};
	struct slice message = fuzz_input(data, size), body;
	struct arena *a = arena_new();
	struct field_list l = {0};

	if (message.n > 0 && message.p[0] != '-')
		limits = (struct field_limits){message.p[0] & 7, 40, 100};
	message = slice_from(message, 1);
	field_list_parse(a, &l, &limits, message, &body);
	FUZZ_CHECK(fuzz_inside(body, message));
	check_list(a, &l, &limits);
	arena_free(a);
	return 0;
}
