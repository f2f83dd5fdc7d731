/*
 * The zone-file twin of the resolver: answers from one text file, for tests,
 * the demo and sites without a name server.  Not a name server's zone: the
 * file may hold names of any domains, and knows no delegation.
 *
 * The format.  One record in a line:
 *
 *	name [ttl] TYPE data
 *
 * Blank lines and what follows `;` or `#` (at the beginning of a line or
 * after a space) are ignored.  Names are complete; case and a dot at the end
 * do not matter.  `ttl` is in seconds, 300 when left out.
 *
 *	example.org	A	192.0.2.1
 *	example.org	AAAA	2001:db8::1
 *	example.org	MX	10 mail.example.org
 *	example.org 60	TXT	"v=spf1 " "mx -all"
 *	1.2.0.192.in-addr.arpa	PTR	mail.example.org
 *	www.example.org	CNAME	example.org
 *	*.example.org	TXT	"for every name that is not in the file"
 *	example.org	SOA	other types only say that the name exists
 *	slow.example	TXT	!TIMEOUT
 *	broken.example	ANY	!SERVFAIL
 *
 * TXT: one or more strings in quotes, joined without separator; `\"`, `\\` and
 * `\DDD` (decimal octet) are escapes; together at most 65,535 octets.
 * `!TIMEOUT` and `!SERVFAIL` in the place of the data are temporary failures
 * of that type, with ANY (or CNAME) of every type; a time-out is answered at
 * once.  A name above another one in the file exists without data (RFC 8020).
 * `*.` is the wildcard of RFC 4592: it answers for names below its parent
 * that do not exist and have no closer encloser.  A name with a CNAME has no
 * other data (RFC 1034 3.6.2).
 *
 * Threads: read only after loading, so it needs no lock.
 */
#include "dns/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <arpa/inet.h>

#define TTL_DEFAULT   300
#define ZONE_FILE_MAX (64 << 20)
#define ZONE_NEGATIVE 300 /* TTL of "no such name" */

enum fault {
	FAULT_NONE,
	FAULT_SERVFAIL,
	FAULT_TIMEOUT,
};

/* The slots of a node, one for each type that is asked for. */
enum slot {
	SLOT_A,
	SLOT_PTR,
	SLOT_MX,
	SLOT_TXT,
	SLOT_AAAA,
	SLOT_COUNT,
	SLOT_CNAME = SLOT_COUNT,
	SLOT_ANY,   /* only for faults */
	SLOT_OTHER, /* the name exists, that is all */
};

struct record {
	struct record *next;
	struct slice data;
	uint16_t preference;
	bool usable; /* a name that no host can have is not given out */
};

struct slot_data {
	struct record *first, **tail;
	uint32_t ttl; /* the smallest: RFC 2181 5.2 wants them equal */
	enum fault fault;
};

struct node {
	struct node *chain;
	const char *name;
	struct slot_data slots[SLOT_COUNT];
	enum fault fault; /* of all types */
	const char *cname;
	uint32_t cname_ttl;
};

struct zone {
	struct arena *arena;
	struct dns_hash_key key;
	struct node **chains;
	size_t nchains; /* a power of two */
};

/* The line that is being read. */
struct line {
	const char *file;
	unsigned number;
	struct slice rest;
	const char *what; /* NULL: no error */
};

/* ---- the table of names ---- */

static struct node **chain_of(const struct zone *z, const char *name)
{
	return &z->chains[dns_hash(&z->key, name, DNS_A) & (z->nchains - 1)];
}

static struct node *node_find(const struct zone *z, const char *name)
{
	struct node *n = *chain_of(z, name);

	while (n != NULL && strcmp(n->name, name) != 0)
		n = n->chain;
	return n;
}

/* "" above the last label. */
static const char *parent_of(const char *name)
{
	const char *dot = strchr(name, '.');
	return dot != NULL ? dot + 1 : "";
}

