/* SPDX-License-Identifier: MIT */
/* The governor as a session has it: begun, asked, ended; complete, out of room,
 * lost. Its databases are SQLite's, their applications other processes. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/sys.h"
#include "core/spool.h"
#include "engines/sqlite/cut.h"
#include "engines/sqlite/governor.h"
#include "tests/lib/app.h"
#include "tests/unit/scratch.h"

#define N_MAX 4
#define MIB (UINT64_C(1) << 20)
#define MS INT64_C(1000000)
#define LONG_NS (60 * STILL_NS_PER_S)

struct fixture {
	char *dir;
	int root_fd;
	unsigned n_fds;
	struct app *probe;
	struct app *apps[N_MAX];
	const char *names[N_MAX];
	size_t n;

	struct still_spool_dir dir_spool;
	struct still_spool real;
	struct still_spool spool;
	atomic_uint_fast64_t room_bytes; /* that may be taken */
	atomic_uint n_refused;           /* times that there was no room */

	atomic_bool cancel;
	atomic_bool lost;
	struct sqlite_image images[N_MAX];
	uint8_t *want[N_MAX]; /* read before there was a governor */
	struct still_attach_options options;
	struct still_observer observer;
	struct sqlite_governor *governor;

	pthread_mutex_t lock; /* of what the observer was told: */
	unsigned n_warnings;
	unsigned n_spool_full;
};

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	struct fixture *f = arg;

	assert_true(*object && *text);
	pthread_mutex_lock(&f->lock);
	f->n_warnings++;
	f->n_spool_full += strcmp(event, "spool-full") == 0;
	pthread_mutex_unlock(&f->lock);
}

static unsigned n_spool_full(struct fixture *f)
{
	unsigned n;

	pthread_mutex_lock(&f->lock);
	n = f->n_spool_full;
	pthread_mutex_unlock(&f->lock);
	return n;
}

/* ---- a spool that counts --------------------------------------------------- */

static int spool_open(void *arg, const char *what, uint64_t bytes, int *ret_fd,
    struct still_error *err)
{
	struct fixture *f = arg;

	return f->real.open(f->real.arg, what, bytes, ret_fd, err);
}

/* As of a disk, what is free is another number each time. */
static int spool_take(
    void *arg, const char *what, uint64_t bytes, struct still_error *err)
{
	struct fixture *f = arg;
	uint64_t used = atomic_load(&f->dir_spool.used_bytes);

	if (used + bytes <= atomic_load(&f->room_bytes))
		return f->real.take(f->real.arg, what, bytes, err);
	return still_error_set(err, STILL_ERR_NOSPACE, 0, "Make room there.",
	    "spool: a private copy of `%s` takes %llu bytes, and %u are free",
	    what, (unsigned long long) bytes,
	    atomic_fetch_add(&f->n_refused, 1));
}

static void spool_give(void *arg, uint64_t bytes)
{
	struct fixture *f = arg;

	assert_true(bytes <= atomic_load(&f->dir_spool.used_bytes));
	f->real.give(f->real.arg, bytes);
}

