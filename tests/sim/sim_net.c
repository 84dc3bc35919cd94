/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_net.h"

#include "hash.h"
#include "mirror_digest.h"
#include "sim_world.h"

#define POOL_END UINT32_MAX

enum drop_reason { DROP_PORT_FULL = 1, DROP_CORRUPT, DROP_OTHER_LIFE, DROP_MALFORMED };

static void net_push_free(struct sim_net *net, uint32_t index)
{
	net->pool[index].next_free = net->free_head;
	net->free_head = index;
}

void sim_net_reset(struct sim_world *w)
{
	struct sim_net *net = &w->net;
	uint64_t most = w->options.delay_ns;

	net->free_head = POOL_END;
	net->untouched = 0;
	memset(net->recorded, 0, sizeof(net->recorded));
	net->records = 0;
	for (unsigned s = 0; s < sim_drawn_nodes(&w->options); s++)
		for (unsigned d = 0; d < sim_drawn_nodes(&w->options); d++)
			for (unsigned l = 0; l < SIM_LINKS; l++)
				net->path[s][d][l] = (struct sim_path){
					.delay_ns = sim_between(w, 1000, most),
					.jitter_ns = sim_between(w, 500, most / 2 + 1000)};
}

static uint32_t net_alloc(struct sim_world *w)
{
	uint32_t index = w->net.free_head;

	if (index == POOL_END)
		return w->net.untouched < SIM_POOL_FRAMES ? w->net.untouched++ : POOL_END;
	w->net.free_head = w->net.pool[index].next_free;
	return index;
}

static bool net_fault(struct sim_world *w, enum sim_fault fault)
{
	if (!w->faults_on || !w->options.rate[fault] ||
	    !prng_chance_ppm(&w->prng, w->options.rate[fault]))
		return false;
	w->stats.faults[fault]++;
	return true;
}

/* Keep some frames of all ages: early ones stay with luck, so that a frame of a much earlier
 * epoch or life can come back. */
static void net_record(struct sim_world *w, const struct sim_frame *f)
{
	struct sim_net *net = &w->net;
	uint32_t place, index;

	if (!w->options.rate[SIM_FAULT_REPLAY])
		return;
	place = (uint32_t)prng_below(&w->prng, net->records < SIM_RECORDED ? SIM_RECORDED
									   : SIM_RECORDED * 16);
	net->records++;
	if (place >= SIM_RECORDED)
		return;
	index = net->recorded[place] ? net->recorded[place] - 1 : net_alloc(w);
	if (index == POOL_END)
		return;
	net->pool[index] = *f;
	net->recorded[place] = index + 1;
}

static void net_carry(struct sim_world *w, const struct sim_frame *from, uint64_t leaves)
{
	struct sim_path *path = &w->net.path[from->src][from->dst][from->link];
	uint64_t at = leaves + path->delay_ns + prng_below(&w->prng, path->jitter_ns);
	uint32_t index;
	struct sim_frame *f;

	if (w->now < path->cut_until || net_fault(w, SIM_FAULT_LOSS)) {
		w->stats.frames_dropped++;
		return;
	}
	if (at < path->clog_until)
		at = path->clog_until + prng_below(&w->prng, path->jitter_ns);
	if (net_fault(w, SIM_FAULT_LATE))
		at += sim_duration(w, w->options.interval_ns / 8, w->options.lease_ns * 10);
	index = net_alloc(w);
	if (index == POOL_END) {
		w->stats.frames_dropped++;
		return;
	}
	f = &w->net.pool[index];
	f->bytes = from->bytes;
	f->src = from->src;
	f->dst = from->dst;
	f->link = from->link;
	f->type = from->type;
	f->counter = from->counter;
	f->corrupt = net_fault(w, SIM_FAULT_CORRUPT);
	memcpy(f->data, from->data, from->bytes);
	if (f->corrupt)
		f->data[prng_below(&w->prng, f->bytes)] ^=
			(uint8_t)(1u << (unsigned)prng_below(&w->prng, 8));
	sim_schedule(w, at, SIM_EV_FRAME, f->dst, SIM_NONE, index);
}

