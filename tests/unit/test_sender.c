/* gate/sender.h: which login owns which sender, by the rules of postmap(1) and
 * of Postfix's smtpd_sender_login_maps; and postmap's own answers. */
#include "check.h"

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gate/sender.h"

#define POSTMAP "/usr/sbin/postmap"

static const char *const local[] = {"local.test", "xn--bcher-kva.test"};
static const struct sender_options plain = {
	.delimiter = "+", .local_domains = local, .nlocal_domains = 2};

/* A table from texts, with what was said of them. */
struct reading {
	struct arena *a;
	struct sender_table *t;
	struct strbuf errors, warnings;
};

static struct reading read_n(struct slice senders, struct slice groups,
			     const struct sender_options *o)
{
	struct reading ret = {.a = arena_new()};
	struct slice s = check_heap(senders.p, senders.n);
	struct slice g = check_heap(groups.p, groups.n);

	strbuf_init(&ret.errors, ret.a, 65536);
	strbuf_init(&ret.warnings, ret.a, 65536);
	ret.t = sender_table_read((struct sender_text){s, "senders"},
				  (struct sender_text){g, "groups"}, o,
				  &ret.errors, &ret.warnings);
	free(unconst(s.p));
	free(unconst(g.p));
	assert_true((ret.t == NULL) == (ret.errors.n > 0));
	return ret;
}

static struct reading read_text(const char *senders, const char *groups,
				const struct sender_options *o)
{
	return read_n(slice_of(senders), slice_of(groups), o);
}

static void drop(struct reading *r)
{
	sender_table_free(r->t);
	arena_free(r->a);
}

static struct reading read_good(const char *senders, const char *groups,
				const struct sender_options *o)
{
	struct reading ret = read_text(senders, groups, o);

	if (ret.t == NULL)
		fail_msg("%s", strbuf_cstr(&ret.errors));
	return ret;
}

/* `address`: unquoted, its domain after the last "@". */
static bool owns(const struct sender_table *t, const char *login,
		 const char *address)
{
	const char *at = strrchr(address, '@');
	struct slice l = check_heap(login, strlen(login));
	struct slice s = check_heap(address, (size_t)(at - address));
	bool ret = sender_owns(t, l, s, at + 1);

	free(unconst(l.p));
	free(unconst(s.p));
	return ret;
}

/* ---- look-ups ------------------------------------------------------------ */

static const char order_text[] = "alice@example.com\talice\n"
				 "bob+lists@example.com lists\n"
				 "bob@example.com bob\n"
				 "@example.com domain\n"
				 "alice user\n"
				 "carol+x carolx\n"
				 "carol carol\n"
				 "dave@local.test dave\n"
				 "dave nobody\n"
				 "@local.test local\n"
				 "@b\xc3\xbc"
				 "cher.test buch\n"
				 "UPPER@EXAMPLE.ORG Upper\n"
				 "\"john smith\"@example.org john\n"
				 "\"a@b\"@example.org ab\n"
				 "postmaster@example.org pm\n"
				 "owner-x@example.org ow\n"
				 "+x@example.org plus\n"
				 "..dots.@example.org dots\n"
				 "m\xc3\xa4x@example.org max\n";

