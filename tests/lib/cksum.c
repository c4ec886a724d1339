/* SPDX-License-Identifier: MIT */
/*
 * cksum: an application of SQLite's checksum VFS, for tests.
 *
 *	cksum [-w] DB SQL...    run statements
 *	cksum [-w] -i DB        run those on stdin, and stay until it ends or
 *	                        says .quit
 *	cksum -c FILE           which pages of a file are bad, one per line
 *
 * A new database reserves 8 bytes per page. Another one does after VACUUM.
 *
 * The format, as in SQLite's ext/misc/cksumvfs.c and
 * https://www.sqlite.org/cksumvfs.html:
 *
 * - A database is summed if byte 20 of its header, the reserved bytes per page,
 *   is 8. A page then ends in the sum over all of it but these 8 bytes, page 1
 *   with its header like any other. The sum is that of the log, s0 += w0 + s1
 *   and s1 += w1 + s0 over pairs of words, from 0 and 0, but words and sum are
 *   always little-endian. So a page of zeros is valid, and with it the page of
 *   the lock bytes, which nobody writes, and every hole.
 * - Byte 20 is looked at when the first 100 bytes or more at offset 0 are read
 *   or written. A write of 512 bytes or more is then summed, in the caller's
 *   buffer, which is the page in SQLite's cache. A read of such a size that is
 *   a power of two is verified, and fails as SQLITE_IOERR_DATA.
 * - A page that was written while byte 20 was 8 but without the VFS ends in
 *   what was there before, and is bad.
 * - There are two generations. Up to SQLite 3.45 (here: -w) the log is summed
 *   too, and a checkpoint copies its pages as they are. SQLite computes the
 *   checksum of a frame before that write, so it covers the sum of what the
 *   page held before: frames on disk do not match their own checksums, and a
 *   recovery would throw them away. Since the spring of 2024 the log is left
 *   alone: frames match, their pages end in old sums, and the checkpoint's
 *   write into the file makes the new ones.
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESERVED 8
#define PAGE_SIZE_MIN 512
#define PAGE_SIZE_MAX 65536

/* Behind the file of the VFS below, whose methods it has but for three. */
struct state {
	sqlite3_io_methods methods;
	const sqlite3_io_methods *below;
	struct state *main; /* the database's, of its log */
	bool summed;
	bool checkpointing;
};

static sqlite3_vfs vfs;
static sqlite3_vfs *below;
static bool sums_log;

static struct state *state_of(sqlite3_file *file)
{
	return (void *) ((char *) file + below->szOsFile);
}

static uint32_t le4(const uint8_t *p)
{
	return (uint32_t) p[3] << 24 | (uint32_t) p[2] << 16 |
	    (uint32_t) p[1] << 8 | p[0];
}

/* LEN is a multiple of 8. */
static void sum(const uint8_t *data, size_t len, uint8_t ret[RESERVED])
{
	uint32_t s[2] = {0, 0};

	for (size_t i = 0; i < len; i += 8) {
		s[0] += le4(data + i) + s[1];
		s[1] += le4(data + i + 4) + s[0];
	}
	for (size_t i = 0; i < RESERVED; i++)
		ret[i] = (uint8_t) (s[i / 4] >> i % 4 * 8);
}

static bool valid(const uint8_t *page, size_t len)
{
	uint8_t want[RESERVED];

	sum(page, len - RESERVED, want);
	return memcmp(page + len - RESERVED, want, RESERVED) == 0;
}

static void look_at_header(
    struct state *state, const uint8_t *data, int len, sqlite3_int64 off)
{
	if (off == 0 && len >= 100 && memcmp(data, "SQLite format 3", 16) == 0)
		state->summed = data[20] == RESERVED;
}

static int file_read(sqlite3_file *file, void *data, int len, sqlite3_int64 off)
{
	struct state *state = state_of(file);
	int rc = state->below->xRead(file, data, len, off);

	if (rc != SQLITE_OK || state != state->main)
		return rc;
	look_at_header(state, data, len, off);
	if (state->summed && len >= PAGE_SIZE_MIN && (len & (len - 1)) == 0 &&
	    !valid(data, (size_t) len))
		return SQLITE_IOERR_DATA;
	return SQLITE_OK;
}

static int file_write(
    sqlite3_file *file, const void *data, int len, sqlite3_int64 off)
{
	struct state *state = state_of(file);
	union {
		const void *given;
		uint8_t *page;
	} in = {.given = data};

	if (state == state->main)
		look_at_header(state, data, len, off);
	/* Of what the log has summed, the checkpoint makes no new sum. */
	if (state->main->summed && len >= PAGE_SIZE_MIN &&
	    !(sums_log && state->main->checkpointing))
		sum(in.page, (size_t) len - RESERVED, in.page + len - RESERVED);
	return state->below->xWrite(file, data, len, off);
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
	struct state *state = state_of(file);

	if (op == SQLITE_FCNTL_CKPT_START || op == SQLITE_FCNTL_CKPT_DONE)
		state->checkpointing = op == SQLITE_FCNTL_CKPT_START;
	return state->below->xFileControl(file, op, arg);
}

