/* SPDX-License-Identifier: BSD-3-Clause */
#include "story.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "model.h"
#include "ring.h"

/* A cause older than this before the change is somebody else's. */
#define CAUSE_WINDOW_NS (30 * NSEC_PER_SEC)
#define STEPS_MAX 12

struct tale {
	struct told *told;
	size_t n;
};

static const char *name_node(void *context, unsigned node)
{
	return node_peer_name(context, node);
}

static const char *name_instance(void *context, unsigned instance)
{
	return node_instance_name(context, instance);
}

void story_sentence(const struct node *n, const struct event *e, char *text, size_t size)
{
	struct node *context = (struct node *)(uintptr_t)n;
	const struct event_names names = {name_node, name_instance, context};

	event_sentence(e, &names, text, size);
}

json_t *story_event(const struct node *n, const struct event *e)
{
	json_t *o = json_object();
	char text[512];

	put_text(o, "node", node_name(n));
	put_count(o, "seq", e->seq);
	put_count(o, "at_ns", e->at_ns);
	put_iso(o, "at", e->wall_ns);
	put_text(o, "kind", event_kind_name(e->kind));
	put_text(o, "severity", event_severity_name(e->severity));
	put_count(o, "epoch", e->epoch);
	if (e->instance < HAVEN_INSTANCES_MAX)
		put_text(o, "instance", node_instance_name(n, e->instance));
	else
		put_null(o, "instance");
	if (e->node < HAVEN_NODES_MAX)
		put_text(o, "about", node_peer_name(n, e->node));
	else
		put_null(o, "about");
	put_count(o, "a", e->a);
	put_count(o, "b", e->b);
	put_count(o, "c", e->c);
	put_text(o, "detail", e->detail);
	story_sentence(n, e, text, sizeof(text));
	put_text(o, "text", text);
	return o;
}

static void collect(struct tale *tale, const struct session *s)
{
	size_t room = 0;

	for (unsigned i = 0; i < s->n; i++)
		room += ring_slots(s->node[i]);
	tale->told = calloc(room ? room : 1, sizeof(*tale->told));
	for (unsigned i = 0; tale->told && i < s->n; i++) {
		struct ring ring;

		ring_open(&ring, s->node[i]);
		/* The node may go on writing: what is newer than the room is left for later. */
		for (uint32_t k = 0; k < ring_slots(s->node[i]) && tale->n < room; k++) {
			if (ring_next(&ring, &tale->told[tale->n].event) <= 0)
				break;
			tale->told[tale->n++].node = s->node[i];
		}
	}
	if (tale->told)
		told_sort(tale->told, tale->n);
}

static const char *teller(const struct told *t)
{
	return node_name(t->node);
}

static bool is_promotion(const struct event *e)
{
	return e->kind == EVENT_ROLE && e->b == HAVEN_PRIMARY && e->a != HAVEN_PRIMARY;
}

/*
 * The event that ends the story: somebody became primary, nobody could, or the one who was primary
 * lost it since. A loss told by another node only confirms what is known already. With no ring of
 * the new holder at hand, the loss told by the old one must do.
 */
static const struct told *find_end(const struct tale *tale)
{
	const struct told *lost = NULL;

	for (size_t i = tale->n; i-- > 0;) {
		const struct told *t = &tale->told[i];
		const struct event *e = &t->event;

		if (e->kind == EVENT_NO_SUCCESSOR)
			return t;
		if (is_promotion(e))
			return lost && lost->node == t->node && lost->event.instance == e->instance
				       ? lost
				       : t;
		if (!lost && e->kind == EVENT_ROLE && e->a == HAVEN_PRIMARY)
			lost = t;
	}
	return lost;
}

/* Who serves the instance after the story; NULL: nobody, as far as is known. */
static const char *successor(const struct session *s, const struct told *end)
{
	const struct node *best = model_authority(s);
	unsigned holder;

	if (is_promotion(&end->event))
		return teller(end);
	if (end->event.instance >= HAVEN_INSTANCES_MAX)
		return NULL;
	holder = best->status.instance[end->event.instance].holder;
	if (holder >= HAVEN_NODES_MAX || !strcmp(node_peer_name(best, holder), teller(end)))
		return NULL;
	return node_peer_name(best, holder);
}

/* Who served the instance before `end`: the teller of the promotion before it. */
static const struct told *find_before(const struct tale *tale, const struct told *end)
{
	const struct told *t = end;

	while (t-- > tale->told)
		if (t->event.kind == EVENT_ROLE && t->event.instance == end->event.instance &&
		    (is_promotion(&t->event) || t->event.a == HAVEN_PRIMARY))
			return t;
	return NULL;
}

