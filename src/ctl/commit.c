/* SPDX-License-Identifier: MIT */
/*
 * stillctl commit: "I have it".
 *
 * A mount does it itself, and may have to read first what nobody has read. Where
 * nothing is mounted any more, what is COPIED can still be committed in the
 * catalog.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "ctl/exit.h"
#include "ctl/job.h"
#include "ctl/out.h"
#include "ctl/record.h"
#include "ctl/verb.h"

static const struct ctl_option options[] = {
    {"session", 's', CTL_TEXT, CTL_AT(session), 0, 0, "ID",
	"only this session, and no other"},
    CTL_OPTIONS_END,
};

static int tell(const struct ctl_options *o, const char *session,
    const char *outcome, struct still_error *err)
{
	if (o->json)
		return ctl_out_json_line(
		    json_pack("{s:s, s:s, s:s}", "event", "done", "session",
			session, "outcome", outcome),
		    err);
	if (!o->quiet)
		printf("%s %s\n", session, outcome);
	return CTL_EXIT_DONE;
}

/* ---- not mounted --------------------------------------------------------- */

static int commit_last(const struct ctl_options *o,
    const struct ctl_target *target, struct still_catalog *catalog,
    struct still_error *err)
{
	struct still_record_filter last = {.limit = 1};
	struct still_record *records = NULL;
	size_t n = 0;
	int rc = ctl_records_of(catalog, target, last, &records, &n, err);

	if (rc == 0 && n == 0)
		rc = still_error_set(err, STILL_ERR_PROTO, 0,
		    "Mount it, and copy backup/ first.",
		    "`%s`: there is no session to commit",
		    ctl_target_name(target));
	if (rc == 0 && o->session && strcmp(o->session, records[0].id) != 0)
		rc = still_error_set(err, STILL_ERR_PROTO, 0,
		    "`stillctl list` tells how it ended.",
		    "session `%s`: is not the last one, which is `%s`",
		    o->session, records[0].id);
	if (rc == 0)
		rc = still_catalog_commit(
		    catalog, records[0].id, NULL, NULL, err);
	if (rc == 0)
		rc = tell(o, records[0].id, "COMMITTED", err);
	still_records_free(records, n);
	return rc;
}

static int commit_in_catalog(const struct ctl_options *o,
    const struct ctl_target *target, struct still_error *err)
{
	struct still_catalog *catalog = NULL;
	int rc = ctl_catalog_open(o, target, &catalog, err);

	if (rc < 0)
		return rc;
	rc = commit_last(o, target, catalog, err);
	still_catalog_close(catalog);
	return rc;
}

/* ---- mounted ------------------------------------------------------------- */

static int commit_mounted(const struct ctl_options *o,
    const struct ctl_target *target, struct still_error *err)
{
	static const struct ctl_job job = {
	    .request = STILL_CONTROL_COMMIT,
	    .doing = "verifying",
	    .goes_on = "interrupted; the commit goes on, `stillctl status` "
		       "tells how far it is",
	    .counts_bytes = true,
	};
	struct still_control before = {0};
	struct still_control answer = {0};
	struct ctl_channel channel;
	int rc = ctl_channel_open(target->mountpoint, &channel, err);

	if (rc < 0)
		return rc;
	rc = ctl_channel_ask(&channel, STILL_CONTROL_QUERY, &before, err);
	if (rc == 0)
		rc = ctl_job_run(&channel, &job, o, &answer, err);
	ctl_channel_close(&channel);
	/* Its daemon has gone meanwhile? What it has written down is true. */
	if (rc < 0 && !answer.session[0])
		answer = before;
	ctl_record_settle(o, &answer);
	if (rc == STILL_ERR_LOST && answer.outcome == STILL_COMMITTED) {
		still_error_clear(err);
		rc = 0;
	}
	if (rc < 0)
		return (int) ctl_exit_of_job(rc, answer.state, answer.outcome);
	/* Who owns the source may commit, and yet not read the catalog. */
	if (answer.outcome == STILL_NO_OUTCOME) {
		answer.outcome = STILL_COMMITTED;
		strcpy(answer.outcome_text, "COMMITTED");
	}
	if (o->json)
		rc = ctl_job_tell(&answer, err);
	else
		rc = tell(o, answer.session, answer.outcome_text, err);
	return rc < 0 ? rc : (int) ctl_exit_of_outcome(answer.outcome);
}

static int run(const struct ctl_options *o, struct still_error *err)
{
	return ctl_target_run(o, commit_mounted, commit_in_catalog, err);
}

const struct ctl_verb ctl_verb_commit = {
    .name = "commit",
    .summary = "say that the copy is safe: it is a backup",
    .help =
	"Say that the copy is stored. What nobody has read yet is verified\n"
	"first. Then the session is COMMITTED, and the instance is let go. A\n"
	"session that is COPIED can be committed after it has ended, too, until\n"
	"the next one begins.\n",
    .target = CTL_TARGET_KNOWN,
    .usage = "[TARGET]",
    .max_words = 1,
    .options = options,
    .run = run,
};
