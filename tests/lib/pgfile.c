/* SPDX-License-Identifier: MIT */
/*
 * pgfile: what src/engines/postgres makes of the files of a real cluster, for
 * shell tests.
 *
 *	pgfile control FILE         the fields, NAME VALUE
 *	pgfile protect FILE         in place
 *	pgfile label FILE           the fields
 *	pgfile pages FILE BLOCK     how many pages are OK, ZERO, BAD_CHECKSUM,
 *	                            BAD_HEADER; the greatest LSN. BLOCK is the
 *	                            number of the file's first
 *	pgfile manifest DIR VERSION SYSID TIMELINE START END
 *	                            the manifest of DIR; the files on standard
 *	                            input: MTIME, a space, the path's bytes, NUL
 *
 * LSNs are decimal numbers. What fails is said on standard error; exit 1.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "engines/postgres/control.h"
#include "engines/postgres/label.h"
#include "engines/postgres/manifest.h"
#include "engines/postgres/page.h"

#define FILE_MAX_BYTES ((size_t) 1 << 30)

__attribute__((noreturn)) static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static int judged(int rc, struct still_error *err)
{
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", still_error_word(rc),
		    still_error_msg(err));
	still_error_clear(err);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Aligned for pages. */
static char *slurp(const char *path, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	char *data;

	if (size < 0 || (size_t) size > FILE_MAX_BYTES)
		die(path);
	data = malloc((size_t) size + 1);
	if (!data || pread(fd, data, (size_t) size, 0) != size)
		die(path);
	close(fd);
	*ret_len = (size_t) size;
	return data;
}

static int control(char **args)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_pg_control c;
	size_t len;
	char *data = slurp(args[0], &len);
	int rc = still_pg_control_parse(data, len, &c, &err);

	free(data);
	if (rc < 0)
		return judged(rc, &err);
	printf("system_identifier %" PRIu64 "\nversion %" PRIu32
	       "\ncatalog_version %" PRIu32 "\nstate %d\ncheck_point %" PRIu64
	       "\nredo %" PRIu64 "\ntimeline %" PRIu32 "\n",
	    c.system_identifier, c.version, c.catalog_version, (int) c.state,
	    c.check_point_lsn, c.redo_lsn, c.timeline);
	printf("min_recovery %" PRIu64 "\nmin_recovery_timeline %" PRIu32
	       "\nblock_bytes %" PRIu32 "\nsegment_blocks %" PRIu32
	       "\nwal_block_bytes %" PRIu32 "\nwal_segment_bytes %" PRIu32
	       "\ndata_checksum_version %" PRIu32 "\n",
	    c.min_recovery_lsn, c.min_recovery_timeline, c.block_bytes,
	    c.segment_blocks, c.wal_block_bytes, c.wal_segment_bytes,
	    c.data_checksum_version);
	return EXIT_SUCCESS;
}

static int protect(char **args)
{
	struct still_error err = STILL_ERROR_INIT;
	size_t len;
	char *data = slurp(args[0], &len);
	int rc = still_pg_control_protect(data, len, &err);
	int fd;

	if (rc < 0) {
		free(data);
		return judged(rc, &err);
	}
	fd = open(args[0], O_WRONLY | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, data, len, 0) != (ssize_t) len || close(fd))
		die(args[0]);
	free(data);
	return EXIT_SUCCESS;
}

static int label(char **args)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_pg_label l;
	size_t len;
	char *data = slurp(args[0], &len);
	int rc = still_pg_label_parse(data, len, &l, &err);

	free(data);
	if (rc < 0)
		return judged(rc, &err);
	printf("start %" PRIu64 "\nsegment %s\ncheck_point %" PRIu64
	       "\ntimeline %" PRIu32 "\nstreamed %d\nstandby %d\n",
	    l.start_lsn, l.start_segment, l.check_point_lsn, l.timeline,
	    l.streamed, l.from_standby);
	return EXIT_SUCCESS;
}

