/* SPDX-License-Identifier: BSD-3-Clause */
/** What requests.c and requests_settle.c share. All under requests.lock. */
#ifndef HAVEN_CLIENT_REQUESTS_INNER_H
#define HAVEN_CLIENT_REQUESTS_INNER_H

#include "requests.h"

/** Read answers and tell them to who asked. */
void requests_hear(struct requests *q);
/** Push a copy; false: no room. */
bool requests_push(struct requests *q, const struct request *r, const struct requests_note *note);
/** Let go of the lock for a moment, longer when there were many `*looks` already. */
void requests_pause(struct requests *q, unsigned *looks);

#endif
