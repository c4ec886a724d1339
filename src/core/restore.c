/* SPDX-License-Identifier: MIT */
/*
 * restore: a set, or one database of it, becomes what an application opens.
 *
 *  1. The set is opened and compared with its list and its description. Nothing
 *     is taken from one with a flaw. For one database only the flaws count that
 *     are its own, or the list's, or the description's: from a set that is
 *     damaged, what is whole can still be had.
 *  2. The place is looked at (vacancy.h), and a stage is made (place.h).
 *  3. Into the stage go the files below data/, each digested and compared while
 *     it is copied (transfer.h), then their directories.
 *  4. All that is durable. Then it gets its name.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/path.h"
#include "base/sys.h"
#include "core/attributes.h"
#include "core/place.h"
#include "core/set.h"
#include "core/transfer.h"
#include "core/vacancy.h"

#define DATA "data/"
#define NAMES_MAX 10

struct restore {
	const struct still_restore_options *options;
	struct still_set set;
	char *given;    /* owned; the directory that was named, resolved */
	char *database; /* owned; path of the one in the set; NULL: all */
	struct still_place place;
	struct still_ticker ticker;

	struct still_transfer_file *files; /* owned */
	size_t n_files;
	uint64_t bytes;
	char **dirs; /* owned; made in the stage, each behind its parent */
	size_t n_dirs;

	struct still_error flaw; /* the first that counts */
	uint64_t n_flaws;        /* that do */
};

/* ---- the set ------------------------------------------------------------- */

/* Is `path` that of the database, or of a log or journal beside it? */
static bool is_of(const char *path, const char *database)
{
	size_t len = strlen(database);

	return strncmp(path, database, len) == 0 &&
	    (!path[len] ||
		(path[len] == '-' && still_vacancy_is_log(path + len)));
}

static bool counts(const struct restore *restore, const char *path)
{
	const char *name = restore->options->database;

	return !name || !path || strncmp(path, DATA, strlen(DATA)) != 0 ||
	    is_of(path, name) || is_of(path + strlen(DATA), name);
}

static void note_flaw(
    void *arg, const char *path, const struct still_error *what)
{
	struct restore *restore = arg;

	if (!counts(restore, path))
		return;
	if (restore->n_flaws++ == 0)
		still_error_copy(&restore->flaw, what);
}

static int check_flaws(struct restore *restore, struct still_error *err)
{
	const struct still_error *flaw = &restore->flaw;
	char more[48] = "";

	if (restore->n_flaws == 0)
		return 0;
	if (restore->n_flaws > 1)
		snprintf(more, sizeof(more), ", and %llu more",
		    (unsigned long long) restore->n_flaws - 1);
	return still_error_set(err, flaw->code, flaw->sys_errno,
	    "`stillctl verify` tells all that is wrong with it. Restore "
	    "another set.",
	    "`%s`: %s: %s%s", restore->set.path,
	    flaw->code == STILL_ERR_CORRUPT ? "is not whole" : "cannot be used",
	    still_error_msg(flaw), more);
}

static int check_base(struct restore *restore, struct still_error *err)
{
	const json_t *base = json_object_get(restore->set.json, "base");

	if (!base || json_is_null(base))
		return 0;
	return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
	    "Restore the full set that it builds on.",
	    "`%s`: builds on another set, and cannot be restored alone",
	    restore->set.path);
}

static int open_set(
    struct restore *restore, const char *path, struct still_error *err)
{
	uint64_t bytes;
	int rc = still_set_open(path, note_flaw, restore, &restore->set, err);

	if (rc < 0)
		return rc;
	restore->given = realpath(path, NULL);
	if (!restore->given)
		return still_error_sys(err, errno, NULL, "`%s`", path);
	/* A set of that kind may be described otherwise. */
	rc = check_base(restore, err);
	if (rc == 0)
		rc = still_set_compare(
		    &restore->set, note_flaw, restore, &bytes, err);
	return rc == 0 ? check_flaws(restore, err) : rc;
}

/* ---- which of it --------------------------------------------------------- */

static int no_such_database(struct restore *restore, struct still_error *err)
{
	const struct still_set *set = &restore->set;
	struct still_buf hint = STILL_BUF_INIT;
	int rc;

	still_buf_str(&hint, "It holds:");
	for (size_t i = 0; i < set->n_databases && i < NAMES_MAX; i++) {
		still_buf_str(&hint, i ? ", `" : " `");
		still_buf_str(&hint, set->databases[i].path + strlen(DATA));
		still_buf_str(&hint, "`");
	}
	if (set->n_databases > NAMES_MAX)
		still_buf_printf(
		    &hint, " and %zu more", set->n_databases - NAMES_MAX);
	still_buf_str(&hint, ".");
	rc = still_error_set(err, STILL_ERR_NOTFOUND, ENOENT, hint.data,
	    "`%s`: there is no such database in `%s`",
	    restore->options->database, set->path);
	still_buf_release(&hint);
	return rc;
}

