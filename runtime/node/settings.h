/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What of the configuration may change while the node runs: how the loop idles, when a silent
 * application is taken for stuck, and the cluster keys. Everything else (nodes, groups, timers that
 * the peers count on) needs a restart.
 *
 * The control thread reads the file anew and publishes a new set as a whole. The poll loop reads it
 * as a quiescent-state reader (liburcu's qsbr flavour: no store, no fence on reading), so it is
 * never blocked by a reload and never sees half of one.
 */
#ifndef HAVEN_SETTINGS_H
#define HAVEN_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "auth_key.h"
#include "error.h"

struct haven_node;

/** Immutable while it is published. */
struct settings {
	bool busy;         /**< never yield the CPU */
	uint64_t stuck_ns; /**< a primary's worker silent for longer is stuck */
	uint32_t number;   /**< 0: the first set, whose keys are those the node began with */
	struct auth_keys keys;
};

/** Poll thread, before the control thread starts: publish the first set and become a reader.
 *  Errors: ENOMEM. */
int settings_begin(struct haven_node *n, struct error_text *error);
/** Poll thread, after the control thread has ended. */
void settings_end(struct haven_node *n);
/** Poll thread: the set in force, valid until settings_quiescent(). */
const struct settings *settings_now(const struct haven_node *n);
/** Poll thread, once per turn: take over what is not looked up each time (the keys). */
void settings_follow(struct haven_node *n);
/** Poll thread, once per turn: whatever settings_now() gave before is not used any more. */
void settings_quiescent(void);
/** Control thread: read the file again; what is wrong or needs a restart is reported, and the old
 *  set stays in force if the file is refused. Errors: ECONFIG, ENOMEM, those of
 *  auth_keys_load(). */
int settings_reload(struct haven_node *n);

#endif
