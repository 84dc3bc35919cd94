/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "nat_frames.h"
#include "packet.h"

#define ROUNDS 20000

static const uint8_t protos[] = {PACKET_ICMP, PACKET_TCP, PACKET_UDP};

static struct frame_spec random_spec(struct prng *r)
{
	struct frame_spec s = {
		.to = {2, 0, 0, 0, 0, 1},
		.from = {2, 0, 0, 0, 0, 2},
		.src = (uint32_t)prng_next(r),
		.dst = (uint32_t)prng_next(r),
		.src_port = (uint16_t)prng_next(r),
		.dst_port = (uint16_t)prng_next(r),
		.proto = protos[prng_below(r, 3)],
		.ttl = (uint8_t)(2 + prng_below(r, 254)),
		.tcp_flags = PACKET_ACK,
		.icmp_type = prng_below(r, 2) ? 8 : 0,
		.options = (uint8_t)(prng_below(r, 4) ? 0 : prng_below(r, 11)),
		.no_udp_checksum = prng_below(r, 4) == 0,
		.payload = (unsigned)prng_below(r, 65),
		.seed = prng_next(r),
	};

	return s;
}

/* Addresses and ports at the edges of one's complement arithmetic, too. */
static uint32_t random_edge(struct prng *r)
{
	static const uint32_t edges[] = {0, 0xffffffff, 0xffff0000, 0x0000ffff, 0x00010000};

	return prng_below(r, 3) ? (uint32_t)prng_next(r) : edges[prng_below(r, 5)];
}

Test(nat_packet, parse_finds_what_was_put_in)
{
	struct prng r = {1};
	uint8_t f[FRAME_MAX];

	for (int i = 0; i < ROUNDS; i++) {
		struct frame_spec s = random_spec(&r);
		unsigned n = frame_make(f, &s);
		struct packet p;

		cr_assert_eq(packet_parse(f, n, &p), COUNT_NONE);
		cr_assert_eq(p.header.proto, s.proto);
		cr_assert_eq(ntohl(p.header.address[PACKET_SOURCE]), s.src);
		cr_assert_eq(ntohl(p.header.address[PACKET_DESTINATION]), s.dst);
		cr_assert_eq(ntohs(p.header.port[PACKET_SOURCE]), s.src_port);
		if (s.proto != PACKET_ICMP)
			cr_assert_eq(ntohs(p.header.port[PACKET_DESTINATION]), s.dst_port);
		cr_assert_not(p.error);
	}
}

Test(nat_packet, rewriting_keeps_every_checksum_right)
{
	struct prng r = {2};
	uint8_t f[FRAME_MAX], before[FRAME_MAX];

	for (int i = 0; i < ROUNDS; i++) {
		struct frame_spec s = random_spec(&r);
		unsigned n = frame_make(f, &s);
		enum packet_end end = prng_below(&r, 2) ? PACKET_SOURCE : PACKET_DESTINATION;
		uint32_t address = random_edge(&r);
		uint16_t port = (uint16_t)random_edge(&r);
		bool none = s.proto == PACKET_UDP && s.no_udp_checksum;
		struct packet p;

		memcpy(before, f, n);
		cr_assert_eq(packet_parse(f, n, &p), COUNT_NONE);
		packet_rewrite(&p.header, end, htonl(address), htons(port));
		cr_assert(packet_hop(&p.header));
		cr_assert(frame_checksums_right(f), "round %d, protocol %u", i, s.proto);
		cr_assert_eq(get32be(f + 14 + (end == PACKET_SOURCE ? 12 : 16)), address);
		cr_assert_eq(get16be(p.header.l4 + (s.proto == PACKET_ICMP ? 4
						    : end == PACKET_SOURCE ? 0
									   : 2)),
			     port);
		cr_assert_eq(f[14 + 8], s.ttl - 1);
		if (s.proto == PACKET_UDP)
			cr_assert_eq(get16be(p.header.l4 + 6) == 0, none,
				     "no checksum stays none, and a computed one is never zero");
		cr_assert_arr_eq(f + n - s.payload, before + n - s.payload, s.payload);
	}
}

