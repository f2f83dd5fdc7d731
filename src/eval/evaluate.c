/*
 * evaluate: SPF of MAIL FROM, then DKIM, then DMARC, each taking the values
 * that it needs; SPF of HELO and iprev, which no other needs, come last.
 *
 * The look-ups of all methods are started at end of header, so that at end of
 * message most answers are in the cache; the methods then ask one by one
 * through the message's budget.  A header block that is over a limit or has
 * bytes that no header may have (HP-7, HP-12) is not evaluated for DKIM; its
 * From counts as malformed (mail/addr.c), so that DMARC says permerror.
 */
#include "eval/eval.h"

#include "mail/domain.h"

struct evaluation {
	struct arena *arena;
	const struct eval_env *env;
	const struct client_facts *client;
	const struct envelope_facts *envelope;
	const struct field_list *fields;
	struct dns_budget *budget;
	struct dkim_verifier *verifier; /* NULL: bad header block */
	struct arc_verifier *arc;	/* the same */
	struct addr_authors authors;
	struct spf_query spf;
	const char *spf_skipped; /* why; NULL: it is checked */
	bool iprev_wanted;
};

static bool is_internal(const struct eval_env *env, const struct ip *ip)
{
	for (size_t i = 0; i < env->ninternal; i++)
		if (ip_net_has(&env->internal[i], ip))
			return true;
	return false;
}

/* Why the client's address says nothing about the sender, or NULL: only the
 * border asks (RFC 7208 2.5 and App. F, SPF-3). */
static const char *not_from_outside(const struct evaluation *e)
{
	if (e->client->local)
		return "local submission";
	if (e->client->addr.family == IP_NONE)
		return "client address unknown";
	if (is_internal(e->env, &e->client->addr))
		return "client in networks.internal";
	return NULL;
}

static void prepare_spf(struct evaluation *e)
{
	e->spf_skipped = not_from_outside(e);
	e->spf.client = e->client->addr;
	e->spf.helo = e->client->helo;
	e->spf.receiver = e->env->authserv_id;
	addr_path_parse(e->arena, e->envelope->sender, &e->spf.sender);
	if (e->spf_skipped == NULL)
		spf_prefetch(e->arena, e->budget, &e->spf);
}

static struct slice confirmed_name(const struct evaluation *e)
{
	return e->client->name_confirmed ? e->client->name : SLICE("");
}

static void prepare_iprev(struct evaluation *e)
{
	e->iprev_wanted = e->env->iprev && not_from_outside(e) == NULL;
	if (e->iprev_wanted)
		iprev_prefetch(e->arena, e->budget, &e->client->addr,
			       confirmed_name(e));
}

struct evaluation *evaluation_new(struct arena *a, const struct eval_env *env,
				  const struct client_facts *client,
				  const struct envelope_facts *envelope,
				  const struct field_list *fields)
{
	struct evaluation *e = arena_alloc(a, sizeof(*e));

	e->arena = a;
	e->env = env;
	e->client = client;
	e->envelope = envelope;
	e->fields = fields;
	e->budget = dns_budget_new(env->dns, env->dns_wait_ms,
				   env->dns_max_queries);
	addr_authors_of(a, fields, &e->authors);
	prepare_spf(e);
	prepare_iprev(e);
	if (fields->trouble == FIELD_OK) {
		e->verifier = dkim_verifier_new(a, &env->dkim, fields,
						e->authors.domains,
						e->authors.ndomains);
		dkim_verifier_prefetch(e->verifier, e->budget);
		e->arc = arc_verifier_new(a, &env->arc, fields);
	}
	dmarc_prefetch(a, e->budget, &env->dmarc, &e->authors);
	if (e->arc != NULL) /* the most questions, and the least needed */
		arc_verifier_prefetch(e->arc, e->budget);
	return e;
}

bool evaluation_wants_body(const struct evaluation *e)
{
	return e->verifier != NULL && (dkim_verifier_wants_body(e->verifier) ||
				       arc_verifier_wants_body(e->arc));
}

void evaluation_body(struct evaluation *e, struct slice bytes)
{
	if (e->verifier == NULL)
		return;
	dkim_verifier_body(e->verifier, bytes);
	arc_verifier_body(e->arc, bytes);
}

/* Of one message's budget, for the methods that come later: the keys, and for
 * each of four author domains a walk and whether it exists. */
#define DKIM_QUERIES  10
#define DMARC_QUERIES 40
#define DKIM_MS	      2500
#define DMARC_MS      2500
/* SPF of HELO and iprev, which a chain with 100 keys is not to take away */
#define REST_QUERIES 20
#define REST_MS	     1000

static void run_spf(struct evaluation *e, struct results *ret)
{
	ret->spf_mailfrom.identity = SPF_IDENTITY_MAILFROM;
	ret->spf_mailfrom.reason = e->spf_skipped;
	if (e->spf_skipped == NULL)
		spf_check_mailfrom(e->arena, e->budget, &e->spf,
				   &ret->spf_mailfrom);
}

