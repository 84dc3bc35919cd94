/* SPDX-License-Identifier: BSD-3-Clause */
#include "hold.h"

#include <stdlib.h>
#include <string.h>

bool hold_init(struct hold *h, uint32_t size)
{
	memset(h, 0, sizeof(*h));
	h->item = calloc(size, sizeof(*h->item));
	h->mask = size - 1;
	return h->item != NULL;
}

void hold_free(struct hold *h)
{
	free(h->item);
	memset(h, 0, sizeof(*h));
}

bool hold_push(struct hold *h, const struct hold_item *item)
{
	if (hold_count(h) > h->mask)
		return false;
	*hold_at(h, h->tail++) = *item;
	return true;
}

struct hold_item *hold_first(const struct hold *h)
{
	return hold_count(h) ? hold_at(h, h->head) : NULL;
}

void hold_pop(struct hold *h)
{
	h->head++;
}

bool held_pool_init(struct held_pool *p, uint32_t size)
{
	memset(p, 0, sizeof(*p));
	p->item = calloc(size, sizeof(*p->item));
	p->free = calloc(size, sizeof(*p->free));
	if (!p->item || !p->free) {
		held_pool_free(p);
		return false;
	}
	p->size = p->n_free = size;
	for (uint32_t i = 0; i < size; i++)
		p->free[i] = size - 1 - i;
	return true;
}

void held_pool_free(struct held_pool *p)
{
	free(p->item);
	free(p->free);
	memset(p, 0, sizeof(*p));
}

struct held *held_take(struct held_pool *p)
{
	return p->n_free ? &p->item[p->free[--p->n_free]] : NULL;
}

void held_give(struct held_pool *p, struct held *h)
{
	p->free[p->n_free++] = (uint32_t)(h - p->item);
}
