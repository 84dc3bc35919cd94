/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What heartbeats cost a node's poll loop, by the number of nodes:
 *
 *   sent       the brain's turn, and per beat: encoded, sealed, wrapped, handed to the driver
 *   received   per beat: taken from the driver, unwrapped, opened, decoded, judged by the brain
 *   turn       the brain's turn when no beat is due
 *   share      of one core's time at the default interval: everything received and sent once
 *              per interval, and one turn per beat received
 *
 * on a link of the poll loop's own code over a ring of DPDK in this process, so that the driver
 * costs next to nothing. Then what a bad frame costs, and a flood of them (case_heartbeat_flood.c).
 */
#include "case_heartbeat.h"

#include <rte_cycles.h>
#include <stdlib.h>

#include "clock.h"
#include "haven_assert.h"

#define SIZES 6u
#define INTERVALS_MAX 400u
#define TURNS 16u
#define PER_SECOND (NSEC_PER_SEC / HEARTS_INTERVAL_NS)

static const unsigned sizes[SIZES] = {2, 3, 5, 7, 16, 32};

enum cost { COST_SENT = 0, COST_RECEIVED, COST_TURN, COSTS };
static const char *const cost_title[] = {"one heartbeat sent", "one heartbeat received",
					 "a turn without a beat"};

/* Samples of one round: how long so many operations took. */
struct samples {
	uint64_t ns[INTERVALS_MAX];
	unsigned operations[INTERVALS_MAX], n;
};

static struct heartbeat {
	struct bench *b;
	struct hearts hearts;
	struct samples samples[COSTS];
	struct bench_result *ns[COSTS][SIZES], *cycles[COSTS][SIZES], *share[SIZES];
} heartbeat;

static void sample(struct samples *s, uint64_t ns, uint64_t operations)
{
	if (s->n == INTERVALS_MAX || !operations)
		return;
	s->ns[s->n] = ns;
	s->operations[s->n++] = (unsigned)operations;
}

/* ---- measuring --------------------------------------------------------------------------------
 */

/* From one beat of node 0 to its next. What the others say to it waits until it is measured. */
static int interval(struct heartbeat *m)
{
	const struct brain_event tick = {.kind = BRAIN_TICK};
	struct hearts *h = &m->hearts;
	unsigned waiting, got = 0, beats;
	uint64_t begin, taken = 0, start = h->now;

	h->now = start + HEARTS_INTERVAL_NS / 2;
	begin = clock_now_ns();
	for (unsigned i = 0; i < TURNS; i++) {
		h->now++;
		brain_step(h->brain[0], h->now, &tick, h->out);
	}
	sample(&m->samples[COST_TURN], clock_now_ns() - begin, TURNS);
	h->now = start + HEARTS_INTERVAL_NS / 10 * 9;
	h->holds = true;
	hearts_tick_others(h);
	h->holds = false;
	waiting = hearts_return_held(h);
	begin = clock_now_ns();
	while (got < waiting)
		got += hearts_receive(h, 0, &taken);
	sample(&m->samples[COST_RECEIVED], clock_now_ns() - begin, got);
	h->now = start + HEARTS_INTERVAL_NS;
	begin = clock_now_ns();
	beats = hearts_tick(h, 0);
	begin = clock_now_ns() - begin;
	if (beats == h->n - 1)
		sample(&m->samples[COST_SENT], begin, beats);
	hearts_deliver(h);
	return taken == waiting && brain_role(h->brain[0], 0) == HAVEN_PRIMARY ? 0 : 1;
}

/* The samples once as they are, once in another unit. */
static void samples_give(struct bench *b, const struct samples *s, struct bench_result *line,
			 double unit_ns)
{
	b->unit_ns = unit_ns;
	bench_begin(b);
	for (unsigned i = 0; i < s->n; i++)
		bench_add(b, s->ns[i], s->operations[i]);
	bench_round(b, line);
	b->unit_ns = 0;
}

/* The share in millionths of a per cent, from this round's medians. */
static void share_give(struct heartbeat *m, unsigned size)
{
	double beats = sizes[size] - 1;
	double sum = 0;

	for (unsigned c = 0; c < COSTS; c++) {
		const struct bench_result *r = m->ns[c][size];

		sum += r->rounds ? beats * r->round[r->rounds - 1].p50 : 0;
	}
	m->b->unit_ns = 1e6;
	bench_begin(m->b);
	bench_add(m->b, (uint64_t)(sum / HEARTS_INTERVAL_NS * 100 * 1e6), 1);
	bench_round(m->b, m->share[size]);
	m->b->unit_ns = 0;
}

