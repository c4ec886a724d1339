/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/governor_thread.h"

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "engines/sqlite/hop.h"
#include "engines/sqlite/points.h"
#include "engines/sqlite/tick.h"

#define LOOK_NS (INT64_C(2) * 1000 * 1000)
#define WAITER_LOOK_NS (INT64_C(1) * 1000 * 1000) /* while somebody waits */
#define LOOK_SHARE 20 /* a look takes at most that part of a core */
#define HOLD_LOOK_NS (STILL_NS_PER_S / 10)

/* What is complete by then needs nothing that could hop. */
#define PREPARE_NS (INT64_C(50) * 1000 * 1000)

/* ---- letting go ---------------------------------------------------------- */

static bool is_lost(const struct sqlite_governor *governor)
{
	return atomic_load(governor->request.lost);
}

void sqlite_governor_lose(
    struct sqlite_governor *governor, const struct still_error *why)
{
	pthread_mutex_lock(&governor->lock);
	if (!governor->lost.code)
		still_error_copy(&governor->lost, why);
	pthread_mutex_unlock(&governor->lock);
	atomic_store(governor->request.lost, true);
	still_bell_ring(&governor->bell);
}

/* Nobody reads from the database any more. */
static void release(
    struct sqlite_governor *governor, struct sqlite_watch *watch)
{
	struct sqlite_image *image = watch->image;

	if (image->released)
		return;
	sqlite_image_drain(image);
	sqlite_assist_end(&watch->assist);
	pthread_mutex_lock(&governor->lock);
	image->released = true;
	governor->n_pinned--;
	sqlite_pin_release(&image->pin);
	pthread_mutex_unlock(&governor->lock);
	if (atomic_load(&watch->unread))
		sqlite_saved_release(&image->saved);
}

static void release_all(struct sqlite_governor *governor)
{
	for (size_t i = 0; i < governor->n; i++)
		release(governor, &governor->watches[i]);
}

/* The image is whole in the spool, if its pin held to the end. */
static void finish(struct sqlite_governor *governor, struct sqlite_watch *watch)
{
	struct still_error why = STILL_ERROR_INIT;
	uint64_t log_bytes;

	governor->ticked = true;
	SQLITE_POINT(SQLITE_POINT_COMPLETE, watch->image);
	if (sqlite_pin_check(&watch->image->pin, governor->request.root_fd,
		&log_bytes, &why) < 0)
		sqlite_governor_lose(governor, &why);
	else
		release(governor, watch);
	still_error_clear(&why);
}

/* ---- one look ------------------------------------------------------------ */

static void complain(struct sqlite_governor *governor,
    struct sqlite_watch *watch, const struct still_error *what)
{
	const char *event = what->code == STILL_ERR_NOSPACE ? "spool-full"
							    : "pin-stuck";
	const char *text = still_error_msg(what);

	/* How much is free is another number each time. */
	if (what->code == STILL_ERR_NOSPACE && watch->no_space_told)
		return;
	watch->no_space_told |= what->code == STILL_ERR_NOSPACE;
	if (watch->complaint && strcmp(watch->complaint, text) == 0)
		return;
	free(watch->complaint);
	watch->complaint = strdup(text);
	if (watch->assist.given_up && what->code != STILL_ERR_NOSPACE)
		event = "assist-failed";
	governor->observer.warn(
	    governor->observer.arg, event, watch->image->rel, text);
}

static int prepare(struct sqlite_governor *governor, struct sqlite_watch *watch,
    struct still_error *err)
{
	int rc;

	if (watch->prepared)
		return 0;
	governor->ticked = true;
	rc = sqlite_hop_prepare(
	    &watch->image->pin, governor->request.root_fd, err);
	watch->prepared = rc == 0;
	return rc;
}

