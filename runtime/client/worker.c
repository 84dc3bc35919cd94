/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker: the packet loop's side of the baton.
 *
 * The node says a role in the gate line; the worker says in its own slot which generation of that
 * line it has taken note of. Until it has, the node does not touch the worker's lanes; from then on
 * the worker acts by that role and no earlier one. So a lane has one writer at any instant, though
 * neither side ever waits for the other.
 *
 * The gate is judged from the node's line at every call, not from the last poll: role and
 * generation as confirmed, and the end of the lease as it stands now.
 */
#include <stdlib.h>
#include <string.h>

#include "client_internal.h"
#include "clock.h"
#include "rcu.h"

/* The socket is looked at (one system call) at most this often, by a clock read every few polls. */
#define WORKER_CHECK_NS (100 * NSEC_PER_MSEC)
#define WORKER_CHECK_POLLS 64u
/* A gate line that changes this often under one look is left for the next poll. */
#define WORKER_GATE_TRIES 4

static int worker_start(struct haven_component *c, struct haven_worker *w)
{
	int status = reader_start(c->haven, c, &w->reader);

	if (status)
		return status;
	w->component = c;
	w->gates = w->reader.at->gates[c->number];
	w->instances = c->instances;
	w->checked_ns = clock_now_ns();
	c->workers++;
	return 0;
}

int haven_worker_begin(struct haven_component *c, struct haven_worker **out)
{
	struct haven_worker *w = calloc(1, sizeof(*w));
	struct haven *h = c->haven;
	int status;

	*out = NULL;
	pthread_mutex_lock(&h->control);
	status = w ? worker_start(c, w)
		   : error_set(&h->error, HAVEN_ENOMEM, "no memory for a worker");
	pthread_mutex_unlock(&h->control);
	if (status)
		free(w);
	else
		*out = w;
	return status;
}

void haven_worker_end(struct haven_worker *w)
{
	struct haven *h;

	if (!w || !reader_is_mine(&w->reader))
		return;
	h = w->reader.haven;
	pthread_mutex_lock(&h->control);
	w->component->workers--;
	reader_stop(&w->reader);
	pthread_mutex_unlock(&h->control);
	free(w->hold.slot);
	free(w);
	client_release(h);
}

unsigned haven_worker_lane(const struct haven_worker *w)
{
	return w->reader.index;
}

struct haven_reader *haven_worker_reader(struct haven_worker *w)
{
	return &w->reader;
}

/* Take the baton of the worker's lane in every table of the instance. */
static void worker_take_lanes(const struct haven_worker *w, unsigned instance)
{
	/* acquire: pairs with T in haven_table_create(). */
	struct haven_table *t = load_acquire(&w->component->tables);

	for (; t; t = load_acquire(&t->next))
		if (t->instance == instance && w->reader.index < t->n_lanes)
			table_lane_begin(&t->table, w->reader.index);
}

/* Each change makes the next generation, so one that follows on what was seen hides no other. */
static bool term_goes_on(const struct client_seen *seen, const struct registry_gate *g)
{
	return seen->role == HAVEN_PRIMARY && g->role == HAVEN_PRIMARY &&
	       g->generation == seen->generation + 1;
}

static unsigned worker_take_role(struct haven_worker *w, unsigned instance)
{
	struct client_seen *seen = &w->seen[instance];
	struct registry_gate g;
	unsigned tries = WORKER_GATE_TRIES;

	while (!registry_gate_copy(&w->gates[instance], &g))
		if (--tries == 0)
			return 0;
	if (g.role >= HAVEN_ROLE_COUNT)
		g.role = HAVEN_OFFLINE;
	if (g.role == HAVEN_PRIMARY)
		worker_take_lanes(w, instance);
	*seen = (struct client_seen){.generation = g.generation,
				     .role = g.role,
				     .epoch = g.epoch,
				     .term = seen->term + !term_goes_on(seen, &g)};
	/* P1: every write to the lanes under the earlier role is visible to whoever sees this
	 * generation confirmed. */
	store_release(&w->reader.slot->confirmed[instance], g.generation);
	return HAVEN_CHANGE_ROLE;
}

