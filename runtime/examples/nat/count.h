/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the translator counts. Every packet that is not sent on is counted under the one reason that
 * stopped it. Written by the packet loop alone.
 */
#ifndef NAT_COUNT_H
#define NAT_COUNT_H

#include <stdint.h>

enum nat_count {
	COUNT_NONE = 0, /**< as a verdict: nothing stands against the packet */
	COUNT_SENT_OUTSIDE,
	COUNT_SENT_INSIDE,
	COUNT_HELD,       /**< waited for an acknowledgement of the state they created */
	COUNT_WAITED_ARP, /**< waited for the address of their next hop */
	COUNT_FLOWS_CREATED,
	COUNT_FLOWS_CHANGED, /**< state changes that were mirrored */
	COUNT_FLOWS_EXPIRED,
	COUNT_FLOWS_RECOVERED, /**< taken over from the checkpoint */
	COUNT_ARP_REQUESTS,
	COUNT_ARP_REPLIES,
	COUNT_ARP_ANNOUNCED,
	/* Reasons for a drop. */
	COUNT_NOT_PRIMARY,
	COUNT_GATE_SHUT, /**< ready to be sent when the gate was found shut */
	COUNT_NOT_OURS,  /**< for another hardware address */
	COUNT_MALFORMED,
	COUNT_UNSUPPORTED, /**< protocol, or addressed to the translator itself */
	COUNT_BAD_CHECKSUM,
	COUNT_FRAGMENT, /**< not the first one: it has no ports */
	COUNT_TTL,
	COUNT_NO_FLOW,    /**< from outside, belongs to no flow */
	COUNT_TCP_NO_SYN, /**< from inside, belongs to no flow and does not begin one */
	COUNT_POOL_FULL,
	COUNT_TABLE_FULL,
	COUNT_LANE_FULL, /**< the mirror lags: the log has no room */
	COUNT_HOLD_FULL,
	COUNT_HOLD_DROPPED, /**< held when the role was lost */
	COUNT_NO_ARP,
	COUNT_NO_ROUTE, /**< next hop neither on the link nor a gateway */
	COUNT_TX_FULL,
	COUNT_KINDS
};

struct nat_counts {
	uint64_t n[COUNT_KINDS];
};

/** Stable label ("pool_full"). */
const char *count_name(enum nat_count kind);

#endif
