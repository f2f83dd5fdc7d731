/*
 * DNS messages as answers (RFC 1035 4.1).  The first byte of the input
 * chooses the type that was asked for, the rest is the packet.
 */
#include "fuzz.h"

#include "dns/resolver.h"
#include "mail/domain.h"

static const enum dns_type types[] = {DNS_A, DNS_PTR, DNS_MX, DNS_TXT,
				      DNS_AAAA};

static void check_record(struct arena *a, enum dns_type type,
			 const struct dns_record *rr)
{
	const char *name;

	switch (type) {
	case DNS_A:
		FUZZ_CHECK(rr->data.n == 4);
		break;
	case DNS_AAAA:
		FUZZ_CHECK(rr->data.n == 16);
		break;
	case DNS_TXT:
		FUZZ_CHECK(rr->data.n <= DNS_DATA_MAX);
		break;
	case DNS_MX:
	case DNS_PTR:
		name = domain_canon(a, rr->data);
		FUZZ_CHECK(name != NULL && slice_is(rr->data, name));
		break;
	}
	FUZZ_CHECK(rr->data.p[rr->data.n] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice packet = fuzz_input(data, size);
	const struct dns_answer *r;
	struct arena *a = arena_new();
	struct dns_question q;
	enum dns_type type = DNS_TXT;

	if (size > 0)
		type = types[data[0] % (sizeof(types) / sizeof(types[0]))];
	FUZZ_CHECK(dns_question_init(&q, SLICE("a.b"), type));
	r = dns_wire_answer(&q, slice_from(packet, 1), DNS_INSECURE);
	FUZZ_CHECK((r->status == DNS_TEMPFAIL) == (r->reason != NULL));
	FUZZ_CHECK(r->status == DNS_FOUND || r->n == 0);
	FUZZ_CHECK(r->ttl <= INT32_MAX); /* RFC 2181 8 */
	for (size_t i = 0; i < r->n; i++)
		check_record(a, type, &r->rr[i]);
	dns_answer_unref(r);
	arena_free(a);
	return 0;
}
