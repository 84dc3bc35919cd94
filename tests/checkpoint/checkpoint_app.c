/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * An application whose checkpoints are looked into, written to files and restored. One worker; does
 * what standard input says, line by line, and answers each line with one.
 *
 *     fill FIRST N VALUE    put so many entries, commit
 *     count FIRST N VALUE   how many of them have this value
 *     drop FIRST N          delete them
 *     paint VALUE           all bytes of the region
 *     painted VALUE         how many bytes of it have this value
 *     loose N               put so many entries and do not commit until the next line
 *     busy 0|1              fill 0…999 again and again meanwhile
 *     offer 0|1             ask whether something is to be restored, or not (it begins with 1)
 *
 * usage: checkpoint-app RUN_DIR CAPACITY
 */
#include <haven.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REGION_BYTES 4096u
#define BATCH 64u
#define BUSY_KEYS 1000u
#define ASK_TURNS 50u

struct app {
	struct haven *h;
	struct haven_component *c;
	struct haven_table *flows;
	struct haven_region *map;
	struct haven_worker *w;
	struct haven_restore *restore;
	uint32_t busy_at;
	uint32_t turns;
	bool busy, offer, loose;
};

static void fail(const struct app *a, const char *what)
{
	fprintf(stderr, "%s: %s\n", what, haven_last_error(a->h));
	exit(1);
}

static void value_of(uint8_t out[24], uint32_t key, uint32_t value)
{
	for (unsigned i = 0; i < 24; i += 8) {
		memcpy(out + i, &key, sizeof(key));
		memcpy(out + i + 4, &value, sizeof(value));
	}
}

static void restore_turn(struct app *a)
{
	int left = haven_restore_step(a->w, a->restore, HAVEN_RESTORE_MAX);

	if (left > 0)
		return;
	haven_restore_finish(a->restore, NULL);
	a->restore = NULL;
}

static bool put_one(struct app *a, uint32_t key, uint32_t value)
{
	uint8_t v[24];

	value_of(v, key, value);
	return haven_put(a->w, a->flows, &key, v) == 0;
}

static void turn(struct app *a)
{
	haven_poll(a->w);
	if (a->busy && !a->loose) {
		for (unsigned i = 0; i < BATCH; i++) {
			put_one(a, a->busy_at % BUSY_KEYS, a->busy_at);
			a->busy_at++;
		}
		haven_commit(a->w, a->flows);
	}
	if (a->restore)
		restore_turn(a);
	else if (a->offer && ++a->turns % ASK_TURNS == 0)
		haven_restore_wanted(a->c, &a->restore);
}

/* A lane that is full empties while the node reads it. */
static void put_surely(struct app *a, uint32_t key, uint32_t value)
{
	while (!put_one(a, key, value)) {
		haven_commit(a->w, a->flows);
		haven_poll(a->w);
	}
}

static void do_fill(struct app *a, uint32_t first, uint32_t n, uint32_t value)
{
	for (uint32_t i = 0; i < n; i++) {
		put_surely(a, first + i, value);
		if (i % BATCH == BATCH - 1) {
			haven_commit(a->w, a->flows);
			haven_poll(a->w);
		}
	}
	haven_commit(a->w, a->flows);
	puts("done");
}

static void do_drop(struct app *a, uint32_t first, uint32_t n)
{
	for (uint32_t key = first; key < first + n; key++) {
		while (haven_delete(a->w, a->flows, &key) == -HAVEN_EFULL) {
			haven_commit(a->w, a->flows);
			haven_poll(a->w);
		}
	}
	haven_commit(a->w, a->flows);
	puts("done");
}

static void do_count(struct app *a, uint32_t first, uint32_t n, uint32_t value)
{
	uint8_t got[24], want[24];
	uint32_t found = 0;

	for (uint32_t key = first; key < first + n; key++) {
		value_of(want, key, value);
		found += haven_get(a->w, a->flows, &key, got) == 0 && !memcmp(got, want, 24);
	}
	printf("%u\n", found);
}

static void do_paint(struct app *a, uint8_t value)
{
	uint8_t bytes[REGION_BYTES];

	memset(bytes, value, sizeof(bytes));
	printf("%d\n", haven_region_write(a->w, a->map, 0, bytes, sizeof(bytes)));
	haven_commit(a->w, haven_region_table(a->map));
}

static void do_painted(struct app *a, uint8_t value)
{
	uint8_t bytes[REGION_BYTES];
	unsigned found = 0;

	haven_region_read(a->map, 0, bytes, sizeof(bytes));
	for (unsigned i = 0; i < REGION_BYTES; i++)
		found += bytes[i] == value;
	printf("%u\n", found);
}

static void obey(struct app *a, const char *line)
{
	char word[16] = "";
	uint32_t n[3] = {0};

	sscanf(line, "%15s %" SCNu32 " %" SCNu32 " %" SCNu32, word, &n[0], &n[1], &n[2]);
	if (a->loose)
		haven_commit(a->w, a->flows);
	a->loose = !strcmp(word, "loose");
	if (!strcmp(word, "fill")) {
		do_fill(a, n[0], n[1], n[2]);
	} else if (!strcmp(word, "count")) {
		do_count(a, n[0], n[1], n[2]);
	} else if (!strcmp(word, "drop")) {
		do_drop(a, n[0], n[1]);
	} else if (!strcmp(word, "paint")) {
		do_paint(a, (uint8_t)n[0]);
	} else if (!strcmp(word, "painted")) {
		do_painted(a, (uint8_t)n[0]);
	} else if (!strcmp(word, "busy")) {
		a->busy = n[0];
		puts("done");
	} else if (!strcmp(word, "offer")) {
		a->offer = n[0];
		puts("done");
	} else if (a->loose) {
		for (uint32_t key = 0; key < n[0]; key++)
			put_surely(a, key, 1);
		puts("done");
	} else {
		exit(1);
	}
}

static void start(struct app *a, const char *run_dir, uint32_t capacity)
{
	const struct haven_component_config config = {.name = "store", .group = "hello"};
	const struct haven_table_config table = {.name = "flows",
						 .key_bytes = 4,
						 .value_bytes = 24,
						 .capacity = capacity,
						 .lanes = 1};
	const struct haven_region_config region = {
		.name = "map", .bytes = REGION_BYTES, .block_bytes = 64, .lanes = 1};

	if (haven_attach(&a->h, run_dir)) {
		fprintf(stderr, "%s\n", haven_last_error(NULL));
		exit(1);
	}
	if (haven_component_register(a->h, &config, &a->c) ||
	    haven_table_create(a->c, 0, &table, &a->flows) ||
	    haven_region_create(a->c, 0, &region, &a->map) || haven_component_ready(a->c) ||
	    haven_worker_begin(a->c, &a->w))
		fail(a, "start");
}

int main(int argc, char **argv)
{
	struct app a = {.offer = true};
	char line[128];

	if (argc != 3)
		return 2;
	start(&a, argv[1], (uint32_t)strtoul(argv[2], NULL, 10));
	setvbuf(stdin, NULL, _IONBF, 0);
	while (haven_role(a.w, 0) != HAVEN_PRIMARY)
		turn(&a);
	puts("primary");
	fflush(stdout);
	for (;;) {
		struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};

		turn(&a);
		if (poll(&wait, 1, 1) <= 0)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			break;
		obey(&a, line);
		fflush(stdout);
	}
	haven_detach(a.h);
	return 0;
}
