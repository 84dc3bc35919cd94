/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire.h"

#include <sodium.h>
#include <string.h>

#include "fuzz_common.h"

#define SOURCE_AT 4u /* in the header, then the destination */
#define KEY_AT 6u
#define LENGTH_AT 8u
#define LIVES_AT 12u /* of the source, then of the destination */
#define KEYS 2u

static struct auth_keys cluster_keys(unsigned send)
{
	struct auth_keys keys = {.n = KEYS, .send = send};

	for (unsigned k = 0; k < KEYS; k++) {
		keys.key[k].id = (uint8_t)(1 + k);
		keys.key[k].size = AUTH_KEY_MIN;
		memset(keys.key[k].bytes, (int)(0x11 * (k + 1)), AUTH_KEY_MIN);
	}
	return keys;
}

uint64_t wire_incarnation(unsigned node)
{
	return 0x1000 + node;
}

/* The states are made when first asked for and kept: making one asks the kernel for locked pages.
 */
static struct auth *auth_of(unsigned node, bool confidential, unsigned send)
{
	static struct auth *made[WIRE_NODES][2][KEYS];
	struct auth **a = &made[node][confidential][send];
	struct auth_keys keys = cluster_keys(send);

	if (!*a)
		FUZZ_REQUIRE(auth_create(a, &keys, (uint8_t)node, WIRE_NODES,
					 wire_incarnation(node), confidential) == 0);
	return *a;
}

struct auth *wire_receiver(uint8_t options)
{
	return auth_of(WIRE_SELF, (options & WIRE_CONFIDENTIAL) != 0, 0);
}

void wire_receiver_reset(uint8_t options)
{
	struct auth_keys keys = cluster_keys(0), others = keys;

	for (unsigned k = 0; k < KEYS; k++)
		others.key[k].id = (uint8_t)(101 + k);
	auth_keys_exchange(wire_receiver(options), &others);
	auth_keys_exchange(wire_receiver(options), &keys);
}

struct wrap wire_wrap(uint8_t options, unsigned node)
{
	struct wrap w = {.kind = (enum wrap_kind)((options & WIRE_KIND) % 3),
			 .vlan = options & WIRE_VLAN ? 100 : 0,
			 .udp_port = WRAP_UDP_PORT_DEFAULT};

	for (size_t i = 0; i < wrap_ip_bytes(&w); i++)
		w.self.ip[i] = (uint8_t)(10 + node);
	wrap_mac("fuzz", (uint8_t)node, w.self.mac);
	return w;
}

/* ---- examples ---------------------------------------------------------------------------------
 */

static void example_view(struct frame_view *v)
{
	v->kind = FRAME_VIEW_PROPOSED;
	v->ballot = BALLOT(3, 0);
	v->base = 6;
	v->view.epoch = 7;
	v->view.n_nodes = WIRE_NODES;
	v->view.n_instances = 2;
	v->view.members = 7;
	for (unsigned i = 0; i < WIRE_NODES; i++)
		v->view.incarnation[i] = wire_incarnation(i);
	v->view.instance[0] = (struct view_instance){.assigned = 2, .in_sync = 3};
	v->view.instance[1] = (struct view_instance){.holder = HAVEN_NODE_NONE, .in_sync = 4};
}

static void example_body(struct frame *f)
{
	static const uint8_t records[] = "record and record and record";

	switch ((enum frame_type)f->type) {
	case FRAME_BEAT:
		f->u.beat = (struct frame_beat){.seq = 9,
						.echo = 8,
						.epoch = 7,
						.promised = BALLOT(3, 0),
						.released = 3,
						.yielded = 1,
						.ready = 3,
						.heard = 7,
						.flags = BEAT_GRANT};
		break;
	case FRAME_VIEW:
		example_view(&f->u.view);
		break;
	case FRAME_MIRROR:
		f->u.mirror = (struct frame_mirror){.kind = MIRROR_RECORDS,
						    .epoch = 7,
						    .session = 1,
						    .first = 1,
						    .count = 2,
						    .payload = records,
						    .payload_bytes = sizeof(records)};
		break;
	case FRAME_MIRROR_ACK:
		f->u.ack = (struct frame_mirror_ack){.epoch = 7, .session = 1, .next = 2};
		break;
	case FRAME_DIGEST:
		f->u.digest = (struct frame_digest){.epoch = 7,
						    .session = 1,
						    .position = 2,
						    .first = 1,
						    .count = 3,
						    .live = 3,
						    .payload = records,
						    .payload_bytes = sizeof(records)};
		break;
	case FRAME_TYPE_END:
		break;
	}
}

