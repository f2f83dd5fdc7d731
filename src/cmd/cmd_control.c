/*
 * mailseal status, metrics, reload and keys: what mailseald answers on its
 * control socket, and its status as ours.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cmd/cmd.h"
#include "cmd/control_call.h"

int cmd_status(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'}, CONTROL_LONG_OPTIONS, {0}};
	struct control_target t = {0};
	const char *request = "status";
	int c;

	while ((c = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
		if (c == 'j')
			request = "status --json";
		else if (!control_target_take(&t, c, optarg))
			return cmd_usage("status", "bad option");
	}
	if (optind != argc)
		return cmd_usage("status", "it takes no arguments");
	return control_call("status", &t, request, CONTROL_CALL_QUICK);
}

/* A command that is asked as it is called. */
static int ask_plainly(const char *command, int argc, char **argv,
		       enum control_patience patience)
{
	static const struct option longs[] = {CONTROL_LONG_OPTIONS, {0}};
	struct control_target t = {0};
	int c;

	while ((c = getopt_long(argc, argv, "c:", longs, NULL)) != -1)
		if (!control_target_take(&t, c, optarg))
			return cmd_usage(command, "bad option");
	if (optind != argc)
		return cmd_usage(command, "it takes no arguments");
	return control_call(command, &t, command, patience);
}

int cmd_metrics(int argc, char **argv)
{
	return ask_plainly("metrics", argc, argv, CONTROL_CALL_QUICK);
}

int cmd_reload(int argc, char **argv)
{
	return ask_plainly("reload", argc, argv, CONTROL_CALL_LONG);
}

static int ask_keys(const struct control_target *t, bool json,
		    const char *domain)
{
	struct arena *a;
	int status;

	if (domain == NULL)
		domain = "";
	else if (!control_is_word(domain))
		return cmd_usage("keys", "that is no domain");
	a = arena_new();
	status = control_call("keys", t,
			      arena_printf(a, "keys%s%s%s",
					   json ? " --json" : "",
					   domain[0] != '\0' ? " " : "", domain),
			      CONTROL_CALL_LONG);
	arena_free(a);
	return status;
}

int cmd_keys(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'}, CONTROL_LONG_OPTIONS, {0}};
	struct control_target t = {0};
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
		if (c == 'j')
			json = true;
		else if (!control_target_take(&t, c, optarg))
			return cmd_usage("keys", "bad option");
	}
	if (argc - optind > 1)
		return cmd_usage("keys", "one domain, or none");
	return ask_keys(&t, json, argv[optind]);
}
