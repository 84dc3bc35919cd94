/* SPDX-License-Identifier: BSD-3-Clause */
#include "watch_clock.h"

#include <string.h>

/* CLOCK_BOOTTIME is slewed by time daemons, by a tenth at the very most. */
#define CLOCK_SLEW_SHARE 8u

void watch_clock_init(struct watch_clock *w, uint64_t jump_ns, uint32_t bound_ppm)
{
	memset(w, 0, sizeof(*w));
	w->jump_ns = jump_ns;
	w->bound_ppm = bound_ppm;
}

static uint64_t ticks_to_ns(const struct watch_clock *w, uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * w->rate_ns / w->rate_ticks);
}

/* By how much the other clock ran ahead since the last reading, beyond what rates explain. */
static uint64_t ran_ahead(const struct watch_clock *w, uint64_t other, uint64_t own)
{
	if (other <= own || other - own <= w->jump_ns + own / CLOCK_SLEW_SHARE)
		return 0;
	return other - own;
}

static uint64_t stood_still(const struct watch_clock *w, const struct clock_reading *r)
{
	uint64_t own = r->own_ns - w->last.own_ns;
	uint64_t still = 0, by_ticks = 0;

	if (r->boot_ns > w->last.boot_ns)
		still = ran_ahead(w, r->boot_ns - w->last.boot_ns, own);
	if (w->rate_ticks && r->ticks > w->last.ticks)
		by_ticks = ran_ahead(w, ticks_to_ns(w, r->ticks - w->last.ticks), own);
	return still > by_ticks ? still : by_ticks;
}

static enum clock_finding compare_rates(struct watch_clock *w, const struct clock_reading *r,
					uint64_t *evidence)
{
	uint64_t own = r->own_ns - w->from.own_ns, other, apart;
	uint64_t ticks = r->ticks - w->from.ticks;
	bool disagrees;

	w->from = *r;
	if (!w->rate_ticks) {
		w->rate_ns = own;
		w->rate_ticks = ticks;
		return CLOCK_FINE;
	}
	other = ticks_to_ns(w, ticks);
	apart = other > own ? other - own : own - other;
	*evidence = (uint64_t)((unsigned __int128)apart * 1000000 / own);
	disagrees = *evidence > w->bound_ppm;
	if (disagrees == w->disagrees)
		return CLOCK_FINE;
	w->disagrees = disagrees;
	return disagrees ? CLOCK_DISAGREES : CLOCK_AGREES;
}

enum clock_finding watch_clock_look(struct watch_clock *w, const struct clock_reading *r,
				    uint64_t *evidence)
{
	enum clock_finding finding = CLOCK_FINE;
	/* A counter that was set back, as when a machine moved to another host: calibrate anew. */
	bool back = r->ticks < w->last.ticks;

	*evidence = w->last.own_ns ? stood_still(w, r) : 0;
	if (*evidence)
		finding = CLOCK_SUSPENDED;
	if (back)
		w->rate_ticks = w->rate_ns = 0;
	if (!w->last.own_ns || back || finding == CLOCK_SUSPENDED)
		w->from = *r;
	else if (r->ticks && r->own_ns - w->from.own_ns >= WATCH_CLOCK_WINDOW_NS)
		finding = compare_rates(w, r, evidence);
	w->last = *r;
	return finding;
}
