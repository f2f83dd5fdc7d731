/* gate/login.c: classes of logins, and who demands which. */
#include "check.h"

#include "gate/login.h"

#define ANY  (LOGIN_PASSWORD | LOGIN_TOKEN | LOGIN_KERBEROS)
#define TWO  (LOGIN_TOKEN | LOGIN_CERTIFICATE)
#define NONE NULL

/* The registry of SASL mechanisms; names are compared without regard to case
 * (RFC 4422 3.1). */
static const struct {
	const char *mechanism, *want;
} mechanisms[] = {
	{"PLAIN", "password"},
	{"plain", "password"},
	{"Login", "password"},
	{"CRAM-MD5", "password"},
	{"DIGEST-MD5", "password"},
	{"NTLM", "password"},
	{"SCRAM-SHA-1", "password"},
	{"SCRAM-SHA-256", "password"},
	{"SCRAM-SHA-256-PLUS", "password+bound"}, /* RFC 5802 6 */
	{"scram-sha-512-plus", "password+bound"},
	{"SCRAM-PLUS-SHA-256", "password"},
	{"XOAUTH2", "token"},
	{"OAUTHBEARER", "token"}, /* RFC 7628 */
	{"oauthbearer", "token"},
	{"OAUTHBEARER-PLUS", "none"}, /* there is none */
	{"GSSAPI", "kerberos"},
	{"GSS-SPNEGO", "kerberos"},
	{"GS2-KRB5", "kerberos"}, /* RFC 5801 */
	{"GS2-KRB5-PLUS", "kerberos+bound"},
	{"GSSAPI-PLUS", "none"},
	{"EXTERNAL", "none"}, /* the certificate speaks for itself */
	{"ANONYMOUS", "none"},
	{"PLAINX", "none"},
	{"PLAI", "none"},
	{"-PLUS", "none"},
	{"", "none"},
};

struct world {
	struct arena *arena;
	struct login_rules rules;
	struct gate_facts facts;
	struct addr_authors authors;
	struct field_list fields;
	struct gate_fault fault;
};

static int setup(void **state)
{
	static const struct login_certificate certificates[] = {
		{"c:1", "backup", "Example CA", "backup"},
		{"c:2", "printer", "Example CA", NULL},
	};
	struct world *w = calloc(1, sizeof(*w));

	w->arena = arena_new();
	w->rules.certificates = certificates;
	w->rules.ncertificates = 2;
	w->rules.delimiter = "";
	w->facts.authors = &w->authors;
	w->facts.fields = &w->fields;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	arena_free(w->arena);
	free(w);
	return 0;
}

static const char *classes_text(struct world *w, unsigned classes)
{
	struct log_fields f;

	log_fields_init(&f, w->arena);
	login_classes_log(&f, classes);
	return log_fields_text(&f) + strlen(" class=");
}

static const char *classes(struct world *w)
{
	return classes_text(w, login_classes(&w->rules, &w->facts));
}

static void test_mechanisms(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(*mechanisms); i++) {
		const char *m = mechanisms[i].mechanism;
		struct slice s = check_heap(m, strlen(m));

		w->facts.mechanism = s;
		if (strcmp(classes(w), mechanisms[i].want) != 0)
			fail_msg("%s: %s", m, classes(w));
		free(unconst(s.p));
	}
}

/* Postfix gives no subject of a certificate that it does not trust, and no
 * {verify}; Sendmail gives both. */
