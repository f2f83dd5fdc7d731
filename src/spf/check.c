/*
 * SPF evaluation: check_host() of RFC 7208 section 4.
 *
 * Here are the identities, the walk over the terms, include, redirect, exp=
 * and the limit of DNS terms (4.6.4, counted over the whole evaluation).  How
 * one mechanism is matched is in match.c, which has the look-ups of mechanisms
 * and their limits.
 *
 * No logs, no clock; all state lives on the stack of one evaluation.
 */
#include "spf/spf.h"

#include <string.h>

#include "mail/domain.h"
#include "spf/evaluation.h"
#include "spf/macro.h"
#include "spf/record.h"

#define MAX_PREFETCH  10
#define MECHANISM_MAX 256 /* bytes of the term that are reported */
/* Of the time, one part is for names that the client chose (ptr, %{p}): an
 * error there is no match (5.5), and must not make a temperror of the rest. */
#define CLIENT_SHARE 3

struct verdict {
	enum spf_status status;
	struct slice mechanism; /* as published; empty: none matched */
	const char *domain;	/* whose record decided */
	struct slice exp;	/* its exp=, unexpanded */
};

enum spf_status spf_fail_with(struct spf_evaluation *e, enum spf_status s,
			      const char *reason)
{
	if (e->reason == NULL) {
		e->reason = reason;
		spf_tell(e, (struct spf_event){.kind = SPF_EVENT_ERROR,
					       .domain = e->env.domain,
					       .text = slice_of(reason),
					       .status = s});
	}
	return s;
}

static void tell_query(const struct spf_evaluation *e, const char *name,
		       enum dns_type type, const struct dns_answer *r)
{
	spf_tell(e, (struct spf_event){.kind = SPF_EVENT_QUERY,
				       .domain = name,
				       .type = type,
				       .answer = r});
}

const struct dns_answer *spf_ask(struct spf_evaluation *e, const char *name,
				 enum dns_type type)
{
	const struct dns_answer *r = dns_ask(e->budget, name, type);

	tell_query(e, name, type, r);
	return r;
}

const struct dns_answer *spf_ask_client(struct spf_evaluation *e,
					const char *name, enum dns_type type)
{
	unsigned waited = dns_budget_waited_ms(e->budget);
	const struct dns_answer *r =
		dns_ask_within(e->budget, name, type, e->client_ms);

	waited = dns_budget_waited_ms(e->budget) - waited;
	e->client_ms -= waited < e->client_ms ? waited : e->client_ms;
	tell_query(e, name, type, r);
	return r;
}

static void tell_term(const struct spf_evaluation *e, struct slice text,
		      const char *target)
{
	spf_tell(e, (struct spf_event){
			    .kind = SPF_EVENT_TERM,
			    .domain = target,
			    .text = text,
		    });
}

/* redirect and exp, whose record is no longer at hand */
static void tell_modifier(const struct spf_evaluation *e, const char *name,
			  struct slice spec, const char *target)
{
	struct strbuf b;

	if (e->trace == NULL)
		return;
	strbuf_init(&b, e->arena, spec.n + 16);
	strbuf_adds(&b, name);
	strbuf_addc(&b, '=');
	strbuf_add(&b, spec);
	tell_term(e, strbuf_slice(&b), target);
}

/* ---- the walk ---- */

static bool count_term(struct spf_evaluation *e)
{
	return ++e->terms <= SPF_TERMS_MAX;
}

static enum spf_status too_many_terms(struct spf_evaluation *e)
{
	return spf_fail_with(e, SPF_STATUS_PERMERROR, "more than 10 DNS terms");
}

static void prefetch(struct spf_evaluation *e, struct slice domain)
{
	if (e->prefetched >= MAX_PREFETCH || domain.n == 0 ||
	    domain.n > DOMAIN_MAX || slice_chr(domain, '%') >= 0)
		return;
	e->prefetched++;
	dns_prefetch(e->budget, slice_cstr(e->arena, domain), DNS_TXT);
}

/* While we wait for the first record, the others are on their way.  Only the
 * cache is warmed: no limit counts it and no result depends on it. */
static void prefetch_records(struct spf_evaluation *e,
			     const struct spf_record *r)
{
	struct slice rest = r->terms;
	struct spf_term t;
	bool bad;

	while (e->prefetched < MAX_PREFETCH &&
	       spf_record_next(&rest, &t, &bad) && t.kind != SPF_KIND_ALL)
		if (t.kind == SPF_KIND_INCLUDE)
			prefetch(e, t.domain);
	if (!r->has_all) /* 5.1: else redirect is ignored */
		prefetch(e, r->redirect);
}

/* 4.5: the only SPF record of an answer.  PASS when there is one, else the
 * result. */
