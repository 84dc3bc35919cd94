/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Agreement on the next view: single-decree Paxos per epoch among the voters. Pure.
 *
 * The protocol is state-based: every beat carries the sender's whole acceptor state (promised,
 * accepted, digest, remaining wait), so loss, duplication and reordering need no handling of their
 * own. Proposals and accepted values travel in FRAME_VIEW frames and are repeated until decided.
 *
 *   - Everything here refers to the slot after the committed view: a message with another epoch is
 *     not for this slot.
 *   - A voter has a vote only with the incarnation that the committed view names (it has memory).
 *     A view is decided by a majority of such voters, or, when a majority has lost its memory, by
 *     *all* configured voters (a formation).
 *   - Early voting: a voter may accept a view that takes a role from p while its promise to p still
 *     runs. It says how long (`wait_ns`), grants p nothing more, and whoever counts the votes lets
 *     the new holder start only after a majority's waits are over. Agreement thus overlaps the
 * wait.
 *   - The coordinator of a view (agree_coordinator) may use the first ballot without asking for
 *     promises: nobody else can have been promised anything lower.
 *
 *   - Two voters without a third need both, so neither can go on alone. One that has proof from
 *     outside that the other's life, as the view names it, has ended counts its vote as given
 *     (agree_facts.fenced). Whatever the dead one helped to choose this voter has accepted, too,
 *     so its own acceptor state is all there is to know. What was promised to the dead one is
 *     waited for all the same: a proof that was a mistake makes no second holder, unless each
 *     side was given one.
 *
 * Voters check a proposal against their own knowledge (agree_acceptable): a holder is displaced
 * only when it released the instance in this very epoch, is suspected by the voter itself, or
 * restarted; only a node with an intact in-sync copy is named holder; only the holder adds to its
 * in-sync set.
 */
#ifndef HAVEN_AGREE_H
#define HAVEN_AGREE_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"
#include "lease.h"
#include "peer.h"
#include "view.h"

struct agree_config {
	uint8_t self, n_nodes, n_instances;
	uint32_t voters;
	struct lease_terms terms;
};

/** A node's vote in the current slot, as last heard. */
struct agree_vote {
	ballot_t promised, accepted;
	uint64_t digest;
	uint64_t ready_ns; /**< own clock: when the voter's promises allow what it accepted */
	bool amnesic;      /**< no memory, silence over: counts for a formation only */
};

enum agree_phase { AGREE_IDLE = 0, AGREE_PREPARE, AGREE_ACCEPT };

struct agree {
	struct view view;                          /**< committed; epoch 0: none */
	uint64_t act_from_ns[HAVEN_INSTANCES_MAX]; /**< holder of each instance may act from here */

	ballot_t promised, accepted; /**< own acceptor state in this slot */
	struct view accepted_view;
	uint64_t accepted_digest;

	enum agree_phase phase; /**< own proposal */
	ballot_t ballot;
	struct view value;
	bool value_forced; /**< an earlier ballot may have chosen the value */
	uint64_t phase_since_ns;
	uint64_t accepted_since_ns; /**< when the own state first held an accepted value */
	uint64_t round_seen;        /**< greatest round seen in this slot */

	struct agree_vote vote[HAVEN_NODES_MAX]; /**< own vote included */
	ballot_t heard_ballot;                   /**< newest proposal or accepted value heard */
	bool heard_proposed, heard_forced;       /**< it may be voted for; as FRAME_VIEW_FORCED */
	struct view heard_view;
	uint64_t heard_digest;
};

/** What the voter knows beyond the protocol state; arrays are indexed by node. */
struct agree_facts {
	const struct peer *peers;
	const struct lease *lease;
	uint64_t own_incarnation;
	uint64_t own_released; /**< instances this node gave up in the current epoch */
	uint64_t own_lost;     /**< instances whose in-sync copy is gone here */
	uint32_t fenced;       /**< other voters whose life in the view has provably ended */
	bool amnesic_ready;    /**< this voter has no memory, and its silence is over */
};

