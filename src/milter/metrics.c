/*
 * One table of metrics.  A row writes its samples from values that were all
 * taken before the first line was written.
 *
 * Names and labels follow the practice of Prometheus: base units, "_total" for
 * what only grows, no label whose values others choose.
 */
#include "milter/metrics_values.h"

#include <inttypes.h>
#include <string.h>

#include "config.h"

#define US 1000000

#define AT(member) offsetof(struct metrics_values, member)

struct row;

struct writer {
	struct strbuf *b;
	const struct row *row;
	const struct metrics_values *v;
};

struct row {
	const char *name, *type, *help;
	void (*write)(const struct writer *w); /* NULL: the value alone */
	size_t at; /* of that uint64_t in the values */
};

/* ---- samples ---- */

/* Text of the configuration: what the format needs is escaped. */
static void add_value(struct strbuf *b, const char *text)
{
	strbuf_addc(b, '"');
	for (; *text != '\0'; text++) {
		if (*text == '\\' || *text == '"')
			strbuf_addc(b, '\\');
		if (*text == '\n')
			strbuf_adds(b, "\\n");
		else
			strbuf_addc(b, *text);
	}
	strbuf_addc(b, '"');
}

/* name{l1="v1",l2="v2"}; NULL: no such label. */
static void begin(const struct writer *w, const char *l1, const char *v1,
		  const char *l2, const char *v2)
{
	strbuf_adds(w->b, w->row->name);
	if (l1 != NULL) {
		strbuf_printf(w->b, "{%s=", l1);
		add_value(w->b, v1);
	}
	if (l2 != NULL) {
		strbuf_printf(w->b, ",%s=", l2);
		add_value(w->b, v2);
	}
	strbuf_adds(w->b, l1 != NULL ? "} " : " ");
}

static void add(const struct writer *w, const char *l1, const char *v1,
		const char *l2, const char *v2, uint64_t n)
{
	begin(w, l1, v1, l2, v2);
	strbuf_printf(w->b, "%" PRIu64 "\n", n);
}

static void add1(const struct writer *w, const char *label, const char *value,
		 uint64_t n)
{
	add(w, label, value, NULL, NULL, n);
}

static void add_us(struct strbuf *b, uint64_t us)
{
	strbuf_printf(b, "%" PRIu64 ".%06" PRIu64 "\n", us / US, us % US);
}

/* A histogram; the count is the sum of its buckets whoever adds meanwhile. */
static void add_time(const struct writer *w, const char *label,
		     const char *value, const struct tally_time *t)
{
	uint64_t sum = 0;

	for (size_t i = 0; i <= TALLY_BOUNDS; i++) {
		sum += t->buckets[i];
		strbuf_printf(w->b, "%s_bucket{%s=\"%s\",le=\"", w->row->name,
			      label, value);
		if (i < TALLY_BOUNDS)
			strbuf_printf(w->b, "%g", tally_bounds[i] / (double)US);
		else
			strbuf_adds(w->b, "+Inf");
		strbuf_printf(w->b, "\"} %" PRIu64 "\n", sum);
	}
	strbuf_printf(w->b, "%s_sum{%s=\"%s\"} ", w->row->name, label, value);
	add_us(w->b, t->us);
	strbuf_printf(w->b, "%s_count{%s=\"%s\"} %" PRIu64 "\n", w->row->name,
		      label, value, sum);
}

/* ---- mail ---- */

static void messages(const struct writer *w)
{
	static const char *const directions[] = {
		[MAIL_INBOUND] = "inbound",
		[MAIL_OUTBOUND] = "outbound",
		[MAIL_IGNORED] = "none",
	};
	static const char *const results[] = {
		[TALLY_ACCEPTED] = "accepted",
		[TALLY_QUARANTINED] = "quarantined",
		[TALLY_REJECTED] = "rejected",
		[TALLY_TEMPFAILED] = "tempfailed",
		[TALLY_DISCARDED] = "discarded",
	};

	for (size_t i = 0; i <= MAIL_IGNORED; i++)
		for (size_t k = 0; k < TALLY_RESULTS; k++)
			add(w, "direction", directions[i], "result", results[k],
			    w->v->n.messages[i][k]);
}

static void add_result(const struct writer *w, const char *method,
		       const char *result, uint64_t n)
{
	add(w, "method", method, "result", result, n);
}

static void spf_results(const struct writer *w)
{
	for (size_t i = 0; i <= SPF_STATUS_PERMERROR; i++)
		add_result(w, "spf", spf_status_name((enum spf_status)i),
			   w->v->n.spf_mailfrom[i]);
	for (size_t i = 0; i <= SPF_STATUS_PERMERROR; i++)
		add_result(w, "spf-helo", spf_status_name((enum spf_status)i),
			   w->v->n.spf_helo[i]);
}

