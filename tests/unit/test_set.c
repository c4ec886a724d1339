/* SPDX-License-Identifier: MIT */
/* core/set: what is read of a list and a description that anybody may have
 * written, and what is said of a directory that does not hold to them. */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/buf.h"
#include "core/set.h"
#include "tests/unit/scratch.h"

#define A "00112233445566778899aabbccddeeff  data/a.db\n"
#define B "ffeeddccbbaa99887766554433221100  data/b.db\n"
#define J "0123456789abcdef0123456789abcdef  backup.json\n"

#define HEAD                                                       \
	"{\"format\": 1, \"session\": \"s\", \"kind\": \"full\", " \
	"\"engine\": \"sqlite\", \"source\": \"/src\", "           \
	"\"frozen_at\": \"2026-11-21T02:13:14.262220310Z\", "      \
	"\"checksums\": \"verify/XXH128SUMS\""
#define COUNTS ", \"data_files\": 2, \"data_bytes\": 3"
#define DB_A "{\"path\": \"data/a.db\", \"size_bytes\": 1, \"frozen\": true}"
#define DB_B "{\"path\": \"data/b.db\", \"size_bytes\": 2, \"frozen\": true}"
#define DATABASES ", \"databases\": [" DB_B ", " DB_A "]"
#define WHOLE HEAD COUNTS DATABASES "}"

/* ---- a set --------------------------------------------------------------- */

struct fixture {
	char *dir;
	struct still_buf flaws; /* texts, each on a line, sorted by nothing */
	struct still_set set;
};

static void put(const struct fixture *f, const char *path, const char *text)
{
	assert_int_equal(
	    scratch_write(scratch_path(f->dir, path), text, strlen(text)), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->dir = scratch_make();
	f->set.dirfd = -1;
	assert_int_equal(mkdir(scratch_path(f->dir, "data"), 0755), 0);
	assert_int_equal(mkdir(scratch_path(f->dir, "verify"), 0755), 0);
	put(f, "data/a.db", "a");
	put(f, "data/b.db", "bb");
	put(f, "backup.json", WHOLE);
	put(f, "verify/XXH128SUMS", A B J);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_set_release(&f->set);
	still_buf_release(&f->flaws);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

static void collect(void *arg, const char *path, const struct still_error *what)
{
	struct fixture *f = arg;

	assert_non_null(path);
	assert_int_not_equal(what->code, 0);
	still_buf_printf(&f->flaws, "%s\n", still_error_msg(what));
}

static const char *look(struct fixture *f)
{
	uint64_t bytes = 0;

	still_set_release(&f->set);
	still_buf_release(&f->flaws);
	f->flaws = (struct still_buf) STILL_BUF_INIT;
	assert_int_equal(still_set_open(f->dir, collect, f, &f->set, NULL), 0);
	assert_int_equal(
	    still_set_compare(&f->set, collect, f, &bytes, NULL), 0);
	return f->flaws.data ? f->flaws.data : "";
}

static void expect(struct fixture *f, const char *flaws)
{
	assert_string_equal(look(f), flaws);
}

/* ---- a whole one --------------------------------------------------------- */

static void whole(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes = 0;

	expect(f, "");
	assert_true(f->set.listed);
	assert_true(f->set.described);
	assert_string_equal(f->set.path, f->dir);
	assert_string_equal(f->set.session, "s");
	assert_string_equal(f->set.kind, "full");
	assert_string_equal(f->set.engine, "sqlite");
	assert_string_equal(f->set.source, "/src");
	assert_int_equal(f->set.frozen_at_ns, INT64_C(1795227194262220310));
	assert_int_equal(f->set.n_files, 3);
	assert_string_equal(f->set.files[0].path, "backup.json");
	assert_int_equal(f->set.files[1].sum.bytes[1], 0x11);
	assert_int_equal(f->set.files[1].sum.bytes[15], 0xff);
	assert_ptr_equal(
	    still_set_find(&f->set, "data/b.db"), &f->set.files[2]);
	assert_null(still_set_find(&f->set, "data"));
	assert_int_equal(f->set.n_databases, 2);
	assert_int_equal(
	    still_set_database(&f->set, "data/b.db")->size_bytes, 2);
	assert_null(still_set_database(&f->set, "backup.json"));
	assert_int_equal(
	    still_set_compare(&f->set, collect, f, &bytes, NULL), 0);
	assert_int_equal(bytes, 3 + strlen(WHOLE));
}

static void names_are_bytes(void **state)
{
	struct fixture *f = *state;

	put(f, "data/a b\\'\"\r\xff", "a");
	assert_int_equal(remove(scratch_path(f->dir, "data/a.db")), 0);
	put(f, "verify/XXH128SUMS",
	    "00112233445566778899aabbccddeeff  data/a b\\'\"\r\xff\n" B J);
	put(f, "backup.json",
	    HEAD COUNTS ", \"databases\": [{\"encoded_path\": "
			"\"646174612f6120625c27220dff\", \"size_bytes\": 1, "
			"\"frozen\": true}, " DB_B "]}");
	expect(f, "");
}

static void links_are_fine_when_they_are_hard(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(link(scratch_path(f->dir, "data/a.db"),
			     scratch_path(f->dir, "verify/x")),
	    0);
	expect(f,
	    "`verify/x`: is not in verify/XXH128SUMS: it was not backed up\n");
	assert_int_equal(unlink(scratch_path(f->dir, "verify/x")), 0);
	expect(f, "");
}

static void empty_directories_are_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(scratch_path(f->dir, "data/none"), 0755), 0);
	expect(f, "");
}

