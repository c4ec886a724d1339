/* SPDX-License-Identifier: MIT */
/*
 * What a mount tells Prometheus. `test_metrics --print` prints a page with
 * hostile names, for somebody else's parser (tests/unit/metrics.sh).
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "still.h"
#include "tests/unit/mounted.h"
#include "tests/unit/scratch.h"

#define LABELS "source=\"/srv/app\",mountpoint=\"/mnt/still\""

static char *page_of(const struct still_mount_status *mount)
{
	size_t len = 0;
	char *text = still_metrics_text(mount, &len);

	assert_non_null(text);
	assert_int_equal(len, strlen(text));
	assert_int_equal(text[len - 1], '\n');
	return text;
}

/* The page has each of these lines, whole. */
static void assert_lines(
    const struct still_mount_status *mount, const char *const *lines)
{
	char *text = page_of(mount);

	for (; *lines; lines++) {
		const char *at = text;
		size_t len = strlen(*lines);

		while ((at = strstr(at, *lines)) != NULL) {
			if ((at == text || at[-1] == '\n') && at[len] == '\n')
				break;
			at++;
		}
		if (!at)
			fail_msg("no line \"%s\" in:\n%s", *lines, text);
	}
	free(text);
}

#define LINES(...)                \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}

/* Before anything happened, each name is there all the same: an alert on a name
 * that is missing never fires. */
static void idle(void **state)
{
	struct still_mount_status mount = mount_of(NULL);

	(void) state;
	assert_lines(&mount,
	    LINES("# TYPE stillfs_build_info gauge",
		"stillfs_build_info{" LABELS ",version=\"" PACKAGE_VERSION
		"\",engine=\"fake\",engine_version=\"1.0\"} 1",
		"stillfs_mounted_timestamp_seconds{" LABELS
		"} 1600000000.000000000",
		"stillfs_databases{" LABELS "} 2",
		"stillfs_problems{" LABELS "} 0",
		"stillfs_last_committed_timestamp_seconds{" LABELS
		"} 0.000000000",
		"stillfs_last_committed_frozen_timestamp_seconds{" LABELS
		"} 0.000000000",
		"stillfs_last_committed_bytes{" LABELS "} 0",
		"stillfs_last_good_timestamp_seconds{" LABELS "} 0.000000000",
		"stillfs_last_good_frozen_timestamp_seconds{" LABELS
		"} 0.000000000",
		"stillfs_last_good_bytes{" LABELS "} 0",
		"stillfs_session_state{" LABELS ",state=\"idle\"} 1",
		"stillfs_session_state{" LABELS ",state=\"preparing\"} 0",
		"stillfs_session_state{" LABELS ",state=\"serving\"} 0",
		"stillfs_session_state{" LABELS ",state=\"ended\"} 0",
		"stillfs_session_number{" LABELS "} 0",
		"stillfs_session_frozen_timestamp_seconds{" LABELS
		"} 0.000000000",
		"stillfs_session_bytes{" LABELS "} 0",
		"stillfs_pin_age_seconds{" LABELS "} 0.000000000",
		"stillfs_pins{" LABELS "} 0",
		"stillfs_log_limit_bytes{" LABELS "} 0",
		"stillfs_spool_full{" LABELS "} 0",
		"stillfs_pin_moves_total{" LABELS "} 0"));
}

