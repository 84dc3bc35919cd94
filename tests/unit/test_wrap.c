/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <string.h>

#include "frame.h"
#include "neighbour.h"
#include "wrap.h"

#define FRAME_BYTES 77u
#define PACKET_BYTES (WRAP_BYTES_MAX + FRAME_BYTES)

static const enum wrap_kind kinds[] = {WRAP_ETHERNET, WRAP_UDP4, WRAP_UDP6};
static const uint16_t vlans[] = {0, 1, 4094};

/* Two ends of a link. */
struct ends {
	struct wrap a, b;
};

static struct ends ends_of(enum wrap_kind kind, uint16_t vlan)
{
	struct ends e = {.a = {.kind = kind, .vlan = vlan, .udp_port = 4000}};

	e.b = e.a;
	for (unsigned i = 0; i < wrap_ip_bytes(&e.a); i++) {
		e.a.self.ip[i] = (uint8_t)(10 + i);
		e.b.self.ip[i] = (uint8_t)(110 + i);
	}
	wrap_mac("demo", 0, e.a.self.mac);
	wrap_mac("demo", 1, e.b.self.mac);
	return e;
}

static size_t packet_make(const struct ends *e, uint8_t *packet)
{
	size_t header = wrap_bytes(&e->a);

	for (unsigned i = 0; i < FRAME_BYTES; i++)
		packet[header + i] = (uint8_t)(i * 3 + 1);
	wrap_write(&e->a, &e->b.self, packet, FRAME_BYTES);
	return header + FRAME_BYTES;
}

#define EACH_KIND                                                                                  \
	for (unsigned k = 0; k < 3; k++)                                                           \
		for (unsigned v = 0; v < 3; v++)

Test(wrap, a_frame_crosses_a_link_of_every_kind)
{
	EACH_KIND
	{
		struct ends e = ends_of(kinds[k], vlans[v]);
		uint8_t packet[PACKET_BYTES], *frame;
		size_t size = packet_make(&e, packet), bytes = 0;

		frame = wrap_read(&e.b, packet, size, &bytes);
		cr_assert_not_null(frame, "kind %u, vlan %u", k, vlans[v]);
		cr_assert_eq(bytes, FRAME_BYTES);
		for (unsigned i = 0; i < FRAME_BYTES; i++)
			cr_assert_eq(frame[i], (uint8_t)(i * 3 + 1));
		cr_assert_null(wrap_read(&e.a, packet, size, &bytes), "not for the sender");
	}
}

Test(wrap, the_longest_frame_fits_an_mtu_of_1500)
{
	struct wrap w = {.kind = WRAP_UDP6};

	cr_assert_leq(wrap_bytes(&w) - 14 + FRAME_BYTES_MAX + FRAME_SEAL_BYTES + 16, 1500);
}

Test(wrap, padding_behind_a_datagram_is_no_part_of_the_frame)
{
	for (unsigned k = 1; k < 3; k++) {
		struct ends e = ends_of(kinds[k], 0);
		uint8_t packet[PACKET_BYTES + 20] = {0};
		size_t size = packet_make(&e, packet), bytes = 0;

		cr_assert_not_null(wrap_read(&e.b, packet, size + 20, &bytes));
		cr_assert_eq(bytes, FRAME_BYTES);
	}
}

Test(wrap, every_shorter_packet_is_refused_or_gives_no_more_than_it_has)
{
	EACH_KIND
	{
		struct ends e = ends_of(kinds[k], vlans[v]);
		uint8_t packet[PACKET_BYTES];
		size_t size = packet_make(&e, packet);

		for (size_t n = 0; n < size; n++) {
			uint8_t *copy = malloc(n ? n : 1), *frame; /* sanitizers see its end */
			size_t bytes = 0;

			memcpy(copy, packet, n);
			frame = wrap_read(&e.b, copy, n, &bytes);
			if (frame)
				cr_assert(kinds[k] == WRAP_ETHERNET && frame + bytes == copy + n);
			free(copy);
		}
	}
}

