/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What follows when the node's clock did not count all of the time, or not at its rate.
 *
 * A lease counts from the instant at which a beat was sent. If the clock stood still since then, or
 * ran too slowly, the promises behind the lease may have ended: so nothing that was granted counts
 * any more, nor will an echo of a beat that was sent before. The lease has ended, gates are shut
 * and roles released, as after a stall of the node's own that outlasted them. New beats bring a new
 * lease. What this node has promised as a voter it keeps for longer than it must, which harms
 * nobody.
 *
 * While the rate is out of bounds the node takes no role and, as a voter, grants nothing: its
 * promises might end too early.
 */
#include "brain_internal.h"
#include "watch_clock.h"

static void brain_clock_distrust(struct brain *b, struct brain_outputs *out)
{
	for (unsigned n = 0; n < HAVEN_NODES_MAX; n++) {
		b->lease.granted_ns[n] = 0;
		memset(b->peer[n].sent_ns, 0, sizeof(b->peer[n].sent_ns));
	}
	if (b->lease.until_ns > b->now)
		b->lease.until_ns = b->now;
	brain_role_step_down(b, out);
	b->plan_due = b->beat_now = true;
}

void brain_clock_on_finding(struct brain *b, const struct brain_event *e, struct brain_outputs *out)
{
	switch ((enum clock_finding)e->count) {
	case CLOCK_FINE:
		break;
	case CLOCK_SUSPENDED:
		brain_note(b, out, NOTE_CLOCK_STOOD, 0xff, b->config.self, e->seq, 0);
		brain_clock_distrust(b, out);
		break;
	case CLOCK_DISAGREES:
		b->clock_bad = true;
		brain_note(b, out, NOTE_CLOCK_BAD, 0xff, b->config.self, e->seq,
			   b->config.rate_ppm);
		brain_clock_distrust(b, out);
		break;
	case CLOCK_AGREES:
		b->clock_bad = false;
		brain_note(b, out, NOTE_CLOCK_GOOD, 0xff, b->config.self, e->seq,
			   b->config.rate_ppm);
		b->plan_due = b->beat_now = true;
		break;
	}
}
