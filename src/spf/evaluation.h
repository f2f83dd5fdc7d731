/*
 * Private to spf/: one evaluation of check_host() (RFC 7208 4), shared by the
 * walk over the terms (check.c) and the matching of one mechanism (match.c).
 * It lives on the stack of one check and belongs to one thread.
 */
#ifndef MAILSEAL_SPF_EVALUATION_H
#define MAILSEAL_SPF_EVALUATION_H

#include "spf/macro.h"
#include "spf/record.h"
#include "spf/spf.h"

struct spf_matcher; /* libspf2's side of it, in match.c */

struct spf_evaluation {
	struct arena *arena;
	struct dns_budget *budget;
	struct spf_macro_env env;
	unsigned terms; /* 4.6.4, over the whole evaluation */
	unsigned voids;
	unsigned prefetched;
	unsigned client_ms; /* left to wait for names that the client chose */
	const char *reason; /* of the error that ended it */
	struct spf_matcher *matcher;
	const char *validated; /* %{p} of the record of validated_for */
	const char *validated_for;
	unsigned depth; /* of include */
	void (*trace)(void *arg, const struct spf_event *event);
	void *trace_arg;
};

/* Tells who traces; at no cost when nobody does. */
static inline void spf_tell(const struct spf_evaluation *e,
			    struct spf_event event)
{
	if (e->trace == NULL)
		return;
	event.depth = e->depth;
	if (event.domain == NULL)
		event.domain = "";
	e->trace(e->trace_arg, &event);
}

/* dns_ask(), traced. */
const struct dns_answer *spf_ask(struct spf_evaluation *e, const char *name,
				 enum dns_type type);

/* The same for the names of the client's address and theirs, which together
 * wait for a part of the time only. */
const struct dns_answer *spf_ask_client(struct spf_evaluation *e,
					const char *name, enum dns_type type);

/* Gives `s` back; the first reason stays. */
enum spf_status spf_fail_with(struct spf_evaluation *e, enum spf_status s,
			      const char *reason);

/* Matches a, mx, ptr, exists, ip4 or ip6.  `target`: the expanded domain of
 * the term, NULL when it stands for no name; unused for ip4 and ip6.  PASS:
 * matches, NONE: does not, else the error that ends the evaluation. */
enum spf_status spf_match(struct spf_evaluation *e, const struct spf_term *t,
			  const char *target);
/* %{p} (7.3): a validated name of the client, or "unknown"; `arg` is the
 * evaluation. */
const char *spf_validated_name(void *arg, const char *domain);
/* Frees what spf_match() made. */
void spf_match_done(struct spf_evaluation *e);

#endif
