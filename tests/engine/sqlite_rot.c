/* SPDX-License-Identifier: MIT */
/*
 * sqlite_rot: full sessions one after the other, each compared with the one
 * before it, while applications write, check point, shrink, switch, put older
 * files back. Nobody is alarmed; and where one bit of the file is turned over, in
 * a page that cannot have changed, that page is damaged, and no other.
 *
 * And what is not alarmed did look: the pages that were compared are counted.
 *
 *	ROUNDS   sessions without an alarm (make soak: 3000)
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/sqlite/files.h"
#include "engines/sqlite/format.h"
#include "tests/lib/app.h"
#include "tests/lib/kept.h"
#include "tests/unit/scratch.h"

#define PATH "data/a.db"
#define SETTLE_NS (2100 * INT64_C(1000000))

extern const struct still_engine still_engine_sqlite;

static uint64_t seed;
static unsigned n_rounds = 150;

struct fixture {
	char *dir; /* src/, spool/, state/, old/ */
	char *live;
	uint64_t random;
	struct still_catalog *catalog;
	struct still_spool_dir spool;
	struct still_engine_instance *instance;
	struct app *app;
	struct app *files; /* touches files, so that no lock of ours is lost */
	struct kept base;  /* the last session */
	bool busy;
	int reserved; /* bytes at the end of each page */
};

/* Of all tests. */
static struct {
	unsigned n_sessions;
	uint64_t n_pages; /* served */
	uint64_t n_compared;
	unsigned n_flips;
	unsigned n_alarms;
} seen;

static uint64_t below(struct fixture *f, uint64_t n)
{
	return scratch_below(&f->random, n);
}

/* ---- the application ----------------------------------------------------- */

static void run(struct fixture *f, const char *sql)
{
	int rc = app_try(f->app, sql) & 0xff;

	/* OK, BUSY, LOCKED */
	if (rc != 0 && rc != 5 && rc != 6)
		fail_msg("%s: %d", sql, rc);
}

static void start(struct fixture *f)
{
	f->app = app_open(f->live);
	app_sql(f->app,
	    "PRAGMA busy_timeout=20; PRAGMA wal_autocheckpoint=0;"
	    "PRAGMA synchronous=OFF");
}

static void create(struct fixture *f, const char *page_size)
{
	char sql[64];

	start(f);
	app_reserve(f->app, f->reserved);
	snprintf(sql, sizeof(sql), "PRAGMA page_size=%s", page_size);
	app_sql(f->app, sql);
	app_sql(
	    f->app, "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL");
	app_sql(f->app,
	    "CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
	    "CREATE TABLE n(i); INSERT INTO n VALUES(0);"
	    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c"
	    " WHERE i < 600) INSERT INTO t(b) SELECT randomblob(700) FROM c");
}

/* ---- sessions ------------------------------------------------------------ */

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	(void) arg;
	if (strcmp(event, "long-log") != 0)
		fail_msg("%s: %s: %s", event, object, text);
}

static void act(struct fixture *f);

/* The session stands, and nobody has read of it. */
static void frozen(void *arg)
{
	struct fixture *f = arg;

	for (int n = f->busy ? 3 : 0; n > 0; n--)
		act(f);
}

static const struct kept_file *count(struct fixture *f)
{
	const struct kept_file *file = kept_find(&f->base, PATH);

	seen.n_sessions++;
	seen.n_pages += file->page_bytes ? file->size / file->page_bytes : 0;
	seen.n_compared += f->base.n_compared;
	seen.n_alarms += file->n_bad > 0;
	return file;
}

