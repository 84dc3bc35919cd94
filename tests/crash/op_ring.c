/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests from an application to its node, and counters. The application's ring and the node's
 * line lie in memory that harness and child share; after each instruction the other side goes on
 * from copies of its private ends, with the dead one's line or with that of a new incarnation.
 */
#include <string.h>
#include <sys/mman.h>

#include "counters.h"
#include "crash.h"
#include "request.h"

#define COUNTERS_BYTES 4096u
#define TOP_BITS 12u

/** What both sides share, and their private ends as they are before the operation. */
struct ring_stage {
	struct request_producer producer;
	struct request_consumer consumer;
	uint64_t unanswered; /**< requests that were pushed and not answered */
	uint64_t pushed;     /**< what request_push() gave, 0: no room */
	int result;
	struct registry_reply reply;
	uint32_t counters; /**< before the operation */
	uint64_t value;
};

static struct shared {
	_Alignas(HAVEN_CACHE_LINE) struct request_ring ring;
	_Alignas(HAVEN_CACHE_LINE) struct registry_client line;
	_Alignas(HAVEN_CACHE_LINE) uint8_t counters[COUNTERS_BYTES];
} * shared;

static struct request_producer producer;
static struct request_consumer consumer;
static struct request request;
static struct counters counters;
static struct histogram histogram;
static uint64_t *counter;

static struct ring_stage *ring_stage(const struct crash_case *c)
{
	return (struct ring_stage *)(void *)c->stage->family;
}

/** Request number `seq`: everything in it follows from that. */
static struct request request_of(uint64_t seq)
{
	struct request r = {.seq = seq,
			    .handle = seq * 3,
			    .kind = (uint16_t)(1 + seq % (REQUEST_KIND_COUNT - 1)),
			    .load = (uint32_t)seq * 5,
			    .weight = (uint32_t)~seq};

	memset(r.name, 'a' + (int)(seq % 20), HAVEN_NAME_MAX - 1);
	memset(r.release, 'b' + (int)(seq % 20), HAVEN_NAME_MAX - 1);
	return r;
}

static uint64_t handle_of(uint64_t seq)
{
	return seq * 7 + 1;
}

/* ---- start states ---------------------------------------------------------------------------- */

static void shared_make(void)
{
	if (!shared) {
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		HAVEN_ASSERT(shared != MAP_FAILED);
	}
	memset(shared, 0, sizeof(*shared));
}

static void push(void)
{
	request = request_of(producer.pushed + 1);
	request_push(&producer, &request);
}

static void answer(struct crash_case *c)
{
	struct request taken;

	CRASH_EXPECT(c, request_take(&consumer, &taken) == 1);
	request_answer(&consumer, -(int)(taken.seq % 5), handle_of(taken.seq));
}

static void work_of_the_dead(struct crash_case *c)
{
	if (c->variant % 2)
		answer(c);
	else
		push();
}

/** `pending`: requests that are under way at least, so that there is one to take. */
static void requests_make(struct crash_case *c, unsigned pending)
{
	struct ring_stage *s = ring_stage(c);
	struct registry_reply reply;
	unsigned count = c->start == START_FULL ? REQUEST_SLOTS : c->start == START_ONE;
	uint64_t seen = c->start == START_WRAP ? UINT32_MAX - 1 : c->variant * 11;

	shared_make();
	shared->ring.head = seen;
	producer = (struct request_producer){
		.ring = &shared->ring, .line = &shared->line, .pushed = seen, .seen = seen};
	request_consumer_init(&consumer, &shared->ring, &shared->line, seen);
	for (unsigned i = 0; i < REQUEST_SLOTS && c->start == START_RETIRED; i++) {
		push();
		answer(c);
		CRASH_EXPECT(c, request_answered(&producer, &reply) == 1);
	}
	while (count < pending)
		count++;
	for (unsigned i = 0; i < count; i++)
		push();
	if (c->start == START_DEAD) {
		push();
		push();
		crash_death(c, work_of_the_dead, shared, sizeof(*shared),
			    1 + c->variant / 2 * 5 % 26);
		/* A living application goes on with a new node; a dead one does not come back. */
		if (c->variant % 2) {
			while (request_answered(&producer, &reply) == 1)
				;
			request_consumer_init(&consumer, &shared->ring, &shared->line,
					      producer.seen);
		} else {
			producer.pushed = shared->ring.head;
		}
	}
	s->producer = producer;
	s->consumer = consumer;
}

static void prepare_push(struct crash_case *c)
{
	requests_make(c, 0);
	request = request_of(producer.pushed + 1);
}

static void prepare_take(struct crash_case *c)
{
	requests_make(c, 1);
}

/** The first answer has come and is to be read. */
static void prepare_answered(struct crash_case *c)
{
	requests_make(c, 2);
	answer(c);
	ring_stage(c)->producer = producer;
	ring_stage(c)->consumer = consumer;
}

