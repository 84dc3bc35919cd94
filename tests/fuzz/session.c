/* SPDX-License-Identifier: BSD-3-Clause */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz_common.h"
#include "states.h"

#define MS 1000000ull
#define START_NS (1000 * MS)
#define LENGTH_AT 8u
/* Steps at one instant until a brain must have said all it has to say. */
#define STEPS_MAX 64u

static struct brain *brains[SESSION_NODES];
static struct brain_outputs outputs;

const struct brain *session_brain(unsigned node)
{
	return brains[node];
}

static uint64_t incarnation(unsigned node, unsigned life)
{
	return 0x1000u * (life + 1) + node;
}

/* Made once and kept: making one asks the kernel for locked pages. */
static struct auth *auth_of(const struct session *s, unsigned node, unsigned life)
{
	static struct auth *made[2][SESSION_NODES][SESSION_LIVES];
	struct auth **a = &made[s->confidential][node][life];
	struct auth_keys keys = {.n = 1, .key[0] = {.size = AUTH_KEY_MIN, .id = 3}};

	if (!*a)
		FUZZ_REQUIRE(auth_create(a, &keys, (uint8_t)node, SESSION_NODES,
					 incarnation(node, life), s->confidential) == 0);
	return *a;
}

static void config_make(struct brain_config *c, unsigned node)
{
	*c = (struct brain_config){.self = (uint8_t)node,
				   .n_nodes = SESSION_NODES,
				   .n_instances = SESSION_INSTANCES,
				   .voters = 7,
				   .witnesses = 4,
				   .interval_ns = 500000,
				   .suspect_ns = 5 * MS,
				   .lease_ns = 10 * MS,
				   .guard_ns = 500000,
				   .rate_ppm = 200,
				   .stall_ns = 2 * MS,
				   .mirror_timeout_ns = 200 * MS,
				   .verify_ns = 2 * MS};
	for (unsigned i = 0; i < SESSION_INSTANCES; i++) {
		c->instance[i].eligible = 3;
		c->instance[i].preferred = (uint8_t)i;
		c->instance[i].secondaries = 1;
	}
}

static void boot(struct session *s, unsigned node)
{
	size_t bytes = (brain_bytes(0) + 63) / 64 * 64;
	struct brain_config config;

	if (!brains[node])
		brains[node] = aligned_alloc(64, bytes);
	FUZZ_REQUIRE(brains[node] != NULL);
	config_make(&config, node);
	memset(brains[node], 0, bytes);
	brain_init(brains[node], &config, incarnation(node, s->node[node].life), s->now / 1000,
		   s->now);
}

/* ---- what a node says -------------------------------------------------------------------------
 */

static void mail_add(struct session *s, const struct session_mail *m)
{
	if (s->mail_count == SESSION_MAIL)
		session_drop(s, 0);
	s->mail[s->mail_count++] = *m;
}

/* A frame that leaves can be read, is from here, and has a number that none had before. */
static void take_frame(struct session *s, unsigned node, const struct frame *f)
{
	struct session_node *o = &s->node[node];
	struct session_mail m = {.src = (uint8_t)node, .dst = f->dst, .src_life = (uint8_t)o->life};
	struct frame copy = *f, again;
	uint8_t payload[FRAME_MIRROR_PAYLOAD_MAX] = {0};
	size_t n;

	FUZZ_REQUIRE(f->src == node && f->dst != node && f->dst < SESSION_NODES);
	FUZZ_REQUIRE(f->src_incarnation == incarnation(node, o->life));
	FUZZ_REQUIRE(f->counter > o->counter[f->dst]);
	o->counter[f->dst] = f->counter;
	if (f->type == FRAME_MIRROR &&
	    (f->u.mirror.kind == MIRROR_RECORDS || f->u.mirror.kind == MIRROR_ENTRIES)) {
		copy.u.mirror.payload = payload; /* which the node's lane would fill in */
		copy.u.mirror.payload_bytes = 32;
	}
	if (f->type == FRAME_DIGEST) {
		copy.u.digest.position = s->node[node].position;
		copy.u.digest.live = 0; /* entries that differ, see answer() */
		copy.u.digest.payload = payload;
		copy.u.digest.payload_bytes = 24;
	}
	n = frame_encode(&copy, m.bytes, FRAME_BYTES_MAX);
	FUZZ_REQUIRE(n > 0 && frame_decode(m.bytes, n, &again) == FRAME_OK);
	m.size = (uint16_t)auth_seal(auth_of(s, node, o->life), m.bytes, n, sizeof(m.bytes));
	FUZZ_REQUIRE(m.size > n);
	if (!(s->cut[node] & node_bit(f->dst)))
		mail_add(s, &m);
}

