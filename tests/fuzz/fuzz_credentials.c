/*
 * The file of credentials (config/, libconfig) and the table that is made of
 * it (gate/credential.h).  The input: a letter "r" when realms are removed and
 * a line end, then the text of a file; texts with "@include" are passed over,
 * since they would read files of this machine.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"
#include "gate/credential.h"
#include "gate/transport.h"
#include "mail/domain.h"

#define ERRORS_MAX 65536

/* For LeakSanitizer, as in fuzz_config.c: libconfig forgets a string next to a
 * syntax error. */
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

/* Each address is one that its login has. */
static void check_addresses(struct arena *a, const struct credential *k)
{
	for (size_t i = 0; i < k->addresses.n; i++) {
		struct slice text = slice_of(k->addresses.v[i]);
		size_t at = (size_t)slice_rchr(text, '@');
		const char *domain = text.p + at + 1;

		FUZZ_CHECK(at < text.n);
		FUZZ_CHECK(domain_canon(a, slice_of(domain)) != NULL);
		FUZZ_CHECK(strcmp(domain_canon(a, slice_of(domain)), domain) ==
			   0);
		FUZZ_CHECK(credential_has_address(k, slice_first(text, at),
						  domain, "+"));
	}
}

static void check_entry(struct arena *a, const struct credential *k)
{
	const struct gate_facts f = {.login = slice_of(k->login), .nrcpts = 1};
	struct gate_fault fault = {0};

	FUZZ_CHECK(k->login != NULL && k->login[0] != '\0');
	FUZZ_CHECK(k->source != NULL && k->expires >= 0);
	FUZZ_CHECK(k->revoked == 0 || k->revoked == 1);
	FUZZ_CHECK(k->tls_version >= TLS_NONE && k->tls_version <= TLS_1_3);
	FUZZ_CHECK(k->recipients >= 0 && k->limits.messages_per_hour >= 0);
	check_addresses(a, k);
	if (credential_check(a, k, &f, 1, "", &fault))
		FUZZ_CHECK(!k->revoked && k->networks.n == 0);
	else
		FUZZ_CHECK(fuzz_printable(fault.log) &&
			   fuzz_printable(fault.reply.text) &&
			   strchr(fault.reply.text, '%') == NULL);
}

static void check_table(struct arena *a, const struct config_credentials *list,
			bool strip)
{
	struct strbuf errors;
	struct credential_table *t;

	strbuf_init(&errors, a, ERRORS_MAX);
	t = credential_table_new(list->v, list->n, strip, &errors);
	FUZZ_CHECK((t == NULL) == (errors.n > 0));
	if (t == NULL) {
		check_errors(strbuf_cstr(&errors));
		return;
	}
	FUZZ_CHECK(credential_table_size(t) == list->n);
	for (size_t i = 0; i < list->n; i++)
		FUZZ_CHECK(credential_find(t, slice_of(list->v[i].login)) ==
			   &list->v[i]);
	FUZZ_CHECK(credential_find(t, SLICE("")) == NULL);
	credential_table_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = fuzz_input(data, size);
	bool strip = slice_is(fuzz_line(&text), "r");
	struct arena *a = arena_new();
	struct config_credentials list;
	struct strbuf errors;
	int fd = memfd_create("credentials", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
	strbuf_init(&errors, a, ERRORS_MAX);
	if (has_include(text)) {
		/* nothing */
	} else if (config_load_credentials(
			   a, arena_printf(a, "/proc/self/fd/%d", fd), &list,
			   &errors)) {
		FUZZ_CHECK(errors.n == 0);
		for (size_t i = 0; i < list.n; i++)
			check_entry(a, &list.v[i]);
		check_table(a, &list, strip);
	} else {
		check_errors(strbuf_cstr(&errors));
	}
	close(fd);
	arena_free(a);
	return 0;
}
