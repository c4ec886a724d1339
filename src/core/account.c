/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/account.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

/* ---- files --------------------------------------------------------------- */

void still_account_begin(struct still_session *session, uint32_t index)
{
	const struct still_entry *entry = &session->snapshot.entries[index];

	still_events_add(session->events, STILL_LEVEL_DEBUG, "file-begin",
	    "session", session->id, "path", entry->path, "size",
	    still_number(entry->size_bytes).text, NULL);
}

void still_account_whole(struct still_session *session, uint32_t index)
{
	const struct still_entry *entry = &session->snapshot.entries[index];

	still_events_add(session->events, STILL_LEVEL_DEBUG, "file-end",
	    "session", session->id, "path", entry->path, "bytes",
	    still_number(entry->size_bytes).text, NULL);
}

void still_account_short(struct still_session *session)
{
	for (uint32_t i = 0; session->tracked && i < session->snapshot.n; i++) {
		const struct still_tracked *tracked = &session->tracked[i];
		const struct still_entry *entry = &session->snapshot.entries[i];
		uint64_t bytes = still_coverage_bytes(&tracked->coverage);

		if (tracked->whole || bytes == 0)
			continue;
		still_events_add(session->events, STILL_LEVEL_INFO,
		    "file-short", "session", session->id, "path", entry->path,
		    "bytes_served", still_number(bytes).text, "size",
		    still_number(entry->size_bytes).text, NULL);
	}
}

/* ---- logs ---------------------------------------------------------------- */

#define PAIRS_MAX 8

/* The plain values of an object. A key NULL ends them. */
struct pairs {
	const char *keys[PAIRS_MAX];   /* borrowed from the object */
	const char *values[PAIRS_MAX]; /* likewise, or of `numbers` */
	char numbers[PAIRS_MAX][24];
};

static const char *write_value(const json_t *value, char number[24])
{
	if (json_is_boolean(value))
		return json_is_true(value) ? "true" : "false";
	if (json_is_integer(value)) {
		snprintf(number, 24, "%" JSON_INTEGER_FORMAT,
		    json_integer_value(value));
		return number;
	}
	return json_string_value(value);
}

static void flatten(json_t *object, struct pairs *ret)
{
	const char *key;
	json_t *value;
	size_t n = 0;

	*ret = (struct pairs){{NULL}, {NULL}, {{0}}};
	json_object_foreach(object, key, value)
	{
		const char *text;

		if (n == PAIRS_MAX)
			break;
		text = write_value(value, ret->numbers[n]);
		if (!text)
			continue;
		ret->keys[n] = key;
		ret->values[n++] = text;
	}
}

static void tell_log(
    struct still_session *session, const char *path, json_t *log)
{
	struct pairs p;

	flatten(log, &p);
	/* The first key that is NULL ends the list. */
	still_events_add(session->events, STILL_LEVEL_DEBUG, "log-range",
	    "session", session->id, "path", path, p.keys[0], p.values[0],
	    p.keys[1], p.values[1], p.keys[2], p.values[2], p.keys[3],
	    p.values[3], p.keys[4], p.values[4], p.keys[5], p.values[5],
	    p.keys[6], p.values[6], p.keys[7], p.values[7], NULL);
}

void still_account_logs(struct still_session *session, const json_t *databases)
{
	const json_t *database;
	size_t i;

	json_array_foreach(databases, i, database)
	{
		json_t *log = json_object_get(database, "log");
		char *path;

		/* Without memory there is no event, as everywhere. */
		still_json_get_name(database, "path", &path);
		if (path && json_object_size(log) > 0)
			tell_log(session, path, log);
		free(path);
	}
}
