/* SPDX-License-Identifier: MIT */
/*
 * pgwal: walk the WAL in a directory, and tell of it in words that can be
 * compared with those of pg_waldump.
 *
 *	pgwal [-b] [-t N] DIR START STOP SYSTEM TIMELINE MAJOR SEGMENT-BYTES
 *
 * One line for each resource manager that occurs, then one for all, then one of
 * the covered blocks:
 *
 *	Heap RECORDS RECORD-BYTES IMAGE-BYTES
 *	total RECORDS RECORD-BYTES IMAGE-BYTES IMAGES
 *	covered BLOCKS MEMORY-BYTES
 *
 * Record bytes are without images. -b: a line for each block of each record
 * instead. -t: walk N times, and tell how fast.
 *
 * Exit status: 0, 1 for an error, whose code and message are printed.
 */
#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/postgres/covered.h"
#include "engines/postgres/wal_name.h"
#include "engines/postgres/wal_walk.h"

static const char *const managers[] = {"XLOG", "Transaction", "Storage", "CLOG",
    "Database", "Tablespace", "MultiXact", "RelMap", "Standby", "Heap2", "Heap",
    "Btree", "Hash", "Gin", "Gist", "Sequence", "SPGist", "BRIN", "CommitTs",
    "ReplicationOrigin", "Generic", "LogicalMessage"};
#define MANAGERS (sizeof(managers) / sizeof(*managers))

static const char *const forks[] = {"main", "fsm", "vm", "init"};

struct tally {
	uint64_t n_records;
	uint64_t record_bytes;
	uint64_t image_bytes;
};

struct task {
	const char *dir;
	struct still_pg_wal_walk walk;
	struct still_pg_covered *covered;
	struct tally tallies[256];
	bool print_blocks;
	int fd; /* of `segment`, or -1 */
	uint64_t segment;
};

static int open_segment(
    struct task *task, uint64_t segment, struct still_error *err)
{
	struct still_pg_wal_segment which = {
	    task->walk.format.timeline, segment};
	char name[STILL_PG_WAL_NAME_CHARS + 1];
	char path[4096];

	if (task->fd >= 0)
		close(task->fd);
	still_pg_wal_name(&which, task->walk.format.segment_bytes, name);
	snprintf(path, sizeof(path), "%s/%s", task->dir, name);
	task->segment = segment;
	task->fd = open(path, O_RDONLY | O_CLOEXEC);
	return task->fd < 0
	    ? still_error_set(err, STILL_ERR_NOTFOUND, 0, NULL, "`%s`", path)
	    : 0;
}

static ssize_t read_segment(void *arg, uint64_t segment, uint32_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	struct task *task = arg;
	ssize_t n;

	if (task->fd < 0 || task->segment != segment) {
		int rc = open_segment(task, segment, err);

		if (rc < 0)
			return rc;
	}
	n = still_sys_pread(task->fd, data, len, off_bytes);
	return n < 0 ? still_error_sys(err, (int) -n, NULL, "`%s`", task->dir)
		     : n;
}

static void print_block(const struct still_pg_wal_record *record,
    const struct still_pg_wal_block *b)
{
	printf(STILL_PG_LSN " rel %" PRIu32 "/%" PRIu32 "/%" PRIu32
			    " fork %s blk %" PRIu32 "%s%s\n",
	    STILL_PG_LSN_ARGS(record->lsn), b->where.tablespace,
	    b->where.database, b->where.relation,
	    b->where.fork < 4 ? forks[b->where.fork] : "?", b->block,
	    b->image_bytes ? " FPW" : "", b->replaced ? " replaced" : "");
}

static int each(void *arg, const struct still_pg_wal_record *record,
    struct still_error *err)
{
	struct task *task = arg;
	struct tally *tally = &task->tallies[record->rmgr];

