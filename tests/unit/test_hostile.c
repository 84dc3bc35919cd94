/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Broken and hostile shared memory. Each byte of a segment is turned over in turn, with all that
 * reads it looking each time; then a process of its own scribbles on it while they look. Nothing
 * faults, nothing goes on for ever, and what is told stays within its bounds. Images stand between
 * two pages that may not be touched.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client_segment.h"
#include "prng.h"
#include "rcu.h"
#include "registry_inner.h"
#include "registry_small.h"
#include "table.h"

#define PAGE 4096u
#define ROUNDS 1500u

TestSuite(hostile, .timeout = 60);

/* ---- the attacker ---------------------------------------------------------------------------- */

static pid_t attacker;

/** A process that writes any bytes anywhere in the memory until it is ended. */
static void attack(uint8_t *memory, size_t bytes)
{
	attacker = fork();
	cr_assert_geq(attacker, 0);
	if (attacker)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (struct prng p = {.state = 3};;) {
		uint64_t value = prng_next(&p) >> prng_below(&p, 64);

		memcpy(memory + prng_below(&p, bytes - 8), &value, 1 + prng_below(&p, 8));
	}
}

static void attack_end(void)
{
	kill(attacker, SIGKILL);
	cr_assert_eq(waitpid(attacker, NULL, 0), attacker);
}

/* ---- client segment -------------------------------------------------------------------------- */

static struct client_segment *mine;
static int segment_fd;

static void client_make(void)
{
	cr_assert_eq(client_segment_create(&mine, &segment_fd, &error), 0, "%s", error.text);
	for (uint64_t i = 1; i <= 5; i++)
		mine->requests.slot[i] = (struct request){.seq = i, .kind = REQUEST_ADD};
	mine->requests.head = 5;
}

/** All that the node does with a client segment. Returns what mapping it gave. */
static int client_look(void)
{
	static struct registry_client line;
	static struct rcu_domain domain;
	struct request_consumer consumer;
	struct client_segment *s;
	struct request r;
	uint64_t epoch = 7;
	unsigned taken = 0, marked = 0;
	int status = client_segment_map(segment_fd, &s, &error);

	if (status) {
		cr_assert(status == -HAVEN_ECORRUPT || status == -HAVEN_EVERSION ||
			  status == -HAVEN_ESIZE);
		return status;
	}
	rcu_domain_init(&domain, &epoch);
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++) {
		marked += client_worker_marked(&s->worker[i]);
		rcu_slot_add(&domain, &s->worker[i].quiescent);
	}
	cr_assert_leq(marked, HAVEN_WORKERS_MAX);
	cr_assert_leq(rcu_poll(&domain), epoch);
	request_consumer_init(&consumer, &s->requests, &line, 0);
	while (taken <= REQUEST_SLOTS && request_take(&consumer, &r) > 0) {
		cr_assert_eq(r.seq, ++taken);
		request_answer(&consumer, 0, 1);
	}
	client_segment_unmap(s);
	return 0;
}

Test(hostile, every_byte_of_a_client_segment_may_be_wrong)
{
	unsigned refused = 0;
	uint8_t *byte;

	client_make();
	byte = (uint8_t *)mine;
	for (size_t i = 0; i < sizeof(*mine); i++) {
		byte[i] ^= 0xff;
		refused += client_look() != 0;
		byte[i] ^= 0xff;
	}
	/* Magic, version, size and workers; nothing else is believed. */
	cr_assert_eq(refused, 8 + 4 + 4 + 4);
	cr_assert_eq(client_look(), 0);
}

Test(hostile, a_client_segment_may_change_at_any_time_but_not_its_size)
{
	client_make();
	attack((uint8_t *)mine, sizeof(*mine));
	for (unsigned i = 0; i < ROUNDS; i++) {
		client_look();
		cr_assert_neq(ftruncate(segment_fd, (off_t)(i * 100 + 1)), 0);
		if (i % 16 == 0)
			sched_yield();
		/* Whole again as far as the attacker lets it, so that it is looked into. */
		store_relaxed(&mine->magic, CLIENT_SEGMENT_MAGIC);
		store_relaxed(&mine->layout_version, CLIENT_SEGMENT_LAYOUT_VERSION);
		store_relaxed(&mine->size_bytes, (uint32_t)sizeof(*mine));
		store_relaxed(&mine->workers, HAVEN_WORKERS_MAX);
	}
	attack_end();
}

