/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The section `registry`: sizes and pages of the registry, and whether this host has room for them.
 */
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "config_yaml.h"
#include "haven_assert.h"
#include "registry.h"

#define MIB (1024.0 * 1024.0)
#define NUMA_NODE_MAX 1023

static const char *const field_names[CONFIG_REGISTRY_FIELDS] = {
	[CONFIG_REGISTRY_COMPONENTS] = "components", [CONFIG_REGISTRY_SPARE] = "spare",
	[CONFIG_REGISTRY_GATES] = "gates",           [CONFIG_REGISTRY_LANES] = "lanes",
	[CONFIG_REGISTRY_CLIENTS] = "clients",       [CONFIG_REGISTRY_EVENTS] = "events",
	[CONFIG_REGISTRY_CHANGES] = "changes",       [CONFIG_REGISTRY_COUNTERS] = "counters",
};

/* ---- reading ----------------------------------------------------------------------------------
 */

static bool take_count(struct config_reader *r, yaml_node_t *v, enum config_registry_field field,
		       uint64_t max, uint32_t *out)
{
	uint64_t value = 0;

	r->config->registry.field_mark[field] = config_mark_of(v);
	if (!config_number(r, v, field_names[field], 1, max, &value))
		return false;
	*out = (uint32_t)value;
	return true;
}

#define COUNT(key, field, limit)                                                                   \
	static void take_##key(struct config_reader *r, yaml_node_t *v)                            \
	{                                                                                          \
		take_count(r, v, field, limit, &r->config->registry.shape.key);                    \
	}

COUNT(components, CONFIG_REGISTRY_COMPONENTS, REGISTRY_COMPONENTS_LIMIT)
COUNT(spare, CONFIG_REGISTRY_SPARE, REGISTRY_COMPONENTS_LIMIT)
COUNT(gates, CONFIG_REGISTRY_GATES, REGISTRY_GATES_LIMIT)
COUNT(lanes, CONFIG_REGISTRY_LANES, REGISTRY_LANES_LIMIT)
COUNT(clients, CONFIG_REGISTRY_CLIENTS, REGISTRY_CLIENTS_LIMIT)
#undef COUNT

static void take_ring(struct config_reader *r, yaml_node_t *v, enum config_registry_field field,
		      uint32_t *out)
{
	uint32_t value = 0, below = 1;
	char remedy[64];

	if (!take_count(r, v, field, REGISTRY_RING_LIMIT, &value))
		return;
	*out = value;
	if ((value & (value - 1)) == 0)
		return;
	while (below * 2 < value)
		below *= 2;
	snprintf(remedy, sizeof(remedy), "%s: %u or %u", field_names[field], below, 2 * below);
	config_note(r->config, false, config_mark_of(v), remedy, "%s %u is not a power of two",
		    field_names[field], value);
}

static void take_events(struct config_reader *r, yaml_node_t *v)
{
	take_ring(r, v, CONFIG_REGISTRY_EVENTS, &r->config->registry.shape.events);
}

static void take_changes(struct config_reader *r, yaml_node_t *v)
{
	take_ring(r, v, CONFIG_REGISTRY_CHANGES, &r->config->registry.shape.changes);
}

static void take_counters(struct config_reader *r, yaml_node_t *v)
{
	uint64_t bytes = 0;

	r->config->registry.field_mark[CONFIG_REGISTRY_COUNTERS] = config_mark_of(v);
	if (config_bytes(r, v, "counters", REGISTRY_COUNTERS_LIMIT, &bytes))
		r->config->registry.shape.counters_bytes =
			(uint32_t)((bytes + HAVEN_CACHE_LINE - 1) / HAVEN_CACHE_LINE *
				   HAVEN_CACHE_LINE);
}

