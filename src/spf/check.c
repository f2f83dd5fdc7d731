/*
 * SPF evaluation: check_host() of RFC 7208 section 4.
 *
 * Ours are the walk over terms, include and redirect, the limits of 4.6.4
 * (counted over the whole evaluation) and exp=.  Each a, mx, ptr, exists, ip4
 * and ip6 mechanism is matched by libspf2, one at a time: it is handed one
 * canonical term without macros, with a constant in place of the published
 * name (ptr: a canonical domain), so no published text ever reaches its
 * compiler, and nothing is lost to its 511-byte records.  Its look-ups come
 * back through a hook that answers from the message's DNS budget.  Its record
 * fetching, its limits, its explanations and its free pass for loopback
 * clients are not used.
 *
 * No logs, no clock; all state lives on the stack of one evaluation.
 */
#include "spf/spf.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <spf2/spf.h>

#include "mail/domain.h"
#include "spf/macro.h"
#include "spf/record.h"

/* RFC 7208 4.6.4 */
#define MAX_TERMS     10
#define MAX_VOIDS     2
#define MAX_MX	      10
#define MAX_PTR	      10
#define MAX_PREFETCH  10
#define MECHANISM_MAX 256 /* bytes of the term that are reported */

/* The name that libspf2 sees for every target; no wire text */
#define TARGET	  "t.invalid"
#define MX_FORMAT "m%u.invalid"
#define CANON_MAX (DOMAIN_MAX + 64)

struct evaluation {
	struct arena *arena;
	struct dns_budget *budget;
	struct spf_macro_env env;
	unsigned terms;
	unsigned voids;
	unsigned prefetched;
	const char *reason; /* of the error that ended it */
	/* the mechanism that libspf2 is at */
	enum spf_kind kind;
	const char *target; /* published name, expanded; NULL: none such */
	bool any_address;   /* a or mx with /0: one address is enough */
	const struct dns_answer *mx;
	enum spf_status trouble; /* what a look-up ended in, or NONE */
	SPF_dns_server_t resolver;
	SPF_server_t *server;
	SPF_request_t *request;
};

struct verdict {
	enum spf_status status;
	struct slice mechanism; /* as published; empty: none matched */
	const char *domain;	/* whose record decided */
	struct slice exp;	/* its exp=, unexpanded */
};

static enum spf_status fail_with(struct evaluation *e, enum spf_status s,
				 const char *reason)
{
	if (e->reason == NULL)
		e->reason = reason;
	return s;
}

/* ---- look-ups ---- */

static enum dns_type address_type(const struct evaluation *e)
{
	return e->env.client.family == IP_V6 ? DNS_AAAA : DNS_A;
}

/* 4.6.4: a void look-up; the third ends it */
static void count_void(struct evaluation *e)
{
	if (++e->voids > MAX_VOIDS)
		e->trouble = fail_with(e, SPF_STATUS_PERMERROR,
				       "more than 2 void lookups");
}

/* A look-up of a term: counts voids, remembers trouble.  NULL: no records. */
static const struct dns_answer *ask(struct evaluation *e, const char *name,
				    enum dns_type type)
{
	const struct dns_answer *r;

	if (name == NULL) { /* 4.8: as if it did not exist */
		count_void(e);
		return NULL;
	}
	r = dns_ask(e->budget, name, type);
	switch (r->status) {
	case DNS_FOUND:
		return r;
	case DNS_NODATA:
	case DNS_NXDOMAIN:
		count_void(e);
		return NULL;
	case DNS_TEMPFAIL:
		break;
	}
	/* 5: any other error is a temperror of the whole check */
	e->trouble = fail_with(e, SPF_STATUS_TEMPERROR, r->reason);
	return NULL;
}

/* 5.5, %{p}: an error or nothing only skips the name; the client chose these
 * names, not the domain that is checked, so they are no void look-ups. */
static const struct dns_answer *
ask_quietly(struct evaluation *e, const char *name, enum dns_type type)
{
	const struct dns_answer *r = dns_ask(e->budget, name, type);

	return r->status == DNS_FOUND ? r : NULL;
}

static bool has_client(const struct evaluation *e, const struct dns_answer *r)
{
	size_t n = e->env.client.family == IP_V6 ? 16 : 4;

	for (size_t i = 0; i < r->n; i++)
		if (r->rr[i].data.n == n &&
		    memcmp(r->rr[i].data.p, e->env.client.b, n) == 0)
			return true;
	return false;
}

