/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engines/postgres/label.h"
#include "tests/unit/scratch.h"

/* As PostgreSQL 15 wrote it. */
static const char good[] =
    "START WAL LOCATION: A/2000028 (file 000000010000000A00000002)\n"
    "CHECKPOINT LOCATION: A/2000060\n"
    "BACKUP METHOD: streamed\n"
    "BACKUP FROM: primary\n"
    "START TIME: 2026-11-21 17:00:00 UTC\n"
    "LABEL: stillfs\n"
    "START TIMELINE: 1\n";

/* In a buffer that ends where the text ends. */
static int parse(const char *text, size_t len, struct still_pg_label *ret,
    struct still_error *err)
{
	char *part = malloc(len + (len == 0));
	int rc;

	assert_non_null(part);
	memcpy(part, text, len);
	rc = still_pg_label_parse(part, len, ret, err);
	free(part);
	return rc;
}

static void whole(void **state)
{
	struct still_pg_label label;
	struct still_error err = STILL_ERROR_INIT;

	(void) state;
	assert_int_equal(parse(good, strlen(good), &label, &err), 0);
	assert_true(label.start_lsn == UINT64_C(0xa02000028));
	assert_true(label.check_point_lsn == UINT64_C(0xa02000060));
	assert_string_equal(label.start_segment, "000000010000000A00000002");
	assert_int_equal(label.timeline, 1);
	assert_true(label.streamed);
	assert_false(label.from_standby);
}

/* `good` with the first `from` replaced. */
static char *changed(const char *from, const char *to)
{
	const char *at = strstr(good, from);
	char *text = malloc(sizeof(good) + strlen(to));

	assert_non_null(at);
	assert_non_null(text);
	sprintf(
	    text, "%.*s%s%s", (int) (at - good), good, to, at + strlen(from));
	return text;
}

static void variants(void **state)
{
	struct still_pg_label label;
	struct still_error err = STILL_ERROR_INIT;
	char *text = changed("primary", "standby");

	(void) state;
	assert_int_equal(parse(text, strlen(text), &label, &err), 0);
	assert_true(label.from_standby);
	free(text);
	text = changed("primary", "master");
	assert_int_equal(parse(text, strlen(text), &label, &err), 0);
	assert_false(label.from_standby);
	free(text);
	text = changed("streamed", "pg_start_backup");
	assert_int_equal(parse(text, strlen(text), &label, &err), 0);
	assert_false(label.streamed);
	free(text);
	text = changed("stillfs", "any: (thing) \xff of /\x01\\");
	assert_int_equal(parse(text, strlen(text), &label, &err), 0);
	free(text);
	text = changed("stillfs", "");
	assert_int_equal(parse(text, strlen(text), &label, &err), 0);
	free(text);
	text = changed("TIMELINE: 1\n",
	    "TIMELINE: 1\nINCREMENTAL FROM LSN: 0/2000028\n"
	    "INCREMENTAL FROM TLI: 1\n");
	assert_int_equal(
	    parse(text, strlen(text), &label, &err), STILL_ERR_UNSUPPORTED);
	still_error_clear(&err);
	free(text);
}

/* Timelines are numbered from 1. Found by tests/fuzz/pg_label.c. */
static void no_timeline(void **state)
{
	static const char text[] =
	    "START WAL LOCATION: A/2000028 (file 000000000000000A00000002)\n"
	    "CHECKPOINT LOCATION: A/2000060\n"
	    "BACKUP METHOD: streamed\n"
	    "BACKUP FROM: primary\n"
	    "START TIME: 2026-11-21 17:00:00 UTC\n"
	    "LABEL: stillfs\n"
	    "START TIMELINE: 0\n";
	struct still_pg_label label;
	struct still_error err = STILL_ERROR_INIT;

	(void) state;
	assert_int_equal(
	    parse(text, strlen(text), &label, &err), STILL_ERR_CORRUPT);
	assert_string_equal(still_error_msg(&err),
	    "`backup_label`: there is no valid line `START TIMELINE`");
	still_error_clear(&err);
}

