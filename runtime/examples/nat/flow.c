/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "hash.h"
#include "packet.h"

bool flow_table_init(struct flow_table *t, uint32_t capacity, uint64_t seed)
{
	uint32_t heads = 64;

	while (heads < capacity && heads < 1u << 31)
		heads <<= 1;
	memset(t, 0, sizeof(*t));
	t->flow = calloc((size_t)capacity + 1, sizeof(*t->flow));
	t->head_in = calloc(heads, sizeof(*t->head_in));
	t->head_out = calloc(heads, sizeof(*t->head_out));
	if (!t->flow || !t->head_in || !t->head_out) {
		flow_table_free(t);
		return false;
	}
	t->capacity = capacity;
	t->mask = heads - 1;
	t->seed = seed;
	flow_table_reset(t);
	return true;
}

void flow_table_free(struct flow_table *t)
{
	free(t->flow);
	free(t->head_in);
	free(t->head_out);
	memset(t, 0, sizeof(*t));
}

void flow_table_reset(struct flow_table *t)
{
	size_t heads = ((size_t)t->mask + 1) * sizeof(uint32_t);

	memset(t->head_in, 0, heads);
	memset(t->head_out, 0, heads);
	t->free_head = 0;
	t->fresh = 1;
	t->count = 0;
	t->sweep = 1;
}

static uint32_t *place_in(const struct flow_table *t, const struct flow_key *key)
{
	return &t->head_in[(uint32_t)hash_bytes(key, sizeof(*key), t->seed) & t->mask];
}

static uint32_t *place_out(const struct flow_table *t, const struct flow_tuple *tuple)
{
	uint64_t a = (uint64_t)tuple->inside_ip << 32 | tuple->remote_ip;
	uint64_t b = (uint64_t)tuple->proto << 32 | (uint32_t)tuple->inside_port << 16 |
		     tuple->remote_port;

	return &t->head_out[(uint32_t)hash_mix64(hash_mix64(a ^ t->seed) + b) & t->mask];
}

static struct flow_tuple flow_tuple_of(const struct flow *f)
{
	return (struct flow_tuple){.proto = f->key.proto,
				   .inside_ip = f->value.inside_ip,
				   .inside_port = f->value.inside_port,
				   .remote_ip = f->key.remote_ip,
				   .remote_port = f->key.remote_port};
}

uint32_t flow_find_in(const struct flow_table *t, const struct flow_key *key)
{
	uint32_t i = *place_in(t, key);

	while (i && memcmp(&t->flow[i].key, key, sizeof(*key)) != 0)
		i = t->flow[i].next_in;
	return i;
}

static bool tuple_matches(const struct flow *f, const struct flow_tuple *tuple)
{
	return f->value.inside_ip == tuple->inside_ip && f->key.remote_ip == tuple->remote_ip &&
	       f->value.inside_port == tuple->inside_port &&
	       f->key.remote_port == tuple->remote_port && f->key.proto == tuple->proto;
}

uint32_t flow_find_out(const struct flow_table *t, const struct flow_tuple *tuple)
{
	uint32_t i = *place_out(t, tuple);

	while (i && !tuple_matches(&t->flow[i], tuple))
		i = t->flow[i].next_out;
	return i;
}

uint32_t flow_insert(struct flow_table *t, const struct flow_key *key,
		     const struct flow_value *value, uint64_t now)
{
	uint32_t number = t->free_head ? t->free_head : t->fresh;
	struct flow_tuple tuple;
	uint32_t *in, *out;
	struct flow *f;

	if (number > t->capacity)
		return 0;
	f = &t->flow[number];
	if (t->free_head)
		t->free_head = f->next_in;
	else
		t->fresh++;
	f->key = *key;
	f->value = *value;
	f->last_ns = now;
	f->pending_seq = 0;
	f->held = 0;
	f->used = true;
	tuple = flow_tuple_of(f);
	in = place_in(t, key);
	out = place_out(t, &tuple);
	f->next_in = *in;
	f->next_out = *out;
	*in = *out = number;
	t->count++;
	return number;
}

void flow_remove(struct flow_table *t, uint32_t number)
{
	struct flow *f = &t->flow[number];
	struct flow_tuple tuple = flow_tuple_of(f);
	uint32_t *in = place_in(t, &f->key);
	uint32_t *out = place_out(t, &tuple);

	while (*in != number)
		in = &t->flow[*in].next_in;
	*in = f->next_in;
	while (*out != number)
		out = &t->flow[*out].next_out;
	*out = f->next_out;
	f->used = false;
	f->next_in = t->free_head;
	t->free_head = number;
	t->count--;
}

/* ---- life -------------------------------------------------------------------------------------
 */

static enum flow_state tcp_fin(enum flow_state state, enum flow_direction direction)
{
	enum flow_state own = direction == FLOW_OUTWARD ? FLOW_FIN_INSIDE : FLOW_FIN_OUTSIDE;
	enum flow_state other = direction == FLOW_OUTWARD ? FLOW_FIN_OUTSIDE : FLOW_FIN_INSIDE;

	if (state == other || state == FLOW_CLOSED)
		return FLOW_CLOSED;
	return state == FLOW_RESET ? FLOW_RESET : own;
}

static enum flow_state tcp_next(enum flow_state state, enum flow_direction direction, uint8_t flags)
{
	if (flags & PACKET_RST)
		return FLOW_RESET;
	if (flags & PACKET_SYN) {
		/* A client may reuse its port: the flow begins anew with the same translation. */
		if (direction == FLOW_OUTWARD)
			return state == FLOW_ESTABLISHED ? state : FLOW_OPENING;
		return state == FLOW_OPENING ? FLOW_ESTABLISHED : state;
	}
	if (flags & PACKET_FIN)
		return tcp_fin(state, direction);
	if (direction == FLOW_INWARD && state == FLOW_OPENING)
		return FLOW_ESTABLISHED;
	/* Who goes on after a reset did not believe it (it may be forged): not cut off at once. */
	return state == FLOW_RESET ? FLOW_CLOSED : state;
}

enum flow_state flow_next_state(uint8_t proto, enum flow_state state, enum flow_direction direction,
				uint8_t tcp_flags)
{
	if (proto == PACKET_TCP)
		return tcp_next(state, direction, tcp_flags);
	if (proto == PACKET_UDP && direction == FLOW_INWARD)
		return FLOW_ESTABLISHED;
	return state;
}

uint64_t flow_timeout_ns(uint8_t proto, enum flow_state state, uint32_t divisor)
{
	uint64_t seconds;

	if (proto == PACKET_ICMP)
		seconds = 60; /* RFC 5508, requirement 2 */
	else if (proto == PACKET_UDP)
		seconds = state == FLOW_ESTABLISHED ? 300 : 30;
	else if (state == FLOW_ESTABLISHED)
		seconds = 7440; /* RFC 5382, requirement 5: 2 hours 4 minutes */
	else if (state == FLOW_RESET)
		seconds = 10;
	else
		seconds = 240; /* RFC 5382, requirement 5: transitory */
	return seconds * NSEC_PER_SEC / divisor;
}

uint32_t flow_sweep(struct flow_table *t, uint64_t now, uint32_t divisor, unsigned max)
{
	for (unsigned i = 0; i < max && t->count; i++) {
		uint32_t number = t->sweep;
		const struct flow *f = &t->flow[number];

		t->sweep = number + 1 < t->fresh ? number + 1 : 1;
		if (f->used && !f->held && now > f->last_ns &&
		    now - f->last_ns > flow_timeout_ns(f->key.proto, f->value.state, divisor))
			return number;
	}
	return 0;
}