static void run_push(struct crash_case *c)
{
	ring_stage(c)->pushed = request_push(&producer, &request);
}

static void run_take(struct crash_case *c)
{
	struct request taken;

	ring_stage(c)->result = request_take(&consumer, &taken);
	request_answer(&consumer, -(int)(taken.seq % 5), handle_of(taken.seq));
}

static void run_answered(struct crash_case *c)
{
	ring_stage(c)->result = request_answered(&producer, &ring_stage(c)->reply);
}

/* ---- judges ---------------------------------------------------------------------------------- */

static void open_shared(struct crash_case *c)
{
	crash_region_add(c, shared, sizeof(*shared));
}

/** The node takes what is there: all that the head shows, whole and in order (N1, N2). */
static uint64_t drain(struct crash_case *c, struct request_consumer *end, bool answers)
{
	struct request got, want;
	uint64_t taken = end->taken;
	int status;

	while ((status = request_take(end, &got)) == 1) {
		want = request_of(++taken);
		CRASH_CHECK(c, memcmp(&got, &want, sizeof(got)) == 0, "request %llu is not whole",
			    (unsigned long long)taken);
		if (answers)
			request_answer(end, -(int)(got.seq % 5), handle_of(got.seq));
	}
	CRASH_CHECK(c, status == 0, "the node calls the ring corrupt");
	return taken;
}

static void reply_judge(struct crash_case *c, const struct registry_reply *reply, uint64_t seq)
{
	CRASH_CHECK(c,
		    reply->seq == seq && reply->handle == handle_of(seq) &&
			    reply->result == -(int64_t)(seq % 5),
		    "the answer to request %llu is not whole", (unsigned long long)seq);
}

static uint64_t collect(struct crash_case *c, struct request_producer *end)
{
	struct registry_reply reply;
	int status;

	while ((status = request_answered(end, &reply)) == 1)
		reply_judge(c, &reply, end->seen);
	CRASH_CHECK(c, status == 0, "the application calls the line corrupt");
	return end->seen;
}

static void look_push(struct crash_case *c)
{
	const struct ring_stage *s = ring_stage(c);
	struct request_consumer end = s->consumer;
	uint64_t taken = drain(c, &end, false);

	CRASH_CHECK(c, taken == s->producer.pushed || taken == s->producer.pushed + 1,
		    "%llu requests are there of %llu", (unsigned long long)taken,
		    (unsigned long long)s->producer.pushed);
}

static void ended_push(struct crash_case *c)
{
	const struct ring_stage *s = ring_stage(c);
	bool room = s->producer.pushed - s->producer.seen < REQUEST_SLOTS;
	struct request_consumer end = s->consumer;

	CRASH_CHECK(c, s->pushed == (room ? s->producer.pushed + 1 : 0), "pushing gave %llu",
		    (unsigned long long)s->pushed);
	CRASH_CHECK(c, drain(c, &end, false) == s->producer.pushed + room,
		    "the request is not there");
}

/** The node died: the application has its answers, and a new node answers the rest (N4). */
static void look_take(struct crash_case *c)
{
	static struct registry_client line;
	const struct ring_stage *s = ring_stage(c);
	struct request_producer application = s->producer;
	struct request_consumer next;
	uint64_t seen = collect(c, &application);

	CRASH_CHECK(c, seen - s->producer.seen <= 1, "answers that nobody gave");
	request_consumer_init(&next, &shared->ring, &line, seen);
	drain(c, &next, true);
	request_producer_move(&application, &line);
	CRASH_CHECK(c, collect(c, &application) == s->producer.pushed,
		    "after a restart a request has no answer");
}

static void ended_take(struct crash_case *c)
{
	const struct ring_stage *s = ring_stage(c);
	struct request_producer application = s->producer;

	CRASH_CHECK(c, s->result == 1, "nothing was taken");
	CRASH_CHECK(c, collect(c, &application) == s->producer.seen + 1, "no answer came");
	look_take(c);
}

/** The application stands still while the node answers on. */
static void world_answered(struct crash_case *c)
{
	struct request_consumer node = ring_stage(c)->consumer;

	drain(c, &node, true);
}

static void look_answered(struct crash_case *c)
{
	CRASH_CHECK(c, c->pass != PASS_LOOK || c->step == 0,
		    "reading an answer changed shared memory or entered the kernel");
}

static void ended_answered(struct crash_case *c)
{
	const struct ring_stage *s = ring_stage(c);

	CRASH_CHECK(c, s->result == 1, "the answer was not found");
	reply_judge(c, &s->reply, s->producer.seen + 1);
}

static void world_push(struct crash_case *c)
{
	look_push(c);
}

static void world_take(struct crash_case *c)
{
	look_take(c);
}

/* ---- counters -------------------------------------------------------------------------------- */

static void add_counter(struct crash_case *c, unsigned i)
{
	char labels[16] = "link=0";
	const struct counter_spec spec = {
		.name = "yard", .labels = labels, .unit = "frames", .help = "of the yard"};

	labels[5] = (char)('0' + i);
	CRASH_EXPECT(c, counters_add(&counters, &spec, &counter, NULL) == 0);
}

