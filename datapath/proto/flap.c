/* SPDX-License-Identifier: BSD-3-Clause */
#include "flap.h"

uint64_t flap_delay_ns(const struct flap *f, const struct flap_terms *t)
{
	uint64_t delay = t->first_ns;

	if (f->level < 2)
		return 0;
	for (unsigned k = 2; k < f->level && delay < t->limit_ns; k++)
		delay *= 2;
	return delay < t->limit_ns ? delay : t->limit_ns;
}

static enum flap_change flap_changed(struct flap *f, const struct flap_terms *t, bool heard,
				     uint64_t run)
{
	bool was_up = f->up;

	f->heard = heard;
	f->since_run = run;
	if (heard) {
		f->up = flap_delay_ns(f, t) == 0;
		return f->up ? FLAP_UP : FLAP_HELD;
	}
	/* Also while it was held down: it is still at it. */
	if (f->level < FLAP_LEVEL_MAX)
		f->level++;
	f->up = false;
	return was_up ? FLAP_DOWN : FLAP_SAME;
}

enum flap_change flap_judge(struct flap *f, const struct flap_terms *t, bool heard, uint64_t run)
{
	if (heard != f->heard)
		return flap_changed(f, t, heard, run);
	if (flap_held(f) && run - f->since_run >= flap_delay_ns(f, t)) {
		f->up = true;
		f->since_run = run;
		return FLAP_UP;
	}
	if (f->up && f->level && run - f->since_run >= 2 * t->limit_ns) {
		f->level--;
		f->since_run = run;
	}
	return FLAP_SAME;
}

void flap_excuse(struct flap *f)
{
	f->heard = f->up = false;
}
