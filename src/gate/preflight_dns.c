/*
 * What the DNS says of us: the keys that sign, SPF of the addresses from which
 * we send, and DMARC of the author domain, each as a receiver will see it.
 *
 * Our own records are looked up like anybody's: what a resolver here cannot
 * see or remembers wrongly may look different there.
 */
#include "gate/preflight.h"

#include <string.h>

#include "dkim/published.h"
#include "mail/domain.h"

#define NAME_SHOWN 100 /* bytes of a domain in a reason */

/* Of a long one the end, which says whose it is. */
static const char *shown(struct arena *a, const char *name)
{
	size_t n = strlen(name);

	if (n <= NAME_SHOWN)
		return name;
	return arena_printf(a, "...%s", name + n - NAME_SHOWN + 3);
}

/* Of two results the worse; of the same the first. */
static void worsen(struct preflight_result *ret, struct preflight_result r)
{
	if (r.status > ret->status)
		*ret = r;
}

/* The one author domain, or NULL. */
static const char *author_of(const struct preflight_message *m)
{
	const struct addr_authors *l = m->facts->authors;

	return !l->malformed && l->ndomains == 1 ? l->domains[0] : NULL;
}

/* ---- DKIM ---- */

/* RSA keys of less than 1024 bits (RFC 8301 3.2) are not even loaded. */
static struct preflight_result check_key(struct arena *a, struct dns_budget *b,
					 const struct dkim_signing_key *key)
{
	const char *what = NULL;
	const char *name =
		shown(a, dkim_published_name(a, key->domain, key->selector));

	switch (dkim_published_compare(a, b, key, &what)) {
	case DKIM_PUBLISHED_SAME:
		return preflight_good();
	case DKIM_PUBLISHED_UNKNOWN:
		return preflight_unknown(arena_printf(a, "%s: %s", name, what));
	case DKIM_PUBLISHED_MISSING:
	case DKIM_PUBLISHED_DIFFERENT:
	case DKIM_PUBLISHED_REVOKED:
	case DKIM_PUBLISHED_TESTING:
		break;
	}
	return preflight_bad(arena_printf(a, "%s: %s", name, what));
}

/* Our signatures as a receiver would find them good. */
static struct dkim_results as_passed(struct arena *a,
				     const struct preflight_message *m)
{
	struct dkim_results ret = {
		.n = m->nkeys,
		.v = arena_array(a, m->nkeys, sizeof(*ret.v)),
	};

	for (size_t i = 0; i < m->nkeys; i++)
		ret.v[i] = (struct dkim_result){
			.status = DKIM_STATUS_PASS,
			.domain = m->keys[i].domain,
			.selector = m->keys[i].selector,
		};
	return ret;
}

/* Without DMARC there is no rule of alignment; receivers then look for the same
 * domain, or one above or below. */
static bool is_related(const struct preflight_message *m, const char *author)
{
	for (size_t i = 0; i < m->nkeys; i++)
		if (domain_is_under(author, m->keys[i].domain) ||
		    domain_is_under(m->keys[i].domain, author))
			return true;
	return false;
}

static struct preflight_result
check_alignment(struct arena *a, struct dns_budget *b,
		const struct preflight_options *o,
		const struct preflight_message *m)
{
	const struct spf_result none = {.checked = false};
	const char *author = author_of(m);
	struct dkim_results dkim = as_passed(a, m);
	struct dmarc_input in = {m->facts->authors, &none, &dkim, o->dmarc};
	struct dmarc_result r;

	if (author == NULL)
		return preflight_bad("there is no author domain");
	/* RFC 9989 4.10.2: the same domain needs no walk. */
	for (size_t i = 0; i < m->nkeys; i++)
		if (strcmp(m->keys[i].domain, author) == 0)
			return preflight_good();
	dmarc_evaluate(a, b, &in, &r);
	if (r.status == DMARC_STATUS_PASS ||
	    (r.status == DMARC_STATUS_NONE && is_related(m, author)))
		return preflight_good();
	if (r.status == DMARC_STATUS_TEMPERROR)
		return preflight_unknown(r.reason);
	return preflight_bad(arena_printf(a, "no signature is aligned with %s",
					  shown(a, author)));
}

struct preflight_result preflight_dkim(struct arena *a, struct dns_budget *b,
				       const struct preflight_options *o,
				       const struct preflight_message *m)
{
	struct preflight_result ret = preflight_good();

	if (m->nkeys == 0)
		return preflight_bad(arena_printf(
			a, "not signed, %s",
			m->unsigned_why != NULL ? m->unsigned_why : "no key"));
	for (size_t i = 0; i < m->nkeys; i++)
		worsen(&ret, check_key(a, b, &m->keys[i]));
	worsen(&ret, check_alignment(a, b, o, m));
	return ret;
}