static const struct certificate_row {
	const char *what;
	bool tells_trust;
	const char *verify, *subject, *issuer, *login, *want;
} certificates[] = {
	{"Postfix, trusted", false, "", "backup", "Example CA", "backup",
	 "certificate"},
	{"Postfix, untrusted", false, "", "", "", "backup", "none"},
	{"Postfix, without issuer", false, "", "backup", "", "backup", "none"},
	{"Sendmail, trusted", true, "OK", "backup", "Example CA", "backup",
	 "certificate"},
	{"Sendmail, self-signed", true, "FAIL", "backup", "Example CA",
	 "backup", "none"},
	{"Sendmail, none sent", true, "NO", "", "", "backup", "none"},
	{"Sendmail, none asked for", true, "NOT", "backup", "Example CA",
	 "backup", "none"},
	{"Sendmail, no TLS", true, "NONE", "backup", "Example CA", "backup",
	 "none"},
	{"Sendmail, nothing told", true, "", "backup", "Example CA", "backup",
	 "none"},
	{"Sendmail, spelt otherwise", true, "ok", "backup", "Example CA",
	 "backup", "none"},
	{"Sendmail, more than OK", true, "OK ", "backup", "Example CA",
	 "backup", "none"},
	{"valid, of another name", false, "", "mallory", "Example CA", "backup",
	 "none"},
	{"valid, of another issuer", false, "", "backup", "Other CA", "backup",
	 "none"},
	{"subject and issuer of two entries", false, "", "backup", "backup",
	 "backup", "none"},
	{"the subject in other case", false, "", "Backup", "Example CA",
	 "backup", "none"},
	{"with the login of somebody else", false, "", "backup", "Example CA",
	 "alice", "none"},
	{"with no login", false, "", "backup", "Example CA", "", "none"},
	{"the login in other case", false, "", "backup", "Example CA", "BACKUP",
	 "certificate"},
	{"of any login", false, "", "printer", "Example CA", "alice",
	 "certificate"},
};

static void set_certificate(struct world *w, const struct certificate_row *r)
{
	struct transport_facts *t = &w->facts.transport;

	w->facts.login = slice_of(r->login);
	t->tells_trust = r->tells_trust;
	t->verify = slice_of(r->verify);
	t->cert_subject = slice_of(r->subject);
	t->cert_issuer = slice_of(r->issuer);
}

static void test_certificates(void **state)
{
	struct world *w = *state;

	w->facts.mechanism = SLICE("EXTERNAL");
	for (size_t i = 0; i < sizeof(certificates) / sizeof(*certificates);
	     i++) {
		set_certificate(w, &certificates[i]);
		if (strcmp(classes(w), certificates[i].want) != 0)
			fail_msg("%s: %s", certificates[i].what, classes(w));
	}
	set_certificate(w, &certificates[0]);
	w->facts.mechanism = SLICE("SCRAM-SHA-256-PLUS");
	assert_string_equal(classes(w), "password+certificate+bound");
}

/* submission.login_realm = "strip" is about these logins too. */
static void test_certificate_realm(void **state)
{
	static const struct login_certificate own = {"c:1", "backup", "CA",
						     "backup@sso.example"};
	struct world *w = *state;

	set_certificate(w, &certificates[0]);
	w->facts.login = SLICE("backup@realm.example");
	assert_string_equal(classes(w), "none");
	w->rules.strip_realm = true;
	assert_string_equal(classes(w), "certificate");
	w->facts.login = SLICE("alice@realm.example");
	assert_string_equal(classes(w), "none");
	w->rules.certificates = &own;
	w->rules.ncertificates = 1;
	w->facts.transport.cert_issuer = SLICE("CA");
	w->facts.login = SLICE("backup");
	assert_string_equal(classes(w), "certificate");
}

/* ---- demands ---- */

static const char groups[] = "admins  alice, carol\n";
static const char senders[] = "alice@example.com alice\n";

static const struct login_demand demands[] = {
	{"d:1", "finance@example.com", NONE, NONE, TWO},
	{"d:2", NONE, "bank.example", NONE, LOGIN_TOKEN | LOGIN_BOUND},
	{"d:3", NONE, NONE, "admins", LOGIN_KERBEROS},
	{"d:4", "ceo@bank.example", NONE, NONE, LOGIN_CERTIFICATE},
};

