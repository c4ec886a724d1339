/* SPDX-License-Identifier: MIT */
/* What the catalog knows of files: their times, and which of them somebody has
 * already. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "tests/lib/chronicle.h"
#include "tests/unit/scratch.h"

#define DAY_S 86400
#define SOURCE "/srv/shop"

struct fixture {
	char *dir;
	unsigned n_fds;
	struct still_catalog *catalog;
	struct chronicle c;
	unsigned n_sessions;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct still_error err = STILL_ERROR_INIT;

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->n_fds = scratch_count_fds();
	if (still_catalog_open(
		scratch_path(f->dir, "state"), true, &f->catalog, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	chronicle_init(&f->c, f->catalog);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	chronicle_release(&f->c);
	still_catalog_close(f->catalog);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

static void good(struct fixture *f, int rc)
{
	if (rc != 0)
		fail_msg("%s", still_error_msg(&f->c.err));
}

/* A session of these files, shown at `now_s`, until it is to end. */
static void show(struct fixture *f, const struct chronicle_file *files,
    size_t n, int64_t now_s)
{
	char id[STILL_SESSION_ID_BYTES];

	snprintf(id, sizeof(id), "session-%u", ++f->n_sessions);
	good(f, chronicle_begin(&f->c, SOURCE, id, NULL, now_s));
	chronicle_build(&f->c, files, n);
	good(f, chronicle_stamp(&f->c, now_s));
	good(f, chronicle_frozen(&f->c, now_s));
}

static void end(struct fixture *f, enum still_outcome outcome)
{
	if (still_outcome_is_good(outcome))
		good(f, chronicle_seal(&f->c));
	good(f, chronicle_end(&f->c, outcome, 1));
}

static int64_t time_of(struct fixture *f, const char *path)
{
	uint32_t i = chronicle_find(&f->c, path);

	assert_true(i > 0);
	return f->c.snapshot.entries[i].time_s;
}

static bool is_known(struct fixture *f, const char *path)
{
	uint32_t i = chronicle_find(&f->c, path);
	struct still_hash128 digest = chronicle_digest(
	    path, f->c.snapshot.identities[i]);

	assert_true(i > 0);
	if (f->c.snapshot.known[i])
		assert_memory_equal(
		    &f->c.snapshot.known_digests[i], &digest, sizeof(digest));
	return f->c.snapshot.known[i];
}

/* ---- times --------------------------------------------------------------- */

/* One file through sessions; each line is one of them. */
static void rules(void **state)
{
	static const struct {
		const char *identity;
		int64_t now_s;
		int64_t time_s;
	} table[] = {
	    {"one", 1000, 1000},   /* never seen */
	    {"one", 2000, 1000},   /* the same */
	    {"one", 500, 1000},    /* though the clock went back */
	    {"two", 3000, 3000},   /* another */
	    {"three", 3000, 3001}, /* within the same second */
	    {"four", 3000, 3002},
	    {"four", 3000, 3002},
	    {"five", 2000, 3003}, /* the clock went back */
	    {"one", 3003, 3004},  /* what it was once counts for nothing */
	    {NULL, 3004, 3005},   /* never the same */
	    {NULL, 3004, 3006},
	    {NULL, 4000, 4000},
	    {"one", 4000, 4001},
	    {"", 4000, 4002}, /* an identity like any other */
	    {"", 5000, 4002},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct chronicle_file file = {
		    "data/a.db", table[i].identity, 10};

		show(f, &file, 1, table[i].now_s);
		print_message("session %zu\n", i + 1);
		assert_int_equal(time_of(f, "data/a.db"), table[i].time_s);
		/* Whatever becomes of the session, it was seen. */
		end(f, i % 2 ? STILL_COPIED : STILL_ABORTED_CRASH);
	}
}

