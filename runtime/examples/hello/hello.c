/* SPDX-License-Identifier: BSD-3-Clause */
#include <haven/haven.h>
#include <stdio.h>

/* Once per burst; a node that was restarted is found again, and everything handed over to it. */
static unsigned turn(struct haven *h, struct haven_worker *w)
{
	unsigned changes = haven_poll(w);
	static int away;

	if (changes & HAVEN_CHANGE_NODE)
		away = 1;
	if (away && haven_reattach(h) == 0)
		away = 0;
	return changes;
}

int main(void)
{
	const struct haven_component_config config = {.name = "hello"};
	const struct haven_table_config shape = {
		.name = "greetings", .key_bytes = 4, .value_bytes = 4, .capacity = 16, .lanes = 1};
	struct haven *h;
	struct haven_component *c;
	struct haven_table *t;
	struct haven_worker *w;
	unsigned long long seq = 0;

	if (haven_attach(&h, NULL) || haven_component_register(h, &config, &c) ||
	    haven_table_create(c, 0, &shape, &t) || haven_component_ready(c) ||
	    haven_worker_begin(c, &w))
		return fprintf(stderr, "hello: %s\n", haven_last_error(h)), 1;
	while (!seq || haven_acked(w, t) < seq) {
		/* With a new role, what was not acknowledged may be gone. */
		if (turn(h, w) & HAVEN_CHANGE_ROLE)
			seq = 0;
		if (!seq && haven_put(w, t, "key", "val") == 0)
			seq = haven_commit(w, t);
	}
	printf("primary in epoch %llu, record %llu is safe\n",
	       (unsigned long long)haven_epoch(w, 0), seq);
	haven_detach(h);
	return 0;
}
