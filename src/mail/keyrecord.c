/*
 * DKIM key records (RFC 6376 3.6.1, RFC 8463 4.2).
 *
 * This says what the record says.  Whether the key is a key, its size, and
 * what hash, service and flags mean for a signature is dkim/'s to judge; how
 * several records at one name are treated (DK-12) also.  The key lives in the
 * caller's arena.  Pure.
 */
#include "mail/keyrecord.h"

#include "mail/base64.h"
#include "mail/tagvalue.h"

/* Is `word` one of the colon-separated words of `list`? */
static bool has_word(struct slice list, const char *word)
{
	struct slice rest = list;

	while (rest.p != NULL)
		if (slice_is(slice_trim(slice_cut(&rest, ':')), word))
			return true;
	return false;
}

static enum keyrecord_type type_of(const struct tagvalue_list *l)
{
	struct slice k;

	if (!tagvalue_get(l, "k", &k) || slice_is(k, "rsa"))
		return KEYRECORD_RSA;
	return slice_is(k, "ed25519") ? KEYRECORD_ED25519 : KEYRECORD_OTHER;
}

static void read_lists(const struct tagvalue_list *l, struct keyrecord *ret)
{
	struct slice v;

	ret->sha256_ok = !tagvalue_get(l, "h", &v) || has_word(v, "sha256");
	ret->email_ok = !tagvalue_get(l, "s", &v) || has_word(v, "*") ||
			has_word(v, "email");
	if (tagvalue_get(l, "t", &v)) {
		ret->testing = has_word(v, "y");
		ret->strict_domain = has_word(v, "s");
	}
}

bool keyrecord_parse(struct arena *a, struct slice txt, struct keyrecord *ret,
		     const char **reason)
{
	struct tagvalue_list l;
	struct slice v, p, key;

	if (!tagvalue_parse(txt, &l, reason))
		return false;
	/* RFC 6376 3.6.1: v=, if there, is the first tag and DKIM1 */
	if (tagvalue_get(&l, "v", &v) &&
	    (!slice_is(l.v[0].name, "v") || !slice_is(v, "DKIM1"))) {
		*reason = "key record is not v=DKIM1";
		return false;
	}
	if (!tagvalue_get(&l, "p", &p)) {
		*reason = "key record without p=";
		return false;
	}
	if (!base64_decode(a, p, &key)) {
		*reason = "key is not base64";
		return false;
	}
	/* RFC 6376 3.6.1: an empty p= means that the key was revoked */
	*ret = (struct keyrecord){
		.type = type_of(&l), .key = key, .revoked = key.n == 0};
	read_lists(&l, ret);
	return true;
}
