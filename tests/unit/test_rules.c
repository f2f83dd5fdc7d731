/* eval/rules.c: which local rule decides. */
#include <stdio.h>

#include "check.h"

#include "eval/rules.h"

#define LIST(...)                                                              \
	{                                                                      \
		sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *),        \
			(const char *[])                                       \
		{                                                              \
			__VA_ARGS__                                            \
		}                                                              \
	}
#define BIT(x) ((int64_t)1 << (x))

/* A message, and what was found of it. */
static const struct message {
	const char *client, *name, *helo, *listener, *mail, *login, *from;
	const char *rcpts[3];
	const char *field;
	enum spf_status spf;
	enum dkim_status dkim;
	const char *d;
	enum dmarc_status dmarc;
	size_t size;
} normal = {
	.client = "192.0.2.7",
	.name = "mail.list.example",
	.helo = "mail.list.example",
	.listener = "smtpd",
	.mail = "<bounce@list.example>",
	.from = "Ann <ann@Author.example>",
	.rcpts = {"<bob@example.com>", "<eve@example.com>"},
	.field = "List-Id",
	.spf = SPF_STATUS_PASS,
	.dkim = DKIM_STATUS_PASS,
	.d = "list.example",
	.dmarc = DMARC_STATUS_FAIL,
	.size = 5000,
};

struct world {
	struct arena *arena;
	struct client_facts client;
	struct envelope_facts envelope;
	struct field_list fields;
	struct addr_authors authors;
	struct dkim_result dkim;
	struct results results;
	struct rule_facts facts;
	struct rule_outcome out;
};

static void add_field(struct world *w, const char *name, const char *value)
{
	static const struct field_limits limits = {100, 10000, 100000};

	field_list_add(w->arena, &w->fields, &limits, slice_of(name),
		       slice_of(value));
}

static void set_up(struct world *w, const struct message *m)
{
	*w = (struct world){.arena = arena_new()};
	w->client.name = slice_of(m->name);
	w->client.name_confirmed = true;
	w->client.helo = slice_of(m->helo);
	w->client.listener = slice_of(m->listener);
	assert_true(ip_parse(slice_of(m->client), &w->client.addr));
	w->envelope.sender = slice_of(m->mail);
	w->envelope.login = slice_of(m->login);
	add_field(w, "From", m->from);
	if (m->field != NULL)
		add_field(w, m->field, " x");
	addr_authors_of(w->arena, &w->fields, &w->authors);
	w->dkim = (struct dkim_result){.status = m->dkim, .domain = m->d};
	w->results.spf_mailfrom.checked = true;
	w->results.spf_mailfrom.status = m->spf;
	w->results.dkim.n = m->d != NULL;
	w->results.dkim.v = &w->dkim;
	w->results.dmarc.status = m->dmarc;
	w->facts = (struct rule_facts){
		.direction = RULE_INBOUND,
		.client = &w->client,
		.envelope = &w->envelope,
		.fields = &w->fields,
		.authors = &w->authors,
		.results = &w->results,
		.size = m->size,
	};
}

static void run(struct world *w, const struct rules *rules,
		const struct message *m)
{
	struct rule_recipients *to = rule_recipients_new(w->arena, rules);

	for (size_t i = 0; i < 3 && m->rcpts[i] != NULL; i++)
		rule_recipients_add(rules, to, slice_of(m->rcpts[i]));
	w->facts.recipients = to;
	rules_run(w->arena, rules, &w->facts, &w->out);
}

static struct ip_net net(const char *text)
{
	struct ip_net n;

	assert_true(ip_net_parse(slice_of(text), &n));
	return n;
}

