/*
 * The look-ups of iprev: names of the address, then addresses of each name,
 * until one confirms.  How many is bounded; what the client publishes cannot
 * make more of it.
 */
#include "iprev/iprev.h"

#include <string.h>

#include "mail/domain.h"

/* RFC 8601 3: "SHOULD impose a limit", as RFC 7208 4.6.4 does for ptr. */
#define MAX_NAMES 10

/* An IPv4-mapped address is an IPv4 address: reverse name and type by it. */
static struct ip real_address(const struct ip *client)
{
	return client->family == IP_V6 ? ip_from_bytes(client->b, 16) : *client;
}

static bool has_address(const struct dns_answer *r, const struct ip *ip)
{
	size_t n = ip->family == IP_V6 ? 16 : 4;

	for (size_t i = 0; i < r->n; i++)
		if (r->rr[i].data.n == n &&
		    memcmp(r->rr[i].data.p, ip->b, n) == 0)
			return true;
	return false;
}

static void set(struct iprev_result *ret, enum iprev_status status,
		const char *reason)
{
	ret->status = status;
	ret->reason = reason;
}

/* One name that confirms decides; a name that could not be looked up might
 * have been the one, so then it is no "fail". */
static void check_names(struct arena *a, struct dns_budget *b,
			const struct ip *ip, const struct dns_answer *names,
			struct iprev_result *ret)
{
	enum dns_type type = ip->family == IP_V6 ? DNS_AAAA : DNS_A;

	set(ret, IPREV_STATUS_FAIL, "no name leads back to the address");
	for (size_t i = 0; i < names->n && i < MAX_NAMES; i++) {
		const char *name = names->rr[i].data.p;
		const struct dns_answer *r = dns_ask(b, name, type);

		if (r->status == DNS_TEMPFAIL) {
			set(ret, IPREV_STATUS_TEMPERROR, r->reason);
		} else if (has_address(r, ip)) {
			set(ret, IPREV_STATUS_PASS, NULL);
			ret->name = arena_strdup(a, name);
			return;
		}
	}
}

static void look_up(struct arena *a, struct dns_budget *b, const struct ip *ip,
		    struct iprev_result *ret)
{
	const struct dns_answer *r =
		dns_ask(b, dns_reverse_name(a, ip), DNS_PTR);

	switch (r->status) {
	case DNS_FOUND:
		check_names(a, b, ip, r, ret);
		break;
	case DNS_NODATA: /* RFC 8601 2.7.3: "no PTR data are published" */
	case DNS_NXDOMAIN:
		set(ret, IPREV_STATUS_PERMERROR, "no name for the address");
		break;
	case DNS_TEMPFAIL:
		set(ret, IPREV_STATUS_TEMPERROR, r->reason);
		break;
	}
}

void iprev_check(struct arena *a, struct dns_budget *b, const struct ip *client,
		 struct slice confirmed, struct iprev_result *ret)
{
	struct ip ip = real_address(client);

	*ret = (struct iprev_result){.checked = ip.family != IP_NONE,
				     .client = ip};
	if (!ret->checked)
		return;
	if (confirmed.n > 0)
		ret->name = domain_canon(a, confirmed);
	if (ret->name == NULL)
		look_up(a, b, &ip, ret);
}

void iprev_prefetch(struct arena *a, struct dns_budget *b,
		    const struct ip *client, struct slice confirmed)
{
	struct ip ip = real_address(client);

	if (ip.family == IP_NONE ||
	    (confirmed.n > 0 && domain_canon(a, confirmed) != NULL))
		return;
	dns_prefetch(b, dns_reverse_name(a, &ip), DNS_PTR);
}

const char *iprev_status_name(enum iprev_status s)
{
	switch (s) {
	case IPREV_STATUS_PASS:
		return "pass";
	case IPREV_STATUS_FAIL:
		return "fail";
	case IPREV_STATUS_TEMPERROR:
		return "temperror";
	case IPREV_STATUS_PERMERROR:
		break;
	}
	return "permerror";
}
