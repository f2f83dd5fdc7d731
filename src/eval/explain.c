/*
 * explain: the same results for people (one log line) and for programs
 * (JSON).  Wire text is escaped here, once.
 */
#include "base/json.h"
#include "eval/eval.h"

#define LOG_TEXT_MAX   128 /* bytes of one wire text in a log line */
#define LINE_MAX_BYTES 4096
/* Bytes of a list: what stands behind it is not to be pushed out of the line
 * (base/log.c). */
#define AUTHORS_SHOWN	 300
#define SIGNATURES_SHOWN 500
#define OVERRIDE_SHOWN	 800

static void add_wire(struct strbuf *b, struct slice s)
{
	if (s.n == 0)
		strbuf_adds(b, "-");
	else
		strbuf_add_word(b, s, LOG_TEXT_MAX);
}

static void add_domains(struct strbuf *b, const struct addr_authors *a)
{
	if (a->ndomains == 0)
		strbuf_adds(b, a->malformed ? "malformed" : "-");
	for (size_t i = 0; i < a->ndomains; i++) {
		if (b->n > AUTHORS_SHOWN) {
			strbuf_adds(b, ",...");
			break;
		}
		strbuf_printf(b, "%s%s", i > 0 ? "," : "", a->domains[i]);
	}
}

static void add_spf(struct strbuf *b, const char *key,
		    const struct spf_result *s)
{
	if (!s->checked) {
		strbuf_printf(b, " %s=skipped", key);
		/* The same for both identities: once will do. */
		if (s->identity == SPF_IDENTITY_MAILFROM && s->reason != NULL)
			strbuf_printf(b, "(%s)", s->reason);
		return;
	}
	strbuf_printf(b, " %s=%s%s%s", key, spf_status_name(s->status),
		      s->domain != NULL ? ":" : "",
		      s->domain != NULL ? s->domain : "");
}

static void add_iprev(struct strbuf *b, const struct iprev_result *i)
{
	if (i->checked)
		strbuf_printf(b, " iprev=%s%s%s", iprev_status_name(i->status),
			      i->name != NULL ? ":" : "",
			      i->name != NULL ? i->name : "");
}

const char *explain_dkim(struct arena *a, const struct dkim_results *d)
{
	struct strbuf b;

	strbuf_init(&b, a, LINE_MAX_BYTES);
	strbuf_adds(&b, "dkim=");
	if (d->n == 0)
		strbuf_adds(&b, "none");
	for (size_t i = 0; i < d->n; i++) {
		const struct dkim_result *r = &d->v[i];

		if (b.n > SIGNATURES_SHOWN) {
			strbuf_adds(&b, ",...");
			break;
		}
		strbuf_printf(&b, "%s%s", i > 0 ? "," : "",
			      dkim_status_name(r->status));
		if (r->domain != NULL && r->selector != NULL)
			strbuf_printf(&b, ":%s/%s", r->domain, r->selector);
		if (r->reason != NULL)
			strbuf_printf(&b, " (%s)", r->reason);
	}
	return strbuf_cstr(&b);
}

/* "none", "pass:sealer.example", "fail:sealer.example (reason)" */
static const char *explain_arc(struct arena *a, const struct arc_result *r)
{
	return arena_printf(a, "%s%s%s%s%s%s", arc_status_name(r->status),
			    r->n > 0 ? ":" : "",
			    r->n > 0 ? r->v[r->n - 1].seal_domain : "",
			    r->reason != NULL ? " (" : "",
			    r->reason != NULL ? r->reason : "",
			    r->reason != NULL ? ")" : "");
}

/* What was done, by which rule, and what had been asked for. */
static void add_disposition(struct strbuf *b, const struct verdict *v,
			    const char *rules)
{
	strbuf_printf(b, " disposition=%s", dmarc_policy_name(v->disposition));
	if (v->rule != NULL)
		strbuf_printf(b, "(%s)", v->rule);
	if (v->would_be > DMARC_P_NONE)
		strbuf_printf(b, " would_be=%s",
			      dmarc_policy_name(v->would_be));
	strbuf_adds(b, rules);
}

const char *explain_inbound(struct arena *a, const struct client_facts *client,
			    const struct envelope_facts *envelope,
			    const struct results *r, const struct verdict *v)
{
	struct strbuf b;
	char ip[IP_TEXT_MAX];
	const char *word;

	strbuf_init(&b, a, 4 * LINE_MAX_BYTES);
	strbuf_adds(&b, "from=");
	add_domains(&b, &r->authors);
	strbuf_adds(&b, " mailfrom=");
	add_wire(&b, envelope->sender);
	strbuf_printf(&b, " client=%s",
		      client->addr.family == IP_NONE
			      ? "local"
			      : ip_format(&client->addr, ip));
	strbuf_adds(&b, " helo=");
	add_wire(&b, client->helo);
	add_spf(&b, "spf_helo", &r->spf_helo);
	add_spf(&b, "spf", &r->spf_mailfrom);
	add_iprev(&b, &r->iprev);
	strbuf_printf(&b, " %s arc=%s dmarc=%s", explain_dkim(a, &r->dkim),
		      explain_arc(a, &r->arc),
		      dmarc_status_name(r->dmarc.status));
	add_disposition(&b, v, rules_text(a, &v->rules));
	word = policy_arc_comment(a, r, v, OVERRIDE_SHOWN);
	if (word != NULL)
		strbuf_printf(&b, " override=\"%s\"", word);
	strbuf_printf(&b, " dns=%u/%lldms why=\"%s\"", r->dns_queries,
		      (long long)(r->dns_us / 1000), r->dmarc_explanation);
	return strbuf_cstr(&b);
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
		json_string(b, slice_of(r->v[i].seal_domain));
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
