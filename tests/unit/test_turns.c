/* SPDX-License-Identifier: MIT */
/* How sessions of one mount follow one another, without a mount: what a client
 * asked of one must not happen to the next. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/sys.h"
#include "core/instance.h"
#include "fs/state.h"
#include "fs/tree.h"
#include "tests/lib/fake_engine.h"
#include "tests/unit/scratch.h"

struct fixture {
	char *dir;
	struct fs_state state;
};

static const struct still_commit_options plain;

static int setup(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_options options = {
	    .freeze_ms = 1000, .stall_ms = 500, .barrier_max = 100};
	struct fixture *f = calloc(1, sizeof(*f));
	struct fs_state *fs = &f->state;

	*state = f;
	still_fake_reset();
	f->dir = scratch_make();
	fs_state_init(fs);
	if (still_catalog_open(
		scratch_path(f->dir, "state"), true, &fs->catalog, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	options.catalog = fs->catalog;
	if (still_instance_attach_engine(&still_engine_fake, "fake:one",
		&options, &fs->instance, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	still_instance_describe(fs->instance, &fs->info);
	fs->events = still_events_new(NULL, NULL);
	fs->mountpoint = strdup("/mnt/still");
	fs->wake_fd = -1;
	fs->lease_ns = 600 * STILL_NS_PER_S;
	fs->stall_ns = 6000 * STILL_NS_PER_S;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct fs_state *fs = &f->state;

	fs_state_cancel(fs);
	fs_jobs_stop(&fs->jobs);
	fs_state_end(fs, STILL_END_DONE);
	fs_state_release(fs);
	still_instance_detach(fs->instance);
	still_catalog_close(fs->catalog);
	still_events_free(fs->events);
	free(fs->mountpoint);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

struct id {
	char text[STILL_SESSION_ID_BYTES];
};

static struct id shown(struct fs_state *fs)
{
	struct id id;

	fs_state_name(fs, id.text);
	return id;
}

static struct id begin(struct fs_state *fs)
{
	struct still_error err = STILL_ERROR_INIT;

	if (fs_state_begin(fs, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	return shown(fs);
}

static void serve(struct fs_state *fs)
{
	struct fs_shown *at = fs_state_get(fs);
	const struct still_entry *entries;
	char data[65536];
	uint32_t n;

	assert_int_equal(still_session_seal(at->session, NULL), 0);
	entries = still_session_entries(at->session, &n);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t off = 0;
		ssize_t got = 1;

		while (entries[i].kind == STILL_FILE && got > 0) {
			got = still_session_read(
			    at->session, i, off, data, sizeof(data), NULL);
			assert_true(got >= 0);
			off += (uint64_t) got;
		}
	}
	fs_state_put(fs, at);
}

/* It has been quiet for longer than any limit. */
static void expire(struct fs_state *fs)
{
	atomic_store(&fs->last_request_ns,
	    still_sys_monotonic_ns() - 7000 * STILL_NS_PER_S);
	assert_true(fs_state_is_expired(fs));
	assert_int_equal(fs_state_expire(fs, NULL), 0);
}

static struct id copy(struct fs_state *fs)
{
	struct id id = begin(fs);

	serve(fs);
	expire(fs);
	return id;
}

static enum still_state state_of(struct fs_state *fs)
{
	struct fs_shown *at = fs_state_get_any(fs);
	struct still_session_status status;

	still_session_status(at->session, &status);
	still_session_status_clear(&status);
	fs_state_put(fs, at);
	return status.state;
}

