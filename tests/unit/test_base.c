/* base/: arena, slices, strbuf, addresses, clocks and the log sink. */
#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ip.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"

static void test_slice_cut_keeps_the_rest(void **state)
{
	struct slice rest = SLICE("a::b");

	(void)state;
	check_slice(slice_cut(&rest, ':'), "a");
	check_slice(slice_cut(&rest, ':'), "");
	check_slice(slice_cut(&rest, ':'), "b");
	assert_null(rest.p);
}

static void test_slice_u64(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		bool ok;
		uint64_t value;
	} cases[] = {
		{"0", 9, true, 0},
		{"0007", 9, true, 7},
		{"10", 9, false, 0},
		{"", 9, false, 0},
		{"-1", 9, false, 0},
		{"+1", 9, false, 0},
		{"1 ", 9, false, 0},
		{"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
		{"18446744073709551616", UINT64_MAX, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t got = 0;
		struct slice s =
			check_heap(cases[i].text, strlen(cases[i].text));
		assert_int_equal(slice_u64(s, cases[i].max, &got), cases[i].ok);
		assert_true(got == cases[i].value);
		free(unconst(s.p));
	}
}

static void test_strbuf_stops_at_its_maximum(void **state)
{
	struct arena *a = arena_new();
	struct strbuf b;

	(void)state;
	strbuf_init(&b, a, 4);
	strbuf_adds(&b, "abc");
	assert_false(b.overflow);
	strbuf_adds(&b, "de");
	assert_true(b.overflow);
	strbuf_addc(&b, 'd');
	check_slice(strbuf_slice(&b), "abc");
	arena_free(a);
}

static void test_escaped_text_is_one_line(void **state)
{
	struct arena *a = arena_new();
	struct strbuf b;

	(void)state;
	strbuf_init(&b, a, 100);
	strbuf_add_escaped(&b, SLICE("a\r\n\\\xff\0b"), 6);
	check_slice(strbuf_slice(&b), "a\\x0d\\x0a\\x5c\\xff\\x00...");
	arena_free(a);
}

static void test_arena_is_aligned_and_zeroed(void **state)
{
	struct arena *a = arena_new();

	(void)state;
	for (size_t size = 0; size < 20000; size = size * 2 + 1) {
		char *p = arena_alloc(a, size);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, size);
	}
	arena_free(a);
}

/* RFC 4291 2.2 in, RFC 5952 out; mapped addresses are IPv4 (RFC 7208 5). */
static void test_ip_text(void **state)
{
	static const struct {
		const char *text, *canonical; /* NULL: malformed */
		enum ip_family family;
	} cases[] = {
		{"192.0.2.1", "192.0.2.1", IP_V4},
		{"2001:DB8:0:0:0:0:0:1", "2001:db8::1", IP_V6},
		{"IPv6:2001:db8:0:0:0:0:0:1", "2001:db8::1", IP_V6},
		{"ipv6:::1", "::1", IP_V6},
		{"::ffff:192.0.2.1", "192.0.2.1", IP_V4},
		{"::FFFF:c000:201", "192.0.2.1", IP_V4},
		{"IPv6:::ffff:192.0.2.1", "192.0.2.1", IP_V4},
		{"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", IP_V6},
		{"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1", IP_V6},
		{"IPv6:192.0.2.1", NULL, IP_NONE},
		{"192.0.2", NULL, IP_NONE},
		{"192.0.2.256", NULL, IP_NONE},
		{"192.0.2.01", NULL, IP_NONE},
		{" 192.0.2.1", NULL, IP_NONE},
		{"192.0.2.1.", NULL, IP_NONE},
		{"0x7f.1", NULL, IP_NONE},
		{"fe80::1%eth0", NULL, IP_NONE},
		{"[::1]", NULL, IP_NONE},
		{"1::2::3", NULL, IP_NONE},
		{"", NULL, IP_NONE},
		{"IPv6:", NULL, IP_NONE},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		 NULL, IP_NONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ip ip = {.family = IP_NONE};
		char buf[IP_TEXT_MAX];
		struct slice s =
			check_heap(cases[i].text, strlen(cases[i].text));
		bool ok = ip_parse(s, &ip);
		free(unconst(s.p));
		assert_int_equal(ok, cases[i].canonical != NULL);
		assert_int_equal(ip.family, cases[i].family);
		assert_string_equal(ip_format(&ip, buf),
				    ok ? cases[i].canonical : "");
	}
}

