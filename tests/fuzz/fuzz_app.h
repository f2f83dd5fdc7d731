/*
 * What the targets for whole sessions are given: a configuration with most
 * features on, with its zone, key and sender table.  DNS is the zone.
 */
#ifndef MAILSEAL_TESTS_FUZZ_APP_H
#define MAILSEAL_TESTS_FUZZ_APP_H

#include "fuzz.h"

#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "milter/app.h"
#include "milter/place.h"

static const char fuzz_zone[] =
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
static const char fuzz_config[] =
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

static char fuzz_folder[] = "/tmp/mailseal-fuzz-XXXXXX";

static inline void fuzz_put(const char *name, const char *text)
{
	char path[sizeof(fuzz_folder) + 16];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", fuzz_folder, name);
	f = fopen(path, "w");
	FUZZ_CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
	FUZZ_CHECK(chmod(path, 0600) == 0);
}

static inline void fuzz_clean(void)
{
	static const char *const names[] = {"zone", "senders", "key", "conf"};
	char path[sizeof(fuzz_folder) + 16];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", fuzz_folder, names[i]);
		unlink(path);
	}
	rmdir(fuzz_folder);
}

static inline void fuzz_put_key(struct arena *a)
{
	struct crypto_privkey *k = crypto_privkey_generate(CRYPTO_ED25519, 0);

	fuzz_put("key", slice_cstr(a, crypto_privkey_pem(a, k)));
	crypto_privkey_free(k);
}

/* The tally is process->tally. */
static inline struct app_place *fuzz_app_start(struct app_process *process)
{
	struct arena *a = arena_new();
	struct strbuf errors;
	struct config *c;
	struct app *app;

	FUZZ_CHECK(mkdtemp(fuzz_folder) != NULL);
	fuzz_put("zone", fuzz_zone);
	fuzz_put("senders", "alice@example.com alice\nbob@example.com bob\n");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	fuzz_put("conf", arena_printf(a, fuzz_config, fuzz_folder));
#pragma GCC diagnostic pop
	fuzz_put_key(a);
	strbuf_init(&errors, a, 65536);
	c = config_load(arena_printf(a, "%s/conf", fuzz_folder), &errors);
	process->tally = tally_new();
	app = c != NULL ? app_new(c, process, &errors, &errors) : NULL;
	if (app == NULL || !app_start(app, NULL, &errors, &errors))
		fputs(strbuf_cstr(&errors), stderr);
	FUZZ_CHECK(app != NULL && app->env.dns != NULL);
	fuzz_clean();
	arena_free(a);
	return app_place_new(app);
}

#endif
