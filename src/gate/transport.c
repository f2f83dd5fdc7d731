/*
 * TLS that a message came over, against what is demanded.  A milter sees it by
 * macros alone (TR-1); it says nothing about who sent the message (RFC 3207).
 */
#include "gate/transport.h"

#include <inttypes.h>

#include "mail/domain.h"

#define DN_SHOWN 256 /* bytes in the log, from where it is copied */

static const char *const names[] = {
	[TLS_NONE] = "none",   [TLS_SSL3] = "SSLv3",  [TLS_1_0] = "TLSv1",
	[TLS_1_1] = "TLSv1.1", [TLS_1_2] = "TLSv1.2", [TLS_1_3] = "TLSv1.3",
};

enum tls_version tls_version_of(struct slice name)
{
	for (enum tls_version v = TLS_SSL3; v <= TLS_1_3; v++)
		if (slice_is(name, names[v]))
			return v;
	return slice_is(name, "TLSv1.0") ? TLS_1_0 : TLS_NONE;
}

const char *tls_version_name(enum tls_version v)
{
	return names[v];
}

bool transport_certified(const struct transport_facts *t)
{
	if (t->cert_subject.n == 0 || t->cert_issuer.n == 0)
		return false;
	return !t->tells_trust || slice_is(t->verify, "OK");
}

static void log_tls(struct log_fields *f, const struct transport_facts *t)
{
	log_wire(f, "", "version", t->version, LOG_WORD, 32, "");
	log_wire(f, "/", "cipher", t->cipher, LOG_WORD, 64, "");
	log_number(f, "/", "bits", t->bits, "");
	if (!transport_certified(t))
		return;
	log_wire(f, " cert=\"", "cert", t->cert_subject, LOG_QUOTED, DN_SHOWN,
		 "\"")
		->person = LOG_SUBJECT;
	log_wire(f, " issuer=\"", "issuer", t->cert_issuer, LOG_QUOTED,
		 DN_SHOWN, "\"");
}

void transport_log(struct log_fields *f, const struct transport_facts *t)
{
	log_object(f, " tls=", "tls");
	if (t->version.n == 0)
		log_string(f, "", "version", "none", "");
	else
		log_tls(f, t);
	log_end(f, "");
}

/* What a connection must be, and who says so. */
struct demand {
	int64_t version, bits;
	bool certificate;
	const char *subject, *issuer;
	const char *whose; /* for the reply */
};

static bool is_certificate(const struct demand *d,
			   const struct transport_facts *t)
{
	if (!d->certificate && d->subject == NULL && d->issuer == NULL)
		return true;
	return transport_certified(t) &&
	       (d->subject == NULL || slice_is(t->cert_subject, d->subject)) &&
	       (d->issuer == NULL || slice_is(t->cert_issuer, d->issuer));
}

static bool wants_tls(const struct demand *d)
{
	return d->version > TLS_NONE || d->bits > 0 || d->certificate ||
	       d->subject != NULL || d->issuer != NULL;
}

/* What is missing, or NULL. */
static const char *missing(struct arena *a, const struct demand *d,
			   const struct transport_facts *t)
{
	if (!wants_tls(d))
		return NULL;
	if (t->version.n == 0)
		return "TLS";
	if (tls_version_of(t->version) < (enum tls_version)d->version)
		return arena_printf(a, "%s or later", names[d->version]);
	if ((int64_t)t->bits < d->bits)
		return arena_printf(a, "a cipher of %" PRId64 " bits or more",
				    d->bits);
	return is_certificate(d, t) ? NULL : "a client certificate";
}

static bool meets(struct arena *a, const struct demand *d,
		  const struct gate_facts *f, const char *coaching,
		  struct gate_fault *ret)
{
	const char *what = missing(a, d, &f->transport);
	bool plain = f->transport.version.n == 0;
	const char *text;

	if (what == NULL)
		return true;
	text = plain ? arena_printf(a,
				    "Must issue a STARTTLS command first: %s "
				    "needs TLS",
				    d->whose)
		     : arena_printf(a, "%s needs %s", d->whose, what);
	ret->log = arena_printf(a, "%s needs %s", d->whose, what);
	ret->reply = (struct smtp_reply){plain ? "530" : "550",
					 plain ? "5.7.0" : "5.7.1",
					 reply_text(a, text, coaching)};
	return false;
}

static bool claims_under(const struct gate_claims *c, const char *domain)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].domain != NULL &&
		    domain_is_under(c->v[i].domain, domain))
			return true;
	return false;
}

static bool is_peer(const struct transport_peer *p, const struct gate_facts *f,
		    const struct gate_claims *c)
{
	return (p->domain == NULL || claims_under(c, p->domain)) &&
	       (p->networks.n == 0 || ip_nets_have(&p->networks, &f->client));
}

static const char *name_of(const struct transport_peer *p)
{
	return p->domain != NULL ? p->domain : "your network";
}

bool transport_check(struct arena *a, const struct transport_rules *r,
		     const struct gate_facts *f, const struct gate_claims *c,
		     const char *coaching, struct gate_fault *ret)
{
	if (f->local)
		return true;
	if (f->login.n > 0) {
		const struct demand d = {.version = r->login_version,
					 .bits = r->login_bits,
					 .whose = reply_login(a, f->login)};
		if (!meets(a, &d, f, coaching, ret))
			return false;
	}
	for (size_t i = 0; i < r->npeers; i++) {
		const struct transport_peer *p = &r->peers[i];
		const struct demand d = {p->version,	      p->bits,
					 p->certificate != 0, p->subject,
					 p->issuer,	      name_of(p)};

		if (is_peer(p, f, c) && !meets(a, &d, f, coaching, ret))
			return false;
	}
	return true;
}
