/*
 * The key table: which key signs for which domain, one entry in a line, for
 * installations with more domains than a configuration should hold.
 *
 *     example.com      s1   /etc/mailseal/keys/example.com.s1.pem
 *     *.example.com    s1   keys/example.com.s1.pem    # names below it
 *
 * Names and paths live in the keyring's arena; no key file is opened here.
 */
#include "keys/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/progress.h"
#include "mail/domain.h"

#define TABLE_MAX    (256 * 1024 * 1024)

struct reader {
	struct keyring *keyring;
	struct arena *arena; /* the keyring's */
	const char *path;
	const char *directory;
	uint32_t lifetime;
	struct strbuf *errors;
	unsigned mistakes;
	unsigned line;
};

static void __attribute__((format(printf, 2, 3)))
complain(struct reader *r, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	if (++r->mistakes > KEYS_MISTAKES_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	strbuf_printf(r->errors, "%s:%u: %s\n", r->path, r->line, what);
}

/* Wire-like text for a message. */
static const char *shown(struct reader *r, struct slice s)
{
	struct strbuf b;

	strbuf_init(&b, r->arena, 512);
	strbuf_add_escaped(&b, s, 100);
	return strbuf_cstr(&b);
}

/* A canonical name: the text itself where it is one already. */
static const char *name_of(struct reader *r, struct slice s, const char *what)
{
	const char *ret = domain_canon(r->arena, s);

	if (ret == NULL)
		complain(r, "%s \"%s\" is no domain name; give one like "
			    "example.com",
			 what, shown(r, s));
	return ret;
}

/* "example.com" or "*.example.com". */
static bool domains_of(struct reader *r, struct slice s, struct key_entry *e)
{
	bool below = slice_starts(s, "*.");
	const char *domain =
		name_of(r, below ? slice_from(s, 2) : s, "domain");

	if (domain == NULL)
		return false;
	if (domain_labels(domain) < 2) {
		complain(r, "domain \"%s\" has one label; nobody can sign for "
			    "all below it",
			 domain);
		return false;
	}
	e->signing_domain = domain;
	e->domain = below ? arena_printf(r->arena, "*.%s", domain) : domain;
	return true;
}

static struct slice word_of(struct slice *line)
{
	struct slice s = slice_trim(*line);
	size_t n = 0;

	while (n < s.n && !ascii_iswsp(s.p[n]))
		n++;
	*line = slice_from(s, n);
	return slice_first(s, n);
}

static void read_line(struct reader *r, struct slice line)
{
	struct slice rest = slice_trim(slice_cut(&line, '#'));
	struct slice domain = word_of(&rest), selector = word_of(&rest);
	struct slice file = word_of(&rest);
	struct key_entry e = {.any_type = true,
			      .from_table = true,
			      .lifetime = r->lifetime};

	if (domain.n == 0)
		return;
	if (file.n == 0 || slice_trim(rest).n > 0) {
		complain(r, "give \"domain selector file\"");
		return;
	}
	e.selector = name_of(r, selector, "selector");
	if (!domains_of(r, domain, &e) || e.selector == NULL)
		return;
	e.file = *file.p == '/'
			 ? slice_cstr(r->arena, file)
			 : arena_printf(r->arena, "%s%.*s", r->directory,
					(int)file.n, file.p);
	e.source = arena_printf(r->arena, "%s:%u", r->path, r->line);
	keyring_add(r->keyring, &e);
}

/* Whoever writes the table decides which key signs for whom. */
static const char *objection(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "no regular file; give the path of a key table";
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "owner is neither root nor we; cure: chown root";
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return "others may write it; cure: chmod go-w";
	if (st->st_size > TABLE_MAX)
		return "too large for a key table";
	return NULL;
}

static bool read_file(struct arena *a, const char *path, struct slice *ret,
		      const char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *buf = NULL;
	size_t n = 0;
	ssize_t got = -1;

	*why = NULL;
	if (fd >= 0 && fstat(fd, &st) == 0)
		*why = objection(&st);
	if (fd >= 0 && *why == NULL) {
		buf = arena_alloc(a, (size_t)st.st_size + 1);
		while ((got = read(fd, buf + n, (size_t)st.st_size - n)) > 0)
			n += (size_t)got;
	}
	if (got < 0 && *why == NULL)
		*why = strerror(errno);
	if (fd >= 0)
		close(fd);
	*ret = (struct slice){buf, n};
	return *why == NULL;
}

bool keyring_add_table(struct keyring *k, const char *path, uint32_t lifetime,
		       struct strbuf *errors)
{
	struct reader r = {.keyring = k,
			   .arena = keyring_arena(k),
			   .lifetime = lifetime,
			   .errors = errors};
	const char *slash = strrchr(path, '/'), *why;
	struct arena *text = arena_new();
	struct slice rest;

	r.path = arena_strdup(r.arena, path);
	r.directory = arena_memdup(
		r.arena, path, slash != NULL ? (size_t)(slash - path) + 1 : 0);
	if (!read_file(text, path, &rest, &why)) {
		strbuf_printf(errors, "%s: %s\n", path, why);
		r.mistakes = 1;
	} else {
		while (rest.n > 0) {
			progress_step("lines of the key table", r.line, 0);
			r.line++;
			read_line(&r, slice_cut(&rest, '\n'));
		}
	}
	if (r.mistakes > KEYS_MISTAKES_MAX)
		strbuf_printf(errors, "%s: %u more mistakes\n", path,
			      r.mistakes - KEYS_MISTAKES_MAX);
	arena_free(text);
	return r.mistakes == 0;
}
