/* SPDX-License-Identifier: BSD-3-Clause */
#include "eal.h"

#include <dirent.h>
#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EAL_ARGS_MAX 24
#define EAL_ARG_BYTES 160

struct eal_args {
	int n;
	bool cut; /* an argument did not fit */
	char *argv[EAL_ARGS_MAX + 1];
	char text[EAL_ARGS_MAX][EAL_ARG_BYTES];
};

__attribute__((format(printf, 2, 3))) static void args_add(struct eal_args *a, const char *format,
							   ...)
{
	va_list list;
	int n;

	if (a->n == EAL_ARGS_MAX) {
		a->cut = true;
		return;
	}
	va_start(list, format);
	n = vsnprintf(a->text[a->n], EAL_ARG_BYTES, format, list);
	va_end(list);
	a->cut = a->cut || n < 0 || n >= EAL_ARG_BYTES;
	a->argv[a->n] = a->text[a->n];
	a->n++;
}

static void args_build(struct eal_args *a, const struct eal_options *o)
{
	memset(a, 0, sizeof(*a));
	args_add(a, "haven");
	args_add(a, "--lcores=0@%d", o->cpu);
	args_add(a, "--file-prefix=%s", o->prefix);
	args_add(a, "-m%u", o->memory_mb);
	if (!o->hugepages)
		args_add(a, "--no-huge");
	if (!o->pci)
		args_add(a, "--no-pci");
	args_add(a, "--no-telemetry");
	args_add(a, "--log-level=warning");
}

const char *eal_sentence(int code)
{
	switch (code < 0 ? -code : code) {
	case EACCES:
	case EPERM:
		return "permission denied; remedy: run as the owner of the run directory, or with "
		       "CAP_NET_RAW for af_packet ports";
	case EAGAIN:
		return "a resource was busy; remedy: try again";
	case EALREADY:
		return "DPDK is initialised already, or failed once in this process";
	case ENODEV:
	case ENOENT:
		return "no such device or interface";
	case EEXIST:
		return "a device of this name exists already";
	case EINVAL:
		return "DPDK does not accept these arguments";
	case ENOMEM:
		return "not enough memory; remedy: free memory, raise the memory limit of the "
		       "process, or mount hugepages if they are configured";
	case ENOTSUP:
		return "not supported by this driver or system";
	case EADDRINUSE:
		return "the address or socket is in use by another process";
	case ENAMETOOLONG:
		return "a path is too long for a socket; remedy: use a shorter run directory";
	case ENOEXEC:
		return "this CPU lacks an instruction set that DPDK was built for";
	default:
		return strerror(code < 0 ? -code : code);
	}
}

/* DPDK takes its run directory from the environment; what the caller had there is put back. */
static int eal_init_in(const char *runtime_dir, int argc, char **argv)
{
	static const char *const names[] = {"RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"};
	char *before[2];
	int result;

	for (unsigned i = 0; i < 2; i++) {
		const char *value = getenv(names[i]);

		before[i] = value ? strdup(value) : NULL;
		setenv(names[i], runtime_dir, 1);
	}
	result = rte_eal_init(argc, argv);
	for (unsigned i = 0; i < 2; i++) {
		if (before[i])
			setenv(names[i], before[i], 1);
		else
			unsetenv(names[i]);
		free(before[i]);
	}
	return result;
}

int eal_start(const struct eal_options *options, struct error_text *error)
{
	/* DPDK keeps pointers to its arguments. */
	static struct eal_args args;
	int result;

	args_build(&args, options);
	if (args.cut)
		return error_set(error, HAVEN_EINVAL, "DPDK's arguments are too long");
	rte_openlog_stream(stderr);
	result = eal_init_in(options->runtime_dir, args.n, args.argv);
	if (result < 0)
		return error_set(error, HAVEN_ESYS, "DPDK did not start: %s",
				 eal_sentence(rte_errno));
	return eal_calm_interrupts(options->cpu) == -HAVEN_ESYS
		       ? error_set(error, HAVEN_ESYS,
				   "cannot bind DPDK's interrupt thread to CPU %d: %s",
				   options->cpu, strerror(errno))
		       : 0;
}

void eal_stop(void)
{
	rte_eal_cleanup();
}

bool eal_running(void)
{
	/* Both are set by rte_eal_init() alone; a failed start leaves no main core. */
	return rte_eal_get_runtime_dir()[0] != '\0' && rte_lcore_count() > 0;
}

/* Thread id of the thread with this name, 0: none. */
static pid_t thread_find(const char *name)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	pid_t found = 0;

	while (dir && !found && (entry = readdir(dir))) {
		char path[64], comm[32] = "";
		FILE *f;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", entry->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f)) {
			comm[strcspn(comm, "\n")] = '\0';
			if (strcmp(comm, name) == 0)
				found = (pid_t)strtol(entry->d_name, NULL, 10);
		}
		fclose(f);
	}
	if (dir)
		closedir(dir);
	return found;
}

int eal_calm_interrupts(int cpu)
{
	const struct sched_param idle = {.sched_priority = 0};
	pid_t tid = thread_find("eal-intr-thread");
	cpu_set_t set;

	if (!tid)
		return -HAVEN_ENOENT;
	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	if (sched_setaffinity(tid, sizeof(set), &set) != 0 ||
	    sched_setscheduler(tid, SCHED_IDLE, &idle) != 0)
		return -HAVEN_ESYS;
	return 0;
}
