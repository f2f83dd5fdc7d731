/*
 * The second opinion: libopendmarc on what we decided.  The only file that
 * includes it.
 *
 * It cannot judge raw input: it aligns x.com with any other .com, reads text
 * without v= as a record, and knows no tree walk, np, psd or t (RFC 7489
 * only).  So no wire text reaches it: it is given a record that is built
 * anew from the parsed one, and the author domain itself as the identifier
 * that passed, if and only if we found an aligned one.  What it then checks
 * is the step from alignment and tags to a policy.  Ours wins.
 *
 * Every call has a context of its own; the library's global state (the list
 * of top-level domains) is never loaded, so threads share nothing.  Not
 * called: opendmarc_policy_fetch_ruf() (CVE-2024-25768), anything with _query
 * (its own DNS), its From and address parsers (overflow at 8 KB).
 */
#include "dmarc/dmarc.h"

#include <string.h>

#include <opendmarc/dmarc.h>

#include "mail/domain.h"

#define RECORD_MAX 128 /* the longest that canonical_record() builds */

static u_char *bytes(const char *s)
{
	return unconst(s);
}

/* RFC 7489 knows no np: what applies to a name below the record is its sp. */
static const char *canonical_record(struct arena *a,
				    const struct dmarc_result *r)
{
	const struct dmarc_record *rec = &r->record;
	bool broken = rec->p == DMARC_P_UNSET || rec->bad_policy;
	struct strbuf b;

	strbuf_init(&b, a, RECORD_MAX);
	/* its parser wants a p, and wants it second */
	strbuf_printf(&b, "v=DMARC1; p=%s",
		      dmarc_policy_name(broken ? DMARC_P_NONE : rec->p));
	if (strcmp(r->tag, "p") != 0)
		strbuf_printf(&b, "; sp=%s", dmarc_policy_name(r->published));
	strbuf_printf(&b, "; adkim=%c; aspf=%c; pct=100",
		      rec->adkim_strict ? 's' : 'r',
		      rec->aspf_strict ? 's' : 'r');
	return strbuf_cstr(&b);
}

static bool tell_identifiers(DMARC_POLICY_T *p, const struct dmarc_result *r)
{
	u_char *author = bytes(r->author_domain);

	if (r->spf_aligned &&
	    opendmarc_policy_store_spf(p, author, DMARC_POLICY_SPF_OUTCOME_PASS,
				       DMARC_POLICY_SPF_ORIGIN_MAILFROM,
				       NULL) != DMARC_PARSE_OKAY)
		return false;
	return !r->dkim_aligned ||
	       opendmarc_policy_store_dkim(p, author, NULL,
					   DMARC_POLICY_DKIM_OUTCOME_PASS,
					   NULL) == DMARC_PARSE_OKAY;
}

/* False: it took something of our canonical input for an error. */
static bool tell(struct arena *a, DMARC_POLICY_T *p,
		 const struct dmarc_result *r)
{
	u_char *above = strcmp(r->policy_domain, r->author_domain) != 0
				? bytes(r->policy_domain)
				: NULL;

	return opendmarc_policy_store_from_domain(p, bytes(r->author_domain)) ==
		       DMARC_PARSE_OKAY &&
	       tell_identifiers(p, r) &&
	       opendmarc_policy_store_dmarc(p, bytes(canonical_record(a, r)),
					    bytes(r->author_domain),
					    above) == DMARC_PARSE_OKAY;
}

/* Its verdict as a word: "pass", or the policy of a failure. */
static const char *verdict_name(int code)
{
	switch (code) {
	case DMARC_POLICY_PASS:
		return "pass";
	case DMARC_POLICY_REJECT:
		return "reject";
	case DMARC_POLICY_QUARANTINE:
		return "quarantine";
	case DMARC_POLICY_NONE:
		return "none";
	default:
		return "an error";
	}
}

/* Hazards: an empty name is read before its start; names are cut at 256. */
static bool has_opinion(const struct dmarc_result *r)
{
	return (r->status == DMARC_STATUS_PASS ||
		r->status == DMARC_STATUS_FAIL) &&
	       r->policy_domain != NULL && r->author_domain != NULL &&
	       r->author_domain[0] != '\0' && r->policy_domain[0] != '\0' &&
	       strlen(r->author_domain) <= DOMAIN_MAX &&
	       strlen(r->policy_domain) <= DOMAIN_MAX;
}

bool dmarc_second_opinion(struct arena *a, const struct ip *client,
			  const struct dmarc_result *r, const char **diff)
{
	const char *ours, *theirs;
	char ip[IP_TEXT_MAX];
	DMARC_POLICY_T *p;

	if (!has_opinion(r))
		return true;
	/* the address is only kept, never looked at; it must not be NULL */
	p = opendmarc_policy_connect_init(bytes(ip_format(client, ip)),
					  client->family == IP_V6);
	if (p == NULL)
		return true;
	theirs = tell(a, p, r)
			 ? verdict_name(opendmarc_get_policy_to_enforce(p))
			 : "bad input";
	opendmarc_policy_connect_shutdown(p);
	/* it knows no t=y: the policy before that */
	ours = r->status == DMARC_STATUS_PASS ? "pass"
					      : dmarc_policy_name(r->published);
	if (strcmp(ours, theirs) == 0)
		return true;
	*diff = arena_printf(a, "libopendmarc says %s, mailseal %s", theirs,
			     ours);
	return false;
}
