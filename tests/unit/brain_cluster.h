/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A cluster of brains in virtual time, for scenarios that read as transcripts.
 *
 * All nodes share one clock and tick every 100 µs. A frame arrives in the instant in which it is
 * sent, unless its way is cut or its receiver is dead; what it brings about happens in the same
 * instant. After every instant the cluster is judged: nobody else acts while one acts.
 *
 * Each node hosts one component of instance 0. With `lane` set the component has a checkpoint of
 * one lane, whose replica is answered for here: a position, no content.
 */
#ifndef BRAIN_CLUSTER_H
#define BRAIN_CLUSTER_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "brain.h"

#define CLUSTER_NODES 3u
#define CLUSTER_MAIL 512u
#define TICK_NS 100000u
#define INTERVAL_NS 500000u
#define MS(x) ((uint64_t)(x)*1000000u)
#define NOBODY HAVEN_NODE_NONE

struct cluster_node {
	struct brain *brain;
	uint64_t incarnation;
	bool dead;       /**< the whole node */
	bool paused;     /**< it does nothing; what is sent to it waits */
	bool gate_stuck; /**< the worker does not confirm that its gate is shut */
	bool lane;
	uint64_t position; /**< last record here, as writer or as replica */
	uint64_t acked;    /**< as told by OUT_ACKED */
	uint64_t closing;  /**< seq of the newest OUT_CLOSE_GATE */
	uint32_t scan_end;
	bool acting;          /**< after the last instant */
	enum haven_role role; /**< as told by OUT_ROLE */
	unsigned primaries;   /**< how often it was told that */
	unsigned notes[NOTE_COUNT];
	uint32_t wrong;      /**< entries of its copy that a comparison finds to differ */
	unsigned compared;   /**< blocks */
	int code;            /**< answer to the last command, 1: none came */
	uint64_t silence_ns; /**< longest told between two beats of a peer */
};

struct cluster {
	uint64_t now;
	unsigned n;
	struct cluster_node node[CLUSTER_NODES];
	bool cut[CLUSTER_NODES][CLUSTER_NODES];
	struct frame mail[CLUSTER_MAIL]; /**< a ring */
	unsigned mail_first, mail_count;
	uint8_t actor;  /**< who acts, NOBODY: nobody does */
	unsigned links; /**< on which everything is heard that came; 0 as 1 */
	/* Of every node's configuration, from its next start on. */
	uint32_t mirror_flight;
	bool mirror_split;
	uint8_t mirror_links; /**< on which frames of checkpoints were to go out, until set to 0 */
	struct brain_outputs out;
};

static inline void cluster_drain(struct cluster *c);

/* ---- one brain ---------------------------------------------------------------------------------
 */

static inline void cluster_post(struct cluster *c, const struct frame *f)
{
	cr_assert_lt(c->mail_count, CLUSTER_MAIL);
	c->mail[(c->mail_first + c->mail_count++) % CLUSTER_MAIL] = *f;
}

static inline struct brain_event cluster_committed(const struct cluster_node *o)
{
	return (struct brain_event){
		.kind = BRAIN_COMMITTED, .seq = o->position, .count = o->scan_end};
}

/* What the node's application and checkpoint memory would answer; at most two events. */
static inline unsigned cluster_answer(struct cluster_node *o, const struct brain_output *out,
				      const struct frame *f, struct brain_event *answer)
{
	unsigned n = 0;

	switch (out->kind) {
	case OUT_ROLE:
		if (o->lane && out->role == HAVEN_PRIMARY)
			answer[n++] = cluster_committed(o);
		o->role = (enum haven_role)out->role;
		o->primaries += out->role == HAVEN_PRIMARY;
		break;
	case OUT_CLOSE_GATE:
		o->closing = out->seq;
		if (o->gate_stuck)
			break;
		if (o->lane)
			answer[n++] = cluster_committed(o);
		answer[n++] = (struct brain_event){.kind = BRAIN_GATE_CLOSED, .seq = out->seq};
		break;
	case OUT_RESET:
		o->position = out->seq;
		answer[n++] =
			(struct brain_event){.kind = BRAIN_APPLIED, .seq = o->position, .up = true};
		break;
	case OUT_APPLY:
		if (f->u.mirror.kind == MIRROR_RECORDS)
			o->position = f->u.mirror.first + f->u.mirror.count - 1;
		answer[n++] =
			(struct brain_event){.kind = BRAIN_APPLIED, .seq = o->position, .up = true};
		break;
	case OUT_ACKED:
		o->acked = out->seq;
		break;
	case OUT_EVENT:
		o->notes[out->note]++;
		break;
	case OUT_COMMAND_DONE:
		o->code = out->code;
		break;
	case OUT_COMPARE:
		o->compared++;
		answer[n++] =
			(struct brain_event){.kind = BRAIN_COMPARED, .seq = 3, .count = o->wrong};
		break;
	case OUT_FRAME:
	case OUT_LEASE:
		break;
	}
	return n;
}

