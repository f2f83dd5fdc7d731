/*
 * The policy of a domain as text: the names that were asked, the
 * organizational domain, the record, the policy, alignment and reports, each
 * with the reason.  Nothing is decided here.
 */
#include "cmd/dmarc_view.h"

#include <string.h>

#include "cmd/dmarc_text.h"
#include "mail/domain.h"

#define TEXT_MAX  4096 /* bytes of a record that are shown */
#define SHOWN_MAX 100  /* of a text that is no record, and of a URI */
#define ASKED_MAX 10   /* URIs whose host may be asked whether it agrees */
#define URIS_MAX  50   /* that are shown */

/* ---- the first line ---- */

static void show_failure(struct dmarc_view *v, struct strbuf *b)
{
	const char *name = v->domain;
	const struct dns_answer *r;

	if (v->node != NULL) {
		r = dmarc_view_ask(v, name, DNS_A);
		strbuf_printf(b, "whether %s exists is unknown: %s", name,
			      r->reason);
		return;
	}
	name = v->names[v->nnames - 1];
	r = dmarc_view_records(v, name);
	strbuf_printf(b, "_dmarc.%s: %s", name, r->reason);
}

static void show_summary(struct dmarc_view *v, struct strbuf *b)
{
	const struct dmarc_result *r = &v->result;

	strbuf_printf(b, "%s: ", v->domain);
	if (r->status == DMARC_STATUS_TEMPERROR) {
		strbuf_adds(b, "temporary failure  (");
		show_failure(v, b);
		strbuf_adds(b, ")\n");
	} else if (r->policy_domain == NULL) {
		strbuf_printf(b, "no policy  (%s)\n",
			      r->reason != NULL ? r->reason : "no record");
	} else if (dmarc_view_is_broken(&r->record)) {
		strbuf_printf(b, "none  (no valid policy at _dmarc.%s)\n",
			      r->policy_domain);
	} else {
		strbuf_printf(b, "%s  (%s=%s at _dmarc.%s%s)\n",
			      dmarc_policy_name(r->policy), r->tag,
			      dmarc_policy_name(r->published), r->policy_domain,
			      r->record.testing ? ", t=y" : "");
	}
}

/* ---- the names ---- */

static const struct dmarc_node *node_at(const struct dmarc_view *v,
					const char *name)
{
	for (size_t i = 0; i < v->walk.n; i++)
		if (strcmp(v->walk.v[i].name, name) == 0)
			return &v->walk.v[i];
	return NULL;
}

/* RFC 9989 4.10.1 and 4.10.2: what a record is good for. */
static void show_use(const struct dmarc_view *v, const struct dmarc_node *node,
		     struct strbuf *b)
{
	enum dmarc_psd psd = node->record.psd;

	if (node == v->node)
		strbuf_adds(b, v->result.reason != NULL &&
					       v->result.policy_domain == NULL
				       ? ", of no use"
				       : ", the policy");
	else if (v->walk.tempfail)
		strbuf_adds(b, ", not used: a look-up failed");
	else if (strcmp(node->name, v->walk.org) == 0)
		strbuf_printf(b, ", not the policy: %s has its own", v->domain);
	else if (psd == DMARC_PSD_Y)
		strbuf_adds(b, ", not the policy: there is one below");
	else
		strbuf_printf(b,
			      ", not used: it is neither at %s nor at its "
			      "organizational domain",
			      v->domain);
	if (psd != DMARC_PSD_U && !v->result.by_psl)
		strbuf_printf(b, "; psd=%c ends the walk",
			      psd == DMARC_PSD_Y ? 'y' : 'n');
}

/* Texts that are no records, but look as if they should be. */
static void show_mistakes(const struct dns_answer *r, struct strbuf *b)
{
	struct dmarc_record record;

	for (size_t i = 0; i < r->n; i++) {
		struct slice text = r->rr[i].data;
		const char *mistake = dmarc_text_mistake(text);
		if (mistake == NULL || dmarc_record_parse(text, &record))
			continue;
		strbuf_printf(b, "    not a record, because %s: ", mistake);
		strbuf_add_escaped(b, text, SHOWN_MAX);
		strbuf_addc(b, '\n');
	}
}

