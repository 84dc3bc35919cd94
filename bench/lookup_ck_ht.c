/* SPDX-License-Identifier: BSD-3-Clause */
/* Concurrency Kit's hash table for one writer, with its epoch reclamation. */
#include <ck_epoch.h>
#include <ck_ht.h>
#include <ck_malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lookup.h"

/* Replaced objects are used again after this many updates, two grace periods among them. */
#define SPARE 65536u

struct ck_object {
	_Alignas(HAVEN_CACHE_LINE) struct registry_key key;
	uint64_t value;
};

static struct {
	ck_ht_t table;
	ck_epoch_t epoch;
	ck_epoch_record_t record[CREW_MAX];
	struct ck_object *object, **old;
	uint64_t replaced;
	bool writer_joined;
} ck;

static void *take(size_t bytes)
{
	return malloc(bytes);
}

static void give(void *p, size_t bytes, bool defer)
{
	(void)bytes;
	(void)defer;
	free(p);
}

static struct ck_malloc memory = {.malloc = take, .free = give};

static void hash_callback(ck_ht_hash_t *hash, const void *key, size_t length, uint64_t seed)
{
	(void)length;
	(void)seed;
	hash->value = lookup_hash(key);
}

static bool enter(struct ck_object *o, struct ck_object **was)
{
	ck_ht_hash_t hash = {.value = lookup_hash(&o->key)};
	ck_ht_entry_t entry;

	ck_ht_entry_set(&entry, hash, &o->key, sizeof(o->key), o);
	if (!ck_ht_set_spmc(&ck.table, hash, &entry))
		return false;
	*was = ck_ht_entry_empty(&entry) ? NULL : ck_ht_entry_value(&entry);
	return true;
}

static int build(const struct lookup_keys *k, const struct crew *crew, const char *scratch)
{
	(void)crew;
	(void)scratch;
	memset(&ck, 0, sizeof(ck));
	ck.object = aligned_alloc(HAVEN_CACHE_LINE, (k->n + (size_t)SPARE) * sizeof(*ck.object));
	ck.old = calloc(SPARE, sizeof(struct ck_object *));
	if (!ck.object || !ck.old ||
	    !ck_ht_init(&ck.table, CK_HT_MODE_BYTESTRING, hash_callback, &memory, k->n * 2, 0)) {
		fputs("haven-bench: no room for ck_ht\n", stderr);
		return 1;
	}
	ck_epoch_init(&ck.epoch);
	for (uint32_t i = 0; i < CREW_MAX; i++)
		ck_epoch_register(&ck.epoch, &ck.record[i], NULL);
	for (uint32_t i = 0; i < k->n; i++) {
		struct ck_object *was;

		lookup_name(&ck.object[i].key, i);
		ck.object[i].value = i;
		if (!enter(&ck.object[i], &was)) {
			fputs("haven-bench: ck_ht refuses a key\n", stderr);
			return 1;
		}
	}
	for (uint32_t i = 0; i < SPARE; i++)
		ck.old[i] = &ck.object[k->n + i];
	return 0;
}

static void destroy(void)
{
	ck_ht_destroy(&ck.table);
	free(ck.object);
	free(ck.old);
}

static void update(const struct lookup_keys *k, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct ck_object **old = &ck.old[ck.replaced % SPARE], *was;

		/* The last record is the writer's. */
		if (ck.replaced >= SPARE && ck.replaced % (SPARE / 2) == 0)
			ck_epoch_synchronize(&ck.record[CREW_MAX - 1]);
		(*old)->key = k->name[first + i];
		(*old)->value = ++ck.replaced;
		if (enter(*old, &was) && was)
			*old = was;
	}
}

static unsigned look(struct crew_member *m, const struct lookup_keys *k, uint32_t first)
{
	ck_epoch_record_t *record = &ck.record[m->number];
	uint64_t sum = 0;
	unsigned found = 0;

	ck_epoch_begin(record, NULL);
	for (uint32_t i = 0; i < LOOKUP_BURST; i++) {
		const struct registry_key *key = &k->name[first + i];
		ck_ht_hash_t hash = {.value = lookup_hash(key)};
		ck_ht_entry_t entry;

		ck_ht_entry_key_set(&entry, key, sizeof(*key));
		if (ck_ht_get_spmc(&ck.table, hash, &entry)) {
			sum += ((const struct ck_object *)ck_ht_entry_value(&entry))->value;
			found++;
		}
	}
	bench_keep(&sum);
	ck_epoch_end(record, NULL);
	return found;
}

const struct lookup_store store_ck_ht = {
	.name = "ck_ht", .build = build, .destroy = destroy, .update = update, .update_batch = 1};
const struct lookup_way way_ck_ht = {"ck_ht + ck_epoch", &store_ck_ht, look};
