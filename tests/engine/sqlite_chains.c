/* SPDX-License-Identifier: MIT */
/*
 * sqlite_chains: random chains as `stillctl backup` makes them, a full set and up
 * to eight incremental ones, of databases to which their application (roamer.h)
 * does what it likes all the time: before, while and after each moment is frozen,
 * looked through and stored. Between two sessions databases are made and dropped,
 * get pages of another size, or their application is killed.
 *
 * What is restored is the moment of the last link, and that of any link before it:
 *  - byte for byte what the engine's image was, which is read here as a whole
 *    beside the making of each link (sqlite_link_make() is wrapped by the linker),
 *    and so without all that tells what changed, stores that, and applies it;
 *  - by content what the application says of it (roamer.h), as stock SQLite opens
 *    it, which finds it sound, too;
 *  - the databases that there were, and no other file.
 * SQLite itself makes the same bytes of the full set and the logs of the links.
 *
 * And each set and each file of the chain that is missing, out of its turn, twice, or
 * of another chain is refused by name (sets.h).
 *
 *	CHAINS   how many (make soak: 100)
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/sqlite/image.h"
#include "engines/sqlite/link.h"
#include "still_set.h"
#include "tests/lib/roamer.h"
#include "tests/lib/sets.h"
#include "tests/unit/scratch.h"

#define LINKS_MAX 8

static uint64_t seed;
static unsigned n_chains = 6;

struct bytes {
	uint8_t *data; /* owned; NULL: there is no such database */
	size_t len;
};

/* What all databases were, at one moment. */
struct moment {
	struct bytes images[ROAMER_DATABASES];
	bool there[ROAMER_DATABASES];
	uint64_t least[ROAMER_DATABASES]; /* numbers, as roamer.h says */
	uint64_t most[ROAMER_DATABASES];
};

struct chain {
	struct moment moments[LINKS_MAX + 1];
	size_t n;
	struct sets sets;
};

struct fixture {
	char *dir; /* src/, state/, chains/N/ */
	char *src;
	uint64_t random;
	struct still_catalog *catalog;
	struct still_events *events;
	struct roamer *roamer;
	unsigned n_out;
	/* Over all chains. */
	struct sets_refused refused;
	unsigned n_sets;
	unsigned n_increments;
	unsigned n_unchanged;
	unsigned n_whole;
	unsigned n_dropped;
	unsigned n_meanwhile; /* links whose application wrote while they were
				 made */
	uint64_t n_pages;     /* compared */
};

/* Where the moment goes whose links are made now. */
static struct moment *now;

static uint64_t below(struct fixture *f, uint64_t n)
{
	return scratch_below(&f->random, n);
}

/* ---- what a moment is ---------------------------------------------------- */

static unsigned index_of(const char *name)
{
	for (unsigned i = 0; i < ROAMER_DATABASES; i++)
		if (strcmp(roamer_names[i], name) == 0)
			return i;
	fprintf(stderr, "a database `%s`\n", name);
	abort();
}

/* By the engine, of each database to which a link is to be made. */
int __real_sqlite_link_make(struct sqlite_image *image, uint64_t *sums,
    struct sqlite_link_work *work, bool *ret_spool, struct still_error *err);
int __wrap_sqlite_link_make(struct sqlite_image *image, uint64_t *sums,
    struct sqlite_link_work *work, bool *ret_spool, struct still_error *err);

int __wrap_sqlite_link_make(struct sqlite_image *image, uint64_t *sums,
    struct sqlite_link_work *work, bool *ret_spool, struct still_error *err)
{
	struct bytes *bytes = &now->images[index_of(image->rel)];
	struct still_error own = STILL_ERROR_INIT;

	bytes->len = (size_t) sqlite_image_bytes(image);
	bytes->data = malloc(bytes->len);
	if (!bytes->data ||
	    sqlite_image_read(image, 0, bytes->data, bytes->len, &own) != 0) {
		fprintf(stderr, "the image: %s\n", still_error_msg(&own));
		abort();
	}
	return __real_sqlite_link_make(image, sums, work, ret_spool, err);
}

static struct bytes read_file(const char *path)
{
	struct bytes bytes = {0};
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0)
		fail_msg("%s: %s", path, strerror(errno));
	bytes.len = (size_t) st.st_size;
	bytes.data = malloc(bytes.len + 1);
	assert_non_null(bytes.data);
	assert_int_equal(read(fd, bytes.data, bytes.len + 1), bytes.len);
	close(fd);
	return bytes;
}

