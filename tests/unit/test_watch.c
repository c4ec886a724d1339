/* SPDX-License-Identifier: MIT */
/* When a pin is to hop: each reason, and a moment or a byte before it. The pin
 * and what is seen of the wal-index are made up. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/sys.h"
#include "engines/sqlite/watch.h"

#define MS INT64_C(1000000)
#define T0 (100 * STILL_NS_PER_S)
#define PAGE 4096
#define FRAME (SQLITE_FRAME_HEADER_BYTES + PAGE)
#define MARK 100
#define LIMIT_NS (500 * MS)
#define SOMEBODY 4711
#define ANOTHER 4712

/* The frames that a MiB of log takes. */
#define MANY (((1 << 20) + FRAME - 1) / FRAME)
/* How long the pin stands before it steps aside. */
#define STEP (40 * MS)

struct fixture {
	struct sqlite_image image;
	struct sqlite_watch watch;
	struct sqlite_sight sight;
};

/* A pin in slot `slot` at MARK, which nobody has committed beyond; half of the
 * log is in the file. */
static struct fixture pinned(int slot)
{
	struct sqlite_index_header header = {
	    .initialised = 1,
	    .page_size_code = PAGE,
	    .max_frame = MARK,
	    .n_pages = 40,
	    .salts = "salty",
	};
	struct fixture f = {
	    .image.page_size_bytes = PAGE,
	    .image.pin.hold =
		{
		    .slot = slot,
		    .mark = slot > 0 ? MARK : 0,
		    .header = header,
		    .backfill = slot == 0 ? MARK : MARK / 2,
		},
	    .watch.avoid = -1,
	    .sight =
		{
		    .whole = true,
		    .header = header,
		    .backfill = slot == 0 ? MARK : MARK / 2,
		},
	};

	atomic_store(&f.watch.stands_ns, T0);
	return f;
}

/* What was logged since. */
static void commit(struct fixture *f, uint32_t n_frames)
{
	f->sight.header.max_frame += n_frames;
	f->sight.header.change++;
}

static void judge(
    struct fixture *f, int64_t at_ns, enum sqlite_reason want, int want_avoid)
{
	enum sqlite_reason got;

	f->watch.image = &f->image;
	got = sqlite_watch_judge(&f->watch, &f->sight, LIMIT_NS, T0 + at_ns);
	if (got != want || f->watch.avoid != want_avoid)
		fail_msg("at %lld ns: reason %d (avoid %d), and not %d (%d)",
		    (long long) at_ns, got, f->watch.avoid, want, want_avoid);
}

/* It hopped to what was seen. */
static bool move(struct fixture *f, int64_t at_ns, int slot)
{
	f->image.pin.hold.slot = slot;
	f->image.pin.hold.header = f->sight.header;
	f->image.pin.hold.mark = slot > 0 ? f->sight.header.max_frame : 0;
	f->image.pin.hold.backfill = f->sight.backfill;
	return sqlite_watch_moved(&f->watch, SQLITE_REASON_WAITER, T0 + at_ns);
}

static int64_t stands_ns(struct fixture *f)
{
	return atomic_load(&f->watch.stands_ns) - T0;
}

/* ---- no reason ----------------------------------------------------------- */

/* However old: one that stands at the newest commit is as good as new. */
static void nothing_new(void **state)
{
	(void) state;
	for (int slot = -1; slot <= 4; slot++) {
		struct fixture f = pinned(slot);

		judge(&f, 0, SQLITE_REASON_NONE, -1);
		judge(&f, 3600 * STILL_NS_PER_S, SQLITE_REASON_NONE, -1);
		assert_int_equal(stands_ns(&f), 3600 * STILL_NS_PER_S);
		assert_int_equal(f.watch.overtaken_ns, 0);
	}
}

/* A writer died in the middle of the header. It may be of any age, and may say
 * anything. */
static void torn_header(void **state)
{
	struct fixture f = pinned(0);

	(void) state;
	commit(&f, 2 * MANY);
	f.sight.backfill = f.sight.header.max_frame;
	f.sight.waiter = SOMEBODY;
	f.sight.whole = false;
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	judge(&f, 3600 * STILL_NS_PER_S, SQLITE_REASON_NONE, -1);
	f.sight.whole = true;
	judge(&f, 3600 * STILL_NS_PER_S, SQLITE_REASON_WAITER, -1);
}

