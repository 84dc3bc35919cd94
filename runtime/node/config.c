/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The schema of the configuration file: one table of keys per mapping, one function per key.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "config_yaml.h"
#include "haven_assert.h"

#define MEMORY_MB_DEFAULT 64

/* ---- timers --------------------------------------------------------------------------------- */

#define TIMER(key, mark_field)                                                                     \
	static void take_##key(struct config_reader *r, yaml_node_t *v)                            \
	{                                                                                          \
		r->config->timers.mark_field = config_mark_of(v);                                  \
		config_duration(r, v, #key, &r->config->timers.key##_ns);                          \
	}

TIMER(interval, interval_mark)
TIMER(suspect, suspect_mark)
TIMER(lease, lease_mark)
TIMER(guard, guard_mark)
TIMER(stall, mark)
TIMER(mirror_timeout, mirror_mark)
TIMER(stuck, stuck_mark)
#undef TIMER

static void take_rate_ppm(struct config_reader *r, yaml_node_t *v)
{
	config_number(r, v, "rate_ppm", 1, 10000, &r->config->timers.rate_ppm);
}

/* A plain 0 is allowed here, and switches off what the duration is of. */
static void duration_or_none(struct config_reader *r, yaml_node_t *v, const char *name,
			     uint64_t *out)
{
	if (v->type == YAML_SCALAR_NODE && !strcmp((const char *)v->data.scalar.value, "0"))
		*out = 0;
	else
		config_duration(r, v, name, out);
}

static void take_hold_max(struct config_reader *r, yaml_node_t *v)
{
	r->config->timers.hold_mark = config_mark_of(v);
	duration_or_none(r, v, "hold_max", &r->config->timers.hold_max_ns);
}

static void take_verify(struct config_reader *r, yaml_node_t *v)
{
	duration_or_none(r, v, "verify", &r->config->timers.verify_ns);
}

static void take_gray_percent(struct config_reader *r, yaml_node_t *v)
{
	config_number(r, v, "gray_percent", 0, 100, &r->config->timers.gray_percent);
}

static const struct config_key timer_keys[] = {
	{"interval", take_interval, false, NULL},
	{"suspect", take_suspect, false, NULL},
	{"lease", take_lease, false, NULL},
	{"guard", take_guard, false, NULL},
	{"rate_ppm", take_rate_ppm, false, NULL},
	{"stall", take_stall, false, NULL},
	{"stuck", take_stuck, false, NULL},
	{"mirror_timeout", take_mirror_timeout, false, NULL},
	{"hold_max", take_hold_max, false, NULL},
	{"gray_percent", take_gray_percent, false, NULL},
	{"verify", take_verify, false, NULL},
};

static void take_timers(struct config_reader *r, yaml_node_t *v)
{
	struct config_timers *t = &r->config->timers;

	t->mark = config_mark_of(v);
	t->interval_mark = t->suspect_mark = t->lease_mark = t->guard_mark = t->mark;
	t->stuck_mark = t->mirror_mark = t->hold_mark = t->mark;
	config_mapping(r, v, "timers", timer_keys, HAVEN_ARRAY_LEN(timer_keys));
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static void take_node_name(struct config_reader *r, yaml_node_t *v)
{
	config_name(r, v, "a node's name", r->node->name);
}

static void take_node_id(struct config_reader *r, yaml_node_t *v)
{
	uint64_t id = 0;

	r->node->id_mark = config_mark_of(v);
	if (config_number(r, v, "id", 0, HAVEN_NODES_MAX - 1, &id))
		r->node->id = (int32_t)id;
}

static void take_run_dir(struct config_reader *r, yaml_node_t *v)
{
	r->node->run_dir_mark = config_mark_of(v);
	config_path(r, v, "run_dir", r->node->run_dir, CONFIG_RUN_DIR_MAX);
}

static void take_release(struct config_reader *r, yaml_node_t *v)
{
	config_text(r, v, "release", r->node->release, HAVEN_NAME_MAX);
}

static void take_voter(struct config_reader *r, yaml_node_t *v)
{
	r->node->voter_given = config_boolean(r, v, "voter", &r->node->voter);
}

static void take_witness(struct config_reader *r, yaml_node_t *v)
{
	config_boolean(r, v, "witness", &r->node->witness);
}

static void take_hugepages(struct config_reader *r, yaml_node_t *v)
{
	config_boolean(r, v, "hugepages", &r->node->hugepages);
}

static void take_pci(struct config_reader *r, yaml_node_t *v)
{
	config_boolean(r, v, "pci", &r->node->pci);
}

static void take_cpu(struct config_reader *r, yaml_node_t *v)
{
	uint64_t cpu = 0;

	if (config_number(r, v, "cpu", 0, 1023, &cpu))
		r->node->cpu = (int32_t)cpu;
}

static void take_memory_mb(struct config_reader *r, yaml_node_t *v)
{
	uint64_t mb = 0;

	if (config_number(r, v, "memory_mb", 32, 65536, &mb))
		r->node->memory_mb = (uint32_t)mb;
}

static void take_ports(struct config_reader *r, yaml_node_t *v)
{
	config_sequence(r, v, "ports", HAVEN_LINKS_MAX, config_port_take);
}

static const struct config_key node_keys[] = {
	{"name", take_node_name, true, "name: a"},
	{"id", take_node_id, false, NULL},
	{"run_dir", take_run_dir, true, "run_dir: /run/haven, where its socket and registry stand"},
	{"release", take_release, false, NULL},
	{"voter", take_voter, false, NULL},
	{"witness", take_witness, false, NULL},
	{"cpu", take_cpu, false, NULL},
	{"ports", take_ports, false, NULL},
	{"hugepages", take_hugepages, false, NULL},
	{"memory_mb", take_memory_mb, false, NULL},
	{"pci", take_pci, false, NULL},
};

static void take_node(struct config_reader *r, yaml_node_t *v)
{
	r->node = &r->config->node[r->config->n_nodes++];
	*r->node = (struct config_node){.id = -1,
					.cpu = CONFIG_CPU_ANY,
					.memory_mb = MEMORY_MB_DEFAULT,
					.voter = true,
					.release = "0",
					.mark = config_mark_of(v)};
	r->node->run_dir_mark = r->node->id_mark = r->node->mark;
	config_mapping(r, v, "a node", node_keys, HAVEN_ARRAY_LEN(node_keys));
}

static void take_nodes(struct config_reader *r, yaml_node_t *v)
{
	r->config->nodes_mark = config_mark_of(v);
	config_sequence(r, v, "nodes", HAVEN_NODES_MAX, take_node);
}

/* ---- groups --------------------------------------------------------------------------------- */

static void take_group_name(struct config_reader *r, yaml_node_t *v)
{
	config_name(r, v, "a group's name", r->group->name);
}

static void take_redundancy(struct config_reader *r, yaml_node_t *v)
{
	static const char *const words[] = {"2N", "N+M", "load-sharing", "N+1"};
	static const enum config_redundancy model[] = {CONFIG_2N, CONFIG_N_PLUS_M,
						       CONFIG_LOAD_SHARING, CONFIG_N_PLUS_M};
	int word = config_word(r, v, "redundancy", words, HAVEN_ARRAY_LEN(words));

	if (word < 0)
		return;
	r->group->redundancy = model[word];
	if (model[word] != CONFIG_2N)
		config_note(r->config, false, config_mark_of(v), "redundancy: 2N",
			    "this release has no planner for %s", words[word]);
}

static void take_standby(struct config_reader *r, yaml_node_t *v)
{
	static const char *const words[] = {"hot", "warm"};

	if (config_word(r, v, "standby", words, HAVEN_ARRAY_LEN(words)) == 1)
		config_note(r->config, false, config_mark_of(v), "standby: hot",
			    "this release applies records at once and cannot keep them for later");
}

static void take_instance(struct config_reader *r, yaml_node_t *v)
{
	struct config *c = r->config;

	if (c->n_instances == HAVEN_INSTANCES_MAX) {
		config_note(c, false, config_mark_of(v), NULL,
			    "too many instances: all groups together may have %d",
			    HAVEN_INSTANCES_MAX);
		return;
	}
	if (!config_name(r, v, "an instance's name", c->instance[c->n_instances]))
		return;
	c->instance_mark[c->n_instances] = config_mark_of(v);
	c->instance_group[c->n_instances++] = (uint8_t)(r->group - c->group);
	r->group->n_instances++;
}

static void take_instances(struct config_reader *r, yaml_node_t *v)
{
	config_sequence(r, v, "instances", HAVEN_INSTANCES_MAX, take_instance);
}

static void take_group_node(struct config_reader *r, yaml_node_t *v)
{
	struct config_group *g = r->group;

	if (config_name(r, v, "a group's node", g->node_name[g->n_nodes]))
		g->node_mark[g->n_nodes++] = config_mark_of(v);
}

static void take_group_nodes(struct config_reader *r, yaml_node_t *v)
{
	r->group->nodes_mark = config_mark_of(v);
	config_sequence(r, v, "a group's nodes", HAVEN_NODES_MAX, take_group_node);
}

static void take_prefer(struct config_reader *r, yaml_node_t *v)
{
	r->group->prefer_mark = config_mark_of(v);
	config_name(r, v, "prefer", r->group->prefer_name);
}

static const struct config_key group_keys[] = {
	{"name", take_group_name, true, "name: nat"},
	{"redundancy", take_redundancy, false, NULL},
	{"standby", take_standby, false, NULL},
	{"instances", take_instances, true, "instances: [nat0]"},
	{"nodes", take_group_nodes, true, "nodes: [a, b], those that may serve it"},
	{"prefer", take_prefer, false, NULL},
};

static void take_group(struct config_reader *r, yaml_node_t *v)
{
	r->group = &r->config->group[r->config->n_groups++];
	*r->group = (struct config_group){.mark = config_mark_of(v),
					  .prefer = HAVEN_NODE_NONE,
					  .instance_first = (uint16_t)r->config->n_instances};
	r->group->nodes_mark = r->group->prefer_mark = r->group->mark;
	config_mapping(r, v, "a group", group_keys, HAVEN_ARRAY_LEN(group_keys));
}

static void take_groups(struct config_reader *r, yaml_node_t *v)
{
	config_sequence(r, v, "groups", CONFIG_GROUPS_MAX, take_group);
}

/* ---- the file ------------------------------------------------------------------------------- */

static void take_cluster(struct config_reader *r, yaml_node_t *v)
{
	config_name(r, v, "cluster", r->config->cluster);
}

static void take_confidential(struct config_reader *r, yaml_node_t *v)
{
	config_boolean(r, v, "confidential", &r->config->confidential);
}

static void take_key_file(struct config_reader *r, yaml_node_t *v)
{
	r->config->key_mark = config_mark_of(v);
	config_path(r, v, "key_file", r->config->key_file, CONFIG_PATH_MAX);
}

static void take_poll(struct config_reader *r, yaml_node_t *v)
{
	static const char *const words[] = {"polite", "busy"};

	r->config->poll_busy = config_word(r, v, "poll", words, HAVEN_ARRAY_LEN(words)) == 1;
}

static void take_mirror_links(struct config_reader *r, yaml_node_t *v)
{
	static const char *const words[] = {"doubled", "split"};

	r->config->mirror_split =
		config_word(r, v, "mirror_links", words, HAVEN_ARRAY_LEN(words)) == 1;
}

static const struct config_key file_keys[] = {
	{"cluster", take_cluster, true, "cluster: demo"},
	{"key_file", take_key_file, true,
	 "key_file: demo.key, a file of 32 random bytes with mode 0400"},
	{"confidential", take_confidential, false, NULL},
	{"timers", take_timers, false, NULL},
	{"poll", take_poll, false, NULL},
	{"mirror_links", take_mirror_links, false, NULL},
	{"two_voters", config_take_two_voters, false, NULL},
	{"fence", config_take_fence, false, NULL},
	{"registry", config_take_registry, false, NULL},
	{"nodes", take_nodes, true, "nodes: a list, each with name, run_dir and ports"},
	{"groups", take_groups, false, NULL},
};

static void config_defaults(struct config *c, const char *path)
{
	snprintf(c->path, sizeof(c->path), "%s", path);
	c->registry.numa = CONFIG_NUMA_AUTO;
	c->timers = (struct config_timers){.interval_ns = NSEC_PER_MSEC,
					   .suspect_ns = 10 * NSEC_PER_MSEC,
					   .lease_ns = 30 * NSEC_PER_MSEC,
					   .guard_ns = NSEC_PER_MSEC,
					   .stall_ns = 5 * NSEC_PER_MSEC,
					   .mirror_timeout_ns = 500 * NSEC_PER_MSEC,
					   .hold_max_ns = CONFIG_HOLD_DEFAULT,
					   .gray_percent = 10,
					   .verify_ns = 10 * NSEC_PER_MSEC,
					   .rate_ppm = 200};
}

static void config_folder(struct config *c)
{
	const char *slash = strrchr(c->path, '/');
	char text[CONFIG_PATH_MAX], *full;

	snprintf(text, sizeof(text), "%.*s", slash ? (int)(slash - c->path) + 1 : 1,
		 slash ? c->path : ".");
	full = realpath(text, NULL);
	snprintf(c->folder, sizeof(c->folder), "%s", full ? full : text);
	free(full);
}

static void note_syntax(struct config *c, const yaml_parser_t *p)
{
	struct config_mark mark = {(uint32_t)p->problem_mark.line + 1,
				   (uint32_t)p->problem_mark.column + 1};

	config_note(c, false, mark, NULL, "%s%s%s", p->problem ? p->problem : "not valid YAML",
		    p->context ? " " : "", p->context ? p->context : "");
}

static void config_parse(struct config *c, FILE *file)
{
	struct config_reader r = {.config = c};
	yaml_parser_t parser;
	yaml_node_t *root;

	if (!yaml_parser_initialize(&parser)) {
		config_note(c, false, (struct config_mark){0}, NULL, "no memory to parse the file");
		return;
	}
	yaml_parser_set_input_file(&parser, file);
	if (!yaml_parser_load(&parser, &r.document)) {
		note_syntax(c, &parser);
		yaml_parser_delete(&parser);
		return;
	}
	root = yaml_document_get_root_node(&r.document);
	if (root)
		config_mapping(&r, root, "the file", file_keys, HAVEN_ARRAY_LEN(file_keys));
	else
		config_note(c, false, (struct config_mark){1, 1}, NULL, "the file is empty");
	yaml_document_delete(&r.document);
	yaml_parser_delete(&parser);
}

static void config_read(struct config *c)
{
	const struct config_mark whole = {0};
	struct stat st;
	FILE *file;

	file = strlen(c->path) + 1 < sizeof(c->path) ? fopen(c->path, "re") : NULL;
	if (!file) {
		config_note(c, false, whole, "give the path of a readable file", "cannot open: %s",
			    strerror(errno ? errno : ENAMETOOLONG));
		return;
	}
	if (fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode))
		config_note(c, false, whole, NULL, "not a regular file");
	else if (st.st_size > (off_t)CONFIG_FILE_BYTES_MAX)
		config_note(c, false, whole, NULL, "larger than %u bytes", CONFIG_FILE_BYTES_MAX);
	else
		config_parse(c, file);
	fclose(file);
}

int config_load(struct config **out, const char *path)
{
	struct config *c = calloc(1, sizeof(*c));

	*out = c;
	if (!c)
		return -HAVEN_ENOMEM;
	config_defaults(c, path);
	config_folder(c);
	errno = 0;
	config_read(c);
	/* Rules between values would only repeat what a broken structure has said already. */
	if (c->n_nodes)
		config_check(c);
	return c->errors ? -HAVEN_ECONFIG : 0;
}

void config_free(struct config *c)
{
	free(c);
}

void config_finding_text(const struct config *c, uint32_t finding, char *out, size_t size)
{
	const struct config_finding *f = &c->finding[finding];
	char place[32] = "";

	if (f->mark.line)
		snprintf(place, sizeof(place), "%u:%u:", f->mark.line, f->mark.column);
	snprintf(out, size, "%s:%s %s: %s%s%s%s", c->path, place, f->warning ? "warning" : "error",
		 f->reason, f->remedy[0] ? " (remedy: " : "", f->remedy, f->remedy[0] ? ")" : "");
}

int config_node_find(const struct config *c, const char *name)
{
	for (unsigned i = 0; i < c->n_nodes; i++) {
		if (strcmp(c->node[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

int config_group_find(const struct config *c, const char *name)
{
	for (unsigned i = 0; i < c->n_groups; i++) {
		if (strcmp(c->group[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

bool config_is_voter(const struct config_node *n)
{
	return n->voter || n->witness;
}
