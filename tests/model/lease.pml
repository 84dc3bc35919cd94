/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Model of leases by echo, early votes and hand-over (datapath/proto/lease.c, agree.c, peer.c,
 * runtime/core/brain_role.c, brain.c) in discrete time with clocks that drift: three voters, one
 * instance. Node 0 holds it in the first view, SECOND and THIRD in the next. Who is never named may
 * be a witness as well as a node.
 *
 * Time. Deadlines are timers that run down on their owner's clock. At every L-th tick of true time
 * each clock may lag a tick or gain one, so clocks differ from true time by RHO = 1 in L. In ticks:
 *   lease    L - RHO on the wire, the gate shuts GUARD earlier, from the *sending* of the beat
 *   promise  L + RHO + GUARD from its receipt; also the silence of a voter without memory
 * What passed an open gate may be on the wire for GUARD.
 *
 * Faults. A frame may be lost, late, doubled, out of order, or replayed at any time: whatever was
 * sent may be taken for ever, as often as sequence numbers and incarnations let it. Each node may
 * be stopped anywhere for any time (it then takes no step) and, RESTARTS times in all, lose its
 * memory.
 *
 * Checked
 *   C1  at most one node emits at any instant: who begins finds the others silent   in emit()
 *   C3  who emits knows the newest view in which anybody emitted                    in clock()
 *   C11 -DLIVELY: when faults end and a majority is connected, some gate opens      served
 *
 * What is left out, and why that is sound
 *   Ballots: each epoch has one value. Single-decree Paxos among voters with memory decides no
 *   second one, and who accepted a value that is not decided only grants less.
 *   A vote is read from the voter's present state: one that was under way says more of the wait,
 *   and the receiver counts from its receipt, so it starts later; the vote of one that restarted
 *   since is kept (old_*). A committed view is read likewise.
 *   A beat is taken when it is echoed: an echo held back grants what one at once could have. A beat
 *   whose lease is over is not echoed any more: that could only lengthen a promise.
 *   Nobody's silence is modelled: any voter may suspect anybody at any time.
 *   In the last view the holder needs no lease (it may act more, not less), and who does not hold
 *   it does nothing more that matters but to answer.
 *   Formation, and copies and what is in them, are not here: tests/sim checks them.
 *   Limits: BEATS beats in each life of a holder, EPOCHS views, RESTARTS. Time is not limited.
 */
/* Holders of views 1, 2 (and 3). */
#ifndef SECOND
#define SECOND 1
#endif
#ifndef THIRD
#define THIRD 1
#endif
#ifdef LIVELY
#define LAST_LEARNS
#define BEATS 1
#define RESTARTS 0
#endif
#ifndef BEATS
#define BEATS 2
#endif
#ifndef EPOCHS
#define EPOCHS 2 /* or 3 */
#endif
#if EPOCHS == 2
#define LAST SECOND
#else
#define LAST THIRD
#endif
#ifndef RESTARTS
#define RESTARTS 1
#endif
#define N 3
#define NONE 3
#ifndef L
#define L 4
#endif
#define RHO 1
#define GUARD 1

#if defined(M_NO_RATE)
#define SPAN L
#define PROMISE (L + GUARD)
#elif defined(M_NO_GUARD)
#define SPAN (L - RHO + GUARD)
#define PROMISE (L + RHO)
#elif defined(M_PROMISE_SHORTER)
#define SPAN (L - RHO)
#define PROMISE (L - RHO - GUARD)
#else
#define SPAN (L - RHO)
#define PROMISE (L + RHO + GUARD)
#endif

#define AT(v, h) ((v) * N + (h))
#define BEAT(h, s) ((h) * BEATS + (s) - 1)
#define LIFE(e, n) ((e) * N + (n))

/* Views: the value of each epoch, holder NONE + 1: none proposed yet. */
byte holder[EPOCHS + 2];
bit life_in[(EPOCHS + 2) * N]; /* incarnation that the view names */

/* Nodes. */
bit life[N];
byte epoch[N];
bool accepted[N];
byte lease[N];        /* as it is on the wire; the gate is open while it is above GUARD */
byte act_from[N];
byte silence[N];
byte sent[N], rest[N * BEATS]; /* beats sent, and what a lease from each would still last */
byte heard[N * N];    /* newest beat taken by v from h */
byte promise[N * N];

