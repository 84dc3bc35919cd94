/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flows of the translator: the working copy in front of the checkpoint. See the essay in nat.c.
 */
#include <arpa/inet.h>
#include <string.h>

#include "nat.h"

/* Work of one turn: entries fetched after a takeover, places looked at for idle flows, flows
 * removed. */
#define WARM_ENTRIES 64u
#define SWEEP_PLACES 64u
#define SWEEP_REMOVALS 8u

/* Both working copy and table have the same capacity, and the copy is a part of the table. */
static uint32_t flow_fetch(struct nat *n, const struct flow_key *key,
			   const struct flow_value *value)
{
	uint32_t number = flow_insert(&n->flows, key, value, n->now);

	n->counts.n[COUNT_FLOWS_RECOVERED] += number != 0;
	return number;
}

uint32_t nat_flow_inward(struct nat *n, const struct flow_key *key, enum nat_count *reason)
{
	struct flow_value value;
	uint32_t number = flow_find_in(&n->flows, key);

	if (!number && !n->warm && haven_get(n->haven.worker, n->haven.flows, key, &value) == 0)
		number = flow_fetch(n, key, &value);
	if (!number)
		*reason = COUNT_NO_FLOW;
	return number;
}

static void key_begin(const struct nat *n, const struct flow_tuple *tuple, struct flow_key *key)
{
	*key = (struct flow_key){.proto = tuple->proto,
				 .outside_ip = n->config.ip[NAT_OUTSIDE],
				 .remote_ip = tuple->remote_ip,
				 .remote_port = tuple->remote_port};
}

uint32_t nat_flow_outward(struct nat *n, const struct flow_tuple *tuple)
{
	uint32_t number = flow_find_out(&n->flows, tuple);
	enum nat_count ignored;
	struct pool_walk walk;
	struct flow_key key;
	uint16_t port;

	if (number || n->warm)
		return number;
	key_begin(n, tuple, &key);
	pool_walk_begin(&n->config.pool, &walk, tuple->proto, tuple->inside_ip, tuple->inside_port);
	while (pool_walk_next(&n->config.pool, &walk, &port)) {
		const struct flow *f;

		key.outside_port = htons(port);
		number = nat_flow_inward(n, &key, &ignored);
		f = &n->flows.flow[number];
		if (number && f->value.inside_ip == tuple->inside_ip &&
		    f->value.inside_port == tuple->inside_port)
			return number;
	}
	return 0;
}

/* First candidate whose key is free; false when all are taken. */
static bool port_find(struct nat *n, const struct flow_tuple *tuple, struct flow_key *key)
{
	enum nat_count ignored;
	struct pool_walk walk;
	uint16_t port;

	key_begin(n, tuple, key);
	pool_walk_begin(&n->config.pool, &walk, tuple->proto, tuple->inside_ip, tuple->inside_port);
	while (pool_walk_next(&n->config.pool, &walk, &port)) {
		key->outside_port = htons(port);
		if (!nat_flow_inward(n, key, &ignored))
			return true;
	}
	return false;
}

/* A refused put or delete, as the reason to drop the packet that wanted it. */
static enum nat_count refusal(const struct nat *n, int status)
{
	unsigned lane = haven_worker_lane(n->haven.worker);

	if (status != -HAVEN_EFULL)
		return COUNT_NOT_PRIMARY;
	return haven_table_count(n->haven.flows, lane) >= n->config.flows ? COUNT_TABLE_FULL
									  : COUNT_LANE_FULL;
}

/* The flow's packets wait for the record just put. */
static void flow_pend(struct nat *n, uint32_t number)
{
	struct flow *f = &n->flows.flow[number];

	n->flows_changed = true;
	if (f->pending_seq == FLOW_UNCOMMITTED)
		return;
	f->pending_seq = FLOW_UNCOMMITTED;
	n->burst_flow[n->n_burst_flows++] = number;
}

