/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A checkpoint in a file: `havenctl checkpoint snapshot` writes it, `verify` reads it, and the
 * primary's application puts it back (haven_restore_step()).
 *
 *     head (512 bytes) | block | block | …        numbers little-endian
 *     block: lane, entries, bytes, CRC-32C of these and of what follows | entries: key, value
 *
 * A block holds entries of one lane. The head carries the CRC of itself and that of all blocks, and
 * how long the file is; so a file that is cut short, or has a bit flipped anywhere, is told.
 *
 * Consistency. A snapshot may be taken beside a writer. Each entry is whole. For each lane the head
 * says `from` and `to`: every record up to `from` is in it or was overtaken by a later one, and
 * nothing of a record after `to` is in it; all up to `to` are committed. Of a key that was changed
 * between these two it has one of the states that the key went through. With nobody writing the two
 * are equal, and the file is the table.
 *
 * The file appears under its name whole or not at all: it is written aside, brought to the disk,
 * and renamed. Any one thread; nothing here is for a packet loop.
 */
#ifndef HAVEN_SNAPSHOT_H
#define HAVEN_SNAPSHOT_H

#include <stdint.h>

#include "error.h"
#include "haven_types.h"
#include "table.h"

#define SNAPSHOT_MAGIC 0x31706e736e766168ull /* "havnsnp1" */
#define SNAPSHOT_VERSION 1u
#define SNAPSHOT_HEAD_BYTES 512u
#define SNAPSHOT_BLOCK_HEAD_BYTES 16u
/** Entries of one block take at most this. */
#define SNAPSHOT_BLOCK_BYTES 65536u

/** Where a snapshot is from. Texts are copied. */
struct snapshot_origin {
	char cluster[HAVEN_NAME_MAX], node[HAVEN_NAME_MAX];
	char component[HAVEN_NAME_MAX], instance[HAVEN_NAME_MAX];
	uint64_t epoch;
	uint64_t taken_wall_ns;
	uint32_t format; /**< version of the application's values, as its component declared it */
};

struct snapshot_lane {
	uint64_t from, to; /**< records, see above */
	uint64_t entries;  /**< in the file */
};

struct snapshot_head {
	struct snapshot_origin origin;
	struct table_shape shape;
	uint64_t total_bytes, entries;
	uint32_t blocks, data_crc;
	struct snapshot_lane lane[HAVEN_WORKERS_MAX];
};

/**
 * Write all of `t` to the file `path`, which is replaced if there is one. `patience_ns`: how long
 * to wait for one entry that changes again and again, and for a commit to be ended. Errors: EAGAIN
 * (that long and no end: the writer is stopped or died there), EPERM, ENOENT (its directory), EFULL
 * (no room on the disk), ENOMEM, ESYS; then `path` is as it was.
 */
int snapshot_write(const char *path, const struct table *t, const struct snapshot_origin *origin,
		   uint64_t patience_ns, struct snapshot_head *out, struct error_text *error);

/** A snapshot file being read. */
struct snapshot {
	struct snapshot_head head;      /**< checked */
	struct table_geometry geometry; /**< that follows from its shape */
	int fd;                         /**< the caller's */
	char what[96];                  /**< its name, for sentences */
	uint64_t offset;                /**< of the next block */
	uint32_t blocks, crc;           /**< read so far */
	uint64_t entries[HAVEN_WORKERS_MAX];
	uint8_t *block;
};

/** Entries of one block: key and value, `n` times, packed. Valid until the next call. */
struct snapshot_entries {
	unsigned lane;
	uint32_t n;
	const uint8_t *data;
};

/** Check length and head. `what` names it in sentences. Errors: ECORRUPT (no snapshot, a wrong CRC,
 *  an impossible shape), EVERSION, ESIZE (cut short), EINVAL (no file), ENOMEM, ESYS. */
int snapshot_open(struct snapshot *s, int fd, const char *what, struct error_text *error);
/** The next block, checked: 1; 0 at the end, when all of the file was found good. Errors: ECORRUPT,
 *  ESIZE, ESYS. */
int snapshot_next(struct snapshot *s, struct snapshot_entries *out, struct error_text *error);
void snapshot_close(struct snapshot *s);
/** Can it be put into a checkpoint of this shape? Name, kind, lanes, key and value sizes are the
 *  same; so are the blocks of a region; a table has room. Errors: EINVAL, which names what differs.
 */
int snapshot_fits(const struct snapshot_head *head, const struct table_shape *shape,
		  struct error_text *error);

#endif