/* ---- where it is --------------------------------------------------------- */

static void no_set(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(still_set_open(scratch_path(f->dir, "none"), collect,
			     f, &f->set, &err),
	    STILL_ERR_NOTFOUND);
	still_set_release(&f->set);
	assert_int_equal(still_set_open(scratch_path(f->dir, "backup.json"),
			     collect, f, &f->set, &err),
	    STILL_ERR_INVALID);
	still_set_release(&f->set);
	assert_int_equal(still_set_open(scratch_path(f->dir, "data"), collect,
			     f, &f->set, &err),
	    STILL_ERR_NOTFOUND);
	assert_non_null(strstr(still_error_msg(&err),
	    ": is no set: it has neither backup.json nor verify/XXH128SUMS"));
	assert_non_null(err.hint);
	assert_null(f->flaws.data);
	still_error_clear(&err);
}

static void where_sets_are_stored(void **state)
{
	struct fixture *f = *state;
	char *full = strdup(scratch_path(f->dir, "full"));
	static const char *const names[] = {"data", "verify", "backup.json"};

	assert_int_equal(mkdir(full, 0755), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(rename(scratch_path(f->dir, names[i]),
				     scratch_path(full, names[i])),
		    0);
	expect(f, "");
	assert_string_equal(f->set.path, full);
	free(full);
}

static void nothing_stays_open(void **state)
{
	struct fixture *f = *state;
	unsigned before = scratch_count_fds();

	look(f);
	still_set_release(&f->set);
	assert_int_equal(scratch_count_fds(), before);
}

/* ---- lists --------------------------------------------------------------- */

#define LIST "`verify/XXH128SUMS`: "
#define BAD                                                           \
	": is not 32 lowercase hexadecimal digits, two spaces and a " \
	"path\n"
#define H "00112233445566778899aabbccddeeff"

static const struct {
	const char *text;
	const char *flaws;
} lists[] = {
    {"", LIST "is empty\n"},
    {"\n" A B J, LIST "line 1" BAD},
    {A B J "\n", LIST "line 4" BAD},
    {A B J "x", LIST "line 4: is cut\n"},
    {A B "0123456789abcdef0123456789abcdef  backup.json",
	LIST "line 3: is cut\n"},
    {A J, "`data/b.db`: is in backup.json, and not in verify/XXH128SUMS\n"},
    {A B, LIST "does not name backup.json\n"},
    {J, LIST "names no file but backup.json\n"},
    {A A B J, LIST "names `data/a.db` twice\n"},
    {A B J J, LIST "names `backup.json` twice\n"},
    {A B "0123456789ABCDEF0123456789abcdef  backup.json\n", LIST "line 3" BAD},
    {A B "g123456789abcdef0123456789abcdef  backup.json\n", LIST "line 3" BAD},
    {A B "0123456789abcdef0123456789abcde  backup.json\n", LIST "line 3" BAD},
    {A B "0123456789abcdef0123456789abcdef backup.json\n", LIST "line 3" BAD},
    {A B "0123456789abcdef0123456789abcdef *backup.json\n", LIST "line 3" BAD},
    {A B "\\0123456789abcdef0123456789abcdef  backup.json\n",
	LIST "line 3" BAD},
    {A B J H "  \n", LIST "line 4" BAD},
    {A B J H "  /data/a.db\n",
	LIST "line 4: `/data/a.db` is no path in a "
	     "set\n"},
    {A B J H "  ../a\n", LIST "line 4: `../a` is no path in a set\n"},
    {A B J H "  data/..\n", LIST "line 4: `data/..` is no path in a set\n"},
    {A B J H "  data/./a\n", LIST "line 4: `data/./a` is no path in a set\n"},
    {A B J H "  data//a\n", LIST "line 4: `data//a` is no path in a set\n"},
    {A B J H "  data/\n", LIST "line 4: `data/` is no path in a set\n"},
    {A B J H "  .\n", LIST "line 4: `.` is no path in a set\n"},
    {A B J H "  verify/XXH128SUMS\n", LIST "line 4: names the list itself\n"},
    {A B J H "  data/c.db\n", "`data/c.db`: is missing\n"},
    {A B J H "  data/a.db/x\n", "`data/a.db/x`: is missing\n"},
    {H "  data/a.db\r\n" H "  data/b.db\r\n" H "  backup.json\r\n",
	LIST "its lines end with a carriage return: a program for texts has "
	     "changed it\n"},
    {"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n",
	LIST "line 1" BAD LIST "line 2" BAD LIST "line 3" BAD LIST
	     "line 4" BAD LIST "line 5" BAD LIST "line 6" BAD LIST
	     "line 7" BAD LIST "line 8" BAD LIST "line 9" BAD LIST
	     "line 10" BAD},
};

static void bad_lists(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		put(f, "verify/XXH128SUMS", lists[i].text);
		expect(f, lists[i].flaws);
		assert_true(f->set.listed ==
		    (strncmp(lists[i].flaws, "`verify", 7) != 0));
	}
}

