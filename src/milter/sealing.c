/*
 * Seals mail that arrives and will go on from here (RFC 8617 5.1): what is to
 * be forwarded is known by its recipients or its listener (arc.seal).  A set
 * that cannot be made keeps no message back: the log says why.
 */
#include "milter/session_state.h"

#include "base/clock.h"
#include "dkim/names.h"
#include "dkim/sendmail.h"

struct sealing {
	struct arc_sealer *sealer;
	struct key_choice keys;
	const struct dkim_signing_key *key;
	bool done; /* it was tried */
	bool made; /* the set */
	struct arc_new_set set;
	struct log_fields log;
};

/* Every verifier knows RSA; RFC 8463 is younger than ARC. */
static const struct dkim_signing_key *pick(const struct key_choice *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (crypto_privkey_type(c->v[i].key) == CRYPTO_RSA)
			return &c->v[i];
	return c->n > 0 ? &c->v[0] : NULL;
}

static void log_no_set(struct sealing *x, const char *why)
{
	log_object(&x->log, " arc_seal=no", "arc_seal");
	log_string(&x->log, "(", "reason", why, ")");
	log_end(&x->log, "");
}

static void log_set(struct sealing *x, enum arc_status chain)
{
	log_object(&x->log, " arc_seal=", "arc_seal");
	log_number(&x->log, "", "instance", x->set.instance, "");
	log_string(&x->log, "/", "chain", arc_status_name(chain), "");
	log_string(&x->log, "/", "domain", x->key->domain, "");
	log_string(&x->log, "/", "selector", x->key->selector, "");
	log_end(&x->log, "");
}

/* Of the rules the conditions count that are known at the end of the header. */
static const struct rule *rule_for(struct session *s)
{
	const struct addr_authors none = {0};
	const struct rule_facts f = {
		.direction = RULE_INBOUND,
		.client = &s->msg_client,
		.envelope = &s->envelope,
		.recipients = s->seal_recipients,
		.fields = &s->fields,
		.authors = &none,
	};
	struct rule_outcome o;

	rules_run(s->msg, &s->app->seals, &f, &o);
	return o.rule;
}

void sealing_begin(struct session *s)
{
	const struct rule *rule = rule_for(s);
	struct sealing *x;

	if (rule == NULL)
		return;
	x = arena_alloc(s->msg, sizeof(*x));
	s->sealing = x;
	log_fields_init(&x->log, s->msg);
	keyring_choose(s->app->keyring, s->msg, rule->name, clock_mono_ms(),
		       &x->keys);
	x->key = pick(&x->keys);
	if (x->key == NULL)
		log_no_set(x, x->keys.why);
	else if (s->fields.trouble != FIELD_OK)
		log_no_set(x, field_trouble_text(s->fields.trouble));
	else
		x->sealer = arc_sealer_new(s->msg);
}

void sealing_body(struct session *s, struct slice bytes)
{
	if (s->sealing != NULL && s->sealing->sealer != NULL)
		arc_sealer_body(s->sealing->sealer, bytes);
}

/* The fields as they will be sent. */
static void fields_sent(struct session *s, const struct edits *e,
			struct field_list *ret)
{
	struct field_list edited;

	stamp_apply(s->msg, &s->fields, e, &edited);
	if (s->mta == DKIM_MTA_SENDMAIL)
		dkim_sendmail_fields(s->msg, &edited, ret);
	else
		*ret = edited;
}

static bool seal(struct session *s, int64_t now, const struct results *r,
		 const struct verdict *v, const struct edits *e,
		 const char **why)
{
	struct sealing *x = s->sealing;
	const struct arc_sealing_key key = {x->key->domain, x->key->selector,
					    x->key->key};
	/* whose i= and h= are not meant for this */
	const struct dkim_signing_key plain = {.domain = key.domain};
	struct field_list sent;
	struct arc_seal_input in = {
		.fields = &sent,
		.found = &r->arc,
		.authres = stamp_authres(s->msg, s->app->env.authserv_id, r, v),
		.now = now,
	};
	const char *left_out = NULL;

	fields_sent(s, e, &sent);
	*why = dkim_names_choose(s->msg, &sent, s->mta, &plain, &in.names,
				 &left_out);
	return *why == NULL &&
	       arc_sealer_end(x->sealer, &in, &key, &x->set, why);
}

static void run(struct session *s, int64_t now, const struct results *r,
		const struct verdict *v, const struct edits *e)
{
	struct sealing *x = s->sealing;
	int64_t begin_us = clock_mono_us();
	const char *why;

	x->done = true;
	x->made = seal(s, now, r, v, e, &why);
	s->measured.sign_us = clock_mono_us() - begin_us;
	if (x->made)
		log_set(x, r->arc.status);
	else
		log_no_set(x, why);
}

void sealing_stamp(struct session *s, int64_t now, const struct results *r,
		   const struct verdict *v, struct edits *e)
{
	struct sealing *x = s->sealing;

	if (x == NULL || x->sealer == NULL)
		return;
	if (!x->done)
		run(s, now, r, v, e);
	if (!x->made)
		return;
	/* the last one in is the topmost (ARC-22) */
	stamp_add(s->msg, "ARC-Authentication-Results", x->set.results, e);
	stamp_add(s->msg, "ARC-Message-Signature", x->set.signature, e);
	stamp_add(s->msg, "ARC-Seal", x->set.seal, e);
}

void sealing_log(const struct session *s, struct log_fields *f)
{
	if (s->sealing != NULL)
		log_append(f, &s->sealing->log);
}

enum tally_sealing sealing_outcome(const struct session *s, bool taken)
{
	if (s->sealing == NULL)
		return TALLY_NOT_ASKED;
	if (!taken)
		return TALLY_UNSEALED;
	return s->sealing->made ? TALLY_SEALED : TALLY_FAILED;
}

const char *sealing_warning(const struct session *s)
{
	return s->sealing != NULL ? s->sealing->keys.error : NULL;
}

void sealing_free(struct session *s)
{
	if (s->sealing == NULL)
		return;
	arc_sealer_free(s->sealing->sealer);
	keyring_release(&s->sealing->keys);
	s->sealing = NULL;
}
