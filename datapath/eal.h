/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * DPDK's environment for a stand-alone node: without root, NIC and hugepages unless asked for.
 * An embedded node finds it initialised by its host and needs only eal_calm_interrupts().
 */
#ifndef HAVEN_EAL_H
#define HAVEN_EAL_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

struct eal_options {
	const char *runtime_dir; /**< where DPDK makes its own folder `dpdk/PREFIX` */
	const char *prefix;      /**< names this process among others with the same folder */
	int cpu;                 /**< CPU of the poll loop (the calling thread is pinned to it) */
	uint32_t memory_mb;      /**< memory to reserve */
	bool hugepages;          /**< false: ordinary pages */
	bool pci;                /**< probe PCI devices, for NIC ports */
};

/**
 * Initialise DPDK; once in a process. The caller becomes its main thread. Messages of DPDK from
 * warnings up go to stderr. Errors: ESYS with DPDK's reason as a sentence.
 */
int eal_start(const struct eal_options *options, struct error_text *error);
/** Give DPDK's resources back. Nothing of it may be used afterwards. */
void eal_stop(void);
/** True when DPDK is initialised in this process, by whomever. */
bool eal_running(void);
/**
 * Bind DPDK's interrupt thread to the CPU of the poll loop at idle priority. memif takes a closed
 * connection's memory away in that thread; sharing the CPU below the poll loop, it runs only where
 * the loop yields, so never in the middle of a burst. Returns 0 or -ENOENT when there is no such
 * thread, -ESYS.
 */
int eal_calm_interrupts(int cpu);
/** What a value of rte_errno (or errno) means here, with the remedy where there is one. */
const char *eal_sentence(int code);

#endif
