/* SPDX-License-Identifier: MIT */
/* begin: a session on its way from IDLE to SERVING. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/sys.h"
#include "core/account.h"
#include "core/manifest.h"
#include "core/session.h"
#include "core/spool.h"

/* Can another session build on it? */
static bool leads_on(const struct still_session *session)
{
	return session->number && session->kind != STILL_COPY;
}

static void observe(
    void *arg, const char *event, const char *object, const char *text)
{
	struct still_session *session = arg;

	still_events_add(session->events, STILL_LEVEL_WARNING, event, "session",
	    session->id, "object", object, "text", text, NULL);
}

static void progress(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	struct still_session *session = arg;

	atomic_store(&session->captured_bytes, done_bytes);
	atomic_store(&session->capture_bytes, total_bytes);
}

/* That they cannot be had costs later sessions something, and this one nothing.
 * Who has no room for one has none for the next. */
static void want_pages(struct still_session *session, uint32_t index)
{
	struct still_tracked *tracked = &session->tracked[index];
	uint64_t size_bytes = session->snapshot.entries[index].size_bytes;
	uint32_t page_bytes = session->snapshot.sources[index].page_bytes;
	struct still_error err = STILL_ERROR_INIT;

	if (page_bytes == 0 || session->sums_failed)
		return;
	if (still_pages_new(session->instance->catalog, page_bytes,
		size_bytes / page_bytes + (size_bytes % page_bytes != 0),
		&tracked->pages, &err) < 0)
		still_session_note_sums(session, &err);
	else
		still_digest_want_pages(
		    &tracked->digest, page_bytes, tracked->pages.sums);
	still_error_clear(&err);
}

static int track(struct still_session *session, struct still_error *err)
{
	uint32_t n = session->snapshot.n;

	session->tracked = calloc(n, sizeof(*session->tracked));
	if (!session->tracked)
		return still_error_nomem(err);
	for (uint32_t i = 0; i < n; i++) {
		const struct still_entry *e = &session->snapshot.entries[i];

		still_digest_init(&session->tracked[i].digest,
		    e->closing ? 0 : e->size_bytes, session->snapshot.closes,
		    &session->bytes_hashed);
		session->tracked[i].pages =
		    (struct still_pages) STILL_PAGES_INIT;
		if (leads_on(session))
			want_pages(session, i);
		pthread_mutex_init(&session->tracked[i].lock, NULL);
		if (e->kind == STILL_FILE && e->size_bytes > 0)
			session->files++;
		if (e->kind == STILL_FILE && e->size_bytes > 0 &&
		    session->snapshot.known[i])
			session->files_known++;
		if (e->kind == STILL_FILE)
			session->bytes += e->size_bytes;
	}
	return 0;
}

static int freeze(struct still_session *session, struct still_builder *builder,
    int64_t *ret_frozen_at_ns, struct still_error *err)
{
	struct still_freeze_request request = {
	    .cancel = &session->cancel,
	    .observer = {.warn = observe, .progress = progress, .arg = session},
	    .spool = still_spool_of(&session->instance->spool),
	    .base = session->ground ? still_ground_base(session->ground) : NULL,
	    .incremental = session->kind == STILL_INCREMENTAL,
	    .apart = session->kind == STILL_COPY,
	};
	int rc;

	session->freezing = true;
	if (leads_on(session))
		builder->catalog = session->instance->catalog;
	builder->place = session->place[0] ? session->place : NULL;
	rc = still_engine_freeze(
	    session->instance->engine, &request, builder, err);

	if (rc < 0)
		return rc;
	*ret_frozen_at_ns = builder->cut.last_ns;
	session->cut = builder->cut;
	session->cut.why = NULL;
	session->verified = builder->verified;
	session->databases = (uint32_t) json_array_size(builder->databases);
	session->summed = still_builder_take_summed(
	    builder, &session->n_summed);
	pthread_mutex_lock(&session->lock);
	session->frozen_at_ns = *ret_frozen_at_ns;
	session->frozen_mono_ns = still_sys_monotonic_ns();
	session->pinned = builder->cut.pinned;
	pthread_mutex_unlock(&session->lock);
	return 0;
}

/* ---- what the catalog has to know ----------------------------------------- */

static int nothing_to_build_on(struct still_session *session,
    const struct still_instance_info *info, struct still_error *err)
{
	char copied[STILL_SESSION_ID_BYTES];
	char hint[128 + STILL_SESSION_ID_BYTES];
	int rc = still_lineage_copied(
	    session->instance->catalog, session->hold.instance_id, copied, err);

	if (rc < 0)
		return rc;
	snprintf(hint, sizeof(hint),
	    rc ? "Session `%s` is copied whole: commit it, if the copy is "
		 "stored; or make a full backup, and commit it."
	       : "Make a full backup, and commit it.",
	    copied);
	return still_error_set(err, STILL_ERR_BASE, 0, hint,
	    "source `%s`: there is no committed full backup to build on",
	    info->source);
}