/* Whether its size changed does not matter: the identity says it all. */
static void each_for_itself(void **state)
{
	static const struct chronicle_file first[] = {
	    {"data/a.db", "1", 10},
	    {"data/b.db", "1", 10},
	};
	static const struct chronicle_file second[] = {
	    {"data/a.db", "1", 11},
	    {"data/b.db", "2", 10},
	    {"data/sub/c.db", "1", 10},
	};
	struct fixture *f = *state;

	show(f, first, 2, 1000);
	/* backup.json never is what it was; the directories are. */
	assert_int_equal(time_of(f, "backup.json"), 1000);
	assert_int_equal(time_of(f, "data"), 1000);
	assert_int_equal(time_of(f, "verify/XXH128SUMS"), 1000);
	/* That of entry 0 is the session's affair. */
	assert_int_equal(f->c.snapshot.entries[0].time_s, 2);
	end(f, STILL_COPIED);
	show(f, second, 3, 2000);
	assert_int_equal(time_of(f, "data/a.db"), 1000);
	assert_int_equal(time_of(f, "data/b.db"), 2000);
	assert_int_equal(time_of(f, "data/sub/c.db"), 2000);
	assert_int_equal(time_of(f, "backup.json"), 2000);
	assert_int_equal(time_of(f, "verify/XXH128SUMS"), 2000);
	/* A directory has changed when its names have. */
	assert_int_equal(time_of(f, "data"), 2000);
	assert_int_equal(time_of(f, "verify"), 1000);
	assert_int_equal(f->c.snapshot.entries[0].time_s, 2);
	end(f, STILL_COPIED);
}

/* Only what was shown counts: nobody has seen the time of a freeze that never
 * was. */
static void never_shown(void **state)
{
	static const struct chronicle_file a = {"data/a.db", "1", 10};
	struct fixture *f = *state;

	good(f, chronicle_begin(&f->c, SOURCE, "not-frozen", NULL, 1000));
	chronicle_build(&f->c, &a, 1);
	good(f, chronicle_stamp(&f->c, 1000));
	assert_int_equal(time_of(f, "data/a.db"), 1000);
	good(f, chronicle_end(&f->c, STILL_ABORTED_FREEZE, 1000));
	show(f, &a, 1, 2000);
	assert_int_equal(time_of(f, "data/a.db"), 2000);
	end(f, STILL_COPIED);
}

static void other_instances(void **state)
{
	static const struct chronicle_file a = {"data/a.db", "1", 10};
	struct fixture *f = *state;

	show(f, &a, 1, 1000);
	end(f, STILL_COPIED);
	good(f, chronicle_begin(&f->c, "/srv/other", "other", NULL, 2000));
	chronicle_build(&f->c, &a, 1);
	good(f, chronicle_stamp(&f->c, 2000));
	assert_int_equal(time_of(f, "data/a.db"), 2000);
	assert_false(is_known(f, "data/a.db"));
	good(f, chronicle_end(&f->c, STILL_ABORTED_FREEZE, 2000));
}

/* A path that was away for a while, and comes back as it was. */
static void forgotten(void **state)
{
	static const struct {
		int64_t away_s;
		bool remembered;
	} table[] = {
	    {10, true},
	    {DAY_S, true},
	    {DAY_S + 1, false},
	    {30 * DAY_S, false},
	};
	static const struct chronicle_file files[] = {
	    {"data/a.db", "1", 10},
	    {"data/b.db", "1", 10},
	};
	struct fixture *f = *state;
	int64_t now_s = 1000000;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int64_t time_s;

		show(f, files, 2, now_s);
		time_s = time_of(f, "data/b.db");
		end(f, STILL_COPIED);
		/* A session without it; there it is forgotten, or not. */
		now_s += table[i].away_s;
		show(f, files, 1, now_s);
		end(f, STILL_COPIED);
		show(f, files, 2, now_s + 1);
		print_message("away for %lld s\n", (long long) table[i].away_s);
		if (table[i].remembered)
			assert_int_equal(time_of(f, "data/b.db"), time_s);
		else
			assert_int_equal(time_of(f, "data/b.db"), now_s + 1);
		/* The other was there all the time. */
		assert_int_equal(time_of(f, "data/a.db"), 1000000);
		end(f, STILL_COPIED);
		now_s += 10;
	}
}

