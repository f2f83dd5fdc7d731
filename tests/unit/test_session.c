/* session.c: a whole SMTP session without libmilter. */
#include "check.h"

#include "base/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "milter/session.h"

#define NOW 1790000000

struct world {
	struct config *config;
	struct app *app; /* of the place */
	struct app_place *place;
	struct app_process process;
	struct arena *arena;
	char dir[64];
};

static const struct session_login nobody;

static void put(const char *path, struct slice text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.p, text.n), (ssize_t)text.n);
	close(fd);
}

static const char *text(struct log_fields *f)
{
	return log_fields_text(f);
}

static const char zone[] = "example.com TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\n"
			   "_dmarc.example.com TXT \"v=DMARC1; p=reject\"\n"
			   "1.2.0.192.in-addr.arpa PTR real.example.com\n"
			   "real.example.com A 192.0.2.1\n";

static const char config_text[] =
	"authserv_id = \"mx.example.net\";\nuser = \"\";\n"
	"state_directory = \"\";\n"
	"resolver = { zone_file = \"%s/zone\"; };\n"
	"networks = { sign = [ \"198.51.100.0/24\" ]; };\n"
	"inbound = { iprev = true; received_spf = true; };\n"
	"listeners = ( { name = \"quiet\"; direction = \"none\"; },\n"
	"{ name = \"in\"; direction = \"inbound\"; } );\n"
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
	w->process.tally = tally_new();
	if (w->config != NULL)
		w->app = app_new(w->config, &w->process, &errors, &errors);
	if (w->app == NULL || !app_start(w->app, NULL, &errors, &errors))
		fail_msg("%s", strbuf_cstr(&errors));
	w->place = app_place_new(w->app);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	static const char *const names[] = {"key", "zone", "conf"};

	app_place_free(w->place);
	tally_free(w->process.tally);
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
	session_mail(s, slice_of(in->sender),
		     &(struct session_login){.name = slice_of(in->login)},
		     SLICE(""));
	session_rcpt(s, SLICE("<b@example.net>"));
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
	{"sendmail(1), to be verified: no address to check",
	 {"127.0.0.1", "in", "a@example.com", "", " a@example.com", true},
	 true,
	 false,
	 " spf=skipped(local submission) "},
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
		struct session *s = session_new(w->place);
		struct session_outcome o;

		play(s, &rows[i].in, &o);
		if (o.action != VERDICT_ACCEPT ||
		    inserted(&o, "Authentication-Results") !=
			    rows[i].verified ||
		    inserted(&o, "DKIM-Signature") != rows[i].signature ||
		    strstr(text(o.log), rows[i].log) == NULL)
			fail_msg("%s: %s", rows[i].what, text(o.log));
		session_free(s);
	}
}

/* One connection, many messages, some aborted: nothing of one reaches the
 * next. */
static void test_reuse(void **state)
{
	struct world *w = *state;
	struct session *s = session_new(w->place);
	struct session_outcome o;

	play(s, &rows[0].in, &o);
	session_abort(s);
	session_abort(s);
	session_mail(s, SLICE("<b@example.com>"), &nobody, SLICE(""));
	session_header(s, SLICE("From"), SLICE(" two@example.com"));
	session_abort(s);
	play(s, &rows[1].in, &o);
	assert_non_null(strstr(text(o.log), "from=example.com"));
	session_free(s);
}

/* Stages may be missing: the truth is still told. */
static void test_nothing_but_the_end(void **state)
{
	struct world *w = *state;
	struct session *s = session_new(w->place);
	struct session_outcome o;

	session_end_of_message(s, SLICE(""), NOW, &o);
	assert_int_equal(o.action, VERDICT_ACCEPT);
	assert_non_null(strstr(text(o.log), "NOQUEUE"));
	assert_non_null(strstr(text(o.log), "dmarc=permerror"));
	assert_non_null(
		strstr(text(o.log), " spf=skipped(client address unknown)"));
	session_free(s);
}

