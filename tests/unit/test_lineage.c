/* SPDX-License-Identifier: MIT */
/* Which session the next one builds on, and what is kept for its sake. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/lineage.h"
#include "core/pages.h"
#include "core/store.h"
#include "tests/lib/chronicle.h"
#include "tests/unit/scratch.h"

#define SOURCE "/srv/shop"
#define OTHER "/srv/books"
#define NOTE "{\"salt\":7}"

struct fixture {
	char *dir;
	struct still_catalog *catalog;
	struct chronicle c;
	int64_t now_s;
};

static const struct chronicle_file files[] = {
    {"data/a.db", "1", 10},
    {"data/b.db", "1", 20},
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->dir = scratch_make();
	chronicle_init(&f->c, NULL);
	f->now_s = 1000;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	chronicle_release(&f->c);
	still_catalog_close(f->catalog);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

static void good(struct fixture *f, int rc)
{
	if (rc != 0)
		fail_msg("%s", still_error_msg(&f->c.err));
}

static void open_it(struct fixture *f)
{
	still_catalog_close(f->catalog);
	f->catalog = NULL;
	good(f,
	    still_catalog_open(
		scratch_path(f->dir, "state"), true, &f->catalog, &f->c.err));
	f->c.catalog = f->catalog;
}

/* ---- steps --------------------------------------------------------------- */

static void take(struct fixture *f, const char *source, const char *id,
    enum still_session_kind kind, enum still_outcome outcome)
{
	f->c.kind = kind;
	f->c.note = NOTE;
	good(f,
	    chronicle_whole(
		&f->c, source, id, files, 2, outcome, f->now_s += 10));
}

static void session(struct fixture *f, const char *id,
    enum still_session_kind kind, enum still_outcome outcome)
{
	take(f, SOURCE, id, kind, outcome);
}

static struct still_lock lock(struct fixture *f, const char *source)
{
	struct still_lock ret = STILL_LOCK_INIT;

	good(f,
	    still_catalog_lock(
		f->catalog, "fake", source, "test", NULL, &ret, &f->c.err));
	return ret;
}

/* `id` NULL: there is none. */
static void base_is(
    struct fixture *f, const char *id, const char *chain, uint32_t link)
{
	struct still_lock held = lock(f, SOURCE);
	struct still_hash128 seal;
	struct still_link base;
	int rc = still_lineage_base(
	    f->catalog, held.instance_id, &base, &f->c.err);

	still_catalog_unlock(&held);
	assert_int_equal(rc, id ? 1 : 0);
	if (!id)
		return;
	assert_string_equal(base.id, id);
	assert_string_equal(base.chain, chain);
	assert_int_equal(base.link, link);
	assert_true(base.sealed);
	assert_false(base.forced);
	seal = chronicle_digest("seal", id);
	assert_memory_equal(base.seal.bytes, seal.bytes, 16);
	assert_int_equal(
	    json_integer_value(json_object_get(base.note, "salt")), 7);
	still_link_release(&base);
}

static void copied_is(struct fixture *f, const char *id)
{
	struct still_lock held = lock(f, SOURCE);
	char got[STILL_SESSION_ID_BYTES] = "";
	int rc = still_lineage_copied(
	    f->catalog, held.instance_id, got, &f->c.err);

	still_catalog_unlock(&held);
	assert_int_equal(rc, id ? 1 : 0);
	assert_string_equal(got, id ? id : "");
}

static void record_is(struct fixture *f, const char *id, const char *base,
    const char *chain, uint32_t link)
{
	struct still_record *record = NULL;

	assert_true(chronicle_record(f->catalog, id, &record));
	assert_string_equal(record->base, base);
	assert_string_equal(record->chain, chain);
	assert_int_equal(record->link, link);
	still_records_free(record, 1);
}

/* ---- chains -------------------------------------------------------------- */

