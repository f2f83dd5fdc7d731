/* crypto/keymem.h: sizes, what is wiped, and what the kernel knows of it. */
#include "check.h"

#include <stdio.h>

#include "crypto/keymem.h"

static const size_t sizes[] = {0,    1,	   16,	 48,	 49,	 64,
			       4080, 4096, 4097, 100000, 500000, 1000000};

static void test_blocks(void **state)
{
	enum { N = sizeof(sizes) / sizeof(sizes[0]) };
	unsigned char *v[N];

	(void)state;
	for (size_t i = 0; i < N; i++) {
		v[i] = keymem_alloc(sizes[i]);
		assert_non_null(v[i]);
		assert_true(keymem_owns(v[i]));
		assert_int_equal((uintptr_t)v[i] % 16, 0);
		memset(v[i], (int)i + 1, sizes[i]);
	}
	for (size_t i = 0; i < N; i++) {
		for (size_t j = 0; j < sizes[i]; j++)
			assert_int_equal(v[i][j], i + 1);
		keymem_free(v[i]);
		/* it is still ours to look at */
		for (size_t j = 0; j < sizes[i]; j++)
			assert_int_equal(v[i][j], 0);
	}
	assert_null(keymem_alloc((size_t)2 << 20));
	assert_null(keymem_alloc(SIZE_MAX));
	assert_false(keymem_owns(sizes));
	assert_false(keymem_owns(NULL));
}

static void test_reuse(void **state)
{
	char *p = keymem_alloc(200), *q;

	(void)state;
	strcpy(p, "secret");
	q = keymem_realloc(p, 210); /* fits where it is */
	assert_ptr_equal(q, p);
	q = keymem_realloc(p, 5000);
	assert_ptr_not_equal(q, p);
	assert_string_equal(q, "secret");
	assert_string_not_equal(p, "secret");
	assert_ptr_equal(keymem_alloc(200), p);
	assert_null(keymem_realloc(q, SIZE_MAX));
	assert_string_equal(q, "secret");
	keymem_free(p);
	keymem_free(q);
}

/* "dd": not dumped. */
static void test_flags(void **state)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char *p = keymem_alloc(100), line[512];
	unsigned long start, end;
	bool inside = false, found = false;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (uintptr_t)p >= start && (uintptr_t)p < end;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, " dd") != NULL;
	}
	fclose(f);
	assert_true(found);
	keymem_free(p);
}

static int setup(void **state)
{
	(void)state;
	return keymem_open() ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_flags),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
