/* SPDX-License-Identifier: BSD-3-Clause */
#include "auth.h"

#include <sodium.h>
#include <string.h>

#include "haven_assert.h"

HAVEN_STATIC_ASSERT(AUTH_TAG_BYTES == crypto_shorthash_siphashx24_BYTES, "128-bit tag");
HAVEN_STATIC_ASSERT(FRAME_SEAL_BYTES == crypto_aead_aes256gcm_ABYTES, "GCM tag");
HAVEN_STATIC_ASSERT(AUTH_KEY_MAX == crypto_generichash_KEYBYTES_MAX, "the key fits the KDF");

/** What was derived for one direction of one pair of incarnations; src_incarnation 0: empty. */
struct auth_session {
	crypto_aead_aes256gcm_state seal; /**< only of a confidential node, or once needed */
	uint64_t src_incarnation, dst_incarnation;
	uint8_t tag_key[crypto_shorthash_siphashx24_KEYBYTES];
	uint8_t key; /**< index of the cluster key */
	bool can_seal;
};

/* A peer that knows our incarnation, and one that does not yet. */
enum { SESSION_KNOWN = 0, SESSION_HELLO, SESSION_KINDS };

struct auth_peer {
	struct auth_session tx[SESSION_KINDS];
	/* By cluster key, so that frames of two keys do not push each other out. */
	struct auth_session rx[AUTH_KEYS_MAX][SESSION_KINDS];
	/* The only one that a frame with a bad tag can change. */
	struct auth_session candidate;
	uint8_t key_id; /**< of the newest authentic frame, AUTH_KEY_NONE: none yet */
};

struct auth {
	uint64_t incarnation;
	uint64_t derivations;
	uint8_t self, n_nodes;
	bool confidential, has_aes;
	struct auth_keys keys;
	struct auth_peer peer[HAVEN_NODES_MAX];
};

