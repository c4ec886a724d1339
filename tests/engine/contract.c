/* SPDX-License-Identifier: MIT */
/*
 * contract: what engine.h promises, asked of every engine.
 *
 * The same assertions run over a table of fixtures (fixture.h).
 */
#include "config.h"

#include "tests/engine/fixture.h"

#include <ctype.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sys.h"
#include "core/snapshot.h"
#include "core/spool.h"
#include "tests/engine/plant.h"
#include "tests/lib/fake_engine.h"
#include "tests/unit/scratch.h"

/* ---- fixtures ------------------------------------------------------------ */

static void fake_make(struct source *source)
{
	still_fake_reset();
	strcpy(source->path, "fake:contract");
	strcpy(source->missing, "fake:missing");
}

static void fake_change(struct source *source)
{
	(void) source;
	still_fake.seed++;
	still_fake.size_bytes[0] += 4096;
}

static const struct fixture fake_fixtures[] = {
    {
	.name = "fake",
	.engine = &still_engine_fake,
	.n_databases = 3,
	.fds_max = 10,
	.judge_every = 1,
	.make = fake_make,
	.change = fake_change,
    },
    {.name = NULL},
};

static const struct fixture *const fixture_tables[] = {
    fake_fixtures,
#ifdef WITH_SQLITE
    sqlite_fixtures,
#endif
#ifdef WITH_POSTGRES
    postgres_fixtures,
#endif
};
#define N_TABLES (sizeof(fixture_tables) / sizeof(fixture_tables[0]))

/* ---- one instance -------------------------------------------------------- */

struct context {
	struct source source;
	struct still_engine_instance *instance;
	struct still_snapshot snapshot; /* while frozen */
	atomic_bool cancel;
	atomic_uint n_warnings; /* that nobody expects */
	atomic_uint n_expected;
	struct still_spool_dir spool;
};

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	struct context *c = arg;

	const char *expected = c->source.fixture->warning;

	fprintf(stderr, "%s: %s: %s\n", event, object, text);
	if (expected && strcmp(event, expected) == 0)
		atomic_fetch_add(&c->n_expected, 1);
	/* How far a writer is ahead of its own checkpoints depends on the
	 * machine, as it does whether blocks can be shared, and says nothing
	 * about the engine. */
	else if (strcmp(event, "long-log") != 0 && strcmp(event, "copied") != 0)
		atomic_fetch_add(&c->n_warnings, 1);
}

static int attach(const struct fixture *fixture, const char *path,
    struct still_engine_instance **ret, struct still_error *err)
{
	const struct still_attach_options options = {
	    .freeze_limit_ns = INT64_C(20000000000),
	    .stall_limit_ns = INT64_C(1000000000),
	    .databases_max = 100,
	};

	return still_engine_attach(fixture->engine, path, &options, ret, err);
}

static int try_freeze(struct context *c, struct still_error *err)
{
	struct still_freeze_request request = {.cancel = &c->cancel,
	    .observer = {.warn = warn, .arg = c},
	    .spool = still_spool_of(&c->spool)};
	const struct fixture *fixture = c->source.fixture;
	struct still_description d;
	struct still_builder builder;
	int rc;

	atomic_store(&c->n_expected, 0);
	c->spool.path = c->source.dir;
	still_engine_describe(c->instance, &d);
	assert_int_equal(
	    still_builder_init(&builder, d.dir_mode, d.uid, d.gid, err), 0);
	rc = still_engine_freeze(c->instance, &request, &builder, err);
	if (rc == 0) {
		assert_non_null(builder.cut.words);
		assert_non_null(builder.verified);
		assert_true(builder.cut.first_ns > 0);
		assert_true(builder.cut.first_ns <= builder.cut.last_ns);
		assert_int_equal(builder.n_damages, 0);
		assert_true(fixture->tree
			? builder.n_files > fixture->n_databases
			: builder.n_files == fixture->n_databases);
		assert_int_equal(
		    json_array_size(builder.databases), fixture->n_databases);
		assert_int_equal(
		    atomic_load(&c->n_expected), fixture->warning ? 1 : 0);
		rc = still_builder_finish(
		    &builder, strdup("{}"), 2, 0, 0, &c->snapshot, err);
	}
	still_builder_release(&builder);
	return rc;
}

