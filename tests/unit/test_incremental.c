/* SPDX-License-Identifier: MIT */
/* Sessions that build on one another: what they build on, what is kept for
 * them, how they are committed, and what a truncation lets go. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "core/instance.h"
#include "core/store.h"
#include "tests/lib/fake_engine.h"
#include "tests/unit/scratch.h"

#define DIR_TIME_S 1000

static const struct still_commit_options truncating = {.truncate = true};
static const struct still_commit_options trial = {
    .truncate = true, .dry_run = true};
static const struct still_commit_options forcing = {.force = true};

struct fixture {
	char *dir;
	struct still_catalog *catalog;
	struct still_instance *instance;
	struct still_events *events;
	struct still_session *session;
	struct still_error err;
};

static struct still_instance *attach(
    const struct still_engine *engine, struct still_catalog *catalog)
{
	struct still_options options = {
	    .freeze_ms = 1000,
	    .stall_ms = 500,
	    .barrier_max = 100,
	    .incremental = true,
	    .catalog = catalog,
	};
	struct still_error err = STILL_ERROR_INIT;
	struct still_instance *instance = NULL;

	if (still_instance_attach_engine(
		engine, "fake:one", &options, &instance, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	return instance;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	still_fake_reset();
	f->dir = scratch_make();
	if (still_catalog_open(
		scratch_path(f->dir, "state"), true, &f->catalog, &f->err) != 0)
		fail_msg("%s", still_error_msg(&f->err));
	/* No power fails here. */
	assert_int_equal(sqlite3_exec(f->catalog->conn,
			     "PRAGMA synchronous=OFF", NULL, NULL, NULL),
	    SQLITE_OK);
	f->instance = attach(&still_engine_fake, f->catalog);
	f->events = still_events_new(NULL, NULL);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	still_error_clear(&f->err);
	still_session_free(f->session);
	still_events_free(f->events);
	still_instance_detach(f->instance);
	still_catalog_close(f->catalog);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

static int try_begin(struct fixture *f, enum still_session_kind kind)
{
	still_session_free(f->session);
	f->session = still_session_new(f->instance, f->events);
	still_error_clear(&f->err);
	return still_session_begin(f->session, kind, DIR_TIME_S, &f->err);
}

static void begin(struct fixture *f, enum still_session_kind kind)
{
	if (try_begin(f, kind) != 0)
		fail_msg("%s", still_error_msg(&f->err));
}

static void refused(struct fixture *f, enum still_session_kind kind, int code,
    const char *words, const char *hint)
{
	assert_int_equal(try_begin(f, kind), code);
	if (!strstr(still_error_msg(&f->err), words))
		fail_msg("\"%s\" does not say \"%s\"", still_error_msg(&f->err),
		    words);
	assert_non_null(f->err.hint);
	if (!strstr(f->err.hint, hint))
		fail_msg("\"%s\" does not say \"%s\"", f->err.hint, hint);
}

static void commit_as(struct fixture *f,
    const struct still_commit_options *options, struct still_truncation *ret)
{
	still_error_clear(&f->err);
	if (still_session_commit(f->session, options, ret, &f->err) != 0)
		fail_msg("%s", still_error_msg(&f->err));
	assert_int_equal(f->err.code, 0);
}

static void take(struct fixture *f, enum still_session_kind kind)
{
	begin(f, kind);
	commit_as(f, NULL, NULL);
}

static void serve_all(struct fixture *f)
{
	const struct still_entry *entries;
	char data[65536];
	uint32_t n;

	assert_int_equal(still_session_seal(f->session, NULL), 0);
	entries = still_session_entries(f->session, &n);
	for (uint32_t i = 0; i < n; i++)
		for (uint64_t off = 0; entries[i].kind == STILL_FILE &&
		     off < entries[i].size_bytes;
		     off += sizeof(data))
			assert_true(still_session_read(f->session, i, off, data,
					sizeof(data), NULL) > 0);
}

static void copy(struct fixture *f, enum still_session_kind kind)
{
	begin(f, kind);
	serve_all(f);
	assert_int_equal(
	    still_session_end(f->session, STILL_END_DONE), STILL_COPIED);
}

static const struct still_session_status *status(struct fixture *f)
{
	static struct still_session_status out;

	still_session_status_clear(&out);
	still_session_status(f->session, &out);
	return &out;
}

static char *id_of(struct fixture *f)
{
	return strdup(status(f)->id);
}

