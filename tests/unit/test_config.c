/*
 * The configuration: defaults, every kind of value, every kind of mistake with
 * its line, and the integers that libconfig damages.
 */
#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "config/config.h"

struct world {
	char dir[64];
	char path[96];
	struct arena *arena;
	struct strbuf errors;
};

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	snprintf(w->dir, sizeof(w->dir), "/tmp/mailseal-config-XXXXXX");
	if (mkdtemp(w->dir) == NULL)
		return -1;
	snprintf(w->path, sizeof(w->path), "%s/m.conf", w->dir);
	w->arena = arena_new();
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	static const char *const names[] = {"m.conf", "key", "more.conf"};

	for (size_t i = 0; i < 3; i++)
		unlink(arena_printf(w->arena, "%s/%s", w->dir, names[i]));
	rmdir(w->dir);
	arena_free(w->arena);
	free(w);
	return 0;
}

static struct config *load(struct world *w, const char *text)
{
	put(w->path, text);
	strbuf_init(&w->errors, w->arena, 65536);
	return config_load(w->path, &w->errors);
}

/* Every default is the documented one; a file can be missing. */
static void test_defaults(void **state)
{
	struct world *w = *state;
	struct config *c;
	char text[IP_TEXT_MAX];

	strbuf_init(&w->errors, w->arena, 65536);
	c = config_load(NULL, &w->errors);
	if (c == NULL)
		fail_msg("%s", strbuf_cstr(&w->errors));
	assert_string_equal(c->socket, "unix:/run/mailseal/mailseal.sock");
	assert_string_equal(c->socket_mode, "0660");
	assert_string_equal(c->user, "mailseal");
	assert_true(c->authserv_id[0] != '\0');
	assert_int_equal(c->on_internal_error, ON_ERROR_ACCEPT);
	assert_int_equal(c->on_signing_error, ON_ERROR_TEMPFAIL);
	assert_int_equal(c->on_store_error, ON_ERROR_ACCEPT);
	assert_int_equal(c->log.target, LOG_TARGET_SYSLOG);
	assert_int_equal(c->log.level, LOG_LEVEL_INFO);
	assert_int_equal(c->resolver.cache_size, 33554432);
	assert_int_equal(c->networks.internal.n, 2);
	assert_string_equal(ip_format(&c->networks.internal.v[0].addr, text),
			    "127.0.0.0");
	assert_int_equal(c->networks.internal.v[0].bits, 8);
	assert_int_equal(c->networks.internal.v[1].bits, 128);
	assert_int_equal(c->networks.sign.n, 0);
	assert_int_equal(c->limits.header_size, 262144);
	assert_int_equal(c->nlisteners, 0);
	assert_int_equal(c->outbound.signature_lifetime, 1209600);
	assert_int_equal(c->outbound.ndomains, 0);
	assert_int_equal(c->inbound.iprev, false);
	assert_int_equal(c->inbound.received_spf, false);
	config_free(c);
	config_free(NULL);
}

/* What is printed as defaults loads, and gives the defaults. */
static void test_print(void **state)
{
	struct world *w = *state;
	struct strbuf out;
	struct config *c;
	struct slice table;
	size_t lines = 0;

	strbuf_init(&out, w->arena, 65536);
	config_print_defaults(&out);
	c = load(w, strbuf_cstr(&out));
	assert_non_null(c);
	assert_int_equal(c->dkim.clock_skew, 300);
	config_free(c);

	strbuf_init(&out, w->arena, 65536);
	config_print_table(&out);
	table = strbuf_slice(&out);
	while (table.n > 0) {
		struct slice line = slice_cut(&table, '\n');

		slice_cut(&line, '\t');
		slice_cut(&line, '\t');
		assert_true(line.n > 0);
		lines++;
	}
	assert_true(lines > 25);
	assert_non_null(
		strstr(strbuf_cstr(&out), "log.level\tword\t\"info\"\n"));
}

