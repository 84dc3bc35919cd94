/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Model of the decision on views and of what it means for acknowledged records
 * (datapath/proto/agree.c, runtime/avail/plan.c, runtime/core/brain_agree.c, brain_mirror.c,
 * brain_copies.c): three voters, one instance with one lane. Node 0 holds it in view 1, with the
 * in-sync set SYNC_1. With -DWITNESS node 2 has no copy and proposes nothing.
 *
 * No time. A holder that does not know of a newer view acts for ever, any voter may suspect anybody
 * at any time, and anybody may be stopped at any step for any time: what the leases (lease.pml)
 * forbid is allowed here. So nothing below rests on clocks.
 *
 * Frames. What was once said stays said: promises, votes, proposals, decided views and records may
 * be taken at any later time, any number of times or never. That is loss, delay, change of order,
 * duplication and replay in one. A session's acknowledgements are what its receiver last said.
 *
 * Records are bits, in the order of writing over the whole run. A lane is a set of them: it is only
 * ever appended to.
 *
 * Checked
 *   C2  no epoch has two views                                              in decide()
 *   C3  a node's epoch never goes back                                      in adopt()
 *   C5  what was acknowledged is at whoever may be promoted: at every node
 *       in sync by the newest view, unless it has lost its memory           in survives()
 *   C7  who takes over goes on where the last holder was at some time, and
 *       who is in sync is where the holder was: no gap, and nothing that was
 *       given up before                                 in take_over(), in_line()
 *   C8  who takes over has a whole copy                                     in take_over()
 *
 * What is left out, and why that is sound
 *   What a voter refuses (agree_acceptable) is a frame lost: proposals here follow the planner, and
 *   any voter may refuse any. That a secondary takes nothing of a holder after voting against it:
 *   here it does, until it knows the new view.
 *   No instance without a holder, no formation and no state given up: when no copy is left the
 *   model stops. tests/sim checks them.
 *   Limits: EPOCHS views, BALLOTS in each, WRITES records, RESTARTS (each node once).
 */
#ifndef EPOCHS
#define EPOCHS 3
#endif
#ifndef BALLOTS
#define BALLOTS 2
#endif
#ifndef WRITES
#define WRITES 1 /* at most 3 */
#endif
#ifndef RESTARTS
#define RESTARTS 0
#endif
#ifndef SYNC_1
#define SYNC_1 3
#endif
#define N 3
#define BIT(n) (1 << (n))
#define PAIR(h, n) ((h) * N + (n))

/* A view is holder, in-sync set, incarnations. 0: none. */
#define VIEW(holder, sync, lives) ((holder) | (sync) << 2 | (lives) << 5)
#define HOLDER(v) ((v) & 3)
#define SYNC(v) ((v) >> 2 & 7)
#define LIVES(v) ((v) >> 5)
byte view[EPOCHS + 1]; /* decided */
byte tenure[EPOCHS + 1]; /* epoch in which the view's holder began */
byte newest = 1;

/* Said about ballot b of epoch e: the value, votes (node * 2 + life), promises of each node. */
#define SLOT(e, b) (((e) - 2) * BALLOTS + (b) - 1)
#define SLOTS ((EPOCHS - 1) * BALLOTS)
#define VOTE(n, l) (1 << ((n) * 2 + (l)))
byte value[SLOTS], votes[SLOTS];
byte promise[SLOTS * N]; /* 1 + ballot accepted before + 4 * life, 0: none */
#define PROMISE(e, b, n) promise[SLOT(e, b) * N + (n)]
#define CLAIMED(e, b) (PROMISE(e, b, 0) || PROMISE(e, b, 1) || PROMISE(e, b, 2))

/* Nodes. */
byte lives; /* one bit each */
byte epoch[N], promised[N], accepted[N], ballot[N];
byte copy[N];
bool whole[N];
byte source[N], base[N]; /* tenure whose holder fills the copy, and what makes it whole */
#define LIFE(n) (lives >> (n) & 1)
#define SEEN(n) view[epoch[n]]
#define ADMITTED(n) (epoch[n] != 0 && (LIVES(SEEN(n)) >> (n) & 1) == LIFE(n))
#define ACTS(n) (ADMITTED(n) && HOLDER(SEEN(n)) == (n) && whole[n])

