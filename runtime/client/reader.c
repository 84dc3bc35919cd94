/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reader slots, and look-ups in the registry.
 *
 * Workers take slots from the bottom, because the number of a worker's slot is that of the lane it
 * writes; readers take them from the top, so that they do not shift lanes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client_internal.h"
#include "rcu.h"

/* ---- slots ---------------------------------------------------------------------------------- */

static int slots_exhausted(struct haven *h)
{
	unsigned workers = 0, readers = 0, dead = 0;

	for (const struct haven_reader *r = h->readers; r; r = r->next) {
		if (client_worker_marked(r->slot))
			dead++;
		else if (r->worker)
			workers++;
		else
			readers++;
	}
	return error_set(&h->error, HAVEN_EFULL,
			 "all %u slots of this attachment are taken: %u by workers, %u by readers, "
			 "%u lost with threads that ended without ending theirs; end one, or "
			 "attach once more",
			 HAVEN_WORKERS_MAX, workers, readers, dead);
}

static int slot_claim(struct haven *h, const struct haven_component *c, struct haven_reader *r)
{
	int status = -HAVEN_EFULL;

	for (unsigned i = 0; i < HAVEN_WORKERS_MAX && status == -HAVEN_EFULL; i++) {
		r->index = c ? i : HAVEN_WORKERS_MAX - 1 - i;
		r->slot = &h->segment->worker[r->index];
		status = client_worker_claim(r->slot, c ? c->handle : 0);
	}
	if (status == -HAVEN_EFULL)
		return slots_exhausted(h);
	if (status)
		return error_set(&h->error, HAVEN_ESYS, "cannot own the slot's mark: %s",
				 strerror(errno));
	return 0;
}

int reader_start(struct haven *h, struct haven_component *c, struct haven_reader *r)
{
	struct message m = {.type = MESSAGE_WORKER, .handle = c ? c->handle : 0};
	int status;

	if (load_relaxed(&h->forked))
		return error_set(&h->error, HAVEN_ENODE,
				 "this process is a child of the one that attached; attach anew");
	status = slot_claim(h, c, r);
	if (status)
		return status;
	m.u.worker.worker = r->index;
	/* Watched from here on, so before anything is found. */
	status = client_call(h, &m, -1, NULL);
	if (status) {
		client_worker_release(r->slot);
		return status;
	}
	r->haven = h;
	r->worker = c != NULL;
	attachment_move(r);
	r->next = h->readers;
	h->readers = r;
	fetch_add_relaxed(&h->references, 1);
	return 0;
}

void reader_stop(struct haven_reader *r)
{
	struct haven *h = r->haven;
	struct haven_reader **at = &h->readers;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	rcu_leave(&r->slot->quiescent);
	client_worker_release(r->slot);
	attachment_reap(h);
}

bool reader_is_mine(const struct haven_reader *r)
{
	return load_relaxed(&r->slot->tid) == (int32_t)syscall(SYS_gettid) &&
	       !client_worker_marked(r->slot);
}

int haven_reader_begin(struct haven *h, struct haven_reader **out)
{
	struct haven_reader *r = calloc(1, sizeof(*r));
	int status;

	*out = NULL;
	pthread_mutex_lock(&h->control);
	status = r ? reader_start(h, NULL, r)
		   : error_set(&h->error, HAVEN_ENOMEM, "no memory for a reader");
	if (!status)
		rcu_leave(&r->slot->quiescent);
	pthread_mutex_unlock(&h->control);
	if (status)
		free(r);
	else
		*out = r;
	return status;
}

void haven_reader_end(struct haven_reader *r)
{
	struct haven *h;

	if (!r || r->worker || !reader_is_mine(r))
		return;
	h = r->haven;
	pthread_mutex_lock(&h->control);
	reader_stop(r);
	pthread_mutex_unlock(&h->control);
	free(r);
	client_release(h);
}

void haven_reader_enter(struct haven_reader *r)
{
	if (r->worker || r->depth++ > 0)
		return;
	/* acquire: pairs with A1. */
	if (__builtin_expect(load_acquire(&r->haven->now) != r->at, 0))
		attachment_move(r);
	else
		rcu_enter(r->rcu_epoch, &r->slot->quiescent);
}

void haven_reader_leave(struct haven_reader *r)
{
	if (r->worker || r->depth == 0 || --r->depth > 0)
		return;
	rcu_leave(&r->slot->quiescent);
}

/* ---- look-ups ---------------------------------------------------------------------------------
 *
 * The public view is the hot line itself: no copy, no translation. Where the two differ, this does
 * not compile, and a node with another layout of the registry is refused when attaching.
 */

#define SAME(view_field, hot_field)                                                                \
	HAVEN_STATIC_ASSERT(offsetof(struct haven_component_view, view_field) ==                   \
					    offsetof(struct registry_hot, hot_field) &&            \
				    sizeof(((struct haven_component_view *)0)->view_field) ==      \
					    sizeof(((struct registry_hot *)0)->hot_field),         \
			    "the view is the hot line")