/* Frames that were sent: grants by life of the voter, epoch and beat; releases by epoch. */
short grants[N * N];
#define GRANT(l, e, s) (1 << ((l) * EPOCHS * BEATS + ((e) - 1) * BEATS + (s) - 1))
byte released[N];     /* bit e: in epoch e */
#define IN(e) (1 << (e))

/* Vote of a voter that lost its memory since: epoch 0, none. */
byte old_voter, old_epoch, old_wait;
bit old_life;
byte restarts;
byte phase;
byte rate[N];

/* Ghosts. */
byte wire[N];         /* something of the node may be on the wire */
byte newest;          /* greatest epoch that anybody emitted in */

#define RUN(timer, by) timer = (timer > by -> timer - by : 0)
#define MAX(a, b) (a > b -> a : b)
#define STRETCH(w) ((w) + ((w) * RHO + L - 1) / L)

#ifdef M_AMNESIC_VOTES
#define ADMITTED(e, n, l) ((e) != 0)
#else
#define ADMITTED(e, n, l) ((e) != 0 && life_in[LIFE(e, n)] == (l))
#endif
#define HAS_MEMORY(n) ADMITTED(epoch[n], n, life[n])
/* The value after epoch e takes a role from h. */
#define KEPT(e) (holder[e] == holder[e + 1] && \
	life_in[LIFE(e, holder[e])] == life_in[LIFE(e + 1, holder[e])])
#define DISPLACES(e, h) (holder[e] == (h) && !KEPT(e))
#define PROPOSED(e) ((e) <= EPOCHS && holder[e] <= NONE)

/* brain_released: by this node's own word, of its view. */
#ifdef M_STALE_RELEASE
#define RELEASED(h, e) (released[h] != 0)
#else
#define RELEASED(h, e) ((released[h] & IN(e)) != 0)
#endif

/* ---- roles ----------------------------------------------------------------------------------- */

/* brain_may_be_primary() and the gate */
#ifdef M_OPEN_AT_THE_END
#define UNTIL(h) (lease[h] >= GUARD)
#else
#define UNTIL(h) (lease[h] > GUARD)
#endif
#ifdef M_RELEASED_BEFORE_SHUT
#define SHUT(h) false
#else
#define SHUT(h) ((released[h] & IN(epoch[h])) != 0)
#endif
/* In the last view a lease is taken for granted. */
#define OPEN(h) (epoch[h] != 0 && holder[epoch[h]] == (h) && HAS_MEMORY(h) && \
	act_from[h] == 0 && (UNTIL(h) || epoch[h] == EPOCHS) && !SHUT(h))

/* An open gate lets something pass in every tick and until the last instant. */
#define SILENT(h) (!OPEN(h) && wire[h] == 0)
inline emit(h, x, y)
{
	OPEN(h) && epoch[h] > newest ->
	assert(SILENT(x) && SILENT(y)); /* C1 */
	newest = epoch[h]
}

/* ---- time ------------------------------------------------------------------------------------ */

inline clock(n, by)
{
	if
	:: OPEN(n) ->
		assert(epoch[n] >= newest); /* C3 */
		wire[n] = GUARD + 1
	:: else
	fi;
	RUN(lease[n], by); RUN(act_from[n], by); RUN(silence[n], by); RUN(wire[n], by);
	RUN(rest[BEAT(n, 1)], by);
#if BEATS > 1
	RUN(rest[BEAT(n, 2)], by);
#endif
#if BEATS > 2
	RUN(rest[BEAT(n, 3)], by);
#endif
	RUN(promise[AT(n, 0)], by); RUN(promise[AT(n, 1)], by); RUN(promise[AT(n, 2)], by);
	if
	:: old_epoch != 0 && old_voter == n -> RUN(old_wait, by)
	:: else
	fi
}

/* -DDRIFT_VARIES: at every L-th tick anew; else each clock keeps to one rate. */
#define EXACT 0
#define SLOW 1
#define FAST 2
inline clock_somehow(n)
{
#ifdef DRIFT_VARIES
	if
	:: clock(n, 1)
	:: phase == 0
	:: phase == 0 -> clock(n, 2)
	fi
#else
	if
	:: rate[n] == SLOW && phase == 0
	:: rate[n] == FAST && phase == 0 -> clock(n, 2)
	:: else -> clock(n, 1)
	fi
#endif
}