/* ---- what somebody has already ------------------------------------------- */

/* One file in two sessions. */
static void known(void **state)
{
	static const struct {
		const char *name;
		const char *identity;
		uint64_t size_bytes;
		enum still_outcome outcome;
		const char *identity_now;
		bool known;
	} table[] = {
	    {"copied", "1", 10, STILL_COPIED, "1", true},
	    {"committed", "1", 10, STILL_COMMITTED, "1", true},
	    {"another", "1", 10, STILL_COPIED, "2", false},
	    {"another size", "1", 11, STILL_COPIED, "1", false},
	    {"none then", NULL, 10, STILL_COPIED, "1", false},
	    {"none now", "1", 10, STILL_COPIED, NULL, false},
	    {"none at all", NULL, 10, STILL_COPIED, NULL, false},
	    {"partial", "1", 10, STILL_ABORTED_PARTIAL, "1", false},
	    {"aborted", "1", 10, STILL_ABORTED_CALLER, "1", false},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct chronicle_file then = {
		    "data/a.db", table[i].identity, table[i].size_bytes};
		struct chronicle_file now = {
		    "data/a.db", table[i].identity_now, 10};
		struct fixture *f;

		setup((void **) &f);
		print_message("%s\n", table[i].name);
		show(f, &then, 1, 1000);
		assert_false(is_known(f, "data/a.db"));
		end(f, table[i].outcome);
		show(f, &now, 1, 2000);
		assert_int_equal(is_known(f, "data/a.db"), table[i].known);
		assert_false(is_known(f, "data"));
		assert_false(is_known(f, "backup.json"));
		assert_false(is_known(f, "verify/XXH128SUMS"));
		end(f, STILL_ABORTED_UNREAD);
		teardown((void **) &f);
	}
	(void) state;
}

/* It is the last good one that counts, and no other. */
static void known_of_the_last_good(void **state)
{
	static const struct chronicle_file one = {"data/a.db", "1", 10};
	static const struct chronicle_file two = {"data/a.db", "2", 10};
	static const struct chronicle_file other = {"data/b.db", "1", 10};
	struct fixture *f = *state;

	show(f, &one, 1, 1000);
	end(f, STILL_COMMITTED);
	/* One that failed in between takes nothing away. */
	show(f, &two, 1, 2000);
	end(f, STILL_ABORTED_PARTIAL);
	show(f, &one, 1, 3000);
	assert_true(is_known(f, "data/a.db"));
	end(f, STILL_ABORTED_CORRUPT);
	show(f, &two, 1, 4000);
	assert_false(is_known(f, "data/a.db"));
	end(f, STILL_COPIED);
	/* What it was in the one before counts for nothing. */
	show(f, &one, 1, 5000);
	assert_false(is_known(f, "data/a.db"));
	end(f, STILL_ABORTED_UNREAD);
	show(f, &two, 1, 5000);
	assert_true(is_known(f, "data/a.db"));
	end(f, STILL_ABORTED_UNREAD);
	/* Nor does it when it was not there. */
	show(f, &other, 1, 6000);
	end(f, STILL_COPIED);
	show(f, &two, 1, 7000);
	assert_false(is_known(f, "data/a.db"));
	end(f, STILL_COPIED);
}

/* Committing later what was the last good one leaves it that. */
static void known_after_commit(void **state)
{
	static const struct chronicle_file a = {"data/a.db", "1", 10};
	struct fixture *f = *state;

	show(f, &a, 1, 1000);
	end(f, STILL_COPIED);
	good(f,
	    still_catalog_commit(
		f->catalog, "session-1", NULL, NULL, &f->c.err));
	show(f, &a, 1, 2000);
	assert_true(is_known(f, "data/a.db"));
	end(f, STILL_COPIED);
}

/* ---- what a name may be -------------------------------------------------- */