static void grows(void **state)
{
	struct still_record_filter filter = {.chain = "full-1"};
	struct fixture *f = *state;
	struct still_record *records = NULL;
	size_t n = 0;

	open_it(f);
	base_is(f, NULL, NULL, 0);
	session(f, "full-1", STILL_FULL, STILL_COMMITTED);
	base_is(f, "full-1", "full-1", 0);
	session(f, "inc-2", STILL_INCREMENTAL, STILL_COMMITTED);
	base_is(f, "inc-2", "full-1", 1);
	session(f, "inc-3", STILL_INCREMENTAL, STILL_COMMITTED);
	base_is(f, "inc-3", "full-1", 2);
	record_is(f, "full-1", "", "full-1", 0);
	record_is(f, "inc-2", "full-1", "full-1", 1);
	record_is(f, "inc-3", "inc-2", "full-1", 2);
	good(f,
	    still_catalog_list(f->catalog, &filter, &records, &n, &f->c.err));
	assert_int_equal(n, 3);
	still_records_free(records, n);
	filter = (struct still_record_filter){.incremental = true, .limit = 1};
	good(f,
	    still_catalog_list(f->catalog, &filter, &records, &n, &f->c.err));
	assert_int_equal(n, 1);
	assert_string_equal(records->id, "inc-3");
	assert_int_equal(records->kind, STILL_INCREMENTAL);
	still_records_free(records, n);
	/* Another full one begins another. */
	session(f, "full-4", STILL_FULL, STILL_COMMITTED);
	base_is(f, "full-4", "full-4", 0);
}

/* What was begun, copied or given up since changes nothing. */
static void passes_by(void **state)
{
	struct fixture *f = *state;

	open_it(f);
	session(f, "copy-0", STILL_COPY, STILL_COMMITTED);
	base_is(f, NULL, NULL, 0);
	record_is(f, "copy-0", "", "", 0);
	session(f, "full-1", STILL_FULL, STILL_COPIED);
	base_is(f, NULL, NULL, 0);
	copied_is(f, "full-1");
	session(f, "full-2", STILL_FULL, STILL_COMMITTED);
	copied_is(f, NULL);
	session(f, "copy-3", STILL_COPY, STILL_COMMITTED);
	base_is(f, "full-2", "full-2", 0);
	session(f, "copy-4", STILL_COPY, STILL_COPIED);
	copied_is(f, NULL);
	session(f, "full-5", STILL_FULL, STILL_ABORTED_CALLER);
	session(f, "inc-6", STILL_INCREMENTAL, STILL_ABORTED_PARTIAL);
	base_is(f, "full-2", "full-2", 0);
	record_is(f, "inc-6", "full-2", "full-2", 1);
	session(f, "inc-7", STILL_INCREMENTAL, STILL_COPIED);
	base_is(f, "full-2", "full-2", 0);
	copied_is(f, "inc-7");
	/* Its client comes back for it. */
	good(f,
	    still_catalog_commit(f->catalog, "inc-7", NULL, NULL, &f->c.err));
	base_is(f, "inc-7", "full-2", 1);
	copied_is(f, NULL);
	/* Another source's are another's. */
	take(f, OTHER, "full-8", STILL_FULL, STILL_COMMITTED);
	base_is(f, "inc-7", "full-2", 1);
}

