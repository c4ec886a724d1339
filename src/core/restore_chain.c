/* SPDX-License-Identifier: MIT */
/*
 * restore_chain: links of a chain are applied to what the full set was.
 *
 *  1. In the stage a directory is made that has the layout of a set. The full
 *     set's files are put there.
 *  2. For each link: whatever of it is not put into place, its logs and its
 *     description, is compared with its sums; files that it has as a whole are
 *     put over those that have their names; the engine applies the rest, and
 *     proves the result as far as the set says what it is.
 *  3. All of it is synced, and what is to be the place's is moved up into the
 *     stage. Directories get their modes only then, because one that nobody may
 *     write to cannot be moved.
 *
 * Nothing of this has a name under which it would be opened, so who is killed
 * leaves a stage and no more.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/path.h"
#include "base/rmtree.h"
#include "base/sys.h"
#include "core/restore_parts.h"
#include "engines/engine.h"

/* In a stage of ours, where nothing else can have such a name but a file of the
 * set; that would be seen when it is moved up. */
#define ROOT ".stillfs-root"
#define PIECE_BYTES ((size_t) 1 << 20)

static int place_failed(struct still_restore_work *restore, const char *path,
    int rc, struct still_error *err)
{
	return still_error_sys(
	    err, -rc, NULL, "`%s/%s`", restore->place.path, path);
}

static const struct still_engine *engine_of(
    const struct still_restore_work *restore)
{
	return still_engine_named(still_restore_last(restore)->engine);
}

int still_restore_check_engine(
    struct still_restore_work *restore, struct still_error *err)
{
	const struct still_set *set = still_restore_last(restore);
	const struct still_engine *engine = engine_of(restore);

	if (!still_restore_has_links(restore) || (engine && engine->apply))
		return 0;
	return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
	    engine ? NULL : "Restore it with a stillfs that has this engine.",
	    "`%s`: incremental sets of engine `%s` cannot be applied%s",
	    set->path, set->engine, engine ? "" : ": it is not known here");
}

/* ---- what is not put into place ------------------------------------------ */

/* Of one database, only what is added to that. */
static bool is_needed(
    const struct still_restore_work *restore, const char *path)
{
	const struct still_set_database *database;

	if (!still_path_is_in(path, "logs"))
		return strcmp(path, STILL_SET_DESCRIPTION) == 0;
	if (!restore->database)
		return true;
	database = still_set_database(restore->set, restore->database);
	return database && database->increment &&
	    still_path_is_in(path, database->increment);
}

static int sum(struct still_restore_work *restore, int fd, const char *path,
    struct still_hash128 *ret, struct still_error *err)
{
	struct still_hash_state *state = still_hash_new();
	char *piece = malloc(PIECE_BYTES);
	ssize_t n = 1;
	int rc = state && piece ? 0 : still_error_nomem(err);

	for (uint64_t at = 0; rc == 0 && n > 0; at += (uint64_t) n) {
		n = still_sys_pread(fd, piece, PIECE_BYTES, at);
		if (n < 0)
			rc = still_error_sys(err, (int) -n, NULL, "`%s/%s`",
			    restore->set->path, path);
		else
			still_hash_update(state, piece, (size_t) n);
		if (rc == 0)
			rc = still_ticker_check(&restore->ticker, err);
		if (rc == 0)
			still_ticker_count(&restore->ticker, 0, (uint64_t) n);
		restore->bytes_done += rc == 0 ? (uint64_t) n : 0;
	}
	if (rc == 0)
		*ret = still_hash_digest(state);
	free(piece);
	still_hash_free(state);
	return rc;
}