/* Sessions of h with n, at h; the records of a tenure, as sent. */
bool offer[N * N], got_whole[N * N], joining[N * N], caught_up[N * N];
byte got[N * N];
byte lane[EPOCHS + 1];
byte written, restarts;

byte acked; /* ghost: told to applications */

/* ---- checks ---------------------------------------------------------------------------------- */

#define SAFE(n) (!(SYNC(view[newest]) & BIT(n)) || \
	(LIVES(view[newest]) >> (n) & 1) != LIFE(n) || (acked & ~copy[n]) == 0)
inline survives()
{
	assert(SAFE(0) && SAFE(1) && SAFE(2)); /* C5 */
}

/* All of the lane up to the copy's last record. */
#define UP_TO(c) ((c) > 3 -> 7 : ((c) > 1 -> 3 : (c)))
#define IS_PREFIX(c, l) ((c) == ((l) & UP_TO(c)))
#define FOLLOWS(n) (HOLDER(view[newest]) == (n) || !(SYNC(view[newest]) & BIT(n)) || \
	(LIVES(view[newest]) >> (n) & 1) != LIFE(n) || IS_PREFIX(copy[n], lane[tenure[newest]]))
inline in_line()
{
	assert(FOLLOWS(0) && FOLLOWS(1) && FOLLOWS(2)); /* C7 */
}

/* ---- agreement ------------------------------------------------------------------------------- */

/* agree_on_prepare(): also before the node is admitted; such a promise is told by its life. */
inline say_promise(n, b)
{
	promised[n] = b;
	PROMISE(epoch[n] + 1, b, n) = 1 + accepted[n] + 4 * LIFE(n)
}

inline prepare(n, b)
{
	ADMITTED(n) && epoch[n] < EPOCHS && ballot[n] == 0 && b > promised[n] &&
	!CLAIMED(epoch[n] + 1, b) ->
	ballot[n] = b;
	say_promise(n, b)
}

inline promise_it(n, b)
{
	epoch[n] != 0 && epoch[n] < EPOCHS && b > promised[n] && CLAIMED(epoch[n] + 1, b) ->
	say_promise(n, b)
}

inline vote(n, b)
{
	promised[n] = b; accepted[n] = b;
	votes[SLOT(epoch[n] + 1, b)] = votes[SLOT(epoch[n] + 1, b)] | VOTE(n, LIFE(n))
}

/* agree_on_proposal() */
#ifdef M_PROMISE_BROKEN
#define NOT_BELOW(n, b) true
#else
#define NOT_BELOW(n, b) ((b) >= promised[n])
#endif
inline accept(n, b)
{
	epoch[n] != 0 && epoch[n] < EPOCHS && NOT_BELOW(n, b) && b > accepted[n] &&
	value[SLOT(epoch[n] + 1, b)] != 0 ->
	vote(n, b)
}

