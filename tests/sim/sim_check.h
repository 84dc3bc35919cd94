/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The checker: knows everything at once, and compares what the cluster did with what it promised.
 *
 * It keeps, per instance and lane, the *lineage*: the content that was acknowledged to the outside
 * world (`base`, up to `base_seq`) and the records committed after it, up to `last_seq`. A node
 * that begins to act must hold exactly the lineage cut at some commit at or after `base_seq`; what
 * lay behind the cut was never acknowledged and is gone. A record counts as acknowledged from the
 * instant a brain says so.
 *
 * Which check stands for which invariant, and when it runs:
 *
 * - C1: sim_check_acting (every gate and confirmation), sim_check_brains (every turn)
 * - C2: sim_check_view (every step), sim_check_role (every role told)
 * - C3: sim_check_view, sim_check_role, sim_check_peer (every beat: lives and beats neither go
 * back)
 * - C4: sim_check_store (every frame applied), node_store (nothing is applied without a frame)
 * - C5: sim_check_promoted (who begins to act), sim_check_acked (every acknowledgement), check_loss
 *   (every new view), sim_check_standby (copies in sync, every few turns)
 * - C6: sim_check_promoted, sim_check_standby: each lane stands at the end of a commit
 * - C7: the same two, for content; sim_check_commit (every commit), net_fill (every frame filled),
 *   world_rests (at the end all copies are equal)
 * - C8: sim_check_promoted: who begins to act is in sync by its view, and has everything;
 *   sim_check_given_up (every view of a node): what is left of a state that was given up counts no
 *   more
 * - C9: sim_check_beat (every beat of a voter), sim_check_lease (every lease that is told is
 *   covered by the promises of a majority), sim_check_view (every view that goes on from the newest
 *   is decided by a majority that has memory, or by all)
 * - C10: sim_check_role, sim_check_released (every release), check_left (every beat of a life that
 *   says that it has left)
 * - C11: world_converge (the liveness phase of every seed)
 * - C12: world_rests (views stand still), sim_check_suspected (every suspicion), sim_check_gone
 *   (every word of an end), incumbent_kept (every vote)
 * - C13: sim_check_answered (every command), sim_check_released (a switchover leaves no commit)
 */
#ifndef HAVEN_SIM_CHECK_H
#define HAVEN_SIM_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"
#include "sim_options.h"
#include "view.h"

struct sim_world;
struct sim_node;
struct brain_outputs;

/** Invariants, by their names in the list of the project; BOUNDS: a call broke its contract. */
enum sim_invariant {
	SIM_C1 = 0, /**< at most one may act per instance at any global instant */
	SIM_C2,     /**< one primary per (instance, epoch), one view per epoch, for ever */
	SIM_C3,     /**< epochs never go back */
	SIM_C4,     /**< a store applies nothing of an epoch below its highest */
	SIM_C5,     /**< what was acknowledged is there */
	SIM_C6,     /**< a commit is visible whole or not at all */
	SIM_C7,     /**< records come without gap, repetition or reordering */
	SIM_C8,     /**< only a copy that has everything is promoted */
	SIM_C9,     /**< a voter keeps its promises; one without memory is silent first */
	SIM_C10,    /**< who is not primary does not emit */
	SIM_C11,    /**< without faults the cluster becomes whole again, in time */
	SIM_C12,    /**< and then stays as it is; nobody is suspected without evidence */
	SIM_C13,    /**< a command is done once, or refused with the reason */
	SIM_BOUNDS,
	SIM_CHECK_COUNT
};

/** Unacknowledged records of a lane are fewer than its log has slots. */
#define SIM_LOG 1024u
#define SIM_EPOCHS 512u
#define SIM_RELEASES 32u
#define SIM_VOTES 8u

struct sim_record {
	uint64_t id;
	uint8_t key;
	bool put, commit;
};

struct sim_lineage {
	uint64_t base_seq, last_seq;
	uint64_t base[SIM_KEYS];        /**< id of the value per key, 0: no entry */
	struct sim_record log[SIM_LOG]; /**< record seq stands in seq % SIM_LOG */
};

/** Global span in which a node's application may emit. */
struct sim_window {
	uint64_t from, until;
};

/** A replica: the highest epochs that were applied to it. Lanes are streams of their own: with one
 *  and the same sender the newer epoch may show on one lane before the other. */
