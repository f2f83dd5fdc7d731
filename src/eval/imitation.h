/*
 * Does the author of a message look like one of ours, and is none?  Pure.
 */
#ifndef MAILSEAL_EVAL_IMITATION_H
#define MAILSEAL_EVAL_IMITATION_H

#include "dmarc/dmarc.h"
#include "mail/lookalike.h"

#define IMITATION_DOMAINS_MAX 1000  /* of ours */
#define IMITATION_NAMES_MAX   10000 /* of ours */
#define IMITATION_AUTHORS_MAX 8	    /* mailboxes that are looked at */

/* The shortest registrable label of ours, in code points, of which each rule
 * speaks; tests/cases/lookalike.table is what they were chosen with. */
#define IMITATION_GLYPH_MIN                                                    \
	4 /* letter for letter, but for diacritics and digits */
#define IMITATION_SLIP_MIN 5 /* a slip of the fingers, same suffix */
#define IMITATION_NEAR_MIN 7 /* another edit, same suffix */
#define IMITATION_SUFFIX_MIN                                                   \
	7		     /* the same label or one edit, another suffix     \
			      */
#define IMITATION_PART_MIN 7 /* between hyphens */

/* What is ours, as it looks; immutable. */
struct imitation;

/* `domains`: canonical; `names`: UTF-8.  All arguments must outlive it. */
struct imitation *imitation_new(const struct lookalike *l,
				const struct dmarc_psl *psl,
				const struct string_list *domains,
				const struct string_list *names);
void imitation_free(struct imitation *m); /* NULL is allowed */

/*
 * What imitates what, one line of printable ASCII, or NULL.  In this order: an
 * author domain that looks like one of ours; an address of ours in the
 * display-name of another's; a name of ours where no author domain is ours.
 * Our own domains and what is below them imitate nothing: whether they are
 * themselves is for DMARC to say.
 */
const char *imitation_find(const struct imitation *m, struct arena *a,
			   const struct addr_authors *authors);

#endif