static const char *reverse_name(struct arena *a, const struct ip *ip)
{
	struct strbuf b;

	if (ip->family == IP_V4)
		return arena_printf(a, "%u.%u.%u.%u.in-addr.arpa", ip->b[3],
				    ip->b[2], ip->b[1], ip->b[0]);
	strbuf_init(&b, a, 128);
	for (unsigned i = 16; i-- > 0;)
		strbuf_printf(&b, "%x.%x.", ip->b[i] & 15U,
			      (unsigned)ip->b[i] >> 4);
	strbuf_adds(&b, "ip6.arpa");
	return strbuf_cstr(&b);
}

static bool is_under(struct slice name, struct slice domain)
{
	return name.n > domain.n && name.p[name.n - domain.n - 1] == '.' &&
	       slice_eq_ci(slice_from(name, name.n - domain.n), domain);
}

/* %{p} (7.3): the validated name that is the domain, else one below it, else
 * any, else "unknown". */
static const char *validated_name(void *arg, const char *domain)
{
	struct evaluation *e = arg;
	const struct dns_answer *ptr, *addr;
	const char *best = "unknown";
	unsigned best_rank = 0;

	ptr = ask_quietly(e, reverse_name(e->arena, &e->env.client), DNS_PTR);
	for (size_t i = 0; ptr != NULL && i < ptr->n && i < MAX_PTR; i++) {
		struct slice name = ptr->rr[i].data;
		unsigned rank = 1;

		addr = ask_quietly(e, name.p, address_type(e));
		if (addr == NULL || !has_client(e, addr))
			continue;
		if (slice_eq_ci(name, slice_of(domain)))
			rank = 3;
		else if (is_under(name, slice_of(domain)))
			rank = 2;
		if (rank > best_rank) {
			best = name.p;
			best_rank = rank;
		}
	}
	return best;
}

/* ---- libspf2's look-up hook ---- */

static void add_rr(SPF_dns_rr_t *rr, const void *p, size_t n)
{
	/* the library's union is at least as long as an address */
	size_t size = n + 1 > sizeof(SPF_dns_rr_data_t)
			      ? n + 1
			      : sizeof(SPF_dns_rr_data_t);

	if (SPF_dns_rr_buf_realloc(rr, rr->num_rr, size) != SPF_E_SUCCESS)
		return;
	memset(rr->rr[rr->num_rr], 0, size);
	memcpy(rr->rr[rr->num_rr], p, n);
	rr->num_rr++;
}

static void answer_addresses(struct evaluation *e, SPF_dns_rr_t *rr,
			     const struct dns_answer *r)
{
	size_t n = rr->rr_type == ns_t_aaaa ? 16 : 4;

	/* /0: libspf2 knows no such prefix, so every address is the client's;
	 * exists asks for A whatever the client is (5.7) */
	if (e->any_address && r->n > 0) {
		add_rr(rr, e->env.client.b, n);
		return;
	}
	for (size_t i = 0; i < r->n; i++)
		if (r->rr[i].data.n == n)
			add_rr(rr, r->rr[i].data.p, n);
}

static void answer_mx(struct evaluation *e, SPF_dns_rr_t *rr)
{
	char name[32];
	int n;

	e->mx = ask(e, e->target, DNS_MX);
	if (e->mx == NULL)
		return;
	if (e->mx->n > MAX_MX) { /* 4.6.4 */
		e->trouble = fail_with(e, SPF_STATUS_PERMERROR,
				       "more than 10 MX names");
		return;
	}
	for (unsigned i = 0; i < e->mx->n; i++) {
		n = snprintf(name, sizeof(name), MX_FORMAT, i);
		add_rr(rr, name, (size_t)n);
	}
}

/* 4.6.4: names after the tenth are ignored; 5.5: an error is no match */
static void answer_ptr(struct evaluation *e, SPF_dns_rr_t *rr)
{
	const char *name = reverse_name(e->arena, &e->env.client);
	const struct dns_answer *r = dns_ask(e->budget, name, DNS_PTR);

	if (r->status == DNS_NODATA || r->status == DNS_NXDOMAIN)
		count_void(e);
	for (size_t i = 0; i < r->n && i < MAX_PTR; i++)
		add_rr(rr, r->rr[i].data.p, r->rr[i].data.n);
}