static void take_hugepages(struct config_reader *r, yaml_node_t *v)
{
	struct config_registry *g = &r->config->registry;
	const char *text = config_scalar(r, v, "hugepages");

	g->pages_mark = config_mark_of(v);
	if (!text)
		return;
	if (strcmp(text, "no") == 0)
		g->pages = PAGES_USUAL;
	else if (strcmp(text, "transparent") == 0)
		g->pages = PAGES_TRANSPARENT;
	else if (strncmp(text, "hugetlbfs /", strlen("hugetlbfs /")) == 0 &&
		 strlen(text) < strlen("hugetlbfs ") + sizeof(g->huge_dir)) {
		g->pages = PAGES_HUGE;
		snprintf(g->huge_dir, sizeof(g->huge_dir), "%s", text + strlen("hugetlbfs "));
	} else
		config_note(r->config, false, g->pages_mark,
			    "use no | transparent | hugetlbfs DIRECTORY, with an absolute path",
			    "hugepages cannot be '%.40s'", text);
}

static void take_numa(struct config_reader *r, yaml_node_t *v)
{
	struct config_registry *g = &r->config->registry;
	const char *text = config_scalar(r, v, "numa");
	uint64_t node = 0;

	g->numa_mark = config_mark_of(v);
	if (!text)
		return;
	if (strcmp(text, "auto") == 0)
		g->numa = CONFIG_NUMA_AUTO;
	else if (strcmp(text, "no") == 0)
		g->numa = CONFIG_NUMA_NONE;
	else if (text[0] < '0' || text[0] > '9')
		config_note(r->config, false, g->numa_mark, "use auto | no | the node's number",
			    "numa cannot be '%.40s'", text);
	else if (config_number(r, v, "numa", 0, NUMA_NODE_MAX, &node))
		g->numa = (int32_t)node;
}

static const struct config_key registry_keys[] = {
	{"components", take_components, false, NULL}, {"spare", take_spare, false, NULL},
	{"gates", take_gates, false, NULL},           {"lanes", take_lanes, false, NULL},
	{"clients", take_clients, false, NULL},       {"events", take_events, false, NULL},
	{"changes", take_changes, false, NULL},       {"counters", take_counters, false, NULL},
	{"hugepages", take_hugepages, false, NULL},   {"numa", take_numa, false, NULL},
};

void config_take_registry(struct config_reader *r, yaml_node_t *v)
{
	struct config_registry *g = &r->config->registry;

	g->mark = g->pages_mark = g->numa_mark = config_mark_of(v);
	for (unsigned i = 0; i < CONFIG_REGISTRY_FIELDS; i++)
		g->field_mark[i] = g->mark;
	config_mapping(r, v, "registry", registry_keys, HAVEN_ARRAY_LEN(registry_keys));
}

/* ---- room on this host ------------------------------------------------------------------------
 */

/** What is to be made, with its figures. */
struct room {
	struct registry_shape shape;
	uint64_t file_bytes, books_bytes;
	struct registry_part most;    /**< the field that takes most */
	struct config_mark most_mark; /**< its place in the file */
};

static void room_fill(const struct config *c, struct room *room)
{
	struct registry_part part[REGISTRY_PARTS];
	unsigned most;

	HAVEN_STATIC_ASSERT(REGISTRY_PARTS == CONFIG_REGISTRY_FIELDS, "the same order");
	registry_shape_parts(&room->shape, part);
	most = registry_shape_largest(part);
	room->most = part[most];
	room->most_mark = c->registry.field_mark[most];
	room->file_bytes = pages_round(c->registry.pages, room->file_bytes);
	room->books_bytes = registry_books_bytes(&room->shape);
}

static void note_room(struct config *c, const struct room *room, uint64_t needed, const char *where,
		      uint64_t free_bytes, const char *more)
{
	char remedy[320];

	snprintf(remedy, sizeof(remedy), "%s: less than %u, or %s", room->most.name,
		 room->most.count, more);
	config_note(c, false, room->most_mark, remedy,
		    "the registry needs %.1f MiB of %s, where %.1f MiB are free; most of it, %.1f "
		    "MiB, is for %s %u",
		    (double)needed / MIB, where, (double)free_bytes / MIB,
		    (double)room->most.bytes / MIB, room->most.name, room->most.count);
}

/** MemAvailable, UINT64_MAX when the system does not tell. */
static uint64_t memory_available(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	uint64_t bytes = UINT64_MAX;
	unsigned long long kib;
	char line[128];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			bytes = kib * 1024;
	}
	if (file)
		fclose(file);
	return bytes;
}

