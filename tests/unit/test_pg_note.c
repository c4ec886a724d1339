/* SPDX-License-Identifier: MIT */
/* What is noted of a session, what a link says of itself, and what must not be
 * replayed: texts and records that nobody is to be trusted with. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engines/postgres/link.h"
#include "engines/postgres/note.h"
#include "engines/postgres/replay.h"
#include "tests/unit/scratch.h"

static const struct still_pg_note some = {
    .system_identifier = UINT64_MAX,
    .timeline = UINT32_MAX,
    .stop_lsn = UINT64_C(0x1234567890),
    .last_lsn = UINT64_C(0x1234567800),
    .slot = "stillfs_0123abcd",
    .slot_made = "17 1234.000000005",
};

static void test_note(void **state)
{
	struct still_pg_note got;
	json_t *json = still_pg_note_json(&some);

	(void) state;
	assert_non_null(json);
	assert_true(still_pg_note_parse(json, &got));
	assert_memory_equal(&got, &some, sizeof(got));
	json_decref(json);
	assert_false(still_pg_note_parse(NULL, &got));
}

/* Each key left out, and each with what it must not have. */
static void test_bad_notes(void **state)
{
	static const char *const keys[] = {"system_identifier", "timeline",
	    "stop_lsn", "last_lsn", "slot", "slot_made"};
	static const char *const texts[] = {"null", "true", "-1", "0", "\"\"",
	    "\"-1\"", "\"1x\"", "\"0/\"", "\"123456789/0\"", "[]",
	    ("\"0123456789012345678901234567890123456789"
	     "01234567890123456789012345\"")};
	struct still_pg_note got;

	(void) state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		json_t *json = still_pg_note_json(&some);

		json_object_del(json, keys[i]);
		assert_false(still_pg_note_parse(json, &got));
		for (size_t n = 0; n < sizeof(texts) / sizeof(texts[0]); n++) {
			/* A name is any text that fits. */
			if (i >= 4 && texts[n][0] == '"' && n != 4 && n != 10)
				continue;
			json_object_set_new(json, keys[i],
			    json_loads(texts[n], JSON_DECODE_ANY, NULL));
			if (still_pg_note_parse(json, &got))
				fail_msg("%s: %s", keys[i], texts[n]);
		}
		json_decref(json);
	}
}

/* ---- links ---------------------------------------------------------------- */

#define SEGMENT UINT32_C(1048576)

static struct still_pg_link link_of(uint64_t start_lsn, uint64_t stop_lsn)
{
	return (struct still_pg_link){
	    .system_identifier = UINT64_MAX - 1,
	    .major = 15,
	    .timeline = 7,
	    .start_lsn = start_lsn,
	    .stop_lsn = stop_lsn,
	    .segment_bytes = SEGMENT,
	    .wal_block_bytes = 8192,
	    .block_bytes = 8192,
	};
}

static json_t *describe(const struct still_pg_link *link)
{
	const struct still_pg_facts facts = {.data_checksums = true};
	json_t *element = still_pg_link_json(
	    link, &facts, still_pg_link_count(link));
	json_t *json = json_pack(
	    "{s:s, s:[o]}", "kind", "incremental", "databases", element);

	assert_non_null(json);
	assert_true(still_pg_link_is(json));
	return json;
}

static void test_link(void **state)
{
	static const struct {
		uint64_t bytes;
		size_t n;
	} cases[] = {{0, 0}, {1, 1}, {SEGMENT, 1}, {SEGMENT + 1, 2}};

	(void) state;
	for (size_t i = 0; i < 4; i++) {
		struct still_pg_link want = link_of(
		    5 * SEGMENT, 5 * SEGMENT + cases[i].bytes);
		json_t *json = describe(&want);
		struct still_pg_link got;
		char path[64];

		assert_int_equal(still_pg_link_parse(json, &got, NULL), 0);
		assert_int_equal(got.system_identifier, want.system_identifier);
		assert_int_equal(got.start_lsn, want.start_lsn);
		assert_int_equal(got.stop_lsn, want.stop_lsn);
		assert_int_equal(got.timeline, 7);
		assert_int_equal(still_pg_link_first(&got), 5);
		assert_int_equal(still_pg_link_count(&got), cases[i].n);
		still_pg_link_path(&got, "logs/", 5, path);
		assert_string_equal(path, "logs/000000070000000000000005");
		assert_true(
		    json_is_null(json_object_get(
			json_array_get(json_object_get(json, "databases"), 0),
			"increment")) == (cases[i].n == 0));
		json_decref(json);
	}
}

static void bad_link(const char *key, json_t *value, int code)
{
	struct still_pg_link want = link_of(5 * SEGMENT, 6 * SEGMENT);
	json_t *json = describe(&want);
	json_t *element = json_array_get(json_object_get(json, "databases"), 0);
	json_t *log = json_object_get(element, "log");
	struct still_error err = STILL_ERROR_INIT;
	struct still_pg_link got;
	int rc;

	json_object_set_new(
	    json_object_get(log, key) ? log : element, key, value);
	rc = still_pg_link_parse(json, &got, &err);
	if (rc != code || strncmp(err.msg, "`backup.json`: ", 15) != 0)
		fail_msg("%s: %d %s", key, rc, still_error_msg(&err));
	still_error_clear(&err);
	json_decref(json);
}

