/* explain.c: the log line and the JSON, for what is optional in them. */
#include "check.h"

#include "eval/eval.h"

static struct results plain(void)
{
	return (struct results){
		.spf_helo = {.checked = true,
			     .identity = SPF_IDENTITY_HELO,
			     .status = SPF_STATUS_NONE},
		.spf_mailfrom = {.checked = true,
				 .identity = SPF_IDENTITY_MAILFROM,
				 .status = SPF_STATUS_FAIL,
				 .domain = "example.org"},
		.dmarc_explanation = "x",
	};
}

static const char *line_of(struct arena *a, const struct results *r,
			   const struct verdict *v)
{
	struct client_facts client = {.helo = SLICE("h\n\"")};
	struct envelope_facts envelope = {.sender = SLICE("<a@example.org>")};
	struct log_fields f;

	assert_true(ip_parse(SLICE("192.0.2.1"), &client.addr));
	log_fields_init(&f, a);
	explain_inbound(&f, &client, &envelope, r, v);
	return log_fields_text(&f);
}

static const char *line(struct arena *a, const struct results *r)
{
	struct verdict v = {0};

	return line_of(a, r, &v);
}

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

/* Without options a line is no longer than it was; wire text is escaped. */
static void test_line(void **state)
{
	struct arena *a = arena_new();
	struct results r = plain();
	struct verdict v;

	(void)state;
	assert_true(has(line(a, &r), "helo=h\\x0a\\x22 spf_helo=none "
				     "spf=fail:example.org dkim=none arc=none "
				     "dmarc=none disposition=none dns="));
	r.iprev.checked = true;
	r.iprev.name = "mx.example.org";
	assert_true(has(line(a, &r), " spf=fail:example.org "
				     "iprev=pass:mx.example.org dkim="));
	r.iprev.status = IPREV_STATUS_TEMPERROR;
	r.iprev.name = NULL;
	assert_true(has(line(a, &r), " iprev=temperror dkim="));
	v = (struct verdict){.disposition = DMARC_P_QUARANTINE,
			     .would_be = DMARC_P_REJECT,
			     .rule = "quarantine"};
	assert_true(has(line_of(a, &r, &v),
			" disposition=quarantine(quarantine)"
			" would_be=reject dns="));
	r.spf_helo.checked = r.spf_mailfrom.checked = false;
	r.spf_helo.reason = r.spf_mailfrom.reason = "ours";
	assert_true(has(line(a, &r), " spf_helo=skipped spf=skipped(ours) "));
	arena_free(a);
}

static void test_json(void **state)
{
	struct arena *a = arena_new();
	struct results r = plain();
	const char *text = explain_json(a, &r, SLICE("id; none"));

	(void)state;
	assert_false(has(text, "iprev"));
	assert_true(has(text, "\"explanation\": null}, \"dkim\""));
	r.iprev.checked = true;
	r.iprev.status = IPREV_STATUS_PERMERROR;
	r.iprev.reason = "no name";
	/* RFC 7208 11.5.2: the words are the sender's, and that is shown */
	r.spf_mailfrom.explanation = "see \"our\" page";
	r.spf_mailfrom.explainer = "example.org";
	r.spf_helo.checked = false;
	r.spf_helo.reason = "ours";
	text = explain_json(a, &r, SLICE("id; none"));
	assert_true(has(text, "\"iprev\": {\"result\": \"permerror\", "
			      "\"name\": null, \"reason\": \"no name\"}, "));
	assert_true(has(text, "\"explanation\": \"example.org explains: "
			      "see \\\"our\\\" page\"}"));
	assert_true(has(text, "\"spf_helo\": {\"result\": \"skipped\", "
			      "\"domain\": null, \"reason\": \"ours\""));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
