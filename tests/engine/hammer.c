/* SPDX-License-Identifier: MIT */
/*
 * hammer: freeze, read and judge the database of a storm (tests/lib/load) as
 * fast as it goes, below core and mount: thousands of freezes where the mount
 * makes dozens.
 *
 *	hammer DIR COUNT
 *
 * Each image is opened in memory, by SQLite: integrity_check must say ok, the
 * sum must be exact, the sequence without a gap and with all that was
 * acknowledged before the freeze. Prints how the freezes were made, so that a
 * run that never met a busy log shows.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engines/sqlite/image.h"
#include "tests/engine/shot.h"
#include "tests/engine/memdb.h"
#include "tests/lib/number.h"

static struct still_engine_instance *instance;
static const char *dir;
static unsigned long n_whole;   /* the log was in the file: promoted */
static unsigned long n_partly;  /* frames were needed */
static unsigned long n_empty;   /* no log */
static unsigned long n_retried; /* more than one try */
static unsigned long n_frames;

static void die(const char *what)
{
	fprintf(stderr, "hammer: %s\n", what);
	exit(EXIT_FAILURE);
}

static long long published(const char *name)
{
	long long n = 0;

	if (!number_read(dir, name, &n))
		die(name);
	return n;
}

/* Takes `image` over. */
static void judge(
    unsigned char *image, size_t len, long long acked, long long begun)
{
	sqlite3 *db = memdb_open(image, len);
	char *whole;
	char *sum;
	char *seq;
	long long count = -1;
	long long last = -2;

	if (!db)
		die("cannot open an image");
	whole = memdb_ask(db, "PRAGMA integrity_check");
	sum = memdb_ask(db, "SELECT sum(balance)||' '||count(*) FROM account");
	seq = memdb_ask(
	    db, "SELECT count(*)||' '||coalesce(max(n),0) FROM seq");
	sscanf(seq, "%lld %lld", &count, &last);
	if (strcmp(whole, "ok") != 0 || strcmp(sum, "100000 100") != 0 ||
	    count != last || last < acked || last > begun) {
		fprintf(stderr,
		    "hammer: a bad image: integrity %s, sum %s, sequence %s, "
		    "acknowledged %lld, begun %lld\n",
		    whole, sum, seq, acked, begun);
		exit(EXIT_FAILURE);
	}
	free(whole);
	free(sum);
	free(seq);
	sqlite3_close(db);
}

static void account_for(const struct sqlite_image *image)
{
	uint32_t last = image->pin.header.max_frame;

	n_frames += last - image->pin.backfill;
	n_retried += image->pin.tries > 1;
	if (last == 0)
		n_empty++;
	else if (image->pin.backfill == last)
		n_whole++;
	else
		n_partly++;
}

static void once(void)
{
	struct still_error err = STILL_ERROR_INIT;
	struct shot shot;
	long long acked = published("acked");
	long long begun;
	unsigned char *image;
	size_t len;

	if (shot_take(&shot, instance, dir, &err) < 0)
		die(still_error_msg(&err));
	begun = published("begun");
	if (shot.builder.n_damages)
		die(still_error_msg(&shot.builder.damages[0].what));
	/* The writers go on between the freeze and the reads. */
	image = shot_read(&shot, "app.db", &len, &err);
	if (!image ||
	    still_engine_keep(instance, &(struct still_held){0}, &err) < 0)
		die(still_error_msg(&err));
	account_for(shot_object(&shot, "app.db"));
	shot_thaw(&shot);
	judge(image, len, acked, begun);
}

int main(int argc, char **argv)
{
	struct still_error err = STILL_ERROR_INIT;
	unsigned long count;

	if (argc != 3) {
		fprintf(stderr, "usage: hammer DIR COUNT\n");
		return 2;
	}
	dir = argv[1];
	count = strtoul(argv[2], NULL, 10);
	instance = shot_attach(dir, &err);
	if (!instance)
		die(still_error_msg(&err));
	for (unsigned long i = 0; i < count; i++)
		once();
	still_engine_detach(instance);
	printf("%lu freezes: %lu with frames needed (%lu), %lu with the log "
	       "in the file, %lu without a log; %lu took more than one try\n",
	    count, n_partly, n_frames, n_whole, n_empty, n_retried);
	return EXIT_SUCCESS;
}
