/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Watches the gates of two nodes by the machine's one clock: never may both be open at one instant
 * for one instance.
 *
 * usage: gate-watch RUN_DIR RUN_DIR     until SIGTERM; then one line of JSON
 *
 * Both registries are mapped. A look reads the first gate, the second, and the first again: when
 * the first is the same open gate both times, it was open in between, when the second was looked
 * at; so an overlap that is told has happened. Gates of a node that is dead or stopped count as
 * long as their lease runs, for its application may act on them.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "clock.h"
#include "registry.h"

#define PAUSE_NS 50000
#define REOPEN_NS (2 * NSEC_PER_MSEC)
#define INSTANCES 2u /* looked at in turn; those that there are not have no gate */

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

struct watched {
	const char *run_dir;
	struct registry registry;
	uint64_t reopen_ns;
};

/** A node that starts anew makes its file anew. */
static void refresh(struct watched *w, uint64_t now)
{
	struct error_text error;
	struct registry fresh;

	if (now < w->reopen_ns)
		return;
	w->reopen_ns = now + REOPEN_NS;
	if (registry_open(&fresh, w->run_dir, &error) != 0)
		return;
	if (w->registry.base && w->registry.header->incarnation == fresh.header->incarnation) {
		registry_close(&fresh);
		return;
	}
	registry_close(&w->registry);
	w->registry = fresh;
}

/** The open gate of an instance; false: it is shut, or being changed. */
static bool open_gate(const struct watched *w, unsigned instance, struct registry_gate *out)
{
	const struct registry *r = &w->registry;

	for (uint32_t i = 0; r->base && i < r->shape.gates; i++) {
		const struct registry_gate *g = &r->gates[i];

		if (load_acquire(&g->component) == REGISTRY_NONE || g->instance != instance ||
		    load_acquire(&g->valid_until_ns) <= clock_now_ns() ||
		    !registry_gate_copy(g, out))
			continue;
		if (out->role == HAVEN_PRIMARY && out->valid_until_ns > clock_now_ns())
			return true;
	}
	return false;
}

static bool overlap(const struct watched *w, unsigned instance, struct registry_gate *a,
		    struct registry_gate *b)
{
	struct registry_gate again;

	return open_gate(&w[0], instance, a) && open_gate(&w[1], instance, b) &&
	       open_gate(&w[0], instance, &again) && again.generation == a->generation &&
	       again.epoch == a->epoch;
}

int main(int argc, char **argv)
{
	struct watched w[2] = {{.registry.fd = -1}, {.registry.fd = -1}};
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	uint64_t looks = 0, overlaps = 0;
	struct registry_gate a, b;

	if (argc != 3) {
		fputs("usage: gate-watch RUN_DIR RUN_DIR\n", stderr);
		return 2;
	}
	for (unsigned i = 0; i < 2; i++)
		w[i].run_dir = argv[1 + i];
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	while (!stop) {
		uint64_t now = clock_now_ns();

		for (unsigned i = 0; i < 2; i++)
			refresh(&w[i], now);
		looks++;
		if (overlap(w, (unsigned)(looks % INSTANCES), &a, &b) && overlaps++ == 0)
			fprintf(stderr, "both gates open at %llu: epochs %llu and %llu\n",
				(unsigned long long)now, (unsigned long long)a.epoch,
				(unsigned long long)b.epoch);
		/* The nodes have few CPUs to share. */
		nanosleep(&pause, NULL);
	}
	printf("{\"looks\": %llu, \"overlaps\": %llu}\n", (unsigned long long)looks,
	       (unsigned long long)overlaps);
	return overlaps ? 1 : 0;
}
