/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/apply.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/path.h"
#include "base/sys.h"
#include "engines/sqlite/format.h"
#include "engines/sqlite/increment.h"

#define READ_BYTES ((size_t) 1 << 20)

static const char set_hint[] = "Take another copy of the set; this one cannot "
			       "be restored.";

/* One database of the set. */
struct applied {
	const struct still_apply_request *request;
	char *path; /* owned; "data/app.db" */
	char *log;  /* owned; "logs/app.db-wal"; NULL: nothing
					has changed */
	uint32_t page_size_bytes;
	uint32_t n_pages;
	const char *pages_xxh128; /* borrowed */
	int fd;                   /* of it */
	int log_fd;
};

static int malformed(const struct still_apply_request *request,
    const char *what, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0, set_hint,
	    "set `%s`: backup.json: %s", request->set, what);
}

static int cancelled(
    const struct still_apply_request *request, struct still_error *err)
{
	if (!request->cancel || !atomic_load(request->cancel))
		return 0;
	return still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
	    "set `%s`: was not applied to its end", request->set);
}

static int foreign(
    const struct applied *applied, const char *what, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "Restore the full set and each incremental one that follows it, in "
	    "their order.",
	    "set `%s`: does not belong to what is there: `%s` %s",
	    applied->request->set, applied->path, what);
}

/* Rule 1. Neither empty nor "." nor "..", and below `top`. */
static bool is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return strncmp(path, top, n) == 0 && path[n] == '/' &&
	    still_path_is_plain(path);
}

/* ---- dropping ------------------------------------------------------------ */

/* The directory that holds `path`, and the name in it. A descriptor or -errno. */
static int open_parent(int root_fd, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char *parent = strndup(path, (size_t) (slash - path));
	int fd;

	if (!parent)
		return -ENOMEM;
	*ret_name = slash + 1;
	fd = still_sys_open_beneath(
	    root_fd, parent, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	free(parent);
	return fd;
}

static int unlink_in(int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(st.st_mode))
		return unlinkat(dirfd, name, 0) == 0 ? 0 : -errno;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOTEMPTY ||
	    errno == EEXIST)
		return 0;
	return -errno;
}

static int drop(const struct still_apply_request *request, const char *path,
    struct still_error *err)
{
	const char *name;
	int fd;
	int rc;

	if (!is_below(path, "data"))
		return malformed(
		    request, "something is dropped that is not in data/", err);
	fd = open_parent(request->root_fd, path, &name);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	rc = fd < 0 ? fd : unlink_in(fd, name);
	if (fd >= 0)
		close(fd);
	return rc < 0 ? still_error_sys(err, -rc, NULL, "`%s`", path) : 0;
}

static int drop_all(
    const struct still_apply_request *request, struct still_error *err)
{
	const json_t *list = json_object_get(request->description, "dropped");
	const json_t *one;
	size_t i;
	int rc = 0;

	json_array_foreach(list, i, one)
	{
		char *path = NULL;

		if (still_json_get_name(one, "path", &path) < 0)
			return still_error_nomem(err);
		rc = path ? drop(request, path, err)
			  : malformed(request,
				"something is dropped that has no path", err);
		free(path);
		if (rc < 0)
			return rc;
	}
	return rc;
}

/* ---- what the set says --------------------------------------------------- */

static bool get_number(const json_t *object, const char *key, uint32_t *ret)
{
	const json_t *value = json_object_get(object, key);
	json_int_t number = json_integer_value(value);

	*ret = (uint32_t) number;
	return json_is_integer(value) && number > 0 && number <= UINT32_MAX;
}

/* Is there the key, or the one of a name that is no text? */
static bool has_increment(const json_t *database)
{
	return json_object_get(database, "increment") ||
	    json_object_get(database, "encoded_increment");
}

static int read_database(
    const json_t *database, struct applied *applied, struct still_error *err)
{
	const struct still_apply_request *request = applied->request;

	if (still_json_get_name(database, "path", &applied->path) < 0 ||
	    still_json_get_name(database, "increment", &applied->log) < 0)
		return still_error_nomem(err);
	applied->pages_xxh128 = json_string_value(
	    json_object_get(database, "pages_xxh128"));
	if (!applied->path || !is_below(applied->path, "data"))
		return malformed(request, "a database is not in data/", err);
	if (applied->log
		? !is_below(applied->log, "logs")
		: !json_is_null(json_object_get(database, "increment")))
		return malformed(request, "an increment is not in logs/", err);
	if (!get_number(database, "pages", &applied->n_pages) ||
	    !get_number(
		database, "page_size_bytes", &applied->page_size_bytes) ||
	    !sqlite_page_size_valid(applied->page_size_bytes) ||
	    json_integer_value(json_object_get(database, "size_bytes")) !=
		(json_int_t) applied->n_pages * applied->page_size_bytes)
		return malformed(request, "a database has no length", err);
	if (!applied->pages_xxh128)
		return malformed(
		    request, "a database has no `pages_xxh128`", err);
	return 0;
}