/* Pages are never mapped: they could not be verified. */
static int file_fetch(
    sqlite3_file *file, sqlite3_int64 off, int len, void **ret_page)
{
	(void) file;
	(void) off;
	(void) len;
	*ret_page = NULL;
	return SQLITE_OK;
}

static int vfs_open(sqlite3_vfs *self, const char *name, sqlite3_file *file,
    int flags, int *ret_flags)
{
	struct state *state = state_of(file);
	int rc = below->xOpen(below, name, file, flags, ret_flags);
	bool log = (flags & SQLITE_OPEN_WAL) != 0;

	(void) self;
	if (rc != SQLITE_OK || !file->pMethods)
		return rc;
	if (!(flags & SQLITE_OPEN_MAIN_DB) && !(log && sums_log))
		return rc;
	memset(state, 0, sizeof(*state));
	state->main = log ? state_of(sqlite3_database_file_object(name))
			  : state;
	state->below = file->pMethods;
	state->methods = *file->pMethods;
	state->methods.xRead = file_read;
	state->methods.xWrite = file_write;
	if (!log) {
		state->methods.xFileControl = file_control;
		state->methods.xFetch = file_fetch;
	}
	file->pMethods = &state->methods;
	return SQLITE_OK;
}

static void register_vfs(void)
{
	below = sqlite3_vfs_find(NULL);
	vfs = *below;
	vfs.zName = "cksum";
	vfs.xOpen = vfs_open;
	vfs.szOsFile = below->szOsFile + (int) sizeof(struct state);
	if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
		abort();
}

static sqlite3 *open_db(const char *path)
{
	sqlite3 *db;
	int reserved = RESERVED;

	register_vfs();
	if (sqlite3_open_v2(path, &db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
		vfs.zName) != SQLITE_OK ||
	    sqlite3_file_control(
		db, NULL, SQLITE_FCNTL_RESERVE_BYTES, &reserved) != SQLITE_OK) {
		fprintf(stderr, "cksum: %s: %s\n", path, sqlite3_errmsg(db));
		exit(EXIT_FAILURE);
	}
	sqlite3_busy_timeout(db, 10000);
	return db;
}

static int print_row(void *arg, int n, char **values, char **names)
{
	(void) arg;
	(void) names;
	for (int i = 0; i < n; i++)
		printf("%s%s", i ? "|" : "", values[i] ? values[i] : "");
	putchar('\n');
	return 0;
}

static bool run(sqlite3 *db, const char *sql)
{
	int rc = sqlite3_exec(db, sql, print_row, NULL, NULL);

	if (rc != SQLITE_OK)
		fprintf(stderr, "cksum: %s (%d)\n", sqlite3_errmsg(db),
		    sqlite3_extended_errcode(db));
	fflush(stdout);
	return rc == SQLITE_OK;
}

/* Statement by statement, as they become complete. */
static int interactive(sqlite3 *db)
{
	static char sql[1 << 20];
	size_t len = 0;
	bool ok = true;

	while (fgets(sql + len, (int) (sizeof(sql) - len), stdin)) {
		if (len == 0 && strcmp(sql, ".quit\n") == 0)
			break;
		len += strlen(sql + len);
		if (!sqlite3_complete(sql))
			continue;
		ok = run(db, sql) && ok;
		len = 0;
	}
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int check(const char *path)
{
	static uint8_t page[PAGE_SIZE_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t page_size;

	if (fd < 0 || pread(fd, page, 100, 0) != 100) {
		perror(path);
		return EXIT_FAILURE;
	}
	page_size = (size_t) (page[16] << 8 | page[17]);
	if (page_size == 1)
		page_size = PAGE_SIZE_MAX;
	if (page[20] != RESERVED || page_size < PAGE_SIZE_MIN) {
		fprintf(stderr, "cksum: %s: has no sums\n", path);
		return EXIT_FAILURE;
	}
	for (off_t i = 0;; i++) {
		ssize_t n = pread(fd, page, page_size, i * (off_t) page_size);

		if (n == 0)
			break;
		if (n < 0 || (size_t) n != page_size || !valid(page, page_size))
			printf("%lld\n", (long long) i + 1);
		if (n < 0)
			return EXIT_FAILURE;
	}
	close(fd);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	bool stay = false;
	int status = EXIT_SUCCESS;
	int opt;
	sqlite3 *db;

	while ((opt = getopt(argc, argv, "c:iw")) != -1) {
		if (opt == 'c')
			return check(optarg);
		if (opt == '?')
			return 2;
		stay |= opt == 'i';
		sums_log |= opt == 'w';
	}
	argv += optind;
	if (!argv[0] || stay != !argv[1]) {
		fprintf(stderr,
		    "usage: cksum [-w] DB SQL... | [-w] -i DB | -c FILE\n");
		return 2;
	}
	db = open_db(*argv);
	if (stay)
		status = interactive(db);
	while (*++argv)
		if (!run(db, *argv))
			status = EXIT_FAILURE;
	if (sqlite3_close(db) != SQLITE_OK)
		status = EXIT_FAILURE;
	return status;
}
