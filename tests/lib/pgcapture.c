/* SPDX-License-Identifier: MIT */
/*
 * pgcapture: list and capture a cluster's files, as the engine does.
 *
 *	pgcapture list DATA VERSION-DIR [OID=LOCATION...]
 *		a line for each: "d PATH", "f PATH" or "r PATH" (a relation)
 *	pgcapture foresee WAY SPOOL DATA VERSION-DIR [OID=LOCATION...]
 *		whether it could be captured; segments of the WAL have 16 MiB
 *	pgcapture WAY SPOOL OUT DATA VERSION-DIR [OID=LOCATION...]
 *		WAY is auto, clone or copy. Says how it went; then, for OUT "-",
 *		waits for the end of its input; else writes all to the directory
 *		OUT.
 *
 * Exit status 2 and the message where it fails.
 */
#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "core/spool.h"
#include "engines/postgres/capture.h"
#include "engines/postgres/prospect.h"

static struct still_error err;

static void check(int rc)
{
	if (rc == 0)
		return;
	printf("error %s: %s\n", still_error_word(rc), still_error_msg(&err));
	if (err.hint)
		printf("hint %s\n", err.hint);
	exit(2);
}

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	(void) arg;
	fprintf(stderr, "%s %s: %s\n", event, object, text);
}

static struct still_pg_walk_request walk_request(char **argv)
{
	static struct still_pg_tablespace spaces[16];
	struct still_pg_walk_request request = {
	    .data_dir = argv[0],
	    .version_dir = argv[1],
	    .tablespaces = spaces,
	    .observer = {.warn = warn, .arg = NULL},
	};

	for (argv += 2; *argv && request.n_tablespaces < 16; argv++) {
		struct still_pg_tablespace *space =
		    &spaces[request.n_tablespaces++];
		char *end;

		space->oid = (uint32_t) strtoul(*argv, &end, 10);
		space->location = *end == '=' ? end + 1 : "";
	}
	return request;
}

static void walk(char **argv, struct still_pg_walk *ret)
{
	const struct still_pg_walk_request request = walk_request(argv);

	check(still_pg_walk_run(&request, ret, &err));
}

static int list(char **argv)
{
	struct still_pg_walk walked = STILL_PG_WALK_INIT;

	walk(argv, &walked);
	for (size_t i = 0; i < walked.list.n; i++) {
		const struct still_pg_entry *entry = &walked.list.entries[i];

		printf("%c %s\n",
		    S_ISDIR(entry->st.st_mode)             ? 'd'
			: entry->rule == STILL_PG_RELATION ? 'r'
							   : 'f',
		    entry->path);
	}
	printf("f %s\n", walked.control.path);
	still_pg_walk_release(&walked);
	return 0;
}

static void write_file(const struct still_pg_captured *file, const char *out)
{
	static char data[1 << 20];
	uint64_t size = file->extent.size_bytes;
	char *path;
	int fd;

	if (asprintf(&path, "%s/%s", out, file->entry->path) < 0)
		exit(1);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		perror(path);
		exit(1);
	}
	for (uint64_t off = 0; off < size;) {
		size_t n = size - off < sizeof(data) ? (size_t) (size - off)
						     : sizeof(data);

		check(still_pg_captured_read(file, off, data, n, &err));
		if (still_sys_pwrite(fd, data, n, off) < 0)
			exit(1);
		off += n;
	}
	close(fd);
	free(path);
}

/* All of it; directories stand before what is in them. */
static void write_out(const struct still_pg_walk *walked,
    const struct still_pg_captures *files, const char *out)
{
	for (size_t i = 0; i < walked->list.n; i++) {
		const struct still_pg_entry *entry = &walked->list.entries[i];
		char *path;

		if (!S_ISDIR(entry->st.st_mode))
			continue;
		if (asprintf(&path, "%s/%s", out, entry->path) < 0 ||
		    mkdir(path, 0700) != 0)
			exit(1);
		free(path);
	}
	for (size_t i = 0; i < files->n; i++)
		write_file(&files->files[i], out);
}

static enum still_pg_way way_of(const char *word)
{
	return strcmp(word, "clone") == 0 ? STILL_PG_WAY_CLONE
	    : strcmp(word, "copy") == 0   ? STILL_PG_WAY_COPY
					  : STILL_PG_WAY_AUTO;
}

static int capture(char **argv)
{
	struct still_pg_walk walked = STILL_PG_WALK_INIT;
	struct still_spool_dir spool;
	struct still_pg_capture *made;
	struct still_pg_captures files;
	const char *reason;
	int64_t start_ns;
	int64_t walked_ns;
	struct still_pg_capture_request request = {
	    .walk = &walked, .way = way_of(argv[0])};

	check(still_spool_init(&spool, argv[1], &err));
	request.spool = still_spool_of(&spool);
	start_ns = still_sys_monotonic_ns();
	walk(argv + 3, &walked);
	walked_ns = still_sys_monotonic_ns();
	check(still_pg_capture_new(&request, &made, &err));
	check(still_pg_capture_run(made, &walked.list, false, &files, &err));
	printf("%s of %zu files, %" PRIu64 " bytes, %" PRIu64
	       " copied; walk %" PRId64 " ms, capture %" PRId64 " ms\n",
	    still_pg_capture_way(made, &reason), files.n, files.bytes,
	    still_pg_capture_copied_bytes(made),
	    (walked_ns - start_ns) / 1000000,
	    (still_sys_monotonic_ns() - walked_ns) / 1000000);
	if (reason)
		printf("reason %s\n", reason);
	fflush(stdout);
	if (strcmp(argv[2], "-") == 0)
		while (getchar() != EOF)
			;
	else
		write_out(&walked, &files, argv[2]);
	still_pg_captures_release(&files);
	still_pg_capture_free(made);
	still_pg_walk_release(&walked);
	still_spool_release(&spool);
	return 0;
}

static int foresee(char **argv)
{
	const struct still_pg_walk_request request = walk_request(argv + 2);
	struct still_pg_capture_request how = {.way = way_of(argv[0])};
	struct still_spool_dir spool;

	check(still_spool_init(&spool, argv[1], &err));
	how.spool = still_spool_of(&spool);
	check(still_pg_prospect(&request, &how, 16 << 20, &err));
	puts("it can be had");
	still_spool_release(&spool);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 6 && strcmp(argv[1], "foresee") == 0)
		return foresee(argv + 2);
	if (argc >= 4 && strcmp(argv[1], "list") == 0)
		return list(argv + 2);
	if (argc >= 6)
		return capture(argv + 1);
	fprintf(stderr, "usage: see the head of the source\n");
	return 1;
}
