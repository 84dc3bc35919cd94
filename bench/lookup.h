/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Look-up stores: the registry and its peers behind one shape, so that all are asked for the same
 * names in the same order and report a quiescent point (or end their section) after each burst.
 */
#ifndef HAVEN_LOOKUP_H
#define HAVEN_LOOKUP_H

#include <stdint.h>

#include "bench.h"
#include "bench_crew.h"
#include "registry.h"

/** Look-ups per burst: one section, or one quiescent report, each. */
#define LOOKUP_BURST 32u

/** Shared with forked readers. The first burst stands again behind the last name. */
struct lookup_keys {
	struct registry_key *name; /**< `n` names in random order: look-ups go through them */
	uint32_t *number;          /**< of each, in the order of insertion */
	uint64_t *handle;          /**< of the registry's component of each */
	uint32_t n;
};

struct lookup_store {
	const char *name;
	bool processes; /**< its readers are other processes */
	/** Writer's process, before readers begin: hold all keys. Returns 0, or 1 after telling
	 *  why. `scratch` is an empty folder that is removed when the readers have opened. */
	int (*build)(const struct lookup_keys *k, const struct crew *crew, const char *scratch);
	void (*destroy)(void);
	/** In the reader, once after build and before destroy: NULL if nothing is to be done. */
	int (*open)(struct crew_member *m);
	int (*close)(struct crew_member *m);
	/** In the reader, around each round. */
	int (*begin)(struct crew_member *m);
	void (*end)(struct crew_member *m);
	/** In the writer's thread, between begin and end: new values for `count` keys from `first`
	 *  on. */
	void (*update)(const struct lookup_keys *k, uint32_t first, uint32_t count);
	/** Updates that one call should bring together, 1 for most. */
	uint32_t update_batch;
};

/** One way of asking a store. */
struct lookup_way {
	const char *name;
	const struct lookup_store *store;
	/** A burst from key `first` on, then the quiescent point. Returns how many were found. */
	unsigned (*look)(struct crew_member *m, const struct lookup_keys *k, uint32_t first);
};

extern const struct lookup_store store_haven, store_lfht_qsbr, store_lfht_memb, store_rte_hash,
	store_ck_ht, store_lmdb;
extern const struct lookup_way way_haven_name, way_haven_bulk, way_haven_handle, way_lfht_qsbr,
	way_lfht_memb, way_rte_hash, way_rte_hash_bulk, way_ck_ht, way_lmdb, way_lmdb_each;

/** Room for `most` keys, shared with processes forked from now on. Returns 0 or 1 after telling. */
int lookup_keys_make(struct lookup_keys *k, uint32_t most);
/** Make the first `n` names and put them in random order, the same at every run. */
void lookup_keys_shuffle(struct lookup_keys *k, uint32_t n);
/** The name with this number, as everybody stores it. */
void lookup_name(struct registry_key *key, uint32_t number);
/** The hash that peers get which take one: the registry's own. */
static inline uint64_t lookup_hash(const void *key)
{
	uint64_t w[REGISTRY_NAME_WORDS];

	memcpy(w, key, sizeof(w));
	return hash_words4(w, 0x5eed);
}
/** Keys as the registry compares them. */
static inline bool lookup_equal(const void *a, const void *b)
{
	return registry_names_equal(a, b);
}
/** DPDK's environment, started once, without files left behind. Returns 0 or 1 after telling. */
int lookup_eal(void);

#endif
