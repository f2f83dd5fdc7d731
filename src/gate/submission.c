/* The rights of a login to the addresses of one message. */
#include "gate/submission.h"

#include <string.h>

#define OWNED_SHOWN 3
#define KEY_SHOWN   60 /* bytes; a longer one is not shown */

static bool by_credential(const struct submission_rights *r)
{
	return r->credential != NULL && r->credential->addresses.n > 0;
}

bool submission_has_rights(const struct submission_rights *r)
{
	return r->senders != NULL || by_credential(r);
}

static bool owns(const struct submission_rights *r, struct slice login,
		 const struct gate_claim *c)
{
	if (by_credential(r))
		return credential_has_address(r->credential, c->local,
					      c->domain, r->delimiter);
	return sender_owns(r->senders, login, c->local, c->domain);
}

/* Up to `max` keys that the login owns. */
static size_t owned(struct arena *a, const struct submission_rights *r,
		    struct slice login, const char **ret, size_t max)
{
	size_t n;

	if (!by_credential(r))
		return sender_keys_of(r->senders, a, login, ret, max);
	n = r->credential->addresses.n < max ? r->credential->addresses.n : max;
	memcpy(ret, r->credential->addresses.v, n * sizeof(*ret));
	return n;
}

static void add_owned(struct strbuf *b, struct arena *a,
		      const struct submission_rights *r, struct slice login)
{
	const char *keys[OWNED_SHOWN + 1];
	size_t n = owned(a, r, login, keys, OWNED_SHOWN + 1);
	const char *before = "; it owns ";

	for (size_t i = 0; i < n && i < OWNED_SHOWN; i++) {
		if (!reply_is_plain(slice_of(keys[i])) ||
		    strlen(keys[i]) > KEY_SHOWN)
			continue;
		strbuf_printf(b, "%s%s", before, keys[i]);
		before = ", ";
	}
	if (n > OWNED_SHOWN)
		strbuf_adds(b, " and more");
}

static const char *what(struct arena *a, const struct submission_rights *r,
			const struct gate_facts *f, const struct gate_claim *c)
{
	struct strbuf b;

	strbuf_init(&b, a, 4096);
	strbuf_printf(&b, "Sender address rejected, %s ", c->field);
	if (c->domain == NULL) {
		strbuf_printf(&b, "cannot be checked: %s", c->reason);
		return strbuf_cstr(&b);
	}
	strbuf_adds(&b, reply_address(a, c->local, c->domain));
	if (f->login.n == 0) {
		strbuf_adds(&b, " needs a login");
		return strbuf_cstr(&b);
	}
	strbuf_printf(&b, " is not owned by %s", reply_login(a, f->login));
	add_owned(&b, a, r, f->login);
	return strbuf_cstr(&b);
}

bool submission_check(struct arena *a, const struct submission_rights *r,
		      const struct gate_facts *f, const struct gate_claims *c,
		      const char *coaching, struct gate_fault *ret)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct gate_claim *claim = &c->v[i];

		if (claim->domain != NULL && owns(r, f->login, claim))
			continue;
		ret->log = gate_claim_text(a, claim);
		ret->reply = (struct smtp_reply){
			"550", "5.7.1",
			reply_text(a, what(a, r, f, claim), coaching)};
		return false;
	}
	return true;
}
