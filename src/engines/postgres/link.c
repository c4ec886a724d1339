/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/link.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/postgres/check_parts.h"
#include "engines/postgres/layout.h"
#include "engines/postgres/note.h"
#include "engines/postgres/versions.h"
#include "engines/postgres/wal_name.h"
#include "engines/postgres/wal_walk.h"

/* ---- what it says of itself ------------------------------------------------ */

static json_t *lsn_json(uint64_t lsn)
{
	return json_sprintf(STILL_PG_LSN, STILL_PG_LSN_ARGS(lsn));
}

static json_t *names_of(const struct still_pg_facts *facts)
{
	json_t *names = json_array();

	for (size_t i = 0; names && i < facts->n_databases; i++)
		if (json_array_append_new(
			names, json_string(facts->databases[i].name)) != 0) {
			json_decref(names);
			return NULL;
		}
	return names;
}

json_t *still_pg_link_json(const struct still_pg_link *link,
    const struct still_pg_facts *facts, size_t n_segments)
{
	json_t *log = json_pack("{s:s, s:o, s:o, s:I}", "mode", "wal",
	    "start_lsn", lsn_json(link->start_lsn), "stop_lsn",
	    lsn_json(link->stop_lsn), "timeline", (json_int_t) link->timeline);

	return json_pack(
	    "{s:s, s:I, s:b, s:s?, s:o, s:o, s:i, s:I, s:b, s:I, s:I, s:o}",
	    "path", "data", "size_bytes",
	    (json_int_t) (n_segments * link->segment_bytes), "frozen", 1,
	    "increment", n_segments > 0 ? "logs" : NULL, "log", log,
	    "system_identifier",
	    json_sprintf("%" PRIu64, link->system_identifier), "major",
	    link->major, "page_size_bytes", (json_int_t) link->block_bytes,
	    "data_checksums", (int) facts->data_checksums, "wal_segment_bytes",
	    (json_int_t) link->segment_bytes, "wal_page_bytes",
	    (json_int_t) link->wal_block_bytes, "databases", names_of(facts));
}

bool still_pg_link_is(const json_t *description)
{
	const char *kind = json_string_value(
	    json_object_get(description, "kind"));

	return kind && strcmp(kind, "incremental") == 0;
}

static bool take_number(
    const json_t *object, const char *key, uint32_t max, uint32_t *ret)
{
	const json_t *number = json_object_get(object, key);
	json_int_t value = json_integer_value(number);

	if (!json_is_integer(number) || value < 1 || value > max)
		return false;
	*ret = (uint32_t) value;
	return true;
}

static bool take_lsn(const json_t *object, const char *key, uint64_t *ret)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && still_pg_lsn_parse(text, ret) && *ret > 0 &&
	    *ret <= INT64_MAX;
}

static bool take_element(const json_t *element, struct still_pg_link *link)
{
	const json_t *log = json_object_get(element, "log");
	uint32_t major;

	if (!still_pg_text_u64(json_string_value(json_object_get(
				   element, "system_identifier")),
		&link->system_identifier) ||
	    !take_number(element, "major", 10000, &major) ||
	    !take_number(
		element, "page_size_bytes", 1 << 20, &link->block_bytes) ||
	    !take_number(
		element, "wal_page_bytes", 1 << 20, &link->wal_block_bytes) ||
	    !take_number(
		element, "wal_segment_bytes", 1 << 30, &link->segment_bytes) ||
	    !still_pg_wal_segment_bytes_valid(link->segment_bytes) ||
	    !take_number(log, "timeline", UINT32_MAX, &link->timeline) ||
	    !take_lsn(log, "start_lsn", &link->start_lsn) ||
	    !take_lsn(log, "stop_lsn", &link->stop_lsn))
		return false;
	link->major = (int) major;
	return link->start_lsn % link->segment_bytes == 0 &&
	    link->start_lsn <= link->stop_lsn;
}

static const json_t *element_of(const json_t *description)
{
	const json_t *databases = json_object_get(description, "databases");
	const json_t *element = json_array_get(databases, 0);
	const char *path = json_string_value(json_object_get(element, "path"));

	return json_array_size(databases) == 1 && path &&
		strcmp(path, "data") == 0
	    ? element
	    : NULL;
}

int still_pg_link_parse(const json_t *description, struct still_pg_link *ret,
    struct still_error *err)
{
	const json_t *element = element_of(description);
	struct still_pg_link it = {0};