static void show_found(const struct dmarc_view *v, const char *name,
		       const struct dns_answer *r, struct strbuf *b)
{
	struct slice text;
	unsigned records = dmarc_view_count(r, &text);

	if (records > 1)
		strbuf_printf(b, "%u records, all discarded (%s)", records,
			      v->result.by_psl ? "RFC 7489 6.6.3"
					       : "RFC 9989 4.10");
	else if (records == 0)
		strbuf_printf(b, "no record (%zu other text%s)", r->n,
			      r->n == 1 ? "" : "s");
	else
		strbuf_adds(b, "a record");
	if (records == 1)
		show_use(v, node_at(v, name), b);
	strbuf_addc(b, '\n');
	show_mistakes(r, b);
}

static void show_name(struct dmarc_view *v, const char *name, struct strbuf *b)
{
	const struct dns_answer *r = dmarc_view_records(v, name);

	strbuf_printf(b, "  _dmarc.%s: ", name);
	switch (r->status) {
	case DNS_FOUND:
		show_found(v, name, r, b);
		break;
	case DNS_NODATA:
		strbuf_adds(b, "no record (no text at this name)\n");
		break;
	case DNS_NXDOMAIN:
		strbuf_adds(b, "no record (no such name)\n");
		break;
	case DNS_TEMPFAIL:
		strbuf_printf(b,
			      "temporary failure (%s), nothing more was "
			      "asked\n",
			      r->reason);
		break;
	}
}

static void show_names(struct dmarc_view *v, struct strbuf *b)
{
	strbuf_adds(b, "\nNames that were asked for a record:\n");
	for (size_t i = 0; i < v->nnames; i++) {
		show_name(v, v->names[i], b);
		if (i == 0 && v->nnames > 1 && !v->result.by_psl &&
		    domain_labels(v->names[0]) > domain_labels(v->names[1]) + 1)
			strbuf_adds(b, "  (names between these two are not "
				       "asked: RFC 9989 4.10)\n");
	}
}

static const char *org_reason(const struct dmarc_view *v)
{
	const struct dmarc_walk *w = &v->walk;
	const struct dmarc_node *last;

	if (v->result.by_psl)
		return "by the public suffix list";
	if (w->n == 0)
		return "because no record was found";
	last = &w->v[w->n - 1];
	if (last->record.psd == DMARC_PSD_N)
		return "whose record has psd=n";
	if (strcmp(last->name, w->org) != 0)
		return arena_printf(v->arena,
				    "one label below %s, which has psd=y",
				    last->name);
	return w->n == 1 ? "the only name with a record"
			 : "the shortest name with a record";
}

static void show_org(const struct dmarc_view *v, struct strbuf *b)
{
	if (v->walk.tempfail && !v->result.by_psl)
		strbuf_adds(b, "Organizational domain: unknown, because a "
			       "look-up failed\n");
	else
		strbuf_printf(b, "Organizational domain: %s, %s\n", v->walk.org,
			      org_reason(v));
}

/* ---- the record ---- */

static void show_record(struct dmarc_view *v, struct strbuf *b)
{
	const struct dmarc_record *r = &v->node->record;
	struct slice text = {NULL, 0};

	dmarc_view_count(dmarc_view_records(v, v->node->name), &text);
	strbuf_printf(b, "\nRecord at _dmarc.%s:\n  ", v->node->name);
	strbuf_add_escaped(b, text, TEXT_MAX);
	strbuf_addc(b, '\n');
	dmarc_text_tags(b, text);
	if (r->p == DMARC_P_UNSET && !r->bad_policy)
		strbuf_adds(b, "  (there is no p)\n");
	if (dmarc_view_is_broken(r))
		strbuf_printf(b,
			      "  Without a valid policy %s (RFC 9989 "
			      "4.10.1).\n",
			      r->has_rua ? "this is p=none, because rua has a "
					   "usable URI"
					 : "and a usable URI in rua it is as "
					   "if there were no record");
}

/* ---- the policy ---- */

/* Why sp, np or p of a record above the domain? */
static void show_existence(struct dmarc_view *v, struct strbuf *b)
{
	if (!dmarc_view_existence_matters(v, &v->result))
		strbuf_adds(b, "; whether it exists does not matter, as there "
			       "is no np");
	else if (slice_is(slice_of(v->result.tag), "np"))
		strbuf_adds(b, " and does not exist");
	else
		strbuf_adds(b, " and exists, so np does not apply");
	if (slice_is(slice_of(v->result.tag), "p"))
		strbuf_adds(b, "; there is no sp");
}

