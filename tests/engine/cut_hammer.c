/* SPDX-License-Identifier: MIT */
/*
 * cut_hammer: freeze, read and judge the three databases of a storm
 * (tests/lib/load_many.h) as fast as it goes, below core and mount.
 *
 *	cut_hammer DIR COUNT
 *
 * Each image must be right by itself: integrity_check ok, no sequence with a
 * gap, all that was acknowledged before the freeze and nothing begun after it.
 * And the three must be of one moment: the same step and joint sequence in
 * each, the sum over all exact. A set in which a database was refused, because
 * its application has to recover it, is counted by itself, and judged as far as
 * it goes. It goes on until COUNT whole sets were seen, each with another joint
 * transaction than the one before.
 *
 * Exit status 3: all is right except that the images are of different moments.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "tests/engine/shot.h"
#include "tests/engine/memdb.h"
#include "tests/lib/number.h"

#define N_MEMBERS 3
#define SUM 300000
#define EXIT_TWO_MOMENTS 3
#define STANDSTILL_NS (30 * STILL_NS_PER_S)
#define REFUSED_PAUSE_NS 5000000

/* A sequence: what may be expected of it, and what an image has. */
struct sequence {
	long long acked; /* before the freeze */
	long long begun; /* after it */
	long long count;
	long long last;
};

struct member {
	const char *file;
	bool refused;
	sqlite3 *db;
	struct sequence own;
	struct sequence joint;
	long long sum;
	long long step;
};

struct stats {
	unsigned long n_sets;
	unsigned long n_refused;
	unsigned long n_moved;  /* other joint transactions than before */
	unsigned long n_frames; /* with frames of a log needed */
	long long last_joint;
	int64_t width_max_ns;
	int64_t held_max_ns;
	int64_t held_sum_ns;
	const char *words;
};

static struct still_engine_instance *instance;
static const char *dir;
static struct stats stats;

static void die(const char *what)
{
	fprintf(stderr, "cut_hammer: %s\n", what);
	exit(EXIT_FAILURE);
}

static long long published(const char *name, const char *what)
{
	char file[64];
	long long n = 0;

	snprintf(file, sizeof(file), "%.*s.%s", (int) strcspn(name, "."), name,
	    what);
	if (!number_read(dir, file, &n))
		die(file);
	return n;
}

/* ---- the judge ----------------------------------------------------------- */

static void bad(
    const struct member *member, const char *what, const char *detail)
{
	fprintf(stderr,
	    "cut_hammer: a bad image of %s: %s: %s (sequence %lld of %lld, "
	    "acknowledged %lld, begun %lld; joint %lld of %lld, acknowledged "
	    "%lld, begun %lld)\n",
	    member->file, what, detail, member->own.count, member->own.last,
	    member->own.acked, member->own.begun, member->joint.count,
	    member->joint.last, member->joint.acked, member->joint.begun);
	exit(EXIT_FAILURE);
}

static void ask_sequence(
    struct member *member, const char *sql, struct sequence *sequence)
{
	char *answer = memdb_ask(member->db, sql);

	if (sscanf(answer, "%lld %lld", &sequence->count, &sequence->last) != 2)
		bad(member, sql, answer);
	free(answer);
}

static long long ask_number(struct member *member, const char *sql)
{
	char *answer = memdb_ask(member->db, sql);
	char *end;
	long long n = strtoll(answer, &end, 10);

	if (end == answer || *end)
		bad(member, sql, answer);
	free(answer);
	return n;
}

static void check_sequence(
    struct member *member, const char *what, const struct sequence *sequence)
{
	if (sequence->count != sequence->last)
		bad(member, what, "has gaps");
	if (sequence->last < sequence->acked)
		bad(member, what, "lacks what was acknowledged");
	if (sequence->last > sequence->begun)
		bad(member, what, "has what was not begun");
}

static void judge_alone(struct member *member)
{
	char *whole = memdb_ask(member->db, "PRAGMA integrity_check");

	if (strcmp(whole, "ok") != 0)
		bad(member, "integrity_check", whole);
	free(whole);
	ask_sequence(member,
	    "SELECT count(*)||' '||coalesce(max(n),0) FROM seq", &member->own);
	ask_sequence(member,
	    "SELECT count(*)||' '||coalesce(max(n),0) FROM joint",
	    &member->joint);
	check_sequence(member, "its sequence", &member->own);
	check_sequence(member, "the joint sequence", &member->joint);
	if (ask_number(member, "SELECT count(*) FROM account") != 100)
		bad(member, "account", "not a hundred");
	member->sum = ask_number(member, "SELECT sum(balance) FROM account");
	member->step = ask_number(member, "SELECT n FROM step");
	if (member->step != member->joint.last)
		bad(member, "step", "is not the last of the joint sequence");
}

static void judge_together(const struct member *members)
{
	long long sum = 0;
	long long step = -1;
	bool same = true;
	bool whole = true;

	for (int i = 0; i < N_MEMBERS; i++) {
		whole &= !members[i].refused;
		if (members[i].refused)
			continue;
		same &= step < 0 || step == members[i].step;
		step = members[i].step;
		sum += members[i].sum;
	}
	if (same && (!whole || sum == SUM))
		return;
	fprintf(stderr,
	    "cut_hammer: two moments in freeze %lu: steps %lld %lld %lld, sum "
	    "%lld\n",
	    stats.n_sets + 1, members[0].step, members[1].step, members[2].step,
	    sum);
	exit(EXIT_TWO_MOMENTS);
}