/* Who owns the address: the first login given, and none of the others. */
static void test_order(void **state)
{
	static const char *const rows[][2] = {
		{"alice@example.com", "alice"},
		{"ALICE@example.com", "alice"},
		/* without the extension */
		{"alice+x@example.com", "alice"},
		{"alice+x+y@example.com", "alice"},
		{"bob+lists@example.com", "lists"},
		{"BOB+Lists@example.com", "lists"},
		{"bob+lists+x@example.com", "bob"},
		{"bob+@example.com", "bob"},
		{"bob+other@example.com", "bob"},
		{"bob@example.com", "bob"},
		{"eve@example.com", "domain"},
		{"alice-x@example.com", "domain"},
		{"+alice@example.com", "domain"},
		/* user, at local domains only, before @domain */
		{"alice@local.test", "user"},
		{"alice+x@local.test", "user"},
		{"carol+x@local.test", "carolx"},
		{"carol+y@local.test", "carol"},
		{"dave@local.test", "dave"},
		{"dave+x@local.test", "dave"},
		{"eve@local.test", "local"},
		{"carol@example.com", "domain"},
		{"carol@example.net", ""},
		{"alice@example.net", ""},
		{"alice@sub.example.com", ""},
		{"alice@sub.local.test", ""},
		{"alice@xn--bcher-kva.test", "user"},
		{"eve@xn--bcher-kva.test", "buch"},
		{"upper@example.org", "upper"},
		{"uPPer@example.org", "UPPER"},
		{"john smith@example.org", "john"},
		{"John Smith+x@example.org", "john"},
		{"johnsmith@example.org", ""},
		{"a@b@example.org", "ab"},
		/* a local-part is not taken for an address */
		{"alice@example.com@local.test", "local"},
		{"@example.com@local.test", "local"},
		{"alice@example.com@example.net", ""},
		/* names that have no extension */
		{"postmaster@example.org", "pm"},
		{"owner-x@example.org", "ow"},
		{"+x@example.org", "plus"},
		{"..dots.@example.org", "dots"},
		{"m\xc3\xa4x@example.org", "max"},
		{"M\xc3\xa4X@example.org", "max"},
		{"m\xc3\x84x@example.org", ""},
		{"@example.com", "domain"},
		{"alice@", ""},
	};
	struct reading r = read_good(order_text, "", &plain);

	(void)state;
	assert_int_equal(sender_table_size(r.t), 19);
	assert_int_equal(r.warnings.n, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
			if (owns(r.t, rows[k][1], rows[i][0]) !=
			    (*rows[k][1] != '\0' &&
			     slice_is_ci(slice_of(rows[k][1]), rows[i][1])))
				fail_msg("%s by \"%s\"", rows[i][0],
					 rows[k][1]);
	}
	assert_false(sender_owns(r.t, SLICE("alice"), SLICE("alice"), NULL));
	assert_false(
		sender_owns(r.t, SLICE(""), SLICE("alice"), "example.com"));
	assert_false(sender_owns(r.t, SLICE("alice\0"), SLICE("alice"),
				 "example.com"));
	assert_false(sender_owns(r.t, SLICE("alice"), SLICE("alice\0"),
				 "example.org"));
	drop(&r);
}

