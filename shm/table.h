/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Checkpoint segment: one mirrored table or region with its log lanes, in a sealed memfd made by
 * the application and mapped by its node.
 *
 * The key space is split among lanes: lane n holds what worker n put. A lane is a log (ring of
 * fixed-size records), a hash index (heads) and a pool of entries, and has exactly one writer:
 * the application's worker while the component is primary, the node (which applies what the mirror
 * brings) while it is not. The baton changes hands only on the word of both: the node publishes the
 * role, the worker confirms it (client_segment.h); a dead worker confirms through proof of death.
 *
 *     table_header | lane 0: lane_header, log, heads, entries | lane 1: … | …
 *
 * The geometry (struct table_geometry) is computed from the shape by both sides on their own; no
 * offset or size is ever read back from the segment. Indices read from it are checked against the
 * geometry before use, so the worst a hostile writer can do is spoil his own content.
 *
 * Readers are lock-free: an entry has a version word, odd while its writer changes it (T1).
 * Order of a put: log slot, entry (version odd, seq, key, value, version even), link (T2 release);
 * commit: store `committed_seq` (T3 release, pairs with the node's acquire T4).
 * Order of a delete: log slot, unlink, `unlinks` (T5 release), then the entry's seq 0. An entry
 * that left its chain may turn up in another one under a reader; the entry's version guards what is
 * read of it, and a miss counts only when `unlinks` is the same before and after the walk.
 *
 * A writer may die between any two stores. Until the lane is taken over, readers are told to try
 * again for the one key whose value it was at (EAGAIN); every other key is read as before. Who
 * takes the lane over (table_lane_begin()) finds out that something was under way: T6 `changing`
 * says so before a replica's first store and until after its last; a value that is about to be
 * replaced stands in the lane's spare record first. T7 A primary's record stands in the log, whole,
 * before anything of the entry changes, in the slot of a number that `next_seq` has not passed.
 * From these a torn value is written again, and what is in no chain is made free.
 *
 * A region is a table of blocks: its key is the block's number (4 bytes, little-endian), its value
 * the block, capacity the number of blocks. Blocks are split evenly among lanes in their order, and
 * each has its entry by its place: no chain, no free list, nothing is deleted. A block never
 * written has seq 0 and reads as zeros. `never_used` is raised (release) before a block's first
 * write, and that write, too, stands in the log or the spare record before it begins: a torn block
 * is always written again.
 *
 * In mode DIRTY a value that replaces another one is no record. It stands in the spare record while
 * it is written (T6), keeps the entry's seq, and the entry's bit is set in the lane's bitmap; the
 * latest values of such entries are logged when table_push() comes to them, in turn. What is new
 * and what is deleted is logged as ever, so the set of keys is exact at every commit; what a commit
 * shows of the other values is each one's state at some instant after its last push. The bits
 * belong to the lane's content: they outlast a loss of the role, go when the lane is cleared, and a
 * take-over that finds anything left behind sets them all.
 */
#ifndef HAVEN_TABLE_H
#define HAVEN_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomic.h"
#include "error.h"
#include "haven_assert.h"
#include "haven_types.h"

#define TABLE_MAGIC 0x6c62617476616831ull
#define TABLE_LAYOUT_VERSION 3u
#define TABLE_KEY_MAX 256u
#define TABLE_VALUE_MAX 1024u
#define TABLE_CAPACITY_MAX (64u << 20)
#define TABLE_LANE_RECORDS_DEFAULT 8192u
/** Records of one commit; a longer one is refused (EFULL), so that a receiver can stage it. */
#define TABLE_COMMIT_RECORDS_MAX 256u
/** Longest chain anybody walks. Heads are at least as many as entries and the hash is seeded, so a
 *  chain of a dozen is rare; a longer one than this was made by force. */
#define TABLE_CHAIN_MAX 256u

/** Blocks of a region are a multiple of this, and at least one of it. */
#define TABLE_BLOCK_UNIT 8u

enum table_kind { TABLE_KEYED = 0, TABLE_REGION, TABLE_KIND_COUNT };
enum table_mode { TABLE_MODE_LOG = 0, TABLE_MODE_DIRTY, TABLE_MODE_COUNT };

struct table_shape {
	char name[HAVEN_NAME_MAX];
	uint32_t key_bytes, value_bytes, capacity, lanes, lane_records;
	uint32_t kind; /**< enum table_kind */
	uint32_t mode; /**< enum table_mode */
};

/** All sizes and offsets that follow from a shape. Private to each side. */
struct table_geometry {
	struct table_shape shape;
	uint32_t record_bytes; /**< one log slot, a multiple of 8 */
	uint32_t entry_bytes;  /**< one pool entry, a multiple of 8 */
	uint32_t lane_entries; /**< pool entries of a lane: indices 1…lane_entries */
	uint32_t lane_heads;   /**< a power of two; of a region 0 */
	uint64_t log_offset, heads_offset, entries_offset; /**< within a lane */
	uint64_t dirty_offset; /**< within a lane; a bit for each entry, then one for each word of
				    these. Of mode LOG nothing stands there */
	uint64_t lane_bytes, total_bytes;
};

enum table_op { TABLE_OP_PUT = 1, TABLE_OP_DELETE = 2 };
#define TABLE_RECORD_COMMIT 1u /**< flag: last record of its commit */

/** Head of a log slot; key and value follow. Also the wire form's head, see mirror_io. */
struct table_record {
	uint64_t seq; /**< 1, 2, 3, … per lane, for the life of the instance's state */
	uint16_t op;  /**< enum table_op */
	uint16_t flags;
	uint32_t pad;
	uint8_t data[]; /**< key_bytes + value_bytes (value zero for a delete) */
};

/** Head of a pool entry; key and value follow. */
struct table_entry {
	uint32_t version; /**< odd while being changed */
	uint32_t next;    /**< entry index in chain or free list, 0: end */
	uint64_t seq;     /**< record that last changed it; 0: free */
	uint8_t data[];   /**< of a free entry: first the seq of the record that freed it */
};

/** What a lane's writer is at, beside what it logs. */
enum table_changing {
	TABLE_AT_REST = 0,
	TABLE_APPLYING, /**< a record of the mirror */
	TABLE_CLEARING, /**< nothing in the lane counts any more */
	TABLE_SETTLING  /**< a take-over: values are whole, the rest is made anew */
};

struct table_lane_header {
	uint64_t committed_seq; /**< records up to here are committed (or, on a replica, applied) */
	uint64_t next_seq;      /**< the writer's next record number */
	uint32_t free_head;     /**< first free entry, 0: none */
	uint32_t live;          /**< entries in use */
	uint32_t never_used;    /**< entries at and above this index were never used */
	uint32_t pad;
	uint64_t unlinks;   /**< grows whenever an entry has left a chain (T5) */
	uint32_t changing;  /**< enum table_changing (T6) */
	uint32_t dirty;     /**< entries whose value is newer than their record */
	uint32_t push_from; /**< the next push looks at this entry first */
	uint32_t pad2;
	uint64_t pad3;
};
HAVEN_STATIC_ASSERT(sizeof(struct table_lane_header) == HAVEN_CACHE_LINE, "one line");

struct table_header {
	uint64_t magic;
	uint32_t layout_version;
	uint32_t pad;
	uint64_t total_bytes;
	uint64_t hash_seed; /**< of this segment; replicas may differ */
	struct table_shape shape;
	uint32_t pad32;
	uint64_t pad2[19];
};

/** One side's view of a segment. */
struct table {
	struct table_geometry geometry;
	uint8_t *base;
	uint64_t hash_seed; /**< private copy */
};

/** Check a shape and compute its geometry. Errors: EINVAL with the field named. */
int table_geometry_make(const struct table_shape *shape, struct table_geometry *out,
			struct error_text *error);
/** Entries (blocks) that lane `lane`, which the table has, can hold. */
static inline uint32_t table_geometry_room(const struct table_geometry *g, unsigned lane)
{
	uint64_t before = (uint64_t)lane * g->lane_entries;

	if (g->shape.kind != TABLE_REGION)
		return g->lane_entries;
	if (before >= g->shape.capacity)
		return 0;
	return g->shape.capacity - before < g->lane_entries ? (uint32_t)(g->shape.capacity - before)
							    : g->lane_entries;
}
/** Application: make the sealed segment, formatted and empty. */
int table_create(struct table *t, const struct table_shape *shape, int *fd,
		 struct error_text *error);
/** Format plain memory of geometry.total_bytes as an empty table (tests, simulator). */
void table_format(struct table *t, const struct table_geometry *g, void *memory,
		  uint64_t hash_seed);
/** Node: check seals, size, magic, version and shape of a received descriptor, then map. */
int table_map(struct table *t, int fd, const struct table_shape *shape, struct error_text *error);
/** Tool: the same, to be read only: whoever stores there dies of it. */
int table_map_read(struct table *t, int fd, const struct table_shape *shape,
		   struct error_text *error);
void table_unmap(struct table *t);

/* ---- the lane's one writer ------------------------------------------------------------------ */

/** Empty the lane and continue after `committed_seq` (a replica before a transfer: the sequence at
 *  which the transfer starts). Its cost grows with the entries that were ever used. */
void table_lane_clear(struct table *t, unsigned lane, uint64_t committed_seq);
/** Take over the baton, from a living writer or a dead one: next_seq follows committed_seq;
 *  uncommitted remains are dropped from the log (a replica has none). What such remains left in the
 *  entries stays and counts as committed: it is in no log, so it reaches another replica by a
 *  transfer only. What a writer that died was at is there or not, but whole, and nothing of the
 * pool is lost. Killed itself, it may be called again. Without remains it costs one look. */
void table_lane_begin(struct table *t, unsigned lane);
/** Log and apply; in mode DIRTY what is there is changed and not logged. `consumed_seq`: log slots
 *  up to there may be overwritten. Errors: EFULL (pool, log or commit too long), ECORRUPT, EINVAL
 *  (no such lane). A refusal changes nothing. */
int table_put(struct table *t, unsigned lane, const void *key, const void *value,
	      uint64_t consumed_seq);
/** The same for a deletion. Errors: ENOENT besides; of a region: EINVAL. */
int table_delete(struct table *t, unsigned lane, const void *key, uint64_t consumed_seq);
/** Mode DIRTY: log the latest values of `max` entries at most, fewer when there is no room. No
 * entry is logged twice while another one waits. Returns how many; commit them. */
unsigned table_push(struct table *t, unsigned lane, unsigned max, uint64_t consumed_seq);
/** Records that may be logged now: room in the log and in the commit. */
uint64_t table_room(const struct table *t, unsigned lane, uint64_t consumed_seq);
/** Write `n` bytes of a region from byte `offset` on: a record for each block touched, all of one
 *  commit. Errors: EINVAL (no region, or bytes that are not the lane's), EFULL (log, commit). A
 *  refusal changes nothing. */
int table_region_write(struct table *t, unsigned lane, uint64_t offset, const void *bytes,
		       uint64_t n, uint64_t consumed_seq);
/** Commit what was logged; returns committed_seq (the old one when nothing was). */
uint64_t table_commit(struct table *t, unsigned lane);
/** Replica: apply one record as it came; the caller applies whole commits and then calls
 *  table_applied(). The last writer wins by seq: a record whose seq is not above that of the key's
 *  entry is ignored. Deleting what is not there is no error. Errors: EFULL, ECORRUPT, EINVAL. */
int table_apply(struct table *t, unsigned lane, enum table_op op, uint64_t seq, const void *key,
		const void *value);
/** Replica: everything up to `seq` is applied. */
void table_applied(struct table *t, unsigned lane, uint64_t seq);

/* ---- readers (any process) ------------------------------------------------------------------ */

/** Copy a value out. Errors: ENOENT, EAGAIN (too many changes under the reader), EINVAL (no such
 *  lane, or no block of it). */
int table_get(const struct table *t, unsigned lane, const void *key, void *value);
/** Copy `n` bytes of a region from byte `offset` on, each block untorn. Errors: EINVAL, EAGAIN. */
int table_region_read(const struct table *t, uint64_t offset, void *out, uint64_t n);
/** Bytes `*offset` … `*offset` + `*bytes` - 1 are the lane's to write; 0 bytes: none, or no region.
 */
void table_region_span(const struct table *t, unsigned lane, uint64_t *offset, uint64_t *bytes);
/** May a record with this op and key be the lane's? True for every key of a table. */
bool table_takes(const struct table *t, unsigned lane, enum table_op op, const void *key);
uint64_t table_committed(const struct table *t, unsigned lane); /* acquire, T4 */
/** Entries that wait for table_push(). */
uint32_t table_dirty(const struct table *t, unsigned lane);
/** Number of the writer's next record: every change that a reader saw before this call belongs to a
 *  record below it, or to this one when an entry was seen half changed. */
uint64_t table_next(const struct table *t, unsigned lane);
uint32_t table_live(const struct table *t, unsigned lane);
/** Node: copy record `seq` (seq, op, flags, data: record_bytes long) out of the log. Errors:
 *  ECORRUPT when the slot does not hold that record. Call only for seq in
 *  (consumed, committed]. */
int table_read_record(const struct table *t, unsigned lane, uint64_t seq, struct table_record *out);
/** Copy entry `index` (1…lane_entries) if live: its seq and data. Returns 0, -HAVEN_ENOENT when
 * free
 *  (`*seq` is then the record that freed it, 0 if it was never used), -HAVEN_EAGAIN when it changed
 *  under the reader. */
int table_read_entry(const struct table *t, unsigned lane, uint32_t index, uint64_t *seq,
		     void *data);
/** Indices at and above this were never used: the end of a scan. Clamped to the geometry. Whoever
 *  wants every entry of a commit reads it after table_committed(). */
uint32_t table_scan_end(const struct table *t, unsigned lane);
/** As table_read_entry(), but in mode DIRTY -HAVEN_EAGAIN, too, when the value is newer than the
 *  record that `*seq` names. */
int table_read_settled(const struct table *t, unsigned lane, uint32_t index, uint64_t *seq,
		       void *data);
/** Entries in use when exactly the records up to `committed_seq` were applied; false when the
 *  writer was beyond that, or at the next record. */
bool table_live_at(const struct table *t, unsigned lane, uint64_t committed_seq, uint32_t *live);
/** The lane's writer alone: what a look-up of the key finds, as table_read_entry() tells it.
 *  Errors: ENOENT, EAGAIN (left half written), EINVAL. */
int table_find(const struct table *t, unsigned lane, const void *key, uint64_t *seq, void *data);
/** Digest of an entry's key and value, `data` as the functions above give it. */
uint64_t table_entry_digest(const struct table *t, const void *data);
/** Content digest of a lane, independent of order and place: for tests and verification. */
uint64_t table_digest(const struct table *t, unsigned lane);

#endif
