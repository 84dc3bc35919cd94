/* SPDX-License-Identifier: BSD-3-Clause */
/** havenctl registry: what each registry is made of, how full it is and on what it stands. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "counters.h"
#include "session.h"

static uint64_t gates_used(const struct registry *r)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < r->shape.gates; i++)
		n += load_relaxed(&r->gates[i].component) != REGISTRY_NONE;
	return n;
}

static uint64_t lanes_used(const struct registry *r)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < r->shape.lanes; i++)
		n += load_relaxed(&r->lanes[i].component) != REGISTRY_NONE;
	return n;
}

static uint64_t clients_used(const struct registry *r)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < r->shape.clients; i++)
		n += load_relaxed(&r->clients[i].pid) != 0;
	return n;
}

static uint64_t counters_bytes_used(const struct registry *r)
{
	uint64_t used = sizeof(struct counters_head);
	struct counters_view v;
	struct counter_entry e;

	if (counters_open(&v, r->counters, r->shape.counters_bytes, NULL))
		return 0;
	for (uint32_t i = 0; i < v.n; i++)
		used += counters_get(&v, i, &e) ? 0 : sizeof(e) + e.bytes;
	return used;
}

/** Records ever told; a ring keeps the newest of them. */
static uint64_t ring_used(uint64_t told, uint32_t slots)
{
	return told < slots ? told : slots;
}

/* In the order of struct registry_shape. Only the node's books know which objects wait. */
static void parts_used(const struct node *n, uint64_t used[REGISTRY_PARTS])
{
	const struct registry *r = &n->registry;
	uint64_t all[] = {n->components,
			  0,
			  gates_used(r),
			  lanes_used(r),
			  clients_used(r),
			  ring_used(load_acquire(&r->events->ring.head), r->shape.events),
			  ring_used(load_acquire(&r->watch->head), r->shape.changes),
			  counters_bytes_used(r)};

	HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(all) == REGISTRY_PARTS, "a figure for each part");
	memcpy(used, all, sizeof(all));
}

static json_t *parts_list(const struct node *n)
{
	struct registry_part part[REGISTRY_PARTS];
	uint64_t used[REGISTRY_PARTS];
	json_t *list = json_array();

	registry_shape_parts(&n->registry.shape, part);
	parts_used(n, used);
	for (unsigned i = 0; i < REGISTRY_PARTS; i++) {
		json_t *o = json_object();

		put_text(o, "name", part[i].name);
		put_count(o, "room", part[i].count);
		if (strcmp(part[i].name, "spare") == 0)
			put_null(o, "used");
		else
			put_count(o, "used", used[i]);
		put_count(o, "bytes", part[i].bytes);
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *registry_object(const struct node *n)
{
	const struct registry_header *h = &n->header;
	json_t *o = json_object();

	put_text(o, "node", node_name(n));
	put_text(o, "path", n->path);
	put_text(o, "condition", node_condition_name(n->condition));
	if (!node_readable(n)) {
		put_text(o, "error", n->text.text);
		return o;
	}
	put_count(o, "layout_version", h->layout_version);
	put_count(o, "size_bytes", n->registry.size_bytes);
	put_text(o, "pages", pages_kind_name(h->pages_kind));
	put_count(o, "huge_bytes", h->huge_bytes);
	if (h->numa_node >= 0)
		put_count(o, "numa_node", (uint64_t)h->numa_node);
	else
		put_null(o, "numa_node");
	put_yes(o, "numa_several", h->numa_node == PAGES_NODE_SEVERAL);
	json_object_set_new(o, "parts", parts_list(n));
	return o;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void print_head(const json_t *o)
{
	uint64_t huge = get_count(o, "huge_bytes");
	json_t *numa = json_object_get(o, "numa_node");

	printf("%s: %s, %s\n  layout %llu, %.1f MiB on %s pages", get_text(o, "node"),
	       get_text(o, "condition"), get_text(o, "path"),
	       (unsigned long long)get_count(o, "layout_version"),
	       (double)get_count(o, "size_bytes") / (1 << 20), get_text(o, "pages"));
	if (strcmp(get_text(o, "pages"), pages_kind_name(PAGES_USUAL)))
		printf(" (%.1f MiB on 2 MiB pages)", (double)huge / (1 << 20));
	if (json_is_integer(numa))
		printf(", NUMA node %llu", (unsigned long long)json_integer_value(numa));
	printf("%s\n", get_yes(o, "numa_several") ? ", several NUMA nodes" : "");
}

static void print_registry(const struct context *c, const json_t *o)
{
	static const struct column columns[] = {
		{"name", "PART", COLUMN_TEXT},
		{"room", "ROOM", COLUMN_COUNT},
		{"used", "USED", COLUMN_COUNT},
		{"bytes", "BYTES", COLUMN_COUNT},
	};

	if (!json_object_get(o, "parts")) {
		printf("%s: %s\n", get_text(o, "node"), get_text(o, "error"));
		return;
	}
	print_head(o);
	output_table(&c->out, json_object_get(o, "parts"), columns, HAVEN_ARRAY_LEN(columns));
}

static int show_run(struct context *c)
{
	struct session s;
	json_t *list;
	int code;

	if (c->n_args) {
		c->run_dirs[0] = c->args[0];
		c->n_run_dirs = 1;
	}
	code = session_open(&s, c);
	list = json_array();
	for (unsigned i = 0; !code && i < s.n; i++)
		json_array_append_new(list, registry_object(s.node[i]));
	session_close(&s);
	if (!code && c->out.json && !c->quiet)
		output_json("registry-list/1", json_incref(list));
	for (size_t i = 0; !code && !c->out.json && !c->quiet && i < json_array_size(list); i++)
		print_registry(c, json_array_get(list, i));
	json_decref(list);
	return code;
}

const struct command command_registry = {
	.name = "registry",
	.arguments = "[FILE]",
	.args_max = 1,
	.objects = "file",
	.summary = "how large the registries are, how full, on which pages",
	.details = "Show of each registry its size, the pages and the NUMA node that it stands on, "
		   "and of each of its parts how much room there is and how much is used (of the "
		   "counters: bytes; of the rings: what can still be read). FILE is a registry "
		   "file, a copy, too, or a run directory.",
	.run = show_run,
};