static void test_values(void **state)
{
	struct world *w = *state;
	const char *key = arena_printf(w->arena, "%s/key", w->dir);
	struct config *c;

	put(key, "not opened here");
	c = load(w,
		 arena_printf(
			 w->arena,
			 "socket = \"inet:8891@127.0.0.1\"\n"
			 "authserv_id = \"MX.Example.NET.\"\n"
			 "authserv_aliases = [ \"OLD.example.net\" ]\n"
			 "user = \"\" on_internal_error = \"tempfail\"\n"
			 "log = { target = \"stderr\"; level = \"debug\"; }\n"
			 "resolver: { servers = ( \"192.0.2.1\", "
			 "\"2001:db8::1@5353\" ); max_queries = 0x20;\n"
			 "query_timeout = 100L; }\n"
			 "networks = { internal = [ ];\n"
			 "sign = [ \"192.0.2.0/24\" ]; };\n"
			 "inbound = { iprev = true; received_spf = false; }\n"
			 "listeners = ( { name = \"sub\"; direction = "
			 "\"outbound\"; },\n"
			 "{ name = \"off\"; direction = \"none\"; } );\n"
			 "outbound = { signature_lifetime = 0;\n"
			 "domains = ( { domain = \"EXAMPLE.com\";\n"
			 "keys = ( { selector = \"S1\"; file = \"%s\"; } );"
			 "} ); };\n",
			 key));
	if (c == NULL)
		fail_msg("%s", strbuf_cstr(&w->errors));
	assert_string_equal(c->file, w->path);
	assert_string_equal(c->socket, "inet:8891@127.0.0.1");
	assert_string_equal(c->authserv_id, "mx.example.net");
	assert_string_equal(c->authserv_aliases.v[0], "old.example.net");
	assert_string_equal(c->user, "");
	assert_int_equal(c->on_internal_error, ON_ERROR_TEMPFAIL);
	assert_int_equal(c->log.target, LOG_TARGET_STDERR);
	assert_int_equal(c->log.level, LOG_LEVEL_DEBUG);
	assert_string_equal(c->resolver.servers.v[1], "2001:db8::1@5353");
	assert_int_equal(c->resolver.max_queries, 32);
	assert_int_equal(c->resolver.query_timeout, 100);
	assert_int_equal(c->networks.internal.n, 0);
	assert_int_equal(c->networks.sign.v[0].bits, 24);
	assert_int_equal(c->inbound.iprev, true);
	assert_int_equal(c->inbound.received_spf, false);
	assert_int_equal(c->nlisteners, 2);
	assert_string_equal(c->listeners[0].name, "sub");
	assert_int_equal(c->listeners[0].direction, DIRECTION_OUTBOUND);
	assert_int_equal(c->listeners[1].direction, DIRECTION_NONE);
	assert_int_equal(c->outbound.signature_lifetime, 0);
	assert_int_equal(c->outbound.ndomains, 1);
	assert_string_equal(c->outbound.domains[0].domain, "example.com");
	assert_string_equal(c->outbound.domains[0].keys[0].selector, "s1");
	assert_string_equal(c->outbound.domains[0].keys[0].file, key);
	assert_string_equal(c->outbound.domains[0].keys[0].source,
			    arena_printf(w->arena, "%s:15", w->path));
	config_free(c);
}

#define ID "authserv_id = \"mx.test\";\n"
#define KEYS(k)                                                                \
	ID "outbound = { domains = ( {\ndomain = \"a.example\";\nkeys = ( " k  \
	   " ); } ); };\n"

#define SUB(k) ID "submission = {\n" k " };\n"
#define DEMAND(k)                                                              \
	SUB("login_classes = (\n{ classes = [ \"token\" ]; " k " } );")
#define PEER(k) ID "tls = {\npeers = ( { " k " } ); };\n"

