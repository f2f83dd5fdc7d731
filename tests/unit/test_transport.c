/* gate/transport.c: what a connection is, and what it must be. */
#include "check.h"

#include "gate/transport.h"

static const struct {
	const char *name;
	enum tls_version want;
} versions[] = {
	{"SSLv3", TLS_SSL3},	 {"TLSv1", TLS_1_0},   {"TLSv1.0", TLS_1_0},
	{"TLSv1.1", TLS_1_1},	 {"TLSv1.2", TLS_1_2}, {"TLSv1.3", TLS_1_3},
	{"", TLS_NONE},		 {"none", TLS_NONE},   {"TLSv1.4", TLS_NONE},
	{"tlsv1.3", TLS_NONE},	 {"TLS1.3", TLS_NONE}, {"TLSv1.3 ", TLS_NONE},
	{"TLSv1.2\n", TLS_NONE}, {"SSLv2", TLS_NONE},
};

static void test_versions(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
		const char *name = versions[i].name;
		struct slice s = check_heap(name, strlen(name));

		if (tls_version_of(s) != versions[i].want)
			fail_msg("%s", name);
		free(unconst(s.p));
	}
	assert_string_equal(tls_version_name(TLS_1_2), "TLSv1.2");
	assert_string_equal(tls_version_name(TLS_NONE), "none");
}

#define CIPHER SLICE("TLS_AES_256_GCM_SHA384")

static const struct {
	const char *what;
	struct transport_facts facts;
	const char *want;
} texts[] = {
	{"no TLS", {.bits = 0}, "none"},
	{"TLS",
	 {.version = SLICE("TLSv1.3"), .cipher = CIPHER, .bits = 256},
	 "TLSv1.3/TLS_AES_256_GCM_SHA384/256"},
	{"a certificate",
	 {.version = SLICE("TLSv1.3"),
	  .cipher = CIPHER,
	  .bits = 256,
	  .cert_subject = SLICE("Backup of A"),
	  .cert_issuer = SLICE("CA")},
	 "TLSv1.3/TLS_AES_256_GCM_SHA384/256 cert=\"Backup of A\" "
	 "issuer=\"CA\""},
	{"one that is not trusted",
	 {.version = SLICE("TLSv1.3"),
	  .cipher = CIPHER,
	  .bits = 256,
	  .cert_subject = SLICE("Backup"),
	  .cert_issuer = SLICE("CA"),
	  .tells_trust = true,
	  .verify = SLICE("FAIL")},
	 "TLSv1.3/TLS_AES_256_GCM_SHA384/256"},
	/* The client chose it: it must not look like another field. */
	{"a subject with quotes and line ends",
	 {.version = SLICE("TLSv1.2"),
	  .cipher = SLICE("X\nY Z"),
	  .bits = 128,
	  .cert_subject = SLICE("a\" class=token \"\r\n%s\\"),
	  .cert_issuer = SLICE("\" class=b")},
	 "TLSv1.2/X\\x0aY\\x20Z/128 cert=\"a\\x22 class=token "
	 "\\x22\\x0d\\x0a%s\\x5c\" issuer=\"\\x22 class=b\""},
};

static void test_text(void **state)
{
	struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct log_fields f;

		log_fields_init(&f, a);
		transport_log(&f, &texts[i].facts);
		assert_string_equal(log_fields_text(&f),
				    arena_printf(a, " tls=%s", texts[i].want));
	}
	arena_free(a);
}

/* ---- demands ---- */

struct world {
	struct arena *arena;
	struct gate_facts facts;
	struct gate_claim claims[2];
	struct gate_claims c;
	struct gate_fault fault;
};

static void begin(struct world *w, const char *client)
{
	*w = (struct world){.arena = arena_new()};
	assert_true(ip_parse(slice_of(client), &w->facts.client));
	w->c.v = w->claims;
}

static void tls(struct world *w, const char *version, unsigned bits)
{
	w->facts.transport.version = slice_of(version);
	w->facts.transport.bits = bits;
}

