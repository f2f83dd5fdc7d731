/*
 * The rules of preflight that read the header (gate/preflight_format.c,
 * preflight_bulk.c), and what is said of them.  The input: a line with a login,
 * one with a signature, then a header.
 */
#include "fuzz.h"

#include "gate/preflight.h"

static const struct field_limits limits = {50, 4000, 20000};

static bool has_high(const struct field_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		for (size_t k = 0; k < l->v[i].raw.n; k++)
			if ((unsigned char)l->v[i].raw.p[k] >= 0x80)
				return true;
	return false;
}

/* What a good header has, told without the reader. */
static void check_format(const struct preflight_message *m)
{
	static const char *const one[] = {"From", "Date", "Message-ID"};
	const struct field_list *l = m->facts->fields;

	for (size_t i = 0; i < 3; i++)
		FUZZ_CHECK(field_count(l, one[i]) == 1);
	FUZZ_CHECK(field_count(l, "Subject") <= 1);
	FUZZ_CHECK(l->trouble == FIELD_OK && !has_high(l));
	FUZZ_CHECK(m->facts->authors->n == 1);
}

static bool has(struct arena *a, struct slice s, const char *part)
{
	return strstr(slice_lower(a, s), part) != NULL;
}

static void check_unsubscribe(struct arena *a,
			      const struct preflight_message *m)
{
	const struct field_list *l = m->facts->fields;

	FUZZ_CHECK(field_count(l, "List-Unsubscribe") == 1);
	FUZZ_CHECK(field_count(l, "List-Unsubscribe-Post") == 1);
	FUZZ_CHECK(has(a, field_nth(l, "List-Unsubscribe-Post", 0)->value,
		       "list-unsubscribe=one-click"));
	FUZZ_CHECK(has(a, m->signatures[0], "list-unsubscribe-post"));
}

static void check_result(struct preflight_result r)
{
	if (r.status != PREFLIGHT_BAD) {
		FUZZ_CHECK(r.status != PREFLIGHT_UNKNOWN && r.reason == NULL);
		return;
	}
	FUZZ_CHECK(r.reason[0] != '\0' && strlen(r.reason) < 200);
	FUZZ_CHECK(fuzz_printable(r.reason));
	FUZZ_CHECK(strpbrk(r.reason, "%\"\\;)") == NULL);
	FUZZ_CHECK(strchr(r.reason, '=') == NULL ||
		   strstr(r.reason, "not List-Unsubscribe=One-Click") != NULL);
}

static void check_said(struct arena *a, const struct preflight_options *o,
		       const struct preflight_report *r)
{
	const char *text = preflight_text(a, r, " ");
	struct smtp_reply reply;
	bool refused = preflight_refuses(a, o, r, "Ask us", &reply);

	FUZZ_CHECK(fuzz_printable(text));
	FUZZ_CHECK(refused == (strncmp(text, "bad(", 4) == 0));
	FUZZ_CHECK(refused == (strcmp(text, "ok") != 0));
	if (!refused)
		return;
	FUZZ_CHECK(reply.code[0] == '5' && reply.enhanced[0] == '5');
	FUZZ_CHECK(fuzz_printable(reply.text) &&
		   strchr(reply.text, '%') == NULL);
	FUZZ_CHECK(strlen(reply.text) <= SMTP_REPLY_MAX);
}

static void check(struct arena *a, const struct gate_facts *f,
		  struct slice signature)
{
	static const struct preflight_bulk bulk[] = {
		{.login = "news"},
		{.header = "X-Campaign"},
		{.domain = "example.com"},
	};
	static const struct dkim_signing_key key;
	const struct preflight_options o = {
		.mode = {[PREFLIGHT_FORMAT] = PREFLIGHT_REJECT,
			 [PREFLIGHT_UNSUBSCRIBE] = PREFLIGHT_REJECT,
			 [PREFLIGHT_FEEDBACK_ID] = PREFLIGHT_REJECT},
		.nbulk = 3,
		.bulk = bulk,
	};
	const struct preflight_message m = {
		.facts = f,
		.nkeys = 1,
		.keys = &key,
		.signatures = &signature,
	};
	struct preflight_report r;

	preflight_check(a, NULL, &o, &m, &r);
	for (size_t i = 0; i < PREFLIGHT_RULES; i++)
		check_result(r.v[i]);
	if (r.v[PREFLIGHT_FORMAT].status == PREFLIGHT_OK)
		check_format(&m);
	if (r.v[PREFLIGHT_UNSUBSCRIBE].status == PREFLIGHT_OK)
		check_unsubscribe(a, &m);
	check_said(a, &o, &r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = fuzz_input(data, size), body, signature;
	struct arena *a = arena_new();
	struct field_list fields = {0};
	struct addr_authors authors;
	struct gate_facts f = {.fields = &fields, .authors = &authors};

	f.login = fuzz_line(&rest);
	signature = fuzz_line(&rest);
	if (rest.p == NULL)
		rest = SLICE("");
	field_list_parse(a, &fields, &limits, rest, &body);
	addr_authors_of(a, &fields, &authors);
	check(a, &f, signature);
	arena_free(a);
	return 0;
}
