/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client_internal.h"

/* Clean views of the status block are had within a few tries unless the node died inside one. */
#define COMPONENT_STATUS_TRIES 16

/* What the node says is checked before it is used as an index into the mapping. */
static int component_accept(struct haven_component *c, struct attachment *at,
			    const struct message *m)
{
	struct error_text *error = &c->haven->error;
	unsigned gate = m->u.reg.gate_first, instances = m->u.reg.instances;

	if (instances == 0 || instances > HAVEN_INSTANCES_MAX ||
	    gate + instances > at->registry.shape.gates)
		return error_set(error, HAVEN_ECORRUPT,
				 "the node names %u gates from number %u on; the registry has %u",
				 instances, gate, at->registry.shape.gates);
	if (c->handle && m->handle != c->handle)
		return error_set(error, HAVEN_EREFUSED,
				 "the node gave component %s another handle; use libhaven and "
				 "havend of one release",
				 c->name);
	if (c->handle && instances != c->instances)
		return error_set(error, HAVEN_EREFUSED,
				 "group %s has %u instances now, component %s knows %u; detach "
				 "and attach anew",
				 c->group, instances, c->name, c->instances);
	/* Workers read the first two; at another node they are what they were. */
	if (!c->handle) {
		c->handle = m->handle;
		c->instances = instances;
	}
	c->instance_first = m->u.reg.instance_first;
	at->gates[c->number] = &at->registry.gates[gate];
	return 0;
}

int component_announce(struct haven_component *c, struct attachment *at)
{
	struct message m = {.type = MESSAGE_REGISTER, .handle = c->handle};
	int status;

	memcpy(m.u.reg.name, c->name, sizeof(c->name));
	memcpy(m.u.reg.group, c->group, sizeof(c->group));
	memcpy(m.u.reg.release, c->release, sizeof(c->release));
	m.u.reg.kind = c->kind;
	status = attachment_call(c->haven, at, &m, -1, NULL);
	return status ? status : component_accept(c, at, &m);
}

static int component_fill(struct haven_component *c, const struct haven_component_config *config)
{
	const char *group = config->group ? config->group : config->name;
	struct error_text *error = &c->haven->error;

	if (!client_name_copy(c->name, config->name))
		return error_set(error, HAVEN_EINVAL,
				 "a component's name has 1 to 31 bytes of a-z 0-9 _ . -");
	if (!client_name_copy(c->group, group))
		return error_set(error, HAVEN_EINVAL,
				 "a group's name has 1 to 31 bytes of a-z 0-9 _ . -");
	if (config->release && !client_name_copy(c->release, config->release))
		return error_set(error, HAVEN_EINVAL,
				 "a release label has 1 to 31 bytes of a-z 0-9 _ . -");
	if ((unsigned)config->kind >= HAVEN_KIND_COUNT)
		return error_set(error, HAVEN_EINVAL, "no such kind of component: %u",
				 (unsigned)config->kind);
	c->kind = (uint8_t)config->kind;
	return 0;
}

/* Lowest number that no component has. */
static int component_number(const struct haven *h, struct haven_component *c)
{
	uint64_t used = 0;

	for (const struct haven_component *other = h->components; other; other = other->next)
		used |= (uint64_t)1 << other->number;
	if (used == UINT64_MAX)
		return error_set(&c->haven->error, HAVEN_EFULL,
				 "this attachment has %u components already",
				 CLIENT_COMPONENTS_MAX);
	c->number = (unsigned)__builtin_ctzll(~used);
	return 0;
}

static int component_register(struct haven *h, struct haven_component *c,
			      const struct haven_component_config *config)
{
	int status;

	c->haven = h;
	status = component_fill(c, config);
	if (!status)
		status = component_number(h, c);
	if (!status)
		status = component_announce(c, h->now);
	if (status)
		return status;
	c->next = h->components;
	h->components = c;
	requests_own(h->requests, c->handle, true);
	return 0;
}

int haven_component_register(struct haven *h, const struct haven_component_config *config,
			     struct haven_component **out)
{
	struct haven_component *c;
	int status;

	*out = NULL;
	pthread_mutex_lock(&h->control);
	c = calloc(1, sizeof(*c));
	status = c ? component_register(h, c, config)
		   : error_set(&h->error, HAVEN_ENOMEM, "no memory for a component");
	pthread_mutex_unlock(&h->control);
	if (status) {
		free(c);
		return status;
	}
	*out = c;
	if (!config->attributes)
		return 0;
	status = haven_component_update(c, config->attributes);
	/* Without them the component is not what was asked for. */
	if (status && haven_component_deregister(c) == 0)
		*out = NULL;
	return status;
}

int haven_component_update(struct haven_component *c, const struct haven_attributes *attributes)
{
	struct haven *h = c->haven;
	int status = requests_update(h, c->handle, attributes, CLIENT_CALL_TIMEOUT_MS);

	if (status) {
		pthread_mutex_lock(&h->control);
		error_set(&h->error, status, "component %s: its attributes were not taken: %s",
			  c->name, error_sentence(status));
		pthread_mutex_unlock(&h->control);
	}
	return status;
}

uint64_t haven_component_handle(const struct haven_component *c)
{
	return c->handle;
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
		/* Its number is given out again: a worker that has not gone over to the newest
		 * attachment must not take the old lane lines for those of another table. */
		for (struct attachment *at = c->haven->now; at; at = at->older)
			at->lanes[t->number] = NULL;
		if (c->haven->next)
			c->haven->next->lanes[t->number] = NULL;
		table_unmap(&t->table);
		close(t->fd);
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
		requests_own(h->requests, c->handle, false);
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
	pthread_mutex_lock(&c->haven->control);
	for (unsigned i = 0; i < COMPONENT_STATUS_TRIES && found == -HAVEN_EAGAIN; i++)
		found = registry_copy_status(&c->haven->now->registry, s);
	pthread_mutex_unlock(&c->haven->control);
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
