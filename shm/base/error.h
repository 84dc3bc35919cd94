/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Text of errors. The codes stand in haven_types.h. `struct error_text` carries the sentence of one
 * failure upwards: what was wrong, where, and what to do next.
 */
#ifndef HAVEN_ERROR_H
#define HAVEN_ERROR_H

#include "haven_types.h"

#define ERROR_TEXT_MAX 256

struct error_text {
	char text[ERROR_TEXT_MAX];
};

/** General sentence for a code of either sign; never NULL. */
const char *error_sentence(int error);
/** Class of a code of either sign. */
enum haven_error_class error_class(int error);
/** Short name of a code ("EFULL"); never NULL. */
const char *error_name(int error);
/** Writes the sentence into `e` (may be NULL) and returns `error` made negative. */
__attribute__((format(printf, 3, 4))) int error_set(struct error_text *e, int error,
						    const char *format, ...);

#endif