uint32_t nat_flow_open(struct nat *n, const struct flow_tuple *tuple, enum nat_count *reason)
{
	struct flow_value value = {.inside_ip = tuple->inside_ip,
				   .inside_port = tuple->inside_port,
				   .state = FLOW_OPENING,
				   .epoch = (uint32_t)n->epoch};
	struct flow_key key;
	uint32_t number;
	int status;

	if (!port_find(n, tuple, &key)) {
		*reason = COUNT_POOL_FULL;
		return 0;
	}
	status = haven_put(n->haven.worker, n->haven.flows, &key, &value);
	if (status) {
		*reason = refusal(n, status);
		return 0;
	}
	number = flow_insert(&n->flows, &key, &value, n->now);
	if (!number) {
		*reason = COUNT_TABLE_FULL;
		return 0;
	}
	n->counts.n[COUNT_FLOWS_CREATED]++;
	flow_pend(n, number);
	return number;
}

enum nat_count nat_flow_move(struct nat *n, uint32_t number, enum flow_state state)
{
	struct flow *f = &n->flows.flow[number];
	struct flow_value value = f->value;
	int status;

	value.state = (uint8_t)state;
	value.epoch = (uint32_t)n->epoch;
	value.changes++;
	status = haven_put(n->haven.worker, n->haven.flows, &f->key, &value);
	if (status)
		return refusal(n, status);
	f->value = value;
	n->counts.n[COUNT_FLOWS_CHANGED]++;
	flow_pend(n, number);
	return COUNT_NONE;
}

void nat_flow_commit(struct nat *n)
{
	if (n->neighbours_changed)
		haven_commit(n->haven.worker, n->haven.neighbours);
	n->neighbours_changed = false;
	if (n->flows_changed) {
		uint64_t seq = haven_commit(n->haven.worker, n->haven.flows);

		for (unsigned i = 0; i < n->n_burst_flows; i++)
			n->flows.flow[n->burst_flow[i]].pending_seq = seq;
		for (unsigned i = 0; i < n->n_burst_held; i++)
			if (n->burst_held[i]->until == FLOW_UNCOMMITTED)
				n->burst_held[i]->until = seq;
		n->flows_changed = false;
		n->n_burst_flows = 0;
	}
	/* The ring has a place for each of the pool; who is refused all the same has lost the role.
	 */
	for (unsigned i = 0; i < n->n_burst_held; i++) {
		struct held *held = n->burst_held[i];

		if (haven_hold(n->haven.worker, n->haven.flows, held->until, held, NULL) != 0)
			nat_drop(n, nat_held_take(n, held).packet, COUNT_HOLD_DROPPED);
	}
	n->n_burst_held = 0;
}

/* Fetch some entries of the checkpoint. Returns false when all are there. */
static bool flow_warm(struct nat *n)
{
	struct {
		struct flow_key key;
		struct flow_value value;
	} entry[WARM_ENTRIES];
	unsigned lane = haven_worker_lane(n->haven.worker);
	unsigned got;

	got = haven_table_scan(n->haven.flows, lane, &n->warm_cursor, entry, WARM_ENTRIES);
	for (unsigned i = 0; i < got; i++)
		if (!flow_find_in(&n->flows, &entry[i].key))
			flow_fetch(n, &entry[i].key, &entry[i].value);
	return got != 0;
}

static void flow_expire(struct nat *n)
{
	for (unsigned i = 0; i < SWEEP_REMOVALS; i++) {
		uint32_t number = flow_sweep(&n->flows, n->now, n->config.timeout_divisor,
					     SWEEP_PLACES / SWEEP_REMOVALS);

		if (!number)
			continue;
		/* Refused while the log is full: the next sweep comes by again. */
		if (haven_delete(n->haven.worker, n->haven.flows, &n->flows.flow[number].key) != 0)
			continue;
		flow_remove(&n->flows, number);
		n->flows_changed = true;
		n->counts.n[COUNT_FLOWS_EXPIRED]++;
	}
}

bool nat_flow_tend(struct nat *n)
{
	if (!n->warm) {
		if (flow_warm(n))
			return true;
		n->warm = true;
		n->takeover[(n->n_takeovers - 1) % NAT_TAKEOVERS_MAX].warm_ns = n->now;
		n->report = true;
	}
	flow_expire(n);
	return false;
}