static void net_fill_digest(struct sim_world *w, unsigned node, struct frame *f, unsigned slot,
			    uint8_t *data)
{
	struct frame_digest *d = &f->u.digest;
	int bytes = mirror_digest_fill(&w->node[node].app[slot / SIM_LANES].table, slot % SIM_LANES,
				       d, frame_digest_payload(data), FRAME_MIRROR_PAYLOAD_MAX);

	if (bytes < 0)
		sim_fail(w, SIM_BOUNDS, node, slot / SIM_LANES,
			 "a block of digests does not fit its frame (first, count)", d->first,
			 d->count, 0);
	d->payload = frame_digest_payload(data);
	d->payload_bytes = bytes > 0 ? (uint16_t)bytes : 0;
}

/* Payload of records or entries, as the node's glue fills it. False: there is nothing to send. */
static bool net_fill(struct sim_world *w, unsigned node, struct frame *f, unsigned slot,
		     uint8_t *data)
{
	struct frame_mirror *m = &f->u.mirror;
	const struct sim_app *app = &w->node[node].app[slot / SIM_LANES];
	uint8_t *payload = frame_mirror_payload(data);
	int bytes;

	if (m->kind != MIRROR_RECORDS && m->kind != MIRROR_ENTRIES)
		return true;
	if (m->kind == MIRROR_RECORDS)
		bytes = mirror_io_fill_records(&app->table, slot % SIM_LANES, m->first, m->count,
					       payload, FRAME_MIRROR_PAYLOAD_MAX);
	else
		bytes = mirror_io_fill_entries(&app->table, slot % SIM_LANES, (uint32_t)m->first,
					       m->count, payload, FRAME_MIRROR_PAYLOAD_MAX);
	if (bytes < 0) {
		sim_fail(w, SIM_C7, node, slot / SIM_LANES,
			 "the brain sends what its lane cannot give any more (error, first, count)",
			 (uint64_t)-bytes, m->first, m->count);
		return false;
	}
	m->payload = payload;
	m->payload_bytes = (uint16_t)bytes;
	return true;
}

void sim_net_send(struct sim_world *w, unsigned node, struct brain_output *o, uint64_t held_ns)
{
	struct frame *f = &o->frame;
	static struct sim_frame out;
	size_t bytes;

	if (f->dst >= w->options.nodes || f->dst == node || f->src != node) {
		sim_fail(w, SIM_BOUNDS, node, SIM_NONE, "frame with a wrong address (src, dst)",
			 f->src, f->dst, 0);
		return;
	}
	if (f->type == FRAME_MIRROR && !net_fill(w, node, f, o->slot, out.data))
		return;
	if (f->type == FRAME_DIGEST)
		net_fill_digest(w, node, f, o->slot, out.data);
	bytes = frame_encode(f, out.data, sizeof(out.data));
	if (bytes == 0) {
		sim_fail(w, SIM_BOUNDS, node, SIM_NONE, "frame does not encode (type)", f->type, 0,
			 0);
		return;
	}
	out.bytes = (uint16_t)bytes;
	out.src = (uint8_t)node;
	out.dst = f->dst;
	out.type = f->type;
	out.counter = f->counter;
	sim_hash(w, bytes, hash_bytes(out.data, bytes, f->type));
	sim_trace_add(&w->trace, w->now, SIM_TR_SEND, node, SIM_NONE, f->dst, f->type, f->counter);
	w->stats.frames_sent++;
	for (out.link = 0; out.link < w->options.links; out.link++) {
		if (!(o->links >> out.link & 1))
			continue;
		net_carry(w, &out, w->now + held_ns);
		if (net_fault(w, SIM_FAULT_DUPLICATE))
			net_carry(w, &out, w->now + held_ns);
	}
	out.link = 0;
	net_record(w, &out);
	if (net_fault(w, SIM_FAULT_REPLAY))
		sim_schedule(w, w->now + sim_duration(w, 1000, w->options.lease_ns * 4),
			     SIM_EV_REPLAY, SIM_NONE, SIM_NONE,
			     (uint32_t)prng_below(&w->prng, SIM_RECORDED));
}

