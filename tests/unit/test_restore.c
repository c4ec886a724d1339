/* SPDX-License-Identifier: MIT */
/*
 * core/restore: what becomes of a set, and that nothing becomes of one that is
 * damaged, of a place that is not free, and of a call that fails.
 */
#include "config.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/sys.h"
#include "still_set.h"
#include "tests/unit/scratch.h"

#define LARGE_BYTES ((size_t) 3 << 20)
#define N_FILES 6

/* Two of them are no UTF-8, or look like options and globs. */
static const char *const names[N_FILES] = {"app.db", "a/b.db", "a/c/d.db",
    "a b/*?\\'.db", "-x/\xff\xfe.db", "empty.db"};

struct fixture {
	char *dir;
	char *dest; /* owned; does not exist before make_dest() */
	struct still_restored restored;
	struct still_error err;
	atomic_bool cancel;
	enum still_phase cancel_in; /* raised when this phase is told */
};

/* ---- a set --------------------------------------------------------------- */

static const char *in_set(const struct fixture *f, const char *path)
{
	static char text[4][PATH_MAX];
	static unsigned next;
	char *to = text[next++ % 4];

	snprintf(to, PATH_MAX, "%s/set/%s", f->dir, path);
	return to;
}

static void make_dirs_of(char *path)
{
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(path, 0755) != 0)
			assert_int_equal(errno, EEXIST);
		*p = '/';
	}
}

/* Write a file of the set, and its line. */
static void put(const struct fixture *f, struct still_buf *list,
    const char *path, const char *data, size_t len)
{
	char *full = strdup(in_set(f, path));
	char hex[STILL_HASH128_HEX_CHARS + 1];

	make_dirs_of(full);
	assert_int_equal(scratch_write(full, data, len), 0);
	free(full);
	still_hash128_hex(still_hash128(data, len), hex);
	still_buf_printf(list, "%s  %s\n", hex, path);
}

static void describe(struct still_buf *json, const char *base)
{
	uint64_t bytes = LARGE_BYTES + 2 + 3 + 4 + 5;

	still_buf_printf(json,
	    "{\"format\": 1, \"session\": \"the-session\", \"kind\": \"%s\", "
	    "\"base\": %s, \"engine\": \"sqlite\", \"source\": \"/src\", "
	    "\"frozen_at\": \"2026-11-21T02:13:14.262220310Z\", "
	    "\"checksums\": \"verify/XXH128SUMS\", \"data_files\": %d, "
	    "\"data_bytes\": %llu, \"databases\": [",
	    strcmp(base, "null") == 0 ? "full" : "incremental", base, N_FILES,
	    (unsigned long long) bytes);
	for (size_t i = 0; i < N_FILES; i++) {
		char path[64];

		snprintf(path, sizeof(path), "data/%s", names[i]);
		still_buf_printf(
		    json, "%s{\"encoded_path\": \"", i ? ", " : "");
		for (const char *p = path; *p; p++)
			still_buf_printf(json, "%02x", (unsigned char) *p);
		still_buf_printf(json,
		    "\", \"size_bytes\": %zu, \"frozen\": true}",
		    i == 0       ? LARGE_BYTES
			: i == 5 ? 0
				 : i + 1);
	}
	still_buf_str(json, "]}");
}

static void make_set(const struct fixture *f, const char *base)
{
	struct still_buf list = STILL_BUF_INIT;
	struct still_buf json = STILL_BUF_INIT;
	char *large = malloc(LARGE_BYTES);
	uint64_t seed = 1;

	assert_non_null(large);
	for (size_t i = 0; i < LARGE_BYTES; i++)
		large[i] = (char) scratch_random(&seed);
	for (size_t i = 0; i < N_FILES; i++) {
		char path[64];

		snprintf(path, sizeof(path), "data/%s", names[i]);
		if (i == 0)
			put(f, &list, path, large, LARGE_BYTES);
		else
			put(f, &list, path, "abcdefgh", i == 5 ? 0 : i + 1);
	}
	describe(&json, base);
	put(f, &list, "backup.json", json.data, json.len);
	assert_int_equal(mkdir(in_set(f, "verify"), 0755), 0);
	assert_int_equal(
	    scratch_write(in_set(f, "verify/XXH128SUMS"), list.data, list.len),
	    0);
	still_buf_release(&list);
	still_buf_release(&json);
	free(large);
}

/* A cluster: a directory, with a link, nothing in a directory and, if there are
 * `spaces`, more than data/. */
