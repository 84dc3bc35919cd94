/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "fault.h"
#include "hash.h"
#include "prng.h"
#include "snapshot.h"

/* Calls that a disk can refuse; only those made while a fault is armed are counted. */
FAULT(ssize_t, -1, write, (int fd, const void *data, size_t bytes), (fd, data, bytes))
FAULT(int, -1, fsync, (int fd), (fd))
FAULT(int, -1, rename, (const char *from, const char *to), (from, to))
FAULT(int, -1, mkostemp64, (char *name, int flags), (name, flags))

#define MANY 3000u
#define PATIENCE_NS 1000000u

static char directory[] = "/tmp/haven-snapshot-XXXXXX";
static char path[80];
static struct error_text error;
static struct table table;
static void *memory;
static const struct snapshot_origin origin = {.cluster = "c",
					      .node = "a",
					      .component = "nat",
					      .instance = "nat0",
					      .epoch = 7,
					      .taken_wall_ns = 1234567890,
					      .format = 3};

static void table_make(const struct table_shape *shape)
{
	struct table_geometry g;

	cr_assert_eq(table_geometry_make(shape, &g, &error), 0, "%s", error.text);
	memory = aligned_alloc(64, (g.total_bytes + 63) / 64 * 64);
	table_format(&table, &g, memory, 99);
}

static const struct table_shape flows = {.name = "flows",
					 .key_bytes = 12,
					 .value_bytes = 20,
					 .capacity = 2 * MANY,
					 .lanes = 2,
					 .lane_records = 64};

static void put(unsigned lane, uint32_t key, uint8_t value)
{
	uint8_t k[12] = {0}, v[20];

	memcpy(k, &key, sizeof(key));
	memset(v, value, sizeof(v));
	cr_assert_eq(table_put(&table, lane, k, v, table_committed(&table, lane)), 0);
}

/** Lane 0 has MANY entries, lane 1 three; all committed. */
static void make(void)
{
	cr_assert_not_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/s", directory);
	table_make(&flows);
	for (uint32_t i = 0; i < MANY; i++) {
		put(0, i, (uint8_t)i);
		table_commit(&table, 0);
	}
	for (uint32_t i = 0; i < 3; i++)
		put(1, i, 200);
	table_commit(&table, 1);
}

static void drop(void)
{
	unlink(path);
	cr_assert_eq(rmdir(directory), 0, "nothing else may be left there");
	free(memory);
}

TestSuite(snapshot, .init = make, .fini = drop);

static void take(struct snapshot_head *head)
{
	cr_assert_eq(snapshot_write(path, &table, &origin, PATIENCE_NS, head, &error), 0, "%s",
		     error.text);
}

/** Read all of it; the digest of each lane as table_digest() makes it. */
static int read_all(uint64_t digest[2], struct snapshot_head *head)
{
	struct snapshot_entries e;
	struct snapshot s;
	int fd = open(path, O_RDONLY), status;

	digest[0] = digest[1] = 0;
	status = snapshot_open(&s, fd, "the file", &error);
	while (!status) {
		size_t stride = s.head.shape.key_bytes + s.head.shape.value_bytes;

		status = snapshot_next(&s, &e, &error);
		if (status <= 0)
			break;
		for (uint32_t i = 0; i < e.n; i++)
			digest[e.lane] += hash_bytes(e.data + i * stride, stride, TABLE_MAGIC);
		status = 0;
	}
	*head = s.head;
	snapshot_close(&s);
	close(fd);
	return status;
}

Test(snapshot, what_is_read_is_what_was_there)
{
	struct snapshot_head wrote, head;
	uint64_t digest[2];

	take(&wrote);
	cr_assert_eq(read_all(digest, &head), 0, "%s", error.text);
	cr_assert_eq(digest[0], table_digest(&table, 0));
	cr_assert_eq(digest[1], table_digest(&table, 1));
	cr_assert_eq(head.entries, MANY + 3);
	cr_assert_eq(head.lane[0].entries, MANY);
	cr_assert_eq(head.lane[0].from, MANY);
	cr_assert_eq(head.lane[0].to, MANY);
	cr_assert_eq(head.lane[1].to, 3);
	cr_assert_str_eq(head.shape.name, "flows");
	cr_assert_str_eq(head.origin.instance, "nat0");
	cr_assert_str_eq(head.origin.component, "nat");
	cr_assert_eq(head.origin.epoch, 7);
	cr_assert_eq(head.origin.format, 3);
	cr_assert_eq(head.total_bytes, wrote.total_bytes);
	cr_assert_eq(snapshot_fits(&head, &flows, &error), 0, "%s", error.text);
}

