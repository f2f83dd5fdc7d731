/* gate/credential.c: what a service login may do. */
#include "check.h"

#include <stdio.h>

#include "gate/credential.h"
#include "gate/transport.h"

#define NOW 1795500000 /* 2026-11-24T06:00:00Z */

struct world {
	struct arena *arena;
	struct credential k;
	struct gate_facts facts;
	struct gate_fault fault;
};

static void begin(struct world *w)
{
	*w = (struct world){.arena = arena_new()};
	w->k = (struct credential){.source = "c:1", .login = "shop"};
	w->facts.login = SLICE("shop");
	w->facts.nrcpts = 1;
	assert_true(ip_parse(SLICE("192.0.2.17"), &w->facts.client));
}

/* "" or "CODE ENHANCED TEXT (LOG)" */
static const char *check(struct world *w, int64_t now)
{
	const struct smtp_reply *r = &w->fault.reply;

	w->fault = (struct gate_fault){0};
	if (credential_check(w->arena, &w->k, &w->facts, now, "", &w->fault))
		return "";
	return arena_printf(w->arena, "%s %s %s (%s)", r->code, r->enhanced,
			    r->text, w->fault.log);
}

/* What an entry does not have, is not limited. */
static void test_empty(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.facts.nrcpts = 100000;
	assert_string_equal(check(&w, NOW), "");
	assert_false(credential_has_limits(&w.k));
	w.k.limits.recipients_per_day = 1;
	assert_true(credential_has_limits(&w.k));
	arena_free(w.arena);
}

static void test_life(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.k.expires = NOW;
	assert_string_equal(check(&w, NOW - 1), "");
	assert_string_equal(check(&w, NOW),
			    "550 5.7.8 The credential of login shop expired "
			    "2026-11-24T06:00:00Z (expired "
			    "2026-11-24T06:00:00Z)");
	assert_string_equal(check(&w, INT64_MAX), check(&w, NOW));
	w.k.revoked = 1;
	assert_string_equal(check(&w, NOW - 1),
			    "550 5.7.8 The credential of login shop is "
			    "revoked (revoked)");
	assert_false(credential_check(w.arena, &w.k, &w.facts, NOW,
				      "Ask it@example.com", &w.fault));
	assert_string_equal(w.fault.reply.text,
			    "The credential of login shop is revoked. Ask "
			    "it@example.com");
	w.facts.login = SLICE("shop\r\n%s");
	assert_string_equal(check(&w, NOW),
			    "550 5.7.8 The credential of this login is "
			    "revoked (revoked)");
	arena_free(w.arena);
}

static void test_networks(void **state)
{
	struct ip_net nets[2];
	struct world w;

	(void)state;
	begin(&w);
	assert_true(ip_net_parse(SLICE("192.0.2.16/28"), &nets[0]));
	assert_true(ip_net_parse(SLICE("2001:db8::/32"), &nets[1]));
	w.k.networks = (struct ip_nets){2, nets};
	assert_string_equal(check(&w, NOW), "");
	assert_true(ip_parse(SLICE("::ffff:192.0.2.31"), &w.facts.client));
	assert_string_equal(check(&w, NOW), "");
	assert_true(ip_parse(SLICE("2001:db8::5"), &w.facts.client));
	assert_string_equal(check(&w, NOW), "");
	assert_true(ip_parse(SLICE("192.0.2.32"), &w.facts.client));
	assert_string_equal(check(&w, NOW),
			    "550 5.7.1 login shop may not send from "
			    "192.0.2.32 (client 192.0.2.32)");
	/* An address that nobody knows is in no network. */
	w.facts.client = (struct ip){0};
	assert_string_equal(check(&w, NOW),
			    "550 5.7.1 login shop may not send from an unknown "
			    "address (client unknown)");
	arena_free(w.arena);
}

static void test_tls(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.k.tls_version = TLS_1_2;
	assert_string_equal(check(&w, NOW),
			    "530 5.7.0 Must issue a STARTTLS command first: "
			    "login shop needs TLS (login shop needs TLS)");
	w.facts.transport.version = SLICE("TLSv1.1");
	assert_string_equal(check(&w, NOW),
			    "550 5.7.1 login shop needs TLSv1.2 or later "
			    "(login shop needs TLSv1.2 or later)");
	w.facts.transport.version = SLICE("TLSv1.2");
	assert_string_equal(check(&w, NOW), "");
	arena_free(w.arena);
}

static void test_recipients(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.k.recipients = 50;
	w.facts.nrcpts = 50;
	assert_string_equal(check(&w, NOW), "");
	w.facts.nrcpts = 51;
	assert_string_equal(check(&w, NOW),
			    "550 5.5.3 51 recipients, login shop may have 50 "
			    "in one message (51 recipients)");
	/* what will never be within a limit is not put off */
	w.k.recipients = 0;
	w.k.limits.recipients_per_day = 40;
	w.k.limits.recipients_per_hour = 30;
	w.facts.nrcpts = 31;
	assert_string_equal(check(&w, NOW),
			    "550 5.5.3 31 recipients, login shop may have 30 "
			    "in one message (31 recipients)");
	w.k.limits.recipients_per_hour = 0;
	assert_string_equal(check(&w, NOW), "");
	arena_free(w.arena);
}