static uint64_t start(struct fs_state *fs, enum fs_job_kind kind)
{
	struct still_error err = STILL_ERROR_INIT;
	uint64_t number = 0;

	if (fs_jobs_start(&fs->jobs, kind, 0, NULL, &number, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	return number;
}

/* The result of a job, once it is done. */
static int await(struct fs_state *fs, uint64_t number)
{
	struct fs_job job;

	for (;;) {
		assert_true(fs_jobs_look(&fs->jobs, number, &job));
		still_error_clear(&job.err);
		if (job.state == STILL_JOB_DONE)
			return job.code;
		still_sys_sleep_ns(1000000);
	}
}

/* ---- who was meant --------------------------------------------------------- */

static void commit_of_the_last(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	struct id one = copy(fs);

	assert_string_equal(shown(fs).text, one.text);
	assert_int_equal(await(fs, start(fs, FS_JOB_COMMIT)), 0);
	assert_int_equal(fs->last_served_outcome, STILL_COMMITTED);
	assert_string_equal(fs->last_served_text, "COMMITTED");
	/* Also when somebody has looked in since, and read nothing. */
	begin(fs);
	expire(fs);
	assert_string_equal(fs->last_served, one.text);
	assert_string_equal(fs->last_served_text, "COMMITTED");
}

/* Who asked for a commit of the last session does not get that of the one that
 * began before the job was at work. */
static void commit_comes_late(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	struct still_error err = STILL_ERROR_INIT;
	struct id one = copy(fs);
	struct id two = begin(fs);

	assert_int_equal(
	    fs_state_commit(fs, one.text, &plain, NULL, &err), STILL_ERR_PROTO);
	assert_non_null(strstr(still_error_msg(&err), one.text));
	still_error_clear(&err);
	assert_int_equal(
	    fs_state_commit(fs, "", &plain, NULL, &err), STILL_ERR_PROTO);
	still_error_clear(&err);
	assert_int_equal(state_of(fs), STILL_SERVING);
	assert_int_equal(fs_state_commit(fs, two.text, &plain, NULL, &err), 0);
}

static void abort_comes_late(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	struct still_error err = STILL_ERROR_INIT;
	struct id one = copy(fs);
	struct id two = begin(fs);

	fs_state_give_up(fs, one.text);
	assert_int_equal(fs_state_abort(fs, one.text, &err), STILL_ERR_PROTO);
	still_error_clear(&err);
	assert_int_equal(state_of(fs), STILL_SERVING);
	/* Nor was it told to give up. */
	serve(fs);
	assert_int_equal(fs_state_abort(fs, two.text, &err), 0);
	assert_int_equal(state_of(fs), STILL_ENDED);
}

static void *begin_slowly(void *arg)
{
	struct still_error err = STILL_ERROR_INIT;
	int rc = fs_state_begin(arg, &err);

	still_error_clear(&err);
	return (void *) (intptr_t) rc;
}

/* Given up while it is frozen, and forgotten for the next one meanwhile. */
static void abort_of_a_freeze(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	struct still_error err = STILL_ERROR_INIT;
	pthread_t thread;
	struct id one;
	void *rc;

	still_fake_gate_close(&still_fake.freeze_gate);
	pthread_create(&thread, NULL, begin_slowly, fs);
	still_fake_gate_await(&still_fake.freeze_gate);
	one = shown(fs);
	fs_state_give_up(fs, one.text);
	pthread_join(thread, &rc);
	/* Nothing shuts down. */
	assert_int_equal((intptr_t) rc, STILL_ERR_LOST);
	still_fake_gate_open(&still_fake.freeze_gate);
	begin(fs);
	assert_int_equal(fs_state_abort(fs, one.text, &err), 0);
	assert_int_equal(state_of(fs), STILL_SERVING);
}

/* ---- how long it is waited for ---------------------------------------------- */

static void read_a_byte(struct fs_state *fs)
{
	struct fs_shown *at = fs_state_get(fs);
	char byte;

	assert_int_equal(still_session_read(at->session,
			     still_session_find(at->session, 0, "backup.json"),
			     0, &byte, 1, NULL),
	    1);
	fs_state_put(fs, at);
}

/* Quiet for longer than the lease, and not as long as a slow tool may be. */
static bool ends_by_lease(struct fs_state *fs)
{
	atomic_store(&fs->last_request_ns,
	    still_sys_monotonic_ns() - 700 * STILL_NS_PER_S);
	return fs_state_is_expired(fs);
}

static void quiet(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;

	begin(fs);
	assert_true(ends_by_lease(fs));
	read_a_byte(fs);
	assert_false(ends_by_lease(fs));
	serve(fs);
	assert_true(ends_by_lease(fs));
}

/* ---- a lost session -------------------------------------------------------- */

/* What the daemon does each second. */
static void lose(struct fs_state *fs)
{
	struct fs_shown *at = fs_state_get(fs);

	assert_false(fs_state_is_expired(fs));
	atomic_store(&still_fake.lost, true);
	assert_int_equal(still_session_keep(at->session, NULL), STILL_ERR_LOST);
	fs_state_put(fs, at);
	assert_true(fs_state_is_expired(fs));
}

/* It is over, with its reason, and the next one is whole. */
static void ended_lost(struct fs_state *fs, struct id one)
{
	struct still_record_filter filter = {.id = one.text};
	struct still_record *records = NULL;
	uint32_t epoch = fs_state_epoch(fs);
	struct id two;
	size_t n = 0;
	char *text;

	assert_int_equal(state_of(fs), STILL_ENDED);
	assert_int_equal(fs->totals.sessions[STILL_ABORTED_LOST], 1);
	assert_null(fs_state_get(fs));
	assert_false(fs_state_is_expired(fs));
	assert_int_equal(
	    still_catalog_list(fs->catalog, &filter, &records, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(records->outcome, STILL_ABORTED_LOST);
	assert_string_equal(records->error, "the fake moment was lost");
	assert_string_equal(records->hint, "Begin another session.");
	still_records_free(records, n);
	text = fs_state_live_text(fs, FS_LIVE_STATUS, NULL);
	assert_non_null(strstr(text, "outcome:   ABORTED(pin lost); "));
	assert_non_null(strstr(text, "error:     the fake moment was lost\n"));
	assert_non_null(strstr(text, "hint:      Begin another session.\n"));
	assert_non_null(strstr(text, "next:      see to what the error names"));
	free(text);
	text = still_events_text(fs->events, NULL);
	assert_null(strstr(text, "session-quiet"));
	assert_non_null(strstr(text, " error pin-lost "));
	assert_non_null(strstr(text, "outcome=\"ABORTED(pin lost)\""));
	assert_non_null(strstr(text, "error=\"the fake moment was lost\""));
	free(text);
	/* Its nodes are stale, and a look below backup/ begins nothing. */
	assert_true(epoch > 1);
	assert_false(fs_state_is_fresh(fs));
	atomic_store(&still_fake.lost, false);
	two = begin(fs);
	assert_string_not_equal(two.text, one.text);
	serve(fs);
}

/* At once: without a quiet moment, however much of it was read. */
static void lost_ends_at_once(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	struct id one = begin(fs);

	read_a_byte(fs);
	fs_state_touch(fs);
	lose(fs);
	assert_int_equal(await(fs, start(fs, FS_JOB_EXPIRE)), 0);
	ended_lost(fs, one);
}

static void lost_when_all_is_served(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	struct id one = begin(fs);

	serve(fs);
	fs_state_touch(fs);
	lose(fs);
	assert_int_equal(fs_state_expire(fs, NULL), 0);
	ended_lost(fs, one);
}

static void *seal_slowly(void *arg)
{
	struct still_error err = STILL_ERROR_INIT;
	int rc = fs_state_seal(arg, &err);

	still_error_clear(&err);
	return (void *) (intptr_t) rc;
}

/* Who waits for the list does not keep it. */
static void lost_while_sealing(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	struct id one = begin(fs);
	pthread_t thread;
	uint64_t expire;
	void *rc;

	fs_state_touch(fs);
	still_fake_gate_close(&still_fake.read_gate);
	pthread_create(&thread, NULL, seal_slowly, fs);
	still_fake_gate_await(&still_fake.read_gate);
	lose(fs);
	expire = start(fs, FS_JOB_EXPIRE);
	still_fake_gate_open(&still_fake.read_gate);
	pthread_join(thread, &rc);
	assert_int_equal((intptr_t) rc, STILL_ERR_LOST);
	assert_int_equal(await(fs, expire), 0);
	ended_lost(fs, one);
}

/* A commit under way fails with the reason, and is the end. */
static void lost_in_a_commit(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	struct still_error err = STILL_ERROR_INIT;
	struct id one = begin(fs);
	uint64_t commit;
	uint64_t number;

	fs_state_touch(fs);
	still_fake_gate_close(&still_fake.read_gate);
	commit = start(fs, FS_JOB_COMMIT);
	still_fake_gate_await(&still_fake.read_gate);
	lose(fs);
	assert_int_equal(
	    fs_jobs_start(&fs->jobs, FS_JOB_EXPIRE, 0, NULL, &number, &err),
	    STILL_ERR_BUSY);
	still_error_clear(&err);
	still_fake_gate_open(&still_fake.read_gate);
	assert_int_equal(await(fs, commit), STILL_ERR_LOST);
	ended_lost(fs, one);
}

/* Who asks for a commit when it is over already is told why, too. */
static void lost_before_a_commit(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	struct still_error err = STILL_ERROR_INIT;
	struct id one = begin(fs);

	serve(fs);
	fs_state_touch(fs);
	lose(fs);
	assert_int_equal(fs_state_expire(fs, NULL), 0);
	assert_int_equal(
	    fs_state_commit(fs, one.text, &plain, NULL, &err), STILL_ERR_LOST);
	assert_int_equal(err.code, STILL_ERR_LOST);
	assert_string_equal(still_error_msg(&err), "the fake moment was lost");
	assert_string_equal(err.hint, "Begin another session.");
	still_error_clear(&err);
	ended_lost(fs, one);
}

/* ---- jobs beside one another ----------------------------------------------- */

static void at_work(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	struct still_error err = STILL_ERROR_INIT;
	uint64_t commit;
	uint64_t abort;
	uint64_t number;

	begin(fs);
	still_fake_gate_close(&still_fake.read_gate);
	commit = start(fs, FS_JOB_COMMIT);
	still_fake_gate_await(&still_fake.read_gate);
	assert_int_equal(start(fs, FS_JOB_COMMIT), commit);
	assert_int_equal(
	    fs_jobs_start(&fs->jobs, FS_JOB_BEGIN, 0, NULL, &number, &err),
	    STILL_ERR_BUSY);
	still_error_clear(&err);
	abort = start(fs, FS_JOB_ABORT);
	assert_int_not_equal(abort, commit);
	assert_int_equal(start(fs, FS_JOB_ABORT), abort);
	assert_int_equal(start(fs, FS_JOB_COMMIT), commit);
	still_fake_gate_open(&still_fake.read_gate);
	assert_int_equal(await(fs, abort), 0);
	assert_int_equal(await(fs, commit), STILL_ERR_CANCELLED);
	assert_int_equal(fs->totals.sessions[STILL_ABORTED_CALLER], 1);
}

/* The end of a quiet session is in nobody's way. */
static void beside_the_lease(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	struct id one = begin(fs);
	uint64_t commit;
	struct fs_job job;

	serve(fs);
	atomic_store(&fs->last_request_ns,
	    still_sys_monotonic_ns() - 7000 * STILL_NS_PER_S);
	/* So that both are asked for before the first can work. */
	pthread_mutex_lock(&fs->turn);
	start(fs, FS_JOB_EXPIRE);
	commit = start(fs, FS_JOB_COMMIT);
	assert_int_equal(start(fs, FS_JOB_COMMIT), commit);
	pthread_mutex_unlock(&fs->turn);
	assert_int_equal(await(fs, commit), 0);
	assert_true(fs_jobs_look(&fs->jobs, commit, &job));
	assert_string_equal(job.session, one.text);
	assert_int_equal(fs->totals.sessions[STILL_COPIED], 1);
	assert_int_equal(fs->last_served_outcome, STILL_COMMITTED);
}

/* ---- what is told meanwhile ------------------------------------------------ */

static void *look_on(void *arg)
{
	struct fs_state *fs = arg;
	size_t len;

	while (atomic_load(&still_fake.n_thaw) < 20)
		free(fs_state_live_text(fs, FS_LIVE_STATUS, &len));
	return NULL;
}

/* For ThreadSanitizer: a session comes and goes under who reads its status. */
static void looked_at(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	pthread_t thread;

	pthread_create(&thread, NULL, look_on, fs);
	for (int i = 0; i < 20; i++) {
		begin(fs);
		expire(fs);
	}
	pthread_join(thread, NULL);
}

/* ---- what is counted ------------------------------------------------------- */

static void failed_begin(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	struct still_error err = STILL_ERROR_INIT;

	still_fake.freeze_code = STILL_ERR_AGAIN;
	assert_int_equal(fs_state_begin(fs, &err), STILL_ERR_AGAIN);
	still_error_clear(&err);
	assert_int_equal(fs->totals.sessions[STILL_ABORTED_FREEZE], 1);
	assert_true(fs_state_is_fresh(fs));
}

static void nothing_begins_at_the_end(void **state)
{
	struct fs_state *fs = &((struct fixture *) *state)->state;
	struct still_error err = STILL_ERROR_INIT;

	fs_state_cancel(fs);
	assert_int_equal(fs_state_begin(fs, &err), STILL_ERR_CANCELLED);
	still_error_clear(&err);
	assert_string_equal(shown(fs).text, "");
	assert_int_equal(atomic_load(&still_fake.n_freeze), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		commit_of_the_last, setup, teardown),
	    cmocka_unit_test_setup_teardown(commit_comes_late, setup, teardown),
	    cmocka_unit_test_setup_teardown(abort_comes_late, setup, teardown),
	    cmocka_unit_test_setup_teardown(abort_of_a_freeze, setup, teardown),
	    cmocka_unit_test_setup_teardown(quiet, setup, teardown),
	    cmocka_unit_test_setup_teardown(lost_ends_at_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		lost_when_all_is_served, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		lost_while_sealing, setup, teardown),
	    cmocka_unit_test_setup_teardown(lost_in_a_commit, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		lost_before_a_commit, setup, teardown),
	    cmocka_unit_test_setup_teardown(at_work, setup, teardown),
	    cmocka_unit_test_setup_teardown(beside_the_lease, setup, teardown),
	    cmocka_unit_test_setup_teardown(looked_at, setup, teardown),
	    cmocka_unit_test_setup_teardown(failed_begin, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		nothing_begins_at_the_end, setup, teardown),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
