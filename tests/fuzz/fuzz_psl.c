/*
 * Public suffix lists (dmarc/psl.c, libpsl).  The input: a line with a domain,
 * then the list.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "dmarc/dmarc.h"
#include "mail/domain.h"

static void check_org(const struct dmarc_psl *p, const char *domain)
{
	const char *org = dmarc_psl_org(p, domain);

	FUZZ_CHECK(org >= domain && org <= domain + strlen(domain));
	FUZZ_CHECK(org[0] != '\0' && domain_is_under(domain, org));
	/* the organizational domain is its own */
	FUZZ_CHECK(dmarc_psl_org(p, org) == org);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = fuzz_input(data, size), line = fuzz_line(&text);
	int fd = memfd_create("list", MFD_CLOEXEC);
	struct arena *a = arena_new();
	const char *domain = domain_canon(a, line), *error = NULL;
	struct dmarc_psl *p;

	FUZZ_CHECK(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
	p = dmarc_psl_load(arena_printf(a, "/proc/self/fd/%d", fd), &error);
	FUZZ_CHECK((p == NULL) == (error != NULL));
	if (p != NULL && domain != NULL)
		check_org(p, domain);
	dmarc_psl_free(p);
	close(fd);
	arena_free(a);
	return 0;
}
