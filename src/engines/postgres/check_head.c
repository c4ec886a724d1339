/* SPDX-License-Identifier: MIT */
/* check_head: the files that say which backup it is, and whether they agree: rules
 * 1 to 3 of check.h. */
#include "config.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engines/postgres/check_parts.h"
#include "engines/postgres/layout.h"
#include "engines/postgres/wal_name.h"

#define VERSION_FILE STILL_PG_DATA "PG_VERSION"
#define CONTROL_FILE STILL_PG_DATA "global/pg_control"
#define LABEL_FILE STILL_PG_DATA "backup_label"
#define MANIFEST_FILE STILL_PG_DATA "backup_manifest"
#define DESCRIPTION_FILE "backup.json"

#define VERSION_MAX_BYTES 16
#define LABEL_MAX_BYTES 65536
#define DESCRIPTION_MAX_BYTES ((size_t) 16 << 20)
#define PIECE_BYTES 65536

#define NOT_IN_STEP "`backup_manifest`: is not of the same backup as "

/* All of a file that is not big; the caller frees it. There is a NUL behind it. */
static int read_all(const struct still_pg_checking *checking, const char *path,
    size_t max_bytes, char **ret, size_t *ret_len, struct still_error *err)
{
	struct stat st;
	char *data;
	int fd;
	int rc = still_pg_check_open(checking, path, &fd, &st, err);

	if (rc < 0)
		return rc;
	if ((uint64_t) st.st_size > max_bytes) {
		close(fd);
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`%s`: is too long", still_pg_known_as(path));
	}
	*ret_len = (size_t) st.st_size;
	data = malloc(*ret_len + 1);
	rc = data ? still_pg_check_read(fd, path, data, *ret_len, 0, err)
		  : still_error_nomem(err);
	close(fd);
	if (rc < 0) {
		free(data);
		return rc;
	}
	data[*ret_len] = '\0';
	*ret = data;
	return 0;
}

/* ---- which cluster ------------------------------------------------------- */

static int look_at_version(
    struct still_pg_checking *checking, struct still_error *err)
{
	char *text;
	char *end;
	size_t len;
	long major;
	int rc = read_all(
	    checking, VERSION_FILE, VERSION_MAX_BYTES, &text, &len, err);

	if (rc < 0)
		return rc;
	major = strtol(text, &end, 10);
	if (end == text || strcmp(end, "\n") != 0 || major < 1 || major > 10000)
		rc = still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`PG_VERSION`: names no version");
	free(text);
	if (rc < 0)
		return rc;
	checking->version = still_pg_version((int) major);
	if (!checking->version)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0, NULL,
		    "`PG_VERSION`: is %ld, which is not known here", major);
	return 0;
}

static int look_at_control(
    struct still_pg_checking *checking, struct still_error *err)
{
	char *data;
	size_t len;
	int rc = read_all(
	    checking, CONTROL_FILE, STILL_PG_CONTROL_BYTES, &data, &len, err);

	if (rc < 0)
		return rc;
	rc = still_pg_control_parse(data, len, &checking->control, err);
	free(data);
	if (rc == 0 &&
	    checking->control.version != checking->version->control_version)
		rc = still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`global/pg_control`: is not of PostgreSQL %d, as "
		    "PG_VERSION says",
		    checking->version->major);
	if (rc == 0 &&
	    checking->control.check_point_lsn != STILL_PG_CONTROL_NOWHERE)
		rc = still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`global/pg_control`: names a checkpoint: without its "
		    "backup_label this cluster would start and be wrong");
	return rc;
}

static int look_at_label(
    struct still_pg_checking *checking, struct still_error *err)
{
	const struct still_pg_control *control = &checking->control;
	struct still_pg_label *label = &checking->label;
	struct still_pg_wal_segment segment;
	char name[STILL_PG_WAL_NAME_CHARS + 1];
	char *text;
	size_t len;
	int rc = read_all(
	    checking, LABEL_FILE, LABEL_MAX_BYTES, &text, &len, err);

	if (rc < 0)
		return rc;
	rc = still_pg_label_parse(text, len, label, err);
	free(text);
	if (rc < 0)
		return rc;
	segment = (struct still_pg_wal_segment){
	    label->timeline, label->start_lsn / control->wal_segment_bytes};
	still_pg_wal_name(&segment, control->wal_segment_bytes, name);
	if (strcmp(name, label->start_segment) != 0)
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`backup_label`: " STILL_PG_LSN
		    " does not lie in its file %s, but in %s",
		    STILL_PG_LSN_ARGS(label->start_lsn), label->start_segment,
		    name);
	return 0;
}

/* ---- backup_manifest ------------------------------------------------------ */

static int feed_all(int fd, uint64_t size_bytes,
    struct still_pg_manifest_reader *reader, struct still_error *err)
{
	char piece[PIECE_BYTES];
	int rc = 0;

	for (uint64_t at = 0; rc == 0 && at < size_bytes; at += sizeof(piece)) {
		size_t len = size_bytes - at < sizeof(piece)
		    ? (size_t) (size_bytes - at)
		    : sizeof(piece);

		rc = still_pg_check_read(
		    fd, MANIFEST_FILE, piece, len, at, err);
		if (rc == 0)
			rc = still_pg_manifest_reader_feed(
			    reader, piece, len, err);
	}
	return rc;
}

