/* session.c: a whole SMTP session without libmilter. */
#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "milter/session.h"

#define NOW 1790000000

struct world {
	struct config *config;
	struct app *app;
	struct arena *arena;
	char dir[64];
};

static void put(const char *path, struct slice text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.p, text.n), (ssize_t)text.n);
	close(fd);
}

static const char zone[] = "example.com TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\n"
			   "_dmarc.example.com TXT \"v=DMARC1; p=reject\"\n";

static const char config_text[] =
	"authserv_id = \"mx.example.net\";\nuser = \"\";\n"
	"resolver = { zone_file = \"%s/zone\"; };\n"
	"networks = { sign = [ \"198.51.100.0/24\" ]; };\n"
	"listeners = ( { name = \"quiet\"; direction = \"none\"; } );\n"
	"outbound = { domains = ( { domain = \"example.com\"; keys = ( "
	"{ selector = \"s1\"; file = \"%s/key\"; } ); } ); };\n";

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct crypto_privkey *k;
	struct strbuf errors;
	const char *conf;

	w->arena = arena_new();
	snprintf(w->dir, sizeof(w->dir), "/tmp/mailseal-session-XXXXXX");
	if (mkdtemp(w->dir) == NULL)
		return -1;
	k = crypto_privkey_generate(CRYPTO_ED25519, 0);
	put(arena_printf(w->arena, "%s/key", w->dir),
	    crypto_privkey_pem(w->arena, k));
	crypto_privkey_free(k);
	put(arena_printf(w->arena, "%s/zone", w->dir), slice_of(zone));
	conf = arena_printf(w->arena, "%s/conf", w->dir);
	put(conf,
	    slice_of(arena_printf(w->arena, config_text, w->dir, w->dir)));
	strbuf_init(&errors, w->arena, 65536);
	w->config = config_load(conf, &errors);
	if (w->config != NULL)
		w->app = app_new(w->config, &errors);
	if (w->app == NULL || !app_start(w->app, &errors))
		fail_msg("%s", strbuf_cstr(&errors));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	static const char *const names[] = {"key", "zone", "conf"};

	app_free(w->app);
	config_free(w->config);
	for (size_t i = 0; i < 3; i++)
		unlink(arena_printf(w->arena, "%s/%s", w->dir, names[i]));
	rmdir(w->dir);
	arena_free(w->arena);
	free(w);
	return 0;
}

struct input {
	const char *client, *listener, *sender, *login, *from;
	bool maybe_local;
};

static void play(struct session *s, const struct input *in,
		 struct session_outcome *o)
{
	struct ip ip = {0};

	assert_true(ip_parse(slice_of(in->client), &ip));
	session_connect(s, ip, in->maybe_local, SLICE("[x]"),
			slice_of(in->listener));
	session_helo(s, SLICE("mail.example.com"));
	session_mail(s, slice_of(in->sender), slice_of(in->login), SLICE(""));
	session_rcpt(s);
	session_header(s, SLICE("From"), slice_of(in->from));
	session_header(s, SLICE("Subject"), SLICE(" hello\n\tworld"));
	session_header(s, SLICE("Authentication-Results"),
		       SLICE(" mx.example.net; dmarc=pass"));
	session_end_of_header(s);
	session_body(s, SLICE("text\r\n"));
	session_end_of_message(s, SLICE("Q1"), NOW, o);
}

static bool inserted(const struct session_outcome *o, const char *name)
{
	for (size_t i = 0; i < o->edits.n; i++)
		if (o->edits.v[i].kind == EDIT_INSERT &&
		    strcmp(o->edits.v[i].name, name) == 0)
			return true;
	return false;
}