Test(nat_packet, rewriting_back_restores_every_byte)
{
	struct prng r = {3};
	uint8_t f[FRAME_MAX], before[FRAME_MAX];

	for (int i = 0; i < ROUNDS; i++) {
		struct frame_spec s = random_spec(&r);
		unsigned n = frame_make(f, &s);
		struct packet p;

		memcpy(before, f, n);
		cr_assert_eq(packet_parse(f, n, &p), COUNT_NONE);
		packet_rewrite(&p.header, PACKET_SOURCE, htonl(0xc0000201), htons(4711));
		packet_rewrite(&p.header, PACKET_SOURCE, htonl(s.src), htons(s.src_port));
		cr_assert_arr_eq(f, before, n);
	}
}

Test(nat_packet, damage_of_the_payload_is_not_healed)
{
	struct prng r = {4};
	uint8_t f[FRAME_MAX];

	for (int i = 0; i < ROUNDS; i++) {
		struct frame_spec s = random_spec(&r);
		struct packet p;
		unsigned n;

		s.no_udp_checksum = false;
		s.payload = 8;
		n = frame_make(f, &s);
		f[n - 1 - prng_below(&r, 8)] ^= (uint8_t)(1u << prng_below(&r, 8));
		cr_assert_eq(packet_parse(f, n, &p), COUNT_NONE);
		packet_rewrite(&p.header, PACKET_SOURCE, htonl(0xc0000201), htons(4711));
		cr_assert_not(frame_checksums_right(f));
	}
}

Test(nat_packet, a_damaged_ip_header_is_refused)
{
	struct prng r = {5};
	uint8_t f[FRAME_MAX];

	for (int i = 0; i < ROUNDS; i++) {
		struct frame_spec s = random_spec(&r);
		unsigned n = frame_make(f, &s);
		unsigned header = 20 + s.options * 4u;
		struct packet p;

		f[14 + prng_below(&r, header)] ^= (uint8_t)(1u << prng_below(&r, 8));
		cr_assert_neq(packet_parse(f, n, &p), COUNT_NONE);
	}
}

/* Both directions of an error about a rewritten packet, complete or cut to what RFC 792 promises.
 */
Test(nat_packet, errors_are_rewritten_outside_and_inside)
{
	static const uint8_t types[] = {3, 4, 11, 12};
	struct prng r = {6};
	uint8_t about[FRAME_MAX], f[FRAME_MAX];

	for (int i = 0; i < ROUNDS; i++) {
		struct frame_spec s = random_spec(&r), e = random_spec(&r);
		unsigned about_bytes = frame_make(about, &s), header = 20 + s.options * 4u;
		unsigned most = about_bytes - 14, least = header + 8;
		unsigned quoted = least + (unsigned)prng_below(&r, most - least + 1), n;
		uint32_t address = random_edge(&r);
		uint16_t port = (uint16_t)random_edge(&r);
		const uint8_t *inner;
		struct packet p;

		n = frame_make_error(f, &e, types[prng_below(&r, 4)], about, quoted);
		cr_assert_eq(packet_parse(f, n, &p), COUNT_NONE);
		cr_assert(p.error);
		cr_assert_eq(ntohl(p.quoted.address[PACKET_SOURCE]), s.src);
		cr_assert_eq(ntohs(p.quoted.port[PACKET_SOURCE]), s.src_port);
		packet_rewrite(&p.quoted, PACKET_SOURCE, htonl(address), htons(port));
		packet_readdress(&p.header, PACKET_DESTINATION, htonl(address));
		packet_seal_error(&p);
		cr_assert(frame_checksums_right(f));
		inner = f + 14 + 20 + 8;
		cr_assert_eq(ip_residue(inner), 0);
		cr_assert_eq(get32be(inner + 12), address);
		cr_assert_eq(get32be(f + 14 + 16), address);
		if (quoted == most && !(s.proto == PACKET_UDP && s.no_udp_checksum))
			cr_assert_eq(l4_residue(inner, quoted - header), 0);
	}
}

