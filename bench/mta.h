/*
 * mta: the MTA's side of many milter sessions at once.
 */
#ifndef MAILSEAL_BENCH_MTA_H
#define MAILSEAL_BENCH_MTA_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "message.h"

#define FILTERS_MAX 8
#define WANTS_MAX   8

struct filter {
	struct sockaddr_un address;
	clockid_t clock; /* the CPU time of its process */
	long pid;
};

struct load {
	struct filter filters[FILTERS_MAX]; /* each message goes through all */
	size_t nfilters;
	const char *wants[WANTS_MAX]; /* what added fields must hold */
	size_t nwants;
	struct message *messages; /* in turn */
	size_t nmessages;
	size_t total, conns;
	double seconds; /* after which no more are begun; 0: no end */
};

struct outcome {
	uint64_t *latency; /* ns, of whole sessions */
	size_t finished, matched;
};

uint64_t now_ns(clockid_t clock);
struct outcome mta_run(const struct load *l);

#endif
