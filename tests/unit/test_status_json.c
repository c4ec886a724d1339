/* SPDX-License-Identifier: MIT */
/* What a mount tells programs of itself. */
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
#include "tests/unit/mounted.h"
#include "tests/unit/scratch.h"

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
    "mountpoint", "state_dir", "pid", "mounted_at", "engine", "engine_version",
    "databases", "lease_s", "stall_s", "session", "quiet_ns", "last_good",
    "last_committed", "last_incremental", "totals", "problems", "next", NULL};
static const char *const session_keys[] = {"id", "number", "kind", "base",
    "chain", "begun_at", "frozen_at", "ended_at", "outcome", "cut",
    "cut_width_ns", "writers_held_ns", "freeze", "capture_bytes",
    "captured_bytes", "verified", "pin", "n_pinned", "pin_age_ns", "pin_moves",
    "let_by", "log_held_bytes", "log_kept_bytes", "wal_max_bytes", "copy_bytes",
    "copied_bytes", "spool_bytes", "spool_full", "pages_compared", "files",
    "files_whole", "files_known", "bytes", "bytes_served", "bytes_hashed",
    "sealing", "sealed", "seal_served", "covered", "committing", "damaged",
    "unfrozen", "forced", "error", NULL};
static const char *const record_keys[] = {"id", "number", "kind", "base",
    "chain", "outcome", "begun_at", "frozen_at", "ended_at", "committed_at",
    "bytes", "forced", "truncated", "truncated_range", "truncated_elsewhere",
    "place", NULL};

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
	assert_string_equal(string(root, "state_dir"), "/var/lib/stillfs");
	assert_int_equal(integer(root, "lease_s"), 600);
	assert_int_equal(integer(root, "stall_s"), 21600);
	assert_int_equal(integer(root, "quiet_ns"), 0);
	assert_true(json_is_null(json_object_get(root, "last_good")));
	assert_true(json_is_null(json_object_get(root, "last_committed")));
	assert_int_equal(json_array_size(json_object_get(root, "problems")), 0);
	json_decref(root);
}

/* Without a catalog, its directory is null and the session has no number. */
static void json_no_catalog(void **state)
{
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);
	json_t *root;

	(void) state;
	mount.state_dir = NULL;
	s.number = 0;
	root = parse(&mount);
	assert_keys(root, root_keys);
	assert_true(json_is_null(json_object_get(root, "state_dir")));
	assert_int_equal(
	    integer(json_object_get(root, "session"), "number"), 0);
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
	assert_int_equal(integer(session, "number"), 17);
	assert_true(json_is_null(json_object_get(session, "ended_at")));
	assert_int_equal(integer(session, "files_known"), 0);
	assert_int_equal(integer(session, "log_held_bytes"), 0);
	assert_string_equal(string(session, "pin"), "auto");
	assert_int_equal(integer(session, "n_pinned"), 2);
	assert_true(json_is_false(json_object_get(session, "spool_full")));
	assert_true(json_is_false(json_object_get(session, "covered")));
	assert_true(json_is_false(json_object_get(session, "committing")));
	assert_int_equal(integer(session, "damaged"), 0);
	assert_int_equal(integer(session, "unfrozen"), 0);
	assert_true(json_is_null(json_object_get(session, "error")));
	json_decref(root);

	s.kind = STILL_COPY;
	s.files_known = 2;
	s.log_held_bytes = 777;
	s.log_kept_bytes = 778;
	s.pin = STILL_PIN_MODE_HOLD;
	s.n_pinned = 11;
	s.pin_moves = 12;
	s.let_by = 13;
	s.wal_max_bytes = 14000;
	s.copy_bytes = 15;
	s.copied_bytes = 16;
	s.spool_bytes = 17;
	s.spool_full = true;
	s.freeze = "copy";
	s.pages_compared = 20;
	s.capture_bytes = 18;
	s.captured_bytes = 19;
	s.covered = s.committing = true;
	s.ended_at_ns = INT64_C(1700000002) * STILL_NS_PER_S;
	mount.quiet_ns = 5;
	root = parse(&mount);
	session = json_object_get(root, "session");
	assert_string_equal(string(session, "kind"), "copy");
	assert_string_equal(
	    string(session, "ended_at"), "2023-11-14T22:13:22.000000000Z");
	assert_int_equal(integer(session, "files_known"), 2);
	assert_int_equal(integer(session, "log_held_bytes"), 777);
	assert_int_equal(integer(session, "log_kept_bytes"), 778);
	assert_string_equal(string(session, "pin"), "hold");
	assert_int_equal(integer(session, "n_pinned"), 11);
	assert_int_equal(integer(session, "pin_moves"), 12);
	assert_int_equal(integer(session, "let_by"), 13);
	assert_int_equal(integer(session, "wal_max_bytes"), 14000);
	assert_int_equal(integer(session, "copy_bytes"), 15);
	assert_int_equal(integer(session, "copied_bytes"), 16);
	assert_int_equal(integer(session, "spool_bytes"), 17);
	assert_true(json_is_true(json_object_get(session, "spool_full")));
	assert_int_equal(integer(session, "pages_compared"), 20);
	assert_string_equal(string(session, "freeze"), "copy");
	assert_int_equal(integer(session, "capture_bytes"), 18);
	assert_int_equal(integer(session, "captured_bytes"), 19);
	assert_true(json_is_true(json_object_get(session, "covered")));
	assert_true(json_is_true(json_object_get(session, "committing")));
	assert_int_equal(integer(root, "quiet_ns"), 5);
	json_decref(root);
}

