/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/cut.h"

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

#define BACKOFF_FIRST_NS 50000
#define BACKOFF_SPREAD 7 /* the first pause is 50 to 350 us */
#define BACKOFF_LAST_NS (2000 * 1000)

/* SQLite takes a journal for hot that its writer has just removed; how often in
 * a row it must say so. */
#define REFUSALS_MAX 3

struct cut {
	struct sqlite_image *images;
	size_t n;
	const struct sqlite_cut_request *request;
	struct sqlite_cut result;
	int64_t deadline_ns;
	size_t in_the_way; /* the database that was not to be had last */
};

static bool is_private(const struct sqlite_image *image)
{
	return !image->refusal.code && image->pin.log == SQLITE_LOG_ROLLBACK;
}

static bool is_pinned(const struct sqlite_image *image)
{
	return !image->refusal.code && image->pin.log == SQLITE_LOG_WAL;
}

/* ---- holding ------------------------------------------------------------- */

static void let_go_wal(struct cut *cut, size_t end)
{
	for (size_t i = 0; i < end; i++)
		if (is_pinned(&cut->images[i]))
			sqlite_pin_let_go(&cut->images[i].pin);
}

/* Of a database in WAL mode the transaction may be the pin. */
static void end_private(struct cut *cut)
{
	for (size_t i = 0; i < cut->n; i++)
		if (is_private(&cut->images[i]))
			sqlite_handle_end(&cut->images[i].pin.reader);
}

/* Remember why it cannot be frozen, once it has said so often enough. */
static int note_refusal(struct sqlite_image *image, struct still_error *own,
    struct still_error *err)
{
	int rc = own->code;

	if (rc == STILL_ERR_BUSY) {
		rc = 0;
	} else if (sqlite_image_refusable(own)) {
		if (++image->n_refusals >= REFUSALS_MAX)
			still_error_copy(&image->refusal, own);
		rc = 0;
	} else if (err) {
		still_error_copy(err, own);
	}
	still_error_clear(own);
	return rc;
}

/* SHARED on one that has a rollback journal. Without failing it may be not to
 * be had now, or not at all; then it is refused. */
static int hold_private(
    struct sqlite_image *image, bool *ret_held, struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	int rc;

	*ret_held = false;
	image->pin.target.busy_ms = 0;
	image->pin.tries++;
	rc = sqlite_handle_begin(&image->pin.reader, &image->pin.target, &own);
	if (rc == 0 && image->pin.reader.log != SQLITE_LOG_ROLLBACK)
		return sqlite_pin_switched(&image->pin, err);
	*ret_held = rc == 0;
	if (rc == 0) {
		image->n_refusals = 0;
		return 0;
	}
	sqlite_handle_end(&image->pin.reader);
	return note_refusal(image, &own, err);
}

/* The slow ones first: their locks keep only those out who want to commit. */
static int hold_all(struct cut *cut, bool *ret_held, struct still_error *err)
{
	*ret_held = true;
	for (size_t i = 0; i < cut->n; i++) {
		struct sqlite_image *image = &cut->images[i];
		int rc;

		if (!is_private(image))
			continue;
		rc = hold_private(image, ret_held, err);
		if (rc < 0 || (!*ret_held && !image->refusal.code)) {
			cut->in_the_way = i;
			end_private(cut);
			return rc;
		}
		*ret_held = true;
	}
	for (size_t i = 0; i < cut->n; i++) {
		if (!is_pinned(&cut->images[i]) ||
		    sqlite_pin_hold(&cut->images[i].pin))
			continue;
		*ret_held = false;
		cut->in_the_way = i;
		let_go_wal(cut, i);
		end_private(cut);
		return 0;
	}
	return 0;
}

/* ---- with all held ------------------------------------------------------- */

static void drop_all(struct cut *cut)
{
	for (size_t i = 0; i < cut->n; i++)
		if (is_pinned(&cut->images[i]))
			sqlite_pin_drop(&cut->images[i].pin);
}

static int fix_all(struct cut *cut, bool *ret_fixed, struct still_error *err)
{
	int rc = 0;

	*ret_fixed = true;
	for (size_t i = 0; rc == 0 && *ret_fixed && i < cut->n; i++) {
		if (!is_pinned(&cut->images[i]))
			continue;
		rc = sqlite_pin_fix(&cut->images[i].pin, ret_fixed, err);
		if (!*ret_fixed)
			cut->in_the_way = i;
	}
	if (rc < 0)
		*ret_fixed = false;
	return rc;
}

