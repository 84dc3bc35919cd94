/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The run directory: owned by one living node at a time; it keeps the few numbers that must grow
 * over restarts.
 */
#ifndef HAVEN_RUN_DIR_H
#define HAVEN_RUN_DIR_H

#include <stdint.h>

#include "error.h"

#define RUN_DIR_LOCK "lock"
#define RUN_DIR_INCARNATION "incarnation"
#define RUN_DIR_EPOCH "epoch"
#define RUN_DIR_GENERATION "generation"

/**
 * Make the directory (0750) if it is missing and lock it for this process's life; the kernel lifts
 * the lock when the process ends, however it ends. Returns the descriptor of the lock.
 * Errors: EEXIST (another node holds it, its pid is named), EPERM, ESYS.
 */
int run_dir_take(const char *run_dir, struct error_text *error);
/** A number kept in the directory, 0 when there is none. */
uint64_t run_dir_recall(const char *run_dir, const char *name);
/** Keep a number: written aside, then renamed over the old one. May block. Errors: ESYS. */
int run_dir_keep(const char *run_dir, const char *name, uint64_t value);

#endif