void sim_net_replay(struct sim_world *w, uint32_t record)
{
	if (w->net.recorded[record])
		net_carry(w, &w->net.pool[w->net.recorded[record] - 1], w->now);
}

static void net_drop(struct sim_world *w, uint32_t index, enum drop_reason why)
{
	const struct sim_frame *f = &w->net.pool[index];

	w->stats.frames_dropped++;
	sim_trace_add(&w->trace, w->now, SIM_TR_DROP, f->dst, SIM_NONE, f->src, f->type, why);
	sim_net_release(w, index);
}

void sim_net_arrive(struct sim_world *w, uint32_t index)
{
	struct sim_node *n = &w->node[w->net.pool[index].dst];

	if (!n->up || n->rx_count == SIM_RX_MAX || w->now < n->deaf_until) {
		net_drop(w, index, DROP_PORT_FULL);
		return;
	}
	n->rx[(n->rx_head + n->rx_count++) % SIM_RX_MAX] = index;
	sim_node_wake(w, n, w->options.wake_ns);
}

bool sim_net_take(struct sim_world *w, struct sim_node *n, struct frame *f, uint8_t *link,
		  uint32_t *index)
{
	while (n->rx_count) {
		uint32_t i = n->rx[n->rx_head];
		const struct sim_frame *raw = &w->net.pool[i];
		enum frame_fault fault = frame_decode(raw->data, raw->bytes, f);

		n->rx_head = (n->rx_head + 1) % SIM_RX_MAX;
		n->rx_count--;
		if (raw->corrupt) { /* decoded for exercise only: the tag would have failed */
			net_drop(w, i, DROP_CORRUPT);
			continue;
		}
		if (fault != FRAME_OK) {
			sim_fail(w, SIM_BOUNDS, raw->dst, SIM_NONE,
				 "a frame does not decode as it was encoded (fault, type)", fault,
				 raw->type, 0);
			net_drop(w, i, DROP_MALFORMED);
			continue;
		}
		if (f->dst_incarnation != 0 && f->dst_incarnation != n->incarnation) {
			net_drop(w, i, DROP_OTHER_LIFE);
			continue;
		}
		w->stats.frames_taken++;
		sim_trace_add(&w->trace, w->now, SIM_TR_TAKE, raw->dst, SIM_NONE, raw->src,
			      raw->type, raw->counter);
		*link = raw->link;
		*index = i;
		return true;
	}
	return false;
}

void sim_net_release(struct sim_world *w, uint32_t index)
{
	net_push_free(&w->net, index);
}

void sim_net_flush(struct sim_world *w, struct sim_node *n)
{
	while (n->rx_count) {
		sim_net_release(w, n->rx[n->rx_head]);
		n->rx_head = (n->rx_head + 1) % SIM_RX_MAX;
		n->rx_count--;
	}
}

void sim_net_cut(struct sim_world *w, unsigned from, unsigned to, unsigned link, uint64_t until)
{
	struct sim_path *path = &w->net.path[from][to][link];

	if (path->cut_until < until)
		path->cut_until = until;
}

void sim_net_heal(struct sim_world *w)
{
	for (unsigned s = 0; s < w->options.nodes; s++)
		for (unsigned d = 0; d < w->options.nodes; d++)
			for (unsigned l = 0; l < SIM_LINKS; l++)
				w->net.path[s][d][l].cut_until = w->net.path[s][d][l].clog_until =
					0;
}