static const struct row {
	const char *what, *login, *mechanism, *mail, *from, *sender;
	const char *log; /* NULL: strong enough */
} rows[] = {
	{"an address without demand", "bob", "PLAIN", "<bob@example.com>",
	 "bob@example.com", NONE, NONE},
	{"From is strong", "bob", "PLAIN", "<bob@example.com>",
	 "Finance <FINANCE@Example.com>", NONE,
	 "From FINANCE@example.com needs token|certificate"},
	{"and the login too", "bob", "OAUTHBEARER", "<bob@example.com>",
	 "finance@example.com", NONE, NONE},
	{"MAIL FROM is", "bob", "PLAIN", "<finance@example.com>",
	 "bob@example.com", NONE,
	 "MAIL FROM finance@example.com needs token|certificate"},
	{"the second author is", "bob", "PLAIN", "<bob@example.com>",
	 "bob@example.com, finance@example.com", NONE,
	 "From finance@example.com needs token|certificate"},
	{"Sender is", "bob", "PLAIN", "<bob@example.com>", "bob@example.com",
	 "finance@example.com",
	 "Sender finance@example.com needs token|certificate"},
	{"a bounce", "bob", "PLAIN", "<>", "finance@example.com", NONE,
	 "From finance@example.com needs token|certificate"},
	{"quoted", "bob", "PLAIN", "<bob@example.com>",
	 "\"finance\"@example.com", NONE,
	 "From finance@example.com needs token|certificate"},
	{"a subdomain is another", "bob", "PLAIN", "<bob@a.example.com>",
	 "finance@a.example.com", NONE, NONE},
	{"kerberos is none of the two", "bob", "GSSAPI", "<bob@example.com>",
	 "finance@example.com", NONE,
	 "From finance@example.com needs token|certificate"},
	{"EXTERNAL alone is none", "bob", "EXTERNAL", "<bob@example.com>",
	 "finance@example.com", NONE,
	 "From finance@example.com needs token|certificate"},
	{"a domain", "bob", "PLAIN", "<bob@example.com>", "x@bank.example",
	 NONE, "From x@bank.example needs token|bound"},
	{"bound will do", "bob", "SCRAM-SHA-256-PLUS", "<bob@example.com>",
	 "x@bank.example", NONE, NONE},
	{"the domain is met, the address not", "bob", "XOAUTH2",
	 "<bob@example.com>", "ceo@bank.example", NONE,
	 "From ceo@bank.example needs certificate"},
	{"a member of the group", "ALICE", "PLAIN", "<alice@example.com>",
	 "alice@example.com", NONE, "login ALICE needs kerberos"},
	{"by kerberos", "alice", "GSSAPI", "<alice@example.com>",
	 "alice@example.com", NONE, NONE},
	{"a member with a strong address", "carol", "XOAUTH2",
	 "<carol@example.com>", "finance@example.com", NONE,
	 "login carol needs kerberos"},
	{"nobody logged in", "", "", "<bob@example.com>", "finance@example.com",
	 NONE, "From finance@example.com needs token|certificate"},
	/* What cannot be read may be any address. */
	{"From cannot be read", "bob", "PLAIN", "<bob@example.com>",
	 "finance@example.com <x", NONE,
	 "From (text after an address) needs token|certificate"},
	{"MAIL FROM has no domain", "bob", "PLAIN", "<finance>",
	 "bob@example.com", NONE,
	 "MAIL FROM (no address with a domain) needs token|certificate"},
	{"Sender cannot be read", "bob", "PLAIN", "<bob@example.com>",
	 "bob@example.com", "finance@",
	 "Sender (malformed domain) needs "
	 "token|certificate"},
	/* Nothing that it shows looks like a field of the log. */
	{"From looks like a field", "bob", "PLAIN", "<bob@example.com>",
	 "signed=yes@bank.example", NONE,
	 "From <signed=yes@bank.example> needs token|bound"},
	{"a strong login need not be readable here", "alice", "GSSAPI", "<>",
	 "bob@example.com", NONE, NONE},
};

static void add_field(struct world *w, const char *name, const char *value)
{
	static const struct field_limits limits = {100, 10000, 100000};

	if (value != NULL)
		field_list_add(w->arena, &w->fields, &limits, slice_of(name),
			       slice_of(value));
}

static void fill(struct world *w, const struct row *row)
{
	w->fields = (struct field_list){0};
	add_field(w, "From", row->from);
	add_field(w, "Sender", row->sender);
	addr_authors_of(w->arena, &w->fields, &w->authors);
	w->facts.login = slice_of(row->login);
	w->facts.mechanism = slice_of(row->mechanism);
	w->facts.mail = slice_of(row->mail);
}

static bool check(struct world *w, const char *coaching)
{
	struct gate_claims c;

	gate_claims_of(w->arena, &w->facts, &c);
	w->fault = (struct gate_fault){0};
	return login_check(w->arena, &w->rules, &w->facts, &c, coaching,
			   &w->fault);
}

static struct sender_table *table(struct world *w)
{
	struct sender_options o = {.delimiter = ""};
	struct strbuf errors;
	struct sender_table *t;

