/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * One node's brain: protocol, mirror and availability manager as a single pure step.
 *
 * The caller owns the state, the event and the output. brain_step() reads no clock, draws no random
 * number, allocates nothing and does no I/O; equal states and inputs give equal outputs. The
 * simulator (tests/sim) and the node (runtime/node) drive this same code.
 *
 * Time: `now` is the node's own clock in nanoseconds, never going back. The caller drains its ports
 * (BRAIN_FRAME events) before each BRAIN_TICK, so silence is judged only after what had come was
 * read. A tick more than `stall_ns` after the one before counts as a stall: the time in between is
 * not held against peers.
 */
#ifndef HAVEN_BRAIN_H
#define HAVEN_BRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"
#include "haven_types.h"
#include "view.h"

#define BRAIN_SLOTS_MAX 64    /**< local lanes (checkpoint lanes) a node may mirror */
#define BRAIN_WINDOW 64u      /**< least memory: frames of one lane that may be on their way */
#define BRAIN_OUTPUTS_MAX 192 /**< outputs of one step; a static bound checks it suffices */

/** Redundancy models of a group. */
enum redundancy { REDUNDANCY_2N = 0, REDUNDANCY_N_PLUS_M, REDUNDANCY_LOAD_SHARING };

/** Configuration, the same on every node but for `self`. Constant for the brain's life. */
struct brain_config {
	uint8_t self, n_nodes, n_instances;
	uint32_t voters;       /**< bit per node */
	uint32_t witnesses;    /**< subset of voters */
	uint64_t interval_ns;  /**< between heartbeats */
	uint64_t suspect_ns;   /**< silence after which a peer is suspected */
	uint64_t lease_ns;     /**< L */
	uint64_t guard_ns;     /**< margin from gate check to wire, on both sides of a promise */
	uint32_t rate_ppm;     /**< bound on the relative rate of any two clocks */
	uint64_t stall_ns;     /**< own turn longer than this is a stall */
	uint64_t hold_ns;      /**< a peer or link that failed twice must be heard so long … */
	uint64_t hold_max_ns;  /**< … and this long at most after many failures; 0: never held */
	uint64_t names;        /**< digest of the names of nodes and instances, in their order */
	uint32_t gray_percent; /**< loss of heartbeats from which a link is gray, 0: never */
	uint64_t mirror_timeout_ns; /**< a secondary that acknowledges nothing so long is dropped */
	uint32_t mirror_window;     /**< frames of one lane on their way, 0: BRAIN_WINDOW */
	uint32_t mirror_flight;     /**< frames of all lanes on their way to one node, 0: any */
	bool mirror_split;  /**< each lane's records go out on one link, not on all that work */
	uint64_t verify_ns; /**< from one block of a copy compared to the next, 0: none is */
	struct {
		uint32_t eligible; /**< nodes that may serve it */
		uint8_t preferred; /**< first choice among equals, HAVEN_NODE_NONE: lowest index */
		uint8_t secondaries; /**< how many are wanted, 0…6 */
	} instance[HAVEN_INSTANCES_MAX];
};

/** Who proves that a node has ended: NOTE_FENCED.b. */
enum brain_proof { BRAIN_PROOF_OPERATOR = 0, BRAIN_PROOF_COMMAND };

enum brain_event_kind {
	BRAIN_TICK = 0,    /**< time has passed, ports are drained */
	BRAIN_FRAME,       /**< an authenticated frame for this node came on `link` */
	BRAIN_COMPONENT,   /**< local component of `instance` became `up` (ready) or not */
	BRAIN_COPY_LOST,   /**< local copy of `instance` is gone (its memory died with its owner) */
	BRAIN_GATE_CLOSED, /**< local gate of `instance` is shut and past: nobody here can emit;
				`seq` of the OUT_CLOSE_GATE that asked for it */
	BRAIN_SLOT_OPEN,   /**< a local lane exists: `slot`, `stream`, `shape`, capacity */
	BRAIN_SLOT_CLOSE,  /**< it is gone */
	BRAIN_COMMITTED,   /**< holder: lane `slot` has committed up to `seq`; scan end `count`
				(read after seq). Due for every lane of the instance after each
				OUT_ROLE that says primary, whenever seq or count changed, and,
				with the final values, right before BRAIN_GATE_CLOSED */
	BRAIN_APPLIED,     /**< secondary: answer to OUT_APPLY/OUT_RESET: applied up to `seq`;
				`up` false: it could not be applied (full, malformed) */
	BRAIN_COMPARED,    /**< secondary: answer to OUT_COMPARE: `count` entries are wrong, the
				first is of record `seq` */
	BRAIN_FENCED,      /**< somebody outside says that the life `seq` of `node` has ended,
				seen from epoch `epoch`; `count`: enum brain_proof */
	BRAIN_SWITCHOVER,  /**< operator: move `instance` to `node` (HAVEN_NODE_NONE: any) */
	BRAIN_CLOCK,       /**< what watch_clock_look() found: `count` enum clock_finding, `seq` the
				evidence. Before anything else that happens at that instant */
	BRAIN_LEAVE,       /**< the program is to end: give everything away, then say so */
};

