/* What the daemon has done, in a few lines of the log before it ends. */
#include "cmd/closing.h"

#include <inttypes.h>

#include "base/log.h"

static void log_dns(struct app *app)
{
	struct dns_counters n;

	dns_counters_get(app->env.dns, &n);
	log_stop("dns: asked=%" PRIu64 " cached=%" PRIu64 " sent=%" PRIu64
		 " timeouts=%" PRIu64 " found=%" PRIu64 " nodata=%" PRIu64
		 " nxdomain=%" PRIu64 " tempfail=%" PRIu64 " refused=%" PRIu64
		 " outages=%" PRIu64,
		 n.asked, n.cache_hits, n.sent, n.timeouts,
		 n.by_status[DNS_FOUND], n.by_status[DNS_NODATA],
		 n.by_status[DNS_NXDOMAIN], n.by_status[DNS_TEMPFAIL],
		 n.refused, n.outages);
}

static void log_keys(struct app *app)
{
	struct keyring_counters n;

	keyring_counters_get(app->keyring, &n);
	log_stop("keys: loaded=%zu loads=%" PRIu64 " failures=%" PRIu64,
		 n.loaded, n.loads, n.failures);
}

static void log_dmarc(const struct app *app)
{
	struct tally_counters n;

	tally_get(app->tally, &n);
	log_stop("dmarc: pass=%" PRIu64 " fail=%" PRIu64 " none=%" PRIu64
		 " temperror=%" PRIu64 " permerror=%" PRIu64
		 " would-quarantine=%" PRIu64 " would-reject=%" PRIu64
		 " quarantined=%" PRIu64 " rejected=%" PRIu64,
		 n.dmarc[DMARC_STATUS_PASS], n.dmarc[DMARC_STATUS_FAIL],
		 n.dmarc[DMARC_STATUS_NONE], n.dmarc[DMARC_STATUS_TEMPERROR],
		 n.dmarc[DMARC_STATUS_PERMERROR],
		 n.would_be[DMARC_P_QUARANTINE], n.would_be[DMARC_P_REJECT],
		 n.done[DMARC_P_QUARANTINE], n.done[DMARC_P_REJECT]);
}

static void log_submission(const struct app *app)
{
	struct tally_counters n;

	tally_get(app->tally, &n);
	log_stop("submission: owned=%" PRIu64 " not-owned=%" PRIu64
		 " weak-login=%" PRIu64 " refused-credential=%" PRIu64
		 " over-limit=%" PRIu64 " weak-tls=%" PRIu64,
		 n.gate_ok[TALLY_GATE_SENDER], n.gate_fault[TALLY_GATE_SENDER],
		 n.gate_fault[TALLY_GATE_LOGIN],
		 n.gate_fault[TALLY_GATE_CREDENTIAL],
		 n.gate_fault[TALLY_GATE_LIMIT], n.gate_fault[TALLY_GATE_TLS]);
}

static void log_preflight(void *arg, const struct preflight_count *c)
{
	struct arena *a = arena_new();
	struct strbuf b;

	(void)arg;
	strbuf_init(&b, a, 1024);
	for (size_t i = 0; i < PREFLIGHT_RULES; i++)
		strbuf_printf(&b, " %s=%" PRIu64,
			      preflight_rule_name((enum preflight_rule)i),
			      c->bad[i]);
	log_stop("preflight: %s checked=%" PRIu64 " unknown=%" PRIu64 "%s",
		 c->domain, c->checked, c->unknown, strbuf_cstr(&b));
	arena_free(a);
}

static void log_journal(const struct app *app)
{
	struct journal_counters n;

	if (app->journal == NULL)
		return;
	journal_counters_get(app->journal, &n);
	log_stop("journal: written=%" PRIu64 " dropped=%" PRIu64, n.written,
		 n.dropped);
}

void closing_log(struct app_place *place)
{
	struct app *app = app_get(place);

	log_dns(app);
	log_keys(app);
	log_dmarc(app);
	log_submission(app);
	preflight_tally_each(tally_preflight(app->tally), log_preflight, NULL);
	log_journal(app);
	app_unref(app);
}