/* The worst fault is the one that is told. */
static void test_order(void **state)
{
	static const char *const wants[] = {
		"(revoked)", "(expired 1970", "(client 192.0.2.17)",
		"(login shop needs TLS)", "(2 recipients)"};
	struct ip_net net;
	struct world w;

	(void)state;
	begin(&w);
	assert_true(ip_net_parse(SLICE("198.51.100.0/24"), &net));
	w.facts.nrcpts = 2;
	w.k.revoked = 1;
	w.k.expires = 1;
	w.k.networks = (struct ip_nets){1, &net};
	w.k.tls_version = TLS_1_3;
	w.k.recipients = 1;
	for (size_t i = 0; i < 5; i++) {
		const char *got = check(&w, NOW);

		if (strstr(got, wants[i]) == NULL)
			fail_msg("%s, not %s", got, wants[i]);
		switch (i) {
		case 0:
			w.k.revoked = 0;
			break;
		case 1:
			w.k.expires = 0;
			break;
		case 2:
			w.k.networks.n = 0;
			break;
		default:
			w.k.tls_version = TLS_NONE;
		}
	}
	arena_free(w.arena);
}

static const struct {
	const char *local, *domain, *delimiter;
	bool want;
} addresses[] = {
	{"orders", "example.com", "", true},
	{"ORDERS", "example.com", "", true},
	{"orders", "a.example.com", "", false},
	{"order", "example.com", "", false},
	{"orderss", "example.com", "", false},
	{"orders+1", "example.com", "", false},
	{"orders+1", "example.com", "+", true},
	{"orders-1", "example.com", "+", false},
	{"+orders", "example.com", "+", false},
	{"", "example.com", "+", false},
	{"any", "news.example.com", "", true},
	{"any", "x.news.example.com", "", false},
	{"any", "ws.example.com", "", false},
	{"orders@example.com", "example.net", "", false},
	{"x@news.example.com", "example.net", "", false},
};

static void test_addresses(void **state)
{
	const char *v[] = {"orders@example.com", "@news.example.com"};
	const struct credential k = {.addresses = {2, v}};

	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
		const char *local = addresses[i].local;
		struct slice s = check_heap(local, strlen(local));

		if (credential_has_address(&k, s, addresses[i].domain,
					   addresses[i].delimiter) !=
		    addresses[i].want)
			fail_msg("%s@%s", local, addresses[i].domain);
		free(unconst(s.p));
	}
}

static const char *found(const struct credential_table *t, const char *login)
{
	struct slice s = check_heap(login, strlen(login));
	const struct credential *k = credential_find(t, s);

	free(unconst(s.p));
	return k != NULL ? k->source : "none";
}

static void test_find(void **state)
{
	static const struct credential v[] = {
		{.source = "1", .login = "shop"},
		{.source = "2", .login = "News@example.com"},
		{.source = "3", .login = "shop@example.com"},
	};
	struct arena *a = arena_new();
	struct credential_table *t;
	struct strbuf errors;

	(void)state;
	strbuf_init(&errors, a, 4096);
	t = credential_table_new(v, 3, false, &errors);
	assert_int_equal(credential_table_size(t), 3);
	assert_string_equal(found(t, "shop"), "1");
	assert_string_equal(found(t, "SHOP"), "1");
	assert_string_equal(found(t, "shop@EXAMPLE.com"), "3");
	assert_string_equal(found(t, "news@example.com"), "2");
	assert_string_equal(found(t, "news"), "none");
	assert_string_equal(found(t, "shop "), "none");
	assert_string_equal(found(t, "sho"), "none");
	assert_string_equal(found(t, ""), "none");
	credential_table_free(t);
	/* Without its realm the third is the first. */
	assert_null(credential_table_new(v, 3, true, &errors));
	assert_string_equal(strbuf_cstr(&errors),
			    "3: login \"shop@example.com\" stands here twice, "
			    "first at 1; remove one\n");
	strbuf_init(&errors, a, 4096);
	t = credential_table_new(v, 2, true, &errors);
	assert_non_null(t);
	assert_string_equal(found(t, "shop@any.example"), "1");
	assert_string_equal(found(t, "news@any.example"), "2");
	assert_string_equal(found(t, "news"), "2");
	assert_string_equal(found(t, "a@b@any.example"), "none");
	assert_string_equal(found(t, "@any.example"), "none");
	credential_table_free(t);
	/* An empty table is none of everything. */
	t = credential_table_new(NULL, 0, false, &errors);
	assert_string_equal(found(t, "shop"), "none");
	credential_table_free(t);
	credential_table_free(NULL);
	assert_int_equal(errors.n, 0);
	arena_free(a);
}

static void test_mistakes(void **state)
{
	static const struct credential twice[] = {
		{.source = "f:1", .login = "shop"},
		{.source = "f:9", .login = "SHOP"},
	};
	static const struct credential realm[] = {
		{.source = "f:4", .login = "@example.com"},
	};
	struct arena *a = arena_new();
	struct strbuf errors;

	(void)state;
	strbuf_init(&errors, a, 4096);
	assert_null(credential_table_new(twice, 2, false, &errors));
	assert_string_equal(strbuf_cstr(&errors),
			    "f:9: login \"SHOP\" stands here twice, first at "
			    "f:1; remove one\n");
	strbuf_init(&errors, a, 4096);
	assert_null(credential_table_new(realm, 1, true, &errors));
	assert_string_equal(strbuf_cstr(&errors),
			    "f:4: login \"@example.com\" is nothing without "
			    "its realm; give a name before the \"@\"\n");
	arena_free(a);
}

static void test_over_limit(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	credential_over_limit(w.arena, &w.k, "messages per hour", 500,
			      NOW + 3600, "Ask IT", &w.fault);
	assert_string_equal(w.fault.reply.code, "450");
	assert_string_equal(w.fault.reply.enhanced, "4.7.1");
	assert_string_equal(w.fault.reply.text,
			    "Limit of 500 messages per hour of login shop is "
			    "reached, it frees at 2026-11-24T07:00:00Z. Ask "
			    "IT");
	assert_string_equal(w.fault.log, "messages per hour, frees "
					 "2026-11-24T07:00:00Z");
	arena_free(w.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_over_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
