/* SPDX-License-Identifier: MIT */
/*
 * sqlite_chain: random chains, a full session and up to eight incremental ones of
 * a folder of databases that their applications (other processes) write, also
 * while an increment is made. What comes of applying each link is what the
 * moment was, byte for byte: the moment is known from a full session without a
 * base, taken while nobody writes.
 *
 * And what is done to a link, or to what it is applied to, is seen.
 *
 *	sqlite_chain [CHAINS]
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "engines/sqlite/files.h"
#include "tests/lib/app.h"
#include "tests/lib/kept.h"
#include "tests/unit/scratch.h"

#define DATABASES_MAX 6
#define LINKS_MAX 8

extern const struct still_engine still_engine_sqlite;

static uint64_t seed;
static unsigned n_chains = 12;

static const char *const names[DATABASES_MAX] = {
    "a.db", "b.db", "sub/c.db", "sub/deep/d.db", "e\xe4.db", "f.db"};

struct fixture {
	char *dir; /* src/, spool/, state/, sets/N/, restored/ */
	uint64_t random;
	struct still_catalog *catalog;
	struct still_spool_dir spool;
	struct still_engine_instance *instance;
	char *restored;                  /* owned */
	struct app *apps[DATABASES_MAX]; /* NULL: there is no such database */
	unsigned n_sets;
	bool busy; /* let applications write while changes are looked for */
	/* Over all chains. */
	unsigned n_increments;
	unsigned n_unchanged;
	unsigned n_whole;
	unsigned n_dropped;
};

static uint64_t below(struct fixture *f, uint64_t n)
{
	return scratch_below(&f->random, n);
}

/* ---- applications -------------------------------------------------------- */

static const char *live(struct fixture *f, unsigned i)
{
	char name[64];

	snprintf(name, sizeof(name), "src/%s", names[i]);
	return scratch_path(f->dir, name);
}

/* It may meet a lock of ours, and then does not do it. */
static void run(struct fixture *f, unsigned i, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void run(struct fixture *f, unsigned i, const char *format, ...)
{
	char sql[512];
	va_list args;
	int rc;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	rc = app_try(f->apps[i], sql) & 0xff;
	/* OK, BUSY, LOCKED */
	if (rc != 0 && rc != 5 && rc != 6)
		fail_msg("%s: %s: %d", names[i], sql, rc);
}

static void grow(struct fixture *f, unsigned i)
{
	run(f, i,
	    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c"
	    " WHERE i < %u) INSERT INTO t(b) SELECT randomblob(%u) FROM c",
	    1 + (unsigned) below(f, 400), 1 + (unsigned) below(f, 900));
}

static void create(struct fixture *f, unsigned i)
{
	f->apps[i] = app_open(live(f, i));
	app_sql(f->apps[i], "PRAGMA busy_timeout=20; PRAGMA synchronous=OFF");
	run(f, i,
	    "PRAGMA page_size=%u; PRAGMA auto_vacuum=%u;"
	    "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=%u",
	    512U << below(f, 8), (unsigned) below(f, 3),
	    (unsigned) below(f, 2) * 100);
	app_sql(f->apps[i], "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
	grow(f, i);
}

static void drop(struct fixture *f, unsigned i)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};

	app_close(f->apps[i]);
	f->apps[i] = NULL;
	for (int k = 0; k < 3; k++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s%s", live(f, i), suffixes[k]);
		unlink(path);
	}
}

static void checkpoint(struct fixture *f, unsigned i)
{
	static const char *const modes[] = {
	    "PASSIVE", "FULL", "RESTART", "TRUNCATE"};

	run(f, i, "PRAGMA wal_checkpoint(%s)", modes[below(f, 4)]);
}

