/* SPDX-License-Identifier: MIT */
/* What a mount tells people of itself. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "still.h"
#include "tests/unit/mounted.h"
#include "tests/unit/scratch.h"

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

/* None of these is in the text. */
static void assert_no_text(
    const struct still_mount_status *mount, const char *const *lines)
{
	char *text = still_status_text(mount, NULL);

	assert_non_null(text);
	for (; *lines; lines++)
		if (strstr(text, *lines))
			fail_msg("\"%s\" in:\n%s", *lines, text);
	free(text);
}

static void text_idle(void **state)
{
	struct still_instance_info info = mounted_instance;
	struct still_mount_status mount = mount_of(NULL);

	(void) state;
	assert_text(&mount,
	    LINES("state:     idle, no backup is running\n",
		"source:    /srv/app (fake 1.0, 2 databases)\n",
		"last good: none yet\n", "committed: none yet\n",
		"error:     none\n", "next:      copy backup/"));
	assert_no_text(&mount, LINES("session:", "ends:", "pin:", "outcome:"));
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
	    LINES("state:     serving, a backup is running\n",
		"source:    /srv/app (fake 1.0, 3 databases)\n",
		"session:   20231114T221320Z-01234567, full, number 17 of "
		"this source\n",
		"frozen:    2023-11-14T22:13:21.005Z, ",
		" days ago; verified header+logs\n",
		"cut:       one moment, 0.001 ms wide; writers were held off "
		"for at most 0.006 ms\n",
		"pin:       90 seconds old, not moved on yet\n",
		"log held:  0 B; there is no limit\n",
		"progress:  1 of 4 files served whole, 1.5 KiB of 3.0 MiB\n",
		"seal:      not yet asked for\n", "error:     none\n",
		"next:      copy what is left of backup/",
		"`stillctl commit /mnt/still`\n"));
	s.sealing = true;
	assert_text(&mount, LINES("seal:      being made, 700 B checked\n"));
	s.sealing = false;
	s.sealed = true;
	assert_text(&mount, LINES("seal:      ready\n"));
	s.seal_served = true;
	assert_text(&mount,
	    LINES("seal:      served\n", "next:      copy what is left"));
	s.files_whole = s.files;
	s.covered = true;
	assert_text(&mount, LINES("next:      everything was served; if"));
	s.files_whole = 2;
	s.files_known = 2;
	assert_text(&mount,
	    LINES("progress:  2 of 4 files served whole, 2 unchanged since "
		  "the last good session, 1.5 KiB of 3.0 MiB\n",
		"next:      everything was served or has not changed; if"));
	s.committing = true;
	assert_text(&mount,
	    LINES("state:     serving, a backup is being committed\n",
		"verifying: for the commit, 700 B checked\n",
		"next:      wait: what nobody has read"));
	s.number = 0;
	s.kind = STILL_COPY;
	assert_text(
	    &mount, LINES("session:   20231114T221320Z-01234567, copy\n"));
	assert_no_text(&mount, LINES("chain:"));
	s.kind = STILL_INCREMENTAL;
	s.link = 2;
	strcpy(s.base, "link-one");
	strcpy(s.chain, "full-one");
	assert_text(&mount,
	    LINES("session:   20231114T221320Z-01234567, incremental\n",
		"chain:     link 2 of full session full-one; builds on "
		"link-one\n"));
}

