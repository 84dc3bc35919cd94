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
