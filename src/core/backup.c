/* SPDX-License-Identifier: MIT */
/*
 * backup: an origin's session becomes the set of a directory (still_set.h).
 *
 *  1. The directory is opened before anything is frozen: what is wrong with it
 *     costs the source nothing.
 *     An incremental one must find there what it builds on (backup_base.h).
 *  2. freeze, write, sync, check: all of it in `.new-ID`. Whatever fails up to
 *     here, and the caller's flag, ends in: abort, and `.new-ID` goes.
 *  3. The exchange; or a name among the links. From here on nobody is asked any more.
 *  4. Commit. That it fails after all takes the exchange back: so what the
 *     catalog calls COMMITTED was stored before, and what is not is not there.
 *     A process that dies between 3 and 4 leaves a set that is whole, of a
 *     session that the catalog calls ABORTED(crash).
 *  5. The last set goes.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "core/backup_base.h"
#include "core/copy.h"
#include "core/dest.h"
#include "core/ticker.h"
#include "still_set.h"

struct work {
	const struct still_origin *origin;
	const struct still_backup_options *options;
	struct still_backup *ret;
	struct still_dest dest;
	struct still_ticker ticker;
	int dirfd; /* of the new set; -1: not made */
};

/* ---- the new set --------------------------------------------------------- */

static int write_and_check(struct work *work, struct still_copy *copy,
    int64_t frozen_ns, struct still_error *err)
{
	struct still_backup *ret = work->ret;
	int rc = still_copy_init(copy, err);

	if (rc == 0)
		rc = still_copy_write(copy, err);
	ret->copy_ns = still_sys_monotonic_ns() - frozen_ns;
	if (rc == 0)
		rc = still_copy_sync(copy, err);
	if (rc == 0)
		rc = still_copy_check(copy, err);
	ret->verify_ns = still_sys_monotonic_ns() - frozen_ns - ret->copy_ns;
	if (rc == 0)
		rc = still_ticker_check(&work->ticker, err);
	ret->files = copy->files;
	ret->bytes = copy->bytes;
	return rc;
}

static int fill(struct work *work, int64_t frozen_ns, struct still_error *err)
{
	const struct still_origin *origin = work->origin;
	struct still_copy copy = {
	    .origin = origin,
	    .ticker = &work->ticker,
	    .n_threads = work->options->task.n_threads,
	};
	char *path;
	int rc;

	rc = still_dest_make(
	    &work->dest, work->ret->session, &work->dirfd, err);
	if (rc < 0)
		return rc;
	path = still_path_join(work->dest.path, work->dest.new_name);
	if (!path)
		return still_error_nomem(err);
	copy.entries = origin->entries(origin->arg, &copy.n);
	copy.dirfd = work->dirfd;
	copy.path = path;
	rc = write_and_check(work, &copy, frozen_ns, err);
	free(path);
	return rc;
}

/* ---- its place ----------------------------------------------------------- */

/* That a rename could not be taken back is told with what failed first. */
static void tell_places(const struct still_dest *dest, struct still_error *err)
{
	const char *first = still_error_msg(err);
	const char *last = still_dest_last(dest);
	char *set = still_dest_set_path(dest);

	if (!err || !set)
		return;
	if (dest->placed && last && !dest->link)
		still_error_set(err, err->code, err->sys_errno,
		    "Both sets are whole. The next backup removes the last "
		    "one.",
		    "%s; the new set is stored in `%s`, though it is not "
		    "committed, and the last one is `%s/%s`",
		    first, set, dest->path, last);
	else if (dest->placed)
		still_error_set(err, err->code, err->sys_errno,
		    "The set is whole.",
		    "%s; it is stored in `%s`, though it is not committed",
		    first, set);
	else if (last && strcmp(last, "full") != 0)
		still_error_set(err, err->code, err->sys_errno,
		    "The next backup puts it back.",
		    "%s; the last set is `%s/%s`", first, dest->path, last);
	else if (dest->links_aside)
		still_error_set(err, err->code, err->sys_errno,
		    "The next backup puts them back.",
		    "%s; incremental sets are in `%s/%s`", first, dest->path,
		    dest->links_name);
	free(set);
}

