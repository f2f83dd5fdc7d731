/*
 * explain: the same results for people (the values of a log line) and for
 * programs (JSON of the record).
 */
#include <string.h>

#include "base/json.h"
#include "eval/eval.h"

#define LOG_TEXT_MAX 128 /* bytes of one wire text in a log line */
/* Bytes of a list: what stands behind it is not to be pushed out of the line
 * (base/log.c). */
#define AUTHORS_SHOWN	 300
#define SIGNATURES_SHOWN 500
#define OVERRIDE_SHOWN	 800

static struct log_field *log_word(struct log_fields *f, const char *lead,
				  const char *name, struct slice s)
{
	return log_wire(f, lead, name, s.n > 0 ? s : SLICE("-"), LOG_WORD,
			LOG_TEXT_MAX, "");
}

void explain_authors(struct log_fields *f, const struct addr_authors *a,
		     const char *none)
{
	size_t shown = strlen("from=");

	log_list(f, "from=", "from");
	if (a->ndomains == 0)
		log_mark(f, none);
	for (size_t i = 0; i < a->ndomains; i++) {
		if (shown > AUTHORS_SHOWN) {
			log_mark(f, ",...");
			f->cut = true;
			break;
		}
		log_string(f, i > 0 ? "," : "", NULL, a->domains[i], "");
		shown += strlen(a->domains[i]) + (i > 0);
	}
	log_end(f, "");
}

static void log_spf(struct log_fields *f, const char *lead, const char *name,
		    const struct spf_result *s)
{
	/* The same for both identities: once will do. */
	bool told = s->identity == SPF_IDENTITY_MAILFROM && s->reason != NULL;

	log_object(f, lead, name);
	log_string(f, "", "result",
		   s->checked ? spf_status_name(s->status) : "skipped", "");
	if (!s->checked && told)
		log_string(f, "(", "reason", s->reason, ")");
	else if (s->checked && s->domain != NULL)
		log_string(f, ":", "domain", s->domain, "");
	log_end(f, "");
}

static void log_iprev(struct log_fields *f, const struct iprev_result *i)
{
	if (!i->checked)
		return;
	log_object(f, " iprev=", "iprev");
	log_string(f, "", "result", iprev_status_name(i->status), "");
	if (i->name != NULL)
		log_string(f, ":", "name", i->name, "");
	log_end(f, "");
}

/* Returns the bytes that the text has for it. */
static size_t log_signature(struct log_fields *f, const char *lead,
			    const struct dkim_result *r)
{
	const char *status = dkim_status_name(r->status);
	size_t n = strlen(lead) + strlen(status);

	log_object(f, lead, NULL);
	log_string(f, "", "result", status, "");
	if (r->domain != NULL && r->selector != NULL) {
		log_string(f, ":", "domain", r->domain, "");
		log_string(f, "/", "selector", r->selector, "");
		n += strlen(r->domain) + strlen(r->selector) + 2;
	}
	if (r->reason != NULL) {
		log_string(f, " (", "reason", r->reason, ")");
		n += strlen(r->reason) + 3;
	}
	log_end(f, "");
	return n;
}

static void log_dkim(struct log_fields *f, const struct dkim_results *d)
{
	size_t shown = strlen("dkim=");

	log_list(f, " dkim=", "dkim");
	if (d->n == 0)
		log_mark(f, "none");
	for (size_t i = 0; i < d->n; i++) {
		if (shown > SIGNATURES_SHOWN) {
			log_mark(f, ",...");
			f->cut = true;
			break;
		}
		shown += log_signature(f, i > 0 ? "," : "", &d->v[i]);
	}
	log_end(f, "");
}

/* "none", "pass:sealer.example", "fail:sealer.example (reason)" */
static void log_arc(struct log_fields *f, const struct arc_result *r)
{
	log_object(f, " arc=", "arc");
	log_string(f, "", "result", arc_status_name(r->status), "");
	if (r->n > 0)
		log_string(f, ":", "sealer", r->v[r->n - 1].seal_domain, "");
	if (r->reason != NULL)
		log_string(f, " (", "reason", r->reason, ")");
	log_end(f, "");
}

/* What was done, by which rule, and what had been asked for. */
static void log_disposition(struct log_fields *f, const struct verdict *v)
{
	log_string(f, " disposition=", "disposition",
		   dmarc_policy_name(v->disposition), "");
	if (v->rule != NULL)
		log_string(f, "(", "disposition_rule", v->rule, ")");
	if (v->would_be > DMARC_P_NONE)
		log_string(f, " would_be=", "would_be",
			   dmarc_policy_name(v->would_be), "");
	rules_log(f, &v->rules);
}

static void log_dns(struct log_fields *f, const struct results *r)
{
	log_object(f, " dns=", "dns");
	log_number(f, "", "queries", r->dns_queries, "");
	log_number(f, "/", "ms", r->dns_us / 1000, "ms");
	log_end(f, "");
}

