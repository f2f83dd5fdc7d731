/*
 * A whole session as the MTA sends it: the input is the bytes of the milter
 * protocol after the negotiation, packets of a length (4 bytes, big-endian), a
 * command and its data.  What libmilter would do with them is done here in a
 * few lines; from there on it is all ours (milter/session.h): direction, gate,
 * verification or signing, rules, seals, edits and log.
 *
 * Most features are on; DNS is a zone, time stands still.
 */
#include "fuzz.h"

#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "milter/session.h"

#define PACKETS_MAX 2000
#define NOW	    INT64_C(1795500000)

static const char zone[] =
	"example.org TXT \"v=spf1 ip4:192.0.2.10 include:inc.test -all\"\n"
	"inc.test TXT \"v=spf1 a:slow.test -all\"\n"
	"slow.test A !TIMEOUT\n"
	"_dmarc.example.org TXT \"v=DMARC1; p=reject; sp=quarantine\"\n"
	"_dmarc.example.com TXT \"v=DMARC1; p=reject\"\n"
	"r._domainkey.example.org TXT \"v=DKIM1; p="
	"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDIKi6B57mPCrTkmw+EJzbTRVbV"
	"iVl74gKDkKvmvM0JOhGK0f+cchagc1FNkwM5SA6XGx9xCGCt0V+WNdxa9K4wJmxu"
	"eO61Uhe8yDQrGvJWzP2l5Q/fdn85yTLJVAaPqCfvcyO041JIpIG8j6blbI+nhPpj"
	"tO+tYpA3+HratOBJLQIDAQAB\"\n"
	"e._domainkey.example.org TXT \"v=DKIM1; k=ed25519; p="
	"oZ0VWcb8Xji3K+5FA1dYAzMqJE5SCNWPRdjXvGFjJTU=\"\n";

/* Of a folder. */
static const char config[] =
	"authserv_id = \"mx.test\"; user = \"\"; state_directory = \"\";\n"
	"secret = \"of the fuzzer, and long enough for it\";\n"
	"resolver = { zone_file = \"%1$s/zone\"; };\n"
	"networks = { sign = [ \"198.51.100.0/24\" ]; };\n"
	"listeners = ( { name = \"submission\"; direction = \"outbound\"; },\n"
	"              { name = \"none\"; direction = \"none\"; } );\n"
	"dmarc = { disposition = \"honor\"; quarantine = \"both\"; };\n"
	"inbound = { iprev = true; received_spf = true; };\n"
	"arc = { seal = ( { domain = \"example.com\";\n"
	"                   recipient = [ \"@list.test\" ]; } ); };\n"
	"rules = ( { name = \"tag\"; helo = [ \"tag.test\" ]; action = \"tag\"; },\n"
	"          { name = \"spf\"; spf = [ \"fail\" ]; mode = \"monitor\";\n"
	"            action = \"reject\"; } );\n"
	"submission = { sender_table = \"%1$s/senders\"; sender_check = \"sign\"; };\n"
	"tls = { mode = \"reject\"; login_version = \"TLSv1.2\"; };\n"
	"preflight = { dkim = \"log\"; spf = \"header\"; dmarc = \"log\";\n"
	"              format = \"reject\"; unsubscribe = \"log\";\n"
	"              egress = [ \"192.0.2.25\" ]; };\n"
	"awareness = { subject_tag = \"[EXT]\"; external_header = true;\n"
	"              lookalikes = true; domains = [ \"example.com\" ];\n"
	"              names = [ \"Alice Example\" ]; };\n"
	"outbound = { domains = ( { domain = \"example.com\";\n"
	"    keys = ( { selector = \"s\"; file = \"%1$s/key\"; } ); } ); };\n";

static char folder[] = "/tmp/mailseal-fuzz-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[sizeof(folder) + 16];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	FUZZ_CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
	FUZZ_CHECK(chmod(path, 0600) == 0);
}

static void clean(void)
{
	static const char *const names[] = {"zone", "senders", "key", "conf"};
	char path[sizeof(folder) + 16];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}

static void put_key(struct arena *a)
{
	struct crypto_privkey *k = crypto_privkey_generate(CRYPTO_ED25519, 0);

	put("key", slice_cstr(a, crypto_privkey_pem(a, k)));
	crypto_privkey_free(k);
}

static struct app_place *start(void)
{
	static struct app_process process;
	struct arena *a = arena_new();
	struct strbuf errors;
	struct config *c;
	struct app *app;

	FUZZ_CHECK(mkdtemp(folder) != NULL);
	put("zone", zone);
	put("senders", "alice@example.com alice\nbob@example.com bob\n");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	put("conf", arena_printf(a, config, folder));
#pragma GCC diagnostic pop
	put_key(a);
	strbuf_init(&errors, a, 65536);
	c = config_load(arena_printf(a, "%s/conf", folder), &errors);
	process.tally = tally_new();
	app = c != NULL ? app_new(c, &process, &errors, &errors) : NULL;
	if (app == NULL || !app_start(app, NULL, &errors, &errors))
		fputs(strbuf_cstr(&errors), stderr);
	FUZZ_CHECK(app != NULL && app->env.dns != NULL);
	clean();
	arena_free(a);
	return app_place_new(app);
}

/* ---- what libmilter does ------------------------------------------------- */

struct macros {
	struct slice daemon, v, resolve, id, login, mechanism, tls, cipher,
		bits;
};

/* Up to a NUL; what has none is not a string. */
static bool cut_string(struct slice *rest, struct slice *ret)
{
	ptrdiff_t end = slice_chr(*rest, '\0');

	if (end < 0)
		return false;
	*ret = slice_first(*rest, (size_t)end);
	*rest = slice_from(*rest, (size_t)end + 1);
	return true;
}