static inline void cluster_feed(struct cluster *c, unsigned k, struct brain_event event)
{
	struct brain_event todo[64];
	unsigned n = 0, done = 0;

	todo[n++] = event;
	while (done < n) {
		struct brain_event e = todo[done++];

		brain_step(c->node[k].brain, c->now, &e, &c->out);
		cr_assert_not(c->out.more, "these scenarios are small");
		if (c->out.silence_ns > c->node[k].silence_ns)
			c->node[k].silence_ns = c->out.silence_ns;
		for (unsigned o = 0; o < c->out.n; o++) {
			if (c->out.out[o].kind == OUT_FRAME) {
				cluster_post(c, &c->out.out[o].frame);
				if (c->out.out[o].frame.type == FRAME_MIRROR)
					c->mirror_links |= c->out.out[o].links;
			}
			cr_assert_leq(n + 2, 64);
			n += cluster_answer(&c->node[k], &c->out.out[o], e.frame, &todo[n]);
		}
	}
}

/* ---- all of them -------------------------------------------------------------------------------
 */

static inline void cluster_judge(struct cluster *c)
{
	c->actor = NOBODY;
	for (unsigned k = 0; k < c->n; k++) {
		struct cluster_node *o = &c->node[k];

		o->acting = !o->dead && brain_may_act(o->brain, 0, c->now);
		if (!o->acting)
			continue;
		cr_assert_eq(c->actor, NOBODY, "nodes %u and %u both act", c->actor, k);
		c->actor = (uint8_t)k;
	}
}

/* Deliver until all is quiet. What is for a paused node waits. */
static inline void cluster_drain(struct cluster *c)
{
	unsigned waiting = 0, delivered = 0;

	while (waiting < c->mail_count) {
		struct frame f = c->mail[c->mail_first];
		struct brain_event e = {.kind = BRAIN_FRAME, .frame = &f};

		c->mail_first = (c->mail_first + 1) % CLUSTER_MAIL;
		c->mail_count--;
		if (c->node[f.src].dead || c->node[f.dst].dead || c->cut[f.src][f.dst])
			continue;
		if (c->node[f.dst].paused) {
			cluster_post(c, &f);
			waiting++;
			continue;
		}
		waiting = 0;
		cr_assert_lt(delivered++, 10000, "they never stop talking");
		cluster_feed(c, f.dst, e);
		for (e.link = 1; e.link < c->links; e.link++)
			cluster_feed(c, f.dst, e);
	}
	cluster_judge(c);
}

static inline void cluster_event(struct cluster *c, unsigned k, struct brain_event e)
{
	cluster_feed(c, k, e);
	cluster_drain(c);
}

/** One instant later; everybody ticks. */
static inline void cluster_tick(struct cluster *c)
{
	c->now += TICK_NS;
	cluster_drain(c);
	for (unsigned k = 0; k < c->n; k++)
		if (!c->node[k].dead && !c->node[k].paused)
			cluster_feed(c, k, (struct brain_event){.kind = BRAIN_TICK});
	cluster_drain(c);
}

static inline void cluster_run(struct cluster *c, uint64_t ns)
{
	for (uint64_t end = c->now + ns; c->now < end;)
		cluster_tick(c);
}

/** Runs until node `k` acts. False: it did not within the time. */
static inline bool cluster_run_until_acts(struct cluster *c, unsigned k, uint64_t ns)
{
	for (uint64_t end = c->now + ns; c->now < end && c->actor != k;)
		cluster_tick(c);
	return c->actor == k;
}

