/*
 * How many messages of each author domain were looked at before they left, and
 * what was wrong with them.  Bounded: who sends chooses the domains.
 */
#ifndef MAILSEAL_MILTER_PREFLIGHT_TALLY_H
#define MAILSEAL_MILTER_PREFLIGHT_TALLY_H

#include "gate/preflight.h"

#define PREFLIGHT_DOMAINS_MAX 1000 /* more are counted as "(other)" */

struct preflight_count {
	const char *domain; /* canonical; "(none)", "(other)" */
	uint64_t checked;
	uint64_t unknown; /* messages of which a rule is unknown */
	uint64_t bad[PREFLIGHT_RULES];
};

struct preflight_tally;

struct preflight_tally *preflight_tally_new(void);
void preflight_tally_free(struct preflight_tally *t); /* NULL is allowed */
/* Counts one message; `domain`: canonical, or NULL when it has none.  The first
 * rule that was never bad before for this domain, or PREFLIGHT_RULES.
 * Thread-safe. */
enum preflight_rule preflight_tally_add(struct preflight_tally *t,
					const char *domain,
					const struct preflight_report *r);
/* In the order of domains; "(none)" and "(other)" last, if they have any. */
void preflight_tally_each(struct preflight_tally *t,
			  void (*tell)(void *arg,
				       const struct preflight_count *c),
			  void *arg);

#endif