static const struct row {
	const char *what;
	struct rule yes, no; /* one that matches `normal`, and one that not */
} rows[] = {
	{"nothing is asked", {.size_above = 0}, {.direction = RULE_OUTBOUND}},
	{"client_name",
	 {.client_name = LIST("other.example", ".list.example")},
	 {.client_name = LIST("list.example")}},
	{"helo",
	 {.helo = LIST("mail.list.example")},
	 {.helo = LIST(".mail.list.example")}},
	{"sender, domain",
	 {.sender = LIST("@list.example")},
	 {.sender = LIST("@.list.example")}},
	{"sender, address",
	 {.sender = LIST("BOUNCE@list.example")},
	 {.sender = LIST("x@list.example", "<>")}},
	{"from",
	 {.from = LIST("author.example")},
	 {.from = LIST("list.example", ".author.example")}},
	{"from, below", {.from = LIST(".example")}, {.from = LIST("example")}},
	{"listener",
	 {.listener = LIST("smtpd")},
	 {.listener = LIST("submission")}},
	{"login", {.login = {0, NULL}}, {.login = LIST("*")}},
	{"spf",
	 {.spf = BIT(SPF_STATUS_PASS) | BIT(SPF_STATUS_NONE)},
	 {.spf = BIT(SPF_STATUS_FAIL) | BIT(RULE_RESULT_ABSENT)}},
	{"dkim",
	 {.dkim = BIT(DKIM_STATUS_PASS)},
	 {.dkim = BIT(DKIM_STATUS_FAIL) | BIT(RULE_RESULT_ABSENT)}},
	{"dmarc",
	 {.dmarc = BIT(DMARC_STATUS_FAIL)},
	 {.dmarc = BIT(DMARC_STATUS_PASS)}},
	{"iprev",
	 {.iprev = BIT(RULE_RESULT_ABSENT)},
	 {.iprev = BIT(IPREV_STATUS_PASS)}},
	{"dkim_domain",
	 {.dkim_domain = LIST("list.example")},
	 {.dkim_domain = LIST("author.example")}},
	{"header",
	 {.header = LIST("X-No", "list-id")},
	 {.header = LIST("X-No", "List-Post")}},
	{"size", {.size_above = 4999}, {.size_above = 5000}},
	{"all recipients, for a mild rule",
	 {.action = RULE_ACCEPT, .recipient = LIST("@example.com")},
	 {.action = RULE_ACCEPT, .recipient = LIST("bob@example.com")}},
	{"none is a mild rule too",
	 {.action = RULE_NONE,
	  .recipient = LIST("bob@example.com", "eve@example.com")},
	 {.action = RULE_NONE, .recipient = LIST("eve@example.com")}},
	{"some recipients, for a strict rule",
	 {.action = RULE_TAG, .recipient = LIST("eve@example.com")},
	 {.action = RULE_REJECT, .recipient = LIST("ann@example.com")}},
	{"two conditions",
	 {.from = LIST("author.example"), .size_above = 10},
	 {.from = LIST("author.example"), .size_above = 9999}},
};

static void test_conditions(void **state)
{
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct rule v[] = {rows[i].no, rows[i].yes};
		struct rules rules = {2, v, "", {0, NULL}};

		v[0].mode = v[1].mode = RULE_ENFORCE;
		set_up(&w, &normal);
		run(&w, &rules, &normal);
		if (w.out.rule != &v[1])
			fail_msg("%s: %s", rows[i].what,
				 w.out.rule == NULL ? "no rule" : "the wrong");
		arena_free(w.arena);
	}
}

static void test_client(void **state)
{
	struct ip_net in = net("192.0.2.0/24"), out = net("198.51.100.0/24");
	const struct rule v[] = {
		{.mode = RULE_ENFORCE, .client = {1, &out}},
		{.mode = RULE_ENFORCE, .client = {1, &in}},
	};
	struct world w;

	(void)state;
	set_up(&w, &normal);
	run(&w, &(struct rules){2, v, "", {0, NULL}}, &normal);
	assert_ptr_equal(w.out.rule, &v[1]);
	arena_free(w.arena);
}

