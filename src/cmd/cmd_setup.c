/*
 * mailseal setup: what the MTA must be set to, printed or made; and, for
 * check-config, which MTA this host has.
 */
#include "cmd/cmd.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cmd/mta.h"

#define MISTAKES_MAX (1024 * 1024)

struct setup_arguments {
	const char *mta, *config, *directory, *socket;
	bool apply;
};

/* False and the status of the complaint in *ret. */
static bool read_arguments(int argc, char **argv, struct setup_arguments *o,
			   int *ret)
{
	static const struct option options[] = {
		{"config-dir", required_argument, NULL, 'd'},
		{"socket", required_argument, NULL, 's'},
		{"apply", no_argument, NULL, 'a'},
		{0}};
	int c;

	*o = (struct setup_arguments){.config = MAILSEAL_SYSCONFDIR
				      "/mailseal.conf"};
	while ((c = getopt_long(argc, argv, "c:", options, NULL)) != -1)
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'd':
			o->directory = optarg;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'a':
			o->apply = true;
			break;
		default:
			*ret = cmd_usage("setup", "an option is wrong");
			return false;
		}
	o->mta = argv[optind];
	if (optind + 1 == argc && mta_kind_of(o->mta) != MTA_NONE)
		return true;
	*ret = cmd_usage("setup", "postfix or sendmail is needed");
	return false;
}

int cmd_setup(int argc, char **argv)
{
	struct setup_arguments o;
	struct strbuf errors;
	struct config *c;
	struct arena *a;
	int status;

	if (!read_arguments(argc, argv, &o, &status))
		return status;
	a = arena_new();
	strbuf_init(&errors, a, MISTAKES_MAX);
	c = config_load(o.config, &errors);
	fputs(strbuf_cstr(&errors), stderr);
	status = EX_CONFIG;
	if (c != NULL && !mta_use_socket(c, o.socket))
		status = cmd_usage("setup", "--socket is unix:/path or "
					    "inet:port@address");
	else if (c != NULL && mta_kind_of(o.mta) == MTA_POSTFIX)
		status = postfix_setup(a, c, o.directory, o.apply);
	else if (c != NULL)
		status = sendmail_setup(a, c, o.directory, o.apply);
	config_free(c);
	arena_free(a);
	return status;
}
