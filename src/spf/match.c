/*
 * One SPF mechanism through libspf2 (RFC 7208 section 5).
 *
 * The library is handed one canonical term without macros, with a constant in
 * place of the published name (ptr: a canonical domain), so no published text
 * ever reaches its compiler, and nothing is lost to its 511-byte records.  Its
 * look-ups come back through a hook that answers from the message's DNS
 * budget and counts.  Its record fetching, its limits, its explanations and
 * its free pass for loopback clients are not used.
 *
 * No include, redirect or exp= (check.c), no macros (macro.c), no logs.
 */
#include "spf/evaluation.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <spf2/spf.h>

#include "mail/domain.h"

/* RFC 7208 4.6.4 */
#define MAX_MX	10
#define MAX_PTR 10

/* The name that libspf2 sees for every target; no wire text */
#define TARGET	  "t.invalid"
#define MX_FORMAT "m%u.invalid"
#define CANON_MAX (DOMAIN_MAX + 64)

struct spf_matcher {
	struct spf_evaluation *e;
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

/* ---- look-ups ---- */

static enum dns_type address_type(const struct spf_evaluation *e)
{
	return e->env.client.family == IP_V6 ? DNS_AAAA : DNS_A;
}

/* 4.6.4: a void look-up; the third ends it */
static void count_void(struct spf_matcher *m)
{
	if (++m->e->voids > SPF_VOIDS_MAX)
		m->trouble = spf_fail_with(m->e, SPF_STATUS_PERMERROR,
					   "more than 2 void lookups");
}

/* A look-up of a term: counts voids, remembers trouble.  NULL: no records. */
static const struct dns_answer *ask(struct spf_matcher *m, const char *name,
				    enum dns_type type)
{
	const struct dns_answer *r;