/** Starts a node, again if it was dead: it knows nothing but a floor. */
static inline void cluster_boot(struct cluster *c, unsigned k)
{
	struct cluster_node *o = &c->node[k];
	struct brain_config config = {
		.self = (uint8_t)k,
		.n_nodes = (uint8_t)c->n,
		.n_instances = 1,
		.voters = node_bit(c->n) - 1,
		.witnesses = c->n == 3 ? 4 : 0,
		.interval_ns = INTERVAL_NS,
		.suspect_ns = MS(5),
		.lease_ns = MS(10),
		.guard_ns = 500000,
		.rate_ppm = 200,
		.stall_ns = MS(2),
		.mirror_timeout_ns = MS(200),
		.mirror_flight = c->mirror_flight,
		.mirror_split = c->mirror_split,
		.verify_ns = MS(2),
	};
	uint64_t incarnation = c->now > o->incarnation ? c->now : o->incarnation + 1;

	config.instance[0].eligible = 3 & config.voters;
	config.instance[0].preferred = 0;
	config.instance[0].secondaries = 1;
	memset(o->brain, 0, brain_bytes(0));
	*o = (struct cluster_node){.brain = o->brain, .incarnation = incarnation, .code = 1};
	brain_init(o->brain, &config, incarnation, c->now / 1000, c->now);
}

static inline struct cluster *cluster_start(unsigned n)
{
	struct cluster *c = calloc(1, sizeof(*c));
	size_t bytes = (brain_bytes(0) + 63) / 64 * 64;

	cr_assert_not_null(c);
	c->n = n;
	c->now = MS(1000);
	c->actor = NOBODY;
	for (unsigned k = 0; k < n; k++) {
		c->node[k].brain = aligned_alloc(64, bytes);
		cr_assert_not_null(c->node[k].brain);
		cluster_boot(c, k);
	}
	return c;
}

static inline void cluster_end(struct cluster *c)
{
	for (unsigned k = 0; k < c->n; k++)
		free(c->node[k].brain);
	free(c);
}

/* ---- the words of the transcripts ---------------------------------------------------------------
 */

static inline void component_up(struct cluster *c, unsigned k)
{
	cluster_event(c, k, (struct brain_event){.kind = BRAIN_COMPONENT, .up = true});
}

/** Killed: it can emit nothing any more, and its memory is gone. */
static inline void component_dies(struct cluster *c, unsigned k)
{
	cluster_event(c, k, (struct brain_event){.kind = BRAIN_COMPONENT, .up = false});
	cluster_event(c, k, (struct brain_event){.kind = BRAIN_COPY_LOST});
	if (c->node[k].lane)
		cluster_event(c, k, (struct brain_event){.kind = BRAIN_SLOT_CLOSE});
	c->node[k].lane = false;
}

/** A component with a checkpoint. */
static inline void component_with_lane_up(struct cluster *c, unsigned k)
{
	c->node[k].lane = true;
	c->node[k].position = 0;
	c->node[k].scan_end = 201;
	cluster_event(c, k,
		      (struct brain_event){.kind = BRAIN_SLOT_OPEN,
					   .shape = 7,
					   .record_bytes = 64,
					   .digest_bytes = 24,
					   .lane_records = 4096});
	component_up(c, k);
}

static inline void commits(struct cluster *c, unsigned k, unsigned records)
{
	c->node[k].position += records;
	cluster_event(c, k, cluster_committed(&c->node[k]));
}

static inline int switchover(struct cluster *c, unsigned k, uint8_t to)
{
	c->node[k].code = 1;
	cluster_event(c, k, (struct brain_event){.kind = BRAIN_SWITCHOVER, .node = to});
	return c->node[k].code;
}

static inline void node_dies(struct cluster *c, unsigned k)
{
	c->node[k].dead = true;
	cluster_judge(c);
}

/** No frame passes between the node and the others, either way. */
static inline void isolate(struct cluster *c, unsigned k, bool cut)
{
	for (unsigned n = 0; n < c->n; n++)
		c->cut[n][k] = c->cut[k][n] = cut;
}

static inline const struct view_instance *assignment(const struct cluster *c, unsigned k)
{
	return &brain_view(c->node[k].brain)->instance[0];
}

#endif
