/*
 * Answers as shared values, and how they are read from a DNS message.
 *
 * An answer is one heap block: the reference count, the public struct, the
 * records and their bytes.  It never changes after it was made, so threads
 * share it without a lock; only the count is atomic.
 *
 * The reader trusts nothing in the packet: each offset is checked, a
 * compression pointer must point backwards, a name stays within 255 octets.
 * What does not parse is a temporary failure, not an empty answer.
 *
 * RFC 1035 (messages), RFC 2308 (negative TTLs), RFC 3596 (AAAA).
 */
#include "dns/resolver.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define CLASS_IN   1
#define TYPE_CNAME 5
#define TYPE_SOA   6

#define RCODE_NOERROR  0
#define RCODE_FORMERR  1
#define RCODE_SERVFAIL 2
#define RCODE_NXDOMAIN 3
#define RCODE_REFUSED  5

#define TTL_UNKNOWN UINT32_MAX

const char dns_reason_timeout[] = "time-out";
const char dns_reason_outage[] = "DNS servers do not answer";
const char dns_reason_waiting[] = "too many sessions wait for the DNS";
const char dns_reason_pending[] = "too many DNS questions at once";
static const char reason_malformed[] = "malformed DNS answer";

struct block {
	atomic_uint refs;
	size_t size;
	struct dns_answer pub;
};

static struct block *block_of(const struct dns_answer *a)
{
	return unconst((const char *)a - offsetof(struct block, pub));
}

static struct block *block_new(size_t extra)
{
	struct block *b = mem_alloc(sizeof(*b) + extra);

	atomic_init(&b->refs, 1);
	b->size = sizeof(*b) + extra;
	return b;
}

const struct dns_answer *dns_answer_ref(const struct dns_answer *a)
{
	atomic_fetch_add_explicit(&block_of(a)->refs, 1, memory_order_relaxed);
	return a;
}

void dns_answer_unref(const struct dns_answer *a)
{
	struct block *b;

	if (a == NULL)
		return;
	b = block_of(a);
	if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		free(b);
}

size_t dns_answer_size(const struct dns_answer *a)
{
	return block_of(a)->size;
}

const struct dns_answer *dns_answer_fail(const char *reason)
{
	struct block *b = block_new(0);

	b->pub.status = DNS_TEMPFAIL;
	b->pub.reason = reason;
	return &b->pub;
}

const struct dns_answer *dns_answer_none(enum dns_status status,
					 enum dns_security security,
					 uint32_t ttl)
{
	struct block *b = block_new(0);

	b->pub.status = status;
	b->pub.security = security;
	b->pub.ttl = ttl;
	return &b->pub;
}

/* ---- drafts ---- */

static void *grow(void *p, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return p;
	*cap = need < 16 ? 16 : need * 2;
	return mem_realloc(p, *cap * size);
}

void dns_draft_add(struct dns_draft *d, struct slice data, uint16_t preference)
{
	size_t end = d->nbytes + data.n + 1;

	d->rr = grow(d->rr, &d->cap, d->n + 1, sizeof(*d->rr));
	d->bytes = grow(d->bytes, &d->bytes_cap, end, 1);
	d->rr[d->n++] = (struct dns_draft_record){
		.at = d->nbytes, .n = data.n, .preference = preference};
	if (data.n > 0)
		memcpy(d->bytes + d->nbytes, data.p, data.n);
	d->bytes[end - 1] = '\0';
	d->nbytes = end;
}

void dns_draft_done(struct dns_draft *d)
{
	free(d->rr);
	free(d->bytes);
	*d = (struct dns_draft){0};
}

const struct dns_answer *
dns_draft_finish(struct dns_draft *d, enum dns_security security, uint32_t ttl)
{
	size_t table = d->n * sizeof(struct dns_record);
	struct block *b = block_new(table + d->nbytes);
	struct dns_record *rr = (struct dns_record *)(b + 1);
	char *bytes = (char *)(rr + d->n);
	size_t i;

	if (d->nbytes > 0)
		memcpy(bytes, d->bytes, d->nbytes);
	for (i = 0; i < d->n; i++)
		rr[i] = (struct dns_record){
			.data = {bytes + d->rr[i].at, d->rr[i].n},
			.preference = d->rr[i].preference};
	b->pub = (struct dns_answer){.status = DNS_FOUND,
				     .security = security,
				     .ttl = ttl,
				     .n = d->n,
				     .rr = rr};
	dns_draft_done(d);
	return &b->pub;
}

