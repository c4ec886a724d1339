/* SPDX-License-Identifier: MIT */
/*
 * restore: a set, or one database of it, becomes what an application opens.
 *
 *  0. Links of a chain (set_chain.h) are sets that are looked at as the full one is,
 *     and must be of one chain, in their order. For one database those are not
 *     needed that lie before the last one which has it as a whole.
 *  1. The set is opened and compared with its list and its description. Nothing
 *     is taken from one with a flaw. For one database only the flaws count that
 *     are its own, or the list's, or the description's: from a set that is
 *     damaged, what is whole can still be had.
 *  2. The place is looked at (vacancy.h), and a stage is made (place.h).
 *  3. Into the stage go the files below data/, each digested and compared while
 *     it is copied (transfer.h), then their directories. A set that has more than
 *     data/, such as tablespaces, keeps its layout: data/ is a directory of the
 *     place then.
 *     Links are applied to that by the engine, one after the other
 *     (restore_chain.c).
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
#include "core/restore_parts.h"
#include "core/vacancy.h"

#define DATA STILL_RESTORE_DATA
#define LOGS STILL_RESTORE_LOGS
#define NAMES_MAX 10

/* ---- the set ------------------------------------------------------------- */

/* Is `path` that of the database, or of a log or journal beside it? */
static bool is_of(const char *path, const char *database)
{
	size_t len = strlen(database);

	return strncmp(path, database, len) == 0 &&
	    (!path[len] ||
		(path[len] == '-' && still_vacancy_is_log(path + len)));
}

/* Is `path` what was added to the one database? Not known: it counts. */
static bool is_increment(
    const struct still_set *set, const char *path, const char *name)
{
	for (size_t i = 0; i < set->n_databases; i++) {
		const struct still_set_database *database = &set->databases[i];

		if (database->increment &&
		    still_path_is_in(path, database->increment))
			return is_of(database->path, name) ||
			    (strncmp(database->path, DATA, strlen(DATA)) == 0 &&
				is_of(database->path + strlen(DATA), name));
	}
	return set->n_databases == 0;
}

static bool counts(
    const struct still_restore_work *restore, size_t index, const char *path)
{
	const char *name = restore->options->database;

	if (!name || !path)
		return true;
	if (strncmp(path, LOGS, strlen(LOGS)) == 0)
		return is_increment(&restore->chain.sets[index], path, name);
	return strncmp(path, DATA, strlen(DATA)) != 0 || is_of(path, name) ||
	    is_of(path + strlen(DATA), name);
}

static void note_flaw(
    void *arg, size_t index, const char *path, const struct still_error *what)
{
	struct still_restore_work *restore = arg;

	if (!counts(restore, index, path))
		return;
	if (restore->n_flaws++ == 0) {
		restore->flawed = index;
		still_error_copy(&restore->flaw, what);
	}
}

static int check_flaws(
    struct still_restore_work *restore, struct still_error *err)
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
	    "`%s`: %s: %s%s", restore->chain.sets[restore->flawed].path,
	    flaw->code == STILL_ERR_CORRUPT ? "is not whole" : "cannot be used",
	    still_error_msg(flaw), more);
}

struct comparing {
	struct still_restore_work *restore;
	size_t index;
};

static void note_difference(
    void *arg, const char *path, const struct still_error *what)
{
	const struct comparing *comparing = arg;

	note_flaw(comparing->restore, comparing->index, path, what);
}

static int compare_sets(
    struct still_restore_work *restore, struct still_error *err)
{
	uint64_t bytes;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < restore->chain.n; i++) {
		struct comparing comparing = {restore, i};

		rc = still_set_compare(&restore->chain.sets[i], note_difference,
		    &comparing, &bytes, err);
	}
	return rc;
}

static int open_chain(struct still_restore_work *restore,
    const char *const *paths, size_t n, struct still_error *err)
{
	int rc = still_set_chain_open(
	    paths, n, note_flaw, restore, &restore->chain, err);

	if (rc < 0)
		return rc;
	restore->set = &restore->chain.sets[0];
	rc = compare_sets(restore, err);
	if (rc == 0)
		rc = check_flaws(restore, err);
	return rc == 0 ? still_set_chain_check(&restore->chain, err) : rc;
}

/* As they are named. */
static int open_named(struct still_restore_work *restore, const char *path,
    struct still_error *err)
{
	const struct still_restore_options *options = restore->options;
	const char **paths = calloc(options->n_links + 1, sizeof(paths[0]));
	int rc;

	if (!paths)
		return still_error_nomem(err);
	paths[0] = path;
	for (size_t i = 0; i < options->n_links; i++)
		paths[i + 1] = options->links[i];
	rc = open_chain(restore, paths, options->n_links + 1, err);
	free(paths);
	return rc;
}

