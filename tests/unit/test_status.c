/* SPDX-License-Identifier: MIT */
/* What a mount tells of itself, to people and to programs. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "still.h"
#include "tests/unit/scratch.h"

static const struct still_instance_info instance = {
    .source = "/srv/app",
    .engine = "fake",
    .engine_version = "1.0",
    .n_databases = 2,
};

static struct still_session_status serving(void)
{
	return (struct still_session_status){
	    .state = STILL_SERVING,
	    .id = "20231114T221320Z-01234567",
	    .begun_at_ns = INT64_C(1700000000) * STILL_NS_PER_S,
	    .frozen_at_ns = INT64_C(1700000001) * STILL_NS_PER_S + 5000000,
	    .pin_age_ns = 90 * STILL_NS_PER_S,
	    .cut = "one moment",
	    .cut_width_ns = 1234,
	    .writers_held_ns = 5678,
	    .verified = "header+logs",
	    .databases = 3,
	    .files = 4,
	    .files_whole = 1,
	    .bytes = 3 * 1024 * 1024,
	    .bytes_served = 1536,
	    .bytes_hashed = 700,
	};
}

static struct still_mount_status mount_of(
    const struct still_session_status *session)
{
	return (struct still_mount_status){
	    .mountpoint = "/mnt/still",
	    .started_at_ns = INT64_C(1600000000) * STILL_NS_PER_S,
	    .pid = 4711,
	    .instance = &instance,
	    .session = session,
	};
}

static json_t *parse(const struct still_mount_status *mount)
{
	size_t len = 0;
	char *text = still_status_json(mount, &len);
	json_t *root;

	assert_non_null(text);
	assert_int_equal(len, strlen(text));
	assert_int_equal(text[len - 1], '\n');
	root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	free(text);
	return root;
}

static const char *string(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	if (!value)
		fail_msg("no string `%s`", key);
	return value;
}

static json_int_t integer(const json_t *object, const char *key)
{
	if (!json_is_integer(json_object_get(object, key)))
		fail_msg("no number `%s`", key);
	return json_integer_value(json_object_get(object, key));
}

/* `object` has these keys, one behind the other, and no more. */
static void assert_keys(const json_t *object, const char *const *keys)
{
	size_t n = 0;

	for (; keys[n]; n++)
		if (!json_object_get(object, keys[n]))
			fail_msg("no key `%s`", keys[n]);
	assert_int_equal(json_object_size(object), n);
}

static const char *const root_keys[] = {"format", "program", "state", "source",
    "mountpoint", "pid", "mounted_at", "engine", "engine_version", "databases",
    "session", "next", NULL};
static const char *const session_keys[] = {"id", "kind", "begun_at",
    "frozen_at", "outcome", "cut", "cut_width_ns", "writers_held_ns",
    "verified", "pin_age_ns", "files", "files_whole", "bytes", "bytes_served",
    "bytes_hashed", "sealing", "sealed", "seal_served", "damaged", "unfrozen",
    "error", NULL};

/* ---- for programs -------------------------------------------------------- */

static void json_idle(void **state)
{
	struct still_mount_status mount = mount_of(NULL);
	json_t *root = parse(&mount);

	(void) state;
	assert_keys(root, root_keys);
	assert_int_equal(integer(root, "format"), 1);
	assert_int_equal(strncmp(string(root, "program"), "stillfs ", 8), 0);
	assert_string_equal(string(root, "state"), "idle");
	assert_string_equal(string(root, "source"), "/srv/app");
	assert_string_equal(string(root, "mountpoint"), "/mnt/still");
	assert_int_equal(integer(root, "pid"), 4711);
	assert_string_equal(
	    string(root, "mounted_at"), "2020-09-13T12:26:40.000000000Z");
	assert_string_equal(string(root, "engine"), "fake");
	assert_string_equal(string(root, "engine_version"), "1.0");
	assert_int_equal(integer(root, "databases"), 2);
	assert_true(json_is_null(json_object_get(root, "session")));
	json_decref(root);
}

