/*
 * Private key files: the only code that opens them.
 *
 * Owner and mode are checked on the open descriptor, so what was checked is
 * what is read.  The text of a key lives in memory that no core dump holds,
 * and is wiped.  Called by the key process (keyd_serve.c) or, without one, by
 * who needs the key.
 */
#include "keys/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse(struct arena *a, const char **err, const char *file,
		  const char *what)
{
	*err = arena_printf(a, "%s: %s", file, what);
	return -EACCES;
}

static int refuse_errno(struct arena *a, const char **err, const char *file,
			int code)
{
	char buf[128];
	const char *what = strerror_r(code, buf, sizeof(buf));

	if (code == ENOENT)
		*err = arena_printf(a,
				    "%s: %s; cure: mailseal key new --out %s",
				    file, what, file);
	else
		*err = arena_printf(a, "%s: %s; cure: ls -l %s", file, what,
				    file);
	return -code;
}

static int check_owner(struct arena *a, const char *file, const struct stat *st,
		       const char **err)
{
	uid_t user = geteuid();

	if (!S_ISREG(st->st_mode))
		return refuse(a, err, file,
			      "no regular file; cure: name the key file");
	if (st->st_uid != 0 && st->st_uid != user) {
		*err = arena_printf(
			a,
			"%s: owner is user %lu, neither root nor user %lu; "
			"cure: chown root %s",
			file, (unsigned long)st->st_uid, (unsigned long)user,
			file);
		return -EACCES;
	}
	return 0;
}

static int check_mode(struct arena *a, const char *file, const struct stat *st,
		      const char **err)
{
	unsigned mode = (unsigned)st->st_mode & 07777;
	const char *who = NULL;

	if ((mode & S_IRWXO) != 0)
		who = (mode & S_IROTH) != 0 ? "lets others read the key"
					    : "lets others at the key";
	else if ((mode & (S_IWGRP | S_IXGRP)) != 0)
		who = "lets the group write the key";
	else if ((mode & S_IRGRP) != 0 && st->st_gid != 0 &&
		 st->st_gid != getegid())
		who = "lets a foreign group read the key";
	if (who == NULL)
		return 0;
	*err = arena_printf(a, "%s: mode %04o %s; cure: chmod 0600 %s", file,
			    mode, who, file);
	return -EACCES;
}

/* Bytes read, or -errno. */
static ssize_t read_all(int fd, char *buf, size_t max)
{
	size_t n = 0;

	while (n < max) {
		ssize_t got = read(fd, buf + n, max - n);
		if (got == 0)
			break;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

/* The whole file into `ret`. */
static int read_text(struct arena *a, const char *file, int fd,
		     struct key_text *ret, const char **err)
{
	ssize_t n = read_all(fd, ret->p, KEY_TEXT_MAX + 1);

	if (n < 0)
		return refuse_errno(a, err, file, (int)-n);
	if (n > KEY_TEXT_MAX) {
		*err = arena_printf(a,
				    "%s: too long for a key; cure: name the "
				    "key file",
				    file);
		return -EINVAL;
	}
	ret->n = (size_t)n;
	return 0;
}

/* 0, or -errno and one line. */
static int read_file(struct arena *a, const char *file, struct key_text *ret,
		     const char **err)
{
	struct stat st;
	int status;
	/* O_NONBLOCK: opening a FIFO by mistake must not hang the start. */
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return refuse_errno(a, err, file, errno);
	if (fstat(fd, &st) != 0)
		status = refuse_errno(a, err, file, errno);
	else
		status = check_owner(a, file, &st, err);
	if (status == 0)
		status = check_mode(a, file, &st, err);
	if (status == 0)
		status = read_text(a, file, fd, ret, err);
	if (status == 0 && ret->since == 0)
		ret->since = st.st_mtime;
	close(fd);
	return status;
}

void key_text_init(struct key_text *t)
{
	*t = (struct key_text){.state = KEY_ACTIVE};
	t->p = crypto_secret_new(KEY_TEXT_MAX + 1);
}

void key_text_done(struct key_text *t)
{
	crypto_secret_free(t->p, KEY_TEXT_MAX + 1);
	*t = (struct key_text){0};
}

bool key_text_read(struct arena *a, const char *file, struct key_text *ret,
		   const char **err)
{
	ret->n = 0;
	if (!key_state_read(a, file, &ret->state, &ret->since, err)) {
		ret->state = KEY_ACTIVE; /* it may be: mail must not leave */
		return false;
	}
	return ret->state != KEY_ACTIVE || read_file(a, file, ret, err) == 0;
}

struct crypto_privkey *key_text_parse(struct arena *a, const char *file,
				      const struct key_text *t,
				      const char **err)
{
	const char *reason;
	struct crypto_privkey *k =
		crypto_privkey_parse((struct slice){t->p, t->n}, &reason);

	if (k == NULL)
		*err = arena_printf(a, "%s: %s", file, reason);
	return k;
}

int key_file_load(struct arena *a, const char *file,
		  struct crypto_privkey **ret, const char **err)
{
	struct crypto_privkey *k = NULL;
	struct key_text t;
	int status;

	key_text_init(&t);
	status = read_file(a, file, &t, err);
	if (status == 0)
		k = key_text_parse(a, file, &t, err);
	key_text_done(&t);
	if (k != NULL)
		*ret = k;
	return status == 0 && k == NULL ? -EINVAL : status;
}