Test(wrap, a_changed_header_byte_is_refused_or_harmless)
{
	EACH_KIND
	{
		struct ends e = ends_of(kinds[k], vlans[v]);
		uint8_t packet[PACKET_BYTES];
		size_t size = packet_make(&e, packet), bytes;

		for (unsigned i = 0; i < wrap_bytes(&e.a); i++) {
			for (unsigned change = 1; change < 256; change++) {
				const uint8_t *frame;

				packet[i] ^= (uint8_t)change;
				frame = wrap_read(&e.b, packet, size, &bytes);
				if (frame)
					cr_assert_leq((size_t)(frame - packet) + bytes, size);
				packet[i] ^= (uint8_t)change;
			}
		}
	}
}

Test(wrap, other_vlans_addresses_ports_and_fragments_are_not_ours)
{
	struct ends e = ends_of(WRAP_UDP4, 5), other;
	uint8_t packet[PACKET_BYTES];
	size_t size = packet_make(&e, packet), bytes;

	other = e;
	other.b.vlan = 6;
	cr_assert_null(wrap_read(&other.b, packet, size, &bytes));
	other.b.vlan = 0;
	cr_assert_null(wrap_read(&other.b, packet, size, &bytes));
	other = e;
	other.b.udp_port++;
	cr_assert_null(wrap_read(&other.b, packet, size, &bytes));
	other = e;
	other.b.self.ip[3]++;
	cr_assert_null(wrap_read(&other.b, packet, size, &bytes));
	packet[18 + 6] = 0x20; /* more fragments follow */
	cr_assert_null(wrap_read(&e.b, packet, size, &bytes));
}

/* ---- next hops --------------------------------------------------------------------------------
 */

Test(neighbour, one_asks_the_other_answers_and_both_know)
{
	for (unsigned k = 1; k < 3; k++) {
		for (unsigned v = 0; v < 3; v++) {
			struct ends e = ends_of(kinds[k], vlans[v]);
			struct neighbour to_b = {0}, to_a = {0};
			uint8_t ask[NEIGHBOUR_BYTES_MAX], answer[NEIGHBOUR_BYTES_MAX];
			uint8_t none[NEIGHBOUR_BYTES_MAX];
			size_t asked, answered;

			memcpy(to_b.ip, e.b.self.ip, sizeof(to_b.ip));
			memcpy(to_a.ip, e.a.self.ip, sizeof(to_a.ip));
			asked = neighbour_ask(&e.a, &to_b, ask);
			answered = neighbour_take(&e.b, &to_a, 1, ask, asked, 7, answer);
			cr_assert_gt(answered, 0);
			cr_assert(to_a.known && to_a.told_ns == 7, "the question tells who asks");
			cr_assert_arr_eq(to_a.mac, e.a.self.mac, WRAP_MAC_BYTES);
			cr_assert_eq(neighbour_take(&e.a, &to_b, 1, answer, answered, 8, none), 0);
			cr_assert(to_b.known);
			cr_assert_arr_eq(to_b.mac, e.b.self.mac, WRAP_MAC_BYTES);
		}
	}
}

Test(neighbour, questions_for_others_and_garbage_are_left_alone)
{
	for (unsigned k = 1; k < 3; k++) {
		struct ends e = ends_of(kinds[k], 0);
		struct neighbour to_c = {.ip = {1, 2, 3, 4}}, to_a = {0};
		uint8_t ask[NEIGHBOUR_BYTES_MAX], out[NEIGHBOUR_BYTES_MAX];
		size_t asked = neighbour_ask(&e.a, &to_c, ask);

		cr_assert_eq(neighbour_take(&e.b, &to_a, 1, ask, asked, 1, out), 0);
		cr_assert(!to_a.known);
		memcpy(to_c.ip, e.b.self.ip, sizeof(to_c.ip));
		asked = neighbour_ask(&e.a, &to_c, ask);
		for (size_t n = 0; n < asked; n++)
			cr_assert_eq(neighbour_take(&e.b, &to_a, 1, ask, n, 1, out), 0);
		cr_assert(!to_a.known);
	}
}

