/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Promises: what a voter says in its beats against what it has said before (C9), what it may say
 * when it has just been born (C9), suspicions against the time there was to listen (C12), releases
 * against what may still be emitted (C10), and commands (C13). The checker keeps its own books and
 * its own arithmetic; of the brain it reads what it has accepted and what it is shutting.
 */
#include "brain_internal.h"
#include "sim_world.h"

/* How long a promise binds, and a newborn voter is silent: L lengthened by the rate, and the guard.
 */
static uint64_t promise_span(const struct sim_options *o)
{
	return o->lease_ns + (o->lease_ns * o->rate_ppm + 999999) / 1000000 + o->guard_ns;
}

bool sim_claims_whole(const struct sim_node *n, unsigned instance)
{
	return (n->brain->complete >> instance & 1) != 0;
}

void sim_check_born(struct sim_world *w, struct sim_node *n)
{
	struct sim_voter *v = &w->check.voter[sim_node_index(w, n)];

	memset(v, 0, offsetof(struct sim_voter, kept_ns));
	v->born_ns = sim_node_now(w, n);
}

static bool has_released(const struct sim_world *w, unsigned node, unsigned i, uint64_t epoch)
{
	return w->check.released[node][i][epoch % SIM_RELEASES] == epoch;
}

/* A voter that has accepted a view must still count its promises to whoever it displaces, unless
 * that one has really given the role up in this epoch. */
static void promise_carried(struct sim_world *w, struct sim_node *n, const struct frame_beat *beat)
{
	const struct agree *a = &n->brain->agree;
	const struct sim_voter *v = &w->check.voter[sim_node_index(w, n)];
	uint64_t now = sim_node_now(w, n);

	for (unsigned i = 0; i < w->options.instances; i++) {
		uint8_t h = a->view.instance[i].holder;

		if (h == HAVEN_NODE_NONE || v->promised_ns[h] <= now + beat->wait_ns ||
		    has_released(w, h, i, a->view.epoch) ||
		    (a->accepted_view.instance[i].holder == h &&
		     a->accepted_view.incarnation[h] == a->view.incarnation[h]))
			continue;
		sim_fail(w, SIM_C9, sim_node_index(w, n), i,
			 "votes another holder in before its promise ends (to, promised for ns, "
			 "says ns)",
			 h, v->promised_ns[h] - now, beat->wait_ns);
	}
}

/* A voter lets nobody take a role from a holder that it hears, unless an earlier ballot may have
 * chosen that value. */
static void incumbent_kept(struct sim_world *w, struct sim_node *n)
{
	const struct agree *a = &n->brain->agree;

	if ((a->heard_ballot == a->accepted && a->heard_forced) ||
	    (a->ballot == a->accepted && a->value_forced))
		return;
	w->stats.checks[SIM_C12]++;
	for (unsigned i = 0; i < w->options.instances; i++) {
		uint8_t h = a->view.instance[i].holder;

		if (h != HAVEN_NODE_NONE && n->brain->peer[h].alive &&
		    n->brain->peer[h].incarnation == a->view.incarnation[h] &&
		    !has_released(w, h, i, a->view.epoch) &&
		    a->accepted_view.instance[i].holder != h)
			sim_fail(w, SIM_C12, sim_node_index(w, n), i,
				 "votes out a holder that it hears (node, epoch)", h, a->view.epoch,
				 0);
	}
}

/* The global instant at which the promise of a voter to a node ends. */
static uint64_t promise_end(const struct sim_world *w, unsigned voter, unsigned node)
{
	const struct sim_voter *v = &w->check.voter[voter];
	uint64_t end = 0;

	if (v->promised_ns[node])
		end = sim_clock_global(&w->node[voter].clock, v->promised_ns[node]);
	return end > v->kept_ns[node] ? end : v->kept_ns[node];
}

void sim_check_died(struct sim_world *w, struct sim_node *n)
{
	unsigned node = sim_node_index(w, n);

	for (unsigned k = 0; k < w->options.nodes; k++)
		w->check.voter[node].kept_ns[k] = promise_end(w, node, k);
}

