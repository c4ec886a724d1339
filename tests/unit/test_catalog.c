/* SPDX-License-Identifier: MIT */
/* The catalog: which state directories and stores it takes, the life of a
 * session in it, and what can be asked of it. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "core/store.h"
#include "tests/lib/chronicle.h"
#include "tests/unit/scratch.h"

#define SOURCE "/srv/shop"
#define BUSY_MS 1000

struct fixture {
	char *dir;
	char *path; /* of the state directory */
	unsigned n_fds;
	struct still_catalog *catalog;
	struct chronicle c;
};

static const struct chronicle_file files[] = {
    {"data/a.db", "1", 10},
    {"data/b.db", "1", 20},
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->path = strdup(scratch_path(f->dir, "state"));
	f->n_fds = scratch_count_fds();
	chronicle_init(&f->c, NULL);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	umask(022);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	chronicle_release(&f->c);
	still_catalog_close(f->catalog);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	umount2(f->path, MNT_DETACH);
	chmod(f->path, 0700);
	scratch_remove(f->dir);
	free(f->path);
	free(f);
	return 0;
}

/* Root takes on another name until the test ends. */
static void be_a_user(struct fixture *f)
{
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(f->dir, 65534, 65534), 0);
	assert_int_equal(seteuid(65534), 0);
}

/* ---- steps --------------------------------------------------------------- */

