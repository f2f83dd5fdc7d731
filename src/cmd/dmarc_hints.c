/*
 * What the owner of a domain may want to change.  Each function is one hint:
 * it looks whether it applies and writes its line.
 */
#include "cmd/dmarc_view.h"

#include <string.h>

#include "cmd/dmarc_text.h"
#include "mail/domain.h"

/* A text that was meant as a record.  True: there is one. */
static bool hint_mistake(struct dmarc_view *v, const char *name,
			 struct strbuf *b)
{
	const struct dns_answer *r = dmarc_view_records(v, name);
	struct slice text;

	if (dmarc_view_count(r, &text) > 0)
		return false;
	for (size_t i = 0; i < r->n; i++) {
		if (dmarc_text_mistake(r->rr[i].data) == NULL)
			continue;
		strbuf_printf(b,
			      "  Mend the text at _dmarc.%s: a record begins "
			      "with v=DMARC1 and a semicolon\n",
			      name);
		return true;
	}
	return false;
}

static bool hint_mistakes(struct dmarc_view *v, struct strbuf *b)
{
	bool any = false;

	for (size_t i = 0; i < v->nnames; i++)
		if (hint_mistake(v, v->names[i], b))
			any = true;
	return any;
}

/* At the domain itself, or where a zone puts a name whose last dot was
 * forgotten. */
static bool hint_misplaced(struct dmarc_view *v, struct strbuf *b)
{
	const char *places[] = {
		v->domain,
		arena_printf(v->arena, "_dmarc.%s.%s", v->domain, v->domain)};
	struct slice text;
	bool any = false;

	for (size_t i = 0; i < 2; i++) {
		const struct dns_answer *r =
			dmarc_view_ask(v, places[i], DNS_TXT);
		if (dmarc_view_count(r, &text) == 0)
			continue;
		strbuf_printf(b,
			      "  The record at %s is where nobody looks: "
			      "it belongs to _dmarc.%s\n",
			      places[i], v->domain);
		any = true;
	}
	return any;
}

static void hint_no_record(struct dmarc_view *v, struct strbuf *b)
{
	const char *org = v->walk.org;
	bool any = hint_mistakes(v, b);

	if (v->walk.n > 0 || v->walk.duplicates || v->walk.tempfail ||
	    hint_misplaced(v, b) || any || domain_labels(org) < 2)
		return;
	strbuf_printf(b,
		      "  Begin with a record at _dmarc.%s: v=DMARC1; p=none;"
		      " rua=mailto:postmaster@%s\n",
		      org, org);
}

static void hint_several(struct dmarc_view *v, struct strbuf *b)
{
	struct slice text;

	for (size_t i = 0; i < v->nnames; i++)
		if (dmarc_view_count(dmarc_view_records(v, v->names[i]),
				     &text) > 1)
			strbuf_printf(b,
				      "  Keep one record at _dmarc.%s: of "
				      "several none counts\n",
				      v->names[i]);
}

/* RFC 9989 4.10.1: not the policy of names below, unless psd=n makes it so. */
static void hint_between(struct dmarc_view *v, struct strbuf *b)
{
	for (size_t i = 0; i < v->walk.n && !v->walk.tempfail; i++) {
		const struct dmarc_node *node = &v->walk.v[i];
		if (node == v->node || node->record.psd != DMARC_PSD_U ||
		    strcmp(node->name, v->walk.org) == 0)
			continue;
		strbuf_printf(b,
			      "  The record at _dmarc.%s is for mail from "
			      "%s alone; with psd=n it would be for names "
			      "below too, and %s an organizational domain\n",
			      node->name, node->name, node->name);
	}
}

static void hint_broken(struct dmarc_view *v, struct strbuf *b)
{
	if (v->node != NULL && dmarc_view_is_broken(&v->node->record))
		strbuf_printf(b,
			      "  Mend the record at _dmarc.%s: p, and sp "
			      "and np if they are there, are none, "
			      "quarantine or reject\n",
			      v->node->name);
}

static bool has_policy(const struct dmarc_view *v)
{
	return v->result.policy_domain != NULL &&
	       v->result.status != DMARC_STATUS_TEMPERROR &&
	       !dmarc_view_is_broken(&v->result.record);
}

static void hint_none(struct dmarc_view *v, struct strbuf *b)
{
	if (has_policy(v) && v->result.published == DMARC_P_NONE)
		strbuf_printf(b,
			      "  %s=none: nothing is asked of receivers; "
			      "mail that fails is delivered like other "
			      "mail\n",
			      v->result.tag);
}

