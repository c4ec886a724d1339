/* SPDX-License-Identifier: MIT */
/* set_describe: backup.json, as stillfs-backup.json(5) specifies it. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/path.h"
#include "base/sys.h"
#include "core/set_parts.h"

#define FORMAT 1

#define TELL(judge, ...)                                                  \
	still_set_tell((judge), STILL_SET_DESCRIPTION, STILL_ERR_CORRUPT, \
	    "`" STILL_SET_DESCRIPTION "`: " __VA_ARGS__)

/* ---- values -------------------------------------------------------------- */

/* Each key that is looked at must be there: NULL is told. The caller frees it. */
static char *text_of(
    const json_t *object, struct still_set_judge *judge, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (!text)
		TELL(judge, "`%s` is not a text", key);
	return text ? strdup(text) : NULL;
}

static bool is_count(const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

static uint64_t count_of(
    const json_t *object, struct still_set_judge *judge, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!is_count(value)) {
		TELL(judge, "`%s` is not a count", key);
		return 0;
	}
	return (uint64_t) json_integer_value(value);
}

/* Of "2026-11-21T02:13:14.262220310Z"; 0: it is none. */
static int64_t parse_time(const char *text)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddddddddZ";
	struct tm tm = {0};
	int64_t seconds;
	long ns;

	if (strlen(text) != sizeof(form) - 1)
		return 0;
	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9'
				   : text[i] != form[i])
			return 0;
	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%9ldZ", &tm.tm_year,
		&tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec,
		&ns) != 7)
		return 0;
	if (tm.tm_year < 1970 || tm.tm_year > 2200 || tm.tm_mon < 1 ||
	    tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	seconds = (int64_t) timegm(&tm);
	return seconds * STILL_NS_PER_S + ns;
}

static int64_t time_of(
    const json_t *object, struct still_set_judge *judge, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	int64_t time_ns = text ? parse_time(text) : 0;

	if (!time_ns)
		TELL(judge, "`%s` is not a time", key);
	return time_ns;
}

/* ---- databases ----------------------------------------------------------- */

/* It is understood but for its increment. Takes `path`. 0 or NOMEM. */
static int take_database(struct still_set *set, struct still_set_judge *judge,
    const json_t *object, char *path)
{
	const json_t *increment_bytes = json_object_get(
	    object, "increment_bytes");
	struct still_set_database database = {
	    .path = path,
	    .size_bytes = (uint64_t) json_integer_value(
		json_object_get(object, "size_bytes")),
	    .frozen = json_is_true(json_object_get(object, "frozen")),
	    .increment_sized = increment_bytes != NULL,
	    .increment_bytes = (uint64_t) json_integer_value(increment_bytes),
	};

	if (still_set_take_increment(object, path, judge, &database.incremental,
		&database.increment) < 0) {
		free(path);
		return STILL_ERR_NOMEM;
	}
	if (database.incremental && !set->base)
		TELL(judge, "database `%s`: has an increment of nothing", path);
	set->databases[set->n_databases] = database;
	set->database_paths[set->n_databases++] = path;
	return 0;
}

/* One that cannot be understood is left out. 0 or NOMEM. */
static int add_database(struct still_set *set, struct still_set_judge *judge,
    const json_t *object, size_t number)
{
	const json_t *size = json_object_get(object, "size_bytes");
	const json_t *frozen = json_object_get(object, "frozen");
	const json_t *increment_bytes = json_object_get(
	    object, "increment_bytes");
	char *path;

	if (still_json_get_name(object, "path", &path) < 0)
		return STILL_ERR_NOMEM;
	if (!path || !still_path_is_plain(path))
		TELL(judge, "database %zu: `path` is no path in a set", number);
	else if (!is_count(size))
		TELL(judge, "database `%s`: `size_bytes` is not a count", path);
	else if (increment_bytes && !is_count(increment_bytes))
		TELL(judge, "database `%s`: `increment_bytes` is not a count",
		    path);
	else if (!json_is_boolean(frozen))
		TELL(judge, "database `%s`: `frozen` is neither true nor false",
		    path);
	else
		return take_database(set, judge, object, path);
	free(path);
	return 0;
}