struct brain_event {
	enum brain_event_kind kind;
	uint8_t link; /**< BRAIN_FRAME */
	uint8_t instance, node;
	bool up;
	uint16_t slot;               /**< 0…BRAIN_SLOTS_MAX-1, chosen by the caller */
	struct mirror_stream stream; /**< BRAIN_SLOT_OPEN */
	uint32_t shape;              /**< BRAIN_SLOT_OPEN */
	uint16_t record_bytes;       /**< BRAIN_SLOT_OPEN: wire size of one record or entry */
	uint16_t digest_bytes;       /**< BRAIN_SLOT_OPEN: of one digest, 0: never compared */
	uint32_t lane_records;       /**< BRAIN_SLOT_OPEN: log slots of the lane */
	uint64_t seq, epoch;
	uint32_t count;
	const struct frame *frame; /**< BRAIN_FRAME */
};

enum brain_output_kind {
	OUT_FRAME = 0,  /**< send `frame` to frame.dst on every link. A FRAME_MIRROR of kind RECORDS
			     or ENTRIES has no payload: the caller fills it from lane `slot`; of
			     a FRAME_DIGEST position and live as well */
	OUT_ROLE,       /**< instance: role here, epoch, valid_until_ns (0 unless primary) */
	OUT_LEASE,      /**< gates of all local primaries end at valid_until_ns (0: shut now) */
	OUT_ACKED,      /**< slot: seq acknowledged by the in-sync set; consumed may be reused */
	OUT_RESET,      /**< slot: empty the replica, then answer BRAIN_APPLIED with seq */
	OUT_APPLY,      /**< slot: apply the payload of the frame of this event, then answer
			     BRAIN_APPLIED with the last whole commit's seq */
	OUT_COMPARE,    /**< slot: compare the replica, which has applied everything up to seq,
			     with the digests in the frame of this event, then answer
			     BRAIN_COMPARED; no answer: it cannot be looked at now */
	OUT_CLOSE_GATE, /**< instance: shut the local gate; answer BRAIN_GATE_CLOSED with seq when
			   it is certain (worker confirmed, dead, or its term has run out) */
	OUT_EVENT,      /**< tell the world; fields as in shm/events.h */
	OUT_COMMAND_DONE, /**< a switchover, or with instance 0xff a fencing of `node`, was accepted
			     (code 0) or refused (code, text) */
};

/** Event kinds as the brain names them; the caller maps them to enum event_kind by this order. */
enum brain_note {
	NOTE_PEER_UP = 0,
	NOTE_PEER_SUSPECT,
	NOTE_LINK_DOWN,
	NOTE_LINK_UP,
	NOTE_VIEW,
	NOTE_VIEW_PROPOSED,
	NOTE_LEASE_GAINED,
	NOTE_LEASE_LOST,
	NOTE_ROLE_RELEASED,
	NOTE_SYNC_START,
	NOTE_SYNC_DONE,
	NOTE_IN_SYNC,
	NOTE_OUT_OF_SYNC,
	NOTE_STATE_LOST,
	NOTE_STALL,
	NOTE_SWITCHOVER,
	NOTE_NO_SUCCESSOR,
	NOTE_LINK_GRAY,
	NOTE_LINK_CLEAR,
	NOTE_LINK_HELD,
	NOTE_PEER_HELD,
	NOTE_FENCED,         /**< a: its life, b: enum brain_proof */
	NOTE_FENCE_REVOKED,  /**< a: its life, which goes on */
	NOTE_COPY_DIFFERS,   /**< the own copy differs from the holder's (node) in a entries, the
				  first of record b: it counts no more */
	NOTE_LEFT,           /**< node: ended in order; a: its life, b (own end): it took ns */
	NOTE_CLOCK_STOOD,    /**< the own clock stood still; a: for ns */
	NOTE_CLOCK_BAD,      /**< its rate is off; a: by ppm, b: the bound */
	NOTE_CLOCK_GOOD,     /**< its rate is within the bound again; likewise */
	NOTE_CONFIG_DIFFERS, /**< node: its configuration is another one: not heard; a: its digest,
				b: ours */
	NOTE_COUNT
};

