/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "fault.h"
#include "prng.h"

FAULT(void *, NULL, malloc, (size_t bytes), (bytes))
FAULT(void *, NULL, calloc, (size_t n, size_t bytes), (n, bytes))

#define BYTES 32768u

static uint8_t *memory;
static struct counters c;
static struct counters_view view;
static struct counter_entry entry;
static struct error_text error;

static void setup(void)
{
	memory = aligned_alloc(HAVEN_CACHE_LINE, BYTES);
	memset(memory, 0, BYTES);
	cr_assert_eq(counters_init(&c, memory, BYTES, &error), 0, "%s", error.text);
}

static void teardown(void)
{
	free(memory);
}

TestSuite(counters, .init = setup, .fini = teardown);

static uint64_t *add(const char *name, const char *labels)
{
	const struct counter_spec spec = {
		.name = name, .labels = labels, .unit = "frames", .help = "Frames that came."};
	uint64_t *value = NULL;

	cr_assert_eq(counters_add(&c, &spec, &value, &error), 0, "%s", error.text);
	return value;
}

static struct histogram add_histogram(const char *name)
{
	const struct counter_spec spec = {.name = name,
					  .unit = "ns",
					  .help = "Time.",
					  .kind = COUNTER_HISTOGRAM,
					  .top_bits = 36};
	struct histogram h;

	cr_assert_eq(counters_add_histogram(&c, &spec, &h, &error), 0, "%s", error.text);
	return h;
}

static void open_view(void)
{
	cr_assert_eq(counters_open(&view, memory, BYTES, &error), 0, "%s", error.text);
}

/* ---- writing and reading --------------------------------------------------------------------- */

Test(counters, a_reader_learns_everything_from_the_memory)
{
	uint64_t *in = add("frames_in", NULL), *bad = add("frames_bad", "reason=tag,peer=b-1.x");
	struct histogram gap = add_histogram("loop_gap");
	static struct histogram_copy copy;

	store_relaxed(in, 17);
	store_relaxed(bad, UINT64_MAX);
	histogram_add(&gap, 1234);
	open_view();
	cr_assert_eq(view.n, 3);
	cr_assert_eq(counters_get(&view, 0, &entry), 0);
	cr_assert_str_eq(entry.name, "frames_in");
	cr_assert_str_eq(entry.labels, "");
	cr_assert_str_eq(entry.unit, "frames");
	cr_assert_str_eq(entry.help, "Frames that came.");
	cr_assert_eq(entry.kind, COUNTER_COUNT);
	cr_assert_eq(counters_value(&view, &entry), 17);
	store_relaxed(in, 18);
	cr_assert_eq(counters_value(&view, &entry), 18, "it is the living value");
	cr_assert_eq(counters_get(&view, 1, &entry), 0);
	cr_assert_str_eq(entry.labels, "reason=tag,peer=b-1.x");
	cr_assert_eq(counters_value(&view, &entry), UINT64_MAX);
	cr_assert_eq(counters_get(&view, 2, &entry), 0);
	cr_assert_eq(entry.kind, COUNTER_HISTOGRAM);
	counters_histogram(&view, &entry, &copy);
	cr_assert_eq(copy.count, 1);
	cr_assert_eq(copy.max, 1234);
	cr_assert_eq(counters_get(&view, 3, &entry), -HAVEN_ENOENT);
}

Test(counters, each_value_has_lines_of_its_own)
{
	uint64_t *a = add("a", NULL), *b = add("b", NULL);
	struct histogram h = add_histogram("h");

	cr_assert_eq((uintptr_t)a % HAVEN_CACHE_LINE, 0);
	cr_assert_eq((uint8_t *)a - (uint8_t *)b, HAVEN_CACHE_LINE);
	cr_assert_eq((uint8_t *)b - (uint8_t *)h.words, HISTOGRAM_BYTES(36));
}

Test(counters, the_same_name_needs_other_labels)
{
	const struct counter_spec again = {.name = "a", .labels = "k=1"};
	uint64_t *value;

	add("a", NULL);
	add("a", "k=1");
	cr_assert_eq(counters_add(&c, &again, &value, &error), -HAVEN_EEXIST);
	cr_assert_str_eq(error.text, "counter a{k=1} is there already");
}

