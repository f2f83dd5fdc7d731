/* Which MTA there is, and what check-config says of it. */
#include "cmd/mta.h"

#include <string.h>

enum mta_kind mta_kind_of(const char *name)
{
	if (name != NULL && strcmp(name, "postfix") == 0)
		return MTA_POSTFIX;
	if (name != NULL && strcmp(name, "sendmail") == 0)
		return MTA_SENDMAIL;
	return MTA_NONE;
}

bool mta_use_socket(struct config *c, const char *socket)
{
	if (socket == NULL)
		return true;
	if (mta_socket_path(socket) == NULL &&
	    !slice_starts(slice_of(socket), "inet"))
		return false;
	c->socket = socket;
	c->user = ""; /* the service manager makes it, for whom we cannot see */
	return true;
}

/* Sets *err when it cannot be looked at. */
static void look_at_postfix(struct arena *a, const struct config *c,
			    const char *directory, struct mta_faults *f,
			    const char **err)
{
	struct postfix *p = postfix_read(a, directory, err);

	if (p == NULL)
		return;
	postfix_compare(p, c, f);
	postfix_compare_master(p, c, f);
}

static void look_at_sendmail(struct arena *a, const struct config *c,
			     const char *directory, struct mta_faults *f,
			     const char **err)
{
	struct sendmail *s = sendmail_read(a, directory, err);

	if (s != NULL)
		sendmail_compare(s, c, f);
}

/* Is it that there is no Postfix, or none that is set up? */
static bool is_absence(const char *err)
{
	return strstr(err, "postconf is not there") != NULL ||
	       strstr(err, "main.cf: No such file") != NULL;
}

void mta_look(struct arena *a, const struct config *c,
	      const struct mta_choice *choice, struct strbuf *out)
{
	struct mta_faults f = {.arena = a};
	const char *err = NULL, *none = NULL;

	if (choice->kind == MTA_NONE)
		return;
	if (choice->kind != MTA_SENDMAIL)
		look_at_postfix(a, c, choice->directory, &f, &err);
	if (choice->kind == MTA_ANY && err != NULL && is_absence(err)) {
		err = NULL;
		look_at_sendmail(a, c, choice->directory, &f, &none);
	}
	if (choice->kind == MTA_SENDMAIL)
		look_at_sendmail(a, c, choice->directory, &f, &err);
	if (err != NULL)
		strbuf_printf(out, "the MTA cannot be looked at: %s\n", err);
	(void)mta_faults_print(out, &f, false);
}
