/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbours of the translator: next hops, answers, announcements.
 */
#include <string.h>

#include "clock.h"
#include "nat.h"

#define WAIT_NS NSEC_PER_SEC
#define WAIT_LOOK_NS (20 * NSEC_PER_MSEC)

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static bool on_link(const struct nat *n, enum nat_side side, uint32_t ip)
{
	return ((ip ^ n->config.ip[side]) & n->config.mask[side]) == 0;
}

static bool out_push(struct nat *n, struct nat_packet packet)
{
	struct nat_out *out = &n->out[packet.side];

	if (out->n == NAT_OUT_MAX) {
		nat_drop(n, packet, COUNT_TX_FULL);
		return false;
	}
	out->packet[out->n++] = packet;
	return true;
}

void nat_send_arp(struct nat *n, enum nat_side side, const uint8_t *to, const struct arp_message *m,
		  uint64_t epoch)
{
	uint8_t frame[ARP_FRAME_BYTES];
	struct nat_packet packet;

	arp_build(frame, to, m, epoch);
	packet = n->io.make(n->io.context, frame, sizeof(frame));
	if (!packet.handle)
		return;
	packet.side = (uint8_t)side;
	out_push(n, packet);
}

static struct arp_message own_message(const struct nat *n, enum nat_side side, uint16_t opcode)
{
	struct arp_message m = {.opcode = opcode, .sender_ip = n->config.ip[side]};

	memcpy(m.sender_mac, n->config.mac[side], sizeof(m.sender_mac));
	return m;
}

static void neighbour_ask(struct nat *n, struct arp_neighbour *neighbour)
{
	struct arp_message m = own_message(n, neighbour->side, ARP_REQUEST);

	if (!arp_ask(neighbour, n->now))
		return;
	m.target_ip = neighbour->ip;
	n->counts.n[COUNT_ARP_REQUESTS]++;
	nat_send_arp(n, neighbour->side, broadcast, &m, 0);
}

/* What the primary before us knew: good enough to send, and asked for again at once. */
static void neighbour_recall(struct nat *n, struct arp_neighbour *neighbour)
{
	struct nat_neighbour_key key = {.ip = neighbour->ip, .side = neighbour->side};
	struct nat_neighbour_value value;

	if (haven_get(n->haven.worker, n->haven.neighbours, &key, &value) != 0)
		return;
	memcpy(neighbour->mac, value.mac, sizeof(neighbour->mac));
	neighbour->heard_ns = n->now > ARP_STALE_NS ? n->now - ARP_STALE_NS : 0;
	neighbour->resolved = neighbour->mirrored = true;
}

static void neighbour_mirror(struct nat *n, struct arp_neighbour *neighbour)
{
	struct nat_neighbour_key key = {.ip = neighbour->ip, .side = neighbour->side};
	struct nat_neighbour_value value = {.zero = {0}};

	memcpy(value.mac, neighbour->mac, sizeof(value.mac));
	/* A full table or log costs the next primary one ARP exchange, no more. */
	if (haven_put(n->haven.worker, n->haven.neighbours, &key, &value) != 0)
		return;
	neighbour->mirrored = true;
	n->neighbours_changed = true;
}

void nat_forward(struct nat *n, struct nat_packet packet, uint32_t ip)
{
	enum nat_side side = packet.side;
	struct hold_item item = {.packet = packet, .until = n->now + WAIT_NS, .next_hop = ip};
	struct arp_neighbour *hop;

	if (!on_link(n, side, ip))
		item.next_hop = side == NAT_OUTSIDE ? n->config.gateway : 0;
	if (!item.next_hop) {
		nat_drop(n, packet, COUNT_NO_ROUTE);
		return;
	}
	hop = arp_touch(&n->arp, (uint8_t)side, item.next_hop);
	if (!hop->resolved)
		neighbour_recall(n, hop);
	if (arp_usable(hop, n->now)) {
		packet_set_macs(packet.data, hop->mac, n->config.mac[side]);
		n->out[side].n_data += out_push(n, packet);
	} else if (hold_push(&n->wait, &item)) {
		n->counts.n[COUNT_WAITED_ARP]++;
	} else {
		nat_drop(n, packet, COUNT_NO_ARP);
	}
	neighbour_ask(n, hop);
}