/* The published name behind one of our constants; false: never handed out */
static bool real_name(const struct evaluation *e, const char *name,
		      const char **ret)
{
	unsigned i;

	if (e->kind == SPF_KIND_A || e->kind == SPF_KIND_EXISTS) {
		*ret = e->target;
		return strcmp(name, TARGET) == 0;
	}
	if (e->kind != SPF_KIND_MX || e->mx == NULL ||
	    sscanf(name, MX_FORMAT, &i) != 1 || i >= e->mx->n)
		return false;
	*ret = e->mx->rr[i].data.p;
	return true;
}

static void answer_address_query(struct evaluation *e, SPF_dns_rr_t *rr,
				 const char *name)
{
	enum dns_type type = rr->rr_type == ns_t_aaaa ? DNS_AAAA : DNS_A;
	const struct dns_answer *r = NULL;
	const char *real;

	if (e->kind == SPF_KIND_PTR)
		r = ask_quietly(e, name, type);
	else if (real_name(e, name, &real))
		r = ask(e, real, type);
	if (r != NULL)
		answer_addresses(e, rr, r);
}

/* Never NULL (that would end the process), never an error: trouble is kept
 * aside, and after it everything is answered with "nothing". */
static SPF_dns_rr_t *on_lookup(SPF_dns_server_t *resolver, const char *name,
			       ns_type type, int should_cache)
{
	struct evaluation *e = resolver->hook;
	SPF_dns_rr_t *rr;

	(void)should_cache;
	rr = SPF_dns_rr_new_init(resolver, name, type, 0, NETDB_SUCCESS);
	if (rr == NULL)
		SPF_error("out of memory");
	if (e->trouble != SPF_STATUS_NONE)
		goto out;
	if (type == ns_t_a || type == ns_t_aaaa)
		answer_address_query(e, rr, name);
	else if (type == ns_t_mx && e->kind == SPF_KIND_MX)
		answer_mx(e, rr);
	else if (type == ns_t_ptr && e->kind == SPF_KIND_PTR)
		answer_ptr(e, rr);
out:
	if (rr->num_rr == 0)
		rr->herrno = NO_DATA;
	return rr;
}

/* ---- one mechanism through libspf2 ---- */

static bool open_library(struct evaluation *e)
{
	SPF_response_t *unused = NULL;
	struct in6_addr v6;
	struct in_addr v4;

	if (e->request != NULL)
		return true;
	e->resolver = (SPF_dns_server_t){
		.lookup = on_lookup, .name = "mailseal", .hook = e};
	e->server = SPF_server_new_dns(&e->resolver, 0);
	if (e->server == NULL)
		return false;
	/* in place of its own, which has macros */
	SPF_server_set_explanation(e->server, "-", &unused);
	if (unused != NULL)
		SPF_response_free(unused);
	e->request = SPF_request_new(e->server);
	if (e->request == NULL)
		return false;
	memcpy(&v4, e->env.client.b, sizeof(v4));
	memcpy(&v6, e->env.client.b, sizeof(v6));
	if (e->env.client.family == IP_V6)
		SPF_request_set_ipv6(e->request, v6);
	else
		SPF_request_set_ipv4(e->request, v4);
	/* constants: its own texts about them are thrown away */
	SPF_request_set_helo_dom(e->request, TARGET);
	SPF_request_set_env_from(e->request, "postmaster@" TARGET);
	e->request->cur_dom = TARGET;
	return true;
}

static void close_library(struct evaluation *e)
{
	if (e->request != NULL)
		SPF_request_free(e->request);
	if (e->server != NULL)
		SPF_server_free(e->server);
}

/* Interprets one record of one "+" mechanism: pass is a match. */
static enum spf_status interpret(struct evaluation *e, const char *text)
{
	SPF_response_t *response;
	SPF_record_t *record = NULL;
	SPF_result_t result = SPF_RESULT_INVALID;

	if (!open_library(e))
		return fail_with(e, SPF_STATUS_TEMPERROR, "out of memory");
	e->trouble = SPF_STATUS_NONE;
	response = SPF_response_new(e->request);
	if (response == NULL)
		return fail_with(e, SPF_STATUS_TEMPERROR, "out of memory");
	if (SPF_record_compile(e->server, response, &record, text) ==
	    SPF_E_SUCCESS) {
		response->spf_record_exp = record; /* borrowed; it insists */
		if (SPF_record_interpret(record, e->request, response, 0) ==
		    SPF_E_SUCCESS)
			result = SPF_response_result(response);
	}
	SPF_response_free(response);
	if (record != NULL)
		SPF_record_free(record);
	if (e->trouble != SPF_STATUS_NONE)
		return e->trouble;
	if (result == SPF_RESULT_PASS)
		return SPF_STATUS_PASS;
	if (result == SPF_RESULT_NEUTRAL) /* fell off the end: no match */
		return SPF_STATUS_NONE;
	return fail_with(e, SPF_STATUS_TEMPERROR, "libspf2 gave no result");
}

