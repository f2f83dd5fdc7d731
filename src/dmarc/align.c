/*
 * DMARC of one message (RFC 9989 5.3): policy discovery, alignment of the
 * identifiers that passed, pass or fail, and which tag says what is wanted.
 *
 * SPF and DKIM results are values of the same process (DM-5); nothing is read
 * from header fields, and nothing is applied here.  Alignment has three
 * outcomes: a look-up that failed is neither yes nor no (RFC 9989 5.3.6), and
 * it matters only where the answer could have been an aligned pass (DM-31).
 */
#include "dmarc/dmarc.h"

#include <string.h>

#include "mail/domain.h"

/* DM-26: one walk for each author domain, one for SPF, ten for DKIM. */
#define WALKS_MAX    (DMARC_AUTHORS_MAX + 1 + 10)
#define EXPLAIN_MAX  2048 /* bytes of an explanation */
#define EXPLAIN_DKIM 3	  /* passing d= that it names */

enum aligned {
	ALIGNED_NO,
	ALIGNED_YES,
	ALIGNED_UNKNOWN, /* a look-up failed */
};

/* What one message's evaluation shares between its author domains. */
struct evaluation {
	struct arena *arena;
	struct dns_budget *budget;
	const struct dmarc_input *in;
	const struct dmarc_psl *psl; /* NULL: tree walk */
	unsigned nwalks;
	const struct dmarc_walk *walks[WALKS_MAX];
};

/* NULL: too many walks. */
static const struct dmarc_walk *walk_of(struct evaluation *e, const char *name)
{
	struct dmarc_walk *w;

	for (unsigned i = 0; i < e->nwalks; i++)
		if (strcmp(e->walks[i]->start, name) == 0)
			return e->walks[i];
	if (e->nwalks == WALKS_MAX)
		return NULL;
	w = arena_alloc(e->arena, sizeof(*w));
	if (e->psl != NULL)
		dmarc_psl_run(e->arena, e->budget, e->psl, name, w);
	else
		dmarc_walk_run(e->arena, e->budget, name, w);
	e->walks[e->nwalks++] = w;
	return w;
}

/* Can the two have the same organizational domain?  It is a suffix of both,
 * so a cheap no needs no walk; of a failed walk only the last label is sure. */
static bool may_align(const struct dmarc_walk *author, const char *name)
{
	const char *shared = author->tempfail ? domain_suffix(author->start, 1)
					      : author->org;

	return domain_is_under(name, shared);
}

/* RFC 9989 4.4: is the identifier `name` aligned with the author domain? */
static enum aligned align(struct evaluation *e, const struct dmarc_walk *author,
			  const char *name, bool strict)
{
	const struct dmarc_walk *w;

	/* no walk for the same name or in strict mode, 4.10.2 */
	if (strcmp(name, author->start) == 0)
		return ALIGNED_YES;
	if (strict)
		return ALIGNED_NO;
	if (e->psl != NULL) /* RFC 7489 3.1: no question is asked */
		return strcmp(dmarc_psl_org(e->psl, name), author->org) == 0
			       ? ALIGNED_YES
			       : ALIGNED_NO;
	if (!may_align(author, name))
		return ALIGNED_NO;
	if (author->tempfail)
		return ALIGNED_UNKNOWN;
	w = walk_of(e, name);
	if (w == NULL || w->tempfail)
		return ALIGNED_UNKNOWN;
	return strcmp(w->org, author->org) == 0 ? ALIGNED_YES : ALIGNED_NO;
}

/* RFC 9989 4.4.2: MAIL FROM only.  True: its failure may hide a pass. */
static bool align_spf(struct evaluation *e, const struct dmarc_walk *author,
		      struct dmarc_result *ret)
{
	const struct spf_result *s = e->in->spf_mailfrom;
	enum aligned aligned;