static int prove_file(struct still_restore_work *restore,
    const struct still_set_file *file, struct still_error *err)
{
	struct still_hash128 is;
	struct stat st;
	int fd = -1;
	int rc = still_set_open_file(restore->set, file->path, &fd, &st, err);

	still_ticker_file(&restore->ticker, file->path);
	if (rc == 0)
		rc = sum(restore, fd, file->path, &is, err);
	if (fd >= 0)
		close(fd);
	if (rc == 0 && memcmp(&is, &file->sum, sizeof(is)) != 0)
		rc = still_error_set(err, STILL_ERR_CORRUPT, 0,
		    "`stillctl verify` tells all that is wrong with the set. "
		    "Restore another one.",
		    "`%s/%s`: is damaged: its content is not what was backed "
		    "up",
		    restore->set->path, file->path);
	if (rc == 0) {
		still_ticker_count(&restore->ticker, 1, 0);
		restore->files_done++;
	}
	return rc;
}

static int prove_rest(
    struct still_restore_work *restore, struct still_error *err)
{
	const struct still_set *set = restore->set;
	uint64_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < set->n_files; i++)
		n += is_needed(restore, set->files[i].path);
	still_ticker_phase(&restore->ticker, STILL_PHASE_VERIFYING, n, 0);
	for (size_t i = 0; rc == 0 && i < set->n_files; i++)
		if (is_needed(restore, set->files[i].path))
			rc = prove_file(restore, &set->files[i], err);
	return rc;
}

/* ---- what is put over what has its name ---------------------------------- */

/* Nobody else is in the stage, and no link in it leads out of it. */
static int make_room(
    struct still_restore_work *restore, struct still_error *err)
{
	const struct still_set *set = restore->set;

	for (size_t i = 0; i < set->n_files; i++) {
		const char *path = set->files[i].path;

		if (still_restore_wants(restore, path) &&
		    unlinkat(restore->root_fd, path, 0) != 0 &&
		    errno != ENOENT && errno != ENOTDIR)
			return place_failed(restore, path, -errno, err);
	}
	return 0;
}

/* ---- what is applied ----------------------------------------------------- */

static bool is_named(const json_t *value, const char *name)
{
	char *path = NULL;
	bool same = still_json_get_name(value, "path", &path) == 0 && path &&
	    strcmp(path, name) == 0;

	free(path);
	return same;
}

/* Those elements of `key` that are the one database. */
static int keep_one(json_t *description, const char *key, const char *name)
{
	const json_t *all = json_object_get(description, key);
	json_t *kept = json_array();
	int rc = 0;

	for (size_t i = 0; i < json_array_size(all); i++)
		if (is_named(json_array_get(all, i), name))
			rc |= json_array_append(kept, json_array_get(all, i));
	if (!all)
		json_decref(kept);
	else
		rc |= json_object_set_new(description, key, kept);
	return rc;
}

/* What the engine is told: of one database, as if there were no other. NULL
 * without memory. */
static json_t *description_of(const struct still_restore_work *restore)
{
	json_t *description = json_copy(restore->set->json);

	if (!description || !restore->database)
		return description;
	if (keep_one(description, "databases", restore->database) == 0 &&
	    keep_one(description, "dropped", restore->database) == 0)
		return description;
	json_decref(description);
	return NULL;
}

static int apply(struct still_restore_work *restore, struct still_error *err)
{
	static const atomic_bool never;
	const atomic_bool *cancel = restore->options->task.cancel;
	struct still_apply_request request = {
	    .root_fd = restore->root_fd,
	    .set_fd = restore->set->dirfd,
	    .set = restore->set->path,
	    .description = description_of(restore),
	    .cancel = cancel ? cancel : &never,
	};
	int rc;

	if (!request.description)
		return still_error_nomem(err);
	still_ticker_phase(&restore->ticker, STILL_PHASE_APPLYING, 0, 0);
	rc = engine_of(restore)->apply(&request, err);
	json_decref((json_t *) request.description);
	return rc;
}

static int put_link(struct still_restore_work *restore, struct still_error *err)
{
	int rc = prove_rest(restore, err);

	if (rc == 0)
		rc = make_room(restore, err);
	if (rc == 0)
		rc = still_restore_put_set(restore, err);
	if (rc == 0)
		rc = apply(restore, err);
	return rc == 0 ? still_ticker_check(&restore->ticker, err) : rc;
}

/* ---- up into the stage --------------------------------------------------- */

