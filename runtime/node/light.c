/* SPDX-License-Identifier: BSD-3-Clause */
#include "light.h"

#include <string.h>

#include "error.h"
#include "haven_assert.h"

int light_new(struct light *l, struct registry *r, struct rcu_domain *rcu, const char *release)
{
	memset(l, 0, sizeof(*l));
	l->registry = r;
	l->rcu = rcu;
	strncpy(l->release, release, sizeof(l->release) - 1);
	return owner_books_new(&l->owners, r->components);
}

void light_free(struct light *l)
{
	owner_books_free(&l->owners);
}

/* ---- what a request says --------------------------------------------------------------------- */

bool light_name_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";

	return name[0] && memchr(name, 0, HAVEN_NAME_MAX) && name[strspn(name, allowed)] == 0;
}

static bool empty_or_valid(const char *name)
{
	return name[0] == 0 || light_name_valid(name);
}

/* Strings of the registry are padded with zeros; a request may carry anything after the end. */
static void text_copy(char *to, const char *from)
{
	memset(to, 0, HAVEN_NAME_MAX);
	memcpy(to, from, strlen(from));
}

int light_attributes(struct registry_component *c, const struct request *r)
{
	if (r->health >= HAVEN_HEALTH_COUNT || r->load > REGISTRY_LOAD_MAX ||
	    r->n_depends > REGISTRY_DEPENDS_MAX || r->format_read_min > r->format_read_max)
		return -HAVEN_EINVAL;
	for (unsigned i = 0; i < r->n_depends; i++) {
		if (r->depends[i] == 0)
			return -HAVEN_EINVAL;
	}
	c->hot.health = r->health;
	c->hot.load = r->load;
	c->hot.weight = r->weight;
	c->cold.format_read_min = r->format_read_min;
	c->cold.format_read_max = r->format_read_max;
	c->cold.format_write = r->format_write;
	c->cold.n_depends = r->n_depends;
	memset(c->cold.depends, 0, sizeof(c->cold.depends));
	memcpy(c->cold.depends, r->depends, r->n_depends * sizeof(r->depends[0]));
	return 0;
}

/* All but the name, of a light component. */
static int content_set(const struct light *l, struct registry_component *c, const struct request *r)
{
	if (r->component_kind >= HAVEN_KIND_COUNT || r->state >= HAVEN_ROLE_COUNT ||
	    !empty_or_valid(r->group) || !empty_or_valid(r->release))
		return -HAVEN_EINVAL;
	if (light_attributes(c, r) != 0)
		return -HAVEN_EINVAL;
	c->hot.kind = r->component_kind;
	c->hot.state = r->state;
	c->hot.flags = REGISTRY_READY; /* it is what its owner says, so it is complete */
	text_copy(c->cold.group, r->group);
	text_copy(c->cold.release, r->release[0] ? r->release : l->release);
	return 0;
}

static int component_new(const struct light *l, uint16_t process, const struct request *r,
			 uint64_t now, struct registry_component *c)
{
	const struct owner_process *p = &l->owners.process[process];

	memset(c, 0, sizeof(*c));
	if (!light_name_valid(r->name))
		return -HAVEN_EINVAL;
	text_copy(c->hot.name, r->name);
	c->cold.pid = p->pid;
	c->cold.pid_start_ticks = p->pid_start_ticks;
	c->cold.registered_ns = c->cold.updated_ns = now;
	return content_set(l, c, r);
}

/* ---- what stands in the registry ------------------------------------------------------------- */

/* The hot part is the node's own truth. The cold part stands in the mapped file alone; nothing is
 * decided by it, it is only shown on. */
static void component_load(const struct light *l, const struct registry_hot *own,
			   struct registry_component *c)
{
	const struct registry_hot *shown = registry_get(l->registry, own->handle);

	c->hot = *own;
	if (shown)
		c->cold = *registry_cold_of(l->registry, shown);
	else
		memset(&c->cold, 0, sizeof(c->cold));
}

/* Publish `next` over `was` if it differs. */
static int component_show(struct light *l, const struct registry_component *was,
			  struct registry_component *next, uint64_t now)
{
	int err;

	if (memcmp(was, next, sizeof(*was)) == 0)
		return 0;
	next->cold.updated_ns = now;
	err = registry_update(l->registry, next, l->rcu);
	/* Slow readers hold what was replaced before; nobody waits for them here. */
	return err == -HAVEN_EFULL ? -HAVEN_EAGAIN : err;
}

static int content_update(struct light *l, const struct registry_hot *own, const struct request *r,
			  uint64_t now)
{
	uint32_t slot = registry_slot_of(own->handle);
	struct registry_component was, next;
	int err;

	component_load(l, own, &was);
	next = was;
	err = content_set(l, &next, r);
	if (!err)
		err = component_show(l, &was, &next, now);
	if (!err)
		l->owners.slot[slot].pending = false;
	return err;
}

/* ---- requests -------------------------------------------------------------------------------- */

static bool is_light(const struct registry_hot *own)
{
	return own->instances == 0;
}

/* The component of a handle, if the process may say anything about it. */
static int owned(const struct light *l, uint16_t process, uint64_t handle,
		 const struct registry_hot **own)
{
	*own = registry_own(l->registry, handle);
	if (!*own)
		return -HAVEN_ESTALE;
	if (l->owners.slot[registry_slot_of(handle)].use == OWNER_USE_LOCAL)
		return LIGHT_LOCAL;
	if (owner_of(&l->owners, registry_slot_of(handle)) != process)
		return -HAVEN_EPERM;
	return 0;
}

