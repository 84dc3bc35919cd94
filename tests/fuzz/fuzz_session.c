/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sequences of frames and times for real brains (session.h). An input is
 *
 *     flags (1) | operation | operation | …       operation: kind (1) a (1) b (1) c (1) bytes
 *
 * where only a forged or an invented frame has bytes, c modulo 97 of them. Whatever is changed is
 * sealed again, by the sender's key: every frame gets behind the tag.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_common.h"
#include "prng.h"
#include "session.h"

#define HEAD 4u
#define BYTES_MAX 96u
#define OPERATIONS_MAX 32u
#define FLAG_CONFIDENTIAL 1u
#define FLAG_COLD 2u /* from the start, not from a cluster that serves */

enum operation {
	OP_TICK = 0, /* a % 8 + 1 of them */
	OP_SLEEP,    /* a * 250 µs */
	OP_DELIVER,  /* letter a on link b */
	OP_DROP,     /* letter a */
	OP_TWICE,    /* letter a, which stays */
	OP_REPLAY,   /* on link b */
	OP_FORGE,    /* letter a, at b */
	OP_INVENT,   /* from a, type b */
	OP_UP,       /* node a, instance b */
	OP_DOWN,
	OP_COMMIT,  /* node a, b records */
	OP_MOVE,    /* operator: at node a instance b to node c */
	OP_RESTART, /* node a */
	OP_CUT,     /* node a is not heard by the mask b */
	OP_COUNT
};

/* ---- one input --------------------------------------------------------------------------------
 */

static void letters(struct session *s, const uint8_t *op, const uint8_t *bytes, size_t n)
{
	switch ((enum operation)(op[0] % OP_COUNT)) {
	case OP_DELIVER:
		session_deliver(s, op[1], op[2], false);
		break;
	case OP_DROP:
		if (s->mail_count)
			session_drop(s, op[1] % s->mail_count);
		break;
	case OP_TWICE:
		session_deliver(s, op[1], op[2], true);
		break;
	case OP_REPLAY:
		session_replay(s, op[2]);
		break;
	case OP_FORGE:
		session_forge(s, op[1], op[2], bytes, n);
		break;
	case OP_INVENT:
		session_invent(s, (uint8_t)(1 + op[1] % 2), (uint8_t)(1 + op[2] % 4), bytes, n);
		break;
	default:
		break;
	}
}

static void act(struct session *s, const uint8_t *op, const uint8_t *bytes, size_t n)
{
	unsigned node = op[1] % SESSION_NODES, instance = op[2] % SESSION_INSTANCES;

	switch ((enum operation)(op[0] % OP_COUNT)) {
	case OP_TICK:
		for (unsigned i = 0; i <= op[1] % 8; i++)
			session_tick(s);
		break;
	case OP_SLEEP:
		session_sleep(s, op[1] * 250000ull);
		break;
	case OP_UP:
	case OP_DOWN:
		if (node != 2)
			session_component(s, node, instance, op[0] % OP_COUNT == OP_UP);
		break;
	case OP_COMMIT:
		session_commit(s, node, op[2]);
		break;
	case OP_MOVE:
		session_event(s, node,
			      (struct brain_event){.kind = BRAIN_SWITCHOVER,
						   .instance = (uint8_t)instance,
						   .node = op[3]});
		break;
	case OP_RESTART:
		session_restart(s, node);
		break;
	case OP_CUT:
		s->cut[node] = op[2];
		break;
	default:
		letters(s, op, bytes, n);
		break;
	}
}

/** Bytes of the operation at `op`, of which `left` are there. */
static size_t operation_bytes(const uint8_t *op, size_t left)
{
	unsigned kind = op[0] % OP_COUNT;
	size_t more = kind == OP_FORGE || kind == OP_INVENT ? op[3] % (BYTES_MAX + 1) : 0;

	return HEAD + more > left ? left : HEAD + more;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct session s;
	size_t at = 1;

	if (n == 0)
		return 0;
	if (data[0] & FLAG_COLD)
		session_start(&s, data[0] & FLAG_CONFIDENTIAL);
	else
		session_return(&s, data[0] & FLAG_CONFIDENTIAL);
	for (unsigned done = 0; done < OPERATIONS_MAX && at + HEAD <= n; done++) {
		size_t bytes = operation_bytes(data + at, n - at);

		act(&s, data + at, data + at + HEAD, bytes - HEAD);
		at += bytes;
	}
	session_tick(&s);
	return 0;
}

/* ---- the mutator ------------------------------------------------------------------------------
 */

/** Where some operation begins, or the end. */
static size_t operation_place(const uint8_t *data, size_t n, struct prng *random)
{
	size_t at = 1;
	uint64_t skip = prng_below(random, 24);

	while (skip-- && at + HEAD <= n)
		at += operation_bytes(data + at, n - at);
	return at;
}

