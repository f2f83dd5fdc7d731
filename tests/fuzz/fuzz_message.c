/*
 * One message through the whole pipeline of eval/: verification (SPF, DKIM,
 * ARC, DMARC, iprev), the decision, and the fields that say so.  The input: a
 * line each for the client's address, HELO and MAIL FROM, then the message.
 *
 * What we write must be read back as what we found, whatever the message says.
 */
#include "fuzz.h"

#include "crypto/crypto.h"
#include "eval/eval.h"
#include "mail/authres.h"

#define NOW INT64_C(1795500000)

static const char zone[] =
	"example.org TXT \"v=spf1 ip4:192.0.2.10 include:inc.test -all\"\n"
	"example.org A 192.0.2.10\n"
	"inc.test TXT \"v=spf1 exists:%{i}.%{h}.x.test a:slow.test ?all\"\n"
	"slow.test A !TIMEOUT\n"
	"10.2.0.192.in-addr.arpa PTR example.org\n"
	"_dmarc.example.org TXT \"v=DMARC1; p=reject; sp=quarantine; np=none\"\n"
	"_dmarc.broken.test TXT !SERVFAIL\n"
	"r._domainkey.example.org TXT \"v=DKIM1; p="
	"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDIKi6B57mPCrTkmw+EJzbTRVbV"
	"iVl74gKDkKvmvM0JOhGK0f+cchagc1FNkwM5SA6XGx9xCGCt0V+WNdxa9K4wJmxu"
	"eO61Uhe8yDQrGvJWzP2l5Q/fdn85yTLJVAaPqCfvcyO041JIpIG8j6blbI+nhPpj"
	"tO+tYpA3+HratOBJLQIDAQAB\"\n"
	"e._domainkey.example.org TXT \"v=DKIM1; k=ed25519; p="
	"oZ0VWcb8Xji3K+5FA1dYAzMqJE5SCNWPRdjXvGFjJTU=\"\n";
static const struct field_limits limits = {200, 65536, 262144};
static const char *const ids[] = {"mx.test"};

static void start(struct eval_env *env)
{
	struct arena *a = arena_new();
	const char *err = NULL;

	*env = (struct eval_env){
		.authserv_id = ids[0],
		.authserv_ids = ids,
		.nauthserv_ids = 1,
		.iprev = true,
		.received_spf = true,
		.dns_wait_ms = 2000,
		.dns_max_queries = 150,
		.dkim = {10, 50, 1024, 4096, 300, crypto_keycache_new(100)},
	};
	env->arc = (struct arc_options){1024, 4096, env->dkim.keycache};
	env->dns = dns_new_zone_text(a, slice_of(zone), &err);
	FUZZ_CHECK(env->dns != NULL);
	arena_free(a);
}

/* The header up to the first empty line; what is no field ends it too. */
static void read_header(struct arena *a, struct slice *rest,
			struct field_list *fields)
{
	struct slice name, value, line, next = *rest;

	while (next.n > 0) {
		line = slice_cut(&next, '\n');
		value = line;
		name = slice_cut(&value, ':');
		if (value.p == NULL || name.n == 0)
			break;
		while (next.n > 0 && ascii_iswsp(next.p[0])) {
			line = slice_cut(&next, '\n');
			value.n = (size_t)(line.p + line.n - value.p);
		}
		field_list_add(a, fields, &limits, name, value);
		*rest = next;
	}
}

static void check_results(const struct results *r, const struct verdict *v)
{
	FUZZ_CHECK(r->spf_mailfrom.status <= SPF_STATUS_PERMERROR);
	FUZZ_CHECK(r->dmarc.status <= DMARC_STATUS_PERMERROR);
	FUZZ_CHECK(fuzz_printable(r->dmarc_explanation));
	/* never against a temporary error (RFC 9989 5.3.6) */
	FUZZ_CHECK(r->dmarc.status == DMARC_STATUS_FAIL ||
		   r->dmarc.status == DMARC_STATUS_PERMERROR ||
		   v->disposition == DMARC_P_NONE);
}

/* RFC 8601 2.2: ours, and each method once at least. */
static void check_authres(struct arena *a, const struct eval_env *env,
			  const struct results *r, const struct verdict *v)
{
	struct slice value = stamp_authres(a, env->authserv_id, r, v);
	struct authres read;
	bool dmarc = false;

	FUZZ_CHECK(authres_parse(a, value, &read));
	FUZZ_CHECK(slice_is(read.id, "mx.test"));
	for (size_t i = 0; i < read.n; i++)
		dmarc = dmarc || slice_is(read.v[i].method, "dmarc");
	FUZZ_CHECK(dmarc);
	FUZZ_CHECK(authres_claims(a, value, ids, 1));
}

/* After the edits no other field claims to be ours (RFC 8601 5). */
static void check_header(struct arena *a, const struct eval_env *env,
			 const struct field_list *fields,
			 const struct edits *edits)
{
	struct field_list after = {0};
	size_t ours = 0;

	stamp_apply(a, fields, edits, &after);
	for (size_t i = 0; i < after.n; i++)
		if (slice_is_ci(after.v[i].name, "Authentication-Results") &&
		    authres_claims(a, after.v[i].value, env->authserv_ids, 1))
			ours++;
	FUZZ_CHECK(ours == 1);
}

static void evaluate(struct arena *a, const struct eval_env *env,
		     const struct client_facts *client,
		     const struct envelope_facts *envelope,
		     const struct field_list *fields, struct slice body)
{
	const struct policy_options o = {.disposition = DISPOSITION_HONOR,
					 .quarantine = QUARANTINE_BOTH};
	struct evaluation *e =
		evaluation_new(a, env, client, envelope, fields);
	struct own_fields own = {0};
	struct edits edits = {0};
	struct results r;
	struct verdict v;

	for (size_t i = 0; i < fields->n; i++)
		stamp_note(a, env, &own, fields->v[i].name, fields->v[i].value);
	evaluation_body(e, body);
	evaluation_end(e, NOW, &r);
	policy_decide(a, &o, &r, &v);
	check_results(&r, &v);
	check_authres(a, env, &r, &v);
	stamp_inbound(a, env, &own, client, envelope, &r, &v, &edits);
	check_header(a, env, fields, &edits);
	evaluation_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct eval_env env;
	struct slice rest = fuzz_input(data, size);
	struct arena *a = arena_new();
	struct client_facts client = {0};
	struct envelope_facts envelope = {0};
	struct field_list fields = {0};

	if (env.dns == NULL)
		start(&env);
	(void)ip_parse(fuzz_line(&rest), &client.addr);
	client.helo = fuzz_line(&rest);
	envelope.sender = fuzz_line(&rest);
	read_header(a, &rest, &fields);
	evaluate(a, &env, &client, &envelope, &fields, rest);
	arena_free(a);
	return 0;
}