/* Each text has one mistake: its line, and what the message must say. */
static const struct {
	const char *text;
	unsigned line;
	const char *says;
	const char *also; /* the cure */
} mistakes[] = {
	{ID "colour = 1;", 2, "unknown option \"colour\"", "remove it"},
	{ID "sokcet = \"fd:3\";", 2, "unknown option", "\"socket\"?"},
	{ID "max_queries = 20;", 2, "unknown", "\"resolver.max_queries\"?"},
	{ID "log = {\nlevle = \"info\"; };", 3, "log.levle", "\"log.level\"?"},
	{ID "log = 1;", 2, "log must be a group", "log = {"},
	{ID "socket = 5;", 2, "wrong type", "\"unix:/path\""},
	{ID "socket = { };", 2, "wrong type", "\"unix:/path\""},
	{ID "socket = \"unix:relative\";", 2, "unix:relative", "unix:/path"},
	{ID "socket = \"inet:8891\";", 2, "inet:8891", "inet:port@address"},
	{ID "socket = \"inet:70000@::1\";", 2, "70000", "inet:port@address"},
	{ID "socket_mode = \"0999\";", 2, "0999", "octal"},
	{ID "socket_mode = \"\";", 2, "socket_mode", "octal"},
	{"\nauthserv_id = \"a b\";", 2, "a b", "domain name"},
	{ID "shutdown_timeout = 0;", 2, "0 is out of range", "1 to 300"},
	{ID "shutdown_timeout = 301;", 2, "301", "1 to 300"},
	{ID "shutdown_timeout = -1;", 2, "-1", "1 to 300"},
	{ID "shutdown_timeout = 2.5;", 2, "wrong type", "1 to 300"},
	{ID "shutdown_timeout = true;", 2, "wrong type", "1 to 300"},
	{ID "shutdown_timeout = \"9\";", 2, "\"9\"", "1 to 300"},
	/* libconfig reads these as 20, 20, 705032704, -1 and 2^63 - 1. */
	{ID "shutdown_timeout = 4294967316;", 2, "4294967316", "too large"},
	{ID "shutdown_timeout = 0x100000014;", 2, "0x100000014", "too large"},
	{ID "resolver = { cache_size = 5000000000; };", 2, "5000000000",
	 "too large"},
	{ID "shutdown_timeout = -99999999999;", 2, "-99999999999", "too large"},
	{ID "shutdown_timeout = 99999999999999999999L;", 2, "9999",
	 "too large"},
	{ID "shutdown_timeout = 4294967316L;", 2, "4294967316 is out of range",
	 "1 to 300"},
	{ID "/* a\nb */ # \"\n// 99999999999\nuser = \"9999999999\\\"\";\n"
	    "shutdown_timeout = 4294967316;",
	 6, "4294967316", "too large"},
	{ID "on_internal_error = \"reject\";", 2, "reject",
	 "\"accept\" or \"tempfail\""},
	{ID "log = { level = \"INFO\"; };", 2, "INFO",
	 "\"debug\", \"info\", \"warn\" or \"error\""},
	{ID "resolver = { servers = \"192.0.2.1\"; };", 2, "servers",
	 "list of addresses"},
	{ID "resolver = { servers = [ \"ns.example\" ]; };", 2, "ns.example",
	 "list of addresses"},
	{ID "resolver = { servers = [ \"192.0.2.1@0\" ]; };", 2, "@0",
	 "list of addresses"},
	{ID "resolver = { servers = [ 1 ]; };", 2, "wrong type",
	 "list of addresses"},
	{ID "resolver = { zone_file = \"zone\"; };", 2, "zone", "absolute"},
	{ID "networks = { sign = [ \"192.0.2.1/24\" ]; };", 2, "192.0.2.1/24",
	 "no bits set"},
	{ID "networks = { sign = ( 1 ); };", 2, "wrong type", "networks"},
	{ID "dkim = { min_rsa_bits = 4096; max_rsa_bits = 2048; };", 0,
	 "min_rsa_bits is above", "2048"},
	{ID "limits = { field_size = 65536; header_size = 20000; };", 0,
	 "field_size is above", "20000"},
	{ID "inbound = { iprev = 1; };", 2, "wrong type", "true or false"},
	{ID "inbound = { received_spf = \"yes\"; };", 2, "\"yes\"",
	 "true or false"},
	{ID "inbound = { iprev = [ true ]; };", 2, "wrong type",
	 "true or false"},
	{ID "resolver = { recursion = true; servers = [ \"192.0.2.1\" ]; };", 0,
	 "resolver.recursion asks no resolver.servers", "remove one"},
	{ID "resolver = { dnssec = true; trust_anchor = \"\"; };", 0,
	 "resolver.dnssec needs resolver.trust_anchor", "give the file"},
	{ID "listeners = \"x\";", 2, "wrong type|will not do", "direction"},
	{ID "listeners = ( 1 );", 2, "wrong type", "direction"},
	{ID "listeners = ( { name = \"a\"; } );", 2, "\"direction\" is missing",
	 "direction = "},
	{ID "listeners = ( { name = \"\"; direction = \"none\"; } );", 2,
	 "not empty", "name = "},
	{ID "listeners = ( { name = \"a\"; direction = \"in\"; } );", 2,
	 "wrong direction", "\"inbound\""},
	{ID "listeners = ( { name = \"a\"; direction = \"none\"; },\n"
	    "{ name = \"a\"; direction = \"auto\"; } );",
	 3, "twice", "remove"},
	{ID "outbound = { domains = ( { domain = \"a.example\"; } ); };", 2,
	 "\"keys\" is missing", "keys = ("},
	{KEYS(""), 4, "must name a key", "selector ="},
	{KEYS("{ selector = \"s\"; file = \"k.pem\"; }"), 4, "k.pem",
	 "absolute path"},
	{KEYS("{ selector = \"s\"; file = \"/k\"; algorithm = \"rsa\"; }"), 4,
	 "algorithm must be", "rsa-sha256"},
	{KEYS("{ selector = \"s\"; file = \"/k\"; lifetime = -1; }"), 4,
	 "lifetime must be", "from 0"},
	{KEYS("{ selector = \"s\"; file = \"/k\"; identity = \"x\"; }"), 4,
	 "identity", "\"user@\""},
	{KEYS("{ selector = \"s\"; file = \"/k\"; identity = "
	      "\"@b.example\"; }"),
	 4, "identity", "a domain below it"},
	{KEYS("{ selector = \"s\"; file = \"/k\"; headers = \"From\"; }"), 4,
	 "headers must be a list", "[ \"From\""},
	{KEYS("{ selector = \"s\"; file = \"/k\"; headers = [ \"To\" ]; }"), 4,
	 "must have \"From\"", "From"},
	{KEYS("{ selector = \"s\"; file = \"/k\"; headers = [ \"From\", "
	      "\"Received\" ]; }"),
	 4, "Received", "cannot be signed"},
	{KEYS("{ selector = \"s\"; file = \"/k\"; oversign = [ \"F:m\" ]; }"),
	 4, "F:m", "no name of a header field"},
	{KEYS("{ selector = \"s s\"; file = \"/etc/passwd\"; }"), 4, "s s",
	 "labels of letters"},
	{KEYS("{ selector = 1; file = \"/etc/passwd\"; }"), 4, "selector must",
	 "string"},
	{KEYS("{ selector = \"s\"; file = \"/etc/passwd\"; bits = 1; }"), 4,
	 "unknown key \"bits\"", "selector ="},
	{KEYS("{ selector = \"s\"; file = \"/etc/passwd\"; },\n"
	      "{ selector = \"S\"; file = \"/etc/passwd\"; }"),
	 5, "selector s stands here twice", "remove"},
	{ID "outbound = { domains = (\n"
	    "{ domain = \"a.example\"; keys = ( { selector = \"s\"; file = "
	    "\"/etc/passwd\"; } ); },\n"
	    "{ domain = \"A.example.\"; keys = ( { selector = \"s\"; file = "
	    "\"/etc/passwd\"; } ); } ); };",
	 4, "a.example stands here twice", "one group"},
	/* lists of groups with members of config/members.c */
	{SUB("login_classes = \"x\";"), 3, "login_classes", "classes = ["},
	{SUB("login_classes = ( 1 );"), 3, "wrong type", "classes = ["},
	{SUB("login_classes = (\n{ domain = \"a.example\"; } );"), 4,
	 "\"classes\" is missing", "classes = ["},
	{DEMAND("address = \"a@b.example\"; domain = \"b.example\";"), 4,
	 "login_classes", "one of address, domain and group"},
	{DEMAND(""), 4, "login_classes", "one of address, domain and group"},
	{DEMAND("domain = \"\";"), 4, "\"\" will not do", "domain name"},
	{DEMAND("domain = \"a b\";"), 4, "a b", "domain name"},
	{DEMAND("group = \"\";"), 4, "\"\" will not do", "not empty"},
	{DEMAND("group = \"g\";"), 4, "group \"g\"",
	 "submission.sender_table "
	 "and submission.sender_groups"},
	{DEMAND("address = \"finance\";"), 4, "finance", "user@example.com"},
	{DEMAND("address = \"@b.example\";"), 4, "@b.example",
	 "user@example.com"},
	{DEMAND("address = \"a b@c.example\";"), 4, "a b@", "user@"},
	{DEMAND("address = \"<a@c.example>\";"), 4, "<a@", "user@"},
	{DEMAND("address = \"a@b@c.example\";"), 4, "a@b@", "user@"},
	{DEMAND("address = \"a@\";"), 4, "a@", "user@"},
	{DEMAND("address = [ \"a@b.example\" ];"), 4, "wrong type", "user@"},
	{DEMAND("adress = \"a@b.example\"; domain = \"b.example\";"), 4,
	 "unknown key \"adress\"", "address, domain or group"},
	{SUB("login_classes = ( { domain = \"a.example\";\n"
	     "classes = \"token\"; } );"),
	 4, "classes", "a list of \"password\""},
	{SUB("login_classes = ( { domain = \"a.example\";\n"
	     "classes = [ ]; } );"),
	 4, "classes", "a list of \"password\""},
	{SUB("login_classes = ( { domain = \"a.example\";\n"
	     "classes = [ \"token\", \"otp\" ]; } );"),
	 4, "otp", "\"kerberos\", \"certificate\" or \"bound\""},
	{SUB("certificates = ( { subject = \"a\"; } );"), 3,
	 "\"issuer\" is missing", "issuer = "},
	{SUB("certificates = ( { subject = \"a\"; issuer = \"\"; } );"), 3,
	 "issuer: \"\" will not do", "not empty"},
	{SUB("certificates = ( { subject = \"a\"; issuer = \"b\";\n"
	     "login = 5; } );"),
	 4, "login: wrong type", "string"},
	{SUB("sender_groups = \"/g\";"), 0, "sender_groups needs",
	 "submission.sender_table"},
	{SUB("sender_check = \"refuse\";"), 3, "refuse", "\"reject\""},
	{SUB("credentials = \"keys\";"), 3, "keys", "absolute path"},
	{PEER("bits = 1;"), 3, "tls.peers", "one of domain and networks"},
	{PEER("domain = \"\";"), 3, "\"\" will not do", "domain name"},
	{PEER("domain = \"a.example\"; networks = [ ];"), 3,
	 "networks: an empty list", "leave it out"},
	{PEER("networks = [ \"192.0.2.1/24\" ];"), 3, "192.0.2.1/24",
	 "no bits set"},
	{PEER("domain = \"a.example\"; bits = 513;"), 3, "513", "0 to 512"},
	{PEER("domain = \"a.example\"; version = \"TLS1.2\";"), 3, "TLS1.2",
	 "\"TLSv1.3\""},
	{PEER("domain = \"a.example\"; certificate = 1;"), 3, "wrong type",
	 "true or false"},
	/* who lists a peer wants something of it */
	{PEER("domain = \"a.example\";"), 3, "tls.peers: nothing is demanded",
	 "version, bits, certificate"},
	{PEER("domain = \"a.example\"; version = \"none\"; bits = 0; "
	      "certificate = false;"),
	 3, "tls.peers: nothing is demanded", "version, bits, certificate"},
	{ID "preflight = { bulk = ( { login = \"a\"; header = \"b\"; } ); };",
	 2, "preflight.bulk", "one of header, login and domain"},
	{ID "preflight = { bulk = ( { domain = \"\"; } ); };", 2,
	 "\"\" will not do", "domain name"},
	{ID "awareness = { untagged = [ \"a@b.example\", \"b\" ]; };", 2,
	 "\"b\" will not do", "\"@example.com\""},
	{ID "awareness = { names = [ \"\" ]; };", 2, "\"\" will not do",
	 "list of strings"},
	{ID "user = \"a\";\nuser = \"b\";", 3, "duplicate", "each option once"},
	{ID "@include \"/etc/none\"\n", 2, "cannot open include file",
	 "below the directory"},
	{ID "user = \"a\n", 0, "syntax error", "look for"},
};

