/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Start of a node where another one has run: a new registry that begins above the old one and holds
 * what is alive of it before anybody sees it.
 *
 *   1. the old file is opened, and what it has reached becomes the floor of the new one
 *   2. the new file is made beside it, and what is alive is adopted into it (adopt.h)
 *   3. the new file takes the name of the old one
 *
 * Killed anywhere, the next start finds either the old file or the new one, each of them whole.
 */
#ifndef HAVEN_RESTART_H
#define HAVEN_RESTART_H

#include "adopt.h"

struct haven_node;

/** Make the registry and the books of light components. Before the loop runs and before anybody is
 *  served; takes about a microsecond per component adopted. Errors: those of registry_create(),
 *  ENOMEM. */
int restart_registry(struct haven_node *n, struct error_text *error);
/** Tell what was taken over, once events can be told. */
void restart_tell(struct haven_node *n, uint64_t now);
/** Control thread, now and then: keep a number above the generations given out until the next time,
 *  for a start that finds the registry lost. May block. */
void restart_keep(struct haven_node *n);

#endif