inline tick()
{
	phase = (phase + 1) % L;
	clock_somehow(0);
	clock_somehow(1);
	clock_somehow(2)
}

/* The worst for safety is a slow holder among fast others; -DALL_RATES: every combination. */
inline set_rate(n)
{
	if
#ifdef ALL_RATES
	:: rate[n] = SLOW
	:: rate[n] = FAST
	:: rate[n] = EXACT
#else
	:: n == 0 -> rate[n] = SLOW
	:: n != 0 -> rate[n] = FAST
#endif
	fi
}

/* ---- leases ---------------------------------------------------------------------------------- */

inline send(h)
{
	sent[h] < BEATS && epoch[h] != 0 && epoch[h] < EPOCHS ->
	sent[h]++;
	rest[BEAT(h, sent[h])] = SPAN
}

/* peer_receive(): the newest beat, older ones are lost; brain_grants(), lease_promise(). */
#ifdef M_GRANTS_AFTER_VOTE
#define MAY_GRANT(v, h) true
#else
#define MAY_GRANT(v, h) (!(accepted[v] && DISPLACES(epoch[v], h)))
#endif
inline echo(v, h, s)
{
	s <= sent[h] && heard[AT(v, h)] < s && rest[BEAT(h, s)] != 0 &&
	HAS_MEMORY(v) && ADMITTED(epoch[v], h, life[h]) && MAY_GRANT(v, h) ->
	heard[AT(v, h)] = s;
	grants[AT(v, h)] = grants[AT(v, h)] | GRANT(life[v], epoch[v], s);
	promise[AT(v, h)] = PROMISE
}

/* brain_on_beat(), lease_grant_heard(), lease_renew(): with the node's own, two are a majority. */
#ifdef M_GRANT_OF_LATER_VIEW
#define GRANT_FITS(e, h) true
#else
#define GRANT_FITS(e, h) ((e) <= epoch[h])
#endif
#ifdef M_RENEWS_AFTER_VOTE
#define MAY_RENEW(h) true
#else
#define MAY_RENEW(h) (!(accepted[h] && DISPLACES(epoch[h], h)))
#endif
#if defined(M_LEASE_FROM_REPLY)
#define GRANTED(h, s) SPAN
#elif defined(M_OLD_ECHO_EXTENDS)
#define GRANTED(h, s) rest[BEAT(h, sent[h])]
#else
#define GRANTED(h, s) rest[BEAT(h, s)]
#endif
inline take(h, v, l, e, s)
{
	(grants[AT(v, h)] & GRANT(l, e, s)) != 0 && GRANT_FITS(e, h) && HAS_MEMORY(h) &&
	ADMITTED(epoch[h], v, l) && MAY_RENEW(h) && rest[BEAT(h, s)] != 0 ->
	lease[h] = MAX(lease[h], GRANTED(h, s));
	forget(h, s)
}

/* The lease lasts as long as this beat could make it: its grants, and older ones, are of no use. */
inline forget(h, s)
{
	rest[BEAT(h, s)] = 0;
	rest[BEAT(h, 1)] = 0
}

/* ---- views ----------------------------------------------------------------------------------- */

/* brain_compose(): any holder; a restarted voter is named anew when its silence is over. */
inline name(e, v)
{
	if
	:: life_in[LIFE(e, v)] = life_in[LIFE(e - 1, v)]
	:: life_in[LIFE(e - 1, v)] != life[v] && silence[v] == 0 -> life_in[LIFE(e, v)] = life[v]
	fi
}

inline propose(e)
{
	holder[e] = (e == 2 -> SECOND : THIRD);
	name(e, 0);
	name(e, 1);
	name(e, 2)
}

/* agree_on_proposal(): suspicion at any time; a holder itself, too, when the value is forced. */
inline accept(v)
{
	epoch[v] < EPOCHS && HAS_MEMORY(v) && !accepted[v] ->
	if
	:: PROPOSED(epoch[v] + 1)
	:: else -> propose(epoch[v] + 1)
	fi;
	accepted[v] = true
}