/* Packets that waited for this address go on, in their order. */
static void wait_flush(struct nat *n, enum nat_side side, uint32_t ip)
{
	for (uint32_t left = hold_count(&n->wait); left; left--) {
		struct hold_item item = *hold_first(&n->wait);

		hold_pop(&n->wait);
		if (item.next_hop == ip && item.packet.side == side)
			nat_forward(n, item.packet, ip);
		else
			hold_push(&n->wait, &item);
	}
}

void nat_learn(struct nat *n, enum nat_side side, uint32_t ip, const uint8_t *mac)
{
	struct arp_neighbour *neighbour;

	/* Whoever speaks for the virtual address is another primary, or a liar. */
	if (!on_link(n, side, ip) || ip == n->config.ip[side] ||
	    memcmp(mac, n->config.mac[side], sizeof(n->config.mac[side])) == 0)
		return;
	if (arp_learn(&n->arp, (uint8_t)side, ip, mac, n->now) && hold_count(&n->wait))
		wait_flush(n, side, ip);
	neighbour = arp_find(&n->arp, (uint8_t)side, ip);
	if (n->open && neighbour && neighbour->resolved && !neighbour->mirrored)
		neighbour_mirror(n, neighbour);
}

void nat_receive_arp(struct nat *n, enum nat_side side, struct nat_packet packet)
{
	struct arp_message m;

	if (!arp_parse(packet.data, packet.bytes, &m)) {
		nat_drop(n, packet, COUNT_MALFORMED);
		return;
	}
	nat_learn(n, side, m.sender_ip, m.sender_mac);
	if (n->open && m.opcode == ARP_REQUEST && m.target_ip == n->config.ip[side] &&
	    m.sender_ip != n->config.ip[side]) {
		struct arp_message reply = own_message(n, side, ARP_REPLY);

		memcpy(reply.target_mac, m.sender_mac, sizeof(reply.target_mac));
		reply.target_ip = m.sender_ip;
		n->counts.n[COUNT_ARP_REPLIES]++;
		nat_send_arp(n, side, m.sender_mac, &reply, 0);
	}
	n->io.drop(n->io.context, packet.handle);
}

void nat_announce(struct nat *n)
{
	for (unsigned side = 0; side < NAT_SIDES; side++) {
		struct arp_message m = own_message(n, side, ARP_REQUEST);

		/* Some receivers take notice of requests only, others of replies only. */
		m.target_ip = m.sender_ip;
		nat_send_arp(n, side, broadcast, &m, n->epoch);
		m.opcode = ARP_REPLY;
		memcpy(m.target_mac, m.sender_mac, sizeof(m.target_mac));
		nat_send_arp(n, side, broadcast, &m, n->epoch);
		n->counts.n[COUNT_ARP_ANNOUNCED] += 2;
	}
}

void nat_wait_turn(struct nat *n)
{
	struct hold_item *item = hold_first(&n->wait);

	if (!item || n->now - n->waited_ns < WAIT_LOOK_NS)
		return;
	n->waited_ns = n->now;
	for (; item && item->until <= n->now; item = hold_first(&n->wait)) {
		struct nat_packet late = item->packet;

		hold_pop(&n->wait);
		nat_drop(n, late, COUNT_NO_ARP);
	}
	for (uint32_t i = n->wait.head; i != n->wait.tail; i++) {
		item = hold_at(&n->wait, i);
		neighbour_ask(n, arp_touch(&n->arp, item->packet.side, item->next_hop));
	}
}