static enum spf_status select_record(struct spf_evaluation *e,
				     const struct dns_answer *r,
				     const char *domain, struct slice *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++) {
		if (!spf_record_is(r->rr[i].data))
			continue;
		spf_tell(e, (struct spf_event){.kind = SPF_EVENT_RECORD,
					       .domain = domain,
					       .text = r->rr[i].data});
		if (n++ == 0)
			*ret = r->rr[i].data;
		else
			return spf_fail_with(e, SPF_STATUS_PERMERROR,
					     "more than one SPF record");
	}
	return n > 0 ? SPF_STATUS_PASS : SPF_STATUS_NONE;
}

/* 4.4, 4.6: PASS when *ret is a record, else the result. */
static enum spf_status fetch(struct spf_evaluation *e, const char *domain,
			     struct spf_record *ret)
{
	const struct dns_answer *r;
	enum spf_status s;
	struct slice text;

	/* 4.3: not multi-label */
	if (domain == NULL || strchr(domain, '.') == NULL)
		return SPF_STATUS_NONE;
	e->env.domain = domain;
	r = spf_ask(e, domain, DNS_TXT);
	if (r->status == DNS_TEMPFAIL)
		return spf_fail_with(e, SPF_STATUS_TEMPERROR, r->reason);
	s = select_record(e, r, domain, &text);
	if (s != SPF_STATUS_PASS)
		return s;
	if (!spf_record_parse(text, ret)) {
		if (e->trace != NULL)
			tell_term(e, spf_record_fault(text), NULL);
		return spf_fail_with(e, SPF_STATUS_PERMERROR,
				     "syntax error in the SPF record");
	}
	prefetch_records(e, ret);
	return SPF_STATUS_PASS;
}

static void eval_domain(struct spf_evaluation *e, const char *domain,
			struct verdict *v);

/* 5.2; PASS: matches, NONE: does not, else an error */
static enum spf_status match_include(struct spf_evaluation *e,
				     const char *target)
{
	const char *domain = e->env.domain;
	struct verdict v;

	e->depth++;
	eval_domain(e, target, &v);
	e->depth--;
	e->env.domain = domain;
	switch (v.status) {
	case SPF_STATUS_PASS:
		return SPF_STATUS_PASS;
	case SPF_STATUS_FAIL:
	case SPF_STATUS_SOFTFAIL:
	case SPF_STATUS_NEUTRAL:
		return SPF_STATUS_NONE;
	case SPF_STATUS_TEMPERROR:
		return SPF_STATUS_TEMPERROR;
	case SPF_STATUS_NONE:
	case SPF_STATUS_PERMERROR:
		break;
	}
	return spf_fail_with(e, SPF_STATUS_PERMERROR,
			     "include of a domain without SPF record");
}

static enum spf_status match_dns_term(struct spf_evaluation *e,
				      const struct spf_term *t)
{
	const char *target = e->env.domain;
	bool unmatched = false;

	if (!count_term(e)) {
		tell_term(e, t->text, NULL);
		return too_many_terms(e);
	}
	if (t->domain.n > 0)
		target = spf_macro_domain(e->arena, &e->env, t->domain,
					  &unmatched);
	tell_term(e, t->text, target);
	if (unmatched) /* RFC 8616 4 */
		return SPF_STATUS_NONE;
	if (t->kind == SPF_KIND_INCLUDE)
		return match_include(e, target);
	return spf_match(e, t, target);
}

/* PASS: matches, NONE: does not, else the error that ends it */
static enum spf_status match(struct spf_evaluation *e, const struct spf_term *t)
{
	switch (t->kind) {
	case SPF_KIND_ALL:
		tell_term(e, t->text, NULL);
		return SPF_STATUS_PASS;
	case SPF_KIND_IP4:
	case SPF_KIND_IP6:
		tell_term(e, t->text, NULL);
		return spf_match(e, t, NULL);
	case SPF_KIND_INCLUDE:
	case SPF_KIND_A:
	case SPF_KIND_MX:
	case SPF_KIND_PTR:
	case SPF_KIND_EXISTS:
		return match_dns_term(e, t);
	case SPF_KIND_REDIRECT:
	case SPF_KIND_EXP:
	case SPF_KIND_UNKNOWN:
		break;
	}
	return SPF_STATUS_NONE;
}

static enum spf_status qualified(enum spf_qualifier q)
{
	switch (q) {
	case SPF_QUALIFIER_PASS:
		return SPF_STATUS_PASS;
	case SPF_QUALIFIER_FAIL:
		return SPF_STATUS_FAIL;
	case SPF_QUALIFIER_SOFTFAIL:
		return SPF_STATUS_SOFTFAIL;
	case SPF_QUALIFIER_NEUTRAL:
		break;
	}
	return SPF_STATUS_NEUTRAL;
}

