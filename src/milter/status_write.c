/* The two forms of a status, and the line for the service manager. */
#include <inttypes.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "milter/status.h"

#define DAY 86400

static const char *time_text(struct arena *a, int64_t t)
{
	time_t seconds = (time_t)t;
	char text[64];
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		return "?";
	return arena_strdup(a, text);
}

static const char *span_text(struct arena *a, int64_t seconds)
{
	if (seconds >= DAY)
		return arena_printf(a, "%" PRId64 " days %" PRId64 " h",
				    seconds / DAY, seconds % DAY / 3600);
	if (seconds >= 3600)
		return arena_printf(a, "%" PRId64 " h %" PRId64 " min",
				    seconds / 3600, seconds % 3600 / 60);
	return arena_printf(a, "%" PRId64 " min %" PRId64 " s", seconds / 60,
			    seconds % 60);
}

static uint64_t total(const struct status *s, enum mail_direction d)
{
	uint64_t n = 0;

	for (size_t i = 0; i < TALLY_RESULTS; i++)
		n += s->tally.messages[d][i];
	return n;
}

/* ---- text ---------------------------------------------------------------- */

static void text_head(struct status *s, struct strbuf *b)
{
	strbuf_printf(b, "mailseald %s, process %d, %s %s\n", s->version,
		      (int)s->pid, s->stopping ? "stopping, up" : "up",
		      span_text(s->arena, s->now - s->started));
	strbuf_printf(b, "configuration: %s\n", s->app->config->file);
	if (s->reload.time == 0)
		strbuf_printf(b, "reload: none since start at %s\n",
			      time_text(s->arena, s->started));
	else
		strbuf_printf(b,
			      "reload: the last, at %s, %s; %" PRIu64 " done, "
			      "%" PRIu64 " failed since start\n",
			      time_text(s->arena, s->reload.time),
			      s->reload.ok ? "was done"
					   : "FAILED: the one before is in "
					     "force",
			      s->reload.done, s->reload.failed);
	strbuf_printf(b,
		      "sessions: %" PRIu64 " open, %" PRIu64 " messages in "
		      "flight\n",
		      s->sessions, s->messages);
	strbuf_printf(b,
		      "messages: %" PRIu64 " inbound, %" PRIu64 " outbound, "
		      "%" PRIu64 " neither\n",
		      total(s, MAIL_INBOUND), total(s, MAIL_OUTBOUND),
		      total(s, MAIL_IGNORED));
}

static void text_dns(const struct status *s, struct strbuf *b)
{
	const struct dns_counters *n = &s->dns;

	strbuf_printf(b,
		      "dns: %u waiting, %" PRIu64 " asked, %" PRIu64
		      " of them cached, %" PRIu64 " time-outs, %" PRIu64
		      " temporary failures%s\n",
		      s->dns_waiting, n->asked, n->cache_hits, n->timeouts,
		      n->by_status[DNS_TEMPFAIL],
		      n->outage ? "; OUTAGE: no server answers" : "");
	strbuf_printf(b,
		      "cache: %" PRIu64 " answers in %" PRIu64 " bytes of "
		      "%" PRId64 "\n",
		      n->cache_answers, n->cache_bytes,
		      s->app->config->resolver.cache_size);
}

static void text_keys(struct status *s, struct strbuf *b)
{
	strbuf_printf(b, "keys: %zu of %zu domains, %zu loaded, %zu unusable\n",
		      keyring_size(s->app->keyring),
		      keyring_domains(s->app->keyring), s->keys.loaded,
		      s->keys_unusable);
	for (size_t i = 0; i < s->nkeys; i++) {
		const struct status_key *k = &s->key[i];

		strbuf_printf(b, "  %s %s: ", k->entry->domain,
			      k->entry->selector);
		if (k->standing.usable)
			strbuf_printf(b, "%s",
				      key_state_name(k->standing.state));
		else
			strbuf_adds(b, "UNUSABLE: ");
		if (k->standing.error != NULL)
			strbuf_add_escaped(b, slice_of(k->standing.error), 400);
		if (k->standing.usable && k->standing.since > 0)
			strbuf_printf(b, ", %" PRId64 " days old",
				      (s->now - k->standing.since) / DAY);
		strbuf_addc(b, '\n');
	}
	if (s->nkeys == STATUS_KEYS_MAX)
		strbuf_printf(b, "  at most %d are listed\n", STATUS_KEYS_MAX);
}

static const char *store_text(bool kept, bool working)
{
	if (!kept)
		return "not kept";
	return working ? "working" : "NOT WORKING, see the log";
}

static void text_stores(const struct status *s, struct strbuf *b)
{
	strbuf_printf(b, "journal: %s",
		      store_text(s->journal_kept, s->journal_working));
	if (s->journal_kept)
		strbuf_printf(b, ", %" PRIu64 " written, %" PRIu64 " dropped",
			      s->journal.written, s->journal.dropped);
	strbuf_printf(b, "\nlimits: %s\n",
		      store_text(s->limits_kept, s->limits_working));
	if (s->memory >= 0)
		strbuf_printf(b, "memory: %" PRId64 " bytes\n", s->memory);
}

static void text_warnings(struct status *s, struct strbuf *b)
{
	if (s->nwarnings == 0)
		strbuf_adds(b, "warnings: none since start\n");
	else
		strbuf_printf(b, "warnings, the last %zu:\n", s->nwarnings);
	for (size_t i = 0; i < s->nwarnings; i++) {
		const struct log_recent *w = &s->warnings[i];

		strbuf_printf(
			b, "  %s %s: ", time_text(s->arena, w->time_ms / 1000),
			log_level_name((enum log_level)w->level));
		strbuf_add_escaped(b, slice_of(w->text), LOG_RECENT_BYTES);
		strbuf_addc(b, '\n');
	}
}

