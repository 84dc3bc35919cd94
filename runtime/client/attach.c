/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client_internal.h"

#define ATTACH_RUN_DIR "/run/haven"

/* The error of a failed attach has no object to live in. */
static _Thread_local struct error_text attach_error;

bool client_lost(const struct haven *h)
{
	return load_relaxed(&h->node_gone) != 0;
}

void client_lose(struct haven *h)
{
	store_relaxed(&h->node_gone, 1);
	/* Not closed yet: another worker may be looking at the descriptor. */
	shutdown(h->socket, SHUT_RDWR);
}

int client_call(struct haven *h, struct message *m, int fd, int *reply_fd)
{
	int status;

	if (client_lost(h))
		return error_set(&h->error, HAVEN_ENODE,
				 "the node went away; detach and attach again");
	status = message_call(h->socket, m, fd, reply_fd, CLIENT_CALL_TIMEOUT_MS, &h->error);
	if (status == -HAVEN_ENODE || status == -HAVEN_ETIMEDOUT)
		client_lose(h);
	return status;
}

bool client_name_copy(char *to, const char *from)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";
	size_t n = from ? strnlen(from, HAVEN_NAME_MAX) : 0;

	if (n == 0 || n == HAVEN_NAME_MAX || strspn(from, allowed) != n)
		return false;
	memset(to, 0, HAVEN_NAME_MAX);
	memcpy(to, from, n);
	return true;
}

/* Pass the client segment to the node and map the registry that comes back. */
static int attach_exchange(struct haven *h)
{
	struct message m = {.type = MESSAGE_ATTACH};
	int segment_fd = -1, registry_fd = -1;
	int status = client_segment_create(&h->segment, &segment_fd, &h->error);

	if (status)
		return status;
	m.u.attach.segment_layout = CLIENT_SEGMENT_LAYOUT_VERSION;
	m.u.attach.registry_layout = REGISTRY_LAYOUT_VERSION;
	m.u.attach.table_layout = TABLE_LAYOUT_VERSION;
	m.u.attach.pid = getpid();
	status = client_call(h, &m, segment_fd, &registry_fd);
	close(segment_fd);
	if (status)
		return status;
	if (registry_fd < 0)
		return error_set(&h->error, HAVEN_ECORRUPT,
				 "the node's answer carries no registry; use libhaven and havend "
				 "of one release");
	status = registry_open_fd(&h->registry, registry_fd, &h->error);
	close(registry_fd);
	return status;
}

int haven_attach(struct haven **out, const char *run_dir)
{
	struct haven *h;
	int status;

	*out = NULL;
	if (!run_dir)
		run_dir = getenv("HAVEN_RUN_DIR");
	if (!run_dir || !*run_dir)
		run_dir = ATTACH_RUN_DIR;
	h = calloc(1, sizeof(*h));
	if (!h)
		return error_set(&attach_error, HAVEN_ENOMEM, "no memory to attach");
	pthread_mutex_init(&h->control, NULL);
	h->references = 1;
	h->registry.fd = -1;
	h->socket = message_connect(run_dir, &h->error);
	status = h->socket < 0 ? h->socket : attach_exchange(h);
	if (status) {
		attach_error = h->error;
		client_release(h);
		return status;
	}
	*out = h;
	return 0;
}

void client_release(struct haven *h)
{
	if (sub_fetch_acq_rel(&h->references, 1) > 0)
		return;
	while (h->components) {
		struct haven_component *c = h->components;

		h->components = c->next;
		component_free(c);
	}
	if (h->registry.base)
		registry_close(&h->registry);
	if (h->segment)
		client_segment_unmap(h->segment);
	if (h->socket >= 0)
		close(h->socket);
	pthread_mutex_destroy(&h->control);
	free(h);
}

/* A worker of the calling thread, NULL when there is none left. */
static struct haven_worker *worker_of_thread(struct haven *h)
{
	int32_t self = (int32_t)syscall(SYS_gettid);
	struct haven_worker *w;

	pthread_mutex_lock(&h->control);
	for (w = h->workers; w && load_relaxed(&w->slot->tid) != self; w = w->next)
		;
	pthread_mutex_unlock(&h->control);
	return w;
}

/* Workers whose threads have died will not end themselves; the kernel is done with their marks.
 * Under control. */
static void workers_bury(struct haven *h)
{
	struct haven_worker **at = &h->workers;

	while (*at) {
		struct haven_worker *w = *at;

		if (!client_worker_marked(w->slot)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		free(w);
		/* Never the last hold: the caller still has its own. */
		sub_fetch_acq_rel(&h->references, 1);
	}
}

void haven_detach(struct haven *h)
{
	struct haven_worker *w;

	if (!h)
		return;
	while ((w = worker_of_thread(h)))
		haven_worker_end(w);
	pthread_mutex_lock(&h->control);
	workers_bury(h);
	for (struct haven_component *c = h->components; c && !client_lost(h); c = c->next) {
		struct message m = {.type = MESSAGE_DEREGISTER, .handle = c->handle};

		/* A refusal changes nothing here: the node cleans up when the socket closes. */
		(void)client_call(h, &m, -1, NULL);
	}
	client_lose(h);
	pthread_mutex_unlock(&h->control);
	client_release(h);
}

const char *haven_last_error(const struct haven *h)
{
	return h ? h->error.text : attach_error.text;
}

const char *haven_strerror(int error)
{
	return error_sentence(error);
}

enum haven_error_class haven_error_class(int error)
{
	return error_class(error);
}