/* NONE: does not match, else the result */
static enum spf_status evaluate_term(struct spf_evaluation *e,
				     const struct spf_term *t)
{
	struct spf_event event = {.kind = SPF_EVENT_MISS, .text = t->text};
	enum spf_status s;

	if (t->kind >= SPF_KIND_REDIRECT) /* 6: modifiers have no place */
		return SPF_STATUS_NONE;
	s = match(e, t);
	if (s == SPF_STATUS_NONE) {
		spf_tell(e, event);
	} else if (s == SPF_STATUS_PASS) {
		s = qualified(t->qualifier);
		event.kind = SPF_EVENT_MATCH;
		event.status = s;
		spf_tell(e, event);
	}
	return s;
}

/* Evaluates the mechanisms in order; false when none decided. */
static bool walk(struct spf_evaluation *e, const struct spf_record *r,
		 struct verdict *v)
{
	struct slice rest = r->terms;
	struct spf_term t;
	bool bad;

	while (spf_record_next(&rest, &t, &bad)) {
		enum spf_status s = evaluate_term(e, &t);

		if (s == SPF_STATUS_NONE)
			continue;
		v->mechanism = t.text;
		v->status = s;
		v->domain = e->env.domain;
		v->exp = r->exp;
		return true;
	}
	return false;
}

/* 6.1; NULL with v->status set: an error */
static const char *redirect(struct spf_evaluation *e,
			    const struct spf_record *r, struct verdict *v)
{
	const char *next;
	bool unmatched;

	if (!count_term(e)) {
		tell_modifier(e, "redirect", r->redirect, NULL);
		v->status = too_many_terms(e);
		return NULL;
	}
	next = spf_macro_domain(e->arena, &e->env, r->redirect, &unmatched);
	tell_modifier(e, "redirect", r->redirect, next);
	if (next == NULL)
		v->status = spf_fail_with(e, SPF_STATUS_PERMERROR,
					  "redirect to no valid name");
	return next;
}

/* check_host(); recursion ends with the eleventh term. */
static void eval_domain(struct spf_evaluation *e, const char *domain,
			struct verdict *v)
{
	struct spf_record r;
	bool redirected = false;

	*v = (struct verdict){0};
	for (;;) {
		v->status = fetch(e, domain, &r);
		if (v->status == SPF_STATUS_NONE && redirected)
			v->status = spf_fail_with(
				e, SPF_STATUS_PERMERROR,
				"redirect to a domain without SPF record");
		if (v->status != SPF_STATUS_PASS)
			return;
		if (walk(e, &r, v))
			return;
		if (r.redirect.n == 0) { /* 4.7 */
			v->status = SPF_STATUS_NEUTRAL;
			return;
		}
		domain = redirect(e, &r, v);
		if (domain == NULL)
			return;
		redirected = true;
	}
}

/* 6.2: whatever is wrong with it, there is just no explanation */
static const char *explain(struct spf_evaluation *e, const struct verdict *v)
{
	const struct dns_answer *r;
	const char *name;
	bool unmatched;

	if (v->status != SPF_STATUS_FAIL || v->exp.n == 0)
		return NULL;
	e->env.domain = v->domain;
	name = spf_macro_domain(e->arena, &e->env, v->exp, &unmatched);
	tell_modifier(e, "exp", v->exp, name);
	if (name == NULL)
		return NULL;
	r = spf_ask(e, name, DNS_TXT);
	if (r->status != DNS_FOUND || r->n != 1)
		return NULL;
	return spf_macro_explanation(e->arena, &e->env, r->rr[0].data);
}

/* 11.5.2: whose text it is.  After a redirect to a name that is no domain
 * (from a macro) the domain that was checked stands for it. */
static void add_explanation(struct spf_evaluation *e, const struct verdict *v,
			    struct spf_result *ret)
{
	ret->explanation = explain(e, v);
	if (ret->explanation == NULL)
		return;
	ret->explainer = domain_canon(e->arena, slice_of(v->domain));
	if (ret->explainer == NULL)
		ret->explainer = ret->domain;
}

static void evaluate(struct spf_evaluation *e, const char *domain,
		     struct spf_result *ret)
{
	struct verdict v;

