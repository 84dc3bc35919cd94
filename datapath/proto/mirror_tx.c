/* SPDX-License-Identifier: BSD-3-Clause */
#include "mirror_tx.h"

#include "haven_assert.h"

/* A receiver that is slow, not deaf, is sent everything again at most so often: 1, 2, … 16 times
 * the first wait. */
#define BACKOFF_MAX 4

static struct mirror_tx_frame *mirror_tx_at(const struct mirror_tx *t, uint64_t number)
{
	return &t->window[number & t->window_mask];
}

/* Frames of the window are written before they are read. */
static void mirror_tx_clear(struct mirror_tx *t)
{
	memset(t, 0, offsetof(struct mirror_tx, window_mask));
}

void mirror_tx_init(struct mirror_tx *t, struct mirror_tx_frame *window, uint32_t frames)
{
	HAVEN_ASSERT(frames >= 2 && (frames & (frames - 1)) == 0);
	t->window = window;
	t->window_mask = frames - 1;
	mirror_tx_close(t);
}

void mirror_tx_close(struct mirror_tx *t)
{
	mirror_tx_clear(t);
	t->node = HAVEN_NODE_NONE;
}

void mirror_tx_open(struct mirror_tx *t, uint8_t node, uint64_t incarnation, uint64_t session,
		    uint64_t committed, uint32_t scan_end, uint64_t now, uint64_t run)
{
	mirror_tx_clear(t);
	t->node = node;
	t->incarnation = incarnation;
	t->session = session;
	t->base = committed;
	t->record_next = committed + 1;
	t->applied = 0;
	t->scan_next = 1; /* entry 0 does not exist */
	t->scan_end = scan_end;
	t->rewound = UINT64_MAX;
	t->started_ns = now;
	t->progress_run = t->sent_run = run;
	*mirror_tx_at(t, 0) = (struct mirror_tx_frame){.kind = MIRROR_START, .first = committed};
	t->next = 1;
	t->resend = 0;
}

static void mirror_tx_emit(struct mirror_tx *t, uint64_t number, uint64_t committed, uint64_t turn,
			   uint64_t run, struct frame_mirror *out)
{
	struct mirror_tx_frame *f = mirror_tx_at(t, number);

	if (f->kind == MIRROR_ENTRIES) {
		t->entries_turn = turn;
		t->end_sent = false; /* an END made before is too early for what is read now */
	}
	if (f->kind == MIRROR_END) {
		f->first = committed;
		t->end_first = committed;
	}
	out->kind = f->kind;
	out->first = f->first;
	out->count = f->count;
	out->session = t->session;
	out->number = number;
	t->sent_run = run;
}

/* A new frame at the end of the window; records first, entries in every other place. */
static bool mirror_tx_make(struct mirror_tx *t, uint64_t committed, uint32_t per_frame,
			   uint64_t turn)
{
	struct mirror_tx_frame *f = mirror_tx_at(t, t->next);
	bool records = t->record_next <= committed;
	bool entries = t->scan_next < t->scan_end;

	if (records && entries)
		records = (t->next & 1) != 0;
	if (records) {
		uint64_t left = committed - t->record_next + 1;

		f->kind = MIRROR_RECORDS;
		f->first = t->record_next;
		f->count = left < per_frame ? (uint32_t)left : per_frame;
		t->record_next += f->count;
	} else if (entries) {
		uint32_t left = t->scan_end - t->scan_next;

		f->kind = MIRROR_ENTRIES;
		f->first = t->scan_next;
		f->count = left < per_frame ? left : per_frame;
		t->scan_next += f->count;
	} else if (!t->end_sent && turn > t->entries_turn) {
		f->kind = MIRROR_END;
		f->count = 0;
		t->end_sent = true;
		t->end_number = t->next;
	} else {
		return false;
	}
	t->next++;
	return true;
}

bool mirror_tx_next(struct mirror_tx *t, uint64_t committed, uint32_t per_frame, uint64_t turn,
		    uint64_t run, struct frame_mirror *out)
{
	HAVEN_ASSERT(per_frame > 0);
	if (!mirror_tx_is_open(t) || t->refused)
		return false;
	if (t->resend == t->next) {
		/* Before the receiver has emptied its replica there is nothing to build on. */
		if (t->acked == 0 || t->next - t->acked > t->window_mask)
			return false;
		if (!mirror_tx_make(t, committed, per_frame, turn))
			return false;
	}
	if (mirror_tx_at(t, t->resend)->kind == MIRROR_END && turn <= t->entries_turn)
		return false;
	mirror_tx_emit(t, t->resend, committed, turn, run, out);
	t->resend++;
	return true;
}

static void mirror_tx_rewind(struct mirror_tx *t)
{
	if (t->resend > t->acked) {
		t->resends += (uint32_t)(t->resend - t->acked);
		t->resend = t->acked;
	}
}

bool mirror_tx_on_ack(struct mirror_tx *t, const struct frame_mirror_ack *ack, uint64_t run)
{
	bool progress = false;

	if (!mirror_tx_is_open(t) || ack->session != t->session || ack->next > t->next ||
	    ack->applied >= t->record_next)
		return false;
	if (ack->refused) {
		t->refused = true;
		return false;
	}
	if (ack->next > t->acked) {
		t->acked = ack->next;
		progress = true;
		if (t->resend < t->acked)
			t->resend = t->acked;
	}
	if (ack->next == t->acked && ack->applied > t->applied) {
		t->applied = ack->applied;
		progress = true;
	}
	/* The position shown with END counts, not the greatest ever: entries may have lowered it.
	 */
	if (t->end_sent && ack->next > t->end_number && ack->applied >= t->end_first)
		t->synced = true;
	if (progress) {
		t->progress_run = run;
		t->backoff = 0;
	}
	if (ack->gap && ack->next == t->acked && t->rewound != t->acked) {
		t->rewound = t->acked;
		mirror_tx_rewind(t);
	}
	return progress;
}

void mirror_tx_on_time(struct mirror_tx *t, uint64_t rto_ns, uint64_t run)
{
	if (!mirror_tx_is_open(t) || t->refused || t->resend == t->acked)
		return;
	if (run - t->sent_run < rto_ns << t->backoff)
		return;
	if (t->backoff < BACKOFF_MAX)
		t->backoff++;
	t->rewound = UINT64_MAX;
	mirror_tx_rewind(t);
}

bool mirror_tx_stuck(const struct mirror_tx *t, uint64_t committed, uint64_t limit_ns, uint64_t run)
{
	if (!mirror_tx_is_open(t))
		return false;
	if (t->refused)
		return true;
	if (t->acked == t->next && t->applied >= committed)
		return false;
	return run - t->progress_run > limit_ns;
}

uint32_t mirror_tx_percent(const struct mirror_tx *t)
{
	if (t->synced || t->scan_end <= 1)
		return 100;
	return (uint32_t)((uint64_t)(t->scan_next - 1) * 100 / (t->scan_end - 1));
}
