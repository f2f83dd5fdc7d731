/* SO_PEERCRED and SO_PEERGROUPS (socket(7), unix(7)). */
#include "control/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUPS_MAX 65536 /* NGROUPS_MAX of the kernel */

/* The supplementary groups: in memory of the caller's, NULL when there are
 * none or the kernel does not say. */
static gid_t *get_groups(int fd, size_t *n)
{
	socklen_t len = 64 * sizeof(gid_t);
	gid_t *v = mem_alloc(len);

	while (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, v, &len) != 0) {
		if (errno != ERANGE || len > GROUPS_MAX * sizeof(gid_t)) {
			free(v);
			return NULL;
		}
		v = mem_realloc(v, len);
	}
	*n = len / sizeof(gid_t);
	return v;
}

static bool is_in(gid_t group, gid_t first, const gid_t *v, size_t n)
{
	if (group == CONTROL_NOBODY)
		return false;
	if (group == first)
		return true;
	for (size_t i = 0; v != NULL && i < n; i++)
		if (v[i] == group)
			return true;
	return false;
}

bool peer_get(int fd, gid_t read, gid_t admin, struct peer *ret)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	size_t n = 0;
	gid_t *v;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
		return false;
	v = get_groups(fd, &n);
	*ret = (struct peer){who.uid, who.pid, CONTROL_NONE};
	if (who.uid == 0 || who.uid == geteuid() || is_in(admin, who.gid, v, n))
		ret->role = CONTROL_ADMIN;
	else if (is_in(read, who.gid, v, n))
		ret->role = CONTROL_READ;
	free(v);
	return true;
}