static void take_role(struct session *s, unsigned node, const struct brain_output *o)
{
	struct session_node *n = &s->node[node];

	FUZZ_REQUIRE(o->instance < SESSION_INSTANCES && o->role < HAVEN_ROLE_COUNT);
	FUZZ_REQUIRE(o->role == n->role[o->instance] ||
		     states_move_allowed((enum haven_role)n->role[o->instance],
					 (enum haven_role)o->role));
	FUZZ_REQUIRE(o->role == HAVEN_PRIMARY || o->valid_until_ns == 0);
	FUZZ_REQUIRE(o->role != HAVEN_PRIMARY || n->ready[o->instance]);
	FUZZ_REQUIRE(o->valid_until_ns <= s->now + 10 * MS);
	n->role[o->instance] = o->role;
}

/* What the node's application and its lanes answer; at most two events. */
static unsigned answer(struct session *s, unsigned node, const struct brain_output *o,
		       const struct frame *f, struct brain_event *to)
{
	struct session_node *n = &s->node[node];
	struct brain_event applied = {.kind = BRAIN_APPLIED, .slot = o->slot, .up = true};
	struct brain_event committed = {
		.kind = BRAIN_COMMITTED, .seq = n->position, .count = (uint32_t)n->position + 1};
	unsigned count = 0;

	switch (o->kind) {
	case OUT_ROLE:
		if (o->role == HAVEN_PRIMARY && o->instance == 0 && n->lane)
			to[count++] = committed;
		break;
	case OUT_CLOSE_GATE:
		if (o->instance == 0 && n->lane)
			to[count++] = committed;
		to[count++] = (struct brain_event){
			.kind = BRAIN_GATE_CLOSED, .instance = o->instance, .seq = o->seq};
		break;
	case OUT_RESET:
		n->position = o->seq;
		applied.seq = n->position;
		to[count++] = applied;
		break;
	case OUT_APPLY:
		FUZZ_REQUIRE(f && f->type == FRAME_MIRROR);
		if (f->u.mirror.kind == MIRROR_RECORDS)
			n->position = f->u.mirror.first + f->u.mirror.count - 1;
		applied.seq = n->position;
		to[count++] = applied;
		break;
	case OUT_COMPARE:
		FUZZ_REQUIRE(f && f->type == FRAME_DIGEST && o->seq == n->position);
		to[count++] = (struct brain_event){.kind = BRAIN_COMPARED,
						   .slot = o->slot,
						   .seq = f->u.digest.position,
						   .count = f->u.digest.live};
		break;
	case OUT_FRAME:
	case OUT_LEASE:
	case OUT_ACKED:
	case OUT_EVENT:
	case OUT_COMMAND_DONE:
		break;
	}
	return count;
}

static void take(struct session *s, unsigned node, const struct brain_output *o)
{
	switch (o->kind) {
	case OUT_FRAME:
		take_frame(s, node, &o->frame);
		break;
	case OUT_ROLE:
		take_role(s, node, o);
		break;
	case OUT_LEASE:
		FUZZ_REQUIRE(o->valid_until_ns <= s->now + 10 * MS);
		break;
	case OUT_ACKED:
		FUZZ_REQUIRE(o->slot == 0 && s->node[node].lane);
		break;
	case OUT_EVENT:
		FUZZ_REQUIRE(o->note < NOTE_COUNT);
		break;
	case OUT_RESET:
	case OUT_APPLY:
	case OUT_COMPARE:
		FUZZ_REQUIRE(o->slot == 0 && s->node[node].lane);
		break;
	case OUT_CLOSE_GATE:
	case OUT_COMMAND_DONE:
		FUZZ_REQUIRE(o->instance < SESSION_INSTANCES);
		break;
	}
}

/* ---- what must hold ---------------------------------------------------------------------------
 */

