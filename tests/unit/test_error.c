/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <limits.h>
#include <string.h>

#include "error.h"

Test(error, every_code_has_an_own_name_sentence_and_class)
{
	for (int i = 0; i < HAVEN_ERROR_COUNT; i++) {
		cr_assert_not_null(error_sentence(i));
		cr_assert_gt(strlen(error_sentence(i)), 3);
		cr_assert_leq(error_class(i), HAVEN_CLASS_GIVE_UP);
		cr_assert_eq(error_class(i) == HAVEN_CLASS_NONE, i == HAVEN_OK);
		for (int k = 0; k < i; k++) {
			cr_assert_str_neq(error_name(i), error_name(k));
			cr_assert_str_neq(error_sentence(i), error_sentence(k));
		}
	}
}

Test(error, both_signs_name_the_same_error)
{
	cr_assert_str_eq(error_name(-HAVEN_EFULL), "EFULL");
	cr_assert_str_eq(error_name(HAVEN_EFULL), "EFULL");
	cr_assert_eq(error_class(-HAVEN_EROLE), error_class(HAVEN_EROLE));
	cr_assert_str_eq(error_sentence(-HAVEN_ENODE), error_sentence(HAVEN_ENODE));
}

Test(error, codes_outside_the_list_are_harmless)
{
	const int codes[] = {HAVEN_ERROR_COUNT, -HAVEN_ERROR_COUNT, INT_MAX, INT_MIN, -4711};

	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		cr_assert_not_null(error_sentence(codes[i]));
		cr_assert_not_null(error_name(codes[i]));
		cr_assert_leq(error_class(codes[i]), HAVEN_CLASS_GIVE_UP);
	}
}

Test(error, set_keeps_the_text_and_returns_the_negative_code)
{
	struct error_text e;

	cr_assert_eq(error_set(&e, HAVEN_ESIZE, "%s has %d bytes", "x", 5), -HAVEN_ESIZE);
	cr_assert_str_eq(e.text, "x has 5 bytes");
	cr_assert_eq(error_set(&e, -HAVEN_ESIZE, "again"), -HAVEN_ESIZE);
	cr_assert_eq(error_set(NULL, HAVEN_EPERM, "nobody reads %d", 1), -HAVEN_EPERM);
}

Test(error, a_long_text_is_cut_and_terminated)
{
	struct error_text e;
	char longer[2 * ERROR_TEXT_MAX];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	error_set(&e, HAVEN_EINVAL, "%s", longer);
	cr_assert_eq(strlen(e.text), ERROR_TEXT_MAX - 1);
}