	eval_domain(e, domain, &v);
	ret->status = v.status;
	ret->domain = domain;
	if (v.status == SPF_STATUS_TEMPERROR ||
	    v.status == SPF_STATUS_PERMERROR)
		ret->reason = e->reason;
	else if (v.status == SPF_STATUS_NONE)
		ret->reason = "no SPF record";
	if (v.mechanism.n > 0)
		ret->mechanism = slice_cstr(
			e->arena, slice_first(v.mechanism, MECHANISM_MAX));
	else if (v.status == SPF_STATUS_NEUTRAL)
		ret->mechanism = "default";
	add_explanation(e, &v, ret);
	ret->terms = e->terms;
	ret->voids = e->voids;
	spf_match_done(e);
}

/* ---- identities ---- */

/* 2.3, 4.3: a multi-label name that is no address */
static const char *helo_domain(struct arena *a, struct slice helo)
{
	const char *d = domain_canon(a, helo);
	uint64_t n;

	if (d == NULL || domain_labels(d) < 2)
		return NULL;
	if (slice_u64(slice_of(domain_suffix(d, 1)), UINT64_MAX, &n))
		return NULL;
	return d;
}

static void check(struct arena *a, struct dns_budget *b,
		  const struct spf_query *q, struct slice local,
		  const char *domain, struct spf_result *ret)
{
	struct spf_evaluation e = {.arena = a,
				   .budget = b,
				   .client_ms = dns_budget_left_ms(b) /
						CLIENT_SHARE,
				   .trace = q->trace,
				   .trace_arg = q->trace_arg};

	e.env = (struct spf_macro_env){
		.local = local.n > 0 ? local : SLICE("postmaster"),
		.sender = domain,
		.domain = domain,
		.helo = q->helo,
		.client = q->client,
		.receiver = q->receiver,
		.now = q->now,
		.validated = spf_validated_name,
		.arg = &e,
	};
	/* 5: an IPv4-mapped address is an IPv4 address */
	if (q->client.family == IP_V6)
		e.env.client = ip_from_bytes(q->client.b, 16);
	evaluate(&e, domain, ret);
}

/* A result that needs no look-up. */
static void none(struct spf_result *ret, const char *reason)
{
	ret->status = SPF_STATUS_NONE;
	ret->reason = reason;
}

static bool start(const struct spf_query *q, enum spf_identity identity,
		  struct spf_result *ret)
{
	*ret = (struct spf_result){.identity = identity};
	ret->checked = q->client.family != IP_NONE;
	return ret->checked;
}

void spf_check_helo(struct arena *a, struct dns_budget *b,
		    const struct spf_query *q, struct spf_result *ret)
{
	const char *domain;

	if (!start(q, SPF_IDENTITY_HELO, ret))
		return;
	domain = helo_domain(a, q->helo);
	if (domain == NULL) {
		none(ret, "HELO is no multi-label domain");
		return;
	}
	check(a, b, q, SLICE("postmaster"), domain, ret);
}

void spf_check_mailfrom(struct arena *a, struct dns_budget *b,
			const struct spf_query *q, struct spf_result *ret)
{
	const char *domain = q->sender.domain;
	struct slice local = q->sender.local;

	if (!start(q, SPF_IDENTITY_MAILFROM, ret))
		return;
	if (q->sender.malformed) {
		none(ret, "malformed sender");
		return;
	}
	if (q->sender.null) { /* 2.4 */
		domain = helo_domain(a, q->helo);
		local = SLICE("postmaster");
	}
	if (domain == NULL || domain_labels(domain) < 2) {
		none(ret, q->sender.null ? "HELO is no multi-label domain"
					 : "sender without multi-label domain");
		return;
	}
	check(a, b, q, local, domain, ret);
}

void spf_prefetch(struct arena *a, struct dns_budget *b,
		  const struct spf_query *q)
{
	const char *helo;

	if (q->client.family == IP_NONE)
		return;
	helo = helo_domain(a, q->helo);
	if (helo != NULL)
		dns_prefetch(b, helo, DNS_TXT);
	if (!q->sender.malformed && q->sender.domain != NULL &&
	    domain_labels(q->sender.domain) >= 2)
		dns_prefetch(b, q->sender.domain, DNS_TXT);
}

const char *spf_explanation(struct arena *a, const struct spf_result *r)
{
	if (r->explanation == NULL)
		return NULL;
	return arena_printf(a, "%s explains: %s", r->explainer, r->explanation);
}

const char *spf_status_name(enum spf_status s)
{
	switch (s) {
	case SPF_STATUS_NONE:
		return "none";
	case SPF_STATUS_NEUTRAL:
		return "neutral";
	case SPF_STATUS_PASS:
		return "pass";
	case SPF_STATUS_FAIL:
		return "fail";
	case SPF_STATUS_SOFTFAIL:
		return "softfail";
	case SPF_STATUS_TEMPERROR:
		return "temperror";
	case SPF_STATUS_PERMERROR:
		break;
	}
	return "permerror";
}
