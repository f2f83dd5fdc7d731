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

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

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
		d = digit(s.p[i]);
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