static struct node *node_get(struct zone *z, const char *name)
{
	struct node *n = node_find(z, name), **chain;
	unsigned i;

	if (n != NULL)
		return n;
	n = arena_alloc(z->arena, sizeof(*n));
	n->name = arena_strdup(z->arena, name);
	for (i = 0; i < SLOT_COUNT; i++)
		n->slots[i].tail = &n->slots[i].first;
	chain = chain_of(z, name);
	n->chain = *chain;
	*chain = n;
	return n;
}

/* With all names above it: they exist from now on. */
static struct node *node_insert(struct zone *z, const char *name)
{
	struct node *n = node_get(z, name);
	const char *up;

	for (up = parent_of(name); *up != '\0'; up = parent_of(up)) {
		if (node_find(z, up) != NULL)
			break;
		node_get(z, up);
	}
	return n;
}

/* ---- reading ---- */

static bool is_space(char c)
{
	return ascii_iswsp(c) || c == '\r';
}

/* The next word, empty at the end or before a comment. */
static struct slice take_word(struct line *l)
{
	struct slice s = l->rest, word;

	while (s.n > 0 && is_space(*s.p))
		s = slice_from(s, 1);
	word = (struct slice){s.p, 0};
	if (s.n > 0 && (*s.p == ';' || *s.p == '#'))
		s.n = 0;
	while (word.n < s.n && !is_space(word.p[word.n]))
		word.n++;
	l->rest = slice_from(s, word.n);
	return word;
}

static bool fail(struct line *l, const char *what)
{
	l->what = what;
	return false;
}

static bool expect_end(struct line *l)
{
	if (take_word(l).n > 0)
		return fail(l, "something follows the data");
	return true;
}

static enum slot slot_of(struct slice type)
{
	static const struct {
		const char *name;
		enum slot slot;
	} names[] = {
		{"A", SLOT_A},	       {"PTR", SLOT_PTR},   {"MX", SLOT_MX},
		{"TXT", SLOT_TXT},     {"AAAA", SLOT_AAAA}, {"ANY", SLOT_ANY},
		{"CNAME", SLOT_CNAME},
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_is_ci(type, names[i].name))
			return names[i].slot;
	return SLOT_OTHER;
}

static void add_record(struct zone *z, struct node *n, enum slot slot,
		       uint32_t ttl, const struct record *from)
{
	struct slot_data *s = &n->slots[slot];
	struct record *r = arena_alloc(z->arena, sizeof(*r));

	*r = *from;
	r->data = slice_dup(z->arena, from->data);
	if (s->first == NULL || ttl < s->ttl)
		s->ttl = ttl;
	*s->tail = r;
	s->tail = &r->next;
}

static bool read_address(struct line *l, int family, char bytes[16],
			 struct slice *ret)
{
	struct slice word = take_word(l);
	char text[INET6_ADDRSTRLEN];

	if (word.n == 0 || word.n >= sizeof(text))
		return fail(l, "bad address");
	memcpy(text, word.p, word.n);
	text[word.n] = '\0';
	if (strlen(text) != word.n || inet_pton(family, text, bytes) != 1)
		return fail(l, "bad address");
	*ret = (struct slice){bytes, family == AF_INET ? 4 : 16};
	return expect_end(l);
}

/* One `\"`, `\\` or `\DDD`; *s stands after the backslash. */
static bool read_escape(struct slice *s, char *ret)
{
	uint64_t octet;

	if (s->n == 0)
		return false;
	if (!ascii_isdigit(*s->p)) {
		*ret = *s->p;
		*s = slice_from(*s, 1);
		return true;
	}
	if (s->n < 3 || !slice_u64(slice_first(*s, 3), 255, &octet))
		return false;
	*ret = (char)octet;
	*s = slice_from(*s, 3);
	return true;
}

