/* SPDX-License-Identifier: MIT */
/* postgres: the engine, as engines/engine.h wants it. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "engines/postgres/apply.h"
#include "engines/postgres/check.h"
#include "engines/postgres/findings.h"
#include "engines/postgres/instance.h"
#include "engines/postgres/note.h"
#include "engines/postgres/wal_name.h"

#define ASK_LIMIT_NS (30 * STILL_NS_PER_S)

extern const struct still_engine still_engine_postgres;

static struct still_pg_instance *instance_of(struct still_engine_instance *base)
{
	return (struct still_pg_instance *) base;
}

static bool pg_match(const char *source)
{
	return still_pg_form(source) != STILL_PG_FORM_NONE;
}

/* Whoever lets go of a session should know what it leaves in the server. */
static void tell_slot(const struct still_pg_frozen *frozen)
{
	const struct still_observer *observer = &frozen->observer;
	char text[256];

	if (!frozen->keeps)
		return;
	snprintf(text, sizeof(text),
	    "slot `%s`: remains in the server, and keeps its WAL from " STILL_PG_LSN
	    " on for incremental sessions",
	    frozen->slot.name, STILL_PG_LSN_ARGS(frozen->slot.restart_lsn));
	observer->warn(observer->arg, "slot-remains", frozen->slot.name, text);
}

static void pg_thaw(struct still_engine_instance *base)
{
	struct still_pg_instance *instance = instance_of(base);

	if (!instance->frozen)
		return;
	if (instance->frozen->observer.warn)
		tell_slot(instance->frozen);
	still_pg_frozen_release(instance->frozen);
	free(instance->frozen);
	instance->frozen = NULL;
}

static void pg_detach(struct still_engine_instance *base)
{
	struct still_pg_instance *instance = instance_of(base);

	pg_thaw(base);
	still_pg_examined_release(&instance->examined);
	free(instance->log_dir);
	free(instance);
}

static enum still_pg_want want_of(const struct still_attach_options *options)
{
	return options->incremental ? STILL_PG_WANT_CHAIN : STILL_PG_WANT_FULL;
}

static int examine(const char *source, enum still_pg_want want,
    struct still_pg_examined *ret, struct still_error *err)
{
	struct still_pg_findings findings = {0};
	bool whole = false;
	int rc = still_pg_examine(
	    source, want, NULL, ASK_LIMIT_NS, ret, &whole, &findings, err);

	if (rc == 0) {
		rc = still_pg_findings_judge(&findings, err);
		if (rc == 0 && !whole)
			rc = still_error_set(err, STILL_ERR_FAILED, 0, NULL,
			    "source: could not be looked at");
		if (rc < 0 && whole)
			still_pg_examined_release(ret);
	}
	still_pg_findings_release(&findings);
	return rc;
}

static int pg_examine(const char *source,
    const struct still_attach_options *options, still_tell_fn *tell, void *arg,
    struct still_error *err)
{
	struct still_pg_findings findings = {0};
	struct still_pg_examined examined;
	bool whole = false;
	int rc = still_pg_examine(source, want_of(options), NULL, ASK_LIMIT_NS,
	    &examined, &whole, &findings, err);

	for (size_t i = 0; rc == 0 && i < findings.n; i++) {
		const struct still_pg_finding *it = &findings.items[i];

		tell(arg,
		    it->level == STILL_PG_ERROR ? STILL_OBSTACLE_ERROR
						: STILL_OBSTACLE_WARNING,
		    it->code, it->object, it->text, it->hint);
	}
	if (whole)
		still_pg_examined_release(&examined);
	still_pg_findings_release(&findings);
	return rc;
}

static int pg_attach(const char *source,
    const struct still_attach_options *options,
    struct still_engine_instance **ret, struct still_error *err)
{
	struct still_pg_instance *instance = calloc(1, sizeof(*instance));
	int rc;

	if (!instance)
		return still_error_nomem(err);
	rc = examine(source, want_of(options), &instance->examined, err);
	if (rc < 0) {
		free(instance);
		return rc;
	}
	instance->way = options->way;
	instance->chain = options->incremental;
	instance->limit_ns = ASK_LIMIT_NS;
	if (stat(instance->examined.pgdata, &instance->st) != 0) {
		rc = still_error_sys(
		    err, errno, NULL, "`%s`", instance->examined.pgdata);
		pg_detach(&instance->base);
		return rc;
	}
	/* It may be a link. */
	if (asprintf(&instance->log_dir, "%s/pg_wal",
		instance->examined.pgdata) < 0) {
		instance->log_dir = NULL;
		pg_detach(&instance->base);
		return still_error_nomem(err);
	}
	instance->base.engine = &still_engine_postgres;
	instance->info = (struct still_database_info){
	    .path = ".",
	    .page_size_bytes = instance->examined.facts.block_bytes,
	    .log = "wal",
	};
	*ret = &instance->base;
	return 0;
}

