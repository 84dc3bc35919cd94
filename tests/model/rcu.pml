/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Model of the RCU across processes (shm/rcu.h, shm/registry_update.c) on a machine with store
 * buffers (x86-TSO): every store of a process goes into its own queue and reaches memory later, in
 * order; loads come from memory; a fence or an exchange waits until the own queue is empty.
 *
 * Players
 *   node     poll loop: fills, publishes, unlinks, retires, looks at the slots, reuses
 *   reader 0 packet loop: quiescent-state reader, goes off line and comes back now and then
 *   reader 1 tool: enter/leave reader
 *   reader 2 takes over the slot of a reader that died, once the node has dropped it
 *   reaper   control thread: gives proof of death
 *   fate     kills readers at any step; with -DSTOPS it stops them, too, and lets them go on
 *   memory   delivers buffered stores in any interleaving
 * Any player may also simply do nothing for ever: a node that dies or is stopped, and a reader that
 * is stopped, are covered by that; -DSTOPS matters where a program mistakes it for death.
 *
 * At the start object 0 is published with generation 1.
 * The registry is one directory slot (m_dir: object number + 1, 0: none) and a pool of objects. An
 * object's content is the generation of the handle it belongs to, 0 while it is being filled.
 *
 * Checked
 *   S2  content changes only while no living reader holds the object  (assertion in `memory`)
 *   S3  who finds an object finds it filled                           (assertion in `look`)
 *   S7  what a handle finds belongs to that very component            (assertion in `look`)
 *   R3  when no slot is watched any more, for every reader has died and been proven dead, one look
 *       at the slots sets everything retired free                     (assertion after the poll)
 * The node waits for `memory` alone (fence, full queue), never for a reader: there is no other
 * blocking statement in it. Readers wait for the node once, when they ask to be watched.
 *
 * Sizes: CHANGES (updates, removals and additions by the node), OBJECTS. -DNOBODY_DIES leaves out
 * fate, reaper and reader 2, -DONLY_TOOLS reader 0: two halves that are small enough for every run
 * of the tests; the whole is for `tests/model/run --full`. Mutants: -DM_NAME, each must be rejected.
 *
 * What stands for what
 *   ENTER        rcu_enter(): load of the epoch, exchange into the slot (Q3)
 *   QUIESCENT    rcu_quiescent(): load of the epoch (Q2), plain store (Q1)
 *   LEAVE        rcu_leave(): store 0 (Q1)
 *   retire()     rcu_retire_epoch(): store of the epoch (Q2), fence (Q3)
 *   the poll     rcu_poll() and registry_reclaim()
 *   dropping     rcu_slot_drop()
 */
#ifndef CHANGES
#define CHANGES 3
#endif
#ifndef OBJECTS
#define OBJECTS 3 /* 2 or 3 */
#endif
#ifndef GENERATION_MAX
#define GENERATION_MAX 3 /* two bits */
#endif
#define NONE 255

#define DIR 0
#define EPOCH 1
#define SLOT(s) (2 + (s))
#define OBJ(p) (4 + (p))

byte m_dir = 1, m_epoch = 1, m_slot[2], m_obj[OBJECTS] = 1;

/* Ghosts: what no program can see. */
byte real[OBJECTS] = 1;      /* count of the component that the content belongs to, never wraps */
byte hold[3] = NONE;         /* object that a reader may still look into */
bool dead[3], stopped[3];

/* Between the processes, by messages (sockets, pidfd): no buffers. */
bool proof[2], watched[2], asked[2], dropped[2];
byte owner[2] = { 0, 1 };    /* reader that has the slot */

chan node_buffer = [4] of {byte, byte, byte};
chan buffer0 = [1] of {byte, byte, byte};
chan buffer1 = [1] of {byte, byte, byte};
chan buffer2 = [1] of {byte, byte, byte};

inline deliver(queue)
{
	atomic {
		queue?where, what, ghost;
		if
		:: where == DIR -> m_dir = what
		:: where == EPOCH -> m_epoch = what
		:: where == SLOT(0) -> m_slot[0] = what
		:: where == SLOT(1) -> m_slot[1] = what
		:: where >= OBJ(0) ->
			/* S2 */
			assert(hold[0] != where - OBJ(0) && hold[1] != where - OBJ(0) &&
			       hold[2] != where - OBJ(0));
			m_obj[where - OBJ(0)] = what;
			real[where - OBJ(0)] = ghost
		fi;
		where = 0; what = 0; ghost = 0
	}
}

active proctype memory()
{
	byte where, what, ghost;
end:
	do
	:: deliver(node_buffer)
	:: deliver(buffer0)
	:: deliver(buffer1)
	:: deliver(buffer2)
	od
}

