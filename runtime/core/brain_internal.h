/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * State of a brain and the seams between its files:
 *   brain.c         step, time, frames in, beats out
 *   brain_agree.c   planning, proposing, committing views
 *   brain_role.c    roles, leases, releases, switchover
 *   brain_mirror.c  sessions, acknowledgements, replicas
 *   brain_flight.c  how many frames may be on their way, and on which links
 *   brain_copies.c  what a new view means for the copies
 *   brain_digest.c  copies compared block by block
 *   brain_fence.c   the vote of a node that was proven dead from outside
 *   brain_leave.c   an orderly end
 *   brain_config.c  nodes that are configured otherwise
 *   brain_clock.c   a clock that cannot be trusted
 */
#ifndef HAVEN_BRAIN_INTERNAL_H
#define HAVEN_BRAIN_INTERNAL_H

#include "agree.h"
#include "brain.h"
#include "haven_assert.h"
#include "lease.h"
#include "mirror_rx.h"
#include "mirror_tx.h"
#include "peer.h"
#include "plan.h"

/** Secondaries one lane is mirrored to at the same time. */
#define BRAIN_SESSIONS 6u
/** Mirror frames made in one step. */
#define BRAIN_MIRROR_BUDGET 32u

struct brain_slot {
	bool open;
	bool reported; /**< holder: the caller has told committed and scan end since promotion */
	struct mirror_stream stream;
	uint32_t shape;
	uint32_t per_frame; /**< records that fit one frame */
	uint32_t digests;   /**< entries of one block, 0: never compared */
	uint32_t lane_records;
	uint64_t committed; /**< as reported by the caller */
	uint32_t scan_end;
	uint64_t acked, consumed; /**< as last told to the caller */
	struct mirror_rx rx;
	struct mirror_tx tx[BRAIN_SESSIONS];
};

/** Mirror frames on their way to one node. */
struct brain_flight {
	uint32_t now, most; /**< as counted in this step; so many there may be */
	uint32_t timeouts;  /**< nothing was acknowledged: each time another link is tried */
};

/** Copies compared in the background. */
struct brain_digest {
	uint64_t next_ns;                                 /**< no block before this instant */
	uint32_t cursor;                                  /**< session whose turn it is */
	uint32_t first[BRAIN_SLOTS_MAX * BRAIN_SESSIONS]; /**< entry each of them begins with */
	/* on a secondary, by instance */
	uint64_t wrong_seq[HAVEN_INSTANCES_MAX];      /**< record of the newest difference */
	uint64_t quiet_until_ns[HAVEN_INSTANCES_MAX]; /**< nothing is compared before */
	uint8_t repeats[HAVEN_INSTANCES_MAX];         /**< the same difference, after a transfer */
};

/** Why an instance's gate is being shut here, REASON_NONE: it is not. */
struct brain_closing {
	uint8_t reason;  /**< enum brain_reason */
	bool shut;       /**< the caller has confirmed */
	uint32_t number; /**< of the closing: a confirmation of one before it counts for nothing */
	uint64_t since_ns;
};

struct brain {
	struct brain_config config;
	struct agree_config agree_config;
	uint64_t incarnation, floor;
	uint64_t config_digest;            /**< brain_config_digest() of `config` */
	uint64_t differs[HAVEN_NODES_MAX]; /**< digest of a peer that was told to differ */
	uint64_t differs_ns; /**< when a beat with another digest was last heard, 0: never */
	uint64_t start_ns, now, run, last_tick_ns;
	uint64_t turn; /**< ticks at distinct instants */

	struct peer peer[HAVEN_NODES_MAX];
	struct peer_terms peer_terms;
	struct lease lease;
	struct agree agree;

	uint64_t up;       /**< bit per instance: local component is healthy and complete */
	uint64_t complete; /**< bit per instance: local copy is whole */
	uint64_t afresh;   /**< bit per instance: begins empty, its lanes are still to be emptied */
	uint64_t
		lost_untold; /**< bit per instance: state was lost, the world is still to be told */
	uint64_t released, yielded;
	uint64_t lapsed; /**< bit per instance: primary until the lease ended, not released yet */
	uint8_t role[HAVEN_INSTANCES_MAX]; /**< enum haven_role, as last told */
	uint64_t role_epoch[HAVEN_INSTANCES_MAX];
	struct brain_closing closing[HAVEN_INSTANCES_MAX];
	uint32_t closings; /**< gates shut so far */
	uint8_t target[HAVEN_INSTANCES_MAX];
	uint8_t fenced_node;  /**< valid while fenced_life is not 0 */
	uint64_t fenced_life; /**< incarnation that has ended, by a proof from outside */
	bool leaving, left;   /**< asked to end; has said that it did, which is final */
	uint64_t leaving_since_ns;
	uint64_t may_emit;    /**< bit per instance: was primary, gate not known to be shut */
	unsigned left_rounds; /**< rounds of beats that said so */
	bool clock_bad;       /**< the own clock's rate is out of bounds */
	bool lease_held;
	uint64_t lease_told_ns;