static struct still_record *last_record(struct fixture *f)
{
	struct still_record_filter filter = {.limit = 1};
	struct still_record *record = NULL;
	size_t n = 0;

	assert_int_equal(
	    still_catalog_list(f->catalog, &filter, &record, &n, &f->err), 0);
	return record;
}

static size_t n_records(struct fixture *f)
{
	struct still_record_filter filter = {0};
	struct still_record *record = NULL;
	size_t n = 0;

	assert_int_equal(
	    still_catalog_list(f->catalog, &filter, &record, &n, &f->err), 0);
	still_records_free(record, n);
	return n;
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

/* Of how many sessions sums are kept; `id` (or NULL) is among them. */
static unsigned n_kept(struct fixture *f, const char *id)
{
	DIR *dir = opendir(scratch_path(f->dir, "state/pages"));
	struct dirent *entry;
	bool found = !id;
	unsigned n = 0;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		found |= id && strcmp(entry->d_name, id) == 0;
		n++;
	}
	if (dir)
		closedir(dir);
	assert_true(found);
	return n;
}

/* What the engine got of its base since it was asked last. */
static void sums_were(unsigned right, unsigned missing)
{
	assert_int_equal(still_fake.n_sums_wrong, 0);
	assert_int_equal(still_fake.n_sums_right, right);
	assert_int_equal(still_fake.n_sums_missing, missing);
	still_fake.n_sums_right = still_fake.n_sums_missing = 0;
}

/* ---- what they build on -------------------------------------------------- */

static void nothing_to_build_on(void **state)
{
	struct fixture *f = *state;
	char *id;

	refused(f, STILL_INCREMENTAL, STILL_ERR_BASE,
	    "source `fake:one`: there is no committed full backup to build on",
	    "Make a full backup, and commit it.");
	assert_int_equal(status(f)->outcome, STILL_ABORTED_FREEZE);
	assert_int_equal(status(f)->number, 0);
	/* It was no session. */
	assert_int_equal(n_records(f), 0);
	assert_int_equal(atomic_load(&still_fake.n_freeze), 0);
	take(f, STILL_COPY);
	refused(f, STILL_INCREMENTAL, STILL_ERR_BASE, "no committed full", "");
	copy(f, STILL_FULL);
	id = id_of(f);
	refused(f, STILL_INCREMENTAL, STILL_ERR_BASE, "no committed full", id);
	/* As the hint says: it is still the last one. */
	assert_int_equal(
	    still_catalog_commit(f->catalog, id, NULL, NULL, &f->err), 0);
	begin(f, STILL_INCREMENTAL);
	assert_string_equal(status(f)->base, id);
	assert_string_equal(still_fake.base, id);
	free(id);
}

static void not_of_this_engine(void **state)
{
	struct fixture *f = *state;

	still_instance_detach(f->instance);
	f->instance = attach(&still_engine_fake_plain, f->catalog);
	take(f, STILL_FULL);
	refused(f, STILL_INCREMENTAL, STILL_ERR_UNSUPPORTED,
	    "stillfs has no incremental backups of plain", "full");
	assert_int_equal(n_records(f), 1);
	begin(f, STILL_FULL);
}

static void nobody_remembers(void **state)
{
	struct fixture *f = *state;

	still_instance_detach(f->instance);
	f->instance = attach(&still_engine_fake, NULL);
	take(f, STILL_FULL);
	assert_string_equal(still_fake.base, "");
	refused(f, STILL_INCREMENTAL, STILL_ERR_BASE,
	    "nobody remembers a full backup", "state=");
	begin(f, STILL_FULL);
	assert_int_equal(
	    still_session_commit(f->session, &trial, NULL, &f->err), 0);
}

static void links(void **state)
{
	struct fixture *f = *state;
	char *full;
	char *last;

	take(f, STILL_FULL);
	full = id_of(f);
	assert_string_equal(status(f)->chain, full);
	assert_string_equal(status(f)->base, "");
	assert_int_equal(n_kept(f, full), 1);
	last = strdup(full);
	for (uint32_t i = 1; i < 5; i++) {
		still_fake.own_seed[i % 3]++;
		begin(f, STILL_INCREMENTAL);
		assert_true(still_fake.incremental);
		sums_were(3, 0);
		assert_string_equal(status(f)->base, last);
		assert_string_equal(status(f)->chain, full);
		assert_int_equal(status(f)->link, i);
		commit_as(f, NULL, NULL);
		free(last);
		last = id_of(f);
		/* Those before are not needed any more. */
		assert_int_equal(n_kept(f, last), 1);
	}
	/* A full one is compared with the last link. */
	still_fake.n_databases++;
	still_fake.size_bytes[3] = 777777;
	begin(f, STILL_FULL);
	assert_false(still_fake.incremental);
	assert_string_equal(still_fake.base, last);
	sums_were(3, 0);
	commit_as(f, NULL, NULL);
	begin(f, STILL_INCREMENTAL);
	sums_were(4, 0);
	free(last);
	free(full);
}