/* ---- SPF ---- */

static struct spf_query spf_query_of(struct arena *a,
				     const struct preflight_options *o,
				     const struct preflight_message *m,
				     size_t i)
{
	struct spf_query q = {
		.client = o->egress.v[i].addr,
		.helo = slice_of(o->helo),
		.receiver = o->helo,
		.now = m->now,
	};

	addr_path_parse(a, m->facts->mail, &q.sender);
	return q;
}

static struct preflight_result
spf_result_of(struct arena *a, const struct ip *ip, const struct spf_result *r)
{
	char text[IP_TEXT_MAX];
	const char *why = r->reason;

	if (r->status == SPF_STATUS_PASS)
		return preflight_good();
	why = arena_printf(a, "%s for %s at %s%s%s%s",
			   spf_status_name(r->status), ip_format(ip, text),
			   r->domain != NULL ? shown(a, r->domain)
					     : "no domain",
			   why != NULL ? " (" : "", why != NULL ? why : "",
			   why != NULL ? ")" : "");
	return r->status == SPF_STATUS_TEMPERROR ? preflight_unknown(why)
						 : preflight_bad(why);
}

struct preflight_result preflight_spf(struct arena *a, struct dns_budget *b,
				      const struct preflight_options *o,
				      const struct preflight_message *m,
				      struct spf_result *ret)
{
	struct preflight_result worst = {PREFLIGHT_NONE, NULL};

	*ret = (struct spf_result){.checked = false};
	for (size_t i = 0; i < o->egress.n && i < PREFLIGHT_EGRESS_MAX; i++) {
		struct spf_query q = spf_query_of(a, o, m, i);
		struct preflight_result r;
		struct spf_result s;

		if (q.sender.null)
			return worst;
		if (q.sender.malformed || q.sender.domain == NULL)
			return preflight_bad("MAIL FROM has no domain");
		spf_check_mailfrom(a, b, &q, &s);
		r = spf_result_of(a, &q.client, &s);
		if (r.status > worst.status)
			*ret = s;
		worsen(&worst, r);
	}
	return worst;
}

/* ---- DMARC ---- */

struct preflight_result preflight_dmarc(struct arena *a, struct dns_budget *b,
					const struct preflight_options *o,
					const struct preflight_message *m,
					const struct spf_result *spf)
{
	const char *author = author_of(m);
	struct dkim_results dkim = as_passed(a, m);
	struct dmarc_input in = {m->facts->authors, spf, &dkim, o->dmarc};
	struct dmarc_result r;

	dmarc_evaluate(a, b, &in, &r);
	if (r.status == DMARC_STATUS_PASS)
		return preflight_good();
	if (r.status == DMARC_STATUS_TEMPERROR)
		return preflight_unknown(r.reason);
	if (author != NULL && m->foreign)
		return preflight_bad(
			arena_printf(a, "%s is not ours, no key signs for it",
				     shown(a, author)));
	if (r.reason != NULL)
		return preflight_bad(r.reason);
	if (r.status == DMARC_STATUS_NONE)
		return preflight_bad("no record");
	return preflight_bad(
		arena_printf(a, "neither SPF nor DKIM is aligned with %s",
			     r.author_domain != NULL ? shown(a, r.author_domain)
						     : "the author"));
}

/* ---- before ---- */

void preflight_prefetch(struct arena *a, struct dns_budget *b,
			const struct preflight_options *o,
			const struct preflight_message *m)
{
	bool dmarc = o->mode[PREFLIGHT_DMARC] != PREFLIGHT_OFF;

	for (size_t i = 0;
	     i < m->nkeys && o->mode[PREFLIGHT_DKIM] != PREFLIGHT_OFF; i++)
		dns_prefetch(b,
			     dkim_published_name(a, m->keys[i].domain,
						 m->keys[i].selector),
			     DNS_TXT);
	if (dmarc)
		dmarc_prefetch(a, b, &o->dmarc, m->facts->authors);
	if (o->egress.n > 0 && (o->mode[PREFLIGHT_SPF] != PREFLIGHT_OFF ||
				(dmarc && m->nkeys == 0))) {
		struct spf_query q = spf_query_of(a, o, m, 0);

		q.helo = SLICE(""); /* nobody asks about it */
		spf_prefetch(a, b, &q);
	}
}
