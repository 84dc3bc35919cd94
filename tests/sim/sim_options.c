/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Swarm drawing: each seed switches most classes of faults off and gives the others its own rates.
 * With every class on in every run, the cluster would spend its life in one kind of trouble and
 * never reach the states that lie behind a single, well-timed fault.
 */
#include "sim_options.h"

#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "haven_assert.h"
#include "prng.h"
#include "view.h"

/** Largest rate of the per-frame classes and of stalls, in parts per million. */
static const uint32_t rate_max_ppm[SIM_FAULT_STALL + 1] = {300000, 200000, 100000,
							   100000, 50000,  20000};

static const char *const fault_names[] = {
	"loss", "duplicate", "late",  "corrupt", "replay", "stall",   "cut",        "partition",
	"clog", "crash",     "pause", "kill",    "stop",   "unready", "switchover", "storm",
	"flap", "suspend",   "drift", "outage",  "fence",  "flip",    "leave",      "clock"};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(fault_names) == SIM_FAULT_COUNT, "every class has a name");

const char *sim_fault_name(unsigned fault)
{
	return fault < SIM_FAULT_COUNT ? fault_names[fault] : "?";
}

/* Per mille of the seeds. A cluster of 32 sends a thousand beats per interval, so it is rare. */
static void draw_size(struct prng *p, enum sim_mode *mode, unsigned *nodes)
{
	uint64_t dice = prng_below(p, 1000);

	*mode = dice < 420 ? SIM_MODE_2W : SIM_MODE_3;
	*nodes = dice < 840 ? 3 : dice < 952 ? 5 : dice < 995 ? 7 : SIM_NODES;
}

static void draw_classic_size(struct prng *p, enum sim_mode *mode, unsigned *nodes)
{
	uint64_t dice = prng_below(p, 100);

	*mode = dice < 50 ? SIM_MODE_2W : SIM_MODE_3;
	*nodes = dice < 90 ? 3 : 5;
}

static void draw_shape(struct sim_options *o, struct prng *p, const struct sim_overrides *fixed)
{
	enum sim_mode mode = fixed->mode;
	unsigned nodes = fixed->nodes;

	if (mode == SIM_MODE_MIXED && !nodes) {
		if (o->length == SIM_LENGTH_CLASSIC)
			draw_classic_size(p, &mode, &nodes);
		else
			draw_size(p, &mode, &nodes);
	}
	if (!nodes)
		nodes = mode == SIM_MODE_2F ? 2 : 3;
	o->nodes = (uint8_t)nodes;
	o->voters = sim_all_nodes(o);
	if (nodes > HAVEN_VOTERS_MAX) /* the others host components and have no vote */
		o->voters = prng_below(p, 2) ? 0x1f : 0x54a810;
	else if (nodes % 2 == 0 &&
		 mode != SIM_MODE_2F) /* an even number gains nothing: the first has no vote */
		o->voters &= ~1u;
	o->witnesses = mode == SIM_MODE_2W || (nodes > 3 && prng_below(p, 2))
			       ? o->voters & ~(o->voters - 1)
			       : 0;
	if (o->witnesses && nodes <= HAVEN_VOTERS_MAX)
		o->witnesses = 1u << (nodes - 1);
	o->links = (uint8_t)(1 + prng_below(p, SIM_LINKS));
	o->instances = (uint8_t)(1 + prng_below(p, SIM_INSTANCES));
	o->lanes = (uint8_t)(1 + prng_below(p, SIM_LANES));
	o->secondaries = (uint8_t)(o->witnesses && nodes == 3 ? 1 : 1 + prng_below(p, 2));
	o->keys = prng_below(p, 4) ? 24 : SIM_KEYS;
}