static enum spf_status match_ip(struct evaluation *e, const struct spf_term *t)
{
	bool v6 = t->kind == SPF_KIND_IP6;
	char text[CANON_MAX];
	char addr[INET6_ADDRSTRLEN];

	if (v6 != (e->env.client.family == IP_V6))
		return SPF_STATUS_NONE;
	if ((v6 ? t->bits6 : t->bits4) == 0) /* libspf2 refuses /0 */
		return SPF_STATUS_PASS;
	inet_ntop(v6 ? AF_INET6 : AF_INET, t->addr, addr, sizeof(addr));
	snprintf(text, sizeof(text), "v=spf1 %s:%s/%u", v6 ? "ip6" : "ip4",
		 addr, v6 ? t->bits6 : t->bits4);
	return interpret(e, text);
}

/* 5.5: the names are canonical, so a target that is not matches none */
static enum spf_status match_ptr(struct evaluation *e)
{
	const char *target = NULL;
	char text[CANON_MAX];

	if (e->target != NULL)
		target = domain_canon(e->arena, slice_of(e->target));
	if (target == NULL) {
		e->trouble = SPF_STATUS_NONE;
		count_void(e);
		return e->trouble;
	}
	snprintf(text, sizeof(text), "v=spf1 ptr:%s", target);
	return interpret(e, text);
}

static enum spf_status match_address(struct evaluation *e,
				     const struct spf_term *t)
{
	bool v6 = e->env.client.family == IP_V6;
	unsigned bits = v6 ? t->bits6 : t->bits4;
	char text[CANON_MAX];

	e->any_address = bits == 0;
	if (bits == 0)
		bits = v6 ? 128 : 32;
	snprintf(text, sizeof(text), "v=spf1 %s:%s%s%u",
		 t->kind == SPF_KIND_MX ? "mx" : "a", TARGET, v6 ? "//" : "/",
		 bits);
	return interpret(e, text);
}

/* ---- the walk ---- */

static bool count_term(struct evaluation *e)
{
	return ++e->terms <= MAX_TERMS;
}

static enum spf_status too_many_terms(struct evaluation *e)
{
	return fail_with(e, SPF_STATUS_PERMERROR, "more than 10 DNS terms");
}

/* While we wait for the first, the others are on their way. */
static void prefetch_includes(struct evaluation *e, const struct spf_record *r)
{
	struct slice rest = r->terms;
	struct spf_term t;
	bool bad;

	while (e->prefetched < MAX_PREFETCH &&
	       spf_record_next(&rest, &t, &bad) && t.kind != SPF_KIND_ALL) {
		if (t.kind != SPF_KIND_INCLUDE || t.domain.n > DOMAIN_MAX ||
		    slice_chr(t.domain, '%') >= 0)
			continue;
		e->prefetched++;
		dns_prefetch(e->budget, slice_cstr(e->arena, t.domain),
			     DNS_TXT);
	}
}

/* 4.4, 4.5: PASS when *ret is a record, else the result. */
static enum spf_status fetch(struct evaluation *e, const char *domain,
			     struct spf_record *ret)
{
	const struct dns_answer *r;
	const struct slice *found = NULL;

	/* 4.3: not multi-label */
	if (domain == NULL || strchr(domain, '.') == NULL)
		return SPF_STATUS_NONE;
	r = dns_ask(e->budget, domain, DNS_TXT);
	if (r->status == DNS_TEMPFAIL)
		return fail_with(e, SPF_STATUS_TEMPERROR, r->reason);
	for (size_t i = 0; i < r->n; i++) {
		if (!spf_record_is(r->rr[i].data))
			continue;
		if (found != NULL)
			return fail_with(e, SPF_STATUS_PERMERROR,
					 "more than one SPF record");
		found = &r->rr[i].data;
	}
	if (found == NULL)
		return SPF_STATUS_NONE;
	if (!spf_record_parse(*found, ret))
		return fail_with(e, SPF_STATUS_PERMERROR,
				 "syntax error in the SPF record");
	prefetch_includes(e, ret);
	return SPF_STATUS_PASS;
}

static void eval_domain(struct evaluation *e, const char *domain,
			struct verdict *v);