static void open_as(struct fixture *f, const char *path, bool create)
{
	struct still_error err = STILL_ERROR_INIT;

	still_catalog_close(f->catalog);
	f->catalog = NULL;
	if (still_catalog_open(path, create, &f->catalog, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	f->c.catalog = f->catalog;
}

static void open_new(struct fixture *f)
{
	open_as(f, f->path, true);
}

static void close_it(struct fixture *f)
{
	still_catalog_close(f->catalog);
	f->catalog = NULL;
}

/* `words` is what the message ends with. */
static void refused_as(struct fixture *f, const char *path, bool create,
    int code, const char *words)
{
	struct still_catalog *catalog = NULL;
	struct still_error err = STILL_ERROR_INIT;
	const char *msg;
	size_t n = strlen(words);

	assert_int_equal(
	    still_catalog_open(path, create, &catalog, &err), code);
	msg = still_error_msg(&err);
	if (strlen(msg) < n || strcmp(msg + strlen(msg) - n, words) != 0)
		fail_msg("`%s` does not end with `%s`", msg, words);
	if (path)
		assert_non_null(strstr(msg, path));
	assert_non_null(err.hint);
	assert_null(catalog);
	still_error_clear(&err);
	assert_int_equal(scratch_count_fds(), f->n_fds);
}

static void refused(struct fixture *f, int code, const char *words)
{
	refused_as(f, f->path, true, code, words);
	refused_as(f, f->path, false, code, words);
}

static void good(struct fixture *f, int rc)
{
	if (rc != 0)
		fail_msg("%s", still_error_msg(&f->c.err));
}

static void failed_as(struct fixture *f, int rc, int code, const char *words)
{
	assert_int_equal(rc, code);
	assert_string_equal(still_error_msg(&f->c.err), words);
	still_error_clear(&f->c.err);
}

static void whole(
    struct fixture *f, const char *id, enum still_outcome outcome, int64_t at_s)
{
	good(f, chronicle_whole(&f->c, SOURCE, id, files, 2, outcome, at_s));
}

/* By SQLite itself, without the catalog. */
static void run_sql(struct fixture *f, const char *sql)
{
	sqlite3 *conn = NULL;
	char *msg = NULL;

	assert_int_equal(
	    sqlite3_open(scratch_path(f->path, "catalog.db"), &conn),
	    SQLITE_OK);
	if (sqlite3_exec(conn, sql, NULL, NULL, &msg) != SQLITE_OK)
		fail_msg("%s", msg);
	sqlite3_close(conn);
}

static int64_t count(struct fixture *f, const char *sql)
{
	sqlite3 *conn = NULL;
	sqlite3_stmt *stmt = NULL;
	int64_t n;

	assert_int_equal(
	    sqlite3_open(scratch_path(f->path, "catalog.db"), &conn),
	    SQLITE_OK);
	assert_int_equal(
	    sqlite3_prepare_v2(conn, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(conn);
	return n;
}

static uint32_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* ---- the state directory ------------------------------------------------- */

static void made(void **state)
{
	struct fixture *f = *state;
	char *deep = strdup(scratch_path(f->dir, "some/where/state"));

	umask(0);
	open_as(f, deep, true);
	assert_string_equal(still_catalog_dir(f->catalog), deep);
	assert_int_equal(mode_of(scratch_path(f->dir, "some")), 0700);
	assert_int_equal(mode_of(scratch_path(f->dir, "some/where")), 0700);
	assert_int_equal(mode_of(deep), 0700);
	assert_int_equal(mode_of(scratch_path(deep, "locks")), 0700);
	assert_int_equal(mode_of(scratch_path(deep, "catalog.db")), 0600);
	/* A second time, by another name. */
	assert_int_equal(
	    symlink("some/where/state", scratch_path(f->dir, "link")), 0);
	open_as(f, scratch_path(f->dir, "link"), true);
	assert_string_equal(still_catalog_dir(f->catalog), deep);
	/* Two at a time. */
	{
		struct still_catalog *other = NULL;

		assert_int_equal(
		    still_catalog_open(
			scratch_path(f->dir, "link"), false, &other, NULL),
		    0);
		still_catalog_close(other);
	}
	free(deep);
}

static void not_made(void **state)
{
	struct fixture *f = *state;

	refused_as(
	    f, f->path, false, STILL_ERR_NOTFOUND, "No such file or directory");
	assert_int_equal(access(f->path, F_OK), -1);
	assert_int_equal(mkdir(f->path, 0700), 0);
	refused_as(
	    f, f->path, false, STILL_ERR_NOTFOUND, "No such file or directory");
	/* Nothing is in it. */
	assert_int_equal(rmdir(f->path), 0);
	/* Of whoever died while he made it. */
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(
	    scratch_write(scratch_path(f->path, "catalog.db"), "", 0), 0);
	refused_as(
	    f, f->path, false, STILL_ERR_NOTFOUND, "No such file or directory");
	open_new(f);
}

static void open_to_others(void **state)
{
	static const uint32_t modes[] = {
	    0701, 0702, 0704, 0710, 0720, 0740, 0755, 0777, 01777};
	struct fixture *f = *state;
	char words[64];

	assert_int_equal(mkdir(f->path, 0700), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(f->path, modes[i]), 0);
		snprintf(words, sizeof(words), "is open to others (mode %04o)",
		    modes[i]);
		refused(f, STILL_ERR_INVALID, words);
		assert_int_equal(
		    access(scratch_path(f->path, "locks"), F_OK), -1);
	}
	assert_int_equal(chmod(f->path, 0700), 0);
	open_new(f);
}

static void somebody_elses(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(chown(f->path, 65534, 65534), 0);
	refused(
	    f, STILL_ERR_ACCESS, "belongs to user 65534, and this is user 0");
}

static void in_the_way(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(scratch_write(f->path, "", 0), 0);
	refused(f, STILL_ERR_INVALID, "not a directory");
	refused_as(f, scratch_path(f->path, "below"), true, STILL_ERR_INVALID,
	    "not a directory");
	assert_int_equal(unlink(f->path), 0);

	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(scratch_write(scratch_path(f->dir, "real"), "", 0), 0);
	assert_int_equal(symlink(scratch_path(f->dir, "real"),
			     scratch_path(f->path, "catalog.db")),
	    0);
	refused(f, STILL_ERR_INVALID, "is no file");
	assert_int_equal(unlink(scratch_path(f->path, "catalog.db")), 0);
	assert_int_equal(mkfifo(scratch_path(f->path, "catalog.db"), 0600), 0);
	refused(f, STILL_ERR_INVALID, "is no file");
	assert_int_equal(unlink(scratch_path(f->path, "catalog.db")), 0);
	assert_int_equal(rmdir(scratch_path(f->path, "locks")), 0);
	assert_int_equal(
	    scratch_write(scratch_path(f->path, "locks"), "", 0), 0);
	refused_as(f, f->path, true, STILL_ERR_NOTFOUND, "Not a directory");
}

static void no_way_in(void **state)
{
	struct fixture *f = *state;

	be_a_user(f);
	assert_int_equal(mkdir(f->path, 0500), 0);
	refused_as(f, scratch_path(f->path, "below"), true, STILL_ERR_ACCESS,
	    "Permission denied");
	refused_as(f, f->path, true, STILL_ERR_ACCESS, "Permission denied");
}

static void by_default(void **state)
{
	struct fixture *f = *state;

	/* Root's is no test's to write to. */
	be_a_user(f);
	setenv("XDG_STATE_HOME", scratch_path(f->dir, "xdg"), 1);
	setenv("HOME", scratch_path(f->dir, "home"), 1);
	open_as(f, NULL, true);
	assert_string_equal(
	    still_catalog_dir(f->catalog), scratch_path(f->dir, "xdg/stillfs"));
	/* One that is no path counts as none. */
	setenv("XDG_STATE_HOME", "relative", 1);
	open_as(f, NULL, true);
	assert_string_equal(still_catalog_dir(f->catalog),
	    scratch_path(f->dir, "home/.local/state/stillfs"));
	unsetenv("XDG_STATE_HOME");
	open_as(f, NULL, false);
	assert_string_equal(still_catalog_dir(f->catalog),
	    scratch_path(f->dir, "home/.local/state/stillfs"));
	close_it(f);
	/* Another user's, as mount(8) leaves it: that of the password file. */
	setenv("HOME", "/", 1);
	if (geteuid() == 65534)
		refused_as(f, NULL, true, STILL_ERR_ACCESS,
		    "/nonexistent/.local/state/stillfs`: Permission denied");
	unsetenv("HOME");
	refused_as(f, NULL, true, STILL_ERR_INVALID,
	    "there is no home directory to have it in");
}

static void sources(void **state)
{
	static const struct {
		const char *source; /* below the scratch directory */
		const char *words;  /* NULL: taken */
	} table[] = {
	    {"", "holds the state directory"},
	    {"/some", "holds the state directory"},
	    {"/some/state", "lies in the state directory"},
	    {"/some/state/a", "lies in the state directory"},
	    {"/some/state2", NULL},
	    {"/some/stat", NULL},
	    {"/other", NULL},
	};
	struct fixture *f = *state;

	open_as(f, scratch_path(f->dir, "some/state"), true);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_error err = STILL_ERROR_INIT;
		char source[PATH_MAX];
		int rc;

		snprintf(
		    source, sizeof(source), "%s%s", f->dir, table[i].source);
		rc = still_catalog_check_source(f->catalog, source, &err);
		assert_int_equal(rc, table[i].words ? STILL_ERR_INVALID : 0);
		if (table[i].words)
			assert_non_null(
			    strstr(still_error_msg(&err), table[i].words));
		still_error_clear(&err);
	}
	assert_int_equal(still_catalog_check_source(f->catalog, "/", NULL),
	    STILL_ERR_INVALID);
}

/* ---- the store ----------------------------------------------------------- */

static void newer(void **state)
{
	struct fixture *f = *state;

	open_new(f);
	close_it(f);
	run_sql(f, "PRAGMA user_version=3");
	refused(f, STILL_ERR_UNSUPPORTED,
	    "was written by a newer stillfs (format 3)");
	run_sql(f, "PRAGMA user_version=2");
	open_new(f);
}

static void make_another(struct fixture *f)
{
	run_sql(f, "PRAGMA application_id=0; PRAGMA user_version=0");
}

static void make_older(struct fixture *f)
{
	run_sql(f, "PRAGMA user_version=0");
}

static void make_garbage(struct fixture *f)
{
	char data[8192];

	memset(data, 'x', sizeof(data));
	assert_int_equal(scratch_write(scratch_path(f->path, "catalog.db"),
			     data, sizeof(data)),
	    0);
}

static void make_shorter(struct fixture *f)
{
	assert_int_equal(
	    truncate(scratch_path(f->path, "catalog.db"), 5000), 0);
}

static void make_tableless(struct fixture *f)
{
	run_sql(f, "DROP TABLE path");
}

/* What is no catalog is not taken for one, and not overwritten. */
static void damaged(void **state)
{
	static const struct {
		const char *name;
		void (*damage)(struct fixture *f);
		const char *words;
	} table[] = {
	    {"another", make_another,
		"is a database, but no catalog of stillfs"},
	    {"older", make_older, "has a format that never was"},
	    {"garbage", make_garbage, "file is not a database"},
	    {"shorter", make_shorter, "database disk image is malformed"},
	    {"tableless", make_tableless, "no such table: path"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		print_message("%s\n", table[i].name);
		open_new(f);
		close_it(f);
		table[i].damage(f);
		refused(f, STILL_ERR_CORRUPT, table[i].words);
		/* As the hint says. */
		assert_int_equal(rename(scratch_path(f->path, "catalog.db"),
				     scratch_path(f->path, "away")),
		    0);
	}
}

/* What we never wrote. */
static void odd_rows(void **state)
{
	static const char *const changes[] = {
	    "UPDATE session SET outcome=99",
	    "UPDATE session SET outcome=-1",
	    "UPDATE session SET state='x'",
	    "UPDATE session SET kind=''",
	    "ALTER TABLE session DROP COLUMN verified",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct still_record_filter all = {0};
		struct still_record *records = NULL;
		size_t n = 0;

		open_new(f);
		whole(f, "id", STILL_COPIED, 1000);
		run_sql(f, changes[i]);
		assert_int_equal(still_catalog_list(
				     f->catalog, &all, &records, &n, &f->c.err),
		    STILL_ERR_CORRUPT);
		still_error_clear(&f->c.err);
		close_it(f);
		assert_int_equal(
		    unlink(scratch_path(f->path, "catalog.db")), 0);
	}
}

/* Its owner's last word is a rollback journal. */
static void not_wal(void **state)
{
	struct fixture *f = *state;

	open_new(f);
	whole(f, "id", STILL_COPIED, 1000);
	close_it(f);
	run_sql(f, "PRAGMA journal_mode=WAL");
	open_new(f);
	whole(f, "id2", STILL_COPIED, 1000);
	assert_int_equal(
	    access(scratch_path(f->path, "catalog.db-wal"), F_OK), -1);
	assert_int_equal(count(f, "PRAGMA user_version"), 2);
}

static void list_is(struct fixture *f, const char *id, const char *text)
{
	struct still_record *record = NULL;

	assert_true(chronicle_record(f->catalog, id, &record));
	assert_string_equal(record->outcome_text, text);
	still_records_free(record, 1);
}

/* What would be written, nobody would find. */
static void taken_away(void **state)
{
	struct fixture *f = *state;
	char words[PATH_MAX + 80];

	open_new(f);
	good(f, chronicle_begin(&f->c, SOURCE, "id", NULL, 1000));
	chronicle_build(&f->c, files, 2);
	assert_int_equal(unlink(scratch_path(f->path, "catalog.db")), 0);
	snprintf(words, sizeof(words),
	    "catalog `%s/catalog.db`: was moved, removed or replaced while it "
	    "was open",
	    f->path);
	failed_as(f, chronicle_frozen(&f->c, 1000), STILL_ERR_IO, words);
	assert_int_equal(access(scratch_path(f->path, "catalog.db"), F_OK), -1);
}

/* Who may only read can look. */
static void read_only(void **state)
{
	struct fixture *f = *state;
	struct still_lock lock = STILL_LOCK_INIT;

	be_a_user(f);
	open_new(f);
	whole(f, "id", STILL_COPIED, 1000);
	close_it(f);
	assert_int_equal(chmod(scratch_path(f->path, "catalog.db"), 0400), 0);
	assert_int_equal(chmod(f->path, 0500), 0);
	open_as(f, f->path, false);
	list_is(f, "id", "COPIED");
	assert_int_equal(still_catalog_lock(f->catalog, "fake", "/new", "id",
			     NULL, &lock, &f->c.err),
	    STILL_ERR_ACCESS);
	assert_non_null(strstr(f->c.err.hint, "state="));
	still_error_clear(&f->c.err);
}

static void read_only_mount(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(f->path, 0700), 0);
	if (mount("state", f->path, "tmpfs", 0, "size=1m,mode=700") != 0)
		skip();
	open_new(f);
	whole(f, "id", STILL_COPIED, 1000);
	close_it(f);
	assert_int_equal(
	    mount("state", f->path, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
	open_as(f, f->path, false);
	list_is(f, "id", "COPIED");
}

/* Whoever looks first rolls back what a process left half done. */
static void hot_journal(void **state)
{
	struct fixture *f = *state;
	int status = 0;
	pid_t pid;

	open_new(f);
	whole(f, "id", STILL_COPIED, 1000);
	close_it(f);
	pid = fork();
	if (pid == 0) {
		sqlite3 *conn = NULL;

		sqlite3_open(scratch_path(f->path, "catalog.db"), &conn);
		/* So that it writes into the file before it commits. */
		sqlite3_exec(conn,
		    "PRAGMA cache_size=1; BEGIN;"
		    "UPDATE session SET outcome_text='LIES';"
		    "CREATE TABLE big(a);"
		    "INSERT INTO big WITH n(i) AS (SELECT 1 UNION ALL"
		    " SELECT i+1 FROM n WHERE i<500)"
		    " SELECT randomblob(1000) FROM n",
		    NULL, NULL, NULL);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(
	    access(scratch_path(f->path, "catalog.db-journal"), F_OK), 0);
	open_as(f, f->path, false);
	list_is(f, "id", "COPIED");
	assert_int_equal(
	    access(scratch_path(f->path, "catalog.db-journal"), F_OK), -1);
}

/* ---- the life of a session ----------------------------------------------- */

static void life(void **state)
{
	struct fixture *f = *state;
	struct still_session_status status = {
	    .outcome = STILL_ABORTED_PARTIAL,
	    .ended_at_ns = 3333,
	    .files = 4,
	    .files_whole = 2,
	    .files_known = 1,
	    .bytes_served = 77,
	    .n_damaged = 5,
	};
	struct still_record *r = NULL;

	open_new(f);
	good(f, chronicle_begin(&f->c, SOURCE, "id", "/mnt/a", 1000));
	assert_int_equal(f->c.number, 1);
	assert_true(chronicle_record(f->catalog, "id", &r));
	assert_string_equal(r->id, "id");
	assert_int_equal(r->number, 1);
	assert_int_equal(r->kind, STILL_FULL);
	assert_string_equal(r->source, SOURCE);
	assert_string_equal(r->engine, "fake");
	assert_string_equal(r->place, "/mnt/a");
	assert_int_equal(r->state, STILL_PREPARING);
	assert_int_equal(r->outcome, STILL_NO_OUTCOME);
	assert_string_equal(r->outcome_text, "none");
	assert_int_equal(r->begun_at_ns, 1000 * STILL_NS_PER_S);
	assert_int_equal(r->frozen_at_ns, 0);
	assert_int_equal(r->ended_at_ns, 0);
	assert_int_equal(r->committed_at_ns, 0);
	assert_null(r->verified);
	assert_null(r->error);
	still_records_free(r, 1);

	chronicle_build(&f->c, files, 2);
	good(f, chronicle_stamp(&f->c, 2000));
	good(f, chronicle_frozen(&f->c, 2000));
	assert_true(chronicle_record(f->catalog, "id", &r));
	assert_int_equal(r->state, STILL_SERVING);
	assert_int_equal(r->frozen_at_ns, 2000 * STILL_NS_PER_S);
	assert_string_equal(r->verified, "header+logs");
	assert_int_equal(r->databases, 2);
	assert_int_equal(r->files, 4);
	assert_int_equal(r->bytes, 30);
	still_records_free(r, 1);

	good(f, chronicle_seal(&f->c));
	memcpy(status.id, "id", 3);
	still_error_set(&status.error, STILL_ERR_LOST, 0, "Try.", "`x`: gone");
	good(f, still_catalog_end(f->catalog, &status, &f->c.err));
	still_error_clear(&status.error);
	assert_true(chronicle_record(f->catalog, "id", &r));
	assert_int_equal(r->state, STILL_ENDED);
	assert_int_equal(r->outcome, STILL_ABORTED_PARTIAL);
	assert_string_equal(r->outcome_text, "ABORTED(partial: 2 of 4 files)");
	assert_int_equal(r->ended_at_ns, 3333);
	assert_int_equal(r->committed_at_ns, 0);
	assert_int_equal(r->files, 4);
	assert_int_equal(r->files_whole, 2);
	assert_int_equal(r->files_known, 1);
	assert_int_equal(r->bytes_served, 77);
	assert_int_equal(r->n_damaged, 5);
	assert_string_equal(r->error, "`x`: gone");
	assert_string_equal(r->hint, "Try.");
	still_records_free(r, 1);
}

/* The numbers never change: catalogs hold them. */
static void outcomes(void **state)
{
	static const struct {
		int number;
		enum still_outcome outcome;
		const char *text;
	} table[] = {
	    {1, STILL_COPIED, "COPIED"},
	    {2, STILL_ABORTED_UNREAD, "ABORTED(unread)"},
	    {3, STILL_ABORTED_PARTIAL, "ABORTED(partial: 3 of 7 files)"},
	    {4, STILL_ABORTED_CORRUPT, "ABORTED(corrupt)"},
	    {5, STILL_ABORTED_INCOMPLETE, "ABORTED(incomplete)"},
	    {6, STILL_ABORTED_LOST, "ABORTED(pin lost)"},
	    {7, STILL_ABORTED_FORCED, "ABORTED(forced)"},
	    {8, STILL_ABORTED_FREEZE, "ABORTED(not frozen)"},
	    {9, STILL_COMMITTED, "COMMITTED"},
	    {10, STILL_ABORTED_CALLER, "ABORTED(by caller)"},
	    {11, STILL_ABORTED_CRASH, "ABORTED(crash)"},
	    {12, STILL_ABORTED_UNRECORDED, "ABORTED(not recorded)"},
	};
	size_t n = sizeof(table) / sizeof(table[0]);
	struct fixture *f = *state;

	assert_int_equal(n + 1, STILL_OUTCOME_COUNT);
	open_new(f);
	for (size_t i = 0; i < n; i++) {
		struct still_record *r = NULL;
		char sql[200];
		char id[16];

		snprintf(id, sizeof(id), "id-%zu", i);
		whole(f, id, table[i].outcome, 1000);
		assert_int_equal(f->c.number, i + 1);
		assert_true(chronicle_record(f->catalog, id, &r));
		assert_int_equal(r->outcome, table[i].outcome);
		assert_string_equal(r->outcome_text, table[i].text);
		assert_int_equal(r->committed_at_ns,
		    table[i].outcome == STILL_COMMITTED ? r->ended_at_ns : 0);
		still_records_free(r, 1);
		/* For who has only sqlite3. */
		snprintf(sql, sizeof(sql),
		    "SELECT count(*) FROM session WHERE id='%s' AND"
		    " outcome=%d AND outcome_text='%s' AND state='ended'",
		    id, table[i].number, table[i].text);
		assert_int_equal(count(f, sql), 1);
	}
}

static void out_of_turn(void **state)
{
	struct fixture *f = *state;
	char words[PATH_MAX + 80];

	open_new(f);
	snprintf(words, sizeof(words),
	    "session `id`: is not in the catalog `%s/catalog.db`", f->path);
	good(f, chronicle_begin(&f->c, SOURCE, "id", NULL, 1000));
	chronicle_build(&f->c, files, 2);
	snprintf(words, sizeof(words),
	    "session `id`: is not serving in the catalog `%s/catalog.db`",
	    f->path);
	failed_as(f, chronicle_seal(&f->c), STILL_ERR_PROTO, words);
	failed_as(f, chronicle_end(&f->c, STILL_COPIED, 1), STILL_ERR_PROTO,
	    "session `id`: cannot be copied before it is sealed");
	good(f, chronicle_frozen(&f->c, 1000));
	snprintf(words, sizeof(words),
	    "session `id`: is not preparing in the catalog `%s/catalog.db`",
	    f->path);
	failed_as(f, chronicle_frozen(&f->c, 1000), STILL_ERR_PROTO, words);
	failed_as(f, chronicle_end(&f->c, STILL_COPIED, 1), STILL_ERR_PROTO,
	    "session `id`: cannot be copied before it is sealed");
	failed_as(f, chronicle_end(&f->c, STILL_COMMITTED, 1), STILL_ERR_PROTO,
	    "session `id`: cannot be committed before it is sealed");
	good(f, chronicle_seal(&f->c));
	good(f, chronicle_end(&f->c, STILL_COPIED, 1));
	/* Asked again: it is so. Otherwise: it is not. */
	good(f, chronicle_end(&f->c, STILL_COPIED, 2));
	failed_as(f, chronicle_end(&f->c, STILL_COMMITTED, 2), STILL_ERR_PROTO,
	    "session `id`: has ended already, with another outcome");
	snprintf(words, sizeof(words),
	    "session `id`: is not serving in the catalog `%s/catalog.db`",
	    f->path);
	failed_as(f, chronicle_seal(&f->c), STILL_ERR_PROTO, words);
	memcpy(f->c.id, "no", 3);
	snprintf(words, sizeof(words),
	    "session `no`: is not in the catalog `%s/catalog.db`", f->path);
	failed_as(f, chronicle_end(&f->c, STILL_ABORTED_LOST, 2),
	    STILL_ERR_NOTFOUND, words);
}

/* Digests of a snapshot that is not the one that was shown. */
static void other_snapshot(void **state)
{
	static const struct chronicle_file other = {"data/c.db", "1", 10};
	struct fixture *f = *state;

	open_new(f);
	good(f, chronicle_begin(&f->c, SOURCE, "id", NULL, 1000));
	chronicle_build(&f->c, files, 2);
	good(f, chronicle_frozen(&f->c, 1000));
	chronicle_build(&f->c, &other, 1);
	assert_int_equal(chronicle_seal(&f->c), STILL_ERR_CORRUPT);
	still_error_clear(&f->c.err);
	assert_int_equal(
	    count(f, "SELECT count(*) FROM file WHERE xxh128 IS NOT NULL"), 0);
	assert_int_equal(count(f, "SELECT sealed FROM session"), 0);
}

/* Of files, what nobody will ask for is not kept. */
static void kept_files(void **state)
{
	static const struct {
		enum still_outcome outcome;
		const char *kept; /* numbers of sessions */
	} table[] = {
	    {STILL_ABORTED_UNREAD, ""},
	    {STILL_COPIED, "2"},
	    {STILL_ABORTED_PARTIAL, "2"},
	    {STILL_COMMITTED, "4"},
	    {STILL_COPIED, "4,5"},
	    {STILL_ABORTED_CRASH, "4,5"},
	    {STILL_COPIED, "4,7"},
	    {STILL_COMMITTED, "8"},
	};
	struct fixture *f = *state;

	open_new(f);
	/* Another instance's are its own. */
	good(f,
	    chronicle_whole(
		&f->c, "/other", "other", files, 2, STILL_COPIED, 1));
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char sql[300];
		char id[16];

		snprintf(id, sizeof(id), "id-%zu", i);
		whole(f, id, table[i].outcome, 1000);
		snprintf(sql, sizeof(sql),
		    "SELECT group_concat(number)='%s' FROM (SELECT DISTINCT"
		    " number FROM session JOIN file ON seq=session"
		    " WHERE instance=2 ORDER BY number)",
		    table[i].kept);
		if (*table[i].kept)
			assert_int_equal(count(f, sql), 1);
		else
			assert_int_equal(
			    count(f,
				"SELECT count(*) FROM file WHERE session<>1"),
			    0);
	}
	assert_int_equal(
	    count(f, "SELECT count(*) FROM file WHERE session=1"), 4);
}

/* ---- a commit afterwards ------------------------------------------------- */

static int commit(struct fixture *f, const char *id)
{
	return still_catalog_commit(f->catalog, id, NULL, NULL, &f->c.err);
}

static void committed_later(void **state)
{
	struct fixture *f = *state;
	struct still_record *r = NULL;
	int64_t before_ns = still_sys_now_ns();

	open_new(f);
	whole(f, "id", STILL_COPIED, 1000);
	good(f, commit(f, "id"));
	assert_true(chronicle_record(f->catalog, "id", &r));
	assert_int_equal(r->outcome, STILL_COMMITTED);
	assert_string_equal(r->outcome_text, "COMMITTED");
	assert_int_equal(r->ended_at_ns, 1000 * STILL_NS_PER_S);
	assert_in_range(r->committed_at_ns, before_ns, still_sys_now_ns());
	before_ns = r->committed_at_ns;
	still_records_free(r, 1);
	/* Again: it is. The stamp stays. */
	good(f, commit(f, "id"));
	assert_true(chronicle_record(f->catalog, "id", &r));
	assert_int_equal(r->committed_at_ns, before_ns);
	still_records_free(r, 1);
	/* Also after others have begun, and while they have the instance. */
	whole(f, "id2", STILL_ABORTED_UNREAD, 2000);
	good(f, commit(f, "id"));
	good(f, chronicle_begin(&f->c, SOURCE, "id3", NULL, 3000));
	good(f, commit(f, "id"));
}

static void not_committed(void **state)
{
	struct fixture *f = *state;
	char words[PATH_MAX + 80];

	open_new(f);
	snprintf(words, sizeof(words),
	    "session `none`: is not in the catalog `%s/catalog.db`", f->path);
	failed_as(f, commit(f, "none"), STILL_ERR_NOTFOUND, words);
	whole(f, "aborted", STILL_ABORTED_CALLER, 1000);
	failed_as(f, commit(f, "aborted"), STILL_ERR_PROTO,
	    "session `aborted`: is ABORTED(by caller)");
	/* A later one has begun, whatever became of it. */
	whole(f, "copied", STILL_COPIED, 2000);
	whole(f, "later", STILL_ABORTED_FREEZE, 3000);
	failed_as(f, commit(f, "copied"), STILL_ERR_PROTO,
	    "session `copied`: a later one of its source has begun");
	list_is(f, "copied", "COPIED");
	/* One of another source does not count. */
	whole(f, "copied2", STILL_COPIED, 4000);
	good(f,
	    chronicle_whole(
		&f->c, "/other", "other", files, 2, STILL_COPIED, 5000));
	good(f, commit(f, "copied2"));
	/* One that serves, and one that is kept from it. */
	whole(f, "copied3", STILL_COPIED, 6000);
	good(f, chronicle_begin(&f->c, SOURCE, "alive", "/mnt/a", 7000));
	failed_as(f, commit(f, "alive"), STILL_ERR_BUSY,
	    "session `alive`: is not over yet");
	snprintf(words, sizeof(words),
	    "source `" SOURCE "`: has a session at `/mnt/a` (process %ld)",
	    (long) getpid());
	failed_as(f, commit(f, "copied3"), STILL_ERR_BUSY, words);
	list_is(f, "copied3", "COPIED");
}

/* Its process died before the end was written: it is no copy. */
static void crash_not_committed(void **state)
{
	struct fixture *f = *state;

	open_new(f);
	good(f, chronicle_begin(&f->c, SOURCE, "id", NULL, 1000));
	chronicle_build(&f->c, files, 2);
	good(f, chronicle_frozen(&f->c, 1000));
	good(f, chronicle_seal(&f->c));
	still_catalog_unlock(&f->c.lock);
	failed_as(f, commit(f, "id"), STILL_ERR_PROTO,
	    "session `id`: is ABORTED(crash)");
}

/* ---- asking -------------------------------------------------------------- */

static void list_as(struct fixture *f, const struct still_record_filter *filter,
    const char *ids)
{
	struct still_record *records = NULL;
	char found[200] = "";
	size_t n = 99;

	assert_int_equal(
	    still_catalog_list(f->catalog, filter, &records, &n, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		strcat(found, i ? " " : "");
		strcat(found, records[i].id);
	}
	assert_string_equal(found, ids);
	if (n == 0)
		assert_null(records);
	still_records_free(records, n);
}

static void place_one(struct fixture *f, const char *source, const char *id,
    const char *place, enum still_outcome outcome)
{
	good(f, chronicle_begin(&f->c, source, id, place, 1000));
	chronicle_build(&f->c, files, 2);
	good(f, chronicle_frozen(&f->c, 1000));
	good(f, chronicle_seal(&f->c));
	good(f, chronicle_end(&f->c, outcome, 1000));
}

static void filters(void **state)
{
	static const struct {
		struct still_record_filter filter;
		const char *ids;
	} table[] = {
	    {{0}, "6 5 4 3 2 1"},
	    {{.limit = 1}, "6"},
	    {{.limit = 4}, "6 5 4 3"},
	    {{.limit = 60}, "6 5 4 3 2 1"},
	    {{.source = "/a"}, "6 5 3 1"},
	    {{.source = "/b"}, "4 2"},
	    {{.source = "/"}, ""},
	    {{.place = "/mnt/a"}, "4 1"},
	    {{.place = "/mnt/b"}, "3 2"},
	    {{.id = "4"}, "4"},
	    {{.id = "44"}, ""},
	    {{.good = true}, "5 4 3"},
	    {{.committed = true}, "5 3"},
	    {{.good = true, .committed = true}, "5 3"},
	    {{.source = "/a", .good = true, .limit = 1}, "5"},
	    {{.source = "/b", .good = true, .limit = 1}, "4"},
	    {{.source = "/b", .committed = true}, ""},
	    {{.id = "4", .source = "/a"}, ""},
	};
	struct fixture *f = *state;

	open_new(f);
	list_as(f, &table[0].filter, "");
	place_one(f, "/a", "1", "/mnt/a", STILL_ABORTED_UNREAD);
	place_one(f, "/b", "2", "/mnt/b", STILL_ABORTED_CRASH);
	place_one(f, "/a", "3", "/mnt/b", STILL_COMMITTED);
	place_one(f, "/b", "4", "/mnt/a", STILL_COPIED);
	place_one(f, "/a", "5", NULL, STILL_COMMITTED);
	good(f, chronicle_begin(&f->c, "/a", "6", NULL, 1));
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		list_as(f, &table[i].filter, table[i].ids);
	still_records_free(NULL, 0);
}

/* Names as they are, in both directions. */
static void hostile(void **state)
{
	struct fixture *f = *state;
	char text[300] = "/";
	struct still_record_filter by_source = {.source = text};
	struct still_record_filter by_place = {.place = text};
	struct still_session_status status = {
	    .outcome = STILL_ABORTED_LOST, .id = "id'; --"};
	struct still_record *r = NULL;

	open_new(f);
	for (int c = 1; c < 256; c++)
		text[c] = (char) c;
	strcat(text, "%s%n';--\"");
	good(f, chronicle_begin(&f->c, text, "id'; --", text, 1000));
	list_as(f, &by_source, "id'; --");
	list_as(f, &by_place, "id'; --");
	still_error_set(&status.error, STILL_ERR_LOST, 0, text, "%s", text);
	good(f, still_catalog_end(f->catalog, &status, &f->c.err));
	still_error_clear(&status.error);
	assert_true(chronicle_record(f->catalog, "id'; --", &r));
	assert_string_equal(r->source, text);
	assert_string_equal(r->place, text);
	assert_string_equal(r->error, text);
	assert_string_equal(r->hint, text);
	still_records_free(r, 1);
}

/* A thousand of an instance are remembered, and those that matter. */
static void pruned(void **state)
{
	struct fixture *f = *state;

	open_new(f);
	good(f,
	    chronicle_whole(
		&f->c, "/other", "other", files, 2, STILL_ABORTED_UNREAD, 1));
	whole(f, "old", STILL_COMMITTED, 1);
	whole(f, "committed", STILL_COMMITTED, 1);
	whole(f, "copied old", STILL_COPIED, 1);
	whole(f, "copied", STILL_COPIED, 1);
	for (unsigned i = 5; i <= 1010; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%u", i);
		good(f, chronicle_begin(&f->c, SOURCE, id, NULL, 1));
		assert_int_equal(f->c.number, i);
		good(f, chronicle_end(&f->c, STILL_ABORTED_FREEZE, 1));
	}
	assert_int_equal(count(f,
			     "SELECT count(*) FROM session WHERE instance=2"
			     " AND number>10"),
	    1000);
	assert_int_equal(count(f,
			     "SELECT count(*) FROM session WHERE instance=2"
			     " AND number<=10"),
	    2);
	list_is(f, "committed", "COMMITTED");
	list_is(f, "copied", "COPIED");
	list_is(f, "other", "ABORTED(unread)");
}

/* ---- others at the same time --------------------------------------------- */

static void chapters(const char *path, const char *source, int n)
{
	struct still_catalog *catalog = NULL;
	struct chronicle c;

	if (still_catalog_open(path, true, &catalog, NULL) != 0)
		_exit(1);
	chronicle_init(&c, catalog);
	for (int i = 0; i < n; i++) {
		char id[40];

		snprintf(id, sizeof(id), "%s-%d", source, i);
		if (chronicle_whole(&c, source, id, files, 2, STILL_COPIED,
			1000 + i) != 0 ||
		    still_catalog_commit(catalog, id, NULL, NULL, &c.err) !=
			0) {
			fprintf(stderr, "%s\n", still_error_msg(&c.err));
			_exit(2);
		}
	}
	chronicle_release(&c);
	still_catalog_close(catalog);
	_exit(0);
}

/* Two who write, from the making of the store on, and one who looks. */
static void at_once(void **state)
{
	static const char *const names[] = {"/a", "/b"};
	struct still_record_filter all = {0};
	struct fixture *f = *state;
	int running = 2;
	unsigned n_looks = 0;
	pid_t pids[2];

	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			chapters(f->path, names[i], 60);
		assert_true(pids[i] > 0);
	}
	open_new(f);
	while (running) {
		struct still_record *records = NULL;
		int status = 0;
		size_t n = 0;

		good(f,
		    still_catalog_list(
			f->catalog, &all, &records, &n, &f->c.err));
		for (size_t i = 0; i < n; i++)
			assert_true(records[i].outcome != STILL_ABORTED_CRASH);
		still_records_free(records, n);
		n_looks++;
		if (waitpid(-1, &status, WNOHANG) > 0) {
			assert_int_equal(status, 0);
			running--;
		}
	}
	print_message("looked %u times\n", n_looks);
	assert_int_equal(
	    count(f, "SELECT count(*) FROM session WHERE outcome=9"), 120);
}

struct blocker {
	const char *file;
	int64_t ns; /* 0: until the other one meets it again */
	pthread_barrier_t ready;
};

static void *block(void *arg)
{
	struct blocker *b = arg;
	sqlite3 *conn = NULL;

	sqlite3_open(b->file, &conn);
	sqlite3_exec(conn, "BEGIN EXCLUSIVE", NULL, NULL, NULL);
	pthread_barrier_wait(&b->ready);
	if (b->ns == 0)
		pthread_barrier_wait(&b->ready);
	else
		still_sys_sleep_ns(b->ns);
	sqlite3_exec(conn, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_close(conn);
	return NULL;
}

/* Nobody fails for what passes, and nobody waits for ever. */
static void blocked(void **state)
{
	static const struct {
		int64_t ns;
		int busy_ms;
		int code;
	} table[] = {
	    {300 * INT64_C(1000000), 60000, 0},
	    {0, BUSY_MS, STILL_ERR_BUSY},
	};
	struct fixture *f = *state;
	char file[PATH_MAX];

	open_new(f);
	snprintf(file, sizeof(file), "%s/catalog.db", f->path);
	for (size_t i = 0; i < 2; i++) {
		struct blocker blocker = {.file = file, .ns = table[i].ns};
		struct still_record_filter all = {0};
		struct still_record *records = NULL;
		pthread_t thread;
		size_t n = 0;

		f->catalog->busy_ms = table[i].busy_ms;
		pthread_barrier_init(&blocker.ready, NULL, 2);
		assert_int_equal(
		    pthread_create(&thread, NULL, block, &blocker), 0);
		pthread_barrier_wait(&blocker.ready);
		assert_int_equal(still_catalog_list(
				     f->catalog, &all, &records, &n, &f->c.err),
		    table[i].code);
		if (table[i].code) {
			assert_non_null(strstr(still_error_msg(&f->c.err),
			    "another process has been writing to it"));
			assert_non_null(f->c.err.hint);
			still_error_clear(&f->c.err);
			assert_int_equal(
			    chronicle_begin(&f->c, SOURCE, "id", NULL, 1),
			    STILL_ERR_BUSY);
			still_error_clear(&f->c.err);
			pthread_barrier_wait(&blocker.ready);
		}
		pthread_join(thread, NULL);
		pthread_barrier_destroy(&blocker.ready);
	}
	whole(f, "id", STILL_COPIED, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(made),
	    TEST(not_made),
	    TEST(open_to_others),
	    TEST(somebody_elses),
	    TEST(in_the_way),
	    TEST(no_way_in),
	    TEST(by_default),
	    TEST(sources),
	    TEST(newer),
	    TEST(damaged),
	    TEST(odd_rows),
	    TEST(not_wal),
	    TEST(taken_away),
	    TEST(read_only),
	    TEST(read_only_mount),
	    TEST(hot_journal),
	    TEST(life),
	    TEST(outcomes),
	    TEST(out_of_turn),
	    TEST(other_snapshot),
	    TEST(kept_files),
	    TEST(committed_later),
	    TEST(not_committed),
	    TEST(crash_not_committed),
	    TEST(filters),
	    TEST(hostile),
	    TEST(pruned),
	    TEST(at_once),
	    TEST(blocked),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
