/* SPDX-License-Identifier: MIT */
/* core/examine: exactly one verdict for each database, whatever its check does:
 * it dies, lies, or does not end. The engine's name for a database says what it
 * does to its checker. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "core/examine.h"
#include "tests/unit/scratch.h"

#define PATHS_MAX 200
#define OUT_FD 4 /* of the child (sandbox.c) */

struct fixture {
	char *dir;
	struct still_set set;
	struct still_task task;
	struct still_ticker ticker;
	atomic_bool cancel;
	pthread_mutex_t lock;
	unsigned n_told[PATHS_MAX];
	char *told[PATHS_MAX]; /* "sound", or the verdict and its text */
	const char *const *paths;
	size_t n;
	bool cancels; /* with the first verdict */
};

/* ---- an engine ----------------------------------------------------------- */

static void raw(uint32_t index, uint8_t kind, uint16_t len, const char *text)
{
	struct {
		uint32_t index;
		uint8_t kind;
		uint8_t code;
		uint16_t len;
	} head = {index, kind, 0, len};

	if (write(OUT_FD, &head, sizeof(head)) != sizeof(head) ||
	    (len && write(OUT_FD, text, len) != len))
		_exit(99);
}

static void lie(const char *how, const char *path)
{
	if (strcmp(how, "noise") == 0)
		raw(0xffffffff, 0xff, 0xffff, "");
	else if (strcmp(how, "kind") == 0)
		raw(0, 9, 0, "");
	else if (strcmp(how, "other") == 0)
		raw(1, 2, 0, "");
	else if (strcmp(how, "twice") == 0)
		raw(0, 1, 0, "");
	else if (strcmp(how, "text") == 0)
		raw(0, 2, 4, "text");
	else if (strcmp(how, "silent") == 0)
		raw(0, 3, 0, "");
	else if (strcmp(how, "about") == 0)
		raw(0, 3, 13, "`other`: is bad");
	else if (strcmp(how, "nul") == 0)
		raw(0, 3, (uint16_t) (strlen(path) + 7),
		    "`data/lie-nul`:\0 is");
	else if (strcmp(how, "cut") == 0)
		raw(0, 3, 100, "");
	else
		_exit(98);
	/* It is not believed, and must not go on. */
	for (volatile int i = 0; i >= 0; i = 0)
		;
}

static int check_one(const struct still_check_request *request,
    const char *path, struct still_error *err)
{
	const char *what = strrchr(path, '/') + 1;
	char text[200];

	request->begin(request->arg, path);
	snprintf(text, sizeof(text), "`%s`: says so", path);
	if (strncmp(what, "sound", 5) == 0)
		request->sound(request->arg, path);
	else if (strncmp(what, "damaged", 7) == 0)
		request->damaged(request->arg, path, text);
	else if (strncmp(what, "unchecked", 9) == 0)
		request->unchecked(request->arg, path, text);
	else if (strcmp(what, "crash") == 0)
		abort();
	else if (strcmp(what, "exit") == 0)
		_exit(33);
	else if (strcmp(what, "leaves") == 0)
		return 1;
	else if (strcmp(what, "nomem") == 0)
		return still_error_nomem(err);
	else if (strcmp(what, "fails") == 0)
		return still_error_set(
		    err, STILL_ERR_IO, 0, NULL, "`%s`: bad sector", path);
	else if (strncmp(what, "lie-", 4) == 0)
		lie(what + 4, path);
	return 0;
}

static int check_set(
    const struct still_check_request *request, struct still_error *err)
{
	int rc = 0;

	if (strcmp(request->paths[0], "data/early") == 0)
		_exit(1);
	for (size_t i = 0; rc == 0 && i < request->n; i++)
		rc = check_one(request, request->paths[i], err);
	return rc < 0 ? rc : 0;
}

static const struct still_engine engine = {
    .name = "fake", .check_set = check_set};

