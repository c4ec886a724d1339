/* SPDX-License-Identifier: MIT */
/*
 * governor_hammer: freeze databases under load, read the images whole once,
 * govern their pins, and compare what is read with what was read, all the time,
 * while the application does its worst (tests/lib/churn.c).
 *
 *	governor_hammer [KEY=VALUE...]
 *
 *	seed=N             chance decides what is not said here
 *	seconds=N          how long the images are read (default 5)
 *	policy=auto|govern|hold
 *	pin_ms=N           the limit of a pin's age
 *	spool=BYTES        the limit of the spool; 0: none
 *	assist=1           the governor checkpoints, too
 *	page_size= mib= n= auto_vacuum= autocheckpoint= kill= roles=
 *	                   of the load: see tests/engine/churner.h
 *	complete=1         the images must have been completed at the end,
 *	                   which is waited for
 *	fault= slow_us= linger= hold_readers=
 *	                   where this is built with STILL_TEST_POINTS: see
 *	                   tests/engine/governor_hooks.h
 *
 * The image at its first pin, which does not move, is the reference: that such
 * ones are right is what tests/engine/hammer.c shows.
 *
 * Exit status 1: an image was wrong. 3: something else failed, or the governor
 * had nothing to do.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "tests/engine/churner.h"
#include "tests/engine/governor_hooks.h"
#include "tests/engine/moment.h"
#include "tests/engine/truth.h"
#include "tests/unit/scratch.h"

#define READERS 3
#define LOOK_NS (20 * 1000 * 1000)
#define COMMITS_MIN 10
#define PATIENCE_NS (30 * STILL_NS_PER_S)
#define MIB (1024.0 * 1024.0)

/* ---- what is asked for --------------------------------------------------- */

static struct options {
	uint64_t seed;
	unsigned seconds;
	struct still_attach_options attach;
	uint64_t spool_bytes;
	bool complete;
	struct churner_plan plan;
} options = {
    .seconds = 5,
    .attach = {.pin = STILL_PIN_AUTO},
    .plan = CHURNER_PLAN_INIT,
};

static const char *const policies[] = {
    [STILL_PIN_AUTO] = "auto",
    [STILL_PIN_GOVERN] = "govern",
    [STILL_PIN_HOLD] = "hold",
};