static void test_ip_text_with_nul(void **state)
{
	struct ip ip = {.family = IP_NONE};

	(void)state;
	assert_false(ip_parse((struct slice){"192.0.2.1\0x", 11}, &ip));
	assert_int_equal(ip.family, IP_NONE);
}

static void test_ip_from_bytes(void **state)
{
	static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
	struct ip a, b = ip_from_bytes(mapped + 12, 4);

	(void)state;
	a = ip_from_bytes(mapped, 16);
	assert_int_equal(a.family, IP_V4);
	assert_true(ip_equal(&a, &b));
	assert_int_equal(ip_from_bytes(mapped, 5).family, IP_NONE);
}

static void test_ip_networks(void **state)
{
	static const struct {
		const char *net, *ip;
		bool ok, has;
	} cases[] = {
		{"10.0.0.0/8", "10.255.0.1", true, true},
		{"10.0.0.0/8", "11.0.0.1", true, false},
		{"10.0.0.0/8", "2001:db8::1", true, false},
		{"0.0.0.0/0", "192.0.2.1", true, true},
		{"0.0.0.0/0", "::1", true, false},
		{"192.0.2.128/25", "192.0.2.127", true, false},
		{"192.0.2.128/25", "192.0.2.128", true, true},
		{"192.0.2.1", "192.0.2.1", true, true},
		{"192.0.2.1", "192.0.2.2", true, false},
		{"::1", "::1", true, true},
		{"2001:db8::/32", "2001:db8:ffff::1", true, true},
		{"2001:db8::/32", "2001:db9::1", true, false},
		{"::/0", "2001:db9::1", true, true},
		{"::ffff:10.0.0.0/104", "10.1.2.3", true, true},
		{"::ffff:10.0.0.0/95", "10.1.2.3", false, false},
		{"10.0.0.1/8", NULL, false, false},
		{"10.0.0.0/33", NULL, false, false},
		{"10.0.0.0/", NULL, false, false},
		{"10.0.0.0/-1", NULL, false, false},
		{"10.0.0.0/8/8", NULL, false, false},
		{"2001:db8::/129", NULL, false, false},
		{"2001:db8::1/32", NULL, false, false},
		{"/8", NULL, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ip_net net;
		struct ip ip;
		bool ok = ip_net_parse(slice_of(cases[i].net), &net);
		assert_int_equal(ok, cases[i].ok);
		if (!ok)
			continue;
		assert_true(ip_parse(slice_of(cases[i].ip), &ip));
		assert_int_equal(ip_net_has(&net, &ip), cases[i].has);
	}
}

static void test_no_address_is_in_no_network(void **state)
{
	struct ip none = {.family = IP_NONE};
	struct ip_net net;

	(void)state;
	assert_true(ip_net_parse(SLICE("0.0.0.0/0"), &net));
	assert_false(ip_net_has(&net, &none));
	assert_true(ip_equal(&none, &none));
	assert_false(ip_prefix_equal(&none, &none, 0));
}

static void test_prefix_length_is_capped(void **state)
{
	struct ip a, b;

	(void)state;
	assert_true(ip_parse(SLICE("192.0.2.1"), &a));
	assert_true(ip_parse(SLICE("192.0.2.0"), &b));
	assert_true(ip_prefix_equal(&a, &b, 31));
	assert_false(ip_prefix_equal(&a, &b, 32));
	assert_true(ip_prefix_equal(&a, &a, 1000));
}

static void test_clocks(void **state)
{
	int64_t before = clock_mono_ms();
	unsigned char a[300] = {0}, b[300] = {0};

	(void)state;
	assert_true(clock_unix() > 1700000000);
	assert_true(clock_mono_ms() >= before);
	random_fill(a, sizeof(a));
	random_fill(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
}

/* Runs log_at() with stderr in a pipe; what came out, NUL-terminated. */
static void log_capture(char *buf, size_t size, enum log_level level,
			const char *text)
{
	int fds[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	assert_true(saved >= 0);
	dup2(fds[1], STDERR_FILENO);
	log_open("mailseald",
		 &(struct log_options){.level = LOG_LEVEL_INFO});
	log_at(level, LOG_EVENT_NOTE, "%s", text);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fds[1]);
	n = read(fds[0], buf, size - 1);
	close(fds[0]);
	buf[n > 0 ? n : 0] = '\0';
}

static void test_log_lines(void **state)
{
	static const struct {
		enum log_level level;
		const char *text, *line;
	} cases[] = {
		{LOG_LEVEL_DEBUG, "x", ""},
		{LOG_LEVEL_INFO, "started", "mailseald: started\n"},
		{LOG_LEVEL_WARN, "x", "mailseald: warning: x\n"},
		{LOG_LEVEL_ERROR, "x", "mailseald: error: x\n"},
		{LOG_LEVEL_INFO, "a\r\nb", "mailseald: a  b\n"},
	};
	char buf[8192];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		log_capture(buf, sizeof(buf), cases[i].level, cases[i].text);
		assert_string_equal(buf, cases[i].line);
	}
}

static void test_long_log_line_is_cut(void **state)
{
	char text[6000], buf[8192];
	size_t n;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_capture(buf, sizeof(buf), LOG_LEVEL_INFO, text);
	n = strlen(buf);
	assert_true(n > 4000 && n <= 4096);
	assert_string_equal(buf + n - 5, "x...\n");
	assert_ptr_equal(strchr(buf, '\n'), buf + n - 1);
}

/* RFC 8259 7; each byte that is no printable ASCII stands for itself. */
static void test_json(void **state)
{
	struct arena *a = arena_new();
	struct strbuf b;

	(void)state;
	strbuf_init(&b, a, 1000);
	strbuf_adds(&b, "{");
	json_text(&b, "a", "x\"\\/\n\x7f\xc3\xa9");
	json_slice(&b, "b", (struct slice){"\0y", 2}, true);
	json_text(&b, "c", NULL);
	json_slice(&b, "d", SLICE(""), true);
	json_number(&b, "e", -9223372036854775807LL);
	json_bool(&b, "f", true);
	json_name(&b, "g");
	strbuf_adds(&b, "[");
	for (int i = 0; i < 2; i++) {
		json_next(&b);
		json_wire(&b, SLICE("{["));
	}
	strbuf_adds(&b, "]}");
	assert_string_equal(
		strbuf_cstr(&b),
		"{\"a\": \"x\\\"\\\\/\\u000a\\u007f\\u00c3\\u00a9\", "
		"\"b\": \"\\u0000y\", \"c\": null, \"d\": \"\", "
		"\"e\": -9223372036854775807, \"f\": true, "
		"\"g\": [\"{[\", \"{[\"]}");
	arena_free(a);
}

static void keep_text(void *arg, const char *text)
{
	strbuf_adds(arg, text);
	strbuf_addc(arg, '|');
}

static void test_progress(void **state)
{
	struct arena *a = arena_new();
	struct strbuf b;
	const struct progress p = {keep_text, &b};

	(void)state;
	strbuf_init(&b, a, 1000);
	progress_step("keys", 0, 5); /* nobody waits */
	progress_set(&p);
	for (size_t i = 0; i <= 1024; i++)
		progress_step("keys", i, 1234567);
	progress_step("lines", 256000, 0);
	progress_set(NULL);
	progress_step("keys", 0, 5);
	assert_string_equal(strbuf_cstr(&b),
			    "keys: 0 of 1,234,567|keys: 256 of 1,234,567|"
			    "keys: 512 of 1,234,567|keys: 768 of 1,234,567|"
			    "keys: 1,024 of 1,234,567|lines: 256,000|");
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slice_cut_keeps_the_rest),
		cmocka_unit_test(test_slice_u64),
		cmocka_unit_test(test_strbuf_stops_at_its_maximum),
		cmocka_unit_test(test_escaped_text_is_one_line),
		cmocka_unit_test(test_arena_is_aligned_and_zeroed),
		cmocka_unit_test(test_ip_text),
		cmocka_unit_test(test_ip_text_with_nul),
		cmocka_unit_test(test_ip_from_bytes),
		cmocka_unit_test(test_ip_networks),
		cmocka_unit_test(test_no_address_is_in_no_network),
		cmocka_unit_test(test_prefix_length_is_capped),
		cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_log_lines),
		cmocka_unit_test(test_long_log_line_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
