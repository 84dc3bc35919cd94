/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "frame.h"
#include "prng.h"

#define KEY_ID_AT 6u

/*
 * The wire format, written down byte by byte: put together by hand from the layout at the top of
 * frame.c, not by the encoder. Frames of other releases must go on looking like this.
 */
static const struct {
	uint8_t type;
	const char *hex;
} golden[] = {
	{FRAME_BEAT, "56480201010200007d0000001817161514131211282726252423222138373635"
		     "3433323100000000000000000101000000000000020100000000000003010000"
		     "000000000401000000000000051100000000000005010000000000000601000000000000"
		     "07010000"
		     "00000000080100000000000009010000000000000a0100000000000006000000"
		     "0000000002000000000000000800000000000000070000000000000005000000"
		     "03"},
	{FRAME_VIEW, "5648020201020000570000001817161514131211282726252423222138373635"
		     "3433323100000000000000000301020000000000000a0a000000000000550000"
		     "00000000000b0a0000000000000100030205000000a100000000000000000000"
		     "0000000000a3000000000000000004000000050000000900ff00000000040000"
		     "000201"},
	{FRAME_MIRROR, "5648020301020000320000001817161514131211282726252423222138373635"
		       "3433323100000000000000000102030141000000000000004200000000000000"
		       "4300000000000000440000000000000045000000460000000400deadbeef"},
	{FRAME_MIRROR_ACK, "5648020401020000250000001817161514131211282726252423222138373635"
			   "3433323100000000000000000102030100510000000000000052000000000000"
			   "0053000000000000005400000000000000"},
	{FRAME_DIGEST, "56480205010200002d0000001817161514131211282726252423222138373635"
		       "3433323100000000000000000102036100000000000000620000000000000063"
		       "000000000000006400000065000000660000000400deadbeef"},
};
#define GOLDEN_COUNT (sizeof(golden) / sizeof(golden[0]))

static const uint8_t sample_payload[] = {0xde, 0xad, 0xbe, 0xef};

static struct frame sample(uint8_t type)
{
	struct frame f;

	memset(&f, 0, sizeof(f));
	f.type = type;
	f.src = 1;
	f.dst = 2;
	f.src_incarnation = 0x1112131415161718;
	f.dst_incarnation = 0x2122232425262728;
	f.counter = 0x3132333435363738;
	switch (type) {
	case FRAME_BEAT:
		f.u.beat = (struct frame_beat){
			.seq = 0x101,
			.echo = 0x102,
			.echo_hold_ns = 0x103,
			.epoch = 0x104,
			.config = 0x1105,
			.floor = 0x105,
			.prepare = 0x106,
			.promised = 0x107,
			.accepted = 0x108,
			.accepted_digest = 0x109,
			.wait_ns = 0x10a,
			.released = 6,
			.yielded = 2,
			.lost = 8,
			.ready = 7,
			.heard = 5,
			.flags = BEAT_GRANT | BEAT_AMNESIC,
		};
		break;
	case FRAME_VIEW:
		f.u.view.kind = FRAME_VIEW_FORCED;
		f.u.view.ballot = 0x201;
		f.u.view.base = 0xa0a;
		f.u.view.wait_ns = 0x55;
		f.u.view.view.epoch = 0xa0b;
		f.u.view.view.author = 1;
		f.u.view.view.n_nodes = 3;
		f.u.view.view.n_instances = 2;
		f.u.view.view.members = 5;
		f.u.view.view.incarnation[0] = 0xa1;
		f.u.view.view.incarnation[2] = 0xa3;
		f.u.view.view.instance[0] = (struct view_instance){0, 4, 5, 9};
		f.u.view.view.instance[1] = (struct view_instance){HAVEN_NODE_NONE, 0, 4, 0x0102};
		break;
	case FRAME_MIRROR:
		f.u.mirror = (struct frame_mirror){
			.stream = {1, 2, 3},
			.kind = MIRROR_RECORDS,
			.epoch = 0x41,
			.session = 0x42,
			.number = 0x43,
			.first = 0x44,
			.count = 0x45,
			.shape = 0x46,
			.payload_bytes = sizeof(sample_payload),
			.payload = sample_payload,
		};
		break;
	case FRAME_MIRROR_ACK:
		f.u.ack = (struct frame_mirror_ack){
			.stream = {1, 2, 3},
			.gap = 1,
			.epoch = 0x51,
			.session = 0x52,
			.next = 0x53,
			.applied = 0x54,
		};
		break;
	case FRAME_DIGEST:
		f.u.digest = (struct frame_digest){
			.stream = {1, 2, 3},
			.epoch = 0x61,
			.session = 0x62,
			.position = 0x63,
			.first = 0x64,
			.count = 0x65,
			.live = 0x66,
			.payload_bytes = sizeof(sample_payload),
			.payload = sample_payload,
		};
		break;
	default:
		cr_assert_fail("no such type");
	}
	return f;
}

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned byte;

		cr_assert_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (uint8_t)byte;
	}
	return n;
}