static void serving_session(void **state)
{
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);

	(void) state;
	s.files_known = 2;
	s.log_held_bytes = 12345;
	s.log_kept_bytes = 12346;
	s.wal_max_bytes = 14000;
	s.copy_bytes = 15;
	s.copied_bytes = 16;
	s.spool_bytes = 17;
	s.spool_full = true;
	s.capture_bytes = 18;
	s.captured_bytes = 19;
	s.n_unfrozen = 1;
	s.covered = true;
	mount.quiet_ns = 1500000000;
	assert_lines(&mount,
	    LINES("stillfs_databases{" LABELS "} 3",
		"stillfs_session_state{" LABELS ",state=\"idle\"} 0",
		"stillfs_session_state{" LABELS ",state=\"serving\"} 1",
		"stillfs_session_number{" LABELS "} 17",
		"stillfs_session_frozen_timestamp_seconds{" LABELS
		"} 1700000001.005000000",
		"stillfs_session_capture_bytes{" LABELS "} 18",
		"stillfs_session_captured_bytes{" LABELS "} 19",
		"stillfs_session_bytes{" LABELS "} 3145728",
		"stillfs_session_bytes_served{" LABELS "} 1536",
		"stillfs_session_bytes_verified{" LABELS "} 700",
		"stillfs_session_files{" LABELS "} 4",
		"stillfs_session_files_whole{" LABELS "} 1",
		"stillfs_session_files_known{" LABELS "} 2",
		"stillfs_session_covered{" LABELS "} 1",
		"stillfs_session_committing{" LABELS "} 0",
		"stillfs_session_unfrozen_databases{" LABELS "} 1",
		"stillfs_quiet_seconds{" LABELS "} 1.500000000",
		"stillfs_pin_age_seconds{" LABELS "} 90.000000000",
		"stillfs_log_held_bytes{" LABELS "} 12345",
		"stillfs_log_kept_bytes{" LABELS "} 12346",
		"stillfs_pins{" LABELS "} 2",
		"stillfs_log_limit_bytes{" LABELS "} 14000",
		"stillfs_copy_bytes{" LABELS "} 15",
		"stillfs_copied_bytes{" LABELS "} 16",
		"stillfs_spool_bytes{" LABELS "} 17",
		"stillfs_spool_full{" LABELS "} 1"));
	s.spool_full = false;
	assert_lines(&mount, LINES("stillfs_spool_full{" LABELS "} 0"));
	s.log_held_bytes = 0;
	s.covered = false;
	s.committing = true;
	still_error_set(&s.error, STILL_ERR_CORRUPT, 0, NULL, "it is bad");
	assert_lines(&mount,
	    LINES("stillfs_session_covered{" LABELS "} 0",
		"stillfs_session_committing{" LABELS "} 1",
		"stillfs_problems{" LABELS "} 1"));
	still_session_status_clear(&s);
}

static void records(void **state)
{
	struct still_record good = record(16, STILL_COPIED, 60);
	struct still_record committed = record(12, STILL_COMMITTED, 3600);
	struct still_mount_status mount = mount_of(NULL);

	(void) state;
	good.frozen_at_ns = INT64_C(1700000003) * STILL_NS_PER_S;
	good.ended_at_ns = INT64_C(1700000004) * STILL_NS_PER_S + 7;
	committed.frozen_at_ns = INT64_C(1700000001) * STILL_NS_PER_S;
	committed.committed_at_ns = INT64_C(1700000002) * STILL_NS_PER_S;
	committed.bytes = 4;
	mount.last_good = &good;
	committed.link = 2;
	mount.last_committed = &committed;
	mount.last_incremental = &committed;
	assert_lines(&mount,
	    LINES("stillfs_last_committed_timestamp_seconds{" LABELS
		  "} 1700000002.000000000",
		"stillfs_last_committed_frozen_timestamp_seconds{" LABELS
		"} 1700000001.000000000",
		"stillfs_last_committed_bytes{" LABELS "} 4",
		"stillfs_last_committed_link{" LABELS "} 2",
		"stillfs_last_incremental_timestamp_seconds{" LABELS
		"} 1700000002.000000000",
		"stillfs_last_incremental_frozen_timestamp_seconds{" LABELS
		"} 1700000001.000000000",
		"stillfs_last_incremental_bytes{" LABELS "} 4",
		"stillfs_last_good_timestamp_seconds{" LABELS
		"} 1700000004.000000007",
		"stillfs_last_good_frozen_timestamp_seconds{" LABELS
		"} 1700000003.000000000",
		"stillfs_last_good_bytes{" LABELS "} 5120"));
}

static void totals(void **state)
{
	struct still_mount_status mount = mount_of(NULL);

	(void) state;
	mount.totals.bytes_served = UINT64_C(1) << 63;
	mount.totals.bytes_verified = 2;
	mount.totals.damages = 3;
	mount.totals.pin_moves = 6;
	mount.totals.let_by = 7;
	mount.totals.sessions[STILL_COMMITTED] = 4;
	mount.totals.sessions[STILL_ABORTED_LOST] = 5;
	assert_lines(&mount,
	    LINES("# TYPE stillfs_bytes_served_total counter",
		"stillfs_bytes_served_total{" LABELS "} 9223372036854775808",
		"stillfs_bytes_verified_total{" LABELS "} 2",
		"stillfs_bad_pages_total{" LABELS "} 3",
		"# TYPE stillfs_pin_moves_total counter",
		"stillfs_pin_moves_total{" LABELS "} 6",
		"# TYPE stillfs_checkpoints_let_by_total counter",
		"stillfs_checkpoints_let_by_total{" LABELS "} 7",
		"# TYPE stillfs_sessions_total counter",
		"stillfs_sessions_total{" LABELS ",outcome=\"COMMITTED\"} 4",
		"stillfs_sessions_total{" LABELS ",outcome=\"COPIED\"} 0",
		"stillfs_sessions_total{" LABELS
		",outcome=\"ABORTED(pin lost)\"} 5"));
}

