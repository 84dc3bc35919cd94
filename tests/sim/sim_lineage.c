/* SPDX-License-Identifier: BSD-3-Clause */
/* Lineages: what was committed, what was acknowledged, and whether a copy has it (C5, C6, C7). */
#include <string.h>

#include "hash.h"
#include "haven_assert.h"
#include "sim_world.h"

uint64_t sim_check_put(struct sim_world *w)
{
	return ++w->check.next_id;
}

/* Content that the lineage prescribes for a copy that stands at `seq`. */
static void lineage_content(const struct sim_lineage *line, uint64_t seq,
			    uint64_t content[SIM_KEYS])
{
	memcpy(content, line->base, sizeof(line->base));
	for (uint64_t s = line->base_seq + 1; s <= seq; s++) {
		const struct sim_record *r = &line->log[s % SIM_LOG];

		content[r->key] = r->put ? r->id : 0;
	}
}

static bool lane_equals(const struct table *t, unsigned lane, unsigned keys,
			const uint64_t content[SIM_KEYS])
{
	uint32_t live = 0;

	for (uint64_t key = 0; key < keys; key++) {
		uint64_t value[2];
		int error = table_get(t, lane, &key, value);

		if (content[key] == 0 ? error != -HAVEN_ENOENT
				      : error != 0 || value[0] != content[key] ||
						value[1] != hash_mix64(content[key]))
			return false;
		live += content[key] != 0;
	}
	return table_live(t, lane) == live;
}

void sim_look(const struct sim_world *w, const struct sim_app *app, unsigned lane,
	      struct table *out)
{
	struct mirror_stage stage = app->stage[lane];

	*out = app->table;
	/* Of an earlier role, or nothing. */
	if (!mirror_stage_waiting(&stage) || stage.in_table != table_committed(&app->table, lane))
		return;
	out->base = w->look.memory;
	memcpy(out->base, app->table.base, w->geometry.total_bytes);
	HAVEN_ASSERT(mirror_io_drain(out, lane, &stage, UINT64_MAX) == 0);
}

/* Position and content of one lane of a copy; SIM_CHECK_COUNT when all is well. */
static enum sim_invariant table_verdict(const struct sim_world *w, const struct sim_app *app,
					const struct table *t, const struct sim_lineage *line,
					unsigned lane)
{
	uint64_t at = table_committed(t, lane);
	uint64_t content[SIM_KEYS];

	if (at < line->base_seq)
		return SIM_C5; /* acknowledged records are missing */
	if (at > line->last_seq)
		return SIM_C7; /* records that nobody of this lineage has committed */
	if (at > line->base_seq && !line->log[at % SIM_LOG].commit)
		return SIM_C6; /* it stands in the middle of a commit */
	lineage_content(line, at, content);
	/* A worker between its changes and their commit has them in its table already. */
	for (unsigned k = 0; lane == app->lane && k < app->staged; k++)
		content[app->record[k].key] = app->record[k].put ? app->record[k].id : 0;
	return lane_equals(t, lane, w->options.keys, content) ? SIM_CHECK_COUNT : SIM_C7;
}

static enum sim_invariant lane_verdict(const struct sim_world *w, const struct sim_app *app,
				       const struct sim_lineage *line, unsigned lane)
{
	bool hidden = sim_flip_hide(app, lane);
	enum sim_invariant verdict;
	struct table t;

	sim_look(w, app, lane, &t);
	verdict = table_verdict(w, app, &t, line, lane);
	if (hidden)
		sim_flip_show(app);
	return verdict;
}

bool sim_check_copy(const struct sim_world *w, const struct sim_node *n, unsigned instance,
		    unsigned *lane, enum sim_invariant *why)
{
	for (unsigned l = 0; l < w->options.lanes; l++) {
		*lane = l;
		*why = lane_verdict(w, &n->app[instance], &w->check.lineage[instance][l], l);
		if (*why != SIM_CHECK_COUNT)
			return false;
	}
	return true;
}