/* How well an event explains that `from` lost an instance; 0: not at all. */
static unsigned explains(const struct told *t, const struct told *end, const char *from)
{
	const struct event *e = &t->event;
	bool there = !from || !strcmp(teller(t), from);
	bool about = !from ||
		     (e->node < HAVEN_NODES_MAX && !strcmp(node_peer_name(t->node, e->node), from));

	if (e->instance < HAVEN_INSTANCES_MAX && e->instance != end->event.instance)
		return 0;
	switch (e->kind) {
	case EVENT_SWITCHOVER:
		return 5;
	case EVENT_COMPONENT_DEAD:
	case EVENT_COMPONENT_GONE:
	case EVENT_COMPONENT_STUCK:
		return there ? 4 : 0;
	case EVENT_NODE_STOP:
		return there ? 4 : 0;
	case EVENT_PEER_SUSPECT:
		return about ? 3 : 0;
	case EVENT_LEASE_LOST:
		return there ? 2 : 0;
	case EVENT_STATE_LOST:
		return 2;
	case EVENT_COMPONENT_READY:
	case EVENT_PEER_UP:
		/* A first start: the last thing that was missing came. */
		return from ? 0 : 1;
	default:
		return 0;
	}
}

static const struct told *find_cause(const struct tale *tale, const struct told *end,
				     const struct told *before)
{
	const struct told *best = NULL;
	const char *from = before ? teller(before) : NULL;
	const struct told *t = end;
	unsigned most = 0;

	while (t-- > tale->told) {
		unsigned how;

		if (end->event.at_ns - t->event.at_ns > CAUSE_WINDOW_NS)
			break;
		/* What led to an earlier change is another story. */
		if (is_promotion(&t->event) && t->event.instance == end->event.instance)
			break;
		how = explains(t, end, from);
		/* The first of equals is the cause, the later ones repeat it. */
		if (how && how >= most) {
			most = how;
			best = t;
		}
	}
	return best;
}

/* A step between cause and end that a person wants to see. `from`: who served before, or NULL. */
static bool is_step(const struct told *t, const struct told *end, const char *from)
{
	const struct event *e = &t->event;

	if (e->instance < HAVEN_INSTANCES_MAX && e->instance != end->event.instance)
		return false;
	switch (e->kind) {
	case EVENT_COMPONENT_DEAD:
	case EVENT_COMPONENT_GONE:
	case EVENT_COMPONENT_STUCK:
	case EVENT_PEER_SUSPECT:
	case EVENT_SWITCHOVER:
	case EVENT_ROLE_RELEASED:
	case EVENT_VIEW_PROPOSED:
	case EVENT_VIEW:
	case EVENT_ROLE:
	case EVENT_NO_SUCCESSOR:
	case EVENT_FIRST_PACKET:
	case EVENT_STATE_LOST:
	case EVENT_NODE_STOP:
		return true;
	case EVENT_LEASE_LOST:
		return from && !strcmp(teller(t), from);
	default:
		return false;
	}
}

/* The same view is told by every node: only the first telling is a step. */
static bool told_before(const struct told *first, const struct told *t)
{
	if (t->event.kind != EVENT_VIEW && t->event.kind != EVENT_VIEW_PROPOSED &&
	    t->event.kind != EVENT_PEER_SUSPECT)
		return false;
	for (const struct told *p = first; p < t; p++)
		if (p->event.kind == t->event.kind && p->event.epoch == t->event.epoch &&
		    (t->event.kind != EVENT_PEER_SUSPECT || p->event.node == t->event.node))
			return true;
	return false;
}

static json_t *steps_make(const struct tale *tale, const struct told *first, const struct told *end,
			  const char *from)
{
	const struct told *stop = tale->told + tale->n;
	json_t *list = json_array();

	for (const struct told *t = first; t < stop && json_array_size(list) < STEPS_MAX; t++) {
		json_t *o;

		/* After the end only the application's first packet belongs to it. */
		if (t > end && (t->event.kind != EVENT_FIRST_PACKET ||
				t->event.at_ns - end->event.at_ns > CAUSE_WINDOW_NS))
			continue;
		if (!is_step(t, end, from) || told_before(first, t))
			continue;
		o = story_event(t->node, &t->event);
		put_count(o, "after_ns", t->event.at_ns - first->event.at_ns);
		json_array_append_new(list, o);
	}
	return list;
}

json_t *story_make(const struct session *s)
{
	struct tale tale = {0};
	const struct told *end, *before, *cause, *first;
	const char *from = NULL;
	json_t *o;

	collect(&tale, s);
	end = find_end(&tale);
	if (!end) {
		free(tale.told);
		return json_null();
	}
	before = find_before(&tale, end);
	cause = find_cause(&tale, end, before);
	first = cause ? cause : end;
	if (!is_promotion(&end->event) && end->event.kind == EVENT_ROLE)
		from = teller(end);
	else if (before)
		from = teller(before);
	o = json_object();
	put_text(o, "instance", node_instance_name(end->node, end->event.instance));
	if (from)
		put_text(o, "from", from);
	else
		put_null(o, "from");
	if (successor(s, end))
		put_text(o, "to", successor(s, end));
	else
		put_null(o, "to");
	put_iso(o, "at", first->event.wall_ns);
	put_count(o, "at_ns", first->event.at_ns);
	put_count(o, "at_wall_ns", first->event.wall_ns);
	put_text(o, "cause", cause ? event_kind_name(cause->event.kind) : "unknown");
	put_count(o, "took_ns", end->event.at_ns - first->event.at_ns);
	json_object_set_new(o, "steps", steps_make(&tale, first, end, from));
	free(tale.told);
	return o;
}