static size_t encoded(uint8_t type, uint8_t *out)
{
	struct frame f = sample(type);
	size_t n = frame_encode(&f, out, FRAME_BYTES_MAX);

	cr_assert_gt(n, FRAME_HEADER_BYTES);
	return n;
}

static enum frame_fault decode(const uint8_t *data, size_t size)
{
	struct frame f;

	return frame_decode(data, size, &f);
}

Test(frame, encodes_to_the_bytes_written_down)
{
	for (unsigned k = 0; k < GOLDEN_COUNT; k++) {
		uint8_t want[FRAME_BYTES_MAX], got[FRAME_BYTES_MAX];
		size_t size = from_hex(golden[k].hex, want);

		cr_assert_eq(encoded(golden[k].type, got), size, "type %u", golden[k].type);
		cr_assert_arr_eq(got, want, size, "type %u", golden[k].type);
	}
}

static void check_common(const struct frame *got, const struct frame *want)
{
	cr_expect_eq(got->type, want->type);
	cr_expect_eq(got->src, want->src);
	cr_expect_eq(got->dst, want->dst);
	cr_expect_eq(got->src_incarnation, want->src_incarnation);
	cr_expect_eq(got->dst_incarnation, want->dst_incarnation);
	cr_expect_eq(got->counter, want->counter);
}

static struct frame decoded(const char *hex, uint8_t *bytes)
{
	struct frame f;
	size_t n = from_hex(hex, bytes);

	cr_assert_eq(frame_decode(bytes, n, &f), FRAME_OK);
	return f;
}

Test(frame, a_beat_comes_back_whole)
{
	uint8_t bytes[FRAME_BYTES_MAX];
	struct frame want = sample(FRAME_BEAT), got = decoded(golden[0].hex, bytes);
	const struct frame_beat *w = &want.u.beat, *g = &got.u.beat;

	check_common(&got, &want);
	cr_expect_eq(g->seq, w->seq);
	cr_expect_eq(g->echo, w->echo);
	cr_expect_eq(g->echo_hold_ns, w->echo_hold_ns);
	cr_expect_eq(g->epoch, w->epoch);
	cr_expect_eq(g->config, w->config);
	cr_expect_eq(g->floor, w->floor);
	cr_expect_eq(g->prepare, w->prepare);
	cr_expect_eq(g->promised, w->promised);
	cr_expect_eq(g->accepted, w->accepted);
	cr_expect_eq(g->accepted_digest, w->accepted_digest);
	cr_expect_eq(g->wait_ns, w->wait_ns);
	cr_expect_eq(g->released, w->released);
	cr_expect_eq(g->yielded, w->yielded);
	cr_expect_eq(g->lost, w->lost);
	cr_expect_eq(g->ready, w->ready);
	cr_expect_eq(g->heard, w->heard);
	cr_expect_eq(g->flags, w->flags);
}

Test(frame, a_view_comes_back_whole)
{
	uint8_t bytes[FRAME_BYTES_MAX];
	struct frame want = sample(FRAME_VIEW), got = decoded(golden[1].hex, bytes);

	check_common(&got, &want);
	cr_expect_eq(got.u.view.kind, want.u.view.kind);
	cr_expect_eq(got.u.view.ballot, want.u.view.ballot);
	cr_expect_eq(got.u.view.base, want.u.view.base);
	cr_expect_eq(got.u.view.wait_ns, want.u.view.wait_ns);
	cr_expect_eq(got.u.view.view.epoch, want.u.view.view.epoch);
	cr_expect_eq(got.u.view.view.author, want.u.view.view.author);
	cr_expect_eq(view_digest(&got.u.view.view), view_digest(&want.u.view.view));
}

