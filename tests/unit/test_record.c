/* report/record.c: the record of a message. */
#include "check.h"

#include "base/json.h"
#include "report/record.h"

struct world {
	struct arena *a;
	struct client_facts client;
	struct envelope_facts envelope;
	struct results results;
	struct verdict verdict;
	struct edits edits;
	struct record_facts f;
};

static void set_up(struct world *w)
{
	*w = (struct world){.a = arena_new()};
	assert_true(ip_parse(SLICE("192.0.2.1"), &w->client.addr));
	w->client.helo = SLICE("mx.example.com");
	w->envelope.sender = SLICE("<Ann.Bee@example.com>");
	w->envelope.login = SLICE("ann");
	w->envelope.queue_id = SLICE("4Q");
	w->envelope.nrcpts = 1;
	w->f = (struct record_facts){
		.time = 1790000000,
		.config = "c0",
		.authserv_id = "mx",
		.inbound = true,
		.direction_rule = "default",
		.client = &w->client,
		.envelope = &w->envelope,
		.message_id = SLICE("<1@example.com>"),
		.results = &w->results,
		.verdict = &w->verdict,
		.authres = SLICE(" mx; dkim=fail header.i=Ann.Bee@example.com"),
		.edits = &w->edits,
		.log = "4Q: from=example.com",
		.secret = "s",
	};
}

static void has(struct world *w, const char *part, bool is)
{
	const char *json = record_json(w->a, &w->f);

	assert_non_null(json);
	if ((strstr(json, part) != NULL) != is)
		fail_msg("%s%s: %s", is ? "" : "not ", part, json);
}

static void test_plain(void **state)
{
	struct world w;

	(void)state;
	set_up(&w);
	has(&w,
	    "{\"version\": 1, \"time\": 1790000000, \"hashed\": false, "
	    "\"cut\": false, \"config\": \"c0\"",
	    true);
	has(&w, "\"sender\": \"<Ann.Bee@example.com>\", \"login\": \"ann\"",
	    true);
	has(&w, "\"rule\": null, \"would\": []", true);
	has(&w, "\"edits\": [], \"removed\": 0}", true);
	has(&w, "\"log\": \"4Q: from=example.com\"}", true);
	/* a control, a quote, a byte that is no UTF-8, a NUL */
	w.client.helo = (struct slice){"\x1b\"\\\xff\0x", 6};
	has(&w, "\"helo\": \"\\u001b\\\"\\\\\\u00ff\\u0000x\"", true);
	arena_free(w.a);
}

static void add_dns(struct world *w, size_t n, size_t bytes)
{
	struct dns_recorded *v = arena_array(w->a, n, sizeof(*v));
	struct dns_record *rr = arena_alloc(w->a, sizeof(*rr));

	rr->data = (struct slice){arena_alloc(w->a, bytes), bytes};
	for (size_t i = 0; i < n; i++)
		v[i] = (struct dns_recorded){
			i == 0 ? "example.com" : "x.bee.example.com",
			DNS_TXT,
			{.status = DNS_FOUND, .n = 1, .rr = rr},
		};
	w->f.dns = v;
	w->f.ndns = n;
}

/* Too large: without the answers and the log, and it says so. */
static void test_cut(void **state)
{
	struct world w;

	(void)state;
	set_up(&w);
	add_dns(&w, 4, 1000);
	has(&w, "\"dns\": [{\"name\": \"example.com\", \"type\": \"TXT\"",
	    true);
	add_dns(&w, 4, 65000);
	has(&w, "\"cut\": true", true);
	has(&w, "\"dns\": ", false);
	has(&w, "\"log\": null}", true);
	assert_true(strlen(record_json(w.a, &w.f)) < RECORD_MAX);
	/* nothing of the record may be left out any more */
	w.client.helo = (struct slice){arena_alloc(w.a, 100000), 100000};
	assert_null(record_json(w.a, &w.f));
	arena_free(w.a);
}

