/* SPDX-License-Identifier: BSD-3-Clause */
/** Commands that go on until they are interrupted. */
#ifndef HAVENCTL_FOLLOW_H
#define HAVENCTL_FOLLOW_H

#include <stdbool.h>

/** New run directories and restarted nodes are looked for this often, in turns. */
#define FOLLOW_RESCAN_TURNS 50

/** From here on an interrupt ends the command in order. */
void follow_begin(void);
/** False: interrupted, or nobody reads our output any more. */
bool follow_on(void);
/** Wait for the next look, 2 ms. As follow_on(). */
bool follow_wait(void);

#endif
