/*
 * IP addresses and networks as values: text, bytes, prefixes.
 *
 * IPv4-mapped IPv6 addresses (RFC 4291 2.5.5.2) are IPv4 from the start, in
 * networks too (RFC 7208 5).  Text is RFC 4291 2.2 in, RFC 5952 out.  Pure;
 * nothing here resolves names.
 */
#include "base/ip.h"

#include <arpa/inet.h>
#include <string.h>

static unsigned family_bits(enum ip_family family)
{
	switch (family) {
	case IP_V4:
		return 32;
	case IP_V6:
		return 128;
	case IP_NONE:
		break;
	}
	return 0;
}

struct ip ip_from_bytes(const void *p, unsigned n)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct ip ip = {.family = IP_NONE};

	if (n == 4) {
		ip.family = IP_V4;
		memcpy(ip.b, p, 4);
	} else if (n == 16 && memcmp(p, mapped, sizeof(mapped)) == 0) {
		ip.family = IP_V4;
		memcpy(ip.b, (const uint8_t *)p + sizeof(mapped), 4);
	} else if (n == 16) {
		ip.family = IP_V6;
		memcpy(ip.b, p, 16);
	}
	return ip;
}

/* `*ret_wide`: was it written as IPv6 (before a mapped one became IPv4)? */
static bool parse_text(struct slice s, struct ip *ret, bool *ret_wide)
{
	char text[IP_TEXT_MAX];
	uint8_t b[16];
	bool tagged = slice_starts_ci(s, "IPv6:");
	bool wide;

	if (tagged)
		s = slice_from(s, 5);
	wide = slice_chr(s, ':') >= 0;
	if (s.n == 0 || s.n >= sizeof(text) || slice_chr(s, '\0') >= 0 ||
	    (tagged && !wide))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(wide ? AF_INET6 : AF_INET, text, b) != 1)
		return false;
	*ret = ip_from_bytes(b, wide ? 16 : 4);
	*ret_wide = wide;
	return true;
}

bool ip_parse(struct slice s, struct ip *ret)
{
	bool wide;

	return parse_text(s, ret, &wide);
}

const char *ip_format(const struct ip *ip, char buf[IP_TEXT_MAX])
{
	int af = ip->family == IP_V4 ? AF_INET : AF_INET6;

	buf[0] = '\0';
	if (ip->family != IP_NONE)
		inet_ntop(af, ip->b, buf, IP_TEXT_MAX);
	return buf;
}

bool ip_prefix_equal(const struct ip *a, const struct ip *b, unsigned bits)
{
	unsigned max = family_bits(a->family);
	unsigned bytes, rest;

	if (a->family != b->family || a->family == IP_NONE)
		return false;
	if (bits > max)
		bits = max;
	bytes = bits / 8;
	rest = bits % 8;
	if (memcmp(a->b, b->b, bytes) != 0)
		return false;
	return rest == 0 || ((a->b[bytes] ^ b->b[bytes]) >> (8 - rest)) == 0;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	if (a->family == IP_NONE)
		return b->family == IP_NONE;
	return ip_prefix_equal(a, b, 128);
}

static bool host_bits_zero(const struct ip_net *net)
{
	unsigned max = family_bits(net->addr.family);

	for (unsigned i = net->bits; i < max; i++)
		if ((net->addr.b[i / 8] >> (7 - i % 8)) & 1)
			return false;
	return true;
}

bool ip_net_parse(struct slice s, struct ip_net *ret)
{
	struct slice addr = slice_cut(&s, '/');
	struct ip_net net;
	uint64_t bits, max;
	bool wide;

	if (!parse_text(addr, &net.addr, &wide))
		return false;
	max = wide ? 128 : 32;
	bits = max;
	if (s.p != NULL && !slice_u64(s, max, &bits))
		return false;
	if (wide && net.addr.family == IP_V4) {
		/* A shorter prefix would cover the bits ::ffff: itself. */
		if (bits < 96)
			return false;
		bits -= 96;
	}
	net.bits = (unsigned)bits;
	if (!host_bits_zero(&net))
		return false;
	*ret = net;
	return true;
}

bool ip_net_has(const struct ip_net *net, const struct ip *ip)
{
	return ip_prefix_equal(&net->addr, ip, net->bits);
}

bool ip_nets_have(const struct ip_nets *nets, const struct ip *ip)
{
	for (size_t i = 0; i < nets->n; i++)
		if (ip_net_has(&nets->v[i], ip))
			return true;
	return false;
}

bool ip_is_loopback(const struct ip *ip)
{
	static const struct ip six = {IP_V6, {[15] = 1}};

	return ip->family == IP_V4 ? ip->b[0] == 127 : ip_equal(ip, &six);
}