/* The inside of one string and its closing quote. */
static bool read_string(struct line *l, struct strbuf *b)
{
	struct slice s = l->rest;
	char c;

	while (s.n > 0 && *s.p != '"') {
		c = *s.p;
		s = slice_from(s, 1);
		if (c == '\\' && !read_escape(&s, &c))
			return fail(l, "bad escape in a string");
		strbuf_addc(b, c);
	}
	if (s.n == 0)
		return fail(l, "a string does not end");
	l->rest = slice_from(s, 1);
	return true;
}

static bool read_txt(struct zone *z, struct line *l, struct slice *ret)
{
	struct strbuf b;
	unsigned strings = 0;

	strbuf_init(&b, z->arena, DNS_DATA_MAX);
	for (;; strings++) {
		while (l->rest.n > 0 && is_space(*l->rest.p))
			l->rest = slice_from(l->rest, 1);
		if (l->rest.n == 0 || *l->rest.p != '"')
			break;
		l->rest = slice_from(l->rest, 1);
		if (!read_string(l, &b))
			return false;
	}
	if (strings == 0)
		return fail(l, "TXT wants \"strings\" in quotes");
	if (b.overflow)
		return fail(l, "TXT data over 65535 octets");
	*ret = strbuf_slice(&b);
	return expect_end(l);
}

static bool read_target(struct line *l, struct record *r,
			char name[DNS_NAME_TEXT_MAX + 1])
{
	struct slice word = take_word(l);

	if (word.n == 0)
		return fail(l, "a name is missing");
	r->usable = dns_name_canon(word, name);
	if (r->usable)
		r->data = slice_of(name);
	return expect_end(l);
}

static bool read_mx(struct line *l, struct record *r,
		    char name[DNS_NAME_TEXT_MAX + 1])
{
	uint64_t preference;

	if (!slice_u64(take_word(l), UINT16_MAX, &preference))
		return fail(l, "MX wants a preference and a name");
	r->preference = (uint16_t)preference;
	return read_target(l, r, name);
}

static bool has_data(const struct node *n)
{
	unsigned i;

	for (i = 0; i < SLOT_COUNT; i++)
		if (n->slots[i].first != NULL)
			return true;
	return false;
}

static bool read_cname(struct zone *z, struct line *l, struct node *n,
		       uint32_t ttl)
{
	struct dns_question target;

	if (n->cname != NULL)
		return fail(l, "a second CNAME for this name");
	if (has_data(n))
		return fail(l, "CNAME for a name with other data");
	if (!dns_question_init(&target, take_word(l), DNS_A))
		return fail(l, "bad name");
	n->cname = arena_strdup(z->arena, target.name);
	n->cname_ttl = ttl;
	return expect_end(l);
}

static bool read_data(struct zone *z, struct line *l, struct node *n,
		      enum slot slot, uint32_t ttl)
{
	struct record r = {.usable = true};
	char bytes[16];
	char name[DNS_NAME_TEXT_MAX + 1];
	bool ok = false;

	if (n->cname != NULL && slot < SLOT_COUNT)
		return fail(l, "other data for a name with a CNAME");
	switch (slot) {
	case SLOT_A:
		ok = read_address(l, AF_INET, bytes, &r.data);
		break;
	case SLOT_AAAA:
		ok = read_address(l, AF_INET6, bytes, &r.data);
		break;
	case SLOT_TXT:
		ok = read_txt(z, l, &r.data);
		break;
	case SLOT_MX:
		ok = read_mx(l, &r, name);
		break;
	case SLOT_PTR:
		ok = read_target(l, &r, name);
		break;
	case SLOT_CNAME:
		return read_cname(z, l, n, ttl);
	case SLOT_ANY:
		return fail(l, "ANY goes with !SERVFAIL or !TIMEOUT only");
	case SLOT_OTHER:
		return true;
	}
	if (ok)
		add_record(z, n, slot, ttl, &r);
	return ok;
}

