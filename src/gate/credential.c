/*
 * What service logins may do.  Entries are found through a hash table of their
 * logins (gate/sender_names.c).
 */
#include "gate/credential.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gate/revoked.h"
#include "gate/sender_table.h"
#include "gate/transport.h"

struct credential_table {
	struct arena *arena;
	const struct credential *v;
	bool strip_realm;
	struct sender_names logins; /* in the order of `v` */
};

static bool add(struct credential_table *t, size_t i, struct strbuf *errors)
{
	struct sender_name name = {
		{sender_login(t->strip_realm, slice_of(t->v[i].login))}};
	uint32_t old = sender_names_find(&t->logins, &name);

	if (name.part[0].n == 0) {
		strbuf_printf(errors, "%s: login \"", t->v[i].source);
		strbuf_add_escaped(errors, slice_of(t->v[i].login), 100);
		strbuf_adds(errors, "\" is nothing without its realm; give a "
				    "name before the \"@\"\n");
		return false;
	}
	if (old == SENDER_NONE) {
		sender_names_add(&t->logins, &name);
		return true;
	}
	strbuf_printf(errors, "%s: login \"", t->v[i].source);
	strbuf_add_escaped(errors, slice_of(t->v[i].login), 100);
	strbuf_printf(errors, "\" stands here twice, first at %s; remove one\n",
		      t->v[old].source);
	return false;
}

struct credential_table *credential_table_new(const struct credential *v,
					      size_t n, bool strip_realm,
					      struct strbuf *errors)
{
	struct credential_table *t = mem_alloc(sizeof(*t));

	t->arena = arena_new();
	t->logins.arena = t->arena;
	t->v = v;
	t->strip_realm = strip_realm;
	/* a number in `logins` is one in `v`: so at the first mistake end */
	for (size_t i = 0; i < n; i++) {
		if (add(t, i, errors))
			continue;
		credential_table_free(t);
		return NULL;
	}
	return t;
}

void credential_table_free(struct credential_table *t)
{
	if (t == NULL)
		return;
	sender_names_free(&t->logins);
	arena_free(t->arena);
	free(t);
}

size_t credential_table_size(const struct credential_table *t)
{
	return t->logins.n;
}

const struct credential *credential_find(const struct credential_table *t,
					 struct slice login)
{
	uint32_t i = sender_names_find(
		&t->logins,
		&(struct sender_name){{sender_login(t->strip_realm, login)}});

	return i == SENDER_NONE || login.n == 0 ? NULL : &t->v[i];
}

bool credential_has_address(const struct credential *k, struct slice local,
			    const char *domain, const char *delimiter)
{
	struct slice bare = sender_without_extension(local, delimiter);

	for (size_t i = 0; i < k->addresses.n; i++) {
		struct slice text = slice_of(k->addresses.v[i]);
		size_t at = (size_t)slice_rchr(text, '@');
		struct slice user = slice_first(text, at);

		if (!slice_is(slice_from(text, at + 1), domain))
			continue;
		if (user.n == 0 || slice_eq_ci(user, local) ||
		    (bare.n > 0 && slice_eq_ci(user, bare)))
			return true;
	}
	return false;
}

bool credential_has_limits(const struct credential *k)
{
	const struct credential_limits *l = &k->limits;

	return (l->messages_per_hour | l->messages_per_day |
		l->recipients_per_hour | l->recipients_per_day) != 0;
}

/* RFC 3339, UTC */
static const char *time_text(struct arena *a, int64_t t)
{
	time_t when = (time_t)t;
	struct tm tm;
	char text[32] = "";

	if (gmtime_r(&when, &tm) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return arena_strdup(a, text);
}

static bool refuse(struct arena *a, struct gate_fault *ret, const char *log,
		   const char *code, const char *enhanced, const char *text,
		   const char *coaching)
{
	ret->log = log;
	ret->reply = (struct smtp_reply){code, enhanced,
					 reply_text(a, text, coaching)};
	return false;
}

static const char *who(struct arena *a, const struct gate_facts *f)
{
	return reply_login(a, f->login);
}

static bool check_life(struct arena *a, const struct credential *k,
		       const struct gate_facts *f, int64_t now,
		       const char *coaching, struct gate_fault *ret)
{
	const char *when;

	if (k->revoked) {
		revoked_refuse(a, f, coaching, ret);
		return false;
	}
	if (k->expires == 0 || now < k->expires)
		return true;
	when = time_text(a, k->expires);
	return refuse(a, ret, arena_printf(a, "expired %s", when), "550",
		      "5.7.8",
		      arena_printf(a, "The credential of %s expired %s",
				   who(a, f), when),
		      coaching);
}

static bool check_network(struct arena *a, const struct credential *k,
			  const struct gate_facts *f, const char *coaching,
			  struct gate_fault *ret)
{
	char ip[IP_TEXT_MAX];

	if (k->networks.n == 0 || ip_nets_have(&k->networks, &f->client))
		return true;
	if (f->client.family == IP_NONE)
		return refuse(a, ret, "client unknown", "550", "5.7.1",
			      arena_printf(a,
					   "%s may not send from an unknown "
					   "address",
					   who(a, f)),
			      coaching);
	ip_format(&f->client, ip);
	return refuse(a, ret, arena_printf(a, "client %s", ip), "550", "5.7.1",
		      arena_printf(a, "%s may not send from %s", who(a, f), ip),
		      coaching);
}

static bool check_tls(struct arena *a, const struct credential *k,
		      const struct gate_facts *f, const char *coaching,
		      struct gate_fault *ret)
{
	const struct transport_rules r = {.login_version = k->tls_version};

	return transport_check(a, &r, f, &(struct gate_claims){0}, coaching,
			       ret);
}

static int64_t smaller(int64_t a, int64_t b)
{
	return b > 0 && (a == 0 || b < a) ? b : a;
}

/* Of one message, or 0: one that alone is over a limit will never be within. */
static int64_t most_recipients(const struct credential *k)
{
	return smaller(smaller(k->recipients, k->limits.recipients_per_hour),
		       k->limits.recipients_per_day);
}

static bool check_recipients(struct arena *a, const struct credential *k,
			     const struct gate_facts *f, const char *coaching,
			     struct gate_fault *ret)
{
	int64_t most = most_recipients(k);

	if (most == 0 || f->nrcpts <= (size_t)most)
		return true;
	return refuse(a, ret, arena_printf(a, "%zu recipients", f->nrcpts),
		      "550", "5.5.3",
		      arena_printf(a,
				   "%zu recipients, %s may have %" PRId64
				   " in one message",
				   f->nrcpts, who(a, f), most),
		      coaching);
}

bool credential_check(struct arena *a, const struct credential *k,
		      const struct gate_facts *f, int64_t now,
		      const char *coaching, struct gate_fault *ret)
{
	return check_life(a, k, f, now, coaching, ret) &&
	       check_network(a, k, f, coaching, ret) &&
	       check_tls(a, k, f, coaching, ret) &&
	       check_recipients(a, k, f, coaching, ret);
}

void credential_over_limit(struct arena *a, const struct credential *k,
			   const char *what, int64_t limit, int64_t frees,
			   const char *coaching, struct gate_fault *ret)
{
	const char *when = time_text(a, frees);

	refuse(a, ret, arena_printf(a, "%s, frees %s", what, when), "450",
	       "4.7.1",
	       arena_printf(a,
			    "Limit of %" PRId64
			    " %s of %s is reached, it frees at %s",
			    limit, what, reply_login(a, slice_of(k->login)),
			    when),
	       coaching);
}