/* A forged result beyond the header limits is removed all the same. */
static void test_forgery_behind_limits(void **state)
{
	struct world *w = *state;
	struct session *s = session_new(w->place);
	struct session_outcome o;

	session_mail(s, SLICE("<a@x.example>"), &nobody, SLICE(""));
	for (int i = 0; i < 1500; i++)
		session_header(s, SLICE("X-Fill"), SLICE(" x"));
	session_header(s, SLICE("Authentication-Results"),
		       SLICE(" mx.example.net; dmarc=pass"));
	session_end_of_message(s, SLICE("Q4"), NOW, &o);
	assert_int_equal(o.edits.n, 2);
	assert_int_equal(o.edits.v[0].kind, EDIT_DELETE);
	assert_int_equal(o.edits.v[0].index, 1);
	assert_non_null(strstr(text(o.log), "dmarc=permerror"));
	session_free(s);
}

/* Outbound mail whose header cannot be trusted is not let out unsigned. */
static void test_unsignable(void **state)
{
	struct world *w = *state;
	struct session *s = session_new(w->place);
	struct session_outcome o;

	session_mail(s, SLICE("<a@example.com>"),
		     &(struct session_login){.name = SLICE("u")}, SLICE(""));
	session_header(s, SLICE("From"), SLICE(" a@example.com"));
	session_header(s, SLICE("X-Bad"), SLICE(" a\rb"));
	session_end_of_message(s, SLICE("Q3"), NOW, &o);
	assert_int_equal(o.action, VERDICT_TEMPFAIL);
	assert_string_equal(o.reply.code, "451");
	assert_string_equal(o.reply.enhanced, "4.7.1");
	assert_non_null(o.reply.text);
	assert_int_equal(o.edits.n, 0);
	session_free(s);
}

/* A message from `client`, whose name the MTA gives with its macros. */
static void play_named(struct session *s, const char *client, const char *name,
		       const char *resolve, const char *version,
		       struct session_outcome *o)
{
	struct ip ip = {0};

	assert_true(ip_parse(slice_of(client), &ip));
	session_connect(s, ip, false, slice_of(name), SLICE("smtp"));
	session_resolved(s, slice_of(resolve), slice_of(version));
	session_helo(s, SLICE("mail.example.com"));
	session_mail(s, SLICE("<a@example.com>"), &nobody, SLICE(""));
	session_header(s, SLICE("From"), SLICE(" a@example.com"));
	session_end_of_message(s, SLICE("Q5"), NOW, o);
}

#define POSTFIX "Postfix 3.7.11"
#define LOOK_UP "iprev=pass:real.example.com "
#define TRUST	"iprev=pass:mta.example.com "

/* AR-9: whom to believe that the name is the client's. */
static const struct named_row {
	const char *name, *resolve, *version, *log;
} named_rows[] = {
	{"mta.example.com", "", POSTFIX, TRUST},
	{"unknown", "", POSTFIX, LOOK_UP},
	{"[192.0.2.1]", "", POSTFIX, LOOK_UP},
	{"", "", POSTFIX, LOOK_UP},
	{"mta.example.com", "", "8.17.1.9", LOOK_UP},
	{"mta.example.com", "", "Postfixed 1", LOOK_UP},
	{"mta.example.com", "", "", LOOK_UP},
	{"mta.example.com", "OK", "8.17.1.9", TRUST},
	{"mta.example.com", "FORGED", "8.17.1.9", LOOK_UP},
	{"mta.example.com", "FAIL", "8.17.1.9", LOOK_UP},
	{"mta.example.com", "TEMP", POSTFIX, LOOK_UP},
};

static void test_names(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(named_rows) / sizeof(*named_rows); i++) {
		const struct named_row *r = &named_rows[i];
		struct session *s = session_new(w->place);
		struct session_outcome o;

		play_named(s, "192.0.2.1", r->name, r->resolve, r->version, &o);
		if (strstr(text(o.log), r->log) == NULL)
			fail_msg("row %zu: %s", i, text(o.log));
		session_free(s);
	}
}

/* Sendmail writes a login as xtext (RFC 3461 4), Postfix as it is. */
static const struct login_row {
	const char *version, *given, *login;
} login_rows[] = {
	{"8.17.1.9", "a+2Bb+3D1@x.test", "a+b=1@x.test"},
	{"8.17.1.9", "a+2b", "a+2b"},
	{"8.17.1.9", "a+2", "a+2"},
	{"8.17.1.9", "a+", "a+"},
	{"8.17.1.9", "+2B2B", "+2B"},
	{"8.17.1.9", "a+GGb+4", "a+GGb+4"},
	{POSTFIX, "a+2Bb", "a+2Bb"},
	{"", "a+2Bb", "a+2Bb"},
};