	if (!s->checked || s->domain == NULL ||
	    (s->status != SPF_STATUS_PASS && s->status != SPF_STATUS_TEMPERROR))
		return false;
	aligned = align(e, author, s->domain, ret->record.aspf_strict);
	if (s->status == SPF_STATUS_TEMPERROR)
		return aligned != ALIGNED_NO;
	ret->spf_aligned = aligned == ALIGNED_YES;
	return aligned == ALIGNED_UNKNOWN;
}

static bool align_signature(struct evaluation *e,
			    const struct dmarc_walk *author,
			    const struct dkim_result *d,
			    struct dmarc_result *ret)
{
	enum aligned aligned;

	if (d->domain == NULL || (d->status != DKIM_STATUS_PASS &&
				  d->status != DKIM_STATUS_TEMPERROR))
		return false;
	aligned = align(e, author, d->domain, ret->record.adkim_strict);
	if (d->status == DKIM_STATUS_TEMPERROR)
		return aligned != ALIGNED_NO;
	if (aligned == ALIGNED_YES) {
		ret->dkim_aligned = true;
		ret->dkim_by = d;
	}
	return aligned == ALIGNED_UNKNOWN;
}

/* RFC 9989 4.4.1: every signature's d=, topmost first, until one is aligned.
 * True: a failure may hide an aligned pass. */
static bool align_dkim(struct evaluation *e, const struct dmarc_walk *author,
		       struct dmarc_result *ret)
{
	const struct dkim_results *d = e->in->dkim;
	bool uncertain = false;

	for (size_t i = 0; i < d->n && !ret->dkim_aligned; i++)
		if (align_signature(e, author, &d->v[i], ret))
			uncertain = true;
	return uncertain;
}

/* RFC 9989 4.10.1: p, or sp or np had no known value.  With a report address
 * that is p=none, without one there is no DMARC. */
static bool is_broken(const struct dmarc_record *r)
{
	return r->p == DMARC_P_UNSET || r->bad_policy;
}

/* RFC 9989 4.7, np: only for a name that does not exist.  That is NXDOMAIN
 * whatever the type (3.2.13), so any one type can be asked. */
static enum dns_status existence(struct evaluation *e, const char *domain,
				 const struct dmarc_record *r)
{
	if (r->np == DMARC_P_UNSET)
		return DNS_FOUND;
	return dns_ask(e->budget, domain, DNS_A)->status;
}

/* RFC 9989 4.7, t: one step less. */
static enum dmarc_policy soften(enum dmarc_policy p)
{
	return p == DMARC_P_REJECT ? DMARC_P_QUARANTINE : DMARC_P_NONE;
}

/* DM-22.  False: whether the author domain exists is not known; the policy
 * is then that of an existing one. */
static bool select_policy(struct evaluation *e, struct dmarc_result *ret)
{
	const struct dmarc_record *r = &ret->record;
	enum dns_status exists = DNS_FOUND;

	ret->tag = "p";
	if (is_broken(r)) {
		ret->published = DMARC_P_NONE;
	} else if (strcmp(ret->policy_domain, ret->author_domain) == 0) {
		/* sp and np of its own record are for names below it */
		ret->published = r->p;
	} else {
		exists = existence(e, ret->author_domain, r);
		if (exists == DNS_NXDOMAIN) {
			ret->tag = "np";
			ret->published = r->np;
		} else if (r->sp != DMARC_P_UNSET) {
			ret->tag = "sp";
			ret->published = r->sp;
		} else {
			ret->published = r->p;
		}
	}
	ret->policy = r->testing ? soften(ret->published) : ret->published;
	return exists != DNS_TEMPFAIL;
}

/* One author domain: what was found, then what follows. */
struct author {
	const struct dmarc_walk *walk;
	bool decided;	   /* there is nothing to align */
	bool policy_known; /* whether the domain exists is known, or no matter
			    */
	struct dmarc_result r;
};

