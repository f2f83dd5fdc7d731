/*
 * Private keys by author domain: what the configuration and the key table
 * name, loaded when first needed and kept in a bounded cache.
 *
 * Built by one thread (keyring_new ... keyring_ready), then shared by all:
 * keyring_choose() is thread-safe.  keyfile.c opens the key files and checks
 * owner and mode, in this process or behind a key process (keyd.h); state.c
 * keeps the life cycle of a key in a file beside it; table.c reads the key
 * table.
 */
#ifndef MAILSEAL_KEYS_KEYRING_H
#define MAILSEAL_KEYS_KEYRING_H

#include "crypto/crypto.h"
#include "dkim/dkim.h"
/* Lines of mistakes in a table, and between all: the rest is counted. */
#define KEYS_MISTAKES_MAX 20
#define KEYS_PER_DOMAIN 16

/* The life of a key.  Only active keys sign. */
enum key_state {
	KEY_NEW,       /* made; its record is not published */
	KEY_PUBLISHED, /* its record was given to the administrator */
	KEY_ACTIVE,
	KEY_RETIRING, /* signs no more; its record must stay for a while */
	KEY_REVOKED,
};

/* One signature that a domain's mail gets.  All text is borrowed. */
struct key_entry {
	/* of the author, canonical; "*.example.com": every domain below */
	const char *domain;
	const char *signing_domain; /* d=, canonical */
	const char *selector;	    /* canonical */
	const char *file;
	const char *source; /* "file:line" for messages */
	bool from_table;    /* not pinned */
	/* the key must be of this type; unless any_type */
	enum crypto_type type;
	bool any_type;
	uint32_t lifetime;    /* seconds for x=; 0: no x= */
	const char *identity; /* i=, or NULL */
	const struct dkim_signed_name *names; /* NULL: the default list */
	size_t nnames;
};

struct keyring;
struct keyd;

/* `max_loaded`: keys that are kept besides the pinned ones. */
struct keyring *keyring_new(size_t max_loaded);
void keyring_free(struct keyring *k);
/* The texts of `e` must outlive the keyring. */
void keyring_add(struct keyring *k, const struct key_entry *e);
/*
 * Adds the entries of a key table: lines of "domain selector file" between
 * white space; "#" begins a comment; domain may be "*.domain", a relative file
 * is beside the table.  False, and one line per mistake (at most 20) in
 * `errors`: "table:line: what, and the cure".
 */
bool keyring_add_table(struct keyring *k, const char *path, uint32_t lifetime,
		       struct strbuf *errors);
/* Sorts; nothing is added afterwards.  False: an entry is there twice, or a
 * domain has too many; one line each in `errors`. */
bool keyring_ready(struct keyring *k, struct strbuf *errors);
/*
 * After keyring_ready(): from now on the key process opens the files; without
 * this call we do.  It reads its rows again, which must be the same as ours.
 * It must outlive the keyring.  False and lines in `errors` when it objects.
 */
bool keyring_attach(struct keyring *k, struct keyd *source,
		    struct strbuf *errors);

/*
 * Loads every entry that keyring_add() brought, for good: to be called while
 * the process may still read what root may read.  One line in `errors` for
 * each that cannot be used, in `warnings` for each that should not be (RSA
 * below 2048 bits, RFC 8301 3.2).  The others stay usable.
 */
void keyring_pin(struct keyring *k, struct strbuf *errors,
		 struct strbuf *warnings);

size_t keyring_domains(const struct keyring *k); /* different ones */
size_t keyring_size(const struct keyring *k);	 /* entries */
/* In the order of domains, to list them; i < keyring_size(). */
const struct key_entry *keyring_entry(const struct keyring *k, size_t i);

/* The keys that sign for a domain. */
struct key_choice {
	size_t n;
	struct dkim_signing_key *v;
	/* There are entries with an active key, so mail must not leave
	 * unsigned. */
	bool must_sign;
	/* n == 0: a constant that says why */
	const char *why;
	/* A key that could not be loaded: one line, or NULL. */
	const char *error;
};

/*
 * Exact domain first, else the nearest "*.domain" above.  Only active keys
 * (state.c) are chosen.  A failed load is tried again after a minute; `error`
 * is set once per failure.  Owned by the caller: keyring_release().
 * `now_ms`: clock_mono_ms(); 0: it is only to see whether there are some.
 */
void keyring_choose(struct keyring *k, struct arena *a, const char *domain,
		    int64_t now_ms, struct key_choice *ret);
void keyring_release(struct key_choice *c);

struct keyring_counters {
	uint64_t loads;
	uint64_t failures; /* of loads */
	size_t loaded;	   /* now, the pinned ones included */
};
void keyring_counters_get(struct keyring *k, struct keyring_counters *ret);

/* How it stands with one entry. */
struct keyring_standing {
	bool known; /* it was loaded, or that was tried */
	bool usable; /* it signs, or is not meant to */
	enum key_state state;
	int64_t since; /* as in struct key_text */
	const char *error; /* in `a`, unless that is NULL; why not usable */
	bool loaded;
	enum crypto_type type; /* then */
	unsigned bits;
	int64_t used_ms; /* when it was last chosen; 0: not yet */
};
void keyring_standing_get(struct keyring *k, size_t i, struct arena *a,
			  struct keyring_standing *ret);

/* SHA-256 over the rows, in their order: which key signs for whom. */
void keyring_digest(const struct keyring *k, unsigned char ret[SHA256_LEN]);

/* For table.c: texts that live as long as the keyring. */
struct arena *keyring_arena(struct keyring *k);

/* ---- state.c ---- */
const char *key_state_name(enum key_state s);
/*
 * From "FILE.state": one line, "STATE since 2026-11-24T08:00:00Z".  Without
 * that file a key is active, since 0.  False and one line in *err when it is
 * there and cannot be read.
 */
bool key_state_read(struct arena *a, const char *file, enum key_state *state,
		    int64_t *since, const char **err);
/* Replaces the state file at once (rename).  `since`: seconds since 1970. */
bool key_state_write(struct arena *a, const char *file, enum key_state state,
		     int64_t since, const char **err);

/* ---- keyfile.c ---- */
#define KEY_TEXT_MAX 65536

/* What stands in a key file, and the state of the key. */
struct key_text {
	enum key_state state;
	int64_t since; /* seconds since 1970: of the state, else of the file;
			* 0: not known */
	size_t n; /* 0 unless the key is active */
	char *p;  /* room for KEY_TEXT_MAX + 1 */
};

void key_text_init(struct key_text *t);
void key_text_done(struct key_text *t); /* wipes it */
/*
 * Reads FILE.state, and the file when the key is active.  The file is refused
 * unless it is a regular file owned by root or by the effective user, and
 * readable by nobody else but the group root or the user's own group (0600,
 * 0640).  False and one line in *err (in `a`): path, what is wrong, and the
 * command that cures it; the state is then active.
 */
bool key_text_read(struct arena *a, const char *file, struct key_text *ret,
		   const char **err);
/* NULL and one line in *err when it is no usable key. */
struct crypto_privkey *key_text_parse(struct arena *a, const char *file,
				      const struct key_text *t,
				      const char **err);
/* Reads and parses the file, whatever the state of the key: 0, or -errno and
 * one line in *err as above. */
int key_file_load(struct arena *a, const char *file,
		  struct crypto_privkey **ret, const char **err);

#endif
