/*
 * Landlock, by its three system calls: the C library of Debian 12 has no names
 * for them.  Of what a kernel knows to forbid, all that changes files is
 * forbidden but below some folders; reading is not touched, so that a reload
 * finds its files anywhere.
 */
#include "control/folders.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/arena.h"
#include "control/sandbox.h"

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE /* newer than the headers of Debian 12 */
#define LANDLOCK_ACCESS_FS_TRUNCATE (UINT64_C(1) << 14)
#endif

#define FOLDERS_MAX 8

#define CHANGES                                                                \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |       \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |       \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |           \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |         \
	 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)
/* In a folder of ours: no devices, and no programs. */
#define OURS                                                                   \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |      \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |          \
	 LANDLOCK_ACCESS_FS_TRUNCATE)

/* Written once, before there are threads. */
static struct {
	bool hold;
	size_t n;
	char *v[FOLDERS_MAX]; /* resolved */
} held;

/* What this kernel can forbid of that, 0 without Landlock. */
static uint64_t forbidden(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
			   LANDLOCK_CREATE_RULESET_VERSION);
	uint64_t ret = CHANGES | LANDLOCK_ACCESS_FS_EXECUTE;

	if (abi < 1)
		return 0;
	if (abi >= 3)
		ret |= LANDLOCK_ACCESS_FS_TRUNCATE;
	return ret;
}

/* The folder without links, or the one in which it would be made: it must be
 * usable then.  NULL: not even that is there. */
static char *resolve(const char *folder)
{
	char *ret = realpath(folder, NULL), *above, *slash;

	if (ret != NULL || folder[0] == '\0')
		return ret;
	above = mem_strdup(folder);
	slash = strrchr(above, '/');
	if (slash != NULL && slash != above) {
		*slash = '\0';
		ret = realpath(above, NULL);
	}
	free(above);
	return ret;
}

static void add_folder(int rules, const char *folder, uint64_t access)
{
	struct landlock_path_beneath_attr below = {.allowed_access = access};
	char *path = resolve(folder);

	if (path == NULL || held.n == FOLDERS_MAX) {
		free(path);
		return;
	}
	below.parent_fd = open(path, O_PATH | O_CLOEXEC | O_DIRECTORY);
	if (below.parent_fd < 0 ||
	    syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH,
		    &below, 0) != 0)
		free(path);
	else
		held.v[held.n++] = path;
	if (below.parent_fd >= 0)
		close(below.parent_fd);
}

void folders_hold(const char *const *folders, size_t n)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = forbidden()};
	int rules;

	if (attr.handled_access_fs == 0)
		return;
	rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr),
			     0);
	if (rules < 0)
		return;
	for (size_t i = 0; i < n; i++)
		add_folder(rules, folders[i], OURS & attr.handled_access_fs);
	held.hold = syscall(SYS_landlock_restrict_self, rules, 0) == 0;
	close(rules);
}

bool sandbox_holds_folders(void)
{
	return held.hold;
}

/* Is `path` `folder`, or below it? */
static bool is_in(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return strncmp(path, folder, n) == 0 &&
	       (path[n] == '\0' || path[n] == '/' || n == 1);
}

bool sandbox_may_write(const char *folder)
{
	char *path = held.hold ? resolve(folder) : NULL;
	bool ret = !held.hold;

	for (size_t i = 0; path != NULL && !ret && i < held.n; i++)
		ret = is_in(path, held.v[i]);
	free(path);
	return ret;
}
