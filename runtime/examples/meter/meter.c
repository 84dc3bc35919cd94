/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Per-flow counters at packet rate: a table in mode dirty. A packet costs a look-up and a store;
 * the latest values go to the standby a bounded number at a time, whatever the packet rate is.
 *
 * usage: haven-meter [GROUP [RUNS [KEPT]]]: counts RUNS runs of packets (0, the default: for ever).
 * After each it waits until the standby has all of it, and says so. As a standby it is warm with
 * KEPT records, hot without.
 */
#include <haven/haven.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define FLOWS 1000u
#define BURST 32u
#define RUN 10000u /* packets */

struct flow {
	uint32_t source, destination;
	uint16_t source_port, destination_port;
	uint32_t protocol;
};

struct counters {
	uint64_t packets, bytes;
};

struct meter {
	struct haven *h;
	struct haven_worker *w;
	struct haven_table *t;
	int away;             /**< the node is gone and its successor not found yet */
	int primary;          /**< has been told */
	uint64_t counted;     /**< packets, those of earlier primaries included */
	uint64_t until, runs; /**< end of this run; runs done */
	uint32_t random;
};

/* Stands for a packet that was received. */
static struct flow packet_next(struct meter *m)
{
	uint32_t number;

	m->random = m->random * 1664525 + 1013904223;
	number = (m->random >> 8) % FLOWS;
	return (struct flow){.source = 0x0a000000 + number, .destination_port = 53, .protocol = 17};
}

/* 0 when the packet is counted; a new flow may have to wait for room in the lane. */
static int count(struct meter *m, const struct flow *flow, unsigned bytes)
{
	struct counters c = {0, 0};
	int status = haven_get(m->w, m->t, flow, &c);

	if (status && status != -HAVEN_ENOENT)
		return status;
	c.packets++;
	c.bytes += bytes;
	status = haven_put(m->w, m->t, flow, &c);
	m->counted += status == 0;
	return status;
}

/* What the primary before this one has left. */
static void take_over(struct meter *m)
{
	struct {
		struct flow flow;
		struct counters c;
	} entry[64];
	uint32_t cursor = 0;
	unsigned n, flows = 0;

	m->counted = 0;
	while ((n = haven_table_scan(m->t, haven_worker_lane(m->w), &cursor, entry, 64)) != 0) {
		flows += n;
		while (n--)
			m->counted += entry[n].c.packets;
	}
	m->until = m->counted + RUN;
	printf("primary %u flows %llu packets\n", flows, (unsigned long long)m->counted);
}

static void run_end(struct meter *m, uint64_t seq)
{
	if (haven_dirty_count(m->t, haven_worker_lane(m->w)) || haven_acked(m->w, m->t) < seq)
		return;
	printf("safe %llu packets\n", (unsigned long long)m->counted);
	m->until = m->counted + RUN;
	m->runs++;
}

static void turn(struct meter *m)
{
	if (haven_poll(m->w) & HAVEN_CHANGE_NODE)
		m->away = 1;
	if (m->away && haven_reattach(m->h) == 0)
		m->away = 0;
	if (!haven_gate(m->w, 0)) {
		m->primary = m->primary && haven_role(m->w, 0) == HAVEN_PRIMARY;
		return;
	}
	if (!m->primary)
		take_over(m);
	m->primary = 1;
	for (unsigned i = 0; i < BURST && m->counted < m->until; i++) {
		struct flow flow = packet_next(m);

		if (count(m, &flow, 100))
			break;
	}
	/* One commit a burst, also when nothing was counted: it pushes what waits. */
	if (m->counted < m->until)
		haven_commit(m->w, m->t);
	else
		run_end(m, haven_commit(m->w, m->t));
}

int main(int argc, char **argv)
{
	const struct haven_component_config config = {.name = "meter",
						      .group = argc > 1 ? argv[1] : "meter"};
	const struct haven_table_config shape = {.name = "counters",
						 .key_bytes = sizeof(struct flow),
						 .value_bytes = sizeof(struct counters),
						 .capacity = 4 * FLOWS,
						 .lanes = 1,
						 .mode = HAVEN_MODE_DIRTY,
						 .push_records = 16,
						 .warm_records =
							 argc > 3 ? (uint32_t)atoi(argv[3]) : 0};
	uint64_t runs = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	struct meter m = {.random = 1};
	struct haven_component *c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (haven_attach(&m.h, NULL) || haven_component_register(m.h, &config, &c) ||
	    haven_table_create(c, 0, &shape, &m.t) || haven_worker_begin(c, &m.w) ||
	    haven_component_ready(c))
		return fprintf(stderr, "haven-meter: %s\n", haven_last_error(m.h)), 1;
	while (!runs || m.runs < runs) {
		turn(&m);
		sched_yield(); /* the node may share the CPU */
	}
	haven_detach(m.h);
	return 0;
}