/* What is changed, and the line that the message names. */
static const struct {
	const char *from, *to, *line;
} damages[] = {
    {"START WAL", "START", "START WAL LOCATION"},
    {"A/2000028", "A2000028", "START WAL LOCATION"},
    {"A/2000028", "/2000028", "START WAL LOCATION"},
    {"A/2000028", "A/", "START WAL LOCATION"},
    {"A/2000028", "A/123456789", "START WAL LOCATION"},
    {"A/2000028", "-A/2000028", "START WAL LOCATION"},
    {"A/2000028", "0xA/2000028", "START WAL LOCATION"},
    {"(file ", "(", "START WAL LOCATION"},
    {"00000002)", "0000002)", "START WAL LOCATION"},
    {"00000002)", "000000002)", "START WAL LOCATION"},
    {"00000002)", "0000000G)", "START WAL LOCATION"},
    {"00000002)\n", "00000002)\r\n", "START WAL LOCATION"},
    {"CHECKPOINT LOCATION: A/2000060\n", "", "CHECKPOINT LOCATION"},
    {"A/2000060", "A/2000060 ", "CHECKPOINT LOCATION"},
    {"streamed", "copied", "BACKUP METHOD"},
    {"streamed", "streamedx", "BACKUP METHOD"},
    {"primary", "nowhere", "BACKUP FROM"},
    {"START TIME: ", "TIME: ", "START TIME"},
    {"LABEL: stillfs", "LABEL stillfs", "LABEL"},
    {"stillfs", "two\nlines", "START TIMELINE"},
    {"TIMELINE: 1", "TIMELINE: 2", "START TIMELINE"},
    {"TIMELINE: 1", "TIMELINE: 4294967297", "START TIMELINE"},
    {"TIMELINE: 1", "TIMELINE: ", "START TIMELINE"},
    {"TIMELINE: 1", "TIMELINE: 0x1", "START TIMELINE"},
};

static void damaged(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct still_pg_label label;
		struct still_error err = STILL_ERROR_INIT;
		char *text = changed(damages[i].from, damages[i].to);
		char want[64];

		snprintf(
		    want, sizeof(want), "no valid line `%s`", damages[i].line);
		assert_int_equal(
		    parse(text, strlen(text), &label, &err), STILL_ERR_CORRUPT);
		if (!strstr(still_error_msg(&err), want))
			fail_msg("%s -> %s: %s", damages[i].from, damages[i].to,
			    still_error_msg(&err));
		still_error_clear(&err);
		free(text);
	}
}

static void any_other_end(void **state)
{
	struct still_pg_label label;
	struct still_error err = STILL_ERROR_INIT;
	char longer[sizeof(good) + 1];

	(void) state;
	for (size_t len = 0; len < strlen(good); len++) {
		assert_int_equal(
		    parse(good, len, &label, &err), STILL_ERR_CORRUPT);
		still_error_clear(&err);
	}
	for (int c = 0; c < 256; c++) {
		snprintf(longer, sizeof(longer), "%s", good);
		longer[strlen(good)] = (char) c;
		assert_int_equal(parse(longer, strlen(good) + 1, &label, &err),
		    STILL_ERR_CORRUPT);
		still_error_clear(&err);
	}
}

/* Never beyond the text; a NUL nowhere. */
static void any_byte(void **state)
{
	struct still_pg_label label;
	struct still_error err = STILL_ERROR_INIT;

	(void) state;
	for (size_t i = 0; i < strlen(good); i++)
		for (int c = 0; c < 256; c++) {
			char text[sizeof(good)];
			int rc;

			memcpy(text, good, sizeof(good));
			text[i] = (char) c;
			rc = parse(text, strlen(good), &label, &err);
			if (c == 0)
				assert_int_equal(rc, STILL_ERR_CORRUPT);
			if (rc == 0)
				assert_int_equal(label.timeline, 1);
			still_error_clear(&err);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole),
	    cmocka_unit_test(variants),
	    cmocka_unit_test(no_timeline),
	    cmocka_unit_test(damaged),
	    cmocka_unit_test(any_other_end),
	    cmocka_unit_test(any_byte),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