int auth_create(struct auth **out, const struct auth_keys *keys, uint8_t self, uint8_t n_nodes,
		uint64_t incarnation, bool confidential)
{
	struct auth *a;

	HAVEN_ASSERT(self < n_nodes && n_nodes <= HAVEN_NODES_MAX && incarnation != 0);
	HAVEN_ASSERT(keys->n >= 1 && keys->n <= AUTH_KEYS_MAX && keys->send < keys->n);
	*out = NULL;
	if (sodium_init() < 0)
		return -HAVEN_ESYS;
	if (confidential && !crypto_aead_aes256gcm_is_available())
		return -HAVEN_ESYS;
	a = sodium_malloc((sizeof(*a) + 63) & ~(size_t)63);
	if (!a)
		return -HAVEN_ENOMEM;
	memset(a, 0, sizeof(*a));
	a->keys = *keys;
	a->self = self;
	a->n_nodes = n_nodes;
	a->incarnation = incarnation;
	a->confidential = confidential;
	a->has_aes = crypto_aead_aes256gcm_is_available();
	for (unsigned i = 0; i < HAVEN_NODES_MAX; i++)
		a->peer[i].key_id = AUTH_KEY_NONE;
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

uint8_t auth_key_id(const struct auth *a)
{
	return a->keys.key[a->keys.send].id;
}

uint8_t auth_peer_key_id(const struct auth *a, unsigned peer)
{
	return peer < a->n_nodes ? a->peer[peer].key_id : AUTH_KEY_NONE;
}

/** Index of the key with this number, AUTH_KEYS_MAX: none. */
static unsigned key_find(const struct auth_keys *keys, uint8_t id)
{
	unsigned i = 0;

	while (i < keys->n && keys->key[i].id != id)
		i++;
	return i < keys->n ? i : AUTH_KEYS_MAX;
}

/** Of two keys of one number. */
static bool key_equal(const struct auth_key *a, const struct auth_key *b)
{
	return a->size == b->size && sodium_memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* Sessions of keys that stay keep their place in the new order. What is sealed from now on is
 * derived anew, which costs one derivation per peer. */
static void peer_exchange(struct auth_peer *p, const struct auth_keys *before,
			  const struct auth_keys *after)
{
	struct auth_session kept[AUTH_KEYS_MAX][SESSION_KINDS] = {0};

	for (unsigned i = 0; i < after->n; i++) {
		unsigned from = key_find(before, after->key[i].id);

		if (from == AUTH_KEYS_MAX || !key_equal(&before->key[from], &after->key[i]))
			continue;
		memcpy(kept[i], p->rx[from], sizeof(kept[i]));
		for (unsigned k = 0; k < SESSION_KINDS; k++)
			kept[i][k].key = (uint8_t)i;
	}
	memcpy(p->rx, kept, sizeof(p->rx));
	sodium_memzero(kept, sizeof(kept));
	sodium_memzero(p->tx, sizeof(p->tx));
	sodium_memzero(&p->candidate, sizeof(p->candidate));
}

void auth_keys_exchange(struct auth *a, const struct auth_keys *keys)
{
	HAVEN_ASSERT(keys->n >= 1 && keys->n <= AUTH_KEYS_MAX && keys->send < keys->n);
	for (unsigned i = 0; i < a->n_nodes; i++)
		peer_exchange(&a->peer[i], &a->keys, keys);
	a->keys = *keys;
}

/* ---- sessions ---------------------------------------------------------------------------------
 */

static void derive(const struct auth_key *key, const struct frame_header *h,
		   const char context[static 16], uint8_t *out, size_t out_bytes)
{
	uint8_t input[16 + 2 + 16];
	struct bytes_writer w = bytes_writer_init(input, sizeof(input));

	bytes_put(&w, context, 16);
	bytes_put_u8(&w, h->src);
	bytes_put_u8(&w, h->dst);
	bytes_put_u64(&w, h->src_incarnation);
	bytes_put_u64(&w, h->dst_incarnation);
	crypto_generichash(out, out_bytes, input, w.used, key->bytes, key->size);
}

static void session_derive(struct auth *a, struct auth_session *s, unsigned key,
			   const struct frame_header *h)
{
	derive(&a->keys.key[key], h, "haven frame key", s->tag_key, sizeof(s->tag_key));
	s->src_incarnation = h->src_incarnation;
	s->dst_incarnation = h->dst_incarnation;
	s->key = (uint8_t)key;
	s->can_seal = false;
	a->derivations++;
}

/* Only when a body is sealed or opened, which happens after the tag was found good. */
static void session_derive_seal(struct auth *a, struct auth_session *s,
				const struct frame_header *h)
{
	uint8_t key[crypto_aead_aes256gcm_KEYBYTES];

	if (s->can_seal)
		return;
	derive(&a->keys.key[s->key], h, "haven seal key ", key, sizeof(key));
	crypto_aead_aes256gcm_beforenm(&s->seal, key);
	sodium_memzero(key, sizeof(key));
	s->can_seal = true;
}

static bool session_matches(const struct auth_session *s, unsigned key,
			    const struct frame_header *h)
{
	return s->src_incarnation == h->src_incarnation &&
	       s->dst_incarnation == h->dst_incarnation && s->key == key;
}

/* The slot whose key belongs to the header; derives into the candidate if none does. */
static struct auth_session *rx_session(struct auth *a, struct auth_peer *p, unsigned key,
				       const struct frame_header *h)
{
	for (unsigned i = 0; i < SESSION_KINDS; i++) {
		if (session_matches(&p->rx[key][i], key, h))
			return &p->rx[key][i];
	}
	if (!session_matches(&p->candidate, key, h))
		session_derive(a, &p->candidate, key, h);
	return &p->candidate;
}

/* A candidate with a good tag takes the place of its kind unless it is of an earlier life: those
 * are replays, which the protocol refuses, and must not displace the key in use. */
static struct auth_session *rx_promote(struct auth_peer *p)
{
	struct auth_session *c = &p->candidate;
	struct auth_session *s = &p->rx[c->key][c->dst_incarnation ? SESSION_KNOWN : SESSION_HELLO];

	if (c->src_incarnation <= s->src_incarnation)
		return c;
	*s = *c;
	c->src_incarnation = 0;
	return s;
}

/* ---- bodies -----------------------------------------------------------------------------------
 */

/* Views name nodes and work, records are the application's own. */
static bool is_secret(uint8_t type)
{
	return type == FRAME_VIEW || type == FRAME_MIRROR;
}

static void nonce_make(uint8_t nonce[crypto_aead_aes256gcm_NPUBBYTES], uint64_t counter)
{
	struct bytes_writer w = bytes_writer_init(nonce, crypto_aead_aes256gcm_NPUBBYTES);

	bytes_put_u32(&w, 0);
	bytes_put_u64(&w, counter);
}

/** Encrypt the body in place and append its tag. Returns the new length. */
static size_t body_seal(struct auth *a, struct auth_session *s, const struct frame_header *h,
			uint8_t *frame, size_t bytes)
{
	uint8_t nonce[crypto_aead_aes256gcm_NPUBBYTES], *body = frame + FRAME_HEADER_BYTES;
	size_t body_bytes = bytes - FRAME_HEADER_BYTES;

	session_derive_seal(a, s, h);
	nonce_make(nonce, h->counter);
	frame_header_protect(frame, h->key_id, true, (uint16_t)(body_bytes + FRAME_SEAL_BYTES));
	crypto_aead_aes256gcm_encrypt_detached_afternm(body, body + body_bytes, NULL, body,
						       body_bytes, frame, FRAME_HEADER_BYTES, NULL,
						       nonce, &s->seal);
	return bytes + FRAME_SEAL_BYTES;
}

static enum frame_fault body_open(struct auth *a, struct auth_session *s,
				  const struct frame_header *h, uint8_t *frame, size_t *bytes)
{
	uint8_t nonce[crypto_aead_aes256gcm_NPUBBYTES], *body = frame + FRAME_HEADER_BYTES;
	size_t body_bytes;

	if (!a->has_aes || h->body_bytes < FRAME_SEAL_BYTES)
		return FRAME_BAD_BODY;
	body_bytes = h->body_bytes - FRAME_SEAL_BYTES;
	session_derive_seal(a, s, h);
	nonce_make(nonce, h->counter);
	if (crypto_aead_aes256gcm_decrypt_detached_afternm(
		    body, NULL, body, body_bytes, body + body_bytes, frame, FRAME_HEADER_BYTES,
		    nonce, &s->seal) != 0)
		return FRAME_BAD_TAG;
	frame_header_protect(frame, h->key_id, false, (uint16_t)body_bytes);
	*bytes -= FRAME_SEAL_BYTES;
	return FRAME_OK;
}

/* ---- frames -----------------------------------------------------------------------------------
 */

size_t auth_seal(struct auth *a, uint8_t *frame, size_t bytes, size_t room)
{
	struct auth_session *s;
	struct frame_header h;
	bool seal;

	if (bytes > room || frame_header_decode(frame, bytes, &h) != FRAME_OK || h.src != a->self ||
	    h.dst >= a->n_nodes || h.sealed)
		return 0;
	seal = a->confidential && is_secret(h.type);
	if (room - bytes < (seal ? AUTH_BYTES_MAX : AUTH_TAG_BYTES))
		return 0;
	h.key_id = auth_key_id(a);
	s = &a->peer[h.dst].tx[h.dst_incarnation ? SESSION_KNOWN : SESSION_HELLO];
	if (!session_matches(s, a->keys.send, &h))
		session_derive(a, s, a->keys.send, &h);
	if (seal)
		bytes = body_seal(a, s, &h, frame, bytes);
	else
		frame_header_protect(frame, h.key_id, false, h.body_bytes);
	crypto_shorthash_siphashx24(frame + bytes, frame, bytes, s->tag_key);
	return bytes + AUTH_TAG_BYTES;
}

/** Everything that can be refused before a tag is computed. */
static enum frame_fault open_check(const struct auth *a, const struct frame_header *h,
				   unsigned *key, uint8_t *src)
{
	if (h->src >= a->n_nodes || h->src == a->self || h->dst != a->self)
		return FRAME_BAD_PEER;
	*src = h->src;
	*key = key_find(&a->keys, h->key_id);
	if (*key == AUTH_KEYS_MAX)
		return FRAME_BAD_KEY;
	if (h->dst_incarnation != 0 && h->dst_incarnation != a->incarnation)
		return FRAME_BAD_REPLAY;
	return FRAME_OK;
}

enum frame_fault auth_open(struct auth *a, uint8_t *data, size_t size, size_t *bytes, uint8_t *src)
{
	uint8_t tag[AUTH_TAG_BYTES];
	struct auth_session *s;
	struct auth_peer *p;
	struct frame_header h;
	enum frame_fault fault;
	unsigned key;

	*src = HAVEN_NODE_NONE;
	*bytes = 0;
	if (size < FRAME_HEADER_BYTES + AUTH_TAG_BYTES)
		return FRAME_BAD_LENGTH;
	*bytes = size - AUTH_TAG_BYTES;
	fault = frame_header_decode(data, *bytes, &h);
	if (fault == FRAME_OK)
		fault = open_check(a, &h, &key, src);
	if (fault != FRAME_OK)
		return fault;
	p = &a->peer[h.src];
	s = rx_session(a, p, key, &h);
	crypto_shorthash_siphashx24(tag, data, *bytes, s->tag_key);
	if (sodium_memcmp(tag, data + *bytes, sizeof(tag)) != 0)
		return FRAME_BAD_TAG;
	if (s == &p->candidate)
		s = rx_promote(p);
	p->key_id = h.key_id;
	if (h.sealed)
		return body_open(a, s, &h, data, bytes);
	return a->confidential && is_secret(h.type) ? FRAME_BAD_BODY : FRAME_OK;
}
