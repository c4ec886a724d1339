/* SPDX-License-Identifier: MIT */
/*
 * advice: what is wrong with a mount, and what a person does next.
 *
 * A problem is something that a person has to do something about. That a
 * session ended ABORTED(unread) or ABORTED(by caller) is none: an indexer came
 * by, or a tool said itself that it failed.
 */
#ifndef STILL_CORE_ADVICE_H
#define STILL_CORE_ADVICE_H

#include "base/buf.h"
#include "still.h"

/* `code`: the word of an error code, or "aborted", "log-limit", "log-held",
 * "spool-full", "volume-full" or "volume-read-only". `hint` may be NULL. All are
 * valid during the call. */
typedef void still_problem_fn(
    void *arg, const char *code, const char *message, const char *hint);

/* Tell each problem once, the worst first. */
void still_problems(
    const struct still_mount_status *mount, still_problem_fn *tell, void *arg);

/* Append what to do next: a sentence without capital and full stop, on one
 * line, valid UTF-8. */
void still_advice(
    const struct still_mount_status *mount, struct still_buf *buf);

/* May the last good session still be committed: is it COPIED, and has no later
 * one begun? */
bool still_can_commit(const struct still_mount_status *mount);

/* Nothing can make a backup of this session any more. */
bool still_session_is_spoilt(const struct still_session_status *session);

/* After how much quiet time the session that serves ends by itself; 0: never,
 * or not now. */
int64_t still_quiet_limit_ns(const struct still_mount_status *mount);

#endif
