/*
 * Hides who wrote and who is written to: local-parts of addresses and logins
 * become digests that only who has the secret can make again, or nothing.
 * Domains stay.
 */
#ifndef MAILSEAL_REPORT_PERSONAL_H
#define MAILSEAL_REPORT_PERSONAL_H

#include "base/str.h"

#define PERSONAL_TEXT_MAX 480000

struct personal {
	bool omit;	    /* "-" in place of each */
	const char *secret; /* key of the digests, if not */
};

/* "sha256:0123456789abcdef" or "-"; without regard to ASCII case. */
const char *personal_word(struct arena *a, const struct personal *p,
			  struct slice local);
/* An address, a path with its "<>", or a login. */
struct slice personal_address(struct arena *a, const struct personal *p,
			      struct slice address);
/* A text with each local-part hidden that stands before a "@". */
const char *personal_text(struct arena *a, const struct personal *p,
			  struct slice text);
/* A text with `login` hidden wherever it stands as a word. */
struct slice personal_login_in(struct arena *a, const struct personal *p,
			       struct slice login, struct slice text);

#endif