/* A mount with names that need everything that the format has. */
static void hostile(struct still_instance_info *info,
    struct still_mount_status *mount, const struct still_session_status *s)
{
	*info = mounted_instance;
	info->source = "/srv/a \"b\"\\c\n{d}\xe4,\xc3\xa4";
	*mount = mount_of(s);
	mount->instance = info;
	mount->mountpoint = "/mnt/\\";
}

static void hostile_names(void **state)
{
	struct still_instance_info info;
	struct still_mount_status mount;

	(void) state;
	hostile(&info, &mount, NULL);
	assert_lines(&mount,
	    LINES("stillfs_databases{source=\"/srv/a \\\"b\\\"\\\\c\\\\x0a{d}"
		  "\\\\xe4,\xc3\xa4\",mountpoint=\"/mnt/\\\\\"} 2"));
}

/* ---- the format ---------------------------------------------------------- */

/* The name at the begin of `text`, which must end with `stop`. */
static size_t name_len(const char *text, const char *stop)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz_");

	if (len == 0 || !strchr(stop, text[len]) || !text[len])
		fail_msg("not a name: %s", text);
	return len;
}

/*
 * Each name has one HELP, then one TYPE, then its samples; none comes twice,
 * none is of a name that was not described, and a counter ends in _total.
 */
static void well_formed(void **state)
{
	struct still_session_status s = serving();
	struct still_mount_status mount = mount_of(&s);
	char *text = page_of(&mount);
	char seen[8192] = " ";
	char name[128] = "";
	bool typed = false;
	unsigned n_samples = 0;
	char *rest = text;
	char *line;

	(void) state;
	while ((line = strsep(&rest, "\n")) != NULL && *line) {
		bool is_help = strncmp(line, "# HELP ", 7) == 0;
		bool is_type = strncmp(line, "# TYPE ", 7) == 0;
		const char *at = is_help || is_type ? line + 7 : line;
		size_t len = name_len(at, is_help || is_type ? " " : "{");

		if (is_help) {
			snprintf(name, sizeof(name), "%.*s ", (int) len, at);
			if (strstr(seen, name))
				fail_msg("twice: %s", name);
			strcat(seen, name);
			typed = false;
			continue;
		}
		if (strncmp(name, at, len) != 0 || name[len] != ' ')
			fail_msg("not below its HELP: %s", line);
		if (is_type) {
			bool is_counter = strcmp(at + len, " counter") == 0;

			assert_false(typed);
			typed = true;
			assert_true(
			    is_counter || strcmp(at + len, " gauge") == 0);
			assert_int_equal(is_counter,
			    strncmp(name + len - 6, "_total", 6) == 0);
			continue;
		}
		assert_true(typed);
		assert_non_null(strstr(line, "} "));
		assert_null(strstr(rest, line));
		n_samples++;
	}
	assert_true(line && !*line && !rest);
	assert_in_range(n_samples, 40, 100);
	free(text);
}

static int print(void)
{
	struct still_session_status s = serving();
	struct still_instance_info info;
	struct still_mount_status mount;
	char *text;

	hostile(&info, &mount, &s);
	mount.totals.sessions[STILL_ABORTED_LOST] = 5;
	text = still_metrics_text(&mount, NULL);
	if (!text || fputs(text, stdout) < 0)
		return EXIT_FAILURE;
	free(text);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(idle),
	    cmocka_unit_test(serving_session),
	    cmocka_unit_test(records),
	    cmocka_unit_test(totals),
	    cmocka_unit_test(hostile_names),
	    cmocka_unit_test(well_formed),
	};

	scratch_watchdog();
	if (argc == 2 && strcmp(argv[1], "--print") == 0)
		return print();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
