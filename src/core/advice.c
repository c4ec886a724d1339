/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/advice.h"

#include <inttypes.h>

/* A log that holds more than the databases themselves, and is no trifle. */
#define LOG_HELD_MIN_BYTES (UINT64_C(64) << 20)

bool still_session_is_spoilt(const struct still_session_status *s)
{
	return s->error.code == STILL_ERR_CORRUPT ||
	    s->error.code == STILL_ERR_LOST || s->n_unfrozen > 0;
}

bool still_can_commit(const struct still_mount_status *m)
{
	const struct still_record *good = m->last_good;

	return good && good->outcome == STILL_COPIED &&
	    (!m->session || m->session->number <= good->number);
}

int64_t still_quiet_limit_ns(const struct still_mount_status *m)
{
	const struct still_session_status *s = m->session;

	if (!s || s->state != STILL_SERVING || s->committing || s->lost)
		return 0;
	return s->covered || s->bytes_served == 0 ? m->lease_ns : m->stall_ns;
}

/* ---- problems ------------------------------------------------------------ */

/* An end that needs somebody, and that no error of the session explains. */
static const char *hint_of_end(const struct still_session_status *s)
{
	if (s->state != STILL_ENDED || s->error.code)
		return NULL;
	switch (s->outcome) {
	case STILL_ABORTED_UNRECORDED:
		return "What was copied is no backup; make the state directory "
		       "writable again, and copy backup/ once more.";
	case STILL_ABORTED_PARTIAL:
	case STILL_ABORTED_CORRUPT:
	case STILL_ABORTED_INCOMPLETE:
	case STILL_ABORTED_LOST:
	case STILL_ABORTED_FORCED:
	case STILL_ABORTED_FREEZE:
	case STILL_ABORTED_CRASH:
		return "What was copied is no backup; copy backup/ once more, "
		       "from its begin.";
	default:
		return NULL;
	}
}

static void tell_end(
    const struct still_session_status *s, still_problem_fn *tell, void *arg)
{
	const char *hint = hint_of_end(s);
	char outcome[STILL_OUTCOME_TEXT_BYTES];
	struct still_buf message = STILL_BUF_INIT;

	if (!hint)
		return;
	still_outcome_text(s, outcome);
	still_buf_printf(&message, "session `%s`: ended %s", s->id, outcome);
	if (!message.failed)
		tell(arg, "aborted", message.data, hint);
	still_buf_release(&message);
}

/* More than half of the way to the limit. */
static bool is_near_limit(const struct still_session_status *s)
{
	return s->wal_max_bytes > 0 && s->log_held_bytes > s->wal_max_bytes / 2;
}

static void tell_limit(
    const struct still_session_status *s, still_problem_fn *tell, void *arg)
{
	struct still_buf message = STILL_BUF_INIT;

	still_buf_printf(&message, "session `%s`: keeps ", s->id);
	still_buf_size(&message, s->log_held_bytes);
	still_buf_str(&message,
	    " of the application's log, and is given up when the logs have "
	    "grown by ");
	still_buf_size(&message, s->wal_max_bytes);
	if (!message.failed)
		tell(arg, "log-limit", message.data,
		    s->pin == STILL_PIN_MODE_HOLD
			? "End the session as soon as its copy is made; with "
			  "`pin=auto` the log is let go sooner."
			: "End the session as soon as its copy is made; for "
			  "the next one raise `wal_max`, or make room for it "
			  "in the spool.");
	still_buf_release(&message);
}

static void tell_log(
    const struct still_session_status *s, still_problem_fn *tell, void *arg)
{
	struct still_buf message = STILL_BUF_INIT;

	if (is_near_limit(s)) {
		tell_limit(s, tell, arg);
		return;
	}
	if (s->log_held_bytes < LOG_HELD_MIN_BYTES ||
	    s->log_held_bytes <= s->bytes)
		return;
	still_buf_printf(&message,
	    "session `%s`: keeps %" PRIu64 " MiB of the application's log, "
	    "more than its databases have",
	    s->id, s->log_held_bytes >> 20);
	if (!message.failed)
		tell(arg, "log-held", message.data,
		    s->pin == STILL_PIN_MODE_HOLD
			? "End the session as soon as its copy is made; until "
			  "then the log grows, which `pin=auto` prevents."
			: "End the session as soon as its copy is made; until "
			  "then the log grows.");
	still_buf_release(&message);
}

/* There is no room for the copy of all; or, where none is made, for pages that
 * must be saved before the pin can move. */