static void a_nul_in_a_list(void **state)
{
	struct fixture *f = *state;
	static const char text[] = A B J H "  data/c\0.db\n";

	assert_int_equal(
	    scratch_write(scratch_path(f->dir, "verify/XXH128SUMS"), text,
		sizeof(text) - 1),
	    0);
	expect(f, LIST "line 4" BAD);
}

static void no_list(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(unlink(scratch_path(f->dir, "verify/XXH128SUMS")), 0);
	expect(f,
	    LIST "is missing: the copy was not finished, or is not of one "
		 "session\n");
	/* Whatever is there is not too much, for all that is known. */
	put(f, "data/c.db", "c");
	put(f, "data/a.db-wal", "c");
	expect(f,
	    LIST "is missing: the copy was not finished, or is not of one "
		 "session\n"
		 "`data/a.db-wal`: is a log beside a database, and was not "
		 "backed up: whoever opens the database would use it\n");
}

/* ---- descriptions -------------------------------------------------------- */

#define JSON "`backup.json`: "
#define WITH(databases) HEAD COUNTS ", \"databases\": [" databases "]}"

#define SHAPED(shape) HEAD COUNTS DATABASES ", " shape "}"

static const struct {
	const char *text;
	const char *flaws;
} descriptions[] = {
    {"[]", JSON "is not a JSON object\n"},
    {"{}", JSON "`format` is not a count\n"},
    {"{\"format\": \"1\"}", JSON "`format` is not a count\n"},
    {"{\"format\": 1.0}", JSON "`format` is not a count\n"},
    {"{\"format\": -1}", JSON "`format` is not a count\n"},
    {"{\"format\": 2}", JSON "has format 2, and this stillfs knows 1\n"},
    {"{\"format\": 1}",
	JSON
	"`session` is not a text\n" JSON "`kind` is not a text\n" JSON
	"`engine` is not a text\n" JSON "`source` is not a path\n" JSON
	"`frozen_at` is not a time\n" JSON "`data_files` is not a count\n" JSON
	"`data_bytes` is not a count\n" JSON "`checksums` is not a text\n" JSON
	"`databases` is not an array\n"},
    {HEAD DATABASES ", \"data_files\": 2.0, \"data_bytes\": -3}",
	JSON "`data_files` is not a count\n" JSON
	     "`data_bytes` is not a count\n"},
    {HEAD COUNTS ", \"databases\": {}}", JSON "`databases` is not an array\n"},
    {HEAD DATABASES ", \"data_files\": 3, \"data_bytes\": 3}",
	JSON "says that there are 3 files of data, and there are 2\n"},
    {HEAD DATABASES ", \"data_files\": 2, \"data_bytes\": 4}",
	JSON "says that there are 4 bytes of data, and there are 3\n"},
    {WITH("7"), JSON "database 1: `path` is no path in a set\n"},
    {WITH("{\"path\": \"../a\"}"),
	JSON "database 1: `path` is no path in a set\n"},
    {WITH("{\"encoded_path\": \"6\"}"),
	JSON "database 1: `path` is no path in a set\n"},
    {WITH(DB_A ", {\"path\": \"data/b.db\", \"size_bytes\": \"2\"}"),
	JSON "database `data/b.db`: `size_bytes` is not a count\n"},
    {WITH(DB_A ", {\"path\": \"data/b.db\", \"size_bytes\": 2}"),
	JSON "database `data/b.db`: `frozen` is neither true nor false\n"},
    {WITH(DB_A ", {\"path\": \"data/b.db\", \"size_bytes\": 2, \"frozen\": "
	       "true, \"increment_bytes\": -1}"),
	JSON "database `data/b.db`: `increment_bytes` is not a count\n"},
    {WITH(DB_A ", " DB_A), JSON "names `data/a.db` twice\n"},
    {WITH(DB_A ", {\"path\": \"data/c\", \"size_bytes\": 2, \"frozen\": "
	       "true}"),
	"`data/c`: is missing\n"},
    {WITH(DB_A ", {\"path\": \"data/b.db\", \"size_bytes\": 9, \"frozen\": "
	       "true}"),
	"`data/b.db`: has 2 bytes, and backup.json says 9\n"},
    {WITH(DB_A ", {\"path\": \"data/b.db\", \"size_bytes\": 9, \"frozen\": "
	       "false, \"error\": \"x\"}"),
	"`data/b.db`: was not frozen: this set has no backup of it\n"},
    {SHAPED("\"links\": 1"), JSON "`links` is not an array\n"},
    {SHAPED("\"empty_directories\": {}"),
	JSON "`empty_directories` is not an array\n"},
    {SHAPED("\"links\": [1]"), JSON "`links` 1: `path` is no path in a set\n"},
    {SHAPED("\"links\": [{\"path\": \"../l\", \"target\": \"x\"}]"),
	JSON "`links` 1: `path` is no path in a set\n"},
    {SHAPED("\"links\": [{\"path\": \"l\"}]"),
	JSON "link `l`: `target` leads to nothing in the set\n"},
    {SHAPED("\"links\": [{\"path\": \"l\", \"target\": \"/etc\"}]"),
	JSON "link `l`: `target` leads to nothing in the set\n"},
    {SHAPED("\"links\": [{\"path\": \"l/m\", \"target\": \"../../x\"}]"),
	JSON "link `l/m`: `target` leads to nothing in the set\n"},
    {SHAPED("\"empty_directories\": [{\"path\": \"/e\"}]"),
	JSON "`empty_directories` 1: `path` is no path in a set\n"},
};