/* 5.2; PASS: matches, NONE: does not, else an error */
static enum spf_status match_include(struct evaluation *e)
{
	const char *domain = e->env.domain;
	struct verdict v;

	eval_domain(e, e->target, &v);
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
	return fail_with(e, SPF_STATUS_PERMERROR,
			 "include of a domain without SPF record");
}

static enum spf_status match_dns_term(struct evaluation *e,
				      const struct spf_term *t)
{
	bool unmatched = false;

	if (!count_term(e))
		return too_many_terms(e);
	e->target = t->domain.n == 0 ? e->env.domain
				     : spf_macro_domain(e->arena, &e->env,
							t->domain, &unmatched);
	if (unmatched) /* RFC 8616 4 */
		return SPF_STATUS_NONE;
	e->kind = t->kind;
	e->any_address = false;
	e->mx = NULL;
	if (t->kind == SPF_KIND_INCLUDE)
		return match_include(e);
	if (t->kind == SPF_KIND_PTR)
		return match_ptr(e);
	if (t->kind == SPF_KIND_EXISTS)
		return interpret(e, "v=spf1 exists:" TARGET);
	return match_address(e, t);
}

/* PASS: matches, NONE: does not, else the error that ends it */
static enum spf_status match(struct evaluation *e, const struct spf_term *t)
{
	switch (t->kind) {
	case SPF_KIND_ALL:
		return SPF_STATUS_PASS;
	case SPF_KIND_IP4:
	case SPF_KIND_IP6:
		return match_ip(e, t);
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

/* Evaluates the mechanisms in order; false when none decided. */
static bool walk(struct evaluation *e, const struct spf_record *r,
		 struct verdict *v)
{
	struct slice rest = r->terms;
	struct spf_term t;
	bool bad;

	while (spf_record_next(&rest, &t, &bad)) {
		enum spf_status m = match(e, &t);

		if (m == SPF_STATUS_NONE)
			continue;
		v->mechanism = t.text;
		v->status = m == SPF_STATUS_PASS ? qualified(t.qualifier) : m;
		v->domain = e->env.domain;
		v->exp = r->exp;
		return true;
	}
	return false;
}

/* 6.1; NULL with v->status set: an error */
static const char *redirect(struct evaluation *e, const struct spf_record *r,
			    struct verdict *v)
{
	const char *next;
	bool unmatched;

	if (!count_term(e)) {
		v->status = too_many_terms(e);
		return NULL;
	}
	next = spf_macro_domain(e->arena, &e->env, r->redirect, &unmatched);
	if (next == NULL)
		v->status = fail_with(e, SPF_STATUS_PERMERROR,
				      "redirect to no valid name");
	return next;
}

/* check_host(); recursion ends with the eleventh term. */
static void eval_domain(struct evaluation *e, const char *domain,
			struct verdict *v)
{
	struct spf_record r;
	bool redirected = false;

	*v = (struct verdict){0};
	for (;;) {
		v->status = fetch(e, domain, &r);
		if (v->status == SPF_STATUS_NONE && redirected)
			v->status = fail_with(
				e, SPF_STATUS_PERMERROR,
				"redirect to a domain without SPF record");
		if (v->status != SPF_STATUS_PASS)
			return;
		e->env.domain = domain;
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
static const char *explain(struct evaluation *e, const struct verdict *v)
{
	const struct dns_answer *r;
	const char *name;
	bool unmatched;

	if (v->status != SPF_STATUS_FAIL || v->exp.n == 0)
		return NULL;
	e->env.domain = v->domain;
	name = spf_macro_domain(e->arena, &e->env, v->exp, &unmatched);
	if (name == NULL)
		return NULL;
	r = dns_ask(e->budget, name, DNS_TXT);
	if (r->status != DNS_FOUND || r->n != 1)
		return NULL;
	return spf_macro_explanation(e->arena, &e->env, r->rr[0].data);
}

static void evaluate(struct evaluation *e, const char *domain,
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
	ret->explanation = explain(e, &v);
	ret->terms = e->terms;
	ret->voids = e->voids;
	close_library(e);
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
	struct evaluation e = {.arena = a, .budget = b};

	e.env = (struct spf_macro_env){
		.local = local.n > 0 ? local : SLICE("postmaster"),
		.sender = domain,
		.domain = domain,
		.helo = q->helo,
		.client = q->client,
		.receiver = q->receiver,
		.now = q->now,
		.validated = validated_name,
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