/** Another operation in between. */
static size_t operation_insert(uint8_t *data, size_t n, size_t most, struct prng *random)
{
	size_t at = operation_place(data, n, random), bytes;
	uint8_t op[HEAD + BYTES_MAX];

	for (size_t i = 0; i < HEAD; i++)
		op[i] = (uint8_t)prng_next(random);
	op[0] %= OP_COUNT;
	op[3] %= prng_below(random, 2) ? 9 : BYTES_MAX + 1;
	for (size_t i = HEAD; i < sizeof(op); i++)
		op[i] = (uint8_t)(prng_below(random, 2) ? prng_below(random, 4)
							: prng_next(random));
	bytes = operation_bytes(op, sizeof(op));
	if (at > n || n + bytes > most)
		return 0;
	memmove(data + at + bytes, data + at, n - at);
	memcpy(data + at, op, bytes);
	return n + bytes;
}

static size_t operation_remove(uint8_t *data, size_t n, struct prng *random)
{
	size_t at = operation_place(data, n, random), bytes;

	if (at + HEAD > n)
		return 0;
	bytes = operation_bytes(data + at, n - at);
	memmove(data + at, data + at + bytes, n - at - bytes);
	return n - bytes;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
	struct prng random = {.state = seed};
	size_t made = 0;

	if (n == 0 && most)
		data[n++] = 0;
	switch (prng_below(&random, 4)) {
	case 0:
		break;
	case 1:
		made = operation_remove(data, n, &random);
		break;
	default:
		made = operation_insert(data, n, most, &random);
		break;
	}
	return made ? made : LLVMFuzzerMutate(data, n, most);
}

/* ---- seeds ------------------------------------------------------------------------------------
 */

static void seed_write(const char *folder, const char *name, uint8_t flags, const uint8_t *ops,
		       size_t n)
{
	uint8_t data[512] = {flags};
	char path[64];

	FUZZ_REQUIRE(n < sizeof(data));
	memcpy(data + 1, ops, n);
	snprintf(path, sizeof(path), "%s-%u", name, flags);
	fuzz_seed_write(folder, path, data, 1 + n);
}

#define RUN OP_TICK, 7, 0, 0
static void seeds_write(const char *folder)
{
	static const struct {
		const char *name;
		uint8_t ops[48];
	} seeds[] = {
		{"run", {RUN, RUN, RUN, RUN}},
		{"commit", {OP_COMMIT, 0, 9, 0, RUN, OP_COMMIT, 0, 200, 0, RUN, RUN}},
		{"down",
		 {OP_COMMIT, 0, 9, 0, RUN, OP_DOWN, 0, 0, 0, RUN, RUN, OP_UP, 0, 0, 0, RUN}},
		{"cut", {OP_CUT, 0, 7, 0, RUN, RUN, RUN, RUN, RUN, OP_CUT, 0, 0, 0, RUN}},
		{"move", {OP_MOVE, 0, 0, 1, RUN, OP_MOVE, 1, 1, 0xff, RUN, RUN}},
		{"restart",
		 {OP_RESTART, 1, 0, 0, RUN, RUN, RUN, RUN, OP_RESTART, 0, 0, 0, RUN, RUN}},
		{"sleep", {OP_SLEEP, 60, 0, 0, OP_TICK, 0, 0, 0, RUN, RUN}},
		{"letters", {OP_TICK, 2,       0, 0, OP_TWICE, 1,          1, 0, OP_REPLAY, 0,  2,
			     0,       OP_DROP, 0, 0, 0,        OP_DELIVER, 3, 3, 0,         RUN}},
		{"forge",
		 {OP_TICK, 2, 0, 0, OP_FORGE, 0, 68, 2, 0, 9, OP_FORGE, 1, 68, 4, 1, 1, 1, 1, RUN}},
		{"invent", {OP_TICK, 2, 0, 0, OP_INVENT, 1, 1, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, RUN}},
	};

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		for (uint8_t flags = 0; flags < 4; flags++)
			seed_write(folder, seeds[i].name, flags, seeds[i].ops,
				   sizeof(seeds[i].ops));
}

/* A cluster that serves: whatever follows begins with an instance that has somebody to lose. */
static void serve(bool confidential)
{
	static struct session s;
	unsigned ticks = 0;

	session_start(&s, confidential);
	while (s.node[0].role[0] != HAVEN_PRIMARY || s.node[1].role[1] != HAVEN_PRIMARY ||
	       !(brain_view(session_brain(0))->instance[0].in_sync & node_bit(1))) {
		FUZZ_REQUIRE(ticks++ < 2000);
		session_tick(&s);
	}
	session_keep(&s);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *folder = getenv("HAVEN_FUZZ_SEEDS");

	(void)argc;
	(void)argv;
	if (folder) {
		seeds_write(folder);
		exit(0);
	}
	serve(false);
	serve(true);
	return 0;
}