static void check_memory(struct config *c, const struct room *room)
{
	uint64_t there = memory_available(), needed = room->books_bytes;

	if (c->registry.pages != PAGES_HUGE)
		needed += room->file_bytes;
	if (needed > there)
		note_room(c, room, needed, "memory", there, "give this host more memory");
}

/** Free bytes where `path` stands or would stand; false: not known. */
static bool bytes_free(const char *path, uint64_t *out)
{
	char folder[CONFIG_PATH_MAX];
	struct statvfs fs;
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	while (statvfs(folder[0] ? folder : "/", &fs) != 0) {
		slash = strrchr(folder, '/');
		if (errno != ENOENT || !slash)
			return false;
		*slash = 0;
	}
	*out = (uint64_t)fs.f_bavail * fs.f_frsize;
	return fs.f_blocks != 0; /* 0: it tells no size */
}

static void check_run_dir(struct config *c, const struct room *room, const char *run_dir)
{
	uint64_t there;

	if (bytes_free(run_dir, &there) && there < room->file_bytes)
		note_room(c, room, room->file_bytes, run_dir, there,
			  "make room there (a node that starts again needs it twice)");
}

static void check_huge(struct config *c, const struct room *room)
{
	uint64_t needed = room->file_bytes, there;
	const char *dir = c->registry.huge_dir;
	char remedy[320], where[CONFIG_PATH_MAX + 16];
	struct statfs fs;

	snprintf(remedy, sizeof(remedy), "mount -t hugetlbfs -o pagesize=2M none %.200s", dir);
	if (statfs(dir, &fs) != 0)
		config_note(c, false, c->registry.pages_mark, remedy, "hugepages: %.200s: %s", dir,
			    strerror(errno));
	else if ((unsigned long)fs.f_type != HUGETLBFS_MAGIC ||
		 (uint64_t)fs.f_bsize != PAGES_HUGE_BYTES)
		config_note(c, false, c->registry.pages_mark, remedy,
			    "hugepages: %.200s is no file system of 2 MiB pages", dir);
	there = pages_huge_free() * PAGES_HUGE_BYTES;
	if (there >= needed)
		return;
	snprintf(where, sizeof(where), "2 MiB pages in %.200s", dir);
	snprintf(remedy, sizeof(remedy), "sysctl vm.nr_hugepages: %llu more",
		 (unsigned long long)((needed - there) / PAGES_HUGE_BYTES));
	note_room(c, room, needed, where, there, remedy);
}

static void check_numa(struct config *c)
{
	char path[64];
	struct stat st;

	if (c->registry.numa < 0)
		return;
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", (int)c->registry.numa);
	if (stat(path, &st) != 0)
		config_note(c, false, c->registry.numa_mark, "numa: auto",
			    "numa: this host has no NUMA node %d", (int)c->registry.numa);
}

static void check_counters(struct config *c, uint32_t needed)
{
	uint32_t given = c->registry.shape.counters_bytes;
	char remedy[64];

	if (given == 0 || given >= needed)
		return;
	snprintf(remedy, sizeof(remedy), "counters: %uKiB or more, or leave it out",
		 (needed + 1023) / 1024);
	config_note(c, false, c->registry.field_mark[CONFIG_REGISTRY_COUNTERS], remedy,
		    "counters: what a node of this cluster counts needs %u bytes, not %u", needed,
		    given);
}

void config_registry_shape(const struct config *c, uint32_t counters_room,
			   struct registry_shape *out)
{
	*out = c->registry.shape;
	if (out->counters_bytes == 0)
		out->counters_bytes = counters_room;
}

void config_check_registry(struct config *c, const struct config_node *me, uint32_t counters_needed,
			   uint32_t counters_room)
{
	struct error_text error;
	struct room room;

	config_registry_shape(c, counters_room, &room.shape);
	if (registry_shape_check(&room.shape, &room.file_bytes, &error)) {
		config_note(c, false, c->registry.mark, NULL, "%s", error.text);
		return;
	}
	room_fill(c, &room);
	check_counters(c, counters_needed);
	check_memory(c, &room);
	check_numa(c);
	if (c->registry.pages == PAGES_HUGE)
		check_huge(c, &room);
	else if (me)
		check_run_dir(c, &room, me->run_dir);
}
