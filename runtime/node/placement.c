/* SPDX-License-Identifier: BSD-3-Clause */
#include "placement.h"

#include <errno.h>
#include <hwloc.h>
#include <stdlib.h>
#include <string.h>

static int topology_load(hwloc_topology_t *out, struct error_text *error)
{
	if (hwloc_topology_init(out) != 0)
		return error_set(error, HAVEN_ENOMEM, "no memory for the machine's topology");
	hwloc_topology_set_all_types_filter(*out, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
	hwloc_topology_set_io_types_filter(*out, HWLOC_TYPE_FILTER_KEEP_NONE);
	if (hwloc_topology_load(*out) != 0) {
		hwloc_topology_destroy(*out);
		return error_set(error, HAVEN_ESYS, "cannot read the machine's topology: %s",
				 strerror(errno));
	}
	return 0;
}

/* The n-th of the allowed units, first units of all cores before second ones. */
static int pick(hwloc_topology_t topology, hwloc_const_cpuset_t allowed, unsigned n)
{
	unsigned count = (unsigned)hwloc_bitmap_weight(allowed);
	hwloc_obj_t core = NULL;
	unsigned seen = 0;

	if (count == 0)
		return -1;
	n %= count;
	for (int sibling = 0; sibling < 64 && seen < count; sibling++) {
		while ((core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core))) {
			int pu = hwloc_bitmap_first(core->cpuset);

			for (int i = 0; i < sibling && pu >= 0; i++)
				pu = hwloc_bitmap_next(core->cpuset, pu);
			if (pu >= 0 && hwloc_bitmap_isset(allowed, (unsigned)pu) && seen++ == n)
				return pu;
		}
	}
	/* No cores are known: some virtual machines tell of units alone. */
	int pu = hwloc_bitmap_first(allowed);

	for (unsigned i = 0; i < n; i++)
		pu = hwloc_bitmap_next(allowed, pu);
	return pu;
}

int placement_cpu(int wanted, unsigned index, struct error_text *error)
{
	hwloc_topology_t topology;
	hwloc_bitmap_t allowed;
	char *list = NULL;
	int cpu, err;

	err = topology_load(&topology, error);
	if (err)
		return err;
	allowed = hwloc_bitmap_alloc();
	if (hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_PROCESS) != 0 ||
	    hwloc_bitmap_iszero(allowed))
		hwloc_bitmap_copy(allowed, hwloc_topology_get_allowed_cpuset(topology));
	if (wanted < 0)
		cpu = pick(topology, allowed, index);
	else
		cpu = hwloc_bitmap_isset(allowed, (unsigned)wanted) ? wanted : -1;
	if (cpu < 0) {
		hwloc_bitmap_list_asprintf(&list, allowed);
		cpu = error_set(error, HAVEN_EINVAL,
				"CPU %d is not one this process may use; remedy: choose one of %s, "
				"or leave 'cpu' out",
				wanted, list ? list : "its own");
		free(list);
	}
	hwloc_bitmap_free(allowed);
	hwloc_topology_destroy(topology);
	return cpu;
}

int placement_numa_node(int cpu)
{
	struct error_text ignored;
	hwloc_topology_t topology;
	hwloc_bitmap_t cpus, nodes;
	int node = -1;

	if (cpu < 0 || topology_load(&topology, &ignored) != 0)
		return -1;
	cpus = hwloc_bitmap_alloc();
	nodes = hwloc_bitmap_alloc();
	hwloc_bitmap_only(cpus, (unsigned)cpu);
	hwloc_cpuset_to_nodeset(topology, cpus, nodes);
	if (hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE) > 1)
		node = hwloc_bitmap_first(nodes);
	hwloc_bitmap_free(nodes);
	hwloc_bitmap_free(cpus);
	hwloc_topology_destroy(topology);
	return node;
}

void placement_memory(int cpu)
{
	struct error_text ignored;
	hwloc_topology_t topology;
	hwloc_bitmap_t set;

	if (topology_load(&topology, &ignored) != 0)
		return;
	set = hwloc_bitmap_alloc();
	hwloc_bitmap_only(set, (unsigned)cpu);
	/* Not strict: a full node is no reason to stop. */
	hwloc_set_membind(topology, set, HWLOC_MEMBIND_BIND, HWLOC_MEMBIND_THREAD);
	hwloc_bitmap_free(set);
	hwloc_topology_destroy(topology);
}
