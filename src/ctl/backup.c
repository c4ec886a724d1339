/* SPDX-License-Identifier: MIT */
/*
 * stillctl backup: all of a backup in one call.
 *
 * Where the source is mounted the session is the mount's; otherwise it is one of
 * this process. The rest is the library's (still_set.h).
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "ctl/exit.h"
#include "ctl/freeze_options.h"
#include "ctl/journal.h"
#include "ctl/mounted_origin.h"
#include "ctl/out.h"
#include "ctl/target.h"
#include "ctl/task.h"
#include "ctl/verb.h"

#define THREADS_MAX 32

static const struct ctl_option options[] = {
    {"atomic", 0, CTL_FLAG, CTL_AT(atomic), 0, 0, NULL,
	"accepted; it is always so"},
    CTL_OPTION_BARRIER_MAX,
    {"chain", 0, CTL_FLAG, CTL_AT(chain), 0, 0, NULL,
	"keep what incremental backups on it will need"},
    {"copy", 0, CTL_FLAG, CTL_AT(copy), 0, 0, NULL,
	"a copy on which no later backup is built"},
    {"create", 0, CTL_FLAG, CTL_AT(create), 0, 0, NULL,
	"make DEST if it is missing, but not its parents"},
    CTL_OPTION_ENGINE,
    CTL_OPTION_FORCE,
    CTL_OPTION_FREEZE,
    CTL_OPTION_FREEZE_MS,
    {"incremental", 'i', CTL_FLAG, CTL_AT(incremental), 0, 0, NULL,
	"only what was added since; to DEST/incremental"},
    {"no-truncate", 0, CTL_FLAG, CTL_AT(no_truncate), 0, 0, NULL,
	"keep the logs that no session needs any more"},
    CTL_OPTION_SPOOL,
    CTL_OPTION_SPOOL_MAX,
    CTL_OPTION_STALL_MS,
    {"threads", 0, CTL_NUMBER, CTL_AT(threads), 1, THREADS_MAX, "N",
	"copy and verify with N threads"},
    CTL_OPTION_VERIFY,
    CTL_OPTIONS_END,
};

/* ---- what came of it ----------------------------------------------------- */

static void log_end(struct still_events *events, const char *dest, int rc,
    const struct still_backup *backup, const struct still_error *err)
{
	const char *session = backup->session[0] ? backup->session : NULL;

	if (backup->committed)
		still_events_add(events, STILL_LEVEL_INFO, "backup-stored",
		    "session", session, "set", backup->set, "files",
		    still_number(backup->files).text, "bytes",
		    still_number(backup->bytes).text, NULL);
	if (rc < 0)
		still_events_add(events,
		    backup->committed ? STILL_LEVEL_WARNING : STILL_LEVEL_ERROR,
		    backup->committed ? "backup-leftover" : "backup-failed",
		    "session", session, "dest", dest, "error",
		    still_error_msg(err), "hint", err->hint, NULL);
}

static enum still_session_kind kind_of(const struct ctl_options *o)
{
	if (o->incremental)
		return STILL_INCREMENTAL;
	return o->copy ? STILL_COPY : STILL_FULL;
}

static int tell_json(const struct ctl_options *o,
    const struct still_backup *backup, struct still_error *err)
{
	json_t *done = json_pack(
	    "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "event", "done",
	    "session", backup->session, "kind",
	    still_session_kind_word(kind_of(o)), "outcome", "COMMITTED",
	    "files", (json_int_t) backup->files, "bytes",
	    (json_int_t) backup->bytes, "freeze_ns",
	    (json_int_t) backup->freeze_ns, "copy_ns",
	    (json_int_t) backup->copy_ns, "verify_ns",
	    (json_int_t) backup->verify_ns);

	if (done && ctl_json_set_name(done, "set", backup->set) == 0)
		return ctl_out_json_line(done, err);
	json_decref(done);
	return still_error_nomem(err);
}