/* What the databases bear, and what is done about it. */
static void text_pin(void **state)
{
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);

	(void) state;
	assert_no_text(&mount, LINES("spool:", "log kept:"));
	s.log_kept_bytes = 4096;
	assert_text(&mount,
	    LINES("log kept:  4.0 KiB for incremental sessions; `stillctl "
		  "truncate` releases what none needs\n"));
	s.log_kept_bytes = 0;
	s.pin_age_ns = 300000000;
	s.pin_moves = 1;
	s.let_by = 1;
	s.log_held_bytes = 2048;
	s.wal_max_bytes = UINT64_C(1) << 30;
	assert_text(&mount,
	    LINES("pin:       0.3 s old, moved on 1 time; 1 checkpoint was let "
		  "by\n",
		"log held:  2.0 KiB; the logs may grow by 1.0 GiB for this "
		"session\n"));
	s.pin_age_ns = 9 * STILL_NS_PER_S;
	s.pin_moves = 214;
	s.let_by = 12;
	assert_text(&mount,
	    LINES("pin:       9.0 s old, moved on 214 times; 12 checkpoints "
		  "were let by\n"));
	s.pin = STILL_PIN_MODE_HOLD;
	s.pin_age_ns = INT64_C(3) * 3600 * STILL_NS_PER_S;
	s.pin_moves = s.let_by = 0;
	assert_text(&mount,
	    LINES("pin:       3 hours old, held until the session ends\n"));
	s.n_pinned = 0;
	s.pin_age_ns = 0;
	assert_text(&mount,
	    LINES("pin:       none, nothing is held in the databases\n"));
	assert_no_text(&mount, LINES("log held:"));
}

static void text_spool(void **state)
{
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);

	(void) state;
	s.spool_bytes = 3 * 1024;
	assert_text(&mount, LINES("spool:     3.0 KiB taken\n"));
	s.spool_full = true;
	assert_text(&mount,
	    LINES("spool:     3.0 KiB taken; full: the pin cannot be moved "
		  "on\n",
		"error:     session `20231114T221320Z-01234567`: the spool has "
		"no room for pages that are about to change, so its pin "
		"cannot be moved on\n",
		"hint:      End the session as soon as its copy is made; "));
	s.spool_bytes = 0;
	assert_text(&mount, LINES("spool:     0 B taken; full: "));
	s.spool_full = false;
	s.copy_bytes = UINT64_C(1) << 30;
	s.copied_bytes = UINT64_C(312) << 20;
	assert_text(&mount, LINES("spool:     312.0 MiB of 1.0 GiB copied\n"));
	s.spool_full = true;
	assert_text(&mount,
	    LINES("spool:     312.0 MiB of 1.0 GiB copied; full: the pin is "
		  "only moved on\n",
		"error:     session `20231114T221320Z-01234567`: the spool has "
		"no room for the rest of its copy, 312.0 MiB of 1.0 GiB are "
		"there\n",
		"hint:      The session goes on, and its pin is moved on "));
	s.spool_full = false;
	s.copied_bytes = s.copy_bytes;
	assert_text(&mount,
	    LINES("spool:     1.0 GiB of 1.0 GiB copied, complete\n",
		"error:     none\n"));
}

static void text_preparing(void **state)
{
	struct still_session_status s = {
	    .state = STILL_PREPARING, .id = "20231114T221320Z-01234567"};
	struct still_mount_status mount = mount_of(&s);

	(void) state;
	assert_text(&mount,
	    LINES("state:     preparing, a backup begins\n",
		"next:      wait: the snapshot is being frozen\n"));
	assert_no_text(
	    &mount, LINES("ends:", "progress:", "outcome:", "captured"));
	s.capture_bytes = UINT64_C(2) << 30;
	s.captured_bytes = s.capture_bytes / 10 * 6;
	assert_text(&mount, LINES("preparing: 1.2 GiB of 2.0 GiB captured\n"));
	s = serving();
	s.capture_bytes = s.captured_bytes = 1;
	s.freeze = "clone";
	assert_text(&mount, LINES("captured:  by clone\n"));
	assert_no_text(&mount, LINES("preparing:"));
	s.freeze = NULL;
	assert_no_text(&mount, LINES("captured:"));
}

