/* SPDX-License-Identifier: BSD-3-Clause */
#include "crash.h"

const struct crash_op crash_client_ops[] = {{.name = NULL}};
