/*
 * What `mailseal dmarc` finds out about one domain (dmarc_view.c), and the two
 * files that write it down: dmarc_show.c what is, dmarc_hints.c what its owner
 * may change.
 */
#ifndef MAILSEAL_CMD_DMARC_VIEW_H
#define MAILSEAL_CMD_DMARC_VIEW_H

#include "dmarc/dmarc.h"

#define DMARC_VIEW_QUESTIONS 64

struct dmarc_view {
	struct arena *arena;
	struct dns_budget *budget;
	const char *domain; /* canonical: of a From field */
	struct dmarc_options options;

	const char *names[DMARC_WALK_MAX]; /* asked, without "_dmarc." */
	size_t nnames;
	struct dmarc_walk walk;
	const struct dmarc_node *node; /* with the record for policy, or NULL */
	/* The evaluation of a message without any identifier that passed:
	 * what its author domain wants done. */
	struct dmarc_result result;
	/* DMARC_DISCOVERY_COMPARE: what the list gives */
	struct dmarc_result list;
	const char *list_org;
	bool differs;

	/* the questions in order, each once */
	struct {
		const char *name;
		enum dns_type type;
	} asked[DMARC_VIEW_QUESTIONS];
	size_t nasked;
};

/* With arena, budget, domain and options set: finds out the rest. */
void dmarc_view_find(struct dmarc_view *v);
/* Asks and remembers the question. */
const struct dns_answer *dmarc_view_ask(struct dmarc_view *v, const char *name,
					enum dns_type type);
/* The answer for "_dmarc.`name`". */
const struct dns_answer *dmarc_view_records(struct dmarc_view *v,
					    const char *name);
/* How many texts of an answer are DMARC records; the last in *ret. */
unsigned dmarc_view_count(const struct dns_answer *r, struct slice *ret);
/* Was it asked for this result whether the domain exists?  (RFC 9989 4.7, np)
 */
bool dmarc_view_existence_matters(const struct dmarc_view *v,
				  const struct dmarc_result *r);

/* RFC 9989 4.10.1: no known p, or sp or np with an unknown value. */
static inline bool dmarc_view_is_broken(const struct dmarc_record *r)
{
	return r->p == DMARC_P_UNSET || r->bad_policy;
}

/* The first line, then a section for each step. */
void dmarc_show(struct dmarc_view *v, struct strbuf *b);
/* May ask more. */
void dmarc_hints(struct dmarc_view *v, struct strbuf *b);

#endif