static int round_of(struct heartbeat *m, unsigned size, unsigned intervals)
{
	const double ns_per_cycle = (double)NSEC_PER_SEC / (double)rte_get_tsc_hz();
	int code = hearts_start(&m->hearts, sizes[size], NSEC_PER_SEC);

	for (unsigned c = 0; c < COSTS; c++)
		m->samples[c].n = 0;
	for (unsigned i = 0; i < intervals && !code; i++) {
		code = interval(m);
		if (code)
			fputs("haven-bench: a good heartbeat was refused\n", stderr);
	}
	if (code)
		return code;
	for (unsigned c = 0; c < COSTS; c++) {
		samples_give(m->b, &m->samples[c], m->ns[c][size], 1);
		samples_give(m->b, &m->samples[c], m->cycles[c][size], ns_per_cycle);
	}
	share_give(m, size);
	return 0;
}

/* ---- lines ------------------------------------------------------------------------------------
 */

static void lines_make(struct heartbeat *m)
{
	for (unsigned u = 0; u < 2; u++) {
		m->b->unit = u ? "cycles" : "ns";
		for (unsigned c = 0; c < COSTS; c++) {
			bench_section(m->b, "%s, %s", cost_title[c], m->b->unit);
			for (unsigned i = 0; i < SIZES; i++)
				(u ? m->cycles : m->ns)[c][i] =
					bench_line(m->b, "%u nodes", sizes[i]);
		}
	}
	m->b->unit = "%";
	bench_section(m->b, "share of the poll loop's core, interval 1 ms");
	for (unsigned i = 0; i < SIZES; i++)
		m->share[i] = bench_line(m->b, "%u nodes", sizes[i]);
}

static void constant(struct bench *b, uint64_t value, const char *name)
{
	bench_begin(b);
	bench_add(b, value, 1);
	bench_end(b, "%s", name);
}

/* What does not depend on time: bytes. */
static void sizes_give(struct bench *b)
{
	static const char *const kinds[] = {[WRAP_ETHERNET] = "Ethernet",
					    [WRAP_UDP4] = "UDP over IPv4",
					    [WRAP_UDP6] = "UDP over IPv6"};
	uint8_t data[FRAME_BYTES_MAX];
	struct frame f = {.type = FRAME_BEAT, .dst = 1, .src_incarnation = 1, .u.beat.seq = 1};
	size_t frame = frame_encode(&f, data, sizeof(data)) + AUTH_TAG_BYTES, ethernet = 0;
	char name[32];

	b->unit = "bytes";
	bench_section(b, "one heartbeat with its tag and headers");
	for (unsigned k = 0; k < HAVEN_ARRAY_LEN(kinds); k++) {
		const struct wrap w = {.kind = (enum wrap_kind)k};

		if (k == WRAP_ETHERNET)
			ethernet = frame + wrap_bytes(&w);
		constant(b, frame + wrap_bytes(&w), kinds[k]);
	}
	b->unit = "bytes/s";
	bench_section(b, "one node's link each way, interval 1 ms, Ethernet");
	for (unsigned i = 0; i < SIZES; i++) {
		snprintf(name, sizeof(name), "%u nodes", sizes[i]);
		constant(b, (sizes[i] - 1) * ethernet * PER_SECOND, name);
	}
	b->unit = NULL;
}

static int run(struct bench *b)
{
	const unsigned rounds = b->quick ? 2 : 9, intervals = b->quick ? 30 : INTERVALS_MAX;
	struct heartbeat *m = &heartbeat;
	int code = hearts_open();

	if (code)
		return code;
	m->b = b;
	lines_make(m);
	for (unsigned r = 0; r < rounds && !code; r++)
		for (unsigned i = 0; i < SIZES && !code; i++)
			code = round_of(m, i, intervals);
	if (!code) {
		sizes_give(b);
		code = heartbeat_refused(b, &m->hearts);
	}
	if (!code)
		code = heartbeat_flood(b, &m->hearts);
	hearts_end(&m->hearts);
	hearts_close();
	return code;
}

const struct bench_case bench_heartbeat = {
	"heartbeat", "a heartbeat costs a microsecond, a bad frame less, a flood delays none", run};