Test(neighbour, a_group_address_is_nobodys)
{
	struct ends e = ends_of(WRAP_UDP4, 0);
	struct neighbour to_b = {0}, to_a = {0};
	uint8_t ask[NEIGHBOUR_BYTES_MAX], out[NEIGHBOUR_BYTES_MAX];
	size_t asked;

	memcpy(to_b.ip, e.b.self.ip, sizeof(to_b.ip));
	memcpy(to_a.ip, e.a.self.ip, sizeof(to_a.ip));
	e.a.self.mac[0] |= 1;
	asked = neighbour_ask(&e.a, &to_b, ask);
	neighbour_take(&e.b, &to_a, 1, ask, asked, 1, out);
	cr_assert(!to_a.known);
}

/* Whatever is learnt or answered, the packet said it: who asks or answers is the one peer. */
Test(neighbour, a_changed_byte_teaches_nothing_but_another_address)
{
	unsigned refused = 0, taken = 0;

	for (unsigned round = 0; round < 12; round++) {
		struct ends e = ends_of(kinds[1 + round % 2], vlans[round / 2 % 3]);
		struct neighbour to_b = {0}, to_a = {0};
		uint8_t packet[NEIGHBOUR_BYTES_MAX], out[NEIGHBOUR_BYTES_MAX];
		const struct wrap *hears = round < 6 ? &e.b : &e.a;
		struct neighbour *about = round < 6 ? &to_a : &to_b;
		size_t n;

		memcpy(to_b.ip, e.b.self.ip, sizeof(to_b.ip));
		memcpy(to_a.ip, e.a.self.ip, sizeof(to_a.ip));
		n = neighbour_ask(&e.a, &to_b, packet);
		if (round >= 6) {
			n = neighbour_take(&e.b, &to_a, 1, packet, n, 1, out);
			memcpy(packet, out, n);
		}
		for (size_t at = 0; at < n; at++) {
			for (unsigned change = 1; change < 256; change++) {
				about->known = false;
				packet[at] ^= (uint8_t)change;
				neighbour_take(hears, about, 1, packet, n, 2, out);
				packet[at] ^= (uint8_t)change;
				cr_assert(!(about->mac[0] & 1));
				refused += !about->known;
				taken += about->known;
			}
		}
		memset(about->mac, 0, sizeof(about->mac));
		neighbour_take(hears, about, 1, packet, n, 2, out);
		cr_assert(about->known, "unchanged it is good");
	}
	cr_assert_gt(refused, 0);
	cr_assert_gt(taken, 0);
}

Test(neighbour, a_packet_of_another_kind_is_left_alone)
{
	for (unsigned k = 1; k < 3; k++) {
		struct ends e = ends_of(kinds[k], 0), other = ends_of(kinds[3 - k], 0);
		struct neighbour to_b = {0}, to_a = {0};
		uint8_t ask[NEIGHBOUR_BYTES_MAX], out[NEIGHBOUR_BYTES_MAX];
		size_t asked = neighbour_ask(&other.a, &to_b, ask);

		cr_assert_eq(neighbour_take(&e.b, &to_a, 1, ask, asked, 1, out), 0);
		cr_assert(!to_a.known);
	}
}

Test(neighbour, it_asks_until_it_knows_and_again_when_that_grows_old)
{
	struct neighbour n = {0};
	uint64_t now = 1000;

	cr_assert(neighbour_due(&n, now));
	cr_assert(!neighbour_due(&n, now + NEIGHBOUR_AGAIN_NS - 1));
	now += NEIGHBOUR_AGAIN_NS;
	cr_assert(neighbour_due(&n, now));
	n.known = true;
	n.told_ns = now;
	cr_assert(!neighbour_due(&n, now + NEIGHBOUR_FRESH_NS - 1));
	now += NEIGHBOUR_FRESH_NS;
	cr_assert(neighbour_due(&n, now));
	cr_assert(!neighbour_due(&n, now + 1));
}