	tally->n_records++;
	tally->record_bytes += record->total_bytes;
	for (uint32_t i = 0; i < record->n_blocks; i++) {
		const struct still_pg_wal_block *b = &record->blocks[i];

		tally->record_bytes -= b->image_bytes;
		tally->image_bytes += b->image_bytes;
		if (task->print_blocks)
			print_block(record, b);
	}
	return still_pg_covered_record(task->covered, record, err);
}

static void print_tallies(
    const struct task *task, const struct still_pg_wal_totals *totals)
{
	for (unsigned i = 0; i < 256; i++) {
		const struct tally *tally = &task->tallies[i];

		if (tally->n_records)
			printf("%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			    i < MANAGERS ? managers[i] : "?", tally->n_records,
			    tally->record_bytes, tally->image_bytes);
	}
	printf("total %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
	    totals->n_records, totals->record_bytes - totals->image_bytes,
	    totals->image_bytes, totals->n_images);
	printf("covered %" PRIu64 " %zu\n",
	    still_pg_covered_count(task->covered),
	    still_pg_covered_bytes(task->covered));
}

/* Walk once, into a set of covered blocks that is new. */
static int walk_once(struct task *task, struct still_pg_wal_totals *totals,
    struct still_error *err)
{
	memset(task->tallies, 0, sizeof(task->tallies));
	still_pg_covered_free(task->covered);
	task->covered = still_pg_covered_new();
	if (!task->covered)
		return still_error_nomem(err);
	return still_pg_wal_walk(&task->walk, totals, err);
}

static int run(struct task *task, unsigned long times)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_pg_wal_totals totals;
	int64_t begun = still_sys_monotonic_ns();
	int rc = 0;

	for (unsigned long i = 0; rc == 0 && (i == 0 || i < times); i++)
		rc = walk_once(task, &totals, &err);
	if (rc < 0)
		printf("%s: %s\n", still_error_word(rc), still_error_msg(&err));
	else if (times)
		printf("%.2f GB/s\n",
		    (double) (task->walk.stop_lsn - task->walk.start_lsn) *
			(double) times /
			(double) (still_sys_monotonic_ns() - begun));
	if (rc == 0 && !task->print_blocks)
		print_tallies(task, &totals);
	still_error_clear(&err);
	still_pg_covered_free(task->covered);
	if (task->fd >= 0)
		close(task->fd);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static bool parse(struct task *task, char **argv)
{
	static const uint16_t magics[] = {
	    0xd106, 0xd10d, 0xd110, 0xd113, 0xd116};
	struct still_pg_wal_format *format = &task->walk.format;

	task->dir = argv[0];
	format->system_identifier = strtoull(argv[3], NULL, 10);
	format->timeline = (uint32_t) strtoul(argv[4], NULL, 10);
	format->major = (unsigned) strtoul(argv[5], NULL, 10);
	if (format->major < 13 || format->major > 17)
		return false;
	format->page_magic = magics[format->major - 13];
	format->segment_bytes = (uint32_t) strtoul(argv[6], NULL, 10);
	format->page_bytes = 8192;
	format->block_bytes = 8192;
	return still_pg_lsn_parse(argv[1], &task->walk.start_lsn) &&
	    still_pg_lsn_parse(argv[2], &task->walk.stop_lsn);
}

int main(int argc, char **argv)
{
	struct task task = {.fd = -1};
	unsigned long times = 0;
	int c;

	task.walk.read = read_segment;
	task.walk.read_arg = &task;
	task.walk.each = each;
	task.walk.each_arg = &task;
	while ((c = getopt(argc, argv, "bt:")) != -1) {
		if (c == 'b')
			task.print_blocks = true;
		else if (c == 't')
			times = strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (argc - optind != 7 || !parse(&task, argv + optind)) {
		fprintf(stderr,
		    "usage: pgwal [-b] [-t N] DIR START STOP "
		    "SYSTEM TIMELINE MAJOR SEGMENT-BYTES\n");
		return 2;
	}
	return run(&task, times);
}
