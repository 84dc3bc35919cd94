/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Glue between the lanes of a table and the payloads of mirror frames. No DPDK; the simulator uses
 * it too.
 *
 * Wire form of a record: seq (8), op (1), flags (1), key, value; integers little-endian. A payload
 * of RECORDS is a run of records without a gap. A payload of ENTRIES is a set of live entries, each
 * as a put, which may be followed by a *floor* (8).
 *
 * The fuzzy transfer. A session starts at the holder's committed sequence S. Then the table is
 * scanned while it changes, and the records S+1, S+2, … are sent among the entries, in one order of
 * frames that the receiver keeps. A payload of ENTRIES is filled (again, if it is resent) when it
 * is sent, so it shows the table at that moment: later than every record sent before it.
 *
 *   * An entry changed by a record above the receiver's position is of no use to him, because that
 *     record follows; he leaves it out. (He would need a place for it that his table may not have.)
 *     For the same reason the sender leaves out what was not committed when he began to look.
 *   * But the entry's former value is then missing on the replica, and a key deleted so late is
 *     missing altogether: the replica is *whole* only from the position on at which all changes
 *     that the scan has seen are applied. That position is the floor: the greatest seq among the
 *     looked-at entries, free ones included (they keep the seq that freed them). It may lie above
 *     what is committed; then the replica waits for that commit, as it must.
 *   * While it is not whole, a replica reports one record less than it has applied. Let C be the
 *     committed sequence at the last look: a floor above C belongs to the commit that follows C, so
 *     a replica that is not whole has applied C at most and reports less. A holder whose MIRROR_END
 *     names a committed sequence read after that look, and who takes a secondary as in sync only
 *     when an acknowledgement of *that* frame shows a position at or above it, never takes an
 *     incomplete one.
 */
#ifndef HAVEN_MIRROR_IO_H
#define HAVEN_MIRROR_IO_H

#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "table.h"

/** Records that a warm standby's lane keeps at most. */
#define MIRROR_KEEP_MAX (1u << 20)

/** A lane's commits in the making: records come across frames. Owned by the node. */
struct mirror_stage {
	uint32_t n;            /**< records staged */
	uint32_t record_bytes; /**< of one, in wire form */
	uint8_t *records;      /**< room for TABLE_COMMIT_RECORDS_MAX */
	uint64_t applied;      /**< last record of the last whole commit applied, or kept to be */
	uint64_t floor;        /**< the replica is whole from here on */
	uint64_t in_table;     /**< applied to the table; of a hot standby as `applied` */
	/* warm standby: records in_table+1 … applied, in wire form, record s in slot s modulo
	 * `log_records` */
	uint32_t log_records; /**< 0: hot */
	uint8_t *log;
};

/** Wire size of one record or entry. */
uint32_t mirror_io_record_bytes(const struct table_geometry *g);
/** Digest over what both sides must have alike: name, kind, mode, key, value, lanes, capacity. */
uint32_t mirror_io_shape_digest(const struct table_shape *s);

/** Records first … first+count-1 of a lane, all committed and not yet consumed. Returns the number
 *  of bytes, or -HAVEN_ESIZE (does not fit), -HAVEN_ECORRUPT (the log does not hold them). */
int mirror_io_fill_records(const struct table *t, unsigned lane, uint64_t first, uint32_t count,
			   uint8_t *out, size_t room);
/** Live entries among indices first … first+count-1, and the floor if the entries do not show it.
 *  Never needs more than `count` records' bytes. Returns the number of bytes, 0 when there is
 *  nothing to tell, -HAVEN_ESIZE, or, in mode DIRTY, -HAVEN_EAGAIN: an entry would not stand still;
 *  the frame counts as lost and is filled again. */
int mirror_io_fill_entries(const struct table *t, unsigned lane, uint32_t first, uint32_t count,
			   uint8_t *out, size_t room);

/** Errors: ENOMEM. */
int mirror_stage_init(struct mirror_stage *s, const struct table_geometry *g);
void mirror_stage_free(struct mirror_stage *s);
/**
 * Make it a warm standby's: a commit of up to `records` (1 and more) is kept in a log, counts as
 * applied, and is applied later, in order: by mirror_io_drain(), or when the log has no room.
 * Errors: ENOMEM.
 */
int mirror_stage_keep(struct mirror_stage *s, uint32_t records);
/** Records kept that wait to be applied. */
static inline uint64_t mirror_stage_waiting(const struct mirror_stage *s)
{
	return s->applied - s->in_table;
}
/** True when the table, as far as it is applied, is what the holder's was there. */
static inline bool mirror_stage_comparable(const struct mirror_stage *s)
{
	return s->in_table >= s->floor;
}
/** Keep the staged commit, which is complete; what is in its way is applied. Errors: as
 *  mirror_io_drain(). */
int mirror_stage_store(struct table *t, unsigned lane, struct mirror_stage *s);
/** Apply whole commits that wait, until at least `records` are or none is left. Before the table
 *  changes hands, call it until nothing waits. Errors: ECORRUPT, EFULL (the table is not what it
 *  was made to be): the copy is lost. */
int mirror_io_drain(struct table *t, unsigned lane, struct mirror_stage *s, uint64_t records);

/** Empty the replica of a lane for a session that starts after `committed_seq`. */
void mirror_io_reset(struct table *t, unsigned lane, struct mirror_stage *s,
		     uint64_t committed_seq);
/**
 * Apply a payload. RECORDS are staged until their commit is complete and then applied as one;
 * what is known already is skipped. ENTRIES are put in at once. START and END carry nothing.
 * `*applied_seq` (always set) is the position to acknowledge: the last commit applied or kept, one
 * less while the replica is not whole (but never below 0: an empty replica is whole at 0).
 *
 * Errors: ECORRUPT (malformed, or a gap: nothing of the payload is applied), EFULL (the commit does
 * not fit: nothing of it is applied), ECORRUPT and EINVAL from the table.
 */
int mirror_io_apply(struct table *t, unsigned lane, struct mirror_stage *s, enum mirror_kind kind,
		    const uint8_t *payload, size_t bytes, uint64_t *applied_seq);

#endif
