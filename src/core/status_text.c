/* SPDX-License-Identifier: MIT */
/*
 * What `status` of a mount says. It answers, in this order, what a person asks:
 * is a backup running, how far is it, when was the last good one, is anything
 * wrong, what do I do. Its words may change; programs read `status.json`.
 */
#include "config.h"

#include <inttypes.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/sys.h"
#include "core/advice.h"
#include "core/words.h"

/* ---- figures ------------------------------------------------------------- */

/* In the largest unit of which there are two: what is below it is no help. */
static void span_text(struct still_buf *buf, int64_t span_ns)
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}};
	int64_t seconds = span_ns / STILL_NS_PER_S;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (seconds >= 2 * units[i].seconds) {
			still_buf_printf(buf, "%" PRId64 " %ss",
			    seconds / units[i].seconds, units[i].name);
			return;
		}
	still_buf_printf(
	    buf, "%" PRId64 " second%s", seconds, seconds == 1 ? "" : "s");
}

/* A time and how long ago it was. A clock may have been set back since. */
static void time_text(struct still_buf *buf, int64_t time_ns)
{
	int64_t age_ns = still_sys_now_ns() - time_ns;
	char time[STILL_TIME_TEXT_BYTES];

	still_time_text(time_ns, 3, time);
	still_buf_printf(buf, "%s, ", time);
	if (age_ns < 0) {
		still_buf_str(buf, "in the future");
		return;
	}
	span_text(buf, age_ns);
	still_buf_str(buf, " ago");
}

/* ---- the session --------------------------------------------------------- */

static void progress_text(
    struct still_buf *buf, const struct still_session_status *s)
{
	still_buf_printf(buf, "progress:  %u of %u files served whole, ",
	    s->files_whole, s->files);
	if (s->files_known)
		still_buf_printf(buf,
		    "%u unchanged since the last good session, ",
		    s->files_known);
	still_buf_size(buf, s->bytes_served);
	still_buf_str(buf, " of ");
	still_buf_size(buf, s->bytes);
	still_buf_str(buf, s->committing ? "\nverifying: " : "\nseal:      ");
	if (s->sealing || s->committing) {
		still_buf_str(
		    buf, s->committing ? "for the commit, " : "being made, ");
		still_buf_size(buf, s->bytes_hashed);
		still_buf_str(buf, " checked\n");
	} else {
		still_buf_str(buf,
		    s->seal_served && s->sealed      ? "served\n"
			: s->sealed                  ? "ready\n"
			: still_session_is_spoilt(s) ? "refused\n"
						     : "not yet asked for\n");
	}
}

/* A pin that is moved on is young; one that is not shows by its age. */
static void age_text(struct still_buf *buf, int64_t age_ns)
{
	if (age_ns < 10 * STILL_NS_PER_S)
		still_buf_printf(buf, "%.1f s", (double) age_ns / 1e9);
	else
		span_text(buf, age_ns);
}

static void pin_text(
    struct still_buf *buf, const struct still_session_status *s)
{
	if (s->n_pinned == 0) {
		still_buf_str(
		    buf, "pin:       none, nothing is held in the databases\n");
		return;
	}
	still_buf_str(buf, "pin:       ");
	age_text(buf, s->pin_age_ns);
	if (s->pin == STILL_PIN_MODE_HOLD)
		still_buf_str(buf, " old, held until the session ends");
	else if (s->pin_moves == 0)
		still_buf_str(buf, " old, not moved on yet");
	else
		still_buf_printf(buf, " old, moved on %" PRIu64 " time%s",
		    s->pin_moves, s->pin_moves == 1 ? "" : "s");
	if (s->let_by)
		still_buf_printf(buf, "; %" PRIu64 " checkpoint%s let by",
		    s->let_by, s->let_by == 1 ? " was" : "s were");
	still_buf_str(buf, "\nlog held:  ");
	still_buf_size(buf, s->log_held_bytes);
	if (s->wal_max_bytes) {
		still_buf_str(buf, "; the logs may grow by ");
		still_buf_size(buf, s->wal_max_bytes);
		still_buf_str(buf, " for this session\n");
	} else {
		still_buf_str(buf, "; there is no limit\n");
	}
}

