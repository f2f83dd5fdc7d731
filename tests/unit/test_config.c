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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