/* Nothing else depends on it, and the client chose the name freely. */
static void run_spf_helo(struct evaluation *e, struct results *ret)
{
	ret->spf_helo.identity = SPF_IDENTITY_HELO;
	ret->spf_helo.reason = e->spf_skipped;
	if (e->spf_skipped == NULL)
		spf_check_helo(e->arena, e->budget, &e->spf, &ret->spf_helo);
}

/* Signatures of a header block that cannot be hashed truthfully: said so,
 * never "none" (principle: mail is never lied about). */
static void report_unreadable(struct evaluation *e, struct results *ret)
{
	size_t n = field_count(e->fields, "DKIM-Signature");

	if (n == 0)
		return;
	ret->dkim.n = 1;
	ret->dkim.more = n - 1;
	ret->dkim.v = arena_alloc(e->arena, sizeof(*ret->dkim.v));
	ret->dkim.v->status = DKIM_STATUS_PERMERROR;
	ret->dkim.v->reason = field_trouble_text(e->fields->trouble);
}

static void run_dkim(struct evaluation *e, int64_t now, struct results *ret)
{
	if (e->verifier != NULL)
		dkim_verifier_end(e->verifier, e->budget, now, &ret->dkim);
	else
		report_unreadable(e, ret);
}

static void run_arc(struct evaluation *e, struct results *ret)
{
	ret->arc_client = e->client->addr;
	if (e->arc != NULL)
		arc_verifier_end(e->arc, e->budget, &ret->arc);
	else
		arc_unreadable(e->fields, &ret->arc);
}

static void hold_for_rest(struct evaluation *e)
{
	if (e->spf_skipped == NULL || e->iprev_wanted)
		dns_budget_hold(e->budget, REST_QUERIES, REST_MS);
}

void evaluation_end(struct evaluation *e, int64_t now, struct results *ret)
{
	struct dmarc_input in;

	*ret = (struct results){0};
	ret->authors = e->authors;
	e->spf.now = now;
	dns_budget_hold(e->budget, DKIM_QUERIES + DMARC_QUERIES,
			DKIM_MS + DMARC_MS);
	run_spf(e, ret);
	dns_budget_hold(e->budget, DMARC_QUERIES, DMARC_MS);
	run_dkim(e, now, ret);
	dns_budget_hold(e->budget, 0, 0);
	in = (struct dmarc_input){&ret->authors, &ret->spf_mailfrom, &ret->dkim,
				  e->env->dmarc};
	dmarc_evaluate(e->arena, e->budget, &in, &ret->dmarc);
	ret->dmarc_explanation = dmarc_explain(e->arena, &in, &ret->dmarc);
	if (!dmarc_second_opinion(e->arena, &e->client->addr, &ret->dmarc,
				  &ret->second_opinion))
		ret->second_opinion = ret->second_opinion != NULL
					      ? ret->second_opinion
					      : "differs";
	else
		ret->second_opinion = NULL;
	hold_for_rest(e);
	run_arc(e, ret);
	dns_budget_hold(e->budget, 0, 0);
	/* Last, so that no verdict waits for them or lacks its questions. */
	run_spf_helo(e, ret);
	if (e->iprev_wanted)
		iprev_check(e->arena, e->budget, &e->client->addr,
			    confirmed_name(e), &ret->iprev);
	ret->dns_queries = dns_budget_queries(e->budget);
	ret->dns_us = dns_budget_waited_us(e->budget);
}

void evaluation_unexamined(struct arena *a, const char *reason,
			   struct results *ret)
{
	*ret = (struct results){0};
	ret->spf_mailfrom = (struct spf_result){
		.checked = true,
		.identity = SPF_IDENTITY_MAILFROM,
		.status = SPF_STATUS_TEMPERROR,
		.reason = reason,
	};
	ret->spf_helo.reason = reason;
	ret->dkim.n = 1;
	ret->dkim.v = arena_alloc(a, sizeof(*ret->dkim.v));
	ret->dkim.v->status = DKIM_STATUS_TEMPERROR;
	ret->dkim.v->reason = reason;
	ret->arc.reason = reason;
	ret->dmarc.status = DMARC_STATUS_TEMPERROR;
	ret->dmarc.reason = reason;
	ret->dmarc_explanation = reason;
}

size_t evaluation_dns(const struct evaluation *e, struct arena *a,
		      struct dns_recorded **ret)
{
	return dns_budget_record(e->budget, a, ret);
}

void evaluation_free(struct evaluation *e)
{
	if (e == NULL)
		return;
	dkim_verifier_free(e->verifier);
	arc_verifier_free(e->arc);
	dns_budget_free(e->budget);
}