/* ---- node ------------------------------------------------------------------------------------ */

inline retire(p)
{
	epoch++;
	node_buffer!EPOCH, epoch, 0;
#ifdef M_RETIRED_WITH_OLD_EPOCH
	retired[p] = epoch - 1
#else
	retired[p] = epoch
#endif
}

inline fence()
{
#ifdef M_NO_FENCE_AFTER_RETIRE
	skip
#else
	(empty(node_buffer)) /* Q3 */
#endif
}

inline fill(p)
{
#ifndef M_PUBLISHED_BEFORE_FILLED
	node_buffer!OBJ(p), 0, 0;
	node_buffer!OBJ(p), generation, counted
#endif
}

inline fill_late(p)
{
#ifdef M_PUBLISHED_BEFORE_FILLED
	node_buffer!OBJ(p), 0, 0;
	node_buffer!OBJ(p), generation, counted
#else
	skip
#endif
}

inline take_free()
{
	new = 0;
	do
	:: new < OBJECTS && free[new] -> free[new] = false; break
	:: new < OBJECTS && !free[new] -> new++
	od
}

inline see(s)
{
	d_step {
		if
		:: watched[s] ->
			seen = m_slot[s];
			if
#ifdef M_OFF_BY_ONE
			:: seen != 0 && seen + 1 < least -> least = seen + 1
#else
			:: seen != 0 && seen < least -> least = seen
#endif
			:: else
			fi;
			seen = 0
		:: else
		fi
	}
}

#if OBJECTS == 2
#define NONE_RETIRED (retired[0] == 0 && retired[1] == 0)
#define ANY_FREE (free[0] || free[1])
#else
#define NONE_RETIRED (retired[0] == 0 && retired[1] == 0 && retired[2] == 0)
#define ANY_FREE (free[0] || free[1] || free[2])
#endif
#ifdef M_GENERATION_WRAPS
#define GENERATION_LEFT true
#else
#define GENERATION_LEFT (generation < GENERATION_MAX)
#endif

active proctype node()
{
	byte epoch = 1, generation = 1, counted = 1, current, new, old, least, seen, changes, i;
	byte retired[OBJECTS];
	bool free[OBJECTS] = true;

	free[0] = false;

end:
	do
	/* add */
	:: current == NONE && changes < CHANGES && ANY_FREE && GENERATION_LEFT ->
		atomic {
		changes++;
		generation = (generation == GENERATION_MAX -> 1 : generation + 1);
		counted++;
		take_free();
		fill(new);
		node_buffer!DIR, new + 1, 0;
		fill_late(new);
		current = new; new = 0
		}
	/* update */
	:: current != NONE && changes < CHANGES && ANY_FREE ->
		atomic {
		changes++;
		old = current;
		take_free();
		fill(new);
#ifdef M_RETIRED_BEFORE_UNLINKED
		retire(old);
		node_buffer!DIR, new + 1, 0;
#else
		node_buffer!DIR, new + 1, 0;
		fill_late(new);
		retire(old);
#endif
		current = new; new = 0; old = 0
		};
		fence()
	/* remove */
	:: current != NONE && changes < CHANGES ->
		atomic {
		changes++;
		old = current;
		node_buffer!DIR, 0, 0;
		retire(old);
		current = NONE; old = 0
		};
		fence()
	/* the poll, and what it sets free */
	:: !NONE_RETIRED ->
		least = epoch;
		see(0);
#ifndef M_POLL_FORGETS_A_SLOT
		see(1);
#endif
		d_step {
		i = 0;
		do
		:: i < OBJECTS ->
			if
			:: retired[i] && retired[i] <= least -> retired[i] = 0; free[i] = true
			:: else
			fi;
			i++
		:: i == OBJECTS -> break
		od;
		i = 0; least = 0;
		assert(watched[0] || watched[1] || NONE_RETIRED) /* R3 */
		}
	/* a reader asks to be watched */
	:: d_step { asked[0] && !watched[0] -> watched[0] = true; asked[0] = false }
	:: d_step { asked[1] && !watched[1] -> watched[1] = true; asked[1] = false }
	/* proof of death: the slot is dropped */
	:: d_step { proof[0] && watched[0] -> watched[0] = false; proof[0] = false; dropped[0] = true }
	:: d_step { proof[1] && watched[1] -> watched[1] = false; proof[1] = false; dropped[1] = true }
	od
}

/* ---- readers --------------------------------------------------------------------------------- */

/* Asks to be watched and waits for the answer, as haven_worker_begin() does. */
inline sign_on(s)
{
#ifdef M_READS_BEFORE_WATCHED
	asked[s] = true
#else
	asked[s] = true;
	(watched[s])
#endif
}

