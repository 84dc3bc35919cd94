/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The frame of the benchmarks: a case measures, the frame turns samples into percentiles, puts the
 * environment beside them and prints. A case times a batch of operations with one pair of clock
 * reads and adds the cost per operation as one sample.
 *
 * What is compared is measured in turns (A B C A B C ...), so that noise of the machine hits all
 * alike: each line gets a *round* at a time, its figures are medians over its rounds, and a ratio
 * is the median of the ratios of neighbouring rounds.
 */
#ifndef HAVEN_BENCH_H
#define HAVEN_BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_RESULTS_MAX 256
#define BENCH_ROUNDS_MAX 32
#define BENCH_PEERS_MAX 12
#define BENCH_ROUNDS_LIMIT 10000 /**< of --rounds */
#define BENCH_SAMPLES_MAX (1u << 20)

struct bench_figures {
	double p50, p90, p99, p999, max;
};

struct bench_result;

/** A comparison of a line with another. */
struct bench_peer {
	const struct bench_result *line;
	double goal; /**< most that the ratio of ours to the peer's may be, 0: none */
};

/** One line of a result. */
struct bench_result {
	char section[64], name[64];
	const char *unit;
	uint64_t n;      /**< operations measured */
	uint64_t stalls; /**< interruptions of over 100 us while it was measured */
	unsigned rounds, peers;
	struct bench_figures round[BENCH_ROUNDS_MAX];
	struct bench_figures all; /**< medians over the rounds; max: of all */
	struct bench_peer peer[BENCH_PEERS_MAX];
	double goal;           /**< most that p50 may be, 0: none */
	uint64_t false_alarms; /**< while the line was measured */
	double updates_per_s;  /**< of a writer beside it, 0: none */
};

struct bench {
	const char *case_name;
	bool quick;          /**< a fraction of the work, to try it out */
	bool peers;          /**< also programs of other projects (--peers) */
	bool local;          /**< within one machine only (--local) */
	bool hot, warm;      /**< takeover: these standbys only (--hot, --warm) */
	unsigned rounds;     /**< faults per cause (--rounds), 0: as the case likes */
	const char *picture; /**< where to draw it (--picture), NULL: nowhere */
	const char *unit;    /**< of the lines to come; NULL: ns */
	double unit_ns;      /**< what one unit is; 0: 1 */
	bool latencies;      /**< samples are waits: a long one is no stall */
	char section[64];    /**< of the lines to come */
	struct bench_result result[BENCH_RESULTS_MAX];
	unsigned n;
	double *sample; /**< of the round being measured, BENCH_SAMPLES_MAX of them */
	size_t samples;
	uint64_t operations, round_stalls;
	unsigned batch;                /**< operations of the newest sample */
	uint64_t stall_max_ns, stalls; /**< gaps of this program's own loop afterwards */
};

/** A case. Returns 0, or a positive exit code after telling why on stderr. */
struct bench_case {
	const char *name, *claim;
	int (*run)(struct bench *b);
};
extern const struct bench_case bench_gate, bench_table, bench_registry, bench_rcu, bench_detect,
	bench_failover, bench_false_alarms, bench_mirror, bench_heartbeat, bench_takeover;

/** Lines to come belong together under this heading. */
void bench_section(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Make a line without figures; it gets them by rounds. */
struct bench_result *bench_line(struct bench *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** Start a round. */
void bench_begin(struct bench *b);
/** Add a sample: `operations` took `ns` together. Samples beyond the limit are dropped. */
void bench_add(struct bench *b, uint64_t ns, unsigned operations);
/** Count interruptions that the case saw itself during this round. */
void bench_stalled(struct bench *b, uint64_t times);
/** End the round and give it to the line. Rounds beyond BENCH_ROUNDS_MAX are dropped. */
void bench_round(struct bench *b, struct bench_result *line);
/** A line of one round: end it. */
struct bench_result *bench_end(struct bench *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** Compare; `goal` is the most that ours ÷ peer's may be, 0: none. */
void bench_compare(struct bench_result *ours, const struct bench_result *peer, double goal);
/** Ours ÷ peer's: the median over the rounds when both have equally many. */
double bench_ratio(const struct bench_result *ours, const struct bench_peer *peer);
/** Watch how long a busy loop on this machine is interrupted, for `ns`. */
void bench_watch_stalls(struct bench *b, uint64_t ns);
/** What the figures are worth: CPU, kernel, compiler, revision, load. */
json_t *bench_environment(void);
json_t *bench_json(const struct bench *b, json_t *environment);
void bench_print(const struct bench *b);

/** Run on this CPU from now on (modulo their number). Returns false when that is not allowed. */
bool bench_pin(unsigned cpu);
/** CPUs that this process may use. */
unsigned bench_cpus(void);
/** Make a folder of our own in /dev/shm (or $TMPDIR, or /tmp). Returns 0 or 1 after telling why. */
int bench_scratch_make(char *path, size_t size);
/** Remove it with all that is in it. Mappings of its files stay. */
void bench_scratch_remove(const char *path);

/** Keeps the compiler from removing what computes `p`. */
static inline void bench_keep(const void *p)
{
	__asm__ volatile("" ::"r"(p) : "memory");
}

#endif
