/*
 * The rules in their order, and what is said of their results.
 *
 * DKIM asks first, since its questions are few; while SPF asks, questions and
 * time are kept back for DMARC: whose MAIL FROM a login gives is its choice,
 * and what that domain made expensive must not hide the author's policy.
 */
#include "gate/preflight.h"

#include <string.h>

/* Of the budget, kept for DMARC: a walk for the author and one for each of a
 * few signatures (RFC 9989 4.10). */
#define DMARC_QUERIES 24
#define DMARC_MS      5000
#define TEXT_MAX      4096

static const char *const rule_names[PREFLIGHT_RULES] = {
	[PREFLIGHT_DKIM] = "dkim",
	[PREFLIGHT_SPF] = "spf",
	[PREFLIGHT_DMARC] = "dmarc",
	[PREFLIGHT_FORMAT] = "format",
	[PREFLIGHT_UNSUBSCRIBE] = "unsubscribe",
	[PREFLIGHT_FEEDBACK_ID] = "feedback_id",
};

const char *preflight_rule_name(enum preflight_rule r)
{
	return rule_names[r];
}

static bool is_on(const struct preflight_options *o, enum preflight_rule r)
{
	return o->mode[r] != PREFLIGHT_OFF;
}

bool preflight_wanted(const struct preflight_options *o)
{
	for (size_t i = 0; i < PREFLIGHT_RULES; i++)
		if (is_on(o, (enum preflight_rule)i))
			return true;
	return false;
}

bool preflight_asks(const struct preflight_options *o)
{
	return is_on(o, PREFLIGHT_DKIM) || is_on(o, PREFLIGHT_SPF) ||
	       is_on(o, PREFLIGHT_DMARC);
}

static struct preflight_result check_spf(struct arena *a, struct dns_budget *b,
					 const struct preflight_options *o,
					 const struct preflight_message *m,
					 struct spf_result *ret)
{
	struct preflight_result r;

	dns_budget_hold(b, DMARC_QUERIES, DMARC_MS);
	r = preflight_spf(a, b, o, m, ret);
	dns_budget_hold(b, 0, 0);
	return r;
}

static void check_dns(struct arena *a, struct dns_budget *b,
		      const struct preflight_options *o,
		      const struct preflight_message *m,
		      struct preflight_report *ret)
{
	struct spf_result spf = {.checked = false};
	struct preflight_result *dmarc = &ret->v[PREFLIGHT_DMARC];

	if (is_on(o, PREFLIGHT_DKIM))
		ret->v[PREFLIGHT_DKIM] = preflight_dkim(a, b, o, m);
	if (is_on(o, PREFLIGHT_SPF))
		ret->v[PREFLIGHT_SPF] = check_spf(a, b, o, m, &spf);
	if (!is_on(o, PREFLIGHT_DMARC))
		return;
	*dmarc = preflight_dmarc(a, b, o, m, &spf);
	/* Where nobody asked for SPF, it may still be what passes. */
	if (dmarc->status != PREFLIGHT_OK && !is_on(o, PREFLIGHT_SPF)) {
		(void)check_spf(a, b, o, m, &spf);
		*dmarc = preflight_dmarc(a, b, o, m, &spf);
	}
}

void preflight_check(struct arena *a, struct dns_budget *b,
		     const struct preflight_options *o,
		     const struct preflight_message *m,
		     struct preflight_report *ret)
{
	*ret = (struct preflight_report){0};
	if (preflight_asks(o))
		check_dns(a, b, o, m, ret);
	if (is_on(o, PREFLIGHT_FORMAT))
		ret->v[PREFLIGHT_FORMAT] = preflight_format(a, m);
	if (!preflight_is_bulk(o, m))
		return;
	if (is_on(o, PREFLIGHT_UNSUBSCRIBE))
		ret->v[PREFLIGHT_UNSUBSCRIBE] = preflight_unsubscribe(a, m);
	if (is_on(o, PREFLIGHT_FEEDBACK_ID))
		ret->v[PREFLIGHT_FEEDBACK_ID] = preflight_feedback_id(a, m);
}

/* ---- what is said ---- */

static void add_all(struct strbuf *b, const struct preflight_report *r,
		    enum preflight_status status, const char *name,
		    const char *fold)
{
	size_t n = 0;

	for (size_t i = 0; i < PREFLIGHT_RULES; i++) {
		if (r->v[i].status != status)
			continue;
		if (n++ > 0)
			strbuf_printf(b, ";%s", fold);
		else if (b->n > 0)
			strbuf_printf(b, ",%s%s(", fold, name);
		else
			strbuf_printf(b, "%s(", name);
		strbuf_printf(b, "%s: %s", rule_names[i], r->v[i].reason);
	}
	if (n > 0)
		strbuf_addc(b, ')');
}

const char *preflight_text(struct arena *a, const struct preflight_report *r,
			   const char *fold)
{
	struct strbuf b;

	strbuf_init(&b, a, TEXT_MAX);
	add_all(&b, r, PREFLIGHT_BAD, "bad", fold);
	add_all(&b, r, PREFLIGHT_UNKNOWN, "unknown", fold);
	return b.n > 0 ? strbuf_cstr(&b) : "ok";
}

static size_t log_all(struct log_fields *f, const struct preflight_report *r,
		      enum preflight_status status, const char *name,
		      const char *lead)
{
	size_t n = 0;

	for (size_t i = 0; i < PREFLIGHT_RULES; i++) {
		if (r->v[i].status != status)
			continue;
		if (n == 0) {
			log_mark(f, lead);
			log_mark(f, name);
		}
		log_object(f, n++ > 0 ? "; " : "(", NULL);
		log_string(f, NULL, "result", name, "");
		log_string(f, "", "rule", rule_names[i], ": ");
		log_string(f, "", "reason", r->v[i].reason, "")->person =
			LOG_REASON;
		log_end(f, "");
	}
	if (n > 0)
		log_mark(f, ")");
	return n;
}

void preflight_log(struct log_fields *f, const struct preflight_report *r)
{
	size_t n;

	log_list(f, " preflight=", "preflight");
	n = log_all(f, r, PREFLIGHT_BAD, "bad", "");
	n += log_all(f, r, PREFLIGHT_UNKNOWN, "unknown", n > 0 ? ", " : "");
	if (n == 0)
		log_mark(f, "ok");
	log_end(f, "");
}

/*
 * RFC 3463: 5.7.1 for what a receiver would refuse by its policy (3.8); a
 * header that is malformed is a fault of the content, X.6.0 (3.7), and no
 * policy.  554 as RFC 5321 4.2.3 has it for a transaction that failed.
 */
bool preflight_refuses(struct arena *a, const struct preflight_options *o,
		       const struct preflight_report *r, const char *coaching,
		       struct smtp_reply *ret)
{
	for (size_t i = 0; i < PREFLIGHT_RULES; i++) {
		bool format = i == PREFLIGHT_FORMAT;

		if (o->mode[i] != PREFLIGHT_REJECT ||
		    r->v[i].status != PREFLIGHT_BAD)
			continue;
		*ret = (struct smtp_reply){
			format ? "554" : "550", format ? "5.6.0" : "5.7.1",
			reply_text(a,
				   arena_printf(a,
						"Message would not pass at its "
						"receiver, %s: %s",
						rule_names[i], r->v[i].reason),
				   coaching)};
		return true;
	}
	return false;
}
