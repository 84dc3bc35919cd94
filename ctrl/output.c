/* SPDX-License-Identifier: BSD-3-Clause */
#include "output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define CELL_MAX 256
#define COLUMNS_MAX 16

int output_fail(const struct output *o, enum exit_code code, const char *hint, const char *format,
		...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	/* Whatever was printed before belongs above the error when both go to one terminal. */
	fflush(stdout);
	if (o->json) {
		json_t *error = json_object();
		json_t *whole = json_object();

		put_text(error, "code", exit_name(code));
		put_count(error, "exit", (uint64_t)code);
		put_text(error, "message", message);
		put_text(error, "hint", hint ? hint : "");
		json_object_set_new(whole, "error", error);
		json_dumpf(whole, stderr, JSON_COMPACT);
		fputc('\n', stderr);
		json_decref(whole);
		return code;
	}
	fprintf(stderr, "havenctl: %s%s%s\n", message, hint ? "; " : "", hint ? hint : "");
	return code;
}

void output_json(const char *schema, json_t *data)
{
	json_t *whole = json_object();

	put_text(whole, "schema", schema);
	put_iso(whole, "generated_at", clock_wall_ns());
	json_object_set_new(whole, "data", data);
	json_dumpf(whole, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(whole);
}

void output_json_line(json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(object);
}

bool output_wants_color(const char *when)
{
	const char *refused = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");

	if (!strcmp(when, "always"))
		return true;
	if (!strcmp(when, "never") || (refused && *refused))
		return false;
	return isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb");
}

void output_color(const struct output *o, enum output_color color)
{
	static const char *const code[] = {"\033[0m",  "\033[1m",  "\033[2m",
					   "\033[32m", "\033[33m", "\033[31m"};

	if (o->color)
		fputs(code[color], stdout);
}

static void cell_list(const json_t *array, char *cell, size_t size)
{
	size_t used = 0;

	cell[0] = 0;
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *text = json_string_value(json_array_get(array, i));
		int n = snprintf(cell + used, size - used, "%s%s", i ? "," : "", text ? text : "");

		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

static void cell_make(const json_t *row, const struct column *column, char *cell, size_t size)
{
	const json_t *value = json_object_get(row, column->key);

	snprintf(cell, size, "-");
	if (!value || json_is_null(value))
		return;
	switch (column->kind) {
	case COLUMN_TEXT:
	case COLUMN_RIGHT:
		if (json_string_length(value))
			snprintf(cell, size, "%s", json_string_value(value));
		break;
	case COLUMN_COUNT:
		snprintf(cell, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case COLUMN_PERCENT:
		snprintf(cell, size, "%" JSON_INTEGER_FORMAT " %%", json_integer_value(value));
		break;
	case COLUMN_DURATION_NS:
		format_duration((uint64_t)json_integer_value(value), cell, size);
		break;
	case COLUMN_YES:
		snprintf(cell, size, "%s", json_is_true(value) ? "yes" : "no");
		break;
	case COLUMN_LIST:
		if (json_array_size(value))
			cell_list(value, cell, size);
		break;
	}
}

static enum output_color cell_color(const char *cell)
{
	static const struct {
		const char *word;
		enum output_color color;
	} known[] = {
		{"primary", COLOR_GREEN},  {"serving", COLOR_GREEN},    {"dead", COLOR_RED},
		{"silent", COLOR_RED},     {"stopped", COLOR_RED},      {"hung", COLOR_RED},
		{"outside", COLOR_YELLOW}, {"not ready", COLOR_YELLOW},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(cell, known[i].word))
			return known[i].color;
	return COLOR_PLAIN;
}

static bool column_right(const struct column *c)
{
	return c->kind == COLUMN_COUNT || c->kind == COLUMN_DURATION_NS ||
	       c->kind == COLUMN_PERCENT || c->kind == COLUMN_RIGHT;
}

static void table_cell(const struct output *o, const struct column *c, const char *cell, int width,
		       bool last, bool title)
{
	int pad = width - (int)strlen(cell);
	enum output_color color = title ? COLOR_DIM : cell_color(cell);

	printf("  %*s", column_right(c) && pad > 0 ? pad : 0, "");
	if (color != COLOR_PLAIN)
		output_color(o, color);
	fputs(cell, stdout);
	if (color != COLOR_PLAIN)
		output_color(o, COLOR_PLAIN);
	/* No blanks at the end of a line. */
	printf("%*s", !column_right(c) && !last && pad > 0 ? pad : 0, "");
}

void output_table(const struct output *o, const json_t *array, const struct column *column,
		  unsigned n)
{
	int width[COLUMNS_MAX] = {0};
	char cell[CELL_MAX];

	if (n > COLUMNS_MAX)
		n = COLUMNS_MAX;
	for (unsigned c = 0; c < n; c++) {
		width[c] = (int)strlen(column[c].title);
		for (size_t r = 0; r < json_array_size(array); r++) {
			cell_make(json_array_get(array, r), &column[c], cell, sizeof(cell));
			if ((int)strlen(cell) > width[c])
				width[c] = (int)strlen(cell);
		}
	}
	for (unsigned c = 0; c < n; c++)
		table_cell(o, &column[c], column[c].title, width[c], c == n - 1, true);
	putchar('\n');
	for (size_t r = 0; r < json_array_size(array); r++) {
		for (unsigned c = 0; c < n; c++) {
			cell_make(json_array_get(array, r), &column[c], cell, sizeof(cell));
			table_cell(o, &column[c], cell, width[c], c == n - 1, false);
		}
		putchar('\n');
	}
}

void output_fold(const char *text, unsigned column, unsigned indent)
{
	bool first = true;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (!first && column + 1 + word > OUTPUT_WIDTH) {
			printf("\n%*s", (int)indent, "");
			column = indent;
		} else if (!first) {
			putchar(' ');
			column++;
		}
		fwrite(text, 1, word, stdout);
		column += (unsigned)word;
		text += word;
		text += strspn(text, " ");
		first = false;
	}
	putchar('\n');
}

int output_finish(const struct output *o, int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	if (errno == EPIPE)
		return code;
	return output_fail(o, EXIT_REFUSED, "is the disk full?", "cannot write the output: %s",
			   strerror(errno));
}

char *format_duration(uint64_t ns, char *buffer, size_t size)
{
	double x = (double)ns;

	if (ns < NSEC_PER_USEC)
		snprintf(buffer, size, "%" PRIu64 " ns", ns);
	else if (ns < 10 * NSEC_PER_USEC)
		snprintf(buffer, size, "%.1f us", x / 1e3);
	else if (ns < NSEC_PER_MSEC)
		snprintf(buffer, size, "%.0f us", x / 1e3);
	else if (ns < 100 * NSEC_PER_MSEC)
		snprintf(buffer, size, "%.1f ms", x / 1e6);
	else if (ns < NSEC_PER_SEC)
		snprintf(buffer, size, "%.0f ms", x / 1e6);
	else if (ns < 60 * NSEC_PER_SEC)
		snprintf(buffer, size, "%.1f s", x / 1e9);
	else if (ns < 3600 * NSEC_PER_SEC)
		snprintf(buffer, size, "%.0f min", x / 60e9);
	else if (ns < 48 * 3600 * NSEC_PER_SEC)
		snprintf(buffer, size, "%.1f h", x / 3600e9);
	else
		snprintf(buffer, size, "%.0f days", x / 86400e9);
	return buffer;
}

char *format_clock(uint64_t wall_ns, char *buffer, size_t size)
{
	time_t now = (time_t)(clock_wall_ns() / NSEC_PER_SEC);
	time_t at = (time_t)(wall_ns / NSEC_PER_SEC);
	struct tm here, today;
	char day[32];

	localtime_r(&now, &today);
	if (!localtime_r(&at, &here)) {
		snprintf(buffer, size, "?");
		return buffer;
	}
	strftime(day, sizeof(day),
		 here.tm_yday == today.tm_yday && here.tm_year == today.tm_year
			 ? "%H:%M:%S"
			 : "%Y-%m-%d %H:%M:%S",
		 &here);
	snprintf(buffer, size, "%s.%03u", day, (unsigned)(wall_ns % NSEC_PER_SEC / NSEC_PER_MSEC));
	return buffer;
}

char *format_iso(uint64_t wall_ns, char *buffer, size_t size)
{
	time_t at = (time_t)(wall_ns / NSEC_PER_SEC);
	struct tm utc;
	char second[32] = "?";

	if (gmtime_r(&at, &utc))
		strftime(second, sizeof(second), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(buffer, size, "%s.%09uZ", second, (unsigned)(wall_ns % NSEC_PER_SEC));
	return buffer;
}

void put_text(json_t *object, const char *key, const char *text)
{
	char clean[1024];
	size_t n = 0;

	/* Names and details come from a segment that may be damaged: nothing that a terminal would
	 * obey, and nothing that is not UTF-8, gets through. */
	for (; text[n] && n < sizeof(clean) - 1; n++)
		clean[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	clean[n] = 0;
	json_object_set_new(object, key, json_string(clean));
}

void put_count(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key,
			    json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value));
}

void put_yes(json_t *object, const char *key, bool value)
{
	json_object_set_new(object, key, json_boolean(value));
}

void put_iso(json_t *object, const char *key, uint64_t wall_ns)
{
	char text[64];

	if (wall_ns)
		put_text(object, key, format_iso(wall_ns, text, sizeof(text)));
	else
		put_null(object, key);
}

void put_null(json_t *object, const char *key)
{
	json_object_set_new(object, key, json_null());
}

const char *get_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

uint64_t get_count(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

bool get_yes(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}
