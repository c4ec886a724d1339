/* SPDX-License-Identifier: MIT */
/*
 * handover: the tree of a frozen cluster.
 *
 *	data/                            the PGDATA, as it was captured, but for
 *	     backup_label                what the server gave at the stop
 *	     global/pg_control           protected (control.h)
 *	     pg_wal/SEGMENT              from the start to the stop, no others
 *	     pg_wal/archive_status/NAME.done
 *	                                 of each segment and each history, so
 *	                                 that the copy does not archive what its
 *	                                 source has archived
 *	     pg_tblspc/OID               a link, ../../tablespaces/OID
 *	     backup_manifest             made when all else was read
 *	tablespaces/OID/PG_.../          those outside of the PGDATA
 *
 * There is no tablespace_map: the server would follow it to where the live
 * tablespaces are.
 */
#include "config.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/path.h"
#include "engines/postgres/instance.h"
#include "engines/postgres/layout.h"
#include "engines/postgres/manifest.h"
#include "engines/postgres/relation_pages.h"
#include "engines/postgres/wal_name.h"

#define DATA STILL_PG_DATA
#define SPACES STILL_PG_SPACES
#define WAL_DIR DATA "pg_wal"
#define MANIFEST DATA "backup_manifest"

struct handing {
	const struct still_pg_instance *instance;
	struct still_pg_frozen *frozen;
	struct still_builder *builder;
	struct still_pg_manifest *manifest; /* that counts only */
	uint64_t bytes;
};

/* ---- objects ------------------------------------------------------------- */

/* The next one. There is room for all: see still_pg_hand_over(). */
static struct still_pg_object *add_object(
    struct handing *handing, enum still_pg_object_kind kind)
{
	struct still_pg_object *object =
	    &handing->frozen->objects[handing->frozen->n_objects++];

	*object = (struct still_pg_object){.kind = kind};
	return object;
}

/* ---- files --------------------------------------------------------------- */

static int hand_file(struct handing *handing, struct still_file_spec *spec,
    struct still_error *err)
{
	char buffer[PATH_MAX];
	struct still_pg_manifest_file file = {
	    .path = still_pg_to_manifest(spec->path, buffer),
	    .size_bytes = spec->size_bytes,
	};
	int rc = still_builder_file(handing->builder, spec, err);

	handing->bytes += spec->size_bytes;
	if (rc == 0 && file.path)
		rc = still_pg_manifest_file(handing->manifest, &file, err);
	return rc;
}

static int hand_captured(struct handing *handing,
    const struct still_pg_captured *file, struct still_error *err)
{
	const struct still_pg_frozen *frozen = handing->frozen;
	bool pages = file->entry->rule == STILL_PG_RELATION;
	struct still_pg_object *object = add_object(
	    handing, pages ? STILL_PG_OBJECT_PAGES : STILL_PG_OBJECT_FILE);
	struct still_file_spec spec = {
	    .path = file->entry->path,
	    .size_bytes = file->extent.size_bytes,
	    .mode = file->st.st_mode & 0777,
	    .uid = file->st.st_uid,
	    .gid = file->st.st_gid,
	    .identity = file->identity,
	    .object = object,
	};

	object->file = file;
	if (pages) {
		object->where = still_pg_locate(
		    file->entry->path, &file->entry->relation);
		object->first_block = file->entry->relation.segment *
		    frozen->control.segment_blocks;
	}
	return hand_file(handing, &spec, err);
}

static int hand_captures(struct handing *handing,
    const struct still_pg_captures *captures, struct still_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < captures->n; i++)
		rc = hand_captured(handing, &captures->files[i], err);
	return rc;
}

