/* SPDX-License-Identifier: BSD-3-Clause */
#include "pool.h"

#include "hash.h"

/* The same on every node: the sequence must be found again after a takeover. */
#define POOL_SEED 0x706f6f6c2d6e6174ull

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

void pool_walk_begin(const struct pool *p, struct pool_walk *w, uint8_t proto, uint32_t address,
		     uint16_t port)
{
	uint64_t h =
		hash_mix64(POOL_SEED ^ ((uint64_t)proto << 48 | (uint64_t)port << 32 | address));

	w->at = (uint32_t)(h % p->size);
	w->stride = 1 + (uint32_t)((h >> 32) % p->size);
	/* A stride without common divisor visits every port before it comes back. One is never
	 * far: of 22 numbers in a row one is coprime to any size below 2^16 (Jacobsthal). */
	while (common_divisor(w->stride, p->size) != 1)
		w->stride++;
	w->left = p->size < POOL_PROBES ? p->size : POOL_PROBES;
}

bool pool_walk_next(const struct pool *p, struct pool_walk *w, uint16_t *port)
{
	if (w->left == 0)
		return false;
	w->left--;
	*port = (uint16_t)(p->first + w->at);
	w->at = (uint32_t)(((uint64_t)w->at + w->stride) % p->size);
	return true;
}