/* agree_wait_ns(): what the voter's promises still demand of a start. */
#ifdef M_OWN_LEASE_NOT_TOLD
#define OWN(v) 0
#else
#define OWN(v) lease[v]
#endif
inline wait_of(v, out)
{
	out = act_from[v]; /* a start that lies ahead stands for earlier promises */
	if
	:: !KEPT(epoch[v]) && holder[epoch[v]] == v && !RELEASED(v, epoch[v]) ->
		out = MAX(out, OWN(v))
	:: !KEPT(epoch[v]) && holder[epoch[v]] != v ->
		out = MAX(out, promise[AT(v, holder[epoch[v]])])
	:: KEPT(epoch[v])
	/* ... or it has heard of the release */
	:: !KEPT(epoch[v]) && RELEASED(holder[epoch[v]], epoch[v])
	fi
#ifdef M_WAIT_NOT_TOLD
	; out = 0
#endif
}

/* agree_commit() */
#ifdef LAST_LEARNS
#define STARTS_MATTER(n, e) true
#else
#define STARTS_MATTER(n, e) ((e) != EPOCHS || n == LAST)
#endif
#define FORGET_LAST(n, timer) timer = (epoch[n] == EPOCHS -> 0 : timer)
inline adopt(n, e, start)
{
	if
	:: OPEN(n) -> wire[n] = GUARD + 1
	:: else
	fi;
	if
	:: epoch[n] != 0 && e == epoch[n] + 1 && KEPT(epoch[n])
#ifdef M_STARTS_AT_ONCE
	:: else -> act_from[n] = 0
#else
	:: else -> act_from[n] = (STARTS_MATTER(n, e) -> start : 0)
#endif
	fi;
	epoch[n] = e;
	accepted[n] = false;
	/* In the last view nobody asks for these any more. */
	FORGET_LAST(n, promise[AT(n, 0)]);
	FORGET_LAST(n, promise[AT(n, 1)]);
	FORGET_LAST(n, promise[AT(n, 2)]);
	FORGET_LAST(n, lease[n]);
	FORGET_LAST(n, rest[BEAT(n, 1)])
}

#define VOTES(v, e) (accepted[v] && epoch[v] == (e) && HAS_MEMORY(v))
#define VOTED(v, e) (old_epoch == (e) && old_voter == (v) && ADMITTED(e, v, old_life))

inline vote_wait(v, e, out)
{
	if
	:: VOTES(v, e) -> wait_of(v, out)
	:: VOTED(v, e) -> out = old_wait
	fi
}

/* agree_decided(), agree_kth_ready(): by any two votes. */
inline tally(n, x, y)
{
	epoch[n] != 0 && epoch[n] < EPOCHS && (VOTES(x, epoch[n]) || VOTED(x, epoch[n])) &&
	(VOTES(y, epoch[n]) || VOTED(y, epoch[n])) ->
	vote_wait(x, epoch[n], w);
	vote_wait(y, epoch[n], w2);
#ifdef M_FIRST_READY_STARTS
	w = (w < w2 -> w : w2);
#else
	w = MAX(w, w2);
#endif
	w = STRETCH(w);
	w = STRETCH(w);
	adopt(n, epoch[n] + 1, w);
	w = 0; w2 = 0
}

#ifdef M_MINORITY_DECIDES
inline tally_one(n, x)
{
	epoch[n] != 0 && PROPOSED(epoch[n] + 1) && VOTES(x, epoch[n]) ->
	vote_wait(x, epoch[n], w);
	adopt(n, epoch[n] + 1, w);
	w = 0
}
#endif

/* brain_agree_on_view(): a committed view from somebody who knows it. Who holds the last view
 * counts the votes itself, which is never later; -DLAST_LEARNS: it may also be told. */
#ifdef LAST_LEARNS
#define MAY_LEARN(n, e) true
#else
#define MAY_LEARN(n, e) ((e) != EPOCHS || n != LAST)
#endif
inline learn(n, m)
{
	epoch[m] > epoch[n] && MAY_LEARN(n, epoch[m]) ->
	w = STRETCH(act_from[m]);
	w = STRETCH(w);
	adopt(n, epoch[m], w);
	w = 0
}

/* brain_refresh_lapse(), and a switchover: the gate is shut and that is confirmed, so that nothing
 * is on the wire any more. */
