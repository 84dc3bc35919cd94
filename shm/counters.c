/* SPDX-License-Identifier: BSD-3-Clause */
#include "counters.h"

#include <stdio.h>
#include <string.h>

#define NAME_ALPHABET "abcdefghijklmnopqrstuvwxyz0123456789_"

static const char *const kind_names[] = {
	[COUNTER_COUNT] = "counter", [COUNTER_GAUGE] = "gauge", [COUNTER_HISTOGRAM] = "histogram"};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(kind_names) == COUNTER_KIND_COUNT, "a name for each");

const char *counter_kind_name(unsigned kind)
{
	return kind < COUNTER_KIND_COUNT ? kind_names[kind] : "?";
}

/* ---- what an entry may say ------------------------------------------------------------------- */

static bool name_good(const char *name, size_t n)
{
	return name[0] >= 'a' && name[0] <= 'z' && strspn(name, NAME_ALPHABET) >= n;
}

/** Length of the printable text at `text` that holds none of `without`. */
static size_t printable(const char *text, const char *without)
{
	size_t n = 0;

	while (text[n] >= ' ' && text[n] <= '~' && !strchr(without, text[n]))
		n++;
	return n;
}

/** One "key=value" at `text`: its length, 0: it is not one. */
static size_t label_length(const char *text)
{
	size_t key = strcspn(text, "="), value;

	if (!text[key] || !name_good(text, key))
		return 0;
	value = printable(text + key + 1, ",=\"\\");
	return value ? key + 1 + value : 0;
}

static bool labels_good(const char *labels)
{
	while (*labels) {
		size_t n = label_length(labels);

		if (n == 0 || (labels[n] && (labels[n] != ',' || !labels[n + 1])))
			return false;
		labels += n + (labels[n] != 0);
	}
	return true;
}

