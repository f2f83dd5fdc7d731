/*
 * decide: facts and results in, a verdict out.  Pure.
 *
 * Monitoring only: nothing inbound is rejected or held.  Direction: the
 * listener first, then the login, then the client's network; mail from
 * loopback is not outbound by itself, since content filters re-inject inbound
 * mail from there.
 */
#include "eval/eval.h"

void policy_decide(const struct results *r, struct verdict *ret)
{
	*ret = (struct verdict){
		.action = VERDICT_ACCEPT,
		.disposition = DMARC_P_NONE,
		.would_be = r->dmarc.status == DMARC_STATUS_FAIL
				    ? r->dmarc.policy
				    : DMARC_P_NONE,
	};
}

enum mail_direction policy_direction(int forced, const struct ip_net *sign,
				     size_t nsign,
				     const struct client_facts *client,
				     const struct envelope_facts *envelope,
				     const char **why)
{
	if (forced >= 0) {
		*why = "listener";
		return (enum mail_direction)forced;
	}
	if (envelope->login.n > 0) {
		*why = "login";
		return MAIL_OUTBOUND;
	}
	if (client->local) {
		*why = "local-submission";
		return MAIL_OUTBOUND;
	}
	for (size_t i = 0; i < nsign; i++) {
		if (ip_net_has(&sign[i], &client->addr)) {
			*why = "networks.sign";
			return MAIL_OUTBOUND;
		}
	}
	*why = "default";
	return MAIL_INBOUND;
}

const char *policy_signing_domain(const struct addr_authors *authors,
				  const char **why)
{
	if (authors->malformed) {
		*why = authors->reason;
		return NULL;
	}
	if (authors->ndomains == 0) {
		*why = "no author domain";
		return NULL;
	}
	if (authors->ndomains > 1) {
		*why = "authors of several domains";
		return NULL;
	}
	*why = NULL;
	return authors->domains[0];
}