Test(counters, labels_are_given_one_by_one)
{
	char key[COUNTER_LABELS_MAX], value[COUNTER_LABELS_MAX];
	const char *rest = counter_label("reason=tag,peer=b", key, value);

	cr_assert_str_eq(key, "reason");
	cr_assert_str_eq(value, "tag");
	rest = counter_label(rest, key, value);
	cr_assert_eq(*rest, 0);
	cr_assert_str_eq(key, "peer");
	cr_assert_str_eq(value, "b");
	cr_assert_null(counter_label(rest, key, value));
	cr_assert_null(counter_label("", key, value));
}

Test(counters, texts_that_are_not_proper_are_refused)
{
	static const struct {
		const char *name, *labels, *unit, *help;
	} bad[] = {
		{"", "", "", ""},
		{"Frames", "", "", ""},
		{"1a", "", "", ""},
		{"a-b", "", "", ""},
		{"a2345678901234567890123456789012345678901234567890", "", "", ""},
		{"a", "k", "", ""},
		{"a", "k=", "", ""},
		{"a", "=v", "", ""},
		{"a", "k=v,", "", ""},
		{"a", ",k=v", "", ""},
		{"a", "k=v,,l=w", "", ""},
		{"a", "K=v", "", ""},
		{"a", "k=a\"b", "", ""},
		{"a", "k=a\\b", "", ""},
		{"a", "k=a=b", "", ""},
		{"a", "k=a\nb", "", ""},
		{"a",
		 "k=34567890123456789012345678901234567890123456789012345678901234567890123456"
		 "789012345",
		 "", ""},
		{"a", "", "12345678901234567", ""},
		{"a", "", "\t", ""},
		{"a", "", "", "a\033b"},
	};
	uint64_t *value;

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(bad); i++) {
		const struct counter_spec spec = {.name = bad[i].name,
						  .labels = bad[i].labels,
						  .unit = bad[i].unit,
						  .help = bad[i].help};

		cr_assert_eq(counters_add(&c, &spec, &value, &error), -HAVEN_EINVAL, "case %u", i);
	}
	open_view();
	cr_assert_eq(view.n, 0);
}

Test(counters, a_histogram_of_no_range_is_refused)
{
	struct counter_spec spec = {.name = "h", .kind = COUNTER_HISTOGRAM};
	struct histogram h;

	cr_assert_eq(counters_add_histogram(&c, &spec, &h, &error), -HAVEN_EINVAL);
	spec.top_bits = HISTOGRAM_TOP_BITS_MAX + 1;
	cr_assert_eq(counters_add_histogram(&c, &spec, &h, &error), -HAVEN_EINVAL);
}

Test(counters, what_does_not_fit_is_refused_with_figures_and_the_rest_works_on)
{
	const struct counter_spec big = {.name = "h", .kind = COUNTER_HISTOGRAM, .top_bits = 64};
	const struct counter_spec one = {.name = "one_more"};
	uint32_t size = counter_bytes(COUNTER_COUNT, 0), n = 0;
	struct histogram h;
	char name[16], expected[96];
	uint64_t *value;

	while (counters_used(&c) + size <= BYTES) {
		snprintf(name, sizeof(name), "c%u", n++);
		add(name, NULL);
	}
	cr_assert_eq(n, (BYTES - 64) / 320);
	cr_assert_eq(counters_add(&c, &one, &value, &error), -HAVEN_EFULL);
	cr_assert_eq(counters_add_histogram(&c, &big, &h, &error), -HAVEN_EFULL);
	snprintf(expected, sizeof(expected),
		 "no room for counter h{}: it needs %u bytes, %u of %u are free",
		 counter_bytes(COUNTER_HISTOGRAM, 64), BYTES - counters_used(&c), BYTES);
	cr_assert_str_eq(error.text, expected);
	open_view();
	cr_assert_eq(view.n, n);
	cr_assert_eq(counters_get(&view, n - 1, &entry), 0);
}

Test(counters, memory_that_is_none_is_refused)
{
	cr_assert_eq(counters_init(&c, memory, 100, &error), -HAVEN_EINVAL);
	cr_assert_eq(counters_init(&c, memory, 0, &error), -HAVEN_EINVAL);
	cr_assert_eq(counters_open(&view, memory, BYTES - 64, &error), -HAVEN_ECORRUPT);
	cr_assert_eq(counters_open(&view, memory, 8, &error), -HAVEN_ECORRUPT);
	memory[0] ^= 1;
	cr_assert_eq(counters_open(&view, memory, BYTES, &error), -HAVEN_ECORRUPT);
}