/* A new one comes whole, one that is gone is named. */
static void come_and_go(void **state)
{
	struct fixture *f = *state;
	json_t *json;
	char data[8192];
	ssize_t n;

	take(f, STILL_FULL);
	still_fake.n_databases = 5;
	still_fake.size_bytes[3] = 10000;
	still_fake.size_bytes[4] = 0;
	take(f, STILL_INCREMENTAL);
	still_fake.n_databases = 2;
	begin(f, STILL_INCREMENTAL);
	sums_were(3 + 5, 0);
	n = still_session_read(f->session,
	    still_session_find(f->session, 0, "backup.json"), 0, data,
	    sizeof(data), NULL);
	assert_true(n > 0);
	json = json_loadb(data, (size_t) n, 0, NULL);
	assert_int_equal(json_array_size(json_object_get(json, "dropped")), 3);
	assert_int_equal(
	    json_integer_value(json_object_get(json, "number")), 3);
	json_decref(json);
}

/* What an incremental session shows stands nowhere else. */
static void its_own_place(void **state)
{
	struct fixture *f = *state;
	uint64_t inos[3];
	int64_t full_s;

	for (int i = 0; i < 3; i++) {
		const struct still_entry *entries;
		uint32_t n;
		uint32_t at;

		take(f, i == 0 ? STILL_FULL : STILL_INCREMENTAL);
		entries = still_session_entries(f->session, &n);
		at = still_session_find(f->session, 0, "backup.json");
		inos[i] = entries[at].ino;
		if (i == 0)
			full_s = entries[at].time_s;
		assert_int_equal(status(f)->files_known, 0);
		still_fake.seed++;
	}
	assert_true(inos[0] != inos[1]);
	assert_true(inos[1] != inos[2]);
	/* The times of the full one's files are as if there was none. */
	begin(f, STILL_FULL);
	{
		uint32_t n;
		uint32_t at = still_session_find(f->session, 0, "backup.json");

		assert_int_equal(
		    still_session_entries(f->session, &n)[at].time_s,
		    full_s + 1);
	}
}

/* ---- what is kept -------------------------------------------------------- */

static void only_what_is_needed(void **state)
{
	struct fixture *f = *state;
	char *base;

	take(f, STILL_COPY);
	assert_int_equal(n_kept(f, NULL), 0);
	take(f, STILL_FULL);
	base = id_of(f);
	begin(f, STILL_FULL);
	serve_all(f);
	assert_int_equal(n_kept(f, base), 2);
	still_session_end(f->session, STILL_END_ABORT);
	assert_int_equal(n_kept(f, base), 1);
	/* One that may be committed yet. */
	copy(f, STILL_FULL);
	assert_int_equal(n_kept(f, base), 2);
	copy(f, STILL_FULL);
	assert_int_equal(n_kept(f, base), 2);
	begin(f, STILL_INCREMENTAL);
	assert_string_equal(still_fake.base, base);
	sums_were(5 * 3 - 3, 0);
	free(base);
}

/* Died when all is kept and nothing is committed. */
static void crash_between(void **state)
{
	struct fixture *f = *state;
	char *base;
	int wait_status;
	pid_t pid;

	take(f, STILL_FULL);
	base = id_of(f);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct still_catalog *catalog = NULL;

		if (still_catalog_open(scratch_path(f->dir, "state"), false,
			&catalog, NULL) != 0)
			_exit(1);
		f->instance = attach(&still_engine_fake, catalog);
		f->session = NULL;
		still_fake.seed++;
		begin(f, STILL_INCREMENTAL);
		serve_all(f);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &wait_status, 0), pid);
	assert_true(WIFSIGNALED(wait_status));
	assert_int_equal(n_kept(f, base), 2);
	begin(f, STILL_INCREMENTAL);
	assert_string_equal(still_fake.base, base);
	sums_were(3, 0);
	assert_int_equal(n_kept(f, base), 1);
	free(base);
}