	uint32_t joining[HAVEN_INSTANCES_MAX]; /**< secondaries whose acks are already required */
	uint32_t caught_up[HAVEN_INSTANCES_MAX], stuck[HAVEN_INSTANCES_MAX];
	uint64_t session_next;
	struct brain_slot slot[BRAIN_SLOTS_MAX];
	uint64_t open_slots;                 /**< bit per open slot */
	uint64_t slots[HAVEN_INSTANCES_MAX]; /**< the same, by instance */
	uint16_t mirror_cursor;              /**< slot to serve first in the next step */
	uint64_t
		watched; /**< bit per instance: the caller looks at its lanes since the last tick */
	uint64_t looked[HAVEN_INSTANCES_MAX]; /**< turns in which he did */
	struct brain_digest digest;

	bool plan_due, beat_now;
	uint32_t beat_to; /**< nodes that get a beat at once, and they alone */
	bool refresh_cut; /**< the last step had no room for all it had to tell of roles */
	uint64_t next_beat_ns, next_plan_ns;
	uint64_t want_since_ns; /**< since when a change has been wanted, 0: none is */
	uint64_t retry_ns;      /**< no own proposal before this instant */
	uint64_t proposal_reason;
	uint8_t reason_instance;
	uint64_t view_pushed_ns[HAVEN_NODES_MAX];
	uint64_t no_successor; /**< instances already reported as such in this epoch */

	struct brain_flight flight[HAVEN_NODES_MAX];
	struct mirror_tx_frame window[]; /**< of slot 0's session 0, then of its session 1, … */
};

/** The instance's gate is being shut, and the caller has not said yet that it is. */
static inline bool brain_closing_gate(const struct brain *b, unsigned i)
{
	return b->closing[i].reason != REASON_NONE && !b->closing[i].shut;
}

/** Healthy components that may be given something. */
static inline uint64_t brain_ready(const struct brain *b)
{
	return b->leaving || b->clock_bad ? 0 : b->up;
}

/** Epochs grow slower than microseconds pass, so what was decided while this node ran, even if
 *  everybody who knew it has forgotten, stays below a floor that grows with time. */
static inline uint64_t brain_floor(const struct brain *b)
{
	return b->floor + (b->now - b->start_ns) / 1000;
}

static inline uint64_t instance_bit(unsigned i)
{
	return (uint64_t)1 << i;
}

HAVEN_STATIC_ASSERT(BRAIN_SLOTS_MAX == 64, "a word has a bit for every slot");
static inline uint64_t slot_bit(unsigned n)
{
	return (uint64_t)1 << n;
}

/* The least slot in the set, which is not empty; it is taken out. */
static inline unsigned brain_take_slot(uint64_t *set)
{
	unsigned n = (unsigned)__builtin_ctzll(*set);

	*set &= *set - 1;
	return n;
}

/* ---- brain.c ---- */
/** A zeroed output (its frame untouched), or NULL when there is no room: then `more` is set. */
struct brain_output *brain_out(struct brain_outputs *out, enum brain_output_kind kind);
bool brain_room(struct brain_outputs *out, unsigned n);
void brain_note(struct brain *b, struct brain_outputs *out, enum brain_note note, uint8_t instance,
		uint8_t node, uint64_t x, uint64_t y);
/** A frame to an established peer; header filled, body for the caller. NULL: no room or peer. */
struct frame *brain_frame(struct brain *b, struct brain_outputs *out, enum frame_type type,
			  unsigned node, uint16_t slot);
uint32_t brain_hears(const struct brain *b); /**< alive peers and this node */
void brain_facts(const struct brain *b, struct agree_facts *f);
bool brain_amnesic_ready(const struct brain *b);
static inline bool brain_is_admitted(const struct brain *b)
{
	return agree_admitted(&b->agree, b->config.self, b->incarnation);
}
static inline bool brain_is_voter(const struct brain *b)
{
	return (b->config.voters & node_bit(b->config.self)) != 0;
}

/* ---- brain_agree.c ---- */
void brain_agree_on_beat(struct brain *b, unsigned node, const struct frame_beat *beat);
void brain_agree_on_view(struct brain *b, const struct frame_view *v, struct brain_outputs *out);
/** Decide, propose, repeat: everything that may follow from what is known now. */
void brain_agree_progress(struct brain *b, struct brain_outputs *out);
/** Frames that accompany a beat: proposals, accepted values, views for those behind. */
void brain_agree_repeat(struct brain *b, unsigned node, struct brain_outputs *out);