static void pg_describe(
    struct still_engine_instance *base, struct still_description *ret)
{
	struct still_pg_instance *instance = instance_of(base);

	*ret = (struct still_description){
	    .source = instance->examined.pgdata,
	    .engine_version = instance->examined.facts.version,
	    .dir_mode = instance->st.st_mode & 0777,
	    .uid = instance->st.st_uid,
	    .gid = instance->st.st_gid,
	    .databases = &instance->info,
	    .n_databases = 1,
	    .log_dir = instance->log_dir,
	};
}

/* Of what a later session needs that builds on this one. */
static int hand_note(const struct still_pg_frozen *frozen,
    struct still_builder *builder, struct still_error *err)
{
	struct still_pg_note note = {
	    .system_identifier = frozen->facts.system_identifier,
	    .timeline = frozen->label.timeline,
	    .stop_lsn = frozen->stop_lsn,
	    .last_lsn = frozen->replay.last_lsn,
	};

	if (!frozen->keeps)
		return 0;
	snprintf(note.slot, sizeof(note.slot), "%s", frozen->slot.name);
	snprintf(
	    note.slot_made, sizeof(note.slot_made), "%s", frozen->slot_made);
	return still_builder_note(builder, still_pg_note_json(&note), err);
}

static int fix(struct still_pg_instance *instance,
    const struct still_freeze_request *request, struct still_builder *builder,
    struct still_error *err)
{
	struct still_pg_frozen *frozen = instance->frozen;
	int rc;

	if (request->incremental) {
		rc = still_pg_increment_freeze(instance, request, frozen, err);
		if (rc == 0)
			rc = still_pg_increment_hand_over(frozen, builder, err);
	} else {
		rc = still_pg_freeze(instance, request, frozen, err);
		if (rc == 0)
			rc = still_pg_hand_over(instance, frozen, builder, err);
	}
	return rc == 0 ? hand_note(frozen, builder, err) : rc;
}

static int pg_freeze(struct still_engine_instance *base,
    const struct still_freeze_request *request, struct still_builder *builder,
    struct still_error *err)
{
	struct still_pg_instance *instance = instance_of(base);
	int rc;

	instance->frozen = calloc(1, sizeof(*instance->frozen));
	if (!instance->frozen)
		return still_error_nomem(err);
	rc = fix(instance, request, builder, err);
	if (rc < 0)
		pg_thaw(base);
	else
		instance->frozen->observer = request->observer;
	return rc;
}

static int pg_read(struct still_engine_instance *base, void *object,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	return still_pg_read(
	    instance_of(base)->frozen, object, off_bytes, data, len, err);
}

/* Once captured, the server may even be gone; but it may also run out of room. What
 * is served where it lies, the slot keeps. */
static int pg_keep(struct still_engine_instance *base,
    struct still_held *ret_held, struct still_error *err)
{
	const struct still_pg_frozen *frozen = instance_of(base)->frozen;

	*ret_held = (struct still_held){0};
	/* The server is not asked here: it may be slow, or gone. */
	if (frozen->keeps)
		ret_held->kept_bytes = still_pg_slot_kept_bytes(
		    &frozen->slot, instance_of(base)->examined.pgdata);
	return frozen->increment
	    ? still_pg_served_alive(&frozen->increment->served, err)
	    : still_pg_capture_watch(frozen->capture, err);
}

static int pg_truncate(struct still_engine_instance *base,
    const struct still_base *since, bool dry_run, struct still_truncated *ret,
    struct still_error *err)
{
	return still_pg_truncate(instance_of(base), since, dry_run, ret, err);
}

static int pg_close(struct still_engine_instance *base, void *object,
    const struct still_closed_file *files, size_t n, char *data,
    struct still_error *err)
{
	(void) object;
	return still_pg_close_manifest(
	    instance_of(base)->frozen, files, n, data, err);
}

const struct still_engine still_engine_postgres = {
    .name = "postgres",
    .match = pg_match,
    .attach = pg_attach,
    .describe = pg_describe,
    .freeze = pg_freeze,
    .read = pg_read,
    .keep = pg_keep,
    .thaw = pg_thaw,
    .detach = pg_detach,
    .check_set = still_pg_check_set,
    .close = pg_close,
    .examine = pg_examine,
    .apply = still_pg_apply,
    .truncate = pg_truncate,
};
