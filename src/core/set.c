/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "core/set_parts.h"

void still_set_tell(struct still_set_judge *judge, const char *path, int code,
    const char *fmt, ...)
{
	struct still_error what = {.code = code};
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&what.msg, fmt, ap) < 0)
		what.msg = NULL;
	va_end(ap);
	judge->n_flaws++;
	judge->flaw(judge->arg, path, &what);
	still_error_clear(&what);
}

/* ---- files --------------------------------------------------------------- */

static int failed(int error, const char *path, struct still_error *err)
{
	if (error == ENOENT || error == ENOTDIR)
		return still_error_set(err, STILL_ERR_CORRUPT, error, NULL,
		    "`%s`: is missing", path);
	if (error == ELOOP)
		return still_error_set(err, STILL_ERR_CORRUPT, error, NULL,
		    "`%s`: is a symbolic link, or lies behind one", path);
	return still_error_sys(err, error, NULL, "`%s`", path);
}

/* `st` is that of the same file, as it was before it was opened. */
static int open_same(const struct still_set *set, const char *path,
    const struct stat *st, struct stat *ret_st, struct still_error *err)
{
	int fd = still_sys_open_beneath(
	    set->dirfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	int rc;

	if (fd < 0)
		return failed(-fd, path, err);
	rc = still_sys_fstat(fd, ret_st);
	if (rc == 0 && ret_st->st_dev == st->st_dev &&
	    ret_st->st_ino == st->st_ino)
		return fd;
	close(fd);
	if (rc < 0)
		return failed(-rc, path, err);
	return still_error_set(err, STILL_ERR_IO, 0,
	    "Let nobody write to the set while it is read.",
	    "`%s`: was exchanged while it was opened", path);
}

int still_set_open_file(const struct still_set *set, const char *path,
    int *ret_fd, struct stat *ret_st, struct still_error *err)
{
	int fd = still_sys_open_beneath(set->dirfd, path, O_PATH);
	struct stat st;
	int rc;

	if (fd < 0)
		return failed(-fd, path, err);
	rc = still_sys_fstat(fd, &st);
	close(fd);
	if (rc < 0)
		return failed(-rc, path, err);
	if (!S_ISREG(st.st_mode))
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`%s`: is not a regular file", path);
	rc = open_same(set, path, &st, ret_st, err);
	if (rc < 0)
		return rc;
	*ret_fd = rc;
	return 0;
}

/* All of a file, with a NUL behind it, which the caller frees. */
static int read_text(const struct still_set *set, const char *path,
    uint64_t max_bytes, char **ret, size_t *ret_len, struct still_error *err)
{
	struct stat st;
	char *text = NULL;
	ssize_t n = 0;
	int fd = -1;
	int rc = still_set_open_file(set, path, &fd, &st, err);

	if (rc == 0 && (uint64_t) st.st_size > max_bytes)
		rc = still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`%s`: is larger than any", path);
	if (rc == 0) {
		text = malloc((size_t) st.st_size + 1);
		n = text ? still_sys_pread(fd, text, (size_t) st.st_size, 0)
			 : -ENOMEM;
		if (n < 0)
			rc = still_error_sys(err, (int) -n, NULL, "`%s`", path);
	}
	if (fd >= 0)
		close(fd);
	if (rc < 0) {
		free(text);
		return rc;
	}
	text[n] = '\0';
	*ret = text;
	*ret_len = (size_t) n;
	return 0;
}

/* The same. 0, and NULL, where it is not to be had, which is told. */
static int read_part(const struct still_set *set, struct still_set_judge *judge,
    const char *path, uint64_t max_bytes, char **ret, size_t *ret_len,
    struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	int rc = read_text(set, path, max_bytes, ret, ret_len, &own);

	if (rc < 0 && rc != STILL_ERR_NOMEM)
		still_set_tell(judge, path, rc, "%s", still_error_msg(&own));
	still_error_clear(&own);
	return rc == STILL_ERR_NOMEM ? still_error_nomem(err) : 0;
}

/* ---- the directory ------------------------------------------------------- */

static bool has(int dirfd, const char *path)
{
	struct stat st;

	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_set(int dirfd)
{
	return has(dirfd, STILL_SET_LIST) || has(dirfd, STILL_SET_DESCRIPTION);
}

static int open_dir(
    const char *path, char **ret_path, int *ret_fd, struct still_error *err)
{
	char *resolved = realpath(path, NULL);
	int fd;

	if (!resolved)
		return still_error_sys(err, errno, NULL, "`%s`", path);
	fd = open(resolved, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		free(resolved);
		return errno == ENOTDIR
		    ? still_error_set(err, STILL_ERR_INVALID, ENOTDIR,
			  "Name the directory that has backup.json in it.",
			  "`%s`: is not a directory", path)
		    : still_error_sys(err, errno, NULL, "`%s`", path);
	}
	*ret_path = resolved;
	*ret_fd = fd;
	return 0;
}

/* The set in a directory that sets are stored in. */
static int go_to_stored(struct still_set *set)
{
	int fd = openat(set->dirfd, STILL_SET_STORED,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char *path = NULL;

	if (fd < 0 || !is_set(fd)) {
		if (fd >= 0)
			close(fd);
		return STILL_ERR_NOTFOUND;
	}
	path = still_path_join(set->path, STILL_SET_STORED);
	if (!path) {
		close(fd);
		return STILL_ERR_NOMEM;
	}
	close(set->dirfd);
	free(set->path);
	set->dirfd = fd;
	set->path = path;
	return 0;
}

static int find_set(
    struct still_set *set, const char *path, struct still_error *err)
{
	int rc = open_dir(path, &set->path, &set->dirfd, err);

	if (rc < 0 || is_set(set->dirfd))
		return rc;
	rc = go_to_stored(set);
	if (rc == STILL_ERR_NOMEM)
		return still_error_nomem(err);
	if (rc < 0)
		return still_error_set(err, STILL_ERR_NOTFOUND, 0,
		    "Name the directory that has backup.json in it, or the one "
		    "that `stillctl backup` wrote to.",
		    "`%s`: is no set: it has neither " STILL_SET_DESCRIPTION
		    " nor " STILL_SET_LIST,
		    path);
	return 0;
}

/* ---- all of it ----------------------------------------------------------- */

static int read_list(struct still_set *set, struct still_set_judge *judge,
    struct still_error *err)
{
	char *text = NULL;
	size_t len;
	int rc;

	if (!has(set->dirfd, STILL_SET_LIST) &&
	    (errno == ENOENT || errno == ENOTDIR)) {
		still_set_tell(judge, STILL_SET_LIST, STILL_ERR_CORRUPT,
		    "`" STILL_SET_LIST "`: is missing: the copy was not "
		    "finished, or is not of one session");
		return 0;
	}
	rc = read_part(set, judge, STILL_SET_LIST, STILL_SET_LIST_MAX_BYTES,
	    &text, &len, err);
	if (rc == 0 && text) {
		set->list_sum = still_hash128(text, len);
		set->summed = true;
		rc = still_set_parse_list(set, judge, text, len, err);
	}
	free(text);
	return rc;
}

static int read_description(struct still_set *set,
    struct still_set_judge *judge, struct still_error *err)
{
	char *text = NULL;
	size_t len;
	int rc = read_part(set, judge, STILL_SET_DESCRIPTION,
	    STILL_SET_JSON_MAX_BYTES, &text, &len, err);

	if (rc == 0 && text)
		rc = still_set_parse_description(set, judge, text, len, err);
	free(text);
	return rc;
}

/* Since its base, nothing may have been added to an incremental one. */
static void judge_empty(struct still_set *set, struct still_set_judge *judge)
{
	if (!set->listed || set->n_files > 1 || set->base)
		return;
	still_set_tell(judge, STILL_SET_LIST, STILL_ERR_CORRUPT,
	    "`" STILL_SET_LIST "`: names no file but " STILL_SET_DESCRIPTION);
	set->listed = false;
}

int still_set_open(const char *path, still_set_flaw_fn *flaw, void *arg,
    struct still_set *ret, struct still_error *err)
{
	struct still_set_judge judge = {flaw, arg, 0};
	int rc;

	memset(ret, 0, sizeof(*ret));
	ret->dirfd = -1;
	rc = find_set(ret, path, err);
	if (rc == 0)
		rc = read_list(ret, &judge, err);
	if (rc == 0)
		rc = read_description(ret, &judge, err);
	if (rc == 0)
		judge_empty(ret, &judge);
	return rc;
}

/* ---- whose it is --------------------------------------------------------- */

static void note_first(
    void *arg, const char *path, const struct still_error *what)
{
	struct still_error *first = arg;

	(void) path;
	if (!first->code)
		still_error_copy(first, what);
}

static int parse_identity(struct still_set *set, const char *text, size_t len,
    struct still_error *err)
{
	struct still_error first = STILL_ERROR_INIT;
	struct still_set_judge judge = {note_first, &first, 0};
	int rc = still_set_parse_description(set, &judge, text, len, err);

	if (rc == 0 && (!set->engine || !set->source))
		rc = still_error_set(err, STILL_ERR_INVALID, 0, NULL, "%s",
		    still_error_msg(&first));
	still_error_clear(&first);
	return rc;
}

int still_set_identify(
    int dirfd, const char *name, struct still_set *ret, struct still_error *err)
{
	char *text = NULL;
	size_t len = 0;
	int rc;

	memset(ret, 0, sizeof(*ret));
	ret->dirfd = still_sys_open_beneath(
	    dirfd, name, O_RDONLY | O_DIRECTORY);
	if (ret->dirfd < 0)
		return still_error_sys(err, -ret->dirfd, NULL, "`%s`", name);
	rc = read_text(ret, STILL_SET_DESCRIPTION, STILL_SET_JSON_MAX_BYTES,
	    &text, &len, err);
	if (rc == 0)
		rc = parse_identity(ret, text, len, err);
	else if (rc == STILL_ERR_CORRUPT)
		rc = STILL_ERR_INVALID;
	if (err && rc == STILL_ERR_INVALID)
		err->code = rc;
	free(text);
	return rc;
}

void still_set_release(struct still_set *set)
{
	if (set->dirfd >= 0)
		close(set->dirfd);
	for (size_t i = 0; i < set->n_files; i++)
		free(set->files[i].path);
	for (size_t i = 0; i < set->n_databases; i++) {
		free(set->database_paths[i]);
		free(set->databases[i].increment);
	}
	free(set->files);
	free(set->databases);
	free(set->database_paths);
	still_set_release_shape(set);
	json_decref(set->json);
	free(set->session);
	free(set->kind);
	free(set->engine);
	free(set->source);
	free(set->base);
	free(set->chain);
	free(set->path);
	memset(set, 0, sizeof(*set));
	set->dirfd = -1;
}

/* ---- what is in it ------------------------------------------------------- */

static int compare_file(const void *key, const void *file)
{
	return strcmp(key, ((const struct still_set_file *) file)->path);
}

const struct still_set_file *still_set_find(
    const struct still_set *set, const char *path)
{
	if (set->n_files == 0)
		return NULL;
	return bsearch(path, set->files, set->n_files, sizeof(set->files[0]),
	    compare_file);
}

static int compare_database(const void *key, const void *database)
{
	return strcmp(
	    key, ((const struct still_set_database *) database)->path);
}

const struct still_set_database *still_set_database(
    const struct still_set *set, const char *path)
{
	if (set->n_databases == 0)
		return NULL;
	return bsearch(path, set->databases, set->n_databases,
	    sizeof(set->databases[0]), compare_database);
}
