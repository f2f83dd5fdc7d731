/*
 * IP addresses and networks as values.  IPv4-mapped IPv6 addresses are IPv4
 * (RFC 7208 5: "MUST be treated as" IPv4).
 */
#ifndef MAILSEAL_BASE_IP_H
#define MAILSEAL_BASE_IP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum ip_family {
	IP_NONE, /* no address: local submission or unknown */
	IP_V4,
	IP_V6,
};

struct ip {
	enum ip_family family;
	uint8_t b[16]; /* network order; IPv4 in the first 4 */
};

struct ip_net {
	struct ip addr;
	unsigned bits; /* 0-32 or 0-128 */
};

struct ip_nets {
	size_t n;
	struct ip_net *v;
};

#define IP_TEXT_MAX 46

/* Dotted quad or RFC 4291 text; also Sendmail's "IPv6:" prefix.  False when
 * malformed; *ret is then untouched. */
bool ip_parse(struct slice s, struct ip *ret);
/* From 4 or 16 bytes in network order; mapped addresses become IPv4. */
struct ip ip_from_bytes(const void *p, unsigned n);
/* Canonical text (RFC 5952) into `buf`; "" for IP_NONE.  Returns buf. */
const char *ip_format(const struct ip *ip, char buf[IP_TEXT_MAX]);
bool ip_equal(const struct ip *a, const struct ip *b);
/* 127.0.0.0/8 (RFC 1122 3.2.1.3) or ::1. */
bool ip_is_loopback(const struct ip *ip);
/* "10.0.0.0/8", "::1", "2001:db8::/32"; host bits must be zero. */
bool ip_net_parse(struct slice s, struct ip_net *ret);
bool ip_net_has(const struct ip_net *net, const struct ip *ip);
/* Has one of them it? */
bool ip_nets_have(const struct ip_nets *nets, const struct ip *ip);
/* Do the first `bits` bits agree (same family)? */
bool ip_prefix_equal(const struct ip *a, const struct ip *b, unsigned bits);

#endif
