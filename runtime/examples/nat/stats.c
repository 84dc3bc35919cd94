/* SPDX-License-Identifier: BSD-3-Clause */
#include "stats.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "clock.h"

#define STATS_EVERY_NS NSEC_PER_SEC
#define STATS_LOOK_NS (10 * NSEC_PER_MSEC)

static const char *const role_names[] = {"off-line", "spare", "secondary", "primary"};

static void takeovers_print(FILE *f, const struct stats_snapshot *s)
{
	uint64_t first =
		s->n_takeovers > NAT_TAKEOVERS_MAX ? s->n_takeovers - NAT_TAKEOVERS_MAX : 0;

	fprintf(f, "\"takeovers\":[");
	for (uint64_t i = first; i < s->n_takeovers; i++) {
		const struct nat_takeover *t = &s->takeover[i % NAT_TAKEOVERS_MAX];

		fprintf(f,
			"%s{\"epoch\":%" PRIu64 ",\"gate_ns\":%" PRIu64 ",\"garp_ns\":%" PRIu64
			",\"first_packet_ns\":%" PRIu64 ",\"warm_ns\":%" PRIu64
			",\"flows\":%" PRIu32 ",\"committed\":%" PRIu64 "}",
			i == first ? "" : ",", t->epoch, t->gate_ns, t->garp_ns, t->packet_ns,
			t->warm_ns, t->flows, t->committed);
	}
	fprintf(f, "]");
}

static void snapshot_print(FILE *f, const struct stats *s)
{
	const struct stats_snapshot *a = &s->snapshot;

	fprintf(f,
		"{\"schema\":\"nat/1\",\"name\":\"%s\",\"instance\":\"%s\",\"pid\":%d,"
		"\"at_ns\":%" PRIu64 ",\"attached\":%s,\"role\":\"%s\",\"epoch\":%" PRIu64
		",\"gate_open\":%s,\"flows\":%" PRIu32 ",\"table_flows\":%" PRIu32
		",\"committed\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"held\":%" PRIu32
		",\"waiting\":%" PRIu32 ",\"turn_max_ns\":%" PRIu64 ",\"counters\":{",
		s->name, s->instance, (int)getpid(), a->at_ns, a->attached ? "true" : "false",
		role_names[a->role < 4 ? a->role : 0], a->epoch, a->open ? "true" : "false",
		a->flows, a->table_flows, a->committed, a->acked, a->held, a->waiting,
		a->turn_max_ns);
	for (unsigned i = 1; i < COUNT_KINDS; i++)
		fprintf(f, "%s\"%s\":%" PRIu64, i == 1 ? "" : ",", count_name((enum nat_count)i),
			a->counts.n[i]);
	fprintf(f, "},");
	takeovers_print(f, a);
	fprintf(f, "}\n");
}

static void snapshot_write(const struct stats *s)
{
	char aside[PATH_MAX];
	FILE *f;
	bool whole;

	if ((size_t)snprintf(aside, sizeof(aside), "%s.new", s->path) >= sizeof(aside))
		return;
	f = fopen(aside, "we");
	if (!f)
		return;
	snapshot_print(f, s);
	whole = !ferror(f);
	whole = fclose(f) == 0 && whole;
	if (!whole || rename(aside, s->path) != 0)
		unlink(aside);
}

static void *stats_thread(void *argument)
{
	const struct timespec look = {.tv_nsec = STATS_LOOK_NS};
	struct stats *s = argument;

	while (!load_acquire(&s->stop)) {
		/* acquire: the loop has filled the snapshot before. */
		if (load_acquire(&s->full)) {
			snapshot_write(s);
			store_release(&s->full, 0);
		}
		nanosleep(&look, NULL);
	}
	return NULL;
}

bool stats_start(struct stats *s, const char *path, const char *name, const char *instance)
{
	memset(s, 0, sizeof(*s));
	s->path = path;
	s->name = name;
	s->instance = instance;
	if (!path)
		return true;
	s->running = pthread_create(&s->thread, NULL, stats_thread, s) == 0;
	return s->running;
}

static void snapshot_take(struct stats *s, const struct nat *n, uint64_t turn_max_ns)
{
	const struct nat_haven *h = &n->haven;
	struct stats_snapshot *a = &s->snapshot;
	unsigned lane = h->worker ? haven_worker_lane(h->worker) : 0;

	memset(a, 0, sizeof(*a));
	a->counts = n->counts;
	memcpy(a->takeover, n->takeover, sizeof(a->takeover));
	a->n_takeovers = n->n_takeovers;
	a->at_ns = n->now;
	a->flows = n->flows.count;
	a->held = held_count(&n->held);
	a->waiting = hold_count(&n->wait);
	a->turn_max_ns = turn_max_ns;
	a->attached = h->worker != NULL;
	if (!a->attached)
		return;
	a->role = (uint32_t)haven_role(h->worker, h->instance);
	a->epoch = haven_epoch(h->worker, h->instance);
	a->open = haven_gate(h->worker, h->instance);
	a->table_flows = haven_table_count(h->flows, lane);
	a->acked = haven_acked(h->worker, h->flows);
	a->committed = haven_commit(h->worker, h->flows);
}

void stats_turn(struct stats *s, struct nat *n, uint64_t turn_max_ns)
{
	bool due = n->report || n->now >= s->next_ns || load_relaxed(&s->wanted);

	if (!s->running || !due || load_acquire(&s->full))
		return;
	store_relaxed(&s->wanted, 0);
	n->report = false;
	s->next_ns = n->now + STATS_EVERY_NS;
	snapshot_take(s, n, turn_max_ns);
	store_release(&s->full, 1);
}

void stats_stop(struct stats *s, struct nat *n)
{
	if (!s->running)
		return;
	store_release(&s->stop, 1);
	pthread_join(s->thread, NULL);
	s->running = false;
	snapshot_take(s, n, 0);
	snapshot_write(s);
}
