/*
 * mailseal setup postfix: prints the commands that make Postfix use mailseal,
 * or runs them, with a copy of both files beside them which is put back when
 * `postfix check` does not like what came out.  Never reloads.
 */
#include "cmd/mta.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define SECONDS 60 /* postfix check looks at every file of Postfix */

static const char *assignment(struct arena *a, const struct mta_fault *f)
{
	return f->service != NULL
		       ? arena_printf(a, "%s/%s=%s", f->service, f->name,
				      f->value)
		       : arena_printf(a, "%s = %s", f->name, f->value);
}

static const char *command(const struct postfix *p, const char *program)
{
	return p->option == NULL
		       ? program
		       : arena_printf(p->arena, "%s -c %s", program,
				      mta_quoted(p->arena, p->option));
}

static void print_commands(const struct postfix *p, const struct mta_faults *f)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct mta_fault *v = &f->v[i];

		if (v->name == NULL)
			continue;
		printf("# %s\n%s %s %s\n", v->why, command(p, "postconf"),
		       v->service != NULL ? "-P" : "-e",
		       mta_quoted(p->arena, assignment(p->arena, v)));
	}
	printf("# then\n%s check && %s reload\n", command(p, "postfix"),
	       command(p, "postfix"));
}

/* One postconf for main.cf, one for master.cf: all or nothing of each. */
static bool set_those(const struct postfix *p, const struct mta_faults *f,
		      bool of_master, const char **err)
{
	const char *argv[sizeof(f->v) / sizeof(*f->v) + 8];
	struct mta_result r;
	size_t n = 0, first;

	argv[n++] = "postconf";
	if (p->option != NULL) {
		argv[n++] = "-c";
		argv[n++] = p->option;
	}
	argv[n++] = of_master ? "-P" : "-e";
	first = n;
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].name != NULL &&
		    (f->v[i].service != NULL) == of_master)
			argv[n++] = assignment(p->arena, &f->v[i]);
	argv[n] = NULL;
	if (n == first)
		return true;
	mta_run(p->arena, argv, SECONDS, &r);
	if (r.problem == NULL && r.status == 0)
		return true;
	*err = mta_complaint(p->arena, &r);
	return false;
}

static bool check(const struct postfix *p, const char **err)
{
	const char *const own[] = {"postfix", "check", NULL};
	const char *const of[] = {"postfix", "-c", p->option, "check", NULL};
	struct mta_result r;

	mta_run(p->arena, p->option != NULL ? of : own, SECONDS, &r);
	if (r.problem == NULL && r.status == 0)
		return true;
	*err = arena_printf(p->arena, "postfix check: %s",
			    mta_complaint(p->arena, &r));
	return false;
}

struct copies {
	const char *main, *master; /* NULL: that file stays as it is */
};

static bool any(const struct mta_faults *f, bool of_master)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].name != NULL &&
		    (f->v[i].service != NULL) == of_master)
			return true;
	return false;
}

static bool copy_both(const struct postfix *p, const struct mta_faults *f,
		      struct copies *ret, const char **err)
{
	*ret = (struct copies){NULL, NULL};
	if (any(f, false))
		ret->main = mta_file_backup(p->arena, p->main_cf, err);
	if (any(f, false) && ret->main == NULL)
		return false;
	if (any(f, true))
		ret->master = mta_file_backup(p->arena, p->master_cf, err);
	if (!any(f, true) || ret->master != NULL)
		return true;
	if (ret->main != NULL)
		(void)unlink(ret->main);
	return false;
}

static int put_back(const struct postfix *p, const struct copies *c,
		    const char *why)
{
	if ((c->main == NULL || rename(c->main, p->main_cf) == 0) &&
	    (c->master == NULL || rename(c->master, p->master_cf) == 0))
		return mta_fail(EX_CONFIG, "all is as it was", why);
	fprintf(stderr,
		"mailseal setup: %s; put back the copies "
		"*.mailseal-* in %s by hand\n",
		why, p->directory);
	return EX_CANTCREAT;
}

static int make_settings(const struct postfix *p, const struct mta_faults *f)
{
	const char *err = NULL;
	struct copies c;

	if (geteuid() != 0)
		return mta_fail(EX_NOPERM, "nothing was changed",
				"--apply is for root");
	if (!copy_both(p, f, &c, &err))
		return mta_fail(EX_CANTCREAT, "nothing was changed", err);
	if (!set_those(p, f, false, &err) || !set_those(p, f, true, &err) ||
	    !check(p, &err))
		return put_back(p, &c, err);
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].name != NULL)
			printf("%s\n", assignment(p->arena, &f->v[i]));
	if (c.main != NULL)
		printf("# before: %s\n", c.main);
	if (c.master != NULL)
		printf("# before: %s\n", c.master);
	printf("# now: %s reload\n", command(p, "postfix"));
	return 0;
}

int postfix_setup(struct arena *a, const struct config *c,
		  const char *directory, bool apply)
{
	struct mta_faults f = {.arena = a};
	const char *err = NULL;
	struct postfix *p = postfix_read(a, directory, &err);
	int status, made = 0;

	if (p == NULL)
		return mta_fail(EX_UNAVAILABLE, "no Postfix", err);
	if (postfix_our_address(p, c) == NULL)
		return mta_fail(EX_CONFIG, c->file,
				"socket = \"fd:N\" does not tell where we "
				"listen; give --socket, the ListenStream= of "
				"the socket unit");
	postfix_compare(p, c, &f);
	postfix_compare_master(p, c, &f);
	printf("# Postfix %s in %s\n", postfix_value(p, "mail_version"),
	       p->directory);
	fflush(stdout);
	status = mta_faults_complain(&f) ? EX_CONFIG : 0;
	if (apply && !postfix_sees_socket(p, c))
		return mta_fail(EX_CONFIG, "nothing was changed",
				"Postfix could not see the socket");
	if (!any(&f, false) && !any(&f, true))
		printf("# nothing to do\n");
	else if (!apply)
		print_commands(p, &f);
	else
		made = make_settings(p, &f);
	return made != 0 ? made : status;
}
