/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_trace.h"

#include <inttypes.h>

#include "brain.h"
#include "haven_assert.h"

/* Name of the line and of its three numbers; a NULL name hides the number. */
static const struct {
	const char *name, *a, *b, *c;
} kinds[] = {
	[SIM_TR_NODE_START] = {"node-start", "incarnation", "floor", NULL},
	[SIM_TR_NODE_CRASH] = {"node-crash", "machine", "down_ns", NULL},
	[SIM_TR_NODE_LEAVE] = {"node-leave", "down_ns", NULL, NULL},
	[SIM_TR_NODE_PAUSE] = {"node-pause", "for_ns", "applications_too", NULL},
	[SIM_TR_NODE_STALL] = {"node-stall", "for_ns", "in_turn", NULL},
	[SIM_TR_APP_START] = {"app-start", "life", NULL, NULL},
	[SIM_TR_APP_KILL] = {"app-kill", "life", "seen_after_ns", NULL},
	[SIM_TR_APP_STOP] = {"app-stop", "for_ns", NULL, NULL},
	[SIM_TR_APP_CONTINUE] = {"app-continue", NULL, NULL, NULL},
	[SIM_TR_APP_UNREADY] = {"app-unready", "for_ns", NULL, NULL},
	[SIM_TR_APP_CONFIRM] = {"app-confirm", "role", "generation", "committed"},
	[SIM_TR_APP_COMMIT] = {"app-commit", "lane", "seq", "records"},
	[SIM_TR_CUT] = {"cut", "to", "link", "for_ns"},
	[SIM_TR_PARTITION] = {"partition", "side_mask", "one_way", "for_ns"},
	[SIM_TR_CLOG] = {"clog", "to", NULL, "for_ns"},
	[SIM_TR_DRIFT] = {"drift", "slow_to_fast", "of_twice", NULL},
	[SIM_TR_SEND] = {"send", "to", "type", "counter"},
	[SIM_TR_TAKE] = {"take", "from", "type", "counter"},
	[SIM_TR_DROP] = {"drop", "from", "type", "why"},
	[SIM_TR_VIEW] = {"view", NULL, NULL, NULL},
	[SIM_TR_ROLE] = {"role", "role", "epoch", "until_local"},
	[SIM_TR_LEASE] = {"lease", "until_local", "now_local", NULL},
	[SIM_TR_ACKED] = {"acked", "lane", "seq", "consumed"},
	[SIM_TR_RESET] = {"reset", "lane", "seq", "baton"},
	[SIM_TR_APPLY] = {"apply", "lane", "applied", "error"},
	[SIM_TR_CLOSE_GATE] = {"close-gate", "generation", "term_local", NULL},
	[SIM_TR_GATE_CLOSED] = {"gate-closed", NULL, NULL, NULL},
	[SIM_TR_NOTE] = {"note", NULL, NULL, NULL},
	[SIM_TR_COMMAND] = {"command", "code", NULL, NULL},
	[SIM_TR_ACTING] = {"acting", "until_global", "epoch", NULL},
	[SIM_TR_LOST] = {"state-lost", "epoch", "old_in_sync", "new_in_sync"},
	[SIM_TR_HEALED] = {"faults-end", NULL, NULL, NULL},
	[SIM_TR_WHOLE] = {"whole-again", "after_ns", NULL, NULL},
	[SIM_TR_FLIP] = {"bit-flips", "lane", "entry", "byte"},
	[SIM_TR_COMPARE] = {"compare", "lane", "at", "wrong"},
};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(kinds) == SIM_TR_KIND_COUNT, "every line has a name");

static const char *const note_names[] = {
	"peer-up",       "peer-suspect", "link-down",     "link-up",       "view",
	"view-proposed", "lease-gained", "lease-lost",    "role-released", "sync-start",
	"sync-done",     "in-sync",      "out-of-sync",   "state-lost",    "stall",
	"switchover",    "no-successor", "link-gray",     "link-clear",    "link-held",
	"peer-held",     "fenced",       "fence-revoked", "copy-differs",  "left",
	"clock-stood",   "clock-bad",    "clock-good",    "config-differs"};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(note_names) == NOTE_COUNT, "every note has a name");

static void trace_write(const struct sim_trace_line *l, FILE *to)
{
	static const char *const types[] = {"?", "beat", "view", "mirror", "ack", "digest"};

	fprintf(to, "%12.6f ms ", (double)l->at / 1e6);
	if (l->node != SIM_NONE)
		fprintf(to, " n%u", l->node);
	if (l->instance != SIM_NONE)
		fprintf(to, " i%u", l->instance);
	fprintf(to, " %s", kinds[l->kind].name);
	if (l->kind == SIM_TR_NOTE) {
		fprintf(to, " %s epoch=%" PRIu64 " node=%u a=%" PRIu64, note_names[l->a & 0xff],
			l->b, (unsigned)(l->a >> 8), l->c);
	} else if (l->kind == SIM_TR_VIEW) {
		fprintf(to,
			" epoch=%" PRIu64 " holder=%u assigned=0x%x in_sync=0x%x lineage=%" PRIu64,
			l->b, (unsigned)(l->a & 0xff), (unsigned)(l->c >> 32), (unsigned)l->c,
			l->a >> 8);
	} else if (l->kind == SIM_TR_SEND || l->kind == SIM_TR_TAKE || l->kind == SIM_TR_DROP) {
		fprintf(to, " %s n%" PRIu64 " %s=%" PRIu64, types[l->b < 6 ? l->b : 0], l->a,
			kinds[l->kind].c, l->c);
	} else {
		if (kinds[l->kind].a)
			fprintf(to, " %s=%" PRIu64, kinds[l->kind].a, l->a);
		if (kinds[l->kind].b)
			fprintf(to, " %s=%" PRIu64, kinds[l->kind].b, l->b);
		if (kinds[l->kind].c)
			fprintf(to, " %s=%" PRIu64, kinds[l->kind].c, l->c);
	}
	fputc('\n', to);
}

void sim_trace_add(struct sim_trace *t, uint64_t at, enum sim_trace_kind kind, unsigned node,
		   unsigned instance, uint64_t a, uint64_t b, uint64_t c)
{
	struct sim_trace_line *l = &t->ring[t->count++ % SIM_TRACE_LINES];

	*l = (struct sim_trace_line){at, a, b, c, (uint8_t)kind, (uint8_t)node, (uint8_t)instance};
	if (t->live)
		trace_write(l, t->live);
}

static bool trace_is_frequent(const struct sim_trace_line *l)
{
	return l->kind == SIM_TR_SEND || l->kind == SIM_TR_TAKE || l->kind == SIM_TR_DROP ||
	       l->kind == SIM_TR_LEASE;
}

void sim_trace_print(const struct sim_trace *t, unsigned lines, unsigned frequent, FILE *to)
{
	uint64_t kept = t->count < SIM_TRACE_LINES ? t->count : SIM_TRACE_LINES;
	uint64_t from = t->count, shown = 0;

	/* The frequent ones never push out what else happened. */
	while (kept && shown < lines) {
		const struct sim_trace_line *l = &t->ring[(from - 1) % SIM_TRACE_LINES];

		shown += !trace_is_frequent(l);
		from--;
		kept--;
	}
	for (uint64_t i = from; i < t->count; i++) {
		const struct sim_trace_line *l = &t->ring[i % SIM_TRACE_LINES];

		if (!trace_is_frequent(l) || t->count - i <= frequent)
			trace_write(l, to);
	}
}