static void crashed(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid;

	open_it(f);
	session(f, "full-1", STILL_FULL, STILL_COMMITTED);
	still_catalog_close(f->catalog);
	f->catalog = NULL;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		open_it(f);
		f->c.kind = STILL_INCREMENTAL;
		_exit(chronicle_begin(&f->c, SOURCE, "inc-2", NULL, 2000) != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	open_it(f);
	base_is(f, "full-1", "full-1", 0);
	record_is(f, "inc-2", "full-1", "full-1", 1);
}

/* Who forces damage gets a base without a seal. */
static void forced(void **state)
{
	struct still_session_status status = {
	    .outcome = STILL_COMMITTED, .forced = true, .n_damaged = 1};
	struct still_record *record = NULL;
	struct fixture *f = *state;
	struct still_link base;
	struct still_lock held;

	open_it(f);
	good(f, chronicle_begin(&f->c, SOURCE, "full-1", NULL, 1000));
	chronicle_build(&f->c, files, 2);
	good(f, chronicle_frozen(&f->c, 1000));
	strcpy(status.id, "full-1");
	status.forced = false;
	assert_int_equal(
	    still_catalog_end(f->catalog, &status, &f->c.err), STILL_ERR_PROTO);
	still_error_clear(&f->c.err);
	status.forced = true;
	good(f, still_catalog_end(f->catalog, &status, &f->c.err));
	still_catalog_unlock(&f->c.lock);
	assert_true(chronicle_record(f->catalog, "full-1", &record));
	assert_true(record->forced);
	assert_false(record->truncated);
	still_records_free(record, 1);
	held = lock(f, SOURCE);
	assert_int_equal(
	    still_lineage_base(f->catalog, held.instance_id, &base, NULL), 1);
	assert_true(base.forced);
	assert_false(base.sealed);
	still_link_release(&base);
	still_catalog_unlock(&held);
}

static void truncations(void **state)
{
	static const struct still_commit_options elsewhere = {
	    .elsewhere = true};
	struct fixture *f = *state;
	struct still_record *record = NULL;

	open_it(f);
	session(f, "full-1", STILL_FULL, STILL_COPIED);
	good(f,
	    still_catalog_commit(
		f->catalog, "full-1", &elsewhere, NULL, &f->c.err));
	assert_true(chronicle_record(f->catalog, "full-1", &record));
	assert_true(record->elsewhere);
	assert_false(record->truncated);
	still_records_free(record, 1);
	good(f,
	    still_catalog_truncated(f->catalog, "full-1", "1 - 3", &f->c.err));
	/* There is no more to release, and that is no reason to forget. */
	good(f, still_catalog_truncated(f->catalog, "full-1", NULL, &f->c.err));
	assert_true(chronicle_record(f->catalog, "full-1", &record));
	assert_true(record->truncated);
	/* What its client said he has said. */
	assert_true(record->elsewhere);
	assert_string_equal(record->range, "1 - 3");
	still_records_free(record, 1);
	/* Nothing is on record for what is not committed. */
	session(f, "full-2", STILL_FULL, STILL_ABORTED_CALLER);
	good(f, still_catalog_truncated(f->catalog, "full-2", "x", &f->c.err));
	assert_true(chronicle_record(f->catalog, "full-2", &record));
	assert_false(record->truncated);
	still_records_free(record, 1);
}

static void contradictions(void **state)
{
	static const struct still_commit_options bad[] = {
	    {.truncate = true, .elsewhere = true},
	    {.dry_run = true},
	    {.dry_run = true, .elsewhere = true},
	};
	struct fixture *f = *state;

	open_it(f);
	session(f, "full-1", STILL_FULL, STILL_COPIED);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(still_catalog_commit(f->catalog, "full-1",
				     &bad[i], NULL, &f->c.err),
		    STILL_ERR_INVALID);
		still_error_clear(&f->c.err);
	}
	base_is(f, NULL, NULL, 0);
}

/* A full session goes by what the last full one showed: the files of an
 * incremental one are in no tool's copy under that name. */
static void known(void **state)
{
	static const struct chronicle_file changed[] = {
	    {"data/a.db", "2", 10},
	    {"data/b.db", "1", 20},
	};
	struct fixture *f = *state;
	uint32_t a;
	uint32_t b;

	open_it(f);
	session(f, "full-1", STILL_FULL, STILL_COMMITTED);
	f->c.kind = STILL_INCREMENTAL;
	good(f,
	    chronicle_whole(
		&f->c, SOURCE, "inc-2", changed, 2, STILL_COMMITTED, 2000));
	f->c.kind = STILL_FULL;
	good(f, chronicle_begin(&f->c, SOURCE, "full-3", NULL, 3000));
	chronicle_build(&f->c, changed, 2);
	good(f, chronicle_stamp(&f->c, 3000));
	a = chronicle_find(&f->c, "data/a.db");
	b = chronicle_find(&f->c, "data/b.db");
	assert_false(f->c.snapshot.known[a]);
	assert_int_equal(f->c.snapshot.entries[a].time_s, 3000);
	assert_true(f->c.snapshot.known[b]);
	assert_int_equal(f->c.snapshot.entries[b].time_s, 1010);
}

/* ---- what is kept -------------------------------------------------------- */

static void keep(struct fixture *f, const char *id)
{
	struct still_pages pages = STILL_PAGES_INIT;

	good(f, still_pages_new(f->catalog, 512, 9, &pages, &f->c.err));
	good(f,
	    still_pages_keep(f->catalog, &pages, id, "data/a.db", &f->c.err));
	still_pages_release(&pages);
}

static bool has(struct fixture *f, const char *id)
{
	struct still_pages pages = STILL_PAGES_INIT;
	int rc = still_pages_open(f->catalog, id, "data/a.db", &pages, NULL);

	still_pages_release(&pages);
	return rc == 0;
}