/* When the session ends though nobody does anything. */
static void text_ends(void **state)
{
	static const struct {
		uint64_t served;
		bool covered;
		int64_t quiet_s;
		const char *text;
	} table[] = {
	    {0, false, 0,
		"ends:      by itself after 600 s without a request (nothing "
		"was read yet); 600 s are left\n"},
	    {1, false, 100,
		"ends:      by itself after 21600 s without a request (it is "
		"partly read); 21500 s are left\n"},
	    {9, true, 599,
		"ends:      by itself after 600 s without a request (all was "
		"served); 1 s are left\n"},
	    {9, true, 700, "; 0 s are left\n"},
	};
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		s.bytes_served = table[i].served;
		s.covered = table[i].covered;
		mount.quiet_ns = table[i].quiet_s * STILL_NS_PER_S;
		assert_text(&mount, LINES(table[i].text));
	}
	s.committing = true;
	assert_no_text(&mount, LINES("ends:"));
	s.committing = false;
	mount.lease_ns = 0;
	assert_no_text(&mount, LINES("ends:"));
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
	assert_no_text(&mount, LINES("error:     none"));
	still_error_set(&s.error, STILL_ERR_LOST, 0, NULL, "it is gone");
	assert_text(&mount,
	    LINES("error:     it is gone\n",
		"next:      wait: the session is lost and ends at once; "));
	s.lost = true;
	assert_no_text(&mount, LINES("ends:"));
	s.log_held_bytes = UINT64_C(1) << 30;
	assert_text(&mount,
	    LINES("error:     it is gone\n",
		"error:     session `20231114T221320Z-01234567`: keeps 1024 "
		"MiB of the application's log",
		"hint:      End the session"));
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
		"next:      mend what the error names, `stillctl abort"));
	/* Damage and loss come first. */
	still_error_set(&s.error, STILL_ERR_CORRUPT, 0, NULL, "it is bad");
	assert_text(&mount,
	    LINES("missing:   1 of 3", "seal:      refused\n",
		"next:      check the live database;"));
	still_session_status_clear(&s);
}

static void text_ended(void **state)
{
	static const struct {
		enum still_outcome outcome;
		const char *outcome_line;
		const char *next;
	} table[] = {
	    {STILL_COMMITTED, "outcome:   COMMITTED; ",
		"next:      nothing: the backup is committed; "},
	    {STILL_COPIED,
		"outcome:   COPIED: served, not known to be stored; ",
		"next:      everything was served, and is not known"},
	    {STILL_ABORTED_UNREAD, "outcome:   ABORTED(unread); ",
		"next:      to begin another session, list backup/ or "
		"`stillctl begin /mnt/still`\n"},
	    {STILL_ABORTED_PARTIAL,
		"outcome:   ABORTED(partial: 1 of 4 files); ",
		"next:      this copy is no backup; copy backup/ again"},
	    {STILL_ABORTED_CORRUPT, "outcome:   ABORTED(corrupt); ",
		"next:      check the live database, and restore it"},
	    {STILL_ABORTED_INCOMPLETE, "outcome:   ABORTED(incomplete); ",
		"next:      mend what the error names"},
	    {STILL_ABORTED_LOST, "outcome:   ABORTED(pin lost); ",
		"next:      see to what the error names; this copy is no "
		"backup: copy backup/ again"},
	    {STILL_ABORTED_FORCED, "outcome:   ABORTED(forced); ",
		"next:      this copy is no backup; copy backup/ again"},
	    {STILL_ABORTED_FREEZE, "outcome:   ABORTED(not frozen); ",
		"next:      mend what the error names"},
	    {STILL_ABORTED_CALLER, "outcome:   ABORTED(by caller); ",
		"next:      to begin another session, "},
	    {STILL_ABORTED_CRASH, "outcome:   ABORTED(crash); ",
		"next:      this copy is no backup; copy backup/ again"},
	    {STILL_ABORTED_UNRECORDED, "outcome:   ABORTED(not recorded); ",
		"next:      make the state directory writable"},
	};
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);

	(void) state;
	assert_int_equal(
	    sizeof(table) / sizeof(table[0]), STILL_OUTCOME_COUNT - 1);
	s.state = STILL_ENDED;
	s.spool_bytes = 3;
	s.ended_at_ns = still_sys_now_ns() - INT64_C(10) * 60 * STILL_NS_PER_S;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		s.outcome = table[i].outcome;
		assert_text(&mount,
		    LINES("state:     ended, no backup is running\n",
			table[i].outcome_line, "Z, 10 minutes ago\n",
			table[i].next));
	}
	assert_no_text(&mount,
	    LINES(
		"ends:", "pin:", "log held:", "spool:", "progress:", "seal:"));
	s.outcome = STILL_ABORTED_FREEZE;
	s.frozen_at_ns = 0;
	still_error_set(&s.error, STILL_ERR_BUSY, 0, "Wait.", "it is locked");
	assert_text(
	    &mount, LINES("error:     it is locked\n", "hint:      Wait.\n"));
	assert_no_text(&mount, LINES("frozen:"));
	still_session_status_clear(&s);
}

