/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a new view means for the copies: who goes on from what it has, who begins empty, whose copy
 * counts no more. What follows for many instances at once may need several steps to be told.
 */
#include "brain_internal.h"

/* First to serve an instance that has no state (or none left): the copy starts empty. */
static void brain_begin_afresh(struct brain *b, unsigned i)
{
	b->complete &= ~instance_bit(i);
	b->afresh |= instance_bit(i);
	for (uint64_t left = b->slots[i]; left;)
		mirror_rx_init(&b->slot[brain_take_slot(&left)].rx);
}

/* What a view brought about for many instances at once may need several steps to be told. */
void brain_mirror_tell(struct brain *b, struct brain_outputs *out)
{
	while (b->lost_untold && brain_room(out, 1)) {
		unsigned i = brain_take_slot(&b->lost_untold);

		brain_note(b, out, NOTE_STATE_LOST, (uint8_t)i, b->agree.view.instance[i].holder, 0,
			   0);
	}
	for (uint64_t begin = b->afresh; begin;) {
		unsigned i = brain_take_slot(&begin);

		if (!brain_room(out, (unsigned)__builtin_popcountll(b->slots[i])))
			return;
		for (uint64_t left = b->slots[i]; left;) {
			unsigned n = brain_take_slot(&left);
			struct brain_output *o = brain_out(out, OUT_RESET);

			o->slot = (uint16_t)n;
			o->instance = (uint8_t)i;
			o->seq = 0;
		}
		b->afresh &= ~instance_bit(i);
		b->complete |= instance_bit(i);
	}
}

/* The lane goes on where it stands, or where the replica does. The caller is told at once: what the
 * lane's line in the registry said before belongs to another holder. */
static void brain_take_over(struct brain_slot *s, uint16_t n, bool served,
			    struct brain_outputs *out)
{
	struct brain_output *o = brain_out(out, OUT_ACKED);

	if (!served)
		s->committed = s->rx.applied;
	s->acked = s->committed;
	s->consumed = o ? s->acked : UINT64_MAX;
	if (!o)
		return;
	o->slot = n;
	o->seq = o->consumed = s->acked;
}

static void brain_note_sync_changes(struct brain *b, unsigned i, const struct view *was,
				    struct brain_outputs *out)
{
	uint32_t before = was->instance[i].in_sync;
	uint32_t after = b->agree.view.instance[i].in_sync;

	for (unsigned n = 0; n < b->config.n_nodes; n++) {
		if ((after & ~before) & node_bit(n))
			brain_note(b, out, NOTE_IN_SYNC, (uint8_t)i, (uint8_t)n, 0, 0);
		if ((before & ~after) & node_bit(n))
			brain_note(b, out, NOTE_OUT_OF_SYNC, (uint8_t)i, (uint8_t)n, 0, 0);
	}
}

void brain_mirror_on_commit(struct brain *b, const struct view *was, struct brain_outputs *out)
{
	for (unsigned i = 0; i < b->config.n_instances; i++) {
		const struct view_instance *now = &b->agree.view.instance[i];
		bool mine = brain_holds(b, i);
		bool lost = was->epoch != 0 && now->lineage != was->instance[i].lineage;
		bool served = mine && was->instance[i].holder == b->config.self &&
			      was->incarnation[b->config.self] == b->incarnation;
		bool same = served && !lost;
		/* What is left after a loss is better than nothing. */
		bool whole = (b->complete & instance_bit(i)) &&
			     ((was->instance[i].in_sync | was->instance[i].assigned) &
			      node_bit(b->config.self));
		/* Only where the view says so: a copy that was lost after it was chosen is not made
		 * whole by being emptied. */
		bool fresh = mine && !same && ((lost && !whole) || was->instance[i].in_sync == 0);

		b->joining[i] &= ~now->in_sync;
		b->caught_up[i] &= ~now->in_sync;
		if (lost)
			b->lost_untold |= instance_bit(i);
		/* What others have left of a state that was given up is not to be revived later. */
		if (lost && !(now->in_sync & node_bit(b->config.self)))
			brain_mirror_on_copy_lost(b, i);
		if (same)
			continue;
		b->joining[i] = b->caught_up[i] = b->stuck[i] = 0;
		b->afresh &= ~instance_bit(i);
		if (fresh)
			brain_begin_afresh(b, i);
		for (uint64_t left = b->slots[i]; left;) {
			unsigned n = brain_take_slot(&left);
			struct brain_slot *s = &b->slot[n];

			for (unsigned k = 0; k < BRAIN_SESSIONS; k++)
				mirror_tx_close(&s->tx[k]);
			s->reported = s->reported && served && !fresh;
			if (mine)
				brain_take_over(s, (uint16_t)n, served && !fresh, out);
		}
	}
	brain_mirror_tell(b, out);
	for (unsigned i = 0; i < b->config.n_instances; i++)
		brain_note_sync_changes(b, i, was, out);
}