Test(frame, a_mirror_frame_comes_back_whole)
{
	uint8_t bytes[FRAME_BYTES_MAX];
	struct frame want = sample(FRAME_MIRROR), got = decoded(golden[2].hex, bytes);
	const struct frame_mirror *w = &want.u.mirror, *g = &got.u.mirror;

	check_common(&got, &want);
	cr_expect_arr_eq(&g->stream, &w->stream, sizeof(w->stream));
	cr_expect_eq(g->kind, w->kind);
	cr_expect_eq(g->epoch, w->epoch);
	cr_expect_eq(g->session, w->session);
	cr_expect_eq(g->number, w->number);
	cr_expect_eq(g->first, w->first);
	cr_expect_eq(g->count, w->count);
	cr_expect_eq(g->shape, w->shape);
	cr_expect_eq(g->payload_bytes, w->payload_bytes);
	cr_expect_arr_eq(g->payload, sample_payload, sizeof(sample_payload));
	cr_expect_eq(g->payload, frame_mirror_payload(bytes), "points into the received bytes");
}

Test(frame, an_acknowledgement_comes_back_whole)
{
	uint8_t bytes[FRAME_BYTES_MAX];
	struct frame want = sample(FRAME_MIRROR_ACK), got = decoded(golden[3].hex, bytes);
	const struct frame_mirror_ack *w = &want.u.ack, *g = &got.u.ack;

	check_common(&got, &want);
	cr_expect_arr_eq(&g->stream, &w->stream, sizeof(w->stream));
	cr_expect_eq(g->gap, w->gap);
	cr_expect_eq(g->refused, w->refused);
	cr_expect_eq(g->epoch, w->epoch);
	cr_expect_eq(g->session, w->session);
	cr_expect_eq(g->next, w->next);
	cr_expect_eq(g->applied, w->applied);
}

Test(frame, digests_come_back_whole)
{
	uint8_t bytes[FRAME_BYTES_MAX];
	struct frame want = sample(FRAME_DIGEST), got = decoded(golden[4].hex, bytes);
	const struct frame_digest *w = &want.u.digest, *g = &got.u.digest;

	check_common(&got, &want);
	cr_expect_arr_eq(&g->stream, &w->stream, sizeof(w->stream));
	cr_expect_eq(g->epoch, w->epoch);
	cr_expect_eq(g->session, w->session);
	cr_expect_eq(g->position, w->position);
	cr_expect_eq(g->first, w->first);
	cr_expect_eq(g->count, w->count);
	cr_expect_eq(g->live, w->live);
	cr_expect_eq(g->payload_bytes, w->payload_bytes);
	cr_expect_arr_eq(g->payload, sample_payload, sizeof(sample_payload));
	cr_expect_eq(g->payload, frame_digest_payload(bytes), "points into the received bytes");
}

Test(frame, every_truncation_is_a_wrong_length)
{
	for (unsigned k = 0; k < GOLDEN_COUNT; k++) {
		uint8_t bytes[FRAME_BYTES_MAX + 1] = {0};
		size_t n = from_hex(golden[k].hex, bytes);

		for (size_t cut = 0; cut < n; cut++)
			cr_assert_eq(decode(bytes, cut), FRAME_BAD_LENGTH, "type %u cut to %zu",
				     golden[k].type, cut);
		cr_assert_eq(decode(bytes, n + 1), FRAME_BAD_LENGTH);
		cr_assert_eq(decode(bytes, FRAME_BYTES_MAX + 1), FRAME_BAD_LENGTH);
	}
}

/* The length field agrees, so only the body's own shape can tell. */
Test(frame, a_body_with_bytes_missing_or_left_over_is_refused)
{
	for (unsigned k = 0; k < GOLDEN_COUNT; k++) {
		uint8_t bytes[FRAME_BYTES_MAX] = {0};
		size_t n = from_hex(golden[k].hex, bytes);

		for (size_t size = FRAME_HEADER_BYTES; size < n + 20; size++) {
			size_t body = size - FRAME_HEADER_BYTES;

			bytes[8] = (uint8_t)body;
			bytes[9] = (uint8_t)(body >> 8);
			cr_assert_eq(decode(bytes, size), size == n ? FRAME_OK : FRAME_BAD_BODY,
				     "type %u with %zu bytes", golden[k].type, size);
		}
	}
}

/* A frame that is taken means exactly one sequence of bytes. The key id is the one byte that this
 * codec leaves to authentication. */
