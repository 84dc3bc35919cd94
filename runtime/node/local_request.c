/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The request rings of the clients, taken by turns: a few requests from each that has any, until
 * the turn's share of the loop is used up. A client that asks without pause gets what the others
 * leave, and the loop looks at its ports in time.
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "haven_assert.h"
#include "node.h"

#define REQUESTS_PER_TURN 64u
#define REQUESTS_AT_A_TIME 8u
#define REQUESTS_NS 20000u
/** Requests looked ahead at, so that the lines of their components come meanwhile. */
#define EXPECT_FAR 4u
#define EXPECT_NEAR 2u
/** Rings without a request that are looked at in one turn. */
#define RINGS_PER_TURN 64u
/** Components of a process that left, or came back, per turn. */
#define SWEEP_PER_TURN 32u

/* ---- attach and let go ----------------------------------------------------------------------- */

static int line_take(struct haven_node *n, uint32_t *line)
{
	struct local *l = &n->local;
	uint8_t used[LOCAL_CLIENTS_MAX] = {0};

	/* By the node's own clients; the mapped lines are only what it tells. */
	for (uint32_t k = 0; k < l->n_clients; k++)
		used[l->client[k]->line] = 1;
	for (*line = 0; *line < n->registry.shape.clients; ++*line) {
		if (!used[*line])
			return 0;
	}
	return -HAVEN_EFULL;
}

int local_requests_begin(struct haven_node *n, struct local_client *client, uint64_t seen,
			 uint64_t now, struct error_text *error)
{
	const struct request_ring *ring = &client->segment->requests;
	uint64_t head = load_acquire(&ring->head); /* Q4 */
	struct registry_client *line;

	if (head < seen || head - seen > REQUEST_SLOTS)
		return error_set(error, HAVEN_ECORRUPT,
				 "request %llu is said to be answered, and the ring of the segment "
				 "ends at %llu",
				 (unsigned long long)seen, (unsigned long long)head);
	if (line_take(n, &client->line) != 0)
		return error_set(error, HAVEN_EFULL,
				 "%u applications are attached to this node, as many as its "
				 "registry has room for; give it more clients",
				 n->registry.shape.clients);
	client->process =
		owner_attach(&n->local.light.owners, client->pid, client->pid_start_ticks);
	if (client->process == OWNER_NONE)
		return error_set(error, HAVEN_EFULL,
				 "this node knows %u processes already, with those that left and "
				 "whose components it removes; try again",
				 OWNER_PROCESSES);
	client->replay_until = head;
	line = &n->registry.clients[client->line];
	request_consumer_init(&client->requests, ring, line, seen);
	store_relaxed(&line->pid_start_ticks, client->pid_start_ticks);
	store_relaxed(&line->attached_ns, now);
	store_release(&line->pid, client->pid);
	return 0;
}

void local_requests_end(struct haven_node *n, struct local_client *client)
{
	store_release(&n->registry.clients[client->line].pid, 0);
}

void local_evict(struct haven_node *n, struct local_client *client, const char *why, uint64_t now)
{
	struct event e = publish_event_init(EVENT_CLIENT_EVICTED, EVENT_CRITICAL);

	client->evicted = true;
	e.node = n->self;
	e.a = (uint64_t)client->pid;
	snprintf(e.detail, sizeof(e.detail), "process %d: %s", (int)client->pid, why);
	publish_event(n, &e, now);
	for (unsigned k = n->local.n_components; k-- > 0;) {
		if (n->local.component[k]->client == client)
			local_fail(n, n->local.component[k], now, why);
	}
	command_push(&n->to_control, &client->evict);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* What the owner may say of a component with instances; the rest is the node's to decide. */
static int local_update(struct haven_node *n, struct local_client *client, const struct request *r,
			uint64_t now)
{
	struct local_component *c = local_find(n, client, r->handle);
	struct registry_component next;
	int err;

	if (!c)
		return -HAVEN_EPERM;
	if (c->state == LOCAL_FAILED)
		return -HAVEN_EREFUSED;
	next = c->object;
	err = light_attributes(&next, r);
	if (err || memcmp(&next, &c->object, sizeof(next)) == 0)
		return err;
	next.cold.updated_ns = now;
	err = registry_update(&n->registry, &next, &n->rcu);
	if (!err)
		c->object = next;
	return err == -HAVEN_EFULL ? -HAVEN_EAGAIN : err;
}

/* Take up to `most` requests of one client. Returns how many. */
static unsigned client_requests(struct haven_node *n, struct local_client *client, unsigned most,
				uint64_t now)
{
	struct request r;
	unsigned done = 0;

	while (done < most && !client->evicted && !client->hung_up && !client->ended) {
		uint64_t handle;
		int result = request_take(&client->requests, &r);

		if (result == 0)
			break;
		done++;
		if (result < 0) {
			local_evict(n, client, "its request ring contradicts itself", now);
			break;
		}
		registry_expect(&n->registry, request_ahead(&client->requests, EXPECT_FAR),
				request_ahead(&client->requests, EXPECT_NEAR));
		result = light_request(&n->local.light, client->process, &r,
				       r.seq <= client->replay_until, now, &handle);
		if (result == LIGHT_LOCAL)
			result = local_update(n, client, &r, now);
		request_answer(&client->requests, result, handle);
	}
	return done;
}

static unsigned take_requests(struct haven_node *n, uint64_t now)
{
	struct local *l = &n->local;
	uint64_t until = 0;
	unsigned done = 0, idle = 0;

	while (idle < l->n_clients && idle < RINGS_PER_TURN && done < REQUESTS_PER_TURN) {
		unsigned got;

		if (++l->turn >= l->n_clients)
			l->turn = 0;
		got = client_requests(n, l->client[l->turn], REQUESTS_AT_A_TIME, now);
		done += got;
		idle = got ? 0 : idle + 1;
		if (!got)
			continue;
		now = clock_now_ns();
		if (!until)
			until = now + REQUESTS_NS;
		else if (now >= until)
			break;
	}
	return done;
}

/* ---- processes that left or came back -------------------------------------------------------- */

static void tell_swept(struct haven_node *n, enum event_kind kind, const struct light_done *done,
		       uint64_t now)
{
	struct event e = publish_event_init(kind, EVENT_NOTICE);

	if (done->pid == 0 || done->count == 0)
		return;
	e.node = n->self;
	e.a = (uint64_t)done->pid;
	e.b = done->count;
	if (kind == EVENT_COMPONENTS_GONE)
		snprintf(e.detail, sizeof(e.detail), "%s",
			 done->ended ? "process ended" : "connection ended");
	publish_event(n, &e, now);
}

unsigned local_requests(struct haven_node *n, uint64_t now)
{
	unsigned work = take_requests(n, now);
	struct light_done done;

	work += light_sweep(&n->local.light, SWEEP_PER_TURN, &done);
	tell_swept(n, EVENT_COMPONENTS_GONE, &done, now);
	work += light_claim(&n->local.light, SWEEP_PER_TURN, now, &done);
	tell_swept(n, EVENT_COMPONENTS_CLAIMED, &done, now);
	return work;
}
