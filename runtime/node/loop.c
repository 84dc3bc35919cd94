/* SPDX-License-Identifier: BSD-3-Clause */
#include "loop.h"

#include "clock.h"
#include "haven_assert.h"
#include "node.h"

/** Frames taken from one port in one turn; after a stall the whole backlog. */
#define FRAMES_PER_TURN 256u
#define FRAMES_AFTER_STALL 4096u
/** Ticks in one turn while the brain has more to say. */
#define TICKS_PER_TURN 64u

static void loop_step(struct haven_node *n, uint64_t now, const struct brain_event *event)
{
	brain_step(n->brain, now, event, n->loop.outputs);
	output_carry(n, event, now);
}

void loop_post(struct haven_node *n, const struct brain_event *event)
{
	struct loop *l = &n->loop;

	/* Each poster posts a bounded number between two pumps, all of them together less than
	 * the queue holds. */
	HAVEN_ASSERT(l->event_tail - l->event_head < LOOP_EVENTS_MAX);
	l->event[l->event_tail++ % LOOP_EVENTS_MAX] = *event;
}

void loop_pump(struct haven_node *n, uint64_t now)
{
	struct loop *l = &n->loop;

	while (l->event_head != l->event_tail) {
		struct brain_event event = l->event[l->event_head++ % LOOP_EVENTS_MAX];

		loop_step(n, now, &event);
	}
}

static void loop_fault(struct loop *l, enum frame_fault fault, uint8_t src)
{
	l->fault[fault]++;
	if (src < HAVEN_NODES_MAX)
		l->peer_faults[src]++;
}

static void loop_frame(struct haven_node *n, unsigned link, struct rte_mbuf *m, uint64_t now)
{
	struct brain_event event = {.kind = BRAIN_FRAME, .link = (uint8_t)link};
	struct loop *l = &n->loop;
	enum frame_fault fault;
	size_t size, bytes;
	uint8_t src;
	uint8_t *data = port_frame(&n->port[link], m, now, &size);

	if (!data)
		return;
	fault = auth_open(n->auth, data, size, &bytes, &src);
	if (fault == FRAME_OK)
		fault = frame_decode(data, bytes, l->frame);
	if (fault != FRAME_OK) {
		loop_fault(l, fault, src);
		return;
	}
	l->frames_in++;
	event.frame = l->frame;
	loop_step(n, now, &event);
	if (l->outputs->silence_ns)
		histogram_add(&n->meters.silence, l->outputs->silence_ns);
	loop_pump(n, now);
}

static unsigned loop_receive(struct haven_node *n, unsigned link, unsigned budget)
{
	struct rte_mbuf *mbufs[PORT_BURST];
	unsigned total = 0, got;

	do {
		got = port_receive(&n->port[link], mbufs, PORT_BURST);
		uint64_t now = got ? clock_now_ns() : 0;

		for (unsigned i = 0; i < got; i++)
			loop_frame(n, link, mbufs[i], now);
		port_release(mbufs, got);
		total += got;
	} while (got == PORT_BURST && total < budget);
	return total;
}

/* Time since the last turn began: how long nobody looked. */
static uint64_t loop_gap(struct haven_node *n, uint64_t now)
{
	struct loop *l = &n->loop;
	uint64_t gap = l->turn_ns ? now - l->turn_ns : 0;

	if (l->turn_ns)
		histogram_add(&n->meters.loop_gap, gap);
	l->turn_ns = now;
	l->polls++;
	if (gap > l->gap_max_ns)
		l->gap_max_ns = gap;
	if (gap > l->gap_second_ns)
		l->gap_second_ns = gap;
	if (gap > n->brain_config.stall_ns)
		l->stalls++;
	if (now >= l->second_ends_ns) {
		l->gap_recent_ns = l->gap_second_ns;
		l->gap_second_ns = 0;
		l->second_ends_ns = now + LOOP_SECOND_NS;
	}
	return gap;
}

static unsigned loop_tick(struct haven_node *n)
{
	const struct brain_event tick = {.kind = BRAIN_TICK};
	uint64_t now = clock_now_ns();
	unsigned work = 0;

	for (unsigned i = 0; i < TICKS_PER_TURN; i++) {
		loop_step(n, now, &tick);
		work += n->loop.outputs->n;
		loop_pump(n, now);
		if (!n->loop.outputs->more)
			break;
	}
	return work;
}

unsigned loop_turn(struct haven_node *n)
{
	uint64_t now = clock_now_ns();
	bool stalled = loop_gap(n, now) > n->brain_config.stall_ns;
	unsigned work = 0, commands;

	for (unsigned i = 0; i < n->n_ports; i++)
		work += loop_receive(n, i, stalled ? FRAMES_AFTER_STALL : FRAMES_PER_TURN);
	now = clock_now_ns();
	work += local_scan(n, now);
	commands = local_commands(n, now);
	n->loop.commands += commands;
	work += commands;
	loop_pump(n, now);
	work += local_requests(n, now);
	loop_pump(n, now);
	work += loop_tick(n);
	for (unsigned i = 0; i < n->n_ports; i++)
		port_flush(&n->port[i]);
	settings_follow(n);
	registry_reclaim(&n->registry, &n->rcu);
	publish_status(n, now);
	settings_quiescent();
	return work;
}