void sim_check_standby(struct sim_world *w, struct sim_node *n)
{
	struct sim_check *c = &w->check;
	unsigned node = sim_node_index(w, n);
	enum sim_invariant why;
	unsigned lane;

	for (unsigned i = 0; i < w->options.instances; i++) {
		const struct view_instance *in = &c->view.instance[i];

		/* Once its holder has begun to act, so that it is known where the lineage goes on.
		 */
		if (c->lost[i] || in->holder == node || in->holder != c->owner[i] ||
		    !(in->in_sync & node_bit(node)) || n->epoch != c->view.epoch ||
		    !n->app[i].alive || n->app[i].known_life != n->app[i].life ||
		    !sim_claims_whole(n, i))
			continue;
		w->stats.checks[SIM_C7]++;
		if (!sim_check_copy(w, n, i, &lane, &why))
			sim_fail(w, why, node, i,
				 "a standby in sync is not a committed prefix (lane, its last, "
				 "acknowledged)",
				 lane, table_committed(&n->app[i].table, lane),
				 c->lineage[i][lane].base_seq);
	}
}

/* A state was given up in favour of the copies that the view calls in sync. Another's counted whole
 * would be taken for a copy of the new state as soon as those are gone, and the old one revived. */
void sim_check_given_up(struct sim_world *w, struct sim_node *n, const struct view *v)
{
	unsigned node = sim_node_index(w, n);

	for (unsigned i = 0; i < w->options.instances; i++) {
		bool given_up = n->epoch != 0 && v->instance[i].lineage != n->lineage[i];

		n->lineage[i] = v->instance[i].lineage;
		if (!given_up || (v->instance[i].in_sync & node_bit(node)))
			continue;
		w->stats.checks[SIM_C8]++;
		if (sim_claims_whole(n, i))
			sim_fail(w, SIM_C8, node, i,
				 "what is left of a state that was given up counts as whole "
				 "(epoch, lineage, in sync)",
				 v->epoch, v->instance[i].lineage, v->instance[i].in_sync);
	}
}

/* The state was lost: whatever the new primary holds is the state now. */
static void lineage_adopt(const struct sim_world *w, struct sim_lineage *line,
			  const struct table *t, unsigned lane)
{
	memset(line->base, 0, sizeof(line->base));
	line->base_seq = line->last_seq = table_committed(t, lane);
	for (uint64_t key = 0; key < w->options.keys; key++) {
		uint64_t value[2];

		if (table_get(t, lane, &key, value) == 0)
			line->base[key] = value[0];
	}
}

void sim_check_promoted(struct sim_world *w, struct sim_node *n, unsigned instance)
{
	struct sim_check *c = &w->check;
	unsigned node = sim_node_index(w, n);
	const struct table *t = &n->app[instance].table;
	enum sim_invariant why;
	unsigned lane;

	w->stats.promotions +=
		c->owner[instance] != node || c->owner_life[instance] != n->app[instance].life;
	if (c->unnamed[instance])
		sim_fail(w, SIM_C5, node, instance, "state was lost and nobody said so", 0, 0, 0);
	/* A holder of before goes on within its lease and knows nothing of it: what is given up is
	 * not put right by that. */
	if (c->lost[instance] && n->epoch < c->lost_epoch[instance])
		return;
	/* Given up, and the very copy that had everything goes on: then what it had committed and
	 * not acknowledged is still not acknowledged. */
	if (c->lost[instance] && !sim_check_copy(w, n, instance, &lane, &why))
		for (unsigned l = 0; l < w->options.lanes; l++)
			lineage_adopt(w, &c->lineage[instance][l], t, l);
	c->lost[instance] = false;
	w->stats.checks[SIM_C5]++;
	w->stats.checks[SIM_C6]++;
	w->stats.checks[SIM_C7]++;
	w->stats.checks[SIM_C8]++;
	sim_flip_promoted(w, n, instance);
	if (!(brain_view(n->brain)->instance[instance].in_sync & node_bit(node)))
		sim_fail(w, SIM_C8, node, instance, "begins to act and is not in sync (epoch)",
			 n->epoch, 0, 0);
	if (!sim_check_copy(w, n, instance, &lane, &why)) {
		sim_fail(w, why, node, instance,
			 why == SIM_C5   ? "acknowledged records are missing on the new primary "
					   "(lane, its last, acknowledged)"
			 : why == SIM_C6 ? "the new primary has part of a commit "
					   "(lane, its last, acknowledged)"
					 : "the new primary has what was never committed like that "
					   "(lane, its last, acknowledged)",
			 lane, table_committed(t, lane), c->lineage[instance][lane].base_seq);
		return;
	}
	c->owner[instance] = (uint8_t)node;
	c->owner_life[instance] = n->app[instance].life;
	for (unsigned l = 0; l < w->options.lanes; l++) {
		uint64_t at = table_committed(t, l);

		c->lineage[instance][l].last_seq = at;
		for (unsigned k = 0; k < w->options.nodes; k++)
			if (c->cut[k][instance][l] > at)
				c->cut[k][instance][l] = at;
		c->cut[node][instance][l] = UINT64_MAX;
	}
}

