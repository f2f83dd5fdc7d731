/*
 * Configurations of opendkim and opendmarc (cmd/import_*.c).  The input is
 * several files: up to the first line that begins with "==" opendkim.conf, and
 * after each such line the file that it names; "== dmarc" is opendmarc.conf.
 * Nothing of this machine is read.
 *
 * What comes out must be a configuration, and a key table, that we take.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/import.h"
#include "milter/app.h"

#define TEXT_MAX (16 * 1024 * 1024)

/* As in fuzz_config.c. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\nleak:libconfig_yylex\n";
}

static struct slice file_of(struct slice rest, const char *name)
{
	struct slice text = {rest.p, 0};
	bool found = strcmp(name, "/dkim") == 0;

	while (rest.n > 0) {
		struct slice line = slice_cut(&rest, '\n');

		if (slice_starts(line, "==")) {
			if (found)
				break;
			line = slice_trim(slice_from(line, 2));
			found = slice_is(line,
					 name[0] == '/' ? name + 1 : name);
			text = (struct slice){rest.p, 0};
		} else if (found) {
			text.n = (size_t)(line.p + line.n - text.p);
		}
	}
	return found ? text : (struct slice){NULL, 1};
}

static bool read_part(void *arg, struct arena *a, const char *path, size_t max,
		      struct slice *ret, const char **why)
{
	struct slice s = file_of(*(struct slice *)arg, path);

	(void)a;
	*why = "no such part";
	if (s.p == NULL && s.n > 0)
		return false;
	*ret = slice_first(s, max);
	return true;
}

static int hold(const char *prefix, const struct strbuf *text)
{
	int fd = memfd_create("import", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && fchmod(fd, 0600) == 0);
	FUZZ_CHECK(write(fd, prefix, strlen(prefix)) ==
		   (ssize_t)strlen(prefix));
	FUZZ_CHECK(write(fd, text->p, text->n) == (ssize_t)text->n);
	return fd;
}

static void check_lines(const char *s)
{
	for (; *s != '\0'; s++)
		FUZZ_CHECK(*s == '\n' || (*s >= 0x20 && *s < 0x7f));
}

/* The name of this host may be no domain. */
static const char *prefix_of(struct strbuf *conf)
{
	return strstr(strbuf_cstr(conf), "\nauthserv_id = ") == NULL
		       ? "authserv_id = \"mx.test\";\n"
		       : "";
}

static void check_taken(struct import *im, bool with_table)
{
	struct arena *a = im->arena;
	struct strbuf first, conf, table, errors;
	int table_fd = -1, fd;
	struct config *c;

	strbuf_init(&first, a, TEXT_MAX);
	strbuf_init(&conf, a, TEXT_MAX);
	strbuf_init(&table, a, TEXT_MAX);
	strbuf_init(&errors, a, TEXT_MAX);
	if (with_table) {
		import_write(im, "/", &first, &table);
		table_fd = hold("", &table);
	}
	import_write(im,
		     with_table ? arena_printf(a, "/proc/self/fd/%d", table_fd)
				: NULL,
		     &conf, &table);
	fd = hold(prefix_of(&conf), &conf);
	c = config_load(arena_printf(a, "/proc/self/fd/%d", fd), &errors);
	if (c == NULL)
		fprintf(stderr, "%s%s", strbuf_cstr(&errors),
			strbuf_cstr(&conf));
	FUZZ_CHECK(c != NULL);
	if (im->nentries > 0) {
		struct keyring *k = app_keyring_new(c, NULL, &errors);

		if (k == NULL)
			fprintf(stderr, "%s", strbuf_cstr(&errors));
		FUZZ_CHECK(k != NULL &&
			   keyring_domains(k) == import_domains(im) &&
			   keyring_size(k) == im->nentries);
		keyring_free(k);
	}
	config_free(c);
	close(fd);
	if (table_fd >= 0)
		close(table_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new();
	struct slice input = fuzz_input(data, size);
	struct import *im = import_new(a, read_part, &input);

	if (import_read(im, &im->dkim, "/dkim") &&
	    (file_of(input, "dmarc").p == NULL ||
	     import_read(im, &im->dmarc, "/dmarc"))) {
		import_dkim(im);
		if (im->mistake.text == NULL)
			import_dmarc(im);
	}
	check_lines(strbuf_cstr(&im->summary));
	if (im->mistake.text != NULL) {
		FUZZ_CHECK(fuzz_printable(im->mistake.text));
	} else {
		check_taken(im, false);
		check_taken(im, true);
	}
	arena_free(a);
	return 0;
}