static void judge(struct session *s, unsigned node)
{
	struct session_node *n = &s->node[node];
	const struct view *v = brain_view(brains[node]);

	FUZZ_REQUIRE(v->epoch >= n->epoch);
	FUZZ_REQUIRE(v->n_nodes == SESSION_NODES && v->n_instances == SESSION_INSTANCES);
	n->epoch = v->epoch;
	FUZZ_REQUIRE(brain_lease_until(brains[node]) <= s->now + 10 * MS);
	for (unsigned i = 0; i < SESSION_INSTANCES; i++) {
		unsigned acting = 0;

		FUZZ_REQUIRE(brain_role(brains[node], i) == n->role[i]);
		if (brain_may_act(brains[node], i, s->now))
			FUZZ_REQUIRE(v->instance[i].holder == node && n->role[i] == HAVEN_PRIMARY &&
				     n->ready[i]);
		for (unsigned k = 0; k < SESSION_NODES; k++)
			acting += brain_may_act(brains[k], i, s->now);
		FUZZ_REQUIRE(s->forged || acting <= 1);
	}
}

/* The event and all that it brings about at once. */
void session_event(struct session *s, unsigned node, struct brain_event e)
{
	struct brain_event todo[STEPS_MAX];
	unsigned n = 0, done = 0, again = 0;

	todo[n++] = e;
	while (done < n) {
		struct brain_event now = todo[done++];

		brain_step(brains[node], s->now, &now, &outputs);
		FUZZ_REQUIRE(outputs.n <= BRAIN_OUTPUTS_MAX);
		for (unsigned i = 0; i < outputs.n; i++) {
			take(s, node, &outputs.out[i]);
			FUZZ_REQUIRE(n + 3 <= STEPS_MAX);
			n += answer(s, node, &outputs.out[i], now.frame, &todo[n]);
		}
		if (outputs.more) {
			FUZZ_REQUIRE(again++ < STEPS_MAX && n < STEPS_MAX);
			todo[n++] = (struct brain_event){.kind = BRAIN_TICK};
		}
	}
	judge(s, node);
}

/* ---- the way ----------------------------------------------------------------------------------
 */

static void receive(struct session *s, const struct session_mail *m, uint8_t link)
{
	uint8_t copy[SESSION_FRAME_MAX], *bytes, src;
	size_t size;
	struct frame f;
	struct brain_event e = {
		.kind = BRAIN_FRAME, .link = (uint8_t)(link % HAVEN_LINKS_MAX), .frame = &f};

	memcpy(copy, m->bytes, m->size);
	bytes = copy;
	if (auth_open(auth_of(s, m->dst, s->node[m->dst].life), bytes, m->size, &size, &src) !=
		    FRAME_OK ||
	    frame_decode(bytes, size, &f) != FRAME_OK)
		return;
	FUZZ_REQUIRE(src == f.src);
	if (m->dst == 0)
		s->last = *m;
	session_event(s, m->dst, e);
}

void session_drop(struct session *s, unsigned k)
{
	s->mail_count--;
	memmove(&s->mail[k], &s->mail[k + 1], (s->mail_count - k) * sizeof(s->mail[0]));
}

void session_deliver(struct session *s, unsigned k, uint8_t link, bool keep)
{
	struct session_mail m;

	if (s->mail_count == 0)
		return;
	k %= s->mail_count;
	m = s->mail[k];
	if (!keep)
		session_drop(s, k);
	receive(s, &m, link);
}

void session_replay(struct session *s, uint8_t link)
{
	const struct session_mail m = s->last;

	if (m.size)
		receive(s, &m, link);
}

/* Seal a plain frame in the name of the node that its header gives, in its life. */
static bool seal(struct session *s, struct session_mail *m, size_t n)
{
	m->bytes[LENGTH_AT] = (uint8_t)(n - FRAME_HEADER_BYTES);
	m->bytes[LENGTH_AT + 1] = (uint8_t)((n - FRAME_HEADER_BYTES) >> 8);
	m->size =
		(uint16_t)auth_seal(auth_of(s, m->src, m->src_life), m->bytes, n, sizeof(m->bytes));
	return m->size != 0;
}

void session_forge(struct session *s, unsigned k, uint16_t at, const uint8_t *bytes, size_t n)
{
	struct session_mail m;
	size_t size;
	uint8_t src;

	if (s->mail_count == 0)
		return;
	m = s->mail[k % s->mail_count];
	if (m.dst != 0 ||
	    auth_open(auth_of(s, 0, s->node[0].life), m.bytes, m.size, &size, &src) != FRAME_OK)
		return;
	at %= size;
	memcpy(m.bytes + at, bytes, n > size - at ? size - at : n);
	s->forged = true;
	if (seal(s, &m, size))
		receive(s, &m, 0);
}

