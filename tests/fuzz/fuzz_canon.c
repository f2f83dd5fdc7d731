/*
 * DKIM canonicalization (mail/canon.h, lines.h).  The input: a line with the
 * length of the pieces in which the body comes, and l=; then a message.
 *
 * Each form is compared with one that is made here by the letter of RFC 6376
 * 3.4, on the text as a whole.
 */
#include "fuzz.h"

#include "mail/lines.h"

static const struct field_limits limits = {200, 1 << 20, 1 << 20};

static void sink(void *arg, struct slice bytes)
{
	FUZZ_CHECK(bytes.p != NULL);
	strbuf_add(arg, bytes);
}

static void check_equal(struct slice got, struct slice want)
{
	FUZZ_CHECK(got.n == want.n);
	FUZZ_CHECK(got.n == 0 || memcmp(got.p, want.p, got.n) == 0);
}

/* Without white space at the end, and with one space for each other run. */
static void add_reduced(struct strbuf *b, struct slice line)
{
	bool space = false;

	for (size_t i = 0; i < line.n; i++) {
		if (ascii_iswsp(line.p[i])) {
			space = true;
			continue;
		}
		if (space)
			strbuf_addc(b, ' ');
		space = false;
		strbuf_addc(b, line.p[i]);
	}
}

/* ---- body ---- */

/* The next line without its CRLF. */
static struct slice cut_line(struct slice *rest)
{
	struct slice line = *rest;

	for (size_t i = 0; i + 1 < rest->n; i++)
		if (rest->p[i] == '\r' && rest->p[i + 1] == '\n') {
			line.n = i;
			*rest = slice_from(*rest, i + 2);
			return line;
		}
	*rest = SLICE("");
	return line;
}

/* 3.4.3 and 3.4.4 */
static void canon_whole(enum canon_mode mode, struct slice body,
			struct strbuf *ret)
{
	size_t blank = 0;

	while (body.n > 0) {
		size_t before = ret->n;

		for (size_t i = 0; i < blank; i++)
			strbuf_adds(ret, "\r\n");
		if (mode == CANON_SIMPLE)
			strbuf_add(ret, cut_line(&body));
		else
			add_reduced(ret, cut_line(&body));
		if (ret->n == before + 2 * blank) {
			ret->n = before;
			blank++;
		} else {
			strbuf_adds(ret, "\r\n");
			blank = 0;
		}
	}
	if (mode == CANON_SIMPLE && ret->n == 0)
		strbuf_adds(ret, "\r\n");
}

static void check_body(struct arena *a, enum canon_mode mode, struct slice body,
		       uint64_t piece, uint64_t limit)
{
	struct canon_body c;
	struct strbuf got, want;

	strbuf_init(&got, a, 1 << 20);
	strbuf_init(&want, a, 1 << 20);
	canon_whole(mode, body, &want);
	canon_body_init(&c, mode, limit, sink, &got);
	for (; body.n > 0; body = slice_from(body, piece))
		canon_body_feed(&c, slice_first(body, piece));
	canon_body_end(&c);
	FUZZ_CHECK(c.total == want.n);
	check_equal(strbuf_slice(&got),
		    slice_first(strbuf_slice(&want), limit));
}

/* RFC 6376 5.3: as it will be sent. */
static void add_crlf(struct strbuf *b, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\r' && s.p[i] != '\n') {
			strbuf_addc(b, s.p[i]);
			continue;
		}
		strbuf_adds(b, "\r\n");
		if (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n')
			i++;
	}
}

static size_t longest_line(struct slice s)
{
	size_t ret = 0;

	while (s.n > 0) {
		struct slice line = cut_line(&s);

		ret = line.n > ret ? line.n : ret;
	}
	return ret;
}

static void check_lines(struct arena *a, enum canon_mode mode,
			struct slice body, uint64_t piece)
{
	struct strbuf got, sent, want;
	struct body_lines l;

	strbuf_init(&got, a, 1 << 20);
	strbuf_init(&sent, a, 1 << 20);
	strbuf_init(&want, a, 1 << 20);
	add_crlf(&sent, body);
	canon_whole(mode, strbuf_slice(&sent), &want);
	body_lines_init(&l, mode, sink, &got);
	for (; body.n > 0; body = slice_from(body, piece))
		body_lines_feed(&l, slice_first(body, piece));
	canon_body_end(&l.canon);
	check_equal(strbuf_slice(&got), strbuf_slice(&want));
	FUZZ_CHECK(l.longest == longest_line(strbuf_slice(&sent)));
}

