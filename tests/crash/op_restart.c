/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Start, restart and orderly stop of a node, as far as its registry goes. The restart is what
 * recovers from a death, so stepping through it shows that a second death, anywhere in it, is
 * recovered from, too. Its clients tell it who is there, whatever became of the files.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry_stage.h"

#define FILE_NEW "registry.new"

/** The child's. */
static struct yard yard;

/** The harness's. */
struct own {
	struct registry old;  /**< mapped before, as readers have it; base NULL: there was none */
	const uint8_t *fresh; /**< the file that is being made */
	size_t fresh_bytes;
};

/* ---- in the child ---------------------------------------------------------------------------- */

/** What a node that died while it started has left beside the registry. */
static void leave_rubbish(const struct crash_case *c)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/" FILE_NEW, c->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0640);
	if (fd < 0 || write(fd, "rubbish", 7) != 7)
		_exit(1);
	close(fd);
}

static void setup_restart(struct crash_case *c)
{
	struct registry_stage *s = registry_stage(c);

	yard_make(c, &yard);
	s->word = 0;
	yard_note(c, &yard);
	yard_abandon(&yard);
	if (c->start == START_RETIRED || c->start == START_DEAD)
		leave_rubbish(c);
}

static void run_restart(struct crash_case *c)
{
	struct registry_stage *s = registry_stage(c);

	s->result = registry_restart(&yard.r, c->dir, c->dir, s);
}

static void setup_start(struct crash_case *c)
{
	if (c->start == START_RETIRED)
		leave_rubbish(c);
}

static void run_start(struct crash_case *c)
{
	struct registry_config config = {.cluster = "yard",
					 .node = "a",
					 .release = "1",
					 .incarnation = YARD_INCARNATION + c->variant,
					 .shape = yard_shape()};
	struct error_text error;

	registry_stage(c)->result = registry_create(&yard.r, c->dir, &config, &error);
}

static void setup_stop(struct crash_case *c)
{
	yard_make(c, &yard);
	registry_stage(c)->word = 0;
	yard_note(c, &yard);
}

static void run_stop(struct crash_case *c)
{
	(void)c;
	registry_destroy(&yard.r);
}

static void after(struct crash_case *c)
{
	CRASH_EXPECT(c, registry_stage(c)->result == 0);
}

/* ---- the harness ----------------------------------------------------------------------------- */

static void open_old(struct crash_case *c)
{
	struct own *own = calloc(1, sizeof(*own));

	HAVEN_ASSERT(own != NULL);
	c->own = own;
	if (registry_open(&own->old, c->dir, NULL) == 0)
		crash_region_add(c, own->old.base, own->old.size_bytes);
}

/** Map a file that has come, if it has its size already. */
static void watch_fresh(struct crash_case *c, struct own *own)
{
	char path[96];
	struct stat st;
	void *base;
	int fd;

	snprintf(path, sizeof(path), "%s/" FILE_NEW, c->dir);
	fd = own->fresh ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > (off_t)sizeof(struct registry_header)) {
		base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		HAVEN_ASSERT(base != MAP_FAILED);
		own->fresh = base;
		own->fresh_bytes = (size_t)st.st_size;
		crash_region_add(c, own->fresh, own->fresh_bytes);
	}
	close(fd);
}

/** What is there under the name: nothing (if there was nothing), the old one, or a whole new one
 *  with everybody in it. */
static void look_by_name(struct crash_case *c, const struct own *own)
{
	struct registry now;
	int status = registry_open(&now, c->dir, NULL);

	CRASH_CHECK(c, status == 0 || (!own->old.base && status == -HAVEN_ENOENT),
		    "the registry cannot be opened: error %d", -status);
	if (status)
		return;
	registry_judge_clean(c, &now, "found under the name");
	registry_judge_kept(c, &now);
	CRASH_CHECK(c, now.header->generation >= registry_stage(c)->generation,
		    "the new registry would give out handles again");
	CRASH_CHECK(c, now.header->rcu_epoch >= registry_stage(c)->epoch,
		    "the new registry begins with epochs that were there");
	registry_close(&now);
}

static void recover_start(struct crash_case *c, const char *new_dir)
{
	const struct registry_config config = {.cluster = "yard",
					       .shape = {.components = YARD_COMPONENTS}};
	struct registry r;

	mkdir(new_dir, 0700);
	CRASH_CHECK(c, registry_create(&r, new_dir, &config, NULL) == 0, "the next start fails");
	if (!r.base)
		return;
	registry_judge_clean(c, &r, "after the next start");
	registry_destroy(&r);
}

static void look(struct crash_case *c)
{
	struct own *own = c->own;
	char beside[96];
	const char *new_dir = c->pass == PASS_KILL ? c->dir : beside;

	snprintf(beside, sizeof(beside), "%s/next", c->dir);
	if (c->pass == PASS_LOOK)
		watch_fresh(c, own);
	/* Who has the old one mapped goes on with it. */
	if (own->old.base)
		registry_view(c, &own->old, false);
	look_by_name(c, own);
	if (own->old.base)
		registry_recover(c, c->dir, new_dir, registry_stage(c));
	else
		recover_start(c, new_dir);
}

/** Others read on while it stands; a second node does not start, for the first one still holds the
 *  lock of the run directory. */
static void world(struct crash_case *c)
{
	struct own *own = c->own;

	if (own->old.base)
		registry_view(c, &own->old, false);
	look_by_name(c, own);
}

static void ended(struct crash_case *c)
{
	const struct own *own = c->own;
	struct registry now;

	look_by_name(c, own);
	if (registry_open(&now, c->dir, NULL) != 0) {
		crash_fail(c, "there is no registry at the end");
		return;
	}
	registry_judge_clean(c, &now, "at the end");
	registry_judge_kept(c, &now);
	registry_close(&now);
}

static void close_all(struct crash_case *c)
{
	struct own *own = c->own;

	if (own->fresh)
		munmap((void *)(uintptr_t)own->fresh, own->fresh_bytes);
	registry_close(&own->old);
	free(own);
	c->own = NULL;
}

#define HARNESS                                                                                    \
	.after = after, .open = open_old, .look = look, .world = world, .ended = ended,            \
	.close = close_all

const struct crash_op crash_restart_ops[] = {
	{.name = "restart",
	 .starts = START_ALL,
	 .setup = setup_restart,
	 .run = run_restart,
	 HARNESS},
	{.name = "start",
	 .starts = 1u << START_EMPTY | 1u << START_RETIRED,
	 .setup = setup_start,
	 .run = run_start,
	 HARNESS},
	{.name = "stop", .starts = START_ALL, .setup = setup_stop, .run = run_stop, HARNESS},
	{.name = NULL},
};