#ifdef M_RELEASED_WITHOUT_GUARD
#define LAPSED(h) (lease[h] <= GUARD)
#else
#define LAPSED(h) (lease[h] == 0)
#endif
#define MAY_RELEASE(h) (epoch[h] != 0 && holder[epoch[h]] == (h) && HAS_MEMORY(h) && \
	(released[h] & IN(epoch[h])) == 0)
inline release(h)
{
	MAY_RELEASE(h) ->
	if
	:: LAPSED(h)
#ifdef M_RELEASED_BEFORE_SHUT
	:: true
#else
	:: wire[h] = 0
#endif
	fi;
	released[h] = released[h] | IN(epoch[h])
}

/* ---- faults ---------------------------------------------------------------------------------- */

inline restart(n)
{
	restarts < RESTARTS ->
	restarts++;
	if
	:: VOTES(n, epoch[n]) ->
		wait_of(n, old_wait); old_voter = n; old_epoch = epoch[n]; old_life = life[n]
	:: true
	fi;
	life[n] = 1 - life[n];
#ifdef M_AMNESIC_VOTES
	skip;
#else
	epoch[n] = 0;
#endif
	accepted[n] = false; lease[n] = 0; act_from[n] = 0;
	silence[n] = PROMISE;
	sent[n] = 0; rest[BEAT(n, 1)] = 0;
#if BEATS > 1
	rest[BEAT(n, 2)] = 0;
#endif
#if BEATS > 2
	rest[BEAT(n, 3)] = 0;
#endif
	/* It hears everybody anew; what was sent to its earlier life is not for it. */
	heard[AT(n, 0)] = 0; heard[AT(n, 1)] = 0; heard[AT(n, 2)] = 0;
	promise[AT(n, 0)] = 0; promise[AT(n, 1)] = 0; promise[AT(n, 2)] = 0;
	heard[AT(0, n)] = 0; heard[AT(1, n)] = 0; heard[AT(2, n)] = 0;
#ifndef M_REPLAY_TO_LATER_LIFE
	grants[AT(0, n)] = 0; grants[AT(1, n)] = 0; grants[AT(2, n)] = 0
#endif
}

#define TAKE(h, v, l, e) \
	:: d_step { take(h, v, l, e, 1) } \
	TAKE_SECOND(h, v, l, e) \
	TAKE_THIRD(h, v, l, e)
#if BEATS > 1
#define TAKE_SECOND(h, v, l, e) :: d_step { take(h, v, l, e, 2) }
#else
#define TAKE_SECOND(h, v, l, e)
#endif
#if BEATS > 2
#define TAKE_THIRD(h, v, l, e) :: d_step { take(h, v, l, e, 3) }
#else
#define TAKE_THIRD(h, v, l, e)
#endif
#if BEATS > 2
#define ECHO(v, h) \
	:: d_step { echo(v, h, 1) } :: d_step { echo(v, h, 2) } :: d_step { echo(v, h, 3) }
#elif BEATS > 1
#define ECHO(v, h) :: d_step { echo(v, h, 1) } :: d_step { echo(v, h, 2) }
#else
#define ECHO(v, h) :: d_step { echo(v, h, 1) }
#endif
#if EPOCHS > 2
#define TAKE_ANY(h, v, l) TAKE(h, v, l, 1) TAKE(h, v, l, 2) TAKE(h, v, l, 3)
#else
#define TAKE_ANY(h, v, l) TAKE(h, v, l, 1) TAKE(h, v, l, 2)
#endif
#define LEASED(h, x, y) \
	:: d_step { send(h) } \
	ECHO(x, h) ECHO(y, h) \
	TAKE_ANY(h, x, 0) TAKE_ANY(h, x, 1) TAKE_ANY(h, y, 0) TAKE_ANY(h, y, 1) \
	:: atomic { release(h) }
#ifdef M_MINORITY_DECIDES
#define MINORITY(n) :: atomic { tally_one(n, n) }
#else
#define MINORITY(n)
#endif
#define VOTER(n, x, y) \
	:: atomic { accept(n) } \
	:: atomic { tally(n, n, x) } :: atomic { tally(n, n, y) } :: atomic { tally(n, x, y) } \
	:: atomic { learn(n, x) } :: atomic { learn(n, y) } \
	:: atomic { restart(n) } \
	MINORITY(n)

/* ---- liveness -------------------------------------------------------------------------------- */