/* What cannot be told matches no condition on it. */
static void test_unknown(void **state)
{
	const struct rule v[] = {
		{.mode = RULE_ENFORCE, .client_name = LIST(".example")},
		{.mode = RULE_ENFORCE, .helo = LIST(".example")},
		{.mode = RULE_ENFORCE, .sender = LIST("@list.example")},
		{.mode = RULE_ENFORCE, .from = LIST(".example")},
		{.mode = RULE_ENFORCE, .spf = BIT(SPF_STATUS_NONE)},
		{.mode = RULE_ENFORCE, .dkim = BIT(DKIM_STATUS_PASS)},
		{.mode = RULE_ENFORCE, .recipient = LIST("@example.com")},
		{.mode = RULE_ENFORCE, .sender = LIST("<>")},
	};
	struct message m = normal;
	struct world w;

	(void)state;
	m.helo = "[192.0.2.7]";
	m.mail = "<>";
	m.from = "x <y";
	m.d = NULL;
	m.rcpts[0] = NULL;
	set_up(&w, &m);
	w.client.name_confirmed = false;
	w.results.spf_mailfrom.checked = false;
	run(&w, &(struct rules){8, v, "", {0, NULL}}, &m);
	assert_ptr_equal(w.out.rule, &v[7]);
	w.facts.direction = RULE_OUTBOUND;
	w.facts.results = NULL;
	run(&w, &(struct rules){8, v, "", {0, NULL}}, &m);
	assert_null(w.out.rule);
	arena_free(w.arena);
}

static void test_monitor(void **state)
{
	const struct rule v[] = {
		{.mode = RULE_MONITOR, .action = RULE_REJECT},
		{.mode = RULE_MONITOR, .size_above = 1000000},
		{.mode = RULE_ENFORCE, .action = RULE_TAG},
		{.mode = RULE_MONITOR, .action = RULE_REJECT},
	};
	struct world w;

	(void)state;
	set_up(&w, &normal);
	run(&w, &(struct rules){4, v, "", {0, NULL}}, &normal);
	assert_ptr_equal(w.out.rule, &v[2]);
	assert_int_equal(w.out.nwould, 1);
	assert_ptr_equal(w.out.would[0], &v[0]);
	arena_free(w.arena);
}

/* Of 10,000 messages the share; and each message the same answer again. */
static void test_percent(void **state)
{
	const struct rule v[] = {
		{.mode = RULE_ENFORCE, .action = RULE_REJECT, .percent = 30}};
	const struct rules rules = {1, v, "secret", {0, NULL}},
			   other = {1, v, "another", {0, NULL}};
	struct message m = normal;
	unsigned drawn = 0, same = 0;
	char id[64];

	(void)state;
	m.field = NULL;
	for (int i = 0; i < 10000; i++) {
		struct world w;
		bool first;

		set_up(&w, &m);
		snprintf(id, sizeof(id), " <%d@list.example>", i);
		add_field(&w, "Message-ID", id);
		run(&w, &rules, &m);
		first = w.out.rule != NULL;
		assert_int_equal(w.out.nwould, !first);
		drawn += first;
		w.envelope.sender = SLICE("<again@other.example>");
		w.client.helo = SLICE("other.example");
		run(&w, &rules, &m);
		assert_int_equal(first, w.out.rule != NULL);
		run(&w, &other, &m);
		same += first == (w.out.rule != NULL);
		arena_free(w.arena);
	}
	assert_in_range(drawn, 2850, 3150);
	assert_in_range(same, 5500, 6100); /* 0.3^2 + 0.7^2 */
}

/* The number that a message draws, which a fleet shares. */
static void test_percent_is_fixed(void **state)
{
	struct world w;
	struct message m = normal;
	unsigned n = 0;

	(void)state;
	m.field = NULL;
	for (int64_t p = 1; p <= 99; p++) {
		const struct rule v[] = {{.mode = RULE_ENFORCE, .percent = p}};

		set_up(&w, &m);
		add_field(&w, "Message-ID", " <1@list.example> ");
		run(&w, &(struct rules){1, v, "fleet", {0, NULL}}, &m);
		n += w.out.rule == NULL;
		arena_free(w.arena);
	}
	/* python3: h = hmac.digest(b"fleet",
	 * b"author.example\n<1@list.example>", "sha256"); int.from_bytes(h[:3],
	 * "big") % 100 */
	assert_int_equal(n, 53);
}