/* ---- questions and names ---- */

bool dns_question_init(struct dns_question *q, struct slice name,
		       enum dns_type type)
{
	size_t i, label = 0;

	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	if (name.n == 0 || name.n > DNS_NAME_TEXT_MAX)
		return false;
	for (i = 0; i < name.n; i++) {
		if (name.p[i] == '\0')
			return false;
		if (name.p[i] != '.') {
			if (++label > DNS_LABEL_MAX)
				return false;
		} else if (label == 0) {
			return false;
		} else {
			label = 0;
		}
		q->name[i] = ascii_lower(name.p[i]);
	}
	q->name[name.n] = '\0';
	q->type = type;
	return label > 0;
}

bool dns_question_eq(const struct dns_question *a, const struct dns_question *b)
{
	return a->type == b->type && strcmp(a->name, b->name) == 0;
}

void dns_hash_key_init(struct dns_hash_key *key)
{
	random_fill(key, sizeof(*key));
}

static uint64_t hash_mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t dns_hash(const struct dns_hash_key *key, const char *name,
		  enum dns_type type)
{
	size_t n = strlen(name), i;
	uint64_t h = key->k[0] ^ hash_mix(n ^ key->k[1], (uint64_t)type + 1);

	for (i = 0; i < n; i += 8) {
		uint64_t word = 0;
		memcpy(&word, name + i, n - i < 8 ? n - i : 8);
		h = hash_mix(h ^ word, key->k[1] | 1) ^ key->k[0];
	}
	return hash_mix(h, key->k[0] | 1);
}

bool dns_name_canon(struct slice name, char ret[DNS_NAME_TEXT_MAX + 1])
{
	struct dns_question q;
	const char *p;

	if (!dns_question_init(&q, name, DNS_A))
		return false;
	for (p = q.name; *p != '\0'; p++)
		if (!ascii_isalnum(*p) && *p != '-' && *p != '_' && *p != '.')
			return false;
	memcpy(ret, q.name, sizeof(q.name));
	return true;
}

/* ---- the message reader ---- */

struct reader {
	const unsigned char *p;
	size_t n;
	size_t at;
	bool bad;
};

/* A name without compression, in lower case. */
struct wire_name {
	unsigned char b[DNS_NAME_WIRE_MAX];
	size_t n;
};

struct wire_rr {
	struct wire_name owner;
	unsigned type, class;
	uint32_t ttl;
	size_t at, n; /* the data, inside the packet */
};

static unsigned read_u16(struct reader *r)
{
	unsigned v;

	if (r->bad || r->n - r->at < 2) {
		r->bad = true;
		return 0;
	}
	v = (unsigned)r->p[r->at] << 8 | r->p[r->at + 1];
	r->at += 2;
	return v;
}

static uint32_t read_u32(struct reader *r)
{
	uint32_t hi = read_u16(r);
	return hi << 16 | read_u16(r);
}

/* One label, or the root, at `at`; 0 when it does not fit. */
static size_t name_take(struct wire_name *name, const struct reader *r,
			size_t at)
{
	size_t n = (size_t)r->p[at] + 1, i;

	if (n > r->n - at || n > sizeof(name->b) - name->n)
		return 0;
	name->b[name->n++] = r->p[at];
	for (i = 1; i < n; i++)
		name->b[name->n++] =
			(unsigned char)ascii_lower((char)r->p[at + i]);
	return n;
}

/* RFC 1035 4.1.4.  A pointer must lead to before the place where this run of
 * labels began, so the loop ends. */
static void read_name(struct reader *r, struct wire_name *name)
{
	size_t at = r->at, floor = r->at, after = 0, took;

	name->n = 0;
	while (!r->bad) {
		if (at >= r->n)
			break;
		if (r->p[at] >= 0xc0) {
			if (r->n - at < 2)
				break;
			if (after == 0)
				after = at + 2;
			at = (size_t)(r->p[at] & 0x3f) << 8 | r->p[at + 1];
			if (at >= floor)
				break;
			floor = at;
			continue;
		}
		took = r->p[at] > DNS_LABEL_MAX ? 0 : name_take(name, r, at);
		if (took == 0)
			break;
		at += took;
		if (took == 1) { /* the root */
			r->at = after != 0 ? after : at;
			return;
		}
	}
	r->bad = true;
}

