/* milter/revocations.c: the file of revoked logins, seen by several at once. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "milter/revocations.h"

struct world {
	struct arena *arena;
	char folder[64], file[80], other[80];
	struct revocations *one, *two; /* as two processes */
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->arena = arena_new();
	snprintf(w->folder, sizeof(w->folder), "/tmp/mailseal-revoked-XXXXXX");
	if (mkdtemp(w->folder) == NULL)
		return -1;
	snprintf(w->file, sizeof(w->file), "%s/revoked", w->folder);
	snprintf(w->other, sizeof(w->other), "%s/other", w->folder);
	w->one = revocations_new(w->folder, false);
	w->two = revocations_new(w->folder, false);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	revocations_free(w->one);
	revocations_free(w->two);
	(void)unlink(w->file);
	(void)unlink(w->other);
	if (rmdir(w->folder) != 0) /* nothing else may be left */
		return -1;
	arena_free(w->arena);
	free(w);
	return 0;
}

static enum revoked_answer ask(struct world *w, struct revocations *r,
			       const char *login)
{
	const char *why = NULL;
	enum revoked_answer ret =
		revocations_ask(r, w->arena, slice_of(login), &why);

	assert_true((ret == REVOKED_UNKNOWN) == (why != NULL));
	return ret;
}

static enum revocations_done change(struct world *w, struct revocations *r,
				    const char *login, bool undo)
{
	const char *why;

	return revocations_change(r, w->arena, slice_of(login), undo, &why);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fchmod(fileno(f), 0640), 0);
	assert_int_equal(fclose(f), 0);
}

