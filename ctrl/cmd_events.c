/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "command.h"
#include "follow.h"
#include "ring.h"
#include "session.h"
#include "story.h"

struct follower {
	struct context *context;
	struct session session;
	struct ring ring[SESSION_NODES_MAX];
	struct told *batch; /**< room for everything that the rings can hold */
	size_t n, room;
};

static void show_notice(const struct follower *f, const struct node *n, const char *kind,
			uint64_t missed, const char *text)
{
	if (f->context->out.json) {
		json_t *o = json_object();

		put_text(o, "schema", "event/1");
		put_text(o, "node", node_name(n));
		put_text(o, "kind", kind);
		if (missed)
			put_count(o, "missed", missed);
		put_text(o, "text", text);
		output_json_line(o);
		return;
	}
	printf("--              %s: %s\n", node_name(n), text);
}

static void show_event(const struct follower *f, const struct told *t)
{
	const struct output *o = &f->context->out;
	json_t *event = story_event(t->node, &t->event);
	const char *severity = get_text(event, "severity");
	char clock[64];

	if (o->json) {
		put_text(event, "schema", "event/1");
		output_json_line(event);
		return;
	}
	format_clock(t->event.wall_ns, clock, sizeof(clock));
	printf("%s%03u  %s: ", clock, (unsigned)(t->event.wall_ns / 1000 % 1000),
	       get_text(event, "node"));
	if (t->event.severity >= EVENT_WARNING)
		output_color(o, t->event.severity == EVENT_CRITICAL ? COLOR_RED : COLOR_YELLOW);
	if (t->event.severity >= EVENT_WARNING)
		printf("%s: ", severity);
	printf("%s", get_text(event, "text"));
	output_color(o, COLOR_PLAIN);
	putchar('\n');
	json_decref(event);
}

static bool make_room(struct follower *f)
{
	size_t room = 1;
	struct told *batch;

	for (unsigned i = 0; i < f->session.n; i++)
		room += ring_slots(f->session.node[i]);
	if (room <= f->room)
		return true;
	batch = realloc(f->batch, room * sizeof(*batch));
	if (!batch)
		return false;
	f->batch = batch;
	f->room = room;
	return true;
}

/* Fetch what is new in every ring, ordered by time. */
static void fetch(struct follower *f)
{
	f->n = 0;
	for (unsigned i = 0; i < f->session.n; i++) {
		while (f->n < f->room && ring_next(&f->ring[i], &f->batch[f->n].event) > 0)
			f->batch[f->n++].node = f->ring[i].node;
		if (f->ring[i].missed) {
			char text[128];

			snprintf(text, sizeof(text),
				 "missed %" PRIu64 " events, overwritten before they could be read",
				 f->ring[i].missed);
			show_notice(f, f->ring[i].node, "missed", f->ring[i].missed, text);
			f->ring[i].missed = 0;
		}
	}
	told_sort(f->batch, f->n);
}

static void show_from(struct follower *f, size_t first)
{
	for (size_t i = first; i < f->n; i++)
		show_event(f, &f->batch[i]);
	fflush(stdout);
}

/*
 * A node that starts again makes its file anew. The check stands before the fetch: once the new
 * file is there nobody writes the old ring, so the fetch in between has all of it.
 */
static void follow_turn(struct follower *f, bool look)
{
	bool replaced[SESSION_NODES_MAX] = {false};
	unsigned known = f->session.n;

	for (unsigned i = 0; look && i < known; i++)
		replaced[i] = node_replaced(f->session.node[i]);
	fetch(f);
	show_from(f, 0);
	for (unsigned i = 0; i < known; i++)
		if (replaced[i] && session_reopen(&f->session, i)) {
			ring_open(&f->ring[i], f->session.node[i]);
			show_notice(f, f->session.node[i], "reopened", 0,
				    "havend was started again, following its new registry");
		}
	if (look && session_rescan(&f->session))
		for (unsigned i = known; i < f->session.n; i++)
			ring_open(&f->ring[i], f->session.node[i]);
	/* Without more room what does not fit is read in the next turn. */
	make_room(f);
}

static void follow(struct follower *f)
{
	bool on = true;

	follow_begin();
	for (unsigned turn = 0; on && follow_on(); turn++) {
		follow_turn(f, turn % FOLLOW_RESCAN_TURNS == 0);
		on = follow_wait();
	}
}

static int events_run(struct context *c)
{
	struct follower *f;
	uint64_t since, last;
	bool following = option_given(c, "follow");
	int code = EXIT_GOOD;

	if (!option_number(c, "since", 0, &since) ||
	    !option_number(c, "last", following && !option_given(c, "since") ? 10 : UINT64_MAX,
			   &last))
		return EXIT_USAGE;
	f = calloc(1, sizeof(*f));
	if (!f)
		return output_fail(&c->out, EXIT_REFUSED, NULL, "memory ran out");
	f->context = c;
	code = session_open(&f->session, c);
	if (!code && !make_room(f))
		code = output_fail(&c->out, EXIT_REFUSED, NULL, "memory ran out");
	if (!code) {
		for (unsigned i = 0; i < f->session.n; i++) {
			ring_open(&f->ring[i], f->session.node[i]);
			f->ring[i].position = since;
		}
		fetch(f);
		show_from(f, f->n > last ? f->n - last : 0);
		if (following)
			follow(f);
	}
	session_close(&f->session);
	free(f->batch);
	free(f);
	return code;
}

static const struct option_spec events_options[] = {
	{"follow", 0, NULL, "go on with what happens, across restarts of the node"},
	{"since", 0, "SEQ", "begin after this sequence number (of each node's ring)"},
	{"last", 0, "N", "begin with the last N events (default: all; 10 with --follow)"},
	{0},
};

const struct command command_events = {
	.name = "events",
	.arguments = "",
	.summary = "what happened, in order",
	.details =
		"Show the events of the nodes read, ordered by time. With --json each line is one "
		"object, written at once. Events that were overwritten before they could be read "
		"are counted and told. With --follow it goes on until it is interrupted; it only "
		"reads, so it can never slow a node down.",
	.options = events_options,
	.run = events_run,
};
