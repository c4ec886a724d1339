/* SPDX-License-Identifier: MIT */
/*
 * What `metrics` of a mount says: the text format of Prometheus, version 0.0.4.
 *
 *	# HELP name text        `\` and newline escaped by a backslash
 *	# TYPE name gauge       or counter, whose name ends in _total
 *	name{label="value",...} number
 *
 * All samples of a name stand together. In a label's value `\`, `"` and newline
 * are escaped by a backslash, and it is valid UTF-8. Each sample has the labels
 * `source` and `mountpoint`, so that the metrics of several mounts can be put
 * into one file. Names and meanings: stillfs-metrics(5).
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/sys.h"
#include "core/advice.h"
#include "core/words.h"

struct page {
	struct still_buf buf;
	struct still_buf labels; /* of every sample, without braces */
};

/* ---- the format ---------------------------------------------------------- */

/* What a line cannot hold, or is no UTF-8, is written as \xHH, as it is in the
 * other files of a mount; only then is it escaped as the format asks. */
static void add_label(
    struct still_buf *buf, const char *name, const char *value)
{
	struct still_buf text = STILL_BUF_INIT;

	still_buf_line(&text, value);
	if (text.failed)
		buf->failed = true;
	still_buf_printf(buf, "%s%s=\"", buf->len ? "," : "", name);
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '\\' || text.data[i] == '"')
			still_buf_str(buf, "\\");
		still_buf_add(buf, &text.data[i], 1);
	}
	still_buf_str(buf, "\"");
	still_buf_release(&text);
}

