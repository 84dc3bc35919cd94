/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Make calls into the C library fail one by one. A test program names the functions with FAULT_…()
 * and its line in meson.build has them wrapped by the linker; then each call from the code under
 * test counts, and the calls fault_at … fault_at + fault_times - 1 fail with fault_errno.
 */
#ifndef HAVEN_TEST_FAULT_H
#define HAVEN_TEST_FAULT_H

#include <errno.h>
#include <stdbool.h>

static unsigned fault_calls, fault_at, fault_times;
static int fault_errno;

/** Let the `at`-th call from now (1, 2, …) fail, and so `times` calls in a row. */
static inline void fault_arm(unsigned at, unsigned times, int error)
{
	fault_calls = 0;
	fault_at = at;
	fault_times = times;
	fault_errno = error;
}

/** Stop failing; true if the call that was to fail came. */
static inline bool fault_disarm(void)
{
	bool came = fault_at && fault_calls >= fault_at;

	fault_at = 0;
	return came;
}

static inline bool fault_now(void)
{
	if (!fault_at)
		return false;
	fault_calls++;
	return fault_calls >= fault_at && fault_calls - fault_at < fault_times;
}

/** A function that fails by `bad` and errno. */
#define FAULT(type, bad, name, parameters, arguments)                                              \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		if (!fault_now())                                                                  \
			return __real_##name arguments;                                            \
		errno = fault_errno;                                                               \
		return bad;                                                                        \
	}

/** A function that returns the error. */
#define FAULT_RETURNED(name, parameters, arguments)                                                \
	int __real_##name parameters;                                                              \
	int __wrap_##name parameters;                                                              \
	int __wrap_##name parameters                                                               \
	{                                                                                          \
		return fault_now() ? fault_errno : __real_##name arguments;                        \
	}

#endif
