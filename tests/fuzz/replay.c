/*
 * Stands in for libFuzzer in `make check`: gives a fuzz target every file of
 * tests/fuzz/seeds/TARGET, one TAP line in all.  An input that fails ends the
 * process; its name is the last one in the log.
 *
 * With arguments: replays these files (a crash that libFuzzer wrote down).
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECONDS_MAX 20 /* for one input, sanitizers and a slow machine */

static int replay(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	bool ok;

	if (f == NULL || fstat(fileno(f), &st) != 0) {
		printf("# %s: %s\n", path, strerror(errno));
		if (f != NULL)
			fclose(f);
		return -1;
	}
	/* exactly so long, so that a read past the end is seen */
	data = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
	ok = data != NULL &&
	     fread(data, 1, (size_t)st.st_size, f) == (size_t)st.st_size;
	fclose(f);
	/* where a sanitizer writes too: the last one named is the bad one */
	fprintf(stderr, "%s\n", path);
	alarm(SECONDS_MAX);
	if (ok)
		LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
	alarm(0);
	free(data);
	return ok ? 0 : -1;
}

/* The number of inputs, or -1. */
static int replay_all(const char *dir)
{
	DIR *d = opendir(dir);
	char path[PATH_MAX];
	struct dirent *e;
	int n = 0;

	while (n >= 0 && d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		n = replay(path) == 0 ? n + 1 : -1;
	}
	if (d != NULL)
		closedir(d);
	return n;
}

int main(int argc, char **argv)
{
	const char *src = getenv("MAILSEAL_SRCDIR");
	const char *slash = strrchr(argv[0], '/');
	const char *target = slash != NULL ? slash + 1 : argv[0];
	char dir[PATH_MAX / 2];
	int n;

	if (argc > 1) {
		for (int i = 1; i < argc; i++)
			if (replay(argv[i]) != 0)
				return 1;
		return 0;
	}
	snprintf(dir, sizeof(dir), "%s/tests/fuzz/seeds/%s",
		 src != NULL ? src : ".", target);
	printf("1..1\n");
	n = replay_all(dir);
	/* a target without seeds would test nothing */
	printf("%sok 1 - %s: %d inputs\n", n > 0 ? "" : "not ", target, n);
	return n > 0 ? 0 : 1;
}