static int cannot_build_on(const struct still_link *link,
    const struct still_instance_info *info, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_BASE, 0,
	    "Make a full backup, and commit it.",
	    "source `%s`: its last committed session, `%s`, %s", info->source,
	    link->id,
	    link->forced ? "is damaged, and nothing can build on it"
			 : "was made by a stillfs that knew no incremental "
			   "backups");
}

/* Nobody else begins with this instance any more. What is missing for an
 * incremental session is found out before it is one, so that a copy which is
 * still to be committed stays the last session. */
static int find_base(struct still_session *session,
    const struct still_instance_info *info, struct still_error *err)
{
	struct still_catalog *catalog = session->instance->catalog;
	bool wanted = session->kind == STILL_INCREMENTAL;
	struct still_link link;
	uint32_t n_forgotten;
	int rc;

	/* What a dead process left is in nobody's way. */
	still_lineage_forget(catalog, session->hold.instance_id, NULL, false,
	    &n_forgotten, NULL);
	rc = still_lineage_base(catalog, session->hold.instance_id, &link, err);
	if (rc <= 0)
		return rc == 0 && wanted
		    ? nothing_to_build_on(session, info, err)
		    : rc;
	rc = wanted && !link.sealed ? cannot_build_on(&link, info, err) : 0;
	if (rc < 0) {
		still_link_release(&link);
		return rc;
	}
	session->ground = still_ground_new(catalog, &link);
	return session->ground ? 0 : still_error_nomem(err);
}

/* What no session can mend. */
static int check_kind(struct still_session *session,
    const struct still_instance_info *info, struct still_error *err)
{
	if (session->kind != STILL_INCREMENTAL)
		return 0;
	if (!session->instance->engine->engine->apply)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "Make a full backup.",
		    "source `%s`: stillfs has no incremental backups of %s",
		    info->source, info->engine);
	if (!session->instance->catalog)
		return still_error_set(err, STILL_ERR_BASE, 0,
		    "Name a state directory with `state=`.",
		    "source `%s`: nobody remembers a full backup to build on",
		    info->source);
	return 0;
}

/* Under the lock: somebody may be looking at it. */
static void take_number(struct still_session *session, uint64_t number)
{
	const struct still_link *base =
	    session->ground ? still_ground_link(session->ground) : NULL;

	session->number = number;
	if (session->kind != STILL_INCREMENTAL)
		return;
	memcpy(session->chain, base->chain, sizeof(session->chain));
	session->link = base->link + 1;
	snprintf(session->place, sizeof(session->place),
	    "incremental/%06" PRIu64 "/", number);
}

/* From here on nobody else begins with this instance, and a crash shows. */
static int record_begin(struct still_session *session,
    const struct still_instance_info *info, struct still_error *err)
{
	struct still_catalog *catalog = session->instance->catalog;
	struct still_catalog_begin begin = {
	    .id = session->id,
	    .kind = session->kind,
	    .place = session->instance->place,
	    .begun_at_ns = session->begun_at_ns,
	};
	uint64_t number = 0;
	int rc;

	rc = check_kind(session, info, err);
	if (rc < 0 || !catalog)
		return rc;
	rc = still_catalog_lock(catalog, info->engine, info->source,
	    session->id, begin.place, &session->hold, err);
	if (rc == 0)
		rc = find_base(session, info, err);
	if (rc == 0 && session->kind == STILL_INCREMENTAL)
		begin.base = still_ground_link(session->ground);
	if (rc == 0)
		rc = still_catalog_begin(
		    catalog, &session->hold, &begin, &number, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&session->lock);
	take_number(session, number);
	pthread_mutex_unlock(&session->lock);
	return 0;
}

/* What is shown is on record before anybody sees it: the next session must not
 * give a time again to other bytes. */
static int record_frozen(struct still_session *session,
    const struct still_builder *builder, struct still_error *err)
{
	struct still_catalog_frozen frozen = {
	    .id = session->id,
	    .kind = session->kind,
	    .frozen_at_ns = session->frozen_at_ns,
	    .verified = builder->verified,
	    .cut = builder->cut.words,
	    .n_databases = session->databases,
	    .n_files = session->files,
	    .n_bytes = session->bytes,
	    .snapshot = &session->snapshot,
	};
	char *databases;
	char *note = NULL;
	int rc = 0;

	if (!session->number)
		return 0;
	databases = json_dumps(builder->databases, JSON_COMPACT);
	if (builder->note && leads_on(session))
		note = json_dumps(
		    builder->note, JSON_COMPACT | JSON_ENCODE_ANY);
	if (!databases || (builder->note && leads_on(session) && !note))
		rc = still_error_nomem(err);
	frozen.databases = databases;
	frozen.note = note;
	if (rc == 0)
		rc = still_catalog_frozen(
		    session->instance->catalog, &session->hold, &frozen, err);
	free(databases);
	free(note);
	return rc;
}

