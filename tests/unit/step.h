/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Interrupt a piece of code after its n-th instruction, for every n, exactly: the processor's trap
 * flag raises SIGTRAP after each instruction, and the handler lets another "process" act when the
 * number comes up. x86-64 only; elsewhere step_possible() is false.
 */
#ifndef HAVEN_TEST_STEP_H
#define HAVEN_TEST_STEP_H

#include <criterion/criterion.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#define STEP_FLAG 0x100 /* of the flags register */

static uint64_t step_count, step_at;
static void (*step_act)(void);

static inline bool step_possible(void)
{
#if defined(__x86_64__)
	return true;
#else
	return false;
#endif
}

static inline void step_trapped(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	if (++step_count != step_at)
		return;
	step_act();
#if defined(__x86_64__)
	/* The rest runs at full speed. */
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)STEP_FLAG;
#else
	(void)context;
#endif
}

static inline void step_flag(bool on)
{
#if defined(__x86_64__)
	/* Past the red zone, in which the compiler may keep what is live. */
	if (on)
		__asm__ volatile(
			"lea -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\t"
			"lea 128(%%rsp), %%rsp" ::
				: "cc", "memory");
	else
		__asm__ volatile(
			"lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\t"
			"lea 128(%%rsp), %%rsp" ::
				: "cc", "memory");
#else
	(void)on;
#endif
}

/** The handler alone, for who sets the flag himself. */
static inline void step_arm(void)
{
	struct sigaction action = {.sa_sigaction = step_trapped, .sa_flags = SA_SIGINFO};

	cr_assert_eq(sigaction(SIGTRAP, &action, NULL), 0);
}

/** Run `body` and, after its instruction number `at` (1, 2, …), `act` once. False when the body has
 *  fewer instructions: then `act` did not run. */
static inline bool step_run(void (*body)(void), uint64_t at, void (*act)(void))
{
	step_count = 0;
	step_at = at;
	step_act = act;
	step_arm();
	step_flag(true);
	body();
	step_flag(false);
	return step_count >= at;
}

#endif
