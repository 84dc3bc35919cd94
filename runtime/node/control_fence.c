/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_fence.h"

#include <stdio.h>

#include "clock.h"
#include "control.h"
#include "node.h"

void control_fence_begin(struct control *c)
{
	const struct config *config = c->node->config;
	struct control_fence *f = &c->fence;

	f->peer = HAVEN_NODE_NONE;
	if (config->two_voters != CONFIG_FENCE || !config_is_voter(c->node->me))
		return;
	for (unsigned i = 0; i < config->n_nodes; i++) {
		if (i != c->node->self && config_is_voter(&config->node[i]))
			f->peer = (uint8_t)i;
	}
}

static void tell(struct control *c, enum fence_news news)
{
	struct control_fence *f = &c->fence;

	f->talk.news = news;
	f->talk.then = f->then;
	f->command = (struct command){.kind = COMMAND_FENCE, .to = f->peer, .fence_talk = &f->talk};
	f->under_way = true;
	control_push(c, &f->command);
}

static void tell_failed(struct control *c, const char *text, uint64_t now)
{
	struct control_fence *f = &c->fence;

	snprintf(f->talk.text, sizeof(f->talk.text), "%.*s", FENCE_TEXT_MAX - 1, text);
	f->talk.pause_ns = fence_again(&f->turns, now);
	tell(c, FENCE_NEWS_FAILED);
}

void control_fence_look(struct control *c)
{
	struct control_fence *f = &c->fence;
	uint64_t now = clock_now_ns();
	char text[FENCE_TEXT_MAX];

	if (f->peer == HAVEN_NODE_NONE || f->under_way)
		return;
	switch (fence_poll(&f->program, now)) {
	case FENCE_DONE:
		f->talk.took_ns = now - f->program.started_ns;
		f->talk.pause_ns = fence_again(&f->turns, now); /* if it is not taken */
		tell(c, FENCE_NEWS_DONE);
		break;
	case FENCE_FAILED:
		fence_text(&f->program, text, sizeof(text));
		tell_failed(c, text, now);
		break;
	case FENCE_IDLE:
	case FENCE_RUNNING:
	case FENCE_ENDING:
		tell(c, FENCE_NO_NEWS);
		break;
	}
}

static void start(struct control *c, uint64_t now)
{
	const struct config *config = c->node->config;
	struct control_fence *f = &c->fence;
	char *argv[CONFIG_ARGUMENTS_MAX + 1] = {NULL};
	const struct fence_order order = {.argv = argv,
					  .node = config->node[f->peer].name,
					  .life = f->talk.wish.life,
					  .reason = "silent",
					  .cluster = config->cluster,
					  .timeout_ns = config->fence.timeout_ns};
	struct error_text error;

	for (unsigned i = 0; i < config->fence.n_arguments; i++)
		argv[i] = c->node->config->fence.argument[i];
	f->then = f->talk.wish;
	if (fence_start(&f->program, &order, now, &error) == 0)
		tell(c, FENCE_NEWS_STARTED);
	else
		tell_failed(c, error.text, now);
}

/* The wish was made before this instant, so what the program is started for is at least as old as
 * its start. */
void control_fence_returned(struct control *c)
{
	struct control_fence *f = &c->fence;
	uint64_t now = clock_now_ns();
	bool runs = f->program.pid && !f->program.killed, due;

	f->under_way = false;
	if (f->stopping)
		return;
	due = fence_due(&f->turns, &f->talk.wish, c->node->config->fence.delay_ns, now);
	if (runs && !fence_wish_holds(&f->then, &f->talk.wish)) {
		fence_end(&f->program);
		tell_failed(c, "stopped: the node was heard", now);
	} else if (!runs && due) {
		start(c, now);
	}
}

void control_fence_stop(struct control *c)
{
	c->fence.stopping = true;
	fence_end(&c->fence.program);
	fence_poll(&c->fence.program, clock_now_ns());
}
