/* SPDX-License-Identifier: BSD-3-Clause */
#include "auth.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "haven_assert.h"

HAVEN_STATIC_ASSERT(AUTH_TAG_BYTES == crypto_shorthash_siphashx24_BYTES, "128-bit tag");
HAVEN_STATIC_ASSERT(AUTH_KEY_MAX == crypto_generichash_KEYBYTES_MAX, "the key fits the KDF");

/** One derived key and what it was derived from; src_incarnation 0: empty. */
struct auth_session {
	uint64_t src_incarnation, dst_incarnation;
	uint8_t key[crypto_shorthash_siphashx24_KEYBYTES];
};

enum { TX_KNOWN = 0, TX_HELLO, TX_SLOTS };
/* The candidate is the only slot that a frame with a bad tag can change. */
enum { RX_KNOWN = 0, RX_HELLO, RX_CANDIDATE, RX_SLOTS };

struct auth_peer {
	struct auth_session tx[TX_SLOTS];
	struct auth_session rx[RX_SLOTS];
};

struct auth {
	uint64_t incarnation;
	uint64_t derivations;
	uint8_t self, n_nodes;
	struct auth_key key;
	struct auth_peer peer[HAVEN_NODES_MAX];
};

static int hex_value(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = tolower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A file of nothing but an even number of hexadecimal digits, at least twice the shortest key, is
 * taken for hexadecimal: a random raw key looks like that with probability below 2^-128. */
static int key_parse(const uint8_t *data, size_t size, struct auth_key *key)
{
	size_t digits = size;

	while (digits && (data[digits - 1] == '\n' || data[digits - 1] == '\r'))
		digits--;
	for (size_t i = 0; i < digits; i++) {
		if (hex_value(data[i]) < 0)
			digits = 0;
	}
	if (digits >= 2 * AUTH_KEY_MIN && digits % 2 == 0 && digits <= 2 * AUTH_KEY_MAX) {
		key->size = digits / 2;
		for (size_t i = 0; i < key->size; i++)
			key->bytes[i] = (uint8_t)((hex_value(data[2 * i]) << 4) |
						  hex_value(data[2 * i + 1]));
		return 0;
	}
	/* Digits that are too few for a key are a mistake, not a raw key of printable bytes. */
	if (digits || size < AUTH_KEY_MIN || size > AUTH_KEY_MAX)
		return -HAVEN_ESIZE;
	memcpy(key->bytes, data, size);
	key->size = size;
	return 0;
}

static int key_check_file(int fd, const char *path, struct error_text *error)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return error_set(error, HAVEN_ESYS, "key file %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(error, HAVEN_EPERM, "key file %s is not a regular file", path);
	if (st.st_mode & 077)
		return error_set(
			error, HAVEN_EPERM,
			"key file %s can be used by others (mode %04o); remedy: chmod 0400 %s",
			path, (unsigned)(st.st_mode & 07777), path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return error_set(
			error, HAVEN_EPERM,
			"key file %s belongs to user %u; remedy: chown it to user %u or root", path,
			(unsigned)st.st_uid, (unsigned)geteuid());
	return 0;
}

int auth_key_load(const char *path, struct auth_key *key, struct error_text *error)
{
	uint8_t data[2 * AUTH_KEY_MAX + 4];
	size_t size = 0;
	ssize_t n;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return error_set(error, HAVEN_ENOENT,
				 "key file %s does not exist; remedy: head -c 32 /dev/urandom | "
				 "od -An -vtx1 | tr -d ' \\n' > %s; chmod 0400 %s",
				 path, path, path);
	if (fd < 0)
		return error_set(error, errno == EACCES ? HAVEN_EPERM : HAVEN_ESYS,
				 "key file %s: %s", path, strerror(errno));
	err = key_check_file(fd, path, error);
	while (!err && size < sizeof(data)) {
		n = read(fd, data + size, sizeof(data) - size);
		if (n < 0)
			err = error_set(error, HAVEN_ESYS, "key file %s: %s", path,
					strerror(errno));
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	if (!err && key_parse(data, size, key) != 0)
		err = error_set(error, HAVEN_ESIZE,
				"key file %s does not hold a key: wanted %u to %u bytes, raw or as "
				"hexadecimal digits",
				path, AUTH_KEY_MIN, AUTH_KEY_MAX);
	sodium_memzero(data, sizeof(data));
	close(fd);
	return err;
}

void auth_key_wipe(struct auth_key *key)
{
	sodium_memzero(key, sizeof(*key));
}

int auth_create(struct auth **out, const struct auth_key *key, uint8_t self, uint8_t n_nodes,
		uint64_t incarnation)
{
	struct auth *a;

	HAVEN_ASSERT(self < n_nodes && n_nodes <= HAVEN_NODES_MAX && incarnation != 0);
	HAVEN_ASSERT(key->size >= AUTH_KEY_MIN && key->size <= AUTH_KEY_MAX);
	*out = NULL;
	if (sodium_init() < 0)
		return -HAVEN_ESYS;
	a = sodium_malloc((sizeof(*a) + 63) & ~(size_t)63);
	if (!a)
		return -HAVEN_ENOMEM;
	memset(a, 0, sizeof(*a));
	a->key = *key;
	a->self = self;
	a->n_nodes = n_nodes;
	a->incarnation = incarnation;
	*out = a;
	return 0;
}

void auth_destroy(struct auth *a)
{
	sodium_free(a);
}

uint64_t auth_derivations(const struct auth *a)
{
	return a->derivations;
}

static void session_derive(struct auth *a, struct auth_session *s, const struct frame_header *h)
{
	static const char context[16] = "haven frame key";
	uint8_t input[sizeof(context) + 2 + 16];
	struct bytes_writer w = bytes_writer_init(input, sizeof(input));

	bytes_put(&w, context, sizeof(context));
	bytes_put_u8(&w, h->src);
	bytes_put_u8(&w, h->dst);
	bytes_put_u64(&w, h->src_incarnation);
	bytes_put_u64(&w, h->dst_incarnation);
	crypto_generichash(s->key, sizeof(s->key), input, w.used, a->key.bytes, a->key.size);
	s->src_incarnation = h->src_incarnation;
	s->dst_incarnation = h->dst_incarnation;
	a->derivations++;
}

static bool session_matches(const struct auth_session *s, const struct frame_header *h)
{
	return s->src_incarnation == h->src_incarnation && s->dst_incarnation == h->dst_incarnation;
}

size_t auth_seal(struct auth *a, uint8_t *frame, size_t bytes, size_t room)
{
	struct auth_session *s;
	struct frame_header h;

	if (bytes > room || room - bytes < AUTH_TAG_BYTES ||
	    frame_header_decode(frame, bytes, &h) != FRAME_OK || h.src != a->self ||
	    h.dst >= a->n_nodes)
		return 0;
	s = &a->peer[h.dst].tx[h.dst_incarnation ? TX_KNOWN : TX_HELLO];
	if (!session_matches(s, &h))
		session_derive(a, s, &h);
	crypto_shorthash_siphashx24(frame + bytes, frame, bytes, s->key);
	return bytes + AUTH_TAG_BYTES;
}

/* The slot whose key belongs to the header; derives into the candidate if none does. */
static struct auth_session *rx_session(struct auth *a, struct auth_peer *p,
				       const struct frame_header *h)
{
	for (unsigned i = 0; i < RX_SLOTS; i++) {
		if (session_matches(&p->rx[i], h))
			return &p->rx[i];
	}
	session_derive(a, &p->rx[RX_CANDIDATE], h);
	return &p->rx[RX_CANDIDATE];
}

/* A candidate with a good tag takes the place of its kind unless it is of an earlier life: those
 * are replays, which the protocol refuses, and must not displace the key in use. */
static void rx_promote(struct auth_peer *p)
{
	struct auth_session *c = &p->rx[RX_CANDIDATE];
	struct auth_session *s = &p->rx[c->dst_incarnation ? RX_KNOWN : RX_HELLO];

	if (c->src_incarnation > s->src_incarnation) {
		*s = *c;
		c->src_incarnation = 0;
	}
}

enum frame_fault auth_open(struct auth *a, const uint8_t *data, size_t size, size_t *bytes,
			   uint8_t *src)
{
	uint8_t tag[AUTH_TAG_BYTES];
	struct auth_session *s;
	struct frame_header h;
	enum frame_fault fault;

	*src = HAVEN_NODE_NONE;
	*bytes = 0;
	if (size < FRAME_HEADER_BYTES + AUTH_TAG_BYTES)
		return FRAME_BAD_LENGTH;
	*bytes = size - AUTH_TAG_BYTES;
	fault = frame_header_decode(data, *bytes, &h);
	if (fault != FRAME_OK)
		return fault;
	if (h.key_id != 0 || h.src >= a->n_nodes || h.src == a->self || h.dst != a->self)
		return FRAME_BAD_PEER;
	*src = h.src;
	if (h.dst_incarnation != 0 && h.dst_incarnation != a->incarnation)
		return FRAME_BAD_REPLAY;
	s = rx_session(a, &a->peer[h.src], &h);
	crypto_shorthash_siphashx24(tag, data, *bytes, s->key);
	if (sodium_memcmp(tag, data + *bytes, sizeof(tag)) != 0)
		return FRAME_BAD_TAG;
	if (s == &a->peer[h.src].rx[RX_CANDIDATE])
		rx_promote(&a->peer[h.src]);
	return FRAME_OK;
}
