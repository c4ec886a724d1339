/* SPDX-License-Identifier: MIT */
/*
 * contract: what engine.h promises, asked of every engine.
 *
 * The same assertions run over a table of fixtures (fixture.h).
 */
#include "config.h"

#include "tests/engine/context.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "tests/engine/contract_chain.h"
#include "tests/engine/meetings.h"
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
	    context_attach(c->source.fixture, c->source.missing, &none, &err),
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

	context_freeze(c);
	for (uint32_t i = 0; i < c->snapshot.n; i++) {
		const struct still_entry *e = &c->snapshot.entries[i];

		if (!context_is_file(c, i))
			continue;
		n++;
		assert_true(is_in_set(fixture, e->path));
		assert_true(fixture->tree || e->size_bytes > 0);
		assert_int_equal(e->mode & 0400, 0400);
		assert_non_null(c->snapshot.sources[i].object);
	}
	assert_true(fixture->tree ? n > fixture->n_databases
				  : n == fixture->n_databases);
	context_judge(c, 0);
	context_thaw(c);
}

static void reads_anywhere(struct context *c)
{
	uint64_t random = scratch_seed();
	uint8_t **all;

	context_freeze(c);
	all = context_read_all(c);
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
			assert_int_equal(
			    context_read_at(c, i, off, got, len, NULL), 0);
			assert_int_equal(memcmp(got, all[i] + off, len), 0);
		}
		free(got);
	}
	context_free_all(c, all);
	context_thaw(c);
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
		if (context_read_at(c, i, off, got, len, NULL) != 0 ||
		    memcmp(got, crowd->all[i] + off, len) != 0)
			atomic_fetch_add(&crowd->failures, 1);
	}
	return NULL;
}

static void reads_by_many(struct context *c)
{
	struct crowd crowd = {.context = c, .seed = scratch_seed()};
	pthread_t thread[4];

	context_freeze(c);
	crowd.all = context_read_all(c);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&thread[i], NULL, read_in_a_crowd, &crowd),
		    0);
	/* Beside readers, and beside an application at work. */
	context_change(c);
	for (int i = 0; i < 50; i++)
		if (still_engine_keep(
			c->instance, &(struct still_held){0}, NULL) != 0)
			atomic_fetch_add(&crowd.failures, 1);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(atomic_load(&crowd.failures), 0);
	context_free_all(c, crowd.all);
	context_thaw(c);
}

static void holds_still(struct context *c)
{
	struct still_error err = STILL_ERROR_INIT;
	uint8_t **before;

	context_freeze(c);
	before = context_read_all(c);
	for (int i = 0; i < 4; i++) {
		context_change(c);
		if (still_engine_keep(
			c->instance, &(struct still_held){0}, &err) != 0)
			fail_msg("%s", still_error_msg(&err));
		context_assert_all_as(c, before);
	}
	context_judge(c, 0);
	context_free_all(c, before);
	context_thaw(c);
}

static void moves_on(struct context *c)
{
	uint64_t sizes[2];

	for (unsigned i = 0; i < 4; i++) {
		uint8_t **all;

		context_freeze(c);
		context_judge(c, i);
		all = context_read_all(c);
		context_change(c);
		context_assert_all_as(c, all);
		sizes[i % 2] = 0;
		for (uint32_t k = 0; k < c->snapshot.n; k++)
			sizes[i % 2] += c->snapshot.entries[k].size_bytes;
		context_free_all(c, all);
		context_thaw(c);
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

		context_freeze(c);
		all = context_read_all(c);
		if (i % c->source.fixture->judge_every == 0)
			context_judge(c, ANY_CHANGE);
		context_assert_all_as(c, all);
		assert_int_equal(still_engine_keep(c->instance,
				     &(struct still_held){0}, NULL),
		    0);
		context_free_all(c, all);
		context_thaw(c);
	}
	/* It was at work to the end, and no harm came to it. */
	assert_int_equal(waitpid(worker, &status, WNOHANG), 0);
	kill(worker, SIGKILL);
	assert_int_equal(waitpid(worker, &status, 0), worker);
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
		context_change(c);
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
	context_change(c);
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

		context_freeze(c);
		all = context_read_all(c);
		context_free_all(c, all);
		/* An engine may let go of some meanwhile. */
		assert_true(scratch_count_fds() <= most);
		context_thaw(c);
		assert_int_equal(scratch_count_fds(), thawed);
	}
}

static void thaws_more_than_once(struct context *c)
{
	still_engine_thaw(c->instance);
	context_freeze(c);
	context_thaw(c);
	context_thaw(c);
	context_freeze(c);
	context_judge(c, 0);
	/* And not at all: detach does it. */
}

static void stops_when_told(struct context *c)
{
	struct still_error err = STILL_ERROR_INIT;
	unsigned n_fds = scratch_count_fds();

	atomic_store(&c->cancel, true);
	assert_int_equal(context_try_freeze(c, &err), STILL_ERR_CANCELLED);
	assert_int_equal(err.code, STILL_ERR_CANCELLED);
	still_error_clear(&err);
	/* Nothing is held, and all can be had again. */
	assert_int_equal(scratch_count_fds(), n_fds);
	context_check_released(c);
	atomic_store(&c->cancel, false);
	context_freeze(c);
	context_judge(c, 0);
	context_thaw(c);
}

static void builds_on(struct context *c)
{
	contract_builds_on(&c->source);
}

static void truncates(struct context *c)
{
	contract_truncates(&c->source);
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
    {"builds on", builds_on},
    {"truncates", truncates},
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
	context_begin(&context);
	promises[pair->promise].run(&context);
	context_end(&context);
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