/* Take one, compared with the last, which it replaces. */
static const struct kept_file *take(struct fixture *f)
{
	struct kept_request request = {
	    .instance = f->instance,
	    .base = f->base.note ? &f->base : NULL,
	    .spool = &f->spool,
	    .catalog = f->catalog,
	    .observer = {.warn = warn, .arg = f},
	    .frozen = frozen,
	    .arg = f,
	};
	struct still_error err = STILL_ERROR_INIT;
	struct kept next;

	if (kept_take(&request, &next, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	kept_release(&f->base);
	f->base = next;
	assert_int_equal(sqlite_files_open_count(), 0);
	return count(f);
}

static const struct kept_file *take_well(struct fixture *f)
{
	const struct kept_file *file = take(f);

	if (file->n_bad)
		fail_msg("false alarm: %s", file->why);
	assert_int_equal(f->base.n_damages, 0);
	return file;
}

static void attach(struct fixture *f, enum still_pin_policy policy)
{
	const struct still_attach_options options = {
	    .freeze_limit_ns = INT64_C(10000000000),
	    .stall_limit_ns = INT64_C(20000000000),
	    .databases_max = 10,
	    .pin = policy,
	    .pin_limit_ns = INT64_C(20000000),
	};
	struct still_error err = STILL_ERROR_INIT;

	still_engine_detach(f->instance);
	if (still_engine_attach(&still_engine_sqlite,
		scratch_path(f->dir, "src"), &options, &f->instance, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static int setup(void **state)
{
	static const char *const dirs[] = {"src", "spool", "old"};
	struct fixture *f = calloc(1, sizeof(*f));
	struct still_error err = STILL_ERROR_INIT;

	f->dir = scratch_make();
	f->random = seed;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		assert_int_equal(mkdir(scratch_path(f->dir, dirs[i]), 0700), 0);
	f->live = strdup(scratch_path(f->dir, "src/a.db"));
	f->spool.path = strdup(scratch_path(f->dir, "spool"));
	if (still_catalog_open(
		scratch_path(f->dir, "state"), true, &f->catalog, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	f->files = app_open("");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_engine_detach(f->instance);
	app_close(f->app);
	app_close(f->files);
	kept_release(&f->base);
	still_catalog_close(f->catalog);
	free(f->spool.path);
	free(f->live);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- nobody is alarmed --------------------------------------------------- */

static void copy_file(const char *from, const char *to)
{
	char command[2 * PATH_MAX + 16];

	/* A process of its own: no lock is lost by a close in this one. */
	snprintf(command, sizeof(command), "cp %s %s", from, to);
	assert_int_equal(system(command), 0);
}

static const char *const suffixes[] = {"", "-wal"};

static void copy_all(struct fixture *f, const char *from, const char *to)
{
	for (int i = 0; i < 2; i++) {
		char names[2][64];

		snprintf(names[0], 64, "%s/a.db%s", from, suffixes[i]);
		snprintf(names[1], 64, "%s/a.db%s", to, suffixes[i]);
		if (access(scratch_path(f->dir, names[0]), F_OK) == 0)
			copy_file(scratch_path(f->dir, names[0]),
			    scratch_path(f->dir, names[1]));
		else
			unlink(scratch_path(f->dir, names[1]));
	}
}

/* The application is stopped, older files are put back over its own, and it goes
 * on. Same inode, same salts, another future. */
static void put_back(struct fixture *f)
{
	char shm[PATH_MAX];

	app_close(f->app);
	copy_all(f, "old", "src");
	snprintf(shm, sizeof(shm), "%s-shm", f->live);
	unlink(shm);
	start(f);
}

static void put_away(struct fixture *f)
{
	app_close(f->app);
	copy_all(f, "src", "old");
	start(f);
}

static void act(struct fixture *f)
{
	static const char *const statements[] = {
	    "UPDATE t SET b=randomblob(700) WHERE a % 50 = 3",
	    "UPDATE t SET b=randomblob(90) WHERE a < 20",
	    "UPDATE n SET i=i+1",
	    "DELETE FROM t WHERE a > (SELECT max(a) FROM t) - 40",
	    "DELETE FROM t WHERE a % 17 = 1; PRAGMA incremental_vacuum(5)",
	    "PRAGMA incremental_vacuum",
	    ("WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c"
	     " WHERE i < 60) INSERT INTO t(b) SELECT randomblob(700) FROM c"),
	    "VACUUM",
	    "PRAGMA wal_checkpoint(PASSIVE)",
	    "PRAGMA wal_checkpoint(PASSIVE)",
	    "PRAGMA wal_checkpoint(FULL)",
	    "PRAGMA wal_checkpoint(RESTART)",
	    "PRAGMA wal_checkpoint(TRUNCATE)",
	};

	run(f,
	    statements[below(f, sizeof(statements) / sizeof(statements[0]))]);
}

static void change(struct fixture *f)
{
	switch (below(f, 16)) {
	case 0:
		run(f, "PRAGMA journal_mode=DELETE");
		run(f, "UPDATE n SET i=i+1");
		run(f, "PRAGMA journal_mode=WAL");
		break;
	case 1:
		run(f, "PRAGMA journal_mode=DELETE");
		break;
	case 2:
		run(f, "PRAGMA journal_mode=WAL");
		break;
	case 3:
		if (access(scratch_path(f->dir, "old/a.db"), F_OK) == 0 &&
		    below(f, 2))
			put_back(f);
		else
			put_away(f);
		for (uint64_t n = below(f, 4); n > 0; n--)
			act(f);
		break;
	case 4:
		app_kill(f->app);
		start(f);
		break;
	case 5:
		/* Nothing at all. */
		break;
	default:
		for (uint64_t n = 1 + below(f, 5); n > 0; n--)
			act(f);
	}
}

static void no_alarm(void **state)
{
	static const enum still_pin_policy policies[] = {
	    STILL_PIN_AUTO, STILL_PIN_GOVERN, STILL_PIN_HOLD};
	struct fixture *f = *state;

	uint64_t n_compared = seen.n_compared;

	create(f, "1024");
	for (unsigned i = 0; i < n_rounds; i++) {
		if (i % 10 == 0)
			attach(f, policies[below(f, 3)]);
		change(f);
		f->busy = below(f, 2);
		take_well(f);
	}
	assert_true(seen.n_compared - n_compared > n_rounds || n_rounds < 100);
}

/* A log that is longer than it was, with the same salts, and yet another one. */
static void older_files(void **state)
{
	struct fixture *f = *state;

	create(f, "1024");
	attach(f, STILL_PIN_AUTO);
	run(f, "PRAGMA wal_checkpoint(TRUNCATE); UPDATE n SET i=i+1");
	put_away(f);
	run(f, "UPDATE t SET b=randomblob(700) WHERE a < 40");
	take_well(f);
	put_back(f);
	for (int i = 0; i < 5; i++)
		run(f,
		    "UPDATE t SET b=randomblob(700) WHERE a BETWEEN 90 AND"
		    " 140");
	run(f, "PRAGMA wal_checkpoint(PASSIVE)");
	take_well(f);
}

/* ---- bits ---------------------------------------------------------------- */

/* Turn a bit of page `page` (from 0) over; the same once more turns it back. */
static long flip(struct fixture *f, uint64_t page, uint32_t page_bytes)
{
	long off = (long) (page * page_bytes + below(f, page_bytes));

	app_flip(f->files, f->live, off);
	seen.n_flips++;
	return off;
}

static void alarms(struct fixture *f, uint64_t page)
{
	const struct kept_file *file = take(f);
	char words[64];

	assert_int_equal(file->n_bad, 1);
	assert_int_equal(file->first_bad, page);
	snprintf(words, sizeof(words),
	    "page %u of `a.db`: it is not what it was", (unsigned) page + 1);
	if (strncmp(file->why, words, strlen(words)) != 0)
		fail_msg("\"%s\" is not \"%s\"", file->why, words);
}

static uint64_t pages_of(const struct kept_file *file)
{
	return file->size / file->page_bytes;
}

/* Of a database in use: all of its log is in the file; or a new one has begun,
 * and more of it comes. */
static void of_a_log(void **state)
{
	struct fixture *f = *state;

	create(f, "4096");
	attach(f, STILL_PIN_AUTO);
	for (unsigned i = 0; i < 20 + n_rounds / 10; i++) {
		const struct kept_file *file;
		uint64_t page;
		long off;

		run(f, "UPDATE t SET b=randomblob(700) WHERE a % 40 = 1");
		run(f, "PRAGMA wal_checkpoint(PASSIVE)");
		if (i % 2)
			run(f, "UPDATE n SET i=i+1");
		file = take_well(f);
		/* None that the next commit writes. */
		page = pages_of(file) - 1 - below(f, pages_of(file) / 2);
		off = flip(f, page, file->page_bytes);
		if (i % 2)
			run(f, "UPDATE n SET i=i+1");
		alarms(f, page);
		app_flip(f->files, f->live, off);
	}
	take_well(f);
	assert_string_equal(app_sql(f->app, "PRAGMA integrity_check"), "ok");
}

/* Where a newer frame, or a log that began anew, may have changed a page, a bit is
 * nobody's business. */
static void of_what_may_have_changed(void **state)
{
	struct fixture *f = *state;
	const struct kept_file *file;

	create(f, "4096");
	attach(f, STILL_PIN_AUTO);
	run(f, "PRAGMA wal_checkpoint(TRUNCATE)");
	run(f, "UPDATE t SET b=randomblob(700) WHERE a < 200");
	/* In the log for the base, and written back since. */
	take_well(f);
	run(f, "UPDATE t SET b=randomblob(700) WHERE a < 300");
	run(f, "PRAGMA wal_checkpoint(PASSIVE)");
	take_well(f);
	assert_true(f->base.n_compared > 10);
	file = take_well(f);
	run(f, "UPDATE t SET b=randomblob(700)");
	flip(f, pages_of(file) - 1, file->page_bytes);
	file = take_well(f);
	run(f, "PRAGMA wal_checkpoint(TRUNCATE)");
	run(f, "UPDATE n SET i=i+1");
	flip(f, pages_of(file) - 1, file->page_bytes);
	take_well(f);
	assert_int_equal(f->base.n_compared, 0);
}

/* ---- each rule ----------------------------------------------------------- */

/* What the base noted of the database. */
static json_t *noted(struct fixture *f)
{
	return json_array_get(json_object_get(f->base.note, "databases"), 0);
}

static void other_number(struct fixture *f, const char *key, int more)
{
	json_int_t value = json_integer_value(json_object_get(noted(f), key));

	json_object_set_new(noted(f), key, json_integer(value + more));
}

static void other_salts(struct fixture *f)
{
	json_object_set_new(noted(f), "salts", json_string("0123456789abcdef"));
}

static void other_checksum(struct fixture *f)
{
	json_array_set_new(
	    json_object_get(noted(f), "frame_checksum"), 1, json_integer(77));
}

static void other_device(struct fixture *f)
{
	other_number(f, "dev", 1);
}

static void other_inode(struct fixture *f)
{
	other_number(f, "ino", 1);
}

static void later_frame(struct fixture *f)
{
	other_number(f, "last_frame", 1000);
}

static void earlier_frame(struct fixture *f)
{
	other_number(f, "last_frame", -1);
}

static void no_log(struct fixture *f)
{
	json_object_set_new(noted(f), "last_frame", json_integer(0));
}

static void more_in_the_file(struct fixture *f)
{
	other_number(f, "backfilled_frames", 1000);
}

static void other_length(struct fixture *f)
{
	other_number(f, "pages", -1);
}

static void a_rollback_journal(struct fixture *f)
{
	json_object_set_new(noted(f), "rollback", json_true());
}

static void page_checksums(struct fixture *f)
{
	json_object_set_new(noted(f), "page_checksums", json_true());
}

static void (*const others[])(struct fixture *f) = {
    other_salts,
    other_checksum,
    other_device,
    other_inode,
    later_frame,
    earlier_frame,
    no_log,
    more_in_the_file,
    other_length,
    a_rollback_journal,
    page_checksums,
};

/* A base that differs in one of the things by which it is known that a page cannot
 * have changed: then nothing is compared, and a bit is nobody's business. */
static void of_another_base(void **state)
{
	struct fixture *f = *state;
	const size_t n = sizeof(others) / sizeof(others[0]);

	create(f, "4096");
	attach(f, STILL_PIN_AUTO);
	for (size_t i = 0; i <= n; i++) {
		const struct kept_file *file;
		uint64_t page;
		long off;

		run(f, "UPDATE t SET b=randomblob(700) WHERE a % 40 = 1");
		run(f, "UPDATE n SET i=i+1");
		run(f, "PRAGMA wal_checkpoint(PASSIVE)");
		kept_release(&f->base);
		file = take_well(f);
		page = pages_of(file) - 1;
		off = flip(f, page, file->page_bytes);
		if (i < n) {
			others[i](f);
			take_well(f);
			if (f->base.n_compared)
				fail_msg("%zu: it was compared", i);
		} else {
			alarms(f, page);
		}
		app_flip(f->files, f->live, off);
	}
}

/* A log made by hand, as an application may leave it. */
struct forged {
	char path[PATH_MAX];
	uint8_t *pages; /* owned; of the database */
	uint32_t page_bytes;
	uint32_t n_pages;
	uint8_t salts[8];
	struct sqlite_checksum sum;
};

static void forge_bytes(struct forged *log, const void *bytes, size_t len)
{
	int fd = open(
	    log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

/* SQLite takes a log for damaged that makes the file longer by more than its own
 * length and 64 KiB. */
#define CUT_PAGES 40

/* The database is whole, and nobody has it open. */
static void forge(struct fixture *f, uint32_t page_bytes, struct forged *ret)
{
	uint8_t header[SQLITE_WAL_HEADER_BYTES];
	struct stat st;
	int fd = open(f->live, O_RDONLY | O_CLOEXEC);

	memset(ret, 0, sizeof(*ret));
	snprintf(ret->path, sizeof(ret->path), "%s-wal", f->live);
	memcpy(ret->salts, "saltsalt", 8);
	assert_int_equal(fstat(fd, &st), 0);
	ret->page_bytes = page_bytes;
	ret->n_pages = (uint32_t) (st.st_size / page_bytes);
	ret->pages = malloc((size_t) st.st_size);
	assert_int_equal(read(fd, ret->pages, (size_t) st.st_size), st.st_size);
	close(fd);
	unlink(ret->path);
	ret->sum = sqlite_wal_header_write(page_bytes, ret->salts, header);
	forge_bytes(ret, header, sizeof(header));
}

static void forge_frame(struct forged *log, uint32_t page, uint32_t n_commit)
{
	struct sqlite_frame_header header = {
	    .page = page, .n_pages_commit = n_commit};
	uint8_t bytes[SQLITE_FRAME_HEADER_BYTES];
	const uint8_t *data = log->pages + (page - 1) * log->page_bytes;

	memcpy(header.salts, log->salts, sizeof(header.salts));
	sqlite_frame_header_write(
	    &header, data, log->page_bytes, &log->sum, bytes);
	forge_bytes(log, bytes, sizeof(bytes));
	forge_bytes(log, data, log->page_bytes);
}

/* A commit after which the database has `n` pages; `last`: the last of them was
 * written, and no other. */
static void forge_commit(struct forged *log, uint32_t n, bool last)
{
	for (int i = 0; i < 4; i++)
		log->pages[28 + i] = (uint8_t) (n >> (24 - 8 * i));
	forge_frame(log, 1, last ? 0 : n);
	if (last)
		forge_frame(log, n, n);
}

/* The application comes, and finds the log. */
static void recover(struct fixture *f)
{
	char shm[PATH_MAX];

	snprintf(shm, sizeof(shm), "%s-shm", f->live);
	unlink(shm);
	start(f);
	app_sql(f->app, "SELECT count(*) FROM n");
}

static void has_pages(struct fixture *f, const struct forged *log, uint32_t n)
{
	struct stat st;

	assert_int_equal(stat(f->live, &st), 0);
	assert_int_equal(st.st_size, (off_t) n * log->page_bytes);
}

static void begin_forging(struct fixture *f, struct forged *ret)
{
	create(f, "1024");
	run(f, "PRAGMA wal_checkpoint(TRUNCATE)");
	attach(f, STILL_PIN_AUTO);
	app_close(f->app);
	forge(f, 1024, ret);
}

/* The end of the database was cut off, and belongs to it again: as free pages,
 * which nobody wrote. What is there now is zeros. */
static void cut_and_grown(void **state)
{
	struct fixture *f = *state;
	struct forged log;
	uint32_t n;

	begin_forging(f, &log);
	n = log.n_pages;
	forge_commit(&log, n, false);
	recover(f);
	take_well(f);
	app_close(f->app);
	forge_commit(&log, n - CUT_PAGES, false);
	recover(f);
	run(f, "PRAGMA wal_checkpoint(PASSIVE)");
	has_pages(f, &log, n - CUT_PAGES);
	app_close(f->app);
	forge_commit(&log, n, true);
	recover(f);
	run(f, "PRAGMA wal_checkpoint(PASSIVE)");
	has_pages(f, &log, n);
	take_well(f);
	/* But for page 1. */
	assert_int_equal(f->base.n_compared, n - CUT_PAGES - 1);
	free(log.pages);
}

/* Likewise; but all of the log was there for the base, and a checkpoint that had
 * begun with a part of it cut the file after that. */
static void cut_late(void **state)
{
	struct fixture *f = *state;
	struct forged log;
	uint32_t n;

	begin_forging(f, &log);
	n = log.n_pages;
	forge_commit(&log, n - CUT_PAGES, false);
	forge_commit(&log, n, true);
	recover(f);
	take_well(f);
	assert_int_equal(truncate(f->live, (off_t) (n - CUT_PAGES) * 1024), 0);
	run(f, "PRAGMA wal_checkpoint(PASSIVE)");
	has_pages(f, &log, n);
	take_well(f);
	assert_int_equal(f->base.n_compared, n - CUT_PAGES);
	free(log.pages);
}

static void not_settled(struct fixture *f)
{
	json_object_set_new(noted(f), "settled", json_false());
}

static void other_boot(struct fixture *f)
{
	other_number(f, "boot", 1);
}

static void other_size(struct fixture *f)
{
	other_number(f, "size", 512);
}

static void other_mtime(struct fixture *f)
{
	other_number(f, "mtime_ns", 1);
}

static void other_ctime(struct fixture *f)
{
	other_number(f, "ctime_ns", 1);
}

static void other_counter(struct fixture *f)
{
	other_number(f, "change_counter", 1);
}

static void other_journal(struct fixture *f)
{
	bool is = json_is_true(json_object_get(noted(f), "rollback"));

	json_object_set_new(noted(f), "rollback", json_boolean(!is));
}

static void a_frame(struct fixture *f)
{
	json_object_set_new(noted(f), "last_frame", json_integer(1));
}

static void (*const other_files[])(struct fixture *f) = {
    not_settled,
    other_boot,
    other_device,
    other_inode,
    other_size,
    other_mtime,
    other_ctime,
    other_counter,
    other_length,
    other_journal,
    page_checksums,
    a_frame,
};

/* The base is one of a file that differs in one thing. The one after it is not. */
static void of_other_files(struct fixture *f)
{
	for (size_t i = 0; i < sizeof(other_files) / sizeof(other_files[0]);
	     i++) {
		other_files[i](f);
		take_well(f);
		if (f->base.n_compared)
			fail_msg("%zu: it was compared", i);
	}
}

/* Nothing has changed at all, and the times say so. They cannot be set back after
 * a write, so the bit is turned over in what the base remembers. */
static void of_the_same_file(void **state)
{
	static const char *const modes[] = {"DELETE", "WAL"};
	struct fixture *f = *state;

	create(f, "512");
	for (int i = 0; i < 2; i++) {
		struct still_page_sums sums;
		char sql[64];

		snprintf(sql, sizeof(sql), "PRAGMA journal_mode=%s", modes[i]);
		app_sql(f->app, sql);
		app_sql(f->app, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
		attach(f, STILL_PIN_AUTO);
		still_sys_sleep_ns(SETTLE_NS);
		take_well(f);
		of_other_files(f);
		take_well(f);
		assert_true(f->base.n_compared > 600);
		assert_int_equal(
		    f->base.base.page_sums(&f->base, PATH, &sums, NULL), 0);
		((uint64_t *) sums.sums)[77] ^= 1;
		alarms(f, 77);
		/* Somebody writes: nothing is known any more. */
		take(f);
		kept_release(&f->base);
		take_well(f);
		f->base.base.page_sums(&f->base, PATH, &sums, NULL);
		((uint64_t *) sums.sums)[77] ^= 1;
		app_sql(f->app,
		    "UPDATE n SET i=i+1;"
		    "PRAGMA wal_checkpoint(TRUNCATE)");
		take_well(f);
		kept_release(&f->base);
	}
}

/* A database that has room for the sums of the checksum VFS, and none yet: who has
 * the VFS, and does not verify, makes them when he writes the log back, of pages
 * which the log has without. Here that is done by hand. */
static void of_sums_to_come(void **state)
{
	struct fixture *f = *state;
	const struct kept_file *file;

	f->reserved = 8;
	create(f, "4096");
	run(f, "PRAGMA wal_checkpoint(TRUNCATE)");
	attach(f, STILL_PIN_AUTO);
	run(f, "UPDATE t SET b=randomblob(700) WHERE a > 590");
	file = take_well(f);
	run(f, "PRAGMA wal_checkpoint(PASSIVE)");
	app_flip(f->files, f->live, (long) file->size - 1);
	take_well(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    TEST(of_a_log),
	    TEST(of_what_may_have_changed),
	    TEST(of_the_same_file),
	    TEST(of_another_base),
	    TEST(cut_and_grown),
	    TEST(cut_late),
	    TEST(of_sums_to_come),
	    TEST(older_files),
	    TEST(no_alarm),
	};
	const char *wanted = getenv("ROUNDS");
	int rc = app_main(argc, argv);

	if (rc >= 0)
		return rc;
	if (wanted)
		n_rounds = (unsigned) atoi(wanted);
	else
		scratch_watchdog();
	seed = scratch_seed();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	printf("%u sessions, %llu pages served, %llu compared; %u bits turned "
	       "over, %u sessions alarmed\n",
	    seen.n_sessions, (unsigned long long) seen.n_pages,
	    (unsigned long long) seen.n_compared, seen.n_flips, seen.n_alarms);
	return rc;
}