static void forgets(
    struct fixture *f, const char *committed, bool dry_run, uint32_t want)
{
	struct still_lock held = lock(f, SOURCE);
	uint32_t n = 99;

	good(f,
	    still_lineage_forget(f->catalog, held.instance_id, committed,
		dry_run, &n, &f->c.err));
	assert_int_equal(n, want);
	still_catalog_unlock(&held);
}

static void what_stays(void **state)
{
	struct fixture *f = *state;

	open_it(f);
	forgets(f, NULL, false, 0);
	session(f, "full-1", STILL_FULL, STILL_COMMITTED);
	session(f, "inc-2", STILL_INCREMENTAL, STILL_COMMITTED);
	session(f, "full-3", STILL_FULL, STILL_COPIED);
	session(f, "full-4", STILL_FULL, STILL_COPIED);
	session(f, "full-5", STILL_FULL, STILL_ABORTED_CALLER);
	take(f, OTHER, "full-6", STILL_FULL, STILL_ABORTED_CALLER);
	keep(f, "full-1");
	keep(f, "inc-2");
	keep(f, "full-3");
	keep(f, "full-4");
	keep(f, "full-5");
	keep(f, "full-6");
	keep(f, "nobodys");
	/* Of those that are not needed, another source's are not ours. */
	forgets(f, NULL, true, 4);
	assert_true(has(f, "full-1"));
	forgets(f, "full-4", true, 5);
	assert_true(has(f, "inc-2"));
	forgets(f, NULL, false, 4);
	assert_false(has(f, "full-1"));
	assert_true(has(f, "inc-2"));
	assert_false(has(f, "full-3"));
	assert_true(has(f, "full-4"));
	assert_false(has(f, "full-5"));
	assert_true(has(f, "full-6"));
	assert_false(has(f, "nobodys"));
	forgets(f, NULL, false, 0);
	/* Of a session under way, too. */
	good(f, chronicle_begin(&f->c, SOURCE, "full-7", NULL, 5000));
	keep(f, "full-7");
	{
		uint32_t n;

		good(f,
		    still_lineage_forget(f->catalog, f->c.lock.instance_id,
			NULL, false, &n, &f->c.err));
		assert_int_equal(n, 0);
	}
	assert_true(has(f, "full-7"));
}

static void as_an_engine_sees_it(void **state)
{
	struct fixture *f = *state;
	const struct still_base *base;
	struct still_page_sums first;
	struct still_page_sums again;
	struct still_ground *ground;
	struct still_link link;

	open_it(f);
	session(f, "full-1", STILL_FULL, STILL_COMMITTED);
	keep(f, "full-1");
	good(f, still_lineage_look(f->catalog, "full-1", &link, &f->c.err));
	ground = still_ground_new(f->catalog, &link);
	base = still_ground_base(ground);
	assert_string_equal(base->session, "full-1");
	assert_int_equal(base->number, 1);
	assert_int_equal(
	    json_integer_value(json_object_get(base->note, "salt")), 7);
	good(f, base->page_sums(base->arg, "data/a.db", &first, &f->c.err));
	assert_int_equal(first.n, 9);
	assert_int_equal(first.page_bytes, 512);
	/* They stay, whatever becomes of the file. */
	still_pages_forget(f->catalog, "full-1");
	good(f, base->page_sums(base->arg, "data/a.db", &again, &f->c.err));
	assert_ptr_equal(again.sums, first.sums);
	assert_int_equal(first.sums[8], 0);
	assert_int_equal(
	    base->page_sums(base->arg, "data/b.db", &again, &f->c.err),
	    STILL_ERR_NOTFOUND);
	still_error_clear(&f->c.err);
	still_ground_free(ground);
	assert_int_equal(
	    still_lineage_look(f->catalog, "none", &link, &f->c.err),
	    STILL_ERR_NOTFOUND);
	still_error_clear(&f->c.err);
}

