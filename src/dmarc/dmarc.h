/*
 * DMARC (RFC 9989): record, tree walk, policy, alignment.  The arithmetic is
 * pure; dmarc_evaluate() asks DNS through the message's budget.
 */
#ifndef MAILSEAL_DMARC_DMARC_H
#define MAILSEAL_DMARC_DMARC_H

#include "dkim/dkim.h"
#include "mail/addr.h"
#include "spf/spf.h"

enum dmarc_status {
	DMARC_STATUS_NONE,
	DMARC_STATUS_PASS,
	DMARC_STATUS_FAIL,
	DMARC_STATUS_TEMPERROR,
	DMARC_STATUS_PERMERROR,
};

enum dmarc_policy {
	DMARC_P_UNSET, /* tag absent */
	DMARC_P_NONE,
	DMARC_P_QUARANTINE,
	DMARC_P_REJECT,
};

enum dmarc_psd {
	DMARC_PSD_U,
	DMARC_PSD_Y,
	DMARC_PSD_N,
};

/* A record as RFC 9989 4.7 reads it; legacy tags are gone. */
struct dmarc_record {
	enum dmarc_policy p, sp, np;
	bool bad_policy; /* a p, sp or np was there with an unknown value */
	enum dmarc_psd psd;
	bool testing;		   /* t=y */
	bool adkim_strict;	   /* adkim=s */
	bool aspf_strict;	   /* aspf=s */
	struct slice rua, ruf, fo; /* as published; empty when absent */
	bool has_rua;		   /* at least one syntactically valid URI */
};

/* False when this is no DMARC record (v= is not first and DMARC1, DM-10). */
bool dmarc_record_parse(struct slice txt, struct dmarc_record *ret);

/* How the organizational domain and the policy are found. */
enum dmarc_discovery {
	DMARC_DISCOVERY_WALK, /* RFC 9989 4.10 */
	DMARC_DISCOVERY_PSL,  /* as RFC 7489 3.2: public suffix list */
	/* the walk decides; where the list would say otherwise is reported */
	DMARC_DISCOVERY_COMPARE,
};

/* ---- psl.c ---- */
struct dmarc_psl;

/* `file`: a public suffix list as publicsuffix.org has it; "": the one that
 * libpsl was built with.  NULL and a reason (constant, or of strerror(3)) when
 * there is none. */
struct dmarc_psl *dmarc_psl_load(const char *file, const char **error);
void dmarc_psl_free(struct dmarc_psl *p); /* NULL is allowed */
/* The organizational domain as RFC 7489 3.2 has it: one label below the public
 * suffix; of a public suffix, itself.  `domain` is canonical, the result points
 * into it.  Pure. */
const char *dmarc_psl_org(const struct dmarc_psl *p, const char *domain);

struct dmarc_options {
	enum dmarc_discovery discovery;
	const struct dmarc_psl *psl; /* not NULL unless the walk alone is run */
};

/* One name of a walk where exactly one record was found. */
struct dmarc_node {
	const char *name; /* where, canonical, without "_dmarc." */
	struct dmarc_record record;
};

#define DMARC_WALK_MAX 8 /* RFC 9989 4.10: queries of one walk */

struct dmarc_walk {
	const char *start;
	bool tempfail;	 /* a look-up failed: nothing else is certain */
	bool duplicates; /* several records at one name were discarded */
	unsigned queries;
	size_t n; /* longest name first */
	struct dmarc_node v[DMARC_WALK_MAX];
	const char *org; /* organizational domain, DM-25; never NULL */
};

/* The names that a walk from `start` asks, without "_dmarc.".  Returns their
 * number (at most DMARC_WALK_MAX).  Pure; pointers into `start`. */
size_t dmarc_walk_names(const char *start, const char *ret[DMARC_WALK_MAX]);
/* The organizational domain over the nodes of a walk (DM-25).  Pure. */
const char *dmarc_walk_org(const struct dmarc_walk *w);
/* The node whose record is the policy for mail from `start`: the start itself,
 * else the organizational domain, else the PSD above (RFC 9989 4.10.1); NULL
 * when there is none.  Of a failed walk only a record at the start counts.
 * Pure. */
const struct dmarc_node *dmarc_walk_policy(const struct dmarc_walk *w);
/* Runs the walk; a failed look-up ends it. */
void dmarc_walk_run(struct arena *a, struct dns_budget *b, const char *start,
		    struct dmarc_walk *ret);
/* The same by the public suffix list (RFC 7489 6.6.3): the start, and if it has
 * no record the organizational domain; several records end it.  `org` is known
 * even when a look-up failed. */
void dmarc_psl_run(struct arena *a, struct dns_budget *b,
		   const struct dmarc_psl *psl, const char *start,
		   struct dmarc_walk *ret);

struct dmarc_input {
	const struct addr_authors *authors;
	const struct spf_result *spf_mailfrom; /* checked or not */
	const struct dkim_results *dkim;
	struct dmarc_options options;
};

struct dmarc_result {
	enum dmarc_status status;
	const char *reason;	     /* constant, or NULL */
	const char *author_domain;   /* the one that decided, or NULL */
	const char *policy_domain;   /* where the record was found, or NULL */
	const char *org_domain;	     /* of the author domain, or NULL */
	struct dmarc_record record;  /* valid when policy_domain is not NULL */
	const char *tag;	     /* "p", "sp" or "np": which applied */
	enum dmarc_policy published; /* value of that tag, fallbacks done */
	enum dmarc_policy policy;    /* after t=y (DM-32) */
	bool spf_aligned;
	bool dkim_aligned;
	const struct dkim_result *dkim_by; /* the aligned signature */
	bool duplicates; /* several records at one name were discarded */
	unsigned walks;	 /* run for this message */
	bool by_psl;	 /* found with the public suffix list */
	/* DMARC_DISCOVERY_COMPARE: what the public suffix list says, one line
	 * of constants and canonical domains; NULL: the same */
	const char *difference;
};

#define DMARC_AUTHORS_MAX 4 /* RFC 9989 11.5: a cap on author domains */

/* RFC 9989 5.3.  Several author domains: DM-2 (each evaluated, at most
 * DMARC_AUTHORS_MAX; pass only if all pass; else the strictest failing
 * policy; more domains, and no p=reject failed among the first: permerror). */
void dmarc_evaluate(struct arena *a, struct dns_budget *b,
		    const struct dmarc_input *in, struct dmarc_result *ret);
/* Warms the cache with the names to be asked for each author domain. */
void dmarc_prefetch(struct arena *a, struct dns_budget *b,
		    const struct dmarc_options *o,
		    const struct addr_authors *authors);
/* One line that says why: identifiers, alignment, record, tag.  No wire text
 * but canonical domains. */
const char *dmarc_explain(struct arena *a, const struct dmarc_input *in,
			  const struct dmarc_result *r);

const char *dmarc_status_name(enum dmarc_status s);
/* "none", "quarantine", "reject"; "none" for DMARC_P_UNSET. */
const char *dmarc_policy_name(enum dmarc_policy p);

/*
 * libopendmarc's opinion on the same message, from the canonical record and
 * identifiers that we decided on (second.c).  False when it differs; both
 * verdicts are then in *diff.  True also when it has no opinion.
 */
bool dmarc_second_opinion(struct arena *a, const struct ip *client,
			  const struct dmarc_result *r, const char **diff);

#endif