/* ---- 2: the whole log is in the file --------------------------------------- */

static void full(void **state)
{
	(void) state;
	for (int slot = -1; slot <= 4; slot++) {
		struct fixture f = pinned(slot);

		f.sight.backfill = MARK - 1;
		judge(&f, 0, SQLITE_REASON_NONE, -1);
		f.sight.backfill = MARK;
		judge(&f, 0,
		    slot == 0 ? SQLITE_REASON_NONE : SQLITE_REASON_FULL, -1);
	}
}

/* A transaction that began when all was in the file is read lock 0. */
static void full_transaction(void **state)
{
	struct fixture f = pinned(-1);

	(void) state;
	f.image.pin.hold.backfill = MARK;
	f.sight.backfill = MARK;
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	commit(&f, 1);
	f.sight.backfill = MARK + 1;
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	judge(&f, 20 * MS, SQLITE_REASON_OVERTAKEN, -1);
}

static void full_beyond_the_mark(void **state)
{
	struct fixture f = pinned(2);

	(void) state;
	commit(&f, 1);
	f.sight.backfill = MARK;
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	f.sight.backfill = MARK + 1;
	judge(&f, 0, SQLITE_REASON_FULL, -1);
}

/* ---- 3: read lock 0 -------------------------------------------------------- */

static void overtaken(void **state)
{
	struct fixture f = pinned(0);

	(void) state;
	judge(&f, 999 * MS, SQLITE_REASON_NONE, -1);
	commit(&f, 1);
	judge(&f, 1000 * MS, SQLITE_REASON_NONE, -1);
	assert_int_equal(f.watch.overtaken_ns, T0 + 1000 * MS);
	judge(&f, 1020 * MS - 1, SQLITE_REASON_NONE, -1);
	judge(&f, 1020 * MS, SQLITE_REASON_OVERTAKEN, -1);
	/* It counts from the first commit that it does not stand at. */
	commit(&f, 1);
	judge(&f, 1021 * MS, SQLITE_REASON_OVERTAKEN, -1);
	move(&f, 1021 * MS, 0);
	judge(&f, 1021 * MS, SQLITE_REASON_NONE, -1);
	commit(&f, 1);
	judge(&f, 1022 * MS, SQLITE_REASON_NONE, -1);
	judge(&f, 1042 * MS - 1, SQLITE_REASON_NONE, -1);
	judge(&f, 1042 * MS, SQLITE_REASON_OVERTAKEN, -1);
}

/* The log began anew, and has as many frames. */
static void overtaken_by_another_log(void **state)
{
	struct fixture f = pinned(0);

	(void) state;
	f.sight.header.salts[0]++;
	f.sight.backfill = 0;
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	judge(&f, 20 * MS, SQLITE_REASON_OVERTAKEN, -1);
}

/* A mark costs nothing for that long. */
static void overtaken_mark(void **state)
{
	struct fixture f = pinned(3);

	(void) state;
	commit(&f, 1);
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	judge(&f, 20 * MS, SQLITE_REASON_NONE, -1);
	judge(&f, LIMIT_NS - 1, SQLITE_REASON_NONE, -1);
}

/* ---- 4: much was logged ---------------------------------------------------- */

static void bytes(void **state)
{
	struct fixture f = pinned(1);

	(void) state;
	commit(&f, MANY - 1);
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	commit(&f, 1);
	judge(&f, 0, SQLITE_REASON_BYTES, -1);
	move(&f, 0, 1);
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	commit(&f, MANY);
	judge(&f, 0, SQLITE_REASON_BYTES, -1);
}

/* All of a log that began anew is new. */
static void bytes_of_another_log(void **state)
{
	struct fixture f = pinned(0);

	(void) state;
	f.sight.header.salts[7]++;
	f.sight.header.max_frame = MANY - 1;
	f.sight.backfill = 0;
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	f.sight.header.max_frame = MANY;
	judge(&f, 0, SQLITE_REASON_BYTES, -1);
	/* And so with salts that nobody changed. */
	f = pinned(0);
	f.image.pin.hold.header.max_frame = 3 * MANY;
	f.sight.header.max_frame = 2 * MANY;
	judge(&f, 0, SQLITE_REASON_BYTES, -1);
}

