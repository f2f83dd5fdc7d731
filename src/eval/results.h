/*
 * What the methods found on one message: the only way in which they hear of
 * each other.  Later methods (ARC) add a member here.
 */
#ifndef MAILSEAL_EVAL_RESULTS_H
#define MAILSEAL_EVAL_RESULTS_H

#include "arc/arc.h"
#include "dkim/dkim.h"
#include "dmarc/dmarc.h"
#include "iprev/iprev.h"
#include "mail/addr.h"
#include "spf/spf.h"

struct results {
	struct iprev_result iprev;
	struct spf_result spf_helo; /* not checked: has a reason */
	struct spf_result spf_mailfrom;
	struct dkim_results dkim;
	struct arc_result arc;
	struct ip arc_client; /* from whom it came: smtp.remote-ip */
	struct addr_authors authors;
	struct dmarc_result dmarc;
	const char *dmarc_explanation; /* one line, printable ASCII */
	const char *second_opinion;    /* how libopendmarc differs, or NULL */
	unsigned dns_queries;
	int64_t dns_us; /* waited */
};

#endif
