/*
 * The name below which the PTR records of an address stand.  Pure: it asks
 * nothing.
 */
#include "dns/dns.h"

const char *dns_reverse_name(struct arena *a, const struct ip *ip)
{
	struct strbuf b;

	/* RFC 1035 3.5 */
	if (ip->family == IP_V4)
		return arena_printf(a, "%u.%u.%u.%u.in-addr.arpa", ip->b[3],
				    ip->b[2], ip->b[1], ip->b[0]);
	/* RFC 3596 2.5: nibbles, the last one first */
	strbuf_init(&b, a, 128);
	for (unsigned i = 16; i-- > 0;)
		strbuf_printf(&b, "%x.%x.", ip->b[i] & 15U,
			      (unsigned)ip->b[i] >> 4);
	strbuf_adds(&b, "ip6.arpa");
	return strbuf_cstr(&b);
}
