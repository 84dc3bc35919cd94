/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many mirror frames may be on their way to one node, all lanes together: half as many after a
 * loss, a few more after each acknowledgement that brought something. So a ring or a switch that
 * overflows is found out by its losses, and heartbeats need not stand behind a queue of bulk.
 *
 * And on which links they go: on all that work, the first copy wins; or, split, each lane on one of
 * them, in order. What is known of a link is that the peer is heard on it. The other direction may
 * be cut, so a lane whose frames are not acknowledged in time goes over to the next link.
 */
#include "brain_internal.h"

/* Enough for one lane to fill its frames while the acknowledgement is on its way. */
#define FLIGHT_LEAST 16u
#define FLIGHT_MORE 4u
#define FLIGHT_SHARE 8u

static bool flight_is_bounded(const struct brain *b)
{
	return b->config.mirror_flight != 0;
}

void brain_flight_init(struct brain *b)
{
	for (unsigned n = 0; n < HAVEN_NODES_MAX; n++)
		b->flight[n].most = b->config.mirror_flight;
}

void brain_flight_count(struct brain *b)
{
	if (!flight_is_bounded(b))
		return;
	for (unsigned n = 0; n < b->config.n_nodes; n++)
		b->flight[n].now = 0;
	for (uint64_t left = b->open_slots; left;) {
		const struct brain_slot *s = &b->slot[brain_take_slot(&left)];

		for (unsigned k = 0; k < BRAIN_SESSIONS; k++)
			if (mirror_tx_is_open(&s->tx[k]))
				b->flight[s->tx[k].node].now +=
					(uint32_t)mirror_tx_flight(&s->tx[k]);
	}
}

bool brain_flight_room(const struct brain *b, unsigned node)
{
	return !flight_is_bounded(b) || b->flight[node].now < b->flight[node].most;
}

void brain_flight_sent(struct brain *b, unsigned node)
{
	b->flight[node].now++;
}

void brain_flight_lost(struct brain *b, unsigned node, bool silent)
{
	struct brain_flight *f = &b->flight[node];

	f->timeouts += silent;
	f->most = f->most / 2 > FLIGHT_LEAST ? f->most / 2 : FLIGHT_LEAST;
	if (f->most > b->config.mirror_flight)
		f->most = b->config.mirror_flight;
}

void brain_flight_acked(struct brain *b, unsigned node, uint64_t frames)
{
	struct brain_flight *f = &b->flight[node];

	f->most += FLIGHT_MORE + (uint32_t)(frames / FLIGHT_SHARE);
	if (f->most > b->config.mirror_flight)
		f->most = b->config.mirror_flight;
}

uint8_t brain_flight_links(const struct brain *b, unsigned node, unsigned slot, bool bulk)
{
	const struct peer *p = &b->peer[node];
	uint8_t up = p->links_up, good = up;
	unsigned skip;

	for (unsigned l = 0; l < HAVEN_LINKS_MAX; l++)
		if (p->link[l].gray)
			good &= (uint8_t) ~(1u << l);
	if (!good)
		good = up;
	if (!good)
		return UINT8_MAX;
	if (!bulk || !b->config.mirror_split)
		return up;
	skip = (slot + b->flight[node].timeouts) % (unsigned)__builtin_popcount(good);
	while (skip--)
		good &= (uint8_t)(good - 1);
	return (uint8_t)(good & -good);
}
