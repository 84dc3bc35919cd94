/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "bytes.h"

Test(bytes, integers_come_back_and_stand_little_endian)
{
	uint8_t data[15];
	struct bytes_writer w = bytes_writer_init(data, sizeof(data));
	struct bytes_reader r;

	bytes_put_u8(&w, 0x01);
	bytes_put_u16(&w, 0x0302);
	bytes_put_u32(&w, 0x07060504);
	bytes_put_u64(&w, 0x0f0e0d0c0b0a0908ull);
	cr_assert(!w.failed);
	cr_assert_eq(w.used, sizeof(data));
	for (unsigned i = 0; i < sizeof(data); i++)
		cr_assert_eq(data[i], i + 1, "byte %u is %u", i, data[i]);

	r = bytes_reader_init(data, sizeof(data));
	cr_assert_eq(bytes_get_u8(&r), 0x01);
	cr_assert_eq(bytes_get_u16(&r), 0x0302);
	cr_assert_eq(bytes_get_u32(&r), 0x07060504);
	cr_assert_eq(bytes_get_u64(&r), 0x0f0e0d0c0b0a0908ull);
	cr_assert(!r.failed);
	cr_assert_eq(r.left, 0);
}

Test(bytes, reading_past_the_end_fails_for_good_and_gives_zero)
{
	const uint8_t data[4] = {1, 2, 3, 4};
	struct bytes_reader r = bytes_reader_init(data, sizeof(data));
	uint8_t to[3] = {9, 9, 9};

	cr_assert_eq(bytes_get_u16(&r), 0x0201);
	cr_assert_eq(bytes_get_u32(&r), 0, "only two bytes were left");
	cr_assert(r.failed);
	cr_assert_eq(bytes_get_u8(&r), 0, "a failed reader does not recover");
	bytes_get(&r, to, sizeof(to));
	cr_assert(to[0] == 0 && to[1] == 0 && to[2] == 0);
	cr_assert_null(bytes_take(&r, 0));
}

Test(bytes, writing_past_the_end_fails_for_good_and_changes_nothing)
{
	uint8_t data[4] = {7, 7, 7, 7};
	struct bytes_writer w = bytes_writer_init(data, 3);

	bytes_put_u16(&w, 0);
	bytes_put_u16(&w, 0xffff);
	cr_assert(w.failed);
	cr_assert_eq(w.used, 2);
	bytes_put_u8(&w, 0xff);
	cr_assert_eq(w.used, 2, "a failed writer does not recover");
	cr_assert(data[2] == 7 && data[3] == 7);
	cr_assert_null(bytes_room(&w, 0));
}

Test(bytes, blocks_come_back_and_empty_blocks_are_allowed)
{
	uint8_t data[8], to[5];
	struct bytes_writer w = bytes_writer_init(data, sizeof(data));
	struct bytes_reader r;

	bytes_put(&w, "haven", 5);
	bytes_put(&w, NULL, 0);
	cr_assert(!w.failed);
	r = bytes_reader_init(data, w.used);
	bytes_get(&r, to, sizeof(to));
	cr_assert_arr_eq(to, "haven", 5);
	cr_assert_not_null(bytes_take(&r, 0));
	cr_assert(!r.failed);
}

Test(bytes, sizes_near_the_limit_do_not_wrap)
{
	uint8_t data[2] = {0};
	struct bytes_reader r = bytes_reader_init(data, sizeof(data));
	struct bytes_writer w = bytes_writer_init(data, sizeof(data));

	cr_assert_null(bytes_take(&r, SIZE_MAX));
	cr_assert(r.failed);
	bytes_put_u8(&w, 1);
	cr_assert_null(bytes_room(&w, SIZE_MAX));
	cr_assert(w.failed);
}