	strbuf_init(&errors, w->arena, 4096);
	t = sender_table_read((struct sender_text){SLICE(senders), "s"},
			      (struct sender_text){SLICE(groups), "g"}, &o,
			      &errors, &errors);
	if (t == NULL)
		fail_msg("%s", strbuf_cstr(&errors));
	w->rules.senders = t;
	w->rules.demands = demands;
	w->rules.ndemands = sizeof(demands) / sizeof(*demands);
	return t;
}

static void test_demands(void **state)
{
	struct world *w = *state;
	struct sender_table *t = table(w);
	unsigned bad = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		bool ok;

		fill(w, &rows[i]);
		ok = check(w, "");
		if (ok == (rows[i].log == NULL) &&
		    (ok || strcmp(w->fault.log, rows[i].log) == 0))
			continue;
		print_error("%s: %s\n", rows[i].what,
			    ok ? "strong" : w->fault.log);
		bad++;
	}
	assert_int_equal(bad, 0);
	sender_table_free(t);
}

static void test_groups(void **state)
{
	struct sender_table *t = table(*state);

	assert_true(sender_has_group(t, "ADMINS"));
	assert_false(sender_has_group(t, "alice")); /* a login */
	assert_false(sender_has_group(t, "admin"));
	assert_false(sender_has_group(t, ""));
	sender_table_free(t);
}

/* Without the table there are no groups; the others stay. */
static void test_no_table(void **state)
{
	struct world *w = *state;

	sender_table_free(table(w));
	w->rules.senders = NULL;
	fill(w, &(struct row){.login = "alice",
			      .mechanism = "PLAIN",
			      .mail = "<alice@example.com>",
			      .from = "alice@example.com"});
	assert_true(check(w, ""));
	fill(w, &rows[1]);
	assert_false(check(w, ""));
}

/* Two From fields, two Sender fields, a header over its limits: any address
 * may be among them. */
static void test_hidden(void **state)
{
	static const struct field_limits few = {3, 10000, 100000};
	struct world *w = *state;
	const struct row *own = &rows[0];

	w->rules.demands = demands;
	w->rules.ndemands = 1;
	fill(w, own);
	assert_true(check(w, ""));
	add_field(w, "FROM", "finance@example.com");
	addr_authors_of(w->arena, &w->fields, &w->authors);
	assert_false(check(w, ""));
	fill(w, own);
	add_field(w, "Sender", "bob@example.com");
	add_field(w, "Sender", "finance@example.com");
	assert_false(check(w, ""));
	fill(w, own);
	for (size_t i = 0; i < 3; i++)
		field_list_add(w->arena, &w->fields, &few, SLICE("X"),
			       SLICE(" y"));
	field_list_add(w->arena, &w->fields, &few, SLICE("Sender"),
		       SLICE(" finance@example.com"));
	addr_authors_of(w->arena, &w->fields, &w->authors);
	assert_false(check(w, ""));
}

/* What is an alias for who owns it (submission.recipient_delimiter), is one
 * here. */
static void test_extension(void **state)
{
	struct world *w = *state;
	const struct row row = {.login = "bob",
				.mechanism = "PLAIN",
				.mail = "<bob@example.com>",
				.from = "Finance+x@example.com"};

	w->rules.demands = demands;
	w->rules.ndemands = 1;
	fill(w, &row);
	assert_true(check(w, ""));
	w->rules.delimiter = "-+";
	assert_false(check(w, ""));
	assert_string_equal(w->fault.log, "From Finance+x@example.com needs "
					  "token|certificate");
}

static void test_reply(void **state)
{
	struct world *w = *state;

	w->rules.demands = demands;
	w->rules.ndemands = 1;
	fill(w, &rows[1]);
	assert_false(check(w, "See https://sso.example.com/"));
	assert_string_equal(w->fault.reply.code, "550");
	assert_string_equal(w->fault.reply.enhanced, "5.7.9");
	assert_string_equal(w->fault.reply.text,
			    "From FINANCE@example.com needs a login by token "
			    "or certificate, this one is by password. See "
			    "https://sso.example.com/");
	w->facts.mechanism = SLICE("EXTERNAL\r\n250 %n");
	assert_false(check(w, ""));
	assert_string_equal(w->fault.reply.text,
			    "From FINANCE@example.com needs a login by token "
			    "or certificate, this one is by none");
	assert_string_equal(classes_text(w, ANY | LOGIN_BOUND),
			    "password+token+kerberos+bound");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mechanisms, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_certificates, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_certificate_realm, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_demands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hidden, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extension, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_reply, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
