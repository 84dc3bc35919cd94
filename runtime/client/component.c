/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "client_internal.h"

/* Clean views of the status block are had within a few tries unless the node died inside one. */
#define COMPONENT_STATUS_TRIES 16

/* What the node says is checked before it is used as an index into the mapping. */
static int component_accept(struct haven_component *c, const struct message *m)
{
	unsigned gate = m->u.reg.gate_first;

	c->handle = m->handle;
	c->instances = m->u.reg.instances;
	c->instance_first = m->u.reg.instance_first;
	if (c->instances == 0 || c->instances > HAVEN_INSTANCES_MAX ||
	    gate + c->instances > c->haven->registry.shape.gates)
		return error_set(&c->haven->error, HAVEN_ECORRUPT,
				 "the node names %u gates from number %u on; the registry has %u",
				 c->instances, gate, c->haven->registry.shape.gates);
	c->gates = &c->haven->registry.gates[gate];
	return 0;
}

static int component_request(struct haven *h, const struct haven_component_config *config,
			     struct message *m)
{
	const char *group = config->group ? config->group : config->name;

	if (!client_name_copy(m->u.reg.name, config->name))
		return error_set(&h->error, HAVEN_EINVAL,
				 "a component's name has 1 to 31 bytes of a-z 0-9 _ . -");
	if (!client_name_copy(m->u.reg.group, group))
		return error_set(&h->error, HAVEN_EINVAL,
				 "a group's name has 1 to 31 bytes of a-z 0-9 _ . -");
	if (config->release && !client_name_copy(m->u.reg.release, config->release))
		return error_set(&h->error, HAVEN_EINVAL,
				 "a release label has 1 to 31 bytes of a-z 0-9 _ . -");
	if ((unsigned)config->kind >= HAVEN_KIND_COUNT)
		return error_set(&h->error, HAVEN_EINVAL, "no such kind of component: %u",
				 (unsigned)config->kind);
	m->u.reg.kind = (uint8_t)config->kind;
	return 0;
}

int haven_component_register(struct haven *h, const struct haven_component_config *config,
			     struct haven_component **out)
{
	struct message m = {.type = MESSAGE_REGISTER};
	struct haven_component *c;
	int status;

	*out = NULL;
	pthread_mutex_lock(&h->control);
	c = calloc(1, sizeof(*c));
	status = c ? component_request(h, config, &m)
		   : error_set(&h->error, HAVEN_ENOMEM, "no memory for a component");
	if (!status) {
		c->haven = h;
		memcpy(c->name, m.u.reg.name, sizeof(c->name));
		status = client_call(h, &m, -1, NULL);
	}
	if (!status)
		status = component_accept(c, &m);
	if (!status) {
		c->next = h->components;
		h->components = c;
		*out = c;
	} else {
		free(c);
	}
	pthread_mutex_unlock(&h->control);
	return status;
}

int haven_component_ready(struct haven_component *c)
{
	struct message m = {.type = MESSAGE_READY, .handle = c->handle};
	int status;

	pthread_mutex_lock(&c->haven->control);
	status = client_call(c->haven, &m, -1, NULL);
	if (!status)
		c->ready = true;
	pthread_mutex_unlock(&c->haven->control);
	return status;
}

void component_free(struct haven_component *c)
{
	while (c->tables) {
		struct haven_table *t = c->tables;

		c->tables = t->next;
		table_unmap(&t->table);
		free(t);
	}
	free(c);
}

int haven_component_deregister(struct haven_component *c)
{
	struct message m = {.type = MESSAGE_DEREGISTER, .handle = c->handle};
	struct haven *h = c->haven;
	int status;

	pthread_mutex_lock(&h->control);
	if (c->workers)
		status = error_set(&h->error, HAVEN_EINVAL,
				   "component %s still has %u workers; end them first", c->name,
				   c->workers);
	else
		status = client_call(h, &m, -1, NULL);
	if (!status) {
		struct haven_component **at = &h->components;

		while (*at != c)
			at = &(*at)->next;
		*at = c->next;
		component_free(c);
	}
	pthread_mutex_unlock(&h->control);
	return status;
}

unsigned haven_instance_count(const struct haven_component *c)
{
	return c->instances;
}

int haven_instance_find(const struct haven_component *c, const char *name)
{
	struct registry_status *s = malloc(sizeof(*s));
	int found = -HAVEN_EAGAIN;

	if (!s)
		return -HAVEN_ENOMEM;
	for (unsigned i = 0; i < COMPONENT_STATUS_TRIES && found == -HAVEN_EAGAIN; i++)
		found = registry_copy_status(&c->haven->registry, s);
	if (found == 0) {
		found = -HAVEN_ENOENT;
		for (unsigned i = 0; i < c->instances && found < 0; i++) {
			unsigned n = c->instance_first + i;

			if (n < HAVEN_INSTANCES_MAX &&
			    strncmp(s->instance[n].name, name, HAVEN_NAME_MAX) == 0)
				found = (int)i;
		}
	}
	free(s);
	return found;
}