static void describe(
    struct page *page, const char *name, const char *type, const char *help)
{
	still_buf_printf(
	    &page->buf, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The begin of a sample, with one label more, or NULL. */
static void begin_sample(
    struct page *page, const char *name, const char *label, const char *value)
{
	still_buf_printf(&page->buf, "%s{%s", name,
	    page->labels.data ? page->labels.data : "");
	if (label)
		still_buf_printf(&page->buf, ",%s=\"%s\"", label, value);
	still_buf_str(&page->buf, "} ");
}

static void sample(struct page *page, const char *name, const char *label,
    const char *value, uint64_t number)
{
	begin_sample(page, name, label, value);
	still_buf_printf(&page->buf, "%" PRIu64 "\n", number);
}

static void gauge(
    struct page *page, const char *name, const char *help, uint64_t number)
{
	describe(page, name, "gauge", help);
	sample(page, name, NULL, NULL, number);
}

static void counter(
    struct page *page, const char *name, const char *help, uint64_t number)
{
	describe(page, name, "counter", help);
	sample(page, name, NULL, NULL, number);
}

/* Times and spans, in seconds. */
static void seconds(
    struct page *page, const char *name, const char *help, int64_t ns)
{
	describe(page, name, "gauge", help);
	begin_sample(page, name, NULL, NULL);
	still_buf_printf(&page->buf, "%" PRId64 ".%09" PRId64 "\n",
	    ns / STILL_NS_PER_S, ns % STILL_NS_PER_S);
}

/* ---- the mount ----------------------------------------------------------- */

static void count_problem(
    void *arg, const char *code, const char *message, const char *hint)
{
	(void) code;
	(void) message;
	(void) hint;
	++*(uint64_t *) arg;
}

static void add_mount(struct page *page, const struct still_mount_status *m)
{
	const struct still_session_status *s = m->session;
	struct still_buf versions = STILL_BUF_INIT;
	uint64_t n_problems = 0;

	add_label(&versions, "version", still_version());
	add_label(&versions, "engine", m->instance->engine);
	add_label(&versions, "engine_version", m->instance->engine_version);
	describe(page, "stillfs_build_info", "gauge",
	    "The version of stillfs, the engine and its version; always 1.");
	still_buf_printf(&page->buf, "stillfs_build_info{%s,%s} 1\n",
	    page->labels.data ? page->labels.data : "",
	    versions.data ? versions.data : "");
	if (versions.failed)
		page->buf.failed = true;
	still_buf_release(&versions);
	seconds(page, "stillfs_mounted_timestamp_seconds",
	    "When the daemon began to set up the mount.", m->started_at_ns);
	gauge(page, "stillfs_databases",
	    "Databases in the snapshot; before there is one, in the source.",
	    s && s->cut ? s->databases : m->instance->n_databases);
	still_problems(m, count_problem, &n_problems);
	gauge(page, "stillfs_problems",
	    "What is wrong, as counted by problems in status.json.",
	    n_problems);
}

static void add_records(struct page *page, const struct still_mount_status *m)
{
	static const struct still_record never;
	const struct still_record *good = m->last_good ? m->last_good : &never;
	const struct still_record *committed =
	    m->last_committed ? m->last_committed : &never;
	const struct still_record *incremental =
	    m->last_incremental ? m->last_incremental : &never;

	seconds(page, "stillfs_last_committed_timestamp_seconds",
	    "When the last committed session was committed; 0: never.",
	    committed->committed_at_ns);
	seconds(page, "stillfs_last_committed_frozen_timestamp_seconds",
	    "The moment that the last committed session shows; 0: none.",
	    committed->frozen_at_ns);
	gauge(page, "stillfs_last_committed_bytes",
	    "The size of the last committed session; 0: none.",
	    committed->bytes);
	gauge(page, "stillfs_last_committed_link",
	    "How many incremental sessions lead from a full one to the last "
	    "committed session; 0: it is no incremental one.",
	    committed->link);
	seconds(page, "stillfs_last_incremental_timestamp_seconds",
	    "When the last committed incremental session was committed; 0: "
	    "never.",
	    incremental->committed_at_ns);
	seconds(page, "stillfs_last_incremental_frozen_timestamp_seconds",
	    "The moment that the last committed incremental session shows; 0: "
	    "none.",
	    incremental->frozen_at_ns);
	gauge(page, "stillfs_last_incremental_bytes",
	    "The size of the last committed incremental session; 0: none.",
	    incremental->bytes);
	seconds(page, "stillfs_last_good_timestamp_seconds",
	    "When the last session that is COMMITTED or COPIED ended; "
	    "0: never.",
	    good->ended_at_ns);
	seconds(page, "stillfs_last_good_frozen_timestamp_seconds",
	    "The moment that the last session that is COMMITTED or COPIED "
	    "shows; 0: none.",
	    good->frozen_at_ns);
	gauge(page, "stillfs_last_good_bytes",
	    "The size of the last session that is COMMITTED or COPIED; "
	    "0: none.",
	    good->bytes);
}

/* ---- the session --------------------------------------------------------- */

static void add_state(struct page *page, enum still_state state)
{
	describe(page, "stillfs_session_state", "gauge",
	    "1 for the state that the session of the mount is in, 0 for the "
	    "others.");
	for (int i = 0; i < STILL_STATE_COUNT; i++)
		sample(page, "stillfs_session_state", "state",
		    still_state_word((enum still_state) i), i == (int) state);
}

static void add_progress(
    struct page *page, const struct still_session_status *s)
{
	gauge(page, "stillfs_session_capture_bytes",
	    "Bytes that the freeze of the session captures; 0: none.",
	    s->capture_bytes);
	gauge(page, "stillfs_session_captured_bytes",
	    "Bytes of these that are captured.", s->captured_bytes);
	gauge(page, "stillfs_session_bytes",
	    "The size of all files of the session.", s->bytes);
	gauge(page, "stillfs_session_bytes_served",
	    "Bytes of the session that were handed out, each counted once.",
	    s->bytes_served);
	gauge(page, "stillfs_session_bytes_verified",
	    "Bytes of the session that are verified and digested.",
	    s->bytes_hashed);
	gauge(page, "stillfs_session_files",
	    "Files of the session that are not empty.", s->files);
	gauge(page, "stillfs_session_files_whole",
	    "Files of the session that were handed out to the last byte.",
	    s->files_whole);
	gauge(page, "stillfs_session_files_known",
	    "Files of the session that were not, and have not changed since "
	    "the last good one.",
	    s->files_known);
	gauge(page, "stillfs_session_covered",
	    "1 when the session would be COPIED if it ended now.", s->covered);
	gauge(page, "stillfs_session_committing",
	    "1 while the session is verified to be committed.", s->committing);
	gauge(page, "stillfs_session_unfrozen_databases",
	    "Databases of the session that could not be frozen.",
	    s->n_unfrozen);
}

static void add_held(struct page *page, const struct still_session_status *s)
{
	gauge(page, "stillfs_pins", "Databases of which something is held.",
	    s->n_pinned);
	seconds(page, "stillfs_pin_age_seconds",
	    "The age of the oldest pin; 0: there is none.", s->pin_age_ns);
	gauge(page, "stillfs_log_held_bytes",
	    "Bytes of the application's logs that cannot be used again because "
	    "of a pin.",
	    s->log_held_bytes);
	gauge(page, "stillfs_log_kept_bytes",
	    "Bytes of the application's logs that are kept for incremental "
	    "sessions to come, and stay when this one is over.",
	    s->log_kept_bytes);
	gauge(page, "stillfs_log_limit_bytes",
	    "By how much the logs may grow before the session is given up; "
	    "0: no limit.",
	    s->wal_max_bytes);
	gauge(page, "stillfs_copy_bytes",
	    "Bytes that are to be copied, so that nothing is held any more; "
	    "0: nothing is copied.",
	    s->copy_bytes);
	gauge(page, "stillfs_copied_bytes", "Bytes of these that are copied.",
	    s->copied_bytes);
	gauge(page, "stillfs_spool_bytes",
	    "Bytes that private copies take in the spool.", s->spool_bytes);
	gauge(page, "stillfs_spool_full",
	    "1 when there is no room to complete the copy, or to move a pin "
	    "on.",
	    s->spool_full);
}

static void add_session(struct page *page, const struct still_mount_status *m)
{
	static const struct still_session_status none;
	const struct still_session_status *s = m->session ? m->session : &none;

	add_state(page, s->state);
	gauge(page, "stillfs_session_number",
	    "The number of the session among those of its source; 0: none.",
	    s->number);
	seconds(page, "stillfs_session_frozen_timestamp_seconds",
	    "The moment that the session shows; 0: none.", s->frozen_at_ns);
	add_progress(page, s);
	seconds(page, "stillfs_quiet_seconds",
	    "How long the session has had no request.", m->quiet_ns);
	add_held(page, s);
}

static void add_totals(struct page *page, const struct still_totals *totals)
{
	counter(page, "stillfs_bytes_served_total",
	    "Bytes that all sessions of the mount handed out.",
	    totals->bytes_served);
	counter(page, "stillfs_bytes_verified_total",
	    "Bytes that all sessions of the mount verified and digested.",
	    totals->bytes_verified);
	counter(page, "stillfs_bad_pages_total",
	    "Damaged pages and log frames that all sessions of the mount met.",
	    totals->damages);
	counter(page, "stillfs_pin_moves_total",
	    "How often a pin was moved on, in all sessions of the mount.",
	    totals->pin_moves);
	counter(page, "stillfs_checkpoints_let_by_total",
	    "Checkpoints that waited for a pin, and that it was moved away "
	    "from, in all sessions of the mount.",
	    totals->let_by);
	describe(page, "stillfs_sessions_total", "counter",
	    "Sessions of the mount that have ended, by outcome.");
	for (int i = STILL_NO_OUTCOME + 1; i < STILL_OUTCOME_COUNT; i++)
		sample(page, "stillfs_sessions_total", "outcome",
		    still_outcome_word((enum still_outcome) i),
		    totals->sessions[i]);
}

char *still_metrics_text(const struct still_mount_status *m, size_t *ret_len)
{
	struct page page = {STILL_BUF_INIT, STILL_BUF_INIT};

	add_label(&page.labels, "source", m->instance->source);
	add_label(&page.labels, "mountpoint", m->mountpoint);
	add_mount(&page, m);
	add_records(&page, m);
	add_session(&page, m);
	add_totals(&page, &m->totals);
	if (page.labels.failed)
		page.buf.failed = true;
	still_buf_release(&page.labels);
	return still_buf_take(&page.buf, ret_len);
}