/* ---- check ----------------------------------------------------------------------------------- */

static unsigned findings;
static char last_sentence[256];

static void note(void *context, const char *sentence)
{
	(void)context;
	findings++;
	snprintf(last_sentence, sizeof(last_sentence), "%s", sentence);
}

static unsigned check(void)
{
	findings = 0;
	counters_check(memory, BYTES, note, NULL);
	return findings;
}

static struct counter_entry *entry_of(unsigned i)
{
	return (struct counter_entry *)(void *)(memory + 64 + i * sizeof(struct counter_entry));
}

Test(counters, the_check_is_content_with_what_the_writer_makes)
{
	struct histogram h;

	cr_assert_eq(check(), 0);
	add("a", NULL);
	add("a", "k=v");
	h = add_histogram("h");
	for (uint64_t i = 0; i < 1000; i++)
		histogram_add(&h, i * i);
	cr_assert_eq(check(), 0, "%s", last_sentence);
}

Test(counters, an_entry_that_is_not_counted_yet_is_no_finding)
{
	add("a", NULL);
	memcpy(entry_of(1), entry_of(0), sizeof(struct counter_entry));
	cr_assert_eq(check(), 0);
	open_view();
	cr_assert_eq(view.n, 1);
}

Test(counters, the_check_finds_planted_damage)
{
	struct counters_head *head = (struct counters_head *)(void *)memory;
	struct counter_entry good;
	struct histogram h;

	add("a", NULL);
	add("b", NULL);
	h = add_histogram("h");
	good = *entry_of(1);
	entry_of(1)->offset -= 64;
	cr_assert_gt(check(), 0, "values over those of another");
	*entry_of(1) = good;
	entry_of(1)->offset = BYTES;
	cr_assert_gt(check(), 0, "values outside");
	*entry_of(1) = good;
	entry_of(1)->kind = COUNTER_KIND_COUNT;
	cr_assert_gt(check(), 0);
	*entry_of(1) = good;
	entry_of(1)->name[0] = '\033';
	cr_assert_gt(check(), 0);
	entry_of(1)->name[0] = 'a';
	cr_assert_eq(check(), 1, "given twice");
	*entry_of(1) = good;
	h.words->bucket[40] = 1;
	cr_assert_eq(check(), 1);
	cr_assert_str_eq(last_sentence, "histogram h{}: it has values above its maximum");
	h.words->bucket[40] = 0;
	head->n = UINT32_MAX;
	cr_assert_eq(check(), 1);
}

Test(counters, the_check_without_memory_compares_less)
{
	struct histogram h;

	add("a", NULL);
	h = add_histogram("h");
	h.words->bucket[40] = 1;
	for (unsigned at = 1; at <= 2; at++) {
		fault_arm(at, 1, ENOMEM);
		cr_assert_eq(check(), at == 2, "%s", last_sentence);
		cr_assert(fault_disarm());
	}
}

Test(counters, a_gauge_is_kept_and_a_help_that_does_not_fit_is_refused)
{
	struct counter_spec spec = {.name = "gauge", .kind = COUNTER_GAUGE};
	char help[COUNTER_HELP_MAX + 1];
	uint64_t *word;

	memset(help, 'h', sizeof(help));
	help[COUNTER_HELP_MAX] = 0;
	cr_assert_eq(counters_add(&c, &spec, &word, &error), 0, "%s", error.text);
	spec.name = "other";
	spec.help = help;
	cr_assert_eq(counters_add(&c, &spec, &word, &error), -HAVEN_EINVAL);
	cr_assert_not_null(strstr(error.text, "help"), "%s", error.text);
}

Test(counters, a_label_without_a_value_ends_the_text)
{
	char key[COUNTER_LABELS_MAX], value[COUNTER_LABELS_MAX];

	cr_assert_str_eq(counter_label("key", key, value), "");
	cr_assert_str_eq(key, "key");
	cr_assert_str_eq(value, "");
}