/* ---- what is there ------------------------------------------------------- */

/* 1: something is there that SQLite would take for the database's. */
static int has_sidecar(int dirfd, const char *name)
{
	static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
	int found = 0;

	for (size_t i = 0; found == 0 && i < 3; i++) {
		struct stat st;
		char *beside = NULL;

		if (asprintf(&beside, "%s%s", name, suffixes[i]) < 0)
			return -ENOMEM;
		found = fstatat(dirfd, beside, &st, AT_SYMLINK_NOFOLLOW) == 0;
		free(beside);
	}
	return found;
}

/* Rule 2. */
static int check_alone(const struct applied *applied, struct still_error *err)
{
	const char *name;
	int fd = open_parent(applied->request->root_fd, applied->path, &name);
	int found = fd < 0 ? fd : has_sidecar(fd, name);

	if (fd >= 0)
		close(fd);
	if (found == -ENOENT || found == -ENOTDIR)
		return foreign(applied, "is missing", err);
	if (found < 0)
		return still_error_sys(
		    err, -found, NULL, "`%s`", applied->path);
	return found
	    ? foreign(applied, "has a -wal, -shm or -journal beside it", err)
	    : 0;
}

/* Rule 4, of the page size. */
static int check_header(const struct applied *applied, struct still_error *err)
{
	uint8_t bytes[SQLITE_HEADER_BYTES] = {0};
	struct sqlite_header header;
	ssize_t n = still_sys_pread(applied->fd, bytes, sizeof(bytes), 0);

	if (n < 0)
		return still_error_sys(
		    err, (int) -n, NULL, "`%s`", applied->path);
	if (sqlite_header_parse(bytes, &header))
		return foreign(applied, "is no database", err);
	if (header.page_size_bytes != applied->page_size_bytes)
		return foreign(applied, "has pages of another size", err);
	return 0;
}

