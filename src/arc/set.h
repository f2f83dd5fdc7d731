/* The sets of a chain as their fields say it (RFC 8617 4.1).  Pure.  Internal
 * to arc/. */
#ifndef MAILSEAL_ARC_SET_H
#define MAILSEAL_ARC_SET_H

#include "arc/arc.h"
#include "mail/canon.h"

#define ARC_NAMES_MAX 200 /* names in one h= */

enum arc_cv {
	ARC_CV_NONE,
	ARC_CV_PASS,
	ARC_CV_FAIL,
};

/* What ARC-Seal and ARC-Message-Signature have in common. */
struct arc_tags {
	const struct field *field;
	enum crypto_type type;
	const char *domain;   /* d=, canonical */
	const char *selector; /* s=, canonical */
	const char *query;    /* selector._domainkey.domain */
	struct slice sig;     /* b=, decoded */
};

struct arc_seal {
	struct arc_tags tags;
	enum arc_cv cv;
};

struct arc_signature {
	struct arc_tags tags;
	enum canon_mode header, body;
	bool any_canon; /* no c=: simple by RFC 6376 3.5, but ARC is relaxed
			 * for most (its seals are): either will do */
	bool from;	/* h= lists From */
	struct slice h;
	struct slice body_hash; /* bh=, decoded, SHA256_LEN bytes */
	uint64_t length;	/* l=; UINT64_MAX: absent */
	const char *bad;	/* it cannot pass: why, a constant; or NULL */
};

struct arc_link {
	const struct field *results; /* ARC-Authentication-Results */
	struct slice results_text;   /* after "i=N;" */
	struct arc_signature signature;
	struct arc_seal seal;
};

struct arc_chain {
	size_t n;
	struct arc_link *v; /* v[0] is i=1 */
	bool ended;	    /* the newest seal says cv=fail, whatever else */
	const char *reason; /* why it is none, a constant; or NULL */
};

/* Is it the name of one of the three? */
bool arc_is_field(struct slice name);

/* Steps 1 to 3 of RFC 8617 5.2.  n is 0 when there is no set at all. */
void arc_chain_read(struct arena *a, const struct field_list *fields,
		    struct arc_chain *ret);

#endif
