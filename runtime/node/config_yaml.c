/* SPDX-License-Identifier: BSD-3-Clause */
#include "config_yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "haven_assert.h"

#define KEYS_MAX 32
#define DURATION_MAX_NS 60000000000ull

void config_note(struct config *c, bool warning, struct config_mark mark, const char *remedy,
		 const char *reason, ...)
{
	struct config_finding *f;
	va_list args;

	if (warning)
		c->warnings++;
	else
		c->errors++;
	if (c->n_findings == CONFIG_FINDINGS_MAX)
		return;
	f = &c->finding[c->n_findings++];
	f->warning = warning;
	f->mark = mark;
	va_start(args, reason);
	vsnprintf(f->reason, sizeof(f->reason), reason, args);
	va_end(args);
	snprintf(f->remedy, sizeof(f->remedy), "%s", remedy ? remedy : "");
}

/* Distance of two words in single changes (Levenshtein); words longer than a name are far. */
static unsigned word_distance(const char *a, const char *b)
{
	unsigned row[HAVEN_NAME_MAX + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > HAVEN_NAME_MAX || m > HAVEN_NAME_MAX)
		return HAVEN_NAME_MAX;
	for (unsigned j = 0; j <= m; j++)
		row[j] = j;
	for (unsigned i = 1; i <= n; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= m; j++) {
			unsigned change = diagonal + (a[i - 1] != b[j - 1]);
			unsigned insert = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = change < insert ? change : insert;
		}
	}
	return row[m];
}

/* Two words that differ in every place are not near, however short. */
static size_t longer(const char *a, const char *b)
{
	return strlen(a) > strlen(b) ? strlen(a) : strlen(b);
}

const char *config_nearest(const char *word, const char *const *names, unsigned n)
{
	unsigned best = (unsigned)strlen(word) / 3 + 1;
	const char *nearest = NULL;

	for (unsigned i = 0; i < n; i++) {
		unsigned distance = word_distance(word, names[i]);

		if (distance <= best && distance < longer(word, names[i])) {
			best = distance ? distance - 1 : 0;
			nearest = names[i];
		}
	}
	return nearest;
}

struct config_mark config_mark_of(const yaml_node_t *node)
{
	return (struct config_mark){.line = (uint32_t)node->start_mark.line + 1,
				    .column = (uint32_t)node->start_mark.column + 1};
}

const char *config_scalar(struct config_reader *r, yaml_node_t *node, const char *what)
{
	const char *text;

	if (node->type != YAML_SCALAR_NODE) {
		config_note(r->config, false, config_mark_of(node), NULL,
			    "%s must be a single value, not a %s", what,
			    node->type == YAML_MAPPING_NODE ? "mapping" : "list");
		return NULL;
	}
	text = (const char *)node->data.scalar.value;
	if (!*text || strlen(text) != node->data.scalar.length) {
		config_note(r->config, false, config_mark_of(node), NULL, "%s is %s", what,
			    *text ? "not plain text" : "empty");
		return NULL;
	}
	return text;
}

static void note_unknown_key(struct config_reader *r, yaml_node_t *key, const char *what,
			     const struct config_key *keys, unsigned n_keys)
{
	const char *name = (const char *)key->data.scalar.value, *nearest;
	const char *names[KEYS_MAX];
	char remedy[320];
	int n;

	for (unsigned i = 0; i < n_keys; i++)
		names[i] = keys[i].name;
	nearest = config_nearest(name, names, n_keys);
	if (nearest) {
		snprintf(remedy, sizeof(remedy), "did you mean '%s'?", nearest);
	} else {
		n = snprintf(remedy, sizeof(remedy), "the keys here are");
		for (unsigned i = 0; i < n_keys && n < (int)sizeof(remedy); i++)
			n += snprintf(remedy + n, sizeof(remedy) - (size_t)n, "%s %s", i ? "," : "",
				      names[i]);
	}
	config_note(r->config, false, config_mark_of(key), remedy, "unknown key '%.40s' in %s",
		    name, what);
}

