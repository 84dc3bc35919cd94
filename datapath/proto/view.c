/* SPDX-License-Identifier: BSD-3-Clause */
#include "view.h"

#include "hash.h"

/* Bits of nodes that do not exist must be clear, so that equal views have equal bytes. */
static bool view_mask_fits(uint32_t mask, unsigned n_nodes)
{
	return n_nodes >= 32 || (mask >> n_nodes) == 0;
}

void view_encode(const struct view *v, struct bytes_writer *w)
{
	bytes_put_u64(w, v->epoch);
	bytes_put_u8(w, v->author);
	bytes_put_u8(w, v->formation);
	bytes_put_u8(w, v->n_nodes);
	bytes_put_u8(w, v->n_instances);
	bytes_put_u32(w, v->members);
	for (unsigned i = 0; i < v->n_nodes; i++)
		bytes_put_u64(w, v->incarnation[i]);
	for (unsigned i = 0; i < v->n_instances; i++) {
		bytes_put_u8(w, v->instance[i].holder);
		bytes_put_u32(w, v->instance[i].assigned);
		bytes_put_u32(w, v->instance[i].in_sync);
		bytes_put_u16(w, v->instance[i].lineage);
	}
}

static bool view_instance_valid(const struct view_instance *in, unsigned n_nodes)
{
	if (!view_mask_fits(in->assigned, n_nodes) || !view_mask_fits(in->in_sync, n_nodes))
		return false;
	if (in->holder == HAVEN_NODE_NONE)
		return in->assigned == 0;
	if (in->holder >= n_nodes || (in->assigned & node_bit(in->holder)))
		return false;
	return (in->in_sync & node_bit(in->holder)) &&
	       (in->in_sync & ~(in->assigned | node_bit(in->holder))) == 0;
}

bool view_decode(struct view *v, struct bytes_reader *r)
{
	memset(v, 0, sizeof(*v));
	v->epoch = bytes_get_u64(r);
	v->author = bytes_get_u8(r);
	v->formation = bytes_get_u8(r);
	v->n_nodes = bytes_get_u8(r);
	v->n_instances = bytes_get_u8(r);
	v->members = bytes_get_u32(r);
	if (r->failed || v->epoch == 0 || v->formation > 1 || v->n_nodes == 0 ||
	    v->n_nodes > HAVEN_NODES_MAX || v->n_instances > HAVEN_INSTANCES_MAX ||
	    v->author >= v->n_nodes || !view_mask_fits(v->members, v->n_nodes))
		return false;
	for (unsigned i = 0; i < v->n_nodes; i++)
		v->incarnation[i] = bytes_get_u64(r);
	for (unsigned i = 0; i < v->n_instances; i++) {
		v->instance[i].holder = bytes_get_u8(r);
		v->instance[i].assigned = bytes_get_u32(r);
		v->instance[i].in_sync = bytes_get_u32(r);
		v->instance[i].lineage = bytes_get_u16(r);
		if (r->failed || !view_instance_valid(&v->instance[i], v->n_nodes))
			return false;
	}
	return !r->failed;
}

uint64_t view_digest(const struct view *v)
{
	uint8_t bytes[VIEW_BYTES_MAX];
	struct bytes_writer w = bytes_writer_init(bytes, sizeof(bytes));

	view_encode(v, &w);
	return hash_bytes(bytes, w.used, 0x76696577);
}

bool view_same_body(const struct view *a, const struct view *b)
{
	struct view x = *a, y = *b;

	x.epoch = y.epoch = 1;
	x.author = y.author = 0;
	x.formation = y.formation = 0;
	return view_digest(&x) == view_digest(&y);
}
