/* SPDX-License-Identifier: MIT */
/*
 * set_compare: what lies in a set's directory, against what its list and its
 * description name. Without a list nothing can be said to be too much; without a
 * description no size can be wrong.
 *
 * The tree may be anybody's. It is walked without recursion and without
 * following a link: each directory is opened by its path beneath the set's, so
 * that neither its depth nor its names can do more than make a flaw.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "core/set_parts.h"

struct seen {
	bool there;
	bool directory;
	bool file; /* a regular one, and the next is set */
	uint64_t size_bytes;
};

struct walk {
	const struct still_set *set;
	struct still_set_judge judge;
	struct seen *listed;    /* owned; one for each file of the list */
	struct seen *described; /* owned; one for each database */
	char **dirs;            /* owned; to be read yet */
	size_t n_dirs;
	size_t capacity;
};

#define TELL(walk, path, ...) \
	still_set_tell(&(walk)->judge, (path), STILL_ERR_CORRUPT, __VA_ARGS__)

static void tell_errno(struct walk *walk, const char *path, int error)
{
	struct still_error what = STILL_ERROR_INIT;

	if (error == ENAMETOOLONG) {
		TELL(walk, path, "`%s`: lies too deep to be looked at", path);
		return;
	}
	still_error_sys(&what, error, NULL, "`%s`", path);
	still_set_tell(&walk->judge, path,
	    what.code == STILL_ERR_ACCESS ? STILL_ERR_ACCESS : STILL_ERR_IO,
	    "%s", still_error_msg(&what));
	still_error_clear(&what);
}

/* Takes `dir`, which may be NULL. */
static int push(struct walk *walk, char *dir)
{
	if (dir && walk->n_dirs == walk->capacity) {
		size_t capacity = walk->capacity ? 2 * walk->capacity : 16;
		void *dirs = realloc(
		    walk->dirs, capacity * sizeof(walk->dirs[0]));

		if (dirs) {
			walk->dirs = dirs;
			walk->capacity = capacity;
		}
	}
	if (!dir || walk->n_dirs == walk->capacity) {
		free(dir);
		return STILL_ERR_NOMEM;
	}
	walk->dirs[walk->n_dirs++] = dir;
	return 0;
}

/* ---- what is there ------------------------------------------------------- */

/* "log", "index" or "journal", where `path` is that of a database of the set;
 * else NULL. */
static const char *sidecar_word(const struct still_set *set, const char *path)
{
	static const char *const words[][2] = {
	    {"-wal", "log"}, {"-shm", "log index"}, {"-journal", "journal"}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		char *database;
		bool known;

		if (!still_path_ends(path, words[i][0]))
			continue;
		database = strndup(path, strlen(path) - strlen(words[i][0]));
		known = database &&
		    (still_set_database(set, database) ||
			(!set->described && still_set_find(set, database)));
		free(database);
		if (known)
			return words[i][1];
	}
	return NULL;
}

static void judge_extra(struct walk *walk, const char *path)
{
	const char *word = sidecar_word(walk->set, path);

	if (word)
		TELL(walk, path,
		    "`%s`: is a %s beside a database, and was not backed up: "
		    "whoever opens the database would use it",
		    path, word);
	else if (walk->set->listed)
		TELL(walk, path,
		    "`%s`: is not in " STILL_SET_LIST ": it was not backed up",
		    path);
}

static const char *type_word(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFLNK:
		return "a symbolic link";
	case S_IFIFO:
		return "a FIFO";
	case S_IFSOCK:
		return "a socket";
	case S_IFDIR:
		return "a directory";
	default:
		return "a device";
	}
}

/* Whoever opened the set has told what is wrong with these. */
static bool is_part(const char *path)
{
	return strcmp(path, STILL_SET_LIST) == 0 ||
	    strcmp(path, STILL_SET_DESCRIPTION) == 0;
}

static void judge_file(
    struct walk *walk, const char *path, const struct stat *st)
{
	const struct still_set *set = walk->set;
	const struct still_set_file *file = still_set_find(set, path);
	const struct still_set_database *database = still_set_database(
	    set, path);
	struct seen seen = {
	    .there = true, .file = true, .size_bytes = (uint64_t) st->st_size};

