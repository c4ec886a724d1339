/* SPDX-License-Identifier: MIT */
/* The destination: what is refused, what killed runs left, and the exchange with
 * each of its steps failing. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>

#include "base/rmtree.h"
#include "base/sys.h"
#include "core/dest.h"
#include "tests/unit/scratch.h"

#define ID "20261121T010203Z-0123abcd"
#define OLD_ID "20261120T010203Z-0123abcd"

struct fixture {
	char *dir;
	char *dest;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	f->dir = scratch_make();
	f->dest = strdup(scratch_path(f->dir, "dest"));
	mkdir(f->dest, 0700);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	scratch_remove(f->dir);
	free(f->dest);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

/* What a set has as backup.json. */
static void describe(struct fixture *f, const char *name, const char *text)
{
	char *set = strdup(scratch_path(f->dest, name));

	assert_int_equal(
	    scratch_write(scratch_path(set, "backup.json"), text, strlen(text)),
	    0);
	free(set);
}

/* A set that says who it is. What else a description has is not there: it is a
 * damaged one, too. */
#define DESCRIPTION                             \
	"{\"format\": 1, \"session\": \"%s\", " \
	"\"engine\": \"fake\", \"source\": \"/src\"}"

static void put_set(struct fixture *f, const char *name, const char *who)
{
	char *path = strdup(scratch_path(f->dest, name));
	char text[128];

	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(mkdir(scratch_path(path, "data"), 0500), 0);
	snprintf(text, sizeof(text), DESCRIPTION, who);
	describe(f, name, text);
	free(path);
}

static void holds(struct fixture *f, const char *who)
{
	char text[128] = {0};
	char want[128];
	int fd = open(scratch_path(f->dest, "full/backup.json"), O_RDONLY);

	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof(text) - 1) >= 0);
	close(fd);
	snprintf(want, sizeof(want), DESCRIPTION, who);
	assert_string_equal(text, want);
}

static unsigned count(struct fixture *f)
{
	DIR *dir = opendir(f->dest);
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void removed(struct fixture *f, const char *dir, const char *name)
{
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY);

	(void) f;
	assert_int_equal(still_rmtree(dirfd, name), 0);
	close(dirfd);
}

static bool is_there(struct fixture *f, const char *name)
{
	return access(scratch_path(f->dest, name), F_OK) == 0;
}

static void refused(struct fixture *f, const char *path, const char *source,
    bool create, int code, int sys_errno, const char *words)
{
	struct still_error err = STILL_ERROR_INIT;
	unsigned fds = scratch_count_fds();
	struct still_dest dest;

	(void) f;
	assert_int_equal(
	    still_dest_open(path, source, create, &dest, &err), code);
	still_dest_close(&dest);
	assert_int_equal(err.code, code);
	assert_int_equal(err.sys_errno, sys_errno);
	if (!strstr(still_error_msg(&err), words))
		fail_msg(
		    "\"%s\" does not say \"%s\"", still_error_msg(&err), words);
	still_error_clear(&err);
	assert_int_equal(scratch_count_fds(), fds);
}

