/*
 * Reads From values for run_from_diff.py: on standard input each a length in
 * decimal, a newline and that many bytes; on standard output a line for each,
 * "malformed REASON" or "DOMAIN DOMAIN ...", the author domains in order.
 */
#include <stdio.h>

#include "mail/addr.h"

static void answer(struct slice value)
{
	struct arena *a = arena_new();
	struct addr_authors l;

	addr_list_parse(a, value, &l);
	if (l.malformed)
		printf("malformed %s", l.reason);
	for (size_t i = 0; i < l.ndomains; i++)
		printf("%s%s", i > 0 ? " " : "", l.domains[i]);
	putchar('\n');
	arena_free(a);
}

int main(void)
{
	static char buf[65536];
	size_t n;

	while (scanf("%zu%*1[\n]", &n) == 1) {
		if (n > sizeof(buf) || fread(buf, 1, n, stdin) != n)
			return 1;
		answer((struct slice){buf, n});
	}
	return 0;
}