/* The biggest log and pages there can be. */
static void bytes_do_not_overflow(void **state)
{
	struct fixture f = pinned(1);

	(void) state;
	f.image.page_size_bytes = SQLITE_PAGE_SIZE_MAX;
	commit(&f, UINT32_MAX - MARK);
	judge(&f, 0, SQLITE_REASON_BYTES, -1);
}

/* ---- 5: age ---------------------------------------------------------------- */

static void age(void **state)
{
	struct fixture f = pinned(1);

	(void) state;
	judge(&f, 10 * LIMIT_NS, SQLITE_REASON_NONE, -1);
	commit(&f, 1);
	judge(&f, 11 * LIMIT_NS - 1, SQLITE_REASON_NONE, -1);
	judge(&f, 11 * LIMIT_NS, SQLITE_REASON_AGE, -1);
	assert_int_equal(stands_ns(&f), 10 * LIMIT_NS);
	move(&f, 11 * LIMIT_NS, 1);
	assert_int_equal(stands_ns(&f), 11 * LIMIT_NS);
	commit(&f, 1);
	judge(&f, 12 * LIMIT_NS - 1, SQLITE_REASON_NONE, -1);
	judge(&f, 12 * LIMIT_NS, SQLITE_REASON_AGE, -1);
}

/* It landed on a mark that is older than the commit it was taken at. */
static void old_mark(void **state)
{
	struct fixture f = pinned(1);

	(void) state;
	f.image.pin.hold.mark = MARK - 1;
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	assert_int_equal(f.watch.overtaken_ns, T0);
	judge(&f, LIMIT_NS - 1, SQLITE_REASON_NONE, -1);
	judge(&f, LIMIT_NS, SQLITE_REASON_AGE, -1);
	/* And is in the way at once. */
	f.sight.waiter = SOMEBODY;
	judge(&f, 0, SQLITE_REASON_WAITER, -1);
	/* Read lock 0 and a transaction have none. */
	f = pinned(0);
	judge(&f, LIMIT_NS, SQLITE_REASON_NONE, -1);
	f = pinned(-1);
	judge(&f, LIMIT_NS, SQLITE_REASON_NONE, -1);
}

/* ---- 1: somebody waits ----------------------------------------------------- */

/* For a pin that is behind: at once. */
static void waiter(void **state)
{
	(void) state;
	for (int slot = -1; slot <= 4; slot++) {
		struct fixture f = pinned(slot);

		commit(&f, 1);
		judge(&f, 0, SQLITE_REASON_NONE, -1);
		f.sight.waiter = SOMEBODY;
		judge(&f, 1, SQLITE_REASON_WAITER, -1);
		/* Of one that we may not know by number, too. */
		f.sight.waiter = -1;
		judge(&f, 2, SQLITE_REASON_WAITER, -1);
	}
}

/* What he needs most is read lock 0. */
static void waiter_for_a_full_log(void **state)
{
	struct fixture f = pinned(1);

	(void) state;
	f.sight.waiter = SOMEBODY;
	f.sight.backfill = MARK;
	judge(&f, 0, SQLITE_REASON_FULL, -1);
	judge(&f, 10 * MS, SQLITE_REASON_FULL, -1);
}

/* The pin is not behind, so it is the slot that he waits for. */
static void sidestep(void **state)
{
	(void) state;
	for (int slot = 1; slot <= 4; slot++) {
		struct fixture f = pinned(slot);

		f.sight.waiter = SOMEBODY;
		judge(&f, 5 * MS, SQLITE_REASON_NONE, -1);
		judge(&f, 5 * MS + STEP - 1, SQLITE_REASON_NONE, -1);
		judge(&f, 5 * MS + STEP, SQLITE_REASON_WAITER, slot);
		/* Not to be had: it is asked for again. */
		judge(&f, 6 * MS + STEP, SQLITE_REASON_WAITER, slot);
		/* It went elsewhere, and that may have been wrong, too. */
		move(&f, 6 * MS + STEP, slot % 4 + 1);
		judge(&f, 6 * MS + 2 * STEP - 1, SQLITE_REASON_NONE, -1);
		judge(
		    &f, 6 * MS + 2 * STEP, SQLITE_REASON_WAITER, slot % 4 + 1);
		/* A commit is more than a guess. */
		commit(&f, 1);
		judge(&f, 6 * MS + 2 * STEP, SQLITE_REASON_WAITER, -1);
	}
}