/* As the source calls it; only then as the set does. */
static int find_database(struct restore *restore, struct still_error *err)
{
	const char *name = restore->options->database;

	if (!name)
		return 0;
	restore->database = still_path_join("data", name);
	if (!restore->database)
		return still_error_nomem(err);
	if (still_set_database(&restore->set, restore->database))
		return 0;
	free(restore->database);
	restore->database = strdup(name);
	if (!restore->database)
		return still_error_nomem(err);
	if (strncmp(name, DATA, strlen(DATA)) == 0 &&
	    still_set_database(&restore->set, name))
		return 0;
	return no_such_database(restore, err);
}

static int add_file(struct restore *restore, const struct still_set_file *file,
    struct still_error *err)
{
	struct still_transfer_file *to = &restore->files[restore->n_files];
	struct stat st;
	int fd;
	int rc = still_set_open_file(&restore->set, file->path, &fd, &st, err);

	if (rc < 0)
		return rc;
	close(fd);
	to->file = file;
	to->to = restore->database ? restore->place.name
				   : file->path + strlen(DATA);
	to->size_bytes = (uint64_t) st.st_size;
	restore->bytes += to->size_bytes;
	restore->n_files++;
	return 0;
}

static int choose_files(struct restore *restore, struct still_error *err)
{
	const struct still_set *set = &restore->set;
	int rc = 0;

	restore->files = calloc(set->n_files, sizeof(restore->files[0]));
	if (!restore->files)
		return still_error_nomem(err);
	for (size_t i = 0; rc == 0 && i < set->n_files; i++) {
		const char *path = set->files[i].path;

		if (restore->database ? strcmp(path, restore->database) == 0
				      : strncmp(path, DATA, strlen(DATA)) == 0)
			rc = add_file(restore, &set->files[i], err);
		if (rc == 0)
			rc = still_ticker_check(&restore->ticker, err);
	}
	return rc;
}

/* ---- the place ----------------------------------------------------------- */

static int check_apart(struct restore *restore, struct still_error *err)
{
	const char *dest = restore->place.path;

	if (still_path_is_in(dest, restore->given))
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "Restore to a directory outside.",
		    "`%s`: lies in the set `%s`", dest, restore->given);
	if (still_path_is_in(restore->given, dest))
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "Restore to a directory outside.",
		    "`%s`: the set `%s` lies in it", dest, restore->given);
	return 0;
}

static int begin_place(
    struct restore *restore, const char *dest, struct still_error *err)
{
	bool create = restore->options->create;
	int rc;

	if (restore->database)
		rc = still_place_find_file(dest,
		    still_path_base(restore->database), create, &restore->place,
		    err);
	else
		rc = still_place_find_dir(dest, create, &restore->place, err);
	if (rc == 0)
		rc = check_apart(restore, err);
	return rc == 0 ? still_place_begin(&restore->place, err) : rc;
}

/* ---- directories --------------------------------------------------------- */

static int dir_failed(
    struct restore *restore, const char *dir, int rc, struct still_error *err)
{
	return still_error_sys(
	    err, -rc, NULL, "`%s/%s`", restore->place.path, dir);
}

/* Make the directory, for now ours alone, unless it is there. Takes `dir`. */
static int make_dir(struct restore *restore, char *dir, struct still_error *err)
{
	int rc = still_sys_mkdir(restore->place.stage.fd, dir, 0700);
	char **grown;

	if (rc == -EEXIST) {
		free(dir);
		return 0;
	}
	grown = reallocarray(
	    restore->dirs, restore->n_dirs + 1, sizeof(*grown));
	if (grown)
		restore->dirs = grown;
	if (rc == 0 && grown) {
		restore->dirs[restore->n_dirs++] = dir;
		return 0;
	}
	rc = rc < 0 ? dir_failed(restore, dir, rc, err)
		    : still_error_nomem(err);
	free(dir);
	return rc;
}

/* Each directory that `path` is in. */
static int make_dirs_of(
    struct restore *restore, const char *path, struct still_error *err)
{
	const char *slash = path;
	int rc = 0;

	while (rc == 0 && (slash = strchr(slash, '/'))) {
		char *dir = strndup(path, (size_t) (slash - path));

		rc = dir ? make_dir(restore, dir, err) : still_error_nomem(err);
		slash++;
	}
	return rc;
}

static bool is_same_dir(const char *a, const char *b)
{
	size_t len = (size_t) (still_path_base(a) - a);

	return len == (size_t) (still_path_base(b) - b) &&
	    memcmp(a, b, len) == 0;
}

static int make_dirs(struct restore *restore, struct still_error *err)
{
	int rc = 0;

	if (restore->database)
		return 0;
	for (size_t i = 0; rc == 0 && i < restore->n_files; i++)
		if (i == 0 ||
		    !is_same_dir(
			restore->files[i].to, restore->files[i - 1].to))
			rc = make_dirs_of(restore, restore->files[i].to, err);
	return rc;
}

