/* SPDX-License-Identifier: MIT */
/* A session from begin to end, over an engine that does as it is told. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sys.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "core/instance.h"
#include "core/snapshot.h"
#include "tests/lib/fake_engine.h"
#include "tests/unit/scratch.h"

#define DIR_TIME_S 1600000000
#define WAL_MAX (UINT64_C(1) << 30)
#define CUT_S 1700000000

struct fixture {
	struct still_instance *instance;
	struct still_events *events;
	struct still_session *session;
	pthread_mutex_t lock; /* of what follows */
	char seen[4096];      /* the names of the events, blanks between */
	char complete[256];   /* the last snapshot-complete */
};

static void see(void *arg, enum still_level level, const char *line)
{
	struct fixture *f = arg;
	const char *name = strchr(line, ' ') + 1;

	if (strncmp(name, "snapshot-complete", 17) == 0) {
		assert_int_equal(level, STILL_LEVEL_INFO);
		snprintf(f->complete, sizeof(f->complete), "%s", name);
	}
	/* What is told of single files has a test of its own. */
	if (strncmp(name, "file-", 5) == 0 || strncmp(name, "log-", 4) == 0)
		return;
	pthread_mutex_lock(&f->lock);
	if (strlen(f->seen) + strcspn(name, " ") + 2 < sizeof(f->seen)) {
		strncat(f->seen, name, strcspn(name, " "));
		strcat(f->seen, " ");
	}
	pthread_mutex_unlock(&f->lock);
}

/* How often the event was seen. */
static unsigned count(struct fixture *f, const char *name)
{
	char word[64];
	unsigned n = 0;

	snprintf(word, sizeof(word), "%s ", name);
	for (const char *p = f->seen; (p = strstr(p, word)); p++)
		n += p == f->seen || p[-1] == ' ';
	return n;
}

static int setup(void **state)
{
	struct still_options options = {
	    .freeze_ms = 1000, .wal_max_bytes = WAL_MAX};
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	still_fake_reset();
	pthread_mutex_init(&f->lock, NULL);
	if (still_instance_attach_engine(&still_engine_fake, "fake:test",
		&options, &f->instance, NULL) < 0)
		return -1;
	f->events = still_events_new(see, f);
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
	pthread_mutex_destroy(&f->lock);
	free(f);
	return atomic_load(&still_fake.n_detach) == 1 ? 0 : -1;
}

/* ---- steps --------------------------------------------------------------- */