/* brain_plan(), brain_compose(): w becomes the value. */
#ifdef M_PROMOTED_NOT_IN_SYNC
#define MAY_FOLLOW(n, m) true
#else
#define MAY_FOLLOW(n, m) (SYNC(SEEN(n)) & BIT(m))
#endif
#ifdef M_RESTARTED_STAYS_IN_SYNC
#define STAY(s) (s)
#else
#define STAY(s) ((s) & ~gone)
#endif
inline displace(n, m)
{
	HOLDER(SEEN(n)) != m && MAY_FOLLOW(n, m) && !(gone & BIT(m)) -> w = VIEW(m, BIT(m), l)
}
inline take_in(n, m)
{
	HOLDER(SEEN(n)) == n && !(SYNC(SEEN(n)) & BIT(m)) && caught_up[PAIR(n, m)] &&
	!(gone & (BIT(m) | BIT(n))) ->
	w = VIEW(n, STAY(SYNC(SEEN(n))) | BIT(m), l)
}
inline leave_out(n, m)
{
	HOLDER(SEEN(n)) != m && (SYNC(SEEN(n)) & BIT(m)) && !(gone & BIT(HOLDER(SEEN(n)))) ->
	w = VIEW(HOLDER(SEEN(n)), STAY(SYNC(SEEN(n)) & ~BIT(m)), l)
}
inline compose(n)
{
	if
	:: l = LIVES(SEEN(n))
	:: LIVES(SEEN(n)) != lives -> l = lives
	fi;
	gone = l ^ LIVES(SEEN(n));
	if
	:: displace(n, 0)
	:: displace(n, 1)
#ifndef WITNESS
	:: displace(n, 2)
#endif
	:: take_in(n, 0)
	:: take_in(n, 1)
#ifndef WITNESS
	:: take_in(n, 2)
#endif
	:: leave_out(n, 0)
	:: leave_out(n, 1)
#ifndef WITNESS
	:: leave_out(n, 2)
#endif
	:: gone && !(gone & BIT(HOLDER(SEEN(n)))) ->
		w = VIEW(HOLDER(SEEN(n)), STAY(SYNC(SEEN(n))), l)
	:: else -> w = 0
	fi;
	l = 0; gone = 0
}

inline propose(n, b)
{
	if
	:: w != 0 ->
		value[SLOT(epoch[n] + 1, b)] = w;
		vote(n, b);
		w = 0
	:: else
	fi;
	ballot[n] = 0
}

/* agree_coordinator(): the holder, once, with the first ballot. */
#ifdef M_ANYBODY_COORDINATES
#define COORDINATES(n) true
#else
#define COORDINATES(n) (HOLDER(SEEN(n)) == (n))
#endif
inline propose_first(n)
{
	ADMITTED(n) && epoch[n] < EPOCHS && COORDINATES(n) && promised[n] == 0 && ballot[n] == 0 ->
	compose(n);
	propose(n, 1)
}

/* agree_promises(): of admitted voters x and y. */
#define PROMISED(n, b, x) (PROMISE(epoch[n] + 1, b, x) != 0 && \
	(PROMISE(epoch[n] + 1, b, x) - 1) / 4 == (LIVES(SEEN(n)) >> (x) & 1))
#define BEFORE(n, b, x) ((PROMISE(epoch[n] + 1, b, x) - 1) % 4)
inline propose_next(n, x, y)
{
	ballot[n] != 0 && promised[n] == ballot[n] && PROMISED(n, ballot[n], x) &&
	PROMISED(n, ballot[n], y) ->
	l = BEFORE(n, ballot[n], x);
	l = (BEFORE(n, ballot[n], y) > l -> BEFORE(n, ballot[n], y) : l);
#ifdef M_ACCEPTED_VALUE_IGNORED
	l = 0;
#endif
	if
	:: l == 0 -> compose(n)
	:: l != 0 -> w = value[SLOT(epoch[n] + 1, l)]; l = 0
	fi;
	propose(n, ballot[n])
}

/* brain_give_up_proposal() */
inline give_up(n)
{
	ballot[n] != 0 && promised[n] != ballot[n] -> ballot[n] = 0
}

/* agree_tally() */
#ifdef M_OTHER_LIFE_VOTES
#define VOTED(n, b, x) ((votes[SLOT(epoch[n] + 1, b)] & (VOTE(x, 0) | VOTE(x, 1))) != 0)
#else
#define VOTED(n, b, x) ((votes[SLOT(epoch[n] + 1, b)] & \
	VOTE(x, LIVES(SEEN(n)) >> (x) & 1)) != 0)
#endif
#ifdef M_HALF_IS_ENOUGH
#define DECIDED(n, b) (VOTED(n, b, 0) || VOTED(n, b, 1) || VOTED(n, b, 2))
#else
#define DECIDED(n, b) (VOTED(n, b, 0) && VOTED(n, b, 1) || VOTED(n, b, 0) && VOTED(n, b, 2) || \
	VOTED(n, b, 1) && VOTED(n, b, 2))