size_t wire_example(uint8_t type, uint8_t src, uint64_t counter, uint8_t *plain)
{
	struct frame f = {.type = type,
			  .src = src,
			  .dst = WIRE_SELF,
			  .src_incarnation = wire_incarnation(src),
			  .dst_incarnation = wire_incarnation(WIRE_SELF),
			  .counter = counter};
	size_t n;

	example_body(&f);
	n = frame_encode(&f, plain, FRAME_BYTES_MAX);
	FUZZ_REQUIRE(n > FRAME_HEADER_BYTES);
	return n;
}

/* ---- packets ----------------------------------------------------------------------------------
 */

/* As auth.h says, written down here once more: so no change of it goes unnoticed. */
static void sign(uint8_t *frame, size_t bytes)
{
	struct auth_keys keys = cluster_keys(0);
	const struct auth_key *key = &keys.key[frame[KEY_AT] == keys.key[1].id];
	uint8_t input[34] = "haven frame key", tag_key[crypto_shorthash_siphashx24_KEYBYTES];

	memcpy(input + 16, frame + SOURCE_AT, 2);
	memcpy(input + 18, frame + LIVES_AT, 16);
	crypto_generichash(tag_key, sizeof(tag_key), input, sizeof(input), key->bytes, key->size);
	crypto_shorthash_siphashx24(frame + bytes, frame, bytes, tag_key);
}

bool wire_sign(uint8_t options, uint8_t *packet, size_t n)
{
	struct wrap w = wire_wrap(options, WIRE_SELF);
	size_t size = 0;
	uint8_t *frame = wrap_read(&w, packet, n, &size);

	if (!frame || size < FRAME_HEADER_BYTES + AUTH_TAG_BYTES)
		return false;
	sign(frame, size - AUTH_TAG_BYTES);
	return true;
}

size_t wire_pack(uint8_t options, const uint8_t *plain, size_t n, uint8_t out[WIRE_PACKET_MAX])
{
	struct wrap from = wire_wrap(options, 0), to = wire_wrap(options, WIRE_SELF);
	uint8_t *frame = out + wrap_bytes(&from);
	size_t sealed = 0;

	n = n > FRAME_BYTES_MAX ? FRAME_BYTES_MAX : n;
	memcpy(frame, plain, n);
	if (n >= FRAME_HEADER_BYTES) {
		frame[LENGTH_AT] = (uint8_t)(n - FRAME_HEADER_BYTES);
		frame[LENGTH_AT + 1] = (uint8_t)((n - FRAME_HEADER_BYTES) >> 8);
		if (frame[SOURCE_AT] == 0 || frame[SOURCE_AT] == 2)
			sealed = auth_seal(auth_of(frame[SOURCE_AT], (options & WIRE_SEALS) != 0,
						   (options & WIRE_OTHER_KEY) != 0),
					   frame, n, WIRE_FRAME_MAX);
	}
	if (!sealed) { /* nobody would send it */
		memset(frame + n, 0, AUTH_TAG_BYTES);
		sealed = n + AUTH_TAG_BYTES;
		if (n >= FRAME_HEADER_BYTES)
			sign(frame, n);
	}
	wrap_write(&from, &to.self, out, sealed);
	return wrap_bytes(&from) + sealed;
}

size_t wire_unpack(uint8_t options, const uint8_t *packet, size_t n, uint8_t plain[WIRE_FRAME_MAX])
{
	struct wrap w = wire_wrap(options, WIRE_SELF);
	uint8_t copy[WIRE_PACKET_MAX], *frame, src;
	size_t size = 0, bytes = 0;

	if (n > sizeof(copy))
		return 0;
	memcpy(copy, packet, n);
	frame = wrap_read(&w, copy, n, &size);
	if (!frame || size < FRAME_HEADER_BYTES + AUTH_TAG_BYTES || size > WIRE_FRAME_MAX)
		return 0;
	/* One that does not open is given as it is; its tag is left behind. */
	if (auth_open(auth_of(WIRE_SELF, false, 1), frame, size, &bytes, &src) != FRAME_OK)
		bytes = size - AUTH_TAG_BYTES;
	memcpy(plain, frame, bytes);
	return bytes;
}