/* Of a transaction nobody knows which slot to avoid: a slot of our own will do. */
static void sidestep_of_a_transaction(void **state)
{
	struct fixture f = pinned(-1);

	(void) state;
	f.sight.waiter = SOMEBODY;
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	judge(&f, STEP - 1, SQLITE_REASON_NONE, -1);
	judge(&f, STEP, SQLITE_REASON_WAITER, -1);
}

/* Under read lock 0 there is no slot to leave. */
static void no_sidestep(void **state)
{
	(void) state;
	for (int slot = -1; slot <= 0; slot++) {
		struct fixture f = pinned(slot);

		f.image.pin.hold.backfill = MARK;
		f.sight.backfill = MARK;
		f.sight.waiter = SOMEBODY;
		judge(&f, 0, SQLITE_REASON_NONE, -1);
		judge(&f, STILL_NS_PER_S, SQLITE_REASON_NONE, -1);
	}
}

/* The pin hops for him, and he has not looked again yet. It does not step back
 * into the slot that he waits for, whatever he slept for. */
static void no_step_back(void **state)
{
	struct fixture f = pinned(2);

	(void) state;
	commit(&f, 1);
	f.sight.waiter = SOMEBODY;
	judge(&f, 0, SQLITE_REASON_WAITER, -1);
	move(&f, 0, 1);
	for (int ms = 1; ms <= 25; ms++)
		judge(&f, ms * MS, SQLITE_REASON_NONE, -1);
}

/* Each has his own time. */
static void waiters_change(void **state)
{
	struct fixture f = pinned(1);

	(void) state;
	f.sight.waiter = SOMEBODY;
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	judge(&f, STEP - MS, SQLITE_REASON_NONE, -1);
	f.sight.waiter = ANOTHER;
	judge(&f, STEP, SQLITE_REASON_NONE, -1);
	judge(&f, 2 * STEP - 1, SQLITE_REASON_NONE, -1);
	judge(&f, 2 * STEP, SQLITE_REASON_WAITER, 1);
	f.sight.waiter = 0;
	judge(&f, 2 * STEP + MS, SQLITE_REASON_NONE, -1);
	judge(&f, 4 * STEP, SQLITE_REASON_NONE, -1);
	f.sight.waiter = ANOTHER;
	judge(&f, 4 * STEP + MS, SQLITE_REASON_NONE, -1);
	judge(&f, 5 * STEP + MS, SQLITE_REASON_WAITER, 1);
}

/* The other reasons hold beside one for whom nothing can be done yet. */
static void waiter_beside_others(void **state)
{
	struct fixture f = pinned(0);

	(void) state;
	f.sight.waiter = SOMEBODY;
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	commit(&f, 1);
	f.sight.waiter = 0;
	judge(&f, 1, SQLITE_REASON_NONE, -1);
	judge(&f, 1 + 20 * MS, SQLITE_REASON_OVERTAKEN, -1);
}

/* ---- who was let by -------------------------------------------------------- */

static void counted_once(void **state)
{
	struct fixture f = pinned(1);

	(void) state;
	commit(&f, 1);
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	/* Nobody waited. */
	assert_false(move(&f, 0, 2));
	commit(&f, 1);
	f.sight.waiter = SOMEBODY;
	judge(&f, 1, SQLITE_REASON_WAITER, -1);
	assert_true(move(&f, 1, 1));
	/* The same, however often it steps aside for him. */
	judge(&f, STEP + 1, SQLITE_REASON_WAITER, 1);
	assert_false(move(&f, STEP + MS, 2));
	judge(&f, 2 * STEP + MS, SQLITE_REASON_WAITER, 2);
	assert_false(move(&f, 2 * STEP + MS, 3));
	/* Another. */
	f.sight.waiter = ANOTHER;
	commit(&f, 1);
	judge(&f, 2 * STEP + 2 * MS, SQLITE_REASON_WAITER, -1);
	assert_true(move(&f, 2 * STEP + 2 * MS, 1));
	assert_false(move(&f, 2 * STEP + 3 * MS, 2));
	/* The first again, in his next checkpoint. */
	f.sight.waiter = 0;
	judge(&f, 3 * STEP, SQLITE_REASON_NONE, -1);
	f.sight.waiter = ANOTHER;
	commit(&f, 1);
	judge(&f, 3 * STEP + MS, SQLITE_REASON_WAITER, -1);
	assert_true(move(&f, 3 * STEP + MS, 1));
}