static void show_reason(struct dmarc_view *v, struct strbuf *b)
{
	const struct dmarc_result *r = &v->result;

	if (dmarc_view_is_broken(&r->record)) {
		strbuf_adds(b, "  p=none is taken for the record without a "
			       "valid policy\n");
		return;
	}
	strbuf_printf(b, "  %s=%s applies: ", r->tag,
		      dmarc_policy_name(r->published));
	if (strcmp(r->policy_domain, v->domain) == 0) {
		strbuf_adds(b, "the domain has its own record\n");
		return;
	}
	strbuf_printf(b, "%s has no record of its own", v->domain);
	show_existence(v, b);
	strbuf_addc(b, '\n');
}

static void show_test(const struct dmarc_result *r, struct strbuf *b)
{
	if (!r->record.testing)
		return;
	if (r->published == r->policy)
		strbuf_adds(b, "  t=y changes nothing\n");
	else
		strbuf_printf(b, "  t=y: %s becomes %s\n",
			      dmarc_policy_name(r->published),
			      dmarc_policy_name(r->policy));
}

static void show_policy(struct dmarc_view *v, struct strbuf *b)
{
	const struct dmarc_result *r = &v->result;

	strbuf_printf(b, "\nPolicy for mail from %s: ", v->domain);
	if (r->status == DMARC_STATUS_TEMPERROR) {
		strbuf_printf(b,
			      "unknown\n  %s=%s applies if the name exists, "
			      "np=%s if it does not\n",
			      r->tag, dmarc_policy_name(r->published),
			      dmarc_policy_name(r->record.np));
	} else {
		strbuf_printf(b, "%s\n", dmarc_policy_name(r->policy));
		show_reason(v, b);
	}
	show_test(r, b);
}

/* RFC 9989 4.4: strict is the name itself, relaxed its organization. */
static const char *wanted(const struct dmarc_view *v, bool strict)
{
	if (strict)
		return arena_printf(v->arena, "%s itself (strict)", v->domain);
	if (v->walk.tempfail && !v->result.by_psl)
		return "of the same organizational domain (relaxed), which is "
		       "unknown now";
	return arena_printf(v->arena,
			    "whose organizational domain is %s (relaxed)",
			    v->walk.org);
}

static void show_alignment(const struct dmarc_view *v, struct strbuf *b)
{
	const struct dmarc_record *r = &v->result.record;

	strbuf_printf(b,
		      "A message passes when one of these is true:\n"
		      "  SPF passes for a MAIL FROM domain %s\n"
		      "  DKIM passes for a d= %s\n",
		      wanted(v, r->aspf_strict), wanted(v, r->adkim_strict));
}

/* ---- reports ---- */

/* The host that reports are sent to, canonical; NULL: not known. */
static const char *host_of(const struct dmarc_view *v, struct slice uri)
{
	struct slice rest = uri;
	ptrdiff_t at;

	slice_cut(&rest, ':');
	if (!slice_starts_ci(uri, "mailto:") || rest.p == NULL)
		return NULL;
	rest = slice_cut(&rest, '?');
	rest = slice_cut(&rest, '!');
	at = slice_rchr(rest, '@');
	return at < 0 ? NULL
		      : domain_canon(v->arena,
				     slice_from(rest, (size_t)at + 1));
}

/* RFC 9990 4: a host of another organization has to agree. */
static void show_agreement(struct dmarc_view *v, const char *host,
			   struct strbuf *b)
{
	const char *name = arena_printf(v->arena, "%s._report._dmarc.%s",
					v->node->name, host);
	const struct dns_answer *r = dmarc_view_ask(v, name, DNS_TXT);
	bool agrees = false;

	for (size_t i = 0; i < r->n; i++)
		agrees = agrees || slice_starts(r->rr[i].data, "v=DMARC1");
	if (agrees)
		strbuf_printf(b, ", %s agrees", host);
	else if (r->status == DNS_TEMPFAIL)
		strbuf_printf(b, ", whether %s agrees is unknown (%s)", host,
			      r->reason);
	else
		strbuf_printf(b,
			      ", not used: %s does not agree with v=DMARC1 "
			      "at %s",
			      host, name);
}