static int stamp(struct still_session *session, struct still_error *err)
{
	/* What an incremental session shows, none has shown before. */
	if (!session->number || session->kind == STILL_INCREMENTAL)
		return 0;
	return still_catalog_stamp(session->instance->catalog, &session->hold,
	    session->frozen_at_ns / STILL_NS_PER_S, &session->snapshot, err);
}

/* ---- begin ---------------------------------------------------------------- */

static void tell_damages(
    struct still_session *session, const struct still_builder *builder)
{
	for (size_t i = 0; i < builder->n_damages; i++) {
		const struct still_damage *damage = &builder->damages[i];

		if (damage->unfrozen)
			still_session_note_unfrozen(
			    session, damage->object, &damage->what);
		else
			still_session_note(
			    session, damage->object, &damage->what);
	}
}

static int build(struct still_session *session,
    const struct still_instance_info *info, int64_t dir_time_s,
    struct still_builder *builder, struct still_error *err)
{
	struct still_manifest manifest = {
	    .session_id = session->id,
	    .kind = still_session_kind_word(session->kind),
	    .number = session->number,
	    .base = session->kind == STILL_INCREMENTAL
		? still_ground_link(session->ground)
		: NULL,
	    .chain = session->chain,
	    .link = session->link,
	    .instance = info,
	    .begun_at_ns = session->begun_at_ns,
	    .builder = builder,
	};
	char *text;
	size_t len;
	int rc;

	rc = freeze(session, builder, &manifest.frozen_at_ns, err);
	if (rc < 0)
		return rc;
	text = still_manifest_text(&manifest, &len);
	if (!text)
		return still_error_nomem(err);
	rc = still_builder_finish(builder, text, len,
	    manifest.frozen_at_ns / STILL_NS_PER_S, dir_time_s,
	    &session->snapshot, err);
	if (rc == 0)
		rc = stamp(session, err);
	if (rc == 0)
		rc = track(session, err);
	if (rc == 0)
		rc = record_frozen(session, builder, err);
	if (rc == 0)
		tell_damages(session, builder);
	return rc;
}

static void tell_frozen(struct still_session *session,
    const struct still_builder *builder, int64_t freeze_ns)
{
	still_events_add(session->events, STILL_LEVEL_INFO, "session-frozen",
	    "session", session->id, "cut", session->cut.words, "cut_width_ns",
	    still_number(
		(uint64_t) (session->cut.last_ns - session->cut.first_ns))
		.text,
	    "writers_held_ns",
	    still_number((uint64_t) session->cut.held_ns).text, "freeze_ns",
	    still_number((uint64_t) freeze_ns).text, "freeze", session->cut.way,
	    "why", builder->cut.why, "verified", session->verified, "databases",
	    still_number(session->databases).text, "files",
	    still_number(session->files).text, "bytes",
	    still_number(session->bytes).text, NULL);
}

int still_session_begin(struct still_session *session,
    enum still_session_kind kind, int64_t dir_time_s, struct still_error *err)
{
	struct still_instance_info info;
	struct still_builder builder;
	int64_t start_ns = still_sys_monotonic_ns();
	int rc;

	still_instance_describe(session->instance, &info);
	pthread_mutex_lock(&session->lock);
	session->state = STILL_PREPARING;
	session->kind = kind;
	if (kind == STILL_FULL)
		memcpy(session->chain, session->id, sizeof(session->chain));
	session->begun_at_ns = still_sys_now_ns();
	pthread_mutex_unlock(&session->lock);
	still_events_add(session->events, STILL_LEVEL_INFO, "session-begin",
	    "session", session->id, "kind", still_session_kind_word(kind),
	    "source", info.source, NULL);

	rc = record_begin(session, &info, err);
	if (rc == 0)
		rc = still_builder_init(
		    &builder, info.dir_mode, info.uid, info.gid, err);
	if (rc == 0) {
		rc = build(session, &info, dir_time_s, &builder, err);
		if (rc == 0) {
			tell_frozen(session, &builder,
			    still_sys_monotonic_ns() - start_ns);
			still_account_logs(session, builder.databases);
		}
		still_builder_release(&builder);
	}
	if (rc == 0 && atomic_load(&session->cancel))
		rc = still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
		    "session %s: was stopped before it served", session->id);
	if (rc == 0) {
		pthread_mutex_lock(&session->lock);
		session->state = STILL_SERVING;
		pthread_mutex_unlock(&session->lock);
		return 0;
	}
	still_events_add(session->events, STILL_LEVEL_ERROR, "freeze-failed",
	    "session", session->id, "error", still_error_msg(err), "hint",
	    err->hint, NULL);
	pthread_mutex_lock(&session->lock);
	if (!session->error.code)
		still_error_copy(&session->error, err);
	pthread_mutex_unlock(&session->lock);
	still_session_end(session, STILL_END_DONE);
	return rc;
}
