/*
 * The only user of libicu.
 *
 * The skeleton of TS 39 4 keeps case apart, so case is folded between two
 * passes: "0" has the prototype "O", which is folded to "o".  NFKC_Casefold
 * drops the code points that are ignored by default, in which a sender could
 * hide a difference.  The tables "3 is read as e" are ours: libicu knows only
 * what looks the same, not what is read the same.
 *
 * Every buffer is sized by the text, which is cut at LOOKALIKE_TEXT_MAX; what
 * grows beyond is given up.  Data come from the library itself, never from a
 * file: a charset's name is the sender's.
 */
#include "mail/lookalike.h"

#include <stdlib.h>
#include <string.h>

#include <unicode/ucnv.h>
#include <unicode/udata.h>
#include <unicode/unorm2.h>
#include <unicode/uspoof.h>
#include <unicode/ustring.h>

/* NFKC makes up to 18 units of one. */
#define GROWTH 20

struct lookalike {
	USpoofChecker *checker;
	const UNormalizer2 *fold; /* libicu's own, as is: */
	const UNormalizer2 *apart;
};

struct lookalike *lookalike_new(const char **error)
{
	UErrorCode status = U_ZERO_ERROR;
	struct lookalike *l = mem_alloc(sizeof(*l));
	struct arena *a = arena_new();
	struct slice ignored;

	udata_setFileAccess(UDATA_NO_FILES, &status);
	l->checker = uspoof_open(&status);
	l->fold = unorm2_getNFKCCasefoldInstance(&status);
	l->apart = unorm2_getNFDInstance(&status);
	/* the alias table of the converters too is loaded when first used */
	if (U_FAILURE(status) || !lookalike_decode(l, a, SLICE("iso-8859-15"),
						   SLICE("x"), &ignored)) {
		*error = "libicu has no data";
		lookalike_free(l);
		l = NULL;
	}
	arena_free(a);
	return l;
}

void lookalike_free(struct lookalike *l)
{
	if (l == NULL)
		return;
	uspoof_close(l->checker);
	free(l);
}

/* ---- skeletons ---- */

struct units {
	UChar *p;
	int32_t n;
	int32_t cap;
};

static struct units units_new(struct arena *a, int32_t cap)
{
	return (struct units){arena_array(a, (size_t)cap, sizeof(UChar)), 0,
			      cap};
}

static bool normalize(const UNormalizer2 *how, const struct units *from,
		      struct units *to)
{
	UErrorCode status = U_ZERO_ERROR;

	to->n = unorm2_normalize(how, from->p, from->n, to->p, to->cap,
				 &status);
	return U_SUCCESS(status);
}

static bool skeleton(const struct lookalike *l, const struct units *from,
		     struct units *to)
{
	UErrorCode status = U_ZERO_ERROR;

	to->n = uspoof_getSkeleton(l->checker, 0, from->p, from->n, to->p,
				   to->cap, &status);
	return U_SUCCESS(status);
}

static const char *to_utf8(struct arena *a, const struct units *u)
{
	UErrorCode status = U_ZERO_ERROR;
	int32_t cap = 3 * u->n + 1, n = 0;
	char *text = arena_alloc(a, (size_t)cap);

	u_strToUTF8WithSub(text, cap, &n, u->p, u->n, 0xfffd, NULL, &status);
	return U_SUCCESS(status) ? text : "";
}

/* The last passes fold what the prototypes have in upper case, and leave each
 * mark by itself. */
static const char *skeleton_of(const struct lookalike *l, struct arena *a,
			       struct arena *scratch, struct slice text)
{
	int32_t cap = (int32_t)text.n * GROWTH + 64;
	struct units x = units_new(scratch, cap), y = units_new(scratch, cap);
	UErrorCode status = U_ZERO_ERROR;

	u_strFromUTF8WithSub(x.p, x.cap, &x.n, text.p, (int32_t)text.n, 0xfffd,
			     NULL, &status);
	if (U_FAILURE(status) || !skeleton(l, &x, &y) ||
	    !normalize(l->fold, &y, &x) || !skeleton(l, &x, &y) ||
	    !normalize(l->fold, &y, &x) || !normalize(l->apart, &x, &y))
		return "";
	return to_utf8(a, &y);
}

const char *lookalike_skeleton(const struct lookalike *l, struct arena *a,
			       struct slice text)
{
	struct arena *scratch = arena_new();
	const char *ret = skeleton_of(l, a, scratch,
				      slice_first(text, LOOKALIKE_TEXT_MAX));

	arena_free(scratch);
	return ret;
}

/* The next code point of text that libicu has made or checked; 0 at the end. */
static uint32_t next(const char **text)
{
	const unsigned char *p = (const unsigned char *)*text;
	uint32_t c = *p;

	if (c == 0)
		return 0;
	if (c >= 0x80)
		c &= c < 0xe0 ? 0x1f : c < 0xf0 ? 0x0f : 0x07;
	for (p++; (*p & 0xc0) == 0x80; p++)
		c = c << 6 | (*p & 0x3f);
	*text = (const char *)p;
	return c;
}