static void freeze(struct context *c)
{
	struct still_error err = STILL_ERROR_INIT;

	if (try_freeze(c, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static void check_released(struct context *c)
{
	if (c->source.fixture->check_released)
		c->source.fixture->check_released(&c->source);
}

static void thaw(struct context *c)
{
	still_engine_thaw(c->instance);
	still_snapshot_release(&c->snapshot);
	check_released(c);
}

static void setup_one(struct context *c)
{
	const struct fixture *fixture = c->source.fixture;
	struct still_error err = STILL_ERROR_INIT;

	fixture->make(&c->source);
	if (attach(fixture, c->source.path, &c->instance, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static void teardown_one(struct context *c)
{
	/* Frozen or not: detach thaws. */
	still_engine_detach(c->instance);
	still_snapshot_release(&c->snapshot);
	check_released(c);
	assert_int_equal(atomic_load(&c->n_warnings), 0);
}

/* ---- bytes --------------------------------------------------------------- */

/* Does the engine read it? */
static bool is_file(const struct context *c, uint32_t index)
{
	return c->snapshot.sources[index].kind == STILL_SOURCE_ENGINE;
}

static int read_at(struct context *c, uint32_t index, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	return still_engine_read(c->instance, c->snapshot.sources[index].object,
	    off_bytes, data, len, err);
}

/* The whole of a file in one read. The caller frees it. */
static uint8_t *read_whole(struct context *c, uint32_t index)
{
	size_t size = (size_t) c->snapshot.entries[index].size_bytes;
	struct still_error err = STILL_ERROR_INIT;
	uint8_t *data = malloc(size + 1);

	assert_non_null(data);
	if (size > 0 && read_at(c, index, 0, data, size, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	return data;
}

/* One element per entry, NULL for what the engine does not read. */
static uint8_t **read_all(struct context *c)
{
	uint8_t **all = calloc(c->snapshot.n, sizeof(*all));

	assert_non_null(all);
	for (uint32_t i = 0; i < c->snapshot.n; i++)
		if (is_file(c, i))
			all[i] = read_whole(c, i);
	return all;
}

static void free_all(const struct context *c, uint8_t **all)
{
	for (uint32_t i = 0; i < c->snapshot.n; i++)
		free(all[i]);
	free(all);
}

static void assert_all_as(struct context *c, uint8_t **want)
{
	uint8_t **got = read_all(c);

	for (uint32_t i = 0; i < c->snapshot.n; i++)
		if (got[i])
			assert_int_equal(
			    memcmp(got[i], want[i],
				(size_t) c->snapshot.entries[i].size_bytes),
			    0);
	free_all(c, got);
}

/* In a directory of its own: it has no log. */
static void judge_file(
    struct context *c, const uint8_t *data, size_t size, unsigned n_changes)
{
	char *copies = scratch_make();

	assert_int_equal(
	    scratch_write(scratch_path(copies, "copy.db"), data, size), 0);
	c->source.fixture->judge(
	    &c->source, scratch_path(copies, "copy.db"), n_changes);
	scratch_remove(copies);
}

static void judge_tree(
    struct context *c, uint8_t *const *all, unsigned n_changes)
{
	char *copies = scratch_make();

	plant(c->instance, &c->snapshot, all, copies);
	c->source.fixture->judge(&c->source, copies, n_changes);
	scratch_remove(copies);
}

static void judge(struct context *c, unsigned n_changes)
{
	uint8_t **all;

	if (!c->source.fixture->judge)
		return;
	all = read_all(c);
	if (c->source.fixture->tree)
		judge_tree(c, all, n_changes);
	for (uint32_t i = 0; !c->source.fixture->tree && i < c->snapshot.n; i++)
		if (all[i])
			judge_file(c, all[i],
			    (size_t) c->snapshot.entries[i].size_bytes,
			    n_changes);
	free_all(c, all);
}

static void change(struct context *c)
{
	c->source.n_changes++;
	c->source.fixture->change(&c->source);
}

/* ---- the contract -------------------------------------------------------- */

static void describes(struct context *c)
{
	struct still_description d;

	still_engine_describe(c->instance, &d);
	assert_string_equal(d.source, c->source.path);
	assert_true(strlen(d.engine_version) > 0);
	assert_int_equal(d.n_databases, c->source.fixture->n_databases);
	assert_int_equal(d.dir_mode & 0500, 0500);
	for (size_t i = 0; i < d.n_databases; i++) {
		assert_true(strlen(d.databases[i].path) > 0);
		assert_true(d.databases[i].path[0] != '/');
		assert_non_null(d.databases[i].log);
	}
}

static void refuses_what_is_missing(struct context *c)
{
	struct still_engine_instance *none = NULL;
	struct still_error err = STILL_ERROR_INIT;
	unsigned n_fds = scratch_count_fds();

	assert_int_equal(
	    attach(c->source.fixture, c->source.missing, &none, &err),
	    STILL_ERR_NOTFOUND);
	assert_null(none);
	assert_non_null(strstr(still_error_msg(&err), c->source.missing));
	still_error_clear(&err);
	assert_int_equal(scratch_count_fds(), n_fds);
}

static bool is_in_set(const struct fixture *fixture, const char *path)
{
	return strncmp(path, "data/", 5) == 0 ||
	    (fixture->tree && strncmp(path, "tablespaces/", 12) == 0);
}

static void hands_over_files(struct context *c)
{
	const struct fixture *fixture = c->source.fixture;
	size_t n = 0;

	freeze(c);
	for (uint32_t i = 0; i < c->snapshot.n; i++) {
		const struct still_entry *e = &c->snapshot.entries[i];

		if (!is_file(c, i))
			continue;
		n++;
		assert_true(is_in_set(fixture, e->path));
		assert_true(fixture->tree || e->size_bytes > 0);
		assert_int_equal(e->mode & 0400, 0400);
		assert_non_null(c->snapshot.sources[i].object);
	}
	assert_true(fixture->tree ? n > fixture->n_databases
				  : n == fixture->n_databases);
	judge(c, 0);
	thaw(c);
}

static void reads_anywhere(struct context *c)
{
	uint64_t random = scratch_seed();
	uint8_t **all;

	freeze(c);
	all = read_all(c);
	for (uint32_t i = 0; i < c->snapshot.n; i++) {
		uint64_t size = c->snapshot.entries[i].size_bytes;
		uint8_t *got = malloc((size_t) size + 1);

		for (int k = 0; all[i] && size > 0 && k < 200; k++) {
			uint64_t off = scratch_below(&random, size);
			uint64_t max = k % 2 ? size - off : 3000;
			size_t len;

			if (max > size - off)
				max = size - off;
			len = 1 + (size_t) scratch_below(&random, max);
			assert_int_equal(read_at(c, i, off, got, len, NULL), 0);
			assert_int_equal(memcmp(got, all[i] + off, len), 0);
		}
		free(got);
	}
	free_all(c, all);
	thaw(c);
}

struct crowd {
	struct context *context;
	uint8_t **all;
	uint64_t seed;
	atomic_uint next;
	atomic_uint failures;
};

static void *read_in_a_crowd(void *arg)
{
	struct crowd *crowd = arg;
	struct context *c = crowd->context;
	uint64_t random = crowd->seed + atomic_fetch_add(&crowd->next, 1);
	uint8_t got[10000];

	for (int k = 0; k < 300; k++) {
		uint32_t i = (uint32_t) scratch_below(&random, c->snapshot.n);
		uint64_t size = c->snapshot.entries[i].size_bytes;
		size_t len = 1 + (size_t) scratch_below(&random, sizeof(got));
		uint64_t off;

		if (!crowd->all[i] || size == 0)
			continue;
		off = scratch_below(&random, size);
		if (len > size - off)
			len = (size_t) (size - off);
		if (read_at(c, i, off, got, len, NULL) != 0 ||
		    memcmp(got, crowd->all[i] + off, len) != 0)
			atomic_fetch_add(&crowd->failures, 1);
	}
	return NULL;
}

static void reads_by_many(struct context *c)
{
	struct crowd crowd = {.context = c, .seed = scratch_seed()};
	pthread_t thread[4];

	freeze(c);
	crowd.all = read_all(c);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&thread[i], NULL, read_in_a_crowd, &crowd),
		    0);
	/* Beside readers, and beside an application at work. */
	change(c);
	for (int i = 0; i < 50; i++)
		if (still_engine_keep(
			c->instance, &(struct still_held){0}, NULL) != 0)
			atomic_fetch_add(&crowd.failures, 1);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(atomic_load(&crowd.failures), 0);
	free_all(c, crowd.all);
	thaw(c);
}

static void holds_still(struct context *c)
{
	struct still_error err = STILL_ERROR_INIT;
	uint8_t **before;

	freeze(c);
	before = read_all(c);
	for (int i = 0; i < 4; i++) {
		change(c);
		if (still_engine_keep(
			c->instance, &(struct still_held){0}, &err) != 0)
			fail_msg("%s", still_error_msg(&err));
		assert_all_as(c, before);
	}
	judge(c, 0);
	free_all(c, before);
	thaw(c);
}

static void moves_on(struct context *c)
{
	uint64_t sizes[2];

	for (unsigned i = 0; i < 4; i++) {
		uint8_t **all;

		freeze(c);
		judge(c, i);
		all = read_all(c);
		change(c);
		assert_all_as(c, all);
		sizes[i % 2] = 0;
		for (uint32_t k = 0; k < c->snapshot.n; k++)
			sizes[i % 2] += c->snapshot.entries[k].size_bytes;
		free_all(c, all);
		thaw(c);
		/* Every change makes something larger. */
		if (i > 0)
			assert_true(sizes[i % 2] > sizes[(i + 1) % 2]);
	}
}

static void freezes_beside_work(struct context *c)
{
	unsigned n_freezes = 10;
	pid_t worker;
	int status;

	if (!c->source.fixture->work)
		return;
	worker = c->source.fixture->work(&c->source);
	for (unsigned i = 0; i < n_freezes; i++) {
		uint8_t **all;

		freeze(c);
		all = read_all(c);
		if (i % c->source.fixture->judge_every == 0)
			judge(c, ANY_CHANGE);
		assert_all_as(c, all);
		assert_int_equal(still_engine_keep(c->instance,
				     &(struct still_held){0}, NULL),
		    0);
		free_all(c, all);
		thaw(c);
	}
	/* It was at work to the end, and no harm came to it. */
	assert_int_equal(waitpid(worker, &status, WNOHANG), 0);
	kill(worker, SIGKILL);
	assert_int_equal(waitpid(worker, &status, 0), worker);
}

/* A file that was met. */
struct met {
	uint64_t path;
	uint64_t digest;                             /* of path and bytes */
	uint64_t hash;                               /* of the identity */
	char identity[STILL_IDENTITY_MAX_BYTES + 1]; /* "": it had none */
};

/* All of them, one freeze behind the other. */
struct meetings {
	struct met *met; /* owned */
	size_t n;
	size_t before; /* where the last freeze begins */
};

struct meeting {
	size_t n_files;
	size_t n_same;         /* have an identity that was met */
	size_t n_changed;      /* have other bytes than in the last freeze, or
			     were not there */
	size_t n_changed_same; /* of these, have an identity that was met */
};

static struct met meet_one(struct context *c, uint32_t index, const void *data)
{
	const char *identity = c->snapshot.identities[index];
	const char *path = c->snapshot.entries[index].path;
	struct met new = {.path = still_hash64(path, strlen(path))};

	new.digest = still_hash64_seeded(
	    data, (size_t) c->snapshot.entries[index].size_bytes, new.path);
	if (!identity)
		return new;
	assert_true(strlen(identity) <= STILL_IDENTITY_MAX_BYTES);
	for (const char *p = identity; *p; p++)
		assert_true(isprint((unsigned char) *p));
	strcpy(new.identity, identity);
	new.hash = still_hash64(identity, strlen(identity));
	return new;
}

/* Whoever has the same identity has the same bytes. */
static bool was_met(const struct meetings *meetings, const struct met *new)
{
	bool same = false;

	for (size_t k = 0; new->identity[0] && k < meetings->n; k++) {
		const struct met *old = &meetings->met[k];

		if (old->hash != new->hash ||
		    strcmp(old->identity, new->identity) != 0)
			continue;
		assert_true(old->digest == new->digest);
		same = true;
	}
	return same;
}

static bool has_changed(const struct meetings *meetings, const struct met *new)
{
	for (size_t k = meetings->before; k < meetings->n; k++)
		if (meetings->met[k].path == new->path)
			return meetings->met[k].digest != new->digest;
	return true;
}

/* Freeze, and compare with all that was met before. */
static struct meeting meet(struct context *c, struct meetings *meetings)
{
	struct meeting meeting = {0};
	struct met *now;
	uint8_t **all;

	freeze(c);
	all = read_all(c);
	now = calloc(c->snapshot.n, sizeof(*now));
	assert_non_null(now);
	for (uint32_t i = 0; i < c->snapshot.n; i++) {
		struct met *new = &now[meeting.n_files];
		bool same;
		bool changed;

		if (!all[i])
			continue;
		*new = meet_one(c, i, all[i]);
		same = was_met(meetings, new);
		changed = has_changed(meetings, new);
		meeting.n_files++;
		meeting.n_same += same;
		meeting.n_changed += changed;
		meeting.n_changed_same += same && changed;
	}
	meetings->met = realloc(
	    meetings->met, (meetings->n + meeting.n_files) * sizeof(*now));
	assert_non_null(meetings->met);
	memcpy(
	    meetings->met + meetings->n, now, meeting.n_files * sizeof(*now));
	meetings->before = meetings->n;
	meetings->n += meeting.n_files;
	free(now);
	free_all(c, all);
	thaw(c);
	return meeting;
}

/* Each database was changed, and of a tree some files were. */
static void assert_changed(
    const struct fixture *fixture, const struct meeting *meeting)
{
	assert_int_equal(meeting->n_changed_same, 0);
	if (fixture->tree) {
		assert_true(meeting->n_changed > fixture->n_restless);
	} else {
		assert_int_equal(meeting->n_changed, fixture->n_databases);
		assert_int_equal(meeting->n_same, 0);
	}
}

static void rest(struct context *c)
{
	if (c->source.fixture->rest_ns)
		still_sys_sleep_ns(c->source.fixture->rest_ns);
}

static void never_takes_one_for_another(struct context *c)
{
	const struct fixture *fixture = c->source.fixture;
	struct meetings meetings = {0};
	struct meeting meeting;
	pid_t worker = -1;

	for (int i = 0; i < 3; i++) {
		meet(c, &meetings);
		change(c);
		meeting = meet(c, &meetings);
		assert_changed(fixture, &meeting);
	}
	/* Who is left alone is known again. */
	rest(c);
	meet(c, &meetings);
	meeting = meet(c, &meetings);
	print_message("%zu of %zu files are known again\n", meeting.n_same,
	    meeting.n_files);
	assert_int_equal(meeting.n_changed_same, 0);
	assert_true(meeting.n_same + fixture->n_restless >= meeting.n_files);
	/* Who was changed meanwhile is not, however long ago that is. */
	change(c);
	rest(c);
	meeting = meet(c, &meetings);
	assert_changed(fixture, &meeting);
	if (fixture->work)
		worker = fixture->work(&c->source);
	for (int i = 0; i < 4; i++)
		meet(c, &meetings);
	if (worker >= 0) {
		kill(worker, SIGKILL);
		assert_int_equal(waitpid(worker, NULL, 0), worker);
	}
	free(meetings.met);
}

static void leaks_no_descriptor(struct context *c)
{
	unsigned thawed = scratch_count_fds();
	unsigned most = thawed +
	    c->source.fixture->fds_max *
		(unsigned) c->source.fixture->n_databases;

	for (int i = 0; i < 20; i++) {
		uint8_t **all;

		freeze(c);
		all = read_all(c);
		free_all(c, all);
		/* An engine may let go of some meanwhile. */
		assert_true(scratch_count_fds() <= most);
		thaw(c);
		assert_int_equal(scratch_count_fds(), thawed);
	}
}

static void thaws_more_than_once(struct context *c)
{
	still_engine_thaw(c->instance);
	freeze(c);
	thaw(c);
	thaw(c);
	freeze(c);
	judge(c, 0);
	/* And not at all: detach does it. */
}

static void stops_when_told(struct context *c)
{
	struct still_error err = STILL_ERROR_INIT;
	unsigned n_fds = scratch_count_fds();

	atomic_store(&c->cancel, true);
	assert_int_equal(try_freeze(c, &err), STILL_ERR_CANCELLED);
	assert_int_equal(err.code, STILL_ERR_CANCELLED);
	still_error_clear(&err);
	/* Nothing is held, and all can be had again. */
	assert_int_equal(scratch_count_fds(), n_fds);
	check_released(c);
	atomic_store(&c->cancel, false);
	freeze(c);
	judge(c, 0);
	thaw(c);
}

static void detaches_nothing(struct context *c)
{
	(void) c;
	still_engine_detach(NULL);
}

static const struct {
	const char *name;
	void (*run)(struct context *c);
} promises[] = {
    {"describes", describes},
    {"refuses what is missing", refuses_what_is_missing},
    {"hands over files", hands_over_files},
    {"reads anywhere", reads_anywhere},
    {"reads by many", reads_by_many},
    {"holds still", holds_still},
    {"moves on", moves_on},
    {"freezes beside work", freezes_beside_work},
    {"never takes one for another", never_takes_one_for_another},
    {"leaks no descriptor", leaks_no_descriptor},
    {"thaws more than once", thaws_more_than_once},
    {"stops when told", stops_when_told},
    {"detaches nothing", detaches_nothing},
};
#define N_PROMISES (sizeof(promises) / sizeof(promises[0]))

struct pair {
	const struct fixture *fixture;
	size_t promise;
	char name[80];
};

static struct context context;

static void run_pair(void **state)
{
	const struct pair *pair = *state;
	const struct fixture *fixture = pair->fixture;
	const char *lack = fixture->lacks ? fixture->lacks() : NULL;
	const char *in_ci = getenv("STILL_CI");

	/* For each of them: a slow machine has many. */
	scratch_watchdog();
	if (lack) {
		print_message("%s\n", lack);
		if (in_ci && strcmp(in_ci, "1") == 0)
			fail_msg("cannot skip in CI: %s", lack);
		skip();
	}
	context = (struct context){.source = {.fixture = fixture}};
	context.source.dir = scratch_make();
	setup_one(&context);
	promises[pair->promise].run(&context);
	teardown_one(&context);
}

/* However it went. */
static int end_pair(void **state)
{
	const struct pair *pair = *state;

	if (!context.source.dir)
		return 0;
	if (pair->fixture->end)
		pair->fixture->end(&context.source);
	scratch_remove(context.source.dir);
	context.source.dir = NULL;
	return 0;
}

static size_t count_fixtures(void)
{
	size_t n = 0;

	for (size_t t = 0; t < N_TABLES; t++)
		for (size_t f = 0; fixture_tables[t][f].name; f++)
			n++;
	return n;
}

static void add_pairs(
    const struct fixture *fixture, struct pair *pairs, struct CMUnitTest *tests)
{
	for (size_t p = 0; p < N_PROMISES; p++) {
		pairs[p] = (struct pair){.fixture = fixture, .promise = p};
		snprintf(pairs[p].name, sizeof(pairs[p].name), "%s: %s",
		    fixture->name, promises[p].name);
		tests[p] = (struct CMUnitTest){
		    .name = pairs[p].name,
		    .test_func = run_pair,
		    .teardown_func = end_pair,
		    .initial_state = &pairs[p],
		};
	}
}

/* `only` may be NULL: of tests whose name has it. */
static int run_all(const char *only)
{
	size_t n = count_fixtures() * N_PROMISES;
	struct pair *pairs = calloc(n, sizeof(*pairs));
	struct CMUnitTest *tests = calloc(n, sizeof(*tests));
	size_t kept = 0;
	int rc;

	if (!pairs || !tests)
		return EXIT_FAILURE;
	n = 0;
	for (size_t t = 0; t < N_TABLES; t++)
		for (size_t f = 0; fixture_tables[t][f].name; f++) {
			add_pairs(&fixture_tables[t][f], &pairs[n], &tests[n]);
			n += N_PROMISES;
		}
	for (size_t i = 0; i < n; i++)
		if (!only || strstr(tests[i].name, only))
			tests[kept++] = tests[i];
	rc = kept ? _cmocka_run_group_tests("contract", tests, kept, NULL, NULL)
		  : EXIT_FAILURE;
	free(tests);
	free(pairs);
	return rc;
}

/* `contract [NAME]`: all, or those whose name has NAME. */
int main(int argc, char **argv)
{
	int rc = -1;

#ifdef WITH_SQLITE
	rc = sqlite_fixture_main(argc, argv);
#endif
#ifdef WITH_POSTGRES
	if (rc < 0)
		rc = postgres_fixture_main(argc, argv);
#endif
	if (rc >= 0)
		return rc;
	return argc <= 2 ? run_all(argc == 2 ? argv[1] : NULL) : EXIT_FAILURE;
}