void sim_check_commit(struct sim_world *w, struct sim_node *n, unsigned instance, unsigned lane,
		      uint64_t seq, const struct sim_record *records, unsigned count)
{
	struct sim_check *c = &w->check;
	struct sim_lineage *line = &c->lineage[instance][lane];
	unsigned node = sim_node_index(w, n);

	if (c->owner[instance] != node || c->owner_life[instance] != n->app[instance].life)
		return; /* too late: somebody else goes on, from before this commit */
	w->stats.commits++;
	w->stats.records += count;
	w->stats.checks[SIM_C7]++;
	if (line->last_seq + count != seq || seq - line->base_seq >= SIM_LOG) {
		sim_fail(w, SIM_C7, node, instance, "a commit has a gap (last, records, seq)",
			 line->last_seq, count, seq);
		return;
	}
	for (unsigned k = 0; k < count; k++) {
		struct sim_record *r = &line->log[++line->last_seq % SIM_LOG];

		*r = records[k];
		r->commit = k + 1 == count;
	}
}

void sim_check_acked(struct sim_world *w, struct sim_node *n, unsigned instance, unsigned lane,
		     uint64_t seq)
{
	struct sim_check *c = &w->check;
	struct sim_lineage *line = &c->lineage[instance][lane];
	unsigned node = sim_node_index(w, n);
	uint64_t committed;
	struct table t;

	if (!n->app[instance].alive || seq == n->app[instance].acked[lane])
		return;
	n->app[instance].acked[lane] = seq;
	if (seq == 0)
		return; /* a state that begins afresh has nothing to acknowledge */
	sim_look(w, &n->app[instance], lane, &t);
	committed = table_committed(&t, lane);
	w->stats.checks[SIM_C5]++;
	/* The new lineage begins with what is there, or the old one goes on. */
	if (c->lost[instance] && seq > committed)
		sim_fail(w, SIM_C5, node, instance,
			 "acknowledges records that the copy does not have (lane, seq)", lane, seq,
			 0);
	if (c->lost[instance] && lane_verdict(w, &n->app[instance], line, lane) != SIM_CHECK_COUNT)
		return;
	/* A copy that is about to be promoted, or was once, speaks for what it shares with the
	 * lineage; one whose records went another way speaks for nothing. */
	if (seq > line->last_seq || (seq > c->cut[node][instance][lane] &&
				     (seq > committed || lane_verdict(w, &n->app[instance], line,
								      lane) != SIM_CHECK_COUNT))) {
		sim_fail(w, SIM_C5, node, instance,
			 "acknowledges records that are not in the state any more "
			 "(seq, common up to, last)",
			 seq, c->cut[node][instance][lane], line->last_seq);
		return;
	}
	while (line->base_seq < seq) {
		const struct sim_record *r = &line->log[++line->base_seq % SIM_LOG];

		line->base[r->key] = r->put ? r->id : 0;
		w->stats.acked++;
	}
}