static void kept_text(
    struct still_buf *buf, const struct still_session_status *s)
{
	if (s->log_kept_bytes == 0)
		return;
	still_buf_str(buf, "log kept:  ");
	still_buf_size(buf, s->log_kept_bytes);
	still_buf_str(buf,
	    " for incremental sessions; `stillctl truncate` releases what none "
	    "needs\n");
}

static void spool_text(
    struct still_buf *buf, const struct still_session_status *s)
{
	if (s->copy_bytes == 0 && s->spool_bytes == 0 && !s->spool_full)
		return;
	still_buf_str(buf, "spool:     ");
	if (s->copy_bytes == 0) {
		still_buf_size(buf, s->spool_bytes);
		still_buf_str(buf,
		    s->spool_full ? " taken; full: the pin cannot be moved on\n"
				  : " taken\n");
		return;
	}
	still_buf_size(buf, s->copied_bytes);
	still_buf_str(buf, " of ");
	still_buf_size(buf, s->copy_bytes);
	still_buf_str(buf, " copied");
	still_buf_str(buf,
	    s->copied_bytes >= s->copy_bytes ? ", complete\n"
		: s->spool_full ? "; full: the pin is only moved on\n"
				: "\n");
}

/* Files that change are captured before any is served, which may take long. */
static void capture_text(
    struct still_buf *buf, const struct still_session_status *s)
{
	if (s->capture_bytes == 0)
		return;
	still_buf_str(buf, "preparing: ");
	still_buf_size(buf, s->captured_bytes);
	still_buf_str(buf, " of ");
	still_buf_size(buf, s->capture_bytes);
	still_buf_str(buf, " captured\n");
}

static void frozen_text(
    struct still_buf *buf, const struct still_session_status *s)
{
	if (s->frozen_at_ns) {
		still_buf_str(buf, "frozen:    ");
		time_text(buf, s->frozen_at_ns);
		still_buf_printf(
		    buf, "; verified %s\n", s->verified ? s->verified : "-");
	}
	if (s->cut)
		still_buf_printf(buf,
		    "cut:       %s, %.3f ms wide; writers were held off for at "
		    "most %.3f ms\n",
		    s->cut, (double) s->cut_width_ns / 1e6,
		    (double) s->writers_held_ns / 1e6);
	if (s->freeze)
		still_buf_printf(buf, "captured:  by %s\n", s->freeze);
	if (s->n_unfrozen)
		still_buf_printf(buf,
		    "missing:   %u of %u databases could not be frozen; they "
		    "are listed, and reading them fails\n",
		    s->n_unfrozen, s->databases);
}

static void outcome_text(
    struct still_buf *buf, const struct still_session_status *s)
{
	char outcome[STILL_OUTCOME_TEXT_BYTES];

	still_outcome_text(s, outcome);
	still_buf_printf(buf, "outcome:   %s", outcome);
	if (s->outcome == STILL_COPIED)
		still_buf_str(buf, ": served, not known to be stored");
	if (s->forced)
		still_buf_str(buf, ", though damage was found");
	if (s->ended_at_ns) {
		still_buf_str(buf, "; ");
		time_text(buf, s->ended_at_ns);
	}
	still_buf_str(buf, "\n");
}

/* The end that comes when nobody does anything. */
static void ends_text(struct still_buf *buf, const struct still_mount_status *m)
{
	int64_t limit_ns = still_quiet_limit_ns(m);
	int64_t left_ns = limit_ns > m->quiet_ns ? limit_ns - m->quiet_ns : 0;

	if (limit_ns == 0)
		return;
	still_buf_printf(buf,
	    "ends:      by itself after %" PRId64 " s without a request "
	    "(%s); %" PRId64 " s are left\n",
	    limit_ns / STILL_NS_PER_S,
	    m->session->covered                 ? "all was served"
		: m->session->bytes_served == 0 ? "nothing was read yet"
						: "it is partly read",
	    left_ns / STILL_NS_PER_S);
}

static void session_text(
    struct still_buf *buf, const struct still_mount_status *m)
{
	const struct still_session_status *s = m->session;