static void bad_descriptions(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(descriptions) / sizeof(descriptions[0]);
	     i++) {
		put(f, "backup.json", descriptions[i].text);
		expect(f, descriptions[i].flaws);
		assert_true(f->set.described ==
		    (!strstr(descriptions[i].flaws, JSON) ||
			!!strstr(descriptions[i].flaws, "says that")));
	}
}

static const char *const no_json[] = {
    "",
    "x",
    "{",
    "{\"format\": 1, \"format\": 1}",
    "{\"format\": 99999999999999999999}",
    "{\"format\": 1} {}",
    "{\"session\": \"\\u0000\"}",
    "{\"session\": \"\xff\"}",
};

static void no_description(void **state)
{
	struct fixture *f = *state;
	static const char head[] = JSON "is not JSON: line 1: ";
	struct still_buf deep = STILL_BUF_INIT;

	for (size_t i = 0; i < sizeof(no_json) / sizeof(no_json[0]); i++) {
		put(f, "backup.json", no_json[i]);
		assert_memory_equal(look(f), head, strlen(head));
		assert_null(f->set.json);
	}
	/* A parser that trusts it runs out of its stack. */
	for (int i = 0; i < 1000000; i++)
		still_buf_str(&deep, "[");
	put(f, "backup.json", deep.data);
	assert_memory_equal(look(f), head, strlen(head));
	still_buf_release(&deep);
	assert_int_equal(unlink(scratch_path(f->dir, "backup.json")), 0);
	expect(f, JSON "is missing\n");
}