static void tell_spool(
    const struct still_session_status *s, still_problem_fn *tell, void *arg)
{
	bool copies = s->copy_bytes > 0;
	struct still_buf message = STILL_BUF_INIT;

	if (!s->spool_full)
		return;
	still_buf_printf(
	    &message, "session `%s`: the spool has no room for ", s->id);
	if (copies) {
		still_buf_str(&message, "the rest of its copy, ");
		still_buf_size(&message, s->copied_bytes);
		still_buf_str(&message, " of ");
		still_buf_size(&message, s->copy_bytes);
		still_buf_str(&message, " are there");
	} else {
		still_buf_str(&message,
		    "pages that are about to change, so its pin cannot be "
		    "moved on");
	}
	if (!message.failed)
		tell(arg, "spool-full", message.data,
		    copies ? "The session goes on, and its pin is moved on as "
			     "long as there is room for what changes; for the "
			     "next one make room there, raise `spool_max`, or "
			     "name another directory with `spool=`."
			   : "End the session as soon as its copy is made; for "
			     "the next one make room there, raise `spool_max`, "
			     "or name another directory with `spool=`.");
	still_buf_release(&message);
}

static void tell_session(
    const struct still_session_status *s, still_problem_fn *tell, void *arg)
{
	if (s->error.code)
		tell(arg, still_error_word(s->error.code),
		    still_error_msg(&s->error), s->error.hint);
	tell_end(s, tell, arg);
	tell_log(s, tell, arg);
	tell_spool(s, tell, arg);
}

void still_problems(
    const struct still_mount_status *m, still_problem_fn *tell, void *arg)
{
	const struct still_volumes *volumes = m->volumes;

	if (m->session)
		tell_session(m->session, tell, arg);
	for (size_t i = 0; volumes && i < volumes->n; i++)
		tell(arg, volumes->list[i].code, volumes->list[i].message,
		    volumes->list[i].hint);
}

/* ---- what to do next ----------------------------------------------------- */

/* Each may hold one %s: the mountpoint. */

static const char *while_serving(const struct still_session_status *s)
{
	if (s->lost || s->error.code == STILL_ERR_LOST)
		return "wait: the session is lost and ends at once; this copy "
		       "is no backup, so copy backup/ again then, from its "
		       "begin";
	if (s->error.code == STILL_ERR_CORRUPT)
		return "check the live database; this session cannot become "
		       "a backup: save what you need of it, then `stillctl "
		       "abort %s`";
	if (s->n_unfrozen > 0)
		return "mend what the error names, `stillctl abort %s`, then "
		       "copy backup/ again; this session lacks a database, and "
		       "cannot become a backup";
	if (s->committing)
		return "wait: what nobody has read is being verified, and then "
		       "the session is committed";
	if (s->covered && s->files_known > 0)
		return "everything was served or has not changed; if your tool "
		       "reported success, `stillctl commit %s`";
	if (s->covered)
		return "everything was served; if your tool reported success, "
		       "`stillctl commit %s`";
	if (s->bytes_served == 0 && s->kind == STILL_INCREMENTAL)
		return "copy what is in incremental/ with any tool; when it "
		       "reports success, `stillctl commit %s`";
	if (s->bytes_served == 0)
		return "copy backup/ with any tool; when it reports success, "
		       "`stillctl commit %s`";
	if (s->kind == STILL_INCREMENTAL)
		return "copy what is left of it in incremental/, verify/ last; "
		       "when your tool reports success, `stillctl commit %s`";
	return "copy what is left of backup/, verify/ last; when your tool "
	       "reports success, `stillctl commit %s`";
}

static const char *when_ended(enum still_outcome outcome)
{
	switch (outcome) {
	case STILL_COMMITTED:
		return "nothing: the backup is committed; to begin the next "
		       "one, list backup/ or `stillctl begin %s`";
	case STILL_COPIED:
		return "everything was served, and is not known to be stored; "
		       "if your tool reported success, `stillctl commit %s` "
		       "before the next session begins";
	case STILL_ABORTED_CORRUPT:
		return "check the live database, and restore it from the last "
		       "good backup if it is damaged; then copy backup/ again";
	case STILL_ABORTED_INCOMPLETE:
	case STILL_ABORTED_FREEZE:
		return "mend what the error names, then look into backup/ "
		       "again";
	case STILL_ABORTED_LOST:
		return "see to what the error names; this copy is no backup: "
		       "copy backup/ again, from its begin";
	case STILL_ABORTED_UNREAD:
	case STILL_ABORTED_CALLER:
		return "to begin another session, list backup/ or `stillctl "
		       "begin %s`";
	case STILL_ABORTED_UNRECORDED:
		return "make the state directory writable again (is its disk "
		       "full?), then copy backup/ once more";
	default:
		return "this copy is no backup; copy backup/ again, from its "
		       "begin";
	}
}

static const char *advice_of(const struct still_mount_status *m)
{
	const struct still_session_status *s = m->session;

	if (!s || s->state == STILL_IDLE)
		return "copy backup/ with any tool; the first look into it "
		       "freezes a snapshot";
	if (s->state == STILL_PREPARING)
		return "wait: the snapshot is being frozen";
	return s->state == STILL_SERVING ? while_serving(s)
					 : when_ended(s->outcome);
}

void still_advice(const struct still_mount_status *m, struct still_buf *buf)
{
	for (const char *p = advice_of(m); *p; p++) {
		if (p[0] == '%' && p[1] == 's') {
			still_buf_word(buf, m->mountpoint);
			p++;
		} else {
			still_buf_add(buf, p, 1);
		}
	}
}