	still_buf_printf(
	    buf, "session:   %s, %s", s->id, still_session_kind_word(s->kind));
	if (s->number)
		still_buf_printf(
		    buf, ", number %" PRIu64 " of this source", s->number);
	still_buf_str(buf, "\n");
	if (s->link)
		still_buf_printf(buf,
		    "chain:     link %" PRIu32 " of full session %s; builds on "
		    "%s\n",
		    s->link, s->chain, s->base);
	if (s->state == STILL_PREPARING)
		capture_text(buf, s);
	frozen_text(buf, s);
	if (s->state == STILL_SERVING) {
		pin_text(buf, s);
		kept_text(buf, s);
		spool_text(buf, s);
		progress_text(buf, s);
	}
	ends_text(buf, m);
	if (s->state == STILL_ENDED)
		outcome_text(buf, s);
}

/* ---- earlier sessions ---------------------------------------------------- */

static void record_text(struct still_buf *buf, const struct still_record *r)
{
	still_buf_str(buf, "moment of ");
	time_text(buf, r->frozen_at_ns);
	still_buf_str(buf, "; ");
	still_buf_size(buf, r->bytes);
	still_buf_printf(buf, "; %s, %s, number %" PRIu64 ", %s", r->id,
	    still_session_kind_word(r->kind), r->number, r->outcome_text);
	if (r->link)
		still_buf_printf(
		    buf, ", link %" PRIu32 " of %s", r->link, r->chain);
	if (r->forced)
		still_buf_str(buf, ", though damaged");
}

/* One line when the last good session is the last committed one. */
static void records_text(
    struct still_buf *buf, const struct still_mount_status *m)
{
	const struct still_record *good = m->last_good;
	const struct still_record *committed = m->last_committed;

	still_buf_str(buf, "last good: ");
	if (good)
		record_text(buf, good);
	else
		still_buf_str(buf, "none yet");
	if (still_can_commit(m)) {
		still_buf_str(buf,
		    "\n           served, not known to be stored: `stillctl "
		    "commit ");
		still_buf_word(buf, m->mountpoint);
		still_buf_str(buf, "` if your tool reported success");
	}
	still_buf_str(buf, "\n");
	if (good && committed && good->number == committed->number)
		return;
	still_buf_str(buf, "committed: ");
	if (committed)
		record_text(buf, committed);
	else
		still_buf_str(buf, "none yet");
	still_buf_str(buf, "\n");
}

/* ---- all of it ----------------------------------------------------------- */

static const char *running(const struct still_session_status *s)
{
	switch (s ? s->state : STILL_IDLE) {
	case STILL_PREPARING:
		return "a backup begins";
	case STILL_SERVING:
		return s->committing ? "a backup is being committed"
				     : "a backup is running";
	default:
		return "no backup is running";
	}
}

static void head_text(struct still_buf *buf, const struct still_mount_status *m)
{
	const struct still_session_status *s = m->session;
	size_t n = s && s->cut ? s->databases : m->instance->n_databases;

	still_buf_printf(buf, "state:     %s, %s\n",
	    still_state_word(s ? s->state : STILL_IDLE), running(s));
	still_buf_str(buf, "source:    ");
	still_buf_word(buf, m->instance->source);
	still_buf_printf(buf, " (%s %s, %zu database%s)\n", m->instance->engine,
	    m->instance->engine_version, n, n == 1 ? "" : "s");
}

/* A still_problem_fn over a buffer. */
static void problem_text(
    void *arg, const char *code, const char *message, const char *hint)
{
	struct still_buf *buf = arg;

	(void) code;
	still_buf_str(buf, "error:     ");
	still_buf_line(buf, message);
	still_buf_str(buf, "\n");
	if (hint)
		still_buf_printf(buf, "hint:      %s\n", hint);
}

char *still_status_text(const struct still_mount_status *m, size_t *ret_len)
{
	struct still_buf problems = STILL_BUF_INIT;
	struct still_buf buf = STILL_BUF_INIT;

	head_text(&buf, m);
	if (m->session)
		session_text(&buf, m);
	records_text(&buf, m);
	still_problems(m, problem_text, &problems);
	if (problems.failed)
		buf.failed = true;
	else if (problems.len == 0)
		still_buf_str(&buf, "error:     none\n");
	else
		still_buf_add(&buf, problems.data, problems.len);
	still_buf_release(&problems);
	still_buf_str(&buf, "next:      ");
	still_advice(m, &buf);
	still_buf_str(&buf, "\n");
	return still_buf_take(&buf, ret_len);
}