/* An orderly stop stands in the registry; a death closes the socket. */
static bool worker_node_gone(struct haven_worker *w)
{
	struct attachment *at = w->reader.at;
	uint64_t now;

	if (attachment_lost(at))
		return true;
	if (load_relaxed(&at->registry.header->stopped_ns) != 0)
		return true;
	if (w->progress % WORKER_CHECK_POLLS != 0)
		return false;
	now = clock_now_ns();
	if (now - w->checked_ns < WORKER_CHECK_NS)
		return false;
	w->checked_ns = now;
	return attachment_hung_up(at);
}

static unsigned worker_lose_node(struct haven_worker *w)
{
	attachment_lose(w->reader.at);
	w->lost = true;
	/* Nobody renews these roles, and a new node's registry is another one. */
	for (unsigned i = 0; i < w->instances; i++) {
		w->seen[i].role = HAVEN_OFFLINE;
		w->seen[i].term++;
	}
	return HAVEN_CHANGE_NODE | HAVEN_CHANGE_ROLE;
}

/*
 * Go over to the next node. From here to the end of the poll the worker writes no lane; then the
 * roles of the new gates are taken, and confirmed, as any others. What stands in the slot as
 * confirmed until then is below every generation of the new gates (reattach.c).
 */
static unsigned worker_go_over(struct haven_worker *w)
{
	unsigned changes = HAVEN_CHANGE_REATTACHED | HAVEN_CHANGE_ROLE;

	if (!w->lost)
		changes |= HAVEN_CHANGE_NODE;
	attachment_move(&w->reader);
	w->gates = w->reader.at->gates[w->component->number];
	for (unsigned i = 0; i < w->instances; i++)
		w->seen[i] = (struct client_seen){.term = w->seen[i].term + 1};
	w->lost = false;
	return changes;
}

unsigned haven_poll(struct haven_worker *w)
{
	struct client_worker *slot = w->reader.slot;
	unsigned changes = 0;

	/* acquire: pairs with A1. */
	if (__builtin_expect(load_acquire(&w->reader.haven->now) != w->reader.at, 0))
		changes = worker_go_over(w);
	else
		rcu_quiescent(w->reader.rcu_epoch, &slot->quiescent);
	store_relaxed(&slot->progress, ++w->progress);
	if (__builtin_expect(w->lost, 0))
		return changes;
	for (unsigned i = 0; i < w->instances; i++)
		if (__builtin_expect(load_relaxed(&w->gates[i].generation) != w->seen[i].generation,
				     0))
			changes |= worker_take_role(w, i);
	if (__builtin_expect(worker_node_gone(w), 0))
		changes |= worker_lose_node(w);
	return changes;
}

enum haven_role haven_role(const struct haven_worker *w, unsigned instance)
{
	return instance < w->instances ? (enum haven_role)w->seen[instance].role : HAVEN_OFFLINE;
}

uint64_t haven_epoch(const struct haven_worker *w, unsigned instance)
{
	return instance < w->instances ? w->seen[instance].epoch : 0;
}

bool haven_gate(const struct haven_worker *w, unsigned instance)
{
	const struct registry_gate *g;
	uint64_t until;

	if (instance >= w->instances || w->seen[instance].role != HAVEN_PRIMARY)
		return false;
	g = &w->gates[instance];
	/* The end of the lease first: should it belong to a later generation, then that generation
	 * is seen too (acquire, pairs with G1: opening stores it last). */
	until = load_acquire(&g->valid_until_ns);
	if (load_relaxed(&g->generation) != w->seen[instance].generation)
		return false;
	return clock_now_ns() < until;
}

bool haven_gate_check(struct haven_worker *w, unsigned instance, unsigned packets)
{
	struct client_worker *slot = w->reader.slot;

	if (packets == 0 || haven_gate(w, instance))
		return true;
	store_relaxed(&slot->gate_overruns, slot->gate_overruns + 1);
	return false;
}