static int key_index(const char *name, const struct config_key *keys, unsigned n_keys)
{
	for (unsigned i = 0; i < n_keys; i++) {
		if (strcmp(name, keys[i].name) == 0)
			return (int)i;
	}
	return -1;
}

void config_mapping(struct config_reader *r, yaml_node_t *node, const char *what,
		    const struct config_key *keys, unsigned n_keys)
{
	struct config_mark seen[KEYS_MAX] = {{0}};

	HAVEN_ASSERT(n_keys <= KEYS_MAX);
	if (node->type != YAML_MAPPING_NODE) {
		config_note(r->config, false, config_mark_of(node), "write 'key: value' lines",
			    "%s must be a mapping", what);
		return;
	}
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
	     p++) {
		yaml_node_t *key = yaml_document_get_node(&r->document, p->key);
		yaml_node_t *value = yaml_document_get_node(&r->document, p->value);
		const char *name = config_scalar(r, key, "a key");
		int i = name ? key_index(name, keys, n_keys) : -1;

		if (!name)
			continue;
		if (i < 0) {
			note_unknown_key(r, key, what, keys, n_keys);
		} else if (seen[i].line) {
			config_note(r->config, false, config_mark_of(key), "keep one of them",
				    "'%s' is given twice in %s, first in line %u", name, what,
				    seen[i].line);
		} else {
			seen[i] = config_mark_of(key);
			keys[i].take(r, value);
		}
	}
	for (unsigned i = 0; i < n_keys; i++) {
		if (keys[i].required && !seen[i].line)
			config_note(r->config, false, config_mark_of(node), keys[i].remedy,
				    "'%s' is missing in %s", keys[i].name, what);
	}
}

void config_sequence(struct config_reader *r, yaml_node_t *node, const char *what, unsigned max,
		     void (*take)(struct config_reader *r, yaml_node_t *item))
{
	unsigned n = 0;

	if (node->type != YAML_SEQUENCE_NODE) {
		config_note(r->config, false, config_mark_of(node), "write a list: [x, y] or '- x'",
			    "%s must be a list", what);
		return;
	}
	for (yaml_node_item_t *i = node->data.sequence.items.start;
	     i < node->data.sequence.items.top; i++) {
		yaml_node_t *item = yaml_document_get_node(&r->document, *i);

		if (n++ == max) {
			config_note(r->config, false, config_mark_of(item), NULL,
				    "too many %s: at most %u are possible", what, max);
			return;
		}
		take(r, item);
	}
}

bool config_name(struct config_reader *r, yaml_node_t *node, const char *what,
		 char out[HAVEN_NAME_MAX])
{
	const char *text = config_scalar(r, node, what);
	size_t n = text ? strlen(text) : 0;

	if (!text)
		return false;
	if (n >= HAVEN_NAME_MAX || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.-") != n) {
		config_note(r->config, false, config_mark_of(node),
			    "use 1 to 31 characters of a-z 0-9 _ . -", "%s '%.40s' is not a name",
			    what, text);
		return false;
	}
	memcpy(out, text, n + 1);
	return true;
}

bool config_text(struct config_reader *r, yaml_node_t *node, const char *what, char *out,
		 size_t size)
{
	const char *text = config_scalar(r, node, what);
	size_t n = text ? strlen(text) : 0;

	if (!text)
		return false;
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
			config_note(r->config, false, config_mark_of(node), NULL,
				    "%s has a control character", what);
			return false;
		}
	}
	if (n >= size) {
		config_note(r->config, false, config_mark_of(node), NULL,
			    "%s is %zu bytes long, at most %zu are possible", what, n, size - 1);
		return false;
	}
	memcpy(out, text, n + 1);
	return true;
}