/* ---- checkpoint segment ---------------------------------------------------------------------- */

static const struct table_shape shape = {.name = "t",
					 .key_bytes = 12,
					 .value_bytes = 20,
					 .capacity = 32,
					 .lanes = 2,
					 .lane_records = 64};
static struct table table;

static void table_make(void)
{
	uint8_t value[20] = {0};

	cr_assert_eq(table_create(&table, &shape, &segment_fd, &error), 0, "%s", error.text);
	for (unsigned i = 0; i < 40; i++) {
		uint8_t key[12] = {(uint8_t)(i % 20)};

		if (i % 5)
			table_put(&table, i % 2, key, value, i);
		else
			table_delete(&table, i % 2, key, i);
		table_commit(&table, i % 2);
	}
}

static void lane_look(const struct table *t, unsigned lane)
{
	union {
		struct table_record record;
		uint8_t bytes[64];
	} r;
	uint8_t key[12] = {0}, data[32];
	uint64_t seq, committed = table_committed(t, lane);
	uint32_t end = table_scan_end(t, lane);

	cr_assert_leq(end, t->geometry.lane_entries + 1);
	cr_assert_leq(table_live(t, lane), t->geometry.lane_entries);
	for (uint32_t i = 0; i <= end; i++)
		table_read_entry(t, lane, i, &seq, data);
	for (uint64_t i = 0; i < 4; i++) {
		if (table_read_record(t, lane, committed - i, &r.record) == 0)
			cr_assert_eq(r.record.seq, committed - i);
		key[0] = (uint8_t)i;
		table_get(t, lane, key, data);
	}
}

/** What the node does, as the mirror and (`write`) as the writer of a replica. */
static int table_look(bool write)
{
	struct table t;
	int status = table_map(&t, segment_fd, &shape, &error);

	if (status) {
		cr_assert(status == -HAVEN_ECORRUPT || status == -HAVEN_EVERSION);
		return status;
	}
	for (unsigned lane = 0; lane < 2; lane++) {
		uint8_t key[12] = {3}, value[20] = {4};

		lane_look(&t, lane);
		if (!write)
			continue;
		table_apply(&t, lane, TABLE_OP_PUT, 1u << 20, key, value);
		table_apply(&t, lane, TABLE_OP_DELETE, (1u << 20) + 1, key, value);
		table_lane_begin(&t, lane);
		table_lane_clear(&t, lane, 5);
	}
	table_unmap(&t);
	return 0;
}

Test(hostile, every_byte_of_a_checkpoint_segment_may_be_wrong)
{
	uint8_t *before;
	unsigned refused = 0;

	table_make();
	before = malloc(table.geometry.total_bytes);
	memcpy(before, table.base, table.geometry.total_bytes);
	for (size_t i = 0; i < table.geometry.total_bytes; i++) {
		table.base[i] ^= 0xff;
		refused += table_look(i % 8 == 0) != 0;
		memcpy(table.base, before, table.geometry.total_bytes);
	}
	cr_assert_gt(refused, 40);
	cr_assert_lt(refused, sizeof(struct table_header));
	cr_assert_eq(table_look(true), 0);
	free(before);
}

Test(hostile, a_checkpoint_segment_may_change_at_any_time)
{
	struct table_header good;

	table_make();
	memcpy(&good, table.base, sizeof(good));
	attack(table.base, table.geometry.total_bytes);
	for (unsigned i = 0; i < ROUNDS; i++) {
		memcpy(table.base, &good, sizeof(good));
		table_look(true);
		if (i % 16 == 0)
			sched_yield();
	}
	attack_end();
}

/* ---- registry -------------------------------------------------------------------------------- */

