/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Packets that may not leave yet. Those whose next hop is not known stand in a bounded queue in
 * order of arrival (`struct hold`). Those whose state is not acknowledged (output commit) wait in
 * the worker's ring of libhaven, which keeps nothing but pointers: what is known of them stands in
 * a pool (`struct held_pool`). No DPDK: a packet is a handle and its bytes.
 */
#ifndef NAT_HOLD_H
#define NAT_HOLD_H

#include <stdbool.h>
#include <stdint.h>

struct nat_packet {
	void *handle;
	uint8_t *data;
	uint16_t bytes;
	uint8_t side; /**< where it is to leave */
};

struct hold_item {
	struct nat_packet packet;
	uint64_t until;    /**< when to give up (ns) */
	uint32_t next_hop; /**< network byte order */
};

/** A packet that waits for an acknowledgement. */
struct held {
	struct nat_packet packet;
	uint64_t until;    /**< sequence to wait for */
	uint32_t next_hop; /**< network byte order */
	uint32_t flow;     /**< whose packet it is */
};

struct held_pool {
	struct held *item;
	uint32_t *free; /**< indices of free ones, a stack */
	uint32_t size, n_free;
};

struct hold {
	struct hold_item *item;
	uint32_t mask, head, tail; /**< numbers grow for ever; slot = number & mask */
};

/** `size` is a power of two. False when memory is short. */
bool hold_init(struct hold *h, uint32_t size);
void hold_free(struct hold *h);
static inline uint32_t hold_count(const struct hold *h)
{
	return h->tail - h->head;
}
/** False when the queue is full. */
bool hold_push(struct hold *h, const struct hold_item *item);
/** Oldest item, NULL when empty. */
struct hold_item *hold_first(const struct hold *h);
void hold_pop(struct hold *h);
/** Item by number, head <= number < tail. */
static inline struct hold_item *hold_at(const struct hold *h, uint32_t number)
{
	return &h->item[number & h->mask];
}

/** False when memory is short. */
bool held_pool_init(struct held_pool *p, uint32_t size);
void held_pool_free(struct held_pool *p);
static inline uint32_t held_count(const struct held_pool *p)
{
	return p->size - p->n_free;
}
/** A free one, NULL when all are in use. */
struct held *held_take(struct held_pool *p);
void held_give(struct held_pool *p, struct held *h);

#endif
