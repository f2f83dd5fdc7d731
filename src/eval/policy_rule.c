/*
 * What a local rule does with a message: the verdict of DMARC is replaced by
 * that of the rule.  Pure.
 */
#include "eval/eval.h"

/* Was the rule about this method, and not about its pass? */
static bool is_against(int64_t set, unsigned pass)
{
	return set != 0 && (set & ((int64_t)1 << pass)) == 0;
}

static bool is_spf_error(const struct results *r)
{
	return r->spf_mailfrom.checked &&
	       (r->spf_mailfrom.status == SPF_STATUS_PERMERROR ||
		r->spf_mailfrom.status == SPF_STATUS_TEMPERROR);
}

/* RFC 7372 3, RFC 8617 5.2.2; without the class. */
static const char *detail_of(const struct rule *rule, const struct results *r)
{
	const struct {
		bool against;
		const char *detail;
	} methods[] = {
		{is_against(rule->spf, SPF_STATUS_PASS),
		 r != NULL && is_spf_error(r) ? "7.24" : "7.23"},
		{is_against(rule->dkim, DKIM_STATUS_PASS), "7.20"},
		{is_against(rule->iprev, IPREV_STATUS_PASS), "7.25"},
		{is_against(rule->arc, ARC_STATUS_PASS), "7.29"},
	};
	const char *ret = "7.1";
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		if (!methods[i].against)
			continue;
		ret = methods[i].detail;
		n++;
	}
	return n > 1 ? "7.26" : ret;
}

static struct smtp_reply reply_of(struct arena *a, const struct rule *rule,
				  const struct addr_authors *authors,
				  const struct results *r,
				  struct slice queue_id)
{
	bool temporary = rule->action == RULE_TEMPFAIL;
	const struct reply_fields f = {
		.domain = authors->ndomains > 0 ? authors->domains[0] : NULL,
		.rule = rule->name,
		.queue_id = queue_id,
	};
	const char *text = rule->text != NULL ? rule->text
			   : temporary ? "Deferred by local policy ({rule})"
				       : "Rejected by local policy ({rule})";

	return (struct smtp_reply){temporary ? "451" : "550",
				   arena_printf(a, "%c.%s",
						temporary ? '4' : '5',
						detail_of(rule, r)),
				   reply_fill(a, text, &f)};
}

/* As if nothing had been asked for. */
static void accept(struct verdict *v)
{
	v->action = VERDICT_ACCEPT;
	v->tag = false;
	v->hold = false;
	v->mark = NULL;
	v->disposition = DMARC_P_NONE;
}

static void quarantine(struct arena *a, const struct policy_options *o,
		       const struct rule *rule, struct verdict *v)
{
	accept(v);
	v->disposition = DMARC_P_QUARANTINE;
	v->tag = o->quarantine != QUARANTINE_HOLD;
	v->hold = o->quarantine != QUARANTINE_TAG;
	v->mark = arena_printf(a, "rule=%s", rule->name);
}

void policy_apply_rule(struct arena *a, const struct policy_options *o,
		       const struct addr_authors *authors,
		       const struct results *r, struct slice queue_id,
		       struct verdict *v)
{
	const struct rule *rule = v->rules.rule;

	if (rule == NULL)
		return;
	switch ((enum rule_action)rule->action) {
	case RULE_NONE:
		return;
	case RULE_TAG:
		v->label = rule->name;
		return;
	case RULE_ACCEPT:
		if (!policy_skips(v, RULE_SKIP_DMARC))
			return;
		accept(v);
		break;
	case RULE_QUARANTINE:
		quarantine(a, o, rule, v);
		break;
	case RULE_TEMPFAIL:
	case RULE_REJECT:
		accept(v);
		v->action = rule->action == RULE_REJECT ? VERDICT_REJECT
							: VERDICT_TEMPFAIL;
		if (rule->action == RULE_REJECT)
			v->disposition = DMARC_P_REJECT;
		v->reply = reply_of(a, rule, authors, r, queue_id);
		break;
	case RULE_DISCARD:
		accept(v);
		v->action = VERDICT_DISCARD;
		v->disposition = DMARC_P_REJECT; /* it is not delivered */
		break;
	}
	v->rule = arena_printf(a, "rule %s", rule->name);
}

const char *verdict_action_name(enum verdict_action action)
{
	static const char *const names[] = {
		[VERDICT_ACCEPT] = "accept",
		[VERDICT_TEMPFAIL] = "tempfail",
		[VERDICT_REJECT] = "reject",
		[VERDICT_DISCARD] = "discard",
	};

	return names[action];
}

bool policy_overruled(const struct verdict *v)
{
	const struct rule *rule = v->rules.rule;

	return rule != NULL && rule->action != RULE_NONE &&
	       rule->action != RULE_TAG &&
	       (rule->action != RULE_ACCEPT ||
		policy_skips(v, RULE_SKIP_DMARC));
}

bool policy_skips(const struct verdict *v, enum rule_skip what)
{
	const struct rule *rule = v->rules.rule;
	int64_t set;

	if (rule == NULL || rule->action != RULE_ACCEPT)
		return false;
	set = rule->skip != 0 ? rule->skip : (int64_t)1 << RULE_SKIP_DMARC;
	return (set & ((int64_t)1 << what)) != 0;
}

const char *policy_arc_comment(struct arena *a, const struct results *r,
			       const struct verdict *v, size_t max)
{
	if (r->dmarc.status != DMARC_STATUS_FAIL || !policy_overruled(v) ||
	    v->rules.rule->arc_sealer.n == 0)
		return NULL;
	return arc_policy_comment(a, &r->arc, max);
}