struct sim_store {
	uint64_t epoch, lane_epoch[SIM_LANES];
	uint8_t src;
};

/** When a node last heard another, and how much it had slept until then. */
struct sim_heard {
	uint64_t at, slept_ns, naps;
	uint64_t incarnation, counter; /**< of the beat */
};

/** A life of a voter has accepted the view with this digest. */
struct sim_vote {
	uint64_t digest, incarnation;
};

/** What is remembered of one life of a node. */
struct sim_voter {
	uint64_t born_ns;                /**< on its clock */
	uint64_t promised_ns[SIM_NODES]; /**< on its clock: end of its promise to each */
	ballot_t accepted;               /**< in its last beat … */
	uint64_t vote_epoch;             /**< … and the epoch of its view */
	uint64_t steps_down_ns; /**< on its clock: end of its own lease when it cast that vote */
	bool left;              /**< it has said that this life has left … */
	ballot_t left_promised, left_accepted; /**< … its votes then … */
	uint64_t left_epoch;                   /**< … and the view that they refer to */
	struct sim_heard heard[SIM_NODES];
	/* of all its lives */
	uint64_t kept_ns[SIM_NODES];     /**< global: end of the promises of its earlier lives */
	struct sim_vote cast[SIM_VOTES]; /**< its newest votes; vote n stands in n % SIM_VOTES */
	uint32_t votes;
};

/** State before an operator's command. */
struct sim_command {
	bool may_act, moving;
};

struct sim_check {
	struct sim_voter voter[SIM_NODES];
	/** Epochs in which each node released each role; epoch e stands in e % SIM_RELEASES. */
	uint64_t released[SIM_NODES][SIM_INSTANCES][SIM_RELEASES];
	struct sim_lineage lineage[SIM_INSTANCES][SIM_LANES];
	struct sim_window window[SIM_NODES][SIM_INSTANCES];
	uint8_t owner[SIM_INSTANCES];       /**< node that acted last */
	uint32_t owner_life[SIM_INSTANCES]; /**< life of its application */
	/** A copy holds the lineage's records up to here, and its own beyond. */
	uint64_t cut[SIM_NODES][SIM_INSTANCES][SIM_LANES];
	struct sim_store store[SIM_NODES][SIM_INSTANCES];
	struct {
		uint64_t incarnation;
		bool whole;
	} ended[SIM_NODES][SIM_INSTANCES]; /**< what each node's copy was when it ended last */
	bool lost[SIM_INSTANCES]; /**< a view gave it up; the next primary starts a lineage */
	uint64_t lost_epoch[SIM_INSTANCES]; /**< newest view that gave it up */
	bool unnamed[SIM_INSTANCES];        /**< and nobody has said so yet */
	struct view view, before; /**< with the highest epoch anywhere, and the one before it */
	struct {
		uint64_t epoch, digest;
		/** Incarnations of voters: of its vote for it, else when it was first seen. */
		uint64_t life[SIM_NODES];
	} view_of[SIM_EPOCHS];
	struct {
		uint64_t epoch, incarnation;
		uint8_t node;
	} primary_of[SIM_INSTANCES][SIM_EPOCHS];
	uint64_t next_id;
	/* the failure */
	enum sim_invariant invariant;
	char text[256];
};

/* ---- sim_promise.c ---- */
/** The node's brain believes that its copy is whole. */
bool sim_claims_whole(const struct sim_node *n, unsigned instance);
/** A life of a node begins. */
void sim_check_born(struct sim_world *w, struct sim_node *n);
/** It ends. */
void sim_check_died(struct sim_world *w, struct sim_node *n);
/** A gate of the node is open until then, on its clock. */
void sim_check_lease(struct sim_world *w, struct sim_node *n, uint64_t until_ns);
/** It has been given a beat, and before knew its sender by this incarnation and newest beat. */
void sim_check_peer(struct sim_world *w, struct sim_node *n, const struct frame *f,
		    uint64_t incarnation, uint64_t seq);
/** It sends a beat. */
void sim_check_beat(struct sim_world *w, struct sim_node *n, const struct frame *f);
/** A life of the voter that said that it accepted the view: `life` if that one did, else the newest
 *  that did, 0: none. */
uint64_t sim_check_voted(const struct sim_world *w, unsigned node, uint64_t digest, uint64_t life);
/** It says that it has released a role. */
void sim_check_released(struct sim_world *w, struct sim_node *n, unsigned instance, uint64_t epoch,
			uint64_t reason);