/* Alignment under the record that was found. */
static void judge(struct evaluation *e, struct author *a)
{
	struct dmarc_result *ret = &a->r;
	bool spf_uncertain = align_spf(e, a->walk, ret);
	bool dkim_uncertain = align_dkim(e, a->walk, ret);

	/* RFC 9989 5.3.5 and DM-31: one aligned pass is enough */
	if (ret->spf_aligned || ret->dkim_aligned) {
		ret->status = DMARC_STATUS_PASS;
	} else if (spf_uncertain || dkim_uncertain) {
		ret->status = DMARC_STATUS_TEMPERROR;
		ret->reason = spf_uncertain ? "SPF or its alignment unknown"
					    : "DKIM or its alignment unknown";
	} else if (!a->policy_known) {
		ret->status = DMARC_STATUS_TEMPERROR;
		ret->reason = "existence of the author domain unknown";
	} else {
		ret->status = DMARC_STATUS_FAIL;
	}
}

/* Record and policy. */
static void discover(struct evaluation *e, const char *domain,
		     struct author *ret)
{
	const struct dmarc_walk *w = walk_of(e, domain);
	const struct dmarc_node *node = w != NULL ? dmarc_walk_policy(w) : NULL;
	struct dmarc_result *r = &ret->r;

	*ret = (struct author){
		.walk = w, .decided = true, .r = {.author_domain = domain}};
	if (w == NULL || (w->tempfail && node == NULL)) {
		r->status = DMARC_STATUS_TEMPERROR;
		r->reason = "policy look-up failed";
		return;
	}
	r->org_domain = w->tempfail && e->psl == NULL ? NULL : w->org;
	r->duplicates = w->duplicates;
	if (node == NULL) {
		/* RFC 9989 4.10.1: MUST NOT apply DMARC */
		r->reason =
			w->duplicates ? "several records at one name" : NULL;
		return;
	}
	if (is_broken(&node->record) && !node->record.has_rua) {
		r->reason = "record without a valid policy";
		return;
	}
	ret->decided = false;
	r->policy_domain = node->name;
	r->record = node->record;
	ret->policy_known = select_policy(e, r);
}

/* Which of two results decides for a message of several authors? */
static unsigned weight(const struct dmarc_result *r)
{
	switch (r->status) {
	case DMARC_STATUS_FAIL: /* the strictest one, RFC 9989 11.5 */
		return 10 + (unsigned)r->policy;
	case DMARC_STATUS_TEMPERROR:
		return 3;
	case DMARC_STATUS_PERMERROR:
		return 2;
	case DMARC_STATUS_NONE:
		return 1;
	case DMARC_STATUS_PASS:
		break;
	}
	return 0;
}

/* RFC 9989 5.3.1 and 11.5, DM-2.  Every policy is looked up before anything is
 * aligned, which may use up the questions: whoever wrote From chose the other
 * authors, too. */
static void evaluate_several(struct evaluation *e, struct dmarc_result *ret)
{
	const struct addr_authors *authors = e->in->authors;
	struct author v[DMARC_AUTHORS_MAX];
	bool any_pass = false, too_many = authors->ndomains > DMARC_AUTHORS_MAX;
	size_t n = too_many ? DMARC_AUTHORS_MAX : authors->ndomains;

	for (size_t i = 0; i < n; i++)
		discover(e, authors->domains[i], &v[i]);
	for (size_t i = 0; i < n; i++) {
		const struct dmarc_result *r = &v[i].r;

		if (!v[i].decided)
			judge(e, &v[i]);
		any_pass = any_pass || r->status == DMARC_STATUS_PASS;
		if (i == 0 || weight(r) > weight(ret))
			*ret = *r;
	}
	if (too_many && (ret->status != DMARC_STATUS_FAIL ||
			 ret->policy != DMARC_P_REJECT)) {
		/* one that was not looked at may ask for more */
		*ret = (struct dmarc_result){.status = DMARC_STATUS_PERMERROR,
					     .reason =
						     "too many author domains"};
	} else if (ret->status == DMARC_STATUS_NONE && any_pass) {
		ret->status = DMARC_STATUS_FAIL;
		ret->reason = "not every author domain passes";
	}
}