static void test_logins(void **state)
{
	struct world *w = *state;
	struct session_outcome o;
	struct ip ip = {0};

	for (size_t i = 0; i < sizeof(login_rows) / sizeof(*login_rows); i++) {
		const struct login_row *r = &login_rows[i];
		const struct session_login l = {.name = slice_of(r->given)};
		struct session *s = session_new(w->place);

		session_connect(s, ip, false, SLICE("x"), SLICE("smtp"));
		session_resolved(s, SLICE(""), slice_of(r->version));
		session_mail(s, SLICE("<a@example.com>"), &l, SLICE(""));
		session_header(s, SLICE("From"), SLICE(" a@example.com"));
		session_end_of_message(s, SLICE("Q6"), NOW, &o);
		if (strstr(text(o.log),
			   arena_printf(w->arena, " login=%s mechanism=",
					r->login)) == NULL)
			fail_msg("row %zu: %s", i, text(o.log));
		session_free(s);
	}
}

/* The confirmed name is that of the connection: it lasts for every message,
 * and not into the next connection. */
static void test_name_lasts(void **state)
{
	struct world *w = *state;
	struct session *s = session_new(w->place);
	struct session_outcome o;
	struct ip ip = {0};

	play_named(s, "192.0.2.1", "mta.example.com", "OK", "", &o);
	session_helo(s, SLICE("again.example.com"));
	session_mail(s, SLICE("<b@example.com>"), &nobody, SLICE(""));
	session_end_of_message(s, SLICE("Q6"), NOW, &o);
	assert_non_null(strstr(text(o.log), TRUST));
	assert_true(ip_parse(SLICE("192.0.2.1"), &ip));
	session_connect(s, ip, false, SLICE("mta.example.com"), SLICE(""));
	session_mail(s, SLICE("<b@example.com>"), &nobody, SLICE(""));
	session_end_of_message(s, SLICE("Q7"), NOW, &o);
	assert_non_null(strstr(text(o.log), LOOK_UP));
	session_free(s);
}

static const char *value_at(const struct session_outcome *o, size_t from_end,
			    const char *name)
{
	const struct edit *e = &o->edits.v[o->edits.n - 1 - from_end];

	assert_true(from_end < o->edits.n);
	assert_int_equal(e->kind, EDIT_INSERT);
	assert_int_equal(e->index, 0);
	assert_string_equal(e->name, name);
	return e->value;
}

/* RFC 7208 9.1: above every other Received-SPF, one for each identity, MAIL
 * FROM's topmost; Authentication-Results above them, and of one mind (9). */
static void test_received_spf(void **state)
{
	struct world *w = *state;
	struct session *s = session_new(w->place);
	struct session_outcome o;
	const char *authres, *mailfrom, *helo;

	play_named(s, "203.0.113.1", "[203.0.113.1]", "", "", &o);
	assert_int_equal(o.edits.n, 3);
	authres = value_at(&o, 0, "Authentication-Results");
	mailfrom = value_at(&o, 1, "Received-SPF");
	helo = value_at(&o, 2, "Received-SPF");
	assert_non_null(strstr(authres, "spf=fail smtp.mailfrom=example.com"));
	assert_true(slice_starts(slice_of(mailfrom), " fail ("));
	assert_non_null(strstr(mailfrom, "identity=mailfrom"));
	assert_non_null(strstr(authres, "spf=none"));
	assert_true(slice_starts(slice_of(helo), " none ("));
	assert_non_null(strstr(helo, "identity=helo"));
	assert_non_null(strstr(authres, "iprev=permerror"));
	session_free(s);
}

/* SPF-3: a client of our own is not checked, and that is said once; nothing
 * is claimed about its name either. */
static void test_internal(void **state)
{
	struct world *w = *state;
	struct session *s = session_new(w->place);
	struct session_outcome o;
	const char *authres, *spf;

	play_named(s, "127.0.0.1", "localhost", "OK", POSTFIX, &o);
	assert_int_equal(o.edits.n, 1);
	authres = value_at(&o, 0, "Authentication-Results");
	spf = strstr(authres, "spf=");
	assert_non_null(spf);
	assert_true(slice_starts(
		slice_of(spf),
		"spf=none reason=\"client in networks.internal\""));
	assert_null(strstr(spf + 4, "spf="));
	assert_null(strstr(authres, "smtp.mailfrom"));
	assert_null(strstr(authres, "smtp.helo"));
	assert_null(strstr(authres, "iprev"));
	assert_non_null(strstr(text(o.log),
			       " spf_helo=skipped "
			       "spf=skipped(client in networks.internal) "));
	assert_null(strstr(text(o.log), "iprev"));
	session_free(s);
}