static int failing_errno;

static int no_room(enum still_sys_call call)
{
	return call == STILL_SYS_ALLOCATE ? failing_errno : 0;
}

static void full_disk(void **state)
{
	struct fixture *f = *state;

	failing_errno = ENOSPC;
	still_sys_fault = no_room;
	take(f, STILL_FULL);
	still_sys_fault = NULL;
	assert_int_equal(events(f, " no-page-sums "), 1);
	assert_int_equal(n_kept(f, NULL), 0);
	/* That is all that it costs. */
	begin(f, STILL_INCREMENTAL);
	sums_were(0, 3);
	commit_as(f, NULL, NULL);
	begin(f, STILL_INCREMENTAL);
	sums_were(3, 0);
	still_session_end(f->session, STILL_END_ABORT);
	/* What an engine hands over it cannot do without. */
	still_sys_fault = no_room;
	assert_int_equal(try_begin(f, STILL_INCREMENTAL), STILL_ERR_NOSPACE);
	still_sys_fault = NULL;
}

static void without_sums(void **state)
{
	struct fixture *f = *state;

	still_fake.page_bytes = 0;
	take(f, STILL_FULL);
	begin(f, STILL_INCREMENTAL);
	sums_were(0, 3);
}

/* ---- force --------------------------------------------------------------- */

static void damage(int number)
{
	still_fake.fault = (struct still_fake_fault){.number = number,
	    .from_bytes = 5000,
	    .to_bytes = 5001,
	    .code = STILL_ERR_CORRUPT};
}

static void forced(void **state)
{
	struct still_truncation truncation = {0};
	struct still_commit_options both = forcing;
	struct fixture *f = *state;
	struct still_record *record;
	char *id;

	take(f, STILL_FULL);
	damage(0);
	begin(f, STILL_FULL);
	assert_int_equal(still_session_commit(f->session, NULL, NULL, &f->err),
	    STILL_ERR_CORRUPT);
	begin(f, STILL_FULL);
	id = id_of(f);
	both.truncate = true;
	commit_as(f, &both, &truncation);
	assert_int_equal(status(f)->outcome, STILL_COMMITTED);
	assert_true(status(f)->forced);
	assert_int_equal(status(f)->n_damaged, 1);
	/* For its sake nothing goes. */
	assert_int_equal(truncation.error.code, STILL_ERR_BASE);
	assert_int_equal(atomic_load(&still_fake.n_truncate), 0);
	assert_int_equal(events(f, " truncation-failed "), 1);
	still_truncation_clear(&truncation);
	record = last_record(f);
	assert_string_equal(record->id, id);
	assert_true(record->forced);
	assert_false(record->truncated);
	assert_non_null(record->error);
	still_records_free(record, 1);
	/* Full ones are compared with it, as far as it could be read. */
	begin(f, STILL_FULL);
	assert_string_equal(still_fake.base, id);
	assert_int_equal(still_fake.n_sums_missing, 1);
	assert_int_equal(still_fake.n_sums_wrong, 0);
	still_session_end(f->session, STILL_END_ABORT);
	refused(f, STILL_INCREMENTAL, STILL_ERR_BASE,
	    "is damaged, and nothing can build on it", "full backup");
	still_fake.fault.number = -1;
	take(f, STILL_FULL);
	take(f, STILL_INCREMENTAL);
	free(id);
}

/* There is nothing to force. */
static void force_of_what_is_whole(void **state)
{
	struct fixture *f = *state;

	begin(f, STILL_FULL);
	commit_as(f, &forcing, NULL);
	assert_false(status(f)->forced);
	begin(f, STILL_INCREMENTAL);
}

static void never_forced(void **state)
{
	struct fixture *f = *state;

	damage(0);
	begin(f, STILL_FULL);
	assert_int_equal(
	    still_session_seal(f->session, NULL), STILL_ERR_CORRUPT);
	atomic_store(&still_fake.lost, true);
	assert_int_equal(
	    still_session_commit(f->session, &forcing, NULL, &f->err),
	    STILL_ERR_LOST);
	assert_int_equal(status(f)->outcome, STILL_ABORTED_LOST);
	atomic_store(&still_fake.lost, false);
	still_fake.fault.number = -1;
	still_fake.unfrozen = 1;
	begin(f, STILL_FULL);
	assert_int_equal(
	    still_session_commit(f->session, &forcing, NULL, &f->err),
	    STILL_ERR_CORRUPT);
	assert_int_equal(status(f)->outcome, STILL_ABORTED_INCOMPLETE);
	damage(0);
	begin(f, STILL_FULL);
	assert_true(
	    still_session_read(f->session,
		still_session_find(f->session,
		    still_session_find(f->session, 0, "data"), "000.db"),
		4096, (char[4096]){0}, 4096, NULL) < 0);
	assert_int_equal(
	    still_session_commit(f->session, &forcing, NULL, &f->err),
	    STILL_ERR_CORRUPT);
	assert_int_equal(status(f)->outcome, STILL_ABORTED_INCOMPLETE);
}

