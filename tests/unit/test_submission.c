/* gate/submission.c: a login's rights to the addresses of a message. */
#include "check.h"

#include "gate/submission.h"

static const char table[] =
	"alice@example.com alice\n"
	"info@example.com alice, bob\n"
	"@example.org carol\n"
	"long@" /* and 3 labels of 60 */
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	"aaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	"bbbbbbbbbbbbbbbbb.example.com dave\n"
	"a1@example.net erin\na2@example.net erin\n"
	"a3@example.net erin\na4@example.net erin\n";

static const struct row {
	const char *what, *login, *mail, *from, *sender;
	const char *log; /* NULL: all owned */
} rows[] = {
	{"its own", "alice", "<alice@example.com>", "Alice <alice@example.com>",
	 NULL, NULL},
	{"another's MAIL FROM", "alice", "<bob@example.com>",
	 "alice@example.com", NULL, "MAIL FROM bob@example.com"},
	{"another's From", "bob", "<info@example.com>", "alice@example.com",
	 NULL, "From alice@example.com"},
	{"the second author is another", "alice", "<alice@example.com>",
	 "info@example.com, ceo@example.com", NULL, "From ceo@example.com"},
	{"two of its own", "alice", "<alice@example.com>",
	 "info@example.com, alice@example.com", NULL, NULL},
	{"another's Sender", "alice", "<alice@example.com>",
	 "alice@example.com", "ceo@example.com", "Sender ceo@example.com"},
	{"its own Sender", "alice", "<alice@example.com>", "alice@example.com",
	 "info@example.com", NULL},
	{"a bounce of its own", "alice", "<>", "alice@example.com", NULL, NULL},
	{"a bounce of another", "alice", "<>", "bob@example.com", NULL,
	 "From bob@example.com"},
	{"a whole domain", "carol", "<x@example.org>", "y@example.org", NULL,
	 NULL},
	{"not its subdomains", "carol", "<x@example.org>", "y@a.example.org",
	 NULL, "From y@a.example.org"},
	{"nobody logged in", "", "<alice@example.com>", "alice@example.com",
	 NULL, "MAIL FROM alice@example.com"},
	{"From cannot be read", "alice", "<alice@example.com>",
	 "alice@example.com <x@y", NULL, "From (text after an address)"},
	{"an empty group", "alice", "<alice@example.com>", "x:;", NULL,
	 "From (no address)"},
	{"MAIL FROM without domain", "alice", "<alice>", "alice@example.com",
	 NULL, "MAIL FROM (no address with a domain)"},
	{"MAIL FROM at a literal", "alice", "<alice@[192.0.2.1]>",
	 "alice@example.com", NULL, "MAIL FROM (no address with a domain)"},
	{"quoted, it is the same", "alice", "<\"alice\"@example.com>",
	 "\"alice\"@EXAMPLE.com", NULL, NULL},
	{"a local-part with blanks", "alice", "<\"a % b\"@example.com>",
	 "alice@example.com", NULL, "MAIL FROM ...@example.com"},
};

struct world {
	struct arena *arena;
	struct sender_table *senders;
	struct field_list fields;
	struct addr_authors authors;
	struct submission_rights rights;
	struct gate_facts facts;
	struct gate_fault fault;
	bool ok;
};

static void add_field(struct world *w, const char *name, const char *value)
{
	static const struct field_limits limits = {100, 10000, 100000};

	if (value != NULL)
		field_list_add(w->arena, &w->fields, &limits, slice_of(name),
			       slice_of(value));
}

static void check(struct world *w, const char *coaching)
{
	struct gate_claims c;

	gate_claims_of(w->arena, &w->facts, &c);
	w->fault = (struct gate_fault){0};
	w->ok = submission_check(w->arena, &w->rights, &w->facts, &c, coaching,
				 &w->fault);
}

static void run(struct world *w, const struct row *row, const char *coaching)
{
	struct sender_options o = {.delimiter = ""};
	struct sender_text none = {SLICE(""), ""};
	struct sender_text text = {SLICE(table), "table"};
	struct strbuf errors, warnings;

	*w = (struct world){.arena = arena_new()};
	strbuf_init(&errors, w->arena, 4096);
	strbuf_init(&warnings, w->arena, 4096);
	w->senders = sender_table_read(text, none, &o, &errors, &warnings);
	if (w->senders == NULL)
		fail_msg("%s", strbuf_cstr(&errors));
	add_field(w, "From", row->from);
	add_field(w, "Sender", row->sender);
	addr_authors_of(w->arena, &w->fields, &w->authors);
	w->rights = (struct submission_rights){.senders = w->senders,
					       .delimiter = ""};
	w->facts = (struct gate_facts){
		.login = slice_of(row->login),
		.mail = slice_of(row->mail),
		.authors = &w->authors,
		.fields = &w->fields,
	};
	check(w, coaching);
}