#endif
inline decide(n, b)
{
	epoch[n] != 0 && epoch[n] < EPOCHS && value[SLOT(epoch[n] + 1, b)] != 0 && DECIDED(n, b) ->
	w = value[SLOT(epoch[n] + 1, b)];
	assert(view[epoch[n] + 1] == 0 || view[epoch[n] + 1] == w); /* C2 */
	if
	:: view[epoch[n] + 1] == 0 ->
		newest = epoch[n] + 1;
		view[newest] = w;
		tenure[newest] =
			(HOLDER(w) == HOLDER(SEEN(n)) -> tenure[epoch[n]] : newest);
		survives();
		in_line()
	:: else
	fi;
	w = 0;
	adopt(n, epoch[n] + 1)
}

/* brain_agree_on_view() */
#ifdef M_OLD_VIEW_ADOPTED
#define TO_LEARN(n, e) (epoch[n] != (e))
#else
#define TO_LEARN(n, e) (epoch[n] < (e))
#endif
inline learn(n, e)
{
	view[e] != 0 && TO_LEARN(n, e) -> adopt(n, e)
}

/* agree_commit(), brain_mirror_on_commit() */
inline end_sessions(h)
{
	offer[PAIR(h, 0)] = 0; offer[PAIR(h, 1)] = 0; offer[PAIR(h, 2)] = 0;
	joining[PAIR(h, 0)] = 0; joining[PAIR(h, 1)] = 0; joining[PAIR(h, 2)] = 0;
	caught_up[PAIR(h, 0)] = 0; caught_up[PAIR(h, 1)] = 0; caught_up[PAIR(h, 2)] = 0;
	got[PAIR(h, 0)] = 0; got[PAIR(h, 1)] = 0; got[PAIR(h, 2)] = 0;
	got_whole[PAIR(h, 0)] = 0; got_whole[PAIR(h, 1)] = 0; got_whole[PAIR(h, 2)] = 0
}

inline take_over(n)
{
	assert(whole[n]); /* C8 */
	assert(IS_PREFIX(copy[n], lane[tenure[epoch[n] - 1]])); /* C7 */
	lane[tenure[epoch[n]]] = copy[n];
	acked = acked | copy[n];
	survives()
}

inline joined(n, e, m)
{
	joining[PAIR(n, m)] = joining[PAIR(n, m)] && !(SYNC(view[e]) & BIT(m));
	caught_up[PAIR(n, m)] = caught_up[PAIR(n, m)] && !(SYNC(view[e]) & BIT(m))
}

#define BEGINS(n) (tenure[epoch[n]] == epoch[n])
inline adopt(n, e)
{
	assert(e > epoch[n]); /* C3 */
	if
	:: epoch[n] == 0 || tenure[e] != tenure[epoch[n]] -> end_sessions(n); source[n] = 0
	:: else ->
		joined(n, e, 0);
		joined(n, e, 1);
		joined(n, e, 2)
	fi;
	epoch[n] = e;
	promised[n] = 0; accepted[n] = 0; ballot[n] = 0;
	if
	:: BEGINS(n) && ADMITTED(n) && HOLDER(SEEN(n)) == n -> take_over(n)
	:: else
	fi
}

/* ---- records --------------------------------------------------------------------------------- */

/* A commit at the holder. */
inline write(h)
{
	ACTS(h) && written < WRITES ->
	copy[h] = copy[h] | BIT(written);
	lane[tenure[epoch[h]]] = copy[h];
	written++
}

/* brain_required(), but for those that are joining */
#define MINE(h) (accepted[h] != 0 && HOLDER(value[SLOT(epoch[h] + 1, accepted[h])]) == (h))
#ifdef M_PROPOSED_NOT_ASKED
#define REQUIRED(h) SYNC(SEEN(h))
#else
#define REQUIRED(h) (SYNC(SEEN(h)) | (MINE(h) -> SYNC(value[SLOT(epoch[h] + 1, accepted[h])]) : 0))
#endif

