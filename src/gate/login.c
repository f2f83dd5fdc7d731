/* Classes of logins, and who demands which. */
#include "gate/login.h"

#include <string.h>

#include "gate/transport.h"

/* RFC 4422 and the registry of SASL mechanisms.  EXTERNAL says that the
 * certificate speaks for itself: see certificate_class(). */
static const struct {
	const char *name; /* with "-" at its end: each that begins so */
	unsigned classes;
} mechanisms[] = {
	{"PLAIN", LOGIN_PASSWORD},    {"LOGIN", LOGIN_PASSWORD},
	{"CRAM-MD5", LOGIN_PASSWORD}, {"DIGEST-MD5", LOGIN_PASSWORD},
	{"SCRAM-", LOGIN_PASSWORD},   {"NTLM", LOGIN_PASSWORD},
	{"XOAUTH2", LOGIN_TOKEN},     {"OAUTHBEARER", LOGIN_TOKEN},
	{"GSSAPI", LOGIN_KERBEROS},   {"GSS-SPNEGO", LOGIN_KERBEROS},
	{"GS2-", LOGIN_KERBEROS},
};

/* In the order of the bits. */
static const char *const names[] = {"password", "token", "kerberos",
				    "certificate", "bound"};

static unsigned mechanism_class(struct slice m)
{
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(*mechanisms); i++) {
		const char *name = mechanisms[i].name;
		bool family = name[strlen(name) - 1] == '-';

		if (family ? slice_starts_ci(m, name) : slice_is_ci(m, name))
			return mechanisms[i].classes |
			       (family && slice_ends_ci(m, "-PLUS")
					? LOGIN_BOUND
					: 0);
	}
	return 0;
}

static unsigned certificate_class(const struct login_rules *r,
				  const struct gate_facts *f)
{
	const struct transport_facts *t = &f->transport;
	struct slice login = sender_login(r->strip_realm, f->login);

	if (!transport_certified(t))
		return 0;
	for (size_t i = 0; i < r->ncertificates; i++) {
		const struct login_certificate *c = &r->certificates[i];

		if (slice_is(t->cert_subject, c->subject) &&
		    slice_is(t->cert_issuer, c->issuer) &&
		    (c->login == NULL ||
		     (login.n > 0 &&
		      slice_eq_ci(login, sender_login(r->strip_realm,
						      slice_of(c->login))))))
			return LOGIN_CERTIFICATE;
	}
	return 0;
}

unsigned login_classes(const struct login_rules *r, const struct gate_facts *f)
{
	return mechanism_class(f->mechanism) | certificate_class(r, f);
}

/* `before`: what stands between two of them. */
static const char *text(struct arena *a, unsigned classes, const char *before)
{
	struct strbuf b;

	if (classes == 0)
		return "none";
	strbuf_init(&b, a, 256);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if ((classes & 1u << i) != 0)
			strbuf_printf(&b, "%s%s", b.n > 0 ? before : "",
				      names[i]);
	return strbuf_cstr(&b);
}

void login_classes_log(struct log_fields *f, unsigned classes)
{
	size_t n = 0;

	log_list(f, " class=", "class");
	if (classes == 0)
		log_mark(f, "none");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if ((classes & 1u << i) != 0)
			log_string(f, n++ > 0 ? "+" : "", NULL, names[i], "");
	log_end(f, "");
}

static bool is_address(const struct login_rules *r,
		       const struct login_demand *d, const struct gate_claim *c)
{
	struct slice want = slice_of(d->address);
	size_t at = (size_t)slice_rchr(want, '@');
	struct slice user = slice_first(want, at);

	return slice_is(slice_from(want, at + 1), c->domain) &&
	       (slice_eq_ci(c->local, user) ||
		slice_eq_ci(sender_without_extension(c->local, r->delimiter),
			    user));
}

/* Is the claim, or may it be, of whom the demand is about? */
static bool is_about(const struct login_rules *r, const struct login_demand *d,
		     const struct gate_claim *c)
{
	if (c->domain == NULL)
		return true;
	return d->domain != NULL ? strcmp(d->domain, c->domain) == 0
				 : is_address(r, d, c);
}

/* What the demand is about: the first claim, or the login; NULL: neither. */
static const char *subject_of(struct arena *a, const struct login_rules *r,
			      const struct login_demand *d,
			      const struct gate_facts *f,
			      const struct gate_claims *c)
{
	if (d->group != NULL)
		return r->senders != NULL && sender_in_group(r->senders,
							     f->login, d->group)
			       ? reply_login(a, f->login)
			       : NULL;
	for (size_t i = 0; i < c->n; i++)
		if (is_about(r, d, &c->v[i]))
			return gate_claim_text(a, &c->v[i]);
	return NULL;
}

static void refuse(struct arena *a, const struct login_demand *d,
		   unsigned classes, const char *subject, const char *coaching,
		   struct gate_fault *ret)
{
	const char *what =
		arena_printf(a, "%s needs a login by %s, this one is by %s",
			     subject, text(a, (unsigned)d->classes, " or "),
			     text(a, classes, " and "));

	ret->log = arena_printf(a, "%s needs %s", subject,
				text(a, (unsigned)d->classes, "|"));
	ret->reply = (struct smtp_reply){"550", "5.7.9",
					 reply_text(a, what, coaching)};
}

bool login_check(struct arena *a, const struct login_rules *r,
		 const struct gate_facts *f, const struct gate_claims *c,
		 const char *coaching, struct gate_fault *ret)
{
	unsigned classes = login_classes(r, f);

	for (size_t i = 0; i < r->ndemands; i++) {
		const struct login_demand *d = &r->demands[i];
		const char *subject;

		if ((classes & (unsigned)d->classes) != 0)
			continue;
		subject = subject_of(a, r, d, f, c);
		if (subject == NULL)
			continue;
		refuse(a, d, classes, subject, coaching, ret);
		return false;
	}
	return true;
}
