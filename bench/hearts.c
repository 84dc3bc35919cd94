/* SPDX-License-Identifier: BSD-3-Clause */
#include "hearts.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "clock.h"
#include "eal.h"
#include "haven_assert.h"

#define BUFFERS 8191u
#define MEMORY_MB 64u
#define CLUSTER "bench"
#define NODE_AT 4u /* in an Ethernet address derived by wrap_mac() */
#define SETTLE_INTERVALS 200u

static char scratch[64];
static struct rte_mempool *pool;
static struct port ring;

int hearts_open(void)
{
	struct eal_options options = {
		.runtime_dir = scratch, .prefix = "bench", .memory_mb = MEMORY_MB, .cpu = 0};
	const struct port_ends ends = {.n = HEARTS_MAX};
	struct error_text error = {""};

	if (bench_scratch_make(scratch, sizeof(scratch)))
		return 1;
	bench_pin(0);
	options.cpu = sched_getcpu();
	if (eal_start(&options, &error) == 0) {
		pool = port_pool_create("hearts", BUFFERS, &error);
		if (pool && port_open(&ring, "net_ring0", pool, &ends, &error) == 0)
			return 0;
	}
	fprintf(stderr, "haven-bench: %s\n", error.text);
	bench_scratch_remove(scratch);
	return 1;
}

void hearts_close(void)
{
	port_close(&ring);
	port_pool_free(pool);
	eal_stop();
	bench_scratch_remove(scratch);
}

static unsigned carry(struct hearts *h, unsigned k);

/* ---- nodes ------------------------------------------------------------------------------------
 */

static void config_make(struct brain_config *c, unsigned self, unsigned n)
{
	unsigned voters = n < 7 ? n : 7;

	*c = (struct brain_config){.self = (uint8_t)self,
				   .n_nodes = (uint8_t)n,
				   .n_instances = 1,
				   .voters = (1u << voters) - 1,
				   .interval_ns = HEARTS_INTERVAL_NS,
				   .suspect_ns = 20 * NSEC_PER_MSEC,
				   .lease_ns = 40 * NSEC_PER_MSEC,
				   .guard_ns = HEARTS_GUARD_NS,
				   .rate_ppm = 200,
				   .stall_ns = 2 * NSEC_PER_MSEC,
				   .mirror_timeout_ns = 200 * NSEC_PER_MSEC};
	c->instance[0].eligible = 3;
	c->instance[0].secondaries = 1;
}

static int node_start(struct hearts *h, unsigned k)
{
	struct auth_keys keys = {.n = 1, .key[0] = {.size = AUTH_KEY_MIN, .bytes = {1, 2, 3}}};
	size_t bytes = (brain_bytes(0) + 63) / 64 * 64;
	struct brain_config config;

	h->brain[k] = aligned_alloc(64, bytes);
	if (!h->brain[k] ||
	    auth_create(&h->auth[k], &keys, (uint8_t)k, (uint8_t)h->n, 1000 + k, false) != 0)
		return 1;
	memset(h->brain[k], 0, bytes);
	config_make(&config, k, h->n);
	/* The others beat a tenth of the interval earlier than node 0. */
	brain_init(h->brain[k], &config, 1000 + k, h->now / 1000,
		   h->now - (k ? HEARTS_INTERVAL_NS / 10 : 0));
	h->port[k] = ring;
	h->port[k].n_peers = h->n;
	wrap_mac(CLUSTER, (uint8_t)k, h->port[k].wrap.self.mac);
	for (unsigned i = 0; i < h->n; i++)
		wrap_mac(CLUSTER, (uint8_t)i, h->port[k].peer[i].mac);
	return 0;
}

static bool agreed(const struct hearts *h)
{
	for (unsigned k = 0; k < h->n; k++)
		if (brain_view(h->brain[k])->epoch == 0 ||
		    brain_view(h->brain[k])->epoch != brain_view(h->brain[0])->epoch)
			return false;
	return brain_role(h->brain[0], 0) == HAVEN_PRIMARY;
}

void hearts_tick_others(struct hearts *h)
{
	for (unsigned k = 1; k < h->n; k++) {
		hearts_tick(h, k);
		hearts_deliver(h);
	}
}

static int settle(struct hearts *h)
{
	for (unsigned k = 0; k < 2; k++) {
		const struct brain_event up = {.kind = BRAIN_COMPONENT, .up = true};

		brain_step(h->brain[k], h->now, &up, h->out);
		carry(h, k);
	}
	for (unsigned i = 0; i < SETTLE_INTERVALS || !agreed(h); i++) {
		if (i == 20 * SETTLE_INTERVALS) {
			fprintf(stderr, "haven-bench: %u nodes do not agree\n", h->n);
			return 1;
		}
		h->now += HEARTS_INTERVAL_NS / 10 * 9;
		hearts_tick_others(h);
		h->now += HEARTS_INTERVAL_NS / 10;
		hearts_tick(h, 0);
		hearts_deliver(h);
	}
	return 0;
}