static void times(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {"", "2026-11-21",
	    "2026-11-21 02:13:14.262220310Z", "2026-13-21T02:13:14.262220310Z",
	    "2026-11-00T02:13:14.262220310Z", "2026-11-21T24:13:14.262220310Z",
	    "2026-11-21T02:13:14.26222031Z", "2026-11-21T02:13:14.2622203101Z",
	    "+026-11-21T02:13:14.262220310Z", "9999-11-21T02:13:14.262220310Z"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[600];

		snprintf(text, sizeof(text),
		    "{\"format\": 1, \"session\": \"s\", \"kind\": \"full\", "
		    "\"engine\": \"sqlite\", \"source\": \"/src\", "
		    "\"checksums\": \"verify/XXH128SUMS\", "
		    "\"frozen_at\": \"%s\"" COUNTS DATABASES "}",
		    bad[i]);
		put(f, "backup.json", text);
		expect(f, JSON "`frozen_at` is not a time\n");
		assert_int_equal(f->set.frozen_at_ns, 0);
	}
}

/* ---- what lies there ----------------------------------------------------- */

static void make_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(
	    bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
	close(fd);
}

static void no_files(void **state)
{
	struct fixture *f = *state;
	const char *path = scratch_path(f->dir, "data/a.db");
	char *a = strdup(path);

	assert_int_equal(unlink(a), 0);
	expect(f, "`data/a.db`: is missing\n");
	assert_int_equal(symlink("b.db", a), 0);
	expect(f, "`data/a.db`: is a symbolic link, and no file\n");
	assert_int_equal(unlink(a), 0);
	assert_int_equal(mkfifo(a, 0644), 0);
	expect(f, "`data/a.db`: is a FIFO, and no file\n");
	assert_int_equal(unlink(a), 0);
	make_socket(a);
	expect(f, "`data/a.db`: is a socket, and no file\n");
	assert_int_equal(unlink(a), 0);
	assert_int_equal(mkdir(a, 0755), 0);
	expect(f, "`data/a.db`: is a directory, and no file\n");
	if (geteuid() == 0) {
		assert_int_equal(rmdir(a), 0);
		assert_int_equal(mknod(a, S_IFCHR | 0644, 0x103), 0);
		expect(f, "`data/a.db`: is a device, and no file\n");
	}
	free(a);
}

