/* Lines that end in CRLF go on in long runs, from the caller's own buffer. */
#include "mail/lines.h"

#include <string.h>

void body_lines_init(struct body_lines *l, enum canon_mode mode,
		     canon_sink *sink, void *arg)
{
	*l = (struct body_lines){0};
	canon_body_init(&l->canon, mode, UINT64_MAX, sink, arg);
}

/* The offset of the first `c` from `from` on, or `to`. */
static size_t find(struct slice s, size_t from, size_t to, char c)
{
	const char *p = memchr(s.p + from, c, to - from);

	return p != NULL ? (size_t)(p - s.p) : to;
}

static void count_line(struct body_lines *l, size_t n, bool ended)
{
	l->column += n;
	l->longest = l->column > l->longest ? l->column : l->longest;
	if (ended)
		l->column = 0;
}

void body_lines_feed(struct body_lines *l, struct slice bytes)
{
	size_t from = 0, at, lf, end;

	if (bytes.n == 0)
		return;
	if (l->cr && bytes.p[0] == '\n')
		from = 1; /* of a CR that was hashed as CRLF already */
	l->cr = bytes.p[bytes.n - 1] == '\r';
	lf = find(bytes, from, bytes.n, '\n');
	for (at = from; at < bytes.n; at = end + 1) {
		/* Not for every CR, or many would make the work grow with
		 * the square of their number. */
		if (lf < at)
			lf = find(bytes, at, bytes.n, '\n');
		end = find(bytes, at, lf, '\r');
		count_line(l, end - at, end < bytes.n);
		if (end == bytes.n)
			break;
		if (end + 1 == lf && lf < bytes.n) {
			end = lf;
			continue;
		}
		canon_body_feed(&l->canon,
				(struct slice){bytes.p + from, end - from});
		canon_body_feed(&l->canon, SLICE("\r\n"));
		from = end + 1;
	}
	canon_body_feed(&l->canon, slice_from(bytes, from));
}