/* One discovery: the walk, or with `psl` the public suffix list. */
static void evaluate_by(struct arena *a, struct dns_budget *b,
			const struct dmarc_input *in,
			const struct dmarc_psl *psl, struct dmarc_result *ret)
{
	struct evaluation e = {.arena = a, .budget = b, .in = in, .psl = psl};

	*ret = (struct dmarc_result){.status = DMARC_STATUS_PERMERROR};
	/* RFC 9989 5.3.1: without an author domain there is no validation */
	if (in->authors->malformed)
		ret->reason = in->authors->reason;
	else if (in->authors->ndomains == 0)
		ret->reason = "no author domain";
	else
		evaluate_several(&e, ret);
	ret->walks = e.nwalks;
	ret->by_psl = psl != NULL;
}

/* ---- the two discoveries beside each other ---- */

static bool is_same_text(const char *x, const char *y)
{
	return x == y || (x != NULL && y != NULL && strcmp(x, y) == 0);
}

static bool is_same_result(const struct dmarc_result *x,
			   const struct dmarc_result *y)
{
	return x->status == y->status && x->policy == y->policy &&
	       is_same_text(x->org_domain, y->org_domain) &&
	       is_same_text(x->policy_domain, y->policy_domain) &&
	       is_same_text(x->author_domain, y->author_domain);
}

static const char *describe(struct arena *a, const struct dmarc_result *r)
{
	return arena_printf(
		a, "dmarc=%s policy=%s record=%s organizational-domain=%s",
		dmarc_status_name(r->status), dmarc_policy_name(r->policy),
		r->policy_domain != NULL ? r->policy_domain : "none",
		r->org_domain != NULL ? r->org_domain : "unknown");
}

/* A look-up that failed is no difference between the two. */
static const char *compare(struct arena *a, const struct dmarc_result *walk,
			   const struct dmarc_result *list)
{
	if (walk->status == DMARC_STATUS_TEMPERROR ||
	    list->status == DMARC_STATUS_TEMPERROR ||
	    walk->author_domain == NULL || is_same_result(walk, list))
		return NULL;
	return arena_printf(a, "%s: tree walk %s; public suffix list %s",
			    walk->author_domain, describe(a, walk),
			    describe(a, list));
}

void dmarc_evaluate(struct arena *a, struct dns_budget *b,
		    const struct dmarc_input *in, struct dmarc_result *ret)
{
	const struct dmarc_psl *psl = in->options.psl;
	struct dmarc_result list;

	if (in->options.discovery == DMARC_DISCOVERY_PSL) {
		evaluate_by(a, b, in, psl, ret);
		return;
	}
	evaluate_by(a, b, in, NULL, ret);
	if (in->options.discovery == DMARC_DISCOVERY_WALK)
		return;
	evaluate_by(a, b, in, psl, &list);
	ret->difference = compare(a, ret, &list);
}

/* ---- the explanation ---- */

static void explain_record(struct strbuf *b, const struct dmarc_result *r)
{
	const struct dmarc_record *rec = &r->record;

	strbuf_printf(b, "record at %s", r->policy_domain);
	if (is_broken(rec))
		strbuf_adds(b, " without a valid policy");
	if (rec->p != DMARC_P_UNSET)
		strbuf_printf(b, " p=%s", dmarc_policy_name(rec->p));
	if (rec->sp != DMARC_P_UNSET)
		strbuf_printf(b, " sp=%s", dmarc_policy_name(rec->sp));
	if (rec->np != DMARC_P_UNSET)
		strbuf_printf(b, " np=%s", dmarc_policy_name(rec->np));
	if (rec->psd == DMARC_PSD_Y)
		strbuf_adds(b, " psd=y");
	if (rec->aspf_strict)
		strbuf_adds(b, " aspf=s");
	if (rec->adkim_strict)
		strbuf_adds(b, " adkim=s");
	if (rec->testing)
		strbuf_adds(b, " t=y");
}