static int read_manifest(
    struct still_pg_checking *checking, struct still_error *err)
{
	struct still_pg_manifest_reader *reader = NULL;
	struct stat st;
	int fd;
	int rc = still_pg_check_open(checking, MANIFEST_FILE, &fd, &st, err);

	if (rc < 0)
		return rc;
	rc = still_pg_manifest_reader_new(&reader, err);
	if (rc == 0)
		rc = feed_all(fd, (uint64_t) st.st_size, reader, err);
	if (rc == 0)
		rc = still_pg_manifest_reader_end(
		    reader, &checking->manifest, err);
	still_pg_manifest_reader_free(reader);
	close(fd);
	return rc;
}

static int look_at_manifest(
    struct still_pg_checking *checking, struct still_error *err)
{
	const struct still_pg_manifest_head *head = &checking->manifest.head;
	const struct still_pg_label *label = &checking->label;
	int rc = read_manifest(checking, err);

	if (rc < 0)
		return rc;
	if (head->version >= 2 &&
	    head->system_identifier != checking->control.system_identifier)
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    NOT_IN_STEP "global/pg_control: its system identifier is "
				"%" PRIu64 ", not %" PRIu64,
		    head->system_identifier,
		    checking->control.system_identifier);
	if (head->timeline != label->timeline)
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    NOT_IN_STEP "backup_label: its timeline is %" PRIu32
				", not %" PRIu32,
		    head->timeline, label->timeline);
	if (head->start_lsn != label->start_lsn)
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    NOT_IN_STEP "backup_label: its WAL begins at " STILL_PG_LSN
				", not at " STILL_PG_LSN,
		    STILL_PG_LSN_ARGS(head->start_lsn),
		    STILL_PG_LSN_ARGS(label->start_lsn));
	return 0;
}

/* ---- backup.json ---------------------------------------------------------- */

/* Is `key` of `object` this text, or not there at all? */
static int compare(const json_t *object, const char *key, const char *text,
    const char *what, struct still_error *err)
{
	const char *said = json_string_value(json_object_get(object, key));

	if (!said || strcmp(said, text) == 0)
		return 0;
	return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
	    "%s is %s, and backup.json says %s", what, text, said);
}

static int compare_lsn(const json_t *object, const char *key, uint64_t lsn,
    const char *what, struct still_error *err)
{
	char text[32];

	snprintf(text, sizeof(text), STILL_PG_LSN, STILL_PG_LSN_ARGS(lsn));
	return compare(object, key, text, what, err);
}

static int compare_element(const struct still_pg_checking *checking,
    const json_t *element, struct still_error *err)
{
	const json_t *log = json_object_get(element, "log");
	char text[32];
	int rc;

	snprintf(text, sizeof(text), "%" PRIu64,
	    checking->control.system_identifier);
	rc = compare(element, "system_identifier", text,
	    "`global/pg_control`: its system identifier", err);
	if (rc == 0)
		rc = compare_lsn(log, "start_lsn", checking->label.start_lsn,
		    "`backup_label`: the begin of its WAL", err);
	if (rc == 0)
		rc = compare_lsn(log, "stop_lsn",
		    checking->manifest.head.end_lsn,
		    "`backup_manifest`: the end of its WAL", err);
	if (rc == 0 &&
	    json_is_true(json_object_get(element, "data_checksums")) &&
	    checking->control.data_checksum_version == 0)
		rc = still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`global/pg_control`: has no data checksums, and "
		    "backup.json says that it has");
	return rc;
}

int still_pg_check_description(const struct still_pg_checking *checking,
    json_t **ret, struct still_error *err)
{
	json_error_t why;
	char *text;
	size_t len;
	int rc = read_all(checking, DESCRIPTION_FILE, DESCRIPTION_MAX_BYTES,
	    &text, &len, err);

	if (rc < 0)
		return rc;
	*ret = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	free(text);
	return !*ret && json_error_code(&why) == json_error_out_of_memory
	    ? still_error_nomem(err)
	    : 0;
}

static int look_at_description(
    const struct still_pg_checking *checking, struct still_error *err)
{
	json_t *json;
	size_t i;
	json_t *element;
	int rc = still_pg_check_description(checking, &json, err);

	if (rc < 0)
		return rc;
	json_array_foreach(json_object_get(json, "databases"), i, element)
	{
		const char *path = json_string_value(
		    json_object_get(element, "path"));

		if (rc == 0 && path && strcmp(path, STILL_PG_CLUSTER) == 0)
			rc = compare_element(checking, element, err);
	}
	json_decref(json);
	return rc;
}

/* ---- all of them ---------------------------------------------------------- */

int still_pg_check_cluster(
    struct still_pg_checking *checking, struct still_error *err)
{
	int rc = look_at_version(checking, err);

	if (rc == 0)
		rc = look_at_control(checking, err);
	return rc == 0 ? look_at_label(checking, err) : rc;
}

int still_pg_check_head(
    struct still_pg_checking *checking, struct still_error *err)
{
	int rc = still_pg_check_cluster(checking, err);

	if (rc == 0)
		rc = look_at_manifest(checking, err);
	return rc == 0 ? look_at_description(checking, err) : rc;
}