static void results(const struct writer *w)
{
	const struct tally_counters *n = &w->v->n;

	spf_results(w);
	for (size_t i = 0; i < TALLY_DKIM_NONE; i++)
		add_result(w, "dkim", dkim_status_name((enum dkim_status)i),
			   n->dkim[i]);
	add_result(w, "dkim", "none", n->dkim[TALLY_DKIM_NONE]);
	for (size_t i = 0; i <= ARC_STATUS_FAIL; i++)
		add_result(w, "arc", arc_status_name((enum arc_status)i),
			   n->arc[i]);
	for (size_t i = 0; i <= DMARC_STATUS_PERMERROR; i++)
		add_result(w, "dmarc", dmarc_status_name((enum dmarc_status)i),
			   n->dmarc[i]);
	for (size_t i = 0; i <= IPREV_STATUS_PERMERROR; i++)
		add_result(w, "iprev", iprev_status_name((enum iprev_status)i),
			   n->iprev[i]);
}

static void dispositions(const struct writer *w)
{
	const uint64_t *n = w->v->n.done;

	add1(w, "disposition", "none", n[DMARC_P_UNSET] + n[DMARC_P_NONE]);
	add1(w, "disposition", "quarantine", n[DMARC_P_QUARANTINE]);
	add1(w, "disposition", "reject", n[DMARC_P_REJECT]);
}

static void shadow_dispositions(const struct writer *w)
{
	const uint64_t *n = w->v->n.would_be;

	add1(w, "disposition", "quarantine", n[DMARC_P_QUARANTINE]);
	add1(w, "disposition", "reject", n[DMARC_P_REJECT]);
}

static void add_rule(void *arg, const struct tally_named *n)
{
	const struct writer *w = arg;

	strbuf_printf(w->b, "%s{rule=", w->row->name);
	add_value(w->b, n->name);
	strbuf_printf(w->b, ",action=\"%s\",mode=\"%s\"} %" PRIu64 "\n",
		      n->action, n->mode, n->n);
}

static void rules(const struct writer *w)
{
	tally_each_rule(w->v->app->tally, add_rule, unconst(w));
}

static void gate_checks(const struct writer *w)
{
	static const char *const names[] = {
		[TALLY_GATE_SENDER] = "sender",
		[TALLY_GATE_LOGIN] = "login",
		[TALLY_GATE_CREDENTIAL] = "credential",
		[TALLY_GATE_LIMIT] = "limit",
		[TALLY_GATE_TLS] = "tls",
	};

	for (size_t i = 0; i < TALLY_GATES; i++) {
		add(w, "check", names[i], "result", "ok", w->v->n.gate_ok[i]);
		add(w, "check", names[i], "result", "fault",
		    w->v->n.gate_fault[i]);
	}
}

static void preflight_faults(const struct writer *w)
{
	for (size_t i = 0; i < PREFLIGHT_RULES; i++)
		add1(w, "rule", preflight_rule_name((enum preflight_rule)i),
		     w->v->preflight.bad[i]);
}

static void signing(const struct writer *w)
{
	add1(w, "result", "signed", w->v->n.signing[TALLY_SEALED]);
	add1(w, "result", "unsigned", w->v->n.signing[TALLY_UNSEALED]);
	add1(w, "result", "failed", w->v->n.signing[TALLY_FAILED]);
}

static void arc_sealing(const struct writer *w)
{
	add1(w, "result", "sealed", w->v->n.arc_sealing[TALLY_SEALED]);
	add1(w, "result", "unsealed", w->v->n.arc_sealing[TALLY_UNSEALED]);
	add1(w, "result", "failed", w->v->n.arc_sealing[TALLY_FAILED]);
}

static void add_signature(void *arg, const struct tally_named *n)
{
	add1(arg, "domain", n->name, n->n);
}

static void signatures(const struct writer *w)
{
	tally_each_signature(w->v->app->tally, add_signature, unconst(w));
}

static void message_seconds(const struct writer *w)
{
	const struct tally_time *t = w->v->n.times;

	add_time(w, "direction", "inbound", &t[TALLY_STAGE_INBOUND]);
	add_time(w, "direction", "outbound", &t[TALLY_STAGE_OUTBOUND]);
}

static void stage_seconds(const struct writer *w)
{
	const struct tally_time *t = w->v->n.times;

	add_time(w, "stage", "dns", &t[TALLY_STAGE_DNS]);
	add_time(w, "stage", "verify", &t[TALLY_STAGE_VERIFY]);
	add_time(w, "stage", "sign", &t[TALLY_STAGE_SIGN]);
}

/* ---- DNS ---- */

static void dns_answers(const struct writer *w)
{
	for (size_t i = 0; i <= DNS_TEMPFAIL; i++)
		add1(w, "status", dns_status_name((enum dns_status)i),
		     w->v->dns.by_status[i]);
}

