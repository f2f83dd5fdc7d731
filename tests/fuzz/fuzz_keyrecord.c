/*
 * DKIM key records (RFC 6376 3.6.1).  The input is one TXT text.
 */
#include "fuzz.h"

#include "mail/base64.h"
#include "mail/keyrecord.h"
#include "mail/tagvalue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice txt = fuzz_input(data, size), p, key;
	struct arena *a = arena_new();
	const char *reason = NULL;
	struct tagvalue_list tags;
	struct keyrecord k = {0};
	bool ok = keyrecord_parse(a, txt, &k, &reason);

	FUZZ_CHECK(ok == (reason == NULL));
	if (ok) {
		FUZZ_CHECK(k.revoked == (k.key.n == 0));
		FUZZ_CHECK(tagvalue_parse(txt, &tags, &reason));
		FUZZ_CHECK(tags.n > 0 && tags.n <= TAGVALUE_MAX);
		FUZZ_CHECK(tagvalue_get(&tags, "p", &p));
		FUZZ_CHECK(fuzz_inside(p, txt));
		/* the key is what p= encodes */
		FUZZ_CHECK(base64_decode(a, base64_encode(a, k.key), &key));
		FUZZ_CHECK(slice_eq(key, k.key));
	}
	arena_free(a);
	return 0;
}