static int tell_text(const struct still_backup *backup, struct still_error *err)
{
	struct still_buf buf = STILL_BUF_INIT;
	int rc;

	still_buf_printf(&buf, "stored %s in ", backup->session);
	still_buf_line(&buf, backup->set ? backup->set : "");
	still_buf_printf(&buf, ": %" PRIu64 " files, ", backup->files);
	still_buf_size(&buf, backup->bytes);
	still_buf_str(&buf, ", verified; COMMITTED\n");
	rc = ctl_out_buf(&buf, err);
	still_buf_release(&buf);
	return rc;
}

/* Whoever goes away before he is told has his backup nevertheless. */
static void tell(const struct ctl_options *o, const struct still_backup *backup)
{
	if (o->json)
		tell_json(o, backup, NULL);
	else if (!o->quiet)
		tell_text(backup, NULL);
}

static int status_of(int rc, const struct still_backup *backup)
{
	/* There, but for what could not be cleared away. */
	if (rc < 0 && backup->committed)
		return CTL_EXIT_WARNINGS;
	switch (rc) {
	case STILL_ERR_CANCELLED:
	case STILL_ERR_LOST:
	case STILL_ERR_STALE:
		return CTL_EXIT_ABORTED;
	default:
		return (int) ctl_exit_of_error(rc);
	}
}

static int make(const struct ctl_options *o, const char *source,
    const struct still_origin *origin, struct still_events *events,
    struct still_error *err)
{
	const char *dest = o->words[o->n_words - 1];
	struct still_backup_options wishes = {
	    .incremental = o->incremental,
	    .create = o->create,
	    .source = source,
	};
	struct still_backup backup;
	struct ctl_task task;
	int status;
	int rc;

	ctl_task_begin(&task, o);
	wishes.task = task.task;
	wishes.task.n_threads = o->threads;
	rc = still_backup(dest, origin, &wishes, &backup, err);
	log_end(events, dest, rc, &backup, err);
	ctl_task_end(&task);
	if (backup.committed)
		tell(o, &backup);
	status = status_of(rc, &backup);
	still_backup_release(&backup);
	return status;
}

/* ---- a mount ------------------------------------------------------------- */

/* What the mount decides cannot be asked for here. */
static int check_mounted(const struct ctl_options *o,
    const struct ctl_target *target, struct still_error *err)
{
	const char *name = NULL;

	if (o->engine)
		name = "engine";
	else if (o->chain)
		name = "chain";
	else if (o->force)
		name = "force";
	else if (o->spool)
		name = "spool";
	else if (o->spool_max_bytes)
		name = "spool-max";
	else if (o->verify != STILL_VERIFY_BASIC)
		name = "verify";
	else if (o->freeze != STILL_WAY_AUTO)
		name = "freeze";
	else if (o->freeze_ms != STILL_FREEZE_MS_DEFAULT)
		name = "freeze-ms";
	else if (o->stall_ms != STILL_STALL_MS_DEFAULT)
		name = "stall-ms";
	else if (o->barrier_max != STILL_BARRIER_MAX_DEFAULT)
		name = "barrier-max";
	if (!name)
		return 0;
	return still_error_set(err, STILL_ERR_INVALID, 0,
	    "Leave it out, or mount with it.",
	    "option `--%s`: is for a source; `%s` is mounted", name,
	    target->mountpoint);
}

static int backup_mounted(const struct ctl_options *o,
    const struct ctl_target *target, struct still_events *events,
    struct still_error *err)
{
	struct ctl_mounted_origin *mounted = NULL;
	struct still_origin origin;
	int rc;

	if (check_mounted(o, target, err) < 0)
		return CTL_EXIT_USAGE;
	rc = ctl_mounted_origin_new(
	    target->mountpoint, o, &mounted, &origin, err);
	if (rc == 0)
		rc = make(o, target->source, &origin, events, err);
	ctl_mounted_origin_free(mounted);
	return rc;
}

/* ---- a source ------------------------------------------------------------ */