/* ---- setup ------------------------------------------------------------------- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	sqlite_handle_init();
	f->dir = scratch_make();
	f->root_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->n_fds = scratch_count_fds();
	f->probe = app_open("");
	f->dir_spool.path = f->dir;
	f->dir_spool.max_bytes = 1024 * MIB;
	atomic_init(&f->room_bytes, 1024 * MIB);
	f->real = still_spool_of(&f->dir_spool);
	f->spool = (struct still_spool){
	    .open = spool_open,
	    .take = spool_take,
	    .give = spool_give,
	    .arg = f,
	};
	f->observer = (struct still_observer){.warn = warn, .arg = f};
	f->options = (struct still_attach_options){
	    .pin = STILL_PIN_GOVERN,
	    .pin_limit_ns = 20 * MS,
	};
	pthread_mutex_init(&f->lock, NULL);
	*state = f;
	return 0;
}

static void stop(struct fixture *f)
{
	sqlite_governor_stop(f->governor);
	f->governor = NULL;
}

static void thaw(struct fixture *f)
{
	stop(f);
	for (size_t i = 0; i < f->n; i++) {
		sqlite_image_release(&f->images[i]);
		free(f->want[i]);
		f->want[i] = NULL;
	}
	assert_int_equal(sqlite_files_open_count(), 0);
	assert_int_equal(atomic_load(&f->dir_spool.used_bytes), 0);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	thaw(f);
	for (size_t i = 0; i < f->n; i++)
		app_close(f->apps[i]);
	app_close(f->probe);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	close(f->root_fd);
	pthread_mutex_destroy(&f->lock);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

static struct app *make(struct fixture *f, const char *name,
    const char *journal_mode, unsigned page_size, unsigned n)
{
	struct app *app = app_open(scratch_path(f->dir, name));
	char sql[512];

	snprintf(sql, sizeof(sql),
	    "PRAGMA page_size = %u; PRAGMA journal_mode = %s;"
	    "PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF;"
	    "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);"
	    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c "
	    "WHERE n < %u) INSERT INTO t(v) SELECT randomblob(%u) FROM c",
	    page_size, journal_mode, n, page_size - 100);
	app_sql(app, sql);
	f->names[f->n] = name;
	f->apps[f->n++] = app;
	return app;
}

static void freeze(struct fixture *f)
{
	struct sqlite_cut_request cut_request = {&f->cancel, LONG_NS, LONG_NS};
	struct still_error err = STILL_ERROR_INIT;
	struct sqlite_cut cut;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < f->n; i++) {
		struct sqlite_image_request request = {
		    .pin = {.root_fd = f->root_fd,
			.root = f->dir,
			.rel = f->names[i],
			.cancel = &f->cancel,
			.limit_ns = LONG_NS},
		    .observer = f->observer,
		    .spool = &f->spool,
		};
		struct stat st;

		assert_int_equal(
		    stat(scratch_path(f->dir, f->names[i]), &st), 0);
		rc = sqlite_image_open(&f->images[i], &st, &request, &err);
		f->images[i].lost = &f->lost;
	}
	if (rc == 0)
		rc = sqlite_cut_take(f->images, f->n, &cut_request, &cut, &err);
	for (size_t i = 0; rc == 0 && i < f->n; i++)
		rc = sqlite_image_settle(&f->images[i], &f->cancel, &err);
	if (rc < 0)
		fail_msg("%s", still_error_msg(&err));
}

static int read_all(struct fixture *f, size_t i, uint8_t **ret)
{
	size_t size = (size_t) sqlite_image_bytes(&f->images[i]);
	int rc;

	*ret = malloc(size + 1);
	assert_non_null(*ret);
	rc = size ? sqlite_image_read(&f->images[i], 0, *ret, size, NULL) : 0;
	return rc;
}

/* What the images are, before anybody moves their pins. */
static void remember(struct fixture *f)
{
	for (size_t i = 0; i < f->n; i++)
		assert_int_equal(read_all(f, i, &f->want[i]), 0);
}

static void are_right(struct fixture *f)
{
	for (size_t i = 0; i < f->n; i++) {
		uint8_t *got;

		assert_int_equal(read_all(f, i, &got), 0);
		assert_memory_equal(got, f->want[i],
		    (size_t) sqlite_image_bytes(&f->images[i]));
		free(got);
	}
}