static int pages(char **args)
{
	uint32_t block = (uint32_t) strtoul(args[1], NULL, 10);
	unsigned counts[4] = {0};
	uint64_t lsn, last = 0;
	size_t len;
	char *data = slurp(args[0], &len);

	for (size_t at = 0; at + STILL_PG_PAGE_BYTES <= len;
	     at += STILL_PG_PAGE_BYTES, block++) {
		counts[still_pg_page_look(data + at, block, true, &lsn)]++;
		if (lsn > last)
			last = lsn;
	}
	free(data);
	printf("%u %u %u %u %" PRIu64 "\n", counts[STILL_PG_PAGE_OK],
	    counts[STILL_PG_PAGE_ZERO], counts[STILL_PG_PAGE_BAD_CHECKSUM],
	    counts[STILL_PG_PAGE_BAD_HEADER], last);
	return len % STILL_PG_PAGE_BYTES == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int print(
    void *arg, const char *text, size_t len, struct still_error *err)
{
	(void) arg;
	if (fwrite(text, 1, len, stdout) != len)
		return still_error_sys(err, EIO, NULL, "standard output");
	return 0;
}

static int add_file(struct still_pg_manifest *manifest, const char *dir,
    char *line, bool real, struct still_error *err)
{
	struct still_pg_manifest_file file = {0};
	char *full, *data;
	size_t len;

	file.mtime_s = strtoll(line, &line, 10);
	file.path = line + 1;
	if (*line != ' ' || asprintf(&full, "%s/%s", dir, file.path) < 0)
		die("a line of the list");
	data = slurp(full, &len);
	file.size_bytes = len;
	/* When only the size is asked for, there is no CRC yet. */
	if (real)
		file.crc32c = still_crc32c_end(
		    still_crc32c(STILL_CRC32C_INIT, data, len));
	free(data);
	free(full);
	return still_pg_manifest_file(manifest, &file, err);
}

/* One pass over the list; `real` writes. */
static int pass(const struct still_pg_manifest_head *head, const char *dir,
    const char *list, size_t len, bool real, uint64_t *ret_size,
    struct still_error *err)
{
	struct still_pg_manifest *manifest = NULL;
	int rc = still_pg_manifest_new(
	    head, real ? print : NULL, NULL, &manifest, err);

	for (size_t at = 0; rc == 0 && at < len; at += strlen(list + at) + 1) {
		char *line = strdup(list + at);

		rc = add_file(manifest, dir, line, real, err);
		free(line);
	}
	if (rc == 0)
		rc = still_pg_manifest_end(manifest, err);
	if (rc == 0)
		*ret_size = still_pg_manifest_size(manifest);
	still_pg_manifest_free(manifest);
	return rc;
}

static int manifest(char **args)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_pg_manifest_head head = {
	    .version = atoi(args[1]),
	    .system_identifier = strtoull(args[2], NULL, 10),
	    .timeline = (uint32_t) strtoul(args[3], NULL, 10),
	    .start_lsn = strtoull(args[4], NULL, 10),
	    .end_lsn = strtoull(args[5], NULL, 10),
	};
	uint64_t before = 0, after = 0;
	char *list = NULL;
	size_t capacity = 0, len = 0;
	int rc;

	while (!feof(stdin)) {
		if (len + 65536 > capacity) {
			capacity = 2 * capacity + 65536;
			list = realloc(list, capacity);
			if (!list)
				die("the list");
		}
		len += fread(list + len, 1, 65535, stdin);
	}
	list[len] = '\0';
	rc = pass(&head, args[0], list, len, false, &before, &err);
	if (rc == 0)
		rc = pass(&head, args[0], list, len, true, &after, &err);
	if (rc == 0 && before != after) {
		fprintf(stderr, "size %" PRIu64 " was %" PRIu64 " before\n",
		    after, before);
		rc = STILL_ERR_FAILED;
	}
	free(list);
	return judged(rc, &err);
}

static const struct {
	const char *name;
	int n_args;
	int (*run)(char **args);
} verbs[] = {
    {"control", 1, control},
    {"protect", 1, protect},
    {"label", 1, label},
    {"pages", 2, pages},
    {"manifest", 6, manifest},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (argc == verbs[i].n_args + 2 &&
		    strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argv + 2);
	fprintf(stderr, "usage: at the head of %s\n", __FILE__);
	return 2;
}