/* All that are stored. */
static int open_stored(struct still_restore_work *restore, const char *path,
    struct still_error *err)
{
	char **paths = NULL;
	size_t n = 0;
	int rc = still_set_chain_find(
	    path, restore->options->upto, &paths, &n, err);

	if (rc == 0)
		rc = open_chain(restore, (const char *const *) paths, n, err);
	still_set_chain_free_paths(paths, n);
	return rc;
}

static int open_sets(struct still_restore_work *restore, const char *path,
    struct still_error *err)
{
	int rc = restore->options->n_links > 0
	    ? open_named(restore, path, err)
	    : open_stored(restore, path, err);

	if (rc < 0)
		return rc;
	restore->given = realpath(path, NULL);
	if (!restore->given)
		return still_error_sys(err, errno, NULL, "`%s`", path);
	return 0;
}

/* ---- which of it --------------------------------------------------------- */

static const char *name_of(const char *path)
{
	return strncmp(path, DATA, strlen(DATA)) == 0 ? path + strlen(DATA)
						      : path;
}

/* The sets before the last one that has it as a whole are not needed. A directory
 * is all of an instance. */
static int choose_first(
    struct still_restore_work *restore, struct still_error *err)
{
	const struct still_set_chain *chain = &restore->chain;

	for (size_t i = chain->n; i-- > 0;) {
		const struct still_set_database *database = still_set_database(
		    &chain->sets[i], restore->database);

		restore->first = i;
		if (!database)
			return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
			    "`%s`: does not know `%s`, to which a later set of "
			    "the chain adds",
			    chain->sets[i].path, restore->database);
		if (!database->incremental)
			break;
	}
	restore->set = &chain->sets[restore->first];
	if (still_set_find(restore->set, restore->database))
		return 0;
	return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
	    "Restore all of it, without `--database`.",
	    "`%s`: is no database that can be restored alone",
	    restore->options->database);
}

static int no_such_database(
    struct still_restore_work *restore, struct still_error *err)
{
	const struct still_set *set = still_restore_last(restore);
	struct still_buf hint = STILL_BUF_INIT;
	int rc;

	still_buf_str(&hint, "It holds:");
	for (size_t i = 0; i < set->n_databases && i < NAMES_MAX; i++) {
		still_buf_str(&hint, i ? ", `" : " `");
		still_buf_str(&hint, name_of(set->databases[i].path));
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
static int find_database(
    struct still_restore_work *restore, struct still_error *err)
{
	const struct still_set *set = still_restore_last(restore);
	const char *name = restore->options->database;

	if (!name)
		return 0;
	restore->database = still_path_join("data", name);
	if (!restore->database)
		return still_error_nomem(err);
	if (still_set_database(set, restore->database))
		return choose_first(restore, err);
	free(restore->database);
	restore->database = strdup(name);
	if (!restore->database)
		return still_error_nomem(err);
	if (still_set_database(set, name))
		return choose_first(restore, err);
	return no_such_database(restore, err);
}

static int add_file(struct still_restore_work *restore,
    const struct still_set_file *file, struct still_error *err)
{
	struct still_transfer_file *to = &restore->files[restore->n_files];
	struct stat st;
	int fd;
	int rc = still_set_open_file(restore->set, file->path, &fd, &st, err);

	if (rc < 0)
		return rc;
	close(fd);
	to->file = file;
	to->to = restore->database && !still_restore_has_links(restore)
	    ? restore->place.name
	    : file->path + restore->strip;
	to->size_bytes = (uint64_t) st.st_size;
	restore->bytes += to->size_bytes;
	restore->n_files++;
	return 0;
}

/* Is all of it below data/? Then that is what the place becomes; otherwise the
 * place gets the directories that the set has. */
static bool is_data(const char *path)
{
	return still_path_is_in(path, "data");
}

static bool is_all_data(
    struct still_restore_work *restore, const struct still_set *set)
{
	restore->set = set;
	for (size_t i = 0; i < set->n_files; i++)
		if (still_restore_wants(restore, set->files[i].path) &&
		    !is_data(set->files[i].path))
			return false;
	for (size_t i = 0; i < set->n_links; i++)
		if (!is_data(set->links[i].path))
			return false;
	for (size_t i = 0; i < set->n_empty_dirs; i++)
		if (!is_data(set->empty_dirs[i]) &&
		    still_restore_wants(restore, set->empty_dirs[i]))
			return false;
	return true;
}

static void choose_layout(struct still_restore_work *restore)
{
	restore->strip = strlen(DATA);
	for (size_t i = restore->first; i < restore->chain.n; i++)
		if (!is_all_data(restore, &restore->chain.sets[i]))
			restore->strip = 0;
	restore->set = &restore->chain.sets[restore->first];
}

static int choose_files(
    struct still_restore_work *restore, struct still_error *err)
{
	const struct still_set *set = restore->set;
	int rc = 0;

	free(restore->files);
	restore->n_files = 0;
	restore->bytes = 0;
	restore->files = calloc(set->n_files, sizeof(restore->files[0]));
	if (!restore->files)
		return still_error_nomem(err);
	for (size_t i = 0; rc == 0 && i < set->n_files; i++) {
		const char *path = set->files[i].path;

		if (still_restore_wants(restore, path))
			rc = add_file(restore, &set->files[i], err);
		if (rc == 0)
			rc = still_ticker_check(&restore->ticker, err);
	}
	return rc;
}

/* ---- the place ----------------------------------------------------------- */

static int check_apart_from(struct still_restore_work *restore, const char *set,
    struct still_error *err)
{
	const char *dest = restore->place.path;

	if (still_path_is_in(dest, set))
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "Restore to a directory outside.",
		    "`%s`: lies in the set `%s`", dest, set);
	if (still_path_is_in(set, dest))
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "Restore to a directory outside.",
		    "`%s`: the set `%s` lies in it", dest, set);
	return 0;
}