void sim_check_lease(struct sim_world *w, struct sim_node *n, uint64_t until_ns)
{
	unsigned node = sim_node_index(w, n), covered = 0;
	const struct sim_voter *v = &w->check.voter[node];
	uint64_t until;

	if (until_ns <= sim_node_now(w, n))
		return;
	w->stats.checks[SIM_C9]++;
	if (v->accepted && v->accepted == n->brain->agree.accepted &&
	    v->vote_epoch == n->brain->agree.view.epoch &&
	    until_ns + w->options.guard_ns > v->steps_down_ns)
		sim_fail(w, SIM_C9, node, SIM_NONE,
			 "stretches its lease after it has voted to give a role up (to, was)",
			 until_ns + w->options.guard_ns, v->steps_down_ns, 0);
	until = sim_clock_global(&n->clock, until_ns + w->options.guard_ns);
	for (uint32_t left = w->options.voters; left; left &= left - 1) {
		unsigned k = (unsigned)__builtin_ctz(left);

		covered += k == node || promise_end(w, k, node) >= until;
	}
	/* So many that every majority has one of them. Of two voters that is one: nothing is ever
	 * decided against a node's own vote, not even by one that had the other killed. */
	if (covered <= (sim_bits(w->options.voters) - 1) / 2)
		sim_fail(w, SIM_C9, node, SIM_NONE,
			 "a lease is not covered by the promises of a majority (to, by voters)",
			 until, covered, 0);
}

void sim_check_peer(struct sim_world *w, struct sim_node *n, const struct frame *f,
		    uint64_t incarnation, uint64_t seq)
{
	const struct peer *p = &n->brain->peer[f->src];

	w->stats.checks[SIM_C3]++;
	if (p->incarnation < incarnation || (p->incarnation == incarnation && p->seq_in < seq))
		sim_fail(w, SIM_C3, sim_node_index(w, n), SIM_NONE,
			 "goes back to an earlier life or beat (of node, seq, newest)", f->src,
			 f->u.beat.seq, seq);
}

/* Who says that it has left holds nothing that it has not released, can emit nothing, and votes no
 * more: peers count on it from the first such beat on. */
static void check_left(struct sim_world *w, struct sim_node *n, const struct frame_beat *beat)
{
	const struct agree *a = &n->brain->agree;
	unsigned node = sim_node_index(w, n);
	struct sim_voter *v = &w->check.voter[node];

	if (!(beat->flags & BEAT_LEFT)) {
		if (v->left)
			sim_fail(w, SIM_C9, node, SIM_NONE, "has left, and says so no more", 0, 0,
				 0);
		return;
	}
	w->stats.checks[SIM_C10]++;
	for (unsigned i = 0; i < w->options.instances; i++) {
		if (w->check.window[node][i].until > w->now || n->gate[i].role == HAVEN_PRIMARY)
			sim_fail(w, SIM_C10, node, i, "says that it has left and may emit (epoch)",
				 a->view.epoch, 0, 0);
		if (!v->left && brain_holds(n->brain, i) && !(beat->released >> i & 1))
			sim_fail(w, SIM_C10, node, i,
				 "says that it has left and has not released (epoch)",
				 a->view.epoch, 0, 0);
	}
	if (v->left && v->left_epoch == a->view.epoch &&
	    (beat->promised != v->left_promised || beat->accepted != v->left_accepted))
		sim_fail(w, SIM_C9, node, SIM_NONE,
			 "has left, and votes (epoch, promised, accepted)", a->view.epoch,
			 beat->promised, beat->accepted);
	if (v->left && v->left_epoch != a->view.epoch && (beat->promised || beat->accepted))
		sim_fail(w, SIM_C9, node, SIM_NONE, "has left, and votes anew (epoch)",
			 a->view.epoch, 0, 0);
	v->left = true;
	v->left_epoch = a->view.epoch;
	v->left_promised = beat->promised;
	v->left_accepted = beat->accepted;
}