static uint8_t *image; /* between two pages that may not be touched */

static void image_make(void)
{
	uint8_t *region;

	small_make();
	for (unsigned i = 0; i < 15; i++) {
		char name[HAVEN_NAME_MAX];
		struct event e = {.kind = EVENT_VIEW};

		snprintf(name, sizeof(name), "c%u", i);
		small_add(name, i == 0 ? 2 : 0);
		event_ring_publish(node.events, node.shape.events, &e);
	}
	region = mmap(NULL, node.size_bytes + 2 * PAGE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	cr_assert_neq(region, MAP_FAILED);
	image = region + PAGE;
	cr_assert_eq(mprotect(image, node.size_bytes, PROT_READ | PROT_WRITE), 0);
	memcpy(image, node.base, node.size_bytes);
}

static void registry_look(const struct registry *r, bool check)
{
	static struct registry_status status;
	const struct registry_hot *hot;
	struct registry_component c;
	struct registry_change change;
	struct registry_report report;
	struct registry_gate gate;
	uint64_t position = 0, missed = 0, at = 0;
	uint32_t cursor = 0, n = 0;
	struct event e;

	hot = registry_find(r, "c3");
	cr_assert(!hot || (hot >= r->hot && hot < r->hot + r->objects));
	while ((hot = registry_next(r, &cursor)))
		cr_assert(++n <= r->components && hot >= r->hot && hot < r->hot + r->objects);
	for (uint32_t i = 0; i < r->components; i += 3) {
		registry_get(r, (uint64_t)1 << REGISTRY_SLOT_BITS | i);
		if (registry_copy_slot(r, i, &c) == 0)
			cr_assert_lt(strnlen(c.hot.name, HAVEN_NAME_MAX), HAVEN_NAME_MAX);
	}
	registry_gate_copy(&r->gates[1], &gate);
	registry_copy_status(r, &status);
	for (n = 0; n < 6 && event_ring_read(r->events, r->shape.events, &position, &e, &missed);)
		n++;
	for (n = 0; n < 6 && registry_watch_read(r, &at, &change, &missed);)
		n++;
	if (check) {
		registry_check(r, &report, NULL, NULL);
		registry_writer_alive(r);
	}
}

static int image_look(bool check)
{
	struct registry r = {.fd = -1, .base = image, .size_bytes = node.size_bytes};
	int status = registry_bind(&r, "it", &error);

	if (status == 0)
		registry_look(&r, check);
	return status;
}

Test(hostile, every_byte_of_a_registry_may_be_wrong)
{
	unsigned refused = 0;

	image_make();
	for (size_t i = 0; i < node.size_bytes; i++) {
		/* What is zero to the end of its page is the space between two parts. */
		if (i % PAGE == 0 && memcmp(image + i, image + i + 1, PAGE - 1) == 0 && !image[i] &&
		    i >= node.header->counters_offset)
			i += PAGE - 64;
		image[i] ^= 0xff;
		refused += image_look(i % 64 == 0) != 0;
		image[i] ^= 0xff;
	}
	cr_assert_gt(refused, 100);
	cr_assert_lt(refused, sizeof(struct registry_header));
	cr_assert_eq(image_look(true), 0);
	small_drop();
}

Test(hostile, a_registry_may_change_at_any_time)
{
	struct registry r;

	image_make();
	r = (struct registry){.fd = -1, .base = image, .size_bytes = node.size_bytes};
	cr_assert_eq(registry_bind(&r, "it", &error), 0);
	attack(image, node.size_bytes);
	/* The sizes were taken once; from then on the header may say what it likes. */
	for (unsigned i = 0; i < ROUNDS; i++) {
		registry_look(&r, i % 16 == 0);
		if (i % 64 == 0)
			memcpy(image, node.base, node.size_bytes);
	}
	attack_end();
	small_drop();
}

/** Put a file of `bytes` bytes of the good image, the rest as `fill`, in the registry's place. */
static void file_put(size_t good, size_t bytes, int fill)
{
	uint8_t *content = malloc(bytes + 1);
	int fd;

	memset(content, fill, bytes + 1);
	memcpy(content, node.base, good < bytes ? good : bytes);
	unlink(small_file);
	fd = open(small_file, O_CREAT | O_EXCL | O_WRONLY, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, content, bytes), (ssize_t)bytes);
	close(fd);
	free(content);
}