static int check_apart(
    struct still_restore_work *restore, struct still_error *err)
{
	int rc = check_apart_from(restore, restore->given, err);

	for (size_t i = 1; rc == 0 && i < restore->chain.n; i++)
		rc = check_apart_from(
		    restore, restore->chain.sets[i].path, err);
	return rc;
}

static int begin_place(struct still_restore_work *restore, const char *dest,
    struct still_error *err)
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

/* ---- all of it ----------------------------------------------------------- */

int still_restore_put_set(
    struct still_restore_work *restore, struct still_error *err)
{
	struct still_transfer transfer = {
	    .set = restore->set,
	    .to_fd = restore->root_fd,
	    .to_path = restore->database ? restore->place.parent
					 : restore->place.path,
	    .ticker = &restore->ticker,
	    .n_threads = restore->options->task.n_threads,
	};
	int rc = choose_files(restore, err);

	if (rc < 0)
		return rc;
	transfer.files = restore->files;
	transfer.n_files = restore->n_files;
	still_ticker_phase(&restore->ticker, STILL_PHASE_COPYING,
	    restore->n_files, restore->bytes);
	rc = still_restore_make_dirs(restore, err);
	if (rc == 0)
		rc = still_restore_make_links(restore, err);
	if (rc == 0)
		rc = still_transfer_run(&transfer, err);
	restore->files_done += restore->n_files;
	restore->bytes_done += restore->bytes;
	return rc;
}

static int fill_stage(
    struct still_restore_work *restore, struct still_error *err)
{
	int rc;

	choose_layout(restore);
	restore->root_fd = restore->place.stage.fd;
	rc = still_restore_has_links(restore)
	    ? still_restore_put_chain(restore, err)
	    : still_restore_put_set(restore, err);
	still_ticker_phase(&restore->ticker, STILL_PHASE_SYNCING, 0, 0);
	return rc == 0 ? still_restore_finish_dirs(restore, err) : rc;
}

/* While nothing has happened yet: who hears of a failure finds nothing. */
static int report(struct still_restore_work *restore,
    struct still_restored *ret, struct still_error *err)
{
	ret->dest = strdup(restore->place.path);
	ret->session = strdup(still_restore_last(restore)->session);
	ret->links = restore->chain.n - 1 - restore->first;
	ret->files = restore->files_done;
	ret->bytes = restore->bytes_done;
	return ret->dest && ret->session ? 0 : still_error_nomem(err);
}

static int run(struct still_restore_work *restore, const char *set,
    const char *dest, struct still_restored *ret, struct still_error *err)
{
	int rc = open_sets(restore, set, err);

	if (rc == 0)
		rc = find_database(restore, err);
	if (rc == 0)
		rc = still_restore_check_engine(restore, err);
	if (rc == 0)
		rc = begin_place(restore, dest, err);
	if (rc == 0)
		rc = fill_stage(restore, err);
	if (rc == 0)
		rc = report(restore, ret, err);
	/* From here on it is done, or undone. */
	if (rc == 0)
		rc = still_ticker_check(&restore->ticker, err);
	return rc == 0 ? still_place_publish(&restore->place, err) : rc;
}

static void release(struct still_restore_work *restore)
{
	still_place_release(&restore->place);
	still_set_chain_release(&restore->chain);
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
	struct still_restore_work restore = {
	    .options = options, .root_fd = -1, .place = STILL_PLACE_INIT};
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