SAME(handle, handle);
SAME(kind, kind);
SAME(state, state);
SAME(health, health);
SAME(flags, flags);
SAME(name, name);
SAME(load, load);
SAME(instances, instances);
SAME(weight, weight);
HAVEN_STATIC_ASSERT(sizeof(struct haven_component_view) == sizeof(struct registry_hot) &&
			    (int)HAVEN_VIEW_READY == (int)REGISTRY_READY &&
			    (int)HAVEN_VIEW_DEAD == (int)REGISTRY_DEAD &&
			    (int)HAVEN_VIEW_PENDING == (int)REGISTRY_PENDING,
		    "the view is the hot line");
HAVEN_STATIC_ASSERT(sizeof(struct haven_key) == sizeof(struct registry_key) &&
			    _Alignof(struct haven_key) == _Alignof(struct registry_key),
		    "keys are passed on as they are");
HAVEN_STATIC_ASSERT(HAVEN_DEPENDS_MAX == REGISTRY_DEPENDS_MAX &&
			    HAVEN_LOAD_MAX == REGISTRY_LOAD_MAX &&
			    HAVEN_BULK_MAX == REGISTRY_BULK_MAX,
		    "public limits are those of the registry");

static const struct haven_component_view *view_of(const struct registry_hot *hot)
{
	return (const struct haven_component_view *)(const void *)hot;
}

bool haven_key_set(struct haven_key *key, const char *name)
{
	return registry_key_set((struct registry_key *)(void *)key, name);
}

const struct haven_component_view *haven_find(const struct haven_reader *r, const char *name)
{
	return view_of(registry_find(r->registry, name));
}

const struct haven_component_view *haven_find_key(const struct haven_reader *r,
						  const struct haven_key *key)
{
	return view_of(registry_find_key(r->registry, (const struct registry_key *)key));
}

unsigned haven_find_bulk(const struct haven_reader *r, const struct haven_key *const *keys,
			 unsigned n, const struct haven_component_view **out)
{
	if (n > HAVEN_BULK_MAX)
		n = HAVEN_BULK_MAX;
	return registry_find_bulk(r->registry,
				  (const struct registry_key *const *)(const void *)keys, n,
				  (const struct registry_hot **)(void *)out);
}

const struct haven_component_view *haven_find_handle(const struct haven_reader *r, uint64_t handle)
{
	return view_of(registry_get(r->registry, handle));
}

const struct haven_component_view *haven_next(const struct haven_reader *r, uint32_t *cursor)
{
	return view_of(registry_next(r->registry, cursor));
}

uint64_t haven_changes(const struct haven_reader *r)
{
	return r->at->changes_base + registry_changes(r->registry);
}

void haven_describe(const struct haven_reader *r, const struct haven_component_view *view,
		    struct haven_component_info *out)
{
	const struct registry_hot *hot = (const struct registry_hot *)(const void *)view;
	const struct registry *reg = r->registry;
	const struct registry_cold *cold = registry_cold_of(reg, hot);

	memset(out, 0, sizeof(*out));
	memcpy(out->name, hot->name, sizeof(out->name) - 1);
	memcpy(out->group, cold->group, sizeof(out->group) - 1);
	memcpy(out->release, cold->release, sizeof(out->release) - 1);
	out->handle = hot->handle;
	out->pid = cold->pid;
	out->kind = hot->kind;
	out->state = hot->state;
	out->health = hot->health;
	out->ready = (hot->flags & REGISTRY_READY) != 0;
	out->load = hot->load;
	out->weight = hot->weight;
	out->format_read_min = cold->format_read_min;
	out->format_read_max = cold->format_read_max;
	out->format_write = cold->format_write;
	out->n_depends = (uint8_t)(cold->n_depends < HAVEN_DEPENDS_MAX ? cold->n_depends
								       : HAVEN_DEPENDS_MAX);
	memcpy(out->depends, cold->depends, out->n_depends * sizeof(out->depends[0]));
	out->instances = (uint8_t)(hot->instances < HAVEN_INSTANCES_MAX ? hot->instances
									: HAVEN_INSTANCES_MAX);
	for (unsigned i = 0; i < out->instances; i++)
		if ((uint64_t)hot->gate_first + i < reg->shape.gates)
			out->role[i] = (uint8_t)load_relaxed(&reg->gates[hot->gate_first + i].role);
}

int haven_lookup(struct haven_worker *w, const char *name, struct haven_component_info *out)
{
	/* The worker is a quiescent reader: what is found stays until its next poll. */
	const struct haven_component_view *view = haven_find(&w->reader, name);

	if (!view)
		return -HAVEN_ENOENT;
	haven_describe(&w->reader, view, out);
	return 0;
}