Test(frame, every_changed_byte_is_refused_or_canonical)
{
	unsigned refused = 0, taken = 0;

	for (unsigned k = 0; k < GOLDEN_COUNT; k++) {
		uint8_t bytes[FRAME_BYTES_MAX], again[FRAME_BYTES_MAX];
		size_t n = from_hex(golden[k].hex, bytes);

		for (size_t at = 0; at < n; at++) {
			uint8_t was = bytes[at];

			for (unsigned to = 0; to < 256; to++) {
				struct frame f;

				bytes[at] = (uint8_t)to;
				if (to == was || at == KEY_ID_AT)
					continue;
				if (frame_decode(bytes, n, &f) != FRAME_OK) {
					refused++;
					continue;
				}
				taken++;
				cr_assert_eq(frame_encode(&f, again, sizeof(again)), n);
				cr_assert_arr_eq(again, bytes, n, "type %u byte %zu is %u",
						 golden[k].type, at, to);
			}
			bytes[at] = was;
		}
	}
	cr_assert_gt(refused, 0);
	cr_assert_gt(taken, 0);
}

Test(frame, the_key_id_is_read_from_the_header_only)
{
	uint8_t bytes[FRAME_BYTES_MAX];
	size_t n = encoded(FRAME_BEAT, bytes);
	struct frame_header h;

	bytes[KEY_ID_AT] = 77;
	cr_assert_eq(frame_header_decode(bytes, n, &h), FRAME_OK);
	cr_assert_eq(h.key_id, 77);
	cr_assert_eq(decode(bytes, n), FRAME_OK);
}

/* Everything is wrong with this frame; mended one by one, each fault hides the later ones. */
Test(frame, faults_are_named_in_a_fixed_order)
{
	uint8_t bytes[FRAME_BYTES_MAX], good[FRAME_BYTES_MAX];
	size_t n = encoded(FRAME_BEAT, good);

	memcpy(bytes, good, n);
	bytes[0] ^= 1;                            /* magic */
	bytes[2] = FRAME_VERSION + 1;             /* version */
	bytes[8] ^= 1;                            /* length field */
	bytes[3] = FRAME_TYPE_END;                /* type */
	bytes[5] = bytes[4];                      /* to itself */
	memset(&bytes[FRAME_HEADER_BYTES], 0, 8); /* beat without a number */
	cr_assert_eq(decode(bytes, FRAME_HEADER_BYTES - 1), FRAME_BAD_LENGTH);
	cr_assert_eq(decode(bytes, n), FRAME_BAD_VERSION);
	bytes[0] = good[0];
	cr_assert_eq(decode(bytes, n), FRAME_BAD_VERSION);
	bytes[2] = FRAME_VERSION;
	cr_assert_eq(decode(bytes, n), FRAME_BAD_LENGTH);
	bytes[8] = good[8];
	cr_assert_eq(decode(bytes, n), FRAME_BAD_TYPE);
	bytes[3] = FRAME_BEAT;
	cr_assert_eq(decode(bytes, n), FRAME_BAD_PEER);
	bytes[5] = good[5];
	cr_assert_eq(decode(bytes, n), FRAME_BAD_BODY);
	bytes[FRAME_HEADER_BYTES] = 1;
	cr_assert_eq(decode(bytes, n), FRAME_OK);
}

static void check_decodes(struct frame f, enum frame_fault want, const char *what)
{
	uint8_t bytes[FRAME_BYTES_MAX];
	size_t n = frame_encode(&f, bytes, sizeof(bytes));

	cr_assert_gt(n, 0, "%s", what);
	cr_expect_eq(decode(bytes, n), want, "%s", what);
}

