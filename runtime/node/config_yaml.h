/* SPDX-License-Identifier: BSD-3-Clause */
/** Reading typed values out of a YAML document, every mistake noted at its place. */
#ifndef HAVEN_CONFIG_YAML_H
#define HAVEN_CONFIG_YAML_H

#include <yaml.h>

#include "config.h"

struct config_reader {
	struct config *config;
	yaml_document_t document;
	struct config_node *node;   /**< being read */
	struct config_group *group; /**< being read */
};

/** A key that a mapping may have. */
struct config_key {
	const char *name;
	void (*take)(struct config_reader *r, yaml_node_t *value);
	bool required;
	const char *remedy; /**< when it is required and missing */
};

struct config_mark config_mark_of(const yaml_node_t *node);
/** Text of a scalar, NULL (noted) when it is not one or empty. `what` names it in the reason. */
const char *config_scalar(struct config_reader *r, yaml_node_t *node, const char *what);
/** Hand each value of a mapping to its key's function; unknown, repeated and missing keys are
 *  noted. `what` names the mapping. */
void config_mapping(struct config_reader *r, yaml_node_t *node, const char *what,
		    const struct config_key *keys, unsigned n_keys);
/** Call `take` for each of at most `max` items of a sequence. */
void config_sequence(struct config_reader *r, yaml_node_t *node, const char *what, unsigned max,
		     void (*take)(struct config_reader *r, yaml_node_t *item));
/** A name: 1…31 bytes of [a-z0-9_.-]. False when noted. */
bool config_name(struct config_reader *r, yaml_node_t *node, const char *what,
		 char out[HAVEN_NAME_MAX]);
/** A string of at most `size` - 1 bytes, no control characters. False when noted. */
bool config_text(struct config_reader *r, yaml_node_t *node, const char *what, char *out,
		 size_t size);
/** A path; a relative one is taken from the folder of the configuration file. */
bool config_path(struct config_reader *r, yaml_node_t *node, const char *what, char *out,
		 size_t size);
/** A number with a unit ns, us, ms or s; 1 ns to 60 s. */
bool config_duration(struct config_reader *r, yaml_node_t *node, const char *what, uint64_t *out);
bool config_number(struct config_reader *r, yaml_node_t *node, const char *what, uint64_t min,
		   uint64_t max, uint64_t *out);
/** A number of bytes, 1…`max`, bare or with a unit KiB or MiB. */
bool config_bytes(struct config_reader *r, yaml_node_t *node, const char *what, uint64_t max,
		  uint64_t *out);
bool config_boolean(struct config_reader *r, yaml_node_t *node, const char *what, bool *out);
/** One of `words`; its index, or -1 when noted. */
int config_word(struct config_reader *r, yaml_node_t *node, const char *what,
		const char *const *words, unsigned n_words);

/** One port of `r->node` (config_port.c). */
void config_port_take(struct config_reader *r, yaml_node_t *node);

/** config_registry.c: the value of the key `registry`. */
void config_take_registry(struct config_reader *r, yaml_node_t *v);

/** config_fence.c: the values of the keys `two_voters` and `fence`. */
void config_take_two_voters(struct config_reader *r, yaml_node_t *v);
void config_take_fence(struct config_reader *r, yaml_node_t *v);

#endif
