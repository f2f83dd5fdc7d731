/*
 * decide: facts and results in, a verdict out.  Pure.
 *
 * Direction: the listener first, then the login, then the client's network;
 * mail from loopback is not outbound by itself, since content filters re-inject
 * inbound mail from there; what has a Received field is never taken for mail
 * that began on this host.
 *
 * Disposition: first what is asked for, then how much of it is applied.  Mail
 * that nobody may judge by its address (local submission, our own servers) is
 * left alone: a rejection there would bounce what the border has accepted.
 * Replies and marks are made of constants and canonical domains alone.
 */
#include "eval/eval.h"

#include <string.h>

/* Bytes of a domain in a reply: with three of them the line stays short. */
#define REPLY_DOMAIN_MAX 100
#define MARK_MAX	 512

static bool in_nets(const struct ip_net *nets, size_t n, const struct ip *ip)
{
	for (size_t i = 0; i < n; i++)
		if (ip_net_has(&nets[i], ip))
			return true;
	return false;
}

bool policy_trusted(const struct eval_env *env,
		    const struct client_facts *client)
{
	return !client->local &&
	       in_nets(env->trusted, env->ntrusted, &client->addr);
}

const char *policy_exempt(const struct eval_env *env,
			  const struct client_facts *client)
{
	if (client->local)
		return "local submission";
	/* Without SPF a failure is no proof. */
	if (client->addr.family == IP_NONE)
		return "client address unknown";
	if (policy_trusted(env, client))
		return "client in networks.trusted";
	if (in_nets(env->internal, env->ninternal, &client->addr))
		return "client in networks.internal";
	return NULL;
}

bool policy_over_limit(const struct field_list *fields)
{
	return fields->trouble == FIELD_TOO_MANY ||
	       fields->trouble == FIELD_TOO_LONG ||
	       fields->trouble == FIELD_TOO_LARGE;
}

/* RFC 9989 5.3.1: no domain, or too many, whose policy could be asked for. */
static bool is_unauthored(const struct results *r)
{
	return r->dmarc.status == DMARC_STATUS_PERMERROR &&
	       (r->authors.malformed || r->authors.ndomains == 0 ||
		r->authors.ndomains > DMARC_AUTHORS_MAX);
}

static enum dmarc_policy asked_for(const struct policy_options *o,
				   const struct results *r)
{
	if (is_unauthored(r))
		return o->over_limit ? DMARC_P_QUARANTINE : DMARC_P_REJECT;
	if (r->dmarc.status == DMARC_STATUS_FAIL &&
	    r->dmarc.policy > DMARC_P_NONE)
		return r->dmarc.policy;
	return DMARC_P_NONE;
}

static enum dmarc_policy applied(const struct policy_options *o,
				 enum dmarc_policy asked, const char **rule)
{
	if (asked == DMARC_P_NONE) {
		*rule = NULL;
		return DMARC_P_NONE;
	}
	*rule = o->exempt;
	if (o->exempt != NULL)
		return DMARC_P_NONE;
	switch (o->disposition) {
	case DISPOSITION_MONITOR:
		break;
	case DISPOSITION_QUARANTINE:
		*rule = "quarantine";
		return DMARC_P_QUARANTINE;
	case DISPOSITION_HONOR:
		*rule = "honor";
		return asked;
	}
	*rule = "monitor";
	return DMARC_P_NONE;
}

static const char *reason_of(const struct results *r)
{
	return r->dmarc.reason != NULL ? r->dmarc.reason : "no author domain";
}

/* RFC 9989 9.1: the words of Authentication-Results. */
static const char *mark_of(struct arena *a, const struct results *r)
{
	struct strbuf b;

	strbuf_init(&b, a, MARK_MAX);
	strbuf_printf(&b, "dmarc=%s", dmarc_status_name(r->dmarc.status));
	if (r->dmarc.author_domain != NULL)
		strbuf_printf(&b, " header.from=%s policy.dmarc=%s",
			      r->dmarc.author_domain,
			      dmarc_policy_name(r->dmarc.policy));
	else
		strbuf_printf(&b, " reason=\"%s\"", reason_of(r));
	return strbuf_cstr(&b);
}

static void quarantine(struct arena *a, const struct policy_options *o,
		       const struct results *r, struct verdict *ret)
{
	ret->tag = o->quarantine != QUARANTINE_HOLD;
	ret->hold = o->quarantine != QUARANTINE_TAG;
	ret->mark = mark_of(a, r);
}

/* The end of a long domain says whose it is. */
static void add_domain(struct strbuf *b, const char *domain)
{
	size_t n = strlen(domain);

	if (n > REPLY_DOMAIN_MAX)
		strbuf_printf(b, "...%s", domain + n - REPLY_DOMAIN_MAX + 3);
	else
		strbuf_adds(b, domain);
}

