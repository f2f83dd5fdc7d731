/* An answer of the DNS in words. */
#include "cmd/answer_text.h"

#define NAME_BYTES 1024
#define LIST_MAX   12 /* records that are written */

static void write_data(struct strbuf *b, const struct dns_record *rr,
		       enum dns_type type)
{
	char text[IP_TEXT_MAX];
	struct ip ip;

	switch (type) {
	case DNS_A:
	case DNS_AAAA:
		ip = ip_from_bytes(rr->data.p, (unsigned)rr->data.n);
		strbuf_adds(b, ip_format(&ip, text));
		return;
	case DNS_MX:
		strbuf_printf(b, "%u ", rr->preference);
		break;
	case DNS_PTR:
	case DNS_TXT:
		break;
	}
	strbuf_add_escaped(b, rr->data, NAME_BYTES);
}

static void write_records(struct strbuf *b, const struct dns_answer *r,
			  enum dns_type type)
{
	if (r->n == 0) {
		strbuf_adds(b, "found no usable name");
		return;
	}
	strbuf_printf(b, "found %zu record%s", r->n, r->n == 1 ? "" : "s");
	if (type == DNS_TXT)
		return;
	strbuf_adds(b, " (");
	for (size_t i = 0; i < r->n && i < LIST_MAX; i++) {
		if (i > 0)
			strbuf_adds(b, ", ");
		write_data(b, &r->rr[i], type);
	}
	strbuf_adds(b, r->n > LIST_MAX ? ", ...)" : ")");
}

void answer_text(struct strbuf *b, const struct dns_answer *r,
		 enum dns_type type)
{
	switch (r->status) {
	case DNS_FOUND:
		write_records(b, r, type);
		break;
	case DNS_NODATA:
		strbuf_adds(b, "no data");
		break;
	case DNS_NXDOMAIN:
		strbuf_adds(b, "no such name");
		break;
	case DNS_TEMPFAIL:
		strbuf_printf(b, "temporary failure: %s", r->reason);
		return;
	}
	strbuf_printf(b, ", TTL %u", (unsigned)r->ttl);
	if (r->security == DNS_SECURE)
		strbuf_adds(b, ", secure");
}
