/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the commands show, as JSON: flat lists of objects that name each other, one list per kind.
 * `status` puts them all into one object; the list commands print one of them.
 */
#ifndef HAVENCTL_MODEL_H
#define HAVENCTL_MODEL_H

#include <jansson.h>

#include "session.h"

/** Nodes as text and JSON name them: masks become lists of names. */
json_t *model_names(const struct node *n, uint32_t mask);
/** The node whose word counts: running, with the newest view; else the one that spoke last. */
const struct node *model_authority(const struct session *s);
/** The visible node with this name, NULL when its registry is not among those read. */
const struct node *model_visible(const struct session *s, const char *name);
/** For instance `i`: the running holder itself if visible, else the authority. */
const struct node *model_witness_of(const struct session *s, unsigned i);

json_t *model_registries(const struct session *s);
json_t *model_nodes(const struct session *s);
json_t *model_peers(const struct session *s);
json_t *model_instances(const struct session *s);
json_t *model_components(const struct session *s);
/** One component as model_components() has it. */
json_t *model_component(const struct node *n, const struct registry_component *c);
json_t *model_gates(const struct session *s);
json_t *model_lanes(const struct session *s);
/** One object per checkpoint and node that has it, its lanes inside (model_checkpoint.c). */
json_t *model_checkpoints(const struct session *s);
/** "table", "log" and so on; "?" when there is none such. */
const char *model_checkpoint_kind(unsigned kind);
const char *model_checkpoint_mode(unsigned mode);

const char *model_role_name(unsigned role);
/** "primary" and so on of a component, joined from its gates: "nat0=primary". */
json_t *model_component_roles(const struct node *n, const struct registry_component *c);

#endif