/* -DLIVELY: at some time faults end (calm), and one node, or none, is gone for good. From then on
 * each node has its turn once per tick: it listens to everybody, echoes, counts, votes, sends. The
 * holder of the last view is not the one that is gone and has its memory, and so has a majority:
 * otherwise the model would need one view more. */
#ifdef LIVELY
bool calm;
byte gone = NONE;
byte turn; /* of node 0, 1, 2, of time */
#define UP(n) (gone != (n))
#define USEFUL(n) HELPS(n, gone)
#define MAY_CALM(g) (HELPS(LAST, g) && HELPS(0, g) + HELPS(1, g) + HELPS(2, g) > 1)
#define HELPS(n, g) ((g) != (n) && life[n] == 0)
#define SERVES(n) (UP(n) && OPEN(n))
ltl served { [] (calm -> <> (SERVES(0) || SERVES(1) || SERVES(2))) }

inline listen(n, m)
{
	if
	:: UP(m) ->
		if
		:: learn(n, m)
		:: else
		fi;
		if
		:: epoch[m] != 0 ->
			if
			:: take(n, m, life[m], epoch[m], 1)
			:: else
			fi
		:: else
		fi;
		if
		:: echo(n, m, 1)
		:: else
		fi
	:: else
	fi
}

/* brain_slot_hangs(): what anybody has accepted is brought to an end, too. */
#ifdef M_SLOT_HANGS
#define HANGS(n, x) false
#else
#define HANGS(n, x) (UP(x) && VOTES(x, epoch[n]))
#endif
#ifdef M_RELEASED_KEPT
#define GIVEN_UP(n) false
#else
#define GIVEN_UP(n) RELEASED(holder[epoch[n]], epoch[n])
#endif
#define SUSPECTS(n) (holder[epoch[n]] != n && !USEFUL(holder[epoch[n]]) || GIVEN_UP(n))
inline vote(n, x, y)
{
	if
	:: epoch[n] != 0 && (SUSPECTS(n) || HANGS(n, x) || HANGS(n, y)) ->
		if
		:: accept(n)
		:: else
		fi
	:: else
	fi
}

inline count(n, x)
{
	if
	:: UP(x) ->
		if
		:: tally(n, n, x)
		:: else
		fi
	:: else
	fi
}

/* A new beat: whatever was said of the one before is of no use any more. */
inline beat(h)
{
	sent[h] = 0;
	heard[AT(0, h)] = 0; heard[AT(1, h)] = 0; heard[AT(2, h)] = 0;
	grants[AT(0, h)] = 0; grants[AT(1, h)] = 0; grants[AT(2, h)] = 0;
	if
	:: send(h)
	:: else
	fi
}

#define NODE(n, x, y) \
	do \
	:: atomic { calm && turn == n -> \
		if \
		:: UP(n) -> listen(n, x); listen(n, y); vote(n, x, y); count(n, x); count(n, y); beat(n) \
		:: else \
		fi; \
		turn = n + 1 \
	} \
	od
active proctype node_0() { byte w, w2; NODE(0, 1, 2) }
active proctype node_1() { byte w, w2; NODE(1, 0, 2) }
active proctype node_2() { byte w, w2; NODE(2, 0, 1) }
active proctype time()
{
	do
	:: atomic { calm && turn == N ->
		tick();
		turn = 0
	}
	od
}
#define GO_CALM(g) :: atomic { MAY_CALM(g) -> gone = g; calm = true; break }
#define GO_CALM_SOMEHOW GO_CALM(0) GO_CALM(1) GO_CALM(2) GO_CALM(NONE)
#else
#define GO_CALM_SOMEHOW
#endif

init {
	byte w, w2;

	d_step {
		epoch[0] = 1; epoch[1] = 1; epoch[2] = 1;
		holder[0] = NONE + 1; holder[1] = 0; holder[2] = NONE + 1;
		holder[EPOCHS] = NONE + 1; holder[EPOCHS + 1] = NONE + 1
	};
#ifndef DRIFT_VARIES
	atomic { set_rate(0); set_rate(1); set_rate(2) };
#endif
	do
#ifdef DRIFT_VARIES
	:: atomic { tick() }
#else
	:: d_step { tick() }
#endif
	LEASED(0, 1, 2)
#if EPOCHS > 2 && SECOND == 1
	LEASED(1, 0, 2)
#endif
#ifndef LIVELY
	:: d_step { emit(0, 1, 2) }
	:: d_step { emit(1, 0, 2) }
	:: d_step { emit(2, 0, 1) }
#endif
	VOTER(0, 1, 2)
	VOTER(1, 0, 2)
	VOTER(2, 0, 1)
	GO_CALM_SOMEHOW
	od
}