/* A list that is given replaces the default: then loopback is checked. */
static void test_no_internal(void **state)
{
	struct world *w = *state;
	struct app *app = unconst(w->app);
	struct session *s = session_new(w->place);
	struct session_outcome o;
	size_t n = app->env.ninternal;

	app->env.ninternal = 0;
	play_named(s, "127.0.0.1", "localhost", "", POSTFIX, &o);
	app->env.ninternal = n;
	assert_non_null(strstr(text(o.log), " spf=fail:example.com "));
	assert_non_null(strstr(text(o.log), " iprev=pass:localhost "));
	session_free(s);
}

/* A session of an app with other options of DMARC, and one message. */
static void play_with(const struct world *w, enum dmarc_disposition disposition,
		      enum dmarc_quarantine quarantine, const struct input *in,
		      void (*check)(const struct session_outcome *o))
{
	struct config *c = unconst(w->config);
	struct session *s = session_new(w->place);
	struct session_outcome o;

	c->dmarc.disposition = disposition;
	c->dmarc.quarantine = quarantine;
	play(s, in, &o);
	c->dmarc.disposition = DISPOSITION_MONITOR;
	c->dmarc.quarantine = QUARANTINE_TAG;
	check(&o);
	session_free(s);
}

static const struct input spoof = {"203.0.113.1",	"smtp",
				   "<a@other.example>", "",
				   " a@example.com",	false};

/* RFC 9989 7.2.  If it cannot be rejected, what came from outside in our name
 * goes all the same, and nothing is claimed. */
static void is_rejected(const struct session_outcome *o)
{
	assert_int_equal(o->action, VERDICT_REJECT);
	assert_string_equal(o->reply.code, "550");
	assert_string_equal(o->reply.enhanced, "5.7.1");
	assert_string_equal(o->reply.text,
			    "Email rejected per DMARC policy for example.com: "
			    "SPF none for other.example, no DKIM signature");
	assert_int_equal(o->edits.n, 1);
	assert_int_equal(o->edits.v[0].kind, EDIT_DELETE);
	assert_null(o->hold);
	assert_non_null(strstr(text(o->log),
			       " dmarc=fail disposition=reject(honor) "
			       "would_be=reject "));
}

static void is_tagged(const struct session_outcome *o)
{
	assert_int_equal(o->action, VERDICT_ACCEPT);
	assert_true(inserted(o, "X-Mailseal-Quarantine"));
	assert_true(inserted(o, "Authentication-Results"));
	assert_null(o->hold);
	assert_non_null(strstr(text(o->log),
			       "disposition=quarantine(quarantine) "
			       "would_be=reject "));
}

static void is_held(const struct session_outcome *o)
{
	assert_int_equal(o->action, VERDICT_ACCEPT);
	assert_false(inserted(o, "X-Mailseal-Quarantine"));
	assert_true(inserted(o, "Authentication-Results"));
	assert_string_equal(o->hold, "dmarc=fail header.from=example.com "
				     "policy.dmarc=reject");
	/* what an MTA that cannot hold gets */
	assert_int_equal(o->unheld.n, o->edits.n + 1);
	assert_string_equal(o->unheld.v[o->unheld.n - 2].name,
			    "X-Mailseal-Quarantine");
}

static void is_both(const struct session_outcome *o)
{
	assert_true(inserted(o, "X-Mailseal-Quarantine"));
	assert_non_null(o->hold);
}

static void is_untouched(const struct session_outcome *o)
{
	assert_int_equal(o->action, VERDICT_ACCEPT);
	assert_false(inserted(o, "X-Mailseal-Quarantine"));
	assert_null(o->hold);
}

static void is_local(const struct session_outcome *o)
{
	is_untouched(o);
	assert_non_null(strstr(text(o->log),
			       "dmarc=fail disposition=none(local "
			       "submission) would_be=reject "));
}