static int move(struct sqlite_governor *governor, struct sqlite_watch *watch,
    bool assist, unsigned *ret_moves, struct still_error *err)
{
	struct sqlite_tick tick = {
	    .image = watch->image,
	    .observer = &governor->observer,
	    .cancel = &governor->stop,
	    .avoid = watch->avoid,
	    .lock = &governor->lock,
	};
	bool moved = false;
	int rc = sqlite_image_prepare_saved(watch->image, err);

	*ret_moves = 0;
	if (rc == 0 && assist)
		return sqlite_assist(&watch->assist, &tick, ret_moves, err);
	if (rc == 0)
		rc = sqlite_tick(&tick, &moved, err);
	*ret_moves = moved;
	return rc;
}

static void note_move(struct sqlite_governor *governor,
    struct sqlite_watch *watch, enum sqlite_reason reason, unsigned moves)
{
	bool let_by = sqlite_watch_moved(
	    watch, reason, still_sys_monotonic_ns());

	pthread_mutex_lock(&governor->lock);
	governor->n_moves += moves;
	governor->n_let_by += let_by;
	watch->no_space = false;
	pthread_mutex_unlock(&governor->lock);
}

/* The application goes first. */
static void give_way(struct sqlite_governor *governor,
    const struct sqlite_watch *watch, const struct still_error *what)
{
	struct still_error why = STILL_ERROR_INIT;

	still_error_set(&why, STILL_ERR_LOST, what->sys_errno,
	    what->hint ? what->hint : "Begin another session.",
	    "database `%s`: the snapshot was given up, because a checkpoint of "
	    "its application waited for it: %s",
	    watch->image->rel, still_error_msg(what));
	sqlite_governor_lose(governor, &why);
	still_error_clear(&why);
}

/* No lock was to be had. Where all slots are taken there are readers of the
 * application in the way, too, and it would wait for them. But where we may not
 * set a mark it can be for us alone. */
static void give_up_alone(
    struct sqlite_governor *governor, const struct sqlite_watch *watch)
{
	struct still_error why = STILL_ERROR_INIT;

	if (!watch->image->pin.index_read_only)
		return;
	still_error_set(&why, STILL_ERR_ACCESS, 0,
	    "Run stillfs as a user who may write the -shm file, then begin "
	    "another session.",
	    "its pin cannot be moved on by one who may only read the -shm "
	    "file");
	give_way(governor, watch, &why);
	still_error_clear(&why);
}

static void note_failure(struct sqlite_governor *governor,
    struct sqlite_watch *watch, const struct still_error *what)
{
	int64_t now_ns = still_sys_monotonic_ns();

	sqlite_watch_failed(watch, now_ns);
	if (!what->code && sqlite_watch_is_overdue(watch, now_ns))
		give_up_alone(governor, watch);
	if (what->code == STILL_ERR_LOST)
		sqlite_governor_lose(governor, what);
	else if (what->code && what->code != STILL_ERR_CANCELLED)
		complain(governor, watch, what);
	if (what->code && what->code != STILL_ERR_CANCELLED &&
	    sqlite_watch_is_overdue(watch, now_ns))
		give_way(governor, watch, what);
	if (what->code != STILL_ERR_NOSPACE)
		return;
	pthread_mutex_lock(&governor->lock);
	watch->no_space = true;
	pthread_mutex_unlock(&governor->lock);
}

static void try_to_move(struct sqlite_governor *governor,
    struct sqlite_watch *watch, enum sqlite_reason reason, bool assist)
{
	struct still_error err = STILL_ERROR_INIT;
	unsigned moves = 0;
	int rc = prepare(governor, watch, &err);

	governor->ticked = true;
	if (rc == 0)
		rc = move(governor, watch, assist, &moves, &err);
	if (moves > 0)
		note_move(governor, watch, reason, moves);
	else if (rc < 0 || !assist)
		note_failure(governor, watch, &err);
	still_error_clear(&err);
}

/* Returns how much its log has grown. */
static uint64_t look(
    struct sqlite_governor *governor, struct sqlite_watch *watch)
{
	int64_t now_ns = still_sys_monotonic_ns();
	struct sqlite_sight sight;
	enum sqlite_reason reason;
	uint64_t grown;
	bool assist;