/* False also when there is no `!`: then l->what is NULL. */
static bool read_fault(struct line *l, struct node *n, enum slot slot)
{
	struct line ahead = *l;
	struct slice word = take_word(&ahead);
	enum fault fault;

	if (word.n == 0 || *word.p != '!')
		return false;
	if (slice_is_ci(word, "!SERVFAIL"))
		fault = FAULT_SERVFAIL;
	else if (slice_is_ci(word, "!TIMEOUT"))
		fault = FAULT_TIMEOUT;
	else
		return fail(l, "unknown fault");
	*l = ahead;
	if (!expect_end(l))
		return false;
	if (slot < SLOT_COUNT)
		n->slots[slot].fault = fault;
	else if (slot != SLOT_OTHER)
		n->fault = fault;
	return true;
}

static bool read_line(struct zone *z, struct line *l)
{
	struct dns_question owner;
	struct slice name = take_word(l), word;
	uint64_t ttl = TTL_DEFAULT;
	struct node *n;
	enum slot slot;

	if (name.n == 0)
		return true;
	if (!dns_question_init(&owner, name, DNS_A))
		return fail(l, "bad name");
	word = take_word(l);
	if (word.n > 0 && ascii_isdigit(*word.p)) {
		if (!slice_u64(word, INT32_MAX, &ttl)) /* RFC 2181 8 */
			return fail(l, "bad TTL");
		word = take_word(l);
	}
	if (word.n == 0 || !ascii_isalpha(*word.p))
		return fail(l, "a type is missing");
	slot = slot_of(word);
	n = node_insert(z, owner.name);
	if (read_fault(l, n, slot))
		return true;
	return l->what == NULL && read_data(z, l, n, slot, (uint32_t)ttl);
}

static bool read_text(struct arena *a, struct zone *z, const char *file,
		      struct slice text, const char **err)
{
	struct line l = {.file = file};

	while (text.n > 0) {
		l.rest = slice_cut(&text, '\n');
		l.number++;
		if (!read_line(z, &l)) {
			*err = arena_printf(a, "%s:%u: %s", file, l.number,
					    l.what);
			return false;
		}
	}
	return true;
}

/* ---- answering ---- */

/* RFC 4592 3.3.1: only the wildcard directly below the closest encloser. */
static const struct node *node_wildcard(const struct zone *z, const char *name)
{
	char star[DNS_NAME_TEXT_MAX + 3];
	const char *up = parent_of(name);

	while (*up != '\0' && node_find(z, up) == NULL)
		up = parent_of(up);
	if (*up == '\0') {
		return node_find(z, "*");
	}
	star[0] = '*';
	star[1] = '.';
	memcpy(star + 2, up, strlen(up) + 1);
	return node_find(z, star);
}

static const struct node *node_lookup(const struct zone *z, const char *name)
{
	const struct node *n = node_find(z, name);
	return n != NULL ? n : node_wildcard(z, name);
}

static enum slot slot_of_type(enum dns_type type)
{
	switch (type) {
	case DNS_A:
		return SLOT_A;
	case DNS_PTR:
		return SLOT_PTR;
	case DNS_MX:
		return SLOT_MX;
	case DNS_TXT:
		return SLOT_TXT;
	case DNS_AAAA:
		return SLOT_AAAA;
	}
	return SLOT_OTHER;
}

static const struct dns_answer *answer_fault(enum fault fault)
{
	return dns_answer_fail(fault == FAULT_TIMEOUT ? dns_reason_timeout
						      : "DNS server failure");
}