static void prepare_counters(struct crash_case *c)
{
	static const unsigned count[START_COUNT] = {
		[START_EMPTY] = 0,   [START_ONE] = 1,  [START_FULL] = 9,
		[START_RETIRED] = 2, [START_WRAP] = 3, [START_DEAD] = 4,
	};
	const struct counter_spec spec = {.name = "times",
					  .unit = "ns",
					  .help = "of the yard",
					  .kind = COUNTER_HISTOGRAM,
					  .top_bits = TOP_BITS};
	struct ring_stage *s = ring_stage(c);

	shared_make();
	CRASH_EXPECT(c, counters_init(&counters, shared->counters, COUNTERS_BYTES, NULL) == 0);
	/* A full memory has no room for the histogram. */
	if (c->start != START_FULL)
		CRASH_EXPECT(c, counters_add_histogram(&counters, &spec, &histogram, NULL) == 0);
	for (unsigned i = 0; i < count[c->start]; i++)
		add_counter(c, i);
	for (unsigned i = 0; c->start != START_FULL && i < c->variant; i++)
		histogram_add(&histogram, i * 31);
	if (c->start == START_WRAP) {
		*counter = UINT32_MAX;
		histogram.words->sum = UINT64_MAX;
		histogram.words->max = UINT64_MAX;
		histogram.words->bucket[histogram.last] = UINT32_MAX;
	}
	s->counters = counters.n;
	s->value = c->variant * 31;
}

static void run_counters_add(struct crash_case *c)
{
	const struct counter_spec spec = {
		.name = "another", .labels = "a=b,c=d", .unit = "ns", .help = "Of the yard."};
	uint64_t *value;

	ring_stage(c)->result = counters_add(&counters, &spec, &value, NULL);
}

static void run_histogram_add(struct crash_case *c)
{
	histogram_add(&histogram, ring_stage(c)->value);
}

static void tell(void *context, const char *sentence)
{
	crash_fail(context, "counters_check: %s", sentence);
}

static void counters_judge(struct crash_case *c, uint32_t least, uint32_t most)
{
	struct counters_view view;
	struct counter_entry entry;
	uint32_t n = counters_check(shared->counters, COUNTERS_BYTES, tell, c);

	CRASH_CHECK(c, n >= least && n <= most, "%u counters, %u before", n, least);
	CRASH_CHECK(c, counters_open(&view, shared->counters, COUNTERS_BYTES, NULL) == 0,
		    "the counters cannot be opened");
	for (uint32_t i = 0; i < n; i++)
		CRASH_CHECK(c, counters_get(&view, i, &entry) == 0, "counter %u is not whole", i);
}

static void look_counters(struct crash_case *c)
{
	uint32_t before = ring_stage(c)->counters;

	counters_judge(c, before, before + 1);
}

static void ended_counters(struct crash_case *c)
{
	const struct ring_stage *s = ring_stage(c);

	CRASH_CHECK(c, s->result == 0 || s->result == -HAVEN_EFULL, "adding gave %d", s->result);
	counters_judge(c, s->counters + (s->result == 0), s->counters + (s->result == 0));
}

static void ended_histogram(struct crash_case *c)
{
	struct histogram_copy copy;
	uint32_t before = ring_stage(c)->counters;
	/* Winding up put one bucket to its end, over whatever was in it. */
	uint64_t count = c->variant + 1ull + (c->start == START_WRAP ? UINT32_MAX : 0u);

	counters_judge(c, before, before);
	histogram_copy(histogram.words, histogram.last + 1, &copy);
	CRASH_CHECK(c, copy.count >= c->variant + 1 && copy.count <= count,
		    "%llu values are counted of %llu", (unsigned long long)copy.count,
		    (unsigned long long)count);
	CRASH_CHECK(c, histogram_contradiction(&copy) == NULL, "%s",
		    histogram_contradiction(&copy));
}

#define RING(title, in, begin, function, at, move, end)                                            \
	{                                                                                          \
		.name = title, .starts = in, .prepare = begin, .run = function,                    \
		.open = open_shared, .look = at, .world = move, .ended = end,                      \
	}

const struct crash_op crash_ring_ops[] = {
	RING("request-push", START_ALL, prepare_push, run_push, look_push, world_push, ended_push),
	RING("request-take", START_ALL, prepare_take, run_take, look_take, world_take, ended_take),
	RING("answer-read", START_ALL, prepare_answered, run_answered, look_answered,
	     world_answered, ended_answered),
	RING("counters-add", START_ALL, prepare_counters, run_counters_add, look_counters,
	     look_counters, ended_counters),
	RING("histogram-add", START_BUT(START_FULL), prepare_counters, run_histogram_add,
	     look_counters, look_counters, ended_histogram),
	{.name = NULL},
};