static void test_dispositions(void **state)
{
	const struct world *w = *state;
	struct input in = spoof;

	play_with(w, DISPOSITION_MONITOR, QUARANTINE_BOTH, &in, is_untouched);
	play_with(w, DISPOSITION_HONOR, QUARANTINE_TAG, &in, is_rejected);
	play_with(w, DISPOSITION_QUARANTINE, QUARANTINE_TAG, &in, is_tagged);
	play_with(w, DISPOSITION_QUARANTINE, QUARANTINE_HOLD, &in, is_held);
	play_with(w, DISPOSITION_QUARANTINE, QUARANTINE_BOTH, &in, is_both);
	/* a pass; outbound; to be verified, but submitted here */
	play_with(w, DISPOSITION_HONOR, QUARANTINE_TAG, &rows[0].in,
		  is_untouched);
	in.login = "u";
	play_with(w, DISPOSITION_HONOR, QUARANTINE_TAG, &in, is_untouched);
	in = (struct input){"127.0.0.1",      "in", "a@example.com", "",
			    " a@example.com", true};
	play_with(w, DISPOSITION_HONOR, QUARANTINE_TAG, &in, is_local);
}

/* A header that is too large for us is quarantined, not rejected. */
static void test_limits_reject_nothing(void **state)
{
	struct world *w = *state;
	struct config *c = unconst(w->config);
	struct session *s = session_new(w->place);
	struct session_outcome o;
	struct ip ip = {0};

	c->dmarc.disposition = DISPOSITION_HONOR;
	assert_true(ip_parse(SLICE("203.0.113.1"), &ip));
	session_connect(s, ip, false, SLICE("[x]"), SLICE("smtp"));
	session_mail(s, SLICE("<a@x.example>"), &nobody, SLICE(""));
	session_header(s, SLICE("From"), SLICE(" a@example.com"));
	for (int i = 0; i < 1500; i++)
		session_header(s, SLICE("X-Fill"), SLICE(" x"));
	session_header(s, SLICE("X-Mailseal-Quarantine"), SLICE(" forged"));
	session_end_of_message(s, SLICE("Q8"), NOW, &o);
	c->dmarc.disposition = DISPOSITION_MONITOR;
	assert_int_equal(o.action, VERDICT_ACCEPT);
	assert_true(inserted(&o, "X-Mailseal-Quarantine"));
	assert_int_equal(o.edits.v[0].kind, EDIT_DELETE);
	assert_int_equal(o.edits.v[0].index, 1);
	session_free(s);
}

/* RFC 8601 5: whose fields in our name stay. */
static const struct trusted_row {
	const char *what;
	struct input in;
	bool stays;
} trusted_rows[] = {
	{"stranger",
	 {"203.0.113.1", "smtp", "<a@x.example>", "", " a@x.example", false},
	 false},
	{"trusted",
	 {"203.0.113.9", "smtp", "<a@x.example>", "", " a@x.example", false},
	 true},
	{"trusted, outbound",
	 {"203.0.113.9", "smtp", "<a@x.example>", "u", " a@x.example", false},
	 true},
	{"login of a stranger",
	 {"203.0.113.1", "smtp", "<a@x.example>", "u", " a@x.example", false},
	 false},
	{"trusted loopback",
	 {"127.0.0.1", "smtp", "<a@x.example>", "", " a@x.example", true},
	 true},
	{"sendmail(1) by that address",
	 {"127.0.0.1", "smtp", "a@x.example", "", " a@x.example", true},
	 false},
};

static bool removes(const struct session_outcome *o)
{
	for (size_t i = 0; i < o->edits.n; i++)
		if (o->edits.v[i].kind == EDIT_DELETE)
			return true;
	return false;
}

static void test_trusted(void **state)
{
	struct world *w = *state;
	struct app *app = unconst(w->app);
	struct ip_net nets[2];

	assert_true(ip_net_parse(SLICE("203.0.113.8/29"), &nets[0]));
	assert_true(ip_net_parse(SLICE("127.0.0.0/8"), &nets[1]));
	app->env.trusted = nets;
	app->env.ntrusted = 2;
	for (size_t i = 0; i < sizeof(trusted_rows) / sizeof(*trusted_rows);
	     i++) {
		const struct trusted_row *r = &trusted_rows[i];
		struct session *s = session_new(w->place);
		struct session_outcome o;

		play(s, &r->in, &o);
		if (removes(&o) == r->stays)
			fail_msg("%s: %s", r->what, text(o.log));
		/* ours is added on top all the same */
		if (r->in.login[0] == '\0' && r->in.sender[0] == '<')
			assert_true(inserted(&o, "Authentication-Results"));
		/* and the next client of the process is a stranger again */
		session_free(s);
	}
	app->env.trusted = NULL;
	app->env.ntrusted = 0;
}