/* On failure nothing has changed, or `stored` says that it has. */
static int place(struct work *work, struct still_error *err)
{
	const struct still_origin *origin = work->origin;
	int rc = still_dest_place(&work->dest, err);

	if (rc < 0) {
		origin->abort(origin->arg);
	} else {
		rc = origin->commit(origin->arg, err);
		if (rc < 0)
			still_dest_unplace(&work->dest, NULL);
	}
	work->ret->stored = work->dest.placed;
	work->ret->committed = rc == 0;
	if (rc < 0)
		tell_places(&work->dest, err);
	return rc;
}

static int make_set(struct work *work, struct still_error *err)
{
	static const atomic_bool never;
	const struct still_origin *origin = work->origin;
	const atomic_bool *cancel = work->options->task.cancel;
	int64_t begun_ns = still_sys_monotonic_ns();
	bool incremental = work->options->incremental;
	int rc = incremental ? still_backup_expect_base(&work->dest, err) : 0;

	still_ticker_phase(&work->ticker, STILL_PHASE_FREEZING, 0, 0);
	still_ticker_ask(&work->ticker, origin->captured, origin->arg);
	if (rc == 0)
		rc = still_ticker_check(&work->ticker, err);
	if (rc == 0)
		rc = origin->begin(origin->arg, cancel ? cancel : &never, err);
	if (rc < 0)
		return rc;
	snprintf(work->ret->session, sizeof(work->ret->session), "%s",
	    origin->session(origin->arg));
	work->ret->freeze_ns = still_sys_monotonic_ns() - begun_ns;
	if (incremental)
		rc = still_backup_find_base(origin, &work->dest, err);
	if (rc == 0)
		rc = fill(work, begun_ns + work->ret->freeze_ns, err);
	if (rc < 0) {
		origin->abort(origin->arg);
		return rc;
	}
	return place(work, err);
}

/* ---- all of it ----------------------------------------------------------- */

static int stopped(const struct work *work, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CANCELLED, 0,
	    "Nothing new is there, and the last set is as it was.",
	    "`%s`: the backup was stopped", work->dest.path);
}

/* What is done is done: that it cannot be tidied up is told, and no more. */
static int tidy(struct work *work, int rc, struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	int cleared = 0;

	if (work->dirfd >= 0)
		close(work->dirfd);
	/* A set that could not be taken back is not there alone. */
	if (rc == 0 || !work->ret->stored)
		cleared = still_dest_clear(&work->dest, &own);
	if (rc == 0 && cleared < 0) {
		rc = cleared;
		if (err)
			still_error_copy(err, &own);
	}
	still_error_clear(&own);
	return rc;
}

int still_backup(const char *dest, const struct still_origin *origin,
    const struct still_backup_options *options, struct still_backup *ret,
    struct still_error *err)
{
	struct work work = {
	    .origin = origin,
	    .options = options,
	    .ret = ret,
	    .dirfd = -1,
	};
	int rc;

	*ret = (struct still_backup){0};
	rc = still_dest_open(
	    dest, options->source, options->create, &work.dest, err);
	if (rc == 0) {
		still_ticker_begin(&work.ticker, &options->task);
		rc = make_set(&work, err);
		if (rc == STILL_ERR_CANCELLED && !ret->stored &&
		    still_ticker_check(&work.ticker, NULL) < 0)
			stopped(&work, err);
		rc = tidy(&work, rc, err);
		if (ret->stored)
			ret->set = still_dest_set_path(&work.dest);
		/* Who listens may be slow: nothing waits for him but us. */
		still_dest_close(&work.dest);
		still_ticker_end(&work.ticker);
	}
	still_dest_close(&work.dest);
	return rc;
}

void still_backup_release(struct still_backup *backup)
{
	free(backup->set);
	*backup = (struct still_backup){0};
}
