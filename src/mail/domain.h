/*
 * Domain names.  Everywhere in mailseal a domain that was accepted is a
 * NUL-terminated lower-case A-label string without trailing dot ("a canonical
 * domain"): compared with strcmp(), looked up as it stands.  Pure.
 */
#ifndef MAILSEAL_MAIL_DOMAIN_H
#define MAILSEAL_MAIL_DOMAIN_H

#include "base/str.h"

#define DOMAIN_MAX       253 /* RFC 1035 2.3.4, in text form */
#define DOMAIN_LABEL_MAX 63

/*
 * Makes wire text a canonical domain: strips one trailing dot, converts
 * UTF-8 labels to A-labels (IDNA2008, UTS46 non-transitional; RFC 8616),
 * lower-cases.  Accepts letters, digits, "-" and "_" in labels; refuses empty
 * labels, labels over 63, names over 253, and everything else (NUL, quotes,
 * spaces, "%", "(", code points that are invisible or look like a space ...:
 * HP-8).  One label ("com") is accepted: see domain_labels().  Returns NULL
 * when refused.
 */
const char *domain_canon(struct arena *a, struct slice s);

/* A canonical domain as it is shown: A-labels become U-labels, in UTF-8; what is
 * no A-label that IDNA2008 has stays as it is. */
const char *domain_unicode(struct arena *a, const char *domain);

/* Number of labels of a canonical domain ("" has 0). */
unsigned domain_labels(const char *domain);
/* The rightmost `n` labels: a pointer into `domain`. */
const char *domain_suffix(const char *domain, unsigned n);
/* Without the leftmost label: a pointer into `domain`; "" after the last. */
const char *domain_parent(const char *domain);
/* Is `sub` equal to or below `domain`? (both canonical) */
bool domain_is_under(const char *sub, const char *domain);

#endif
