/* SPDX-License-Identifier: BSD-3-Clause */
/* Attaching, again and again. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app.h"

#define CALL_MS 20000

bool app_lost(const struct app *a)
{
	struct pollfd p = {.fd = a->socket};

	return a->socket < 0 ||
	       (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0);
}

void app_verify(const struct app *a, const struct registry *r, bool loads)
{
	struct registry_component c;

	for (uint32_t i = 0; i < a->known; i++) {
		int err = registry_find_copy(r, a->name[i], &c);

		if (err)
			app_bad("%s: %s", a->name[i], error_sentence(err));
		if (c.hot.handle != a->handle[i])
			app_bad("%s has another handle", a->name[i]);
		if (loads && c.hot.load != a->load[i])
			app_bad("%s has load %u, not %u", a->name[i], c.hot.load, a->load[i]);
		err = registry_get_copy(r, a->handle[i], &c);
		if (err)
			app_bad("handle of %s: %s", a->name[i], error_sentence(err));
		if (c.cold.pid != getpid())
			app_bad("%s belongs to process %d", a->name[i], (int)c.cold.pid);
	}
}

/* 0, or an error that only says that the node has gone again. */
static int call(struct app *a, struct message *m, int fd, int *reply_fd)
{
	struct error_text error;
	int err = message_call(a->socket, m, fd, reply_fd, CALL_MS, &error);

	if (err && err != -HAVEN_ENODE)
		app_bad("request %u: %s", m->type, error.text);
	return err;
}

static int announce(struct app *a, unsigned reader)
{
	struct message m = {.type = MESSAGE_WORKER, .u.worker.worker = reader};

	return call(a, &m, -1, NULL);
}

static int attach(struct app *a, struct app_view *v)
{
	struct message m = {.type = MESSAGE_ATTACH,
			    .u.attach = {.segment_layout = CLIENT_SEGMENT_LAYOUT_VERSION,
					 .registry_layout = REGISTRY_LAYOUT_VERSION,
					 .table_layout = TABLE_LAYOUT_VERSION,
					 .pid = getpid(),
					 .seen = a->producer.seen}};
	struct error_text error;
	int fd, err = call(a, &m, a->segment_fd, &fd);

	if (err)
		return err;
	if (registry_open_fd(&v->registry, fd, &error) != 0)
		app_bad("%s", error.text);
	close(fd);
	if (m.u.attach.client >= v->registry.shape.clients ||
	    v->registry.clients[m.u.attach.client].pid != getpid())
		app_bad("line %u is not this process's", m.u.attach.client);
	request_producer_move(&a->producer, &v->registry.clients[m.u.attach.client]);
	return 0;
}

/* Readers move to the new registry once everything is there and they are watched. */
static int move_in(struct app *a, struct app_view *v)
{
	int err = attach(a, v);

	if (!err && !a->adopt)
		app_verify(a, &v->registry, false); /* at once, not after a while */
	for (unsigned i = 0; i < a->n_readers && !err; i++)
		err = announce(a, i);
	if (!err && a->adopt && !app_ring_adopt(a))
		err = -HAVEN_ENODE;
	if (!err)
		app_verify(a, &v->registry, false);
	return err;
}

void app_attach(struct app *a)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	struct error_text error;
	struct app_view *v;
	int err = -HAVEN_ENODE;

	while (err) {
		if (a->socket >= 0)
			close(a->socket);
		a->socket = message_connect(a->run_dir, &error);
		if (a->socket < 0) {
			nanosleep(&pause, NULL); /* between tries */
			continue;
		}
		v = calloc(1, sizeof(*v));
		v->registry.fd = -1;
		err = move_in(a, v);
		if (err) {
			registry_close(&v->registry);
			free(v);
		}
	}
	v->next = a->views;
	a->views = v;
	store_release(&a->view, v); /* V */
	a->attached++;
}