/* What trusted servers sent was judged by them. */
static void test_trusted_is_exempt(void **state)
{
	struct world *w = *state;
	struct app *app = unconst(w->app);
	struct ip_net net;

	assert_true(ip_net_parse(SLICE("203.0.113.1"), &net));
	app->env.trusted = &net;
	app->env.ntrusted = 1;
	play_with(w, DISPOSITION_HONOR, QUARANTINE_TAG, &spoof, is_untouched);
	app->env.trusted = NULL;
	app->env.ntrusted = 0;
	play_with(w, DISPOSITION_HONOR, QUARANTINE_TAG, &spoof, is_rejected);
}

static void test_counters(void **state)
{
	struct world *w = *state;
	struct tally_counters was, now;

	tally_get(w->process.tally, &was);
	play_with(w, DISPOSITION_MONITOR, QUARANTINE_TAG, &spoof, is_untouched);
	play_with(w, DISPOSITION_QUARANTINE, QUARANTINE_TAG, &spoof, is_tagged);
	play_with(w, DISPOSITION_QUARANTINE, QUARANTINE_HOLD, &spoof, is_held);
	play_with(w, DISPOSITION_HONOR, QUARANTINE_TAG, &spoof, is_rejected);
	play_with(w, DISPOSITION_HONOR, QUARANTINE_TAG, &rows[0].in,
		  is_untouched);
	tally_get(w->process.tally, &now);
	assert_int_equal(
		now.dmarc[DMARC_STATUS_FAIL] - was.dmarc[DMARC_STATUS_FAIL], 4);
	assert_int_equal(
		now.dmarc[DMARC_STATUS_PASS] - was.dmarc[DMARC_STATUS_PASS], 1);
	assert_int_equal(
		now.would_be[DMARC_P_REJECT] - was.would_be[DMARC_P_REJECT], 3);
	assert_int_equal(now.would_be[DMARC_P_QUARANTINE] -
				 was.would_be[DMARC_P_QUARANTINE],
			 0);
	assert_int_equal(
		now.done[DMARC_P_QUARANTINE] - was.done[DMARC_P_QUARANTINE], 2);
	assert_int_equal(now.done[DMARC_P_REJECT] - was.done[DMARC_P_REJECT],
			 1);
}

/* What a fault of ours does with a message, at each stage of it. */
static void play_fault(struct world *w, int stage, const char *login,
		       struct session_outcome *o, struct session **ret)
{
	struct session *s = session_new(w->place);
	struct ip ip;

	assert_true(ip_parse(SLICE("192.0.2.1"), &ip));
	session_connect(s, ip, false, SLICE("[x]"), SLICE("smtpd"));
	session_mail(s, SLICE("<a@example.com>"),
		     &(struct session_login){.name = slice_of(login)},
		     SLICE(""));
	for (int i = 0; i < 4; i++) {
		if (i == stage)
			check_fail("test", i, "this test");
		if (i == 0)
			session_header(s, SLICE("From"),
				       SLICE(" a@example.com"));
		else if (i == 1)
			session_header(s, SLICE("Authentication-Results"),
				       SLICE(" mx.example.net; dmarc=pass"));
		else if (i == 2)
			session_body(s, SLICE("text\r\n"));
		else
			session_end_of_message(s, SLICE("Q1"), NOW, o);
	}
	*ret = s;
}

/* A fault in the work of one message, on the thread of another. */
static void test_faults_of_others(void **state)
{
	struct world *w = *state;
	struct session_outcome o;
	struct session *s;

	play_fault(w, 3, "", &o, &s);
	assert_false(check_failed());
	session_free(s);
	s = session_new(w->place);
	check_fail("test", 0, "at RCPT");
	session_rcpt(s, SLICE("<b@example.net>"));
	assert_false(check_failed());
	session_end_of_message(s, SLICE("Q1"), NOW, &o);
	assert_non_null(strstr(text(o.warn), "internal error"));
	session_free(s);
}