static const char *read_file(struct world *w)
{
	char text[1000];
	FILE *f = fopen(w->file, "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text), f);
	assert_int_equal(fclose(f), 0);
	return arena_memdup(w->arena, text, n);
}

static void test_shared(void **state)
{
	struct world *w = *state;
	struct stat st;

	assert_int_equal(ask(w, w->one, "shop"), REVOKED_NO);
	assert_int_equal(change(w, w->one, "shop", true), REVOCATIONS_SAME);
	assert_int_not_equal(access(w->file, F_OK), 0);
	assert_int_equal(change(w, w->one, "shop", false), REVOCATIONS_DONE);
	assert_int_equal(stat(w->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(ask(w, w->one, "Shop"), REVOKED_YES);
	assert_int_equal(ask(w, w->two, "shop"), REVOKED_YES);
	assert_int_equal(change(w, w->two, "SHOP", false), REVOCATIONS_SAME);
	assert_int_equal(change(w, w->two, "b", false), REVOCATIONS_DONE);
	assert_string_equal(read_file(w), "shop\nb\n");
	assert_int_equal(change(w, w->one, "shop", true), REVOCATIONS_DONE);
	assert_int_equal(ask(w, w->two, "shop"), REVOKED_NO);
	assert_int_equal(ask(w, w->two, "b"), REVOKED_YES);
	assert_int_equal(unlink(w->file), 0);
	assert_int_equal(ask(w, w->two, "b"), REVOKED_NO);
}

/* By hand: in its place, and another one of the same size. */
static void test_by_hand(void **state)
{
	struct world *w = *state;
	char text[2] = "a";

	for (int i = 0; i < 200; i++) {
		text[0] = (char)('a' + i % 26);
		write_file(w->other, text);
		assert_int_equal(rename(w->other, w->file), 0);
		assert_int_equal(ask(w, w->one, text), REVOKED_YES);
		text[0] = (char)('a' + (i + 25) % 26);
		assert_int_equal(ask(w, w->one, text), REVOKED_NO);
	}
	write_file(w->file, "long\nlonger\n");
	assert_int_equal(ask(w, w->one, "longer"), REVOKED_YES);
}

static void check_unknown(struct world *w, const char *part)
{
	const char *why = "";
	struct strbuf b;

	strbuf_init(&b, w->arena, 1000);
	assert_int_equal(revocations_ask(w->one, w->arena, SLICE("x"), &why),
			 REVOKED_UNKNOWN);
	if (strstr(why, part) == NULL || strchr(why, '\n') != NULL)
		fail_msg("%s: not in: %s", part, why);
	assert_false(revocations_check(w->one, w->arena, &why));
	assert_false(revocations_list(w->one, w->arena, &b, &why));
	assert_int_equal(change(w, w->one, "x", false), REVOCATIONS_FAILED);
	assert_int_equal(change(w, w->one, "x", true), REVOCATIONS_FAILED);
}

static void test_untrusted(void **state)
{
	struct world *w = *state;

	write_file(w->file, "x\n");
	assert_int_equal(chmod(w->file, 0660), 0);
	check_unknown(w, "/revoked: others may write it; cure: chmod go-w");
	assert_int_equal(chmod(w->file, 0642), 0);
	check_unknown(w, "others may write it");
	assert_int_equal(chmod(w->file, 0644), 0);
	assert_int_equal(ask(w, w->one, "x"), REVOKED_YES);
	assert_int_equal(chmod(w->file, 0664), 0);
	check_unknown(w, "others may write it");
	assert_int_equal(rename(w->file, w->other), 0);
	assert_int_equal(symlink("other", w->file), 0);
	check_unknown(w, "is a symbolic link");
	assert_int_equal(unlink(w->file), 0);
	assert_int_equal(mkfifo(w->file, 0600), 0);
	check_unknown(w, "is no regular file");
	assert_int_equal(unlink(w->file), 0);
	write_file(w->file, "x\ny y\n");
	check_unknown(w, "/revoked:2: the login has a space");
	assert_string_equal(read_file(w), "x\ny y\n");
	assert_int_equal(truncate(w->file, 10000 * 1025 + 1), 0);
	check_unknown(w, "is longer than 10000 logins can be");
	write_file(w->file, "x\n");
	assert_int_equal(ask(w, w->one, "x"), REVOKED_YES);
	assert_int_equal(chmod(w->folder, 0707), 0);
	check_unknown(w, "/revoked: others may write to the folder; chmod o-w");
	assert_int_equal(chmod(w->folder, 0700), 0);
	assert_int_equal(ask(w, w->one, "x"), REVOKED_YES);
	if (geteuid() != 0)
		return; /* root may read what is another's, and we would */
	assert_int_equal(chown(w->file, 12345, 0), 0);
	check_unknown(w, "is another user's");
}

static void test_bad_logins(void **state)
{
	struct world *w = *state;
	char text[1026];

	memset(text, 'x', sizeof(text));
	text[1025] = '\0';
	assert_int_equal(change(w, w->one, "", false), REVOCATIONS_BAD);
	assert_int_equal(change(w, w->one, "a b", false), REVOCATIONS_BAD);
	assert_int_equal(change(w, w->one, "a\nb", false), REVOCATIONS_BAD);
	assert_int_equal(change(w, w->one, text, false), REVOCATIONS_BAD);
	assert_int_not_equal(access(w->file, F_OK), 0);
	text[1024] = '\0';
	assert_int_equal(change(w, w->one, text, false), REVOCATIONS_DONE);
	assert_int_equal(ask(w, w->two, text), REVOKED_YES);
}

static void test_full(void **state)
{
	struct world *w = *state;
	FILE *f = fopen(w->file, "w");
	const char *why;
	struct strbuf b;

	for (int i = 0; i < REVOKED_MAX; i++)
		fprintf(f, "u%d%0100d\n", i, 0);
	assert_int_equal(fchmod(fileno(f), 0640), 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(revocations_change(w->one, w->arena, SLICE("more"),
					    false, &why),
			 REVOCATIONS_BAD);
	assert_non_null(strstr(why, "10000 logins are revoked"));
	assert_int_equal(ask(w, w->one, "more"), REVOKED_NO);
	strbuf_init(&b, w->arena, 100000);
	assert_true(revocations_list(w->one, w->arena, &b, &why));
	assert_false(b.overflow);
	assert_non_null(strstr(strbuf_cstr(&b), " more, for which an answer"));
}

/* Who cannot have the lock gives up; nothing changes. */
static void test_locked(void **state)
{
	struct world *w = *state;
	int fd = open(w->folder, O_RDONLY | O_DIRECTORY);
	const char *why = "";

	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(
		revocations_change(w->one, w->arena, SLICE("x"), false, &why),
		REVOCATIONS_FAILED);
	assert_non_null(strstr(why, "another process has its lock"));
	assert_int_equal(ask(w, w->one, "x"), REVOKED_NO); /* waits for none */
	close(fd);
	assert_int_equal(change(w, w->one, "x", false), REVOCATIONS_DONE);
}

/* What a change that was cut short left behind. */
static void test_leftover(void **state)
{
	struct world *w = *state;
	char temp[90];

	snprintf(temp, sizeof(temp), "%s.new", w->file);
	assert_int_equal(symlink(w->other, temp), 0);
	assert_int_equal(change(w, w->one, "x", false), REVOCATIONS_DONE);
	assert_string_equal(read_file(w), "x\n");
	assert_int_not_equal(access(w->other, F_OK), 0);
}

#define THREADS 8
#define EACH	10

struct writer {
	struct world *w;
	int i;
};

static void *add_some(void *arg)
{
	const struct writer *me = arg;
	struct revocations *r = me->i % 2 ? me->w->one : me->w->two;
	struct arena *a = arena_new();
	const char *why;

	for (int k = 0; k < EACH; k++) {
		const char *login = arena_printf(a, "u%d.%d", me->i, k);

		if (revocations_change(r, a, slice_of(login), false, &why) !=
		    REVOCATIONS_DONE)
			break;
		if (revocations_ask(r, a, slice_of(login), &why) != REVOKED_YES)
			break;
	}
	arena_free(a);
	return NULL;
}

static void test_many(void **state)
{
	struct world *w = *state;
	struct writer v[THREADS];
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++) {
		v[i] = (struct writer){w, i};
		assert_int_equal(pthread_create(&t[i], NULL, add_some, &v[i]),
				 0);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	for (int i = 0; i < THREADS * EACH; i++)
		assert_int_equal(ask(w, w->one,
				     arena_printf(w->arena, "u%d.%d", i / EACH,
						  i % EACH)),
				 REVOKED_YES);
}

static void test_no_folder(void **state)
{
	struct world *w = *state;
	struct revocations *r = revocations_new("/nonexistent/mailseal", false);
	const char *why = "";

	assert_int_equal(ask(w, r, "x"), REVOKED_NO);
	assert_int_equal(
		revocations_change(r, w->arena, SLICE("x"), false, &why),
		REVOCATIONS_FAILED);
	assert_string_equal(why, "/nonexistent/mailseal: No such file or "
				 "directory");
	revocations_free(r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_shared),     TEST(test_by_hand), TEST(test_untrusted),
		TEST(test_bad_logins), TEST(test_full),	   TEST(test_locked),
		TEST(test_leftover),   TEST(test_many),	   TEST(test_no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