static void test_no_message_id(void **state)
{
	const struct rule v[] = {{.mode = RULE_ENFORCE, .percent = 1}};
	struct world w;

	(void)state;
	for (int i = 0; i < 300; i++) {
		struct message m = normal;
		char from[64];

		/* an empty one would be the same draw for a whole domain */
		snprintf(from, sizeof(from), " a@d%d.example", i);
		m.from = from;
		set_up(&w, &m);
		for (int k = 0; k < (i == 1 ? 0 : 2) && i < 3; k++)
			add_field(&w, "Message-ID", " <1@x>");
		if (i > 3)
			add_field(&w, "Message-ID", " \r\n\t ");
		run(&w, &(struct rules){1, v, "s", {0, NULL}}, &normal);
		assert_ptr_equal(w.out.rule, &v[0]);
		arena_free(w.arena);
	}
}

/* RFC 5321 4.1.1.3: a source route is ignored by whoever delivers. */
static void test_source_route(void **state)
{
	static const char *const paths[] = {
		"<@a.example:eve@example.com>",
		"<@a.example,@b.example:EVE@Example.com>",
		"<\"eve\"@example.com>",
		"eve@example.com",
	};
	const struct rule v[] = {
		{.mode = RULE_MONITOR, .sender = LIST("eve@example.com")},
		{.mode = RULE_MONITOR,
		 .action = RULE_REJECT,
		 .recipient = LIST("eve@example.com")}};
	struct message m = normal;
	struct world w;

	(void)state;
	m.rcpts[1] = NULL;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		m.mail = m.rcpts[0] = paths[i];
		set_up(&w, &m);
		run(&w, &(struct rules){2, v, "", {0, NULL}}, &m);
		if (w.out.nwould != 2)
			fail_msg("%s: %zu", paths[i], w.out.nwould);
		arena_free(w.arena);
	}
}

static bool check(const struct rule *v, size_t n, const char *secret,
		  const char *error, const char *warning)
{
	struct arena *a = arena_new();
	struct strbuf e, w;
	bool ok;

	strbuf_init(&e, a, 65536);
	strbuf_init(&w, a, 65536);
	ok = rules_check(&(struct rules){n, v, secret, {0, NULL}}, &e, &w);
	assert_int_equal(ok, error == NULL);
	assert_string_equal(strbuf_cstr(&e), error != NULL ? error : "");
	assert_string_equal(strbuf_cstr(&w), warning != NULL ? warning : "");
	arena_free(a);
	return ok;
}

#define ACCEPTING(n) .source = "f:" n, .name = n, .mode = RULE_ENFORCE
#define NAMED(n)     ACCEPTING(n), .action = RULE_TAG

static void test_check(void **state)
{
	struct ip_net wide = net("192.0.0.0/16"), narrow = net("192.0.2.0/24");
	static const char never[] =
		"f:b: rules: \"b\" is never reached: all that it matches, "
		"\"a\" decides before\n";

	(void)state;
	check((struct rule[]){{NAMED("a")}, {NAMED("b")}}, 2, "", NULL, never);
	check((struct rule[]){{NAMED("a"), .client = {1, &wide}},
			      {NAMED("b"), .client = {1, &narrow}}},
	      2, "", NULL, never);
	check((struct rule[]){{NAMED("a"), .client = {1, &narrow}},
			      {NAMED("b"), .client = {1, &wide}}},
	      2, "", NULL, NULL);
	check((struct rule[]){{NAMED("a"), .from = LIST("x.example", "y")},
			      {NAMED("b"), .from = LIST("y")}},
	      2, "", NULL, never);
	check((struct rule[]){{NAMED("a"), .from = LIST("y")},
			      {NAMED("b"), .from = LIST("x.example", "y")}},
	      2, "", NULL, NULL);
	check((struct rule[]){{NAMED("a"), .spf = 6},
			      {NAMED("b"), .spf = 4, .size_above = 3}},
	      2, "", NULL, never);
	check((struct rule[]){{NAMED("a"), .spf = 6}, {NAMED("b"), .spf = 5}},
	      2, "", NULL, NULL);
	check((struct rule[]){{NAMED("a"), .size_above = 4},
			      {NAMED("b"), .size_above = 3}},
	      2, "", NULL, NULL);
	/* a share, a monitor, and all recipients leave something to others */
	check((struct rule[]){{NAMED("a"), .percent = 50}, {NAMED("b")}}, 2,
	      "s", NULL, NULL);
	check((struct rule[]){{.source = "f", .name = "a", .action = RULE_TAG},
			      {NAMED("b")}},
	      2, "", NULL, NULL);
	check((struct rule[]){{ACCEPTING("a"), .recipient = LIST("@x")},
			      {NAMED("b"), .recipient = LIST("@x")}},
	      2, "", NULL, NULL);
	check((struct rule[]){{NAMED("a")}, {NAMED("a"), .from = LIST("y")}}, 2,
	      "",
	      "f:a: rules: \"a\" stands here twice, first at f:a; rename one\n",
	      "f:a: rules: \"a\" is never reached: all that it matches, \"a\" "
	      "decides before\n");
	check((struct rule[]){{NAMED("a"), .percent = 50}}, 1, "",
	      "f:a: rules: percent needs secret; give it the same text "
	      "on every host\n",
	      NULL);
	check((struct rule[]){{NAMED("a"), .direction = RULE_OUTBOUND,
			       .dmarc = 4}},
	      1, "",
	      "f:a: rules: outgoing mail has no results; remove spf, dkim, "
	      "arc, dmarc, iprev, dkim_domain and arc_sealer\n",
	      NULL);
}

