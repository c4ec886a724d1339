/* SPDX-License-Identifier: MIT */
/* One step of a pin, by hand: whatever the application did before and does
 * after it, and wherever the step fails, the image is what it was. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/sys.h"
#include "engines/sqlite/index.h"
#include "engines/sqlite/rescue.h"
#include "engines/sqlite/tick.h"
#include "tests/lib/app.h"
#include "tests/lib/frozen.h"
#include "tests/unit/scratch.h"

#define MIB (UINT64_C(1) << 20)

struct fixture {
	char *dir;
	unsigned n_fds;
	uint64_t random;
	struct app *app;
	struct app *probe;
	struct frozen frozen;
	uint8_t *want; /* the image, read under the pin that it was frozen by */
	pthread_mutex_t lock;
	atomic_bool cancel;
};

static uint64_t seed;

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->n_fds = scratch_count_fds();
	f->random = seed;
	f->probe = app_open("");
	pthread_mutex_init(&f->lock, NULL);
	frozen_open(&f->frozen, f->dir);
	/* As much as the disk of the test has. */
	f->frozen.spool.max_bytes = 1024 * MIB;
	*state = f;
	return 0;
}

static void forget(struct fixture *f)
{
	frozen_release(&f->frozen);
	assert_int_equal(atomic_load(&f->frozen.spool.used_bytes), 0);
	free(f->want);
	f->want = NULL;
}