/*
 * run renewed     normal -DBEATS=2 -DRESTARTS=0 | failover, votes and releases around renewals
 * run restarted   normal -DBEATS=1 -DRESTARTS=1 | any node loses its memory at any step
 * run named_again normal -DL=3 -DEPOCHS=3 -DSECOND=0 -DBEATS=1 -DRESTARTS=0 | holder kept, then not
 * run served      normal -DLIVELY ltl:served | liveness
 * run both        full   -DBEATS=2 -DRESTARTS=1 | renewals and a restart
 * run told        full   -DBEATS=1 -DRESTARTS=1 -DLAST_LEARNS | new holder is told by another
 * run rates       full   -DBEATS=2 -DRESTARTS=0 -DALL_RATES | every combination of clock rates
 * run drift       full   -DBEATS=1 -DRESTARTS=1 -DDRIFT_VARIES | clock rates that change
 * run admitted    full   -DL=3 -DEPOCHS=3 -DSECOND=0 -DBEATS=1 -DRESTARTS=1 | restarted, named anew
 * run there_and_back full -DL=3 -DEPOCHS=3 -DTHIRD=0 -DBEATS=1 -DRESTARTS=0 | to and fro
 * run three_nodes full   -DL=3 -DEPOCHS=3 -DTHIRD=2 -DBEATS=1 -DRESTARTS=0 | each node in its turn
 *
 * mutant M_LEASE_FROM_REPLY       C1 -DRESTARTS=0 | lease counted from the reply
 * mutant M_OLD_ECHO_EXTENDS       C1 -DRESTARTS=0 | replayed echo of an old beat extends
 * mutant M_PROMISE_SHORTER        C1 -DRESTARTS=0 | promise shorter than the lease
 * mutant M_NO_RATE                C1 -DRESTARTS=0 | clock rates left out
 * mutant M_NO_GUARD               C1 -DRESTARTS=0 | guard left out
 * mutant M_OPEN_AT_THE_END        C1 -DRESTARTS=0 | >= for > at the end of the lease
 * mutant M_GRANTS_AFTER_VOTE      C1 -DRESTARTS=0 | voter grants whom it voted to displace
 * mutant M_RENEWS_AFTER_VOTE      C1 -DRESTARTS=0 | holder renews after voting against itself
 * mutant M_GRANT_OF_LATER_VIEW    C1 -DRESTARTS=0 | grant of a later view taken for an earlier role
 * mutant M_OWN_LEASE_NOT_TOLD     C1 -DRESTARTS=0 | holder's vote leaves its own lease out
 * mutant M_WAIT_NOT_TOLD          C1 -DRESTARTS=0 | votes do not tell the wait
 * mutant M_STARTS_AT_ONCE         C1 -DRESTARTS=0 | new holder does not wait
 * mutant M_FIRST_READY_STARTS     C1 -DRESTARTS=0 | new holder waits for one voter alone
 * mutant M_MINORITY_DECIDES       C1 -DRESTARTS=0 | one vote decides
 * mutant M_RELEASED_BEFORE_SHUT   C1 -DRESTARTS=0 | role released before the gate is shut
 * mutant M_RELEASED_WITHOUT_GUARD C1 -DRESTARTS=0 | released at the lease's end, no guard later
 * mutant M_AMNESIC_VOTES          C1 -DBEATS=1    | a voter that forgot keeps its vote
 * mutant M_REPLAY_TO_LATER_LIFE   C1 -DL=3 -DEPOCHS=3 -DSECOND=0 -DBEATS=1 -DRESTARTS=1 | earlier
 * mutant M_SLOT_HANGS             served -DLIVELY ltl:served | a vote is never brought to an end
 * mutant M_RELEASED_KEPT          served -DLIVELY ltl:served | nobody follows who released
 * mutant M_STALE_RELEASE          C1 -DL=3 -DEPOCHS=3 -DSECOND=0 -DBEATS=1 -DRESTARTS=0 | stale
 */