/* ---- keys, store ---- */

/* ---- keys ---- */

#define KEYS_SHOWN 1000

static void add_key(const struct writer *w, const struct key_entry *e,
		    int64_t since)
{
	strbuf_printf(w->b, "%s{domain=", w->row->name);
	add_value(w->b, e->domain);
	strbuf_adds(w->b, ",signing_domain=");
	add_value(w->b, e->signing_domain);
	strbuf_adds(w->b, ",selector=");
	add_value(w->b, e->selector);
	strbuf_printf(w->b, "} %" PRId64 "\n", since);
}

/* Of keys that mailseal has made: of others nobody has noted it. */
static void key_active_since(const struct writer *w)
{
	struct keyring *ring = w->v->app->keyring;
	struct arena *a = arena_new();
	size_t shown = 0;

	for (size_t i = 0; i < keyring_size(ring) && shown < KEYS_SHOWN; i++) {
		struct keyring_standing s;

		keyring_standing_get(ring, i, a, &s);
		if (!s.known || s.state != KEY_ACTIVE || s.since <= 0)
			continue;
		add_key(w, keyring_entry(ring, i), s.since);
		shown++;
	}
	arena_free(a);
}

/* ---- the daemon ---- */

static void build_info(const struct writer *w)
{
	add1(w, "version", PACKAGE_VERSION, 1);
}

static void config_info(const struct writer *w)
{
	add1(w, "sha256", w->v->app->config->digest, 1);
}

static void reloads(const struct writer *w)
{
	add1(w, "result", "ok", w->v->facts->reloads);
	add1(w, "result", "failed", w->v->facts->failed_reloads);
}

static void cpu(const struct writer *w)
{
	begin(w, NULL, NULL, NULL, NULL);
	add_us(w->b, w->v->facts->cpu_us);
}

