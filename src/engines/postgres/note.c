/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/note.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engines/postgres/wal_name.h"

static json_t *lsn_json(uint64_t lsn)
{
	return json_sprintf(STILL_PG_LSN, STILL_PG_LSN_ARGS(lsn));
}

json_t *still_pg_note_json(const struct still_pg_note *note)
{
	return json_pack("{s:o, s:I, s:o, s:o, s:s, s:s}", "system_identifier",
	    json_sprintf("%" PRIu64, note->system_identifier), "timeline",
	    (json_int_t) note->timeline, "stop_lsn", lsn_json(note->stop_lsn),
	    "last_lsn", lsn_json(note->last_lsn), "slot", note->slot,
	    "slot_made", note->slot_made);
}

bool still_pg_text_u64(const char *text, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	*ret = value;
	return !*end && !errno;
}

static const char *text_of(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

static bool take_lsn(const json_t *json, const char *key, uint64_t *ret)
{
	const char *text = text_of(json, key);

	return text && still_pg_lsn_parse(text, ret);
}

static bool take_text(
    const json_t *json, const char *key, char *ret, size_t size)
{
	const char *text = text_of(json, key);

	if (!text || !*text || strlen(text) >= size)
		return false;
	memcpy(ret, text, strlen(text) + 1);
	return true;
}

bool still_pg_note_parse(const json_t *json, struct still_pg_note *ret)
{
	const json_t *timeline = json_object_get(json, "timeline");
	struct still_pg_note it = {0};

	if (!json_is_integer(timeline) || json_integer_value(timeline) < 1 ||
	    json_integer_value(timeline) > UINT32_MAX ||
	    !still_pg_text_u64(
		text_of(json, "system_identifier"), &it.system_identifier) ||
	    !take_lsn(json, "stop_lsn", &it.stop_lsn) || it.stop_lsn == 0 ||
	    !take_lsn(json, "last_lsn", &it.last_lsn) ||
	    !take_text(json, "slot", it.slot, sizeof(it.slot)) ||
	    !take_text(json, "slot_made", it.slot_made, sizeof(it.slot_made)))
		return false;
	it.timeline = (uint32_t) json_integer_value(timeline);
	*ret = it;
	return true;
}