static void draw_timers(struct sim_options *o, struct prng *p)
{
	static const uint32_t rates[] = {100, 1000, 10000, 50000};
	bool brisk = o->length == SIM_LENGTH_SHORT;

	o->interval_ns = (50 * NSEC_PER_USEC) << prng_below(p, 5);
	o->lease_ns = o->interval_ns * (brisk ? 5 + prng_below(p, 6) : 6 + prng_below(p, 11));
	o->suspect_ns = o->interval_ns * 3 + prng_below(p, o->lease_ns / 2 - o->interval_ns * 2);
	o->guard_ns =
		o->interval_ns / 50 + prng_below(p, o->interval_ns / (prng_below(p, 2) ? 4 : 30));
	o->stall_ns = o->interval_ns + prng_below(p, o->lease_ns / 4);
	o->mirror_timeout_ns = o->lease_ns * (2 + prng_below(p, 15));
	o->rate_ppm = rates[prng_below(p, HAVEN_ARRAY_LEN(rates))];
	o->delay_ns = 2 * NSEC_PER_USEC + prng_below(p, o->interval_ns / 2);
	o->work_ns = o->interval_ns / 4 + prng_below(p, o->interval_ns * 6);
	o->confirm_ns = 2 * NSEC_PER_USEC + prng_below(p, o->interval_ns);
	o->calm_ns = prng_below(p, 5) ? o->lease_ns * (brisk ? 5 : 12) : 0;
	o->safety_ns = o->calm_ns +
		       o->lease_ns * (brisk ? 10 + prng_below(p, 20) : 40 + prng_below(p, 80));
	o->bound_ns = o->lease_ns * 120 + o->mirror_timeout_ns * 4;
	o->wake_ns = 20 * NSEC_PER_USEC;
	o->pace_ns = o->interval_ns / 3;
	o->span_ns = o->lease_ns * (brisk ? 5 : 10);
	o->flap_ns = o->lease_ns;
}

static void draw_faults(struct sim_options *o, struct prng *p)
{
	unsigned classes =
		o->length == SIM_LENGTH_CLASSIC ? SIM_FAULT_CLASSIC_COUNT : SIM_FAULT_COUNT;
	uint64_t longest = o->length == SIM_LENGTH_SHORT ? 12 : 40;
	/* that a class is on, percent: from one lonely fault to all at once */
	uint32_t chance = 10 + (uint32_t)prng_below(p, 50);

	for (unsigned f = 0; f < classes && f < SIM_FAULT_LEAVE; f++) {
		uint32_t on = prng_below(p, 100) < chance;
		uint64_t size = prng_below(p, 1000);

		/* Where everybody forgets all the time, nothing is left to be checked. */
		if (f == SIM_FAULT_OUTAGE && prng_below(p, 3))
			on = false;
		if (!on)
			continue;
		if (f <= SIM_FAULT_STALL) /* squared: mostly gentle, now and then at the limit */
			o->rate[f] = 1 + (uint32_t)(size * size * rate_max_ppm[f] / 1000000);
		else
			o->rate[f] = (longest > 12 ? 4 : 2) + (uint32_t)(size * longest / 1000);
	}
}

/* One seed in four compares copies; in most of these, bits flip. */
static void draw_verify(struct sim_options *o)
{
	struct prng p = {.state = o->seed ^ 0xbb67ae8584caa73bull};

	if (prng_below(&p, 4))
		return;
	o->verify_ns = o->interval_ns / 2 + prng_below(&p, o->interval_ns * 2);
	if (prng_below(&p, 4))
		o->rate[SIM_FAULT_FLIP] = 1 + (uint32_t)prng_below(&p, 8);
}

/* One seed in four has warm standbys; with the shortest log, most commits find it full. */
static void draw_warm(struct sim_options *o)
{
	struct prng p = {.state = o->seed ^ 0x3c6ef372fe94f82bull};

	if (prng_below(&p, 4) == 0)
		o->warm_records = (uint32_t[]){2, 8, 64, 512}[prng_below(&p, 4)];
}