bool config_path(struct config_reader *r, yaml_node_t *node, const char *what, char *out,
		 size_t size)
{
	char text[CONFIG_PATH_MAX];
	int n;

	if (!config_text(r, node, what, text, sizeof(text)))
		return false;
	n = text[0] == '/' ? snprintf(out, size, "%s", text)
			   : snprintf(out, size, "%s/%s", r->config->folder, text);
	if (n >= (int)size) {
		config_note(r->config, false, config_mark_of(node), "use a shorter path",
			    "%s is %d bytes long with its folder, at most %zu are possible", what,
			    n, size - 1);
		return false;
	}
	return true;
}

bool config_duration(struct config_reader *r, yaml_node_t *node, const char *what, uint64_t *out)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
	const char *text = config_scalar(r, node, what);
	char *end = NULL;
	double value;

	if (!text)
		return false;
	value = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : -1;
	for (unsigned i = 0; end && i < HAVEN_ARRAY_LEN(units); i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		value *= units[i].ns;
		if (!(value >= 1 && value <= (double)DURATION_MAX_NS))
			break;
		*out = (uint64_t)(value + 0.5);
		return true;
	}
	config_note(r->config, false, config_mark_of(node),
		    "write a number with its unit, 1ns to 60s: 500us, 5ms, 1s",
		    "%s '%.40s' is not a duration", what, text);
	return false;
}

bool config_number(struct config_reader *r, yaml_node_t *node, const char *what, uint64_t min,
		   uint64_t max, uint64_t *out)
{
	const char *text = config_scalar(r, node, what);
	unsigned long long value;
	char *end = NULL;

	if (!text)
		return false;
	errno = 0;
	value = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
	if (!end || *end || errno || value < min || value > max) {
		config_note(r->config, false, config_mark_of(node), NULL,
			    "%s '%.40s' is not a whole number from %llu to %llu", what, text,
			    (unsigned long long)min, (unsigned long long)max);
		return false;
	}
	*out = value;
	return true;
}

bool config_bytes(struct config_reader *r, yaml_node_t *node, const char *what, uint64_t max,
		  uint64_t *out)
{
	const char *text = config_scalar(r, node, what);
	unsigned long long value = 0, unit = 0;
	char *end = NULL;

	if (!text)
		return false;
	errno = 0;
	if (text[0] >= '0' && text[0] <= '9')
		value = strtoull(text, &end, 10);
	if (end)
		unit = !*end                 ? 1
		       : !strcmp(end, "KiB") ? 1024
		       : !strcmp(end, "MiB") ? 1024 * 1024
					     : 0;
	if (errno || unit == 0 || value == 0 || value > max / unit) {
		config_note(r->config, false, config_mark_of(node),
			    "write a number of bytes, bare or with its unit: 65536, 64KiB, 1MiB",
			    "%s '%.40s' is not a size from 1 to %llu bytes", what, text,
			    (unsigned long long)max);
		return false;
	}
	*out = value * unit;
	return true;
}

int config_word(struct config_reader *r, yaml_node_t *node, const char *what,
		const char *const *words, unsigned n_words)
{
	const char *text = config_scalar(r, node, what), *nearest;
	char remedy[160];
	int n;

	for (unsigned i = 0; text && i < n_words; i++) {
		if (strcmp(text, words[i]) == 0)
			return (int)i;
	}
	if (!text)
		return -1;
	nearest = config_nearest(text, words, n_words);
	n = nearest ? snprintf(remedy, sizeof(remedy), "did you mean '%s'? use", nearest)
		    : snprintf(remedy, sizeof(remedy), "use");
	for (unsigned i = 0; i < n_words && n < (int)sizeof(remedy); i++)
		n += snprintf(remedy + n, sizeof(remedy) - (size_t)n, "%s %s", i ? " |" : "",
			      words[i]);
	config_note(r->config, false, config_mark_of(node), remedy, "%s cannot be '%.40s'", what,
		    text);
	return -1;
}

bool config_boolean(struct config_reader *r, yaml_node_t *node, const char *what, bool *out)
{
	static const char *const words[] = {"false", "true", "no", "yes"};
	int word = config_word(r, node, what, words, HAVEN_ARRAY_LEN(words));

	*out = word >= 0 && word % 2 == 1;
	return word >= 0;
}