static size_t count(struct slice text, char c)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == c;
	return n;
}

/* "a|b": either will do. */
static bool says(const char *text, const char *either)
{
	struct slice rest = slice_of(either);

	while (rest.n > 0) {
		struct slice s = slice_cut(&rest, '|');

		if (memmem(text, strlen(text), s.p, s.n) != NULL)
			return true;
	}
	return false;
}

static void test_mistakes(void **state)
{
	struct world *w = *state;
	unsigned bad = 0;

	for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
		struct config *c = load(w, mistakes[i].text);
		const char *got = strbuf_cstr(&w->errors);
		const char *place =
			mistakes[i].line > 0 || strstr(got, "above") != NULL
				? arena_printf(w->arena, "%s:%u: ", w->path,
					       mistakes[i].line)
				: arena_printf(w->arena, "%s:", w->path);

		if (c == NULL && slice_starts(slice_of(got), place) &&
		    says(got, mistakes[i].says) &&
		    says(got, mistakes[i].also) &&
		    count(strbuf_slice(&w->errors), '\n') == 1)
			continue;
		print_error("%s\n--> %s\n", mistakes[i].text, got);
		config_free(c);
		bad++;
	}
	assert_int_equal(bad, 0);
}

/* All mistakes in one go, in the order of the file. */
static void test_all_mistakes(void **state)
{
	struct world *w = *state;

	assert_null(load(w, ID "user = 1;\nlog = { level = \"x\";\nfoo = 1; };"
			       "\nshutdown_timeout = 0;\n"
			       "networks = { sign = [ \"a\", \"b\" ]; };"));
	assert_int_equal(count(strbuf_slice(&w->errors), '\n'), 6);
}