bool light_name_leaving(const struct light *l, const char *name)
{
	const struct registry_hot *own = registry_own_find(l->registry, name);
	uint16_t process;

	if (!own)
		return false;
	process = owner_of(&l->owners, registry_slot_of(own->handle));
	return process != OWNER_NONE && l->owners.process[process].state == OWNER_LEAVING;
}

static int request_add(struct light *l, uint16_t process, const struct request *r, bool replay,
		       uint64_t now, uint64_t *handle)
{
	struct registry_component c;
	const struct registry_hot *there;
	int err = component_new(l, process, r, now, &c);

	if (!err)
		err = registry_add(l->registry, &c, NULL);
	if (!err) {
		owner_add(&l->owners, process, registry_slot_of(c.hot.handle), false);
		*handle = c.hot.handle;
	}
	if (err != -HAVEN_EEXIST)
		return err;
	there = registry_own_find(l->registry, r->name);
	if (replay && is_light(there) &&
	    owner_of(&l->owners, registry_slot_of(there->handle)) == process) {
		*handle = there->handle;
		return content_update(l, there, r, now);
	}
	return light_name_leaving(l, r->name) ? -HAVEN_EAGAIN : err;
}

static int request_update(struct light *l, uint16_t process, const struct request *r, uint64_t now)
{
	const struct registry_hot *own;
	int err = owned(l, process, r->handle, &own);

	if (err)
		return err;
	/* One with instances is claimed through the socket first. */
	return is_light(own) ? content_update(l, own, r, now) : -HAVEN_EAGAIN;
}

static int request_remove(struct light *l, uint16_t process, uint64_t handle, bool replay)
{
	const struct registry_hot *own;
	int err = owned(l, process, handle, &own);

	if (err == -HAVEN_ESTALE && replay)
		return 0;
	if (err == LIGHT_LOCAL || (!err && !is_light(own)))
		return -HAVEN_EPERM; /* it leaves through the socket, after its work has moved */
	if (err)
		return err;
	owner_remove(&l->owners, registry_slot_of(handle));
	return registry_remove(l->registry, handle, l->rcu);
}

static int request_adopt(struct light *l, uint16_t process, const struct request *r, uint64_t now)
{
	const struct registry_hot *own;
	struct registry_component c;
	int err = owned(l, process, r->handle, &own);

	if (!err && is_light(own) && light_name_valid(r->name) && strcmp(own->name, r->name) == 0)
		return content_update(l, own, r, now);
	err = component_new(l, process, r, now, &c);
	c.hot.handle = r->handle;
	if (!err)
		err = registry_adopt(l->registry, &c, NULL);
	if (!err)
		owner_add(&l->owners, process, registry_slot_of(r->handle), false);
	return err;
}

int light_request(struct light *l, uint16_t process, const struct request *r, bool replay,
		  uint64_t now, uint64_t *handle)
{
	*handle = r->handle;
	if (l->owners.process[process].state != OWNER_ATTACHED)
		return -HAVEN_EREFUSED;
	switch (r->kind) {
	case REQUEST_ADD:
		return request_add(l, process, r, replay, now, handle);
	case REQUEST_UPDATE:
		return request_update(l, process, r, now);
	case REQUEST_REMOVE:
		return request_remove(l, process, r->handle, replay);
	case REQUEST_ADOPT:
		return request_adopt(l, process, r, now);
	default:
		return -HAVEN_EINVAL;
	}
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

unsigned light_sweep(struct light *l, unsigned budget, struct light_done *done)
{
	uint16_t process = owner_leaving(&l->owners);
	struct owner_process *p;
	unsigned work = 0;

	*done = (struct light_done){0};
	if (process == OWNER_NONE)
		return 0;
	p = &l->owners.process[process];
	for (; work < budget && p->count; work++) {
		uint32_t slot = p->first;
		const struct registry_hot *own = registry_own_slot(l->registry, slot);

		owner_remove(&l->owners, slot);
		HAVEN_ASSERT(own && registry_remove(l->registry, own->handle, l->rcu) == 0);
		p->swept++;
	}
	if (p->count == 0) {
		*done = (struct light_done){p->pid, p->ended, p->swept};
		owner_left(&l->owners);
	}
	return work;
}

static int claim_one(struct light *l, uint32_t slot, uint64_t now)
{
	struct registry_component was, next;

	component_load(l, registry_own_slot(l->registry, slot), &was);
	next = was;
	next.hot.flags &= (uint8_t)~REGISTRY_PENDING;
	return component_show(l, &was, &next, now);
}

unsigned light_claim(struct light *l, unsigned budget, uint64_t now, struct light_done *done)
{
	uint16_t process = owner_claiming(&l->owners);
	struct owner_process *p;
	unsigned work = 0;

	*done = (struct light_done){0};
	if (process == OWNER_NONE)
		return 0;
	p = &l->owners.process[process];
	for (; work < budget && p->claim != OWNER_NO_SLOT; work++) {
		struct owner_slot *s = &l->owners.slot[p->claim];

		if (s->pending && is_light(registry_own_slot(l->registry, p->claim))) {
			if (claim_one(l, p->claim, now) != 0)
				return work; /* slow readers; one of the next turns goes on */
			s->pending = false;
			p->swept++;
		}
		p->claim = s->next;
	}
	if (p->claim == OWNER_NO_SLOT) {
		*done = (struct light_done){p->pid, false, p->swept};
		owner_claimed(&l->owners);
	}
	return work;
}

const struct registry_hot *light_pending(const struct light *l, uint64_t handle)
{
	const struct registry_hot *own = registry_own(l->registry, handle);
	uint32_t slot = registry_slot_of(handle);

	if (!own || is_light(own) || owner_of(&l->owners, slot) == OWNER_NONE)
		return NULL;
	return own;
}