/* Give the open directory what the one in the set has. 0 or -errno. */
static int finish_dir(struct restore *restore, int fd, const char *dir)
{
	char *path = still_path_join("data", dir);
	int from;
	int rc;

	if (!path)
		return -ENOMEM;
	from = still_sys_open_beneath(
	    restore->set.dirfd, dir[0] ? path : "data", O_PATH | O_DIRECTORY);
	free(path);
	if (from < 0)
		return from;
	rc = still_attributes_give(fd, from);
	close(from);
	return rc == 0 ? still_sys_fsync(fd) : rc;
}

/* The deepest first: what is made in a directory changes its time. */
static int finish_dirs(struct restore *restore, struct still_error *err)
{
	const struct still_place *place = &restore->place;
	int rc;

	for (size_t i = restore->n_dirs; i-- > 0;) {
		int fd = still_sys_open_beneath(
		    place->stage.fd, restore->dirs[i], O_RDONLY | O_DIRECTORY);

		rc = fd < 0 ? fd : finish_dir(restore, fd, restore->dirs[i]);
		if (fd >= 0)
			close(fd);
		if (rc < 0)
			return dir_failed(restore, restore->dirs[i], rc, err);
	}
	if (place->kind == STILL_PLACE_BESIDE && place->dest_fd < 0)
		rc = finish_dir(restore, place->stage.fd, "");
	else
		rc = still_sys_fsync(place->stage.fd);
	return rc < 0 ? still_error_sys(err, -rc, NULL, "`%s`", place->path)
		      : 0;
}

/* ---- all of it ----------------------------------------------------------- */

static int fill_stage(struct restore *restore, struct still_error *err)
{
	struct still_transfer transfer = {
	    .set = &restore->set,
	    .to_fd = restore->place.stage.fd,
	    .to_path = restore->database ? restore->place.parent
					 : restore->place.path,
	    .ticker = &restore->ticker,
	    .n_threads = restore->options->task.n_threads,
	    .files = restore->files,
	    .n_files = restore->n_files,
	};
	int rc;

	still_ticker_phase(&restore->ticker, STILL_PHASE_COPYING,
	    restore->n_files, restore->bytes);
	rc = make_dirs(restore, err);
	if (rc == 0)
		rc = still_transfer_run(&transfer, err);
	still_ticker_phase(&restore->ticker, STILL_PHASE_SYNCING, 0, 0);
	return rc == 0 ? finish_dirs(restore, err) : rc;
}

/* While nothing has happened yet: who hears of a failure finds nothing. */
static int report(struct restore *restore, struct still_restored *ret,
    struct still_error *err)
{
	ret->dest = strdup(restore->place.path);
	ret->session = strdup(restore->set.session);
	ret->files = restore->n_files;
	ret->bytes = restore->bytes;
	return ret->dest && ret->session ? 0 : still_error_nomem(err);
}

static int run(struct restore *restore, const char *set, const char *dest,
    struct still_restored *ret, struct still_error *err)
{
	int rc = open_set(restore, set, err);

	if (rc == 0)
		rc = find_database(restore, err);
	if (rc == 0)
		rc = begin_place(restore, dest, err);
	if (rc == 0)
		rc = choose_files(restore, err);
	if (rc == 0)
		rc = fill_stage(restore, err);
	if (rc == 0)
		rc = report(restore, ret, err);
	/* From here on it is done, or undone. */
	if (rc == 0)
		rc = still_ticker_check(&restore->ticker, err);
	return rc == 0 ? still_place_publish(&restore->place, err) : rc;
}

static void release(struct restore *restore)
{
	still_place_release(&restore->place);
	still_set_release(&restore->set);
	for (size_t i = 0; i < restore->n_dirs; i++)
		free(restore->dirs[i]);
	free(restore->dirs);
	free(restore->files);
	free(restore->given);
	free(restore->database);
	still_error_clear(&restore->flaw);
}

int still_restore(const char *set, const char *dest,
    const struct still_restore_options *options, struct still_restored *ret,
    struct still_error *err)
{
	struct restore restore = {
	    .options = options, .set.dirfd = -1, .place = STILL_PLACE_INIT};
	struct still_error own = STILL_ERROR_INIT;
	int64_t begun_ns = still_sys_monotonic_ns();
	int rc;

	memset(ret, 0, sizeof(*ret));
	still_ticker_begin(&restore.ticker, &options->task);
	rc = run(&restore, set, dest, ret, &own);
	ret->copy_ns = still_sys_monotonic_ns() - begun_ns;
	release(&restore);
	still_ticker_end(&restore.ticker);
	if (rc == STILL_ERR_CANCELLED)
		still_error_set(err, rc, 0, NULL,
		    "`%s`: nothing was restored: it was stopped", dest);
	else if (rc < 0 && err)
		still_error_copy(err, &own);
	still_error_clear(&own);
	return rc;
}

void still_restored_release(struct still_restored *restored)
{
	free(restored->dest);
	free(restored->session);
	memset(restored, 0, sizeof(*restored));
}