/* Takes `text`, which may be NULL without memory. */
static int hand_text(struct handing *handing, const char *path, char *text,
    size_t len, struct still_error *err)
{
	const struct stat *like = &handing->frozen->walk.control.st;
	struct still_pg_object *object;
	struct still_file_spec spec = {
	    .path = path,
	    .size_bytes = len,
	    .mode = like->st_mode & 0777,
	    .uid = like->st_uid,
	    .gid = like->st_gid,
	};

	if (!text)
		return still_error_nomem(err);
	object = add_object(handing, STILL_PG_OBJECT_TEXT);
	object->text = text;
	object->len = len;
	spec.object = object;
	return hand_file(handing, &spec, err);
}

static char *copy_of(const void *data, size_t len)
{
	char *copy = malloc(len ? len : 1);

	if (copy)
		memcpy(copy, data, len);
	return copy;
}

/* ---- directories, links, and what is made --------------------------------- */

static int hand_dir(struct handing *handing, const char *path,
    const struct stat *st, struct still_error *err)
{
	return still_builder_dir(handing->builder, path, st->st_mode & 0777,
	    st->st_uid, st->st_gid, err);
}

static int hand_dirs(struct handing *handing, struct still_error *err)
{
	const struct still_pg_walk *walk = &handing->frozen->walk;
	const struct stat *data = &walk->roots[STILL_PG_ROOT_DATA].st;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < walk->n_roots; i++)
		rc = hand_dir(
		    handing, walk->roots[i].prefix, &walk->roots[i].st, err);
	for (size_t i = 0; rc == 0 && i < walk->list.n; i++) {
		const struct still_pg_entry *entry = &walk->list.entries[i];

		/* A link to a directory is one. */
		if (entry->rule == STILL_PG_EMPTY_DIR)
			rc = hand_dir(handing, entry->path,
			    S_ISDIR(entry->st.st_mode) ? &entry->st : data,
			    err);
		else if (S_ISDIR(entry->st.st_mode))
			rc = hand_dir(handing, entry->path, &entry->st, err);
	}
	return rc;
}

/* To tablespaces that were there when they were walked: of the server's list some
 * may have been dropped since. */
static int hand_links(struct handing *handing, struct still_error *err)
{
	const struct still_pg_walk *walk = &handing->frozen->walk;
	const struct stat *st = &handing->instance->st;
	char path[64];
	char target[64];
	int rc = 0;

	for (size_t i = STILL_PG_ROOT_WAL + 1; rc == 0 && i < walk->n_roots;
	     i++) {
		const char *oid = still_path_base(walk->roots[i].prefix);

		snprintf(path, sizeof(path), DATA "pg_tblspc/%s", oid);
		snprintf(target, sizeof(target), "../../" SPACES "%s", oid);
		rc = still_builder_link(handing->builder, path, target,
		    st->st_uid, st->st_gid, err);
	}
	return rc;
}

/* Of the files in pg_wal only histories are in the list (walk.h). */
static bool is_history(const struct still_pg_captured *file)
{
	return strncmp(file->entry->path, WAL_DIR "/", strlen(WAL_DIR "/")) ==
	    0 &&
	    S_ISREG(file->entry->st.st_mode);
}

/* An empty file for each, by which the archiver of the copy knows that it need
 * not archive it, as pg_basebackup makes them. */
static int hand_done_of(struct handing *handing,
    const struct still_pg_captured *file, struct still_error *err)
{
	char *path;
	int rc;

	if (asprintf(&path, WAL_DIR "/archive_status/%s.done",
		still_path_base(file->entry->path)) < 0)
		return still_error_nomem(err);
	rc = hand_text(handing, path, strdup(""), 0, err);
	free(path);
	return rc;
}

static int hand_done(struct handing *handing, struct still_error *err)
{
	const struct still_pg_frozen *frozen = handing->frozen;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < frozen->wal.n; i++)
		rc = hand_done_of(handing, &frozen->wal.files[i], err);
	for (size_t i = 0; rc == 0 && i < frozen->files.n; i++)
		if (is_history(&frozen->files.files[i]))
			rc = hand_done_of(
			    handing, &frozen->files.files[i], err);
	return rc;
}

