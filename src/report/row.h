/*
 * The one record that a message leaves: every field that a DMARC aggregate
 * report needs (RFC 9990 3.1; AG-2 to AG-5 in the order of its schema).
 *
 * A value in the message's arena; the store copies what it keeps.  It never
 * changes a verdict.
 */
#ifndef MAILSEAL_REPORT_ROW_H
#define MAILSEAL_REPORT_ROW_H

#include "eval/eval.h"

/* RFC 9990 3.1.1.9: policy_evaluated/reason/type. */
enum row_override {
	ROW_OVERRIDE_NONE,
	ROW_OVERRIDE_LOCAL_POLICY,
	ROW_OVERRIDE_MAILING_LIST,
	ROW_OVERRIDE_OTHER,
	ROW_OVERRIDE_TEST_MODE,
	ROW_OVERRIDE_TRUSTED_FORWARDER,
};

/* policy_evaluated/disposition; "pass" is new in RFC 9990. */
enum row_disposition {
	ROW_DISPOSITION_NONE,
	ROW_DISPOSITION_PASS,
	ROW_DISPOSITION_QUARANTINE,
	ROW_DISPOSITION_REJECT,
};

struct row_dkim {
	const char *domain;
	const char *selector; /* required by RFC 9990 */
	enum dkim_status result;
	const char *human_result; /* constant, or NULL */
};

/* RFC 9990 3.1.3: at most 100 entries, aligned passes first. */
#define ROW_DKIM_MAX 100

struct row {
	int64_t time; /* seconds since 1970 UTC: falls into date_range */

	/* policy_published; policy_domain NULL: no record, nothing to report */
	const char *policy_domain;
	bool tree_walk; /* discovery_method: treewalk or psl */
	enum dmarc_policy p, sp, np;
	struct slice fo;
	bool adkim_strict, aspf_strict, testing;
	struct slice rua; /* where the report goes */

	/* row */
	struct ip source_ip;
	enum row_disposition disposition;
	bool dkim_aligned; /* policy_evaluated/dkim, even when overridden */
	bool spf_aligned;
	enum row_override override;
	const char *override_comment; /* printable ASCII, or NULL */

	/* identifiers */
	const char *header_from;
	const char *envelope_from; /* "" for the null path; NULL unknown */

	/* auth_results */
	size_t ndkim;
	struct row_dkim *dkim;
	const char *spf_domain; /* scope is mfrom */
	enum spf_status spf;
};

/* Builds the row of an inbound message from what was found and decided. */
void row_from_results(struct arena *a, int64_t now,
		      const struct client_facts *client,
		      const struct envelope_facts *envelope,
		      const struct results *r, const struct verdict *v,
		      struct row *ret);

#endif