/** It has been given a beat; it begins to suspect `peer`. */
void sim_check_heard(struct sim_world *w, struct sim_node *n, const struct frame *f);
void sim_check_suspected(struct sim_world *w, struct sim_node *n, unsigned peer);
/** It takes that life of `peer` for one that has left. */
void sim_check_gone(struct sim_world *w, struct sim_node *n, unsigned peer, uint64_t life);
/** Before and after an operator's command. */
struct sim_command sim_check_command(struct sim_world *w, struct sim_node *n, unsigned instance);
void sim_check_answered(struct sim_world *w, struct sim_node *n, unsigned instance,
			const struct sim_command *was, const struct brain_outputs *out);

const char *sim_invariant_name(unsigned invariant);
void sim_check_reset(struct sim_world *w);
/** An invariant is broken: keep the first sentence (with three numbers) and end the run. */
void sim_fail(struct sim_world *w, enum sim_invariant invariant, unsigned node, unsigned instance,
	      const char *text, uint64_t a, uint64_t b, uint64_t c);

/* ---- sim_views.c ---- */
/** A majority of voters still lives in these lives: what it decided in them stands. */
bool sim_check_stands(const struct sim_world *w, const uint64_t *life);
/** The node's copy is about to end, with its component or with the node's memory of it. */
void sim_check_copy_ends(struct sim_world *w, struct sim_node *n, unsigned instance);
/** After every step of a brain. */
void sim_check_view(struct sim_world *w, struct sim_node *n);

/** The node adopts a view. */
void sim_check_given_up(struct sim_world *w, struct sim_node *n, const struct view *v);
/** The brain tells the world that the instance's state is lost. */
void sim_check_lost_note(struct sim_world *w, unsigned instance);
/** After every turn: brains exclude each other even if the gates would not. */
void sim_check_brains(struct sim_world *w, struct sim_node *n);
/** The brain publishes a role. */
void sim_check_role(struct sim_world *w, struct sim_node *n, unsigned instance, unsigned role,
		    uint64_t epoch, uint64_t valid_until_ns);
/** A gate or its confirmation changed: the application may emit in a new or longer span. */
void sim_check_acting(struct sim_world *w, struct sim_node *n, unsigned instance);
/** The node's clock has changed its rate: so has the end of what its application may do. */
void sim_check_clock(struct sim_world *w, struct sim_node *n);
/** The application can emit no more: it confirmed another role, or is dead. */
void sim_check_ended(struct sim_world *w, struct sim_node *n, unsigned instance);
/** The application is about to confirm that it is primary. */
void sim_check_promoted(struct sim_world *w, struct sim_node *n, unsigned instance);
/** It changed a key (not committed yet); returns the id to be stored. */
uint64_t sim_check_put(struct sim_world *w);
/** It committed `count` records that end at `seq`. */
void sim_check_commit(struct sim_world *w, struct sim_node *n, unsigned instance, unsigned lane,
		      uint64_t seq, const struct sim_record *records, unsigned count);
/** The brain says that everything up to `seq` is held by the in-sync set. */
void sim_check_acked(struct sim_world *w, struct sim_node *n, unsigned instance, unsigned lane,
		     uint64_t seq);
/** The brain has the node apply or reset by this mirror frame. */
void sim_check_store(struct sim_world *w, struct sim_node *n, unsigned instance,
		     const struct frame *f);
/** True when the copy's content is the lineage up to one of its own commits, acknowledged records
 *  included. Without it `*lane` and `*why` tell what is wrong. */
bool sim_check_copy(const struct sim_world *w, const struct sim_node *n, unsigned instance,
		    unsigned *lane, enum sim_invariant *why);
/** A lane as it would be promoted: of a warm standby with what it keeps applied, in memory of the
 *  world's that is good until the next call. */
struct sim_app;
struct table;
void sim_look(const struct sim_world *w, const struct sim_app *app, unsigned lane,
	      struct table *out);
/** Now and then: a copy that counts is, at any instant, the lineage up to one of its commits. */
void sim_check_standby(struct sim_world *w, struct sim_node *n);
/** True when every instance has one acting primary and all the in-sync secondaries it can have. */
bool sim_check_whole(const struct sim_world *w);
/** True when, besides, nothing is in flight and all copies are equal. */
bool sim_check_settled(const struct sim_world *w);

#endif