	if (database)
		walk->described[database - set->databases] = seen;
	if (file)
		walk->listed[file - set->files] = seen;
	else if ((!database || database->incremental) && !is_part(path))
		judge_extra(walk, path);
	if (database && database->frozen && !database->incremental &&
	    database->size_bytes != seen.size_bytes)
		TELL(walk, path,
		    "`%s`: has %" PRIu64 " bytes, and " STILL_SET_DESCRIPTION
		    " says %" PRIu64,
		    path, seen.size_bytes, database->size_bytes);
}

/* It is there, and told: it is not missing too. */
static void judge_no_file(struct walk *walk, const char *path, mode_t mode)
{
	const struct still_set *set = walk->set;
	const struct still_set_file *file = still_set_find(set, path);
	const struct still_set_database *database = still_set_database(
	    set, path);

	if (file)
		walk->listed[file - set->files].there = true;
	if (database)
		walk->described[database - set->databases].there = true;
	if (!is_part(path))
		TELL(walk, path, "`%s`: is %s, and no file", path,
		    type_word(mode));
}

/* A database that is a directory: then no list names it. Its files are in that. */
static bool is_cluster(struct walk *walk, const char *path)
{
	const struct still_set *set = walk->set;
	const struct still_set_database *database = still_set_database(
	    set, path);

	if (!database || still_set_find(set, path))
		return false;
	walk->described[database - set->databases] = (struct seen){
	    .there = true, .directory = true};
	return true;
}

