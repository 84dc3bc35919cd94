/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fork(): the child can do the parent no harm.
 */
#include <sys/wait.h>

#include "client_app.h"

/* What the child does, one bit per surprise. */
static int child(struct app *a)
{
	struct haven_request q = {.kind = HAVEN_REQUEST_REMOVE, .handle = 1}, got;
	struct haven_reader *r;
	struct haven_component *c;
	int wrong = 0;

	wrong |= (haven_poll(a->w) & HAVEN_CHANGE_NODE) ? 0 : 1;
	wrong |= haven_put(a->w, a->t, "key00001", "of child") == -HAVEN_EROLE ? 0 : 2;
	wrong |= haven_component_register(a->h, &nat_config, &c) == -HAVEN_ENODE ? 0 : 4;
	wrong |= haven_reader_begin(a->h, &r) == -HAVEN_ENODE ? 0 : 8;
	wrong |= haven_reattach(a->h) == -HAVEN_EREFUSED ? 0 : 16;
	wrong |= haven_request_post(a->h, &q, 1) == -HAVEN_ENODE ? 0 : 32;
	wrong |= haven_request_collect(a->h, &got, 1) == 0 ? 0 : 64;
	haven_worker_end(a->w);
	haven_detach(a->h);
	return wrong;
}

/* A child that pays no attention at all: it goes on as if it were the worker. */
static int careless_child(struct app *a)
{
	uint8_t value[8];

	for (unsigned i = 0; i < 1000; i++)
		haven_put(a->w, a->t, "key00001", "of child");
	haven_commit(a->w, a->t);
	return haven_get(a->w, a->t, "key00001", value);
}

static int in_child(int (*run)(struct app *), struct app *a)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(run(a));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status), "signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static void start(struct app *a)
{
	fake_start(&node);
	app_start(a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a->w);
	cr_assert_eq(haven_put(a->w, a->t, "key00001", "of child"), 0);
	cr_assert_eq(haven_put(a->w, a->t, "key00001", "parent's"), 0);
	haven_commit(a->w, a->t);
}

static void expect_unharmed(struct app *a, uint64_t progress)
{
	const struct client_worker *slot = &node.segment->worker[0];
	uint8_t value[8];

	cr_expect_eq(slot->state, CLIENT_WORKER_LIVE);
	cr_expect_not(client_worker_marked(slot));
	cr_expect_eq(slot->progress, progress);
	cr_expect_neq(slot->quiescent, 0);
	cr_expect_eq(node.segment->requests.head, 0);
	cr_expect_eq(table_committed(&node.table[0], 0), 2);
	cr_expect_eq(table_get(&node.table[0], 0, "key00001", value), 0);
	cr_expect_arr_eq(value, "parent's", 8);
	cr_expect_eq(haven_poll(a->w), 0);
	cr_expect(haven_gate(a->w, 0));
	cr_expect_eq(haven_component_ready(a->c), 0, "the connection stands");
}

Test(client_fork, the_child_takes_no_part)
{
	uint64_t progress;
	struct app a;

	start(&a);
	progress = node.segment->worker[0].progress;
	cr_expect_eq(in_child(child, &a), 0);
	expect_unharmed(&a, progress);
	end(&a);
}

Test(client_fork, a_careless_child_harms_nobody)
{
	uint64_t progress;
	struct app a;

	start(&a);
	progress = node.segment->worker[0].progress;
	cr_expect_eq(in_child(careless_child, &a), 0, "it reads its own copy");
	expect_unharmed(&a, progress);
	end(&a);
}

Test(client_fork, what_was_detached_is_not_touched_by_a_fork)
{
	struct app a;

	start(&a);
	haven_detach(a.h);
	cr_assert_eq(haven_attach(&a.h, "/tmp/no-such-haven"), -HAVEN_ENODE);
	fake_kill(&node);
	fake_end(&node);
	fake_start(&node);
	app_start(&a);
	cr_expect_eq(in_child(child, &a), 0);
	end(&a);
}
