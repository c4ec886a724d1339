/* SPDX-License-Identifier: MIT */
/*
 * pgchain: sessions of the PostgreSQL engine that build on each other, without
 * the core: for shell tests. A failure is printed as
 *
 *	error CODE: MESSAGE
 *	hint: HINT
 *
 * and is exit status 1; what the observer is told, as "warn EVENT: TEXT".
 *
 *	pgchain full SOURCE SPOOL SET      a full session; NOTE is SET.note
 *	pgchain plain SOURCE SPOOL SET     likewise, without incremental ones in
 *	                                   view
 *	pgchain add SOURCE SPOOL SET NOTE NUMBER
 *	                                   an incremental one, on that of NOTE
 *	pgchain apply ROOT SET             apply a link
 *	pgchain check SET                  "sound", "damaged TEXT" or "unchecked
 *	                                   TEXT"
 *	pgchain truncate SOURCE NOTE NUMBER [dry]
 *	                                   "RANGE; BYTES bytes"
 *
 * SET is a directory that is made; "-": a trial. backup_manifest is not written.
 * With HOLD in the environment "frozen" is printed before anything is read, and
 * a line is waited for.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "core/snapshot.h"
#include "core/spool.h"

extern const struct still_engine still_engine_postgres;

static struct still_error err;
static atomic_bool cancel;

static void check(int rc)
{
	if (rc == 0)
		return;
	printf("error %s: %s\n", still_error_word(rc), still_error_msg(&err));
	if (err.hint)
		printf("hint: %s\n", err.hint);
	exit(1);
}

static void need(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(2);
}

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	(void) arg;
	need(*object, "a warning without an object");
	printf("warn %s: %s\n", event, text);
}

/* ---- a session ------------------------------------------------------------ */

static struct still_engine_instance *attach(
    const char *source, bool incremental)
{
	const struct still_attach_options options = {
	    .freeze_limit_ns = 60 * STILL_NS_PER_S,
	    .stall_limit_ns = STILL_NS_PER_S,
	    .databases_max = 100,
	    .incremental = incremental,
	};
	struct still_engine_instance *instance;

	check(still_engine_attach(
	    &still_engine_postgres, source, &options, &instance, &err));
	return instance;
}

static void write_file(struct still_engine_instance *instance, int dirfd,
    const struct still_entry *entry, void *object)
{
	static char data[1 << 20];
	int fd = openat(dirfd, entry->path,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, entry->mode);

	need(fd >= 0, entry->path);
	for (uint64_t off = 0; off < entry->size_bytes;) {
		uint64_t left = entry->size_bytes - off;
		size_t n = left < sizeof(data) ? (size_t) left : sizeof(data);

		check(still_engine_read(instance, object, off, data, n, &err));
		need(still_sys_pwrite(fd, data, n, off) == 0, entry->path);
		off += n;
	}
	need(fchown(fd, entry->uid, entry->gid) == 0, entry->path);
	close(fd);
}

/* Directories stand before what is in them. */
static void write_out(struct still_engine_instance *instance,
    const struct still_snapshot *snapshot, int dirfd)
{
	for (uint32_t i = 1; i < snapshot->n; i++) {
		const struct still_entry *entry = &snapshot->entries[i];
		const struct still_source *source = &snapshot->sources[i];

		if (entry->kind == STILL_LINK)
			need(symlinkat(entry->target, dirfd, entry->path) == 0,
			    entry->path);
		else if (entry->kind == STILL_DIR)
			need(mkdirat(dirfd, entry->path, entry->mode) == 0 &&
				fchownat(dirfd, entry->path, entry->uid,
				    entry->gid, 0) == 0,
			    entry->path);
		else if (source->kind == STILL_SOURCE_ENGINE)
			write_file(instance, dirfd, entry, source->object);
	}
}

static void save(json_t *json, const char *path)
{
	need(json && json_dump_file(json, path, JSON_INDENT(2)) == 0, path);
}

static void save_all(struct still_engine_instance *instance,
    struct still_builder *builder, bool incremental, const char *set)
{
	struct still_snapshot snapshot = {0};
	char path[PATH_MAX];
	/* For who compares the moment with times of his own. */
	json_t *description = json_pack("{s:s, s:o, s:I, s:O}", "kind",
	    incremental ? "incremental" : "full", "frozen_at",
	    json_sprintf("@%lld.%09lld",
		(long long) (builder->cut.last_ns / STILL_NS_PER_S),
		(long long) (builder->cut.last_ns % STILL_NS_PER_S)),
	    "cut_width_ns",
	    (json_int_t) (builder->cut.last_ns - builder->cut.first_ns),
	    "databases", builder->databases);
	int dirfd;

