/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Flows: the mirrored form (key and value of the checkpoint table) and the private working copy
 * with what need not survive a takeover (last activity, place in two hash indices). No DPDK, no
 * Haven.
 *
 * All memory is allocated by flow_table_init(); nothing here is bounded by anything but the table's
 * capacity, and the sweep and the look-ups do bounded work per call.
 */
#ifndef NAT_FLOW_H
#define NAT_FLOW_H

#include <stdbool.h>
#include <stdint.h>

/** Key of the checkpoint: what a packet from outside carries. Network byte order. */
struct flow_key {
	uint8_t proto;
	uint8_t zero;
	uint16_t outside_port;
	uint32_t outside_ip;
	uint32_t remote_ip;
	uint16_t remote_port; /**< 0 for ICMP */
	uint16_t zero2;
};
_Static_assert(sizeof(struct flow_key) == 16, "no hidden padding in a mirrored key");

enum flow_state {
	FLOW_OPENING = 0, /**< nothing has come back yet; ICMP stays here */
	FLOW_ESTABLISHED, /**< both ends have spoken */
	FLOW_FIN_OUTSIDE, /**< TCP: the outside end has closed its half */
	FLOW_FIN_INSIDE,  /**< TCP: the inside end has */
	FLOW_CLOSED,      /**< TCP: both have, or traffic went on after a reset */
	FLOW_RESET,       /**< TCP: one end has reset it */
	FLOW_STATES
};

/** Value of the checkpoint. */
struct flow_value {
	uint32_t inside_ip;   /**< network byte order */
	uint16_t inside_port; /**< network byte order */
	uint8_t state;        /**< enum flow_state */
	uint8_t zero;
	uint32_t epoch;   /**< of the primary that changed it last, low 32 bits */
	uint32_t changes; /**< since it was opened */
};
_Static_assert(sizeof(struct flow_value) == 16, "no hidden padding in a mirrored value");

/** What a packet from inside carries. Network byte order. */
struct flow_tuple {
	uint8_t proto;
	uint16_t inside_port, remote_port;
	uint32_t inside_ip, remote_ip;
};

/** Sequence of a state that has been put but not committed yet. */
#define FLOW_UNCOMMITTED UINT64_MAX

struct flow {
	struct flow_key key;
	struct flow_value value;
	uint64_t last_ns;     /**< last packet, or the takeover */
	uint64_t pending_seq; /**< packets wait until this record is acknowledged */
	uint32_t held;        /**< its packets in the hold queue; while there are any it stays */
	uint32_t next_in, next_out; /**< chains; next_in also links free flows */
	bool used;
};

struct flow_table {
	struct flow *flow; /**< numbers 1…capacity; 0 is none */
	uint32_t *head_in, *head_out;
	uint32_t capacity, mask, count;
	uint32_t free_head; /**< given back, 0: none */
	uint32_t fresh;     /**< numbers from here on were never used since the last reset */
	uint32_t sweep;     /**< next number the sweep looks at */
	uint64_t seed;      /**< of the hashes: private, so that nobody can choose collisions */
};

enum flow_direction { FLOW_OUTWARD = 0, FLOW_INWARD = 1 };

/** False when memory is short. */
bool flow_table_init(struct flow_table *t, uint32_t capacity, uint64_t seed);
void flow_table_free(struct flow_table *t);
/** Forget every flow. Its cost does not grow with the flows, only (a word each) with the capacity.
 */
void flow_table_reset(struct flow_table *t);
/** By what a packet carries; 0 when there is none. */
uint32_t flow_find_in(const struct flow_table *t, const struct flow_key *key);
uint32_t flow_find_out(const struct flow_table *t, const struct flow_tuple *tuple);
/** Add a flow whose key and tuple are not there yet. 0 when the table is full. */
uint32_t flow_insert(struct flow_table *t, const struct flow_key *key,
		     const struct flow_value *value, uint64_t now);
void flow_remove(struct flow_table *t, uint32_t number);

/** State after a packet with these TCP flags (0 for other protocols). */
enum flow_state flow_next_state(uint8_t proto, enum flow_state state, enum flow_direction direction,
				uint8_t tcp_flags);
/** How long a flow without packets is kept; `divisor` (>= 1) shortens all of them alike. */
uint64_t flow_timeout_ns(uint8_t proto, enum flow_state state, uint32_t divisor);
/** Look at up to `max` places from where the last sweep ended; returns the first idle flow found,
 *  0 when there is none among them. */
uint32_t flow_sweep(struct flow_table *t, uint64_t now, uint32_t divisor, unsigned max);

#endif