void sim_check_beat(struct sim_world *w, struct sim_node *n, const struct frame *f)
{
	const struct frame_beat *beat = &f->u.beat;
	const struct agree *a = &n->brain->agree;
	unsigned node = sim_node_index(w, n);
	struct sim_voter *v = &w->check.voter[node];
	uint64_t now = sim_node_now(w, n), span = promise_span(&w->options);

	check_left(w, n, beat);
	if (!(w->options.voters & node_bit(node)))
		return;
	w->stats.checks[SIM_C9]++;
	if ((beat->accepted || beat->promised || (beat->flags & (BEAT_GRANT | BEAT_AMNESIC))) &&
	    now - v->born_ns < span)
		sim_fail(w, SIM_C9, node, SIM_NONE,
			 "a voter without memory takes part before its silence ends (ns of ns)",
			 now - v->born_ns, span, 0);
	if (beat->flags & BEAT_GRANT) {
		uint64_t until = now - beat->echo_hold_ns + span;

		if (a->accepted && agree_displaces(a, &a->accepted_view, f->dst))
			sim_fail(w, SIM_C9, node, SIM_NONE,
				 "grants to whom it has voted to displace (node, epoch)", f->dst,
				 a->view.epoch, 0);
		if (v->promised_ns[f->dst] < until)
			v->promised_ns[f->dst] = until;
	}
	if (beat->accepted)
		promise_carried(w, n, beat);
	if (beat->accepted && (beat->accepted != v->accepted || a->view.epoch != v->vote_epoch)) {
		incumbent_kept(w, n);
		v->steps_down_ns = agree_displaces(a, &a->accepted_view, node)
					   ? n->brain->lease.until_ns + w->options.guard_ns
					   : UINT64_MAX;
		v->cast[v->votes++ % SIM_VOTES] = (struct sim_vote){.digest = beat->accepted_digest,
								    .incarnation = n->incarnation};
	}
	v->accepted = beat->accepted;
	v->vote_epoch = a->view.epoch;
}

/* A view may be seen first when a voter whose vote decided it has already forgotten it. A voter
 * that decides with its own vote at once sees the view in the life that voted. */
uint64_t sim_check_voted(const struct sim_world *w, unsigned node, uint64_t digest, uint64_t life)
{
	const struct sim_voter *v = &w->check.voter[node];
	uint64_t newest = 0;

	for (uint32_t k = v->votes; k > 0 && k + SIM_VOTES > v->votes; k--) {
		const struct sim_vote *vote = &v->cast[(k - 1) % SIM_VOTES];

		if (vote->digest != digest)
			continue;
		if (vote->incarnation == life)
			return life;
		if (!newest)
			newest = vote->incarnation;
	}
	return newest;
}

/* ---- releases, suspicions ---------------------------------------------------------------------
 */

void sim_check_released(struct sim_world *w, struct sim_node *n, unsigned instance, uint64_t epoch,
			uint64_t reason)
{
	unsigned node = sim_node_index(w, n);
	const struct sim_window *window = &w->check.window[node][instance];

	w->stats.checks[SIM_C10]++;
	w->check.released[node][instance][epoch % SIM_RELEASES] = epoch;
	if (window->until > w->now)
		sim_fail(w, SIM_C10, node, instance,
			 "releases a role in which something may still be emitted (epoch, for ns)",
			 epoch, window->until - w->now, 0);
	for (unsigned l = 0; reason == REASON_SWITCHOVER && l < w->options.lanes; l++) {
		uint64_t committed = table_committed(&n->app[instance].table, l);
		uint64_t acked = n->brain->slot[SIM_SLOT(instance, l)].acked;

		/* A gate that closed by time, because its worker does not poll, ends nothing that
		 * the worker still commits; nobody was told that this is safe. */
		if (n->app[instance].alive && !n->gate[instance].closed_by_time &&
		    acked < committed)
			sim_fail(w, SIM_C13, node, instance,
				 "a switchover leaves commits behind (lane, acknowledged, "
				 "committed)",
				 l, acked, committed);
	}
}

void sim_check_heard(struct sim_world *w, struct sim_node *n, const struct frame *f)
{
	struct sim_heard *h = &w->check.voter[sim_node_index(w, n)].heard[f->src];

	/* Only if it is the newest of the life that the node listens to, and not the second copy.
	 */
	if (f->src_incarnation != n->brain->peer[f->src].incarnation ||
	    f->u.beat.seq != n->brain->peer[f->src].seq_in ||
	    (f->src_incarnation == h->incarnation && f->counter == h->counter))
		return;
	*h = (struct sim_heard){.at = w->now,
				.slept_ns = n->slept_ns,
				.naps = n->naps,
				.incarnation = f->src_incarnation,
				.counter = f->counter};
}