/* ---- brain_role.c ---- */
void brain_role_refresh(struct brain *b, struct brain_outputs *out);
void brain_role_on_component(struct brain *b, unsigned i, bool up);
void brain_role_on_gate_closed(struct brain *b, unsigned i, uint64_t number,
			       struct brain_outputs *out);
void brain_role_on_switchover(struct brain *b, unsigned i, uint8_t to, struct brain_outputs *out);
void brain_role_on_commit(struct brain *b, const struct view *was);
bool brain_holds(const struct brain *b, unsigned i);
/** The lease ended without warning: shut every gate, and release when that is certain. */
void brain_role_step_down(struct brain *b, struct brain_outputs *out);

/* ---- brain_mirror.c ---- */
void brain_slot_clear(struct brain *b, unsigned n);
void brain_mirror_on_slot(struct brain *b, const struct brain_event *e);
void brain_mirror_on_committed(struct brain *b, const struct brain_event *e);
void brain_mirror_on_frame(struct brain *b, const struct frame *f, struct brain_outputs *out);
void brain_mirror_on_ack(struct brain *b, const struct frame *f);
void brain_mirror_on_applied(struct brain *b, const struct brain_event *e);
void brain_mirror_on_copy_lost(struct brain *b, unsigned i);
void brain_mirror_tick(struct brain *b, struct brain_outputs *out);
/** Open slot of a stream, NULL: none. */
struct brain_slot *brain_slot_of(struct brain *b, const struct mirror_stream *stream);
/** Everything committed in the instance's lanes is acknowledged by its in-sync set. */
bool brain_mirror_drained(const struct brain *b, unsigned i);

/* ---- brain_fence.c ---- */
/** The other voter, if its vote counts as given. */
uint32_t brain_fenced(const struct brain *b);
void brain_fence_on_proof(struct brain *b, const struct brain_event *e, struct brain_outputs *out);
/** A frame of the established life of `node` was taken. */
void brain_fence_on_heard(struct brain *b, unsigned node, struct brain_outputs *out);

/** The node has said itself that this life of it has ended. */
void brain_fence_by_word(struct brain *b, unsigned node);

/* ---- brain_digest.c ---- */
/** Entries of one block, of whose digests each takes so many bytes. */
uint32_t brain_digest_block(uint32_t digest_bytes);
/** Holder: send the next block's digests when they are due. */
void brain_digest_tick(struct brain *b, struct brain_outputs *out);
void brain_digest_on_frame(struct brain *b, const struct frame *f, struct brain_outputs *out);
void brain_digest_on_compared(struct brain *b, const struct brain_event *e,
			      struct brain_outputs *out);

/* ---- brain_config.c ---- */
/** The beat is of a node that is configured otherwise: it is not for this cluster. */
bool brain_config_differs(struct brain *b, const struct frame *f, struct brain_outputs *out);
/** Nodes that are configured otherwise run, and may serve: no formation beside them. */
bool brain_config_disputed(const struct brain *b);

/* ---- brain_clock.c ---- */
void brain_clock_on_finding(struct brain *b, const struct brain_event *e,
			    struct brain_outputs *out);

/* ---- brain_leave.c ---- */
void brain_leave_on_ask(struct brain *b);
void brain_leave_progress(struct brain *b, struct brain_outputs *out);
/** A new beat of `node` was taken. */
void brain_leave_on_beat(struct brain *b, unsigned node);

/* ---- brain_copies.c ---- */
void brain_mirror_on_commit(struct brain *b, const struct view *was, struct brain_outputs *out);
/** Tell what is left to be told of what the last view brought about. */
void brain_mirror_tell(struct brain *b, struct brain_outputs *out);

/* brain_flight.c */
void brain_flight_init(struct brain *b);
/** Once in a step, before frames are made. */
void brain_flight_count(struct brain *b);
bool brain_flight_room(const struct brain *b, unsigned node);
void brain_flight_sent(struct brain *b, unsigned node);
/** Frames are gone: a gap was reported, or nothing was acknowledged in time (`silent`). */
void brain_flight_lost(struct brain *b, unsigned node, bool silent);
void brain_flight_acked(struct brain *b, unsigned node, uint64_t frames);
/** Bit per link that carries mirror frames to a node; one bit when lanes are split over links. */
uint8_t brain_flight_links(const struct brain *b, unsigned node, unsigned slot, bool bulk);

#endif
