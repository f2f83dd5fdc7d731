/*
 * What Sendmail makes of a list of addresses after its filters.  Pure.
 * Internal to dkim/.
 */
#ifndef MAILSEAL_DKIM_SENDMAIL_H
#define MAILSEAL_DKIM_SENDMAIL_H

#include "mail/field.h"

/*
 * The value as Sendmail will send it, but for where it is folded and for the
 * length of white space, which relaxed canonicalization does not see.  False,
 * and *ret untouched, when that cannot be told.  Sendmail's form of its own
 * form is the same.
 */
bool dkim_sendmail_form(struct arena *a, struct slice value, struct slice *ret);
/* Does Sendmail send it as it is? */
bool dkim_sendmail_keeps(struct arena *a, struct slice value);
/* The fields with each list of addresses in that form; one whose form cannot
 * be told stays as it is. */
void dkim_sendmail_fields(struct arena *a, const struct field_list *l,
			  struct field_list *ret);

#endif
