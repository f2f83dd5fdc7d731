/*
 * Private to dns/: what the two implementations (unbound.c, zone.c), the
 * answer cache and the budget share.  Nobody outside dns/ includes this.
 *
 * A question is a canonical name (lower case, no trailing dot, legal
 * lengths) and a type.  An answer is immutable and reference-counted:
 * whoever gets one from a function that says so owns a reference.
 */
#ifndef MAILSEAL_DNS_RESOLVER_H
#define MAILSEAL_DNS_RESOLVER_H

#include "dns/dns.h"

#define DNS_NAME_TEXT_MAX 253 /* RFC 1035 2.3.4, in text form */
#define DNS_NAME_WIRE_MAX 255
#define DNS_LABEL_MAX	  63
#define DNS_CHAIN_MAX	  8	/* CNAMEs that are followed */
#define DNS_DATA_MAX	  65535 /* of one answer: a DNS message */

#define DNS_QUERY_TIMEOUT_MS 6000 /* unless the options tell another */

struct dns_question {
	char name[DNS_NAME_TEXT_MAX + 1];
	enum dns_type type;
};

/* False for an empty name, empty labels and illegal lengths. */
bool dns_question_init(struct dns_question *q, struct slice name,
		       enum dns_type type);
bool dns_question_eq(const struct dns_question *a,
		     const struct dns_question *b);
/* A keyed hash: names come from senders, who must not choose collisions. */
struct dns_hash_key {
	uint64_t k[2];
};
void dns_hash_key_init(struct dns_hash_key *key);
uint64_t dns_hash(const struct dns_hash_key *key, const char *name,
		  enum dns_type type);

/* ---- answers ---- */
/* Compared by pointer. */
extern const char dns_reason_timeout[];
/* Never asked: counted as refused. */
extern const char dns_reason_outage[];
extern const char dns_reason_waiting[];
extern const char dns_reason_pending[];

const struct dns_answer *dns_answer_ref(const struct dns_answer *a);
void dns_answer_unref(const struct dns_answer *a); /* NULL is allowed */
/* Bytes that it takes. */
size_t dns_answer_size(const struct dns_answer *a);
/* A temporary failure; `reason` is a constant.  Owned by the caller. */
const struct dns_answer *dns_answer_fail(const char *reason);
/* NXDOMAIN or NODATA.  Owned by the caller. */
const struct dns_answer *dns_answer_none(enum dns_status status,
					 enum dns_security security,
					 uint32_t ttl);

/* An answer while it is put together. */
struct dns_draft {
	struct dns_draft_record {
		size_t at, n;
		uint16_t preference;
	} * rr;
	size_t n, cap;
	char *bytes;
	size_t nbytes, bytes_cap;
};
/* `d` starts zeroed. */
void dns_draft_add(struct dns_draft *d, struct slice data, uint16_t preference);
void dns_draft_done(struct dns_draft *d);
/* DNS_FOUND with what was added; ends the draft.  Owned by the caller. */
const struct dns_answer *
dns_draft_finish(struct dns_draft *d, enum dns_security security, uint32_t ttl);

/* Is `name` a host or domain of letters, digits, "-" and "_"?  Then in lower
 * case and without trailing dot in `ret`. */
bool dns_name_canon(struct slice name, char ret[DNS_NAME_TEXT_MAX + 1]);

/* Reads a DNS message (RFC 1035 4.1) that answers `q`: follows CNAMEs inside
 * it, takes TTLs, refuses what is malformed with temporary failure.  Never
 * NULL; owned by the caller. */
const struct dns_answer *dns_wire_answer(const struct dns_question *q,
					 struct slice packet,
					 enum dns_security security);

/* ---- answer cache, thread-safe ---- */
struct dns_cache;

/* `bytes`: hard bound of all that it holds; 0: it holds nothing. */
struct dns_cache *dns_cache_new(size_t bytes);
void dns_cache_free(struct dns_cache *c);
/* The live answer, with a reference for the caller, or NULL. */
const struct dns_answer *dns_cache_get(struct dns_cache *c,
				       const struct dns_question *q,
				       int64_t now_ms);
void dns_cache_put(struct dns_cache *c, const struct dns_question *q,
		   const struct dns_answer *a, int64_t now_ms);
size_t dns_cache_bytes(struct dns_cache *c);
size_t dns_cache_answers(struct dns_cache *c);

/* ---- the resolver and its two implementations ---- */
struct dns_backend {
	/* Waits until `deadline_ms` (clock_mono_ms()).  Owned by the caller;
	 * NULL when the time ran out first.  *sent: did it cost a lookup? */
	const struct dns_answer *(*ask)(void *self,
					const struct dns_question *q,
					int64_t deadline_ms, bool *sent);
	/* Begins without waiting; may do nothing.  Was it begun? */
	bool (*prefetch)(void *self, const struct dns_question *q);
	/* From now on every question, waiting or new, is answered at once. */
	void (*stop)(void *self);
	/* Fills in `outages` and `outage`; NULL: there are none. */
	void (*state)(void *self, struct dns_counters *ret);
	/* As dns_beats(); NULL: there is no thread. */
	uint64_t (*beats)(void *self);
	void (*free)(void *self);
};

struct dns {
	const struct dns_backend *backend;
	void *self;
	struct dns_cache *cache; /* NULL: none */
	unsigned query_timeout_ms;
	struct dns_waiters *waiters; /* or NULL */
	_Atomic unsigned inside; /* threads in dns_ask() */
	_Atomic uint64_t asked;
	_Atomic uint64_t cache_hits;
	_Atomic uint64_t sent;
	_Atomic uint64_t timeouts;
	_Atomic uint64_t refused;
	_Atomic uint64_t by_status[4];
};

struct dns *dns_assemble(const struct dns_backend *backend, void *self,
			 struct dns_cache *cache, unsigned query_timeout_ms);
/* Each NULL and *err on failure. */
struct dns *dns_unbound_new(struct arena *a, const struct dns_options *o,
			    const char **err);
struct dns *dns_zone_open(struct arena *a, const char *path, const char **err);

#endif
