/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What happened last: the newest change of who serves an instance, its cause, and how long each
 * step took, put together from the event rings of the nodes of this machine. They share one
 * clock, so their events can be ordered exactly.
 */
#ifndef HAVENCTL_STORY_H
#define HAVENCTL_STORY_H

#include <jansson.h>

#include "session.h"

/** The last change as JSON (see the manual page, "last_change"), or JSON null. */
json_t *story_make(const struct session *s);
/** One event as JSON: what `events --json` prints and what a step of a story is made of. */
json_t *story_event(const struct node *n, const struct event *e);
/** Sentence of an event with the names that `n` knows. */
void story_sentence(const struct node *n, const struct event *e, char *text, size_t size);

#endif