/* The chain that goes on is remembered, however long it is. */
static void long_chain(void **state)
{
	struct still_record_filter filter = {.chain = "full"};
	struct still_record *records = NULL;
	struct fixture *f = *state;
	sqlite3 *conn = NULL;
	size_t n = 0;

	open_it(f);
	session(f, "old", STILL_FULL, STILL_COMMITTED);
	session(f, "full", STILL_FULL, STILL_COMMITTED);
	session(f, "inc-1", STILL_INCREMENTAL, STILL_COMMITTED);
	session(f, "inc-2", STILL_INCREMENTAL, STILL_ABORTED_CALLER);
	session(f, "inc-3", STILL_INCREMENTAL, STILL_COMMITTED);
	/* As if a thousand had been begun since. */
	still_catalog_close(f->catalog);
	f->catalog = NULL;
	assert_int_equal(
	    sqlite3_open(scratch_path(f->dir, "state/catalog.db"), &conn),
	    SQLITE_OK);
	assert_int_equal(sqlite3_exec(conn,
			     "INSERT INTO session(id,instance,number,kind,"
			     "state,outcome,begun_at_ns) VALUES('far',1,1500,"
			     "'full','ended',3,0)",
			     NULL, NULL, NULL),
	    SQLITE_OK);
	sqlite3_close(conn);
	open_it(f);
	session(f, "inc-4", STILL_INCREMENTAL, STILL_COMMITTED);
	good(f,
	    still_catalog_list(f->catalog, &filter, &records, &n, &f->c.err));
	assert_int_equal(n, 4);
	assert_string_equal(records[0].id, "inc-4");
	assert_string_equal(records[3].id, "full");
	still_records_free(records, n);
	assert_false(chronicle_record(f->catalog, "old", &records));
	still_records_free(records, 0);
	records = NULL;
	assert_false(chronicle_record(f->catalog, "inc-2", &records));
	still_records_free(records, 0);
}

/* ---- a store of the version before --------------------------------------- */

/* As it was made then. */
static const char version_1[] =
    "CREATE TABLE instance("
    " id INTEGER PRIMARY KEY,"
    " engine TEXT NOT NULL,"
    " source BLOB NOT NULL,"
    " UNIQUE(engine, source)"
    ") STRICT;"
    "CREATE TABLE session("
    " seq INTEGER PRIMARY KEY," /* rises over all instances */
    " id TEXT NOT NULL UNIQUE,"
    " instance INTEGER NOT NULL,"
    " number INTEGER NOT NULL," /* rises by 1 within an instance */
    " kind TEXT NOT NULL,"      /* full, copy */
    " place BLOB,"
    " state TEXT NOT NULL," /* preparing, serving, ended */
    " outcome INTEGER NOT NULL DEFAULT 0,"
    " outcome_text TEXT NOT NULL DEFAULT 'none',"
    " begun_at_ns INTEGER NOT NULL,"
    " frozen_at_ns INTEGER NOT NULL DEFAULT 0,"
    " sealed INTEGER NOT NULL DEFAULT 0," /* all digests are there */
    " ended_at_ns INTEGER NOT NULL DEFAULT 0,"
    " committed_at_ns INTEGER NOT NULL DEFAULT 0,"
    " databases INTEGER NOT NULL DEFAULT 0,"
    " databases_json TEXT,"
    " files INTEGER NOT NULL DEFAULT 0,"
    " files_whole INTEGER NOT NULL DEFAULT 0,"
    " files_known INTEGER NOT NULL DEFAULT 0,"
    " bytes INTEGER NOT NULL DEFAULT 0,"
    " bytes_served INTEGER NOT NULL DEFAULT 0,"
    " n_damaged INTEGER NOT NULL DEFAULT 0,"
    " verified TEXT,"
    " cut TEXT,"
    " error BLOB,"
    " hint BLOB,"
    " UNIQUE(instance, number)"
    ") STRICT;"
    "CREATE TABLE file("
    " session INTEGER NOT NULL," /* its seq */
    " path BLOB NOT NULL,"
    " size_bytes INTEGER NOT NULL,"
    " identity TEXT,"
    " time_s INTEGER NOT NULL,"
    " xxh128 BLOB,"
    " PRIMARY KEY(session, path)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE path("
    " instance INTEGER NOT NULL,"
    " path BLOB NOT NULL,"
    " identity TEXT,"
    " time_s INTEGER NOT NULL,"
    " shown_at_s INTEGER NOT NULL,"
    " PRIMARY KEY(instance, path)"
    ") STRICT, WITHOUT ROWID;";