static void test_delimiters(void **state)
{
	static const struct {
		const char *delimiter, *address;
		bool owned;
	} rows[] = {
		{"", "u+x@d.test", false},
		{NULL, "u+x@d.test", false},
		{"+", "u+x@d.test", true},
		{"-", "u+x@d.test", false},
		{"-", "u-x@d.test", true},
		/* Postfix: a set; the first of them counts */
		{"+-", "u-x+y@d.test", true},
		{"+-", "u+x-y@d.test", true},
		{"+", "u-x+y@d.test", false},
		/* never split */
		{"-", "mailer-daemon@d.test", false},
		{"-", "Mailer-Daemon@d.test", false},
		{"-", "double-bounce@d.test", false},
		{"o", "postmaster@d.test", false},
		{"o", "postmastor@d.test", true},
		{"-", "owner-u@d.test", false},
		{"-", "u-request@d.test", false},
		{"-", "u-requests@d.test", true},
		{"+", "owner-v+x@d.test", true},
		{"+-", "owner-v+x@d.test", false},
		{"-", "-request@d.test", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sender_options o = {.delimiter = rows[i].delimiter};
		struct reading r = read_good("u@d.test me\nmailer@d.test me\n"
					     "double@d.test me\np@d.test me\n"
					     "owner@d.test me\n"
					     "owner-v@d.test me\n",
					     "", &o);

		if (owns(r.t, "me", rows[i].address) != rows[i].owned)
			fail_msg("%s with \"%s\"", rows[i].address,
				 rows[i].delimiter != NULL ? rows[i].delimiter
							   : "NULL");
		drop(&r);
	}
}

static void test_realm(void **state)
{
	struct sender_options o = {.strip_realm = true};
	const char *text = "a@d.test alice@realm.test\nb@d.test bob\n"
			   "c@d.test staff@one\n";
	const char *groups = "staff@two carol@x dave\n";
	struct reading r = read_good(text, groups, &o);

	(void)state;
	assert_true(owns(r.t, "alice", "a@d.test"));
	assert_true(owns(r.t, "alice@realm.test", "a@d.test"));
	assert_true(owns(r.t, "alice@other", "a@d.test"));
	assert_false(owns(r.t, "alice@x@y", "a@d.test"));
	assert_false(owns(r.t, "@realm.test", "a@d.test"));
	assert_true(owns(r.t, "bob@anything", "b@d.test"));
	assert_true(owns(r.t, "carol", "c@d.test"));
	assert_true(owns(r.t, "dave@z", "c@d.test"));
	assert_true(owns(r.t, "staff@z", "c@d.test"));
	drop(&r);
	o.strip_realm = false;
	r = read_good(text, groups, &o);
	assert_true(owns(r.t, "ALICE@realm.TEST", "a@d.test"));
	assert_false(owns(r.t, "alice", "a@d.test"));
	assert_false(owns(r.t, "bob@anything", "b@d.test"));
	assert_false(owns(r.t, "carol@x", "c@d.test"));
	drop(&r);
}

static void test_groups(void **state)
{
	struct reading r = read_good("a@d.test staff, eve\nb@d.test bosses\n"
				     "c@d.test staff bosses\nd@d.test bob\n",
				     "# who\nStaff alice,\n bob\n"
				     "bosses carol ALICE\nunused zoe\n",
				     &plain);
	static const struct {
		const char *login, *owned;
	} rows[] = {
		{"alice", "abc"}, {"bob", "acd"},  {"eve", "a"},
		{"carol", "bc"},  {"staff", "ac"}, {"BOSSES", "bc"},
		{"zoe", ""},	  {"unused", ""},  {"dave", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (const char *p = "abcd"; *p != '\0'; p++) {
			char address[] = "?@d.test";

			address[0] = *p;
			if (owns(r.t, rows[i].login, address) !=
			    (strchr(rows[i].owned, *p) != NULL))
				fail_msg("%s by %s", address, rows[i].login);
		}
	drop(&r);
}

static void check_keys(const struct reading *r, const char *login, size_t max,
		       const char *want)
{
	const char *keys[16] = {NULL};
	size_t n = sender_keys_of(r->t, r->a, slice_of(login), keys, max);
	struct strbuf b;

	assert_true(n <= max);
	strbuf_init(&b, r->a, 1000);
	for (size_t i = 0; i < n; i++)
		strbuf_printf(&b, "%s%s", i > 0 ? " " : "", keys[i]);
	assert_string_equal(strbuf_cstr(&b), want);
}

static void test_keys_of(void **state)
{
	struct reading r = read_good(
		"zoe@d.test staff alice alice\n\"b \\\"\\\\c\"@D.test bob\n"
		"@b\xc3\xbc"
		"cher.test Staff\nuser alice, bob, staff\n"
		"a@d.test alice\nZOE@d.test bob\n",
		"staff alice bob\nother alice\n", &plain);

	(void)state;
	check_keys(&r, "alice", 16,
		   "zoe@d.test @xn--bcher-kva.test user a@d.test");
	check_keys(&r, "alice", 4,
		   "zoe@d.test @xn--bcher-kva.test user a@d.test");
	check_keys(&r, "alice", 3, "zoe@d.test @xn--bcher-kva.test user");
	check_keys(&r, "ALICE", 1, "zoe@d.test");
	check_keys(&r, "alice", 0, "");
	check_keys(&r, "bob", 16,
		   "zoe@d.test \"b \\\"\\\\c\"@d.test @xn--bcher-kva.test "
		   "user");
	check_keys(&r, "staff", 16, "zoe@d.test @xn--bcher-kva.test user");
	check_keys(&r, "other", 16, "");
	check_keys(&r, "nobody", 16, "");
	check_keys(&r, "", 16, "");
	drop(&r);
}

/* ---- the syntax ---------------------------------------------------------- */

static void test_syntax(void **state)
{
	static const struct {
		const char *text;
		size_t n;
	} rows[] = {
		{"", 0},
		{"\n\n", 0},
		{"# only\n  # comments\n \t\n", 0},
		{"a@d.test me", 1},
		{"a@d.test me\n", 1},
		{"a@d.test me\r\n", 1},
		{"a@d.test\tx,me\n", 1},
		{"a@d.test x , me\n", 1},
		{"a@d.test x\tme  \n", 1},
		{"a@d.test\n me\n", 1},
		{"a@d.test\n\n\n\tme\n", 1},
		{"a@d.test x\n# comment\n  # and one\n\n me\n", 1},
		{"a@d.test x,\n me\n", 1},
		{"a@d.test me\nb@d.test x\n", 2},
		{"\"a\"@d.test me\n", 1},
		{"\"\\a\"@d.test me\n", 1},
		{"A@D.Test. ME\n", 1},
		{"a@d.test x # me\n", 1}, /* no comment: logins "#", "me" */
		{"a@d.test\vme\f\n", 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct reading r = read_good(rows[i].text, "", &plain);

		assert_int_equal(sender_table_size(r.t), rows[i].n);
		if (owns(r.t, "me", "a@d.test") != (rows[i].n > 0))
			fail_msg("row %zu", i);
		assert_false(owns(r.t, "#", "b@d.test"));
		drop(&r);
	}
}

static void check_said(const char *got, const char *want)
{
	if (strcmp(got, want) != 0)
		fail_msg("got:  %s\nwant: %s", got, want);
}

#define NO_ADDRESS                                                             \
	"\" is no address; give user@domain, user or @domain, without a "      \
	"colon, and characters that need it in double quotes\n"

static void test_errors(void **state)
{
	static const struct {
		const char *senders, *groups, *errors;
	} rows[] = {
		{"a@d.test\n", "",
		 "senders:1: key \"a@d.test\" has no value; give the logins "
		 "after it\n"},
		{"\n# x\nok@d.test me\na@d.test  \nb@d.test me\n", "",
		 "senders:4: key \"a@d.test\" has no value; give the logins "
		 "after it\n"},
		{"a@ me\n", "",
		 "senders:1: key \"a@\" has no domain after the \"@\"; give "
		 "one, or drop the \"@\"\n"},
		{"@ me\n", "",
		 "senders:1: key \"@\" has no domain after the \"@\"; give "
		 "one, or drop the \"@\"\n"},
		{"a@d..test me\n", "",
		 "senders:1: key \"a@d..test\" has no valid domain after the "
		 "\"@\"; give one like example.com, without a colon\n"},
		{"a@[192.0.2.1] me\n", "",
		 "senders:1: key \"a@[192.0.2.1]\" has no valid domain after "
		 "the \"@\"; give one like example.com, without a colon\n"},
		{"a@d.test: me\n", "",
		 "senders:1: key \"a@d.test:\" has no valid domain after the "
		 "\"@\"; give one like example.com, without a colon\n"},
		{"alice: me\n", "", "senders:1: key \"alice:" NO_ADDRESS},
		{"a@b@d.test me\n", "",
		 "senders:1: key \"a@b@d.test" NO_ADDRESS},
		{"<> me\n", "", "senders:1: key \"<>" NO_ADDRESS},
		{"a\\b@d.test me\n", "",
		 "senders:1: key \"a\\x5cb@d.test" NO_ADDRESS},
		{"a\"b\"@d.test me\n", "",
		 "senders:1: key \"a\"b\"@d.test" NO_ADDRESS},
		{"\"\"@d.test me\n", "",
		 "senders:1: key \"\"\"@d.test\" has nothing in its quotes; "
		 "for each address of a domain give @domain\n"},
		{"\"a b@d.test\" me\n", "",
		 "senders:1: key \"\"a b@d.test\"\" is all in quotes; quote "
		 "only what is before the \"@\"\n"},
		{"\"a\"b@d.test me\n", "",
		 "senders:1: key \"\"a\"b@d.test\" has something after its "
		 "quotes that is no \"@\"; remove it\n"},
		{"\"a\001\"@d.test me\n", "",
		 "senders:1: key \"\"a\\x01\"@d.test\" has a control "
		 "character; remove it\n"},
		{"\"a b@d.test me\n", "",
		 "senders:1: a double quote is not closed in \"\"a b@d.test "
		 "me\"; close it\n"},
		{"\"a b\\\"@d.test me\n", "",
		 "senders:1: a double quote is not closed in \"\"a "
		 "b\\x5c\"@d.test me\"; close it\n"},
		{" a@d.test me\n", "",
		 "senders:1: the line begins with white space, but there is "
		 "none before it to continue; begin it with the key\n"},
		{"a@d.test x,,me\n", "",
		 "senders:1: an empty login is in \"x,,me\"; remove the "
		 "comma\n"},
		{"a@d.test x,\n\n  # x\n , me\n", "",
		 "senders:1: an empty login is in \"x, , me\"; remove the "
		 "comma\n"},
		{"a@d.test ,me\n", "",
		 "senders:1: an empty login is in \",me\"; remove the comma\n"},
		{"a@d.test me,\n", "",
		 "senders:1: an empty login is in \"me,\"; remove the "
		 "comma\n"},
		{"a@d.test ,\n", "",
		 "senders:1: an empty login is in \",\"; remove the comma\n"},
		{"a@d.test staff\n", "staff\n",
		 "groups:1: key \"staff\" has no value; give the logins after "
		 "it\n"},
		{"a@d.test staff\n", "staff bob\nall eve\n staff\n",
		 "groups:2: member \"staff\" is a group, and groups do not "
		 "nest; give its logins instead\n"},
		{"a@d.test staff\n", "all staff\nstaff bob\n",
		 "groups:1: member \"staff\" is a group, and groups do not "
		 "nest; give its logins instead\n"},
		{"a@d.test staff\n", "staff: bob\n",
		 "groups:1: \"staff:\" is no name of a group; give one without "
		 "quotes, commas and a colon at its end\n"},
		{"a@d.test staff\n", "\"my staff\" bob\n",
		 "groups:1: \"\"my staff\"\" is no name of a group; give one "
		 "without quotes, commas and a colon at its end\n"},
		{"a@d.test staff\n", "a,b bob\n",
		 "groups:1: \"a,b\" is no name of a group; give one without "
		 "quotes, commas and a colon at its end\n"},
		{"a@d.test\nb@ x\n", "g\n",
		 "groups:1: key \"g\" has no value; give the logins after it\n"
		 "senders:1: key \"a@d.test\" has no value; give the logins "
		 "after it\n"
		 "senders:2: key \"b@\" has no domain after the \"@\"; give "
		 "one, or drop the \"@\"\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct reading r =
			read_text(rows[i].senders, rows[i].groups, &plain);

		check_said(strbuf_cstr(&r.errors), rows[i].errors);
		drop(&r);
	}
}

static void test_realm_errors(void **state)
{
	struct sender_options o = {.strip_realm = true};
	struct reading r = read_text("a@d.test x @r\n", "@g a\n", &o);

	(void)state;
	check_said(strbuf_cstr(&r.errors),
		   "groups:1: \"@g\" is no name of a group; give one without "
		   "quotes, commas and a colon at its end\n"
		   "senders:1: login \"@r\" is empty without its realm; remove "
		   "it\n");
	drop(&r);
}

static void test_warnings(void **state)
{
	static const struct sender_options nowhere = {.delimiter = "+"};
	static const struct {
		const char *senders;
		const struct sender_options *o;
		const char *warnings;
	} rows[] = {
		{"a@d.test me\n\nA@D.TEST you\n", &plain,
		 "senders:3: duplicate entry \"A@D.TEST\": the first one "
		 "counts; remove one\n"},
		{"a@b\xc3\xbc"
		 "cher.test me\na@xn--bcher-kva.test you\n",
		 &plain,
		 "senders:2: duplicate entry \"a@xn--bcher-kva.test\": the "
		 "first one counts; remove one\n"},
		{"a me\n", &plain, ""},
		{"a me\n", &nowhere,
		 "senders:1: key \"a\" never matches, since no domain is "
		 "local; give user@domain, @domain or a local domain\n"},
		{"* me\n", &plain,
		 "senders:1: key \"*\": \"*\" is no wildcard; for each address "
		 "of a domain give @domain\n"},
		{"*@d.test me\n", &plain,
		 "senders:1: key \"*@d.test\": \"*\" is no wildcard; for each "
		 "address of a domain give @domain\n"},
		{"\"a\"@d.test me\n", &plain,
		 "senders:1: key \"\"a\"@d.test\" needs no quotes, and Postfix "
		 "does not find it with them; drop them\n"},
		{"\"a b\"@d.test me\n", &plain, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct reading r = read_good(rows[i].senders, "", rows[i].o);

		check_said(strbuf_cstr(&r.warnings), rows[i].warnings);
		drop(&r);
	}
}

/* The first of two lines counts, and "*" is nobody's wildcard. */
static void test_doubtful(void **state)
{
	struct reading r = read_good("a@d.test me\nA@D.test you\n* me\n"
				     "*@d.test me\n",
				     "g one\nG two\n", &plain);

	(void)state;
	assert_int_equal(sender_table_size(r.t), 3);
	assert_true(owns(r.t, "me", "a@d.test"));
	assert_false(owns(r.t, "you", "a@d.test"));
	assert_false(owns(r.t, "me", "b@d.test"));
	assert_false(owns(r.t, "me", "b@local.test"));
	assert_true(owns(r.t, "me", "*@local.test"));
	assert_non_null(strstr(strbuf_cstr(&r.warnings),
			       "groups:2: duplicate entry \"G\""));
	drop(&r);
}

static void test_many_errors(void **state)
{
	struct arena *a = arena_new();
	struct reading r;
	struct strbuf b;
	const char *said;

	(void)state;
	strbuf_init(&b, a, 65536);
	for (int i = 1; i <= 30; i++)
		strbuf_printf(&b, "k%d@\nw@d.test me\n", i);
	r = read_text(strbuf_cstr(&b), "", &plain);
	said = strbuf_cstr(&r.errors);
	assert_non_null(strstr(said, "senders:39: key \"k20@\""));
	assert_null(strstr(said, "k21@"));
	assert_non_null(strstr(said, "\nand 10 more\n"));
	said = strbuf_cstr(&r.warnings);
	assert_non_null(strstr(said, "senders:42: duplicate"));
	assert_null(strstr(said, "senders:44:"));
	assert_non_null(strstr(said, "\nand 9 more\n"));
	drop(&r);
	arena_free(a);
}

static void test_limits(void **state)
{
	size_t n = SENDER_LINE_MAX + 1;
	char *text = malloc(n + 1);
	struct reading r;

	(void)state;
	memset(text, 'x', n);
	memcpy(text, "a@d.test ", 9);
	text[n] = '\n';
	r = read_n((struct slice){text, n + 1}, SLICE(""), &plain);
	check_said(strbuf_cstr(&r.errors),
		   "senders:1: the line is longer than 64 KiB; continue it on "
		   "lines that begin with white space\n");
	drop(&r);
	r = read_n((struct slice){text, n - 1}, SLICE(""), &plain);
	assert_non_null(r.t);
	drop(&r);
	/* continued, it may be as long as it likes */
	text[n / 2] = '\n';
	text[n / 2 + 1] = ' ';
	r = read_n((struct slice){text, n}, SLICE(""), &plain);
	assert_non_null(r.t);
	drop(&r);
	free(text);
	r = read_n(SLICE("a@d.test me\nb@d.test m\0e\n"), SLICE(""), &plain);
	check_said(strbuf_cstr(&r.errors),
		   "senders:2: a NUL is in the line; give the source file, not "
		   "what postmap(1) makes from it\n");
	drop(&r);
}

static void test_too_many(void **state)
{
	size_t n = SENDER_ENTRIES_MAX + 1;
	char *text = malloc(n * 16), *p = text;
	struct reading r;

	(void)state;
	for (size_t i = 0; i < n; i++)
		p += sprintf(p, "u%zx@d.t x\n", i);
	r = read_n((struct slice){text, (size_t)(p - text)}, SLICE(""), &plain);
	check_said(strbuf_cstr(&r.errors),
		   "senders:1000001: more than 1000000 entries; give owners of "
		   "domains or groups instead\n");
	drop(&r);
	p -= strlen("uf4240@d.t x\n");
	r = read_n((struct slice){text, (size_t)(p - text)}, SLICE(""), &plain);
	assert_non_null(r.t);
	assert_int_equal(sender_table_size(r.t), SENDER_ENTRIES_MAX);
	drop(&r);
	free(text);
}

/* ---- files --------------------------------------------------------------- */

static char dir[] = "/tmp/mailseal-sender-XXXXXX";

static void put(const char *name, const char *text, mode_t mode)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(name, mode), 0);
}

static struct reading load(const char *file, const char *groups)
{
	struct reading ret = {.a = arena_new()};

	strbuf_init(&ret.errors, ret.a, 65536);
	strbuf_init(&ret.warnings, ret.a, 65536);
	ret.t = sender_table_load(file, groups, &plain, &ret.errors,
				  &ret.warnings);
	return ret;
}

static void test_load(void **state)
{
	struct reading r;

	(void)state;
	put("senders", "a@d.test staff\n", 0644);
	put("groups", "staff me\n", 0620);
	r = load("senders", "groups");
	assert_non_null(r.t);
	assert_true(owns(r.t, "me", "a@d.test"));
	check_said(strbuf_cstr(&r.warnings),
		   "groups: others may write it; cure: chmod go-w\n");
	drop(&r);
	r = load("senders", "");
	assert_non_null(r.t);
	assert_false(owns(r.t, "me", "a@d.test"));
	assert_int_equal(r.warnings.n, 0);
	drop(&r);
	r = load("nowhere", ".");
	assert_null(r.t);
	check_said(strbuf_cstr(&r.errors),
		   "nowhere: No such file or directory\n"
		   ".: no regular file; give the path of a table's source\n");
	drop(&r);
	put("groups", "staff\n", 0600);
	r = load("senders", "groups");
	assert_null(r.t);
	check_said(strbuf_cstr(&r.errors),
		   "groups:1: key \"staff\" has no value; give the logins "
		   "after it\n");
	drop(&r);
	sender_table_free(NULL);
}

/* ---- what postmap says --------------------------------------------------- */

/* Its value for a key of "table", or "" when it has none. */
static const char *postmap(struct arena *a, const char *key)
{
	FILE *f;
	char value[1000] = "";

	put("query", arena_printf(a, "%s\n", key), 0600);
	f = popen(POSTMAP " -c . -q - texthash:./table <query 2>/dev/null",
		  "r");
	assert_non_null(f);
	if (fgets(value, sizeof(value), f) == NULL)
		value[0] = '\0';
	pclose(f);
	value[strcspn(value, "\n")] = '\0';
	/* "key", tab, value */
	return arena_strdup(a,
			    value[0] != '\0' ? strrchr(value, '\t') + 1 : "");
}

static const char postmap_table[] = "# comment\n"
				    "a@d.test one\n"
				    "   \n"
				    "#\n"
				    "  # indented comment\n"
				    "  two\n"
				    "\n"
				    "B@D.test\n"
				    "  three ,four\n"
				    "a@D.test five\n"
				    "\"j s\"@d.test six\n"
				    "c@d.test seven # eight\r\n"
				    "@e.test nine\n"
				    "user ten\n"
				    "d@d.test   eleven\n"
				    "# twelve\n"
				    "thirteen xiv";

static void test_postmap(void **state)
{
	static const char *const logins[] = {
		"one",	 "two",	 "three", "four",   "five", "six",    "seven",
		"eight", "nine", "ten",	  "eleven", "#",    "twelve", "xiv"};
	static const struct {
		const char *key, *address; /* an address that only it decides */
	} rows[] = {
		{"a@d.test", "a@d.test"},
		{"b@d.test", "b@d.test"},
		{"\"j s\"@d.test", "j s@d.test"},
		{"c@d.test", "c@d.test"},
		{"@e.test", "x@e.test"},
		{"user", "user@local.test"},
		{"d@d.test", "d@d.test"},
		{"thirteen", "thirteen@local.test"},
		{"e@d.test", "e@d.test"},
	};
	struct reading r;

	(void)state;
	if (access(POSTMAP, X_OK) != 0)
		skip();
	put("main.cf", "compatibility_level = 3.6\n", 0644);
	put("table", postmap_table, 0644);
	r = read_good(postmap_table, "", &plain);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *value = postmap(r.a, rows[i].key);

		assert_int_equal(*value != '\0',
				 strcmp(rows[i].key, "e@d.test") != 0);
		for (size_t k = 0; k < sizeof(logins) / sizeof(*logins); k++) {
			const char *p = strstr(value, logins[k]);

			if (owns(r.t, logins[k], rows[i].address) !=
			    (p != NULL))
				fail_msg("%s: %s, postmap: %s", rows[i].key,
					 logins[k], value);
		}
	}
	drop(&r);
}

/* ---- size ---------------------------------------------------------------- */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Much more than any machine needs for linear work, with sanitizers. */
#define TIME_MAX 20.0

static void test_large(void **state)
{
	enum { N = 100000 };
	char *text = malloc(N * 64), *p = text;
	double begin;
	struct reading r;

	(void)state;
	for (int i = 0; i < N; i++)
		p += sprintf(p, "user%d@domain%d.example user%d, other%d\n", i,
			     i % 1000, i, i / 2);
	begin = seconds();
	r = read_n((struct slice){text, (size_t)(p - text)}, SLICE(""), &plain);
	assert_non_null(r.t);
	print_message("# %d lines: %.3f s\n", N, seconds() - begin);
	assert_true(seconds() - begin < TIME_MAX);
	begin = seconds();
	for (int i = 0; i < N; i++) {
		char login[32], address[64];

		sprintf(login, "other%d", i / 2);
		sprintf(address, "USER%d@domain%d.example", i, i % 1000);
		assert_true(owns(r.t, login, address));
		assert_false(owns(r.t, "user", address));
	}
	print_message("# %d look-ups: %.3f s\n", 2 * N, seconds() - begin);
	assert_true(seconds() - begin < TIME_MAX);
	free(text);
	drop(&r);
}

/* 100,000 logins in one value, and keys of one login, and groups of one. */
static void test_wide(void **state)
{
	enum { N = 100000 };
	char *text = malloc(N * 48), *groups = malloc(N * 24);
	char *p = text, *g = groups, login[32];
	const char **keys = calloc(N + 2, sizeof(*keys));
	double begin = seconds();
	struct reading r;

	(void)state;
	p += sprintf(p, "all@d.test first\n");
	for (int i = 0; i < N; i++)
		p += sprintf(p, " g%d\n", i);
	for (int i = 0; i < N; i++)
		p += sprintf(p, "k%d@d.test one\n", i);
	for (int i = 0; i < N; i++)
		g += sprintf(g, "g%d one\n", i);
	r = read_n((struct slice){text, (size_t)(p - text)},
		   (struct slice){groups, (size_t)(g - groups)}, &plain);
	if (r.t == NULL)
		fail_msg("%s", strbuf_cstr(&r.errors));
	for (int i = 0; i < N; i++) {
		sprintf(login, "g%d", i);
		assert_true(owns(r.t, login, "all@d.test"));
	}
	assert_true(owns(r.t, "one", "all@d.test"));
	assert_int_equal(sender_keys_of(r.t, r.a, SLICE("one"), keys, N + 2),
			 N + 1);
	assert_string_equal(keys[0], "all@d.test");
	assert_string_equal(keys[N], "k99999@d.test");
	print_message("# wide: %.3f s\n", seconds() - begin);
	assert_true(seconds() - begin < TIME_MAX);
	free(keys);
	free(text);
	free(groups);
	drop(&r);
}

static int enter(void **state)
{
	(void)state;
	return mkdtemp(dir) != NULL && chdir(dir) == 0 ? 0 : -1;
}

static int leave(void **state)
{
	static const char *const names[] = {"senders", "groups", "query",
					    "main.cf", "table"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(names[i]);
	return chdir("/") == 0 ? rmdir(dir) : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_delimiters),
		cmocka_unit_test(test_realm),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_keys_of),
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_realm_errors),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_doubtful),
		cmocka_unit_test(test_many_errors),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_postmap),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_wide),
	};

	return cmocka_run_group_tests_name("sender", tests, enter, leave);
}
