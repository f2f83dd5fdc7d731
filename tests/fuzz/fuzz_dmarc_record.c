/*
 * DMARC records (RFC 9989 4.7) and the names of the tree walk (4.10).  The
 * input is one TXT text; its first line is also the start of a walk.
 */
#include "fuzz.h"

#include "dmarc/dmarc.h"
#include "mail/domain.h"

static void check_record(struct slice txt)
{
	struct dmarc_record r = {0};

	if (!dmarc_record_parse(txt, &r))
		return;
	FUZZ_CHECK(txt.n >= 8 && txt.p[0] == 'v'); /* DM-10 */
	FUZZ_CHECK(fuzz_inside(r.rua, txt) && fuzz_inside(r.ruf, txt));
	FUZZ_CHECK(fuzz_inside(r.fo, txt));
	FUZZ_CHECK(!r.has_rua || slice_chr(r.rua, ':') >= 0);
	FUZZ_CHECK(r.p <= DMARC_P_REJECT && r.sp <= DMARC_P_REJECT &&
		   r.np <= DMARC_P_REJECT && r.psd <= DMARC_PSD_N);
}

static void check_walk(const char *start)
{
	const char *names[DMARC_WALK_MAX];
	size_t n = dmarc_walk_names(start, names);

	FUZZ_CHECK(n > 0 && n <= DMARC_WALK_MAX);
	FUZZ_CHECK(strcmp(names[0], start) == 0);
	for (size_t i = 0; i < n; i++) {
		FUZZ_CHECK(names[i][0] != '\0');
		FUZZ_CHECK(domain_is_under(start, names[i]));
		FUZZ_CHECK(i == 0 || strlen(names[i]) < strlen(names[i - 1]));
	}
	FUZZ_CHECK(domain_labels(names[n - 1]) == 1); /* 4.10 */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice txt = fuzz_input(data, size), rest = txt;
	struct arena *a = arena_new();
	const char *start = domain_canon(a, fuzz_line(&rest));

	check_record(txt);
	if (start != NULL)
		check_walk(start);
	arena_free(a);
	return 0;
}
