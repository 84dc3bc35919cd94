/* SPDX-License-Identifier: BSD-3-Clause */
/** What is wrong, worst first, and what it means for each instance. */
#ifndef HAVENCTL_VERDICT_H
#define HAVENCTL_VERDICT_H

#include <jansson.h>

#include "session.h"

/**
 * Adds `verdict`, `exit` and `problems` to `data`, and `redundancy` ("whole", "syncing", "none",
 * "unserved") and `text` to each object of `instances`. Returns the exit code of the verdict.
 * May look at a gate several times, 20 ms at most, before it calls it shut.
 */
int verdict_make(const struct session *s, json_t *data, json_t *instances);

#endif