static void json_records(void **state)
{
	struct still_record good = record(16, STILL_COPIED, 60);
	struct still_record committed = record(12, STILL_COMMITTED, 3600);
	struct still_mount_status mount = mount_of(NULL);
	json_t *root;
	json_t *o;

	(void) state;
	committed.kind = STILL_COPY;
	committed.frozen_at_ns = INT64_C(1700000001) * STILL_NS_PER_S;
	committed.committed_at_ns = INT64_C(1700000002) * STILL_NS_PER_S;
	committed.place = (char *) "/\xff";
	good.place = NULL;
	mount.last_good = &good;
	mount.last_committed = &committed;
	root = parse(&mount);
	o = json_object_get(root, "last_good");
	assert_keys(o, record_keys);
	assert_string_equal(string(o, "id"), good.id);
	assert_int_equal(integer(o, "number"), 16);
	assert_string_equal(string(o, "kind"), "full");
	assert_string_equal(string(o, "outcome"), "COPIED");
	assert_int_equal(integer(o, "bytes"), 5120);
	assert_true(json_is_null(json_object_get(o, "committed_at")));
	assert_true(json_is_null(json_object_get(o, "place")));
	o = json_object_get(root, "last_committed");
	assert_string_equal(string(o, "kind"), "copy");
	assert_string_equal(string(o, "outcome"), "COMMITTED");
	assert_string_equal(
	    string(o, "frozen_at"), "2023-11-14T22:13:21.000000000Z");
	assert_string_equal(
	    string(o, "committed_at"), "2023-11-14T22:13:22.000000000Z");
	assert_string_equal(string(o, "encoded_place"), "2fff");
	json_decref(root);
}

static void json_chain(void **state)
{
	struct still_record link = record(12, STILL_COMMITTED, 3600);
	struct still_mount_status mount = mount_of(NULL);
	json_t *root;
	json_t *o;

	(void) state;
	root = parse(&mount);
	assert_true(json_is_null(json_object_get(root, "last_incremental")));
	json_decref(root);
	link.kind = STILL_INCREMENTAL;
	link.forced = link.truncated = true;
	link.link = 3;
	strcpy(link.base, "base");
	strcpy(link.chain, "full");
	link.range = (char *) "1 - 2";
	mount.last_incremental = &link;
	root = parse(&mount);
	o = json_object_get(root, "last_incremental");
	assert_keys(o, record_keys);
	assert_string_equal(string(o, "kind"), "incremental");
	assert_string_equal(string(o, "base"), "base");
	assert_string_equal(string(o, "truncated_range"), "1 - 2");
	assert_true(json_is_true(json_object_get(o, "forced")));
	assert_true(json_is_true(json_object_get(o, "truncated")));
	assert_true(json_is_false(json_object_get(o, "truncated_elsewhere")));
	o = json_object_get(o, "chain");
	assert_string_equal(string(o, "full"), "full");
	assert_int_equal(integer(o, "link"), 3);
	json_decref(root);
}

static void json_totals(void **state)
{
	struct still_mount_status mount = mount_of(NULL);
	json_t *sessions;
	json_t *totals;
	json_t *root;

	(void) state;
	mount.totals.bytes_served = 1;
	mount.totals.bytes_verified = 2;
	mount.totals.damages = 3;
	mount.totals.pin_moves = 6;
	mount.totals.let_by = 7;
	mount.totals.sessions[STILL_COMMITTED] = 4;
	mount.totals.sessions[STILL_ABORTED_PARTIAL] = 5;
	root = parse(&mount);
	totals = json_object_get(root, "totals");
	assert_int_equal(integer(totals, "bytes_served"), 1);
	assert_int_equal(integer(totals, "bytes_verified"), 2);
	assert_int_equal(integer(totals, "damages"), 3);
	assert_int_equal(integer(totals, "pin_moves"), 6);
	assert_int_equal(integer(totals, "let_by"), 7);
	sessions = json_object_get(totals, "sessions");
	/* Each outcome by its own name. */
	assert_int_equal(json_object_size(sessions), STILL_OUTCOME_COUNT - 1);
	assert_int_equal(integer(sessions, "COMMITTED"), 4);
	assert_int_equal(integer(sessions, "ABORTED(partial)"), 5);
	assert_int_equal(integer(sessions, "COPIED"), 0);
	json_decref(root);
}

