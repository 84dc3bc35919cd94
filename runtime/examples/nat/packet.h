/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * IPv4 packets as bytes: take apart, check, rewrite. No DPDK, no state.
 *
 * Addresses and ports are values as they stand in the packet (network byte order); they are
 * compared and copied, never computed with. Checksums are changed incrementally after RFC 1624,
 * equation 3, so that a packet damaged before it came here is still found damaged by its receiver.
 */
#ifndef NAT_PACKET_H
#define NAT_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "count.h"

#define PACKET_ETHER_BYTES 14u
#define PACKET_MAC_BYTES 6u

enum packet_proto { PACKET_ICMP = 1, PACKET_TCP = 6, PACKET_UDP = 17 };
enum packet_end { PACKET_SOURCE = 0, PACKET_DESTINATION = 1 };
/** Flags of a TCP segment that the translator looks at. */
enum packet_tcp_flag { PACKET_FIN = 0x01, PACKET_SYN = 0x02, PACKET_RST = 0x04, PACKET_ACK = 0x10 };

/** One IPv4 header with the transport header behind it: of the packet, or quoted in an ICMP error.
 */
struct packet_header {
	uint8_t *ip;
	uint8_t *l4;
	uint16_t l4_bytes; /**< transport bytes present */
	uint8_t proto;
	uint32_t address[2]; /**< by enum packet_end */
	uint16_t port[2];    /**< ICMP echo: the identifier, twice */
};

struct packet {
	struct packet_header header;
	struct packet_header quoted; /**< of an ICMP error */
	bool error;                  /**< an ICMP error: ports stand in `quoted` */
	uint8_t tcp_flags;
	uint8_t icmp_type;
};

/**
 * Take the Ethernet frame `frame` apart. Returns COUNT_NONE and fills `p` when it is an IPv4 packet
 * of TCP, UDP, ICMP echo or an ICMP error about one of them; else the reason to drop it. `p` points
 * into the frame.
 */
enum nat_count packet_parse(uint8_t *frame, unsigned bytes, struct packet *p);
/** Replace address and port of one end; checksums follow. For ICMP the port is the identifier. */
void packet_rewrite(struct packet_header *h, enum packet_end end, uint32_t address, uint16_t port);
/** Replace the address alone. The transport must not cover it (ICMP). */
void packet_readdress(struct packet_header *h, enum packet_end end, uint32_t address);
/** Compute the checksum of an ICMP error anew, after its quoted packet was rewritten. */
void packet_seal_error(struct packet *p);
/** One hop less. False (and unchanged) when none is left. */
bool packet_hop(struct packet_header *h);
void packet_set_macs(uint8_t *frame, const uint8_t *destination, const uint8_t *source);

/** Internet checksum of `bytes` bytes, `sum` being what came before; 0 over a valid header. */
uint16_t packet_checksum(const uint8_t *data, unsigned bytes, uint32_t sum);
/** Sum of the pseudo header for packet_checksum(). */
uint32_t packet_pseudo_sum(const struct packet_header *h);

#endif