Test(snapshot, an_empty_table_has_a_file_of_its_head_alone)
{
	struct snapshot_head head;
	uint64_t digest[2];

	table_lane_clear(&table, 0, 5);
	table_lane_clear(&table, 1, 6);
	take(&head);
	cr_assert_eq(head.total_bytes, SNAPSHOT_HEAD_BYTES);
	cr_assert_eq(read_all(digest, &head), 0, "%s", error.text);
	cr_assert_eq(head.lane[1].from, 6);
}

Test(snapshot, any_flipped_bit_is_told)
{
	struct snapshot_head head;
	struct stat st;
	uint64_t digest[2];
	struct prng p = {.state = 5};
	int fd;

	take(&head);
	fd = open(path, O_RDWR);
	cr_assert_eq(fstat(fd, &st), 0);
	/* All of the head, and somewhere in the rest. */
	for (unsigned i = 0; i < 8 * SNAPSHOT_HEAD_BYTES + 2000; i++) {
		off_t at = i < 8 * SNAPSHOT_HEAD_BYTES
				   ? i / 8
				   : (off_t)prng_below(&p, (uint64_t)st.st_size);
		uint8_t byte, old;
		int status;

		cr_assert_eq(pread(fd, &old, 1, at), 1);
		byte = (uint8_t)(old ^ 1 << i % 8);
		cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
		status = read_all(digest, &head);
		cr_assert(status == -HAVEN_ECORRUPT || status == -HAVEN_EVERSION,
			  "bit %u at %ld: %d", i % 8, (long)at, status);
		cr_assert_eq(pwrite(fd, &old, 1, at), 1);
	}
	cr_assert_eq(read_all(digest, &head), 0);
	close(fd);
}

Test(snapshot, a_file_of_any_other_length_is_told)
{
	struct snapshot_head head;
	uint64_t digest[2];
	off_t whole;

	take(&head);
	whole = (off_t)head.total_bytes;
	for (off_t n = whole - 1; n >= 0; n = n > 600 ? n - 317 : n - 1) {
		int status;

		cr_assert_eq(truncate(path, n), 0);
		status = read_all(digest, &head);
		if (n >= 8)
			cr_assert_eq(status, -HAVEN_ESIZE, "%ld: %s", (long)n, error.text);
		else
			cr_assert_eq(status, -HAVEN_ECORRUPT, "%ld", (long)n);
	}
	take(&head);
	cr_assert_eq(truncate(path, whole + 1), 0);
	cr_assert_eq(read_all(digest, &head), -HAVEN_ESIZE);
}

Test(snapshot, what_is_no_snapshot_or_of_another_version_is_told)
{
	struct snapshot_head head;
	uint64_t digest[2];
	uint32_t version = SNAPSHOT_VERSION + 1;
	struct snapshot s;
	int fd;

	take(&head);
	fd = open(path, O_RDWR);
	cr_assert_eq(pwrite(fd, &version, sizeof(version), 8), (ssize_t)sizeof(version));
	cr_assert_eq(read_all(digest, &head), -HAVEN_EVERSION);
	cr_assert_not_null(strstr(error.text, "version 2, this program knows 1"), "%s", error.text);
	cr_assert_eq(pwrite(fd, "passwd", 6, 0), 6);
	cr_assert_eq(read_all(digest, &head), -HAVEN_ECORRUPT);
	cr_assert_not_null(strstr(error.text, "no snapshot"), "%s", error.text);
	close(fd);
	fd = open(directory, O_RDONLY);
	cr_assert_eq(snapshot_open(&s, fd, "it", &error), -HAVEN_EINVAL);
	close(fd);
}

Test(snapshot, another_shape_does_not_fit_and_the_difference_is_named)
{
	struct snapshot_head head;
	struct table_shape s;

	take(&head);
#define UNFIT(field, value, word)                                                                  \
	s = flows;                                                                                 \
	s.field = value;                                                                           \
	cr_assert_eq(snapshot_fits(&head, &s, &error), -HAVEN_EINVAL);                             \
	cr_assert_not_null(strstr(error.text, word), "%s", error.text)
	UNFIT(key_bytes, 13, "key size");
	UNFIT(value_bytes, 24, "value size");
	UNFIT(lanes, 3, "lanes");
	UNFIT(kind, TABLE_REGION, "kind");
	UNFIT(name[0], 'g', "glows");
	UNFIT(capacity, 2 * MANY - 2, "room for 2999");
	s = flows;
	s.capacity *= 2;
	s.lane_records *= 2;
	s.mode = TABLE_MODE_DIRTY;
	cr_assert_eq(snapshot_fits(&head, &s, &error), 0);
}

