/* Who is at the other end of a Unix socket, as the kernel says; no look-up of
 * names, so that it works within any sandbox. */
#ifndef MAILSEAL_CONTROL_PEER_H
#define MAILSEAL_CONTROL_PEER_H

#include "control/control.h"

struct peer {
	uid_t uid;
	pid_t pid;
	enum control_role role;
};

/* Of the process that connected, when it did.  False: the kernel does not
 * say. */
bool peer_get(int fd, gid_t read, gid_t admin, struct peer *ret);

#endif