static int hand_manifest(struct handing *handing, struct still_error *err)
{
	const struct stat *like = &handing->frozen->walk.control.st;
	struct still_file_spec spec = {
	    .path = MANIFEST,
	    .mode = like->st_mode & 0777,
	    .uid = like->st_uid,
	    .gid = like->st_gid,
	};
	int rc = still_pg_manifest_end(handing->manifest, err);

	if (rc < 0)
		return rc;
	spec.size_bytes = still_pg_manifest_size(handing->manifest);
	handing->frozen->manifest_bytes = spec.size_bytes;
	handing->bytes += spec.size_bytes;
	spec.object = add_object(handing, STILL_PG_OBJECT_MANIFEST);
	return still_builder_closing(handing->builder, &spec, err);
}

/* ---- what backup.json says ------------------------------------------------ */

static json_t *lsn_json(uint64_t lsn)
{
	return json_sprintf(STILL_PG_LSN, STILL_PG_LSN_ARGS(lsn));
}

/* The names of the databases, which are bytes: those that are no text stand in a
 * list of their own. */
static int set_names(json_t *object, const struct still_pg_facts *facts)
{
	static const char *const keys[] = {"databases", "encoded_databases"};
	int rc = object ? json_object_set_new(object, keys[0], json_array())
			: -1;

	for (size_t i = 0; rc == 0 && i < facts->n_databases; i++) {
		json_t *one = json_object();
		int k = 0;

		rc = one ? still_json_set_name(
			       one, keys[0], facts->databases[i].name)
			 : -1;
		if (rc == 0 && !json_object_get(one, keys[0]))
			k = 1;
		if (rc == 0 && !json_object_get(object, keys[k]))
			rc = json_object_set_new(object, keys[k], json_array());
		if (rc == 0)
			rc = json_array_append(json_object_get(object, keys[k]),
			    json_object_get(one, keys[k]));
		json_decref(one);
	}
	return rc;
}

static int describe(struct handing *handing, struct still_error *err)
{
	const struct still_pg_frozen *frozen = handing->frozen;
	json_t *log = json_pack("{s:s, s:o, s:o, s:I}", "mode", "wal",
	    "start_lsn", lsn_json(frozen->label.start_lsn), "stop_lsn",
	    lsn_json(frozen->stop_lsn), "timeline",
	    (json_int_t) frozen->label.timeline);
	/* A system identifier has 64 bits: as a number, programs would round
	 * it. */
	json_t *object = json_pack("{s:s, s:I, s:b, s:o, s:o, s:I, s:b, s:I}",
	    "path", "data", "size_bytes", (json_int_t) handing->bytes, "frozen",
	    1, "log", log, "system_identifier",
	    json_sprintf("%" PRIu64, frozen->facts.system_identifier),
	    "page_size_bytes", (json_int_t) frozen->facts.block_bytes,
	    "data_checksums", (int) frozen->facts.data_checksums,
	    "wal_segment_bytes", (json_int_t) frozen->facts.wal_segment_bytes);

	if (set_names(object, &frozen->facts) != 0) {
		json_decref(object);
		return still_error_nomem(err);
	}
	return still_builder_database(handing->builder, object, err);
}

static void describe_cut(struct handing *handing)
{
	const struct still_pg_frozen *frozen = handing->frozen;
	const char *why = NULL;
	const char *way = still_pg_capture_way(frozen->capture, &why);

	still_builder_cut(handing->builder,
	    &(struct still_cut){
		.words = "one moment",
		.first_ns = frozen->stop_first_ns,
		.last_ns = frozen->stop_last_ns,
		.way = way,
		.why = handing->instance->way == STILL_FREEZE_AUTO ? why : NULL,
	    });
	still_builder_verified(
	    handing->builder, frozen->verifies_pages ? "pages+wal" : "wal");
}

/* ---- all of it ----------------------------------------------------------- */

