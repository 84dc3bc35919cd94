/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the families that work on a registry share: a small registry in a chosen state, what is
 * known of it, and the two judges. The view judge says whether readers may see what stands there;
 * the restart judge takes it over as the next node does and wants everything back.
 */
#ifndef HAVEN_CRASH_REGISTRY_H
#define HAVEN_CRASH_REGISTRY_H

#include "crash.h"
#include "rcu.h"
#include "registry_inner.h"

#define YARD_COMPONENTS 13u
#define YARD_SPARE 6u
#define YARD_OBJECTS (YARD_COMPONENTS + YARD_SPARE)
#define YARD_GATES 20u
#define YARD_LANES 8u
#define YARD_EVENTS 4u
#define YARD_CHANGES 4u
#define YARD_COUNTERS_BYTES 1024u
#define YARD_INCARNATION 7u
/** Above every wall clock: what is made is the same in every child. */
#define YARD_FLOOR (1ull << 40)
#define KNOWN_MAX 24u
#define HOLDERS_MAX 512u

enum known_kind {
	KNOWN_ALWAYS = 0, /**< is found at every instant */
	KNOWN_MAYBE,      /**< is being added or removed */
	KNOWN_NEVER       /**< was removed: its handle is stale for ever */
};

/** A component that the harness knows of. */
struct known {
	enum known_kind kind, after; /**< during the operation, and when it is complete */
	uint32_t values;             /**< how many of `value` it may have during the operation */
	struct registry_component value[2];
};

/** A reader that came at some boundary: the epoch in its slot and the objects it could find. */
struct holder {
	uint64_t epoch;
	uint64_t places; /**< bit per place */
};

struct registry_stage {
	struct known known[KNOWN_MAX];
	uint32_t n_known;
	uint32_t holders;
	struct holder holder[HOLDERS_MAX];
	uint64_t word; /**< slot of the reader that the holders are */
	/* as it was before the operation */
	struct registry_gate gate[YARD_GATES];
	struct registry_lane lane[YARD_LANES];
	uint64_t changes, epoch, generation, events;
	/* what the operation moves */
	uint32_t gate_first, gates;      /**< gates that may change */
	struct registry_gate gate_after; /**< if gate_known */
	bool gate_known;
	uint32_t lane_first, lanes;
	uint64_t event_position; /**< of a reader that fell behind */
	bool event_moves;
	bool tells; /**< the operation raises the count of changes before it opens an epoch (W2) */
	enum registry_change_kind change; /**< that it tells, and of whom */
	uint64_t change_handle;
	int result, wanted; /**< of the operation */
};

/** The child's own registry. */
struct yard {
	struct registry r;
	struct rcu_domain rcu;
	uint64_t live[YARD_COMPONENTS]; /**< handles */
	uint32_t n_live;
	uint32_t lane_first, lanes; /**< reserved, given to nobody */
};

static inline struct registry_stage *registry_stage(const struct crash_case *c)
{
	return (struct registry_stage *)(void *)c->stage->family;
}

/* ---- yard.c: the child's side ---------------------------------------------------------------- */

/** Component number `k` in its `revision`th form: everything in it follows from the two. */
struct registry_component yard_component(unsigned k, unsigned revision);
struct registry_shape yard_shape(void);
/** Make the registry of the case's start state in the case's folder and note what is known. */
void yard_make(struct crash_case *c, struct yard *y);
/** Note what stands in the registry now; the operation starts from here. */
void yard_note(struct crash_case *c, struct yard *y);
/** Known entry of a live handle. */
struct known *yard_known(struct crash_case *c, uint64_t handle);
/** Forget the registry but leave its file, as a death does. */
void yard_abandon(struct yard *y);
/** Whatever the registry still holds back comes free; every holder is honoured before. */
void yard_settle(struct crash_case *c, struct yard *y);
/** Event number `seq`: everything in it follows from that. */
struct event yard_event(uint64_t seq);

/* ---- judges ---------------------------------------------------------------------------------- */

/** What the next node does with what it finds in `old_dir`: a registry in `new_dir` with the same
 *  components under the same handles. It takes them from the old registry or, when `clients` is
 *  given, from those who are known to be there all the time: so it is when clients hand themselves
 *  over. Returns 0 or a Haven error. */
int registry_restart(struct registry *r, const char *old_dir, const char *new_dir,
		     const struct registry_stage *clients);
/** Readers' view of a registry; `over`: the operation is complete. Judges everything that
 *  struct registry_stage says. Adds to the holders. */
void registry_view(struct crash_case *c, const struct registry *r, bool over);
/** Restart from `old_dir` into `new_dir`, then: nothing found, nobody lost, everything free. */
void registry_recover(struct crash_case *c, const char *old_dir, const char *new_dir,
		      const struct registry_stage *clients);
/** Components that a restart must have, wherever they are. */
void registry_judge_kept(struct crash_case *c, const struct registry *r);
/** A full check has no finding and nothing unfinished. `when` stands in the sentence. */
void registry_judge_clean(struct crash_case *c, const struct registry *r, const char *when);

#endif
