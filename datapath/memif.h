/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What memif devices need from outside, so that the processes at their ends may start, die and
 * start again in any order: DPDK's driver leaves its socket behind when it is killed and then
 * refuses to make it again, and its client end refuses to start while nobody listens.
 */
#ifndef HAVEN_MEMIF_H
#define HAVEN_MEMIF_H

#include <stdbool.h>

/** True for a device string of the client end. */
bool memif_is_client(const char *spec);
/** For a device string of the server end: remove a socket file that nobody listens on. */
void memif_socket_tidy(const char *spec);

#endif