static int open_database(struct applied *applied, struct still_error *err)
{
	struct stat st;
	int rc = check_alone(applied, err);

	if (rc < 0)
		return rc;
	applied->fd = still_sys_open_beneath(applied->request->root_fd,
	    applied->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
	if (applied->fd == -ENOENT)
		return foreign(applied, "is missing", err);
	rc = applied->fd < 0 ? applied->fd : still_sys_fstat(applied->fd, &st);
	if (rc < 0)
		return still_error_sys(err, -rc, NULL, "`%s`", applied->path);
	if (!S_ISREG(st.st_mode))
		return foreign(applied, "is no file", err);
	return check_header(applied, err);
}

/* ---- writing ------------------------------------------------------------- */

static int skip_page(
    void *arg, uint32_t page, const uint8_t *data, struct still_error *err)
{
	(void) arg;
	(void) page;
	(void) data;
	(void) err;
	return 0;
}

static int write_page(
    void *arg, uint32_t page, const uint8_t *data, struct still_error *err)
{
	const struct applied *applied = arg;
	const uint32_t size = applied->page_size_bytes;
	int rc = still_sys_pwrite(
	    applied->fd, data, size, (uint64_t) (page - 1) * size);

	return rc < 0 ? still_error_sys(err, -rc, NULL, "`%s`", applied->path)
		      : 0;
}

static int walk(
    struct applied *applied, sqlite_increment_fn *each, struct still_error *err)
{
	struct sqlite_increment_target target;
	int rc = sqlite_increment_walk(applied->log_fd, applied->log,
	    applied->request->cancel, each, applied, &target, err);

	if (rc == 0 &&
	    (target.page_size_bytes != applied->page_size_bytes ||
		target.n_pages != applied->n_pages))
		return still_error_set(err, STILL_ERR_CORRUPT, 0, set_hint,
		    "`%s`: is not the increment of `%s` that backup.json of "
		    "set `%s` says",
		    applied->log, applied->path, applied->request->set);
	return rc;
}

static int write_increment(struct applied *applied, struct still_error *err)
{
	uint64_t bytes = (uint64_t) applied->n_pages * applied->page_size_bytes;
	int rc;

	applied->log_fd = still_sys_open_beneath(applied->request->set_fd,
	    applied->log, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	if (applied->log_fd == -ENOENT)
		return still_error_set(err, STILL_ERR_CORRUPT, 0, set_hint,
		    "set `%s`: `%s` is missing", applied->request->set,
		    applied->log);
	if (applied->log_fd < 0)
		return still_error_sys(
		    err, -applied->log_fd, NULL, "`%s`", applied->log);
	/* Rule 3. */
	rc = walk(applied, skip_page, err);
	if (rc == 0)
		rc = walk(applied, write_page, err);
	if (rc < 0)
		return rc;
	return ftruncate(applied->fd, (off_t) bytes) == 0
	    ? 0
	    : still_error_sys(err, errno, NULL, "`%s`", applied->path);
}

/* ---- proving ------------------------------------------------------------- */

/* The pages in the buffer. */
static void add_sums(struct still_hash_state *state, const uint8_t *bytes,
    size_t len, uint32_t page_size)
{
	for (size_t at = 0; at < len; at += page_size) {
		uint64_t sum = htole64(still_hash64(bytes + at, page_size));

		still_hash_update(state, &sum, sizeof(sum));
	}
}

static int sum_up(const struct applied *applied, uint8_t *bytes,
    struct still_hash_state *state, struct still_error *err)
{
	uint64_t size = (uint64_t) applied->n_pages * applied->page_size_bytes;
	int rc = 0;

	for (uint64_t at = 0; rc == 0 && at < size; at += READ_BYTES) {
		uint64_t left = size - at;
		size_t len = left < READ_BYTES ? (size_t) left : READ_BYTES;
		ssize_t n = still_sys_pread(applied->fd, bytes, len, at);

		if (n < 0)
			return still_error_sys(
			    err, (int) -n, NULL, "`%s`", applied->path);
		if ((size_t) n < len)
			return foreign(applied, "is too short", err);
		add_sums(state, bytes, len, applied->page_size_bytes);
		rc = cancelled(applied->request, err);
	}
	return rc;
}

/* Rule 5. */
static int prove(const struct applied *applied, struct still_error *err)
{
	uint64_t size = (uint64_t) applied->n_pages * applied->page_size_bytes;
	struct still_hash_state *state = still_hash_new();
	uint8_t *bytes = malloc(READ_BYTES);
	char hex[STILL_HASH128_HEX_CHARS + 1] = "";
	struct stat st;
	int rc = still_sys_fstat(applied->fd, &st);

	if (rc < 0)
		rc = still_error_sys(err, -rc, NULL, "`%s`", applied->path);
	else if (!state || !bytes)
		rc = still_error_nomem(err);
	else if ((uint64_t) st.st_size != size)
		rc = foreign(applied, "has another length", err);
	else
		rc = sum_up(applied, bytes, state, err);
	if (rc == 0)
		still_hash128_hex(still_hash_digest(state), hex);
	if (rc == 0 && strcmp(hex, applied->pages_xxh128) != 0)
		rc = foreign(applied,
		    applied->log ? "does not become what was backed up"
				 : "is not what was backed up",
		    err);
	still_hash_free(state);
	free(bytes);
	return rc;
}

/* ---- all of it ----------------------------------------------------------- */

static int apply_one(const struct still_apply_request *request,
    const json_t *database, struct still_error *err)
{
	struct applied applied = {.request = request, .fd = -1, .log_fd = -1};
	int rc = read_database(database, &applied, err);

	if (rc == 0)
		rc = open_database(&applied, err);
	if (rc == 0 && applied.log)
		rc = write_increment(&applied, err);
	if (rc == 0)
		rc = prove(&applied, err);
	if (applied.fd >= 0)
		close(applied.fd);
	if (applied.log_fd >= 0)
		close(applied.log_fd);
	free(applied.path);
	free(applied.log);
	return rc;
}

int sqlite_apply(
    const struct still_apply_request *request, struct still_error *err)
{
	const json_t *list = json_object_get(request->description, "databases");
	const json_t *one;
	size_t i;
	int rc = drop_all(request, err);

	json_array_foreach(list, i, one)
	{
		if (rc == 0)
			rc = cancelled(request, err);
		if (rc == 0 && has_increment(one))
			rc = apply_one(request, one, err);
		if (rc < 0)
			break;
	}
	return rc;
}
