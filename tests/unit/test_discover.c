/* SPDX-License-Identifier: MIT */
/* What discovery takes for a database, what it leaves, what it refuses. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engines/sqlite/discover.h"
#include "engines/sqlite/files.h"
#include "tests/unit/scratch.h"

/* The first bytes of a database; `version` 1: rollback journal, 2: WAL. */
static void make_database(const char *dir, const char *name, uint8_t version)
{
	uint8_t page[4096] = "SQLite format 3";

	page[16] = 0x10; /* 4096 */
	page[18] = page[19] = version;
	page[21] = 64;
	page[22] = page[23] = 32;
	page[27] = page[31] = page[95] = 1;
	assert_int_equal(
	    scratch_write(scratch_path(dir, name), page, sizeof(page)), 0);
}

static void make_file(const char *dir, const char *name, const char *text)
{
	assert_int_equal(
	    scratch_write(scratch_path(dir, name), text, strlen(text)), 0);
}

static void make_dir(const char *dir, const char *name)
{
	assert_int_equal(mkdir(scratch_path(dir, name), 0750), 0);
}

static int setup(void **state)
{
	*state = scratch_make();
	return 0;
}

static int teardown(void **state)
{
	scratch_remove(*state);
	return sqlite_files_open_count() == 0 ? 0 : -1;
}

/* ---- what is found ------------------------------------------------------- */

static int discover(const char *name, bool force, struct sqlite_listing *ret,
    struct still_error *err)
{
	unsigned n_fds = scratch_count_fds();
	struct sqlite_source source = SQLITE_SOURCE_INIT;
	int rc = sqlite_source_open(name, force, &source, err);

	if (rc == 0)
		rc = sqlite_source_list(&source, force, NULL, ret, err);
	sqlite_source_close(&source);
	assert_int_equal(scratch_count_fds(), n_fds);
	return rc;
}

/* The databases of `source` are these, and the directories those: names with a
 * blank between them. */
