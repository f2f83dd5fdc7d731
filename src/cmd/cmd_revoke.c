/* mailseal revoke: has mailseald refuse a login from its next message on, or
 * not any more, or say which ones it refuses. */
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/control_call.h"
#include "control/control.h"

struct request {
	struct control_target target;
	bool undo, list;
	const char *login; /* NULL with `list` */
};

static int ask(const struct request *q)
{
	struct arena *a;
	int status;

	if (q->list)
		return control_call("revoke", &q->target, "revoke list",
				    CONTROL_CALL_LONG);
	if (!control_is_word(q->login))
		return cmd_refuse(
			"revoke",
			"a login that is empty, or has spaces or control "
			"characters, cannot be revoked so; use revoked = true "
			"in submission.credentials");
	if (strlen(q->login) > CONTROL_REQUEST_MAX / 2)
		return cmd_refuse("revoke", "the login is too long");
	a = arena_new();
	status = control_call("revoke", &q->target,
			      arena_printf(a, "revoke %s %s",
					   q->undo ? "undo" : "add", q->login),
			      CONTROL_CALL_LONG);
	arena_free(a);
	return status;
}

int cmd_revoke(int argc, char **argv)
{
	static const struct option longs[] = {{"undo", no_argument, NULL, 'u'},
					      {"list", no_argument, NULL, 'l'},
					      CONTROL_LONG_OPTIONS,
					      {0}};
	struct request q = {0};
	int c;

	while ((c = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
		if (c == 'u')
			q.undo = true;
		else if (c == 'l')
			q.list = true;
		else if (!control_target_take(&q.target, c, optarg))
			return cmd_usage("revoke", "bad option");
	}
	q.login = argv[optind];
	if (q.list && (q.undo || q.login != NULL))
		return cmd_usage("revoke", "--list stands alone");
	if (!q.list && optind + 1 != argc)
		return cmd_usage("revoke", "one login is needed");
	return ask(&q);
}
