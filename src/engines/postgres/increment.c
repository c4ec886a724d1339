/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/increment.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "engines/postgres/instance.h"
#include "engines/postgres/link.h"

#define SWITCH_LIMIT_NS (60 * STILL_NS_PER_S)

static const char full_hint[] =
    "Make a full session; later incremental ones build on it.";

struct adding {
	const struct still_pg_instance *instance;
	const struct still_freeze_request *request;
	struct still_pg_frozen *frozen;
	struct still_pg_increment *increment;
	struct still_pg_session *session; /* owned */
	struct still_error *err;
	uint64_t taken; /* segments that were taken: those before this number */
};

/* ---- the base ------------------------------------------------------------- */

static int look_at_note(struct adding *adding)
{
	const struct still_base *base = adding->request->base;

	if (!base)
		return still_error_set(adding->err, STILL_ERR_BASE, 0,
		    full_hint, "server of `%s`: no session of it is committed",
		    adding->instance->examined.conn.shown);
	if (!still_pg_note_parse(base->note, &adding->increment->base))
		return still_error_set(adding->err, STILL_ERR_BASE, 0,
		    "Make a full session with `-o incremental`: from then on "
		    "the server keeps the WAL that incremental ones need.",
		    "session %" PRIu64
		    ": the server was not asked to keep the WAL behind it",
		    base->number);
	return 0;
}

static int compare_server(struct adding *adding)
{
	const struct still_pg_facts *now = &adding->frozen->facts;
	const struct still_pg_note *then = &adding->increment->base;

	if (now->system_identifier != then->system_identifier)
		return still_error_set(adding->err, STILL_ERR_BASE, 0,
		    full_hint,
		    "server of `%s`: is another cluster than that of session "
		    "%" PRIu64 ": its system identifier is %" PRIu64
		    ", not %" PRIu64,
		    adding->instance->examined.conn.shown,
		    adding->request->base->number, now->system_identifier,
		    then->system_identifier);
	if (now->timeline != then->timeline)
		return still_error_set(adding->err, STILL_ERR_BASE, 0,
		    full_hint,
		    "server of `%s`: is on timeline %" PRIu32
		    ", and session %" PRIu64 " is of timeline %" PRIu32,
		    adding->instance->examined.conn.shown, now->timeline,
		    adding->request->base->number, then->timeline);
	return 0;
}

__attribute__((format(printf, 2, 3))) static int refuse_slot(
    struct adding *adding, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return still_error_set(adding->err, STILL_ERR_BASE, 0, full_hint,
	    "slot `%s`: %s", adding->increment->base.slot, text);
}

static int judge_state(struct adding *adding, const struct still_pg_slot *slot)
{
	uint64_t number = adding->request->base->number;

	switch (slot->state) {
	case STILL_PG_SLOT_NONE:
	case STILL_PG_SLOT_FOREIGN:
		return refuse_slot(adding,
		    "was dropped: nothing keeps the WAL since session %" PRIu64,
		    number);
	case STILL_PG_SLOT_LOST:
	case STILL_PG_SLOT_UNRESERVED:
		return refuse_slot(adding,
		    "is lost: since session %" PRIu64 " more WAL was written "
		    "than max_slot_wal_keep_size lets it keep",
		    number);
	case STILL_PG_SLOT_RESERVED:
	case STILL_PG_SLOT_EXTENDED:
	default:
		return 0;
	}
}

static int judge_slot(struct adding *adding, const struct still_pg_slot *slot)
{
	const struct still_pg_note *base = &adding->increment->base;
	uint64_t number = adding->request->base->number;
	char made[STILL_PG_SLOT_MADE_MAX];
	int rc = still_pg_slot_made(
	    adding->instance->examined.pgdata, base->slot, made, adding->err);

	if (rc < 0)
		return rc;
	if (strcmp(made, base->slot_made) != 0)
		return refuse_slot(adding,
		    "was dropped and created again since session %" PRIu64,
		    number);
	if (slot->restart_lsn > base->stop_lsn)
		return refuse_slot(adding,
		    "keeps WAL from " STILL_PG_LSN " on, and session %" PRIu64
		    " ends before that, at " STILL_PG_LSN
		    ": somebody advanced it",
		    STILL_PG_LSN_ARGS(slot->restart_lsn), number,
		    STILL_PG_LSN_ARGS(base->stop_lsn));
	return 0;
}

