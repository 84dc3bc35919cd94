/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK's hash in its lock-free mode with rte_rcu_qsbr. Half full at most, so that keys stand in
 * their first bucket.
 */
#include <rte_hash.h>
#include <rte_rcu_qsbr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eal.h"
#include "lookup.h"

#define MEMORY_MB 512

static struct {
	struct rte_hash *hash;
	struct rte_rcu_qsbr *qsbr;
	uint64_t updates;
} table;

int lookup_eal(void)
{
	struct eal_options options = {.prefix = "haven-bench", .memory_mb = MEMORY_MB};
	struct error_text text;
	char scratch[64];
	int status;

	if (eal_running())
		return 0;
	if (bench_scratch_make(scratch, sizeof(scratch)))
		return 1;
	options.runtime_dir = scratch;
	status = eal_start(&options, &text);
	bench_scratch_remove(scratch); /* no second process will look for its files */
	if (status)
		fprintf(stderr, "haven-bench: %s\n", text.text);
	return status ? 1 : 0;
}

static void *as_data(uint64_t value)
{
	void *data;

	memcpy(&data, &value, sizeof(data));
	return data;
}

static int rcu_make(void)
{
	struct rte_hash_rcu_config rcu = {.mode = RTE_HASH_QSBR_MODE_DQ};
	size_t bytes = rte_rcu_qsbr_get_memsize(CREW_MAX);

	bytes = (bytes + HAVEN_CACHE_LINE - 1) / HAVEN_CACHE_LINE * HAVEN_CACHE_LINE;
	table.qsbr = aligned_alloc(HAVEN_CACHE_LINE, bytes);
	if (!table.qsbr || rte_rcu_qsbr_init(table.qsbr, CREW_MAX) != 0)
		return 1;
	rcu.v = table.qsbr;
	return rte_hash_rcu_qsbr_add(table.hash, &rcu) != 0;
}

static int build(const struct lookup_keys *k, const struct crew *crew, const char *scratch)
{
	struct rte_hash_parameters p = {.name = "bench",
					.entries = 1,
					.key_len = sizeof(struct registry_key),
					.socket_id = SOCKET_ID_ANY,
					.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF};

	(void)crew;
	(void)scratch;
	if (lookup_eal())
		return 1;
	while (p.entries < k->n + k->n / 2)
		p.entries *= 2;
	table.hash = rte_hash_create(&p);
	if (!table.hash || rcu_make()) {
		fputs("haven-bench: rte_hash does not start\n", stderr);
		return 1;
	}
	for (uint32_t i = 0; i < k->n; i++) {
		struct registry_key key;

		lookup_name(&key, i);
		if (rte_hash_add_key_data(table.hash, &key, as_data(i))) {
			fputs("haven-bench: rte_hash is full\n", stderr);
			return 1;
		}
	}
	return 0;
}

static void destroy(void)
{
	rte_hash_free(table.hash);
	free(table.qsbr);
}

static int begin(struct crew_member *m)
{
	if (rte_rcu_qsbr_thread_register(table.qsbr, m->number))
		return 1;
	rte_rcu_qsbr_thread_online(table.qsbr, m->number);
	return 0;
}

static void end(struct crew_member *m)
{
	rte_rcu_qsbr_thread_offline(table.qsbr, m->number);
	rte_rcu_qsbr_thread_unregister(table.qsbr, m->number);
}

static void update(const struct lookup_keys *k, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		rte_hash_add_key_data(table.hash, &k->name[first + i], as_data(++table.updates));
}

static unsigned look(struct crew_member *m, const struct lookup_keys *k, uint32_t first)
{
	uint64_t sum = 0;
	unsigned found = 0;

	for (uint32_t i = 0; i < LOOKUP_BURST; i++) {
		void *data;

		if (rte_hash_lookup_data(table.hash, &k->name[first + i], &data) >= 0) {
			sum += (uintptr_t)data;
			found++;
		}
	}
	bench_keep(&sum);
	rte_rcu_qsbr_quiescent(table.qsbr, m->number);
	return found;
}

static unsigned look_bulk(struct crew_member *m, const struct lookup_keys *k, uint32_t first)
{
	const void *key[LOOKUP_BURST];
	void *data[LOOKUP_BURST];
	uint64_t hits = 0;
	int found;

	for (uint32_t i = 0; i < LOOKUP_BURST; i++)
		key[i] = &k->name[first + i];
	found = rte_hash_lookup_bulk_data(table.hash, key, LOOKUP_BURST, &hits, data);
	bench_keep(data);
	rte_rcu_qsbr_quiescent(table.qsbr, m->number);
	return found < 0 ? 0 : (unsigned)found;
}

const struct lookup_store store_rte_hash = {.name = "DPDK rte_hash",
					    .build = build,
					    .destroy = destroy,
					    .begin = begin,
					    .end = end,
					    .update = update,
					    .update_batch = 1};
const struct lookup_way way_rte_hash = {"DPDK rte_hash", &store_rte_hash, look};
const struct lookup_way way_rte_hash_bulk = {"DPDK rte_hash bulk of 32", &store_rte_hash,
					     look_bulk};
