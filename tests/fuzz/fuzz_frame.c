/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A packet of any content on a link of each kind: taken out of its headers, or looked at for what
 * it tells of next hops; its tag checked, its body opened and decoded. The mutator
 * (fuzz_frame_mutate.c) seals what it changed, so that most inputs get behind the tag.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_common.h"
#include "neighbour.h"
#include "wire.h"

#define KEY_ID_AT 6u
#define SEALED_AT 7u
#define TYPE_AT 3u

/* ---- one input --------------------------------------------------------------------------------
 */

/* What was taken means exactly one sequence of bytes, but for the key's number. */
static void decode(const uint8_t *plain, size_t bytes)
{
	uint8_t again[FRAME_BYTES_MAX];
	struct frame f;

	if (frame_decode(plain, bytes, &f) != FRAME_OK)
		return;
#ifdef HAVEN_FUZZ_CANARY /* a mistake that shows only in a view behind a good tag */
	FUZZ_REQUIRE(f.type != FRAME_VIEW || f.u.view.kind != FRAME_VIEW_FORCED);
#endif
	FUZZ_REQUIRE(frame_encode(&f, again, sizeof(again)) == bytes);
	again[KEY_ID_AT] = plain[KEY_ID_AT];
	FUZZ_REQUIRE(memcmp(again, plain, bytes) == 0);
	if (f.type == FRAME_VIEW)
		FUZZ_REQUIRE(view_same_body(&f.u.view.view, &f.u.view.view));
	if (f.type == FRAME_MIRROR && f.u.mirror.payload_bytes)
		FUZZ_REQUIRE(f.u.mirror.payload + f.u.mirror.payload_bytes == plain + bytes);
}

static void open_frame(uint8_t options, uint8_t *frame, size_t size)
{
	struct auth *a = wire_receiver(options);
	bool came_open = size > TYPE_AT && size > SEALED_AT && !frame[SEALED_AT] &&
			 (frame[TYPE_AT] == FRAME_VIEW || frame[TYPE_AT] == FRAME_MIRROR);
	uint64_t derived = auth_derivations(a);
	struct frame_header h;
	size_t bytes;
	uint8_t src;
	enum frame_fault fault = auth_open(a, frame, size, &bytes, &src);

	FUZZ_REQUIRE(fault < FRAME_FAULT_COUNT && auth_derivations(a) - derived <= 1);
	FUZZ_REQUIRE(src == HAVEN_NODE_NONE || (src < WIRE_NODES && src != WIRE_SELF));
	if (fault != FRAME_OK)
		return;
	FUZZ_REQUIRE(bytes + AUTH_TAG_BYTES <= size && src != HAVEN_NODE_NONE);
	FUZZ_REQUIRE(!((options & WIRE_CONFIDENTIAL) && came_open));
	FUZZ_REQUIRE(frame_header_decode(frame, bytes, &h) == FRAME_OK && !h.sealed);
	FUZZ_REQUIRE(auth_peer_key_id(a, src) == h.key_id);
	decode(frame, bytes);
	/* Otherwise a run would depend on the one before. */
	if (h.src_incarnation != wire_incarnation(src))
		wire_receiver_reset(options);
}

/* The answer goes into memory of its own size, so that a write past its end is seen. */
static void look_for_neighbours(const struct wrap *w, uint8_t options, uint8_t *packet, size_t n)
{
	struct neighbour hop[2] = {0};
	uint8_t *answer = malloc(NEIGHBOUR_BYTES_MAX), *at;
	const uint8_t *sender;
	uint16_t type;
	size_t bytes, left;

	FUZZ_REQUIRE(answer != NULL);
	for (unsigned i = 0; i < 2; i++) {
		struct wrap peer = wire_wrap(options, 2 * i);

		memcpy(hop[i].ip, peer.self.ip, sizeof(hop[i].ip));
	}
	bytes = neighbour_take(w, hop, 2, packet, n, 7, answer);
	FUZZ_REQUIRE(bytes <= NEIGHBOUR_BYTES_MAX);
	for (unsigned i = 0; i < 2; i++)
		FUZZ_REQUIRE(!hop[i].known || (hop[i].told_ns == 7 && !(hop[i].mac[0] & 1)));
	if (bytes) {
		at = wrap_read_ethernet(w, answer, bytes, &type, &sender, &left);
		FUZZ_REQUIRE(at && memcmp(sender, w->self.mac, WRAP_MAC_BYTES) == 0);
	}
	free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t options = n ? data[0] : 0, *packet, *frame;
	struct wrap w = wire_wrap(options, WIRE_SELF);
	size_t size = 0;

	n = n ? n - 1 : 0;
	/* Memory of its own size, so that a read past its end is seen. */
	packet = malloc(n ? n : 1);
	FUZZ_REQUIRE(packet != NULL);
	if (n)
		memcpy(packet, data + 1, n);
	frame = wrap_read(&w, packet, n, &size);
	if (frame) {
		FUZZ_REQUIRE(frame >= packet && (size_t)(frame - packet) + size <= n);
		open_frame(options, frame, size);
	} else if (w.kind != WRAP_ETHERNET) {
		look_for_neighbours(&w, options, packet, n);
	}
	free(packet);
	return 0;
}

/* ---- seeds ------------------------------------------------------------------------------------
 */