static const char *malformation(struct slice uri)
{
	if (slice_chr(uri, ' ') >= 0)
		return ", malformed: it holds a space";
	return slice_chr(uri, ':') < 0 ? ", malformed: begin it with mailto:"
				       : ", malformed";
}

/* Of another organization than the policy?  What is below the organizational
 * domain is taken for a part of it. */
static bool is_foreign(const struct dmarc_view *v, const char *host)
{
	/* of a PSD's record it is the PSD itself */
	const char *org = domain_is_under(v->node->name, v->walk.org)
				  ? v->walk.org
				  : v->node->name;

	if (v->walk.tempfail && !v->result.by_psl)
		return false; /* nobody knows */
	return !domain_is_under(host, org);
}

static void show_uri(struct dmarc_view *v, struct slice uri, bool may_ask,
		     struct strbuf *b)
{
	const char *host = host_of(v, uri);

	strbuf_adds(b, "    ");
	strbuf_add_escaped(b, uri, SHOWN_MAX);
	if (!dmarc_text_uri_ok(v->arena, uri))
		strbuf_adds(b, malformation(uri));
	else if (!slice_starts_ci(uri, "mailto:"))
		strbuf_adds(b, ", not used by receivers that know mailto: "
			       "only");
	else if (host == NULL)
		strbuf_adds(b, ", no address");
	else if (is_foreign(v, host) && may_ask)
		show_agreement(v, host, b);
	else if (is_foreign(v, host))
		strbuf_printf(b, ", whether %s agrees was not asked", host);
	strbuf_addc(b, '\n');
}

static void show_uris(struct dmarc_view *v, const char *what, struct slice list,
		      struct strbuf *b)
{
	struct slice uri;
	unsigned n = 0;

	strbuf_printf(b, "  %s:", what);
	if (!dmarc_text_uri(&list, &uri)) {
		strbuf_adds(b, " nowhere\n");
		return;
	}
	strbuf_addc(b, '\n');
	do {
		if (n < URIS_MAX)
			show_uri(v, uri, n < ASKED_MAX, b);
		n++;
	} while (dmarc_text_uri(&list, &uri));
	if (n > URIS_MAX)
		strbuf_printf(b, "    ... and %u more\n", n - URIS_MAX);
}

static void show_reports(struct dmarc_view *v, struct strbuf *b)
{
	strbuf_adds(b, "Reports go to:\n");
	show_uris(v, "aggregate reports (rua)", v->result.record.rua, b);
	show_uris(v, "failure reports (ruf)", v->result.record.ruf, b);
}

/* ---- by the public suffix list ---- */

static void show_list(const struct dmarc_view *v, struct strbuf *b)
{
	const struct dmarc_result *l = &v->list;

	strbuf_adds(b, "\nBy the public suffix list, as RFC 7489 had it:\n");
	strbuf_printf(b, "  organizational domain %s\n", v->list_org);
	if (l->status == DMARC_STATUS_TEMPERROR)
		strbuf_adds(b, "  policy unknown: a look-up failed\n");
	else if (l->policy_domain == NULL)
		strbuf_adds(b, "  no policy\n");
	else
		strbuf_printf(b, "  policy %s (%s at _dmarc.%s)\n",
			      dmarc_policy_name(l->policy), l->tag,
			      l->policy_domain);
	if (v->differs)
		strbuf_adds(b, "  DIFFERENT from the tree walk\n");
	else if (l->status != DMARC_STATUS_TEMPERROR &&
		 v->result.status != DMARC_STATUS_TEMPERROR)
		strbuf_adds(b, "  the same as by the tree walk\n");
}

void dmarc_show(struct dmarc_view *v, struct strbuf *b)
{
	show_summary(v, b);
	show_names(v, b);
	show_org(v, b);
	if (v->node != NULL)
		show_record(v, b);
	if (v->result.policy_domain != NULL) {
		show_policy(v, b);
		show_alignment(v, b);
		show_reports(v, b);
	}
	if (v->options.discovery == DMARC_DISCOVERY_COMPARE)
		show_list(v, b);
}