static void text_records(void **state)
{
	struct still_record good = record(16, STILL_COPIED, 3 * 3600);
	struct still_record committed = record(12, STILL_COMMITTED, 5 * 86400);
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(NULL);

	(void) state;
	mount.last_good = &good;
	mount.last_committed = &committed;
	assert_text(&mount,
	    LINES("last good: moment of 20",
		"Z, 3 hours ago; 5.0 KiB; 20231110T221320Z-89abcdef, full, "
		"number 16, COPIED\n",
		"           served, not known to be stored: `stillctl commit "
		"/mnt/still` if",
		"committed: moment of 20",
		"Z, 5 days ago; 5.0 KiB; 20231110T221320Z-89abcdef, full, "
		"number 12, COMMITTED\n"));
	/* A later session has begun: too late. */
	mount.session = &s;
	assert_text(&mount, LINES("number 16, COPIED\n"));
	assert_no_text(&mount, LINES("not known to be stored"));
	/* The session of the mount itself. */
	good.number = s.number;
	s.state = STILL_ENDED;
	s.outcome = STILL_COPIED;
	assert_text(&mount,
	    LINES("           served, not known to be stored: `stillctl"));
	/* The same one: said once. */
	mount.last_good = &committed;
	assert_text(&mount, LINES("last good: moment of", "COMMITTED\n"));
	assert_no_text(&mount,
	    LINES("committed:",
		"not known to be stored: "
		"`"));
	committed.kind = STILL_INCREMENTAL;
	committed.link = 2;
	committed.forced = true;
	strcpy(committed.chain, "full-one");
	assert_text(&mount,
	    LINES("incremental, number 12, COMMITTED, link 2 of full-one, "
		  "though damaged\n"));
	mount.last_committed = NULL;
	mount.last_good = &good;
	assert_text(&mount, LINES("committed: none yet\n"));
}

static void text_ages(void **state)
{
	static const struct {
		int64_t age_s;
		const char *text;
	} table[] = {
	    {0, ", 0 seconds ago"},
	    {1, ", 1 second ago"},
	    {119, ", 119 seconds ago"},
	    {120, ", 2 minutes ago"},
	    {7199, ", 119 minutes ago"},
	    {7200, ", 2 hours ago"},
	    {172799, ", 47 hours ago"},
	    {172800, ", 2 days ago"},
	    {-100, ", in the future;"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_record good = record(
		    1, STILL_COMMITTED, table[i].age_s);
		struct still_mount_status mount = mount_of(NULL);

		mount.last_good = &good;
		assert_text(&mount, LINES(table[i].text));
	}
}

/* The advice can be pasted, or at least be read, whatever the path is. */
static void text_strange_mountpoint(void **state)
{
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);

	(void) state;
	mount.mountpoint = "/mnt/my shop\n%s";
	assert_text(
	    &mount, LINES("`stillctl commit \"/mnt/my shop\\x0a%s\"`\n"));
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
	    {UINT64_C(5000) << 40, " of 4.9 PiB\n"},
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
	    cmocka_unit_test(text_idle),
	    cmocka_unit_test(text_preparing),
	    cmocka_unit_test(text_serving),
	    cmocka_unit_test(text_pin),
	    cmocka_unit_test(text_spool),
	    cmocka_unit_test(text_ends),
	    cmocka_unit_test(text_trouble),
	    cmocka_unit_test(text_incomplete),
	    cmocka_unit_test(text_ended),
	    cmocka_unit_test(text_records),
	    cmocka_unit_test(text_ages),
	    cmocka_unit_test(text_strange_mountpoint),
	    cmocka_unit_test(text_sizes),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