/* He came and went while nothing could be done: he was not let by by us. */
static void went_by_himself(void **state)
{
	struct fixture f = pinned(1);

	(void) state;
	f.sight.waiter = SOMEBODY;
	judge(&f, 0, SQLITE_REASON_NONE, -1);
	f.sight.waiter = 0;
	judge(&f, MS, SQLITE_REASON_NONE, -1);
	commit(&f, 1);
	judge(&f, LIMIT_NS + MS, SQLITE_REASON_AGE, -1);
	assert_false(move(&f, LIMIT_NS + MS, 1));
}

/* Whatever the hop was for, he may go on. */
static void let_by_for_another_reason(void **state)
{
	struct fixture f = pinned(1);

	(void) state;
	f.sight.waiter = SOMEBODY;
	f.sight.backfill = MARK;
	judge(&f, 0, SQLITE_REASON_FULL, -1);
	f.image.pin.hold.slot = 0;
	assert_true(sqlite_watch_moved(&f.watch, SQLITE_REASON_FULL, T0));
}

/* ---- after a failure ------------------------------------------------------- */

/* Twice as long each time, up to a second. */
static void back_off(void **state)
{
	static const int64_t pauses_ms[] = {
	    20, 40, 80, 160, 320, 640, 1000, 1000, 1000};
	struct fixture f = pinned(1);
	int64_t at_ns = 0;

	(void) state;
	commit(&f, MANY);
	judge(&f, 0, SQLITE_REASON_BYTES, -1);
	for (size_t i = 0; i < sizeof(pauses_ms) / sizeof(*pauses_ms); i++) {
		sqlite_watch_failed(&f.watch, T0 + at_ns);
		judge(&f, at_ns, SQLITE_REASON_NONE, -1);
		at_ns += pauses_ms[i] * MS;
		judge(&f, at_ns - 1, SQLITE_REASON_NONE, -1);
		judge(&f, at_ns, SQLITE_REASON_BYTES, -1);
	}
	/* One that goes well, and all is as it was. */
	move(&f, at_ns, 1);
	commit(&f, MANY);
	judge(&f, at_ns, SQLITE_REASON_BYTES, -1);
	sqlite_watch_failed(&f.watch, T0 + at_ns);
	judge(&f, at_ns + 20 * MS - 1, SQLITE_REASON_NONE, -1);
	judge(&f, at_ns + 20 * MS, SQLITE_REASON_BYTES, -1);
}

/* With all writers behind it, a failure is tried again soon, and as often as it
 * takes; but not at once. */
static void back_off_with_a_waiter(void **state)
{
	struct fixture f = pinned(1);

	(void) state;
	commit(&f, 1);
	f.sight.waiter = SOMEBODY;
	for (int64_t at_ns = 0; at_ns < STILL_NS_PER_S; at_ns += 20 * MS) {
		judge(&f, at_ns, SQLITE_REASON_WAITER, -1);
		sqlite_watch_failed(&f.watch, T0 + at_ns);
		judge(&f, at_ns + 20 * MS - 1, SQLITE_REASON_NONE, -1);
	}
	/* And not later than that where it had failed for long before. */
	f.sight.waiter = 0;
	judge(&f, STILL_NS_PER_S, SQLITE_REASON_AGE, -1);
	for (int i = 0; i < 9; i++)
		sqlite_watch_failed(&f.watch, T0 + STILL_NS_PER_S);
	assert_int_equal(f.watch.not_before_ns, T0 + 2 * STILL_NS_PER_S);
	judge(&f, 2 * STILL_NS_PER_S - 1, SQLITE_REASON_NONE, -1);
	f.sight.waiter = ANOTHER;
	judge(&f, STILL_NS_PER_S + 20 * MS - 1, SQLITE_REASON_NONE, -1);
	judge(&f, STILL_NS_PER_S + 20 * MS, SQLITE_REASON_WAITER, -1);
}