static void set_policy(const char *value)
{
	for (unsigned i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		if (strcmp(policies[i], value) == 0) {
			options.attach.pin = (enum still_pin_policy) i;
			return;
		}
	moment_die(value, "no such policy");
}

static int *plan_number(const char *key)
{
	struct churner_plan *plan = &options.plan;
	const struct {
		const char *key;
		int *value;
	} numbers[] = {
	    {"page_size", &plan->page_size_bytes},
	    {"mib", &plan->mib},
	    {"n", &plan->n},
	    {"auto_vacuum", &plan->auto_vacuum},
	    {"autocheckpoint", &plan->autocheckpoint},
	    {"kill", &plan->kill},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(numbers[i].key, key) == 0)
			return numbers[i].value;
	return NULL;
}

static void set(const char *key, const char *value)
{
	unsigned long long number = strtoull(value, NULL, 0);

	if (strcmp(key, "seed") == 0)
		options.seed = number;
	else if (strcmp(key, "seconds") == 0)
		options.seconds = (unsigned) number;
	else if (strcmp(key, "policy") == 0)
		set_policy(value);
	else if (strcmp(key, "pin_ms") == 0)
		options.attach.pin_limit_ns = (int64_t) number * 1000000;
	else if (strcmp(key, "spool") == 0)
		options.spool_bytes = number;
	else if (strcmp(key, "assist") == 0)
		options.attach.assist = number;
	else if (strcmp(key, "complete") == 0)
		options.complete = number;
	else if (strcmp(key, "roles") == 0)
		churner_plan_roles(&options.plan, value);
	else if (plan_number(key))
		*plan_number(key) = (int) number;
	else if (!governor_hooks_set(key, value))
		moment_die(key, "no such option");
}

static void read_options(int argc, char **argv)
{
	static const int pins_ms[] = {1, 5, 20, 100, 500};
	uint64_t chance;

	for (int i = 1; i < argc; i++) {
		char *equals = strchr(argv[i], '=');

		if (!equals)
			moment_die(argv[i], "not KEY=VALUE");
		*equals = '\0';
		set(argv[i], equals + 1);
	}
	if (options.seed == 0)
		options.seed = scratch_seed();
	chance = options.seed;
	churner_plan_choose(&options.plan, &chance);
	if (options.attach.pin_limit_ns == 0)
		options.attach.pin_limit_ns =
		    pins_ms[scratch_below(&chance, 5)] * INT64_C(1000000);
}

static void print_options(void)
{
	static char repeat[64];

	snprintf(repeat, sizeof(repeat), "governor_hammer seed=%llu",
	    (unsigned long long) options.seed);
	truth_repeat = repeat;
	printf("%s seconds=%u policy=%s pin_ms=%lld spool=%llu assist=%d ",
	    repeat, options.seconds, policies[options.attach.pin],
	    (long long) options.attach.pin_limit_ns / 1000000,
	    (unsigned long long) options.spool_bytes, options.attach.assist);
	churner_plan_print(&options.plan);
}

/* ---- what is seen -------------------------------------------------------- */

static struct seen {
	struct still_held held; /* the last */
	uint64_t n_restarts;    /* of logs */
	int64_t complete_ns;    /* after the start; 0: not yet */
	uint64_t log_max_bytes; /* of all logs together */
	uint64_t n_commits;     /* while the pins were governed */
	uint8_t salts[MOMENT_DATABASES_MAX][8];
	off_t log_bytes[MOMENT_DATABASES_MAX];
} seen;

/* The -wal carries no locks, so it may be opened and closed. A log that was
 * restarted has other salts; one that was cut off has none. */
static void look_at_log(const struct moment *moment, size_t i)
{
	char name[16];
	uint8_t header[SQLITE_WAL_HEADER_BYTES] = {0};
	struct stat st = {.st_size = 0};
	int fd;

	snprintf(name, sizeof(name), "%c.db-wal", 'a' + (int) i);
	fd = openat(moment->root_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (pread(fd, header, sizeof(header), 0) < 0 ||
		    fstat(fd, &st) != 0)
			moment_die(name, "cannot be read");
		close(fd);
	}
	seen.n_restarts += memcmp(header + 16, seen.salts[i], 8) != 0;
	memcpy(seen.salts[i], header + 16, 8);
	seen.log_bytes[i] = st.st_size;
}

static void look(struct moment *moment, int64_t start_ns)
{
	uint64_t log_bytes = 0;

	for (size_t i = 0; i < moment->n; i++) {
		look_at_log(moment, i);
		log_bytes += (uint64_t) seen.log_bytes[i];
	}
	if (log_bytes > seen.log_max_bytes)
		seen.log_max_bytes = log_bytes;
	seen.held = moment_held(moment);
	atomic_store(&truth_n_moves, seen.held.n_moves);
	if (seen.complete_ns == 0 && seen.held.n_pinned == 0)
		seen.complete_ns = still_sys_monotonic_ns() - start_ns;
}

/* Once the images are complete, nothing of the databases is held. */
static void check_let_go(const struct moment *moment)
{
	if (seen.held.copy_bytes == 0 ||
	    seen.held.copied_bytes != seen.held.copy_bytes)
		moment_die("complete", "but not all of it was copied");
	for (size_t i = 0; i < moment->n; i++)
		if (moment_locks(moment, i))
			moment_die("complete", "but a lock of ours is left");
}

/* Where nothing hops any more, a pin has one slot, or is a transaction that has
 * one; none was left behind. */
static void check_slots(const struct moment *moment)
{
	for (size_t i = 0; i < moment->n; i++)
		if (moment_slots(moment, i) > 1)
			moment_die("governor", "does not let a read slot go");
}

static void print_seen(const struct moment *moment,
    const struct truth_reader *readers, const struct churner *churner)
{
	const struct churn_counts *counts = churner->counts;
	uint64_t n_pages = 0;
	uint64_t n_images = 0;
	uint64_t n_saved = 0;

	for (int i = 0; i < READERS; i++) {
		n_pages += atomic_load(&readers[i].n_pages);
		n_images += atomic_load(&readers[i].n_images);
	}
	for (size_t i = 0; i < moment->n; i++)
		for (uint32_t p = 1; p <= moment->images[i].n_pages; p++)
			n_saved += sqlite_saved_has(
			    &moment->images[i].saved, p);
	printf("%llu pages compared (%llu whole images), %llu moves, %llu let "
	       "by, %llu pages saved, ",
	    (unsigned long long) n_pages, (unsigned long long) n_images,
	    (unsigned long long) seen.held.n_moves,
	    (unsigned long long) seen.held.n_let_by,
	    (unsigned long long) n_saved);
	if (seen.complete_ns)
		printf(
		    "complete after %.2f s", (double) seen.complete_ns / 1e9);
	else
		printf("not complete%s",
		    seen.held.spool_full ? " (spool full)" : "");
	printf("\n%llu commits, %llu log restarts seen, log up to %.1f MiB; "
	       "writers: %llu busy, %llu over 100 ms, %llu over 1 s; %llu "
	       "checkpoints, %llu busy\n",
	    (unsigned long long) seen.n_commits,
	    (unsigned long long) seen.n_restarts,
	    (double) seen.log_max_bytes / MIB,
	    (unsigned long long) atomic_load(&counts->n_busy),
	    (unsigned long long) atomic_load(&counts->n_over_100_ms),
	    (unsigned long long) atomic_load(&counts->n_over_1_s),
	    (unsigned long long) atomic_load(&counts->n_checkpoints),
	    (unsigned long long) atomic_load(&counts->n_checkpoints_busy));
}

/* A run that tested nothing is no success; a busy machine is given some time. */
static bool is_worth(const struct churner *churner, uint64_t n_before)
{
	bool complete = seen.complete_ns > 0;

	return atomic_load(&churner->counts->n_commits) - n_before >=
	    COMMITS_MIN &&
	    (complete || !options.complete) &&
	    (complete || options.attach.pin == STILL_PIN_HOLD ||
		seen.held.n_moves > 0);
}

static void check_worth(void)
{
	bool complete = seen.complete_ns > 0;

	if (seen.n_commits < COMMITS_MIN)
		moment_die("the load", "was no load");
	if (options.complete && !complete)
		moment_die("auto", "the images were not completed");
	if (options.attach.pin != STILL_PIN_HOLD && !complete &&
	    seen.held.n_moves == 0)
		moment_die("the load", "moved no pin");
	if (options.attach.pin != STILL_PIN_AUTO && complete)
		moment_die(policies[options.attach.pin], "let a pin go");
	if (options.attach.pin == STILL_PIN_HOLD && seen.held.n_moves > 0)
		moment_die("hold", "moved a pin");
}

/* ---- a run --------------------------------------------------------------- */

static void govern(struct moment *moment, const struct truth *truths,
    struct churner *churner, struct truth_reader *readers)
{
	atomic_bool stop = false;
	uint64_t n_before = atomic_load(&churner->counts->n_commits);
	uint64_t chance = options.seed ^ 0x5eed;
	int64_t start_ns = still_sys_monotonic_ns();
	int64_t end_ns = start_ns + options.seconds * STILL_NS_PER_S;

	moment_govern(moment, &options.attach);
	for (int i = 0; i < READERS; i++)
		truth_reader_start(&readers[i], truths, moment->n,
		    scratch_random(&chance), &stop);
	while (still_sys_monotonic_ns() < end_ns ||
	    (!is_worth(churner, n_before) &&
		still_sys_monotonic_ns() < end_ns + PATIENCE_NS)) {
		look(moment, start_ns);
		still_sys_sleep_ns(LOOK_NS);
	}
	look(moment, start_ns);
	if (seen.complete_ns)
		check_let_go(moment);
	moment_stop(moment);
	check_slots(moment);
	/* The pins that are left are as good as any. */
	for (size_t i = 0; i < moment->n; i++)
		truth_compare(&truths[i], 65536);
	atomic_store(&stop, true);
	for (int i = 0; i < READERS; i++)
		truth_reader_join(&readers[i]);
	seen.n_commits = atomic_load(&churner->counts->n_commits) - n_before;
}

static void run(const char *dir)
{
	struct truth truths[MOMENT_DATABASES_MAX];
	struct truth_reader readers[READERS];
	struct churner churner;
	struct moment moment;

	churner_start(&churner, &options.plan, dir, options.seed);
	moment_take(&moment, dir, (size_t) options.plan.n);
	moment.spool_dir.max_bytes = options.spool_bytes;
	for (size_t i = 0; i < moment.n; i++)
		truth_take(&truths[i], &moment.images[i]);
	governor_hooks_start();
	govern(&moment, truths, &churner, readers);
	governor_hooks_stop();
	print_seen(&moment, readers, &churner);
	moment_release(&moment);
	for (size_t i = 0; i < moment.n; i++)
		truth_release(&truths[i]);
	churner_stop(&churner);
	churner_check(&options.plan, dir);
	check_worth();
}

int main(int argc, char **argv)
{
	char *dir;

	read_options(argc, argv);
	print_options();
	dir = scratch_make();
	run(dir);
	scratch_remove(dir);
	return EXIT_SUCCESS;
}
