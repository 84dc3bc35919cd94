/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * liburcu's lock-free hash table, in the quiescent-state flavour and in the one with membarrier.
 * One bucket per key, fixed, so that nothing is resized while it is measured.
 */
#define _LGPL_SOURCE /* its read side inline, its fastest form */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/rculfhash.h>
#include <urcu/urcu-memb.h>
#include <urcu/urcu-qsbr.h>

#include "lookup.h"

/* Without its name mapping the header declares neither. */
extern const struct rcu_flavor_struct urcu_qsbr_flavor, urcu_memb_flavor;

/* Replaced nodes are used again after this many updates, two grace periods among them. */
#define SPARE 65536u

struct lfht_node {
	_Alignas(HAVEN_CACHE_LINE) struct cds_lfht_node link;
	struct registry_key key;
	uint64_t value;
};

struct lfht {
	struct cds_lfht *table;
	const struct rcu_flavor_struct *flavor;
	struct lfht_node *node; /* one per key and the spare ones */
	struct lfht_node **old; /* replaced, in order */
	uint64_t replaced;
};

static struct lfht qsbr, memb;

static int match(struct cds_lfht_node *link, const void *key)
{
	return lookup_equal(caa_container_of(link, struct lfht_node, link)->key.text, key);
}

static void fill(struct lfht_node *node, const struct registry_key *key, uint64_t value)
{
	cds_lfht_node_init(&node->link);
	node->key = *key;
	node->value = value;
}

static int build(struct lfht *t, const struct rcu_flavor_struct *flavor,
		 const struct lookup_keys *k)
{
	unsigned long buckets = 1;

	while (buckets < k->n)
		buckets *= 2;
	t->flavor = flavor;
	t->replaced = 0;
	t->table = cds_lfht_new_flavor(buckets, buckets, buckets, 0, flavor, NULL);
	t->node = aligned_alloc(HAVEN_CACHE_LINE, (k->n + (size_t)SPARE) * sizeof(*t->node));
	t->old = calloc(SPARE, sizeof(struct lfht_node *));
	if (!t->table || !t->node || !t->old) {
		fputs("haven-bench: no room for liburcu's table\n", stderr);
		return 1;
	}
	flavor->register_thread();
	flavor->read_lock();
	for (uint32_t i = 0; i < k->n; i++) {
		struct registry_key key;

		lookup_name(&key, i);
		fill(&t->node[i], &key, i);
		cds_lfht_add(t->table, lookup_hash(&key), &t->node[i].link);
	}
	flavor->read_unlock();
	flavor->unregister_thread();
	for (uint32_t i = 0; i < SPARE; i++)
		t->old[i] = &t->node[k->n + i];
	return 0;
}

static void destroy(struct lfht *t)
{
	struct cds_lfht_iter at;
	struct lfht_node *node;

	t->flavor->register_thread();
	t->flavor->read_lock();
	cds_lfht_for_each_entry(t->table, &at, node, link) cds_lfht_del(t->table, &node->link);
	t->flavor->read_unlock();
	t->flavor->unregister_thread();
	cds_lfht_destroy(t->table, NULL);
	free(t->node);
	free(t->old);
}

static void update(struct lfht *t, const struct lookup_keys *k, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct registry_key *key = &k->name[first + i];
		struct lfht_node **old = &t->old[t->replaced % SPARE];
		struct cds_lfht_node *was;

		if (t->replaced >= SPARE && t->replaced % (SPARE / 2) == 0)
			t->flavor->update_synchronize_rcu();
		fill(*old, key, ++t->replaced);
		t->flavor->read_lock();
		was = cds_lfht_add_replace(t->table, lookup_hash(key), match, key, &(*old)->link);
		*old = caa_container_of(was, struct lfht_node, link);
		t->flavor->read_unlock();
	}
	if (t->flavor->read_quiescent_state)
		t->flavor->read_quiescent_state();
}

static unsigned look(const struct lfht *t, const struct lookup_keys *k, uint32_t first)
{
	uint64_t sum = 0;
	unsigned found = 0;

	for (uint32_t i = 0; i < LOOKUP_BURST; i++) {
		const struct registry_key *key = &k->name[first + i];
		struct cds_lfht_iter at;

		cds_lfht_lookup(t->table, lookup_hash(key), match, key, &at);
		if (cds_lfht_iter_get_node(&at)) {
			sum += caa_container_of(cds_lfht_iter_get_node(&at), struct lfht_node, link)
				       ->value;
			found++;
		}
	}
	bench_keep(&sum);
	return found;
}

static int qsbr_build(const struct lookup_keys *k, const struct crew *crew, const char *scratch)
{
	(void)crew;
	(void)scratch;
	return build(&qsbr, &urcu_qsbr_flavor, k);
}

static int memb_build(const struct lookup_keys *k, const struct crew *crew, const char *scratch)
{
	(void)crew;
	(void)scratch;
	return build(&memb, &urcu_memb_flavor, k);
}

static void qsbr_destroy(void)
{
	destroy(&qsbr);
}

static void memb_destroy(void)
{
	destroy(&memb);
}

static int qsbr_begin(struct crew_member *m)
{
	(void)m;
	urcu_qsbr_register_thread();
	return 0;
}

static int memb_begin(struct crew_member *m)
{
	(void)m;
	urcu_memb_register_thread();
	return 0;
}

static void qsbr_end(struct crew_member *m)
{
	(void)m;
	urcu_qsbr_unregister_thread();
}

static void memb_end(struct crew_member *m)
{
	(void)m;
	urcu_memb_unregister_thread();
}

static void qsbr_update(const struct lookup_keys *k, uint32_t first, uint32_t count)
{
	update(&qsbr, k, first, count);
}

static void memb_update(const struct lookup_keys *k, uint32_t first, uint32_t count)
{
	update(&memb, k, first, count);
}

static unsigned qsbr_look(struct crew_member *m, const struct lookup_keys *k, uint32_t first)
{
	unsigned found = look(&qsbr, k, first);

	(void)m;
	urcu_qsbr_quiescent_state();
	return found;
}

static unsigned memb_look(struct crew_member *m, const struct lookup_keys *k, uint32_t first)
{
	unsigned found;

	(void)m;
	urcu_memb_read_lock();
	found = look(&memb, k, first);
	urcu_memb_read_unlock();
	return found;
}

const struct lookup_store store_lfht_qsbr = {.name = "liburcu lfht qsbr",
					     .build = qsbr_build,
					     .destroy = qsbr_destroy,
					     .begin = qsbr_begin,
					     .end = qsbr_end,
					     .update = qsbr_update,
					     .update_batch = 1};
const struct lookup_store store_lfht_memb = {.name = "liburcu lfht memb",
					     .build = memb_build,
					     .destroy = memb_destroy,
					     .begin = memb_begin,
					     .end = memb_end,
					     .update = memb_update,
					     .update_batch = 1};
const struct lookup_way way_lfht_qsbr = {"liburcu lfht qsbr", &store_lfht_qsbr, qsbr_look};
const struct lookup_way way_lfht_memb = {"liburcu lfht memb", &store_lfht_memb, memb_look};
