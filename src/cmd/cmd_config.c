/* mailseal check-config: what mailseald would say of a configuration. */
#include "cmd/cmd.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/progress.h"
#include "cmd/control_groups.h"
#include "cmd/mta.h"
#include "cmd/progress.h"
#include "config/config.h"
#include "milter/app.h"

#define OUTPUT_MAX (1024 * 1024)

static int check(struct arena *a, const char *file,
		 const struct mta_choice *mta)
{
	struct progress_view view = {0};
	const struct progress show = {progress_show_text, &view};
	struct strbuf errors, warnings;
	struct config *c;
	struct control_groups groups;
	struct app *app = NULL;
	bool ok;

	progress_set(&show);
	strbuf_init(&errors, a, OUTPUT_MAX);
	strbuf_init(&warnings, a, OUTPUT_MAX);
	c = config_load(file, &errors);
	if (c != NULL)
		app = app_new(c, NULL, &errors, &warnings);
	ok = app != NULL && app->unusable_keys == 0;
	if (c != NULL && !control_groups_find(c, &groups, &errors))
		ok = false;
	progress_set(NULL);
	progress_end(&view);
	if (c != NULL && mta_use_socket(c, mta->socket))
		mta_look(a, c, mta, &warnings);
	else if (c != NULL)
		strbuf_adds(&warnings, "--socket is unix:/path or "
				       "inet:port@address\n");
	fputs(strbuf_cstr(&errors), stderr);
	fputs(strbuf_cstr(&warnings), stderr);
	if (ok)
		printf("%s: ok, %zu domain%s to sign for\n", file,
		       keyring_domains(app->keyring),
		       keyring_domains(app->keyring) == 1 ? "" : "s");
	if (app == NULL)
		config_free(c);
	app_unref(app);
	return ok ? 0 : EX_CONFIG;
}

enum what {
	WHAT_FILE,
	WHAT_DEFAULTS,
	WHAT_TABLE,
};

/* False: the arguments are wrong. */
static bool read_arguments(int argc, char **argv, enum what *what,
			   struct mta_choice *mta)
{
	static const struct option options[] = {
		{"defaults", no_argument, NULL, 'D'},
		{"table", no_argument, NULL, 'T'},
		{"mta", required_argument, NULL, 'm'},
		{"config-dir", required_argument, NULL, 'd'},
		{"socket", required_argument, NULL, 's'},
		{0}};
	int c;

	*what = WHAT_FILE;
	*mta = (struct mta_choice){.kind = MTA_ANY};
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (c == 'D')
			*what = WHAT_DEFAULTS;
		else if (c == 'T')
			*what = WHAT_TABLE;
		else if (c == 'd')
			mta->directory = optarg;
		else if (c == 's')
			mta->socket = optarg;
		else if (c == 'm' && (strcmp(optarg, "none") == 0 ||
				      mta_kind_of(optarg) != MTA_NONE))
			mta->kind = mta_kind_of(optarg);
		else
			return false;
	return argc - optind == (*what == WHAT_FILE ? 1 : 0);
}

int cmd_check_config(int argc, char **argv)
{
	struct mta_choice mta;
	struct strbuf out;
	struct arena *a;
	enum what what;
	int status = 0;

	if (!read_arguments(argc, argv, &what, &mta))
		return cmd_usage("check-config", "a file is needed, or "
						 "--defaults or --table");
	a = arena_new();
	strbuf_init(&out, a, OUTPUT_MAX);
	if (what == WHAT_DEFAULTS)
		config_print_defaults(&out);
	else if (what == WHAT_TABLE)
		config_print_table(&out);
	else
		status = check(a, argv[optind], &mta);
	fputs(strbuf_cstr(&out), stdout);
	arena_free(a);
	return status;
}