/* A second, from when he came or the pin moved last. */
static void overdue(void **state)
{
	struct fixture f = pinned(1);
	const int64_t second = STILL_NS_PER_S;

	(void) state;
	assert_false(sqlite_watch_is_overdue(&f.watch, T0 + 100 * second));
	commit(&f, 1);
	f.sight.waiter = SOMEBODY;
	judge(&f, MS, SQLITE_REASON_WAITER, -1);
	assert_false(sqlite_watch_is_overdue(&f.watch, T0 + MS + second - 1));
	assert_true(sqlite_watch_is_overdue(&f.watch, T0 + MS + second));
	move(&f, 900 * MS, 1);
	assert_false(sqlite_watch_is_overdue(&f.watch, T0 + MS + second));
	assert_true(sqlite_watch_is_overdue(&f.watch, T0 + 900 * MS + second));
	/* Another has waited for nothing yet, and nobody never does. */
	f.sight.waiter = ANOTHER;
	judge(&f, 5 * second, SQLITE_REASON_NONE, -1);
	assert_false(sqlite_watch_is_overdue(&f.watch, T0 + 6 * second - 1));
	assert_true(sqlite_watch_is_overdue(&f.watch, T0 + 6 * second));
	f.sight.waiter = 0;
	judge(&f, 6 * second, SQLITE_REASON_NONE, -1);
	assert_false(sqlite_watch_is_overdue(&f.watch, T0 + 100 * second));
}

/* What is in use of the log, and how much of that is new. */
static void log_bytes(void **state)
{
	struct fixture f = pinned(1);

	(void) state;
	f.watch.image = &f.image;
	assert_int_equal(sqlite_watch_log_bytes(&f.watch, &f.sight, 0),
	    (uint64_t) MARK * FRAME);
	assert_int_equal(
	    sqlite_watch_log_bytes(&f.watch, &f.sight, MARK - 1), FRAME);
	assert_int_equal(sqlite_watch_log_bytes(&f.watch, &f.sight, MARK), 0);
	/* It began anew, and is shorter than it was. */
	assert_int_equal(
	    sqlite_watch_log_bytes(&f.watch, &f.sight, MARK + 1), 0);
	f.sight.whole = false;
	assert_int_equal(sqlite_watch_log_bytes(&f.watch, &f.sight, 0), 0);
}

/* Meanwhile its age goes on to be told. */
static void back_off_and_age(void **state)
{
	struct fixture f = pinned(1);

	(void) state;
	sqlite_watch_failed(&f.watch, T0);
	judge(&f, 10 * MS, SQLITE_REASON_NONE, -1);
	assert_int_equal(stands_ns(&f), 10 * MS);
	commit(&f, 1);
	judge(&f, 19 * MS, SQLITE_REASON_NONE, -1);
	assert_int_equal(stands_ns(&f), 10 * MS);
	assert_int_equal(f.watch.overtaken_ns, T0 + 19 * MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_new),
	    cmocka_unit_test(torn_header),
	    cmocka_unit_test(full),
	    cmocka_unit_test(full_transaction),
	    cmocka_unit_test(full_beyond_the_mark),
	    cmocka_unit_test(overtaken),
	    cmocka_unit_test(overtaken_by_another_log),
	    cmocka_unit_test(overtaken_mark),
	    cmocka_unit_test(bytes),
	    cmocka_unit_test(bytes_of_another_log),
	    cmocka_unit_test(bytes_do_not_overflow),
	    cmocka_unit_test(age),
	    cmocka_unit_test(old_mark),
	    cmocka_unit_test(waiter),
	    cmocka_unit_test(waiter_for_a_full_log),
	    cmocka_unit_test(sidestep),
	    cmocka_unit_test(sidestep_of_a_transaction),
	    cmocka_unit_test(no_sidestep),
	    cmocka_unit_test(no_step_back),
	    cmocka_unit_test(waiters_change),
	    cmocka_unit_test(waiter_beside_others),
	    cmocka_unit_test(counted_once),
	    cmocka_unit_test(went_by_himself),
	    cmocka_unit_test(let_by_for_another_reason),
	    cmocka_unit_test(back_off),
	    cmocka_unit_test(back_off_with_a_waiter),
	    cmocka_unit_test(overdue),
	    cmocka_unit_test(log_bytes),
	    cmocka_unit_test(back_off_and_age),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