static bool terminated(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

/** The first text that is not as it must be, NULL: all good. */
static const char *text_refusal(const struct counter_entry *e)
{
	if (!terminated(e->name, sizeof(e->name)) || !name_good(e->name, strlen(e->name)))
		return "name";
	if (!terminated(e->labels, sizeof(e->labels)) || !labels_good(e->labels))
		return "labels";
	if (!terminated(e->unit, sizeof(e->unit)) || e->unit[printable(e->unit, "")])
		return "unit";
	if (!terminated(e->help, sizeof(e->help)) || e->help[printable(e->help, "")])
		return "help";
	return NULL;
}

/** Bytes of the values of such a counter, 0: there is none such. */
static uint32_t value_bytes(uint32_t kind, uint32_t top_bits)
{
	if (kind == COUNTER_COUNT || kind == COUNTER_GAUGE)
		return HAVEN_CACHE_LINE;
	if (kind == COUNTER_HISTOGRAM && top_bits >= HISTOGRAM_TOP_BITS_MIN &&
	    top_bits <= HISTOGRAM_TOP_BITS_MAX)
		return HISTOGRAM_BYTES(top_bits);
	return 0;
}

static uint32_t entry_offset(uint32_t i)
{
	return (uint32_t)(sizeof(struct counters_head) + i * sizeof(struct counter_entry));
}

/* ---- writer ---------------------------------------------------------------------------------- */

int counters_init(struct counters *c, void *base, uint32_t bytes, struct error_text *error)
{
	struct counters_head *head = base;

	if (bytes % HAVEN_CACHE_LINE != 0 || bytes < sizeof(*head))
		return error_set(error, HAVEN_EINVAL,
				 "counters: %u bytes are not whole cache lines, or none", bytes);
	*c = (struct counters){.base = base, .bytes = bytes, .values_from = bytes};
	head->bytes = bytes;
	store_release(&head->magic, COUNTERS_MAGIC);
	return 0;
}

uint32_t counter_bytes(enum counter_kind kind, uint32_t top_bits)
{
	return (uint32_t)sizeof(struct counter_entry) + value_bytes(kind, top_bits);
}

uint32_t counters_used(const struct counters *c)
{
	return entry_offset(c->n) + c->bytes - c->values_from;
}

/** False: it does not fit. */
static bool text_set(char *to, size_t size, const char *from)
{
	int n = snprintf(to, size, "%s", from ? from : "");

	return (size_t)n < size; /* an error is larger than any size */
}

static const char *entry_fill(struct counter_entry *e, const struct counter_spec *spec)
{
	memset(e, 0, sizeof(*e));
	if (!text_set(e->name, sizeof(e->name), spec->name))
		return "name";
	if (!text_set(e->labels, sizeof(e->labels), spec->labels))
		return "labels";
	if (!text_set(e->unit, sizeof(e->unit), spec->unit))
		return "unit";
	if (!text_set(e->help, sizeof(e->help), spec->help))
		return "help";
	e->kind = spec->kind;
	e->top_bits = spec->kind == COUNTER_HISTOGRAM ? spec->top_bits : 0;
	e->bytes = value_bytes(e->kind, e->top_bits);
	return e->bytes ? text_refusal(e) : "kind or range";
}

static struct counter_entry *entry_at(const struct counters *c, uint32_t i)
{
	return (struct counter_entry *)(void *)(c->base + entry_offset(i));
}

static bool is_there(const struct counters *c, const struct counter_entry *e)
{
	for (uint32_t i = 0; i < c->n; i++) {
		const struct counter_entry *other = entry_at(c, i);

		if (strncmp(e->name, other->name, sizeof(e->name)) == 0 &&
		    strncmp(e->labels, other->labels, sizeof(e->labels)) == 0)
			return true;
	}
	return false;
}

static int entry_add(struct counters *c, const struct counter_spec *spec, void **values,
		     struct error_text *error)
{
	struct counters_head *head = (struct counters_head *)(void *)c->base;
	struct counter_entry e;
	const char *bad = entry_fill(&e, spec);
	uint32_t need = (uint32_t)sizeof(e) + e.bytes, room = c->bytes - counters_used(c);

	if (bad)
		return error_set(error, HAVEN_EINVAL, "counter %.60s: its %s is not a proper one",
				 spec->name, bad);
	if (is_there(c, &e))
		return error_set(error, HAVEN_EEXIST, "counter %s{%s} is there already", e.name,
				 e.labels);
	if (need > room)
		return error_set(error, HAVEN_EFULL,
				 "no room for counter %s{%s}: it needs %u bytes, %u of %u are free",
				 e.name, e.labels, need, room, c->bytes);
	c->values_from -= e.bytes;
	e.offset = c->values_from;
	memcpy(entry_at(c, c->n), &e, sizeof(e));
	store_release(&head->n, ++c->n); /* D1 */
	*values = c->base + e.offset;
	return 0;
}

int counters_add(struct counters *c, const struct counter_spec *spec, uint64_t **value,
		 struct error_text *error)
{
	void *values;
	int status;

	HAVEN_ASSERT(spec->kind != COUNTER_HISTOGRAM);
	status = entry_add(c, spec, &values, error);
	if (!status)
		*value = values;
	return status;
}

int counters_add_histogram(struct counters *c, const struct counter_spec *spec,
			   struct histogram *out, struct error_text *error)
{
	void *values;
	int status;

	HAVEN_ASSERT(spec->kind == COUNTER_HISTOGRAM);
	status = entry_add(c, spec, &values, error);
	if (!status)
		*out = (struct histogram){.words = values,
					  .last = HISTOGRAM_BUCKETS(spec->top_bits) - 1};
	return status;
}

/* ---- readers --------------------------------------------------------------------------------- */

int counters_open(struct counters_view *v, const void *base, uint32_t bytes,
		  struct error_text *error)
{
	const struct counters_head *head = base;
	uint32_t n;

	*v = (struct counters_view){.base = base, .bytes = bytes};
	if (bytes < sizeof(*head) || load_acquire(&head->magic) != COUNTERS_MAGIC ||
	    load_relaxed(&head->bytes) != bytes)
		return error_set(error, HAVEN_ECORRUPT,
				 "the counters have no head, or one of another size than %u bytes",
				 bytes);
	n = load_acquire(&head->n); /* D1 */
	if (n > (bytes - sizeof(*head)) / sizeof(struct counter_entry))
		return error_set(error, HAVEN_ECORRUPT,
				 "the counters' head tells %u of them, %u bytes hold fewer", n,
				 bytes);
	v->n = n;
	return 0;
}

int counters_get(const struct counters_view *v, uint32_t i, struct counter_entry *out)
{
	if (i >= v->n)
		return -HAVEN_ENOENT;
	memcpy(out, v->base + entry_offset(i), sizeof(*out));
	if (text_refusal(out) || out->bytes == 0 ||
	    out->bytes != value_bytes(out->kind, out->top_bits) ||
	    out->offset % HAVEN_CACHE_LINE != 0 || out->offset < entry_offset(v->n) ||
	    (uint64_t)out->offset + out->bytes > v->bytes)
		return -HAVEN_ECORRUPT;
	return 0;
}

uint64_t counters_value(const struct counters_view *v, const struct counter_entry *entry)
{
	return load_relaxed((const uint64_t *)(const void *)(v->base + entry->offset));
}

void counters_histogram(const struct counters_view *v, const struct counter_entry *entry,
			struct histogram_copy *out)
{
	histogram_copy((const struct histogram_words *)(const void *)(v->base + entry->offset),
		       HISTOGRAM_BUCKETS(entry->top_bits), out);
}

const char *counter_label(const char *labels, char *key, char *value)
{
	size_t k = strcspn(labels, "="), n;

	if (!*labels)
		return NULL;
	snprintf(key, COUNTER_LABELS_MAX, "%.*s", (int)k, labels);
	labels += labels[k] ? k + 1 : k;
	n = strcspn(labels, ",");
	snprintf(value, COUNTER_LABELS_MAX, "%.*s", (int)n, labels);
	return labels + n + (labels[n] != 0);
}