Test(snapshot, a_disk_that_refuses_leaves_everything_as_it_was)
{
	struct snapshot_head head, before;
	uint64_t digest[2];
	unsigned at = 1;

	take(&before);
	put(0, 7, 77);
	table_commit(&table, 0);
	for (;; at++) {
		int status;

		fault_arm(at, 1, ENOSPC);
		status = snapshot_write(path, &table, &origin, PATIENCE_NS, &head, &error);
		if (!fault_disarm())
			break;
		cr_assert_lt(status, 0, "call %u", at);
		cr_assert_eq(read_all(digest, &head), 0, "call %u: %s", at, error.text);
		/* The last call brings the directory to the disk: the name is given by then. */
		if (head.lane[0].to == MANY + 1)
			continue;
		cr_assert_eq(status, -HAVEN_EFULL);
		cr_assert_eq(head.lane[0].to, before.lane[0].to);
	}
	cr_assert_gt(at, 5);
	cr_assert_eq(read_all(digest, &head), 0);
	cr_assert_eq(head.lane[0].to, MANY + 1);
}

Test(snapshot, a_directory_that_is_not_there_is_told)
{
	struct snapshot_head head;

	cr_assert_eq(
		snapshot_write("/tmp/haven-nowhere/s", &table, &origin, PATIENCE_NS, &head, &error),
		-HAVEN_ENOENT);
	cr_assert_not_null(strstr(error.text, "nothing was changed"), "%s", error.text);
}

Test(snapshot, what_is_not_committed_is_waited_for_and_then_refused)
{
	struct snapshot_head head;

	put(1, 9, 9);
	cr_assert_eq(snapshot_write(path, &table, &origin, PATIENCE_NS, &head, &error),
		     -HAVEN_EAGAIN);
	cr_assert_not_null(strstr(error.text, "lane 1"), "%s", error.text);
	cr_assert_neq(access(path, F_OK), 0);
	table_commit(&table, 1);
	take(&head);
	cr_assert_eq(head.lane[1].to, 4);
}

Test(snapshot, blocks_of_a_region_stay_in_their_lane)
{
	const struct table_shape shape = {.name = "r",
					  .kind = TABLE_REGION,
					  .key_bytes = 4,
					  .value_bytes = 8,
					  .capacity = 5,
					  .lanes = 2,
					  .lane_records = 64};
	uint8_t bytes[40];
	struct snapshot_head head;
	uint64_t digest[2];
	uint32_t crc, lane = 1;
	uint8_t block[16 + 12];
	int fd;

	free(memory);
	table_make(&shape);
	memset(bytes, 7, sizeof(bytes));
	cr_assert_eq(table_region_write(&table, 0, 0, bytes, 8, 0), 0);
	table_commit(&table, 0);
	take(&head);
	cr_assert_eq(read_all(digest, &head), 0, "%s", error.text);
	cr_assert_eq(digest[0], table_digest(&table, 0));
	/* The same block in the name of the other lane, with CRCs that say it is right. */
	fd = open(path, O_RDWR);
	cr_assert_eq(pread(fd, block, sizeof(block), SNAPSHOT_HEAD_BYTES), (ssize_t)sizeof(block));
	memcpy(block, &lane, sizeof(lane));
	crc = crc32c(crc32c(0, block, 12), block + 16, 12);
	memcpy(block + 12, &crc, sizeof(crc));
	cr_assert_eq(pwrite(fd, block, sizeof(block), SNAPSHOT_HEAD_BYTES), (ssize_t)sizeof(block));
	close(fd);
	cr_assert_eq(read_all(digest, &head), -HAVEN_ECORRUPT);
	cr_assert_not_null(strstr(error.text, "not one of its lane"), "%s", error.text);
}

Test(crc32c, gives_the_published_values)
{
	static const uint8_t zero[32];
	uint8_t data[100];
	struct prng p = {.state = 3};

	cr_assert_eq(crc32c(0, "123456789", 9), 0xe3069283);
	cr_assert_eq(crc32c_plain(0, "123456789", 9), 0xe3069283);
	cr_assert_eq(crc32c(0, zero, sizeof(zero)), 0x8a9136aa);
	for (unsigned i = 0; i < 1000; i++) {
		size_t n = prng_below(&p, sizeof(data)), cut = prng_below(&p, n + 1);

		for (size_t k = 0; k < n; k++)
			data[k] = (uint8_t)prng_next(&p);
		cr_assert_eq(crc32c(0, data, n), crc32c_plain(0, data, n));
		cr_assert_eq(crc32c(crc32c(0, data, cut), data + cut, n - cut), crc32c(0, data, n));
	}
}