	if (name == NULL) { /* 4.8: as if it did not exist */
		count_void(m);
		return NULL;
	}
	r = spf_ask(m->e, name, type);
	switch (r->status) {
	case DNS_FOUND:
		return r;
	case DNS_NODATA:
	case DNS_NXDOMAIN:
		count_void(m);
		return NULL;
	case DNS_TEMPFAIL:
		break;
	}
	/* 5: any other error is a temperror of the whole check */
	m->trouble = spf_fail_with(m->e, SPF_STATUS_TEMPERROR, r->reason);
	return NULL;
}

/* 5.5, %{p}: an error or nothing only skips the name; the client chose these
 * names, not the domain that is checked, so they are no void look-ups. */
static const struct dns_answer *
ask_quietly(struct spf_evaluation *e, const char *name, enum dns_type type)
{
	const struct dns_answer *r = spf_ask_client(e, name, type);

	return r->status == DNS_FOUND ? r : NULL;
}

static bool has_client(const struct spf_evaluation *e,
		       const struct dns_answer *r)
{
	size_t n = e->env.client.family == IP_V6 ? 16 : 4;

	for (size_t i = 0; i < r->n; i++)
		if (r->rr[i].data.n == n &&
		    memcmp(r->rr[i].data.p, e->env.client.b, n) == 0)
			return true;
	return false;
}

static bool is_under(struct slice name, struct slice domain)
{
	return name.n > domain.n && name.p[name.n - domain.n - 1] == '.' &&
	       slice_eq_ci(slice_from(name, name.n - domain.n), domain);
}

/* 7.3: the domain itself, else one below it, else any */
static unsigned rank_of(struct slice name, struct slice domain)
{
	if (slice_eq_ci(name, domain))
		return 3;
	return is_under(name, domain) ? 2 : 1;
}

static const char *validate(struct spf_evaluation *e, const char *domain)
{
	const struct dns_answer *ptr, *addr;
	const char *best = "unknown";
	unsigned best_rank = 0;

	ptr = ask_quietly(e, dns_reverse_name(e->arena, &e->env.client),
			  DNS_PTR);
	/* 4.6.4: names after the tenth are ignored; 3 cannot be bettered */
	for (size_t i = 0;
	     ptr != NULL && i < ptr->n && i < MAX_PTR && best_rank < 3; i++) {
		struct slice name = ptr->rr[i].data;
		unsigned rank = rank_of(name, slice_of(domain));

		if (rank <= best_rank)
			continue;
		addr = ask_quietly(e, name.p, address_type(e));
		if (addr == NULL || !has_client(e, addr))
			continue;
		best = name.p;
		best_rank = rank;
	}
	return best;
}

/* Once for each record, however often it writes %{p}. */
const char *spf_validated_name(void *arg, const char *domain)
{
	struct spf_evaluation *e = arg;

	if (e->validated_for != domain) {
		e->validated = validate(e, domain);
		e->validated_for = domain;
	}
	return e->validated;
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

static void answer_addresses(struct spf_matcher *m, SPF_dns_rr_t *rr,
			     const struct dns_answer *r)
{
	size_t n = rr->rr_type == ns_t_aaaa ? 16 : 4;

	/* /0: libspf2 knows no such prefix, so every address is the client's;
	 * exists asks for A whatever the client is (5.7) */
	if (m->any_address && r->n > 0) {
		add_rr(rr, m->e->env.client.b, n);
		return;
	}
	for (size_t i = 0; i < r->n; i++)
		if (r->rr[i].data.n == n)
			add_rr(rr, r->rr[i].data.p, n);
}

static void answer_mx(struct spf_matcher *m, SPF_dns_rr_t *rr)
{
	char name[32];
	int n;

	m->mx = ask(m, m->target, DNS_MX);
	if (m->mx == NULL)
		return;
	if (m->mx->n > MAX_MX) { /* 4.6.4 */
		m->trouble = spf_fail_with(m->e, SPF_STATUS_PERMERROR,
					   "more than 10 MX names");
		return;
	}
	for (unsigned i = 0; i < m->mx->n; i++) {
		n = snprintf(name, sizeof(name), MX_FORMAT, i);
		add_rr(rr, name, (size_t)n);
	}
}

/* 4.6.4: names after the tenth are ignored; 5.5: an error is no match */
static void answer_ptr(struct spf_matcher *m, SPF_dns_rr_t *rr)
{
	struct spf_evaluation *e = m->e;
	const char *name = dns_reverse_name(e->arena, &e->env.client);
	const struct dns_answer *r = spf_ask_client(e, name, DNS_PTR);

	if (r->status == DNS_NODATA || r->status == DNS_NXDOMAIN)
		count_void(m);
	for (size_t i = 0; i < r->n && i < MAX_PTR; i++)
		add_rr(rr, r->rr[i].data.p, r->rr[i].data.n);
}

/* The published name behind one of our constants; false: never handed out */
static bool real_name(const struct spf_matcher *m, const char *name,
		      const char **ret)
{
	unsigned i;

	if (m->kind == SPF_KIND_A || m->kind == SPF_KIND_EXISTS) {
		*ret = m->target;
		return strcmp(name, TARGET) == 0;
	}
	if (m->kind != SPF_KIND_MX || m->mx == NULL ||
	    sscanf(name, MX_FORMAT, &i) != 1 || i >= m->mx->n)
		return false;
	*ret = m->mx->rr[i].data.p;
	return true;
}

static void answer_address_query(struct spf_matcher *m, SPF_dns_rr_t *rr,
				 const char *name)
{
	enum dns_type type = rr->rr_type == ns_t_aaaa ? DNS_AAAA : DNS_A;
	const struct dns_answer *r = NULL;
	const char *real;

	if (m->kind == SPF_KIND_PTR)
		r = ask_quietly(m->e, name, type);
	else if (real_name(m, name, &real))
		r = ask(m, real, type);
	if (r != NULL)
		answer_addresses(m, rr, r);
}

/* Never NULL (that would end the process), never an error: trouble is kept
 * aside, and after it everything is answered with "nothing". */
static SPF_dns_rr_t *on_lookup(SPF_dns_server_t *resolver, const char *name,
			       ns_type type, int should_cache)
{
	struct spf_matcher *m = resolver->hook;
	SPF_dns_rr_t *rr;

	(void)should_cache;
	rr = SPF_dns_rr_new_init(resolver, name, type, 0, NETDB_SUCCESS);
	if (rr == NULL)
		SPF_error("out of memory");
	if (m->trouble != SPF_STATUS_NONE)
		goto out;
	if (type == ns_t_a || type == ns_t_aaaa)
		answer_address_query(m, rr, name);
	else if (type == ns_t_mx && m->kind == SPF_KIND_MX)
		answer_mx(m, rr);
	else if (type == ns_t_ptr && m->kind == SPF_KIND_PTR)
		answer_ptr(m, rr);
out:
	if (rr->num_rr == 0)
		rr->herrno = NO_DATA;
	return rr;
}

/* ---- the library ---- */

static bool open_request(struct spf_matcher *m)
{
	const struct ip *client = &m->e->env.client;
	struct in6_addr v6;
	struct in_addr v4;

	m->request = SPF_request_new(m->server);
	if (m->request == NULL)
		return false;
	memcpy(&v4, client->b, sizeof(v4));
	memcpy(&v6, client->b, sizeof(v6));
	if (client->family == IP_V6)
		SPF_request_set_ipv6(m->request, v6);
	else
		SPF_request_set_ipv4(m->request, v4);
	/* constants: its own texts about them are thrown away */
	SPF_request_set_helo_dom(m->request, TARGET);
	SPF_request_set_env_from(m->request, "postmaster@" TARGET);
	m->request->cur_dom = TARGET;
	return true;
}

static bool open_library(struct spf_matcher *m)
{
	SPF_response_t *unused = NULL;

	if (m->request != NULL)
		return true;
	m->resolver = (SPF_dns_server_t){
		.lookup = on_lookup, .name = "mailseal", .hook = m};
	m->server = SPF_server_new_dns(&m->resolver, 0);
	if (m->server == NULL)
		return false;
	/* in place of its own, which has macros */
	SPF_server_set_explanation(m->server, "-", &unused);
	if (unused != NULL)
		SPF_response_free(unused);
	return open_request(m);
}

void spf_match_done(struct spf_evaluation *e)
{
	struct spf_matcher *m = e->matcher;

	if (m == NULL)
		return;
	if (m->request != NULL)
		SPF_request_free(m->request);
	if (m->server != NULL)
		SPF_server_free(m->server);
	e->matcher = NULL;
}

/* SPF_RESULT_INVALID when it does not get as far as a result */
static SPF_result_t run(struct spf_matcher *m, SPF_response_t *response,
			const char *text)
{
	SPF_record_t *record = NULL;
	SPF_result_t result = SPF_RESULT_INVALID;

	if (SPF_record_compile(m->server, response, &record, text) ==
	    SPF_E_SUCCESS) {
		response->spf_record_exp = record; /* borrowed; it insists */
		if (SPF_record_interpret(record, m->request, response, 0) ==
		    SPF_E_SUCCESS)
			result = SPF_response_result(response);
	}
	SPF_response_free(response);
	if (record != NULL)
		SPF_record_free(record);
	return result;
}

/* Interprets one record of one "+" mechanism: pass is a match. */
static enum spf_status interpret(struct spf_matcher *m, const char *text)
{
	SPF_response_t *response = NULL;
	SPF_result_t result;

	if (open_library(m))
		response = SPF_response_new(m->request);
	if (response == NULL)
		return spf_fail_with(m->e, SPF_STATUS_TEMPERROR,
				     "out of memory");
	result = run(m, response, text);
	if (m->trouble != SPF_STATUS_NONE)
		return m->trouble;
	if (result == SPF_RESULT_PASS)
		return SPF_STATUS_PASS;
	if (result == SPF_RESULT_NEUTRAL) /* fell off the end: no match */
		return SPF_STATUS_NONE;
	return spf_fail_with(m->e, SPF_STATUS_TEMPERROR,
			     "libspf2 gave no result");
}

/* ---- one mechanism ---- */

static enum spf_status match_ip(struct spf_matcher *m, const struct spf_term *t)
{
	bool v6 = t->kind == SPF_KIND_IP6;
	unsigned bits = v6 ? t->bits6 : t->bits4;
	struct ip net = {.family = v6 ? IP_V6 : IP_V4};
	char text[CANON_MAX];
	char addr[INET6_ADDRSTRLEN];

	/* Without the library: records have thousands of these, and it needs
	 * more than 10 us for each. */
	memcpy(net.b, t->addr, v6 ? 16 : 4);
	if (!ip_prefix_equal(&net, &m->e->env.client, bits))
		return SPF_STATUS_NONE;
	if (bits == 0) /* libspf2 refuses /0 */
		return SPF_STATUS_PASS;
	inet_ntop(v6 ? AF_INET6 : AF_INET, t->addr, addr, sizeof(addr));
	snprintf(text, sizeof(text), "v=spf1 %s:%s/%u", v6 ? "ip6" : "ip4",
		 addr, bits);
	return interpret(m, text);
}

/* 5.5: the names are canonical, so a target that is not matches none */
static enum spf_status match_ptr(struct spf_matcher *m)
{
	const char *target = NULL;
	char text[CANON_MAX];

	if (m->target != NULL)
		target = domain_canon(m->e->arena, slice_of(m->target));
	if (target == NULL) {
		count_void(m);
		return m->trouble;
	}
	snprintf(text, sizeof(text), "v=spf1 ptr:%s", target);
	return interpret(m, text);
}

static enum spf_status match_address(struct spf_matcher *m,
				     const struct spf_term *t)
{
	bool v6 = m->e->env.client.family == IP_V6;
	unsigned bits = v6 ? t->bits6 : t->bits4;
	char text[CANON_MAX];

	m->any_address = bits == 0;
	if (bits == 0)
		bits = v6 ? 128 : 32;
	snprintf(text, sizeof(text), "v=spf1 %s:%s%s%u",
		 t->kind == SPF_KIND_MX ? "mx" : "a", TARGET, v6 ? "//" : "/",
		 bits);
	return interpret(m, text);
}

static struct spf_matcher *matcher_for(struct spf_evaluation *e,
				       const struct spf_term *t,
				       const char *target)
{
	struct spf_matcher *m = e->matcher;

	if (m == NULL) {
		m = arena_alloc(e->arena, sizeof(*m));
		m->e = e;
		e->matcher = m;
	}
	m->kind = t->kind;
	m->target = target;
	m->any_address = false;
	m->mx = NULL;
	m->trouble = SPF_STATUS_NONE;
	return m;
}

enum spf_status spf_match(struct spf_evaluation *e, const struct spf_term *t,
			  const char *target)
{
	struct spf_matcher *m = matcher_for(e, t, target);

	switch (t->kind) {
	case SPF_KIND_IP4:
	case SPF_KIND_IP6:
		return match_ip(m, t);
	case SPF_KIND_PTR:
		return match_ptr(m);
	case SPF_KIND_EXISTS:
		return interpret(m, "v=spf1 exists:" TARGET);
	case SPF_KIND_A:
	case SPF_KIND_MX:
		return match_address(m, t);
	case SPF_KIND_ALL:
	case SPF_KIND_INCLUDE:
	case SPF_KIND_REDIRECT:
	case SPF_KIND_EXP:
	case SPF_KIND_UNKNOWN:
		break;
	}
	return SPF_STATUS_NONE;
}
