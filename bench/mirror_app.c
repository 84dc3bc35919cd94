/* SPDX-License-Identifier: BSD-3-Clause */
#include "mirror_app.h"

#include <sched.h>
#include <string.h>

#include "clock.h"
#include "haven.h"

struct mirror_app {
	struct mirror_shared *shared;
	struct haven_worker *worker;
	struct haven_table *log, *dirty;
	uint64_t key;
	uint8_t value[MIRROR_VALUE_BYTES];
};

static bool set_up(struct mirror_app *a, struct haven *h)
{
	const struct haven_component_config config = {.name = "work"};
	const struct haven_table_config log = {.name = "log",
					       .key_bytes = sizeof(uint64_t),
					       .value_bytes = MIRROR_VALUE_BYTES,
					       .capacity = 2 * MIRROR_KEYS,
					       .lanes = 1,
					       .lane_records = 1u << 15};
	struct haven_table_config dirty = log;
	struct haven_component *c;

	dirty.name = "dirty";
	dirty.mode = HAVEN_MODE_DIRTY;
	return haven_component_register(h, &config, &c) == 0 &&
	       haven_table_create(c, 0, &log, &a->log) == 0 &&
	       haven_table_create(c, 0, &dirty, &a->dirty) == 0 && haven_component_ready(c) == 0 &&
	       haven_worker_begin(c, &a->worker) == 0;
}

/* One batch and its commit. Returns the sequence, 0: the role is gone. `*waited`: the lane was
 * full in between. */
static uint64_t put_batch(struct mirror_app *a, struct haven_table *t, unsigned batch, bool *waited)
{
	*waited = false;
	for (unsigned i = 0; i < batch; i++) {
		int status;

		memcpy(a->value, &a->key, sizeof(a->key));
		while ((status = haven_put(a->worker, t, &a->key, a->value)) != 0) {
			if (status != -HAVEN_EFULL)
				return 0;
			*waited = true;
			a->shared->waits++;
			haven_commit(a->worker, t);
			haven_poll(a->worker);
			sched_yield();
		}
		a->key = (a->key + 1) % MIRROR_KEYS;
		a->shared->puts++;
	}
	return haven_commit(a->worker, t);
}

static void sample(struct mirror_shared *s, uint64_t cost_ns, uint64_t lag)
{
	unsigned at = s->n++ % MIRROR_SAMPLES;

	s->cost[at] = cost_ns;
	s->lag[at] = lag;
}

static bool wait_acked(struct mirror_app *a, struct haven_table *t, uint64_t seq)
{
	while (haven_acked(a->worker, t) < seq) {
		haven_poll(a->worker);
		if (!haven_gate(a->worker, 0))
			return false;
		if (haven_acked(a->worker, t) < seq)
			sched_yield();
	}
	return true;
}

static bool job_run(struct mirror_app *a, const struct mirror_job *job)
{
	struct mirror_shared *s = a->shared;
	struct haven_table *t = job->kind == MIRROR_DIRTY ? a->dirty : a->log;
	uint64_t first = haven_commit(a->worker, t), seq = first, until;

	s->from_ns = clock_now_ns();
	until = s->from_ns + job->duration_ns;
	for (uint64_t now = s->from_ns; now < until;) {
		uint64_t begin = clock_now_ns();
		bool waited;

		seq = put_batch(a, t, job->batch, &waited);
		if (!seq || (job->kind == MIRROR_WAIT && !wait_acked(a, t, seq)))
			return false;
		now = clock_now_ns();
		if (!waited)
			sample(s, now - begin, seq - haven_acked(a->worker, t));
		haven_poll(a->worker);
	}
	if (!wait_acked(a, t, seq))
		return false;
	s->until_ns = clock_now_ns();
	s->records = seq - first;
	return true;
}

static void job_look(struct mirror_app *a)
{
	struct mirror_shared *s = a->shared;
	uint64_t number = load_acquire(&s->number);
	struct mirror_job job;

	if (number == load_relaxed(&s->done))
		return;
	job = s->job;
	s->puts = s->records = s->waits = 0;
	s->n = 0;
	s->failed = !job_run(a, &job);
	store_release(&s->done, number);
}

void mirror_app_serve(struct haven *h, struct world *w, unsigned node)
{
	struct world_app_line *line = &w->line[node];
	struct mirror_app a = {.shared = w->options.context};

	if (!set_up(&a, h))
		return;
	store_release(&line->ready, 1);
	for (;;) {
		unsigned change = haven_poll(a.worker);

		if (change & HAVEN_CHANGE_NODE)
			return;
		world_app_look(line, a.worker, change);
		if (line->opened_ns)
			job_look(&a);
		sched_yield();
	}
}