static void json_serving(void **state)
{
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);
	json_t *root = parse(&mount);
	json_t *session = json_object_get(root, "session");

	(void) state;
	assert_keys(root, root_keys);
	assert_keys(session, session_keys);
	assert_string_equal(string(root, "state"), "serving");
	assert_int_equal(integer(root, "databases"), 3);
	assert_string_equal(string(session, "id"), s.id);
	assert_string_equal(string(session, "kind"), "full");
	assert_string_equal(
	    string(session, "begun_at"), "2023-11-14T22:13:20.000000000Z");
	assert_string_equal(
	    string(session, "frozen_at"), "2023-11-14T22:13:21.005000000Z");
	assert_true(json_is_null(json_object_get(session, "outcome")));
	assert_string_equal(string(session, "cut"), "one moment");
	assert_int_equal(integer(session, "cut_width_ns"), 1234);
	assert_string_equal(string(session, "verified"), "header+logs");
	assert_true(integer(session, "pin_age_ns") == s.pin_age_ns);
	assert_int_equal(integer(session, "files"), 4);
	assert_int_equal(integer(session, "files_whole"), 1);
	assert_int_equal(integer(session, "bytes"), 3 * 1024 * 1024);
	assert_int_equal(integer(session, "bytes_served"), 1536);
	assert_int_equal(integer(session, "bytes_hashed"), 700);
	assert_true(json_is_false(json_object_get(session, "sealing")));
	assert_true(json_is_false(json_object_get(session, "sealed")));
	assert_true(json_is_false(json_object_get(session, "seal_served")));
	assert_int_equal(integer(session, "writers_held_ns"), 5678);
	assert_int_equal(integer(session, "damaged"), 0);
	assert_int_equal(integer(session, "unfrozen"), 0);
	assert_true(json_is_null(json_object_get(session, "error")));
	json_decref(root);
}

static void json_states(void **state)
{
	static const char *const words[STILL_STATE_COUNT] = {
	    "idle", "preparing", "serving", "ended"};

	(void) state;
	for (int i = 0; i < STILL_STATE_COUNT; i++) {
		struct still_session_status s = {.state = (enum still_state) i};
		struct still_mount_status mount = mount_of(&s);
		json_t *root = parse(&mount);
		json_t *session = json_object_get(root, "session");

		assert_string_equal(string(root, "state"), words[i]);
		/* What is not known yet is null, and its key is there. */
		assert_keys(session, session_keys);
		assert_true(json_is_null(json_object_get(session, "cut")));
		assert_true(json_is_null(json_object_get(session, "verified")));
		assert_true(json_is_null(json_object_get(session, "begun_at")));
		assert_true(
		    json_is_null(json_object_get(session, "frozen_at")));
		json_decref(root);
	}
}

static void json_error(void **state)
{
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);
	json_t *error;
	json_t *root;

	(void) state;
	s.n_damaged = 3;
	s.n_unfrozen = 2;
	still_error_set(&s.error, STILL_ERR_CORRUPT, 0, "Check it.",
	    "page 3 of `a \"b\"\n\xe4.db`: is damaged");
	root = parse(&mount);
	error = json_object_get(json_object_get(root, "session"), "error");
	assert_string_equal(string(error, "code"), "corrupt");
	/* It names a file, and a file may have any name. */
	assert_string_equal(string(error, "message"),
	    "page 3 of `a \"b\"\\x0a\\xe4.db`: is damaged");
	assert_string_equal(string(error, "hint"), "Check it.");
	assert_int_equal(
	    integer(json_object_get(root, "session"), "damaged"), 3);
	assert_int_equal(
	    integer(json_object_get(root, "session"), "unfrozen"), 2);
	json_decref(root);

	/* The key is there without a hint, and without a message. */
	still_error_nomem(&s.error);
	root = parse(&mount);
	error = json_object_get(json_object_get(root, "session"), "error");
	assert_string_equal(string(error, "code"), "no-memory");
	assert_string_equal(string(error, "message"), "out of memory");
	assert_true(json_is_null(json_object_get(error, "hint")));
	json_decref(root);
	still_session_status_clear(&s);
}

static void json_names_that_are_no_text(void **state)
{
	struct still_instance_info info = instance;
	struct still_mount_status mount = mount_of(NULL);
	json_t *root;

	(void) state;
	info.source = "/b\xe4r";
	mount.instance = &info;
	mount.mountpoint = "/\xff";
	root = parse(&mount);
	assert_string_equal(string(root, "encoded_source"), "2f62e472");
	assert_string_equal(string(root, "encoded_mountpoint"), "2fff");
	assert_null(json_object_get(root, "source"));
	assert_null(json_object_get(root, "mountpoint"));
	json_decref(root);
}

