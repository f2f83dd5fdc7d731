/* The groups that control.read_group and control.admin_group name. */
#ifndef MAILSEAL_CMD_CONTROL_GROUPS_H
#define MAILSEAL_CMD_CONTROL_GROUPS_H

#include <sys/types.h>

#include "config/config.h"

struct control_groups {
	gid_t read, admin; /* CONTROL_NOBODY: none */
};

/* False, and a line for each name that is no group of this host. */
bool control_groups_find(const struct config *c, struct control_groups *ret,
			 struct strbuf *errors);

#endif