static void assert_found(
    const char *source, bool force, const char *databases, const char *dirs)
{
	struct sqlite_listing listing = {0};
	struct still_error err = STILL_ERROR_INIT;
	char text[1024] = "";

	if (discover(source, force, &listing, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	for (size_t i = 0; i < listing.n_found; i++) {
		strcat(text, i ? " " : "");
		strcat(text, listing.found[i].rel);
		assert_true(S_ISREG(listing.found[i].st.st_mode));
		assert_int_equal(listing.found[i].obstacle.code, 0);
		if (listing.found[i].st.st_size > 0)
			assert_int_equal(
			    listing.found[i].header.page_size_bytes, 4096);
	}
	assert_string_equal(text, databases);
	text[0] = '\0';
	for (size_t i = 0; i < listing.n_dirs; i++) {
		strcat(text, i ? " " : "");
		strcat(text, listing.dirs[i].rel);
		assert_int_equal(listing.dirs[i].st.st_mode & 0777, 0750);
	}
	assert_string_equal(text, dirs);
	sqlite_listing_release(&listing);
}

static void found_by_magic(void **state)
{
	const char *dir = *state;

	make_database(dir, "b.db", 2);
	make_database(dir, "a with no suffix", 2);
	make_file(dir, "notes.txt", "SQLite format 4 is not out yet, no no no");
	make_file(dir, "short", "SQLite");
	make_file(dir, "empty", "");
	assert_found(dir, false, "a with no suffix b.db", "");
}

/* A log beside it says that it is one, whatever it begins with. */
static void found_by_sidecar(void **state)
{
	static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
	const char *dir = *state;

	for (size_t i = 0; i < 3; i++) {
		struct sqlite_listing listing = {0};
		struct still_error err = STILL_ERROR_INIT;
		char sidecar[32];

		make_file(dir, "app.db",
		    "not a header, and yet a database: "
		    "it may be an encrypted one, and must "
		    "not be left out without a word......");
		snprintf(sidecar, sizeof(sidecar), "app.db%s", suffixes[i]);
		make_file(dir, sidecar, "");
		assert_int_equal(discover(dir, false, &listing, &err),
		    STILL_ERR_UNSUPPORTED);
		assert_non_null(strstr(still_error_msg(&err),
		    "`app.db`: is no SQLite database that can be read"));
		assert_non_null(err.hint);
		still_error_clear(&err);
		assert_int_equal(unlink(scratch_path(dir, sidecar)), 0);
	}
}

static void sidecars_are_no_databases(void **state)
{
	const char *dir = *state;

	make_database(dir, "app.db", 2);
	make_file(dir, "app.db-wal", "x");
	make_file(dir, "app.db-shm", "x");
	make_file(dir, "app.db-journal", "x");
	assert_found(dir, false, "app.db", "");
}

/* But what begins as one is one, whatever somebody called it. */
static void databases_called_like_sidecars(void **state)
{
	const char *dir = *state;

	make_database(dir, "alone-wal", 2);
	make_database(dir, "app.db", 2);
	make_database(dir, "app.db-journal", 2);
	make_dir(dir, "dir");
	make_database(dir, "dir-wal", 2);
	assert_found(dir, false, "alone-wal app.db app.db-journal dir-wal", "");
}

static void in_subdirectories(void **state)
{
	const char *dir = *state;

	make_dir(dir, "one");
	make_dir(dir, "one/two");
	make_dir(dir, "one-empty");
	make_dir(dir, "one-empty/deep");
	make_dir(dir, "z");
	make_file(dir, "one-empty/deep/readme", "no database here");
	make_database(dir, "one/two/b.db", 2);
	make_database(dir, "z/c.db", 2);
	make_database(dir, "top.db", 2);
	assert_found(dir, false, "one/two/b.db top.db z/c.db", "one one/two z");
}

/* The same names in another directory are none of our sidecars. */
static void sidecars_stay_in_their_directory(void **state)
{
	const char *dir = *state;

	make_dir(dir, "one");
	make_database(dir, "one/app.db", 2);
	make_database(dir, "app.db-wal", 2);
	assert_found(dir, false, "app.db-wal one/app.db", "one");
}

static void links_are_not_followed(void **state)
{
	const char *dir = *state;

	make_dir(dir, "in");
	make_dir(dir, "out");
	make_database(dir, "out/x.db", 2);
	make_database(dir, "in/a.db", 2);
	assert_int_equal(
	    symlink("../out/x.db", scratch_path(dir, "in/link.db")), 0);
	assert_int_equal(symlink("../out", scratch_path(dir, "in/dir")), 0);
	assert_int_equal(symlink("nowhere", scratch_path(dir, "in/dead")), 0);
	assert_found(scratch_path(dir, "in"), false, "a.db", "");
}

static void special_files_are_ignored(void **state)
{
	const char *dir = *state;

	make_database(dir, "a.db", 2);
	assert_int_equal(mkfifo(scratch_path(dir, "fifo"), 0644), 0);
	/* Even with a name that would make a file a database. */
	assert_int_equal(mkfifo(scratch_path(dir, "pipe"), 0644), 0);
	make_file(dir, "pipe-wal", "");
	assert_found(dir, false, "a.db", "");
}

static void one_database(void **state)
{
	const char *dir = *state;
	struct sqlite_source source = SQLITE_SOURCE_INIT;
	char name[PATH_MAX];

	make_database(dir, "a.db", 2);
	make_database(dir, "b.db", 2);
	assert_found(scratch_path(dir, "a.db"), false, "a.db", "");
	snprintf(name, sizeof(name), "sqlite:%s/b.db", dir);
	assert_found(name, false, "b.db", "");

	assert_int_equal(sqlite_source_open(name, false, &source, NULL), 0);
	assert_true(source.is_file);
	assert_string_equal(source.path, scratch_path(dir, "b.db"));
	assert_string_equal(source.root, dir);
	sqlite_source_close(&source);
	sqlite_source_close(&source);
}

/* The user may name the source by a link; what is in it is the rest. */
static void source_by_a_link(void **state)
{
	const char *dir = *state;

	make_dir(dir, "real");
	make_database(dir, "real/a.db", 2);
	assert_int_equal(symlink("real", scratch_path(dir, "link")), 0);
	assert_int_equal(symlink("real/a.db", scratch_path(dir, "l.db")), 0);
	assert_found(scratch_path(dir, "link"), false, "a.db", "");
	assert_found(scratch_path(dir, "l.db"), false, "a.db", "");
}

static void names_that_are_no_text(void **state)
{
	const char *dir = *state;

	make_database(dir, "b\xe4r.db", 2);
	make_database(dir, "\"quoted\" \\ \t.db", 2);
	assert_found(dir, false, "\"quoted\" \\ \t.db b\xe4r.db", "");
}

static void hard_links_by_force(void **state)
{
	const char *dir = *state;

	make_dir(dir, "in");
	make_database(dir, "in/a.db", 2);
	assert_int_equal(
	    link(scratch_path(dir, "in/a.db"), scratch_path(dir, "b.db")), 0);
	assert_found(scratch_path(dir, "in"), true, "a.db", "");
	assert_found(scratch_path(dir, "in/a.db"), true, "a.db", "");
}

/* ---- what is refused ----------------------------------------------------- */

static void assert_refused(
    const char *source, bool force, int code, const char *message)
{
	struct sqlite_listing listing = {0};
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(discover(source, force, &listing, &err), code);
	if (!strstr(still_error_msg(&err), message))
		fail_msg("\"%s\" does not say \"%s\"", still_error_msg(&err),
		    message);
	assert_non_null(err.hint);
	still_error_clear(&err);
}

static void rollback_mode(void **state)
{
	const char *dir = *state;

	make_dir(dir, "sub");
	make_database(dir, "a.db", 2);
	make_database(dir, "sub/old.db", 1);
	assert_found(dir, false, "a.db sub/old.db", "sub");
}

/* SQLite makes the file first and its header later. */
static void empty_database(void **state)
{
	const char *dir = *state;

	make_file(dir, "new.db", "");
	make_file(dir, "new.db-journal", "x");
	make_file(dir, "empty", "");
	assert_found(dir, false, "new.db", "");
	assert_found(scratch_path(dir, "empty"), false, "empty", "");
}

/* What cannot be frozen stays in the list, beside what can. */
static void obstacles(void **state)
{
	static const struct {
		const char *rel;
		int code;
		const char *message;
	} table[] = {
	    {"a.db", 0, ""},
	    {"cipher", STILL_ERR_UNSUPPORTED,
		"`cipher`: is no SQLite database that can be read"},
	    {"link1", STILL_ERR_UNSUPPORTED,
		"database `link1`: has 2 hard links"},
	    {"link2", STILL_ERR_UNSUPPORTED,
		"database `link2`: has 2 hard links"},
	};
	const char *dir = *state;
	struct sqlite_listing listing = {0};
	struct still_error err = STILL_ERROR_INIT;

	make_database(dir, "a.db", 2);
	make_file(dir, "cipher", "what is this");
	make_file(dir, "cipher-wal", "");
	make_database(dir, "link1", 1);
	assert_int_equal(
	    link(scratch_path(dir, "link1"), scratch_path(dir, "link2")), 0);
	assert_int_equal(discover(dir, false, &listing, &err), 0);
	assert_int_equal(listing.n_found, sizeof(table) / sizeof(table[0]));
	for (size_t i = 0; i < listing.n_found; i++) {
		const struct sqlite_found *found = &listing.found[i];

		assert_string_equal(found->rel, table[i].rel);
		assert_int_equal(found->obstacle.code, table[i].code);
		if (table[i].code)
			assert_string_equal(still_error_msg(&found->obstacle),
			    table[i].message);
	}
	sqlite_listing_release(&listing);
	/* By force, the two names are still one database. */
	assert_int_equal(discover(dir, true, &listing, &err), 0);
	assert_string_equal(still_error_msg(&listing.found[2].obstacle),
	    "databases `link1` and `link2`: are the same file");
	assert_string_equal(still_error_msg(&listing.found[3].obstacle),
	    "databases `link2` and `link1`: are the same file");
	sqlite_listing_release(&listing);
}

static void no_sqlite_file(void **state)
{
	const char *dir = *state;

	make_file(dir, "text", "words");
	assert_refused(scratch_path(dir, "text"), false, STILL_ERR_UNSUPPORTED,
	    "`text`: is no SQLite database that can be read");
	/* A magic without the rest of a header. */
	make_file(dir, "cut", "SQLite format 3");
	assert_int_equal(truncate(scratch_path(dir, "cut"), 99), 0);
	assert_refused(dir, false, STILL_ERR_UNSUPPORTED,
	    "`cut`: is no SQLite database that can be read");
}

static void broken_header(void **state)
{
	const char *dir = *state;
	int fd;

	make_database(dir, "a.db", 2);
	fd = open(scratch_path(dir, "a.db"), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "\x11", 1, 16), 1);
	close(fd);
	assert_refused(dir, false, STILL_ERR_CORRUPT,
	    "page 1 of `a.db`: the header names an impossible page size");
}

static void newline_in_a_name(void **state)
{
	const char *dir = *state;

	make_database(dir, "a\nb.db", 2);
	assert_refused(dir, false, STILL_ERR_INVALID,
	    "database `a\nb.db`: the name has a newline in it");
	assert_refused(
	    dir, true, STILL_ERR_INVALID, "the name has a newline in it");
	/* It is the path in the snapshot that counts. */
	assert_int_equal(
	    rename(scratch_path(dir, "a\nb.db"), scratch_path(dir, "ab.db")),
	    0);
	make_dir(dir, "x\ny");
	assert_found(dir, false, "ab.db", "");
	assert_int_equal(
	    rename(scratch_path(dir, "ab.db"), scratch_path(dir, "x\ny/ab.db")),
	    0);
	assert_refused(dir, false, STILL_ERR_INVALID,
	    "database `x\ny/ab.db`: the name has a newline in it");
}

static void hard_links(void **state)
{
	const char *dir = *state;

	make_database(dir, "a.db", 2);
	assert_int_equal(
	    link(scratch_path(dir, "a.db"), scratch_path(dir, "b.db")), 0);
	assert_refused(dir, false, STILL_ERR_UNSUPPORTED,
	    "database `a.db`: has 2 hard links");
	assert_refused(scratch_path(dir, "b.db"), false, STILL_ERR_UNSUPPORTED,
	    "database `b.db`: has 2 hard links");
	/* SQLite would give both one wal-index; no force helps. */
	assert_refused(dir, true, STILL_ERR_UNSUPPORTED, "are the same file");
	assert_refused(dir, true, STILL_ERR_UNSUPPORTED, "`a.db`");
	assert_refused(dir, true, STILL_ERR_UNSUPPORTED, "`b.db`");
}

static void nothing_there(void **state)
{
	const char *dir = *state;

	assert_refused(dir, false, STILL_ERR_NOTFOUND, "no database in it");
	make_dir(dir, "sub");
	make_file(dir, "sub/notes.txt", "words");
	assert_refused(dir, false, STILL_ERR_NOTFOUND, "no database in it");
}

static void missing_source(void **state)
{
	const char *dir = *state;

	assert_refused(scratch_path(dir, "none.db"), false, STILL_ERR_NOTFOUND,
	    "none.db`: No such file or directory");
	assert_refused(scratch_path(dir, "none/none.db"), false,
	    STILL_ERR_NOTFOUND, "No such file or directory");
}

static void source_is_no_file(void **state)
{
	const char *dir = *state;

	assert_int_equal(mkfifo(scratch_path(dir, "fifo"), 0644), 0);
	assert_refused(scratch_path(dir, "fifo"), false, STILL_ERR_INVALID,
	    "is neither a file nor a directory");
}

/* The status of a process that is nobody and looks at `source`: 0 when it is
 * refused with ACCESS and the words. */
static int refused_to_nobody(const char *source, const char *message)
{
	struct sqlite_listing listing = {0};
	struct still_error err = STILL_ERROR_INIT;
	struct sqlite_source opened = SQLITE_SOURCE_INIT;
	pid_t child = fork();
	int status = -1;
	int rc;

	if (child == 0) {
		if (geteuid() == 0 &&
		    (setgroups(0, NULL) != 0 || setgid(65534) != 0 ||
			setuid(65534) != 0))
			_exit(3);
		rc = sqlite_source_open(source, false, &opened, &err);
		if (rc == 0)
			rc = sqlite_source_list(
			    &opened, false, NULL, &listing, &err);
		if (rc == STILL_ERR_ACCESS &&
		    strstr(still_error_msg(&err), message) && err.hint)
			_exit(0);
		fprintf(stderr, "%d: %s\n", rc, still_error_msg(&err));
		_exit(1);
	}
	waitpid(child, &status, 0);
	return status;
}

static void unreadable(void **state)
{
	const char *dir = *state;

	assert_int_equal(chmod(dir, 0755), 0);
	make_database(dir, "a.db", 2);
	make_file(dir, "secret", "who knows?");
	assert_int_equal(chmod(scratch_path(dir, "secret"), 0), 0);
	assert_int_equal(
	    refused_to_nobody(dir, "`secret`: Permission denied"), 0);
	assert_int_equal(unlink(scratch_path(dir, "secret")), 0);

	make_dir(dir, "closed");
	assert_int_equal(chmod(scratch_path(dir, "closed"), 0), 0);
	assert_int_equal(
	    refused_to_nobody(dir, "directory `closed`: Permission denied"), 0);
	assert_int_equal(rmdir(scratch_path(dir, "closed")), 0);

	make_file(dir, "a.db-wal", "");
	assert_int_equal(chmod(scratch_path(dir, "a.db-wal"), 0), 0);
	assert_int_equal(
	    refused_to_nobody(dir, "`a.db-wal`: Permission denied"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(found_by_magic),
	    TEST(found_by_sidecar),
	    TEST(sidecars_are_no_databases),
	    TEST(databases_called_like_sidecars),
	    TEST(in_subdirectories),
	    TEST(sidecars_stay_in_their_directory),
	    TEST(links_are_not_followed),
	    TEST(special_files_are_ignored),
	    TEST(one_database),
	    TEST(source_by_a_link),
	    TEST(names_that_are_no_text),
	    TEST(hard_links_by_force),
	    TEST(rollback_mode),
	    TEST(empty_database),
	    TEST(obstacles),
	    TEST(no_sqlite_file),
	    TEST(broken_header),
	    TEST(newline_in_a_name),
	    TEST(hard_links),
	    TEST(nothing_there),
	    TEST(missing_source),
	    TEST(source_is_no_file),
	    TEST(unreadable),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