void sim_check_gone(struct sim_world *w, struct sim_node *n, unsigned peer, uint64_t life)
{
	w->stats.checks[SIM_C12]++;
	if (w->node[peer].up && w->node[peer].incarnation == life && !w->check.voter[peer].left)
		sim_fail(w, SIM_C12, sim_node_index(w, n), SIM_NONE,
			 "takes a node that lives for one that has left (peer, life)", peer, life,
			 0);
}

void sim_check_suspected(struct sim_world *w, struct sim_node *n, unsigned peer)
{
	const struct sim_heard *h = &w->check.voter[sim_node_index(w, n)].heard[peer];
	uint64_t awake;

	if (h->at == 0)
		return;
	w->stats.checks[SIM_C12]++;
	/* The node may take as much of each nap for silence as it takes for a slow turn, and the
	 * turn before it heard. The clock may be faster than the world. */
	awake = w->now - h->at - (n->slept_ns - h->slept_ns) +
		(n->naps - h->naps + 1) * w->options.stall_ns;
	awake += awake * w->options.rate_ppm / 1000000;
	if (awake < w->options.suspect_ns)
		sim_fail(w, SIM_C12, sim_node_index(w, n), SIM_NONE,
			 "suspects a node that it had no time to hear (node, awake ns, of ns)",
			 peer, awake, w->options.suspect_ns);
}

void sim_node_sleeps(struct sim_world *w, struct sim_node *n, uint64_t until)
{
	uint64_t from = n->asleep_until > w->now ? n->asleep_until : w->now;

	n->naps++;
	if (until <= from)
		return;
	n->slept_ns += until - from;
	n->asleep_until = until;
}

void sim_node_woken(struct sim_world *w, struct sim_node *n)
{
	if (n->asleep_until <= w->now)
		return;
	n->slept_ns -= n->asleep_until - w->now;
	n->asleep_until = w->now;
}

/* ---- commands ---------------------------------------------------------------------------------
 */

struct sim_command sim_check_command(struct sim_world *w, struct sim_node *n, unsigned instance)
{
	return (struct sim_command){
		.may_act = brain_may_act(n->brain, instance, sim_node_now(w, n)),
		.moving = n->brain->closing[instance].reason != REASON_NONE,
	};
}

void sim_check_answered(struct sim_world *w, struct sim_node *n, unsigned instance,
			const struct sim_command *was, const struct brain_outputs *out)
{
	unsigned node = sim_node_index(w, n), answers = 0, shut = 0;
	bool accepted = false;

	w->stats.checks[SIM_C13]++;
	for (unsigned k = 0; k < out->n; k++) {
		const struct brain_output *o = &out->out[k];

		shut += o->kind == OUT_CLOSE_GATE && o->instance == instance;
		if (o->kind != OUT_COMMAND_DONE)
			continue;
		answers++;
		accepted = o->code == 0;
		if (!accepted && (o->code > 0 || !o->text || !*o->text))
			sim_fail(w, SIM_C13, node, instance,
				 "refuses a command and gives no reason", (uint64_t)-o->code, 0, 0);
	}
	if (answers != 1)
		sim_fail(w, SIM_C13, node, instance, "a command has not one answer (answers)",
			 answers, 0, 0);
	if (accepted && (!was->may_act || was->moving))
		sim_fail(w, SIM_C13, node, instance,
			 "accepts a command without the role, or while it moves (may act, moving)",
			 was->may_act, was->moving, 0);
	if (accepted && (shut != 1 || n->brain->closing[instance].reason != REASON_SWITCHOVER))
		sim_fail(w, SIM_C13, node, instance, "accepts a command and does not begin (shut)",
			 shut, 0, 0);
	if (!accepted && !was->moving && n->brain->closing[instance].reason == REASON_SWITCHOVER)
		sim_fail(w, SIM_C13, node, instance, "refuses a command and begins all the same", 0,
			 0, 0);
}
