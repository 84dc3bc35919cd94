/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Model of the RCU across processes (shm/rcu.[ch]), of the registry's updates
 * (shm/registry_update.c) and of how reader slots change hands (shm/client_segment.c,
 * runtime/node/local_scan.c), on a machine with store buffers (x86-TSO): every store of a process
 * goes into its own queue and reaches memory later, in order; loads come from memory; a fence or an
 * exchange waits until the own queue is empty.
 *
 * Players
 *   node     poll loop: adds, updates, removes; looks at the slots, reuses; watches and drops slots
 *   loop     reader 0, packet loop: quiescent points, goes off line and comes back
 *   tool     reader 1, enters and leaves; may give its slot back in order
 *   heir     reader 2, takes over a slot that was given back, or that the node has dropped because
 *            its reader died; enters and leaves
 *   reaper   control thread: tells the node of a death that the kernel has proven
 *   memory   delivers buffered stores, in any interleaving
 * Each reader may be killed between any two of its steps. Each player may be stopped there, too,
 * for any time or for ever: it then takes no step, and nothing in the model forces one. That covers a
 * node that is killed: what stands in its queue may stay there.
 *
 * The registry is one component slot: its word in the directory (m_dir), its entry of the index
 * (m_index), both showing an object (number + 1, 0: none), the count of changes, the epoch, and a
 * pool of objects. An object's content is the generation of the handle it was filled for, 0 while
 * it is being filled. At the start object 0 is shown with generation 1.
 *
 * Checked
 *   S2  (A5, R1) an object changes only while no living reader holds it    in deliver()
 *   S3  (A1) what is found is filled                                       in inspect()
 *   S7  (A4) what a handle finds belongs to that very component            in inspect()
 *   A2  present: never missed while it is there                            in look(), inspect()
 *   A3  forward: by handle never an older object than by name              in inspect()
 *   W2  what is kept over a quiescent point while the count of changes
 *       stands is unchanged, and stays (S2) as long as it is held          in loop
 *   R2  the node waits for its own queue alone, never for a reader: there is no other statement
 *       in it that can block, and a search without invalid end states shows that none does for ever
 *   R3  only a reader holds memory: when every watched slot is 0 or shows the current epoch, one
 *       poll sets free whatever waits                                      in the poll
 *   R4  -DHOSTILE: a stranger writes anything into slot 1; S2 holds for the others
 *
 * What is left out, and why that is sound
 *   One component slot: slots share nothing but the objects, and those are shared here as well.
 *   The index is one entry: entries never move; probing is not a matter of order (I2 is a count).
 *   The node's batch of stores enters its queue at once; what is between two of them is seen when
 *   they leave it. Reader queues hold LAG stores: a longer delay of a slot shows older values only.
 *   Epochs, counts and versions do not wrap in the code (64 bits) and not here. Generations do not
 *   wrap because the node refuses (GENERATION_MAX); a model with a small one shows why.
 *   Machines weaker than TSO are not modelled; the labelled acquires and releases stand for them.
 *
 * Configuration: -DLOOP, -DTOOL, -DHEIR (with deaths), -DHOSTILE choose the players, CHANGES the
 * number of changes by the node, OBJECTS the pool. Mutants: -DM_NAME. Both are listed at the end.
 */
#ifndef CHANGES
#define CHANGES 3
#endif
#ifndef OBJECTS
#define OBJECTS 2 /* 2 or 3 */
#endif
#ifndef GENERATION_MAX
#define GENERATION_MAX 3
#endif
#ifndef LAG
#define LAG 1
#endif
#define NONE 255

/* Cells of memory. */
#define DIR 0
#define INDEX 1
#define COUNT 2
#define EPOCH 3
#define SLOT(s) (4 + (s))
#define ENDED(s) (6 + (s))
#define OBJ(p) (8 + (p))

byte m_dir = 1, m_index = 1, m_count, m_epoch = 1, m_slot[2], m_obj[OBJECTS] = 1;
bool m_ended[2]; /* CLIENT_WORKER_ENDED */
bool m_owned[2]; /* the mark has an owner */