static void note(struct macros *m, struct slice name, struct slice value)
{
	const struct {
		const char *name;
		struct slice *value;
	} known[] = {
		{"{daemon_name}", &m->daemon},
		{"v", &m->v},
		{"{client_resolve}", &m->resolve},
		{"i", &m->id},
		{"{auth_authen}", &m->login},
		{"{auth_type}", &m->mechanism},
		{"{tls_version}", &m->tls},
		{"{cipher}", &m->cipher},
		{"{cipher_bits}", &m->bits},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (slice_is(name, known[i].name))
			*known[i].value = value;
}

static void take_macros(struct macros *m, struct slice data)
{
	struct slice name, value;

	data = slice_from(data, 1); /* the command that they are for */
	while (cut_string(&data, &name) && cut_string(&data, &value))
		note(m, name, value);
}

static void take_connect(struct session *s, const struct macros *m,
			 struct slice data)
{
	struct slice name, text;
	struct ip ip = {0};
	unsigned char family, port[2];

	if (!cut_string(&data, &name) || data.n < 4)
		return;
	family = (unsigned char)data.p[0];
	memcpy(port, data.p + 1, 2);
	data = slice_from(data, 3);
	if (!cut_string(&data, &text))
		return;
	if (family == '4' || family == '6')
		(void)ip_parse(text, &ip);
	session_connect(s, ip, port[0] == 0 && port[1] == 0, name, m->daemon);
	session_resolved(s, m->resolve, m->v);
}

static void take_mail(struct session *s, const struct macros *m,
		      struct slice data)
{
	struct session_login l = {
		.name = m->login,
		.mechanism = m->mechanism,
		.transport = {.version = m->tls, .cipher = m->cipher},
	};
	struct slice sender;
	uint64_t bits = 0;

	(void)slice_u64(m->bits, 65535, &bits);
	l.transport.bits = (unsigned)bits;
	if (cut_string(&data, &sender))
		session_mail(s, sender, &l, m->id);
}

/* ---- what must hold of an outcome ---------------------------------------- */

/* Field values may have folds, as LF; nothing may end a header. */
static void check_value(struct slice v)
{
	for (size_t i = 0; i < v.n; i++) {
		FUZZ_CHECK(v.p[i] != '\0');
		FUZZ_CHECK(v.p[i] != '\n' ||
			   (i + 1 < v.n &&
			    (v.p[i + 1] == ' ' || v.p[i + 1] == '\t')));
	}
}

static void check_edits(const struct edits *e)
{
	for (size_t i = 0; i < e->n; i++) {
		const struct edit *x = &e->v[i];

		FUZZ_CHECK(fuzz_printable(x->name) && x->name[0] != '\0');
		FUZZ_CHECK(strpbrk(x->name, ": ") == NULL);
		if (x->kind != EDIT_DELETE)
			check_value(slice_of(x->value));
	}
}

static void check_reply(const struct smtp_reply *r)
{
	FUZZ_CHECK(r->code[0] == r->enhanced[0]);
	for (const char *p = r->text; *p != '\0'; p++)
		FUZZ_CHECK(*p == '\n' || (*p >= 0x20 && *p <= 0x7e));
}

static void check_line(struct log_fields *f)
{
	if (f != NULL)
		FUZZ_CHECK(fuzz_printable(log_fields_text(f)));
}

static void check_outcome(const struct session_outcome *o)
{
	check_edits(&o->edits);
	check_edits(&o->unheld);
	if (o->action == VERDICT_REJECT || o->action == VERDICT_TEMPFAIL)
		check_reply(&o->reply);
	FUZZ_CHECK(o->log != NULL || o->warn != NULL);
	check_line(o->log);
	check_line(o->warn);
}

static void take_end(struct session *s, const struct macros *m)
{
	struct session_outcome o;

	session_end_of_message(s, m->id, NOW, &o);
	check_outcome(&o);
	session_abort(s);
}

static void take(struct session *s, struct macros *m, char command,
		 struct slice data)
{
	struct slice one, two;

	switch (command) {
	case 'C':
		take_connect(s, m, data);
		break;
	case 'D':
		take_macros(m, data);
		break;
	case 'H':
		if (cut_string(&data, &one))
			session_helo(s, one);
		break;
	case 'M':
		take_mail(s, m, data);
		break;
	case 'R':
		if (cut_string(&data, &one))
			session_rcpt(s, one);
		break;
	case 'L':
		if (cut_string(&data, &one) && cut_string(&data, &two))
			session_header(s, one, two);
		break;
	case 'N':
		session_end_of_header(s);
		break;
	case 'B':
		session_body(s, data);
		break;
	case 'E':
		take_end(s, m);
		break;
	case 'A':
		session_abort(s);
		break;
	default:
		break;
	}
}

/* The next packet; false at the end, or when its length is a lie. */
static bool cut_packet(struct slice *rest, char *command, struct slice *data)
{
	uint32_t n = 0;

	if (rest->n < 5)
		return false;
	for (size_t i = 0; i < 4; i++)
		n = n << 8 | (unsigned char)rest->p[i];
	*rest = slice_from(*rest, 4);
	if (n == 0 || n > rest->n)
		return false;
	*command = rest->p[0];
	*data = slice_from(slice_first(*rest, n), 1);
	*rest = slice_from(*rest, n);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct app_place *place;
	struct slice rest = fuzz_input(data, size), packet;
	struct macros m = {0};
	struct session *s;
	char command;

	if (place == NULL)
		place = start();
	s = session_new(place);
	for (int i = 0; i < PACKETS_MAX && cut_packet(&rest, &command, &packet);
	     i++)
		take(s, &m, command, packet);
	session_free(s);
	return 0;
}
