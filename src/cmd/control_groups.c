/* Names to numbers, by NSS: at start and at a reload alone. */
#include "cmd/control_groups.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include "control/control.h"

#define ROOM_MAX (1 << 20) /* for the members of a group */

static bool find(const struct config *c, const char *option, const char *name,
		 gid_t *ret, struct strbuf *errors)
{
	struct group g, *found = NULL;
	size_t room = 4096;
	char *buf = mem_alloc(room);
	int r;

	while ((r = getgrnam_r(name, &g, buf, room, &found)) == ERANGE &&
	       room < ROOM_MAX) {
		room *= 2;
		buf = mem_realloc(buf, room);
	}
	if (found != NULL)
		*ret = g.gr_gid;
	else
		strbuf_printf(errors,
			      "%s: %s: \"%s\" %s%s; make it with groupadd "
			      "--system %s, or name another\n",
			      c->file != NULL ? c->file : "", option, name,
			      r == 0 ? "is no group of this host"
				     : "cannot be looked up: ",
			      r == 0 ? "" : strerror(r), name);
	free(buf);
	return found != NULL;
}

bool control_groups_find(const struct config *c, struct control_groups *ret,
			 struct strbuf *errors)
{
	bool ok = true;

	*ret = (struct control_groups){CONTROL_NOBODY, CONTROL_NOBODY};
	if (c->control.read_group[0] != '\0')
		ok = find(c, "control.read_group", c->control.read_group,
			  &ret->read, errors);
	if (c->control.admin_group[0] != '\0')
		ok = find(c, "control.admin_group", c->control.admin_group,
			  &ret->admin, errors) &&
		     ok;
	return ok;
}