void sim_options_draw(struct sim_options *o, uint64_t seed, const struct sim_overrides *fixed)
{
	struct prng p = {.state = seed * 0xd1342543de82ef95ull + 1};
	struct prng length = {.state = seed ^ 0x6a09e667f3bcc909ull};

	memset(o, 0, sizeof(*o));
	o->seed = seed;
	o->length = fixed->length;
	if (o->length == SIM_LENGTH_DRAWN)
		o->length = prng_below(&length, 100) < 95 ? SIM_LENGTH_SHORT : SIM_LENGTH_LONG;
	draw_shape(o, &p, fixed);
	if (o->nodes > SIM_NODES_SMALL)
		o->length = SIM_LENGTH_SHORT;
	draw_timers(o, &p);
	draw_faults(o, &p);
	o->rate[SIM_FAULT_FENCE] = fixed->mode == SIM_MODE_2F ? 1 : 0;
	o->rate[SIM_FAULT_FLIP] = 0;
	if (o->length == SIM_LENGTH_CLASSIC)
		return;
	/* A loop that polls all the time, and one that yields. */
	o->wake_ns = (2 * NSEC_PER_USEC) << prng_below(&length, 6);
	if (o->wake_ns > o->interval_ns / 2)
		o->wake_ns = o->interval_ns / 2;
	o->pace_ns = o->interval_ns / 8 + prng_below(&length, o->interval_ns / 2);
	/* Frames so small that commits are split over several. */
	o->per_frame = (uint32_t[]){0, 0, 2, 5}[prng_below(&length, 4)];
	o->flap_ns = o->lease_ns / 2 + prng_below(&length, o->lease_ns);
	o->mirror_split = prng_below(&length, 2);
	/* Few frames on their way, but not fewer than the work needs. */
	if (o->per_frame != 2 && prng_below(&length, 2)) {
		o->mirror_window = 8u << prng_below(&length, 2);
		o->mirror_flight =
			prng_below(&length, 2) ? 12 + (uint32_t)prng_below(&length, 60) : 0;
	}
	draw_verify(o);
	draw_warm(o);
	if (prng_below(&length, 5) == 0)
		o->rate[SIM_FAULT_LEAVE] = 2 + (uint32_t)prng_below(&length, 20);
	if (prng_below(&length, 10) == 0)
		o->rate[SIM_FAULT_CLOCK] = 2 + (uint32_t)prng_below(&length, 20);
}

void sim_options_print(const struct sim_options *o, FILE *to)
{
	static const char *const lengths[] = {"?", "short", "long", "classic"};

	fprintf(to,
		"seed %" PRIu64 " (%s): %u nodes (voters 0x%x, witnesses 0x%x), %u link(s), "
		"%u instance(s) x %u lane(s), %u secondary(s), %u keys\n",
		o->seed, lengths[o->length], o->nodes, o->voters, o->witnesses, o->links,
		o->instances, o->lanes, o->secondaries, o->keys);
	fprintf(to,
		"  interval %" PRIu64 " us, suspect %" PRIu64 " us, lease %" PRIu64
		" us, guard %" PRIu64 " us, stall %" PRIu64 " us, mirror timeout %" PRIu64
		" us, clock rate bound %u ppm\n",
		o->interval_ns / 1000, o->suspect_ns / 1000, o->lease_ns / 1000, o->guard_ns / 1000,
		o->stall_ns / 1000, o->mirror_timeout_ns / 1000, o->rate_ppm);
	fprintf(to,
		"  link delay to %" PRIu64 " us, commit every %" PRIu64 " us; calm to %" PRIu64
		" us, faults to %" PRIu64 " us, whole again within %" PRIu64 " us\n  faults:",
		o->delay_ns / 1000, o->work_ns / 1000, o->calm_ns / 1000, o->safety_ns / 1000,
		o->bound_ns / 1000);
	for (unsigned f = 0; f < SIM_FAULT_COUNT; f++) {
		if (o->rate[f] && f <= SIM_FAULT_STALL)
			fprintf(to, " %s %.2f%%", fault_names[f], o->rate[f] / 10000.0);
		else if (o->rate[f])
			fprintf(to, " %s every %u leases", fault_names[f], o->rate[f]);
	}
	fputc('\n', to);
}