/* What came whole is what the set has; of it the sums tell. */
static void add_whole(struct moment *moment, const char *set)
{
	for (unsigned i = 0; i < ROAMER_DATABASES; i++) {
		char path[PATH_MAX];

		snprintf(
		    path, sizeof(path), "%s/data/%s", set, roamer_names[i]);
		if (access(path, F_OK) != 0)
			continue;
		free(moment->images[i].data);
		moment->images[i] = read_file(path);
	}
	for (unsigned i = 0; i < ROAMER_DATABASES; i++)
		assert_int_equal(
		    moment->images[i].data != NULL, moment->there[i]);
}

static void release_chain(struct chain *chain)
{
	for (size_t k = 0; k < chain->n; k++)
		for (unsigned i = 0; i < ROAMER_DATABASES; i++)
			free(chain->moments[k].images[i].data);
	sets_release(&chain->sets);
	memset(chain, 0, sizeof(*chain));
}

/* ---- sessions ------------------------------------------------------------ */

static void count(struct fixture *f, const char *set)
{
	json_t *description = json_load_file(
	    scratch_path(set, "backup.json"), 0, NULL);
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(description, "databases"), i, one)
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
	    json_object_get(description, "dropped"));
	json_decref(description);
}

static struct still_instance *attach(struct fixture *f)
{
	static const enum still_pin policies[] = {
	    STILL_PIN_MODE_AUTO, STILL_PIN_MODE_GOVERN, STILL_PIN_MODE_HOLD};
	const struct still_options options = {
	    .freeze_ms = 30000,
	    .stall_ms = STILL_STALL_MS_DEFAULT,
	    .barrier_max = STILL_BARRIER_MAX_DEFAULT,
	    .pin = policies[below(f, 3)],
	    .pin_ms = 1 + (uint32_t) below(f, 50),
	    .wal_max_bytes = STILL_WAL_MAX_BYTES_DEFAULT,
	    .incremental = true,
	    .catalog = f->catalog,
	};
	struct still_instance *instance;
	struct still_error err = STILL_ERROR_INIT;