static void directories_that_are_links(void **state)
{
	struct fixture *f = *state;
	char *data = strdup(scratch_path(f->dir, "data"));
	char *away = strdup(scratch_path(f->dir, "verify/away"));

	assert_int_equal(rename(data, away), 0);
	assert_int_equal(symlink("verify/away", data), 0);
	look(f);
	assert_non_null(
	    strstr(f->flaws.data, "`data`: is a symbolic link, and no file\n"));
	assert_non_null(strstr(f->flaws.data, "`data/a.db`: is missing\n"));
	free(data);
	free(away);
}

/* What the description has beside files. */
static void shape(void **state)
{
	struct fixture *f = *state;

	put(f, "backup.json",
	    SHAPED("\"links\": [{\"path\": \"data/m\", \"target\": \"b.db\"}, "
		   "{\"path\": \"data/l\", \"target\": \"../verify\"}], "
		   "\"empty_directories\": [{\"path\": \"data/e\"}]"));
	expect(f,
	    "`data/l`: is missing: it is a symbolic link to `../verify`\n"
	    "`data/m`: is missing: it is a symbolic link to `b.db`\n"
	    "`data/e`: is missing: it is an empty directory\n");
	assert_int_equal(
	    symlink("../verify", scratch_path(f->dir, "data/l")), 0);
	assert_int_equal(symlink("b.db", scratch_path(f->dir, "data/m")), 0);
	assert_int_equal(mkdir(scratch_path(f->dir, "data/e"), 0700), 0);
	expect(f, "");
	/* Another target, nothing at all in its place, a link too many. */
	assert_int_equal(unlink(scratch_path(f->dir, "data/m")), 0);
	assert_int_equal(symlink("b.dB", scratch_path(f->dir, "data/m")), 0);
	expect(f, "`data/m`: leads to another place than `b.db`\n");
	assert_int_equal(unlink(scratch_path(f->dir, "data/m")), 0);
	assert_int_equal(symlink("b.db2", scratch_path(f->dir, "data/m")), 0);
	expect(f, "`data/m`: leads to another place than `b.db`\n");
	assert_int_equal(unlink(scratch_path(f->dir, "data/m")), 0);
	assert_int_equal(mkdir(scratch_path(f->dir, "data/m"), 0700), 0);
	expect(f, "`data/m`: is no symbolic link: it was one to `b.db`\n");
	assert_int_equal(rmdir(scratch_path(f->dir, "data/m")), 0);
	assert_int_equal(symlink("b.db", scratch_path(f->dir, "data/m")), 0);
	assert_int_equal(symlink("b.db", scratch_path(f->dir, "data/n")), 0);
	expect(f, "`data/n`: is a symbolic link, and no file\n");
	assert_int_equal(unlink(scratch_path(f->dir, "data/n")), 0);
	assert_int_equal(rmdir(scratch_path(f->dir, "data/e")), 0);
	assert_int_equal(symlink("../data", scratch_path(f->dir, "data/e")), 0);
	expect(f,
	    "`data/e`: is a symbolic link, and no file\n"
	    "`data/e`: is no directory: it was an empty one\n");
}