/* Of no effect, or with an effect that nobody can want. */
static void test_check_members(void **state)
{
	static const char anybody[] =
		"f:a: rules: \"a\" accepts what any sender can write; ask for "
		"client, client_name, dkim_domain, or sender with spf pass "
		"too\n";
	static const char skip[] =
		"f:a: rules: override and skip belong to the action accept; "
		"remove them\n";

	(void)state;
	check((struct rule[]){{NAMED("a"), .override = RULE_OTHER}}, 1, "",
	      skip, NULL);
	check((struct rule[]){{ACCEPTING("a"), .arc_sealer = LIST("x")}}, 1, "",
	      NULL, NULL);
	check((struct rule[]){{NAMED("a"), .skip = 1}}, 1, "", skip, NULL);
	check((struct rule[]){{ACCEPTING("a"), .direction = RULE_OUTBOUND,
			       .skip = 4}},
	      1, "",
	      "f:a: rules: outgoing mail has nothing to skip; remove override "
	      "and skip\n",
	      NULL);
	check((struct rule[]){{NAMED("a"), .text = "No"}}, 1, "",
	      "f:a: rules: text belongs to the actions reject and tempfail; "
	      "remove it\n",
	      NULL);
	check((struct rule[]){{.source = "f:a", .name = "dmarc"}}, 1, "",
	      "f:a: rules: \"dmarc\" cannot be the name of a rule; give "
	      "another one\n",
	      "f:a: rules: \"dmarc\" accepts what any sender can write; ask "
	      "for client, client_name, dkim_domain, or sender with spf pass "
	      "too\n");
	check((struct rule[]){{ACCEPTING("a"), .header = LIST("List-Id")}}, 1,
	      "", NULL, anybody);
	check((struct rule[]){{ACCEPTING("a"), .sender = LIST("@x.example")}},
	      1, "", NULL, anybody);
	check((struct rule[]){{ACCEPTING("a"), .sender = LIST("@x.example"),
			       .spf = BIT(SPF_STATUS_PASS)}},
	      1, "", NULL, NULL);
	check((struct rule[]){{ACCEPTING("a"), .dkim_domain = LIST("x")}}, 1,
	      "", NULL, NULL);
	check((struct rule[]){{ACCEPTING("a"),
			       .skip = BIT(RULE_SKIP_AWARENESS)}},
	      1, "", NULL, NULL);
	check((struct rule[]){{ACCEPTING("a"), .direction = RULE_OUTBOUND}}, 1,
	      "", NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_monitor),
		cmocka_unit_test(test_percent),
		cmocka_unit_test(test_percent_is_fixed),
		cmocka_unit_test(test_no_message_id),
		cmocka_unit_test(test_source_route),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_check_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
