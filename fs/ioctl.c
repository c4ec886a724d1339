/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/ioctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "fs/node.h"
#include "fs/tree.h"

bool fs_ioctl_may(const struct fs_state *state, uid_t caller)
{
	return caller == 0 || caller == geteuid() || caller == state->info.uid;
}

static void set_text(char *to, size_t size, const char *text)
{
	snprintf(to, size, "%s", text ? text : "");
}

static void tell_error(
    struct still_control *control, int code, const struct still_error *err)
{
	control->code = code;
	if (code == 0)
		return;
	set_text(
	    control->message, sizeof(control->message), still_error_msg(err));
	set_text(control->hint, sizeof(control->hint), err->hint);
}

/* ---- what is there ------------------------------------------------------- */

static void tell_session(
    struct still_control *control, const struct still_session_status *status)
{
	set_text(control->session, sizeof(control->session), status->id);
	control->state = (int32_t) status->state;
	control->outcome = (int32_t) status->outcome;
	control->kind = (int32_t) status->kind;
	control->number = status->number;
	still_outcome_text(status, control->outcome_text);
	control->bytes = status->bytes;
	control->bytes_served = status->bytes_served;
	control->bytes_verified = status->bytes_hashed;
	control->capture_bytes = status->capture_bytes;
	control->captured_bytes = status->captured_bytes;
	control->files = status->files;
	control->files_whole = status->files_whole;
}

/* The present session, or the last one that served a byte, or the last. */
static void tell_present(struct fs_state *state, struct still_control *control)
{
	struct fs_shown *shown = fs_state_get_any(state);
	struct still_session_status status = {.state = STILL_IDLE};

	if (!shown)
		return;
	still_session_status(shown->session, &status);
	tell_session(control, &status);
	pthread_mutex_lock(&state->lock);
	if (status.state == STILL_ENDED && state->last_served[0] &&
	    strcmp(state->last_served, status.id) != 0) {
		set_text(control->session, sizeof(control->session),
		    state->last_served);
		control->outcome = (int32_t) state->last_served_outcome;
		set_text(control->outcome_text, sizeof(control->outcome_text),
		    state->last_served_text);
		control->number = 0;
	}
	pthread_mutex_unlock(&state->lock);
	still_session_status_clear(&status);
	fs_state_put(state, shown);
}

/* The session of a job that is done, as far as it is still here. */
static void tell_truncation(
    const struct still_truncation *truncation, struct still_control *to)
{
	to->n_truncated = truncation->sessions;
	to->truncated_bytes = truncation->bytes;
	set_text(to->truncated_range, sizeof(to->truncated_range),
	    truncation->range);
	to->truncate_code = truncation->error.code;
	set_text(to->truncate_message, sizeof(to->truncate_message),
	    truncation->error.msg);
	set_text(to->truncate_hint, sizeof(to->truncate_hint),
	    truncation->error.hint);
}

static void tell_job(
    struct fs_state *state, const struct fs_job *job, struct still_control *to)
{
	to->job_state = (int32_t) job->state;
	if (job->state == STILL_JOB_DONE) {
		tell_error(to, job->code, &job->err);
		tell_truncation(&job->truncation, to);
		if (strcmp(to->session, job->session) != 0) {
			set_text(
			    to->session, sizeof(to->session), job->session);
			to->outcome = STILL_NO_OUTCOME;
			to->state = STILL_ENDED;
			to->number = 0;
			set_text(
			    to->outcome_text, sizeof(to->outcome_text), "");
		}
	}
	(void) state;
}

static void query(struct fs_state *state, struct still_control *control)
{
	struct fs_job job;

	tell_present(state, control);
	if (!control->job)
		return;
	if (!fs_jobs_look(&state->jobs, control->job, &job)) {
		control->job_state = STILL_JOB_NONE;
		return;
	}
	tell_job(state, &job, control);
	fs_job_release(&job);
}

/* ---- what is to be done -------------------------------------------------- */

static void start(struct fs_state *state, enum fs_job_kind kind,
    struct still_control *control)
{
	struct still_error err = STILL_ERROR_INIT;
	char wanted[STILL_SESSION_ID_BYTES];
	int rc;

	/* It stands where the answer will. */
	memcpy(wanted, control->session, sizeof(wanted));
	control->session[0] = '\0';
	rc = fs_jobs_start(
	    &state->jobs, kind, control->flags, wanted, &control->job, &err);
	tell_present(state, control);
	tell_error(control, rc, &err);
	control->job_state = rc == 0 ? STILL_JOB_RUNNING : STILL_JOB_NONE;
	still_error_clear(&err);
}

/* 0 or an errno. */
static int carry_out(
    struct fs_state *state, unsigned cmd, struct still_control *control)
{
	/* Only these two are about a session that is there. */
	if (cmd != STILL_CONTROL_COMMIT && cmd != STILL_CONTROL_ABORT)
		control->session[0] = '\0';
	if (cmd == STILL_CONTROL_QUERY)
		query(state, control);
	else if (cmd == STILL_CONTROL_BEGIN)
		start(state, FS_JOB_BEGIN, control);
	else if (cmd == STILL_CONTROL_COMMIT)
		start(state, FS_JOB_COMMIT, control);
	else if (cmd == STILL_CONTROL_ABORT)
		start(state, FS_JOB_ABORT, control);
	else
		return ENOTTY;
	control->pid = getpid();
	set_text(control->source, sizeof(control->source), state->info.source);
	set_text(control->state_dir, sizeof(control->state_dir),
	    still_catalog_dir(state->catalog));
	return 0;
}

/* Whoever asks for what we do not know must not think that he got it. */
static bool are_flags_of(unsigned cmd, uint32_t flags)
{
	uint32_t known = cmd == STILL_CONTROL_BEGIN ? STILL_CONTROL_OF_BEGIN
	    : cmd == STILL_CONTROL_COMMIT           ? STILL_CONTROL_OF_COMMIT
						    : 0;

	return !(flags & ~known) && flags != STILL_CONTROL_OF_BEGIN;
}

void fs_ioctl(fuse_req_t req, fuse_ino_t node, unsigned int cmd, void *arg,
    struct fuse_file_info *fi, unsigned flags, const void *in_buf,
    size_t in_bytes, size_t out_bytes)
{
	struct fs_state *state = fs_state_of(req);
	const struct still_control *in = in_buf;
	struct still_control control = {0};
	char name[STILL_SESSION_ID_BYTES];
	int sys_errno;

	(void) arg;
	(void) fi;
	(void) flags;
	if (node != FS_NODE_ROOT || in_bytes != sizeof(control) ||
	    out_bytes != sizeof(control))
		sys_errno = ENOTTY;
	else if (!fs_ioctl_may(state, fuse_req_ctx(req)->uid))
		sys_errno = EPERM;
	else if (in->version != STILL_CONTROL_VERSION)
		sys_errno = EPROTO;
	else if (!are_flags_of(cmd, in->flags))
		sys_errno = EINVAL;
	else {
		/* What comes from outside need not end. */
		memcpy(name, in->session, sizeof(name));
		name[sizeof(name) - 1] = '\0';
		control.version = STILL_CONTROL_VERSION;
		control.flags = in->flags;
		control.job = in->job;
		set_text(control.session, sizeof(control.session), name);
		sys_errno = carry_out(state, cmd, &control);
	}
	if (sys_errno)
		fuse_reply_err(req, sys_errno);
	else
		fuse_reply_ioctl(req, 0, &control, sizeof(control));
}
