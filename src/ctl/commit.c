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
#include "ctl/truncation.h"
#include "ctl/verb.h"

static const struct ctl_option options[] = {
    {"dry-run", 'n', CTL_FLAG, CTL_AT(dry_run), 0, 0, NULL,
	"of --truncate: only tell; nothing is committed"},
    {"force", 0, CTL_FLAG, CTL_AT(force), 0, 0, NULL,
	"commit though damage was found"},
    {"session", 's', CTL_TEXT, CTL_AT(session), 0, 0, "ID",
	"only this session, and no other"},
    {"truncate", 0, CTL_FLAG, CTL_AT(truncate), 0, 0, NULL,
	"then release the logs that no session needs"},
    {"truncated-elsewhere", 0, CTL_FLAG, CTL_AT(elsewhere), 0, 0, NULL,
	"say that somebody else has released them"},
    CTL_OPTIONS_END,
};

static struct still_commit_options wishes_of(const struct ctl_options *o)
{
	return (struct still_commit_options){
	    .truncate = o->truncate,
	    .dry_run = o->dry_run,
	    .elsewhere = o->elsewhere,
	    .force = o->force,
	};
}

static int tell_json(const struct ctl_options *o, const char *session,
    const char *outcome, const struct still_truncation *truncation,
    struct still_error *err)
{
	json_t *line = json_pack("{s:s, s:s, s:s}", "event", "done", "session",
	    session, "outcome", outcome);

	if (o->truncate &&
	    ctl_truncation_json(line, truncation, o->dry_run) < 0) {
		json_decref(line);
		return still_error_nomem(err);
	}
	return ctl_out_json_line(line, err);
}

/* A commit stands, whatever became of the truncation. */
static int tell(const struct ctl_options *o, const char *session,
    const char *outcome, const struct still_truncation *truncation,
    struct still_error *err)
{
	int rc = 0;

	if (o->json)
		rc = tell_json(o, session, outcome, truncation, err);
	else if (!o->quiet && !o->dry_run)
		printf("%s %s\n", session, outcome);
	if (rc < 0 || !o->truncate)
		return rc;
	return ctl_truncation_tell(o, truncation, o->dry_run);
}

/* ---- not mounted --------------------------------------------------------- */

static int commit_last(const struct ctl_options *o,
    const struct ctl_target *target, struct still_catalog *catalog,
    struct still_error *err)
{
	struct still_record_filter last = {.limit = 1};
	const struct still_commit_options wishes = wishes_of(o);
	struct still_truncation truncation = {0};
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
		    catalog, records[0].id, &wishes, &truncation, err);
	if (rc == 0)
		rc = tell(o, records[0].id,
		    o->dry_run ? records[0].outcome_text : "COMMITTED",
		    &truncation, err);
	still_truncation_clear(&truncation);
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

static int tell_answer(const struct ctl_options *o,
    const struct still_control *answer, struct still_error *err)
{
	struct still_truncation truncation = {0};
	int rc = 0;

	ctl_truncation_of(answer, &truncation);
	if (o->json && !o->truncate)
		rc = ctl_job_tell(answer, err);
	else
		rc = tell(o, answer->session,
		    answer->outcome
			? answer->outcome_text
			: still_state_word((enum still_state) answer->state),
		    &truncation, err);
	still_truncation_clear(&truncation);
	return rc;
}

/* To the last request there was no answer; and one before may have told of an
 * older session, when this one was over and its job not yet. */
static void recall(const struct ctl_options *o,
    const struct still_control *before, struct still_control *answer)
{
	snprintf(answer->session, sizeof(answer->session), "%s",
	    o->session ? o->session : before->session);
	memcpy(answer->state_dir, before->state_dir, sizeof(answer->state_dir));
	answer->outcome = STILL_NO_OUTCOME;
}

/* It was committed by a daemon that could not say so any more. The catalog does
 * not remember all of what was released. */
static int tell_settled(const struct ctl_options *o,
    const struct still_control *answer, struct still_error *err)
{
	struct ctl_options brief = *o;

	if (!o->json && !answer->truncate_code)
		brief.truncate = false;
	return tell_answer(&brief, answer, err);
}

static int commit_mounted(const struct ctl_options *o,
    const struct ctl_target *target, struct still_error *err)
{
	const struct ctl_job job = {
	    .request = STILL_CONTROL_COMMIT,
	    .flags = (o->truncate ? STILL_CONTROL_TRUNCATE : 0) |
		(o->dry_run ? STILL_CONTROL_DRY_RUN : 0) |
		(o->elsewhere ? STILL_CONTROL_ELSEWHERE : 0) |
		(o->force ? STILL_CONTROL_FORCE : 0),
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
	if (rc < 0 && !answer.state_dir[0])
		recall(o, &before, &answer);
	ctl_record_settle(o, &answer);
	/* A trial leaves the session as it is. */
	if (rc == 0 && o->dry_run)
		return tell_answer(o, &answer, err);
	if (rc == STILL_ERR_LOST && answer.outcome == STILL_COMMITTED) {
		still_error_clear(err);
		return tell_settled(o, &answer, err);
	}
	if (rc < 0)
		return (int) ctl_exit_of_job(rc, answer.state, answer.outcome);
	/* Who owns the source may commit, and yet not read the catalog. */
	if (answer.outcome == STILL_NO_OUTCOME) {
		answer.outcome = STILL_COMMITTED;
		strcpy(answer.outcome_text, "COMMITTED");
	}
	rc = tell_answer(o, &answer, err);
	return rc != 0 ? rc : (int) ctl_exit_of_outcome(answer.outcome);
}

static int run(const struct ctl_options *o, struct still_error *err)
{
	const char *wrong = NULL;

	if (o->truncate && o->elsewhere)
		wrong = "option `--truncate`: does not go with "
			"`--truncated-elsewhere`";
	else if (o->dry_run && !o->truncate)
		wrong = "option `--dry-run`: is of `--truncate`";
	if (wrong) {
		still_error_set(err, STILL_ERR_INVALID, 0, NULL, "%s", wrong);
		return CTL_EXIT_USAGE;
	}
	return ctl_target_run(o, commit_mounted, commit_in_catalog, err);
}

const struct ctl_verb ctl_verb_commit = {
    .name = "commit",
    .summary = "say that the copy is safe: it is a backup",
    .help =
	"Say that the copy is stored. What nobody has read yet is verified\n"
	"first. Then the session is COMMITTED, and the instance is let go. A\n"
	"session that is COPIED can be committed after it has ended, too, until\n"
	"the next one begins. No log is truncated unless it is asked for, and then\n"
	"only after the commit.\n",
    .target = CTL_TARGET_KNOWN,
    .usage = "[TARGET]",
    .max_words = 1,
    .options = options,
    .run = run,
};