/* Why `name`, which passed, is not aligned. */
static void explain_unaligned(struct strbuf *b, const struct dmarc_result *r,
			      const char *name, const char *strict)
{
	const char *org = r->org_domain;

	strbuf_adds(b, " not aligned");
	if (strict != NULL)
		strbuf_printf(b, " (%s)", strict);
	else if (org != NULL && !domain_is_under(name, org))
		strbuf_printf(b, " (not %s or below)", org);
	else if (org != NULL)
		strbuf_adds(b, " (another organizational domain)");
}

static void explain_spf(struct strbuf *b, const struct dmarc_input *in,
			const struct dmarc_result *r)
{
	const struct spf_result *s = in->spf_mailfrom;

	if (!s->checked)
		strbuf_adds(b, "; spf not checked");
	else if (s->domain != NULL && s->status == SPF_STATUS_PASS) {
		strbuf_printf(b, "; spf pass for %s", s->domain);
		if (r->spf_aligned)
			strbuf_adds(b, " aligned");
		else
			explain_unaligned(b, r, s->domain,
					  r->record.aspf_strict ? "aspf=s"
								: NULL);
	} else if (s->domain != NULL && s->status == SPF_STATUS_TEMPERROR)
		strbuf_printf(b, "; spf temperror for %s", s->domain);
	else
		strbuf_adds(b, "; no spf pass");
}

static void explain_dkim(struct strbuf *b, const struct dmarc_input *in,
			 const struct dmarc_result *r)
{
	unsigned shown = 0;

	if (r->dkim_by != NULL) {
		strbuf_printf(b, "; dkim pass for %s aligned",
			      r->dkim_by->domain);
		return;
	}
	for (size_t i = 0; i < in->dkim->n && shown < EXPLAIN_DKIM; i++) {
		const struct dkim_result *d = &in->dkim->v[i];
		bool pass = d->status == DKIM_STATUS_PASS;
		if (d->domain == NULL ||
		    (!pass && d->status != DKIM_STATUS_TEMPERROR))
			continue;
		strbuf_printf(b, "; dkim %s for %s",
			      pass ? "pass" : "temperror", d->domain);
		if (pass)
			explain_unaligned(b, r, d->domain,
					  r->record.adkim_strict ? "adkim=s"
								 : NULL);
		shown++;
	}
	if (shown == 0)
		strbuf_adds(b, "; no dkim pass");
}

const char *dmarc_explain(struct arena *a, const struct dmarc_input *in,
			  const struct dmarc_result *r)
{
	struct strbuf b;

	strbuf_init(&b, a, EXPLAIN_MAX);
	if (r->author_domain == NULL) {
		strbuf_printf(&b, "no evaluation: %s",
			      r->reason != NULL ? r->reason : "no author");
		return strbuf_cstr(&b);
	}
	strbuf_printf(&b, "%s: ", r->author_domain);
	if (r->policy_domain != NULL) {
		explain_record(&b, r);
		explain_spf(&b, in, r);
		explain_dkim(&b, in, r);
		strbuf_printf(&b, "; tag %s applied", r->tag);
	} else if (r->status == DMARC_STATUS_TEMPERROR) {
		strbuf_adds(&b, "record unknown");
	} else {
		strbuf_adds(&b, "no record");
	}
	if (r->duplicates && r->policy_domain != NULL)
		strbuf_adds(&b, "; several records at one name discarded");
	if (r->reason != NULL)
		strbuf_printf(&b, "; %s", r->reason);
	if (in->authors->ndomains > 1)
		strbuf_printf(&b, "; %zu author domains",
			      in->authors->ndomains);
	return strbuf_cstr(&b);
}

const char *dmarc_status_name(enum dmarc_status s)
{
	switch (s) {
	case DMARC_STATUS_NONE:
		return "none";
	case DMARC_STATUS_PASS:
		return "pass";
	case DMARC_STATUS_FAIL:
		return "fail";
	case DMARC_STATUS_TEMPERROR:
		return "temperror";
	case DMARC_STATUS_PERMERROR:
		break;
	}
	return "permerror";
}