static void outcomes(void **state)
{
	static const struct {
		enum still_outcome outcome;
		const char *text;
	} table[] = {
	    {STILL_COPIED, "COPIED"},
	    {STILL_ABORTED_UNREAD, "ABORTED(unread)"},
	    {STILL_ABORTED_PARTIAL, "ABORTED(partial: 3 of 7 files)"},
	    {STILL_ABORTED_CORRUPT, "ABORTED(corrupt)"},
	    {STILL_ABORTED_INCOMPLETE, "ABORTED(incomplete)"},
	    {STILL_ABORTED_LOST, "ABORTED(pin lost)"},
	    {STILL_ABORTED_FORCED, "ABORTED(forced)"},
	    {STILL_ABORTED_FREEZE, "ABORTED(not frozen)"},
	    {STILL_COMMITTED, "COMMITTED"},
	    {STILL_ABORTED_CALLER, "ABORTED(by caller)"},
	    {STILL_ABORTED_CRASH, "ABORTED(crash)"},
	    {STILL_ABORTED_UNRECORDED, "ABORTED(not recorded)"},
	};

	(void) state;
	assert_int_equal(
	    sizeof(table) / sizeof(table[0]), STILL_OUTCOME_COUNT - 1);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_session_status s = {
		    .state = STILL_ENDED,
		    .outcome = table[i].outcome,
		    .files = 7,
		    .files_whole = 3,
		};
		struct still_mount_status mount = mount_of(&s);
		char text[STILL_OUTCOME_TEXT_BYTES];
		json_t *root = parse(&mount);

		still_outcome_text(&s, text);
		assert_string_equal(text, table[i].text);
		assert_string_equal(
		    string(json_object_get(root, "session"), "outcome"),
		    table[i].text);
		json_decref(root);
	}
}

/* The longest one fits. */
static void outcome_of_many_files(void **state)
{
	struct still_session_status s = {
	    .outcome = STILL_ABORTED_PARTIAL,
	    .files = UINT32_MAX,
	    .files_whole = UINT32_MAX - 1,
	};
	char text[STILL_OUTCOME_TEXT_BYTES];

	(void) state;
	still_outcome_text(&s, text);
	assert_string_equal(
	    text, "ABORTED(partial: 4294967294 of 4294967295 files)");
}

/* ---- for people ---------------------------------------------------------- */

static void assert_text(
    const struct still_mount_status *mount, const char *const *lines)
{
	size_t len = 0;
	char *text = still_status_text(mount, &len);

	assert_non_null(text);
	assert_int_equal(len, strlen(text));
	assert_int_equal(text[len - 1], '\n');
	for (; *lines; lines++)
		if (!strstr(text, *lines))
			fail_msg("no \"%s\" in:\n%s", *lines, text);
	free(text);
}

#define LINES(...)                \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}

static void text_idle(void **state)
{
	struct still_instance_info info = instance;
	struct still_mount_status mount = mount_of(NULL);

	(void) state;
	assert_text(&mount,
	    LINES("state:     idle\n",
		"source:    /srv/app (fake 1.0, 2 databases)\n",
		"error:     none\n", "next:      copy backup/"));
	info.n_databases = 1;
	info.source = "/with blank/b\xe4r";
	mount.instance = &info;
	assert_text(&mount,
	    LINES("source:    \"/with blank/b\\xe4r\" (fake 1.0, 1 "
		  "database)\n"));
}