static void done(struct world *w)
{
	sender_table_free(w->senders);
	arena_free(w->arena);
}

static void test_rows(void **state)
{
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *log = rows[i].log;

		run(&w, &rows[i], "");
		if (w.ok != (log == NULL) ||
		    (log != NULL && strcmp(w.fault.log, log) != 0))
			fail_msg("%s: %s", rows[i].what,
				 w.ok ? "owned" : w.fault.log);
		done(&w);
	}
}

static void test_several_senders(void **state)
{
	struct world w;

	(void)state;
	run(&w, &rows[0], "");
	add_field(&w, "Sender", "alice@example.com");
	add_field(&w, "sender", "alice@example.com");
	check(&w, "");
	assert_false(w.ok);
	assert_string_equal(w.fault.log, "Sender (several Sender fields)");
	done(&w);
}

/* The addresses of a credential are all that its login may use. */
static void test_credential(void **state)
{
	const char *v[] = {"news@example.net", "@example.org"};
	const struct credential k = {.login = "alice", .addresses = {2, v}};
	struct world w;

	(void)state;
	run(&w, &rows[0], "");
	assert_true(w.ok);
	w.rights.credential = &k;
	check(&w, "");
	assert_false(w.ok);
	assert_string_equal(w.fault.reply.text,
			    "Sender address rejected, MAIL FROM "
			    "alice@example.com is not owned by login alice; it "
			    "owns news@example.net, @example.org");
	done(&w);
	run(&w,
	    &(struct row){.login = "alice",
			  .mail = "<NEWS+7@example.net>",
			  .from = "any@example.org"},
	    "");
	w.rights.credential = &k;
	check(&w, "");
	assert_string_equal(w.fault.log, "MAIL FROM NEWS+7@example.net");
	w.rights.delimiter = "+";
	check(&w, "");
	assert_true(w.ok);
	w.rights.senders = NULL; /* nor is a table needed */
	assert_true(submission_has_rights(&w.rights));
	check(&w, "");
	assert_true(w.ok);
	done(&w);
}

static const struct reply_row {
	struct row row;
	const char *help, *want;
} replies[] = {
	{{.login = "alice",
	  .mail = "<bob@example.com>",
	  .from = "alice@example.com"},
	 "",
	 "Sender address rejected, MAIL FROM bob@example.com is not owned by "
	 "login alice; it owns alice@example.com, info@example.com"},
	{{.login = "erin", .mail = "<a1@example.net>", .from = "x@example.net"},
	 "Ask it@example.net",
	 "Sender address rejected, From x@example.net is not owned by login "
	 "erin; it owns a1@example.net, a2@example.net, a3@example.net and "
	 "more. Ask it@example.net"},
	{{.login = "mallory",
	  .mail = "<bob@example.com>",
	  .from = "alice@example.com"},
	 "",
	 "Sender address rejected, MAIL FROM bob@example.com is not owned by "
	 "login mallory"},
	{{.login = "m%s\r\n250 ok",
	  .mail = "<\"%n\"@example.com>",
	  .from = "alice@example.com"},
	 "",
	 "Sender address rejected, MAIL FROM ...@example.com is not owned by "
	 "this login"},
	{{.login = "",
	  .mail = "<bob@example.com>",
	  .from = "alice@example.com"},
	 "",
	 "Sender address rejected, MAIL FROM bob@example.com needs a login"},
	{{.login = "alice", .mail = "<alice@example.com>", .from = "x <y"},
	 "",
	 "Sender address rejected, From cannot be checked: address without "
	 "domain"},
};

static void test_replies(void **state)
{
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(replies) / sizeof(*replies); i++) {
		run(&w, &replies[i].row, replies[i].help);
		assert_string_equal(w.fault.reply.text, replies[i].want);
		assert_string_equal(w.fault.reply.code, "550");
		assert_string_equal(w.fault.reply.enhanced, "5.7.1");
		done(&w);
	}
	run(&w, &replies[0].row, (char[500]){[0 ... 498] = 'x'});
	assert_int_equal(strlen(w.fault.reply.text), SMTP_REPLY_MAX);
	done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_several_senders),
		cmocka_unit_test(test_credential),
		cmocka_unit_test(test_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
