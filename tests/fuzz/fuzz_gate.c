/*
 * What the checks of the gate say about a message, to the client and to the
 * log (gate/).  The input: a line each for login, mechanism, TLS version,
 * subject and issuer of the certificate, {verify}, MAIL FROM, From, a second
 * From and Sender; empty lines are not there.
 */
#include "fuzz.h"

#include "gate/login.h"
#include "gate/submission.h"
#include "gate/transport.h"

static const char senders[] = "alice@example.com alice\n@example.org carol\n";
static const char groups[] = "staff bob, alice\n";

static const struct login_demand demands[] = {
	{"d", "finance@example.com", NULL, NULL, LOGIN_TOKEN},
	{"d", NULL, "bank.example", NULL, LOGIN_CERTIFICATE},
	{"d", NULL, NULL, "staff", LOGIN_BOUND},
};
static const struct login_certificate certificates[] = {
	{"c", "backup", "Example CA", "backup"},
};
static const struct transport_peer peers[] = {
	{.domain = "bank.example", .version = TLS_1_2, .bits = 128},
	{.domain = "example.org", .certificate = 1, .subject = "backup"},
};

static void add(struct arena *a, struct field_list *l, const char *name,
		struct slice value)
{
	static const struct field_limits limits = {4, 1000, 2000};

	if (value.n > 0)
		field_list_add(a, l, &limits, slice_of(name), value);
}

/* No word of it looks like a field of the log. */
static void check_words(const char *log)
{
	struct slice rest = slice_of(log);

	while (rest.p != NULL) {
		struct slice word = slice_cut(&rest, ' ');

		FUZZ_CHECK(slice_chr(word, '=') < 0 || word.p[0] == '<');
	}
}

static void check_fault(bool ok, const struct gate_fault *f)
{
	const char *text = f->reply.text;

	if (ok)
		return;
	FUZZ_CHECK(fuzz_printable(f->log) && f->log[0] != '\0');
	check_words(f->log);
	FUZZ_CHECK(fuzz_printable(text) && strchr(text, '%') == NULL);
	FUZZ_CHECK(strlen(text) <= SMTP_REPLY_MAX);
	FUZZ_CHECK(f->reply.code[0] == f->reply.enhanced[0]);
}

/* Is every quote one of ours? */
static void check_text(const char *text)
{
	size_t quotes = 0;

	FUZZ_CHECK(fuzz_printable(text));
	for (const char *p = text; *p != '\0'; p++)
		quotes += *p == '"';
	FUZZ_CHECK(quotes == 0 ||
		   (quotes == 4 && text[strlen(text) - 1] == '"'));
	FUZZ_CHECK(quotes > 0 || strchr(text, ' ') == NULL);
}

static void check(struct arena *a, const struct sender_table *t,
		  const struct gate_facts *f)
{
	const struct login_rules l = {1, certificates, 3,   demands,
				      t, true,	       "+-"};
	const struct transport_rules r = {TLS_1_2, 128, 2, peers};
	const struct submission_rights s = {.senders = t, .delimiter = "+"};
	struct gate_fault fault;
	struct gate_claims c;
	struct log_fields log;

	gate_claims_of(a, f, &c);
	FUZZ_CHECK(c.n > 0 && c.n <= 2 + 2 * (size_t)ADDR_MAX_MAILBOXES);
	check_fault(login_check(a, &l, f, &c, "", &fault), &fault);
	check_fault(transport_check(a, &r, f, &c, "x", &fault), &fault);
	check_fault(submission_check(a, &s, f, &c, "", &fault), &fault);
	log_fields_init(&log, a);
	transport_log(&log, &f->transport);
	check_text(log_fields_text(&log) + strlen(" tls="));
	if ((login_classes(&l, f) & LOGIN_CERTIFICATE) != 0)
		FUZZ_CHECK(slice_is(f->transport.verify, "OK") &&
			   slice_is(f->transport.cert_issuer, "Example CA"));
}

static struct sender_table *table(struct arena *a)
{
	struct sender_options o = {.strip_realm = true, .delimiter = "+"};
	struct strbuf errors;

	strbuf_init(&errors, a, 4096);
	return sender_table_read((struct sender_text){SLICE(senders), "s"},
				 (struct sender_text){SLICE(groups), "g"}, &o,
				 &errors, &errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = fuzz_input(data, size);
	struct arena *a = arena_new();
	struct sender_table *t = table(a);
	struct field_list fields = {0};
	struct addr_authors authors;
	struct gate_facts f = {.nrcpts = 1};

	FUZZ_CHECK(t != NULL);
	f.login = fuzz_line(&rest);
	f.mechanism = fuzz_line(&rest);
	f.transport.version = fuzz_line(&rest);
	f.transport.cert_subject = fuzz_line(&rest);
	f.transport.cert_issuer = fuzz_line(&rest);
	f.transport.verify = fuzz_line(&rest);
	f.transport.tells_trust = true;
	f.mail = fuzz_line(&rest);
	add(a, &fields, "From", fuzz_line(&rest));
	add(a, &fields, "From", fuzz_line(&rest));
	add(a, &fields, "Sender", fuzz_line(&rest));
	addr_authors_of(a, &fields, &authors);
	f.authors = &authors;
	f.fields = &fields;
	check(a, t, &f);
	sender_table_free(t);
	arena_free(a);
	return 0;
}
