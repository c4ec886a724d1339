/* SPDX-License-Identifier: MIT */
/* What a session tells of single files, over an engine that does as it is
 * told. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/account.h"
#include "core/instance.h"
#include "tests/lib/fake_engine.h"
#include "tests/unit/scratch.h"

struct fixture {
	struct still_instance *instance;
	struct still_events *events;
	struct still_session *session;
	char *text;     /* the log as last asked for */
	uint32_t index; /* of what many read */
};

static int setup(void **state)
{
	struct still_options options = {.freeze_ms = 1000};
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	still_fake_reset();
	if (still_instance_attach_engine(&still_engine_fake, "fake:test",
		&options, &f->instance, NULL) < 0)
		return -1;
	f->events = still_events_new(NULL, NULL);
	f->session = still_session_new(f->instance, f->events);
	*state = f;
	return f->events && f->session ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_session_free(f->session);
	still_events_free(f->events);
	still_instance_detach(f->instance);
	free(f->text);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

static void begin(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;

	if (still_session_begin(f->session, STILL_FULL, 1, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static uint32_t database(struct fixture *f, size_t number)
{
	const struct still_entry *entries;
	uint32_t n;

	entries = still_session_entries(f->session, &n);
	for (uint32_t i = 0; i < n; i++)
		if (strcmp(entries[i].path, still_fake_path(number)) == 0)
			return i;
	fail_msg("no database %zu", number);
	return 0;
}

static ssize_t read_at(
    struct fixture *f, uint32_t index, uint64_t off_bytes, size_t len)
{
	char *data = malloc(len);
	ssize_t n;

	assert_non_null(data);
	n = still_session_read(f->session, index, off_bytes, data, len, NULL);
	free(data);
	return n;
}

static void serve_all(struct fixture *f)
{
	const struct still_entry *entries;
	uint32_t n;

	assert_int_equal(still_session_seal(f->session, NULL), 0);
	entries = still_session_entries(f->session, &n);
	for (uint32_t i = 0; i < n; i++)
		if (entries[i].kind == STILL_FILE)
			assert_int_equal(
			    read_at(f, i, 0, 1000000), entries[i].size_bytes);
}

/* Of a file with which all is well only those hear who ask. */
static const char *level_of(const char *name)
{
	bool quiet = strcmp(name, "file-begin") == 0 ||
	    strcmp(name, "file-end") == 0 || strcmp(name, "log-range") == 0;

	return quiet ? "debug" : "info";
}

/* How many events are called `name`, and have `pairs` behind the session. The
 * first one ends at `*ret_at`, which may be NULL. */
static unsigned count(
    struct fixture *f, const char *name, const char *pairs, const char **ret_at)
{
	char want[512];
	unsigned n = 0;

	snprintf(want, sizeof(want), " %s %s session=%s%s%s", level_of(name),
	    name, f->session->id, *pairs ? " " : "", pairs);
	free(f->text);
	f->text = still_events_text(f->events, NULL);
	assert_non_null(f->text);
	for (const char *p = f->text; (p = strstr(p, want)); n++) {
		p += strlen(want);
		if (*pairs)
			assert_int_equal(*p, '\n');
		if (n == 0 && ret_at)
			*ret_at = p;
	}
	return n;
}

static void has(struct fixture *f, const char *name, const char *pairs)
{
	if (count(f, name, pairs, NULL) != 1)
		fail_msg(
		    "%s %s: is not told once in\n%s", name, pairs, f->text);
}

/* ---- files --------------------------------------------------------------- */

static void nothing_read(void **state)
{
	struct fixture *f = *state;

	begin(f);
	still_session_end(f->session, STILL_END_DONE);
	assert_int_equal(count(f, "file-begin", "", NULL), 0);
	assert_int_equal(count(f, "file-end", "", NULL), 0);
	assert_int_equal(count(f, "file-short", "", NULL), 0);
}

static void all_read(void **state)
{
	struct fixture *f = *state;

	begin(f);
	serve_all(f);
	serve_all(f);
	still_session_end(f->session, STILL_END_DONE);
	/* Three databases, backup.json, the seal; each once. */
	assert_int_equal(count(f, "file-begin", "", NULL), 5);
	assert_int_equal(count(f, "file-end", "", NULL), 5);
	assert_int_equal(count(f, "file-short", "", NULL), 0);
	has(f, "file-begin", "path=data/000.db size=100000");
	has(f, "file-end", "path=data/000.db bytes=100000");
	has(f, "file-begin", "path=data/sub/001.db size=4096");
	has(f, "file-end", "path=data/sub/001.db bytes=4096");
}

static void some_read(void **state)
{
	struct fixture *f = *state;
	const char *begun;
	const char *left;

	begin(f);
	/* Pieces in any order, one of them twice. */
	assert_int_equal(read_at(f, database(f, 2), 200000, 1000), 1000);
	has(f, "file-begin", "path=data/002.db size=300001");
	assert_int_equal(read_at(f, database(f, 2), 0, 500), 500);
	assert_int_equal(read_at(f, database(f, 2), 0, 500), 500);
	assert_int_equal(read_at(f, database(f, 1), 0, 4096), 4096);
	has(f, "file-end", "path=data/sub/001.db bytes=4096");
	/* Behind the end is nothing, and begins nothing. */
	assert_int_equal(read_at(f, database(f, 0), 100000, 10), 0);
	assert_int_equal(count(f, "file-short", "", NULL), 0);
	still_session_end(f->session, STILL_END_DONE);
	assert_int_equal(count(f, "file-begin", "", NULL), 2);
	assert_int_equal(count(f, "file-end", "", NULL), 1);
	assert_int_equal(count(f, "file-short", "", NULL), 1);
	has(f, "file-short", "path=data/002.db bytes_served=1500 size=300001");
	/* The end of a session is its last word. */
	assert_int_equal(count(f, "file-short", "", &left), 1);
	begun = strstr(left, "session-end");
	assert_non_null(begun);
	assert_null(strstr(strchr(begun, '\n') + 1, "session="));
	/* And told once, however often it is ended. */
	still_session_end(f->session, STILL_END_DONE);
	assert_int_equal(count(f, "file-short", "", NULL), 1);
}

/* A file that cannot be read is not begun; one that breaks off is short. */
static void some_damaged(void **state)
{
	struct fixture *f = *state;

	begin(f);
	still_fake.fault.number = 0;
	still_fake.fault.from_bytes = 50000;
	still_fake.fault.to_bytes = 50001;
	still_fake.fault.code = STILL_ERR_CORRUPT;
	assert_int_equal(
	    read_at(f, database(f, 0), 0, 100000), STILL_ERR_CORRUPT);
	assert_int_equal(count(f, "file-begin", "", NULL), 0);
	assert_int_equal(read_at(f, database(f, 0), 0, 40960), 40960);
	still_session_end(f->session, STILL_END_DONE);
	has(f, "file-short", "path=data/000.db bytes_served=40960 size=100000");
}

static void never_frozen(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	still_fake.freeze_code = STILL_ERR_BUSY;
	assert_int_equal(still_session_begin(f->session, STILL_FULL, 1, &err),
	    STILL_ERR_BUSY);
	still_error_clear(&err);
	assert_int_equal(count(f, "file-short", "", NULL), 0);
	assert_int_equal(count(f, "log-range", "", NULL), 0);
}

static void *read_pieces(void *arg)
{
	struct fixture *f = arg;

	for (uint64_t off = 0; off < 300001; off += 4096)
		read_at(f, f->index, off, 4096);
	return NULL;
}

/* Whoever comes first and last, each is told once, the begin before the end. */
static void many_readers(void **state)
{
	struct fixture *f = *state;
	pthread_t thread[4];
	const char *begun;

	begin(f);
	f->index = database(f, 2);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&thread[i], NULL, read_pieces, f), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(count(f, "file-end", "", NULL), 1);
	assert_int_equal(count(f, "file-begin", "", &begun), 1);
	assert_non_null(strstr(begun, " debug file-end "));
}

/* ---- logs ---------------------------------------------------------------- */

static void logs(void **state)
{
	struct fixture *f = *state;
	const char *at;

	begin(f);
	assert_int_equal(count(f, "log-range", "", &at), 3);
	has(f, "log-range", "path=data/000.db mode=none end=0");
	has(f, "log-range", "path=data/sub/001.db mode=none end=1");
	has(f, "log-range", "path=data/002.db mode=none end=2");
	/* Behind the freeze that they are part of. */
	assert_int_equal(count(f, "session-frozen", "", &at), 1);
	assert_non_null(strstr(at, "log-range"));
}

/* Whatever an engine says of a log, plain values are told. */
static void values(void **state)
{
	struct fixture *f = *state;
	json_t *databases = json_pack(
	    "[{s:s, s:{s:s, s:i, s:b, s:b, s:n, s:[i], s:f, s:s}},"
	    " {s:s}, {s:s, s:{}}, {s:s, s:{s:s}}, {s:{s:s}},"
	    " {s:s, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}}]",
	    "path", "data/a b", "log", "text", "x y", "number", -5, "yes", 1,
	    "no", 0, "null", "list", 1, "real", 1.5, "last", "", /* */
	    "path", "data/none",                                 /* */
	    "path", "data/empty", "log",                         /* */
	    "encoded_path", "ff", "log", "mode", "m",            /* */
	    "log", "mode", "nobody",                             /* */
	    "path", "data/many", "log", "a", 1, "b", 2, "c", 3, "d", 4, "e", 5,
	    "f", 6, "g", 7, "h", 8, "i", 9);

	assert_non_null(databases);
	still_account_logs(f->session, databases);
	json_decref(databases);
	has(f, "log-range",
	    "path=\"data/a b\" text=\"x y\" number=-5 yes=true no=false "
	    "last=\"\"");
	has(f, "log-range", "path=\"\\xff\" mode=m");
	/* Only so many. */
	has(f, "log-range", "path=data/many a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8");
	assert_int_equal(count(f, "log-range", "", NULL), 3);
	still_account_logs(f->session, NULL);
	assert_int_equal(count(f, "log-range", "", NULL), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(nothing_read),
	    TEST(all_read),
	    TEST(some_read),
	    TEST(some_damaged),
	    TEST(never_frozen),
	    TEST(many_readers),
	    TEST(logs),
	    TEST(values),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