/* brain_keep_sessions(): a new session with whom no acknowledgement is required of. */
inline begin_session(h, n)
{
	ACTS(h) && !(REQUIRED(h) & BIT(n)) ->
	offer[PAIR(h, n)] = true;
	joining[PAIR(h, n)] = false; caught_up[PAIR(h, n)] = false;
#ifndef M_EARLIER_SESSION_COUNTS
	got[PAIR(h, n)] = 0; got_whole[PAIR(h, n)] = false;
#endif
	source[n] = (source[n] == tenure[epoch[h]] -> 0 : source[n])
}

/* MIRROR_START at the secondary: what it has goes, until it has all that is there now. */
inline start(h, n)
{
	offer[PAIR(h, n)] && ACTS(h) && ADMITTED(n) && tenure[epoch[n]] == tenure[epoch[h]] &&
	!(SYNC(SEEN(n)) & BIT(n)) ->
	offer[PAIR(h, n)] = false;
	source[n] = tenure[epoch[h]];
	base[n] = copy[h];
#ifndef M_NOT_EMPTIED
	copy[n] = 0;
#endif
	whole[n] = (base[n] & ~copy[n]) == 0;
	base[n] = (whole[n] -> 0 : base[n])
}

/* brain_takes_from(): the next record of the lane, also when its holder is gone. */
#define TAKES(n) (source[n] != 0 && ADMITTED(n) && tenure[epoch[n]] == source[n])
#define MISSES(n) (lane[source[n]] & ~copy[n])
inline take(n)
{
	TAKES(n) && MISSES(n) != 0 ->
	copy[n] = copy[n] | (MISSES(n) & ~(MISSES(n) - 1));
	whole[n] = whole[n] || (base[n] & ~copy[n]) == 0;
	base[n] = (whole[n] -> 0 : base[n])
}

inline acknowledge(h, n)
{
	TAKES(n) && ACTS(h) && tenure[epoch[h]] == source[n] &&
	(got[PAIR(h, n)] != copy[n] || got_whole[PAIR(h, n)] != whole[n]) ->
	got[PAIR(h, n)] = copy[n];
	got_whole[PAIR(h, n)] = whole[n]
}

/* brain_judge_secondaries() */
#ifdef M_JOINS_WHEN_ASKED
#define MAY_JOIN(h, n) true
#else
#define MAY_JOIN(h, n) got_whole[PAIR(h, n)]
#endif
inline join(h, n)
{
	ACTS(h) && !(SYNC(SEEN(h)) & BIT(n)) && !joining[PAIR(h, n)] && MAY_JOIN(h, n) ->
	joining[PAIR(h, n)] = true
}

#ifdef M_ADDED_BEFORE_IT_CAUGHT_UP
#define MAY_BE_ADDED(h, n) true
#else
#define MAY_BE_ADDED(h, n) ((acked & copy[h] & ~got[PAIR(h, n)]) == 0)
#endif
inline catch_up(h, n)
{
	ACTS(h) && joining[PAIR(h, n)] && !caught_up[PAIR(h, n)] && MAY_BE_ADDED(h, n) ->
	caught_up[PAIR(h, n)] = true
}

#ifdef M_JOINING_NOT_ASKED
#define ASKED(h, n) (REQUIRED(h) & BIT(n))
#else
#define ASKED(h, n) (REQUIRED(h) & BIT(n) || joining[PAIR(h, n)])
#endif
#if defined(M_ACKED_BY_ITSELF)
#define HAS(h, n, new) true
#elif defined(M_ACKED_BY_ONE)
#define HAS(h, n, new) (HAS_1(h, 0, new) || HAS_1(h, 1, new) || HAS_1(h, 2, new))
#define HAS_1(h, n, new) ((n) != (h) && (got[PAIR(h, n)] & (new)))
#else
#define HAS(h, n, new) (n == h || !ASKED(h, n) || \
	got_whole[PAIR(h, n)] && (got[PAIR(h, n)] & (new)))