/* ---- what every case has ------------------------------------------------- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->dir = scratch_make();
	f->set.dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pthread_mutex_init(&f->lock, NULL);
	f->task.cancel = &f->cancel;
	still_ticker_begin(&f->ticker, &f->task);
	*state = f;
	return 0;
}

static void forget(struct fixture *f)
{
	for (size_t i = 0; i < PATHS_MAX; i++) {
		free(f->told[i]);
		f->told[i] = NULL;
		f->n_told[i] = 0;
	}
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	forget(f);
	still_ticker_end(&f->ticker);
	close(f->set.dirfd);
	pthread_mutex_destroy(&f->lock);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

static void tell(
    void *arg, const char *path, enum still_verdict verdict, const char *text)
{
	static const char *const words[] = {
	    "sound", "damaged", "unchecked", "failed"};
	struct fixture *f = arg;

	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(f->paths[i], path) != 0)
			continue;
		f->n_told[i]++;
		free(f->told[i]);
		if (asprintf(&f->told[i], "%s%s%s", words[verdict],
			text ? " " : "", text ? text : "") < 0)
			abort();
	}
	pthread_mutex_unlock(&f->lock);
	if (f->cancels)
		atomic_store(&f->cancel, true);
}

static int examine(struct fixture *f, const char *const *paths, size_t n)
{
	struct still_examination examination = {
	    .engine = &engine,
	    .set = &f->set,
	    .paths = paths,
	    .n = n,
	    .ticker = &f->ticker,
	    .n_threads = 3,
	    .tell = tell,
	    .arg = f,
	};
	struct still_error err = STILL_ERROR_INIT;
	const char *sandbox = NULL;
	int rc;

	forget(f);
	f->paths = paths;
	f->n = n;
	rc = still_examine(&examination, &sandbox, &err);
	if (rc == 0) {
		assert_non_null(strstr(sandbox, "seccomp"));
		for (size_t i = 0; i < n; i++)
			assert_int_equal(f->n_told[i], 1);
	} else if (rc != STILL_ERR_CANCELLED) {
		print_error("%s\n", still_error_msg(&err));
	}
	still_error_clear(&err);
	return rc;
}

/* One database gets this verdict. */
static void gets(struct fixture *f, const char *path, const char *verdict)
{
	assert_int_equal(examine(f, &path, 1), 0);
	assert_string_equal(f->told[0], verdict);
}

/* ---- verdicts ------------------------------------------------------------ */

static void verdicts(void **state)
{
	struct fixture *f = *state;

	gets(f, "data/sound", "sound");
	gets(f, "data/damaged", "damaged `data/damaged`: says so");
	gets(f, "data/unchecked", "unchecked `data/unchecked`: says so");
	gets(f, "data/fails",
	    "failed `data/fails`: could not be checked: bad sector");
	gets(f, "data/nomem",
	    "failed `data/nomem`: could not be checked: it takes too much "
	    "memory");
	gets(f, "data/crash",
	    "failed `data/crash`: could not be checked: its check was killed "
	    "by signal 6 (Aborted)");
	gets(f, "data/exit",
	    "failed `data/exit`: could not be checked: its check ended with "
	    "status 33");
	gets(f, "data/early",
	    "failed `data/early`: could not be checked: its check ended with "
	    "status 1");
	gets(f, "data/leaves",
	    "failed `data/leaves`: could not be checked: its check ended with "
	    "status 0");
}

static void lies(void **state)
{
	static const char *const how[] = {"noise", "kind", "other", "twice",
	    "text", "silent", "about", "nul", "cut"};
	struct fixture *f = *state;

	/* Of what is cut, the rest might yet come: who waits for it gives up
	 * when he is told to. */
	for (size_t i = 0; i < sizeof(how) / sizeof(how[0]) - 1; i++) {
		char path[40];
		char verdict[200];

		snprintf(path, sizeof(path), "data/lie-%s", how[i]);
		snprintf(verdict, sizeof(verdict),
		    "failed `%s`: could not be checked: its check says what "
		    "cannot be understood",
		    path);
		gets(f, path, verdict);
	}
}

/* What dies takes nobody along. */
static void the_others_are_checked(void **state)
{
	static const char *const kinds[] = {
	    "sound", "crash", "damaged", "exit", "nomem", "sound", "leaves"};
	struct fixture *f = *state;
	char *paths[PATHS_MAX];

	for (size_t i = 0; i < PATHS_MAX; i++)
		if (asprintf(&paths[i], "data/%03zu/%s", i, kinds[i % 7]) < 0)
			abort();
	assert_int_equal(examine(f, (const char *const *) paths, PATHS_MAX), 0);
	for (size_t i = 0; i < PATHS_MAX; i++) {
		static const char *const begins[] = {"sound", "failed",
		    "damaged", "failed", "failed", "sound", "failed"};

		assert_memory_equal(
		    f->told[i], begins[i % 7], strlen(begins[i % 7]));
		free(paths[i]);
	}
}

static void none(void **state)
{
	struct fixture *f = *state;
	struct still_examination examination = {.engine = &engine,
	    .set = &f->set,
	    .ticker = &f->ticker,
	    .tell = tell,
	    .arg = f};
	const char *sandbox = NULL;

	assert_int_equal(still_examine(&examination, &sandbox, NULL), 0);
	assert_null(sandbox);
}

static void cancelled(void **state)
{
	static const char *const paths[] = {"data/sound", "data/lie-cut"};
	struct fixture *f = *state;

	f->cancels = true;
	assert_int_equal(examine(f, paths, 2), STILL_ERR_CANCELLED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(verdicts),
	    TEST(lies),
	    TEST(the_others_are_checked),
	    TEST(none),
	    TEST(cancelled),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
