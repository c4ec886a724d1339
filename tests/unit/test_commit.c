/* SPDX-License-Identifier: MIT */
/* Sessions with a catalog: verdicts, what is known, one at a time. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "core/instance.h"
#include "tests/lib/fake_engine.h"
#include "tests/unit/scratch.h"

#define DIR_TIME_S 1000

struct fixture {
	char *dir;
	struct still_catalog *catalog;
	struct still_instance *instance;
	struct still_events *events;
	struct still_session *session;
};

static struct still_instance *attach(struct still_catalog *catalog)
{
	struct still_options options = {
	    .freeze_ms = 1000,
	    .stall_ms = 500,
	    .barrier_max = 100,
	    .catalog = catalog,
	};
	struct still_error err = STILL_ERROR_INIT;
	struct still_instance *instance = NULL;

	if (still_instance_attach_engine(
		&still_engine_fake, "fake:one", &options, &instance, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	return instance;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct still_error err = STILL_ERROR_INIT;

	*state = f;
	still_fake_reset();
	f->dir = scratch_make();
	if (still_catalog_open(
		scratch_path(f->dir, "state"), true, &f->catalog, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	f->instance = attach(f->catalog);
	f->events = still_events_new(NULL, NULL);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_session_free(f->session);
	still_events_free(f->events);
	still_instance_detach(f->instance);
	still_catalog_close(f->catalog);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

static void begin(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;

	still_session_free(f->session);
	f->session = still_session_new(f->instance, f->events);
	if (still_session_begin(f->session, STILL_FULL, DIR_TIME_S, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static uint32_t find(struct fixture *f, const char *path)
{
	const struct still_entry *entries;
	uint32_t n;

	entries = still_session_entries(f->session, &n);
	for (uint32_t i = 0; i < n; i++)
		if (strcmp(entries[i].path, path) == 0)
			return i;
	fail_msg("no entry `%s`", path);
	return 0;
}

static int64_t time_of(struct fixture *f, const char *path)
{
	uint32_t n;

	return still_session_entries(f->session, &n)[find(f, path)].time_s;
}

static int serve(struct fixture *f, const char *path)
{
	uint32_t index = find(f, path);
	uint64_t off = 0;
	char data[65536];
	ssize_t n;

	do {
		n = still_session_read(
		    f->session, index, off, data, sizeof(data), NULL);
		off += n > 0 ? (uint64_t) n : 0;
	} while (n > 0);
	return (int) n;
}

static void serve_databases(struct fixture *f)
{
	for (size_t i = 0; i < still_fake.n_databases; i++)
		assert_int_equal(serve(f, still_fake_path(i)), 0);
}

static void serve_the_rest(struct fixture *f)
{
	assert_int_equal(serve(f, "backup.json"), 0);
	assert_int_equal(still_session_seal(f->session, NULL), 0);
	assert_int_equal(serve(f, "verify/XXH128SUMS"), 0);
}

static void ends(struct fixture *f, enum still_outcome want)
{
	assert_int_equal(still_session_end(f->session, STILL_END_DONE), want);
}

static void copy(struct fixture *f)
{
	begin(f);
	serve_databases(f);
	serve_the_rest(f);
	ends(f, STILL_COPIED);
}

/* The last session, as the catalog has it. */
static void recorded(struct fixture *f, enum still_outcome want)
{
	struct still_record_filter filter = {.limit = 1};
	struct still_session_status status;
	struct still_error err = STILL_ERROR_INIT;
	struct still_record *record = NULL;
	size_t n = 0;

	if (still_catalog_list(f->catalog, &filter, &record, &n, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_int_equal(n, 1);
	still_session_status(f->session, &status);
	assert_string_equal(record->id, status.id);
	assert_int_equal(record->outcome, want);
	assert_int_equal(record->number, status.number);
	still_session_status_clear(&status);
	still_records_free(record, n);
}

static unsigned events(struct fixture *f, const char *name)
{
	size_t len;
	char *text = still_events_text(f->events, &len);
	unsigned n = 0;

	for (char *at = text; (at = strstr(at, name)); at++)
		n++;
	free(text);
	return n;
}

static void commit_gives(struct fixture *f, int want, const char *words)
{
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(
	    still_session_commit(f->session, NULL, NULL, &err), want);
	if (want == 0)
		assert_int_equal(err.code, 0);
	else if (!strstr(still_error_msg(&err), words))
		fail_msg(
		    "\"%s\" does not say \"%s\"", still_error_msg(&err), words);
	still_error_clear(&err);
}

/* Another process that has the store to itself, until it is let go. */
struct hog {
	sqlite3 *db;
};

static void hog_begin(struct fixture *f, struct hog *hog)
{
	assert_int_equal(
	    sqlite3_open(scratch_path(f->dir, "state/catalog.db"), &hog->db),
	    SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(hog->db, "BEGIN EXCLUSIVE", NULL, NULL, NULL),
	    SQLITE_OK);
}

static void hog_end(struct hog *hog)
{
	sqlite3_exec(hog->db, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_close(hog->db);
}

/* ---- commit -------------------------------------------------------------- */

static void unread(void **state)
{
	struct fixture *f = *state;
	struct still_session_status status;
	char byte;

	begin(f);
	commit_gives(f, 0, NULL);
	recorded(f, STILL_COMMITTED);
	still_session_status(f->session, &status);
	assert_int_equal(status.state, STILL_ENDED);
	assert_int_equal(status.outcome, STILL_COMMITTED);
	/* All of it was verified, though nobody asked for it. */
	assert_true(status.bytes_hashed > still_fake.size_bytes[0]);
	still_session_status_clear(&status);
	assert_int_equal(atomic_load(&still_fake.n_thaw), 1);
	assert_int_equal(still_session_read(f->session, find(f, "backup.json"),
			     0, &byte, 1, NULL),
	    STILL_ERR_STALE);
	assert_int_equal(events(f, " session-end "), 1);
	/* Twice is once. */
	commit_gives(f, 0, NULL);
	assert_int_equal(events(f, " session-end "), 1);
}

static void after_the_copy(void **state)
{
	struct fixture *f = *state;

	copy(f);
	recorded(f, STILL_COPIED);
	commit_gives(f, 0, NULL);
	recorded(f, STILL_COMMITTED);
	assert_int_equal(events(f, " session-end "), 1);
	assert_int_equal(events(f, " session-committed "), 1);
}

static void nothing_to_commit(void **state)
{
	struct fixture *f = *state;

	f->session = still_session_new(f->instance, f->events);
	commit_gives(f, STILL_ERR_PROTO, "does not serve yet");
	begin(f);
	ends(f, STILL_ABORTED_UNREAD);
	commit_gives(f, STILL_ERR_PROTO, "was not copied whole");
	recorded(f, STILL_ABORTED_UNREAD);
}

static void damaged(void **state)
{
	struct fixture *f = *state;

	still_fake.fault = (struct still_fake_fault){.number = 1,
	    .from_bytes = 0,
	    .to_bytes = 1,
	    .code = STILL_ERR_CORRUPT};
	begin(f);
	assert_int_equal(serve(f, still_fake_path(0)), 0);
	commit_gives(f, STILL_ERR_CORRUPT, "is bad");
	recorded(f, STILL_ABORTED_CORRUPT);
	commit_gives(f, STILL_ERR_PROTO, "was not copied whole");
}

static void left_out(void **state)
{
	struct fixture *f = *state;

	still_fake.unfrozen = 1;
	begin(f);
	commit_gives(f, STILL_ERR_CORRUPT, "");
	recorded(f, STILL_ABORTED_INCOMPLETE);
}

static void lost(void **state)
{
	struct fixture *f = *state;

	begin(f);
	atomic_store(&still_fake.lost, true);
	commit_gives(f, STILL_ERR_LOST, "lost");
	recorded(f, STILL_ABORTED_LOST);
}

static void io_error(void **state)
{
	struct fixture *f = *state;

	still_fake.fault = (struct still_fake_fault){.number = 1,
	    .from_bytes = 0,
	    .to_bytes = 1,
	    .code = STILL_ERR_IO,
	    .sys_errno = 5};
	begin(f);
	commit_gives(f, STILL_ERR_IO, "");
	/* It may pass. */
	still_fake.fault.number = -1;
	assert_int_equal(serve(f, still_fake_path(1)), 0);
	commit_gives(f, 0, NULL);
	recorded(f, STILL_COMMITTED);
}

static void given_up(void **state)
{
	struct fixture *f = *state;

	begin(f);
	still_session_cancel(f->session);
	commit_gives(f, STILL_ERR_CANCELLED, "");
	assert_int_equal(still_session_end(f->session, STILL_END_ABORT),
	    STILL_ABORTED_CALLER);
	recorded(f, STILL_ABORTED_CALLER);
}

/* What is not on record is not said. */
static void not_recorded(void **state)
{
	struct fixture *f = *state;
	struct hog hog;

	begin(f);
	serve_databases(f);
	serve_the_rest(f);
	hog_begin(f, &hog);
	assert_int_not_equal(
	    still_session_commit(f->session, NULL, NULL, NULL), 0);
	/* It goes on, so its client can say it once more. */
	assert_int_equal(serve(f, still_fake_path(0)), 0);
	hog_end(&hog);
	commit_gives(f, 0, NULL);
	recorded(f, STILL_COMMITTED);
}

/* Who is in no hurry waits for the others. */
static void quiet_beside_a_hog(void **state)
{
	struct fixture *f = *state;
	struct hog hog;

	begin(f);
	serve_databases(f);
	serve_the_rest(f);
	hog_begin(f, &hog);
	assert_int_equal(
	    still_session_end(f->session, STILL_END_QUIET), STILL_NO_OUTCOME);
	assert_int_equal(serve(f, still_fake_path(0)), 0);
	assert_int_equal(events(f, " session-end "), 0);
	hog_end(&hog);
	assert_int_equal(
	    still_session_end(f->session, STILL_END_QUIET), STILL_COPIED);
	recorded(f, STILL_COPIED);
	/* There is nothing to lose where nothing was copied. */
	begin(f);
	hog_begin(f, &hog);
	assert_int_equal(still_session_end(f->session, STILL_END_QUIET),
	    STILL_ABORTED_UNREAD);
	hog_end(&hog);
}

static void copied_but_not_recorded(void **state)
{
	struct fixture *f = *state;
	struct hog hog;

	begin(f);
	serve_databases(f);
	serve_the_rest(f);
	hog_begin(f, &hog);
	ends(f, STILL_ABORTED_UNRECORDED);
	hog_end(&hog);
	recorded(f, STILL_ABORTED_CRASH);
	assert_int_equal(events(f, " catalog-failed "), 1);
	assert_int_equal(events(f, " session-end "), 1);
}

static void begin_not_recorded(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	struct hog hog;

	hog_begin(f, &hog);
	f->session = still_session_new(f->instance, f->events);
	assert_int_not_equal(
	    still_session_begin(f->session, STILL_FULL, DIR_TIME_S, &err), 0);
	still_error_clear(&err);
	/* Not before it is on record. */
	assert_int_equal(atomic_load(&still_fake.n_freeze), 0);
	hog_end(&hog);
	begin(f);
}

/* ---- what is known ------------------------------------------------------- */

static void unchanged(void **state)
{
	struct fixture *f = *state;
	struct still_session_status status;
	const char *path = still_fake_path(0);
	char data[64];
	int64_t json_s;
	int64_t data_s;
	int64_t time_s;

	snprintf(data, sizeof(data), "%s", path);
	copy(f);
	time_s = time_of(f, data);
	data_s = time_of(f, "data");
	json_s = time_of(f, "backup.json");
	begin(f);
	assert_int_equal(time_of(f, data), time_s);
	assert_int_equal(time_of(f, "data"), data_s);
	assert_true(time_of(f, "backup.json") > json_s);
	assert_true(time_of(f, "verify/XXH128SUMS") > json_s);
	assert_int_equal(time_of(f, ""), DIR_TIME_S);
	still_session_status(f->session, &status);
	assert_int_equal(status.files_known, still_fake.n_databases);
	assert_int_equal(status.number, 2);
	still_session_status_clear(&status);
	/* A tool that compares times reads these two only. */
	serve_the_rest(f);
	still_session_status(f->session, &status);
	assert_true(status.covered);
	still_session_status_clear(&status);
	ends(f, STILL_COPIED);
	recorded(f, STILL_COPIED);
	/* And one that reads them all the same is as good. */
	copy(f);
}

static void changed(void **state)
{
	struct fixture *f = *state;
	struct still_session_status status;
	char data[64];
	int64_t time_s;

	snprintf(data, sizeof(data), "%s", still_fake_path(0));
	copy(f);
	time_s = time_of(f, data);
	for (int i = 0; i < 3; i++) {
		still_fake.seed++;
		begin(f);
		assert_true(time_of(f, data) > time_s);
		time_s = time_of(f, data);
		still_session_status(f->session, &status);
		assert_int_equal(status.files_known, 0);
		still_session_status_clear(&status);
		serve_the_rest(f);
		ends(f, STILL_ABORTED_PARTIAL);
	}
}

/* A copy that was not made is nothing to go by, but a time that was shown was
 * shown. */
static void aborted_between(void **state)
{
	struct fixture *f = *state;
	struct still_session_status status;
	char data[64];
	int64_t time_s;

	snprintf(data, sizeof(data), "%s", still_fake_path(0));
	begin(f);
	time_s = time_of(f, data);
	ends(f, STILL_ABORTED_UNREAD);
	begin(f);
	assert_int_equal(time_of(f, data), time_s);
	still_session_status(f->session, &status);
	assert_int_equal(status.files_known, 0);
	still_session_status_clear(&status);
	serve_the_rest(f);
	ends(f, STILL_ABORTED_PARTIAL);
}

/* ---- one at a time ------------------------------------------------------- */

static void second_is_busy(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	struct still_session *second;

	begin(f);
	second = still_session_new(f->instance, f->events);
	assert_int_equal(
	    still_session_begin(second, STILL_FULL, DIR_TIME_S, &err),
	    STILL_ERR_BUSY);
	assert_non_null(err.msg);
	still_error_clear(&err);
	still_session_free(second);
	/* The first is none the worse. */
	assert_int_equal(atomic_load(&still_fake.n_freeze), 1);
	assert_int_equal(atomic_load(&still_fake.n_thaw), 0);
	serve_databases(f);
	serve_the_rest(f);
	ends(f, STILL_COPIED);
	begin(f);
}

static void crash(void **state)
{
	struct fixture *f = *state;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		/* A process of its own has a catalog of its own. */
		struct still_catalog *catalog = NULL;

		if (still_catalog_open(scratch_path(f->dir, "state"), false,
			&catalog, NULL) == 0) {
			f->instance = attach(catalog);
			begin(f);
		}
		_exit(f->session ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	copy(f);
	recorded(f, STILL_COPIED);
	{
		struct still_record *records = NULL;
		size_t n = 0;

		assert_int_equal(
		    still_catalog_list(f->catalog,
			&(struct still_record_filter){0}, &records, &n, NULL),
		    0);
		assert_int_equal(n, 2);
		assert_int_equal(records[1].outcome, STILL_ABORTED_CRASH);
		assert_string_equal(records[1].outcome_text, "ABORTED(crash)");
		still_records_free(records, n);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(unread),
	    TEST(after_the_copy),
	    TEST(nothing_to_commit),
	    TEST(damaged),
	    TEST(left_out),
	    TEST(lost),
	    TEST(io_error),
	    TEST(given_up),
	    TEST(not_recorded),
	    TEST(quiet_beside_a_hog),
	    TEST(copied_but_not_recorded),
	    TEST(begin_not_recorded),
	    TEST(unchanged),
	    TEST(changed),
	    TEST(aborted_between),
	    TEST(second_is_busy),
	    TEST(crash),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