/* Ghosts: what no program can see. A story is life of the component * 16 + number of the change. */
#define FIRST 16
#define LIFE(story) ((story) >> 4)
byte story[OBJECTS] = FIRST; /* of the content */
byte shown = FIRST;          /* of what the directory shows, 0: none */
byte named = FIRST;          /* of what the index shows */
byte hold[3];                /* objects that a reader may look into, one bit each */
bool dead[3];

/* Between the processes, by messages (socket, pidfd): no buffers. */
bool asked[2], watched[2], proof[2];
byte owner[2] = { 0, 1 }; /* reader that has the slot; NONE: it is dead and that was told */

chan node_buffer = [6] of {byte, byte, byte};
chan buffer0 = [LAG] of {byte, byte};
chan buffer1 = [LAG] of {byte, byte};
chan buffer2 = [LAG] of {byte, byte};

/* ---- memory ---------------------------------------------------------------------------------- */

#define HELD(p) ((hold[0] | hold[1] | hold[2]) & (1 << (p)))

inline deliver()
{
	atomic {
		node_buffer?where, what, ghost;
		if
		:: where == DIR -> m_dir = what; shown = ghost
		:: where == INDEX -> m_index = what; named = ghost
		:: where == COUNT -> m_count = what
		:: where == EPOCH -> m_epoch = what
		:: where >= OBJ(0) ->
			assert(!HELD(where - OBJ(0))); /* S2 */
			m_obj[where - OBJ(0)] = what;
			story[where - OBJ(0)] = ghost
		fi;
		where = 0; what = 0; ghost = 0
	}
}

inline deliver_reader(queue)
{
	atomic {
		queue?where, what;
		if
		:: where == SLOT(0) -> m_slot[0] = what
		:: where == SLOT(1) -> m_slot[1] = what
		:: where == ENDED(0) -> m_ended[0] = what
		:: where == ENDED(1) -> m_ended[1] = what
		fi;
		where = 0; what = 0
	}
}

active proctype memory()
{
	byte where, what, ghost;
end:
	do
	:: deliver()
#ifdef LOOP
	:: deliver_reader(buffer0)
#endif
#ifdef TOOL
	:: deliver_reader(buffer1)
#endif
#ifdef HEIR
	:: deliver_reader(buffer2)
#endif
	od
}

/* ---- node ------------------------------------------------------------------------------------ */

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
#define STORY (life * 16 + changes)

inline take_free()
{
	new = 0;
	do
	:: free[new] -> free[new] = false; break
	:: !free[new] -> new++
	od
}

inline fill()
{
	node_buffer!OBJ(new), 0, 0;
#ifndef M_FILLED_BY_HALF
	node_buffer!OBJ(new), generation, STORY
#endif
}

inline link()
{
	node_buffer!DIR, new + 1, STORY; /* C1 */
#ifndef M_INDEX_BEFORE_DIRECTORY
	node_buffer!INDEX, new + 1, STORY /* I1 */
#endif
}

