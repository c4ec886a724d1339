/* SPDX-License-Identifier: MIT */
/* commit: what a client can ask for with its commit, and a commit of a session
 * that is over. */
#include "config.h"

#include "core/commit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/sys.h"
#include "core/claim.h"
#include "core/holder.h"
#include "core/stamp.h"
#include "core/store.h"
#include "core/truncate.h"

int still_commit_check(
    const struct still_commit_options *options, struct still_error *err)
{
	if (!options)
		return 0;
	if (options->truncate && options->elsewhere)
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "Say one of them.",
		    "commit: is asked to truncate, and told that somebody else "
		    "has");
	if (options->dry_run && !options->truncate)
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "A trial tells what a truncation would release.",
		    "commit: there is nothing to try without a truncation");
	return 0;
}

void still_truncation_hand_over(
    struct still_truncation *from, struct still_truncation *to)
{
	if (to)
		*to = *from;
	else
		still_truncation_clear(from);
}

void still_truncation_clear(struct still_truncation *truncation)
{
	still_error_clear(&truncation->error);
}

/* ---- a session that is over ---------------------------------------------- */

/* The record of a session that may be committed. 1: it is already. */
static int find_copied(struct still_catalog *catalog, const char *id,
    char **ret_engine, char **ret_source, struct still_error *err)
{
	struct still_record_filter filter = {.id = id};
	struct still_record *record = NULL;
	size_t n = 0;
	int rc = still_catalog_list(catalog, &filter, &record, &n, err);

	if (rc < 0)
		return rc;
	if (n == 0)
		return still_catalog_no_session(catalog, id, err);
	if (record->outcome == STILL_COMMITTED)
		rc = 1;
	else if (record->state != STILL_ENDED)
		rc = still_error_set(err, STILL_ERR_BUSY, EBUSY,
		    "Commit it at the mount that shows it.",
		    "session `%s`: is not over yet", id);
	else if (record->outcome != STILL_COPIED)
		rc = still_error_set(err, STILL_ERR_PROTO, 0,
		    "Only one that ended as COPIED can be committed later.",
		    "session `%s`: is %s", id, record->outcome_text);
	if (rc == 0) {
		*ret_engine = record->engine;
		*ret_source = record->source;
		record->engine = NULL;
		record->source = NULL;
	}
	still_records_free(record, n);
	return rc;
}

static int write_commit(struct still_catalog *catalog, const char *id,
    bool elsewhere, struct still_error *err)
{
	struct still_session_status committed = {.outcome = STILL_COMMITTED};
	char text[STILL_OUTCOME_TEXT_BYTES];
	int64_t instance_id = 0;
	int64_t n_later = 0;
	int rc = still_store_number(catalog, &instance_id, err,
	    "SELECT instance FROM session WHERE id=?1", "t", id);

	if (rc == 0)
		rc = still_store_number(catalog, &n_later, err,
		    "SELECT count(*) FROM session WHERE instance=?2"
		    " AND number>(SELECT number FROM session WHERE id=?1)",
		    "ti", id, instance_id);
	if (rc == 0 && n_later > 0)
		rc = still_error_set(err, STILL_ERR_PROTO, 0,
		    "Commit a session before the next one begins.",
		    "session `%s`: a later one of its source has begun", id);
	still_outcome_text(&committed, text);
	if (rc == 0)
		rc = still_store_run(catalog, err,
		    "UPDATE session SET outcome=?2, outcome_text=?3,"
		    " committed_at_ns=?4, truncated=?6"
		    " WHERE id=?1 AND outcome=?5",
		    "titiii", id, (int64_t) committed.outcome, text,
		    still_sys_now_ns(), (int64_t) STILL_COPIED,
		    elsewhere ? (int64_t) STILL_STORE_TRUNCATED_ELSEWHERE
			      : INT64_C(0));
	if (rc == 0)
		rc = still_stamp_forget(catalog, instance_id, err);
	return rc;
}

static int commit_copied(struct still_catalog *catalog, const char *id,
    const char *engine, const char *source, bool elsewhere,
    struct still_error *err)
{
	int fd = -1;
	int rc = still_claim_take(catalog, engine, source, id, NULL, &fd, err);

	if (rc == 0)
		rc = still_store_begin(catalog, true, err);
	if (rc == 0) {
		/* Whoever had the lock before may have begun another. */
		rc = write_commit(catalog, id, elsewhere, err);
		rc = still_store_finish(catalog, rc, err);
	}
	if (fd >= 0)
		still_holder_release(fd);
	return rc;
}

/* As it was attached to when it was copied, whatever refused places are. */
static int truncate_recorded(struct still_catalog *catalog, const char *id,
    const char *engine, const char *source, bool dry_run,
    struct still_truncation *ret, struct still_error *err)
{
	struct still_options options = {
	    .engine = engine,
	    .force = true,
	    .freeze_ms = STILL_FREEZE_MS_DEFAULT,
	    .stall_ms = STILL_STALL_MS_DEFAULT,
	    .barrier_max = STILL_BARRIER_MAX_DEFAULT,
	    .pin_ms = STILL_PIN_MS_DEFAULT,
	    .wal_max_bytes = STILL_WAL_MAX_BYTES_DEFAULT,
	    .incremental = true,
	    .catalog = catalog,
	};

	return still_truncate_source(
	    source, &options, dry_run ? id : NULL, dry_run, ret, err);
}

int still_catalog_commit(struct still_catalog *catalog, const char *id,
    const struct still_commit_options *options, struct still_truncation *ret,
    struct still_error *err)
{
	static const struct still_commit_options none;
	struct still_truncation own = {0};
	char *engine = NULL;
	char *source = NULL;
	int rc = still_commit_check(options, err);

	if (ret)
		*ret = own;
	if (!options)
		options = &none;
	if (rc == 0)
		rc = find_copied(catalog, id, &engine, &source, err);
	if (rc == 0 && !options->dry_run)
		rc = commit_copied(
		    catalog, id, engine, source, options->elsewhere, err);
	if (rc == 0 && options->dry_run)
		rc = truncate_recorded(
		    catalog, id, engine, source, true, &own, err);
	else if (rc == 0 && options->truncate)
		truncate_recorded(
		    catalog, id, engine, source, false, &own, &own.error);
	free(engine);
	free(source);
	still_truncation_hand_over(&own, rc >= 0 ? ret : NULL);
	return rc < 0 ? rc : 0;
}