static void sidecars(void **state)
{
	struct fixture *f = *state;

	put(f, "data/a.db-journal", "");
	expect(f,
	    "`data/a.db-journal`: is a journal beside a database, and was not "
	    "backed up: whoever opens the database would use it\n");
	assert_int_equal(unlink(scratch_path(f->dir, "data/a.db-journal")), 0);
	assert_int_equal(mkdir(scratch_path(f->dir, "data/b.db-shm"), 0755), 0);
	expect(f,
	    "`data/b.db-shm`: is a log index beside a database, and was not "
	    "backed up: whoever opens the database would use it\n");
	assert_int_equal(rmdir(scratch_path(f->dir, "data/b.db-shm")), 0);
	put(f, "data/c.db-wal", "");
	expect(f,
	    "`data/c.db-wal`: is not in verify/XXH128SUMS: it was not backed "
	    "up\n");
}

static void files_that_can_be_opened(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	struct stat st;
	int fd = -1;

	look(f);
	assert_int_equal(
	    still_set_open_file(&f->set, "data/b.db", &fd, &st, &err), 0);
	assert_int_equal(st.st_size, 2);
	close(fd);
	assert_int_equal(
	    still_set_open_file(&f->set, "data/c.db", &fd, &st, &err),
	    STILL_ERR_CORRUPT);
	assert_string_equal(err.msg, "`data/c.db`: is missing");
	assert_int_equal(still_set_open_file(&f->set, "data", &fd, &st, &err),
	    STILL_ERR_CORRUPT);
	assert_string_equal(err.msg, "`data`: is not a regular file");
	assert_int_equal(symlink("b.db", scratch_path(f->dir, "data/link")), 0);
	assert_int_equal(
	    still_set_open_file(&f->set, "data/link", &fd, &st, &err),
	    STILL_ERR_CORRUPT);
	assert_int_equal(symlink("data", scratch_path(f->dir, "linked")), 0);
	assert_int_equal(
	    still_set_open_file(&f->set, "linked/a.db", &fd, &st, &err),
	    STILL_ERR_CORRUPT);
	assert_string_equal(
	    err.msg, "`linked/a.db`: is a symbolic link, or lies behind one");
	/* It would wait for a writer. */
	assert_int_equal(mkfifo(scratch_path(f->dir, "data/fifo"), 0644), 0);
	assert_int_equal(
	    still_set_open_file(&f->set, "data/fifo", &fd, &st, &err),
	    STILL_ERR_CORRUPT);
	assert_string_equal(err.msg, "`data/fifo`: is not a regular file");
	still_error_clear(&err);
}

/* ---- noise --------------------------------------------------------------- */

/* Whatever the bytes are, they are read without harm, and no damage of a list
 * goes unseen that changes what it says. */
static void noise(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = scratch_seed();

	for (int i = 0; i < 2000; i++) {
		bool of_list = i % 2 == 0;
		const char *path = of_list ? "verify/XXH128SUMS"
					   : "backup.json";
		char *text = strdup(of_list ? A B J : WHOLE);
		size_t len = strlen(text);
		size_t at = (size_t) scratch_below(&seed, len);

		text[at] = (char) (1 + scratch_below(&seed, 255));
		put(f, path, text);
		look(f);
		/* But for the digits, nothing can be another. */
		if (of_list && at % 44 >= 32 && strcmp(text, A B J) != 0)
			assert_true(f->flaws.len > 0);
		put(f, path, of_list ? A B J : WHOLE);
		free(text);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(whole),
	    TEST(names_are_bytes),
	    TEST(links_are_fine_when_they_are_hard),
	    TEST(empty_directories_are_nothing),
	    TEST(no_set),
	    TEST(where_sets_are_stored),
	    TEST(nothing_stays_open),
	    TEST(bad_lists),
	    TEST(a_nul_in_a_list),
	    TEST(no_list),
	    TEST(bad_descriptions),
	    TEST(no_description),
	    TEST(times),
	    TEST(no_files),
	    TEST(directories_that_are_links),
	    TEST(shape),
	    TEST(sidecars),
	    TEST(files_that_can_be_opened),
	    TEST(noise),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