/* The codes of the problems, each with a blank behind it. */
static void assert_problems(
    const struct still_mount_status *mount, const char *codes)
{
	json_t *root = parse(mount);
	json_t *problems = json_object_get(root, "problems");
	char all[256] = "";
	json_t *problem;
	size_t i;

	json_array_foreach(problems, i, problem)
	{
		assert_int_equal(json_object_size(problem), 3);
		assert_true(*string(problem, "message"));
		assert_non_null(json_object_get(problem, "hint"));
		strcat(all, string(problem, "code"));
		strcat(all, " ");
	}
	assert_string_equal(all, codes);
	json_decref(root);
}

static void json_problems(void **state)
{
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);

	(void) state;
	assert_problems(&mount, "");
	/* More than the databases, and no trifle. */
	s.bytes = UINT64_C(1) << 20;
	s.log_held_bytes = UINT64_C(2) << 20;
	assert_problems(&mount, "");
	s.log_held_bytes = UINT64_C(64) << 20;
	assert_problems(&mount, "log-held ");
	s.bytes = UINT64_C(64) << 20;
	assert_problems(&mount, "");
	s.bytes--;
	/* More than half of what is allowed, whatever the databases have. */
	s.wal_max_bytes = UINT64_C(128) << 20;
	assert_problems(&mount, "log-held ");
	s.log_held_bytes++;
	assert_problems(&mount, "log-limit ");
	s.bytes = UINT64_C(1) << 40;
	assert_problems(&mount, "log-limit ");
	s.pin = STILL_PIN_MODE_HOLD;
	assert_problems(&mount, "log-limit ");
	s.spool_full = true;
	assert_problems(&mount, "log-limit spool-full ");
	s.spool_full = false;
	s.wal_max_bytes = 0;
	assert_problems(&mount, "");
	s.bytes = 0;
	assert_problems(&mount, "log-held ");
	still_error_set(&s.error, STILL_ERR_CORRUPT, 0, NULL, "it is bad");
	assert_problems(&mount, "corrupt log-held ");
	s.state = STILL_ENDED;
	s.outcome = STILL_ABORTED_CORRUPT;
	s.log_held_bytes = 0;
	assert_problems(&mount, "corrupt ");
	still_error_clear(&s.error);
	assert_problems(&mount, "aborted ");
}

/* Which ends need somebody. */
static void json_bad_ends(void **state)
{
	static const bool is_bad[STILL_OUTCOME_COUNT] = {
	    [STILL_ABORTED_PARTIAL] = true,
	    [STILL_ABORTED_CORRUPT] = true,
	    [STILL_ABORTED_INCOMPLETE] = true,
	    [STILL_ABORTED_LOST] = true,
	    [STILL_ABORTED_FORCED] = true,
	    [STILL_ABORTED_FREEZE] = true,
	    [STILL_ABORTED_CRASH] = true,
	    [STILL_ABORTED_UNRECORDED] = true,
	};

	(void) state;
	for (int i = STILL_NO_OUTCOME + 1; i < STILL_OUTCOME_COUNT; i++) {
		struct still_session_status s = {
		    .state = STILL_ENDED,
		    .outcome = (enum still_outcome) i,
		};
		struct still_mount_status mount = mount_of(&s);

		assert_problems(&mount, is_bad[i] ? "aborted " : "");
	}
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
	struct still_instance_info info = mounted_instance;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(json_idle),
	    cmocka_unit_test(json_no_catalog),
	    cmocka_unit_test(json_serving),
	    cmocka_unit_test(json_records),
	    cmocka_unit_test(json_chain),
	    cmocka_unit_test(json_totals),
	    cmocka_unit_test(json_problems),
	    cmocka_unit_test(json_bad_ends),
	    cmocka_unit_test(json_states),
	    cmocka_unit_test(json_error),
	    cmocka_unit_test(json_names_that_are_no_text),
	    cmocka_unit_test(outcomes),
	    cmocka_unit_test(outcome_of_many_files),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
