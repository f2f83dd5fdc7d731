/*
 * The reader of the sender table (gate/sender.h).  The input: a line with a
 * letter for each option and the delimiters, then the table; after a line
 * "--", the groups.
 */
#include "fuzz.h"

#include "gate/sender.h"
#include "mail/domain.h"

#define KEYS_MAX 64

static void check_said(struct strbuf *said)
{
	unsigned lines = 0;

	for (const char *p = strbuf_cstr(said); *p != '\0'; p++) {
		FUZZ_CHECK(*p == '\n' || (*p >= 0x20 && *p < 0x7f));
		lines += *p == '\n';
	}
	FUZZ_CHECK(lines <= 21 && !said->overflow);
}

/* A key that is said to be a login's: it owns an address by it.  A key without
 * "@" may have a line user@domain before it. */
static void check_key(const struct sender_table *t, struct arena *a,
		      struct slice login, const char *key)
{
	const char *at = strrchr(key, '@');
	struct slice local = {key, at != NULL ? (size_t)(at - key) : 0};

	if (*key == '"')
		return;
	if (at == NULL) /* an address of its own may stand before it */
		return;
	FUZZ_CHECK(domain_canon(a, slice_of(at + 1)) != NULL);
	FUZZ_CHECK(sender_owns(t, login, local, at + 1));
}

static void check_login(const struct sender_table *t, struct slice login)
{
	struct arena *a = arena_new();
	const char *keys[KEYS_MAX];
	size_t n = sender_keys_of(t, a, login, keys, KEYS_MAX);

	FUZZ_CHECK(n <= KEYS_MAX && n <= sender_table_size(t));
	FUZZ_CHECK(n == 0 || login.n > 0);
	for (size_t i = 0; i < n; i++)
		check_key(t, a, login, keys[i]);
	arena_free(a);
}

/* Each word of the text is a login. */
static void check_table(const struct sender_table *t, struct slice text)
{
	for (size_t i = 0, begin = 0; text.n > 0 && i <= text.n; i++)
		if (i == text.n || strchr(" \t\r\n\v\f,", text.p[i]) != NULL) {
			check_login(t,
				    (struct slice){text.p + begin, i - begin});
			begin = i + 1;
		}
}

/* Cuts off the groups. */
static struct slice groups_of(struct slice *text)
{
	struct slice ret = SLICE("");

	for (size_t i = 0; i + 4 <= text->n; i++)
		if (memcmp(text->p + i, "\n--\n", 4) == 0) {
			ret = slice_from(*text, i + 4);
			*text = slice_first(*text, i + 1);
			break;
		}
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const local[] = {"local.test"};
	struct slice text = fuzz_input(data, size), groups;
	struct arena *a = arena_new();
	struct slice options = fuzz_line(&text);
	struct sender_options o = {.strip_realm = slice_chr(options, 'r') >= 0,
				   .delimiter = slice_cstr(a, options),
				   .local_domains = local,
				   .nlocal_domains = 1};
	struct strbuf errors, warnings;
	struct sender_table *t;

	groups = groups_of(&text);
	strbuf_init(&errors, a, 65536);
	strbuf_init(&warnings, a, 65536);
	t = sender_table_read((struct sender_text){text, "senders"},
			      (struct sender_text){groups, "groups"}, &o,
			      &errors, &warnings);
	check_said(&errors);
	check_said(&warnings);
	FUZZ_CHECK((t == NULL) == (errors.n > 0));
	if (t != NULL) {
		check_table(t, text);
		check_table(t, groups);
	}
	sender_table_free(t);
	arena_free(a);
	return 0;
}