/* The longest that a writer can have waited at one go. */
static void note_held(struct cut *cut, int64_t since_ns)
{
	int64_t held_ns = still_sys_monotonic_ns() - since_ns;

	if (held_ns > cut->result.held_ns)
		cut->result.held_ns = held_ns;
}

static int copy_private(
    struct cut *cut, int64_t held_since_ns, struct still_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < cut->n; i++) {
		struct sqlite_image *image = &cut->images[i];

		if (!is_private(image))
			continue;
		image->pin.frozen_at_ns = cut->result.last_ns;
		rc = sqlite_private_take(&image->private,
		    sqlite_file_fd(image->pin.db), image->rel,
		    held_since_ns + cut->request->stall_ns,
		    cut->request->cancel, err);
		sqlite_handle_end(&image->pin.reader);
		note_held(cut, held_since_ns);
	}
	end_private(cut);
	return rc;
}

/* One try. `*ret_done` without failing: all of it is done, or nothing is held
 * and it may be tried again. */
static int attempt(struct cut *cut, bool *ret_done, struct still_error *err)
{
	int64_t start_ns = still_sys_monotonic_ns();
	int rc = hold_all(cut, ret_done, err);

	cut->result.tries++;
	note_held(cut, start_ns);
	if (rc < 0 || !*ret_done)
		return rc;
	cut->result.first_ns = still_sys_now_ns();
	rc = fix_all(cut, ret_done, err);
	cut->result.last_ns = still_sys_now_ns();
	let_go_wal(cut, cut->n);
	note_held(cut, start_ns);
	if (*ret_done) {
		rc = copy_private(cut, start_ns, err);
	} else {
		end_private(cut);
		/* Outside of the barrier, where SQLite may take its time. */
		if (rc == 0)
			rc = sqlite_pin_refresh(
			    &cut->images[cut->in_the_way].pin, err);
		if (rc == STILL_ERR_BUSY) {
			still_error_clear(err);
			rc = 0;
		}
	}
	if (rc < 0 || !*ret_done)
		drop_all(cut);
	return rc;
}

static int no_moment(const struct cut *cut, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_BUSY, 0,
	    "A transaction that is open for long holds its lock; raise "
	    "`freeze_ms`, or begin when fewer writers are at work.",
	    "database `%s`: was in the way when no moment was found in %lld ms "
	    "(%u tries) in which no database is written to",
	    cut->images[cut->in_the_way].rel,
	    (long long) (cut->request->limit_ns / 1000000), cut->result.tries);
}

static int barrier(struct cut *cut, struct still_error *err)
{
	int64_t backoff_ns = BACKOFF_FIRST_NS;
	unsigned int spread = (unsigned int) still_sys_monotonic_ns();
	bool done = false;
	int rc = 0;

	cut->result.words = "one moment";
	while (rc == 0 && !done) {
		if (atomic_load(cut->request->cancel))
			return still_error_set(err, STILL_ERR_CANCELLED, 0,
			    NULL, "the freeze was stopped");
		rc = attempt(cut, &done, err);
		if (rc < 0 || done)
			break;
		if (still_sys_monotonic_ns() > cut->deadline_ns)
			return no_moment(cut, err);
		still_sys_sleep_ns(backoff_ns *
		    (1 + (int64_t) (rand_r(&spread) % BACKOFF_SPREAD)));
		if (backoff_ns * 2 * BACKOFF_SPREAD <= BACKOFF_LAST_NS)
			backoff_ns *= 2;
	}
	return rc;
}

/* ---- one after another --------------------------------------------------- */

/* One database in WAL mode needs nobody's standstill. */
static int take_one(struct cut *cut, size_t i, struct still_error *err)
{
	struct sqlite_pin *pin = &cut->images[i].pin;
	int rc = sqlite_pin_take(
	    pin, cut->request->limit_ns, cut->request->cancel, err);

	cut->result.words = "one commit";
	cut->result.first_ns = cut->result.last_ns = pin->frozen_at_ns;
	cut->result.held_ns = 0;
	cut->result.tries = pin->tries;
	return rc;
}