/* The numbers at the edge of an int are not damaged, and what would be a
 * mistake with another option is none alone. */
static void test_what_fits(void **state)
{
	static const char *const texts[] = {
		"outbound = { signature_lifetime = 31536000; };",
		"resolver = { cache_size = 1073741824; };",
		"resolver = { cache_size = 0x40000000L; };",
		"user = \"a99999999999\"; # 99999999999\n",
		"/* 99999999999 \" */ shutdown_timeout = 20; // "
		"9999999999999\n",
		"user = \"\\\\\"; shutdown_timeout = 300;",
		"resolver = { recursion = true; servers = [ ]; };",
		"resolver = { dnssec = false; trust_anchor = \"\"; };",
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct config *c =
			load(w, arena_printf(w->arena, ID "%s", texts[i]));

		if (c == NULL)
			fail_msg("%s: %s", texts[i], strbuf_cstr(&w->errors));
		config_free(c);
	}
}

/* Included files have their own lines, damage included. */
static void test_include(void **state)
{
	struct world *w = *state;
	const char *more = arena_printf(w->arena, "%s/more.conf", w->dir);
	const char *text = ID "@include \"more.conf\"\n";
	struct config *c;

	put(more, "\nuser = \"else\";\n");
	c = load(w, text);
	if (c == NULL)
		fail_msg("%s", strbuf_cstr(&w->errors));
	assert_string_equal(c->user, "else");
	config_free(c);

	put(more, "\n\nshutdown_timeout = 4294967316;\n");
	assert_null(load(w, text));
	assert_non_null(strstr(strbuf_cstr(&w->errors),
			       "more.conf:3: 4294967316 is too large"));
}