/** Why a view was proposed or a role released: NOTE_VIEW_PROPOSED.a, NOTE_ROLE_RELEASED.a. */
enum brain_reason {
	REASON_NONE = 0,
	REASON_FORMATION,      /**< first view */
	REASON_ADMIT,          /**< a node came */
	REASON_NODE_DEAD,      /**< a node fell silent */
	REASON_COMPONENT_DEAD, /**< the holder's component died */
	REASON_LEASE_LOST,     /**< the holder lost its majority */
	REASON_SWITCHOVER,     /**< operator */
	REASON_ASSIGN,         /**< first holder, or a secondary was chosen */
	REASON_IN_SYNC,        /**< a secondary caught up */
	REASON_OUT_OF_SYNC,    /**< a secondary fell behind or left */
	REASON_STATE_LOST,     /**< no copy is left anywhere */
	REASON_LEAVING,        /**< a node ends in order */
	REASON_CLOCK,          /**< the holder cannot trust its clock */
	REASON_COUNT
};
const char *brain_reason_name(unsigned reason);

struct brain_output {
	enum brain_output_kind kind;
	uint8_t instance, node;
	uint8_t role;  /**< enum haven_role */
	uint8_t note;  /**< enum brain_note */
	uint8_t links; /**< OUT_FRAME: bit per link on which it goes out */
	uint16_t slot;
	int16_t code; /**< OUT_COMMAND_DONE: 0 or -enum haven_error */
	uint64_t epoch, valid_until_ns;
	uint64_t seq, consumed; /**< OUT_ACKED */
	uint64_t a, b, c;       /**< OUT_EVENT */
	const char *text;       /**< OUT_COMMAND_DONE: static sentence */
	struct frame frame;     /**< OUT_FRAME */
};

struct brain_outputs {
	unsigned n;
	bool more; /**< work is left: step again with a tick at the same instant */
	/** The event was a peer's newest beat: running time since its beat before, as the judge of
	 *  silence counts it. Otherwise 0. */
	uint64_t silence_ns;
	struct brain_output out[BRAIN_OUTPUTS_MAX];
};

/** What must be equal on all nodes of a cluster, or promises and majorities do not fit: voters,
 * terms of leases, numbers and names of nodes and instances. */
uint64_t brain_config_digest(const struct brain_config *c);

struct brain;
/** Bytes of a brain's state; the caller provides that much zeroed, 64-byte aligned memory.
 *  `mirror_window`: as in its configuration, a power of two or 0. */
size_t brain_bytes(uint32_t mirror_window);
/** `incarnation`: greater than any this node had; `floor`: no epoch up to here is formed anew; from
 *  a wall clock that counts at least as fast as microseconds. */
void brain_init(struct brain *b, const struct brain_config *config, uint64_t incarnation,
		uint64_t floor, uint64_t now);
void brain_step(struct brain *b, uint64_t now, const struct brain_event *event,
		struct brain_outputs *out);

/** What status shows; all by value, valid at `now`. */
struct brain_peer_status {
	bool alive, member;
	bool held; /**< comes and goes: gets nothing new to do */
	uint8_t links_up, links_gray, links_held;
	uint8_t loss_percent[HAVEN_LINKS_MAX];
	uint64_t incarnation, last_heard_ns, beats_received, beats_lost, rtt_ns, epoch;
};
const struct view *brain_view(const struct brain *b);
uint64_t brain_lease_until(const struct brain *b);
bool brain_admitted(const struct brain *b); /**< this voter has memory and a vote */
/** After BRAIN_LEAVE: nothing is held here and the peers have been told: the program may end. */
bool brain_left(const struct brain *b);
/** How long after BRAIN_LEAVE a role may take to find its successor, at most. */
uint64_t brain_leave_limit_ns(const struct brain_config *c);
enum haven_role brain_role(const struct brain *b, unsigned instance);
/** True when this brain holds `instance` and may act at `now`: role, start and lease. */
bool brain_may_act(const struct brain *b, unsigned instance, uint64_t now);
void brain_peer(const struct brain *b, unsigned node, uint64_t now, struct brain_peer_status *out);
uint64_t brain_ready_of(const struct brain *b, unsigned node); /**< instances it declares ready */
/** The other voter, while its vote counts as given because it was fenced; HAVEN_NODE_NONE. */
uint8_t brain_fenced_node(const struct brain *b);
/** Why a proof that `node` has ended is not needed or would not be taken now; NULL: it would be. */
const char *brain_fence_refusal(const struct brain *b, unsigned node);
uint64_t brain_replays(const struct brain *b); /**< frames refused as old or repeated */
/** Progress of a transfer from this node, 0…100, and the largest lag of the instance's lanes. */
void brain_mirror_status(const struct brain *b, unsigned instance, uint32_t *percent,
			 uint32_t *lag_records);

#endif