#endif
#ifdef M_DROPPED_WITHOUT_A_VIEW
#define DROPPED(n) (source[n] == 0)
#else
#define DROPPED(n) false
#endif

/* brain_acknowledge(): the first record that applications have not been told of. */
#define UNTOLD(h) (copy[h] & ~acked)
#define FIRST(h) (UNTOLD(h) & ~(UNTOLD(h) - 1))
inline tell(h)
{
	ACTS(h) && UNTOLD(h) != 0 && (HAS(h, 0, FIRST(h)) || DROPPED(0)) &&
	(HAS(h, 1, FIRST(h)) || DROPPED(1)) && (HAS(h, 2, FIRST(h)) || DROPPED(2)) ->
	acked = acked | FIRST(h);
	survives()
}

/* ---- faults ---------------------------------------------------------------------------------- */

inline restart(n)
{
	restarts < RESTARTS && LIFE(n) == 0 ->
	restarts++;
#ifdef M_FORGOTTEN_VOTE_COUNTS
	skip;
#else
	lives = lives | BIT(n);
	epoch[n] = 0;
	copy[n] = 0; whole[n] = false; source[n] = 0; base[n] = 0;
#endif
	promised[n] = 0; accepted[n] = 0; ballot[n] = 0;
	end_sessions(n);
	offer[PAIR(0, n)] = 0; offer[PAIR(1, n)] = 0; offer[PAIR(2, n)] = 0
}

#if BALLOTS > 2
#define THIRD(step, n) :: atomic { step(n, 3) }
#else
#define THIRD(step, n)
#endif
#if EPOCHS > 2
#define LEARN_3(n) :: atomic { learn(n, 3) }
#else
#define LEARN_3(n)
#endif
#if EPOCHS > 3
#define LEARN_4(n) :: atomic { learn(n, 4) }
#else
#define LEARN_4(n)
#endif
#define VOTER(n) \
	:: atomic { promise_it(n, 2) } THIRD(promise_it, n) \
	:: atomic { accept(n, 1) } :: atomic { accept(n, 2) } THIRD(accept, n) \
	:: atomic { decide(n, 1) } :: atomic { decide(n, 2) } THIRD(decide, n) \
	:: atomic { learn(n, 1) } :: atomic { learn(n, 2) } LEARN_3(n) LEARN_4(n) \
	:: atomic { restart(n) }
#define PROPOSER(n, x, y) \
	:: atomic { propose_first(n) } \
	:: atomic { prepare(n, 2) } THIRD(prepare, n) \
	:: atomic { propose_next(n, 0, 1) } \
	:: atomic { propose_next(n, 0, 2) } \
	:: atomic { propose_next(n, 1, 2) } \
	:: atomic { give_up(n) }
#define SESSION(h, n) \
	:: atomic { begin_session(h, n) } \
	:: atomic { start(h, n) } \
	:: atomic { acknowledge(h, n) } \
	:: atomic { join(h, n) } \
	:: atomic { catch_up(h, n) }
#define COPY(n) \
	:: atomic { write(n) } \
	:: atomic { take(n) } \
	:: atomic { tell(n) }

init {
	byte w, l, gone;

	d_step {
		view[1] = VIEW(0, SYNC_1, 0);
		tenure[1] = 1;
		epoch[0] = 1; epoch[1] = 1; epoch[2] = 1;
		whole[0] = true;
#if SYNC_1 & 2
		source[1] = 1; whole[1] = true; got_whole[PAIR(0, 1)] = true;
#endif
#if SYNC_1 & 4
		source[2] = 1; whole[2] = true; got_whole[PAIR(0, 2)] = true;
#endif
	};
end:
	do
	VOTER(0) VOTER(1) VOTER(2)
	PROPOSER(0, 1, 2) PROPOSER(1, 0, 2)
	COPY(0) COPY(1)
	SESSION(0, 1) SESSION(1, 0)
#ifndef WITNESS
	PROPOSER(2, 0, 1)
	COPY(2)
	SESSION(0, 2) SESSION(1, 2) SESSION(2, 0) SESSION(2, 1)
#endif
	od
}

