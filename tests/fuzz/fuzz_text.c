/*
 * The small readers and writers that others are made of: base64, tag=value
 * lists, numbers, addresses, networks, endpoints (base/, mail/), replies, text
 * that is escaped, and text without its persons (report/personal.c).  The input
 * is one text, given to each.
 */
#include "fuzz.h"

#include "base/endpoint.h"
#include "base/ip.h"
#include "base/json.h"
#include "mail/base64.h"
#include "mail/reply.h"
#include "mail/tagvalue.h"
#include "report/personal.h"

#define TEXT_MAX (1 << 20)
#define MARK	 "qzqzq" /* no digest has it */

static void check_base64(struct arena *a, struct slice s)
{
	struct slice text = base64_encode(a, s), bytes;

	FUZZ_CHECK(text.n == (s.n + 2) / 3 * 4);
	FUZZ_CHECK(base64_decode(a, text, &bytes) && slice_eq(bytes, s));
	if (!base64_decode(a, s, &bytes))
		return;
	FUZZ_CHECK(bytes.n <= s.n / 4 * 3);
	text = base64_encode(a, bytes);
	for (size_t i = 0, k = 0; i < s.n; i++)
		if (!ascii_iswsp(s.p[i]) && s.p[i] != '\r' && s.p[i] != '\n') {
			FUZZ_CHECK(k < text.n);
			/* the bits that the last letter has too many */
			FUZZ_CHECK(s.p[i] == text.p[k] || k + 3 >= text.n);
			k++;
		}
}

static void check_tags(struct slice s)
{
	const char *reason = NULL;
	struct tagvalue_list l;
	bool ok = tagvalue_parse(s, &l, &reason);

	FUZZ_CHECK(ok == (reason == NULL) && (ok || l.n == 0));
	FUZZ_CHECK(l.n <= TAGVALUE_MAX);
	for (size_t i = 0; i < l.n; i++) {
		const struct tagvalue *t = &l.v[i];

		FUZZ_CHECK(t->name.n > 0 && ascii_isalpha(t->name.p[0]));
		FUZZ_CHECK(fuzz_inside(t->name, s) && fuzz_inside(t->value, s));
		FUZZ_CHECK(slice_eq(slice_trim(t->value), t->value));
		FUZZ_CHECK(slice_chr(t->value, ';') < 0);
		for (size_t k = 0; k < i; k++)
			FUZZ_CHECK(!slice_eq(l.v[k].name, t->name));
	}
}

static void check_ip(struct slice s)
{
	struct ip ip, again;
	struct ip_net net;
	uint64_t n;
	char buf[IP_TEXT_MAX];

	if (ip_parse(s, &ip)) {
		FUZZ_CHECK(ip_parse(slice_of(ip_format(&ip, buf)), &again));
		FUZZ_CHECK(ip_equal(&ip, &again));
	}
	if (ip_net_parse(s, &net)) {
		FUZZ_CHECK(net.bits <= (net.addr.family == IP_V4 ? 32 : 128));
		FUZZ_CHECK(ip_net_has(&net, &net.addr));
	}
	if (slice_u64(s, 1000000, &n))
		FUZZ_CHECK(n <= 1000000 && s.n > 0);
}

static void check_endpoint(const char *text)
{
	struct endpoint e;

	if (!endpoint_parse(text, &e))
		return;
	if (e.path != NULL)
		FUZZ_CHECK(e.path[0] == '/' && e.path[1] != '\0');
	else
		FUZZ_CHECK(ip_is_loopback(&e.addr) && e.port != 0);
}

static void check_reply(struct arena *a, struct slice s, const char *text)
{
	const struct reply_fields f = {"d.test", "rule", s};
	unsigned column = 0, lines = 1;

	FUZZ_CHECK(fuzz_printable(reply_login(a, s)));
	FUZZ_CHECK(fuzz_printable(reply_address(a, s, "d.test")));
	if (!reply_template_ok(text))
		return;
	for (const char *p = reply_fill(a, text, &f); *p != '\0'; p++) {
		FUZZ_CHECK(*p == '\n' || (*p >= 0x20 && *p <= 0x7e));
		FUZZ_CHECK(*p != '%');
		column = *p == '\n' ? 0 : column + 1;
		lines += *p == '\n';
		FUZZ_CHECK(column <= SMTP_REPLY_MAX);
	}
	FUZZ_CHECK(lines <= REPLY_LINES_MAX);
}

static void check_escaped(struct arena *a, struct slice s)
{
	struct strbuf b;

	strbuf_init(&b, a, TEXT_MAX);
	strbuf_add_escaped(&b, s, 100);
	FUZZ_CHECK(b.n <= 403 && fuzz_printable(strbuf_cstr(&b)));
	b.n = 0;
	strbuf_add_word(&b, s, s.n);
	FUZZ_CHECK(fuzz_printable(strbuf_cstr(&b)));
	FUZZ_CHECK(strpbrk(strbuf_cstr(&b), " \"") == NULL);
	b.n = 0;
	json_wire(&b, s);
	FUZZ_CHECK(b.n >= s.n + 2 && fuzz_printable(strbuf_cstr(&b)));
	for (size_t i = 1; i + 1 < b.n; i++) {
		FUZZ_CHECK(b.p[i] != '"');
		if (b.p[i] == '\\')
			i++;
	}
}

/* A local-part, in whatever words, is not there any more. */
static void check_hidden(struct arena *a, const struct personal *p,
			 struct slice before, const char *address,
			 struct slice after)
{
	struct strbuf b;

	strbuf_init(&b, a, TEXT_MAX);
	strbuf_add(&b, before);
	strbuf_adds(&b, address);
	strbuf_add(&b, after);
	FUZZ_CHECK(strstr(personal_text(a, p, strbuf_slice(&b)), MARK) == NULL);
}

static void check_personal(struct arena *a, struct slice s)
{
	static const struct personal hash = {false, "of the fuzzer"};
	static const struct personal omit = {true, NULL};
	struct slice before = slice_first(s, s.n / 2);
	struct slice after = slice_from(s, s.n / 2);
	struct slice login = SLICE(MARK), hidden;

	/* the text is ours: it has no NUL, and is bounded */
	if (s.n > 2000 || slice_chr(s, '\0') >= 0)
		return;
	if (strstr(slice_lower(a, s), MARK) != NULL)
		return;
	check_hidden(a, &hash, before, MARK "@d.test", after);
	check_hidden(a, &omit, before, "<" MARK "@d.test>", after);
	check_hidden(a, &hash, before, "\"a " MARK " b\"@d.test", after);
	check_hidden(a, &hash, before, "\"a@" MARK "\"@d.test", after);
	check_hidden(a, &omit, before, "\"" MARK "\\\" b\"@d.test", after);
	hidden = personal_login_in(a, &hash, login, slice_dup(a, s));
	FUZZ_CHECK(slice_eq(hidden, s));
	hidden = personal_address(a, &omit, SLICE("<" MARK "@d.test>"));
	FUZZ_CHECK(slice_is(hidden, "<-@d.test>"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = fuzz_input(data, size);
	struct arena *a = arena_new();
	const char *text = slice_cstr(a, s);

	check_base64(a, s);
	check_tags(s);
	check_ip(s);
	check_endpoint(text);
	check_reply(a, s, text);
	check_escaped(a, s);
	check_personal(a, s);
	arena_free(a);
	return 0;
}
