/*
 * Can the MTA's user connect to our socket?  Answered from modes and groups,
 * so that it can be asked before anything runs; what we cannot see is no
 * fault.
 */
#include "cmd/mta.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define GROUPS_MAX 256

struct who {
	const char *name, *group;
	uid_t uid;
	gid_t groups[GROUPS_MAX];
	int ngroups;
};

static bool who_is(struct arena *a, const char *name, struct who *ret)
{
	const struct passwd *pw = getpwnam(name);
	const struct group *g;

	if (pw == NULL)
		return false;
	ret->name = name;
	ret->uid = pw->pw_uid;
	ret->ngroups = GROUPS_MAX;
	if (getgrouplist(name, pw->pw_gid, ret->groups, &ret->ngroups) < 0)
		return false;
	g = getgrgid(pw->pw_gid);
	ret->group = arena_strdup(a, g != NULL ? g->gr_name : name);
	return true;
}

static bool is_member(const struct who *w, gid_t gid)
{
	for (int i = 0; i < w->ngroups; i++)
		if (w->groups[i] == gid)
			return true;
	return false;
}

/* `bit`: 01 to search a directory, 02 to connect to a socket. */
static bool may(const struct who *w, const struct stat *st, mode_t bit)
{
	if (w->uid == 0)
		return true;
	if (st->st_uid == w->uid)
		return ((st->st_mode >> 6) & bit) != 0;
	if (is_member(w, st->st_gid))
		return ((st->st_mode >> 3) & bit) != 0;
	return (st->st_mode & bit) != 0;
}

static const char *group_name(struct arena *a, gid_t gid)
{
	const struct group *g = getgrgid(gid);

	return g != NULL ? arena_strdup(a, g->gr_name)
			 : arena_printf(a, "%u", (unsigned)gid);
}

/* The first directory on the way that the user cannot enter, or NULL; `last`
 * is the one that the socket is in, if it is there. */
static const char *closed_directory(struct arena *a, const char *path,
				    const struct who *w, struct stat *last)
{
	const char *dir;

	*last = (struct stat){0};
	for (const char *s = strchr(path + 1, '/'); s != NULL;
	     s = strchr(s + 1, '/')) {
		dir = arena_memdup(a, path, (size_t)(s - path));
		if (stat(dir, last) != 0) {
			*last = (struct stat){0};
			return NULL;
		}
		if (!may(w, last, 01))
			return dir;
	}
	return NULL;
}

/* Owner, group and mode that the socket has, or will have; false: unknown. */
static bool socket_will_be(const struct config *c, const char *path,
			   const struct stat *dir, struct stat *ret)
{
	const struct passwd *user = getpwnam(c->user);
	const struct group *g = getgrnam(c->socket_group);

	if (stat(path, ret) == 0)
		return S_ISSOCK(ret->st_mode);
	if (user == NULL || (g == NULL && c->socket_group[0] != '\0'))
		return false;
	*ret = (struct stat){.st_uid = user->pw_uid,
			     .st_gid = user->pw_gid,
			     .st_mode =
				     (mode_t)strtoul(c->socket_mode, NULL, 8)};
	if (g != NULL)
		ret->st_gid = g->gr_gid;
	else if ((dir->st_mode & S_ISGID) != 0)
		ret->st_gid = dir->st_gid;
	return true;
}

/* The cure is never to put the user into our group, which may read keys. */
static void say_directory(struct arena *a, const char *dir,
			  const struct stat *st, const struct who *w,
			  struct mta_fault *ret)
{
	ret->wrong = arena_printf(
		a, "the user %s cannot enter %s (mode %04o, group %s)", w->name,
		dir, (unsigned)st->st_mode & 07777, group_name(a, st->st_gid));
	ret->cure = arena_printf(a,
				 "give it the group %s and the mode 2750, or "
				 "choose another directory",
				 w->group);
}

static void say_socket(struct arena *a, const struct stat *st,
		       const struct who *w, struct mta_fault *ret)
{
	ret->wrong = arena_printf(
		a, "the user %s cannot connect to it (mode %04o, group %s)",
		w->name, (unsigned)st->st_mode & 07777,
		group_name(a, st->st_gid));
	ret->cure = arena_printf(a,
				 "set socket_group = \"%s\", or give its "
				 "directory that group and the mode 2750",
				 w->group);
}

const char *mta_socket_path(const char *socket)
{
	struct slice rest = slice_of(socket);
	struct slice kind = slice_cut(&rest, ':');

	return (slice_is(kind, "unix") || slice_is(kind, "local")) &&
			       rest.p != NULL && rest.n > 1 && rest.p[0] == '/'
		       ? rest.p
		       : NULL;
}

bool mta_access_fault(struct arena *a, const struct config *c, const char *user,
		      struct mta_fault *ret)
{
	const char *path = mta_socket_path(c->socket), *dir;
	struct stat directory, st;
	struct who w;

	if (path == NULL || !who_is(a, user, &w))
		return false;
	ret->setting = arena_printf(a, "socket = %s", c->socket);
	dir = closed_directory(a, path, &w, &directory);
	if (dir != NULL) {
		say_directory(a, dir, &directory, &w, ret);
		return true;
	}
	if (!socket_will_be(c, path, &directory, &st) || may(&w, &st, 02))
		return false;
	say_socket(a, &st, &w, ret);
	return true;
}