static int look_at_slot(struct adding *adding)
{
	const struct still_pg_note *base = &adding->increment->base;
	struct still_pg_frozen *frozen = adding->frozen;
	int rc = still_pg_slot_look(adding->session, base->slot,
	    adding->instance->limit_ns, &frozen->slot, adding->err);

	if (rc == 0)
		rc = judge_state(adding, &frozen->slot);
	if (rc == 0)
		rc = judge_slot(adding, &frozen->slot);
	if (rc < 0)
		return rc;
	snprintf(frozen->slot_made, sizeof(frozen->slot_made), "%s",
	    base->slot_made);
	frozen->keeps = !adding->request->trial;
	return 0;
}

/* ---- the moment ----------------------------------------------------------- */

static int switch_segment(struct adding *adding, uint64_t *ret)
{
	struct still_pg_rows rows;
	const char *text;
	int rc = still_pg_session_query(adding->session, "end the segment",
	    "SELECT pg_switch_wal()", NULL, 0, SWITCH_LIMIT_NS, &rows,
	    adding->err);

	if (rc < 0)
		return rc;
	text = still_pg_rows_get(&rows, 0, 0);
	if (!text || !still_pg_lsn_parse(text, ret))
		rc = still_error_set(adding->err, STILL_ERR_CORRUPT, 0,
		    "Connect to the server itself; if this is one, report a "
		    "bug.",
		    "server: gives no place in the WAL");
	still_pg_rows_release(&rows);
	return rc;
}

/* Where it ends, and where it begins: behind the segment that the base ended
 * with. */
static int fix(struct adding *adding)
{
	struct still_pg_frozen *frozen = adding->frozen;
	uint32_t bytes = frozen->facts.wal_segment_bytes;
	uint64_t start = adding->increment->base.stop_lsn;
	uint64_t stop = frozen->slot.current_lsn;
	int rc = 0;

	start += -start % bytes;
	frozen->stop_first_ns = still_sys_now_ns();
	if (adding->request->trial) {
		stop -= stop % bytes;
		stop = stop < start ? start : stop;
	} else {
		rc = switch_segment(adding, &stop);
	}
	frozen->stop_last_ns = still_sys_now_ns();
	if (rc < 0)
		return rc;
	if (stop < start)
		return still_error_set(adding->err, STILL_ERR_BASE, 0,
		    full_hint,
		    "server of `%s`: writes its WAL at " STILL_PG_LSN
		    ", and session %" PRIu64 " ended at " STILL_PG_LSN
		    ": it was restored since then",
		    adding->instance->examined.conn.shown,
		    STILL_PG_LSN_ARGS(stop), adding->request->base->number,
		    STILL_PG_LSN_ARGS(adding->increment->base.stop_lsn));
	adding->increment->start_lsn = start;
	frozen->stop_lsn = stop;
	frozen->label.timeline = frozen->facts.timeline;
	return 0;
}

static int ask(struct adding *adding)
{
	int rc = look_at_note(adding);

	if (rc == 0)
		rc = still_pg_enter(adding->instance, adding->request,
		    adding->frozen, &adding->session, adding->err);
	if (rc == 0)
		rc = compare_server(adding);
	if (rc == 0)
		rc = look_at_slot(adding);
	if (rc == 0)
		rc = fix(adding);
	still_pg_session_close(adding->session);
	return rc;
}

/* ---- the WAL -------------------------------------------------------------- */

static int missing(struct adding *adding, uint64_t number)
{
	char name[STILL_PG_WAL_NAME_CHARS + 1];

	still_pg_served_name(&adding->increment->served, number, name);
	return still_error_set(adding->err, STILL_ERR_BASE, 0, full_hint,
	    "`pg_wal/%s`: is missing, although slot `%s` keeps it", name,
	    adding->increment->base.slot);
}

