/*
 * Private to dns/: is any DNS server still answering?  See breaker.c.
 */
#ifndef MAILSEAL_DNS_BREAKER_H
#define MAILSEAL_DNS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

struct dns_breaker {
	unsigned limit;	   /* time-outs in a row that make an outage */
	int64_t period_ms; /* between two probes */
	unsigned silent;   /* time-outs in a row, up to now */
	bool suspect;	   /* enough of them; a probe decides */
	int64_t decide_ms; /* when suspicion becomes an outage */
	bool outage;
	unsigned probes; /* in this suspicion, then in this outage */
	int64_t next_probe_ms;
	uint64_t outages;
};

/* What the end of one question tells about the servers. */
enum dns_sign {
	DNS_SIGN_ALIVE,
	DNS_SIGN_SILENT,
	DNS_SIGN_NONE,
};

enum dns_step {
	DNS_STEP_WAIT,
	DNS_STEP_PROBE,
	/* It is an outage: answer who waits, forget what was learned of the
	 * servers, probe. */
	DNS_STEP_RENEW,
};

/* `failed`: libunbound reported SERVFAIL, its own or a server's; `at_once`:
 * before the question could be sent; `patience_ms`: how long a question may
 * take. */
enum dns_sign dns_breaker_sign(bool failed, bool at_once, int64_t took_ms,
			       int64_t patience_ms);

void dns_breaker_init(struct dns_breaker *b, unsigned limit,
		      unsigned period_ms);
/* One question ended.  True: there is a step to take. */
bool dns_breaker_note(struct dns_breaker *b, enum dns_sign sign,
		      int64_t now_ms);
/* A probe was answered.  True: with it an outage ended. */
bool dns_breaker_probed(struct dns_breaker *b);
/* What to do now; what it tells counts as done. */
enum dns_step dns_breaker_step(struct dns_breaker *b, int64_t now_ms);
/* Until dns_breaker_step() has something to do; -1: nothing to come. */
int64_t dns_breaker_wait_ms(const struct dns_breaker *b, int64_t now_ms);

#endif