int hearts_start(struct hearts *h, unsigned n, uint64_t now)
{
	int code = 0;

	hearts_end(h);
	HAVEN_ASSERT(n >= 2 && n <= HEARTS_MAX);
	h->n = n;
	h->now = now;
	h->out = calloc(1, sizeof(*h->out));
	for (unsigned k = 0; k < n && !code; k++)
		code = node_start(h, k);
	if (code || !h->out) {
		fputs("haven-bench: memory ran out\n", stderr);
		return 1;
	}
	return settle(h);
}

void hearts_end(struct hearts *h)
{
	port_release(h->held, h->n_held);
	for (unsigned k = 0; k < h->n; k++) {
		port_release(h->port[k].queue, h->port[k].queued);
		auth_destroy(h->auth[k]);
		free(h->brain[k]);
	}
	free(h->out);
	memset(h, 0, sizeof(*h));
}

/* ---- frames -----------------------------------------------------------------------------------
 */

bool hearts_send(struct hearts *h, unsigned k, const struct frame *f, uint64_t now)
{
	struct rte_mbuf *m;
	uint8_t *data;
	size_t room, size;

	m = port_buffer(pool, &data, &room);
	if (!m)
		return false;
	size = frame_encode(f, data, room);
	if (size)
		size = auth_seal(h->auth[k], data, size, room);
	HAVEN_ASSERT(size);
	port_buffer_finish(m, size);
	if (k == 0 && h->mute)
		port_release(&m, 1);
	else
		port_send(&h->port[k], m, f->dst, now);
	return true;
}

bool hearts_send_raw(struct hearts *h, unsigned k, unsigned to, const uint8_t *data, size_t size)
{
	struct rte_mbuf *m;
	uint8_t *place;
	size_t room;

	m = port_buffer(pool, &place, &room);
	if (!m)
		return false;
	HAVEN_ASSERT(size <= room);
	memcpy(place, data, size);
	port_buffer_finish(m, size);
	port_send(&h->port[k], m, to, 0);
	return true;
}

/* What the brain wants sent. Returns the frames. */
static unsigned carry(struct hearts *h, unsigned k)
{
	unsigned frames = 0;

	for (unsigned i = 0; i < h->out->n; i++) {
		const struct brain_output *o = &h->out->out[i];

		if (o->kind != OUT_FRAME)
			continue;
		if (k == 1 && o->frame.dst == 0 && o->frame.type == FRAME_BEAT)
			h->beat = o->frame;
		frames += hearts_send(h, k, &o->frame, h->now);
	}
	port_flush(&h->port[k]);
	return frames;
}

unsigned hearts_tick(struct hearts *h, unsigned k)
{
	const struct brain_event tick = {.kind = BRAIN_TICK};

	brain_step(h->brain[k], h->now, &tick, h->out);
	return carry(h, k);
}

enum frame_fault hearts_take(struct hearts *h, unsigned k, uint8_t *data, size_t size, uint64_t now)
{
	struct frame f;
	struct brain_event event = {.kind = BRAIN_FRAME, .frame = &f};
	enum frame_fault fault;
	size_t bytes;
	uint8_t src;

	fault = auth_open(h->auth[k], data, size, &bytes, &src);
	if (fault == FRAME_OK)
		fault = frame_decode(data, bytes, &f);
	if (fault != FRAME_OK)
		return fault;
	brain_step(h->brain[k], now, &event, h->out);
	carry(h, k);
	if (k == 0 && h->heard && f.type == FRAME_BEAT)
		h->heard(h, &f);
	return FRAME_OK;
}

static void take_buffer(struct hearts *h, unsigned k, struct rte_mbuf *m, uint64_t now,
			uint64_t *taken)
{
	size_t size;
	uint8_t *data = port_frame(&h->port[k], m, now, &size);

	if (data)
		*taken += hearts_take(h, k, data, size, now) == FRAME_OK;
}

void hearts_deliver(struct hearts *h)
{
	struct rte_mbuf *mbufs[PORT_BURST];
	uint64_t taken = 0;
	unsigned n;

	while ((n = port_receive(&h->port[0], mbufs, PORT_BURST)) != 0) {
		for (unsigned i = 0; i < n; i++) {
			unsigned k = rte_pktmbuf_mtod(mbufs[i], const uint8_t *)[NODE_AT];

			if (k == 0 && h->holds && h->n_held < HAVEN_ARRAY_LEN(h->held)) {
				h->held[h->n_held++] = mbufs[i];
				continue;
			}
			take_buffer(h, k, mbufs[i], h->now, &taken);
			port_release(&mbufs[i], 1);
		}
	}
}

unsigned hearts_return_held(struct hearts *h)
{
	unsigned n = rte_eth_tx_burst(ring.id, 0, h->held, (uint16_t)h->n_held);

	HAVEN_ASSERT(n == h->n_held);
	h->n_held = 0;
	return n;
}

unsigned hearts_receive(struct hearts *h, unsigned k, uint64_t *taken)
{
	struct rte_mbuf *mbufs[PORT_BURST];
	unsigned n = port_receive(&h->port[k], mbufs, PORT_BURST);

	for (unsigned i = 0; i < n; i++)
		take_buffer(h, k, mbufs[i], h->now, taken);
	port_release(mbufs, n);
	return n;
}
