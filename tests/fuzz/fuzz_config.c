/*
 * The configuration file (config/, libconfig).  The input is the text of one;
 * texts with "@include" are passed over, since they would read files of this
 * machine.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"

#define ERRORS_MAX 65536

/* For LeakSanitizer.  libconfig 1.5 forgets a string that it has read
 * when a syntax error is next to it or in it; such a file is refused, and read
 * once. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\nleak:libconfig_yylex\n";
}

static bool has_include(struct slice s)
{
	for (; s.n > 0; s = slice_from(s, 1))
		if (slice_starts_ci(s, "@include"))
			return true;
	return false;
}

static void check_errors(const char *errors)
{
	FUZZ_CHECK(errors[0] != '\0');
	for (const char *p = errors; *p != '\0'; p++)
		FUZZ_CHECK(*p == '\n' || (*p >= 0x20 && *p < 0x7f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new();
	struct strbuf errors;
	struct config *c;
	int fd = memfd_create("mailseal.conf", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	strbuf_init(&errors, a, ERRORS_MAX);
	if (!has_include(fuzz_input(data, size))) {
		c = config_load(arena_printf(a, "/proc/self/fd/%d", fd),
				&errors);
		if (c == NULL)
			check_errors(strbuf_cstr(&errors));
		else
			FUZZ_CHECK(errors.n == 0);
		config_free(c);
	}
	close(fd);
	arena_free(a);
	return 0;
}
