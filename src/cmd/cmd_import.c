/*
 * mailseal import: our configuration from that of opendkim and opendmarc.
 *
 * What comes out is loaded as `mailseal check-config` would, before anything
 * is written.  Key files are only looked at: one that cannot be used yet does
 * not keep the configuration from being written, since opendkim may be running
 * with it; but the exit status tells.
 */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/import.h"
#include "config/config.h"
#include "milter/app.h"

#define SUMMARY_MAX (16 * 1024 * 1024)
#define PRINTED_MAX 10000 /* domains of a configuration on standard output */

struct arguments {
	const char *dkim, *dmarc, *out;
	bool force;
};

static const struct option long_options[] = {
	{"output", required_argument, NULL, 'o'},
	{"force", no_argument, NULL, 'f'},
	{0},
};

static int parse(int argc, char **argv, struct arguments *o)
{
	int c;

	*o = (struct arguments){0};
	while ((c = getopt_long(argc, argv, "o:", long_options, NULL)) != -1) {
		if (c == 'o')
			o->out = optarg;
		else if (c == 'f')
			o->force = true;
		else
			return cmd_usage("import", "bad option");
	}
	if (argc - optind < 1 || argc - optind > 2)
		return cmd_usage("import", "give opendkim.conf, and perhaps "
					   "opendmarc.conf");
	o->dkim = argv[optind];
	o->dmarc = argv[optind + 1];
	return 0;
}

/* ---- reading ---- */

static bool read_fd(struct arena *a, int fd, size_t max, struct slice *ret)
{
	struct strbuf b;
	char chunk[65536];
	ssize_t n = 0;

	strbuf_init(&b, a, max);
	while (!b.overflow && (n = read(fd, chunk, sizeof(chunk))) > 0)
		strbuf_add(&b, (struct slice){chunk, (size_t)n});
	*ret = strbuf_slice(&b);
	if (b.overflow)
		errno = EFBIG;
	return n == 0 && !b.overflow;
}