void agree_init(struct agree *a);
unsigned agree_majority(const struct agree_config *c);
/** This node's incarnation is the one the view names: as a voter it has memory and a vote. */
bool agree_admitted(const struct agree *a, unsigned node, uint64_t incarnation);
/** Voters whose vote counts by the incarnations now known. */
uint32_t agree_admitted_voters(const struct agree *a, const struct agree_config *c,
			       const struct agree_facts *f);
/** Node that may use ballot BALLOT(1, node) without a first phase, HAVEN_NODE_NONE if nobody. */
uint8_t agree_coordinator(const struct agree *a, const struct agree_config *c,
			  const struct agree_facts *f);
/** `v` takes a role that `node` has in the committed view (or names it with another incarnation).
 */
bool agree_displaces(const struct agree *a, const struct view *v, unsigned node);
/** `node` has lost its copy of `instance`, by its own word or because it restarted. */
bool agree_copy_lost(const struct agree *a, const struct agree_config *c,
		     const struct agree_facts *f, unsigned node, unsigned instance);
/**
 * May this voter accept `v` now? See the rules above. A `forced` value, one that an earlier ballot
 * may have chosen, is not refused for displacing a holder that this voter hears: refusing it could
 * block the slot for ever. The promise still protects the holder, through the wait.
 */
bool agree_acceptable(const struct agree *a, const struct agree_config *c,
		      const struct agree_facts *f, const struct view *v, bool forced);
/** Time until this voter's promises allow what it accepted, 0 when they do. */
uint64_t agree_wait_ns(const struct agree *a, const struct agree_config *c,
		       const struct agree_facts *f, uint64_t now);

/** Acceptor: somebody asks for a promise. Returns true when the own state changed. */
bool agree_on_prepare(struct agree *a, const struct agree_config *c, const struct agree_facts *f,
		      ballot_t ballot);
/** Acceptor and learner: a proposal. Returns true when the own state changed. */
bool agree_on_proposal(struct agree *a, const struct agree_config *c, const struct agree_facts *f,
		       ballot_t ballot, const struct view *v, bool forced, uint64_t now);
/** Acceptor: look again at a proposal that was refused when it came, now that more is known, and
 *  bring the own vote up to date. Returns true when the own state changed. */
bool agree_reconsider(struct agree *a, const struct agree_config *c, const struct agree_facts *f,
		      uint64_t now);
/** Learner: somebody shows a value it has accepted. */
void agree_on_accepted_value(struct agree *a, ballot_t ballot, const struct view *v);
/** Learner: a peer's acceptor state from its beat (same epoch as the own view). */
void agree_on_vote(struct agree *a, const struct agree_config *c, unsigned node,
		   const struct frame_beat *beat, uint64_t now);
/** Forget what a node voted: it restarted. */
void agree_forget(struct agree *a, unsigned node);

/** Proposer: start. `fast`: with the coordinator's ballot. */
void agree_propose(struct agree *a, const struct agree_config *c, const struct agree_facts *f,
		   bool fast, uint64_t now);
/** Proposer: are promises complete? 1: yes, `*forced` tells whether `*value` must be proposed (a
 *  value that may have been chosen), `*formation` whether they came without a majority that has
 *  memory; 0: not yet. A value heard that can be chosen no more makes room for the one to come. */
int agree_promises(struct agree *a, const struct agree_config *c, const struct agree_facts *f,
		   bool *forced, bool *formation, struct view *value);
/** Proposer: second phase with this value. */
void agree_propose_value(struct agree *a, const struct agree_config *c, const struct agree_facts *f,
			 const struct view *v, bool forced, uint64_t now);
/** Learner: true when a view is decided; then `*v` and the instant from which new holders act. */
bool agree_decided(const struct agree *a, const struct agree_config *c, const struct agree_facts *f,
		   struct view *v, uint64_t *start_ns);
/** Adopt a committed view with a greater epoch; new holders may act from `start_ns`. */
void agree_commit(struct agree *a, const struct view *v, uint64_t start_ns);

#endif