#define DECODES(kind, fault, change)                                                               \
	do {                                                                                       \
		struct frame f = sample(kind);                                                     \
		change;                                                                            \
		check_decodes(f, fault, #change);                                                  \
	} while (0)

Test(frame, header_rules)
{
	DECODES(FRAME_BEAT, FRAME_BAD_PEER, f.src = HAVEN_NODES_MAX);
	DECODES(FRAME_BEAT, FRAME_BAD_PEER, f.dst = HAVEN_NODES_MAX);
	DECODES(FRAME_BEAT, FRAME_BAD_PEER, f.dst = f.src);
	DECODES(FRAME_BEAT, FRAME_BAD_PEER, f.src_incarnation = 0);
	DECODES(FRAME_BEAT, FRAME_OK, f.dst_incarnation = 0);
}

Test(frame, body_rules)
{
	DECODES(FRAME_BEAT, FRAME_BAD_BODY, f.u.beat.seq = 0);
	DECODES(FRAME_BEAT, FRAME_BAD_BODY, f.u.beat.yielded = 1);
	DECODES(FRAME_VIEW, FRAME_BAD_BODY, f.u.view.kind = FRAME_VIEW_FORCED + 1);
	DECODES(FRAME_VIEW, FRAME_BAD_BODY, f.u.view.ballot = 0);
	DECODES(FRAME_VIEW, FRAME_BAD_BODY, f.u.view.base = f.u.view.view.epoch);
	DECODES(FRAME_VIEW, FRAME_OK, f.u.view.base = 0);
	DECODES(FRAME_MIRROR, FRAME_BAD_BODY, f.u.mirror.stream.instance = HAVEN_INSTANCES_MAX);
	DECODES(FRAME_MIRROR, FRAME_BAD_BODY, f.u.mirror.stream.lane = HAVEN_WORKERS_MAX);
	DECODES(FRAME_MIRROR, FRAME_BAD_BODY, f.u.mirror.kind = MIRROR_END + 1);
	DECODES(FRAME_MIRROR, FRAME_BAD_BODY, f.u.mirror.session = 0);
	DECODES(FRAME_MIRROR, FRAME_BAD_BODY, f.u.mirror.kind = MIRROR_START);
	DECODES(FRAME_MIRROR, FRAME_BAD_BODY, f.u.mirror.kind = MIRROR_END);
	DECODES(FRAME_MIRROR_ACK, FRAME_BAD_BODY, f.u.ack.stream.instance = HAVEN_INSTANCES_MAX);
	DECODES(FRAME_MIRROR_ACK, FRAME_BAD_BODY, f.u.ack.stream.lane = HAVEN_WORKERS_MAX);
	DECODES(FRAME_MIRROR_ACK, FRAME_BAD_BODY, f.u.ack.gap = 2);
	DECODES(FRAME_MIRROR_ACK, FRAME_BAD_BODY, f.u.ack.refused = 2);
	DECODES(FRAME_DIGEST, FRAME_BAD_BODY, f.u.digest.stream.lane = HAVEN_WORKERS_MAX);
	DECODES(FRAME_DIGEST, FRAME_BAD_BODY, f.u.digest.session = 0);
	DECODES(FRAME_DIGEST, FRAME_OK, f.u.digest.payload_bytes = 0);
}

Test(frame, a_committed_view_needs_no_ballot)
{
	DECODES(FRAME_VIEW, FRAME_OK, (f.u.view.kind = FRAME_VIEW_COMMITTED, f.u.view.ballot = 0));
}

Test(frame, a_mirror_frame_may_be_filled_in_place)
{
	uint8_t bytes[FRAME_BYTES_MAX], want[FRAME_BYTES_MAX];
	struct frame f = sample(FRAME_MIRROR);

	memcpy(frame_mirror_payload(bytes), sample_payload, sizeof(sample_payload));
	f.u.mirror.payload = NULL;
	cr_assert_eq(frame_encode(&f, bytes, sizeof(bytes)), from_hex(golden[2].hex, want));
	cr_assert_arr_eq(bytes, want, sizeof(sample_payload) + FRAME_HEADER_BYTES + 46);
}

Test(frame, the_largest_payload_fits_and_one_more_does_not_pass_the_limit)
{
	static uint8_t payload[FRAME_BYTES_MAX];
	uint8_t bytes[2 * FRAME_BYTES_MAX];
	struct frame f = sample(FRAME_MIRROR), got;
	size_t n;

	f.u.mirror.payload = payload;
	f.u.mirror.payload_bytes = FRAME_MIRROR_PAYLOAD_MAX;
	memset(payload, 0x5a, sizeof(payload));
	n = frame_encode(&f, bytes, FRAME_BYTES_MAX);
	cr_assert_gt(n, FRAME_MIRROR_PAYLOAD_MAX);
	cr_assert_eq(frame_decode(bytes, n, &got), FRAME_OK);
	cr_assert_arr_eq(got.u.mirror.payload, payload, FRAME_MIRROR_PAYLOAD_MAX);
	f.u.mirror.payload_bytes = FRAME_BYTES_MAX - FRAME_HEADER_BYTES;
	cr_assert_eq(frame_encode(&f, bytes, sizeof(bytes)), 0);
}

Test(frame, a_buffer_too_small_gives_nothing)
{
	for (unsigned k = 0; k < GOLDEN_COUNT; k++) {
		uint8_t bytes[FRAME_BYTES_MAX];
		struct frame f = sample(golden[k].type);
		size_t n = strlen(golden[k].hex) / 2;

		for (size_t size = FRAME_HEADER_BYTES; size < n; size++)
			cr_assert_eq(frame_encode(&f, bytes, size), 0);
		cr_assert_eq(frame_encode(&f, bytes, n), n);
	}
}

Test(frame, only_a_sealed_frame_may_be_as_long_as_its_seal_makes_it)
{
	uint8_t bytes[FRAME_BYTES_MAX + FRAME_SEAL_BYTES + 1] = {0};
	size_t longest = FRAME_BYTES_MAX + FRAME_SEAL_BYTES;
	struct frame_header h;

	encoded(FRAME_MIRROR, bytes);
	for (size_t size = FRAME_BYTES_MAX; size <= longest + 1; size++) {
		for (unsigned sealed = 0; sealed < 2; sealed++) {
			bool fits = size <= (sealed ? longest : FRAME_BYTES_MAX);

			frame_header_protect(bytes, 1, sealed,
					     (uint16_t)(size - FRAME_HEADER_BYTES));
			cr_assert_eq(frame_header_decode(bytes, size, &h),
				     fits ? FRAME_OK : FRAME_BAD_LENGTH, "%zu, sealed %u", size,
				     sealed);
			cr_assert_neq(decode(bytes, size), FRAME_OK, "%zu, sealed %u", size,
				      sealed);
		}
	}
}

Test(frame, a_mirror_frame_may_have_no_payload)
{
	DECODES(FRAME_MIRROR, FRAME_OK,
		(f.u.mirror.kind = MIRROR_START, f.u.mirror.payload_bytes = 0));
}

Test(frame, a_payload_that_stands_in_its_place_is_left_there)
{
	uint8_t bytes[FRAME_BYTES_MAX], want[FRAME_BYTES_MAX];
	struct frame f = sample(FRAME_MIRROR);
	size_t n = from_hex(golden[2].hex, want);

	f.u.mirror.payload = frame_mirror_payload(bytes);
	memcpy(frame_mirror_payload(bytes), sample_payload, sizeof(sample_payload));
	cr_assert_eq(frame_encode(&f, bytes, sizeof(bytes)), n);
	cr_assert_arr_eq(bytes, want, n);
}

Test(frame, what_has_no_type_is_not_encoded)
{
	uint8_t bytes[FRAME_BYTES_MAX];
	struct frame f = sample(FRAME_BEAT);

	f.type = FRAME_TYPE_END;
	cr_assert_eq(frame_encode(&f, bytes, sizeof(bytes)), 0);
}

/* Half of the rounds change a few bytes of a good body, the others make up a whole one. */
Test(frame, noise_is_refused_or_canonical)
{
	struct prng p = {1};
	unsigned taken = 0, refused = 0;

	for (unsigned round = 0; round < 100000; round++) {
		uint8_t bytes[FRAME_BYTES_MAX], again[FRAME_BYTES_MAX];
		size_t n = from_hex(golden[round % GOLDEN_COUNT].hex, bytes);
		size_t body = n - FRAME_HEADER_BYTES;
		size_t changes = prng_below(&p, 2) ? 1 + prng_below(&p, 4) : body;
		enum frame_fault fault;
		struct frame f;

		for (size_t k = 0; k < changes; k++)
			bytes[FRAME_HEADER_BYTES + (changes == body ? k : prng_below(&p, body))] =
				(uint8_t)(prng_next(&p) >> prng_below(&p, 64));
		fault = frame_decode(bytes, n, &f);
		cr_assert(fault == FRAME_OK || fault == FRAME_BAD_BODY);
		if (fault != FRAME_OK) {
			refused++;
			continue;
		}
		taken++;
		cr_assert_eq(frame_encode(&f, again, sizeof(again)), n);
		cr_assert_arr_eq(again, bytes, n);
	}
	cr_assert_gt(taken, 0);
	cr_assert_gt(refused, 0);
}
