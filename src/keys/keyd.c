/*
 * Opens private key files: the only code that sees their paths.
 *
 * Owner and mode are checked on the open descriptor, so that nothing can be
 * swapped in between.
 */
#include "keys/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX 65536

/* NULL, or what is wrong and the command that cures it. */
static const char *refuse(struct arena *a, const char *file,
			  const struct stat *st)
{
	mode_t mode = st->st_mode & 07777;

	if (!S_ISREG(st->st_mode))
		return arena_printf(a, "%s: is no regular file", file);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return arena_printf(a,
				    "%s: belongs to user %u, who could change "
				    "it; cure: chown root %s",
				    file, (unsigned)st->st_uid, file);
	if ((mode & 027) != 0)
		return arena_printf(a,
				    "%s: mode %04o lets others read or change "
				    "the key; cure: chmod 0600 %s",
				    file, (unsigned)mode, file);
	if ((mode & 040) != 0 && st->st_gid != 0 && st->st_gid != getegid())
		return arena_printf(a,
				    "%s: mode %04o lets group %u read the key; "
				    "cure: chmod 0600 %s",
				    file, (unsigned)mode, (unsigned)st->st_gid,
				    file);
	return NULL;
}

static const char *read_all(struct arena *a, int fd, const char *file,
			    struct slice *ret)
{
	char *buf = arena_alloc(a, KEY_FILE_MAX + 1);
	size_t n = 0;
	ssize_t got;

	while (n <= KEY_FILE_MAX &&
	       (got = read(fd, buf + n, KEY_FILE_MAX + 1 - n)) != 0) {
		if (got < 0)
			return arena_printf(a, "%s: %s", file, strerror(errno));
		n += (size_t)got;
	}
	if (n > KEY_FILE_MAX)
		return arena_printf(a, "%s: is too large for a key", file);
	*ret = (struct slice){buf, n};
	return NULL;
}

static const char *load(struct arena *a, int fd, const char *file,
			struct crypto_privkey **ret)
{
	struct stat st;
	struct slice pem = {"", 0};
	const char *err, *reason = NULL;
	struct crypto_privkey *k;

	if (fstat(fd, &st) != 0)
		return arena_printf(a, "%s: %s", file, strerror(errno));
	err = refuse(a, file, &st);
	if (err == NULL)
		err = read_all(a, fd, file, &pem);
	if (err != NULL)
		return err;
	k = crypto_privkey_parse(pem, &reason);
	explicit_bzero(unconst(pem.p), pem.n);
	if (k == NULL)
		return arena_printf(a, "%s: %s", file, reason);
	*ret = k;
	return NULL;
}

int keyd_load(struct arena *a, const char *file, struct crypto_privkey **ret,
	      const char **err)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const char *what;

	if (fd < 0) {
		int e = errno;

		*err = arena_printf(a, "%s: %s%s", file, strerror(e),
				    e == ENOENT ? "; make one with mailseal "
						  "key new"
						: "");
		return -e;
	}
	what = load(a, fd, file, ret);
	close(fd);
	if (what == NULL)
		return 0;
	*err = what;
	return -EACCES;
}
