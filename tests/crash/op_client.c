/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An application's own segment: making it, claiming a worker slot, working, giving the slot back.
 * The harness is the node: it maps what it can get hold of, reads it as hostile input, and after a
 * death asks the kernel's mark, the pidfd and the slot's state, which must agree.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client_segment.h"
#include "crash.h"
#include "rcu.h"

#define COMPONENT 77u
#define EPOCH 40u
/** Offset of the part of a slot that is not its mark. */
#define REST offsetof(struct client_worker, quiescent)

struct client_stage {
	uint64_t epoch; /**< of the registry */
	uint32_t slot;  /**< that the operation works on; HAVEN_WORKERS_MAX: none is free */
	int result;
	uint32_t final; /**< enum client_worker_state that the slot must have at the end */
	bool attaches;  /**< the segment is made by the operation */
	uint32_t before[HAVEN_WORKERS_MAX]; /**< states at the begin */
	uint64_t progress;
	bool fresh; /**< nothing of an earlier claim may be left in the slot */
};

/** The child's. */
static struct client_segment *segment;

/** The harness's. */
struct own {
	struct client_segment *seen; /**< as the node maps it, NULL: not yet to be had */
	void *raw;                   /**< the same file, whatever is in it */
	struct client_worker first[HAVEN_WORKERS_MAX]; /**< as it was at the begin */
};

static struct client_stage *client_stage(const struct crash_case *c)
{
	return (struct client_stage *)(void *)c->stage->family;
}

/* ---- in the child ---------------------------------------------------------------------------- */

static void *thread_that_dies(void *leaving)
{
	if (client_worker_claim(&segment->worker[0], COMPONENT) != 0)
		return leaving;
	/* It gets no further than this in giving the slot back. */
	if (leaving)
		store_release(&segment->worker[0].state, CLIENT_WORKER_ENDED);
	return NULL;
}

static void slots_dress(struct crash_case *c)
{
	unsigned live = c->start == START_FULL ? HAVEN_WORKERS_MAX : c->start == START_ONE;
	struct client_worker *w = segment->worker;
	pthread_t thread;

	for (unsigned i = 0; i < live; i++)
		CRASH_EXPECT(c, client_worker_claim(&w[i], COMPONENT) == 0);
	if (c->start == START_RETIRED || c->start == START_WRAP) {
		CRASH_EXPECT(c, client_worker_claim(&w[0], COMPONENT) == 0);
		client_worker_release(&w[0]);
	}
	if (c->start == START_WRAP) {
		w[0].progress = w[0].gate_overruns = UINT64_MAX;
		w[0].confirmed[0] = w[0].confirmed[CLIENT_CONFIRMS - 1] = UINT64_MAX;
	}
	if (c->start == START_DEAD) {
		CRASH_EXPECT(c, pthread_create(&thread, NULL, thread_that_dies,
					       c->variant % 2 ? c : NULL) == 0);
		pthread_join(thread, NULL);
		CRASH_EXPECT(c, client_worker_marked(&w[0]));
	}
}

static void note(struct crash_case *c)
{
	struct client_stage *s = client_stage(c);
	uint32_t i = 0;

	s->epoch = EPOCH;
	for (unsigned k = 0; k < HAVEN_WORKERS_MAX; k++)
		s->before[k] = segment->worker[k].state;
	while (i < HAVEN_WORKERS_MAX && s->before[i] != CLIENT_WORKER_FREE &&
	       s->before[i] != CLIENT_WORKER_ENDED)
		i++;
	s->slot = i;
	s->final = CLIENT_WORKER_LIVE;
	s->fresh = true;
}

static void setup_claim(struct crash_case *c)
{
	int fd;

	CRASH_EXPECT(c, client_segment_create(&segment, &fd, NULL) == 0);
	slots_dress(c);
	note(c);
}

static void claim(struct crash_case *c)
{
	struct client_stage *s = client_stage(c);

	s->result = -HAVEN_EFULL;
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX && s->result == -HAVEN_EFULL; i++)
		s->result = client_worker_claim(&segment->worker[i], COMPONENT);
}

static void run_claim(struct crash_case *c)
{
	claim(c);
}

static void setup_attach(struct crash_case *c)
{
	struct client_stage *s = client_stage(c);

	*s = (struct client_stage){
		.final = CLIENT_WORKER_LIVE, .attaches = true, .fresh = true, .epoch = EPOCH};
}

static void run_attach(struct crash_case *c)
{
	int fd;

	client_stage(c)->result = client_segment_create(&segment, &fd, NULL);
	if (client_stage(c)->result == 0)
		claim(c);
}

/** A slot of its own, in the midst of its work. */
static void setup_worker(struct crash_case *c)
{
	struct client_stage *s = client_stage(c);

	setup_claim(c);
	if (s->slot == HAVEN_WORKERS_MAX)
		s->slot = HAVEN_WORKERS_MAX - 1; /* all are its own: the last one */
	else
		CRASH_EXPECT(c, client_worker_claim(&segment->worker[s->slot], COMPONENT) == 0);
	s->before[s->slot] = CLIENT_WORKER_LIVE;
	s->fresh = false;
	rcu_enter(&s->epoch, &segment->worker[s->slot].quiescent);
	s->progress = c->start == START_WRAP ? UINT64_MAX : 5;
	segment->worker[s->slot].progress = s->progress;
}

