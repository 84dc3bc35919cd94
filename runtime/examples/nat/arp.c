/* SPDX-License-Identifier: BSD-3-Clause */
#include "arp.h"

#include <arpa/inet.h>
#include <string.h>

#include "hash.h"

#define ARP_ETHER_TYPE 0x0806
#define ARP_ETHER_BYTES 14u
#define ARP_BYTES 28u
#define ARP_TRAILER_MAGIC "HVEP"
/* An address is looked for in this many places after the one its hash names. */
#define ARP_PROBES 16u

/* Hardware type Ethernet, protocol IPv4, their lengths. */
static const uint8_t arp_kind[6] = {0, 1, 8, 0, 6, 4};

bool arp_parse(const uint8_t *frame, unsigned bytes, struct arp_message *out)
{
	const uint8_t *a = frame + ARP_ETHER_BYTES;

	if (bytes < ARP_ETHER_BYTES + ARP_BYTES || frame[12] != ARP_ETHER_TYPE >> 8 ||
	    frame[13] != (ARP_ETHER_TYPE & 0xff) || memcmp(a, arp_kind, sizeof(arp_kind)) != 0)
		return false;
	out->opcode = (uint16_t)(a[6] << 8 | a[7]);
	memcpy(out->sender_mac, a + 8, 6);
	memcpy(&out->sender_ip, a + 14, 4);
	memcpy(out->target_mac, a + 18, 6);
	memcpy(&out->target_ip, a + 24, 4);
	/* A group address is nobody's hardware address. */
	return (out->opcode == ARP_REQUEST || out->opcode == ARP_REPLY) &&
	       (out->sender_mac[0] & 1) == 0;
}

static void trailer_write(uint8_t *at, uint64_t epoch)
{
	memcpy(at, ARP_TRAILER_MAGIC, 4);
	for (unsigned i = 0; i < 8; i++)
		at[4 + i] = (uint8_t)(epoch >> (56 - 8 * i));
	at[12] = 0;
}

void arp_build(uint8_t *frame, const uint8_t *to, const struct arp_message *m, uint64_t epoch)
{
	uint8_t *a = frame + ARP_ETHER_BYTES;

	memset(frame, 0, ARP_FRAME_BYTES);
	memcpy(frame, to, 6);
	memcpy(frame + 6, m->sender_mac, 6);
	frame[12] = ARP_ETHER_TYPE >> 8;
	frame[13] = ARP_ETHER_TYPE & 0xff;
	memcpy(a, arp_kind, sizeof(arp_kind));
	a[6] = (uint8_t)(m->opcode >> 8);
	a[7] = (uint8_t)m->opcode;
	memcpy(a + 8, m->sender_mac, 6);
	memcpy(a + 14, &m->sender_ip, 4);
	memcpy(a + 18, m->target_mac, 6);
	memcpy(a + 24, &m->target_ip, 4);
	if (epoch)
		trailer_write(a + ARP_BYTES, epoch);
}

static uint32_t cache_place(uint8_t side, uint32_t ip, uint32_t probe)
{
	uint64_t h = hash_mix64((uint64_t)side << 32 | ip);

	return ((uint32_t)h + probe) & (ARP_NEIGHBOURS - 1);
}

struct arp_neighbour *arp_find(struct arp_cache *c, uint8_t side, uint32_t ip)
{
	for (uint32_t i = 0; i < ARP_PROBES; i++) {
		struct arp_neighbour *n = &c->neighbour[cache_place(side, ip, i)];

		if (n->ip == ip && n->side == side)
			return ip ? n : NULL;
	}
	return NULL;
}

struct arp_neighbour *arp_touch(struct arp_cache *c, uint8_t side, uint32_t ip)
{
	struct arp_neighbour *n = arp_find(c, side, ip);
	struct arp_neighbour *oldest = NULL;

	if (n)
		return n;
	for (uint32_t i = 0; i < ARP_PROBES; i++) {
		n = &c->neighbour[cache_place(side, ip, i)];
		if (n->ip == 0) {
			oldest = n;
			break;
		}
		if (!oldest || n->heard_ns < oldest->heard_ns)
			oldest = n;
	}
	*oldest = (struct arp_neighbour){.ip = ip, .side = side};
	return oldest;
}

bool arp_learn(struct arp_cache *c, uint8_t side, uint32_t ip, const uint8_t *mac, uint64_t now)
{
	struct arp_neighbour *n;
	bool news;

	if (ip == 0 || (mac[0] & 1))
		return false;
	n = arp_touch(c, side, ip);
	news = !n->resolved || memcmp(n->mac, mac, sizeof(n->mac)) != 0;
	memcpy(n->mac, mac, sizeof(n->mac));
	n->mirrored = n->mirrored && !news;
	n->resolved = true;
	n->heard_ns = now;
	return news;
}

bool arp_usable(const struct arp_neighbour *n, uint64_t now)
{
	return n->resolved && (now < n->heard_ns || now - n->heard_ns < ARP_DEAD_NS);
}

bool arp_ask(struct arp_neighbour *n, uint64_t now)
{
	bool fresh = n->resolved && (now < n->heard_ns || now - n->heard_ns < ARP_STALE_NS);

	if (fresh || (n->asked_ns && now - n->asked_ns < ARP_ASK_NS))
		return false;
	n->asked_ns = now;
	return true;
}