static void tell(const struct adding *adding)
{
	const struct still_observer *observer = &adding->request->observer;
	const struct still_pg_served *served = &adding->increment->served;
	uint64_t bytes = served->format.segment_bytes;

	if (observer->progress)
		observer->progress(observer->arg,
		    (adding->taken - served->first) * bytes, served->n * bytes);
}

static int take_next(struct adding *adding)
{
	struct still_pg_increment *increment = adding->increment;
	uint64_t number = adding->taken;
	int rc;

	if (atomic_load(adding->request->cancel))
		return still_error_set(adding->err, STILL_ERR_CANCELLED, 0,
		    NULL, "the freeze was stopped");
	rc = still_pg_served_take(&increment->served, number,
	    &increment->stats[number - increment->served.first], adding->err);
	if (rc == STILL_ERR_NOTFOUND)
		return missing(adding, number);
	if (rc == 0) {
		adding->taken++;
		tell(adding);
	}
	return rc;
}

/* What is walked over is what will be served. */
static ssize_t read_segment(void *arg, uint64_t segment, uint32_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	struct adding *adding = arg;
	int rc = 0;

	while (rc == 0 && adding->taken <= segment)
		rc = take_next(adding);
	if (rc == 0)
		rc = still_pg_served_read(&adding->increment->served, segment,
		    off_bytes, data, len, err);
	return rc < 0 ? rc : (ssize_t) len;
}

static int judge_record(void *arg, const struct still_pg_wal_record *record,
    struct still_error *err)
{
	struct adding *adding = arg;
	struct still_pg_replay *replay = &adding->frozen->replay;
	const struct still_pg_note *base = &adding->increment->base;
	char text[STILL_PG_OBSTACLE_MAX];
	const char *obstacle = still_pg_replay_obstacle(record, text);
	uint64_t number = adding->request->base->number;

	if (replay->last_lsn == 0 && record->previous_lsn != base->last_lsn)
		return still_error_set(err, STILL_ERR_BASE, 0, full_hint,
		    "server of `%s`: its WAL does not go on where session "
		    "%" PRIu64 " ended: the record at " STILL_PG_LSN
		    " follows one at " STILL_PG_LSN ", not at " STILL_PG_LSN,
		    adding->instance->examined.conn.shown, number,
		    STILL_PG_LSN_ARGS(record->lsn),
		    STILL_PG_LSN_ARGS(record->previous_lsn),
		    STILL_PG_LSN_ARGS(base->last_lsn));
	if (obstacle)
		return still_error_set(err, STILL_ERR_BASE, 0, full_hint,
		    "server of `%s`: since session %" PRIu64
		    " %s, which its WAL cannot bring into a copy",
		    adding->instance->examined.conn.shown, number, obstacle);
	still_pg_replay_see(replay, record);
	return 0;
}

static int prove(struct adding *adding)
{
	struct still_pg_frozen *frozen = adding->frozen;
	struct still_pg_increment *increment = adding->increment;
	struct still_pg_wal_walk walk = {
	    .format = increment->served.format,
	    .start_lsn = increment->start_lsn,
	    .stop_lsn = frozen->stop_lsn,
	    .read = read_segment,
	    .read_arg = adding,
	    .each = judge_record,
	    .each_arg = adding,
	    .cancel = adding->request->cancel,
	};
	int rc = 0;

	if (!adding->request->trial && increment->served.n > 0)
		rc = still_pg_wal_walk(&walk, &frozen->totals, adding->err);
	/* Of a trial. */
	while (rc == 0 &&
	    adding->taken < increment->served.first + increment->served.n)
		rc = take_next(adding);
	/* Nothing was written: the next one goes on where the base ended. */
	if (rc == 0 && frozen->replay.last_lsn == 0)
		frozen->replay.last_lsn = increment->base.last_lsn;
	return rc;
}