static void make_cluster(const struct fixture *f, bool spaces)
{
	struct still_buf list = STILL_BUF_INIT;
	char json[1024];

	scratch_remove(strdup(in_set(f, "")));
	put(f, &list, "data/base/1", "abc", 3);
	if (spaces)
		put(f, &list, "spaces/7/x", "de", 2);
	snprintf(json, sizeof(json),
	    "{\"format\": 1, \"session\": \"the-session\", "
	    "\"kind\": \"full\", \"base\": null, \"engine\": \"fake\", "
	    "\"source\": \"/src\", "
	    "\"frozen_at\": \"2026-11-21T02:13:14.262220310Z\", "
	    "\"checksums\": \"verify/XXH128SUMS\", \"data_files\": %d, "
	    "\"data_bytes\": %d, \"links\": [{\"path\": \"data/spc/7\", "
	    "\"target\": \"%s\"}], \"empty_directories\": "
	    "[{\"path\": \"data/empty/deep\"}], \"databases\": [{\"path\": "
	    "\"data\", \"size_bytes\": 99, \"frozen\": true}]}",
	    spaces ? 2 : 1, spaces ? 5 : 3,
	    spaces ? "../../spaces/7" : "../base");
	put(f, &list, "backup.json", json, strlen(json));
	assert_int_equal(mkdir(in_set(f, "verify"), 0755), 0);
	assert_int_equal(
	    scratch_write(in_set(f, "verify/XXH128SUMS"), list.data, list.len),
	    0);
	still_buf_release(&list);
	assert_int_equal(mkdir(in_set(f, "data/spc"), 0755), 0);
	assert_int_equal(symlink(spaces ? "../../spaces/7" : "../base",
			     in_set(f, "data/spc/7")),
	    0);
	assert_int_equal(mkdir(in_set(f, "data/empty"), 0755), 0);
	assert_int_equal(mkdir(in_set(f, "data/empty/deep"), 0711), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->dir = scratch_make();
	assert_true(asprintf(&f->dest, "%s/dest", f->dir) > 0);
	f->cancel_in = STILL_PHASE_COUNT;
	make_set(f, "null");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	still_restored_release(&f->restored);
	still_error_clear(&f->err);
	scratch_remove(f->dir);
	free(f->dest);
	free(f);
	return 0;
}

static void make_dest(const struct fixture *f)
{
	assert_int_equal(mkdir(f->dest, 0750), 0);
}

/* ---- a restore ----------------------------------------------------------- */

static void progress(void *arg, const struct still_progress *now)
{
	struct fixture *f = arg;

	if (now->phase == f->cancel_in)
		atomic_store(&f->cancel, true);
}

static int restore_to(
    struct fixture *f, const char *database, bool create, const char *dest)
{
	struct still_restore_options options = {
	    .task = {.cancel = &f->cancel,
		.progress = progress,
		.progress_arg = f},
	    .database = database,
	    .create = create,
	};

	still_restored_release(&f->restored);
	still_error_clear(&f->err);
	return still_restore(
	    scratch_path(f->dir, "set"), dest, &options, &f->restored, &f->err);
}

static int restore(struct fixture *f)
{
	return restore_to(f, NULL, false, f->dest);
}

/* All that is below the fixture, in one text: names, modes and digests. Times
 * only of files: a stage that came and went changes those of its directory. */
static char *state_of(const struct fixture *f)
{
	char *command;
	struct still_buf buf = STILL_BUF_INIT;
	char data[4096];
	size_t n;
	FILE *pipe;

	assert_true(
	    asprintf(&command,
		"cd '%s' && find . \\( -type d -printf '%%p %%m %%U %%G\\n' \\)"
		" -o -printf '%%p %%m %%U %%G %%T@ %%l\\n' | LC_ALL=C sort;"
		"find . -type f -exec cat {} + | cksum",
		f->dir) > 0);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	while ((n = fread(data, 1, sizeof(data), pipe)) > 0)
		still_buf_add(&buf, data, n);
	assert_int_equal(pclose(pipe), 0);
	free(command);
	return still_buf_take(&buf, NULL);
}

/* `text` with the fixture's directory for each "@"; owned by the caller. */
static char *expand(const struct fixture *f, const char *text)
{
	struct still_buf buf = STILL_BUF_INIT;

	for (; *text; text++) {
		if (*text == '@')
			still_buf_str(&buf, f->dir);
		else
			still_buf_add(&buf, text, 1);
	}
	return still_buf_take(&buf, NULL);
}

/* It fails so, says this, and changes nothing. */
static void refused(struct fixture *f, int code, const char *database,
    const char *dest, const char *message)
{
	char *before = state_of(f);
	char *after;
	char *text = expand(f, message);

	assert_int_equal(restore_to(f, database, false, dest), code);
	assert_string_equal(still_error_msg(&f->err), text);
	after = state_of(f);
	assert_string_equal(after, before);
	free(after);
	free(before);
	free(text);
}

/* Does the file in DEST hold what the one in the set does? */
static void assert_same(const struct fixture *f, const char *name)
{
	char *command;

	assert_true(asprintf(&command, "diff -r '%s/set/data/%s' '%s/%s'",
			f->dir, name, f->dest, name) > 0);
	assert_int_equal(system(command), 0);
	free(command);
}

/* ---- what is restored ---------------------------------------------------- */

static void a_whole_set(void **state)
{
	struct fixture *f = *state;

	make_dest(f);
	assert_int_equal(restore(f), 0);
	assert_string_equal(f->restored.session, "the-session");
	assert_string_equal(f->restored.dest, f->dest);
	assert_int_equal(f->restored.files, N_FILES);
	assert_int_equal(f->restored.bytes, LARGE_BYTES + 14);
	assert_same(f, "");
	assert_int_equal(
	    access(scratch_path(f->dir, ".dest.restoring"), F_OK), -1);
}

static void a_set_into_what_is_made(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(restore_to(f, NULL, true, f->dest), 0);
	assert_same(f, "");
}

static void relative_paths_and_slashes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(chdir(f->dir), 0);
	assert_int_equal(restore_to(f, NULL, true, "dest///"), 0);
	assert_string_equal(f->restored.dest, f->dest);
	assert_same(f, "");
	assert_int_equal(restore_to(f, "app.db", false, "one"), 0);
	assert_int_equal(access("one", R_OK), 0);
	assert_int_equal(chdir("/"), 0);
}

