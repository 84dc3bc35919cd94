/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A checkpoint segment of any content: read as the mirror reads it, and written as the node writes
 * a replica, into memory that its owner scribbled on. The same bytes are then taken for a region in
 * mode DIRTY.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "table_check.h"
#include "table_place.h"

#define KEY_BYTES 12u
#define VALUE_BYTES 20u
#define ENTRIES 16u

static const struct table_shape shape = {.name = "fuzz",
					 .key_bytes = KEY_BYTES,
					 .value_bytes = VALUE_BYTES,
					 .capacity = ENTRIES,
					 .lanes = 2,
					 .lane_records = 64};
/* Blocks of the first lane have the numbers of the keys. */
static const struct table_shape region_shape = {.name = "fuzz",
						.key_bytes = 4,
						.value_bytes = 24,
						.capacity = 12,
						.lanes = 2,
						.lane_records = 64,
						.kind = TABLE_REGION,
						.mode = TABLE_MODE_DIRTY};
static struct table_geometry geometry, region;
static struct table_header good;
static int segment_fd;
static struct table shared; /* the same content, as a descriptor */

static void key_make(uint8_t *key, unsigned k)
{
	memset(key, 7, KEY_BYTES);
	memcpy(key, &k, sizeof(k));
}

void fuzz_make(void)
{
	struct table t;

	FUZZ_REQUIRE(table_create(&shared, &shape, &segment_fd, NULL) == 0);
	geometry = shared.geometry;
	FUZZ_REQUIRE(table_geometry_make(&region_shape, &region, NULL) == 0);
	FUZZ_REQUIRE(region.total_bytes <= geometry.total_bytes);
	fuzz_base.size = geometry.total_bytes;
	fuzz_base.bytes = malloc(fuzz_base.size);
	FUZZ_REQUIRE(fuzz_base.bytes != NULL);
	table_format(&t, &geometry, fuzz_base.bytes, 99);
	for (unsigned i = 0; i < 12; i++) {
		uint8_t key[KEY_BYTES], value[VALUE_BYTES] = {(uint8_t)i};

		key_make(key, i % 5);
		if (i % 4 == 3)
			table_delete(&t, i % 2, key, 0);
		else
			table_put(&t, i % 2, key, value, 0);
		table_commit(&t, i % 2);
	}
	memcpy(&good, fuzz_base.bytes, sizeof(good));
	fuzz_section_add("header", 0, sizeof(good));
	for (unsigned lane = 0; lane < 2; lane++) {
		uint64_t at = TABLE_LANES_OFFSET + lane * geometry.lane_bytes;

		fuzz_section_add(lane ? "lane1" : "lane0", at, sizeof(struct table_lane_header));
		fuzz_section_add(lane ? "log1" : "log0", at + geometry.log_offset,
				 8ull * geometry.record_bytes);
		fuzz_section_add(lane ? "heads1" : "heads0", at + geometry.heads_offset,
				 geometry.lane_heads * sizeof(uint32_t));
		fuzz_section_add(lane ? "entries1" : "entries0", at + geometry.entries_offset,
				 (uint64_t)geometry.lane_entries * geometry.entry_bytes);
	}
	fuzz_section_add("any", 0, geometry.total_bytes);
}

void fuzz_repair(uint8_t *image)
{
	memcpy(image, &good, sizeof(good));
}

static void read_lane(const struct table *t, unsigned lane)
{
	union {
		struct table_record record;
		uint8_t bytes[64];
	} buffer;
	uint8_t data[KEY_BYTES + VALUE_BYTES], value[24];
	uint64_t seq, committed = table_committed(t, lane);
	uint32_t end = table_scan_end(t, lane);

	FUZZ_REQUIRE(t->geometry.record_bytes <= sizeof(buffer));
	FUZZ_REQUIRE(end >= 1 && end <= t->geometry.lane_entries + 1);
	FUZZ_REQUIRE(table_live(t, lane) <= t->geometry.lane_entries);
	FUZZ_REQUIRE(table_dirty(t, lane) <= t->geometry.lane_entries);
	for (unsigned k = 0; k < 6; k++) {
		uint8_t key[KEY_BYTES];

		key_make(key, k);
		table_get(t, lane, key, value);
	}
	for (uint64_t i = 0; i < 12; i++) {
		if (table_read_record(t, lane, committed - i, &buffer.record) == 0)
			FUZZ_REQUIRE(buffer.record.seq == committed - i &&
				     buffer.record.flags <= TABLE_RECORD_COMMIT);
	}
	for (uint32_t i = 0; i < end + 1; i++)
		table_read_entry(t, lane, i, &seq, data);
	table_digest(t, lane);
	table_next(t, lane);
}

/** What a node does as the writer of a replica. */
static void write_lane(struct table *t, unsigned lane, const uint8_t *rest, size_t n)
{
	uint8_t value[24] = {1};

	for (size_t i = 0; i < n && i < 24; i++) {
		uint8_t key[KEY_BYTES];

		key_make(key, rest[i] % 8);
		switch (rest[i] / 8 % 8) {
		case 0:
			table_lane_begin(t, lane);
			break;
		case 1:
			table_lane_clear(t, lane, rest[i]);
			break;
		case 2:
			table_delete(t, lane, key, UINT64_MAX);
			break;
		case 3:
			table_put(t, lane, key, value, UINT64_MAX / 2);
			break;
		case 4:
			table_commit(t, lane);
			break;
		case 5:
			table_apply(t, lane, TABLE_OP_DELETE, i + 1, key, value);
			break;
		default:
			table_apply(t, lane, TABLE_OP_PUT, i + 1, key, value);
			table_applied(t, lane, i + 1);
			break;
		}
	}
}

/** The bytes as a region. */
static void use_region(uint8_t *image, const uint8_t *rest, size_t n)
{
	struct table t = {.geometry = region, .base = image, .hash_seed = good.hash_seed};
	struct table_report report;
	uint8_t bytes[12 * 24];

	table_check(&t, &report, NULL, NULL);
	for (unsigned lane = 0; lane < 3; lane++)
		read_lane(&t, lane);
	table_region_read(&t, 0, bytes, sizeof(bytes));
	for (unsigned lane = 0; lane < 3; lane++) {
		write_lane(&t, lane, rest, n);
		table_push(&t, lane, 8, UINT64_MAX / 2);
		read_lane(&t, lane);
	}
}

void fuzz_use(uint8_t *image, size_t size, uint8_t flags, const uint8_t *rest, size_t n)
{
	struct table t = {.geometry = geometry, .base = image, .hash_seed = good.hash_seed};
	struct table_report report;
	struct table mapped;

	if (size != geometry.total_bytes)
		return;
	if (flags & FUZZ_RAW_HEADER) {
		memcpy(shared.base, image, size);
		if (table_map(&mapped, segment_fd, &shape, NULL) == 0)
			table_unmap(&mapped);
	}
	for (unsigned lane = 0; lane < 3; lane++)
		read_lane(&t, lane);
	if (!(flags & FUZZ_CHECK))
		return;
	table_check(&t, &report, NULL, NULL);
	for (unsigned lane = 0; lane < 3; lane++)
		write_lane(&t, lane, rest, n);
	for (unsigned lane = 0; lane < 2; lane++)
		read_lane(&t, lane);
	use_region(image, rest, n);
}