static void run_work(struct crash_case *c)
{
	struct client_stage *s = client_stage(c);
	struct client_worker *w = &segment->worker[s->slot];

	rcu_quiescent(&s->epoch, &w->quiescent);
	store_relaxed(&w->progress, ++s->progress);
	store_release(&w->confirmed[1], s->progress);
	rcu_leave(&w->quiescent);
	rcu_enter(&s->epoch, &w->quiescent);
}

static void setup_release(struct crash_case *c)
{
	setup_worker(c);
	client_stage(c)->final = CLIENT_WORKER_ENDED;
}

static void run_release(struct crash_case *c)
{
	client_worker_release(&segment->worker[client_stage(c)->slot]);
}

/** The mark of a slot that was given back is free for the next thread. */
static void after(struct crash_case *c)
{
	struct client_stage *s = client_stage(c);
	struct client_worker *w = &segment->worker[s->slot % HAVEN_WORKERS_MAX];

	if (s->final != CLIENT_WORKER_ENDED)
		return;
	CRASH_EXPECT(c, (w->mark.word & FUTEX_TID_MASK) == 0 && !client_worker_marked(w));
	CRASH_EXPECT(c, client_worker_claim(w, COMPONENT) == 0);
	client_worker_release(w);
	s->progress = 0;
	s->fresh = true;
}

/* ---- the node -------------------------------------------------------------------------------- */

/** A descriptor of our own of the child's segment, -1: there is none. */
static int find_segment(pid_t child)
{
	char path[64], link[64];
	const struct dirent *one;
	int found = -1;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)child);
	dir = opendir(path);
	while (dir && found < 0 && (one = readdir(dir))) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%.8s", (int)child, one->d_name);
		n = readlink(path, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = 0;
		if (strncmp(link, "/memfd:haven-client", strlen("/memfd:haven-client")) == 0)
			found = open(path, O_RDWR | O_CLOEXEC);
	}
	if (dir)
		closedir(dir);
	return found;
}

/** Try to map the segment as the node does. Before it is complete that must be refused. */
static void watch(struct crash_case *c, struct own *own)
{
	int fd = own->seen ? -1 : find_segment(c->child), status;
	struct stat st;

	if (fd < 0)
		return;
	status = client_segment_map(fd, &own->seen, NULL);
	if (status)
		own->seen = NULL;
	CRASH_CHECK(c, status == 0 || client_stage(c)->attaches,
		    "the node refuses a whole segment: error %d", -status);
	if (!own->raw && fstat(fd, &st) == 0 && st.st_size == sizeof(struct client_segment)) {
		void *raw = mmap(NULL, sizeof(struct client_segment), PROT_READ, MAP_SHARED, fd, 0);

		HAVEN_ASSERT(raw != MAP_FAILED);
		own->raw = raw;
		crash_region_add(c, own->raw, sizeof(struct client_segment));
	}
	close(fd);
}

static void open_segment(struct crash_case *c)
{
	struct own *own = calloc(1, sizeof(*own));

	HAVEN_ASSERT(own != NULL);
	c->own = own;
	watch(c, own);
	CRASH_CHECK(c, own->seen || client_stage(c)->attaches, "the segment is not to be had");
	if (own->seen)
		memcpy(own->first, own->seen->worker, sizeof(own->first));
}

static void slot_judge(struct crash_case *c, unsigned i, const struct client_worker *w, bool dead)
{
	const struct client_stage *s = client_stage(c);
	uint32_t word = load_acquire(&w->mark.word), state = load_acquire(&w->state);
	uint32_t owner = word & FUTEX_TID_MASK;

	CRASH_CHECK(c, state <= CLIENT_WORKER_CLAIMED, "worker %u has the state %u", i, state);
	if (dead) {
		CRASH_CHECK(c, owner == 0, "the mark of worker %u is owned by a dead thread", i);
		CRASH_CHECK(c, state != CLIENT_WORKER_LIVE || client_worker_marked(w),
			    "worker %u died LIVE and bears no mark", i);
		CRASH_CHECK(c, state != CLIENT_WORKER_FREE || !client_worker_marked(w),
			    "worker %u was never claimed and bears a mark", i);
		return;
	}
	/* W1, W2 of client_segment.h */
	CRASH_CHECK(c,
		    state != CLIENT_WORKER_LIVE || owner == (uint32_t)w->tid ||
			    (s->before[i] == CLIENT_WORKER_LIVE && client_worker_marked(w)),
		    "worker %u is LIVE and does not own its mark", i);
	CRASH_CHECK(c, state != CLIENT_WORKER_FREE || word == 0, "worker %u is FREE and owned", i);
	CRASH_CHECK(c, i == s->slot || state == s->before[i], "worker %u is not its own", i);
}