static void opened(struct fixture *f, struct still_dest *dest)
{
	struct still_error err = STILL_ERROR_INIT;

	if (still_dest_open(f->dest, NULL, false, dest, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static void made(struct fixture *f, struct still_dest *dest)
{
	struct still_error err = STILL_ERROR_INIT;
	int fd = -1;
	char text[128];

	if (still_dest_make(dest, ID, &fd, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	close(fd);
	snprintf(text, sizeof(text), DESCRIPTION, "new");
	describe(f, ".new-" ID, text);
}

/* ---- the seam ------------------------------------------------------------ */

static enum still_sys_call fault_call;
static unsigned fault_countdown; /* 0: none */
static unsigned fault_calls;
static int fault_errno;
static bool no_exchange; /* the first rename is refused as unknown */

static int fault(enum still_sys_call call)
{
	if (no_exchange && call == STILL_SYS_RENAME) {
		no_exchange = false;
		return EINVAL;
	}
	if (call != fault_call)
		return 0;
	fault_calls++;
	return fault_countdown && --fault_countdown == 0 ? fault_errno : 0;
}

/* ---- what is refused ----------------------------------------------------- */

static void no_place(void **state)
{
	struct fixture *f = *state;

	refused(f, scratch_path(f->dir, "none"), NULL, false,
	    STILL_ERR_NOTFOUND, ENOENT, "none`");
	refused(f, scratch_path(f->dir, "none/deeper"), NULL, true,
	    STILL_ERR_NOTFOUND, ENOENT, "its parent directory");
	scratch_write(scratch_path(f->dir, "file"), "x", 1);
	refused(f, scratch_path(f->dir, "file"), NULL, true, STILL_ERR_NOTFOUND,
	    ENOTDIR, "file`");
	refused(f, scratch_path(f->dir, "file/x"), NULL, true,
	    STILL_ERR_NOTFOUND, ENOTDIR, "file/x`");
}

static void foreign(void **state)
{
	static const char *const names[] = {"zebra", "notes.txt", ".hidden",
	    ".new-photos", ".old-", "full.bak",
	    ".new-20261121T010203Z-0123abcdx"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		mkdir(scratch_path(f->dest, names[i]), 0700);
		refused(f, f->dest, NULL, false, STILL_ERR_INVALID, ENOTEMPTY,
		    names[i]);
		assert_true(is_there(f, names[i]));
		rmdir(scratch_path(f->dest, names[i]));
	}
	/* The first of several, as bytes. */
	scratch_write(scratch_path(f->dest, "b"), "x", 1);
	scratch_write(scratch_path(f->dest, "a"), "x", 1);
	refused(f, f->dest, NULL, false, STILL_ERR_INVALID, ENOTEMPTY, "`a`");
}

/* What only looks like ours. */
static void disguised(void **state)
{
	struct fixture *f = *state;

	mkdir(scratch_path(f->dest, "full"), 0700);
	refused(f, f->dest, NULL, false, STILL_ERR_INVALID, ENOTEMPTY, "full");
	rmdir(scratch_path(f->dest, "full"));
	assert_int_equal(symlink(f->dir, scratch_path(f->dest, "full")), 0);
	refused(f, f->dest, NULL, false, STILL_ERR_INVALID, ENOTEMPTY, "full");
	unlink(scratch_path(f->dest, "full"));
	assert_int_equal(symlink(f->dir, scratch_path(f->dest, ".new-" ID)), 0);
	refused(f, f->dest, NULL, false, STILL_ERR_INVALID, ENOTEMPTY, ".new-");
	unlink(scratch_path(f->dest, ".new-" ID));
	scratch_write(scratch_path(f->dest, ".old-" ID), "x", 1);
	refused(f, f->dest, NULL, false, STILL_ERR_INVALID, ENOTEMPTY, ".old-");
}

/* A last set that is not known to be ours: whatever would become of it. */
static void keeps(struct fixture *f, const char *source, const char *words)
{
	put_set(f, ".new-" ID, "half");
	refused(f, f->dest, source, false, STILL_ERR_INVALID, ENOTEMPTY, words);
	/* Nothing was removed, nor renamed. */
	assert_int_equal(count(f), 2);
	assert_true(is_there(f, ".new-" ID "/backup.json"));
	still_rmtree(AT_FDCWD, scratch_path(f->dest, ".new-" ID));
}

#define SAID "{\"format\": 1, \"session\": \"last\", \"kind\": \"full\", "

static void others(void **state)
{
	static const struct {
		const char *text;
		const char *words;
	} list[] = {
	    {"", "is not JSON"},
	    {"last", "is not JSON"},
	    {"[]", "is not a JSON object"},
	    {"{}", "`format` is not a count"},
	    {"{\"name\": \"my photos\", \"source\": \"/src\"}", "`format`"},
	    {"{\"format\": 2, \"engine\": \"fake\", \"source\": \"/src\"}",
		"has format 2, and this stillfs knows 1"},
	    {SAID "\"engine\": \"fake\"}", "`source` is not a path"},
	    {SAID "\"source\": \"/src\"}", "`engine` is not a text"},
	    {"{\"format\": 1, \"engine\": \"fake\", \"source\": \"/sr\"}",
		"/full`: is a set of another source: `/sr`"},
	};
	struct fixture *f = *state;

	put_set(f, "full", "last");
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		describe(f, "full", list[i].text);
		keeps(f, "/src", list[i].words);
	}
	/* Nor is it put back, where a swap was cut. */
	assert_int_equal(rename(scratch_path(f->dest, "full"),
			     scratch_path(f->dest, ".old-" OLD_ID)),
	    0);
	keeps(f, "/src", ".old-" OLD_ID "`: is a set of another source: `/sr`");
	assert_true(is_there(f, ".old-" OLD_ID "/backup.json"));
}

/* One of ours may be damaged, as all of these are; and who does not know the
 * source does not ask. */
static void own(void **state)
{
	static const char *const sources[] = {"/src", NULL};
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	struct still_dest dest;

	put_set(f, "full", "last");
	for (size_t i = 0; i < 2; i++) {
		if (still_dest_open(f->dest, sources[i], false, &dest, &err) !=
		    0)
			fail_msg("%s", still_error_msg(&err));
		assert_true(dest.had_full);
		still_dest_close(&dest);
	}
}

static void unreadable(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	struct still_dest dest;

	put_set(f, "full", "last");
	fault_call = STILL_SYS_PREAD;
	fault_countdown = 1;
	fault_errno = EIO;
	still_sys_fault = fault;
	assert_int_equal(
	    still_dest_open(f->dest, NULL, false, &dest, &err), STILL_ERR_IO);
	still_sys_fault = NULL;
	still_dest_close(&dest);
	assert_int_equal(err.sys_errno, EIO);
	assert_non_null(
	    strstr(still_error_msg(&err), "/full`: `backup.json`: "));
	still_error_clear(&err);
	holds(f, "last");
}

static void in_each_other(void **state)
{
	struct fixture *f = *state;

	refused(f, f->dest, f->dir, false, STILL_ERR_INVALID, 0, "lies in the");
	refused(f, f->dir, f->dest, false, STILL_ERR_INVALID, 0, "lies in it");
	refused(f, f->dest, f->dest, false, STILL_ERR_INVALID, 0, "lies in");
	/* And nothing was made there. */
	refused(f, scratch_path(f->dest, "sub"), f->dest, true,
	    STILL_ERR_INVALID, 0, "lies in the");
	assert_int_equal(count(f), 0);
}

static void two_at_once(void **state)
{
	struct fixture *f = *state;
	struct still_dest dest;

	opened(f, &dest);
	refused(f, f->dest, NULL, false, STILL_ERR_BUSY, EWOULDBLOCK,
	    "another backup is writing to it");
	still_dest_close(&dest);
	opened(f, &dest);
	still_dest_close(&dest);
}

static void created(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	struct still_dest dest;
	char *path = strdup(scratch_path(f->dir, "fresh//"));
	struct stat st;

	assert_int_equal(still_dest_open(path, NULL, true, &dest, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	/* Nothing came of it: it goes. */
	still_dest_close(&dest);
	assert_int_equal(access(path, F_OK), -1);
	free(path);
	/* What was there stays. */
	opened(f, &dest);
	still_dest_close(&dest);
	assert_int_equal(access(f->dest, F_OK), 0);
}

/* One gets the lock of what another one has made. */
static struct still_dest rival;
static const char *rival_path;

static int rival_opens(enum still_sys_call call)
{
	if (call == STILL_SYS_FSYNC && rival_path) {
		const char *path = rival_path;

		rival_path = NULL;
		assert_int_equal(
		    still_dest_open(path, NULL, true, &rival, NULL), 0);
	}
	return 0;
}

static void created_for_another(void **state)
{
	struct fixture *f = *state;
	char *path = strdup(scratch_path(f->dir, "fresh"));
	struct still_dest dest;
	int fd = -1;

	rival_path = path;
	still_sys_fault = rival_opens;
	assert_int_equal(
	    still_dest_open(path, NULL, true, &dest, NULL), STILL_ERR_BUSY);
	still_sys_fault = NULL;
	assert_null(rival_path);
	still_dest_close(&dest);
	assert_int_equal(still_dest_make(&rival, ID, &fd, NULL), 0);
	close(fd);
	assert_int_equal(still_dest_clear(&rival, NULL), 0);
	still_dest_close(&rival);
	free(path);
}

/* It is removed after its path was followed, and before it is locked. */
static const char *removed_path;
static int removals;

static int remover(enum still_sys_call call)
{
	if (call == STILL_SYS_OPEN && removals > 0) {
		removals--;
		assert_int_equal(rmdir(removed_path), 0);
	}
	return 0;
}

static void created_again(void **state)
{
	struct fixture *f = *state;
	struct still_dest dest;
	int fd = -1;

	still_sys_fault = remover;
	removed_path = f->dest;
	removals = 3;
	assert_int_equal(still_dest_open(f->dest, NULL, true, &dest, NULL), 0);
	assert_int_equal(removals, 0);
	assert_int_equal(still_dest_make(&dest, ID, &fd, NULL), 0);
	close(fd);
	assert_true(is_there(f, ".new-" ID));
	assert_int_equal(still_dest_clear(&dest, NULL), 0);
	still_dest_close(&dest);
	assert_int_equal(access(f->dest, F_OK), -1);
	/* It is not to be made. */
	mkdir(f->dest, 0700);
	removals = 1;
	refused(f, f->dest, NULL, false, STILL_ERR_NOTFOUND, ENOENT, "dest`");
	/* There is an end to it. */
	removals = 1000;
	refused(
	    f, f->dest, NULL, true, STILL_ERR_BUSY, EAGAIN, "again and again");
	still_sys_fault = NULL;
	assert_int_equal(access(f->dest, F_OK), -1);
	mkdir(f->dest, 0700);
}

/* ---- what killed runs left ----------------------------------------------- */

static void cleared(struct fixture *f, const char *who)
{
	struct still_dest dest;

	opened(f, &dest);
	assert_int_equal(dest.had_full, who != NULL);
	still_dest_close(&dest);
	if (who)
		holds(f, who);
	assert_int_equal(count(f), who ? 1 : 0);
}

static void leftovers(void **state)
{
	struct fixture *f = *state;

	/* While it was made, the first time. */
	put_set(f, ".new-" ID, "half");
	cleared(f, NULL);
	/* Before it had a description. */
	mkdir(scratch_path(f->dest, ".new-" ID), 0700);
	cleared(f, NULL);
	/* While it was made, beside a set; and after the exchange. */
	put_set(f, "full", "last");
	put_set(f, ".new-" ID, "half");
	cleared(f, "last");
	/* After the swap. */
	put_set(f, ".old-" ID, "older");
	cleared(f, "last");
	/* In the middle of the swap. */
	assert_int_equal(rename(scratch_path(f->dest, "full"),
			     scratch_path(f->dest, ".old-" ID)),
	    0);
	put_set(f, ".new-" ID, "new");
	cleared(f, "last");
	/* And of one that was not the first to be killed. */
	assert_int_equal(rename(scratch_path(f->dest, "full"),
			     scratch_path(f->dest, ".old-" ID)),
	    0);
	put_set(f, ".old-" OLD_ID, "older");
	cleared(f, "last");
}

struct owners {
	uid_t dest_uid;
	mode_t dest_mode;
	uid_t uid;
	bool taken; /* for one of ours */
};

static const struct owners owners[] = {
    {0, 0700, 0, true},
    {0, 0775, 0, true},
    /* The source's owner is the set's. */
    {0, 0755, 4711, true},
    {0, 0775, 4711, false},
    {0, 01777, 4711, false},
    {4711, 0700, 0, false},
    {4711, 0755, 4711, false},
};

static void leftovers_of_others(void **state)
{
	static const char *const names[] = {".new-" ID, ".old-" ID};
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < 2 * sizeof(owners) / sizeof(owners[0]); i++) {
		const struct owners *o = &owners[i / 2];
		const char *name = names[i % 2];

		put_set(f, name, "precious");
		assert_int_equal(
		    chown(scratch_path(f->dest, name), o->uid, 0), 0);
		assert_int_equal(chown(f->dest, o->dest_uid, 0), 0);
		assert_int_equal(chmod(f->dest, o->dest_mode), 0);
		if (o->taken) {
			cleared(f, i % 2 ? "precious" : NULL);
		} else {
			refused(f, f->dest, NULL, false, STILL_ERR_INVALID,
			    EPERM, name);
			assert_true(is_there(f, name));
			assert_int_equal(count(f), 1);
		}
		removed(f, f->dest, o->taken ? "full" : name);
	}
	/* Without one, who owns it does not matter. */
	cleared(f, NULL);
}

static void lost_and_found(void **state)
{
	struct fixture *f = *state;
	struct still_dest dest;

	mkdir(scratch_path(f->dest, "lost+found"), 0700);
	opened(f, &dest);
	still_dest_close(&dest);
	assert_int_equal(count(f), 1);
}

/* ---- the exchange -------------------------------------------------------- */

static void place_first(void **state)
{
	struct fixture *f = *state;
	struct still_dest dest;

	opened(f, &dest);
	made(f, &dest);
	assert_int_equal(still_dest_place(&dest, NULL), 0);
	holds(f, "new");
	assert_int_equal(still_dest_unplace(&dest, NULL), 0);
	assert_false(is_there(f, "full"));
	assert_int_equal(still_dest_place(&dest, NULL), 0);
	assert_int_equal(still_dest_clear(&dest, NULL), 0);
	still_dest_close(&dest);
	holds(f, "new");
	assert_int_equal(count(f), 1);
}

static void place_over(struct fixture *f, bool in_turn, bool back)
{
	struct still_dest dest;

	opened(f, &dest);
	made(f, &dest);
	still_sys_fault = fault;
	no_exchange = in_turn;
	assert_int_equal(still_dest_place(&dest, NULL), 0);
	still_sys_fault = NULL;
	assert_false(no_exchange);
	assert_int_equal(dest.exchanged, !in_turn);
	holds(f, "new");
	if (back) {
		assert_int_equal(still_dest_unplace(&dest, NULL), 0);
		holds(f, "last");
	}
	assert_int_equal(still_dest_clear(&dest, NULL), 0);
	still_dest_close(&dest);
	holds(f, back ? "last" : "new");
	assert_int_equal(count(f), 1);
}

static void place_again(void **state)
{
	struct fixture *f = *state;

	fault_countdown = 0;
	for (int in_turn = 0; in_turn < 2; in_turn++) {
		put_set(f, "full", "last");
		place_over(f, in_turn, true);
		place_over(f, in_turn, false);
		removed(f, f->dest, "full");
	}
}

/* The n-th call fails: either the new set is there or the last one is. */
static bool place_with_fault(struct fixture *f, enum still_sys_call call,
    unsigned n, bool in_turn, bool had)
{
	struct still_dest dest;
	int rc;

	if (had)
		put_set(f, "full", "last");
	opened(f, &dest);
	made(f, &dest);
	fault_call = call;
	fault_countdown = n;
	fault_errno = EIO;
	no_exchange = in_turn && had;
	still_sys_fault = fault;
	rc = still_dest_place(&dest, NULL);
	still_sys_fault = NULL;
	if (rc == 0)
		holds(f, "new");
	else if (had)
		holds(f, "last");
	else
		assert_false(is_there(f, "full"));
	assert_int_equal(still_dest_clear(&dest, NULL), 0);
	still_dest_close(&dest);
	if (rc < 0 && had)
		holds(f, "last");
	assert_int_equal(count(f), rc == 0 || had);
	removed(f, f->dest, "full");
	return rc < 0;
}

static void place_fails(void **state)
{
	static const enum still_sys_call calls[] = {
	    STILL_SYS_RENAME, STILL_SYS_FSYNC};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++)
		for (int in_turn = 0; in_turn < 2; in_turn++)
			for (int had = 0; had < 2; had++) {
				unsigned n = 1;

				while (place_with_fault(
				    f, calls[i], n, in_turn, had))
					n++;
				/* One step, or two of them. */
				assert_int_equal(n, in_turn && had ? 3 : 2);
			}
}

/* Two calls fail, of any two kinds: the n-th, and the m-th after it. */
static struct {
	unsigned n;
	unsigned m;
	unsigned calls;
	unsigned failed;
} pair;

static int pair_fault(enum still_sys_call call)
{
	if (no_exchange && call == STILL_SYS_RENAME) {
		no_exchange = false;
		return EINVAL;
	}
	if (call != STILL_SYS_RENAME && call != STILL_SYS_FSYNC)
		return 0;
	pair.calls++;
	if (pair.calls != pair.n && pair.calls != pair.n + pair.m)
		return 0;
	pair.failed++;
	return EIO;
}

static bool holds_at(struct fixture *f, const char *name, const char *who)
{
	char text[128] = {0};
	char want[128];
	char *path = strdup(scratch_path(f->dest, name));
	int fd = open(scratch_path(path, "backup.json"), O_RDONLY);

	free(path);
	if (fd < 0)
		return false;
	assert_true(read(fd, text, sizeof(text) - 1) >= 0);
	close(fd);
	snprintf(want, sizeof(want), DESCRIPTION, who);
	return strcmp(text, want) == 0;
}

/* What it says of the places is so, and a set that is the only one of its kind
 * is never cleared away. */
static void place_with_pair(struct fixture *f, bool in_turn, bool back)
{
	struct still_dest dest;
	int rc;

	put_set(f, "full", "last");
	opened(f, &dest);
	made(f, &dest);
	no_exchange = in_turn;
	pair.calls = pair.failed = 0;
	still_sys_fault = pair_fault;
	rc = still_dest_place(&dest, NULL);
	if (rc == 0 && back)
		rc = still_dest_unplace(&dest, NULL);
	still_sys_fault = NULL;
	if (rc < 0)
		assert_true(holds_at(f, still_dest_last(&dest), "last"));
	assert_int_equal(holds_at(f, "full", "new"), dest.placed);
	/* As a backup does that has failed. */
	if (!dest.placed)
		assert_int_equal(still_dest_clear(&dest, NULL), 0);
	if (rc < 0)
		assert_true(holds_at(f, still_dest_last(&dest), "last"));
	still_dest_close(&dest);
	opened(f, &dest);
	still_dest_close(&dest);
	holds(f, holds_at(f, "full", "new") ? "new" : "last");
	assert_int_equal(count(f), 1);
	removed(f, f->dest, "full");
}

static void place_fails_twice(void **state)
{
	struct fixture *f = *state;
	unsigned total = 0;

	for (int way = 0; way < 4; way++)
		for (pair.n = 1; pair.n <= 8; pair.n++)
			for (pair.m = 1; pair.m <= 8; pair.m++) {
				place_with_pair(f, way & 1, way & 2);
				total += pair.failed == 2;
			}
	printf("%u pairs\n", total);
	assert_true(total > 20);
}

static void no_name(void **state)
{
	static const char *const ids[] = {"", "..", "../../etc",
	    "20261121T010203Z-0123abcd/x", "20261121T010203Z-0123ABCD",
	    "x20261121T010203Z-0123abcd"};
	struct fixture *f = *state;
	struct still_dest dest;
	int fd;

	opened(f, &dest);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		assert_int_equal(still_dest_make(&dest, ids[i], &fd, NULL),
		    STILL_ERR_INVALID);
	still_dest_close(&dest);
	assert_int_equal(count(f), 0);
}

/* ---- removing ------------------------------------------------------------ */

static void deep(void **state)
{
	struct fixture *f = *state;
	int fd = open(f->dest, O_RDONLY | O_DIRECTORY);

	for (unsigned i = 0; i < 5000; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "directory", 0700), 0);
		next = openat(fd, "directory", O_RDONLY | O_DIRECTORY);
		assert_true(next >= 0);
		/* A way out, which is not taken. */
		assert_int_equal(symlinkat(f->dir, fd, "link"), 0);
		fchmod(fd, 0500);
		close(fd);
		fd = next;
	}
	close(fd);
	removed(f, f->dir, "dest");
	assert_int_equal(access(f->dest, F_OK), -1);
	assert_int_equal(access(f->dir, F_OK), 0);
	removed(f, f->dir, "dest");
	mkdir(f->dest, 0700);
}

/* A tree of ours in which something is mounted, from the same file system. */
struct mounted {
	const char *at; /* below DEST */
	bool is_file;
};

static const struct mounted mounted[] = {
    {"full/m", false},
    {"full/data/sub/m", false},
    {"full/data/sub/f", true},
    {"full", false},
};

static void alone(void)
{
	if (unshare(CLONE_NEWNS) != 0)
		skip();
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

static void put_precious(struct fixture *f)
{
	char text[128];

	assert_int_equal(mkdir(scratch_path(f->dir, "precious"), 0755), 0);
	assert_int_equal(mkdir(scratch_path(f->dir, "precious/data"), 0755), 0);
	assert_int_equal(
	    scratch_write(scratch_path(f->dir, "precious/file"), "x", 1), 0);
	/* So that it looks like a set where it is one. */
	snprintf(text, sizeof(text), DESCRIPTION, "precious");
	assert_int_equal(
	    scratch_write(scratch_path(f->dir, "precious/backup.json"), text,
		strlen(text)),
	    0);
}

static void precious_is_whole(struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(scratch_path(f->dir, "precious"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	assert_int_equal(
	    access(scratch_path(f->dir, "precious/file"), F_OK), 0);
	assert_int_equal(
	    access(scratch_path(f->dir, "precious/data"), F_OK), 0);
	assert_int_equal(
	    access(scratch_path(f->dir, "precious/backup.json"), F_OK), 0);
}

/* So many that what is mounted among them is hardly met first. */
#define BESIDE 32

static const char *beside(struct fixture *f, const char *name, int n)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/%d", name, n);
	return scratch_path(f->dest, path);
}

static void put_beside(struct fixture *f, const struct mounted *m)
{
	char *dir = strndup(m->at, (size_t) (strrchr(m->at, '/') - m->at));

	for (int i = 0; i < BESIDE; i++)
		assert_int_equal(scratch_write(beside(f, dir, i), "x", 1), 0);
	free(dir);
}

static void are_beside(struct fixture *f, const struct mounted *m)
{
	char dir[64];

	snprintf(dir, sizeof(dir), ".new-" ID "%.*s",
	    (int) (strrchr(m->at, '/') - m->at) - 4, m->at + 4);
	for (int i = 0; i < BESIDE; i++)
		assert_int_equal(access(beside(f, dir, i), F_OK), 0);
}

static void mount_it(struct fixture *f, const struct mounted *m)
{
	char *at = strdup(scratch_path(f->dest, m->at));

	put_set(f, "full", "last");
	chmod(scratch_path(f->dest, "full/data"), 0700);
	assert_int_equal(
	    mkdir(scratch_path(f->dest, "full/data/sub"), 0700), 0);
	if (strchr(m->at, '/'))
		put_beside(f, m);
	if (m->is_file)
		assert_int_equal(scratch_write(at, "", 0), 0);
	else
		assert_true(mkdir(at, 0700) == 0 || errno == EEXIST);
	assert_int_equal(mount(scratch_path(f->dir,
				   m->is_file ? "precious/file" : "precious"),
			     at, NULL, MS_BIND, NULL),
	    0);
	free(at);
}

/* The last set is moved aside, with what is mounted in it, and stays. */
static void mount_in_the_last(struct fixture *f, const struct mounted *m)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_dest dest;

	opened(f, &dest);
	made(f, &dest);
	assert_int_equal(still_dest_place(&dest, NULL), 0);
	assert_int_equal(still_dest_clear(&dest, &err), STILL_ERR_BUSY);
	assert_non_null(
	    strstr(still_error_msg(&err), "something is mounted in it"));
	still_error_clear(&err);
	still_dest_close(&dest);
	holds(f, "new");
	/* Nothing of it has gone. */
	assert_true(holds_at(f, ".new-" ID, "last"));
	are_beside(f, m);
	refused(f, f->dest, NULL, false, STILL_ERR_BUSY, EBUSY,
	    ".new-" ID "`: something is mounted in it");
	assert_true(holds_at(f, ".new-" ID, "last"));
	are_beside(f, m);
}

/* It cannot be renamed. */
static void mount_on_the_last(struct fixture *f)
{
	struct still_dest dest;

	opened(f, &dest);
	made(f, &dest);
	assert_true(still_dest_place(&dest, NULL) < 0);
	assert_int_equal(still_dest_clear(&dest, NULL), 0);
	still_dest_close(&dest);
}

static void mounts(void **state)
{
	struct fixture *f = *state;
	struct still_dest dest;

	alone();
	put_precious(f);
	for (size_t i = 0; i < sizeof(mounted) / sizeof(mounted[0]); i++) {
		bool top = strcmp(mounted[i].at, "full") == 0;
		char at[PATH_MAX];

		mount_it(f, &mounted[i]);
		snprintf(at, sizeof(at), "%s/%s%s", f->dest,
		    top ? "full" : ".new-" ID, mounted[i].at + 4);
		if (top)
			mount_on_the_last(f);
		else
			mount_in_the_last(f, &mounted[i]);
		precious_is_whole(f);
		assert_int_equal(umount2(at, MNT_DETACH), 0);
		opened(f, &dest);
		still_dest_close(&dest);
		assert_int_equal(count(f), 1);
		removed(f, f->dest, "full");
	}
	/* On a leftover. */
	mkdir(scratch_path(f->dest, ".old-" OLD_ID), 0700);
	assert_int_equal(
	    mount(scratch_path(f->dir, "precious"),
		scratch_path(f->dest, ".old-" OLD_ID), NULL, MS_BIND, NULL),
	    0);
	put_set(f, "full", "last");
	refused(f, f->dest, NULL, false, STILL_ERR_BUSY, EBUSY,
	    "something is mounted in it");
	precious_is_whole(f);
	umount2(scratch_path(f->dest, ".old-" OLD_ID), MNT_DETACH);
}

/* ---- the same directory by another path ---------------------------------- */

static void bind(const char *from, const char *to)
{
	assert_int_equal(mount(from, to, NULL, MS_BIND, NULL), 0);
}

static void unbind(const char *at)
{
	assert_int_equal(umount2(at, MNT_DETACH), 0);
}

struct by_mount {
	const char *from; /* is bound to dest */
	const char *dest; /* at DEST */
	const char *source;
	const char *words; /* NULL: it is a place of its own */
	bool missing;      /* so that it would be made */
};

static const struct by_mount by_mounts[] = {
    {"src", "", "src", "lies in the source", false},
    {"src", "/sub", "src", "lies in the source", false},
    {"src", "/sub/new", "src", "lies in the source", true},
    {"src/sub", "", "src", "lies in the source", false},
    {"src/sub", "/new", "src", "lies in the source", true},
    {"src/other", "", "src", "lies in the source", false},
    {"src/other", "/disk", "src", "lies in the source", false},
    {"over", "", "over/src", "lies in it", false},
    {"src2", "/sub", "src", NULL, false},
    {"over", "/free", "over/src", NULL, false},
    /* Something else is mounted upon it in the source. */
    {"src/hidden", "", "src", NULL, false},
};

static void put_dirs(struct fixture *f)
{
	static const char *const dirs[] = {"src", "src/sub", "src/other",
	    "src/hidden", "src2", "src2/sub", "over", "over/src", "over/free"};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		assert_int_equal(mkdir(scratch_path(f->dir, dirs[i]), 0700), 0);
	assert_int_equal(
	    mount("none", scratch_path(f->dir, "src/other"), "tmpfs", 0, NULL),
	    0);
	assert_int_equal(
	    mkdir(scratch_path(f->dir, "src/other/disk"), 0700), 0);
}

static void try_by_mount(struct fixture *f, const struct by_mount *m)
{
	char *source = realpath(scratch_path(f->dir, m->source), NULL);
	struct still_error err = STILL_ERROR_INIT;
	struct still_dest dest;
	char path[PATH_MAX];

	assert_non_null(source);
	snprintf(path, sizeof(path), "%s%s", f->dest, m->dest);
	if (m->words) {
		refused(f, path, source, m->missing, STILL_ERR_INVALID, 0,
		    m->words);
		assert_int_equal(access(path, F_OK), m->missing ? -1 : 0);
	} else {
		if (still_dest_open(path, source, false, &dest, &err) != 0)
			fail_msg("%s: %s", m->from, still_error_msg(&err));
		still_dest_close(&dest);
	}
	free(source);
}

static void by_another_path(void **state)
{
	struct fixture *f = *state;

	alone();
	put_dirs(f);
	for (size_t i = 0; i < sizeof(by_mounts) / sizeof(by_mounts[0]); i++) {
		const struct by_mount *m = &by_mounts[i];
		char *from = strdup(scratch_path(f->dir, m->from));
		bool hidden = strcmp(m->from, "src/hidden") == 0;

		bind(from, f->dest);
		if (hidden)
			bind(scratch_path(f->dir, "src2/sub"), from);
		try_by_mount(f, m);
		if (hidden)
			unbind(from);
		unbind(f->dest);
		free(from);
	}
	unbind(scratch_path(f->dir, "src/other"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(no_place, setup, teardown),
	    cmocka_unit_test_setup_teardown(foreign, setup, teardown),
	    cmocka_unit_test_setup_teardown(disguised, setup, teardown),
	    cmocka_unit_test_setup_teardown(others, setup, teardown),
	    cmocka_unit_test_setup_teardown(own, setup, teardown),
	    cmocka_unit_test_setup_teardown(unreadable, setup, teardown),
	    cmocka_unit_test_setup_teardown(in_each_other, setup, teardown),
	    cmocka_unit_test_setup_teardown(two_at_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(created, setup, teardown),
	    cmocka_unit_test_setup_teardown(created_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		created_for_another, setup, teardown),
	    cmocka_unit_test_setup_teardown(leftovers, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		leftovers_of_others, setup, teardown),
	    cmocka_unit_test_setup_teardown(lost_and_found, setup, teardown),
	    cmocka_unit_test_setup_teardown(place_first, setup, teardown),
	    cmocka_unit_test_setup_teardown(place_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(place_fails, setup, teardown),
	    cmocka_unit_test_setup_teardown(place_fails_twice, setup, teardown),
	    cmocka_unit_test_setup_teardown(no_name, setup, teardown),
	    cmocka_unit_test_setup_teardown(deep, setup, teardown),
	    cmocka_unit_test_setup_teardown(mounts, setup, teardown),
	    cmocka_unit_test_setup_teardown(by_another_path, setup, teardown),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