/* ---- truncation ---------------------------------------------------------- */

static void truncation_is(struct still_truncation *t, const char *range,
    uint64_t bytes, uint32_t sessions)
{
	assert_int_equal(t->error.code, 0);
	assert_string_equal(t->range, range);
	assert_int_equal(t->bytes, bytes);
	assert_int_equal(t->sessions, sessions);
}

static void truncated(void **state)
{
	struct still_truncation t = {0};
	struct fixture *f = *state;
	struct still_record *record;
	char *id;

	take(f, STILL_FULL);
	begin(f, STILL_INCREMENTAL);
	id = id_of(f);
	commit_as(f, &trial, &t);
	truncation_is(&t, "0 - 2", 200, 1);
	assert_true(still_fake.dry_run);
	assert_string_equal(still_fake.base, id);
	assert_int_equal(status(f)->state, STILL_SERVING);
	assert_int_equal(n_kept(f, NULL), 1);
	assert_int_equal(events(f, " truncated "), 0);
	commit_as(f, &truncating, &t);
	truncation_is(&t, "0 - 2", 200, 1);
	assert_false(still_fake.dry_run);
	assert_string_equal(still_fake.base, id);
	assert_int_equal(n_kept(f, id), 1);
	assert_int_equal(events(f, " truncated "), 1);
	assert_int_equal(events(f, "range=\"0 - 2\""), 1);
	record = last_record(f);
	assert_true(record->truncated);
	assert_string_equal(record->range, "0 - 2");
	still_records_free(record, 1);
	/* What is committed is committed. */
	commit_as(f, &truncating, &t);
	truncation_is(&t, "", 0, 0);
	assert_int_equal(atomic_load(&still_fake.n_truncate), 2);
	free(id);
}

static void truncated_afterwards(void **state)
{
	struct still_truncation t = {0};
	struct fixture *f = *state;
	struct still_record *record;

	copy(f, STILL_FULL);
	commit_as(f, &trial, &t);
	truncation_is(&t, "0 - 1", 100, 0);
	assert_int_equal(status(f)->outcome, STILL_COPIED);
	commit_as(f, &truncating, &t);
	truncation_is(&t, "0 - 1", 100, 0);
	assert_int_equal(status(f)->outcome, STILL_COMMITTED);
	assert_int_equal(events(f, " truncated "), 1);
	record = last_record(f);
	assert_true(record->truncated);
	still_records_free(record, 1);
}

/* The commit stands. */
static void truncation_fails(void **state)
{
	struct still_truncation t = {0};
	struct fixture *f = *state;
	struct still_record *record;

	still_fake.truncate_code = STILL_ERR_ACCESS;
	begin(f, STILL_FULL);
	assert_int_equal(still_session_commit(f->session, &trial, &t, &f->err),
	    STILL_ERR_ACCESS);
	assert_int_equal(status(f)->state, STILL_SERVING);
	commit_as(f, &truncating, &t);
	assert_int_equal(t.error.code, STILL_ERR_ACCESS);
	assert_string_equal(t.error.hint, "Tell it otherwise.");
	still_truncation_clear(&t);
	assert_int_equal(status(f)->outcome, STILL_COMMITTED);
	assert_int_equal(events(f, " truncation-failed "), 1);
	assert_int_equal(events(f, " truncated "), 0);
	record = last_record(f);
	assert_int_equal(record->outcome, STILL_COMMITTED);
	assert_false(record->truncated);
	still_records_free(record, 1);
	/* An engine may keep nothing of this source. */
	still_fake.truncate_code = STILL_ERR_UNSUPPORTED;
	begin(f, STILL_FULL);
	commit_as(f, &truncating, &t);
	truncation_is(&t, "", 0, 1);
}

