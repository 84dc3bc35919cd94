/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Client of a Redis primary with one replica, for `haven-bench mirror --peers`: values of 64 bytes
 * under keys of 8, as the application of that benchmark puts them.
 *
 * usage: haven-peer-redis SOCKET stream BATCH MILLISECONDS   SETs in pipelines of BATCH, then WAIT
 *        haven-peer-redis SOCKET wait MILLISECONDS           each SET followed by WAIT 1
 * Writes an array of nanoseconds: what one record cost until the replica had the last one; or each
 * record's time until the replica had it.
 */
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS 4096u
#define VALUE_BYTES 64u
#define BATCH_MAX 65536ull
#define SAMPLES 65536u
#define WAIT_MS "10000"

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const redisContext *c, const char *what)
{
	fprintf(stderr, "haven-peer-redis: %s: %s\n", what,
		c && c->err ? c->errstr : "unexpected answer");
	exit(1);
}

static void set_append(redisContext *c, uint64_t number)
{
	uint64_t key = number % KEYS, value[VALUE_BYTES / sizeof(uint64_t)] = {number};
	const char *part[] = {"SET", (const char *)&key, (const char *)value};
	const size_t bytes[] = {3, sizeof(key), sizeof(value)};

	if (redisAppendCommandArgv(c, 3, part, bytes) != REDIS_OK)
		fail(c, "SET");
}

static void wait_append(redisContext *c)
{
	if (redisAppendCommand(c, "WAIT 1 " WAIT_MS) != REDIS_OK)
		fail(c, "WAIT");
}

/* The next answer: "OK" of a SET, or how many replicas a WAIT has found. */
static void answer(redisContext *c, int type)
{
	redisReply *r = NULL;

	if (redisGetReply(c, (void **)&r) != REDIS_OK || !r || r->type != type ||
	    (type == REDIS_REPLY_INTEGER && r->integer != 1))
		fail(c, type == REDIS_REPLY_INTEGER ? "WAIT" : "SET");
	freeReplyObject(r);
}

static void stream(redisContext *c, uint64_t batch, uint64_t duration_ns)
{
	uint64_t begin = now_ns(), records = 0;

	do {
		for (uint64_t i = 0; i < batch; i++)
			set_append(c, records + i);
		for (uint64_t i = 0; i < batch; i++)
			answer(c, REDIS_REPLY_STATUS);
		records += batch;
	} while (now_ns() - begin < duration_ns);
	wait_append(c);
	answer(c, REDIS_REPLY_INTEGER);
	printf("[%.3f]\n", (double)(now_ns() - begin) / (double)records);
}

static void wait_each(redisContext *c, uint64_t duration_ns)
{
	uint64_t begin = now_ns(), at = begin, next;

	for (unsigned i = 0; i < SAMPLES && at - begin < duration_ns; i++, at = next) {
		set_append(c, i);
		wait_append(c);
		answer(c, REDIS_REPLY_STATUS);
		answer(c, REDIS_REPLY_INTEGER);
		next = now_ns();
		printf("%c%llu", i ? ',' : '[', (unsigned long long)(next - at));
	}
	puts("]");
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 10);
}

int main(int argc, char **argv)
{
	bool is_stream = argc == 5 && strcmp(argv[2], "stream") == 0;
	redisContext *c;

	if ((!is_stream && (argc != 4 || strcmp(argv[2], "wait") != 0)) ||
	    (is_stream && (number(argv[3]) == 0 || number(argv[3]) > BATCH_MAX)))
		return fprintf(stderr, "usage: haven-peer-redis SOCKET stream BATCH MILLISECONDS\n"
				       "       haven-peer-redis SOCKET wait MILLISECONDS\n"),
		       2;
	c = redisConnectUnix(argv[1]);
	if (!c || c->err)
		fail(c, argv[1]);
	if (is_stream)
		stream(c, number(argv[3]), number(argv[4]) * 1000000u);
	else
		wait_each(c, number(argv[3]) * 1000000u);
	redisFree(c);
	return 0;
}
