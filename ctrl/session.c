/* SPDX-License-Identifier: BSD-3-Clause */
#include "session.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

static const char *const condition_names[] = {
	[NODE_RUNNING] = "running",       [NODE_HUNG] = "hung",
	[NODE_STOPPED] = "stopped",       [NODE_DEAD] = "dead",
	[NODE_UNREADABLE] = "unreadable",
};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(condition_names) == NODE_UNREADABLE + 1, "a name for each");

const char *node_condition_name(enum node_condition condition)
{
	return condition_names[condition];
}

bool node_readable(const struct node *n)
{
	return n->condition != NODE_UNREADABLE;
}

const char *node_name(const struct node *n)
{
	return node_readable(n) && n->header.node[0] ? n->header.node : n->path;
}

const char *node_peer_name(const struct node *n, unsigned node)
{
	if (node < HAVEN_NODES_MAX && n->status.peer[node].name[0])
		return n->status.peer[node].name;
	return node == HAVEN_NODE_NONE ? "nobody" : "?";
}

const char *node_instance_name(const struct node *n, unsigned instance)
{
	if (instance < HAVEN_INSTANCES_MAX && n->status.instance[instance].name[0])
		return n->status.instance[instance].name;
	return "?";
}

bool node_gate_open(const struct node *n, unsigned instance)
{
	for (unsigned i = 0; node_readable(n) && i < n->registry.shape.gates; i++) {
		const struct registry_gate *g = &n->registry.gates[i];

		if (load_relaxed(&g->component) != UINT32_MAX &&
		    load_relaxed(&g->instance) == instance &&
		    load_acquire(&g->role) == HAVEN_PRIMARY &&
		    load_relaxed(&g->valid_until_ns) > clock_now_ns())
			return true;
	}
	return false;
}

static void terminate(char *name)
{
	name[HAVEN_NAME_MAX - 1] = 0;
}

static void copy_status(struct node *n)
{
	struct registry_status *s = &n->status;

	n->torn = registry_copy_status(&n->registry, s) != 0;
	if (n->torn)
		memcpy(s, n->registry.status, sizeof(*s));
	/* The segment's writer is trusted no further than its layout: counts and strings are made
	 * safe once, here. */
	if (s->n_nodes > HAVEN_NODES_MAX)
		s->n_nodes = HAVEN_NODES_MAX;
	if (s->n_instances > HAVEN_INSTANCES_MAX)
		s->n_instances = HAVEN_INSTANCES_MAX;
	for (unsigned i = 0; i < HAVEN_NODES_MAX; i++) {
		terminate(s->peer[i].name);
		terminate(s->peer[i].release);
	}
	for (unsigned i = 0; i < HAVEN_INSTANCES_MAX; i++) {
		terminate(s->instance[i].name);
		terminate(s->instance[i].group);
	}
}

static bool more_room(struct node *n)
{
	unsigned room = n->component_room ? 2 * n->component_room : 64;
	struct registry_component *more = realloc(n->component, room * sizeof(*more));

	if (!more)
		return false;
	n->component = more;
	n->component_room = room;
	return true;
}

static void copy_components(struct node *n)
{
	n->components = 0;
	for (uint32_t slot = 0; slot < n->registry.components; slot++) {
		if (n->components == n->component_room && !more_room(n))
			return;
		if (registry_copy_slot(&n->registry, slot, &n->component[n->components]) == 0)
			n->components++;
	}
}

void node_refresh(struct node *n)
{
	if (!node_readable(n))
		return;
	copy_status(n);
	copy_components(n);
	n->header.stopped_ns = load_acquire(&n->registry.header->stopped_ns);
	n->taken_ns = clock_now_ns();
	n->taken_wall_ns = clock_wall_ns();
	n->age_ns = n->taken_ns > n->status.updated_ns ? n->taken_ns - n->status.updated_ns : 0;
	if (registry_writer_alive(&n->registry))
		n->condition = n->age_ns > SESSION_HUNG_NS ? NODE_HUNG : NODE_RUNNING;
	else
		n->condition = n->header.stopped_ns ? NODE_STOPPED : NODE_DEAD;
}

static void node_free(struct node *n)
{
	if (!n)
		return;
	if (node_readable(n))
		registry_close(&n->registry);
	free(n->component);
	free(n);
}

/* The file that holds the registry of `path`: in it, or itself. */
static bool stat_registry(const char *path, struct stat *st)
{
	char file[PATH_MAX + sizeof(REGISTRY_FILE) + 1];

	snprintf(file, sizeof(file), "%s/" REGISTRY_FILE, path);
	return stat(file, st) == 0 || (stat(path, st) == 0 && S_ISREG(st->st_mode));
}