static void begin(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;

	if (still_session_begin(f->session, STILL_FULL, DIR_TIME_S, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static uint32_t find(struct fixture *f, const char *path)
{
	const struct still_entry *entries;
	uint32_t n;

	entries = still_session_entries(f->session, &n);
	for (uint32_t i = 0; i < n; i++)
		if (strcmp(entries[i].path, path) == 0)
			return i;
	fail_msg("no entry `%s`", path);
	return 0;
}

static uint32_t database(struct fixture *f, size_t number)
{
	return find(f, still_fake_path(number));
}

static uint64_t size_of(struct fixture *f, uint32_t index)
{
	uint32_t n;

	return still_session_entries(f->session, &n)[index].size_bytes;
}

/* One read that must give `want` (a count, or a code). */
static void read_gives(struct fixture *f, uint32_t index, uint64_t off_bytes,
    size_t len, ssize_t want)
{
	struct still_error err = STILL_ERROR_INIT;
	char *data = malloc(len + 1);

	assert_non_null(data);
	assert_int_equal(
	    still_session_read(f->session, index, off_bytes, data, len, &err),
	    want);
	assert_int_equal(err.code, want < 0 ? want : 0);
	free(data);
	still_error_clear(&err);
}

/* The whole file, in pieces that fit nowhere. The caller frees it. */
static char *read_file(struct fixture *f, uint32_t index)
{
	uint64_t size = size_of(f, index);
	char *data = calloc(1, (size_t) size + 1);
	uint64_t done = 0;

	assert_non_null(data);
	while (done < size) {
		ssize_t n = still_session_read(
		    f->session, index, done, data + done, 33333, NULL);

		assert_true(n > 0);
		done += (uint64_t) n;
	}
	return data;
}

static void serve(struct fixture *f, uint32_t index)
{
	free(read_file(f, index));
}

static void serve_all_but(struct fixture *f, const char *path)
{
	const struct still_entry *entries;
	uint32_t n;

	entries = still_session_entries(f->session, &n);
	for (uint32_t i = 0; i < n; i++)
		if (entries[i].kind == STILL_FILE && !entries[i].seal &&
		    strcmp(entries[i].path, path) != 0)
			serve(f, i);
}

static void serve_all_but_the_seal(struct fixture *f)
{
	serve_all_but(f, "");
}

static void make_seal(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;

	if (still_session_seal(f->session, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static uint32_t the_seal(struct fixture *f)
{
	return find(f, STILL_SEAL_PATH);
}

/* End; whichever way, the engine is thawed once and the end is told once. */
static void end_gives(
    struct fixture *f, bool forced, enum still_outcome want, const char *text)
{
	struct still_session_status status;
	char got[STILL_OUTCOME_TEXT_BYTES];

	assert_int_equal(still_session_end(f->session,
			     forced ? STILL_END_FORCED : STILL_END_DONE),
	    want);
	assert_int_equal(still_session_end(f->session,
			     forced ? STILL_END_DONE : STILL_END_FORCED),
	    want);
	still_session_status(f->session, &status);
	assert_int_equal(status.state, STILL_ENDED);
	assert_int_equal(status.outcome, want);
	assert_int_equal(status.pin_age_ns, 0);
	still_outcome_text(&status, got);
	assert_string_equal(got, text);
	still_session_status_clear(&status);
	assert_int_equal(count(f, "session-end"), 1);
	assert_int_equal(count(f, "session-begin"), 1);
	assert_int_equal(atomic_load(&still_fake.n_freeze), 1);
	assert_int_equal(atomic_load(&still_fake.n_thaw), 1);
}

/* ---- outcomes ------------------------------------------------------------ */

static void copied(void **state)
{
	struct fixture *f = *state;

	begin(f);
	serve_all_but_the_seal(f);
	make_seal(f);
	serve(f, the_seal(f));
	end_gives(f, false, STILL_COPIED, "COPIED");
	assert_string_equal(
	    f->seen, "session-begin session-frozen sealed session-end ");
}

/* What is made of all other files: not there before, right afterwards. */
static void closing(void **state)
{
	struct fixture *f = *state;
	const struct still_entry *entries;
	char line[128];
	char hex[STILL_HASH128_HEX_CHARS + 1];
	uint32_t index;
	uint32_t n;
	char *text;
	char *sums;

	still_fake.shaped = true;
	begin(f);
	index = find(f, "data/closing");
	entries = still_session_entries(f->session, &n);
	assert_true(entries[index].closing);
	assert_false(entries[index].seal);
	assert_true(entries[index].ino & STILL_INO_CLOSING);
	assert_int_equal(entries[entries[index].parent].listed_last, index);
	read_gives(f, index, 0, 10, STILL_ERR_AGAIN);
	assert_false(still_session_sealed(f->session));
	make_seal(f);
	assert_int_equal(atomic_load(&still_fake.n_close), 1);
	text = read_file(f, index);
	for (size_t i = 0; i < still_fake.n_databases; i++) {
		size_t size = (size_t) still_fake.size_bytes[i];
		char *data = malloc(size);

		still_fake_content(still_fake.seed, i, 0, data, size);
		snprintf(line, sizeof(line), "%08x %016zx %s\n",
		    still_crc32c_end(
			still_crc32c(STILL_CRC32C_INIT, data, size)),
		    size, still_fake_path(i));
		assert_non_null(strstr(text, line));
		free(data);
	}
	assert_non_null(strstr(text, " backup.json\n"));
	/* The seal covers it. */
	sums = read_file(f, the_seal(f));
	still_hash128_hex(still_hash128(text, strlen(text)), hex);
	snprintf(line, sizeof(line), "%s  data/closing\n", hex);
	assert_non_null(strstr(sums, line));
	free(text);
	free(sums);
	serve_all_but_the_seal(f);
	end_gives(f, false, STILL_COPIED, "COPIED");
}

static void closing_fails(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	still_fake.shaped = true;
	still_fake.close_code = STILL_ERR_NOMEM;
	begin(f);
	assert_int_equal(still_session_seal(f->session, &err), STILL_ERR_NOMEM);
	still_error_clear(&err);
	read_gives(f, find(f, "data/closing"), 0, 10, STILL_ERR_AGAIN);
	read_gives(f, the_seal(f), 0, 10, STILL_ERR_AGAIN);
	still_fake.close_code = 0;
	serve_all_but(f, "data/closing");
	make_seal(f);
	serve(f, find(f, "data/closing"));
	serve(f, the_seal(f));
	end_gives(f, false, STILL_COPIED, "COPIED");
}

static void unread(void **state)
{
	struct fixture *f = *state;

	begin(f);
	end_gives(f, false, STILL_ABORTED_UNREAD, "ABORTED(unread)");
}

/* To make the seal is our own reading and nobody's copy. */
static void sealed_but_unread(void **state)
{
	struct fixture *f = *state;

	begin(f);
	make_seal(f);
	end_gives(f, false, STILL_ABORTED_UNREAD, "ABORTED(unread)");
}

static void one_byte(void **state)
{
	struct fixture *f = *state;

	begin(f);
	read_gives(f, database(f, 0), 50000, 1, 1);
	end_gives(
	    f, false, STILL_ABORTED_PARTIAL, "ABORTED(partial: 0 of 5 files)");
}

static void all_but_the_seal(void **state)
{
	struct fixture *f = *state;

	begin(f);
	serve_all_but_the_seal(f);
	make_seal(f);
	end_gives(
	    f, false, STILL_ABORTED_PARTIAL, "ABORTED(partial: 4 of 5 files)");
}

static void all_but_one_byte(void **state)
{
	struct fixture *f = *state;
	uint32_t index;

	begin(f);
	index = database(f, 2);
	read_gives(f, index, 0, 1000, 1000);
	read_gives(f, index, 1001, 400000, 300001 - 1001);
	serve(f, database(f, 0));
	serve(f, database(f, 1));
	serve(f, find(f, STILL_MANIFEST_PATH));
	make_seal(f);
	serve(f, the_seal(f));
	end_gives(
	    f, false, STILL_ABORTED_PARTIAL, "ABORTED(partial: 4 of 5 files)");
}

static void forced(void **state)
{
	struct fixture *f = *state;

	begin(f);
	serve_all_but_the_seal(f);
	make_seal(f);
	serve(f, the_seal(f));
	end_gives(f, true, STILL_ABORTED_FORCED, "ABORTED(forced)");
}

static void nothing_to_copy(void **state)
{
	struct fixture *f = *state;

	still_fake.n_databases = 0;
	begin(f);
	serve(f, find(f, STILL_MANIFEST_PATH));
	make_seal(f);
	serve(f, the_seal(f));
	end_gives(f, false, STILL_COPIED, "COPIED");
}

/* Nobody reads an empty file, so nobody needs to. */
static void empty_files(void **state)
{
	struct fixture *f = *state;

	still_fake.size_bytes[0] = 0;
	still_fake.size_bytes[2] = 0;
	begin(f);
	read_gives(f, database(f, 0), 0, 10, 0);
	serve(f, database(f, 1));
	serve(f, find(f, STILL_MANIFEST_PATH));
	make_seal(f);
	serve(f, the_seal(f));
	end_gives(f, false, STILL_COPIED, "COPIED");
}

static void never_begun(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
	    still_session_end(f->session, STILL_END_DONE), STILL_NO_OUTCOME);
	assert_int_equal(atomic_load(&still_fake.n_thaw), 0);
	assert_string_equal(f->seen, "");
}

static void freed_while_serving(void **state)
{
	struct fixture *f = *state;

	begin(f);
	read_gives(f, database(f, 0), 0, 10, 10);
	still_session_free(f->session);
	f->session = NULL;
	assert_int_equal(count(f, "session-end"), 1);
	assert_int_equal(atomic_load(&still_fake.n_thaw), 1);
}

/* ---- a freeze that fails ------------------------------------------------- */

static void assert_not_frozen(struct fixture *f, int code, const char *message)
{
	struct still_session_status status;

	still_session_status(f->session, &status);
	assert_int_equal(status.state, STILL_ENDED);
	assert_int_equal(status.error.code, code);
	assert_non_null(strstr(still_error_msg(&status.error), message));
	still_session_status_clear(&status);
	assert_int_equal(count(f, "freeze-failed"), 1);
	read_gives(f, 1, 0, 1, STILL_ERR_STALE);
	end_gives(f, false, STILL_ABORTED_FREEZE, "ABORTED(not frozen)");
}

static void freeze_fails(void **state)
{
	static const int codes[] = {STILL_ERR_BUSY, STILL_ERR_NOTFOUND,
	    STILL_ERR_IO, STILL_ERR_LOST, STILL_ERR_CORRUPT};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct still_error err = STILL_ERROR_INIT;

		still_session_free(f->session);
		f->session = still_session_new(f->instance, f->events);
		f->seen[0] = '\0';
		atomic_store(&still_fake.n_freeze, 0);
		atomic_store(&still_fake.n_thaw, 0);
		still_fake.freeze_code = codes[i];
		assert_int_equal(
		    still_session_begin(f->session, STILL_FULL, 0, &err),
		    codes[i]);
		assert_int_equal(err.code, codes[i]);
		still_error_clear(&err);
		assert_not_frozen(f, codes[i], "was told to fail");
	}
}

/* The core itself refuses what the engine handed over. */
static void path_twice(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	still_fake.extra_path = "data/000.db";
	assert_int_equal(still_session_begin(f->session, STILL_FULL, 0, &err),
	    STILL_ERR_INVALID);
	still_error_clear(&err);
	assert_not_frozen(f, STILL_ERR_INVALID, "stands twice");
}

static void path_with_newline(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	still_fake.extra_path = "data/a\nb";
	assert_int_equal(still_session_begin(f->session, STILL_FULL, 0, &err),
	    STILL_ERR_INVALID);
	still_error_clear(&err);
	assert_not_frozen(f, STILL_ERR_INVALID, "newline");
}

struct begin_call {
	struct fixture *fixture;
	int rc;
};

static void *call_begin(void *arg)
{
	struct begin_call *call = arg;
	struct still_error err = STILL_ERROR_INIT;

	call->rc = still_session_begin(
	    call->fixture->session, STILL_FULL, 0, &err);
	still_error_clear(&err);
	return NULL;
}

static void cancelled_freeze(void **state)
{
	struct fixture *f = *state;
	struct begin_call call = {f, 0};
	struct still_session_status status;
	pthread_t thread;

	still_fake.captured_bytes = 123;
	still_fake.capture_bytes = 456;
	still_fake_gate_close(&still_fake.freeze_gate);
	assert_int_equal(pthread_create(&thread, NULL, call_begin, &call), 0);
	still_fake_gate_await(&still_fake.freeze_gate);
	still_session_status(f->session, &status);
	assert_int_equal(status.state, STILL_PREPARING);
	assert_int_equal(status.captured_bytes, 123);
	assert_int_equal(status.capture_bytes, 456);
	assert_null(status.freeze);
	still_session_status_clear(&status);
	still_session_cancel(f->session);
	pthread_join(thread, NULL);
	assert_int_equal(call.rc, STILL_ERR_CANCELLED);
	assert_not_frozen(f, STILL_ERR_CANCELLED, "was stopped");
}

/* ---- reading ------------------------------------------------------------- */

static void content(void **state)
{
	struct fixture *f = *state;

	begin(f);
	for (size_t i = 0; i < 3; i++) {
		uint64_t size = still_fake.size_bytes[i];
		char *want = malloc((size_t) size);
		char *got = read_file(f, database(f, i));

		assert_non_null(want);
		assert_int_equal(size_of(f, database(f, i)), size);
		still_fake_content(1, i, 0, want, (size_t) size);
		assert_memory_equal(got, want, (size_t) size);
		free(want);
		free(got);
	}
}

static void manifest(void **state)
{
	struct fixture *f = *state;
	char *text;
	json_t *root;

	begin(f);
	text = read_file(f, find(f, STILL_MANIFEST_PATH));
	root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	assert_non_null(root);
	assert_string_equal(
	    json_string_value(json_object_get(root, "source")), "fake:test");
	assert_int_equal(
	    json_array_size(json_object_get(root, "databases")), 3);
	assert_int_equal(
	    json_integer_value(json_object_get(root, "cut_width_ns")), 750);
	assert_string_equal(
	    json_string_value(json_object_get(root, "frozen_at")),
	    "2023-11-14T22:13:20.000001000Z");
	json_decref(root);
}

static void entries(void **state)
{
	struct fixture *f = *state;
	const struct still_entry *e;
	uint32_t data;
	uint32_t n;

	begin(f);
	e = still_session_entries(f->session, &n);
	assert_int_equal(n, 9);
	assert_int_equal(e[0].time_s, DIR_TIME_S);
	for (uint32_t i = 1; i < n; i++)
		assert_int_equal(e[i].time_s, CUT_S);
	data = still_session_find(f->session, 0, "data");
	assert_int_not_equal(data, 0);
	assert_int_equal(
	    still_session_find(f->session, data, "000.db"), database(f, 0));
	assert_int_equal(still_session_find(f->session, data, "001.db"), 0);
	assert_int_equal(e[data].mode, 0750);
	assert_int_equal(e[data].uid, 4711);
	assert_int_equal(e[find(f, "data/sub")].mode, 0755);
	assert_int_equal(e[find(f, "data/sub")].uid, 4715);
	assert_int_equal(e[database(f, 0)].mode, 0644);
	assert_int_equal(e[database(f, 0)].gid, 4714);
}

static void edges(void **state)
{
	struct fixture *f = *state;
	uint32_t index;
	uint32_t n;

	begin(f);
	index = database(f, 0);
	read_gives(f, index, 99999, 1, 1);
	read_gives(f, index, 99999, 2, 1);
	read_gives(f, index, 0, 200000, 100000);
	read_gives(f, index, 100000, 1, 0);
	read_gives(f, index, 100001, 1, 0);
	read_gives(f, index, UINT64_MAX, 1, 0);
	read_gives(f, index, UINT64_MAX - 5, 10, 0);
	read_gives(f, index, 5, 0, 0);
	read_gives(f, find(f, STILL_MANIFEST_PATH), UINT64_MAX, 1, 0);
	/* The end of the seal is known before the seal is. */
	read_gives(f, the_seal(f), size_of(f, the_seal(f)), 1, 0);
	read_gives(f, 0, 0, 1, STILL_ERR_INVALID);
	read_gives(f, find(f, "data"), 0, 1, STILL_ERR_INVALID);
	still_session_entries(f->session, &n);
	read_gives(f, n, 0, 1, STILL_ERR_INVALID);
	read_gives(f, UINT32_MAX, 0, 1, STILL_ERR_INVALID);
}

static void over_is_over(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	unsigned n_keeps;
	uint32_t index;

	begin(f);
	index = database(f, 0);
	still_session_end(f->session, STILL_END_DONE);
	n_keeps = atomic_load(&still_fake.n_keep);
	read_gives(f, index, 0, 10, STILL_ERR_STALE);
	read_gives(f, find(f, STILL_MANIFEST_PATH), 0, 10, STILL_ERR_STALE);
	read_gives(f, the_seal(f), 0, 10, STILL_ERR_STALE);
	assert_int_equal(still_session_seal(f->session, &err), STILL_ERR_STALE);
	assert_int_equal(still_session_keep(f->session, &err), STILL_ERR_STALE);
	still_error_clear(&err);
	/* There is nothing to wait for either. */
	assert_true(still_session_sealed(f->session));
	assert_int_equal(atomic_load(&still_fake.n_keep), n_keeps);
}

static void before_begin(void **state)
{
	struct fixture *f = *state;

	read_gives(f, 0, 0, 10, STILL_ERR_STALE);
	assert_int_equal(still_session_keep(f->session, NULL), STILL_ERR_STALE);
	assert_int_equal(still_session_seal(f->session, NULL), STILL_ERR_STALE);
}

/* A failure of the disk is one reader's, and may pass. */
static void io_error(void **state)
{
	struct fixture *f = *state;

	still_fake.fault = (struct still_fake_fault){
	    0, 5000, 5001, STILL_ERR_IO, EIO};
	begin(f);
	read_gives(f, database(f, 0), 0, 10000, STILL_ERR_IO);
	read_gives(f, database(f, 0), 5001, 1000, 1000);
	assert_int_equal(count(f, "read-error"), 1);
	still_fake.fault.number = -1;
	serve_all_but_the_seal(f);
	make_seal(f);
	serve(f, the_seal(f));
	end_gives(f, false, STILL_COPIED, "COPIED");
}

static void coverage(void **state)
{
	struct fixture *f = *state;
	uint64_t random = scratch_seed();
	struct still_session_status status;
	uint32_t index;

	begin(f);
	index = database(f, 0);
	still_session_status(f->session, &status);
	assert_int_equal(status.files, 5);
	assert_int_equal(status.files_whole, 0);
	assert_int_equal(status.bytes_served, 0);
	still_session_status_clear(&status);
	/* Bytes count once, in whatever order, however often. */
	for (int i = 0; i < 50; i++)
		read_gives(
		    f, index, 1 + scratch_below(&random, 80000), 10000, 10000);
	read_gives(f, index, 1, 99999, 99999);
	still_session_status(f->session, &status);
	assert_int_equal(status.bytes_served, 99999);
	assert_int_equal(status.files_whole, 0);
	still_session_status_clear(&status);
	read_gives(f, index, 0, 1, 1);
	read_gives(f, index, 0, 1, 1);
	still_session_status(f->session, &status);
	assert_int_equal(status.bytes_served, 100000);
	assert_int_equal(status.files_whole, 1);
	still_session_status_clear(&status);

	serve_all_but_the_seal(f);
	make_seal(f);
	serve(f, the_seal(f));
	still_session_status(f->session, &status);
	assert_int_equal(status.files_whole, status.files);
	assert_true(status.bytes_served == status.bytes);
	assert_true(
	    status.bytes_hashed == status.bytes - size_of(f, the_seal(f)));
	assert_true(status.seal_served);
	still_session_status_clear(&status);
}

/* ---- the seal ------------------------------------------------------------ */

/* Each line names a file and its digest, and no file is without one. */
static void check_seal(struct fixture *f)
{
	char *text = read_file(f, the_seal(f));
	const struct still_entry *e;
	unsigned n_lines = 0;
	char *save = NULL;
	uint32_t n;

	assert_int_equal(strlen(text), size_of(f, the_seal(f)));
	for (char *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char hex[STILL_HASH128_HEX_CHARS + 1];
		uint32_t index;
		char *data;

		assert_true(strlen(line) > 34);
		assert_memory_equal(line + 32, "  ", 2);
		index = find(f, line + 34);
		data = read_file(f, index);
		still_hash128_hex(
		    still_hash128(data, (size_t) size_of(f, index)), hex);
		assert_memory_equal(line, hex, 32);
		free(data);
		n_lines++;
	}
	e = still_session_entries(f->session, &n);
	for (uint32_t i = 0; i < n; i++)
		n_lines -= e[i].kind == STILL_FILE && !e[i].seal;
	assert_int_equal(n_lines, 0);
	free(text);
}

static void seal_over_unread_files(void **state)
{
	struct fixture *f = *state;

	begin(f);
	make_seal(f);
	check_seal(f);
}

static void seal_over_read_files(void **state)
{
	struct fixture *f = *state;
	unsigned n_reads;

	begin(f);
	serve_all_but_the_seal(f);
	n_reads = atomic_load(&still_fake.n_read);
	make_seal(f);
	/* What was read from front to back is not read again. */
	assert_int_equal(atomic_load(&still_fake.n_read), n_reads);
	check_seal(f);
}

static void seal_over_bits_and_pieces(void **state)
{
	struct fixture *f = *state;
	uint64_t random = scratch_seed();

	begin(f);
	for (int i = 0; i < 200; i++)
		read_gives(f, database(f, 2), scratch_below(&random, 290000),
		    5000, 5000);
	make_seal(f);
	check_seal(f);
}

static void seal_is_made_once(void **state)
{
	struct fixture *f = *state;
	unsigned n_reads;

	begin(f);
	read_gives(f, the_seal(f), 0, 10, STILL_ERR_AGAIN);
	assert_false(still_session_sealed(f->session));
	make_seal(f);
	assert_true(still_session_sealed(f->session));
	/* It is only as good as the pin was until its last read. */
	assert_int_equal(atomic_load(&still_fake.n_keep), 1);
	n_reads = atomic_load(&still_fake.n_read);
	make_seal(f);
	assert_int_equal(atomic_load(&still_fake.n_read), n_reads);
	assert_int_equal(count(f, "sealed"), 1);
	read_gives(f, the_seal(f), 0, 10, 10);
}

static void *call_seal(void *arg)
{
	struct begin_call *call = arg;

	call->rc = still_session_seal(call->fixture->session, NULL);
	return NULL;
}

static void cancelled_seal(void **state)
{
	struct fixture *f = *state;
	struct begin_call call = {f, 0};
	struct still_session_status status;
	pthread_t thread;

	begin(f);
	still_fake_gate_close(&still_fake.read_gate);
	assert_int_equal(pthread_create(&thread, NULL, call_seal, &call), 0);
	still_fake_gate_await(&still_fake.read_gate);
	still_session_status(f->session, &status);
	assert_true(status.sealing);
	assert_false(status.sealed);
	still_session_status_clear(&status);
	still_session_cancel(f->session);
	still_fake_gate_open(&still_fake.read_gate);
	pthread_join(thread, NULL);
	assert_int_equal(call.rc, STILL_ERR_CANCELLED);
	/* One piece was under way; no other was begun. */
	assert_int_equal(atomic_load(&still_fake.n_read), 1);
	still_session_status(f->session, &status);
	assert_false(status.sealing);
	assert_false(status.sealed);
	still_session_status_clear(&status);
	read_gives(f, database(f, 0), 0, 10, 10);
	read_gives(f, the_seal(f), 0, 10, STILL_ERR_AGAIN);
	end_gives(
	    f, false, STILL_ABORTED_PARTIAL, "ABORTED(partial: 0 of 5 files)");
}

static void io_error_in_the_pass(void **state)
{
	struct fixture *f = *state;

	still_fake.fault = (struct still_fake_fault){
	    1, 0, 4096, STILL_ERR_IO, EIO};
	begin(f);
	assert_int_equal(still_session_seal(f->session, NULL), STILL_ERR_IO);
	assert_false(still_session_sealed(f->session));
	still_fake.fault.number = -1;
	make_seal(f);
	check_seal(f);
}

/* ---- damage -------------------------------------------------------------- */

static void assert_doomed(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;

	assert_true(still_session_sealed(f->session));
	assert_int_equal(
	    still_session_seal(f->session, &err), STILL_ERR_CORRUPT);
	assert_non_null(strstr(still_error_msg(&err), "is damaged"));
	still_error_clear(&err);
	read_gives(f, the_seal(f), 0, 10, STILL_ERR_CORRUPT);
	assert_int_equal(count(f, "sealed"), 0);
}

static void damage_in_a_read(void **state)
{
	struct fixture *f = *state;
	struct still_session_status status;
	uint32_t index;

	still_fake.fault = (struct still_fake_fault){
	    2, 8192, 12288, STILL_ERR_CORRUPT, 0};
	begin(f);
	index = database(f, 2);
	read_gives(f, index, 0, 8192, 8192);
	for (int i = 0; i < 3; i++)
		read_gives(f, index, 8000, 1000, STILL_ERR_CORRUPT);
	/* The rest of the file, and every other, can be had. */
	read_gives(f, index, 12288, 4096, 4096);
	serve(f, database(f, 0));
	serve(f, find(f, STILL_MANIFEST_PATH));
	assert_doomed(f);
	still_session_status(f->session, &status);
	assert_int_equal(status.n_damaged, 1);
	assert_int_equal(status.error.code, STILL_ERR_CORRUPT);
	assert_false(status.sealed);
	still_session_status_clear(&status);
	assert_int_equal(count(f, "damage"), 1);
	end_gives(f, false, STILL_ABORTED_CORRUPT, "ABORTED(corrupt)");
}

static void damage_in_the_pass(void **state)
{
	struct fixture *f = *state;

	still_fake.fault = (struct still_fake_fault){
	    2, 300000, 300001, STILL_ERR_CORRUPT, 0};
	begin(f);
	assert_int_equal(
	    still_session_seal(f->session, NULL), STILL_ERR_CORRUPT);
	assert_doomed(f);
	assert_int_equal(count(f, "damage"), 1);
	end_gives(f, false, STILL_ABORTED_CORRUPT, "ABORTED(corrupt)");
}

/* Even one who has the seal in hand gets no second look at it. */
static void damage_after_the_seal(void **state)
{
	struct fixture *f = *state;

	begin(f);
	make_seal(f);
	serve_all_but_the_seal(f);
	serve(f, the_seal(f));
	still_fake.fault = (struct still_fake_fault){
	    0, 0, 1, STILL_ERR_CORRUPT, 0};
	read_gives(f, database(f, 0), 0, 10, STILL_ERR_CORRUPT);
	read_gives(f, the_seal(f), 0, 10, STILL_ERR_CORRUPT);
	end_gives(f, false, STILL_ABORTED_CORRUPT, "ABORTED(corrupt)");
}

static void damage_at_the_freeze(void **state)
{
	struct fixture *f = *state;
	struct still_session_status status;
	unsigned n_reads;

	still_fake.damaged_at_freeze = 1;
	begin(f);
	still_session_status(f->session, &status);
	assert_int_equal(status.state, STILL_SERVING);
	assert_int_equal(status.n_damaged, 1);
	assert_string_equal(still_error_msg(&status.error),
	    "page 1 of `data/sub/001.db`: is damaged");
	still_session_status_clear(&status);
	assert_doomed(f);
	/* A doomed session has nothing to gain from a pass. */
	n_reads = atomic_load(&still_fake.n_read);
	assert_int_equal(n_reads, 0);
	serve(f, database(f, 0));
	serve(f, database(f, 1));
	serve(f, database(f, 2));
	end_gives(f, false, STILL_ABORTED_CORRUPT, "ABORTED(corrupt)");
}

static void damage_is_more_than_force(void **state)
{
	struct fixture *f = *state;

	still_fake.damaged_at_freeze = 0;
	begin(f);
	end_gives(f, true, STILL_ABORTED_CORRUPT, "ABORTED(corrupt)");
}

/* ---- what is not frozen -------------------------------------------------- */

#define UNFROZEN "`data/sub/001.db`: was told not to freeze"

/* The seal is refused in these words, before a byte is read for it. */
static void seal_refused(struct fixture *f, const char *words)
{
	struct still_error err = STILL_ERROR_INIT;
	unsigned n_reads = atomic_load(&still_fake.n_read);

	assert_true(still_session_sealed(f->session));
	assert_int_equal(
	    still_session_seal(f->session, &err), STILL_ERR_CORRUPT);
	if (!strstr(still_error_msg(&err), words))
		fail_msg(
		    "\"%s\" does not say \"%s\"", still_error_msg(&err), words);
	still_error_clear(&err);
	assert_int_equal(atomic_load(&still_fake.n_read), n_reads);
	read_gives(f, the_seal(f), 0, 10, STILL_ERR_CORRUPT);
	assert_int_equal(count(f, "sealed"), 0);
}

static void incomplete(void **state)
{
	struct fixture *f = *state;
	struct still_session_status status;

	still_fake.unfrozen = 1;
	begin(f);
	assert_string_equal(
	    f->seen, "session-begin not-frozen session-frozen ");
	still_session_status(f->session, &status);
	assert_int_equal(status.state, STILL_SERVING);
	assert_int_equal(status.databases, 3);
	assert_int_equal(status.n_unfrozen, 1);
	assert_int_equal(status.n_damaged, 0);
	assert_int_equal(status.error.code, STILL_ERR_AGAIN);
	assert_string_equal(still_error_msg(&status.error), UNFROZEN);
	assert_string_equal(status.error.hint, "Tell it otherwise.");
	assert_false(status.sealed);
	still_session_status_clear(&status);
	seal_refused(f, "is incomplete: " UNFROZEN);
	/* It is listed, and the rest is as good as ever. */
	assert_int_equal(size_of(f, database(f, 1)), 4096);
	read_gives(f, database(f, 1), 0, 10, STILL_ERR_IO);
	read_gives(f, database(f, 1), 4095, 1, STILL_ERR_IO);
	serve(f, database(f, 0));
	serve(f, database(f, 2));
	serve(f, find(f, STILL_MANIFEST_PATH));
	/* What was read of it says no more than the freeze did. */
	still_session_status(f->session, &status);
	assert_int_equal(status.n_unfrozen, 1);
	assert_int_equal(status.n_damaged, 0);
	assert_string_equal(still_error_msg(&status.error), UNFROZEN);
	still_session_status_clear(&status);
	end_gives(f, false, STILL_ABORTED_INCOMPLETE, "ABORTED(incomplete)");
	assert_int_equal(count(f, "not-frozen"), 1);
	assert_int_equal(count(f, "damage"), 0);
}

static void incomplete_and_unread(void **state)
{
	struct fixture *f = *state;

	still_fake.unfrozen = 0;
	begin(f);
	end_gives(f, true, STILL_ABORTED_INCOMPLETE, "ABORTED(incomplete)");
}

/* Damage is the worse of the two, in whichever order they are told. */
static void incomplete_and_corrupt(void **state)
{
	struct fixture *f = *state;
	struct still_session_status status;

	still_fake.unfrozen = 1;
	still_fake.damaged_at_freeze = 2;
	begin(f);
	still_session_status(f->session, &status);
	assert_int_equal(status.n_unfrozen, 1);
	assert_int_equal(status.n_damaged, 1);
	assert_int_equal(status.error.code, STILL_ERR_CORRUPT);
	assert_string_equal(still_error_msg(&status.error),
	    "page 1 of `data/002.db`: is damaged");
	still_session_status_clear(&status);
	seal_refused(f, "is damaged: page 1 of `data/002.db`: is damaged");
	assert_int_equal(count(f, "not-frozen"), 1);
	assert_int_equal(count(f, "damage"), 1);
	end_gives(f, false, STILL_ABORTED_CORRUPT, "ABORTED(corrupt)");
}

static void corrupt_and_incomplete(void **state)
{
	struct fixture *f = *state;
	struct still_session_status status;

	still_fake.unfrozen = 1;
	still_fake.damaged_at_freeze = 0;
	begin(f);
	still_session_status(f->session, &status);
	assert_int_equal(status.n_unfrozen, 1);
	assert_int_equal(status.n_damaged, 1);
	assert_int_equal(status.error.code, STILL_ERR_CORRUPT);
	still_session_status_clear(&status);
	end_gives(f, false, STILL_ABORTED_CORRUPT, "ABORTED(corrupt)");
}

/* Damage that is met later makes it worse. */
static void incomplete_then_corrupt(void **state)
{
	struct fixture *f = *state;

	still_fake.unfrozen = 1;
	begin(f);
	still_fake.fault = (struct still_fake_fault){
	    2, 0, 10, STILL_ERR_CORRUPT, 0};
	read_gives(f, database(f, 2), 0, 10, STILL_ERR_CORRUPT);
	seal_refused(f, "is damaged: database 2: byte 0 is bad");
	end_gives(f, false, STILL_ABORTED_CORRUPT, "ABORTED(corrupt)");
}

static void incomplete_then_lost(void **state)
{
	struct fixture *f = *state;

	still_fake.unfrozen = 1;
	begin(f);
	atomic_store(&still_fake.lost, true);
	read_gives(f, database(f, 0), 0, 10, STILL_ERR_LOST);
	end_gives(f, false, STILL_ABORTED_LOST, "ABORTED(pin lost)");
}

/* ---- the pin ------------------------------------------------------------- */

static void assert_lost(struct fixture *f)
{
	assert_true(still_session_sealed(f->session));
	/* Nor is it given back when the engine changes its mind. */
	atomic_store(&still_fake.lost, false);
	for (size_t i = 0; i < 3; i++)
		read_gives(f, database(f, i), 0, 10, STILL_ERR_LOST);
	read_gives(f, find(f, STILL_MANIFEST_PATH), 0, 10, STILL_ERR_LOST);
	read_gives(f, the_seal(f), 0, 10, STILL_ERR_LOST);
	assert_int_equal(still_session_keep(f->session, NULL), STILL_ERR_LOST);
	assert_int_equal(still_session_seal(f->session, NULL), STILL_ERR_LOST);
	assert_int_equal(count(f, "pin-lost"), 1);
	end_gives(f, false, STILL_ABORTED_LOST, "ABORTED(pin lost)");
}

static void lost_in_keep(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	begin(f);
	assert_int_equal(still_session_keep(f->session, &err), 0);
	serve(f, database(f, 0));
	atomic_store(&still_fake.lost, true);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
		    still_session_keep(f->session, &err), STILL_ERR_LOST);
	assert_int_equal(err.code, STILL_ERR_LOST);
	still_error_clear(&err);
	assert_lost(f);
}

static void lost_in_a_read(void **state)
{
	struct fixture *f = *state;
	struct still_session_status status;

	begin(f);
	atomic_store(&still_fake.lost, true);
	read_gives(f, database(f, 0), 0, 10, STILL_ERR_LOST);
	/* The reader's message names a file; that of keep has the reason. */
	still_session_status(f->session, &status);
	assert_true(status.lost);
	assert_string_equal(
	    still_error_msg(&status.error), "the fake moment was lost");
	assert_string_equal(status.error.hint, "Begin another session.");
	still_session_status_clear(&status);
	assert_lost(f);
}

static void lost_before_the_seal(void **state)
{
	struct fixture *f = *state;

	/* All bytes are served; the last look before the seal says no. */
	begin(f);
	serve_all_but_the_seal(f);
	atomic_store(&still_fake.lost, true);
	assert_int_equal(still_session_seal(f->session, NULL), STILL_ERR_LOST);
	assert_int_equal(count(f, "sealed"), 0);
	assert_lost(f);
}

static void lost_after_the_seal(void **state)
{
	struct fixture *f = *state;

	begin(f);
	serve_all_but_the_seal(f);
	make_seal(f);
	serve(f, the_seal(f));
	atomic_store(&still_fake.lost, true);
	assert_int_equal(still_session_keep(f->session, NULL), STILL_ERR_LOST);
	assert_lost(f);
}

/* Nobody looked since it was lost: the end does. */
static void lost_at_the_end(void **state)
{
	struct fixture *f = *state;

	begin(f);
	serve_all_but_the_seal(f);
	make_seal(f);
	serve(f, the_seal(f));
	assert_int_equal(still_session_keep(f->session, NULL), 0);
	atomic_store(&still_fake.lost, true);
	end_gives(f, false, STILL_ABORTED_LOST, "ABORTED(pin lost)");
	assert_int_equal(count(f, "pin-lost"), 1);
}

/* ---- time ---------------------------------------------------------------- */

static void status_of_each_state(void **state)
{
	struct fixture *f = *state;
	struct still_session_status status;
	int64_t before_ns = still_sys_now_ns();

	still_session_status(f->session, &status);
	assert_int_equal(status.state, STILL_IDLE);
	assert_int_equal(status.begun_at_ns, 0);
	assert_int_equal(status.pin_age_ns, 0);
	assert_null(status.cut);
	assert_int_equal(
	    strlen(status.id), strlen("20231114T221320Z-01234567"));
	still_session_status_clear(&status);

	begin(f);
	still_session_status(f->session, &status);
	assert_int_equal(status.state, STILL_SERVING);
	assert_int_equal(status.outcome, STILL_NO_OUTCOME);
	assert_true(status.begun_at_ns >= before_ns);
	assert_true(status.frozen_at_ns == still_fake.cut_last_ns);
	assert_true(status.pin_age_ns > 0);
	assert_string_equal(status.cut, "fake");
	assert_int_equal(status.cut_width_ns, 750);
	assert_string_equal(status.verified, "nothing");
	assert_int_equal(status.databases, 3);
	assert_int_equal(status.error.code, 0);
	still_session_status_clear(&status);
	end_gives(f, false, STILL_ABORTED_UNREAD, "ABORTED(unread)");
}

/* What the engine bears is told as it says, and not after the end. */
static void what_is_held(void **state)
{
	struct fixture *f = *state;
	struct still_session_status s;

	begin(f);
	still_session_status(f->session, &s);
	assert_int_equal(s.pin, STILL_PIN_MODE_AUTO);
	assert_int_equal(s.n_pinned, 1);
	assert_true(s.pin_age_ns > 0);
	assert_int_equal(s.log_held_bytes, 0);
	assert_int_equal(s.wal_max_bytes, WAL_MAX);
	still_session_status_clear(&s);

	still_fake.held = (struct still_held){
	    .n_pinned = 2,
	    .pin_ns = 12345,
	    .log_bytes = 7,
	    .n_moves = 3,
	    .n_let_by = 4,
	    .copy_bytes = 100,
	    .copied_bytes = 99,
	    .spool_full = true,
	};
	atomic_fetch_add(&f->instance->spool.used_bytes, 500);
	/* As of the last look. */
	still_session_status(f->session, &s);
	assert_int_equal(s.n_pinned, 1);
	assert_int_equal(s.pin_moves, 0);
	assert_int_equal(s.spool_bytes, 500);
	still_session_status_clear(&s);
	assert_int_equal(still_session_keep(f->session, NULL), 0);
	still_session_status(f->session, &s);
	assert_int_equal(s.n_pinned, 2);
	assert_int_equal(s.pin_age_ns, 12345);
	assert_int_equal(s.log_held_bytes, 7);
	assert_int_equal(s.pin_moves, 3);
	assert_int_equal(s.let_by, 4);
	assert_int_equal(s.copy_bytes, 100);
	assert_int_equal(s.copied_bytes, 99);
	assert_true(s.spool_full);
	still_session_status_clear(&s);

	/* All is let go. */
	still_fake.held = (struct still_held){.n_moves = 5, .n_let_by = 6};
	assert_int_equal(still_session_keep(f->session, NULL), 0);
	still_session_status(f->session, &s);
	assert_int_equal(s.n_pinned, 0);
	assert_int_equal(s.pin_age_ns, 0);
	assert_int_equal(s.log_held_bytes, 0);
	assert_false(s.spool_full);
	still_session_status_clear(&s);

	/* What was done stays; what was held does not. */
	still_fake.held = (struct still_held){.n_pinned = 1,
	    .pin_ns = 9,
	    .log_bytes = 9,
	    .n_moves = 8,
	    .n_let_by = 7,
	    .spool_full = true};
	atomic_fetch_sub(&f->instance->spool.used_bytes, 500);
	end_gives(f, false, STILL_ABORTED_UNREAD, "ABORTED(unread)");
	still_session_status(f->session, &s);
	assert_int_equal(s.n_pinned, 0);
	assert_int_equal(s.log_held_bytes, 0);
	assert_false(s.spool_full);
	assert_int_equal(s.spool_bytes, 0);
	assert_int_equal(s.pin_moves, 8);
	assert_int_equal(s.let_by, 7);
	still_session_status_clear(&s);
}

static void nothing_is_pinned(void **state)
{
	struct fixture *f = *state;
	struct still_session_status s;

	still_fake.unpinned = true;
	begin(f);
	still_session_status(f->session, &s);
	assert_int_equal(s.n_pinned, 0);
	assert_int_equal(s.pin_age_ns, 0);
	still_session_status_clear(&s);
	end_gives(f, false, STILL_ABORTED_UNREAD, "ABORTED(unread)");
}

/* That the copy is whole is told once, and only when it is. */
static void complete_is_told_once(void **state)
{
	struct fixture *f = *state;
	char want[128];
	struct still_session_status s;

	begin(f);
	/* There is nothing to copy. */
	assert_int_equal(still_session_keep(f->session, NULL), 0);
	still_fake.held.copy_bytes = 1000;
	still_fake.held.copied_bytes = 999;
	assert_int_equal(still_session_keep(f->session, NULL), 0);
	assert_int_equal(count(f, "snapshot-complete"), 0);
	still_fake.held.copied_bytes = 1000;
	for (int i = 0; i < 3; i++)
		assert_int_equal(still_session_keep(f->session, NULL), 0);
	assert_int_equal(count(f, "snapshot-complete"), 1);
	still_session_status(f->session, &s);
	snprintf(want, sizeof(want),
	    "snapshot-complete session=%s bytes=1000 seconds=0.", s.id);
	still_session_status_clear(&s);
	if (strncmp(f->complete, want, strlen(want)) != 0)
		fail_msg("%s", f->complete);
	serve_all_but_the_seal(f);
	make_seal(f);
	end_gives(
	    f, false, STILL_ABORTED_PARTIAL, "ABORTED(partial: 4 of 5 files)");
	assert_int_equal(count(f, "snapshot-complete"), 1);
}

/* What the user asked for reaches the engine, and its spool. */
static void options_of_the_pin(void **state)
{
	static const struct {
		enum still_pin pin;
		enum still_pin_policy policy;
	} table[] = {
	    {STILL_PIN_MODE_AUTO, STILL_PIN_AUTO},
	    {STILL_PIN_MODE_GOVERN, STILL_PIN_GOVERN},
	    {STILL_PIN_MODE_HOLD, STILL_PIN_HOLD},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_options options = {
		    .pin = table[i].pin,
		    .pin_ms = 60000,
		    .wal_max_bytes = UINT64_C(5) << 40,
		    .assist = i == 1,
		    .spool_max_bytes = UINT64_C(6) << 40,
		};
		struct still_instance *instance = NULL;

		assert_int_equal(
		    still_instance_attach_engine(&still_engine_fake,
			"fake:pins", &options, &instance, NULL),
		    0);
		assert_int_equal(still_fake.options.pin, table[i].policy);
		assert_true(
		    still_fake.options.pin_limit_ns == 60 * STILL_NS_PER_S);
		assert_true(
		    still_fake.options.log_limit_bytes == UINT64_C(5) << 40);
		assert_int_equal(still_fake.options.assist, i == 1);
		assert_true(instance->spool.max_bytes == UINT64_C(6) << 40);
		still_instance_detach(instance);
		atomic_store(&still_fake.n_detach, 0);
	}
}

static void ids_differ(void **state)
{
	struct fixture *f = *state;
	struct still_session *other = still_session_new(f->instance, f->events);
	struct still_session_status a;
	struct still_session_status b;

	assert_non_null(other);
	still_session_status(f->session, &a);
	still_session_status(other, &b);
	assert_string_not_equal(a.id, b.id);
	still_session_status_clear(&a);
	still_session_status_clear(&b);
	still_session_free(other);
}

/* ---- threads ------------------------------------------------------------- */

struct crowd {
	struct fixture *fixture;
	uint64_t seed;
	uint32_t index[3];
	atomic_uint failures;
	atomic_uint next;
};

static void *read_at_random(void *arg)
{
	struct crowd *crowd = arg;
	uint64_t random = crowd->seed + atomic_fetch_add(&crowd->next, 1);
	static const size_t len = 9000;
	char *got = malloc(len);
	char *want = malloc(len);

	for (int i = 0; got && want && i < 300; i++) {
		size_t number = (size_t) scratch_below(&random, 3);
		uint64_t size = still_fake.size_bytes[number];
		uint64_t off = scratch_below(&random, size);
		size_t n = 1 + (size_t) scratch_below(&random, len);
		ssize_t rc;

		if (n > size - off)
			n = (size_t) (size - off);
		rc = still_session_read(crowd->fixture->session,
		    crowd->index[number], off, got, n, NULL);
		still_fake_content(1, number, off, want, n);
		if (rc != (ssize_t) n || memcmp(got, want, n) != 0)
			atomic_fetch_add(&crowd->failures, 1);
	}
	free(got);
	free(want);
	return NULL;
}

static void *keep_and_look(void *arg)
{
	struct crowd *crowd = arg;

	for (int i = 0; i < 300; i++) {
		struct still_session_status status;

		if (still_session_keep(crowd->fixture->session, NULL) != 0)
			atomic_fetch_add(&crowd->failures, 1);
		still_session_status(crowd->fixture->session, &status);
		still_session_status_clear(&status);
	}
	return NULL;
}

static void *seal_beside_others(void *arg)
{
	struct crowd *crowd = arg;

	if (still_session_seal(crowd->fixture->session, NULL) != 0)
		atomic_fetch_add(&crowd->failures, 1);
	return NULL;
}

static void many_readers(void **state)
{
	struct fixture *f = *state;
	struct crowd crowd = {.fixture = f, .seed = scratch_seed()};
	pthread_t thread[6];

	begin(f);
	for (size_t i = 0; i < 3; i++)
		crowd.index[i] = database(f, i);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&thread[i], NULL, read_at_random, &crowd),
		    0);
	assert_int_equal(
	    pthread_create(&thread[4], NULL, keep_and_look, &crowd), 0);
	assert_int_equal(
	    pthread_create(&thread[5], NULL, seal_beside_others, &crowd), 0);
	for (int i = 0; i < 6; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(atomic_load(&crowd.failures), 0);
	serve_all_but_the_seal(f);
	check_seal(f);
	end_gives(f, false, STILL_COPIED, "COPIED");
}

struct read_call {
	struct fixture *fixture;
	uint32_t index;
	char data[100];
	ssize_t rc;
};

static void *call_read(void *arg)
{
	struct read_call *call = arg;

	call->rc = still_session_read(call->fixture->session, call->index, 0,
	    call->data, sizeof(call->data), NULL);
	return NULL;
}

static void *call_end(void *arg)
{
	struct begin_call *call = arg;

	call->rc = (int) still_session_end(
	    call->fixture->session, STILL_END_DONE);
	return NULL;
}

/* The engine's objects live as long as a reader is inside. */
static void end_waits_for_readers(void **state)
{
	struct fixture *f = *state;
	struct read_call reader = {.fixture = f};
	struct begin_call ender = {f, 0};
	pthread_t reads;
	pthread_t ends;
	char want[100];

	begin(f);
	reader.index = database(f, 0);
	still_fake_gate_close(&still_fake.read_gate);
	assert_int_equal(pthread_create(&reads, NULL, call_read, &reader), 0);
	still_fake_gate_await(&still_fake.read_gate);
	assert_int_equal(pthread_create(&ends, NULL, call_end, &ender), 0);
	assert_int_equal(atomic_load(&still_fake.n_thaw), 0);
	still_fake_gate_open(&still_fake.read_gate);
	pthread_join(reads, NULL);
	pthread_join(ends, NULL);
	still_fake_content(1, 0, 0, want, sizeof(want));
	assert_int_equal(reader.rc, sizeof(want));
	assert_memory_equal(reader.data, want, sizeof(want));
	assert_int_equal(ender.rc, STILL_ABORTED_PARTIAL);
	end_gives(
	    f, false, STILL_ABORTED_PARTIAL, "ABORTED(partial: 0 of 5 files)");
}

/* A disk that stutters is forgiven; damage that follows is what counts. */
static void damage_after_an_io_error(void **state)
{
	struct fixture *f = *state;
	struct still_session_status status;
	struct still_error err = STILL_ERROR_INIT;

	begin(f);
	still_fake.fault = (struct still_fake_fault){
	    0, 0, 10, STILL_ERR_IO, EIO};
	read_gives(f, database(f, 0), 0, 10, STILL_ERR_IO);
	still_fake.fault = (struct still_fake_fault){
	    2, 0, 10, STILL_ERR_CORRUPT, 0};
	read_gives(f, database(f, 2), 0, 10, STILL_ERR_CORRUPT);
	still_session_status(f->session, &status);
	assert_int_equal(status.error.code, STILL_ERR_CORRUPT);
	still_session_status_clear(&status);
	assert_int_equal(
	    still_session_seal(f->session, &err), STILL_ERR_CORRUPT);
	still_error_clear(&err);
	/* And a disk that stutters afterwards does not hide it. */
	still_fake.fault = (struct still_fake_fault){
	    0, 0, 10, STILL_ERR_IO, EIO};
	read_gives(f, database(f, 0), 0, 10, STILL_ERR_IO);
	still_session_status(f->session, &status);
	assert_int_equal(status.error.code, STILL_ERR_CORRUPT);
	still_session_status_clear(&status);
}

struct restless {
	struct fixture *f;
	uint32_t index;
};

static void *read_until_over(void *arg)
{
	const struct restless *r = arg;
	char data[4096];

	while (still_session_read(
		   r->f->session, r->index, 0, data, sizeof(data), NULL) >= 0)
		;
	return NULL;
}

/* They end only when the session does, so a session that waits for a pause
 * between them never ends, and the watchdog barks. */
static void readers_that_never_pause(void **state)
{
	struct fixture *f = *state;
	struct restless restless = {.f = f};
	pthread_t thread[8];

	begin(f);
	restless.index = database(f, 2);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&thread[i], NULL,
				     read_until_over, &restless),
		    0);
	still_session_end(f->session, STILL_END_FORCED);
	for (size_t i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
}

/* Frozen, and stopped while the second of the freeze is waited for. */
static void cancelled_after_the_freeze(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	still_fake.cut_first_ns = still_fake.cut_last_ns = still_sys_now_ns();
	still_session_cancel(f->session);
	assert_int_equal(
	    still_session_begin(f->session, STILL_FULL, DIR_TIME_S, &err),
	    STILL_ERR_CANCELLED);
	assert_int_equal(
	    atomic_load(&still_fake.n_thaw), atomic_load(&still_fake.n_freeze));
	still_error_clear(&err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(copied),
	    TEST(closing),
	    TEST(closing_fails),
	    TEST(unread),
	    TEST(sealed_but_unread),
	    TEST(one_byte),
	    TEST(all_but_the_seal),
	    TEST(all_but_one_byte),
	    TEST(forced),
	    TEST(nothing_to_copy),
	    TEST(empty_files),
	    TEST(never_begun),
	    TEST(freed_while_serving),
	    TEST(freeze_fails),
	    TEST(path_twice),
	    TEST(path_with_newline),
	    TEST(cancelled_freeze),
	    TEST(content),
	    TEST(manifest),
	    TEST(entries),
	    TEST(edges),
	    TEST(over_is_over),
	    TEST(before_begin),
	    TEST(io_error),
	    TEST(coverage),
	    TEST(seal_over_unread_files),
	    TEST(seal_over_read_files),
	    TEST(seal_over_bits_and_pieces),
	    TEST(seal_is_made_once),
	    TEST(cancelled_seal),
	    TEST(io_error_in_the_pass),
	    TEST(damage_in_a_read),
	    TEST(damage_in_the_pass),
	    TEST(damage_after_the_seal),
	    TEST(damage_at_the_freeze),
	    TEST(damage_is_more_than_force),
	    TEST(incomplete),
	    TEST(incomplete_and_unread),
	    TEST(incomplete_and_corrupt),
	    TEST(corrupt_and_incomplete),
	    TEST(incomplete_then_corrupt),
	    TEST(incomplete_then_lost),
	    TEST(lost_in_keep),
	    TEST(lost_in_a_read),
	    TEST(lost_before_the_seal),
	    TEST(lost_after_the_seal),
	    TEST(lost_at_the_end),
	    TEST(status_of_each_state),
	    TEST(what_is_held),
	    TEST(nothing_is_pinned),
	    TEST(complete_is_told_once),
	    TEST(options_of_the_pin),
	    TEST(ids_differ),
	    TEST(many_readers),
	    TEST(end_waits_for_readers),
	    TEST(damage_after_an_io_error),
	    TEST(readers_that_never_pause),
	    TEST(cancelled_after_the_freeze),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
