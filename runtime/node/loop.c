/* SPDX-License-Identifier: BSD-3-Clause */
#include "loop.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

#include "clock.h"
#include "haven_assert.h"
#include "node.h"

/** Frames taken from one port in one turn; after a stall the whole backlog. */
#define FRAMES_PER_TURN 256u
#define FRAMES_AFTER_STALL 4096u
/** Ticks in one turn while the brain has more to say. */
#define TICKS_PER_TURN 64u
/** How often the clocks are compared: seldom enough to cost nothing, far below a guard. */
#define CLOCK_LOOK_NS 20000u
/** A standstill shorter than this is not told from noise; a reading must take less than this. */
#define CLOCK_JUMP_NS 1000000u
#define CLOCK_READ_NS 5000u
/** What two such readings may be off by, over a window. */
#define CLOCK_NOISE_PPM (uint32_t)(2 * CLOCK_READ_NS * 1000000ull / WATCH_CLOCK_WINDOW_NS)

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

#if defined(__x86_64__)
static bool ticks_are_even(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d >> 8 & 1);
}
static uint64_t ticks_now(void)
{
	return __rdtsc();
}
#else
static bool ticks_are_even(void)
{
	return false;
}
static uint64_t ticks_now(void)
{
	return 0;
}
#endif

void loop_init(struct haven_node *n)
{
	watch_clock_init(&n->loop.clock, CLOCK_JUMP_NS, n->brain_config.rate_ppm + CLOCK_NOISE_PPM);
	n->loop.ticks_even = ticks_are_even();
}

/* A reading that was interrupted says nothing: the next turn takes another. */
static void loop_clock(struct haven_node *n, uint64_t now)
{
	struct loop *l = &n->loop;
	struct clock_reading r;
	struct brain_event e = {.kind = BRAIN_CLOCK};

	if (now - l->clock_looked_ns < CLOCK_LOOK_NS)
		return;
	r = (struct clock_reading){.own_ns = clock_now_ns(),
				   .boot_ns = clock_boot_ns(),
				   .ticks = l->ticks_even ? ticks_now() : 0};
	if (clock_now_ns() - r.own_ns > CLOCK_READ_NS)
		return;
	l->clock_looked_ns = now;
	e.count = watch_clock_look(&l->clock, &r, &e.seq);
	if (e.count == CLOCK_FINE)
		return;
	l->clock_stood += e.count == CLOCK_SUSPENDED;
	l->clock_bad = l->clock.disagrees;
	loop_post(n, &e);
	loop_pump(n, r.own_ns);
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

	loop_clock(n, now);
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
