/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Objects that the control thread makes for the loop, from what a client sent: everything in it is
 * checked here or by what maps it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control.h"
#include "node.h"

void control_table_free(struct local_table *t)
{
	for (unsigned lane = 0; lane < t->lanes; lane++)
		mirror_stage_free(&t->lane[lane].stage);
	if (t->table.base)
		table_unmap(&t->table);
	if (t->read_fd >= 0)
		close(t->read_fd);
	free(t);
}

void control_component_free(struct local_component *comp)
{
	for (unsigned k = 0; k < comp->n_tables; k++)
		control_table_free(comp->table[k]);
	free(comp);
}

void control_client_free(struct control *c, struct local_client *client)
{
	while (client->retired) {
		struct local_component *comp = client->retired;

		client->retired = comp->next_retired;
		control_component_free(comp);
	}
	control_unwatch(c, client);
	close(client->pidfd);
	client_segment_unmap(client->segment);
	free(client);
}

int control_client_new(struct local_client **out, const struct control_connection *conn, int fd,
		       struct error_text *error)
{
	struct local_client *client = calloc(1, sizeof(*client));
	int err;

	if (!client)
		return error_set(error, HAVEN_ENOMEM, "no memory for another application");
	/* The kernel's word on who it is, not the application's. */
	client->pid = conn->pid;
	client->pid_start_ticks = process_start_ticks(conn->pid);
	client->pidfd = process_pidfd(client->pid, client->pid_start_ticks);
	if (client->pidfd < 0) {
		free(client);
		return error_set(error, HAVEN_ENOENT, "process %d is gone", (int)conn->pid);
	}
	err = client_segment_map(fd, &client->segment, error);
	if (err) {
		close(client->pidfd);
		free(client);
		return err;
	}
	client->hang_up = (struct command){.kind = COMMAND_HANG_UP, .client = client};
	client->end = (struct command){.kind = COMMAND_ENDED, .client = client};
	client->evict = (struct command){.kind = COMMAND_EVICT, .client = client};
	client->release = (struct command){.kind = COMMAND_RELEASE, .client = client};
	*out = client;
	return 0;
}

void control_component_fill(const struct haven_node *n, struct local_component *comp,
			    const struct local_client *client, const struct message *m)
{
	const struct config_group *g =
		&n->config->group[config_group_find(n->config, m->u.reg.group)];
	struct registry_component *o = &comp->object;

	o->cold.pid = client->pid;
	o->cold.pid_start_ticks = client->pid_start_ticks;
	memcpy(o->hot.name, m->u.reg.name, sizeof(o->hot.name));
	memcpy(o->cold.group, g->name, sizeof(o->cold.group));
	memcpy(o->cold.release, m->u.reg.release[0] ? m->u.reg.release : n->me->release,
	       sizeof(o->cold.release));
	o->hot.kind = m->u.reg.kind;
	o->hot.instances = g->n_instances;
	o->hot.instance_first = g->instance_first;
}

int control_table_new(struct local_table **out, const struct message *m, int fd,
		      struct error_text *error)
{
	const struct table_shape *shape = &m->u.checkpoint.shape;
	struct local_table *t;
	char path[32];
	int err;

	if (fd < 0)
		return error_set(error, HAVEN_EINVAL,
				 "no checkpoint segment came with the request");
	if (m->u.checkpoint.instance >= HAVEN_INSTANCES_MAX)
		return error_set(error, HAVEN_EINVAL, "instance %u does not exist",
				 m->u.checkpoint.instance);
	if (m->u.checkpoint.warm_records > MIRROR_KEEP_MAX)
		return error_set(error, HAVEN_EINVAL,
				 "checkpoint %s: warm_records %u is not in 0…%u", shape->name,
				 m->u.checkpoint.warm_records, MIRROR_KEEP_MAX);
	t = calloc(1, sizeof(*t));
	if (!t)
		return error_set(error, HAVEN_ENOMEM, "no memory for another checkpoint");
	t->instance = (uint8_t)m->u.checkpoint.instance;
	t->read_fd = -1;
	err = table_map(&t->table, fd, shape, error);
	if (err) {
		free(t);
		return err;
	}
	/* Pages that are there already cost the poll loop nothing when it writes the replica. */
	madvise(t->table.base, t->table.geometry.total_bytes, MADV_POPULATE_WRITE);
	for (t->lanes = 0; t->lanes < shape->lanes; t->lanes++) {
		struct mirror_stage *stage = &t->lane[t->lanes].stage;

		err = mirror_stage_init(stage, &t->table.geometry);
		if (!err && m->u.checkpoint.warm_records)
			err = mirror_stage_keep(stage, m->u.checkpoint.warm_records);
		if (err) {
			mirror_stage_free(stage);
			control_table_free(t);
			return error_set(error, err, "no memory for another checkpoint");
		}
	}
	/* Another description of the same file: a tool that gets it cannot write by accident. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	t->read_fd = open(path, O_RDONLY | O_CLOEXEC);
	*out = t;
	return 0;
}