static void look_at(struct crash_case *c, bool dead)
{
	const struct client_stage *s = client_stage(c);
	struct own *own = c->own;

	if (!own->seen)
		return;
	CRASH_CHECK(c, own->seen->pid == c->child && own->seen->workers == HAVEN_WORKERS_MAX,
		    "the segment is accepted and names another process");
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++) {
		slot_judge(c, i, &own->seen->worker[i], dead);
		if (i != s->slot && !s->attaches)
			CRASH_CHECK(c,
				    memcmp((const uint8_t *)&own->first[i] + REST,
					   (const uint8_t *)&own->seen->worker[i] + REST,
					   sizeof(own->first[i]) - REST) == 0,
				    "the slot of worker %u is not its own", i);
	}
}

static void look(struct crash_case *c)
{
	if (c->pass == PASS_LOOK)
		watch(c, c->own);
	look_at(c, c->pass == PASS_KILL);
}

/** The node lets go of all that the process held; nothing of it stays behind. */
static void let_go(struct crash_case *c, const struct client_segment *seen)
{
	struct rcu_domain rcu;
	uint64_t epoch = EPOCH;
	int slot[HAVEN_WORKERS_MAX];

	rcu_domain_init(&rcu, &epoch);
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++)
		slot[i] = load_acquire(&seen->worker[i].state) == CLIENT_WORKER_LIVE
				  ? rcu_slot_add(&rcu, &seen->worker[i].quiescent)
				  : -1;
	rcu_retire_epoch(&rcu);
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++)
		rcu_slot_drop(&rcu, slot[i]);
	CRASH_CHECK(c, rcu.used == 0 && rcu_poll(&rcu) == epoch, "a reader slot is lost");
}

static void killed(struct crash_case *c)
{
	const struct own *own = c->own;
	int fd;

	CRASH_CHECK(c, own->seen || find_segment(c->child) < 0,
		    "the segment outlives its only process");
	if (!own->seen)
		return;
	fd = process_pidfd(own->seen->pid, own->seen->pid_start_ticks);
	CRASH_CHECK(c, fd >= 0 && process_ended(fd), "the dead process counts as alive");
	close(fd);
	let_go(c, own->seen);
}

/** A stopped process is not a dead one, and nothing of it may be given away. */
static void world(struct crash_case *c)
{
	struct own *own = c->own;
	int fd;

	watch(c, own);
	if (!own->seen)
		return;
	fd = process_pidfd(own->seen->pid, own->seen->pid_start_ticks);
	CRASH_CHECK(c, fd >= 0 && !process_ended(fd), "the stopped process counts as dead");
	close(fd);
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++)
		CRASH_CHECK(c,
			    !client_worker_marked(&own->seen->worker[i]) ||
				    (i == 0 && c->start == START_DEAD),
			    "worker %u of a stopped process bears a mark", i);
	look_at(c, false);
}

static void ended(struct crash_case *c)
{
	const struct client_stage *s = client_stage(c);
	struct own *own = c->own;
	const struct client_worker *w;

	if (!own->seen) {
		CRASH_CHECK(c, c->pass == PASS_STOP && s->attaches, "no segment at the end");
		return;
	}
	CRASH_CHECK(c, s->result == (s->slot == HAVEN_WORKERS_MAX ? -HAVEN_EFULL : 0),
		    "the operation gave %d", s->result);
	if (s->slot == HAVEN_WORKERS_MAX)
		return;
	w = &own->seen->worker[s->slot];
	CRASH_CHECK(c, w->state == s->final, "worker %u has the state %u at the end", s->slot,
		    w->state);
	/* It has exited: without having given the slot back that is a death like any other. */
	CRASH_CHECK(c, client_worker_marked(w) == (s->final == CLIENT_WORKER_LIVE),
		    "worker %u: mark and state disagree after its end", s->slot);
	CRASH_CHECK(c, w->component == COMPONENT && w->progress == s->progress,
		    "worker %u holds what is left of an earlier one", s->slot);
	if (s->fresh)
		CRASH_CHECK(c,
			    w->quiescent == 0 && w->gate_overruns == 0 && w->confirmed[0] == 0 &&
				    w->confirmed[CLIENT_CONFIRMS - 1] == 0,
			    "worker %u holds what is left of an earlier one", s->slot);
}

static void close_segment(struct crash_case *c)
{
	struct own *own = c->own;

	if (own->raw)
		munmap(own->raw, sizeof(struct client_segment));
	if (own->seen)
		client_segment_unmap(own->seen);
	free(own);
	c->own = NULL;
}

#define HARNESS                                                                                    \
	.open = open_segment, .look = look, .killed = killed, .world = world, .ended = ended,      \
	.close = close_segment

const struct crash_op crash_client_ops[] = {
	{.name = "attach",
	 .starts = 1u << START_EMPTY,
	 .setup = setup_attach,
	 .run = run_attach,
	 HARNESS},
	{.name = "claim", .starts = START_ALL, .setup = setup_claim, .run = run_claim, HARNESS},
	{.name = "work", .starts = START_ALL, .setup = setup_worker, .run = run_work, HARNESS},
	{.name = "release",
	 .starts = START_ALL,
	 .setup = setup_release,
	 .run = run_release,
	 .after = after,
	 HARNESS},
	{.name = NULL},
};