static void certificate(struct world *w, const char *subject,
			const char *issuer)
{
	w->facts.transport.cert_subject = slice_of(subject);
	w->facts.transport.cert_issuer = slice_of(issuer);
}

static void claim(struct world *w, const char *domain)
{
	w->claims[w->c.n++] = (struct gate_claim){
		.field = "From", .local = SLICE("x"), .domain = domain};
}

/* "" or what is wrong. */
static const char *check(struct world *w, const struct transport_rules *r)
{
	w->fault = (struct gate_fault){0};
	return transport_check(w->arena, r, &w->facts, &w->c, "", &w->fault)
		       ? ""
		       : w->fault.log;
}

static void test_logins(void **state)
{
	const struct transport_rules r = {.login_version = TLS_1_2,
					  .login_bits = 128};
	struct world w;

	(void)state;
	begin(&w, "192.0.2.1");
	assert_string_equal(check(&w, &r), ""); /* no login, no peer */
	w.facts.login = SLICE("bob");
	assert_string_equal(check(&w, &r), "login bob needs TLS");
	assert_string_equal(w.fault.reply.code, "530"); /* RFC 3207 4 */
	assert_string_equal(w.fault.reply.enhanced, "5.7.0");
	assert_string_equal(w.fault.reply.text,
			    "Must issue a STARTTLS command first: login bob "
			    "needs TLS");
	tls(&w, "TLSv1.1", 256);
	assert_string_equal(check(&w, &r), "login bob needs TLSv1.2 or later");
	assert_string_equal(w.fault.reply.code, "550");
	assert_string_equal(w.fault.reply.enhanced, "5.7.1");
	assert_string_equal(w.fault.reply.text,
			    "login bob needs TLSv1.2 or later");
	tls(&w, "TLSv9", 256); /* nobody knows how good it is */
	assert_string_equal(check(&w, &r), "login bob needs TLSv1.2 or later");
	tls(&w, "TLSv1.2", 112);
	assert_string_equal(check(&w, &r),
			    "login bob needs a cipher of 128 bits or more");
	tls(&w, "TLSv1.2", 128);
	assert_string_equal(check(&w, &r), "");
	tls(&w, "TLSv1.3", 256);
	assert_string_equal(check(&w, &r), "");
	tls(&w, "", 0);
	w.facts.local = true; /* sendmail(1) has no connection */
	assert_string_equal(check(&w, &r), "");
	w.facts.local = false;
	w.facts.login = SLICE("signed=yes");
	assert_string_equal(check(&w, &r), "login <signed=yes> needs TLS");
	w.facts.login = SLICE("b\r\n250 %n");
	assert_false(transport_check(w.arena, &r, &w.facts, &w.c, "Ask IT",
				     &w.fault));
	assert_string_equal(w.fault.reply.text,
			    "Must issue a STARTTLS command first: this login "
			    "needs TLS. Ask IT");
	assert_string_equal(w.fault.log, "this login needs TLS");
	arena_free(w.arena);
}

/* Each of the demands by itself means TLS. */
static void test_any_demand(void **state)
{
	static const struct transport_peer peers[] = {
		{.domain = "a.example", .version = TLS_SSL3},
		{.domain = "a.example", .bits = 1},
		{.domain = "a.example", .certificate = 1},
		{.domain = "a.example", .subject = "s"},
		{.domain = "a.example", .issuer = "i"},
	};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		const struct transport_rules r = {.npeers = 1,
						  .peers = &peers[i]};
		struct world w;

		begin(&w, "192.0.2.1");
		claim(&w, "a.example");
		assert_string_equal(check(&w, &r), "a.example needs TLS");
		tls(&w, "TLSv1", 56);
		if (i < 2)
			assert_string_equal(check(&w, &r), "");
		else
			assert_string_equal(
				check(&w, &r),
				"a.example needs a client certificate");
		certificate(&w, "s", "i");
		assert_string_equal(check(&w, &r), "");
		certificate(&w, "t", "j");
		assert_int_equal(check(&w, &r)[0] == '\0', i < 3);
		certificate(&w, "s", "i");
		w.facts.transport.tells_trust = true;
		assert_int_equal(check(&w, &r)[0] == '\0', i < 2);
		w.facts.transport.verify = SLICE("NO");
		assert_int_equal(check(&w, &r)[0] == '\0', i < 2);
		w.facts.transport.verify = SLICE("OK");
		assert_string_equal(check(&w, &r), "");
		arena_free(w.arena);
	}
}