	if (still_instance_attach(f->src, &options, &instance, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	return instance;
}

/* The path of the set. The caller frees it. */
static char *store(
    struct fixture *f, enum still_session_kind kind, const char *dest)
{
	struct still_instance *instance = attach(f);
	const struct still_commit_options commit = {.truncate = below(f, 2)};
	const struct still_backup_options options = {
	    .incremental = kind == STILL_INCREMENTAL,
	    .create = true,
	    .source = f->src,
	};
	struct still_own_session *own;
	struct still_origin origin;
	struct still_backup backup;
	struct still_error err = STILL_ERROR_INIT;
	char *set;

	own = still_own_session_new(
	    instance, f->events, kind, &commit, &origin);
	if (still_backup(dest, &origin, &options, &backup, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	still_own_session_free(own);
	still_instance_detach(instance);
	set = strdup(backup.set);
	still_backup_release(&backup);
	return set;
}

/* Take one, and know what it must be. */
static void take(struct fixture *f, enum still_session_kind kind,
    const char *dest, struct moment *moment)
{
	uint64_t steps = roamer_steps(f->roamer);
	char *set;

	for (unsigned i = 0; i < ROAMER_DATABASES; i++) {
		moment->there[i] = roamer_has(f->roamer, i);
		moment->least[i] = roamer_acked(f->roamer, i);
	}
	now = moment;
	set = store(f, kind, dest);
	now = NULL;
	for (unsigned i = 0; i < ROAMER_DATABASES; i++)
		moment->most[i] = roamer_begun(f->roamer, i);
	add_whole(moment, set);
	f->n_sets++;
	if (kind == STILL_INCREMENTAL) {
		count(f, set);
		f->n_meanwhile += roamer_steps(f->roamer) != steps;
	}
	free(set);
}

/* What the application is asked for between two sessions. */
static void change(struct fixture *f)
{
	uint64_t steps = roamer_steps(f->roamer) + below(f, 30);

	if (below(f, 5) == 0)
		roamer_kill(f->roamer);
	for (unsigned i = 0; i < ROAMER_DATABASES; i++) {
		unsigned what = (unsigned) below(f, 10);

		roamer_rest(f->roamer, i, what > 7);
		if (!roamer_has(f->roamer, i) && what < 3)
			roamer_create(f->roamer, i);
		else if (roamer_has(f->roamer, i) && what == 0 && i > 0)
			roamer_drop(f->roamer, i);
		else if (roamer_has(f->roamer, i) && what == 1)
			roamer_turn(f->roamer, i);
	}
	while (roamer_steps(f->roamer) < steps)
		still_sys_sleep_ns(1000000);
}

/* ---- judging ------------------------------------------------------------- */

static char *ask(const char *path, const char *sql)
{
	char uri[PATH_MAX + 32];
	sqlite3_stmt *stmt = NULL;
	sqlite3 *db = NULL;
	char *text = NULL;

	snprintf(uri, sizeof(uri), "file:%s?immutable=1", path);
	if (sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
		NULL) == SQLITE_OK &&
	    sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		text = strdup((const char *) sqlite3_column_text(stmt, 0));
	else
		fail_msg("%s: %s", path, sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return text;
}

static void has_content(
    const char *path, const struct moment *moment, unsigned i)
{
	char *text = ask(path, "PRAGMA integrity_check");
	unsigned long long n;
	unsigned long long last;

	assert_string_equal(text, "ok");
	free(text);
	text = ask(
	    path, "SELECT count(*) || ' ' || coalesce(max(n), 0) FROM s");
	assert_int_equal(sscanf(text, "%llu %llu", &n, &last), 2);
	free(text);
	if (n != last || last < moment->least[i] || last > moment->most[i])
		fail_msg("`%s`: %llu numbers up to %llu; it was between %llu "
			 "and %llu",
		    roamer_names[i], n, last,
		    (unsigned long long) moment->least[i],
		    (unsigned long long) moment->most[i]);
}

static void has_bytes(struct fixture *f, const char *path,
    const struct bytes *want, unsigned name)
{
	struct bytes got = read_file(path);
	uint32_t page = (uint32_t) want->data[16] << 8 | want->data[17];

	page = page == 1 ? 65536 : page;
	assert_int_equal(got.len, want->len);
	for (size_t i = 0; i < got.len; i++)
		if (got.data[i] != want->data[i])
			fail_msg("`%s`: page %zu of %zu is another one, from "
				 "byte %zu",
			    roamer_names[name], i / page + 1, want->len / page,
			    i % page);
	f->n_pages += got.len / page;
	free(got.data);
}

static unsigned n_files;

static int count_file(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) path;
	(void) st;
	(void) ftw;
	n_files += type == FTW_F || type == FTW_SL;
	return 0;
}

/* What lies in `dir` is the moment, no more and no less. */
static void is_moment(
    struct fixture *f, const char *dir, const struct moment *moment)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ROAMER_DATABASES; i++) {
		char *path;

		if (!moment->there[i])
			continue;
		n++;
		path = strdup(scratch_path(dir, roamer_names[i]));
		has_bytes(f, path, &moment->images[i], i);
		has_content(path, moment, i);
		free(path);
	}
	n_files = 0;
	nftw(dir, count_file, 16, FTW_PHYS);
	assert_int_equal(n_files, n);
}

/* A place that is not there. The caller frees it. */
static char *new_place(struct fixture *f)
{
	char name[32];

	snprintf(name, sizeof(name), "out%u", f->n_out++);
	return strdup(scratch_path(f->dir, name));
}

/* ---- stock SQLite -------------------------------------------------------- */

static void copy_file(const char *from, const char *to)
{
	struct bytes bytes = read_file(from);

	if (scratch_write(to, bytes.data, bytes.len) != 0)
		fail_msg("%s: %s", to, strerror(errno));
	free(bytes.data);
}

/* Put the log beside the database, and let SQLite find it there. */
static void recover(const char *path, const char *log)
{
	char beside[PATH_MAX];
	sqlite3 *db = NULL;

	snprintf(beside, sizeof(beside), "%s-wal", path);
	copy_file(log, beside);
	if (sqlite3_open(path, &db) != SQLITE_OK ||
	    sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL,
		NULL) != SQLITE_OK ||
	    sqlite3_close(db) != SQLITE_OK)
		fail_msg("%s: %s", path, sqlite3_errmsg(db));
	assert_int_not_equal(access(beside, F_OK), 0);
}

static void by_sqlite_alone(struct fixture *f, const struct chain *chain)
{
	char *dir = new_place(f);

	sets_restore(&chain->sets, 0, dir);
	mkdir(scratch_path(dir, "sub"), 0700);
	mkdir(scratch_path(dir, "sub/deep"), 0700);
	for (size_t k = 1; k < chain->n; k++)
		for (unsigned i = 0; i < ROAMER_DATABASES; i++) {
			char *path = strdup(scratch_path(dir, roamer_names[i]));
			char whole[PATH_MAX];
			char log[PATH_MAX];

			snprintf(whole, sizeof(whole), "%s/data/%s",
			    chain->sets.paths[k], roamer_names[i]);
			snprintf(log, sizeof(log), "%s/logs/%s-wal",
			    chain->sets.paths[k], roamer_names[i]);
			if (!chain->moments[k].there[i])
				unlink(path);
			else if (access(whole, F_OK) == 0)
				copy_file(whole, path);
			else if (access(log, F_OK) == 0)
				recover(path, log);
			free(path);
		}
	is_moment(f, dir, &chain->moments[chain->n - 1]);
	scratch_remove(dir);
}

/* ---- a chain ------------------------------------------------------------- */

static void make_chain(struct fixture *f, unsigned number, struct chain *chain)
{
	size_t n = 2 + below(f, LINKS_MAX);
	char name[32];
	char *dest;

	snprintf(name, sizeof(name), "chains/%u", number);
	dest = strdup(scratch_path(f->dir, name));
	memset(chain, 0, sizeof(*chain));
	while (chain->n < n) {
		change(f);
		take(f, chain->n ? STILL_INCREMENTAL : STILL_FULL, dest,
		    &chain->moments[chain->n]);
		chain->n++;
	}
	sets_open(dest, &chain->sets);
	assert_int_equal(chain->sets.n, n);
	free(dest);
}

static void restore_to(struct fixture *f, const struct chain *chain, size_t k)
{
	char *out = new_place(f);

	sets_restore(&chain->sets, k, out);
	is_moment(f, out, &chain->moments[k]);
	scratch_remove(out);
}

static void judge(struct fixture *f, const struct chain *chain)
{
	restore_to(f, chain, chain->n - 1);
	restore_to(f, chain, below(f, chain->n - 1));
	by_sqlite_alone(f, chain);
}

static void refuse(
    struct fixture *f, const struct chain *chain, const struct chain *other)
{
	char *out = new_place(f);