static void govern(struct fixture *f, enum still_pin_policy pin)
{
	struct sqlite_governor_request request = {
	    .images = f->images,
	    .n_images = f->n,
	    .root_fd = f->root_fd,
	    .options = &f->options,
	    .observer = &f->observer,
	    .lost = &f->lost,
	};
	struct still_error err = STILL_ERROR_INIT;

	f->options.pin = pin;
	if (sqlite_governor_start(&request, &f->governor, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static struct still_held keep(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_held held;

	if (sqlite_governor_keep(f->governor, &held, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	return held;
}

/* The watchdog ends what does not come. */
#define wait_for(f, held, condition)                   \
	do {                                           \
		while ((held) = keep(f), !(condition)) \
			still_sys_sleep_ns(MS);        \
	} while (0)

static void is_lost(struct fixture *f, const char *message)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_held held;
	uint8_t *got;

	while (sqlite_governor_keep(f->governor, &held, NULL) == 0)
		still_sys_sleep_ns(MS);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sqlite_governor_keep(f->governor, &held, &err),
		    STILL_ERR_LOST);
		if (!strstr(still_error_msg(&err), message))
			fail_msg("\"%s\" does not say \"%s\"",
			    still_error_msg(&err), message);
		assert_non_null(err.hint);
		still_error_clear(&err);
	}
	while (!atomic_load(&f->lost))
		still_sys_sleep_ns(MS);
	assert_int_equal(read_all(f, 0, &got), STILL_ERR_LOST);
	free(got);
}

/* Of any kind, in any of the files, by anybody but its application. */
static bool is_held(struct fixture *f, const char *name)
{
	char shm[64];

	snprintf(shm, sizeof(shm), "%s-shm", name);
	return app_sees_lock(f->probe, scratch_path(f->dir, shm), 123, 5);
}

/* Not even opened: its application may do with it what it wants. */
static void is_free(struct fixture *f, size_t i)
{
	assert_false(is_held(f, f->names[i]));
	app_sql(f->apps[i], "PRAGMA wal_checkpoint(TRUNCATE)");
	assert_string_equal(
	    app_sql(f->apps[i], "PRAGMA journal_mode = DELETE"), "delete");
	app_sql(f->apps[i], "UPDATE t SET v = zeroblob(10); VACUUM");
	assert_string_equal(
	    app_sql(f->apps[i], "PRAGMA journal_mode = WAL"), "wal");
}

static void change(struct fixture *f, size_t i)
{
	app_sql(f->apps[i], "UPDATE t SET v = randomblob(length(v))");
}

static uint64_t size_of(struct fixture *f, const char *name)
{
	struct stat st;

	assert_int_equal(stat(scratch_path(f->dir, name), &st), 0);
	return (uint64_t) st.st_size;
}

/* ---- begin and end --------------------------------------------------------- */

static void stopped_at_once(void **state)
{
	static const enum still_pin_policy policies[] = {
	    STILL_PIN_AUTO, STILL_PIN_GOVERN, STILL_PIN_HOLD};
	struct fixture *f = *state;

	make(f, "a.db", "WAL", 4096, 2000);
	make(f, "b.db", "WAL", 512, 10);
	freeze(f);
	remember(f);
	for (int i = 0; i < 30; i++) {
		govern(f, policies[i % 3]);
		stop(f);
	}
	are_right(f);
	/* The big one is still protected, if it was not completed. */
	if (!f->images[0].released)
		assert_true(is_held(f, "a.db"));
	change(f, 0);
	app_sql(f->apps[0], "PRAGMA wal_checkpoint(PASSIVE)");
	are_right(f);
	sqlite_governor_stop(NULL);
}

/* What the pins were told stays with them: they hold until they are released,
 * and can be asked and read. */
static void stopped_in_the_middle(void **state)
{
	struct fixture *f = *state;
	struct still_held held;

	make(f, "a.db", "WAL", 1024, 200);
	freeze(f);
	remember(f);
	govern(f, STILL_PIN_GOVERN);
	for (int i = 0; i < 5; i++) {
		change(f, 0);
		wait_for(f, held, held.n_moves > (unsigned) i);
	}
	change(f, 0);
	stop(f);
	assert_true(is_held(f, "a.db"));
	app_sql(f->apps[0], "PRAGMA wal_checkpoint(PASSIVE)");
	are_right(f);
	thaw(f);
	is_free(f, 0);
}

static void is_nothing(const struct still_held *held)
{
	static const struct still_held nothing;

	assert_int_equal(held->n_pinned, 0);
	assert_int_equal(held->pin_ns, nothing.pin_ns);
	assert_int_equal(held->log_bytes, 0);
	assert_int_equal(held->n_moves, 0);
	assert_int_equal(held->n_let_by, 0);
	assert_int_equal(held->copy_bytes, 0);
	assert_int_equal(held->copied_bytes, 0);
	assert_false(held->spool_full);
}

static void nothing_pinned(void **state)
{
	struct fixture *f = *state;

	for (int n = 0; n < 2; n++) {
		for (int pin = STILL_PIN_AUTO; pin <= STILL_PIN_HOLD; pin++) {
			struct still_held held;

			govern(f, (enum still_pin_policy) pin);
			held = keep(f);
			is_nothing(&held);
			stop(f);
		}
		/* And with one that is copied. */
		if (n == 0) {
			make(f, "a.db", "DELETE", 4096, 10);
			freeze(f);
		}
	}
}

/* ---- what is told ---------------------------------------------------------- */

static void held_pin(void **state)
{
	struct fixture *f = *state;
	struct still_held held;

	make(f, "a.db", "WAL", 4096, 50);
	freeze(f);
	remember(f);
	govern(f, STILL_PIN_HOLD);
	held = keep(f);
	assert_int_equal(held.n_pinned, 1);
	assert_true(held.pin_ns > 0);
	assert_int_equal(held.log_bytes, size_of(f, "a.db-wal"));
	change(f, 0);
	app_sql(f->apps[0], "PRAGMA wal_checkpoint(PASSIVE)");
	/* It ages, and nobody moves it. */
	wait_for(f, held, held.pin_ns > 300 * MS);
	assert_int_equal(held.n_moves, 0);
	assert_int_equal(held.n_pinned, 1);
	assert_int_equal(held.copy_bytes, 0);
	assert_int_equal(held.copied_bytes, 0);
	assert_int_equal(held.log_bytes, size_of(f, "a.db-wal"));
	assert_false(held.spool_full);
	assert_int_equal(f->images[0].saved.fd, -1);
	are_right(f);
}

static void governed_pin(void **state)
{
	struct fixture *f = *state;
	struct still_held held;
	uint64_t before;

	make(f, "a.db", "WAL", 4096, 50);
	make(f, "b.db", "WAL", 512, 50);
	freeze(f);
	remember(f);
	govern(f, STILL_PIN_GOVERN);
	held = keep(f);
	assert_int_equal(held.n_pinned, 2);
	assert_true(held.pin_ns > 0);
	/* For age alone. */
	for (int i = 0; i < 3; i++) {
		before = held.n_moves;
		change(f, 0);
		wait_for(f, held, held.n_moves > before);
		change(f, 1);
		before = held.n_moves;
		wait_for(f, held, held.n_moves > before);
		are_right(f);
	}
	/* A log that may begin anew costs nothing. */
	do {
		for (size_t i = 0; i < 2; i++)
			app_sql(f->apps[i], "PRAGMA wal_checkpoint(PASSIVE)");
		held = keep(f);
	} while (held.log_bytes > 0);
	assert_int_equal(held.n_pinned, 2);
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(app_sql(f->apps[i],
					"PRAGMA wal_checkpoint(TRUNCATE);"
					"SELECT 1"),
		    "1");
	assert_int_equal(size_of(f, "a.db-wal"), 0);
	assert_int_equal(held.copy_bytes, 0);
	assert_int_equal(held.n_let_by, 0);
	assert_false(held.spool_full);
	assert_int_equal(f->n_warnings, 0);
	are_right(f);
}

/* A checkpoint that must have it all gets it, each one counted once. */
static void lets_by(void **state)
{
	struct fixture *f = *state;
	struct still_held held;

	f->options.pin_limit_ns = LONG_NS;
	make(f, "a.db", "WAL", 4096, 50);
	freeze(f);
	remember(f);
	govern(f, STILL_PIN_GOVERN);
	app_sql(f->apps[0], "PRAGMA busy_timeout = 30000");
	for (unsigned i = 1; i <= 5; i++) {
		change(f, 0);
		app_sql(f->apps[0], "PRAGMA wal_checkpoint(TRUNCATE)");
		assert_int_equal(size_of(f, "a.db-wal"), 0);
		held = keep(f);
		assert_in_range(held.n_let_by, 1, i);
		assert_true(held.n_moves >= i);
		are_right(f);
	}
}

/* ---- complete -------------------------------------------------------------- */

static void completes(void **state)
{
	struct fixture *f = *state;
	struct still_held held;
	uint64_t bytes;

	make(f, "a.db", "WAL", 4096, 300);
	make(f, "b.db", "WAL", 512, 300);
	make(f, "c.db", "DELETE", 1024, 10);
	make(f, "d.db", "WAL", 65536, 10);
	app_sql(f->apps[1], "PRAGMA wal_checkpoint(TRUNCATE)");
	freeze(f);
	remember(f);
	bytes = sqlite_image_bytes(&f->images[0]) +
	    sqlite_image_bytes(&f->images[1]) +
	    sqlite_image_bytes(&f->images[3]);
	govern(f, STILL_PIN_AUTO);
	wait_for(f, held, held.n_pinned == 0);
	assert_int_equal(held.copy_bytes, bytes);
	assert_int_equal(held.copied_bytes, bytes);
	assert_int_equal(held.pin_ns, 0);
	assert_int_equal(held.log_bytes, 0);
	assert_false(held.spool_full);
	assert_int_equal(sqlite_files_open_count(), 0);
	for (size_t i = 0; i < 4; i++)
		if (i != 2)
			is_free(f, i);
	are_right(f);
	assert_int_equal(f->n_warnings, 0);
	/* Nothing that becomes of the databases matters any more. */
	unlink(scratch_path(f->dir, "a.db-shm"));
	unlink(scratch_path(f->dir, "a.db"));
	held = keep(f);
	assert_int_equal(held.n_pinned, 0);
	stop(f);
	are_right(f);
}

/* ---- room ------------------------------------------------------------------ */

/* Too little for the whole: told once, though it is tried again. */
static void no_room_to_complete(void **state)
{
	struct fixture *f = *state;
	struct still_held held;

	atomic_store(&f->room_bytes, 2 * MIB);
	make(f, "a.db", "WAL", 4096, 1000);
	freeze(f);
	remember(f);
	govern(f, STILL_PIN_AUTO);
	wait_for(f, held, held.spool_full);
	assert_int_equal(held.n_pinned, 1);
	assert_int_equal(held.copied_bytes, 0);
	assert_int_equal(held.copy_bytes, sqlite_image_bytes(&f->images[0]));
	/* It is governed, in what room there is. */
	app_sql(f->apps[0], "UPDATE t SET v = randomblob(99) WHERE id < 100");
	wait_for(f, held, held.n_moves > 0);
	assert_true(held.spool_full);
	are_right(f);
	while (atomic_load(&f->n_refused) < 2)
		still_sys_sleep_ns(MS);
	assert_int_equal(n_spool_full(f), 1);
	/* Room appears. */
	atomic_store(&f->room_bytes, 1024 * MIB);
	wait_for(f, held, held.n_pinned == 0);
	wait_for(f, held, !held.spool_full);
	assert_int_equal(held.copied_bytes, held.copy_bytes);
	assert_int_equal(n_spool_full(f), 1);
	is_free(f, 0);
	are_right(f);
}

/* Not even for what changes: the pin stays, which is told once, until there is
 * some. */
static void no_room_to_move(void **state)
{
	struct fixture *f = *state;
	struct still_held held;

	atomic_store(&f->room_bytes, 1);
	make(f, "a.db", "WAL", 4096, 100);
	freeze(f);
	remember(f);
	govern(f, STILL_PIN_GOVERN);
	assert_false(keep(f).spool_full);
	change(f, 0);
	while (atomic_load(&f->n_refused) < 4)
		still_sys_sleep_ns(MS);
	wait_for(f, held, held.spool_full);
	assert_int_equal(held.n_moves, 0);
	assert_int_equal(n_spool_full(f), 1);
	app_sql(f->apps[0], "PRAGMA wal_checkpoint(PASSIVE)");
	are_right(f);
	atomic_store(&f->room_bytes, 1024 * MIB);
	wait_for(f, held, held.n_moves > 0);
	assert_false(held.spool_full);
	assert_int_equal(n_spool_full(f), 1);
	are_right(f);
}

/* There is none for one of two, and the other goes on. */
static void no_room_for_one(void **state)
{
	struct fixture *f = *state;
	struct still_held held;
	uint64_t until;

	/* One lump. */
	atomic_store(&f->room_bytes, MIB);
	make(f, "a.db", "WAL", 4096, 600);
	make(f, "b.db", "WAL", 4096, 600);
	freeze(f);
	remember(f);
	govern(f, STILL_PIN_GOVERN);
	app_sql(f->apps[1], "UPDATE t SET v = randomblob(9) WHERE id = 1");
	wait_for(f, held, held.n_moves > 0);
	change(f, 0);
	wait_for(f, held, held.spool_full);
	/* However often b.db is moved. */
	until = held.n_moves + 5;
	while (held.n_moves < until) {
		app_sql(
		    f->apps[1], "UPDATE t SET v = randomblob(9) WHERE id = 1");
		held = keep(f);
		assert_true(held.spool_full);
	}
	are_right(f);
}

/* ---- lost ------------------------------------------------------------------ */

/* Nothing is held any more, at once. */
static void logs_grow_too_much(void **state)
{
	struct fixture *f = *state;

	for (int pin = STILL_PIN_GOVERN; pin <= STILL_PIN_HOLD; pin++) {
		if (f->n == 0) {
			make(f, "a.db", "WAL", 4096, 100);
			make(f, "b.db", "WAL", 4096, 100);
		}
		atomic_store(&f->lost, false);
		/* No hop, so that both are alike. */
		f->options.pin_limit_ns = LONG_NS;
		f->options.log_limit_bytes = MIB;
		for (size_t i = 0; i < 2; i++)
			app_sql(f->apps[i], "PRAGMA wal_checkpoint(TRUNCATE)");
		freeze(f);
		remember(f);
		govern(f, (enum still_pin_policy) pin);
		/* Neither of them alone, and not before. */
		change(f, 0);
		change(f, 0);
		keep(f);
		are_right(f);
		assert_true(size_of(f, "a.db-wal") < MIB);
		change(f, 1);
		change(f, 1);
		assert_true(size_of(f, "b.db-wal") < MIB);
		is_lost(f, "KiB for its sake, and `wal_max` allows 1024 KiB");
		while (is_held(f, "a.db") || is_held(f, "b.db"))
			still_sys_sleep_ns(MS);
		for (size_t i = 0; i < 2; i++)
			app_sql(f->apps[i], "PRAGMA wal_checkpoint(TRUNCATE)");
		assert_int_equal(size_of(f, "a.db-wal"), 0);
		stop(f);
		thaw(f);
	}
}

static void index_is_removed(void **state)
{
	struct fixture *f = *state;

	for (int pin = STILL_PIN_AUTO; pin <= STILL_PIN_HOLD; pin++) {
		char name[16];

		snprintf(name, sizeof(name), "%d.db", pin);
		if (f->n > 0) {
			app_close(f->apps[0]);
			f->n = 0;
		}
		make(f,
		    pin == 0       ? "a.db"
			: pin == 1 ? "b.db"
				   : "c.db",
		    "WAL", 4096, 100);
		atomic_store(&f->lost, false);
		/* No room to complete it. */
		atomic_store(&f->room_bytes, 1);
		freeze(f);
		govern(f, (enum still_pin_policy) pin);
		keep(f);
		snprintf(name, sizeof(name), "%s-shm", f->names[0]);
		assert_int_equal(unlink(scratch_path(f->dir, name)), 0);
		is_lost(f, "its -shm file was removed or replaced");
		/* Its pin is gone, and whatever was open for it. */
		while (sqlite_files_open_count() > 0)
			still_sys_sleep_ns(MS);
		stop(f);
		thaw(f);
	}
}

/* ---- damage ---------------------------------------------------------------- */

static int read_page(
    struct fixture *f, uint32_t page, uint8_t *data, struct still_error *err)
{
	uint32_t size = f->images[0].page_size_bytes;

	return sqlite_image_read(
	    &f->images[0], (uint64_t) (page - 1) * size, data, size, err);
}

#define PAGE 1024
#define N_PAGES_MAX 200

struct outcome {
	int rc;
	char message[256];
	uint8_t data[PAGE];
};

static struct outcome *look(struct fixture *f)
{
	struct outcome *pages = calloc(N_PAGES_MAX, sizeof(*pages));

	assert_non_null(pages);
	assert_in_range(f->images[0].n_pages, 20, N_PAGES_MAX);
	for (uint32_t p = 1; p <= f->images[0].n_pages; p++) {
		struct outcome *page = &pages[p - 1];
		struct still_error err = STILL_ERROR_INIT;

		page->rc = read_page(f, p, page->data, &err);
		if (page->rc < 0) {
			memset(page->data, 0, PAGE);
			snprintf(page->message, sizeof(page->message), "%s",
			    still_error_msg(&err));
		}
		still_error_clear(&err);
	}
	return pages;
}

/* It completes, and each page is what it was before, or fails with the same
 * words. */
static void completes_but_for(struct fixture *f, uint32_t n_bad)
{
	struct outcome *before = look(f);
	struct outcome *after;
	struct still_held held;
	uint32_t n = 0;

	for (uint32_t p = 0; p < f->images[0].n_pages; p++) {
		assert_true(
		    before[p].rc == 0 || before[p].rc == STILL_ERR_CORRUPT);
		n += before[p].rc < 0;
	}
	assert_int_equal(n, n_bad);
	govern(f, STILL_PIN_AUTO);
	wait_for(f, held, held.n_pinned == 0);
	assert_int_equal(held.copied_bytes, held.copy_bytes);
	assert_false(is_held(f, "a.db"));
	after = look(f);
	assert_memory_equal(before, after, N_PAGES_MAX * sizeof(*before));
	free(before);
	free(after);
}

static void flip(struct fixture *f, const char *name, uint64_t off_bytes)
{
	app_flip(f->probe, scratch_path(f->dir, name), (long) off_bytes);
}

static void frame_damaged_before(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL", PAGE, 100);
	flip(f, "a.db-wal", sqlite_frame_offset(60, PAGE) + 500);
	freeze(f);
	assert_int_equal(f->images[0].damage.code, STILL_ERR_CORRUPT);
	completes_but_for(f, 1);
}

static void frame_damaged_later(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL", PAGE, 100);
	freeze(f);
	assert_int_equal(f->images[0].damage.code, 0);
	flip(f, "a.db-wal",
	    sqlite_frame_offset(f->images[0].map.entries[30].frame, PAGE) +
		500);
	completes_but_for(f, 1);
}

/* Of which page the damaged frame is, nobody knows. */
static void no_page_is_certain(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL", PAGE, 100);
	flip(f, "a.db-wal", sqlite_frame_offset(60, PAGE) + 3);
	freeze(f);
	completes_but_for(
	    f, f->images[0].map.all_damaged ? f->images[0].n_pages : 1);
}

static void file_is_too_short(void **state)
{
	struct fixture *f = *state;
	uint64_t size;

	make(f, "a.db", "WAL", PAGE, 100);
	app_sql(f->apps[0], "PRAGMA wal_checkpoint(TRUNCATE)");
	size = size_of(f, "a.db");
	freeze(f);
	assert_int_equal(truncate(scratch_path(f->dir, "a.db"),
			     (off_t) (size - 2 * PAGE - 100)),
	    0);
	completes_but_for(f, 3);
}

/* ---- others beside it ------------------------------------------------------ */

static void refused_and_empty(void **state)
{
	struct fixture *f = *state;
	struct still_error why = STILL_ERROR_INIT;
	struct still_held held;
	uint8_t byte;

	make(f, "a.db", "WAL", 4096, 20);
	/* Of no pages at all. */
	assert_int_equal(scratch_write(scratch_path(f->dir, "b.db"), "", 0), 0);
	f->apps[f->n] = app_open("");
	f->names[f->n++] = "b.db";
	make(f, "c.db", "DELETE", 4096, 20);
	freeze(f);
	remember(f);
	assert_int_equal(f->images[1].n_pages, 0);
	still_error_set(&why, STILL_ERR_BUSY, 0, NULL, "somebody has it");
	assert_int_equal(sqlite_image_refuse(&f->images[3], "d.db",
			     &f->images[0].st, &why, NULL),
	    0);
	f->apps[f->n] = app_open("");
	f->names[f->n++] = "d.db";
	govern(f, STILL_PIN_AUTO);
	wait_for(f, held, held.n_pinned == 0);
	assert_int_equal(held.copy_bytes, sqlite_image_bytes(&f->images[0]));
	assert_int_equal(held.copied_bytes, held.copy_bytes);
	assert_int_equal(
	    sqlite_image_read(&f->images[3], 0, &byte, 1, NULL), STILL_ERR_IO);
	is_free(f, 0);
	f->n--;
	are_right(f);
	f->n++;
	still_error_clear(&why);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    TEST(stopped_at_once),
	    TEST(stopped_in_the_middle),
	    TEST(nothing_pinned),
	    TEST(held_pin),
	    TEST(governed_pin),
	    TEST(lets_by),
	    TEST(completes),
	    TEST(no_room_to_complete),
	    TEST(no_room_to_move),
	    TEST(no_room_for_one),
	    TEST(logs_grow_too_much),
	    TEST(index_is_removed),
	    TEST(frame_damaged_before),
	    TEST(frame_damaged_later),
	    TEST(no_page_is_certain),
	    TEST(file_is_too_short),
	    TEST(refused_and_empty),
	};
	int rc = app_main(argc, argv);

	if (rc >= 0)
		return rc;
	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
