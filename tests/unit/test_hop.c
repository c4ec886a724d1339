/* SPDX-License-Identifier: MIT */
/* A second lock beside the pin's: in which slot, and what is held before, between
 * and after, seen from another process. And who waits for it. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "engines/sqlite/hop.h"
#include "engines/sqlite/index.h"
#include "tests/lib/app.h"
#include "tests/lib/frozen.h"
#include "tests/unit/scratch.h"

/* Where SQLite locks: https://www.sqlite.org/fileformat2.html (4). */
#define READ_SLOT(slot) (123 + (slot))
#define N_SLOTS SQLITE_INDEX_READERS
#define N_READERS (N_SLOTS - 1)

#define NOBODY 65534

struct fixture {
	char *dir;
	unsigned n_fds;
	struct app *app; /* writes */
	struct app *probe;
	struct app *readers[N_READERS];
	struct frozen frozen;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->n_fds = scratch_count_fds();
	f->probe = app_open("");
	frozen_open(&f->frozen, f->dir);
	f->app = app_open(scratch_path(f->dir, "a.db"));
	app_sql(f->app,
	    "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;"
	    "CREATE TABLE t(n); INSERT INTO t VALUES(1)");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	frozen_close(&f->frozen);
	for (int i = 0; i < N_READERS; i++)
		app_close(f->readers[i]);
	app_close(f->app);
	app_close(f->probe);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

static struct sqlite_pin *pin_of(struct fixture *f)
{
	return &f->frozen.image.pin;
}

static void prepare(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;

	if (sqlite_hop_prepare(pin_of(f), f->frozen.root_fd, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static void commit(struct fixture *f)
{
	app_sql(f->app, "UPDATE t SET n = n + 1");
}

/* All of the log into the file, as far as readers let it. */
static void write_back(struct fixture *f)
{
	app_sql(f->app, "PRAGMA wal_checkpoint(PASSIVE)");
}

/* Freeze with read lock `slot` as the pin. */
static void pin_at(struct fixture *f, int slot)
{
	write_back(f);
	if (slot < 0)
		commit(f);
	frozen_take(&f->frozen, "a.db");
	prepare(f);
	if (slot < 0) {
		assert_int_equal(pin_of(f)->hold.slot, -1);
		return;
	}
	if (slot == 0) {
		struct sqlite_hold zero;

		assert_true(sqlite_hop_take(pin_of(f), -1, &zero));
		sqlite_hop_finish(pin_of(f), &zero);
	}
	assert_true(
	    slot == 0 ? pin_of(f)->hold.slot == 0 : pin_of(f)->hold.slot > 0);
}

/* One more reader, of a commit of its own. */
static void read_at_newest(struct fixture *f, int i)
{
	if (!f->readers[i])
		f->readers[i] = app_open(scratch_path(f->dir, "a.db"));
	app_sql(f->readers[i], "BEGIN; SELECT count(*) FROM t");
}

static bool is_held(struct fixture *f, int slot)
{
	return app_sees_lock(
	    f->probe, scratch_path(f->dir, "a.db-shm"), READ_SLOT(slot), 1);
}

/* Of the read slots exactly these, as bits. By others than the applications
 * only when these hold none. */
static void held(struct fixture *f, unsigned want)
{
	unsigned got = 0;

	for (int slot = 0; slot < N_SLOTS; slot++)
		got |= (unsigned) is_held(f, slot) << slot;
	if (got != want)
		fail_msg("slots %#x are held, and not %#x", got, want);
}

static unsigned bit(int slot)
{
	return 1U << slot;
}

/* Which slots are held at all. */
static unsigned all_held(struct fixture *f)
{
	unsigned got = 0;

	for (int slot = 0; slot < N_SLOTS; slot++)
		got |= (unsigned) is_held(f, slot) << slot;
	return got;
}

static struct sqlite_hold take(struct fixture *f, int avoid)
{
	struct sqlite_index_header now;
	struct sqlite_hold hold;

	assert_true(sqlite_hop_take(pin_of(f), avoid, &hold));
	assert_in_range(hold.slot, 0, N_SLOTS - 1);
	assert_int_not_equal(hold.slot, avoid);
	assert_true(is_held(f, hold.slot));
	assert_true(sqlite_index_read(pin_of(f)->index, &now));
	assert_memory_equal(&hold.header, &now, sizeof(now));
	if (hold.slot > 0)
		assert_int_equal(
		    sqlite_index_mark(pin_of(f)->index, hold.slot), hold.mark);
	return hold;
}

static int64_t value(struct fixture *f)
{
	return atoll(app_sql(f->app, "SELECT n FROM t"));
}

/* ---- which slot ---------------------------------------------------------- */

static void zero_when_all_is_written_back(void **state)
{
	struct fixture *f = *state;
	struct sqlite_hold hold;
	int before;

	pin_at(f, 1);
	before = pin_of(f)->hold.slot;
	held(f, bit(before));
	hold = take(f, -1);
	assert_int_equal(hold.slot, 0);
	assert_true(sqlite_hold_lets_restart(&hold));
	assert_true(sqlite_hold_is_full(&hold));
	held(f, bit(0) | bit(before));
	sqlite_hop_finish(pin_of(f), &hold);
	held(f, bit(0));
	assert_memory_equal(&pin_of(f)->hold, &hold, sizeof(hold));
	/* The log may begin anew under it. */
	app_sql(f->app, "PRAGMA wal_checkpoint(TRUNCATE)");
	assert_int_equal(access(scratch_path(f->dir, "a.db-wal"), F_OK), 0);
	commit(f);
	assert_int_not_equal(
	    memcmp(pin_of(f)->hold.header.salts, take(f, 0).header.salts, 8),
	    0);
}

static void mark_otherwise(void **state)
{
	struct fixture *f = *state;
	struct sqlite_hold hold;
	int before;

	pin_at(f, 1);
	before = pin_of(f)->hold.slot;
	commit(f);
	hold = take(f, -1);
	assert_true(hold.slot > 0);
	assert_int_not_equal(hold.slot, before);
	assert_int_equal(hold.mark, hold.header.max_frame);
	assert_false(sqlite_hold_lets_restart(&hold));
	held(f, bit(hold.slot) | bit(before));
	sqlite_hop_finish(pin_of(f), &hold);
	held(f, bit(hold.slot));
	/* What it stands at is what no checkpoint passes. */
	commit(f);
	write_back(f);
	assert_int_equal(sqlite_index_backfill(pin_of(f)->index), hold.mark);
}

/* A foreign reader stands there already. */
static void shares_a_mark(void **state)
{
	struct fixture *f = *state;
	struct sqlite_hold hold;
	unsigned before;

	pin_at(f, 1);
	commit(f);
	before = all_held(f);
	read_at_newest(f, 0);
	before = all_held(f) & ~before;
	hold = take(f, -1);
	assert_int_equal(bit(hold.slot), before);
	sqlite_hop_finish(pin_of(f), &hold);
	/* His end takes nothing of ours along. */
	app_sql(f->readers[0], "COMMIT");
	held(f, bit(hold.slot));
	/* Nor does ours of his. */
	app_sql(f->readers[0], "BEGIN; SELECT * FROM t");
	commit(f);
	hold = take(f, -1);
	sqlite_hop_finish(pin_of(f), &hold);
	assert_int_equal(all_held(f), before | bit(hold.slot));
}

/* It may not be told to hop where nothing was committed since; it does no
 * harm. */
static void shares_its_own(void **state)
{
	struct fixture *f = *state;
	struct sqlite_hold hold;
	int before;

	pin_at(f, 1);
	before = pin_of(f)->hold.slot;
	hold = take(f, 0);
	assert_int_equal(hold.slot, before);
	sqlite_hop_drop(pin_of(f), &hold);
	held(f, bit(before));
	hold = take(f, 0);
	sqlite_hop_finish(pin_of(f), &hold);
	held(f, bit(before));
	/* Read lock 0, too. */
	hold = take(f, -1);
	sqlite_hop_finish(pin_of(f), &hold);
	hold = take(f, -1);
	assert_int_equal(hold.slot, 0);
	sqlite_hop_drop(pin_of(f), &hold);
	held(f, bit(0));
}

static void never_where_it_must_not(void **state)
{
	struct fixture *f = *state;

	pin_at(f, 1);
	for (int avoid = 0; avoid < N_SLOTS; avoid++) {
		struct sqlite_hold hold = take(f, avoid);

		sqlite_hop_drop(pin_of(f), &hold);
	}
	commit(f);
	for (int avoid = 0; avoid < N_SLOTS; avoid++) {
		struct sqlite_hold hold = take(f, avoid);

		assert_true(hold.slot > 0);
		sqlite_hop_drop(pin_of(f), &hold);
		/* A mark at the newest commit is there now; where it must not
		 * land in that, another is set. */
		hold = take(f, hold.slot);
		sqlite_hop_drop(pin_of(f), &hold);
	}
	held(f, bit(pin_of(f)->hold.slot));
}

/* Where a sidestep leads to: from its own slot, which stands at the newest
 * commit, into another that does. */
static void steps_aside(void **state)
{
	struct fixture *f = *state;

	pin_at(f, 1);
	commit(f);
	for (int i = 0; i < 6; i++) {
		int before = pin_of(f)->hold.slot;
		struct sqlite_hold hold = take(f, before);

		assert_true(hold.slot > 0);
		sqlite_hop_finish(pin_of(f), &hold);
		held(f, bit(hold.slot));
	}
}

/* ---- slots that others have ------------------------------------------------ */

static void all_taken(void **state)
{
	struct fixture *f = *state;
	struct sqlite_hold hold;
	uint32_t before;
	unsigned others;

	pin_at(f, 1);
	before = pin_of(f)->hold.header.max_frame;
	for (int i = 0; i < N_READERS - 1; i++) {
		commit(f);
		read_at_newest(f, i);
	}
	others = all_held(f);
	assert_int_equal(others & ~1U, 0x1e);
	commit(f);
	/* The newest of the older marks. */
	hold = take(f, -1);
	assert_true(hold.mark > before);
	assert_true(hold.mark < hold.header.max_frame);
	for (int slot = 1; slot < N_SLOTS; slot++)
		assert_true(
		    sqlite_index_mark(pin_of(f)->index, slot) <= hold.mark);
	sqlite_hop_finish(pin_of(f), &hold);
	/* And so its own old slot is free for the next one. */
	others = all_held(f);
	assert_int_not_equal(others & ~1U, 0x1e);
	hold = take(f, -1);
	assert_int_equal(hold.mark, hold.header.max_frame);
	assert_int_equal(all_held(f) & ~1U, 0x1e);
	sqlite_hop_drop(pin_of(f), &hold);
	assert_int_equal(all_held(f), others);
}

/* Nothing that is newer than the pin, and no free slot. */
static void none_to_be_had(void **state)
{
	struct fixture *f = *state;
	struct sqlite_hold hold;
	unsigned before;

	/* The readers come first, so that they are older. */
	write_back(f);
	for (int i = 0; i < N_READERS; i++) {
		commit(f);
		read_at_newest(f, i);
	}
	frozen_take(&f->frozen, "a.db");
	prepare(f);
	before = all_held(f);
	assert_int_equal(before, 0x1e);
	commit(f);
	assert_false(sqlite_hop_take(pin_of(f), -1, &hold));
	assert_int_equal(all_held(f), before);
	/* The image is still protected by what it had. */
	for (int i = 0; i < N_READERS; i++)
		app_sql(f->readers[i], "COMMIT");
	assert_true(all_held(f) != 0);
	write_back(f);
	assert_true(sqlite_index_backfill(pin_of(f)->index) <=
	    pin_of(f)->hold.header.max_frame);
}

/* Where the only newer mark is the one to avoid. */
static void older_mark_is_avoided(void **state)
{
	struct fixture *f = *state;
	struct sqlite_hold hold;
	struct sqlite_hold other;

	pin_at(f, 1);
	for (int i = 0; i < N_READERS - 1; i++) {
		commit(f);
		read_at_newest(f, i);
	}
	commit(f);
	hold = take(f, -1);
	other = take(f, hold.slot);
	assert_true(other.mark < hold.mark);
	sqlite_hop_drop(pin_of(f), &other);
	sqlite_hop_drop(pin_of(f), &hold);
	assert_int_equal(all_held(f) & ~1U, 0x1e);
}

/* Read lock 0 is nobody's alone. */
static void zero_beside_others(void **state)
{
	struct fixture *f = *state;
	struct sqlite_hold hold;

	pin_at(f, 1);
	read_at_newest(f, 0);
	assert_true(is_held(f, 0));
	hold = take(f, -1);
	assert_int_equal(hold.slot, 0);
	sqlite_hop_finish(pin_of(f), &hold);
	app_sql(f->readers[0], "COMMIT");
	held(f, bit(0));
}

/* ---- dropped and finished -------------------------------------------------- */

static void dropped(void **state)
{
	struct fixture *f = *state;

	for (int slot = -1; slot <= 1; slot++) {
		struct sqlite_hold before;
		struct sqlite_hold hold;
		unsigned locks;

		pin_at(f, slot);
		before = pin_of(f)->hold;
		locks = all_held(f);
		assert_true(locks != 0);
		for (int i = 0; i < 3; i++) {
			commit(f);
			hold = take(f, -1);
			sqlite_hop_drop(pin_of(f), &hold);
			assert_int_equal(all_held(f), locks);
			assert_memory_equal(
			    &pin_of(f)->hold, &before, sizeof(before));
		}
		/* It protects what it did. */
		if (slot != 0) {
			write_back(f);
			assert_int_equal(
			    sqlite_index_backfill(pin_of(f)->index),
			    before.header.max_frame);
		}
		frozen_release(&f->frozen);
		held(f, 0);
	}
}

/* The pin is a transaction: SQLite chose its slot, and gives it back. */
static void from_a_transaction(void **state)
{
	struct fixture *f = *state;
	struct sqlite_hold hold;
	unsigned before;

	pin_at(f, -1);
	before = all_held(f);
	commit(f);
	hold = take(f, -1);
	assert_true(hold.slot > 0);
	assert_int_equal(all_held(f), before | bit(hold.slot));
	sqlite_hop_finish(pin_of(f), &hold);
	held(f, bit(hold.slot));
	commit(f);
	write_back(f);
	assert_int_equal(sqlite_index_backfill(pin_of(f)->index), hold.mark);
}

/* In the very slot of the transaction, which nobody knows by number: the end of
 * the one must not take the other's lock along. */
static void from_a_transaction_in_place(void **state)
{
	struct fixture *f = *state;
	struct sqlite_hold hold;
	unsigned before;

	pin_at(f, -1);
	before = all_held(f);
	hold = take(f, -1);
	assert_int_equal(bit(hold.slot), before);
	sqlite_hop_drop(pin_of(f), &hold);
	held(f, before);
	hold = take(f, -1);
	sqlite_hop_finish(pin_of(f), &hold);
	held(f, before);
	commit(f);
	write_back(f);
	assert_int_equal(sqlite_index_backfill(pin_of(f)->index), hold.mark);
}

/* As in a cut of several databases: the slot was locked by the connection that
 * was opened first, and no other is open. */
static void from_a_fixed_pin(void **state)
{
	struct fixture *f = *state;
	struct sqlite_pin_request request = {
	    .root_fd = f->frozen.root_fd,
	    .root = f->dir,
	    .rel = "a.db",
	    .cancel = &f->frozen.cancel,
	};
	struct sqlite_pin *pin = pin_of(f);
	struct still_error err = STILL_ERROR_INIT;
	bool fixed = false;

	for (int finish = 0; finish < 2; finish++) {
		struct sqlite_hold hold;
		int before;

		assert_int_equal(sqlite_pin_open(pin, &request, &err), 0);
		assert_true(sqlite_pin_hold(pin));
		assert_int_equal(sqlite_pin_fix(pin, &fixed, &err), 0);
		sqlite_pin_let_go(pin);
		assert_true(fixed);
		before = pin->hold.slot;
		held(f, bit(before));
		prepare(f);
		held(f, bit(before));
		commit(f);
		hold = take(f, -1);
		assert_int_not_equal(hold.slot, before);
		if (finish) {
			sqlite_hop_finish(pin, &hold);
			held(f, bit(hold.slot));
		} else {
			sqlite_hop_drop(pin, &hold);
			held(f, bit(before));
		}
		commit(f);
		hold = take(f, pin->hold.slot);
		sqlite_hop_finish(pin, &hold);
		held(f, bit(hold.slot));
		sqlite_pin_release(pin);
		held(f, 0);
	}
}

/* Prepared twice, and released in the middle. */
static void released_in_between(void **state)
{
	struct fixture *f = *state;
	struct sqlite_hold hold;

	pin_at(f, 1);
	prepare(f);
	commit(f);
	hold = take(f, -1);
	sqlite_hop_drop(pin_of(f), &hold);
	hold = take(f, -1);
	sqlite_hop_finish(pin_of(f), &hold);
	frozen_release(&f->frozen);
	held(f, 0);
	assert_true(value(f) > 1);
}

#define N_COMMITS 2000

/* Hops while another process commits as fast as it can. */
static void beside_a_writer(void **state)
{
	static const char one[] = "UPDATE t SET n = n + 1;";
	char *many = calloc(N_COMMITS, sizeof(one));
	struct fixture *f = *state;
	struct sqlite_index_header now;
	uint32_t from;
	unsigned n = 0;

	assert_non_null(many);
	for (size_t i = 0; i < N_COMMITS; i++)
		memcpy(many + i * (sizeof(one) - 1), one, sizeof(one));
	/* Where it leaves no gap it is held off for one try. */
	app_sql(
	    f->app, "PRAGMA synchronous = OFF; PRAGMA busy_timeout = 60000");
	pin_at(f, 1);
	from = pin_of(f)->hold.header.change;
	app_start(f->app, many);
	do {
		struct sqlite_hold hold;

		if (sqlite_hop_take(pin_of(f), -1, &hold)) {
			assert_true(sqlite_index_header_valid(&hold.header));
			assert_true(hold.header.change >=
			    pin_of(f)->hold.header.change);
			assert_true(hold.mark <= hold.header.max_frame);
			sqlite_hop_finish(pin_of(f), &hold);
			n++;
		}
	} while (!sqlite_index_read(pin_of(f)->index, &now) ||
	    now.change - from < N_COMMITS);
	assert_int_equal(app_finish(f->app), SQLITE_OK);
	assert_true(n > 0);
	held(f, bit(pin_of(f)->hold.slot));
	free(many);
}

/* A writer died in the middle of the header: no lock, and none is left. */
static void torn_header(void **state)
{
	struct fixture *f = *state;
	struct sqlite_hold hold;
	int before;

	pin_at(f, 1);
	before = pin_of(f)->hold.slot;
	commit(f);
	/* The first byte of the salts, in the second copy. */
	app_flip(f->probe, scratch_path(f->dir, "a.db-shm"), 48 + 32);
	assert_false(sqlite_hop_take(pin_of(f), -1, &hold));
	held(f, bit(before));
	app_flip(f->probe, scratch_path(f->dir, "a.db-shm"), 48 + 32);
	hold = take(f, -1);
	sqlite_hop_drop(pin_of(f), &hold);
}

/* ---- who waits ------------------------------------------------------------- */

static void waits(struct fixture *f, pid_t want)
{
	while (sqlite_hop_waiter(pin_of(f)) != want)
		usleep(100);
}

static void nobody_waits(void **state)
{
	struct fixture *f = *state;

	pin_at(f, 1);
	assert_int_equal(sqlite_hop_waiter(pin_of(f)), 0);
	/* A writer holds the one byte. */
	app_sql(f->app, "BEGIN IMMEDIATE; UPDATE t SET n = n + 1");
	assert_int_equal(sqlite_hop_waiter(pin_of(f)), 0);
	app_sql(f->app, "COMMIT");
	write_back(f);
	assert_int_equal(sqlite_hop_waiter(pin_of(f)), 0);
	/* A checkpoint that holds nobody up holds the other. */
	assert_true(
	    app_lock_bytes(f->probe, scratch_path(f->dir, "a.db-shm"), 121, 1));
	assert_int_equal(sqlite_hop_waiter(pin_of(f)), 0);
	/* Two processes, of which neither has both. */
	app_sql(f->app, "BEGIN IMMEDIATE");
	assert_int_equal(sqlite_hop_waiter(pin_of(f)), 0);
	app_sql(f->app, "COMMIT");
}

/* Nor do we for ourselves, while we hold the writers off. */
static void we_do_not_wait(void **state)
{
	struct fixture *f = *state;

	pin_at(f, 1);
	assert_true(sqlite_pin_hold(pin_of(f)));
	assert_int_equal(sqlite_hop_waiter(pin_of(f)), 0);
	sqlite_pin_let_go(pin_of(f));
}

/* For each mode that waits: behind our mark, until that moves away. */
static void a_checkpoint_waits(void **state)
{
	static const char *const modes[] = {"FULL", "RESTART", "TRUNCATE"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 3; i++) {
		char sql[128];
		struct sqlite_hold hold;

		pin_at(f, -1);
		commit(f);
		snprintf(sql, sizeof(sql),
		    "PRAGMA busy_timeout = 60000; PRAGMA wal_checkpoint(%s)",
		    modes[i]);
		app_start(f->app, sql);
		waits(f, app_pid(f->app));
		hold = take(f, -1);
		sqlite_hop_finish(pin_of(f), &hold);
		/* All is written back now; where the log is to begin anew, each
		 * mark is in the way. */
		while (sqlite_index_backfill(pin_of(f)->index) <
		    hold.header.max_frame)
			usleep(100);
		if (i > 0) {
			waits(f, app_pid(f->app));
			hold = take(f, -1);
			assert_int_equal(hold.slot, 0);
			sqlite_hop_finish(pin_of(f), &hold);
		}
		/* The first column would say whether it was busy. */
		assert_int_equal(app_finish(f->app), SQLITE_OK);
		assert_int_equal(sqlite_hop_waiter(pin_of(f)), 0);
		app_sql(f->app, "PRAGMA busy_timeout = 0");
		frozen_release(&f->frozen);
	}
}

/* ---- a wal-index that we may only read ------------------------------------- */

static void become(uid_t uid)
{
	assert_int_equal(seteuid(uid), 0);
}

/* No mark can be set: others' are shared, and read lock 0 is. */
static void read_only_index(void **state)
{
	struct fixture *f = *state;
	struct sqlite_hold hold;

	if (geteuid() != 0)
		skip(); /* only root can be somebody else */
	assert_int_equal(chmod(f->dir, 0755), 0);
	read_at_newest(f, 0);
	become(NOBODY);
	frozen_take(&f->frozen, "a.db");
	prepare(f);
	become(0);
	commit(f);
	/* A slot is free, and cannot be used. */
	become(NOBODY);
	assert_false(sqlite_hop_take(pin_of(f), -1, &hold));
	become(0);
	read_at_newest(f, 1);
	become(NOBODY);
	hold = take(f, -1);
	assert_int_equal(hold.mark, hold.header.max_frame);
	sqlite_hop_finish(pin_of(f), &hold);
	become(0);
	app_sql(f->readers[0], "COMMIT");
	app_sql(f->readers[1], "COMMIT");
	assert_int_equal(all_held(f), bit(hold.slot));
	/* Read lock 0 can be had by everybody. */
	write_back(f);
	become(NOBODY);
	hold = take(f, -1);
	assert_int_equal(hold.slot, 0);
	sqlite_hop_finish(pin_of(f), &hold);
	become(0);
	held(f, bit(0));
	/* Who waits is seen all the same. */
	commit(f);
	app_start(
	    f->app, "PRAGMA busy_timeout = 60000; PRAGMA wal_checkpoint(FULL)");
	waits(f, app_pid(f->app));
	frozen_release(&f->frozen);
	assert_int_equal(app_finish(f->app), SQLITE_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    TEST(zero_when_all_is_written_back),
	    TEST(mark_otherwise),
	    TEST(shares_a_mark),
	    TEST(shares_its_own),
	    TEST(never_where_it_must_not),
	    TEST(steps_aside),
	    TEST(all_taken),
	    TEST(none_to_be_had),
	    TEST(older_mark_is_avoided),
	    TEST(zero_beside_others),
	    TEST(dropped),
	    TEST(from_a_transaction),
	    TEST(from_a_transaction_in_place),
	    TEST(from_a_fixed_pin),
	    TEST(released_in_between),
	    TEST(beside_a_writer),
	    TEST(torn_header),
	    TEST(nobody_waits),
	    TEST(we_do_not_wait),
	    TEST(a_checkpoint_waits),
	    TEST(read_only_index),
	};
	int rc = app_main(argc, argv);

	if (rc >= 0)
		return rc;
	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