/* All that is in the directory `from` of the root. */
static int move_up(struct still_restore_work *restore, const char *from,
    struct still_error *err)
{
	int stage_fd = restore->place.stage.fd;
	DIR *dir = NULL;
	const char *name;
	int rc = 0;
	int next = 0;
	int fd = still_sys_open_beneath(
	    restore->root_fd, from, O_RDONLY | O_DIRECTORY);

	/* All databases may have been dropped. */
	if (fd == -ENOENT)
		return 0;
	next = fd < 0 ? fd : still_sys_opendir(fd, &dir);
	while (rc == 0 && dir && (next = still_sys_readdir(dir, &name)) > 0)
		rc = still_sys_move(fd, name, stage_fd, name, RENAME_NOREPLACE);
	if (dir)
		closedir(dir);
	if (fd >= 0)
		close(fd);
	if (rc == 0)
		rc = next;
	return rc < 0 ? place_failed(restore, from, rc, err) : 0;
}

static int move_database(
    struct still_restore_work *restore, struct still_error *err)
{
	int rc = still_sys_move(restore->root_fd, restore->database,
	    restore->place.stage.fd, restore->place.name, RENAME_NOREPLACE);

	return rc < 0 ? place_failed(restore, restore->database, rc, err) : 0;
}

/* From here on the stage is what the place is to have. */
static void rename_dirs(struct still_restore_work *restore)
{
	size_t n = 0;

	for (size_t i = 0; i < restore->n_dirs; i++) {
		char *dir = restore->dirs[i];

		if (strncmp(dir, STILL_RESTORE_DATA,
			strlen(STILL_RESTORE_DATA)) != 0) {
			free(dir);
			continue;
		}
		memmove(dir, dir + strlen(STILL_RESTORE_DATA),
		    strlen(dir + strlen(STILL_RESTORE_DATA)) + 1);
		restore->dirs[n++] = dir;
	}
	restore->n_dirs = n;
}

/* One database has none. */
static void forget_dirs(struct still_restore_work *restore)
{
	while (restore->n_dirs > 0)
		free(restore->dirs[--restore->n_dirs]);
}

static int settle(
    struct still_restore_work *restore, size_t strip, struct still_error *err)
{
	int rc = still_restore_sync_tree(restore, restore->root_fd, err);

	if (rc < 0)
		return rc;
	if (restore->database)
		rc = move_database(restore, err);
	else
		rc = move_up(restore, strip ? "data" : ".", err);
	if (restore->database)
		forget_dirs(restore);
	else if (strip)
		rename_dirs(restore);
	restore->strip = strip;
	return rc;
}

/* ---- all of it ----------------------------------------------------------- */

static int put_sets(struct still_restore_work *restore, struct still_error *err)
{
	struct still_set_chain *chain = &restore->chain;
	int rc;

	restore->set = &chain->sets[restore->first];
	rc = still_restore_put_set(restore, err);
	for (size_t i = restore->first + 1; rc == 0 && i < chain->n; i++) {
		restore->set = &chain->sets[i];
		rc = put_link(restore, err);
	}
	return rc;
}

int still_restore_put_chain(
    struct still_restore_work *restore, struct still_error *err)
{
	int stage_fd = restore->place.stage.fd;
	size_t strip = restore->strip;
	int rc = still_sys_mkdir(stage_fd, ROOT, 0700);

	if (rc == 0)
		rc = still_sys_open_beneath(
		    stage_fd, ROOT, O_RDONLY | O_DIRECTORY);
	if (rc < 0)
		return place_failed(restore, ROOT, rc, err);
	restore->root_fd = rc;
	restore->strip = 0;
	rc = put_sets(restore, err);
	if (rc == 0)
		rc = settle(restore, strip, err);
	close(restore->root_fd);
	restore->root_fd = stage_fd;
	if (rc == 0) {
		rc = still_rmtree(stage_fd, ROOT);
		rc = rc < 0 ? place_failed(restore, ROOT, rc, err) : 0;
	}
	return rc;
}