/* clang-format off */
static const struct row rows[] = {
	{"mailseal_messages_total", "counter",
	 "Messages by direction and by what the MTA was told.", messages, 0},
	{"mailseal_results_total", "counter",
	 "Results of inbound messages; of dkim one for each signature.",
	 results, 0},
	{"mailseal_dispositions_total", "counter",
	 "Dispositions of inbound messages, by DMARC or a local rule.", dispositions, 0},
	{"mailseal_shadow_dispositions_total", "counter",
	 "What DMARC asked for and was not done, or not to the full.",
	 shadow_dispositions, 0},
	{"mailseal_rules_total", "counter",
	 "Messages by the local rules that matched.", rules, 0},
	{"mailseal_gate_checks_total", "counter",
	 "Checks of the submission gate.", gate_checks, 0},
	{"mailseal_preflight_messages_total", "counter",
	 "Outbound messages that preflight looked at.", NULL, AT(preflight.checked)},
	{"mailseal_preflight_unknown_total", "counter",
	 "Outbound messages of which preflight could not tell all.",
	 NULL, AT(preflight.unknown)},
	{"mailseal_preflight_faults_total", "counter",
	 "Faults that preflight found.", preflight_faults, 0},
	{"mailseal_signing_total", "counter",
	 "Outbound messages by what became of their signatures.", signing, 0},
	{"mailseal_signatures_total", "counter",
	 "DKIM signatures by their domain.", signatures, 0},
	{"mailseal_arc_sealing_total", "counter",
	 "Messages that arc.seal names, by what became of their set.",
	 arc_sealing, 0},
	{"mailseal_mta_refusals_total", "counter",
	 "Changes, replies and holds that the MTA refused.", NULL, AT(n.mta_refusals)},
	{"mailseal_message_seconds", "histogram",
	 "Time that the MTA waited at the end of a message.",
	 message_seconds, 0},
	{"mailseal_stage_seconds", "histogram",
	 "Its parts: waiting for DNS, verifying, signing.", stage_seconds, 0},
	{"mailseal_sessions_total", "counter",
	 "Sessions with the MTA that were begun.", NULL, AT(n.sessions_begun)},
	{"mailseal_sessions", "gauge",
	 "Sessions with the MTA that are open.", NULL, AT(sessions)},
	{"mailseal_messages_in_flight", "gauge",
	 "Messages between MAIL and their end.", NULL, AT(in_flight)},

	{"mailseal_dns_answers_total", "counter",
	 "DNS questions of messages by their answer.", dns_answers, 0},
	{"mailseal_dns_cache_hits_total", "counter",
	 "Those that the cache answered.", NULL, AT(dns.cache_hits)},
	{"mailseal_dns_queries_total", "counter",
	 "Questions that were handed to the resolver.", NULL, AT(dns.sent)},
	{"mailseal_dns_timeouts_total", "counter",
	 "Questions without an answer in time.", NULL, AT(dns.timeouts)},
	{"mailseal_dns_refused_total", "counter",
	 "Questions that were not asked, in an outage or under load.",
	 NULL, AT(dns.refused)},
	{"mailseal_dns_outages_total", "counter",
	 "Times that every DNS server fell silent.", NULL, AT(dns.outages)},
	{"mailseal_dns_outage", "gauge",
	 "1 while no DNS server answers.", NULL, AT(outage)},
	{"mailseal_dns_waiters", "gauge",
	 "Sessions that wait for an answer.", NULL, AT(waiters)},
	{"mailseal_dns_cache_answers", "gauge",
	 "Answers in the cache.", NULL, AT(dns.cache_answers)},
	{"mailseal_dns_cache_bytes", "gauge",
	 "Memory that they take.", NULL, AT(dns.cache_bytes)},

	{"mailseal_keys", "gauge",
	 "Keys that configuration and key table name.", NULL, AT(keys_named)},
	{"mailseal_keys_loaded", "gauge",
	 "Keys in memory.", NULL, AT(keys_loaded)},
	{"mailseal_keys_unusable", "gauge",
	 "Keys that are to sign and cannot be loaded.",
	 NULL, AT(keys_unusable)},
	{"mailseal_key_active_since_timestamp_seconds", "gauge",
	 "Since when a key signs, if that is known; 1,000 keys at most.",
	 key_active_since, 0},
	{"mailseal_key_loads_total", "counter",
	 "Key files that were read.", NULL, AT(keys.loads)},
	{"mailseal_key_load_failures_total", "counter",
	 "Those that could not be used.", NULL, AT(keys.failures)},

	{"mailseal_journal_working", "gauge",
	 "1 when the journal can be written.", NULL, AT(journal_working)},
	{"mailseal_journal_written_total", "counter",
	 "Messages that were written to the journal.", NULL, AT(journal_written)},
	{"mailseal_journal_dropped_total", "counter",
	 "Messages that the journal has lost.", NULL, AT(journal_dropped)},
	{"mailseal_journal_queue", "gauge",
	 "Messages that are not written yet.", NULL, AT(journal_queue)},
	{"mailseal_limits_working", "gauge",
	 "1 when the counts of submission limits can be written.",
	 NULL, AT(limits_working)},

	{"mailseal_build_info", "gauge", "1, with the version.", build_info, 0},
	{"mailseal_config_info", "gauge",
	 "1, with the SHA-256 of the configuration in force.", config_info, 0},
	{"mailseal_log_lost_total", "counter",
	 "Lines of the log that nobody took.", NULL, AT(log_lost)},
	{"mailseal_config_reloads_total", "counter",
	 "Reloads since the start.", reloads, 0},
	{"mailseal_config_last_reload_successful", "gauge",
	 "1 unless the last reload failed.", NULL, AT(reload_ok)},
	{"mailseal_config_last_reload_timestamp_seconds", "gauge",
	 "When it was tried; without one the time of the start.",
	 NULL, AT(reload_time)},
	{"process_start_time_seconds", "gauge",
	 "When the process was started.", NULL, AT(start_time)},
	{"process_resident_memory_bytes", "gauge",
	 "Memory of the process.", NULL, AT(resident)},
	{"process_cpu_seconds_total", "counter",
	 "Time of processors that it used.", cpu, 0},
};
/* clang-format on */

/* ---- the whole ---- */

static void write_row(const struct writer *w)
{
	const struct row *r = w->row;
	uint64_t n;

	strbuf_printf(w->b, "# HELP %s %s\n# TYPE %s %s\n", r->name, r->help,
		      r->name, r->type);
	if (r->write != NULL) {
		r->write(w);
		return;
	}
	memcpy(&n, (const char *)w->v + r->at, sizeof(n));
	if (n != METRICS_NO_VALUE)
		add(w, NULL, NULL, NULL, NULL, n);
}

void metrics_write(struct strbuf *b, const struct metrics_facts *f)
{
	struct metrics_values v;

	metrics_values_get(&v, f);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		write_row(&(struct writer){b, &rows[i], &v});
}

static void complain(struct strbuf *b, bool bad, const char *what)
{
	if (bad)
		strbuf_printf(b, "%s%s", b->n > 0 ? "; " : "", what);
}

bool metrics_health(struct strbuf *b, const struct metrics_facts *f)
{
	const struct app *app = f->app;
	struct dns_counters dns;
	bool ok;

	dns_counters_get(app->env.dns, &dns);
	complain(b, f->stopping, "stopping");
	complain(b, dns.outage, "no DNS server answers");
	complain(b, app->journal != NULL && !journal_is_working(app->journal),
		 "the journal cannot be written");
	complain(b, app->meter != NULL && !meter_is_working(app->meter),
		 "the counts of submission limits cannot be written");
	ok = b->n == 0;
	strbuf_adds(b, ok ? "ok\n" : "\n");
	return ok;
}