	if (!element || !take_element(element, &it))
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`backup.json`: does not describe the WAL of a cluster");
	if (!still_pg_version(it.major))
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0, NULL,
		    "`backup.json`: names version %d, which is not known here",
		    it.major);
	*ret = it;
	return 0;
}

struct still_pg_wal_format still_pg_link_format(
    const struct still_pg_link *link)
{
	return (struct still_pg_wal_format){
	    .major = (unsigned) link->major,
	    .page_magic = still_pg_version(link->major)->wal_magic,
	    .page_bytes = link->wal_block_bytes,
	    .segment_bytes = link->segment_bytes,
	    .block_bytes = link->block_bytes,
	    .timeline = link->timeline,
	    .system_identifier = link->system_identifier,
	};
}

/* ---- its segments ---------------------------------------------------------- */

uint64_t still_pg_link_first(const struct still_pg_link *link)
{
	return link->start_lsn / link->segment_bytes;
}

size_t still_pg_link_count(const struct still_pg_link *link)
{
	return (size_t) ((link->stop_lsn - link->start_lsn +
			     link->segment_bytes - 1) /
	    link->segment_bytes);
}

void still_pg_link_path(const struct still_pg_link *link, const char *dir,
    uint64_t number, char ret_path[64])
{
	struct still_pg_wal_segment segment = {link->timeline, number};
	char name[STILL_PG_WAL_NAME_CHARS + 1];

	still_pg_wal_name(&segment, link->segment_bytes, name);
	snprintf(ret_path, 64, "%s%s", dir, name);
}

struct reading {
	const struct still_pg_link *link;
	int dir_fd;
	const char *dir;
	uint64_t number; /* of the one that is open */
	int fd;          /* negative: none is */
	char path[64];
	struct still_pg_replay replay;
};

static int open_segment(
    struct reading *reading, uint64_t number, struct still_error *err)
{
	const struct still_pg_checking set = {.set_fd = reading->dir_fd};
	struct stat st;
	int rc;

	if (reading->fd >= 0)
		close(reading->fd);
	reading->fd = -1;
	still_pg_link_path(reading->link, reading->dir, number, reading->path);
	rc = still_pg_check_open(&set, reading->path, &reading->fd, &st, err);
	if (rc < 0)
		return rc;
	reading->number = number;
	if ((uint64_t) st.st_size != reading->link->segment_bytes)
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`%s`: is no whole segment of the WAL, which has %" PRIu32
		    " bytes",
		    still_pg_known_as(reading->path),
		    reading->link->segment_bytes);
	return 0;
}

static ssize_t read_segment(void *arg, uint64_t segment, uint32_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	struct reading *reading = arg;
	ssize_t n;
	int rc = 0;

	if (reading->fd < 0 || reading->number != segment)
		rc = open_segment(reading, segment, err);
	if (rc < 0)
		return rc;
	n = still_sys_pread(reading->fd, data, len, off_bytes);
	return n >= 0 ? n
		      : still_error_sys(err, (int) -n, NULL, "`%s`",
			    still_pg_known_as(reading->path));
}

static int see(void *arg, const struct still_pg_wal_record *record,
    struct still_error *err)
{
	struct reading *reading = arg;
	char text[STILL_PG_OBSTACLE_MAX];
	const char *obstacle = still_pg_replay_obstacle(record, text);

	if (obstacle)
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`%s`: must not be replayed: %s",
		    still_pg_known_as(reading->path), obstacle);
	still_pg_replay_see(&reading->replay, record);
	return 0;
}

int still_pg_link_walk(const struct still_pg_link *link, int dir_fd,
    const char *dir, uint64_t start_lsn, uint64_t stop_lsn,
    const atomic_bool *cancel, struct still_pg_replay *ret,
    struct still_error *err)
{
	struct reading reading = {
	    .link = link, .dir_fd = dir_fd, .dir = dir, .fd = -1};
	struct still_pg_wal_walk walk = {
	    .format = still_pg_link_format(link),
	    .start_lsn = start_lsn,
	    .stop_lsn = stop_lsn,
	    .read = read_segment,
	    .read_arg = &reading,
	    .each = see,
	    .each_arg = &reading,
	    .cancel = cancel,
	};
	int rc = still_pg_wal_walk(&walk, NULL, err);

	if (reading.fd >= 0)
		close(reading.fd);
	if (rc == 0)
		*ret = reading.replay;
	/* The range is what the set says. */
	return rc == STILL_ERR_INVALID ? STILL_ERR_CORRUPT : rc;
}