/*
 * run pair       normal -DWITNESS                            | two nodes and a witness, three views
 * run joining    normal -DWITNESS -DEPOCHS=2 -DSYNC_1=1 -DRESTARTS=1 -DWRITES=2 | a copy is made
 * run ballots    normal -DWITNESS -DEPOCHS=2 -DBALLOTS=3     | three ballots
 * run three      normal -DEPOCHS=2 -DSYNC_1=7 -DWRITES=2     | three nodes, all in sync
 * run amnesia    normal -DEPOCHS=2 -DRESTARTS=1              | three nodes, one loses its memory
 * run pair_dies  full   -DWITNESS -DRESTARTS=1               | three views and a restart
 * run joining_2  full   -DWITNESS -DEPOCHS=2 -DSYNC_1=1 -DRESTARTS=2 -DWRITES=2 | and made again
 * run pair_four  full   -DWITNESS -DEPOCHS=4                 | to and fro and again
 * run three_all  full   -DEPOCHS=2 -DSYNC_1=7 -DRESTARTS=2   | three nodes, two lose their memory
 *
 * mutant M_HALF_IS_ENOUGH            C2 -DWITNESS -DEPOCHS=2 | one vote of three decides
 * mutant M_ACCEPTED_VALUE_IGNORED    C2 -DWITNESS -DEPOCHS=2 | higher ballot brings its own value
 * mutant M_PROMISE_BROKEN            C2 -DWITNESS -DEPOCHS=2 | voter accepts below its promise
 * mutant M_ANYBODY_COORDINATES       C2 -DWITNESS -DEPOCHS=2 | first ballot without a first phase
 * mutant M_FORGOTTEN_VOTE_COUNTS     C2 -DWITNESS -DEPOCHS=2 -DRESTARTS=1 | votes again
 * mutant M_OTHER_LIFE_VOTES          C2 -DWITNESS -DEPOCHS=2 -DRESTARTS=1 | of another life
 * mutant M_OLD_VIEW_ADOPTED          C3 -DWITNESS -DEPOCHS=2 | a replayed view is taken for news
 * mutant M_PROMOTED_NOT_IN_SYNC      C8 -DWITNESS -DEPOCHS=2 -DSYNC_1=1 | copy not whole
 * mutant M_JOINS_WHEN_ASKED          C8 -DWITNESS -DSYNC_1=1 | joins before its copy is whole
 * mutant M_ACKED_BY_ITSELF           C5 -DWITNESS -DEPOCHS=2 | told before anybody else has it
 * mutant M_ACKED_BY_ONE              C5 -DEPOCHS=2 -DSYNC_1=7 | told when one in sync has it
 * mutant M_DROPPED_WITHOUT_A_VIEW    C5 -DWITNESS -DEPOCHS=2 | secondary left out, no view decided
 * mutant M_ADDED_BEFORE_IT_CAUGHT_UP C5 -DWITNESS -DEPOCHS=2 -DSYNC_1=1 | in sync too early
 * mutant M_JOINING_NOT_ASKED         C5 -DWITNESS -DEPOCHS=2 -DSYNC_1=1 | joining has it not
 * mutant M_PROPOSED_NOT_ASKED        C5 -DWITNESS -DEPOCHS=2 -DSYNC_1=1 | proposed has it not
 * mutant M_EARLIER_SESSION_COUNTS    C5 -DWITNESS -DEPOCHS=2 -DSYNC_1=1 | since emptied
 * mutant M_RESTARTED_STAYS_IN_SYNC   C5 -DWITNESS -DEPOCHS=2 -DRESTARTS=1 | in sync, with no memory
 * mutant M_NOT_EMPTIED               C7 -DWITNESS            | new copy keeps what was given up
 */