static void text_serving(void **state)
{
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);

	(void) state;
	assert_text(&mount,
	    LINES("state:     serving\n",
		"source:    /srv/app (fake 1.0, 3 databases)\n",
		"session:   20231114T221320Z-01234567, full\n",
		"frozen:    2023-11-14T22:13:21.005Z, verified header+logs\n",
		"cut:       one moment, 0.001 ms wide; writers were held off "
		"for at most 0.006 ms\n",
		"pin:       held for 90 s;",
		"progress:  1 of 4 files served whole, 1.5 KiB of 3.0 MiB\n",
		"seal:      not yet asked for\n", "error:     none\n",
		"next:      copy what is left of backup/"));
	s.sealing = true;
	assert_text(&mount, LINES("seal:      being made, 700 B checked\n"));
	s.sealing = false;
	s.sealed = true;
	assert_text(&mount, LINES("seal:      ready\n"));
	s.seal_served = true;
	assert_text(&mount,
	    LINES("seal:      served\n", "next:      copy what is left"));
	s.files_whole = s.files;
	assert_text(&mount, LINES("next:      everything was served;"));
}

static void text_trouble(void **state)
{
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);

	(void) state;
	/* A reader's bad luck spoils nothing. */
	still_error_set(&s.error, STILL_ERR_IO, 0, NULL, "one bad read");
	assert_text(&mount,
	    LINES("seal:      not yet asked for\n", "error:     one bad read\n",
		"next:      copy what is left of backup/"));
	still_error_set(&s.error, STILL_ERR_IO, 0, NULL, "`a\nb\xe4`: bad");
	assert_text(&mount, LINES("error:     `a\\x0ab\\xe4`: bad\n"));
	still_error_set(
	    &s.error, STILL_ERR_CORRUPT, 0, "Check it.", "page 3: is damaged");
	assert_text(&mount,
	    LINES("seal:      refused\n", "error:     page 3: is damaged\n",
		"hint:      Check it.\n",
		"next:      check the live database;"));
	still_error_set(&s.error, STILL_ERR_LOST, 0, NULL, "it is gone");
	assert_text(&mount,
	    LINES("error:     it is gone\n",
		"next:      unmount, and begin a new session;"));
	still_session_status_clear(&s);
}

static void text_incomplete(void **state)
{
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);

	(void) state;
	s.n_unfrozen = 1;
	still_error_set(&s.error, STILL_ERR_AGAIN, 0, "Open it.", "it is hot");
	assert_text(&mount,
	    LINES("missing:   1 of 3 databases could not be frozen;",
		"seal:      refused\n", "error:     it is hot\n",
		"hint:      Open it.\n",
		"next:      mend what the error names, unmount,"));
	/* Damage and loss come first. */
	still_error_set(&s.error, STILL_ERR_CORRUPT, 0, NULL, "it is bad");
	assert_text(&mount,
	    LINES("missing:   1 of 3", "seal:      refused\n",
		"next:      check the live database;"));
	still_session_status_clear(&s);
}

static void text_ended(void **state)
{
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);

	(void) state;
	s.state = STILL_ENDED;
	s.outcome = STILL_ABORTED_FREEZE;
	s.frozen_at_ns = 0;
	s.pin_age_ns = 0;
	still_error_set(&s.error, STILL_ERR_BUSY, 0, "Wait.", "it is locked");
	assert_text(&mount,
	    LINES("state:     ended\n", "outcome:   ABORTED(not frozen)\n",
		"error:     it is locked\n", "hint:      Wait.\n",
		"next:      mend what the error names"));
	still_session_status_clear(&s);
}

static void text_sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} table[] = {
	    {0, " of 0 B\n"},
	    {1023, " of 1023 B\n"},
	    {1024, " of 1.0 KiB\n"},
	    {UINT64_C(5) << 30, " of 5.0 GiB\n"},
	    {UINT64_C(3) << 40, " of 3.0 TiB\n"},
	    {UINT64_C(5000) << 40, " of 5000.0 TiB\n"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_session_status s = serving();
		struct still_mount_status mount = mount_of(&s);

		s.bytes = table[i].bytes;
		assert_text(&mount, LINES(table[i].text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(json_idle),
	    cmocka_unit_test(json_serving),
	    cmocka_unit_test(json_states),
	    cmocka_unit_test(json_error),
	    cmocka_unit_test(json_names_that_are_no_text),
	    cmocka_unit_test(outcomes),
	    cmocka_unit_test(outcome_of_many_files),
	    cmocka_unit_test(text_idle),
	    cmocka_unit_test(text_serving),
	    cmocka_unit_test(text_trouble),
	    cmocka_unit_test(text_incomplete),
	    cmocka_unit_test(text_ended),
	    cmocka_unit_test(text_sizes),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
