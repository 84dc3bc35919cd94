/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flips one bit in the table of a living process, as bad memory would: of an entry in use, picked
 * by a number, the key or the number of its record.
 *
 * usage: haven-flip PID key|seq NUMBER
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "table_place.h"

struct victim {
	int memory;         /**< of the process */
	uint64_t address;   /**< of the segment there */
	struct table table; /**< over a copy of it */
};

static int fail(const char *why)
{
	fprintf(stderr, "haven-flip: %s\n", why);
	return 1;
}

/* The first memory file among the mappings that begins as a checkpoint segment does. */
static bool find_segment(struct victim *v, FILE *maps, struct table_header *header)
{
	char line[512];

	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "memfd:") || sscanf(line, "%" SCNx64, &v->address) != 1)
			continue;
		if (pread(v->memory, header, sizeof(*header), (off_t)v->address) ==
			    (ssize_t)sizeof(*header) &&
		    header->magic == TABLE_MAGIC)
			return true;
	}
	return false;
}

static bool copy_segment(struct victim *v, const struct table_header *header)
{
	struct table_geometry g;
	struct error_text error;
	uint64_t done = 0;

	if (table_geometry_make(&header->shape, &g, &error))
		return false;
	v->table = (struct table){.geometry = g, .base = malloc(g.total_bytes)};
	while (v->table.base && done < g.total_bytes) {
		ssize_t n = pread(v->memory, v->table.base + done, g.total_bytes - done,
				  (off_t)(v->address + done));

		if (n <= 0)
			return false;
		done += (uint64_t)n;
	}
	return v->table.base != NULL;
}

static bool flip(const struct victim *v, bool key, uint32_t number)
{
	struct table_place p = table_place(&v->table, 0);

	for (uint32_t k = 0; k < p.g->lane_entries; k++) {
		uint32_t index = (number + k) % p.g->lane_entries + 1;
		struct table_entry *e = table_place_entry(&p, index);
		/* A high bit of the number: no later record can pass it. */
		uint8_t *byte = key ? e->data : (uint8_t *)&e->seq + 7;
		uint8_t value = *byte ^ 1;

		if (!e->seq)
			continue;
		return pwrite(v->memory, &value, 1,
			      (off_t)(v->address + (uint64_t)(byte - v->table.base))) == 1;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct victim v = {0};
	struct table_header header;
	char path[64];
	FILE *maps;
	bool done;

	if (argc != 4 || (strcmp(argv[2], "key") && strcmp(argv[2], "seq")))
		return fail("usage: haven-flip PID key|seq NUMBER"), 2;
	snprintf(path, sizeof(path), "/proc/%d/mem", atoi(argv[1]));
	v.memory = open(path, O_RDWR);
	snprintf(path, sizeof(path), "/proc/%d/maps", atoi(argv[1]));
	maps = fopen(path, "r");
	if (v.memory < 0 || !maps)
		return fail("the process's memory cannot be opened");
	if (!find_segment(&v, maps, &header) || !copy_segment(&v, &header))
		return fail("the process has no checkpoint");
	done = flip(&v, strcmp(argv[2], "key") == 0, (uint32_t)strtoul(argv[3], NULL, 10));
	fclose(maps);
	close(v.memory);
	free(v.table.base);
	return done ? 0 : fail("no entry is in use");
}