static bool name_eq(const struct wire_name *a, const struct wire_name *b)
{
	return a->n == b->n && memcmp(a->b, b->b, a->n) == 0;
}

/* Is it the name of the question?  That is in lower case, too. */
static bool name_is(const struct wire_name *name, const char *text)
{
	size_t at = 0, left = strlen(text);

	while (at < name->n && name->b[at] != 0) {
		size_t len = name->b[at++];
		if (len > left || memcmp(text, name->b + at, len) != 0 ||
		    memchr(text, '.', len) != NULL)
			return false;
		at += len;
		text += len;
		left -= len;
		if (left == 0 || *text != '.')
			continue;
		text++;
		left--;
	}
	return left == 0;
}

/* As text; false when it is no canonical domain (a dot inside a label, the
 * root, other characters). */
static bool name_text(const struct wire_name *name,
		      char ret[DNS_NAME_TEXT_MAX + 1])
{
	char text[DNS_NAME_WIRE_MAX];
	size_t at = 0, n = 0;

	while (at < name->n && name->b[at] != 0) {
		size_t len = name->b[at++];
		if (memchr(name->b + at, '.', len) != NULL)
			return false;
		memcpy(text + n, name->b + at, len);
		n += len;
		text[n++] = '.';
		at += len;
	}
	return n > 0 && dns_name_canon((struct slice){text, n - 1}, ret);
}

static bool read_rr(struct reader *r, struct wire_rr *rr)
{
	read_name(r, &rr->owner);
	rr->type = read_u16(r);
	rr->class = read_u16(r);
	rr->ttl = read_u32(r);
	if (rr->ttl > INT32_MAX) /* RFC 2181 8 */
		rr->ttl = 0;
	rr->n = read_u16(r);
	rr->at = r->at;
	if (r->bad || rr->n > r->n - r->at) {
		r->bad = true;
		return false;
	}
	r->at += rr->n;
	return true;
}

/* The name that fills the data from `skip` on. */
static bool rdata_name(const struct reader *r, const struct wire_rr *rr,
		       size_t skip, struct wire_name *ret)
{
	struct reader in = {.p = r->p, .n = rr->at + rr->n};

	if (rr->n <= skip)
		return false;
	in.at = rr->at + skip;
	read_name(&in, ret);
	return !in.bad && in.at == in.n;
}

static bool add_txt(struct dns_draft *d, const struct reader *r,
		    const struct wire_rr *rr)
{
	char joined[DNS_DATA_MAX];
	size_t n = 0, at = rr->at, end = rr->at + rr->n;

	if (rr->n == 0) /* RFC 1035 3.3.14: one or more strings */
		return false;
	while (at < end) {
		size_t len = r->p[at++];
		if (len > end - at)
			return false;
		memcpy(joined + n, r->p + at, len);
		n += len;
		at += len;
	}
	dns_draft_add(d, (struct slice){joined, n}, 0);
	return true;
}

static bool add_name(struct dns_draft *d, const struct reader *r,
		     const struct wire_rr *rr, bool preference)
{
	size_t skip = preference ? 2 : 0;
	struct wire_name name;
	char text[DNS_NAME_TEXT_MAX + 1];
	unsigned pref = 0;

	if (!rdata_name(r, rr, skip, &name))
		return false;
	if (preference)
		pref = (unsigned)r->p[rr->at] << 8 | r->p[rr->at + 1];
	/* No host can have another name: the record counts for nothing. */
	if (name_text(&name, text))
		dns_draft_add(d, slice_of(text), (uint16_t)pref);
	return true;
}