static const struct {
	const char *what, *client, *domain;
	const char *want;
} peer_rows[] = {
	{"the domain", "192.0.2.1", "a.example", "a.example needs TLS"},
	{"below it", "192.0.2.1", "x.y.a.example", "a.example needs TLS"},
	{"no label of it", "192.0.2.1", "xa.example", ""},
	{"above it", "192.0.2.1", "example", ""},
	{"another", "192.0.2.1", "b.example", ""},
	{"cannot be read", "192.0.2.1", NULL, ""},
	{"the network", "198.51.100.9", "b.example", "your network needs TLS"},
	{"the network, no address", "198.51.100.9", NULL,
	 "your network needs TLS"},
	{"mapped IPv4", "::ffff:198.51.100.9", "b.example",
	 "your network needs TLS"},
	{"another network", "198.51.101.9", "b.example", ""},
	{"IPv6", "2001:db8:5::1", "b.example", "your network needs TLS"},
	{"both", "203.0.113.7", "c.example", "c.example needs TLS"},
	{"only the network of both", "203.0.113.7", "b.example", ""},
	{"only the domain of both", "192.0.2.1", "c.example", ""},
};

static void test_peers(void **state)
{
	struct ip_net office[2], partner[1];
	const struct transport_peer peers[] = {
		{.domain = "a.example", .version = TLS_1_2},
		{.networks = {2, office}, .version = TLS_1_2},
		{.domain = "c.example",
		 .networks = {1, partner},
		 .version = TLS_1_2},
	};
	const struct transport_rules r = {.npeers = 3, .peers = peers};
	struct world w;

	(void)state;
	assert_true(ip_net_parse(SLICE("198.51.100.0/24"), &office[0]));
	assert_true(ip_net_parse(SLICE("2001:db8:5::/48"), &office[1]));
	assert_true(ip_net_parse(SLICE("203.0.113.0/24"), &partner[0]));
	for (size_t i = 0; i < sizeof(peer_rows) / sizeof(*peer_rows); i++) {
		begin(&w, peer_rows[i].client);
		claim(&w, "other.example");
		claim(&w, peer_rows[i].domain);
		if (strcmp(check(&w, &r), peer_rows[i].want) != 0)
			fail_msg("%s: %s", peer_rows[i].what, check(&w, &r));
		arena_free(w.arena);
	}
	/* Local submission comes from no network. */
	begin(&w, "198.51.100.9");
	w.facts.client = (struct ip){0};
	assert_string_equal(check(&w, &r), "");
	arena_free(w.arena);
}

/* A login that is a peer too: both demands. */
static void test_login_and_peer(void **state)
{
	static const struct transport_peer peer = {.domain = "a.example",
						   .version = TLS_1_3};
	const struct transport_rules r = {
		.login_version = TLS_1_2, .npeers = 1, .peers = &peer};
	struct world w;

	(void)state;
	begin(&w, "192.0.2.1");
	w.facts.login = SLICE("bob");
	tls(&w, "TLSv1.2", 256);
	claim(&w, "b.example");
	assert_string_equal(check(&w, &r), "");
	claim(&w, "a.example");
	assert_string_equal(check(&w, &r), "a.example needs TLSv1.3 or later");
	arena_free(w.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_logins),
		cmocka_unit_test(test_any_demand),
		cmocka_unit_test(test_peers),
		cmocka_unit_test(test_login_and_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
