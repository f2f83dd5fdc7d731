/*
 * The DNS tree walk (RFC 9989 4.10), its organizational domain (4.10.2) and
 * the record that it gives for policy (4.10.1).
 *
 * Which names are asked and what follows from the nodes is pure arithmetic on
 * canonical domains; dmarc_walk_run() puts DNS between the two.  The public
 * suffix list (psl.c) takes part in dmarc_psl_run() alone, which looks like a
 * walk of two names.  A walk always begins at the author domain or the
 * identifier itself, never at a parent (RFC 9989 4.10.2 exempts psd=y at the
 * start only), so one walk serves policy and alignment.
 */
#include "dmarc/dmarc.h"

#include <string.h>

#include "mail/domain.h"

#define PREFIX "_dmarc."

size_t dmarc_walk_names(const char *start, const char *ret[DMARC_WALK_MAX])
{
	unsigned labels = domain_labels(start);
	const char *name = start;
	size_t n = 0;

	while (*name != '\0' && n < DMARC_WALK_MAX) {
		ret[n++] = name;
		/* RFC 9989 4.10: from 8 labels on, the second name has 7 */
		name = n == 1 && labels >= DMARC_WALK_MAX
			       ? domain_suffix(start, DMARC_WALK_MAX - 1)
			       : domain_parent(name);
	}
	return n;
}

const char *dmarc_walk_org(const struct dmarc_walk *w)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct dmarc_node *node = &w->v[i];
		if (node->record.psd == DMARC_PSD_N)
			return node->name;
		/* RFC 9989 4.10.2: a PSD, unless the walk began there, is
		 * above the organizational domain */
		if (node->record.psd == DMARC_PSD_Y &&
		    strcmp(node->name, w->start) != 0)
			return domain_suffix(w->start,
					     domain_labels(node->name) + 1);
	}
	return w->n > 0 ? w->v[w->n - 1].name : w->start;
}

static const struct dmarc_node *node_at(const struct dmarc_walk *w,
					const char *name)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->v[i].name, name) == 0)
			return &w->v[i];
	return NULL;
}

const struct dmarc_node *dmarc_walk_policy(const struct dmarc_walk *w)
{
	const struct dmarc_node *node = node_at(w, w->start);

	if (node != NULL || w->tempfail)
		return node;
	node = node_at(w, w->org);
	if (node != NULL)
		return node;
	/* RFC 9989 4.10.1: records at other names in between are no policy */
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].record.psd == DMARC_PSD_Y)
			return &w->v[i];
	return NULL;
}

static const char *query_name(struct arena *a, const char *name)
{
	return arena_printf(a, PREFIX "%s", name);
}

/* How many of the answer's strings are DMARC records; the last in *ret. */
static unsigned read_answer(const struct dns_answer *answer,
			    struct dmarc_record *ret)
{
	unsigned n = 0;

	for (size_t i = 0; i < answer->n; i++)
		if (dmarc_record_parse(answer->rr[i].data, ret))
			n++;
	return n;
}

/* Asks one name.  False: the look-up failed. */
static bool walk_step(struct arena *a, struct dns_budget *b, const char *name,
		      struct dmarc_walk *w)
{
	struct dmarc_node *node = &w->v[w->n];
	const struct dns_answer *answer;
	unsigned records;

	answer = dns_ask(b, query_name(a, name), DNS_TXT);
	w->queries++;
	if (answer->status == DNS_TEMPFAIL) {
		w->tempfail = true;
		return false;
	}
	records = read_answer(answer, &node->record);
	/* RFC 9989 4.10: several are discarded and the walk goes on */
	if (records > 1)
		w->duplicates = true;
	if (records != 1)
		return true;
	node->name = name;
	w->n++;
	return true;
}

/* RFC 9989 4.10: a record with psd=y or psd=n is the last of its walk. */
static bool is_last(const struct dmarc_walk *w)
{
	return w->n > 0 && w->v[w->n - 1].record.psd != DMARC_PSD_U;
}

void dmarc_walk_run(struct arena *a, struct dns_budget *b, const char *start,
		    struct dmarc_walk *ret)
{
	const char *names[DMARC_WALK_MAX];
	size_t n = dmarc_walk_names(start, names);

	*ret = (struct dmarc_walk){.start = start};
	for (size_t i = 0; i < n; i++)
		if (!walk_step(a, b, names[i], ret) || is_last(ret))
			break;
	ret->org = dmarc_walk_org(ret);
}

/* The names that the public suffix list gives; at most 2. */
static size_t psl_names(const struct dmarc_psl *psl, const char *start,
			const char *ret[DMARC_WALK_MAX])
{
	ret[0] = start;
	ret[1] = dmarc_psl_org(psl, start);
	return strcmp(ret[0], ret[1]) == 0 ? 1 : 2;
}

void dmarc_psl_run(struct arena *a, struct dns_budget *b,
		   const struct dmarc_psl *psl, const char *start,
		   struct dmarc_walk *ret)
{
	const char *names[DMARC_WALK_MAX];
	size_t n = psl_names(psl, start, names);

	*ret = (struct dmarc_walk){.start = start, .org = names[n - 1]};
	for (size_t i = 0; i < n && ret->n == 0 && !ret->duplicates; i++)
		if (!walk_step(a, b, names[i], ret))
			break;
}

void dmarc_prefetch(struct arena *a, struct dns_budget *b,
		    const struct dmarc_options *o,
		    const struct addr_authors *authors)
{
	const char *names[DMARC_WALK_MAX];

	for (size_t i = 0; i < authors->ndomains && i < DMARC_AUTHORS_MAX;
	     i++) {
		const char *start = authors->domains[i];
		size_t n = o->discovery == DMARC_DISCOVERY_PSL
				   ? psl_names(o->psl, start, names)
				   : dmarc_walk_names(start, names);
		for (size_t j = 0; j < n; j++)
			dns_prefetch(b, query_name(a, names[j]), DNS_TXT);
	}
}
