/* SPDX-License-Identifier: BSD-3-Clause */
#include "view.h"

#include "hash.h"
#include "wire.h"

/* Bits of nodes that do not exist must be clear, so that equal views have equal bytes. */
static bool view_mask_fits(uint32_t mask, unsigned n_nodes)
{
	return n_nodes >= 32 || (mask >> n_nodes) == 0;
}

static void head_put(struct bytes_writer *at, const struct view *p)
{
	WIRE_VIEW(WIRE_PUT)
}

static void head_get(struct bytes_reader *at, struct view *p)
{
	WIRE_VIEW(WIRE_GET)
}

static void instance_put(struct bytes_writer *at, const struct view_instance *p)
{
	WIRE_VIEW_INSTANCE(WIRE_PUT)
}

static void instance_get(struct bytes_reader *at, struct view_instance *p)
{
	WIRE_VIEW_INSTANCE(WIRE_GET)
}

void view_encode(const struct view *v, struct bytes_writer *w)
{
	head_put(w, v);
	for (unsigned i = 0; i < v->n_nodes; i++)
		bytes_put_u64(w, v->incarnation[i]);
	for (unsigned i = 0; i < v->n_instances; i++)
		instance_put(w, &v->instance[i]);
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
	head_get(r, v);
	if (r->failed || v->epoch == 0 || v->formation > 1 || v->n_nodes == 0 ||
	    v->n_nodes > HAVEN_NODES_MAX || v->n_instances > HAVEN_INSTANCES_MAX ||
	    v->author >= v->n_nodes || !view_mask_fits(v->members, v->n_nodes))
		return false;
	for (unsigned i = 0; i < v->n_nodes; i++)
		v->incarnation[i] = bytes_get_u64(r);
	for (unsigned i = 0; i < v->n_instances; i++) {
		instance_get(r, &v->instance[i]);
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