static void hostile_names(void **state)
{
	static const char *const names[] = {
	    "data/'; DROP TABLE session; --",
	    "data/\"quoted\"",
	    "data/\xff\xfe\x80",
	    "data/\x01\x02\t\r\x7f",
	    "data/%s%n?*[a]",
	    "data/ ",
	    "data/...",
	    "data/\xc3\xa4\xf0\x9f\x98\x80",
	};
	struct chronicle_file files[sizeof(names) / sizeof(names[0]) + 1];
	size_t n = sizeof(names) / sizeof(names[0]);
	struct fixture *f = *state;
	char bytes[6 + 255] = "data/";
	char *p = bytes + 5;

	for (int c = 1; c < 256; c++)
		if (c != '\n' && c != '/')
			*p++ = (char) c;
	*p = '\0';
	for (size_t i = 0; i < n; i++)
		files[i] = (struct chronicle_file){names[i], "'1'", 10};
	files[n++] = (struct chronicle_file){bytes, "\"2\"", 10};
	show(f, files, n, 1000);
	end(f, STILL_COPIED);
	show(f, files, n, 2000);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(time_of(f, files[i].path), 1000);
		assert_true(is_known(f, files[i].path));
	}
	end(f, STILL_COPIED);
}

/* ---- many ---------------------------------------------------------------- */

#define MANY 100000

static int64_t since(int64_t start_ns)
{
	return (still_sys_monotonic_ns() - start_ns) / 1000000;
}

/* As many as there may ever be. How long it takes is told, not judged. */
static void many(void **state)
{
	struct fixture *f = *state;
	struct chronicle_file *files = calloc(MANY, sizeof(*files));
	char(*paths)[48] = calloc(MANY, sizeof(*paths));

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(paths[i], sizeof(*paths), "data/%03u/file-%06u.db",
		    i % 1000, i);
		files[i] = (struct chronicle_file){paths[i], "1", 4096};
	}
	for (unsigned round = 0; round < 3; round++) {
		int64_t now_s = 1000 * (round + 1);
		char id[STILL_SESSION_ID_BYTES];
		int64_t ns[5];

		/* Every tenth changes. */
		for (unsigned i = 0; round && i < MANY; i += 10)
			files[i].identity = round == 1 ? "2" : "3";
		snprintf(id, sizeof(id), "many-%u", round);
		good(f, chronicle_begin(&f->c, SOURCE, id, NULL, now_s));
		chronicle_build(&f->c, files, MANY);
		ns[0] = still_sys_monotonic_ns();
		good(f, chronicle_stamp(&f->c, now_s));
		ns[1] = still_sys_monotonic_ns();
		good(f, chronicle_frozen(&f->c, now_s));
		ns[2] = still_sys_monotonic_ns();
		good(f, chronicle_seal(&f->c));
		ns[3] = still_sys_monotonic_ns();
		for (uint32_t i = 1; i < f->c.snapshot.n; i++) {
			const struct still_entry *e = &f->c.snapshot.entries[i];
			bool changed;

			if (strncmp(e->path, "data/", 5) != 0 ||
			    e->kind != STILL_FILE)
				continue;
			changed = strtoul(e->name + 5, NULL, 10) % 10 == 0;
			assert_int_equal(e->time_s, changed ? now_s : 1000);
			assert_int_equal(
			    f->c.snapshot.known[i], round > 0 && !changed);
		}
		ns[4] = still_sys_monotonic_ns();
		good(f, chronicle_end(&f->c, STILL_COPIED, now_s));
		print_message("%u entries: stamp %lld ms, frozen %lld ms, "
			      "sealed %lld ms, end %lld ms\n",
		    f->c.snapshot.n, (long long) (ns[1] - ns[0]) / 1000000,
		    (long long) (ns[2] - ns[1]) / 1000000,
		    (long long) (ns[3] - ns[2]) / 1000000,
		    (long long) since(ns[4]));
	}
	free(files);
	free(paths);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(rules),
	    TEST(each_for_itself),
	    TEST(never_shown),
	    TEST(other_instances),
	    TEST(forgotten),
	    cmocka_unit_test(known),
	    TEST(known_of_the_last_good),
	    TEST(known_after_commit),
	    TEST(hostile_names),
	    TEST(many),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