static void end_app(struct fixture *f)
{
	char path[PATH_MAX];

	app_close(f->app);
	f->app = NULL;
	snprintf(path, sizeof(path), "%s/a.db", f->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/a.db-wal", f->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/a.db-shm", f->dir);
	unlink(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	forget(f);
	frozen_close(&f->frozen);
	end_app(f);
	app_close(f->probe);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	pthread_mutex_destroy(&f->lock);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

static void sql(struct fixture *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void sql(struct fixture *f, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	app_sql(f->app, text);
}

/* An application with `n` rows, of a page and more each, in the file or in the
 * log. */
static void make(struct fixture *f, unsigned page_size, unsigned n, bool logged)
{
	f->app = app_open(scratch_path(f->dir, "a.db"));
	sql(f,
	    "PRAGMA page_size = %u; PRAGMA auto_vacuum = FULL;"
	    "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;"
	    "PRAGMA synchronous = OFF;"
	    "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);"
	    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c "
	    "WHERE n < %u) INSERT INTO t(v) SELECT randomblob(%u) FROM c",
	    page_size, n, page_size - 100);
	if (!logged)
		sql(f, "PRAGMA wal_checkpoint(TRUNCATE)");
}

static void freeze(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;

	forget(f);
	frozen_take(&f->frozen, "a.db");
	assert_int_equal(f->frozen.image.damage.code, 0);
	f->want = frozen_copy(&f->frozen);
	if (sqlite_hop_prepare(&f->frozen.image.pin, f->frozen.root_fd, &err) <
		0 ||
	    sqlite_image_prepare_saved(&f->frozen.image, &err) < 0)
		fail_msg("%s", still_error_msg(&err));
}

static void is_right(struct fixture *f)
{
	frozen_is(&f->frozen, f->want);
}

static int try_tick(struct fixture *f, bool *ret_moved, struct still_error *err)
{
	struct sqlite_tick tick = {
	    .image = &f->frozen.image,
	    .observer = &f->frozen.image.observer,
	    .cancel = &f->cancel,
	    .avoid = -1,
	    .lock = &f->lock,
	};

	return sqlite_tick(&tick, ret_moved, err);
}

static const struct sqlite_hold *hold_of(struct fixture *f)
{
	return &f->frozen.image.pin.hold;
}

/* It moves, and stands at the newest commit then. */
static void tick(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;
	struct sqlite_index_header now;
	bool moved = false;

	if (try_tick(f, &moved, &err) < 0)
		fail_msg("%s", still_error_msg(&err));
	assert_true(moved);
	assert_true(sqlite_index_read(f->frozen.image.pin.index, &now));
	assert_memory_equal(&hold_of(f)->header, &now, sizeof(now));
	is_right(f);
}

/* It fails, and the pin stays where it is. */
static void fails(struct fixture *f, int code, const char *message)
{
	struct sqlite_hold before = *hold_of(f);
	struct still_error err = STILL_ERROR_INIT;
	bool moved = true;

	assert_int_equal(try_tick(f, &moved, &err), code);
	assert_false(moved);
	if (!strstr(still_error_msg(&err), message))
		fail_msg("\"%s\" does not say \"%s\"", still_error_msg(&err),
		    message);
	still_error_clear(&err);
	assert_memory_equal(hold_of(f), &before, sizeof(before));
	is_right(f);
}

static void checkpoint(struct fixture *f, const char *mode)
{
	sql(f, "PRAGMA wal_checkpoint(%s)", mode);
	is_right(f);
}

/* What the application may do about a step, before, between and after. */
static void step_among_checkpoints(struct fixture *f)
{
	is_right(f);
	checkpoint(f, "PASSIVE");
	tick(f);
	checkpoint(f, "PASSIVE");
	tick(f);
	checkpoint(f, "TRUNCATE");
	tick(f);
}

/* A freeze, something that is committed, and that. */
static void around(struct fixture *f, const char *statements)
{
	freeze(f);
	for (int i = 0; i < 3; i++) {
		sql(f, "%s", statements);
		step_among_checkpoints(f);
	}
	/* Once all is written back the pin lets the log begin anew, and it
	 * did. */
	assert_int_equal(hold_of(f)->slot, 0);
	assert_true(atomic_load(&f->frozen.image.flat));
	assert_int_equal(hold_of(f)->header.max_frame, 0);
}

static void for_each_size(struct fixture *f, const char *statements)
{
	static const unsigned page_sizes[] = {512, 4096, 65536};

	for (size_t i = 0; i < 3; i++)
		for (int logged = 0; logged < 2; logged++) {
			make(f, page_sizes[i], 40, logged);
			around(f, statements);
			forget(f);
			end_app(f);
		}
}

/* ---- what an application does -------------------------------------------- */

static void after_commits(void **state)
{
	for_each_size(*state,
	    "UPDATE t SET v = randomblob(length(v)) WHERE id % 7 = 0;"
	    "UPDATE t SET v = randomblob(length(v)) WHERE id = 3");
}

static void after_growth(void **state)
{
	for_each_size(*state,
	    "INSERT INTO t(v) SELECT v FROM t LIMIT 30;"
	    "UPDATE t SET v = randomblob(length(v)) WHERE id > 20");
}

static void after_vacuum(void **state)
{
	for_each_size(*state,
	    "DELETE FROM t WHERE id % 5 = 1; VACUUM;"
	    "UPDATE t SET v = randomblob(length(v)) WHERE id % 3 = 0");
}

/* The end of the file is cut off, and what grows there again is another
 * thing: or is nothing at all, a page that is free. */
static void after_shrink_and_regrowth(void **state)
{
	for_each_size(*state,
	    "DELETE FROM t WHERE id > 5;"
	    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c "
	    "WHERE n < 60) INSERT INTO t(v) SELECT zeroblob(10000) FROM c;"
	    "DELETE FROM t WHERE id > 20");
}

static void after_drop(void **state)
{
	for_each_size(*state,
	    "DROP TABLE t; CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);"
	    "INSERT INTO t(v) VALUES(randomblob(2000))");
}

/* A rolled back transaction leaves frames behind the end of the log. */
static void after_a_rollback(void **state)
{
	for_each_size(*state,
	    "PRAGMA cache_size = 2; BEGIN; UPDATE t SET v = randomblob(100);"
	    "ROLLBACK; UPDATE t SET v = randomblob(length(v)) WHERE id = 4");
}

/* ---- a log that begins anew ------------------------------------------------ */

/* Under read lock 0, where it may: with each commit, in as many frames as before,
 * more and fewer. */
static void log_restarts(void **state)
{
	struct fixture *f = *state;
	uint8_t salts[8] = {0};

	make(f, 1024, 60, false);
	freeze(f);
	for (int i = 0; i < 12; i++) {
		sql(f, "UPDATE t SET v = randomblob(900) WHERE id %% %d = 0",
		    1 + i * 5 % 4);
		is_right(f);
		tick(f);
		checkpoint(f, i % 2 ? "PASSIVE" : "RESTART");
		tick(f);
		assert_int_equal(hold_of(f)->slot, 0);
		assert_int_not_equal(
		    memcmp(salts, hold_of(f)->header.salts, 8), 0);
		memcpy(salts, hold_of(f)->header.salts, 8);
	}
}

/* It was all in the file when the pin was set to read lock 0; then a log that
 * was never seen came, and went into the file under another pin. */
static void restart_under_lock_0(void **state)
{
	struct fixture *f = *state;

	make(f, 1024, 60, true);
	freeze(f);
	checkpoint(f, "PASSIVE");
	tick(f);
	assert_int_equal(hold_of(f)->slot, 0);
	sql(f, "UPDATE t SET v = randomblob(900) WHERE id < 30");
	is_right(f);
	/* Nothing of it can be written back before the pin has seen it. */
	checkpoint(f, "PASSIVE");
	assert_int_equal(sqlite_index_backfill(f->frozen.image.pin.index), 0);
	tick(f);
	assert_true(hold_of(f)->slot > 0);
	checkpoint(f, "PASSIVE");
	assert_int_not_equal(
	    sqlite_index_backfill(f->frozen.image.pin.index), 0);
	tick(f);
	is_right(f);
}

static void resum(struct sqlite_index_header *header)
{
	uint16_t probe = 1;
	bool big_endian = *(uint8_t *) &probe == 0;

	header->checksum = sqlite_checksum_add((struct sqlite_checksum){0, 0},
	    big_endian, header, offsetof(struct sqlite_index_header, checksum));
	assert_true(sqlite_index_header_valid(header));
}

/* The header that all processes share, with other salts or back. */
static void change_salts(struct fixture *f)
{
	struct sqlite_index *index =
	    (void *) (uintptr_t) f->frozen.image.pin.index;

	for (int i = 0; i < 2; i++) {
		index->header[i].salts[0] ^= 1;
		resum(&index->header[i]);
	}
}

/* Under a mark it may not, and no SQLite does it. */
static void restart_under_a_mark(void **state)
{
	struct fixture *f = *state;

	make(f, 1024, 60, true);
	freeze(f);
	assert_int_not_equal(hold_of(f)->slot, 0);
	change_salts(f);
	fails(f, STILL_ERR_LOST,
	    "database `a.db`: the snapshot is no longer protected, its log was "
	    "restarted");
	change_salts(f);
	sql(f, "UPDATE t SET v = randomblob(900) WHERE id < 30");
	tick(f);
	assert_true(hold_of(f)->slot > 0);
	change_salts(f);
	fails(f, STILL_ERR_LOST, "restarted");
	change_salts(f);
	step_among_checkpoints(f);
}

/* ---- where it fails ---------------------------------------------------------- */

static void flip_log(struct fixture *f, uint64_t off_bytes)
{
	app_flip(f->probe, scratch_path(f->dir, "a.db-wal"), (long) off_bytes);
}

/* Each field of a frame, first and last. */
static void damaged_frame(void **state)
{
	static const unsigned offsets[] = {0, 7, 8, 15, 16, 23, 24, 24 + 1023};
	struct fixture *f = *state;

	make(f, 1024, 40, false);
	freeze(f);
	sql(f, "UPDATE t SET v = randomblob(900) WHERE id < 20");
	for (size_t i = 0; i < 2 * sizeof(offsets) / sizeof(*offsets); i++) {
		struct sqlite_index_header now;
		uint32_t frame = 1;
		char message[64];

		assert_true(sqlite_index_read(f->frozen.image.pin.index, &now));
		if (i % 2)
			frame = now.max_frame;
		snprintf(message, sizeof(message), "log frame %u of `a.db-wal`",
		    frame);
		flip_log(f, sqlite_frame_offset(frame, 1024) + offsets[i / 2]);
		fails(f, STILL_ERR_CORRUPT, message);
		checkpoint(f, "PASSIVE");
		flip_log(f, sqlite_frame_offset(frame, 1024) + offsets[i / 2]);
	}
	step_among_checkpoints(f);
}

/* A log that is shorter than the wal-index says. */
static void log_is_cut(void **state)
{
	struct fixture *f = *state;
	struct sqlite_index_header now;
	off_t len;

	make(f, 1024, 40, true);
	freeze(f);
	sql(f, "UPDATE t SET v = randomblob(900) WHERE id < 20");
	assert_true(sqlite_index_read(f->frozen.image.pin.index, &now));
	len = (off_t) sqlite_frame_offset(now.max_frame, 1024);
	assert_int_equal(
	    truncate(scratch_path(f->dir, "a.db-wal"), len + 500), 0);
	fails(f, STILL_ERR_CORRUPT, "of `a.db-wal`");
	assert_int_equal(truncate(scratch_path(f->dir, "a.db-wal"), len), 0);
	fails(f, STILL_ERR_CORRUPT, "of `a.db-wal`");
}

/* A frame of the image itself is damaged: its page is to be had no more, now as
 * later, and all others are. */
static void damaged_page(void **state)
{
	struct fixture *f = *state;
	struct sqlite_image *image = &f->frozen.image;
	struct still_error err = STILL_ERROR_INIT;
	struct sqlite_walmap_entry entry;
	uint8_t page[1024];
	char message[256];

	make(f, 1024, 40, true);
	freeze(f);
	assert_true(image->map.n > 20);
	entry = image->map.entries[10];
	flip_log(f, sqlite_frame_offset(entry.frame, 1024) + 100);
	assert_int_equal(
	    sqlite_image_read(
		image, (uint64_t) (entry.page - 1) * 1024, page, 1024, &err),
	    STILL_ERR_CORRUPT);
	snprintf(message, sizeof(message), "%s", still_error_msg(&err));
	for (int i = 0; i < 3; i++) {
		bool moved = false;

		sql(f, "UPDATE t SET v = randomblob(length(v))");
		assert_int_equal(try_tick(f, &moved, NULL), 0);
		assert_true(moved);
		app_try(f->app, "PRAGMA wal_checkpoint(TRUNCATE)");
		still_error_clear(&err);
		assert_int_equal(
		    sqlite_image_read(image, (uint64_t) (entry.page - 1) * 1024,
			page, 1024, &err),
		    STILL_ERR_CORRUPT);
		assert_string_equal(still_error_msg(&err), message);
		for (uint32_t p = 1; p <= image->n_pages; p++) {
			if (p == entry.page)
				continue;
			assert_int_equal(
			    sqlite_image_read(image, (uint64_t) (p - 1) * 1024,
				page, 1024, NULL),
			    0);
			assert_memory_equal(
			    page, f->want + (size_t) (p - 1) * 1024, 1024);
		}
	}
	still_error_clear(&err);
}

/* No room at first, none in the middle, and then there is some. */
static void no_room(void **state)
{
	struct fixture *f = *state;

	make(f, 4096, 1000, false);
	freeze(f);
	f->frozen.spool.max_bytes = 1;
	sql(f, "UPDATE t SET v = randomblob(length(v)) WHERE id %% 20 = 1");
	fails(f, STILL_ERR_NOSPACE, "`spool_max` allows 1");
	checkpoint(f, "PASSIVE");
	f->frozen.spool.max_bytes = 2 * MIB;
	sql(f, "UPDATE t SET v = randomblob(length(v))");
	fails(f, STILL_ERR_NOSPACE, "`spool_max` allows 2097152");
	assert_int_equal(
	    sqlite_saved_bytes(&f->frozen.image.saved) > MIB, true);
	checkpoint(f, "PASSIVE");
	fails(f, STILL_ERR_NOSPACE, "`spool_max` allows 2097152");
	f->frozen.spool.max_bytes = 1024 * MIB;
	step_among_checkpoints(f);
}

static void cancelled(void **state)
{
	struct fixture *f = *state;

	make(f, 1024, 40, false);
	freeze(f);
	sql(f, "UPDATE t SET v = randomblob(length(v))");
	atomic_store(&f->cancel, true);
	fails(f, STILL_ERR_CANCELLED, "a.db");
	checkpoint(f, "PASSIVE");
	atomic_store(&f->cancel, false);
	step_among_checkpoints(f);
}

/* Readers older than the pin have all slots: no failure, and no hop. */
static void no_lock(void **state)
{
	struct fixture *f = *state;
	struct app *readers[SQLITE_INDEX_READERS - 1];
	struct sqlite_hold before;
	bool moved = true;

	make(f, 1024, 40, true);
	for (int i = 0; i < SQLITE_INDEX_READERS - 1; i++) {
		sql(f, "UPDATE t SET v = randomblob(900) WHERE id = 1");
		readers[i] = app_open(scratch_path(f->dir, "a.db"));
		app_sql(readers[i], "BEGIN; SELECT count(*) FROM t");
	}
	freeze(f);
	before = *hold_of(f);
	sql(f, "UPDATE t SET v = randomblob(900)");
	assert_int_equal(try_tick(f, &moved, NULL), 0);
	assert_false(moved);
	assert_memory_equal(hold_of(f), &before, sizeof(before));
	is_right(f);
	for (int i = 0; i < SQLITE_INDEX_READERS - 1; i++)
		app_close(readers[i]);
	step_among_checkpoints(f);
}

/* ---- disks ------------------------------------------------------------------- */

static struct {
	unsigned n; /* the call that fails, from 1 */
	unsigned n_calls;
	bool for_good; /* and all behind it */
} disk;

static int fail_nth(enum still_sys_call call)
{
	if (call == STILL_SYS_OPEN || call == STILL_SYS_FSTAT)
		return 0;
	disk.n_calls++;
	return disk.n_calls == disk.n ||
		(disk.for_good && disk.n_calls > disk.n)
	    ? EIO
	    : 0;
}

/* One step with a disk that fails at its n-th access: false when there were not
 * so many. */
static bool fails_at(struct fixture *f, unsigned n, bool for_good)
{
	struct still_error err = STILL_ERROR_INIT;
	struct sqlite_index_header now;
	struct sqlite_hold before;
	bool moved = false;
	int rc;

	freeze(f);
	sql(f,
	    "UPDATE t SET v = randomblob(length(v)) WHERE id BETWEEN 3 AND 9;"
	    "DELETE FROM t WHERE id > (SELECT max(id) - 3 FROM t)");
	before = *hold_of(f);
	disk.n = n;
	disk.n_calls = 0;
	disk.for_good = for_good;
	still_sys_fault = fail_nth;
	rc = try_tick(f, &moved, &err);
	still_sys_fault = NULL;
	assert_int_equal(moved, rc == 0);
	assert_true(sqlite_index_read(f->frozen.image.pin.index, &now));
	assert_memory_equal(
	    &hold_of(f)->header, moved ? &now : &before.header, sizeof(now));
	if (rc < 0)
		assert_true(rc == STILL_ERR_IO || rc == STILL_ERR_CORRUPT);
	if (for_good && disk.n_calls >= n)
		assert_true(rc < 0);
	still_error_clear(&err);
	is_right(f);
	checkpoint(f, "PASSIVE");
	tick(f);
	checkpoint(f, "TRUNCATE");
	tick(f);
	checkpoint(f, "TRUNCATE");
	sql(f,
	    "INSERT INTO t(v) SELECT v FROM t ORDER BY id LIMIT 3;"
	    "PRAGMA wal_checkpoint(TRUNCATE)");
	return disk.n_calls >= n;
}

static void disk_fails_once(void **state)
{
	struct fixture *f = *state;
	unsigned n = 1;

	make(f, 512, 40, true);
	while (fails_at(f, n, false))
		n++;
	assert_true(n > 10);
}

static void disk_fails_for_good(void **state)
{
	struct fixture *f = *state;
	unsigned n = 1;

	make(f, 512, 40, true);
	while (fails_at(f, n, true))
		n++;
	assert_true(n > 10);
}

/* ---- the page of the lock bytes -------------------------------------------- */

/* Nobody writes it; saved by itself and in a piece it is what it is for every
 * reader, zeros. The file is sparse, and takes no room. */
static void lock_page(void **state)
{
	struct fixture *f = *state;
	struct sqlite_image *image = &f->frozen.image;
	const uint32_t lock = (uint32_t) (SQLITE_LOCK_BYTE / 4096) + 1;
	uint32_t pages[] = {lock, lock - 1};
	uint8_t counts[4] = {0};
	uint8_t *bytes = malloc(SQLITE_PIECE_BYTES);
	struct still_error err = STILL_ERROR_INIT;
	int fd;

	assert_non_null(bytes);
	make(f, 4096, 4, false);
	app_close(f->app);
	f->app = NULL;
	fd = open(scratch_path(f->dir, "a.db"), O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	counts[1] = (uint8_t) (lock >> 16);
	counts[2] = (uint8_t) (lock >> 8);
	counts[3] = (uint8_t) (lock + 1);
	assert_int_equal(pwrite(fd, counts, 4, 28), 4);
	assert_int_equal(ftruncate(fd, (off_t) SQLITE_LOCK_BYTE + 8192), 0);
	assert_int_equal(
	    pwrite(fd, "last", 4, (off_t) SQLITE_LOCK_BYTE - 4096), 4);
	close(fd);
	f->app = app_open(scratch_path(f->dir, "a.db"));
	sql(f, "SELECT count(*) FROM t");
	frozen_take(&f->frozen, "a.db");
	assert_int_equal(image->n_pages, lock + 1);
	assert_int_equal(sqlite_image_prepare_saved(image, &err), 0);
	if (sqlite_rescue_pages(image, pages, 2, &f->cancel, &err) < 0 ||
	    sqlite_rescue_piece(image, (lock - 1) / 16 - 1, &err) < 0 ||
	    sqlite_rescue_tail(image, lock, &f->cancel, &err) < 0)
		fail_msg("%s", still_error_msg(&err));
	assert_true(sqlite_saved_has(&image->saved, lock));
	assert_true(sqlite_saved_has(&image->saved, lock - 1));
	assert_true(sqlite_saved_has_piece(&image->saved, (lock - 1) / 16));
	/* From the spool, whatever becomes of the file. */
	assert_int_equal(truncate(scratch_path(f->dir, "a.db"), 65536), 0);
	assert_int_equal(sqlite_image_read(
			     image, SQLITE_LOCK_BYTE - 4096, bytes, 8192, &err),
	    0);
	assert_memory_equal(bytes, "last", 4);
	for (size_t i = 4; i < 8192; i++)
		assert_int_equal(bytes[i], 0);
	free(bytes);
}

/* ---- all of it ------------------------------------------------------------- */

static void do_anything(struct fixture *f)
{
	unsigned n = 1 + (unsigned) scratch_below(&f->random, 30);

	switch (scratch_below(&f->random, 9)) {
	case 0:
		sql(f, "VACUUM");
		break;
	case 1:
		sql(f, "DELETE FROM t WHERE id > 10 AND id %% 3 = %u", n % 3);
		break;
	case 2:
		sql(f, "INSERT INTO t(v) SELECT v FROM t LIMIT %u", n);
		break;
	case 3:
	case 4:
		sql(f,
		    "UPDATE t SET v = randomblob(length(v)) WHERE id %% %u = 0",
		    n);
		break;
	case 5:
		checkpoint(f, "PASSIVE");
		break;
	case 6:
		checkpoint(f, "TRUNCATE");
		break;
	default:
		tick(f);
	}
}

static void anything(void **state)
{
	static const unsigned page_sizes[] = {512, 1024, 8192};
	struct fixture *f = *state;

	for (size_t i = 0; i < 3; i++) {
		make(f, page_sizes[i], 60, i % 2);
		for (int round = 0; round < 4; round++) {
			freeze(f);
			for (int step = 0; step < 60; step++)
				do_anything(f);
			is_right(f);
		}
		forget(f);
		end_app(f);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    TEST(after_commits),
	    TEST(after_growth),
	    TEST(after_vacuum),
	    TEST(after_shrink_and_regrowth),
	    TEST(after_drop),
	    TEST(after_a_rollback),
	    TEST(log_restarts),
	    TEST(restart_under_lock_0),
	    TEST(restart_under_a_mark),
	    TEST(damaged_frame),
	    TEST(log_is_cut),
	    TEST(damaged_page),
	    TEST(no_room),
	    TEST(cancelled),
	    TEST(no_lock),
	    TEST(disk_fails_once),
	    TEST(disk_fails_for_good),
	    TEST(lock_page),
	    TEST(anything),
	};
	int rc = app_main(argc, argv);

	if (rc >= 0)
		return rc;
	scratch_watchdog();
	seed = scratch_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
