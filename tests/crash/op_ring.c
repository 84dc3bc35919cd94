/* SPDX-License-Identifier: BSD-3-Clause */
#include "crash.h"

const struct crash_op crash_ring_ops[] = {{.name = NULL}};