static int hand_all(struct handing *handing, struct still_error *err)
{
	struct still_pg_frozen *frozen = handing->frozen;
	int rc = hand_dirs(handing, err);

	if (rc == 0)
		rc = hand_links(handing, err);
	if (rc == 0)
		rc = hand_captures(handing, &frozen->files, err);
	if (rc == 0)
		rc = hand_captures(handing, &frozen->wal, err);
	if (rc == 0)
		rc = hand_text(handing, DATA "backup_label",
		    copy_of(frozen->label_text, frozen->label_len),
		    frozen->label_len, err);
	if (rc == 0)
		rc = hand_text(handing, DATA "global/pg_control",
		    copy_of(frozen->control_bytes, STILL_PG_CONTROL_BYTES),
		    STILL_PG_CONTROL_BYTES, err);
	if (rc == 0)
		rc = hand_done(handing, err);
	if (rc == 0)
		rc = hand_manifest(handing, err);
	if (rc == 0)
		rc = describe(handing, err);
	if (rc == 0)
		describe_cut(handing);
	return rc;
}

static struct still_pg_manifest_head head_of(
    const struct still_pg_frozen *frozen)
{
	return (struct still_pg_manifest_head){
	    .version = frozen->version->manifest_version,
	    .system_identifier = frozen->facts.system_identifier,
	    .timeline = frozen->label.timeline,
	    .start_lsn = frozen->label.start_lsn,
	    .end_lsn = frozen->stop_lsn,
	};
}

int still_pg_hand_over(const struct still_pg_instance *instance,
    struct still_pg_frozen *frozen, struct still_builder *builder,
    struct still_error *err)
{
	struct still_pg_manifest_head head = head_of(frozen);
	struct handing handing = {
	    .instance = instance, .frozen = frozen, .builder = builder};
	size_t n = frozen->files.n + 2 * frozen->wal.n + 3;
	int rc;

	/* They must stay where they are: label, control and manifest, and each
	 * segment and history twice. */
	for (size_t i = 0; i < frozen->files.n; i++)
		n += is_history(&frozen->files.files[i]);
	frozen->objects = calloc(n, sizeof(frozen->objects[0]));
	if (!frozen->objects)
		return still_error_nomem(err);
	rc = still_pg_manifest_new(&head, NULL, NULL, &handing.manifest, err);
	if (rc == 0)
		rc = hand_all(&handing, err);
	still_pg_manifest_free(handing.manifest);
	return rc;
}

/* ---- backup_manifest ------------------------------------------------------ */

struct room {
	char *at;
	size_t left;
};

static int put(void *arg, const char *text, size_t len, struct still_error *err)
{
	struct room *room = arg;

	if (len > room->left)
		return still_error_set(err, STILL_ERR_FAILED, 0, NULL,
		    "`backup_manifest`: is longer than was thought");
	memcpy(room->at, text, len);
	room->at += len;
	room->left -= len;
	return 0;
}

int still_pg_close_manifest(const struct still_pg_frozen *frozen,
    const struct still_closed_file *files, size_t n, char *data,
    struct still_error *err)
{
	struct still_pg_manifest_head head = head_of(frozen);
	struct room room = {data, (size_t) frozen->manifest_bytes};
	struct still_pg_manifest *manifest;
	char path[PATH_MAX];
	int rc = still_pg_manifest_new(&head, put, &room, &manifest, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct still_pg_manifest_file file = {
		    .path = still_pg_to_manifest(files[i].path, path),
		    .size_bytes = files[i].size_bytes,
		    .mtime_s = files[i].time_s,
		    .crc32c = files[i].crc32c,
		};

		if (file.path)
			rc = still_pg_manifest_file(manifest, &file, err);
	}
	if (rc == 0)
		rc = still_pg_manifest_end(manifest, err);
	still_pg_manifest_free(manifest);
	if (rc == 0 && room.left > 0)
		rc = still_error_set(err, STILL_ERR_FAILED, 0, NULL,
		    "`backup_manifest`: is shorter than was thought");
	return rc;
}
