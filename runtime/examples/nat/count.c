/* SPDX-License-Identifier: BSD-3-Clause */
#include "count.h"

static const char *const names[] = {
	[COUNT_NONE] = "none",
	[COUNT_SENT_OUTSIDE] = "sent_outside",
	[COUNT_SENT_INSIDE] = "sent_inside",
	[COUNT_HELD] = "held",
	[COUNT_WAITED_ARP] = "waited_arp",
	[COUNT_FLOWS_CREATED] = "flows_created",
	[COUNT_FLOWS_CHANGED] = "flows_changed",
	[COUNT_FLOWS_EXPIRED] = "flows_expired",
	[COUNT_FLOWS_RECOVERED] = "flows_recovered",
	[COUNT_ARP_REQUESTS] = "arp_requests",
	[COUNT_ARP_REPLIES] = "arp_replies",
	[COUNT_ARP_ANNOUNCED] = "arp_announced",
	[COUNT_NOT_PRIMARY] = "not_primary",
	[COUNT_GATE_SHUT] = "gate_shut",
	[COUNT_NOT_OURS] = "not_ours",
	[COUNT_MALFORMED] = "malformed",
	[COUNT_UNSUPPORTED] = "unsupported",
	[COUNT_BAD_CHECKSUM] = "bad_checksum",
	[COUNT_FRAGMENT] = "fragment",
	[COUNT_TTL] = "ttl",
	[COUNT_NO_FLOW] = "no_flow",
	[COUNT_TCP_NO_SYN] = "tcp_no_syn",
	[COUNT_POOL_FULL] = "pool_full",
	[COUNT_TABLE_FULL] = "table_full",
	[COUNT_LANE_FULL] = "lane_full",
	[COUNT_HOLD_FULL] = "hold_full",
	[COUNT_HOLD_DROPPED] = "hold_dropped",
	[COUNT_NO_ARP] = "no_arp",
	[COUNT_NO_ROUTE] = "no_route",
	[COUNT_TX_FULL] = "tx_full",
};
_Static_assert(sizeof(names) / sizeof(names[0]) == COUNT_KINDS, "a label for every count");

const char *count_name(enum nat_count kind)
{
	return names[kind];
}
