/* SPDX-License-Identifier: BSD-3-Clause */
#include "lookup.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "prng.h"

void lookup_name(struct registry_key *key, uint32_t number)
{
	char name[HAVEN_NAME_MAX];

	snprintf(name, sizeof(name), "port-%06u", number);
	registry_key_set(key, name);
}

static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int lookup_keys_make(struct lookup_keys *k, uint32_t most)
{
	size_t room = most + (size_t)LOOKUP_BURST;

	memset(k, 0, sizeof(*k));
	k->name = shared(room * sizeof(*k->name));
	k->number = shared(room * sizeof(*k->number));
	k->handle = shared(room * sizeof(*k->handle));
	if (k->name && k->number && k->handle)
		return 0;
	fputs("haven-bench: memory ran out\n", stderr);
	return 1;
}

void lookup_keys_shuffle(struct lookup_keys *k, uint32_t n)
{
	struct prng prng = {n};

	k->n = n;
	for (uint32_t i = 0; i < n; i++)
		k->number[i] = i;
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t other = (uint32_t)prng_below(&prng, i + 1), swap = k->number[i];

		k->number[i] = k->number[other];
		k->number[other] = swap;
	}
	for (uint32_t i = 0; i < LOOKUP_BURST; i++)
		k->number[n + i] = k->number[i];
	for (uint32_t i = 0; i < n + LOOKUP_BURST; i++)
		lookup_name(&k->name[i], k->number[i]);
}
