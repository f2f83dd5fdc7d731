/*
 * mailseal shadow: what the rules in mode monitor, and DMARC while it monitors,
 * would have done.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "cmd/cmd.h"
#include "cmd/record_read.h"

#define ROWS_MAX 100000
#define TOP	 5
#define DAY	 86400

/* Messages of one domain or network. */
struct total {
	const char *name;
	int64_t messages;
};

/* "7d", "24h"; 0 is not one. */
static int64_t seconds_of(const char *text)
{
	struct slice s = slice_of(text);
	uint64_t n;

	if (s.n < 2 || !slice_u64(slice_first(s, s.n - 1), 36500, &n))
		return 0;
	if (s.p[s.n - 1] == 'd')
		return (int64_t)n * DAY;
	return s.p[s.n - 1] == 'h' ? (int64_t)n * 3600 : 0;
}

static bool same_rule(const struct journal_count *a,
		      const struct journal_count *b)
{
	return strcmp(a->rule, b->rule) == 0 &&
	       strcmp(a->action, b->action) == 0;
}

static int by_name(const void *a, const void *b)
{
	const struct total *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int by_messages(const void *a, const void *b)
{
	const struct total *x = a, *y = b;

	if (x->messages != y->messages)
		return x->messages < y->messages ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* Those of one name together; returns how many names. */
static size_t unite(struct total *t, size_t n)
{
	size_t out = 0;

	qsort(t, n, sizeof(*t), by_name);
	for (size_t i = 0; i < n; i++) {
		if (out > 0 && strcmp(t[out - 1].name, t[i].name) == 0)
			t[out - 1].messages += t[i].messages;
		else
			t[out++] = t[i];
	}
	qsort(t, out, sizeof(*t), by_messages);
	return out;
}

static const char *shown(struct arena *a, const char *text)
{
	struct strbuf b;

	strbuf_init(&b, a, 4096);
	strbuf_add_escaped(&b, slice_of(text), 1000);
	return strbuf_cstr(&b);
}

static void print_top(struct arena *a, const char *what, struct total *t,
		      size_t n)
{
	n = unite(t, n);
	printf("  %s:", what);
	for (size_t i = 0; i < n && i < TOP; i++)
		printf("%s %s (%" PRId64 ")", i > 0 ? "," : "",
		       shown(a, t[i].name), t[i].messages);
	if (n > TOP)
		printf(", and %zu more", n - TOP);
	putchar('\n');
}

/* The rows of one rule; returns how many. */
static size_t print_rule(struct arena *a, const struct journal_count *v,
			 size_t n)
{
	struct total *domains = arena_array(a, n, sizeof(*domains));
	struct total *networks = arena_array(a, n, sizeof(*networks));
	size_t i;
	int64_t messages = 0, reasoned = 0;

	for (i = 0; i < n && same_rule(&v[0], &v[i]); i++) {
		messages += v[i].messages;
		reasoned += v[i].reasoned;
		domains[i] = (struct total){
			v[i].domain[0] != '\0' ? v[i].domain : "no author",
			v[i].messages};
		networks[i] = (struct total){v[i].network, v[i].messages};
	}
	printf("%s would %s %" PRId64 " messages, %" PRId64
	       " of them by a list or a forwarder\n",
	       shown(a, v[0].rule), shown(a, v[0].action), messages, reasoned);
	print_top(a, "domains", domains, i);
	print_top(a, "sources", networks, i);
	return i;
}

static int shadow(struct arena *a, const struct journal_place *place,
		  int64_t since)
{
	struct journal_count *v = arena_array(a, ROWS_MAX, sizeof(*v));
	int status = 0;
	struct journal_file *f =
		journal_place_open(a, "shadow", place, false, &status);
	size_t n;

	if (f == NULL)
		return status;
	n = journal_shadows(f, a, since, v, ROWS_MAX);
	if (journal_error(f) != NULL) {
		fprintf(stderr, "mailseal shadow: %s\n", journal_error(f));
		status = EX_NOINPUT;
	} else if (n == 0) {
		puts("nothing would have been done");
	}
	for (size_t i = 0; i < n;)
		i += print_rule(a, v + i, n - i);
	journal_close(f);
	return status;
}

int cmd_shadow(int argc, char **argv)
{
	static const struct option longs[] = {
		{"since", required_argument, NULL, 's'},
		JOURNAL_LONG_OPTIONS,
		{0}};
	struct journal_place place = {0};
	int64_t seconds = 7 * DAY;
	struct arena *a;
	int c, status;

	while ((c = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
		if (c == 's')
			seconds = seconds_of(optarg);
		else if (!journal_place_take(&place, c, optarg))
			return cmd_usage("shadow", "bad option");
	}
	if (seconds == 0)
		return cmd_refuse("shadow", "--since is a number of days or "
					    "hours: 7d, 24h");
	if (optind != argc)
		return cmd_usage("shadow", "too many arguments");
	a = arena_new();
	status = shadow(a, &place, clock_unix() - seconds);
	arena_free(a);
	return status;
}