void session_invent(struct session *s, uint8_t src, uint8_t type, const uint8_t *body, size_t n)
{
	struct session_mail m = {.src = src, .src_life = (uint8_t)s->node[src].life};
	struct frame f = {.type = FRAME_BEAT,
			  .src = src,
			  .src_incarnation = incarnation(src, m.src_life),
			  .dst_incarnation = incarnation(0, s->node[0].life),
			  .counter = s->node[src].counter[0] + 1,
			  .u.beat.seq = 1};

	frame_encode(&f, m.bytes, FRAME_BYTES_MAX);
	m.bytes[3] = type;
	n = n > FRAME_BYTES_MAX - FRAME_HEADER_BYTES ? FRAME_BYTES_MAX - FRAME_HEADER_BYTES : n;
	memcpy(m.bytes + FRAME_HEADER_BYTES, body, n);
	s->forged = true;
	if (seal(s, &m, FRAME_HEADER_BYTES + n))
		receive(s, &m, 0);
}

/* ---- the course of things ---------------------------------------------------------------------
 */

void session_sleep(struct session *s, uint64_t ns)
{
	s->now += ns;
}

void session_tick(struct session *s)
{
	s->now += SESSION_TICK_NS;
	/* What comes of it waits for the next instant. */
	for (unsigned left = s->mail_count; left && s->mail_count; left--)
		session_deliver(s, 0, 0, false);
	for (unsigned k = 0; k < SESSION_NODES; k++)
		session_event(s, k, (struct brain_event){.kind = BRAIN_TICK});
}

void session_component(struct session *s, unsigned node, unsigned instance, bool up)
{
	s->node[node].ready[instance] = up;
	session_event(s, node,
		      (struct brain_event){
			      .kind = BRAIN_COMPONENT, .instance = (uint8_t)instance, .up = up});
	if (!up)
		session_event(s, node,
			      (struct brain_event){.kind = BRAIN_COPY_LOST,
						   .instance = (uint8_t)instance});
	if (instance)
		return;
	s->node[node].position = up ? s->node[node].position : 0;
	if (s->node[node].lane != up) {
		s->node[node].lane = up;
		session_event(s, node,
			      (struct brain_event){.kind = up ? BRAIN_SLOT_OPEN : BRAIN_SLOT_CLOSE,
						   .shape = 7,
						   .record_bytes = 64,
						   .digest_bytes = 24,
						   .lane_records = 256});
	}
}

void session_commit(struct session *s, unsigned node, unsigned records)
{
	struct session_node *n = &s->node[node];

	if (!n->lane || n->role[0] != HAVEN_PRIMARY)
		return;
	n->position += records;
	session_event(s, node,
		      (struct brain_event){.kind = BRAIN_COMMITTED,
					   .seq = n->position,
					   .count = (uint32_t)n->position + 1});
}

void session_restart(struct session *s, unsigned node)
{
	struct session_node *n = &s->node[node];

	if (n->life + 1 == SESSION_LIVES)
		return;
	*n = (struct session_node){.life = n->life + 1};
	boot(s, node);
	if (node == 0)
		s->last.size = 0;
	for (unsigned i = 0; i < SESSION_INSTANCES && node != 2; i++)
		session_component(s, node, i, true);
}

void session_start(struct session *s, bool confidential)
{
	memset(s, 0, sizeof(*s));
	s->confidential = confidential;
	s->now = START_NS;
	for (unsigned k = 0; k < SESSION_NODES; k++)
		boot(s, k);
	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < SESSION_INSTANCES; i++)
			session_component(s, k, i, true);
}

/* ---- a state to return to ---------------------------------------------------------------------
 */

static struct kept {
	struct session session;
	struct brain *brain[SESSION_NODES];
} kept[2];

void session_keep(const struct session *s)
{
	struct kept *to = &kept[s->confidential];
	size_t bytes = (brain_bytes(0) + 63) / 64 * 64;

	to->session = *s;
	for (unsigned k = 0; k < SESSION_NODES; k++) {
		to->brain[k] = aligned_alloc(64, bytes);
		FUZZ_REQUIRE(to->brain[k] != NULL);
		memcpy(to->brain[k], brains[k], brain_bytes(0));
	}
}

void session_return(struct session *s, bool confidential)
{
	*s = kept[confidential].session;
	for (unsigned k = 0; k < SESSION_NODES; k++)
		memcpy(brains[k], kept[confidential].brain[k], brain_bytes(0));
}