Test(nat_packet, an_error_with_a_wrong_checksum_is_refused)
{
	struct frame_spec s = {.src = 1, .dst = 2, .proto = PACKET_UDP, .payload = 4};
	uint8_t about[FRAME_MAX], f[FRAME_MAX];
	struct packet p;
	unsigned n;

	frame_make(about, &s);
	n = frame_make_error(f, &s, 3, about, 28);
	f[n - 1] ^= 1;
	cr_assert_eq(packet_parse(f, n, &p), COUNT_BAD_CHECKSUM);
}

Test(nat_packet, what_is_not_served_is_named)
{
	struct frame_spec s = {.src = 1, .dst = 2, .proto = PACKET_UDP, .payload = 4};
	uint8_t f[FRAME_MAX];
	unsigned n = frame_make(f, &s);
	struct packet p;

	f[12] = 0x86, f[13] = 0xdd;
	cr_expect_eq(packet_parse(f, n, &p), COUNT_UNSUPPORTED, "IPv6");
	s.proto = 47;
	n = frame_make(f, &s);
	cr_expect_eq(packet_parse(f, n, &p), COUNT_UNSUPPORTED, "GRE");
	s = (struct frame_spec){.proto = PACKET_ICMP, .icmp_type = 13, .payload = 4};
	n = frame_make(f, &s);
	cr_expect_eq(packet_parse(f, n, &p), COUNT_UNSUPPORTED, "timestamp request");
}

Test(nat_packet, fragments_after_the_first_have_no_ports)
{
	struct frame_spec s = {.src = 1, .dst = 2, .proto = PACKET_UDP, .payload = 64};
	uint8_t f[FRAME_MAX], *ip = f + 14;
	unsigned n = frame_make(f, &s);
	struct packet p;

	set16(ip + 6, 0x2000); /* more fragments, offset 0: the first */
	set16(ip + 10, 0);
	set16(ip + 10, sum_finish(sum_bytes(ip, 20)));
	cr_expect_eq(packet_parse(f, n, &p), COUNT_NONE);
	set16(ip + 6, 0x2001);
	set16(ip + 10, 0);
	set16(ip + 10, sum_finish(sum_bytes(ip, 20)));
	cr_expect_eq(packet_parse(f, n, &p), COUNT_FRAGMENT);
}

Test(nat_packet, the_last_hop_is_the_end)
{
	struct frame_spec s = {.src = 1, .dst = 2, .proto = PACKET_UDP, .ttl = 1};
	uint8_t f[FRAME_MAX], before[FRAME_MAX];
	unsigned n = frame_make(f, &s);
	struct packet p;

	memcpy(before, f, n);
	cr_assert_eq(packet_parse(f, n, &p), COUNT_NONE);
	cr_expect_not(packet_hop(&p.header));
	cr_expect_arr_eq(f, before, n);
}

/* Every length of every kind, then noise: a guard page would be better, a guard pattern does. */
Test(nat_packet, nothing_outside_the_frame_is_touched)
{
	struct prng r = {7};
	uint8_t area[64 + FRAME_MAX + 64], *f = area + 64;

	for (int i = 0; i < ROUNDS; i++) {
		struct frame_spec s = random_spec(&r);
		unsigned n = frame_make(f, &s), cut = (unsigned)prng_below(&r, n + 1);
		struct packet p;

		for (unsigned k = 0; k < prng_below(&r, 6); k++)
			f[prng_below(&r, n)] = (uint8_t)prng_next(&r);
		memset(area, 0xa5, 64);
		memset(f + cut, 0xa5, 64);
		if (packet_parse(f, cut, &p) == COUNT_NONE) {
			packet_rewrite(p.error ? &p.quoted : &p.header, PACKET_SOURCE, 1, 1);
			packet_hop(&p.header);
			if (p.error)
				packet_seal_error(&p);
		}
		for (unsigned k = 0; k < 64; k++)
			cr_assert(area[k] == 0xa5 && f[cut + k] == 0xa5, "round %d", i);
	}
}
