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

#include <assert.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "core/snapshot.h"
#include "core/spool.h"
#include "engines/engine.h"
#include "engines/sqlite/image.h"

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

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	(void) arg;
	fprintf(stderr, "hammer: %s %s: %s\n", event, object, text);
}

static long long published(const char *name)
{
	char path[4096];
	char text[24] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		die(path);
	close(fd);
	return strtoll(text, NULL, 10);
}

/* One row of one column, as text; the caller frees it. */
static char *ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;
	char *answer = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return strdup(sqlite3_errmsg(db));
	if (sqlite3_step(stmt) == SQLITE_ROW)
		answer = strdup((const char *) sqlite3_column_text(stmt, 0));
	else
		answer = strdup(sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
	return answer;
}

/* Takes `image` over. */
static void judge(
    unsigned char *image, size_t len, long long acked, long long begun)
{
	sqlite3 *db;
	char *whole;
	char *sum;
	char *seq;
	long long count = -1;
	long long last = -2;

	/* A database in memory has no log; the image itself is not touched. */
	image[18] = image[19] = 1;
	if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
	    sqlite3_deserialize(db, "main", image, (sqlite3_int64) len,
		(sqlite3_int64) len,
		SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_READONLY) !=
		SQLITE_OK)
		die("cannot open an image");
	whole = ask(db, "PRAGMA integrity_check");
	sum = ask(db, "SELECT sum(balance)||' '||count(*) FROM account");
	seq = ask(db, "SELECT count(*)||' '||coalesce(max(n),0) FROM seq");
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
	atomic_bool cancel = false;
	struct still_spool_dir spool = {.path = (char *) dir};
	struct still_freeze_request request = {.cancel = &cancel,
	    .observer = {warn, NULL},
	    .spool = {still_spool_open, &spool}};
	struct still_error err = STILL_ERROR_INIT;
	struct still_builder builder;
	struct still_snapshot snapshot;
	long long acked = published("acked");
	long long begun;
	unsigned char *data;
	uint64_t len;
	uint32_t file;

	if (still_builder_init(&builder, 0755, 0, 0, &err) < 0 ||
	    still_engine_freeze(instance, &request, &builder, &err) < 0)
		die(still_error_msg(&err));
	begun = published("begun");
	if (builder.n_damages)
		die(still_error_msg(&builder.damages[0].what));
	if (still_builder_finish(
		&builder, strdup("{}"), 2, 0, 0, &snapshot, &err) < 0)
		die(still_error_msg(&err));
	still_builder_release(&builder);
	file = still_snapshot_find(
	    &snapshot, still_snapshot_find(&snapshot, 0, "data"), "app.db");
	if (!file)
		die("no database in the snapshot");
	len = snapshot.entries[file].size_bytes;
	data = sqlite3_malloc64(len);
	/* The writers go on between the freeze and the reads. */
	for (uint64_t off = 0; off < len; off += 65536) {
		size_t n = len - off < 65536 ? (size_t) (len - off) : 65536;

		if (still_engine_read(instance, snapshot.sources[file].object,
			off, data + off, n, &err) < 0)
			die(still_error_msg(&err));
	}
	if (still_engine_keep(instance, &err) < 0)
		die(still_error_msg(&err));
	account_for(snapshot.sources[file].object);
	still_engine_thaw(instance);
	still_snapshot_release(&snapshot);
	judge(data, (size_t) len, acked, begun);
}

int main(int argc, char **argv)
{
	struct still_attach_options options = {
	    .freeze_limit_ns = 20 * STILL_NS_PER_S,
	    .stall_limit_ns = 10 * STILL_NS_PER_S,
	    .databases_max = 100};
	struct still_error err = STILL_ERROR_INIT;
	unsigned long count;

	if (argc != 3) {
		fprintf(stderr, "usage: hammer DIR COUNT\n");
		return 2;
	}
	dir = argv[1];
	count = strtoul(argv[2], NULL, 10);
	if (still_engine_attach(still_engine_find("sqlite", dir), dir, &options,
		&instance, &err) < 0)
		die(still_error_msg(&err));
	for (unsigned long i = 0; i < count; i++)
		once();
	still_engine_detach(instance);
	printf("%lu freezes: %lu with frames needed (%lu), %lu with the log "
	       "in the file, %lu without a log; %lu took more than one try\n",
	    count, n_partly, n_frames, n_whole, n_empty, n_retried);
	return EXIT_SUCCESS;
}
