/* SPDX-License-Identifier: BSD-3-Clause */
/** checkpoint snapshot and restore: a checkpoint in a file. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint.h"
#include "clock.h"
#include "command.h"
#include "message.h"
#include "session.h"
#include "snapshot_file.h"

int snapshot_tell(const struct output *o, int error, const char *hint,
		  const struct error_text *text)
{
	/* What the file or the node says is refused is no slip of the command line. */
	return output_fail(o, error == -HAVEN_EINVAL ? EXIT_REFUSED : exit_of_error(error), hint,
			   "%s", text->text);
}

/* ---- snapshot ------------------------------------------------------------------------------- */

static json_t *lanes_of(const struct snapshot_head *h)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < h->shape.lanes; i++) {
		json_t *o = json_object();

		put_count(o, "lane", i);
		put_count(o, "entries", h->lane[i].entries);
		put_count(o, "from_seq", h->lane[i].from);
		put_count(o, "to_seq", h->lane[i].to);
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *head_object(const struct snapshot_head *h, const char *path)
{
	const struct snapshot_origin *from = &h->origin;
	json_t *o = json_object();

	put_text(o, "file", path);
	put_count(o, "size_bytes", h->total_bytes);
	put_text(o, "name", h->shape.name);
	put_text(o, "instance", from->instance);
	put_text(o, "component", from->component);
	put_text(o, "node", from->node);
	put_text(o, "cluster", from->cluster);
	put_count(o, "epoch", from->epoch);
	put_iso(o, "taken_at", from->taken_wall_ns);
	put_text(o, "kind", model_checkpoint_kind(h->shape.kind));
	put_text(o, "mode", model_checkpoint_mode(h->shape.mode));
	put_count(o, "key_bytes", h->shape.key_bytes);
	put_count(o, "value_bytes", h->shape.value_bytes);
	put_count(o, "capacity", h->shape.capacity);
	put_count(o, "format", from->format);
	put_count(o, "entries", h->entries);
	json_object_set_new(o, "lanes", lanes_of(h));
	return o;
}

static void head_text(const struct snapshot_head *h, const char *path, const char *what)
{
	char when[40];

	printf("%s: %s\n", path, what);
	printf("  %s %s of %s, from node %s, %s\n", model_checkpoint_kind(h->shape.kind),
	       h->shape.name, h->origin.instance, h->origin.node,
	       format_iso(h->origin.taken_wall_ns, when, sizeof(when)));
	printf("  %" PRIu64 " entries, %" PRIu64 " bytes\n", h->entries, h->total_bytes);
	for (unsigned i = 0; i < h->shape.lanes; i++)
		printf("  lane %u: %" PRIu64 " entries; has all records up to %" PRIu64
		       ", none after %" PRIu64 "\n",
		       i, h->lane[i].entries, h->lane[i].from, h->lane[i].to);
}

void snapshot_print(const struct context *c, const struct snapshot_head *h, const char *schema,
		    const char *path, const char *what)
{
	if (c->quiet)
		return;
	if (c->out.json)
		output_json(schema, head_object(h, path));
	else
		head_text(h, path, what);
}

static struct snapshot_origin origin_of(const struct checkpoint *p)
{
	struct snapshot_origin o = {.epoch = p->node->status.epoch,
				    .taken_wall_ns = clock_wall_ns(),
				    .format = p->component.cold.format_write};

	memcpy(o.cluster, p->node->header.cluster, sizeof(o.cluster));
	memcpy(o.node, p->node->header.node, sizeof(o.node));
	memcpy(o.component, p->component.hot.name, sizeof(o.component));
	snprintf(o.instance, sizeof(o.instance), "%s", p->instance);
	return o;
}

static int snapshot_take(struct context *c, struct session *s)
{
	struct error_text error = {""};
	struct snapshot_origin origin;
	struct snapshot_head head;
	struct checkpoint p;
	struct table t;
	int status, code = checkpoint_find(&p, s, c->args[0]);

	if (!code)
		code = checkpoint_map(&p, c, &t);
	if (code)
		return code;
	origin = origin_of(&p);
	status = snapshot_write(c->args[1], &t, &origin, c->timeout_ns, &head, &error);
	table_unmap(&t);
	/* A secondary's copy can be thrown away under the reader, to be fetched anew. */
	if (!status && !checkpoint_same(&p)) {
		unlink(c->args[1]);
		return output_fail(&c->out, EXIT_REFUSED, "try again",
				   "the role of node %s changed meanwhile: what was written may "
				   "not be whole, and was removed",
				   node_name(p.node));
	}
	if (status)
		return snapshot_tell(&c->out, status,
				     status == -HAVEN_EAGAIN ? "see --timeout" : NULL, &error);
	snapshot_print(c, &head, "checkpoint-snapshot/1", c->args[1], "written");
	return EXIT_GOOD;
}

static int snapshot_run(struct context *c)
{
	struct session s;
	int code = session_open(&s, c);

	if (!code)
		code = snapshot_take(c, &s);
	session_close(&s);
	return code;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* Every block of it. Returns 0 or a negative error. */
int snapshot_file_check(int fd, const char *path, struct snapshot_head *head,
			struct error_text *error)
{
	struct snapshot_entries entries;
	struct snapshot file;
	int status = snapshot_open(&file, fd, path, error);

	while (!status) {
		status = snapshot_next(&file, &entries, error);
		if (status == 0)
			break;
		status = status > 0 ? 0 : status;
	}
	*head = file.head;
	snapshot_close(&file);
	return status;
}

int snapshot_file_open(const struct output *o, const char *path, int *fd)
{
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd >= 0)
		return EXIT_GOOD;
	return output_fail(o,
			   errno == ENOENT   ? EXIT_NO_OBJECT
			   : errno == EACCES ? EXIT_PERMISSION
					     : EXIT_REFUSED,
			   NULL, "%s: %s", path, strerror(errno));
}

/* ---- restore -------------------------------------------------------------------------------- */

static void print_restored(const struct context *c, const struct checkpoint *p, uint64_t entries)
{
	if (c->quiet)
		return;
	if (c->out.json) {
		json_t *data = json_object();

		put_text(data, "name", p->what.name);
		put_text(data, "instance", p->instance);
		put_text(data, "node", node_name(p->node));
		put_text(data, "component", p->component.hot.name);
		put_count(data, "entries", entries);
		output_json("checkpoint-restore/1", data);
	} else {
		printf("%s of %s: component %s on node %s has put %" PRIu64 " entries back\n",
		       p->what.name, p->instance, p->component.hot.name, node_name(p->node),
		       entries);
	}
}

static int restore_ask(struct context *c, const struct checkpoint *p, int fd)
{
	struct message m = {.type = MESSAGE_RESTORE};
	struct error_text error = {""};
	int status, socket = message_connect(p->node->path, &error);

	if (socket < 0)
		return snapshot_tell(&c->out, socket, "see havenctl status", &error);
	snprintf(m.u.restore.instance, sizeof(m.u.restore.instance), "%s", p->instance);
	snprintf(m.u.restore.name, sizeof(m.u.restore.name), "%s", p->what.name);
	status = message_call(socket, &m, fd, NULL, (int)(c->timeout_ns / NSEC_PER_MSEC), &error);
	close(socket);
	if (status)
		return output_fail(&c->out, exit_of_error(status),
				   status == -HAVEN_ETIMEDOUT
					   ? "see --timeout; the application may "
					     "still be at it"
					   : NULL,
				   "node %s: %s", node_name(p->node),
				   error.text[0] ? error.text : error_sentence(status));
	print_restored(c, p, m.u.restore.entries);
	return EXIT_GOOD;
}

static int restore_file(struct context *c, struct session *s, int fd)
{
	struct error_text error = {""};
	struct snapshot_head head;
	struct table_shape shape;
	struct checkpoint p;
	int status, code = checkpoint_find(&p, s, c->args[0]);

	if (code)
		return code;
	if (p.role != HAVEN_PRIMARY)
		return output_fail(
			&c->out, EXIT_REFUSED, "see havenctl checkpoint list",
			"node %s is not primary for instance %s, and no node that is can "
			"be reached from here",
			node_name(p.node), p.instance);
	status = snapshot_file_check(fd, c->args[1], &head, &error);
	if (!status) {
		shape = checkpoint_shape(&p);
		status = snapshot_fits(&head, &shape, &error);
	}
	if (!status && head.origin.format != p.component.cold.format_write)
		status = error_set(
			&error, HAVEN_EINVAL,
			"the values in the snapshot are of format %u, those of component "
			"%s of format %u",
			head.origin.format, p.component.hot.name, p.component.cold.format_write);
	if (status)
		return snapshot_tell(&c->out, status, "nothing was changed", &error);
	return restore_ask(c, &p, fd);
}

static int restore_run(struct context *c)
{
	struct session s;
	int fd, code;

	if (!option_given(c, "yes"))
		return output_fail(&c->out, EXIT_USAGE, "give --yes",
				   "entries of the file replace those of the same keys that the "
				   "primary has now");
	code = snapshot_file_open(&c->out, c->args[1], &fd);
	if (code)
		return code;
	code = session_open(&s, c);
	if (!code)
		code = restore_file(c, &s, fd);
	session_close(&s);
	close(fd);
	return code;
}

const struct command command_checkpoint_snapshot = {
	.name = "checkpoint snapshot",
	.arguments = "NAME FILE",
	.args_min = 2,
	.args_max = 2,
	.objects = "checkpoint",
	.summary = "write a checkpoint to a file",
	.details =
		"Write the primary's checkpoint to FILE, or that of an in-sync secondary when the "
		"primary cannot be reached from here. Nobody is stopped for it: the segment is "
		"read "
		"as any reader does. Each entry is whole, every record that was committed before "
		"the start is in it, and the output says for each lane from and up to which "
		"record. "
		"FILE appears whole or not at all; one that is there is replaced. For root and the "
		"user that runs the node.",
	.run = snapshot_run,
};

static const struct option_spec restore_options[] = {
	{"yes", 0, NULL, "do it"},
	{0},
};

const struct command command_checkpoint_restore = {
	.name = "checkpoint restore",
	.arguments = "NAME FILE",
	.args_min = 2,
	.args_max = 2,
	.objects = "checkpoint",
	.summary = "have the primary put a snapshot back",
	.details =
		"Check FILE and have the application that is primary put its entries, as ordinary "
		"records that are mirrored like any others. What the file does not name stays as "
		"it "
		"is. Only the application writes its lanes, so it must be one that asks for such "
		"files (haven_restore_wanted). The command waits until it is done. For root and "
		"the "
		"user that runs the node.",
	.options = restore_options,
	.run = restore_run,
};
