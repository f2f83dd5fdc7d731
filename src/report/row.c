/* Builds the one record that a message leaves.  Pure. */
#include "report/row.h"

/* Aligned passes first, then other passes, then the rest (RFC 9990 3.1.3). */
static unsigned rank(const struct dkim_result *d, const struct results *r)
{
	if (d == r->dmarc.dkim_by)
		return 0;
	return d->status == DKIM_STATUS_PASS ? 1 : 2;
}

static void add_dkim(struct arena *a, const struct results *r, struct row *ret)
{
	ret->dkim = arena_array(a, r->dkim.n, sizeof(*ret->dkim));
	for (unsigned want = 0; want <= 2; want++) {
		for (size_t i = 0; i < r->dkim.n; i++) {
			const struct dkim_result *d = &r->dkim.v[i];
			if (rank(d, r) != want || d->domain == NULL ||
			    d->selector == NULL || ret->ndkim == ROW_DKIM_MAX)
				continue;
			ret->dkim[ret->ndkim++] = (struct row_dkim){
				d->domain, d->selector, d->status, d->reason};
		}
	}
}

static enum row_disposition disposition_of(const struct results *r,
					   const struct verdict *v)
{
	if (v->disposition == DMARC_P_REJECT)
		return ROW_DISPOSITION_REJECT;
	if (v->disposition == DMARC_P_QUARANTINE)
		return ROW_DISPOSITION_QUARANTINE;
	if (r->dmarc.status == DMARC_STATUS_PASS &&
	    r->dmarc.policy > DMARC_P_NONE)
		return ROW_DISPOSITION_PASS;
	return ROW_DISPOSITION_NONE;
}

/* A rule that accepts says why. */
static enum row_override override_of(const struct verdict *v)
{
	/* In the order of enum rule_override. */
	static const enum row_override of[] = {
		ROW_OVERRIDE_LOCAL_POLICY, ROW_OVERRIDE_TRUSTED_FORWARDER,
		ROW_OVERRIDE_MAILING_LIST, ROW_OVERRIDE_OTHER};
	const struct rule *rule = v->rules.rule;

	return rule != NULL && rule->action == RULE_ACCEPT
		       ? of[rule->override]
		       : ROW_OVERRIDE_LOCAL_POLICY;
}

/* AG-5: a reason when not aligned and applied differs from published. */
static void add_override(const struct results *r, const struct verdict *v,
			 struct row *ret)
{
	if (r->dmarc.status != DMARC_STATUS_FAIL ||
	    v->disposition == r->dmarc.published ||
	    r->dmarc.published <= DMARC_P_NONE)
		return;
	if (r->dmarc.record.testing && v->disposition == r->dmarc.policy) {
		ret->override = ROW_OVERRIDE_TEST_MODE;
		return;
	}
	ret->override = override_of(v);
	ret->override_comment = v->rule;
}

void row_from_results(struct arena *a, int64_t now,
		      const struct client_facts *client,
		      const struct envelope_facts *envelope,
		      const struct results *r, const struct verdict *v,
		      struct row *ret)
{
	const struct dmarc_record *rec = &r->dmarc.record;
	struct addr_path path;

	*ret = (struct row){
		.time = now,
		.policy_domain = r->dmarc.policy_domain,
		.tree_walk = !r->dmarc.by_psl,
		.p = rec->p,
		.sp = rec->sp,
		.np = rec->np,
		.fo = rec->fo,
		.rua = rec->rua,
		.adkim_strict = rec->adkim_strict,
		.aspf_strict = rec->aspf_strict,
		.testing = rec->testing,
		.source_ip = client->addr,
		.disposition = disposition_of(r, v),
		.dkim_aligned = r->dmarc.dkim_aligned,
		.spf_aligned = r->dmarc.spf_aligned,
		.header_from = r->dmarc.author_domain,
		.spf_domain = r->spf_mailfrom.domain,
		.spf = r->spf_mailfrom.status,
	};
	addr_path_parse(a, envelope->sender, &path);
	ret->envelope_from = path.null ? "" : path.domain;
	add_override(r, v, ret);
	add_dkim(a, r, ret);
}