/* rcu_retire_epoch() but for its fence, and registry_retire() */
inline retire(p)
{
	epoch++;
	node_buffer!EPOCH, epoch, 0; /* Q2 */
#if defined(M_RETIRED_WITH_OLD_EPOCH)
	retired[p] = epoch - 1
#elif defined(M_RETIRED_WITH_NEXT_EPOCH)
	retired[p] = epoch + 1
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

inline see(s)
{
	d_step {
		if
#ifdef M_HIGHEST_SLOT_COUNTS
		:: watched[s] && m_slot[s] != 0 && (least == epoch || m_slot[s] > least) ->
#else
		:: watched[s] && m_slot[s] != 0 && m_slot[s] < least ->
#endif
			least = m_slot[s]
#ifdef M_STRANGE_VALUE_BELIEVED
		:: watched[s] && m_slot[s] > epoch -> least = epoch
#endif
		:: else
		fi
	}
}

inline set_free()
{
	d_step {
		do
		:: i < OBJECTS ->
			if
#ifdef M_OFF_BY_ONE
			:: retired[i] && retired[i] <= least + 1 -> retired[i] = 0; free[i] = true
#else
			:: retired[i] && retired[i] <= least -> retired[i] = 0; free[i] = true
#endif
			:: else
			fi;
			i++
		:: i == OBJECTS -> break
		od;
		assert(least < epoch || NONE_RETIRED); /* R3 */
		i = 0; least = 0
	}
}

active proctype node()
{
	byte epoch = 1, generation = 1, life = 1, current, new, old, least, changes, i;
	byte retired[OBJECTS];
	bool free[OBJECTS] = true;

	free[0] = false;
end:
	do
	/* registry_add() */
	:: atomic { current == NONE && changes < CHANGES && ANY_FREE && GENERATION_LEFT ->
		changes++;
		generation = (generation >= GENERATION_MAX -> 1 : generation + 1);
		life++;
		take_free();
#ifdef M_SHOWN_BEFORE_FILLED
		link(); fill();
#else
		fill(); link();
#endif
		node_buffer!COUNT, changes, 0;
		current = new; new = 0
	}
	/* registry_update() */
	:: atomic { current != NONE && changes < CHANGES && ANY_FREE ->
		changes++;
		old = current;
		take_free();
#ifdef M_HANDLE_HIDDEN_BY_UPDATE
		node_buffer!DIR, 0, STORY;
#endif
#ifdef M_NAME_HIDDEN_BY_UPDATE
		node_buffer!INDEX, 0, STORY;
#endif
#if defined(M_RETIRED_BEFORE_UNLINKED)
		retire(old); fill(); link(); node_buffer!COUNT, changes, 0;
#elif defined(M_COUNT_AFTER_EPOCH)
		fill(); link(); retire(old); node_buffer!COUNT, changes, 0;
#elif defined(M_INDEX_BEFORE_DIRECTORY)
		fill(); node_buffer!INDEX, new + 1, STORY; link();
		node_buffer!COUNT, changes, 0; retire(old);
#elif defined(M_RETIRED_BETWEEN_LINKS)
		fill(); node_buffer!DIR, new + 1, STORY; retire(old);
		node_buffer!INDEX, new + 1, STORY; node_buffer!COUNT, changes, 0;
#elif defined(M_NOT_TOLD)
		fill(); link(); retire(old);
#else
		fill(); link(); node_buffer!COUNT, changes, 0; retire(old);
#endif
		current = new; new = 0; old = 0
		};
		fence()
	/* registry_remove() */
	:: atomic { current != NONE && changes < CHANGES ->
		changes++;
		old = current;
#ifndef M_REMOVED_BY_HANDLE_ONLY
		node_buffer!INDEX, 0, 0;
#endif
		node_buffer!DIR, 0, 0;
		node_buffer!COUNT, changes, 0;
		retire(old);
		current = NONE; old = 0
		};
		fence()
	/* registry_reclaim(), rcu_poll() */
	:: d_step { !NONE_RETIRED -> least = epoch };
#if defined(LOOP) || defined(HEIR)
		see(0);
#endif
#if !defined(M_POLL_FORGETS_A_SLOT)
		see(1);
#endif
		set_free()
	/* worker_watch(): what was watched there before has ended in order */
	:: d_step { asked[0] -> watched[0] = true; asked[0] = false }
	:: d_step { asked[1] -> watched[1] = true; asked[1] = false }
	/* local_unwatch() of a reader that gave its slot back */
	:: d_step { watched[1] && m_ended[1] -> watched[1] = false }
#ifdef HEIR
	/* ... and of a dead one */
	:: d_step { proof[0] -> watched[0] = false; proof[0] = false }
	:: d_step { proof[1] -> watched[1] = false; proof[1] = false }
#endif
	od
}

/* ---- readers --------------------------------------------------------------------------------- */

/* One step, or death instead of it. A dead reader looks at nothing any more; what it stored before
 * still reaches memory. */
#ifdef HEIR
#define OR_DIE :: atomic { FORGET; DROP; dead[me] = true; goto gone }
#else
#define OR_DIE
#endif
#define STEP(...) if :: atomic { __VA_ARGS__ } OR_DIE fi
#define LOCALS(number) \
	byte me = number; \
	byte seen, found, handle, meant, kept, noted; \
	bool by_name
#define FORGET seen = 0; found = 0; handle = 0; meant = 0; kept = 0; noted = 0; by_name = false
#define DROP hold[me] = 0
#define BIT(found) ((1 << (found)) >> 1)
#ifdef M_COUNT_READ_AFTER_LOOKUP
#define LOAD_COUNT noted = 0
#else
#define LOAD_COUNT noted = m_count
#endif

/* Asks to be watched and waits for the answer, as haven_worker_begin() does. */
inline sign_on(s)
{
	STEP(asked[s] = true);
#ifndef M_READS_BEFORE_WATCHED
	STEP(!asked[s] -> skip)
#endif
}

inline rcu_enter(s, queue)
{
	STEP(seen = m_epoch); /* Q2 */
#ifdef M_ENTER_WITHOUT_FENCE
	STEP(queue!SLOT(s), seen -> seen = 0)
#else
	STEP(empty(queue) -> m_slot[s] = seen; seen = 0) /* Q3: an exchange */
#endif
}

/* Look up by name, or by the handle that was found under the name some time before. `kept` is what
 * was found by name last, with the count of changes from before. */
inline look()
{
	if
	:: STEP(LOAD_COUNT; by_name = true);
		if
		:: atomic {
			found = m_index;
			assert(found != 0 || named == 0); /* A2 */
			hold[me] = hold[me] | BIT(found)
		}
		OR_DIE
		fi;
#ifdef M_COUNT_READ_AFTER_LOOKUP
		STEP(noted = m_count)
#endif
	:: handle != 0 -> STEP(found = m_dir; hold[me] = hold[me] | BIT(found))
	fi;
	inspect()
}

#ifdef M_NO_GENERATION_CHECK
#define MATCHES (found != 0)
#else
#define MATCHES (found != 0 && m_obj[found - 1] == handle)
#endif

inline inspect()
{
	if
	:: atomic {
		assert(found == 0 || m_obj[found - 1] != 0); /* S3 */
		if
		:: by_name && found == 0 -> kept = 0; noted = 0
		:: by_name && found != 0 ->
			kept = found; handle = m_obj[found - 1]; meant = story[found - 1]
		:: !by_name && MATCHES ->
			assert(LIFE(story[found - 1]) == LIFE(meant)); /* S7 */
			assert(story[found - 1] >= meant) /* A3 */
		:: !by_name && !(MATCHES) ->
			assert(LIFE(shown) != LIFE(meant)); /* A2 */
			handle = 0; meant = 0; kept = 0; noted = 0
		fi;
		found = 0; by_name = false
	}
	OR_DIE
	fi
}

#ifdef LOOP
active proctype loop()
{
	LOCALS(0);

	sign_on(0);
	rcu_enter(0, buffer0);
end:
	do
	:: look()
	/* rcu_quiescent(), then W2 */
	:: true ->
#ifdef M_USED_AFTER_QUIESCENT
		STEP(seen = m_epoch);
		STEP(buffer0!SLOT(0), seen -> seen = 0);
		STEP(DROP);
#else
		STEP(seen = m_epoch; DROP);              /* Q2 */
		STEP(buffer0!SLOT(0), seen -> seen = 0); /* Q1 */
#endif
		if
		:: atomic {
			if
			:: kept != 0 && m_count == noted ->
				assert(story[kept - 1] == meant); /* W2 */
				hold[me] = BIT(kept)
			:: kept == 0 || m_count != noted -> kept = 0; noted = 0
			fi
		}
		OR_DIE
		fi
	/* off line before it blocks, and back */
	:: STEP(DROP; kept = 0; noted = 0);
		STEP(buffer0!SLOT(0), 0);
#ifdef M_BACK_WITH_QUIESCENT
		STEP(seen = m_epoch);
		STEP(buffer0!SLOT(0), seen -> seen = 0)
#else
		rcu_enter(0, buffer0)
#endif
	od;
gone:
end_gone:
	false
}
#endif

/* Outside sections a tool keeps the handle alone. */
inline section(s, queue)
{
	rcu_enter(s, queue);
	do
	:: look()
	:: break
	od;
#ifdef M_USED_AFTER_LEAVE
	STEP(queue!SLOT(s), 0);
	STEP(DROP; kept = 0; noted = 0)
#else
	STEP(DROP; kept = 0; noted = 0);
	STEP(queue!SLOT(s), 0) /* Q1 */
#endif
}

#ifdef TOOL
active proctype tool()
{
	LOCALS(1);

	m_owned[1] = true;
	sign_on(1);
end:
	do
	:: section(1, buffer1)
	/* client_worker_release() */
	:: STEP(FORGET);
		STEP(buffer1!ENDED(1), true); /* W2 of the client segment */
#ifndef M_LAST_STORE_AFTER_MARK
		STEP(buffer1!SLOT(1), 0);
#endif
		STEP(empty(buffer1) -> m_owned[1] = false); /* an exchange */
#ifdef M_LAST_STORE_AFTER_MARK
		STEP(buffer1!SLOT(1), 0);
#endif
		break
	od;
gone:
end_gone:
	false
}
#endif

#ifdef HEIR
/* The kernel marks a dead reader's slot from the processor that ran it, after its last stores. */
#if defined(M_PROOF_BEFORE_STORES_ARRIVE)
#define GONE(r, queue) dead[r]
#elif defined(M_SILENT_TAKEN_FOR_DEAD)
#define GONE(r, queue) empty(queue)
#else
#define GONE(r, queue) (dead[r] && empty(queue))
#endif
/* client_worker_claim(): the slot was given back, its mark is free or left by a death in between,
 * and the heir is a thread of the same process (so nobody proves that this has ended). Or the node
 * has dropped it, and it is a slot of another process that is watched in its place. */
#define FREE_AGAIN(s, r, queue) (owner[s] == NONE && !watched[s] && !proof[s] || \
	owner[s] == r && m_ended[s] && (!m_owned[s] || GONE(r, queue)))
