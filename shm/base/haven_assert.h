/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Assertions for our own bugs, on in release builds. No input of any kind may reach one. They cost
 * one predictable branch. A failed one calls the hook (default: message on stderr, abort).
 */
#ifndef HAVEN_ASSERT_H_
#define HAVEN_ASSERT_H_

/** Replaceable by tests and by programs that must step down before they end. Must not return. */
extern void (*haven_assert_hook)(const char *expression, const char *file, int line);

__attribute__((noreturn, cold)) void haven_assert_fail(const char *expression, const char *file,
						       int line);

#define HAVEN_ASSERT(x)                                                                            \
	do {                                                                                       \
		if (__builtin_expect(!(x), 0))                                                     \
			haven_assert_fail(#x, __FILE__, __LINE__);                                 \
	} while (0)

#define HAVEN_STATIC_ASSERT(x, why) _Static_assert(x, why)
#define HAVEN_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