	if (atomic_load(&watch->copied)) {
		finish(governor, watch);
		return 0;
	}
	sqlite_watch_look(watch, &sight);
	grown = sqlite_watch_log_bytes(
	    watch, &sight, watch->image->pin.header.max_frame);
	assist = governor->options.assist &&
	    sqlite_assist_is_due(&watch->assist,
		sqlite_watch_log_bytes(watch, &sight, 0), now_ns);
	reason = sqlite_watch_judge(
	    watch, &sight, governor->options.pin_limit_ns, now_ns);
	governor->waited |= sight.waiter != 0;
	if (governor->options.pin == STILL_PIN_HOLD)
		return grown;
	/* To see who waits, too. That it fails is told when it matters. */
	if (now_ns - governor->begun_ns >= PREPARE_NS &&
	    now_ns >= watch->not_before_ns &&
	    prepare(governor, watch, NULL) < 0)
		sqlite_watch_failed(watch, now_ns);
	else if (reason != SQLITE_REASON_NONE || assist)
		try_to_move(governor, watch, reason, assist);
	return grown;
}

/* ---- the limit ----------------------------------------------------------- */

static void check_growth(struct sqlite_governor *governor, uint64_t grown)
{
	struct still_error why = STILL_ERROR_INIT;
	uint64_t limit = governor->options.log_limit_bytes;

	atomic_store(&governor->grown_bytes, grown);
	if (limit == 0 || grown <= limit || is_lost(governor))
		return;
	still_error_set(&why, STILL_ERR_LOST, 0,
	    governor->options.pin == STILL_PIN_AUTO
		? "Give the spool room for a whole copy (`spool`, "
		  "`spool_max`), or raise `wal_max`."
		: "Raise `wal_max`, or let `pin` be `auto`.",
	    "the snapshot was given up: the logs grew by %llu KiB for its "
	    "sake, and `wal_max` allows %llu KiB",
	    (unsigned long long) (grown >> 10),
	    (unsigned long long) (limit >> 10));
	sqlite_governor_lose(governor, &why);
	still_error_clear(&why);
}

/* ---- the thread ---------------------------------------------------------- */

/* How many are still pinned. */
static size_t look_at_all(struct sqlite_governor *governor)
{
	uint64_t grown = 0;
	size_t n = 0;

	for (size_t i = 0; i < governor->n; i++) {
		if (atomic_load(&governor->stop) || is_lost(governor))
			return 1;
		if (governor->watches[i].image->released)
			continue;
		grown += look(governor, &governor->watches[i]);
		n++;
	}
	check_growth(governor, grown);
	return n;
}

/* Until the next round, after one that took a processor for `spent_ns`. (Not the
 * time that passed: who has to wait for a processor must not rest for it, too.) */
static int64_t pause_of(
    const struct sqlite_governor *governor, int64_t spent_ns)
{
	int64_t least_ns = governor->waited ? WAITER_LOOK_NS : LOOK_NS;

	if (governor->options.pin == STILL_PIN_HOLD)
		least_ns = HOLD_LOOK_NS;
	if (governor->ticked || spent_ns * LOOK_SHARE < least_ns)
		return least_ns;
	return spent_ns * LOOK_SHARE;
}

void *sqlite_governor_run(void *arg)
{
	struct sqlite_governor *governor = arg;
	size_t n = governor->n;

	while (n > 0 && !atomic_load(&governor->stop)) {
		int64_t start_ns = still_sys_thread_ns();

		governor->ticked = false;
		governor->waited = false;
		n = look_at_all(governor);
		if (is_lost(governor)) {
			release_all(governor);
			break;
		}
		if (n > 0)
			still_bell_wait(&governor->bell,
			    pause_of(
				governor, still_sys_thread_ns() - start_ns));
	}
	return NULL;
}
