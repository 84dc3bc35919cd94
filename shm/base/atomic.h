/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Atomics whose names say the order; the only place that names memory orders.
 *
 * All work on plain aligned integers, because the words live in shared memory mapped by programs
 * of other builds. A release store is paired with an acquire load of the same word: what was
 * written before the store is seen after the load. Call sites name their partner with a label.
 */
#ifndef HAVEN_ATOMIC_H
#define HAVEN_ATOMIC_H

#define HAVEN_CACHE_LINE 64

#define load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define load_seq(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define store_seq(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define sub_fetch_acq_rel(p, v) __atomic_sub_fetch((p), (v), __ATOMIC_ACQ_REL)
#define fetch_add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define cas_acq_rel(p, expected, desired)                                                          \
	__atomic_compare_exchange_n((p), (expected), (desired), 0, __ATOMIC_ACQ_REL,               \
				    __ATOMIC_ACQUIRE)
/** Orders earlier loads before later loads (a reader's second look at a version word). */
#define fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
/** Orders earlier stores before later stores (a writer's version word before its data). */
#define fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
/** Orders everything, a store before a later load included. */
#define fence_seq() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/** Politeness inside a spin. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

#endif