static void a_set_where_it_cannot_be_replaced(void **state)
{
	struct fixture *f = *state;

	make_dest(f);
	assert_int_equal(mkdir(scratch_path(f->dest, "lost+found"), 0700), 0);
	assert_int_equal(restore(f), 0);
	assert_int_equal(rmdir(scratch_path(f->dest, "lost+found")), 0);
	assert_same(f, "");
}

static void modes_times_and_owners(void **state)
{
	struct fixture *f = *state;
	struct timespec times[2] = {{1000, 1}, {1234567890, 123456789}};
	bool root = geteuid() == 0;
	struct stat st;

	assert_int_equal(chmod(in_set(f, "data/a/b.db"), 0640), 0);
	assert_int_equal(chmod(in_set(f, "data/a/c"), 02750), 0);
	if (root) {
		assert_int_equal(chown(in_set(f, "data/a/b.db"), 77, 88), 0);
		assert_int_equal(chown(in_set(f, "data/a"), 99, 11), 0);
	}
	assert_int_equal(
	    utimensat(AT_FDCWD, in_set(f, "data/a/b.db"), times, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, in_set(f, "data/a"), times, 0), 0);
	make_dest(f);
	if (root)
		assert_int_equal(chown(f->dest, 55, 66), 0);
	assert_int_equal(restore(f), 0);
	assert_int_equal(stat(scratch_path(f->dest, "a/b.db"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_mtim.tv_sec, 1234567890);
	assert_int_equal(st.st_mtim.tv_nsec, 123456789);
	if (root) {
		assert_int_equal(st.st_uid, 77);
		assert_int_equal(st.st_gid, 88);
	}
	assert_int_equal(stat(scratch_path(f->dest, "a"), &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1234567890);
	assert_int_equal(st.st_uid, root ? 99 : geteuid());
	assert_int_equal(stat(scratch_path(f->dest, "a/c"), &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 02750);
	/* The place itself is whose it was. */
	assert_int_equal(stat(f->dest, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0750);
	assert_int_equal(st.st_uid, root ? 55 : geteuid());
}

static void one_database(void **state)
{
	struct fixture *f = *state;

	make_dest(f);
	assert_int_equal(restore_to(f, "a/b.db", false, f->dest), 0);
	assert_int_equal(f->restored.files, 1);
	assert_int_equal(f->restored.bytes, 2);
	assert_string_equal(f->restored.dest, scratch_path(f->dest, "b.db"));
	assert_int_equal(access(f->restored.dest, R_OK), 0);
	assert_int_equal(restore_to(f, "data/-x/\xff\xfe.db", false,
			     scratch_path(f->dest, "other")),
	    0);
	assert_int_equal(access(scratch_path(f->dest, "other"), R_OK), 0);
	assert_int_equal(
	    restore_to(f, "app.db", true, scratch_path(f->dest, "new/app.db")),
	    0);
	assert_int_equal(
	    restore_to(f, "app.db", true, scratch_path(f->dest, "more/")), 0);
	assert_string_equal(
	    f->restored.dest, scratch_path(f->dest, "more/app.db"));
}

static void one_database_of_a_damaged_set(void **state)
{
	struct fixture *f = *state;

	make_dest(f);
	assert_int_equal(unlink(in_set(f, "data/a/c/d.db")), 0);
	assert_int_equal(restore_to(f, "a/b.db", false, f->dest), 0);
	refused(f, STILL_ERR_CORRUPT, "a/c/d.db", f->dest,
	    "`@/set`: is not whole: `data/a/c/d.db`: is missing");
	assert_int_equal(
	    scratch_write(in_set(f, "data/a/b.db-wal"), "x", 1), 0);
	assert_int_equal(unlink(scratch_path(f->dest, "b.db")), 0);
	assert_int_equal(
	    restore_to(f, "a/b.db", false, f->dest), STILL_ERR_CORRUPT);
	assert_int_equal(restore_to(f, "app.db", false, f->dest), 0);
}

static void the_directory_of_a_backup(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rename(in_set(f, ""), scratch_path(f->dir, "x")), 0);
	assert_int_equal(mkdir(in_set(f, ""), 0755), 0);
	assert_int_equal(
	    rename(scratch_path(f->dir, "x"), in_set(f, "full")), 0);
	assert_int_equal(restore_to(f, NULL, true, f->dest), 0);
	refused(f, STILL_ERR_NOTFOUND, NULL, in_set(f, "beside"),
	    "`@/set/beside`: there is no such directory");
	assert_int_equal(
	    restore_to(f, NULL, true, in_set(f, "beside")), STILL_ERR_INVALID);
	assert_int_equal(access(in_set(f, "beside"), F_OK), -1);
}

/* ---- what is refused ----------------------------------------------------- */

static void places_that_are_not_free(void **state)
{
	struct fixture *f = *state;

	refused(f, STILL_ERR_NOTFOUND, NULL, f->dest,
	    "`@/dest`: there is no such directory");
	make_dest(f);
	refused(f, STILL_ERR_INVALID, NULL, f->dir,
	    "`@`: the set `@/set` lies in it");
	assert_int_equal(mkdir(in_set(f, "none"), 0755), 0);
	refused(f, STILL_ERR_INVALID, NULL, in_set(f, "none"),
	    "`@/set/none`: lies in the set `@/set`");
	assert_int_equal(
	    scratch_write(scratch_path(f->dest, "x.db-wal"), "", 0), 0);
	refused(f, STILL_ERR_INVALID, NULL, f->dest,
	    "`@/dest`: is not empty: `x.db-wal` is there, which belongs to "
	    "another database");
	assert_int_equal(f->err.sys_errno, ENOTEMPTY);
	assert_int_equal(scratch_write(scratch_path(f->dest, "f"), "", 0), 0);
	refused(f, STILL_ERR_INVALID, NULL, f->dest,
	    "`@/dest`: is not empty: `f` is there");
	refused(f, STILL_ERR_NOTFOUND, NULL, scratch_path(f->dest, "f"),
	    "`@/dest/f`: Not a directory");
	assert_int_equal(symlink("nowhere", scratch_path(f->dest, "link")), 0);
	refused(f, STILL_ERR_INVALID, NULL, scratch_path(f->dest, "link"),
	    "`@/dest/link`: is a symbolic link to nothing");
}

static void places_of_one_that_are_not_free(void **state)
{
	struct fixture *f = *state;
	char *file;

	make_dest(f);
	assert_true(asprintf(&file, "%s/a.db", f->dest) > 0);
	assert_int_equal(scratch_write(file, "", 0), 0);
	refused(f, STILL_ERR_INVALID, "app.db", file,
	    "`@/dest/a.db`: is there already");
	assert_int_equal(f->err.sys_errno, EEXIST);
	refused(f, STILL_ERR_INVALID, "app.db",
	    scratch_path(f->dest, "a.db-wal"),
	    "`@/dest/a.db-wal`: would be taken for the -wal of the database "
	    "beside it");
	assert_int_equal(unlink(file), 0);
	assert_int_equal(
	    scratch_write(scratch_path(f->dest, "a.db-wal"), "", 0), 0);
	refused(f, STILL_ERR_INVALID, "app.db", file,
	    "`@/dest/a.db-wal`: is there already, the log of another "
	    "database");
	assert_int_equal(unlink(scratch_path(f->dest, "a.db-wal")), 0);
	assert_int_equal(
	    scratch_write(scratch_path(f->dest, "a.db-shm"), "", 0), 0);
	refused(f, STILL_ERR_INVALID, "app.db", file,
	    "`@/dest/a.db-shm`: is there already, the index of another "
	    "database's log");
	assert_int_equal(unlink(scratch_path(f->dest, "a.db-shm")), 0);
	assert_int_equal(
	    scratch_write(scratch_path(f->dest, "a.db-journal"), "", 0), 0);
	refused(f, STILL_ERR_INVALID, "app.db", file,
	    "`@/dest/a.db-journal`: is there already, the journal of another "
	    "database");
	refused(f, STILL_ERR_NOTFOUND, "nope.db", f->dest,
	    "`nope.db`: there is no such database in `@/set`");
	refused(f, STILL_ERR_NOTFOUND, "app.db",
	    scratch_path(f->dest, "no/app.db"),
	    "`@/dest/no/app.db`: No such file or directory");
	free(file);
}

/* A process that locks the file until it is killed. */
static pid_t lock_in_child(const char *path)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = open(path, O_RDWR);

		if (fd < 0 || fcntl(fd, F_SETLK, &lock) != 0 ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void places_that_are_alive(void **state)
{
	struct fixture *f = *state;
	char text[128];
	pid_t pid;

	make_dest(f);
	assert_int_equal(mkdir(scratch_path(f->dest, "b"), 0755), 0);
	assert_int_equal(scratch_write(scratch_path(f->dest, "a"), "", 0), 0);
	assert_int_equal(
	    scratch_write(scratch_path(f->dest, "b/x.db"), "", 0), 0);
	assert_int_equal(
	    scratch_write(scratch_path(f->dest, "b/x.db-shm"), "", 0), 0);
	pid = lock_in_child(scratch_path(f->dest, "b/x.db-shm"));
	snprintf(text, sizeof(text),
	    "`@/dest/b/x.db-shm`: is in use: process %ld has it locked",
	    (long) pid);
	refused(f, STILL_ERR_BUSY, NULL, f->dest, text);
	refused(
	    f, STILL_ERR_BUSY, "app.db", scratch_path(f->dest, "b/x.db"), text);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	refused(f, STILL_ERR_INVALID, NULL, f->dest,
	    "`@/dest`: is not empty: `a` is there");
}

static void sets_that_cannot_be_restored(void **state)
{
	struct fixture *f = *state;
	char *command;

	make_dest(f);
	assert_true(asprintf(&command, "rm -rf '%s/set'", f->dir) > 0);
	assert_int_equal(system(command), 0);
	free(command);
	make_set(f,
	    "{\"session\": \"x\", \"number\": 6, \"xxh128\": "
	    "\"00112233445566778899aabbccddeeff\"}, \"number\": 7, "
	    "\"chain\": {\"full\": \"x\", \"link\": 1}, \"dropped\": []");
	refused(f, STILL_ERR_BASE, NULL, f->dest,
	    "`@/set`: builds on session x, number 6, the full set of its "
	    "chain, which is missing");
	assert_int_equal(unlink(in_set(f, "backup.json")), 0);
	assert_int_equal(unlink(in_set(f, "verify/XXH128SUMS")), 0);
	refused(f, STILL_ERR_NOTFOUND, NULL, f->dest,
	    "`@/set`: is no set: it has neither backup.json nor "
	    "verify/XXH128SUMS");
}

/* ---- damage -------------------------------------------------------------- */

static void flip(const char *path, off_t off)
{
	int fd = open(path, O_RDWR);
	char byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, off), 1);
	byte = (char) (byte ^ 1);
	assert_int_equal(pwrite(fd, &byte, 1, off), 1);
	close(fd);
}

static void damaged_files(void **state)
{
	struct fixture *f = *state;
	off_t places[] = {0, LARGE_BYTES / 2, LARGE_BYTES - 1};

	make_dest(f);
	for (size_t i = 0; i < 3; i++) {
		char *before;
		char *after;

		flip(in_set(f, "data/app.db"), places[i]);
		before = state_of(f);
		assert_int_equal(restore(f), STILL_ERR_CORRUPT);
		assert_memory_equal(still_error_msg(&f->err),
		    "`data/app.db`: is damaged: its sum is ", 38);
		after = state_of(f);
		assert_string_equal(before, after);
		free(before);
		free(after);
		flip(in_set(f, "data/app.db"), places[i]);
	}
	assert_int_equal(restore(f), 0);
}

static void damaged_sets(void **state)
{
	struct fixture *f = *state;

	make_dest(f);
	assert_int_equal(truncate(in_set(f, "data/app.db"), 100), 0);
	refused(f, STILL_ERR_CORRUPT, NULL, f->dest,
	    "`@/set`: is not whole: `data/app.db`: has 100 bytes, and "
	    "backup.json says 3145728");
	assert_int_equal(unlink(in_set(f, "data/app.db")), 0);
	assert_int_equal(restore(f), STILL_ERR_CORRUPT);
	teardown(state);
	setup(state);
	f = *state;
	make_dest(f);
	assert_int_equal(
	    scratch_write(in_set(f, "data/app.db-wal"), "x", 1), 0);
	assert_int_equal(restore(f), STILL_ERR_CORRUPT);
	assert_non_null(strstr(still_error_msg(&f->err), "`data/app.db-wal`"));
	assert_int_equal(unlink(in_set(f, "data/app.db-wal")), 0);
	assert_int_equal(unlink(in_set(f, "verify/XXH128SUMS")), 0);
	assert_int_equal(restore(f), STILL_ERR_CORRUPT);
	assert_int_equal(rmdir(f->dest), 0);
}

/* ---- others at the same time --------------------------------------------- */

static void two_at_once(void **state)
{
	struct fixture *f = *state;
	int fd;

	make_dest(f);
	assert_int_equal(
	    mkdir(scratch_path(f->dir, ".dest.restoring"), 0700), 0);
	fd = open(scratch_path(f->dir, ".dest.restoring"), O_RDONLY);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	refused(f, STILL_ERR_BUSY, NULL, f->dest,
	    "`@/.dest.restoring`: another restore to this place is under way");
	close(fd);
	/* Nobody's: cleared, with whatever is in it. */
	assert_int_equal(
	    mkdir(scratch_path(f->dir, ".dest.restoring/a"), 0500), 0);
	assert_int_equal(restore(f), 0);
	assert_int_equal(
	    access(scratch_path(f->dir, ".dest.restoring"), F_OK), -1);
	assert_same(f, "");
}

static void two_at_once_within(void **state)
{
	struct fixture *f = *state;
	int fd;

	make_dest(f);
	assert_int_equal(mkdir(scratch_path(f->dest, ".restoring"), 0700), 0);
	fd = open(scratch_path(f->dest, ".restoring"), O_RDONLY);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	refused(f, STILL_ERR_BUSY, NULL, f->dest,
	    "`@/dest`: another restore to this place is under way");
	close(fd);
	assert_int_equal(scratch_write(scratch_path(f->dest, "a"), "", 0), 0);
	refused(f, STILL_ERR_INVALID, NULL, f->dest,
	    "`@/dest`: is not empty: a restore was killed while it gave the "
	    "databases their names, and `a` is there");
	assert_int_equal(unlink(scratch_path(f->dest, "a")), 0);
	assert_int_equal(restore(f), 0);
	assert_same(f, "");
}

static void a_stage_that_is_none(void **state)
{
	struct fixture *f = *state;

	make_dest(f);
	assert_int_equal(
	    symlink("set", scratch_path(f->dir, ".dest.restoring")), 0);
	refused(f, STILL_ERR_INVALID, NULL, f->dest,
	    "`@/.dest.restoring`: is not ours, and has the name in which a "
	    "restore works");
}

/* Who owns the directory can give the name to what he may not remove. */
static void a_stage_named_by_another(void **state)
{
	struct fixture *f = *state;
	const char *stage = ".dest.restoring";

	if (geteuid() != 0)
		skip();
	make_dest(f);
	assert_int_equal(mkdir(scratch_path(f->dir, stage), 0700), 0);
	assert_int_equal(
	    mkdir(scratch_path(f->dir, ".dest.restoring/a"), 0700), 0);
	assert_int_equal(chown(f->dir, 1500, 1500), 0);
	refused(f, STILL_ERR_INVALID, NULL, f->dest,
	    "`@/.dest.restoring`: is not ours, and has the name in which a "
	    "restore works");
	assert_int_equal(
	    access(scratch_path(f->dir, ".dest.restoring/a"), F_OK), 0);
	assert_int_equal(chown(f->dir, 0, 0), 0);
	assert_int_equal(restore(f), 0);
	assert_same(f, "");
}

/* What was left is removed, but not what is mounted in it, or in its place. */
static void a_stage_with_a_mount(void **state)
{
	static const char *const places[] = {
	    "dest/.restoring/a/m", "dest/.restoring"};
	struct fixture *f = *state;

	if (unshare(CLONE_NEWNS) != 0)
		skip();
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	make_dest(f);
	assert_int_equal(mkdir(scratch_path(f->dir, "precious"), 0755), 0);
	assert_int_equal(
	    scratch_write(scratch_path(f->dir, "precious/file"), "x", 1), 0);
	assert_int_equal(mkdir(scratch_path(f->dest, ".restoring"), 0700), 0);
	assert_int_equal(mkdir(scratch_path(f->dest, ".restoring/a"), 0700), 0);
	assert_int_equal(
	    mkdir(scratch_path(f->dest, ".restoring/a/m"), 0700), 0);
	for (size_t i = 0; i < 2; i++) {
		const char *at = scratch_path(f->dir, places[i]);

		assert_int_equal(mount(scratch_path(f->dir, "precious"), at,
				     NULL, MS_BIND, NULL),
		    0);
		refused(f, i ? STILL_ERR_INVALID : STILL_ERR_BUSY, NULL,
		    f->dest,
		    i ? "`@/dest/.restoring`: is not ours, and has the name in which a restore works"
		      : "`@/dest/.restoring`: something is mounted in it");
		assert_int_equal(
		    access(scratch_path(f->dir, "precious/file"), F_OK), 0);
		assert_int_equal(
		    umount2(scratch_path(f->dir, places[i]), MNT_DETACH), 0);
		assert_int_equal(
		    access(scratch_path(f->dest, ".restoring/a/m"), F_OK), 0);
	}
	assert_int_equal(restore(f), 0);
	assert_same(f, "");
}

static void has(const struct fixture *f, const char *path, const char *want)
{
	char data[16] = {0};
	int fd = open(scratch_path(f->dest, path), O_RDONLY);

	assert_true(fd >= 0);
	assert_true(read(fd, data, sizeof(data) - 1) >= 0);
	assert_string_equal(data, want);
	close(fd);
}

static void cluster(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	make_cluster(f, false);
	make_dest(f);
	assert_int_equal(restore(f), 0);
	has(f, "base/1", "abc");
	has(f, "spc/7/1", "abc");
	assert_int_equal(lstat(scratch_path(f->dest, "spc/7"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(scratch_path(f->dest, "empty/deep"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0711);
	assert_int_equal(f->restored.files, 1);
}

/* What has more than data/ keeps its layout. */
static void cluster_with_spaces(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	make_cluster(f, true);
	make_dest(f);
	refused(f, STILL_ERR_UNSUPPORTED, "data", scratch_path(f->dir, "one"),
	    "`data`: is no database that can be restored alone");
	assert_int_equal(restore(f), 0);
	has(f, "data/base/1", "abc");
	has(f, "data/spc/7/x", "de");
	assert_int_equal(
	    stat(scratch_path(f->dest, "data/empty/deep"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0711);
	assert_int_equal(lstat(scratch_path(f->dest, "backup.json"), &st), -1);
	assert_int_equal(f->restored.files, 2);
}

/* ---- failures ------------------------------------------------------------ */

static void stopped(void **state)
{
	struct fixture *f = *state;

	make_dest(f);
	atomic_store(&f->cancel, true);
	refused(f, STILL_ERR_CANCELLED, NULL, f->dest,
	    "`@/dest`: nothing was restored: it was stopped");
	atomic_store(&f->cancel, false);
	assert_int_equal(restore(f), 0);
}

static enum still_sys_call fault_call;
static atomic_int fault_at; /* counts down; fails at 0 */
static int fault_errno;

static int inject(enum still_sys_call call)
{
	if (call != fault_call || atomic_fetch_sub(&fault_at, 1) != 0)
		return 0;
	return fault_errno;
}

/* Each call fails once. Returns how many there are. */
static int sweep(struct fixture *f, enum still_sys_call call,
    const char *database, const char *before)
{
	for (int n = 0;; n++) {
		char *after;
		int rc;

		fault_call = call;
		fault_errno = n % 2 ? EIO : ENOSPC;
		atomic_store(&fault_at, n);
		still_sys_fault = inject;
		rc = restore_to(f, database, false, f->dest);
		still_sys_fault = NULL;
		if (atomic_load(&fault_at) >= 0) {
			assert_int_equal(rc, 0);
			return n;
		}
		/* What fails of another database is not looked at. */
		if (rc == 0 && database) {
			assert_same(f, database);
			assert_int_equal(
			    unlink(scratch_path(f->dest, database)), 0);
			continue;
		}
		assert_true(rc < 0);
		assert_int_equal(rc, f->err.code);
		assert_non_null(f->err.msg);
		after = state_of(f);
		assert_string_equal(after, before);
		free(after);
	}
}

static void sweep_all(struct fixture *f, const char *database)
{
	char *before;
	char *command;
	int total = 0;

	assert_true(asprintf(&command,
			"find '%s' -mindepth 1 "
			"! -name lost+found -delete",
			f->dest) > 0);
	before = state_of(f);
	for (int call = 0; call < STILL_SYS_COUNT; call++) {
		int n = sweep(f, (enum still_sys_call) call, database, before);

		print_message("call %d: %d failures\n", call, n);
		assert_true(n > 0);
		total += n;
		assert_int_equal(system(command), 0);
	}
	assert_true(total > 20);
	free(command);
	free(before);
}

static void each_failure_beside(void **state)
{
	struct fixture *f = *state;

	make_dest(f);
	sweep_all(f, NULL);
}

static void each_failure_within(void **state)
{
	struct fixture *f = *state;

	make_dest(f);
	assert_int_equal(mkdir(scratch_path(f->dest, "lost+found"), 0700), 0);
	sweep_all(f, NULL);
}

static void each_failure_of_one(void **state)
{
	struct fixture *f = *state;

	make_dest(f);
	sweep_all(f, "app.db");
}

/* ---- deaths -------------------------------------------------------------- */

static int die(enum still_sys_call call)
{
	(void) call;
	if (atomic_fetch_sub(&fault_at, 1) == 0)
		kill(getpid(), SIGKILL);
	return 0;
}

/* A process that dies at its n-th call. Did it? */
static bool dies_at(struct fixture *f, const char *database, int n)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		atomic_store(&fault_at, n);
		still_sys_fault = die;
		_exit(restore_to(f, database, false, f->dest) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return true;
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

/* Entries of DEST that stand for databases. */
static unsigned count_entries(const struct fixture *f)
{
	DIR *dir = opendir(f->dest);
	struct dirent *entry;
	unsigned n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.' &&
		    strcmp(entry->d_name, "lost+found") != 0;
	closedir(dir);
	return n;
}

static void empty_dest(const struct fixture *f)
{
	char *command;

	assert_true(asprintf(&command,
			"find '%s' -mindepth 1 "
			"! -name lost+found -delete",
			f->dest) > 0);
	assert_int_equal(system(command), 0);
	free(command);
}

/* What is there is whole, as far as it goes. */
static void check_entries(const struct fixture *f)
{
	char *command;

	assert_true(
	    asprintf(&command,
		"cd '%s' && ! find . -mindepth 1 -maxdepth 1 ! -name '.*' "
		"! -name lost+found -exec diff -r {} ../set/data/{} \\; "
		"2>&1 | grep .",
		f->dest) > 0);
	assert_int_equal(system(command), 0);
	free(command);
}

static void check_next(
    struct fixture *f, const char *database, unsigned n_whole)
{
	assert_int_equal(restore_to(f, database, false, f->dest), 0);
	assert_int_equal(count_entries(f), n_whole);
	check_entries(f);
	assert_int_equal(
	    access(scratch_path(f->dir, ".dest.restoring"), F_OK), -1);
	assert_int_equal(access(scratch_path(f->dest, ".restoring"), F_OK), -1);
	empty_dest(f);
}

/* Dies at each call; `n_whole` entries are all. How often only a part of them had
 * got their names. What a dead one left is cleared away before the next one,
 * or, one time in eight excepted, left for that. */
static unsigned die_in_turn(
    struct fixture *f, const char *database, unsigned n_whole, bool cleared)
{
	unsigned n_nothing = 0;
	unsigned n_part = 0;

	for (int n = 0; dies_at(f, database, n); n++) {
		unsigned found = count_entries(f);

		assert_true(found <= n_whole);
		if (!database)
			check_entries(f);
		n_nothing += found == 0;
		n_part += found > 0 && found < n_whole;
		if (found > 0) {
			assert_int_equal(
			    restore_to(f, database, false, f->dest),
			    STILL_ERR_INVALID);
			if (found < n_whole)
				assert_non_null(strstr(still_error_msg(&f->err),
				    "a restore was killed while it gave"));
			empty_dest(f);
		}
		if (cleared || n % 8 == 0)
			check_next(f, database, n_whole);
	}
	assert_true(n_nothing > 20);
	return n_part;
}

/* To clear away takes calls, too, so that only where nothing is left each n is
 * another instant. */
static unsigned die_everywhere(
    struct fixture *f, const char *database, unsigned n_whole)
{
	die_in_turn(f, database, n_whole, false);
	/* The last one did not die. */
	empty_dest(f);
	return die_in_turn(f, database, n_whole, true);
}

static void each_death_beside(void **state)
{
	struct fixture *f = *state;

	make_dest(f);
	assert_int_equal(die_everywhere(f, NULL, 5), 0);
}

/* The only kind of place in which there is such an instant. */
static void each_death_within(void **state)
{
	struct fixture *f = *state;

	make_dest(f);
	assert_int_equal(mkdir(scratch_path(f->dest, "lost+found"), 0700), 0);
	assert_int_equal(die_everywhere(f, NULL, 5), 4);
}

static void each_death_of_one(void **state)
{
	struct fixture *f = *state;

	make_dest(f);
	assert_int_equal(die_everywhere(f, "app.db", 1), 0);
}

static void leaves_no_descriptor(void **state)
{
	struct fixture *f = *state;
	unsigned before = scratch_count_fds();

	make_dest(f);
	assert_int_equal(restore(f), 0);
	assert_int_equal(restore(f), STILL_ERR_INVALID);
	assert_int_equal(
	    restore_to(f, "app.db", false, f->dest), STILL_ERR_INVALID);
	assert_int_equal(scratch_count_fds(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    TEST(a_whole_set),
	    TEST(a_set_into_what_is_made),
	    TEST(relative_paths_and_slashes),
	    TEST(a_set_where_it_cannot_be_replaced),
	    TEST(modes_times_and_owners),
	    TEST(one_database),
	    TEST(one_database_of_a_damaged_set),
	    TEST(the_directory_of_a_backup),
	    TEST(places_that_are_not_free),
	    TEST(places_of_one_that_are_not_free),
	    TEST(places_that_are_alive),
	    TEST(sets_that_cannot_be_restored),
	    TEST(damaged_files),
	    TEST(damaged_sets),
	    TEST(two_at_once),
	    TEST(two_at_once_within),
	    TEST(a_stage_that_is_none),
	    TEST(a_stage_named_by_another),
	    TEST(a_stage_with_a_mount),
	    TEST(cluster),
	    TEST(cluster_with_spaces),
	    TEST(stopped),
	    TEST(each_failure_beside),
	    TEST(each_failure_within),
	    TEST(each_failure_of_one),
	    TEST(each_death_beside),
	    TEST(each_death_within),
	    TEST(each_death_of_one),
	    TEST(leaves_no_descriptor),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