#define CLAIM(s, r, queue) \
	atomic { \
		FREE_AGAIN(s, r, queue) -> \
		owner[s] = 2; m_ended[s] = false; m_owned[s] = true; m_slot[s] = 0; \
		mine = s \
	}

active proctype heir()
{
	LOCALS(2);
	byte mine;

end:
	if
#ifdef LOOP
	:: CLAIM(0, 0, buffer0)
#endif
#ifdef TOOL
	:: CLAIM(1, 1, buffer1)
#endif
	fi;
#ifndef M_HEIR_DOES_NOT_ASK
	sign_on(mine);
#endif
end2:
	do
	:: section(mine, buffer2)
	od;
gone:
end_gone:
	false
}

/* The process of the reader that has the slot has ended: told once, about that watch and no later
 * one. */
#define TELL(s, r, queue) \
	d_step { owner[s] == r && watched[s] && GONE(r, queue) -> proof[s] = true; owner[s] = NONE }

active proctype reaper()
{
end:
	do
#ifdef LOOP
	:: TELL(0, 0, buffer0)
	:: TELL(0, 2, buffer2)
#endif
#ifdef TOOL
	:: TELL(1, 1, buffer1)
	:: TELL(1, 2, buffer2)
#endif
	od
}
#endif

/* ---- a hostile client ------------------------------------------------------------------------ */

