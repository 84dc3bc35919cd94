/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "arp.h"
#include "prng.h"

static const uint8_t broadcast[6] = {255, 255, 255, 255, 255, 255};

static struct arp_message sample(void)
{
	return (struct arp_message){.opcode = ARP_REQUEST,
				    .sender_mac = {2, 0, 0x5e, 0, 1, 1},
				    .sender_ip = htonl(0x0a000001),
				    .target_ip = htonl(0x0a000001)};
}

Test(nat_arp, frames_as_on_the_wire)
{
	static const uint8_t wanted[ARP_FRAME_BYTES] = {
		255, 255, 255, 255, 255, 255,  2,   0,   0x5e, 0,  1, 1, 8, 6, 0, 1, 8, 0, 6,
		4,   0,   1,   2,   0,   0x5e, 0,   1,   1,    10, 0, 0, 1, 0, 0, 0, 0, 0, 0,
		10,  0,   0,   1,   'H', 'V',  'E', 'P', 1,    2,  3, 4, 5, 6, 7, 8, 0};
	struct arp_message m = sample();
	uint8_t f[ARP_FRAME_BYTES];

	arp_build(f, broadcast, &m, 0x0102030405060708);
	cr_expect_arr_eq(f, wanted, sizeof(f));
	arp_build(f, broadcast, &m, 0);
	for (unsigned i = 42; i < sizeof(f); i++)
		cr_expect_eq(f[i], 0, "without an epoch the padding is empty");
}

Test(nat_arp, what_is_built_is_parsed)
{
	struct arp_message m = sample(), got;
	uint8_t f[ARP_FRAME_BYTES];

	m.opcode = ARP_REPLY;
	m.target_ip = htonl(0x0a000009);
	memcpy(m.target_mac, "\2abcde", 6);
	arp_build(f, broadcast, &m, 5);
	cr_assert(arp_parse(f, sizeof(f), &got));
	cr_expect_eq(got.opcode, ARP_REPLY);
	cr_expect_eq(got.sender_ip, m.sender_ip);
	cr_expect_eq(got.target_ip, m.target_ip);
	cr_expect_arr_eq(got.sender_mac, m.sender_mac, 6);
	cr_expect_arr_eq(got.target_mac, m.target_mac, 6);
	for (unsigned n = 0; n < 42; n++)
		cr_expect_not(arp_parse(f, n, &got), "%u bytes are too few", n);
}

Test(nat_arp, frames_of_other_kinds_are_refused)
{
	struct arp_message m = sample(), got;
	uint8_t f[ARP_FRAME_BYTES];

	for (unsigned i = 12; i < 22; i++) {
		arp_build(f, broadcast, &m, 0);
		f[i] ^= 0x40;
		cr_expect_not(arp_parse(f, sizeof(f), &got), "byte %u", i);
	}
	arp_build(f, broadcast, &m, 0);
	f[22] |= 1;
	cr_expect_not(arp_parse(f, sizeof(f), &got), "a group address as sender");
}

Test(nat_arp, neighbours_age)
{
	static struct arp_cache c;
	uint8_t mac[6] = {2, 1, 1, 1, 1, 1};
	uint64_t t = 1000ull * 1000000000;
	struct arp_neighbour *n;

	cr_expect_null(arp_find(&c, 0, 5));
	cr_expect(arp_learn(&c, 0, 5, mac, t), "news");
	cr_expect_not(arp_learn(&c, 0, 5, mac, t), "no news");
	cr_expect_null(arp_find(&c, 1, 5), "the other side is another network");
	n = arp_find(&c, 0, 5);
	cr_assert_not_null(n);
	cr_expect(arp_usable(n, t + ARP_DEAD_NS - 1));
	cr_expect_not(arp_usable(n, t + ARP_DEAD_NS));
	cr_expect_not(arp_ask(n, t + ARP_STALE_NS - 1), "fresh");
	cr_expect(arp_ask(n, t + ARP_STALE_NS));
	cr_expect_not(arp_ask(n, t + ARP_STALE_NS + ARP_ASK_NS - 1), "asked already");
	cr_expect(arp_ask(n, t + ARP_STALE_NS + ARP_ASK_NS));
	mac[5] = 2;
	cr_expect(arp_learn(&c, 0, 5, mac, t), "it moved");
	mac[0] = 3;
	cr_expect_not(arp_learn(&c, 0, 6, mac, t), "a group address is nobody's");
	cr_expect_not(arp_learn(&c, 0, 0, mac, t));
}

Test(nat_arp, a_full_cache_forgets_the_oldest)
{
	static struct arp_cache c;
	uint8_t mac[6] = {2, 1, 1, 1, 1, 1};

	for (uint32_t ip = 1; ip <= 20 * ARP_NEIGHBOURS; ip++) {
		struct arp_neighbour *n;

		arp_learn(&c, 0, ip, mac, ip);
		n = arp_find(&c, 0, ip);
		cr_assert(n && n->resolved && n->ip == ip);
	}
	/* What is left is young: an entry is displaced by one of its own neighbourhood only. */
	for (unsigned i = 0; i < ARP_NEIGHBOURS; i++)
		if (c.neighbour[i].ip)
			cr_expect_gt(c.neighbour[i].heard_ns, 10 * ARP_NEIGHBOURS);
}
