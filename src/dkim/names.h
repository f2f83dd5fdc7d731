/*
 * What a signature says about itself: the fields it signs (h=) and on whose
 * behalf (i=).  RFC 6376 3.5, 5.4.  Pure.  Internal to dkim/, but for what is
 * said of lines and for the two dkim_skip_ functions.
 */
#ifndef MAILSEAL_DKIM_NAMES_H
#define MAILSEAL_DKIM_NAMES_H

#include "dkim/dkim.h"

/*
 * The names for h= of this message by the list of `key`, with ":" between.
 * A field is left out when the MTA will change it: it has a long line, an
 * address without domain, or, unless `mta` keeps fields as they are, a list of
 * addresses in a form that Sendmail does not keep.  *ret_left_out then becomes
 * a constant for the log.  From is never left out.  Returns NULL, or a constant
 * that says why there can be no signature; then nothing is changed.
 */
const char *dkim_names_choose(struct arena *a, const struct field_list *fields,
			      enum dkim_mta mta,
			      const struct dkim_signing_key *key,
			      struct slice *ret_h, const char **ret_left_out);

/* Lines over this are broken, without CRLF (RFC 5322 2.1.1; Sendmail's mailers
 * have L=990). */
size_t dkim_line_max(enum dkim_mta mta);
bool dkim_has_long_line(const struct field *f, enum dkim_mta mta);

/* Is it a field whose value is a list of addresses? */
bool dkim_has_addresses(struct slice name);

/* The offset after the quoted string ("..." or [...]) or the comment that
 * begins at `i`; more than the length when it does not end. */
size_t dkim_skip_quoted(struct slice s, size_t i, char end);
size_t dkim_skip_comment(struct slice s, size_t i);

/* i= as it stands in a signature: dkim-quoted-printable (RFC 6376 2.11), the
 * domain canonical.  `identity` as checked with dkim_identity_ok(). */
struct slice dkim_identity_text(struct arena *a, const char *identity);

#endif
