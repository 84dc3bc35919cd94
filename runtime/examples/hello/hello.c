/* SPDX-License-Identifier: BSD-3-Clause */
#include <haven/haven.h>
#include <stdio.h>

/* Once per burst; a node that was restarted is found again, everything stays as it is. */
static void turn(struct haven *h, struct haven_worker *w)
{
	static int away;

	if (haven_poll(w) & HAVEN_CHANGE_NODE)
		away = 1;
	if (away && haven_reattach(h) == 0)
		away = 0;
}

int main(void)
{
	const struct haven_component_config config = {.name = "hello"};
	const struct haven_table_config shape = {"greetings", 4, 4, 16, 1, 0};
	struct haven *h;
	struct haven_component *c;
	struct haven_table *t;
	struct haven_worker *w;

	if (haven_attach(&h, NULL) || haven_component_register(h, &config, &c) ||
	    haven_table_create(c, 0, &shape, &t) || haven_component_ready(c) ||
	    haven_worker_begin(c, &w))
		return fprintf(stderr, "hello: %s\n", haven_last_error(h)), 1;
	while (haven_role(w, 0) != HAVEN_PRIMARY)
		turn(h, w);
	if (haven_put(w, t, "key", "val") || haven_commit(w, t) != 1)
		return 2;
	while (haven_acked(w, t) < 1)
		turn(h, w);
	printf("primary in epoch %llu, record %llu is safe\n",
	       (unsigned long long)haven_epoch(w, 0), (unsigned long long)haven_acked(w, t));
	haven_detach(h);
	return 0;
}