void status_text(struct status *s, struct strbuf *b)
{
	text_head(s, b);
	text_dns(s, b);
	text_keys(s, b);
	text_stores(s, b);
	text_warnings(s, b);
}

void status_line(struct status *s, struct strbuf *b)
{
	strbuf_printf(b, "%" PRIu64 " sessions, %" PRIu64 " messages in flight",
		      s->sessions, s->messages);
	if (s->reload.time != 0)
		strbuf_printf(b, "; reload %s at %s",
			      s->reload.ok ? "done" : "FAILED",
			      time_text(s->arena, s->reload.time));
	if (s->dns.outage)
		strbuf_adds(b, "; no DNS server answers");
}

/* ---- JSON ---------------------------------------------------------------- */

static void number(struct strbuf *b, const char *name, uint64_t n)
{
	json_number(b, name, n < INT64_MAX ? (int64_t)n : INT64_MAX);
}

static void number_or_null(struct strbuf *b, const char *name, int64_t n,
			   bool known)
{
	if (known)
		json_number(b, name, n);
	else
		json_text(b, name, NULL);
}

static void open_object(struct strbuf *b, const char *name)
{
	json_name(b, name);
	strbuf_addc(b, '{');
}

static void json_head(const struct status *s, struct strbuf *b)
{
	json_text(b, "version", s->version);
	json_number(b, "pid", s->pid);
	json_number(b, "time", s->now);
	json_number(b, "started", s->started);
	json_number(b, "uptime", s->now - s->started);
	json_bool(b, "stopping", s->stopping);
	json_text(b, "configuration", s->app->config->file);
	open_object(b, "reload");
	number_or_null(b, "time", s->reload.time, s->reload.time != 0);
	json_name(b, "ok");
	strbuf_adds(b, s->reload.time == 0 ? "null"
		       : s->reload.ok	   ? "true"
					   : "false");
	number(b, "done", s->reload.done);
	number(b, "failed", s->reload.failed);
	strbuf_addc(b, '}');
	open_object(b, "sessions");
	number(b, "open", s->sessions);
	number(b, "messages", s->messages);
	strbuf_addc(b, '}');
	open_object(b, "messages");
	number(b, "inbound", total(s, MAIL_INBOUND));
	number(b, "outbound", total(s, MAIL_OUTBOUND));
	number(b, "ignored", total(s, MAIL_IGNORED));
	strbuf_addc(b, '}');
}

static void json_dns(const struct status *s, struct strbuf *b)
{
	const struct dns_counters *n = &s->dns;

	open_object(b, "dns");
	json_number(b, "waiting", s->dns_waiting);
	number(b, "asked", n->asked);
	number(b, "cached", n->cache_hits);
	number(b, "sent", n->sent);
	number(b, "timeouts", n->timeouts);
	number(b, "tempfail", n->by_status[DNS_TEMPFAIL]);
	number(b, "refused", n->refused);
	number(b, "outages", n->outages);
	json_bool(b, "outage", n->outage);
	strbuf_addc(b, '}');
	open_object(b, "cache");
	number(b, "answers", n->cache_answers);
	number(b, "bytes", n->cache_bytes);
	json_number(b, "max_bytes", s->app->config->resolver.cache_size);
	strbuf_addc(b, '}');
}

static void json_keys(const struct status *s, struct strbuf *b)
{
	open_object(b, "keys");
	number(b, "entries", keyring_size(s->app->keyring));
	number(b, "domains", keyring_domains(s->app->keyring));
	number(b, "loaded", s->keys.loaded);
	number(b, "unusable", s->keys_unusable);
	json_name(b, "list");
	strbuf_addc(b, '[');
	for (size_t i = 0; i < s->nkeys; i++) {
		const struct status_key *k = &s->key[i];
		int64_t since = k->standing.since;

		json_next(b);
		strbuf_addc(b, '{');
		json_text(b, "domain", k->entry->domain);
		json_text(b, "selector", k->entry->selector);
		json_bool(b, "usable", k->standing.usable);
		json_text(b, "state", key_state_name(k->standing.state));
		number_or_null(b, "since", since, since > 0);
		json_text(b, "error", k->standing.error);
		strbuf_addc(b, '}');
	}
	strbuf_adds(b, "]}");
}

static void json_stores(const struct status *s, struct strbuf *b)
{
	open_object(b, "journal");
	json_bool(b, "kept", s->journal_kept);
	json_bool(b, "working", s->journal_working);
	number(b, "written", s->journal.written);
	number(b, "dropped", s->journal.dropped);
	strbuf_addc(b, '}');
	open_object(b, "limits");
	json_bool(b, "kept", s->limits_kept);
	json_bool(b, "working", s->limits_working);
	strbuf_addc(b, '}');
	number_or_null(b, "memory", s->memory, s->memory >= 0);
}

static void json_warnings(const struct status *s, struct strbuf *b)
{
	json_name(b, "warnings");
	strbuf_addc(b, '[');
	for (size_t i = 0; i < s->nwarnings; i++) {
		const struct log_recent *w = &s->warnings[i];

		json_next(b);
		strbuf_addc(b, '{');
		json_number(b, "time", w->time_ms / 1000);
		json_text(b, "level", log_level_name((enum log_level)w->level));
		json_text(b, "text", w->text);
		strbuf_addc(b, '}');
	}
	strbuf_addc(b, ']');
}

void status_json(struct status *s, struct strbuf *b)
{
	strbuf_addc(b, '{');
	json_head(s, b);
	json_dns(s, b);
	json_keys(s, b);
	json_stores(s, b);
	json_warnings(s, b);
	strbuf_adds(b, "}\n");
}