static int compare_databases(const void *a, const void *b)
{
	return strcmp(((const struct still_set_database *) a)->path,
	    ((const struct still_set_database *) b)->path);
}

static void sort_databases(struct still_set *set, struct still_set_judge *judge)
{
	size_t n = 0;

	if (set->n_databases == 0)
		return;
	qsort(set->databases, set->n_databases, sizeof(set->databases[0]),
	    compare_databases);
	for (size_t i = 0; i < set->n_databases; i++) {
		struct still_set_database *database = &set->databases[i];

		if (n > 0 &&
		    strcmp(set->databases[n - 1].path, database->path) == 0) {
			TELL(judge, "names `%s` twice", database->path);
			free((char *) database->path);
			free(database->increment);
			continue;
		}
		set->databases[n] = *database;
		set->database_paths[n++] = (char *) database->path;
	}
	set->n_databases = n;
}

static int parse_databases(struct still_set *set, struct still_set_judge *judge)
{
	const json_t *array = json_object_get(set->json, "databases");
	size_t n = json_array_size(array);
	int rc = 0;

	if (!json_is_array(array)) {
		TELL(judge, "`databases` is not an array");
		return 0;
	}
	set->databases = calloc(n + 1, sizeof(set->databases[0]));
	set->database_paths = calloc(n + 1, sizeof(set->database_paths[0]));
	if (!set->databases || !set->database_paths)
		return STILL_ERR_NOMEM;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = add_database(set, judge, json_array_get(array, i), i + 1);
	sort_databases(set, judge);
	return rc;
}

/* ---- the whole ----------------------------------------------------------- */

static int parse_object(struct still_set *set, struct still_set_judge *judge)
{
	char *checksums;

	set->session = text_of(set->json, judge, "session");
	set->kind = text_of(set->json, judge, "kind");
	set->engine = text_of(set->json, judge, "engine");
	if (still_json_get_name(set->json, "source", &set->source) < 0)
		return STILL_ERR_NOMEM;
	if (!set->source)
		TELL(judge, "`source` is not a path");
	set->frozen_at_ns = time_of(set->json, judge, "frozen_at");
	set->data_files = count_of(set->json, judge, "data_files");
	set->data_bytes = count_of(set->json, judge, "data_bytes");
	checksums = text_of(set->json, judge, "checksums");
	if (checksums && strcmp(checksums, STILL_SET_LIST) != 0)
		TELL(judge, "`checksums` is not `" STILL_SET_LIST "`");
	free(checksums);
	if (still_set_parse_shape(set, judge) < 0 ||
	    still_set_parse_base(set, judge) < 0)
		return STILL_ERR_NOMEM;
	return parse_databases(set, judge);
}

static bool has_format(const json_t *json, struct still_set_judge *judge)
{
	const json_t *format = json_object_get(json, "format");

	if (!json_is_object(json)) {
		TELL(judge, "is not a JSON object");
		return false;
	}
	if (!is_count(format)) {
		TELL(judge, "`format` is not a count");
		return false;
	}
	if (json_integer_value(format) != FORMAT) {
		still_set_tell(judge, STILL_SET_DESCRIPTION,
		    STILL_ERR_UNSUPPORTED,
		    "`" STILL_SET_DESCRIPTION "`: has format %" PRId64
		    ", and this stillfs knows %d",
		    (int64_t) json_integer_value(format), FORMAT);
		return false;
	}
	return true;
}

int still_set_parse_description(struct still_set *set,
    struct still_set_judge *judge, const char *text, size_t len,
    struct still_error *err)
{
	uint64_t before = judge->n_flaws;
	json_error_t why;

	/* A key that stands there twice has two values. */
	set->json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (!set->json) {
		if (json_error_code(&why) == json_error_out_of_memory)
			return still_error_nomem(err);
		TELL(judge, "is not JSON: line %d: %s", why.line, why.text);
		return 0;
	}
	if (!has_format(set->json, judge))
		return 0;
	if (parse_object(set, judge) < 0)
		return still_error_nomem(err);
	if (judge->n_flaws != before)
		return 0;
	if (!set->session || !set->kind || !set->engine)
		return still_error_nomem(err);
	set->described = true;
	return 0;
}
