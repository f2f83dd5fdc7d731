/*
 * load: the MTA's side of the milter protocol (version 6, as Postfix speaks
 * it), many sessions at once, for measuring.
 *
 *     load [-c CONNECTIONS] [-n MESSAGES] [-t SECONDS] [-w WANT]...
 *          -m SOCKET-PATH:PID [-m ...] FILE...
 *
 * Each session connects, negotiates, sends one message (the FILEs in turn) and
 * quits; CONNECTIONS of them run side by side until MESSAGES are through or no
 * more may begin after SECONDS.  With several filters a message goes through
 * one after the other, each with the fields that those before it have added, in
 * front of the header.  One JSON line says what it cost: CPU of the processes
 * per message (all threads), wall clock, latency, RSS, and in how many messages
 * fields were added that hold every WANT.
 *
 * The sessions are mta.c's, the messages message.c's.  No library but libc.
 */
#include "mta.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct load load = {.total = 1000, .conns = 8};

/* ---- what it cost ---- */

static uint64_t cpu_ns(void)
{
	uint64_t ret = 0;

	for (size_t i = 0; i < load.nfilters; i++)
		ret += now_ns(load.filters[i].clock);
	return ret;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static long rss_kb(long pid)
{
	char path[64], line[256];
	long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/status", pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kb;
}

static void report(struct outcome o, uint64_t wall, uint64_t cpu)
{
	double n = o.finished > 0 ? (double)o.finished : 1;
	long rss = 0;

	if (o.finished == 0)
		o.latency[0] = 0;
	for (size_t i = 0; i < load.nfilters; i++)
		rss += rss_kb(load.filters[i].pid);
	qsort(o.latency, o.finished, sizeof(*o.latency), by_value);
	printf("{\"messages\": %zu, \"matched\": %zu, \"cpu_us\": %.1f, "
	       "\"per_second\": %.1f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, "
	       "\"rss_kb\": %ld}\n",
	       o.finished, o.matched, (double)cpu / 1e3 / n,
	       n * 1e9 / (double)wall, (double)o.latency[o.finished / 2] / 1e6,
	       (double)o.latency[o.finished * 99 / 100] / 1e6, rss);
}

/* ---- start ---- */

static void add_filter(char *arg)
{
	char *colon = strrchr(arg, ':');
	struct filter *f = &load.filters[load.nfilters];

	if (colon == NULL || load.nfilters == FILTERS_MAX)
		die(arg);
	*colon = '\0';
	f->address.sun_family = AF_UNIX;
	snprintf(f->address.sun_path, sizeof(f->address.sun_path), "%s", arg);
	f->pid = atol(colon + 1);
	if (clock_getcpuclockid((pid_t)f->pid, &f->clock) != 0)
		die("no such process");
	load.nfilters++;
}

static bool options(int argc, char **argv)
{
	int o;

	while ((o = getopt(argc, argv, "c:n:t:w:m:")) != -1)
		switch (o) {
		case 'c':
			load.conns = (size_t)atol(optarg);
			break;
		case 'n':
			load.total = (size_t)atol(optarg);
			break;
		case 't':
			load.seconds = atof(optarg);
			break;
		case 'w':
			if (load.nwants == WANTS_MAX)
				die("too many -w");
			load.wants[load.nwants++] = optarg;
			break;
		case 'm':
			add_filter(optarg);
			break;
		default:
			return false;
		}
	return load.nfilters > 0 && optind < argc && load.conns > 0 &&
	       load.total > 0;
}

/* As many sockets as there may be. */
static void raise_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

int main(int argc, char **argv)
{
	struct outcome o;
	uint64_t cpu, wall;

	if (!options(argc, argv)) {
		fputs("usage: load [-c CONNECTIONS] [-n MESSAGES] "
		      "[-t SECONDS] [-w WANT]... -m SOCKET-PATH:PID [-m ...] "
		      "FILE...\n",
		      stderr);
		return 2;
	}
	raise_limit();
	load.nmessages = (size_t)(argc - optind);
	load.messages = take(NULL, load.nmessages * sizeof(*load.messages));
	for (size_t i = 0; i < load.nmessages; i++)
		message_read(&load.messages[i], argv[optind + (int)i]);
	cpu = cpu_ns();
	wall = now_ns(CLOCK_MONOTONIC);
	o = mta_run(&load);
	report(o, now_ns(CLOCK_MONOTONIC) - wall, cpu_ns() - cpu);
	for (size_t i = 0; i < load.nmessages; i++)
		message_free(&load.messages[i]);
	free(load.messages);
	free(o.latency);
	return 0;
}
