/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Node side of the index. The node keeps its own copy, entry for entry, with slots in the place of
 * places; it searches there and stores the same change in the mapped one.
 *
 *   I1  An entry's place is stored with release after its tag and after the object it shows is
 *       whole. Entries never move, so a name that is there all the time is found all the time.
 *   I2  `overflow` is raised in every bucket that a name passes before the name is entered behind
 *       them, and lowered after it was taken out. It is too high at worst (a node that died in
 *       between), which costs a look at one more line.
 */
#include "registry_inner.h"

static uint32_t bucket_of(uint32_t entry)
{
	return entry / REGISTRY_BUCKET_ENTRIES;
}

static struct registry_key key_of(const struct registry_hot *hot)
{
	struct registry_key key;

	memcpy(key.text, hot->name, sizeof(key.text));
	return key;
}

uint32_t registry_index_seek(const struct registry *r, const struct registry_key *key)
{
	const struct registry_writer *w = r->writer;
	uint64_t hash = registry_hash(r, key);

	/* Who seeks is about to add: the mapped bucket comes while we look at our own. */
	registry_fetch(&r->index[hash & r->bucket_mask]);
	for (uint32_t i = 0; i <= r->bucket_mask; i++) {
		const struct registry_bucket *b = &w->index[(hash + i) & r->bucket_mask];
		uint32_t match = registry_tags(b, registry_tag(hash));

		for (; match; match &= match - 1) {
			uint32_t slot = b->place[__builtin_ctz(match)] - 1;

			if (slot != REGISTRY_NONE &&
			    registry_names_equal(w->slot[slot].own.name, key->text))
				return slot;
		}
		if (b->overflow == 0)
			break;
	}
	return REGISTRY_NONE;
}

/** Number of an empty entry, REGISTRY_BUCKET_ENTRIES: full. */
static uint32_t empty_entry(const struct registry_bucket *b)
{
	uint32_t i = 0;

	while (i < REGISTRY_BUCKET_ENTRIES && b->place[i])
		i++;
	return i;
}

static void overflow_add(struct registry *r, uint32_t bucket, uint32_t by)
{
	uint32_t now = r->writer->index[bucket].overflow += by;

	store_release(&r->index[bucket].overflow, now); /* I2 */
}

void registry_index_add(struct registry *r, const struct registry_key *key, uint32_t slot,
			uint32_t place)
{
	struct registry_writer *w = r->writer;
	uint64_t hash = registry_hash(r, key);
	uint32_t at = (uint32_t)hash & r->bucket_mask, i;

	/* There are at least twice as many entries as components. */
	for (; (i = empty_entry(&w->index[at])) == REGISTRY_BUCKET_ENTRIES;
	     at = (at + 1) & r->bucket_mask)
		overflow_add(r, at, 1);
	w->entry[slot] = at * REGISTRY_BUCKET_ENTRIES + i;
	w->index[at].tag[i] = registry_tag(hash);
	w->index[at].place[i] = slot + 1;
	store_relaxed(&r->index[at].tag[i], registry_tag(hash));
	store_release(&r->index[at].place[i], place + 1); /* I1 */
}

void registry_index_fetch(const struct registry *r, uint32_t slot, bool entry_too)
{
	uint32_t bucket;

	if (slot >= r->components)
		return;
	bucket = bucket_of(r->writer->entry[slot]);
	registry_fetch(&r->directory[slot]);
	registry_fetch(&r->index[bucket]);
	if (entry_too)
		registry_fetch(&r->writer->index[bucket]);
}

void registry_index_show(struct registry *r, uint32_t slot, uint32_t place)
{
	uint32_t entry = r->writer->entry[slot];

	store_release(&r->index[bucket_of(entry)].place[entry % REGISTRY_BUCKET_ENTRIES],
		      place + 1); /* I1 */
}

void registry_index_remove(struct registry *r, uint32_t slot)
{
	struct registry_writer *w = r->writer;
	struct registry_key key = key_of(&w->slot[slot].own);
	uint32_t entry = w->entry[slot], bucket = bucket_of(entry);
	uint32_t at = (uint32_t)registry_hash(r, &key) & r->bucket_mask;

	w->index[bucket].place[entry % REGISTRY_BUCKET_ENTRIES] = 0;
	store_release(&r->index[bucket].place[entry % REGISTRY_BUCKET_ENTRIES], 0);
	for (; at != bucket; at = (at + 1) & r->bucket_mask)
		overflow_add(r, at, UINT32_MAX); /* one less */
}