static void test_removed(void **state)
{
	static struct edit v[RECORD_REMOVED_MAX + 3];
	struct world w;

	(void)state;
	set_up(&w);
	for (size_t i = 0; i < RECORD_REMOVED_MAX + 2; i++)
		v[i] = (struct edit){EDIT_DELETE, i + 1, "X-Del", NULL};
	v[RECORD_REMOVED_MAX + 2] = (struct edit){EDIT_INSERT, 0, "X-Ins", "y"};
	w.edits = (struct edits){RECORD_REMOVED_MAX + 3, v};
	has(&w, "\"index\": 100}", true);
	has(&w, "\"index\": 101}", false);
	has(&w,
	    "{\"field\": \"X-Ins\", \"edit\": \"insert\", "
	    "\"value\": \"y\"}], \"removed\": 102}",
	    true);
	arena_free(w.a);
}

static const struct address_row {
	const char *address, *before, *after;
} addresses[] = {
	{"<Ann@example.com>", "<sha256:", "@example.com>"},
	{"\"a@b\"@example.com", "sha256:", "@example.com"},
	{"ann", "sha256:", ""},
	{"<postmaster>", "<sha256:", ">"},
	{"<@r.example:ann@example.com>", "<sha256:", "@example.com>"},
	{"<>", "<>", ""},
	{"", "", ""},
	{"@example.com", "@example.com", ""},
};

static void test_addresses(void **state)
{
	struct world w;

	(void)state;
	set_up(&w);
	for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
		const struct address_row *r = &addresses[i];
		struct slice s = slice_of(r->address), d;

		w.f.hash_local_parts = false;
		assert_true(slice_eq(record_address(w.a, &w.f, s), s));
		w.f.hash_local_parts = true;
		d = record_address(w.a, &w.f, s);
		if (!slice_starts(d, r->before) || !slice_ends_ci(d, r->after))
			fail_msg("%s: %.*s", r->address, (int)d.n, d.p);
		if (strstr(r->before, "sha") != NULL)
			assert_int_equal(d.n, strlen(r->before) + 16 +
						      strlen(r->after));
	}
	/* case does not count */
	assert_true(slice_eq(record_address(w.a, &w.f, SLICE("ANN@x")),
			     record_address(w.a, &w.f, SLICE("ann@x"))));
	w.f.secret = "other";
	assert_false(slice_eq(
		record_address(w.a, &w.f, SLICE("ann@x")),
		record_address(w.a,
			       &(struct record_facts){.hash_local_parts = true,
						      .secret = "s"},
			       SLICE("ann@x"))));
	arena_free(w.a);
}

/* Wherever a local-part may stand. */
static void test_digests(void **state)
{
	static const char *const values[] = {
		" mx; dkim=pass header.i=ann.bee@example.com",
		" fail envelope-from=\"ann.bee@example.com\"; x=1",
		" a <Ann.Bee@example.com>, \"ann bee\"@example.com",
		"login x may not send as ann.bee@example.com",
		"ann.bee@example.com and bee+ann@example.com",
	};
	static struct edit v[5];
	struct slice rcpts[] = {SLICE("<bee@example.net>"), SLICE("<bee>")};
	const char *json;
	struct world w;

	(void)state;
	set_up(&w);
	for (size_t i = 0; i < 5; i++)
		v[i] = (struct edit){EDIT_INSERT, 0, "X", values[i]};
	w.edits = (struct edits){5, v};
	w.f.reply = &(struct smtp_reply){"550", "5.7.1", values[3]};
	w.f.rcpts = rcpts;
	w.f.nrcpts = 2;
	w.f.log = "4Q: mailfrom=<Ann.Bee@example.com>";
	w.results.spf_mailfrom.explanation = "not ann.bee";
	w.results.spf_mailfrom.explainer = "example.com";
	add_dns(&w, 2, 10);
	w.f.hash_local_parts = true;
	json = record_json(w.a, &w.f);
	for (const char *p = json; *p != '\0'; p++)
		if (slice_starts_ci(slice_of(p), "ann") ||
		    slice_starts_ci(slice_of(p), "bee"))
			fail_msg("%s", json);
	has(&w, "\"hashed\": true", true);
	has(&w, "{\"name\": \"example.com\", \"type\": \"TXT\"", true);
	has(&w, "header.i=sha256:", true);
	has(&w, "envelope-from=\\\"sha256:", true);
	has(&w, " and sha256:", true);
	arena_free(w.a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_digests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
