/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What havenctl prints. Every command builds one JSON tree; `--json` prints it, text is drawn from
 * the same tree, so the two cannot disagree. Results go to stdout, everything else to stderr.
 */
#ifndef HAVENCTL_OUTPUT_H
#define HAVENCTL_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exit_code.h"

#define OUTPUT_WIDTH 80

enum output_color { COLOR_PLAIN = 0, COLOR_BOLD, COLOR_DIM, COLOR_GREEN, COLOR_YELLOW, COLOR_RED };

struct output {
	bool json;
	bool color;
};

enum column_kind {
	COLUMN_TEXT = 0,
	COLUMN_COUNT,
	COLUMN_DURATION_NS,
	COLUMN_PERCENT,
	COLUMN_YES,
	COLUMN_LIST,  /**< array of strings, joined by commas */
	COLUMN_RIGHT, /**< text that is a figure */
};

/** One column of a table: a key of the row objects. A missing or null value prints "-". */
struct column {
	const char *key, *title;
	enum column_kind kind;
};

/** Tell an error on stderr: one sentence, then the hint (may be NULL). Returns `code`. */
__attribute__((format(printf, 4, 5))) int output_fail(const struct output *o, enum exit_code code,
						      const char *hint, const char *format, ...);
/** Print `data` as the one JSON object of a command; takes the reference. */
void output_json(const char *schema, json_t *data);
/** Print one JSON Lines object and flush; takes the reference. */
void output_json_line(json_t *object);
/** Rows of `array` under titles, two spaces in. */
void output_table(const struct output *o, const json_t *array, const struct column *column,
		  unsigned n);
/** Print `text` folded at OUTPUT_WIDTH; following lines stand `indent` columns in. */
void output_fold(const char *text, unsigned column, unsigned indent);
/** Resolve --color "auto", "always" or "never" with NO_COLOR, TERM and the terminal. */
bool output_wants_color(const char *when);
/** Switch colour; nothing happens when colours are off. */
void output_color(const struct output *o, enum output_color color);
/** Flush stdout. EXIT_GOOD becomes EXIT_REFUSED when what was printed could not be written; a
 *  closed pipe is no error. */
int output_finish(const struct output *o, int code);

/** "41 us", "4.2 s", "3 min 5 s". Returns `buffer`. */
char *format_duration(uint64_t ns, char *buffer, size_t size);
/** Local time of day, "14:03:22.101", with the date in front when it is not today. */
char *format_clock(uint64_t wall_ns, char *buffer, size_t size);
/** "2026-11-22T14:03:22.101000042Z". */
char *format_iso(uint64_t wall_ns, char *buffer, size_t size);

/* Small setters, so that building a tree reads as a list of fields. */
void put_text(json_t *object, const char *key, const char *text);
void put_count(json_t *object, const char *key, uint64_t value);
void put_yes(json_t *object, const char *key, bool value);
void put_iso(json_t *object, const char *key, uint64_t wall_ns); /**< null when 0 */
void put_null(json_t *object, const char *key);
const char *get_text(const json_t *object, const char *key); /**< "" when absent */
uint64_t get_count(const json_t *object, const char *key);
bool get_yes(const json_t *object, const char *key);

#endif