static int serve(struct adding *adding)
{
	struct still_pg_increment *increment = adding->increment;
	struct still_pg_frozen *frozen = adding->frozen;
	struct still_pg_wal_format format = still_pg_format_of(frozen);
	uint64_t first = increment->start_lsn / format.segment_bytes;
	uint64_t behind = (frozen->stop_lsn + format.segment_bytes - 1) /
	    format.segment_bytes;
	int rc;

	increment->stats = calloc(behind - first + 1, sizeof(struct stat));
	if (!increment->stats)
		return still_error_nomem(adding->err);
	rc = still_pg_served_open(adding->instance->examined.pgdata, &format,
	    first, behind - first, &increment->served, adding->err);
	adding->taken = first;
	return rc < 0 ? rc : prove(adding);
}

int still_pg_increment_freeze(const struct still_pg_instance *instance,
    const struct still_freeze_request *request, struct still_pg_frozen *frozen,
    struct still_error *err)
{
	struct adding adding = {
	    .instance = instance,
	    .request = request,
	    .frozen = frozen,
	    .err = err,
	};
	int rc;

	adding.increment = calloc(1, sizeof(*adding.increment));
	if (!adding.increment)
		return still_error_nomem(err);
	adding.increment->served =
	    (struct still_pg_served) STILL_PG_SERVED_INIT;
	frozen->increment = adding.increment;
	rc = ask(&adding);
	return rc < 0 ? rc : serve(&adding);
}

void still_pg_increment_free(struct still_pg_increment *increment)
{
	if (!increment)
		return;
	still_pg_served_release(&increment->served);
	free(increment->stats);
	free(increment);
}

/* ---- what is handed over --------------------------------------------------- */

static int hand_segment(struct still_pg_frozen *frozen,
    struct still_builder *builder, size_t i, struct still_error *err)
{
	struct still_pg_increment *increment = frozen->increment;
	const struct stat *st = &increment->stats[i];
	char name[STILL_PG_WAL_NAME_CHARS + 1];
	char path[sizeof(STILL_PG_LOGS) + STILL_PG_WAL_NAME_CHARS];
	struct still_file_spec spec = {
	    .path = path,
	    .size_bytes = increment->served.format.segment_bytes,
	    .mode = st->st_mode & 0777,
	    .uid = st->st_uid,
	    .gid = st->st_gid,
	    .object = &frozen->objects[i],
	};

	still_pg_served_name(
	    &increment->served, increment->served.first + i, name);
	snprintf(path, sizeof(path), STILL_PG_LOGS "%s", name);
	frozen->objects[i] = (struct still_pg_object){
	    .kind = STILL_PG_OBJECT_SEGMENT,
	    .segment = increment->served.first + i,
	};
	frozen->n_objects = i + 1;
	return still_builder_file(builder, &spec, err);
}

int still_pg_increment_hand_over(struct still_pg_frozen *frozen,
    struct still_builder *builder, struct still_error *err)
{
	const struct still_pg_increment *increment = frozen->increment;
	struct still_pg_link link = {
	    .system_identifier = frozen->facts.system_identifier,
	    .major = frozen->facts.major,
	    .timeline = frozen->label.timeline,
	    .start_lsn = increment->start_lsn,
	    .stop_lsn = frozen->stop_lsn,
	    .segment_bytes = frozen->facts.wal_segment_bytes,
	    .wal_block_bytes = frozen->facts.wal_block_bytes,
	    .block_bytes = frozen->facts.block_bytes,
	};
	size_t n = increment->served.n;
	int rc = 0;

	frozen->objects = calloc(n + 1, sizeof(frozen->objects[0]));
	if (!frozen->objects)
		return still_error_nomem(err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = hand_segment(frozen, builder, i, err);
	if (rc == 0)
		rc = still_builder_database(
		    builder, still_pg_link_json(&link, &frozen->facts, n), err);
	if (rc < 0)
		return rc;
	still_builder_cut(builder,
	    &(struct still_cut){
		.words = "one moment",
		.first_ns = frozen->stop_first_ns,
		.last_ns = frozen->stop_last_ns,
	    });
	still_builder_verified(builder, "wal");
	return 0;
}