/* One step of one application. */
static void act(struct fixture *f, unsigned i)
{
	unsigned n = 2 + (unsigned) below(f, 9);

	switch (below(f, 12)) {
	case 0:
		run(f, i, "DELETE FROM t WHERE a %% %u = 0", n);
		break;
	case 1:
		run(f, i, "DELETE FROM t WHERE a %% %u > 0", n);
		run(f, i, "VACUUM");
		break;
	case 2:
		run(f, i, "CREATE TABLE IF NOT EXISTS u%u(a, b UNIQUE)", n);
		break;
	case 3:
		run(f, i, "DROP TABLE IF EXISTS u%u", n);
		break;
	case 4:
		run(f, i, "UPDATE t SET b=randomblob(50) WHERE a %% %u=1", n);
		break;
	case 5:
		run(f, i, "PRAGMA incremental_vacuum(%u)", n);
		break;
	case 6:
	case 7:
		checkpoint(f, i);
		break;
	case 8:
		/* Shrunk and grown again, in one log. */
		run(f, i, "DELETE FROM t WHERE a > 5; VACUUM");
		grow(f, i);
		break;
	default:
		grow(f, i);
	}
}

/* What needs the database for itself. */
static void turn(struct fixture *f, unsigned i)
{
	run(f, i,
	    "PRAGMA journal_mode=DELETE; PRAGMA page_size=%u; VACUUM;"
	    "PRAGMA journal_mode=WAL",
	    512U << below(f, 8));
}

static void change(struct fixture *f)
{
	for (unsigned i = 0; i < DATABASES_MAX; i++) {
		unsigned kind = (unsigned) below(f, 12);

		if (!f->apps[i]) {
			if (kind < 4)
				create(f, i);
		} else if (kind == 0 && i > 0) {
			drop(f, i);
		} else if (kind == 1) {
			turn(f, i);
		} else if (kind < 9) {
			for (uint64_t n = 1 + below(f, 5); n > 0; n--)
				act(f, i);
		}
	}
}

/* While the engine looks for changes. */
static void progress(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	struct fixture *f = arg;
	unsigned i = (unsigned) below(f, DATABASES_MAX);

	assert_true(done_bytes <= total_bytes);
	if (f->busy && f->apps[i])
		act(f, i);
}

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	(void) arg;
	if (strcmp(event, "long-log") != 0)
		fail_msg("%s: %s: %s", event, object, text);
}

/* ---- sessions ------------------------------------------------------------ */

static int try_take(struct fixture *f, const struct kept *base,
    bool incremental, struct kept *ret, struct still_error *err)
{
	struct kept_request request = {
	    .instance = f->instance,
	    .base = base,
	    .incremental = incremental,
	    .spool = &f->spool,
	    .catalog = f->catalog,
	    .observer =
		{
		    .warn = warn,
		    .progress = progress,
		    .arg = f,
		},
	};
	int rc = kept_take(&request, ret, err);

	assert_int_equal(sqlite_files_open_count(), 0);
	assert_int_equal(atomic_load(&f->spool.used_bytes), 0);
	return rc;
}

static void take(struct fixture *f, const struct kept *base, bool incremental,
    struct kept *ret)
{
	struct still_error err = STILL_ERROR_INIT;