static void by_others(void **state)
{
	static const struct still_commit_options elsewhere = {
	    .elsewhere = true};
	struct fixture *f = *state;
	struct still_record *record;

	for (int i = 0; i < 2; i++) {
		if (i == 0)
			begin(f, STILL_FULL);
		else
			copy(f, STILL_FULL);
		commit_as(f, &elsewhere, NULL);
		assert_true(status(f)->elsewhere);
		assert_int_equal(atomic_load(&still_fake.n_truncate), 0);
		record = last_record(f);
		assert_true(record->elsewhere);
		assert_false(record->truncated);
		still_records_free(record, 1);
	}
}

static void contradictions(void **state)
{
	static const struct still_commit_options bad[] = {
	    {.truncate = true, .elsewhere = true},
	    {.dry_run = true},
	};
	struct fixture *f = *state;

	begin(f, STILL_FULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
		    still_session_commit(f->session, &bad[i], NULL, &f->err),
		    STILL_ERR_INVALID);
	assert_int_equal(status(f)->state, STILL_SERVING);
	commit_as(f, NULL, NULL);
}

/* However sessions end: only ever after a commit that asks for it. */
static void random_endings(void **state)
{
	static const enum still_session_kind kinds[] = {
	    STILL_FULL, STILL_COPY, STILL_INCREMENTAL};
	uint64_t random = scratch_seed();
	struct fixture *f = *state;
	unsigned n_asked = 0;

	take(f, STILL_FULL);
	for (unsigned i = 0; i < 1000; i++) {
		unsigned before = atomic_load(&still_fake.n_truncate);
		bool asks = scratch_below(&random, 2);
		bool went = false;
		int rc;

		still_fake.own_seed[scratch_below(&random, 3)]++;
		still_fake.fault.number = -1;
		atomic_store(&still_fake.lost, false);
		still_fake.freeze_code =
		    scratch_below(&random, 10) ? 0 : STILL_ERR_AGAIN;
		rc = try_begin(f, kinds[scratch_below(&random, 3)]);
		still_fake.freeze_code = 0;
		if (rc == 0 && scratch_below(&random, 8) == 0)
			damage(0);
		if (rc == 0 && scratch_below(&random, 2))
			still_session_seal(f->session, NULL);
		if (rc == 0 && scratch_below(&random, 8) == 0)
			atomic_store(&still_fake.lost, true);
		if (rc == 0 && scratch_below(&random, 5) == 0)
			still_session_cancel(f->session);
		if (rc == 0 && scratch_below(&random, 2)) {
			rc = still_session_commit(
			    f->session, asks ? &truncating : NULL, NULL, NULL);
			went = rc == 0 && asks;
		}
		still_session_end(
		    f->session, (enum still_end) scratch_below(&random, 4));
		assert_int_equal(
		    atomic_load(&still_fake.n_truncate), before + went);
		if (went)
			assert_string_equal(status(f)->kind == STILL_COPY
				? "another"
				: still_fake.base,
			    status(f)->kind == STILL_COPY ? "another"
							  : status(f)->id);
		n_asked += went;
	}
	assert_true(n_asked > 50);
	assert_int_equal(still_fake.n_sums_wrong, 0);
}

/* ---- by source ----------------------------------------------------------- */

static void by_source(void **state)
{
	struct still_truncation t = {0};
	struct still_options options = {0};
	struct fixture *f = *state;

	assert_int_equal(
	    still_truncate("fake:one", &options, false, &t, &f->err),
	    STILL_ERR_INVALID);
	assert_non_null(strstr(still_error_msg(&f->err), "nobody remembers"));
	/* There is nothing of this name for the engines that are built in. */
	options.catalog = f->catalog;
	assert_true(
	    still_truncate("fake:one", &options, false, &t, &f->err) < 0);
	assert_int_equal(n_records(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(nothing_to_build_on),
	    TEST(not_of_this_engine),
	    TEST(nobody_remembers),
	    TEST(links),
	    TEST(come_and_go),
	    TEST(its_own_place),
	    TEST(only_what_is_needed),
	    TEST(crash_between),
	    TEST(full_disk),
	    TEST(without_sums),
	    TEST(forced),
	    TEST(force_of_what_is_whole),
	    TEST(never_forced),
	    TEST(truncated),
	    TEST(truncated_afterwards),
	    TEST(truncation_fails),
	    TEST(by_others),
	    TEST(contradictions),
	    TEST(random_endings),
	    TEST(by_source),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
