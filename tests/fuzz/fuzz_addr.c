/*
 * Address lists (RFC 5322 3.4) and envelope paths (RFC 5321 4.1.2).  The
 * input is one value, read as both.
 */
#include "fuzz.h"

#include "mail/addr.h"
#include "mail/domain.h"

static void check_domain(struct arena *a, const char *domain)
{
	const char *again = domain_canon(a, slice_of(domain));

	FUZZ_CHECK(again != NULL && strcmp(again, domain) == 0);
}

/* Exactly one of the author domains is this one. */
static void check_listed(const struct addr_authors *l, const char *domain)
{
	unsigned found = 0;

	for (size_t i = 0; i < l->ndomains; i++)
		found += strcmp(l->domains[i], domain) == 0;
	FUZZ_CHECK(found == 1);
}

static void check_list(struct arena *a, struct slice value)
{
	struct addr_authors l;

	addr_list_parse(a, value, &l);
	FUZZ_CHECK(l.malformed == (l.reason != NULL));
	FUZZ_CHECK(!l.malformed || (l.n == 0 && l.ndomains == 0));
	FUZZ_CHECK(l.n <= ADDR_MAX_MAILBOXES && l.ndomains <= l.n);
	FUZZ_CHECK((l.n == 0) == (l.ndomains == 0));
	for (size_t i = 0; i < l.n; i++) {
		check_domain(a, l.v[i].domain);
		check_listed(&l, l.v[i].domain);
		FUZZ_CHECK(fuzz_inside(l.v[i].display, value));
		FUZZ_CHECK(l.v[i].local.n <= value.n);
	}
}

static void check_path(struct arena *a, struct slice value)
{
	struct addr_path p;

	addr_path_parse(a, value, &p);
	if (p.null || p.malformed)
		FUZZ_CHECK(p.null != p.malformed && p.local.n == 0 &&
			   p.domain == NULL);
	if (p.domain != NULL)
		check_domain(a, p.domain);
	for (size_t i = 0; i < p.local.n; i++) /* HP-7 */
		FUZZ_CHECK((unsigned char)p.local.p[i] >= 0x20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new();

	check_list(a, fuzz_input(data, size));
	check_path(a, fuzz_input(data, size));
	arena_free(a);
	return 0;
}