	sets_refuse_order(
	    &chain->sets, &other->sets, &f->random, out, &f->refused);
	sets_refuse_files(
	    &chain->sets, &other->sets, &f->random, out, &f->refused);
	free(out);
	/* Nothing of that was left behind. */
	restore_to(f, chain, chain->n - 1);
}

static void remove_chain(struct chain *chain)
{
	char *dir = strdup(chain->sets.dir);

	release_chain(chain);
	scratch_remove(dir);
}

static void report(const struct fixture *f)
{
	const struct sets_refused *refused = &f->refused;

	printf("%u chains: %u sets, %u increments, %u unchanged, %u whole, "
	       "%u dropped; %u links made while the application wrote; %llu "
	       "pages compared; refused: %u removed, %u swapped, %u repeated, "
	       "%u foreign, %u files; %llu steps of the application\n",
	    n_chains, f->n_sets, f->n_increments, f->n_unchanged, f->n_whole,
	    f->n_dropped, f->n_meanwhile, (unsigned long long) f->n_pages,
	    refused->removed, refused->swapped, refused->repeated,
	    refused->foreign, refused->files,
	    (unsigned long long) roamer_steps(f->roamer));
}

static void chains(void **state)
{
	struct fixture *f = *state;
	struct chain last;
	struct chain chain;

	make_chain(f, 0, &last);
	for (unsigned i = 1; i <= n_chains; i++) {
		make_chain(f, i, &chain);
		judge(f, &chain);
		refuse(f, &chain, &last);
		remove_chain(&last);
		last = chain;
	}
	remove_chain(&last);
	report(f);
	assert_true(f->n_increments > n_chains);
	assert_true(f->n_unchanged > 0);
	assert_true(f->n_whole > 0);
	assert_true(f->n_dropped > 0);
	assert_true(f->n_meanwhile > n_chains);
	assert_true(f->refused.files > n_chains);
}

static void note_event(void *arg, enum still_level level, const char *line)
{
	(void) arg;
	if (level <= STILL_LEVEL_WARNING && !strstr(line, "long-log"))
		fprintf(stderr, "%s\n", line);
}

static int setup(void **state)
{
	static const char *const dirs[] = {
	    "src", "src/sub", "src/sub/deep", "chains"};
	struct fixture *f = calloc(1, sizeof(*f));
	struct still_error err = STILL_ERROR_INIT;

	assert_non_null(f);
	f->dir = scratch_make();
	f->random = seed;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		assert_int_equal(mkdir(scratch_path(f->dir, dirs[i]), 0700), 0);
	f->src = strdup(scratch_path(f->dir, "src"));
	if (still_catalog_open(
		scratch_path(f->dir, "state"), true, &f->catalog, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	f->events = still_events_new(note_event, NULL);
	f->roamer = roamer_start(f->src, below(f, UINT32_MAX));
	roamer_create(f->roamer, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	roamer_stop(f->roamer);
	still_events_free(f->events);
	still_catalog_close(f->catalog);
	free(f->src);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(chains, setup, teardown),
	};
	const char *wanted = getenv("CHAINS");
	int rc = roamer_main(argc, argv);

	if (rc >= 0)
		return rc;
	if (wanted)
		n_chains = (unsigned) atoi(wanted);
	else
		scratch_watchdog();
	seed = scratch_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
