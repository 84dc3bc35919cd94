/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The fence command between the two threads. Only the poll loop knows whether the other voter is
 * silent, only the control thread may start a program; one command goes to and fro between them.
 * It carries news of the program to the loop, which tells events and hands the proof to the brain,
 * and the loop's wish back.
 */
#ifndef HAVEN_CONTROL_FENCE_H
#define HAVEN_CONTROL_FENCE_H

#include "command.h"
#include "fence.h"

struct control;

enum fence_news { FENCE_NO_NEWS = 0, FENCE_NEWS_STARTED, FENCE_NEWS_DONE, FENCE_NEWS_FAILED };

/** Written by the side that has the command at the moment. */
struct fence_talk {
	enum fence_news news;      /**< control to loop */
	struct fence_wish then;    /**< control to loop: what the program was started for */
	uint64_t took_ns;          /**< control to loop: with FENCE_NEWS_DONE */
	uint64_t pause_ns;         /**< control to loop: until the next try, if one is needed */
	char text[FENCE_TEXT_MAX]; /**< control to loop: with FENCE_NEWS_FAILED */
	struct fence_wish wish;    /**< loop to control */
};

/** Control thread. */
struct control_fence {
	bool under_way; /**< the command is with the loop */
	bool stopping;
	uint8_t peer; /**< the other voter, HAVEN_NODE_NONE: nobody is to be fenced by this node */
	struct command command;
	struct fence_talk talk;
	struct fence program;
	struct fence_turns turns;
	struct fence_wish then;
};

/** Before the thread starts. */
void control_fence_begin(struct control *c);
/** Now and then: look after the program, ask the loop. */
void control_fence_look(struct control *c);
/** The command is back: start the program, end it, or leave it alone. */
void control_fence_returned(struct control *c);
/** The thread has ended: end the program, start none. */
void control_fence_stop(struct control *c);

#endif