static const struct row {
	const char *what;
	struct input in;
	bool verified, signature;
	const char *log; /* must occur in the log line */
} rows[] = {
	{"inbound",
	 {"192.0.2.1", "smtp", "<a@example.com>", "", " a@example.com", false},
	 true,
	 false,
	 "dmarc=pass"},
	{"spoof",
	 {"203.0.113.1", "smtp", "<a@other.example>", "", " a@example.com",
	  false},
	 true,
	 false,
	 "dmarc=fail"},
	{"login",
	 {"203.0.113.1", "smtp", "<a@example.com>", "u", " a@example.com",
	  false},
	 false,
	 true,
	 "outbound(login)"},
	{"signing network",
	 {"198.51.100.9", "smtp", "<a@example.com>", "", " a@example.com",
	  false},
	 false,
	 true,
	 "outbound(networks.sign)"},
	{"sendmail(1)",
	 {"127.0.0.1", "smtp", "a@example.com", "", " a@example.com", true},
	 false,
	 true,
	 "client=local"},
	{"re-injected spoof of our domain is not signed",
	 {"127.0.0.1", "smtp", "<a@example.com>", "", " a@example.com", false},
	 true,
	 false,
	 "dmarc=fail"},
	{"loopback port 0 with <> is not sendmail(1)",
	 {"127.0.0.1", "smtp", "<a@example.com>", "", " a@example.com", true},
	 true,
	 false,
	 "dmarc=fail"},
	{"two author domains are not signed",
	 {"203.0.113.1", "smtp", "<a@example.com>", "u",
	  " a@example.com, b@other.example", false},
	 false,
	 false,
	 "signed=no"},
	{"a domain without key is not signed",
	 {"203.0.113.1", "smtp", "<a@x.example>", "u", " a@x.example", false},
	 false,
	 false,
	 "no key for the author domain"},
	{"listener none",
	 {"203.0.113.1", "quiet", "<a@x.example>", "u", " a@x.example", false},
	 false,
	 false,
	 "direction=none"},
};

static void test_sessions(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct session *s = session_new(w->app);
		struct session_outcome o;

		play(s, &rows[i].in, &o);
		if (o.action != VERDICT_ACCEPT ||
		    inserted(&o, "Authentication-Results") !=
			    rows[i].verified ||
		    inserted(&o, "DKIM-Signature") != rows[i].signature ||
		    strstr(o.log, rows[i].log) == NULL)
			fail_msg("%s: %s", rows[i].what, o.log);
		session_free(s);
	}
}

/* One connection, many messages, some aborted: nothing of one reaches the
 * next. */
static void test_reuse(void **state)
{
	struct world *w = *state;
	struct session *s = session_new(w->app);
	struct session_outcome o;

	play(s, &rows[0].in, &o);
	session_abort(s);
	session_abort(s);
	session_mail(s, SLICE("<b@example.com>"), SLICE(""), SLICE(""));
	session_header(s, SLICE("From"), SLICE(" two@example.com"));
	session_abort(s);
	play(s, &rows[1].in, &o);
	assert_non_null(strstr(o.log, "from=example.com"));
	session_free(s);
}

/* Stages may be missing: the truth is still told. */
static void test_nothing_but_the_end(void **state)
{
	struct world *w = *state;
	struct session *s = session_new(w->app);
	struct session_outcome o;

	session_end_of_message(s, SLICE(""), NOW, &o);
	assert_int_equal(o.action, VERDICT_ACCEPT);
	assert_non_null(strstr(o.log, "NOQUEUE"));
	assert_non_null(strstr(o.log, "dmarc=permerror"));
	session_free(s);
}

/* A forged result beyond the header limits is removed all the same. */
static void test_forgery_behind_limits(void **state)
{
	struct world *w = *state;
	struct session *s = session_new(w->app);
	struct session_outcome o;

	session_mail(s, SLICE("<a@x.example>"), SLICE(""), SLICE(""));
	for (int i = 0; i < 1500; i++)
		session_header(s, SLICE("X-Fill"), SLICE(" x"));
	session_header(s, SLICE("Authentication-Results"),
		       SLICE(" mx.example.net; dmarc=pass"));
	session_end_of_message(s, SLICE("Q4"), NOW, &o);
	assert_int_equal(o.edits.n, 2);
	assert_int_equal(o.edits.v[0].kind, EDIT_DELETE);
	assert_int_equal(o.edits.v[0].index, 1);
	assert_non_null(strstr(o.log, "dmarc=permerror"));
	session_free(s);
}

/* Outbound mail whose header cannot be trusted is not let out unsigned. */
static void test_unsignable(void **state)
{
	struct world *w = *state;
	struct session *s = session_new(w->app);
	struct session_outcome o;

	session_mail(s, SLICE("<a@example.com>"), SLICE("u"), SLICE(""));
	session_header(s, SLICE("From"), SLICE(" a@example.com"));
	session_header(s, SLICE("X-Bad"), SLICE(" a\rb"));
	session_end_of_message(s, SLICE("Q3"), NOW, &o);
	assert_int_equal(o.action, VERDICT_TEMPFAIL);
	assert_non_null(o.reply);
	assert_int_equal(o.edits.n, 0);
	session_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_nothing_but_the_end),
		cmocka_unit_test(test_unsignable),
		cmocka_unit_test(test_forgery_behind_limits),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
