/*
 * The folders: that of the state, and those in which the sockets are, since
 * they are removed at the end.
 */
#include "cmd/confine.h"

#include <string.h>

#include "base/log.h"
#include "control/sandbox.h"

#define FOLDERS 4
#define MOVING	3 /* those that a reload may move: the first ones */

/* Of a file. */
static const char *folder_of(struct arena *a, struct slice path)
{
	ptrdiff_t slash = slice_rchr(path, '/');

	if (slash <= 0)
		return slash == 0 ? "/" : ".";
	return slice_cstr(a, slice_first(path, (size_t)slash));
}

/* Where a Unix socket is; "" for another kind. */
static const char *folder_of_socket(struct arena *a, const char *where)
{
	struct slice path = slice_of(where), kind = slice_cut(&path, ':');

	if (path.p == NULL ||
	    !(slice_is(kind, "unix") || slice_is(kind, "local")))
		return "";
	return folder_of(a, path);
}

static void folders_of(const struct config *c, struct arena *a,
		       const char *ret[FOLDERS])
{
	ret[0] = c->state_directory;
	ret[1] = folder_of_socket(a, c->socket);
	ret[2] = folder_of_socket(a, c->metrics.listen);
	ret[3] = c->control.socket[0] == '\0'
			 ? ""
			 : folder_of(a, slice_of(c->control.socket));
}

bool confine(const struct config *c)
{
	struct arena *a;
	const char *folders[FOLDERS], *err = NULL;
	bool ok;

	if (!c->sandbox)
		return true;
	a = arena_new();
	folders_of(c, a, folders);
	ok = sandbox_filter(folders, FOLDERS, &err);
	arena_free(a);
	if (!ok)
		log_error("sandbox: %s; if it never will, set sandbox = false",
			  err);
	else if (!sandbox_holds_folders())
		log_debug("the kernel has no Landlock: folders are guarded by "
			  "their permissions alone");
	return ok;
}

bool confine_allows(const struct config *c, struct strbuf *errors)
{
	struct arena *a = arena_new();
	const char *folders[FOLDERS];
	bool ok = true;

	folders_of(c, a, folders);
	for (size_t i = 0; i < MOVING; i++) {
		if (folders[i][0] == '\0' || sandbox_may_write(folders[i]))
			continue;
		strbuf_printf(errors,
			      "%s: the sandbox does not let us write there; "
			      "restart mailseald to move to another folder\n",
			      folders[i]);
		ok = false;
	}
	arena_free(a);
	return ok;
}
