/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The hot path of the registry: look-up by name and by handle, without a call. Included by
 * registry.h, which says who may use it and when.
 *
 * A look-up by name touches one line of the index and one hot line, by handle one line of the
 * directory and one hot line; more only for names whose bucket was full and for tags that are alike
 * by chance (1 in 65536 entries looked at). Whatever the mapped words say, no place outside the
 * mapping is touched and every loop ends.
 */
#ifndef HAVEN_REGISTRY_LOOK_H
#define HAVEN_REGISTRY_LOOK_H

#include <stdbool.h>

#include "hash.h"
#include "registry_layout.h"

#if defined(__SANITIZE_THREAD__)
#define REGISTRY_PLAIN_TAGS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define REGISTRY_PLAIN_TAGS 1
#endif
#endif
#if defined(__SSE2__) && !defined(REGISTRY_PLAIN_TAGS)
#include <emmintrin.h>
#define REGISTRY_SSE2_TAGS 1
#endif

struct event_ring;
struct broadcast;
struct registry_writer;

/** A mapping of the registry. `base` is writable only in the node. The sizes are private copies,
 *  checked when it was mapped; the mapped words are never trusted again. */
struct registry {
	/* what look-ups need, in one line */
	_Alignas(HAVEN_CACHE_LINE) struct registry_bucket *index;
	struct registry_hot *hot;
	uint32_t *directory; /**< place of the object per slot + 1, 0: none (C1) */
	struct registry_cold *cold;
	uint64_t hash_seed;
	uint32_t bucket_mask;
	uint32_t components; /**< slots of the directory */
	uint32_t objects;    /**< places */
	int fd;              /**< node: read-only descriptor to pass to clients; -1 in readers */
	struct registry_header *header;
	struct registry_status *status;
	struct registry_gate *gates;
	struct registry_lane *lanes;
	struct registry_checkpoint *checkpoints; /**< one per lane line */
	struct registry_client *clients;         /**< one line each for attached applications */
	struct event_ring *events;
	struct broadcast *watch; /**< the ring of changes */
	uint8_t *counters;       /**< shape.counters_bytes of them */
	struct registry_shape shape;
	uint8_t *base;
	uint64_t size_bytes;
	bool writable;
	struct registry_writer *writer; /**< node only: its own books */
};

/** Name as a key: padded with zeros to 32 bytes, so that hashing and comparing are of fixed size.
 *  Set by registry_key_set(). */
struct registry_key {
	_Alignas(16) char text[HAVEN_NAME_MAX];
};

/** Names are compared and objects are copied as words; atomic, for readers without a slot. */
typedef uint64_t registry_word __attribute__((may_alias));
#define REGISTRY_NAME_WORDS (HAVEN_NAME_MAX / 8)

static inline uint64_t registry_hash(const struct registry *r, const struct registry_key *key)
{
	uint64_t w[REGISTRY_NAME_WORDS];

	memcpy(w, key->text, sizeof(w));
	return hash_words4(w, r->hash_seed);
}

static inline uint16_t registry_tag(uint64_t hash)
{
	return (uint16_t)(hash >> 48);
}

/** Bit per entry of the bucket whose tag is this one. */
static inline uint32_t registry_tags(const struct registry_bucket *b, uint16_t tag)
{
#if defined(REGISTRY_SSE2_TAGS)
	const __m128i want = _mm_set1_epi16((short)tag);
	const __m128i *line = (const __m128i *)(const void *)b;
	__m128i low = _mm_cmpeq_epi16(_mm_load_si128(line), want);
	__m128i high = _mm_cmpeq_epi16(_mm_load_si128(line + 1), want);

	return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high)) &
	       ((1u << REGISTRY_BUCKET_ENTRIES) - 1);
#else
	uint32_t match = 0;

	for (uint32_t i = 0; i < REGISTRY_BUCKET_ENTRIES; i++)
		match |= (uint32_t)(load_relaxed(&b->tag[i]) == tag) << i;
	return match;
#endif
}

static inline bool registry_names_equal(const char *a, const char *b)
{
	const registry_word *x = (const registry_word *)(const void *)a;
	const registry_word *y = (const registry_word *)(const void *)b;

	return ((load_relaxed(&x[0]) ^ y[0]) | (load_relaxed(&x[1]) ^ y[1]) |
		(load_relaxed(&x[2]) ^ y[2]) | (load_relaxed(&x[3]) ^ y[3])) == 0;
}

/** The object of that name among the entries `match` of a bucket, NULL: none. */
static inline const struct registry_hot *registry_bucket_find(const struct registry *r,
							      const struct registry_bucket *b,
							      uint32_t match,
							      const struct registry_key *key)
{
	for (; match; match &= match - 1) {
		/* acquire: pairs with I1, the object is whole. */
		uint32_t place = load_acquire(&b->place[__builtin_ctz(match)]) - 1;

		if (__builtin_expect(place < r->objects, 1) &&
		    registry_names_equal(r->hot[place].name, key->text))
			return &r->hot[place];
	}
	return NULL;
}

/** Look-up by name, inside an RCU section. NULL: none. */
static inline const struct registry_hot *registry_find_key(const struct registry *r,
							   const struct registry_key *key)
{
	uint64_t hash = registry_hash(r, key);

	for (uint32_t i = 0; i <= r->bucket_mask; i++) {
		const struct registry_bucket *b = &r->index[(hash + i) & r->bucket_mask];
		const struct registry_hot *hot =
			registry_bucket_find(r, b, registry_tags(b, registry_tag(hash)), key);

		if (__builtin_expect(hot != NULL, 1))
			return hot;
		if (load_relaxed(&b->overflow) == 0)
			return NULL;
	}
	return NULL;
}

static inline uint32_t registry_slot_of(uint64_t handle)
{
	return (uint32_t)(handle & (REGISTRY_COMPONENTS_LIMIT - 1));
}

/** Place of the object that a slot shows, REGISTRY_NONE: none (or a number that is no place). */
static inline uint32_t registry_place_of(const struct registry *r, uint32_t slot)
{
	uint32_t place = load_acquire(&r->directory[slot]) - 1; /* C1 */

	return place < r->objects ? place : REGISTRY_NONE;
}

/** Look-up by handle, inside an RCU section. NULL: stale. */
static inline const struct registry_hot *registry_get(const struct registry *r, uint64_t handle)
{
	uint32_t slot = registry_slot_of(handle), place;

	if (slot >= r->components)
		return NULL;
	place = registry_place_of(r, slot);
	if (place == REGISTRY_NONE || load_relaxed(&r->hot[place].handle) != handle)
		return NULL;
	return &r->hot[place];
}

/** Cold part of an object that was found in this registry, in the same RCU section. */
static inline const struct registry_cold *registry_cold_of(const struct registry *r,
							   const struct registry_hot *hot)
{
	return &r->cold[hot - r->hot];
}

/** Number of changes ever made to components. Who loads it before he looks something up and finds
 *  it the same later, knows that what he found still stands; inside one life of a reader slot he
 *  may even go on using the object (W2 in registry_update.c). */
static inline uint64_t registry_changes(const struct registry *r)
{
	return load_acquire(&r->header->changes); /* W1 */
}

#endif
