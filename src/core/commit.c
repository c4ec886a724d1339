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

static int write_commit(
    struct still_catalog *catalog, const char *id, struct still_error *err)
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
		    " committed_at_ns=?4 WHERE id=?1 AND outcome=?5",
		    "titii", id, (int64_t) committed.outcome, text,
		    still_sys_now_ns(), (int64_t) STILL_COPIED);
	if (rc == 0)
		rc = still_stamp_forget(catalog, instance_id, err);
	return rc;
}

int still_catalog_commit(struct still_catalog *catalog, const char *id,
    const struct still_commit_options *options, struct still_truncation *ret,
    struct still_error *err)
{
	char *engine = NULL;
	char *source = NULL;
	int fd = -1;
	int rc = still_commit_check(options, err);

	if (ret)
		*ret = (struct still_truncation){0};
	if (rc == 0)
		rc = find_copied(catalog, id, &engine, &source, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = still_claim_take(catalog, engine, source, id, NULL, &fd, err);
	if (rc == 0)
		rc = still_store_begin(catalog, true, err);
	if (rc == 0) {
		/* Whoever had the lock before may have begun another. */
		rc = write_commit(catalog, id, err);
		rc = still_store_finish(catalog, rc, err);
	}
	if (fd >= 0)
		still_holder_release(fd);
	free(engine);
	free(source);
	return rc;
}