/* ---- the freeze ---------------------------------------------------------- */

static void read_acked(struct member *members)
{
	long long joint = published("joint", "acked");

	for (int i = 0; i < N_MEMBERS; i++) {
		members[i].joint.acked = joint;
		members[i].own.acked = published(members[i].file, "acked");
	}
}

static void read_begun(struct member *members)
{
	long long joint = published("joint", "begun");

	for (int i = 0; i < N_MEMBERS; i++) {
		members[i].joint.begun = joint;
		members[i].own.begun = published(members[i].file, "begun");
	}
}

/* The flaws that are none: it needs recovery by its application. */
static void note_refusals(
    const struct still_builder *builder, struct member *members)
{
	for (size_t i = 0; i < builder->n_damages; i++) {
		const struct still_damage *damage = &builder->damages[i];
		const char *name = strrchr(damage->object, '/');

		if (damage->what.code != STILL_ERR_AGAIN || !name)
			die(still_error_msg(&damage->what));
		for (int k = 0; k < N_MEMBERS; k++)
			if (strcmp(members[k].file, name + 1) == 0)
				members[k].refused = true;
	}
}

static void open_images(const struct shot *shot, struct member *members)
{
	struct still_error err = STILL_ERROR_INIT;

	/* The writers go on between the freeze and the reads. */
	for (int i = 0; i < N_MEMBERS; i++) {
		unsigned char *image;
		size_t len;

		if (members[i].refused)
			continue;
		image = shot_read(shot, members[i].file, &len, &err);
		if (!image)
			die(still_error_msg(&err));
		members[i].db = memdb_open(image, len);
		if (!members[i].db)
			die("cannot open an image");
	}
	if (still_engine_keep(instance, &(struct still_held){0}, &err) < 0)
		die(still_error_msg(&err));
}

static bool needs_frames(const struct still_builder *builder)
{
	size_t i;
	json_t *database;

	json_array_foreach(builder->databases, i, database)
	{
		json_t *log = json_object_get(database, "log");

		if (json_integer_value(json_object_get(log, "last_frame")) >
		    json_integer_value(
			json_object_get(log, "backfilled_frames")))
			return true;
	}
	return false;
}

static void account_for(
    const struct still_builder *builder, const struct member *members)
{
	const struct still_cut *cut = &builder->cut;
	int64_t width_ns = cut->last_ns - cut->first_ns;

	stats.n_sets++;
	stats.words = cut->words;
	if (width_ns > stats.width_max_ns)
		stats.width_max_ns = width_ns;
	if (cut->held_ns > stats.held_max_ns)
		stats.held_max_ns = cut->held_ns;
	stats.held_sum_ns += cut->held_ns;
	stats.n_frames += needs_frames(builder);
	stats.n_moved += members[0].step != stats.last_joint;
	stats.last_joint = members[0].step;
}

/* True for a whole set; false when a database was refused. */
static bool once(void)
{
	struct member members[N_MEMBERS] = {
	    {.file = "a.db"}, {.file = "b.db"}, {.file = "c.db"}};
	struct still_error err = STILL_ERROR_INIT;
	struct shot shot;
	bool whole = true;

	read_acked(members);
	if (shot_take(&shot, instance, dir, &err) < 0)
		die(still_error_msg(&err));
	read_begun(members);
	note_refusals(&shot.builder, members);
	open_images(&shot, members);
	still_engine_thaw(instance);
	for (int i = 0; i < N_MEMBERS; i++) {
		whole &= !members[i].refused;
		if (!members[i].refused)
			judge_alone(&members[i]);
	}
	judge_together(members);
	if (whole)
		account_for(&shot.builder, members);
	else
		stats.n_refused++;
	for (int i = 0; i < N_MEMBERS; i++)
		sqlite3_close(members[i].db);
	shot_thaw(&shot);
	return whole;
}

static void print_stats(void)
{
	printf("%lu freezes (%s), %lu of them moved on, %lu needed frames, %lu "
	       "more had a database refused; %lld joint transactions; width up "
	       "to %lld us, writers held off for %lld us on average, up to "
	       "%lld us\n",
	    stats.n_sets, stats.words, stats.n_moved, stats.n_frames,
	    stats.n_refused, stats.last_joint,
	    (long long) stats.width_max_ns / 1000,
	    (long long) stats.held_sum_ns / 1000 / (long long) stats.n_sets,
	    (long long) stats.held_max_ns / 1000);
}

int main(int argc, char **argv)
{
	struct still_error err = STILL_ERROR_INIT;
	unsigned long count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	int64_t moved_ns = still_sys_monotonic_ns();

	if (count == 0) {
		fprintf(stderr, "usage: cut_hammer DIR COUNT\n");
		return 2;
	}
	dir = argv[1];
	instance = shot_attach(dir, &err);
	if (!instance)
		die(still_error_msg(&err));
	while (stats.n_moved < count) {
		unsigned long before = stats.n_moved;

		if (!once())
			still_sys_sleep_ns(REFUSED_PAUSE_NS);
		if (stats.n_moved > before)
			moved_ns = still_sys_monotonic_ns();
		else if (still_sys_monotonic_ns() - moved_ns > STANDSTILL_NS)
			die("the load stands still, or is always refused");
	}
	still_engine_detach(instance);
	print_stats();
	return EXIT_SUCCESS;
}
