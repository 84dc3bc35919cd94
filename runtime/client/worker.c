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
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client_internal.h"
#include "clock.h"
#include "rcu.h"

/* The socket is looked at (one system call) at most this often, by a clock read every few polls. */
#define WORKER_CHECK_NS (100 * NSEC_PER_MSEC)
#define WORKER_CHECK_POLLS 64u
/* A gate line that changes this often under one look is left for the next poll. */
#define WORKER_GATE_TRIES 4

static int worker_claim(struct haven_component *c, struct haven_worker *w)
{
	int status = -HAVEN_EFULL;

	for (unsigned i = 0; i < HAVEN_WORKERS_MAX && status == -HAVEN_EFULL; i++) {
		w->slot = &c->haven->segment->worker[i];
		w->index = i;
		status = client_worker_claim(w->slot, c->handle);
	}
	if (status == -HAVEN_EFULL)
		return error_set(&c->haven->error, HAVEN_EFULL,
				 "all %u worker slots of this process are in use",
				 HAVEN_WORKERS_MAX);
	if (status)
		return error_set(&c->haven->error, HAVEN_ESYS, "cannot own the worker's mark: %s",
				 strerror(errno));
	return 0;
}

static int worker_start(struct haven_component *c, struct haven_worker *w)
{
	struct message m = {.type = MESSAGE_WORKER, .handle = c->handle};
	struct haven *h = c->haven;
	int status = worker_claim(c, w);

	if (status)
		return status;
	m.u.worker.worker = w->index;
	status = client_call(h, &m, -1, NULL);
	if (status) {
		client_worker_release(w->slot);
		return status;
	}
	w->haven = h;
	w->component = c;
	w->gates = c->gates;
	w->instances = c->instances;
	w->rcu_epoch = &h->registry.header->rcu_epoch;
	w->checked_ns = clock_now_ns();
	rcu_enter(w->rcu_epoch, &w->slot->quiescent);
	w->next = h->workers;
	h->workers = w;
	c->workers++;
	fetch_add_relaxed(&h->references, 1);
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
	struct haven_worker **at;
	struct haven *h;

	/* The mark can be given back by its owner alone. */
	if (!w || load_relaxed(&w->slot->tid) != (int32_t)syscall(SYS_gettid))
		return;
	h = w->haven;
	pthread_mutex_lock(&h->control);
	for (at = &h->workers; *at != w; at = &(*at)->next)
		;
	*at = w->next;
	w->component->workers--;
	rcu_leave(&w->slot->quiescent);
	client_worker_release(w->slot);
	pthread_mutex_unlock(&h->control);
	free(w);
	client_release(h);
}

unsigned haven_worker_lane(const struct haven_worker *w)
{
	return w->index;
}

/* Take the baton of the worker's lane in every table of the instance. */
static void worker_take_lanes(const struct haven_worker *w, unsigned instance)
{
	/* acquire: pairs with the release of haven_table_create(). */
	struct haven_table *t = load_acquire(&w->component->tables);

	for (; t; t = t->next)
		if (t->instance == instance && w->index < t->n_lanes)
			table_lane_begin(&t->table, w->index);
}

static unsigned worker_take_role(struct haven_worker *w, unsigned instance)
{
	struct registry_gate g;
	unsigned tries = WORKER_GATE_TRIES;

	while (!registry_gate_copy(&w->gates[instance], &g))
		if (--tries == 0)
			return 0;
	if (g.role >= HAVEN_ROLE_COUNT)
		g.role = HAVEN_OFFLINE;
	if (g.role == HAVEN_PRIMARY)
		worker_take_lanes(w, instance);
	w->seen[instance] =
		(struct client_seen){.generation = g.generation, .role = g.role, .epoch = g.epoch};
	/* P1: every write to the lanes under the earlier role is visible to whoever sees this
	 * generation confirmed. */
	store_release(&w->slot->confirmed[instance], g.generation);
	return HAVEN_CHANGE_ROLE;
}

/* An orderly stop stands in the registry; a death closes the socket. */
static bool worker_node_gone(struct haven_worker *w)
{
	struct pollfd p = {.fd = w->haven->socket};
	uint64_t now;

	if (client_lost(w->haven))
		return true;
	if (load_relaxed(&w->haven->registry.header->stopped_ns) != 0)
		return true;
	if (w->progress % WORKER_CHECK_POLLS != 0)
		return false;
	now = clock_now_ns();
	if (now - w->checked_ns < WORKER_CHECK_NS)
		return false;
	w->checked_ns = now;
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

static unsigned worker_lose_node(struct haven_worker *w)
{
	client_lose(w->haven);
	w->lost = true;
	/* Nobody renews these roles, and a new node's registry is another one. */
	for (unsigned i = 0; i < w->instances; i++)
		w->seen[i].role = HAVEN_OFFLINE;
	return HAVEN_CHANGE_NODE | HAVEN_CHANGE_ROLE;
}

unsigned haven_poll(struct haven_worker *w)
{
	struct client_worker *slot = w->slot;
	unsigned changes = 0;

	rcu_quiescent(w->rcu_epoch, &slot->quiescent);
	store_relaxed(&slot->progress, ++w->progress);
	if (__builtin_expect(w->lost, 0))
		return 0;
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
	if (packets == 0 || haven_gate(w, instance))
		return true;
	store_relaxed(&w->slot->gate_overruns, w->slot->gate_overruns + 1);
	return false;
}

static void worker_describe(const struct haven_worker *w, const struct registry_hot *hot,
			    struct haven_component_info *out)
{
	const struct registry *r = &w->haven->registry;
	const struct registry_cold *cold = registry_cold_of(r, hot);

	memset(out, 0, sizeof(*out));
	memcpy(out->name, hot->name, sizeof(out->name) - 1);
	memcpy(out->group, cold->group, sizeof(out->group) - 1);
	memcpy(out->release, cold->release, sizeof(out->release) - 1);
	out->handle = hot->handle;
	out->pid = cold->pid;
	out->kind = hot->kind;
	out->ready = (hot->flags & REGISTRY_READY) != 0;
	out->instances = (uint8_t)(hot->instances < HAVEN_INSTANCES_MAX ? hot->instances
									: HAVEN_INSTANCES_MAX);
	for (unsigned i = 0; i < out->instances; i++)
		if ((uint64_t)hot->gate_first + i < r->shape.gates)
			out->role[i] = (uint8_t)load_relaxed(&r->gates[hot->gate_first + i].role);
}

int haven_lookup(struct haven_worker *w, const char *name, struct haven_component_info *out)
{
	/* The worker is a quiescent reader: what is found stays until its next poll. */
	const struct registry_hot *hot = registry_find(&w->haven->registry, name);

	if (!hot)
		return -HAVEN_ENOENT;
	worker_describe(w, hot, out);
	return 0;
}
