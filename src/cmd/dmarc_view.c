/*
 * Finds out what `mailseal dmarc` shows: the walk, then the daemon's
 * evaluation of a message that nothing vouches for.  Both share a budget, so
 * that each question is asked once; what is asked is remembered in order.
 */
#include "cmd/dmarc_view.h"

#include <string.h>

/* ---- questions ---- */

static void remember(struct dmarc_view *v, const char *name, enum dns_type type)
{
	for (size_t i = 0; i < v->nasked; i++)
		if (v->asked[i].type == type &&
		    strcmp(v->asked[i].name, name) == 0)
			return;
	if (v->nasked == DMARC_VIEW_QUESTIONS)
		return;
	v->asked[v->nasked].name = name;
	v->asked[v->nasked].type = type;
	v->nasked++;
}

const struct dns_answer *dmarc_view_ask(struct dmarc_view *v, const char *name,
					enum dns_type type)
{
	remember(v, name, type);
	return dns_ask(v->budget, name, type);
}

const struct dns_answer *dmarc_view_records(struct dmarc_view *v,
					    const char *name)
{
	return dmarc_view_ask(v, arena_printf(v->arena, "_dmarc.%s", name),
			      DNS_TXT);
}

unsigned dmarc_view_count(const struct dns_answer *r, struct slice *ret)
{
	struct dmarc_record record;
	unsigned n = 0;

	for (size_t i = 0; i < r->n; i++) {
		if (!dmarc_record_parse(r->rr[i].data, &record))
			continue;
		*ret = r->rr[i].data;
		n++;
	}
	return n;
}

bool dmarc_view_existence_matters(const struct dmarc_view *v,
				  const struct dmarc_result *r)
{
	return r->policy_domain != NULL && !dmarc_view_is_broken(&r->record) &&
	       r->record.np != DMARC_P_UNSET &&
	       strcmp(r->policy_domain, v->domain) != 0;
}

/* ---- walk and evaluation ---- */

/* What a walk has asked; the answers are known now. */
static void remember_walk(struct dmarc_view *v, const char *const *names,
			  const struct dmarc_walk *w)
{
	for (unsigned i = 0; i < w->queries; i++)
		dmarc_view_records(v, names[i]);
}

static void find_by_list(struct dmarc_view *v, struct dmarc_walk *w,
			 const char *ret[2])
{
	dmarc_psl_run(v->arena, v->budget, v->options.psl, v->domain, w);
	ret[0] = v->domain;
	ret[1] = w->org;
	remember_walk(v, ret, w);
}

static void find(struct dmarc_view *v)
{
	if (v->options.discovery == DMARC_DISCOVERY_PSL) {
		find_by_list(v, &v->walk, v->names);
	} else {
		dmarc_walk_run(v->arena, v->budget, v->domain, &v->walk);
		dmarc_walk_names(v->domain, v->names);
		remember_walk(v, v->names, &v->walk);
	}
	v->nnames = v->walk.queries;
	v->node = dmarc_walk_policy(&v->walk);
}

/* The daemon's evaluation, of a message without SPF and DKIM.  What it asks
 * beyond the walk is whether the domain exists. */
static void evaluate(struct dmarc_view *v, enum dmarc_discovery discovery,
		     struct dmarc_result *ret)
{
	const char *domains[] = {v->domain};
	struct addr_authors authors = {.ndomains = 1, .domains = domains};
	struct spf_result spf = {0};
	struct dkim_results dkim = {0};
	struct dmarc_input in = {.authors = &authors,
				 .spf_mailfrom = &spf,
				 .dkim = &dkim,
				 .options = v->options};

	in.options.discovery = discovery;
	dmarc_evaluate(v->arena, v->budget, &in, ret);
	if (dmarc_view_existence_matters(v, ret))
		remember(v, v->domain, DNS_A);
}

static void compare(struct dmarc_view *v)
{
	struct dmarc_walk w;
	struct dmarc_result both;
	const char *names[2];

	find_by_list(v, &w, names);
	v->list_org = w.org;
	evaluate(v, DMARC_DISCOVERY_PSL, &v->list);
	evaluate(v, DMARC_DISCOVERY_COMPARE, &both);
	v->differs = both.difference != NULL;
}

void dmarc_view_find(struct dmarc_view *v)
{
	bool both = v->options.discovery == DMARC_DISCOVERY_COMPARE;

	find(v);
	evaluate(v, both ? DMARC_DISCOVERY_WALK : v->options.discovery,
		 &v->result);
	if (both)
		compare(v);
}
