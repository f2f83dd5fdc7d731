/* mailseal key: the public half of a key as a record. */
#include "cmd/key.h"

#include <stdio.h>

#include "mail/base64.h"

#define TXT_STRING_MAX 255 /* RFC 1035 3.3: bytes of a character-string */
#define TTL	       3600

struct slice key_record_text(struct arena *a, const struct crypto_privkey *k)
{
	struct slice p;

	if (k == NULL)
		return SLICE("v=DKIM1; p=");
	p = base64_encode(a, crypto_privkey_public(a, k));
	return slice_of(arena_printf(
		a, "v=DKIM1; k=%s; p=%.*s",
		crypto_privkey_type(k) == CRYPTO_RSA ? "rsa" : "ed25519",
		(int)p.n, p.p));
}

static void print_strings(struct slice text)
{
	for (; text.n > 0; text = slice_from(text, TXT_STRING_MAX)) {
		struct slice part = slice_first(text, TXT_STRING_MAX);

		printf(" \"%.*s\"", (int)part.n, part.p);
	}
}

void key_record_print(const char *name, struct slice text, bool nsupdate)
{
	if (nsupdate)
		printf("update delete %s. TXT\nupdate add %s. %d TXT", name,
		       name, TTL);
	else
		printf("%s. %d IN TXT (", name, TTL);
	print_strings(text);
	puts(nsupdate ? "\nsend" : " )");
}