static void hint_test(struct dmarc_view *v, struct strbuf *b)
{
	if (has_policy(v) && v->result.policy != v->result.published)
		strbuf_printf(b,
			      "  t=y: take it out when the reports show "
			      "that your mail passes, then %s is asked "
			      "for\n",
			      dmarc_policy_name(v->result.published));
}

/* RFC 9989 4.10.1: a policy from above the organizational domain. */
static bool of_psd(const struct dmarc_view *v)
{
	const char *at = v->result.policy_domain;

	return at != NULL && !v->walk.tempfail &&
	       strcmp(at, v->walk.org) != 0 && domain_is_under(v->walk.org, at);
}

static void hint_reports(struct dmarc_view *v, struct strbuf *b)
{
	if (v->result.policy_domain != NULL && !of_psd(v) &&
	    !v->result.record.has_rua)
		strbuf_printf(b,
			      "  No usable rua at _dmarc.%s: nobody can "
			      "tell you which mail fails\n",
			      v->result.policy_domain);
}

/* A tag that asks for less than p does, where it is used. */
static void weaker(const struct dmarc_view *v, const char *tag,
		   enum dmarc_policy value, const char *which, struct strbuf *b)
{
	enum dmarc_policy p = v->result.record.p;

	if (value != DMARC_P_UNSET && value < p)
		strbuf_printf(b,
			      "  %s=%s asks for less than p=%s: forgers may "
			      "choose names below %s%s\n",
			      tag, dmarc_policy_name(value),
			      dmarc_policy_name(p), v->result.policy_domain,
			      which);
}

/* RFC 9989 4.10.1: names below have another organizational domain. */
static void idle(const struct dmarc_view *v, const char *tag,
		 enum dmarc_policy value, struct strbuf *b)
{
	if (value != DMARC_P_UNSET)
		strbuf_printf(b,
			      "  %s at _dmarc.%s is not used: the "
			      "organizational domain of names below is %s\n",
			      tag, v->domain, v->walk.org);
}

static void hint_weak(struct dmarc_view *v, struct strbuf *b)
{
	const struct dmarc_record *r = &v->result.record;
	const char *at = v->result.policy_domain;

	if (!has_policy(v) || v->walk.tempfail)
		return;
	if (strcmp(at, v->walk.org) == 0) {
		weaker(v, "sp", r->sp, "", b);
		weaker(v, "np", r->np, " that do not exist", b);
	} else if (strcmp(at, v->domain) == 0) {
		idle(v, "sp", r->sp, b);
		idle(v, "np", r->np, b);
	}
}

static void hint_pct(struct dmarc_view *v, struct strbuf *b)
{
	struct slice text = {NULL, 0}, value;

	if (v->node == NULL)
		return;
	dmarc_view_count(dmarc_view_records(v, v->node->name), &text);
	if (!dmarc_text_tag(text, "pct", &value))
		return;
	/* RFC 9989 A.6 */
	if (slice_is(value, "0"))
		strbuf_adds(b, "  pct=0 is not used any more: t=y says what "
			       "it said\n");
	else
		strbuf_adds(b, "  pct is not used any more: the policy is for "
			       "all mail\n");
}

static void hint_own(struct dmarc_view *v, struct strbuf *b)
{
	if (of_psd(v))
		strbuf_printf(b,
			      "  The policy is that of the public suffix "
			      "domain %s; a record at _dmarc.%s would be "
			      "your own\n",
			      v->result.policy_domain, v->walk.org);
}

static void hint_psd(struct dmarc_view *v, struct strbuf *b)
{
	if (v->node != NULL && strcmp(v->node->name, v->domain) == 0 &&
	    v->node->record.psd == DMARC_PSD_Y)
		strbuf_printf(b,
			      "  psd=y is for registries: names below %s "
			      "are organizations of their own\n",
			      v->domain);
}

void dmarc_hints(struct dmarc_view *v, struct strbuf *b)
{
	static void (*const hints[])(struct dmarc_view *, struct strbuf *) = {
		hint_no_record, hint_several, hint_between, hint_broken,
		hint_none,	hint_test,    hint_reports, hint_weak,
		hint_pct,	hint_own,     hint_psd,
	};
	struct strbuf lines;

	strbuf_init(&lines, v->arena, 65536);
	for (size_t i = 0; i < sizeof(hints) / sizeof(*hints); i++)
		hints[i](v, &lines);
	if (lines.n == 0)
		return;
	strbuf_adds(b, "\nHints:\n");
	strbuf_add(b, strbuf_slice(&lines));
}