static int open_catalog(const struct ctl_options *o,
    const struct ctl_target *target, const char *source,
    struct still_catalog **ret, struct still_error *err)
{
	const char *dir = o->state ? o->state : target->state_dir;
	char *resolved = realpath(source, NULL);
	int rc = resolved ? still_catalog_check_dir(dir, resolved, err) : 0;

	free(resolved);
	return rc < 0 ? rc : still_catalog_open(dir, true, ret, err);
}

static int backup_instance(const struct ctl_options *o,
    struct still_instance *instance, struct still_events *events,
    struct still_error *err)
{
	struct still_instance_info info;
	const struct still_commit_options commit = {
	    .truncate = !o->no_truncate && !o->copy &&
		(o->incremental || o->chain),
	};
	struct still_own_session *own;
	struct still_origin origin;
	int rc;

	still_instance_describe(instance, &info);
	own = still_own_session_new(
	    instance, events, kind_of(o), &commit, &origin);
	if (!own)
		return still_error_nomem(err);
	rc = make(o, info.source, &origin, events, err);
	still_own_session_free(own);
	return rc;
}

static int backup_source(const struct ctl_options *o,
    const struct ctl_target *target, const char *source,
    struct still_events *events, struct still_error *err)
{
	struct still_options wishes = ctl_freeze_wishes(o);
	struct still_instance *instance = NULL;
	int rc = open_catalog(o, target, source, &wishes.catalog, err);

	wishes.incremental = o->incremental || o->chain;
	if (rc == 0)
		rc = still_instance_attach(source, &wishes, &instance, err);
	if (rc == 0)
		rc = backup_instance(o, instance, events, err);
	still_instance_detach(instance);
	still_catalog_close(wishes.catalog);
	return rc;
}

/* ---- either -------------------------------------------------------------- */

static int run_target(const struct ctl_options *o, struct still_error *err)
{
	/* One word is DEST, and the only instance is meant. */
	const char *name = o->n_words > 1 ? o->words[0] : NULL;
	struct still_events *events = ctl_journal_new(o);
	struct ctl_target target = {0};
	int rc;

	if (!events)
		return still_error_nomem(err);
	rc = ctl_target_find(name, &target, err);
	if (rc < 0)
		rc = ctl_target_status(rc);
	else if (target.mounted && !target.dead)
		rc = backup_mounted(o, &target, events, err);
	else
		/* As it was given, if it is no mount: it may have a scheme. */
		rc = backup_source(o, &target,
		    target.source ? target.source : name, events, err);
	/* It did not come to a backup. */
	if (rc < 0)
		log_end(events, o->words[o->n_words - 1], rc,
		    &(struct still_backup){0}, err);
	ctl_target_release(&target);
	still_events_free(events);
	return rc;
}

static int check_options(const struct ctl_options *o, struct still_error *err)
{
	const char *name = o->atomic ? "atomic" : o->copy ? "copy" : NULL;

	if (!o->incremental || !name)
		return 0;
	return still_error_set(err, STILL_ERR_INVALID, EINVAL,
	    o->atomic ? "What is there stays, and is added to." : NULL,
	    "option `--%s`: does not go with `--incremental`", name);
}

static int run(const struct ctl_options *o, struct still_error *err)
{
	if (check_options(o, err) < 0)
		return CTL_EXIT_USAGE;
	return run_target(o, err);
}

const struct ctl_verb ctl_verb_backup = {
    .name = "backup",
    .summary = "store a verified backup in a directory, in one call",
    .help =
	"Freeze SOURCE, or begin a session of MOUNT, copy it into DEST/full, read\n"
	"back and verify what was stored, and commit. What fails leaves the last\n"
	"backup in DEST as it was. With --incremental only what was added since the\n"
	"last committed session goes to DEST/incremental, behind DEST/full.\n",
    .target = CTL_TARGET_DEST,
    .usage = "[SOURCE|MOUNT] DEST",
    .min_words = 1,
    .max_words = 2,
    .options = options,
    .run = run,
};
