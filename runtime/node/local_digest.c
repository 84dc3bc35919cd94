/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies compared: what the lanes of local tables say of themselves, and of the holder's blocks. */
#include "node.h"

#include <stdio.h>

#include "mirror_digest.h"

/** Bytes of a key that an alarm shows. */
#define KEY_SHOWN 16u

int local_digest(struct haven_node *n, unsigned slot, struct frame_digest *d, uint8_t *out)
{
	const struct local_slot *s = local_slot(n, slot);

	if (!s)
		return -HAVEN_ENOENT;
	n->local.verify_blocks++;
	return mirror_digest_fill(&s->table->table, s->lane, d, out, FRAME_MIRROR_PAYLOAD_MAX);
}

/* What the alarm says besides: where to look. */
static void name_difference(struct haven_node *n, const struct local_slot *s,
			    const struct mirror_verdict *v)
{
	const struct table_shape *shape = &s->table->table.geometry.shape;
	size_t bytes = shape->key_bytes < KEY_SHOWN ? shape->key_bytes : KEY_SHOWN;
	char key[2 * KEY_SHOWN + 1] = "";

	for (size_t i = 0; i < bytes; i++)
		snprintf(key + 2 * i, 3, "%02x", v->key[i]);
	if (v->seq)
		snprintf(n->local.verify_word, sizeof(n->local.verify_word),
			 "checkpoint %s, lane %u, key %s%s", shape->name, s->lane, key,
			 bytes < shape->key_bytes ? "..." : "");
	else
		snprintf(n->local.verify_word, sizeof(n->local.verify_word),
			 "checkpoint %s, lane %u, number of entries", shape->name, s->lane);
}

void local_compare(struct haven_node *n, unsigned slot, uint64_t applied,
		   const struct frame_digest *d)
{
	const struct local_slot *s = local_slot(n, slot);
	struct brain_event e = {.kind = BRAIN_COMPARED, .slot = (uint16_t)slot};
	const struct mirror_stage *stage;
	struct mirror_verdict v;

	/* Another writer may be at it, or more was applied than the brain has heard of. */
	if (!s || !local_gate_baton(s->component, s->table->instance))
		return;
	stage = &s->table->lane[s->lane].stage;
	if (stage->applied != applied || !mirror_stage_comparable(stage) ||
	    mirror_digest_compare(&s->table->table, s->lane, stage->in_table, d, &v))
		return;
	n->local.verify_entries += v.compared;
	n->local.verify_wrong += v.wrong;
	if (v.wrong)
		name_difference(n, s, &v);
	e.seq = v.seq;
	e.count = v.wrong;
	loop_post(n, &e);
}
