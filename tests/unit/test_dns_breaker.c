/*
 * The breaker: when time-outs make an outage, when it is probed, and when it
 * ends.  Numbers only, no network and no clock.
 */
#include "check.h"

#include <stdio.h>

#include "dns/breaker.h"

#define PATIENCE 6000

static void test_sign(void **state)
{
	static const struct {
		bool failed, at_once;
		int64_t took_ms, patience_ms;
		enum dns_sign want;
	} rows[] = {
		/* any answer of a server */
		{false, false, 0, PATIENCE, DNS_SIGN_ALIVE},
		{false, false, 20000, PATIENCE, DNS_SIGN_ALIVE},
		/* out of libunbound's cache: it was an answer once */
		{false, true, 0, PATIENCE, DNS_SIGN_ALIVE},
		/* a quick SERVFAIL is a server's */
		{true, false, 0, PATIENCE, DNS_SIGN_ALIVE},
		{true, false, 299, PATIENCE, DNS_SIGN_ALIVE},
		/* who knows */
		{true, false, 300, PATIENCE, DNS_SIGN_NONE},
		{true, false, 2999, PATIENCE, DNS_SIGN_NONE},
		/* libunbound gave up */
		{true, false, 3000, PATIENCE, DNS_SIGN_SILENT},
		{true, false, 12000, PATIENCE, DNS_SIGN_SILENT},
		{true, false, 1000, 1000, DNS_SIGN_SILENT},
		{true, false, 999, 1000, DNS_SIGN_NONE},
		/* libunbound did not even ask */
		{true, true, 0, PATIENCE, DNS_SIGN_SILENT},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (dns_breaker_sign(rows[i].failed, rows[i].at_once,
				     rows[i].took_ms,
				     rows[i].patience_ms) != rows[i].want)
			fail_msg("row %zu", i);
}

/*
 * A script: each letter is one thing that happens, at the time that the digits
 * before it (milliseconds) have reached.  Small: what is put in; capital: what
 * it makes, in the same place.
 *
 *   s a n  a question ended: silence, alive, no sign; S: a step is to be taken
 *   p      a probe was answered; P: the outage ended
 *   ?      what to do: W wait, Q probe, R renew and probe
 */
static char letter(struct dns_breaker *b, char c, int64_t now)
{
	switch (c) {
	case 's':
		return dns_breaker_note(b, DNS_SIGN_SILENT, now) ? 'S' : 's';
	case 'a':
		return dns_breaker_note(b, DNS_SIGN_ALIVE, now) ? '!' : 'a';
	case 'n':
		return dns_breaker_note(b, DNS_SIGN_NONE, now) ? '!' : 'n';
	case 'p':
		return dns_breaker_probed(b) ? 'P' : 'p';
	case '?':
		return "WQR"[dns_breaker_step(b, now)];
	default:
		return '!';
	}
}

static void play(const char *script, char *ret)
{
	struct dns_breaker b;
	int64_t now = 0;

	dns_breaker_init(&b, 3, 1000);
	for (; *script != '\0'; script++) {
		int64_t step = 0;
		for (; *script >= '0' && *script <= '9'; script++)
			step = step * 10 + (*script - '0');
		now += step;
		*ret++ = letter(&b, *script, now);
	}
	*ret = '\0';
}

static void test_scripts(void **state)
{
	static const struct {
		const char *script, *want;
	} rows[] = {
		{"ss?", "ssW"},
		{"sss", "ssS"},
		/* any answer in between begins anew; no sign does not */
		{"ssassa?", "ssassaW"},
		{"ssnns", "ssnnS"},
		{"ssass1s", "ssassS"},
		/* suspicion: a probe at once, then a moment for it */
		{"sss???", "ssSQWW"},
		{"sss?299?1?", "ssSQWR"},
		{"ssss?s300?", "ssSsQsR"},
		/* which any answer ends */
		{"sss?a300?", "ssSQaW"},
		{"sss?p300?", "ssSQpW"},
		{"sss?asss?300?", "ssSQassSQR"},
		/* an outage: one probe in a period */
		{"sss?300?999?1?999?1?", "ssSQRWQWQ"},
		/* a new context for every fourth */
		{"sss?300?1000?1000?1000?1000?", "ssSQRQQQR"},
		/* after a pause one probe, not all that were missed */
		{"sss?60000???1000?", "ssSQRWWQ"},
		/* only a probe tells */
		{"sss?300?aaa1000?", "ssSQRaaaQ"},
		{"sss?300?ssss1000?", "ssSQRssssQ"},
		/* the end, and all begins anew */
		{"sss?300?pp1000?", "ssSQRPpW"},
		{"sss?300?pss300?", "ssSQRPssW"},
		{"sss?300?1000?psss?300?", "ssSQRQPssSQR"},
		/* a late answer of a probe, without an outage */
		{"sspss", "sspss"},
	};
	char got[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		play(rows[i].script, got);
		assert_string_equal(got, rows[i].want);
	}
}

static void test_wait(void **state)
{
	struct dns_breaker b;
	unsigned i;

	(void)state;
	dns_breaker_init(&b, 0, 0);
	assert_int_equal(dns_breaker_wait_ms(&b, 5), -1);
	/* the defaults: 10 in a row, a second */
	for (i = 0; i < 9; i++)
		assert_false(dns_breaker_note(&b, DNS_SIGN_SILENT, 5));
	assert_int_equal(dns_breaker_wait_ms(&b, 5), -1);
	assert_true(dns_breaker_note(&b, DNS_SIGN_SILENT, 5));
	assert_int_equal(dns_breaker_step(&b, 5), DNS_STEP_PROBE);
	assert_int_equal(dns_breaker_wait_ms(&b, 5), 300);
	assert_int_equal(dns_breaker_wait_ms(&b, 304), 1);
	assert_false(b.outage);
	assert_int_equal(dns_breaker_step(&b, 305), DNS_STEP_RENEW);
	assert_true(b.outage);
	assert_int_equal(dns_breaker_wait_ms(&b, 305), 1000);
	assert_int_equal(dns_breaker_wait_ms(&b, 1304), 1);
	assert_int_equal(dns_breaker_wait_ms(&b, 1305), 0);
	assert_int_equal(dns_breaker_wait_ms(&b, 99999), 0);
	assert_int_equal(b.outages, 1);
	assert_true(dns_breaker_probed(&b));
	assert_int_equal(dns_breaker_wait_ms(&b, 99999), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sign),
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