	need(mkdir(set, 0755) == 0, set);
	dirfd = open(set, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(dirfd >= 0, set);
	snprintf(path, sizeof(path), "%s/backup.json", set);
	save(description, path);
	json_decref(description);
	snprintf(path, sizeof(path), "%s.note", set);
	if (builder->note)
		save(builder->note, path);
	check(still_builder_finish(
	    builder, strdup("{}"), 2, 0, 0, &snapshot, &err));
	write_out(instance, &snapshot, dirfd);
	close(dirfd);
	still_snapshot_release(&snapshot);
}

static void hold(struct still_engine_instance *instance)
{
	struct still_held held;
	char line[16];

	if (!getenv("HOLD"))
		return;
	printf("frozen\n");
	fflush(stdout);
	need(fgets(line, sizeof(line), stdin), "stdin");
	check(still_engine_keep(instance, &held, &err));
	printf("kept %" PRIu64 "\n", held.kept_bytes);
}

static int freeze(const char *source, const char *spool_path, const char *set,
    bool chain, const struct still_base *base)
{
	struct still_engine_instance *instance = attach(source, chain);
	struct still_spool_dir spool = {.path = NULL};
	struct still_builder builder;
	struct still_description d;
	struct still_freeze_request request = {
	    .base = base,
	    .incremental = base != NULL,
	    .trial = strcmp(set, "-") == 0,
	    .cancel = &cancel,
	    .observer = {.warn = warn},
	};

	check(still_spool_init(&spool, spool_path, &err));
	request.spool = still_spool_of(&spool);
	still_engine_describe(instance, &d);
	check(still_builder_init(&builder, d.dir_mode, d.uid, d.gid, &err));
	check(still_engine_freeze(instance, &request, &builder, &err));
	printf("frozen %" PRIu64 " files\n", builder.n_files);
	hold(instance);
	if (!request.trial)
		save_all(instance, &builder, base != NULL, set);
	still_builder_release(&builder);
	still_engine_thaw(instance);
	still_engine_detach(instance);
	still_spool_release(&spool);
	return 0;
}

/* NULL for a file that is not there: nothing was noted. */
static json_t *note_of(const char *path)
{
	json_error_t why;
	json_t *json = access(path, F_OK) == 0
	    ? json_load_file(path, JSON_REJECT_DUPLICATES, &why)
	    : NULL;

	need(json || errno == ENOENT, path);
	return json;
}

/* ---- sets ------------------------------------------------------------------ */

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	need(fd >= 0, path);
	return fd;
}

static int apply(const char *root, const char *set)
{
	char path[PATH_MAX];
	json_error_t why;
	struct still_apply_request request = {
	    .root_fd = open_dir(root),
	    .set_fd = open_dir(set),
	    .set = set,
	    .cancel = &cancel,
	};

	snprintf(path, sizeof(path), "%s/backup.json", set);
	request.description = json_load_file(path, 0, &why);
	need(request.description, path);
	check(still_engine_postgres.apply(&request, &err));
	json_decref((json_t *) request.description);
	close(request.root_fd);
	close(request.set_fd);
	printf("applied\n");
	return 0;
}

static void begin(void *arg, const char *path)
{
	(void) arg;
	(void) path;
}

static void sound(void *arg, const char *path)
{
	(void) arg;
	(void) path;
	printf("sound\n");
}

static void damaged(void *arg, const char *path, const char *text)
{
	(void) arg;
	(void) path;
	printf("damaged %s\n", text);
}

static void unchecked(void *arg, const char *path, const char *text)
{
	(void) arg;
	(void) path;
	printf("unchecked %s\n", text);
}

static int check_set(const char *set)
{
	static const char *const paths[] = {"data"};
	const struct still_check_request request = {
	    .set_fd = open_dir(set),
	    .paths = paths,
	    .n = 1,
	    .begin = begin,
	    .sound = sound,
	    .damaged = damaged,
	    .unchecked = unchecked,
	};

	check(still_engine_postgres.check_set(&request, &err));
	close(request.set_fd);
	return 0;
}

static int cut_off(
    const char *source, const struct still_base *base, bool dry_run)
{
	struct still_engine_instance *instance = attach(source, true);
	struct still_truncated what;

	check(still_engine_postgres.truncate(
	    instance, base, dry_run, &what, &err));
	printf("%s; %" PRIu64 " bytes\n", what.range, what.bytes);
	still_engine_detach(instance);
	return 0;
}

static bool is(char **argv, const char *word, int argc, int n)
{
	return strcmp(argv[1], word) == 0 && argc >= n;
}

int main(int argc, char **argv)
{
	struct still_base base = {.session = "s"};
	int status = 2;

	if (argc < 3)
		return 2;
	if (is(argv, "full", argc, 5) || is(argv, "plain", argc, 5))
		status = freeze(argv[2], argv[3], argv[4],
		    strcmp(argv[1], "full") == 0, NULL);
	else if (is(argv, "apply", argc, 4))
		status = apply(argv[2], argv[3]);
	else if (is(argv, "check", argc, 3))
		status = check_set(argv[2]);
	else if (is(argv, "add", argc, 7) || is(argv, "truncate", argc, 5)) {
		bool adds = strcmp(argv[1], "add") == 0;

		base.note = note_of(argv[adds ? 5 : 3]);
		base.number = strtoull(argv[adds ? 6 : 4], NULL, 10);
		status = adds ? freeze(argv[2], argv[3], argv[4], true, &base)
			      : cut_off(argv[2], &base, argc > 5);
		json_decref((json_t *) base.note);
	}
	return status;
}