static uint32_t ttl_min(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static const struct dns_answer *answer_node(const struct node *n,
					    enum slot slot, uint32_t ttl)
{
	const struct slot_data *s;
	const struct record *r;
	struct dns_draft d = {0};

	if (n->fault != FAULT_NONE)
		return answer_fault(n->fault);
	if (slot >= SLOT_COUNT)
		return dns_answer_none(DNS_NODATA, DNS_INSECURE, ttl);
	s = &n->slots[slot];
	if (s->fault != FAULT_NONE)
		return answer_fault(s->fault);
	if (s->first == NULL)
		return dns_answer_none(DNS_NODATA, DNS_INSECURE,
				       ttl_min(ttl, ZONE_NEGATIVE));
	for (r = s->first; r != NULL; r = r->next)
		if (r->usable)
			dns_draft_add(&d, r->data, r->preference);
	return dns_draft_finish(&d, DNS_INSECURE, ttl_min(ttl, s->ttl));
}

static const struct dns_answer *zone_ask(void *self,
					 const struct dns_question *q,
					 int64_t deadline_ms, bool *sent)
{
	const struct zone *z = self;
	enum slot slot = slot_of_type(q->type);
	const char *name = q->name;
	uint32_t ttl = UINT32_MAX;
	unsigned steps;

	(void)deadline_ms;
	*sent = true;
	for (steps = 0; steps <= DNS_CHAIN_MAX; steps++) {
		const struct node *n = node_lookup(z, name);
		if (n == NULL)
			return dns_answer_none(DNS_NXDOMAIN, DNS_INSECURE,
					       ttl_min(ttl, ZONE_NEGATIVE));
		if (n->cname == NULL || n->fault != FAULT_NONE ||
		    (slot < SLOT_COUNT && n->slots[slot].fault != FAULT_NONE))
			return answer_node(n, slot, ttl);
		name = n->cname;
		ttl = ttl_min(ttl, n->cname_ttl);
	}
	return dns_answer_fail("too many CNAMEs");
}

static bool zone_prefetch(void *self, const struct dns_question *q)
{
	(void)self;
	(void)q;
	return false;
}

static void zone_stop(void *self)
{
	(void)self;
}

static void zone_free(void *self)
{
	struct zone *z = self;

	arena_free(z->arena);
	free(z->chains);
	free(z);
}

static const struct dns_backend zone_backend = {
	.ask = zone_ask,
	.prefetch = zone_prefetch,
	.stop = zone_stop,
	.free = zone_free,
};

static struct dns *zone_new(struct arena *a, const char *file,
			    struct slice text, const char **err)
{
	struct zone *z = mem_alloc(sizeof(*z));

	z->arena = arena_new();
	dns_hash_key_init(&z->key);
	/* About one record for each chain. */
	z->nchains = 64;
	while (z->nchains < text.n / 32)
		z->nchains *= 2;
	z->chains = mem_alloc(z->nchains * sizeof(struct node *));
	if (!read_text(a, z, file, text, err)) {
		zone_free(z);
		return NULL;
	}
	return dns_assemble(&zone_backend, z, NULL, 0);
}

struct dns *dns_new_zone_text(struct arena *a, struct slice text,
			      const char **err)
{
	return zone_new(a, "zone", text, err);
}

/* 0 or -errno. */
static int read_whole(int fd, char **ret, size_t *n)
{
	size_t cap = 65536, at = 0;
	char *p = mem_alloc(cap);
	ssize_t got;

	while ((got = read(fd, p + at, cap - at)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 || at + (size_t)got > ZONE_FILE_MAX) {
			free(p);
			return got < 0 ? -errno : -EFBIG;
		}
		at += (size_t)got;
		if (at == cap) {
			cap *= 2;
			p = mem_realloc(p, cap);
		}
	}
	*ret = p;
	*n = at;
	return 0;
}

struct dns *dns_zone_open(struct arena *a, const char *path, const char **err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;
	struct dns *d;
	char *text = NULL;
	size_t n = 0;

	r = fd < 0 ? -errno : read_whole(fd, &text, &n);
	if (fd >= 0)
		close(fd);
	if (r < 0) {
		*err = arena_printf(a, "%s: %s", path, strerror(-r));
		return NULL;
	}
	d = zone_new(a, path, (struct slice){text, n}, err);
	free(text);
	return d;
}