/** Entry 0 with a text that is filled to its end with `with`. */
static void expect_refused(size_t offset, size_t size, char with)
{
	struct counter_entry good = *entry_of(0);

	memset((uint8_t *)entry_of(0) + offset, with, size);
	open_view();
	cr_assert_eq(counters_get(&view, 0, &entry), -HAVEN_ECORRUPT);
	*entry_of(0) = good;
	cr_assert_eq(counters_get(&view, 0, &entry), 0);
}
#define EXPECT_REFUSED(field, with)                                                                \
	expect_refused(offsetof(struct counter_entry, field), sizeof(entry.field), with)

Test(counters, texts_that_do_not_end_or_are_not_printable_are_refused_by_readers)
{
	add("a", "k=v");
	EXPECT_REFUSED(name, 'a');
	EXPECT_REFUSED(name, 0);
	EXPECT_REFUSED(labels, 'a');
	EXPECT_REFUSED(unit, 'a');
	EXPECT_REFUSED(help, 'a');
	expect_refused(offsetof(struct counter_entry, labels), 1, '=');
	expect_refused(offsetof(struct counter_entry, unit), 1, '\a');
	expect_refused(offsetof(struct counter_entry, help), 1, '\x7f');
	expect_refused(offsetof(struct counter_entry, help), 1, '\xff');
}

Test(counters, places_that_are_impossible_are_refused_by_readers)
{
	struct counter_entry good;

	add("a", NULL);
	add("b", NULL);
	open_view();
	good = *entry_of(0);
	entry_of(0)->offset++;
	cr_assert_eq(counters_get(&view, 0, &entry), -HAVEN_ECORRUPT);
	*entry_of(0) = good;
	entry_of(0)->offset = 64 + sizeof(entry); /* over the directory */
	cr_assert_eq(counters_get(&view, 0, &entry), -HAVEN_ECORRUPT);
	*entry_of(0) = good;
	entry_of(0)->offset = BYTES; /* right behind the memory */
	cr_assert_eq(counters_get(&view, 0, &entry), -HAVEN_ECORRUPT);
	*entry_of(0) = good;
	entry_of(0)->offset = UINT32_MAX - 63;
	cr_assert_eq(counters_get(&view, 0, &entry), -HAVEN_ECORRUPT);
	*entry_of(0) = good;
	entry_of(0)->bytes = 128;
	cr_assert_eq(counters_get(&view, 0, &entry), -HAVEN_ECORRUPT);
	entry_of(0)->bytes = 0;
	cr_assert_eq(counters_get(&view, 0, &entry), -HAVEN_ECORRUPT);
	*entry_of(0) = good;
	entry_of(0)->kind = COUNTER_HISTOGRAM;
	entry_of(0)->top_bits = HISTOGRAM_TOP_BITS_MIN - 1;
	cr_assert_eq(counters_get(&view, 0, &entry), -HAVEN_ECORRUPT);
}

Test(counters, kinds_have_names)
{
	cr_assert_str_eq(counter_kind_name(COUNTER_COUNT), "counter");
	cr_assert_str_eq(counter_kind_name(COUNTER_GAUGE), "gauge");
	cr_assert_str_eq(counter_kind_name(COUNTER_HISTOGRAM), "histogram");
	cr_assert_str_eq(counter_kind_name(COUNTER_KIND_COUNT), "?");
}

Test(counters, readers_survive_any_change_of_any_byte, .timeout = 60)
{
	static struct histogram_copy copy;
	struct prng rng = {.state = 21};
	uint8_t *whole = malloc(BYTES);
	struct histogram h;

	add("a", "k=v");
	h = add_histogram("h");
	histogram_add(&h, 99);
	memcpy(whole, memory, BYTES);
	for (int round = 0; round < 20000; round++) {
		memcpy(memory, whole, BYTES);
		for (int i = 0; i < 3; i++) /* most of it where the entries are */
			memory[prng_below(&rng, round % 2 ? 64 + 512 : BYTES)] =
				(uint8_t)prng_next(&rng);
		check();
		if (counters_open(&view, memory, BYTES, &error))
			continue;
		for (uint32_t i = 0; i < view.n && i < 4; i++) {
			if (counters_get(&view, i, &entry))
				continue;
			cr_assert_lt(strlen(entry.help), COUNTER_HELP_MAX);
			if (entry.kind == COUNTER_HISTOGRAM)
				counters_histogram(&view, &entry, &copy);
			else
				counters_value(&view, &entry);
		}
	}
	free(whole);
}
