/* SPDX-License-Identifier: BSD-3-Clause */
#include "checkpoint.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "message.h"

static const struct registry_gate *gate_of(const struct checkpoint *p)
{
	const struct registry_hot *hot = &p->component.hot;
	uint64_t gate = (uint64_t)hot->gate_first + p->lane.instance - hot->instance_first;

	if (p->lane.instance < hot->instance_first ||
	    p->lane.instance - hot->instance_first >= hot->instances ||
	    gate >= p->node->registry.shape.gates)
		return NULL;
	return &p->node->registry.gates[gate];
}

/* Lane line `i` of the node as the lane 0 of a checkpoint; false when it is none. */
static bool checkpoint_read(struct checkpoint *p, const struct node *n, uint32_t i)
{
	const struct registry_gate *gate;

	*p = (struct checkpoint){.node = n, .first = i};
	if (!registry_lane_copy(&n->registry, i, &p->lane, &p->what) || p->lane.lane != 0 ||
	    p->lane.component >= n->registry.components ||
	    registry_copy_slot(&n->registry, p->lane.component, &p->component))
		return false;
	p->instance = node_instance_name(n, p->lane.instance);
	gate = gate_of(p);
	if (!gate)
		return false;
	p->generation = load_acquire(&gate->generation);
	p->role = (enum haven_role)load_relaxed(&gate->role);
	return true;
}

bool checkpoint_named(const char *given, const char *instance, const char *name)
{
	const char *slash = strchr(given, '/');
	size_t length = slash ? (size_t)(slash - given) : 0;

	if (!slash)
		return !strcmp(name, given);
	return !strcmp(name, slash + 1) && strlen(instance) == length &&
	       !strncmp(instance, given, length);
}

/* 0: what it has is not known to be whole. */
static unsigned worth(const struct checkpoint *p)
{
	const struct registry_status *s = &p->node->status;

	if (p->node->condition != NODE_RUNNING || p->lane.instance >= s->n_instances)
		return 0;
	if (p->role == HAVEN_PRIMARY)
		return 2;
	return p->role == HAVEN_SECONDARY && (s->instance[p->lane.instance].in_sync >> s->self & 1);
}

bool checkpoint_same(const struct checkpoint *p)
{
	const struct registry_gate *gate = gate_of(p);

	return load_acquire(&gate->generation) == p->generation &&
	       load_relaxed(&p->node->registry.lanes[p->first].component) == p->lane.component;
}

struct table_shape checkpoint_shape(const struct checkpoint *p)
{
	struct table_shape s = {.key_bytes = p->what.key_bytes,
				.value_bytes = p->what.value_bytes,
				.capacity = p->what.capacity,
				.lanes = p->what.lanes,
				.lane_records = p->what.lane_records,
				.kind = p->what.kind,
				.mode = p->what.mode};

	memcpy(s.name, p->what.name, sizeof(s.name));
	return s;
}

static int told_none(const struct session *s, const char *name, bool seen)
{
	const struct output *o = &s->context->out;

	if (!seen)
		return output_fail(o, EXIT_NO_OBJECT, "see havenctl checkpoint list",
				   "no node here has a checkpoint \"%s\"", name);
	return output_fail(o, EXIT_NOT_RUNNING, "see havenctl checkpoint list",
			   "no node that runs here is primary or in sync for \"%s\"", name);
}

bool checkpoint_next(struct checkpoint *p, const struct session *s, uint64_t *cursor,
		     const char *given)
{
	while (*cursor >> 32 < s->n) {
		const struct node *n = s->node[*cursor >> 32];
		uint32_t i = (uint32_t)(*cursor)++;

		if (!node_readable(n) || i >= n->registry.shape.lanes) {
			*cursor = ((*cursor >> 32) + 1) << 32;
			continue;
		}
		if (checkpoint_read(p, n, i) &&
		    (!given || checkpoint_named(given, p->instance, p->what.name)))
			return true;
	}
	return false;
}

int checkpoint_find(struct checkpoint *p, const struct session *s, const char *name)
{
	struct checkpoint found;
	uint64_t cursor = 0;
	unsigned best = 0;
	bool seen = false;

	while (checkpoint_next(&found, s, &cursor, name)) {
		seen = true;
		if (best && worth(&found) && strcmp(found.instance, p->instance))
			return output_fail(&s->context->out, EXIT_USAGE, "name one: INSTANCE/NAME",
					   "instances %s and %s have a checkpoint \"%s\"",
					   p->instance, found.instance, name);
		if (worth(&found) > best) {
			best = worth(&found);
			*p = found;
		}
	}
	return best ? EXIT_GOOD : told_none(s, name, seen);
}

int checkpoint_map(const struct checkpoint *p, const struct context *c, struct table *t)
{
	struct message m = {.type = MESSAGE_TABLE};
	struct error_text error = {""};
	struct table_shape shape;
	int fd = -1, status, socket = message_connect(p->node->path, &error);

	if (socket < 0)
		return output_fail(&c->out, exit_of_error(socket), "see havenctl status",
				   "node %s cannot be asked: %s", node_name(p->node), error.text);
	snprintf(m.u.table.instance, sizeof(m.u.table.instance), "%s", p->instance);
	snprintf(m.u.table.name, sizeof(m.u.table.name), "%s", p->what.name);
	status = message_call(socket, &m, -1, &fd, (int)(c->timeout_ns / NSEC_PER_MSEC), &error);
	close(socket);
	if (!status && fd < 0)
		status = error_set(&error, HAVEN_ESYS, "it could not open the segment anew");
	shape = m.u.table.shape;
	if (!status)
		status = table_map_read(t, fd, &shape, &error);
	if (fd >= 0)
		close(fd);
	if (!status)
		return EXIT_GOOD;
	return output_fail(&c->out, exit_of_error(status), "see havenctl status", "node %s: %s",
			   node_name(p->node), error.text[0] ? error.text : error_sentence(status));
}