void explain_client(struct log_fields *f, const struct ip *addr, bool local)
{
	char *ip = arena_alloc(f->arena, IP_TEXT_MAX);

	log_string(f, " client=", "client",
		   local ? "local" : ip_format(addr, ip), "");
}

void explain_inbound(struct log_fields *f, const struct client_facts *client,
		     const struct envelope_facts *envelope,
		     const struct results *r, const struct verdict *v)
{
	const char *word;

	explain_authors(f, &r->authors,
			r->authors.malformed ? "malformed" : "-");
	log_word(f, " mailfrom=", "mailfrom", envelope->sender)->person =
		LOG_ADDRESS;
	explain_client(f, &client->addr, client->addr.family == IP_NONE);
	log_word(f, " helo=", "helo", client->helo);
	log_spf(f, " spf_helo=", "spf_helo", &r->spf_helo);
	log_spf(f, " spf=", "spf", &r->spf_mailfrom);
	log_iprev(f, &r->iprev);
	log_dkim(f, &r->dkim);
	log_arc(f, &r->arc);
	log_string(f, " dmarc=", "dmarc", dmarc_status_name(r->dmarc.status),
		   "");
	log_disposition(f, v);
	word = policy_arc_comment(f->arena, r, v, OVERRIDE_SHOWN);
	if (word != NULL)
		log_string(f, " override=\"", "override", word, "\"");
	log_dns(f, r);
	log_string(f, " why=\"", "why", r->dmarc_explanation, "\"");
}

/* The explanation with whose words it is: it is the sender's text. */
static void json_spf(struct strbuf *b, const char *name,
		     const struct spf_result *s)
{
	json_name(b, name);
	strbuf_adds(b, "{");
	json_text(b, "result",
		  s->checked ? spf_status_name(s->status) : "skipped");
	json_text(b, "domain", s->domain);
	json_text(b, "reason", s->reason);
	json_text(b, "mechanism", s->mechanism);
	json_text(b, "explanation", spf_explanation(b->arena, s));
	strbuf_adds(b, "}");
}

static void json_iprev(struct strbuf *b, const struct iprev_result *i)
{
	if (!i->checked)
		return;
	json_name(b, "iprev");
	strbuf_adds(b, "{");
	json_text(b, "result", iprev_status_name(i->status));
	json_text(b, "name", i->name);
	json_text(b, "reason", i->reason);
	strbuf_adds(b, "}");
}

static void json_dkim(struct strbuf *b, const struct dkim_results *d)
{
	json_name(b, "dkim");
	strbuf_adds(b, "[");
	for (size_t i = 0; i < d->n; i++) {
		const struct dkim_result *r = &d->v[i];
		json_next(b);
		strbuf_adds(b, "{");
		json_text(b, "result", dkim_status_name(r->status));
		json_text(b, "domain", r->domain);
		json_text(b, "selector", r->selector);
		json_slice(b, "algorithm", r->algorithm, true);
		json_text(b, "reason", r->reason);
		strbuf_adds(b, "}");
	}
	strbuf_adds(b, "]");
}

static void json_arc(struct strbuf *b, const struct arc_result *r)
{
	json_name(b, "arc");
	strbuf_adds(b, "{");
	json_text(b, "result", arc_status_name(r->status));
	json_text(b, "reason", r->reason);
	json_bool(b, "temporary", r->temporary);
	if (r->status == ARC_STATUS_PASS)
		json_number(b, "oldest_pass", r->oldest_pass);
	json_name(b, "sealers");
	strbuf_adds(b, "[");
	for (size_t i = 0; i < r->n; i++) {
		json_next(b);
		json_wire(b, slice_of(r->v[i].seal_domain));
	}
	strbuf_adds(b, "]}");
}

static void json_dmarc(struct strbuf *b, const struct results *r)
{
	const struct dmarc_result *d = &r->dmarc;

	json_name(b, "dmarc");
	strbuf_adds(b, "{");
	json_text(b, "result", dmarc_status_name(d->status));
	json_text(b, "domain", d->author_domain);
	json_text(b, "policy_domain", d->policy_domain);
	json_text(b, "org_domain", d->org_domain);
	json_text(b, "tag", d->tag);
	json_text(b, "policy", dmarc_policy_name(d->policy));
	json_text(b, "reason", d->reason);
	json_text(b, "explanation", r->dmarc_explanation);
	json_text(b, "second_opinion", r->second_opinion);
	strbuf_adds(b, "}");
}

const char *explain_json(struct arena *a, const struct results *r,
			 struct slice authres)
{
	struct strbuf b;

	strbuf_init(&b, a, 1 << 20);
	strbuf_adds(&b, "{");
	json_spf(&b, "spf_helo", &r->spf_helo);
	json_spf(&b, "spf", &r->spf_mailfrom);
	json_iprev(&b, &r->iprev);
	json_dkim(&b, &r->dkim);
	json_arc(&b, &r->arc);
	json_dmarc(&b, r);
	json_slice(&b, "authres", authres, true);
	strbuf_adds(&b, "}");
	return strbuf_cstr(&b);
}
