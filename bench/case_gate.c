/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What an application pays before it emits: one load of the gate's line, one clock read, two
 * compares. The node renews the line about once per heartbeat, so it is shared and mostly
 * unchanged: here it is unchanged. Beside it the bare clock read, which is nearly all of it.
 */
#include "bench.h"
#include "clock.h"
#include "registry.h"

#define BATCH 256u

static bool gate_open(const struct registry_gate *gate, uint32_t confirmed)
{
	uint64_t until = load_acquire(&gate->valid_until_ns);

	return load_relaxed(&gate->generation) == confirmed && clock_now_ns() < until;
}

static int run(struct bench *b)
{
	static _Alignas(HAVEN_CACHE_LINE) struct registry_gate gate;
	unsigned rounds = b->quick ? 2000 : 100000, open = 0;
	struct bench_result *clock;

	gate.role = HAVEN_PRIMARY;
	gate.generation = 3;
	gate.valid_until_ns = UINT64_MAX;
	bench_begin(b);
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t begin = clock_now_ns(), sum = 0;

		for (unsigned k = 0; k < BATCH; k++)
			sum += clock_now_ns();
		bench_keep(&sum);
		bench_add(b, clock_now_ns() - begin, BATCH);
	}
	clock = bench_end(b, "clock read");
	bench_begin(b);
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t begin = clock_now_ns();

		for (unsigned k = 0; k < BATCH; k++)
			open += gate_open(&gate, 3);
		bench_keep(&open);
		bench_add(b, clock_now_ns() - begin, BATCH);
	}
	bench_compare(bench_end(b, "gate check"), clock, 0);
	return 0;
}

const struct bench_case bench_gate = {"gate", "the check before a burst costs a clock read", run};
