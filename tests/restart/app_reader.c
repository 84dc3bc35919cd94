/* SPDX-License-Identifier: BSD-3-Clause */
/* Readers: quiescent-state readers of the registry that belong to no component. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"

struct reader {
	struct app *app;
	unsigned index;
};

static void look_up(const struct app *a, const struct registry *r, uint32_t i)
{
	const struct registry_hot *by_name = registry_find(r, a->name[i]);
	const struct registry_hot *by_handle = registry_get(r, a->handle[i]);

	if (!by_name)
		app_bad("%s is not found by its name", a->name[i]);
	if (!by_handle)
		app_bad("%s is not found by its handle", a->name[i]);
	if (by_name->handle != a->handle[i] || strcmp(by_handle->name, a->name[i]) != 0)
		app_bad("%s is found under another handle", a->name[i]);
}

/* One view until there is another. */
static void read_view(struct app *a, unsigned index, struct app_view *v, struct prng *p)
{
	uint64_t *word = &a->segment->worker[index].quiescent;
	const uint64_t *epoch = &v->registry.header->rcu_epoch;

	rcu_enter(epoch, word);
	while (load_acquire(&a->view) == v && !load_relaxed(&a->stop)) { /* V */
		uint32_t known = load_acquire(&a->known);                /* K */

		rcu_quiescent(epoch, word);
		for (int i = 0; known && i < APP_LOOKUPS; i++)
			look_up(a, &v->registry, (uint32_t)prng_below(p, known));
		store_relaxed(&a->lookups[index], a->lookups[index] + APP_LOOKUPS);
		sched_yield();
	}
	rcu_leave(word);
}

static void *reader_main(void *argument)
{
	struct reader *me = argument;
	struct app *a = me->app;
	struct prng p = {.state = 77 + me->index};

	if (client_worker_claim(&a->segment->worker[me->index], 0) != 0)
		app_bad("reader %u cannot claim its slot", me->index);
	fetch_add_relaxed(&a->readers_ready, 1);
	while (!load_relaxed(&a->stop)) {
		struct app_view *v = load_acquire(&a->view); /* V */

		if (!v) {
			sched_yield();
			continue;
		}
		fetch_add_relaxed(&v->used, 1);
		fence_seq(); /* the view is looked at again after it shows as used */
		if (load_acquire(&a->view) == v)
			read_view(a, me->index, v, &p);
		sub_fetch_acq_rel(&v->used, 1);
	}
	client_worker_release(&a->segment->worker[me->index]);
	free(me);
	return NULL;
}

void app_readers_start(struct app *a)
{
	for (unsigned i = 0; i < a->n_readers; i++) {
		struct reader *me = malloc(sizeof(*me));

		*me = (struct reader){a, i};
		if (pthread_create(&a->reader[i], NULL, reader_main, me) != 0)
			app_bad("cannot start a reader");
	}
	while (load_relaxed(&a->readers_ready) < a->n_readers)
		sched_yield();
}

void app_readers_stop(struct app *a)
{
	store_relaxed(&a->stop, 1);
	for (unsigned i = 0; i < a->n_readers; i++)
		pthread_join(a->reader[i], NULL);
}

void app_views_tidy(struct app *a)
{
	struct app_view **at = &a->views;

	while (*at) {
		struct app_view *v = *at;

		/* A reader that is about to enter it looks at the view again after it says so, and
		 * the memory of the view itself is never given back: only the mapping is. */
		fence_seq();
		if (v == a->view || load_acquire(&v->used) || !v->registry.base) {
			at = &v->next;
			continue;
		}
		registry_close(&v->registry);
	}
}
