/* mailseal forget: erases what the journal has of an address or a domain. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "cmd/cmd.h"
#include "cmd/record_read.h"

static int forget(struct arena *a, const struct journal_place *place,
		  const char *what)
{
	const char *error = NULL;
	int status = 0;
	struct journal_file *f =
		journal_place_open(a, "forget", place, true, &status);
	int64_t n;

	if (f == NULL)
		return status;
	n = journal_forget(f, a, what, &error);
	journal_close(f);
	if (n < 0) {
		fprintf(stderr, "mailseal forget: %s\n", error);
		return EX_IOERR;
	}
	printf("%" PRId64 " erased\n", n);
	return 0;
}

int cmd_forget(int argc, char **argv)
{
	static const struct option longs[] = {JOURNAL_LONG_OPTIONS, {0}};
	struct journal_place place = {0};
	struct arena *a;
	int c, status;

	while ((c = getopt_long(argc, argv, "c:", longs, NULL)) != -1)
		if (!journal_place_take(&place, c, optarg))
			return cmd_usage("forget", "bad option");
	if (optind + 1 != argc)
		return cmd_usage("forget", "one address or domain is needed");
	a = arena_new();
	status = forget(a, &place, argv[optind]);
	arena_free(a);
	return status;
}