struct seed {
	uint8_t bytes[1 + WIRE_PACKET_MAX];
	size_t n;
};

static void seed_write(const char *folder, const char *what, unsigned number, const struct seed *s)
{
	char name[64];

	snprintf(name, sizeof(name), "%s-%02u", what, number);
	fuzz_seed_write(folder, name, s->bytes, s->n);
}

/* The packet is made where it can be aligned as its headers want. */
static void seed_pack(struct seed *s, uint8_t options, const uint8_t *plain, size_t n)
{
	uint8_t packet[WIRE_PACKET_MAX] __attribute__((aligned(4)));

	s->bytes[0] = options;
	s->n = 1 + wire_pack(options, plain, n, packet);
	memcpy(s->bytes + 1, packet, s->n - 1);
}

/** Each type on each kind of link, open and sealed, with both keys. */
static void seeds_good(const char *folder)
{
	static const char *const names[] = {"", "beat", "view", "mirror", "ack", "digest"};
	uint8_t plain[FRAME_BYTES_MAX];
	struct seed s;

	for (uint8_t type = FRAME_BEAT; type < FRAME_TYPE_END; type++) {
		for (uint8_t options = 0; options < 64; options++) {
			size_t n = wire_example(type, options & 1 ? 2 : 0, options, plain);

			if ((options & WIRE_KIND) == WIRE_KIND)
				continue;
			seed_pack(&s, options, plain, n);
			seed_write(folder, names[type], options, &s);
		}
	}
}

/** A good frame of each type with one byte changed, sealed after that: the header of
 *  one type, the body of all. */
static void seeds_changed(const char *folder)
{
	static const uint8_t to[] = {0, 1, 0x7f, 0xff};
	uint8_t plain[FRAME_BYTES_MAX];
	struct seed s;

	for (uint8_t type = FRAME_BEAT; type < FRAME_TYPE_END; type++) {
		size_t n = wire_example(type, 0, 3, plain);

		for (size_t at = type == FRAME_BEAT ? 0 : FRAME_HEADER_BYTES; at < n; at++) {
			uint8_t was = plain[at];
			char what[32];

			plain[at] = was == to[at % 4] ? to[(at + 1) % 4] : to[at % 4];
			seed_pack(&s, 0, plain, n);
			snprintf(what, sizeof(what), "changed-%u", type);
			seed_write(folder, what, (unsigned)at, &s);
			plain[at] = was;
		}
		seed_pack(&s, 0, plain, n - 1);
		seed_write(folder, "short", type, &s);
		s.bytes[s.n - 1] ^= 1;
		seed_write(folder, "tag", type, &s);
		s.n = 20;
		seed_write(folder, "cut", type, &s);
	}
}

/** What is sealed inside is spoilt, or too short for that, under a tag that is right. */
static void seeds_spoilt(const char *folder)
{
	uint8_t packet[WIRE_PACKET_MAX] __attribute__((aligned(4))), plain[FRAME_BYTES_MAX];
	const uint8_t options = WIRE_SEALS | WIRE_CONFIDENTIAL;
	size_t n = wire_example(FRAME_MIRROR, 0, 5, plain), ethernet = 14;
	struct seed s = {.bytes = {options}};

	s.n = 1 + wire_pack(options, plain, n, packet);
	packet[ethernet + FRAME_HEADER_BYTES] ^= 1;
	FUZZ_REQUIRE(wire_sign(options, packet, s.n - 1));
	memcpy(s.bytes + 1, packet, s.n - 1);
	seed_write(folder, "spoilt", 0, &s);
	plain[SEALED_AT] = 1;
	plain[KEY_ID_AT] = 1;
	seed_pack(&s, options, plain, n);
	seed_write(folder, "spoilt", 1, &s);
	seed_pack(&s, options, plain, FRAME_HEADER_BYTES + 3);
	seed_write(folder, "spoilt", 2, &s);
}

/** Questions and answers about next hops. */
static void seeds_neighbours(const char *folder)
{
	uint8_t ask[NEIGHBOUR_BYTES_MAX], answer[NEIGHBOUR_BYTES_MAX];
	struct seed s;

	for (uint8_t options = 0; options < 8; options++) {
		struct wrap a = wire_wrap(options, 0), b = wire_wrap(options, WIRE_SELF);
		struct neighbour hop = {0};
		size_t n;

		if (a.kind == WRAP_ETHERNET)
			continue;
		memcpy(hop.ip, b.self.ip, sizeof(hop.ip));
		n = neighbour_ask(&a, &hop, ask);
		s.bytes[0] = options;
		s.n = 1 + n;
		memcpy(s.bytes + 1, ask, n);
		seed_write(folder, "ask", options, &s);
		memcpy(hop.ip, a.self.ip, sizeof(hop.ip));
		n = neighbour_ask(&b, &hop, ask);
		n = neighbour_take(&a, &hop, 1, ask, n, 1, answer);
		s.n = 1 + n;
		memcpy(s.bytes + 1, answer, n);
		seed_write(folder, "answer", options, &s);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *folder = getenv("HAVEN_FUZZ_SEEDS");

	(void)argc;
	(void)argv;
	if (folder) {
		seeds_good(folder);
		seeds_changed(folder);
		seeds_spoilt(folder);
		seeds_neighbours(folder);
		exit(0);
	}
	return 0;
}