static int open_file(void)
{
	struct registry other;
	int status = registry_open(&other, small_dir, &error);

	if (status == 0) {
		registry_look(&other, true);
		registry_close(&other);
	} else {
		cr_assert_neq(error.text[0], 0);
	}
	return status;
}

Test(hostile, a_registry_cut_short_zeroed_foreign_or_longer_is_refused)
{
	int status;

	small_make();
	for (size_t n = 0; n < node.size_bytes; n += n < 1024 ? 8 : 1021) {
		file_put(n, n, 0);
		cr_assert_eq(open_file(), -HAVEN_ESIZE, "%zu bytes", n);
		file_put(n, node.size_bytes, 0);
		status = open_file();
		if (n >= sizeof(struct registry_header))
			cr_assert_eq(status, 0, "%zu bytes, then zeros", n);
	}
	file_put(node.size_bytes, node.size_bytes + PAGE, 0);
	cr_assert_eq(open_file(), -HAVEN_ESIZE);
	file_put(0, node.size_bytes, 0);
	cr_assert_eq(open_file(), -HAVEN_ECORRUPT);
	file_put(0, node.size_bytes, 'x');
	cr_assert_eq(open_file(), -HAVEN_ECORRUPT);
	file_put(8, node.size_bytes, 'x');
	cr_assert_eq(open_file(), -HAVEN_EVERSION);
	small_drop();
}

/** A process that puts one registry after another, whole and broken ones, in the file's place. */
static void replace_for_ever(void)
{
	char aside[80];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(aside, sizeof(aside), "%s.other", small_file);
	for (struct prng p = {.state = 9};;) {
		size_t bytes =
			prng_below(&p, 3) ? node.size_bytes : prng_below(&p, node.size_bytes);
		int fd = open(aside, O_CREAT | O_TRUNC | O_WRONLY, 0600);

		if (write(fd, node.base, bytes) != (ssize_t)bytes)
			_exit(1);
		if (prng_below(&p, 3) == 0 &&
		    pwrite(fd, "xxxxxxxx", 8, (off_t)prng_below(&p, 4000)) != 8)
			_exit(1);
		close(fd);
		if (rename(aside, small_file) != 0)
			_exit(1);
	}
}

Test(hostile, a_registry_may_be_replaced_at_any_time)
{
	unsigned opened = 0, refused = 0;
	char aside[80];

	small_make();
	small_add("c3", 0);
	attacker = fork();
	if (attacker == 0)
		replace_for_ever();
	/* Until both were seen; the test's time limit is the bound. */
	for (unsigned i = 0; i < ROUNDS || !opened || !refused; i++) {
		if (open_file() == 0)
			opened++;
		else
			refused++;
		if (i % 16 == 0)
			sched_yield();
	}
	attack_end();
	snprintf(aside, sizeof(aside), "%s.other", small_file);
	unlink(aside);
	small_drop();
}

Test(hostile, with_the_descriptor_that_clients_get_nobody_changes_the_registry)
{
	char path[40];
	int status;
	pid_t pid;

	small_make();
	cr_assert_neq(ftruncate(node.fd, 0), 0);
	cr_assert_neq(write(node.fd, "x", 1), 1);
	cr_assert_eq(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, node.fd, 0), MAP_FAILED);
	cr_assert_neq(fcntl(node.fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	if (geteuid() == 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", node.fd);
		pid = fork();
		if (pid == 0) {
			if (setgid(65534) != 0 || setuid(65534) != 0)
				_exit(2);
			/* opened anew for writing, through the kernel's own link */
			_exit(open(path, O_RDWR) < 0 && truncate(path, 0) != 0 ? 0 : 1);
		}
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert_eq(status, 0, "another user could");
	}
	small_drop();
}
