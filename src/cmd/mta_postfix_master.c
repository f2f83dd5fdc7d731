/*
 * What of master.cf matters to mailseal: the names of listeners, whether the
 * daemons are chrooted away from our socket, and who they run as.
 */
#include "cmd/mta.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char *override_of(const struct postfix *p, const char *service,
			       const char *name)
{
	for (size_t i = 0; i < p->noverrides; i++)
		if (strcmp(p->overrides[i].service, service) == 0 &&
		    strcmp(p->overrides[i].name, name) == 0)
			return p->overrides[i].value;
	return NULL;
}

/* The listener that tells milters this name, as "submission/inet", or NULL. */
static const char *named(const struct postfix *p, const char *name)
{
	for (size_t i = 0; i < p->noverrides; i++)
		if (strcmp(p->overrides[i].name, "milter_macro_daemon_name") ==
			    0 &&
		    strcmp(p->overrides[i].value, name) == 0)
			return p->overrides[i].service;
	return NULL;
}

/* The smtpd that master.cf itself calls so. */
static const char *like_named(const struct postfix *p, const char *name)
{
	for (size_t i = 0; i < p->nservices; i++)
		if (strcmp(p->services[i].name, name) == 0 &&
		    strcmp(p->services[i].command, "smtpd") == 0)
			return arena_printf(p->arena, "%s/%s", name,
					    p->services[i].type);
	return NULL;
}

/* A listener that has a name, but does not ask us. */
static void compare_asks(const struct postfix *p, const struct config *c,
			 const char *service, struct mta_faults *ret)
{
	const char *milters = override_of(p, service, "smtpd_milters");
	const char *options =
		override_of(p, service, "receive_override_options");
	const char *what = NULL;

	if (milters != NULL && postfix_our_entry(p, c, milters).n == 0 &&
	    strstr(milters, "smtpd_milters") == NULL)
		what = "smtpd_milters";
	if (options != NULL && strstr(options, "no_milters") != NULL)
		what = "receive_override_options";
	if (what == NULL)
		return;
	mta_fault_add(
		ret,
		&(struct mta_fault){
			.where = p->master_cf,
			.setting = arena_printf(p->arena, "%s -o %s", service,
						what),
			.wrong = "mail that this listener takes is not handed "
				 "to mailseald",
			.cure = arena_printf(p->arena,
					     "take that option out, or the "
					     "listener out of listeners of %s",
					     c->file)});
}

static void compare_listener(const struct postfix *p, const struct config *c,
			     const struct config_listener *l,
			     struct mta_faults *ret)
{
	const char *service = named(p, l->name);
	const char *common = postfix_value(p, "milter_macro_daemon_name");
	struct mta_fault f = {
		.where = p->master_cf,
		.setting = arena_printf(p->arena, "listener \"%s\" of %s",
					l->name, c->file),
		.wrong = "no smtpd has this name, so its direction is not used",
		.service = like_named(p, l->name),
	};

	if (service != NULL && l->direction != DIRECTION_NONE)
		compare_asks(p, c, service, ret);
	if (service != NULL || (common != NULL && strcmp(common, l->name) == 0))
		return;
	f.cure = arena_printf(
		p->arena, "add -o milter_macro_daemon_name=%s to %s", l->name,
		f.service != NULL ? f.service : "that smtpd");
	if (f.service != NULL) {
		f.name = "milter_macro_daemon_name";
		f.value = l->name;
		f.why = "the name of a listener in mailseal.conf";
	}
	mta_fault_add(ret, &f);
}

/* A socket outside of the chroot cannot be seen from there. */
static void compare_chroot(const struct postfix *p, const struct config *c,
			   struct mta_faults *ret)
{
	const char *ours = postfix_our_address(p, c);

	if (postfix_sees_socket(p, c))
		return;
	mta_fault_add(
		ret, &(struct mta_fault){
			     .where = c->file,
			     .setting = arena_printf(p->arena, "socket = %s",
						     c->socket),
			     .wrong = arena_printf(
				     p->arena,
				     "smtpd or cleanup runs chrooted in %s and "
				     "cannot see it (%s, column 5)",
				     p->queue, p->master_cf),
			     .cure = arena_printf(
				     p->arena,
				     "set socket = \"unix:%s/%s\", which is %s "
				     "there",
				     p->queue, ours + 5, ours)});
}

/* Nobody else makes a directory below the queue directory. */
static void compare_directory(const struct postfix *p, const struct config *c,
			      struct mta_faults *ret)
{
	const char *path = mta_socket_path(c->socket);
	const char *dir;
	const char *owner = postfix_value(p, "mail_owner");

	if (path == NULL || c->user[0] == '\0' || !postfix_holds_socket(p, c))
		return;
	dir = arena_memdup(p->arena, path, (size_t)(strrchr(path, '/') - path));
	if (access(dir, F_OK) == 0 || errno != ENOENT)
		return;
	mta_fault_add(
		ret,
		&(struct mta_fault){
			.where = c->file,
			.setting = arena_printf(p->arena, "socket = %s",
						c->socket),
			.wrong = "its directory is not there",
			.cure = arena_printf(
				p->arena, "install -d -o %s -g %s -m 2750 %s",
				c->user, owner != NULL ? owner : "postfix",
				dir)});
}

static void compare_access(const struct postfix *p, const struct config *c,
			   struct mta_faults *ret)
{
	const char *owner = postfix_value(p, "mail_owner");
	struct mta_fault f = {.where = c->file};

	if (owner != NULL && mta_access_fault(p->arena, c, owner, &f))
		mta_fault_add(ret, &f);
}

void postfix_compare_master(const struct postfix *p, const struct config *c,
			    struct mta_faults *ret)
{
	for (size_t i = 0; i < c->nlisteners; i++)
		compare_listener(p, c, &c->listeners[i], ret);
	compare_chroot(p, c, ret);
	compare_directory(p, c, ret);
	compare_access(p, c, ret);
}
