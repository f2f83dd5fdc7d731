/*
 * Authentication-Results (RFC 8601 2.2): one writer and one reader.  Pure.
 *
 * Writer: any value re-parses to itself or is dropped byte by byte (AR-11):
 * controls and non-ASCII bytes are removed, lengths are bounded.  A property
 * is left out where that could make another identity of it: when it is too
 * long, or an address that holds such bytes.
 */
#ifndef MAILSEAL_MAIL_AUTHRES_H
#define MAILSEAL_MAIL_AUTHRES_H

#include "base/str.h"

#define AUTHRES_MAX_VALUE   256   /* bytes of one pvalue, AR-11 */
#define AUTHRES_MAX_FIELD   65536 /* of the whole value */
#define AUTHRES_MAX_RESINFO 128   /* read or written */

/* ---- writing ---- */
struct authres_writer {
	struct strbuf out;
	size_t column;  /* of the current line, for folding */
	size_t methods; /* resinfos written */
	bool skip;      /* the last one did not fit: nor do its properties */
};

/* `id`: authserv-id.  The value begins without leading space. */
void authres_begin(struct authres_writer *w, struct arena *a, const char *id);
/* "; method=result [reason=...] [(comment)]"; reason and comment may be
 * NULL.  reason is a constant of ours (AR-6); comment is escaped. */
void authres_method(struct authres_writer *w, const char *method,
		    const char *result, const char *reason,
		    const char *comment);
/* " ptype.property=value"; quoted when needed (AR-1b).  Left out when value
 * is empty after cleaning. */
void authres_prop(struct authres_writer *w, const char *ptype,
		  const char *property, struct slice value);
/* The field value, folded with LF TAB at most 78 columns where it can be;
 * "id; none" when no method was written. */
struct slice authres_end(struct authres_writer *w);

/* ---- reading ---- */
struct authres_property {
	struct slice ptype, name;
	struct slice value; /* unquoted */
};

struct authres_resinfo {
	struct slice method, result, reason;
	unsigned version; /* 1 when absent */
	size_t nprops;
	struct authres_property *props;
};

struct authres {
	struct slice id; /* unquoted */
	uint64_t version; /* 1 when absent */
	size_t n;        /* 0: "none" */
	struct authres_resinfo *v;
};

/* Strict AR-1a; false when it does not parse. */
bool authres_parse(struct arena *a, struct slice value, struct authres *ret);

/*
 * May this field claim to be from one of `ids` (canonical authserv-ids,
 * lower-case)?  True for every variant of AR-4: case, trailing dot, comments,
 * quotes, folds, U-label for A-label, and for a field that does not parse far
 * enough to tell.  Also true for any version but 1, whoever it names: what
 * such a field means to a reader is not known here (RFC 8601 5).
 */
bool authres_claims(struct arena *a, struct slice value,
		    const char *const *ids, size_t nids);

#endif