static void test_no_file(void **state)
{
	static const struct {
		const char *path, *says;
	} cases[] = {
		{"/nonexistent/m.conf", "No such file"},
		{"/tmp", "no regular file"},
		{"/dev/zero", "no regular file"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *got;

		strbuf_init(&w->errors, w->arena, 65536);
		assert_null(config_load(cases[i].path, &w->errors));
		got = strbuf_cstr(&w->errors);
		assert_true(slice_starts(slice_of(got), cases[i].path));
		assert_non_null(strstr(got, cases[i].says));
	}
}

/* No file may crash the loader: every prefix of a rich one is tried. */
static void test_prefixes(void **state)
{
	static const char rich[] =
		ID "log = { level = \"x\\\"\"; }; /* c */ # d\n"
		   "listeners = ( { name = \"a\"; direction = 5; } );\n"
		   "networks = { sign = [ \"::/0\" ]; }; x = 0xFFFFFFFFFFL;\n"
		   "outbound = { domains = ( { domain = 1; keys = ( ( 1 ) ); "
		   "} ); };";
	struct world *w = *state;

	for (size_t n = 0; n < sizeof(rich); n++) {
		struct config *c = load(w, arena_memdup(w->arena, rich, n));

		if (c == NULL)
			assert_true(strbuf_slice(&w->errors).n > 0);
		config_free(c);
	}
}

/* ---- the gate ---- */

static void test_gate_values(void **state)
{
	struct world *w = *state;
	const struct login_demand *d;
	const struct login_certificate *k;
	const struct transport_peer *p;
	struct config *c = load(
		w, ID
		"submission = { sender_table = \"/s\"; sender_groups = \"/g\";"
		"login_check = \"reject\";\nlogin_classes = (\n"
		"{ address = \"Fin.Ance+x@B\xc3\xbc"
		"cher.example\";"
		" classes = [ \"token\", \"certificate\" ]; },\n"
		"{ domain = \"BANK.example.\"; classes = [ \"bound\" ]; },\n"
		"{ group = \"Admins\"; classes = ( \"kerberos\" ); } );\n"
		"certificates = ( { subject = \"/CN=a \\\"b\\\"\"; issuer = "
		"\"CA\"; },\n{ subject = \"s\"; issuer = \"CA\"; login = "
		"\"l\"; } ); };\n"
		"tls = { mode = \"reject\"; login_version = \"TLSv1.2\";\n"
		"peers = ( { domain = \"A.example\"; version = \"TLSv1.3\"; "
		"bits = 128; }, { networks = [ \"192.0.2.0/24\", \"::1\" ]; "
		"certificate = true; subject = \"s\"; issuer = \"i\"; } ); };\n"
		"awareness = { untagged = [ \"@a.example\", \"B@c.example\" ];"
		" };\n");

	if (c == NULL)
		fail_msg("%s", strbuf_cstr(&w->errors));
	assert_int_equal(c->submission.login_check, GATE_REJECT);
	assert_int_equal(c->submission.credential_check, GATE_REJECT);
	assert_int_equal(c->submission.sender_check, GATE_MONITOR);
	assert_int_equal(c->submission.login_classes.n, 3);
	d = c->submission.login_classes.v;
	assert_string_equal(d[0].address, "fin.ance+x@xn--bcher-kva.example");
	assert_int_equal(d[0].classes, LOGIN_TOKEN | LOGIN_CERTIFICATE);
	assert_string_equal(d[0].source,
			    arena_printf(w->arena, "%s:4", w->path));
	assert_null(d[0].domain);
	assert_string_equal(d[1].domain, "bank.example");
	assert_int_equal(d[1].classes, LOGIN_BOUND);
	assert_null(d[1].address);
	assert_string_equal(d[2].group, "Admins");
	assert_int_equal(d[2].classes, LOGIN_KERBEROS);
	k = c->submission.certificates.v;
	assert_int_equal(c->submission.certificates.n, 2);
	assert_string_equal(k[0].subject, "/CN=a \"b\"");
	assert_null(k[0].login);
	assert_string_equal(k[1].login, "l");
	assert_int_equal(c->tls.mode, TLS_MODE_REJECT);
	assert_int_equal(c->tls.login_version, TLS_1_2);
	p = c->tls.peers.v;
	assert_int_equal(c->tls.peers.n, 2);
	assert_string_equal(p[0].domain, "a.example");
	assert_int_equal(p[0].version, TLS_1_3);
	assert_int_equal(p[0].bits, 128);
	assert_int_equal(p[0].certificate, 0);
	assert_null(p[1].domain);
	assert_int_equal(p[1].networks.n, 2);
	assert_int_equal(p[1].certificate, 1);
	assert_string_equal(p[1].subject, "s");
	assert_string_equal(c->awareness.untagged.v[0], "@a.example");
	assert_string_equal(c->awareness.untagged.v[1], "b@c.example");
	config_free(c);
}

/* ---- the file of credentials ---- */

static bool load_keys(struct world *w, const char *text,
		      struct config_credentials *ret)
{
	put(w->path, text);
	strbuf_init(&w->errors, w->arena, 65536);
	return config_load_credentials(w->arena, w->path, ret, &w->errors);
}

static void test_credentials(void **state)
{
	struct world *w = *state;
	struct config_credentials list;
	const struct credential *k;

	if (!load_keys(w,
		       "credentials = (\n{ login = \"shop\"; addresses = [ "
		       "\"Orders@Example.com\", \"@news.example.com\" ];\n"
		       "networks = [ \"192.0.2.16/28\" ]; tls_version = "
		       "\"TLSv1.2\"; recipients = 50;\nmessages_per_hour = 1; "
		       "messages_per_day = 1000000000; recipients_per_hour = "
		       "3; recipients_per_day = 4; expires = "
		       "\"2027-06-30\"; revoked = false; },\n"
		       "{ login = \"old\"; revoked = true; expires = "
		       "\"2028-02-29T23:59:59Z\"; } );\n",
		       &list))
		fail_msg("%s", strbuf_cstr(&w->errors));
	assert_int_equal(list.n, 2);
	k = list.v;
	assert_string_equal(k[0].login, "shop");
	assert_string_equal(k[0].source,
			    arena_printf(w->arena, "%s:2", w->path));
	assert_int_equal(k[0].addresses.n, 2);
	assert_string_equal(k[0].addresses.v[0], "orders@example.com");
	assert_string_equal(k[0].addresses.v[1], "@news.example.com");
	assert_int_equal(k[0].networks.v[0].bits, 28);
	assert_int_equal(k[0].tls_version, TLS_1_2);
	assert_int_equal(k[0].recipients, 50);
	assert_int_equal(k[0].limits.messages_per_hour, 1);
	assert_int_equal(k[0].limits.messages_per_day, 1000000000);
	assert_int_equal(k[0].limits.recipients_per_hour, 3);
	assert_int_equal(k[0].limits.recipients_per_day, 4);
	assert_int_equal(k[0].expires, 1814313600);
	assert_int_equal(k[0].revoked, 0);
	assert_string_equal(k[1].login, "old");
	assert_int_equal(k[1].revoked, 1);
	assert_int_equal(k[1].expires, 1835481599);
	assert_int_equal(k[1].addresses.n + k[1].networks.n, 0);
	assert_int_equal(k[1].tls_version + k[1].recipients, 0);
	assert_true(load_keys(w, "credentials = ( );\n", &list));
	assert_int_equal(list.n, 0);
}

#define KEY(k) "credentials = (\n{ login = \"a\";\n" k " } );\n"
#define TIMES  "\"2027-01-31T12:00:00Z\""

/* As in `mistakes`. */
static const struct {
	const char *text;
	unsigned line;
	const char *says, *also;
} key_mistakes[] = {
	/* A file that was cut off must not make every login free. */
	{"", 0, "no list \"credentials\"", "credentials = ( );"},
	{"# all gone\n", 0, "no list \"credentials\"", "credentials = ( );"},
	{"credentials = \"x\";\n", 1, "credentials", "login = "},
	{"credentials = { login = \"a\"; };\n", 1, "wrong type", "login = "},
	{"credentials = ( \"a\" );\n", 1, "will not do", "login = "},
	{"credentials = (\n{ login = \"a\"; }\n{ login = \"b\"; } );\n", 3,
	 "syntax error", "comma"},
	{"credentials = ( );\ncredential = ( );\n", 2,
	 "unknown option \"credential\"", "has one, credentials"},
	{"credentials = (\n{ addresses = [ \"@a.example\" ]; } );\n", 2,
	 "\"login\" is missing", "login = "},
	{"credentials = (\n{ login = \"\"; } );\n", 2, "\"\" will not do",
	 "not empty"},
	{"credentials = (\n{ login = 7; } );\n", 2, "wrong type", "string"},
	{KEY("address = [ \"@a.example\" ];"), 3, "unknown key \"address\"",
	 "addresses = "},
	{KEY("addresses = \"@a.example\";"), 3, "@a.example", "a list of"},
	{KEY("addresses = [ \"a.example\" ];"), 3, "a.example", "a list of"},
	{KEY("addresses = [ \"a@b@c.example\" ];"), 3, "a@b@", "a list of"},
	{KEY("addresses = [ \"@\" ];"), 3, "\"@\"", "a list of"},
	/* Nothing at all, or anything? */
	{KEY("addresses = [ ];"), 3, "addresses: an empty list",
	 "leave it out"},
	{KEY("networks = [ ];"), 3, "networks: an empty list", "leave it out"},
	{KEY("networks = [ \"192.0.2.17/28\" ];"), 3, "192.0.2.17/28",
	 "no bits set"},
	{KEY("networks = \"192.0.2.0/24\";"), 3, "192.0.2.0/24", "a list of"},
	{KEY("tls_version = \"1.2\";"), 3, "1.2", "\"TLSv1.2\""},
	{KEY("recipients = 0;"), 3, "0 is out of range", "1 to 1000000000"},
	{KEY("messages_per_hour = -1;"), 3, "-1 is out", "1 to 1000000000"},
	{KEY("messages_per_day = 1000000001;"), 3, "1000000001 is out",
	 "1 to 1000000000"},
	{KEY("recipients_per_day = 4294967297;"), 3, "4294967297", "too large"},
	{KEY("recipients_per_hour = \"5\";"), 3, "\"5\"", "a number"},
	{KEY("revoked = 1;"), 3, "wrong type", "true or false"},
	{KEY("revoked = \"true\";"), 3, "true", "true or false"},
	{KEY("revoked = true; revoked = false;"), 3, "duplicate", "once"},
	{KEY("expires = 2027;"), 3, "wrong type", TIMES},
	{KEY("expires = \"\";"), 3, "\"\"", TIMES},
	{KEY("expires = \"tomorrow\";"), 3, "tomorrow", TIMES},
	{KEY("expires = \"2027-02-29\";"), 3, "2027-02-29", TIMES},
	{KEY("expires = \"2027-04-31T00:00:00Z\";"), 3, "2027-04-31", TIMES},
	{KEY("expires = \"2027-13-01\";"), 3, "2027-13-01", TIMES},
	{KEY("expires = \"2027-01-00\";"), 3, "2027-01-00", TIMES},
	{KEY("expires = \"31.01.2027\";"), 3, "31.01.2027", TIMES},
	{KEY("expires = \"27-01-31\";"), 3, "27-01-31", TIMES},
	{KEY("expires = \"1969-12-31\";"), 3, "1969-12-31", TIMES},
	{KEY("expires = \"2027-01-31 \";"), 3, "2027-01-31 ", TIMES},
	{KEY("expires = \"2027-01-31T12:00:00\";"), 3, "12:00:00", TIMES},
	{KEY("expires = \"2027-01-31T24:00:00Z\";"), 3, "24:00:00", TIMES},
	{KEY("expires = \"2027-01-31T12:00:00+01:00\";"), 3, "+01:00", TIMES},
};

static void test_credential_mistakes(void **state)
{
	struct world *w = *state;
	struct config_credentials list;
	unsigned bad = 0;

	for (size_t i = 0; i < sizeof(key_mistakes) / sizeof(*key_mistakes);
	     i++) {
		bool ok = load_keys(w, key_mistakes[i].text, &list);
		const char *got = strbuf_cstr(&w->errors);
		const char *place = arena_printf(w->arena, "%s:%u: ", w->path,
						 key_mistakes[i].line);

		if (!ok && slice_starts(slice_of(got), place) &&
		    says(got, key_mistakes[i].says) &&
		    says(got, key_mistakes[i].also) &&
		    count(strbuf_slice(&w->errors), '\n') == 1)
			continue;
		print_error("%s\n--> %s\n", key_mistakes[i].text, got);
		bad++;
	}
	assert_int_equal(bad, 0);
	strbuf_init(&w->errors, w->arena, 65536);
	assert_false(config_load_credentials(w->arena, "/nonexistent/keys",
					     &list, &w->errors));
	assert_string_equal(strbuf_cstr(&w->errors),
			    "/nonexistent/keys:0: No such file or directory; "
			    "give a file that can be read\n");
}

/* Two mistakes and a good entry: both are told. */
static void test_credential_all(void **state)
{
	struct world *w = *state;
	struct config_credentials list;

	assert_false(load_keys(
		w,
		"credentials = ( { login = \"\"; },\n{ login = \"a\"; },\n"
		"{ login = \"b\"; recipients = 0; expires = \"x\"; } );\n",
		&list));
	assert_int_equal(count(strbuf_slice(&w->errors), '\n'), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_print, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mistakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_mistakes, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_what_fits, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_include, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prefixes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gate_values, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_credentials, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_credential_mistakes, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_credential_all, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
