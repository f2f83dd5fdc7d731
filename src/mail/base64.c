/*
 * Base64 (RFC 4648 4), as DKIM uses it: white space inside is skipped when
 * decoding (RFC 6376 3.2), nothing else is.
 *
 * Padding is required: data that was cut must not decode.  Unused bits of the
 * last digit are not looked at (RFC 4648 3.5 leaves that to the reader).
 * Results live in the caller's arena and are at most 3/4 or 4/3 of the input.
 * Pure.
 */
#include "mail/base64.h"

/* One more than the value of a digit; 0 is no digit. */
/* clang-format off */
static const unsigned char digit_values[256] = {
	['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
	14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
	['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,
	40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
	['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
	['+'] = 63,
	['/'] = 64,
};
/* clang-format on */

static bool is_fws(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool base64_decode(struct arena *a, struct slice s, struct slice *ret)
{
	char *out = arena_alloc(a, s.n / 4 * 3 + 3);
	size_t n = 0, digits = 0, pad = 0;
	uint32_t bits = 0;

	for (size_t i = 0; i < s.n; i++) {
		int d;

		if (is_fws(s.p[i]))
			continue;
		if (s.p[i] == '=') {
			pad++;
			continue;
		}
		d = digit_values[(unsigned char)s.p[i]] - 1;
		if (d < 0 || pad > 0)
			return false;
		bits = bits << 6 | (uint32_t)d;
		if (++digits % 4 != 1)
			out[n++] = (char)(bits >> (6 - 2 * ((digits - 1) % 4)));
	}
	if (digits % 4 == 1 || pad > 2 || (digits + pad) % 4 != 0)
		return false;
	*ret = (struct slice){out, n};
	return true;
}

struct slice base64_encode(struct arena *a, struct slice s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = arena_alloc(a, s.n / 3 * 4 + 5);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i += 3) {
		size_t have = s.n - i < 3 ? s.n - i : 3;
		uint32_t v = (uint32_t)(unsigned char)s.p[i] << 16;

		if (have > 1)
			v |= (uint32_t)(unsigned char)s.p[i + 1] << 8;
		if (have > 2)
			v |= (unsigned char)s.p[i + 2];
		out[n++] = digits[v >> 18];
		out[n++] = digits[v >> 12 & 63];
		out[n++] = have > 1 ? digits[v >> 6 & 63] : '=';
		out[n++] = have > 2 ? digits[v & 63] : '=';
	}
	return (struct slice){out, n};
}
