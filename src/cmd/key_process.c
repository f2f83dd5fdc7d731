/*
 * Starts the key process and hears of its end.
 *
 * When it is lost, mailseald ends in order, and with an error: a service
 * manager starts both anew.  Until then keys that are loaded go on signing.
 */
#include "cmd/key_process.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "control/sandbox.h"
#include "milter/app.h"

#define TITLE "mailseald: keys" /* 15 bytes: what the kernel keeps */

static struct {
	const char *config; /* path */
	char *title;	    /* where the arguments stand */
	size_t title_size;
} process;

static atomic_bool lost;

static struct keyring *read_rows(void *arg, void **owner, struct strbuf *errors)
{
	struct config *c = config_load(process.config, errors);
	struct keyring *k = c != NULL ? app_keyring_new(c, NULL, errors) : NULL;

	(void)arg;
	if (k == NULL)
		config_free(c);
	else
		*owner = c;
	return k;
}

static void release_rows(struct keyring *k, void *owner)
{
	keyring_free(k);
	config_free(owner);
}

/* What ps(1) shows: the name, and the arguments in whose place it stands. */
static void set_title(void)
{
	memset(process.title, 0, process.title_size);
	memcpy(process.title, TITLE,
	       process.title_size > sizeof(TITLE) ? sizeof(TITLE)
						  : process.title_size - 1);
	(void)prctl(PR_SET_NAME, TITLE);
}

static bool confine(void *arg)
{
	(void)arg;
	set_title();
	return sandbox_keys();
}

bool key_process_start(const struct config *c, int argc, char **argv,
		       struct keyd **ret, struct strbuf *errors)
{
	static const struct keyd_options options = {
		.read = read_rows,
		.release = release_rows,
		.confine = confine,
	};
	const char *err = NULL;

	*ret = NULL;
	if (geteuid() != 0 || c->user[0] == '\0')
		return true;
	process.config = c->file;
	process.title = argv[0];
	process.title_size =
		(size_t)(argv[argc - 1] - argv[0]) + strlen(argv[argc - 1]) + 1;
	*ret = keyd_start(&options, &err);
	if (*ret == NULL)
		strbuf_printf(errors, "%s\n", err);
	return *ret != NULL;
}

static void on_lost(void *arg)
{
	(void)arg;
	atomic_store(&lost, true);
	log_error("the key process ended or does not answer; stopping, to be "
		  "started anew");
	kill(getpid(), SIGTERM);
}

bool key_process_watch(struct keyd *d)
{
	return d == NULL || keyd_watch(d, on_lost, NULL);
}

bool key_process_lost(void)
{
	return atomic_load(&lost);
}
