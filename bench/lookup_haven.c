/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registry as a look-up store: written here as the node does it, read by other processes that
 * opened the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lookup.h"
#include "rcu.h"

static struct {
	struct registry registry;
	struct rcu_domain rcu;
	uint32_t load;
} node;

/* In a reader's process. */
static struct registry opened;

static int tell(const struct error_text *text)
{
	fprintf(stderr, "haven-bench: registry: %s\n", text->text);
	return 1;
}

static int add_all(const struct lookup_keys *k)
{
	uint64_t *handle = malloc(k->n * sizeof(*handle));
	struct error_text text;

	if (!handle)
		return 1;
	for (uint32_t i = 0; i < k->n; i++) {
		struct registry_component c = {0};
		struct registry_key key;

		lookup_name(&key, i);
		memcpy(c.hot.name, key.text, sizeof(c.hot.name));
		if (registry_add(&node.registry, &c, &text)) {
			free(handle);
			return tell(&text);
		}
		handle[i] = c.hot.handle;
	}
	for (uint32_t i = 0; i < k->n + LOOKUP_BURST; i++)
		k->handle[i] = handle[k->number[i]];
	free(handle);
	return 0;
}

static int build(const struct lookup_keys *k, const struct crew *crew, const char *scratch)
{
	const struct registry_config config = {.cluster = "bench",
					       .node = "bench",
					       .release = "1",
					       .incarnation = 1,
					       .shape = {.components = k->n}};
	struct error_text text;

	if (registry_create(&node.registry, scratch, &config, &text))
		return tell(&text);
	rcu_domain_init(&node.rcu, &node.registry.header->rcu_epoch);
	for (unsigned i = 0; i < crew->n; i++)
		if (crew->member[i].process)
			rcu_slot_add(&node.rcu, &crew->member[i].slot);
	return add_all(k);
}

static void destroy(void)
{
	registry_destroy(&node.registry);
}

static int reader_open(struct crew_member *m)
{
	struct error_text text;

	return registry_open(&opened, m->text, &text) ? tell(&text) : 0;
}

static int reader_close(struct crew_member *m)
{
	(void)m;
	registry_close(&opened);
	return 0;
}

static int begin(struct crew_member *m)
{
	if (m->process)
		rcu_enter(&opened.header->rcu_epoch, &m->slot);
	return 0;
}

static void end(struct crew_member *m)
{
	if (m->process)
		rcu_leave(&m->slot);
}

static void update(const struct lookup_keys *k, uint32_t first, uint32_t count)
{
	struct registry_component c = {0};

	for (uint32_t i = 0; i < count; i++) {
		const struct registry_hot *own = registry_own(&node.registry, k->handle[first + i]);

		c.hot = *own;
		c.hot.load = ++node.load % REGISTRY_LOAD_MAX;
		registry_update(&node.registry, &c, &node.rcu);
		registry_reclaim(&node.registry, &node.rcu);
	}
}

static unsigned look_name(struct crew_member *m, const struct lookup_keys *k, uint32_t first)
{
	uint64_t sum = 0;
	unsigned found = 0;

	for (uint32_t i = 0; i < LOOKUP_BURST; i++) {
		const struct registry_hot *hot = registry_find_key(&opened, &k->name[first + i]);

		if (hot) {
			sum += hot->load;
			found++;
		}
	}
	bench_keep(&sum);
	rcu_quiescent(&opened.header->rcu_epoch, &m->slot);
	return found;
}

static unsigned look_bulk(struct crew_member *m, const struct lookup_keys *k, uint32_t first)
{
	const struct registry_key *key[LOOKUP_BURST];
	const struct registry_hot *hot[LOOKUP_BURST];
	unsigned found;

	for (uint32_t i = 0; i < LOOKUP_BURST; i++)
		key[i] = &k->name[first + i];
	found = registry_find_bulk(&opened, key, LOOKUP_BURST, hot);
	bench_keep(hot);
	rcu_quiescent(&opened.header->rcu_epoch, &m->slot);
	return found;
}

static unsigned look_handle(struct crew_member *m, const struct lookup_keys *k, uint32_t first)
{
	uint64_t sum = 0;
	unsigned found = 0;

	for (uint32_t i = 0; i < LOOKUP_BURST; i++) {
		const struct registry_hot *hot = registry_get(&opened, k->handle[first + i]);

		if (hot) {
			sum += hot->load;
			found++;
		}
	}
	bench_keep(&sum);
	rcu_quiescent(&opened.header->rcu_epoch, &m->slot);
	return found;
}

const struct lookup_store store_haven = {.name = "Haven registry",
					 .processes = true,
					 .build = build,
					 .destroy = destroy,
					 .open = reader_open,
					 .close = reader_close,
					 .begin = begin,
					 .end = end,
					 .update = update,
					 .update_batch = 1};
const struct lookup_way way_haven_name = {"Haven by name", &store_haven, look_name};
const struct lookup_way way_haven_bulk = {"Haven bulk of 32", &store_haven, look_bulk};
const struct lookup_way way_haven_handle = {"Haven by handle", &store_haven, look_handle};