	if (try_take(f, base, incremental, ret, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	for (size_t i = 0; i < ret->n_files; i++)
		if (ret->files[i].n_bad)
			fail_msg("%s", ret->files[i].why);
	assert_int_equal(ret->n_damages, 0);
}

static int apply(struct fixture *f, const struct kept *link,
    const char *restored, struct still_error *err)
{
	char name[32];
	const char *set;
	struct still_apply_request request = {
	    .description = link->description,
	};
	int rc;

	snprintf(name, sizeof(name), "sets/%u", ++f->n_sets);
	set = scratch_path(f->dir, name);
	assert_int_equal(mkdir(set, 0700), 0);
	kept_write(link, set);
	request.set = set;
	request.set_fd = open(set, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	request.root_fd = open(restored, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(request.set_fd >= 0 && request.root_fd >= 0);
	rc = still_engine_sqlite.apply(&request, err);
	close(request.set_fd);
	close(request.root_fd);
	return rc;
}

/* What comes whole is put in place by the core, before the rest. */
static void put_whole(const struct kept *link, const char *restored)
{
	struct kept whole = {
	    .files = calloc(link->n_files, sizeof(*link->files)),
	};

	for (size_t i = 0; i < link->n_files; i++)
		if (strncmp(link->files[i].path, "data/", 5) == 0)
			whole.files[whole.n_files++] = link->files[i];
	kept_write(&whole, restored);
	free(whole.files);
}

static void put_link(struct fixture *f, const struct kept *link)
{
	struct still_error err = STILL_ERROR_INIT;

	put_whole(link, f->restored);
	if (apply(f, link, f->restored, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

/* ---- judging ------------------------------------------------------------- */

static unsigned n_restored;

static int count_file(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) path;
	(void) ftw;
	n_restored += type == FTW_F || type == FTW_SL || S_ISREG(st->st_mode);
	return 0;
}

static void same_bytes(
    const struct kept_file *want, const uint8_t *got, size_t size)
{
	assert_int_equal(size, want->size);
	for (size_t i = 0; i < size; i++)
		if (got[i] != want->bytes[i])
			fail_msg("`%s`: page %zu is another one, from byte %zu",
			    want->path, i / want->page_bytes + 1,
			    i % want->page_bytes);
}

/* What is restored is the moment, no more and no less. */
static void is_moment(struct fixture *f, const struct kept *truth)
{
	for (size_t i = 0; i < truth->n_files; i++) {
		const struct kept_file *want = &truth->files[i];
		uint8_t *got = malloc(want->size + 1);
		char *path;
		int fd;

		assert_true(
		    asprintf(&path, "%s/%s", f->restored, want->path) > 0);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		same_bytes(want, got, (size_t) read(fd, got, want->size + 1));
		close(fd);
		free(path);
		free(got);
	}
	n_restored = 0;
	nftw(f->restored, count_file, 16, FTW_PHYS);
	assert_int_equal(n_restored, truth->n_files);
}

/* The sums that were handed over are those of the moment, all of them. */
static void has_sums(const struct kept *link, const struct kept *truth)
{
	for (size_t i = 0; i < truth->n_files; i++) {
		const struct kept_file *want = &truth->files[i];
		struct still_page_sums sums;

		assert_int_equal(link->base.page_sums(
				     (void *) link, want->path, &sums, NULL),
		    0);
		assert_int_equal(sums.page_bytes, want->page_bytes);
		assert_int_equal(sums.n, want->size / want->page_bytes);
		for (uint64_t p = 0; p < sums.n; p++)
			assert_int_equal(sums.sums[p],
			    still_hash64(want->bytes + p * want->page_bytes,
				want->page_bytes));
	}
}

static void count(struct fixture *f, const struct kept *link)
{
	const json_t *list = json_object_get(link->description, "databases");
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		const json_t *increment = json_object_get(one, "increment");

		if (json_is_null(increment))
			f->n_unchanged++;
		else if (increment || json_object_get(one, "encoded_increment"))
			f->n_increments++;
		else
			f->n_whole++;
	}
	f->n_dropped += (unsigned) json_array_size(
	    json_object_get(link->description, "dropped"));
}

/* ---- a chain ------------------------------------------------------------- */

static void open_source(struct fixture *f)
{
	static const enum still_pin_policy policies[] = {
	    STILL_PIN_AUTO, STILL_PIN_GOVERN, STILL_PIN_HOLD};
	const struct still_attach_options options = {
	    .freeze_limit_ns = INT64_C(10000000000),
	    .stall_limit_ns = INT64_C(20000000000),
	    .databases_max = 100,
	    .pin = policies[below(f, 3)],
	    .pin_limit_ns = INT64_C(50000000),
	    .incremental = true,
	};
	struct still_error err = STILL_ERROR_INIT;

	create(f, 0);
	for (unsigned i = 1; i < DATABASES_MAX; i++)
		if (below(f, 2))
			create(f, i);
	if (still_engine_attach(&still_engine_sqlite,
		scratch_path(f->dir, "src"), &options, &f->instance, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static void make_dirs(struct fixture *f)
{
	static const char *const dirs[] = {
	    "src", "src/sub", "src/sub/deep", "spool", "sets", "restored"};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		assert_int_equal(mkdir(scratch_path(f->dir, dirs[i]), 0700), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct still_error err = STILL_ERROR_INIT;

	f->dir = scratch_make();
	f->restored = strdup(scratch_path(f->dir, "restored"));
	f->random = seed;
	make_dirs(f);
	if (still_catalog_open(
		scratch_path(f->dir, "state"), true, &f->catalog, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	f->spool.path = strdup(scratch_path(f->dir, "spool"));
	*state = f;
	return 0;
}

static void close_source(struct fixture *f)
{
	still_engine_detach(f->instance);
	f->instance = NULL;
	for (unsigned i = 0; i < DATABASES_MAX; i++)
		if (f->apps[i])
			drop(f, i);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_source(f);
	still_catalog_close(f->catalog);
	free(f->spool.path);
	free(f->restored);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* The chain's `n` sessions, and what each moment was, applied one by one. */
static void make_chain(
    struct fixture *f, unsigned n, struct kept *links, struct kept *truths)
{
	open_source(f);
	for (unsigned i = 0; i < n; i++) {
		if (i > 0)
			change(f);
		take(f, NULL, false, &truths[i]);
		f->busy = true;
		take(f, i > 0 ? &links[i - 1] : NULL, i > 0, &links[i]);
		f->busy = false;
		if (i == 0)
			kept_write(&links[0], f->restored);
		else
			put_link(f, &links[i]);
		is_moment(f, &truths[i]);
		has_sums(&links[i], &truths[i]);
		if (i > 0)
			count(f, &links[i]);
	}
	close_source(f);
}

static void clean(struct fixture *f)
{
	scratch_remove(strdup(f->restored));
	assert_int_equal(mkdir(f->restored, 0700), 0);
}

static void release(struct kept *links, struct kept *truths, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		kept_release(&links[i]);
		kept_release(&truths[i]);
	}
}

static void chains(void **state)
{
	struct fixture *f = *state;

	for (unsigned c = 0; c < n_chains; c++) {
		struct kept links[LINKS_MAX + 1] = {0};
		struct kept truths[LINKS_MAX + 1] = {0};
		unsigned n = 2 + (unsigned) below(f, LINKS_MAX);

		make_chain(f, n, links, truths);
		release(links, truths, n);
		clean(f);
	}
	printf("%u chains: %u increments, %u unchanged, %u whole, %u dropped\n",
	    n_chains, f->n_increments, f->n_unchanged, f->n_whole,
	    f->n_dropped);
	assert_true(f->n_increments > n_chains);
	assert_true(f->n_whole > 0);
}

/* ---- what is done to a link ---------------------------------------------- */

/* A full session, and two links, each of which changes a.db and leaves b.db
 * alone. */
struct mishap {
	struct kept links[3];
	struct kept truths[3];
};

static struct kept_file *log_of(struct kept *link)
{
	return (struct kept_file *) kept_find(link, "logs/a.db-wal");
}

static json_t *described(struct kept *link, const char *path)
{
	json_t *list = json_object_get(link->description, "databases");
	json_t *one;
	size_t i;

	json_array_foreach(list, i,
	    one) if (strcmp(json_string_value(json_object_get(one, "path")),
			 path) == 0) return one;
	return NULL;
}

static void flip_byte(struct fixture *f, struct kept *link)
{
	struct kept_file *log = log_of(link);

	log->bytes[32 + below(f, log->size - 32)] ^= 1U << below(f, 8);
}

static void cut_file(struct fixture *f, struct kept *link)
{
	log_of(link)->size -= 1 + below(f, 400);
}

static void no_file(struct fixture *f, struct kept *link)
{
	(void) f;
	log_of(link)->path[0] = 'x';
}

static void more_pages(struct fixture *f, struct kept *link)
{
	json_t *database = described(link, "data/a.db");
	json_int_t page_size = json_integer_value(
	    json_object_get(database, "page_size_bytes"));

	(void) f;
	json_object_set_new(database, "pages", json_integer(100000));
	json_object_set_new(
	    database, "size_bytes", json_integer(100000 * page_size));
}

static void other_sum(struct fixture *f, struct kept *link)
{
	(void) f;
	json_object_set_new(described(link, "data/a.db"), "pages_xxh128",
	    json_string("00112233445566778899aabbccddeeff"));
}

static void no_sum(struct fixture *f, struct kept *link)
{
	(void) f;
	json_object_del(described(link, "data/b.db"), "pages_xxh128");
}

static void path_out(struct fixture *f, struct kept *link)
{
	(void) f;
	json_object_set_new(described(link, "data/a.db"), "path",
	    json_string("data/../../state/a.db"));
}

static void log_out(struct fixture *f, struct kept *link)
{
	(void) f;
	json_object_set_new(described(link, "data/a.db"), "increment",
	    json_string("logs/../../1/logs/a.db-wal"));
}

static void drop_out(struct fixture *f, struct kept *link)
{
	(void) f;
	json_array_append_new(json_object_get(link->description, "dropped"),
	    json_pack("{s:s}", "path", "backup.json"));
}

static void write_beside(
    struct fixture *f, const char *name, const void *data, size_t len)
{
	assert_int_equal(
	    scratch_write(scratch_path(f->restored, name), data, len), 0);
}

static void log_beside(struct fixture *f, struct kept *link)
{
	write_beside(f, "data/a.db-wal", log_of(link)->bytes, 32);
}

static void journal_beside(struct fixture *f, struct kept *link)
{
	(void) link;
	write_beside(f, "data/b.db-journal", "", 0);
}

static void base_gone(struct fixture *f, struct kept *link)
{
	(void) link;
	assert_int_equal(unlink(scratch_path(f->restored, "data/b.db")), 0);
}

static void base_is_link(struct fixture *f, struct kept *link)
{
	base_gone(f, link);
	assert_int_equal(symlink(scratch_path(f->dir, "src/b.db"),
			     scratch_path(f->restored, "data/b.db")),
	    0);
}

/* One bit, of a page that the link does not have. */
static void base_rots(struct fixture *f, struct kept *link)
{
	int fd = open(scratch_path(f->restored, "data/b.db"), O_RDWR);
	off_t middle = lseek(fd, 0, SEEK_END) / 2;
	uint8_t byte;

	(void) link;
	assert_int_equal(pread(fd, &byte, 1, middle), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, middle), 1);
	close(fd);
}

static const struct {
	const char *name;
	void (*mutilate)(struct fixture *f, struct kept *link);
	const char *says;
} mishaps[] = {
    {"a byte of the increment", flip_byte, "`logs/a.db-wal`: "},
    {"the increment is cut", cut_file, "the file ends in it"},
    {"the increment is missing", no_file, "`logs/a.db-wal` is missing"},
    {"more pages", more_pages, "is not the increment of `data/a.db`"},
    {"another sum", other_sum, "`data/a.db` does not become"},
    {"no sum", no_sum, "has no `pages_xxh128`"},
    {"a path that leads out", path_out, "is not in data/"},
    {"an increment elsewhere", log_out, "is not in logs/"},
    {"something else dropped", drop_out, "dropped that is not in data/"},
    {"a log beside it", log_beside, "`data/a.db` has a -wal"},
    {"a journal beside it", journal_beside, "`data/b.db` has a -wal"},
    {"the base is gone", base_gone, "`data/b.db` is missing"},
    {"the base is a link", base_is_link, "data/b.db"},
    {"the base rots", base_rots, "`data/b.db` is not what was"},
};

static void make_mishap(struct fixture *f, struct mishap *ret)
{
	memset(ret, 0, sizeof(*ret));
	open_source(f);
	for (unsigned i = 2; i < DATABASES_MAX; i++)
		if (f->apps[i])
			drop(f, i);
	if (!f->apps[1])
		create(f, 1);
	grow(f, 1);
	for (unsigned i = 0; i < 3; i++) {
		/* Each has pages that no other one has. */
		run(f, 0,
		    "CREATE TABLE o%u(b); INSERT INTO o%u "
		    "VALUES(randomblob(9000)), (randomblob(9000))",
		    i, i);
		if (i == 2)
			run(f, 0, "UPDATE o0 SET b=randomblob(9000)");
		take(f, NULL, false, &ret->truths[i]);
		take(f, i ? &ret->links[i - 1] : NULL, i > 0, &ret->links[i]);
	}
	kept_write(&ret->links[0], f->restored);
}

static void end_mishap(struct fixture *f, struct mishap *mishap)
{
	release(mishap->links, mishap->truths, 3);
	close_source(f);
	clean(f);
}

static void fails(struct fixture *f, const struct kept *link, const char *says)
{
	struct still_error err = STILL_ERROR_INIT;
	int rc = apply(f, link, f->restored, &err);

	if (rc >= 0)
		fail_msg("applied, where it should say \"%s\"", says);
	if (!strstr(still_error_msg(&err), says))
		fail_msg(
		    "\"%s\" does not say \"%s\"", still_error_msg(&err), says);
	still_error_clear(&err);
}

static void damaged_links(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(mishaps) / sizeof(mishaps[0]); i++) {
		struct mishap mishap;

		make_mishap(f, &mishap);
		print_message("%s\n", mishaps[i].name);
		/* Proven intact first. */
		put_link(f, &mishap.links[1]);
		is_moment(f, &mishap.truths[1]);
		clean(f);
		kept_write(&mishap.links[0], f->restored);
		mishaps[i].mutilate(f, &mishap.links[1]);
		fails(f, &mishap.links[1], mishaps[i].says);
		end_mishap(f, &mishap);
	}
}

/* A link is left out, comes twice, or after the one that follows it. */
static void order_of_links(void **state)
{
	struct fixture *f = *state;
	struct mishap mishap;

	make_mishap(f, &mishap);
	fails(f, &mishap.links[2], "does not belong to what is there");
	clean(f);
	kept_write(&mishap.links[0], f->restored);
	put_link(f, &mishap.links[1]);
	put_link(f, &mishap.links[2]);
	is_moment(f, &mishap.truths[2]);
	fails(f, &mishap.links[1], "does not belong to what is there");
	end_mishap(f, &mishap);
}

/* ---- what is refused ----------------------------------------------------- */

static void take_fails(
    struct fixture *f, const struct kept *base, int code, const char *says)
{
	struct still_error err = STILL_ERROR_INIT;
	struct kept link;

	assert_int_equal(try_take(f, base, true, &link, &err), code);
	if (!strstr(still_error_msg(&err), says))
		fail_msg(
		    "\"%s\" does not say \"%s\"", still_error_msg(&err), says);
	still_error_clear(&err);
}

static void refusals(void **state)
{
	struct fixture *f = *state;
	struct mishap mishap;
	struct app *app;

	make_mishap(f, &mishap);
	take_fails(f, &(struct kept){.base = {.session = "gone"}},
	    STILL_ERR_BASE, "session gone, the last that was committed");
	app_sql(f->apps[1], "PRAGMA journal_mode=DELETE");
	take_fails(f, &mishap.links[2], STILL_ERR_UNSUPPORTED,
	    "database `b.db`: has a rollback journal");
	app_sql(f->apps[1], "PRAGMA journal_mode=WAL");
	/* A directory where a database was. */
	drop(f, 1);
	assert_int_equal(mkdir(live(f, 1), 0700), 0);
	app = app_open(scratch_path(f->dir, "src/b.db/x.db"));
	app_sql(app, "PRAGMA journal_mode=WAL; CREATE TABLE t(a)");
	take_fails(f, &mishap.links[2], STILL_ERR_BASE,
	    "`b.db`: was a database in the last committed backup");
	app_close(app);
	scratch_remove(strdup(live(f, 1)));
	end_mishap(f, &mishap);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(damaged_links, setup, teardown),
	    cmocka_unit_test_setup_teardown(order_of_links, setup, teardown),
	    cmocka_unit_test_setup_teardown(refusals, setup, teardown),
	    cmocka_unit_test_setup_teardown(chains, setup, teardown),
	};
	int rc = app_main(argc, argv);

	if (rc >= 0)
		return rc;
	if (argc == 2)
		n_chains = (unsigned) atoi(argv[1]);
	else
		scratch_watchdog();
	seed = scratch_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