static void add_spf(struct strbuf *b, const struct spf_result *s)
{
	if (!s->checked) {
		strbuf_adds(b, "SPF not checked");
		return;
	}
	strbuf_printf(b, "SPF %s", spf_status_name(s->status));
	if (s->domain == NULL)
		return;
	strbuf_adds(b, " for ");
	add_domain(b, s->domain);
	if (s->status == SPF_STATUS_PASS)
		strbuf_adds(b, " not aligned");
}

/* The signature that says most: one that passes, else the first. */
static const struct dkim_result *telling(const struct dkim_results *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].status == DKIM_STATUS_PASS)
			return &d->v[i];
	return d->n > 0 ? &d->v[0] : NULL;
}

static void add_dkim(struct strbuf *b, const struct dkim_results *d)
{
	const struct dkim_result *s = telling(d);

	if (s == NULL) {
		strbuf_adds(b, "no DKIM signature");
		return;
	}
	strbuf_printf(b, "DKIM %s", dkim_status_name(s->status));
	if (s->domain == NULL)
		return;
	strbuf_adds(b, " for ");
	add_domain(b, s->domain);
	if (s->status == DKIM_STATUS_PASS)
		strbuf_adds(b, " not aligned");
}

/* RFC 7372 3.3: more than one authentication check failed. */
static bool both_failed(const struct results *r)
{
	const struct spf_result *s = &r->spf_mailfrom;
	const struct dkim_result *d = telling(&r->dkim);

	return s->checked &&
	       (s->status == SPF_STATUS_FAIL ||
		s->status == SPF_STATUS_SOFTFAIL) &&
	       d != NULL && d->status != DKIM_STATUS_PASS;
}

/* RFC 9989 7.2: the text names DMARC and the domain. */
static const char *dmarc_text(struct arena *a, const struct results *r)
{
	struct strbuf b;

	strbuf_init(&b, a, SMTP_REPLY_MAX);
	strbuf_adds(&b, "Email rejected per DMARC policy for ");
	add_domain(&b, r->dmarc.author_domain);
	strbuf_adds(&b, ": ");
	add_spf(&b, &r->spf_mailfrom);
	strbuf_adds(&b, ", ");
	add_dkim(&b, &r->dkim);
	return strbuf_cstr(&b);
}

static const char *from_text(struct arena *a, const struct results *r)
{
	return arena_printf(a,
			    "Email rejected, the domain of its author cannot "
			    "be told (RFC 5322 3.6 From): %s",
			    reason_of(r));
}

static struct smtp_reply reply_of(struct arena *a, const struct results *r,
				  const char *coaching)
{
	bool unauthored = is_unauthored(r);

	return (struct smtp_reply){
		"550", !unauthored && both_failed(r) ? "5.7.26" : "5.7.1",
		reply_text(a, unauthored ? from_text(a, r) : dmarc_text(a, r),
			   coaching != NULL ? coaching : "")};
}

void policy_decide(struct arena *a, const struct policy_options *o,
		   const struct results *r, struct verdict *ret)
{
	*ret = (struct verdict){.action = VERDICT_ACCEPT};
	ret->would_be = asked_for(o, r);
	ret->disposition = applied(o, ret->would_be, &ret->rule);
	if (ret->disposition == DMARC_P_QUARANTINE) {
		quarantine(a, o, r, ret);
	} else if (ret->disposition == DMARC_P_REJECT) {
		ret->action = VERDICT_REJECT;
		ret->reply = reply_of(a, r, o->coaching);
	}
}

/* A content filter or a forwarder of this host hands in what came from outside:
 * that it claims to be from a domain of ours gives it no right to a signature.
 */
static bool is_reinjected(const struct client_facts *client, bool received)
{
	return received && (client->local || ip_is_loopback(&client->addr));
}

enum mail_direction policy_direction(const struct direction_options *o,
				     const struct client_facts *client,
				     const struct envelope_facts *envelope,
				     bool received, const char **why)
{
	if (o->forced >= 0) {
		*why = "listener";
		return (enum mail_direction)o->forced;
	}
	if (envelope->login.n > 0) {
		*why = "login";
		return MAIL_OUTBOUND;
	}
	if (!client->local && !in_nets(o->sign, o->nsign, &client->addr)) {
		*why = "default";
		return MAIL_INBOUND;
	}
	if (!o->sign_reinjected && is_reinjected(client, received)) {
		*why = "re-injected";
		return MAIL_INBOUND;
	}
	*why = client->local ? "local-submission" : "networks.sign";
	return MAIL_OUTBOUND;
}

const char *policy_signing_domain(const struct addr_authors *authors,
				  const char **why)
{
	if (authors->malformed) {
		*why = authors->reason;
		return NULL;
	}
	if (authors->ndomains == 0) {
		*why = "no author domain";
		return NULL;
	}
	if (authors->ndomains > 1) {
		*why = "authors of several domains";
		return NULL;
	}
	*why = NULL;
	return authors->domains[0];
}