/* Mail that is let through as it is, is not touched by a fault either. */
static void test_ignored_fault(void **state)
{
	struct world *w = *state;
	struct session_outcome o;
	struct session *s;
	struct ip ip;

	w->config->on_internal_error = ON_ERROR_TEMPFAIL;
	assert_true(ip_parse(SLICE("192.0.2.1"), &ip));
	s = session_new(w->place);
	session_connect(s, ip, false, SLICE("[x]"), SLICE("quiet"));
	session_mail(s, SLICE("<a@example.com>"), &nobody, SLICE(""));
	session_header(s, SLICE("Authentication-Results"),
		       SLICE(" mx.example.net; dmarc=pass"));
	check_fail("test", 0, "this test");
	session_end_of_message(s, SLICE("Q1"), NOW, &o);
	assert_int_equal(o.action, VERDICT_ACCEPT);
	assert_int_equal(o.edits.n, 0);
	assert_non_null(strstr(text(o.log), "direction=none"));
	session_free(s);
	w->config->on_internal_error = ON_ERROR_ACCEPT;
}

static const char *authres_of(const struct session_outcome *o)
{
	const struct edit *e = &o->edits.v[o->edits.n - 1];

	assert_string_equal(e->name, "Authentication-Results");
	return e->value;
}

static void test_own_faults(void **state)
{
	struct world *w = *state;
	struct session_outcome o;
	struct session *s;

	for (int stage = 0; stage < 4; stage++) {
		play_fault(w, stage, "", &o, &s);
		assert_int_equal(o.action, VERDICT_ACCEPT);
		assert_int_equal(o.edits.n, 3); /* Received-SPF too */
		assert_int_equal(o.edits.v[0].kind, EDIT_DELETE);
		assert_non_null(strstr(authres_of(&o),
				       "dmarc=temperror reason=\"internal "
				       "error\""));
		assert_non_null(strstr(authres_of(&o), "dkim=temperror"));
		assert_non_null(strstr(authres_of(&o), "spf=temperror"));
		assert_null(strstr(authres_of(&o), "pass"));
		assert_non_null(strstr(text(o.warn),
				       "Q1: internal error: accepted, "
				       "not examined ms="));
		session_free(s);
		w->config->on_internal_error = ON_ERROR_TEMPFAIL;
		play_fault(w, stage, "", &o, &s);
		assert_int_equal(o.action, VERDICT_TEMPFAIL);
		assert_string_equal(o.reply.code, "451");
		session_free(s);
		w->config->on_internal_error = ON_ERROR_ACCEPT;
		/* outgoing, of a domain that we sign for */
		play_fault(w, stage, "u", &o, &s);
		assert_int_equal(o.action, VERDICT_TEMPFAIL);
		session_free(s);
		w->config->on_signing_error = ON_ERROR_ACCEPT;
		play_fault(w, stage, "u", &o, &s);
		assert_int_equal(o.action, VERDICT_ACCEPT);
		assert_false(inserted(&o, "DKIM-Signature"));
		assert_int_equal(o.edits.n, 1); /* what was forged goes */
		session_free(s);
		w->config->on_signing_error = ON_ERROR_TEMPFAIL;
	}
	/* the next message is not touched by it */
	play_fault(w, 9, "", &o, &s);
	assert_null(o.warn);
	assert_non_null(strstr(authres_of(&o), "dmarc=pass"));
	session_free(s);
}

static void test_memory(void **state)
{
	struct world *w = *state;
	int64_t most = w->config->limits.message_memory;
	struct session_outcome o;
	struct session *s;

	w->config->limits.message_memory = 100;
	play_fault(w, 9, "", &o, &s);
	w->config->limits.message_memory = most;
	assert_int_equal(o.action, VERDICT_ACCEPT);
	assert_non_null(
		strstr(authres_of(&o),
		       "dmarc=temperror reason=\"message needs too much "
		       "memory\""));
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
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_logins),
		cmocka_unit_test(test_name_lasts),
		cmocka_unit_test(test_received_spf),
		cmocka_unit_test(test_internal),
		cmocka_unit_test(test_no_internal),
		cmocka_unit_test(test_dispositions),
		cmocka_unit_test(test_limits_reject_nothing),
		cmocka_unit_test(test_trusted),
		cmocka_unit_test(test_trusted_is_exempt),
		cmocka_unit_test(test_own_faults),
		cmocka_unit_test(test_faults_of_others),
		cmocka_unit_test(test_ignored_fault),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_counters),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
