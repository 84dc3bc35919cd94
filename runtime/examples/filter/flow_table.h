/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The flow table of the packet filter: an rte_hash, as many applications have one, that is kept in
 * a Haven checkpoint as well. The hash is private and fast and also knows what need not survive
 * (time of the last packet); the checkpoint has the flows themselves, here and on the standby.
 * All calls from the worker's thread.
 */
#ifndef FILTER_FLOW_TABLE_H
#define FILTER_FLOW_TABLE_H

#include <haven/haven.h>
#include <stdbool.h>
#include <stdint.h>

struct rte_hash;

/* No padding: a key is compared as bytes. Addresses and ports in network byte order. */
struct flow_key {
	uint32_t inside_ip, outside_ip;
	uint16_t inside_port, outside_port;
	uint32_t protocol;
};

enum flow_phase { FLOW_OPEN = 1, FLOW_CLOSING };

struct flow_value {
	uint32_t phase; /**< enum flow_phase */
};

struct flow {
	struct flow_key key;
	struct flow_value value;
	bool used;
	uint64_t last; /**< TSC of the newest packet, or of the take-over */
};

struct flow_table {
	struct rte_hash *index; /**< key -> place in flow[] */
	struct flow *flow;
	uint32_t capacity;
	uint32_t sweep; /**< place where ageing goes on */
	struct haven_worker *worker;
	struct haven_table *saved; /**< the checkpoint */
	uint32_t fetch_cursor;     /**< how far it was read since the take-over */
	bool whole;                /**< the hash has everything that the checkpoint has */
};

/** Allocates for `capacity` flows. Returns 0, or -HAVEN_ENOMEM. */
int flow_table_make(struct flow_table *t, uint32_t capacity);
/** Create the checkpoint for instance `instance` of `c`. Returns 0 or a negative error. */
int flow_table_save(struct flow_table *t, struct haven_component *c, unsigned instance);
/** The flow with this key, NULL: there is none. */
struct flow *flow_find(struct flow_table *t, const struct flow_key *key, uint64_t now);
/** A new flow; NULL when there is no room for it now. */
struct flow *flow_open(struct flow_table *t, const struct flow_key *key, uint64_t now);
/** Another phase. False when there is no room in the log now. */
bool flow_move(struct flow_table *t, struct flow *f, enum flow_phase phase);
/** Some work per turn: fetch flows after a take-over, remove idle ones. */
void flow_table_tend(struct flow_table *t, uint64_t now);
/** Primary no longer: the hash is void, somebody else goes on with the checkpoint. */
void flow_table_forget(struct flow_table *t);

#endif
