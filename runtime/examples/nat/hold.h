/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Packets that may not leave yet: a bounded queue in order of arrival. Two of them exist: for
 * packets whose state is not acknowledged (output commit), and for packets whose next hop is not
 * known. No DPDK: a packet is a handle and its bytes.
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
	uint64_t until;    /**< hold: sequence to wait for; next hop: when to give up (ns) */
	uint32_t next_hop; /**< network byte order */
	uint32_t flow;     /**< whose packet it is */
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

#endif