/* A regular file: a FIFO by mistake must not hang us. */
static bool read_file(void *arg, struct arena *a, const char *path, size_t max,
		      struct slice *ret, const char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	bool ok = false;

	(void)arg;
	*why = NULL;
	if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
		*why = "no regular file; give the path of one";
	else if (fd >= 0)
		ok = read_fd(a, fd, max, ret);
	if (!ok && *why == NULL)
		*why = errno == EFBIG
			       ? "too large for a file of its kind"
			       : arena_printf(a,
					      "%s; give a file that can be "
					      "read",
					      strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

static int read_theirs(struct import *im, const struct arguments *o)
{
	bool ok = import_read(im, &im->dkim, o->dkim);

	if (ok && o->dmarc != NULL)
		ok = import_read(im, &im->dmarc, o->dmarc);
	if (ok)
		import_dkim(im);
	if (im->mistake.text == NULL)
		import_dmarc(im);
	if (im->mistake.text == NULL)
		return 0;
	fprintf(stderr, "%s\n", im->mistake.text);
	return im->mistake.unreadable ? EX_NOINPUT : EX_DATAERR;
}

/* ---- checking ---- */

/* A text as a file that nobody else sees; it has a path while it is open. */
static int hold_text(struct slice text)
{
	int fd = memfd_create("mailseal import", MFD_CLOEXEC);

	if (fd < 0 || fchmod(fd, 0600) != 0)
		return -1;
	while (text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		if (n <= 0)
			return -1;
		text = slice_from(text, (size_t)n);
	}
	return fd;
}

static bool load(struct arena *a, int fd, struct strbuf *errors)
{
	struct strbuf warnings;
	struct config *c =
		config_load(arena_printf(a, "/proc/self/fd/%d", fd), errors);
	struct app *app = NULL;

	strbuf_init(&warnings, a, SUMMARY_MAX);
	if (c != NULL)
		app = app_new(c, NULL, errors, &warnings);
	if (app == NULL)
		config_free(c);
	app_unref(app);
	return app != NULL;
}

/* Would mailseald take it?  With the key table in another place. */
static bool check(struct import *im, bool with_table)
{
	struct arena *a = im->arena;
	struct strbuf conf, table, errors;
	int fd = -1, table_fd = -1;
	bool ok;

	strbuf_init(&conf, a, IMPORT_TEXT_MAX);
	strbuf_init(&table, a, IMPORT_TEXT_MAX);
	strbuf_init(&errors, a, SUMMARY_MAX);
	if (with_table) {
		struct strbuf first;

		strbuf_init(&first, a, IMPORT_TEXT_MAX);
		import_write(im, "/", &first, &table);
		table_fd = hold_text(strbuf_slice(&table));
	}
	import_write(im,
		     with_table ? arena_printf(a, "/proc/self/fd/%d", table_fd)
				: NULL,
		     &conf, &table);
	fd = hold_text(strbuf_slice(&conf));
	ok = fd >= 0 && (!with_table || table_fd >= 0) && !conf.overflow &&
	     !table.overflow && load(a, fd, &errors);
	if (!ok)
		fprintf(stderr,
			"mailseal import: nothing is written, since mailseald "
			"would refuse it:\n%s",
			strbuf_cstr(&errors));
	if (fd >= 0)
		close(fd);
	if (table_fd >= 0)
		close(table_fd);
	return ok;
}

/* Key files that cannot be used: their number. */
static size_t look_at_keys(struct import *im)
{
	size_t bad = 0;

	for (size_t i = 0; i < im->nentries; i++) {
		const struct import_entry *e = &im->entries[i];
		struct crypto_privkey *key = NULL;
		const char *err = NULL;

		if (i > 0 && strcmp(e->file, im->entries[i - 1].file) == 0)
			continue;
		if (key_file_load(im->arena, e->file, &key, &err) == 0) {
			crypto_privkey_free(key);
		} else if (++bad <= IMPORT_ROWS_MAX) {
			fprintf(stderr, "%s:%u: key %s\n",
				import_shown(im, e->at.file), e->at.line,
				import_shown(im, err));
		}
	}
	if (bad > 0)
		fprintf(stderr,
			"mailseal import: %zu key file%s cannot be used yet; "
			"mend %s, or a copy, before mailseald starts\n",
			bad, bad == 1 ? "" : "s", bad == 1 ? "it" : "them");
	return bad;
}

/* ---- writing ---- */

/* A file beside `path`, with that text; its name, or NULL and errno. */
static const char *write_beside(struct arena *a, const char *path,
				struct slice text)
{
	char *name = arena_printf(a, "%s.XXXXXX", path);
	int fd = mkstemp(name);
	mode_t mask = umask(0);
	bool ok = fd >= 0;

	umask(mask);
	while (ok && text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		ok = n > 0;
		text = slice_from(text, n > 0 ? (size_t)n : 0);
	}
	ok = ok && fchmod(fd, 0644 & ~mask) == 0 && fsync(fd) == 0;
	if (fd >= 0)
		ok = close(fd) == 0 && ok;
	if (!ok && fd >= 0)
		unlink(name);
	return ok ? name : NULL;
}

struct output {
	const char *path;
	struct slice text;
	const char *beside; /* what is to be there */
	const char *before; /* what was there, by another name; or NULL */
};

/* Only --force replaces what is there.  False with errno: nothing changed. */
static bool place(struct arena *a, struct output *o, bool force)
{
	const char *before = arena_printf(a, "%s.old", o->beside);
	int code;

	if (!force)
		return link(o->beside, o->path) == 0 && unlink(o->beside) == 0;
	if (link(o->path, before) == 0)
		o->before = before;
	else if (errno != ENOENT)
		return false;
	if (rename(o->beside, o->path) == 0)
		return true;
	code = errno;
	if (o->before != NULL)
		unlink(o->before);
	errno = code;
	return false;
}

/* As it was before place(). */
static void put_back(const struct output *o)
{
	if (o->before == NULL)
		unlink(o->path);
	else if (rename(o->before, o->path) != 0)
		fprintf(stderr,
			"mailseal import: %s: %s; what it was is in %s\n",
			o->path, strerror(errno), o->before);
}

static bool write_files(struct arena *a, struct output *v, size_t n, bool force)
{
	size_t placed = 0;
	int code;

	for (size_t i = 0; i < n; i++)
		v[i].beside = write_beside(a, v[i].path, v[i].text);
	while (placed < n && v[n - 1].beside != NULL &&
	       v[placed].beside != NULL &&
	       place(a, &v[placed], force))
		placed++;
	code = errno;
	for (size_t i = 0; i < n; i++) {
		if (placed < n && v[i].beside != NULL)
			unlink(v[i].beside);
		if (placed == n && v[i].before != NULL)
			unlink(v[i].before);
	}
	if (placed == n)
		return true;
	for (size_t i = 0; i < placed; i++)
		put_back(&v[i]);
	fprintf(stderr, "mailseal import: %s: %s; give another -o\n",
		v[placed].path, strerror(code));
	return false;
}

/* "/etc/mailseal.keytable" for "mailseal.conf", of which the folder is. */
static const char *table_path(struct arena *a, const char *out)
{
	const char *slash = strrchr(out, '/');
	const char *folder =
		slash == NULL  ? "."
		: slash == out ? "/"
			       : arena_memdup(a, out, (size_t)(slash - out));
	const char *name = slash != NULL ? slash + 1 : out;
	struct slice stem = slice_of(name);
	char real[PATH_MAX];

	if (realpath(folder, real) == NULL)
		return NULL;
	if (stem.n > 5 && slice_ends_ci(stem, ".conf"))
		stem.n -= 5;
	return arena_printf(a, "%s/%.*s.keytable",
			    strcmp(real, "/") == 0 ? "" : real, (int)stem.n,
			    stem.p);
}

static bool is_taken(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return false;
	fprintf(stderr,
		"mailseal import: %s is there; give another -o, or --force\n",
		path);
	return true;
}

static int write_all(struct import *im, const struct arguments *o,
		     const char *table)
{
	struct strbuf conf, keys;
	struct output v[2];

	strbuf_init(&conf, im->arena, IMPORT_TEXT_MAX);
	strbuf_init(&keys, im->arena, IMPORT_TEXT_MAX);
	import_write(im, table, &conf, &keys);
	if (o->out == NULL) {
		fputs(strbuf_cstr(&conf), stdout);
		return fflush(stdout) == 0 ? 0 : EX_IOERR;
	}
	v[0] = (struct output){.path = table, .text = strbuf_slice(&keys)};
	v[1] = (struct output){.path = o->out, .text = strbuf_slice(&conf)};
	return write_files(im->arena, table != NULL ? v : v + 1,
			   table != NULL ? 2 : 1, o->force)
		       ? 0
		       : EX_CANTCREAT;
}

static void print_end(const struct import *im, const struct arguments *o,
		      const char *table)
{
	if (im->rows > IMPORT_ROWS_MAX)
		fprintf(stderr, "and %u more rows without counterpart\n",
			im->rows - IMPORT_ROWS_MAX);
	fprintf(stderr,
		"mailseal import: %u taken over, %u not needed, %u without "
		"counterpart%s%s%s%s\n",
		im->counts[IMPORT_TAKEN], im->counts[IMPORT_UNNEEDED],
		im->counts[IMPORT_ABSENT] + im->rows,
		o->out != NULL ? "; written: " : "",
		o->out != NULL ? o->out : "", table != NULL ? ", " : "",
		table != NULL ? table : "");
}

static int import(struct arena *a, const struct arguments *o)
{
	struct import *im = import_new(a, read_file, NULL);
	const char *table = NULL;
	int status = read_theirs(im, o);

	if (status != 0)
		return status;
	if (o->out == NULL && import_domains(im) > PRINTED_MAX)
		return cmd_refuse("import",
				  "more than %d domains; give -o FILE, and a "
				  "key table is written beside it",
				  PRINTED_MAX);
	if (o->out != NULL && import_domains(im) > IMPORT_INLINE_MAX) {
		table = table_path(a, o->out);
		if (table == NULL)
			return cmd_refuse("import",
					  "%s: %s; give a folder "
					  "that is there",
					  o->out, strerror(errno));
	}
	if (o->out != NULL && !o->force &&
	    (is_taken(o->out) || (table != NULL && is_taken(table))))
		return EX_CANTCREAT;
	if (!check(im, table != NULL))
		return EX_DATAERR;
	status = write_all(im, o, table);
	if (status != 0)
		return status;
	fputs(strbuf_cstr(&im->summary), stderr);
	print_end(im, o, table);
	return look_at_keys(im) > 0 ? EX_CONFIG : 0;
}

int cmd_import(int argc, char **argv)
{
	struct arguments o;
	struct arena *a;
	int status = parse(argc, argv, &o);

	if (status != 0)
		return status;
	a = arena_new();
	status = import(a, &o);
	arena_free(a);
	return status;
}
