/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client_internal.h"

#define ATTACH_RUN_DIR "/run/haven"

/* The error of a failed attach has no object to live in. */
static _Thread_local struct error_text attach_error;

int client_call(struct haven *h, struct message *m, int fd, int *reply_fd)
{
	return attachment_call(h, h->now, m, fd, reply_fd);
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

static int attach_start(struct haven *h)
{
	struct attachment *at;
	int status = client_segment_create(&h->segment, &h->segment_fd, &h->error);

	if (!status)
		status = attachment_open(h, 0, &at);
	if (status)
		return status;
	attachment_publish(h, at);
	h->requests = requests_new(h->segment, at);
	status = h->requests ? fork_enlist(h) : -HAVEN_ENOMEM;
	return status ? error_set(&h->error, status, "no memory to attach") : 0;
}

/* The directory as it is found later, when this process may have changed its own. */
static char *run_dir_keep(const char *run_dir)
{
	return run_dir[0] == '/' ? strdup(run_dir) : realpath(run_dir, NULL);
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
	h = aligned_alloc(HAVEN_CACHE_LINE, sizeof(*h));
	if (!h)
		return error_set(&attach_error, HAVEN_ENOMEM, "no memory to attach");
	memset(h, 0, sizeof(*h));
	pthread_mutex_init(&h->control, NULL);
	h->references = 1;
	h->segment_fd = -1;
	h->run_dir = run_dir_keep(run_dir);
	status = h->run_dir ? attach_start(h)
			    : error_set(&h->error, HAVEN_ENODE, "no node runs in %s: %s", run_dir,
					strerror(errno));
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
	fork_delist(h);
	while (h->components) {
		struct haven_component *c = h->components;

		h->components = c->next;
		component_free(c);
	}
	requests_free(h->requests);
	if (h->next)
		attachment_free(h->next);
	while (h->now) {
		struct attachment *at = h->now;

		h->now = at->older;
		attachment_free(at);
	}
	if (h->segment)
		client_segment_unmap(h->segment);
	if (h->segment_fd >= 0)
		close(h->segment_fd);
	pthread_mutex_destroy(&h->control);
	free(h->run_dir);
	free(h);
}

/* A worker or reader of the calling thread, NULL when there is none left. */
static struct haven_reader *reader_of_thread(struct haven *h)
{
	struct haven_reader *r;

	pthread_mutex_lock(&h->control);
	for (r = h->readers; r && !reader_is_mine(r); r = r->next)
		;
	pthread_mutex_unlock(&h->control);
	return r;
}

/* Those whose threads have died will not end themselves; the kernel is done with their marks.
 * Under control. */
static void readers_bury(struct haven *h)
{
	struct haven_reader **at = &h->readers;

	while (*at) {
		struct haven_reader *r = *at;

		if (!client_worker_marked(r->slot)) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		free(r);
		/* Never the last hold: the caller still has its own. */
		sub_fetch_acq_rel(&h->references, 1);
	}
}

void haven_detach(struct haven *h)
{
	struct haven_reader *r;

	if (!h)
		return;
	while ((r = reader_of_thread(h))) {
		if (r->worker)
			haven_worker_end((struct haven_worker *)(void *)r);
		else
			haven_reader_end(r);
	}
	pthread_mutex_lock(&h->control);
	readers_bury(h);
	for (struct haven_component *c = h->components; c && !attachment_lost(h->now);
	     c = c->next) {
		struct message m = {.type = MESSAGE_DEREGISTER, .handle = c->handle};

		/* A refusal changes nothing here: the node cleans up when the socket closes. */
		(void)client_call(h, &m, -1, NULL);
	}
	attachment_lose(h->now);
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