static bool add_record(struct dns_draft *d, const struct reader *r,
		       const struct wire_rr *rr)
{
	struct slice raw = {(const char *)r->p + rr->at, rr->n};

	switch ((enum dns_type)rr->type) {
	case DNS_A:
	case DNS_AAAA:
		if (rr->n != (rr->type == DNS_A ? 4 : 16))
			return false;
		dns_draft_add(d, raw, 0);
		return true;
	case DNS_TXT:
		return add_txt(d, r, rr);
	case DNS_MX:
		return add_name(d, r, rr, true);
	case DNS_PTR:
		return add_name(d, r, rr, false);
	}
	return false;
}

static uint32_t ttl_min(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* RFC 2308 5: the SOA's own TTL or its MINIMUM, whichever is less. */
static uint32_t read_negative_ttl(struct reader *r, unsigned count)
{
	struct wire_rr rr;
	struct reader in;

	while (count-- > 0 && read_rr(r, &rr)) {
		if (rr.type != TYPE_SOA || rr.n < 22)
			continue;
		in = (struct reader){
			.p = r->p, .n = rr.at + rr.n, .at = rr.at + rr.n - 4};
		return ttl_min(rr.ttl, read_u32(&in));
	}
	return TTL_UNKNOWN;
}

/* Goes through the answer section once, in its order: the resolver puts a
 * CNAME before what it leads to, and a loop cannot arise. */
static bool read_answers(struct reader *r, unsigned count,
			 const struct dns_question *q, struct wire_name *cur,
			 struct dns_draft *d, uint32_t *ttl, bool *found)
{
	struct wire_rr rr;

	while (count-- > 0) {
		if (!read_rr(r, &rr))
			return false;
		if (rr.class != CLASS_IN || !name_eq(&rr.owner, cur))
			continue;
		if (rr.type == (unsigned)q->type) {
			if (!add_record(d, r, &rr))
				return false;
			*found = true;
		} else if (rr.type == TYPE_CNAME) {
			if (!rdata_name(r, &rr, 0, cur))
				return false;
		} else {
			continue;
		}
		*ttl = ttl_min(*ttl, rr.ttl);
	}
	return true;
}

static const char *rcode_reason(unsigned rcode)
{
	switch (rcode) {
	case RCODE_FORMERR:
		return "DNS server: format error";
	case RCODE_SERVFAIL:
		return "DNS server failure";
	case RCODE_REFUSED:
		return "DNS server refused";
	default:
		return "DNS server error";
	}
}

static const struct dns_answer *read_body(struct reader *r, unsigned rcode,
					  const struct dns_question *q,
					  enum dns_security security)
{
	struct dns_draft d = {0};
	struct wire_name cur;
	uint32_t ttl = TTL_UNKNOWN;
	unsigned nq = read_u16(r), na = read_u16(r), ns = read_u16(r);
	bool found = false;

	read_u16(r);
	if (nq != 1)
		return dns_answer_fail(reason_malformed);
	read_name(r, &cur);
	if (read_u16(r) != (unsigned)q->type || read_u16(r) != CLASS_IN ||
	    r->bad || !name_is(&cur, q->name) ||
	    !read_answers(r, na, q, &cur, &d, &ttl, &found)) {
		dns_draft_done(&d);
		return dns_answer_fail(reason_malformed);
	}
	if (found && rcode == RCODE_NOERROR)
		return dns_draft_finish(&d, security, ttl);
	dns_draft_done(&d);
	ttl = ttl_min(ttl, read_negative_ttl(r, ns));
	return dns_answer_none(rcode == RCODE_NXDOMAIN ? DNS_NXDOMAIN
						       : DNS_NODATA,
			       security, ttl == TTL_UNKNOWN ? 0 : ttl);
}

const struct dns_answer *dns_wire_answer(const struct dns_question *q,
					 struct slice packet,
					 enum dns_security security)
{
	struct reader r = {.p = (const unsigned char *)packet.p, .n = packet.n};
	unsigned flags, rcode;

	read_u16(&r); /* the ID */
	flags = read_u16(&r);
	rcode = flags & 0xf;
	if (r.bad || (flags & 0x8000) == 0)
		return dns_answer_fail(reason_malformed);
	if (rcode != RCODE_NOERROR && rcode != RCODE_NXDOMAIN)
		return dns_answer_fail(rcode_reason(rcode));
	if (flags & 0x0200) /* TC: the rest of it is unknown */
		return dns_answer_fail("truncated DNS answer");
	return read_body(&r, rcode, q, security);
}