#ifdef STILL_TEST_NO_BARRIER
/* The negative control of the load oracle: what a freeze without a barrier
 * makes of several databases. Never in the library. */
static int barrier_or_not(struct cut *cut, struct still_error *err)
{
	struct cut one = *cut;
	int64_t first_ns = 0;
	int rc = 0;

	(void) barrier;
	for (size_t i = 0; rc == 0 && i < cut->n; i++) {
		bool done = false;

		one.images = &cut->images[i];
		one.n = 1;
		one.in_the_way = 0;
		if (is_pinned(&cut->images[i]))
			rc = take_one(&one, 0, err);
		else
			while (rc == 0 && !done)
				rc = attempt(&one, &done, err);
		if (i == 0)
			first_ns = one.result.first_ns;
	}
	cut->result = one.result;
	cut->result.first_ns = first_ns;
	return rc;
}
#else
#	define barrier_or_not barrier
#endif

/* What the copies will take, all of them, because the last one's writers wait
 * for the first one's copy too. */
static int check_stall(const struct cut *cut, struct still_error *err)
{
	int64_t stall_ns = 0;
	size_t n = 0;

	for (size_t i = 0; i < cut->n; i++)
		if (is_private(&cut->images[i])) {
			stall_ns += cut->images[i].private.stall_ns;
			n++;
		}
	if (stall_ns <= cut->request->stall_ns)
		return 0;
	return still_error_set(err, STILL_ERR_AGAIN, 0,
	    "Raise `stall_ms`, switch to `PRAGMA journal_mode=WAL`, which "
	    "needs no copy, or let `spool` name a directory of the same XFS "
	    "or btrfs, where a copy takes no time.",
	    "%zu database%s with a rollback journal: copying would hold the "
	    "writers off for about %lld ms, and `stall_ms` allows %lld",
	    n, n == 1 ? "" : "s", (long long) (stall_ns / 1000000) + 1,
	    (long long) (cut->request->stall_ns / 1000000));
}

/* Since the opening, which is long ago where others were prepared, somebody may
 * have put another file in a database's place. What we hold then is none of the
 * source's any more, and was not at the moment of the others. */
static int check_places(const struct cut *cut, struct still_error *err)
{
	for (size_t i = 0; i < cut->n; i++) {
		const struct sqlite_target *target = &cut->images[i].pin.target;
		struct stat st;

		if (cut->images[i].refusal.code ||
		    lstat(target->path, &st) != 0 ||
		    (st.st_ino == target->st.st_ino &&
			st.st_dev == target->st.st_dev))
			continue;
		return still_error_set(err, STILL_ERR_NOTFOUND, 0,
		    "Somebody put another file in its place; try again.",
		    "database `%s`: was replaced while it was frozen",
		    cut->images[i].rel);
	}
	return 0;
}

/* What was written while the others were prepared. */
static void flush_clones(const struct cut *cut)
{
	for (size_t i = 0; i < cut->n; i++)
		if (is_private(&cut->images[i]))
			sqlite_private_flush(&cut->images[i].private,
			    sqlite_file_fd(cut->images[i].pin.db));
}

int sqlite_cut_take(struct sqlite_image *images, size_t n,
    const struct sqlite_cut_request *request, struct sqlite_cut *ret,
    struct still_error *err)
{
	struct cut cut = {
	    .images = images,
	    .n = n,
	    .request = request,
	};
	size_t n_usable = 0;
	size_t last = 0;
	int rc;

	for (size_t i = 0; i < n; i++)
		if (!images[i].refusal.code) {
			n_usable++;
			last = i;
		}
	rc = check_stall(&cut, err);
	if (rc == 0) {
		flush_clones(&cut);
		cut.deadline_ns = still_sys_monotonic_ns() + request->limit_ns;
	}
	if (rc == 0)
		rc = n_usable == 1 && is_pinned(&images[last])
		    ? take_one(&cut, last, err)
		    : barrier_or_not(&cut, err);
	if (rc == 0) {
		rc = check_places(&cut, err);
		if (rc < 0)
			drop_all(&cut);
	}
	if (n_usable == 1)
		cut.result.words = "one commit";
	*ret = cut.result;
	return rc;
}
