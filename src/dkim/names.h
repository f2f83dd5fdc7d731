/*
 * What a signature says about itself: the fields it signs (h=) and on whose
 * behalf (i=).  RFC 6376 3.5, 5.4.  Pure.  Internal to dkim/.
 */
#ifndef MAILSEAL_DKIM_NAMES_H
#define MAILSEAL_DKIM_NAMES_H

#include "dkim/dkim.h"

/*
 * The names for h= of this message by the list of `key`, with ":" between.
 * *ret_left_out becomes true when a field was left out because it has an
 * address without domain, which the MTA will complete.  Returns NULL, or a
 * constant that says why there can be no signature; then nothing is changed.
 */
const char *dkim_names_choose(struct arena *a, const struct field_list *fields,
			      const struct dkim_signing_key *key,
			      struct slice *ret_h, bool *ret_left_out);

/* i= as it stands in a signature: dkim-quoted-printable (RFC 6376 2.11), the
 * domain canonical.  `identity` as checked with dkim_identity_ok(). */
struct slice dkim_identity_text(struct arena *a, const char *identity);

#endif