/* ---- header ---- */

/* 3.4.2, of a field with folds as CRLF */
static void relaxed_whole(struct slice raw, struct strbuf *ret)
{
	struct slice value = raw, name = slice_cut(&value, ':');
	struct slice trimmed = slice_trim(value);
	size_t end;
	char *flat;

	add_reduced(ret, name);
	for (size_t i = 0; i < ret->n; i++)
		ret->p[i] = ascii_lower(ret->p[i]);
	strbuf_addc(ret, ':');
	flat = slice_cstr(ret->arena, trimmed);
	end = trimmed.n;
	for (size_t i = 0; i < end; i++) /* CR and LF are in folds alone */
		if (flat[i] == '\r' || flat[i] == '\n')
			flat[i] = ' ';
	add_reduced(ret, (struct slice){flat, end});
	strbuf_adds(ret, "\r\n");
}

static void check_field(struct arena *a, struct slice raw)
{
	struct strbuf got, want, again;

	strbuf_init(&got, a, 1 << 20);
	strbuf_init(&want, a, 1 << 20);
	strbuf_init(&again, a, 1 << 20);
	canon_field(CANON_RELAXED, raw, true, sink, &got);
	relaxed_whole(raw, &want);
	check_equal(strbuf_slice(&got), strbuf_slice(&want));
	/* what is canonical stays */
	canon_field(CANON_RELAXED, slice_first(strbuf_slice(&got), got.n - 2),
		    true, sink, &again);
	check_equal(strbuf_slice(&again), strbuf_slice(&got));
	got.n = 0;
	canon_field(CANON_SIMPLE, raw, false, sink, &got);
	check_equal(strbuf_slice(&got), raw);
}

/* 3.7: b= is there as often as before, and empty; the rest stays. */
static void check_without_b(struct arena *a, struct slice raw)
{
	struct slice bare = canon_without_b(a, raw);
	struct slice x = raw, y = bare;

	FUZZ_CHECK(bare.n <= raw.n);
	check_equal(slice_cut(&y, ':'), slice_cut(&x, ':'));
	while (x.p != NULL) {
		struct slice old = slice_cut(&x, ';'), new = slice_cut(&y, ';');
		struct slice name = old;

		name = slice_trim(slice_cut(&name, '='));
		if (slice_is(name, "b") && slice_chr(old, '=') >= 0) {
			FUZZ_CHECK(new.p[new.n - 1] == '=');
			old.n = new.n;
		}
		check_equal(new, old);
		FUZZ_CHECK((x.p == NULL) == (y.p == NULL));
	}
}

/* 5.4.2: bottom-up, each field once. */
static void check_select(const struct field_list *l, struct slice h)
{
	size_t v[16], n = canon_select(l, h, 16, v);

	FUZZ_CHECK(n == SIZE_MAX || n <= 16);
	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		struct slice name = slice_trim(slice_cut(&h, ':'));

		FUZZ_CHECK(v[i] == SIZE_MAX || v[i] < l->n);
		if (v[i] < l->n)
			FUZZ_CHECK(slice_eq_ci(l->v[v[i]].name, name));
		for (size_t k = 0; k < i && v[i] < l->n; k++)
			FUZZ_CHECK(v[k] != v[i] &&
				   (v[k] > v[i] ||
				    !slice_eq_ci(l->v[v[k]].name, name)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = fuzz_input(data, size), line = fuzz_line(&rest);
	uint64_t piece = 0, limit = 0;
	struct arena *a = arena_new();
	struct field_list l = {0};
	struct slice body;

	if (!slice_u64(slice_cut(&line, ' '), size, &piece) || piece == 0)
		piece = size + 1;
	if (!slice_u64(line, 1 << 20, &limit))
		limit = UINT64_MAX;
	field_list_parse(a, &l, &limits, rest, &body);
	check_body(a, CANON_SIMPLE, body, piece, limit);
	check_body(a, CANON_RELAXED, body, piece, limit);
	check_lines(a, CANON_SIMPLE, body, piece);
	check_lines(a, CANON_RELAXED, body, piece);
	for (size_t i = 0; i < l.n; i++) {
		check_field(a, l.v[i].raw);
		check_without_b(a, l.v[i].raw);
		check_select(&l, l.v[i].value);
	}
	arena_free(a);
	return 0;
}
