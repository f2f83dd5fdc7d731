/* mailseal check-config: what mailseald would say of a configuration. */
#include "cmd/cmd.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "config/config.h"
#include "milter/app.h"

#define OUTPUT_MAX (1024 * 1024)

static int check(struct arena *a, const char *file)
{
	struct strbuf errors, warnings;
	struct config *c;
	struct app *app = NULL;
	bool ok;

	strbuf_init(&errors, a, OUTPUT_MAX);
	strbuf_init(&warnings, a, OUTPUT_MAX);
	c = config_load(file, &errors);
	if (c != NULL)
		app = app_new(c, NULL, NULL, &errors, &warnings);
	ok = app != NULL && app->unusable_keys == 0;
	fputs(strbuf_cstr(&errors), stderr);
	fputs(strbuf_cstr(&warnings), stderr);
	if (ok)
		printf("%s: ok, %zu domain%s to sign for\n", file,
		       keyring_domains(app->keyring),
		       keyring_domains(app->keyring) == 1 ? "" : "s");
	app_free(app);
	config_free(c);
	return ok ? 0 : EX_CONFIG;
}

int cmd_check_config(int argc, char **argv)
{
	struct arena *a;
	struct strbuf out;
	int status = 0;

	if (argc != 2)
		return cmd_usage("check-config", "one argument is needed");
	a = arena_new();
	strbuf_init(&out, a, OUTPUT_MAX);
	if (strcmp(argv[1], "--defaults") == 0)
		config_print_defaults(&out);
	else if (strcmp(argv[1], "--table") == 0)
		config_print_table(&out);
	else
		status = check(a, argv[1]);
	fputs(strbuf_cstr(&out), stdout);
	arena_free(a);
	return status;
}
