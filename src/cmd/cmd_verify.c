/*
 * mailseal verify: the daemon's evaluation of a message on standard input.
 *
 * The exit status says whether the evaluation could be made, not what it
 * found: 0, or sysexits(3).
 */
#include "cmd/cmd.h"

#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/clock.h"
#include "cmd/resolver_options.h"
#include "cmd/verify_recorded.h"
#include "eval/eval.h"
#include "mail/domain.h"

#define MESSAGE_MAX (256 * 1024 * 1024)

struct arguments {
	const char *ip, *helo, *from, *authserv_id;
	int64_t now;
	bool json;
	const char *recorded;
	struct journal_place journal;
	struct resolver_options resolver;
};

static const struct option long_options[] = {
	{"ip", required_argument, NULL, 'i'},
	{"helo", required_argument, NULL, 'h'},
	{"from", required_argument, NULL, 'f'},
	{"now", required_argument, NULL, 'n'},
	{"authserv-id", required_argument, NULL, 'a'},
	{"json", no_argument, NULL, 'j'},
	{"recorded", required_argument, NULL, 'r'},
	JOURNAL_LONG_OPTIONS,
	RESOLVER_LONG_OPTIONS,
	{0},
};

static bool set_now(struct arguments *o, const char *text)
{
	uint64_t v;

	if (!slice_u64(slice_of(text), INT64_MAX, &v))
		return false;
	o->now = (int64_t)v;
	return true;
}

static int parse(int argc, char **argv, struct arguments *o)
{
	int c;

	*o = (struct arguments){.authserv_id = "localhost", .helo = ""};
	o->now = clock_unix();
	while ((c = getopt_long(argc, argv, "c:", long_options, NULL)) != -1) {
		if (c == 'i')
			o->ip = optarg;
		else if (c == 'h')
			o->helo = optarg;
		else if (c == 'f')
			o->from = optarg;
		else if (c == 'a')
			o->authserv_id = optarg;
		else if (c == 'j')
			o->json = true;
		else if (c == 'r')
			o->recorded = optarg;
		else if (journal_place_take(&o->journal, c, optarg))
			continue;
		else if (c == 'n' ? !set_now(o, optarg)
				  : !resolver_options_take(&o->resolver, c,
							   optarg))
			return cmd_usage("verify", "bad option");
	}
	if (o->recorded == NULL && (o->ip == NULL || o->from == NULL))
		return cmd_usage("verify", "--ip and --from are needed");
	return optind == argc ? 0 : cmd_usage("verify", "too many arguments");
}

static void print_text(struct arena *a, const struct client_facts *client,
		       const struct envelope_facts *envelope,
		       const struct results *r, const struct verdict *v,
		       struct slice authres)
{
	struct log_fields f;

	log_fields_init(&f, a);
	explain_inbound(&f, client, envelope, r, v);
	printf("Authentication-Results: %.*s\n", (int)authres.n, authres.p);
	puts(log_fields_text(&f));
	if (r->second_opinion != NULL)
		printf("libopendmarc differs: %s\n", r->second_opinion);
}

static void run(struct arena *a, const struct arguments *o,
		const struct eval_env *env, const struct client_facts *client,
		struct slice message)
{
	const struct field_limits limits = {1000, 65536, 262144};
	struct policy_options policy = {.disposition = DISPOSITION_MONITOR};
	struct envelope_facts envelope = {.sender = slice_of(o->from)};
	struct field_list fields = {0};
	struct evaluation *e;
	struct results r;
	struct verdict v;
	struct slice body, authres;

	field_list_parse(a, &fields, &limits, message, &body);
	e = evaluation_new(a, env, client, &envelope, &fields);
	evaluation_body(e, body);
	evaluation_end(e, o->now, &r);
	policy.over_limit = policy_over_limit(&fields);
	policy_decide(a, &policy, &r, &v);
	authres = stamp_authres(a, env->authserv_id, &r, &v);
	if (o->json)
		puts(explain_json(a, &r, authres));
	else
		print_text(a, client, &envelope, &r, &v, authres);
	evaluation_free(e);
}

static bool is_bare_lf(struct slice s, size_t i)
{
	return s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r');
}

/* The body of a file has LF line ends; over SMTP it had CRLF.  One copy at
 * most, of the size that it needs: the message may be large. */
static struct slice with_crlf(struct arena *a, struct slice s)
{
	size_t bare = 0, n = 0;
	char *to;

	for (size_t i = 0; i < s.n; i++)
		bare += is_bare_lf(s, i);
	if (bare == 0)
		return s;
	to = arena_alloc(a, s.n + bare);
	for (size_t i = 0; i < s.n; i++) {
		if (is_bare_lf(s, i))
			to[n++] = '\r';
		to[n++] = s.p[i];
	}
	return (struct slice){to, n};
}

static int verify_again(struct arena *a, const struct arguments *o)
{
	struct slice message;

	if (!cmd_read_stdin(a, MESSAGE_MAX, &message))
		return EX_NOINPUT;
	return verify_recorded(a, &o->journal, o->recorded,
			       with_crlf(a, message));
}

static int verify(struct arena *a, const struct arguments *o)
{
	struct eval_env env = {.dns_wait_ms = 20000, .dns_max_queries = 150};
	struct client_facts client = {.helo = slice_of(o->helo)};
	struct slice message;
	int status = 0;

	if (!ip_parse(slice_of(o->ip), &client.addr))
		return cmd_usage("verify", "--ip is no address");
	env.authserv_id = domain_canon(a, slice_of(o->authserv_id));
	if (env.authserv_id == NULL)
		return cmd_usage("verify", "--authserv-id is no domain");
	if (!cmd_read_stdin(a, MESSAGE_MAX, &message))
		return EX_NOINPUT;
	env.dns = resolver_open(a, "verify", &o->resolver, &status);
	if (env.dns == NULL)
		return status;
	env.dkim = (struct dkim_verify_options){
		10, 50, 1024, 4096, 300, crypto_keycache_new(100)};
	env.arc = (struct arc_options){1024, 4096, env.dkim.keycache};
	run(a, o, &env, &client, with_crlf(a, message));
	dns_free(env.dns);
	crypto_keycache_free(env.dkim.keycache);
	return 0;
}

int cmd_verify(int argc, char **argv)
{
	struct arguments o;
	struct arena *a;
	int status = parse(argc, argv, &o);

	if (status != 0)
		return status;
	a = arena_new();
	status = o.recorded != NULL ? verify_again(a, &o) : verify(a, &o);
	arena_free(a);
	return status;
}