#ifdef HOSTILE
active proctype hostile()
{
	watched[1] = true;
end:
	do
	:: m_slot[1] = 0
	:: m_slot[1] = 1
	:: m_slot[1] = 2
	:: m_slot[1] = 3
	:: m_slot[1] = 4
	:: m_slot[1] = NONE
	:: m_ended[1] = !m_ended[1]
	:: asked[1] = true
	od
}
#endif

/*
 * run loop_tool   normal -DLOOP -DTOOL -DCHANGES=2            | two readers, nobody dies
 * run loop_heir   normal -DLOOP -DHEIR -DCHANGES=4            | packet loop dies, its slot goes on
 * run tool_heir   normal -DTOOL -DHEIR -DCHANGES=4 -DOBJECTS=3 -DLAG=2 | slots handed on or reused
 * run hostile     normal -DLOOP -DHOSTILE -DCHANGES=2         | a stranger scribbles in slot 1
 * run everybody   normal -DLOOP -DTOOL -DHEIR -DCHANGES=1     | all players, one change
 * run hostile_3   full   -DLOOP -DHOSTILE -DCHANGES=3         | a stranger, three changes
 * run pool        full   -DLOOP -DTOOL -DOBJECTS=3 -DCHANGES=3 -DLAG=2 | three objects, long queues
 * run everybody_3 full   -DLOOP -DTOOL -DHEIR -DCHANGES=3     | all players, three changes
 *
 * mutant M_NO_FENCE_AFTER_RETIRE   S2 -DTOOL       | looks at slots before its unlinking is seen
 * mutant M_ENTER_WITHOUT_FENCE     S2 -DTOOL       | reader follows links before its slot is seen
 * mutant M_BACK_WITH_QUIESCENT     S2 -DLOOP       | back on line without a fence
 * mutant M_USED_AFTER_QUIESCENT    S2 -DLOOP       | quiescent point before the last use
 * mutant M_USED_AFTER_LEAVE        S2 -DTOOL       | section left before the last use
 * mutant M_RETIRED_BEFORE_UNLINKED S2 -DTOOL       | epoch opened before the object is hidden
 * mutant M_RETIRED_BETWEEN_LINKS   S2 -DTOOL       | epoch opened while the index still shows it
 * mutant M_REMOVED_BY_HANDLE_ONLY  S2 -DTOOL       | removed from the directory, not from the index
 * mutant M_RETIRED_WITH_OLD_EPOCH  S2 -DLOOP       | waits for an epoch that readers show already
 * mutant M_RETIRED_WITH_NEXT_EPOCH R3 -DLOOP       | waits for an epoch that is not opened
 * mutant M_OFF_BY_ONE              S2 -DTOOL       | <= for <
 * mutant M_POLL_FORGETS_A_SLOT     S2 -DTOOL       | poll skips a watched slot
 * mutant M_HIGHEST_SLOT_COUNTS     S2 -DLOOP -DTOOL -DCHANGES=2 | the quickest reader decides
 * mutant M_STRANGE_VALUE_BELIEVED  S2 -DLOOP -DHOSTILE | a slot above the epoch ends the look
 * mutant M_SHOWN_BEFORE_FILLED     S2 -DTOOL       | object written to after it is shown
 * mutant M_FILLED_BY_HALF          S3 -DTOOL       | object shown half filled
 * mutant M_NAME_HIDDEN_BY_UPDATE   A2 -DTOOL       | update takes the entry of the index away first
 * mutant M_HANDLE_HIDDEN_BY_UPDATE A2 -DTOOL       | update takes the directory's word away first
 * mutant M_INDEX_BEFORE_DIRECTORY  A3 -DTOOL       | handle finds an older object than the name
 * mutant M_NO_GENERATION_CHECK     S7 -DTOOL       | handle compared by slot alone
 * mutant M_GENERATION_WRAPS        S7 -DTOOL -DGENERATION_MAX=1 | generation comes back
 * mutant M_COUNT_AFTER_EPOCH       S2 -DLOOP       | epoch opened before the change is told
 * mutant M_NOT_TOLD                W2 -DLOOP cc:-DREVERSE | update does not raise the count
 * mutant M_COUNT_READ_AFTER_LOOKUP W2 -DLOOP cc:-DREVERSE | reader notes the count too late
 * mutant M_READS_BEFORE_WATCHED    S2 -DTOOL       | reader enters before the node watches its slot
 * mutant M_HEIR_DOES_NOT_ASK       S2 -DTOOL -DHEIR | slot taken over without asking to be watched
 * mutant M_LAST_STORE_AFTER_MARK   S2 -DTOOL -DHEIR | giver of a slot stores into it once too often
 * mutant M_PROOF_BEFORE_STORES_ARRIVE S2 -DTOOL -DHEIR | slot dropped while its stores fly
 * mutant M_SILENT_TAKEN_FOR_DEAD   S2 -DTOOL -DHEIR | a stopped reader loses its memory
 */