static const char rows_of_1[] =
    "INSERT INTO instance VALUES(1,'fake',CAST('/srv/shop' AS BLOB));"
    "INSERT INTO session(seq,id,instance,number,kind,state,outcome,"
    " outcome_text,begun_at_ns,frozen_at_ns,sealed,ended_at_ns,"
    " committed_at_ns,databases,databases_json,files,verified,cut) VALUES"
    "(1,'one',1,1,'full','ended',9,'COMMITTED',1,2,1,3,3,1,'[]',3,'v','c'),"
    "(2,'two',1,2,'copy','ended',1,'COPIED',4,5,1,6,0,1,'[]',3,'v','c'),"
    "(3,'three',1,3,'full','serving',0,'none',7,8,0,0,0,1,'[]',3,'v','c');"
    "INSERT INTO file VALUES"
    "(2,CAST('data/a.db' AS BLOB),10,'1',77,"
    " x'000102030405060708090a0b0c0d0e0f');"
    "INSERT INTO path VALUES(1,CAST('data/a.db' AS BLOB),'1',77,77);"
    "PRAGMA application_id=1398032716;"
    "PRAGMA user_version=1;";

static void make_version_1(struct fixture *f)
{
	sqlite3 *conn = NULL;

	assert_int_equal(mkdir(scratch_path(f->dir, "state"), 0700), 0);
	assert_int_equal(
	    sqlite3_open(scratch_path(f->dir, "state/catalog.db"), &conn),
	    SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(conn, version_1, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(conn, rows_of_1, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(conn);
	assert_int_equal(
	    chmod(scratch_path(f->dir, "state/catalog.db"), 0600), 0);
}

static void is_version_2(struct fixture *f, bool want)
{
	sqlite3_stmt *stmt = NULL;
	sqlite3 *conn = NULL;

	assert_int_equal(
	    sqlite3_open(scratch_path(f->dir, "state/catalog.db"), &conn),
	    SQLITE_OK);
	assert_int_equal(
	    sqlite3_prepare_v2(conn, "PRAGMA user_version", -1, &stmt, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(stmt, 0), want ? 2 : 1);
	sqlite3_finalize(stmt);
	sqlite3_close(conn);
}

static void brought_forward(void **state)
{
	struct still_catalog *second = NULL;
	struct still_record *record = NULL;
	struct fixture *f = *state;
	struct still_link base;
	struct still_lock held;

	make_version_1(f);
	is_version_2(f, false);
	/* Who only looks does it as well. */
	good(f,
	    still_catalog_open(
		scratch_path(f->dir, "state"), false, &second, &f->c.err));
	is_version_2(f, true);
	open_it(f);
	still_catalog_close(second);
	record_is(f, "one", "", "one", 0);
	record_is(f, "two", "", "", 0);
	record_is(f, "three", "", "three", 0);
	assert_true(chronicle_record(f->catalog, "three", &record));
	assert_int_equal(record->outcome, STILL_ABORTED_CRASH);
	still_records_free(record, 1);
	/* It can be compared with, but not built on. */
	held = lock(f, SOURCE);
	assert_int_equal(
	    still_lineage_base(f->catalog, held.instance_id, &base, NULL), 1);
	assert_string_equal(base.id, "one");
	assert_false(base.sealed);
	assert_false(base.forced);
	assert_null(base.note);
	still_link_release(&base);
	still_catalog_unlock(&held);
	/* What is known of files is known still. */
	f->c.kind = STILL_FULL;
	good(f, chronicle_begin(&f->c, SOURCE, "four", NULL, 1000));
	assert_int_equal(f->c.number, 4);
	chronicle_build(&f->c, files, 2);
	good(f, chronicle_stamp(&f->c, 1000));
	assert_true(f->c.snapshot.known[chronicle_find(&f->c, "data/a.db")]);
	good(f, chronicle_frozen(&f->c, 1000));
	good(f, chronicle_seal(&f->c));
	good(f, chronicle_end(&f->c, STILL_COMMITTED, 1000));
	session(f, "five", STILL_INCREMENTAL, STILL_COMMITTED);
	base_is(f, "five", "four", 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(grows),
	    TEST(passes_by),
	    TEST(crashed),
	    TEST(forced),
	    TEST(truncations),
	    TEST(contradictions),
	    TEST(known),
	    TEST(what_stays),
	    TEST(as_an_engine_sees_it),
	    TEST(long_chain),
	    TEST(brought_forward),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
