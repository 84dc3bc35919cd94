/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * An application that outlives its node, on the bare protocol (message.h, request.h, registry.h).
 * It registers components through its request ring, changes them without pause, and has readers
 * that look them up all the time. Whatever happens to the node, no look-up may fail and no handle
 * may change; the first thing that is not so is told in one line "BAD …" and ends the program.
 */
#ifndef HAVEN_RESTART_APP_H
#define HAVEN_RESTART_APP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "client_segment.h"
#include "message.h"
#include "prng.h"
#include "rcu.h"
#include "registry.h"
#include "request.h"

#define APP_COMPONENTS_MAX 65536u
/** Look-ups of a reader between two quiescent points. */
#define APP_LOOKUPS 64
/** Components that come and go. */
#define APP_GUESTS 64u

/** One registry that readers may use. */
struct app_view {
	struct registry registry;
	struct app_view *next; /**< older ones, unmapped when no reader uses them */
	uint32_t used;         /**< readers inside; atomic */
};

enum app_step { STEP_ADD, STEP_UPDATE, STEP_GUEST_ADD, STEP_GUEST_REMOVE, STEP_ADOPT };

/** A request that was pushed and not answered yet, in order. */
struct app_asked {
	enum app_step step;
	uint32_t index, load;
};

struct app {
	const char *run_dir, *prefix;
	uint32_t components, n_readers;
	bool adopt; /**< the registry may be lost: ask for the handles again */
	bool calm;  /**< change nothing once all is registered */

	int socket, segment_fd;
	struct client_segment *segment;
	struct request_producer producer;
	struct app_view *view; /**< what readers use; stored with release (V) */
	struct app_view *views;

	char (*name)[HAVEN_NAME_MAX];
	uint64_t *handle;
	uint32_t *load;     /**< as last confirmed */
	uint32_t known;     /**< components below have a handle; stored with release (K) */
	uint32_t asked_add; /**< adds pushed */
	uint64_t guest[APP_GUESTS];
	bool guest_there[APP_GUESTS], guest_asked[APP_GUESTS];
	struct app_asked asked[REQUEST_SLOTS];
	uint64_t first_asked; /**< seq of the oldest without an answer */
	bool quiet;           /**< push nothing new */
	struct prng prng;
	uint64_t attached, answered, again;

	pthread_t reader[HAVEN_WORKERS_MAX];
	uint64_t lookups[HAVEN_WORKERS_MAX];
	uint32_t readers_ready, stop;
};

/** Print "BAD …" and end. */
__attribute__((format(printf, 1, 2), noreturn)) void app_bad(const char *format, ...);
void app_name(const struct app *a, char *to, uint32_t index);

/* ---- app_ring.c ------------------------------------------------------------------------------ */

/** Take answers, push new requests while there is room. */
void app_ring_turn(struct app *a);
/** Take answers until none is left to come; nothing new is pushed. False: the node is gone. */
bool app_ring_drain(struct app *a);
/** Ask for every component under its handle. */
bool app_ring_adopt(struct app *a);

/* ---- app_reader.c ---------------------------------------------------------------------------- */

void app_readers_start(struct app *a);
void app_readers_stop(struct app *a);
/** Unmap what no reader uses any more. */
void app_views_tidy(struct app *a);

/* ---- app_attach.c ---------------------------------------------------------------------------- */

/** Attach to the node as soon as there is one, and let the readers move. */
void app_attach(struct app *a);
/** True when the connection has ended. */
bool app_lost(const struct app *a);
/** Every known component is in this registry, by name and by handle. */
void app_verify(const struct app *a, const struct registry *r, bool loads);

#endif