inline enter(s, queue)
{
	seen = m_epoch;
#ifdef M_ENTER_WITHOUT_EXCHANGE
	queue!SLOT(s), seen, 0;
#else
	(empty(queue));
	m_slot[s] = seen; /* exchange: at once, with an empty queue (Q3) */
#endif
	seen = 0
}

/* Find by name, or by the handle kept from earlier; look into what is found. */
inline look(me)
{
	atomic {
		found = m_dir;
		if
		:: found != 0 -> hold[me] = found - 1
		:: else
		fi
	}
	if
	:: found != 0 ->
		atomic {
			found = m_obj[hold[me]];
			assert(found != 0); /* S3 */
			if
			:: handle == 0 -> handle = found; meant = real[hold[me]]
#ifdef M_NO_GENERATION_CHECK
			:: handle != 0 -> assert(meant == real[hold[me]]) /* S7 */
#else
			:: handle != 0 && handle == found -> assert(meant == real[hold[me]]) /* S7 */
			:: handle != 0 && handle != found -> handle = 0; meant = 0 /* stale, told */
#endif
			fi;
			found = 0
		}
	:: else
	fi
}

#ifndef ONLY_TOOLS
active proctype reader0() provided (!dead[0] && !stopped[0])
{
	byte seen, found, handle, meant;

	sign_on(0);
	enter(0, buffer0);
end:
	do
	:: look(0);
#ifdef M_QUIESCENT_BEFORE_LAST_USE
		buffer0!SLOT(0), m_epoch, 0;
		hold[0] = NONE
#else
#ifndef M_POINTER_KEPT_OVER_QUIESCENT
		hold[0] = NONE;
#endif
		seen = m_epoch;              /* Q2 */
		buffer0!SLOT(0), seen, 0;    /* Q1 */
		seen = 0
#endif
	/* off line, and back */
	:: hold[0] == NONE ->
		buffer0!SLOT(0), 0, 0;
#ifdef M_BACK_WITH_QUIESCENT
		seen = m_epoch;
		buffer0!SLOT(0), seen, 0;
		seen = 0
#else
		enter(0, buffer0)
#endif
	od
}

#endif

inline tool(me, s, queue)
{
	do
	:: enter(s, queue);
		look(me);
#ifdef M_LEAVE_BEFORE_LAST_USE
		queue!SLOT(s), 0, 0;
		hold[me] = NONE
#else
		hold[me] = NONE;
		queue!SLOT(s), 0, 0          /* Q1 */
#endif
	od
}

active proctype reader1() provided (!dead[1] && !stopped[1])
{
	byte seen, found, handle, meant;

	sign_on(1);
end:
	tool(1, 1, buffer1)
}

#ifndef NOBODY_DIES
/* Takes over the first slot that is dropped. */
active proctype reader2() provided (!dead[2] && !stopped[2])
{
	byte seen, found, handle, meant, mine;

end:
	if
	:: d_step { dropped[0] -> dropped[0] = false; mine = 0 }
	:: d_step { dropped[1] -> dropped[1] = false; mine = 1 }
	fi;
	owner[mine] = 2;
	sign_on(mine);
end2:
	tool(2, mine, buffer2)
}

/* ---- fate ------------------------------------------------------------------------------------ */

/* A killed reader looks at nothing any more; what it stored before still reaches memory. */
inline kill(r)
{
	atomic { !dead[r] -> dead[r] = true; stopped[r] = false; hold[r] = NONE }
}

active proctype fate()
{
end:
	do
	:: kill(0)
	:: kill(1)
	:: kill(2)
#ifdef STOPS
	:: atomic { !dead[0] && !stopped[0] -> stopped[0] = true }
	:: atomic { !dead[1] && !stopped[1] -> stopped[1] = true }
	:: atomic { stopped[0] -> stopped[0] = false }
	:: atomic { stopped[1] -> stopped[1] = false }
#endif
	od
}

/* Death is proven by the kernel, which has drained the dead processor's queue by then. */
#if defined(M_PROOF_BEFORE_STORES_ARRIVE)
#define GONE(r, queue) dead[r]
#elif defined(M_STOPPED_TAKEN_FOR_DEAD)
#define GONE(r, queue) ((dead[r] || stopped[r]) && empty(queue))
#else
#define GONE(r, queue) (dead[r] && empty(queue))
#endif
#define PROVE(s, r, queue) \
	d_step { owner[s] == r && watched[s] && !proof[s] && GONE(r, queue) -> proof[s] = true; owner[s] = NONE }

active proctype reaper()
{
end:
	do
	:: PROVE(0, 0, buffer0)
	:: PROVE(1, 1, buffer1)
	:: PROVE(0, 2, buffer2)
	:: PROVE(1, 2, buffer2)
	od
}
#endif
