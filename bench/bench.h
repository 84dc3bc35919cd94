/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The frame of the benchmarks: a case measures, the frame turns samples into percentiles, puts the
 * environment beside them and prints. A case times a batch of operations with one pair of clock
 * reads and adds the cost per operation as one sample.
 */
#ifndef HAVEN_BENCH_H
#define HAVEN_BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_RESULTS_MAX 64
#define BENCH_SAMPLES_MAX (1u << 20)

/** One line of a result. */
struct bench_result {
	char name[64];
	const char *unit;
	uint64_t n; /**< operations measured */
	double p50, p90, p99, p999, max;
	double peer,
		goal; /**< 0: none. Peer: p50 of what it is compared with, same run, same unit */
	const char *peer_name;
};

struct bench {
	const char *case_name;
	bool quick; /**< a tenth of the work, to try it out */
	struct bench_result result[BENCH_RESULTS_MAX];
	unsigned n;
	double *sample; /**< of the line being measured, BENCH_SAMPLES_MAX of them */
	size_t samples;
	uint64_t operations;
	uint64_t stall_max_ns, stalls; /**< gaps of this program's own loop while it measured */
};

/** A case. Returns 0, or a positive exit code after telling why on stderr. */
struct bench_case {
	const char *name, *claim;
	int (*run)(struct bench *b);
};
extern const struct bench_case bench_gate, bench_table;

/** Start a line. */
void bench_begin(struct bench *b);
/** Add a sample: `operations` took `ns` together. Samples beyond the limit are dropped. */
void bench_add(struct bench *b, uint64_t ns, unsigned operations);
/** End the line; unit is ns per operation. Returns it, so that peer and goal can be set. */
struct bench_result *bench_end(struct bench *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** Watch how long a busy loop on this machine is interrupted, for `ns`. */
void bench_watch_stalls(struct bench *b, uint64_t ns);
/** What the figures are worth: CPU, kernel, compiler, revision, load. */
json_t *bench_environment(void);
json_t *bench_json(const struct bench *b, json_t *environment);
void bench_print(const struct bench *b);

/** Keeps the compiler from removing what computes `p`. */
static inline void bench_keep(const void *p)
{
	__asm__ volatile("" ::"r"(p) : "memory");
}

#endif
