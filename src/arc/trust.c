/*
 * What a set says of the message as it came to its sealer (RFC 8617 7.2.1).
 * It is text of somebody else's: it counts only when he is trusted.  Pure.
 */
#include "arc/arc.h"

#include <string.h>

#include "mail/authres.h"
#include "mail/domain.h"

/* With header.from (RFC 9989 9.1) about that author, without it about the
 * message. */
static bool is_about(struct arena *a, const struct authres_resinfo *r,
		     const char *author)
{
	for (size_t i = 0; i < r->nprops; i++) {
		const struct authres_property *p = &r->props[i];
		const char *domain;

		if (!slice_is_ci(p->ptype, "header") ||
		    !slice_is_ci(p->name, "from"))
			continue;
		domain = domain_canon(a, p->value);
		return domain != NULL && strcmp(domain, author) == 0;
	}
	return true;
}

bool arc_set_says_dmarc_pass(struct arena *a, const struct arc_set *s,
			     const char *author)
{
	struct authres r;
	bool pass = false;

	if (!authres_parse(a, s->results, &r))
		return false;
	for (size_t i = 0; i < r.n; i++) {
		if (!slice_is_ci(r.v[i].method, "dmarc"))
			continue;
		/* one that fails is not outvoted by another */
		if (!slice_is_ci(r.v[i].result, "pass") ||
		    !is_about(a, &r.v[i], author))
			return false;
		pass = true;
	}
	return pass;
}