static void test_bad_links(void **state)
{
	(void) state;
	bad_link("path", json_string("date"), STILL_ERR_CORRUPT);
	bad_link("system_identifier", json_integer(1), STILL_ERR_CORRUPT);
	bad_link("major", json_string("15"), STILL_ERR_CORRUPT);
	bad_link("major", json_integer(99), STILL_ERR_UNSUPPORTED);
	bad_link("timeline", json_integer(0), STILL_ERR_CORRUPT);
	bad_link("timeline", json_integer(INT64_C(1) << 32), STILL_ERR_CORRUPT);
	bad_link(
	    "wal_segment_bytes", json_integer(SEGMENT + 1), STILL_ERR_CORRUPT);
	bad_link("start_lsn", json_string("0/500001"), STILL_ERR_CORRUPT);
	bad_link("start_lsn", json_string("0/700000"), STILL_ERR_CORRUPT);
	bad_link("stop_lsn", json_string("FFFFFFFF/0"), STILL_ERR_CORRUPT);
	bad_link("stop_lsn", json_null(), STILL_ERR_CORRUPT);
}

/* ---- records -------------------------------------------------------------- */

/* As xl_parameter_change begins. */
static const char *obstacle_of(int32_t wal_level, uint32_t data_bytes)
{
	static char text[STILL_PG_OBSTACLE_MAX];
	int32_t settings[7] = {100, 8, 10, 0, 64, wal_level, 1};
	struct still_pg_wal_record record = {
	    .rmgr = STILL_PG_RM_XLOG,
	    .info = 0x60,
	    .data = (const uint8_t *) settings,
	    .data_bytes = data_bytes,
	};

	return still_pg_replay_obstacle(&record, text);
}

static void test_obstacles(void **state)
{
	/* As xl_tblspc_create_rec: its path ends with a NUL, or with the
	 * record. */
	static const struct {
		uint32_t oid;
		char path[12];
	} made = {16400, "/srv/space"};
	struct still_pg_wal_record record = {
	    .rmgr = STILL_PG_RM_TABLESPACE, .info = STILL_PG_TABLESPACE_CREATE};
	char text[STILL_PG_OBSTACLE_MAX];

	(void) state;
	assert_string_equal(
	    still_pg_replay_obstacle(&record, text), "a tablespace was made");
	record.data = (const uint8_t *) &made;
	record.data_bytes = sizeof(made);
	assert_string_equal(still_pg_replay_obstacle(&record, text),
	    "tablespace 16400 was made at `/srv/space`");
	record.data_bytes = sizeof(made.oid) + 4;
	assert_string_equal(still_pg_replay_obstacle(&record, text),
	    "tablespace 16400 was made at `/srv`");
	record.data_bytes = sizeof(made.oid);
	assert_string_equal(
	    still_pg_replay_obstacle(&record, text), "a tablespace was made");
	record.info = 0x10; /* dropped */
	assert_null(still_pg_replay_obstacle(&record, text));
	assert_string_equal(obstacle_of(0, 28),
	    "the server wrote too little WAL (wal_level was minimal)");
	assert_null(obstacle_of(1, 28));
	assert_null(obstacle_of(2, 28));
	assert_null(obstacle_of(0, 23));
}

static void test_see(void **state)
{
	struct still_pg_wal_record record = {.lsn = 10, .previous_lsn = 5};
	struct still_pg_replay replay = {0};

	(void) state;
	still_pg_replay_see(&replay, &record);
	record = (struct still_pg_wal_record){.lsn = 20, .previous_lsn = 10};
	still_pg_replay_see(&replay, &record);
	assert_int_equal(replay.previous_lsn, 5);
	assert_int_equal(replay.last_lsn, 20);
}

/* ---- the slot ------------------------------------------------------------- */

static void test_slot(void **state)
{
	char name[STILL_PG_SLOT_MAX];
	char other[STILL_PG_SLOT_MAX];
	struct still_pg_slot slot = {.restart_lsn = 10, .current_lsn = 30};

	(void) state;
	still_pg_slot_name(7, 0, name);
	assert_int_equal(strlen(name), strlen("stillfs_") + 8);
	assert_int_equal(strspn(name + 8, "0123456789abcdef"), 8);
	still_pg_slot_name(7, 0, other);
	assert_string_equal(name, other);
	still_pg_slot_name(7, 1000, other);
	assert_string_not_equal(name, other);
	still_pg_slot_name(8, 0, other);
	assert_string_not_equal(name, other);
	assert_int_equal(still_pg_slot_held_bytes(&slot), 20);
	slot.current_lsn = 9;
	assert_int_equal(still_pg_slot_held_bytes(&slot), 0);
	slot.current_lsn = 30;
	slot.restart_lsn = 0;
	assert_int_equal(still_pg_slot_held_bytes(&slot), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_note),
	    cmocka_unit_test(test_bad_notes),
	    cmocka_unit_test(test_link),
	    cmocka_unit_test(test_bad_links),
	    cmocka_unit_test(test_obstacles),
	    cmocka_unit_test(test_see),
	    cmocka_unit_test(test_slot),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
