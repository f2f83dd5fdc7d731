/* Addresses are numbers: a name may lead elsewhere tomorrow. */
#include "base/endpoint.h"

/* Cuts "addr" or "[addr]" off. */
static struct slice cut_address(struct slice *s)
{
	struct slice addr;

	if (!slice_starts(*s, "["))
		return slice_cut(s, ':');
	addr = slice_cut(s, ']');
	if (!slice_starts(*s, ":"))
		return SLICE("");
	*s = slice_from(*s, 1);
	return slice_from(addr, 1);
}

static bool parse_port(struct slice s, struct endpoint *ret)
{
	bool bracket = slice_starts(s, "[");
	struct slice addr = cut_address(&s);
	uint64_t port;

	if (!ip_parse(addr, &ret->addr) || !ip_is_loopback(&ret->addr) ||
	    bracket != (ret->addr.family == IP_V6) || s.p == NULL ||
	    !slice_u64(s, 65535, &port) || port == 0)
		return false;
	ret->port = (uint16_t)port;
	return true;
}

bool endpoint_parse(const char *text, struct endpoint *ret)
{
	struct slice s = slice_of(text);
	struct endpoint e = {0};

	if (slice_starts(s, "unix:/") && s.n > 6)
		e.path = text + 5;
	else if (!parse_port(s, &e))
		return false;
	*ret = e;
	return true;
}