/* Combining marks that Latin, Greek and Cyrillic letters are written with. */
static bool is_mark(uint32_t c)
{
	return (c >= 0x300 && c < 0x370) || (c >= 0x1ab0 && c < 0x1b00) ||
	       (c >= 0x1dc0 && c < 0x1e00) || (c >= 0x20d0 && c < 0x2100);
}

static char read_as(char c)
{
	static const char digits[] = "oizeasbtbg";

	/* "0" and "1" are o and l in a skeleton already */
	return ascii_isdigit(c) ? digits[c - '0'] : c;
}

const char *lookalike_bare(struct arena *a, const char *skel)
{
	struct strbuf b;

	strbuf_init(&b, a, strlen(skel) + 1);
	while (*skel != '\0') {
		const char *from = skel;
		uint32_t c = next(&skel);
		if (is_mark(c))
			continue;
		if (c == 'v' && *skel == 'v') {
			strbuf_addc(&b, 'w');
			skel++;
		} else if (c < 0x80) {
			strbuf_addc(&b, read_as((char)c));
		} else {
			strbuf_add(&b,
				   (struct slice){from, (size_t)(skel - from)});
		}
	}
	return strbuf_cstr(&b);
}

/* ---- distance ---- */

size_t lookalike_length(const char *text)
{
	size_t n = 0;

	while (next(&text) != 0)
		n++;
	return n;
}

/* The first letter of `longer` is one too many; `before` is what stands before
 * it. */
static enum lookalike_edit insertion(const char *longer, const char *shorter,
				     uint32_t before)
{
	uint32_t c = next(&longer);

	if (c == 0 || strcmp(longer, shorter) != 0)
		return LOOKALIKE_FAR;
	return c == before ? LOOKALIKE_SLIP : LOOKALIKE_NEAR;
}

static bool is_transposed(const char *x, const char *y)
{
	uint32_t x1 = next(&x), y1 = next(&y);

	return x1 != 0 && y1 != 0 && next(&x) == y1 && next(&y) == x1 &&
	       strcmp(x, y) == 0;
}

static bool is_replaced(const char *x, const char *y)
{
	return next(&x) != 0 && next(&y) != 0 && strcmp(x, y) == 0;
}

/* From the first difference on. */
static enum lookalike_edit compare_rest(const char *x, const char *y,
					uint32_t before)
{
	enum lookalike_edit e = insertion(x, y, before);

	if (e == LOOKALIKE_FAR)
		e = insertion(y, x, before);
	if (e == LOOKALIKE_FAR && is_transposed(x, y))
		e = LOOKALIKE_SLIP;
	if (e == LOOKALIKE_FAR && is_replaced(x, y))
		e = LOOKALIKE_NEAR;
	return e;
}

enum lookalike_edit lookalike_compare(const char *x, const char *y)
{
	uint32_t before = 0;

	for (;;) {
		const char *x1 = x, *y1 = y;
		uint32_t c = next(&x1);
		if (c != next(&y1))
			return compare_rest(x, y, before);
		if (c == 0)
			return LOOKALIKE_FAR;
		before = c;
		x = x1;
		y = y1;
	}
}

/* ---- charsets ---- */

/* RFC 2978 2.3, without what could mean something to libicu ("," and "="
 * begin its options). */
static bool is_charset(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_isalnum(s.p[i]) && strchr("-_.:+", s.p[i]) == NULL)
			return false;
	return s.n > 0 && s.n <= LOOKALIKE_CHARSET_MAX;
}

static const char *convert(struct arena *a, struct arena *scratch,
			   UConverter *from, struct slice bytes)
{
	UErrorCode status = U_ZERO_ERROR;
	struct units u = units_new(scratch, (int32_t)bytes.n * 4 + 64);

	u.n = ucnv_toUChars(from, u.p, u.cap, bytes.p, (int32_t)bytes.n,
			    &status);
	return U_SUCCESS(status) ? to_utf8(a, &u) : "";
}

bool lookalike_decode(const struct lookalike *l, struct arena *a,
		      struct slice charset, struct slice bytes,
		      struct slice *ret)
{
	UErrorCode status = U_ZERO_ERROR;
	struct arena *scratch;
	UConverter *from;

	(void)l; /* says that libicu was started */
	if (!is_charset(charset))
		return false;
	scratch = arena_new();
	from = ucnv_open(slice_cstr(scratch, charset), &status);
	if (U_SUCCESS(status))
		*ret = slice_of(
			convert(a, scratch, from,
				slice_first(bytes, LOOKALIKE_TEXT_MAX)));
	ucnv_close(from);
	arena_free(scratch);
	return U_SUCCESS(status);
}
