/*
 * Lists of hosts become networks.  opendkim looks for the most precise entry,
 * and "!" makes it an exclusion; our networks have none, so that a network is
 * divided until what is excluded is no part of it.
 */
#include "cmd/import.h"

#include <string.h>

#define NETS_MAX      10000
#define EXCLUSION_MAX 100 /* of one list */

static bool within(const struct ip_net *inner, const struct ip_net *outer)
{
	return inner->bits >= outer->bits && ip_net_has(outer, &inner->addr);
}

static void add_net(struct ip_nets *to, const struct ip_net *net)
{
	for (size_t i = 0; i < to->n; i++)
		if (to->v[i].bits == net->bits && within(net, &to->v[i]))
			return;
	if (to->n < NETS_MAX)
		to->v[to->n++] = *net;
}

static struct ip_net half_of(const struct ip_net *net, bool upper)
{
	struct ip_net half = *net;

	if (upper)
		half.addr.b[net->bits / 8] |=
			(uint8_t)(0x80 >> (net->bits % 8));
	half.bits++;
	return half;
}

/* Adds `net` without what is in `out`; at most 128 deep. */
static void add_without(struct ip_nets *to, const struct ip_net *net,
			const struct ip_nets *out)
{
	bool inside = false;
	struct ip_net half;

	for (size_t i = 0; i < out->n; i++) {
		if (within(net, &out->v[i]))
			return;
		inside = inside || within(&out->v[i], net);
	}
	if (!inside) {
		add_net(to, net);
		return;
	}
	half = half_of(net, false);
	add_without(to, &half, out);
	half = half_of(net, true);
	add_without(to, &half, out);
}

/* The exclusions that are more precise than `net`. */
static struct ip_nets exclusions_in(struct import *im, const struct ip_net *net,
				    const struct ip_nets *all)
{
	struct ip_nets ret = {0,
			      arena_array(im->arena, all->n, sizeof(*ret.v))};

	for (size_t i = 0; i < all->n; i++)
		if (within(&all->v[i], net))
			ret.v[ret.n++] = all->v[i];
	return ret;
}

/* Without the brackets in which an address may stand. */
static struct slice without_brackets(struct import *im, struct slice s)
{
	struct strbuf b;

	if (s.n == 0 || s.p[0] != '[')
		return s;
	strbuf_init(&b, im->arena, s.n + 1);
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '[' && s.p[i] != ']')
			strbuf_addc(&b, s.p[i]);
	return strbuf_slice(&b);
}

static bool looks_like_address(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_isdigit(s.p[i]) && strchr(".:/[]", s.p[i]) == NULL)
			return slice_chr(s, ':') >= 0;
	return true;
}

static void tell_useless(struct import *im, const struct import_item *i,
			 struct slice s)
{
	const char *shown = import_shown(im, i->key);

	if (slice_chr(s, '*') >= 0)
		import_tell_row(im, i->at,
				"\"%s\" is a pattern; add the network that it "
				"means",
				shown);
	else if (looks_like_address(s))
		import_tell_row(im, i->at,
				"\"%s\" is no network in its usual form, and "
				"no host matches it there either; write it "
				"like 192.0.2.0/24",
				shown);
	else
		import_tell_row(im, i->at,
				"\"%s\" is a name, which whoever has the "
				"address may choose; add addresses",
				shown);
}

static void add_item(struct import *im, const struct import_item *i,
		     struct ip_nets *in, struct ip_nets *out)
{
	struct slice s = slice_of(i->key);
	bool excluded = slice_starts(s, "!");
	struct ip_net net;

	s = without_brackets(im, slice_from(s, excluded ? 1 : 0));
	if (slice_is_ci(s, "localhost")) {
		if (excluded || !ip_net_parse(SLICE("127.0.0.1"), &net))
			return;
		add_net(in, &net);
		if (ip_net_parse(SLICE("::1"), &net))
			add_net(in, &net);
	} else if (!ip_net_parse(s, &net)) {
		tell_useless(im, i, s);
	} else if (!excluded) {
		add_net(in, &net);
	} else if (out->n < EXCLUSION_MAX) {
		out->v[out->n++] = net;
	} else {
		import_refuse(im, i->at,
			      "more than %d exclusions; give "
			      "networks without them",
			      EXCLUSION_MAX);
	}
}

struct ip_nets import_nets(struct import *im, const struct import_dataset *d)
{
	struct ip_nets in, out, ret;

	in = out = ret = (struct ip_nets){0};
	/* "localhost" gives two */
	in.v = arena_array(im->arena, d->n < NETS_MAX / 2 ? 2 * d->n : NETS_MAX,
			   sizeof(*in.v));
	out.v = arena_array(im->arena, EXCLUSION_MAX, sizeof(*out.v));
	for (size_t i = 0; i < d->n && im->mistake.text == NULL; i++) {
		add_item(im, &d->v[i], &in, &out);
		if (in.n == NETS_MAX)
			import_refuse(im, d->v[i].at,
				      "%d networks or more; give fewer",
				      NETS_MAX);
	}
	ret.v = arena_array(im->arena, out.n == 0 ? in.n : NETS_MAX,
			    sizeof(*ret.v));
	for (size_t i = 0; i < in.n && im->mistake.text == NULL; i++) {
		struct ip_nets not = exclusions_in(im, &in.v[i], &out);

		add_without(&ret, &in.v[i], &not );
		if (ret.n == NETS_MAX)
			import_refuse(im, d->v[0].at,
				      "its exclusions make %d networks or "
				      "more; give fewer",
				      NETS_MAX);
	}
	return ret;
}

const char *import_nets_text(struct import *im, const struct ip_nets *nets)
{
	struct strbuf b;
	char text[IP_TEXT_MAX];

	strbuf_init(&b, im->arena, NETS_MAX * (IP_TEXT_MAX + 10UL));
	strbuf_addc(&b, '[');
	for (size_t i = 0; i < nets->n; i++) {
		const struct ip_net *n = &nets->v[i];

		strbuf_printf(&b, "%s%s\"%s", i == 0 ? " " : ",",
			      i > 0 && i % 4 == 0 ? "\n\t\t"
			      : i > 0		  ? " "
						  : "",
			      ip_format(&n->addr, text));
		if (n->bits < (n->addr.family == IP_V4 ? 32U : 128U))
			strbuf_printf(&b, "/%u", n->bits);
		strbuf_addc(&b, '"');
	}
	strbuf_adds(&b, " ]");
	return strbuf_cstr(&b);
}