static struct node *node_new(const char *path)
{
	struct node *n = calloc(1, sizeof(*n));
	struct stat st = {0};

	if (!n)
		return NULL;
	snprintf(n->path, sizeof(n->path), "%s", path);
	n->condition = NODE_UNREADABLE;
	/* Before it is opened: a file put there in between is then seen as replaced. */
	if (stat_registry(path, &st)) {
		n->device = st.st_dev;
		n->inode = st.st_ino;
	}
	n->error = registry_open(&n->registry, path, &n->text);
	if (n->error && !n->text.text[0])
		error_set(&n->text, n->error, "%.150s: %s", path, error_sentence(n->error));
	if (n->error)
		return n;
	n->condition = NODE_RUNNING;
	n->header = *n->registry.header;
	terminate(n->header.cluster);
	terminate(n->header.node);
	terminate(n->header.release);
	node_refresh(n);
	return n;
}

bool node_replaced(const struct node *n)
{
	struct stat st;

	if (!stat_registry(n->path, &st))
		return false;
	return !node_readable(n) || n->device != st.st_dev || n->inode != st.st_ino;
}

bool session_reopen(struct session *s, unsigned i)
{
	struct node *n = node_new(s->node[i]->path);

	if (!n || !node_readable(n)) {
		node_free(n);
		return false;
	}
	node_free(s->node[i]);
	s->node[i] = n;
	return true;
}

static bool add(struct session *s, const char *path)
{
	for (unsigned i = 0; i < s->n; i++)
		if (!strcmp(s->node[i]->path, path))
			return false;
	if (s->n == SESSION_NODES_MAX)
		return false;
	s->node[s->n] = node_new(path);
	if (!s->node[s->n])
		return false;
	return node_readable(s->node[s->n++]);
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static unsigned add_below(struct session *s, const char *directory)
{
	struct dirent **entry;
	int n = scandir(directory, &entry, visible, alphasort);
	unsigned added = 0;

	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];
		struct stat st;

		if (snprintf(path, sizeof(path), "%s/%s", directory, entry[i]->d_name) <
			    (int)sizeof(path) &&
		    !stat(path, &st) && S_ISDIR(st.st_mode) && stat_registry(path, &st))
			added += add(s, path);
		free(entry[i]);
	}
	if (n >= 0)
		free(entry);
	return added;
}

unsigned session_rescan(struct session *s)
{
	unsigned added = 0;

	for (unsigned i = 0; i < s->context->n_run_dirs; i++) {
		const char *path = s->context->run_dirs[i];
		struct stat st;

		if (!stat(path, &st) && S_ISDIR(st.st_mode) && !stat_registry(path, &st))
			added += add_below(s, path);
		else
			added += add(s, path);
	}
	return added;
}

static const char *unreadable_hint(const struct node *n)
{
	/* The sentence may already say what to do. */
	if (strstr(n->text.text, "; "))
		return NULL;
	if (n->error == -HAVEN_EPERM)
		return "run it as root or as the user that runs havend";
	return "if havend runs there, restart it: it makes the file anew";
}

/* Why nothing at all could be read: the first unreadable registry, or that there is none. */
static int tell_nothing(struct session *s)
{
	const struct output *o = &s->context->out;
	const char *path = s->context->run_dirs[0];
	struct stat st;

	for (unsigned i = 0; i < s->n; i++)
		if (s->node[i]->error != -HAVEN_ENOENT)
			return output_fail(o, exit_of_error(s->node[i]->error),
					   unreadable_hint(s->node[i]), "%s",
					   s->node[i]->text.text);
	if (stat(path, &st))
		return output_fail(o, errno == EACCES ? EXIT_PERMISSION : EXIT_NOT_RUNNING,
				   "start havend, or name its directory with --run-dir", "%s: %s",
				   path, strerror(errno));
	if (S_ISDIR(st.st_mode) && access(path, R_OK | X_OK))
		return output_fail(o, EXIT_PERMISSION,
				   "run it as root or as the user that runs havend", "%s: %s", path,
				   strerror(errno));
	return output_fail(o, EXIT_NOT_RUNNING,
			   "start havend, or name its directory with --run-dir",
			   "%s holds no registry, nor does a directory in it", path);
}

int session_open(struct session *s, struct context *c)
{
	*s = (struct session){.context = c};
	session_rescan(s);
	for (unsigned i = 0; i < s->n; i++)
		if (node_readable(s->node[i]))
			return EXIT_GOOD;
	return tell_nothing(s);
}

void session_close(struct session *s)
{
	for (unsigned i = 0; i < s->n; i++)
		node_free(s->node[i]);
	s->n = 0;
}