/* A name in a directory; takes `path`. */
static int judge_entry(struct walk *walk, char *path)
{
	const struct still_set *set = walk->set;
	bool is_wanted = still_set_find(set, path) ||
	    still_set_database(set, path);
	struct stat st;

	if (fstatat(set->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		tell_errno(walk, path, errno);
	} else if (S_ISREG(st.st_mode)) {
		judge_file(walk, path, &st);
	} else if (S_ISDIR(st.st_mode) &&
	    (!is_wanted || is_cluster(walk, path))) {
		if (sidecar_word(set, path))
			judge_extra(walk, path);
		return push(walk, path);
	} else if (is_wanted || !S_ISLNK(st.st_mode) ||
	    !still_set_has_link(set, path)) {
		judge_no_file(walk, path, st.st_mode);
	}
	free(path);
	return 0;
}

static int read_dir(struct walk *walk, const char *dir)
{
	int fd = still_sys_open_beneath(
	    walk->set->dirfd, *dir ? dir : ".", O_RDONLY | O_DIRECTORY);
	DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
	const char *name;
	int next = 0;
	int rc = 0;

	if (!stream) {
		tell_errno(walk, dir, fd < 0 ? -fd : errno);
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while (rc == 0 && (next = still_sys_readdir(stream, &name)) > 0) {
		char *path = still_path_join(dir, name);

		rc = path ? judge_entry(walk, path) : STILL_ERR_NOMEM;
	}
	if (next < 0)
		tell_errno(walk, dir, -next);
	closedir(stream);
	return rc;
}

/* ---- what is not --------------------------------------------------------- */

/* Is it a listed file, or a directory of one? */
static bool is_listed(const struct still_set *set, const char *path)
{
	for (size_t i = 0; i < set->n_files; i++)
		if (still_path_is_in(set->files[i].path, path))
			return true;
	return false;
}

static void judge_increment_size(
    struct walk *walk, const struct still_set_database *database)
{
	const struct still_set *set = walk->set;
	const char *increment = database->increment;
	const struct still_set_file *file =
	    increment ? still_set_find(set, increment) : NULL;
	const struct seen *seen = file ? &walk->listed[file - set->files]
				       : NULL;

	if (seen && seen->file && database->increment_sized &&
	    database->increment_bytes != seen->size_bytes)
		TELL(walk, increment,
		    "`%s`: has %" PRIu64 " bytes, and " STILL_SET_DESCRIPTION
		    " says %" PRIu64,
		    increment, seen->size_bytes, database->increment_bytes);
}

static void judge_increment(
    struct walk *walk, const struct still_set_database *database)
{
	const struct still_set *set = walk->set;
	const char *increment = database->increment;

	judge_increment_size(walk, database);
	if (!set->listed)
		return;
	if (still_set_find(set, database->path))
		TELL(walk, database->path,
		    "`%s`: is in " STILL_SET_LIST ", and " STILL_SET_DESCRIPTION
		    " says that only what was added to it is there",
		    database->path);
	else if (increment && !still_set_find(set, increment) &&
	    !is_listed(set, increment))
		TELL(walk, increment,
		    "`%s`: is in " STILL_SET_DESCRIPTION
		    ", and not in " STILL_SET_LIST,
		    increment);
}

static void judge_missing(struct walk *walk)
{
	const struct still_set *set = walk->set;

	for (size_t i = 0; i < set->n_files; i++)
		if (!walk->listed[i].there && !is_part(set->files[i].path))
			TELL(walk, set->files[i].path, "`%s`: is missing",
			    set->files[i].path);
	for (size_t i = 0; i < set->n_databases; i++) {
		const char *path = set->databases[i].path;
		bool listed = still_set_find(set, path);

		if (set->databases[i].incremental)
			judge_increment(walk, &set->databases[i]);
		else if (!listed && !walk->described[i].there)
			TELL(walk, path, "`%s`: is missing", path);
		else if (!listed && set->listed &&
		    !walk->described[i].directory)
			TELL(walk, path,
			    "`%s`: is in " STILL_SET_DESCRIPTION
			    ", and not in " STILL_SET_LIST,
			    path);
		if (!set->databases[i].frozen)
			TELL(walk, path,
			    "`%s`: was not frozen: this set has no backup of "
			    "it",
			    path);
	}
}

/* They say something only where nothing else is wrong. */
static void judge_counts(struct walk *walk)
{
	const struct still_set *set = walk->set;
	uint64_t files = 0;
	uint64_t bytes = 0;

	if (walk->judge.n_flaws > 0 || !set->listed || !set->described)
		return;
	for (size_t i = 0; i < set->n_files; i++) {
		if (is_part(set->files[i].path))
			continue;
		files++;
		bytes += walk->listed[i].size_bytes;
	}
	if (files != set->data_files)
		TELL(walk, STILL_SET_DESCRIPTION,
		    "`" STILL_SET_DESCRIPTION "`: says that there are %" PRIu64
		    " files of data, and there are %" PRIu64,
		    set->data_files, files);
	else if (bytes != set->data_bytes)
		TELL(walk, STILL_SET_DESCRIPTION,
		    "`" STILL_SET_DESCRIPTION "`: says that there are %" PRIu64
		    " bytes of data, and there are %" PRIu64,
		    set->data_bytes, bytes);
}

/* ---- all of it ----------------------------------------------------------- */

static int walk_all(struct walk *walk)
{
	int rc = push(walk, strdup(""));

	while (rc == 0 && walk->n_dirs > 0) {
		char *dir = walk->dirs[--walk->n_dirs];

		rc = read_dir(walk, dir);
		free(dir);
	}
	if (rc == 0) {
		judge_missing(walk);
		still_set_judge_shape(walk->set, &walk->judge);
		judge_counts(walk);
	}
	return rc;
}

int still_set_compare(const struct still_set *set, still_set_flaw_fn *flaw,
    void *arg, uint64_t *ret_bytes, struct still_error *err)
{
	struct walk walk = {.set = set, .judge = {flaw, arg, 0}};
	uint64_t bytes = 0;
	int rc = STILL_ERR_NOMEM;

	walk.listed = calloc(set->n_files + 1, sizeof(walk.listed[0]));
	walk.described = calloc(
	    set->n_databases + 1, sizeof(walk.described[0]));
	if (walk.listed && walk.described)
		rc = walk_all(&walk);
	for (size_t i = 0; rc == 0 && i < set->n_files; i++)
		bytes += walk.listed[i].size_bytes;
	while (walk.n_dirs > 0)
		free(walk.dirs[--walk.n_dirs]);
	free(walk.dirs);
	free(walk.listed);
	free(walk.described);
	if (rc < 0)
		return still_error_nomem(err);
	*ret_bytes = bytes;
	return 0;
}
