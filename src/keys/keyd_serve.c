/*
 * The key process at work.  What comes over its socket is a verb and two
 * numbers; what goes back is the text of a key file, or a line that says why
 * not.  It has no thread, and no descriptor but the socket.
 */
#include "keys/keyd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Rows, as read at some time. */
struct generation {
	uint32_t id;   /* 0: the place is free */
	unsigned uses; /* keyrings of the filter */
	unsigned char digest[SHA256_LEN];
	struct keyring *keyring;
	void *owner;
};

struct server {
	const struct keyd_options *options;
	uint32_t last_id;
	struct generation v[KEYD_GENERATIONS];
	struct key_text text; /* of the answer */
};

static void forget(struct server *s, struct generation *g)
{
	s->options->release(g->keyring, g->owner);
	*g = (struct generation){0};
}

static struct generation *generation_find(struct server *s, uint32_t id)
{
	for (size_t i = 0; i < KEYD_GENERATIONS; i++)
		if (id != 0 && s->v[i].id == id)
			return &s->v[i];
	return NULL;
}

/* The one with the same rows, or NULL. */
static struct generation *find_equal(struct server *s,
				     const struct generation *g)
{
	for (size_t i = 0; i < KEYD_GENERATIONS; i++)
		if (s->v[i].id != 0 &&
		    memcmp(s->v[i].digest, g->digest, SHA256_LEN) == 0)
			return &s->v[i];
	return NULL;
}

/* A free place, if need be that of the oldest: free ones have id 0. */
static struct generation *place_for(struct server *s)
{
	struct generation *ret = &s->v[0];

	for (size_t i = 1; i < KEYD_GENERATIONS; i++)
		if (s->v[i].id < ret->id)
			ret = &s->v[i];
	if (ret->id != 0)
		forget(s, ret);
	return ret;
}

static void answer_text(struct server *s, struct keyd_answer *ret,
			struct slice text)
{
	s->text.n = text.n < KEY_TEXT_MAX ? text.n : KEY_TEXT_MAX;
	memcpy(s->text.p, text.p, s->text.n);
	ret->length = (uint32_t)s->text.n;
}

static void reload(struct server *s, struct keyd_answer *ret)
{
	struct arena *a = arena_new();
	struct generation g = {.uses = 1}, *equal;
	struct strbuf errors;

	strbuf_init(&errors, a, KEY_TEXT_MAX);
	g.keyring = s->options->read(s->options->arg, &g.owner, &errors);
	if (g.keyring == NULL) {
		answer_text(s, ret, strbuf_slice(&errors));
		arena_free(a);
		return;
	}
	keyring_digest(g.keyring, g.digest);
	equal = find_equal(s, &g);
	if (equal != NULL) {
		s->options->release(g.keyring, g.owner);
		equal->uses++;
	} else {
		g.id = ++s->last_id;
		equal = place_for(s);
		*equal = g;
	}
	ret->ok = 1;
	ret->generation = equal->id;
	memcpy(ret->digest, equal->digest, SHA256_LEN);
	arena_free(a);
}

static void drop(struct server *s, const struct keyd_request *q,
		 struct keyd_answer *ret)
{
	struct generation *g = generation_find(s, q->generation);

	ret->ok = 1;
	if (g != NULL && --g->uses == 0)
		forget(s, g);
}

static void fetch(struct server *s, const struct keyd_request *q,
		  struct keyd_answer *ret)
{
	const struct generation *g = generation_find(s, q->generation);
	const char *err = "the key process has forgotten this configuration; "
			  "too many are in use";
	struct arena *a = arena_new();

	ret->state = KEY_ACTIVE;
	if (g != NULL && q->row < keyring_size(g->keyring)) {
		const struct key_entry *e =
			keyring_entry(g->keyring, (size_t)q->row);

		ret->ok = key_text_read(a, e->file, &s->text, &err);
		ret->state = s->text.state;
		ret->since = s->text.since;
	}
	if (ret->ok)
		ret->length = (uint32_t)s->text.n;
	else
		answer_text(s, ret, slice_of(err));
	arena_free(a);
}

static void answer(struct server *s, const struct keyd_request *q,
		   struct keyd_answer *ret)
{
	switch (q->verb) {
	case KEYD_RELOAD:
		reload(s, ret);
		break;
	case KEYD_DROP:
		drop(s, q, ret);
		break;
	case KEYD_FETCH:
		fetch(s, q, ret);
		break;
	default: /* not ours: no answer but "no" */
		break;
	}
}

/* False: the other end is gone. */
static bool receive(int fd, struct keyd_request *ret)
{
	ssize_t n;

	do {
		n = recv(fd, ret, sizeof(*ret), MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*ret);
}

static bool reply(int fd, struct keyd_answer *r, char *text)
{
	struct iovec v[2] = {{r, sizeof(*r)}, {text, r->length}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	ssize_t n;

	do {
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n >= 0;
}

void keyd_serve(int fd, const struct keyd_options *o)
{
	struct server s = {.options = o};
	struct keyd_request q;
	bool going = true;

	key_text_init(&s.text);
	while (going && receive(fd, &q)) {
		struct keyd_answer r = {0};

		answer(&s, &q, &r);
		going = reply(fd, &r, s.text.p);
		explicit_bzero(s.text.p, KEY_TEXT_MAX + 1);
	}
	for (size_t i = 0; i < KEYD_GENERATIONS; i++)
		if (s.v[i].id != 0)
			forget(&s, &s.v[i]);
	key_text_done(&s.text);
}
